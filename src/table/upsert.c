/*-------------------------------------------------------------------------
 *
 * upsert.c
 *	  Rows into execution_spans: the one write path.
 *
 * Rows are grouped by partition.  A span whose id was made by its start has no row
 * yet: such rows are inserted.  Of the others the table is asked, with one
 * statement a group that locks the rows it finds; each is folded onto what is
 * there (fold.c has the rules), and what comes out is written whole.  A row that
 * is not there is inserted, unless somebody else inserted it meanwhile: then the
 * table is asked again.
 *
 * A row without a start has an empty name: it completes the row that is there, or
 * waits as a stub for its start.  If not even the trace is known, the stub's trace
 * id is its span id, under which the start finds it.
 *
 * Applying a row twice changes nothing but the events column, which the
 * writer's progress row and the transaction around a batch take care of.
 *
 * What the spans are after a batch is told to whoever observes it (written.c), in
 * the same (sub)transaction: what the table refuses is not counted and not sent
 * either.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "span/jsonb.h"
#include "span/names.h"
#include "table/columns.h"
#include "table/directory.h"
#include "table/lookup.h"
#include "table/owner.h"
#include "table/place.h"
#include "table/upsert.h"
#include "table/wanted.h"
#include "table/written.h"

#define PLANS FMS_LIMIT(32, 1)	/* partitions whose statements are kept */
#define MOST_ROUNDS 10			/* for a row that others insert meanwhile */

/* what is done with a group of rows of a partition */
typedef enum Statement
{
	INSERT_FRESH,
	READ_STORED,
	INSERT_ABSENT,
	WRITE_WHOLE,
	STATEMENTS
} Statement;

#define INSERT_ROWS \
	"INSERT INTO flowmaestro.%s AS s (" FMS_COLUMNS_NAMED ") " \
	"SELECT " FMS_COLUMNS_OF_B " FROM flowmaestro.pending_rows() AS b "

#define SET_VALUE(number, name) name " = excluded." name ", "
#define SET_VALUE_LAST(number, name) name " = excluded." name

static const char *const statements[STATEMENTS] = {
	[INSERT_FRESH] = INSERT_ROWS,
	[READ_STORED] =
	"SELECT " FMS_COLUMNS_OF_S " FROM ROWS FROM (unnest($1), unnest($2)) AS k (t, s) "
	"JOIN flowmaestro.%s AS s ON s.trace_id = k.t AND s.span_id = k.s FOR NO KEY UPDATE OF s",
	[INSERT_ABSENT] = INSERT_ROWS
	"ON CONFLICT (trace_id, span_id) DO NOTHING RETURNING s.trace_id, s.span_id",
	/* a large value that did not change stays where it is stored */
	[WRITE_WHOLE] = INSERT_ROWS
	"ON CONFLICT (trace_id, span_id) DO UPDATE SET "
	FMS_COLUMNS(FMS_COLUMN_NONE, FMS_COLUMN_NONE, SET_VALUE, SET_VALUE, SET_VALUE_LAST)
};

/* the stub that waits for a start under the span's own id */
static const char *const take_stub =
	"DELETE FROM flowmaestro.%s AS s WHERE s.trace_id = $1 AND s.span_id = $1 AND s.name = '' "
	"RETURNING " FMS_COLUMNS_OF_S;

/* the statement for a partition, kept while its name stays */
typedef struct KeptPlan
{
	Oid			partition;
	char		name[NAMEDATALEN];
	SPIPlanPtr	plan;
} KeptPlan;

static KeptPlan plans[STATEMENTS][PLANS];

/* rows that are being written */
typedef struct Writing
{
	FmsSpanState *spans;		/* what they are now, for the observers */
	int			count;
	FmsApplied *applied;
	MemoryContext context;		/* of all that outlives a statement */
} Writing;

