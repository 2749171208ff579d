-- Room otlp, the way in: requests handed over in SQL.

CREATE FUNCTION @extschema@.ingest_otlp(
    request pg_catalog.bytea,
    OUT accepted pg_catalog.int8,
    OUT rejected pg_catalog.int8,
    OUT message pg_catalog.text
) RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'fms_ingest_otlp'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.ingest_otlp(pg_catalog.bytea) IS
    'record the spans of an OTLP request in protobuf (ExportTraceServiceRequest); message tells why the first of the rejected was';

CREATE FUNCTION @extschema@.ingest_otlp_json(
    request pg_catalog.text,
    OUT accepted pg_catalog.int8,
    OUT rejected pg_catalog.int8,
    OUT message pg_catalog.text
) RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'fms_ingest_otlp_json'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.ingest_otlp_json(pg_catalog.text) IS
    'record the spans of an OTLP request in JSON; message tells why the first of the rejected was';
