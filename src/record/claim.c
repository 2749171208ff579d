/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  What is known of a span, and who may start or end it.
 *
 * Memory decides first (tracked.c), the table second: what memory does not
 * hold is either in the table or unknown.  Between the two looks the writer
 * may move a span from one to the other; the ring's tail tells if it did.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "record/claim.h"
#include "record/mode.h"
#include "table/lookup.h"

/* Take over what is known of the span that an event is about. */
void
fms_claim_take_ref(FmsEvent *event, const FmsSpanRef *ref)
{
	if (ref->unsure)
		event->flags |= FMS_LOOK_UP;

	/*
	 * a stub's trace is not yet known; it is looked up when the row is
	 * written
	 */
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
	fms_claim_take_ref(event, ref);
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
		fms_claim_take_ref(event, &other);
	}
	return claim;
}

/*
 * Claim the span of an event, in memory if there is memory, and complete the
 * event with what is known of the span.  FMS_CLAIM_ENDED: there is nothing to
 * record.  If the table cannot be looked at without waiting, the event is
 * recorded as one of an unknown span, with FMS_LOOK_UP.
 */
FmsClaim
fms_claim(FmsEvent *event)
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
			look = fms_lookup_span(&event->span_id, !fms_mode_is_buffered(), &ref);
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
		fms_claim_take_ref(event, &ref);
	else if (claim == FMS_CLAIM_STUB)
		event->flags |= FMS_ADOPT_STUB | (ref.unsure ? FMS_LOOK_UP : 0);
	return claim;
}

/*
 * What is known of a span, in memory or in the table; false: nothing.  What was
 * recorded while the table could not be looked at does not tell the trace, or
 * perhaps the wrong one: the table comes first then.
 */
bool
fms_claim_find(const pg_uuid_t *span_id, FmsSpanRef *ref)
{
	FmsSpanRef	row;
	FmsEvent	event;
	bool		known;

	event.table = fms_buffer_table();
	event.span_id = *span_id;
	known = fms_control != NULL && fms_tracked_find(&event, ref);
	if (known && !ref->unsure)
		return true;
	if (fms_lookup_span(span_id, !fms_mode_is_buffered(), &row) != FMS_LOOK_FOUND)
		return known;
	if (known)
		row.ended |= ref->ended;
	*ref = row;
	return true;
}

/*
 * The running spans of a trace, allocated in the current memory context.  A span
 * that is both in memory and
 * in the table is told twice; its second end does nothing.  What cannot be
 * looked at now is left out, with a warning.
 */
pg_uuid_t *
fms_claim_running(const pg_uuid_t *trace_id, int *count)
{
	int			in_memory = 0;
	int			in_table;
	pg_uuid_t  *spans;
	pg_uuid_t  *rows;

	if (fms_lookup_running(trace_id, !fms_mode_is_buffered(), &rows, &in_table) == FMS_LOOK_BUSY)
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
