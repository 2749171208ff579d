/*-------------------------------------------------------------------------
 *
 * context.c
 *	  The settings of the request context, and what is current by them.
 *
 * A check hook takes a text apart and leaves the result as the setting's
 * "extra"; an assign hook puts the context together from the extras of the
 * values in force.  So the context is always ready, and follows every way in
 * which a value of a setting can come or go.
 *
 * Which trace is current, the first of these that there is:
 *	- the last span that enter_span entered in this transaction;
 *	- the comment of the running statement, unless the statement itself has
 *	  set another trace;
 *	- flowmaestro.traceparent, then the trace in flowmaestro.request_context;
 *	- application_name.
 *
 * A parallel worker gets settings and statement of its leader.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "context/context.h"
#include "context/parse.h"
#include "context/w3c.h"
#include "span/jsonb.h"

#define SPAN_PREFIX 8			/* bytes of a span id that are its trace's */
#define MAX_ENTERED 1000		/* spans that are entered; beyond, the
								 * outermost are forgotten */
#define ATTRIBUTES_BYTES (3 * FMS_CONTEXT_ID_BYTES + 128)	/* three ids as jsonb,
															 * and more */

/* values of flowmaestro.read_traceparent: bits */
#define READ_COMMENT 0x01
#define READ_APPLICATION_NAME 0x02

static const struct config_enum_entry read_modes[] = {
	{"off", 0, false},
	{"comment", READ_COMMENT, false},
	{"application_name", READ_APPLICATION_NAME, false},
	{"any", READ_COMMENT | READ_APPLICATION_NAME, false},
	{NULL, 0, false}
};

static char *traceparent_setting;
static char *tracestate_setting;
char	   *fms_context_baggage;
char	   *fms_context_request;
static char *entered_setting;
static int	read_mode = READ_COMMENT;

/* the extras of the values in force; NULL: empty */
static const FmsTraceparent *traceparent;
static const char *tracestate;
static const FmsContextRequest *request;
static const FmsEntered *entered;

static FmsContext settled;		/* by the settings */
static FmsContext statement;	/* the same with what the statement brings */

/* when the settings' trace was set: the start of that statement */
static TimestampTz settled_at;

/* what "statement" was made of */
static bool statement_stale = true;
static const char *statement_query;
static const char *statement_application;
static TimestampTz statement_at;
static char statement_tracestate[FMS_MAX_TRACESTATE + 1];

/* {"userId", ...}, made when it is first asked for */
static bool attributes_stale = true;
static bool attributes_empty;
static union
{
	Jsonb		jsonb;
	char		bytes[ATTRIBUTES_BYTES];
}			attributes;

/* Make a traceparent the current trace and span. */
static void
take_traceparent(FmsContext *context, const FmsTraceparent *parent)
{
	pg_uuid_t	full = context->span_id;
	bool		known = context->has_span &&
		memcmp(context->trace_id.data, parent->trace_id, UUID_LEN) == 0 &&
		memcmp(full.data + SPAN_PREFIX, parent->span_id, SPAN_PREFIX) == 0;

	/*
	 * the request knows all 16 bytes of a span id that did not begin like its
	 * trace
	 */
	if (!known)
	{
		context->has_parent = false;
		memcpy(full.data, parent->trace_id, SPAN_PREFIX);
		memcpy(full.data + SPAN_PREFIX, parent->span_id, SPAN_PREFIX);
	}
	context->has_trace = true;
	context->has_span = true;
	memcpy(context->trace_id.data, parent->trace_id, UUID_LEN);
	context->span_id = full;
	context->trace_flags = parent->flags;
}

/* An id of a request, or NULL if there is none. */
static const char *
id_or_null(const char *id)
{
	return id[0] == '\0' ? NULL : id;
}

/* Make the span that was entered last the current one. */
static void
take_entered(FmsContext *context)
{
	if (!context->has_trace ||
		memcmp(&context->trace_id, &entered->trace_id, UUID_LEN) != 0)
	{
		context->trace_flags = FMS_FLAG_SAMPLED;
		context->tracestate = NULL;
	}
	context->has_trace = context->has_span = true;
	context->has_parent = entered->has_parent;
	context->trace_id = entered->trace_id;
	context->span_id = entered->span_id;
	context->parent_span_id = entered->parent_span_id;
}

