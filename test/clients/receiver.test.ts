// The OpenTelemetry SDK against the receiver: each encoding, every kind of value, and a
// day on which everything goes wrong.
//
//   CLIENTS_FULL=1   200,000 spans and a writer that stands still for ten seconds;
//                    otherwise a tenth of that
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace';
import { Cluster, freePort, until } from './cluster.ts';
import type { Outcome, Progress } from './load.ts';

const FULL = process.env.CLIENTS_FULL === '1';
let cluster: Cluster;
let url: string;

before(async () => {
	const port = await freePort();
	url = `http://127.0.0.1:${port}`;
	cluster = await Cluster.start({ 'flowmaestro.otlp_receiver_port': port, 'flowmaestro.buffer_size': '16MB' });
	await serving();
});
after(() => cluster.destroy());

function serving(): Promise<void> {
	return until('the receiver serves', () => fetch(`${url}/healthz`).then((answer) => answer.ok, () => false));
}

const exporters: Record<string, () => SpanExporter> = {
	protobuf: () => new ProtobufExporter({ url: `${url}/v1/traces` }),
	'protobuf with gzip': () => new ProtobufExporter({ url: `${url}/v1/traces`, compression: CompressionAlgorithm.GZIP }),
	JSON: () => new JsonExporter({ url: `${url}/v1/traces` }),
	'JSON with gzip': () => new JsonExporter({ url: `${url}/v1/traces`, compression: CompressionAlgorithm.GZIP }),
};

for (const [name, exporter] of Object.entries(exporters)) {
	test(`the SDK sends ${name}`, async () => {
		const provider = new TracerProvider({
			resource: resourceFromAttributes({ 'service.name': `sdk ${name}` }),
			spanProcessors: [new BatchSpanProcessor({ exporter: exporter() })],
		});
		const tracer = provider.getTracer('receiver.test', '1.2.3');
		const root = tracer.startSpan('invoke_agent planner', {
			kind: SpanKind.CLIENT,
			attributes: {
				'gen_ai.operation.name': 'invoke_agent', 'gen_ai.agent.id': 'planner', 'user.id': 'user-1',
				text: 'snow \u2603 and zero \0', whole: 42, part: 0.5, yes: true, list: ['a', 'b'],
			},
		});
		root.addEvent('thought', { step: 1 });
		const inner = trace.setSpan(ROOT_CONTEXT, root);
		for (let n = 0; n < 999; n++) {
			const span = tracer.startSpan(`work ${n}`, { attributes: { n } }, inner);
			if (n === 0) {
				span.recordException(new RangeError('too far'));
				span.setStatus({ code: SpanStatusCode.ERROR, message: 'too far' });
			}
			span.end();
		}
		root.end();
		await provider.forceFlush();
		await provider.shutdown();

		await cluster.pool.query('SELECT flowmaestro.flush()');
		const { traceId, traceFlags } = root.spanContext();
		assert.equal(traceFlags & TraceFlags.SAMPLED, TraceFlags.SAMPLED);
		const { rows } = await cluster.pool.query(
			`SELECT * FROM flowmaestro.execution_spans WHERE trace_id = $1::uuid
				ORDER BY parent_span_id NULLS FIRST, (attributes->>'n')::int`, [traceId]);
		assert.equal(rows.length, 1000);
		const [first, failed] = rows;
		assert.equal(first.span_id.replaceAll('-', '').slice(16), root.spanContext().spanId);
		assert.equal(failed.parent_span_id, first.span_id);
		assert.equal(first.name, 'invoke_agent planner');
		assert.equal(first.span_type, 'agent_run');
		assert.equal(first.entity_id, 'planner');
		assert.equal(first.status, 'completed');
		const { text, whole, part, yes, list } = first.attributes;
		assert.ok(text.startsWith('snow \u2603 and zero '));
		assert.deepEqual({ whole, part, yes, list }, { whole: 42, part: 0.5, yes: true, list: ['a', 'b'] });
		assert.equal(first.events.length, 1);
		assert.equal(failed.status, 'failed');
		assert.equal(failed.error.message, 'too far');
		assert.deepEqual(rows.slice(1).map((row) => row.attributes.n), Array.from({ length: 999 }, (_, n) => n));
	});
}

/** Starts an application under load; its outcome comes when it has ended. */
function load(encoding: string, spans: number, first: number) {
	const child = fork(`${import.meta.dirname}/load.ts`, [url, encoding, String(spans), String(first)]);
	const application = { made: 0, ended: undefined as unknown as Promise<Outcome> };
	application.ended = new Promise((done, failed) => {
		let outcome: Outcome | undefined;
		child.on('message', (message: Progress | Outcome) => {
			if ('made' in message) {
				application.made = message.made;
			} else {
				outcome = message;
			}
		});
		child.on('exit', (code) => outcome ? done(outcome) : failed(new Error(`the application ended with ${code}`)));
	});
	return application;
}

async function receiver(): Promise<number> {
	let pid: number | undefined;
	await until('there is a receiver', async () => {
		[pid] = await cluster.processes('flowmaestro_spans receiver').catch(() => []);
		return pid;
	});
	return pid!;
}

test('nothing acknowledged is lost and nothing is twice, whatever stops or dies', async (t) => {
	const spans = FULL ? 200_000 : 20_000;
	const applications = [load('protobuf', spans / 2, 0), load('gzip', spans / 2, spans / 2)];
	const ended = Promise.all(applications.map((application) => application.ended));
	const made = () => applications.reduce((sum, application) => sum + application.made, 0);
	const reached = (part: number) => until(`${part} of the spans are made`, () => made() >= part * spans, 5);

	await reached(0.1);
	const [writer] = await cluster.processes('flowmaestro_spans writer');
	process.kill(writer!, 'SIGSTOP');
	await sleep(FULL ? 10_000 : 1000);
	process.kill(writer!, 'SIGCONT');

	await reached(0.3);
	const worker = await receiver();
	// the process that talks to clients goes, then the one that records: the whole server
	// starts anew then
	const http = Number(readFileSync(`/proc/${worker}/task/${worker}/children`, 'utf8').split(' ')[0]);
	assert.ok(http > 0);
	process.kill(http, 'SIGKILL');
	await reached(0.5);
	process.kill(worker, 'SIGKILL');
	await reached(0.7);
	await serving();
	await cluster.down('fast');
	await cluster.up();

	assert.ok(made() < spans, 'all of this happens while they send');
	const outcomes = await ended;
	await until('the server is up', () => cluster.pool.query('SELECT flowmaestro.flush()').catch(() => null));
	const { rows } = await cluster.pool.query(`SELECT (attributes->>'n')::int AS n, span_id
		FROM flowmaestro.execution_spans WHERE name LIKE 'work %' AND attributes ? 'text'`);
	assert.match(cluster.log(), /terminated by signal 9/);
	const stored = new Set(rows.map((row) => row.n));
	const acknowledged = outcomes.flatMap((outcome) => outcome.acknowledged);
	t.diagnostic(`${spans} spans made, ${acknowledged.length} acknowledged, ${stored.size} stored; `
		+ `failed exports: ${JSON.stringify(outcomes.flatMap((outcome) => outcome.failures))}`);
	assert.equal(acknowledged.filter((n) => !stored.has(n)).length, 0, 'acknowledged and lost');
	assert.equal(rows.length, stored.size, 'stored twice');
	assert.ok(rows.every(({ n }) => n >= 0 && n < spans));
	assert.ok(acknowledged.length > spans / 2, 'most spans got through');
});
