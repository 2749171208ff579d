\set k random(1, 1000000)
SELECT span_id FROM flowmaestro.create_span('agent run', 'agent_run', 'agent-1', original.attributes(:k), original.payload(:k)) \gset
SELECT flowmaestro.end_span(:'span_id', original.payload(:k + 3), '{"totalTokens": 12}');
