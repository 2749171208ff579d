-- Tools: registry, validation, coercion, and the answers that a model gets.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
\set VERBOSITY default
\pset null '(null)'

--
-- The two examples of the original document, word for word
--
SELECT flowmaestro.register_tool('search_arxiv',
    '{"type": "object",
      "properties": {"query": {"type": "string", "minLength": 1},
                     "maxResults": {"type": "integer", "minimum": 1, "maximum": 50}},
      "required": ["query"]}');
SELECT flowmaestro.validate_tool_input('search_arxiv', '{"query": "", "maxResults": 1000}') ->> 'message' =
    E'Validation errors:\n- query: String must contain at least 1 character\n- maxResults: Number must be less than or equal to 50' AS word_for_word;
SELECT jsonb_pretty(flowmaestro.validate_tool_input('search_arxiv', '{"query": "", "maxResults": 1000}'));
SELECT flowmaestro.validate_tool_input('search_arxiv', '{"query": "quantum computing", "maxResults": 10}');
SELECT flowmaestro.validate_tool_input('{"name": "calculate", "schema": {"type": "object",
      "properties": {"expression": {"type": "string", "minLength": 1},
                     "precision": {"type": "integer", "minimum": 0, "maximum": 10}},
      "required": ["expression"]}}'::jsonb, '{"expression": "", "precision": 20}') ->> 'message' =
    E'Validation errors:\n- expression: String must contain at least 1 character\n- precision: Number must be less than or equal to 10' AS word_for_word;