/* The kept statement for rows of a partition; connected to SPI. */
static SPIPlanPtr
plan_for(Statement statement, Oid partition)
{
	char	   *name = get_rel_name(partition);
	KeptPlan   *kept = &plans[statement][partition % PLANS];
	Oid			types[2] = {UUIDARRAYOID, UUIDARRAYOID};

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("partition with OID %u does not exist", partition)));
	if (kept->plan != NULL && kept->partition == partition && strcmp(kept->name, name) == 0)
		return kept->plan;
	if (kept->plan != NULL)
		SPI_freeplan(kept->plan);
	kept->plan = NULL;
	kept->plan = SPI_prepare(psprintf(statements[statement], quote_identifier(name)),
							 statement == READ_STORED ? 2 : 0, types);
	if (kept->plan == NULL || SPI_keepplan(kept->plan) != 0)
		elog(ERROR, "could not prepare the write of spans: %s",
			 SPI_result_code_string(SPI_result));
	kept->partition = partition;
	strlcpy(kept->name, name, NAMEDATALEN);
	return kept->plan;
}

/* The row that a completed copy was made of, or the row itself. */
static FmsRow *
origin_of(FmsRow *row)
{
	return row->origin != NULL ? row->origin : row;
}

/* Lock a partition; false if the writer would have to wait, or there is none. */
static bool
take_partition(Oid partition)
{
	if (!OidIsValid(partition))
		return false;
	if (!fms_table_waits)
		return ConditionalLockRelationOid(partition, RowExclusiveLock);
	LockRelationOid(partition, RowExclusiveLock);
	return true;
}

/*
 * Take the partitions of rows, which are ordered by them.  The writer does not
 * wait for one that is locked as a whole: it marks all rows of such partitions,
 * and those whose partition is missing, and throws, so that they are set aside
 * without a try of each.
 */
static void
lock_partitions(FmsRow **rows, int count)
{
	FmsRow	   *blocked = NULL;
	bool		taken = false;

	for (int i = 0; i < count; i++)
	{
		if (i == 0 || rows[i]->partition != rows[i - 1]->partition)
			taken = take_partition(rows[i]->partition);
		if (taken)
			continue;
		/* the reason why a partition is missing is worth more */
		if (blocked == NULL || OidIsValid(blocked->partition))
			blocked = rows[i];
		origin_of(rows[i])->locked = true;
	}
	if (blocked != NULL && !OidIsValid(blocked->partition))
		fms_wanted_refuse(blocked->started_at);
	if (blocked != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("partition \"%s\" is locked by another session",
						get_rel_name(blocked->partition))));
}

/*
 * Raise an error if rows that our default partition was chosen for belong into
 * another one by now: it was made while we waited for the lock.
 */
static void
check_later(FmsRow **rows, int count)
{
	if (!fms_place_is_later(rows[0]->partition))
		return;
	AcceptInvalidationMessages();
	for (int i = 0; i < count; i++)
	{
		if (fms_place_of(rows[i]->started_at).later != rows[0]->partition)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("partition for spans that start at %s was just made",
							timestamptz_to_str(rows[i]->started_at))));
	}
}

/*
 * Add what a span is after its row was written.  "was" is the row that came, which
 * may have been folded onto what the table had; that was a finished span or not.
 * Stubs are left out.
 */
static void
note_state(Writing *writing, const FmsRow *row, const FmsRow *was, bool finished_before)
{
	FmsSpanState *span = &writing->spans[writing->count];

	if (!row->has_start)
		return;
	writing->count++;
	span->trace_id = row->trace_id;
	span->span_id = row->span_id;
	span->has_parent = row->has_parent;
	span->parent_span_id = row->parent_span_id;
	span->arrived = was->has_start;
	span->fresh = was->fresh;
	span->model_call = fms_names_is_model_call(row->type.data, row->type.length);
	span->status = row->status;
	span->finishes = row->status != FMS_STATUS_STARTED && !finished_before;
	span->started_at = row->started_at;
	span->ended_at = row->ended_at;
	span->type = row->type;
	span->entity = row->entity;
	if (span->model_call && row->attributes != NULL)
		span->attributes = DatumGetJsonbP(JsonbPGetDatum(row->attributes));
}

/* Count a row that was inserted or changed. */
static void
count_row(FmsApplied *applied, const FmsRow *row)
{
	if (row->has_start)
		applied->written++;
	else
		applied->updated++;
}

