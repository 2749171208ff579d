-- Traces of five spans of about 1 KB, of which the last :calls are calls of a
-- model, of the type given; users: how many there are.
SELECT set_config('bench.type', :'type', false), set_config('bench.calls', :'calls', false), set_config('bench.users', :'users', false);
DO $$
DECLARE
    kind CONSTANT text := current_setting('bench.type');
    calls CONSTANT int := current_setting('bench.calls');
    users CONSTANT int := current_setting('bench.users');
    traces CONSTANT int := 20000;
    run flowmaestro.span_context;
    span flowmaestro.span_context;
    agent text;
    data jsonb;
BEGIN
    FOR t IN 1 .. traces LOOP
        agent := 'agent-' || t % 50;
        run := flowmaestro.create_span('agent run', 'agent_run', agent, original.attributes(t), original.payload(t));
        FOR n IN 1 .. 4 LOOP
            IF n > 4 - calls THEN
                data := jsonb_build_object('userId', 'user-' || (t * 5 + n) % users, 'provider', 'openai', 'model', (ARRAY['gpt-4o', 'gpt-4o-mini', 'gpt-5'])[1 + t % 3], 'temperature', 0.7);
                span := flowmaestro.create_child_span(run.span_id, 'llm', kind, agent, data, original.payload(t + n));
                PERFORM flowmaestro.end_span(span.span_id, original.payload(t + n + 1), jsonb_build_object('promptTokens', t % 5000, 'completionTokens', n * 100, 'totalTokens', t % 5000 + n * 100));
            ELSE
                span := flowmaestro.create_child_span(run.span_id, 'tool', 'tool_execution', agent, original.attributes(t + n), original.payload(t + n));
                PERFORM flowmaestro.end_span(span.span_id, original.payload(t + n + 1));
            END IF;
        END LOOP;
        PERFORM flowmaestro.end_span(run.span_id, original.payload(t + 7));
        IF t % 100 = 0 THEN
            COMMIT;
        END IF;
        IF t % 2000 = 0 THEN
            PERFORM flowmaestro.flush();
        END IF;
    END LOOP;
END
$$;
