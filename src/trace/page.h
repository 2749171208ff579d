/*-------------------------------------------------------------------------
 *
 * page.h
 *	  What functions that return pages share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_PAGE_H
#define FMS_TRACE_PAGE_H

#include "nodes/execnodes.h"

#include "trace/search.h"

extern void fms_page_put_rest(ReturnSetInfo *result, const FmsPosition *after);

#endif							/* FMS_TRACE_PAGE_H */