/* Insert rows that the table has none of; as the partition's owner. */
static void
insert_fresh(FmsRow **rows, int count, Writing *writing)
{
	(void) fms_columns_write(plan_for(INSERT_FRESH, rows[0]->partition), NULL, rows, count);
	for (int i = 0; i < count; i++)
	{
		note_state(writing, rows[i], rows[i], false);
		count_row(writing->applied, rows[i]);
	}
}

/* Order rows by key. */
static int
compare_keys(const void *a, const void *b)
{
	const FmsRow *left = *(FmsRow *const *) a;
	const FmsRow *right = *(FmsRow *const *) b;
	int			order = memcmp(&left->trace_id, &right->trace_id, UUID_LEN);

	return order != 0 ? order : memcmp(&left->span_id, &right->span_id, UUID_LEN);
}

/* The place among rows, which are ordered by key, of the one with the key of another row. */
static int
find_key(FmsRow **rows, int count, FmsRow *key)
{
	FmsRow	  **found = bsearch(&key, rows, count, sizeof(FmsRow *), compare_keys);

	if (found == NULL)
		elog(ERROR, "execution_spans returned a span that was not asked for");
	return found - rows;
}

/*
 * Read and lock what the table has of rows, which are ordered by key: sets
 * stored[i], in a context, or NULL.
 */
