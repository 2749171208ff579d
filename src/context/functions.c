/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  The functions of SQL that make, use and read a whole request context.
 *
 * Those that only make or take apart a context change nothing; use alone sets
 * the settings, and sets all of them, so that nothing of the context before is
 * mixed in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "compat.h"
#include "context/draft.h"
#include "context/parse.h"
#include "context/w3c.h"
#include "span/jsonb.h"
#include "span/text.h"

#define OTEL_SPAN 8				/* bytes of a span id that OpenTelemetry knows */

PG_FUNCTION_INFO_V1(fms_create_request_context);
PG_FUNCTION_INFO_V1(fms_use_request_context);
PG_FUNCTION_INFO_V1(fms_current_request_context);
PG_FUNCTION_INFO_V1(fms_serialize_request_context);
PG_FUNCTION_INFO_V1(fms_deserialize_request_context);
PG_FUNCTION_INFO_V1(fms_child_request_context);
PG_FUNCTION_INFO_V1(fms_request_context_from_headers);
PG_FUNCTION_INFO_V1(fms_response_headers);

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

/* A draft as a row of type request_context. */
static Datum
draft_to_row(FunctionCallInfo fcinfo, const FmsContextDraft *draft)
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
	values[6] = JsonbPGetDatum(draft->map == NULL ? fms_jsonb_empty() : draft->map);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

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
	FmsContextDraft draft = {.trace_flags = FMS_FLAG_SAMPLED};

	draft.map = object_argument(fcinfo, 6, "data");
	draft.map = fms_draft_with_text(draft.map, "userAgent", text_argument(fcinfo, 5));
	draft.map = fms_draft_with_text(draft.map, "ipAddress", text_argument(fcinfo, 4));
	draft.user_id = text_argument(fcinfo, 0);
	draft.request_id = text_argument(fcinfo, 2);
	draft.session_id = text_argument(fcinfo, 3);
	fms_draft_take_trace(&draft, text_argument(fcinfo, 1));
	fms_draft_complete(&draft);
	PG_RETURN_JSONB_P(fms_draft_to_jsonb(&draft));
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
	FmsContextDraft draft = {0};
	FmsTraceparent parent;
	char		formatted[FMS_TRACEPARENT_BYTES + 1] = "";

	if (context != NULL)
	{
		fms_draft_from_jsonb(context, &draft);
		context = fms_draft_to_jsonb(&draft);
	}
	if (draft.has_span)
	{
		memcpy(parent.trace_id, draft.trace_id.data, UUID_LEN);
		memcpy(parent.span_id, draft.span_id.data + UUID_LEN - OTEL_SPAN, OTEL_SPAN);
		parent.flags = draft.trace_flags;
		fms_w3c_format(&parent, formatted);
	}
	fms_draft_set(context, local);
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
	FmsContextDraft draft;

	if (!fms_draft_from_current(&draft))
		PG_RETURN_NULL();
	return draft_to_row(fcinfo, &draft);
}

/* serialize_request_context() returns jsonb */
Datum
fms_serialize_request_context(PG_FUNCTION_ARGS)
{
	FmsContextDraft draft;

	if (!fms_draft_from_current(&draft))
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(fms_draft_to_jsonb(&draft));
}

/* deserialize_request_context(context jsonb) returns request_context */
Datum
fms_deserialize_request_context(PG_FUNCTION_ARGS)
{
	FmsContextDraft draft;

	fms_draft_from_jsonb(object_argument(fcinfo, 0, "request context"), &draft);
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
	FmsContextDraft draft;

	if (context != NULL)
		fms_draft_from_jsonb(context, &draft);
	else
	{
		(void) fms_draft_from_current(&draft);
		fms_draft_complete(&draft);
	}
	if (draft.has_span)
	{
		draft.has_parent = true;
		draft.parent_span_id = draft.span_id;
		draft.has_span = false;
	}
	draft.map = NULL;
	PG_RETURN_JSONB_P(fms_draft_to_jsonb(&draft));
}

/* Take the header "name" into *value, if this is it and there was none yet. */
static bool
take_header(const JsonbValue *key, const JsonbValue *value, const char *name, char **text)
{
	char	   *found;

	if (key->val.string.len != strlen(name) ||
		pg_strncasecmp(key->val.string.val, name, key->val.string.len) != 0)
		return false;
	if (*text == NULL && (found = fms_draft_scalar_text(value)) != NULL)
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
	FmsContextDraft draft = {.trace_flags = FMS_FLAG_SAMPLED};
	FmsContextDraft w3c = {0};
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
	fms_draft_take_trace(&draft, texts[0]);
	fms_draft_take_w3c(&w3c, texts[3], texts[4], texts[5]);
	draft.baggage = w3c.baggage;
	if (w3c.has_trace)
	{
		if (draft.has_trace && memcmp(&draft.trace_id, &w3c.trace_id, UUID_LEN) != 0)
			draft.map = fms_draft_with_text(draft.map, FMS_FOREIGN_TRACE_KEY, texts[0]);
		w3c.map = draft.map;
		draft = w3c;
	}
	draft.request_id = texts[1];
	draft.session_id = texts[2];
	fms_draft_complete(&draft);
	PG_RETURN_JSONB_P(fms_draft_to_jsonb(&draft));
}

/* response_headers() returns jsonb */
Datum
fms_response_headers(PG_FUNCTION_ARGS)
{
	const FmsContext *context = fms_context_current();
	FmsJsonbState state = {0};
	FmsTraceparent parent;
	char		formatted[FMS_TRACEPARENT_BYTES + 1];

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	if (context->has_trace)
		fms_jsonb_string(&state, "X-Trace-ID", fms_uuid_text(&context->trace_id));
	fms_jsonb_string(&state, "X-Request-ID", context->request_id);
	if (context->has_span)
	{
		memcpy(parent.trace_id, context->trace_id.data, UUID_LEN);
		memcpy(parent.span_id, context->span_id.data + UUID_LEN - OTEL_SPAN, OTEL_SPAN);
		parent.flags = context->trace_flags;
		fms_w3c_format(&parent, formatted);
		fms_jsonb_string(&state, "traceparent", formatted);
	}
	PG_RETURN_JSONB_P(fms_jsonb_end(&state, WJB_END_OBJECT));
}
