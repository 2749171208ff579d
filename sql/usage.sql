SET client_min_messages = warning;
DROP EXTENSION IF EXISTS flowmaestro_spans;
CREATE EXTENSION flowmaestro_spans;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

--
-- Reading: what each vocabulary says
--
CREATE TABLE said (n int GENERATED ALWAYS AS IDENTITY, vocabulary text, attributes jsonb);
INSERT INTO said (vocabulary, attributes) VALUES
('otel', '{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-11-20", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50, "gen_ai.usage.cache_read.input_tokens": 20, "gen_ai.usage.cache_write.input_tokens": 5, "gen_ai.usage.reasoning.output_tokens": 10, "gen_ai.usage.audio.input_tokens": 3, "gen_ai.usage.audio.output_tokens": 2, "gen_ai.agent.id": "a", "gen_ai.conversation.id": "s", "gen_ai.workflow.name": "w", "user.id": "u", "gen_ai.usage.cost.amount": 0.5}'),
('otel, old', '{"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 50, "gen_ai.usage.total_tokens": 150, "gen_ai.usage.cache_read_input_tokens": 20, "gen_ai.usage.cache_creation.input_tokens": 5, "enduser.id": "u", "gen_ai.usage.cost": 0.5}'),
('openinference', '{"openinference.span.kind": "LLM", "llm.provider": "openai", "llm.system": "x", "llm.model_name": "gpt-4o-2024-11-20", "llm.token_count.prompt": 100, "llm.token_count.completion": 50, "llm.token_count.total": 150, "llm.token_count.prompt_details.cache_read": 20, "llm.token_count.prompt_details.cache_write": 5, "llm.token_count.prompt_details.audio": 3, "llm.token_count.completion_details.reasoning": 10, "llm.token_count.completion_details.audio": 2, "session.id": "s", "user.id": "u", "llm.cost.prompt": 0.2, "llm.cost.completion": 0.3}'),
('openinference embedding', '{"llm.system": "openai", "embedding.model_name": "text-embedding-3-small", "llm.token_count.prompt": 7}'),
('vercel 4', '{"ai.model.provider": "openai.chat", "ai.model.id": "gpt-4o", "ai.response.model": "gpt-4o-2024-11-20", "ai.usage.promptTokens": 100, "ai.usage.completionTokens": 50, "ai.telemetry.metadata.userId": "u", "ai.telemetry.metadata.sessionId": "s", "ai.telemetry.functionId": "a"}'),
('vercel 5', '{"ai.model.provider": "openai.responses", "ai.model.id": "gpt-5", "ai.usage.inputTokens": 100, "ai.usage.outputTokens": 50, "ai.usage.totalTokens": 150, "ai.usage.reasoningTokens": 10, "ai.usage.cachedInputTokens": 20}'),
('vercel 6', '{"ai.model.provider": "openai.responses", "ai.model.id": "gpt-5", "ai.usage.inputTokens": 100, "ai.usage.outputTokens": 50, "ai.usage.inputTokenDetails.cacheReadTokens": 20, "ai.usage.inputTokenDetails.cacheWriteTokens": 5, "ai.usage.outputTokenDetails.reasoningTokens": 10, "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50}'),
('vercel 7', '{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.response.model": "gpt-5-2025-08-07", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50, "gen_ai.agent.name": "a"}'),
('vercel embed', '{"ai.model.provider": "openai.embedding", "ai.model.id": "text-embedding-3-small", "ai.usage.tokens": 7}'),
('openllmetry', '{"gen_ai.system": "Anthropic", "gen_ai.request.model": "claude-3-5-sonnet-latest", "gen_ai.response.model": "claude-3-5-sonnet-20241022", "gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 50, "llm.usage.total_tokens": 150, "gen_ai.usage.cache_read_input_tokens": 20, "gen_ai.usage.cache_creation_input_tokens": 5, "llm.usage.reasoning_tokens": 10, "traceloop.workflow.name": "w", "traceloop.association.properties.user_id": "u", "traceloop.association.properties.session_id": "s"}'),
('mastra', '{"model": "gpt-4o", "responseModel": "gpt-4o-2024-11-20", "provider": "openai", "usage": {"inputTokens": 100, "outputTokens": 50, "inputDetails": {"cacheRead": 20, "cacheWrite": 5}, "outputDetails": {"reasoning": 10}}, "userId": "u", "threadId": "s"}'),
('mastra over otel', '{"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50, "gen_ai.usage.cache_creation.5m_input_tokens": 3, "gen_ai.usage.cache_creation.1h_input_tokens": 2, "gen_ai.usage.audio_input_tokens": 3, "gen_ai.usage.audio_output_tokens": 2}'),
('flowmaestro', '{"provider": "openai", "model": "gpt-4o", "promptTokens": 100, "completionTokens": 50, "totalTokens": 150, "userId": "u", "sessionId": "s", "workflowId": "w", "agentId": "a", "totalCost": 0.5}'),
('flowmaestro, modelId', '{"provider": "openai", "modelId": "gpt-4o", "promptTokens": 100, "completionTokens": 50, "inputCost": 0.2, "outputCost": 0.3}'),
('langfuse', '{"langfuse.observation.model.name": "gpt-4o", "langfuse.observation.usage_details": {"input": 100, "output": 50, "total": 150, "input_cached_tokens": 20, "input_cache_creation_5m": 5, "output_reasoning_tokens": 10}, "langfuse.observation.cost_details": {"total": 0.5}, "langfuse.user.id": "u"}'),
-- objects as JSON text: OpenTelemetry has no objects as attributes
('langfuse over otel', '{"langfuse.observation.usage_details": "{\"input\": 100, \"output\": 50, \"input_cached_tokens\": 20}", "langfuse.observation.cost_details": "{\"total\": 0.5}"}'),
('vercel, openai', '{"ai.model.provider": "openai.responses", "ai.model.id": "gpt-5", "ai.usage.promptTokens": 100, "ai.usage.completionTokens": 50, "ai.response.providerMetadata": "{\"openai\":{\"responseId\":\"r\",\"cachedPromptTokens\":20,\"reasoningTokens\":10}}"}'),
('vercel, anthropic', '{"ai.model.provider": "anthropic.messages", "ai.model.id": "claude-sonnet-4-5", "ai.usage.promptTokens": 100, "ai.usage.completionTokens": 50, "ai.response.providerMetadata": "{\"anthropic\":{\"usage\":{\"input_tokens\":100,\"cache_creation_input_tokens\":5,\"cache_read_input_tokens\":20,\"cache_creation\":{\"ephemeral_5m_input_tokens\":3,\"ephemeral_1h_input_tokens\":2},\"output_tokens\":50,\"service_tier\":\"standard\"},\"cacheCreationInputTokens\":5}}"}'),
('vercel 6, anthropic', '{"ai.model.provider": "anthropic.messages", "ai.model.id": "claude-sonnet-4-5", "ai.usage.inputTokens": 125, "ai.usage.outputTokens": 50, "ai.response.providerMetadata": "{\"anthropic\":{\"usage\":{\"input_tokens\":100,\"cache_read_input_tokens\":20,\"cache_creation\":{\"ephemeral_5m_input_tokens\":3,\"ephemeral_1h_input_tokens\":2}}}}"}'),
('vercel, bedrock', '{"ai.model.provider": "amazon-bedrock", "ai.model.id": "anthropic.claude-sonnet-4-5", "ai.usage.promptTokens": 100, "ai.usage.completionTokens": 50, "ai.response.providerMetadata": "{\"bedrock\":{\"usage\":{\"cacheReadInputTokens\":20,\"cacheWriteInputTokens\":5}}}"}');
SELECT s.vocabulary, u.provider, u.response_model, u.request_model, u.entity_id AS entity, u.user_id AS user, u.session_id AS session, u.workflow
FROM said AS s, flowmaestro.usage_of(s.attributes) AS u ORDER BY n;
SELECT s.vocabulary, u.carries, u.input_tokens AS input, u.output_tokens AS output, u.total_tokens AS total, u.cache_read_tokens AS read, u.cache_write_tokens AS write,
    u.reasoning_tokens AS reasoning, u.audio_input_tokens AS audio_in, u.audio_output_tokens AS audio_out, u.cost, u.ignored
