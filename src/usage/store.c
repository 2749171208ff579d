/*-------------------------------------------------------------------------
 *
 * store.c
 *	  The statements of the ledger, and locks on its traces.
 *
 * Rows go in and come out in binary form: keys as arrays, entries through
 * pending_usage(), which hands them out from memory.  The planner is told to
 * join by index, whatever it knows of the tables: a plan made while they were
 * empty must not be kept for when they are not.
 *
 * Who changes what counts in a trace holds a lock for it until the end of the
 * transaction.  Traces share LOCKS locks, so that a batch of thousands takes
 * only so many; they are taken in order, and held by a session only while it
 * commits.  Two traces with the same lock wait for each other without need,
 * which costs a session that commits now and then nothing that can be seen; a
 * lock for each trace could fill the server's table of locks.
 *
 * All functions but the locks expect the caller to be between fms_store_enter
 * and fms_store_leave: connected to SPI, as the owner of the tables.  What they
 * return lies in the memory context that was current at fms_store_enter.
 * Plans are kept for the life of the session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "table/feed.h"
#include "table/owner.h"
#include "usage/store.h"

#define LOCKS FMS_LIMIT(64, 1)	/* that all traces share */
#define LOCK_TRIES 40			/* of a writer, LOCK_PAUSE_US apart */
#define LOCK_PAUSE_US 5000

/*
 * The columns of span_usage in their order.  What names them in statements, and
 * where a row has them, is made from this list: it is given what to make of the
 * first column, and of all others.
 */
#define ENTRY_COLUMN_LIST(FIRST, NEXT) \
	FIRST(TRACE_ID, "trace_id") \
	NEXT(SPAN_ID, "span_id") \
	NEXT(PARENT_SPAN_ID, "parent_span_id") \
	NEXT(WAITS_FOR, "waits_for") \
	NEXT(STARTED_AT, "started_at") \
	FMS_LEDGER_TEXTS_LIST(NEXT) \
	NEXT(ENDED, "ended") \
	NEXT(FAILED, "failed") \
	NEXT(CARRIES, "carries") \
	NEXT(COVERED, "covered") \
	NEXT(COUNTED, "counted") \
	NEXT(DURATION_US, "duration_us") \
	FMS_TOKEN_KINDS_LIST(NEXT) \
	NEXT(IGNORED, "ignored") \
	NEXT(COST, "cost") \
	NEXT(PRICE_ID, "price_id")

#define FIRST_NAME(id, column) column
#define NEXT_NAME(id, column) ", " column
#define ENTRY_COLUMNS ENTRY_COLUMN_LIST(FIRST_NAME, NEXT_NAME)
#define PLACE(id, column) AT_##id,

enum
{
	ENTRY_COLUMN_LIST(PLACE, PLACE)
	ENTRY_COLUMN_COUNT
};

static const char *const find_entries =
	"SELECT " ENTRY_COLUMNS " FROM ROWS FROM (unnest($1), unnest($2)) AS k (t, s) "
	"JOIN flowmaestro.span_usage AS u ON u.trace_id = k.t AND u.span_id = k.s";

/* a trace of which several spans are given is looked up once */
static const char *const find_trace_entries =
	"SELECT " ENTRY_COLUMNS " FROM (SELECT DISTINCT k.t FROM ROWS FROM (unnest($1), unnest($2)) AS k (t, s)) AS k "
	"JOIN flowmaestro.span_usage AS u ON u.trace_id = k.t";

/*
 * Ids made at about the same time are close together: mostly nobody waits
 * between two of them, and one probe of an index says so for a whole batch.
 */
static const char *const any_waits =
	"SELECT FROM flowmaestro.span_usage AS u WHERE u.waits_for >= $1 AND u.waits_for <= $2 LIMIT 1";

/* through the index on waits_for, which has the few entries that wait */
static const char *const find_waiting =
	"SELECT " ENTRY_COLUMNS " FROM ROWS FROM (unnest($1), unnest($2)) AS k (t, s) "
	"JOIN flowmaestro.span_usage AS u ON u.waits_for = k.s AND u.trace_id = k.t";

/*
 * The times let the planner leave partitions out.  Each is written as two
 * comparisons, which serves for that and for no index scan: without statistics
 * the planner takes a range of times for a few rows, and would search all of
 * them again for each key.  A span without a name is a stub.
 */
