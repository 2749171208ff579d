-- Of each of :days days 166,667 spans: 5 million in a month, one in five a model call, of 50 agents with 20
-- users each; their usage is counted from the rows.
CREATE FUNCTION original.fill_usage(day timestamptz, spans integer) RETURNS void LANGUAGE sql AS $$
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, entity_id,
    started_at, ended_at, duration_ms, status, input, output, attributes, created_at)
SELECT t.id, overlay(t.id::text placing lpad(to_hex(k), 12, '0') from 25)::uuid,
    CASE WHEN k % 5 > 0 THEN overlay(t.id::text placing lpad(to_hex(k - k % 5), 12, '0') from 25)::uuid END,
    'span', CASE k % 5 WHEN 0 THEN 'agent_run' WHEN 1 THEN 'model_generation' ELSE 'tool_execution' END, 'agent-' || a.n,
    s.started_at, s.started_at + interval '1 ms' * (k % 900), (k % 900)::float8, 'completed', original.payload(k), original.payload(k + 1),
    CASE k % 5 WHEN 1 THEN jsonb_build_object('userId', 'user-' || a.n * 20 + k / 250 % 20, 'provider', 'openai', 'model', (ARRAY['gpt-4o', 'gpt-4o-mini', 'gpt-5'])[1 + k / 7 % 3],
        'promptTokens', k % 5000, 'completionTokens', k % 700, 'totalTokens', k % 5000 + k % 700, 'temperature', 0.7)
        ELSE jsonb_build_object('userId', 'user-' || a.n * 20 + k / 250 % 20) END, s.started_at
FROM generate_series(0, spans - 1) AS k,
LATERAL (SELECT k / 5 % 50 AS n) AS a,
LATERAL (SELECT day + interval '1 day' * k / spans AS started_at) AS s,
LATERAL (SELECT (lpad(to_hex((extract(epoch FROM day + interval '1 day' * (k - k % 5) / spans) * 1000)::bigint), 12, '0')
    || '7' || substr(md5((k / 5)::text), 1, 3) || 'a' || substr(md5((k / 5)::text), 4, 15))::uuid AS id) AS t
$$;
SELECT flowmaestro.load_model_prices(flowmaestro.starter_model_prices());
-- a day at a time, each in a transaction of its own, as on a table in use
SELECT format('SELECT flowmaestro.make_partition(%1$L); SELECT original.fill_usage(%1$L, 166667)', date_trunc('day', now(), 'UTC') - i * interval '1 day')
FROM generate_series(1, :days) AS i \gexec
ANALYZE flowmaestro.execution_spans;
SELECT format('SELECT flowmaestro.rebuild_token_usage(tstzrange(%L, %L))', d, d + interval '1 day')
FROM generate_series(1, :days) AS i, LATERAL (SELECT date_trunc('day', now(), 'UTC') - i * interval '1 day' AS d) AS d \gexec
VACUUM ANALYZE flowmaestro.span_usage;
VACUUM ANALYZE flowmaestro.token_usage_hourly;
VACUUM ANALYZE flowmaestro.token_usage_daily;
-- attributes alone: few enough to stay in shared memory, and some with messages in them, which are compressed
CREATE TABLE original.calls AS SELECT attributes FROM flowmaestro.execution_spans WHERE span_type = 'model_generation' LIMIT 500000;
CREATE TABLE original.long_calls AS
SELECT attributes || jsonb_build_object('gen_ai.input.messages', (SELECT jsonb_agg(original.payload((n * 10 + i)::int)) FROM generate_series(1, 8) AS i)) AS attributes
FROM (SELECT attributes, row_number() OVER () AS n FROM original.calls LIMIT 50000) AS c;
VACUUM ANALYZE original.calls;
VACUUM ANALYZE original.long_calls;
