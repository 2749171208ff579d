/*-------------------------------------------------------------------------
 *
 * parcel.c
 *	  Spans out of the outbox, as a message for a collector.
 *
 * A parcel is read in one transaction and its rows are taken out of the outbox
 * in another one, after the collector's answer; between the two no transaction
 * is open.  Who dies in between has the parcel sent again: a collector can get
 * a span twice then, but never misses one.
 *
 * The writer's commits do not wait for the disk.  A span must not be sent, lost
 * with the operating system, written again from the ring, and sent once more;
 * so the reading transaction commits, and with it all that it saw, to disk.
 *
 * Tables are locked as the writer does it, without waiting.  Errors are thrown;
 * the caller aborts the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "otlp/exporter/parcel.h"
#include "otlp/out/encode.h"
#include "table/owner.h"

#define PARCEL_BYTES FMS_LIMIT(4 * 1024 * 1024, 1024)	/* of a message, before
														 * it is compressed */
#define FETCH_ROWS FMS_LIMIT(16, 1) /* rows can be large: so many are in
									 * memory at a time */

static const char *const read_keys =
	"SELECT o.id, o.trace_id, o.span_id, o.started_at "
	"FROM flowmaestro.otlp_outbox AS o ORDER BY o.id LIMIT $1";

/* planned each time: the bounds choose the partitions */
static const char *const read_spans =
	"SELECT " FMS_OTLP_COLUMNS ", k.id "
	"FROM ROWS FROM (unnest($1), unnest($2), unnest($3)) AS k (id, t, s) "
	"LEFT JOIN flowmaestro.execution_spans AS s ON s.trace_id = k.t AND s.span_id = k.s "
	"AND s.started_at >= $4 AND s.started_at <= $5";

static const char *const take_rows =
	"DELETE FROM flowmaestro.otlp_outbox AS o WHERE o.id = ANY ($1)";

static const char *const refuse_rows =
	"WITH taken AS (DELETE FROM flowmaestro.otlp_outbox AS o "
	"WHERE o.id = ANY ($1) RETURNING o.trace_id, o.span_id, o.started_at) "
	"INSERT INTO flowmaestro.otlp_refused (trace_id, span_id, started_at, message) "
	"SELECT t.trace_id, t.span_id, t.started_at, $2 FROM taken AS t";

/*
 * Take the table and the outbox for a transaction, without waiting.  Returns
 * the table's oid, or says in *outcome why not.
 */
static Oid
lock_tables(FmsFlush *outcome)
{
	Oid			table = fms_flush_lock_table(outcome);
	Oid			outbox;

	if (!OidIsValid(table))
		return InvalidOid;
	outbox = get_relname_relid("otlp_outbox", get_rel_namespace(table));
	return ConditionalLockRelationOid(outbox, RowExclusiveLock) ? table : InvalidOid;
}

/* Begin a transaction that works as the tables' owner; false if that cannot be now. */
static bool
begin_as_owner(FmsOwnerScope *scope, Oid *table, FmsFlush *outcome)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	*table = lock_tables(outcome);
	if (OidIsValid(*table))
		fms_table_enter(*table, scope);
	return OidIsValid(*table);
}

/* End a transaction, with "entered" as begin_as_owner() returned it. */
static void
end(FmsOwnerScope *scope, bool entered)
{
	if (entered)
		fms_table_leave(scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Ids of rows of the outbox as an array. */
static Datum
id_array(Datum *ids, int count)
{
	return fms_plan_array(ids, count, INT8OID);
}

/* A column of a row of read_keys. */
static Datum
key_column(int row, int n)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, n, &isnull);
}

/*
 * Look the partitions of the table up afresh.  A transaction that made a key,
 * its span and a partition for it is seen a moment before others are told that
 * the table has changed, and it wakes the exporter just then: who believed what
 * it knows would take the span for one that is gone.
 */
static void
see_partitions(Oid table)
{
	InvalidateCatalogSnapshot();
	/* whether it has any is in pg_class */
	SysCacheInvalidate(RELOID, GetSysCacheHashValue1(RELOID, ObjectIdGetDatum(table)));
	RelationCacheInvalidateEntry(table);
}

/*
 * Read the first keys of the outbox as parameters of read_spans, in the current
 * memory context, which is SPI's.  Returns how many.  Both statements read with
 * the transaction's one snapshot: a key is seen if and only if its span is.
 */
