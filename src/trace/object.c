/*-------------------------------------------------------------------------
 *
 * object.c
 *	  Spans and traces as JSON objects.
 *
 * The keys are those of the service that this table comes from.  Input, output
 * and error are left out where the column is NULL, so that a recorded JSON
 * null can be told from nothing; events and links as well.  Times are ISO 8601
 * in UTC, whatever the session's time zone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "span/jsonb.h"
#include "span/text.h"
#include "trace/object.h"
#include "trace/read.h"

#define TIME_BYTES 64			/* of a timestamp as text */

PG_FUNCTION_INFO_V1(fms_get_trace);
PG_FUNCTION_INFO_V1(fms_get_span);

/* the key of each column, and whether a NULL is left out */
static const struct
{
	const char *key;
	bool		optional;
}			members[FMS_OBJECT_COUNT] = {
	{"traceId"}, {"spanId"}, {"parentSpanId"}, {"name"}, {"spanType"}, {"entityId"},
	{"startedAt"}, {"endedAt"}, {"durationMs"}, {"status"}, {"input", true}, {"output", true},
	{"error", true}, {"attributes"}, {"createdAt"}, {"events", true}, {"links", true}
};

static const char *const select_trace =
	"SELECT " FMS_OBJECT_COLUMNS " FROM flowmaestro.execution_spans AS s "
	"WHERE s.trace_id OPERATOR(pg_catalog.=) $1 AND ";

static const char *const select_span =
	"SELECT " FMS_OBJECT_COLUMNS " FROM flowmaestro.execution_spans AS s "
	"WHERE s.trace_id OPERATOR(pg_catalog.=) $1 AND s.span_id OPERATOR(pg_catalog.=) $2 AND ";

/* Set a value to a duration; one that JSON cannot tell becomes null. */
static void
set_number(JsonbValue *value, double number)
{
	value->type = jbvNull;
	if (!isfinite(number))
		return;
	value->type = jbvNumeric;
	value->val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric,
															 Float8GetDatum(number)));
}

/*
 * Set a value to a column of one of the types that a span has.  What has to be
 * made for it is made in the current memory context.
 */
static void
set_column_value(JsonbValue *value, Oid type, Datum datum)
{
	int			utc = 0;
	char	   *string;

	switch (type)
	{
		case JSONBOID:
			fms_jsonb_set(value, DatumGetJsonbP(datum));
			return;
		case FLOAT8OID:
			set_number(value, DatumGetFloat8(datum));
			return;
		case TIMESTAMPTZOID:
			string = palloc(TIME_BYTES);
			JsonEncodeDateTime(string, datum, TIMESTAMPTZOID, &utc);
			break;
		case UUIDOID:
			string = fms_uuid_text(DatumGetUUIDP(datum));
			break;
		default:
			string = TextDatumGetCString(datum);
			break;
	}
	fms_jsonb_set_string(value, string, strlen(string));
}

/* Push a key and a column; a NULL becomes null, or nothing at all if it may be left out. */
static void
push_column(FmsJsonbState *state, int column, HeapTuple row, TupleDesc desc)
{
	JsonbValue	value = {jbvNull};
	bool		isnull;
	Datum		datum = SPI_getbinval(row, desc, column, &isnull);

	if (isnull && members[column - 1].optional)
		return;
	if (!isnull)
		set_column_value(&value, SPI_gettypeid(desc, column), datum);
	fms_jsonb_pair(state, members[column - 1].key, &value);
}

/* Push a row that begins with FMS_OBJECT_COLUMNS as an object. */
void
fms_object_push(FmsJsonbState *state, HeapTuple row, TupleDesc desc)
{
	fms_jsonb_push(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 1; i <= FMS_OBJECT_COUNT; i++)
		push_column(state, i, row, desc);
	fms_jsonb_push(state, WJB_END_OBJECT, NULL);
}

/* The row that stands for a trace: the first without a parent, else the first. */
static int
root_row(SPITupleTable *rows)
{
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		bool		isnull;

		(void) SPI_getbinval(rows->vals[i], rows->tupdesc, FMS_OBJECT_PARENT, &isnull);
		if (isnull)
			return i;
	}
	return 0;
}

/*
 * The object of a trace from its rows, which come by start; there is at least
 * one.  What is told of the trace is told of its root.
 */
static Jsonb *
trace_object(SPITupleTable *rows)
{
	static const int from_root[] = {FMS_OBJECT_TRACE_ID, FMS_OBJECT_STARTED_AT, FMS_OBJECT_ENDED_AT,
	FMS_OBJECT_DURATION, FMS_OBJECT_STATUS};
	FmsJsonbState state = {0};
	HeapTuple	root = rows->vals[root_row(rows)];

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < lengthof(from_root); i++)
		push_column(&state, from_root[i], root, rows->tupdesc);
	fms_jsonb_key(&state, "rootSpan");
	fms_object_push(&state, root, rows->tupdesc);
	fms_jsonb_key(&state, "spans");
	fms_jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		CHECK_FOR_INTERRUPTS();
		fms_object_push(&state, rows->vals[i], rows->tupdesc);
	}
	fms_jsonb_push(&state, WJB_END_ARRAY, NULL);
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/* Copy an object out of SPI's memory. */
static Datum
copy_object(Jsonb *object)
{
	return SPI_datumTransfer(JsonbPGetDatum(object), false, -1);
}

/*
 * get_trace(trace_id uuid) returns jsonb
 *
 * NULL if there is no such trace.  Raises an error for a trace above the 256 MB
 * that a jsonb can have: get_trace_tree has no such limit.
 */
Datum
fms_get_trace(PG_FUNCTION_ARGS)
{
	Datum		values[1] = {PG_GETARG_DATUM(0)};
	Datum		object = (Datum) 0;
	int			level = fms_read_begin();
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, select_trace);
	fms_read_append_times(&sql, PG_GETARG_UUID_P(0));
	appendStringInfoString(&sql, " ORDER BY s.started_at, s.span_id");
	fms_read_run(sql.data, 1, values);
	if (SPI_processed > 0)
		object = copy_object(trace_object(SPI_tuptable));
	fms_read_end(level);
	if (object == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(object);
}

/*
 * get_span(span_id uuid) returns jsonb
 *
 * NULL if there is no such span.  The trace is looked up first, because the
 * primary keys begin with it.
 */
Datum
fms_get_span(PG_FUNCTION_ARGS)
{
	pg_uuid_t	trace_id;
	Datum		values[2] = {UUIDPGetDatum(&trace_id), PG_GETARG_DATUM(0)};
	Datum		object = (Datum) 0;
	int			level;
	StringInfoData times;
	StringInfoData sql;

	initStringInfo(&times);
	if (!fms_read_trace_of(PG_GETARG_UUID_P(0), &trace_id, &times))
		PG_RETURN_NULL();
	level = fms_read_begin();
	initStringInfo(&sql);
	appendStringInfo(&sql, "%s%s LIMIT 1", select_span, times.data);
	fms_read_run(sql.data, 2, values);
	if (SPI_processed > 0)
	{
		FmsJsonbState state = {0};

		fms_object_push(&state, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
		object = copy_object(JsonbValueToJsonb(state.result));
	}
	fms_read_end(level);
	if (object == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(object);
}
