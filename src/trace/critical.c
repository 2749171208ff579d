/*-------------------------------------------------------------------------
 *
 * critical.c
 *	  The critical path of a trace.
 *
 * Which spans would have to be faster for the trace to be faster?  From the
 * end of the root the path is followed back in time.  What lies after the end
 * of the last child to finish is the parent's own; then the child's time is
 * followed in the same way; then comes the last child that had ended when that
 * one started, and so on, and what lies before the first is the parent's
 * again.  A child counts as far as it lies within the part of its parent that
 * counts; one that lies outside of it altogether does not count, with all that
 * is below.
 *
 * So the stretches follow each other without a gap from the start of the root
 * to its end, and each span is entered once: O(n log n), without recursion.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "limit.h"
#include "trace/critical.h"

#define FIRST_CAPACITY FMS_LIMIT(64, 1)

/* a child, cut to the part of its parent that counts */
typedef struct Candidate
{
	int			span;
	TimestampTz from;
	TimestampTz until;
} Candidate;

/* a span that the path is in */
typedef struct Level
{
	int			span;
	TimestampTz from;			/* start of the part that counts */
	TimestampTz bound;			/* all after this is done */
	Candidate  *candidates;		/* the last to finish first */
	int			count;
	int			next;
} Level;

/* the path so far, the latest stretch first, and the spans it is in */
typedef struct PathWalk
{
	FmsTree    *tree;
	FmsPathStretch *stretches;
	int			count;
	int			capacity;
	Level	   *levels;
	int			depth;
	int			levels_capacity;
} PathWalk;

/*
 * Comparator of qsort_arg: the last to finish first; of two that finish
 * together the longer one, then the first in the order of the tree.
 */
static int
by_end(const void *a, const void *b, void *tree)
{
	const Candidate *left = a;
	const Candidate *right = b;

	if (left->until != right->until)
		return left->until > right->until ? -1 : 1;
	if (left->from != right->from)
		return left->from < right->from ? -1 : 1;
	return fms_tree_compare_starts(tree, left->span, right->span);
}

/* The children of a span that count within a time, the last to finish first. */
static Candidate *
candidates_of(FmsTree *tree, int parent, TimestampTz from, TimestampTz until, int *count)
{
	Candidate  *candidates = MemoryContextAllocHuge(tree->context, sizeof(Candidate) *
													Max(tree->spans[parent].children, 1));

	*count = 0;
	for (int i = tree->spans[parent].first_child; i != NO_SPAN; i = tree->spans[i].next)
	{
		FmsTreeSpan *span = &tree->spans[i];
		Candidate  *candidate = &candidates[*count];

		candidate->span = i;
		candidate->from = Max(span->from, from);
		candidate->until = Min(span->until, until);

		/*
		 * nothing is left of one outside; one without duration may touch the
		 * edge
		 */
		if (candidate->from < candidate->until ||
			(candidate->from == candidate->until && span->from == span->until))
			(*count)++;
	}
	qsort_arg(candidates, *count, sizeof(Candidate), by_end, tree);
	CHECK_FOR_INTERRUPTS();
	return candidates;
}

/* Enter a span at its end. */
static void
enter_span(PathWalk *walk, int span, TimestampTz from, TimestampTz until)
{
	Level	   *level;

	if (walk->depth == walk->levels_capacity)
	{
		walk->levels_capacity *= 2;
		walk->levels = repalloc_huge(walk->levels, sizeof(Level) * walk->levels_capacity);
	}
	level = &walk->levels[walk->depth++];
	level->span = span;
	level->from = from;
	level->bound = until;
	level->next = 0;
	level->candidates = candidates_of(walk->tree, span, from, until, &level->count);
	walk->tree->spans[span].critical = true;
}

/* Add a stretch to the path, unless it is empty. */
static void
add_critical_stretch(PathWalk *walk, int span, TimestampTz from, TimestampTz until)
{
	FmsPathStretch *stretch;

	if (from == until)
		return;
	if (walk->count == walk->capacity)
	{
		walk->capacity *= 2;
		walk->stretches = repalloc_huge(walk->stretches, sizeof(FmsPathStretch) * walk->capacity);
	}
	stretch = &walk->stretches[walk->count++];
	stretch->span = span;
	stretch->from = from;
	stretch->until = until;
	walk->tree->spans[span].critical_us += until - from;
}

/* The next child of a level that had ended when the one before it started. */
static Candidate *
next_child(Level *level)
{
	while (level->next < level->count)
	{
		Candidate  *candidate = &level->candidates[level->next++];

		if (candidate->until <= level->bound)
			return candidate;
	}
	return NULL;
}

/* One step back in time: into a child, or out of a span. */
static void
step_back(PathWalk *walk)
{
	Level	   *level = &walk->levels[walk->depth - 1];
	Candidate  *child = next_child(level);

	if (child == NULL)
	{
		add_critical_stretch(walk, level->span, level->from, level->bound);
		pfree(level->candidates);
		walk->depth--;
		return;
	}
	add_critical_stretch(walk, level->span, child->until, level->bound);
	level->bound = child->from;
	enter_span(walk, child->span, child->from, child->until);
}

/* Put the earliest stretch first. */
static void
reverse(FmsPathStretch *stretches, int count)
{
	for (int i = 0; i < count / 2; i++)
	{
		FmsPathStretch other = stretches[count - 1 - i];

		stretches[count - 1 - i] = stretches[i];
		stretches[i] = other;
	}
}

/*
 * The critical path of the trace's root in the order of time; marks the spans
 * that it leads through.  NULL, and no stretch, for a trace without spans.
 */
FmsPathStretch *
fms_critical_path(FmsTree *tree, int *count)
{
	PathWalk	walk = {tree};
	MemoryContext old;

	*count = 0;
	if (tree->main_root == NO_SPAN)
		return NULL;
	old = MemoryContextSwitchTo(tree->context);
	walk.capacity = walk.levels_capacity = FIRST_CAPACITY;
	walk.stretches = palloc(sizeof(FmsPathStretch) * walk.capacity);
	walk.levels = palloc(sizeof(Level) * walk.levels_capacity);
	enter_span(&walk, tree->main_root, tree->spans[tree->main_root].from,
			   tree->spans[tree->main_root].until);
	while (walk.depth > 0)
	{
		CHECK_FOR_INTERRUPTS();
		step_back(&walk);
	}
	pfree(walk.levels);
	reverse(walk.stretches, walk.count);
	MemoryContextSwitchTo(old);
	*count = walk.count;
	return walk.stretches;
}
