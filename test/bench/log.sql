-- CPU microseconds that a line of the server's log costs its session, one line a
-- run; a line has its statement, as PostgreSQL's lines have.
SET flowmaestro.request_context = '{"tracingContext": {"traceId": "550e8400-e29b-41d4-a716-446655440000",
    "requestId": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "userId": "user-123"}, "contextMap": {}}';
DO $$
DECLARE
    n CONSTANT integer := 20000;
    t float8;
BEGIN
    FOR run IN 1..current_setting('bench.runs')::integer LOOP
        t := original.noop_cpu();
        FOR i IN 1..n LOOP
            RAISE LOG 'agent run % finished with % tokens', i, 150;
        END LOOP;
        RAISE INFO 'run %', (original.noop_cpu() - t) / n;
    END LOOP;
END
$$;
