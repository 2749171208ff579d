/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  The functions of SQL that make, use and read a request context.
 *
 * A context travels as jsonb, {"tracingContext": {...}, "contextMap": {...}}.
 * What comes from outside is repaired, not refused: a request must not fail
 * because of the ids that it came with.  So an id that can't be one of ours is
 * left out and a new one made; a trace id that is some other text is kept in
 * the map.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "context/context.h"
#include "context/request.h"
#include "context/w3c.h"
#include "span/identity.h"

#define FOREIGN_TRACE_KEY "x-trace-id"	/* of the map: a trace id that is no uuid */
#define OTEL_SPAN 8				/* bytes of a span id that OpenTelemetry knows */

/* A request context, taken apart; all pointers into the current memory context. */
typedef struct Draft
{
	bool		has_trace;
	bool		has_span;
	bool		has_parent;
	uint8		trace_flags;
	pg_uuid_t	trace_id;
	pg_uuid_t	span_id;
	pg_uuid_t	parent_span_id;
	const char *user_id;		/* NULL: there is none */
	const char *request_id;
	const char *session_id;
	const char *tracestate;
	const char *baggage;
	Jsonb	   *map;			/* an object; NULL: empty */
} Draft;

PG_FUNCTION_INFO_V1(fms_create_request_context);
PG_FUNCTION_INFO_V1(fms_use_request_context);
PG_FUNCTION_INFO_V1(fms_current_request_context);
PG_FUNCTION_INFO_V1(fms_serialize_request_context);
PG_FUNCTION_INFO_V1(fms_deserialize_request_context);
PG_FUNCTION_INFO_V1(fms_child_request_context);
PG_FUNCTION_INFO_V1(fms_request_context_from_headers);
PG_FUNCTION_INFO_V1(fms_response_headers);
PG_FUNCTION_INFO_V1(fms_request_context_get);
PG_FUNCTION_INFO_V1(fms_request_context_set);
PG_FUNCTION_INFO_V1(fms_request_context_has);
PG_FUNCTION_INFO_V1(fms_request_context_delete);
PG_FUNCTION_INFO_V1(fms_request_context_keys);
PG_FUNCTION_INFO_V1(fms_request_context_clear);

/*
 * jsonb
 */

/* Set *value to a string, not copied. */
static void
set_string(JsonbValue *value, const char *text)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, text);
	value->val.string.len = strlen(text);
}

/* Set *value to an object, not copied. */
static void
set_object(JsonbValue *value, Jsonb *object)
{
	value->type = jbvBinary;
	value->val.binary.data = &object->root;
	value->val.binary.len = VARSIZE(object) - VARHDRSZ;
}

/* Push a key and a value. */
static void
push_value(JsonbParseState **state, const char *key, JsonbValue *value)
{
	JsonbValue	name;

	set_string(&name, key);
	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, value);
}

/* Push a key and a text, if there is one. */
static void
push_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue	value;

	if (text == NULL)
		return;
	set_string(&value, text);
	push_value(state, key, &value);
}

/* The text of a uuid. */
static char *
uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

/* An object without members. */
static Jsonb *
empty_object(void)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* One object with the members of two, where those of the second win. */
static Jsonb *
merge(Jsonb *first, Jsonb *second)
{
	if (first == NULL || second == NULL)
		return first == NULL ? second : first;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(first),
											  JsonbPGetDatum(second)));
}

/* An object with one text more, if there is one. */
static Jsonb *
with_text(Jsonb *object, const char *key, const char *text)
{
	JsonbParseState *state = NULL;

	if (text == NULL)
		return object;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, key, text);
	return merge(object, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* The member of an object that is an object; NULL if there is none. */
static Jsonb *
member_object(Jsonb *object, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&object->root, key, strlen(key), NULL);

	if (value == NULL || value->type != jbvBinary ||
		!JsonContainerIsObject(value->val.binary.data))
		return NULL;
	return JsonbValueToJsonb(value);
}

