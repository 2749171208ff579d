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
 * What is about a span that nobody knows yet makes a stub.  A start that comes
 * from elsewhere before the commit can't see it; so if memory says at commit
 * that the start has come, a record in the ring has the writer bring stub and
 * row together.
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
#include "writer/source.h"
#include "writer/transaction.h"

/* what has to be done in memory when the transaction ends */
typedef struct Change
{
	FmsEvent	event;			/* without its parts */
	FmsClaim	claim;
	char	   *adopt;			/* of a stub: the record that has it adopted */
	size_t		adopt_bytes;
	int			level;			/* of the subtransaction that it belongs to */
} Change;

/* in the transaction's memory context */
static List *changes = NIL;

/* The record that has the writer look for a stub of an event's span. */
static void
encode_adoption(Change *change)
{
	FmsEvent	event = change->event;

	event.kind = FMS_EVENT_ATTRIBUTES;
	event.flags = FMS_ADOPT_STUB;
	memset(event.part, 0, sizeof(event.part));
	change->adopt_bytes = fms_event_encoded_size(&event);
	change->adopt = palloc(change->adopt_bytes);
	fms_event_encode(&event, change->adopt);
}

/* Remember a change until the end of the transaction. */
static void
remember(const FmsEvent *event, FmsClaim claim, bool stub)
{
	MemoryContext old;
	Change	   *change;

	if (fms_control == NULL)
		return;
	old = MemoryContextSwitchTo(TopTransactionContext);
	change = palloc0(sizeof(Change));
	change->event = *event;
	change->claim = claim;
	change->level = GetCurrentTransactionNestLevel();
	/* what the end of a transaction needs is made while errors are allowed */
	if (stub && fms_buffer_attach())
		encode_adoption(change);
	changes = lappend(changes, change);
	MemoryContextSwitchTo(old);
}

/* The transaction that made a change committed. */
static void
commit_change(const Change *change)
{
	bool		end = change->event.kind == FMS_EVENT_END || change->event.kind == FMS_EVENT_SPAN;

	if (change->adopt != NULL)
	{
		if (fms_tracked_stub_written(change->event.table, &change->event.span_id, end))
			fms_buffer_append_encoded(change->adopt, change->adopt_bytes);
	}
	else if (end)
		fms_tracked_forget(change->event.table, &change->event.span_id);
	else
		fms_tracked_flushed(change->event.table, &change->event.span_id, false);
}

/*
 * The transaction that made a change rolled back.  Besides a start, only a new
 * entry is its doing: what another session did to the span since then stays.
 */
