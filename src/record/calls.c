/*-------------------------------------------------------------------------
 *
 * calls.c
 *	  The recording functions of SQL.
 *
 * Each function checks its arguments, makes one event and has it
 * recorded.  Only arguments raise errors: an application must not fail
 * because it is traced.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "lib/qunique.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "context/context.h"
#include "record/calls.h"
#include "record/claim.h"
#include "record/record.h"
#include "span/identity.h"
#include "span/payload.h"
#include "table/owner.h"

PG_FUNCTION_INFO_V1(fms_create_span);
PG_FUNCTION_INFO_V1(fms_create_child_span);
PG_FUNCTION_INFO_V1(fms_end_span);
PG_FUNCTION_INFO_V1(fms_end_span_with_error_text);
PG_FUNCTION_INFO_V1(fms_end_span_with_error_jsonb);
PG_FUNCTION_INFO_V1(fms_set_span_attributes);
PG_FUNCTION_INFO_V1(fms_add_span_event);
PG_FUNCTION_INFO_V1(fms_cancel_trace);
PG_FUNCTION_INFO_V1(fms_format_error);

/*
 * A uuid argument, or NULL.  Raises an error for the nil uuid; "made" tells
 * that a missing one is made.
 */
static const pg_uuid_t *
optional_id(FunctionCallInfo fcinfo, int n, const char *what, bool made)
{
	pg_uuid_t  *id;

	if (PG_ARGISNULL(n))
		return NULL;
	id = PG_GETARG_UUID_P(n);
	if (fms_identity_is_nil(id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be nil", what),
				 made ? errhint("Leave %s out to have one made.", what) : 0));
	return id;
}

/* A uuid argument that must be there.  Raises an error for NULL and nil. */
static const pg_uuid_t *
required_id(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	return optional_id(fcinfo, n, what, false);
}

/* The part for a text that must be there.  Raises an error for NULL and ''. */
static void
required_text(FunctionCallInfo fcinfo, int n, const char *what, FmsPart *part,
			  bool *truncated)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	fms_payload_text(part, PG_GETARG_TEXT_PP(n), truncated);
	if (part->length == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", what)));
}

/* A jsonb argument, or NULL; JSON null stays a value. */
static Jsonb *
optional_jsonb(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/* Whether a jsonb is JSON null. */
static bool
is_json_null(Jsonb *value)
{
	JsonbValue	scalar;

	return JB_ROOT_IS_SCALAR(value) && JsonbExtractScalar(&value->root, &scalar) &&
		scalar.type == jbvNull;
}

/*
 * The attributes of an argument: an object, or none.  JSON null, which drivers
 * make of a missing value, is none.  Raises an error for anything else.
 */
static void
optional_attributes(FunctionCallInfo fcinfo, int n, FmsEvent *event, bool *truncated)
{
	Jsonb	   *attributes = optional_jsonb(fcinfo, n);

	if (attributes != NULL && !JB_ROOT_IS_OBJECT(attributes))
	{
		if (!is_json_null(attributes))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("attributes must be a JSON object"),
					 errdetail("The value is a JSON %s.",
							   JB_ROOT_IS_SCALAR(attributes) ? "scalar" : "array")));
		attributes = NULL;
	}
	fms_payload_jsonb(&event->part[FMS_PART_ATTRIBUTES], attributes, truncated);
}

/* A time argument, or "now".  Raises an error for what no span can have. */
static TimestampTz
optional_time(FunctionCallInfo fcinfo, int n, const char *what, TimestampTz now)
{
	TimestampTz at;

	if (PG_ARGISNULL(n))
		return now;
	at = PG_GETARG_TIMESTAMPTZ(n);
	if (at < FMS_FIRST_TIME || at > FMS_LAST_TIME)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("%s is out of range", what),
				 errdetail("Spans can lie between 1970-01-01 and 2262-04-11.")));
	return at;
}

/* An event about a span, now. */
static void
begin_call(FmsEvent *event, FmsEventKind kind)
{
	memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->pid = MyProcPid;
	event->recorded_at = GetCurrentTimestamp();
}

/* Hand an event over, counting what was cut off. */
static bool
record(FmsEvent *event, bool truncated)
{
	if (truncated)
		fms_record_truncated();
	return fms_record(event);
}

/* The descriptor of span_context, looked up once for a call site. */
static TupleDesc
context_descriptor(FunctionCallInfo fcinfo)
{
	MemoryContext old;
	TupleDesc	desc = fcinfo->flinfo->fn_extra;

	if (desc != NULL)
		return desc;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function returning record called in context that cannot accept type record")));
	desc = BlessTupleDesc(desc);
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = desc;
	return desc;
}

