/*-------------------------------------------------------------------------
 *
 * tokens.c
 *	  What a span's attributes say about a model call: tokens, models, cost.
 *
 * One pass over the attributes finds every name of token_names.c; of the names of
 * one field the first in that list wins that has a value of the right kind.
 * The stored form of jsonb is read in place: going through the server's
 * iterator, or asking for one field at a time, costs several times as much,
 * and this is done for every model call that is written.
 *
 * Counts come as numbers or as numbers in strings.  What is neither, is
 * negative or above FMS_MAX_TOKENS, is ignored and counted, never an error,
 * and the next name of the field has its turn: what a program says of itself
 * must not stop the span that says it.
 *
 * OpenTelemetry has no objects as attributes, so some instrumentations send an
 * object as JSON text.  That is read by a scanner of our own, which needs no
 * memory, cannot fail, and gets on with texts that were cut off: what comes
 * before the cut is taken, except a number that the cut may have shortened.
 * The server's parser raises errors for such texts, or makes values of all
 * that is in them.
 *
 * Cached, reasoning and audio tokens lie inside input and output and are never
 * added to them.  One provider reports cached tokens beside the input instead,
 * and some instrumentations pass that on: where it can be told, the input is
 * completed with them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "compat.h"
#include "usage/token_names.h"
#include "usage/tokens.h"

#define LONGEST_NUMBER 40		/* bytes of a number in a string */
#define COST_SCALE 18			/* digits of a given cost after the point */
#define LONGEST_TEXT 256		/* bytes of a text: the keys of the rollups
								 * have room for it */
#define MAX_COST 1e12			/* a cost above this is taken for garbage */

/* what a pass has found so far; fields are those of token_names.h */
typedef struct Reading
{
	uint32		given;			/* a bit for each field */
	int			ignored;		/* values that were none */
	uint8		rank[FMS_NAME_FIELDS];	/* of the names that gave the values */
	int64		count[FMS_NAME_COUNTS];
	Numeric		cost[FMS_NAME_TEXTS - FMS_NAME_COUNTS];
	FmsPart    *text;			/* NULL: only counts are wanted */
} Reading;

StaticAssertDecl(FMS_NAME_FIELDS <= 32, "fields are bits of a word");

/* a value under a known name: a number of jsonb, or a text, or neither */
typedef struct Value
{
	Numeric		number;			/* NULL if it is none */
	FmsPart		text;			/* data is NULL if it is none */
} Value;

/* the value of a key that may hold an object with more names */
typedef struct Child
{
	int			object;
	JEntry		entry;
	const char *data;
	int			length;
} Child;

/* a place in JSON text */
typedef struct Text
{
	const char *at;
	const char *end;
} Text;

/*
 * A number in a string, blanks around it allowed; NULL if it is none.  What
 * gets through to numeric_in is a number that it takes: it would raise an
 * error for anything else, and for an exponent that is too large.
 */
static Numeric
number_in_string(const char *data, int length)
{
	char		copy[LONGEST_NUMBER + 1];
	const char *p = copy;
	int			digits;

	if (length == 0 || length > LONGEST_NUMBER)
		return NULL;
	memcpy(copy, data, length);
	copy[length] = '\0';
	p += strspn(p, " ");
	p += *p == '-' || *p == '+';
	digits = strspn(p, "0123456789");
	p += digits;
	if (*p == '.')
	{
		int			fraction = strspn(p + 1, "0123456789");

		digits += fraction;
		p += 1 + fraction;
	}
	if (digits > 0 && (*p == 'e' || *p == 'E'))
	{
		p += 1 + (p[1] == '-' || p[1] == '+');
		/* two digits keep it small */
		digits = strspn(p, "0123456789");
		p += digits;
		if (digits > 2)
			return NULL;
	}
	if (digits == 0 || p[strspn(p, " ")] != '\0')
		return NULL;
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(copy),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * A whole number below 10^8 that is not negative, from its stored form: a word
 * with the weight, and up to two digits of base 10000.  Nearly every count is
 * one, and this takes a tenth of what the server's conversion takes.  False for
 * any other number; the format is that of data files and does not change.
 */
static inline bool
small_count(Numeric number, int64 *count)
{
	const char *data = VARDATA(number);
	uint16		header;
	int16		high = 0;
	int16		low = 0;

	memcpy(&header, data, sizeof(header));
	/* short form, positive, nothing after the point, weight 0 or 1 */
	if ((header & 0xFFFE) != 0x8000)
		return false;
	/* digits that are zero at the end are not stored */
	switch ((VARSIZE(number) - VARHDRSZ) / sizeof(int16) + (header & 1) * 4)
	{
		case 1:
			break;
		case 2:
			memcpy(&low, data + sizeof(header), sizeof(low));
			break;
		case 7:
			memcpy(&low, data + 2 * sizeof(header), sizeof(low));
			memcpy(&high, data + sizeof(header), sizeof(high));
			break;
		case 6:
			memcpy(&high, data + sizeof(header), sizeof(high));
			break;
		default:
			return false;
	}
	*count = high * INT64CONST(10000) + low;
	return true;
}

/*
 * Any number as a count, rounded; false if it is none.  The range is checked on
 * an approximation first: the exact conversion raises an error outside of it.
 */
static bool
as_count(Numeric number, int64 *count)
{
	int32		small;
	double		approximate;

	if (fms_numeric_int32(number, &small))
	{
		*count = small;
		return small >= 0;
	}
	approximate = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
													 NumericGetDatum(number)));
	if (!(approximate >= 0 && approximate <= (double) FMS_MAX_TOKENS))
		return false;
	*count = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(number)));
	return true;
}