static void
undo_change(const Change *change)
{
	if (change->event.kind == FMS_EVENT_START || change->claim == FMS_CLAIM_NEW)
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

/* Make an event of an unknown span known to other sessions, as an open stub. */
static FmsClaim
claim_stub(const FmsEvent *event)
{
	FmsEvent	stub = *event;
	FmsSpanRef	ref;

	if (fms_control == NULL)
		return FMS_CLAIM_UNTRACKED;
	stub.kind = FMS_EVENT_ATTRIBUTES;
	return fms_tracked_claim(&stub, true, &ref);
}

/*
 * Complete an event with what is known of its span.  A start claims the span
 * in memory, and so does what makes a stub.  Returns false for an end of a
 * span that has ended.
 */
static bool
complete(FmsEvent *event, FmsClaim *claim)
{
	FmsSpanRef	ref;

	*claim = FMS_CLAIM_UNTRACKED;
	event->flags |= FMS_IN_TRANSACTION;
	if (event->kind == FMS_EVENT_START)
	{
		*claim = fms_record_claim(event);
		return true;
	}
	if (has_ended_in_memory(event))
		return false;
	if (!fms_record_find(&event->span_id, &ref) || ref.stub)
	{
		*claim = claim_stub(event);
		return true;
	}
	if (event->kind == FMS_EVENT_END && ref.ended)
		return false;
	event->trace_id = ref.trace_id;
	event->started_at = ref.started_at;
	event->flags |= FMS_HAS_TRACE;
	return true;
}

/*
 * Have the writer write first what the ring holds of an event's span, so that
 * the order of recording is the order of writing.
 */
static void
settle(const FmsEvent *event)
{
	FmsSpanRef	ref;

	if (fms_control != NULL && fms_tracked_find(event, &ref) && ref.in_ring && fms_buffer_attach())
		fms_buffer_settle();
}

/* Whether an error has to reach the caller. */
static bool
is_callers(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_TRANSACTION_ROLLBACK || category == ERRCODE_OPERATOR_INTERVENTION;
}

/*
 * Apply a batch of one; *changed tells how many rows it changed.  An error that
 * is not the caller's drops the record, with a warning: false then.
 */
static bool
apply_one(FmsFold *fold, uint64 *changed)
{
	MemoryContext context = CurrentMemoryContext;
	FmsApplied	applied = {0};
	volatile bool dropped = false;

	PG_TRY();
	{
		fms_source_write(fold->sources);
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
		dropped = true;
	}
	PG_END_TRY();
	fms_slot_count(fms_buffer_slot(), FMS_WRITTEN, applied.written);
	fms_slot_count(fms_buffer_slot(), FMS_UPDATED, applied.updated);
	fms_slot_count(fms_buffer_slot(), FMS_REJECTED, applied.rejected);
	fms_slot_count(fms_buffer_slot(), FMS_CLAMPED_ENDS, fold->clamped + applied.clamped);
	*changed = applied.written + applied.updated + applied.rejected;
	return !dropped;
}

/* Record an event in the caller's transaction; returns as record() in span.h. */
bool
fms_transaction_record(FmsEvent *event)
{
	FmsFold		fold;
	FmsClaim	claim;
	uint64		changed;
	bool		stub;
	bool		applied;

	settle(event);
	if (!complete(event, &claim))
	{
		fms_slot_count(fms_buffer_slot(), FMS_DUPLICATE_ENDS, 1);
		return false;
	}
	stub = event->kind != FMS_EVENT_START && !(event->flags & FMS_HAS_TRACE);
	if (stub || event->kind == FMS_EVENT_START)
		remember(event, claim, stub);
	fms_fold_begin(&fold, 1);
	fms_fold_add(&fold, event);
	fms_fold_finish(&fold);
	applied = apply_one(&fold, &changed);
	/* nobody must see a span run that has no row */
	if (!applied && claim == FMS_CLAIM_NEW)
		fms_tracked_undo(event, claim);
	if (!stub && event->kind == FMS_EVENT_END && changed > 0)
		remember(event, claim, false);
	hash_destroy(fold.index);
	return changed > 0 || (applied && event->kind == FMS_EVENT_ATTRIBUTES);
}

/*
 * Complete a whole span with what memory knows of it.  Returns false if it has
 * ended.
 */
static bool
complete_whole(FmsEvent *event, bool *known)
{
	FmsSpanRef	ref;

	*known = fms_control != NULL && fms_tracked_find(event, &ref);
	if (!*known)
		return true;
	if (ref.stub)
	{
		event->flags |= FMS_ADOPT_STUB;
		return true;
	}
	if (ref.ended)
		return false;
	event->flags |= FMS_IS_KNOWN;
	event->at = ref.started_at;
	event->parent_span_id = ref.parent_span_id;
	event->flags &= ~FMS_HAS_PARENT;
	if (ref.has_parent)
		event->flags |= FMS_HAS_PARENT;
	return true;
}

/* Take a whole span, a resource or a scope in the caller's transaction; see span.h. */
FmsTaken
fms_transaction_take(FmsEvent *event)
{
	FmsFold		fold;
	uint64		changed;
	bool		known = false;
	bool		applied;

	settle(event);
	if (event->kind == FMS_EVENT_SPAN && !complete_whole(event, &known))
	{
		fms_slot_count(fms_buffer_slot(), FMS_DUPLICATE_ENDS, 1);
		return FMS_TAKEN_BEFORE;
	}
	fms_fold_begin(&fold, 1);
	fms_fold_add(&fold, event);
	fms_fold_finish(&fold);
	applied = apply_one(&fold, &changed);
	if (known && event->status != FMS_STATUS_STARTED && changed > 0)
		remember(event, FMS_CLAIM_FOUND, false);
	hash_destroy(fold.index);
	return applied ? FMS_TAKEN : FMS_TAKEN_REFUSED;
}