/* The span_context of a start that was recorded. */
Datum
fms_span_datum(FunctionCallInfo fcinfo, FmsEvent *event)
{
	Datum		values[3];
	bool		nulls[3] = {false, false, !(event->flags & FMS_HAS_PARENT)};

	values[0] = UUIDPGetDatum(&event->trace_id);
	values[1] = UUIDPGetDatum(&event->span_id);
	values[2] = UUIDPGetDatum(&event->parent_span_id);
	return HeapTupleGetDatum(heap_form_tuple(context_descriptor(fcinfo), values, nulls));
}

/*
 * The parent that the context gives a span of one's own trace, or of the trace
 * given: the current span, else the parent that the context has for the next.
 * NULL if there is none.  A span is not made its own parent: it can be the one
 * that a traceparent tells of.
 */
static const pg_uuid_t *
context_parent(const FmsContext *context, const pg_uuid_t *trace_id, const pg_uuid_t *span_id)
{
	if (!context->has_trace ||
		(trace_id != NULL && memcmp(trace_id, &context->trace_id, UUID_LEN) != 0))
		return NULL;
	if (context->has_span &&
		(span_id == NULL || memcmp(span_id, &context->span_id, UUID_LEN) != 0))
		return &context->span_id;
	return context->has_parent ? &context->parent_span_id : NULL;
}

/*
 * The trace of a span: the caller's; else that of its parent, if that is known;
 * else that of the context.  Returns false if there is none of them.
 */
static bool
find_trace(const FmsContext *context, const pg_uuid_t *trace_id, const pg_uuid_t *parent,
		   pg_uuid_t *trace)
{
	FmsSpanRef	ref;

	if (trace_id != NULL)
		*trace = *trace_id;
	else if (parent != NULL &&
			 !(context->has_span && memcmp(parent, &context->span_id, UUID_LEN) == 0) &&
			 fms_claim_find(parent, &ref) && !ref.stub)
		*trace = ref.trace_id;
	else if (context->has_trace)
		*trace = context->trace_id;
	else
		return false;
	return true;
}

/*
 * Give a start its ids: the caller's where there are any, else those of the
 * context, else new ones; and what the context adds to its attributes.
 */
static void
set_event_identity(FmsEvent *event, const pg_uuid_t *trace_id, const pg_uuid_t *parent,
				   const pg_uuid_t *span_id)
{
	const FmsContext *context = fms_context_current();
	Jsonb	   *attributes = fms_context_attributes();

	if (parent == NULL)
	{
		parent = context_parent(context, trace_id, span_id);
		if (trace_id == NULL && context->has_trace)
			trace_id = &context->trace_id;
	}
	if (parent != NULL)
	{
		event->parent_span_id = *parent;
		event->flags |= FMS_HAS_PARENT;
	}
	if (!find_trace(context, trace_id, parent, &event->trace_id))
		fms_identity_new_trace(&event->trace_id, event->at);
	if (span_id != NULL)
	{
		event->span_id = *span_id;
		event->flags |= FMS_CALLER_ID;
	}
	else
		fms_identity_new_span(&event->span_id, &event->trace_id);
	if (attributes != NULL)
	{
		event->part[FMS_PART_CONTEXT].data = (const char *) attributes;
		event->part[FMS_PART_CONTEXT].length = VARSIZE(attributes);
	}
}

/*
 * Begin a start from the arguments that both ways of creating share: name,
 * span_type, entity_id, attributes and input from number "first" on, and
 * started_at as number "time".
 */
static void
begin_start(FunctionCallInfo fcinfo, int first, int time, FmsEvent *event, bool *truncated)
{
	begin_call(event, FMS_EVENT_START);
	required_text(fcinfo, first, "name", &event->part[FMS_PART_NAME], truncated);
	required_text(fcinfo, first + 1, "span_type", &event->part[FMS_PART_TYPE], truncated);
	fms_payload_text(&event->part[FMS_PART_ENTITY],
					 PG_ARGISNULL(first + 2) ? NULL : PG_GETARG_TEXT_PP(first + 2), truncated);
	optional_attributes(fcinfo, first + 3, event, truncated);
	fms_payload_jsonb(&event->part[FMS_PART_INPUT], optional_jsonb(fcinfo, first + 4), truncated);
	event->at = optional_time(fcinfo, time, "started_at", event->recorded_at);
}

