/*-------------------------------------------------------------------------
 *
 * usage.h
 *	  What a span's attributes say about tokens and cost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_USAGE_H
#define FMS_TRACE_USAGE_H

#include "utils/numeric.h"

typedef struct FmsUsage
{
	bool		tokens;			/* there are any */
	int64		prompt;
	int64		completion;
	int64		total;
	Numeric		cost;			/* NULL if there is none */
} FmsUsage;

extern void fms_usage_read(Datum attributes, FmsUsage *usage);
extern void fms_usage_add(FmsUsage *sum, const FmsUsage *part);

#endif							/* FMS_TRACE_USAGE_H */
