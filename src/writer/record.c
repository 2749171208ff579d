/*-------------------------------------------------------------------------
 *
 * record.c
 *	  Where an event goes: the recorder of span.h.
 *
 * Memory decides first (tracked.c), the table second: what memory does not
 * hold is either in the table or unknown.  Between the two looks the writer
 * may move a span from one to the other; the ring's tail tells if it did.
 *
 * A whole span is not looked for in the table, and memory makes no entry for
 * it: a look-up for each span of a batch would cost more than its write.  The
 * writer's statement finds the row of the span in the partition of its start,
 * where it is, for a span that is sent again has the same start.  The limit: a
 * span that was opened from SQL with another start, whose place in memory is
 * gone (max_active_spans), gets a second row if the two starts are in two
 * partitions; and a stub whose place in memory is gone stays one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "span/payload.h"
#include "table/lookup.h"
#include "table/owner.h"
#include "table/partition.h"
#include "writer/record.h"
#include "writer/transaction.h"

bool		fms_enabled = true;
int			fms_write_mode = FMS_MODE_BUFFERED;

/* Take over what is known of the span that an event is about. */
static void
take_ref(FmsEvent *event, const FmsSpanRef *ref)
{
	if (ref->unsure)
		event->flags |= FMS_LOOK_UP;
	/* a stub's trace is not yet known; it is looked up when the row is written */
	if (ref->stub)
		return;
	event->trace_id = ref->trace_id;
	event->started_at = ref->started_at;
	event->flags |= FMS_HAS_TRACE;
	if (event->kind != FMS_EVENT_START && event->kind != FMS_EVENT_SPAN)
		return;
	event->at = ref->started_at;
	event->parent_span_id = ref->parent_span_id;
	event->flags &= ~FMS_HAS_PARENT;
	if (ref->has_parent)
		event->flags |= FMS_HAS_PARENT;
}

/* Make an event of a span that memory did not hold and the table does. */
static FmsClaim
claim_row(FmsEvent *event, FmsSpanRef *ref)
{
	FmsSpanRef	other;
	FmsClaim	claim;

	if (event->kind == FMS_EVENT_END && ref->ended)
		return FMS_CLAIM_ENDED;
	take_ref(event, ref);
	if (event->kind == FMS_EVENT_START && ref->stub)
		event->flags |= FMS_ADOPT_STUB | (ref->ended ? FMS_STUB_ENDED : 0);
	else if (event->kind != FMS_EVENT_END)
		return FMS_CLAIM_FOUND;
	if (fms_control == NULL)
		return FMS_CLAIM_UNTRACKED;
	/* this end or start is not in the table: the next one has to find it here */
	claim = fms_tracked_claim(event, true, &other);
	if (claim == FMS_CLAIM_FOUND && event->kind == FMS_EVENT_START)
	{
		event->flags &= ~(FMS_ADOPT_STUB | FMS_STUB_ENDED);
		take_ref(event, &other);
	}
	return claim;
}

/* Whether events go into the buffer; a read-only transaction can still be traced there. */
static bool
is_buffered(void)
{
	return fms_control != NULL && (fms_write_mode == FMS_MODE_BUFFERED || XactReadOnly);
}

/*
 * Claim the span of an event, in memory if there is memory, and complete the
 * event with what is known of the span.  FMS_CLAIM_ENDED: there is nothing to
 * record.  If the table cannot be looked at without waiting, the event is
 * recorded as one of an unknown span, with FMS_LOOK_UP.
 */
FmsClaim
fms_record_claim(FmsEvent *event)
{
	FmsSlot    *slot = fms_buffer_slot();
	FmsClaim	claim = FMS_CLAIM_MISSING;
	FmsLook		look = FMS_LOOK_NONE;
	FmsSpanRef	ref;
	uint64		moves;

	/* nobody can know an id that was just made */
	if (event->kind == FMS_EVENT_START && !(event->flags & FMS_CALLER_ID))
		return fms_control == NULL ? FMS_CLAIM_UNTRACKED : fms_tracked_claim(event, true, &ref);
	do
	{
		moves = slot == NULL ? 0 : fms_buffer_moves();
		if (fms_control != NULL)
			claim = fms_tracked_claim(event, false, &ref);
		if (claim == FMS_CLAIM_MISSING)
			look = fms_lookup_span(&event->span_id, !is_buffered(), &ref);
		if (claim == FMS_CLAIM_MISSING && look == FMS_LOOK_FOUND)
			return claim_row(event, &ref);
	} while (claim == FMS_CLAIM_MISSING && look == FMS_LOOK_NONE && slot != NULL &&
			 fms_buffer_moves() != moves);
	if (claim == FMS_CLAIM_MISSING && look == FMS_LOOK_BUSY)
		event->flags |= FMS_LOOK_UP;
	if (claim == FMS_CLAIM_MISSING)
		claim = fms_control == NULL ? FMS_CLAIM_UNTRACKED : fms_tracked_claim(event, true, &ref);
	if (claim == FMS_CLAIM_NEW && look == FMS_LOOK_NONE && event->kind == FMS_EVENT_START)
		event->flags |= FMS_IS_NEW;
	if (claim == FMS_CLAIM_FOUND)
		take_ref(event, &ref);
	else if (claim == FMS_CLAIM_STUB)
		event->flags |= FMS_ADOPT_STUB | (ref.unsure ? FMS_LOOK_UP : 0);
	return claim;
}

