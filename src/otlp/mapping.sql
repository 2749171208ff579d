-- Room otlp, the mapping: what spans of OpenTelemetry are here.

CREATE FUNCTION @extschema@.map_otlp_attributes(
    attributes jsonb,
    kind int4 DEFAULT 0,
    status_code int4 DEFAULT 0,
    status_message text DEFAULT NULL,
    exception jsonb DEFAULT NULL,
    OUT span_type text,
    OUT entity_id text,
    OUT input jsonb,
    OUT output jsonb,
    OUT status text,
    OUT error jsonb
) RETURNS record
AS 'MODULE_PATHNAME', 'fms_otlp_map_attributes'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.map_otlp_attributes IS
    'what an OpenTelemetry span with such attributes, kind, status and exception becomes: the columns that its attributes tell';
