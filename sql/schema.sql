-- JSON Schema: what the functions answer. What the keywords mean is the matter
-- of the official test suite (test/conformance).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
\set VERBOSITY terse

--
-- Yes or no, and why
--
SELECT flowmaestro.jsonschema_is_valid('{"type": "object", "required": ["a"]}', '{"a": 1}');
SELECT flowmaestro.jsonschema_is_valid('{"type": "object", "required": ["a"]}', '{"b": 1}');
SELECT flowmaestro.jsonschema_is_valid(NULL, '1') IS NULL, flowmaestro.jsonschema_is_valid('true', NULL) IS NULL;
SELECT flowmaestro.jsonschema_validate('{"type": "object", "required": ["a"]}', '{"a": 1}');

-- every error of every keyword: where, by which keyword, and in which words
CREATE FUNCTION errors(schema jsonb, instance jsonb, draft text DEFAULT '2020-12', formats boolean DEFAULT false)
RETURNS TABLE (instance_location text, keyword_location text, absolute text, keyword text, error text)
LANGUAGE sql AS $$
    SELECT e->>'instanceLocation', e->>'keywordLocation', e->>'absoluteKeywordLocation', e->>'keyword', e->>'error'
    FROM jsonb_array_elements(flowmaestro.jsonschema_validate(schema, instance, draft, formats)->'errors') AS e
$$;
SELECT instance_location, keyword, error FROM errors('{
    "type": "object",
    "required": ["z", "missing"],
    "minProperties": 20, "maxProperties": 3,
    "properties": {
        "type": {"type": "string"}, "types": {"type": ["string", "null"]}, "three": {"type": ["string", "null", "object"]},
        "integer": {"type": "integer", "maximum": 1},
        "enum": {"enum": ["a", 1, null]}, "const": {"const": {"a": 1}},
        "short": {"minLength": 2}, "empty": {"minLength": 1}, "long": {"maxLength": 1},
        "pattern": {"pattern": "^a\\d$"}, "format": {"format": "ipv4"},
        "min": {"minimum": 1.5}, "max": {"maximum": -1}, "xmin": {"exclusiveMinimum": 1}, "xmax": {"exclusiveMaximum": 1},
        "multiple": {"multipleOf": 0.01},
        "few": {"minItems": 2}, "many": {"maxItems": 1}, "unique": {"uniqueItems": true},
        "contains": {"contains": {"type": "string"}}, "mincontains": {"contains": true, "minContains": 3},
        "maxcontains": {"contains": true, "maxContains": 1},
        "prefix": {"prefixItems": [{"type": "string"}], "items": false},
        "names": {"propertyNames": {"maxLength": 1}}, "patterns": {"patternProperties": {"^x": {"type": "null"}}},
        "closed": {"additionalProperties": false}, "other": {"additionalProperties": {"type": "null"}},
        "dependent": {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"a": {"required": ["c"]}}},
        "not": {"not": {}}, "any": {"anyOf": [{"type": "null"}, {"minimum": 5}]},
        "one": {"oneOf": [{"type": "number"}, {"minimum": 0}]}, "none": {"oneOf": [{"type": "null"}, {"type": "object"}]},
        "if": {"if": {"minimum": 0}, "then": {"type": "null"}, "else": {"type": "string"}},
        "ref": {"$ref": "#/$defs/text"}, "never": false,
        "rest": {"properties": {"a": true}, "unevaluatedProperties": false},
        "rest_items": {"prefixItems": [true], "unevaluatedItems": {"type": "string"}}
    },
    "$defs": {"text": {"type": "string"}}
}', '{
    "type": 1, "types": {}, "three": [], "integer": 1.5, "enum": "b", "const": {"a": 2}, "short": "é", "empty": "", "long": "ab",
    "pattern": "ab", "format": "1.2.3", "min": 1.4, "max": 0, "xmin": 1, "xmax": 1, "multiple": 0.075, "few": [1], "many": [1, 2],
    "unique": [1, 2, 1.0], "contains": [1], "mincontains": [1], "maxcontains": [1, 2], "prefix": [1, 2], "names": {"ab": 1},
    "patterns": {"x": 1}, "closed": {"a": 1, "b~/": 2}, "other": {"a": 1}, "dependent": {"a": 1}, "not": 1, "any": 1, "one": 1, "none": 1,
    "if": 1, "ref": 1, "never": 1, "rest": {"a": 1, "b": 2}, "rest_items": [1, 2]
}', formats => true);

