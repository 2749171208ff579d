/**
 * How an application records spans: a thin client of the SQL functions, made to be
 * copied.  It keeps nothing and batches nothing, for the database does.  Ids and times
 * are made here: so a span is there at once, nobody waits for the call that records it,
 * and it does not matter in which order a pool's connections deliver the calls.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { ClientBase, Pool } from 'pg';

export const SpanType = {
	WORKFLOW_RUN: 'workflow_run', AGENT_RUN: 'agent_run', AGENT_ITERATION: 'agent_iteration',
	NODE_EXECUTION: 'node_execution', MODEL_GENERATION: 'model_generation',
	EMBEDDING_GENERATION: 'embedding_generation', TOOL_EXECUTION: 'tool_execution',
	TOOL_VALIDATION: 'tool_validation', VALIDATION: 'validation', MEMORY_OPERATION: 'memory_operation',
	VECTOR_SEARCH: 'vector_search', DATABASE_QUERY: 'database_query', HTTP_REQUEST: 'http_request',
	EXTERNAL_API: 'external_api', PROCESSOR_RUN: 'processor_run',
} as const;

export type Attributes = Record<string, unknown>;
export interface SpanContext { traceId: string; spanId: string; parentSpanId?: string }
export interface SpanStart {
	name: string; spanType: string; entityId?: string; attributes?: Attributes; input?: unknown; startedAt?: Date;
}
export interface SpanEnd { output?: unknown; attributes?: Attributes; status?: string; endedAt?: Date }
export interface SpanFailure { spanId: string; error: unknown; attributes?: Attributes; endedAt?: Date }
export interface TokenUsage { promptTokens: number; completionTokens: number; totalTokens: number }

/** A running span: its ids, its children and its end. */
export class ActiveSpan implements SpanContext {
	readonly traceId: string;
	readonly spanId: string;
	readonly parentSpanId?: string;
	/** Settles when the database has the start; the end waits for it, few others need to. */
	readonly recorded: Promise<void>;
	readonly #spans: SpanService;

	constructor(spans: SpanService, context: SpanContext, recorded: Promise<void>) {
		this.#spans = spans;
		({ traceId: this.traceId, spanId: this.spanId, parentSpanId: this.parentSpanId } = context);
		this.recorded = recorded;
		recorded.catch(() => {}); // who ends the span hears of it
	}

	createChild(start: SpanStart): ActiveSpan {
		return this.#spans.createSpan({ ...start, traceId: this.traceId, parentSpanId: this.spanId });
	}

	setAttributes(attributes: Attributes): Promise<boolean> {
		return this.#spans.setSpanAttributes({ spanId: this.spanId, attributes });
	}

	/** False if somebody else, or an earlier attempt, has ended the span. */
	async end(end: SpanEnd = {}): Promise<boolean> {
		return (await Promise.all([this.#spans.endSpan({ ...end, spanId: this.spanId }), this.recorded]))[0];
	}

	async endWithError(error: unknown, attributes?: Attributes): Promise<boolean> {
		const ended = this.#spans.endSpanWithError({ spanId: this.spanId, error, attributes });
		return (await Promise.all([ended, this.recorded]))[0];
	}
}

export class SpanService {
	readonly #db: Pool | ClientBase;

	constructor(db: Pool | ClientBase) {
		this.#db = db;
	}

	/** Starts a span.  With a span id of the caller's own, doing so again changes nothing. */
	createSpan(start: SpanStart & Partial<SpanContext>): ActiveSpan {
		const traceId = start.traceId ?? newTraceId();
		const context = { traceId, spanId: start.spanId ?? newSpanId(traceId), parentSpanId: start.parentSpanId };
		const recorded = this.#call('(flowmaestro.create_span($1, $2, $3, $4, $5, $6, $7, $8, $9)).span_id', [
			start.name, start.spanType, start.entityId, json(start.attributes), json(start.input),
			traceId, context.parentSpanId, context.spanId, start.startedAt ?? new Date()]);
		return new ActiveSpan(this, context, recorded.then(() => {}));
	}

	/** Ends a span by its id, whoever started it and wherever; the first end wins. */
	endSpan({ spanId, output, attributes, status, endedAt = new Date() }: SpanEnd & { spanId: string }): Promise<boolean> {
		return this.#call('flowmaestro.end_span($1, $2, $3, NULL, $4, $5)', [
			spanId, json(output), json(attributes), status, endedAt]);
	}

	endSpanWithError({ spanId, error, attributes, endedAt = new Date() }: SpanFailure): Promise<boolean> {
		return this.#call('flowmaestro.end_span_with_error($1, $2::jsonb, $3, $4)', [
			spanId, json(plainError(error)), json(attributes), endedAt]);
	}

	setSpanAttributes({ spanId, attributes }: { spanId: string; attributes: Attributes }): Promise<boolean> {
		return this.#call('flowmaestro.set_span_attributes($1, $2)', [spanId, json(attributes)]);
	}

	/** Tokens of an entity's model calls in a time; its end is not part of it. */
	async getTokenUsage(entityId: string, range: { start: Date; end: Date }): Promise<TokenUsage> {
		const usage = await this.#call<Record<string, number>>('to_jsonb(flowmaestro.get_token_usage($1, $2, $3))', [
			entityId, range.start, range.end]);
		return {
			promptTokens: usage.prompt_tokens!, completionTokens: usage.completion_tokens!, totalTokens: usage.total_tokens!,
		};
	}

	/** The trace as an object with all of its spans; null if there is none.  Readers see what is flushed. */
	getTrace(traceId: string): Promise<any> {
		return this.#call('flowmaestro.get_trace($1)', [traceId]);
	}

	/** Waits until everything that was recorded before is in the table. */
	flush(): Promise<unknown> {
		return this.#call('flowmaestro.flush()', []);
	}

	async #call<T = any>(expression: string, values: unknown[]): Promise<T> {
		return (await this.#db.query(`SELECT ${expression} AS result`, values)).rows[0].result;
	}
}

/** A UUIDv7: its time tells the database where to look. */
function newTraceId(): string {
	const time = Date.now().toString(16).padStart(12, '0');
	return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

/** The first half of the trace's id and 8 bytes of our own, which are the OpenTelemetry span id. */
function newSpanId(traceId: string): string {
	const own = randomBytes(8).toString('hex');
	return `${traceId.slice(0, 18)}-${own.slice(0, 4)}-${own.slice(4)}`;
}

/** JSON that the database takes: models like to cut an emoji in two, and U+0000 is no text there. */
function json(value: unknown): string | undefined {
	return JSON.stringify(value, (_, part) =>
		typeof part === 'string' ? part.toWellFormed().replaceAll('\0', '\ufffd') : part);
}

/** An Error loses everything in JSON. */
function plainError(error: unknown): unknown {
	return error instanceof Error
		? { message: error.message, type: error.name, stack: error.stack, code: (error as { code?: unknown }).code }
		: error ?? null;
}
