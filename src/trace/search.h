/*-------------------------------------------------------------------------
 *
 * search.h
 *	  Spans that a filter lets through, newest first, a page at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_SEARCH_H
#define FMS_TRACE_SEARCH_H

#include "access/htup.h"

#include "trace/filter.h"

/* the order of all pages: by these, the highest first */
typedef struct FmsPosition
{
	TimestampTz started_at;
	pg_uuid_t	span_id;
	pg_uuid_t	trace_id;
} FmsPosition;

typedef struct FmsSearch
{
	FmsFilter	filter;
	const char *columns;		/* what to select of alias s */
	int			ncolumns;
	int			wanted;			/* rows that the page still has room for */
	int64		budget;			/* spans that may still be looked at */
	bool		has_after;
	FmsPosition after;			/* go on behind it; moves along with the
								 * search */

	/* takes a row of the columns; returns whether it counts */
	bool		(*take) (struct FmsSearch *search, HeapTuple row, TupleDesc desc);
	void	   *result;			/* where take puts it */
} FmsSearch;

extern bool fms_search_run(FmsSearch *search);
extern Datum fms_search_cursor(const FmsPosition *position);
extern void fms_search_read_page(FmsSearch *search, FunctionCallInfo fcinfo, int argument);

#endif							/* FMS_TRACE_SEARCH_H */
