SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
SET search_path = flowmaestro, public;
-- what other scripts left
DO $$ BEGIN PERFORM flush(); END $$;
TRUNCATE execution_spans, rejected_spans;

-- what a transaction records while it keeps the writer from the table comes to
-- the writer as one batch

-- random attributes of the same few keys, merged one after the other by || as
-- the writer should merge them all at once
CREATE TEMP TABLE expected (span_id uuid, attributes jsonb, events int);
CREATE FUNCTION pg_temp.record_randomly(steps int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id uuid;
    part jsonb;
    attributes jsonb := '{}';
    events int := 0;
BEGIN
    SELECT c.span_id INTO id FROM create_span('random', 'agent_run') AS c;
    FOR step IN 1 .. steps LOOP
        part := (SELECT jsonb_object_agg('key' || (random() * 9)::int,
            (ARRAY['null', '1.50', '"text"', 'true', '[]', '{}', '[1, [2, {"a": []}]]', '{"deep": {"er": [null]}}'])
                [1 + (random() * 7)::int]::jsonb) FROM generate_series(1, (random() * 3)::int));
        part := coalesce(part, '{}');
        IF random() < 0.2 THEN
            PERFORM add_span_event(id, 'event ' || step, part);
            events := events + 1;
        ELSIF random() < 0.1 THEN
            IF end_span(id, attributes => part) THEN
                attributes := attributes || part;
            END IF;
        ELSE
            PERFORM set_span_attributes(id, part);
            attributes := attributes || part;
        END IF;
    END LOOP;
    INSERT INTO expected VALUES (id, attributes, events);
END $$;
SELECT setseed(0.5);
BEGIN;
LOCK TABLE execution_spans IN SHARE MODE;
SELECT count(pg_temp.record_randomly(n)) FROM generate_series(0, 60) AS n;
COMMIT;
SELECT flush();
SELECT count(*) AS spans,
    count(*) FILTER (WHERE s.attributes = e.attributes) AS same_attributes,
    count(*) FILTER (WHERE coalesce(jsonb_array_length(s.events), 0) = e.events) AS same_events
FROM expected AS e JOIN execution_spans AS s USING (span_id);
-- events are in the order in which they came
SELECT count(*) FROM expected JOIN execution_spans AS s USING (span_id),
    LATERAL (SELECT substr(e ->> 'name', 7)::int AS step, lag(substr(e ->> 'name', 7)::int) OVER (ORDER BY n) AS last
        FROM jsonb_array_elements(s.events) WITH ORDINALITY AS a (e, n)) AS o
WHERE o.step <= o.last;

-- the end of a span is there; then the whole span comes in one batch with attributes
SELECT end_span('019b0000-0000-7000-0000-0000000000aa');
SELECT flush();
BEGIN;
LOCK TABLE execution_spans IN SHARE MODE;
SELECT accepted, rejected FROM ingest_otlp_json($${"resourceSpans": [{"scopeSpans": [{"spans": [{
    "traceId": "019b0000000070008000000000000001", "spanId": "00000000000000aa", "name": "whole",
    "startTimeUnixNano": "1765843200000000000", "endTimeUnixNano": "1765843201000000000"}]}]}]}$$);
SELECT set_span_attributes('019b0000-0000-7000-0000-0000000000aa', '{"k": 1}');
COMMIT;
SELECT flush();
SELECT name, status, started_at = '2025-12-16 00:00:00+00' AS start_known, attributes
FROM execution_spans WHERE span_id = '019b0000-0000-7000-0000-0000000000aa';

-- no span is left running
DO $$ BEGIN PERFORM end_span(span_id) FROM active_spans; PERFORM flush(); END $$;
TRUNCATE execution_spans;
