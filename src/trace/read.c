/*-------------------------------------------------------------------------
 *
 * read.c
 *	  The rows of a trace.
 *
 * One statement reads the trace through the primary keys of the partitions that
 * have rows of it, which lookup.c finds out: it is planned each time, for those
 * alone.  With hundreds of partitions a plan for any trace takes locks by the
 * thousand, and a third of a second in each session.
 *
 * The rows go from the executor straight into the array of spans, never into
 * a result set, and inputs and outputs are not touched.
 *
 * The statement runs with the privileges of the caller, in the caller's
 * snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "span/identity.h"
#include "span/names.h"
#include "span/payload.h"
#include "span/text.h"
#include "table/lookup.h"
#include "table/owner.h"
#include "trace/read.h"
#include "trace/tree.h"
#include "usage/tokens.h"

#define FIRST_CAPACITY FMS_LIMIT(64, 1)
#define MOST_SPANS 5000000		/* of a tree; each takes about 600 bytes */

#define MOST_STRETCHES FMS_LIMIT(50, 1) /* of times that a statement names */
#define TIME_BYTES 64			/* of a timestamp as text */

/* columns of read_trace */
enum
{
	SPAN_ID, PARENT_SPAN_ID, NAME, SPAN_TYPE, ENTITY_ID, STATUS, STARTED_AT, ENDED_AT,
	ERROR_MESSAGE, ATTRIBUTES, COLUMNS
};

static const char *const read_trace =
	"SELECT s.span_id, s.parent_span_id, s.name, s.span_type, s.entity_id, s.status, "
	"s.started_at, s.ended_at, s.error OPERATOR(pg_catalog.->>) 'message', s.attributes "
	"FROM flowmaestro.execution_spans AS s WHERE s.trace_id OPERATOR(pg_catalog.=) $1 AND ";

static const char *const find_start =
	"SELECT s.name OPERATOR(pg_catalog.=) '' FROM flowmaestro.execution_spans AS s "
	"WHERE s.trace_id OPERATOR(pg_catalog.=) $1 AND s.span_id OPERATOR(pg_catalog.=) $2 AND ";

/* takes each row into a tree */
typedef struct Receiver
{
	DestReceiver pub;
	FmsTree    *tree;
} Receiver;

/*
 * Copy a text.  The recording functions keep texts within FMS_MAX_TEXT; of one
 * that came another way no more than that is taken.
 */
static text *
keep_column_text(Datum value, bool isnull)
{
	text	   *start;

	if (isnull)
		return NULL;
	if (toast_raw_datum_size(value) <= FMS_MAX_TEXT + VARHDRSZ)
		return DatumGetTextPCopy(value);
	start = DatumGetTextPSlice(value, 0, FMS_MAX_TEXT + MAX_MULTIBYTE_CHAR_LEN);
	return cstring_to_text_with_len(VARDATA_ANY(start),
									pg_mbcliplen(VARDATA_ANY(start), VARSIZE_ANY_EXHDR(start),
												 FMS_MAX_TEXT));
}

/* A time within what spans can have, so that differences do not overflow. */
static TimestampTz
within_range(TimestampTz at)
{
	return Max(FMS_FIRST_TIME, Min(at, FMS_LAST_TIME));
}

/* Set the times of a span; one that runs is taken to run until now. */
static void
keep_times(FmsTree *tree, FmsTreeSpan *span, TupleTableSlot *slot)
{
	TimestampTz end = tree->now;

	span->started_at = DatumGetTimestampTz(slot->tts_values[STARTED_AT]);
	span->from = within_range(span->started_at);
	span->running = slot->tts_isnull[ENDED_AT];
	if (!span->running)
		end = span->ended_at = DatumGetTimestampTz(slot->tts_values[ENDED_AT]);
	if (!span->running && end < span->started_at)
		span->odd |= FMS_ENDS_EARLY;
	span->until = Max(span->from, within_range(end));
}

/* The next free place of the array, zeroed; an error if the trace is too big for a tree. */
static FmsTreeSpan *
new_span(FmsTree *tree)
{
	FmsTreeSpan *span;

	if (tree->count == MOST_SPANS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("trace has more than %d spans", MOST_SPANS),
				 errhint("Read its rows from flowmaestro.execution_spans.")));
	if (tree->count == tree->capacity)
	{
		tree->capacity *= 2;
		tree->spans = repalloc_huge(tree->spans, sizeof(FmsTreeSpan) * tree->capacity);
	}
	span = &tree->spans[tree->count++];
	memset(span, 0, sizeof(*span));
	return span;
}