-- the locations: by way of the references, and where the keyword is written
SELECT instance_location, keyword_location, absolute FROM errors('{
    "$id": "https://example.com/root",
    "properties": {"a~b/c": {"$ref": "item#/$defs/positive"}},
    "allOf": [true, {"$ref": "#n"}],
    "$defs": {
        "item": {"$id": "item", "$defs": {"positive": {"minimum": 1}}},
        "named": {"$anchor": "n", "required": ["x"]}
    }
}', '{"a~b/c": 0}');

-- not more errors than wanted
SELECT jsonb_array_length(flowmaestro.jsonschema_validate('{"items": false}', '[1, 2, 3, 4]', max_errors => n)->'errors') FROM unnest('{1, 3, 10}'::int[]) AS n;
SELECT flowmaestro.jsonschema_validate('true', '1', max_errors => 0);
-- a value in a message is cut
SELECT length(error), right(error, 20) FROM errors(jsonb_build_object('const', repeat('é', 1000)), '1');

-- an exception that tells the reason
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT flowmaestro.jsonschema_assert('{"type": "string"}', '"a"');
SELECT flowmaestro.jsonschema_assert('{"required": ["a"], "properties": {"b": {"items": {"type": "string"}}}}', '{"b": [1, "x", null]}');
\set VERBOSITY terse

--
-- Drafts
--
SELECT d, flowmaestro.jsonschema_is_valid('{"type": "integer"}', '1.0', d) AS whole,
       flowmaestro.jsonschema_is_valid('{"maximum": 1, "exclusiveMaximum": true}', '1', '4') AS draft4,
       flowmaestro.jsonschema_is_valid('{"items": [{"type": "string"}], "additionalItems": false}', '["a", 1]', '7') AS draft7
FROM unnest('{4, 6, 7, 2019-09, 2020-12, draft-07, json-schema.org/draft-04/schema#}'::text[]) AS d;
SELECT flowmaestro.jsonschema_is_valid('true', '1', '3');
-- $schema wins
SELECT flowmaestro.jsonschema_is_valid('{"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer"}', '1.0');
SELECT flowmaestro.jsonschema_is_valid('{"$schema": "https://example.com/mine"}', '1');
-- the metaschemas are there
SELECT u, flowmaestro.jsonschema_is_valid(jsonb_build_object('$ref', u), '{"minLength": 1}'),
       flowmaestro.jsonschema_is_valid(jsonb_build_object('$ref', u), '{"minLength": -1}')
