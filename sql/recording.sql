SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

-- what a row looks like; an id is shown by the name of the span that has it
CREATE VIEW spans AS
SELECT s.name, s.span_type AS type, s.entity_id AS entity, p.name AS parent, s.status,
       s.input, s.output, s.error, s.attributes, s.events
FROM flowmaestro.execution_spans AS s
LEFT JOIN flowmaestro.execution_spans AS p ON p.span_id = s.parent_span_id AND p.trace_id = s.trace_id;

--
-- A run: workflow, agent, model call, with an event, an error and a cancel
--
SELECT flowmaestro.flush();
SELECT trace_id, span_id, parent_span_id IS NULL AS is_root
FROM flowmaestro.create_span('workflow: import', 'workflow_run', 'wf-1',
                             '{"userId": "u-1"}', '{"rows": 3}') \gset wf_
SELECT :'wf_is_root' AS is_root;
SELECT trace_id, span_id, parent_span_id
FROM flowmaestro.create_child_span(:'wf_span_id', 'agent run: helper', 'agent_run', 'agent-1') \gset agent_
SELECT trace_id, span_id, parent_span_id
FROM flowmaestro.create_child_span(parent_span_id => :'agent_span_id', name => 'llm: gpt-4o',
                                   span_type => 'model_generation',
                                   attributes => '{"model": "gpt-4o", "provider": "openai"}',
                                   input => '["a prompt"]') \gset llm_
SELECT trace_id, span_id, parent_span_id
FROM flowmaestro.create_child_span(:'agent_span_id', 'tool: search', 'tool_execution') \gset tool_
SELECT trace_id, span_id, parent_span_id
FROM flowmaestro.create_child_span(:'agent_span_id', 'tool: slow', 'tool_execution') \gset slow_
SELECT :'agent_trace_id' = :'wf_trace_id' AND :'llm_trace_id' = :'wf_trace_id' AS one_trace,
       :'agent_parent_span_id' = :'wf_span_id' AND :'llm_parent_span_id' = :'agent_span_id' AS parents;

-- what runs right now, before anything has to be in the table
SELECT name, span_type, entity_id, trace_id = :'wf_trace_id' AS in_trace,
       started_at <= clock_timestamp() AS started, age >= '0'::interval AS age, pid = pg_backend_pid() AS mine
FROM flowmaestro.active_spans WHERE trace_id = :'wf_trace_id' ORDER BY name;

SELECT flowmaestro.set_span_attributes(:'llm_span_id', '{"promptTokens": 100}');
SELECT flowmaestro.add_span_event(:'llm_span_id', 'first token', '{"ms": 80}', '2026-01-02 03:04:05.678901+00');
SELECT flowmaestro.add_span_event(:'llm_span_id', 'last token', at => '2026-01-02 03:04:06+00');
SELECT flowmaestro.end_span(:'llm_span_id', output => '{"text": "hello"}',
                            attributes => '{"promptTokens": 101, "totalTokens": 151}');
SELECT flowmaestro.end_span_with_error(:'tool_span_id', 'connection refused', '{"retries": 2}');
SELECT name FROM flowmaestro.active_spans WHERE trace_id = :'wf_trace_id' ORDER BY name;
SELECT flowmaestro.cancel_trace(:'wf_trace_id', 'user pressed stop');
SELECT flowmaestro.cancel_trace(:'wf_trace_id', 'user pressed stop');
SELECT count(*) FROM flowmaestro.active_spans WHERE trace_id = :'wf_trace_id';

SELECT flowmaestro.flush();
\x on
SELECT * FROM spans ORDER BY name;
\x off
SELECT name, started_at <= ended_at AS ordered, created_at >= started_at AS created,
       abs(duration_ms - extract(epoch FROM ended_at - started_at)::float8 * 1000) < 0.0005 AS duration,
       links, otlp