--
-- Texts and codes: each value under its schema, as argument "v"
--
CREATE TEMP TABLE texts (id serial, schema jsonb, value jsonb, text text, code text);
INSERT INTO texts (schema, value, text, code) VALUES
    ('{"type": "string"}', NULL, 'Required', 'invalid_type'),
    -- wrong types
    ('{"type": "string"}', '1', 'Expected string, received number', 'invalid_type'),
    ('{"type": "number"}', 'true', 'Expected number, received boolean', 'invalid_type'),
    ('{"type": "integer"}', '[]', 'Expected number, received array', 'invalid_type'),
    ('{"type": "boolean"}', '"yes"', 'Expected boolean, received string', 'invalid_type'),
    ('{"type": "array"}', '{}', 'Expected array, received object', 'invalid_type'),
    ('{"type": "object"}', 'null', 'Expected object, received null', 'invalid_type'),
    ('{"type": "null"}', '0', 'Expected null, received number', 'invalid_type'),
    ('{"type": ["string", "null"]}', '1', 'Expected string, received number', 'invalid_type'),
    ('{"type": ["string", "integer"]}', 'true', 'Expected string | number, received boolean', 'invalid_type'),
    -- strings
    ('{"minLength": 1}', '""', 'String must contain at least 1 character', 'too_small'),
    ('{"minLength": 2}', '"a"', 'String must contain at least 2 characters', 'too_small'),
    ('{"maxLength": 1}', '"ab"', 'String must contain at most 1 character', 'too_big'),
    ('{"maxLength": 0}', '"a"', 'String must contain at most 0 characters', 'too_big'),
    ('{"minLength": 3, "maxLength": 3}', '"ab"', 'String must contain exactly 3 characters', 'too_small'),
    ('{"minLength": 1, "maxLength": 1}', '"ab"', 'String must contain exactly 1 character', 'too_big'),
    ('{"pattern": "^[a-z]+$"}', '"A"', 'Invalid', 'invalid_string'),
    ('{"pattern": "x\\.y"}', '"A"', 'Invalid input: must include "x.y"', 'invalid_string'),
    ('{"pattern": "^https://"}', '"A"', 'Invalid input: must start with "https://"', 'invalid_string'),
    ('{"pattern": "\\.pdf$"}', '"A"', 'Invalid input: must end with ".pdf"', 'invalid_string'),
    -- enum
    ('{"enum": ["a", "b"]}', '"c"', 'Invalid enum value. Expected ''a'' | ''b'', received ''c''', 'invalid_enum_value'),
    ('{"enum": ["a", "b"]}', '1', 'Expected ''a'' | ''b'', received number', 'invalid_type'),
    ('{"type": "string", "enum": ["a", "b"]}', '1', 'Expected ''a'' | ''b'', received number', 'invalid_type'),
    ('{"type": "null", "enum": [null]}', '1', 'Expected null, received number', 'invalid_type'),
    ('{"enum": [1, 2.50, null]}', '3', 'Invalid enum value. Expected 1 | 2.5 | null, received 3', 'invalid_enum_value'),
    -- numbers
    ('{"minimum": 0.50}', '0', 'Number must be greater than or equal to 0.5', 'too_small'),
    ('{"exclusiveMinimum": 0}', '0', 'Number must be greater than 0', 'too_small'),
    ('{"maximum": 1e21}', '1e22', 'Number must be less than or equal to 1e+21', 'too_big'),
    ('{"exclusiveMaximum": -1}', '0', 'Number must be less than -1', 'too_big'),
    ('{"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true}', '1', 'Number must be greater than 1', 'too_small'),
    ('{"type": "integer"}', '1.5', 'Expected integer, received float', 'invalid_type'),
    ('{"multipleOf": 0.01}', '0.075', 'Number must be a multiple of 0.01', 'not_multiple_of'),
    ('{"maximum": 1e-7}', '1', 'Number must be less than or equal to 1e-7', 'too_big'),
    ('{"maximum": 0.000001}', '1', 'Number must be less than or equal to 0.000001', 'too_big'),
    ('{"maximum": 123456789012345678901}', '1e30', 'Number must be less than or equal to 123456789012345678901', 'too_big'),
    -- jsonb has no number that is not finite: 1e400 is one like others, and a string is none
    ('{"type": "number"}', '"Infinity"', 'Expected number, received string', 'invalid_type'),
    ('{"type": "number", "maximum": 1}', '1e400', 'Number must be less than or equal to 1', 'too_big'),
    -- arrays and objects
    ('{"minItems": 1}', '[]', 'Array must contain at least 1 element', 'too_small'),
    ('{"maxItems": 1}', '[1, 2]', 'Array must contain at most 1 element', 'too_big'),
    ('{"minItems": 2, "maxItems": 2}', '[1]', 'Array must contain exactly 2 elements', 'too_small'),
    ('{"prefixItems": [true, true], "items": false}', '[1, 2, 3, 4]', 'Array must contain at most 2 elements', 'too_big'),
    ('{"uniqueItems": true}', '[1, 1]', 'Array items must be unique', 'custom'),
    ('{"properties": {"a": true}, "additionalProperties": false}', '{"a": 1, "b": 2}', 'Unrecognized key in object: ''b''', 'unrecognized_keys'),
    ('{"properties": {"a": true}, "additionalProperties": false}', '{"a": 1, "c": 2, "b": 3}', 'Unrecognized keys in object: ''b'', ''c''', 'unrecognized_keys'),
    ('{"properties": {"a": true}, "unevaluatedProperties": false}', '{"a": 1, "b": 2}', 'Unrecognized key in object: ''b''', 'unrecognized_keys'),
    ('{"properties": {"a": false}}', '{"a": 1}', 'Unrecognized key in object: ''a''', 'unrecognized_keys'),
    ('{"minProperties": 1}', '{}', 'Object must contain at least 1 key', 'too_small'),
    ('{"maxProperties": 1}', '{"a": 1, "b": 2}', 'Object must contain at most 1 key', 'too_big'),
    -- constants and unions
    ('{"const": "a"}', '"b"', 'Invalid literal value, expected "a"', 'invalid_literal'),
    ('{"type": "string", "const": "a"}', '1', 'Invalid literal value, expected "a"', 'invalid_literal'),
    ('{"const": {"a": [1]}}', '1', 'Invalid literal value, expected {"a": [1]}', 'invalid_literal'),
    ('{"anyOf": [{"type": "string"}, {"type": "number"}]}', 'true', 'Invalid input', 'invalid_union'),
    ('{"oneOf": [{"minimum": 1}, {"maximum": 3}]}', '2', 'Invalid input', 'invalid_union'),
    ('{"anyOf": [{"type": "integer", "maximum": 5}, {"type": "null"}]}', '7', 'Number must be less than or equal to 5', 'too_big'),
    ('{"not": {"type": "string"}}', '"a"', 'Invalid input', 'custom'),
    ('{"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
                 {"type": "object", "properties": {"kind": {"enum": ["b"]}}, "required": ["kind"]}]}', '1', 'Expected object, received number', 'invalid_type'),
    -- formats
    ('{"format": "email"}', '"a"', 'Invalid email', 'invalid_string'),
    ('{"format": "uri"}', '"a"', 'Invalid url', 'invalid_string'),
    ('{"format": "uuid"}', '"a"', 'Invalid uuid', 'invalid_string'),
    ('{"format": "date-time"}', '"a"', 'Invalid datetime', 'invalid_string'),
    ('{"format": "date"}', '"a"', 'Invalid date', 'invalid_string'),
    ('{"format": "ipv4"}', '"a"', 'Invalid ip', 'invalid_string'),
    ('{"format": "ipv6"}', '"a"', 'Invalid ip', 'invalid_string'),
    ('{"format": "hostname"}', '"-"', 'Invalid hostname', 'invalid_string');
