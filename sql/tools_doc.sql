-- The examples of doc/tools.md, in its order.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
TRUNCATE flowmaestro.tools;

SELECT flowmaestro.register_tool('search_arxiv', '{
    "type": "object",
    "properties": {
        "query":      {"type": "string", "minLength": 1},
        "maxResults": {"type": "integer", "minimum": 1, "maximum": 50}
    },
    "required": ["query"]
}', description => 'Search papers on arXiv');

SELECT jsonb_pretty(flowmaestro.validate_tool_call('search_arxiv', '{"query": "", "maxResults": 1000}'));
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": "quantum computing", "maxResults": "10"}');

SELECT flowmaestro.validate_tool_input('{"name": "calculate", "schema": {
    "type": "object",
    "properties": {
        "expression": {"type": "string", "minLength": 1},
        "precision":  {"type": "integer", "minimum": 0, "maximum": 10}
    },
    "required": ["expression"]
}}'::jsonb, '{"expression": "", "precision": 20}') ->> 'message' AS message;

SELECT flowmaestro.import_tools('[{"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]');
SELECT flowmaestro.import_tools('{"tools": [{"name": "read_file",
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "outputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}]}', version => '1.2');
SELECT name, description, version, output_schema IS NOT NULL AS checks_output FROM flowmaestro.tools ORDER BY name;
SELECT flowmaestro.register_tool('broken', '{"properties": {"city": {"type": "strin"}}}');

SELECT flowmaestro.validate_tool_output('read_file', '{"txt": "..."}') ->> 'message' AS message;
SELECT flowmaestro.coerce_tool_arguments('search_arxiv', '{"query": "a", "maxResults": "10"}');

SELECT trace_id, span_id FROM flowmaestro.create_span('agent run', 'agent_run') \gset run_
SELECT flowmaestro.validate_tool_call('search_arxiv', '{}', trace_id => :'run_trace_id', parent_span_id => :'run_span_id') -> 'error' AS error;
SELECT flowmaestro.flush();
SELECT name, status, error ->> 'message' AS message FROM flowmaestro.execution_spans
WHERE trace_id = :'run_trace_id' AND span_type = 'tool_validation';
TRUNCATE flowmaestro.tools;
