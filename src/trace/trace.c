/*-------------------------------------------------------------------------
 *
 * trace.c
 *	  SQL functions that return spans of a trace's tree.
 *
 * Each reads the trace, builds the tree and puts rows into a tuplestore, which
 * goes to disk above work_mem.  What they need in between lies in one context
 * that goes away before they return.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "trace/critical.h"
#include "trace/read.h"
#include "trace/trace.h"

/* a path tells this many levels, so that a deep chain stays linear in size */
#define PATH_LEVELS 100

PG_FUNCTION_INFO_V1(fms_get_trace_tree);
PG_FUNCTION_INFO_V1(fms_span_ancestors);
PG_FUNCTION_INFO_V1(fms_span_descendants);
PG_FUNCTION_INFO_V1(fms_get_critical_path);

/* columns of the type tree_span */
enum
{
	POSITION, DEPTH, PATH, SPAN_ID, PARENT_SPAN_ID, NAME, SPAN_TYPE, ENTITY_ID, STATUS, STARTED_AT,
	ENDED_AT, DURATION_MS, SELF_MS, SHARE, CRITICAL, CRITICAL_MS, CHILDREN, DESCENDANTS,
	PROMPT_TOKENS, COMPLETION_TOKENS, TOTAL_TOKENS, COST, ERROR_MESSAGE, NOTE, TREE_COLUMNS
};

/* a row of that type, all NULL to begin with */
typedef struct TreeRow
{
	Datum		values[TREE_COLUMNS];
	bool		isnull[TREE_COLUMNS];
} TreeRow;

/* Set a column. */
static void
set_tree_column(TreeRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->isnull[column] = false;
}

/* Set a column to a text, or leave it NULL. */
static void
set_text(TreeRow *row, int column, const text *value)
{
	if (value != NULL)
		set_tree_column(row, column, PointerGetDatum(value));
}

/* Microseconds as milliseconds. */
static Datum
ms(int64 us)
{
	return Float8GetDatum(us / 1000.0);
}

/*
 * The sibling numbers from the root to a span; "numbers" has them by depth.  They
 * are those of the way to this span, because spans are put in the tree's order.
 */
static Datum
path(const int *numbers, int depth)
{
	Datum		elements[PATH_LEVELS];
	int			count = Min(depth + 1, PATH_LEVELS);

	for (int i = 0; i < count; i++)
		elements[i] = Int32GetDatum(numbers[i]);
	return PointerGetDatum(construct_array(elements, count, INT4OID, sizeof(int32), true,
										   TYPALIGN_INT));
}

/* Set the columns that tell where a span is and what it is. */
static void
set_tree_identity(TreeRow *row, const FmsTreeSpan *span, const int *numbers)
{
	set_tree_column(row, POSITION, Int32GetDatum(span->position));
	set_tree_column(row, DEPTH, Int32GetDatum(span->depth));
	set_tree_column(row, PATH, path(numbers, span->depth));
	set_tree_column(row, SPAN_ID, UUIDPGetDatum(&span->span_id));
	if (span->has_parent)
		set_tree_column(row, PARENT_SPAN_ID, UUIDPGetDatum(&span->parent_span_id));
	set_text(row, NAME, span->name);
	set_text(row, SPAN_TYPE, span->span_type);
	set_text(row, ENTITY_ID, span->entity_id);
	set_text(row, STATUS, span->status);
	set_tree_column(row, CHILDREN, Int32GetDatum(span->children));
	set_tree_column(row, DESCENDANTS, Int32GetDatum(span->descendants));
}

/* Set the columns of time. */
static void
set_tree_times(TreeRow *row, const FmsTree *tree, const FmsTreeSpan *span)
{
	const FmsTreeSpan *root = &tree->spans[span->root];

	set_tree_column(row, STARTED_AT, TimestampTzGetDatum(span->started_at));
	if (!span->running)
		set_tree_column(row, ENDED_AT, TimestampTzGetDatum(span->ended_at));
	set_tree_column(row, DURATION_MS, ms(span->until - span->from));
	set_tree_column(row, SELF_MS, ms(span->self_us));
	if (root->until > root->from)
		set_tree_column(row, SHARE, Float8GetDatum((double) (span->until - span->from) /
												   (double) (root->until - root->from)));
	set_tree_column(row, CRITICAL, BoolGetDatum(span->critical));
	if (span->critical)
		set_tree_column(row, CRITICAL_MS, ms(span->critical_us));
}

/* Set the columns of tokens and cost, where there are any. */
static void
set_usage(TreeRow *row, const FmsSpent *usage)
{
	if (usage->tokens)
	{
		set_tree_column(row, PROMPT_TOKENS, Int64GetDatum(usage->prompt));
		set_tree_column(row, COMPLETION_TOKENS, Int64GetDatum(usage->completion));
		set_tree_column(row, TOTAL_TOKENS, Int64GetDatum(usage->total));
	}
	if (usage->cost != NULL)
		set_tree_column(row, COST, NumericGetDatum(usage->cost));
}

/* Put a span into the result; "numbers" has the sibling numbers on the way to it. */
static void
put_tree_span(ReturnSetInfo *result, const FmsTree *tree, int place, const int *numbers)
{
	const FmsTreeSpan *span = &tree->spans[place];
	char	   *note = fms_tree_note(span);
	TreeRow		row;

	memset(row.isnull, true, sizeof(row.isnull));
	set_tree_identity(&row, span, numbers);
	set_tree_times(&row, tree, span);
	set_usage(&row, &span->usage);
	set_text(&row, ERROR_MESSAGE, span->error);
	if (note != NULL)
		set_tree_column(&row, NOTE, CStringGetTextDatum(note));
	tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.isnull);
}

