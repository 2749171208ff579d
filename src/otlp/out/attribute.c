/*-------------------------------------------------------------------------
 *
 * attribute.c
 *	  Attributes on their way out.
 *
 * Attributes are an object of plain jsonb: a number without a fraction is an
 * integer, one with a fraction a double, null no value.  What that can't tell
 * came with a raw copy in OTLP's own JSON form, which then stands for all
 * attributes of its key.
 *
 * Two things only values from SQL can do: what lies deeper than our decoders
 * take goes out as JSON in a string, and a number that neither an integer of 64
 * bits nor a double holds exactly as a string of its digits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "compat.h"
#include "otlp/jfield.h"
#include "otlp/otlp.h"
#include "otlp/out/attribute.h"

#define EXACT_DIGITS 15			/* a double holds every number of so many */

/* fields of KeyValue, AnyValue, ArrayValue and KeyValueList */
static const FmsField key_field = {1, "key"};
static const FmsField value_field = {2, "value"};
static const FmsField string_value = {1, "stringValue"};
static const FmsField bool_value = {2, "boolValue"};
static const FmsField int_value = {3, "intValue"};
static const FmsField double_value = {4, "doubleValue"};
static const FmsField array_value = {5, "arrayValue"};
static const FmsField kvlist_value = {6, "kvlistValue"};
static const FmsField bytes_value = {7, "bytesValue"};
static const FmsField values_field = {1, "values"};

static void write_container(FmsWire *wire, JsonbContainer *container);

/* Digits as a number. */
static Datum
to_numeric(const char *digits)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(digits), ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

/* Whether a double is the number that digits tell. */
static bool
is_exact(const char *digits, double value)
{
	char		shortest[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (isinf(value))
		return false;
	if (strlen(digits) <= EXACT_DIGITS)
		return true;
	double_to_shortest_decimal_buf(value, shortest);
	return DatumGetBool(DirectFunctionCall2(numeric_eq, to_numeric(digits), to_numeric(shortest)));
}

/*
 * Write a number into a begun value.  jsonb prints all digits and no exponent, so
 * the text shows whether there is a fraction.
 */
static void
write_number(FmsWire *wire, const JsonbValue *value)
{
	int64		integer;
	double		number;
	char	   *digits;

	if (fms_jvalue_integer(value, &integer))
	{
		fms_wire_int64(wire, &int_value, integer);
		return;
	}
	digits = DatumGetCString(DirectFunctionCall1(numeric_out,
												 NumericGetDatum(value->val.numeric)));
	number = strtod(digits, NULL);
	if (is_exact(digits, number))
		fms_wire_double(wire, &double_value, number);
	else
		fms_wire_string(wire, &string_value, digits, strlen(digits));
}

/* Write what a value is into a begun one; of null nothing, which is "no value". */
static void
write_value(FmsWire *wire, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			fms_wire_string(wire, &string_value, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			write_number(wire, value);
			break;
		case jbvBool:
			fms_wire_bool(wire, &bool_value, value->val.boolean);
			break;
		case jbvBinary:
			write_container(wire, value->val.binary.data);
			break;
		default:
			break;
	}
}

/* Write the elements of an array. */
static void
write_elements(FmsWire *wire, JsonbContainer *array)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbValue	value;

	if (JsonContainerSize(array) == 0)
		return;
	fms_wire_begin_list(wire, &values_field);
	(void) JsonbIteratorNext(&iterator, &value, true);
	while (JsonbIteratorNext(&iterator, &value, true) == WJB_ELEM)
	{
		int			element = fms_wire_begin_element(wire, &values_field);

		write_value(wire, &value);
		fms_wire_end(wire, element);
	}
	fms_wire_end_list(wire);
}

/*
 * Write an array or an object into a begun value.  Recursive, to a fixed depth:
 * a receiver refuses what is deeper, and with it the whole request.
 */
static void
write_container(FmsWire *wire, JsonbContainer *container)
{
	bool		is_object = JsonContainerIsObject(container);
	int			begun;
	char	   *json;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (wire->depth == FMS_OTLP_MAX_DEPTH)
	{
		json = JsonbToCString(NULL, container, 0);
		fms_wire_string(wire, &string_value, json, strlen(json));
		return;
	}
	wire->depth++;
	begun = fms_wire_begin(wire, is_object ? &kvlist_value : &array_value);
	if (is_object)
		fms_write_attributes(wire, &values_field, container, NULL);
	else
		write_elements(wire, container);
	fms_wire_end(wire, begun);
	wire->depth--;
}

