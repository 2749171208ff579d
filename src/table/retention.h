/*-------------------------------------------------------------------------
 *
 * retention.h
 *	  Dropping partitions of execution_spans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_RETENTION_H
#define FMS_TABLE_RETENTION_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

extern int	fms_retention;		/* GUC, minutes; 0: off */

extern void fms_retention_define_settings(void);
extern List *fms_retention_apply(int most, bool *more);
extern bool fms_retention_forget_ids(void);

#endif							/* FMS_TABLE_RETENTION_H */
