/*-------------------------------------------------------------------------
 *
 * jsonb.c
 *	  Building of jsonb; see jsonb.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "span/jsonb.h"

/* Add a key; its value comes next. */
void
fms_jsonb_key(FmsJsonbState *state, const char *key)
{
	JsonbValue	name;

	fms_jsonb_set_string(&name, key, strlen(key));
	fms_jsonb_push(state, WJB_KEY, &name);
}

/* Add a key and its value. */
void
fms_jsonb_pair(FmsJsonbState *state, const char *key, JsonbValue *value)
{
	fms_jsonb_key(state, key);
	fms_jsonb_push(state, WJB_VALUE, value);
}

/* Add a key and a string; nothing if the string is NULL. */
void
fms_jsonb_string(FmsJsonbState *state, const char *key, const char *text)
{
	if (text != NULL)
		fms_jsonb_bytes(state, key, text, strlen(text));
}

/* Add a key and a string of "length" bytes. */
void
fms_jsonb_bytes(FmsJsonbState *state, const char *key, const char *data, int length)
{
	JsonbValue	value;

	fms_jsonb_set_string(&value, data, length);
	fms_jsonb_pair(state, key, &value);
}

/* Add a key and a whole number. */
void
fms_jsonb_integer(FmsJsonbState *state, const char *key, int64 number)
{
	JsonbValue	value = {.type = jbvNumeric};

	value.val.numeric = int64_to_numeric(number);
	fms_jsonb_pair(state, key, &value);
}

/* Add a key and a boolean. */
void
fms_jsonb_bool(FmsJsonbState *state, const char *key, bool truth)
{
	JsonbValue	value = {.type = jbvBool};

	value.val.boolean = truth;
	fms_jsonb_pair(state, key, &value);
}

/* Add a key and a jsonb of any kind. */
void
fms_jsonb_nested(FmsJsonbState *state, const char *key, Jsonb *jsonb)
{
	JsonbValue	value;

	fms_jsonb_set(&value, jsonb);
	fms_jsonb_pair(state, key, &value);
}

/* Add the members of an object, or the elements of an array. */
void
fms_jsonb_contents(FmsJsonbState *state, Jsonb *container)
{
	JsonbIterator *iterator = JsonbIteratorInit(&container->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	(void) JsonbIteratorNext(&iterator, &value, true);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM)
			fms_jsonb_push(state, token, &value);
	}
}

/* The whole, after its last token: WJB_END_OBJECT or WJB_END_ARRAY. */
Jsonb *
fms_jsonb_end(FmsJsonbState *state, JsonbIteratorToken token)
{
	fms_jsonb_push(state, token, NULL);
	return JsonbValueToJsonb(state->result);
}

/* An object without members. */
Jsonb *
fms_jsonb_empty(void)
{
	FmsJsonbState state = {0};

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/*
 * Two objects as one in which the members of the second win, or two arrays as
 * one; either can be NULL.
 */
Jsonb *
fms_jsonb_merge(Jsonb *first, Jsonb *second)
{
	if (first == NULL || second == NULL)
		return first == NULL ? second : first;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(first),
											  JsonbPGetDatum(second)));
}
