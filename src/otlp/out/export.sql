-- Room otlp, the way out: traces as requests.

CREATE FUNCTION @extschema@.export_otlp(trace_id uuid)
RETURNS json
AS 'MODULE_PATHNAME', 'fms_export_otlp'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.export_otlp IS
    'a trace as a request of OTLP in JSON (ExportTraceServiceRequest); NULL if there is no such trace';

CREATE FUNCTION @extschema@.export_otlp_protobuf(trace_id uuid)
RETURNS bytea
AS 'MODULE_PATHNAME', 'fms_export_otlp_protobuf'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.export_otlp_protobuf IS
    'a trace as a request of OTLP in protobuf (ExportTraceServiceRequest); NULL if there is no such trace';
