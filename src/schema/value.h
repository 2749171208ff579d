/*-------------------------------------------------------------------------
 *
 * value.h
 *	  JSON values read in place from jsonb's binary form.
 *
 * jsonb keeps an array of 32-bit entries (type and length, every 32nd an end
 * offset) and after it the contents.  A cursor that walks a container from the
 * front knows every offset without a search, which the accessors of the server
 * do not: they look back over up to 31 entries for each element.
 *
 * Numbers are numeric datums.  They are read as base 10000 digits where they
 * lie; a normalised numeric has no leading and no trailing zero digit, so
 * equality and order need nothing but the digits.  The layout is the one that
 * is on disk and the same in all versions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_VALUE_H
#define FMS_SCHEMA_VALUE_H

#include "utils/jsonb.h"

/*
 * Kinds of values: the type bits of a JEntry, except that arrays and objects,
 * which share one there, are two.
 */
#define FMS_KIND_STRING 0
#define FMS_KIND_NUMBER 1
#define FMS_KIND_FALSE 2
#define FMS_KIND_TRUE 3
#define FMS_KIND_NULL 4
#define FMS_KIND_ARRAY 5
#define FMS_KIND_OBJECT 6

#define FMS_KIND_BIT(kind) (1U << (kind))
#define FMS_KINDS_BOOLEAN (FMS_KIND_BIT(FMS_KIND_FALSE) | FMS_KIND_BIT(FMS_KIND_TRUE))
#define FMS_KINDS_ALL 0x7fU
#define FMS_IS_BOOLEAN(kind) ((kind) == FMS_KIND_FALSE || (kind) == FMS_KIND_TRUE)

/* A value inside a jsonb, or a whole one. */
typedef struct FmsValue
{
	const char *data;			/* bytes of a string, numeric datum, container */
	uint32		length;			/* bytes of data */
	uint32		kind;
} FmsValue;

/* A place in a container, moving forward. */
typedef struct FmsCursor
{
	const JEntry *entry;		/* the next one */
	const char *base;			/* of the contents */
	uint32		offset;			/* of the next entry's content */
} FmsCursor;

/* A numeric's digits; the value is 0.d1d2d3... * 10000 ^ (weight + 1). */
typedef struct FmsDecimal
{
	const char *digits;			/* int16 each, maybe unaligned */
	int32		ndigits;
	int32		weight;
	int32		scale;			/* decimal places as written */
	bool		negative;
} FmsDecimal;

/*
 * Up to 16 bytes of a name as two words.  Names of one length are equal if the
 * words are, unless they are longer than both.
 */
typedef struct FmsNameWords
{
	uint64		head;
	uint64		tail;
} FmsNameWords;

/* A digit of a decimal. */
static inline int
fms_digit(const FmsDecimal *decimal, int i)
{
	int16		digit;

	memcpy(&digit, decimal->digits + i * sizeof(int16), sizeof(int16));
	return digit;
}

/* Whether a decimal has no fraction. */
static inline bool
fms_decimal_integral(const FmsDecimal *decimal)
{
	return decimal->ndigits <= decimal->weight + 1;
}

/* Elements of an array, or members of an object. */
static inline uint32
fms_count(FmsValue value)
{
	return JsonContainerSize((const JsonbContainer *) value.data);
}

/* The value that an entry describes, and the step to the next one. */
static inline FmsValue
fms_next(FmsCursor *cursor)
{
	JEntry		entry = *cursor->entry++;
	uint32		start = cursor->offset;
	FmsValue	value;

	if (JBE_HAS_OFF(entry))
		cursor->offset = JBE_OFFLENFLD(entry);
	else
		cursor->offset += JBE_OFFLENFLD(entry);
	value.kind = (entry & JENTRY_TYPEMASK) >> 28;
	if (value.kind == FMS_KIND_NUMBER)
		start = INTALIGN(start);
	else if (value.kind == FMS_KIND_ARRAY)
	{
		start = INTALIGN(start);
		if (JsonContainerIsObject((const JsonbContainer *) (cursor->base + start)))
			value.kind = FMS_KIND_OBJECT;
	}
	value.data = cursor->base + start;
	value.length = cursor->offset - start;
	return value;
}

/* A cursor at an array's first element. */
static inline FmsCursor
fms_elements(FmsValue array)
{
	const JsonbContainer *container = (const JsonbContainer *) array.data;
	FmsCursor	cursor;

	cursor.entry = container->children;
	cursor.base = (const char *) (container->children + JsonContainerSize(container));
	cursor.offset = 0;
	return cursor;
}

/* A cursor at an object's first key, and another at the first key's value. */
static inline FmsCursor
fms_members(FmsValue object, FmsCursor *values)
{
	const JsonbContainer *container = (const JsonbContainer *) object.data;
	uint32		count = JsonContainerSize(container);
	FmsCursor	keys;

	keys.entry = container->children;
	keys.base = (const char *) (container->children + 2 * count);
	keys.offset = 0;
	values->entry = container->children + count;
	values->base = keys.base;
	values->offset = getJsonbOffset(container, count);
	return keys;
}

/* Order of two member names as jsonb has it: length, then bytes. */
static inline int
fms_key_compare(const char *a, uint32 a_length, const char *b, uint32 b_length)
{
	if (a_length != b_length)
		return a_length < b_length ? -1 : 1;
	return memcmp(a, b, a_length);
}

/* The words of a name; nothing beyond its end is read. */
static inline FmsNameWords
fms_name_words(const char *name, uint32 length)
{
	FmsNameWords words = {0, 0};
	uint32		low;
	uint32		high;

	if (length >= sizeof(uint64))
	{
		memcpy(&words.head, name, sizeof(uint64));
		memcpy(&words.tail, name + length - sizeof(uint64), sizeof(uint64));
	}
	else if (length >= sizeof(uint32))
	{
		memcpy(&low, name, sizeof(uint32));
		memcpy(&high, name + length - sizeof(uint32), sizeof(uint32));
		words.head = ((uint64) high << 32) | low;
	}
	else if (length > 0)
		words.head = (uint8) name[0] | (uint8) name[length / 2] << 8 | (uint8) name[length - 1] << 16;
	return words;
}

extern FmsValue fms_value_of(const Jsonb *jsonb);
extern FmsValue fms_element(FmsValue array, uint32 index);
extern bool fms_member(FmsValue object, const char *key, uint32 length, FmsValue *value,
					   uint32 *index);
extern void fms_value_to_jsonb(FmsValue value, JsonbValue *out);
extern bool fms_value_equal(FmsValue a, FmsValue b);
extern uint64 fms_value_hash(FmsValue value, uint64 seed);
extern const char *fms_value_type(FmsValue value);

extern void fms_decimal_read(FmsValue number, FmsDecimal *decimal);
extern int	fms_decimal_compare(const FmsDecimal *a, const FmsDecimal *b);
extern bool fms_decimal_multiple(FmsValue number, FmsValue divisor);
extern uint64 fms_decimal_count(const FmsDecimal *decimal);

#endif							/* FMS_SCHEMA_VALUE_H */
