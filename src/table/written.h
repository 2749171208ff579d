/*-------------------------------------------------------------------------
 *
 * written.h
 *	  What spans are after their rows were written, and who is told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_WRITTEN_H
#define FMS_TABLE_WRITTEN_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/jsonb.h"

#include "span/event.h"

/* What a span is after a row of it was written. */
typedef struct FmsSpanState
{
	pg_uuid_t	trace_id;
	pg_uuid_t	span_id;
	pg_uuid_t	parent_span_id;
	bool		has_parent;
	bool		arrived;		/* its start was written */
	bool		fresh;			/* nothing of it was there before */
	bool		finishes;		/* this write made it a span with start and
								 * end */
	bool		model_call;
	FmsStatus	status;
	TimestampTz started_at;
	TimestampTz ended_at;		/* if status is not started */
	FmsPart		type;			/* this and what follows: of model calls only */
	FmsPart		entity;
	Jsonb	   *attributes;
} FmsSpanState;

/*
 * The columns of a row "s" of execution_spans that make an FmsSpanState.  Only
 * model calls come with their attributes, and only under a condition.
 */
#define FMS_WRITTEN_COLUMNS(condition) \
	"s.trace_id, s.span_id, s.parent_span_id, s.span_type, s.entity_id, s.started_at, s.ended_at, " \
	"s.status, CASE WHEN " condition "s.span_type OPERATOR(pg_catalog.=) " \
	"ANY ('{model_generation,embedding_generation}') THEN s.attributes END"
#define FMS_WRITTEN_COLUMN_COUNT 9

/*
 * Called in the (sub)transaction that wrote the rows: what it throws undoes them.
 * Not connected to SPI.
 */
typedef void (*FmsWrittenObserver) (const FmsSpanState *spans, int count);

extern void fms_written_observe(FmsWrittenObserver observer);
extern void fms_written_tell(const FmsSpanState *spans, int count);
extern void fms_written_read(HeapTuple tuple, TupleDesc desc, FmsSpanState *span);

#endif							/* FMS_TABLE_WRITTEN_H */
