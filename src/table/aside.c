/*-------------------------------------------------------------------------
 *
 * aside.c
 *	  The table of rows that execution_spans refused.
 *
 * A row is set aside with its error, and its time here tells the order: rows of
 * one span go back in the order in which they came.  A row stays where it is
 * until it is taken back, however often that is tried, so that what waits for a
 * lock costs no writes while it waits.  Who takes rows back holds a lock against
 * others who do; setting aside goes on beside it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "table/aside.h"
#include "table/columns.h"
#include "table/owner.h"
#include "table/pace.h"
#include "table/reject.h"

#define READ_ROWS FMS_LIMIT(10000, 2)	/* at once */
#define READ_BYTES FMS_LIMIT(16 * 1024 * 1024, 1024)
#define LOG_EVERY_MS 60000

#define ROW_COLUMNS \
	FMS_COLUMNS(FMS_COLUMN_NAMED, FMS_COLUMN_NAMED, FMS_COLUMN_NAMED, FMS_COLUMN_NONE, FMS_COLUMN_NAMED_LAST)

/* as many as FMS_COLUMNS: what follows from others is not kept */
#define NO_COLUMN(number, name) "NULL::float8 AS " name ", "

static const char *const insert_rejected =
	"INSERT INTO flowmaestro.rejected_spans (" ROW_COLUMNS ", sqlstate, message, rejected_at) "
	"SELECT " ROW_COLUMNS ", $1, $2, $3 FROM flowmaestro.pending_rows()";

/* rows whose spans have one that waits for a lock */
static const char *const find_waiting =
	"SELECT k.n FROM pg_catalog.unnest($1) WITH ORDINALITY AS k (s, n) "
	"WHERE k.s OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT r.span_id FROM flowmaestro.rejected_spans AS r "
	"WHERE r.sqlstate OPERATOR(pg_catalog.=) '55P03' AND r.span_id OPERATOR(pg_catalog.=) ANY ($1)))";

/* a row of a span is not read before one that came earlier and is still there */
static const char *const read_rejected =
	"SELECT " FMS_COLUMNS(FMS_COLUMN_NAMED, FMS_COLUMN_NAMED, FMS_COLUMN_NAMED, NO_COLUMN, FMS_COLUMN_NAMED_LAST)
	", r.sqlstate, r.message, r.rejected_at, r.ctid "
	"FROM flowmaestro.rejected_spans AS r "
	"WHERE (NOT $1 OR r.sqlstate OPERATOR(pg_catalog.=) '55P03') "
	"AND r.rejected_at OPERATOR(pg_catalog.>) $2 "
	"AND NOT EXISTS (SELECT FROM flowmaestro.rejected_spans AS e "
	"WHERE e.span_id OPERATOR(pg_catalog.=) r.span_id AND e.rejected_at OPERATOR(pg_catalog.<=) $2 "
	"AND (NOT $1 OR e.sqlstate OPERATOR(pg_catalog.=) '55P03')) "
	"ORDER BY r.rejected_at LIMIT $3";

static const char *const renew_rejected =
	"UPDATE flowmaestro.rejected_spans AS r SET sqlstate = $2, message = $3 "
	"WHERE r.ctid OPERATOR(pg_catalog.=) $1";

static const char *const remove_rejected =
	"DELETE FROM flowmaestro.rejected_spans AS r "
	"WHERE r.ctid OPERATOR(pg_catalog.=) ANY ($1)";

/* rows that are being set aside, for a subtransaction */
typedef struct Bundle
{
	FmsRow	  **rows;
	int			count;
} Bundle;

/* The table of rejected spans. */
static Oid
rejected_table(void)
{
	return get_relname_relid("rejected_spans", get_rel_namespace(fms_buffer_table()));
}

/*
 * Write a row with its error to rejected_spans, as of a time; the caller is
 * connected to SPI.
 */
static void
insert_row(FmsRow *row, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[3];

	values[0] = CStringGetTextDatum(unpack_sql_state(row->refusal->sqlerrcode));
	values[1] = CStringGetTextDatum(row->refusal->message);
	values[2] = TimestampTzGetDatum(at);
	(void) fms_columns_write(fms_plan_kept(&plan, insert_rejected, 3, types), values, &row, 1);
}

/*
 * Keep others from taking rows back until the end of the transaction.  Returns
 * false if somebody does that now and "wait" is not set.
 */
bool
fms_aside_lock(bool wait)
{
	if (!wait)
		return ConditionalLockRelationOid(rejected_table(), ShareUpdateExclusiveLock);
	LockRelationOid(rejected_table(), ShareUpdateExclusiveLock);
	return true;
}

/*
 * Write a bundle of rows to rejected_spans, in a subtransaction.  No two rows of
 * a process have the same time: it tells their order.
 */
