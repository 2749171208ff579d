/*-------------------------------------------------------------------------
 *
 * place.h
 *	  Which partition of execution_spans a time belongs into.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_PLACE_H
#define FMS_TABLE_PLACE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

#define FMS_LATER_NAME "execution_spans_later"
#define FMS_OLDER_NAME "execution_spans_older"

typedef enum FmsInterval
{
	FMS_INTERVAL_HOUR,
	FMS_INTERVAL_DAY,
	FMS_INTERVAL_WEEK,
	FMS_INTERVAL_MONTH,
	FMS_INTERVAL_YEAR,			/* of an import only */
	FMS_INTERVAL_EVER			/* of an import only: all that is free */
} FmsInterval;

/* A stretch of time, "until" not included; DT_NOBEGIN and DT_NOEND: no bound. */
typedef struct FmsStretch
{
	TimestampTz from;
	TimestampTz until;
} FmsStretch;

typedef enum FmsPlaceKind
{
	FMS_PLACE_INTERVAL,			/* one interval, or what is free of it */
	FMS_PLACE_OLDER,			/* all that is free before the near times */
	FMS_PLACE_LATER				/* the default partition of ours */
} FmsPlaceKind;

typedef struct FmsPlace
{
	Oid			partition;		/* takes a row of the time now; InvalidOid:
								 * none does */
	bool		missing;		/* a partition is to be made for the time */
	FmsPlaceKind kind;			/* of the partition to be made */
	FmsStretch	stretch;		/* of that one; if none is missing, what is
								 * covered or, in a default partition, free
								 * around the time */
	Oid			later;			/* the default partition of ours, or
								 * InvalidOid */
} FmsPlace;

/* a partition and the times that it holds */
typedef struct FmsPartition
{
	Oid			oid;
	TimestampTz from;
	TimestampTz until;
} FmsPartition;

extern int	fms_partition_interval; /* GUC, FmsInterval */
extern int	fms_late_partitions;	/* GUC, intervals */

extern FmsStretch fms_place_stretch(TimestampTz at, FmsInterval interval);
extern bool fms_place_is_later(Oid partition);
extern List *fms_place_between(Relation parent, TimestampTz from, TimestampTz until);
extern void fms_place_define_settings(void);
extern FmsPlace fms_place_of(TimestampTz at);
extern FmsPlace fms_place_interval(TimestampTz at);
extern FmsPlace fms_place_imported(TimestampTz at, FmsInterval unit);

#endif							/* FMS_TABLE_PLACE_H */
