// Activities that record spans, in Temporal's own test environment, and the replay of
// workflow histories by Temporal's own worker.  A Temporal server is not part of it:
// the test plays its part, gives out attempts and writes the history.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure, defaultPayloadConverter } from '@temporalio/common';
import { payloadToJSON } from '@temporalio/common/lib/proto-utils.js';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker, bundleWorkflowCode } from '@temporalio/worker';
import pg from 'pg';
import type { SpanContext } from './span-service.ts';
import { spanActivities, traced } from './temporal/activities.ts';
import type { OrderActivities } from './temporal/workflows.ts';

const logger = new DefaultLogger('ERROR'); // failures are what this is about
Runtime.install({ logger, telemetryOptions: { logging: { filter: 'OFF' } } });

// two workers have two pools, hence never share a session
const pools = [new pg.Pool(), new pg.Pool()];
const [pool, otherPool] = pools as [pg.Pool, pg.Pool];
after(() => Promise.all(pools.map((each) => each.end())));

/** An attempt of an activity in a run. */
function attemptOf(runId: string, activityId: string, attempt = 1) {
	return new MockActivityEnvironment({
		workflowExecution: { workflowId: 'order-1', runId }, activityId, attempt,
		scheduledTimestampMs: Date.UTC(2026, 0, 1) + Number(activityId) * 1000,
	}, { logger });
}

/** A pool whose first answers are lost after the database has done the work. */
function losingAnswers(count: number): pg.Pool {
	return new Proxy(pool, {
		get: (target, key: keyof pg.Pool) => key !== 'query' ? target[key] : async (...args: [string, any[]]) => {
			const answer = await target.query(...args);
			if (/create_span|end_span|set_span/.test(args[0]) && count-- > 0) {
				throw new Error('the connection is gone');
			}
			return answer;
		},
	});
}

async function spansOf(runId: string) {
	await pool.query('SELECT flowmaestro.flush()');
	const { rows } = await pool.query(`SELECT span_id, parent_span_id, name, span_type, entity_id, status, started_at, ended_at,
			input, output, error, attributes
		FROM flowmaestro.execution_spans WHERE trace_id = $1 ORDER BY started_at, name`, [runId]);
	return rows;
}

test('an attempt that did its work and could not say so is repeated without a trace', async () => {
	const runId = randomUUID();
	const start = { name: 'workflow: order', spanType: 'workflow_run', attributes: { userId: 'user-1' }, input: 0 };

	/** Runs an activity as a server does: again until it answers. */
	async function retried(activityId: string, name: 'createSpan' | 'endSpan' | 'setSpanAttributes', input: any): Promise<any> {
		const activities = spanActivities(losingAnswers(2));
		for (let attempt = 1; ; attempt++) {
			try {
				return await attemptOf(runId, activityId, attempt).run(activities[name] as any, input);
			} catch (error) {
				assert.equal((error as Error).message, 'the connection is gone');
				assert.ok(attempt < 3);
			}
		}
	}

	const span = await retried('1', 'createSpan', start);
	const child = await retried('2', 'createSpan', { name: 'step', spanType: 'node_execution', parentSpanId: span.spanId });
	assert.equal(span.traceId, runId);
	assert.notEqual(child.spanId, span.spanId);
	assert.equal(await retried('3', 'setSpanAttributes', { spanId: span.spanId, attributes: { score: 1 } }), true);
	assert.equal(await retried('4', 'endSpan', { spanId: child.spanId, output: '' }), false);
	assert.equal(await retried('5', 'endSpan', { spanId: span.spanId, output: false }), false);

	const rows = await spansOf(runId);
	assert.equal(rows.length, 2);
	assert.deepEqual(rows[0], {
		span_id: span.spanId, parent_span_id: null, name: 'workflow: order', span_type: 'workflow_run', entity_id: null,
		status: 'completed', started_at: new Date('2026-01-01T00:00:01Z'), ended_at: new Date('2026-01-01T00:00:05Z'),
		input: 0, output: false, error: null, attributes: { userId: 'user-1', score: 1 },
	});
	assert.equal(rows[1].parent_span_id, span.spanId);
	assert.equal(rows[1].output, '');
});

