/*-------------------------------------------------------------------------
 *
 * feed.c
 *	  Rows in memory that a statement reads from a set-returning function.
 *
 * A batch is written by INSERT ... SELECT from a function of ours: no row is
 * turned into text, and one statement writes any number of rows.  After the
 * statement, and after its error, the function forgets the rows, so that nothing
 * ever reads memory that is gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "table/feed.h"

/*
 * The body of the function: the rows of the running statement.  Raises an error
 * if none runs, for the function is for us alone.  What is made for a row is made
 * in memory that is emptied after it.
 */
Datum
fms_feed_rows(const FmsFeed *feed, FunctionCallInfo fcinfo)
{
	MemoryContext scratch;
	MemoryContext old;

	if (feed->rows == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s() can only be called by the span writer", feed->function)));
	InitMaterializedSRF(fcinfo, 0);
	scratch = AllocSetContextCreate(CurrentMemoryContext, "flowmaestro_spans feed",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	for (int i = 0; i < feed->count;)
	{
		CHECK_FOR_INTERRUPTS();
		i = feed->put(feed, i, (ReturnSetInfo *) fcinfo->resultinfo);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return (Datum) 0;
}

/*
 * Run a statement that reads the rows, with parameters; returns how many it wrote.
 * Connected to SPI.
 */
uint64
fms_feed_run(FmsFeed *feed, void *rows, int count, SPIPlanPtr plan, Datum *values)
{
	int			rc;

	feed->rows = rows;
	feed->count = count;
	PG_TRY();
	{
		rc = SPI_execute_plan(plan, values, NULL, false, 0);
	}
	PG_FINALLY();
	{
		feed->rows = NULL;
	}
	PG_END_TRY();
	if (rc < 0)
		elog(ERROR, "could not write the rows of %s(): %s", feed->function,
			 SPI_result_code_string(rc));
	return SPI_processed;
}
