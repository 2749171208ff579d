/*-------------------------------------------------------------------------
 *
 * critical.h
 *	  The critical path of a trace.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_CRITICAL_H
#define FMS_TRACE_CRITICAL_H

#include "trace/tree.h"

/* a part of the path that belongs to one span */
typedef struct FmsPathStretch
{
	int			span;
	TimestampTz from;
	TimestampTz until;
} FmsPathStretch;

extern FmsPathStretch *fms_critical_path(FmsTree *tree, int *count);

#endif							/* FMS_TRACE_CRITICAL_H */