/*
 * A number as a cost, in the current memory context; NULL if it is none.  It is
 * rounded so that no sum of costs can grow to thousands of digits.
 */
static Numeric
as_cost(Numeric number)
{
	double		approximate = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
																 NumericGetDatum(number)));

	if (!(approximate >= 0 && approximate <= MAX_COST))
		return NULL;
	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale,
											   DirectFunctionCall2(numeric_round,
																   NumericGetDatum(number),
																   Int32GetDatum(COST_SCALE))));
}

/*
 * Take a value for a field; false, and nothing taken, if it does not fit.  A
 * text that is cut is cut between characters.
 */
static bool
take(Reading *reading, int field, const Value *value)
{
	Numeric		number = value->number;
	Numeric		cost;
	int64		count;

	if (field >= FMS_NAME_TEXTS)
	{
		FmsPart    *text = &reading->text[field - FMS_NAME_TEXTS];

		if (value->text.data == NULL || value->text.length == 0)
			return false;
		*text = value->text;
		if (text->length > LONGEST_TEXT)
			text->length = pg_mbcliplen(text->data, text->length, LONGEST_TEXT);
		return true;
	}
	if (number == NULL && value->text.data != NULL)
		number = number_in_string(value->text.data, value->text.length);
	if (number == NULL)
		return false;
	if (field < FMS_NAME_COUNTS)
	{
		if (!as_count(number, &count))
			return false;
		reading->count[field] = count;
		return true;
	}
	cost = as_cost(number);
	if (cost != NULL)
		reading->cost[field - FMS_NAME_COUNTS] = cost;
	return cost != NULL;
}

/* Whether a field was given. */
static inline bool
given(const Reading *reading, int field)
{
	return (reading->given & (1U << field)) != 0;
}

/*
 * Take a value under a name, unless a better name has given one.  Texts that
 * are none are common and no sign of anything; other misfits are counted.
 */
static inline void
offer(Reading *reading, const FmsKeyUse *use, const Value *value)
{
	int			field = use->field;
	bool		taken = false;

	if (field >= FMS_NAME_COUNTS && reading->text == NULL)
		return;
	if (given(reading, field) && reading->rank[field] < use->rank)
		return;
	/* what nearly every value is, first */
	if (field < FMS_NAME_COUNTS && value->number != NULL)
		taken = small_count(value->number, &reading->count[field]);
	if (taken || take(reading, field, value))
	{
		reading->given |= 1U << field;
		reading->rank[field] = use->rank;
	}
	else if (field < FMS_NAME_TEXTS)
		reading->ignored++;
}

/* Go to the next byte of JSON text that is no blank; false at the end. */
static bool
skip_text_blanks(Text *text)
{
	while (text->at < text->end && strchr(" \t\r\n", *text->at) != NULL && *text->at != '\0')
		text->at++;
	return text->at < text->end;
}

/*
 * Read a string of JSON text, quotes not included.  Escapes stay as they are:
 * no name and no number has any.
 */