FROM flowmaestro.execution_spans ORDER BY name;
-- all of it is in the table, and nothing is left in memory
SELECT count(*) FROM flowmaestro.tracked_spans();

-- a span that still runs is in the table as well, and in active_spans once
SELECT span_id FROM flowmaestro.create_span('still running', 'agent_run') \gset run_
SELECT flowmaestro.flush();
SELECT status, ended_at, duration_ms, input, output, error, attributes, events
FROM flowmaestro.execution_spans WHERE span_id = :'run_span_id';
SELECT name, pid = pg_backend_pid() AS mine FROM flowmaestro.active_spans ORDER BY name;
SELECT flowmaestro.end_span(:'run_span_id');
-- the outcome is told before it is in the table
SELECT name FROM flowmaestro.active_spans ORDER BY name;

--
-- Times of the caller; the duration has microseconds
--
SELECT span_id FROM flowmaestro.create_span('timed', 'agent_run', started_at => '2026-03-01 10:00:00+00') \gset t_
SELECT flowmaestro.end_span(:'t_span_id', ended_at => '2026-03-01 10:00:01.234567+00');
SELECT flowmaestro.flush();
SELECT started_at, ended_at, duration_ms, status FROM flowmaestro.execution_spans WHERE span_id = :'t_span_id';
-- longer than an integer of milliseconds can tell
SELECT span_id FROM flowmaestro.create_span('long', 'workflow_run', started_at => '2026-01-01 00:00:00+00') \gset t_
SELECT flowmaestro.end_span(:'t_span_id', ended_at => '2026-03-01 00:00:00.000001+00');
SELECT flowmaestro.flush();
SELECT duration_ms FROM flowmaestro.execution_spans WHERE span_id = :'t_span_id';

--
-- Falsy values are values; what is missing is null
--
CREATE TABLE falsy (i int, v jsonb, span_id uuid);
INSERT INTO falsy VALUES (1, '0'), (2, '""'), (3, 'false'), (4, 'null'), (5, '{}'), (6, '[]'), (7, NULL);
UPDATE falsy SET span_id = (flowmaestro.create_span('falsy', 'agent_run', input => v)).span_id;
SELECT i, flowmaestro.end_span(span_id, output => v) FROM falsy ORDER BY i;
SELECT flowmaestro.flush();
SELECT f.i, s.input, s.input IS NULL AS no_input, s.output, s.output IS NULL AS no_output, s.error IS NULL AS no_error, s.status
FROM falsy AS f JOIN flowmaestro.execution_spans AS s USING (span_id) ORDER BY f.i;
DROP TABLE falsy;
-- missing attributes are empty, JSON null as well
SELECT span_id FROM flowmaestro.create_span('none', 'agent_run', attributes => 'null') \gset n_
SELECT flowmaestro.end_span(:'n_span_id', attributes => 'null');
SELECT flowmaestro.flush();
SELECT attributes FROM flowmaestro.execution_spans WHERE span_id = :'n_span_id';

--
-- Attributes merge key by key, in the order of recording
--
SELECT span_id FROM flowmaestro.create_span('merge', 'agent_run', attributes => '{"a": 1, "b": {"x": 1}, "c": 1}') \gset m_
SELECT flowmaestro.set_span_attributes(:'m_span_id', '{"b": {"y": 2}, "d": null}');
SELECT flowmaestro.flush();
SELECT flowmaestro.set_span_attributes(:'m_span_id', '{"a": 3}');
SELECT flowmaestro.set_span_attributes(:'m_span_id', '{"a": 4}');
SELECT flowmaestro.end_span(:'m_span_id', attributes => '{"c": 5}');
SELECT flowmaestro.flush();
SELECT attributes FROM flowmaestro.execution_spans WHERE span_id = :'m_span_id';
-- after the end as well, and events too
SELECT flowmaestro.set_span_attributes(:'m_span_id', '{"c": 6, "late": true}');
SELECT flowmaestro.add_span_event(:'m_span_id', 'late', at => '2026-01-02 03:04:05+00');
SELECT flowmaestro.flush();
SELECT status, attributes, events FROM flowmaestro.execution_spans WHERE span_id = :'m_span_id';

