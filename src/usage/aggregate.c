/*-------------------------------------------------------------------------
 *
 * aggregate.c
 *	  Usage from the attributes of spans, in queries.
 *
 * The state of the aggregate is an int8[] of fixed length, calls first, then
 * the tokens by kind: a type that travels between processes and servers, which
 * an internal state could only with functions to serialise it, and that is
 * changed in place while it stays in one.  A server that sits before others can
 * have each of them make a state and combine the states.
 *
 * Sums overflow only with counts that are garbage; that is an error, as for
 * sum(bigint) cast back to bigint, rather than a wrong number.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "table/owner.h"
#include "usage/tokens.h"

#define STATE_LENGTH (1 + FMS_TOKEN_KINDS)

PG_FUNCTION_INFO_V1(fms_usage_of);
PG_FUNCTION_INFO_V1(fms_token_usage_step);
PG_FUNCTION_INFO_V1(fms_token_usage_combine);
PG_FUNCTION_INFO_V1(fms_token_usage_final);

/*
 * usage_of(attributes jsonb) returns record: what attributes say of a model
 * call.  Counts are 0 and texts NULL if they were not given.
 */
Datum
fms_usage_of(PG_FUNCTION_ARGS)
{
	FmsTokens	tokens;
	TupleDesc	desc;
	Datum		values[3 + FMS_USAGE_TEXTS + FMS_TOKEN_KINDS];
	bool		nulls[lengthof(values)] = {false};
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	fms_tokens_read(PG_GETARG_JSONB_P(0), &tokens);
	values[n++] = BoolGetDatum(fms_tokens_present(&tokens));
	for (int i = 0; i < FMS_USAGE_TEXTS; i++)
	{
		nulls[n] = tokens.text[i].data == NULL;
		values[n++] = fms_table_text(&tokens.text[i]);
	}
	for (int i = 0; i < FMS_TOKEN_KINDS; i++)
		values[n++] = Int64GetDatum(tokens.count[i]);
	nulls[n] = tokens.cost == NULL;
	values[n++] = NumericGetDatum(tokens.cost);
	values[n++] = Int32GetDatum(tokens.ignored);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* The numbers of a state; an array that is none of ours is an error. */
static int64 *
numbers_of(ArrayType *state)
{
	if (ARR_NDIM(state) != 1 || ARR_DIMS(state)[0] != STATE_LENGTH || ARR_HASNULL(state) ||
		ARR_ELEMTYPE(state) != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("expected an array of %d bigints as state of token_usage_agg", STATE_LENGTH)));
	return (int64 *) ARR_DATA_PTR(state);
}

/*
 * The first argument as a state that can be changed.  In an aggregate it is
 * ours and lives in the aggregate's context; called as a plain function, it may
 * be a constant of the query or lie in a page, and is copied.
 */
static ArrayType *
own_state(FunctionCallInfo fcinfo)
{
	if (AggCheckCallContext(fcinfo, NULL))
		return PG_GETARG_ARRAYTYPE_P(0);
	return PG_GETARG_ARRAYTYPE_P_COPY(0);
}

/* Add to a number of a state; what does not fit is an error. */
static inline void
add(int64 *sum, int64 value)
{
	if (unlikely(pg_add_s64_overflow(*sum, value, sum)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("bigint out of range")));
}

/*
 * token_usage_step(bigint[], attributes jsonb) returns bigint[]
 *
 * Runs once for each row of a query, so it reads the counts alone.
 */
Datum
fms_token_usage_step(PG_FUNCTION_ARGS)
{
	ArrayType  *state = own_state(fcinfo);
	int64	   *numbers = numbers_of(state);
	int64		count[FMS_TOKEN_KINDS];

	add(&numbers[0], 1);
	if (fms_tokens_count(PG_GETARG_JSONB_P(1), count))
	{
		for (int i = 0; i < FMS_TOKEN_KINDS; i++)
			add(&numbers[1 + i], count[i]);
	}
	PG_RETURN_ARRAYTYPE_P(state);
}

/* token_usage_combine(bigint[], bigint[]) returns bigint[]: the first one, added to. */
Datum
fms_token_usage_combine(PG_FUNCTION_ARGS)
{
	ArrayType  *state = own_state(fcinfo);
	int64	   *numbers = numbers_of(state);
	int64	   *others = numbers_of(PG_GETARG_ARRAYTYPE_P(1));

	for (int i = 0; i < STATE_LENGTH; i++)
		add(&numbers[i], others[i]);
	PG_RETURN_ARRAYTYPE_P(state);
}

/* token_usage_final(bigint[]) returns token_counts; the state is not changed. */
Datum
fms_token_usage_final(PG_FUNCTION_ARGS)
{
	int64	   *numbers = numbers_of(PG_GETARG_ARRAYTYPE_P(0));
	TupleDesc	desc;
	Datum		values[STATE_LENGTH];
	bool		nulls[STATE_LENGTH] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < STATE_LENGTH; i++)
		values[i] = Int64GetDatum(numbers[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
