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
\c :here
DROP DATABASE regress_flowmaestro_latin1;
