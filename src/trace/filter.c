/*-------------------------------------------------------------------------
 *
 * filter.c
 *	  Which spans a caller asks for.
 *
 * The arguments of the SQL functions become parameters of a statement, whose
 * numbers are fixed: a condition that is not given is a parameter that no text
 * refers to.  So the planner sees constants, as partial indexes and the pruning
 * of partitions want, and no value of a caller ever becomes part of a text.
 *
 * Values point into the arguments of the call and live as long as it does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "span/text.h"
#include "trace/filter.h"

/* arguments in the order of the SQL functions, which share the first ones */
enum
{
	ARG_SPAN_TYPE, ARG_ENTITY, ARG_USER, ARG_STATUS, ARG_FROM, ARG_UNTIL, ARG_ATTRIBUTES, ARG_NAME,
	ARG_DURATION, ARG_ERROR, ARG_TRACE, ARG_SPAN_TYPES
};

Oid			fms_filter_types[FMS_PARAMS] = {
	[FMS_PARAM_FROM] = TIMESTAMPTZOID,
	[FMS_PARAM_UNTIL] = TIMESTAMPTZOID,
	[FMS_PARAM_AFTER_TIME] = TIMESTAMPTZOID,
	[FMS_PARAM_AFTER_SPAN] = UUIDOID,
	[FMS_PARAM_AFTER_TRACE] = UUIDOID,
	[FMS_PARAM_NOW] = TIMESTAMPTZOID,
	[FMS_PARAM_CONDITIONS + FMS_BY_TYPE] = TEXTARRAYOID,
	[FMS_PARAM_CONDITIONS + FMS_BY_ENTITY] = TEXTOID,
	[FMS_PARAM_CONDITIONS + FMS_BY_USER] = TEXTOID,
	[FMS_PARAM_CONDITIONS + FMS_BY_STATUS] = TEXTOID,
	[FMS_PARAM_CONDITIONS + FMS_BY_ATTRIBUTES] = JSONBOID,
	[FMS_PARAM_CONDITIONS + FMS_BY_NAME] = TEXTOID,
	[FMS_PARAM_CONDITIONS + FMS_BY_DURATION] = FLOAT8OID,
	[FMS_PARAM_CONDITIONS + FMS_BY_ERROR] = TEXTOID,
	[FMS_PARAM_CONDITIONS + FMS_BY_TRACE] = UUIDOID,
};

/* %1$d is the parameter's number, %2$d that of "now" */
static const char *const texts[FMS_CONDITIONS] = {
	[FMS_BY_TYPE] = "s.span_type OPERATOR(pg_catalog.=) ANY ($%1$d)",
	[FMS_BY_ENTITY] = "s.entity_id OPERATOR(pg_catalog.=) $%1$d",
	[FMS_BY_USER] = "(s.attributes OPERATOR(pg_catalog.->>) 'userId') OPERATOR(pg_catalog.=) $%1$d",
	[FMS_BY_STATUS] = "s.status OPERATOR(pg_catalog.=) $%1$d",
	[FMS_BY_ATTRIBUTES] = "s.attributes OPERATOR(pg_catalog.@>) $%1$d",
	[FMS_BY_NAME] = "s.name OPERATOR(pg_catalog.~~*) $%1$d",
	/* a running span has lasted until now */
	[FMS_BY_DURATION] = "COALESCE(s.duration_ms, pg_catalog.date_part('epoch', "
	"$%2$d OPERATOR(pg_catalog.-) s.started_at) OPERATOR(pg_catalog.*) 1000::pg_catalog.float8) "
	"OPERATOR(pg_catalog.>=) $%1$d",
	[FMS_BY_ERROR] = "pg_catalog.strpos(pg_catalog.lower(s.error OPERATOR(pg_catalog.->>) "
	"'message'), pg_catalog.lower($%1$d)) OPERATOR(pg_catalog.>) 0",
	[FMS_BY_TRACE] = "s.trace_id OPERATOR(pg_catalog.=) $%1$d",
};

/* Take a condition's value from an argument, if there is one. */
static void
take_condition(FmsFilter *filter, FmsCondition condition, FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		return;
	filter->conditions |= FMS_BIT(condition);
	filter->values[FMS_PARAM_CONDITIONS + condition] = PG_GETARG_DATUM(argument);
	filter->nulls[FMS_PARAM_CONDITIONS + condition] = ' ';
}