--
-- The first end wins
--
SELECT span_id FROM flowmaestro.create_span('once', 'agent_run') \gset o_
SELECT flowmaestro.end_span(:'o_span_id', '1', '{"n": 1}', ended_at => '2100-01-01 00:00:00+00');
SELECT flowmaestro.end_span(:'o_span_id', '2', '{"n": 2}', ended_at => '2100-01-01 00:00:02+00');
SELECT flowmaestro.end_span_with_error(:'o_span_id', 'too late'::text, '{"n": 3}');
SELECT flowmaestro.flush();
SELECT flowmaestro.end_span(:'o_span_id', '4', '{"n": 4}', '{"message": "no"}');
SELECT flowmaestro.end_span_with_error(:'o_span_id', '{"message": "no"}'::jsonb, '{"n": 5}');
SELECT flowmaestro.end_span(:'o_span_id', status => 'cancelled');
SELECT flowmaestro.flush();
SELECT status, ended_at, output, error, attributes FROM flowmaestro.execution_spans WHERE span_id = :'o_span_id';

--
-- Errors, whatever their form: completed to an object with message and type
--
CREATE TABLE errors (i int, e jsonb, t text, span_id uuid);
INSERT INTO errors (i, e) VALUES
    (1, '{"message": "m"}'), (2, '{"message": "m", "type": "T"}'), (3, '{"name": "TypeError", "message": "m"}'),
    (4, '{"message": "m", "type": "T", "name": "N", "stack": "s", "code": 7}'), (5, '{}'), (6, 'null'), (7, NULL),
    (8, '"text"'), (9, '42'), (10, 'true'), (11, '["a", 1]'), (12, '{"code": "E1"}'), (13, '{"name": 5, "message": "m"}');
INSERT INTO errors (i, t) VALUES (21, 'it broke'), (22, ''), (23, NULL), (24, '{"message": "not parsed"}');
UPDATE errors SET span_id = (flowmaestro.create_span('error', 'agent_run')).span_id;
SELECT i, CASE WHEN i > 20 THEN flowmaestro.end_span_with_error(span_id, t)
               ELSE flowmaestro.end_span_with_error(span_id, e) END AS ended
FROM errors ORDER BY i;
SELECT flowmaestro.flush();
SELECT e.i, coalesce(e.e::text, e.t) AS given, s.error, s.status
FROM errors AS e JOIN flowmaestro.execution_spans AS s USING (span_id) ORDER BY e.i;
-- the same through end_span, where a missing error is none
UPDATE errors SET span_id = (flowmaestro.create_span('error', 'agent_run')).span_id WHERE i < 20;
SELECT i, flowmaestro.end_span(span_id, error => e) AS ended FROM errors WHERE i < 20 ORDER BY i;
SELECT flowmaestro.flush();
SELECT e.i, e.e AS given, s.error, s.status
FROM errors AS e JOIN flowmaestro.execution_spans AS s USING (span_id) WHERE i < 20 ORDER BY e.i;
DROP TABLE errors;
-- the status can be told
SELECT span_id FROM flowmaestro.create_span('told', 'agent_run') \gset s_
SELECT flowmaestro.end_span(:'s_span_id', error => '{"message": "enough"}', status => 'cancelled');
SELECT span_id FROM flowmaestro.create_span('told', 'agent_run') \gset r_
SELECT flowmaestro.end_span(:'r_span_id', error => '{"message": "but it worked"}', status => 'completed');
SELECT flowmaestro.flush();
SELECT status, error FROM flowmaestro.execution_spans WHERE name = 'told' ORDER BY status;
-- a cancel without a reason
SELECT trace_id, span_id FROM flowmaestro.create_span('unreasoned', 'agent_run') \gset u_
SELECT flowmaestro.cancel_trace(:'u_trace_id');
-- spans that memory and the table have are ended once
SELECT trace_id AS both_trace_id FROM flowmaestro.create_span('in both', 'agent_run') \gset
SELECT flowmaestro.flush();
SELECT duplicate_ends FROM flowmaestro.stats \gset
SELECT flowmaestro.cancel_trace(:'both_trace_id');
SELECT duplicate_ends - :duplicate_ends AS again FROM flowmaestro.stats;
-- of a trace that nobody knows
SELECT flowmaestro.cancel_trace('00000000-0000-0000-0000-000000000001', 'why');
SELECT flowmaestro.flush();
SELECT status, error FROM flowmaestro.execution_spans WHERE span_id = :'u_span_id';

