/*-------------------------------------------------------------------------
 *
 * fold.c
 *	  The events of a batch, folded to one row for each span.
 *
 * The rules, here for a batch and in upsert.c's statement for what is in the
 * table: the first start gives the fields of a span, a later one only its
 * attributes; the first end gives the outcome, a later one nothing; attributes
 * merge in the order of recording, later keys win; events are appended.  A whole
 * span is a start and an end that are taken together: if the span has both, it
 * changes nothing, so that a batch can be sent again.
 *
 * Attributes and events are only collected here; fms_fold_merge makes one value
 * of them, all at once, for a span can have thousands.  That can fail (a value
 * that is nested too deeply, or becomes too large), and then it is the row's
 * fault: the writer calls it where a failing row can be set aside.
 *
 * Everything is allocated in the context that was current at the beginning.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "compat.h"
#include "span/jsonb.h"
#include "span/payload.h"
#include "table/fold.h"

/* attributes that one record brought; they lie in the event's bytes */
typedef struct Piece
{
	Jsonb	   *attributes;
	FmsOrigin	origin;
} Piece;

/* Begin an empty fold for about "room" spans, in the current context. */
void
fms_fold_begin(FmsFold *fold, int room)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(FmsRow);
	ctl.hcxt = CurrentMemoryContext;
	memset(fold, 0, sizeof(*fold));
	fold->index = hash_create("flowmaestro_spans fold", room, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	fold->room = room;
	fold->rows = palloc(sizeof(FmsRow *) * room);
}

/* The row of an event's span, made if this is its first event. */
static FmsRow *
row_of(FmsFold *fold, const FmsEvent *event)
{
	bool		found;
	FmsRow	   *row = hash_search(fold->index, &event->span_id, HASH_ENTER, &found);

	if (found)
		return row;
	memset((char *) row + sizeof(pg_uuid_t), 0, sizeof(FmsRow) - sizeof(pg_uuid_t));
	row->created_at = event->recorded_at;
	row->whole = true;
	if (fold->count == fold->room)
	{
		fold->room *= 2;
		fold->rows = repalloc(fold->rows, sizeof(FmsRow *) * fold->room);
	}
	fold->rows[fold->count++] = row;
	return row;
}

/* The jsonb of a part, or NULL. */
static Jsonb *
jsonb_part(const FmsEvent *event, FmsPartIndex part)
{
	return unconstify(Jsonb *, (const Jsonb *) event->part[part].data);
}

/* A start: its fields, if it is the first one. */
static void
add_start(FmsRow *row, const FmsEvent *event)
{
	if (row->has_start)
		return;
	row->has_start = true;
	row->likely_new = row->likely_new || (event->flags & FMS_IS_NEW) != 0;
	row->fresh = (event->flags & (FMS_CALLER_ID | FMS_ADOPT_STUB)) == 0;
	row->has_trace = true;
	row->trace_id = event->trace_id;
	row->has_parent = (event->flags & FMS_HAS_PARENT) != 0;
	row->parent_span_id = event->parent_span_id;
	row->started_at = event->at;
	row->name = event->part[FMS_PART_NAME];
	row->type = event->part[FMS_PART_TYPE];
	row->entity = event->part[FMS_PART_ENTITY];
	row->input = jsonb_part(event, FMS_PART_INPUT);
	row->links = jsonb_part(event, FMS_PART_LINKS);
	row->otlp = jsonb_part(event, FMS_PART_OTLP);
}

/* An end: the outcome, if it is the first one; false if it is not. */
static bool
add_end(FmsRow *row, const FmsEvent *event, TimestampTz ended_at)
{
	if (row->status != FMS_STATUS_STARTED)
		return false;
	row->status = event->status;
	row->ended_at = ended_at;
	row->output = jsonb_part(event, FMS_PART_OUTPUT);
	row->error = jsonb_part(event, FMS_PART_ERROR);
	return true;
}

/* Collect attributes; NULL are none. */
static void
add_attributes(FmsRow *row, Jsonb *attributes, FmsOrigin origin)
{
	Piece	   *piece;

	if (attributes == NULL)
		return;
	piece = palloc(sizeof(Piece));
	piece->attributes = attributes;
	piece->origin = origin;
	row->pieces = lappend(row->pieces, piece);
}

/* What a start or a whole span brings besides the fields that only the first one gives. */
static void
add_contents(FmsRow *row, const FmsEvent *event, FmsOrigin origin)
{
	Jsonb	   *events = jsonb_part(event, FMS_PART_EVENTS);

	add_attributes(row, jsonb_part(event, FMS_PART_CONTEXT), origin);
	add_attributes(row, jsonb_part(event, FMS_PART_ATTRIBUTES), origin);
	if (events != NULL)
		row->event_arrays = lappend(row->event_arrays, events);
}

/*
 * A whole span, or all of one that runs; false if its row had as much.  Such a
 * span that comes again brings its events again.
 */
static bool
add_whole(FmsRow *row, const FmsEvent *event)
{
	bool		ended = event->status != FMS_STATUS_STARTED;

	if (row->has_start && (row->status != FMS_STATUS_STARTED || !ended))
		return false;
	if (row->otlp != NULL && event->part[FMS_PART_EVENTS].data != NULL)
		row->event_arrays = NIL;
	row->likely_new = !row->has_start && (event->flags & (FMS_ADOPT_STUB | FMS_IS_KNOWN)) == 0;
	add_start(row, event);
	if (ended)
		(void) add_end(row, event, event->ended_at);
	row->has_whole = true;
	add_contents(row, event, FMS_ORIGIN_WHOLE);
	if (event->part[FMS_PART_LINKS].data != NULL)
		row->links = jsonb_part(event, FMS_PART_LINKS);
	if (event->part[FMS_PART_OTLP].data != NULL)
		row->otlp = jsonb_part(event, FMS_PART_OTLP);
	return true;
}