/* An array of one text. */
static Datum
array_of(Datum element)
{
	return PointerGetDatum(construct_array(&element, 1, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Take one span type or an array of them; raises an error if both are given,
 * or if the array is not a list of texts.  The condition is always an array.
 */
static void
take_types(FmsFilter *filter, FunctionCallInfo fcinfo, int nargs)
{
	Datum	   *value = &filter->values[FMS_PARAM_CONDITIONS + FMS_BY_TYPE];

	take_condition(filter, FMS_BY_TYPE, fcinfo, ARG_SPAN_TYPE);
	if (filter->conditions & FMS_BIT(FMS_BY_TYPE))
		*value = array_of(*value);
	if (nargs > ARG_SPAN_TYPES && !PG_ARGISNULL(ARG_SPAN_TYPES))
	{
		if (filter->conditions & FMS_BIT(FMS_BY_TYPE))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("span_type and span_types cannot both be given")));
		take_condition(filter, FMS_BY_TYPE, fcinfo, ARG_SPAN_TYPES);
	}
	if (filter->conditions & FMS_BIT(FMS_BY_TYPE))
	{
		ArrayType  *types = DatumGetArrayTypeP(*value);

		if (ARR_NDIM(types) > 1 || array_contains_nulls(types))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("span_types must be a simple array without NULLs")));
		filter->types = ArrayGetNItems(ARR_NDIM(types), ARR_DIMS(types));
		/* branches count its elements from 1 */
		if (filter->types > 0)
			ARR_LBOUND(types)[0] = 1;
		*value = PointerGetDatum(types);
	}
}

/*
 * Whether a containment has a scalar to look up in the index; one without, as
 * {"a": {}}, would make it read all of its entries.
 */
static bool
has_scalar(Jsonb *jsonb)
{
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_VALUE || token == WJB_ELEM)
			return true;
	}
	return false;
}

/* Take the conditions whose value decides about the index. */
static void
take_special(FmsFilter *filter, FunctionCallInfo fcinfo)
{
	take_condition(filter, FMS_BY_STATUS, fcinfo, ARG_STATUS);
	if (!PG_ARGISNULL(ARG_STATUS))
	{
		text	   *status = PG_GETARG_TEXT_PP(ARG_STATUS);

		filter->completed = fms_part_is(FMS_TEXT_PART(status), "completed");
	}
	take_condition(filter, FMS_BY_ATTRIBUTES, fcinfo, ARG_ATTRIBUTES);
	if (!PG_ARGISNULL(ARG_ATTRIBUTES))
		filter->any_attributes = !has_scalar(PG_GETARG_JSONB_P(ARG_ATTRIBUTES));
}

/*
 * Read the arguments of a filter, which are the first "nargs" of the call:
 * FMS_FILTER_ARGS or FMS_SPAN_FILTER_ARGS.  The parameters of time and position
 * are left to whoever runs the statement, but for "now".
 */
void
fms_filter_read(FmsFilter *filter, FunctionCallInfo fcinfo, int nargs)
{
	memset(filter, 0, sizeof(*filter));
	memset(filter->nulls, 'n', sizeof(filter->nulls));
	filter->from = PG_ARGISNULL(ARG_FROM) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(ARG_FROM);
	filter->until = PG_ARGISNULL(ARG_UNTIL) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(ARG_UNTIL);
	filter->values[FMS_PARAM_NOW] = TimestampTzGetDatum(GetCurrentStatementStartTimestamp());
	filter->nulls[FMS_PARAM_NOW] = ' ';
	take_types(filter, fcinfo, nargs);
	take_condition(filter, FMS_BY_ENTITY, fcinfo, ARG_ENTITY);
	take_condition(filter, FMS_BY_USER, fcinfo, ARG_USER);
	take_special(filter, fcinfo);
	take_condition(filter, FMS_BY_NAME, fcinfo, ARG_NAME);
	take_condition(filter, FMS_BY_DURATION, fcinfo, ARG_DURATION);
	take_condition(filter, FMS_BY_ERROR, fcinfo, ARG_ERROR);
	if (nargs > ARG_TRACE)
		take_condition(filter, FMS_BY_TRACE, fcinfo, ARG_TRACE);
}

/*
 * Append conditions to a statement, joined by AND; "true" if there are none.
 * They are about the alias s and refer to the parameters of fms_filter_types.
 */
void
fms_filter_where(StringInfo sql, int conditions)
{
	const char *joint = "";

	for (int i = 0; i < FMS_CONDITIONS; i++)
	{
		if (!(conditions & FMS_BIT(i)))
			continue;
		appendStringInfoString(sql, joint);
		appendStringInfo(sql, texts[i], FMS_PARAM_CONDITIONS + i + 1, FMS_PARAM_NOW + 1);
		joint = " AND ";
	}
	if (conditions == 0)
		appendStringInfoString(sql, "true");
}
