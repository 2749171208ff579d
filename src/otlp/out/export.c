/*-------------------------------------------------------------------------
 *
 * export.c
 *	  SQL functions that give a trace as a request of OTLP.
 *
 * The rows come from a cursor, a few at a time, in the order of their starts;
 * large values are fetched one span at a time.  What is kept is the request.
 *
 * The statement runs with the privileges of the caller, in the caller's
 * snapshot, and works on a standby.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "compat.h"
#include "limit.h"
#include "otlp/out/encode.h"
#include "trace/read.h"

#define ROWS_AT_A_TIME FMS_LIMIT(100, 1)

PG_FUNCTION_INFO_V1(fms_export_otlp);
PG_FUNCTION_INFO_V1(fms_export_otlp_protobuf);

static const char *const read_trace =
	"SELECT " FMS_OTLP_COLUMNS " FROM flowmaestro.execution_spans AS s "
	"WHERE s.trace_id OPERATOR(pg_catalog.=) $1 AND ";

/* Add the rows that the cursor gave last. */
static void
add_rows(FmsOtlpEncoder *encoder)
{
	Datum		values[FMS_OTLP_COLUMN_COUNT];
	bool		nulls[FMS_OTLP_COLUMN_COUNT];

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		fms_otlp_encode_span(encoder, values, nulls);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* The request with all spans of a trace, in the context "work"; NULL if there is none. */
static StringInfo
export_trace(const pg_uuid_t *trace_id, bool json, MemoryContext work)
{
	int			level = fms_read_begin();
	MemoryContext old = MemoryContextSwitchTo(work);
	FmsOtlpEncoder *encoder = fms_otlp_encode_begin(json);
	StringInfo	request = NULL;
	Datum		values[1] = {UUIDPGetDatum(trace_id)};
	StringInfoData sql;
	Portal		cursor;

	MemoryContextSwitchTo(old);
	initStringInfo(&sql);
	appendStringInfoString(&sql, read_trace);
	fms_read_append_times(&sql, trace_id);
	appendStringInfoString(&sql, " ORDER BY s.started_at, s.span_id");
	cursor = fms_read_open(sql.data, 1, values);
	for (;;)
	{
		SPI_cursor_fetch(cursor, true, ROWS_AT_A_TIME);
		if (SPI_processed == 0)
			break;
		add_rows(encoder);
	}
	SPI_cursor_close(cursor);
	if (fms_otlp_encode_size(encoder) > 0)
		request = fms_otlp_encode_finish(encoder);
	fms_read_end(level);
	return request;
}

/* What a function returns: the request as a varlena, or NULL. */
static Datum
export_datum(FunctionCallInfo fcinfo, bool json)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "OTLP export",
											   ALLOCSET_DEFAULT_SIZES);
	StringInfo	request = export_trace(PG_GETARG_UUID_P(0), json, work);
	text	   *result;

	if (request == NULL)
	{
		MemoryContextDelete(work);
		PG_RETURN_NULL();
	}
	result = cstring_to_text_with_len(request->data, request->len);
	MemoryContextDelete(work);
	PG_RETURN_TEXT_P(result);
}

/* export_otlp(trace_id uuid) returns json */
Datum
fms_export_otlp(PG_FUNCTION_ARGS)
{
	return export_datum(fcinfo, true);
}

/* export_otlp_protobuf(trace_id uuid) returns bytea */
Datum
fms_export_otlp_protobuf(PG_FUNCTION_ARGS)
{
	return export_datum(fcinfo, false);
}
