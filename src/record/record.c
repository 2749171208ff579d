/*-------------------------------------------------------------------------
 *
 * record.c
 *	  Where an event goes: into the buffer, or into the caller's transaction.
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
#include "record/claim.h"
#include "record/mode.h"
#include "record/record.h"
#include "record/transaction.h"
#include "span/payload.h"
#include "table/partition.h"

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
		claim = fms_claim(event);
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
 * Take a whole span, a resource or a scope into the buffer.  Memory knows a whole
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
		fms_claim_take_ref(event, &ref);
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
 * Record an event.  A start comes back with the trace, parent and start that the
 * span really has.  False: an end of a span that had ended, or a record that was
 * dropped.  Throws only what the caller has to see (a query cancel), or if the
 * extension is not there.  Nothing is recorded by what runs in our own changes of
 * partitions: see partition.c.
 */
bool
fms_record(FmsEvent *event)
{
	if (!fms_mode_enabled || fms_partition_is_changing())
		return false;
	event->table = fms_buffer_table();
	if (RecoveryInProgress())
	{
		fms_buffer_dropped("the server is in recovery");
		return false;
	}
	fms_payload_redact(event);
	if (fms_mode_is_buffered())
		return record_buffered(event);
	return record_transactional(event);
}

/* Refuse a whole span, a resource or a scope.  Spans are counted, for they are what is sent. */
static FmsTaken
refuse_event(const FmsEvent *event, const char *why, const char **reason)
{
	*reason = why;
	if (event->kind == FMS_EVENT_SPAN)
		fms_buffer_dropped(why);
	return FMS_TAKEN_REFUSED;
}

/*
 * Take a whole span, a resource or a scope.  Without "wait" it does not wait for
 * room; nothing is counted as lost if there is none.  A span that is refused is
 * counted.  *reason tells why something was not taken.
 */
FmsTaken
fms_record_take(FmsEvent *event, FmsGroup *group, bool wait, const char **reason)
{
	if (fms_partition_is_changing())
	{
		*reason = "a partition is being made or dropped";
		return FMS_TAKEN_REFUSED;
	}
	if (!fms_mode_enabled)
		return refuse_event(event, "recording is off (flowmaestro.enabled)", reason);
	if (RecoveryInProgress())
		return refuse_event(event, "the server is in recovery", reason);
	event->table = fms_buffer_table();
	fms_payload_redact(event);
	if (fms_mode_is_buffered())
		return take_buffered(event, wait, reason);
	if (XactReadOnly)
		return refuse_event(event, "the transaction is read-only", reason);
	return fms_transaction_take(event, group);
}

/*
 * Begin to take whole spans, resources and scopes that belong together, in the
 * current memory context.  NULL if each is taken by itself.  What is taken with a
 * group can still be lost until fms_record_finish.
 */
FmsGroup *
fms_record_begin(void)
{
	return fms_mode_is_buffered() ? NULL : fms_transaction_begin();
}

/* End of what belongs together; returns how many of its spans were lost. */
int64
fms_record_finish(FmsGroup *group)
{
	return group == NULL ? 0 : fms_transaction_finish(group);
}

/*
 * End a span while a transaction is rolled back, if memory knows it as running
 * and there is room for the record.  No table can be looked at now, so what
 * memory does not know stays as it is.  Throws nothing.  The event has its table.
 */
void
fms_record_end_at_abort(FmsEvent *event)
{
	FmsClaim	claim;
	FmsSpanRef	ref;

	if (!fms_mode_enabled || fms_control == NULL || RecoveryInProgress() || !fms_buffer_attach())
		return;
	claim = fms_tracked_claim(event, false, &ref);
	if (claim != FMS_CLAIM_FOUND)
		return;
	fms_claim_take_ref(event, &ref);
	clamp_end(fms_buffer_slot(), event);
	if (!fms_buffer_try_append(event, false))
	{
		fms_tracked_undo(event, claim);
		fms_buffer_refused();
	}
}

/* Count a record with something cut off. */
void
fms_record_truncated(void)
{
	if (fms_mode_enabled)
		fms_slot_count(fms_buffer_slot(), FMS_TRUNCATED, 1);
}
