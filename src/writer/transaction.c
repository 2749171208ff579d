/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  Recording in the caller's own transaction.
 *
 * A batch of one, applied with the writer's code.  Memory is told as well, so
 * that other sessions find the span: a start makes an entry at once, which is
 * undone if the (sub)transaction rolls back; an end only takes effect in memory
 * at commit, since until then another end may still win.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "writer/record.h"
#include "writer/reject.h"
#include "writer/transaction.h"

/* what has to be done in memory when the transaction ends */
typedef struct Change
{
	FmsEvent	event;			/* kind, table and span_id are used */
	FmsClaim	claim;
	int			level;			/* of the subtransaction that it belongs to */
} Change;

/* in the transaction's memory context */
static List *changes = NIL;

/* Remember a change of memory until the end of the transaction. */
static void
remember(const FmsEvent *event, FmsClaim claim)
{
	MemoryContext old;
	Change	   *change;

	if (fms_control == NULL)
		return;
	old = MemoryContextSwitchTo(TopTransactionContext);
	change = palloc(sizeof(Change));
	change->event = *event;
	change->claim = claim;
	change->level = GetCurrentTransactionNestLevel();
	changes = lappend(changes, change);
	MemoryContextSwitchTo(old);
}

/* The transaction that made a change committed. */
static void
commit_change(const Change *change)
{
	if (change->event.kind == FMS_EVENT_END)
		fms_tracked_forget(change->event.table, &change->event.span_id);
	else
		fms_tracked_flushed(change->event.table, &change->event.span_id, false);
}

/* The transaction that made a change rolled back. */
static void
undo_change(const Change *change)
{
	if (change->event.kind == FMS_EVENT_START)
		fms_tracked_undo(&change->event, change->claim);
}

/* End of a transaction: bring memory in line with it.  Must not fail. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	ListCell   *cell;

	if (changes == NIL)
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			foreach(cell, changes)
				commit_change(lfirst(cell));
			break;
		case XACT_EVENT_ABORT:
			foreach(cell, changes)
				undo_change(lfirst(cell));
			break;
		case XACT_EVENT_PREPARE:
			/* its outcome will not be told: the table knows it */
			foreach(cell, changes)
			{
				Change	   *change = lfirst(cell);

				fms_tracked_forget(change->event.table, &change->event.span_id);
			}
			break;
		default:
			return;
	}
	changes = NIL;				/* its memory goes with the transaction */
}

/* End of a subtransaction: its changes become its parent's, or are undone. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId sub, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	ListCell   *cell;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(cell, changes)
	{
		Change	   *change = lfirst(cell);

		if (change->level < level)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			change->level = level - 1;
		else
		{
			undo_change(change);
			changes = foreach_delete_current(changes, cell);
		}
	}
}

/* Follow the ends of transactions; called once in a process. */
void
fms_transaction_watch(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/* Whether memory knows that an event's span has ended. */
static bool
has_ended_in_memory(const FmsEvent *event)
{
	FmsSpanRef	ref;

	return fms_control != NULL && event->kind == FMS_EVENT_END &&
		fms_tracked_find(event, &ref) && ref.ended;
}

/*
 * Complete an event with what is known of its span.  A start claims the span
 * in memory.  Returns false for an end of a span that has ended.
 */
static bool
complete(FmsEvent *event, FmsClaim *claim)
{
	FmsSpanRef	ref;

	*claim = FMS_CLAIM_UNTRACKED;
	if (event->kind == FMS_EVENT_START)
	{
		*claim = fms_record_claim(event);
		/* the first start may still be on its way: this one is only attributes */
		if (*claim == FMS_CLAIM_FOUND)
			event->kind = FMS_EVENT_ATTRIBUTES;
		return true;
	}
	if (has_ended_in_memory(event))
		return false;
	if (!fms_record_find(&event->span_id, &ref) || ref.stub)
		return true;
	if (event->kind == FMS_EVENT_END && ref.ended)
		return false;
	event->trace_id = ref.trace_id;
	event->started_at = ref.started_at;
	event->flags |= FMS_HAS_TRACE;
	return true;
}

/* Whether an error has to reach the caller. */
static bool
is_callers(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_TRANSACTION_ROLLBACK || category == ERRCODE_OPERATOR_INTERVENTION;
}

/*
 * Apply a batch of one.  An error that is not the caller's makes the record
 * dropped, with a warning.  Returns how many rows it changed.
 */
static uint64
apply_one(FmsFold *fold)
{
	MemoryContext context = CurrentMemoryContext;
	FmsApplied	applied = {0};

	PG_TRY();
	{
		fms_reject_apply(fold->rows, fold->count, &applied);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (is_callers(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		fms_buffer_dropped(error->message);
	}
	PG_END_TRY();
	fms_slot_count(fms_buffer_slot(), FMS_WRITTEN, applied.written);
	fms_slot_count(fms_buffer_slot(), FMS_UPDATED, applied.updated);
	fms_slot_count(fms_buffer_slot(), FMS_REJECTED, applied.rejected);
	fms_slot_count(fms_buffer_slot(), FMS_CLAMPED_ENDS, fold->clamped + applied.clamped);
	return applied.written + applied.updated + applied.rejected;
}

/* Record an event in the caller's transaction; returns as record() in span.h. */
bool
fms_transaction_record(FmsEvent *event)
{
	FmsFold		fold;
	FmsClaim	claim;
	uint64		changed;

	if (!complete(event, &claim))
	{
		fms_slot_count(fms_buffer_slot(), FMS_DUPLICATE_ENDS, 1);
		return false;
	}
	if (event->kind == FMS_EVENT_START && claim != FMS_CLAIM_UNTRACKED)
		remember(event, claim);
	fms_fold_begin(&fold, 1);
	fms_fold_add(&fold, event);
	fms_fold_finish(&fold);
	changed = apply_one(&fold);
	if (event->kind == FMS_EVENT_END && changed > 0)
		remember(event, claim);
	hash_destroy(fold.index);
	return changed > 0 || event->kind == FMS_EVENT_ATTRIBUTES;
}
