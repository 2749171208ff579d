/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Statements that are prepared once; see plan.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/lsyscache.h"

#include "span/plan.h"

/* The plan of a statement, which is prepared if it is not yet. */
SPIPlanPtr
fms_plan_kept(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare(sql, nargs, types);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
		*plan = made;
	}
	return *plan;
}

/* Run a statement that may write; returns the number of rows. */
uint64
fms_plan_run(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types, Datum *values,
			 const char *nulls)
{
	int			rc = SPI_execute_plan(fms_plan_kept(plan, sql, nargs, types), values, nulls, false, 0);

	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(rc));
	return SPI_processed;
}

/*
 * An array as a parameter, which passes any number of values to one statement; in
 * the current memory context.
 */
Datum
fms_plan_array(Datum *elements, int count, Oid type)
{
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(elements, count, type, length, by_value, align));
}
