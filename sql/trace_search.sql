SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

--
-- 6,000 spans in three days of 2023, 300 traces; many starts are equal
--
SELECT count(flowmaestro.make_partition('2023-05-01 00:00:00+00'::timestamptz + d * interval '1 day')) FROM generate_series(0, 2) AS d;
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, entity_id, started_at, ended_at, duration_ms, status, error, attributes)
SELECT md5('trace ' || t)::uuid, md5('span ' || k)::uuid,
    -- the roots; a trace in ten has lost its own, another is a circle
    CASE WHEN i > 0 THEN md5('span ' || k - i + (i - 1) / 3)::uuid WHEN t % 10 = 3 THEN md5('lost')::uuid WHEN t % 10 = 4 THEN md5('span ' || k)::uuid END,
    CASE i % 4 WHEN 0 THEN 'Agent run' WHEN 1 THEN 'llm: 100% of it' ELSE 'tool: under_score' END,
    (ARRAY['agent_run', 'model_generation', 'tool_execution', 'http_request'])[1 + i % 4],
    CASE WHEN t % 7 > 0 THEN 'agent-' || t % 7 END,
    s.at, CASE WHEN k % 50 > 0 THEN s.at + interval '1 ms' * (k % 700) END, CASE WHEN k % 50 > 0 THEN (k % 700) END,
    CASE WHEN k % 50 = 0 THEN 'started' WHEN k % 30 = 1 THEN 'failed' WHEN k % 90 = 2 THEN 'cancelled' ELSE 'completed' END,
    CASE WHEN k % 30 = 1 THEN jsonb_build_object('message', 'HTTP ' || k % 600, 'type', 'Error') END,
    jsonb_build_object('userId', 'user-' || t % 11, 'model', 'm' || k % 3, 'deep', jsonb_build_object('k', k % 1000), 'tags', jsonb_build_array('a', k % 5))
FROM generate_series(0, 299) AS t, generate_series(0, 19) AS i, LATERAL (SELECT t * 20 + i AS k) AS x,
LATERAL (SELECT '2023-05-01 00:00:00+00'::timestamptz + t * interval '14 min' + i / 3 * interval '10 s' AS at) AS s;

--
-- All pages of a filter together are what the plain query finds, in its order,
-- for every filter alone and for all pairs; with pages of several sizes
--
CREATE FUNCTION pages(filter text, page_size int, scan_limit int DEFAULT 1000000) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    after text;
    found uuid[] := '{}';
    page uuid[];
    n int;
