/**
 * Requests of OTLP in which every field of the protocol has every kind of value, and the form
 * in which two requests that say the same are equal.
 */
import type { AnyValue, EntityRef, KeyValue, Resource, Scope, Span, SpanEvent, SpanLink, TraceRequest } from './otlp-schema.ts';

/** A generator of pseudo-random numbers: the same ones for the same seed. */
export class Random {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0;
	}

	/** A whole number from 0 up to, not including, n (at most 2^32). */
	below(n: number): number {
		this.#state = (this.#state + 0x9e3779b9) >>> 0;
		let z = this.#state;
		z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
		z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
		return ((z ^ (z >>> 16)) >>> 0) % n;
	}

	chance(percent: number): boolean {
		return this.below(100) < percent;
	}

	pick<T>(values: readonly T[]): T {
		return values[this.below(values.length)] as T;
	}

	list<T>(most: number, make: () => T): T[] {
		return Array.from({ length: this.below(most + 1) }, make);
	}

	bytes(length: number): Buffer {
		return Buffer.from(Array.from({ length }, () => this.below(256)));
	}

	hex(bytes: number): string {
		const hex = this.bytes(bytes).toString('hex');
		return /^0+$/.test(hex) ? this.hex(bytes) : hex;
	}
}

const strings = [
	'', 'a', 'plain text', 'zero \u0000 byte', '\u0000', 'quotes " and \\ and /', 'line\nfeed\ttab\r\b\f\u0001\u001f\u007f',
	'日本語', '😀 𝔘𝔫𝔦𝔠𝔬𝔡𝔢', '\ufffd', '\uffff', '{"json": [1, 2]}', '[1, 2', 'null', 'NaN', '1e5', 'x'.repeat(3000),
];
const integers = [
	'0', '1', '-1', '9007199254740993', '9223372036854775807', '-9223372036854775808', '1000000000000000000', '42',
];
const doubles = [
	0, -0, 1, -1, 0.1, 1.5, 1e21, 1e300, -1e300, Number.MAX_VALUE, Number.MIN_VALUE, 2.2250738585072014e-308,
	123456789012345680000, 9007199254740993, 1 / 3, NaN, Infinity, -Infinity, 100,
];
const keys = [
	'gen_ai.operation.name', 'gen_ai.usage.input_tokens', 'http.request.method', 'key', '', 'zero\u0000key', 'ключ',
	'with space', 'flowmaestro.other', 'k'.repeat(300),
];
const counts = [0, 0, 1, 7, 4294967295];

function value(random: Random, depth = 0): AnyValue {
	switch (random.below(depth < 4 ? 9 : 6)) {
		case 0: return {};
		case 1: return { boolValue: random.chance(50) };
		case 2: return { intValue: random.pick(integers) };
		case 3: return { doubleValue: random.pick(doubles) };
		case 4: return { bytesValue: random.bytes(random.below(20)).toString('base64') };
		case 6: return { arrayValue: { values: random.list(4, () => value(random, depth + 1)) } };
		case 7: return { kvlistValue: { values: random.list(4, () => keyValue(random, depth + 1)) } };
		default: return { stringValue: random.pick(strings) };
	}
}

/** A key that most often comes once, and in some lists twice. */
function keyValue(random: Random, depth = 0): KeyValue {
	const key = random.chance(30) ? random.pick(keys) : `attribute.${random.below(1000)}`;
	return { key, value: value(random, depth) };
}

function attributes(random: Random, most: number): KeyValue[] {
	return random.list(most, () => keyValue(random));
}

function traceState(random: Random): string {
	return random.pick(['', '', 'vendor=value', 'a=1,b=2', 'x'.repeat(600)]);
}

function flags(random: Random): number {
	return random.pick([0, 1, 0x101, 0x301, 0xffffffff, 0x80000000]);
}

/** Nanoseconds of 2026, most of them within one hour. */
function time(random: Random): bigint {
	return 1774000000000000000n + BigInt(random.below(3_600_000)) * 1_000_000n + BigInt(random.below(1_000_000));
}

function spanEvent(random: Random, start: bigint): SpanEvent {
	return {
		timeUnixNano: String(random.chance(5) ? 0n : start + BigInt(random.below(1_000_000_000))),
		name: random.pick(['exception', 'message', '', ...strings]),
		attributes: attributes(random, 3), droppedAttributesCount: random.pick(counts),
	};
}

function spanLink(random: Random): SpanLink {
	return {
		traceId: random.hex(16), spanId: random.hex(8), traceState: traceState(random), attributes: attributes(random, 3),
		droppedAttributesCount: random.pick(counts), flags: flags(random),
	};
}

