/**
 * Temporal activities that record spans, for any worker.  An activity may run more than
 * once, and on two workers at a time: so a span's id is made of the run's id and a key
 * that every attempt computes again, its times are the server's and not the attempt's,
 * and the first end wins.
 */
import { CancelledFailure, Context } from '@temporalio/activity';
import type { Pool } from 'pg';
import {
	SpanService, type Attributes, type SpanContext, type SpanEnd, type SpanFailure, type SpanStart,
} from '../span-service.ts';

export type SpanActivities = ReturnType<typeof spanActivities>;

/** When the server scheduled the activity: the same in all attempts and in a replay. */
function scheduledAt(): Date {
	return new Date(Context.current().info.scheduledTimestampMs);
}

/** The ids of the span that belongs to a key in the run of the current activity. */
async function spanOfRun(pool: Pool, key: string): Promise<SpanContext> {
	const { workflowExecution, activityRunId } = Context.current().info;
	const traceId = (workflowExecution?.runId ?? activityRunId)!;
	const { rows: [{ span_id: spanId }] } = await pool.query(
		'SELECT flowmaestro.deterministic_span_id($1, $2) AS span_id', [traceId, key]);
	return { traceId, spanId };
}

/** What a workflow calls; each is safe to repeat. */
export function spanActivities(pool: Pool) {
	const spans = new SpanService(pool);
	return {
		async createSpan(start: SpanStart & { parentSpanId?: string }): Promise<SpanContext> {
			const context = await spanOfRun(pool, `span/${Context.current().info.activityId}`);
			const span = spans.createSpan({ startedAt: scheduledAt(), ...start, ...context });
			await span.recorded;
			return { ...context, parentSpanId: start.parentSpanId };
		},
		async endSpan(end: SpanEnd & { spanId: string }): Promise<boolean> {
			return spans.endSpan({ endedAt: scheduledAt(), ...end });
		},
		async endSpanWithError(end: SpanFailure): Promise<boolean> {
			return spans.endSpanWithError({ endedAt: scheduledAt(), ...end });
		},
		async setSpanAttributes(span: { spanId: string; attributes: Attributes }): Promise<boolean> {
			return spans.setSpanAttributes(span);
		},
	};
}

/**
 * Makes an activity out of work: it has a span for each attempt, that ends as the attempt
 * does.  An attempt that is given up by the server while it runs keeps its own end.
 */
export function traced<Input, Output>(
	pool: Pool, start: SpanStart, work: (input: Input, span: SpanContext) => Promise<Output>,
) {
	const spans = new SpanService(pool);
	return async (input: Input, parent?: SpanContext): Promise<Output> => {
		const { activityId, attempt } = Context.current().info;
		const span = spans.createSpan({
			...start, input, attributes: { ...start.attributes, attempt },
			...await spanOfRun(pool, `activity/${activityId}/${attempt}`), parentSpanId: parent?.spanId,
		});
		try {
			const output = await work(input, span);
			await span.end({ output });
			return output;
		} catch (error) {
			if (error instanceof CancelledFailure) {
				await span.end({ status: 'cancelled' });
			} else {
				await span.endWithError(error);
			}
			throw error;
		}
	};
}
