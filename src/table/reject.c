/*-------------------------------------------------------------------------
 *
 * reject.c
 *	  Rows that the table refuses.
 *
 * A batch is applied in a subtransaction.  If that fails because of the
 * server's state (no room, shutdown, deadlock), the error goes on to the
 * caller, who tries the batch again later.  Otherwise the batch is cut in
 * halves until the rows that fail are alone; they are set aside in
 * rejected_spans, and the others are written, all in the caller's transaction.
 *
 * An error of the table's definition (a column that is gone, no privilege)
 * that fails every row is the server's state as well.
 *
 * What somebody else's open transaction has locked is set aside too, and the
 * writer puts it back by itself when the lock is gone.  The writer waits for
 * locks LOCK_PATIENCE_MS at most in a batch: rows of a partition that is locked
 * as a whole are set aside without a wait; after a first wait the rows that are
 * locked are found out with one statement for each partition; what still fails
 * for a lock is cut in halves with shorter waits, until the patience is at its
 * end.  Then what fails for a lock is set aside as a whole.  A row of a span of
 * which one waits for a lock is set aside without a try: it must not overtake.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "table/aside.h"
#include "table/lookup.h"
#include "table/owner.h"
#include "table/pace.h"
#include "table/reject.h"

#define CAUTIOUS_SPANS FMS_LIMIT(20000, 1)	/* after a whole span was in the
											 * table */
#define LOCK_PATIENCE_MS 500	/* for locks, in a batch */
#define RETRY_PATIENCE_MS 200	/* for locks, when rows are tried again */
#define NEXT_LOCK_TIMEOUT "20ms"	/* of the waits after the first one */
#define LAST_LOCK_TIMEOUT "1ms" /* when there is no patience left */

/* committed rows of a partition that somebody has locked; those that can be locked stay so */
static const char *const find_locked =
	"WITH free AS MATERIALIZED (SELECT s.trace_id, s.span_id "
	"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS k (t, s) "
	"JOIN flowmaestro.%1$s AS s ON s.trace_id OPERATOR(pg_catalog.=) k.t AND s.span_id OPERATOR(pg_catalog.=) k.s "
	"FOR NO KEY UPDATE OF s SKIP LOCKED) "
	"SELECT k.n FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS k (t, s, n) "
	"JOIN flowmaestro.%1$s AS s ON s.trace_id OPERATOR(pg_catalog.=) k.t AND s.span_id OPERATOR(pg_catalog.=) k.s "
	"WHERE NOT EXISTS (SELECT FROM free AS f WHERE f.trace_id OPERATOR(pg_catalog.=) k.t "
	"AND f.span_id OPERATOR(pg_catalog.=) k.s)";

/* whole spans that are not taken for new ones, from now on */
static int	cautious = 0;

/* rows may be set aside that were locked; a process that begins cannot know */
static bool blocked_rows = true;

/* of the batch that is being applied */
static int	patience_ms;		/* for locks, what is left of it */
static bool looked_for_locks;

/* a batch, or a part of it, for a subtransaction */
typedef struct Portion
{
	FmsRow	  **rows;
	int			count;
	FmsApplied	applied;
} Portion;

PG_FUNCTION_INFO_V1(fms_retry_rejected_spans);

/*
 * Whether an error tells of the server's state rather than of a row.  A want of
 * resources does, until pace.c has found that one record alone brings it about.
 */
bool
fms_reject_is_transient(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_OBJECT_IN_USE)
		return true;
	if (fms_pace_is_shortage(error->sqlerrcode) && fms_pace_resort() != FMS_RESORT_WAIT)
		return false;
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return false;
	}
}

/* Whether an error tells of the table rather than of a row, if all rows have it. */
static bool
is_structural(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR);
}

/* Apply a portion, in a subtransaction; its array is sorted, so it gets a copy. */
static void
apply_portion(void *arg)
{
	Portion    *portion = arg;
	FmsRow	  **rows = palloc(sizeof(FmsRow *) * portion->count);

	memcpy(rows, portion->rows, sizeof(FmsRow *) * portion->count);
	fms_upsert(rows, portion->count, &portion->applied);
	pfree(rows);
}

/*
 * Apply rows in a subtransaction.  Returns NULL, or the error, copied to the
 * current context, that undid it.
 */
static ErrorData *
try_apply(FmsRow **rows, int count, FmsApplied *applied)
{
	Portion		portion = {rows, count, {0}};
	ErrorData  *error = fms_table_try(apply_portion, &portion);

	if (error != NULL)
		return error;
	applied->written += portion.applied.written;
	applied->updated += portion.applied.updated;
	applied->clamped += portion.applied.clamped;
	return NULL;
}

/*
 * Take whole spans for new ones: a plain INSERT costs less than one that looks
 * for a row first.  After that was wrong, rows are looked for for a while: a
 * client that sends everything twice would make every batch be written twice.
 */
