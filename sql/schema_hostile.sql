-- JSON Schema: what is made to break it. An answer or a clear error, never a
-- crash, and never a wait that cannot be ended.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
\set VERBOSITY terse

-- the answer of a validation, or the SQLSTATE of its error
CREATE FUNCTION answer(schema text, instance text, formats boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN flowmaestro.jsonschema_is_valid(schema::jsonb, instance::jsonb, formats => formats);
EXCEPTION WHEN OTHERS OR query_canceled THEN
    RETURN SQLSTATE;
END $$;

--
-- Depth. 54001 is stack_depth_limit_exceeded, 54000s are limits.
--
SELECT answer('true', repeat('[', 1000000) || repeat(']', 1000000)) AS instance,
       answer(repeat('{"not":', 1000000) || 'true' || repeat('}', 1000000), '1') AS schema;
-- the server holds what is 5,000 deep; at any stack size it ends well
SELECT s, answer('{"items": {"$ref": "#"}}', repeat('[', n) || repeat(']', n)) IN ('true', '54001') AS recursive,
       answer('{"additionalProperties": {"$ref": "#"}, "unevaluatedProperties": false}', repeat('{"a":', n) || '1' || repeat('}', n)) IN ('true', '54001') AS tracked,
       answer(repeat('{"not":', n) || 'true' || repeat('}', n), '1') IN ('true', 'false', '54001') AS nested,
       answer('{"uniqueItems": true}', '[' || repeat('[', n) || repeat(']', n) || ',' || repeat('[', n) || repeat(']', n) || ']') IN ('false', '54001') AS compared
FROM unnest('{100kB, 500kB, 2MB}'::text[]) AS s, unnest('{100, 5000}'::int[]) AS n, set_config('max_stack_depth', s, false);
RESET max_stack_depth;
SELECT answer('{"items": {"$ref": "#"}}', repeat('[', 500) || repeat(']', 500)) AS sure;
-- a chain of references, and a long way to an error
SELECT answer(jsonb_build_object('$ref', '#/$defs/1', '$defs', (SELECT jsonb_object_agg(i, jsonb_build_object('$ref', '#/$defs/' || i + 1)) || '{"3001": true}' FROM generate_series(1, 3000) AS i))::text, '1')
       IN ('true', '54001') AS chain;
SELECT length(flowmaestro.jsonschema_validate('{"items": {"$ref": "#"}, "not": {"type": "number"}}', (repeat('[', 300) || '1' || repeat(']', 300))::jsonb)->'errors'->0->>'keywordLocation') AS path;

--
-- References in circles: without progress an error, with it an answer
--
SELECT answer('{"$ref": "#"}', '1'), answer('{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}', '1'),
       answer('{"anyOf": [{"type": "string"}, {"not": {"$ref": "#"}}]}', '1'), answer('{"dependentSchemas": {"a": {"$ref": "#"}}}', '{"a": 1}'),
       answer('{"$id": "x:a", "$dynamicRef": "#m", "$dynamicAnchor": "m"}', '1') AS dynamic;
SELECT answer('{"$id": "x:a", "$dynamicAnchor": "m", "$defs": {"b": {"$id": "x:b", "$dynamicAnchor": "m", "$dynamicRef": "#m"}}, "allOf": [{"$ref": "x:b"}]}', '1') AS dynamic_two;
SELECT answer('{"properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}}', '{"n": 1, "next": {"n": 2, "next": {"n": "x"}}}') AS progress;
-- every level doubles the work: it can be ended
SET statement_timeout = '100ms';
SELECT answer(jsonb_build_object('$ref', '#/$defs/1', '$defs', (SELECT jsonb_object_agg(i, format('{"allOf": [{"$ref": "#/$defs/%1$s"}, {"$ref": "#/$defs/%1$s"}]}', i + 1)::jsonb) || '{"61": {}, "62": true}'
              FROM generate_series(1, 60) AS i))::text, '1') AS doubling;
SELECT answer('{"pattern": "^(a+)+$"}', to_jsonb(repeat('a', 60) || 'b')::text) IN ('54000', '57014', 'false') AS pattern;
RESET statement_timeout;

--
-- Size
--
SELECT flowmaestro.jsonschema_is_valid(jsonb_build_object('anyOf', (SELECT jsonb_agg(jsonb_build_object('const', i)) FROM generate_series(1, 100000) AS i)), '100000') AS first_or_last,
       flowmaestro.jsonschema_is_valid(jsonb_build_object('oneOf', (SELECT jsonb_agg(jsonb_build_object('properties', jsonb_build_object('k' || i, false))) FROM generate_series(1, 100000) AS i)), '{"k1": 1}') AS many;
SELECT flowmaestro.jsonschema_is_valid(jsonb_build_object('enum', (SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 100000) AS i)), to_jsonb(md5('77777'))) AS enum,
       flowmaestro.jsonschema_is_valid(jsonb_build_object('required', (SELECT jsonb_agg('k' || i) FROM generate_series(1, 100000) AS i)), (SELECT jsonb_object_agg('k' || i, 1) FROM generate_series(1, 100000) AS i)) AS required;