/* Take a row; called by the executor for each. */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	FmsTree    *tree = ((Receiver *) self)->tree;
	MemoryContext old = MemoryContextSwitchTo(tree->context);
	FmsTreeSpan *span = new_span(tree);

	slot_getallattrs(slot);
	span->span_id = *DatumGetUUIDP(slot->tts_values[SPAN_ID]);
	span->has_parent = !slot->tts_isnull[PARENT_SPAN_ID];
	if (span->has_parent)
		span->parent_span_id = *DatumGetUUIDP(slot->tts_values[PARENT_SPAN_ID]);
	span->name = keep_column_text(slot->tts_values[NAME], false);
	span->span_type = keep_column_text(slot->tts_values[SPAN_TYPE], false);
	span->entity_id = keep_column_text(slot->tts_values[ENTITY_ID], slot->tts_isnull[ENTITY_ID]);
	span->status = keep_column_text(slot->tts_values[STATUS], false);
	span->failed = fms_part_is(FMS_TEXT_PART(span->status), "failed");
	span->error = keep_column_text(slot->tts_values[ERROR_MESSAGE], slot->tts_isnull[ERROR_MESSAGE]);
	keep_times(tree, span, slot);
	if (VARSIZE_ANY_EXHDR(span->name) == 0)
		span->odd |= FMS_NO_START;
	if (fms_names_is_model_call(VARDATA_ANY(span->span_type), VARSIZE_ANY_EXHDR(span->span_type)))
		fms_spent_read(slot->tts_values[ATTRIBUTES], &span->own_usage);
	MemoryContextSwitchTo(old);
	return true;
}

/* Nothing to prepare. */
static void
start_rows(DestReceiver *self, int operation, TupleDesc desc)
{
	Assert(desc->natts == COLUMNS);
}

/* Nothing to finish or to free. */
static void
finish_rows(DestReceiver *self)
{
}

/*
 * Connect to SPI and see to it that plans made here use the indexes.  Planned
 * for any trace, a partition with few traces would be read as a whole.
 * Returns what fms_read_end wants.
 */
int
fms_read_begin(void)
{
	int			level = NewGUCNestLevel();

	fms_table_set("enable_seqscan", "off");
	fms_table_set("jit", "off");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	return level;
}

/* Undo fms_read_begin. */
void
fms_read_end(int level)
{
	SPI_finish();
	AtEOXact_GUC(true, level);
}

/* Append a time as a constant, whatever the settings of the session. */
static void
append_time(StringInfo sql, TimestampTz at)
{
	char		text[TIME_BYTES];
	int			utc = 0;

	JsonEncodeDateTime(text, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc);
	appendStringInfo(sql, "'%s'::pg_catalog.timestamptz", text);
}

/* Append the condition that a row lies within the stretches of a list. */
static void
append_stretches(StringInfo sql, List *stretches)
{
	const char *separator = "(";
	ListCell   *cell;

	if (stretches == NIL)
	{
		/* a statement all the same: it checks the caller's privileges */
		appendStringInfoString(sql, "false");
		return;
	}
	foreach(cell, stretches)
	{
		const FmsExtent *stretch = lfirst(cell);

		appendStringInfo(sql, "%ss.started_at OPERATOR(pg_catalog.>=) ", separator);
		append_time(sql, stretch->from);
		appendStringInfoString(sql, " AND s.started_at OPERATOR(pg_catalog.<) ");
		append_time(sql, stretch->until);
		separator = " OR ";
	}
	appendStringInfoChar(sql, ')');
}

/*
 * Append the condition that a row of the alias s lies where rows of a trace do.
 * It is for the statement that is run at once: rows can come elsewhere later.
 */
void
fms_read_append_times(StringInfo sql, const pg_uuid_t *trace_id)
{
	List	   *stretches = fms_lookup_trace_stretches(trace_id);

	/*
	 * of very many the gaps are read as well: what a statement names has to
	 * end
	 */
	if (list_length(stretches) > MOST_STRETCHES)
	{
		((FmsExtent *) linitial(stretches))->until = ((FmsExtent *) llast(stretches))->until;
		stretches = list_truncate(stretches, 1);
	}
	append_stretches(sql, stretches);
}

