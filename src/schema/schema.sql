-- Room schema: JSON Schema. What reads nothing but its arguments is immutable
-- and open to everybody (see grants.sql).

CREATE FUNCTION @extschema@.jsonschema_is_valid(
    schema jsonb,
    instance jsonb,
    draft text DEFAULT '2020-12',
    formats bool DEFAULT false
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_jsonschema_is_valid'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.jsonschema_is_valid(jsonb, jsonb, text, bool) IS
    'whether an instance is valid under a JSON Schema; fit for CHECK constraints';

CREATE FUNCTION @extschema@.jsonschema_assert(
    schema jsonb,
    instance jsonb,
    draft text DEFAULT '2020-12',
    formats bool DEFAULT false
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_jsonschema_assert'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.jsonschema_assert IS
    'true for a valid instance, else an exception whose detail tells what is wrong; fit for CHECK constraints';

CREATE FUNCTION @extschema@.jsonschema_validate(
    schema jsonb,
    instance jsonb,
    draft text DEFAULT '2020-12',
    formats bool DEFAULT false,
    max_errors int4 DEFAULT 1000
) RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_jsonschema_validate'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 300;
COMMENT ON FUNCTION @extschema@.jsonschema_validate IS
    'what is wrong with an instance: {valid, errors}, the "basic" output of the specification';

CREATE FUNCTION @extschema@.jsonschema_check(
    schema jsonb,
    draft text DEFAULT '2020-12'
) RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_jsonschema_check'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.jsonschema_check IS
    'what is wrong with a JSON Schema itself: {valid, errors: [{location, keyword, error}]}';

-- the registry: documents that others refer to by their id

CREATE TABLE @extschema@.json_schemas (
    id text COLLATE "C" NOT NULL,
    schema jsonb NOT NULL,
    CONSTRAINT json_schemas_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE @extschema@.json_schemas IS
    'JSON Schemas that others refer to; only the functions with "registry" in their name read it';
COMMENT ON COLUMN @extschema@.json_schemas.id IS 'absolute URI, as a $ref or $schema names it';
COMMENT ON COLUMN @extschema@.json_schemas.schema IS 'the document';
SELECT pg_extension_config_dump('@extschema@.json_schemas', '');

CREATE FUNCTION @extschema@.json_schemas_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'fms_json_schemas_changed'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.json_schemas_changed IS
    'trigger that makes every session forget what it compiled from json_schemas';

CREATE TRIGGER changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.json_schemas
FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.json_schemas_changed();
COMMENT ON TRIGGER changed ON @extschema@.json_schemas IS
    'makes every session forget what it compiled from the table';
ALTER TABLE @extschema@.json_schemas ENABLE ALWAYS TRIGGER changed;

CREATE FUNCTION @extschema@.jsonschema_registry_is_valid(
    schema jsonb,
    instance jsonb,
    draft text DEFAULT '2020-12',
    formats bool DEFAULT false
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_jsonschema_registry_is_valid'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.jsonschema_registry_is_valid IS
    'jsonschema_is_valid for schemas that refer to documents in json_schemas';

CREATE FUNCTION @extschema@.jsonschema_registry_validate(
    schema jsonb,
    instance jsonb,
    draft text DEFAULT '2020-12',
    formats bool DEFAULT false,
    max_errors int4 DEFAULT 1000
) RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_jsonschema_registry_validate'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 300;
COMMENT ON FUNCTION @extschema@.jsonschema_registry_validate IS
    'jsonschema_validate for schemas that refer to documents in json_schemas';

CREATE FUNCTION @extschema@.jsonschema_registry_check(
    schema jsonb,
    draft text DEFAULT '2020-12'
) RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_jsonschema_registry_check'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.jsonschema_registry_check IS
    'jsonschema_check for schemas that refer to documents in json_schemas';

-- the functions of pg_jsonschema, by their names

CREATE FUNCTION @extschema@.json_matches_schema(schema json, instance json)
RETURNS bool
AS 'MODULE_PATHNAME', 'fms_json_matches_schema'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.json_matches_schema IS
    'whether a json is valid under a JSON Schema; the function of pg_jsonschema';

CREATE FUNCTION @extschema@.jsonb_matches_schema(schema json, instance jsonb)
RETURNS bool
AS 'MODULE_PATHNAME', 'fms_jsonb_matches_schema'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.jsonb_matches_schema IS
    'whether a jsonb is valid under a JSON Schema; the function of pg_jsonschema';

CREATE FUNCTION @extschema@.jsonschema_is_valid(schema json)
RETURNS bool
AS 'MODULE_PATHNAME', 'fms_jsonschema_is_valid_schema'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.jsonschema_is_valid(json) IS
    'whether a JSON Schema is one; a notice tells the first thing that is wrong; the function of pg_jsonschema';

CREATE FUNCTION @extschema@.jsonschema_validation_errors(schema json, instance json)
RETURNS text[]
AS 'MODULE_PATHNAME', 'fms_jsonschema_validation_errors'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 300;
COMMENT ON FUNCTION @extschema@.jsonschema_validation_errors IS
    'what is wrong with a json, a text for each error; the function of pg_jsonschema';
