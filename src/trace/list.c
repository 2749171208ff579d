/*-------------------------------------------------------------------------
 *
 * list.c
 *	  SQL functions that tell a trace in one row.
 *
 * A trace is listed where its root is, in the order of the roots' starts; the
 * root is the first span without a parent, or, if that one was lost or lies in
 * another system, the top that started first.  No index knows which span that
 * is, so the search offers every span that the filter lets through.  Most have
 * a parent that started before them, which a look at one row shows; for the
 * others their trace is read, and what its root is kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "span/identity.h"
#include "span/text.h"
#include "table/lookup.h"
#include "trace/page.h"
#include "trace/read.h"
#include "trace/search.h"
#include "trace/trace.h"

#define EXPECTED_TRACES FMS_LIMIT(256, 1)

PG_FUNCTION_INFO_V1(fms_trace_summary);
PG_FUNCTION_INFO_V1(fms_list_traces);

/* columns of both functions; list_traces has a cursor behind them */
enum
{
	TRACE_ID, ROOT_SPAN_ID, NAME, SPAN_TYPE, ENTITY_ID, STATUS, STARTED_AT, ENDED_AT, DURATION_MS,
	LAST_ACTIVITY, SPANS, RUNNING, FAILED, CANCELLED, ODD, ROOTS, DEPTH, PROMPT_TOKENS,
	COMPLETION_TOKENS, TOTAL_TOKENS, COST, SUMMARY_COLUMNS
};

/* a row of them */
typedef struct ListRow
{
	Datum		values[SUMMARY_COLUMNS + 1];
	bool		isnull[SUMMARY_COLUMNS + 1];
} ListRow;

/* counts over the spans of a trace */
typedef struct Counts
{
	int			running;
	int			failed;
	int			cancelled;
	int			odd;
	TimestampTz last_activity;	/* the latest start or end */
	FmsSpent	usage;
} Counts;

/* a trace that was met in a search */
typedef struct Met
{
	pg_uuid_t	trace_id;
	pg_uuid_t	root;
} Met;

/* what a listing keeps besides its search */
typedef struct Listing
{
	ReturnSetInfo *result;
	HTAB	   *met;
	MemoryContext per_trace;
} Listing;

/* as far back as a parent is looked for before the whole trace is read */
#define PARENT_BEFORE_US USECS_PER_DAY

/* Count the spans of a trace by what became of them; sum up what its trees used. */
static Counts
count(const FmsTree *tree)
{
	Counts		counts = {0};

	counts.last_activity = DT_NOBEGIN;
	for (int i = 0; i < tree->count; i++)
	{
		const FmsTreeSpan *span = &tree->spans[i];

		counts.running += span->running;
		counts.failed += span->failed;
		counts.cancelled += fms_part_is(FMS_TEXT_PART(span->status), "cancelled");
		counts.odd += span->odd != 0;
		counts.last_activity = Max(counts.last_activity, span->started_at);
		if (!span->running)
			counts.last_activity = Max(counts.last_activity, span->ended_at);
		if (span->parent == NO_SPAN)
			fms_spent_add(&counts.usage, &span->usage);
	}
	return counts;
}

/* Set a column. */
static void
set_list_column(ListRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->isnull[column] = false;
}

/* Set the columns that tell of the root. */
static void
set_root(ListRow *row, const FmsTreeSpan *root)
{
	set_list_column(row, ROOT_SPAN_ID, UUIDPGetDatum(&root->span_id));
	set_list_column(row, NAME, PointerGetDatum(root->name));
	set_list_column(row, SPAN_TYPE, PointerGetDatum(root->span_type));
	if (root->entity_id != NULL)
		set_list_column(row, ENTITY_ID, PointerGetDatum(root->entity_id));
	set_list_column(row, STATUS, PointerGetDatum(root->status));
	set_list_column(row, STARTED_AT, TimestampTzGetDatum(root->started_at));
	if (!root->running)
		set_list_column(row, ENDED_AT, TimestampTzGetDatum(root->ended_at));
	set_list_column(row, DURATION_MS, Float8GetDatum((root->until - root->from) / 1000.0));
}

/* Set the columns that tell of all spans. */
static void
set_counts(ListRow *row, const FmsTree *tree, const Counts *counts)
{
	set_list_column(row, LAST_ACTIVITY, TimestampTzGetDatum(counts->last_activity));
	set_list_column(row, SPANS, Int32GetDatum(tree->count));
	set_list_column(row, RUNNING, Int32GetDatum(counts->running));
	set_list_column(row, FAILED, Int32GetDatum(counts->failed));
	set_list_column(row, CANCELLED, Int32GetDatum(counts->cancelled));
	set_list_column(row, ODD, Int32GetDatum(counts->odd));
	set_list_column(row, ROOTS, Int32GetDatum(tree->roots));
	set_list_column(row, DEPTH, Int32GetDatum(tree->max_depth));
	if (counts->usage.tokens)
	{
		set_list_column(row, PROMPT_TOKENS, Int64GetDatum(counts->usage.prompt));
		set_list_column(row, COMPLETION_TOKENS, Int64GetDatum(counts->usage.completion));
		set_list_column(row, TOTAL_TOKENS, Int64GetDatum(counts->usage.total));
	}
	if (counts->usage.cost != NULL)
		set_list_column(row, COST, NumericGetDatum(counts->usage.cost));
}