CREATE TABLE large AS SELECT jsonb_agg(repeat(md5(i::text), 5)) AS doc FROM generate_series(1, 320000) AS i;
SELECT pg_size_pretty(avg(length(doc::text))) FROM large;
SELECT flowmaestro.jsonschema_is_valid('{"items": {"type": "string", "maxLength": 160, "pattern": "^[0-9a-f]*$"}, "uniqueItems": true}', doc) AS all_right,
       flowmaestro.jsonschema_is_valid('{"prefixItems": [true], "unevaluatedItems": {"minLength": 161}}', doc) AS none_right FROM large;
SELECT jsonb_array_length(flowmaestro.jsonschema_validate('{"items": {"maxLength": 10}}', doc)->'errors') AS errors FROM large;
SET statement_timeout = '100ms';
SELECT flowmaestro.jsonschema_is_valid('{"allOf": [{"uniqueItems": true}, {"uniqueItems": true}, {"uniqueItems": true}, {"uniqueItems": true}, {"uniqueItems": true}, {"uniqueItems": true}, {"uniqueItems": true}]}', doc) FROM large;
RESET statement_timeout;
DROP TABLE large;

--
-- Numbers and strings
--
SELECT answer('{"type": "integer"}', '1e100000') AS huge, answer('{"maximum": 1e100000}', '1e100001') AS above, answer('{"minimum": 1e-16000}', '1e-16001') AS below,
       answer('{"multipleOf": 1e100000}', '3e100000') AS multiple, answer('{"multipleOf": 3}', '1e100000') AS not_multiple, answer('{"multipleOf": 1e-10000}', '1e100000') AS far,
       answer('{"const": 1e100000}', '1e100000') AS equal, answer('{"minLength": 1e100000}', '"a"') AS length, answer('true', '1e1000000') AS too_much;
SELECT answer(format('{"multipleOf": %s}', repeat('7', 100)), repeat('7', 200)) AS multiple, answer(format('{"multipleOf": %s}', repeat('7', 100)), repeat('7', 199)) AS not_multiple,
       answer(format('{"multipleOf": 0.%s}', repeat('0', 99) || '1'), '12345.678') AS fraction, answer(format('{"multipleOf": %s}', repeat('9', 50000)), repeat('9', 100000)) AS long;
SELECT answer('{"const": "\u0000"}', '1') AS nul_schema, answer('true', '"\u0000"') AS nul_instance, answer('{"pattern": "^\\u0000$"}', '"a"') AS nul_pattern;
SELECT answer('{"properties": {"": {"type": "string"}}, "required": [""]}', '{"": "x"}') AS empty_name, answer('{"$defs": {"": {"": false}}, "$ref": "#/$defs//"}', '1') AS empty_steps,
       answer('{"$ref": "#/$defs/%25%20~01", "$defs": {"% ~1": false}}', '1') AS escaped, answer('{"$ref": "#/$defs/%zz"}', '1') AS broken_escape,
       answer('{"$ref": "#/allOf/01", "allOf": [true, true]}', '1') AS leading_zero, answer('{"$ref": "#/allOf/99999999999999999999", "allOf": [true]}', '1') AS large_index,
       answer('{"$id": "../../../..", "$ref": "../..#/x"}', '1') AS dots, answer('{"$id": "::::", "$ref": "//[?#"}', '1') AS odd_uri;
SELECT flowmaestro.jsonschema_is_valid(jsonb_build_object('$id', repeat('a/', 100000) || repeat('../', 100000)), '1') AS long_uri;

--
-- 100,000 schemas: memory stays bounded
--
SELECT count(*) FILTER (WHERE flowmaestro.jsonschema_is_valid(jsonb_build_object('properties', jsonb_build_object('a', jsonb_build_object('const', i))), jsonb_build_object('a', i))) AS valid
FROM generate_series(1, 100000) AS i;
SELECT sum(total_bytes) BETWEEN 4 * 1024 * 1024 AND 10 * 1024 * 1024 AS bounded FROM pg_backend_memory_contexts WHERE name LIKE 'JSON Schema%';

-- so it does when every error quotes a large constant
\c
CREATE FUNCTION status_kb(what text) RETURNS bigint LANGUAGE sql AS $$ SELECT substring(pg_read_file('/proc/self/status') FROM what || ':\s+(\d+)')::bigint $$;
SELECT status_kb('VmHWM') AS peak_before \gset
SELECT jsonb_array_length(flowmaestro.validate_tool_input(jsonb_build_object('name', 'quotes', 'schema', jsonb_build_object('items', jsonb_build_object('const', repeat('x', 200000)))),
                          (SELECT jsonb_agg(i) FROM generate_series(1, 3000) AS i))->'validationErrors') AS told;
-- a sanitizer, which maps terabytes, keeps what was freed for a while
SELECT status_kb('VmHWM') - :peak_before < 200 * 1024 OR status_kb('VmSize') > 2::bigint ^ 30 AS bounded;
DROP FUNCTION status_kb;

DROP FUNCTION answer;
