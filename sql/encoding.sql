-- A database that is not UTF-8: patterns and formats mean characters, not bytes.
\set here :DBNAME
CREATE DATABASE regress_flowmaestro_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\c regress_flowmaestro_latin1
SET client_encoding = 'UTF8';
SET client_min_messages = warning;
CREATE EXTENSION flowmaestro_spans;
SELECT pattern, flowmaestro.jsonschema_is_valid(jsonb_build_object('pattern', pattern), '"üa"') AS found
FROM unnest(ARRAY['^ü.$', '^\p{L}{2}$', '^[^a]a$', '^\u00fca$', '^..$', '^\w', '^.$', '\u4e00']) AS pattern;
SELECT flowmaestro.jsonschema_is_valid('{"maxLength": 1}', '"ü"') AS length,
    flowmaestro.jsonschema_is_valid('{"format": "idn-hostname"}', '"bücher.example"', formats => true) AS name,
    flowmaestro.jsonschema_is_valid('{"format": "iri"}', '"http://bücher.example/ü"', formats => true) AS iri,
    flowmaestro.jsonschema_is_valid('{"format": "regex"}', '"^ü(?<é>ä)$"', formats => true) AS regex,
    flowmaestro.jsonschema_is_valid('{"format": "hostname"}', '"bücher.example"', formats => true) AS no_hostname;
SELECT flowmaestro.validate_tool_input('{"name": "ü", "schema": {"enum": ["ü"]}}'::jsonb, '"x"') ->> 'message' AS message;
-- OTLP is in UTF-8, its JSON in the encoding of the database
SET flowmaestro.write_mode = transactional;
SELECT (flowmaestro.create_span('grün', 'validation', 'ä', '{"ö": "ü", "text": "[\"\\u00fc\"]"}', '"ß"', '01a20000-0000-7000-8000-000000000001', NULL, '01a20000-0000-7000-0000-00000000000a', '2026-03-01 10:00+00')).trace_id AS trace \gset
SELECT flowmaestro.end_span('01a20000-0000-7000-0000-00000000000a', ended_at => '2026-03-01 11:00+00');
SELECT flowmaestro.export_otlp(:'trace')::jsonb #> '{resourceSpans,0,scopeSpans,0,spans,0}' AS span;
SELECT flowmaestro.export_otlp_protobuf(:'trace') AS request \gset
SELECT position('\x6772c3bc6e' IN :'request'::bytea) > 0 AS utf8;
DELETE FROM flowmaestro.execution_spans;
SELECT * FROM flowmaestro.ingest_otlp(:'request');
SELECT name, entity_id, input, attributes ->> 'ö' AS attribute FROM flowmaestro.execution_spans;
SELECT flowmaestro.export_otlp_protobuf(:'trace') IS NOT NULL AS again;
-- JSON in a text stays text if it has escapes that could have no character here
SELECT input FROM flowmaestro.map_otlp_attributes('{"input.value": "[\"\\u4e00\"]"}');
SELECT input FROM flowmaestro.map_otlp_attributes('{"input.value": "[\"ü\"]"}');
\c :here
DROP DATABASE regress_flowmaestro_latin1;
