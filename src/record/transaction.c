/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  Recording in the caller's own transaction.
 *
 * A batch of one, or what one call of OTLP takes, applied with the writer's code.  Memory is told as well, so
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
#include "limit.h"
#include "buffer/buffer.h"
#include "record/claim.h"
#include "record/transaction.h"
#include "table/otlp_source.h"
#include "table/owner.h"
#include "table/reject.h"
#include "usage/ledger.h"

#define FIRST_ROOM FMS_LIMIT(64, 1) /* of changes, to begin with */
#define GROUP_EVENTS FMS_LIMIT(1000, 2) /* that are written in one
										 * subtransaction */
#define GROUP_BYTES FMS_LIMIT(8 * 1024 * 1024, 1024)

/*
 * What has to be done in memory when the transaction ends.  There is one for a
 * start or an end of a span that has a place in memory, and for each stub: so
 * their number has a bound, however many spans a transaction records.
 */
typedef struct Change
{
	uint8		kind;			/* of the event: these six */
	uint8		status;
	uint16		flags;
	Oid			table;
	pg_uuid_t	span_id;
	TimestampTz at;
	FmsClaim	claim;
	int			level;			/* of the subtransaction that it belongs to */
	char	   *adopt;			/* of a stub: the record that has it adopted */
	size_t		adopt_bytes;
} Change;

/*
 * In the transaction's memory context, in the order in which they were made.
 * Levels never fall from one to the next: a subtransaction that ends passes
 * its changes on or takes them away before another one is made.
 */
static Change *changes = NULL;
static int	change_count = 0;
static int	change_room = 0;

/* Whether a change is of an event that ends its span. */
static bool
ends_span(const Change *change)
{
	return change->kind == FMS_EVENT_END || change->kind == FMS_EVENT_SPAN;
}

/*
 * The record that has the writer look for a stub of an event's span, made in
 * the current memory context.
 */
static void
encode_adoption(Change *change, const FmsEvent *stub)
{
	FmsEvent	event = *stub;

	event.kind = FMS_EVENT_ATTRIBUTES;
	event.flags = FMS_ADOPT_STUB;
	memset(event.part, 0, sizeof(event.part));
	change->adopt_bytes = fms_event_encoded_size(&event);
	change->adopt = palloc(change->adopt_bytes);
	fms_event_encode(&event, change->adopt);
}

/* Make room for one more change; the memory is the transaction's. */
static void
make_entry_room(void)
{
	int			room = Max(2 * change_room, FIRST_ROOM);

	if (change_count < change_room)
		return;
	if (changes == NULL)
		changes = MemoryContextAllocHuge(TopTransactionContext, sizeof(Change) * room);
	else
		changes = repalloc_huge(changes, sizeof(Change) * room);
	change_room = room;
}

/*
 * Remember a change until the end of the transaction, in its memory; a stub's
 * comes with the record that has it adopted.
 */
static void
remember_entry(const FmsEvent *event, FmsClaim claim, bool stub)
{
	Change		change = {0};
	MemoryContext old;

	if (fms_control == NULL)
		return;
	change.kind = event->kind;
	change.status = event->status;
	change.flags = event->flags;
	change.table = event->table;
	change.span_id = event->span_id;
	change.at = event->at;
	change.claim = claim;
	change.level = GetCurrentTransactionNestLevel();
	/* what the end of a transaction needs is made while errors are allowed */
	old = MemoryContextSwitchTo(TopTransactionContext);
	make_entry_room();
	if (stub && fms_buffer_attach())
		encode_adoption(&change, event);
	MemoryContextSwitchTo(old);
	changes[change_count++] = change;
}

/*
 * Remember an end that changed a row, if memory has a place for the span; if
 * it has none, there is nothing to bring in line.
 */
static void
remember_end(const FmsEvent *event, FmsClaim claim)
{
	FmsSpanRef	ref;

	if (fms_control != NULL && fms_tracked_find(event, &ref))
		remember_entry(event, claim, false);
}