/*
 * Claim the span of an event that goes into the buffer.  When memory is full of
 * what the writer has yet to write, wait for that, as for room in the ring: a
 * span without a place in memory makes its end search the table.
 */
static FmsClaim
claim_patiently(FmsSlot *slot, FmsEvent *event)
{
	TimestampTz until = 0;
	uint64		head = 0;
	FmsClaim	claim;
	uint64		moves;

	for (;;)
	{
		moves = fms_buffer_moves();
		claim = fms_record_claim(event);
		if (claim != FMS_CLAIM_UNTRACKED)
			return claim;
		if (head == 0)
			head = fms_buffer_head();
		if (pg_atomic_read_u64(&slot->tail) >= head || !fms_buffer_wait(moves, &until))
			return claim;
	}
}

/* Count what a claim tells of an event. */
static void
count_claim(FmsSlot *slot, const FmsEvent *event, FmsClaim claim)
{
	if (event->kind == FMS_EVENT_END && claim == FMS_CLAIM_ENDED)
		fms_slot_count(slot, FMS_DUPLICATE_ENDS, 1);
	else if (event->kind == FMS_EVENT_END && !(event->flags & (FMS_HAS_TRACE | FMS_LOOK_UP)))
		fms_slot_count(slot, FMS_ORPHAN_ENDS, 1);
	if (event->kind == FMS_EVENT_START && claim == FMS_CLAIM_UNTRACKED)
		fms_slot_count(slot, FMS_UNTRACKED, 1);
}

/* Set an end that lies before its start to the start. */
static void
clamp_end(FmsSlot *slot, FmsEvent *event)
{
	if (event->kind != FMS_EVENT_END || !(event->flags & FMS_HAS_TRACE) ||
		event->at >= event->started_at)
		return;
	event->at = event->started_at;
	fms_slot_count(slot, FMS_CLAMPED_ENDS, 1);
}

/* Append a claimed event; if that can't be, the claim is undone. */
static bool
append_claimed(const FmsEvent *event, FmsClaim claim, bool wait)
{
	bool		appended = false;

	PG_TRY();
	{
		appended = fms_buffer_try_append(event, wait);
	}
	PG_CATCH();
	{
		fms_tracked_undo(event, claim);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!appended)
		fms_tracked_undo(event, claim);
	return appended;
}

/* Record an event in the buffer. */
static bool
record_buffered(FmsEvent *event)
{
	FmsSlot    *slot;
	FmsClaim	claim;

	if (!fms_buffer_attach())
	{
		fms_buffer_dropped("the span buffer can't be made");
		return false;
	}
	slot = fms_buffer_slot();
	claim = claim_patiently(slot, event);
	count_claim(slot, event, claim);
	if (claim == FMS_CLAIM_ENDED)
		return false;
	clamp_end(slot, event);
	if (append_claimed(event, claim, true))
		return true;
	fms_buffer_refused();
	return false;
}

/*
 * Take a whole span, a resource or a scope; see span.h.  Memory knows a whole
 * span only if it was opened from SQL.  A buffer that can't be made is as one
 * without room: who sends the span again later may find one.
 */
static FmsTaken
take_buffered(FmsEvent *event, bool wait, const char **reason)
{
	FmsSlot    *slot;
	FmsClaim	claim = FMS_CLAIM_MISSING;
	FmsSpanRef	ref;

	if (!fms_buffer_attach())
	{
		*reason = "the span buffer can't be made";
		return FMS_TAKEN_FULL;
	}
	slot = fms_buffer_slot();
	if (event->kind == FMS_EVENT_SPAN)
		claim = fms_tracked_claim(event, false, &ref);
	if (claim == FMS_CLAIM_ENDED)
	{
		fms_slot_count(slot, FMS_DUPLICATE_ENDS, 1);
		return FMS_TAKEN_BEFORE;
	}
	if (claim == FMS_CLAIM_FOUND)
	{
		event->flags |= FMS_IS_KNOWN;
		take_ref(event, &ref);
	}
	else if (claim == FMS_CLAIM_STUB)
		event->flags |= FMS_ADOPT_STUB;
	*reason = "the span buffer is full";
	return append_claimed(event, claim, wait) ? FMS_TAKEN : FMS_TAKEN_FULL;
}

/* Record an event in the caller's transaction. */
static bool
record_transactional(FmsEvent *event)
{
	if (XactReadOnly)
	{
		fms_buffer_dropped("the transaction is read-only");
		return false;
	}
	return fms_transaction_record(event);
}

/*
 * Record an event; see span.h.  Nothing is recorded by what runs in our own
 * changes of partitions: see partition.c.
 */
