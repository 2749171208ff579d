// Token sums of one and the same agent run through the telemetry of AI SDK 6 and of
// AI SDK 7.  Both tell tokens more than once, on the call and on what is above it; the
// truth is what the models said.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { context, type Tracer } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BatchSpanProcessor, InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { OpenTelemetry } from '@ai-sdk/otel';
import * as ai7 from 'ai';
import * as models7 from 'ai/test';
import * as ai6 from 'ai6';
import * as models6 from 'ai6/test';
import pg from 'pg';
import { z } from 'zod';
import { EMBEDDING, TRUTH as TRUTH_OF_MODEL, answers } from './model.ts';
import { PgSpanExporter } from './span-exporter.ts';

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const pool = new pg.Pool();
const seen = new InMemorySpanExporter();
const provider = new TracerProvider({
	spanProcessors: [
		new BatchSpanProcessor({ exporter: new PgSpanExporter(pool) }),
		new SimpleSpanProcessor({ exporter: seen }),
	],
});
const tracer = provider.getTracer('ai.test');
after(async () => {
	await provider.shutdown();
	await pool.end();
});

const TRUTH = {
	...TRUTH_OF_MODEL, calls: TRUTH_OF_MODEL.calls + 1, prompt_tokens: TRUTH_OF_MODEL.prompt_tokens + EMBEDDING.usage.tokens,
};

/** Runs an agent of either version: a model call, a tool call, a model call, an embedding. */
async function run(ai: any, models: any, telemetry: object): Promise<void> {
	const weather = ai.tool({
		description: 'the weather in a city', inputSchema: z.object({ city: z.string() }), execute: async () => ({ rain: true }),
	});
	const { text } = await ai.generateText({
		model: new models.MockLanguageModelV3({ provider: 'openai', modelId: 'gpt-4o', doGenerate: answers() }),
		tools: { weather }, prompt: 'Weather in Bergen?', stopWhen: ai.stepCountIs(5), ...telemetry,
	});
	assert.equal(text, 'It rains.');
	await ai.embed({
		model: new models.MockEmbeddingModelV3({ provider: 'openai', modelId: 'text-embedding-3-small', doEmbed: EMBEDDING }),
		value: text, ...telemetry,
	});
}

/** Has a run recorded; returns its rows and its usage, as the database tells them. */
async function recorded(name: string, work: (tracer: Tracer) => Promise<void>) {
	seen.reset();
	const traceId = await tracer.startActiveSpan(name, async (root) => {
		await work(tracer);
		root.end();
		return root.spanContext().traceId;
	});
	await provider.forceFlush();
	await pool.query('SELECT flowmaestro.flush()');
	const { rows } = await pool.query(`SELECT name, span_type, entity_id FROM flowmaestro.execution_spans
		WHERE trace_id = $1::uuid AND parent_span_id IS NOT NULL ORDER BY name, started_at`, [traceId]);
	assert.equal(rows.length, seen.getFinishedSpans().length - 1);
	const { rows: [{ usage }] } = await pool.query(
		`SELECT to_jsonb(u) AS usage FROM (SELECT calls, prompt_tokens, completion_tokens, cache_read_tokens, reasoning_tokens
			FROM flowmaestro.trace_token_usage($1::uuid)) AS u`, [traceId]);
	return { rows, usage };
}

/** The sum that a query over the attributes would find. */
function naiveSum(...names: string[]): number {
	return seen.getFinishedSpans().flatMap(({ attributes }) => names.map((name) => Number(attributes[name] ?? 0)))
		.reduce((sum, value) => sum + value, 0);
}

test('AI SDK 6: tokens are counted once', async () => {
	const { usage, rows } = await recorded('run of 6', (tracer) => run(ai6, models6, {
		experimental_telemetry: { isEnabled: true, tracer, functionId: 'agent-6', metadata: { userId: 'user-1' } },
	}));
	assert.equal(naiveSum('ai.usage.inputTokens', 'ai.usage.tokens'), 2 * TRUTH.prompt_tokens);
	assert.deepEqual(usage, TRUTH);
	assert.deepEqual(rows.map(({ name, span_type, entity_id }) => [name, span_type, entity_id]), [
		['ai.embed', 'embedding_generation', 'agent-6'],
		['ai.embed.doEmbed', 'embedding_generation', 'agent-6'],
		['ai.generateText', 'agent_run', 'agent-6'],
		['ai.generateText.doGenerate', 'model_generation', 'agent-6'],
		['ai.generateText.doGenerate', 'model_generation', 'agent-6'],
		['ai.toolCall', 'tool_execution', 'agent-6'],
	]);
});

test('AI SDK 7: tokens are counted once', async () => {
	const { usage, rows } = await recorded('run of 7', (tracer) => run(ai7, models7, {
		telemetry: { functionId: 'agent-7', integrations: [new OpenTelemetry({ tracer })] },
	}));
	assert.equal(naiveSum('gen_ai.usage.output_tokens'), 2 * TRUTH.completion_tokens);
	assert.deepEqual(usage, { ...TRUTH, reasoning_tokens: 0 }); // it does not tell them
	assert.deepEqual(rows.map(({ name, span_type }) => [name, span_type]), [
		['chat gpt-4o', 'model_generation'],
		['chat gpt-4o', 'model_generation'],
		['embeddings text-embedding-3-small', 'embedding_generation'],
		['embeddings text-embedding-3-small', 'embedding_generation'],
		['execute_tool weather', 'tool_execution'],
		['invoke_agent gpt-4o', 'agent_run'],
		['step 1', 'agent_iteration'],
		['step 2', 'agent_iteration'],
	]);
	assert.equal(rows.find(({ span_type }) => span_type === 'agent_run').entity_id, 'agent-7');
});
