/*-------------------------------------------------------------------------
 *
 * diff.c
 *	  Two runs of the same work side by side.
 *
 * Spans of two runs have nothing in common but what they are and where they
 * are.  So a span of one run is the counterpart of a span of the other if
 * their parents are counterparts, they have the same type and name, and they
 * are the same of several such siblings, counted by start.  Below a span
 * without a counterpart nothing has one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "trace/trace.h"

/* a difference in time that is worth a word: this much, and this part of it */
#define LEAST_CHANGE_US 1000
#define LEAST_CHANGE_PART 0.1

PG_FUNCTION_INFO_V1(fms_trace_diff);

/* columns of the result */
enum
{
	STEP, DEPTH, CHANGE, NAME, SPAN_TYPE, A_SPAN_ID, B_SPAN_ID, A_STATUS, B_STATUS, A_MS, B_MS,
	DELTA_MS, A_TOKENS, B_TOKENS, COLUMNS
};

/* one of the two runs */
typedef struct Run
{
	FmsTree    *tree;
	int		   *counterparts;	/* by place; NO_SPAN is none */
} Run;

/* the comparison in progress; the places in "pairs" wait for their children */
typedef struct Diff
{
	Run			a;
	Run			b;
	int		   *pairs;
	int			npairs;
	int			steps;
	ReturnSetInfo *result;
} Diff;

/* Order two texts. */
static int
compare_texts(const text *a, const text *b)
{
	int			lengths = (int) VARSIZE_ANY_EXHDR(a) - (int) VARSIZE_ANY_EXHDR(b);
	int			bytes = memcmp(VARDATA_ANY(a), VARDATA_ANY(b),
							   Min(VARSIZE_ANY_EXHDR(a), VARSIZE_ANY_EXHDR(b)));

	return bytes != 0 ? bytes : lengths;
}

/* Order two spans by what they are. */
static int
compare_kinds(const FmsTreeSpan *a, const FmsTreeSpan *b)
{
	int			types = compare_texts(a->span_type, b->span_type);

	return types != 0 ? types : compare_texts(a->name, b->name);
}

/* Comparator of qsort_arg: by what they are, then by start. */
static int
by_kind(const void *a, const void *b, void *arg)
{
	const FmsTree *tree = arg;
	int			left = *(const int *) a;
	int			right = *(const int *) b;
	int			kinds = compare_kinds(&tree->spans[left], &tree->spans[right]);

	return kinds != 0 ? kinds : fms_tree_compare_starts(tree, left, right);
}

/* The children of a span, or the roots, sorted by what they are. */
static int *
children_of(const FmsTree *tree, int parent, int *count)
{
	int			first = parent == NO_SPAN ? tree->first_root : tree->spans[parent].first_child;
	int		   *children;

	*count = parent == NO_SPAN ? tree->roots : tree->spans[parent].children;
	children = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(int) * Max(*count, 1));
	*count = 0;
	for (int i = first; i != NO_SPAN; i = tree->spans[i].next)
		children[(*count)++] = i;
	qsort_arg(children, *count, sizeof(int), by_kind, unconstify(FmsTree *, tree));
	CHECK_FOR_INTERRUPTS();
	return children;
}

/*
 * Pair the children of two counterparts, or the roots: two sorted lists are
 * merged, so each list is sorted once in the whole comparison.  Pairs wait in
 * diff->pairs, which has room for every span of the first run.
 */
static void
pair_children(Diff *diff, int parent_a, int parent_b)
{
	int			count_a;
	int			count_b;
	int		   *a = children_of(diff->a.tree, parent_a, &count_a);
	int		   *b = children_of(diff->b.tree, parent_b, &count_b);

	for (int i = 0, j = 0; i < count_a && j < count_b;)
	{
		int			kinds = compare_kinds(&diff->a.tree->spans[a[i]], &diff->b.tree->spans[b[j]]);

		if (kinds == 0)
		{
			diff->a.counterparts[a[i]] = b[j];
			diff->b.counterparts[b[j]] = a[i];
			diff->pairs[diff->npairs++] = a[i];
		}
		i += kinds <= 0;
		j += kinds >= 0;
	}
	pfree(a);
	pfree(b);
}

/* Find all counterparts. */
static void
pair_spans(Diff *diff)
{
	pair_children(diff, NO_SPAN, NO_SPAN);
	while (diff->npairs > 0)
	{
		int			a = diff->pairs[--diff->npairs];

		pair_children(diff, a, diff->a.counterparts[a]);
	}
}

/*
 * What became of a span; one of the two may be missing.  A different outcome
 * counts for more than a different time, and noise is no change.
 */
static const char *
change_of(const FmsTreeSpan *a, const FmsTreeSpan *b)
{
	int64		us_a;
	int64		delta;

	if (b == NULL)
		return "vanished";
	if (a == NULL)
		return "appeared";
	if (compare_texts(a->status, b->status) != 0)
		return "status";
	us_a = a->until - a->from;
	delta = (b->until - b->from) - us_a;
	if (fabs((double) delta) < LEAST_CHANGE_US || fabs((double) delta) < us_a * LEAST_CHANGE_PART)
		return "same";
	return delta > 0 ? "slower" : "faster";
}

