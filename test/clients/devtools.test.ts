// A receiver that is not ours: autotel-devtools stores what the exporter sends, spans
// recorded in SQL as well as spans that had come by OTLP.  It reads no gzip.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SpanStatusCode, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { createDevtools, type DevtoolsInstance, type SpanData } from 'autotel-devtools';
import { Cluster, until } from './cluster.ts';
import { PgSpanExporter } from './span-exporter.ts';
import { SpanService } from './span-service.ts';

let cluster: Cluster;
let devtools: DevtoolsInstance;

before(async () => {
	devtools = createDevtools({ port: 0, sourceRoot: false });
	const { port } = await devtools.ready;
	cluster = await Cluster.start({
		'flowmaestro.otlp_endpoint': `http://127.0.0.1:${port}`, 'flowmaestro.otlp_compression': 'none',
	});
});
after(async () => {
	await cluster.destroy();
	await devtools.close();
});

/** What devtools has of a trace, as soon as it is as many spans. */
async function received(traceId: string, spans: number): Promise<SpanData[]> {
	await cluster.pool.query('SELECT flowmaestro.flush()');
	const find = () => devtools.server.getCurrentData().traces.find((each) => each.traceId === traceId)?.spans ?? [];
	await until('devtools has the trace', () => find().length === spans);
	return find();
}

test('a trace recorded in SQL arrives', async () => {
	const spans = new SpanService(cluster.pool);
	const run = spans.createSpan({ name: 'agent run', spanType: 'agent_run', entityId: 'planner', attributes: { n: 42 } });
	const call = run.createChild({ name: 'llm: gpt-4o', spanType: 'model_generation', attributes: { model: 'gpt-4o' } });
	await call.endWithError(new RangeError('too long'), { promptTokens: 7 });
	await run.end();

	const otelId = (uuid: string) => uuid.replaceAll('-', '');
	const arrived = await received(otelId(run.traceId), 2);
	const root = arrived.find((span) => span.name === 'agent run')!;
	const child = arrived.find((span) => span.name === 'llm: gpt-4o')!;
	assert.equal(root.spanId, otelId(run.spanId).slice(16));
	assert.equal(root.parentSpanId, undefined);
	assert.equal(root.attributes.n, 42);
	assert.equal(child.parentSpanId, root.spanId);
	assert.equal(child.status.code, 'ERROR');
	assert.equal(child.status.message, 'too long');
	assert.equal(child.attributes.promptTokens, 7);
});

test('a trace of the OpenTelemetry SDK arrives as it was sent', async () => {
	const provider = new TracerProvider({
		resource: resourceFromAttributes({ 'service.name': 'through-the-database' }),
		spanProcessors: [new BatchSpanProcessor({ exporter: new PgSpanExporter(cluster.pool) })],
	});
	const tracer = provider.getTracer('devtools.test', '1.2.3');
	const root = tracer.startSpan('request', { attributes: { text: 'a', whole: 1, part: 1.5, list: [true, false] } });
	for (let n = 0; n < 1000; n++) {
		const span = tracer.startSpan(`work ${n}`, { attributes: { n } }, trace.setSpan(ROOT_CONTEXT, root));
		span.addEvent('half way', { n });
		span.setStatus({ code: n % 2 ? SpanStatusCode.OK : SpanStatusCode.UNSET });
		span.end();
	}
	root.end();
	await provider.shutdown();

	const arrived = await received(root.spanContext().traceId, 1001);
	const first = arrived.find((span) => span.name === 'request')!;
	assert.deepEqual(first.attributes, {
		'service.name': 'through-the-database', text: 'a', whole: 1, part: 1.5, list: [true, false],
	});
	assert.equal(first.scope?.name, 'devtools.test');
	const work = arrived.filter((span) => span !== first).sort((a, b) => Number(a.attributes.n) - Number(b.attributes.n));
	assert.deepEqual(work.map((span) => span.name), Array.from({ length: 1000 }, (_, n) => `work ${n}`));
	assert.ok(work.every((span) => span.parentSpanId === first.spanId));
	assert.deepEqual(work.map((span) => span.status.code), work.map((_, n) => n % 2 ? 'OK' : 'UNSET'));
	assert.ok(work.every((span, n) => span.events?.[0]?.name === 'half way' && span.events[0].attributes?.n === n));
});

test('nothing was refused, and nothing waits', async () => {
	const { rows: [status] } = await cluster.pool.query('SELECT * FROM flowmaestro.otlp_export_status');
	assert.deepEqual([status.queued, status.exported, status.rejected, status.refused], ['0', '1003', '0', '0']);
	assert.equal(status.last_error, null);
});