static bool
read_string(Text *text, FmsPart *content)
{
	if (!skip_text_blanks(text) || *text->at != '"')
		return false;
	content->data = ++text->at;
	for (; text->at < text->end; text->at++)
	{
		if (*text->at == '"')
		{
			content->length = text->at++ - content->data;
			return true;
		}
		if (*text->at == '\\')
			text->at++;
	}
	text->at = text->end;
	return false;
}

/* Read a number or a word of JSON text; false if there is none. */
static bool
read_word(Text *text, FmsPart *word)
{
	word->data = text->at;
	while (text->at < text->end && strchr(" \t\r\n,:\"{}[]", *text->at) == NULL)
		text->at++;
	word->length = text->at - word->data;
	return word->length > 0;
}

/*
 * Read a value of JSON text; what comes out are the bytes of a string or a
 * word.  Arrays and objects are passed over by counting brackets, whatever
 * their depth, and come out as no text.
 */
static bool
read_text_value(Text *text, FmsPart *content)
{
	int			depth = 0;

	do
	{
		CHECK_FOR_INTERRUPTS();
		if (!skip_text_blanks(text))
			return false;
		if (strchr("{[", *text->at) != NULL)
		{
			text->at++;
			depth++;
		}
		else if (depth > 0 && strchr("}],:", *text->at) != NULL)
		{
			depth -= *text->at == '}' || *text->at == ']';
			text->at++;
			content->data = NULL;
		}
		else if (*text->at == '"' ? !read_string(text, content) : !read_word(text, content))
			return false;
	} while (depth > 0);
	return true;
}

/*
 * Read an object of JSON text that begins here.  False if it is not well
 * formed up to its end; what comes before the fault has been taken.  It calls
 * itself only along the objects of token_names.c, which lie four deep at most.
 */
static bool
read_object(Reading *reading, Text *text, int object)
{
	for (text->at++;; text->at++)
	{
		FmsPart		key;
		FmsKeyUse	use;
		Value		value = {NULL, {NULL, 0}};
		bool		known;

		CHECK_FOR_INTERRUPTS();
		if (!skip_text_blanks(text))
			return false;
		if (*text->at == '}')
			break;
		if (!read_string(text, &key) || !skip_text_blanks(text) || *text->at++ != ':' || !skip_text_blanks(text))
			return false;
		known = fms_usage_name(object, key.data, key.length, &use);
		if (known && use.field == FMS_NAME_OBJECT && *text->at == '{')
		{
			if (!read_object(reading, text, use.rank))
				return false;
		}
		else if (!read_text_value(text, &value.text))
			return false;
		/* a number at the very end may lack digits */
		if (!skip_text_blanks(text))
			return false;
		if (known && use.field != FMS_NAME_OBJECT)
			offer(reading, &use, &value);
		if (*text->at == '}')
			break;
		if (*text->at != ',')
			return false;
	}
	text->at++;
	return true;
}

static void scan(Reading *reading, const JsonbContainer *container, int object);

/* Read the value of a key that is an object's, or the object as JSON text. */
static void
scan_child(Reading *reading, const Child *child)
{
	Text		text = {child->data, child->data + child->length};

	if (JBE_ISCONTAINER(child->entry))
	{
		const JsonbContainer *container = (const JsonbContainer *) INTALIGN(child->data);

		if (JsonContainerIsObject(container))
			scan(reading, container, child->object);
	}
	else if (JBE_ISSTRING(child->entry) && skip_text_blanks(&text) && *text.at == '{' &&
			 !read_object(reading, &text, child->object))
		reading->ignored++;
}

/* A value of jsonb as what fields are taken from; it points into the object. */
static inline Value
value_of(JEntry entry, const char *data, int length)
{
	Value		value = {NULL, {NULL, 0}};

	if (JBE_ISNUMERIC(entry))
		value.number = (Numeric) INTALIGN(data);
	else if (JBE_ISSTRING(entry))
		value.text = (FmsPart) {data, length};
	return value;
}

/*
 * Read the values of all known names of an object, then the objects in it.
 * It calls itself only along the objects of token_names.c.
 */
