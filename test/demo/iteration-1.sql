-- The agent's worker: the model asks for a tool with arguments out of range.
CREATE TABLE ranking (paper text, score float8);

SELECT span_id AS iteration
FROM flowmaestro.create_child_span(:'agent', 'iteration 1', 'agent_iteration', 'agent-researcher') \gset

SELECT span_id AS llm
FROM flowmaestro.create_child_span(:'iteration', 'llm: gpt-4o', 'model_generation',
    attributes => '{"model": "gpt-4o", "provider": "openai", "temperature": 0.2}') \gset
SELECT pg_sleep(0.18) \g /dev/null
SELECT flowmaestro.end_span(:'llm',
    output => '{"toolCall": {"name": "search_arxiv", "arguments": {"query": "quantum error correction", "maxResults": 1000}}}',
    attributes => '{"promptTokens": 412, "completionTokens": 38, "totalTokens": 450}') \g /dev/null

SELECT span_id AS tool
FROM flowmaestro.create_child_span(:'iteration', 'tool: search_arxiv', 'tool_execution',
    input => '{"query": "quantum error correction", "maxResults": 1000}') \gset
SELECT span_id AS validation
FROM flowmaestro.create_child_span(:'tool', 'validate: search_arxiv', 'tool_validation') \gset
SELECT flowmaestro.end_span_with_error(:'validation',
    jsonb '{"type": "ValidationError", "message": "Validation errors:\n- maxResults: Number must be less than or equal to 50"}') \g /dev/null
SELECT flowmaestro.end_span_with_error(:'tool', text 'not called: its arguments are not valid') \g /dev/null
SELECT flowmaestro.end_span(:'iteration') \g /dev/null
\echo gpt-4o answered, 450 tokens; search_arxiv was refused by its validation
