/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  The functions of SQL for the key map of the request context.
 *
 * The map is part of flowmaestro.request_context, so a change of a key sets the
 * whole of it again, and a rollback brings back all keys.  Only what the setting
 * says is written back: a span that is entered, or a statement's comment, must
 * not become part of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "compat.h"
#include "context/draft.h"
#include "span/jsonb.h"

PG_FUNCTION_INFO_V1(fms_request_context_get);
PG_FUNCTION_INFO_V1(fms_request_context_set);
PG_FUNCTION_INFO_V1(fms_request_context_has);
PG_FUNCTION_INFO_V1(fms_request_context_delete);
PG_FUNCTION_INFO_V1(fms_request_context_keys);
PG_FUNCTION_INFO_V1(fms_request_context_clear);

/* Put a map into the request in force, and leave the rest of it as it is. */
static void
set_map(Jsonb *map, bool local)
{
	FmsJsonbState state = {0};

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_nested(&state, "contextMap", map);
	fms_draft_set(fms_jsonb_merge(fms_draft_setting(), fms_jsonb_end(&state, WJB_END_OBJECT)), local);
}

/* The value of a key of the map; NULL if there is none. */
static JsonbValue *
find_map_key(Jsonb *map, text *key)
{
	if (map == NULL)
		return NULL;
	return getKeyJsonValueFromContainer(&map->root, VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), NULL);
}

/* request_context_get(key text) returns jsonb */
Datum
fms_request_context_get(PG_FUNCTION_ARGS)
{
	JsonbValue *value = find_map_key(fms_draft_current_map(), PG_GETARG_TEXT_PP(0));

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(JsonbValueToJsonb(value));
}

/* request_context_has(key text) returns boolean */
Datum
fms_request_context_has(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(find_map_key(fms_draft_current_map(), PG_GETARG_TEXT_PP(0)) != NULL);
}

/* request_context_set(key text, value jsonb, local bool) returns void */
Datum
fms_request_context_set(PG_FUNCTION_ARGS)
{
	FmsJsonbState state = {0};
	JsonbValue	value = {.type = jbvNull};
	Jsonb	   *map = fms_draft_current_map();

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("key must not be null")));
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	if (!PG_ARGISNULL(1))
		fms_jsonb_set(&value, PG_GETARG_JSONB_P(1));
	fms_jsonb_pair(&state, text_to_cstring(PG_GETARG_TEXT_PP(0)), &value);
	set_map(fms_jsonb_merge(map, fms_jsonb_end(&state, WJB_END_OBJECT)),
			PG_ARGISNULL(2) || PG_GETARG_BOOL(2));
	PG_RETURN_VOID();
}

/* request_context_delete(key text, local bool) returns boolean */
Datum
fms_request_context_delete(PG_FUNCTION_ARGS)
{
	Jsonb	   *map = fms_draft_current_map();

	if (find_map_key(map, PG_GETARG_TEXT_PP(0)) == NULL)
		PG_RETURN_BOOL(false);
	set_map(DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(map),
											   PG_GETARG_DATUM(0))),
			PG_GETARG_BOOL(1));
	PG_RETURN_BOOL(true);
}

/* request_context_clear(local bool) returns void */
Datum
fms_request_context_clear(PG_FUNCTION_ARGS)
{
	if (fms_draft_current_map() != NULL)
		set_map(fms_jsonb_empty(), PG_GETARG_BOOL(0));
	PG_RETURN_VOID();
}

/* request_context_keys() returns text[] */
Datum
fms_request_context_keys(PG_FUNCTION_ARGS)
{
	Jsonb	   *map = fms_draft_current_map();
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;
	ArrayBuildState *keys = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	if (map == NULL)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(TEXTOID));
	iterator = JsonbIteratorInit(&map->root);
	(void) JsonbIteratorNext(&iterator, &key, false);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&iterator, &value, true);
		(void) accumArrayResult(keys,
								PointerGetDatum(cstring_to_text_with_len(key.val.string.val,
																		 key.val.string.len)),
								false, TEXTOID, CurrentMemoryContext);
	}
	return makeArrayResult(keys, CurrentMemoryContext);
}
