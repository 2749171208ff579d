/*-------------------------------------------------------------------------
 *
 * upsert.c
 *	  Rows into execution_spans: the one write path.
 *
 * Rows are grouped by partition and written with one statement a group,
 *
 *		INSERT INTO partition SELECT ... FROM pending_rows()
 *		ON CONFLICT (trace_id, span_id) DO UPDATE ...
 *
 * where pending_rows() hands out the group from memory, so that nothing is
 * turned into text.  A span whose id was made by its start has no row yet: such
 * rows are inserted without ON CONFLICT, whose speculative insertion costs a
 * look-up and a WAL record more for each.  A row without a start has an empty name: it completes the
 * row that is there, or waits as a stub for its start.  If not even the trace
 * is known, the stub's trace id is its span id, under which the start finds it.
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
#include "table/directory.h"
#include "table/lookup.h"
#include "table/owner.h"
#include "table/place.h"
#include "table/upsert.h"
#include "table/wanted.h"
#include "table/written.h"

#define COLUMNS 18
#define PLANS FMS_LIMIT(32, 1)	/* partitions whose statements are kept */

/* keep the column's value unless the row is a stub */
#define FILL(column) \
	column " = CASE WHEN s.name OPERATOR(pg_catalog.=) '' THEN excluded." column " ELSE s." column " END, "

/* take the outcome if the row has none */
#define OUTCOME(column) \
	column " = CASE WHEN s.status OPERATOR(pg_catalog.=) 'started' THEN excluded." column " ELSE s." column " END, "

/* the row waited for this start */
#define STUB_FILLED \
	"s.name OPERATOR(pg_catalog.=) '' AND excluded.name OPERATOR(pg_catalog.<>) ''"

/* both the start and the end of the row had been seen */
#define FINISHED \
	"s.status OPERATOR(pg_catalog.<>) 'started' AND s.name OPERATOR(pg_catalog.<>) ''"
#define END_AFTER \
	"CASE WHEN s.status OPERATOR(pg_catalog.=) 'started' THEN excluded.ended_at ELSE s.ended_at END"

#define INSERT_ROWS \
	"INSERT INTO flowmaestro.%s AS s (trace_id, span_id, parent_span_id, name, span_type, entity_id, " \
	"started_at, ended_at, duration_ms, status, input, output, error, attributes, created_at, " \
	"events, links, otlp) " \
	"SELECT b.trace_id, b.span_id, b.parent_span_id, b.name, b.span_type, b.entity_id, " \
	"b.started_at, b.ended_at, b.duration_ms, b.status, b.input, b.output, b.error, b.attributes, " \
	"b.created_at, b.events, b.links, b.otlp " \
	"FROM flowmaestro.pending_rows() AS b "

static const char *const insert = INSERT_ROWS;

/* the fields of a row and its outcome, where they are missing */
#define UPSERT_ROWS \
	INSERT_ROWS \
	"ON CONFLICT (trace_id, span_id) DO UPDATE SET " \
	FILL("parent_span_id") FILL("name") FILL("span_type") FILL("entity_id") FILL("input") \
	"started_at = CASE WHEN " STUB_FILLED " THEN excluded.started_at ELSE s.started_at END, " \
	"ended_at = CASE WHEN " STUB_FILLED " AND " END_AFTER " OPERATOR(pg_catalog.<) excluded.started_at " \
	"THEN excluded.started_at ELSE " END_AFTER " END, " \
	"duration_ms = CASE WHEN " STUB_FILLED " THEN CASE WHEN " END_AFTER " IS NOT NULL THEN " \
	"GREATEST(0, EXTRACT(epoch FROM (" END_AFTER ") OPERATOR(pg_catalog.-) excluded.started_at)" \
	"::pg_catalog.float8 OPERATOR(pg_catalog.*) 1000) END " \
	"WHEN s.status OPERATOR(pg_catalog.=) 'started' THEN excluded.duration_ms ELSE s.duration_ms END, " \
	"status = CASE WHEN flowmaestro.pending_finished(" FINISHED ") " \
	"OR s.status OPERATOR(pg_catalog.<>) 'started' THEN s.status ELSE excluded.status END, " \
	OUTCOME("output") OUTCOME("error")

