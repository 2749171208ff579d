/*-------------------------------------------------------------------------
 *
 * spent.c
 *	  What a span's attributes say about tokens and cost.
 *
 * Tokens are counted where a model was called.  Agents and workflows often
 * carry the sum of what lies below them; to add those would count everything
 * twice.  Sums stop at the largest bigint.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "compat.h"
#include "trace/spent.h"
#include "usage/tokens.h"

/* Add two counts; the sum stops at the largest bigint. */
static int64
add_counts(int64 a, int64 b)
{
	int64		sum;

	return pg_add_s64_overflow(a, b, &sum) ? PG_INT64_MAX : sum;
}

/*
 * Read tokens and cost from the attributes of a model call.  The cost is
 * copied into the current memory context.
 */
void
fms_spent_read(Datum attributes, FmsSpent *usage)
{
	Jsonb	   *jsonb = DatumGetJsonbP(attributes);
	FmsTokens	tokens;

	memset(usage, 0, sizeof(*usage));
	fms_tokens_read(jsonb, &tokens);
	usage->tokens = tokens.has_tokens;
	usage->prompt = tokens.count[FMS_TOKENS_INPUT];
	usage->completion = tokens.count[FMS_TOKENS_OUTPUT];
	usage->total = tokens.count[FMS_TOKENS_TOTAL];
	usage->cost = tokens.cost;
	if ((Pointer) jsonb != DatumGetPointer(attributes))
		pfree(jsonb);
}

/* Add what one span used to a sum; a cost that no numeric can hold is left out. */
void
fms_spent_add(FmsSpent *sum, const FmsSpent *part)
{
	Numeric		cost;

	sum->tokens |= part->tokens;
	sum->prompt = add_counts(sum->prompt, part->prompt);
	sum->completion = add_counts(sum->completion, part->completion);
	sum->total = add_counts(sum->total, part->total);
	if (sum->cost == NULL)
		sum->cost = part->cost;
	else if (part->cost != NULL)
	{
		cost = fms_numeric_add(sum->cost, part->cost);
		if (cost != NULL)
			sum->cost = cost;
	}
}
