/*-------------------------------------------------------------------------
 *
 * usage.c
 *	  What a span's attributes say about tokens and cost.
 *
 * Tokens are counted where a model was called.  Agents and workflows often
 * carry the sum of what lies below them; to add those would count everything
 * twice.  Values come as numbers or as numbers in strings; what is neither, is
 * negative or does not fit is no count, never an error.  Sums stop at the
 * largest bigint.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "compat.h"
#include "trace/usage.h"

#define LONGEST_NUMBER 32		/* bytes of a count in a string */

/* the names of a value, the first that is there wins */
static const char *const prompt_keys[] = {
	"promptTokens", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", NULL
};
static const char *const completion_keys[] = {
	"completionTokens", "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", NULL
};
static const char *const total_keys[] = {
	"totalTokens", "gen_ai.usage.total_tokens", NULL
};
static const char *const cost_keys[] = {
	"totalCost", "gen_ai.usage.cost", NULL
};

/* Whether spans of a type are calls of a model. */
bool
fms_usage_is_model_call(const char *span_type, int length)
{
	static const char *const types[] = {"model_generation", "embedding_generation"};

	for (int i = 0; i < lengthof(types); i++)
	{
		if (length == strlen(types[i]) && memcmp(span_type, types[i], length) == 0)
			return true;
	}
	return false;
}

/* Read a count from a string of digits; false if it is no number. */
static bool
number_in_string(const char *data, int length, double *number)
{
	char		copy[LONGEST_NUMBER + 1];
	char	   *end;

	if (length == 0 || length > LONGEST_NUMBER)
		return false;
	memcpy(copy, data, length);
	copy[length] = '\0';
	*number = strtod(copy, &end);
	return end == copy + length;
}

/* Read a value as a count; false if it is none. */
static bool
as_count(const JsonbValue *value, int64 *count)
{
	double		number;

	if (value->type == jbvNumeric)
		number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
													NumericGetDatum(value->val.numeric)));
	else if (value->type != jbvString ||
			 !number_in_string(value->val.string.val, value->val.string.len, &number))
		return false;
	/* NaN fails both comparisons */
	if (!(number >= 0 && number < (double) PG_INT64_MAX))
		return false;
	*count = (int64) rint(number);
	return true;
}

/* The first of some keys of an object that is there, else NULL. */
static JsonbValue *
look_up(JsonbContainer *object, const char *const *keys, JsonbValue *value)
{
	for (; *keys != NULL; keys++)
	{
		JsonbValue *found = getKeyJsonValueFromContainer(object, *keys, strlen(*keys), value);

		if (found != NULL)
			return found;
	}
	return NULL;
}

/* The count of the first of some keys that is there; false if there is none. */
static bool
read_count(JsonbContainer *object, const char *const *keys, int64 *count)
{
	JsonbValue	value;

	*count = 0;
	return look_up(object, keys, &value) != NULL && as_count(&value, count);
}

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
fms_usage_read(Datum attributes, FmsUsage *usage)
{
	Jsonb	   *jsonb = DatumGetJsonbP(attributes);
	JsonbContainer *object = &jsonb->root;
	JsonbValue	cost;

	memset(usage, 0, sizeof(*usage));
	if (JsonContainerIsObject(object))
	{
		bool		prompt = read_count(object, prompt_keys, &usage->prompt);
		bool		completion = read_count(object, completion_keys, &usage->completion);
		bool		total = read_count(object, total_keys, &usage->total);

		usage->tokens = prompt || completion || total;
		if (!total)
			usage->total = add_counts(usage->prompt, usage->completion);
		if (look_up(object, cost_keys, &cost) != NULL && cost.type == jbvNumeric)
			usage->cost = DatumGetNumericCopy(NumericGetDatum(cost.val.numeric));
	}
	if ((Pointer) jsonb != DatumGetPointer(attributes))
		pfree(jsonb);
}

/* Add what one span used to a sum; a cost that no numeric can hold is left out. */
void
fms_usage_add(FmsUsage *sum, const FmsUsage *part)
{
	bool		overflow = false;
	Numeric		cost;

	sum->tokens |= part->tokens;
	sum->prompt = add_counts(sum->prompt, part->prompt);
	sum->completion = add_counts(sum->completion, part->completion);
	sum->total = add_counts(sum->total, part->total);
	if (sum->cost == NULL)
		sum->cost = part->cost;
	else if (part->cost != NULL)
	{
		cost = numeric_add_opt_error(sum->cost, part->cost, &overflow);
		if (!overflow)
			sum->cost = cost;
	}
}
