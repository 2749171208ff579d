/*-------------------------------------------------------------------------
 *
 * tree.c
 *	  The spans of a trace as a tree.
 *
 * Whatever the parents of the rows say, every row gets exactly one place: a
 * span whose parent is missing is a root, and a circle of parents is cut above
 * its earliest span.  All of it is sorting and single passes over arrays, so
 * the time is O(n log n) whatever the shape, and nothing recurses: a chain may
 * be as deep as the trace has spans.  Parents are found by binary search in
 * the sorted ids, because ids are chosen by callers and a hash could be made
 * to collide.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "trace/tree.h"

/* what find_cycles knows about a span; walks count from FIRST_WALK */
#define UNSEEN 0
#define FIRST_WALK 1

/* Order two ids by their bytes. */
static inline int
compare_ids(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a->data, b->data, UUID_LEN);
}

/* Order two spans by start, then id, then place in the array. */
int
fms_tree_compare_starts(const FmsTree *tree, int a, int b)
{
	const FmsTreeSpan *left = &tree->spans[a];
	const FmsTreeSpan *right = &tree->spans[b];
	int			ids;

	if (left->started_at != right->started_at)
		return left->started_at < right->started_at ? -1 : 1;
	ids = compare_ids(&left->span_id, &right->span_id);
	if (ids != 0)
		return ids;
	return a < b ? -1 : a > b;
}

/* Comparator of qsort_arg: by id, then start. */
static int
by_id(const void *a, const void *b, void *tree)
{
	int			left = *(const int *) a;
	int			right = *(const int *) b;
	int			ids = compare_ids(&((FmsTree *) tree)->spans[left].span_id,
								  &((FmsTree *) tree)->spans[right].span_id);

	return ids != 0 ? ids : fms_tree_compare_starts(tree, left, right);
}

/* Comparator of qsort_arg: by start. */
static int
by_start(const void *a, const void *b, void *tree)
{
	return fms_tree_compare_starts(tree, *(const int *) a, *(const int *) b);
}

/*
 * An array of all places, sorted; in the tree's context, the caller's to free.
 * Both orders end with the place, so they are total: a tree always looks the same.
 */
static int *
sorted(FmsTree *tree, int (*compare) (const void *, const void *, void *))
{
	int		   *places = MemoryContextAllocHuge(tree->context, sizeof(int) * Max(tree->count, 1));

	for (int i = 0; i < tree->count; i++)
		places[i] = i;
	qsort_arg(places, tree->count, sizeof(int), compare, tree);
	CHECK_FOR_INTERRUPTS();
	return places;
}

/*
 * The first span with an id, else NO_SPAN.  Where several rows share the id it is
 * the earliest of them: that one gets the children.
 */