CREATE FUNCTION pg_temp.tool(schema jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('name', 't', 'schema', jsonb_build_object('type', 'object', 'required', '["v"]'::jsonb,
        'properties', jsonb_build_object('v', schema)) || CASE WHEN schema ? '$schema' THEN jsonb_build_object('$schema', schema -> '$schema') ELSE '{}' END)
$$;
SELECT t.id, t.schema, t.value, r
FROM texts AS t, flowmaestro.validate_tool_input(pg_temp.tool(t.schema), CASE WHEN t.value IS NULL THEN '{}' ELSE jsonb_build_object('v', t.value) END) AS r
WHERE r -> 'validationErrors' IS DISTINCT FROM jsonb_build_array(jsonb_build_object('path', 'v', 'message', t.text, 'code', t.code))
   OR r ->> 'message' IS DISTINCT FROM E'Validation errors:\n- v: ' || t.text;
SELECT count(*) FROM texts;

--
-- Paths and order
--
CREATE FUNCTION pg_temp.told(schema jsonb, value jsonb) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT e ->> 'path' || ': ' || (e ->> 'message') || ' (' || (e ->> 'code') || ')'
    FROM jsonb_array_elements(flowmaestro.validate_tool_input(jsonb_build_object('name', 't', 'schema', schema), value) -> 'validationErrors') AS e
$$;
-- the root has no prefix in the message
SELECT flowmaestro.validate_tool_input('{"name": "t", "schema": {"type": "object"}}', '[]') ->> 'message';
SELECT * FROM pg_temp.told('{"type": "string"}', NULL);
-- members as "required" lists them, then in jsonb's order; keys too many come last
SELECT * FROM pg_temp.told('{"type": "object", "additionalProperties": false, "required": ["zeta", "missing", "alpha"],
    "properties": {"alpha": {"type": "string"}, "zeta": {"type": "string"}, "missing": {}, "bb": {"type": "string"}, "a": {"type": "string"}}}',
    '{"alpha": 1, "zeta": 2, "bb": 3, "a": 4, "extra": 5, "b": 6}');
