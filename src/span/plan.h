/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  Statements that are prepared once in a process and kept for its life.
 *
 * They name tables by their names, so they follow the extension's next life.
 * The caller is connected to SPI, and has a static pointer for each of them,
 * NULL at the beginning.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_PLAN_H
#define FMS_SPAN_PLAN_H

#include "executor/spi.h"

extern SPIPlanPtr fms_plan_kept(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types);
extern Datum fms_plan_array(Datum *elements, int count, Oid type);
extern uint64 fms_plan_run(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
						   Datum *values, const char *nulls);

#endif							/* FMS_SPAN_PLAN_H */