/* A scalar as text; NULL for null, for "" and for what is no scalar. */
static char *
scalar_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			if (value->val.string.len == 0)
				return NULL;
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/* The scalar member of an object as text; NULL if there is none. */
static char *
member_text(Jsonb *object, const char *key)
{
	JsonbValue *value;

	if (object == NULL)
		return NULL;
	value = getKeyJsonValueFromContainer(&object->root, key, strlen(key), NULL);
	return value == NULL ? NULL : scalar_text(value);
}

/* A jsonb argument that must be an object, or NULL.  Raises an error for others. */
static Jsonb *
object_argument(FunctionCallInfo fcinfo, int n, const char *what)
{
	Jsonb	   *value;

	if (PG_ARGISNULL(n))
		return NULL;
	value = PG_GETARG_JSONB_P(n);
	if (!JB_ROOT_IS_OBJECT(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a JSON object", what)));
	return value;
}

/*
 * Drafts
 */

/* Take a trace id; a text that is none is kept in the map. */
static void
take_trace(Draft *draft, const char *text)
{
	if (text == NULL)
		return;
	draft->has_trace = fms_request_uuid(text, strlen(text), &draft->trace_id);
	/* the nil uuid is no more than a missing one */
	if (!draft->has_trace && strspn(text, "0-") != strlen(text))
		draft->map = with_text(draft->map, FOREIGN_TRACE_KEY, text);
}

/*
 * Read the id of a span, as uuid or as the 16 digits of OpenTelemetry.  False
 * if it is neither.
 */
static bool
read_span(const Draft *draft, const char *text, pg_uuid_t *id)
{
	static const unsigned char zero[OTEL_SPAN] = {0};
	size_t		length = text == NULL ? 0 : strlen(text);

	if (!draft->has_trace || length == 0)
		return false;
	if (length == 2 * OTEL_SPAN)
	{
		memcpy(id->data, draft->trace_id.data, UUID_LEN - OTEL_SPAN);
		if (!fms_hex_read(text, id->data + UUID_LEN - OTEL_SPAN, OTEL_SPAN))
			return false;
	}
	else if (!fms_request_uuid(text, length, id))
		return false;
	return memcmp(id->data + UUID_LEN - OTEL_SPAN, zero, OTEL_SPAN) != 0;
}

/* Take a traceparent and what goes with it, as far as they are good. */
static void
take_w3c(Draft *draft, const char *traceparent, const char *tracestate, const char *baggage)
{
	FmsTraceparent parent;

	if (traceparent != NULL &&
		fms_w3c_traceparent(traceparent, strlen(traceparent), &parent) == NULL)
	{
		draft->has_trace = draft->has_span = true;
		memcpy(draft->trace_id.data, parent.trace_id, UUID_LEN);
		memcpy(draft->span_id.data, parent.trace_id, UUID_LEN - OTEL_SPAN);
		memcpy(draft->span_id.data + UUID_LEN - OTEL_SPAN, parent.span_id, OTEL_SPAN);
		draft->trace_flags = parent.flags;
		if (tracestate != NULL && fms_w3c_tracestate(tracestate, strlen(tracestate)) == NULL)
			draft->tracestate = tracestate;
	}
	if (baggage != NULL && fms_w3c_baggage(baggage, strlen(baggage)) == NULL)
		draft->baggage = baggage;
}

/* Make the ids that every request has. */
static void
complete(Draft *draft)
{
	if (!draft->has_trace)
	{
		fms_identity_new_trace(&draft->trace_id, GetCurrentTimestamp());
		draft->has_trace = true;
		draft->has_span = draft->has_parent = false;
		draft->trace_flags = FMS_FLAG_SAMPLED;
	}
	if (draft->request_id == NULL)
		draft->request_id = uuid_text(DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0)));
}