static void
read_stored(FmsRow **rows, int count, FmsRow **stored, MemoryContext context)
{
	Datum	   *traces = palloc(sizeof(Datum) * count);
	Datum	   *spans = palloc(sizeof(Datum) * count);
	Datum		values[2];
	MemoryContext old;

	for (int i = 0; i < count; i++)
	{
		traces[i] = UUIDPGetDatum(&rows[i]->trace_id);
		spans[i] = UUIDPGetDatum(&rows[i]->span_id);
		stored[i] = NULL;
	}
	values[0] = PointerGetDatum(construct_array(traces, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[1] = PointerGetDatum(construct_array(spans, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	if (SPI_execute_plan(plan_for(READ_STORED, rows[0]->partition), values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the rows of spans");
	old = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		FmsRow	   *row = fms_columns_read(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, false);

		CHECK_FOR_INTERRUPTS();
		/* a stub under its own id knows neither trace nor start */
		row->no_start = !row->has_start &&
			memcmp(&row->trace_id, &row->span_id, UUID_LEN) == 0;
		row->has_trace = !row->no_start;
		stored[find_key(rows, count, row)] = row;
	}
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
}

/* Fold rows onto what the table has of them, and write what changed; ordered by key. */
static void
write_stored(FmsRow **rows, FmsRow **stored, int count, Writing *writing)
{
	FmsRow	  **changed = palloc(sizeof(FmsRow *) * count);
	MemoryContext old = MemoryContextSwitchTo(writing->context);
	int			n = 0;

	for (int i = 0; i < count; i++)
	{
		FmsRow	   *row = stored[i];
		bool		finished = row->has_start && row->status != FMS_STATUS_STARTED;
		int			take = fms_fold_onto(row, rows[i]);

		if ((take & ~FMS_TAKE_NOT_AGAIN) == 0)
			continue;
		if (take & (FMS_TAKE_START | FMS_TAKE_OUTCOME))
			writing->applied->clamped += fms_fold_settle(row);
		fms_fold_merge(row);
		note_state(writing, row, rows[i], finished);
		count_row(writing->applied, rows[i]);
		changed[n++] = row;
	}
	MemoryContextSwitchTo(old);
	if (n == 0)
		return;
	(void) fms_columns_write(plan_for(WRITE_WHOLE, rows[0]->partition), NULL, changed, n);
}

/*
 * Insert rows that the table was asked for in vain; ordered by key.  Those that
 * somebody else has inserted meanwhile are moved to the beginning, and their
 * number is returned.
 */
static int
insert_absent(FmsRow **rows, int count, Writing *writing)
{
	bool	   *inserted = palloc0(sizeof(bool) * count);
	MemoryContext old = MemoryContextSwitchTo(writing->context);
	int			left = 0;
	uint64		returned;

	for (int i = 0; i < count; i++)
		fms_fold_merge(rows[i]);
	MemoryContextSwitchTo(old);
	returned = fms_columns_write(plan_for(INSERT_ABSENT, rows[0]->partition), NULL, rows, count);
	for (uint64 i = 0; i < returned; i++)
	{
		FmsRow		key;
		bool		isnull;

		key.trace_id = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		key.span_id = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
		inserted[find_key(rows, count, &key)] = true;
	}
	SPI_freetuptable(SPI_tuptable);
	for (int i = 0; i < count; i++)
	{
		if (!inserted[i])
		{
			rows[left++] = rows[i];
			continue;
		}
		note_state(writing, rows[i], rows[i], false);
		count_row(writing->applied, rows[i]);
	}
	return left;
}

/*
 * Write rows that the table may have, as the partition's owner; ordered by key.
 * The array is changed.
 */
static void
write_known(FmsRow **rows, int count, Writing *writing)
{
	FmsRow	  **stored = palloc(sizeof(FmsRow *) * count);
	FmsRow	  **found = palloc(sizeof(FmsRow *) * count);

	for (int round = 0; count > 0; round++)
	{
		int			present = 0;
		int			absent = 0;

		if (round == MOST_ROUNDS)
			ereport(ERROR,
					(errcode(ERRCODE_UNIQUE_VIOLATION),
					 errmsg("span can neither be read nor inserted"),
					 errdetail("A trigger or a policy on execution_spans may hide or suppress its row.")));
		read_stored(rows, count, stored, writing->context);
		for (int i = 0; i < count; i++)
		{
			if (stored[i] != NULL)
			{
				stored[present] = stored[i];
				found[present++] = rows[i];
				continue;
			}
			rows[absent++] = rows[i];
		}
		if (present > 0)
			write_stored(found, stored, present, writing);
		count = absent == 0 ? 0 : insert_absent(rows, absent, writing);
	}
}

/* Write a group of rows of one partition, as its owner. */
static void
write_group(FmsRow **rows, int count, Writing *writing)
{
	FmsOwnerScope scope;

	check_later(rows, count);
	fms_table_enter(rows[0]->partition, &scope);
	fms_table_plan_by_key();
	if (rows[0]->fresh)
		insert_fresh(rows, count, writing);
	else
		write_known(rows, count, writing);
	fms_table_leave(&scope);
}

/*
 * A row's span cannot be looked up now.  The writer marks the row, and throws
 * when all rows have been looked at, so that they are set aside without a try
 * of each; others raise the error.
 */
static void
note_busy(FmsRow *row)
{
	if (fms_table_waits)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("a partition of execution_spans has lost its primary key"),
				 errdetail("The span cannot be looked up without it.")));
	origin_of(row)->locked = true;
}

/* What the table says of a row's span; false if nothing, or if it cannot be told. */
static bool
look_up(FmsRow *row, FmsSpanRef *ref)
{
	FmsLook		look = fms_lookup_span(&row->span_id, fms_table_waits, ref);

	if (look == FMS_LOOK_BUSY)
		note_busy(row);
	return look == FMS_LOOK_FOUND;
}

/* Delete the stub of a row's span and fold the row onto it; returns the row then. */
static FmsRow *
take_stub_from(Oid partition, FmsRow *row)
{
	MemoryContext context = CurrentMemoryContext;
	FmsOwnerScope scope;
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(&row->span_id)};
	FmsRow	   *stub = NULL;

	fms_table_enter(partition, &scope);
	if (SPI_execute_with_args(psprintf(take_stub, quote_identifier(get_rel_name(partition))),
							  1, types, values, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not take a stub span");
	MemoryContextSwitchTo(context);
	if (SPI_processed > 0)
		stub = fms_columns_read(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, true);
	fms_table_leave(&scope);
	if (stub == NULL)
		return row;
	stub->has_trace = false;
	stub->origin = row->origin;
	(void) fms_fold_onto(stub, row);
	return stub;
}

/* Take the stub of a row's span, if there is one, out of the table; returns the row with it. */
static FmsRow *
adopt_stub(FmsRow *row)
{
	Oid			partition;
	FmsLook		look = fms_lookup_stub(&row->span_id, fms_table_waits, &partition);

	if (look == FMS_LOOK_FOUND && !fms_table_waits &&
		!ConditionalLockRelationOid(partition, RowExclusiveLock))
		look = FMS_LOOK_BUSY;
	if (look == FMS_LOOK_BUSY)
		note_busy(row);
	return look == FMS_LOOK_FOUND ? take_stub_from(partition, row) : row;
}

/* Throw if rows could not be looked up. */
static void
check_busy(FmsRow **rows, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (origin_of(rows[i])->locked)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("a span cannot be looked up"),
					 errdetail("A partition of execution_spans that it may lie in is locked by another session, or has lost its primary key, or there are too many traces whose ids begin like its own.")));
	}
}

/*
 * Give a row the trace and the start of its span in the table.  If there is no
 * such span, a row that knows no trace becomes a stub.
 */
static void
find_row(FmsRow *row)
{
	FmsSpanRef	ref;
	bool		found = look_up(row, &ref);

	if (found && ref.stub && row->has_start)
		row->adopt_stub = true;
	else if (found)
	{
		row->trace_id = ref.trace_id;
		row->started_at = ref.started_at;
		row->no_start = ref.stub;
		row->fresh = false;
	}
	else if (!row->has_trace)
	{
		row->no_start = true;
		row->trace_id = row->span_id;
		row->started_at = row->status == FMS_STATUS_STARTED ? row->created_at : row->ended_at;
	}
	row->has_trace = true;
}

/* Order rows by partition, fresh ones first, then by key. */
static int
compare_rows(const void *a, const void *b)
{
	const FmsRow *left = *(FmsRow *const *) a;
	const FmsRow *right = *(FmsRow *const *) b;

	if (left->partition != right->partition)
		return left->partition < right->partition ? -1 : 1;
	if (left->fresh != right->fresh)
		return left->fresh ? -1 : 1;
	return compare_keys(a, b);
}

/* Whether two rows go into the same statement. */
static bool
same_group(const FmsRow *left, const FmsRow *right)
{
	return left->partition == right->partition && left->fresh == right->fresh;
}

/* Whether the table has to be looked at for the place of a row's span. */
static bool
is_incomplete(const FmsRow *row)
{
	return !row->has_trace || row->look_up || fms_fold_is_mixed(row);
}

/* Look at the table for what a row needs from there, without changing the row. */
static FmsRow *
complete_row(FmsRow *row, FmsApplied *applied)
{
	FmsRow	   *copy = palloc(sizeof(FmsRow));

	*copy = *row;
	copy->origin = row;
	if (is_incomplete(copy))
		find_row(copy);
	if (copy->adopt_stub)
		copy = adopt_stub(copy);
	applied->clamped += fms_fold_settle(copy);
	return copy;
}

/*
 * Write rows, in the current transaction; adds to *applied.  The array gets
 * sorted and entries of it replaced; the rows themselves stay as they are but
 * for "partition" and "locked", so that they can be applied again after an
 * error.
 */
void
fms_upsert(FmsRow **rows, int count, FmsApplied *applied)
{
	Writing		writing = {palloc0(sizeof(FmsSpanState) * count), 0, applied, CurrentMemoryContext};
	int			next;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_incomplete(rows[i]) || rows[i]->adopt_stub)
			rows[i] = complete_row(rows[i], applied);
		if (rows[i]->fresh)
			fms_fold_merge(rows[i]);
		if (origin_of(rows[i])->locked)
			continue;
		rows[i]->partition = fms_wanted_partition(rows[i]->started_at);
		origin_of(rows[i])->partition = rows[i]->partition;
	}
	check_busy(rows, count);
	fms_directory_note(rows, count);
	qsort(rows, count, sizeof(FmsRow *), compare_rows);
	lock_partitions(rows, count);
	for (int i = 0; i < count; i = next)
	{
		for (next = i + 1; next < count && same_group(rows[i], rows[next]); next++)
			;
		write_group(rows + i, next - i, &writing);
	}
	fms_written_tell(writing.spans, writing.count);
}