static const char *const find_spans =
	"SELECT " FMS_WRITTEN_COLUMNS("$5 AND ") " FROM ROWS FROM (unnest($1), unnest($2)) AS k (t, s) "
	"JOIN flowmaestro.execution_spans AS s ON s.trace_id = k.t AND s.span_id = k.s "
	"WHERE (s.started_at > $3 OR s.started_at = $3) AND (s.started_at < $4 OR s.started_at = $4) "
	"AND s.name <> ''";

static const char *const insert_entries =
	"INSERT INTO flowmaestro.span_usage (" ENTRY_COLUMNS ") "
	"SELECT " ENTRY_COLUMNS " FROM flowmaestro.pending_usage()";

/* whole rows: most of an entry changes when its call ends */
static const char *const update_entries =
	"UPDATE flowmaestro.span_usage AS u SET (" ENTRY_COLUMNS ") = ROW (p.*) "
	"FROM flowmaestro.pending_usage() AS p WHERE u.trace_id = p.trace_id AND u.span_id = p.span_id";

/* by transactions that cannot count themselves */
static const char *const defer_spans =
	"INSERT INTO flowmaestro.uncounted_spans (trace_id, span_id, started_at) "
	"SELECT k.t, k.s, k.at FROM ROWS FROM (unnest($1), unnest($2), unnest($3)) AS k (t, s, at)";

/* by the writer, in the transaction that counts them */
static const char *const take_deferred =
	"DELETE FROM flowmaestro.uncounted_spans AS d WHERE d.ctid = ANY (ARRAY("
	"SELECT c.ctid FROM flowmaestro.uncounted_spans AS c LIMIT $1)) "
	"RETURNING d.trace_id, d.span_id, d.started_at";

/* stubs under their own ids; they were written after the starts that they belong to */
static const char *const find_stubs =
	"SELECT s.span_id FROM unnest($1) AS k (s) "
	"JOIN flowmaestro.execution_spans AS s ON s.trace_id = k.s AND s.span_id = k.s "
	"WHERE (s.started_at > $2 OR s.started_at = $2) AND s.name = ''";

static const char *const settle_reservations =
	"DELETE FROM flowmaestro.budget_reservations AS r WHERE r.reservation_id = ANY ($1)";

static int	put_entry(const FmsFeed *feed, int i, ReturnSetInfo *result);

/* the entries that pending_usage() hands out */
static FmsFeed usage_feed = {.function = "pending_usage", .put = put_entry};

PG_FUNCTION_INFO_V1(fms_pending_usage);
PG_FUNCTION_INFO_V1(fms_lock_token_usage);

/*
 * Become the owner of the tables, connected to SPI.  Whatever isolation the transaction has, the
 * statements see what is committed when they begin: the locks on traces, not a
 * snapshot, keep others away.
 */
void
fms_store_enter(FmsStoreScope *scope)
{
	scope->context = CurrentMemoryContext;
	fms_table_enter(fms_buffer_table(), &scope->owner);
	fms_table_plan_by_key();
	scope->isolation = XactIsoLevel;
	XactIsoLevel = XACT_READ_COMMITTED;
}

/*
 * Undo fms_store_enter, and with it free what SPI holds.  After an error the
 * abort of the transaction does the same, but for XactIsoLevel, which the
 * caller restores.
 */
void
fms_store_leave(FmsStoreScope *scope)
{
	XactIsoLevel = scope->isolation;
	fms_table_leave(&scope->owner);
	MemoryContextSwitchTo(scope->context);
}

/* The table of the ledger, in the schema of the buffer's. */
static Oid
ledger_table(void)
{
	return get_relname_relid("span_usage", get_rel_namespace(fms_buffer_table()));
}

/*
 * Take one of the locks, until the end of the transaction.  A session waits as
 * long as it has to, and the server finds deadlocks.  A writer does not wait
 * for long: it serves everybody, and its batch is tried again later, as a
 * whole.  The locks are advisory in nature, but in a class of their own, so
 * that no application's advisory lock can be in the way.
 */
static void
take_lock(Oid table, int n)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, table, n + 1);
	if (fms_table_waits)
	{
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
		return;
	}
	for (int i = 0; LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL; i++)
	{
		if (i == LOCK_TRIES)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("usage of tokens is locked by another session")));
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOCK_PAUSE_US);
	}
}

/*
 * Lock the traces of some spans until the end of the transaction.  Locks are
 * taken in the order of their numbers, by everybody, so nobody waits in a
 * circle.
 */
void
fms_store_lock_traces(const FmsSpanKey *keys, int count)
{
	Oid			table = ledger_table();
	bool		wanted[LOCKS] = {false};

	for (int i = 0; i < count; i++)
		wanted[hash_bytes(keys[i].trace_id.data, UUID_LEN) % LOCKS] = true;
	for (int n = 0; n < LOCKS; n++)
	{
		if (wanted[n])
			take_lock(table, n);
	}
}

