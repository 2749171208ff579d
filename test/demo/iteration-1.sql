-- The agent's worker takes the request over: its log lines, and PostgreSQL's, tell
-- which one they are about.  Then the model asks for a tool with arguments out of
-- range.
SELECT flowmaestro.use_request_context(flowmaestro.create_request_context('user-123', trace_id::text, 'request-7c9e6679'), local => false)
FROM flowmaestro.active_spans WHERE span_id = :'agent' \g /dev/null
SELECT flowmaestro.log('info', 'Agent execution started', '{"agentId": "agent-researcher", "model": "gpt-4o", "apiKey": "sk-123"}') \g /dev/null

CREATE TABLE ranking (paper text, score float8);
SELECT flowmaestro.register_tool('search_arxiv', '{"type": "object", "required": ["query"], "properties": {
    "query": {"type": "string", "minLength": 1}, "maxResults": {"type": "integer", "minimum": 1, "maximum": 50}}}') \g /dev/null

SELECT span_id AS iteration
FROM flowmaestro.create_child_span(:'agent', 'iteration 1', 'agent_iteration', 'agent-researcher') \gset

SELECT span_id AS llm
FROM flowmaestro.create_child_span(:'iteration', 'llm: gpt-4o', 'model_generation',
    attributes => '{"model": "gpt-4o", "provider": "openai", "temperature": 0.2}') \gset
SELECT pg_sleep(0.18) \g /dev/null
SELECT flowmaestro.end_span(:'llm',
    output => '{"toolCall": {"name": "search_arxiv", "arguments": {"query": "quantum error correction", "maxResults": 1000}}}',
    attributes => '{"promptTokens": 412, "completionTokens": 38, "totalTokens": 450}') \g /dev/null

SELECT trace_id AS trace, span_id AS tool
FROM flowmaestro.create_child_span(:'iteration', 'tool: search_arxiv', 'tool_execution',
    input => '{"query": "quantum error correction", "maxResults": 1000}') \gset
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": "quantum error correction", "maxResults": 1000}',
    trace_id => :'trace', parent_span_id => :'tool') ->> 'message' AS message \gset
SELECT flowmaestro.end_span_with_error(:'tool', text 'not called: its arguments are not valid') \g /dev/null
SELECT flowmaestro.end_span(:'iteration') \g /dev/null
\echo gpt-4o answered, 450 tokens; search_arxiv was refused, and gpt-4o is told:
\echo :message
