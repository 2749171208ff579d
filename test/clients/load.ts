/**
 * An application under load, a process of its own: it makes spans with the OpenTelemetry
 * SDK and sends them with one of its exporters.  Its parent hears of progress, and in the
 * end which spans were acknowledged.
 *
 *   node load.ts ENDPOINT protobuf|json|gzip SPANS FIRST
 *
 * The spans are numbered, from FIRST on, in attribute n.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DiagConsoleLogger, DiagLogLevel, diag } from '@opentelemetry/api';
import { ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace';

export interface Progress { made: number }
export interface Outcome { acknowledged: number[]; failures: string[] }

const BURST = 512;
const PAUSE_MS = 200; // between bursts, so that there is time for things to happen

/** Sends with another exporter, and notes which spans it says are exported. */
class Noting implements SpanExporter {
	readonly acknowledged: number[] = [];
	readonly failures: string[] = [];
	readonly #exporter: SpanExporter;

	constructor(exporter: SpanExporter) {
		this.#exporter = exporter;
	}

	export(...[spans, done]: Parameters<SpanExporter['export']>): void {
		this.#exporter.export(spans, (result) => {
			if (result.code === ExportResultCode.SUCCESS) {
				this.acknowledged.push(...spans.map((span) => span.attributes.n as number));
			} else {
				this.failures.push(String(result.error));
			}
			done(result);
		});
	}

	forceFlush(): Promise<void> {
		return this.#exporter.forceFlush?.() ?? Promise.resolve();
	}

	shutdown(): Promise<void> {
		return this.#exporter.shutdown();
	}
}

const [url, encoding, count, first] = process.argv.slice(2) as [string, string, string, string];
const options = { url: `${url}/v1/traces`, compression: encoding === 'gzip' ? 'gzip' as any : undefined };
const exporter = new Noting(encoding === 'json' ? new JsonExporter(options) : new ProtobufExporter(options));
const provider = new TracerProvider({
	resource: resourceFromAttributes({ 'service.name': `load-${encoding}`, 'process.pid': process.pid }),
	spanProcessors: [new BatchSpanProcessor({ exporter })],
});
const tracer = provider.getTracer('load', '1.0.0');
diag.setLogger(new DiagConsoleLogger(), { logLevel: DiagLogLevel.NONE });

for (let n = 0; n < Number(count); n++) {
	const span = tracer.startSpan(`work ${n % 100}`, { attributes: { n: Number(first) + n, text: 'x'.repeat(500) } });
	span.end();
	if (n % BURST === BURST - 1) {
		await provider.forceFlush().catch(() => {}); // what failed is in the outcome
		process.send?.({ made: n + 1 } satisfies Progress);
		await sleep(PAUSE_MS);
	}
}
await provider.shutdown().catch(() => {});
const outcome: Outcome = { acknowledged: exporter.acknowledged, failures: exporter.failures };
process.send?.(outcome, () => process.disconnect());
