SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET flowmaestro.write_mode = transactional;
SHOW flowmaestro.write_mode;

-- what the tests below look at; the row as this session's transaction sees it
CREATE VIEW spans AS
SELECT name, status, output, error, attributes, events, ended_at IS NOT NULL AS has_end
FROM flowmaestro.execution_spans;

--
-- Commit: visible at once in the same transaction, without a flush
--
BEGIN;
SELECT trace_id, span_id FROM flowmaestro.create_span('committed', 'database_query', attributes => '{"a": 1}') \gset c_
SELECT * FROM spans WHERE name = 'committed';
SELECT name, pid = pg_backend_pid() AS mine FROM flowmaestro.active_spans ORDER BY name;
SELECT flowmaestro.set_span_attributes(:'c_span_id', '{"b": 2}');
-- nothing to set is no failure
SELECT flowmaestro.set_span_attributes(:'c_span_id', '{}');
SELECT flowmaestro.add_span_event(:'c_span_id', 'e', at => '2026-01-01 00:00:00+00');
SELECT flowmaestro.end_span(:'c_span_id', '"done"', '{"c": 3}');
SELECT flowmaestro.end_span(:'c_span_id', '"again"', '{"c": 4}');
SELECT * FROM spans WHERE name = 'committed';
COMMIT;
SELECT * FROM spans WHERE name = 'committed';
SELECT flowmaestro.end_span(:'c_span_id', '"again"');
SELECT flowmaestro.set_span_attributes(:'c_span_id', '{"d": 4}');
SELECT * FROM spans WHERE name = 'committed';
SELECT count(*) FROM flowmaestro.tracked_spans();
-- children find their trace
SELECT c.trace_id = :'c_trace_id' AS trace FROM flowmaestro.create_child_span(:'c_span_id', 'child', 'agent_run') AS c;
SELECT flowmaestro.cancel_trace(:'c_trace_id', 'enough');
SELECT * FROM spans WHERE name = 'child';
SELECT count(*) FROM flowmaestro.active_spans;

--
-- Rollback: nothing happened
--
BEGIN;
SELECT span_id FROM flowmaestro.create_span('rolled back', 'database_query') \gset r_
SELECT flowmaestro.end_span(:'r_span_id');
ROLLBACK;
SELECT * FROM spans WHERE name = 'rolled back';
SELECT count(*) FROM flowmaestro.tracked_spans();
-- an end that rolled back leaves the span running; a second one is the first
SELECT span_id FROM flowmaestro.create_span('end undone', 'database_query') \gset u_
BEGIN;
SELECT flowmaestro.end_span(:'u_span_id', '"undone"');
ROLLBACK;
SELECT name FROM flowmaestro.active_spans ORDER BY name;
SELECT flowmaestro.end_span(:'u_span_id', '"kept"');
SELECT * FROM spans WHERE name = 'end undone';
SELECT count(*) FROM flowmaestro.active_spans;
-- the same span id can be used again after a rollback
BEGIN;
SELECT * FROM flowmaestro.create_span('first try', 'agent_run', trace_id => '11111111-1111-4111-8111-000000000001',
                                      span_id => '11111111-1111-4111-8111-000000000002');
ROLLBACK;
SELECT * FROM flowmaestro.create_span('second try', 'agent_run', trace_id => '11111111-1111-4111-8111-000000000003',
                                      span_id => '11111111-1111-4111-8111-000000000002');
SELECT s.name, s.trace_id FROM flowmaestro.execution_spans AS s WHERE span_id = '11111111-1111-4111-8111-000000000002';
SELECT flowmaestro.end_span('11111111-1111-4111-8111-000000000002');

--
-- Savepoints
--
BEGIN;
SELECT span_id FROM flowmaestro.create_span('outer', 'workflow_run') \gset o_
SAVEPOINT a;
SELECT span_id FROM flowmaestro.create_span('in savepoint', 'workflow_run') \gset i_
SELECT flowmaestro.end_span(:'o_span_id', '"undone"');
SELECT name, status FROM spans WHERE name IN ('outer', 'in savepoint') ORDER BY name;
ROLLBACK TO a;
SELECT name, status FROM spans WHERE name IN ('outer', 'in savepoint') ORDER BY name;
SAVEPOINT b;
SELECT flowmaestro.set_span_attributes(:'o_span_id', '{"kept": true}');
SAVEPOINT c;
SELECT flowmaestro.end_span(:'o_span_id', '"kept"');
RELEASE b;
COMMIT;
SELECT * FROM spans WHERE name IN ('outer', 'in savepoint') ORDER BY name;
SELECT count(*) FROM flowmaestro.tracked_spans();
-- a caught error undoes what its block recorded
DO $$
BEGIN
    PERFORM flowmaestro.create_span('before', 'agent_run', span_id => '11111111-1111-4111-8111-000000000010');
    BEGIN
        PERFORM flowmaestro.end_span('11111111-1111-4111-8111-000000000010', '"undone"');
        PERFORM flowmaestro.create_span('undone', 'agent_run');
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM flowmaestro.end_span_with_error('11111111-1111-4111-8111-000000000010', SQLERRM);
    END;