/* Take a serialised context apart; what is missing is made. */
static void
draft_from_jsonb(Jsonb *context, Draft *draft)
{
	Jsonb	   *tracing = member_object(context, "tracingContext");
	char	   *flags = NULL;
	char	   *state;

	memset(draft, 0, sizeof(*draft));
	draft->map = member_object(context, "contextMap");
	draft->trace_flags = FMS_FLAG_SAMPLED;
	if (tracing != NULL)
	{
		take_trace(draft, member_text(tracing, "traceId"));
		draft->has_span = read_span(draft, member_text(tracing, "spanId"), &draft->span_id);
		draft->has_parent = read_span(draft, member_text(tracing, "parentSpanId"),
									  &draft->parent_span_id);
		draft->user_id = member_text(tracing, "userId");
		draft->request_id = member_text(tracing, "requestId");
		draft->session_id = member_text(tracing, "sessionId");
		flags = member_text(tracing, "traceFlags");
		if (flags != NULL)
			draft->trace_flags = (uint8) (atoi(flags) & (FMS_FLAG_SAMPLED | FMS_FLAG_RANDOM));
		state = member_text(tracing, "traceState");
		if (draft->has_trace && state != NULL && fms_w3c_tracestate(state, strlen(state)) == NULL)
			draft->tracestate = state;
		take_w3c(draft, NULL, NULL, member_text(tracing, "baggage"));
	}
	complete(draft);
}

/* The value of flowmaestro.request_context as jsonb; NULL if it is empty. */
static Jsonb *
request_setting(void)
{
	if (fms_context_request[0] == '\0')
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(fms_context_request)));
}

/* The map of the request in force; NULL if there is none. */
static Jsonb *
current_map(void)
{
	Jsonb	   *setting = request_setting();

	return setting == NULL ? NULL : member_object(setting, "contextMap");
}

/* Take apart what is current; false if nothing is. */
static bool
draft_from_current(Draft *draft)
{
	const FmsContext *context = fms_context_current();

	memset(draft, 0, sizeof(*draft));
	draft->has_trace = context->has_trace;
	draft->has_span = context->has_span;
	draft->has_parent = context->has_parent;
	draft->trace_flags = context->trace_flags;
	draft->trace_id = context->trace_id;
	draft->span_id = context->span_id;
	draft->parent_span_id = context->parent_span_id;
	draft->user_id = context->user_id;
	draft->request_id = context->request_id;
	draft->session_id = context->session_id;
	draft->tracestate = context->tracestate;
	if (fms_context_baggage[0] != '\0')
		draft->baggage = fms_context_baggage;
	draft->map = current_map();
	return draft->has_trace || draft->user_id != NULL || draft->request_id != NULL ||
		draft->session_id != NULL || draft->baggage != NULL || draft->map != NULL;
}