/* Set the columns of one run's span: side 0 is the first run, 1 the second. */
static void
set_side(Datum *values, bool *isnull, const FmsTreeSpan *span, int side)
{
	if (span == NULL)
		return;
	values[A_SPAN_ID + side] = UUIDPGetDatum(&span->span_id);
	values[A_STATUS + side] = PointerGetDatum(span->status);
	values[A_MS + side] = Float8GetDatum((span->until - span->from) / 1000.0);
	values[A_TOKENS + side] = Int64GetDatum(span->usage.total);
	isnull[A_SPAN_ID + side] = isnull[A_STATUS + side] = isnull[A_MS + side] = false;
	isnull[A_TOKENS + side] = !span->usage.tokens;
}

/* Put a span of both runs, or of one, into the result. */
static void
put_pair(Diff *diff, const FmsTreeSpan *a, const FmsTreeSpan *b)
{
	const FmsTreeSpan *either = a != NULL ? a : b;
	Datum		values[COLUMNS];
	bool		isnull[COLUMNS];

	CHECK_FOR_INTERRUPTS();
	memset(isnull, true, sizeof(isnull));
	memset(isnull, false, sizeof(bool) * (SPAN_TYPE + 1));
	values[STEP] = Int32GetDatum(++diff->steps);
	values[DEPTH] = Int32GetDatum(either->depth);
	values[CHANGE] = CStringGetTextDatum(change_of(a, b));
	values[NAME] = PointerGetDatum(either->name);
	values[SPAN_TYPE] = PointerGetDatum(either->span_type);
	set_side(values, isnull, a, 0);
	set_side(values, isnull, b, 1);
	if (a != NULL && b != NULL)
	{
		values[DELTA_MS] = Float8GetDatum(((b->until - b->from) - (a->until - a->from)) / 1000.0);
		isnull[DELTA_MS] = false;
	}
	tuplestore_putvalues(diff->result->setResult, diff->result->setDesc, values, isnull);
	pfree(DatumGetPointer(values[CHANGE]));
}

/* Put those of some siblings of the second run that the first one has not, with all below. */
static void
put_appeared(Diff *diff, int first)
{
	const FmsTree *tree = diff->b.tree;

	for (int i = first; i != NO_SPAN; i = tree->spans[i].next)
	{
		const FmsTreeSpan *top = &tree->spans[i];

		for (int p = 0; diff->b.counterparts[i] == NO_SPAN && p <= top->descendants; p++)
			put_pair(diff, NULL, &tree->spans[tree->order[top->position - 1 + p]]);
	}
}

/* Put the counterpart's other children into the result, behind all below a span. */
static void
put_unmatched(Diff *diff, int a)
{
	int			b = diff->a.counterparts[a];

	if (b != NO_SPAN)
		put_appeared(diff, diff->b.tree->spans[b].first_child);
}

/*
 * Put all into the result, in the order of the first run's tree.  What only the
 * second run has follows behind what its parent's counterpart has.
 */
static void
put_all(Diff *diff)
{
	const FmsTree *tree = diff->a.tree;
	int			at = tree->first_root;

	while (at != NO_SPAN)
	{
		int			b = diff->a.counterparts[at];

		put_pair(diff, &tree->spans[at], b == NO_SPAN ? NULL : &diff->b.tree->spans[b]);
		if (tree->spans[at].first_child != NO_SPAN)
		{
			at = tree->spans[at].first_child;
			continue;
		}
		put_unmatched(diff, at);
		while (tree->spans[at].next == NO_SPAN && tree->spans[at].parent != NO_SPAN)
		{
			at = tree->spans[at].parent;
			put_unmatched(diff, at);
		}
		at = tree->spans[at].next;
	}
	put_appeared(diff, diff->b.tree->first_root);
}

/* Read one of the runs. */
static void
read_run(Run *run, const pg_uuid_t *trace_id)
{
	run->tree = fms_tree_read(trace_id);
	fms_tree_build(run->tree);
	run->counterparts = MemoryContextAllocHuge(CurrentMemoryContext,
											   sizeof(int) * Max(run->tree->count, 1));
	for (int i = 0; i < run->tree->count; i++)
		run->counterparts[i] = NO_SPAN;
}

/*
 * trace_diff(a uuid, b uuid) returns table
 *
 * A trace that is not there is one without spans: everything appeared, or
 * vanished.
 */
Datum
fms_trace_diff(PG_FUNCTION_ARGS)
{
	Diff		diff = {{0}};
	MemoryContext work;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	work = fms_trace_enter();
	diff.result = (ReturnSetInfo *) fcinfo->resultinfo;
	read_run(&diff.a, PG_GETARG_UUID_P(0));
	read_run(&diff.b, PG_GETARG_UUID_P(1));
	diff.pairs = MemoryContextAllocHuge(work, sizeof(int) * Max(diff.a.tree->count, 1));
	pair_spans(&diff);
	put_all(&diff);
	fms_trace_leave(work);
	return (Datum) 0;
}