static void
insert_bundle(void *arg)
{
	static TimestampTz last = 0;
	Bundle	   *bundle = arg;
	FmsOwnerScope scope;

	for (int i = 0; i < bundle->count; i++)
		fms_fold_merge(bundle->rows[i]);
	fms_table_enter(rejected_table(), &scope);
	for (int i = 0; i < bundle->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		last = Max(last + 1, GetCurrentTimestamp());
		insert_row(bundle->rows[i], last);
	}
	fms_table_leave(&scope);
}

/*
 * Whether a minute has gone by since the log was told of such a thing; *count
 * then has what was not told since, with what it is now.
 */
static bool
may_log(TimestampTz *logged_at, uint64 *untold, uint64 *count)
{
	TimestampTz now = GetCurrentTimestamp();

	*untold += *count;
	if (*logged_at != 0 && !TimestampDifferenceExceeds(*logged_at, now, LOG_EVERY_MS))
		return false;
	*logged_at = now;
	*count = *untold;
	*untold = 0;
	return true;
}

/* Tell the log, once a minute at most, that rows are set aside. */
static void
tell_refused(const FmsRow *row, uint64 count)
{
	static TimestampTz logged_at = 0;
	static uint64 untold = 0;

	if (!may_log(&logged_at, &untold, &count))
		return;
	ereport(LOG,
			(errcode(row->refusal->sqlerrcode),
			 errmsg_plural("set %llu span aside in rejected_spans: %s",
						   "set %llu spans aside in rejected_spans, the last for: %s",
						   count, (unsigned long long) count, row->refusal->message)));
}

/* Tell the log, once a minute at most, that a row is lost, with both its errors. */
static void
tell_lost(const FmsRow *row, const ErrorData *error)
{
	static TimestampTz logged_at = 0;
	static uint64 untold = 0;
	uint64		count = 1;

	if (!may_log(&logged_at, &untold, &count))
		return;
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg_plural("could not set %llu span aside: %s", "could not set %llu spans aside, the last for: %s",
						   count, (unsigned long long) count, error->message),
			 errdetail("The span itself was refused with: %s", row->refusal->message)));
}

/*
 * Set one row aside.  If that fails as well, the row is lost: it is counted, and
 * the log tells both errors.  Errors that tell of the server's state are thrown.
 */
static void
put_one(FmsRow *row, FmsApplied *applied)
{
	Bundle		bundle = {&row, 1};
	ErrorData  *error = fms_table_try(insert_bundle, &bundle);

	if (error == NULL)
	{
		applied->rejected++;
		return;
	}
	if (fms_reject_is_transient(error) ||
		(fms_pace_is_shortage(error->sqlerrcode) && fms_pace_resort() != FMS_RESORT_DROP))
		ReThrowError(error);
	fms_slot_count(fms_buffer_slot(), FMS_DROPPED, 1);
	tell_lost(row, error);
	FreeErrorData(error);
}

/*
 * Set rows aside that were refused: all at once, or, if that fails, one by one.
 * Adds to applied->rejected.
 */
void
fms_aside_put(FmsRow **rows, int count, FmsApplied *applied)
{
	Bundle		bundle = {rows, count};
	ErrorData  *error;

	tell_refused(rows[count - 1], count);
	error = count == 1 ? NULL : fms_table_try(insert_bundle, &bundle);
	if (count > 1 && error == NULL)
	{
		applied->rejected += count;
		return;
	}
	if (error != NULL)
		FreeErrorData(error);
	for (int i = 0; i < count; i++)
		put_one(rows[i], applied);
}

/*
 * Mark as locked the rows of spans of which a row waits for a lock: they must
 * not overtake it.
 */
void
fms_aside_mark_overtaken(FmsRow **rows, int count)
{
	static SPIPlanPtr plan = NULL;
	FmsOwnerScope scope;
	Oid			types[1] = {UUIDARRAYOID};
	Datum	   *ids = palloc(sizeof(Datum) * count);
	Datum		values[1];
	bool		isnull;

	for (int i = 0; i < count; i++)
		ids[i] = UUIDPGetDatum(&rows[i]->span_id);
	values[0] = PointerGetDatum(construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	fms_table_enter(rejected_table(), &scope);
	(void) fms_table_select(fms_plan_kept(&plan, find_waiting, 1, types), values);
	for (uint64 i = 0; i < SPI_processed; i++)
		rows[DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
										 1, &isnull)) - 1]->locked = true;
	fms_table_leave(&scope);
}

/* A column of a returned row. */
static Datum
column(HeapTuple tuple, int n, bool *isnull)
{
	return SPI_getbinval(tuple, SPI_tuptable->tupdesc, n, isnull);
}

