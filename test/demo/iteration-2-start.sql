-- The model was told what was wrong and is asked again; it is still thinking
-- when this file ends.
SELECT span_id AS iteration
FROM flowmaestro.create_child_span(:'agent', 'iteration 2', 'agent_iteration', 'agent-researcher') \gset
SELECT span_id AS llm
FROM flowmaestro.create_child_span(:'iteration', 'llm: gpt-4o', 'model_generation',
    attributes => '{"model": "gpt-4o", "provider": "openai", "temperature": 0.2}') \gset
SELECT pg_sleep(0.12) \g /dev/null
\echo gpt-4o is asked again