test('two workers that run the same activity at a time make one span with one end', async () => {
	for (let round = 0; round < 50; round++) {
		const runId = randomUUID();
		const [left, right] = [spanActivities(pool), spanActivities(otherPool)];
		const start = { name: `round ${round}`, spanType: 'workflow_run' };
		const [mine, theirs] = await Promise.all([
			attemptOf(runId, '1', 1).run(left.createSpan, start),
			attemptOf(runId, '1', 2).run(right.createSpan, start),
		]) as [SpanContext, SpanContext];
		assert.deepEqual(mine, theirs);
		const ends = [
			() => attemptOf(runId, '2', 1).run(left.endSpan, { spanId: mine.spanId, output: 'done' }),
			() => attemptOf(runId, '2', 2).run(right.endSpanWithError, { spanId: mine.spanId, error: new Error('timed out') }),
		];
		const won = await Promise.all((round % 2 ? ends : ends.toReversed()).map((end) => end()));
		assert.deepEqual(won.toSorted(), [false, true]);
		const rows = await spansOf(runId);
		assert.equal(rows.length, 1);
		const completed = won[round % 2 ? 0 : 1];
		assert.equal(rows[0].status, completed ? 'completed' : 'failed');
		assert.equal(rows[0].output, completed ? 'done' : null);
		assert.equal(rows[0].error?.message, completed ? undefined : 'timed out');
	}
});

test('an end may come before its start, from another worker', async () => {
	const runId = randomUUID();
	const { rows: [{ spanId }] } = await pool.query(
		`SELECT flowmaestro.deterministic_span_id($1, 'span/1') AS "spanId"`, [runId]);
	await attemptOf(runId, '2').run(spanActivities(otherPool).endSpanWithError, { spanId, error: {} });
	await pool.query('SELECT flowmaestro.flush()');
	await attemptOf(runId, '1').run(spanActivities(pool).createSpan, { name: 'late', spanType: 'workflow_run' });
	const [row] = await spansOf(runId);
	assert.equal(row.name, 'late');
	assert.equal(row.status, 'failed');
	assert.deepEqual(row.error, { message: 'Unknown error', type: 'Error' });
});

test('each attempt of traced work has a span, and a cancelled one says so', async () => {
	const runId = randomUUID();
	const charge = traced(pool, { name: 'charge card', spanType: 'tool_execution' }, async (order: { amount: number }) => {
		if (Context.current().info.attempt === 1) {
			throw ApplicationFailure.retryable('declined for now', 'Declined');
		}
		Context.current().heartbeat();
		await Context.current().sleep('1 hour');
		return order.amount;
	});
	await assert.rejects(attemptOf(runId, '7', 1).run(charge, { amount: 5 }), /declined for now/);
	const second = attemptOf(runId, '7', 2);
	second.on('heartbeat', () => second.cancel('CANCELLED'));
	await assert.rejects(second.run(charge, { amount: 5 }), CancelledFailure);

	const rows = await spansOf(runId);
	assert.deepEqual(rows.map((row) => [row.name, row.status, row.attributes.attempt, row.error?.message]), [
		['charge card', 'failed', 1, 'declined for now'],
		['charge card', 'cancelled', 2, undefined],
	]);
});

/** Plays the server for one run of orderWorkflow: runs activities and writes the history. */
class Run {
	readonly runId = randomUUID();
	readonly events: any[] = [];
	#activities = 0;
	#clock = Date.UTC(2026, 0, 1);
	readonly #implementations: OrderActivities;

