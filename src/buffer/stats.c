/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  The counters of a database as a row.
 *
 * What belongs together, records made and acknowledged, is read under the slot's
 * lock; the counters are each right, but no snapshot of one moment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "buffer/tracked.h"

#define COLUMNS 24

PG_FUNCTION_INFO_V1(fms_buffer_stats);

/* The columns that are counters, in their order between pending and flush_time_ms. */
static const FmsCounter plain[] = {
	FMS_WRITTEN, FMS_UPDATED, FMS_COALESCED, FMS_WAITED, FMS_DROPPED, FMS_DAMAGED,
	FMS_TRUNCATED, FMS_REJECTED, FMS_DUPLICATE_ENDS, FMS_ORPHAN_ENDS, FMS_CLAMPED_ENDS, FMS_UNTRACKED,
	FMS_EVICTED, FMS_FLUSHES, FMS_FLUSH_ERRORS
};

/*
 * buffer_stats() returns record: one row; the number of a column here is its
 * place among the OUT arguments in buffer.sql, from 0.  Zeros before anything was recorded,
 * and if the library is not preloaded.
 */
Datum
fms_buffer_stats(PG_FUNCTION_ARGS)
{
	FmsSlot    *slot = fms_buffer_slot();
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {false};
	char		last_error[FMS_ERROR_BYTES];
	uint64		flushed;
	TupleDesc	desc;
	int			n = 3;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	nulls[19] = nulls[23] = true;
	if (slot == NULL)
	{
		values[18] = Float8GetDatum(0);
		return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
	}

	LWLockAcquire(slot->lock, LW_SHARED);
	flushed = pg_atomic_read_u64(&slot->flushed);
	values[0] = Int64GetDatum(slot->recorded);
	values[1] = Int64GetDatum(flushed);
	values[2] = Int64GetDatum(slot->recorded - flushed);
	strlcpy(last_error, slot->last_error, sizeof(last_error));
	values[21] = Int64GetDatum(slot->head - pg_atomic_read_u64(&slot->file_tail));
	values[22] = Int64GetDatum(slot->bytes);
	nulls[23] = slot->seat[FMS_SEAT_WRITER].pid == 0;
	values[23] = Int32GetDatum(slot->seat[FMS_SEAT_WRITER].pid);
	LWLockRelease(slot->lock);

	nulls[19] = last_error[0] == '\0';
	values[19] = CStringGetTextDatum(last_error);
	for (int i = 0; i < lengthof(plain); i++)
		values[n++] = Int64GetDatum(pg_atomic_read_u64(&slot->counter[plain[i]]));
	values[18] = Float8GetDatum(pg_atomic_read_u64(&slot->counter[FMS_FLUSH_TIME_US]) / 1000.0);
	values[20] = Int64GetDatum(fms_tracked_running(fms_buffer_table()));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
