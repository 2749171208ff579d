SET client_min_messages = warning;
DROP EXTENSION IF EXISTS flowmaestro_spans;
CREATE EXTENSION flowmaestro_spans;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never
\pset format unaligned

--
-- Spans made in SQL
--
\set trace '01a20000-0000-7000-8000-000000000001'
-- with every kind of value; one with a foreign id, one below that, one that runs, one that was cancelled
SELECT flowmaestro.create_span('run', 'agent_run', 'planner',
    '{"text": "a\"b\\c\n", "int": 1, "big": 9223372036854775807, "minus": -1, "double": 1.5, "whole": 1.0, "long": 0.1, "yes": true, "none": null, "empty": "", "list": [1, "x", {"k": []}], "object": {"a": {"b": null}}, "": "no key", "ключ": "日本語"}',
    '{"messages": [{"role": "user", "content": "hi"}]}', :'trace', span_id => '01a20000-0000-7000-0000-00000000000a', started_at => '2026-03-01 10:00:00.000001+00');
SELECT flowmaestro.create_span('call', 'model_generation', 'planner',
    '{"model": "gpt-5", "provider": "openai", "promptTokens": 100, "completionTokens": 20, "gen_ai.response.model": "gpt-5-2026"}', '"text"', :'trace',
    '01a20000-0000-7000-0000-00000000000a', '11111111-1111-4111-8111-111111111111', '2026-03-01 10:00:01+00');
SELECT flowmaestro.create_span('tool', 'tool_execution', NULL, NULL, '5', :'trace',
    '11111111-1111-4111-8111-111111111111', '01a20000-0000-7000-0000-00000000000c', '2026-03-01 10:00:02+00');
SELECT flowmaestro.create_span('runs', 'custom_type', NULL, NULL, NULL, :'trace', NULL, '01a20000-0000-7000-0000-00000000000d', '2026-03-01 10:00:03+00');
SELECT flowmaestro.create_span('cancelled', 'http_request', '', NULL, NULL, :'trace', NULL, '01a20000-0000-7000-0000-00000000000e', '2026-03-01 10:00:04+00');
SELECT flowmaestro.create_span('fails', 'validation', '', NULL, NULL, :'trace', NULL, '01a20000-0000-7000-0000-00000000000f', '2026-03-01 10:00:05+00');
SELECT flowmaestro.add_span_event('01a20000-0000-7000-0000-00000000000a', 'step', '{"n": 1}', '2026-03-01 10:00:00.5+00'),
    flowmaestro.add_span_event('01a20000-0000-7000-0000-00000000000a', 'bare', NULL, '2026-03-01 10:00:00.500001+00');
SELECT flowmaestro.end_span('01a20000-0000-7000-0000-00000000000a', 'false', ended_at => '2026-03-01 10:00:09.999999+00'),
    flowmaestro.end_span('11111111-1111-4111-8111-111111111111', 'null', ended_at => '2026-03-01 10:00:01+00'),
    flowmaestro.end_span_with_error('01a20000-0000-7000-0000-00000000000c', '{"message": "refused", "type": "RangeError", "stack": "at f", "code": 7}'::jsonb, ended_at => '2026-03-01 10:00:03+00'),
    flowmaestro.end_span('01a20000-0000-7000-0000-00000000000e', status => 'cancelled', ended_at => '2026-03-01 10:00:05+00'),
    flowmaestro.end_span('01a20000-0000-7000-0000-00000000000f', status => 'failed', ended_at => '2026-03-01 10:00:06+00');
SELECT flowmaestro.flush();
SELECT replace(replace(flowmaestro.export_otlp(:'trace')::text, '{"traceId"', E'\n{"traceId"'), '{"key"', E'\n  {"key"');
-- both encodings say the same: each is taken into an empty table, and gives every column back
CREATE FUNCTION parts(request json) RETURNS SETOF jsonb LANGUAGE sql AS $$
    SELECT s - 'attributes' FROM jsonb_path_query(request::jsonb, '$.resourceSpans[*].scopeSpans[*].spans[*]') AS s
    UNION ALL
    SELECT jsonb_build_array(s -> 'spanId', a) FROM jsonb_path_query(request::jsonb, '$.resourceSpans[*].scopeSpans[*].spans[*]') AS s, jsonb_array_elements(s -> 'attributes') AS a
    UNION ALL
    SELECT r #- '{scopeSpans,0,spans}' FROM jsonb_path_query(request::jsonb, '$.resourceSpans[*]') AS r
