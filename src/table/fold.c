/*-------------------------------------------------------------------------
 *
 * fold.c
 *	  What is known of a span, folded to one row.
 *
 * The rules of a span are fms_fold_onto(), whatever is folded: each event of a
 * batch onto the row of its span, and that row onto what the table has.  The first
 * start gives the fields of a span, a later one only its attributes; the first end
 * gives the outcome, a later one nothing; attributes merge in the order of
 * recording, later keys win; events are appended.  A whole span is a start and an
 * end that are taken together: if the span has both, it changes nothing, so that a
 * batch can be sent again.
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

/* The jsonb of a part, or NULL. */
static Jsonb *
jsonb_part(const FmsEvent *event, FmsPartIndex part)
{
	return unconstify(Jsonb *, (const Jsonb *) event->part[part].data);
}

/* Add a piece to a list; a value that is NULL is none. */
static List *
add_piece(List *pieces, Jsonb *value, FmsOrigin origin)
{
	FmsPiece   *piece;

	if (value == NULL)
		return pieces;
	piece = palloc(sizeof(FmsPiece));
	piece->value = value;
	piece->origin = origin;
	return lappend(pieces, piece);
}

/*
 * Give a row that was read from a table its attributes and its events, when its
 * fields are there.  A row of OTLP has those of a whole span, which can come
 * again.  What an end brought is not told from what came before it: without a
 * start, it all counts as the end's.
 */
void
fms_fold_tell(FmsRow *row, Jsonb *attributes, Jsonb *events)
{
	FmsOrigin	origin = row->otlp != NULL ? FMS_ORIGIN_WHOLE : FMS_ORIGIN_PLAIN;

	row->event_arrays = add_piece(NIL, events, origin);
	row->origins = origin;
	if (!row->has_start && row->status != FMS_STATUS_STARTED)
		row->origins = origin = FMS_ORIGIN_END;
	row->pieces = add_piece(NIL, attributes, origin);
}

/* Take the fields of a start. */
static void
take_start(FmsRow *row, const FmsRow *later)
{
	row->has_start = true;
	row->has_trace = true;
	row->no_start = false;
	row->fresh = later->fresh;
	row->likely_new |= later->likely_new;
	row->trace_id = later->trace_id;
	row->started_at = later->started_at;
	row->has_parent = later->has_parent;
	row->parent_span_id = later->parent_span_id;
	row->name = later->name;
	row->type = later->type;
	row->entity = later->entity;
	row->input = later->input;
	row->links = later->links;
	row->otlp = later->otlp;
}

/* Take what only whole spans bring; the events of an earlier one come again. */
static void
take_whole(FmsRow *row, const FmsRow *later)
{
	ListCell   *cell;

	if (row->otlp != NULL && later->event_arrays != NIL)
	{
		foreach(cell, row->event_arrays)
		{
			if (((FmsPiece *) lfirst(cell))->origin == FMS_ORIGIN_WHOLE)
				row->event_arrays = foreach_delete_current(row->event_arrays, cell);
		}
	}
	if (later->links != NULL)
		row->links = later->links;
	if (later->otlp != NULL)
		row->otlp = later->otlp;
}

/* Whether a whole span came with other records of its span: it may be in the table. */
bool
fms_fold_is_mixed(const FmsRow *row)
{
	return (row->origins & FMS_ORIGIN_WHOLE) != 0 && row->origins != FMS_ORIGIN_WHOLE;
}

/* Append the pieces of a list to another one, but for those of some origins. */
static List *
append_pieces(List *pieces, const List *later, int left_out)
{
	ListCell   *cell;

	foreach(cell, later)
	{
		FmsPiece   *piece = lfirst(cell);

		if ((piece->origin & left_out) == 0)
			pieces = lappend(pieces, piece);
	}
	return pieces;
}

/* Whether pieces of a list, but for those of some origins, have something in them. */
static bool
has_contents(const List *pieces, int left_out)
{
	ListCell   *cell;

	foreach(cell, pieces)
	{
		FmsPiece   *piece = lfirst(cell);

		if ((piece->origin & left_out) == 0 && JB_ROOT_COUNT(piece->value) > 0)
			return true;
	}
	return false;
}

