/*-------------------------------------------------------------------------
 *
 * drawing.c
 *	  A trace as a drawing of characters.
 *
 * One line a span: the tree, a mark of the status, the name, the duration, the
 * tokens of the subtree, and a bar that shows when the span ran.  The bar is
 * filled where the critical path leads through the span.  The message of an
 * error and what is odd follow on lines of their own.
 *
 * A line never takes more columns than asked for.  The tree is indented by
 * three columns a level as long as the name has room; below that, the depth is
 * told in brackets and only the lowest levels are drawn.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "span/text.h"
#include "trace/display.h"
#include "trace/trace.h"

#define LEAST_WIDTH 60			/* all of these are columns of the screen */
#define MOST_WIDTH 1000
#define DURATION_COLUMNS 8
#define TOKEN_COLUMNS 5
#define LEVEL_COLUMNS 3
#define NAME_COLUMNS 20			/* kept for mark and name, however deep */
#define DEPTH_COLUMNS 10		/* of a depth in brackets, at most */

PG_FUNCTION_INFO_V1(fms_trace_tree_text);

/* the pieces that a drawing is made of */
typedef struct Pieces
{
	const char *branch;			/* to a span that has a next sibling */
	const char *last_branch;
	const char *guide;			/* past a span that has a next sibling */
	const char *stem;			/* from a span down to its children */
	const char *completed;
	const char *failed;
	const char *cancelled;
	const char *running;
	const char *bar;
	const char *critical_bar;
	const char *instant;
} Pieces;

static const Pieces unicode_pieces = {
	"\xe2\x94\x9c\xe2\x94\x80 ", "\xe2\x94\x94\xe2\x94\x80 ", "\xe2\x94\x82  ", "\xe2\x94\x82 ",
	"\xe2\x9c\x93", "\xe2\x9c\x97", "\xe2\x8a\x98", "\xe2\x96\xb8",
	"\xe2\x96\x92", "\xe2\x96\x88", "\xe2\x94\x82"
};

static const Pieces ascii_pieces = {
	"|- ", "`- ", "|  ", "| ", "+", "x", "-", ">", "=", "#", "|"
};

/* a drawing in progress */
typedef struct Drawing
{
	const FmsTree *tree;
	const Pieces *pieces;
	bool		unicode;
	bool	   *last;			/* by depth: whether the span drawn there was
								 * the last */
	int			name_columns;
	int			token_columns;	/* 0 if no span has tokens */
	int			bar_columns;
	int			width;
	TimestampTz from;
	TimestampTz until;
	StringInfoData line;
	int			used;			/* columns of the line */
	ReturnSetInfo *result;
} Drawing;

/* Append characters of one column each. */
static void
put_chars(Drawing *drawing, const char *data)
{
	appendStringInfoString(&drawing->line, data);
	drawing->used += pg_mbstrlen(data);
}

/* Append blanks up to a column. */
static void
pad_to_column(Drawing *drawing, int column)
{
	if (drawing->used < column)
	{
		appendStringInfoSpaces(&drawing->line, column - drawing->used);
		drawing->used = column;
	}
}

/*
 * Append a text in what is left up to a column, cut if it is longer; its control
 * characters come out harmless.  A wide character takes two columns.
 */
static void
draw_text(Drawing *drawing, const char *data, int length, int column)
{
	drawing->used += fms_display_append(&drawing->line, data, length,
										Max(column - drawing->used, 0), drawing->unicode);
}

/* Append a text at the right of a field that ends at a column. */
static void
put_right(Drawing *drawing, const char *data, int column)
{
	pad_to_column(drawing, column - (int) strlen(data));
	put_chars(drawing, data);
}

/* Put the line into the result, without blanks at its end, and begin a new one. */
static void
end_line(Drawing *drawing)
{
	StringInfo	line = &drawing->line;
	Datum		value;
	bool		isnull = false;

	while (line->len > 0 && line->data[line->len - 1] == ' ')
		line->len--;
	value = PointerGetDatum(cstring_to_text_with_len(line->data, line->len));
	tuplestore_putvalues(drawing->result->setResult, drawing->result->setDesc, &value, &isnull);
	pfree(DatumGetPointer(value));
	resetStringInfo(line);
	drawing->used = 0;
}