$$;
CREATE TABLE kept AS SELECT * FROM flowmaestro.execution_spans;
CREATE TABLE exported AS SELECT flowmaestro.export_otlp(:'trace') AS json, flowmaestro.export_otlp_protobuf(:'trace') AS protobuf;
CREATE FUNCTION came_back() RETURNS TABLE (name text, difference text, more jsonb) LANGUAGE sql AS $$
    SELECT coalesce(k.name, s.name), concat_ws(' ',
        CASE WHEN (k.trace_id, k.span_id, k.parent_span_id, k.name, k.span_type, k.started_at, k.ended_at, k.duration_ms, k.status)
            IS DISTINCT FROM (s.trace_id, s.span_id, s.parent_span_id, s.name, s.span_type, s.started_at, s.ended_at, s.duration_ms, s.status) THEN 'fields' END,
        CASE WHEN k.entity_id IS DISTINCT FROM s.entity_id THEN 'entity' END,
        CASE WHEN (k.input, k.output, k.error) IS DISTINCT FROM (s.input, s.output, s.error) THEN 'payload' END,
        CASE WHEN NOT s.attributes @> k.attributes THEN 'attributes' END,
        CASE WHEN (k.events, k.links) IS DISTINCT FROM (s.events, s.links) THEN 'events' END),
        (SELECT jsonb_object_agg(a.key, a.value) FROM jsonb_each(s.attributes) AS a WHERE NOT k.attributes ? a.key AND a.key NOT LIKE 'flowmaestro.%')
    FROM kept AS k FULL JOIN flowmaestro.execution_spans AS s USING (span_id) ORDER BY coalesce(k.started_at, s.started_at)
$$;
DELETE FROM flowmaestro.execution_spans;
SELECT i.* FROM exported, flowmaestro.ingest_otlp(exported.protobuf) AS i;
SELECT flowmaestro.flush();
SELECT * FROM came_back();
-- and goes out again as it had come
SELECT count(*), count(*) FILTER (WHERE a IS NULL OR b IS NULL) AS different FROM parts((SELECT json FROM exported)) AS a FULL JOIN parts(flowmaestro.export_otlp(:'trace')) AS b ON a = b;
DELETE FROM flowmaestro.execution_spans;
SELECT i.* FROM exported, flowmaestro.ingest_otlp_json(exported.json::text) AS i;
SELECT flowmaestro.flush();
SELECT * FROM came_back();
SELECT count(*), count(*) FILTER (WHERE a IS NULL OR b IS NULL) AS different FROM parts((SELECT json FROM exported)) AS a FULL JOIN parts(flowmaestro.export_otlp(:'trace')) AS b ON a = b;
-- the ledger reads the same tokens
SELECT count(*), sum(u.input_tokens) AS input, sum(u.output_tokens) AS output
FROM flowmaestro.execution_spans AS s, flowmaestro.usage_of(s.attributes) AS u WHERE s.span_type = 'model_generation';
-- a name for the service of spans made in SQL
DELETE FROM flowmaestro.execution_spans;
INSERT INTO flowmaestro.execution_spans SELECT * FROM kept;
SET flowmaestro.service_name = 'my service';
SELECT flowmaestro.export_otlp(:'trace')::jsonb #> '{resourceSpans,0,resource}';
RESET flowmaestro.service_name;
SELECT flowmaestro.export_otlp(:'trace')::jsonb #>> '{resourceSpans,0,resource,attributes,0,value,stringValue}' = current_database() AS database;

--
-- What jsonb can't hold, and numbers that OTLP can't
--
\set trace '02a20000-0000-7000-8000-000000000002'
SELECT (flowmaestro.create_span('numbers', 'node_execution', NULL,
    '{"exact": 9007199254740993.0, "integer": 9223372036854775808, "fraction": 0.123456789012345678901234567890, "tenth": 0.1, "small": 0.000000001, "int": -9223372036854775808}',
    NULL, :'trace', started_at => '2026-03-02 10:00+00')).trace_id;