/*
 * Fold a row onto what is known already: the rules of a span.  "later" stays as it
 * is, and its values must live as long as the row.  Returns what the row took, of
 * FmsTake.
 */
int
fms_fold_onto(FmsRow *row, const FmsRow *later)
{
	bool		ended = row->status != FMS_STATUS_STARTED;
	bool		ends = later->status != FMS_STATUS_STARTED;
	int			left_out = ended ? FMS_ORIGIN_END : 0;
	int			take = 0;

	if (row->has_start && (ended || !ends))
		left_out |= FMS_ORIGIN_WHOLE;
	if (later->origins & left_out)
		take |= FMS_TAKE_NOT_AGAIN;
	if (later->has_start && !row->has_start)
	{
		take_start(row, later);
		take |= FMS_TAKE_START;
	}
	else if (later->has_trace && !row->has_trace)
	{
		row->has_trace = true;
		row->no_start = later->no_start;
		row->trace_id = later->trace_id;
		row->started_at = later->started_at;
	}
	if (ends && !ended)
	{
		row->status = later->status;
		row->ended_at = later->ended_at;
		row->output = later->output;
		row->error = later->error;
		take |= FMS_TAKE_OUTCOME;
	}
	if (later->origins & FMS_ORIGIN_WHOLE & ~left_out)
		take_whole(row, later);
	if (later->new_events != NIL || has_contents(later->pieces, left_out) ||
		has_contents(later->event_arrays, left_out))
		take |= FMS_TAKE_CONTENTS;
	row->pieces = append_pieces(row->pieces, later->pieces, left_out);
	row->event_arrays = append_pieces(row->event_arrays, later->event_arrays, left_out);
	row->new_events = list_concat(row->new_events, later->new_events);
	row->origins |= later->origins;
	row->look_up |= later->look_up;
	row->adopt_stub |= later->adopt_stub;
	return take;
}

/*
 * Settle the times of a row when all of it is there: an end before the start
 * becomes the start, and the duration follows.  Returns whether the end changed.
 */
bool
fms_fold_settle(FmsRow *row)
{
	bool		clamped;

	row->has_duration = row->status != FMS_STATUS_STARTED && row->has_trace && !row->no_start;
	if (!row->has_duration)
		return false;
	clamped = row->ended_at < row->started_at;
	if (clamped)
		row->ended_at = row->started_at;
	row->duration_ms = (row->ended_at - row->started_at) / 1000.0;
	return clamped;
}

/* An event to be kept; its bytes stay where they are. */
static FmsEvent *
copy_event(const FmsEvent *event)
{
	FmsEvent   *copy = palloc(sizeof(FmsEvent));

	*copy = *event;
	return copy;
}

/* What a start, or a whole span, tells of its span. */
static void
tell_start(FmsRow *row, const FmsEvent *event, FmsOrigin origin)
{
	row->has_start = true;
	row->has_trace = true;
	row->trace_id = event->trace_id;
	row->started_at = event->at;
	row->has_parent = (event->flags & FMS_HAS_PARENT) != 0;
	row->parent_span_id = event->parent_span_id;
	row->fresh = (event->flags & (FMS_CALLER_ID | FMS_ADOPT_STUB)) == 0;
	row->name = event->part[FMS_PART_NAME];
	row->type = event->part[FMS_PART_TYPE];
	row->entity = event->part[FMS_PART_ENTITY];
	row->input = jsonb_part(event, FMS_PART_INPUT);
	row->links = jsonb_part(event, FMS_PART_LINKS);
	row->otlp = jsonb_part(event, FMS_PART_OTLP);
	row->pieces = add_piece(NIL, jsonb_part(event, FMS_PART_CONTEXT), origin);
	row->event_arrays = add_piece(NIL, jsonb_part(event, FMS_PART_EVENTS), origin);
}

/* What an end, or a whole span that ended, tells of its span. */
static void
tell_end(FmsRow *row, const FmsEvent *event, TimestampTz ended_at)
{
	row->status = event->status;
	row->ended_at = ended_at;
	row->output = jsonb_part(event, FMS_PART_OUTPUT);
	row->error = jsonb_part(event, FMS_PART_ERROR);
}