/*
 * Record the start of a span from the arguments of create_span and enter_span.
 * *event comes back with the ids that the span really has.
 */
void
fms_span_start(FunctionCallInfo fcinfo, FmsEvent *event)
{
	bool		truncated = false;
	const pg_uuid_t *trace_id = optional_id(fcinfo, 5, "trace_id", true);
	const pg_uuid_t *parent = optional_id(fcinfo, 6, "parent_span_id", false);
	const pg_uuid_t *span_id = optional_id(fcinfo, 7, "span_id", true);

	begin_start(fcinfo, 0, 8, event, &truncated);
	set_event_identity(event, trace_id, parent, span_id);
	(void) record(event, truncated);
}

/*
 * create_span(name text, span_type text, entity_id text, attributes jsonb,
 *			   input jsonb, trace_id uuid, parent_span_id uuid, span_id uuid,
 *			   started_at timestamptz) returns span_context
 */
Datum
fms_create_span(PG_FUNCTION_ARGS)
{
	FmsEvent	event;

	fms_span_start(fcinfo, &event);
	return fms_span_datum(fcinfo, &event);
}

/*
 * create_child_span(parent_span_id uuid, name text, span_type text,
 *					 entity_id text, attributes jsonb, input jsonb,
 *					 span_id uuid, started_at timestamptz) returns span_context
 *
 * A child of a parent that nobody knows yet is in the trace of the context, or
 * else in one of its own.
 */
Datum
fms_create_child_span(PG_FUNCTION_ARGS)
{
	FmsEvent	event;
	bool		truncated = false;
	const pg_uuid_t *parent = required_id(fcinfo, 0, "parent_span_id");
	const pg_uuid_t *span_id = optional_id(fcinfo, 6, "span_id", true);

	begin_start(fcinfo, 1, 7, &event, &truncated);
	set_event_identity(&event, NULL, parent, span_id);
	(void) record(&event, truncated);
	return fms_span_datum(fcinfo, &event);
}

/* The status of an end that names one.  Raises an error for any other text. */
static FmsStatus
parse_status(text *status)
{
	char	   *name = text_to_cstring(status);
	FmsStatus	parsed = fms_table_parse_status(name);

	if (parsed != FMS_STATUS_STARTED)
		return parsed;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid status of an ended span: \"%.*s\"",
					pg_mbcliplen(name, strlen(name), 64), name),
			 errhint("Use \"completed\", \"failed\" or \"cancelled\".")));
	return FMS_STATUS_FAILED;	/* keep compiler quiet */
}

/*
 * End a span by the arguments that end_span and leave_span share: output,
 * attributes, error, status and ended_at, from number "first" on.  False if it
 * had ended, or if the record was dropped.
 */
bool
fms_span_end(FunctionCallInfo fcinfo, const pg_uuid_t *span_id, int first)
{
	FmsEvent	event;
	bool		truncated = false;
	Jsonb	   *error = optional_jsonb(fcinfo, first + 2);

	/* a missing error travels as JSON null from most drivers */
	if (error != NULL)
		error = is_json_null(error) ? NULL : fms_payload_error_from_jsonb(error);
	begin_call(&event, FMS_EVENT_END);
	event.span_id = *span_id;
	fms_payload_jsonb(&event.part[FMS_PART_OUTPUT], optional_jsonb(fcinfo, first), &truncated);
	optional_attributes(fcinfo, first + 1, &event, &truncated);
	fms_payload_jsonb(&event.part[FMS_PART_ERROR], error, &truncated);
	if (!PG_ARGISNULL(first + 3))
		event.status = parse_status(PG_GETARG_TEXT_PP(first + 3));
	else
		event.status = error != NULL ? FMS_STATUS_FAILED : FMS_STATUS_COMPLETED;
	event.at = optional_time(fcinfo, first + 4, "ended_at", event.recorded_at);
	return record(&event, truncated);
}

/*
 * end_span(span_id uuid, output jsonb, attributes jsonb, error jsonb,
 *			status text, ended_at timestamptz) returns boolean
 */
Datum
fms_end_span(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(fms_span_end(fcinfo, required_id(fcinfo, 0, "span_id"), 1));
}

