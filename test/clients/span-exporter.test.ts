// The exporter over a connection, behind the SDK's own BatchSpanProcessor.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import pg from 'pg';
import { PgSpanExporter } from './span-exporter.ts';

const pool = new pg.Pool();
after(() => pool.end());

function providerOver(connection: pg.Pool): TracerProvider {
	return new TracerProvider({
		resource: resourceFromAttributes({ 'service.name': 'exporter-test', 'service.version': '3.2.1' }),
		spanProcessors: [new BatchSpanProcessor({ exporter: new PgSpanExporter(connection) })],
	});
}

async function rowsOf(traceId: string) {
	await pool.query('SELECT flowmaestro.flush()');
	const { rows } = await pool.query(
		`SELECT s.*, r.attributes AS resource, c.name AS scope FROM flowmaestro.execution_spans AS s
			JOIN flowmaestro.otlp_scopes AS c ON c.id = (s.otlp->>'scope')::uuid
			JOIN flowmaestro.otlp_resources AS r ON r.id = c.resource_id
		WHERE trace_id = $1::uuid ORDER BY started_at`, [traceId]);
	return rows;
}

test('what the SDK knows of a span is in its row', async () => {
	const provider = providerOver(pool);
	const tracer = provider.getTracer('span-exporter.test');
	const span = tracer.startSpan('chat gpt-4o', {
		kind: SpanKind.CLIENT,
		startTime: [1767225600, 123_456_789],
		attributes: {
			'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': 'openai', 'gen_ai.response.model': 'gpt-4o',
			'gen_ai.usage.input_tokens': 12, 'gen_ai.usage.output_tokens': 3,
		},
	});
	const child = tracer.startSpan('lookup', { startTime: [1767225601, 0] }, trace.setSpan(ROOT_CONTEXT, span));
	child.addEvent('cache miss', { key: 'k' }, [1767225601, 500]);
	child.addLink({ context: span.spanContext(), attributes: { why: 'retry' } });
	child.setStatus({ code: SpanStatusCode.ERROR, message: 'not found' });
	child.end([1767225602, 0]);
	span.end([1767225603, 0]);
	await provider.shutdown();

	const [first, second] = await rowsOf(span.spanContext().traceId);
	assert.equal(first.span_type, 'model_generation');
	assert.equal(first.status, 'completed');
	assert.equal(first.started_at.toISOString(), '2026-01-01T00:00:00.123Z');
	assert.equal(first.attributes['gen_ai.usage.input_tokens'], 12);
	assert.deepEqual([first.resource['service.name'], first.resource['service.version']], ['exporter-test', '3.2.1']);
	assert.equal(first.scope, 'span-exporter.test');
	assert.equal(second.parent_span_id, first.span_id);
	assert.equal(second.status, 'failed');
	assert.equal(second.error.message, 'not found');
	assert.equal(second.duration_ms, 1000);
	assert.equal(second.events[0].name, 'cache miss');
	assert.equal(second.links.length, 1);
});

test('a batch whose answer got lost is sent again and stored once', async () => {
	let lost = 0;
	const unreliable = new Proxy(pool, {
		get: (target, key: keyof pg.Pool) => key !== 'query' ? target[key] : async (...args: [string, any[]]) => {
			const answer = await target.query(...args);
			if (lost++ < 2) {
				throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
			}
			return answer;
		},
	});
	const provider = providerOver(unreliable);
	const tracer = provider.getTracer('span-exporter.test');
	const root = tracer.startSpan('root');
	for (let n = 0; n < 99; n++) {
		tracer.startSpan(`work ${n}`, {}, trace.setSpan(ROOT_CONTEXT, root)).end();
	}
	root.end();
	await provider.shutdown();
	assert.equal(lost, 3);
	const rows = await rowsOf(root.spanContext().traceId);
	assert.equal(rows.length, 100);
	assert.equal(new Set(rows.map((row) => row.span_id)).size, 100);
});

test('an export that the database refuses fails at once', async () => {
	const exporter = new PgSpanExporter(new Proxy(pool, {
		get: (target, key: keyof pg.Pool) => key === 'query'
			? () => target.query('SELECT flowmaestro.no_such_function()')
			: target[key],
	}));
	const result = await new Promise<any>((done) => exporter.export([], done));
	assert.equal(result.error.code, '42883');
});
