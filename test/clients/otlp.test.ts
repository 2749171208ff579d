// What comes in by OTLP goes out by OTLP equal, whatever it holds and in whichever encoding.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import pg from 'pg';
import { bySpan, generate, Random } from './otlp-generate.ts';
import { fromJson, fromProtobuf, toJson, toProtobuf, type TraceRequest } from './otlp-schema.ts';

const TRACES = 500;
const SPANS_OF_TRACE = 20;

async function connect(t: TestContext): Promise<pg.Client> {
	const client = new pg.Client();
	await client.connect();
	t.after(() => client.end());
	return client;
}

/** All traces of a request as they are exported, in both encodings. */
async function exported(client: pg.Client, request: TraceRequest): Promise<{ protobuf: TraceRequest[]; json: TraceRequest[] }> {
	const traces = [...new Set([...bySpan([request]).keys()].map((key) => key.slice(0, 32)))];
	const { rows } = await client.query(
		`SELECT flowmaestro.export_otlp_protobuf(t::uuid) AS protobuf, flowmaestro.export_otlp(t::uuid)::text AS json
		 FROM unnest($1::text[]) AS t`, [traces]);
	return { protobuf: rows.map((row) => fromProtobuf(row.protobuf)), json: rows.map((row) => fromJson(row.json)) };
}

/** Equal, told by the first span that is not. */
function assertSame(actual: Map<string, unknown>, expected: Map<string, unknown>): void {
	for (const [key, span] of expected) {
		assert.deepStrictEqual(actual.get(key), span, key);
	}
	assert.equal(actual.size, expected.size);
}

for (const encoding of ['protobuf', 'json'] as const) {
	test(`${TRACES * SPANS_OF_TRACE} spans with every field, by ${encoding}`, async (t) => {
		const client = await connect(t);
		const request = generate(new Random(encoding.length), TRACES, SPANS_OF_TRACE);
		const expected = bySpan([request]);
		const { rows: [result] } = encoding === 'protobuf' ?
			await client.query('SELECT * FROM flowmaestro.ingest_otlp($1)', [toProtobuf(request)]) :
			await client.query('SELECT * FROM flowmaestro.ingest_otlp_json($1)', [toJson(request)]);
		assert.equal(Number(result.accepted), TRACES * SPANS_OF_TRACE);
		assert.equal(Number(result.rejected), 0);
		await client.query('SELECT flowmaestro.flush()');
		const out = await exported(client, request);
		assertSame(bySpan(out.protobuf), expected);
		assertSame(bySpan(out.json), expected);
	});
}

test('what was recorded in SQL is a request that real decoders read', async (t) => {
	const client = await connect(t);
	const { rows: [{ trace_id: trace }] } = await client.query(
		`SELECT * FROM flowmaestro.create_span('run', 'agent_run', 'planner', '{"n": 1, "x": 0.5, "list": [null, true]}', '["in"]')`);
	const { rows: [{ span_id: span }] } = await client.query(
		`SELECT * FROM flowmaestro.create_span('call', 'model_generation', trace_id => $1, attributes => '{"model": "gpt-5", "promptTokens": 7}')`, [trace]);
	await client.query(`SELECT flowmaestro.end_span_with_error($1, 'no answer')`, [span]);
	await client.query('SELECT flowmaestro.flush()');
	const { rows: [{ bytes }] } = await client.query('SELECT flowmaestro.export_otlp_protobuf($1) AS bytes', [trace]);
	const [group] = fromProtobuf(bytes).resourceSpans!;
	const [run, call] = group!.scopeSpans![0]!.spans!;
	const read = (list: { key?: string; value?: object }[]) => Object.fromEntries(list.map(({ key, value }) => [key, value]));
	assert.equal(group!.scopeSpans![0]!.scope!.name, 'flowmaestro_spans');
	assert.equal(run!.traceId, trace.replaceAll('-', ''));
	assert.deepEqual(read(run!.attributes!)['flowmaestro.input'], { stringValue: '["in"]' });
	assert.deepEqual(read(run!.attributes!)['list'], { arrayValue: { values: [{}, { boolValue: true }] } });
	assert.equal(call!.spanId, span.replaceAll('-', '').slice(16));
	assert.deepEqual(call!.status, { code: 2, message: 'no answer' });
	assert.deepEqual(read(call!.attributes!)['gen_ai.usage.input_tokens'], { intValue: '7' });
	assert.deepEqual(read(call!.attributes!)['gen_ai.request.model'], { stringValue: 'gpt-5' });
});