/*
 * lock_token_usage() returns void
 *
 * Locks all traces until the end of the transaction: nobody counts meanwhile.
 * For work on the whole ledger, such as making it again.
 */
Datum
fms_lock_token_usage(PG_FUNCTION_ARGS)
{
	Oid			table = ledger_table();

	for (int n = 0; n < LOCKS; n++)
		take_lock(table, n);
	PG_RETURN_VOID();
}

/*
 * Keys as two arrays, of traces and of spans, in the current memory context.
 * Arrays pass any number of keys to a statement that is prepared once.
 */
static void
key_arrays(const FmsSpanKey *keys, int count, Datum *arrays)
{
	Datum	   *traces = palloc(sizeof(Datum) * Max(count, 1));
	Datum	   *spans = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		traces[i] = UUIDPGetDatum(&keys[i].trace_id);
		spans[i] = UUIDPGetDatum(&keys[i].span_id);
	}
	arrays[0] = fms_plan_array(traces, count, UUIDOID);
	arrays[1] = fms_plan_array(spans, count, UUIDOID);
}

/*
 * An entry from a row of span_usage, copied to the current memory context.
 * "counted" is not read: it follows from the rest (fms_entry_counts).
 */
static void
read_entry(HeapTuple tuple, TupleDesc desc, FmsEntry *entry)
{
	Datum		values[ENTRY_COLUMN_COUNT];
	bool		nulls[ENTRY_COLUMN_COUNT];

	memset(entry, 0, sizeof(*entry));
	heap_deform_tuple(tuple, desc, values, nulls);
	entry->trace_id = *DatumGetUUIDP(values[AT_TRACE_ID]);
	entry->span_id = *DatumGetUUIDP(values[AT_SPAN_ID]);
	entry->has_parent = !nulls[AT_PARENT_SPAN_ID];
	if (entry->has_parent)
		entry->parent_span_id = *DatumGetUUIDP(values[AT_PARENT_SPAN_ID]);
	entry->waits = !nulls[AT_WAITS_FOR];
	if (entry->waits)
		entry->waits_for = *DatumGetUUIDP(values[AT_WAITS_FOR]);
	entry->started_at = DatumGetTimestampTz(values[AT_STARTED_AT]);
	for (int i = 0; i < FMS_LEDGER_TEXTS; i++)
		entry->text[i] = fms_table_part(values[AT_TYPE + i], false);
	entry->ended = DatumGetBool(values[AT_ENDED]);
	entry->failed = DatumGetBool(values[AT_FAILED]);
	entry->carries = DatumGetBool(values[AT_CARRIES]);
	entry->covered = DatumGetBool(values[AT_COVERED]);
	entry->duration_us = DatumGetInt64(values[AT_DURATION_US]);
	for (int i = 0; i < FMS_TOKEN_KINDS; i++)
		entry->count[i] = DatumGetInt64(values[AT_INPUT + i]);
	entry->ignored = DatumGetInt32(values[AT_IGNORED]);
	if (!nulls[AT_COST])
		entry->cost = DatumGetNumericCopy(values[AT_COST]);
	entry->has_price = !nulls[AT_PRICE_ID];
	entry->price_id = entry->has_price ? DatumGetInt64(values[AT_PRICE_ID]) : 0;
}

/*
 * Run a look-up of entries by keys.  The entries outlive SPI's memory: they are
 * copied, with all that they point to, to the context of the caller.
 */
static FmsEntry *
look_up_entries(SPIPlanPtr *plan, const char *sql, const FmsSpanKey *keys, int count, int *found)
{
	Oid			types[2] = {UUIDARRAYOID, UUIDARRAYOID};
	Datum		values[2];
	FmsEntry   *entries;
	MemoryContext spi;

	key_arrays(keys, count, values);
	*found = (int) fms_plan_run(plan, sql, 2, types, values, NULL);
	entries = SPI_palloc(sizeof(FmsEntry) * Max(*found, 1));
	spi = MemoryContextSwitchTo(GetMemoryChunkContext(entries));
	for (int i = 0; i < *found; i++)
		read_entry(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &entries[i]);
	MemoryContextSwitchTo(spi);
	SPI_freetuptable(SPI_tuptable);
	return entries;
}

/* The entries of some spans; those that have none are left out, the order is any. */
FmsEntry *
fms_store_entries(const FmsSpanKey *keys, int count, int *found)
{
	static SPIPlanPtr plan = NULL;

	return look_up_entries(&plan, find_entries, keys, count, found);
}

