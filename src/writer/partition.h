/*-------------------------------------------------------------------------
 *
 * partition.h
 *	  The partitions of execution_spans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WRITER_PARTITION_H
#define FMS_WRITER_PARTITION_H

#include "datatype/timestamp.h"

typedef enum FmsInterval
{
	FMS_INTERVAL_HOUR,
	FMS_INTERVAL_DAY,
	FMS_INTERVAL_WEEK,
	FMS_INTERVAL_MONTH
} FmsInterval;

extern int	fms_partition_interval; /* GUC, FmsInterval */
extern int	fms_retention;		/* GUC, minutes; 0: off */

extern Oid	fms_partition_for(TimestampTz at);
extern void fms_partition_make_ahead(void);
extern List *fms_partition_drop_old(void);

#endif							/* FMS_WRITER_PARTITION_H */
