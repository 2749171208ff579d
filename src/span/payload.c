/*-------------------------------------------------------------------------
 *
 * payload.c
 *	  What callers hand in, brought to the form and size that a span stores.
 *
 * Tracing must not fail because a prompt is long.  A text above its limit is
 * cut at a character; a jsonb above flowmaestro.max_payload is replaced by a
 * small one that keeps what fits of its members (token counts are small and
 * must survive) and tells the original size under TRUNCATED_KEY.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "span/jsonb.h"
#include "span/payload.h"
#include "span/redact.h"

#define TRUNCATED_KEY "flowmaestro.truncated"
#define PREVIEW_KEY "preview"
#define PREVIEW_BYTES 200		/* of a text that is cut */
#define KEEP_BYTES 512			/* members up to this size are kept whole */
#define KEEP_TOTAL (32 * 1024)	/* but not more than this in sum */
#define TIME_BYTES 64			/* of a timestamp as text */

int			fms_max_payload = 1024;

/* The part for a text, cut to FMS_MAX_TEXT bytes; NULL gives an absent part. */
void
fms_payload_text(FmsPart *part, text *value, bool *truncated)
{
	*part = value == NULL ? (FmsPart) {NULL, 0} : FMS_TEXT_PART(value);
	if (part->length > FMS_MAX_TEXT)
	{
		part->length = pg_mbcliplen(part->data, part->length, FMS_MAX_TEXT);
		*truncated = true;
	}
}

/* Bytes that a value takes inside a jsonb, near enough. */
static Size
value_bytes(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return value->val.string.len;
		case jbvNumeric:
			return VARSIZE_ANY(value->val.numeric);
		case jbvBinary:
			return value->val.binary.len;
		default:
			return 1;
	}
}

/* Replace a value that is too big by a string that says so. */
static void
abridge(JsonbValue *value)
{
	Size		bytes = value_bytes(value);
	int			keep = 0;
	const char *data = "";

	if (value->type == jbvString)
	{
		data = value->val.string.val;
		keep = pg_mbcliplen(data, value->val.string.len, PREVIEW_BYTES);
	}
	data = psprintf("%.*s[truncated: %zu bytes]", keep, data, bytes);
	fms_jsonb_set_string(value, data, strlen(data));
}

