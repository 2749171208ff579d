SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

-- Activities run more than once, in any order, on any worker: creating and
-- ending a span must be safe to repeat.
CREATE VIEW spans AS
SELECT right(span_id::text, 4) AS span, right(trace_id::text, 4) AS trace, right(parent_span_id::text, 4) AS parent,
       name, span_type AS type, entity_id AS entity, to_char(started_at, 'HH24:MI:SS') AS started,
       to_char(ended_at, 'HH24:MI:SS') AS ended, duration_ms AS ms, status, input, output, error, attributes,
       jsonb_path_query_array(events, '$[*].name') AS events
FROM flowmaestro.execution_spans;
CREATE FUNCTION id(n int) RETURNS uuid IMMUTABLE LANGUAGE sql
RETURN ('22222222-2222-4222-8222-' || lpad(n::text, 12, '0'))::uuid;
CREATE FUNCTION at(seconds int) RETURNS timestamptz IMMUTABLE LANGUAGE sql
RETURN '2026-01-01 00:00:00+00'::timestamptz + seconds * interval '1 second';

--
-- Create repeated: the same context, the first one's fields, attributes merged
--
SELECT flowmaestro.create_span('first', 'agent_run', 'e-1', '{"a": 1, "k": 1}', '"in"', id(9001), id(9000), id(1), at(10));
SELECT flowmaestro.create_span('first', 'agent_run', 'e-1', '{"a": 1, "k": 1}', '"in"', id(9001), id(9000), id(1), at(10));
-- with other content, another trace and another parent
SELECT flowmaestro.create_span('second', 'other', 'e-2', '{"b": 2, "k": 2}', '"other"', id(9002), id(8000), id(1), at(20));
-- with ids left out
SELECT flowmaestro.create_span('third', 'other', attributes => '{"c": 3}', span_id => id(1));
SELECT flowmaestro.create_child_span(id(7000), 'fourth', 'other', attributes => '{"d": 4}', span_id => id(1));
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE span = '0001';
-- after the flush
SELECT flowmaestro.create_span('fifth', 'other', 'e-5', '{"e": 5, "k": 5}', '"other"', id(9003), id(8000), id(1), at(30));
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE span = '0001';
SELECT name, right(span_id::text, 4) AS span FROM flowmaestro.active_spans ORDER BY span_id;
-- after the end, before and after the flush
SELECT flowmaestro.end_span(id(1), '"out"', '{"end": 1}', ended_at => at(40));
SELECT flowmaestro.create_span('sixth', 'other', 'e-6', '{"f": 6}', '"other"', id(9004), id(8000), id(1), at(50));
SELECT flowmaestro.flush();
SELECT flowmaestro.create_span('seventh', 'other', 'e-7', '{"g": 7}', '"other"', id(9005), id(8000), id(1), at(60));
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE span = '0001';
SELECT count(*) FROM flowmaestro.execution_spans WHERE span_id = id(1);
-- it has ended and stays so
SELECT name FROM flowmaestro.active_spans ORDER BY name;
SELECT flowmaestro.end_span(id(1), '"again"');
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE span = '0001';

--
-- The same without a flush anywhere: create, end, create, end
--
SELECT flowmaestro.create_span('first', 'agent_run', span_id => id(2), trace_id => id(9010), started_at => at(0));
SELECT flowmaestro.end_span(id(2), '1', ended_at => at(1));
SELECT flowmaestro.create_span('first', 'agent_run', span_id => id(2), trace_id => id(9010), started_at => at(2));
SELECT flowmaestro.end_span(id(2), '2', ended_at => at(3));
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE span = '0002';