/* A text column, copied. */
static char *
rejected_text(HeapTuple tuple, int n)
{
	bool		isnull;
	Datum		value = column(tuple, n, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* The row that was set aside. */
static FmsRow *
rejected_row(HeapTuple tuple)
{
	FmsRow	   *row = fms_columns_read(tuple, SPI_tuptable->tupdesc, true);

	row->adopt_stub = row->has_start;
	/* nobody knows any more whether the row was looked for */
	row->look_up = true;
	fms_fold_merge(row);
	return row;
}

/* What a row that was read takes in memory, near enough. */
static Size
row_bytes(const FmsRow *row)
{
	const Jsonb *values[] = {row->input, row->output, row->error, row->attributes, row->events,
	row->links, row->otlp};
	Size		bytes = sizeof(FmsRow) + row->name.length + row->type.length + row->entity.length;

	for (int i = 0; i < lengthof(values); i++)
		bytes += values[i] == NULL ? 0 : VARSIZE(values[i]);
	return bytes;
}

/*
 * Read rows that were set aside after *after, the earliest first, in the current
 * memory context; with "blocked_only", those that were locked.  Not more than a
 * batch has: *after is then the time of the last one, else DT_NOBEGIN.
 */
FmsAside *
fms_aside_read(bool blocked_only, TimestampTz *after, int *count)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	FmsOwnerScope scope;
	Oid			types[3] = {BOOLOID, TIMESTAMPTZOID, INT8OID};
	Datum		values[3] = {BoolGetDatum(blocked_only), TimestampTzGetDatum(*after), Int64GetDatum(READ_ROWS)};
	FmsAside   *asides;
	Size		bytes = 0;
	int			n = 0;
	bool		isnull;

	fms_table_enter(rejected_table(), &scope);
	(void) fms_table_select(fms_plan_kept(&plan, read_rejected, 3, types), values);
	MemoryContextSwitchTo(context);
	asides = palloc(sizeof(FmsAside) * Max(SPI_processed, 1));
	*after = DT_NOBEGIN;
	for (; n < SPI_processed && bytes < READ_BYTES; n++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[n];

		CHECK_FOR_INTERRUPTS();
		asides[n].row = rejected_row(tuple);
		asides[n].sqlstate = rejected_text(tuple, FMS_COLUMN_COUNT + 1);
		asides[n].message = rejected_text(tuple, FMS_COLUMN_COUNT + 2);
		asides[n].place = *(ItemPointer) DatumGetPointer(column(tuple, FMS_COLUMN_COUNT + 4, &isnull));
		bytes += row_bytes(asides[n].row);
	}
	if (n > 0 && (n < SPI_processed || n == READ_ROWS))
		*after = DatumGetTimestampTz(column(SPI_tuptable->vals[n - 1], FMS_COLUMN_COUNT + 3, &isnull));
	*count = n;
	fms_table_leave(&scope);
	return asides;
}

/*
 * Give a row that was refused again its new error, unless it is the old one.  A
 * row that waits for a lock is not written again and again.
 */
void
fms_aside_renew(const FmsAside *aside)
{
	FmsOwnerScope scope;
	Oid			types[3] = {TIDOID, TEXTOID, TEXTOID};
	const char *sqlstate = unpack_sql_state(aside->row->refusal->sqlerrcode);
	const char *message = aside->row->refusal->message;
	Datum		values[3];

	if (strcmp(aside->sqlstate, sqlstate) == 0 &&
		(aside->row->refusal->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		 strcmp(aside->message, message) == 0))
		return;
	values[0] = PointerGetDatum(&aside->place);
	values[1] = CStringGetTextDatum(sqlstate);
	values[2] = CStringGetTextDatum(message);
	fms_table_enter(rejected_table(), &scope);
	if (SPI_execute_with_args(renew_rejected, 3, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not change rejected_spans");
	fms_table_leave(&scope);
}

/*
 * Remove the rows that were not refused.  One that somebody has changed or
 * removed since it was read is an error: what was done with it must not stay.
 */
void
fms_aside_remove(const FmsAside *asides, int count)
{
	FmsOwnerScope scope;
	Oid			types[1] = {TIDARRAYOID};
	Datum	   *places = palloc(sizeof(Datum) * Max(count, 1));
	Datum		values[1];
	int			n = 0;

	for (int i = 0; i < count; i++)
	{
		if (asides[i].row->refusal == NULL)
			places[n++] = PointerGetDatum(&asides[i].place);
	}
	if (n == 0)
		return;
	values[0] = PointerGetDatum(construct_array(places, n, TIDOID, sizeof(ItemPointerData), false,
												TYPALIGN_SHORT));
	fms_table_enter(rejected_table(), &scope);
	if (SPI_execute_with_args(remove_rejected, 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not remove rows from rejected_spans");
	if (SPI_processed != n)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("rejected_spans was changed while its rows were taken back")));
	fms_table_leave(&scope);
}