/*
 * Put the spans into the result that a function chooses, in tree order.  It is
 * given the tree, a span and what the caller is about.  Memory of a row is
 * given back after each.
 */
static void
put_spans(ReturnSetInfo *result, FmsTree *tree,
		  bool (*chosen) (const FmsTree *tree, int place, int about), int about)
{
	int			numbers[PATH_LEVELS];
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "row of a trace",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row_context);

	for (int i = 0; i < tree->count; i++)
	{
		const FmsTreeSpan *span = &tree->spans[tree->order[i]];

		CHECK_FOR_INTERRUPTS();
		if (span->depth < PATH_LEVELS)
			numbers[span->depth] = span->number;
		if (chosen(tree, tree->order[i], about))
			put_tree_span(result, tree, tree->order[i], numbers);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_context);
}

/* Every span. */
static bool
any_span(const FmsTree *tree, int place, int about)
{
	return true;
}

/* Whether one span is below another; these lie right behind it, by position. */
static bool
is_below(const FmsTree *tree, int place, int about)
{
	const FmsTreeSpan *top = &tree->spans[about];
	int			distance = tree->spans[place].position - top->position;

	return distance > 0 && distance <= top->descendants;
}

/* Whether one span is above another. */
static bool
is_above(const FmsTree *tree, int place, int about)
{
	return is_below(tree, about, place);
}

/*
 * The tree of a trace, its critical path marked, in the current memory
 * context; one without spans if there is no such trace.
 */
FmsTree *
fms_trace_tree(const pg_uuid_t *trace_id)
{
	FmsTree    *tree = fms_tree_read(trace_id);
	int			count;

	fms_tree_build(tree);
	(void) fms_critical_path(tree, &count);
	return tree;
}

/*
 * A context for the work of one call, made current.  An error needs no leave:
 * the context is a child of the one that the caller had.
 */
MemoryContext
fms_trace_enter(void)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "trace",
											   ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(work);
	return work;
}

/* Go back to the context that fms_trace_enter was called in. */
void
fms_trace_leave(MemoryContext work)
{
	MemoryContextSwitchTo(MemoryContextGetParent(work));
	MemoryContextDelete(work);
}

/* get_trace_tree(trace_id uuid) returns setof tree_span: every span once */
Datum
fms_get_trace_tree(PG_FUNCTION_ARGS)
{
	MemoryContext work;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	work = fms_trace_enter();
	put_spans((ReturnSetInfo *) fcinfo->resultinfo, fms_trace_tree(PG_GETARG_UUID_P(0)), any_span,
			  NO_SPAN);
	fms_trace_leave(work);
	return (Datum) 0;
}

/*
 * Put the spans into the result that stand in a relation to the span in the
 * call's first argument; none if there is no such span.
 */
static void
put_related(FunctionCallInfo fcinfo, bool (*chosen) (const FmsTree *tree, int place, int about))
{
	pg_uuid_t  *span_id = PG_GETARG_UUID_P(0);
	pg_uuid_t	trace_id;
	MemoryContext work;
	StringInfoData times;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	work = fms_trace_enter();
	initStringInfo(&times);
	if (fms_read_trace_of(span_id, &trace_id, &times))
	{
		FmsTree    *tree = fms_trace_tree(&trace_id);
		int			about = fms_tree_find(tree, span_id);

		/* it may be gone since it was looked up */
		if (about != NO_SPAN)
			put_spans((ReturnSetInfo *) fcinfo->resultinfo, tree, chosen, about);
	}
	fms_trace_leave(work);
}

/* span_ancestors(span_id uuid) returns setof tree_span */
Datum
fms_span_ancestors(PG_FUNCTION_ARGS)
{
	put_related(fcinfo, is_above);
	return (Datum) 0;
}

/* span_descendants(span_id uuid) returns setof tree_span */
Datum
fms_span_descendants(PG_FUNCTION_ARGS)
{
	put_related(fcinfo, is_below);
	return (Datum) 0;
}

/* Put a stretch of the critical path into the result; its root is longer than nothing. */
static void
put_stretch(ReturnSetInfo *result, const FmsTree *tree, const FmsPathStretch *stretch, int number)
{
	const FmsTreeSpan *span = &tree->spans[stretch->span];
	const FmsTreeSpan *root = &tree->spans[tree->main_root];
	int64		length = stretch->until - stretch->from;
	Datum		values[] = {
		Int32GetDatum(number),
		UUIDPGetDatum(&span->span_id),
		PointerGetDatum(span->name),
		PointerGetDatum(span->span_type),
		Int32GetDatum(span->depth),
		TimestampTzGetDatum(stretch->from),
		TimestampTzGetDatum(stretch->until),
		ms(length),
		Float8GetDatum((double) length / (double) (root->until - root->from)),
	};
	bool		isnull[lengthof(values)] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
}

/* critical_path(trace_id uuid) returns table */
Datum
fms_get_critical_path(PG_FUNCTION_ARGS)
{
	MemoryContext work;
	FmsTree    *tree;
	FmsPathStretch *stretches;
	int			count;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	work = fms_trace_enter();
	tree = fms_tree_read(PG_GETARG_UUID_P(0));
	fms_tree_build(tree);
	stretches = fms_critical_path(tree, &count);
	for (int i = 0; i < count; i++)
		put_stretch((ReturnSetInfo *) fcinfo->resultinfo, tree, &stretches[i], i + 1);
	fms_trace_leave(work);
	return (Datum) 0;
}
