/*-------------------------------------------------------------------------
 *
 * enter.c
 *	  The current span of a transaction, and its way out to others.
 *
 * enter_span and leave_span are create_span and end_span of a span that is the
 * current one in between.  Where the stack of such spans lives, and what brings
 * it back at a rollback, is context/'s.
 *
 * A span that is not left ends with what it was entered in: completed at the
 * end of the transaction, failed when the transaction or subtransaction is
 * rolled back.  A frame's mark is the subtransaction that entered it; their
 * numbers grow, so a rollback takes the frames from its own number on.  Zero
 * marks a span whose row goes with the rollback.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "context/context.h"
#include "context/w3c.h"
#include "record/calls.h"
#include "record/claim.h"
#include "record/enter.h"
#include "record/record.h"
#include "span/identity.h"
#include "span/payload.h"

#define OTEL_SPAN 8				/* last bytes of a span id, which
								 * OpenTelemetry knows */

/* what an end at a rollback needs, made while errors are allowed */
static Oid	entered_table = InvalidOid;
static Jsonb *rollback_error = NULL;

PG_FUNCTION_INFO_V1(fms_enter_span);
PG_FUNCTION_INFO_V1(fms_leave_span);
PG_FUNCTION_INFO_V1(fms_traceparent);

/* Begin the end of a span that was not left. */
static void
begin_end(FmsEvent *event, const pg_uuid_t *span_id, FmsStatus status)
{
	memset(event, 0, sizeof(*event));
	event->kind = FMS_EVENT_END;
	event->status = status;
	event->pid = MyProcPid;
	event->table = entered_table;
	event->span_id = *span_id;
	event->at = event->recorded_at = GetCurrentTimestamp();
}

/*
 * The transaction is about to commit or to be prepared: end what was not left.
 * Errors can still be raised.
 */
void
fms_enter_end_at_commit(void)
{
	FmsEvent	event;
	pg_uuid_t	span_id;
	uint32		mark;

	if (!fms_context_entered_span(0, &span_id, &mark))
		return;
	/* what looks at the table needs a snapshot, and there is none any more */
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; fms_context_entered_span(i, &span_id, &mark); i++)
	{
		begin_end(&event, &span_id, FMS_STATUS_COMPLETED);
		(void) fms_record(&event);
	}
	PopActiveSnapshot();
}

/*
 * A subtransaction, or with TopSubTransactionId the transaction, is rolled
 * back: end what was entered in it and not left.  Must not fail.
 */
void
fms_enter_end_at_abort(SubTransactionId from)
{
	FmsEvent	event;
	pg_uuid_t	span_id;
	uint32		mark;

	if (rollback_error == NULL)
		return;
	for (int i = 0; fms_context_entered_span(i, &span_id, &mark); i++)
	{
		if (mark < from)
			continue;
		begin_end(&event, &span_id, FMS_STATUS_FAILED);
		event.part[FMS_PART_ERROR].data = (const char *) rollback_error;
		event.part[FMS_PART_ERROR].length = VARSIZE(rollback_error);
		fms_record_end_at_abort(&event);
	}
}

/* Prepare for a rollback, after the start of a span. */
static void
prepare_for_abort(const FmsEvent *start)
{
	MemoryContext old;

	entered_table = start->table;
	if (rollback_error != NULL)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	rollback_error = fms_payload_error_from_text(cstring_to_text("The transaction was rolled back."),
												 "Rollback");
	MemoryContextSwitchTo(old);
}

/*
 * enter_span(name text, span_type text, entity_id text, attributes jsonb,
 *			  input jsonb, trace_id uuid, parent_span_id uuid, span_id uuid,
 *			  started_at timestamptz) returns span_context
 */
Datum
fms_enter_span(PG_FUNCTION_ARGS)
{
	FmsEvent	event;

	fms_span_start(fcinfo, &event);
	prepare_for_abort(&event);
	fms_context_enter(&event.trace_id, &event.span_id,
					  event.flags & FMS_HAS_PARENT ? &event.parent_span_id : NULL,
					  event.flags & FMS_IN_TRANSACTION ? InvalidSubTransactionId :
					  GetCurrentSubTransactionId());
	return fms_span_datum(fcinfo, &event);
}

/*
 * leave_span(output jsonb, attributes jsonb, error jsonb, status text,
 *			  ended_at timestamptz) returns boolean
 *
 * Raises an error if no span is entered: whatever it would end instead is not
 * what the caller means.
 */
Datum
fms_leave_span(PG_FUNCTION_ARGS)
{
	pg_uuid_t	span_id;
	uint32		mark;
	bool		ended;

	if (!fms_context_entered_span(0, &span_id, &mark))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no span is entered"),
				 errdetail("A span is entered until leave_span, a rollback, or the end of its transaction."),
				 errhint("Call enter_span before in the same transaction, or end_span with an id.")));
	ended = fms_span_end(fcinfo, &span_id, 0);
	fms_context_leave();
	PG_RETURN_BOOL(ended);
}

/*
 * The trace of a span: as memory and table know it; else the context's, if the
 * id begins like that.  False if it can't be told.
 */
static bool
trace_of(const pg_uuid_t *span_id, const FmsContext *context, pg_uuid_t *trace_id)
{
	FmsSpanRef	ref;

	if (context->has_span && memcmp(span_id, &context->span_id, UUID_LEN) == 0)
		*trace_id = context->trace_id;
	else if (fms_claim_find(span_id, &ref) && !ref.stub)
		*trace_id = ref.trace_id;
	else if (context->has_trace &&
			 memcmp(span_id, &context->trace_id, UUID_LEN - OTEL_SPAN) == 0)
		*trace_id = context->trace_id;
	else
		return false;
	return true;
}

/*
 * traceparent(span_id uuid) returns text
 *
 * NULL for a span whose trace nobody knows, and without a current span.  The
 * flags are the context's in its trace; what is recorded here is sampled.
 */
Datum
fms_traceparent(PG_FUNCTION_ARGS)
{
	const FmsContext *context = fms_context_current();
	const pg_uuid_t *span_id;
	pg_uuid_t	trace_id;
	FmsTraceparent parent;
	char		formatted[FMS_TRACEPARENT_BYTES + 1];

	if (PG_ARGISNULL(0) && !context->has_span)
		PG_RETURN_NULL();
	span_id = PG_ARGISNULL(0) ? &context->span_id : PG_GETARG_UUID_P(0);
	if (!trace_of(span_id, context, &trace_id))
		PG_RETURN_NULL();
	memcpy(parent.trace_id, trace_id.data, UUID_LEN);
	memcpy(parent.span_id, span_id->data + UUID_LEN - OTEL_SPAN, OTEL_SPAN);
	parent.flags = FMS_FLAG_SAMPLED;
	if (context->has_trace && memcmp(&context->trace_id, &trace_id, UUID_LEN) == 0)
		parent.flags = context->trace_flags;
	fms_w3c_format(&parent, formatted);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(formatted, FMS_TRACEPARENT_BYTES));
}