/* a start or an outcome that the row lacks */
#define BRINGS_MORE \
	"WHERE (" STUB_FILLED ") " \
	"OR (s.status OPERATOR(pg_catalog.=) 'started' AND excluded.status OPERATOR(pg_catalog.<>) 'started') "

static const char *const upsert =
	UPSERT_ROWS
	/* an operator would fetch and store a large value again for nothing */
	"attributes = CASE WHEN excluded.attributes OPERATOR(pg_catalog.=) '{}' THEN s.attributes "
	/* an end that lost leaves none behind */
	"WHEN s.status OPERATOR(pg_catalog.<>) 'started' AND excluded.status OPERATOR(pg_catalog.<>) 'started' "
	"THEN s.attributes OPERATOR(pg_catalog.||) flowmaestro.pending_attributes(excluded.span_id) "
	"ELSE s.attributes OPERATOR(pg_catalog.||) excluded.attributes END, "
	"events = CASE WHEN s.events IS NULL OR excluded.events IS NULL "
	"THEN COALESCE(s.events, excluded.events) "
	"ELSE s.events OPERATOR(pg_catalog.||) excluded.events END, "
	"links = COALESCE(s.links, excluded.links), otlp = COALESCE(s.otlp, excluded.otlp) "

	/*
	 * a repeated end changes nothing, nor does a repeated start without
	 * attributes
	 */
	BRINGS_MORE
	"OR ((excluded.attributes OPERATOR(pg_catalog.<>) '{}' OR excluded.events IS NOT NULL) "
	"AND (excluded.status OPERATOR(pg_catalog.=) 'started' OR excluded.name OPERATOR(pg_catalog.<>) '')) "
	"RETURNING " FMS_WRITTEN_COLUMNS("") ", flowmaestro.pending_finished(NULL)";

/* whole spans: what such a span brought before comes again, and more of it */
static const char *const upsert_whole =
	UPSERT_ROWS
	"attributes = s.attributes OPERATOR(pg_catalog.||) excluded.attributes, "
	"events = CASE WHEN s.events IS NULL OR excluded.events IS NULL OR s.otlp IS NOT NULL "
	"THEN COALESCE(excluded.events, s.events) "
	"ELSE s.events OPERATOR(pg_catalog.||) excluded.events END, "
	"links = COALESCE(excluded.links, s.links), otlp = COALESCE(excluded.otlp, s.otlp) "
	BRINGS_MORE
	"RETURNING " FMS_WRITTEN_COLUMNS("") ", flowmaestro.pending_finished(NULL)";

/* the stub that waits for a start under the span's own id */
static const char *const take_stub =
	"DELETE FROM flowmaestro.%s AS s "
	"WHERE s.trace_id OPERATOR(pg_catalog.=) $1 AND s.span_id OPERATOR(pg_catalog.=) $1 "
	"AND s.name OPERATOR(pg_catalog.=) '' "
	"RETURNING s.status, s.ended_at, s.output, s.error, s.attributes, s.events";

/* the statement for a partition, kept while its name stays */
typedef struct KeptPlan
{
	Oid			partition;
	char		name[NAMEDATALEN];
	SPIPlanPtr	plan;
} KeptPlan;

static KeptPlan inserts[PLANS];
static KeptPlan upserts[PLANS];
static KeptPlan whole_upserts[PLANS];

/* the group that pending_rows() hands out; NULL outside of a statement */
static FmsRow **group = NULL;
static int	group_count = 0;

/* the row that the statement is updating had finished before */
static bool had_finished = false;

PG_FUNCTION_INFO_V1(fms_pending_rows);
PG_FUNCTION_INFO_V1(fms_pending_attributes);
PG_FUNCTION_INFO_V1(fms_pending_finished);

/* Set a column to a jsonb, or to null if there is none. */
static void
put_jsonb(Datum *values, bool *nulls, int column, Jsonb *value)
{
	nulls[column] = value == NULL;
	values[column] = JsonbPGetDatum(value);
}