/*
 * Run a statement whose parameters are at most two uuids, planned for their
 * values.  The result is in SPI_tuptable.
 */
void
fms_read_run(const char *sql, int nargs, Datum *values)
{
	Oid			types[] = {UUIDOID, UUIDOID};
	int			rc = SPI_execute_with_args(sql, nargs, types, values, NULL, true, 0);

	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not read spans: %s", SPI_result_code_string(rc));
}

/* A cursor over such a statement, to be closed before fms_read_end. */
Portal
fms_read_open(const char *sql, int nargs, Datum *values)
{
	Oid			types[] = {UUIDOID, UUIDOID};

	return SPI_cursor_open_with_args(NULL, sql, nargs, types, values, NULL, true, 0);
}

/* Run the statement, its rows going to a receiver. */
static void
read_tree_rows(const pg_uuid_t *trace_id, DestReceiver *receiver)
{
	SPIExecuteOptions options = {0};
	ParamListInfo params = makeParamList(1);
	StringInfoData sql;
	int			rc;

	params->params[0].value = UUIDPGetDatum(trace_id);
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = UUIDOID;
	options.params = params;
	options.read_only = true;
	options.dest = receiver;
	initStringInfo(&sql);
	appendStringInfoString(&sql, read_trace);
	fms_read_append_times(&sql, trace_id);
	/* a SELECT whose rows go elsewhere is a utility statement to SPI */
	rc = SPI_execute_extended(sql.data, &options);
	if (rc != SPI_OK_UTILITY)
		elog(ERROR, "could not read spans: %s", SPI_result_code_string(rc));
}

/*
 * The spans of a trace, not yet in order; none if there is no such trace.  All
 * of it lies in the current memory context.
 */
FmsTree *
fms_tree_read(const pg_uuid_t *trace_id)
{
	FmsTree    *tree = palloc0(sizeof(FmsTree));
	int			level;
	Receiver	receiver = {{receive_row, start_rows, finish_rows, finish_rows, DestNone}, tree};

	tree->context = CurrentMemoryContext;
	tree->capacity = FIRST_CAPACITY;
	tree->spans = palloc(sizeof(FmsTreeSpan) * tree->capacity);
	tree->now = GetCurrentStatementStartTimestamp();
	level = fms_read_begin();
	read_tree_rows(trace_id, &receiver.pub);
	fms_read_end(level);
	return tree;
}

/* Whether a row of a span is in a stretch, and has a start. */
static bool
find_in_partition(const FmsExtent *stretch, const pg_uuid_t *span_id, bool *has_start, StringInfo times)
{
	Datum		values[] = {UUIDPGetDatum(&stretch->trace_id), UUIDPGetDatum(span_id)};
	StringInfoData sql;
	bool		isnull;

	resetStringInfo(times);
	append_stretches(times, list_make1(unconstify(FmsExtent *, stretch)));
	initStringInfo(&sql);
	appendStringInfo(&sql, "%s%s", find_start, times->data);
	fms_read_run(sql.data, lengthof(values), values);
	if (SPI_processed == 0)
		return false;
	*has_start = !DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
											 &isnull));
	return true;
}

/*
 * The trace of a span; false if there is no such span.  A row with a start comes
 * before a stub.  To "times" goes the condition that a row of the alias s lies
 * where the span does.
 */
bool
fms_read_trace_of(const pg_uuid_t *span_id, pg_uuid_t *trace_id, StringInfo times)
{
	int			level = fms_read_begin();
	List	   *stretches = fms_lookup_span_stretches(span_id);
	const FmsExtent *found = NULL;
	bool		has_start = false;
	ListCell   *cell;

	/*
	 * nothing to look at is a statement all the same, for the caller's
	 * privileges
	 */
	if (stretches == NIL)
		stretches = list_make1(palloc0(sizeof(FmsExtent)));
	foreach(cell, stretches)
	{
		if (find_in_partition(lfirst(cell), span_id, &has_start, times))
			found = lfirst(cell);
		if (has_start)
			break;
	}
	if (found != NULL)
	{
		*trace_id = found->trace_id;
		resetStringInfo(times);
		append_stretches(times, list_make1(unconstify(FmsExtent *, found)));
	}
	fms_read_end(level);
	return found != NULL;
}