/* All entries of the traces of some spans, whose own are among them. */
FmsEntry *
fms_store_trace_entries(const FmsSpanKey *keys, int count, int *found)
{
	static SPIPlanPtr plan = NULL;

	return look_up_entries(&plan, find_trace_entries, keys, count, found);
}

/*
 * Whether an entry waits for a span between the least and the greatest of some,
 * of which there is at least one.  Asked of every batch, and mostly no.
 */
static bool
anybody_waits(const FmsSpanKey *keys, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {UUIDOID, UUIDOID};
	const pg_uuid_t *least = &keys[0].span_id;
	const pg_uuid_t *greatest = least;
	Datum		values[2];

	for (int i = 1; i < count; i++)
	{
		if (memcmp(&keys[i].span_id, least, UUID_LEN) < 0)
			least = &keys[i].span_id;
		if (memcmp(&keys[i].span_id, greatest, UUID_LEN) > 0)
			greatest = &keys[i].span_id;
	}
	values[0] = UUIDPGetDatum(least);
	values[1] = UUIDPGetDatum(greatest);
	return fms_plan_run(&plan, any_waits, 2, types, values, NULL) > 0;
}

/*
 * The entries that wait for some spans, of which there is at least one; NULL if
 * there are none.  *found tells how many.
 */
FmsEntry *
fms_store_waiting(const FmsSpanKey *keys, int count, int *found)
{
	static SPIPlanPtr plan = NULL;

	*found = 0;
	if (!anybody_waits(keys, count))
		return NULL;
	return look_up_entries(&plan, find_waiting, keys, count, found);
}

/*
 * Spans of the table that started between two times, both included; with
 * "whole", model calls come with their attributes.
 */
FmsSpanState *
fms_store_spans(const FmsSpanKey *keys, int count, TimestampTz from, TimestampTz until,
				bool whole, int *found)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[5] = {UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID};
	Datum		values[5];
	FmsSpanState *spans;
	MemoryContext spi;

	key_arrays(keys, count, values);
	values[2] = TimestampTzGetDatum(from);
	values[3] = TimestampTzGetDatum(until);
	values[4] = BoolGetDatum(whole);
	*found = (int) fms_plan_run(&plan, find_spans, 5, types, values, NULL);
	spans = SPI_palloc(sizeof(FmsSpanState) * Max(*found, 1));
	spi = MemoryContextSwitchTo(GetMemoryChunkContext(spans));
	for (int i = 0; i < *found; i++)
		fms_written_read(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &spans[i]);
	MemoryContextSwitchTo(spi);
	SPI_freetuptable(SPI_tuptable);
	return spans;
}

/* Put an entry into the result of pending_usage(), in the order of ENTRY_COLUMNS. */
static int
put_entry(const FmsFeed *feed, int i, ReturnSetInfo *result)
{
	const FmsEntry *entry = ((FmsEntry **) feed->rows)[i];
	Datum		values[ENTRY_COLUMN_COUNT];
	bool		nulls[ENTRY_COLUMN_COUNT] = {false};

	values[AT_TRACE_ID] = UUIDPGetDatum(&entry->trace_id);
	values[AT_SPAN_ID] = UUIDPGetDatum(&entry->span_id);
	values[AT_PARENT_SPAN_ID] = UUIDPGetDatum(&entry->parent_span_id);
	nulls[AT_PARENT_SPAN_ID] = !entry->has_parent;
	values[AT_WAITS_FOR] = UUIDPGetDatum(&entry->waits_for);
	nulls[AT_WAITS_FOR] = !entry->waits;
	values[AT_STARTED_AT] = TimestampTzGetDatum(entry->started_at);
	for (int n = 0; n < FMS_LEDGER_TEXTS; n++)
		values[AT_TYPE + n] = fms_table_text(&entry->text[n]);
	values[AT_ENDED] = BoolGetDatum(entry->ended);
	values[AT_FAILED] = BoolGetDatum(entry->failed);
	values[AT_CARRIES] = BoolGetDatum(entry->carries);
	values[AT_COVERED] = BoolGetDatum(entry->covered);
	values[AT_COUNTED] = BoolGetDatum(fms_entry_counts(entry));
	values[AT_DURATION_US] = Int64GetDatum(entry->duration_us);
	for (int n = 0; n < FMS_TOKEN_KINDS; n++)
		values[AT_INPUT + n] = Int64GetDatum(entry->count[n]);
	values[AT_IGNORED] = Int32GetDatum(entry->ignored);
	values[AT_COST] = NumericGetDatum(entry->cost);
	nulls[AT_COST] = entry->cost == NULL;
	values[AT_PRICE_ID] = Int64GetDatum(entry->price_id);
	nulls[AT_PRICE_ID] = !entry->has_price;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return i + 1;
}

