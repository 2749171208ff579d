/*-------------------------------------------------------------------------
 *
 * upsert.h
 *	  Rows into execution_spans: the one write path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_UPSERT_H
#define FMS_TABLE_UPSERT_H

#include "table/fold.h"

/* how many rows a batch wrote, changed and refused */
typedef struct FmsApplied
{
	uint64		written;		/* rows with a start */
	uint64		updated;		/* rows without */
	uint64		clamped;		/* ends before a start that came later */
	uint64		rejected;		/* set aside by fms_reject_apply */
} FmsApplied;

extern void fms_upsert(FmsRow **rows, int count, FmsApplied *applied);

#endif							/* FMS_TABLE_UPSERT_H */