END
$$;
SELECT * FROM spans WHERE name IN ('before', 'undone') ORDER BY name;
SELECT count(*) FROM flowmaestro.tracked_spans();

--
-- Two-phase commit, where the server allows it
--
SELECT current_setting('max_prepared_transactions')::int > 0 AS can_prepare, true AS prepare_ok \gset
\if :can_prepare
BEGIN;
SELECT span_id FROM flowmaestro.create_span('prepared', 'workflow_run', span_id => '11111111-1111-4111-8111-000000000020') \gset p_
PREPARE TRANSACTION 'flowmaestro_regress_1';
BEGIN;
SELECT span_id FROM flowmaestro.create_span('prepared and undone', 'workflow_run', span_id => '11111111-1111-4111-8111-000000000021') \gset p_
PREPARE TRANSACTION 'flowmaestro_regress_2';
COMMIT PREPARED 'flowmaestro_regress_1';
ROLLBACK PREPARED 'flowmaestro_regress_2';
SELECT flowmaestro.end_span('11111111-1111-4111-8111-000000000020') AS prepare_end \gset
SELECT :'prepare_end' AND count(*) = 1 AND bool_and(name = 'prepared' AND status = 'completed') AS prepare_ok
FROM flowmaestro.execution_spans
WHERE span_id IN ('11111111-1111-4111-8111-000000000020', '11111111-1111-4111-8111-000000000021') \gset
\endif
SELECT :'prepare_ok' AS prepare_ok;
SELECT count(*) FROM flowmaestro.tracked_spans();

--
-- Both modes in one span, in both orders of flush
--
CREATE TABLE mixes AS
SELECT ('11111111-1111-4111-8111-0000000001' || lpad(row_number() OVER (ORDER BY a, b, f, g)::text, 2, '0'))::uuid AS span_id,
       a AS first_mode, b AS second_mode, f AS flush_between, g AS flush_before, NULL::bool[] AS ended
FROM unnest('{buffered,transactional}'::text[]) AS a, unnest('{buffered,transactional}'::text[]) AS b,
     unnest('{f,t}'::bool[]) AS f, unnest('{f,t}'::bool[]) AS g;
-- a commit after each step, that the writer never waits for this session
DO $$
DECLARE
    m mixes;
    all_ended bool[];
BEGIN
    FOR m IN SELECT * FROM mixes ORDER BY span_id LOOP
        PERFORM set_config('flowmaestro.write_mode', m.first_mode, false);
        PERFORM flowmaestro.create_span('mix', 'agent_run', attributes => '{"a": 1}', span_id => m.span_id,
                                        started_at => '2026-01-01 00:00:00+00');
        COMMIT;
        IF m.flush_between THEN PERFORM flowmaestro.flush(); END IF;
        PERFORM set_config('flowmaestro.write_mode', m.second_mode, false);
        PERFORM flowmaestro.set_span_attributes(m.span_id, '{"b": 2}');
        COMMIT;
        all_ended := ARRAY[flowmaestro.end_span(m.span_id, '1', '{"c": 3}', ended_at => '2026-01-01 00:00:01+00')];
        COMMIT;
        IF m.flush_before THEN PERFORM flowmaestro.flush(); END IF;
        PERFORM set_config('flowmaestro.write_mode', m.first_mode, false);
        all_ended := all_ended || flowmaestro.end_span(m.span_id, '2', '{"c": 4}');
        COMMIT;
        PERFORM set_config('flowmaestro.write_mode', m.second_mode, false);
        all_ended := all_ended || flowmaestro.end_span(m.span_id, '3', '{"c": 5}');
        UPDATE mixes AS x SET ended = all_ended WHERE x.span_id = m.span_id;
        COMMIT;
    END LOOP;
END
$$;
SELECT flowmaestro.flush();
SELECT m.first_mode, m.second_mode, m.flush_between AS between, m.flush_before AS before, m.ended,
       s.name, s.status, s.output, s.attributes, s.duration_ms AS ms,
       (SELECT count(*) FROM flowmaestro.execution_spans AS t WHERE t.span_id = m.span_id) AS rows
FROM mixes AS m LEFT JOIN flowmaestro.execution_spans AS s USING (span_id)
ORDER BY m.span_id;
SELECT count(*) FROM flowmaestro.tracked_spans();
DROP TABLE mixes;

