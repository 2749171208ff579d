-- the original's way: ten finished spans in one statement
\set k random(0, 99990)
INSERT INTO original.execution_spans (trace_id, span_id, name, span_type, entity_id, started_at, ended_at, duration_ms, status, attributes, input, output)
SELECT gen_random_uuid(), gen_random_uuid(), s.name, s.span_type, s.entity_id, now(), now(), 5, 'completed', s.attributes, s.input, s.output
FROM original.stage AS s WHERE s.k > :k AND s.k <= :k + 10;
