/*-------------------------------------------------------------------------
 *
 * fold.h
 *	  The events of a batch, folded to one row for each span.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_FOLD_H
#define FMS_TABLE_FOLD_H

#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"

#include "span/event.h"

/* what brought something; bits, so that some can be left out */
typedef enum FmsOrigin
{
	FMS_ORIGIN_PLAIN = 0x01,	/* a start, attributes, an event */
	FMS_ORIGIN_END = 0x02,
	FMS_ORIGIN_WHOLE = 0x04
} FmsOrigin;

/* attributes, or an array of events, that one record brought, or the table had */
typedef struct FmsPiece
{
	Jsonb	   *value;			/* can be as it is stored: see DatumGetJsonbP */
	FmsOrigin	origin;
} FmsPiece;

/*
 * What is known of a span: from one event, from the events of a batch, from its
 * row in the table.  Texts and jsonb point into the events' bytes or into the
 * memory context of the fold.  The merged values are there once fms_fold_merge
 * was called.
 */
typedef struct FmsRow
{
	pg_uuid_t	span_id;		/* hash key */
	bool		has_start;
	bool		has_trace;		/* trace_id and started_at are known */
	bool		has_parent;
	bool		has_duration;
	bool		no_start;		/* started_at is a stand-in */
	bool		look_up;		/* the table may have a row of it that nobody
								 * looked for */
	bool		adopt_stub;		/* a stub may lie in the table under its own
								 * id */
	bool		fresh;			/* its start made its id: the table has no row
								 * of it */
	bool		likely_new;		/* nobody knows a row of the span */
	int			origins;		/* of all that came; of FmsOrigin */
	FmsStatus	status;
	pg_uuid_t	trace_id;
	pg_uuid_t	parent_span_id;
	TimestampTz started_at;
	TimestampTz ended_at;		/* if status is not started */
	TimestampTz created_at;
	double		duration_ms;
	FmsPart		name;
	FmsPart		type;
	FmsPart		entity;
	Jsonb	   *input;
	Jsonb	   *output;
	Jsonb	   *error;
	Jsonb	   *links;			/* array */
	Jsonb	   *otlp;
	List	   *pieces;			/* of FmsPiece: attributes, as recorded */
	List	   *event_arrays;	/* of FmsPiece */
	List	   *new_events;		/* of FmsEvent: events that came one by one */
	bool		merged;			/* these three are in the merged values */
	Jsonb	   *attributes;		/* merged */
	Jsonb	   *events;			/* merged: array */
	Oid			partition;		/* set by upsert.c */
	bool		locked;			/* upsert.c or reject.c found it or its
								 * partition locked */
	struct FmsRow *origin;		/* of a completed copy: the row itself */
	struct ErrorData *refusal;	/* why the table refused it; set by reject.c */
} FmsRow;

/* what a row took of another one that came after it; bits */
typedef enum FmsTake
{
	FMS_TAKE_START = 0x01,
	FMS_TAKE_OUTCOME = 0x02,
	FMS_TAKE_CONTENTS = 0x04,	/* attributes, events */
	FMS_TAKE_NOT_AGAIN = 0x08	/* left out: an end or a whole span again */
} FmsTake;

typedef struct FmsFold
{
	HTAB	   *index;
	FmsRow	  **rows;			/* in the order of their first events */
	int			count;
	int			room;
	List	   *sources;		/* of FmsEvent: resources and scopes */
	int			clamped;		/* ends before their start */
	int			duplicates;		/* ends after an end */
} FmsFold;

extern void fms_fold_begin(FmsFold *fold, int room);
extern void fms_fold_add(FmsFold *fold, const FmsEvent *event);
extern void fms_fold_finish(FmsFold *fold);
extern int	fms_fold_onto(FmsRow *row, const FmsRow *later);
extern bool fms_fold_is_mixed(const FmsRow *row);
extern bool fms_fold_settle(FmsRow *row);
extern void fms_fold_merge(FmsRow *row);
extern void fms_fold_tell(FmsRow *row, Jsonb *attributes, Jsonb *events);

#endif							/* FMS_TABLE_FOLD_H */
