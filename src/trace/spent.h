/*-------------------------------------------------------------------------
 *
 * spent.h
 *	  What a span's attributes say about tokens and cost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_SPENT_H
#define FMS_TRACE_SPENT_H

#include "utils/numeric.h"

typedef struct FmsSpent
{
	bool		tokens;			/* there are any */
	int64		prompt;
	int64		completion;
	int64		total;
	Numeric		cost;			/* NULL if there is none */
} FmsSpent;

extern void fms_spent_read(Datum attributes, FmsSpent *usage);
extern void fms_spent_add(FmsSpent *sum, const FmsSpent *part);

#endif							/* FMS_TRACE_SPENT_H */
