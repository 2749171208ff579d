// OpenTelemetry's own instrumentation of the driver puts the traceparent of its span
// into a comment behind each statement: what the statement records is a child of it.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

const exporter = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
trace.setGlobalTracerProvider(provider);
registerInstrumentations({
	tracerProvider: provider,
	instrumentations: [new PgInstrumentation({ addSqlCommenterCommentToQueries: true })],
});
// the instrumentation sees what is required after it
const pg: typeof import('pg') = createRequire(import.meta.url)('pg');
const pool = new pg.Pool({ max: 2 });
after(() => pool.end());

/** The uuid of a span that OpenTelemetry knows by its ids. */
function uuidOf(traceId: string, spanId: string): string {
	return (traceId.slice(0, 16) + spanId).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Does work as a span of the client; returns its trace and the instrumentation's spans in it. */
async function traced(work: () => Promise<unknown>) {
	exporter.reset();
	const traceId = await provider.getTracer('client').startActiveSpan('request', async (span) => {
		await work();
		span.end();
		return span.spanContext().traceId;
	});
	const queries = exporter.getFinishedSpans().filter((span) => span.name.startsWith('pg.query'));
	return { traceId, queries };
}

async function spansOf(traceId: string) {
	await pool.query('SELECT flowmaestro.flush()');
	const { rows } = await pool.query(
		'SELECT name, span_id, parent_span_id FROM flowmaestro.execution_spans WHERE trace_id = $1::uuid ORDER BY started_at',
		[traceId]);
	return rows;
}

test('the span that a function records is a child of the span of its statement', async () => {
	await pool.query(`CREATE FUNCTION embed_documents() RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM flowmaestro.enter_span('embed documents', 'tool_execution');
			PERFORM flowmaestro.create_span('embed one', 'embedding_generation');
			PERFORM flowmaestro.leave_span();
		END $$`);
	const { traceId, queries } = await traced(() => pool.query('SELECT embed_documents()'));
	assert.equal(queries.length, 1);
	const spans = await spansOf(traceId);
	assert.deepEqual(spans.map(({ name }) => name), ['embed documents', 'embed one']);
	assert.equal(spans[0].parent_span_id, uuidOf(traceId, queries[0].spanContext().spanId));
	assert.equal(spans[1].parent_span_id, spans[0].span_id);
});

test('so it is with parameters, in a transaction, and with several clients at a time', async () => {
	const traces = await Promise.all(Array.from({ length: 20 }, (_, i) => traced(async () => {
		const client = await pool.connect();
		await client.query('BEGIN');
		await client.query('SELECT flowmaestro.create_span($1, $2)', [`first of ${i}`, 'http_request']);
		await client.query(`SELECT flowmaestro.create_span('second of ${i}', 'http_request')`);
		await client.query(i % 2 ? 'COMMIT' : 'ROLLBACK');
		client.release();
	})));
	for (const [i, { traceId }] of traces.entries()) {
		const spans = await spansOf(traceId);
		assert.deepEqual(spans.map(({ name }) => name), [`first of ${i}`, `second of ${i}`]);
		assert.notEqual(spans[0].parent_span_id, spans[1].parent_span_id);
		assert.match(spans[0].parent_span_id.replaceAll('-', ''), new RegExp(`^${traceId.slice(0, 16)}`));
	}
});

test('a statement with a name is prepared once, so it has no comment and begins a trace of its own', async () => {
	const spans = await Promise.all([1, 2].map(async () => {
		const { rows } = await pool.query({
			name: 'alone', text: "SELECT * FROM flowmaestro.create_span('alone', 'http_request')" });
		return rows[0];
	}));
	assert.deepEqual(spans.map((span) => span.parent_span_id), [null, null]);
	assert.notEqual(spans[0].trace_id, spans[1].trace_id);
});
