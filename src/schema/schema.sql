-- Room schema: JSON Schema. What reads nothing but its arguments is immutable
-- and open to everybody (see grants.sql).

CREATE FUNCTION @extschema@.jsonschema_is_valid(
    schema pg_catalog.jsonb,
    instance pg_catalog.jsonb,
    draft pg_catalog.text DEFAULT '2020-12',
    formats pg_catalog.bool DEFAULT false
) RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'fms_jsonschema_is_valid'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.jsonschema_is_valid(pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.text, pg_catalog.bool) IS
    'whether an instance is valid under a JSON Schema; fit for CHECK constraints';

CREATE FUNCTION @extschema@.jsonschema_assert(
    schema pg_catalog.jsonb,
    instance pg_catalog.jsonb,
    draft pg_catalog.text DEFAULT '2020-12',
    formats pg_catalog.bool DEFAULT false
) RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'fms_jsonschema_assert'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.jsonschema_assert(pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.text, pg_catalog.bool) IS
    'true for a valid instance, else an exception whose detail tells what is wrong; fit for CHECK constraints';

CREATE FUNCTION @extschema@.jsonschema_validate(
    schema pg_catalog.jsonb,
    instance pg_catalog.jsonb,
    draft pg_catalog.text DEFAULT '2020-12',
    formats pg_catalog.bool DEFAULT false,
    max_errors pg_catalog.int4 DEFAULT 1000
) RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_jsonschema_validate'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 300;
COMMENT ON FUNCTION @extschema@.jsonschema_validate(pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.text, pg_catalog.bool, pg_catalog.int4) IS
    'what is wrong with an instance: {valid, errors}, the "basic" output of the specification';

CREATE FUNCTION @extschema@.jsonschema_check(
    schema pg_catalog.jsonb,
    draft pg_catalog.text DEFAULT '2020-12'
) RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_jsonschema_check'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.jsonschema_check(pg_catalog.jsonb, pg_catalog.text) IS
    'what is wrong with a JSON Schema itself: {valid, errors: [{location, keyword, error}]}';

-- the registry: documents that others refer to by their id

CREATE TABLE @extschema@.json_schemas (
    id pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    schema pg_catalog.jsonb NOT NULL,
    CONSTRAINT json_schemas_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE @extschema@.json_schemas IS
    'JSON Schemas that others refer to; only the functions with "registry" in their name read it';
COMMENT ON COLUMN @extschema@.json_schemas.id IS 'absolute URI, as a $ref or $schema names it';
COMMENT ON COLUMN @extschema@.json_schemas.schema IS 'the document';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.json_schemas', '');

CREATE FUNCTION @extschema@.json_schemas_changed()
RETURNS pg_catalog.trigger
AS 'MODULE_PATHNAME', 'fms_json_schemas_changed'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.json_schemas_changed() IS
    'trigger that makes every session forget what it compiled from json_schemas';

CREATE TRIGGER changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.json_schemas
FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.json_schemas_changed();
COMMENT ON TRIGGER changed ON @extschema@.json_schemas IS
    'makes every session forget what it compiled from the table';
ALTER TABLE @extschema@.json_schemas ENABLE ALWAYS TRIGGER changed;

CREATE FUNCTION @extschema@.jsonschema_registry_is_valid(
    schema pg_catalog.jsonb,
    instance pg_catalog.jsonb,
    draft pg_catalog.text DEFAULT '2020-12',
    formats pg_catalog.bool DEFAULT false
) RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'fms_jsonschema_registry_is_valid'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.jsonschema_registry_is_valid(pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.text, pg_catalog.bool) IS
    'jsonschema_is_valid for schemas that refer to documents in json_schemas';

CREATE FUNCTION @extschema@.jsonschema_registry_validate(
    schema pg_catalog.jsonb,
    instance pg_catalog.jsonb,
    draft pg_catalog.text DEFAULT '2020-12',
    formats pg_catalog.bool DEFAULT false,
    max_errors pg_catalog.int4 DEFAULT 1000
) RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_jsonschema_registry_validate'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 300;
COMMENT ON FUNCTION @extschema@.jsonschema_registry_validate(pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.text, pg_catalog.bool, pg_catalog.int4) IS
    'jsonschema_validate for schemas that refer to documents in json_schemas';

CREATE FUNCTION @extschema@.jsonschema_registry_check(
    schema pg_catalog.jsonb,
    draft pg_catalog.text DEFAULT '2020-12'
) RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_jsonschema_registry_check'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.jsonschema_registry_check(pg_catalog.jsonb, pg_catalog.text) IS
    'jsonschema_check for schemas that refer to documents in json_schemas';

-- the functions of pg_jsonschema, by their names

CREATE FUNCTION @extschema@.json_matches_schema(schema pg_catalog.json, instance pg_catalog.json)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'fms_json_matches_schema'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.json_matches_schema(pg_catalog.json, pg_catalog.json) IS
    'whether a json is valid under a JSON Schema; the function of pg_jsonschema';

CREATE FUNCTION @extschema@.jsonb_matches_schema(schema pg_catalog.json, instance pg_catalog.jsonb)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'fms_jsonb_matches_schema'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.jsonb_matches_schema(pg_catalog.json, pg_catalog.jsonb) IS
    'whether a jsonb is valid under a JSON Schema; the function of pg_jsonschema';

CREATE FUNCTION @extschema@.jsonschema_is_valid(schema pg_catalog.json)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'fms_jsonschema_is_valid_schema'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.jsonschema_is_valid(pg_catalog.json) IS
    'whether a JSON Schema is one; a notice tells the first thing that is wrong; the function of pg_jsonschema';

CREATE FUNCTION @extschema@.jsonschema_validation_errors(schema pg_catalog.json, instance pg_catalog.json)
RETURNS pg_catalog.text[]
AS 'MODULE_PATHNAME', 'fms_jsonschema_validation_errors'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 300;
COMMENT ON FUNCTION @extschema@.jsonschema_validation_errors(pg_catalog.json, pg_catalog.json) IS
    'what is wrong with a json, a text for each error; the function of pg_jsonschema';