/* Serialise a draft. */
static Jsonb *
draft_to_jsonb(const Draft *draft)
{
	JsonbParseState *state = NULL;
	JsonbValue	value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	set_string(&value, "tracingContext");
	pushJsonbValue(&state, WJB_KEY, &value);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (draft->has_trace)
		push_text(&state, "traceId", uuid_text(&draft->trace_id));
	if (draft->has_span)
		push_text(&state, "spanId", uuid_text(&draft->span_id));
	if (draft->has_parent)
		push_text(&state, "parentSpanId", uuid_text(&draft->parent_span_id));
	push_text(&state, "userId", draft->user_id);
	push_text(&state, "requestId", draft->request_id);
	push_text(&state, "sessionId", draft->session_id);
	if (draft->has_trace && draft->trace_flags != FMS_FLAG_SAMPLED)
	{
		value.type = jbvNumeric;
		value.val.numeric = int64_to_numeric(draft->trace_flags);
		push_value(&state, "traceFlags", &value);
	}
	push_text(&state, "traceState", draft->tracestate);
	push_text(&state, "baggage", draft->baggage);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	set_object(&value, draft->map == NULL ? empty_object() : draft->map);
	push_value(&state, "contextMap", &value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* A draft as a row of type request_context. */
static Datum
draft_to_row(FunctionCallInfo fcinfo, const Draft *draft)
{
	TupleDesc	desc;
	Datum		values[7] = {0};
	bool		nulls[7];
	const char *texts[3] = {draft->user_id, draft->request_id, draft->session_id};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function returning record called in context that cannot accept type record")));
	nulls[0] = !draft->has_trace;
	nulls[1] = !draft->has_span;
	nulls[2] = !draft->has_parent;
	values[0] = UUIDPGetDatum(&draft->trace_id);
	values[1] = UUIDPGetDatum(&draft->span_id);
	values[2] = UUIDPGetDatum(&draft->parent_span_id);
	for (int i = 0; i < lengthof(texts); i++)
	{
		nulls[3 + i] = texts[i] == NULL;
		if (texts[i] != NULL)
			values[3 + i] = CStringGetTextDatum(texts[i]);
	}
	nulls[6] = false;
	values[6] = JsonbPGetDatum(draft->map == NULL ? empty_object() : draft->map);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * Set the setting of a request context.  Raises an error for one that is too
 * large, before the server would put all of it into a message.
 */
static void
set_request(Jsonb *context, bool local)
{
	const char *json = context == NULL ? "" :
		JsonbToCString(NULL, &context->root, VARSIZE(context));

	if (strlen(json) > FMS_MAX_REQUEST)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("request context is too large"),
				 errdetail("It takes %zu bytes as JSON, and can take %d.",
						   strlen(json), FMS_MAX_REQUEST)));
	fms_context_set("flowmaestro.request_context", json, local);
}

/*
 * Functions of whole contexts
 */

/* A text argument; NULL for NULL and ''. */
static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	char	   *value = PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));

	return value == NULL || value[0] == '\0' ? NULL : value;
}

/*
 * create_request_context(user_id text, trace_id text, request_id text,
 *						  session_id text, ip_address text, user_agent text,
 *						  data jsonb) returns jsonb
 */
Datum
fms_create_request_context(PG_FUNCTION_ARGS)
{
	Draft		draft = {.trace_flags = FMS_FLAG_SAMPLED};

	draft.map = object_argument(fcinfo, 6, "data");
	draft.map = with_text(draft.map, "userAgent", text_argument(fcinfo, 5));
	draft.map = with_text(draft.map, "ipAddress", text_argument(fcinfo, 4));
	draft.user_id = text_argument(fcinfo, 0);
	draft.request_id = text_argument(fcinfo, 2);
	draft.session_id = text_argument(fcinfo, 3);
	take_trace(&draft, text_argument(fcinfo, 1));
	complete(&draft);
	PG_RETURN_JSONB_P(draft_to_jsonb(&draft));
}

/*
 * use_request_context(context jsonb, local bool) returns void
 *
 * Sets all that belongs to a context, so that nothing of another one is left;
 * NULL sets it all to nothing.
 */
Datum
fms_use_request_context(PG_FUNCTION_ARGS)
{
	Jsonb	   *context = object_argument(fcinfo, 0, "request context");
	bool		local = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);
	Draft		draft = {0};
	FmsTraceparent parent;
	char		formatted[FMS_TRACEPARENT_BYTES + 1] = "";

	if (context != NULL)
	{
		draft_from_jsonb(context, &draft);
		context = draft_to_jsonb(&draft);
	}
	if (draft.has_span)
	{
		memcpy(parent.trace_id, draft.trace_id.data, UUID_LEN);
		memcpy(parent.span_id, draft.span_id.data + UUID_LEN - OTEL_SPAN, OTEL_SPAN);
		parent.flags = draft.trace_flags;
		fms_w3c_format(&parent, formatted);
	}
	set_request(context, local);
	fms_context_set("flowmaestro.traceparent", formatted, local);
	fms_context_set("flowmaestro.tracestate", draft.tracestate == NULL ? "" : draft.tracestate,
					local);
	fms_context_set("flowmaestro.baggage", draft.baggage == NULL ? "" : draft.baggage, local);
	PG_RETURN_VOID();
}