-- the same in single statements, each its own transaction
SET flowmaestro.write_mode = buffered;
SELECT span_id FROM flowmaestro.create_span('b then t', 'agent_run', attributes => '{"start": 1}', input => '"i"') \gset bt_
SET flowmaestro.write_mode = transactional;
-- its start may still be in the buffer
SELECT flowmaestro.end_span(:'bt_span_id', '"t"', '{"end": 1}');
SELECT flowmaestro.end_span(:'bt_span_id', '"u"', '{"end": 2}');
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE name = 'b then t';
SELECT span_id FROM flowmaestro.create_span('t then b', 'agent_run', attributes => '{"start": 1}', input => '"i"') \gset tb_
SET flowmaestro.write_mode = buffered;
SELECT flowmaestro.end_span(:'tb_span_id', '"b"', '{"end": 1}');
SET flowmaestro.write_mode = transactional;
-- the end may still be in the buffer, and is known
SELECT flowmaestro.end_span(:'tb_span_id', '"u"', '{"end": 2}');
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE name = 't then b';
SELECT count(*) FROM flowmaestro.tracked_spans();
-- a start that is repeated in the other mode
SET flowmaestro.write_mode = buffered;
SELECT * FROM flowmaestro.create_span('repeated', 'agent_run', attributes => '{"a": 1}', trace_id => '11111111-1111-4111-8111-000000000030',
                                      span_id => '11111111-1111-4111-8111-000000000031');
SET flowmaestro.write_mode = transactional;
SELECT * FROM flowmaestro.create_span('repeated again', 'other', attributes => '{"b": 2}', trace_id => '11111111-1111-4111-8111-000000000032',
                                      span_id => '11111111-1111-4111-8111-000000000031');
SELECT flowmaestro.flush();
SELECT trace_id, name, span_type, attributes FROM flowmaestro.execution_spans WHERE span_id = '11111111-1111-4111-8111-000000000031';
SELECT flowmaestro.end_span('11111111-1111-4111-8111-000000000031');

--
-- The order of records does not matter here either
--
SELECT flowmaestro.end_span('11111111-1111-4111-8111-000000000040', '"o"', '{"end": 1}', ended_at => '2026-01-01 00:00:05+00');
SELECT flowmaestro.end_span('11111111-1111-4111-8111-000000000040', '"p"', '{"end": 2}');
SELECT flowmaestro.set_span_attributes('11111111-1111-4111-8111-000000000040', '{"set": 1}');
SELECT count(*) FROM flowmaestro.execution_spans WHERE span_id = '11111111-1111-4111-8111-000000000040';
SELECT * FROM flowmaestro.create_span('end first', 'agent_run', attributes => '{"start": 1}', trace_id => '11111111-1111-4111-8111-000000000041',
                                      span_id => '11111111-1111-4111-8111-000000000040', started_at => '2026-01-01 00:00:00+00');
SELECT trace_id, started_at, duration_ms FROM flowmaestro.execution_spans WHERE span_id = '11111111-1111-4111-8111-000000000040';
SELECT * FROM spans WHERE name = 'end first';
SELECT flowmaestro.end_span('11111111-1111-4111-8111-000000000040', '"q"');

--
-- A poison row is set aside; the caller sees nothing of it
--
SELECT rejected AS rejected_before FROM flowmaestro.stats \gset
BEGIN;
SELECT span_id FROM flowmaestro.create_span('before the poison', 'agent_run') \gset a_
SELECT span_id FROM flowmaestro.create_span('poison', 'agent_run', 'entity', '{"small": 1}'::jsonb ||
    jsonb_build_object('userId', (SELECT string_agg(md5(i::text), '' ORDER BY i) FROM generate_series(1, 188) AS i))) \gset p_
SELECT span_id FROM flowmaestro.create_span('after the poison', 'agent_run') \gset z_
COMMIT;
SELECT name FROM spans WHERE name LIKE '%poison' ORDER BY name;
SELECT name, span_type, entity_id, status, sqlstate, span_id = :'p_span_id' AS id, attributes->'small' AS small,
       length(attributes->>'userId') AS length, message LIKE 'index row %' AS message
FROM flowmaestro.rejected_spans;
SELECT rejected - :rejected_before AS rejected FROM flowmaestro.stats;
-- in a transaction that rolls back, nothing is set aside
BEGIN;
SELECT span_id FROM flowmaestro.create_span('undone poison', 'agent_run', attributes =>
    jsonb_build_object('userId', (SELECT string_agg(md5(i::text), '' ORDER BY i) FROM generate_series(1, 188) AS i))) \gset q_
