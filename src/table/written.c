/*-------------------------------------------------------------------------
 *
 * written.c
 *	  What spans are after their rows were written, and who is told.
 *
 * The write path does not know who counts spans or sends them on.  Whoever wants
 * to know what was written registers an observer when the library is loaded; they
 * are called in the order of registration.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/builtins.h"

#include "compat.h"
#include "span/names.h"
#include "table/owner.h"
#include "table/written.h"

#define OBSERVERS 4

static FmsWrittenObserver observers[OBSERVERS];
static int	observer_count = 0;

/* Have an observer told of what is written; when the library is loaded. */
void
fms_written_observe(FmsWrittenObserver observer)
{
	Assert(observer_count < OBSERVERS);
	observers[observer_count++] = observer;
}

/* Tell the observers what spans are after their rows were written. */
void
fms_written_tell(const FmsSpanState *spans, int count)
{
	for (int i = 0; i < observer_count; i++)
		observers[i] (spans, count);
}

/*
 * A span from a row of FMS_WRITTEN_COLUMNS, copied to the current memory context.
 * Attributes are NULL if the statement left them out, which it does for spans
 * that are no model calls: they can be large, and nobody reads them.
 */
void
fms_written_read(HeapTuple tuple, TupleDesc desc, FmsSpanState *span)
{
	Datum		values[FMS_WRITTEN_COLUMN_COUNT + 1];	/* a caller can have one
														 * of its own */
	bool		nulls[FMS_WRITTEN_COLUMN_COUNT + 1];

	memset(span, 0, sizeof(*span));
	heap_deform_tuple(tuple, desc, values, nulls);
	span->trace_id = *DatumGetUUIDP(values[0]);
	span->span_id = *DatumGetUUIDP(values[1]);
	span->has_parent = !nulls[2];
	if (span->has_parent)
		span->parent_span_id = *DatumGetUUIDP(values[2]);
	span->type = fms_table_part(values[3], nulls[3]);
	span->entity = fms_table_part(values[4], nulls[4]);
	span->started_at = DatumGetTimestampTz(values[5]);
	span->ended_at = nulls[6] ? 0 : DatumGetTimestampTz(values[6]);
	span->status = fms_table_parse_status(TextDatumGetCString(values[7]));
	span->arrived = true;
	span->model_call = fms_names_is_model_call(span->type.data, span->type.length);
	if (!nulls[8])
		span->attributes = (Jsonb *) PG_DETOAST_DATUM_COPY(values[8]);
}
