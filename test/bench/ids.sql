-- Microseconds of create_span + end_span in a server-side loop, for spans with
-- ids of one kind: "ours"; "span", a random span id; "both", a random span id in
-- a trace of ten spans with a random id.  Prints them; then everything is flushed.
SET bench.kind = :'kind';
DO $$
DECLARE
    a jsonb := original.small_attributes();
    i jsonb := original.small_input();
    n CONSTANT integer := 20000;
    spans uuid[] := ARRAY(SELECT gen_random_uuid() FROM generate_series(1, n));
    traces uuid[] := ARRAY(SELECT gen_random_uuid() FROM generate_series(0, n / 10));
    kind text := current_setting('bench.kind');
    c flowmaestro.span_context;
    b boolean;
    t timestamptz := clock_timestamp();
BEGIN
    IF kind = 'ours' THEN
        FOR k IN 1..n LOOP
            c := flowmaestro.create_span('agent run', 'agent_run', 'agent-1', a, i);
            b := flowmaestro.end_span(c.span_id);
        END LOOP;
    ELSIF kind = 'span' THEN
        FOR k IN 1..n LOOP
            c := flowmaestro.create_span('agent run', 'agent_run', 'agent-1', a, i, span_id => spans[k]);
            b := flowmaestro.end_span(c.span_id);
        END LOOP;
    ELSE
        FOR k IN 1..n LOOP
            c := flowmaestro.create_span('agent run', 'agent_run', 'agent-1', a, i, span_id => spans[k], trace_id => traces[1 + k / 10]);
            b := flowmaestro.end_span(c.span_id);
        END LOOP;
    END IF;
    RAISE INFO 'run %', extract(epoch FROM clock_timestamp() - t) * 1e6 / n;
END
$$;
SELECT flowmaestro.flush();
