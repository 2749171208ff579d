-- What reading costs: trees against the plain rows and WITH RECURSIVE, and the
-- pages that a page of spans touches.  COPY to /dev/null stands for delivering
-- the rows without a client.
\set QUIET on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;

-- a trace of n spans of 1 KB, four children a span, in the partition of a time
CREATE FUNCTION original.fill_trace(trace uuid, n integer, at timestamptz) RETURNS void LANGUAGE sql AS $$
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, entity_id, started_at, ended_at,
    duration_ms, status, input, output, attributes)
SELECT trace, overlay(trace::text placing lpad(to_hex(k), 12, '0') from 25)::uuid,
    CASE WHEN k > 1 THEN overlay(trace::text placing lpad(to_hex((k + 2) / 4), 12, '0') from 25)::uuid END,
    'span ' || k, CASE WHEN k % 5 = 0 THEN 'model_generation' ELSE 'tool_execution' END, 'agent-1',
    at + k * interval '10 us', at + interval '1 s' + (n - k) * interval '10 us', 1000, 'completed',
    original.payload(k), original.payload(k + 3), original.attributes(k)
FROM generate_series(1, n) AS k
$$;
SELECT original.fill_trace('00000000-0000-7000-8000-0000000003e8', 1000, date_trunc('day', now(), 'UTC') - interval '5 days'),
    original.fill_trace('00000000-0000-7000-8001-000000002710', 10000, date_trunc('day', now(), 'UTC') - interval '5 days'),
    original.fill_trace('00000000-0000-7000-8002-0000000186a0', 100000, date_trunc('day', now(), 'UTC') - interval '5 days') \g /dev/null
VACUUM ANALYZE flowmaestro.execution_spans;

-- median of some runs of a statement in ms
CREATE FUNCTION original.ms(statement text, runs integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    times float8[] := '{}';
    start timestamptz;
BEGIN
    FOR i IN 1 .. runs + 1 LOOP
        start := clock_timestamp();
        EXECUTE format('COPY (%s) TO ''/dev/null''', statement);
        -- the first run warms up
        IF i > 1 THEN
            times := times || (extract(epoch FROM clock_timestamp() - start) * 1000)::float8;
        END IF;
    END LOOP;
    RETURN (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times) AS t);
