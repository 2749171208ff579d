-- Room context: the request that a session works for.

CREATE TYPE @extschema@.request_context AS (
    trace_id uuid,
    span_id uuid,
    parent_span_id uuid,
    user_id text,
    request_id text,
    session_id text,
    data jsonb
);
COMMENT ON TYPE @extschema@.request_context IS
    'a request context: the ids of the request, the current span and its parent, and the key map';

CREATE FUNCTION @extschema@.create_request_context(
    user_id text DEFAULT NULL,
    trace_id text DEFAULT NULL,
    request_id text DEFAULT NULL,
    session_id text DEFAULT NULL,
    ip_address text DEFAULT NULL,
    user_agent text DEFAULT NULL,
    data jsonb DEFAULT NULL
) RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_create_request_context'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.create_request_context IS
    'a new serialised request context; the ids of trace and request are made if they are missing';

CREATE FUNCTION @extschema@.request_context_from_headers(headers jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_request_context_from_headers'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.request_context_from_headers IS
    'the request context of HTTP headers: x-trace-id, x-request-id, x-session-id, traceparent, tracestate, baggage; what is not good is ignored';

CREATE FUNCTION @extschema@.use_request_context(
    context jsonb,
    local bool DEFAULT true
) RETURNS void
AS 'MODULE_PATHNAME', 'fms_use_request_context'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.use_request_context IS
    'make a serialised request context the current one, of the transaction or of the session; NULL: none';

CREATE FUNCTION @extschema@.current_request_context()
RETURNS @extschema@.request_context
AS 'MODULE_PATHNAME', 'fms_current_request_context'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.current_request_context IS 'the request context that is current, NULL if there is none';

CREATE FUNCTION @extschema@.serialize_request_context()
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_serialize_request_context'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.serialize_request_context IS
    'the request context that is current, as {tracingContext, contextMap} to travel; NULL if there is none';

CREATE FUNCTION @extschema@.deserialize_request_context(context jsonb)
RETURNS @extschema@.request_context
AS 'MODULE_PATHNAME', 'fms_deserialize_request_context'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.deserialize_request_context IS
    'the row of a serialised request context; the ids of trace and request are made if they are missing';

CREATE FUNCTION @extschema@.child_request_context(context jsonb DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_child_request_context'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.child_request_context IS
    'a context for a nested operation, by default of the current one: its span becomes the parent, its key map is not inherited';

CREATE FUNCTION @extschema@.response_headers()
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_response_headers'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.response_headers IS
    'the headers of a response: X-Trace-ID, X-Request-ID and traceparent of the current context';

CREATE FUNCTION @extschema@.request_context_get(key text)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_request_context_get'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.request_context_get IS
    'the value of a key of the current context, NULL if there is none';

CREATE FUNCTION @extschema@.request_context_has(key text)
RETURNS bool
AS 'MODULE_PATHNAME', 'fms_request_context_has'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.request_context_has IS 'whether the current context has a key';

CREATE FUNCTION @extschema@.request_context_keys()
RETURNS text[]
AS 'MODULE_PATHNAME', 'fms_request_context_keys'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.request_context_keys IS 'the keys of the current context';

CREATE FUNCTION @extschema@.request_context_set(
    key text,
    value jsonb,
    local bool DEFAULT true
) RETURNS void
AS 'MODULE_PATHNAME', 'fms_request_context_set'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.request_context_set IS
    'set a key of the current context, for the transaction or for the session';

CREATE FUNCTION @extschema@.request_context_delete(
    key text,
    local bool DEFAULT true
) RETURNS bool
AS 'MODULE_PATHNAME', 'fms_request_context_delete'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.request_context_delete IS
    'remove a key of the current context; false if there is no such key';

CREATE FUNCTION @extschema@.request_context_clear(local bool DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'fms_request_context_clear'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.request_context_clear IS 'remove all keys of the current context; its ids stay';
