/*-------------------------------------------------------------------------
 *
 * columns.c
 *	  The columns of execution_spans, and rows on their way to SQL and back.
 *
 * A statement takes rows of ours from pending_rows(), which hands them out from
 * memory, so that nothing is turned into text.  rejected_spans has the same
 * columns, but for those that are derived from others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "span/jsonb.h"
#include "table/columns.h"
#include "table/feed.h"
#include "table/owner.h"

#define NUMBER(number, name) COLUMN_##number,

enum
{
	FMS_COLUMNS(NUMBER, NUMBER, NUMBER, NUMBER, NUMBER) COLUMN_COUNT
};

StaticAssertDecl(COLUMN_COUNT == FMS_COLUMN_COUNT, "FMS_COLUMN_COUNT must be the number of columns");

static int	put_row(const FmsFeed *feed, int i, ReturnSetInfo *result);

/* the rows that pending_rows() hands out */
static FmsFeed rows_feed = {.function = "pending_rows", .put = put_row};

PG_FUNCTION_INFO_V1(fms_pending_rows);

/* Set a column to a jsonb, or to null if there is none. */
static void
put_jsonb(Datum *values, bool *nulls, int column, Jsonb *value)
{
	nulls[column] = value == NULL;
	values[column] = JsonbPGetDatum(value);
}

/* Put a row into the result of pending_rows(). */
static int
put_row(const FmsFeed *feed, int i, ReturnSetInfo *result)
{
	FmsRow	   *row = ((FmsRow **) feed->rows)[i];
	Datum		values[FMS_COLUMN_COUNT] = {0};
	bool		nulls[FMS_COLUMN_COUNT] = {false};

	nulls[COLUMN_TRACE_ID] = nulls[COLUMN_STARTED_AT] = !row->has_trace;
	values[COLUMN_TRACE_ID] = UUIDPGetDatum(&row->trace_id);
	values[COLUMN_SPAN_ID] = UUIDPGetDatum(&row->span_id);
	nulls[COLUMN_PARENT_SPAN_ID] = !row->has_parent;
	values[COLUMN_PARENT_SPAN_ID] = UUIDPGetDatum(&row->parent_span_id);
	values[COLUMN_NAME] = fms_table_text(&row->name);
	values[COLUMN_SPAN_TYPE] = fms_table_text(&row->type);
	nulls[COLUMN_ENTITY_ID] = row->entity.data == NULL;
	values[COLUMN_ENTITY_ID] = fms_table_text(&row->entity);
	values[COLUMN_STARTED_AT] = TimestampTzGetDatum(row->started_at);
	nulls[COLUMN_ENDED_AT] = row->status == FMS_STATUS_STARTED;
	values[COLUMN_ENDED_AT] = TimestampTzGetDatum(row->ended_at);
	nulls[COLUMN_DURATION_MS] = !row->has_duration;
	values[COLUMN_DURATION_MS] = Float8GetDatum(row->duration_ms);
	values[COLUMN_STATUS] = CStringGetTextDatum(fms_table_status(row->status));
	put_jsonb(values, nulls, COLUMN_INPUT, row->input);
	put_jsonb(values, nulls, COLUMN_OUTPUT, row->output);
	put_jsonb(values, nulls, COLUMN_ERROR, row->error);
	put_jsonb(values, nulls, COLUMN_ATTRIBUTES, row->attributes == NULL ? fms_jsonb_empty() : row->attributes);
	values[COLUMN_CREATED_AT] = TimestampTzGetDatum(row->created_at);
	put_jsonb(values, nulls, COLUMN_EVENTS, row->events);
	put_jsonb(values, nulls, COLUMN_LINKS, row->links);
	put_jsonb(values, nulls, COLUMN_OTLP, row->otlp);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return i + 1;
}

/*
 * pending_rows() returns setof execution_spans: the rows that a statement of ours
 * is writing.
 */
Datum
fms_pending_rows(PG_FUNCTION_ARGS)
{
	return fms_feed_rows(&rows_feed, fcinfo);
}