END
$$;
CREATE TABLE original.trees AS
SELECT n, t, original.ms(format('SELECT * FROM flowmaestro.execution_spans WHERE trace_id = %L', t), :runs) AS rows,
    original.ms(format('SELECT span_id, parent_span_id, name, span_type, entity_id, status, started_at, ended_at, duration_ms
        FROM flowmaestro.execution_spans WHERE trace_id = %L ORDER BY started_at, span_id', t), :runs) AS narrow,
    CASE WHEN n <= 10000 THEN original.ms(format('WITH RECURSIVE tree AS (
            SELECT span_id, parent_span_id, name, span_type, status, started_at, ended_at, 0 AS depth, ARRAY[(started_at, span_id)] AS path
            FROM flowmaestro.execution_spans WHERE trace_id = %L AND parent_span_id IS NULL
            UNION ALL
            SELECT s.span_id, s.parent_span_id, s.name, s.span_type, s.status, s.started_at, s.ended_at, t.depth + 1, t.path || (s.started_at, s.span_id)
            FROM tree AS t JOIN flowmaestro.execution_spans AS s ON s.parent_span_id = t.span_id AND s.trace_id = %L)
        SELECT span_id, parent_span_id, name, span_type, status, started_at, ended_at, depth FROM tree ORDER BY path', t, t), :runs) END AS recursive,
    original.ms(format('SELECT * FROM flowmaestro.get_trace_tree(%L)', t), :runs) AS tree
FROM (VALUES (1000, '00000000-0000-7000-8000-0000000003e8'), (10000, '00000000-0000-7000-8001-000000002710'),
    (100000, '00000000-0000-7000-8002-0000000186a0')) AS v (n, t);
SELECT '==> trees, 30 partitions: ms (WITH RECURSIVE and get_trace_tree order the spans as a tree)';
SELECT format('    %s spans: rows %s, narrow rows by start %s, WITH RECURSIVE %s, get_trace_tree %s', lpad(n::text, 6),
    round(rows::numeric, 2), round(narrow::numeric, 2), coalesce(round(recursive::numeric, 2)::text, '-'), round(tree::numeric, 2))
FROM original.trees ORDER BY n;
SELECT format('    10,000 spans: get_trace_tree / WITH RECURSIVE = 1/%s (goal <= 1/5); / rows = %s (goal <= 2); / narrow rows = %s',
    round((recursive / tree)::numeric, 1), round((tree / rows)::numeric, 2), round((tree / narrow)::numeric, 2)) FROM original.trees WHERE n = 10000;
SELECT format('    us a span: %s', string_agg(round((tree * 1000 / n)::numeric, 2)::text, ', ' ORDER BY n)) FROM original.trees;
SELECT format('    other ways to see 10,000 spans: text %s, HTML %s, get_trace %s, critical_path %s, trace_summary %s',
    round(original.ms('SELECT * FROM flowmaestro.trace_tree_text(''00000000-0000-7000-8001-000000002710'')', :runs)::numeric, 1),
    round(original.ms('SELECT flowmaestro.trace_html(''00000000-0000-7000-8001-000000002710'')', :runs)::numeric, 1),
    round(original.ms('SELECT flowmaestro.get_trace(''00000000-0000-7000-8001-000000002710'')', :runs)::numeric, 1),
    round(original.ms('SELECT * FROM flowmaestro.critical_path(''00000000-0000-7000-8001-000000002710'')', :runs)::numeric, 1),
    round(original.ms('SELECT * FROM flowmaestro.trace_summary(''00000000-0000-7000-8001-000000002710'')', :runs)::numeric, 1));

-- pages of 50: what the first one and the one among the oldest spans touch
CREATE FUNCTION original.page(args text, OUT pages integer, OUT ms numeric, OUT spans integer) LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE format('SELECT count(span_id) FROM flowmaestro.query_spans(%s)', args) INTO spans;
    EXECUTE format('EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM flowmaestro.query_spans(%s)', args) INTO plan;
    pages := (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::int + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::int;
    ms := round((plan -> 0 ->> 'Execution Time')::numeric, 1);
END
$$;
SELECT set_config('bench.last', (SELECT cursor FROM flowmaestro.query_spans(page_size => 1,
    started_until => (SELECT min(started_at) + interval '20 s' FROM flowmaestro.execution_spans))), false) \g /dev/null
SELECT set_config('bench.trace', trace_id::text, false) FROM flowmaestro.execution_spans
WHERE started_at < (SELECT min(started_at) + interval '1 minute' FROM flowmaestro.execution_spans) ORDER BY started_at LIMIT 1 \g /dev/null
SELECT '==> pages of 50 spans of ' || count(*) || ' in 30 partitions: buffers, ms, spans found; the first page, and the last one' FROM flowmaestro.execution_spans;
SELECT format('    %s %s %s %s    %s %s %s', rpad(what, 36), lpad(f.pages::text, 6), lpad(f.ms::text, 8), lpad(f.spans::text, 4), lpad(l.pages::text, 6), lpad(l.ms::text, 8), lpad(l.spans::text, 4))
FROM (VALUES
    (1, 'no filter', 'page_size => 50'),
    (2, 'a trace (the oldest)', 'trace_id => current_setting(''bench.trace'')::uuid'),
    (3, 'a trace that is not there', 'trace_id => ''00000000-0000-0000-0000-000000000001'''),
    (4, 'a type', 'span_type => ''model_generation'''),
    (5, 'three types', 'span_types => ''{model_generation,agent_run,tool_execution}'''),
    (6, 'a type that is not there', 'span_type => ''x'''),
    (7, 'an entity, 1 in 200', 'entity_id => ''agent-7'''),
    (8, 'an entity, 1 in 5,000', 'entity_id => ''agent-0'''),
    (9, 'an entity that is not there', 'entity_id => ''x'''),
    (10, 'an entity and a type', 'entity_id => ''agent-7'', span_type => ''model_generation'''),
    (11, 'a user, 1 in 1,000', 'user_id => ''user-77'''),
    (12, 'a user that is not there', 'user_id => ''x'''),
    (13, 'failed, 1 in 100', 'status => ''failed'''),
    (14, 'completed', 'status => ''completed'''),
    (15, 'cancelled: none', 'status => ''cancelled'''),
    (16, 'a day', 'started_from => now() - interval ''3 days'', started_until => now() - interval ''2 days'''),
    (17, 'an attribute that all have', 'attributes => ''{"model": "gpt-4o"}'''),
    (18, 'an attribute, 1 in 500', 'attributes => ''{"promptTokens": 77}'''),
    (19, 'an attribute, one a day', 'attributes => ''{"order": 77777}'''),
    (20, 'an attribute that is not there', 'attributes => ''{"order": -1}'''),
    (21, 'a name', 'name_pattern => ''llm%'''),
    (22, 'a name that is not there', 'name_pattern => ''x%'''),
    (23, 'a duration, 1 in 90', 'min_duration_ms => 890'),
    (24, 'a duration that is not there', 'min_duration_ms => 1e9'),
    (25, 'an error text', 'error_text => ''error 7'''),
    (26, 'an error text that is not there', 'error_text => ''x'''),
    (27, 'user and failed', 'user_id => ''user-77'', status => ''failed'''),
    (28, 'type, failed, attribute: none', 'span_type => ''model_generation'', status => ''failed'', attributes => ''{"model": "gpt-4o"}''')
) AS v (n, what, args), LATERAL original.page(args) AS f, LATERAL original.page(args || ', after => current_setting(''bench.last'')') AS l ORDER BY n;
SELECT format('    %s %s ms', rpad('list_traces, 50 traces', 36), round(original.ms('SELECT * FROM flowmaestro.list_traces()', :runs)::numeric, 1));

-- a small trace and hundreds of partitions: the plan is made once a session
SELECT count(flowmaestro.make_partition(date_trunc('day', now(), 'UTC') - i * interval '1 day')) FROM generate_series(30, 364) AS i \g /dev/null
\c
\timing off
\pset tuples_only on
\pset format unaligned
SELECT clock_timestamp() AS start \gset
SELECT count(*) FROM flowmaestro.get_trace_tree('00000000-0000-7000-8000-0000000003e8') \g /dev/null
SELECT format('==> a trace of 1,000 spans, 365 partitions: %s ms the first time in a session, %s ms then',
    round(extract(epoch FROM clock_timestamp() - :'start'::timestamptz) * 1000, 1),
    round(original.ms('SELECT * FROM flowmaestro.get_trace_tree(''00000000-0000-7000-8000-0000000003e8'')', 5)::numeric, 2));