static void
expect_new(FmsRow **rows, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (!rows[i]->likely_new || fms_fold_is_mixed(rows[i]) ||
			rows[i]->adopt_stub || rows[i]->look_up)
			continue;
		if (cautious > 0)
			cautious--;
		else
			rows[i]->fresh = true;
	}
}

/*
 * Apply rows in a subtransaction, as try_apply.  Rows that turn out to be in
 * the table although they should be new (a whole span was sent again, a random
 * number came twice, or somebody put them there) are merged into what is there.
 */
static ErrorData *
apply_or_merge(FmsRow **rows, int count, FmsApplied *applied)
{
	ErrorData  *error = try_apply(rows, count, applied);
	bool		fresh = false;

	if (error == NULL || error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		return error;
	for (int i = 0; i < count; i++)
	{
		fresh |= rows[i]->fresh;
		if (rows[i]->fresh && rows[i]->likely_new)
			cautious = CAUTIOUS_SPANS;
		rows[i]->fresh = false;
	}
	if (!fresh)
		return error;
	FreeErrorData(error);
	return try_apply(rows, count, applied);
}

/* Whether an error tells of a lock that somebody else has. */
static bool
is_lock(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/*
 * Set how long the writer waits for a lock from now on.  If the transaction
 * fails, the server takes the setting back.
 */
static void
set_lock_timeout(const char *timeout)
{
	SetConfigOption("lock_timeout", timeout, PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Mark the rows of one partition that somebody has locked, or is inserting; in a
 * subtransaction.
 */
static void
mark_locked(void *arg)
{
	Portion    *portion = arg;
	Oid			partition = portion->rows[0]->partition;
	FmsOwnerScope scope;
	Oid			types[2] = {UUIDARRAYOID, UUIDARRAYOID};
	Datum	   *traces = palloc(sizeof(Datum) * portion->count);
	Datum	   *spans = palloc(sizeof(Datum) * portion->count);
	Datum		values[2];
	bool		isnull;

	for (int i = 0; i < portion->count; i++)
	{
		traces[i] = UUIDPGetDatum(&portion->rows[i]->trace_id);
		spans[i] = UUIDPGetDatum(&portion->rows[i]->span_id);
	}
	values[0] = PointerGetDatum(construct_array(traces, portion->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[1] = PointerGetDatum(construct_array(spans, portion->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	fms_table_enter(partition, &scope);
	if (SPI_execute_with_args(psprintf(find_locked, quote_identifier(get_rel_name(partition))),
							  2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for rows that are locked");
	for (uint64 i = 0; i < SPI_processed; i++)
		portion->rows[DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
												  1, &isnull)) - 1]->locked = true;
	fms_table_leave(&scope);
	for (int i = 0; i < portion->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (fms_lookup_is_uncommitted(partition, &portion->rows[i]->trace_id, &portion->rows[i]->span_id))
			portion->rows[i]->locked = true;
	}
}

/* Order rows by partition; those whose trace is not known, which have no key, first. */
static int
compare_partitions(const void *a, const void *b)
{
	const FmsRow *left = *(FmsRow *const *) a;
	const FmsRow *right = *(FmsRow *const *) b;

	if (left->has_trace != right->has_trace)
		return left->has_trace ? 1 : -1;
	return left->partition < right->partition ? -1 : left->partition > right->partition;
}

/*
 * Find out which rows are locked, without waiting, with one statement for each
 * partition.  What can't be found out is left to the waits.
 */
static void
look_for_locks(FmsRow **rows, int count)
{
	int			next;

	qsort(rows, count, sizeof(FmsRow *), compare_partitions);
	for (int i = 0; i < count; i = next)
	{
		Portion		portion = {rows + i, 0, {0}};
		ErrorData  *error;

		for (next = i + 1; next < count && compare_partitions(&rows[i], &rows[next]) == 0; next++)
			;
		portion.count = next - i;
		if (!rows[i]->has_trace || !OidIsValid(rows[i]->partition))
			continue;
		error = fms_table_try(mark_locked, &portion);
		if (error != NULL && fms_reject_is_transient(error))
			ReThrowError(error);
	}
}

/* Move the rows that are marked as locked to the end; returns how many are before them. */
static int
move_locked(FmsRow **rows, int count)
{
	FmsRow	  **locked = palloc(sizeof(FmsRow *) * count);
	int			n = 0;
	int			unlocked = 0;

	for (int i = 0; i < count; i++)
	{
		if (rows[i]->locked)
			locked[n++] = rows[i];
		else
			rows[unlocked++] = rows[i];
		rows[i]->locked = false;
	}
	memcpy(rows + unlocked, locked, sizeof(FmsRow *) * n);
	pfree(locked);
	return unlocked;
}

/* Note that rows were refused. */
static void
refuse(FmsRow **rows, int count, ErrorData *error)
{
	for (int i = 0; i < count; i++)
		rows[i]->refusal = error;
}

/* After the writer waited for a lock in vain: be less patient. */
static void
lose_patience(void)
{
	patience_ms -= LockTimeout;
	set_lock_timeout(patience_ms > 0 ? NEXT_LOCK_TIMEOUT : LAST_LOCK_TIMEOUT);
}

/*
 * Decide which of the rows that failed for a lock can be tried again: they come
 * first, and their number is returned.
 */
static int
sort_out_locked(FmsRow **rows, int count)
{
	int			unlocked = move_locked(rows, count);

	if (unlocked < count)		/* upsert.c knew: it did not wait */
		return unlocked;
	lose_patience();
	if (patience_ms <= 0)
		return 0;
	if (looked_for_locks)
		return count;
	looked_for_locks = true;
	look_for_locks(rows, count);
	return move_locked(rows, count);
}

/*
 * Apply rows, cutting a failing batch in halves; the rows that fail get their
 * refusal.  The array is sorted by the way.
 */
static void
apply_halves(FmsRow **rows, int count, FmsApplied *applied)
{
	ErrorData  *error = apply_or_merge(rows, count, applied);
	int			rest = count;

	if (error == NULL)
		return;
	if (fms_reject_is_transient(error))
		ReThrowError(error);
	if (is_lock(error) && !fms_table_waits)
		rest = sort_out_locked(rows, count);
	refuse(rows + rest, count - rest, error);
	if (rest == 0)
		return;
	if (count == 1)
	{
		refuse(rows, count, error);
		return;
	}
	if (rest < count)
	{
		apply_halves(rows, rest, applied);
		return;
	}
	FreeErrorData(error);
	apply_halves(rows, count / 2, applied);
	apply_halves(rows + count / 2, count - count / 2, applied);
}

/*
 * Apply rows as apply_halves, with patience for locks.  Returns how many were
 * refused; they are moved to the end of the array.
 */
static int
apply_patiently(FmsRow **rows, int count, FmsApplied *applied)
{
	FmsRow	  **refused = palloc(sizeof(FmsRow *) * count);
	int			n = 0;
	int			good = 0;

	if (count == 0)
		return 0;
	apply_halves(rows, count, applied);
	for (int i = 0; i < count; i++)
	{
		if (rows[i]->refusal != NULL)
			refused[n++] = rows[i];
		else
			rows[good++] = rows[i];
	}
	memcpy(rows + good, refused, sizeof(FmsRow *) * n);
	pfree(refused);
	return n;
}

/* The writer begins to apply a batch, for whose locks it waits so long at most. */
static void
begin_patience(int ms, const char *first_timeout)
{
	patience_ms = ms;
	looked_for_locks = false;
	if (fms_table_waits)
		return;
	set_lock_timeout(first_timeout);
	fms_lookup_begin_batch();
}

/* The batch is applied. */
static void
end_patience(void)
{
	if (!fms_table_waits)
		set_lock_timeout(FMS_LOCK_TIMEOUT);
}

/*
 * Refuse the rows of spans of which a row waits for a lock; they are moved to
 * the end, and their number is returned.
 */
static int
hold_back(FmsRow **rows, int count)
{
	ErrorData  *error;
	int			rest;

	if (fms_table_waits || !blocked_rows)
		return 0;
	fms_aside_mark_overtaken(rows, count);
	rest = move_locked(rows, count);
	if (rest == count)
		return 0;
	error = palloc0(sizeof(ErrorData));
	error->sqlerrcode = ERRCODE_LOCK_NOT_AVAILABLE;
	error->message = pstrdup("an earlier record of the span waits for a lock");
	refuse(rows + rest, count - rest, error);
	return count - rest;
}

/* Whether what failed is the table, not the rows: all failed, for its definition. */
static bool
is_table_at_fault(FmsRow **rows, int count, int refused)
{
	if (count == 0 || refused < count)
		return false;
	for (int i = 0; i < count; i++)
	{
		if (!is_structural(rows[i]->refusal))
			return false;
	}
	return true;
}

/*
 * Apply rows, in the current transaction; those that are refused are set
 * aside.  Adds to *applied.  Throws errors that tell of the server's state.
 */
void
fms_reject_apply(FmsRow **rows, int count, FmsApplied *applied)
{
	int			held;
	int			tried;
	int			refused;

	if (count == 0)
		return;
	expect_new(rows, count);
	held = hold_back(rows, count);
	tried = count - held;
	begin_patience(LOCK_PATIENCE_MS, FMS_LOCK_TIMEOUT);
	refused = apply_patiently(rows, tried, applied);
	end_patience();
	if (is_table_at_fault(rows, tried, refused))
		ReThrowError(rows[0]->refusal);
	if (refused + held == 0)
		return;
	for (int i = tried - refused; i < count; i++)
		blocked_rows |= is_lock(rows[i]->refusal);
	fms_aside_put(rows + tried - refused, refused + held, applied);
}

/* Whether there may be rows that were set aside because they were locked. */
bool
fms_reject_has_blocked(void)
{
	return blocked_rows;
}

/* a span of rows that are tried again */
typedef struct Turn
{
	pg_uuid_t	span_id;		/* hash key */
	int			rows;			/* so many of them */
	ErrorData  *refusal;		/* of one of them; NULL: none was refused */
} Turn;

/* The turn of a span, made if there is none. */
static Turn *
turn_of(HTAB *turns, const FmsRow *row)
{
	bool		found;
	Turn	   *turn = hash_search(turns, &row->span_id, HASH_ENTER, &found);

	if (!found)
	{
		turn->rows = 0;
		turn->refusal = NULL;
	}
	return turn;
}

/* Number the rows of each span in "turn", from 0; returns a hash table of Turn. */
static HTAB *
number_turns(FmsAside *asides, int count)
{
	HASHCTL		ctl = {0};
	HTAB	   *turns;

	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(Turn);
	ctl.hcxt = CurrentMemoryContext;
	turns = hash_create("flowmaestro_spans retry", Max(count, 1), &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = 0; i < count; i++)
		asides[i].turn = turn_of(turns, asides[i].row)->rows++;
	return turns;
}

/*
 * Apply the rows of one turn, of which no two are of the same span.  A row of a
 * span of which one was refused before is not tried.  Returns how many rows have
 * this turn.
 */
static int
apply_turn(HTAB *turns, int now, FmsAside *asides, int count, FmsApplied *applied)
{
	FmsRow	  **rows = palloc(sizeof(FmsRow *) * count);
	int			tried = 0;
	int			of_turn = 0;
	int			refused;

	for (int i = 0; i < count; i++)
	{
		if (asides[i].turn != now)
			continue;
		of_turn++;
		asides[i].row->refusal = turn_of(turns, asides[i].row)->refusal;
		asides[i].tried = asides[i].row->refusal == NULL;
		if (asides[i].tried)
			rows[tried++] = asides[i].row;
	}
	refused = apply_patiently(rows, tried, applied);
	if (is_table_at_fault(rows, tried, refused))
		ReThrowError(rows[0]->refusal);
	for (int i = tried - refused; i < tried; i++)
		turn_of(turns, rows[i])->refusal = rows[i]->refusal;
	pfree(rows);
	return of_turn;
}

/*
 * Apply rows that were set aside: the first rows of all spans, then the second
 * ones, and so on.  What is taken leaves rejected_spans; what is refused again
 * stays, with its new error.  Returns how many were refused.
 */
static int
apply_asides(FmsAside *asides, int count, FmsApplied *applied)
{
	HTAB	   *turns = number_turns(asides, count);
	int			left = count;
	int			refused = 0;

	begin_patience(RETRY_PATIENCE_MS, NEXT_LOCK_TIMEOUT);
	for (int now = 0; left > 0; now++)
		left -= apply_turn(turns, now, asides, count, applied);
	end_patience();
	for (int i = 0; i < count; i++)
	{
		if (asides[i].row->refusal == NULL)
			continue;
		refused++;
		if (asides[i].tried)
			fms_aside_renew(&asides[i]);
	}
	fms_aside_remove(asides, count);
	hash_destroy(turns);
	return refused;
}

/*
 * Try the rows that were set aside again, in the current transaction: for the
 * writer, with "blocked_only", those that were locked, as many as a batch has and
 * on from where it was last time; else all.  What is refused again stays.
 * Returns how many were taken into the table.
 */
int64
fms_reject_retry(bool blocked_only)
{
	static TimestampTz resume = DT_NOBEGIN;
	TimestampTz after = blocked_only ? resume : DT_NOBEGIN;
	int64		taken = 0;
	int64		left = 0;

	if (!fms_aside_lock(!blocked_only))
		return 0;
	do
	{
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "flowmaestro_spans retry",
													  ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(context);
		FmsApplied	applied = {0};
		int			count;
		FmsAside   *asides = fms_aside_read(blocked_only, &after, &count);
		int			refused = apply_asides(asides, count, &applied);

		taken += count - refused;
		left += refused;
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
	} while (!blocked_only && after != DT_NOBEGIN);
	if (blocked_only)
	{
		blocked_rows = left > 0 || after != DT_NOBEGIN || resume != DT_NOBEGIN;
		resume = after;
	}
	return taken;
}

/* retry_rejected_spans() returns bigint */
Datum
fms_retry_rejected_spans(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(fms_reject_retry(false));
}