FROM said AS s, flowmaestro.usage_of(s.attributes) AS u ORDER BY n;

-- the first name in the order of precedence wins, whatever the order of keys
SELECT input_tokens FROM flowmaestro.usage_of('{"promptTokens": 1, "ai.usage.inputTokens": 2, "gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.input_tokens": 4}');
SELECT input_tokens FROM flowmaestro.usage_of('{"promptTokens": 1, "ai.usage.inputTokens": 2, "gen_ai.usage.prompt_tokens": 3}');
SELECT input_tokens, ignored FROM flowmaestro.usage_of('{"promptTokens": 1, "ai.usage.inputTokens": "?", "gen_ai.usage.prompt_tokens": null}');

-- numbers, numbers in strings, and what is neither: never an error
SELECT v.value, u.carries, u.input_tokens, u.ignored
FROM unnest(ARRAY['7', '"7"', '" 7 "', '"+7"', '"7.0"', '7.5', '6.4', '"12.5"', '0', '-1', '"-1"', '-0.4', '1e3', '"1e3"', '1e12', '1000000000001', '1e400', '"1e400"', '"Infinity"', '"NaN"', '"0x10"', '"1_000"',
    '"1,000"', '""', '"   "', '"seven"', 'null', 'true', '[7]', '{"intValue": 7}', '"7 tokens"', '"."', '"7e"', '"12345678901234567890123456789012345678901234567890"']) AS v (value),
    flowmaestro.usage_of(('{"promptTokens": ' || v.value || '}')::jsonb) AS u;
SELECT v.value, u.carries, u.cost, u.ignored
FROM unnest(ARRAY['0.25', '"0.25"', '0', '-0.1', '1e13', '1e-30', '0.1234567890123456789012345', '"free"', 'null']) AS v (value),
    flowmaestro.usage_of(('{"totalCost": ' || v.value || '}')::jsonb) AS u;
SELECT carries, total_tokens, ignored FROM flowmaestro.usage_of('[1]');
SELECT carries, total_tokens, ignored FROM flowmaestro.usage_of('"promptTokens"');
SELECT carries, total_tokens, ignored FROM flowmaestro.usage_of('{}');
SELECT carries, input_tokens FROM flowmaestro.usage_of('{"usage": {"usage": {"inputTokens": 7}}, "inputDetails": {"cacheRead": 3}}');
SELECT length(user_id), octet_length(user_id) FROM flowmaestro.usage_of(jsonb_build_object('userId', repeat('ä', 500)));