--
-- A span survives what happens to its transaction
--
BEGIN;
SELECT span_id FROM flowmaestro.create_span('rolled back', 'database_query') \gset b_
SAVEPOINT s;
SELECT flowmaestro.end_span_with_error(:'b_span_id', 'and failed'::text);
ROLLBACK TO s;
ROLLBACK;
BEGIN READ ONLY;
SELECT span_id FROM flowmaestro.create_span('read only', 'database_query') \gset c_
SELECT flowmaestro.end_span(:'c_span_id');
COMMIT;
SELECT flowmaestro.flush();
SELECT name, status, error FROM flowmaestro.execution_spans
WHERE span_id IN (:'b_span_id', :'c_span_id') ORDER BY name;

--
-- Counters of a small scenario, exactly
--
SELECT recorded = flushed + pending AS balanced, pending FROM flowmaestro.stats;
SELECT * FROM flowmaestro.stats \gset before_
SELECT span_id FROM flowmaestro.create_span('one', 'agent_run') \gset a_
SELECT span_id FROM flowmaestro.create_child_span(:'a_span_id', 'two', 'agent_run',
                                                  started_at => '2026-02-02 00:00:00+00') \gset b_
SELECT recorded - :before_recorded AS recorded, active_spans - :before_active_spans AS active_spans,
       recorded = flushed + pending AS balanced
FROM flowmaestro.stats;
SELECT flowmaestro.set_span_attributes(:'a_span_id', '{"x": 1}');
SELECT flowmaestro.add_span_event(:'a_span_id', 'e');
SELECT flowmaestro.end_span(:'a_span_id');
SELECT flowmaestro.end_span(:'a_span_id');
SELECT flowmaestro.end_span(:'b_span_id', ended_at => '2026-02-01 00:00:00+00');
SELECT flowmaestro.end_span('22222222-2222-4222-8222-222222222222', to_jsonb(repeat('x', 2 * 1024 * 1024)));
SELECT flowmaestro.flush();
SELECT recorded - :before_recorded AS recorded, flushed - :before_flushed AS flushed, pending,
       written - :before_written AS written,
       updated - :before_updated + coalesced - :before_coalesced AS updated_or_coalesced,
       duplicate_ends - :before_duplicate_ends AS duplicate_ends,
       orphan_ends - :before_orphan_ends AS orphan_ends,
       clamped_ends - :before_clamped_ends AS clamped_ends,
       truncated - :before_truncated AS truncated
FROM flowmaestro.stats;
SELECT dropped - :before_dropped AS dropped, rejected - :before_rejected AS rejected, waited - :before_waited AS waited,
       untracked - :before_untracked AS untracked, evicted - :before_evicted AS evicted,
       flush_errors - :before_flush_errors AS flush_errors, flushes > :before_flushes AS flushes,
       flush_time_ms > :before_flush_time_ms AS flush_time, last_error,
       active_spans - :before_active_spans AS active_spans, buffer_bytes_used,
       buffer_bytes > 0 AS buffer_bytes, writer_pid IS NOT NULL AS writer
FROM flowmaestro.stats;

DROP VIEW spans;
DROP EXTENSION flowmaestro_spans;
