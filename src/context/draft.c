/*-------------------------------------------------------------------------
 *
 * draft.c
 *	  A request context on its way between jsonb and the settings.
 *
 * A context travels as jsonb, {"tracingContext": {...}, "contextMap": {...}}.
 * What comes from outside is repaired, not refused: a request must not fail
 * because of the ids that it came with.  So an id that can't be one of ours is
 * left out and a new one made; a trace id that is some other text is kept in
 * the map.
 *
 * Everything is allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "context/draft.h"
#include "context/parse.h"
#include "context/w3c.h"
#include "span/identity.h"
#include "span/jsonb.h"
#include "span/text.h"

#define OTEL_SPAN 8				/* bytes of a span id that OpenTelemetry knows */

/* An object with one text more, if there is one. */
Jsonb *
fms_draft_with_text(Jsonb *object, const char *key, const char *text)
{
	FmsJsonbState state = {0};

	if (text == NULL)
		return object;
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_string(&state, key, text);
	return fms_jsonb_merge(object, fms_jsonb_end(&state, WJB_END_OBJECT));
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
char *
fms_draft_scalar_text(const JsonbValue *value)
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
	return value == NULL ? NULL : fms_draft_scalar_text(value);
}

/* Take a trace id; a text that is none is kept in the map. */
void
fms_draft_take_trace(FmsContextDraft *draft, const char *text)
{
	if (text == NULL)
		return;
	draft->has_trace = fms_parse_uuid(text, strlen(text), &draft->trace_id);
	/* the nil uuid is no more than a missing one */
	if (!draft->has_trace && strspn(text, "0-") != strlen(text))
		draft->map = fms_draft_with_text(draft->map, FMS_FOREIGN_TRACE_KEY, text);
}

/*
 * Read the id of a span, as uuid or as the 16 digits of OpenTelemetry.  False
 * if it is neither.
 */
static bool
read_draft_span(const FmsContextDraft *draft, const char *text, pg_uuid_t *id)
{
	size_t		length = text == NULL ? 0 : strlen(text);

	if (!draft->has_trace || length == 0)
		return false;
	if (length == 2 * OTEL_SPAN)
	{
		memcpy(id->data, draft->trace_id.data, UUID_LEN - OTEL_SPAN);
		if (!fms_hex_read(text, id->data + UUID_LEN - OTEL_SPAN, OTEL_SPAN))
			return false;
	}
	else if (!fms_parse_uuid(text, length, id))
		return false;
	return !fms_all_zero(id->data + UUID_LEN - OTEL_SPAN, OTEL_SPAN);
}

/* Take a traceparent and what goes with it, as far as they are good. */
void
fms_draft_take_w3c(FmsContextDraft *draft, const char *traceparent, const char *tracestate,
				   const char *baggage)
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
void
fms_draft_complete(FmsContextDraft *draft)
{
	if (!draft->has_trace)
	{
		fms_identity_new_trace(&draft->trace_id, GetCurrentTimestamp());
		draft->has_trace = true;
		draft->has_span = draft->has_parent = false;
		draft->trace_flags = FMS_FLAG_SAMPLED;
	}
	if (draft->request_id == NULL)
	{
		Datum		id = DirectFunctionCall1(gen_random_uuid, (Datum) 0);

		draft->request_id = fms_uuid_text(DatumGetUUIDP(id));
	}
}

/* Take a serialised context apart; what is missing is made. */
void
fms_draft_from_jsonb(Jsonb *context, FmsContextDraft *draft)
{
	Jsonb	   *tracing = member_object(context, "tracingContext");
	char	   *flags = NULL;
	char	   *state;

	memset(draft, 0, sizeof(*draft));
	draft->map = member_object(context, "contextMap");
	draft->trace_flags = FMS_FLAG_SAMPLED;
	if (tracing != NULL)
	{
		fms_draft_take_trace(draft, member_text(tracing, "traceId"));
		draft->has_span = read_draft_span(draft, member_text(tracing, "spanId"), &draft->span_id);
		draft->has_parent = read_draft_span(draft, member_text(tracing, "parentSpanId"),
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
		fms_draft_take_w3c(draft, NULL, NULL, member_text(tracing, "baggage"));
	}
	fms_draft_complete(draft);
}

/* The value of flowmaestro.request_context as jsonb; NULL if it is empty. */
Jsonb *
fms_draft_setting(void)
{
	if (fms_context_request[0] == '\0')
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(fms_context_request)));
}

/* The map of the request in force; NULL if there is none. */
Jsonb *
fms_draft_current_map(void)
{
	Jsonb	   *setting = fms_draft_setting();

	return setting == NULL ? NULL : member_object(setting, "contextMap");
}

/* Take apart what is current; false if nothing is. */
bool
fms_draft_from_current(FmsContextDraft *draft)
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
	draft->map = fms_draft_current_map();
	return draft->has_trace || draft->user_id != NULL || draft->request_id != NULL ||
		draft->session_id != NULL || draft->baggage != NULL || draft->map != NULL;
}

/* Serialise a draft. */
Jsonb *
fms_draft_to_jsonb(const FmsContextDraft *draft)
{
	FmsJsonbState state = {0};

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_key(&state, "tracingContext");
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	if (draft->has_trace)
		fms_jsonb_string(&state, "traceId", fms_uuid_text(&draft->trace_id));
	if (draft->has_span)
		fms_jsonb_string(&state, "spanId", fms_uuid_text(&draft->span_id));
	if (draft->has_parent)
		fms_jsonb_string(&state, "parentSpanId", fms_uuid_text(&draft->parent_span_id));
	fms_jsonb_string(&state, "userId", draft->user_id);
	fms_jsonb_string(&state, "requestId", draft->request_id);
	fms_jsonb_string(&state, "sessionId", draft->session_id);
	if (draft->has_trace && draft->trace_flags != FMS_FLAG_SAMPLED)
		fms_jsonb_integer(&state, "traceFlags", draft->trace_flags);
	fms_jsonb_string(&state, "traceState", draft->tracestate);
	fms_jsonb_string(&state, "baggage", draft->baggage);
	fms_jsonb_push(&state, WJB_END_OBJECT, NULL);
	fms_jsonb_nested(&state, "contextMap", draft->map == NULL ? fms_jsonb_empty() : draft->map);
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/*
 * Set the setting of a request context.  Raises an error for one that is too
 * large, before the server would put all of it into a message.
 */
void
fms_draft_set(Jsonb *context, bool local)
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
