-- Another model writes the answer; then the agent's span ends, in this session,
-- though it began in the other one.
SELECT span_id AS llm
FROM flowmaestro.create_child_span(:'iteration', 'llm: mistral-large', 'model_generation',
    attributes => '{"model": "mistral-large", "provider": "mistral"}') \gset
SELECT pg_sleep(0.25) \g /dev/null
SELECT flowmaestro.end_span(:'llm',
    output => '{"text": "Ten papers on quantum error correction; they could not be ranked."}',
    attributes => '{"promptTokens": 1720, "completionTokens": 320, "totalTokens": 2040}') \g /dev/null
SELECT flowmaestro.end_span(:'iteration') \g /dev/null
SELECT flowmaestro.end_span(:'agent', output => '{"iterations": 2}',
    attributes => jsonb_build_object('pid', pg_backend_pid())) \g /dev/null
SELECT flowmaestro.log('info', 'Agent execution ended', '{"agentId": "agent-researcher", "iterations": 2}') \g /dev/null
\echo agent_run ended
