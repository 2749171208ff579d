SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET search_path = flowmaestro, public;
-- what other scripts left
DO $$ BEGIN PERFORM flush(); END $$;
TRUNCATE execution_spans, rejected_spans, otlp_resources, otlp_scopes;

-- protobuf by hand: a number of 7 bits a byte, and fields of each form
CREATE FUNCTION pg_temp.varint(n numeric) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE r bytea := ''; m numeric := CASE WHEN n < 0 THEN n + 18446744073709551616 ELSE n END;
BEGIN
    LOOP
        r := r || set_byte('\x00', 0, (m % 128)::int + CASE WHEN m >= 128 THEN 128 ELSE 0 END);
        EXIT WHEN m < 128;
        m := div(m, 128);
    END LOOP;
    RETURN r;
END $$;
CREATE FUNCTION pg_temp.num(f int, n numeric) RETURNS bytea LANGUAGE sql AS 'SELECT pg_temp.varint(f * 8) || pg_temp.varint(n)';
CREATE FUNCTION pg_temp.len(f int, b bytea) RETURNS bytea LANGUAGE sql AS 'SELECT pg_temp.varint(f * 8 + 2) || pg_temp.varint(length(b)) || b';
CREATE FUNCTION pg_temp.txt(f int, t text) RETURNS bytea LANGUAGE sql AS 'SELECT pg_temp.len(f, convert_to(t, ''UTF8''))';
CREATE FUNCTION pg_temp.fixed(f int, n int8) RETURNS bytea LANGUAGE sql AS
    'SELECT pg_temp.varint(f * 8 + 1) || string_agg(substr(int8send(n), 9 - i, 1), '''' ORDER BY i) FROM generate_series(1, 8) AS i';
CREATE FUNCTION pg_temp.fixed4(f int, n int4) RETURNS bytea LANGUAGE sql AS
    'SELECT pg_temp.varint(f * 8 + 5) || string_agg(substr(int4send(n), 5 - i, 1), '''' ORDER BY i) FROM generate_series(1, 4) AS i';