/* Put a row into the result of pending_rows(). */
static void
put_row(ReturnSetInfo *result, FmsRow *row, Jsonb *no_attributes)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {false};
	bool		ended = row->status != FMS_STATUS_STARTED;

	values[0] = UUIDPGetDatum(&row->trace_id);
	values[1] = UUIDPGetDatum(&row->span_id);
	nulls[2] = !row->has_parent;
	values[2] = UUIDPGetDatum(&row->parent_span_id);
	values[3] = fms_table_text(&row->name);
	values[4] = fms_table_text(&row->type);
	nulls[5] = row->entity.data == NULL;
	values[5] = fms_table_text(&row->entity);
	values[6] = TimestampTzGetDatum(row->started_at);
	nulls[7] = !ended;
	nulls[8] = !ended || row->no_start;
	values[7] = TimestampTzGetDatum(row->ended_at);
	values[8] = Float8GetDatum((row->ended_at - row->started_at) / 1000.0);
	values[9] = CStringGetTextDatum(fms_table_status(row->status));
	put_jsonb(values, nulls, 10, row->input);
	put_jsonb(values, nulls, 11, row->output);
	put_jsonb(values, nulls, 12, row->error);
	put_jsonb(values, nulls, 13, row->attributes == NULL ? no_attributes : row->attributes);
	values[14] = TimestampTzGetDatum(row->created_at);
	put_jsonb(values, nulls, 15, row->events);
	put_jsonb(values, nulls, 16, row->links);
	put_jsonb(values, nulls, 17, row->otlp);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * pending_rows() returns setof execution_spans: the group that upsert.c is
 * writing.
 */
Datum
fms_pending_rows(PG_FUNCTION_ARGS)
{
	MemoryContext scratch;
	MemoryContext old;
	Jsonb	   *no_attributes;

	if (group == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pending_rows() can only be called by the span writer")));
	InitMaterializedSRF(fcinfo, 0);
	no_attributes = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	scratch = AllocSetContextCreate(CurrentMemoryContext, "pending_rows", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	for (int i = 0; i < group_count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_row((ReturnSetInfo *) fcinfo->resultinfo, group[i], no_attributes);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return (Datum) 0;
}

/*
 * pending_attributes(span_id uuid) returns jsonb: the attributes of a row of the
 * group that upsert.c is writing, without those of its end.
 */
Datum
fms_pending_attributes(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *span_id = PG_GETARG_UUID_P(0);
	Jsonb	   *attributes = NULL;

	for (int i = 0; group != NULL && i < group_count; i++)
	{
		FmsRow	   *row = group[i];

		if (memcmp(&row->span_id, span_id, UUID_LEN) == 0)
			attributes = row->end_has_attributes ? row->unended_attributes : row->attributes;
	}
	if (attributes == NULL)
		PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	PG_RETURN_JSONB_P(attributes);
}

/*
 * pending_finished(finished boolean) returns boolean: carries what a row was
 * before its update to RETURNING, which shows only what it is afterwards.  SET
 * calls it with a value, which it returns; RETURNING, which follows for the
 * same row, with null, for the value.  An inserted row has no SET: it was not
 * there, and the value is false.
 */
Datum
fms_pending_finished(PG_FUNCTION_ARGS)
{
	bool		finished = PG_ARGISNULL(0) ? had_finished : PG_GETARG_BOOL(0);

	had_finished = !PG_ARGISNULL(0) && finished;
	PG_RETURN_BOOL(finished);
}

/* The kept statement that writes rows of the first one's kind; connected to SPI. */
static SPIPlanPtr
plan_for(const FmsRow *row)
{
	char	   *name = get_rel_name(row->partition);
	KeptPlan   *plans = row->fresh ? inserts : row->whole ? whole_upserts : upserts;
	const char *statement = row->fresh ? insert : row->whole ? upsert_whole : upsert;
	KeptPlan   *kept = plans + row->partition % PLANS;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("partition with OID %u does not exist", row->partition)));
	if (kept->plan != NULL && kept->partition == row->partition && strcmp(kept->name, name) == 0)
		return kept->plan;
	if (kept->plan != NULL)
		SPI_freeplan(kept->plan);
	kept->plan = NULL;
	kept->plan = SPI_prepare(psprintf(statement, quote_identifier(name)), 0, NULL);
	if (kept->plan == NULL || SPI_keepplan(kept->plan) != 0)
		elog(ERROR, "could not prepare the write of spans: %s",
			 SPI_result_code_string(SPI_result));
	kept->partition = row->partition;
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

/* What a span is after its row, which made its id, was inserted. */
static void
state_of_row(const FmsRow *row, FmsSpanState *span)
{
	span->trace_id = row->trace_id;
	span->span_id = row->span_id;
	span->has_parent = row->has_parent;
	span->parent_span_id = row->parent_span_id;
	span->arrived = true;
	span->fresh = true;
	span->model_call = fms_names_is_model_call(row->type.data, row->type.length);
	span->status = row->status;
	span->finishes = row->status != FMS_STATUS_STARTED;
	span->started_at = row->started_at;
	span->ended_at = row->ended_at;
	span->type = row->type;
	span->entity = row->entity;
	span->attributes = row->attributes;
}

/*
 * What the spans of a group are after it was written, in a context; connected
 * to SPI.  Returns how many: stubs are left out, and rows that did not change.
 */
static int
states_of_group(FmsRow **rows, int count, FmsSpanState *spans, MemoryContext context)
{
	MemoryContext old;
	bool		isnull;
	int			n = 0;

	if (rows[0]->fresh)
	{
		for (int i = 0; i < count; i++)
			state_of_row(rows[i], &spans[i]);
		return count;
	}
	old = MemoryContextSwitchTo(context);
	for (int i = 0; i < SPI_processed; i++)
	{
		fms_written_read(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &spans[n]);
		spans[n].arrived = rows[0]->has_start;
		spans[n].finishes = spans[n].status != FMS_STATUS_STARTED &&
			!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
										FMS_WRITTEN_COLUMN_COUNT + 1, &isnull));
		if (spans[n].type.length > 0)
			n++;
	}
	MemoryContextSwitchTo(old);
	return n;
}