/* pending_usage() returns setof span_usage: the entries that are being written */
Datum
fms_pending_usage(PG_FUNCTION_ARGS)
{
	return fms_feed_rows(&usage_feed, fcinfo);
}

/*
 * Run a statement that reads pending_usage(), and hold the number of rows that
 * it wrote against what was to be written: an update that misses a row means
 * that somebody changed the ledger without the lock, and sums would drift.
 */
static void
run_pending(SPIPlanPtr *plan, const char *sql, FmsEntry **entries, int count)
{
	uint64		written;

	if (count == 0)
		return;
	written = fms_feed_run(&usage_feed, entries, count, fms_plan_kept(plan, sql, 0, NULL), NULL);
	if (written != count)
		elog(ERROR, "could not write the ledger: %llu of %d rows", (unsigned long long) written,
			 count);
}

/* Write entries, new ones and changed ones; their traces are locked. */
void
fms_store_write(FmsEntry **inserted, int n_inserted, FmsEntry **updated, int n_updated)
{
	static SPIPlanPtr insert_plan = NULL;
	static SPIPlanPtr update_plan = NULL;

	run_pending(&insert_plan, insert_entries, inserted, n_inserted);
	run_pending(&update_plan, update_entries, updated, n_updated);
}

/*
 * Leave spans to the writer: ids and starts, since by the time that it comes to
 * them their rows may have changed.
 */
void
fms_store_defer(const FmsSpanPlace *places, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID};
	Datum		values[3];
	FmsSpanKey *keys = palloc(sizeof(FmsSpanKey) * count);
	Datum	   *starts = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
	{
		keys[i] = places[i].key;
		starts[i] = TimestampTzGetDatum(places[i].started_at);
	}
	key_arrays(keys, count, values);
	values[2] = fms_plan_array(starts, count, TIMESTAMPTZOID);
	(void) fms_plan_run(&plan, defer_spans, 3, types, values, NULL);
}

/*
 * Take spans that were left, "limit" at most.  If the transaction fails they
 * are still there for the next one.
 */
FmsSpanPlace *
fms_store_take_deferred(int limit, int *count)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(limit)};
	FmsSpanPlace *places;
	bool		isnull;

	*count = (int) fms_plan_run(&plan, take_deferred, 1, types, values, NULL);
	places = SPI_palloc(sizeof(FmsSpanPlace) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		places[i].key.trace_id = *DatumGetUUIDP(SPI_getbinval(tuple, desc, 1, &isnull));
		places[i].key.span_id = *DatumGetUUIDP(SPI_getbinval(tuple, desc, 2, &isnull));
		places[i].started_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 3, &isnull));
	}
	return places;
}

/*
 * The spans among some that have a stub in the table, whose id is its trace's.
 * One that says that it is older than all of the others is not found.
 */
pg_uuid_t *
fms_store_stubs(const FmsSpanPlace *places, int count, int *found)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {UUIDARRAYOID, TIMESTAMPTZOID};
	Datum		values[2];
	Datum	   *ids = palloc(sizeof(Datum) * Max(count, 1));
	TimestampTz from = DT_NOEND;
	pg_uuid_t  *stubs;
	bool		isnull;

	for (int i = 0; i < count; i++)
	{
		ids[i] = UUIDPGetDatum(&places[i].key.span_id);
		from = Min(from, places[i].started_at);
	}
	values[0] = fms_plan_array(ids, count, UUIDOID);
	values[1] = TimestampTzGetDatum(from);
	*found = (int) fms_plan_run(&plan, find_stubs, 2, types, values, NULL);
	stubs = SPI_palloc(sizeof(pg_uuid_t) * Max(*found, 1));
	for (int i = 0; i < *found; i++)
		stubs[i] = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	return stubs;
}

/*
 * Spending that was reserved has happened: it is in the ledger now, by the same
 * transaction.  A reservation that lapsed or never was is no error.
 */
void
fms_store_settle_reservations(Datum *ids, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {TEXTARRAYOID};
	Datum		values[1];

	if (count == 0)
		return;
	values[0] = fms_plan_array(ids, count, TEXTOID);
	(void) fms_plan_run(&plan, settle_reservations, 1, types, values, NULL);
}