/*
 * Run a statement that takes rows from pending_rows(); connected to SPI.  Returns
 * the number of rows that it wrote.
 */
uint64
fms_columns_write(SPIPlanPtr plan, Datum *values, FmsRow **rows, int count)
{
	return fms_feed_run(&rows_feed, rows, count, plan, values);
}

/* A text column as a part, copied; absent if null or empty. */
static FmsPart
text_column(Datum value, bool isnull)
{
	FmsPart		part = fms_table_part(value, isnull);

	if (part.length == 0)
		part.data = NULL;
	return part;
}

/*
 * A jsonb column, copied, or NULL.  As it is stored, it may be a pointer to a
 * value elsewhere: DatumGetJsonbP fetches that.
 */
static Jsonb *
jsonb_column(Datum value, bool isnull, bool fetch)
{
	if (isnull)
		return NULL;
	if (fetch)
		return (Jsonb *) PG_DETOAST_DATUM_COPY(value);
	return (Jsonb *) DatumGetPointer(datumCopy(value, false, -1));
}

/*
 * A row from a tuple that begins with FMS_COLUMNS, in the current memory context:
 * what a span is so far, to fold other rows onto.  Without "fetch", jsonb stays as
 * it is stored: a value that is written back unchanged costs nothing then.
 */
FmsRow *
fms_columns_read(HeapTuple tuple, TupleDesc desc, bool fetch)
{
	FmsRow	   *row = palloc0(sizeof(FmsRow));
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	heap_deform_tuple(tuple, desc, values, nulls);
	row->has_trace = !nulls[COLUMN_TRACE_ID];
	if (row->has_trace)
	{
		row->trace_id = *DatumGetUUIDP(values[COLUMN_TRACE_ID]);
		row->started_at = DatumGetTimestampTz(values[COLUMN_STARTED_AT]);
	}
	row->span_id = *DatumGetUUIDP(values[COLUMN_SPAN_ID]);
	row->has_parent = !nulls[COLUMN_PARENT_SPAN_ID];
	if (row->has_parent)
		row->parent_span_id = *DatumGetUUIDP(values[COLUMN_PARENT_SPAN_ID]);
	row->name = text_column(values[COLUMN_NAME], nulls[COLUMN_NAME]);
	row->type = text_column(values[COLUMN_SPAN_TYPE], nulls[COLUMN_SPAN_TYPE]);
	row->entity = fms_table_part(values[COLUMN_ENTITY_ID], nulls[COLUMN_ENTITY_ID]);
	if (nulls[COLUMN_ENTITY_ID])
		row->entity.data = NULL;
	row->has_start = row->name.length > 0;
	row->ended_at = nulls[COLUMN_ENDED_AT] ? 0 : DatumGetTimestampTz(values[COLUMN_ENDED_AT]);
	row->has_duration = !nulls[COLUMN_DURATION_MS];
	row->duration_ms = row->has_duration ? DatumGetFloat8(values[COLUMN_DURATION_MS]) : 0;
	row->status = fms_table_parse_status(TextDatumGetCString(values[COLUMN_STATUS]));
	row->input = jsonb_column(values[COLUMN_INPUT], nulls[COLUMN_INPUT], fetch);
	row->output = jsonb_column(values[COLUMN_OUTPUT], nulls[COLUMN_OUTPUT], fetch);
	row->error = jsonb_column(values[COLUMN_ERROR], nulls[COLUMN_ERROR], fetch);
	row->created_at = DatumGetTimestampTz(values[COLUMN_CREATED_AT]);
	row->links = jsonb_column(values[COLUMN_LINKS], nulls[COLUMN_LINKS], fetch);
	row->otlp = jsonb_column(values[COLUMN_OTLP], nulls[COLUMN_OTLP], fetch);
	fms_fold_tell(row, jsonb_column(values[COLUMN_ATTRIBUTES], nulls[COLUMN_ATTRIBUTES], fetch),
				  jsonb_column(values[COLUMN_EVENTS], nulls[COLUMN_EVENTS], fetch));
	pfree(values);
	pfree(nulls);
	return row;
}