--
-- End before create: a stub, filled when the create comes
--
SELECT orphan_ends AS orphans, duplicate_ends AS duplicates FROM flowmaestro.stats \gset
SELECT flowmaestro.end_span(id(3), '"out"', '{"end": 1}', ended_at => at(5));
SELECT flowmaestro.end_span(id(3), '"late"');
SELECT flowmaestro.flush();
SELECT name, type, started, ended, status, output, attributes FROM spans WHERE span = '0003';
-- it does not run, and a second end comes too late
SELECT count(*) FROM flowmaestro.active_spans;
SELECT flowmaestro.end_span(id(3), '"late"');
SELECT orphan_ends - :orphans AS orphan_ends, duplicate_ends - :duplicates AS duplicate_ends FROM flowmaestro.stats;
SELECT flowmaestro.create_span('filled', 'agent_run', 'e', '{"start": 1}', '"in"', id(9020), id(9019), id(3), at(1));
SELECT flowmaestro.create_span('not filled', 'other', 'f', '{"again": 1}', '"no"', id(9021), id(9018), id(3), at(2));
SELECT flowmaestro.end_span(id(3), '"late"');
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE span = '0003';
SELECT count(*) FROM flowmaestro.execution_spans WHERE span_id = id(3);
SELECT flowmaestro.end_span(id(3), '"late"');
-- the same without a flush between
SELECT flowmaestro.end_span_with_error(id(4), 'out', ended_at => at(5));
SELECT flowmaestro.create_span('filled', 'agent_run', 'e', '{"start": 1}', '"in"', id(9020), id(9019), id(4), at(1));
SELECT flowmaestro.end_span(id(4), '"late"');
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE span = '0004';

--
-- Attributes, an event or a cancel before create
--
SELECT flowmaestro.set_span_attributes(id(5), '{"early": 1, "k": 1}');
SELECT flowmaestro.flush();
SELECT name, status, attributes FROM spans WHERE span = '0005';
SELECT count(*) FROM flowmaestro.active_spans;
SELECT flowmaestro.create_span('annotated', 'agent_run', attributes => '{"k": 2}', trace_id => id(9030), span_id => id(5), started_at => at(0));
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE span = '0005';
SELECT name FROM flowmaestro.active_spans ORDER BY name;
SELECT flowmaestro.add_span_event(id(6), 'early event', '{"n": 1}', at(1));
SELECT flowmaestro.flush();
SELECT flowmaestro.create_span('with event', 'agent_run', trace_id => id(9030), span_id => id(6), started_at => at(0));
SELECT flowmaestro.add_span_event(id(6), 'later event', '{"n": 2}', at(2));
SELECT flowmaestro.flush();
SELECT * FROM spans WHERE span = '0006';
SELECT flowmaestro.cancel_trace(id(9030), 'stop');
SELECT flowmaestro.create_span('after the cancel', 'agent_run', trace_id => id(9030), span_id => id(7), started_at => at(0));
SELECT flowmaestro.flush();
SELECT span, name, status, error FROM spans WHERE trace = '9030' ORDER BY span;
SELECT flowmaestro.cancel_trace(id(9030));
SELECT flowmaestro.end_span(id(6), '"late"');

--
-- An end before its start in time is set to the start, and counted
--
SELECT clamped_ends AS clamped FROM flowmaestro.stats \gset
-- create, end
SELECT flowmaestro.create_span('clamped', 'agent_run', span_id => id(11), trace_id => id(9040), started_at => at(10));
SELECT flowmaestro.end_span(id(11), ended_at => at(5));
SELECT flowmaestro.flush();
SELECT clamped_ends - :clamped AS clamped FROM flowmaestro.stats;
-- create, flush, end
SELECT flowmaestro.create_span('clamped', 'agent_run', span_id => id(12), trace_id => id(9040), started_at => at(10));
SELECT flowmaestro.flush();
SELECT flowmaestro.end_span(id(12), ended_at => at(5));
SELECT flowmaestro.flush();
SELECT clamped_ends - :clamped AS clamped FROM flowmaestro.stats;
-- end, create
SELECT flowmaestro.end_span(id(13), ended_at => at(5));
SELECT flowmaestro.create_span('clamped', 'agent_run', span_id => id(13), trace_id => id(9040), started_at => at(10));
SELECT flowmaestro.flush();
SELECT clamped_ends - :clamped AS clamped FROM flowmaestro.stats;
-- end, flush, create
SELECT flowmaestro.end_span(id(14), ended_at => at(5));
SELECT flowmaestro.flush();
SELECT flowmaestro.create_span('clamped', 'agent_run', span_id => id(14), trace_id => id(9040), started_at => at(10));
SELECT flowmaestro.flush();
SELECT clamped_ends - :clamped AS clamped FROM flowmaestro.stats;
SELECT span, started, ended, ms, status FROM spans WHERE trace = '9040' ORDER BY span;

