-- Room record: the table of spans, and the functions that record them.

CREATE TYPE @extschema@.span_context AS (
    trace_id uuid,
    span_id uuid,
    parent_span_id uuid
);
COMMENT ON TYPE @extschema@.span_context IS
    'identity of a span: what create_span returns, and what a child or an end needs';

CREATE TABLE @extschema@.execution_spans (
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    parent_span_id uuid,
    name text NOT NULL,
    span_type text NOT NULL,
    entity_id text,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    duration_ms float8,
    status text NOT NULL,
    input jsonb,
    output jsonb,
    error jsonb,
    attributes jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    events jsonb,
    links jsonb,
    otlp jsonb
) PARTITION BY RANGE (started_at);

COMMENT ON TABLE @extschema@.execution_spans IS
    'spans of traces, one row a span, partitioned by started_at; keys and indexes are on the partitions';
COMMENT ON COLUMN @extschema@.execution_spans.trace_id IS 'trace of the span (OpenTelemetry trace id as uuid)';
COMMENT ON COLUMN @extschema@.execution_spans.span_id IS
    'the span; ids made here are the first 8 bytes of the trace id and the 8 bytes of the OpenTelemetry span id';
COMMENT ON COLUMN @extschema@.execution_spans.parent_span_id IS 'span that this one is part of; NULL for a root';
COMMENT ON COLUMN @extschema@.execution_spans.name IS
    'name of the span; empty while only the end or attributes of the span have been seen';
COMMENT ON COLUMN @extschema@.execution_spans.span_type IS 'kind of work, for example agent_run or model_generation';
COMMENT ON COLUMN @extschema@.execution_spans.entity_id IS 'workflow, agent or other thing that the span belongs to';
COMMENT ON COLUMN @extschema@.execution_spans.started_at IS 'start of the work';
COMMENT ON COLUMN @extschema@.execution_spans.ended_at IS 'end of the work; NULL while it runs';
COMMENT ON COLUMN @extschema@.execution_spans.duration_ms IS 'ended_at - started_at in milliseconds';
COMMENT ON COLUMN @extschema@.execution_spans.status IS 'started, completed, failed or cancelled';
COMMENT ON COLUMN @extschema@.execution_spans.input IS 'what the work was given; NULL if not recorded';
COMMENT ON COLUMN @extschema@.execution_spans.output IS 'what the work gave back; NULL if not recorded';
COMMENT ON COLUMN @extschema@.execution_spans.error IS 'why the work failed: an object with at least message and type';
COMMENT ON COLUMN @extschema@.execution_spans.attributes IS 'named values of the span, an object, never NULL';
COMMENT ON COLUMN @extschema@.execution_spans.created_at IS 'when the first record of the span was taken';
COMMENT ON COLUMN @extschema@.execution_spans.events IS 'array of {name, time, attributes} in the order of recording';
COMMENT ON COLUMN @extschema@.execution_spans.links IS 'array of links to spans of other traces';
COMMENT ON COLUMN @extschema@.execution_spans.otlp IS
    'fields of an OTLP span that have no column of their own; NULL for a span recorded from SQL';

CREATE FUNCTION @extschema@.create_span(
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
AS 'MODULE_PATHNAME', 'fms_create_span'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.create_span IS
    'start a span; a repeated call with the same span_id returns the first one''s context and merges attributes';

CREATE FUNCTION @extschema@.create_child_span(
    parent_span_id uuid,
    name text,
    span_type text,
    entity_id text DEFAULT NULL,
    attributes jsonb DEFAULT NULL,
    input jsonb DEFAULT NULL,
    span_id uuid DEFAULT NULL,
    started_at timestamptz DEFAULT NULL
) RETURNS @extschema@.span_context
AS 'MODULE_PATHNAME', 'fms_create_child_span'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.create_child_span IS 'start a span below another one, in that one''s trace';

CREATE FUNCTION @extschema@.end_span(
    span_id uuid,
    output jsonb DEFAULT NULL,
    attributes jsonb DEFAULT NULL,
    error jsonb DEFAULT NULL,
    status text DEFAULT NULL,
    ended_at timestamptz DEFAULT NULL
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_end_span'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.end_span IS
    'end a span: failed if there is an error, else completed; the first end wins, a later one changes nothing and returns false';

CREATE FUNCTION @extschema@.end_span_with_error(
    span_id uuid,
    error text,
    attributes jsonb DEFAULT NULL,
    ended_at timestamptz DEFAULT NULL
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_end_span_with_error_text'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.end_span_with_error(uuid, text, jsonb, timestamptz) IS
    'end a span as failed with an error message';

CREATE FUNCTION @extschema@.end_span_with_error(
    span_id uuid,
    error jsonb,
    attributes jsonb DEFAULT NULL,
    ended_at timestamptz DEFAULT NULL
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_end_span_with_error_jsonb'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.end_span_with_error(uuid, jsonb, jsonb, timestamptz) IS
    'end a span as failed with an error object, completed to {message, type}';

CREATE FUNCTION @extschema@.format_error(error jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_format_error'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.format_error(jsonb) IS
    'an error in any form as an object with a message and a type, as end_span_with_error stores it';

CREATE FUNCTION @extschema@.format_error(
    message text,
    code text DEFAULT NULL,
    stack text DEFAULT NULL,
    type text DEFAULT NULL
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'message', coalesce(message, 'Unknown error'),
        'type', coalesce(type, CASE WHEN code IS NULL THEN 'Error' ELSE 'DatabaseError' END),
        'code', code,
        'stack', stack))
$$;
COMMENT ON FUNCTION @extschema@.format_error(text, text, text, text) IS
    'an error object of a message, an SQLSTATE and a context, as GET STACKED DIAGNOSTICS gives them';

CREATE FUNCTION @extschema@.set_span_attributes(
    span_id uuid,
    attributes jsonb
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_set_span_attributes'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.set_span_attributes IS
    'merge attributes into a span, running or ended; later keys win; false if the record was dropped';

CREATE FUNCTION @extschema@.add_span_event(
    span_id uuid,
    name text,
    attributes jsonb DEFAULT NULL,
    at timestamptz DEFAULT NULL
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_add_span_event'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.add_span_event IS
    'append an event to a span, running or ended; false if the record was dropped';

CREATE FUNCTION @extschema@.cancel_trace(
    trace_id uuid,
    reason text DEFAULT NULL
) RETURNS int8
AS 'MODULE_PATHNAME', 'fms_cancel_trace'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.cancel_trace IS 'end every running span of a trace as cancelled; returns how many';

CREATE FUNCTION @extschema@.deterministic_span_id(
    trace_id uuid,
    key text
) RETURNS uuid
AS 'MODULE_PATHNAME', 'fms_deterministic_span_id'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.deterministic_span_id IS
    'the span id that belongs to a key in a trace, the same in every retry and replay';