/* Set a row from a trace that has spans; the cursor, if there is one, is the caller's. */
static void
set_row(ListRow *row, const pg_uuid_t *trace_id, const FmsTree *tree)
{
	Counts		counts = count(tree);

	memset(row->isnull, true, sizeof(row->isnull));
	set_list_column(row, TRACE_ID, UUIDPGetDatum(trace_id));
	set_root(row, &tree->spans[tree->main_root]);
	set_counts(row, tree, &counts);
}

/* trace_summary(trace_id uuid) returns table: one row, or none */
Datum
fms_trace_summary(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext work;
	FmsTree    *tree;
	ListRow		row;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	work = fms_trace_enter();
	tree = fms_tree_read(PG_GETARG_UUID_P(0));
	fms_tree_build(tree);
	if (tree->count > 0)
	{
		set_row(&row, PG_GETARG_UUID_P(0), tree);
		tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.isnull);
	}
	fms_trace_leave(work);
	return (Datum) 0;
}

/*
 * Whether a span's parent started before it.  Such a span is no root: not even
 * in a circle of parents, which is cut above its earliest span.  The look at the
 * parent is no statement, of which a page would take thousands; where policies
 * may hide rows from the caller, none is taken, and the trace is read.
 */
static bool
has_earlier_parent(const FmsPosition *at, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		parent = SPI_getbinval(row, desc, 1, &isnull);

	if (isnull || at->started_at < FMS_FIRST_TIME ||
		check_enable_rls(fms_buffer_table(), InvalidOid, true) == RLS_ENABLED)
		return false;
	return fms_lookup_row(&at->trace_id, DatumGetUUIDP(parent), at->started_at - PARENT_BEFORE_US,
						  at->started_at, GetActiveSnapshot());
}

/* The tree of a trace that the search has met, at the cost of looking at its spans. */
static FmsTree *
read_trace(FmsSearch *search, const pg_uuid_t *trace_id)
{
	FmsTree    *tree = fms_tree_read(trace_id);

	fms_tree_build(tree);
	search->budget -= tree->count;
	return tree;
}

/*
 * The root of a trace, looked up the first time that a span of it is offered.
 * What is kept of a trace is 32 bytes; the budget of the search bounds their
 * number.
 */
static const pg_uuid_t *
root_of(FmsSearch *search, const pg_uuid_t *trace_id)
{
	Listing    *listing = search->result;
	bool		found;
	Met		   *met = hash_search(listing->met, trace_id, HASH_ENTER, &found);

	if (!found)
	{
		MemoryContext old = MemoryContextSwitchTo(listing->per_trace);
		FmsTree    *tree = read_trace(search, trace_id);

		/* a trace of which nothing is left has no root */
		memset(&met->root, 0, sizeof(met->root));
		if (tree->count > 0)
			met->root = tree->spans[tree->main_root].span_id;
		MemoryContextSwitchTo(old);
		MemoryContextReset(listing->per_trace);
	}
	return &met->root;
}

/* Put a trace into the result, if a span that the search offers is its root. */
static bool
put_trace(FmsSearch *search, HeapTuple row, TupleDesc desc)
{
	Listing    *listing = search->result;
	const FmsPosition *at = &search->after;
	MemoryContext old;
	ListRow		values;

	if (has_earlier_parent(at, row, desc) ||
		memcmp(root_of(search, &at->trace_id), &at->span_id, sizeof(pg_uuid_t)) != 0)
		return false;
	old = MemoryContextSwitchTo(listing->per_trace);
	set_row(&values, &at->trace_id, read_trace(search, &at->trace_id));
	set_list_column(&values, SUMMARY_COLUMNS, fms_search_cursor(at));
	tuplestore_putvalues(listing->result->setResult, listing->result->setDesc, values.values,
						 values.isnull);
	MemoryContextSwitchTo(old);
	MemoryContextReset(listing->per_trace);
	return true;
}

/*
 * list_traces(filter..., page_size, after, scan_limit) returns table
 *
 * The conditions are about the root.  A trace that is read counts as all of
 * its spans against scan_limit.  The last row may be a cursor alone, as in
 * query_spans.
 */
Datum
fms_list_traces(PG_FUNCTION_ARGS)
{
	HASHCTL		control = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(Met)};
	FmsSearch	search = {{0}};
	Listing		listing;
	MemoryContext work;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	work = fms_trace_enter();
	control.hcxt = CurrentMemoryContext;
	listing.result = (ReturnSetInfo *) fcinfo->resultinfo;
	listing.met = hash_create("traces of a listing", EXPECTED_TRACES, &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	listing.per_trace = AllocSetContextCreate(CurrentMemoryContext, "trace of a listing",
											  ALLOCSET_DEFAULT_SIZES);
	fms_filter_read(&search.filter, fcinfo, FMS_FILTER_ARGS);
	fms_search_read_page(&search, fcinfo, FMS_FILTER_ARGS);
	search.columns = "s.parent_span_id";
	search.ncolumns = 1;
	search.take = put_trace;
	search.result = &listing;
	if (fms_search_run(&search))
		fms_page_put_rest(listing.result, &search.after);
	fms_trace_leave(work);
	return (Datum) 0;
}
