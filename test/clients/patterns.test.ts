// The three ways in which an application uses the client: a workflow, an agent and
// a tool call that is checked.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import pg from 'pg';
import { SpanService, SpanType } from './span-service.ts';

const pool = new pg.Pool();
const spanService = new SpanService(pool);
after(() => pool.end());

async function traceOf(traceId: string) {
	await spanService.flush();
	return spanService.getTrace(traceId);
}

test('pattern 1: a workflow, from two workers that know nothing but the span id', async () => {
	const elsewhere = new SpanService(pool);

	async function run(workflowId: string, inputs: unknown, work: (inputs: unknown) => Promise<unknown>) {
		const { traceId, spanId, recorded } = spanService.createSpan({
			name: 'workflow: data-processing',
			spanType: SpanType.WORKFLOW_RUN,
			entityId: workflowId,
			attributes: { userId: 'user-1' },
			input: inputs,
		});
		await recorded; // a reader in between finds it
		try {
			const output = await work(inputs);
			await elsewhere.endSpan({ spanId, output });
		} catch (error) {
			await elsewhere.endSpanWithError({ spanId, error });
		}
		return traceOf(traceId);
	}

	const workflowId = `workflow-${randomUUID()}`;
	const done = await run(workflowId, { file: 'a.csv' }, async () => ({ rows: 3 }));
	assert.equal(done.status, 'completed');
	assert.equal(done.rootSpan.name, 'workflow: data-processing');
	assert.equal(done.rootSpan.spanType, 'workflow_run');
	assert.equal(done.rootSpan.entityId, workflowId);
	assert.deepEqual(done.rootSpan.input, { file: 'a.csv' });
	assert.deepEqual(done.rootSpan.output, { rows: 3 });
	assert.equal(done.rootSpan.attributes.userId, 'user-1');

	const failed = await run(workflowId, null, async () => {
		throw new RangeError('no such column');
	});
	assert.equal(failed.status, 'failed');
	assert.equal(failed.rootSpan.error.message, 'no such column');
	assert.equal(failed.rootSpan.error.type, 'RangeError');
	assert.match(failed.rootSpan.error.stack, /patterns\.test\.ts/);
});

test('pattern 2: an agent with a model call, and its tokens', async () => {
	const agentId = `agent-${randomUUID()}`;
	const start = new Date();
	const span = spanService.createSpan({
		name: 'agent iteration',
		spanType: SpanType.AGENT_ITERATION,
		entityId: agentId,
		attributes: { userId: 'user-1', iteration: 1 },
	});
	const llmSpan = span.createChild({
		name: 'llm: gpt-4o',
		spanType: SpanType.MODEL_GENERATION,
		entityId: agentId,
		attributes: { model: 'gpt-4o', provider: 'openai' },
	});
	await llmSpan.setAttributes({ temperature: 0 });
	assert.equal(await llmSpan.end({
		output: { text: 'half an emoji \ud83d, a zero \0 and a \\u0000' },
		attributes: { promptTokens: 100, completionTokens: 50, totalTokens: 150 },
	}), true);
	assert.equal(await span.end(), true);
	assert.equal(await span.end({ output: 'too late' }), false);

	const trace = await traceOf(span.traceId);
	assert.equal(trace.spans.length, 2);
	const iteration = trace.rootSpan;
	const llm = trace.spans.find((s: any) => s.spanId === llmSpan.spanId);
	assert.equal(iteration.spanId, span.spanId);
	assert.equal(iteration.output, undefined);
	assert.equal(llm.parentSpanId, span.spanId);
	assert.deepEqual(llm.output, { text: 'half an emoji \ufffd, a zero \ufffd and a \\u0000' });
	assert.deepEqual(llm.attributes, {
		model: 'gpt-4o', provider: 'openai', temperature: 0, promptTokens: 100, completionTokens: 50, totalTokens: 150,
	});
	assert.deepEqual(await spanService.getTokenUsage(agentId, { start, end: new Date(Date.now() + 1000) }),
		{ promptTokens: 100, completionTokens: 50, totalTokens: 150 });
});

test('pattern 3: a tool call is checked before the tool runs', async () => {
	const span = spanService.createSpan({ name: 'agent iteration', spanType: SpanType.AGENT_ITERATION });
	const availableTools = [{
		name: 'search',
		schema: {
			type: 'object',
			properties: { query: { type: 'string', minLength: 1 }, limit: { type: 'integer', maximum: 50 } },
			required: ['query'],
		},
		run: async ({ query, limit }: { query: string; limit: number }) => ({ found: `${limit} of ${query}` }),
	}];

	async function executeToolCall({ toolCall: { name, arguments: args } }: {
		toolCall: { name: string; arguments: unknown };
	}) {
		const tool = availableTools.find((candidate) => candidate.name === name)!;
		const { rows: [{ checked }] } = await pool.query(
			'SELECT flowmaestro.validate_tool_input($1::jsonb, $2) AS checked',
			[JSON.stringify({ name, schema: tool.schema }), JSON.stringify(args)]);
		if (checked.error) {
			return checked; // what the model gets instead of a result
		}
		const toolSpan = span.createChild({ name: `tool: ${name}`, spanType: SpanType.TOOL_EXECUTION, input: checked.data });
		const output = await tool.run(checked.data);
		await toolSpan.end({ output });
		return output;
	}

	assert.deepEqual(await executeToolCall({ toolCall: { name: 'search', arguments: { query: '', limit: 100 } } }), {
		error: true,
		tool: 'search',
		message: 'Validation errors:\n- query: String must contain at least 1 character\n'
			+ '- limit: Number must be less than or equal to 50',
		validationErrors: [
			{ path: 'query', message: 'String must contain at least 1 character', code: 'too_small' },
			{ path: 'limit', message: 'Number must be less than or equal to 50', code: 'too_big' },
		],
		hint: 'Please retry with correct arguments',
	});
	assert.deepEqual(await executeToolCall({ toolCall: { name: 'search', arguments: { query: 'llamas', limit: '10' } } }),
		{ found: '10 of llamas' });
	await span.end();
	const { spans } = await traceOf(span.traceId);
	spans.sort((a: any, b: any) => a.name < b.name ? -1 : 1);
	assert.deepEqual(spans.map((s: any) => [s.name, s.input, s.status]), [
		['agent iteration', undefined, 'completed'],
		['tool: search', { query: 'llamas', limit: 10 }, 'completed'],
	]);
});

test('a span that cannot be recorded is told to whoever ends it, and to nobody else', async () => {
	const span = spanService.createSpan({ name: '', spanType: SpanType.VALIDATION });
	await new Promise(setImmediate);
	await assert.rejects(span.end(), { code: '22023' });
});