static int
next_keys(int limit, Datum *values)
{
	Oid			types[1] = {INT8OID};
	Datum		limits[1] = {Int64GetDatum(limit)};
	Datum	   *keys[3];
	TimestampTz from = DT_NOEND;
	TimestampTz until = DT_NOBEGIN;
	int			n;

	if (SPI_execute_with_args(read_keys, 1, types, limits, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read otlp_outbox");
	n = (int) SPI_processed;
	for (int k = 0; k < lengthof(keys); k++)
		keys[k] = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		TimestampTz started_at = DatumGetTimestampTz(key_column(i, 4));

		for (int k = 0; k < lengthof(keys); k++)
			keys[k][i] = key_column(i, k + 1);
		from = Min(from, started_at);
		until = Max(until, started_at);
	}
	values[0] = id_array(keys[0], n);
	for (int k = 1; k < lengthof(keys); k++)
		values[k] = fms_plan_array(keys[k], n, UUIDOID);
	values[3] = TimestampTzGetDatum(from);
	values[4] = TimestampTzGetDatum(until);
	return n;
}

/*
 * Put a row of read_spans into the message.  The row's id is noted first: if
 * this throws, it is the last one of parcel->id.
 */
static void
add_row(FmsParcel *parcel, FmsOtlpEncoder *encoder, HeapTuple row, TupleDesc desc)
{
	Datum		values[FMS_OTLP_COLUMN_COUNT + 1];
	bool		nulls[FMS_OTLP_COLUMN_COUNT + 1];
	int64		id;

	CHECK_FOR_INTERRUPTS();
	heap_deform_tuple(row, desc, values, nulls);
	id = DatumGetInt64(values[FMS_OTLP_COLUMN_COUNT]);
	if (nulls[0])
	{
		parcel->gone[parcel->gone_count++] = id;
		return;
	}
	parcel->id[parcel->count++] = id;
	fms_otlp_encode_span(encoder, values, nulls);
}

/* Put the spans of keys into a message, until it is long enough. */
static void
read_rows(FmsParcel *parcel, FmsOtlpEncoder *encoder, Datum *keys)
{
	Oid			types[] = {INT8ARRAYOID, UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZOID,
	TIMESTAMPTZOID};
	Portal		cursor = SPI_cursor_open_with_args(NULL, read_spans, lengthof(types), types, keys,
												   NULL, true, 0);
	uint64		rows;

	do
	{
		SPI_cursor_fetch(cursor, true, FETCH_ROWS);
		rows = SPI_processed;
		for (int i = 0; i < rows && fms_otlp_encode_size(encoder) < PARCEL_BYTES; i++)
			add_row(parcel, encoder, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	} while (rows == FETCH_ROWS && fms_otlp_encode_size(encoder) < PARCEL_BYTES);
	SPI_cursor_close(cursor);
}

/*
 * Read the next parcel, of "limit" spans at most, in a transaction of its own.
 * It is allocated in the current memory context.  After an error with
 * parcel->count above 0 the last of its spans is the one to blame.
 */
FmsFlush
fms_parcel_read(FmsParcel *parcel, int limit)
{
	MemoryContext context = CurrentMemoryContext;
	FmsOwnerScope scope;
	FmsOtlpEncoder *encoder = fms_otlp_encode_begin(false);
	FmsFlush	outcome;
	Datum		keys[5];
	bool		entered;

	memset(parcel, 0, sizeof(*parcel));
	parcel->id = palloc(sizeof(int64) * limit);
	parcel->gone = palloc(sizeof(int64) * limit);
	pgstat_report_activity(STATE_RUNNING, "reading spans to export");
	entered = begin_as_owner(&scope, &parcel->table, &outcome);
	if (entered)
	{
		outcome = FMS_FLUSH_EMPTY;
		if (next_keys(limit, keys) > 0)
		{
			see_partitions(parcel->table);
			read_rows(parcel, encoder, keys);
			if (parcel->count > 0)
				parcel->body = fms_otlp_encode_finish(encoder);
			outcome = FMS_FLUSH_DONE;
			(void) GetCurrentTransactionId();
			ForceSyncCommit();
		}
	}
	end(&scope, entered);
	MemoryContextSwitchTo(context);
	return outcome;
}

/* Run a statement on rows of the outbox; connected to SPI. */
static void
run_on_rows(const char *sql, const int64 *id, int count, const char *message)
{
	Oid			types[2] = {INT8ARRAYOID, TEXTOID};
	Datum	   *ids = palloc(sizeof(Datum) * Max(count, 1));
	Datum		values[2] = {0};
	FmsPart		text = {message, message == NULL ? 0 : strlen(message)};

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		ids[i] = Int64GetDatum(id[i]);
	values[0] = id_array(ids, count);
	values[1] = fms_table_text(&text);
	if (SPI_execute_with_args(sql, message == NULL ? 1 : 2, types, values, NULL, false, 0) < 0)
		elog(ERROR, "could not take rows out of otlp_outbox");
}

/*
 * Take a parcel out of the outbox, in a transaction of its own; with a refusal,
 * its spans are kept in otlp_refused.  If the extension has been made anew
 * since the parcel was read, its rows are gone: FMS_FLUSH_HOMELESS.
 */
FmsFlush
fms_parcel_settle(const FmsParcel *parcel, const char *refusal)
{
	MemoryContext context = CurrentMemoryContext;
	FmsOwnerScope scope;
	FmsFlush	outcome;
	Oid			table;
	bool		entered;

	pgstat_report_activity(STATE_RUNNING, "noting exported spans");
	entered = begin_as_owner(&scope, &table, &outcome);
	if (entered && table != parcel->table)
		outcome = FMS_FLUSH_HOMELESS;
	else if (entered)
	{
		run_on_rows(refusal == NULL ? take_rows : refuse_rows, parcel->id, parcel->count, refusal);
		run_on_rows(take_rows, parcel->gone, parcel->gone_count, NULL);
		outcome = FMS_FLUSH_DONE;
	}
	end(&scope, entered);
	MemoryContextSwitchTo(context);
	return outcome;
}
