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
 * that fails every row is the server's state as well.  A row that somebody
 * else's open transaction has locked is set aside too, and the writer puts it
 * back by itself when the lock is gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "writer/pace.h"
#include "writer/reject.h"
#include "writer/table.h"

#define RETRY_ROWS 10000		/* of one retry */
#define CAUTIOUS_SPANS 20000	/* after a whole span was in the table */

/* whole spans that are not taken for new ones, from now on */
static int	cautious = 0;

/* a row that failed alone */
typedef struct Failure
{
	FmsRow	   *row;
	ErrorData  *error;
} Failure;

#define ROW_COLUMNS \
	"trace_id, span_id, parent_span_id, name, span_type, entity_id, started_at, ended_at, " \
	"status, input, output, error, attributes, created_at, events, links, otlp"

static const char *const insert_rejected =
	"INSERT INTO flowmaestro.rejected_spans (" ROW_COLUMNS ", sqlstate, message) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

static const char *const take_rejected =
	"DELETE FROM flowmaestro.rejected_spans AS r "
	"WHERE r.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT c.ctid FROM flowmaestro.rejected_spans AS c "
	"WHERE NOT $1 OR c.sqlstate OPERATOR(pg_catalog.=) '55P03' LIMIT $2 FOR UPDATE SKIP LOCKED)) "
	"RETURNING " ROW_COLUMNS;

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

/*
 * Apply rows in a subtransaction.  Returns NULL, or the error, copied to the
 * current context, that undid it.
 */
static ErrorData *
try_apply(FmsRow **rows, int count, FmsApplied *applied)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	FmsApplied	added = {0};
	ErrorData  *error = NULL;
	FmsRow	  **attempt = palloc(sizeof(FmsRow *) * count);

	memcpy(attempt, rows, sizeof(FmsRow *) * count);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		fms_apply(attempt, count, &added);
		ReleaseCurrentSubTransaction();
		applied->written += added.written;
		applied->updated += added.updated;
		applied->clamped += added.clamped;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	pfree(attempt);
	return error;
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
		if (!rows[i]->whole || !rows[i]->likely_new)
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
		if (rows[i]->fresh && rows[i]->whole && rows[i]->likely_new)
			cautious = CAUTIOUS_SPANS;
		rows[i]->fresh = false;
	}
	if (!fresh)
		return error;
	FreeErrorData(error);
	return try_apply(rows, count, applied);
}

/* Apply rows, cutting a failing batch in halves; adds the failures to a list. */
static List *
apply_halves(FmsRow **rows, int count, FmsApplied *applied, List *failures)
{
	ErrorData  *error = apply_or_merge(rows, count, applied);
	int			half = count / 2;

	if (error == NULL)
		return failures;
	if (fms_reject_is_transient(error))
		ReThrowError(error);
	if (count == 1)
	{
		Failure    *failure = palloc(sizeof(Failure));

		failure->row = rows[0];
		failure->error = error;
		return lappend(failures, failure);
	}
	FreeErrorData(error);
	failures = apply_halves(rows, half, applied, failures);
	return apply_halves(rows + half, count - half, applied, failures);
}

/* Set parameter n to a datum or to null. */
static void
put(Datum *values, char *nulls, int n, Datum value, bool isnull)
{
	values[n] = value;
	nulls[n] = isnull ? 'n' : ' ';
}