/* Whether two contexts tell of the same trace and span. */
static bool
same_trace(const FmsContext *a, const FmsContext *b)
{
	return a->has_trace == b->has_trace && a->has_span == b->has_span &&
		memcmp(&a->trace_id, &b->trace_id, UUID_LEN) == 0 &&
		memcmp(&a->span_id, &b->span_id, UUID_LEN) == 0;
}

/* Put the context together from the settings in force. */
static void
settle_context(void)
{
	FmsContext	context = {0};

	if (request != NULL)
	{
		context.has_trace = request->has_trace;
		context.has_span = request->has_span;
		context.has_parent = request->has_parent;
		context.trace_id = request->trace_id;
		context.span_id = request->span_id;
		context.parent_span_id = request->parent_span_id;
		context.trace_flags = request->trace_flags;
		context.user_id = id_or_null(request->user_id);
		context.request_id = id_or_null(request->request_id);
		context.session_id = id_or_null(request->session_id);
	}
	if (traceparent != NULL)
		take_traceparent(&context, traceparent);
	if (context.has_trace)
		context.tracestate = tracestate;
	if (entered != NULL)
		take_entered(&context);
	/* a worker's settings are those that its leader's statement began with */
	if (!same_trace(&context, &settled) && !InitializingParallelWorker)
		settled_at = GetCurrentStatementStartTimestamp();
	settled = context;
	statement_stale = true;
}

/* Add what the running statement brings to what the settings say. */
static void
read_statement(TimestampTz now)
{
	FmsTraceparent parent;

	statement = settled;
	if ((read_mode & READ_COMMENT) && debug_query_string != NULL &&
		!(settled.has_trace && settled_at == now) &&
		fms_w3c_comment(debug_query_string, strlen(debug_query_string), &parent,
						statement_tracestate, sizeof(statement_tracestate)))
	{
		take_traceparent(&statement, &parent);
		statement.tracestate = statement_tracestate[0] == '\0' ? NULL : statement_tracestate;
	}
	else if ((read_mode & READ_APPLICATION_NAME) && !settled.has_trace &&
			 application_name != NULL &&
			 fms_w3c_traceparent(application_name, strlen(application_name), &parent) == NULL)
		take_traceparent(&statement, &parent);
	statement_query = debug_query_string;
	statement_application = application_name;
	statement_at = now;
	statement_stale = false;
}

/* What is current now; see context.h. */
const FmsContext *
fms_context_current(void)
{
	TimestampTz now;

	if (read_mode == 0 || entered != NULL)
		return &settled;
	/* two messages can have their text at one address, but not at one time */
	now = GetCurrentStatementStartTimestamp();
	if (statement_stale || debug_query_string != statement_query || now != statement_at ||
		application_name != statement_application)
		read_statement(now);
	return &statement;
}

/* Push a key and an id, if there is one that the encoding allows. */
static void
push_id(FmsJsonbState *state, const char *key, const char *id)
{
	/* options of a connection come as bytes that nobody has looked at */
	if (id == NULL || !pg_verifymbstr(id, strlen(id), true))
		return;
	fms_jsonb_string(state, key, id);
	attributes_empty = false;
}

/* Make the attributes of the request in force. */
static void
make_attributes(void)
{
	FmsJsonbState state = {0};
	Jsonb	   *made;

	attributes_empty = true;
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	push_id(&state, "userId", settled.user_id);
	push_id(&state, "requestId", settled.request_id);
	push_id(&state, "sessionId", settled.session_id);
	made = fms_jsonb_end(&state, WJB_END_OBJECT);
	Assert(VARSIZE(made) <= sizeof(attributes));
	memcpy(&attributes, made, VARSIZE(made));
	pfree(made);
	attributes_stale = false;
}

