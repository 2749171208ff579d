/**
 * A workflow whose run is a trace.  It records by activities only: they are in the
 * history, so a replay records nothing.
 */
import { ActivityFailure, CancellationScope, isCancellation, proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { SpanContext } from '../span-service.ts';
import type { SpanActivities } from './activities.ts';

export interface OrderActivities extends SpanActivities {
	chargeCard(order: Order, parent: SpanContext): Promise<string>;
}
export interface Order { amount: number }

const spans = proxyActivities<SpanActivities>({ startToCloseTimeout: '10 seconds', retry: { maximumAttempts: 3 } });
const work = proxyActivities<Pick<OrderActivities, 'chargeCard'>>({
	startToCloseTimeout: '1 minute', cancellationType: 'WAIT_CANCELLATION_COMPLETED',
});

export async function orderWorkflow(order: Order): Promise<string> {
	const run = await spans.createSpan({
		name: 'workflow: order', spanType: 'workflow_run', entityId: workflowInfo().workflowId, input: order,
	});
	try {
		const receipt = await work.chargeCard(order, run);
		await spans.endSpan({ spanId: run.spanId, output: receipt });
		return receipt;
	} catch (error) {
		// what is cancelled has to say so all the same
		await CancellationScope.nonCancellable(() => isCancellation(error)
			? spans.endSpan({ spanId: run.spanId, status: 'cancelled' })
			: spans.endSpanWithError({ spanId: run.spanId, error: plain(error) }));
		throw error;
	}
}

/** An Error loses everything on its way to an activity, and its cause is what happened. */
function plain(error: unknown): { message: string; type: string } {
	const cause = error instanceof ActivityFailure && error.cause ? error.cause : error as Error;
	return { message: cause.message, type: 'type' in cause && cause.type ? String(cause.type) : cause.name };
}
