/*-------------------------------------------------------------------------
 *
 * tree.h
 *	  The spans of a trace as a tree.
 *
 * fms_tree_read reads the rows, fms_tree_build puts them in order.  Spans are
 * named by their place in the array; NO_SPAN is none.  Everything lies in the
 * memory context that was current at fms_tree_read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_TREE_H
#define FMS_TRACE_TREE_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "trace/spent.h"

#define NO_SPAN (-1)

/* what is odd about a span, a bit each */
typedef enum FmsOddity
{
	FMS_ORPHAN = 1 << 0,		/* its parent is not in the trace */
	FMS_CYCLE = 1 << 1,			/* its parents lead back to it; cut here */
	FMS_DUPLICATE = 1 << 2,		/* another row of the trace has its id */
	FMS_NO_START = 1 << 3,		/* only its end or attributes were seen */
	FMS_ENDS_EARLY = 1 << 4,	/* ends before it starts */
	FMS_CLOCK_SKEW = 1 << 5,	/* starts before its parent */
	FMS_OUTSIDE = 1 << 6,		/* goes on after its parent's end */
} FmsOddity;

typedef struct FmsTreeSpan
{
	/* from the row */
	pg_uuid_t	span_id;
	pg_uuid_t	parent_span_id;
	bool		has_parent;
	bool		running;
	bool		failed;
	text	   *name;
	text	   *span_type;
	text	   *entity_id;		/* NULL if there is none */
	text	   *status;
	text	   *error;			/* message; NULL if there is none */
	TimestampTz started_at;
	TimestampTz ended_at;		/* as recorded, unless running */
	/* the time that all sums take: finite, and never ends before it starts */
	TimestampTz from;
	TimestampTz until;

	/* place in the tree */
	int			parent;
	int			first_child;
	int			last_child;
	int			next;			/* the next one with the same parent */
	int			children;
	int			descendants;
	int			number;			/* among its siblings, from 1 */
	int			position;		/* in the order of the tree, from 1 */
	int			depth;			/* 0 for a root */
	int			root;			/* top of its tree */
	int			odd;			/* FmsOddity */

	/* sums */
	int64		self_us;		/* time that no child covers */
	FmsSpent	own_usage;		/* what a model call says of itself */
	FmsSpent	usage;			/* of the span and all below it */
	bool		usage_below;	/* a model call below has tokens or cost */
	bool		critical;		/* the critical path leads through it */
	int64		critical_us;	/* its own part of the critical path */
} FmsTreeSpan;

typedef struct FmsTree
{
	MemoryContext context;
	FmsTreeSpan *spans;
	int			count;
	int			capacity;
	int		   *by_id;			/* places, sorted by id */
	int		   *order;			/* parents before children, siblings by start */
	int			first_root;		/* roots are linked like siblings */
	int			last_root;
	int			roots;
	int			main_root;		/* earliest span without a parent, else
								 * earliest root */
	int			max_depth;
	TimestampTz now;			/* until when running spans are taken to run */
} FmsTree;

extern FmsTree *fms_tree_read(const pg_uuid_t *trace_id);
extern void fms_tree_build(FmsTree *tree);
extern int	fms_tree_find(const FmsTree *tree, const pg_uuid_t *span_id);
extern int	fms_tree_compare_starts(const FmsTree *tree, int a, int b);
extern char *fms_tree_note(const FmsTreeSpan *span);

#endif							/* FMS_TRACE_TREE_H */
