-- The examples of doc/context.md, in its order.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;

BEGIN;
SELECT flowmaestro.use_request_context(flowmaestro.create_request_context(
    user_id => 'user-123', trace_id => '550e8400-e29b-41d4-a716-446655440000',
    request_id => 'req-7c9e', ip_address => '10.0.0.7', data => '{"plan": "pro"}'));
SELECT trace_id, user_id, request_id, data FROM flowmaestro.current_request_context();
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('answer', 'agent_run');
COMMIT;
SELECT flowmaestro.current_request_context() IS NULL AS none;
SELECT flowmaestro.flush();
SELECT name, attributes FROM flowmaestro.execution_spans WHERE trace_id = '550e8400-e29b-41d4-a716-446655440000';

BEGIN;
SELECT flowmaestro.use_request_context(flowmaestro.request_context_from_headers('{
    "X-Request-ID": "req-8d0f", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'));
SELECT jsonb_pretty(flowmaestro.serialize_request_context());
SELECT jsonb_pretty(flowmaestro.response_headers());
SELECT flowmaestro.request_context_set('step', '"retrieval"');
SELECT flowmaestro.request_context_get('step') ->> 0 AS step, flowmaestro.request_context_keys() AS keys;
COMMIT;

CREATE FUNCTION embed(documents text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flowmaestro.enter_span('embed', 'embedding_generation', input => to_jsonb(documents));
    PERFORM pg_sleep(0.001);
    PERFORM flowmaestro.leave_span(output => to_jsonb(cardinality(documents)));
END
$$;
CREATE FUNCTION answer(question text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flowmaestro.enter_span('answer', 'agent_run');
    PERFORM embed(ARRAY[question]);
    PERFORM 1 / length(question);
    PERFORM flowmaestro.leave_span(output => '"42"');
    RETURN '42';
END
$$;
SELECT answer('why?');
\set VERBOSITY terse
SELECT answer('');
\set VERBOSITY default
SELECT flowmaestro.flush();
SELECT s.name, p.name AS parent, s.status, s.error ->> 'message' AS error
FROM flowmaestro.execution_spans AS s LEFT JOIN flowmaestro.execution_spans AS p ON p.span_id = s.parent_span_id
WHERE s.name IN ('answer', 'embed') AND s.trace_id <> '550e8400-e29b-41d4-a716-446655440000' ORDER BY s.started_at;

BEGIN;
SET LOCAL flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('fetch', 'http_request');
COMMIT;
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('fetch', 'http_request')
/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SET flowmaestro.traceparent = '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01';

DROP FUNCTION answer, embed;
DROP EXTENSION flowmaestro_spans;
