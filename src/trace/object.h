/*-------------------------------------------------------------------------
 *
 * object.h
 *	  Spans as JSON objects.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_OBJECT_H
#define FMS_TRACE_OBJECT_H

#include "access/htup.h"

#include "span/jsonb.h"

/* the columns that a row must begin with, in this order; alias s */
#define FMS_OBJECT_COLUMNS \
	"s.trace_id, s.span_id, s.parent_span_id, s.name, s.span_type, s.entity_id, " \
	"s.started_at, s.ended_at, s.duration_ms, s.status, s.input, s.output, s.error, " \
	"s.attributes, s.created_at, s.events, s.links"

/* numbers of some of them */
#define FMS_OBJECT_TRACE_ID 1
#define FMS_OBJECT_PARENT 3
#define FMS_OBJECT_STARTED_AT 7
#define FMS_OBJECT_ENDED_AT 8
#define FMS_OBJECT_DURATION 9
#define FMS_OBJECT_STATUS 10
#define FMS_OBJECT_COUNT 17

extern void fms_object_push(FmsJsonbState *state, HeapTuple row, TupleDesc desc);

#endif							/* FMS_TRACE_OBJECT_H */