/* Write a row with its error to rejected_spans; the caller is connected to SPI. */
static void
insert_failure(const Failure *failure)
{
	FmsRow	   *row = failure->row;
	Oid			types[19] = {UUIDOID, UUIDOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TEXTOID, JSONBOID, JSONBOID, JSONBOID, JSONBOID, TIMESTAMPTZOID, JSONBOID,
	JSONBOID, JSONBOID, TEXTOID, TEXTOID};
	Datum		values[19];
	char		nulls[19];
	bool		ended = row->status != FMS_STATUS_STARTED;

	put(values, nulls, 0, UUIDPGetDatum(&row->trace_id), !row->has_trace);
	put(values, nulls, 1, UUIDPGetDatum(&row->span_id), false);
	put(values, nulls, 2, UUIDPGetDatum(&row->parent_span_id), !row->has_parent);
	put(values, nulls, 3, fms_table_text(&row->name), false);
	put(values, nulls, 4, fms_table_text(&row->type), false);
	put(values, nulls, 5, fms_table_text(&row->entity), row->entity.data == NULL);
	put(values, nulls, 6, TimestampTzGetDatum(row->started_at), !row->has_trace);
	put(values, nulls, 7, TimestampTzGetDatum(row->ended_at), !ended);
	put(values, nulls, 8, CStringGetTextDatum(fms_table_status(row->status)), false);
	put(values, nulls, 9, JsonbPGetDatum(row->input), row->input == NULL);
	put(values, nulls, 10, JsonbPGetDatum(row->output), row->output == NULL);
	put(values, nulls, 11, JsonbPGetDatum(row->error), row->error == NULL);
	put(values, nulls, 12, JsonbPGetDatum(row->attributes), row->attributes == NULL);
	put(values, nulls, 13, TimestampTzGetDatum(row->created_at), false);
	put(values, nulls, 14, JsonbPGetDatum(row->events), row->events == NULL);
	put(values, nulls, 15, JsonbPGetDatum(row->links), row->links == NULL);
	put(values, nulls, 16, JsonbPGetDatum(row->otlp), row->otlp == NULL);
	put(values, nulls, 17, CStringGetTextDatum(unpack_sql_state(failure->error->sqlerrcode)), false);
	put(values, nulls, 18, CStringGetTextDatum(failure->error->message), false);
	if (SPI_execute_with_args(insert_rejected, 19, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write to rejected_spans");
}

/* The table of rejected spans. */
static Oid
rejected_table(void)
{
	return get_relname_relid("rejected_spans", get_rel_namespace(fms_buffer_table()));
}

/*
 * Set a row aside.  If that fails as well, the row is lost: it is counted, and
 * the log tells both errors.
 */
static void
set_aside(const Failure *failure, FmsApplied *applied)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	FmsOwnerScope scope;
	ErrorData  *error;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		fms_fold_merge(failure->row);
		fms_table_enter(rejected_table(), &scope);
		insert_failure(failure);
		fms_table_leave(&scope);
		ReleaseCurrentSubTransaction();
		applied->rejected++;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (fms_reject_is_transient(error) ||
			(fms_pace_is_shortage(error->sqlerrcode) && fms_pace_resort() != FMS_RESORT_DROP))
			ReThrowError(error);
		fms_slot_count(fms_buffer_slot(), FMS_DROPPED, 1);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("could not set aside a span: %s", error->message),
				 errdetail("The span itself was refused with: %s", failure->error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

/* Whether what failed is the table, not the rows: all failed, for its definition. */
static bool
is_table_at_fault(const List *failures, int count)
{
	ListCell   *cell;

	if (list_length(failures) < count)
		return false;
	foreach(cell, failures)
	{
		if (!is_structural(((Failure *) lfirst(cell))->error))
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
	List	   *failures;
	Failure    *first;
	ListCell   *cell;

	if (count == 0)
		return;
	expect_new(rows, count);
	failures = apply_halves(rows, count, applied, NIL);
	if (failures == NIL)
		return;
	first = linitial(failures);
	if (is_table_at_fault(failures, count))
		ReThrowError(first->error);
	ereport(LOG,
			(errcode(first->error->sqlerrcode),
			 errmsg_plural("set %d span aside in rejected_spans: %s",
						   "set %d spans aside in rejected_spans, the first for: %s",
						   list_length(failures), list_length(failures), first->error->message)));
	foreach(cell, failures)
		set_aside(lfirst(cell), applied);
}

/* A column of a returned row. */
static Datum
column(HeapTuple tuple, int n, bool *isnull)
{
	return SPI_getbinval(tuple, SPI_tuptable->tupdesc, n, isnull);
}

/* A jsonb column, copied, or NULL. */
static Jsonb *
jsonb_column(HeapTuple tuple, int n)
{
	bool		isnull;
	Datum		value = column(tuple, n, &isnull);

	return isnull ? NULL : (Jsonb *) PG_DETOAST_DATUM_COPY(value);
}

/* A text column, copied; absent if null or empty. */
static FmsPart
text_column(HeapTuple tuple, int n)
{
	bool		isnull;
	Datum		value = column(tuple, n, &isnull);
	FmsPart		part = {NULL, 0};

	if (!isnull)
	{
		part.data = TextDatumGetCString(value);
		part.length = strlen(part.data);
	}
	return part;
}

/* The row that was set aside, from its columns. */
static FmsRow *
rejected_row(HeapTuple tuple)
{
	FmsRow	   *row = palloc0(sizeof(FmsRow));
	bool		no_trace;
	bool		isnull;
	Datum		value = column(tuple, 1, &no_trace);

	row->has_trace = !no_trace;
	if (row->has_trace)
	{
		row->trace_id = *DatumGetUUIDP(value);
		row->started_at = DatumGetTimestampTz(column(tuple, 7, &isnull));
	}
	row->span_id = *DatumGetUUIDP(column(tuple, 2, &isnull));
	value = column(tuple, 3, &isnull);
	row->has_parent = !isnull;
	if (row->has_parent)
		row->parent_span_id = *DatumGetUUIDP(value);
	row->name = text_column(tuple, 4);
	row->type = text_column(tuple, 5);
	row->entity = text_column(tuple, 6);
	row->has_start = row->name.length > 0;
	row->adopt_stub = row->has_start;
	row->ended_at = DatumGetTimestampTz(column(tuple, 8, &isnull));
	row->status = fms_table_parse_status(SPI_getvalue(tuple, SPI_tuptable->tupdesc, 9));
	row->input = jsonb_column(tuple, 10);
	row->output = jsonb_column(tuple, 11);
	row->error = jsonb_column(tuple, 12);
	row->attributes = jsonb_column(tuple, 13);
	row->created_at = DatumGetTimestampTz(column(tuple, 14, &isnull));
	row->events = jsonb_column(tuple, 15);
	row->links = jsonb_column(tuple, 16);
	row->otlp = jsonb_column(tuple, 17);
	row->whole = row->otlp != NULL;
	row->merged = true;
	return row;
}

/* Take rows out of rejected_spans; allocated in the current context. */
static FmsRow **
take_rows(bool blocked_only, int *count)
{
	MemoryContext context = CurrentMemoryContext;
	FmsOwnerScope scope;
	Oid			types[2] = {BOOLOID, INT8OID};
	Datum		values[2] = {BoolGetDatum(blocked_only), Int64GetDatum(RETRY_ROWS)};
	FmsRow	  **rows;

	fms_table_enter(rejected_table(), &scope);
	if (SPI_execute_with_args(take_rejected, 2, types, values, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not take rows from rejected_spans");
	MemoryContextSwitchTo(context);
	*count = (int) SPI_processed;
	rows = palloc(sizeof(FmsRow *) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		rows[i] = rejected_row(SPI_tuptable->vals[i]);
	fms_table_leave(&scope);
	return rows;
}

/*
 * Try the rows that were set aside again, in the current transaction; with
 * "blocked_only", those that were locked.  What is refused again is set aside
 * again.  Returns how many were taken into the table; *left is how many were not.
 */
int64
fms_reject_retry(bool blocked_only, int64 *left)
{
	FmsApplied	applied = {0};
	int			count;
	FmsRow	  **rows = take_rows(blocked_only, &count);

	/* one at a time: two of them can be of the same span */
	for (int i = 0; i < count; i++)
		fms_reject_apply(&rows[i], 1, &applied);
	*left = (int64) applied.rejected;
	return count - *left;
}

/* retry_rejected_spans() returns bigint */
Datum
fms_retry_rejected_spans(PG_FUNCTION_ARGS)
{
	int64		left;

	PG_RETURN_INT64(fms_reject_retry(false, &left));
}
