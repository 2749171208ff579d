/*-------------------------------------------------------------------------
 *
 * partition.h
 *	  Making partitions of execution_spans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_PARTITION_H
#define FMS_TABLE_PARTITION_H

#include "table/place.h"
#include "table/retention.h"

extern void fms_partition_make(TimestampTz at, bool bounded);
extern bool fms_partition_is_changing(void);
extern uint64 fms_partition_run(const char *sql);
extern char *fms_partition_time(TimestampTz at);

#endif							/* FMS_TABLE_PARTITION_H */
