SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

CREATE VIEW partitions AS
SELECT c.oid::regclass AS partition, pg_get_expr(c.relpartbound, c.oid) AS bounds
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'flowmaestro.execution_spans'::regclass;

--
-- No partition before there is something to keep; then one for what is later
-- than the near days.  The old days have partitions that somebody made.
--
SELECT * FROM partitions;
SELECT count(flowmaestro.make_partition(at)) FROM unnest('{1970-01-01,2001-02-03,2001-02-04}'::timestamptz[]) AS at;
SELECT trace_id, span_id FROM flowmaestro.create_span('early', 'agent_run', started_at => '2001-02-03 04:05:06+00') \gset e_
SELECT trace_id, span_id FROM flowmaestro.create_span('late', 'agent_run', started_at => '2100-12-31 23:59:59.999999+00') \gset l_
SELECT trace_id, span_id FROM flowmaestro.create_span('first', 'agent_run', started_at => '1970-01-01 00:00:00+00') \gset f_
SELECT trace_id, span_id FROM flowmaestro.create_span('last', 'agent_run', started_at => '2262-04-11 23:47:16.854775+00') \gset t_
SELECT trace_id, span_id FROM flowmaestro.create_span('border', 'agent_run', started_at => '2001-02-03 23:59:59.999999+00') \gset b_
SELECT trace_id, span_id FROM flowmaestro.create_span('border', 'agent_run', started_at => '2001-02-04 00:00:00+00') \gset c_
SELECT flowmaestro.flush();
SELECT * FROM partitions ORDER BY partition::text;
SELECT tableoid::regclass AS partition, name, started_at FROM flowmaestro.execution_spans ORDER BY started_at;
-- they can be ended, wherever they lie
SELECT flowmaestro.end_span(:'e_span_id'), flowmaestro.end_span(:'l_span_id'), flowmaestro.end_span(:'f_span_id'),
       flowmaestro.end_span(:'t_span_id', ended_at => '2262-04-11 23:47:16.854775+00'), flowmaestro.end_span(:'b_span_id'), flowmaestro.end_span(:'c_span_id');
SELECT flowmaestro.flush();
SELECT name, status FROM flowmaestro.execution_spans ORDER BY started_at;
-- the time zone and the date style of a session do not matter
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'SQL, DMY';
SELECT flowmaestro.make_partition('2010-06-01 03:00:00+05:45');
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SELECT * FROM partitions WHERE partition::text LIKE '%2010%';