-- through references, arrays and nested objects
SELECT * FROM pg_temp.told('{"$defs": {"line": {"type": "object", "required": ["sku", "n"], "properties": {"n": {"type": "integer", "minimum": 1, "multipleOf": 5}, "sku": {"type": "string", "minLength": 3, "pattern": "^[A-Z]+$"}}}},
    "type": "object", "properties": {"order": {"type": "object", "properties": {"lines": {"type": "array", "minItems": 3, "items": {"$ref": "#/$defs/line"}}}}}}',
    '{"order": {"lines": [{"n": 0.5, "sku": "a"}, {"n": -3}]}}');
-- the branch that was meant
SELECT v, array(SELECT * FROM pg_temp.told('{"type": "object", "properties": {"shape": {"oneOf": [
    {"type": "object", "required": ["kind", "radius"], "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}}},
    {"$ref": "#/$defs/box"}]}}, "$defs": {"box": {"type": "object", "required": ["kind", "side"], "properties": {"kind": {"const": "box"}, "side": {"type": "number", "minimum": 0}}}}}', v)) AS told
FROM (VALUES ('{"shape": {"kind": "circle"}}'::jsonb), ('{"shape": {"kind": "box", "side": -1}}'), ('{"shape": {"kind": "star"}}'), ('{"shape": {}}'), ('{"shape": "box"}')) AS t (v);
-- names of members, dependencies
SELECT * FROM pg_temp.told('{"propertyNames": {"maxLength": 2}, "dependentRequired": {"a": ["b"]}}', '{"a": 1, "abc": 2}');
-- never a long value; a long list is cut; many issues are counted
SELECT length(t) FROM pg_temp.told(jsonb_build_object('enum', jsonb_build_array('a', 'b')), to_jsonb(repeat('x', 5000))) AS t;
SELECT right(t, 60) FROM pg_temp.told(jsonb_build_object('enum', (SELECT jsonb_agg('value ' || i) FROM generate_series(1, 1000) AS i)), '"x"') AS t;
SELECT jsonb_array_length(r -> 'validationErrors'), right(r ->> 'message', 60)
FROM flowmaestro.validate_tool_input('{"name": "t", "schema": {"items": {"type": "boolean"}}}'::jsonb, (SELECT jsonb_agg(i) FROM generate_series(1, 1000) AS i)) AS r;
SELECT right(t, 80) FROM pg_temp.told('{"additionalProperties": false}', (SELECT jsonb_object_agg('key ' || i, i) FROM generate_series(1, 1000) AS i)) AS t;
-- lengths are code points
SELECT * FROM pg_temp.told('{"maxLength": 1}', '"😀"');

--
-- Coercion never guesses, and says what it did
--
SELECT c.schema, c.value, r -> 'data' -> 'v' AS data, r -> 'coerced' AS coerced, r -> 'validationErrors' -> 0 ->> 'message' AS error
FROM (VALUES
    (1, '{"type": "integer"}'::jsonb, '"123"'::jsonb),
    (2, '{"type": "number"}', '"-1.5e3"'),
    (3, '{"type": "integer"}', '"1.0"'),
    (4, '{"type": "integer"}', '"1.5"'),
    (5, '{"type": ["integer", "number"]}', '"1.5"'),
    (6, '{"type": "number"}', '""'),
    (7, '{"type": "number"}', '" "'),
    (8, '{"type": "number"}', '"0x1f"'),
    (9, '{"type": "number"}', '"12abc"'),
    (10, '{"type": "number"}', '"01"'),
    (11, '{"type": "number"}', '"1e999999"'),
    (12, '{"type": "boolean"}', '"TRUE"'),
    (13, '{"type": "boolean"}', '"false"'),
    (14, '{"type": "boolean"}', '"yes"'),
    (15, '{"type": "boolean"}', '1'),
    (16, '{"type": "string"}', '5'),
    (17, '{"type": "array", "items": {"type": "integer"}}', '"[1, \"2\"]"'),
    (18, '{"type": "object"}', '"{\"a\": [1]}"'),
    (19, '{"type": "array"}', '"{}"'),
    (20, '{"type": "array"}', '"[1,"'),
    (21, '{"type": "object"}', '"{\"a\": \"\\u0000\"}"'),
    (22, '{"type": "array"}', '"a, b"'),
    (23, '{"type": "string"}', '"[1]"'),
    (24, '{"type": "integer", "maximum": 50}', '"1000"'),
    (25, '{"anyOf": [{"type": "integer"}, {"type": "null"}]}', '"5"'),
    (26, '{"type": "integer"}', 'null'),
    (27, '{"type": "null"}', '"null"')) AS c (id, schema, value),
    flowmaestro.validate_tool_input(pg_temp.tool(c.schema), jsonb_build_object('v', c.value)) AS r
