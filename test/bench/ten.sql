-- the original's way: ten finished spans in one statement
\set k random(1, 1000000)
INSERT INTO original.execution_spans (trace_id, span_id, name, span_type, entity_id, started_at, ended_at, duration_ms, status, attributes, input, output)
SELECT gen_random_uuid(), gen_random_uuid(), 'agent run', 'agent_run', 'agent-1', now(), now(), 5, 'completed',
    original.attributes(:k + g), original.payload(:k + g), original.payload(:k + g + 3)
FROM generate_series(1, 10) AS g;