SELECT flowmaestro.flush();
SELECT a -> 'key' AS key, a -> 'value' AS value
FROM jsonb_path_query(flowmaestro.export_otlp(:'trace')::jsonb, '$.resourceSpans[0].scopeSpans[0].spans[0].attributes[*]') AS a WHERE a ->> 'key' NOT LIKE 'flowmaestro.%';
-- deep values: as deep as our decoders take, then JSON in a string
\set trace '03a20000-0000-7000-8000-000000000003'
SELECT (flowmaestro.create_span('deep', 'node_execution', NULL, jsonb_build_object('64', (repeat('[', 64) || repeat(']', 64))::jsonb, '65', (repeat('[', 65) || repeat(']', 65))::jsonb,
    '1000', (repeat('[', 1000) || repeat(']', 1000))::jsonb), NULL, :'trace', started_at => '2026-03-03 10:00+00')).trace_id;
SELECT flowmaestro.flush();
SELECT a ->> 'key' AS key, length(a ->> 'value') AS length, substring(a ->> 'value' from '"stringValue": *"\[*') IS NOT NULL AS string
FROM jsonb_path_query(flowmaestro.export_otlp(:'trace')::jsonb, '$.resourceSpans[0].scopeSpans[0].spans[0].attributes[*]') AS a WHERE a ->> 'key' ~ '^\d';
DELETE FROM flowmaestro.execution_spans WHERE trace_id = :'trace' RETURNING flowmaestro.ingest_otlp(flowmaestro.export_otlp_protobuf(trace_id));

--
-- Spans that came by OTLP
--
CREATE TABLE results (n int GENERATED ALWAYS AS IDENTITY, accepted int8, rejected int8, message text, json json, protobuf bytea, again bytea, again_json json);
-- in by JSON, out, away, in by protobuf, out
CREATE PROCEDURE round_trip(request text, trace uuid) LANGUAGE plpgsql AS $$
DECLARE
    result results;
BEGIN
    SELECT i.accepted, i.rejected, i.message INTO result.accepted, result.rejected, result.message FROM flowmaestro.ingest_otlp_json(request) AS i;
    PERFORM flowmaestro.flush();
    COMMIT;
    result.json := flowmaestro.export_otlp(trace);
    result.protobuf := flowmaestro.export_otlp_protobuf(trace);
    DELETE FROM flowmaestro.execution_spans WHERE trace_id = trace;
    COMMIT;
    PERFORM flowmaestro.ingest_otlp(result.protobuf);
    PERFORM flowmaestro.flush();
    COMMIT;
    INSERT INTO results (accepted, rejected, message, json, protobuf, again, again_json)
    VALUES (result.accepted, result.rejected, result.message, result.json, result.protobuf, flowmaestro.export_otlp_protobuf(trace), flowmaestro.export_otlp(trace));
END
$$;
CREATE VIEW last_result AS SELECT accepted, rejected, message, protobuf = again AS protobuf_again, json::text = again_json::text AS json_again, json FROM results ORDER BY n DESC LIMIT 1;
-- every field
SELECT $json${"resourceSpans": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}], "droppedAttributesCount": 1,
        "entityRefs": [{"schemaUrl": "https://example.org/e", "type": "service", "idKeys": ["service.name"], "descriptionKeys": ["a", "b"]}]},
    "scopeSpans": [{
        "scope": {"name": "library", "version": "1.2", "attributes": [{"key": "k", "value": {"boolValue": true}}], "droppedAttributesCount": 2},
        "spans": [{
            "traceId": "00112233445566778899aabbccddeeff", "spanId": "0102030405060708", "traceState": "a=1,b=2", "parentSpanId": "1112131415161718",
            "name": "GET /", "kind": 2, "startTimeUnixNano": "1774000000123456789", "endTimeUnixNano": "1774000001123456001",
            "attributes": [{"key": "a", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}, {}]}}}, 
                {"key": "d", "value": {"doubleValue": 2.5}}, {"key": "i", "value": {"intValue": "9007199254740993"}}, {"key": "m", "value": {"kvlistValue": {"values": [{"key": "n", "value": {}}]}}}, {"key": "b", "value": {"bytesValue": "AAECAw=="}}],
            "droppedAttributesCount": 3,
            "events": [{"timeUnixNano": "1774000000500000001", "name": "exception", "attributes": [{"key": "exception.type", "value": {"stringValue": "E"}}], "droppedAttributesCount": 4}],
            "droppedEventsCount": 5,
            "links": [{"traceId": "ffeeddccbbaa99887766554433221100", "spanId": "0807060504030201", "traceState": "c=3", "attributes": [{"key": "l", "value": {"stringValue": ""}}],
                "droppedAttributesCount": 6, "flags": 257}],
            "droppedLinksCount": 7, "status": {"code": 2, "message": "not found"}, "flags": 769}],
        "schemaUrl": "https://example.org/scope"}],
    "schemaUrl": "https://example.org/resource"}]}$json$ AS request \gset
