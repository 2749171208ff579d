-- 5 million spans in 30 partitions for the bench of reading: traces of 20
-- spans, ten agents of which one is rare, a thousand users, one failure in a
-- hundred, and a few values that only the oldest partition has.
CREATE FUNCTION original.fill_day(day timestamptz, spans integer) RETURNS void LANGUAGE sql AS $$
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, entity_id,
    started_at, ended_at, duration_ms, status, input, error, attributes, created_at)
SELECT t.id, overlay(t.id::text placing lpad(to_hex(k), 12, '0') from 25)::uuid,
    CASE WHEN k % 20 > 0 THEN overlay(t.id::text placing lpad(to_hex(k - k % 20 + (k % 20) / 4), 12, '0') from 25)::uuid END,
    CASE k % 4 WHEN 0 THEN 'agent run' WHEN 1 THEN 'llm: gpt-4o' WHEN 2 THEN 'tool: search' ELSE 'tool: refund' END,
    CASE k % 4 WHEN 0 THEN 'agent_run' WHEN 1 THEN 'model_generation' ELSE 'tool_execution' END,
    'agent-' || CASE WHEN k % 5000 = 0 THEN 0 ELSE 1 + k / 20 % 200 END,
    s.started_at, s.started_at + interval '1 ms' * (k % 900), (k % 900)::float8,
    CASE WHEN k % 100 = 7 THEN 'failed' ELSE 'completed' END,
    jsonb_build_object('message', md5(k::text) || repeat('hello ', 20)),
    CASE WHEN k % 100 = 7 THEN jsonb_build_object('message', 'error ' || k, 'type', 'Error') END,
    jsonb_build_object('userId', 'user-' || k / 20 % 1000, 'model', 'gpt-4o', 'promptTokens', k % 500, 'order', k),
    s.started_at
FROM generate_series(0, spans - 1) AS k,
LATERAL (SELECT day + interval '1 day' * k / spans AS started_at) AS s,
LATERAL (SELECT (lpad(to_hex((extract(epoch FROM day + interval '1 day' * (k - k % 20) / spans) * 1000)::bigint), 12, '0')
    || '7' || substr(md5((k / 20)::text), 1, 3) || 'a' || substr(md5((k / 20)::text), 4, 15))::uuid AS id) AS t
$$;
SELECT count(original.fill_day(date_trunc('day', now(), 'UTC') - i * interval '1 day', 166667))
FROM generate_series(0, 29) AS i, LATERAL (SELECT flowmaestro.make_partition(date_trunc('day', now(), 'UTC') - i * interval '1 day')) AS p;
