/*-------------------------------------------------------------------------
 *
 * value.c
 *	  JSON values read in place from jsonb's binary form: the parts that are
 *	  too long for the header.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "compat.h"
#include "schema/value.h"

/* the header of a numeric as it is on disk */
#define NUMERIC_KIND_MASK 0xC000
#define NUMERIC_LONG_NEGATIVE 0x4000
#define NUMERIC_SHORT 0x8000
#define NUMERIC_LONG_SCALE 0x3FFF
#define NUMERIC_SHORT_NEGATIVE 0x2000
#define NUMERIC_SHORT_SCALE 0x1F80
#define NUMERIC_SHORT_SCALE_SHIFT 7
#define NUMERIC_SHORT_WEIGHT_SIGN 0x0040
#define NUMERIC_SHORT_WEIGHT 0x003F
#define DIGIT_BASE 10000
#define INT64_DIGITS 4			/* base 10000 digits that always fit */

/* The value that a jsonb holds; a scalar is in there as an array of one. */
FmsValue
fms_value_of(const Jsonb *jsonb)
{
	FmsValue	value;

	value.data = (const char *) &jsonb->root;
	value.length = VARSIZE(jsonb) - VARHDRSZ;
	value.kind = JsonContainerIsObject(&jsonb->root) ? FMS_KIND_OBJECT : FMS_KIND_ARRAY;
	if (JsonContainerIsScalar(&jsonb->root))
		value = fms_element(value, 0);
	return value;
}

/* An element of an array, or a key of an object; it must be there. */
FmsValue
fms_element(FmsValue array, uint32 index)
{
	const JsonbContainer *container = (const JsonbContainer *) array.data;
	FmsCursor	cursor = fms_elements(array);

	if (JsonContainerIsObject(container))
		cursor.base = (const char *) (container->children + 2 * JsonContainerSize(container));
	cursor.entry += index;
	cursor.offset = getJsonbOffset(container, index);
	return fms_next(&cursor);
}

/*
 * Find a member of an object: its value, and its place among the members.
 * Either result may be NULL.
 */
