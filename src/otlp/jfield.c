/*-------------------------------------------------------------------------
 *
 * jfield.c
 *	  Reading of jsonb that may be anything.
 *
 * Whoever can write to the table can put anything into its jsonb: what is not
 * in the expected form is passed over.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "compat.h"
#include "otlp/jfield.h"

/* A member of an object, which can be NULL or no object; null is there. */
bool
fms_jfield(JsonbContainer *object, const char *name, JsonbValue *value)
{
	return object != NULL && JsonContainerIsObject(object) &&
		getKeyJsonValueFromContainer(object, name, strlen(name), value) != NULL;
}

/* A member that is an object or an array, or NULL. */
JsonbContainer *
fms_jfield_container(JsonbContainer *object, const char *name)
{
	JsonbValue	value;

	return fms_jfield(object, name, &value) && value.type == jbvBinary ?
		value.val.binary.data : NULL;
}

/* A member that is a string; not copied. */
bool
fms_jfield_text(JsonbContainer *object, const char *name, FmsPart *text)
{
	JsonbValue	value;

	if (!fms_jfield(object, name, &value) || value.type != jbvString)
		return false;
	text->data = value.val.string.val;
	text->length = value.val.string.len;
	return true;
}

/* A member that is bytes in base64, decoded in the current memory context. */
bool
fms_jfield_bytes(JsonbContainer *object, const char *name, FmsPart *bytes)
{
	FmsPart		text;
	char	   *decoded;
	int			length;

	if (!fms_jfield_text(object, name, &text))
		return false;
	decoded = palloc(pg_b64_dec_len(text.length) + 1);
	length = pg_b64_decode(text.data, text.length, (void *) decoded, pg_b64_dec_len(text.length));
	bytes->data = decoded;
	bytes->length = Max(length, 0);
	return length >= 0;
}

/* A uuid from its usual form, with dashes; false if it is none. */
bool
fms_otlp_parse_uuid(const FmsPart *text, pg_uuid_t *id)
{
	return text->length == FMS_UUID_TEXT && fms_uuid_read(text->data, text->length, id);
}

/* A number without a fraction; false if it is none, or not of 64 bits.  1.0 has a fraction. */
bool
fms_jvalue_integer(const JsonbValue *value, int64 *integer)
{
	char	   *digits;
	char	   *end;

	if (value->type != jbvNumeric)
		return false;
	digits = DatumGetCString(DirectFunctionCall1(numeric_out,
												 NumericGetDatum(value->val.numeric)));
	errno = 0;
	*integer = strtoi64(digits, &end, 10);
	return *end == '\0' && errno == 0;
}

/* A member that is an integer, or 0. */
int64
fms_jfield_integer(JsonbContainer *object, const char *name)
{
	JsonbValue	value;
	int64		integer;

	return fms_jfield(object, name, &value) && fms_jvalue_integer(&value, &integer) ? integer : 0;
}
