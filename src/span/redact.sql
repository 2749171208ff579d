-- Room span: values without what the keys of secrets hold.

CREATE FUNCTION @extschema@.redact(value pg_catalog.jsonb)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_redact'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.redact(pg_catalog.jsonb) IS
    'the value with "[REDACTED]" for what the keys of flowmaestro.redact_keys hold, at any depth';