CALL round_trip(:'request', '00112233-4455-6677-8899-aabbccddeeff');
SELECT accepted, rejected, message, protobuf_again, json_again, json::jsonb = :'request'::jsonb AS same FROM last_result;
-- what jsonb can't hold
SELECT $json${"resourceSpans": [{"scopeSpans": [{"scope": {"name": "z\u0000"}, "spans": [{
    "traceId": "00112233445566778899aabbccddee01", "spanId": "0102030405060708", "name": "", "startTimeUnixNano": "1774000000123456789", "endTimeUnixNano": "1774000000123456788",
    "attributes": [{"key": "nan", "value": {"doubleValue": "NaN"}}, {"key": "inf", "value": {"doubleValue": "-Infinity"}}, {"key": "zero", "value": {"doubleValue": -0.0}},
        {"key": "nul", "value": {"stringValue": "a\u0000b"}}, {"key": "k\u0000", "value": {"intValue": 1}}, {"key": "twice", "value": {"intValue": 1}}, {"key": "twice", "value": {"intValue": "2"}},
        {"key": "bytes", "value": {"bytesValue": ""}}, {"key": "in", "value": {"arrayValue": {"values": [{"doubleValue": "Infinity"}, {"bytesValue": "AA=="}]}}}],
    "status": {"message": "m\u0000"}}]}]}]}$json$ AS request \gset
CALL round_trip(:'request', '00112233-4455-6677-8899-aabbccddee01');
SELECT * FROM last_result;
-- two resources, three scopes, one span each: none is mixed up, and each is there once
SELECT $json${"resourceSpans": [
    {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "one"}}]}, "scopeSpans": [
        {"scope": {"name": "s1"}, "spans": [{"traceId": "00112233445566778899aabbccddee02", "spanId": "0000000000000001", "name": "a", "startTimeUnixNano": "1774000000000000001"}]},
        {"scope": {"name": "s2"}, "spans": [{"traceId": "00112233445566778899aabbccddee02", "spanId": "0000000000000002", "name": "b", "startTimeUnixNano": "1774000000000000002"}]}]},
    {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "two"}}]}, "scopeSpans": [
        {"scope": {"name": "s1"}, "spans": [{"traceId": "00112233445566778899aabbccddee02", "spanId": "0000000000000003", "name": "c", "startTimeUnixNano": "1774000000000000003"}]}]}]}$json$ AS request \gset
