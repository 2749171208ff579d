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

/* what brought attributes; bits, so that some can be chosen */
typedef enum FmsOrigin
{
	FMS_ORIGIN_PLAIN = 0x01,	/* a start, or attributes */
	FMS_ORIGIN_END = 0x02,
	FMS_ORIGIN_WHOLE = 0x04
} FmsOrigin;

/*
 * What a batch knows of a span.  Texts and jsonb point into the events' bytes
 * or into the memory context of the fold.  The merged values are there once
 * fms_fold_merge was called.
 */
typedef struct FmsRow
{
	pg_uuid_t	span_id;		/* hash key */
	bool		has_start;
	bool		has_trace;		/* trace_id and started_at are known */
	bool		has_parent;
	bool		no_start;		/* started_at is a stand-in */
	bool		look_up;		/* the table may have a row of it that nobody
								 * looked for */
	bool		adopt_stub;		/* a stub may lie in the table under its own
								 * id */
	bool		fresh;			/* its start made its id: the table has no row
								 * of it */
	bool		likely_new;		/* nobody knows a row of the span */
	bool		whole;			/* only whole spans came: an ended row is not
								 * changed */
	bool		has_whole;		/* a whole span came, perhaps among others */
	FmsStatus	status;
	pg_uuid_t	trace_id;
	pg_uuid_t	parent_span_id;
	TimestampTz started_at;
	TimestampTz ended_at;		/* if status is not started */
	TimestampTz created_at;
	FmsPart		name;
	FmsPart		type;
	FmsPart		entity;
	Jsonb	   *input;
	Jsonb	   *output;
	Jsonb	   *error;
	Jsonb	   *attributes;		/* merged */
	Jsonb	   *unended_attributes; /* merged: the same without the end's */
	bool		end_has_attributes; /* the two differ */
	Jsonb	   *rest_attributes;	/* merged: without a whole span's and the
									 * end's */
	Jsonb	   *rest_events;	/* merged: without a whole span's */
	Jsonb	   *events;			/* merged: array */
	Jsonb	   *links;			/* array */
	Jsonb	   *otlp;
	List	   *pieces;			/* of attributes, in the order of recording */
	List	   *event_arrays;	/* of Jsonb: what starts and whole spans
								 * brought */
	List	   *new_events;		/* of FmsEvent: events that came one by one */
	bool		merged;			/* these three are in the merged values */
	Oid			partition;		/* set by upsert.c */
	bool		locked;			/* upsert.c or reject.c found it or its
								 * partition locked */
	struct FmsRow *origin;		/* of a completed copy: the row itself */
	struct ErrorData *refusal;	/* why the table refused it; set by reject.c */
} FmsRow;

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
extern void fms_fold_merge(FmsRow *row);

#endif							/* FMS_TABLE_FOLD_H */