/* The transaction that made a change committed. */
static void
commit_change(const Change *change)
{
	if (change->adopt != NULL)
	{
		if (fms_tracked_stub_written(change->table, &change->span_id, ends_span(change)))
			fms_buffer_append_encoded(change->adopt, change->adopt_bytes);
	}
	else if (ends_span(change))
		fms_tracked_forget(change->table, &change->span_id);
	else
		fms_tracked_flushed(change->table, &change->span_id, false);
}

/*
 * The transaction that made a change rolled back.  Besides a start, only a new
 * entry is its doing: what another session did to the span since then stays.
 */
static void
undo_change(const Change *change)
{
	FmsEvent	event = {0};

	if (change->kind != FMS_EVENT_START && change->claim != FMS_CLAIM_NEW)
		return;
	event.kind = change->kind;
	event.status = change->status;
	event.flags = change->flags;
	event.table = change->table;
	event.span_id = change->span_id;
	fms_tracked_undo(&event, change->claim);
}

/* Forget all changes; their memory goes with the transaction. */
static void
forget_changes(void)
{
	changes = NULL;
	change_count = 0;
	change_room = 0;
}

/* The transaction committed: bring memory in line with it.  Must not fail. */
void
fms_transaction_committed(void)
{
	for (int i = 0; i < change_count; i++)
		commit_change(&changes[i]);
	forget_changes();
}

/*
 * The transaction is about to be prepared: have the writer look for the starts
 * of its stubs after the second phase.
 */
void
fms_transaction_before_prepare(void)
{
	for (int i = 0; i < change_count; i++)
	{
		FmsSpanPlace place;

		if (changes[i].adopt == NULL)
			continue;
		place.key.trace_id = place.key.span_id = changes[i].span_id;
		place.started_at = changes[i].at;
		fms_ledger_leave(&place);
	}
}

/*
 * The transaction was prepared.  What it started stays in memory, so that who
 * ends it meanwhile finds its trace; the rest is forgotten, for the table will
 * have it or not.  Must not fail.
 */
void
fms_transaction_prepared(void)
{
	TransactionId xid = GetTopTransactionIdIfAny();

	for (int i = 0; i < change_count; i++)
	{
		if (changes[i].kind == FMS_EVENT_START)
			fms_tracked_prepared(changes[i].table, &changes[i].span_id, xid);
		else
			fms_tracked_forget(changes[i].table, &changes[i].span_id);
	}
	forget_changes();
}

/*
 * The subtransaction of a level rolled back: undo its changes, the last one
 * first.  Must not fail.
 */
void
fms_transaction_sub_rolled_back(int level)
{
	for (; change_count > 0 && changes[change_count - 1].level >= level; change_count--)
	{
		Change	   *change = &changes[change_count - 1];

		undo_change(change);
		if (change->adopt != NULL)
			pfree(change->adopt);
	}
}

/* The transaction rolled back.  Must not fail. */
void
fms_transaction_rolled_back(void)
{
	fms_transaction_sub_rolled_back(0);
	forget_changes();
}

/*
 * The subtransaction of a level committed: its changes become its parent's.
 * They are the last ones; so a transaction with thousands of subtransactions
 * looks at each change once for each level, not once for each of them.  Must
 * not fail.
 */
void
fms_transaction_sub_committed(int level)
{
	for (int i = change_count - 1; i >= 0 && changes[i].level >= level; i--)
		changes[i].level = level - 1;
}

/* whole spans, resources and scopes until they are written; see record.h */
struct FmsGroup
{
	MemoryContext context;		/* of what is gathered; emptied when it is
								 * written */
	FmsFold		fold;
	List	   *known;			/* FmsEvent: ends of spans that memory knows */
	int			events;			/* that are gathered */
	int			spans;			/* of these */
	size_t		bytes;
	int64		lost;			/* spans that could not be written */
};

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
		*claim = fms_claim(event);
		return true;
	}
	if (has_ended_in_memory(event))
		return false;
	if (!fms_claim_find(&event->span_id, &ref) || ref.stub)
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

/*
 * Apply a batch; *changed tells how many rows it changed.  An error that
 * is not the caller's drops the batch, with a warning: false then.
 */
