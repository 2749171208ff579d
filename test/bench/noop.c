/*-------------------------------------------------------------------------
 *
 * noop.c
 *	  What a call of a C function costs when it does nothing, the floor that
 *	  the bench compares with; and what the bench measures with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/resource.h>

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(noop);
PG_FUNCTION_INFO_V1(noop_context);
PG_FUNCTION_INFO_V1(noop_cpu);
PG_FUNCTION_INFO_V1(noop_unhook);

/* noop(...) returns boolean */
Datum
noop(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(true);
}

/* noop_context(...) returns a row of three nulls, as create_span returns one */
Datum
noop_context(PG_FUNCTION_ARGS)
{
	Datum		values[3] = {0};
	bool		nulls[3] = {true, true, true};

	if (fcinfo->flinfo->fn_extra == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		TupleDesc	desc;

		get_call_result_type(fcinfo, NULL, &desc);
		fcinfo->flinfo->fn_extra = BlessTupleDesc(desc);
		MemoryContextSwitchTo(old);
	}
	return HeapTupleGetDatum(heap_form_tuple(fcinfo->flinfo->fn_extra, values, nulls));
}

/* noop_cpu() returns float8: CPU microseconds of this process so far */
Datum
noop_cpu(PG_FUNCTION_ARGS)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	PG_RETURN_FLOAT8((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
					 usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* noop_unhook() returns void: this session logs without any log hook */
Datum
noop_unhook(PG_FUNCTION_ARGS)
{
	emit_log_hook = NULL;
	PG_RETURN_VOID();
}
