/*-------------------------------------------------------------------------
 *
 * calls.h
 *	  What the recording functions of SQL have in common.
 *
 * For the files of this room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_RECORD_CALLS_H
#define FMS_RECORD_CALLS_H

#include "fmgr.h"

#include "span/event.h"

extern void fms_span_start(FunctionCallInfo fcinfo, FmsEvent *event);
extern bool fms_span_end(FunctionCallInfo fcinfo, const pg_uuid_t *span_id, int first);
extern Datum fms_span_datum(FunctionCallInfo fcinfo, FmsEvent *event);

#endif							/* FMS_RECORD_CALLS_H */
