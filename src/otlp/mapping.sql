-- Room otlp, the mapping: what spans of OpenTelemetry are here.

CREATE FUNCTION @extschema@.map_otlp_attributes(
    attributes pg_catalog.jsonb,
    kind pg_catalog.int4 DEFAULT 0,
    status_code pg_catalog.int4 DEFAULT 0,
    status_message pg_catalog.text DEFAULT NULL,
    exception pg_catalog.jsonb DEFAULT NULL,
    OUT span_type pg_catalog.text,
    OUT entity_id pg_catalog.text,
    OUT input pg_catalog.jsonb,
    OUT output pg_catalog.jsonb,
    OUT status pg_catalog.text,
    OUT error pg_catalog.jsonb
) RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'fms_otlp_map_attributes'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.map_otlp_attributes(pg_catalog.jsonb, pg_catalog.int4, pg_catalog.int4, pg_catalog.text, pg_catalog.jsonb) IS
    'what an OpenTelemetry span with such attributes, kind, status and exception becomes: the columns that its attributes tell';