FROM unnest('{http://json-schema.org/draft-04/schema#, http://json-schema.org/draft-06/schema#, http://json-schema.org/draft-07/schema,
              https://json-schema.org/draft/2019-09/schema, https://json-schema.org/draft/2020-12/schema}'::text[]) AS u;
-- formats: annotations, unless asked for
SELECT flowmaestro.jsonschema_is_valid('{"format": "date"}', '"tomorrow"'), flowmaestro.jsonschema_is_valid('{"format": "date"}', '"tomorrow"', formats => true),
       flowmaestro.jsonschema_is_valid('{"format": "colour"}', '"tomorrow"', formats => true);

--
-- Exact
--
SELECT flowmaestro.jsonschema_is_valid('{"maximum": 9007199254740992}', '9007199254740993') AS big,
       flowmaestro.jsonschema_is_valid('{"const": 9007199254740993}', '9007199254740992') AS big_const,
       flowmaestro.jsonschema_is_valid('{"multipleOf": 0.01}', '0.07') AS multiple,
       flowmaestro.jsonschema_is_valid('{"multipleOf": 0.0001}', '0.00751') AS not_multiple,
       flowmaestro.jsonschema_is_valid('{"type": "integer"}', '1.0') AS whole,
       flowmaestro.jsonschema_is_valid('{"enum": [1.0, [2.50]]}', '[2.5]') AS equal,
       flowmaestro.jsonschema_is_valid('{"minimum": -0.0}', '0') AS zero;
SELECT n, d, flowmaestro.jsonschema_is_valid(jsonb_build_object('multipleOf', d), to_jsonb(n)), mod(n, d) = 0 AS server
FROM unnest('{0, 10, -10, 12.5, 1e20, 123456789012345678901234567890, 1e-20, 0.30000000000000004, 4.5e15}'::numeric[]) AS n,
     unnest('{1, 3, 0.1, 2.5, 1e15, 0.0000000001, 12345678901234567890123}'::numeric[]) AS d
WHERE flowmaestro.jsonschema_is_valid(jsonb_build_object('multipleOf', d), to_jsonb(n)) IS DISTINCT FROM (mod(n, d) = 0);
-- comparisons agree with the server's, over all pairs
SELECT count(*), count(*) FILTER (WHERE flowmaestro.jsonschema_is_valid(jsonb_build_object('minimum', b), to_jsonb(a)) <> (a >= b)
                                     OR flowmaestro.jsonschema_is_valid(jsonb_build_object('exclusiveMaximum', b), to_jsonb(a)) <> (a < b)
                                     OR flowmaestro.jsonschema_is_valid(jsonb_build_object('const', b), to_jsonb(a)) <> (a = b)) AS wrong
FROM (SELECT s * m * 10::numeric ^ e FROM unnest('{-1, 1}'::int[]) AS s, unnest('{0, 1, 1.00, 1.5, 9999, 10000, 10001, 99999999, 123456789.987654321}'::numeric[]) AS m,
             unnest('{-5, -4, 0, 3, 4, 20}'::int[]) AS e) AS x (a),
     (SELECT s * m * 10::numeric ^ e FROM unnest('{-1, 1}'::int[]) AS s, unnest('{0, 1, 1.5, 9999, 10000, 10001, 99999999, 123456789.987654321}'::numeric[]) AS m,
             unnest('{-5, -4, 0, 3, 4, 20}'::int[]) AS e) AS y (b);
-- lengths are code points
SELECT s, flowmaestro.jsonschema_is_valid(jsonb_build_object('minLength', char_length(s), 'maxLength', char_length(s)), to_jsonb(s)) AS exact,
       flowmaestro.jsonschema_is_valid(jsonb_build_object('minLength', char_length(s) + 1), to_jsonb(s)) AS longer,
       flowmaestro.jsonschema_is_valid(jsonb_build_object('maxLength', char_length(s) - 1), to_jsonb(s)) AS shorter
FROM unnest('{a, é, 😀, 😀😀a, aébc}'::text[]) AS s;
-- patterns that the server's own regular expressions refuse
SELECT flowmaestro.jsonschema_is_valid('{"pattern": "^[0-9-_]+$"}', '"1-_"'), flowmaestro.jsonschema_is_valid('{"pattern": "^\\p{L}+$"}', '"é"'),
       flowmaestro.jsonschema_is_valid('{"pattern": "^(?<year>\\d{4})$"}', '"2025"');

-- objects of many members, arrays of many elements: every offset is found
SELECT n, flowmaestro.jsonschema_is_valid(
              jsonb_build_object('type', 'object', 'additionalProperties', false, 'required', (SELECT jsonb_agg('k' || i) FROM generate_series(1, n) AS i),
                                 'properties', (SELECT jsonb_object_agg('k' || i, jsonb_build_object('const', i)) FROM generate_series(1, n) AS i)),
              (SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, n) AS i)) AS object,
       flowmaestro.jsonschema_is_valid(
              jsonb_build_object('prefixItems', (SELECT jsonb_agg(jsonb_build_object('const', repeat('x', i % 7) || i)) FROM generate_series(1, n) AS i), 'items', false, 'uniqueItems', true),
              (SELECT jsonb_agg(repeat('x', i % 7) || i) FROM generate_series(1, n) AS i)) AS array,
       flowmaestro.jsonschema_is_valid('{"uniqueItems": true}', (SELECT jsonb_agg(jsonb_build_object('a', i % (n - 1))) FROM generate_series(1, n) AS i)) AS repeated,
       flowmaestro.jsonschema_is_valid(
              jsonb_build_object('allOf', jsonb_build_array(jsonb_build_object('patternProperties', '{"[02468]$": {}}'::jsonb), jsonb_build_object('patternProperties', '{"[13579]$": {}}'::jsonb)), 'unevaluatedProperties', false),
              (SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, n) AS i)) AS evaluated
