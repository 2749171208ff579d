/*-------------------------------------------------------------------------
 *
 * export_stats.c
 *	  How the export of a database goes, as a row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"

#define COLUMNS 10

PG_FUNCTION_INFO_V1(fms_otlp_export_stats);

/* The columns that are counters, the first ones, in their order. */
static const FmsCounter plain[] = {
	FMS_EXPORT_SENT, FMS_EXPORT_REJECTED, FMS_EXPORT_REFUSED, FMS_EXPORT_GONE,
	FMS_EXPORT_REQUESTS, FMS_EXPORT_FAILURES
};

/*
 * otlp_export_stats() returns record: one row; zeros if nothing was exported,
 * and if the library is not preloaded.
 */
Datum
fms_otlp_export_stats(PG_FUNCTION_ARGS)
{
	FmsSlot    *slot = fms_buffer_slot();
	FmsExport	export = {0};
	int			pid = 0;
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {false};
	TupleDesc	desc;
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (slot != NULL)
	{
		LWLockAcquire(slot->lock, LW_SHARED);
		export = slot->export;
		pid = slot->seat[FMS_SEAT_EXPORTER].pid;
		LWLockRelease(slot->lock);
	}
	for (int i = 0; i < lengthof(plain); i++)
		values[n++] = Int64GetDatum(slot == NULL ? 0 :
									pg_atomic_read_u64(&slot->counter[plain[i]]));
	nulls[n] = export.succeeded_at == 0;
	values[n++] = TimestampTzGetDatum(export.succeeded_at);
	nulls[n] = export.failed_at == 0;
	values[n++] = TimestampTzGetDatum(export.failed_at);
	nulls[n] = export.last_error[0] == '\0';
	values[n++] = CStringGetTextDatum(export.last_error);
	nulls[n] = pid == 0;
	values[n++] = Int32GetDatum(pid);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