/*
 * Write a text that is not empty: its own bytes, if member "raw_name" of "raw"
 * has them, else as it is in the table.
 */
void
fms_write_text(FmsWire *wire, const FmsField *field, JsonbContainer *raw, const char *raw_name,
			   const char *data, int length)
{
	FmsPart		bytes;

	if (fms_jfield_bytes(raw, raw_name, &bytes) &&
		(bytes.length == 0 || fms_wire_raw_string(wire, field, bytes.data, bytes.length)))
		return;
	if (length > 0)
		fms_wire_string(wire, field, data, length);
}

/* Write an attribute as one of a list.  An empty key is a default, an empty value is not. */
void
fms_write_attribute(FmsWire *wire, const FmsField *field, const char *key, int key_length,
					const JsonbValue *value)
{
	int			begun = fms_wire_begin_element(wire, field);
	int			value_begun;

	if (key_length > 0)
		fms_wire_string(wire, &key_field, key, key_length);
	value_begun = fms_wire_begin(wire, &value_field);
	write_value(wire, value);
	fms_wire_end(wire, value_begun);
	fms_wire_end(wire, begun);
}

static void write_raw_list(FmsWire *wire, const FmsField *field, JsonbContainer *list, bool keyed);

/* Write the double of a raw copy: a number, or a name of what is none. */
static void
write_raw_double(FmsWire *wire, const JsonbValue *value)
{
	char	   *digits;

	if (value->type == jbvString)
		digits = pnstrdup(value->val.string.val, value->val.string.len);
	else if (value->type == jbvNumeric)
		digits = DatumGetCString(DirectFunctionCall1(numeric_out,
													 NumericGetDatum(value->val.numeric)));
	else
		return;
	/* strtod knows the names of infinities and NaN */
	fms_wire_double(wire, &double_value, strtod(digits, NULL));
}

/*
 * Write what a raw copy holds into a begun value.  Recursive, as deep as the
 * decoder let the value be.  Bytes of a string win over its readable form.
 */
static void
write_raw_value(FmsWire *wire, JsonbContainer *raw)
{
	JsonbValue	value;
	FmsPart		text;

	check_stack_depth();
	if (fms_jfield_bytes(raw, "stringBytes", &text) &&
		fms_wire_raw_string(wire, &string_value, text.data, text.length))
		return;
	if (fms_jfield_text(raw, "stringValue", &text))
		fms_wire_string(wire, &string_value, text.data, text.length);
	else if (fms_jfield(raw, "boolValue", &value) && value.type == jbvBool)
		fms_wire_bool(wire, &bool_value, value.val.boolean);
	else if (fms_jfield_text(raw, "intValue", &text))
		fms_wire_int64(wire, &int_value, strtoi64(pnstrdup(text.data, text.length), NULL, 10));
	else if (fms_jfield(raw, "doubleValue", &value))
		write_raw_double(wire, &value);
	else if (fms_jfield_bytes(raw, "bytesValue", &text))
		fms_wire_bytes(wire, &bytes_value, text.data, text.length);
	else if (fms_jfield(raw, "arrayValue", &value) || fms_jfield(raw, "kvlistValue", &value))
	{
		bool		keyed = !fms_jfield(raw, "arrayValue", &value);
		int			begun = fms_wire_begin(wire, keyed ? &kvlist_value : &array_value);
		JsonbContainer *list = value.type != jbvBinary ? NULL :
			fms_jfield_container(value.val.binary.data, "values");

		if (list != NULL)
		{
			fms_wire_begin_list(wire, &values_field);
			write_raw_list(wire, &values_field, list, keyed);
			fms_wire_end_list(wire);
		}
		fms_wire_end(wire, begun);
	}
}

/* Write raw copies, each with a key or none, as elements of a list. */
static void
write_raw_list(FmsWire *wire, const FmsField *field, JsonbContainer *list, bool keyed)
{
	JsonbIterator *iterator = JsonbIteratorInit(list);
	JsonbValue	element;

	(void) JsonbIteratorNext(&iterator, &element, true);
	while (JsonbIteratorNext(&iterator, &element, true) == WJB_ELEM)
	{
		JsonbContainer *raw = element.type == jbvBinary ? element.val.binary.data : NULL;
		int			begun = fms_wire_begin_element(wire, field);
		int			value_begun = 0;
		FmsPart		key = {NULL, 0};

		CHECK_FOR_INTERRUPTS();
		if (keyed)
		{
			(void) fms_jfield_text(raw, "key", &key);
			fms_write_text(wire, &key_field, raw, "keyBytes", key.data, key.length);
			value_begun = fms_wire_begin(wire, &value_field);
			raw = fms_jfield_container(raw, "value");
		}
		if (raw != NULL)
			write_raw_value(wire, raw);
		if (keyed)
			fms_wire_end(wire, value_begun);
		fms_wire_end(wire, begun);
	}
}