bool
fms_member(FmsValue object, const char *key, uint32 length, FmsValue *value, uint32 *index)
{
	uint32		count = fms_count(object);
	uint32		low = 0;
	uint32		high = count;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		FmsValue	name = fms_element(object, middle);
		int			order = fms_key_compare(name.data, name.length, key, length);

		if (order == 0)
		{
			if (value != NULL)
				*value = fms_element(object, count + middle);
			if (index != NULL)
				*index = middle;
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* A value as the server's functions want it; nothing is copied. */
void
fms_value_to_jsonb(FmsValue value, JsonbValue *out)
{
	switch (value.kind)
	{
		case FMS_KIND_STRING:
			out->type = jbvString;
			out->val.string.val = unconstify(char *, value.data);
			out->val.string.len = value.length;
			break;
		case FMS_KIND_NUMBER:
			out->type = jbvNumeric;
			out->val.numeric = (Numeric) unconstify(char *, value.data);
			break;
		case FMS_KIND_FALSE:
		case FMS_KIND_TRUE:
			out->type = jbvBool;
			out->val.boolean = value.kind == FMS_KIND_TRUE;
			break;
		case FMS_KIND_NULL:
			out->type = jbvNull;
			break;
		default:
			out->type = jbvBinary;
			out->val.binary.data = (JsonbContainer *) unconstify(char *, value.data);
			out->val.binary.len = value.length;
	}
}

/* The name of a value's JSON type. */
const char *
fms_value_type(FmsValue value)
{
	static const char *const names[] = {
		"string", "number", "boolean", "boolean", "null", "array", "object"
	};

	return names[value.kind];
}

/*
 * Read a numeric where it lies.  Its parts are fetched by memcpy, because a
 * numeric with a short header is not aligned.
 */
void
fms_decimal_read(FmsValue number, FmsDecimal *decimal)
{
	const char *data = VARDATA_ANY(number.data);
	int			bytes = VARSIZE_ANY_EXHDR(number.data);
	uint16		header;
	int16		weight;

	memcpy(&header, data, sizeof(uint16));
	data += sizeof(uint16);
	bytes -= sizeof(uint16);
	if ((header & NUMERIC_KIND_MASK) == NUMERIC_SHORT)
	{
		decimal->negative = (header & NUMERIC_SHORT_NEGATIVE) != 0;
		decimal->scale = (header & NUMERIC_SHORT_SCALE) >> NUMERIC_SHORT_SCALE_SHIFT;
		decimal->weight = header & NUMERIC_SHORT_WEIGHT;
		if (header & NUMERIC_SHORT_WEIGHT_SIGN)
			decimal->weight |= ~NUMERIC_SHORT_WEIGHT;
	}
	else
	{
		/* jsonb has neither NaN nor infinity, so this is a long one */
		memcpy(&weight, data, sizeof(int16));
		data += sizeof(int16);
		bytes -= sizeof(int16);
		decimal->negative = (header & NUMERIC_KIND_MASK) == NUMERIC_LONG_NEGATIVE;
		decimal->scale = header & NUMERIC_LONG_SCALE;
		decimal->weight = weight;
	}
	decimal->digits = data;
	decimal->ndigits = bytes / (int) sizeof(int16);
	if (decimal->ndigits == 0)
	{
		decimal->weight = 0;
		decimal->negative = false;
	}
}

/*
 * Order of two decimals without their signs.  The first digit is not zero, so
 * the weight decides, then the first digit that differs, then who has more.
 */
static int
compare_magnitude(const FmsDecimal *a, const FmsDecimal *b)
{
	int			common = Min(a->ndigits, b->ndigits);

	if (a->ndigits == 0 || b->ndigits == 0)
		return a->ndigits == b->ndigits ? 0 : a->ndigits == 0 ? -1 : 1;
	if (a->weight != b->weight)
		return a->weight < b->weight ? -1 : 1;
	for (int i = 0; i < common; i++)
	{
		int			difference = fms_digit(a, i) - fms_digit(b, i);

		if (difference != 0)
			return difference;
	}
	return a->ndigits - b->ndigits;
}

/* Order of two decimals: negative, zero or positive. */
int
fms_decimal_compare(const FmsDecimal *a, const FmsDecimal *b)
{
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	return a->negative ? compare_magnitude(b, a) : compare_magnitude(a, b);
}

/*
 * A limit on lengths or counts.  No value is longer than 2^32, so what is above
 * that may as well be the largest.
 */
uint64
fms_decimal_count(const FmsDecimal *decimal)
{
	uint64		count = 0;

	if (decimal->weight >= INT64_DIGITS)
		return PG_UINT64_MAX;
	for (int i = 0; i <= decimal->weight; i++)
		count = count * DIGIT_BASE + (i < decimal->ndigits ? fms_digit(decimal, i) : 0);
	return count;
}

/* A power of the base of a decimal's last digit. */
static int
last_power(const FmsDecimal *decimal)
{
	return decimal->weight - decimal->ndigits + 1;
}

/*
 * All digits of a decimal as one integer, and "zeros" further zero digits;
 * false if it may not fit.
 */
static bool
as_integer(const FmsDecimal *decimal, int zeros, uint64 *integer)
{
	*integer = 0;
	if (decimal->ndigits + zeros > INT64_DIGITS)
		return false;
	for (int i = 0; i < decimal->ndigits + zeros; i++)
		*integer = *integer * DIGIT_BASE + (i < decimal->ndigits ? fms_digit(decimal, i) : 0);
	return true;
}

/*
 * The same by the server's arithmetic, for divisors of many digits.  Raises no
 * error: the divisor is not zero, and a remainder always fits.
 */
static bool
multiple_by_server(FmsValue number, FmsValue divisor)
{
	Datum		rest = DirectFunctionCall2(numeric_mod, PointerGetDatum(number.data),
										   PointerGetDatum(divisor.data));
	FmsValue	value;
	FmsDecimal	decimal;

	value.kind = FMS_KIND_NUMBER;
	value.data = (const char *) DatumGetPointer(rest);
	value.length = VARSIZE_ANY(value.data);
	fms_decimal_read(value, &decimal);
	pfree(DatumGetPointer(rest));
	return decimal.ndigits == 0;
}

/*
 * Whether a number is a multiple of a divisor, which is not zero.  Exact: the
 * number's digits go through a division by hand, with as many zeros behind as
 * make its last digit's power that of the divisor's.
 */
bool
fms_decimal_multiple(FmsValue number, FmsValue divisor)
{
	FmsDecimal	a;
	FmsDecimal	b;
	uint64		modulus;
	uint64		dividend;
	unsigned __int128 rest = 0;
	int			zeros;

	fms_decimal_read(number, &a);
	fms_decimal_read(divisor, &b);
	if (a.ndigits == 0)
		return true;
	zeros = last_power(&a) - last_power(&b);
	if (zeros < 0)
	{
		/* the number has finer digits, so the divisor needs the zeros */
		if (!as_integer(&b, -zeros, &modulus))
			return multiple_by_server(number, divisor);
		zeros = 0;
	}
	else if (!as_integer(&b, 0, &modulus))
		return multiple_by_server(number, divisor);
	if (as_integer(&a, zeros, &dividend))
		return dividend % modulus == 0;
	for (int i = 0; i < a.ndigits + zeros; i++)
		rest = (rest * DIGIT_BASE + (i < a.ndigits ? fms_digit(&a, i) : 0)) % modulus;
	return rest == 0;
}

/* Whether two numbers are equal. */
static bool
numbers_equal(FmsValue a, FmsValue b)
{
	FmsDecimal	left;
	FmsDecimal	right;

	fms_decimal_read(a, &left);
	fms_decimal_read(b, &right);
	return fms_decimal_compare(&left, &right) == 0;
}

/*
 * Whether two arrays or two objects are equal.  Names are sorted in both, and an
 * object's names and values lie one behind the other, so one walk does for both.
 */
static bool
containers_equal(FmsValue a, FmsValue b)
{
	uint32		count = fms_count(a);
	bool		objects = a.kind == FMS_KIND_OBJECT;
	FmsCursor	left;
	FmsCursor	right;
	FmsCursor	unused;

	check_stack_depth();
	if (count != fms_count(b))
		return false;
	left = objects ? fms_members(a, &unused) : fms_elements(a);
	right = objects ? fms_members(b, &unused) : fms_elements(b);
	for (uint32 i = 0; i < (objects ? 2 * count : count); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!fms_value_equal(fms_next(&left), fms_next(&right)))
			return false;
	}
	return true;
}

/* Whether two values are equal as JSON: 1 is 1.0. */
bool
fms_value_equal(FmsValue a, FmsValue b)
{
	if (a.kind != b.kind)
		return false;
	switch (a.kind)
	{
		case FMS_KIND_STRING:
			return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
		case FMS_KIND_NUMBER:
			return numbers_equal(a, b);
		case FMS_KIND_ARRAY:
		case FMS_KIND_OBJECT:
			return containers_equal(a, b);
		default:
			return true;
	}
}

/* The hash of a number: of what remains when the scale is forgotten. */
static uint64
hash_number(FmsValue number, uint64 seed)
{
	FmsDecimal	decimal;

	fms_decimal_read(number, &decimal);
	return hash_bytes_extended((const unsigned char *) decimal.digits,
							   decimal.ndigits * sizeof(int16),
							   seed + decimal.weight * 2 + decimal.negative);
}

/* A hash that equal values have in common. */
uint64
fms_value_hash(FmsValue value, uint64 seed)
{
	uint64		hash = hash_combine64(seed, value.kind);
	FmsCursor	cursor;
	FmsCursor	unused;
	uint32		count;

	switch (value.kind)
	{
		case FMS_KIND_STRING:
			return hash_bytes_extended((const unsigned char *) value.data, value.length, hash);
		case FMS_KIND_NUMBER:
			return hash_number(value, hash);
		case FMS_KIND_ARRAY:
		case FMS_KIND_OBJECT:
			check_stack_depth();
			count = fms_count(value);
			cursor = value.kind == FMS_KIND_OBJECT ? fms_members(value, &unused) :
				fms_elements(value);
			if (value.kind == FMS_KIND_OBJECT)
				count *= 2;
			for (uint32 i = 0; i < count; i++)
			{
				CHECK_FOR_INTERRUPTS();
				hash = fms_value_hash(fms_next(&cursor), hash);
			}
			return hash;
		default:
			return hash;
	}
}