ORDER BY c.id;
-- a null is left out where its member is not required; others stay
SELECT flowmaestro.validate_tool_input('search_arxiv', '{"query": "a", "maxResults": null}');
SELECT flowmaestro.validate_tool_input('{"name": "t", "schema": {"properties": {"a": {"type": ["integer", "null"]}, "b": {"items": {"type": "integer"}}}}}'::jsonb, '{"a": null, "b": [null]}') ->> 'message';
-- arguments as one string, as OpenAI sends them; none at all
SELECT flowmaestro.validate_tool_input('search_arxiv', '"{\"query\": \"a\", \"maxResults\": \"10\"}"');
SELECT flowmaestro.validate_tool_input('search_arxiv', NULL) ->> 'message';
SELECT flowmaestro.validate_tool_input('{"name": "t", "schema": {"type": "object"}}'::jsonb, NULL);
SELECT flowmaestro.validate_tool_input('{"name": "t", "schema": {"type": "array"}}'::jsonb, NULL);
-- what is valid stays as it is, and so do keys that the schema does not know
SELECT flowmaestro.validate_tool_input('{"name": "t", "schema": {"properties": {"a": {}, "n": {"type": ["string", "integer"]}}}}'::jsonb, '{"a": "1", "n": "2", "other": "true"}');
-- coercion alone; doing it again changes nothing
SELECT flowmaestro.coerce_tool_arguments('search_arxiv', '{"query": 5, "maxResults": "10", "deep": "[1]"}');
SELECT bool_and(flowmaestro.coerce_tool_arguments(pg_temp.tool(t.schema), once) = once) AS stable
FROM texts AS t, flowmaestro.coerce_tool_arguments(pg_temp.tool(t.schema), jsonb_build_object('v', t.value)) AS once;

--
-- Output is data: checked, never coerced
--
SELECT flowmaestro.register_tool('weather', '{"type": "object"}', '{"type": "object", "required": ["celsius"], "properties": {"celsius": {"type": "number"}}}', 'Weather of a place', '2');
SELECT flowmaestro.validate_tool_output('weather', '{"celsius": 21.5}');
SELECT flowmaestro.validate_tool_output('weather', '{"celsius": "21.5"}') ->> 'message';
SELECT flowmaestro.validate_tool_output('weather', NULL) ->> 'message';
SELECT flowmaestro.validate_tool_output('search_arxiv', '[1, 2]');

--
-- Registration, and definitions in every form
--
SELECT flowmaestro.register_tool('bad', '{"type": "object", "properties": {"q": {"type": "strin"}}}');
SELECT flowmaestro.register_tool('bad', '{"type": "object"}', '{"properties": {"q": {"pattern": "(a"}}}');
SELECT flowmaestro.register_tool('', '{}');
SELECT flowmaestro.register_tool('{a}', '{}');
SELECT flowmaestro.register_tool(NULL, '{}');
SELECT flowmaestro.import_tools('[{"type": "function", "function": {"name": "openai_tool", "description": "of OpenAI", "parameters": {"type": "object", "required": ["q"]}}},
    {"type": "function", "function": {"name": "openai_bare"}},
    {"name": "anthropic_tool", "description": "of Anthropic", "input_schema": {"type": "object"}}]', version => '2026-11');