FROM unnest('{2, 31, 32, 33, 64, 65, 256, 257, 1000}'::int[]) AS n;

--
-- Wrong schemas name the place
--
CREATE TABLE wrong (n serial, schema jsonb);
INSERT INTO wrong (schema) VALUES
('{"type": "strin"}'), ('{"properties": {"a": {"type": ["string", 1]}}}'), ('{"properties": {"a/b": {"minLength": -1}}}'), ('{"minItems": 1.5}'),
('{"items": {"pattern": "("}}'), ('{"patternProperties": {"[": true}}'), ('{"$ref": "#/$defs/none"}'), ('{"$ref": "#none"}'), ('{"$ref": "other.json"}'),
('{"$dynamicRef": "#x"}'), ('{"allOf": []}'), ('{"anyOf": {"a": 1}}'), ('{"oneOf": [true, 1]}'), ('{"not": "x"}'), ('{"required": "a"}'), ('{"required": [1]}'),
('{"multipleOf": 0}'), ('{"multipleOf": -1}'), ('{"enum": "a"}'), ('{"minimum": "1"}'), ('{"exclusiveMinimum": true}'), ('{"uniqueItems": 1}'),
('{"properties": []}'), ('{"dependentRequired": {"a": "b"}}'), ('{"items": [true]}'), ('{"title": 1}'), ('{"$id": "a#b"}'), ('{"$id": 1}'), ('[]'), ('1'), ('"true"'), ('null'),
('{"$ref": "#"}'), ('{"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [true, {"$ref": "#"}]}}}'), ('{"$ref": "#/title", "title": "x"}'),
('{"type": []}'), ('{"type": ["null", "null"]}'), ('{"required": ["a", "a"]}'), ('{"format": 1}'), ('{"$schema": 1}'), ('{"$defs": {"unused": {"maxLength": "x"}}}');
DO $$
DECLARE
    w record;
BEGIN
    FOR w IN SELECT * FROM wrong ORDER BY n LOOP
        BEGIN
            PERFORM flowmaestro.jsonschema_is_valid(w.schema, '1');
            RAISE WARNING 'accepted: %', w.schema;
        EXCEPTION WHEN invalid_parameter_value THEN
            RAISE INFO '%: %', w.schema, SQLERRM;
        END;
    END LOOP;