static bool
apply(FmsFold *fold, uint64 *changed)
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
		if (fms_table_is_callers(error))
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

/* Record an event in the caller's transaction; returns as fms_record() does. */
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
	if (stub || (event->kind == FMS_EVENT_START && claim != FMS_CLAIM_UNTRACKED))
		remember_entry(event, claim, stub);
	fms_fold_begin(&fold, 1);
	fms_fold_add(&fold, event);
	fms_fold_finish(&fold);
	applied = apply(&fold, &changed);
	/* nobody must see a span run that has no row */
	if (!applied && claim == FMS_CLAIM_NEW)
		fms_tracked_undo(event, claim);
	if (!stub && event->kind == FMS_EVENT_END && changed > 0)
		remember_end(event, claim);
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

/*
 * Begin to gather whole spans, resources and scopes that are written in one
 * subtransaction, in the current memory context.
 */
FmsGroup *
fms_transaction_begin(void)
{
	FmsGroup   *group = palloc0(sizeof(FmsGroup));

	group->context = AllocSetContextCreate(CurrentMemoryContext, "flowmaestro_spans group",
										   ALLOCSET_DEFAULT_SIZES);
	return group;
}

/*
 * Write what a group has gathered, and empty it.  Memory is told of the ends of
 * spans that it knows; one that lost against another end is in the table too.
 */
static void
apply_group(FmsGroup *group)
{
	MemoryContext old;
	uint64		changed;
	ListCell   *cell;

	if (group->events == 0)
		return;
	old = MemoryContextSwitchTo(group->context);
	fms_fold_finish(&group->fold);
	if (apply(&group->fold, &changed))
	{
		foreach(cell, group->known)
			remember_end(lfirst(cell), FMS_CLAIM_FOUND);
		fms_slot_count(fms_buffer_slot(), FMS_DUPLICATE_ENDS, group->fold.duplicates);
	}
	else
	{
		fms_slot_count(fms_buffer_slot(), FMS_DROPPED, Max(group->spans, 1) - 1);
		group->lost += group->spans;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(group->context);
	group->known = NIL;
	group->events = group->spans = 0;
	group->bytes = 0;
}

/*
 * Write what is left of a group, and free it.  Returns how many of its spans
 * were lost.
 */
int64
fms_transaction_finish(FmsGroup *group)
{
	int64		lost;

	apply_group(group);
	lost = group->lost;
	MemoryContextDelete(group->context);
	pfree(group);
	return lost;
}

/* Add a copy of an event to a group; "known" is of a span that memory knows. */
static void
gather(FmsGroup *group, const FmsEvent *event, bool known)
{
	MemoryContext old = MemoryContextSwitchTo(group->context);
	FmsEvent   *copy = palloc(sizeof(FmsEvent));
	size_t		bytes = fms_event_encoded_size(event);
	char	   *body = palloc(bytes);

	fms_event_encode(event, body);
	if (!fms_event_decode(body, bytes, copy))
		elog(ERROR, "could not copy a span event");
	if (group->events++ == 0)
		fms_fold_begin(&group->fold, GROUP_EVENTS);
	fms_fold_add(&group->fold, copy);
	if (known && event->status != FMS_STATUS_STARTED)
		group->known = lappend(group->known, copy);
	group->spans += event->kind == FMS_EVENT_SPAN;
	group->bytes += bytes;
	MemoryContextSwitchTo(old);
}

/* Take a whole span, a resource or a scope in the caller's transaction; see record.c. */
FmsTaken
fms_transaction_take(FmsEvent *event, FmsGroup *group)
{
	bool		known = false;

	settle(event);
	if (event->kind == FMS_EVENT_SPAN && !complete_whole(event, &known))
	{
		fms_slot_count(fms_buffer_slot(), FMS_DUPLICATE_ENDS, 1);
		return FMS_TAKEN_BEFORE;
	}
	gather(group, event, known);
	if (group->events >= GROUP_EVENTS || group->bytes >= GROUP_BYTES)
		apply_group(group);
	return FMS_TAKEN;
}