CREATE FUNCTION pg_temp.dbl(f int, d float8) RETURNS bytea LANGUAGE sql AS
    'SELECT pg_temp.varint(f * 8 + 1) || string_agg(substr(float8send(d), 9 - i, 1), '''' ORDER BY i) FROM generate_series(1, 8) AS i';
CREATE FUNCTION pg_temp.attr(f int, key text, value bytea) RETURNS bytea LANGUAGE sql AS
    'SELECT pg_temp.len(f, pg_temp.txt(1, key) || pg_temp.len(2, value))';
-- a request of spans, and of one span with the ids n and what else it has
CREATE FUNCTION pg_temp.request(spans bytea) RETURNS bytea LANGUAGE sql AS
    'SELECT pg_temp.len(1, pg_temp.len(2, spans))';
CREATE FUNCTION pg_temp.span(n int, more bytea DEFAULT '') RETURNS bytea LANGUAGE sql AS $$
    SELECT pg_temp.len(2, pg_temp.len(1, decode('019b0000000070008000000000000001', 'hex')) ||
        pg_temp.len(2, int8send(n)) || pg_temp.txt(5, 'span ' || n) ||
        pg_temp.fixed(7, 1764000000000000000) || pg_temp.fixed(8, 1764000001000000000) || more)
$$;

-- everything that a span can have, in JSON
SELECT * FROM ingest_otlp_json($${"resourceSpans": [{
  "scopeSpans": [{
    "spans": [{
      "traceId": "019B0000000070008000000000000001", "spanId": "EEE19b7ec3c1b174", "parentSpanId": "0000000000000009",
      "traceState": "vendor=1", "flags": 257, "name": "everything", "kind": 3,
      "startTimeUnixNano": "1764000000123456789", "endTimeUnixNano": 1764000001000000001,
      "attributes": [
        {"key": "int", "value": {"intValue": "9223372036854775807"}},
        {"key": "int as number", "value": {"intValue": -42}},
        {"key": "int that is none", "value": {"intValue": 1e+30}},
        {"key": "whole double", "value": {"doubleValue": 1}},
        {"key": "large double", "value": {"doubleValue": 1e21}},
        {"key": "small double", "value": {"doubleValue": 5e-324}},
        {"key": "double", "value": {"doubleValue": 0.1}},
        {"key": "NaN", "value": {"doubleValue": "NaN"}},
        {"key": "infinity", "value": {"doubleValue": "-Infinity"}},
        {"key": "negative zero", "value": {"doubleValue": -0.0}},
        {"key": "null for a double", "value": {"doubleValue": null}},
        {"key": "true", "value": {"boolValue": true}},
        {"key": "U+0000", "value": {"stringValue": "a\u0000b"}},
        {"key": "half a pair", "value": {"stringValue": "\ud800 and \ud83d\ude00"}},
        {"key": "bytes", "value": {"bytesValue": "AAH_"}},
        {"key": "nothing", "value": {}},
        {"key": "empty", "value": {"stringValue": ""}},
        {"key": "array", "value": {"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "x"}, {}, {"arrayValue": {}}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "b", "value": {"intValue": 1}}, {"key": "a", "value": {"boolValue": false}}]}}},
        {"key": "map with twice", "value": {"kvlistValue": {"values": [{"key": "x", "value": {"intValue": 1}}, {"key": "x", "value": {"intValue": 2}}]}}},
        {"key": "twice", "value": {"stringValue": "first"}},
        {"key": "twice", "value": {"stringValue": "second"}},
        {"key": "key\u0000", "value": {"intValue": 0}},
        {"key": "of profiles", "value": {"stringValueStrindex": 5}},
        {"key": "array and more", "value": {"arrayValue": {"values": [{"intValue": 1}], "more": 1}, "stringValueStrindex": 5}},
        {"key": "last of two", "value": {"arrayValue": {"values": [{"intValue": 1}], "values": [{"intValue": 2}, {}]}, "kvlistValue": {"values": []}}},
        {"key": "value twice", "value": {"arrayValue": {"values": [{"intValue": 1}]}}, "value": {"intValue": 3}}
      ],
      "droppedAttributesCount": 1, "droppedEventsCount": 2, "droppedLinksCount": "3",
      "events": [{"timeUnixNano": "1764000000500000123", "name": "exception", "droppedAttributesCount": 4,
                  "attributes": [{"key": "exception.message", "value": {"stringValue": "boom"}}, {"key": "raw", "value": {"bytesValue": "AA=="}}]},
                 {"name": ""}],
      "links": [{"traceId": "019b0000000070008000000000000002", "spanId": "00000000000000ff", "traceState": "l=1", "flags": 256,
                 "attributes": [{"key": "why", "value": {"stringValue": "batch"}}], "droppedAttributesCount": 5},
                {"traceId": "", "spanId": "ff"}],
      "status": {"code": 2, "message": "it failed"},
      "somethingNew": {"a": [1, "]}", null]}
    }],
    "scope": {"name": "lib", "version": "1.2.3", "attributes": [{"key": "s", "value": {"boolValue": true}}], "droppedAttributesCount": 6},
    "schemaUrl": "https://example.org/scope"
  }],
  "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "n", "value": {"doubleValue": 2}}],
    "droppedAttributesCount": 7, "entityRefs": [{"schemaUrl": "e", "type": "host", "idKeys": ["a", "b"], "descriptionKeys": ["c"]}]},
  "schemaUrl": "https://example.org/resource"
}]}$$);
SELECT flush();
SELECT trace_id, span_id, parent_span_id, name, span_type, started_at, ended_at, duration_ms, status, error
FROM execution_spans WHERE name = 'everything';
SELECT a.key, a.value FROM execution_spans, jsonb_each(attributes) AS a WHERE name = 'everything' ORDER BY a.key COLLATE "C";
SELECT jsonb_array_elements(otlp #> '{raw,attributes}') FROM execution_spans WHERE name = 'everything';
SELECT jsonb_pretty(otlp - 'raw' - 'scope') FROM execution_spans WHERE name = 'everything';
SELECT jsonb_array_elements(events) FROM execution_spans WHERE name = 'everything';
SELECT jsonb_array_elements(links) FROM execution_spans WHERE name = 'everything';
SELECT service_name, attributes, otlp FROM otlp_resources;
SELECT name, version, attributes, otlp FROM otlp_scopes;
SELECT service_name, scope_name, scope_version, resource_attributes FROM otlp_spans WHERE span_id = '019b0000-0000-7000-eee1-9b7ec3c1b174';

-- it goes out as it came in, and comes back the same
CREATE TEMP TABLE first AS SELECT * FROM execution_spans;
CREATE TEMP TABLE message AS SELECT export_otlp_protobuf('019b0000-0000-7000-8000-000000000001') AS body;
TRUNCATE execution_spans;
SELECT * FROM ingest_otlp((SELECT body FROM message));
SELECT flush();
SELECT to_jsonb(f) - 'created_at' = to_jsonb(e) - 'created_at' AS the_same_row FROM first AS f, execution_spans AS e;
SELECT export_otlp_protobuf('019b0000-0000-7000-8000-000000000001') = body AS the_same_bytes FROM message;
SELECT count(*) AS resources, (SELECT count(*) FROM otlp_scopes) AS scopes FROM otlp_resources;
TRUNCATE execution_spans;

-- protobuf: fields in any order, unknown ones, and values that only it has
SELECT * FROM ingest_otlp(pg_temp.len(1,
    pg_temp.len(2, pg_temp.txt(3, 'u') || pg_temp.span(1,
        pg_temp.attr(9, 'string', pg_temp.txt(1, 'grüße')) ||
        pg_temp.num(99, 1) || pg_temp.len(100, '\xff') || pg_temp.fixed4(101, 1) || pg_temp.fixed(102, 1) ||
        pg_temp.len(15, pg_temp.num(3, 1)) ||
        pg_temp.attr(9, 'bad utf-8', pg_temp.len(1, '\x61ff62')) ||
        pg_temp.attr(9, 'bool', pg_temp.num(2, 1)) || pg_temp.attr(9, 'int', pg_temp.num(3, -1)) ||
        pg_temp.attr(9, 'double', pg_temp.dbl(4, 'Infinity')) ||
        pg_temp.attr(9, 'last of two', pg_temp.num(3, 1) || pg_temp.txt(1, 'x')) ||
        pg_temp.attr(9, 'wrong form', pg_temp.fixed(3, 1)) ||
        pg_temp.attr(9, 'of profiles', pg_temp.num(8, 1)) ||
        pg_temp.len(9, pg_temp.num(3, 7)) ||
        pg_temp.num(6, 77) || pg_temp.fixed4(16, -1)) || pg_temp.len(1, pg_temp.txt(1, 'after its spans'))) ||
    pg_temp.len(1, pg_temp.attr(1, 'service.name', pg_temp.txt(1, 'late')))));
SELECT flush();
SELECT e.attributes, e.otlp - 'scope' AS otlp, o.service_name, o.scope_name
FROM execution_spans AS e JOIN otlp_spans AS o USING (trace_id, span_id);

-- what is no span costs only itself
CREATE FUNCTION pg_temp.with_good(bad bytea) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s taken, %s not: %s', i.accepted, i.rejected, i.message)
    FROM ingest_otlp(pg_temp.request(pg_temp.span(2) || bad || pg_temp.span(3))) AS i
$$;
SELECT pg_temp.with_good(pg_temp.len(2, '')) AS "empty";
SELECT pg_temp.with_good(pg_temp.span(0)) AS "span id of zeros";
SELECT pg_temp.with_good(pg_temp.span(4, pg_temp.len(1, '\x00000000000000000000000000000000'))) AS "trace id of zeros";
SELECT pg_temp.with_good(pg_temp.span(4, pg_temp.len(2, '\x0102'))) AS "short span id";
SELECT pg_temp.with_good(pg_temp.span(4, pg_temp.len(4, '\x01'))) AS "short parent";
SELECT pg_temp.with_good(pg_temp.span(4, pg_temp.fixed(7, 0))) AS "no start";
SELECT pg_temp.with_good(pg_temp.span(4, pg_temp.fixed(7, -1))) AS "start in 2554";
SELECT pg_temp.with_good(pg_temp.span(4, '\x0b0c')) AS "a group";
SELECT pg_temp.with_good(pg_temp.span(4, '\x4aff')) AS "cut off";
SELECT pg_temp.with_good(pg_temp.span(4, '\xffffffffffffffffffff01')) AS "a number without an end";
SELECT pg_temp.with_good(pg_temp.span(4, '\x0001')) AS "field 0";
SELECT pg_temp.with_good(pg_temp.len(2, pg_temp.fixed(1, 1764000000000000000) || pg_temp.num(2, 9) || pg_temp.txt(3, 'INFO'))) AS "a log record";

CREATE FUNCTION pg_temp.nested(depth int) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE v bytea := pg_temp.num(3, 1);
BEGIN
    FOR i IN 1 .. depth LOOP v := pg_temp.len(5, pg_temp.len(1, v)); END LOOP;
    RETURN pg_temp.span(5, pg_temp.attr(9, 'deep', v));
END $$;
SELECT pg_temp.with_good(pg_temp.nested(64)) AS "64 levels", pg_temp.with_good(pg_temp.nested(65)) AS "65 levels";
SELECT pg_temp.with_good(pg_temp.span(6, string_agg('\x4a00'::bytea, ''))) AS "65,537 attributes" FROM generate_series(1, 65537);
SELECT pg_temp.with_good(pg_temp.span(6, string_agg('\x5a00'::bytea, ''))) AS "16,385 events" FROM generate_series(1, 16385);
SELECT pg_temp.with_good(pg_temp.span(6, pg_temp.attr(9, 'large', pg_temp.len(1, convert_to(repeat('x', 17000000), 'UTF8'))))) AS "17 MB";
SELECT * FROM ingest_otlp(pg_temp.request((SELECT string_agg('\x1200'::bytea, '') FROM generate_series(1, 100001))));

-- the same in JSON
CREATE FUNCTION pg_temp.json_span(more text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s taken, %s not: %s', i.accepted, i.rejected, i.message) FROM ingest_otlp_json(format(
        '{"resourceSpans":[{"scopeSpans":[{"spans":[%s,%s]}]}]}',
        '{"traceId":"019b0000000070008000000000000001","spanId":"0000000000000007","startTimeUnixNano":"1764000000000000000","endTimeUnixNano":"1764000000000000000"}',
        '{"traceId":"019b0000000070008000000000000001","spanId":"0000000000000008","startTimeUnixNano":"1764000000000000000",' || more || '}')) AS i
$$;
SELECT m AS member, pg_temp.json_span(m) FROM unnest(ARRAY[
    '"name": 5', '"kind": "SPAN_KIND_SERVER"', '"traceId": "xyz"', '"traceId": "AAAAAAAAAAAAAAAAAAAAAA=="', '"spanId": "123"',
    '"startTimeUnixNano": "-1"', '"startTimeUnixNano": "1.5"', '"startTimeUnixNano": 1e30', '"flags": 4294967296', '"attributes": {}',
    '"attributes": [1]', '"attributes": [{"key": "k", "value": 1}]', '"attributes": [{"key": "k", "value": {"boolValue": 1}}]',
    '"attributes": [{"key": "k", "value": {"intValue": "x"}}]', '"attributes": [{"key": "k", "value": {"doubleValue": "0x10"}}]',
    '"attributes": [{"key": "k", "value": {"bytesValue": "*"}}]', '"attributes": [{"key": "k", "value": {"arrayValue": [1]}}]',
    '"events": 1', '"events": [null]', '"links": [[]]', '"status": "OK"', '"name": null, "trace_state": 5, "kind": null, "attributes": null']) AS m;
SELECT pg_temp.json_span(format('"attributes": [{"key": "k", "value": %s{}%s}]', repeat('{"arrayValue": {"values": [', n), repeat(']}}', n)))
FROM unnest(ARRAY[64, 65]) AS n;

-- what is no request at all is refused as a whole: nothing of it is taken
SELECT ingest_otlp(pg_temp.request(pg_temp.span(100)) || '\x0a');
SELECT ingest_otlp(pg_temp.request(pg_temp.span(100) || '\x12ff'));
SELECT ingest_otlp('\x0b');
SELECT ingest_otlp_json('{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"019b0000000070008000000000000001","spanId":"0000000000000064","startTimeUnixNano":1}]}]}],}');
SELECT ingest_otlp_json('');
SELECT ingest_otlp_json('[]');
SELECT ingest_otlp_json('{"resourceSpans": {}}');
SELECT ingest_otlp_json('{"a": "\x"}');
SELECT ingest_otlp_json('{"a": 01}');
SELECT ingest_otlp_json('{"resourceLogs": []}');
SELECT ingest_otlp_json('{"resourceMetrics": []}');
SELECT ingest_otlp_json(repeat('[', 1000000));
SELECT ingest_otlp_json('{"a": ' || repeat('[', 511) || repeat(']', 511) || '}');
SELECT * FROM ingest_otlp('');
SELECT * FROM ingest_otlp_json(' {} ');
SELECT * FROM ingest_otlp_json('{"resourceSpans": [1, {"scopeSpans": 2}, {"scopeSpans": [3, {"spans": 4}]}, {"resource": 5, "scopeSpans": [{"spans": [{}]}]}]}');
SELECT flush();
SELECT count(*) FROM execution_spans WHERE span_id = '019b0000-0000-7000-0000-000000000064';

-- any prefix of a request, and any request with a byte changed, is taken or refused
DO $$
DECLARE
    body bytea := (SELECT m.body FROM message AS m);
    changed bytea;
BEGIN
    FOR i IN 0 .. 2 * length(body) - 1 LOOP
        changed := CASE WHEN i < length(body) THEN substr(body, 1, i)
                        ELSE set_byte(body, i - length(body), get_byte(body, i - length(body)) # 85) END;
        BEGIN
            PERFORM ingest_otlp(changed);
        EXCEPTION WHEN invalid_parameter_value THEN
            NULL;
        END;
    END LOOP;
END $$;
SELECT flush();
SELECT count(*) AS set_aside FROM rejected_spans;
TRUNCATE execution_spans;

-- a request that comes again changes nothing, not even the rows' versions
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(1, pg_temp.len(11, pg_temp.txt(2, 'e'))) || pg_temp.span(2)));
SELECT flush();
CREATE TEMP TABLE versions AS SELECT s.span_id, s.ctid AS tid FROM execution_spans AS s;
SELECT set_span_attributes('019b0000-0000-7000-0000-000000000002', '{"later": true}');
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(1, pg_temp.len(11, pg_temp.txt(2, 'e'))) || pg_temp.span(3) || pg_temp.span(3)));
SELECT flush();
SELECT e.name, v.tid IS NOT NULL AS as_it_was, jsonb_array_length(e.events) AS events, e.attributes
FROM execution_spans AS e LEFT JOIN versions AS v ON v.span_id = e.span_id AND v.tid = e.ctid ORDER BY e.name;
-- nor does one that comes again in a batch with something else about the span
BEGIN;
LOCK TABLE execution_spans IN SHARE MODE;
SELECT set_span_attributes('019b0000-0000-7000-0000-000000000001', '{"before": 1}');
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(1, pg_temp.len(11, pg_temp.txt(2, 'e')) || pg_temp.attr(9, 'again', pg_temp.num(3, 1)))));
SELECT set_span_attributes('019b0000-0000-7000-0000-000000000001', '{"after": 1}'), add_span_event('019b0000-0000-7000-0000-000000000001', 'from SQL');
-- the other way round: both are new
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(4, pg_temp.len(11, pg_temp.txt(2, 'e')) || pg_temp.attr(9, 'a', pg_temp.num(3, 1)))));
SELECT set_span_attributes('019b0000-0000-7000-0000-000000000004', '{"b": 2}'), add_span_event('019b0000-0000-7000-0000-000000000004', 'from SQL');
COMMIT;
SELECT flush();
SELECT name, status, attributes, jsonb_path_query_array(events, '$[*].name') AS events FROM execution_spans WHERE name IN ('span 1', 'span 4') ORDER BY name;
SET flowmaestro.write_mode = transactional;
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(1, pg_temp.len(11, pg_temp.txt(2, 'e'))) || pg_temp.span(3)));
SELECT e.name, v.tid IS NOT NULL AS as_it_was, jsonb_array_length(e.events) AS events
FROM execution_spans AS e LEFT JOIN versions AS v ON v.span_id = e.span_id AND v.tid = e.ctid ORDER BY e.name;

-- in the transactional mode a request goes with its transaction, its resource too
BEGIN;
SELECT accepted FROM ingest_otlp(pg_temp.len(1, pg_temp.len(1, pg_temp.attr(1, 'service.name', pg_temp.txt(1, 'undone'))) || pg_temp.len(2, pg_temp.span(20))));
SELECT count(*) FROM execution_spans WHERE name = 'span 20';
ROLLBACK;
SELECT (SELECT count(*) FROM execution_spans WHERE name = 'span 20') AS spans, count(*) AS resources FROM otlp_resources WHERE service_name = 'undone';
RESET flowmaestro.write_mode;
-- in the buffered one it stays
BEGIN;
SELECT accepted FROM ingest_otlp(pg_temp.len(1, pg_temp.len(1, pg_temp.attr(1, 'service.name', pg_temp.txt(1, 'stays'))) || pg_temp.len(2, pg_temp.span(20))));
ROLLBACK;
SELECT flush();
SELECT name, service_name FROM execution_spans JOIN otlp_spans USING (trace_id, span_id) WHERE name = 'span 20';

-- a span that still runs, then its end; what comes again is not there twice
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(30, pg_temp.fixed(8, 0) || pg_temp.attr(9, 'a', pg_temp.num(3, 1)) || pg_temp.len(11, pg_temp.txt(2, 'one')))));
SELECT flush();
SELECT status, ended_at, duration_ms, attributes, jsonb_array_length(events) AS events FROM execution_spans WHERE name = 'span 30';
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(30, pg_temp.attr(9, 'b', pg_temp.num(3, 2)) || pg_temp.len(11, pg_temp.txt(2, 'one')) || pg_temp.len(11, pg_temp.txt(2, 'two')))));
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(31, pg_temp.fixed(8, 0) || pg_temp.len(11, pg_temp.txt(2, 'one'))) || pg_temp.span(31, pg_temp.len(11, pg_temp.txt(2, 'one')))));
SELECT flush();
SELECT name, status, duration_ms, attributes, jsonb_array_length(events) AS events FROM execution_spans WHERE name IN ('span 30', 'span 31') ORDER BY name;

-- a span from SQL that ends by OTLP; the attribute names it
SELECT trace_id, span_id, create_span('from SQL', 'agent_run', attributes => '{"mine": 1, "both": "SQL"}', trace_id => trace_id, span_id => span_id, started_at => '2025-11-24 15:59:59Z')
FROM (SELECT '019b0000-0000-7000-8000-000000000001'::uuid AS trace_id, '5a000000-0000-4000-8000-000000000040'::uuid AS span_id) AS i;
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(99, pg_temp.len(2, '\x8000000000000040') ||
    pg_temp.attr(9, 'flowmaestro.span_id', pg_temp.txt(1, '5a000000-0000-4000-8000-000000000040')) || pg_temp.attr(9, 'both', pg_temp.txt(1, 'OTLP')))));
SELECT end_span('5a000000-0000-4000-8000-000000000040') AS a_second_end;
SELECT flush();
SELECT name, span_type, started_at, ended_at, status, attributes FROM execution_spans WHERE span_id = '5a000000-0000-4000-8000-000000000040';
-- an attribute that names a span with another id is none
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(41, pg_temp.attr(9, 'flowmaestro.span_id', pg_temp.txt(1, '5a000000-0000-4000-8000-000000000040')))));
-- an end that came first, and one before the start
SELECT end_span('019b0000-0000-7000-0000-00000000002a', '{"out": 1}', ended_at => '2025-11-24 16:00:02Z');
SELECT flush();
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(42)));
SELECT clamped_ends AS clamped FROM stats \gset
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(43, pg_temp.fixed(8, 1763999999999999999))));
-- an end at the time of the start is none that is too early
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(44, pg_temp.fixed(8, 1764000000000000000))));
SELECT flush();
SELECT span_id, name, ended_at, duration_ms, status, output, otlp -> 'end' AS "end" FROM execution_spans WHERE name IN ('span 41', 'span 42', 'span 43', 'span 44') ORDER BY name;
SELECT clamped_ends - :clamped AS clamped FROM stats;

-- names that the column can't hold, and none
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(50, pg_temp.txt(5, '')) || pg_temp.span(51, pg_temp.len(5, '\x6100ff')) ||
    pg_temp.span(52, pg_temp.txt(5, repeat('ü', 600)))));
SELECT flush();
SELECT left(name, 20) AS name, octet_length(name), left(otlp #>> '{raw,name}', 20) AS raw FROM execution_spans WHERE otlp #> '{raw,name}' IS NOT NULL ORDER BY span_id;

-- what is too large is cut, and the span is kept
SELECT truncated FROM stats \gset
SELECT accepted FROM ingest_otlp(pg_temp.request(
    pg_temp.span(60, pg_temp.attr(9, 'large', pg_temp.txt(1, repeat('x', 2000000))) || pg_temp.attr(9, 'small', pg_temp.num(3, 1))) ||
    pg_temp.span(61, (SELECT string_agg(pg_temp.len(11, pg_temp.txt(2, repeat('y', 30000))), '') FROM generate_series(1, 100))) ||
    pg_temp.span(62, pg_temp.attr(9, 'bytes', pg_temp.len(7, convert_to(repeat('z', 1500000), 'UTF8')))) ||
    pg_temp.span(63, pg_temp.txt(3, repeat('s', 100000)))));
SELECT flush();
SELECT name, left(attributes::text, 120) AS attributes, jsonb_array_length(events) AS events, length(otlp ->> 'trace_state') AS state, otlp - 'scope' - 'trace_state' AS otlp
FROM execution_spans WHERE name IN ('span 60', 'span 61', 'span 62', 'span 63') ORDER BY name;
SELECT truncated - :truncated AS truncated FROM stats;

-- a span that the table refuses is set aside whole, and comes back whole
ALTER TABLE execution_spans ADD CONSTRAINT no_70 CHECK (name <> 'span 70');
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(70, pg_temp.len(11, pg_temp.txt(2, 'e')) || pg_temp.len(13, pg_temp.len(1, '\x01')) || pg_temp.num(6, 2)) || pg_temp.span(71)));
SELECT flush();
SELECT name, sqlstate, events, links, otlp ? 'scope' AS has_scope FROM rejected_spans;
ALTER TABLE execution_spans DROP CONSTRAINT no_70;
SELECT retry_rejected_spans();
SELECT name, events, links, otlp -> 'kind' AS kind FROM execution_spans WHERE name IN ('span 70', 'span 71') ORDER BY name;

-- many attributes: jsonb finds each by its key, and is what it would be from text
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(75, (SELECT string_agg(pg_temp.attr(9, left(md5(i::text), 1 + i % 32),
    CASE i % 4 WHEN 0 THEN pg_temp.num(3, i * 1000003 - 50000000) WHEN 1 THEN pg_temp.txt(1, repeat('x', i)) WHEN 2 THEN pg_temp.dbl(4, i / 7.0)
    ELSE pg_temp.len(6, pg_temp.attr(1, 'b', pg_temp.num(3, i)) || pg_temp.attr(1, 'a', pg_temp.num(2, 1))) END), '' ORDER BY i) FROM generate_series(1, 300) AS i))));
SELECT flush();
SELECT count(*) AS keys, bool_and(e.attributes -> a.key = a.value) AS found, bool_and(e.attributes = (e.attributes::text)::jsonb) AS equal,
    bool_and(pg_column_size(e.attributes || '{}') = pg_column_size((e.attributes::text)::jsonb || '{}')) AS same_size
FROM execution_spans AS e, jsonb_each(e.attributes) AS a WHERE e.name = 'span 75';

-- what redaction hides is not in a raw copy either
SET flowmaestro.redact_spans = 'attributes';
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(76, pg_temp.attr(9, 'password', pg_temp.len(1, '\x7300')) || pg_temp.attr(9, 'bytes', pg_temp.len(7, '\x00')))));
RESET flowmaestro.redact_spans;
SELECT flush();
SELECT attributes, otlp - 'scope' AS otlp FROM execution_spans WHERE name = 'span 76';

-- who may record may take requests, and read nothing
CREATE ROLE regress_otlp;
SELECT grant_writer('regress_otlp');
SET ROLE regress_otlp;
SELECT accepted FROM ingest_otlp(pg_temp.request(pg_temp.span(80)));
SELECT accepted FROM ingest_otlp_json('{}');
SELECT count(*) FROM otlp_resources;
RESET ROLE;
SET flowmaestro.enabled = off;
SELECT * FROM ingest_otlp(pg_temp.request(pg_temp.span(81)));
RESET flowmaestro.enabled;
SELECT flush();
SELECT name FROM execution_spans WHERE name IN ('span 80', 'span 81');

-- another life of the extension gets its resources, though this session sent them before
SET client_min_messages = warning;
DROP EXTENSION flowmaestro_spans;
CREATE EXTENSION flowmaestro_spans;
RESET client_min_messages;
SELECT accepted FROM ingest_otlp(pg_temp.len(1, pg_temp.len(1, pg_temp.attr(1, 'service.name', pg_temp.txt(1, 'stays'))) || pg_temp.len(2, pg_temp.span(90))));
SELECT flush();
SELECT name, service_name FROM execution_spans JOIN otlp_spans USING (trace_id, span_id);
DROP OWNED BY regress_otlp;
DROP ROLE regress_otlp;
TRUNCATE execution_spans, otlp_resources, otlp_scopes;
