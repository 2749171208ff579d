-- Room record: the current span of a transaction.

CREATE FUNCTION @extschema@.enter_span(
    name text,
    span_type text,
    entity_id text DEFAULT NULL,
    attributes jsonb DEFAULT NULL,
    input jsonb DEFAULT NULL,
    trace_id uuid DEFAULT NULL,
    parent_span_id uuid DEFAULT NULL,
    span_id uuid DEFAULT NULL,
    started_at timestamptz DEFAULT NULL
) RETURNS @extschema@.span_context
AS 'MODULE_PATHNAME', 'fms_enter_span'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.enter_span IS
    'create_span, and make the span the current one until leave_span or the end of the transaction';

CREATE FUNCTION @extschema@.leave_span(
    output jsonb DEFAULT NULL,
    attributes jsonb DEFAULT NULL,
    error jsonb DEFAULT NULL,
    status text DEFAULT NULL,
    ended_at timestamptz DEFAULT NULL
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_leave_span'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.leave_span IS
    'end_span for the span that was entered last, and make current what was so before it';

CREATE FUNCTION @extschema@.traceparent(span_id uuid DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'fms_traceparent'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.traceparent IS
    'traceparent of the W3C that makes a span, by default the current one, the parent of what another service does; NULL if its trace is not known';