END $$;
-- all errors at once, the same that the first raises
SELECT flowmaestro.jsonschema_check('{"type": "strin", "properties": {"a": {"minLength": -1, "$ref": "#/x"}}, "$defs": {"b": {"pattern": "("}}}');
SELECT flowmaestro.jsonschema_check('{"type": "string"}');
SELECT count(*) AS unnoticed FROM wrong WHERE (flowmaestro.jsonschema_check(schema)->'valid')::boolean;
-- the check agrees with the metaschemas, for every keyword and values of all
-- kinds; what is left does no harm: anchors of odd letters, values twice in an
-- enum, empty lists, draft 4's exclusiveMinimum without a minimum; and two
-- keywords that the metaschema forgot
WITH keyword (name) AS (
    SELECT unnest('{if,id,$id,not,else,enum,then,type,$defs,allOf,anyOf,const,items,oneOf,title,format,$anchor,maximum,minimum,pattern,$comment,contains,
        examples,maxItems,minItems,readOnly,required,maxLength,minLength,writeOnly,deprecated,multipleOf,properties,definitions,description,
        maxContains,minContains,prefixItems,uniqueItems,dependencies,contentSchema,maxProperties,minProperties,propertyNames,$dynamicAnchor,
        additionalItems,contentEncoding,contentMediaType,dependentSchemas,exclusiveMaximum,exclusiveMinimum,unevaluatedItems,dependentRequired,
        patternProperties,additionalProperties,unevaluatedProperties}'::text[])),
value (value) AS (
    SELECT unnest('{1, -1, 1.5, 0, "\"x\"", "\"#\"", "\"string\"", true, null, [], "[{}]", "[1]", "[\"a\"]", "[\"a\", \"a\"]", "[\"string\"]", "[\"string\", \"string\"]",
        "{}", "{\"a\": 1}", "{\"a\": true}", "{\"a\": {}}", "{\"a\": \"b\"}", "{\"a\": []}", "{\"a\": [\"b\"]}", "{\"a\": [\"b\", \"b\"]}"}'::text[])::jsonb),
draft (draft, uri) AS (
    VALUES ('4', 'http://json-schema.org/draft-04/schema'), ('6', 'http://json-schema.org/draft-06/schema'), ('7', 'http://json-schema.org/draft-07/schema'),
           ('2019-09', 'https://json-schema.org/draft/2019-09/schema'), ('2020-12', 'https://json-schema.org/draft/2020-12/schema')),
opinion AS (
    SELECT name, value, draft, (flowmaestro.jsonschema_check(jsonb_build_object(name, value), draft)->'valid')::boolean AS ours,
           flowmaestro.jsonschema_is_valid(jsonb_build_object('$ref', uri), jsonb_build_object(name, value)) AS metaschema
    FROM keyword, value, draft)
SELECT name, draft, ours, metaschema, count(*), min(value::text COLLATE "C") AS for_example FROM opinion WHERE ours <> metaschema GROUP BY 1, 2, 3, 4 ORDER BY name COLLATE "C", draft COLLATE "C", ours;
-- what nobody knows is ignored
SELECT flowmaestro.jsonschema_is_valid('{"x-mine": {"type": "strin"}, "minlength": -1}', '1');
-- draft 4 has other rules
SELECT flowmaestro.jsonschema_check(s, '4') FROM unnest('{"{\"required\": []}","{\"properties\": {\"a\": true}}","{\"exclusiveMinimum\": 1}"}'::jsonb[]) AS s;

--
-- Where a value may be: CHECK, index, parallel plan, prepared statement, PL/pgSQL
--
CREATE TABLE checked (doc jsonb CHECK (flowmaestro.jsonschema_is_valid('{"type": "object", "required": ["a"]}', doc)),
                      told jsonb CHECK (flowmaestro.jsonschema_assert('{"maximum": 3}', told)));
INSERT INTO checked VALUES ('{"a": 1}', '3');
INSERT INTO checked VALUES ('{"b": 1}', '3');
\set VERBOSITY default
INSERT INTO checked VALUES ('{"a": 1}', '4');
\set VERBOSITY terse
CREATE INDEX ON checked ((flowmaestro.jsonschema_is_valid('{"required": ["b"]}', doc)));
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM checked WHERE flowmaestro.jsonschema_is_valid('{"required": ["b"]}', doc);
RESET enable_seqscan;
CREATE TABLE many AS SELECT jsonb_build_object('a', i) AS doc FROM generate_series(1, 20000) AS i;
ANALYZE many;
SET parallel_setup_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT count(*) FROM many WHERE flowmaestro.jsonschema_is_valid('{"properties": {"a": {"maximum": 15000}}}', doc);
SELECT count(*) FROM many WHERE flowmaestro.jsonschema_is_valid('{"properties": {"a": {"maximum": 15000}}}', doc);
RESET parallel_setup_cost; RESET min_parallel_table_scan_size; RESET max_parallel_workers_per_gather;
-- the schema of each row, in any order; as json too
CREATE TABLE pairs (schema jsonb, instance jsonb);
INSERT INTO pairs SELECT jsonb_build_object('const', i % 3), to_jsonb(i % 2) FROM generate_series(0, 11) AS i;
SELECT schema, instance, flowmaestro.jsonschema_is_valid(schema, instance), flowmaestro.jsonb_matches_schema(schema::json, instance) FROM pairs;
-- a big schema, compressed or out of line
CREATE TABLE big (schema jsonb);
INSERT INTO big SELECT jsonb_build_object('enum', (SELECT jsonb_agg(repeat(md5(i::text), k)) FROM generate_series(1, 300) AS i)) FROM unnest('{1, 30}'::int[]) AS k;
SELECT count(*) FILTER (WHERE flowmaestro.jsonschema_is_valid(schema, to_jsonb(md5('7')))), count(*) FROM big, generate_series(1, 3);
PREPARE p (jsonb, jsonb) AS SELECT flowmaestro.jsonschema_is_valid($1, $2);
SET plan_cache_mode = force_generic_plan;
EXECUTE p ('{"const": 1}', '1');
EXECUTE p ('{"const": 2}', '1');
RESET plan_cache_mode;
DO $$
BEGIN
    FOR i IN 1..3 LOOP
        IF flowmaestro.jsonschema_is_valid(jsonb_build_object('const', i), '2') <> (i = 2) THEN
            RAISE WARNING 'wrong at %', i;
        END IF;
    END LOOP;
END $$;
-- an option that changes from row to row
SELECT f, flowmaestro.jsonschema_is_valid('{"format": "date"}', '"x"', formats => f) FROM unnest('{t, f, t}'::boolean[]) AS f;

--
-- The registry
--
SELECT flowmaestro.jsonschema_registry_is_valid('{"$ref": "https://example.com/a"}', '1');
INSERT INTO flowmaestro.json_schemas VALUES
    ('https://example.com/a', '{"items": {"$ref": "b"}}'), ('https://example.com/b', '{"type": "string"}'),
    ('https://example.com/mine', '{"$schema": "https://json-schema.org/draft/2020-12/schema",
        "$vocabulary": {"https://json-schema.org/draft/2020-12/vocab/core": true, "https://json-schema.org/draft/2020-12/vocab/applicator": true}}'),
    ('https://example.com/strange', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$vocabulary": {"https://example.com/vocab": true}}');
SELECT flowmaestro.jsonschema_registry_is_valid('{"$ref": "https://example.com/a"}', '["x"]'), flowmaestro.jsonschema_registry_is_valid('{"$ref": "https://example.com/a"}', '[1]');
SELECT flowmaestro.jsonschema_registry_validate('{"$ref": "https://example.com/a"}', '[1]');
SELECT flowmaestro.jsonschema_registry_is_valid('{"$schema": "https://example.com/mine", "minimum": 2}', '1');
SELECT flowmaestro.jsonschema_registry_is_valid('{"$schema": "https://example.com/strange"}', '1');
-- a change counts at once, in its own transaction too, and is undone with it
BEGIN;
UPDATE flowmaestro.json_schemas SET schema = '{"type": "number"}' WHERE id = 'https://example.com/b';
SELECT flowmaestro.jsonschema_registry_is_valid('{"$ref": "https://example.com/a"}', '["x"]'), flowmaestro.jsonschema_registry_is_valid('{"$ref": "https://example.com/a"}', '[1]');
ROLLBACK;
SELECT flowmaestro.jsonschema_registry_is_valid('{"$ref": "https://example.com/a"}', '["x"]'), flowmaestro.jsonschema_registry_is_valid('{"$ref": "https://example.com/a"}', '[1]');
SELECT flowmaestro.jsonschema_registry_check('{"$ref": "https://example.com/none"}');
-- the immutable functions never look
SELECT flowmaestro.jsonschema_is_valid('{"$ref": "https://example.com/a"}', '1');
DELETE FROM flowmaestro.json_schemas;
SELECT flowmaestro.jsonschema_registry_is_valid('{"$ref": "https://example.com/a"}', '1');

--
-- The functions of pg_jsonschema
--
SELECT flowmaestro.json_matches_schema('{"maxLength": 3}', '"abcd"'), flowmaestro.json_matches_schema('{"maxLength": 3}', '"abc"'),
       flowmaestro.jsonb_matches_schema('{"maxLength": 3}', '"abcd"'), flowmaestro.jsonb_matches_schema('{"maxLength": 3}', '"abc"');
SELECT flowmaestro.jsonschema_is_valid('{"type": "string"}'), flowmaestro.jsonschema_is_valid('{"properties": {"a": {"type": "strin"}}}');
SELECT flowmaestro.jsonschema_validation_errors('{"maxLength": 3}', '"abcd"'), flowmaestro.jsonschema_validation_errors('{"maxLength": 3}', '"abc"'),
       flowmaestro.jsonschema_validation_errors('{"properties": {"a": {"type": "string"}}, "required": ["b"]}', '{"a": 1}');
SELECT flowmaestro.json_matches_schema('{"type": "strin"}', '1');
-- which assert formats up to draft 7
SELECT flowmaestro.jsonb_matches_schema('{"$schema": "http://json-schema.org/draft-07/schema#", "format": "date"}', '"x"') AS draft7,
       flowmaestro.jsonb_matches_schema('{"format": "date"}', '"x"') AS draft2020,
       flowmaestro.jsonschema_is_valid('{"$schema": "http://json-schema.org/draft-07/schema#", "format": "date"}', '"x"') AS ours;

--
-- The cache: bounded, and forgetful without harm
--
SET flowmaestro.schema_cache_size = 0;
SELECT count(*) FILTER (WHERE flowmaestro.jsonschema_is_valid(schema, instance)) FROM pairs;
SET flowmaestro.schema_cache_size = '64kB';
SELECT count(*) FILTER (WHERE flowmaestro.jsonschema_is_valid(jsonb_build_object('const', i), to_jsonb(i))) FROM generate_series(1, 5000) AS i;
SELECT sum(total_bytes) < 200 * 1024 AS bounded FROM pg_backend_memory_contexts WHERE name LIKE 'JSON Schema%';
RESET flowmaestro.schema_cache_size;
-- an error leaves nothing behind
DO $$
BEGIN
    FOR i IN 1..2000 LOOP
        BEGIN
            PERFORM flowmaestro.jsonschema_is_valid(jsonb_build_object('title', i::text, 'type', 'strin'), '1');
        EXCEPTION WHEN invalid_parameter_value THEN
            NULL;
        END;
    END LOOP;
END $$;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'JSON Schema compiler';

-- members that are arrays are looked at after the others: as many as there are, the last one wrong
SELECT n, flowmaestro.jsonschema_is_valid(s.schema, s.good) AS good, flowmaestro.jsonschema_is_valid(s.schema, s.bad) AS bad
FROM generate_series(11, 14) AS n, LATERAL (
    SELECT jsonb_build_object('properties', jsonb_object_agg('k' || k, '{"items": {"type": "integer"}}'::jsonb)) AS schema,
        jsonb_object_agg('k' || k, '[1]'::jsonb) AS good,
        jsonb_object_agg('k' || k, CASE k WHEN n THEN '["x"]'::jsonb ELSE '[1]' END) AS bad
    FROM generate_series(1, n) AS k) AS s;

DROP TABLE checked, many, pairs, big, wrong;
DROP FUNCTION errors;