--
-- What a partition has: key, indexes, storage
--
SELECT replace(indexdef, 'execution_spans_p20010203', 'PARTITION') AS index
FROM pg_indexes WHERE schemaname = 'flowmaestro' AND tablename = 'execution_spans_p20010203' ORDER BY 1;
SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = 'flowmaestro.execution_spans_p20010203'::regclass AND contype = 'p';
-- all partitions have the same, the parent has none
SELECT count(*) AS partitions, min(n), max(n)
FROM (SELECT p.partition, count(*) AS n FROM partitions AS p JOIN pg_index AS i ON i.indrelid = p.partition AND i.indisvalid GROUP BY 1) AS s;
SELECT count(*) FROM pg_index WHERE indrelid = 'flowmaestro.execution_spans'::regclass;
SELECT reloptions FROM pg_class WHERE oid = 'flowmaestro.execution_spans_p20010203'::regclass;
SELECT a.attname, a.attnotnull, pg_get_expr(d.adbin, d.adrelid) AS default
FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = 'flowmaestro.execution_spans_p20010203'::regclass AND a.attnum > 0 AND (a.attnotnull OR d.oid IS NOT NULL)
ORDER BY a.attnum;
-- owned as the parent, and not a member of the extension
SELECT bool_and(c.relowner = (SELECT relowner FROM pg_class WHERE oid = 'flowmaestro.execution_spans'::regclass)) AS owner,
       bool_or(EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')) AS member
FROM partitions AS p JOIN pg_class AS c ON c.oid = p.partition;

--
-- make_partition: the one for a time, made if there is none
--
SELECT flowmaestro.make_partition('2010-06-01 12:00:00+00');
SELECT flowmaestro.make_partition('2010-06-01 00:00:00+00'), flowmaestro.make_partition('2010-06-02 00:00:00+00');
-- a name that is taken
CREATE TABLE flowmaestro.execution_spans_p20100701 (i int);
SELECT flowmaestro.make_partition('2010-07-01 00:00:00+00');
DROP TABLE flowmaestro.execution_spans_p20100701;

--
-- Other intervals, and neighbours that are there already
--
SET flowmaestro.partition_interval = hour;
SELECT flowmaestro.make_partition('2011-01-01 13:30:00+00'), flowmaestro.make_partition('2011-01-01 00:30:00+00');
SET flowmaestro.partition_interval = week;
-- Mondays; 2011-01-05 is a Wednesday
SELECT flowmaestro.make_partition('2011-01-05 00:00:00+00');
SET flowmaestro.partition_interval = month;
SELECT flowmaestro.make_partition('2011-03-31 23:59:59+00'), flowmaestro.make_partition('2011-12-31 00:00:00+00'), flowmaestro.make_partition('2012-02-29 00:00:00+00');
-- clipped by the week and by the hours
SELECT flowmaestro.make_partition('2011-01-31 00:00:00+00'), flowmaestro.make_partition('2011-01-02 00:00:00+00');
SELECT flowmaestro.make_partition('2011-01-01 07:00:00+00');
SET flowmaestro.partition_interval = day;
SELECT flowmaestro.make_partition('2011-03-15 00:00:00+00');
-- between two of the same day
SET flowmaestro.partition_interval = hour;
SELECT flowmaestro.make_partition('2013-05-05 10:00:00+00'), flowmaestro.make_partition('2013-05-05 20:00:00+00');
SET flowmaestro.partition_interval = day;
SELECT flowmaestro.make_partition('2013-05-05 15:00:00+00'), flowmaestro.make_partition('2013-05-05 23:00:00+00'), flowmaestro.make_partition('2013-05-05 01:00:00+00');
-- before 2000
SELECT flowmaestro.make_partition('1999-12-31 12:00:00+00'), flowmaestro.make_partition('1970-01-05 12:00:00+00');
SET flowmaestro.partition_interval = week;
SELECT flowmaestro.make_partition('1999-12-27 00:00:00+00'), flowmaestro.make_partition('1998-01-01 00:00:00+00');
SET flowmaestro.partition_interval = month;
SELECT flowmaestro.make_partition('1997-12-31 23:00:00+00');
RESET flowmaestro.partition_interval;
SELECT * FROM partitions WHERE partition::text ~ 'p(2010|2011|2012|2013|199|196)' ORDER BY partition::text COLLATE "C";

--
-- A row that somebody put under an id that was just made: the span is merged
-- into it, and the others of the batch are not held up
--
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, started_at, status, attributes)
SELECT c.trace_id, c.span_id, 'by hand', 'agent_run', '2010-06-01 05:00:00+00', 'started', '{"b": 2}'
FROM flowmaestro.create_span('new', 'agent_run', attributes => '{"a": 1}', started_at => '2010-06-01 05:00:00+00') AS c
RETURNING span_id \gset n_
SELECT span_id FROM flowmaestro.create_span('other', 'agent_run', started_at => '2010-06-01 05:00:00+00') \gset o_
SELECT flowmaestro.end_span(:'n_span_id', ended_at => '2010-06-01 05:00:01+00'), flowmaestro.end_span(:'o_span_id', ended_at => '2010-06-01 05:00:02+00');
SELECT flowmaestro.flush();
SELECT name, status, duration_ms, attributes FROM flowmaestro.execution_spans WHERE span_id IN (:'n_span_id', :'o_span_id') ORDER BY name;
SELECT count(*) FROM flowmaestro.rejected_spans;

