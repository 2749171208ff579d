SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET flowmaestro.write_mode = transactional;

CREATE FUNCTION id(short text) RETURNS uuid IMMUTABLE LANGUAGE sql AS
$$SELECT overlay('01900000-0000-7000-8000-000000000000' placing lpad(short, 12, '0') from 25)::uuid$$;
CREATE PROCEDURE span(trace text, span text, parent text, name text, from_ms float8, until_ms float8, type text DEFAULT 'tool_execution',
    attributes jsonb DEFAULT '{}', status text DEFAULT 'completed', error text DEFAULT NULL) LANGUAGE sql AS $$
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, started_at, ended_at, status, error, attributes)
SELECT id(trace), id(span), id(parent), name, type, '2024-01-01 00:00:00+00'::timestamptz + interval '1 ms' * from_ms,
    '2024-01-01 00:00:00+00'::timestamptz + interval '1 ms' * until_ms, status, jsonb_build_object('message', error), attributes $$;
SELECT flowmaestro.make_partition('2024-01-01 00:00:00+00');

--
-- A run that failed, was mended, and used tokens
--
CALL span('a1', '10', NULL, 'agent run: customer-support', 0, 4250, 'agent_run');
CALL span('a1', '20', '10', 'iteration 1', 20, 2100, 'agent_iteration');
CALL span('a1', '21', '20', 'llm: gpt-4o', 50, 1150, 'model_generation', '{"promptTokens": 812, "completionTokens": 64}');
CALL span('a1', '22', '20', 'tool: find order', 1200, 1900, status => 'failed', error => 'HTTP 500: upstream timeout');
CALL span('a1', '23', '20', 'tool: find customer', 1200, 1420);
CALL span('a1', '30', '10', 'iteration 2', 2100, 4200, 'agent_iteration');
CALL span('a1', '31', '30', 'tool: find order', 2120, 2500);
CALL span('a1', '32', '30', 'llm: gpt-4o', 2520, 4180, 'model_generation', '{"promptTokens": 31930, "completionTokens": 200}');
CALL span('a1', '33', '30', 'tool: survey', 2600, 2700, status => 'cancelled');
CALL span('a1', '40', 'fff', 'audit log', 4200, 4200);
SELECT flowmaestro.note_span_ids(array_agg(trace_id), array_agg(span_id), array_agg(started_at)) FROM flowmaestro.execution_spans;
SELECT * FROM flowmaestro.trace_tree_text(id('a1'));
SELECT * FROM flowmaestro.trace_tree_text(id('a1'), 60);
SELECT * FROM flowmaestro.trace_tree_text(id('a1'), 80, ascii => true);
SELECT count(*), max(length(t)) FROM flowmaestro.trace_tree_text(id('a1'), 1000) AS t;
SELECT * FROM flowmaestro.trace_tree_text(id('a1'), 59);
SELECT * FROM flowmaestro.trace_tree_text(id('a1'), 1001);

--
-- Every length of time
--
CALL span('a2', 'a0', NULL, 'all', 0, 400000000);
CALL span('a2', 'a1', 'a0', 'nothing', 0, 0);
CALL span('a2', 'a2', 'a0', 'us', 0, 0.999);
CALL span('a2', 'a3', 'a0', 'ms', 0, 9.99);
CALL span('a2', 'a4', 'a0', 'more ms', 0, 99.9);
CALL span('a2', 'a5', 'a0', 'hundreds of ms', 0, 999);
CALL span('a2', 'a6', 'a0', 's', 0, 9990);
CALL span('a2', 'a7', 'a0', 'more s', 0, 59900);
CALL span('a2', 'a8', 'a0', 'min', 0, 61000);
CALL span('a2', 'a9', 'a0', 'h', 0, 3660000);
CALL span('a2', 'aa', 'a0', 'd', 0, 90000000, 'model_generation', '{"totalTokens": 999}');
CALL span('a2', 'ab', 'a0', 'tokens', 0, 1, 'model_generation', '{"totalTokens": 1000}');
CALL span('a2', 'ac', 'a0', 'tokens', 0, 1, 'model_generation', '{"totalTokens": 9949}');
CALL span('a2', 'ad', 'a0', 'tokens', 0, 1, 'model_generation', '{"totalTokens": 999499}');
CALL span('a2', 'ae', 'a0', 'tokens', 0, 1, 'model_generation', '{"totalTokens": 999500}');
CALL span('a2', 'af', 'a0', 'tokens', 0, 1, 'model_generation', '{"totalTokens": 9007199254740991}');
SELECT * FROM flowmaestro.trace_tree_text(id('a2'), 70);

--
-- Wide letters, letters without width, and letters from the right
--
CALL span('a3', 'b0', NULL, 'root', 0, 10);
CALL span('a3', 'b1', 'b0', '日本語の道具を呼び出す', 0, 10);
CALL span('a3', 'b2', 'b0', 'naïve café' || U&'e\0301e\0301', 0, 10);
CALL span('a3', 'b3', 'b0', '🙂🙂 emoji', 0, 10);
CALL span('a3', 'b4', 'b0', 'שלום عالم', 0, 10);
CALL span('a3', 'b5', 'b0', repeat('長', 40), 0, 10);
SELECT * FROM flowmaestro.trace_tree_text(id('a3'), 60);
SELECT * FROM flowmaestro.trace_tree_text(id('a3'), 61);