/*
 * Write a group of rows of one partition, as its owner.  Adds to *spans what
 * they are now.  Returns how many rows were inserted or changed.
 */
static uint64
write_group(FmsRow **rows, int count, FmsSpanState *spans, int *span_count)
{
	MemoryContext context = CurrentMemoryContext;
	FmsOwnerScope scope;
	uint64		processed;
	int			rc;

	check_later(rows, count);
	fms_table_enter(rows[0]->partition, &scope);
	group = rows;
	group_count = count;
	had_finished = false;
	PG_TRY();
	{
		rc = SPI_execute_plan(plan_for(rows[0]), NULL, NULL, false, 0);
		processed = SPI_processed;
	}
	PG_FINALLY();
	{
		group = NULL;
	}
	PG_END_TRY();
	if (rc != SPI_OK_INSERT && rc != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "write of spans failed: %s", SPI_result_code_string(rc));
	*span_count += states_of_group(rows, count, spans + *span_count, context);
	fms_table_leave(&scope);
	return processed;
}

/* A jsonb column of the first row, copied to a context, or NULL. */
static Jsonb *
copy_jsonb(int column, MemoryContext context)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);
	MemoryContext old;

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(context);
	value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	MemoryContextSwitchTo(old);
	return DatumGetJsonbP(value);
}

/* Fold the stub of the first row into a row, as what came before it. */
static void
fold_stub(FmsRow *row, MemoryContext context, FmsApplied *applied)
{
	FmsStatus	status = fms_table_parse_status(SPI_getvalue(SPI_tuptable->vals[0],
															 SPI_tuptable->tupdesc, 1));
	MemoryContext old;
	bool		isnull;
	Jsonb	   *attributes = copy_jsonb(5, context);
	Jsonb	   *events = copy_jsonb(6, context);

	if (status != FMS_STATUS_STARTED)
	{
		row->status = status;
		row->ended_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
														  SPI_tuptable->tupdesc, 2, &isnull));
		if (row->ended_at < row->started_at && !row->no_start)
		{
			row->ended_at = row->started_at;
			applied->clamped++;
		}
		row->output = copy_jsonb(3, context);
		row->error = copy_jsonb(4, context);
	}
	old = MemoryContextSwitchTo(context);
	if (row->end_has_attributes && status != FMS_STATUS_STARTED)
		row->attributes = row->unended_attributes;
	row->end_has_attributes = false;
	row->attributes = fms_jsonb_merge(attributes, row->attributes);
	row->events = fms_jsonb_merge(events, row->events);
	MemoryContextSwitchTo(old);
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

