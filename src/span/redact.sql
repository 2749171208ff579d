-- Room span: values without what the keys of secrets hold.

CREATE FUNCTION @extschema@.redact(value jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_redact'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.redact IS
    'the value with "[REDACTED]" for what the keys of flowmaestro.redact_keys hold, at any depth';