--
-- What a name must not do: colours and cursor movements, other directions,
-- lines of its own, invisible letters
--
CALL span('a4', 'c0', NULL, E'\x1b[2J\x1b[31mred\x1b[0m', 0, 10, status => E'\x1b[31m');
CALL span('a4', 'c1', 'c0', U&'user\202Etxt.exe\202C', 0, 10);
CALL span('a4', 'c2', 'c0', U&'a\2066b\2069c\200Fd\061Ce', 0, 10);
CALL span('a4', 'c3', 'c0', E'two\nlines\rback\tand tab\x07', 0, 10);
CALL span('a4', 'c4', 'c0', U&'\009B31m 8-bit \0085 \2028 \2029', 0, 10);
CALL span('a4', 'c5', 'c0', U&'in\200Bvis\FEFFible\+0E0041', 0, 10);
CALL span('a4', 'c6', 'c0', '<script>alert(1)</script>', 0, 10, status => 'failed', error => E'line\n\x1b]0;title\x07' || U&'\202Ex');
CALL span('a4', 'c7', 'c0', repeat(E'\x1b[1m', 300000), 0, 10, status => 'failed', error => repeat('long ', 250000));
CALL span('a4', 'c8', 'c0', repeat(U&'\0301', 500), 0, 10);
SELECT * FROM flowmaestro.trace_tree_text(id('a4'));
SELECT count(*) AS lines, count(*) FILTER (WHERE t ~ '[\x01-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]') AS unsafe
FROM (SELECT trace_tree_text FROM flowmaestro.trace_tree_text(id('a4')) UNION ALL SELECT trace_tree_text FROM flowmaestro.trace_tree_text(id('a4'), 200, true)) AS x (t);

--
-- In the page all of it is data: one script, one block, no markup of the spans
--
CREATE FUNCTION page(trace text) RETURNS text LANGUAGE sql AS $$SELECT flowmaestro.trace_html(id(trace))$$;
CREATE FUNCTION data(trace text) RETURNS text LANGUAGE sql AS $$SELECT (regexp_match(page(trace), '<script type="application/json" id="data">(.*?)</script>'))[1]$$;
CALL span('a4', 'c9', 'c0', '</script><img src=x onerror=alert(1)>', 0, 10, type => '<!--', attributes => '{"</script>": "<b onclick=''x''>&amp;\"\\u2028"}');
CALL span('a4', 'ca', 'c0', '🙂 日本語 "quoted" \ back', 0, 10);
SELECT count(*) FROM regexp_matches(page('a4'), '<script', 'gi');
SELECT count(*) FROM regexp_matches(page('a4'), '</script', 'gi');
SELECT count(*) FROM regexp_matches(page('a4'), '<(img|iframe|object|embed|link|a|base|form|svg)\M', 'gi');
SELECT page('a1') ~ '(src|href)\s*=|https?:|//[a-z]|url\(|@import|eval\(|innerHTML|document\.write|unsafe-inline' AS loads_something;
SELECT data('a4') ~ '[<>&''\x01-\x09\x0b-\x1f\x7f-\xff\u0100-\uffff]' AS unsafe;
SELECT page('a4') ~ '[^\x0a\x09\x20-\x7e]' AS not_ascii;
-- the policy names what is in the page
SELECT regexp_replace(page('a4'), '.*Content-Security-Policy" content="([^"]*)".*', '\1') =
    format('default-src ''none''; style-src ''sha256-%s''; script-src ''sha256-%s''; base-uri ''none''; form-action ''none''',
        encode(sha256(convert_to((regexp_match(page('a4'), '<style>(.*?)</style>'))[1], 'UTF8')), 'base64'),
        encode(sha256(convert_to((regexp_match(page('a4'), '<script>(.*?)</script>'))[1], 'UTF8')), 'base64')) AS policy;
-- nothing is lost on the way
SELECT s ->> 3 AS name, s ->> 4 AS type, s ->> 20 AS attributes FROM json_array_elements(data('a4')::json -> 'spans') AS s WHERE s ->> 1 IN (id('c9')::text, id('ca')::text);
SELECT count(*) FROM json_array_elements(data('a1')::json -> 'spans') AS s JOIN flowmaestro.get_trace_tree(id('a1')) AS t
ON t.span_id = (s ->> 1)::uuid AND t.depth = (s ->> 0)::int AND t.name = s ->> 3 AND t.duration_ms * 1000 = (s ->> 8)::float8 AND t.self_ms * 1000 = (s ->> 9)::float8
   AND t.total_tokens IS NOT DISTINCT FROM (s ->> 14)::int8 AND t.note IS NOT DISTINCT FROM s ->> 17 AND t.error IS NOT DISTINCT FROM s ->> 16;
-- a payload that is long is cut, and says so
UPDATE flowmaestro.execution_spans SET input = to_jsonb(repeat('x', 1000000)), output = 'null', events = '[{"name": "e"}]' WHERE span_id = id('ca');
SELECT length(s ->> 18) AS input, right(s ->> 18, 8) AS tail, s ->> 19 AS output, s ->> 22 AS events FROM json_array_elements(data('a4')::json -> 'spans') AS s WHERE s ->> 1 = id('ca')::text;

DROP FUNCTION data, page;
DROP PROCEDURE span;
DROP FUNCTION id;
DELETE FROM flowmaestro.execution_spans WHERE started_at >= '2024-01-01 00:00:00+00' AND started_at < '2024-01-02 00:00:00+00';