--
-- Another connection ends what this one created
--
SELECT flowmaestro.create_span('other connection', 'agent_run', span_id => id(21), trace_id => id(9050), started_at => at(0));
SELECT flowmaestro.create_span('other connection', 'agent_run', span_id => id(22), trace_id => id(9050), started_at => at(0));
SELECT flowmaestro.create_span('other connection', 'agent_run', span_id => id(23), trace_id => id(9050), started_at => at(0));
\c -
SET timezone = 'UTC';
SELECT flowmaestro.end_span(id(21), '"before the flush"', ended_at => at(1));
SELECT flowmaestro.flush();
\c -
SET timezone = 'UTC';
SELECT flowmaestro.end_span(id(22), '"after the flush"', ended_at => at(1));
SELECT flowmaestro.end_span(id(21), '"late"');
\c -
SET timezone = 'UTC';
SELECT flowmaestro.end_span(id(22), '"late"');
SELECT flowmaestro.flush();
SELECT name, pid = pg_backend_pid() AS mine FROM flowmaestro.active_spans WHERE trace_id = id(9050);
SELECT flowmaestro.cancel_trace(id(9050));
SELECT flowmaestro.flush();
SELECT span, name, ms, status, output FROM spans WHERE trace = '9050' AND status <> 'cancelled' ORDER BY span;
SELECT span, name, status FROM spans WHERE trace = '9050' AND status = 'cancelled' ORDER BY span;