/* Delete a stub and fold it into the row of its span. */
static void
take_stub_from(Oid partition, FmsRow *row, FmsApplied *applied)
{
	MemoryContext context = CurrentMemoryContext;
	FmsOwnerScope scope;
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(&row->span_id)};

	fms_table_enter(partition, &scope);
	if (SPI_execute_with_args(psprintf(take_stub, quote_identifier(get_rel_name(partition))),
							  1, types, values, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not take a stub span");
	if (SPI_processed > 0)
		fold_stub(row, context, applied);
	fms_table_leave(&scope);
}

/* Take the stub of a row's span, if there is one, out of the table and into the row. */
static void
adopt_stub(FmsRow *row, FmsApplied *applied)
{
	Oid			partition;
	FmsLook		look = fms_lookup_stub(&row->span_id, fms_table_waits, &partition);

	if (look == FMS_LOOK_FOUND && !fms_table_waits &&
		!ConditionalLockRelationOid(partition, RowExclusiveLock))
		look = FMS_LOOK_BUSY;
	if (look == FMS_LOOK_BUSY)
		note_busy(row);
	else if (look == FMS_LOOK_FOUND)
		take_stub_from(partition, row, applied);
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
find_row(FmsRow *row, FmsApplied *applied)
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
	if (row->status != FMS_STATUS_STARTED && !row->no_start && row->ended_at < row->started_at)
	{
		row->ended_at = row->started_at;
		applied->clamped++;
	}
	row->has_trace = true;
}

/*
 * Order rows by partition, fresh ones and those with a start first, whole spans
 * apart, then by key.
 */
static int
compare_rows(const void *a, const void *b)
{
	const FmsRow *left = *(FmsRow *const *) a;
	const FmsRow *right = *(FmsRow *const *) b;
	int			order;

	if (left->partition != right->partition)
		return left->partition < right->partition ? -1 : 1;
	if (left->fresh != right->fresh)
		return left->fresh ? -1 : 1;
	if (left->has_start != right->has_start)
		return left->has_start ? -1 : 1;
	if (left->whole != right->whole)
		return left->whole ? -1 : 1;
	order = memcmp(&left->trace_id, &right->trace_id, UUID_LEN);
	return order != 0 ? order : memcmp(&left->span_id, &right->span_id, UUID_LEN);
}

/* Whether two rows go into the same statement. */
static bool
same_group(const FmsRow *left, const FmsRow *right)
{
	return left->partition == right->partition && left->fresh == right->fresh &&
		left->has_start == right->has_start && left->whole == right->whole;
}

/*
 * Take a whole span out of a row that has other events as well, if the table
 * has its end: it came again, and must not bring its events again.
 */
static void
drop_whole(FmsRow *row)
{
	FmsSpanRef	ref;

	if (!look_up(row, &ref) || !ref.ended || ref.stub)
		return;
	row->trace_id = ref.trace_id;
	row->started_at = ref.started_at;
	row->has_start = row->fresh = row->adopt_stub = false;
	row->name = row->type = row->entity = (FmsPart) {NULL, 0};
	row->status = FMS_STATUS_STARTED;
	row->attributes = row->rest_attributes;
	row->end_has_attributes = false;
	row->events = row->rest_events;
	row->links = row->otlp = NULL;
}

/* Look at the table for what a row needs from there, without changing the row. */
static FmsRow *
complete_row(FmsRow *row, FmsApplied *applied)
{
	FmsRow	   *copy = palloc(sizeof(FmsRow));

	*copy = *row;
	copy->origin = row;
	if (copy->has_whole && !copy->whole)
		drop_whole(copy);
	if (!copy->has_trace || copy->look_up)
		find_row(copy, applied);
	if (copy->adopt_stub)
		adopt_stub(copy, applied);
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
	FmsSpanState *spans = palloc0(sizeof(FmsSpanState) * count);
	int			span_count = 0;
	int			next;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		fms_fold_merge(rows[i]);
		if (!rows[i]->has_trace || rows[i]->look_up || rows[i]->adopt_stub ||
			(rows[i]->has_whole && !rows[i]->whole))
			rows[i] = complete_row(rows[i], applied);
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
		uint64		processed;

		for (next = i + 1; next < count && same_group(rows[i], rows[next]); next++)
			;
		processed = write_group(rows + i, next - i, spans, &span_count);
		if (rows[i]->has_start)
			applied->written += processed;
		else
			applied->updated += processed;
	}
	fms_written_tell(spans, span_count);
}