static void
scan(Reading *reading, const JsonbContainer *container, int object)
{
	FmsKeyUse	room[FMS_MAX_KEY_USES + 1];
	Child		children[FMS_NAME_OBJECTS];
	int			uses;
	int			n_children = 0;
	uint32		offset;
	uint32		i = 0;
	const FmsKeyUse *use = fms_usage_names(object, container, room, &uses, &offset);
	const JEntry *values = &container->children[JsonContainerSize(container)];
	const char *data = (const char *) (values + JsonContainerSize(container));

	for (int u = 0; u < uses; u++)
	{
		uint32		next;
		Value		value;

		for (; i < use[u].index; i++)
			JBE_ADVANCE_OFFSET(offset, values[i]);
		next = offset;
		JBE_ADVANCE_OFFSET(next, values[i]);
		if (use[u].field == FMS_NAME_OBJECT)
		{
			children[n_children++] = (Child) {use[u].rank, values[i], data + offset, next - offset};
			continue;
		}
		value = value_of(values[i], data + offset, next - offset);
		offer(reading, &use[u], &value);
	}

	/*
	 * the uses may be forgotten from here on: the objects in it take their
	 * place
	 */
	for (int c = 0; c < n_children; c++)
		scan_child(reading, &children[c]);
}

/*
 * Bring the counts into one form: totals that include their parts.  Cached
 * tokens lie beside the input where they exceed it, and where the input is
 * just what the provider told of tokens that were not cached.
 */
static void
normalise(const Reading *reading, int64 *count)
{
	int64		bare = reading->count[FMS_NAME_BARE_INPUT];
	int64		cached;

	memcpy(count, reading->count, sizeof(int64) * FMS_TOKEN_KINDS);
	if (!given(reading, FMS_TOKENS_CACHE_WRITE))
		count[FMS_TOKENS_CACHE_WRITE] = reading->count[FMS_NAME_CACHE_WRITE_5M] +
			reading->count[FMS_NAME_CACHE_WRITE_1H];
	if (!given(reading, FMS_TOKENS_INPUT))
		count[FMS_TOKENS_INPUT] = bare;
	cached = count[FMS_TOKENS_CACHE_READ] + count[FMS_TOKENS_CACHE_WRITE];
	if (cached > count[FMS_TOKENS_INPUT] ||
		(given(reading, FMS_NAME_BARE_INPUT) && count[FMS_TOKENS_INPUT] == bare))
		count[FMS_TOKENS_INPUT] += cached;
	count[FMS_TOKENS_TOTAL] = Max(count[FMS_TOKENS_TOTAL],
								  count[FMS_TOKENS_INPUT] + count[FMS_TOKENS_OUTPUT]);
}

/* The cost that was given: the total, else the sum of what there is; or NULL. */
static Numeric
given_cost(const Reading *reading)
{
	Numeric		input = reading->cost[FMS_NAME_COST_INPUT - FMS_NAME_COUNTS];
	Numeric		output = reading->cost[FMS_NAME_COST_OUTPUT - FMS_NAME_COUNTS];

	if (given(reading, FMS_NAME_COST_TOTAL))
		return reading->cost[FMS_NAME_COST_TOTAL - FMS_NAME_COUNTS];
	if (input == NULL || output == NULL)
		return input == NULL ? output : input;
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(input),
											   NumericGetDatum(output)));
}

/* Read attributes for the texts, or for counts alone if "text" is NULL. */
static inline void
read_usage_attributes(const Jsonb *attributes, Reading *reading, FmsPart *text)
{
	memset(reading, 0, sizeof(*reading));
	reading->text = text;
	if (attributes != NULL && JB_ROOT_IS_OBJECT(attributes))
		scan(reading, &attributes->root, FMS_NAME_ROOT);
}

/* Whether a count was given, of any kind; 0 is one. */
static inline bool
has_counts(const Reading *reading)
{
	return (reading->given & ((1U << FMS_NAME_COUNTS) - 1)) != 0;
}

/*
 * Read what the attributes of a span say of its use of a model; attributes
 * that are no object, or NULL, say nothing.  Texts point into the attributes;
 * a cost is in the current memory context.
 */
void
fms_tokens_read(const Jsonb *attributes, FmsTokens *tokens)
{
	Reading		reading;

	memset(tokens, 0, sizeof(*tokens));
	read_usage_attributes(attributes, &reading, tokens->text);
	tokens->has_tokens = has_counts(&reading);
	tokens->ignored = reading.ignored;
	normalise(&reading, tokens->count);
	tokens->cost = given_cost(&reading);
}

/*
 * Read the counts alone, FMS_TOKEN_KINDS of them; false, and nothing set, if
 * none is given.
 */
bool
fms_tokens_count(const Jsonb *attributes, int64 *count)
{
	Reading		reading;

	read_usage_attributes(attributes, &reading, NULL);
	if (!has_counts(&reading))
		return false;
	normalise(&reading, count);
	return true;
}