/* Order keys as jsonb does. */
static int
compare_key_texts(const void *a, const void *b)
{
	const FmsPart *left = a;
	const FmsPart *right = b;

	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	return memcmp(left->data, right->data, left->length);
}

/* The keys of raw copies, in order, to look attributes up in. */
static FmsPart *
raw_keys(JsonbContainer *raw, int *count)
{
	FmsPart    *keys = palloc(sizeof(FmsPart) * Max(JsonContainerSize(raw), 1));
	JsonbIterator *iterator = JsonbIteratorInit(raw);
	JsonbValue	element;

	*count = 0;
	(void) JsonbIteratorNext(&iterator, &element, true);
	while (JsonbIteratorNext(&iterator, &element, true) == WJB_ELEM)
	{
		if (element.type == jbvBinary &&
			fms_jfield_text(element.val.binary.data, "key", &keys[*count]))
			(*count)++;
	}
	qsort(keys, *count, sizeof(FmsPart), compare_key_texts);
	return keys;
}

/*
 * Write attributes, without what would make them a list: the caller may have
 * more.  "raw" are their raw copies, or NULL.
 */
void
fms_write_attributes_open(FmsWire *wire, const FmsField *field, JsonbContainer *attributes,
						  JsonbContainer *raw)
{
	JsonbIterator *iterator = JsonbIteratorInit(attributes);
	JsonbValue	key;
	JsonbValue	value;
	FmsPart    *keys = NULL;
	int			count = 0;

	if (raw != NULL)
		keys = raw_keys(raw, &count);
	(void) JsonbIteratorNext(&iterator, &key, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		FmsPart		name = {key.val.string.val, key.val.string.len};

		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (count == 0 || bsearch(&name, keys, count, sizeof(FmsPart), compare_key_texts) == NULL)
			fms_write_attribute(wire, field, name.data, name.length, &value);
	}
	if (raw != NULL)
		write_raw_list(wire, field, raw, true);
}

/* Write attributes as a list, if there are any. */
void
fms_write_attributes(FmsWire *wire, const FmsField *field, JsonbContainer *attributes,
					 JsonbContainer *raw)
{
	if (attributes == NULL || !JsonContainerIsObject(attributes) ||
		(JsonContainerSize(attributes) == 0 && raw == NULL))
		return;
	fms_wire_begin_list(wire, field);
	fms_write_attributes_open(wire, field, attributes, raw);
	fms_wire_end_list(wire);
}

/* Write a member that is a count, if it is not 0. */
void
fms_write_member_count(FmsWire *wire, const FmsField *field, JsonbContainer *from,
					   const char *member)
{
	int64		count = fms_jfield_integer(from, member);

	if (count > 0 && count <= PG_UINT32_MAX)
		fms_wire_uint32(wire, field, (uint32) count);
}

/* Write a member that is a text, or the bytes that came. */
void
fms_write_member_text(FmsWire *wire, const FmsField *field, JsonbContainer *from,
					  const char *member)
{
	FmsPart		text = {"", 0};

	(void) fms_jfield_text(from, member, &text);
	fms_write_text(wire, field, fms_jfield_container(from, "raw"), member, text.data, text.length);
}

/* Write the member "attributes", with its raw copies. */
void
fms_write_member_attributes(FmsWire *wire, const FmsField *field, JsonbContainer *from)
{
	fms_write_attributes(wire, field, fms_jfield_container(from, "attributes"),
						 fms_jfield_container(fms_jfield_container(from, "raw"), "attributes"));
}

/* Write a member that is an array of texts. */
void
fms_write_member_texts(FmsWire *wire, const FmsField *field, JsonbContainer *from,
					   const char *member)
{
	JsonbContainer *list = fms_jfield_container(from, member);
	FmsField	element = {field->number, NULL};
	JsonbIterator *iterator;
	JsonbValue	value;

	if (list == NULL || !JsonContainerIsArray(list))
		return;
	fms_wire_begin_list(wire, field);
	iterator = JsonbIteratorInit(list);
	(void) JsonbIteratorNext(&iterator, &value, true);
	while (JsonbIteratorNext(&iterator, &value, true) == WJB_ELEM)
	{
		if (value.type == jbvString)
			fms_wire_string(wire, &element, value.val.string.val, value.val.string.len);
	}
	fms_wire_end_list(wire);
}
