-- Room otlp, the way in: requests handed over in SQL.

CREATE FUNCTION @extschema@.ingest_otlp(
    request bytea,
    OUT accepted int8,
    OUT rejected int8,
    OUT message text
) RETURNS record
AS 'MODULE_PATHNAME', 'fms_ingest_otlp'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.ingest_otlp IS
    'record the spans of an OTLP request in protobuf (ExportTraceServiceRequest); message tells why the first of the rejected was';

CREATE FUNCTION @extschema@.ingest_otlp_json(
    request text,
    OUT accepted int8,
    OUT rejected int8,
    OUT message text
) RETURNS record
AS 'MODULE_PATHNAME', 'fms_ingest_otlp_json'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.ingest_otlp_json IS
    'record the spans of an OTLP request in JSON; message tells why the first of the rejected was';