--
-- Retention: off, nothing goes; on, whole partitions go, but none with a
-- running span, in the table or in memory; and old spans of the default one
--
SHOW flowmaestro.retention;
SELECT flowmaestro.apply_retention();
SELECT trace_id, span_id FROM flowmaestro.create_span('runs for long', 'workflow_run', started_at => '2011-03-15 00:00:00+00') \gset r_
SELECT flowmaestro.flush();
SELECT trace_id, span_id FROM flowmaestro.create_span('in memory', 'workflow_run', started_at => '2012-02-15 00:00:00+00') \gset m_
SELECT name FROM flowmaestro.execution_spans WHERE name = 'late';
INSERT INTO flowmaestro.execution_spans_later (trace_id, span_id, name, span_type, started_at, status)
SELECT md5(status)::uuid, md5(status)::uuid, 'old among late: ' || status, 'agent_run', '2014-01-01 00:00:00+00', status FROM unnest('{started,failed}'::text[]) AS status;
SELECT count(*) FROM flowmaestro.create_span('timeless', 'agent_run', span_id => '00000000-0000-4000-8000-000000000001', started_at => '2011-03-16 00:00:00+00');
SELECT flowmaestro.end_span('00000000-0000-4000-8000-000000000001', ended_at => '2011-03-16 00:00:01+00');
SELECT flowmaestro.flush();
SELECT count(*) AS ids_of_old_days FROM flowmaestro.span_id_directory WHERE started_on < '2014-01-01';
SET flowmaestro.retention = '30d';
SELECT * FROM flowmaestro.apply_retention() AS p ORDER BY p COLLATE "C";
SELECT * FROM partitions ORDER BY partition::text COLLATE "C";
SELECT flowmaestro.end_span(:'r_span_id'), flowmaestro.end_span(:'m_span_id');
SELECT flowmaestro.flush();
SELECT * FROM flowmaestro.apply_retention() AS p ORDER BY p COLLATE "C";
-- only late ones are left
SELECT name FROM flowmaestro.execution_spans ORDER BY name;
SELECT partition FROM partitions ORDER BY partition::text COLLATE "C";
SELECT count(*) AS ids_of_days_that_are_gone FROM flowmaestro.span_id_directory WHERE started_on < '2014-01-01';
SELECT * FROM flowmaestro.apply_retention();
RESET flowmaestro.retention;