/* The context's part of a span's attributes; see context.h. */
Jsonb *
fms_context_attributes(void)
{
	if (request == NULL)
		return NULL;
	if (attributes_stale)
		make_attributes();
	return attributes_empty ? NULL : &attributes.jsonb;
}

/* Set a setting of this room from C, for the transaction or for the session. */
void
fms_context_set(const char *name, const char *value, bool local)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 local ? GUC_ACTION_LOCAL : GUC_ACTION_SET, true, 0, false);
}

/* Make a span the current one; see context.h. */
void
fms_context_enter(const pg_uuid_t *trace_id, const pg_uuid_t *span_id,
				  const pg_uuid_t *parent_span_id, uint32 mark)
{
	FmsEntered	frame = {.trace_id = *trace_id, .span_id = *span_id, .mark = mark};
	const char *outer = entered_setting;
	size_t		length = strlen(outer);
	char	   *frames;

	frame.has_parent = parent_span_id != NULL;
	if (frame.has_parent)
		frame.parent_span_id = *parent_span_id;
	if (length >= MAX_ENTERED * FMS_ENTERED_BYTES)
	{
		outer += FMS_ENTERED_BYTES;
		length -= FMS_ENTERED_BYTES;
	}
	frames = palloc(length + FMS_ENTERED_BYTES + 1);
	memcpy(frames, outer, length);
	fms_entered_write(&frame, frames + length);
	frames[length + FMS_ENTERED_BYTES] = '\0';
	fms_context_set("flowmaestro.entered_spans", frames, true);
	pfree(frames);
}

/* Make the span that was current before the last one current; see context.h. */
void
fms_context_leave(void)
{
	size_t		length = strlen(entered_setting);
	char	   *frames = pnstrdup(entered_setting, length - Min(length, FMS_ENTERED_BYTES));

	fms_context_set("flowmaestro.entered_spans", frames, true);
	pfree(frames);
}

/* A span that is entered; see context.h. */
bool
fms_context_entered_span(int nth, pg_uuid_t *span_id, uint32 *mark)
{
	size_t		length;
	size_t		inner = (size_t) nth * FMS_ENTERED_BYTES;
	FmsEntered	frame;

	if (entered == NULL)
		return false;
	length = strlen(entered_setting);
	if (length <= inner || !fms_entered_read(entered_setting, length - inner, &frame))
		return false;
	*span_id = frame.span_id;
	*mark = frame.mark;
	return true;
}

/* Say what is wrong with a value; false, for a check hook to return. */
static bool
refuse_value(const char *fault, const char *hint)
{
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errdetail("%s", fault);
	GUC_check_errhint("%s", hint);
	return false;
}

/* Keep what a check hook has found out; false if there is no memory. */
static bool
keep_extra(void **extra, const void *found, size_t size)
{
	*extra = fms_guc_malloc(size);
	if (*extra != NULL)
		memcpy(*extra, found, size);
	return *extra != NULL;
}

/* Check hook of flowmaestro.traceparent. */
static bool
check_traceparent(char **newval, void **extra, GucSource source)
{
	FmsTraceparent parent;
	const char *fault;

	if (*newval == NULL || (*newval)[0] == '\0')
		return true;
	fault = fms_w3c_traceparent(*newval, strlen(*newval), &parent);
	if (fault != NULL)
		return refuse_value(fault,
							"It is 00-, 32 hexadecimal digits, -, 16 digits, -, and 2 digits, all in lower case.");
	return keep_extra(extra, &parent, sizeof(parent));
}

/* Assign hook of flowmaestro.traceparent. */
static void
assign_traceparent(const char *newval, void *extra)
{
	traceparent = extra;
	settle_context();
}

/* Check hook of flowmaestro.tracestate. */
static bool
check_tracestate(char **newval, void **extra, GucSource source)
{
	const char *fault = *newval == NULL ? NULL : fms_w3c_tracestate(*newval, strlen(*newval));

	return fault == NULL ||
		refuse_value(fault,
					 "A tracestate is a list of up to 32 key=value members, separated by commas.");
}

