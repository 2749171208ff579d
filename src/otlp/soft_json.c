/*-------------------------------------------------------------------------
 *
 * soft_json.c
 *	  JSON in a text that may be none.
 *
 * Instrumentations put prompts and answers into attributes as JSON in a
 * string, or as plain text, and do not say which.  The input function of jsonb
 * throws for what it does not take, and an error here would cost the span.  So
 * the server's parser runs with actions of our own that build a jsonb, and what
 * would throw is seen before: depth, numbers that numeric does not hold, and
 * escapes that have no character in the encoding of the database.
 *
 * A text longer than flowmaestro.max_payload would be cut anyway and stays one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "compat.h"
#include "otlp/soft_json.h"
#include "span/jsonb.h"
#include "span/payload.h"

#define DEEPEST 100
#define LONGEST_TEXT (16 * 1024 * 1024) /* a jsonb of it stays far below its
										 * limit */
#define LONGEST_NUMBER 16000	/* bytes of a number: within the range of
								 * numeric */
#define LARGEST_EXPONENT 308	/* of a double: a number does not grow much as
								 * text */

typedef struct Building
{
	FmsJsonbState state;
	int			depth;			/* containers that are open */
	bool		keyed;			/* a key waits for its value */
	bool		refused;
} Building;

/*
 * Whether brackets nest no deeper than DEEPEST and every escape has a character.
 * Only in UTF8 is that so for all of them.
 */
static bool
is_harmless(const char *data, int length)
{
	bool		in_string = false;
	bool		all_characters = GetDatabaseEncoding() == PG_UTF8;
	int			depth = 0;

	for (int i = 0; i < length; i++)
	{
		if (in_string && data[i] == '\\')
		{
			i++;
			if (i < length && data[i] == 'u' && !all_characters)
				return false;
		}
		else if (data[i] == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if ((data[i] == '{' || data[i] == '[') && ++depth > DEEPEST)
			return false;
		else if (data[i] == '}' || data[i] == ']')
			depth--;
	}
	return true;
}

/* Add a key, a value or a token of structure. */
static void
push(Building *building, JsonbIteratorToken token, JsonbValue *value)
{
	CHECK_FOR_INTERRUPTS();
	if (token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY)
		building->depth++;
	else if (token == WJB_END_OBJECT || token == WJB_END_ARRAY)
		building->depth--;
	building->keyed = token == WJB_KEY;
	fms_jsonb_push(&building->state, token, value);
}

/* An object begins. */
static FmsJsonResult
soft_object_start(void *state)
{
	push(state, WJB_BEGIN_OBJECT, NULL);
	return FMS_JSON_GO_ON;
}

/* An object ends. */
static FmsJsonResult
soft_object_end(void *state)
{
	push(state, WJB_END_OBJECT, NULL);
	return FMS_JSON_GO_ON;
}

/* An array begins. */
static FmsJsonResult
soft_array_start(void *state)
{
	push(state, WJB_BEGIN_ARRAY, NULL);
	return FMS_JSON_GO_ON;
}

/* An array ends. */
static FmsJsonResult
soft_array_end(void *state)
{
	push(state, WJB_END_ARRAY, NULL);
	return FMS_JSON_GO_ON;
}

/* A key of an object. */
static FmsJsonResult
soft_field_start(void *state, char *name, bool isnull)
{
	JsonbValue	key;

	fms_jsonb_set_string(&key, name, strlen(name));
	push(state, WJB_KEY, &key);
	return FMS_JSON_GO_ON;
}

/* Whether numeric takes a number of JSON, and prints it with few digits. */
static bool
number_fits(const char *token)
{
	const char *letter = strpbrk(token, "eE");
	long		exponent = letter == NULL ? 0 : strtol(letter + 1, NULL, 10);

	return strlen(token) <= LONGEST_NUMBER &&
		exponent >= -LARGEST_EXPONENT && exponent <= LARGEST_EXPONENT;
}

/* A string, number, boolean or null. */
static FmsJsonResult
soft_scalar(void *state, char *token, JsonTokenType type)
{
	Building   *building = state;
	JsonbValue	value = {.type = jbvNull};

	switch (type)
	{
		case JSON_TOKEN_STRING:
			fms_jsonb_set_string(&value, token, strlen(token));
			break;
		case JSON_TOKEN_NUMBER:
			if (!number_fits(token))
			{
				building->refused = true;
				break;
			}
			value.type = jbvNumeric;
			value.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in,
																	CStringGetDatum(token),
																	ObjectIdGetDatum(InvalidOid),
																	Int32GetDatum(-1)));
			break;
		case JSON_TOKEN_TRUE:
		case JSON_TOKEN_FALSE:
			value.type = jbvBool;
			value.val.boolean = type == JSON_TOKEN_TRUE;
			break;
		default:
			break;
	}
	if (building->depth > 0)
		push(building, building->keyed ? WJB_VALUE : WJB_ELEM, &value);
	else
	{
		building->state.result = palloc(sizeof(JsonbValue));
		*building->state.result = value;
	}
	return FMS_JSON_GO_ON;
}

/*
 * The jsonb that a text in the encoding of the database is, in the current
 * memory context; NULL if it is none, or a scalar and those are not wanted.
 * Throws on a query cancel, or out of memory, only.
 */
Jsonb *
fms_soft_json(const char *data, int length, bool scalars)
{
	Building	building = {0};
	JsonSemAction actions = {
		.semstate = &building,
		.object_start = soft_object_start,
		.object_end = soft_object_end,
		.array_start = soft_array_start,
		.array_end = soft_array_end,
		.object_field_start = soft_field_start,
		.scalar = soft_scalar
	};
	int			blanks = 0;

	if (length > Min(fms_max_payload * INT64CONST(1024), LONGEST_TEXT))
		return NULL;
	while (blanks < length && strchr(" \t\r\n", data[blanks]) != NULL && data[blanks] != '\0')
		blanks++;
	if (blanks == length || (!scalars && data[blanks] != '{' && data[blanks] != '[') ||
		!is_harmless(data, length))
		return NULL;
	if (pg_parse_json(fms_json_lexer(data, length), &actions) != JSON_SUCCESS || building.refused)
		return NULL;
	return JsonbValueToJsonb(building.state.result);
}
