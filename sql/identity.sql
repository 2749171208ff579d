SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;

--
-- Ids made here: the trace id is a UUIDv7, a span id begins with 8 bytes of it
--
SELECT count(*) AS spans, count(DISTINCT c.trace_id) AS traces, count(DISTINCT c.span_id) AS span_ids,
       bool_and(substr(c.trace_id::text, 15, 1) = '7') AS version,
       bool_and(substr(c.trace_id::text, 20, 1) IN ('8', '9', 'a', 'b')) AS variant,
       bool_and(substr(uuid_send(c.span_id), 1, 8) = substr(uuid_send(c.trace_id), 1, 8)) AS prefix,
       bool_and(substr(uuid_send(c.span_id), 9) <> substr(uuid_send(c.trace_id), 9)) AS own_part,
       bool_and(c.parent_span_id IS NULL) AS roots
FROM generate_series(1, 3000) AS i, LATERAL flowmaestro.create_span('id ' || i, 'agent_run') AS c;
-- the time in the trace id is the start of the span
SELECT trace_id FROM flowmaestro.create_span('timed', 'agent_run', started_at => '2026-01-02 03:04:05.678+00') \gset
SELECT left(replace(:'trace_id', '-', ''), 12) = lpad(to_hex(1767323045678), 12, '0') AS time_of_start;
SELECT trace_id FROM flowmaestro.create_span('timed', 'agent_run', started_at => '1970-01-01 00:00:00+00') \gset
SELECT left(replace(:'trace_id', '-', ''), 12) AS time_of_start;

--
-- A child is in its parent's trace, at any depth
--
SELECT trace_id, span_id FROM flowmaestro.create_span('root', 'workflow_run') \gset root_
SELECT c.parent_span_id = :'root_span_id' AS parent, c.trace_id = :'root_trace_id' AS trace,
       substr(uuid_send(c.span_id), 1, 8) = substr(uuid_send(c.trace_id), 1, 8) AS prefix, c.span_id AS child
FROM flowmaestro.create_child_span(:'root_span_id', 'child', 'agent_run') AS c \gset
SELECT :'parent' AS parent, :'trace' AS trace, :'prefix' AS prefix;
SELECT c.parent_span_id = :'child' AS parent, c.trace_id = :'root_trace_id' AS trace
FROM flowmaestro.create_child_span(:'child', 'grandchild', 'agent_run') AS c;
-- create_span with a parent only, too
SELECT c.parent_span_id = :'child' AS parent, c.trace_id = :'root_trace_id' AS trace
FROM flowmaestro.create_span('grandchild', 'agent_run', parent_span_id => :'child') AS c;
-- a given trace wins over the parent's
SELECT c.parent_span_id = :'child' AS parent, c.trace_id
FROM flowmaestro.create_span('elsewhere', 'agent_run', parent_span_id => :'child',
                             trace_id => '33333333-3333-4333-8333-333333333333') AS c;
-- of a parent that is only in the table
SELECT flowmaestro.end_span(:'root_span_id');
SELECT flowmaestro.flush();
SELECT count(*) FROM flowmaestro.tracked_spans() WHERE span_id = :'root_span_id';
SELECT c.parent_span_id = :'root_span_id' AS parent, c.trace_id = :'root_trace_id' AS trace
FROM flowmaestro.create_child_span(:'root_span_id', 'late child', 'agent_run') AS c;
-- of a parent that is only in the table and has an id of its own form
SELECT trace_id, span_id FROM flowmaestro.create_span('own', 'workflow_run', span_id => '44444444-4444-4444-8444-444444444441',
                                                      started_at => '2026-01-01 00:00:00+00') \gset own_
SELECT flowmaestro.end_span(:'own_span_id');
SELECT flowmaestro.flush();
SELECT count(*) FROM flowmaestro.tracked_spans() WHERE span_id = :'own_span_id';
SELECT c.parent_span_id, c.trace_id = :'own_trace_id' AS trace
FROM flowmaestro.create_child_span(:'own_span_id', 'late child', 'agent_run') AS c;
-- a parent that nobody knows: kept, and a trace of its own
SELECT c.parent_span_id, substr(c.trace_id::text, 15, 1) AS version
FROM flowmaestro.create_child_span('55555555-5555-4555-8555-555555555555', 'orphan', 'agent_run') AS c;
-- a parent of which only the end was seen has no trace yet
SELECT flowmaestro.end_span('55555555-5555-4555-8555-555555555556');
SELECT c.parent_span_id, substr(c.trace_id::text, 15, 1) AS version
FROM flowmaestro.create_child_span('55555555-5555-4555-8555-555555555556', 'orphan', 'agent_run') AS c;
SELECT flowmaestro.flush();
SELECT c.parent_span_id, substr(c.trace_id::text, 15, 1) AS version
FROM flowmaestro.create_child_span('55555555-5555-4555-8555-555555555556', 'orphan', 'agent_run') AS c;

