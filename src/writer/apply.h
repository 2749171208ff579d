/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  Rows into execution_spans: the one write path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WRITER_APPLY_H
#define FMS_WRITER_APPLY_H

#include "writer/fold.h"

/* how many rows a batch wrote, changed and refused */
typedef struct FmsApplied
{
	uint64		written;		/* rows with a start */
	uint64		updated;		/* rows without */
	uint64		clamped;		/* ends before a start that came later */
	uint64		rejected;		/* set aside by fms_reject_apply */
} FmsApplied;

/* wait for a partition that somebody has locked, as any statement does */
extern bool fms_apply_waits;

extern void fms_apply(FmsRow **rows, int count, FmsApplied *applied);

#endif							/* FMS_WRITER_APPLY_H */
