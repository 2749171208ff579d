/*-------------------------------------------------------------------------
 *
 * trace.h
 *	  What the functions of this room share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_TRACE_H
#define FMS_TRACE_TRACE_H

#include "trace/tree.h"

extern MemoryContext fms_trace_enter(void);
extern void fms_trace_leave(MemoryContext work);
extern FmsTree *fms_trace_tree(const pg_uuid_t *trace_id);

#endif							/* FMS_TRACE_TRACE_H */