--
-- Ids of the caller are kept as they are
--
SELECT * FROM flowmaestro.create_span('given', 'agent_run', trace_id => '66666666-6666-4666-8666-666666666666',
                                      parent_span_id => '66666666-6666-4666-8666-666666666667',
                                      span_id => '66666666-6666-4666-8666-666666666668');
SELECT * FROM flowmaestro.create_span('given', 'agent_run', trace_id => 'ffffffff-ffff-ffff-ffff-ffffffffffff',
                                      span_id => 'ffffffff-ffff-ffff-ffff-fffffffffffe');
SELECT c.trace_id = '66666666-6666-4666-8666-666666666666' AS trace, c.span_id, c.parent_span_id
FROM flowmaestro.create_child_span('66666666-6666-4666-8666-666666666668', 'given', 'agent_run',
                                   span_id => '66666666-6666-4666-8666-666666666669') AS c;
-- only the trace: the span id begins with its bytes
SELECT trace_id, left(span_id::text, 18) AS prefix
FROM flowmaestro.create_span('given', 'agent_run', trace_id => '77777777-7777-4777-8777-777777777777');
-- only the span: a trace of its own
SELECT span_id, substr(trace_id::text, 15, 1) AS version
FROM flowmaestro.create_span('given', 'agent_run', span_id => '77777777-7777-4777-8777-777777777778');
SELECT flowmaestro.flush();
SELECT trace_id, span_id, parent_span_id FROM flowmaestro.execution_spans
WHERE name = 'given' AND trace_id IN ('66666666-6666-4666-8666-666666666666', 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY span_id;

--
-- The nil id is refused everywhere
--
\set VERBOSITY terse
\set nil '00000000-0000-0000-0000-000000000000'
SELECT flowmaestro.create_span('n', 't', trace_id => :'nil');
SELECT flowmaestro.create_span('n', 't', parent_span_id => :'nil');
SELECT flowmaestro.create_span('n', 't', span_id => :'nil');
SELECT flowmaestro.create_child_span(:'nil', 'n', 't');
SELECT flowmaestro.create_child_span('66666666-6666-4666-8666-666666666668', 'n', 't', span_id => :'nil');
SELECT flowmaestro.end_span(:'nil');
SELECT flowmaestro.end_span_with_error(:'nil', 'e'::text);
SELECT flowmaestro.end_span_with_error(:'nil', '{}'::jsonb);
SELECT flowmaestro.set_span_attributes(:'nil', '{}');
SELECT flowmaestro.add_span_event(:'nil', 'e');
SELECT flowmaestro.cancel_trace(:'nil');
SELECT flowmaestro.deterministic_span_id(:'nil', 'k');
\set VERBOSITY default

--
-- deterministic_span_id: the trace id's first 8 bytes, then 8 of SHA-256 over
-- trace id and key; these values must never change
--
SELECT flowmaestro.deterministic_span_id('0192f0c1-2345-7abc-8def-0123456789ab', 'run-1/activity-2') AS golden;
SELECT flowmaestro.deterministic_span_id('0192f0c1-2345-7abc-8def-0123456789ab', 'run-1/activity-3') AS other_key;
SELECT flowmaestro.deterministic_span_id('0192f0c1-2345-7abc-8def-0123456789ac', 'run-1/activity-2') AS other_trace;
SELECT flowmaestro.deterministic_span_id('0192f0c1-2345-7abc-8def-0123456789ab', '') AS empty_key;
SELECT flowmaestro.deterministic_span_id('0192f0c1-2345-7abc-8def-0123456789ab', U&'sch\00f6n \+01F600') AS unicode_key;
SELECT length(k) AS length, flowmaestro.deterministic_span_id(t, k) =
       encode(substr(uuid_send(t), 1, 8) || substr(sha256(uuid_send(t) || convert_to(k, 'UTF8')), 1, 8), 'hex')::uuid AS as_told
FROM (VALUES (''), ('a'), (U&'\00e9z'), (repeat('k', 10000))) AS v(k),
     (SELECT '0192f0c1-2345-7abc-8def-0123456789ab'::uuid AS t) AS w
ORDER BY length(k);
SELECT flowmaestro.deterministic_span_id(NULL, 'k') IS NULL AS no_trace,
       flowmaestro.deterministic_span_id('0192f0c1-2345-7abc-8def-0123456789ab', NULL) IS NULL AS no_key;
-- it makes a repeated create the same span
SELECT flowmaestro.create_span('det', 'agent_run', trace_id => t, span_id => flowmaestro.deterministic_span_id(t, 'k')) =
       flowmaestro.create_span('det', 'agent_run', trace_id => t, span_id => flowmaestro.deterministic_span_id(t, 'k')) AS same
FROM (SELECT '0192f0c1-2345-7abc-8def-0123456789ab'::uuid AS t) AS w;
SELECT flowmaestro.flush();
SELECT count(*) FROM flowmaestro.execution_spans WHERE name = 'det';

DROP EXTENSION flowmaestro_spans;