--
-- import_spans: from a table of the original's form
--
CREATE SCHEMA original;
CREATE TABLE original.execution_spans (
    trace_id UUID NOT NULL,
    span_id UUID PRIMARY KEY,
    parent_span_id UUID,
    name TEXT NOT NULL,
    span_type TEXT NOT NULL,
    entity_id TEXT,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    duration_ms INTEGER,
    status TEXT NOT NULL,
    input JSONB,
    output JSONB,
    error JSONB,
    attributes JSONB DEFAULT '{}'::jsonb,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
INSERT INTO original.execution_spans VALUES
    ('55555555-5555-4555-8555-000000000001', '55555555-5555-4555-8555-000000000011', NULL, 'run', 'workflow_run', 'wf-1',
     '2025-11-01 10:00:00+00', '2025-11-01 10:00:00.000250+00', 0, 'completed', '{"a": 1}', 'null', 'null', '{"userId": "u-1"}', '2025-11-01 10:00:01+00'),
    ('55555555-5555-4555-8555-000000000001', '55555555-5555-4555-8555-000000000012', '55555555-5555-4555-8555-000000000011', 'llm', 'model_generation', NULL,
     '2025-11-01 10:00:00.0001+00', '2025-11-01 10:00:01+00', 999, 'error', 'null', 'null', '{"type": "Error", "message": "m"}', NULL, '2025-11-01 10:00:01+00'),
    ('55555555-5555-4555-8555-000000000001', '55555555-5555-4555-8555-000000000013', '55555555-5555-4555-8555-000000000011', 'frozen', 'agent_run', 'a-1',
     '2025-11-01 23:59:59.999999+00', NULL, NULL, 'started', 'null', NULL, NULL, '{}', '2025-11-02 00:00:01+00'),
    ('55555555-5555-4555-8555-000000000002', '55555555-5555-4555-8555-000000000021', NULL, 'next day', 'workflow_run', 'wf-1',
     '2025-11-02 00:00:00+00', '2025-12-02 00:00:00+00', NULL, 'failed', NULL, '0', NULL, '{"b": [1]}', '2025-11-02 00:00:01+00'),
    ('55555555-5555-4555-8555-000000000003', '55555555-5555-4555-8555-000000000031', NULL, 'stopped', 'workflow_run', NULL,
     '2025-10-26 00:30:00+00', '2025-10-26 00:30:01+00', 1000, 'cancelled', '""', 'false', NULL, '{}', '2025-10-26 00:30:02+00');
SELECT flowmaestro.import_spans('original.execution_spans');
SELECT tableoid::regclass AS partition, right(span_id::text, 2) AS span, right(parent_span_id::text, 2) AS parent, name, span_type, entity_id, started_at, ended_at
FROM flowmaestro.execution_spans WHERE trace_id::text LIKE '55555555%' ORDER BY span_id;
SELECT right(span_id::text, 2) AS span, duration_ms, status, input, output, error, attributes, created_at, events, links, otlp
FROM flowmaestro.execution_spans WHERE trace_id::text LIKE '55555555%' ORDER BY span_id;
-- again: nothing new; then what is new
SELECT flowmaestro.import_spans('original.execution_spans');
INSERT INTO original.execution_spans
SELECT trace_id, '55555555-5555-4555-8555-000000000014', parent_span_id, 'added', span_type, entity_id, started_at, ended_at, duration_ms, status, input, output, error, attributes, created_at
FROM original.execution_spans WHERE name = 'run';
SELECT flowmaestro.import_spans('original.execution_spans');
SELECT count(*) FROM flowmaestro.execution_spans WHERE trace_id::text LIKE '55555555%';
-- an imported span that still runs can be ended
SELECT flowmaestro.end_span('55555555-5555-4555-8555-000000000013', ended_at => '2025-11-03 00:00:00+00');
SELECT flowmaestro.flush();
SELECT name, status, duration_ms FROM flowmaestro.execution_spans WHERE span_id = '55555555-5555-4555-8555-000000000013';
-- by the hour, in another time zone of the session
SET timezone = 'America/New_York';
SET flowmaestro.partition_interval = hour;
DELETE FROM original.execution_spans;
INSERT INTO original.execution_spans
SELECT '55555555-5555-4555-8555-000000000004', ('55555555-5555-4555-8555-0000000001' || i)::uuid, NULL, 'hourly', 'agent_run', NULL,
       '2025-09-01 00:00:00+00'::timestamptz + i * interval '57 minutes', NULL, NULL, 'started', NULL, NULL, NULL, '{}', now()
FROM generate_series(10, 60) AS i;
SELECT flowmaestro.import_spans('original.execution_spans');
RESET flowmaestro.partition_interval;
SET timezone = 'UTC';
SELECT count(DISTINCT tableoid) AS partitions, count(*) FROM flowmaestro.execution_spans WHERE name = 'hourly';
-- an empty table
DELETE FROM original.execution_spans;
SELECT flowmaestro.import_spans('original.execution_spans');
-- tables that are not of that form
INSERT INTO original.execution_spans VALUES (gen_random_uuid(), gen_random_uuid(), NULL, 'n', 't', NULL, now(), NULL, NULL, 'skipped');
SELECT flowmaestro.import_spans('original.execution_spans');
ALTER TABLE original.execution_spans DROP COLUMN error, DROP COLUMN entity_id;
SELECT flowmaestro.import_spans('original.execution_spans');
SELECT flowmaestro.import_spans('pg_class');
SELECT flowmaestro.import_spans('original.nothing');
SELECT flowmaestro.import_spans('flowmaestro.execution_spans');
DROP TABLE original.execution_spans;
DROP SCHEMA original;

--
-- Every query of the original is served by an index of the partition
--
DELETE FROM flowmaestro.execution_spans;
CREATE TABLE filling AS
SELECT ('66666666-6666-4666-8666-' || lpad((i / 10)::text, 12, '0'))::uuid AS trace_id, ('66666666-6666-4666-8666-' || lpad(i::text, 12, '1'))::uuid AS span_id,
       NULL::uuid AS parent_span_id, 'span ' || i AS name, CASE WHEN i % 50 = 7 THEN 'agent_run' WHEN i % 2 = 0 THEN 'tool_execution' ELSE 'model_generation' END AS span_type,
       'entity-' || i % 200 AS entity_id, '2024-05-06 00:00:00+00'::timestamptz + i * interval '10 seconds' AS started_at,
       '2024-05-06 00:00:05+00'::timestamptz + i * interval '10 seconds' AS ended_at,
       CASE WHEN i % 100 = 0 THEN 'failed' WHEN i % 101 = 0 THEN 'started' ELSE 'completed' END AS status,
       NULL::jsonb AS input, NULL::jsonb AS output, NULL::jsonb AS error,
       jsonb_build_object('userId', 'user-' || i % 300, 'totalTokens', i) AS attributes, now() AS created_at
FROM generate_series(0, 4999) AS i;
SELECT flowmaestro.import_spans('filling');
DROP TABLE filling;
ANALYZE flowmaestro.execution_spans_p20240506;

-- the conditions that indexes of the partition serve, or what else is read
CREATE FUNCTION index_use(condition text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    lines text[] := '{}';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT * FROM flowmaestro.execution_spans WHERE '
                        || 'started_at >= ''2024-05-06'' AND started_at < ''2024-05-07'' AND ' || condition
    LOOP
        -- the day's own limits may be part of the index condition or filtered
        line := regexp_replace(line, '\(started_at (>=|<) ''2024-05-0[67] 00:00:00\+00''::timestamp with time zone\)', 'DAY', 'g');
        line := regexp_replace(line, ' AND DAY|DAY AND ', '', 'g');
        IF line ~ 'Seq Scan' THEN
            lines := lines || 'Seq Scan'::text;
        ELSIF line ~ 'Index Cond' THEN
            lines := lines || trim(line);
        END IF;
    END LOOP;
    RETURN QUERY SELECT l FROM unnest(lines) AS l GROUP BY l ORDER BY l COLLATE "C";
END
$$;
SET enable_seqscan = off;
SELECT index_use($$trace_id = '66666666-6666-4666-8666-000000000007'$$);
SELECT index_use($$trace_id = '66666666-6666-4666-8666-000000000007' AND span_id = '66666666-6666-4666-8666-111111111171'$$);
SELECT index_use($$span_type = 'agent_run'$$);
SELECT index_use($$entity_id = 'entity-7'$$);
SELECT index_use($$entity_id = 'entity-7' AND span_type = 'model_generation'$$);
SELECT index_use($$attributes->>'userId' = 'user-7'$$);
SELECT index_use($$status = 'failed'$$);
SELECT index_use($$status = 'started'$$);
SELECT index_use($$started_at BETWEEN '2024-05-06 10:00:00+00' AND '2024-05-06 10:05:00+00'$$);
SELECT index_use($$attributes @> '{"totalTokens": 7}'$$);
-- a span by its id alone, which tells how its trace's begins
SET enable_bitmapscan = off;
CREATE FUNCTION index_use_all(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ 'Seq Scan|Index Cond' THEN
            RETURN NEXT trim(line);
        END IF;
    END LOOP;
END
$$;
SELECT index_use_all($$SELECT * FROM flowmaestro.execution_spans_p20240506 WHERE span_id = '66666666-6666-4666-8666-111111111171'
                       AND trace_id >= '66666666-6666-4666-0000-000000000000' AND trace_id <= '66666666-6666-4666-ffff-ffffffffffff'$$);
RESET enable_bitmapscan;
-- the original's example
SELECT index_use($$span_type = 'agent_run' AND attributes->>'userId' = 'user-121' ORDER BY started_at DESC$$) LIKE 'Index Cond: (%' AS by_index;
RESET enable_seqscan;

DROP FUNCTION index_use_all;
DROP FUNCTION index_use;
DROP VIEW partitions;
DROP EXTENSION flowmaestro_spans;
