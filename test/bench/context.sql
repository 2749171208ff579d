-- Nanoseconds that the context adds to create_span: trace and parent given and no
-- context at all; taken from the settings, with the ids of the request; taken from
-- this statement's comment.  Nothing is recorded, so that little else is measured;
-- what the ids of the request add to a recorded span comes after.  The least of
-- many runs counts: what else the machine does only adds.
DO $$
DECLARE
    trace CONSTANT uuid := '0af76519-16cd-43dd-8448-eb211c80319c';
    parent CONSTANT uuid := '0af76519-16cd-43dd-b7ad-6b7169203331';
    header CONSTANT text := '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    request CONSTANT text := '{"tracingContext": {"userId": "user-123", "requestId": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "sessionId": "session-1"}}';
    n CONSTANT integer := 20000;
    a CONSTANT jsonb := original.small_attributes();
    i CONSTANT jsonb := original.small_input();
    c flowmaestro.span_context;
    t timestamptz;
    given float8 := 'Infinity';
    settings float8 := 'Infinity';
    comment float8 := 'Infinity';
    pair_without float8 := 'Infinity';
    pair_with float8 := 'Infinity';
BEGIN
    FOR run IN 1..25 LOOP
        PERFORM set_config('flowmaestro.enabled', 'off', true);
        PERFORM set_config('flowmaestro.read_traceparent', 'off', true);
        PERFORM set_config('flowmaestro.traceparent', '', true);
        PERFORM set_config('flowmaestro.request_context', '', true);
        t := clock_timestamp();
        FOR k IN 1..n LOOP
            c := flowmaestro.create_span('agent run', 'agent_run', 'agent-1', a, i, trace, parent);
        END LOOP;
        given := least(given, extract(epoch FROM clock_timestamp() - t) * 1e9 / n);

        PERFORM set_config('flowmaestro.traceparent', header, true);
        PERFORM set_config('flowmaestro.request_context', request, true);
        t := clock_timestamp();
        FOR k IN 1..n LOOP
            c := flowmaestro.create_span('agent run', 'agent_run', 'agent-1', a, i, NULL, NULL);
        END LOOP;
        settings := least(settings, extract(epoch FROM clock_timestamp() - t) * 1e9 / n);

        PERFORM set_config('flowmaestro.traceparent', '', true);
        PERFORM set_config('flowmaestro.read_traceparent', 'comment', true);
        t := clock_timestamp();
        FOR k IN 1..n LOOP
            c := flowmaestro.create_span('agent run', 'agent_run', 'agent-1', a, i, NULL, NULL);
        END LOOP;
        comment := least(comment, extract(epoch FROM clock_timestamp() - t) * 1e9 / n);
        IF c.trace_id <> trace OR c.parent_span_id <> parent THEN
            RAISE EXCEPTION 'the comment was not read';
        END IF;

        PERFORM set_config('flowmaestro.enabled', 'on', true);
        PERFORM set_config('flowmaestro.request_context', '', true);
        PERFORM flowmaestro.flush();
        t := clock_timestamp();
        FOR k IN 1..n LOOP
            c := flowmaestro.create_span('agent run', 'agent_run', 'agent-1', a, i, NULL, NULL);
            PERFORM flowmaestro.end_span(c.span_id);
        END LOOP;
        pair_without := least(pair_without, extract(epoch FROM clock_timestamp() - t) * 1e9 / n);
        PERFORM set_config('flowmaestro.request_context', request, true);
        PERFORM flowmaestro.flush();
        t := clock_timestamp();
        FOR k IN 1..n LOOP
            c := flowmaestro.create_span('agent run', 'agent_run', 'agent-1', a, i, NULL, NULL);
            PERFORM flowmaestro.end_span(c.span_id);
        END LOOP;
        pair_with := least(pair_with, extract(epoch FROM clock_timestamp() - t) * 1e9 / n);
    END LOOP;
    RAISE INFO 'run % % % % %', given, settings, comment, pair_without, pair_with;
END
$$ /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