	constructor(order: unknown, chargeCard: (order: any) => Promise<string>) {
		this.#implementations = {
			...spanActivities(pool),
			chargeCard: traced(pool, { name: 'charge card', spanType: 'tool_execution' }, chargeCard),
		};
		this.#event('WorkflowExecutionStarted', {
			workflowType: { name: 'orderWorkflow' }, taskQueue: { name: 'orders' }, input: payloads([order]), attempt: 1,
			originalExecutionRunId: this.runId, firstExecutionRunId: this.runId, workflowTaskTimeout: '10s',
		});
		this.workflowTask();
	}

	#event(type: string, attributes: object): string {
		const eventId = String(this.events.length + 1);
		this.#clock += 10;
		this.events.push({
			eventId, eventTime: new Date(this.#clock).toISOString(), taskId: eventId,
			eventType: `EVENT_TYPE${type.replace(/[A-Z]/g, (letter) => '_' + letter.toLowerCase())}`.toUpperCase(),
			[`${type[0]!.toLowerCase()}${type.slice(1)}EventAttributes`]: attributes,
		});
		return eventId;
	}

	/** The worker runs the workflow's code; what it asks for follows in the history. */
	workflowTask(): void {
		const scheduledEventId = this.#event('WorkflowTaskScheduled', { taskQueue: { name: 'orders' }, attempt: 1 });
		const startedEventId = this.#event('WorkflowTaskStarted', { scheduledEventId });
		this.#event('WorkflowTaskCompleted', {
			scheduledEventId, startedEventId,
			sdkMetadata: { coreUsedFlags: [1] }, // a replay compares ids and types, too
		});
	}

	/** The workflow asked for an activity; what tells an attempt of it. */
	#schedule(name: string, input: unknown[]): { activityId: string; scheduledEventId: string } {
		const activityId = String(++this.#activities);
		const scheduledEventId = this.#event('ActivityTaskScheduled', {
			activityId, activityType: { name }, taskQueue: { name: 'orders' }, input: payloads(input),
			workflowTaskCompletedEventId: String(this.events.length), startToCloseTimeout: '60s',
		});
		return { activityId, scheduledEventId };
	}

	/** A worker runs an activity, twice if it has to, and the workflow goes on with its outcome. */
	async activity(name: keyof OrderActivities, ...input: unknown[]): Promise<any> {
		const { activityId, scheduledEventId } = this.#schedule(name, input);
		let result: any;
		for (let attempt = 1; attempt <= 2; attempt++) {
			try {
				result = await attemptOf(this.runId, activityId, attempt)
					.run(this.#implementations[name] as any, ...JSON.parse(JSON.stringify(input)));
				const startedEventId = this.#event('ActivityTaskStarted', { scheduledEventId, attempt });
				this.#event('ActivityTaskCompleted', { scheduledEventId, startedEventId, result: payloads([result]) });
				break;
			} catch (error) {
				if (attempt === 2) {
					const startedEventId = this.#event('ActivityTaskStarted', { scheduledEventId, attempt });
					this.#event('ActivityTaskFailed', {
						scheduledEventId, startedEventId, retryState: 'RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED',
						failure: { message: (error as Error).message, applicationFailureInfo: { type: 'Declined' } },
					});
				}
			}
		}
		this.workflowTask();
		return result;
	}

	/** Somebody cancels the workflow while an activity runs. */
	async cancelledActivity(name: keyof OrderActivities, ...input: unknown[]): Promise<void> {
		const { activityId, scheduledEventId } = this.#schedule(name, input);
		const attempt = attemptOf(this.runId, activityId);
		const running = attempt.run(this.#implementations[name] as any, ...input);
		this.#event('WorkflowExecutionCancelRequested', { cause: 'by hand' });
		this.workflowTask();
		const latestCancelRequestedEventId = this.#event('ActivityTaskCancelRequested', {
			scheduledEventId, workflowTaskCompletedEventId: String(this.events.length),
		});
		attempt.cancel('CANCELLED');
		await assert.rejects(running, CancelledFailure);
		const startedEventId = this.#event('ActivityTaskStarted', { scheduledEventId, attempt: 1 });
		this.#event('ActivityTaskCanceled', { scheduledEventId, startedEventId, latestCancelRequestedEventId });
		this.workflowTask();
	}

	/** Ends the run as the workflow's code did. */
	end(outcome: 'Completed' | 'Failed' | 'Canceled', attributes: object): void {
		this.#event(`WorkflowExecution${outcome}`, {
			...attributes, workflowTaskCompletedEventId: String(this.events.length),
		});
	}
}