/* What one event tells of its span. */
static void
row_of_event(FmsRow *row, const FmsEvent *event)
{
	FmsOrigin	origin = FMS_ORIGIN_PLAIN;

	memset(row, 0, sizeof(*row));
	row->span_id = event->span_id;
	row->created_at = event->recorded_at;
	row->adopt_stub = (event->flags & FMS_ADOPT_STUB) != 0;
	row->look_up = (event->flags & FMS_LOOK_UP) != 0;
	if (event->flags & FMS_HAS_TRACE)
	{
		row->has_trace = true;
		row->trace_id = event->trace_id;
		row->started_at = event->started_at;
	}
	switch ((FmsEventKind) event->kind)
	{
		case FMS_EVENT_START:
			tell_start(row, event, origin);
			row->likely_new = (event->flags & FMS_IS_NEW) != 0;
			break;
		case FMS_EVENT_SPAN:
			origin = FMS_ORIGIN_WHOLE;
			tell_start(row, event, origin);
			row->likely_new = (event->flags & (FMS_ADOPT_STUB | FMS_IS_KNOWN)) == 0;
			if (event->status != FMS_STATUS_STARTED)
				tell_end(row, event, event->ended_at);
			break;
		case FMS_EVENT_END:
			origin = FMS_ORIGIN_END;
			tell_end(row, event, event->at);
			break;
		default:
			break;
	}
	row->origins = origin;
	/* the attributes of an event stay with it */
	if (event->kind == FMS_EVENT_EVENT)
		row->new_events = list_make1(copy_event(event));
	else
		row->pieces = add_piece(row->pieces, jsonb_part(event, FMS_PART_ATTRIBUTES), origin);
}

/* Fold one event in.  Its bytes must live as long as the fold. */
void
fms_fold_add(FmsFold *fold, const FmsEvent *event)
{
	FmsRow		told;
	FmsRow	   *row;
	bool		found;

	if (event->kind == FMS_EVENT_RESOURCE || event->kind == FMS_EVENT_SCOPE)
	{
		fold->sources = lappend(fold->sources, copy_event(event));
		return;
	}
	row_of_event(&told, event);
	row = hash_search(fold->index, &event->span_id, HASH_ENTER, &found);
	if (found)
	{
		if (fms_fold_onto(row, &told) & FMS_TAKE_NOT_AGAIN)
			fold->duplicates++;
		list_free(told.pieces);
		list_free(told.event_arrays);
		list_free(told.new_events);
		return;
	}
	*row = told;
	if (fold->count == fold->room)
	{
		fold->room *= 2;
		fold->rows = repalloc(fold->rows, sizeof(FmsRow *) * fold->room);
	}
	fold->rows[fold->count++] = row;
}

/* Push what is in a piece, which may have to be fetched first. */
static void
push_piece(FmsJsonbState *state, const FmsPiece *piece)
{
	CHECK_FOR_INTERRUPTS();
	fms_jsonb_contents(state, DatumGetJsonbP(JsonbPGetDatum(piece->value)));
}

/*
 * Attributes merged in their order, later keys win, as pairwise || would have it.
 * An object under construction takes keys again and keeps the last of each: one
 * sort for all.  A single value stays as it is; NULL if there is none.
 */
static Jsonb *
merge_pieces(List *pieces)
{
	FmsJsonbState state = {0};
	ListCell   *cell;

	if (list_length(pieces) < 2)
		return pieces == NIL ? NULL : ((FmsPiece *) linitial(pieces))->value;
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(cell, pieces)
		push_piece(&state, lfirst(cell));
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/* The elements of some arrays and the events that came one by one, as an array; NULL if none. */
static Jsonb *
merge_events(List *arrays, List *events)
{
	FmsJsonbState state = {0};
	ListCell   *cell;

	if (events == NIL && list_length(arrays) < 2)
		return arrays == NIL ? NULL : ((FmsPiece *) linitial(arrays))->value;
	fms_jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, arrays)
		push_piece(&state, lfirst(cell));
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
	row->attributes = merge_pieces(row->pieces);
	row->events = merge_events(row->event_arrays, row->new_events);
	row->merged = true;
}

/* Complete the rows when all events are in. */
void
fms_fold_finish(FmsFold *fold)
{
	for (int i = 0; i < fold->count; i++)
		fold->clamped += fms_fold_settle(fold->rows[i]);
}
