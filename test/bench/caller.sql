-- Microseconds of a pair of calls in a server-side loop, one line a run:
-- a pair of no-ops of the same signatures, a pair of no-ops of one text
-- argument, create_span + end_span, and INSERT + UPDATE.
DO $$
DECLARE
    a jsonb := original.small_attributes();
    i jsonb := original.small_input();
    c flowmaestro.span_context;
    b boolean;
    t timestamptz;
    id uuid := gen_random_uuid();
    n CONSTANT integer := 20000;
    m CONSTANT integer := 1000;
    same float8;
    bare float8;
    span float8;
    rows float8;
BEGIN
    FOR run IN 1..9 LOOP
        t := clock_timestamp();
        FOR k IN 1..n LOOP
            c := original.noop_create('agent run', 'agent_run', 'agent-1', a, i);
            b := original.noop_end(id);
        END LOOP;
        same := extract(epoch FROM clock_timestamp() - t) * 1e6 / n;
        t := clock_timestamp();
        FOR k IN 1..n LOOP
            b := original.noop_bare('agent run');
            b := original.noop_bare('agent run');
        END LOOP;
        bare := extract(epoch FROM clock_timestamp() - t) * 1e6 / n;
        t := clock_timestamp();
        FOR k IN 1..n LOOP
            c := flowmaestro.create_span('agent run', 'agent_run', 'agent-1', a, i);
            b := flowmaestro.end_span(c.span_id);
        END LOOP;
        span := extract(epoch FROM clock_timestamp() - t) * 1e6 / n;
        PERFORM flowmaestro.flush();
        t := clock_timestamp();
        FOR k IN 1..m LOOP
            id := gen_random_uuid();
            INSERT INTO original.execution_spans (trace_id, span_id, name, span_type, entity_id, started_at, status, attributes, input)
            VALUES (id, id, 'agent run', 'agent_run', 'agent-1', clock_timestamp(), 'started', a, i);
            UPDATE original.execution_spans SET status = 'completed', ended_at = clock_timestamp(), duration_ms = 1 WHERE span_id = id;
        END LOOP;
        rows := extract(epoch FROM clock_timestamp() - t) * 1e6 / m;
        RAISE INFO 'run % % % % %', same, bare, span, rows, pg_column_size(a) + pg_column_size(i);
    END LOOP;
END
$$;