/* A small object that stands for an object above the limit. */
static Jsonb *
truncate_object(Jsonb *object, Size budget)
{
	FmsJsonbState state = {0};
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	Size		used = 0;

	(void) JsonbIteratorNext(&iterator, &key, false);
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (key.val.string.len > PREVIEW_BYTES)
			continue;
		if (value_bytes(&value) > KEEP_BYTES)
			abridge(&value);
		used += key.val.string.len + value_bytes(&value);
		if (used > budget)
			break;
		fms_jsonb_push(&state, WJB_KEY, &key);
		fms_jsonb_push(&state, WJB_VALUE, &value);
	}
	fms_jsonb_integer(&state, TRUNCATED_KEY, VARSIZE(object));
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/* A small object that stands for an array or a scalar above the limit. */
static Jsonb *
truncate_other(Jsonb *other)
{
	FmsJsonbState state = {0};
	JsonbValue	scalar;

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_integer(&state, TRUNCATED_KEY, VARSIZE(other));
	if (JB_ROOT_IS_SCALAR(other) && JsonbExtractScalar(&other->root, &scalar) &&
		scalar.type == jbvString)
		fms_jsonb_bytes(&state, PREVIEW_KEY, scalar.val.string.val,
						pg_mbcliplen(scalar.val.string.val, scalar.val.string.len, PREVIEW_BYTES));
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/*
 * The part for a jsonb, truncated above flowmaestro.max_payload; NULL gives
 * an absent part.  An object stays an object.
 */
void
fms_payload_jsonb(FmsPart *part, Jsonb *value, bool *truncated)
{
	Size		limit = (Size) fms_max_payload * 1024;

	part->data = NULL;
	part->length = 0;
	if (value == NULL)
		return;
	if (VARSIZE(value) > limit)
	{
		value = JB_ROOT_IS_OBJECT(value) ?
			truncate_object(value, Min(limit / 4, KEEP_TOTAL)) : truncate_other(value);
		*truncated = true;
	}
	part->data = (const char *) value;
	part->length = VARSIZE(value);
}

/*
 * Redact the parts of an event that flowmaestro.redact_spans lists; what OTLP
 * brings with a span counts as its attributes.  Whoever records calls this before
 * it lets an event out of the backend.  What has come so far is not longer than
 * allowed, and "[REDACTED]" is short enough not to be measured.
 */
void
fms_payload_redact(FmsEvent *event)
{
	static const int flags[FMS_PARTS] = {
		[FMS_PART_ATTRIBUTES] = FMS_REDACT_ATTRIBUTES,
		[FMS_PART_INPUT] = FMS_REDACT_INPUT,
		[FMS_PART_OUTPUT] = FMS_REDACT_OUTPUT,
		[FMS_PART_ERROR] = FMS_REDACT_ERROR,
		[FMS_PART_EVENTS] = FMS_REDACT_ATTRIBUTES,
		[FMS_PART_LINKS] = FMS_REDACT_ATTRIBUTES,
		[FMS_PART_OTLP] = FMS_REDACT_ATTRIBUTES
	};

	if (likely(fms_redact_spans == 0))
		return;
	for (int i = 0; i < FMS_PARTS; i++)
	{
		FmsPart    *part = &event->part[i];
		Jsonb	   *value;

		if ((fms_redact_spans & flags[i]) == 0 || part->data == NULL)
			continue;
		value = fms_redact_jsonb((Jsonb *) unconstify(char *, part->data));
		part->data = (const char *) value;
		part->length = VARSIZE(value);
	}
}

/* {"message": ..., "type": ...}; a part that is NULL is left out. */
static Jsonb *
make_error(const char *message, int length, const JsonbValue *type)
{
	FmsJsonbState state = {0};
	JsonbValue	kind;

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	if (message != NULL)
		fms_jsonb_bytes(&state, "message", message, length);
	if (type != NULL)
	{
		kind = *type;
		fms_jsonb_pair(&state, "type", &kind);
	}
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/* The error object of a message and a type; NULL is an error without message. */
Jsonb *
fms_payload_error_from_text(text *message, const char *type_name)
{
	JsonbValue	type;
	Size		limit = (Size) fms_max_payload * 1024;

	fms_jsonb_set_string(&type, type_name, strlen(type_name));
	if (message == NULL)
		return make_error("Unknown error", 13, &type);
	/* a jsonb string has a limit of its own, far above any useful message */
	return make_error(VARDATA_ANY(message),
					  pg_mbcliplen(VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message),
								   Min(limit, JENTRY_OFFLENMASK / 2)),
					  &type);
}

/*
 * An error as its callers know it, completed to an object with a message and
 * a type: an object keeps what it has and takes its type from "name"; a string
 * is a message; SQL NULL, JSON null and {} are an error without one.
 */
Jsonb *
fms_payload_error_from_jsonb(Jsonb *error)
{
	JsonbValue	scalar;
	JsonbValue	type;
	JsonbValue	name;
	JsonbValue *found;
	bool		has_message;
	char	   *text_form;

	fms_jsonb_set_string(&type, "Error", 5);
	if (error == NULL)
		return make_error("Unknown error", 13, &type);
	if (JB_ROOT_IS_OBJECT(error))
	{
		has_message = getKeyJsonValueFromContainer(&error->root, "message", 7, &scalar) != NULL;
		if (getKeyJsonValueFromContainer(&error->root, "type", 4, &scalar) != NULL)
			found = NULL;
		else
		{
			found = getKeyJsonValueFromContainer(&error->root, "name", 4, &name);
			if (found == NULL || found->type != jbvString)
				found = &type;
		}
		if (has_message && found == NULL)
			return error;
		return fms_jsonb_merge(make_error(has_message ? NULL : "Unknown error", 13, found), error);
	}
	if (JB_ROOT_IS_SCALAR(error) && JsonbExtractScalar(&error->root, &scalar))
	{
		if (scalar.type == jbvNull)
			return make_error("Unknown error", 13, &type);
		if (scalar.type == jbvString)
			return make_error(scalar.val.string.val, scalar.val.string.len, &type);
	}
	text_form = JsonbToCString(NULL, &error->root, VARSIZE(error));
	return make_error(text_form, strlen(text_form), &type);
}

/* The element of the events column for an event of a span, in UTC. */
Jsonb *
fms_payload_event(const FmsEvent *event)
{
	FmsJsonbState state = {0};
	char		time[TIME_BYTES];
	int			utc = 0;

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_bytes(&state, "name", event->part[FMS_PART_NAME].data,
					event->part[FMS_PART_NAME].length);
	JsonEncodeDateTime(time, TimestampTzGetDatum(event->at), TIMESTAMPTZOID, &utc);
	fms_jsonb_string(&state, "time", time);
	if (event->part[FMS_PART_ATTRIBUTES].data != NULL)
		fms_jsonb_nested(&state, "attributes", (Jsonb *) event->part[FMS_PART_ATTRIBUTES].data);
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}
