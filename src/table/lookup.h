/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  Rows of execution_spans by an id alone, in as few partitions as can be.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_LOOKUP_H
#define FMS_TABLE_LOOKUP_H

#include "nodes/pg_list.h"

#include "span/event.h"
#include "table/peek.h"

/* rows from one time on and before another one */
typedef struct FmsExtent
{
	pg_uuid_t	trace_id;		/* that they may have */
	TimestampTz from;
	TimestampTz until;
} FmsExtent;

extern void fms_lookup_begin_batch(void);
extern FmsLook fms_lookup_span(const pg_uuid_t *span_id, bool wait, FmsSpanRef *ref);
extern FmsLook fms_lookup_stub(const pg_uuid_t *span_id, bool wait, Oid *partition);
extern FmsLook fms_lookup_running(const pg_uuid_t *trace_id, bool wait, pg_uuid_t **spans,
								  int *count);
extern bool fms_lookup_row(const pg_uuid_t *trace_id, const pg_uuid_t *span_id, TimestampTz from,
						   TimestampTz until, Snapshot snapshot);
extern bool fms_lookup_is_uncommitted(Oid partition, const pg_uuid_t *trace_id,
									  const pg_uuid_t *span_id);
extern List *fms_lookup_trace_stretches(const pg_uuid_t *trace_id);
extern List *fms_lookup_span_stretches(const pg_uuid_t *span_id);

#endif							/* FMS_TABLE_LOOKUP_H */
