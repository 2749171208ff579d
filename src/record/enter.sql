-- Room record: the current span of a transaction.

CREATE FUNCTION @extschema@.enter_span(
    name pg_catalog.text,
    span_type pg_catalog.text,
    entity_id pg_catalog.text DEFAULT NULL,
    attributes pg_catalog.jsonb DEFAULT NULL,
    input pg_catalog.jsonb DEFAULT NULL,
    trace_id pg_catalog.uuid DEFAULT NULL,
    parent_span_id pg_catalog.uuid DEFAULT NULL,
    span_id pg_catalog.uuid DEFAULT NULL,
    started_at pg_catalog.timestamptz DEFAULT NULL
) RETURNS @extschema@.span_context
AS 'MODULE_PATHNAME', 'fms_enter_span'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.enter_span(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.timestamptz) IS
    'create_span, and make the span the current one until leave_span or the end of the transaction';

CREATE FUNCTION @extschema@.leave_span(
    output pg_catalog.jsonb DEFAULT NULL,
    attributes pg_catalog.jsonb DEFAULT NULL,
    error pg_catalog.jsonb DEFAULT NULL,
    status pg_catalog.text DEFAULT NULL,
    ended_at pg_catalog.timestamptz DEFAULT NULL
) RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'fms_leave_span'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.leave_span(pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.text, pg_catalog.timestamptz) IS
    'end_span for the span that was entered last, and make current what was so before it';

CREATE FUNCTION @extschema@.traceparent(span_id pg_catalog.uuid DEFAULT NULL)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'fms_traceparent'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.traceparent(pg_catalog.uuid) IS
    'traceparent of the W3C that makes a span, by default the current one, the parent of what another service does; NULL if its trace is not known';