/* current_request_context() returns request_context */
Datum
fms_current_request_context(PG_FUNCTION_ARGS)
{
	Draft		draft;

	if (!draft_from_current(&draft))
		PG_RETURN_NULL();
	return draft_to_row(fcinfo, &draft);
}

/* serialize_request_context() returns jsonb */
Datum
fms_serialize_request_context(PG_FUNCTION_ARGS)
{
	Draft		draft;

	if (!draft_from_current(&draft))
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(draft_to_jsonb(&draft));
}

/* deserialize_request_context(context jsonb) returns request_context */
Datum
fms_deserialize_request_context(PG_FUNCTION_ARGS)
{
	Draft		draft;

	draft_from_jsonb(object_argument(fcinfo, 0, "request context"), &draft);
	return draft_to_row(fcinfo, &draft);
}

/*
 * child_request_context(context jsonb) returns jsonb
 *
 * Of the current context if there is none given.  The span becomes the parent
 * of what the child will do; the map is the child's own.
 */
Datum
fms_child_request_context(PG_FUNCTION_ARGS)
{
	Jsonb	   *context = object_argument(fcinfo, 0, "request context");
	Draft		draft;

	if (context != NULL)
		draft_from_jsonb(context, &draft);
	else
	{
		(void) draft_from_current(&draft);
		complete(&draft);
	}
	if (draft.has_span)
	{
		draft.has_parent = true;
		draft.parent_span_id = draft.span_id;
		draft.has_span = false;
	}
	draft.map = NULL;
	PG_RETURN_JSONB_P(draft_to_jsonb(&draft));
}

/* Take the header "name" into *value, if this is it and there was none yet. */
static bool
take_header(const JsonbValue *key, const JsonbValue *value, const char *name, char **text)
{
	char	   *found;

	if (key->val.string.len != strlen(name) ||
		pg_strncasecmp(key->val.string.val, name, key->val.string.len) != 0)
		return false;
	if (*text == NULL && (found = scalar_text(value)) != NULL)
		*text = found;
	return true;
}

/*
 * request_context_from_headers(headers jsonb) returns jsonb
 *
 * Names of headers have no case.  A good traceparent says more than x-trace-id,
 * which then is kept in the map if it says something else.
 */
Datum
fms_request_context_from_headers(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"x-trace-id", "x-request-id", "x-session-id",
	"traceparent", "tracestate", "baggage"};
	char	   *texts[lengthof(names)] = {NULL};
	Jsonb	   *headers = object_argument(fcinfo, 0, "headers");
	Draft		draft = {.trace_flags = FMS_FLAG_SAMPLED};
	Draft		w3c = {0};
	JsonbIterator *iterator = JsonbIteratorInit(&headers->root);
	JsonbValue	key;
	JsonbValue	value;

	(void) JsonbIteratorNext(&iterator, &key, false);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&iterator, &value, true);
		for (int i = 0; i < lengthof(names); i++)
		{
			if (take_header(&key, &value, names[i], &texts[i]))
				break;
		}
	}
	take_trace(&draft, texts[0]);
	take_w3c(&w3c, texts[3], texts[4], texts[5]);
	draft.baggage = w3c.baggage;
	if (w3c.has_trace)
	{
		if (draft.has_trace && memcmp(&draft.trace_id, &w3c.trace_id, UUID_LEN) != 0)
			draft.map = with_text(draft.map, FOREIGN_TRACE_KEY, texts[0]);
		w3c.map = draft.map;
		draft = w3c;
	}
	draft.request_id = texts[1];
	draft.session_id = texts[2];
	complete(&draft);
	PG_RETURN_JSONB_P(draft_to_jsonb(&draft));
}

