/*-------------------------------------------------------------------------
 *
 * feed.h
 *	  Rows in memory that a statement reads from a set-returning function.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_FEED_H
#define FMS_TABLE_FEED_H

#include "executor/spi.h"
#include "nodes/execnodes.h"

typedef struct FmsFeed FmsFeed;

struct FmsFeed
{
	const char *function;		/* name of the SQL function that hands out the
								 * rows */
	/* puts row i into a result, and returns the number of the next one */
	int			(*put) (const FmsFeed *feed, int i, ReturnSetInfo *result);
	void	   *rows;			/* NULL outside of a statement */
	int			count;
};

extern Datum fms_feed_rows(const FmsFeed *feed, FunctionCallInfo fcinfo);
extern uint64 fms_feed_run(FmsFeed *feed, void *rows, int count, SPIPlanPtr plan, Datum *values);

#endif							/* FMS_TABLE_FEED_H */
