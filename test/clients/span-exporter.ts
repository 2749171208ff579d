/**
 * A SpanExporter for the OpenTelemetry SDK that needs no collector and no port: it hands
 * spans to the database over a connection that the application has anyway.  A batch whose
 * answer got lost is sent again, for the database keeps one of what comes twice.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { diag } from '@opentelemetry/api';
import { ExportResultCode, type ExportResult } from '@opentelemetry/core';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import pg from 'pg';

const RETRIES_MS = [250, 500, 1000, 2000, 4000];

export class PgSpanExporter implements SpanExporter {
	readonly #pool: pg.Pool;
	readonly #pending = new Set<Promise<void>>();

	constructor(pool: pg.Pool) {
		this.#pool = pool;
	}

	export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
		const request = ProtobufTraceSerializer.serializeRequest(spans);
		const sent = this.#send(Buffer.from(request!)).then(
			() => done({ code: ExportResultCode.SUCCESS }),
			(error) => done({ code: ExportResultCode.FAILED, error }),
		).finally(() => this.#pending.delete(sent));
		this.#pending.add(sent);
	}

	async forceFlush(): Promise<void> {
		await Promise.all(this.#pending);
	}

	async shutdown(): Promise<void> {
		await this.forceFlush();
	}

	async #send(request: Buffer): Promise<void> {
		for (const wait of [...RETRIES_MS, null]) {
			try {
				const { rows: [result] } = await this.#pool.query('SELECT * FROM flowmaestro.ingest_otlp($1)', [request]);
				if (result.rejected > 0) {
					diag.warn(`${result.rejected} spans were rejected: ${result.message}`);
				}
				return;
			} catch (error) {
				if (wait === null || !passes(error)) {
					throw error;
				}
				await sleep(wait);
			}
		}
	}
}

/** Whether an error may be gone in a moment: no connection, or a server that is short of something. */
function passes(error: unknown): boolean {
	return !(error instanceof pg.DatabaseError) || /^(08|40|53|57)/.test(error.code ?? '');
}
