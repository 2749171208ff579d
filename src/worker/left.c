/*-------------------------------------------------------------------------
 *
 * left.c
 *	  What transactions leave to the writer.
 *
 * A transaction that is prepared, or whose usage could not be counted, leaves
 * its spans in the table uncounted_spans.  When it has committed, the writer is
 * woken and takes them: it counts them, and brings together what nobody could
 * see together while the transaction was prepared, a start and a stub of the
 * same span.  Memory keeps what a prepared transaction started; whoever ends
 * its second phase brings it in line.
 *
 * The server tells nobody that a second phase has ended, so it is noticed as a
 * statement.  What is missed, because the session ended in between, is found by
 * the next second phase, or by the writer when it starts and once an hour.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "buffer/tracked.h"
#include "table/fold.h"
#include "table/reject.h"
#include "usage/store.h"
#include "worker/flush.h"
#include "worker/left.h"

#define PART_SPANS FMS_LIMIT(10000, 2)	/* that are taken in one transaction */
#define LOOK_MS (60 * 60 * 1000)	/* between two looks without being told */

static ProcessUtility_hook_type previous_hook = NULL;

/* how many spans the next transaction takes: fewer after one of them could not be counted */
static int	part = PART_SPANS;

/* the next span could not be counted alone */
static bool give_up = false;

/* when the writer looked last; 0: not yet */
static TimestampTz looked_at = 0;

/* Whether there may be something for the writer. */
bool
fms_left_waits(FmsSlot *slot)
{
	return pg_atomic_read_u64(&slot->left_done) < pg_atomic_read_u64(&slot->left) ||
		looked_at == 0 || TimestampDifferenceExceeds(looked_at, GetCurrentTimestamp(), LOOK_MS);
}

/*
 * Bring stubs together with the rows of their spans, in the current transaction;
 * one whose start has not come stays as it is.
 */
static void
adopt_stubs(Oid table, const pg_uuid_t *stubs, int count)
{
	FmsApplied	applied = {0};
	FmsFold		fold;

	if (count == 0)
		return;
	fms_fold_begin(&fold, count);
	for (int i = 0; i < count; i++)
	{
		FmsEvent	event = {0};

		event.kind = FMS_EVENT_ATTRIBUTES;
		event.flags = FMS_ADOPT_STUB;
		event.table = table;
		event.span_id = stubs[i];
		event.at = event.recorded_at = GetCurrentTimestamp();
		fms_fold_add(&fold, &event);
	}
	fms_fold_finish(&fold);
	fms_reject_apply(fold.rows, fold.count, &applied);
	hash_destroy(fold.index);
}

/*
 * Take some spans that were left, in the current transaction.  Returns how
 * many.  *stubs are those whose stubs were brought together with their rows.
 */
static int
take_part(Oid table, pg_uuid_t **stubs, int *stub_count)
{
	FmsStoreScope scope;
	FmsSpanPlace *places;
	int			count;

	fms_store_enter(&scope);
	places = fms_store_take_deferred(part, &count);
	*stubs = fms_store_stubs(places, count, stub_count);
	fms_store_leave(&scope);
	adopt_stubs(table, *stubs, *stub_count);
	if (give_up && count > 0)
		ereport(LOG,
				(errmsg("usage of a span could not be counted"),
				 errhint("check_token_usage() tells what is missing, rebuild_token_usage() counts it.")));
	else
		fms_ledger_count(places, count);
	return count;
}

/*
 * Take some spans that were left, in a transaction of its own; returns whether
 * there may be more.  *outcome tells whether the table was to be had.
 */
static bool
do_part(FmsFlush *outcome)
{
	MemoryContext context;
	pg_uuid_t  *stubs = NULL;
	int			stub_count = 0;
	int			count = 0;
	Oid			table;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	/* the stubs are needed after the commit */
	context = AllocSetContextCreate(TopMemoryContext, "flowmaestro_spans left",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSetParent(context, CurTransactionContext);
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "counting spans that transactions left");
	table = fms_flush_lock_table(outcome);
	if (OidIsValid(table))
	{
		MemoryContextSwitchTo(context);
		count = take_part(table, &stubs, &stub_count);
		*outcome = FMS_FLUSH_DONE;
	}
	MemoryContextSetParent(context, TopMemoryContext);
	PopActiveSnapshot();
	CommitTransactionCommand();
	for (int i = 0; i < stub_count; i++)
		fms_tracked_forget(table, &stubs[i]);
	MemoryContextDelete(context);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	return count == part;
}

/*
 * After a failed transaction: if a value of a span was why, take fewer, so that
 * it is alone at last and is left out.
 */
static void
narrow(void)
{
	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
		return;
	give_up = part == 1;
	part = Max(part / 2, 1);
}

/* Do all that was left before now; the writer's.  Throws what it fails with. */
void
fms_left_work(void *arg)
{
	FmsSlot    *slot = fms_buffer_slot();
	uint64		left = pg_atomic_read_u64(&slot->left);
	FmsFlush	outcome = FMS_FLUSH_EMPTY;
	bool		more = false;

	fms_tracked_resolve();
	do
	{
		PG_TRY();
		{
			more = do_part(&outcome);
		}
		PG_CATCH();
		{
			narrow();
			PG_RE_THROW();
		}
		PG_END_TRY();
		give_up = false;
		part = Min(part * 2, PART_SPANS);
	} while (more && !ShutdownRequestPending);
	if (more || outcome == FMS_FLUSH_BUSY)
		return;
	looked_at = GetCurrentTimestamp();
	pg_atomic_write_u64(&slot->left_done, left);
	ConditionVariableBroadcast(&slot->changed);
}

/* Whether a statement is the second phase of a transaction. */
static bool
is_second_phase(Node *statement)
{
	TransactionStmtKind kind;

	if (!IsA(statement, TransactionStmt))
		return false;
	kind = ((TransactionStmt *) statement)->kind;
	return kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED;
}

/* The hook: look after what a prepared transaction left, when it has ended. */
static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	bool		second_phase = is_second_phase(pstmt->utilityStmt);
	FmsSlot    *slot;

	if (previous_hook != NULL)
		previous_hook(pstmt, query, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params, environment, dest,
								completion);
	if (!second_phase)
		return;
	fms_tracked_resolve();
	slot = fms_slot_find(MyDatabaseId, false);
	if (slot != NULL)
		fms_slot_leave_work(slot);
}

/* Install the hook; from _PG_init when preloaded. */
void
fms_left_install_hook(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
