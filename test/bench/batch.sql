-- ten spans of ours in one statement, as a client that batches would do
\set k random(1, 1000000)
SELECT count(flowmaestro.end_span(c.span_id, original.payload(:k + g + 3), '{"totalTokens": 12}'))
FROM generate_series(1, 10) AS g,
LATERAL flowmaestro.create_span('agent run', 'agent_run', 'agent-1', original.attributes(:k + g), original.payload(:k + g)) AS c;