/*
 * Append what is drawn left of a span at a depth: a guide for each level above
 * that goes on, and then the last piece, if there is one.  Where the depth leaves
 * no room for its name it is told as a number, and the innermost levels follow.
 */
static void
put_guides(Drawing *drawing, int depth, const char *last_piece)
{
	int			room = (drawing->name_columns - NAME_COLUMNS) / LEVEL_COLUMNS;
	int			first = 1;

	if (depth > room)
	{
		char		deep[FMS_DISPLAY_BYTES];

		snprintf(deep, sizeof(deep), "(%d) ", depth);
		put_chars(drawing, deep);
		pad_to_column(drawing, DEPTH_COLUMNS);
		first = depth - Max(room - DEPTH_COLUMNS / LEVEL_COLUMNS - 1, 0);
	}
	for (int i = Max(first, 1); i < depth; i++)
		put_chars(drawing, drawing->last[i] ? "   " : drawing->pieces->guide);
	if (depth > 0)
		put_chars(drawing, last_piece);
}

/* The mark of a status. */
static const char *
status_mark(const Pieces *pieces, const text *status)
{
	const struct
	{
		const char *status;
		const char *mark;
	}			marks[] = {
		{"completed", pieces->completed},
		{"failed", pieces->failed},
		{"cancelled", pieces->cancelled},
		{"started", pieces->running},
	};

	for (int i = 0; i < lengthof(marks); i++)
	{
		if (fms_part_is(FMS_TEXT_PART(status), marks[i].status))
			return marks[i].mark;
	}
	return "?";
}

/* The cell of the bar's field that a time lies in, rounded down. */
static int
cell_of(const Drawing *drawing, TimestampTz at)
{
	double		whole = (double) (drawing->until - drawing->from);

	if (whole <= 0)
		return 0;
	return Min((int) ((at - drawing->from) / whole * drawing->bar_columns),
			   drawing->bar_columns - 1);
}

/* Append the bar of a span: all cells that it touches, and so one at least. */
static void
put_bar(Drawing *drawing, const FmsTreeSpan *span)
{
	const char *piece = span->critical ? drawing->pieces->critical_bar : drawing->pieces->bar;
	int			first = cell_of(drawing, span->from);
	int			last = cell_of(drawing, span->until > span->from ? span->until - 1 : span->from);

	if (span->until == span->from)
		piece = drawing->pieces->instant;
	pad_to_column(drawing, drawing->width - drawing->bar_columns + first);
	for (int i = first; i <= last; i++)
		put_chars(drawing, piece);
}

/* Draw a line that tells more of the span above it, at its children's indentation. */
static void
put_remark(Drawing *drawing, const FmsTreeSpan *span, const char *sign, const char *data,
		   int length)
{
	put_guides(drawing, span->depth, drawing->last[span->depth] ? "   " : drawing->pieces->guide);
	put_chars(drawing, span->children > 0 ? drawing->pieces->stem : "  ");
	put_chars(drawing, sign);
	draw_text(drawing, data, length, drawing->width);
	end_line(drawing);
}

/*
 * Draw a span: its line, then those of its error and of what is odd.  Depths
 * of later spans look at drawing->last, which is set here.
 */
static void
draw_span(Drawing *drawing, const FmsTreeSpan *span)
{
	char		buffer[FMS_DISPLAY_BYTES];
	int			column = drawing->name_columns;
	char	   *note = fms_tree_note(span);

	drawing->last[span->depth] = span->next == NO_SPAN;
	put_guides(drawing, span->depth, span->next == NO_SPAN ? drawing->pieces->last_branch :
			   drawing->pieces->branch);
	put_chars(drawing, status_mark(drawing->pieces, span->status));
	put_chars(drawing, " ");
	draw_text(drawing, VARDATA_ANY(span->name), VARSIZE_ANY_EXHDR(span->name), column);
	fms_display_duration(buffer, span->until - span->from);
	column += 1 + DURATION_COLUMNS;
	put_right(drawing, buffer, column);
	if (span->usage.tokens)
	{
		fms_display_count(buffer, span->usage.total);
		put_right(drawing, buffer, column + drawing->token_columns);
	}
	put_bar(drawing, span);
	end_line(drawing);
	if (span->error != NULL)
		put_remark(drawing, span, "", VARDATA_ANY(span->error), VARSIZE_ANY_EXHDR(span->error));
	if (note != NULL)
		put_remark(drawing, span, "! ", note, strlen(note));
}