function span(random: Random, traceId: string, parents: string[]): Span {
	const start = time(random);
	const end = random.chance(3) ? start - BigInt(random.below(5000)) : start + BigInt(random.below(2 ** 32)) * 10n;
	const spanId = random.hex(8);
	const parentSpanId = parents.length > 0 && random.chance(90) ? random.pick(parents) : '';
	parents.push(spanId);
	return {
		traceId, spanId, traceState: traceState(random), parentSpanId,
		name: random.pick(['chat gpt', 'GET /', 'n'.repeat(1500), ...strings]), kind: random.pick([0, 1, 2, 3, 4, 5, 99, -1]),
		startTimeUnixNano: String(start), endTimeUnixNano: String(end),
		attributes: attributes(random, 8), droppedAttributesCount: random.pick(counts),
		events: random.list(3, () => spanEvent(random, start)), droppedEventsCount: random.pick(counts),
		links: random.list(2, () => spanLink(random)), droppedLinksCount: random.pick(counts),
		status: { code: random.pick([0, 0, 1, 2]), message: random.pick(['', 'failed', ...strings]) }, flags: flags(random),
	};
}

function entity(random: Random): EntityRef {
	return {
		schemaUrl: random.pick(['', 'https://example.org/schema']), type: random.pick(['service', 'host']),
		idKeys: random.list(2, () => `id.${random.below(9)}`), descriptionKeys: random.list(2, () => `d.${random.below(9)}`),
	};
}

function resource(random: Random): Resource {
	return {
		attributes: [{ key: 'service.name', value: { stringValue: `service ${random.below(10)}` } }, ...attributes(random, 4)],
		droppedAttributesCount: random.pick(counts), entityRefs: random.list(2, () => entity(random)),
	};
}

function scope(random: Random): Scope {
	return {
		name: random.pick(['', 'library', 'zero\u0000name']), version: random.pick(['', '1.2.3']),
		attributes: attributes(random, 3), droppedAttributesCount: random.pick(counts),
	};
}

const schemaUrls = ['', 'https://opentelemetry.io/schemas/1.41.0'];

/** A request with so many traces, their spans spread over several resources and scopes. */
export function generate(random: Random, traces: number, spansOfTrace: number): TraceRequest {
	const traceIds = Array.from({ length: traces }, () => random.hex(16));
	const parents = new Map(traceIds.map((id) => [id, [] as string[]]));
	const todo = traceIds.flatMap((id) => Array.from({ length: spansOfTrace }, () => id));
	const groups = 6;
	const request: TraceRequest = { resourceSpans: [] };
	for (let group = 0; group < groups; group++) {
		const mine = todo.filter((_, i) => i % groups === group);
		const half = mine.length >> 1;
		request.resourceSpans!.push({
			resource: resource(random), schemaUrl: random.pick(schemaUrls),
			scopeSpans: [mine.slice(0, half), mine.slice(half)].map((part) => ({
				scope: scope(random), schemaUrl: random.pick(schemaUrls),
				spans: part.map((id) => span(random, id, parents.get(id)!)),
			})),
		});
	}
	return request;
}

/** By key; those of one key stay in their order. */
function sorted(list: KeyValue[]): KeyValue[] {
	return list.map((element, i) => ({ element, i })).sort((a, b) => {
		const [left, right] = [a.element.key ?? '', b.element.key ?? ''];
		return left < right ? -1 : left > right ? 1 : a.i - b.i;
	}).map(({ element }) => element);
}

/** Without fields at their defaults, and attributes, which are a set, in order. */
function plain(message: unknown, isValue = false): unknown {
	if (Array.isArray(message)) {
		return message.map((element) => plain(element, isValue));
	}
	if (message === null || typeof message !== 'object') {
		return message;
	}
	const result: Record<string, unknown> = {};
	for (const [name, member] of Object.entries(message).sort(([a], [b]) => a < b ? -1 : 1)) {
		if (name === 'value') {
			result[name] = plain(member, true);
		} else if (name === 'attributes' || (name === 'values' && member.some?.((v: object) => 'key' in v || 'value' in v))) {
			if (member.length > 0) {
				result[name] = sorted(member).map((v) => ({ key: v.key ?? '', value: plain(v.value ?? {}, true) }));
			}
		} else if (name === 'values') {
			if (member.length > 0) {
				result[name] = plain(member, true);
			}
		} else if (isValue || !(member === 0 || member === '0' || member === '' || (Array.isArray(member) && member.length === 0))) {
			result[name] = plain(member, isValue);
		}
	}
	if (!isValue && Object.keys(result.status ?? { code: 0 }).length === 0) {
		delete result.status;
	}
	return result;
}

/** The spans of requests by trace and id, each with the resource and the scope that it is in. */
export function bySpan(requests: TraceRequest[]): Map<string, unknown> {
	const spans = new Map<string, unknown>();
	for (const rs of requests.flatMap((request) => request.resourceSpans ?? [])) {
		for (const ss of rs.scopeSpans ?? []) {
			for (const s of ss.spans ?? []) {
				spans.set(`${s.traceId}/${s.spanId}`, plain({
					resource: rs.resource ?? {}, resourceSchemaUrl: rs.schemaUrl ?? '',
					scope: ss.scope ?? {}, scopeSchemaUrl: ss.schemaUrl ?? '', span: s,
				}));
			}
		}
	}
	return spans;
}
