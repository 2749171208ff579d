// An agent of Mastra, traced by Mastra's own exporter into a connection.  Mastra tells
// the tokens of a call on one of three spans that the call has.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Agent } from '@mastra/core/agent';
import { Mastra } from '@mastra/core/mastra';
import { createTool } from '@mastra/core/tools';
import { Observability } from '@mastra/observability';
import { OtelExporter } from '@mastra/otel-exporter';
import { MockLanguageModelV3 } from 'ai/test';
import pg from 'pg';
import { z } from 'zod';
import { TRUTH, answers } from './model.ts';
import { PgSpanExporter } from './span-exporter.ts';

const pool = new pg.Pool();
after(() => pool.end());

test('Mastra: the agent is a trace, and its tokens are counted once', async () => {
	const planner = new Agent({
		id: 'planner', name: 'planner', instructions: 'Tell the weather.',
		model: new MockLanguageModelV3({ provider: 'openai', modelId: 'gpt-4o', doGenerate: answers() }) as any,
		tools: {
			weather: createTool({
				id: 'weather', description: 'the weather in a city', inputSchema: z.object({ city: z.string() }),
				execute: async () => ({ rain: true }),
			}),
		},
	});
	const exporter = new OtelExporter({
		exporter: new PgSpanExporter(pool), signals: { logs: false },
		provider: { custom: { endpoint: 'http://unused' } }, // it insists
	});
	const mastra = new Mastra({
		logger: false,
		agents: { planner },
		observability: new Observability({ configs: { database: { serviceName: 'mastra-test', exporters: [exporter] } } }),
	});
	const { text, traceId } = await mastra.getAgent('planner').generate('Weather in Bergen?');
	assert.equal(text, 'It rains.');
	await mastra.shutdown();

	await pool.query('SELECT flowmaestro.flush()');
	const { rows } = await pool.query(
		`SELECT name, span_type, entity_id FROM flowmaestro.execution_spans
			WHERE trace_id = $1::uuid ORDER BY started_at, span_type`, [traceId]);
	const kinds = rows.map(({ name, span_type }) => `${name}: ${span_type}`);
	assert.deepEqual([...new Set(kinds)].sort(), [
		'agent_step planner: agent_iteration',
		'chat gpt-4o: model_generation',
		'execute_tool weather: tool_execution',
		'invoke_agent planner: agent_run',
		'model_chunk planner: processor_run',
		'model_generation gpt-4o: model_generation',
	]);
	assert.equal(rows[0].entity_id, 'planner');
	const { rows: [{ usage }] } = await pool.query(
		`SELECT to_jsonb(u) AS usage FROM (SELECT calls, prompt_tokens, completion_tokens, cache_read_tokens, reasoning_tokens
			FROM flowmaestro.trace_token_usage($1::uuid)) AS u`, [traceId]);
	assert.deepEqual(usage, TRUTH);
});