-- the AI SDK's own numbers win over the provider's; text that is no JSON, or was cut off, is never an error: what is whole is taken
SELECT cache_read_tokens, reasoning_tokens FROM flowmaestro.usage_of('{"ai.usage.cachedInputTokens": 1, "ai.response.providerMetadata": "{\"openai\":{\"cachedPromptTokens\":2,\"reasoningTokens\":3}}"}');
SELECT v.value, u.cache_read_tokens AS read, u.cache_write_tokens AS write, u.reasoning_tokens AS reasoning, u.ignored
FROM unnest(ARRAY['{"openai":{"cachedPromptTokens":2,"reasoningTokens":3}}', ' { "openai" : { "cachedPromptTokens" : "2" , "reasoningTokens" : 3 } } ', '{"openai":{"x":[{"cachedPromptTokens":9},"]}",null],"y":{"a":{"b":[]}},"cachedPromptTokens":2}}',
    '{"openai":{"s":"\"}{\\","cachedPromptTokens":2}}', '{"openai":{"cachedPromptTokens":true,"reasoningTokens":"many"}}', '{"openai":{"cachedPromptTokens":-2,"reasoningTokens":1e3}}', '{"openai":{"cachedPromptTokens":[2],"reasoningTokens":{"a":3}}}',
    '{"openai":{"reasoningTokens":3,"cachedPromptTokens":20', '{"openai":{"reasoningTokens":3,"cachedPromptTokens":20}', '{"openai":{"reasoningTokens":3,"cachedPromptTok', '{"openai":{"reasoningTokens":3,,}}', '{"openai":{"reasoningTokens" 3}}', '{"openai":{"a":]}}', '{"openai":{"a":"\', '{"openai":{"a":[[[', '{', '{}', '{"openai":3}', '{"openai":[]}', '[{"openai":{"reasoningTokens":3}}]', 'none', '', '""',
    '{"openai":{"reasoningTokens":3}} and more', '{"usage":{"cacheReadInputTokens":3}}', '{"bedrock":{"usage":{"cacheReadInputTokens":3,"cacheWriteInputTokens":4}},"anthropic":{"cacheReadInputTokens":5}}']) AS v (value),
    flowmaestro.usage_of(jsonb_build_object('ai.response.providerMetadata', v.value)) AS u;
SELECT reasoning_tokens, ignored FROM flowmaestro.usage_of(jsonb_build_object('ai.response.providerMetadata', '{"openai":{"a":' || repeat('[', 200000) || repeat(']', 200000) || ',"reasoningTokens":3}}'));
SELECT reasoning_tokens, ignored FROM flowmaestro.usage_of(jsonb_build_object('ai.response.providerMetadata', repeat('{"openai":', 200000)));
-- no beginning of such a text is an error
SELECT count(*), bool_and(u.cache_read_tokens IN (0, 20) AND u.reasoning_tokens IN (0, 10)) AS whole, count(DISTINCT u.ignored) AS ignored
FROM (SELECT attributes, attributes ->> 'ai.response.providerMetadata' AS t FROM said WHERE vocabulary = 'vercel, openai') AS s, generate_series(0, length(s.t)) AS n,
    flowmaestro.usage_of(jsonb_build_object('ai.response.providerMetadata', left(s.t, n))) AS u;

-- objects of many keys, of the same keys in turn, and of keys as long as another's
SELECT n, u.input_tokens, u.output_tokens, u.user_id
FROM unnest('{1,31,32,33,63,64,65,200}'::int[]) AS n, generate_series(1, 2) AS again,
    LATERAL (SELECT jsonb_object_agg('key ' || i, i) || jsonb_build_object('promptTokens', n, 'completionTokens', 2 * n, 'userId', 'u' || n) AS attributes FROM generate_series(1, n) AS i) AS a,
    flowmaestro.usage_of(a.attributes) AS u ORDER BY n, again;
SELECT u.input_tokens, u.output_tokens, u.total_tokens FROM generate_series(1, 3),
    unnest('{"{\"promptTokens\": 1, \"totalTokens\": 7}","{\"promptTokenz\": 1, \"totalTokens\": 7}","{\"promptTokens\": 2, \"totalTokenz\": 7}"}'::jsonb[]) AS a, flowmaestro.usage_of(a) AS u;

-- parts lie inside their totals; cached tokens beside the input are recognised
SELECT input_tokens, output_tokens, total_tokens FROM flowmaestro.usage_of('{"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50, "gen_ai.usage.cache_read.input_tokens": 100, "gen_ai.usage.reasoning.output_tokens": 50}');
SELECT input_tokens, output_tokens, total_tokens FROM flowmaestro.usage_of('{"gen_ai.usage.input_tokens": 4, "gen_ai.usage.output_tokens": 50, "gen_ai.usage.cache_read.input_tokens": 1000, "gen_ai.usage.cache_write.input_tokens": 200, "gen_ai.usage.total_tokens": 54}');

--
-- Prices
--
SELECT flowmaestro.load_model_prices(flowmaestro.starter_model_prices()) > 40 AS loaded;
SELECT flowmaestro.load_model_prices(flowmaestro.starter_model_prices()) = count(*) AS again_the_same FROM flowmaestro.model_prices;
-- what prefixes in the order of a table priced wrong, and what is like it
SELECT m.provider, m.model, p.model AS price, c.cost
FROM (VALUES ('openai', 'gpt-4o-mini-2025-01-01'), ('openai', 'gpt-4.1'), ('openai', 'gpt-4.1-2025-04-14'), ('google', 'gemini-2.5-flash-lite'), ('google', 'gemini-2.5-flash-lite-preview-06-17'),
    ('openai', ''), ('', ''), ('openai', 'gpt-5'), ('openai', 'gpt-5-2025-08-07'), ('openai', 'gpt-4'), ('openai', 'gpt-4-0613'), ('openai', 'gpt-4o'), ('openai', 'gpt-4o-2024-11-20'), ('openai', 'gpt-4.5'),
    ('openai', 'gpt-4ofoo'), ('openai', 'gpt'), ('OpenAI', 'GPT-4o'), ('openai.chat', 'gpt-4o'), ('azure.ai.openai', 'gpt-4o'), ('openrouter', 'openai/gpt-4o'), ('', 'openai/gpt-4o'), ('openaix', 'gpt-4o'), ('anthropic', 'gpt-4o'), ('', 'gpt-4o'),
    ('gcp.vertex_ai', 'gemini-2.5-pro'), ('google', 'models/gemini-2.5-pro'), ('anthropic', 'claude-3-5-haiku-latest'), ('anthropic', 'claude-3-5-haiku-20241022'), ('anthropic', 'claude-haiku-4-5@20251001'), ('huggingface', 'meta-llama/Llama-3.3-70B-Instruct')) AS m (provider, model),
    flowmaestro.span_cost(m.provider, NULL, m.model, '2026-01-01', '{1000000,1000000}') AS c
LEFT JOIN flowmaestro.model_prices AS p USING (price_id) ORDER BY m.provider COLLATE "C", m.model COLLATE "C";
-- by the model that answered, then by the one that was asked for
SELECT p.model FROM flowmaestro.span_cost('openai', 'gpt-4o-mini', 'gpt-4o', '2026-01-01', '{1}') AS c JOIN flowmaestro.model_prices AS p USING (price_id);
SELECT p.model FROM flowmaestro.span_cost('openai', 'none', 'gpt-4o', '2026-01-01', '{1}') AS c JOIN flowmaestro.model_prices AS p USING (price_id);
-- parts with prices of their own: input, output, total, cache read, cache write, reasoning, audio input, audio output
TRUNCATE flowmaestro.model_prices;
SELECT flowmaestro.load_model_prices('[{"provider": "p", "model": "all", "valid_from": "2026-01-01", "currency": "EUR", "input": 1, "output": 10, "cache_read": 0.1, "cache_write": 1.25, "reasoning": 20, "audio_input": 5, "audio_output": 50},
    {"provider": "p", "model": "plain", "valid_from": "2026-01-01", "input": 1, "output": 10},
    {"provider": "p", "model": "dear", "valid_from": "2026-01-01", "input": 1}, {"provider": "p", "model": "dear", "valid_from": "2026-02-01", "input": 2}, {"provider": "p", "model": "de", "valid_from": "2020-01-01", "input": 9},
    {"provider": "q", "model": "plain", "valid_from": "2026-01-01", "input": 3}]');
SELECT m, c.cost, c.currency FROM unnest('{all,plain}'::text[]) AS m, flowmaestro.span_cost('p', m, NULL, '2026-01-01', '{1000000,1000000}') AS c;
SELECT m, c.cost, c.currency FROM unnest('{all,plain}'::text[]) AS m, flowmaestro.span_cost('p', m, NULL, '2026-01-01', '{1000000,1000000,2000000,200000,100000,300000,50000,10000}') AS c;
-- as of the start; before the first price there is none, not even a shorter name's
SELECT at, c.cost FROM unnest('{2025-12-31,2026-01-01,2026-01-31 23:59:59.999999,2026-02-01}'::timestamptz[]) AS at, flowmaestro.span_cost('p', 'dear-1', NULL, at, '{1000000}') AS c;
-- a provider that is not told must not matter
SELECT flowmaestro.span_cost('', 'plain', NULL, '2026-01-01', '{1000000}'), flowmaestro.span_cost(NULL, 'dear', NULL, '2026-01-01', '{1000000}') IS NOT NULL AS one;
SELECT flowmaestro.span_cost('p', 'plain', NULL, NULL, '{1}'), flowmaestro.span_cost('p', 'plain', NULL, '2026-01-01', NULL);
SELECT cost FROM flowmaestro.span_cost('p', 'plain', NULL, '2026-01-01', '{NULL,5}');
-- what cannot be loaded
SELECT flowmaestro.load_model_prices('{"provider": "p"}');
SELECT flowmaestro.load_model_prices('[1]');
SELECT flowmaestro.load_model_prices('[{"provider": "p", "model": "m", "valid_from": "2026-01-01", "price": 1}]');
SELECT flowmaestro.load_model_prices('[{"provider": "p", "model": "m", "valid_from": "2026-01-01", "input": -1}]');
SELECT flowmaestro.load_model_prices('[{"provider": "p", "model": "", "valid_from": "2026-01-01", "input": 1}]');
SELECT flowmaestro.load_model_prices('[{"provider": "p", "model": "m", "input": 1}]');
SELECT flowmaestro.load_model_prices('[]');

--
-- Counting once
--
-- a run, an iteration, the model call inside that tells the same tokens once more, and two steps of it
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('22222222-2222-4222-8222-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE VIEW counted AS SELECT right(span_id::text, 2) AS span, covered, counted, waits_for IS NOT NULL AS waits, total_tokens AS total, cost
FROM flowmaestro.span_usage ORDER BY span_id;
CREATE VIEW hourly AS SELECT hour, entity_id, user_id, model, span_type, currency, calls, failures, total_tokens AS total, cost, duration_us, durations FROM flowmaestro.token_usage_hourly ORDER BY 1, 2, 3, 4, 5, 6;
SET flowmaestro.write_mode = transactional;
-- the inner calls first: their count; then what is above them
SELECT FROM flowmaestro.create_span('step 1', 'model_generation', 'agent', '{"userId": "u", "provider": "p", "model": "plain", "promptTokens": 10, "completionTokens": 1}', trace_id => id(1), parent_span_id => id(12), span_id => id(13), started_at => '2026-01-05 10:00:00+00');
SELECT FROM flowmaestro.create_span('step 2', 'model_generation', 'agent', '{"userId": "u", "provider": "p", "model": "plain", "promptTokens": 20, "completionTokens": 2}', trace_id => id(1), parent_span_id => id(12), span_id => id(14), started_at => '2026-01-05 10:59:59.999999+00');
TABLE counted;
SELECT FROM flowmaestro.create_span('generation', 'model_generation', 'agent', '{"userId": "u", "provider": "p", "model": "plain", "promptTokens": 30, "completionTokens": 3}', trace_id => id(1), parent_span_id => id(11), span_id => id(10), started_at => '2026-01-05 10:00:00+00');
TABLE counted;
TABLE hourly;
SELECT FROM flowmaestro.create_span('iteration', 'agent_iteration', 'agent', '{"promptTokens": 30, "completionTokens": 3}', trace_id => id(1), parent_span_id => id(10), span_id => id(12), started_at => '2026-01-05 10:00:00+00');
TABLE counted;
TABLE hourly;
SELECT FROM flowmaestro.create_span('run', 'agent_run', 'agent', '{"promptTokens": 30, "completionTokens": 3}', trace_id => id(1), span_id => id(11), started_at => '2026-01-05 10:00:00+00');
TABLE counted;
-- ends, twice; durations and failures count
SELECT flowmaestro.end_span(id(13), ended_at => '2026-01-05 10:00:00.25+00'), flowmaestro.end_span(id(13), ended_at => '2026-01-05 10:00:09+00'),
    flowmaestro.end_span_with_error(id(14), 'no', ended_at => '2026-01-05 11:00:05+00');
TABLE hourly;
-- a call that lost its tokens no longer covers another; the third one with none is a call all the same
SELECT flowmaestro.set_span_attributes(id(13), '{"promptTokens": null, "completionTokens": null}');
TABLE counted;
SELECT flowmaestro.set_span_attributes(id(14), '{"promptTokens": "?", "completionTokens": []}');
TABLE counted;
TABLE hourly;
SELECT * FROM flowmaestro.check_token_usage();
-- a circle of parents
SELECT FROM flowmaestro.create_span('a', 'model_generation', attributes => '{"promptTokens": 1}', trace_id => id(2), parent_span_id => id(21), span_id => id(20), started_at => '2026-01-06');
SELECT FROM flowmaestro.create_span('b', 'agent_run', trace_id => id(2), parent_span_id => id(20), span_id => id(21), started_at => '2026-01-06');
SELECT FROM flowmaestro.create_span('c', 'model_generation', attributes => '{"promptTokens": 2}', trace_id => id(2), parent_span_id => id(22), span_id => id(22), started_at => '2026-01-06');
SELECT * FROM counted WHERE span LIKE '2%';
-- what is undone is not counted
BEGIN;
SELECT FROM flowmaestro.create_span('kept', 'model_generation', attributes => '{"promptTokens": 1}', trace_id => id(3), span_id => id(30), started_at => '2026-01-06');
SAVEPOINT s;
SELECT flowmaestro.set_span_attributes(id(30), '{"promptTokens": 1000}');
SELECT FROM flowmaestro.create_span('undone', 'model_generation', attributes => '{"promptTokens": 2}', trace_id => id(3), parent_span_id => id(30), span_id => id(31), started_at => '2026-01-06');
ROLLBACK TO s;
COMMIT;
SELECT * FROM counted WHERE span LIKE '3%';
-- in a snapshot of its own, and when it cannot be committed one by one
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM counted WHERE span LIKE '3%';
SELECT flowmaestro.set_span_attributes(id(30), '{"promptTokens": 3}');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT flowmaestro.set_span_attributes(id(30), '{"promptTokens": 4}');
COMMIT;
SELECT * FROM counted WHERE span LIKE '3%';
-- in two phases: counted with the next batch; where the server cannot, it is the same
SELECT current_setting('max_prepared_transactions')::int > 0 AS can_prepare \gset
BEGIN;
SELECT FROM flowmaestro.create_span('prepared', 'model_generation', attributes => '{"promptTokens": 5}', trace_id => id(3), span_id => id(39), started_at => '2026-01-06');
\if :can_prepare
PREPARE TRANSACTION 'flowmaestro_regress_usage';
COMMIT PREPARED 'flowmaestro_regress_usage';
\else
COMMIT;
\endif
RESET flowmaestro.write_mode;
SELECT FROM flowmaestro.create_span('a batch', 'agent_run');
SELECT flowmaestro.flush();
SELECT total FROM counted WHERE span = '39';
SELECT count(*) FROM flowmaestro.uncounted_spans;
SELECT * FROM flowmaestro.check_token_usage();
-- a transaction that writes more spans than are counted at once counts them all
SET flowmaestro.write_mode = transactional;
SELECT count((flowmaestro.create_span('of many', 'model_generation', 'many at once',
    attributes => jsonb_build_object('promptTokens', 1 << n), started_at => '2026-01-07')).span_id)
FROM generate_series(0, 6) AS n;
RESET flowmaestro.write_mode;
SELECT (flowmaestro.get_token_usage('many at once')).total_tokens;
SELECT * FROM flowmaestro.check_token_usage();
-- a row that the table refuses is not counted, its neighbours are; put right, it is
SELECT FROM flowmaestro.create_span('before', 'model_generation', 'poison', attributes => '{"promptTokens": 1}', trace_id => id(4), span_id => id(40), started_at => '2026-01-07');
SELECT FROM flowmaestro.create_span('poison', 'model_generation', 'poison', jsonb_build_object('promptTokens', 2, 'userId', (SELECT string_agg(md5(i::text), '' ORDER BY i) FROM generate_series(1, 188) AS i)), trace_id => id(4), span_id => id(41), started_at => '2026-01-07');
SELECT FROM flowmaestro.create_span('after', 'model_generation', 'poison', attributes => '{"promptTokens": 4}', trace_id => id(4), span_id => id(42), started_at => '2026-01-07');
SELECT flowmaestro.flush();
SELECT (flowmaestro.get_token_usage('poison')).total_tokens;
UPDATE flowmaestro.rejected_spans SET attributes = attributes || '{"userId": "u"}';
SELECT flowmaestro.retry_rejected_spans();
SELECT (flowmaestro.get_token_usage('poison')).total_tokens;
SELECT * FROM flowmaestro.check_token_usage();

--
-- Traces as the SDKs send them: the same usage on several spans, each call counted once,
-- whether children or parents come first
--
CREATE TABLE sent (sdk text, n int, parent int, span_type text, attributes jsonb);
INSERT INTO sent VALUES
-- AI SDK 6: ai.usage on the root and on each step, gen_ai.usage on the steps; a tool that calls a model
('ai sdk 6', 1, NULL, 'model_generation', '{"operation.name": "ai.generateText", "ai.model.provider": "openai.chat", "ai.model.id": "gpt-4o", "ai.usage.inputTokens": 300, "ai.usage.outputTokens": 30, "ai.usage.totalTokens": 330}'),
('ai sdk 6', 2, 1, 'model_generation', '{"operation.name": "ai.generateText.doGenerate", "ai.model.provider": "openai.chat", "ai.model.id": "gpt-4o", "gen_ai.request.model": "gpt-4o", "ai.usage.inputTokens": 100, "ai.usage.outputTokens": 10, "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}'),
('ai sdk 6', 3, 1, 'model_generation', '{"operation.name": "ai.generateText.doGenerate", "ai.model.provider": "openai.chat", "ai.model.id": "gpt-4o", "gen_ai.request.model": "gpt-4o", "ai.usage.inputTokens": 200, "ai.usage.outputTokens": 20, "gen_ai.usage.input_tokens": 200, "gen_ai.usage.output_tokens": 20}'),
('ai sdk 6', 4, 1, 'tool_execution', '{"operation.name": "ai.toolCall", "ai.toolCall.name": "ask"}'),
('ai sdk 6', 5, 4, 'model_generation', '{"operation.name": "ai.generateText", "ai.model.id": "gpt-4o-mini", "ai.usage.inputTokens": 7, "ai.usage.outputTokens": 1}'),
('ai sdk 6', 6, 5, 'model_generation', '{"operation.name": "ai.generateText.doGenerate", "ai.model.id": "gpt-4o-mini", "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 1}'),
-- AI SDK 7: the run has the sum again; an embedding comes as two spans, one in the other, with equal usage
('ai sdk 7', 1, NULL, 'agent_run', '{"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a", "gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 30}'),
('ai sdk 7', 2, 1, 'agent_iteration', '{"gen_ai.operation.name": "agent_step", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}'),
('ai sdk 7', 3, 2, 'model_generation', '{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}'),
('ai sdk 7', 4, 1, 'agent_iteration', '{"gen_ai.operation.name": "agent_step", "gen_ai.usage.input_tokens": 200, "gen_ai.usage.output_tokens": 20}'),
('ai sdk 7', 5, 4, 'model_generation', '{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 200, "gen_ai.usage.output_tokens": 20}'),
('ai sdk 7', 6, 1, 'embedding_generation', '{"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "text-embedding-3-small", "gen_ai.usage.input_tokens": 7}'),
('ai sdk 7', 7, 6, 'embedding_generation', '{"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "text-embedding-3-small", "gen_ai.usage.input_tokens": 7}'),
-- Mastra: on the generation, on its steps, and on the inference in each step, all of them generations
('mastra', 1, NULL, 'agent_run', '{"entityId": "a"}'),
('mastra', 2, 1, 'model_generation', '{"model": "gpt-4o", "provider": "openai", "usage": {"inputTokens": 300, "outputTokens": 30, "inputDetails": {"cacheRead": 60}}}'),
('mastra', 3, 2, 'model_generation', '{"mastra.span.type": "model_step", "usage": {"inputTokens": 100, "outputTokens": 10}}'),
('mastra', 4, 3, 'model_generation', '{"mastra.span.type": "model_inference", "model": "gpt-4o", "provider": "openai", "usage": {"inputTokens": 100, "outputTokens": 10}}'),
('mastra', 5, 2, 'model_generation', '{"mastra.span.type": "model_step", "usage": {"inputTokens": 200, "outputTokens": 20, "inputDetails": {"cacheRead": 60}}}'),
('mastra', 6, 5, 'model_generation', '{"mastra.span.type": "model_inference", "model": "gpt-4o", "provider": "openai", "usage": {"inputTokens": 200, "outputTokens": 20, "inputDetails": {"cacheRead": 60}}}'),
('mastra', 7, 6, 'model_generation', '{"mastra.span.type": "model_chunk"}'),
-- OpenInference: chains and agents above, tokens on the call alone
('openinference', 1, NULL, 'agent_run', '{"openinference.span.kind": "AGENT"}'),
('openinference', 2, 1, 'workflow_run', '{"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 300, "llm.token_count.completion": 30}'),
('openinference', 3, 2, 'model_generation', '{"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 300, "llm.token_count.completion": 30, "llm.token_count.total": 330}');
CREATE FUNCTION sent_id(sdk text, way text, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(sdk || way || n)::uuid $$;
SELECT count(c.span_id) FROM (SELECT * FROM sent, unnest('{parents first,children first}'::text[]) AS way ORDER BY way, CASE way WHEN 'parents first' THEN n ELSE -n END) AS s,
    LATERAL flowmaestro.create_span(s.span_type, s.span_type, 'sdk', s.attributes, trace_id => sent_id(s.sdk, s.way, 0), parent_span_id => sent_id(s.sdk, s.way, s.parent),
        span_id => sent_id(s.sdk, s.way, s.n), started_at => '2026-01-08') AS c;
SELECT flowmaestro.flush();
-- a chunk that tells nothing does not count while it runs; ended, it is a call without tokens
SELECT s.sdk, way, u.calls, u.prompt_tokens, u.completion_tokens, u.total_tokens, u.cache_read_tokens
FROM (SELECT DISTINCT sdk FROM sent) AS s, unnest('{parents first,children first}'::text[]) AS way, flowmaestro.trace_token_usage(sent_id(s.sdk, way, 0)) AS u ORDER BY s.sdk COLLATE "C", way;
SELECT string_agg(n::text, ',' ORDER BY n) AS counted, way, sdk FROM sent, unnest('{parents first,children first}'::text[]) AS way
JOIN flowmaestro.span_usage AS u ON u.counted WHERE u.span_id = sent_id(sdk, way, n) GROUP BY sdk, way ORDER BY sdk COLLATE "C", way;
SELECT * FROM flowmaestro.check_token_usage();

--
-- Questions
--
SELECT flowmaestro.load_model_prices('[{"provider": "e", "model": "m", "valid_from": "2026-01-01", "currency": "EUR", "input": 1, "output": 10}]');
SELECT count(flowmaestro.end_span(c.span_id, status => CASE WHEN n % 10 = 0 THEN 'failed' END, ended_at => '2026-02-01 20:00:00+00'::timestamptz + n * interval '7 minutes' + n * interval '10 ms'))
FROM generate_series(1, 200) AS n, flowmaestro.create_span('call', 'model_generation', 'agent ' || n % 2, jsonb_build_object('userId', 'u' || n % 3, 'sessionId', 's' || n % 4, 'workflowId', 'w' || n % 2,
    'provider', (ARRAY['p', 'e', 'x'])[1 + n % 3], 'model', (ARRAY['plain', 'm', 'none'])[1 + n % 3], 'promptTokens', n, 'completionTokens', 2 * n), started_at => '2026-02-01 20:00:00+00'::timestamptz + n * interval '7 minutes') AS c;
SELECT flowmaestro.flush();
SELECT * FROM flowmaestro.get_token_usage('agent 1');
SELECT * FROM flowmaestro.get_token_usage('agent 1', '2026-02-01', '2026-02-02');
SELECT * FROM flowmaestro.get_token_usage('nobody');
SELECT * FROM flowmaestro.get_token_usage(NULL);
SELECT * FROM flowmaestro.trace_token_usage(id(1));
SELECT * FROM flowmaestro.trace_token_usage(id(99));
SELECT entity_id, calls, failures, prompt_tokens, completion_tokens, total_tokens, cost, round(avg_ms) AS avg_ms, round(p50_ms) AS p50, round(p95_ms) AS p95, round(p99_ms) AS p99 FROM flowmaestro.token_usage('{agent}', '2026-02-01', '2026-03-01');
SELECT workflow, session_id, calls, total_tokens FROM flowmaestro.token_usage('{workflow,session}', '2026-02-01', '2026-03-01');
SELECT provider, model, user_id, calls, total_tokens, cost FROM flowmaestro.token_usage('{provider,model,user}', '2026-02-01', '2026-03-01');
SELECT day, calls, total_tokens, cost FROM flowmaestro.token_usage('{day}', '2026-02-01', '2026-03-01', '{"agent": "agent 1"}');
SELECT calls, total_tokens FROM flowmaestro.token_usage('{}', '2026-02-01', '2026-03-01', '{"user": ["u1", "u2"], "model": "m"}');
SELECT calls, total_tokens FROM flowmaestro.token_usage('{}', '2026-02-01', '2026-03-01', '{"user": "%s'' OR true --"}');
SELECT calls, total_tokens FROM flowmaestro.token_usage(NULL, '2026-02-01', '2026-03-01', '{}');
-- every way to cut time is the sum of the ledger, in any zone
CREATE TABLE cuts AS SELECT s::timestamptz AS s, e::timestamptz AS e FROM unnest('{-infinity,2026-01-05 10:00:00+00,2026-02-01,2026-02-01 20:07:00+00,2026-02-01 20:07:00.000001+00,2026-02-02 03:30:00+00}'::text[]) AS s,
    unnest('{infinity,2026-02-02,2026-02-02 03:31:00+00,2026-02-01 20:30:00+00}'::text[]) AS e;
SELECT g, z, count(*) AS cuts, bool_and(t IS NOT DISTINCT FROM x) AS same
FROM cuts, unnest('{"{}","{entity}","{user}","{day}","{hour}","{day,session}"}'::text[]) AS g, unnest('{UTC,Europe/Berlin,Asia/Kolkata}'::text[]) AS z,
    LATERAL (SELECT set_config('timezone', z, false)) AS c,
    LATERAL (SELECT sum(total_tokens) AS t, CASE WHEN z = c.set_config THEN jsonb_object_agg(coalesce(day::text, hour::text, ''), 1) END AS k FROM flowmaestro.token_usage(g::text[], s, e)) AS u,
    LATERAL (SELECT sum(total_tokens) AS x FROM flowmaestro.span_usage WHERE counted AND started_at >= s AND started_at < e) AS l
GROUP BY g, z ORDER BY g COLLATE "C", z COLLATE "C";
SET timezone = 'Asia/Kolkata';
SELECT day, hour, calls FROM flowmaestro.token_usage('{day,hour}', '2026-02-02', '2026-02-02 03:00') ;
SELECT (SELECT array_agg((day, calls) ORDER BY day) FROM flowmaestro.token_usage('{day}', '2026-02-01', '2026-03-01'))
    = (SELECT array_agg((d, c) ORDER BY d) FROM (SELECT started_at::date AS d, count(*)::numeric AS c FROM flowmaestro.span_usage WHERE counted AND started_at >= '2026-02-01' GROUP BY 1) AS x) AS days_of_india;
SET timezone = 'UTC';
-- what cannot be asked
SELECT * FROM flowmaestro.token_usage('{colour}');
SELECT * FROM flowmaestro.token_usage('{entity,NULL}');
SELECT * FROM flowmaestro.token_usage('{}', filters => '{"colour": "red"}');
SELECT * FROM flowmaestro.token_usage('{}', filters => '[]');
SELECT * FROM flowmaestro.token_usage('{}', NULL);
-- the aggregate, also in parallel
SELECT u.* FROM (SELECT (flowmaestro.token_usage_agg(attributes)).* FROM said) AS u;
SELECT (flowmaestro.token_usage_agg(attributes)).calls FROM said WHERE false;
SELECT (flowmaestro.token_usage_agg(NULL)).calls;
SELECT aggtranstype::regtype, aggcombinefn, aggserialfn, proparallel FROM pg_aggregate JOIN pg_proc ON oid = aggfnoid WHERE aggfnoid = 'flowmaestro.token_usage_agg'::regproc;
CREATE TABLE many AS SELECT attributes FROM said, generate_series(1, 2000);
ANALYZE many;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS off) SELECT flowmaestro.token_usage_agg(attributes) FROM many;
SELECT (flowmaestro.token_usage_agg(attributes)).* FROM many;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
-- functions of the state take no other array
SELECT flowmaestro.token_usage_step('{1,2}', '{}');
SELECT flowmaestro.token_usage_combine('{0,0,0,0,0,0,0,0,0}', '{1,2,3,4,5,6,7,8,NULL}');
SELECT flowmaestro.token_usage_combine('{9223372036854775807,0,0,0,0,0,0,0,0}', '{1,0,0,0,0,0,0,0,0}');
SELECT flowmaestro.usage_durations_add('[79:80]={1,2}', '{}');
SELECT flowmaestro.usage_durations_add('{{1},{2}}', '{}');
SELECT flowmaestro.usage_percentile('{1}', 1.5);
SELECT flowmaestro.usage_percentile('{}', 0.5), flowmaestro.usage_percentile(flowmaestro.usage_durations_of(0), 0.5), flowmaestro.usage_percentile(flowmaestro.usage_durations_of(9223372036854775807), 0.5) > 1e7 AS longest;
-- percentiles of a histogram are at most an eighth off
SELECT max(abs(flowmaestro.usage_percentile(flowmaestro.usage_durations_of(d * 1000), 0.5) / d - 1)) < 0.126 AS near FROM generate_series(1, 100000, 37) AS d;
-- internal ones answer to the writer only
SELECT * FROM flowmaestro.pending_usage();
SELECT * FROM flowmaestro.pending_sums();
SELECT flowmaestro.prices_changed();

--
-- History keeps its prices until it is priced again
--
SELECT cost FROM flowmaestro.get_token_usage('agent 0', '2026-02-01', '2026-03-01');
SELECT flowmaestro.load_model_prices('[{"provider": "p", "model": "plain", "valid_from": "2026-02-02", "input": 2, "output": 20}, {"provider": "x", "model": "none", "valid_from": "2026-01-01", "input": 1}]');
SELECT cost FROM flowmaestro.get_token_usage('agent 0', '2026-02-01', '2026-03-01');
SELECT flowmaestro.rebuild_token_usage('[2026-02-01,2026-03-01)');
SELECT * FROM flowmaestro.check_token_usage();
SELECT calls, old_cost, new_cost, during, repriced_by = session_user AS by FROM flowmaestro.reprice('[2026-02-01,2026-03-01)');
SELECT cost FROM flowmaestro.get_token_usage('agent 0', '2026-02-01', '2026-03-01');
SELECT p.model, p.valid_from, count(*), sum(u.cost) FROM flowmaestro.span_usage AS u JOIN flowmaestro.model_prices AS p USING (price_id) WHERE u.started_at >= '2026-02-01' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT calls, old_cost = new_cost AS same FROM flowmaestro.reprice('[2026-02-01,2026-03-01)');
SELECT count(*) FROM flowmaestro.repricings;
SELECT * FROM flowmaestro.check_token_usage();
-- a cost that was given stays
SELECT FROM flowmaestro.create_span('given', 'model_generation', 'given', '{"provider": "p", "model": "plain", "promptTokens": 1000000, "totalCost": "0.75"}', trace_id => id(5), span_id => id(50), started_at => '2026-02-03');
SELECT flowmaestro.flush();
SELECT cost, price_id FROM flowmaestro.span_usage WHERE span_id = id(50);
SELECT calls FROM flowmaestro.reprice();
SELECT cost FROM flowmaestro.get_token_usage('given');

--
-- Budgets
--
SELECT flowmaestro.set_budget('entity:given', 1, 'total');
SELECT * FROM flowmaestro.check_budget('entity:given');
SELECT * FROM flowmaestro.check_budget('entity:given', 0.26);
SELECT allowed, spent, reserved, remaining, reservation IS NOT NULL AS reservation FROM flowmaestro.check_budget('entity:given', 0.1);
SELECT allowed, spent, reserved, remaining, reservation FROM flowmaestro.check_budget('entity:given', 0.15) \gset
SELECT :'allowed' AS allowed, :spent AS spent, :reserved AS reserved, :remaining AS remaining;
SELECT allowed, remaining FROM flowmaestro.check_budget('entity:given');
-- given up
SELECT flowmaestro.release_budget(:'reservation'), flowmaestro.release_budget(:'reservation');
SELECT reservation FROM flowmaestro.check_budget('entity:given', 0.15) \gset
-- spent: the span carries the reservation; what it cost counts from then on, also before it is flushed
SELECT span_id FROM flowmaestro.create_span('reserved', 'model_generation', 'given', jsonb_build_object('flowmaestro.reservation', :'reservation'), started_at => now()) \gset
SELECT allowed, spent, reserved FROM flowmaestro.check_budget('entity:given');
SELECT flowmaestro.end_span(:'span_id', attributes => '{"totalCost": 0.12}');
SELECT spent, reserved, remaining FROM flowmaestro.check_budget('entity:given');
-- lapsed
SELECT reservation IS NOT NULL AS held FROM flowmaestro.check_budget('entity:given', 0.03, '-1 second');
SELECT spent, reserved, remaining FROM flowmaestro.check_budget('entity:given');
-- periods, scopes, currencies
SELECT flowmaestro.set_budget('user:u1', 0.5, 'day'), flowmaestro.set_budget('all', 100), flowmaestro.set_budget('model:m', 1, 'total', 'EUR'), flowmaestro.set_budget('provider:e', 1, 'total');
SELECT scope, (flowmaestro.check_budget(scope)).spent > 0 AS spent FROM flowmaestro.budgets ORDER BY scope COLLATE "C";
SELECT flowmaestro.set_budget('all', NULL);
SELECT flowmaestro.check_budget('all');
SELECT flowmaestro.set_budget('nothing', 1);
SELECT flowmaestro.set_budget('session:x', 1);
SELECT flowmaestro.set_budget('all', 1, 'fortnight');
SELECT flowmaestro.set_budget('all', -1);
SELECT flowmaestro.set_budget(NULL, 1);
SELECT flowmaestro.check_budget('user:u1', -1);
SELECT flowmaestro.check_budget('user:u1', NULL);
-- a day of a budget is one of UTC in any time zone: a dollar at its beginning counts, ten just before do not
SELECT (flowmaestro.create_span('call', 'model_generation', attributes => c.attributes, started_at => date_trunc('day', now(), 'UTC') - c.before)).span_id IS NOT NULL AS recorded
FROM (VALUES ('{"userId": "zones", "model": "m", "promptTokens": 1, "gen_ai.usage.cost": 1}'::jsonb, interval '0'),
    ('{"userId": "zones", "model": "m", "promptTokens": 1, "gen_ai.usage.cost": 10}', '1 s')) AS c (attributes, before);
SELECT flowmaestro.set_budget('user:zones', 100, 'day');
CREATE FUNCTION spent_in(zone text) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('timezone', zone, true);
    RETURN (flowmaestro.check_budget('user:zones')).spent;
END $$;
SELECT zone, spent_in(zone) FROM unnest('{UTC,Asia/Tokyo,America/Los_Angeles,Pacific/Kiritimati,Asia/Kathmandu}'::text[]) AS zone;
DROP FUNCTION spent_in;
SELECT flowmaestro.set_budget('user:zones', NULL);
-- a snapshot could not see what others spend
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT flowmaestro.check_budget('user:u1');
ROLLBACK;

-- a column that an administrator adds to the ledger stays as it is
ALTER TABLE flowmaestro.span_usage ADD COLUMN remark text DEFAULT 'mine';
SELECT FROM flowmaestro.create_span('remarked', 'model_generation', attributes => '{"promptTokens": 6}', trace_id => id(6), span_id => id(60), started_at => '2026-01-06');
SELECT flowmaestro.flush();
UPDATE flowmaestro.span_usage SET remark = 'changed' WHERE span_id = id(60);
SELECT flowmaestro.set_span_attributes(id(60), '{"promptTokens": 7}');
SELECT flowmaestro.flush();
SELECT input_tokens, remark FROM flowmaestro.span_usage WHERE span_id = id(60);
ALTER TABLE flowmaestro.span_usage DROP COLUMN remark;

DROP VIEW counted, hourly;
DROP FUNCTION id, sent_id;
DROP TABLE said, many, cuts, sent;