SELECT count(*) FROM flowmaestro.rejected_spans;
ROLLBACK;
SELECT count(*) FROM flowmaestro.rejected_spans;
-- retried it is set aside again; cured it is taken
SELECT flowmaestro.retry_rejected_spans();
SELECT count(*) FROM flowmaestro.rejected_spans;
UPDATE flowmaestro.rejected_spans SET attributes = attributes || '{"userId": "u-1"}';
SELECT flowmaestro.retry_rejected_spans();
SELECT count(*) FROM flowmaestro.rejected_spans;
SELECT * FROM spans WHERE name = 'poison';
SELECT flowmaestro.end_span(:'p_span_id');
SELECT name, status FROM spans WHERE name = 'poison';

-- more rows than are read at once are all taken back
SELECT count((flowmaestro.create_span('curable ' || n, 'agent_run', 'curable', attributes =>
    jsonb_build_object('userId', (SELECT string_agg(md5(i::text), '' ORDER BY i) FROM generate_series(1, 188) AS i)))).span_id)
FROM generate_series(1, 7) AS n;
SELECT count(*) FROM flowmaestro.rejected_spans;
UPDATE flowmaestro.rejected_spans SET attributes = NULL;
SELECT flowmaestro.retry_rejected_spans();
SELECT count(*) FROM flowmaestro.rejected_spans;
SELECT count(*) FROM flowmaestro.execution_spans WHERE entity_id = 'curable';

-- the same poison through the buffer
SET flowmaestro.write_mode = buffered;
SELECT (flowmaestro.create_span('before the poison 2', 'agent_run')).span_id IS NOT NULL AS recorded;
SELECT (flowmaestro.create_span('poison 2', 'agent_run', attributes =>
    jsonb_build_object('userId', (SELECT string_agg(md5(i::text), '' ORDER BY i) FROM generate_series(1, 188) AS i)))).span_id IS NOT NULL AS recorded;
SELECT (flowmaestro.create_span('after the poison 2', 'agent_run')).span_id IS NOT NULL AS recorded;
SELECT flowmaestro.flush();
SELECT name FROM spans WHERE name LIKE '%poison 2' ORDER BY name;
SELECT name, sqlstate FROM flowmaestro.rejected_spans;
SET flowmaestro.write_mode = transactional;

--
-- A read-only transaction is traced through the buffer
--
BEGIN READ ONLY;
SELECT span_id FROM flowmaestro.create_span('in read only', 'database_query') \gset ro_
SELECT flowmaestro.end_span(:'ro_span_id');
ROLLBACK;
SELECT flowmaestro.flush();
SELECT name, status FROM spans WHERE name = 'in read only';

--
-- A rollback undoes what the transaction did to a span, not what came after
-- through the buffer
--
SET flowmaestro.write_mode = buffered;
SELECT flowmaestro.set_span_attributes('11111111-1111-4111-8111-000000000050', '{"a": 1}');
BEGIN;
SAVEPOINT s;
SET LOCAL flowmaestro.write_mode = transactional;
SELECT flowmaestro.end_span('11111111-1111-4111-8111-000000000050', '"rolled back"');
SET LOCAL flowmaestro.write_mode = buffered;
SELECT flowmaestro.end_span('11111111-1111-4111-8111-000000000050', '"stays"');
ROLLBACK TO s;
SELECT flowmaestro.end_span('11111111-1111-4111-8111-000000000050', '"too late"');
COMMIT;
SELECT count(*) FROM flowmaestro.create_span('rolled back end', 'agent_run', trace_id => '11111111-1111-4111-8111-000000000059',
                                             span_id => '11111111-1111-4111-8111-000000000050');
SELECT flowmaestro.flush();
SELECT name, status, output FROM spans WHERE name = 'rolled back end';

--
-- What the table's definition refuses is dropped, without an error or a span
-- that seems to run
--
SET flowmaestro.write_mode = transactional;
SELECT dropped FROM flowmaestro.stats \gset
ALTER TABLE flowmaestro.execution_spans RENAME COLUMN links TO links_x;
SET client_min_messages = error;
SELECT span_id FROM flowmaestro.create_span('refused', 'agent_run') \gset
SELECT flowmaestro.set_span_attributes(:'span_id', '{"a": 1}');
RESET client_min_messages;
SELECT count(*) FROM flowmaestro.active_spans WHERE name = 'refused';
SELECT dropped - :dropped AS dropped FROM flowmaestro.stats;
ALTER TABLE flowmaestro.execution_spans RENAME COLUMN links_x TO links;

--
-- A request of OTLP that has no spans
--
SELECT * FROM flowmaestro.ingest_otlp_json('{"resourceSpans": []}');

DROP VIEW spans;
DROP EXTENSION flowmaestro_spans;