SELECT flowmaestro.import_tools('{"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "mcp_tool", "description": "of MCP", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object", "required": ["text"]}}]}}');
SELECT flowmaestro.import_tools('{"name": "plain_tool", "schema": true}');
SELECT name, input_schema, output_schema, description, version FROM flowmaestro.tools ORDER BY name;
SELECT flowmaestro.import_tools('5');
SELECT flowmaestro.import_tools('[{"name": "x"}]');
SELECT flowmaestro.import_tools('[{"name": "ok", "schema": true}, {"name": "bad", "schema": {"minLength": -1}}]');
SELECT count(*) FROM flowmaestro.tools WHERE name = 'ok';
SELECT flowmaestro.validate_tool_input('nobody', '{}');
SELECT flowmaestro.validate_tool_input(NULL::text, '{}');
SELECT flowmaestro.validate_tool_input('{"schema": {}}'::jsonb, '{}');
SELECT flowmaestro.validate_tool_input('[]'::jsonb, '{}');
SELECT flowmaestro.validate_tool_input('{"name": "t", "schema": {"type": "strin"}}'::jsonb, '{}');
-- a definition is replaced
SELECT flowmaestro.register_tool('weather', '{"type": "array"}', version => '3');
SELECT flowmaestro.validate_tool_input('weather', '{}') ->> 'message', (SELECT version FROM flowmaestro.tools WHERE name = 'weather');

--
-- A call, as a span of a trace that is given or current, or if told to
--
SELECT flowmaestro.flush();
TRUNCATE flowmaestro.execution_spans;
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": ""}', trace_id => '99999999-9999-4999-8999-000000000001') ->> 'message';
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": "a", "maxResults": "7"}', trace_id => '99999999-9999-4999-8999-000000000001', parent_span_id => '99999999-9999-4999-8999-000000000002') -> 'data';
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": "a"}', record => false, trace_id => '99999999-9999-4999-8999-000000000001') -> 'data';
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": "not recorded"}') -> 'data';
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": "a trace of its own"}', record => true) -> 'data';
SELECT flowmaestro.validate_tool_call('made_up', '{}', record => true);
BEGIN;
SET LOCAL flowmaestro.traceparent = '00-99999999999949998999000000000001-0000000000000003-01';
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": "in the current trace"}') -> 'data';
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": "not recorded"}', record => false) -> 'data';
COMMIT;
SELECT flowmaestro.flush();
SELECT name, span_type, entity_id, status, input, attributes, error, output ? 'success' AS ok, parent_span_id,
    trace_id = '99999999-9999-4999-8999-000000000001' AS given FROM flowmaestro.execution_spans ORDER BY created_at, started_at;

--
-- Who may: a writer validates, and registers nothing
--
CREATE ROLE regress_flowmaestro_tools;
SELECT flowmaestro.grant_writer('regress_flowmaestro_tools');
SET ROLE regress_flowmaestro_tools;
SELECT flowmaestro.validate_tool_call('search_arxiv', '{"query": "a"}', record => true) -> 'success' AS ok;
SELECT flowmaestro.coerce_tool_arguments('{"name": "t", "schema": {"type": "integer"}}'::jsonb, '"5"');
-- a reference whose pointer has escapes
SELECT flowmaestro.coerce_tool_arguments('{"name": "t", "schema": {"properties": {"v": {"$ref": "#/$defs/a~1b~0c"}}, "$defs": {"a/b~c": {"type": "integer"}}}}'::jsonb, '{"v": "5"}');
SELECT flowmaestro.register_tool('mine', '{}');
SELECT flowmaestro.import_tools('[]');
DELETE FROM flowmaestro.tools;
RESET ROLE;
DROP OWNED BY regress_flowmaestro_tools;
DROP ROLE regress_flowmaestro_tools;
DROP TABLE texts;
TRUNCATE flowmaestro.tools;