--
-- Every order of create, annotate, event and end gives the same row, with a
-- flush after every step, with one after two steps, and without
--
CREATE FUNCTION step(what text, span uuid, trace uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE what
        WHEN 'create' THEN
            PERFORM flowmaestro.create_span('any order', 'agent_run', 'e', '{"start": 1}', '"in"', trace, id(9099), span, at(0));
        WHEN 'annotate' THEN
            PERFORM flowmaestro.set_span_attributes(span, '{"set": 1}');
        WHEN 'event' THEN
            PERFORM flowmaestro.add_span_event(span, 'an event', '{"n": 1}', at(1));
        WHEN 'end' THEN
            PERFORM flowmaestro.end_span(span, '"out"', '{"end": 1}', '{"message": "m"}', ended_at => at(2));
    END CASE;
END
$$;
CREATE TABLE orders (span_id uuid, mode text, flushes text, steps text[]);
INSERT INTO orders
SELECT id((100 + row_number() OVER (ORDER BY m, f, a, b, c, d))::int), m, f, ARRAY[a, b, c, d]
FROM unnest('{create,annotate,event,end}'::text[]) AS a, unnest('{create,annotate,event,end}'::text[]) AS b,
     unnest('{create,annotate,event,end}'::text[]) AS c, unnest('{create,annotate,event,end}'::text[]) AS d,
     unnest('{none,middle,each}'::text[]) AS f, unnest('{buffered,transactional}'::text[]) AS m
WHERE a <> b AND a <> c AND a <> d AND b <> c AND b <> d AND c <> d;
DO $$
DECLARE
    o orders;
BEGIN
    FOR o IN SELECT * FROM orders ORDER BY span_id LOOP
        PERFORM set_config('flowmaestro.write_mode', o.mode, false);
        FOR i IN 1 .. 4 LOOP
            PERFORM step(o.steps[i], o.span_id, id(9060));
            COMMIT;
            IF o.flushes = 'each' OR (o.flushes = 'middle' AND i = 2) THEN
                PERFORM flowmaestro.flush();
            END IF;
        END LOOP;
    END LOOP;
END
$$;
RESET flowmaestro.write_mode;
SELECT flowmaestro.flush();
SELECT count(*) FROM orders;
SELECT count(*), parent, name, type, entity, started, ended, ms, status, input, output, error, attributes, events
FROM spans WHERE trace = '9060' GROUP BY parent, name, type, entity, started, ended, ms, status, input, output, error, attributes, events
ORDER BY count(*) DESC;
-- those that differ, if any
SELECT o.mode, o.flushes, o.steps, count(s.*) AS rows
FROM orders AS o LEFT JOIN flowmaestro.execution_spans AS s
     ON s.span_id = o.span_id AND s.trace_id = id(9060) AND s.name = 'any order' AND s.status = 'failed'
        AND s.started_at = at(0) AND s.ended_at = at(2) AND s.output = '"out"' AND s.input = '"in"'
        AND s.attributes = '{"start": 1, "set": 1, "end": 1}' AND jsonb_array_length(s.events) = 1
GROUP BY o.span_id, o.mode, o.flushes, o.steps HAVING count(s.*) <> 1 ORDER BY o.span_id;
-- one row each, and no stub is left
SELECT count(*), count(DISTINCT span_id) FROM flowmaestro.execution_spans WHERE span_id IN (SELECT span_id FROM orders);
SELECT count(*) FROM flowmaestro.execution_spans WHERE name = '';
SELECT count(*) FROM flowmaestro.tracked_spans() WHERE trace_id = id(9060);

-- later keys win, whatever the kinds and the order of the records
TRUNCATE orders;
INSERT INTO orders
SELECT id((400 + row_number() OVER (ORDER BY m, f, a, b, c))::int), m, f, ARRAY[a, b, c]
FROM unnest('{create,annotate,end}'::text[]) AS a, unnest('{create,annotate,end}'::text[]) AS b,
     unnest('{create,annotate,end}'::text[]) AS c,
     unnest('{none,each}'::text[]) AS f, unnest('{buffered,transactional}'::text[]) AS m
WHERE a <> b AND a <> c AND b <> c;
DO $$
DECLARE
    o orders;
    a jsonb;
BEGIN
    FOR o IN SELECT * FROM orders ORDER BY span_id LOOP
        PERFORM set_config('flowmaestro.write_mode', o.mode, false);
        FOR i IN 1 .. 3 LOOP
            a := jsonb_build_object('last', o.steps[i]);
            CASE o.steps[i]
                WHEN 'create' THEN
                    PERFORM flowmaestro.create_span('last wins', 'agent_run', attributes => a, trace_id => id(9070), span_id => o.span_id);
                WHEN 'annotate' THEN
                    PERFORM flowmaestro.set_span_attributes(o.span_id, a);
                WHEN 'end' THEN
                    PERFORM flowmaestro.end_span(o.span_id, attributes => a);
            END CASE;
            COMMIT;
            IF o.flushes = 'each' THEN
                PERFORM flowmaestro.flush();
            END IF;
        END LOOP;
    END LOOP;
END
$$;
RESET flowmaestro.write_mode;
SELECT flowmaestro.flush();
SELECT count(*) AS spans, count(*) FILTER (WHERE s.attributes = jsonb_build_object('last', o.steps[3])) AS last_wins
FROM orders AS o JOIN flowmaestro.execution_spans AS s USING (span_id);
SELECT o.mode, o.flushes, o.steps, s.attributes
FROM orders AS o JOIN flowmaestro.execution_spans AS s USING (span_id)
WHERE s.attributes <> jsonb_build_object('last', o.steps[3])
ORDER BY o.span_id;

DROP TABLE orders;
DROP FUNCTION step;
DROP VIEW spans;
DROP FUNCTION id;
DROP FUNCTION at;
DROP EXTENSION flowmaestro_spans;