/* Draw the two lines above the tree: the trace, and what is in the columns. */
static void
draw_head(Drawing *drawing, const pg_uuid_t *trace_id)
{
	char	   *id = fms_uuid_text(trace_id);
	char	   *head = psprintf("trace %s, %s, %d span%s", id, timestamptz_to_str(drawing->from),
								drawing->tree->count, drawing->tree->count == 1 ? "" : "s");
	char		whole[FMS_DISPLAY_BYTES];
	int			column = drawing->name_columns + 1 + DURATION_COLUMNS;

	draw_text(drawing, head, strlen(head), drawing->width);
	end_line(drawing);
	put_right(drawing, "time", column);
	if (drawing->token_columns > 0)
		put_right(drawing, "tokens", column + drawing->token_columns);
	pad_to_column(drawing, drawing->width - drawing->bar_columns);
	put_chars(drawing, "0");
	fms_display_duration(whole, drawing->until - drawing->from);
	put_right(drawing, whole, drawing->width);
	end_line(drawing);
}

/*
 * Find the time that the bars show, and whether there are tokens: of all spans,
 * not of the main root, which others may begin before or outlast.
 */
static void
measure(Drawing *drawing)
{
	const FmsTree *tree = drawing->tree;
	bool		tokens = false;

	drawing->from = tree->spans[0].from;
	drawing->until = tree->spans[0].until;
	for (int i = 0; i < tree->count; i++)
	{
		drawing->from = Min(drawing->from, tree->spans[i].from);
		drawing->until = Max(drawing->until, tree->spans[i].until);
		tokens |= tree->spans[i].usage.tokens;
	}
	drawing->token_columns = tokens ? 2 + TOKEN_COLUMNS : 0;
	drawing->bar_columns = drawing->width / 4;
	drawing->name_columns = drawing->width - drawing->bar_columns - drawing->token_columns -
		DURATION_COLUMNS - 2;
}

/*
 * Draw a trace that has spans.  drawing->line is in the caller's context and
 * kept from line to line; all else that a span needs goes with line_context.
 */
static void
draw(Drawing *drawing, const pg_uuid_t *trace_id)
{
	const FmsTree *tree = drawing->tree;
	MemoryContext old;
	MemoryContext line_context;

	drawing->last = palloc_extended(sizeof(bool) * (tree->max_depth + 1),
									MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	initStringInfo(&drawing->line);
	measure(drawing);
	line_context = AllocSetContextCreate(CurrentMemoryContext, "line of a trace",
										 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(line_context);
	draw_head(drawing, trace_id);
	for (int i = 0; i < tree->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		draw_span(drawing, &tree->spans[tree->order[i]]);
		MemoryContextReset(line_context);
	}
	MemoryContextSwitchTo(old);
}

/*
 * trace_tree_text(trace_id uuid, width int, ascii bool) returns setof text
 *
 * One row a line; none if there is no such trace.  A width out of range is an
 * error (ERRCODE_INVALID_PARAMETER_VALUE).
 */
Datum
fms_trace_tree_text(PG_FUNCTION_ARGS)
{
	int32		width = PG_GETARG_INT32(1);
	Drawing		drawing = {0};
	MemoryContext work;

	if (width < LEAST_WIDTH || width > MOST_WIDTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("width must be between %d and %d", LEAST_WIDTH, MOST_WIDTH)));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	work = fms_trace_enter();
	drawing.tree = fms_trace_tree(PG_GETARG_UUID_P(0));
	drawing.unicode = !PG_GETARG_BOOL(2) && fms_display_unicode();
	drawing.pieces = drawing.unicode ? &unicode_pieces : &ascii_pieces;
	drawing.width = width;
	drawing.result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (drawing.tree->count > 0)
		draw(&drawing, PG_GETARG_UUID_P(0));
	fms_trace_leave(work);
	return (Datum) 0;
}
