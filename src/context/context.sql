-- Room context: the request that a session works for.

CREATE TYPE @extschema@.request_context AS (
    trace_id pg_catalog.uuid,
    span_id pg_catalog.uuid,
    parent_span_id pg_catalog.uuid,
    user_id pg_catalog.text,
    request_id pg_catalog.text,
    session_id pg_catalog.text,
    data pg_catalog.jsonb
);
COMMENT ON TYPE @extschema@.request_context IS
    'a request context: the ids of the request, the current span and its parent, and the key map';

CREATE FUNCTION @extschema@.create_request_context(
    user_id pg_catalog.text DEFAULT NULL,
    trace_id pg_catalog.text DEFAULT NULL,
    request_id pg_catalog.text DEFAULT NULL,
    session_id pg_catalog.text DEFAULT NULL,
    ip_address pg_catalog.text DEFAULT NULL,
    user_agent pg_catalog.text DEFAULT NULL,
    data pg_catalog.jsonb DEFAULT NULL
) RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_create_request_context'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.create_request_context(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS
    'a new serialised request context; the ids of trace and request are made if they are missing';

CREATE FUNCTION @extschema@.request_context_from_headers(headers pg_catalog.jsonb)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_request_context_from_headers'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.request_context_from_headers(pg_catalog.jsonb) IS
    'the request context of HTTP headers: x-trace-id, x-request-id, x-session-id, traceparent, tracestate, baggage; what is not good is ignored';

CREATE FUNCTION @extschema@.use_request_context(
    context pg_catalog.jsonb,
    local pg_catalog.bool DEFAULT true
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'fms_use_request_context'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.use_request_context(pg_catalog.jsonb, pg_catalog.bool) IS
    'make a serialised request context the current one, of the transaction or of the session; NULL: none';

CREATE FUNCTION @extschema@.current_request_context()
RETURNS @extschema@.request_context
AS 'MODULE_PATHNAME', 'fms_current_request_context'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.current_request_context() IS
    'the request context that is current, NULL if there is none';

CREATE FUNCTION @extschema@.serialize_request_context()
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_serialize_request_context'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.serialize_request_context() IS
    'the request context that is current, as {tracingContext, contextMap} to travel; NULL if there is none';

CREATE FUNCTION @extschema@.deserialize_request_context(context pg_catalog.jsonb)
RETURNS @extschema@.request_context
AS 'MODULE_PATHNAME', 'fms_deserialize_request_context'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.deserialize_request_context(pg_catalog.jsonb) IS
    'the row of a serialised request context; the ids of trace and request are made if they are missing';

CREATE FUNCTION @extschema@.child_request_context(context pg_catalog.jsonb DEFAULT NULL)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_child_request_context'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.child_request_context(pg_catalog.jsonb) IS
    'a context for a nested operation, by default of the current one: its span becomes the parent, its key map is not inherited';

CREATE FUNCTION @extschema@.response_headers()
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_response_headers'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.response_headers() IS
    'the headers of a response: X-Trace-ID, X-Request-ID and traceparent of the current context';

CREATE FUNCTION @extschema@.request_context_get(key pg_catalog.text)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'fms_request_context_get'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.request_context_get(pg_catalog.text) IS
    'the value of a key of the current context, NULL if there is none';

CREATE FUNCTION @extschema@.request_context_has(key pg_catalog.text)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'fms_request_context_has'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.request_context_has(pg_catalog.text) IS
    'whether the current context has a key';

CREATE FUNCTION @extschema@.request_context_keys()
RETURNS pg_catalog.text[]
AS 'MODULE_PATHNAME', 'fms_request_context_keys'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.request_context_keys() IS
    'the keys of the current context';

CREATE FUNCTION @extschema@.request_context_set(
    key pg_catalog.text,
    value pg_catalog.jsonb,
    local pg_catalog.bool DEFAULT true
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'fms_request_context_set'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.request_context_set(pg_catalog.text, pg_catalog.jsonb, pg_catalog.bool) IS
    'set a key of the current context, for the transaction or for the session';

CREATE FUNCTION @extschema@.request_context_delete(
    key pg_catalog.text,
    local pg_catalog.bool DEFAULT true
) RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'fms_request_context_delete'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.request_context_delete(pg_catalog.text, pg_catalog.bool) IS
    'remove a key of the current context; false if there is no such key';

CREATE FUNCTION @extschema@.request_context_clear(local pg_catalog.bool DEFAULT true)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'fms_request_context_clear'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.request_context_clear(pg_catalog.bool) IS
    'remove all keys of the current context; its ids stay';