/* Assign hook of flowmaestro.tracestate. */
static void
assign_tracestate(const char *newval, void *extra)
{
	tracestate = newval == NULL || newval[0] == '\0' ? NULL : newval;
	settle_context();
}

/* Check hook of flowmaestro.baggage. */
static bool
check_baggage(char **newval, void **extra, GucSource source)
{
	const char *fault = *newval == NULL ? NULL : fms_w3c_baggage(*newval, strlen(*newval));

	return fault == NULL ||
		refuse_value(fault,
					 "Baggage is a list of key=value members, separated by commas, percent-encoded.");
}

/* Check hook of flowmaestro.request_context. */
static bool
check_request(char **newval, void **extra, GucSource source)
{
	MemoryContext scratch;
	MemoryContext old;
	FmsContextRequest parsed;
	const char *fault;

	if (*newval == NULL || (*newval)[0] == '\0')
		return true;
	scratch = AllocSetContextCreate(CurrentMemoryContext, "flowmaestro request context",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(scratch);
	fault = fms_parse_request(*newval, &parsed);
	MemoryContextSwitchTo(old);
	if (fault != NULL)
		refuse_value(fault,
					 "It is what serialize_request_context() returns; use_request_context() sets it.");
	MemoryContextDelete(scratch);
	return fault == NULL && keep_extra(extra, &parsed, sizeof(parsed));
}

/* Assign hook of flowmaestro.request_context. */
static void
assign_request(const char *newval, void *extra)
{
	request = extra;
	attributes_stale = true;
	settle_context();
}

/* Check hook of flowmaestro.entered_spans. */
static bool
check_entered(char **newval, void **extra, GucSource source)
{
	FmsEntered	last;

	if (*newval == NULL || (*newval)[0] == '\0')
		return true;
	if (!fms_entered_read(*newval, strlen(*newval), &last))
		return refuse_value("It is not a list of spans.", "enter_span() and leave_span() set it.");
	return keep_extra(extra, &last, sizeof(last));
}

/* Assign hook of flowmaestro.entered_spans. */
static void
assign_entered(const char *newval, void *extra)
{
	entered = extra;
	settle_context();
}

/* Assign hook of flowmaestro.read_traceparent. */
static void
assign_read_mode(int newval, void *extra)
{
	statement_stale = true;
}

/* Define the settings of the context; called once in a process. */
void
fms_context_define_settings(void)
{
	int			flags = GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE;

	DefineCustomStringVariable("flowmaestro.traceparent",
							   "Trace and span that the work belongs to, as a traceparent of the W3C.",
							   NULL,
							   &traceparent_setting, "", PGC_USERSET, flags,
							   check_traceparent, assign_traceparent, NULL);
	DefineCustomStringVariable("flowmaestro.tracestate",
							   "Tracestate of the W3C that came with flowmaestro.traceparent.",
							   NULL,
							   &tracestate_setting, "", PGC_USERSET, flags,
							   check_tracestate, assign_tracestate, NULL);
	DefineCustomStringVariable("flowmaestro.baggage",
							   "Baggage of the W3C that came with the request.",
							   NULL,
							   &fms_context_baggage, "", PGC_USERSET, flags,
							   check_baggage, NULL, NULL);
	DefineCustomStringVariable("flowmaestro.request_context",
							   "Ids and data of the request that the work belongs to.",
							   "A JSON object: tracingContext and contextMap.",
							   &fms_context_request, "", PGC_USERSET, flags,
							   check_request, assign_request, NULL);
	DefineCustomStringVariable("flowmaestro.entered_spans",
							   "Spans that enter_span has entered in this transaction.",
							   NULL,
							   &entered_setting, "", PGC_SUSET,
							   flags | GUC_NO_SHOW_ALL,
							   check_entered, assign_entered, NULL);
	DefineCustomEnumVariable("flowmaestro.read_traceparent",
							 "Where a statement's own traceparent is looked for.",
							 "In a comment at its end or beginning, or in application_name.",
							 &read_mode, READ_COMMENT, read_modes, PGC_USERSET, 0,
							 NULL, assign_read_mode, NULL);
}