/* End a span as failed: what both forms of end_span_with_error do. */
static bool
end_with_error(FunctionCallInfo fcinfo, Jsonb *error)
{
	FmsEvent	event;
	bool		truncated = false;
	const pg_uuid_t *span_id = required_id(fcinfo, 0, "span_id");

	begin_call(&event, FMS_EVENT_END);
	event.span_id = *span_id;
	event.status = FMS_STATUS_FAILED;
	fms_payload_jsonb(&event.part[FMS_PART_ERROR], error, &truncated);
	optional_attributes(fcinfo, 2, &event, &truncated);
	event.at = optional_time(fcinfo, 3, "ended_at", event.recorded_at);
	return record(&event, truncated);
}

/*
 * end_span_with_error(span_id uuid, error text, attributes jsonb,
 *					   ended_at timestamptz) returns boolean
 */
Datum
fms_end_span_with_error_text(PG_FUNCTION_ARGS)
{
	text	   *message = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);

	PG_RETURN_BOOL(end_with_error(fcinfo, fms_payload_error_from_text(message, "Error")));
}

/*
 * end_span_with_error(span_id uuid, error jsonb, attributes jsonb,
 *					   ended_at timestamptz) returns boolean
 */
Datum
fms_end_span_with_error_jsonb(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(end_with_error(fcinfo,
								  fms_payload_error_from_jsonb(optional_jsonb(fcinfo, 1))));
}

/* set_span_attributes(span_id uuid, attributes jsonb) returns boolean */
Datum
fms_set_span_attributes(PG_FUNCTION_ARGS)
{
	FmsEvent	event;
	bool		truncated = false;
	const pg_uuid_t *span_id = required_id(fcinfo, 0, "span_id");

	begin_call(&event, FMS_EVENT_ATTRIBUTES);
	event.span_id = *span_id;
	event.at = event.recorded_at;
	optional_attributes(fcinfo, 1, &event, &truncated);
	PG_RETURN_BOOL(record(&event, truncated));
}

/*
 * add_span_event(span_id uuid, name text, attributes jsonb, at timestamptz)
 * returns boolean
 */
Datum
fms_add_span_event(PG_FUNCTION_ARGS)
{
	FmsEvent	event;
	bool		truncated = false;
	const pg_uuid_t *span_id = required_id(fcinfo, 0, "span_id");

	begin_call(&event, FMS_EVENT_EVENT);
	event.span_id = *span_id;
	required_text(fcinfo, 1, "name", &event.part[FMS_PART_NAME], &truncated);
	optional_attributes(fcinfo, 2, &event, &truncated);
	event.at = optional_time(fcinfo, 3, "at", event.recorded_at);
	PG_RETURN_BOOL(record(&event, truncated));
}

/* Order of span ids. */
static int
compare_uuids(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

/*
 * The running spans of a trace, each once: one that is in memory and in the table
 * is told twice.  Their order, which is that of the table's keys, makes the
 * look-ups of their ends go through an index from left to right.
 */
static pg_uuid_t *
running_once(const pg_uuid_t *trace_id, int *count)
{
	pg_uuid_t  *spans = fms_claim_running(trace_id, count);

	qsort(spans, *count, sizeof(pg_uuid_t), compare_uuids);
	*count = (int) qunique(spans, *count, sizeof(pg_uuid_t), compare_uuids);
	return spans;
}

/*
 * cancel_trace(trace_id uuid, reason text) returns bigint
 *
 * A span that ends by itself at the same moment keeps its own end and is not
 * counted.  What an end allocates is given back before the next one: a trace can
 * have any number of spans.
 */
Datum
fms_cancel_trace(PG_FUNCTION_ARGS)
{
	FmsEvent	event;
	FmsPart		error = {NULL, 0};
	bool		truncated = false;
	const pg_uuid_t *trace_id = required_id(fcinfo, 0, "trace_id");
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "cancelled span",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	pg_uuid_t  *spans;
	int			count;
	int64		cancelled = 0;

	if (!PG_ARGISNULL(1))
		fms_payload_jsonb(&error, fms_payload_error_from_text(PG_GETARG_TEXT_PP(1), "Cancelled"),
						  &truncated);
	spans = running_once(trace_id, &count);
	old = MemoryContextSwitchTo(context);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		begin_call(&event, FMS_EVENT_END);
		event.span_id = spans[i];
		event.status = FMS_STATUS_CANCELLED;
		event.at = event.recorded_at;
		event.part[FMS_PART_ERROR] = error;
		cancelled += record(&event, truncated);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	pfree(spans);
	PG_RETURN_INT64(cancelled);
}

/* format_error(error jsonb) returns jsonb */
Datum
fms_format_error(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(fms_payload_error_from_jsonb(optional_jsonb(fcinfo, 0)));
}
