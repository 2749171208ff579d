SELECT flowmaestro.end_span(:'llm',
    output => '{"toolCall": {"name": "search_arxiv", "arguments": {"query": "quantum error correction", "maxResults": 10}}}',
    attributes => '{"promptTokens": 498, "completionTokens": 42, "totalTokens": 540}') \g /dev/null

SELECT span_id AS tool
FROM flowmaestro.create_child_span(:'iteration', 'tool: search_arxiv', 'tool_execution',
    input => '{"query": "quantum error correction", "maxResults": 10}') \gset
SELECT pg_sleep(0.08) \g /dev/null
SELECT flowmaestro.add_span_event(:'tool', 'page fetched', '{"results": 10}') \g /dev/null
SELECT flowmaestro.end_span(:'tool', output => '{"papers": 10}') \g /dev/null
\echo search_arxiv found 10 papers

-- This tool writes a table of its own, in a transaction that fails; the span,
-- begun inside that transaction, must not go with it.
BEGIN;
SELECT span_id AS tool
FROM flowmaestro.create_child_span(:'iteration', 'tool: rank_papers', 'tool_execution',
    input => '{"papers": 10}') \gset
INSERT INTO ranking VALUES ('Surface codes', 0.93);
\set ON_ERROR_STOP off
SELECT 1/0;
\set ON_ERROR_STOP on
ROLLBACK;
SELECT flowmaestro.end_span_with_error(:'tool',
    jsonb_build_object('type', 'DatabaseError', 'code', :'LAST_ERROR_SQLSTATE', 'message', :'LAST_ERROR_MESSAGE')) \g /dev/null
\echo rank_papers threw and was rolled back; its span was ended with the error
