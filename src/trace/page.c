/*-------------------------------------------------------------------------
 *
 * page.c
 *	  SQL functions that list spans by a filter.
 *
 * query_spans is the one for programs: its pages cost the same wherever they
 * are.  query_spans_page has the shape of the service that the table comes
 * from, with a count of all pages, and pays for it: it counts, and it skips.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "span/jsonb.h"
#include "trace/object.h"
#include "trace/page.h"
#include "trace/search.h"
#include "trace/trace.h"

/* columns of query_spans: those of an object, and the cursor */
#define CURSOR_COLUMN FMS_OBJECT_COUNT
#define COLUMNS (FMS_OBJECT_COUNT + 1)
#define MOST_PER_PAGE 10000

PG_FUNCTION_INFO_V1(fms_query_spans);
PG_FUNCTION_INFO_V1(fms_query_spans_page);

/* Put a row that the search found into the result, with the position behind it. */
static bool
put_found_span(FmsSearch *search, HeapTuple row, TupleDesc desc)
{
	ReturnSetInfo *result = search->result;
	Datum		values[COLUMNS];
	bool		isnull[COLUMNS];

	for (int i = 0; i < FMS_OBJECT_COUNT; i++)
		values[i] = SPI_getbinval(row, desc, i + 1, &isnull[i]);
	values[CURSOR_COLUMN] = fms_search_cursor(&search->after);
	isnull[CURSOR_COLUMN] = false;
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	return true;
}

/* Put a last row that is no span but tells where to go on. */
void
fms_page_put_rest(ReturnSetInfo *result, const FmsPosition *after)
{
	int			columns = result->setDesc->natts;
	Datum	   *values = palloc0(sizeof(Datum) * columns);
	bool	   *isnull = palloc(sizeof(bool) * columns);

	memset(isnull, true, sizeof(bool) * columns);
	values[columns - 1] = fms_search_cursor(after);
	isnull[columns - 1] = false;
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
}

/*
 * query_spans(filter..., page_size, after, scan_limit) returns table
 *
 * A page in the order of (started_at, span_id, trace_id), the highest first.
 * If scan_limit was reached before the page was full, a last row that is NULL
 * in all columns but the cursor says where to go on.
 */
Datum
fms_query_spans(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FmsSearch	search = {{0}};
	MemoryContext work;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	work = fms_trace_enter();
	fms_filter_read(&search.filter, fcinfo, FMS_SPAN_FILTER_ARGS);
	fms_search_read_page(&search, fcinfo, FMS_SPAN_FILTER_ARGS);
	search.columns = FMS_OBJECT_COLUMNS;
	search.ncolumns = FMS_OBJECT_COUNT;
	search.take = put_found_span;
	search.result = result;
	if (fms_search_run(&search))
		fms_page_put_rest(result, &search.after);
	fms_trace_leave(work);
	return (Datum) 0;
}

/* Run a statement with a filter's parameters. */
static void
run_statement(FmsFilter *filter, const char *sql)
{
	int			rc = SPI_execute_with_args(sql, FMS_PARAMS, fms_filter_types,
										   filter->values, filter->nulls, true, 0);

	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(rc));
}

/*
 * The statement that selects something of the spans that a filter lets through;
 * here the planner chooses, because all of them are counted anyway.
 */
static StringInfo
select_filtered(const FmsFilter *filter, const char *what)
{
	StringInfo	sql = makeStringInfo();

	appendStringInfo(sql, "SELECT %s FROM flowmaestro.execution_spans AS s "
					 "WHERE s.started_at OPERATOR(pg_catalog.>=) $1 "
					 "AND s.started_at OPERATOR(pg_catalog.<=) $2 AND ", what);
	fms_filter_where(sql, filter->conditions);
	return sql;
}

/* The number of spans that a filter lets through. */
static int64
count_spans(FmsFilter *filter)
{
	bool		isnull;

	run_statement(filter, select_filtered(filter, "pg_catalog.count(*)")->data);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* Push the spans of a page under a key. */
static void
push_spans(FmsJsonbState *state, FmsFilter *filter, int64 page, int64 per_page)
{
	StringInfo	sql = select_filtered(filter, FMS_OBJECT_COLUMNS);

	appendStringInfo(sql, " ORDER BY s.started_at DESC, s.span_id DESC, s.trace_id DESC "
					 "LIMIT " INT64_FORMAT " OFFSET " INT64_FORMAT, per_page, page * per_page);
	run_statement(filter, sql->data);
	fms_jsonb_key(state, "spans");
	fms_jsonb_push(state, WJB_BEGIN_ARRAY, NULL);
	for (uint64 i = 0; i < SPI_tuptable->numvals; i++)
	{
		CHECK_FOR_INTERRUPTS();
		fms_object_push(state, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	}
	fms_jsonb_push(state, WJB_END_ARRAY, NULL);
}

/* The object of a page; the caller is connected to SPI. */
static Jsonb *
page_object(FmsFilter *filter, int64 page, int64 per_page)
{
	FmsJsonbState state = {0};
	int64		total = count_spans(filter);

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	push_spans(&state, filter, page, per_page);
	fms_jsonb_integer(&state, "total", total);
	fms_jsonb_integer(&state, "page", page);
	fms_jsonb_integer(&state, "perPage", per_page);
	fms_jsonb_integer(&state, "totalPages", (total + per_page - 1) / per_page);
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/*
 * query_spans_page(filter..., page, per_page) returns jsonb
 *
 * Pages count from 0; one behind the last has no spans.
 */
Datum
fms_query_spans_page(PG_FUNCTION_ARGS)
{
	int			argument = FMS_SPAN_FILTER_ARGS;
	int64		page = PG_ARGISNULL(argument) ? -1 : PG_GETARG_INT32(argument);
	int64		per_page = PG_ARGISNULL(argument + 1) ? 0 : PG_GETARG_INT32(argument + 1);
	FmsFilter	filter;
	Datum		object;

	if (page < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("page must not be negative")));
	if (per_page < 1 || per_page > MOST_PER_PAGE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("per_page must be between 1 and %d", MOST_PER_PAGE)));
	fms_filter_read(&filter, fcinfo, FMS_SPAN_FILTER_ARGS);
	filter.values[FMS_PARAM_FROM] = TimestampTzGetDatum(filter.from);
	filter.values[FMS_PARAM_UNTIL] = TimestampTzGetDatum(filter.until);
	filter.nulls[FMS_PARAM_FROM] = filter.nulls[FMS_PARAM_UNTIL] = ' ';
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	object = SPI_datumTransfer(JsonbPGetDatum(page_object(&filter, page, per_page)), false, -1);
	SPI_finish();
	PG_RETURN_DATUM(object);
}