/* An event to be kept; its bytes stay where they are. */
static FmsEvent *
copy_event(const FmsEvent *event)
{
	FmsEvent   *copy = palloc(sizeof(FmsEvent));

	*copy = *event;
	return copy;
}

/* Fold one event in.  Its bytes must live as long as the fold. */
void
fms_fold_add(FmsFold *fold, const FmsEvent *event)
{
	FmsRow	   *row;
	Jsonb	   *attributes = jsonb_part(event, FMS_PART_ATTRIBUTES);

	if (event->kind == FMS_EVENT_RESOURCE || event->kind == FMS_EVENT_SCOPE)
	{
		fold->sources = lappend(fold->sources, copy_event(event));
		return;
	}
	row = row_of(fold, event);
	row->whole = row->whole && event->kind == FMS_EVENT_SPAN;
	if (event->flags & FMS_ADOPT_STUB)
		row->adopt_stub = true;
	if (event->flags & FMS_LOOK_UP)
		row->look_up = true;
	if ((event->flags & FMS_HAS_TRACE) && !row->has_trace)
	{
		row->has_trace = true;
		row->trace_id = event->trace_id;
		row->started_at = event->started_at;
	}
	switch ((FmsEventKind) event->kind)
	{
		case FMS_EVENT_START:
			add_start(row, event);
			add_contents(row, event, FMS_ORIGIN_PLAIN);
			return;
		case FMS_EVENT_SPAN:
			if (!add_whole(row, event))
				fold->duplicates++;
			return;
		case FMS_EVENT_END:
			if (!add_end(row, event, event->at))
			{
				fold->duplicates++;
				return;
			}
			row->end_has_attributes = attributes != NULL;
			add_attributes(row, attributes, FMS_ORIGIN_END);
			return;
		case FMS_EVENT_ATTRIBUTES:
			add_attributes(row, attributes, FMS_ORIGIN_PLAIN);
			return;
		case FMS_EVENT_EVENT:
			row->new_events = lappend(row->new_events, copy_event(event));
			return;
		default:
			return;
	}
}

/*
 * The attributes of some origins merged in their order, later keys win, as
 * pairwise || would have it.  An object under construction takes keys again and
 * keeps the last of each: one sort for all.  NULL if there are none.
 */
static Jsonb *
merge_pieces(List *pieces, int origins)
{
	FmsJsonbState state = {0};
	Jsonb	   *only = NULL;
	int			count = 0;
	ListCell   *cell;

	foreach(cell, pieces)
	{
		Piece	   *piece = lfirst(cell);

		if ((piece->origin & origins) == 0)
			continue;
		if (count == 1)
		{
			fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
			fms_jsonb_contents(&state, only);
		}
		if (count++ > 0)
			fms_jsonb_contents(&state, piece->attributes);
		only = piece->attributes;
	}
	if (count < 2)
		return only;
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/* The elements of some arrays and the events that came one by one, as an array; NULL if none. */
static Jsonb *
merge_events(List *arrays, List *events)
{
	FmsJsonbState state = {0};
	ListCell   *cell;

	if (events == NIL && list_length(arrays) < 2)
		return arrays == NIL ? NULL : linitial(arrays);
	fms_jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, arrays)
		fms_jsonb_contents(&state, lfirst(cell));
	foreach(cell, events)
	{
		Jsonb	   *event = fms_payload_event(lfirst(cell));
		JsonbValue	value;

		CHECK_FOR_INTERRUPTS();
		fms_jsonb_set(&value, event);
		fms_jsonb_push(&state, WJB_ELEM, &value);
	}
	return fms_jsonb_end(&state, WJB_END_ARRAY);
}

/*
 * Merge the attributes and the events of a row, once; in the current memory
 * context, which has to live as long as the row.  Throws what jsonb throws.
 */
void
fms_fold_merge(FmsRow *row)
{
	if (row->merged)
		return;
	row->attributes = merge_pieces(row->pieces, FMS_ORIGIN_PLAIN | FMS_ORIGIN_END | FMS_ORIGIN_WHOLE);
	if (row->end_has_attributes)
		row->unended_attributes = merge_pieces(row->pieces, FMS_ORIGIN_PLAIN | FMS_ORIGIN_WHOLE);
	row->events = merge_events(row->event_arrays, row->new_events);
	/* a row of whole spans alone is never without them */
	if (row->has_whole && !row->whole)
	{
		row->rest_attributes = merge_pieces(row->pieces, FMS_ORIGIN_PLAIN);
		row->rest_events = merge_events(NIL, row->new_events);
	}
	row->merged = true;
}

/* Complete the rows when all events are in. */
void
fms_fold_finish(FmsFold *fold)
{
	for (int i = 0; i < fold->count; i++)
	{
		FmsRow	   *row = fold->rows[i];

		if (row->status != FMS_STATUS_STARTED && row->has_trace && row->ended_at < row->started_at)
		{
			row->ended_at = row->started_at;
			fold->clamped++;
		}
	}
}