/* response_headers() returns jsonb */
Datum
fms_response_headers(PG_FUNCTION_ARGS)
{
	const FmsContext *context = fms_context_current();
	JsonbParseState *state = NULL;
	FmsTraceparent parent;
	char		formatted[FMS_TRACEPARENT_BYTES + 1];

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (context->has_trace)
		push_text(&state, "X-Trace-ID", uuid_text(&context->trace_id));
	push_text(&state, "X-Request-ID", context->request_id);
	if (context->has_span)
	{
		memcpy(parent.trace_id, context->trace_id.data, UUID_LEN);
		memcpy(parent.span_id, context->span_id.data + UUID_LEN - OTEL_SPAN, OTEL_SPAN);
		parent.flags = context->trace_flags;
		fms_w3c_format(&parent, formatted);
		push_text(&state, "traceparent", formatted);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/*
 * Functions of the key map
 */

/* Put a map into the request in force, and leave the rest of it as it is. */
static void
set_map(Jsonb *map, bool local)
{
	JsonbParseState *state = NULL;
	JsonbValue	value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	set_object(&value, map);
	push_value(&state, "contextMap", &value);
	set_request(merge(request_setting(),
					  JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL))),
				local);
}

/* The value of a key of the map; NULL if there is none. */
static JsonbValue *
find_key(Jsonb *map, text *key)
{
	if (map == NULL)
		return NULL;
	return getKeyJsonValueFromContainer(&map->root, VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), NULL);
}

/* request_context_get(key text) returns jsonb */
Datum
fms_request_context_get(PG_FUNCTION_ARGS)
{
	JsonbValue *value = find_key(current_map(), PG_GETARG_TEXT_PP(0));

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(JsonbValueToJsonb(value));
}

/* request_context_has(key text) returns boolean */
Datum
fms_request_context_has(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(find_key(current_map(), PG_GETARG_TEXT_PP(0)) != NULL);
}

/* request_context_set(key text, value jsonb, local bool) returns void */
Datum
fms_request_context_set(PG_FUNCTION_ARGS)
{
	JsonbParseState *state = NULL;
	JsonbValue	value;
	Jsonb	   *map = current_map();
	Jsonb	   *given;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("key must not be null")));
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (PG_ARGISNULL(1))
	{
		value.type = jbvNull;
		push_value(&state, text_to_cstring(PG_GETARG_TEXT_PP(0)), &value);
	}
	else
	{
		given = PG_GETARG_JSONB_P(1);
		if (!JB_ROOT_IS_SCALAR(given) || !JsonbExtractScalar(&given->root, &value))
			set_object(&value, given);
		push_value(&state, text_to_cstring(PG_GETARG_TEXT_PP(0)), &value);
	}
	set_map(merge(map, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL))),
			PG_ARGISNULL(2) || PG_GETARG_BOOL(2));
	PG_RETURN_VOID();
}

/* request_context_delete(key text, local bool) returns boolean */
Datum
fms_request_context_delete(PG_FUNCTION_ARGS)
{
	Jsonb	   *map = current_map();

	if (find_key(map, PG_GETARG_TEXT_PP(0)) == NULL)
		PG_RETURN_BOOL(false);
	set_map(DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(map),
											   PG_GETARG_DATUM(0))),
			PG_GETARG_BOOL(1));
	PG_RETURN_BOOL(true);
}

/* request_context_clear(local bool) returns void */
Datum
fms_request_context_clear(PG_FUNCTION_ARGS)
{
	if (current_map() != NULL)
		set_map(empty_object(), PG_GETARG_BOOL(0));
	PG_RETURN_VOID();
}

/* request_context_keys() returns text[] */
Datum
fms_request_context_keys(PG_FUNCTION_ARGS)
{
	Jsonb	   *map = current_map();
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;
	ArrayBuildState *keys = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	if (map == NULL)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(TEXTOID));
	iterator = JsonbIteratorInit(&map->root);
	(void) JsonbIteratorNext(&iterator, &key, false);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&iterator, &value, true);
		(void) accumArrayResult(keys,
								PointerGetDatum(cstring_to_text_with_len(key.val.string.val,
																		 key.val.string.len)),
								false, TEXTOID, CurrentMemoryContext);
	}
	return makeArrayResult(keys, CurrentMemoryContext);
}