CALL round_trip(:'request', '00112233-4455-6677-8899-aabbccddee02');
SELECT r.accepted, r.json_again, p AS spans FROM last_result AS r, LATERAL (
    SELECT string_agg(concat_ws(' ', rs #>> '{resource,attributes,0,value,stringValue}', ss #>> '{scope,name}', s ->> 'name'), ', ' ORDER BY s ->> 'name') AS p
    FROM jsonb_array_elements(r.json::jsonb -> 'resourceSpans') AS rs, jsonb_array_elements(rs -> 'scopeSpans') AS ss, jsonb_array_elements(ss -> 'spans') AS s) AS x;
-- what SQL did to such a span since goes out with it
SELECT i.* FROM flowmaestro.ingest_otlp_json($json${"resourceSpans": [{"scopeSpans": [{"spans": [
    {"traceId": "00112233445566778899aabbccddee03", "spanId": "0000000000000031", "name": "runs", "startTimeUnixNano": "1774000000000000001"},
    {"traceId": "00112233445566778899aabbccddee03", "spanId": "0000000000000032", "name": "fails", "startTimeUnixNano": "1774000000000000002"},
    {"traceId": "00112233445566778899aabbccddee03", "spanId": "0000000000000033", "name": "is cancelled", "startTimeUnixNano": "1774000000000000003"}]}]}]}$json$) AS i;
SELECT flowmaestro.flush();
SELECT flowmaestro.set_span_attributes('00112233-4455-6677-0000-000000000031', '{"added": 1}'), flowmaestro.add_span_event('00112233-4455-6677-0000-000000000031', 'added', NULL, '2026-03-20 10:00+00'),
    flowmaestro.end_span('00112233-4455-6677-0000-000000000031', '{"out": 1}', ended_at => '2026-03-20 11:00+00'), flowmaestro.end_span_with_error('00112233-4455-6677-0000-000000000032', 'boom', ended_at => '2026-03-20 11:00+00'),
    flowmaestro.end_span('00112233-4455-6677-0000-000000000033', status => 'cancelled', ended_at => '2026-03-20 11:00+00');
SELECT flowmaestro.flush();
SELECT replace(flowmaestro.export_otlp('00112233-4455-6677-8899-aabbccddee03')::text, '{"traceId"', E'\n{"traceId"');

--
-- Whatever is in the columns, an export does not fail
--
\set trace '04a20000-0000-7000-8000-000000000004'
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, started_at, ended_at, status, error, attributes, events, links, otlp)
SELECT :'trace', ('04a20000-0000-7000-0000-' || lpad(i::text, 12, '0'))::uuid, 'odd', '', '2026-03-01 12:00+00', '2026-03-01 12:00+00', 'failed', e, a, e, e, e
FROM unnest(ARRAY['null', '5', '"x"', '[]', '{}', '[null, 5, "x", [], {}]', '[{"time": 5}, {"time": "2026-13-45T99:99:99"}, {"time": "2026-03-01T10:00:00.1+02:00"}, {"time": "x", "name": 5, "attributes": [], "ns": 5000, "dropped_attributes": -1, "raw": true}]',
    '[{"trace_id": "x", "span_id": 5, "flags": "x", "raw": {"trace_id": "%%", "span_id": "AA==", "attributes": {}}}]',
    '{"scope": "x", "kind": "x", "flags": -1, "status": 1e100, "message": 5, "start_ns": -1, "end": -5, "dropped_events": 1e30, "raw": {"name": "%", "attributes": [null, 5, {}, {"key": 5}, {"key": "k", "value": 5}, {"key": "k", "keyBytes": "%", "value": {"intValue": "x", "arrayValue": 1}}, {"key": "v", "value": {"doubleValue": "x"}}, {"key": "w", "value": {"kvlistValue": {"values": [5, {"value": {"arrayValue": {"values": [5]}}}]}}}]}}',
    '{"scope": "00000000-0000-4000-8000-000000000000", "raw": "x", "status": 2}']::jsonb[]) WITH ORDINALITY AS t (e, i), unnest(ARRAY['{}', '[1]', '"x"']::jsonb[]) WITH ORDINALITY AS u (a, j)
WHERE j = 1 + i % 3;
SELECT jsonb_path_query(flowmaestro.export_otlp(:'trace')::jsonb, '$.resourceSpans[*].scopeSpans[*].spans[*]') - 'traceId' - 'startTimeUnixNano' - 'endTimeUnixNano' AS span;
SELECT i.* FROM flowmaestro.ingest_otlp(flowmaestro.export_otlp_protobuf(:'trace')) AS i;

--
-- Spans whose scope is gone are not told as spans of this database
--
BEGIN;
DELETE FROM flowmaestro.otlp_scopes;
SELECT r ->> 'resource' AS resource, s ->> 'scope' AS scope, jsonb_array_length(s -> 'spans') > 0 AS spans
FROM jsonb_path_query(flowmaestro.export_otlp('00112233-4455-6677-8899-aabbccddeeff')::jsonb, '$.resourceSpans[*]') AS r,
    jsonb_array_elements(r -> 'scopeSpans') AS s;
ROLLBACK;

--
-- Nothing there, no rights, no writing
--
SELECT flowmaestro.export_otlp('05a20000-0000-7000-8000-000000000005') IS NULL, flowmaestro.export_otlp_protobuf('05a20000-0000-7000-8000-000000000005') IS NULL, flowmaestro.export_otlp(NULL) IS NULL;
BEGIN READ ONLY;
SELECT length(flowmaestro.export_otlp_protobuf(:'trace')) > 0, json_typeof(flowmaestro.export_otlp(:'trace'));
COMMIT;
CREATE ROLE exporting_reader;
SET ROLE exporting_reader;
SELECT flowmaestro.export_otlp(:'trace');
RESET ROLE;
SELECT flowmaestro.grant_reader('exporting_reader');
SET ROLE exporting_reader;
SELECT length(flowmaestro.export_otlp_protobuf('00112233-4455-6677-8899-aabbccddeeff')) > 0, json_typeof(flowmaestro.export_otlp('00112233-4455-6677-8899-aabbccddeeff'));
RESET ROLE;
DROP OWNED BY exporting_reader;
DROP ROLE exporting_reader;
DROP FUNCTION came_back, parts;
DROP PROCEDURE round_trip;
DROP VIEW last_result;
DROP TABLE kept, exported, results;
