SET client_min_messages = warning;
DROP EXTENSION IF EXISTS flowmaestro_spans;
CREATE EXTENSION flowmaestro_spans;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SELECT setseed(0.5);
SELECT rejected, dropped FROM flowmaestro.stats \gset
SELECT count(flowmaestro.make_partition(at)) FROM unnest('{2026-03-01,2026-03-02,2026-03-03}'::timestamptz[]) AS at;

--
-- Random traces in every vocabulary, recorded in any order, in both modes and
-- over several partitions; after every step the rollups are what a recount in
-- plain SQL says.  The recount shares no code with the extension.
--
SELECT flowmaestro.load_model_prices('[
    {"provider": "openai", "model": "gpt-4o", "valid_from": "2026-01-01", "input": 2.5, "output": 10, "cache_read": 1.25},
    {"provider": "openai", "model": "gpt-4o", "valid_from": "2026-03-02 12:00:00+00", "input": 2, "output": 8},
    {"provider": "openai", "model": "gpt-4o-mini", "valid_from": "2026-01-01", "input": 0.15, "output": 0.6, "reasoning": 0.7},
    {"provider": "anthropic", "model": "claude-sonnet-4-5", "valid_from": "2026-01-01", "currency": "EUR", "input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
    {"provider": "google", "model": "gemini-2.5-flash", "valid_from": "2026-01-01", "input": 0.3, "output": 2.5, "audio_input": 1}]');

-- the names of each vocabulary, once more
CREATE TABLE names (vocabulary int, field text, path text[], rank int GENERATED ALWAYS AS IDENTITY);
INSERT INTO names (vocabulary, field, path) VALUES
    (1, 'provider', '{gen_ai.provider.name}'), (1, 'response', '{gen_ai.response.model}'), (1, 'request', '{gen_ai.request.model}'),
    (1, 'input', '{gen_ai.usage.input_tokens}'), (1, 'output', '{gen_ai.usage.output_tokens}'), (1, 'user', '{user.id}'),
    (1, 'read', '{gen_ai.usage.cache_read.input_tokens}'), (1, 'write', '{gen_ai.usage.cache_write.input_tokens}'),
    (1, 'reasoning', '{gen_ai.usage.reasoning.output_tokens}'), (1, 'audio', '{gen_ai.usage.audio.input_tokens}'), (1, 'cost', '{gen_ai.usage.cost.amount}'),
    (2, 'provider', '{gen_ai.system}'), (2, 'response', '{gen_ai.response.model}'), (2, 'request', '{gen_ai.request.model}'),
    (2, 'input', '{gen_ai.usage.prompt_tokens}'), (2, 'output', '{gen_ai.usage.completion_tokens}'), (2, 'total', '{gen_ai.usage.total_tokens}'),
    (2, 'read', '{gen_ai.usage.cache_read_input_tokens}'), (2, 'write', '{gen_ai.usage.cache_creation.input_tokens}'), (2, 'user', '{enduser.id}'), (2, 'cost', '{gen_ai.usage.cost}'),
    (3, 'provider', '{llm.provider}'), (3, 'response', '{llm.model_name}'), (3, 'request', '{llm.request.model_name}'),
    (3, 'input', '{llm.token_count.prompt}'), (3, 'output', '{llm.token_count.completion}'), (3, 'total', '{llm.token_count.total}'), (3, 'user', '{user.id}'),
    (3, 'read', '{llm.token_count.prompt_details.cache_read}'), (3, 'write', '{llm.token_count.prompt_details.cache_write}'),
    (3, 'reasoning', '{llm.token_count.completion_details.reasoning}'), (3, 'audio', '{llm.token_count.prompt_details.audio}'), (3, 'cost', '{llm.cost.total}'),
    (4, 'provider', '{ai.model.provider}'), (4, 'response', '{ai.response.model}'), (4, 'request', '{ai.model.id}'),
    (4, 'input', '{ai.usage.inputTokens}'), (4, 'output', '{ai.usage.outputTokens}'), (4, 'total', '{ai.usage.totalTokens}'), (4, 'user', '{ai.telemetry.metadata.userId}'),
    (4, 'read', '{ai.usage.inputTokenDetails.cacheReadTokens}'), (4, 'write', '{ai.usage.inputTokenDetails.cacheWriteTokens}'), (4, 'reasoning', '{ai.usage.outputTokenDetails.reasoningTokens}'),
    (5, 'provider', '{gen_ai.system}'), (5, 'response', '{ai.response.model}'), (5, 'request', '{ai.model.id}'),
    (5, 'input', '{ai.usage.promptTokens}'), (5, 'output', '{ai.usage.completionTokens}'), (5, 'read', '{ai.usage.cachedInputTokens}'), (5, 'reasoning', '{ai.usage.reasoningTokens}'),
    (6, 'provider', '{gen_ai.system}'), (6, 'response', '{gen_ai.response.model}'), (6, 'request', '{gen_ai.request.model}'),
    (6, 'input', '{gen_ai.usage.prompt_tokens}'), (6, 'output', '{gen_ai.usage.completion_tokens}'), (6, 'total', '{llm.usage.total_tokens}'),
    (6, 'write', '{gen_ai.usage.cache_creation_input_tokens}'), (6, 'reasoning', '{gen_ai.usage.reasoning_tokens}'), (6, 'user', '{traceloop.association.properties.user_id}'),
    (7, 'provider', '{provider}'), (7, 'response', '{responseModel}'), (7, 'request', '{model}'), (7, 'input', '{usage,inputTokens}'), (7, 'output', '{usage,outputTokens}'),
    (7, 'read', '{usage,inputDetails,cacheRead}'), (7, 'write', '{usage,inputDetails,cacheWrite}'), (7, 'reasoning', '{usage,outputDetails,reasoning}'), (7, 'user', '{userId}'),
    (8, 'provider', '{provider}'), (8, 'request', '{model}'), (8, 'input', '{promptTokens}'), (8, 'output', '{completionTokens}'), (8, 'total', '{totalTokens}'),
    (8, 'user', '{userId}'), (8, 'cost', '{totalCost}'),
    (9, 'provider', '{provider}'), (9, 'request', '{modelId}'), (9, 'input', '{promptTokens}'), (9, 'output', '{completionTokens}'), (9, 'user', '{userId}'), (9, 'cost', '{flowmaestro.cost.total}'),
    (11, 'response', '{langfuse.observation.model.name}'), (11, 'input', '{langfuse.observation.usage_details,input}'), (11, 'output', '{langfuse.observation.usage_details,output}'),
    (11, 'total', '{langfuse.observation.usage_details,total}'), (11, 'read', '{langfuse.observation.usage_details,input_cached_tokens}'), (11, 'write', '{langfuse.observation.usage_details,input_cache_creation}'),
    (11, 'reasoning', '{langfuse.observation.usage_details,output_reasoning_tokens}'), (11, 'cost', '{langfuse.observation.cost_details,total}'), (11, 'user', '{langfuse.user.id}'),
    -- an object that arrives as JSON text
    (10, 'provider', '{ai.model.provider}'), (10, 'request', '{ai.model.id}'), (10, 'input', '{ai.usage.promptTokens}'), (10, 'output', '{ai.usage.completionTokens}'),
    (10, 'read', '{ai.response.providerMetadata,openai,cachedPromptTokens}'), (10, 'reasoning', '{ai.response.providerMetadata,openai,reasoningTokens}'),
    (10, 'write', '{ai.response.providerMetadata,anthropic,usage,cache_creation_input_tokens}');
CREATE TABLE ranks AS SELECT field, path, min(rank) AS rank FROM names GROUP BY field, path;

CREATE FUNCTION number(value text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT n FROM (SELECT CASE WHEN value ~ '^\s*[-+]?\d+(\.\d+)?\s*$' AND length(value) <= 40 THEN value::numeric END AS n) AS x
    WHERE n >= 0 AND n <= 1e12
$$;
CREATE FUNCTION text_of(attributes jsonb, f text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT attributes #>> r.path FROM ranks AS r
    WHERE r.field = f AND jsonb_typeof(attributes #> r.path) = 'string' AND attributes #>> r.path <> '' ORDER BY r.rank LIMIT 1
$$;
CREATE FUNCTION number_of(attributes jsonb, f text) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT number(attributes #>> r.path) FROM ranks AS r
    WHERE r.field = f AND jsonb_typeof(attributes #> r.path) IN ('string', 'number') AND number(attributes #>> r.path) IS NOT NULL ORDER BY r.rank LIMIT 1
$$;
-- spans that were dropped with their partition
CREATE TABLE dropped (LIKE flowmaestro.execution_spans);

CREATE FUNCTION parsed(attributes jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN attributes ? 'ai.response.providerMetadata'
        THEN attributes || jsonb_build_object('ai.response.providerMetadata', (attributes ->> 'ai.response.providerMetadata')::jsonb) ELSE attributes END
$$;
CREATE VIEW spans AS
SELECT trace_id, span_id, parent_span_id, name, span_type, entity_id, started_at, ended_at, status, parsed(attributes) AS attributes FROM flowmaestro.execution_spans WHERE name <> ''
UNION ALL SELECT trace_id, span_id, parent_span_id, name, span_type, entity_id, started_at, ended_at, status, parsed(attributes) FROM dropped WHERE name <> '';

CREATE VIEW recount AS
WITH RECURSIVE calls AS MATERIALIZED (
    SELECT s.*, coalesce(text_of(attributes, 'provider'), '') AS provider, text_of(attributes, 'response') AS response, text_of(attributes, 'request') AS request,
        coalesce(text_of(attributes, 'user'), '') AS user_id,
        round(number_of(attributes, 'input')) AS i, round(number_of(attributes, 'output')) AS o, round(number_of(attributes, 'total')) AS t, round(number_of(attributes, 'read')) AS r,
        round(number_of(attributes, 'write')) AS w, round(number_of(attributes, 'reasoning')) AS g, round(number_of(attributes, 'audio')) AS a, number_of(attributes, 'cost') AS given
    FROM spans AS s WHERE span_type IN ('model_generation', 'embedding_generation')
), carrying AS (
    SELECT * FROM calls WHERE coalesce(i, o, t, r, w, g, a, given) IS NOT NULL
), above (trace_id, call_id, span_id) AS (
    SELECT trace_id, span_id, parent_span_id FROM carrying
    UNION
    SELECT a.trace_id, a.call_id, s.parent_span_id FROM above AS a JOIN spans AS s USING (trace_id, span_id)
), normal AS (
    SELECT c.*, coalesce(i, 0) + CASE WHEN coalesce(r, 0) + coalesce(w, 0) > coalesce(i, 0) THEN coalesce(r, 0) + coalesce(w, 0) ELSE 0 END AS input,
        coalesce(o, 0) AS output, coalesce(c.response, c.request, '') AS model, coalesce(i, o, t, r, w, g, a) IS NOT NULL AS has_tokens
    FROM calls AS c
    WHERE (status <> 'started' OR coalesce(i, o, t, r, w, g, a, given) IS NOT NULL)
      AND NOT EXISTS (SELECT FROM above AS a WHERE a.trace_id = c.trace_id AND a.span_id = c.span_id AND a.call_id <> c.span_id)
), priced AS (
    SELECT n.*, p.price_id, CASE WHEN given IS NOT NULL THEN 'USD' WHEN has_tokens THEN coalesce(p.currency, '') ELSE '' END AS currency,
        CASE WHEN given IS NOT NULL THEN given WHEN has_tokens AND p.price_id IS NOT NULL THEN
            (greatest(input - coalesce(r, 0) - coalesce(w, 0) - coalesce(a, 0), 0) * p.input_price + greatest(output - coalesce(g, 0), 0) * p.output_price
            + coalesce(r, 0) * coalesce(p.cache_read_price, p.input_price) + coalesce(w, 0) * coalesce(p.cache_write_price, p.input_price)
            + coalesce(g, 0) * coalesce(p.reasoning_price, p.output_price) + coalesce(a, 0) * coalesce(p.audio_input_price, p.input_price)) / 1000000 END AS cost
    FROM normal AS n
    LEFT JOIN LATERAL (
        SELECT m.* FROM unnest(ARRAY[n.response, n.request]) WITH ORDINALITY AS x (name, k), flowmaestro.model_prices AS m
        WHERE (n.provider = '' OR n.provider = m.provider) AND m.valid_from <= n.started_at
          AND (x.name = m.model OR (starts_with(x.name, m.model) AND substr(x.name, length(m.model) + 1, 1) IN ('-', '.', ':', '@', '/')))
        ORDER BY x.k, length(m.model) DESC, m.valid_from DESC LIMIT 1) AS p ON true
)
SELECT coalesce(entity_id, '') AS entity_id, date_trunc('hour', started_at) AS hour, user_id, provider, model, span_type, currency,
    count(*) AS calls, count(*) FILTER (WHERE status = 'failed') AS failures, sum(input) AS input, sum(output) AS output,
    sum(greatest(coalesce(t, 0), input + output)) AS total, sum(coalesce(r, 0)) AS read, sum(coalesce(w, 0)) AS write, sum(coalesce(g, 0)) AS reasoning,
    sum(coalesce(a, 0)) AS audio, coalesce(sum(cost), 0) AS cost,
    sum(coalesce(extract(epoch FROM ended_at - started_at) * 1000000, 0)) AS duration_us
FROM priced GROUP BY 1, 2, 3, 4, 5, 6, 7;

CREATE VIEW rolled AS
SELECT entity_id, hour, user_id, provider, model, span_type, currency, calls, failures, input_tokens AS input, output_tokens AS output, total_tokens AS total,
    cache_read_tokens AS read, cache_write_tokens AS write, reasoning_tokens AS reasoning, audio_input_tokens AS audio, cost, duration_us
FROM flowmaestro.token_usage_hourly;

-- what one of them has and the other has not
CREATE VIEW differences AS
SELECT r.sums AS recount, h.sums AS rollup
FROM (SELECT *, ARRAY[calls, failures, input, output, total, read, write, reasoning, audio, cost, duration_us] AS sums FROM recount) AS r
FULL JOIN (SELECT *, ARRAY[calls, failures, input, output, total, read, write, reasoning, audio, cost, duration_us] AS sums FROM rolled) AS h
    USING (entity_id, hour, user_id, provider, model, span_type, currency)
WHERE r.sums IS DISTINCT FROM h.sums
UNION ALL
SELECT h.sums, d.sums
FROM (SELECT entity_id, date_trunc('day', hour) AS day, provider, model, span_type, currency, ARRAY[sum(calls), sum(failures), sum(input), sum(output),
          sum(total), sum(read), sum(write), sum(reasoning), sum(audio), sum(cost), sum(duration_us)] AS sums FROM rolled GROUP BY 1, 2, 3, 4, 5, 6) AS h
FULL JOIN (SELECT *, ARRAY[calls, failures, input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
          audio_input_tokens, cost, duration_us] AS sums FROM flowmaestro.token_usage_daily) AS d
    USING (entity_id, day, provider, model, span_type, currency)
WHERE h.sums IS DISTINCT FROM d.sums;

-- attributes of a call: a part of a vocabulary, numbers as numbers or strings, some odd
CREATE FUNCTION random_value(field text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    n numeric := floor(random() * CASE field WHEN 'read' THEN 90 WHEN 'write' THEN 60 WHEN 'reasoning' THEN 40 WHEN 'audio' THEN 20 ELSE 100 END);
BEGIN
    CASE
        WHEN field = 'provider' THEN RETURN to_jsonb((ARRAY['openai', 'anthropic', 'google', 'other'])[1 + floor(random() * 4)]);
        WHEN field IN ('request', 'response') THEN RETURN to_jsonb((ARRAY['gpt-4o', 'gpt-4o-2024-11-20', 'gpt-4o-mini-2024-07-18', 'claude-sonnet-4-5-20250929', 'gemini-2.5-flash', 'gpt-4', 'gpt-4oh', 'x'])[1 + floor(random() * 8)]);
        WHEN field = 'user' THEN RETURN to_jsonb('u' || floor(random() * 3));
        WHEN field = 'cost' THEN n := round(random()::numeric / 100, 7);
        ELSE NULL;
    END CASE;
    RETURN CASE floor(random() * 12)
        WHEN 0 THEN to_jsonb(n::text) WHEN 1 THEN to_jsonb(' ' || n || ' ') WHEN 2 THEN '"many"' WHEN 3 THEN to_jsonb(-n - 1) WHEN 4 THEN 'null'
        WHEN 5 THEN '[1]' WHEN 6 THEN '1e30' WHEN 7 THEN to_jsonb(n + 0.5) ELSE to_jsonb(n) END;
END
$$;
CREATE FUNCTION random_attributes() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v int := 1 + floor(random() * 11);
    n names;
    result jsonb := CASE v WHEN 7 THEN '{"usage": {"inputDetails": {}, "outputDetails": {}}}'
        WHEN 11 THEN '{"langfuse.observation.usage_details": {}, "langfuse.observation.cost_details": {}}'
        WHEN 10 THEN '{"ai.response.providerMetadata": {"openai": {}, "anthropic": {"usage": {}}}}' ELSE '{}' END;
    told jsonb;
BEGIN
    FOR n IN SELECT * FROM names WHERE vocabulary = v ORDER BY rank LOOP
        IF random() < (CASE n.field WHEN 'cost' THEN 0.15 WHEN 'input' THEN 0.8 WHEN 'output' THEN 0.8 ELSE 0.5 END) THEN
            result := jsonb_set(result, n.path, random_value(n.field));
        END IF;
    END LOOP;
    told := result -> 'ai.response.providerMetadata';
    IF told IS NOT NULL THEN
        result := result || jsonb_build_object('ai.response.providerMetadata', CASE WHEN random() < 0.5 THEN told::text ELSE jsonb_pretty(told) END);
    END IF;
    RETURN result;
END
$$;

-- trees of spans, and what happens to them
CREATE TABLE plan AS
SELECT t, n, md5('trace' || t)::uuid AS trace_id, md5(t || ' span ' || n)::uuid AS span_id,
    CASE WHEN n > 1 THEN md5(t || ' span ' || 1 + floor(random() * (n - 1)))::uuid END AS parent_span_id,
    (ARRAY['model_generation', 'model_generation', 'embedding_generation', 'agent_run', 'workflow_run', 'tool_execution'])[1 + floor(random() * 6)] AS span_type,
    (ARRAY['agent a', 'agent b', NULL])[1 + floor(random() * 3)] AS entity_id,
    timestamptz '2026-03-01 23:00:00+00' + t % 3 * interval '13 hours' + floor(random() * 5000) * interval '1 second' AS started_at
FROM generate_series(1, 16) AS t, generate_series(1, 8) AS n;
-- a parent that never comes
UPDATE plan SET parent_span_id = md5('nowhere' || t)::uuid WHERE n = 3 AND t % 4 = 0;
CREATE TABLE events AS
SELECT row_number() OVER (ORDER BY floor(t / 4), random()) AS k, p.*, e.what, random() < 0.4 AS in_transaction, random() AS luck
FROM plan AS p, unnest('{start,start,attributes,attributes,end,end}'::text[]) AS e (what)
WHERE e.what = 'start' OR random() < 0.8;
-- a start that is left out
DELETE FROM events WHERE t % 5 = 0 AND n = 2 AND what = 'start';

CREATE PROCEDURE play(first int, last int, INOUT steps int) LANGUAGE plpgsql AS $$
DECLARE
    e events;
    d record;
BEGIN
    FOR e IN SELECT * FROM events WHERE k BETWEEN first AND last ORDER BY k LOOP
        PERFORM set_config('flowmaestro.write_mode', CASE WHEN e.in_transaction THEN 'transactional' ELSE 'buffered' END, false);
        -- sometimes several in a transaction, sometimes undone
        IF NOT e.in_transaction OR e.luck < 0.7 THEN
            COMMIT;
        END IF;
        IF e.what = 'start' THEN
            PERFORM flowmaestro.create_span(e.span_type, e.span_type, e.entity_id, random_attributes(), trace_id => e.trace_id,
                parent_span_id => e.parent_span_id, span_id => e.span_id, started_at => e.started_at);
        ELSIF e.what = 'attributes' THEN
            PERFORM flowmaestro.set_span_attributes(e.span_id, random_attributes());
        ELSIF e.luck < 0.1 THEN
            PERFORM flowmaestro.cancel_trace(e.trace_id);
        ELSE
            PERFORM flowmaestro.end_span(e.span_id, attributes => random_attributes(), status => CASE WHEN e.luck < 0.3 THEN 'failed' END,
                ended_at => e.started_at + floor(e.luck * 1e7) * interval '1 microsecond');
        END IF;
        IF e.in_transaction AND e.luck > 0.95 THEN
            ROLLBACK;
        END IF;
        IF NOT e.in_transaction OR e.luck < 0.8 THEN
            COMMIT;
            IF e.luck < 0.2 THEN
                PERFORM flowmaestro.flush();
                COMMIT;
            END IF;
            SELECT * INTO d FROM differences LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'after event % (%): %', e.k, e.what, d;
            END IF;
            steps := steps + 1;
        END IF;
    END LOOP;
    COMMIT;
END
$$;
SELECT max(k) > 500 AS many FROM events;
SELECT max(k) / 2 AS half, max(k) AS last FROM events \gset
CALL play(1, :half, 0) \gset
SELECT :steps > 150 AS many_steps;
CALL play(:half + 1, :last, 0) \gset
SELECT :steps > 150 AS many_steps;
SET flowmaestro.write_mode = buffered;
SELECT flowmaestro.flush();
SELECT * FROM differences;
SELECT * FROM flowmaestro.check_token_usage();
-- all kinds of things have come about
SELECT sum(calls) > 20 AS calls, sum(failures) > 2 AS failures, sum(reasoning) > 100 AS reasoning, sum(audio) > 10 AS audio, sum(read) > 100 AS read,
    count(DISTINCT currency) AS currencies, count(DISTINCT hour::date) AS days, bool_or(user_id <> '') AS users FROM rolled;
SELECT count(*) > 0 AS covered, count(*) FILTER (WHERE covered AND carries) > 10 AS took_back FROM flowmaestro.span_usage WHERE covered;
SELECT count(*) > 0 AS waiting FROM flowmaestro.span_usage WHERE waits_for IS NOT NULL;
SELECT sum(ignored) > 0 AS ignored FROM flowmaestro.token_usage_hourly;
SELECT rejected - :rejected AS rejected, dropped - :dropped AS dropped FROM flowmaestro.stats;

-- the comparison sees a single token
UPDATE flowmaestro.token_usage_hourly SET input_tokens = input_tokens + 1 WHERE calls > 0 AND ctid = (SELECT min(ctid) FROM flowmaestro.token_usage_hourly);
SELECT count(*) FROM differences;
-- made again, nothing is another
SELECT flowmaestro.rebuild_token_usage() > 30 AS rebuilt;
SELECT * FROM differences;
SELECT calls FROM flowmaestro.reprice();
-- partitions of spans go, their usage stays
INSERT INTO dropped SELECT * FROM flowmaestro.execution_spans WHERE started_at < '2026-03-02';
SELECT count(*) > 0 AS some FROM dropped;
DROP TABLE flowmaestro.execution_spans_p20260301;
SELECT * FROM differences;
SELECT * FROM flowmaestro.check_token_usage();

SELECT flowmaestro.rebuild_token_usage() > 10 AS rebuilt;
SELECT * FROM differences;

-- what was written by hand is found, and put right
UPDATE flowmaestro.execution_spans SET attributes = '{"promptTokens": 7, "userId": "hand"}' WHERE span_type = 'model_generation';
DELETE FROM flowmaestro.execution_spans WHERE span_type = 'embedding_generation';
SELECT count(*) > 0 AS found FROM flowmaestro.check_token_usage();
SELECT flowmaestro.rebuild_token_usage('[2026-03-01,2026-03-04)') > 10 AS rebuilt;
SELECT * FROM flowmaestro.check_token_usage();

DROP PROCEDURE play;
DROP VIEW differences, rolled, recount, spans;
DROP FUNCTION random_attributes, random_value, number_of, text_of, number, parsed;
DROP TABLE names, ranks, dropped, plan, events;
