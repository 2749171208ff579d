SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET flowmaestro.write_mode = transactional;
SELECT count(flowmaestro.make_partition(at)) FROM unnest('{2022-01-01,2022-01-02,2022-01-03}'::timestamptz[]) AS at;

-- a span of a trace with short names for its ids: trace 'a1', span 'b2'
CREATE FUNCTION id(short text) RETURNS uuid IMMUTABLE LANGUAGE sql AS
$$SELECT overlay('01900000-0000-7000-8000-000000000000' placing lpad(short, 12, '0') from 25)::uuid$$;
CREATE PROCEDURE span(trace text, span text, parent text, name text, from_ms float8, until_ms float8, type text DEFAULT 'tool_execution',
    attributes jsonb DEFAULT '{}', status text DEFAULT 'completed', error jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flowmaestro.create_span(name, type, attributes => attributes, trace_id => id(trace), span_id => id(span), parent_span_id => id(parent),
        started_at => '2022-01-01 00:00:00+00'::timestamptz + interval '1 ms' * from_ms);
    IF until_ms IS NOT NULL THEN
        PERFORM flowmaestro.end_span(id(span), status => status, error => error, ended_at => '2022-01-01 00:00:00+00'::timestamptz + interval '1 ms' * until_ms);
    END IF;
END
$$;
CREATE VIEW short AS SELECT NULL::text AS trace, position, depth, path, name, duration_ms AS ms, self_ms AS self, round(share::numeric, 3) AS share, critical AS crit, critical_ms AS crit_ms,
    children AS n, descendants AS below, total_tokens AS tokens, note FROM flowmaestro.get_trace_tree(id('0'));
CREATE FUNCTION tree(trace text) RETURNS SETOF short LANGUAGE sql AS $$
SELECT trace, position, depth, path, name, duration_ms, self_ms, round(share::numeric, 3), critical, critical_ms, children, descendants, total_tokens, note
FROM flowmaestro.get_trace_tree(id(trace)) ORDER BY position $$;

--
-- A run as it should be
--
CALL span('a1', '10', NULL, 'agent run', 0, 100, 'agent_run', '{"userId": "u"}');
CALL span('a1', '20', '10', 'llm: first', 10, 40, 'model_generation', '{"promptTokens": 100, "completionTokens": 20, "totalTokens": 120, "totalCost": 0.0125}');
CALL span('a1', '30', '10', 'tools', 40, 80);
CALL span('a1', '31', '30', 'tool: slow', 40, 75, status => 'failed', error => '{"message": "no answer", "type": "Timeout"}');
CALL span('a1', '32', '30', 'tool: quick', 40, 45);
CALL span('a1', '40', '10', 'llm: second', 82, 95, 'model_generation', '{"gen_ai.usage.input_tokens": 50, "gen_ai.usage.output_tokens": 5, "totalCost": 0.0075}');
SELECT * FROM tree('a1');
SELECT span_id, parent_span_id, span_type, entity_id, status, started_at, ended_at, prompt_tokens, completion_tokens, cost, error
FROM flowmaestro.get_trace_tree(id('a1'));
-- 100 ms: who had them
SELECT step, name, depth, from_time, until_time, ms, share FROM flowmaestro.critical_path(id('a1'));
SELECT name FROM flowmaestro.span_ancestors(id('31'));
SELECT name FROM flowmaestro.span_descendants(id('30'));
SELECT name FROM flowmaestro.span_descendants(id('10')) ORDER BY position;
SELECT * FROM flowmaestro.trace_summary(id('a1')) \gx

--
-- The shapes of the original
--
SELECT jsonb_pretty(flowmaestro.get_trace(id('a1')) #- '{rootSpan,createdAt}' #- '{spans,0,createdAt}' #- '{spans,1}' #- '{spans,1}' #- '{spans,1}' #- '{spans,1}' #- '{spans,1}');
SELECT string_agg(s ->> 'name', ', ' ORDER BY n) FROM jsonb_array_elements(flowmaestro.get_trace(id('a1')) -> 'spans') WITH ORDINALITY AS x (s, n);
SELECT jsonb_pretty(flowmaestro.get_span(id('31')) - 'createdAt');
-- what was recorded as null, and what was not recorded
SELECT (flowmaestro.create_span('nulls', 'agent_run', trace_id => id('a2'), span_id => id('50'), input => 'null', started_at => '2022-01-01 00:00:00+00')).span_id;
SELECT flowmaestro.add_span_event(id('50'), 'e', at => '2022-01-01 00:00:01+00');
SELECT flowmaestro.get_span(id('50')) - 'createdAt';
-- whatever the session's time zone
SET timezone = 'Asia/Kathmandu';
SELECT flowmaestro.get_span(id('50')) -> 'startedAt';
SET timezone = 'UTC';
-- nothing there
SELECT flowmaestro.get_trace(id('999')), flowmaestro.get_span(id('999')), flowmaestro.trace_html(id('999'));
SELECT count(*) FROM flowmaestro.get_trace_tree(id('999'));
SELECT count(*) FROM flowmaestro.critical_path(id('999'));
SELECT count(*) FROM flowmaestro.span_ancestors(id('999'));
SELECT count(*) FROM flowmaestro.span_descendants(id('999'));
SELECT count(*) FROM flowmaestro.trace_summary(id('999'));
SELECT count(*) FROM flowmaestro.trace_tree_text(id('999'));
SELECT count(*) FROM flowmaestro.trace_diff(id('999'), id('998'));
SELECT flowmaestro.get_trace(NULL), (SELECT count(*) FROM flowmaestro.get_trace_tree(NULL));

--
-- Odd ones: every span is there exactly once
--
-- a parent that never came, and what is below the lost one
CALL span('b1', 'a', NULL, 'root', 0, 10);
CALL span('b1', 'b', 'fff', 'orphan', 2, 5);
CALL span('b1', 'c', 'b', 'of the orphan', 3, 4);
SELECT * FROM tree('b1');
-- its own parent
CALL span('b2', '1a', '1a', 'self', 0, 10);
CALL span('b2', '1b', '1a', 'below', 1, 2);
SELECT * FROM tree('b2');
-- a circle of two, of which the second started first; and one that hangs on it
CALL span('b3', '2a', '2b', 'x', 5, 10);
CALL span('b3', '2b', '2a', 'y', 4, 10);
CALL span('b3', '2c', '2a', 'z', 6, 7);
SELECT * FROM tree('b3');
SELECT name FROM flowmaestro.span_ancestors(id('2c'));
-- a circle of 100
DO $$ BEGIN FOR i IN 1..100 LOOP CALL span('b4', 'c' || lpad(i::text, 4, '0'), 'c' || lpad((i % 100 + 1)::text, 4, '0'), 'c' || i, (i + 50) % 100, 200); END LOOP; END $$;
SELECT count(*), count(DISTINCT span_id), max(depth), min(name) FILTER (WHERE note LIKE '%cycle%') AS cut, count(*) FILTER (WHERE note LIKE '%cycle%') AS cuts FROM flowmaestro.get_trace_tree(id('b4'));
-- two roots: the earlier one stands for the trace
CALL span('b5', '3b', NULL, 'second', 5, 8);
CALL span('b5', '3a', NULL, 'first', 1, 4);
SELECT * FROM tree('b5');
SELECT name, roots, depth FROM flowmaestro.trace_summary(id('b5'));
SELECT flowmaestro.get_trace(id('b5')) #>> '{rootSpan,name}' AS root;
-- no root: the earliest top does
CALL span('b6', '4b', 'ff1', 'later', 5, 8);
CALL span('b6', '4a', 'ff2', 'earlier', 1, 4);
SELECT * FROM tree('b6');
SELECT name, odd FROM flowmaestro.trace_summary(id('b6'));
SELECT flowmaestro.get_trace(id('b6')) #>> '{rootSpan,name}' AS root;
-- equal starts go by id; no duration at all
CALL span('b7', '5a', NULL, 'root', 0, 0);
CALL span('b7', '5d', '5a', 'd', 0, 0);
CALL span('b7', '5c', '5a', 'c', 0, 0);
CALL span('b7', '5e', '5a', 'e', 0, 0);
SELECT * FROM tree('b7');
SELECT count(*) FROM flowmaestro.critical_path(id('b7'));
-- children outside of their parent, on every side
CALL span('b8', '6a', NULL, 'root', 10, 20);
CALL span('b8', '6b', '6a', 'before', 1, 5);
CALL span('b8', '6c', '6a', 'overlaps the start', 5, 12);
CALL span('b8', '6d', '6a', 'overlaps the end', 18, 25);
CALL span('b8', '6e', '6a', 'behind', 21, 30);
CALL span('b8', '6f', '6e', 'below the one behind', 12, 15);
SELECT * FROM tree('b8');
SELECT name, from_time - '2022-01-01 00:00:00+00' AS "from", ms FROM flowmaestro.critical_path(id('b8'));
-- overlaps are counted once
CALL span('b9', '7a', NULL, 'root', 0, 100);
CALL span('b9', '7b', '7a', 'one', 10, 50);
CALL span('b9', '7c', '7a', 'two', 20, 30);
CALL span('b9', '7d', '7a', 'three', 40, 60);
CALL span('b9', '7e', '7a', 'four', 60, 70);
SELECT * FROM tree('b9');
-- what runs: until now
CALL span('ba', '8a', NULL, 'root', 0, NULL, 'agent_run');
CALL span('ba', '8b', '8a', 'child', 10, 20);
SELECT name, ended_at, status, duration_ms::numeric = extract(epoch FROM statement_timestamp() - started_at) * 1000 AS until_now, critical, note FROM flowmaestro.get_trace_tree(id('ba'));
SELECT status, ended_at, running, last_activity FROM flowmaestro.trace_summary(id('ba'));
SELECT round(sum(ms)::numeric, 3) = extract(epoch FROM statement_timestamp() - '2022-01-01 00:00:00+00') * 1000 AS until_now FROM flowmaestro.critical_path(id('ba'));
-- a child that runs below a parent that ended
CALL span('bb', '9a', NULL, 'root', 0, 10);
CALL span('bb', '9b', '9a', 'still there', 5, NULL);
SELECT name, note FROM flowmaestro.get_trace_tree(id('bb'));
-- only the end was seen
SELECT flowmaestro.end_span(id('aaa'));
SELECT name, depth, note FROM flowmaestro.get_trace_tree(id('aaa'));
-- an id twice, in two partitions, which only an import can bring; ended before it started
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, started_at, ended_at, status)
SELECT id('bc'), id('ab1'), 'day ' || d, 'x', day, day - interval '1 s', 'completed'
FROM generate_series(1, 2) AS d, LATERAL (SELECT '2022-01-01 12:00:00+00'::timestamptz + d * interval '1 day' AS day) AS x;
SELECT * FROM tree('bc');

--
-- Tokens are counted where a model was called
--
CALL span('d1', 'd0', NULL, 'agent with the sum', 0, 100, 'agent_run', '{"promptTokens": 30, "totalTokens": 33}');
CALL span('d1', 'd1', 'd0', 'call', 1, 9, 'model_generation', '{"promptTokens": 10, "completionTokens": 1}');
CALL span('d1', 'd2', 'd0', 'outer call', 10, 20, 'model_generation', '{"promptTokens": 20, "completionTokens": 2}');
CALL span('d1', 'd3', 'd2', 'the same call again', 11, 19, 'model_generation', '{"promptTokens": 20, "completionTokens": 2}');
CALL span('d1', 'd4', 'd0', 'strings', 21, 22, 'model_generation', '{"promptTokens": "12", "completionTokens": "3.0"}');
CALL span('d1', 'd5', 'd0', 'no counts', 23, 24, 'model_generation', '{"promptTokens": "many", "completionTokens": -1, "totalTokens": null, "totalCost": "free"}');
CALL span('d1', 'd6', 'd0', 'too many', 25, 26, 'embedding_generation', '{"promptTokens": 1e300, "totalTokens": 9223372036854775807}');
CALL span('d1', 'd7', 'd0', 'half a token', 27, 28, 'embedding_generation', '{"promptTokens": 12.5}');
SELECT name, prompt_tokens, completion_tokens, total_tokens, cost FROM flowmaestro.get_trace_tree(id('d1'));
-- sums stop at the largest bigint
CALL span('d2', 'e0', NULL, 'agent', 0, 100, 'agent_run');
DO $$ BEGIN FOR i IN 1..2 LOOP CALL span('d2', 'e' || i, 'e0', 'call', i, i + 1, 'model_generation', '{"promptTokens": 6000000000000000000, "totalCost": 1e130000}'); END LOOP; END $$;
SELECT name, prompt_tokens, total_tokens, length(cost::text) > 100000 AS cost FROM flowmaestro.get_trace_tree(id('d2'));

--
-- Two runs of the same
--
CALL span('e1', '1001', NULL, 'run', 0, 100, 'agent_run');
CALL span('e1', '1002', '1001', 'plan', 1, 20);
CALL span('e1', '1003', '1001', 'search', 20, 30);
CALL span('e1', '1004', '1001', 'search', 30, 40);
CALL span('e1', '1005', '1001', 'write', 40, 80);
CALL span('e1', '1006', '1005', 'draft', 40, 60);
CALL span('e1', '1007', '1001', 'check', 80, 90);
CALL span('e2', '2001', NULL, 'run', 0, 130, 'agent_run');
CALL span('e2', '2002', '2001', 'plan', 1, 20);
CALL span('e2', '2003', '2001', 'search', 20, 60);
CALL span('e2', '2007', '2001', 'check', 80, 90, status => 'failed');
CALL span('e2', '2008', '2001', 'retry', 90, 120);
CALL span('e2', '2009', '2008', 'draft', 95, 100);
SELECT step, depth, change, name, a_status, b_status, a_ms, b_ms, delta_ms FROM flowmaestro.trace_diff(id('e1'), id('e2'));
SELECT change, count(*) FROM flowmaestro.trace_diff(id('e1'), id('e1')) GROUP BY 1;
SELECT change, count(*) FROM flowmaestro.trace_diff(id('e1'), id('999')) GROUP BY 1;
SELECT change, count(*) FROM flowmaestro.trace_diff(id('999'), id('e2')) GROUP BY 1;

--
-- Sizes: 1, 1,000 and 100,000 spans, a chain 10,000 deep, a star of 50,000
--
CREATE FUNCTION fill(trace text, spans int, parent_of text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($q$
        INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, started_at, ended_at, status)
        SELECT id(%1$L), id(%1$L || lpad(to_hex(k), 6, '0')), CASE WHEN k > 1 THEN id(%1$L || lpad(to_hex(%3$s), 6, '0')) END, 'span ' || k, 'x',
            '2022-01-01 01:00:00+00'::timestamptz + k * interval '1 us', '2022-01-01 01:00:01+00'::timestamptz + (%2$s - k) * interval '1 us', 'completed'
        FROM generate_series(1, %2$s) AS k $q$, trace, spans, parent_of);
END
$$;
SELECT fill('f1', 1, '1'), fill('f2', 1000, 'k / 2'), fill('f3', 100000, 'k / 2'), fill('f4', 10000, 'k - 1'), fill('f5', 50000, '1');
SELECT t, x.* FROM generate_series(1, 5) AS t, LATERAL (
    SELECT count(*) AS spans, count(DISTINCT span_id) AS different, max(depth) AS depth, max(children) AS widest, max(descendants) AS below,
        count(*) FILTER (WHERE position = row_number) AS in_order, max(cardinality(path)) AS path, count(note) AS odd
    FROM (SELECT *, row_number() OVER () FROM flowmaestro.get_trace_tree(id('f' || t))) AS s) AS x;
-- a parent comes before its children, the siblings by start
SELECT count(*) FROM (SELECT *, lag(started_at) OVER (PARTITION BY parent_span_id ORDER BY position) AS before FROM flowmaestro.get_trace_tree(id('f3'))) AS s
WHERE before > started_at;
SELECT count(*) FROM flowmaestro.get_trace_tree(id('f3')) AS c JOIN flowmaestro.get_trace_tree(id('f3')) AS p ON p.span_id = c.parent_span_id
WHERE c.position <= p.position OR c.position > p.position + p.descendants OR c.depth <> p.depth + 1;
SELECT count(*), round(sum(ms)::numeric, 3) AS ms FROM flowmaestro.critical_path(id('f4'));
SELECT count(*) FROM flowmaestro.span_ancestors(id('f4002710'));
SELECT count(*), sum((change = 'same')::int) AS same FROM flowmaestro.trace_diff(id('f4'), id('f4'));
SELECT count(*), max(length(t)) FROM flowmaestro.trace_tree_text(id('f4')) AS t;
SELECT count(*) FROM flowmaestro.trace_tree_text(id('f5')) AS t;
SELECT length(flowmaestro.trace_html(id('f4'))) > 1000000 AS html;
-- no stack is used for depth
SET max_stack_depth = '100kB';
SELECT count(*) FROM flowmaestro.get_trace_tree(id('f4'));
SELECT count(*) FROM flowmaestro.critical_path(id('f4'));
RESET max_stack_depth;
-- it can be stopped
SET statement_timeout = '1ms';
SELECT count(*) FROM flowmaestro.get_trace_tree(id('f3'));
RESET statement_timeout;

--
-- Read through the keys, whatever the statistics say; the settings of the
-- session stay what they were
--
SHOW enable_seqscan;
CREATE FUNCTION pages(statement text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || statement INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::int + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::int;
END
$$;
SELECT trace_id, span_id FROM flowmaestro.create_span('alone', 'agent_run') \gset
-- a worker would have to read the catalogs first
SET max_parallel_workers_per_gather = 0;
SELECT pages(format('SELECT * FROM flowmaestro.get_trace_tree(%L)', :'trace_id')) + pages(format('SELECT flowmaestro.get_span(%L)', :'span_id')) > 0 AS warm;
SELECT pages(format('SELECT * FROM flowmaestro.get_trace_tree(%L)', :'trace_id')) < 4 * count(*) + 10 AS tree, pages(format('SELECT flowmaestro.get_span(%L)', :'span_id')) < 8 * count(*) + 10 AS span
FROM pg_inherits WHERE inhparent = 'flowmaestro.execution_spans'::regclass;
RESET max_parallel_workers_per_gather;
SELECT flowmaestro.end_span(:'span_id');

DELETE FROM flowmaestro.execution_spans WHERE trace_id = id('aaa');
DROP PROCEDURE span;
DROP FUNCTION tree, fill, pages;
DROP VIEW short;
DROP FUNCTION id;
DELETE FROM flowmaestro.execution_spans WHERE started_at >= '2022-01-01 00:00:00+00' AND started_at < '2022-01-05 00:00:00+00';