static bool
record(FmsEvent *event)
{
	if (!fms_enabled || fms_partition_is_changing())
		return false;
	event->table = fms_buffer_table();
	if (RecoveryInProgress())
	{
		fms_buffer_dropped("the server is in recovery");
		return false;
	}
	fms_payload_redact(event);
	if (is_buffered())
		return record_buffered(event);
	return record_transactional(event);
}

/* Refuse a whole span, a resource or a scope.  Spans are counted, for they are what is sent. */
static FmsTaken
refuse(const FmsEvent *event, const char *why, const char **reason)
{
	*reason = why;
	if (event->kind == FMS_EVENT_SPAN)
		fms_buffer_dropped(why);
	return FMS_TAKEN_REFUSED;
}

/* Take a whole span, a resource or a scope; see span.h. */
static FmsTaken
take(FmsEvent *event, FmsGroup *group, bool wait, const char **reason)
{
	if (fms_partition_is_changing())
	{
		*reason = "a partition is being made or dropped";
		return FMS_TAKEN_REFUSED;
	}
	if (!fms_enabled)
		return refuse(event, "recording is off (flowmaestro.enabled)", reason);
	if (RecoveryInProgress())
		return refuse(event, "the server is in recovery", reason);
	event->table = fms_buffer_table();
	fms_payload_redact(event);
	if (is_buffered())
		return take_buffered(event, wait, reason);
	if (XactReadOnly)
		return refuse(event, "the transaction is read-only", reason);
	return fms_transaction_take(event, group);
}

/* Begin to take what belongs together; see span.h. */
static FmsGroup *
begin(void)
{
	return is_buffered() ? NULL : fms_transaction_begin();
}

/* End of what belongs together; see span.h. */
static int64
finish(FmsGroup *group)
{
	return group == NULL ? 0 : fms_transaction_finish(group);
}

/*
 * What is known of a span, in memory or in the table; see span.h.  What was
 * recorded while the table could not be looked at does not tell the trace, or
 * perhaps the wrong one: the table comes first then.
 */
bool
fms_record_find(const pg_uuid_t *span_id, FmsSpanRef *ref)
{
	FmsSpanRef	row;
	FmsEvent	event;
	bool		known;

	event.table = fms_buffer_table();
	event.span_id = *span_id;
	known = fms_control != NULL && fms_tracked_find(&event, ref);
	if (known && !ref->unsure)
		return true;
	if (fms_lookup_span(span_id, !is_buffered(), &row) != FMS_LOOK_FOUND)
		return known;
	if (known)
		row.ended |= ref->ended;
	*ref = row;
	return true;
}

/*
 * The running spans of a trace; see span.h.  A span that is both in memory and
 * in the table is told twice; its second end does nothing.  What cannot be
 * looked at now is left out, with a warning.
 */
static pg_uuid_t *
running(const pg_uuid_t *trace_id, int *count)
{
	int			in_memory = 0;
	int			in_table;
	pg_uuid_t  *spans;
	pg_uuid_t  *rows;

	if (fms_lookup_running(trace_id, !is_buffered(), &rows, &in_table) == FMS_LOOK_BUSY)
		ereport(WARNING,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("not all running spans of the trace could be looked up"),
				 errdetail("A partition of execution_spans is locked by another session."),
				 errhint("Call cancel_trace again later.")));
	if (fms_control == NULL)
	{
		*count = in_table;
		return rows;
	}
	spans = fms_tracked_of_trace(fms_buffer_table(), trace_id, &in_memory);
	spans = repalloc_huge(spans, (Size) (in_memory + in_table + 1) * sizeof(pg_uuid_t));
	memcpy(spans + in_memory, rows, in_table * sizeof(pg_uuid_t));
	*count = in_memory + in_table;
	return spans;
}

/*
 * End a span while a transaction is rolled back; see span.h.  No table can be
 * looked at now, so what memory does not know stays as it is.
 */
static void
end_at_abort(FmsEvent *event)
{
	FmsClaim	claim;
	FmsSpanRef	ref;

	if (!fms_enabled || fms_control == NULL || RecoveryInProgress() || !fms_buffer_attach())
		return;
	claim = fms_tracked_claim(event, false, &ref);
	if (claim != FMS_CLAIM_FOUND)
		return;
	take_ref(event, &ref);
	clamp_end(fms_buffer_slot(), event);
	if (!fms_buffer_try_append(event, false))
	{
		fms_tracked_undo(event, claim);
		fms_buffer_refused();
	}
}

/* Count a record with something cut off. */
static void
truncated(void)
{
	if (fms_enabled)
		fms_slot_count(fms_buffer_slot(), FMS_TRUNCATED, 1);
}

const FmsSpanRecorder fms_record_recorder = {
	.record = record,
	.take = take,
	.begin = begin,
	.finish = finish,
	.table = fms_buffer_table,
	.lasts = is_buffered,
	.find = fms_record_find,
	.running = running,
	.end_at_abort = end_at_abort,
	.truncated = truncated,
};
