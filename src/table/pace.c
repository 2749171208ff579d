/*-------------------------------------------------------------------------
 *
 * pace.c
 *	  How many records the writer takes at once.
 *
 * Mostly FMS_BATCH_RECORDS, or all there are.  Fewer in three cases:
 *
 * - A batch took long.  Room in the ring becomes free batch by batch, and calls
 *   wait for it.
 * - The server lacks memory or locks (class 53, but for a full disk) for the
 *   same batch again and again.  Then the batch may need more than the server
 *   has.  Halves of it need less, and if in the end one record fails alone it is
 *   that record which is set aside.  Full disks are no record's fault: the
 *   writer waits.
 * - Somebody cancels the writer's statement.  A smaller batch has a better
 *   chance to be done before the next cancel.
 *
 * Memory of the process; nothing here allocates or fails.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "limit.h"
#include "table/pace.h"

#define SLOW_US 250000			/* after this a batch is halved */
#define QUICK_US 100000			/* before this it is doubled */
#define LEAST_SLOW FMS_LIMIT(100, 1)	/* records: a slow batch is not made
										 * smaller */
#define TRIES 3					/* of the same batch, or of one record,
								 * without its halves */

/* the batch that is under way or was the last one */
typedef struct Attempt
{
	uint64		position;
	uint64		end;
	uint64		records;
} Attempt;

static Attempt attempt = {0};
static uint64 limit = FMS_BATCH_RECORDS;
static uint64 suspect_end = 0;	/* what failed lies before this position */
static uint64 failed_position = 0;	/* of the attempt that failed last */
static int	failures = 0;		/* for want of resources, at that position and
								 * size */

/* How many records the next batch can have. */
uint64
fms_pace_records(void)
{
	return limit;
}

/* A batch of records between two positions of the ring begins. */
void
fms_pace_begin(uint64 position, uint64 end, uint64 records)
{
	attempt.position = position;
	attempt.end = end;
	attempt.records = records;
}

/*
 * That batch is committed, after some microseconds.  Once all that failed with
 * it is written or set aside, batches grow again.
 */
void
fms_pace_done(int64 us)
{
	failures = 0;
	if (attempt.end < suspect_end)
		return;
	suspect_end = 0;
	if (us > SLOW_US && attempt.records > LEAST_SLOW)
		limit = Max(attempt.records / 2, LEAST_SLOW);
	else if (us < QUICK_US)
		limit = Min(limit * 2, FMS_BATCH_RECORDS);
}

/* Whether an error tells that the server lacks something of which a batch may need too much. */
bool
fms_pace_is_shortage(int sqlerrcode)
{
	return sqlerrcode != ERRCODE_DISK_FULL &&
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES);
}

/* Take half of what the last batch had. */
static void
halve(void)
{
	limit = Max(attempt.records / 2, 1);
	suspect_end = attempt.end;
}

/*
 * That batch failed.  Returns whether the next try is of another size, so that
 * there is no reason to wait longer before it than before this one.
 */
bool
fms_pace_failed(int sqlerrcode)
{
	bool		narrowed = suspect_end != 0 && attempt.records > 1;

	if (sqlerrcode == ERRCODE_QUERY_CANCELED)
	{
		limit = Max(attempt.records / 2, 1);
		return true;
	}
	if (!fms_pace_is_shortage(sqlerrcode))
		return false;
	if (failed_position != attempt.position)
		failures = 0;
	failed_position = attempt.position;
	failures++;
	if (attempt.records <= 1 || (failures < TRIES && !narrowed))
		return false;
	failures = 0;
	halve();
	return true;
}

/* What can be done with what the batch under way has, if it fails for want of resources. */
FmsResort
fms_pace_resort(void)
{
	if (attempt.records != 1 || failed_position != attempt.position || failures < TRIES)
		return FMS_RESORT_WAIT;
	return failures < 2 * TRIES ? FMS_RESORT_SET_ASIDE : FMS_RESORT_DROP;
}