function payloads(values: unknown[]) {
	return { payloads: values.map((value) => payloadToJSON(defaultPayloadConverter.toPayload(value)!)) };
}

let workflowBundle: { code: string };

before(async () => {
	workflowBundle = await bundleWorkflowCode({ workflowsPath: `${import.meta.dirname}/temporal/workflows.ts`, logger });
});

async function replay(events: object[], name: string): Promise<void> {
	await Worker.runReplayHistory({ workflowBundle, replayName: name }, { events }, 'order-1');
}

/** Replays a run that is over.  That looks: it refuses a history that the code would not have written. */
async function replayAll({ events, runId }: Run): Promise<void> {
	await replay(events, runId);
	const other = structuredClone(events);
	other.findLast((event) => event.activityTaskScheduledEventAttributes)
		.activityTaskScheduledEventAttributes.activityType.name = 'somethingElse';
	await assert.rejects(replay(other, `${runId}/other`), { name: 'DeterminismViolationError' });
}

test('a replay of a run records nothing, wherever the worker had died', async () => {
	const run = new Run({ amount: 5 }, async () => 'receipt-1');
	const root = await run.activity('createSpan', {
		name: 'workflow: order', spanType: 'workflow_run', entityId: 'order-1', input: { amount: 5 },
	});
	await run.activity('chargeCard', { amount: 5 }, root);
	await run.activity('endSpan', { spanId: root.spanId, output: 'receipt-1' });
	run.end('Completed', { result: payloads(['receipt-1']) });

	const rows = await spansOf(run.runId);
	assert.deepEqual(rows.map((row) => [row.name, row.status, row.output]), [
		['workflow: order', 'completed', 'receipt-1'], ['charge card', 'completed', 'receipt-1']]);
	const tasks = run.events.flatMap((event, at) => event.workflowTaskCompletedEventAttributes ? [at + 1] : []);
	for (const length of tasks) {
		await replay(run.events.slice(0, length), `${run.runId}/${length}`);
	}
	await replayAll(run);
	assert.deepEqual(await spansOf(run.runId), rows);
});

test('a run that fails has its error, and a replay of it records nothing either', async () => {
	const run = new Run({ amount: 5 }, async () => {
		throw ApplicationFailure.retryable('declined', 'Declined');
	});
	const root = await run.activity('createSpan', { name: 'workflow: order', spanType: 'workflow_run', entityId: 'order-1' });
	await run.activity('chargeCard', { amount: 5 }, root);
	await run.activity('endSpanWithError', { spanId: root.spanId, error: { message: 'declined', type: 'Declined' } });
	run.end('Failed', { failure: { message: 'Activity task failed' } });

	const rows = await spansOf(run.runId);
	assert.deepEqual(rows.map((row) => [row.name, row.status, row.error.message, row.error.type, row.attributes.attempt]), [
		['workflow: order', 'failed', 'declined', 'Declined', undefined],
		['charge card', 'failed', 'declined', 'ApplicationFailure', 1],
		['charge card', 'failed', 'declined', 'ApplicationFailure', 2]]);
	await replayAll(run);
	assert.deepEqual(await spansOf(run.runId), rows);
});

test('a run that is cancelled ends its spans as cancelled', async () => {
	const run = new Run({ amount: 5 }, async () => {
		await Context.current().sleep('1 hour');
		return 'receipt-1';
	});
	const root = await run.activity('createSpan', { name: 'workflow: order', spanType: 'workflow_run', entityId: 'order-1' });
	await run.cancelledActivity('chargeCard', { amount: 5 }, root);
	await run.activity('endSpan', { spanId: root.spanId, status: 'cancelled' });
	run.end('Canceled', {});

	const rows = await spansOf(run.runId);
	assert.deepEqual(rows.map((row) => [row.name, row.status]),
		[['workflow: order', 'cancelled'], ['charge card', 'cancelled']]);
	await replayAll(run);
	assert.deepEqual(await spansOf(run.runId), rows);
});