int
fms_tree_find(const FmsTree *tree, const pg_uuid_t *span_id)
{
	const int  *places = tree->by_id;
	int			low = 0;
	int			high = tree->count;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (compare_ids(&tree->spans[places[middle]].span_id, span_id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < tree->count && compare_ids(&tree->spans[places[low]].span_id, span_id) == 0)
		return places[low];
	return NO_SPAN;
}

/*
 * Find each span's parent, and the rows whose id another row has, too: of those
 * the earliest counts as the span, the others as duplicates.
 */
static void
find_parents(FmsTree *tree)
{
	const int  *places = tree->by_id = sorted(tree, by_id);

	for (int i = 0; i < tree->count; i++)
	{
		FmsTreeSpan *span = &tree->spans[places[i]];

		span->parent = NO_SPAN;
		if (span->has_parent)
		{
			span->parent = fms_tree_find(tree, &span->parent_span_id);
			if (span->parent == NO_SPAN)
				span->odd |= FMS_ORPHAN;
		}
		if (i > 0 && compare_ids(&tree->spans[places[i - 1]].span_id, &span->span_id) == 0)
			span->odd |= FMS_DUPLICATE;
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Cut a circle of parents above its earliest span; "member" lies on it.  One
 * span has one parent, so the circles have no span in common, and all cuts
 * together cost one look at each span.
 */
static void
cut_cycle(FmsTree *tree, int member)
{
	int			earliest = member;

	for (int i = tree->spans[member].parent; i != member; i = tree->spans[i].parent)
	{
		if (fms_tree_compare_starts(tree, i, earliest) < 0)
			earliest = i;
	}
	tree->spans[earliest].parent = NO_SPAN;
	tree->spans[earliest].odd |= FMS_CYCLE;
}

/*
 * Cut all circles.  Each walk goes up from a span until it meets the top, a
 * span of an earlier walk, or one of its own: then it went round a circle.  No
 * span is walked over twice, so this is linear.
 */
static void
cut_cycles(FmsTree *tree)
{
	int		   *walks = MemoryContextAllocExtended(tree->context, sizeof(int) * Max(tree->count, 1),
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (int i = 0; i < tree->count; i++)
	{
		int			walk = FIRST_WALK + i;
		int			at = i;

		while (at != NO_SPAN && walks[at] == UNSEEN)
		{
			walks[at] = walk;
			at = tree->spans[at].parent;
		}
		if (at != NO_SPAN && walks[at] == walk)
			cut_cycle(tree, at);
		CHECK_FOR_INTERRUPTS();
	}
	pfree(walks);
}

/* Append a span to the children of its parent, or to the roots. */
static void
link_span(FmsTree *tree, int place)
{
	FmsTreeSpan *span = &tree->spans[place];
	FmsTreeSpan *parent = span->parent == NO_SPAN ? NULL : &tree->spans[span->parent];
	int		   *first = parent == NULL ? &tree->first_root : &parent->first_child;
	int		   *last = parent == NULL ? &tree->last_root : &parent->last_child;
	int		   *count = parent == NULL ? &tree->roots : &parent->children;

	span->next = NO_SPAN;
	span->number = ++*count;
	if (*last == NO_SPAN)
		*first = place;
	else
		tree->spans[*last].next = place;
	*last = place;
}

/* Link all spans, siblings in the order of their starts. */
static void
link_spans(FmsTree *tree)
{
	int		   *places = sorted(tree, by_start);

	tree->first_root = tree->last_root = NO_SPAN;
	for (int i = 0; i < tree->count; i++)
		tree->spans[i].first_child = tree->spans[i].last_child = NO_SPAN;
	for (int i = 0; i < tree->count; i++)
		link_span(tree, places[i]);
	pfree(places);
}

/*
 * The span after this one in the order of the tree (parents before children),
 * else NO_SPAN.  A whole walk climbs each edge once.
 */
static int
following(const FmsTree *tree, int place)
{
	if (tree->spans[place].first_child != NO_SPAN)
		return tree->spans[place].first_child;
	while (place != NO_SPAN && tree->spans[place].next == NO_SPAN)
		place = tree->spans[place].parent;
	return place == NO_SPAN ? NO_SPAN : tree->spans[place].next;
}

/*
 * Give every span its position, depth and root.  Positions count from 1, and a
 * span's descendants have the ones right after its own.
 */
static void
number_spans(FmsTree *tree)
{
	int			position = 0;

	tree->order = MemoryContextAllocHuge(tree->context, sizeof(int) * Max(tree->count, 1));
	for (int i = tree->first_root; i != NO_SPAN; i = following(tree, i))
	{
		FmsTreeSpan *span = &tree->spans[i];

		span->depth = 0;
		span->root = i;
		if (span->parent != NO_SPAN)
		{
			span->depth = tree->spans[span->parent].depth + 1;
			span->root = tree->spans[span->parent].root;
		}
		tree->max_depth = Max(tree->max_depth, span->depth);
		tree->order[position++] = i;
		span->position = position;
		CHECK_FOR_INTERRUPTS();
	}
	Assert(position == tree->count);
}

/*
 * The root that stands for the trace; NO_SPAN if there is no span.  Roots are
 * linked by start, so the first that fits is the earliest.
 */
static int
main_root(const FmsTree *tree)
{
	for (int i = tree->first_root; i != NO_SPAN; i = tree->spans[i].next)
	{
		if (!tree->spans[i].has_parent)
			return i;
	}
	return tree->first_root;
}

/* Note what is odd about a span's time beside its parent's. */
static void
compare_with_parent(FmsTreeSpan *span, const FmsTreeSpan *parent)
{
	if (span->from < parent->from)
		span->odd |= FMS_CLOCK_SKEW;
	if (span->until > parent->until || span->from > parent->until)
		span->odd |= FMS_OUTSIDE;
}

/*
 * The time of a span that none of its children covers, in microseconds.  One
 * pass: "covered" is the end of all children so far, as far as it is within.
 */
static int64
self_time(const FmsTree *tree, const FmsTreeSpan *span)
{
	TimestampTz covered = span->from;
	int64		self = 0;

	/* children come in the order of their starts */
	for (int i = span->first_child; i != NO_SPAN; i = tree->spans[i].next)
	{
		TimestampTz from = Min(tree->spans[i].from, span->until);

		if (from > covered)
			self += from - covered;
		covered = Max(covered, Min(tree->spans[i].until, span->until));
	}
	return self + (span->until - covered);
}

/*
 * Add a span's own usage to the sum of its children, which is complete.  A
 * model call that others report from below is the same call told twice.
 */
static void
add_usage(FmsTreeSpan *span)
{
	if (span->usage_below || !(span->own_usage.tokens || span->own_usage.cost != NULL))
		return;
	fms_spent_add(&span->usage, &span->own_usage);
	span->usage_below = true;
}

/*
 * Sum up from the leaves to the roots: in the reverse of the tree's order a span
 * comes after everything below it.
 */
static void
sum_up(FmsTree *tree)
{
	for (int i = tree->count - 1; i >= 0; i--)
	{
		FmsTreeSpan *span = &tree->spans[tree->order[i]];
		FmsTreeSpan *parent;

		span->self_us = self_time(tree, span);
		add_usage(span);
		if (span->parent == NO_SPAN)
			continue;
		parent = &tree->spans[span->parent];
		compare_with_parent(span, parent);
		parent->descendants += span->descendants + 1;
		parent->usage_below |= span->usage_below;
		fms_spent_add(&parent->usage, &span->usage);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Turn the rows that were read into a tree: set what the rows do not tell, in
 * the order in which one needs the other.  What is allocated is in the tree's
 * context.  Called once for a tree.
 */
void
fms_tree_build(FmsTree *tree)
{
	MemoryContext old = MemoryContextSwitchTo(tree->context);

	find_parents(tree);
	cut_cycles(tree);
	link_spans(tree);
	number_spans(tree);
	tree->main_root = main_root(tree);
	sum_up(tree);
	MemoryContextSwitchTo(old);
}

/*
 * What is odd about a span, in words, palloc'd in the current context; NULL if
 * nothing is.
 */
char *
fms_tree_note(const FmsTreeSpan *span)
{
	static const struct
	{
		FmsOddity	odd;
		const char *text;
	}			notes[] = {
		{FMS_ORPHAN, "orphan"},
		{FMS_CYCLE, "cycle"},
		{FMS_DUPLICATE, "duplicate id"},
		{FMS_NO_START, "no start"},
		{FMS_ENDS_EARLY, "ends before its start"},
		{FMS_CLOCK_SKEW, "starts before its parent"},
		{FMS_OUTSIDE, "outlasts its parent"},
	};
	StringInfoData note;

	if (span->odd == 0)
		return NULL;
	initStringInfo(&note);
	for (int i = 0; i < lengthof(notes); i++)
	{
		if (span->odd & notes[i].odd)
			appendStringInfo(&note, "%s%s", note.len > 0 ? ", " : "", notes[i].text);
	}
	return note.data;
}