BEGIN
    LOOP
        EXECUTE format('SELECT array_agg(span_id ORDER BY n) FILTER (WHERE span_id IS NOT NULL), count(*), (array_agg(cursor ORDER BY n DESC))[1]
            FROM (SELECT *, row_number() OVER () AS n FROM flowmaestro.query_spans(%s, page_size => $1, after => $2, scan_limit => $3)) AS p', filter)
            INTO page, n, after USING page_size, after, scan_limit;
        EXIT WHEN n = 0;
        IF cardinality(page) > page_size THEN
            RAISE EXCEPTION 'page of % for %', cardinality(page), filter;
        END IF;
        found := found || coalesce(page, '{}');
    END LOOP;
    RETURN found;
END
$$;
CREATE FUNCTION plain(condition text) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    found uuid[];
BEGIN
    EXECUTE format('SELECT coalesce(array_agg(span_id ORDER BY started_at DESC, span_id DESC), ''{}'') FROM flowmaestro.execution_spans
        WHERE started_at >= ''2023-05-01 00:00:00+00'' AND started_at < ''2023-05-04 00:00:00+00'' AND %s', condition) INTO found;
    RETURN found;
END
$$;
CREATE TABLE filters (n serial, filter text, condition text);
INSERT INTO filters (filter, condition) VALUES
    ('span_type => ''model_generation''', 'span_type = ''model_generation'''),
    ('span_types => ''{agent_run,tool_execution}''', 'span_type IN (''agent_run'', ''tool_execution'')'),
    ('span_types => ''{a,b,c,d,e,f,g,h,i,agent_run}''', 'span_type = ''agent_run'''),
    ('span_types => ''[5:6]={agent_run,http_request}''', 'span_type IN (''agent_run'', ''http_request'')'),
    ('span_type => ''nothing''', 'false'),
    ('span_types => ''{}''', 'false'),
    ('entity_id => ''agent-3''', 'entity_id = ''agent-3'''),
    ('user_id => ''user-5''', 'attributes ->> ''userId'' = ''user-5'''),
    ('status => ''failed''', 'status = ''failed'''),
    ('status => ''completed''', 'status = ''completed'''),
    ('started_from => ''2023-05-02 00:28:00+00'', started_until => ''2023-05-02 10:16:00+00''', 'started_at BETWEEN ''2023-05-02 00:28:00+00'' AND ''2023-05-02 10:16:00+00'''),
    ('attributes => ''{"model": "m1"}''', 'attributes @> ''{"model": "m1"}'''),
    ('attributes => ''{"deep": {"k": 77}}''', 'attributes @> ''{"deep": {"k": 77}}'''),
    ('attributes => ''{"tags": [3]}''', 'attributes @> ''{"tags": [3]}'''),
    ('attributes => ''{"deep": {}}''', 'true'),
    ('name_pattern => ''%under\_SCORE''', 'name LIKE ''%under\_score'''),
    ('min_duration_ms => 600', 'coalesce(duration_ms, extract(epoch FROM now() - started_at) * 1000) >= 600'),
    ('error_text => ''http 3''', 'error ->> ''message'' LIKE ''HTTP 3%'''),
    ('trace_id => md5(''trace 17'')::uuid', 'trace_id = md5(''trace 17'')::uuid');
SELECT n, filter, cardinality(plain(condition)) AS spans,
    pages(filter || d, 7) = plain(condition) AS "7", pages(filter || d, 50) = plain(condition) AS "50", pages(filter || d, 10000) = plain(condition) AS "10000",
    -- a search that stops all the time finds the same
    pages(filter || d, 50, 90) = plain(condition) AS stopped
FROM filters, LATERAL (SELECT CASE WHEN filter LIKE 'started%' THEN '' ELSE ', started_from => ''2023-05-01 00:00:00+00'', started_until => ''2023-05-03 23:59:59.999999+00''' END AS d) AS d
ORDER BY n;
SELECT count(*) AS pairs, count(*) FILTER (WHERE cardinality(plain(a.condition || ' AND ' || b.condition)) > 0) AS not_empty,
    count(*) FILTER (WHERE pages(a.filter || ', ' || b.filter || d, 40) <> plain(a.condition || ' AND ' || b.condition)) AS wrong
FROM filters AS a JOIN filters AS b ON a.n < b.n AND split_part(a.filter, ' ', 1) <> split_part(b.filter, ' ', 1) AND NOT (a.filter LIKE 'span_type%' AND b.filter LIKE 'span_type%'),
LATERAL (SELECT CASE WHEN a.filter LIKE 'started%' OR b.filter LIKE 'started%' THEN '' ELSE ', started_from => ''2023-05-01 00:00:00+00'', started_until => ''2023-05-03 23:59:59.999999+00''' END AS d) AS d;
-- no filter at all, and one that rejects all rows
SELECT count(*) FROM (SELECT span_id FROM flowmaestro.query_spans(started_until => '2023-05-03 23:59:59+00', started_from => '2023-05-01 00:00:00+00', page_size => 10000)) AS s;
SELECT count(*) FROM flowmaestro.query_spans(started_from => '2023-05-02 00:00:00+00', started_until => '2023-05-01 00:00:00+00');

-- a page row has what the table has
SELECT count(*) FROM (
    (SELECT trace_id, span_id, parent_span_id, name, span_type, entity_id, started_at, ended_at, duration_ms, status, input, output, error, attributes, created_at, events, links
     FROM flowmaestro.query_spans(started_from => '2023-05-01 00:00:00+00', started_until => '2023-05-03 23:59:59+00', page_size => 10000)
     EXCEPT SELECT trace_id, span_id, parent_span_id, name, span_type, entity_id, started_at, ended_at, duration_ms, status, input, output, error, attributes, created_at, events, links
     FROM flowmaestro.execution_spans)) AS s;

-- a search that stops early says so with a row that is no span
SELECT span_id IS NULL AS no_span, cursor IS NOT NULL AS goes_on FROM flowmaestro.query_spans(name_pattern => 'nothing', scan_limit => 100);

--
-- Pages are stable: what comes later at the top or lies behind changes nothing
--
SELECT cursor AS first_page FROM (SELECT *, row_number() OVER () AS n FROM flowmaestro.query_spans(started_until => '2023-05-03 23:00:00+00', page_size => 10)) AS p WHERE n = 10 \gset
CREATE TABLE second AS SELECT span_id FROM flowmaestro.query_spans(started_until => '2023-05-03 23:00:00+00', page_size => 10, after => :'first_page');
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, started_at, status)
SELECT md5('new')::uuid, md5('new ' || k)::uuid, 'new', 'x', '2023-05-03 22:59:59+00', 'started' FROM generate_series(1, 20) AS k;
SELECT count(*), count(s.span_id) AS same FROM flowmaestro.query_spans(started_until => '2023-05-03 23:00:00+00', page_size => 10, after => :'first_page') AS q LEFT JOIN second AS s USING (span_id);
DELETE FROM flowmaestro.execution_spans WHERE trace_id = md5('new')::uuid;
DROP TABLE second;

--
-- What is refused
--
SELECT * FROM flowmaestro.query_spans(after => 'x');
SELECT * FROM flowmaestro.query_spans(after => '');
SELECT * FROM flowmaestro.query_spans(after => '1' || repeat('g', 80));
SELECT * FROM flowmaestro.query_spans(after => '2' || repeat('0', 80));
SELECT count(*) FROM flowmaestro.query_spans(after => '1' || repeat('f', 80), page_size => 1, started_from => '2023-05-01 00:00:00+00');
SELECT count(*) FROM flowmaestro.query_spans(after => '18' || repeat('0', 79), page_size => 1, started_from => '2023-05-01 00:00:00+00');
SELECT * FROM flowmaestro.query_spans(page_size => 0);
SELECT * FROM flowmaestro.query_spans(page_size => 10001);
SELECT * FROM flowmaestro.query_spans(page_size => NULL);
SELECT * FROM flowmaestro.query_spans(scan_limit => 0);
SELECT * FROM flowmaestro.query_spans(span_type => 'a', span_types => '{b}');
SELECT * FROM flowmaestro.query_spans(span_types => '{a,NULL}');
SELECT * FROM flowmaestro.query_spans(span_types => '{{a},{b}}');
SELECT * FROM flowmaestro.query_spans(name_pattern => 'a\');
SELECT flowmaestro.query_spans_page(page => -1);
SELECT flowmaestro.query_spans_page(per_page => 0);
-- texts are values, whatever they look like
SELECT count(*) FROM flowmaestro.query_spans(entity_id => ''' OR true --', user_id => '"; DROP TABLE x; --', span_type => '$1', name_pattern => '%s %1$d');

--
-- The original's pages
--
SELECT flowmaestro.query_spans_page(entity_id => 'agent-3', started_from => '2023-05-01 00:00:00+00', started_until => '2023-05-03 23:59:59+00', per_page => 100) - 'spans';
SELECT p -> 'page' AS page, jsonb_array_length(p -> 'spans') AS spans, p -> 'spans' -> 0 -> 'name' AS first
FROM flowmaestro.query_spans_page(entity_id => 'agent-3', started_from => '2023-05-01 00:00:00+00', started_until => '2023-05-03 23:59:59+00', page => 8, per_page => 100) AS p;
SELECT flowmaestro.query_spans_page(entity_id => 'nobody');
SELECT flowmaestro.query_spans_page(entity_id => 'agent-3', page => 2147483647, per_page => 10000) -> 'spans';
SELECT (SELECT array_agg(s ->> 'spanId' ORDER BY n) FROM generate_series(0, 8) AS page,
            LATERAL jsonb_array_elements(flowmaestro.query_spans_page(entity_id => 'agent-3', status => 'failed', started_from => '2023-05-01 00:00:00+00',
                started_until => '2023-05-03 23:59:59+00', page => page, per_page => 5) -> 'spans') WITH ORDINALITY AS x (s, m), LATERAL (SELECT page * 5 + m) AS y (n))::uuid[]
       = plain('entity_id = ''agent-3'' AND status = ''failed''') AS same;

--
-- Traces: each once, at its root, whatever its root is
--
CREATE FUNCTION traces(filter text, page_size int, scan_limit int) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    after text;
    found uuid[] := '{}';
    page uuid[];
    n int;
BEGIN
    LOOP
        EXECUTE format('SELECT array_agg(trace_id ORDER BY n) FILTER (WHERE trace_id IS NOT NULL), count(*), (array_agg(cursor ORDER BY n DESC))[1]
            FROM (SELECT *, row_number() OVER () AS n FROM flowmaestro.list_traces(%s started_from => ''2023-05-01 00:00:00+00'', started_until => ''2023-05-03 23:59:59+00'',
                page_size => $1, after => $2, scan_limit => $3)) AS p', filter)
            INTO page, n, after USING page_size, after, scan_limit;
        EXIT WHEN n = 0;
        found := found || coalesce(page, '{}');
    END LOOP;
    RETURN found;
END
$$;
CREATE TABLE roots AS SELECT DISTINCT ON (trace_id) * FROM flowmaestro.execution_spans AS s
WHERE started_at >= '2023-05-01 00:00:00+00' AND started_at < '2023-05-04 00:00:00+00'
  AND (parent_span_id IS NULL OR parent_span_id = span_id OR NOT EXISTS (SELECT FROM flowmaestro.execution_spans AS p WHERE p.trace_id = s.trace_id AND p.span_id = s.parent_span_id))
ORDER BY trace_id, parent_span_id IS NOT NULL, started_at, span_id;
SELECT count(*), count(*) FILTER (WHERE parent_span_id IS NOT NULL) AS without_root FROM roots;
SELECT traces('', 7, 1000000) = (SELECT array_agg(trace_id ORDER BY started_at DESC, span_id DESC) FROM roots) AS all,
    traces('', 50, 150) = (SELECT array_agg(trace_id ORDER BY started_at DESC, span_id DESC) FROM roots) AS stopped,
    traces('status => ''started'', ', 50, 1000000) = (SELECT array_agg(trace_id ORDER BY started_at DESC, span_id DESC) FROM roots WHERE status = 'started') AS running,
    traces('entity_id => ''agent-3'', ', 50, 1000000) = (SELECT array_agg(trace_id ORDER BY started_at DESC, span_id DESC) FROM roots WHERE entity_id = 'agent-3') AS entity,
    traces('user_id => ''user-5'', min_duration_ms => 300, ', 50, 1000000) = (SELECT array_agg(trace_id ORDER BY started_at DESC, span_id DESC) FROM roots
        WHERE attributes ->> 'userId' = 'user-5' AND coalesce(duration_ms, 1e9) >= 300) AS "user";
SELECT name, span_type, entity_id, status, started_at, CASE WHEN ended_at IS NOT NULL THEN duration_ms END AS duration_ms, spans, running, failed, odd, roots, depth
FROM flowmaestro.list_traces(started_from => '2023-05-01 00:00:00+00', started_until => '2023-05-01 00:43:00+00') ORDER BY started_at;
SELECT * FROM flowmaestro.list_traces(page_size => 0);
SELECT * FROM flowmaestro.list_traces(after => 'x');
DROP TABLE roots;

--
-- What lies between and beyond the partitions is found where a default one keeps it
--
CREATE TABLE flowmaestro.rest PARTITION OF flowmaestro.execution_spans DEFAULT;
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, started_at, status)
SELECT md5('rest')::uuid, md5('rest ' || at)::uuid, 'rest ' || at, 'rest', at, 'started'
FROM unnest('{1975-01-01 00:00:00+00,2023-04-30 23:59:59.999999+00,2023-05-04 00:00:00+00,2250-01-01 00:00:00+00}'::timestamptz[]) AS at;
SELECT tableoid::regclass, count(*) FROM flowmaestro.execution_spans WHERE span_type = 'rest' GROUP BY 1;
SELECT name FROM flowmaestro.query_spans(span_type => 'rest');
SELECT name FROM flowmaestro.query_spans(trace_id => md5('rest')::uuid, page_size => 2);
SELECT count(*) FROM flowmaestro.get_trace_tree(md5('rest')::uuid);
DROP TABLE flowmaestro.rest;

--
-- Row security and privileges are those of the caller
--
CREATE ROLE regress_flowmaestro_tenant;
SELECT flowmaestro.grant_reader('regress_flowmaestro_tenant');
ALTER TABLE flowmaestro.execution_spans ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON flowmaestro.execution_spans FOR SELECT TO regress_flowmaestro_tenant USING (attributes ->> 'userId' = 'user-5');
SET ROLE regress_flowmaestro_tenant;
SELECT count(*), count(DISTINCT attributes ->> 'userId') FROM flowmaestro.query_spans(page_size => 10000, started_from => '2023-05-01 00:00:00+00', started_until => '2023-05-03 23:59:59+00');
SELECT count(*) FROM flowmaestro.get_trace_tree(md5('trace 5')::uuid);
SELECT count(*) FROM flowmaestro.get_trace_tree(md5('trace 6')::uuid);
SELECT flowmaestro.get_trace(md5('trace 6')::uuid) IS NULL AS trace, flowmaestro.get_span(md5('span 120')::uuid) IS NULL AS span, flowmaestro.trace_html(md5('trace 6')::uuid) IS NULL AS html;
SELECT count(*) FROM flowmaestro.list_traces(started_from => '2023-05-01 00:00:00+00', started_until => '2023-05-03 23:59:59+00');
RESET ROLE;
-- the same session as its owner again
SELECT count(*) FROM flowmaestro.get_trace_tree(md5('trace 6')::uuid);
DROP POLICY tenant ON flowmaestro.execution_spans;
ALTER TABLE flowmaestro.execution_spans DISABLE ROW LEVEL SECURITY;
REVOKE SELECT ON flowmaestro.execution_spans FROM regress_flowmaestro_tenant;
SET ROLE regress_flowmaestro_tenant;
SELECT * FROM flowmaestro.get_trace_tree(md5('trace 5')::uuid);
SELECT * FROM flowmaestro.query_spans();
SELECT * FROM flowmaestro.list_traces();
SELECT flowmaestro.trace_html(md5('trace 5')::uuid);
RESET ROLE;
DROP OWNED BY regress_flowmaestro_tenant;
DROP ROLE regress_flowmaestro_tenant;

--
-- In parallel workers, and without a place to put rows
--
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT sum(jsonb_array_length(flowmaestro.get_trace(md5('trace ' || k)::uuid) -> 'spans')) FROM filters, LATERAL (SELECT n) AS x (k);
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;
SELECT count(*) FROM (SELECT flowmaestro.get_trace_tree(md5('trace 5')::uuid)) AS s;

--
-- More spans of a condition in a partition than a page looks at: it finds some and goes on
--
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, entity_id, started_at, status)
SELECT md5('crowd')::uuid, md5('crowd ' || k)::uuid, 'crowd', 'agent_run', 'crowd', '2023-05-02 22:59:50+00'::timestamptz + k * interval '1 ms', 'started'
FROM generate_series(1, 1500) AS k;
SELECT count(span_id) > 0 AS found, bool_or(cursor IS NOT NULL) AS goes_on
FROM flowmaestro.query_spans(entity_id => 'crowd', started_from => '2023-05-02 22:59:50+00', started_until => '2023-05-02 23:00:00+00', scan_limit => 1000);

DROP TABLE filters;
DROP FUNCTION pages, plain, traces;
DELETE FROM flowmaestro.execution_spans WHERE started_at >= '2023-05-01 00:00:00+00' AND started_at < '2023-05-04 00:00:00+00';
