/*-------------------------------------------------------------------------
 *
 * build.c
 *	  Binary jsonb of decoded values, and values made for it.
 *
 * A jsonb is written in one go into a growing buffer, without the tree of
 * JsonbValues that the server's own functions want: that tree costs more than
 * the decoding.  The form is that of jsonb.h: a head, an entry for each element
 * (for an object all keys, then all values) that tells its type and its length
 * or, every JB_OFFSET_STRIDE, its end; then the elements, numbers and
 * containers at a multiple of 4 bytes.  Keys are sorted by length, then bytes.
 *
 * What jsonb can't hold gets the stand-in that intake.c tells of, and the
 * attribute is marked as inexact.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "compat.h"
#include "limit.h"
#include "otlp/in/build.h"

#define BINARY 255				/* type of a node that is a jsonb */
#define FIRST_BYTES FMS_LIMIT(1024, 16) /* of a buffer */
#define PAIRS_ON_STACK FMS_LIMIT(48, 1)
#define DOUBLE_BYTES 400		/* of a finite double as digits without an
								 * exponent */
#define REPLACEMENT "\xef\xbf\xbd"	/* U+FFFD */
#define ONES UINT64CONST(0x0101010101010101)
#define TOPS UINT64CONST(0x8080808080808080)

/* a jsonb under construction */
typedef struct Writer
{
	char	   *data;
	size_t		used;
	size_t		room;
	bool		exact;			/* nothing was replaced since it was set */
} Writer;

/* a key of an object, clean, and its node */
typedef struct Pair
{
	FmsPart		key;
	uint32		node;
} Pair;

/*
 * Make room for more bytes; returns the place of the first, which moves with the
 * next call.
 */
static char *
reserve(Writer *writer, size_t bytes)
{
	char	   *place;

	if (writer->room - writer->used < bytes)
	{
		while (writer->room - writer->used < bytes)
			writer->room *= 2;
		writer->data = repalloc(writer->data, writer->room);
	}
	place = writer->data + writer->used;
	writer->used += bytes;
	return place;
}

/* Write bytes; of an empty text there can be no address. */
static void
write_bytes(Writer *writer, const char *data, Size length)
{
	if (length > 0)
		memcpy(reserve(writer, length), data, length);
}

/* Pad to a multiple of 4 bytes; returns how many bytes that took. */
static uint32
pad_jsonb(Writer *writer)
{
	uint32		padding = INTALIGN(writer->used) - writer->used;

	memset(reserve(writer, padding), 0, padding);
	return padding;
}

/*
 * Whether a text is ASCII without U+0000: most are, and then there is nothing to
 * check or to convert.  Eight bytes at a time.
 */
static bool
is_plain(FmsPart text)
{
	const char *at = text.data;
	const char *end = text.data + text.length;

	for (; end - at >= 8; at += 8)
	{
		uint64		word;

		memcpy(&word, at, 8);
		if (((word | ((word - ONES) & ~word)) & TOPS) != 0)
			return false;
	}
	for (; at < end; at++)
	{
		if ((signed char) *at <= 0)
			return false;
	}
	return true;
}

/* A text of UTF-8 with each bad byte and each U+0000 replaced by U+FFFD. */
static FmsPart
replace_bad(FmsPart text)
{
	FmsPart		result;
	char	   *out = palloc((Size) text.length * 3 + 1);
	uint32		at = 0;

	result.data = out;
	while (at < text.length)
	{
		int			good = pg_encoding_verifymbstr(PG_UTF8, text.data + at, text.length - at);

		memcpy(out, text.data + at, good);
		out += good;
		at += good;
		if (at >= text.length)
			break;
		memcpy(out, REPLACEMENT, 3);
		out += 3;
		at++;
	}
	result.length = out - result.data;
	return result;
}

/*
 * A sound text of UTF-8 in the database's encoding; what that does not have is
 * a question mark.
 */
static FmsPart
convert_text(FmsPart text, bool *exact)
{
	int			encoding = GetDatabaseEncoding();
	Oid			function = FindDefaultConversionProc(PG_UTF8, encoding);
	Size		room = ((Size) text.length + 2) * MAX_CONVERSION_GROWTH;
	FmsPart		result;
	char	   *out = palloc(room);
	uint32		at = 0;

	result.data = out;
	while (at < text.length)
	{
		int			used = 0;

		if (OidIsValid(function))
			used = pg_do_encoding_conversion_buf(function, PG_UTF8, encoding,
												 (unsigned char *) unconstify(char *,
																			  text.data + at),
												 text.length - at, (unsigned char *) out,
												 room - (out - result.data), true);
		out += strlen(out) * (used > 0);
		at += used;
		if (at >= text.length)
			break;
		*out++ = '?';
		at += pg_encoding_mblen(PG_UTF8, text.data + at);
		*exact = false;
	}
	result.length = out - result.data;
	return result;
}

/*
 * A text as the database can hold it, never a null pointer; *exact becomes false
 * if that is not the text as it came.
 */
FmsPart
fms_build_clean(FmsPart text, bool *exact)
{
	int			encoding = GetDatabaseEncoding();

	if (text.length == 0)
		text.data = "";
	if (is_plain(text))
		return text;
	if (pg_encoding_verifymbstr(PG_UTF8, text.data, text.length) != (int) text.length)
	{
		text = replace_bad(text);
		*exact = false;
	}
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return text;
	return convert_text(text, exact);
}

/* Write a string; returns its entry. */
static JEntry
write_string(Writer *writer, FmsPart text)
{
	text = fms_build_clean(text, &writer->exact);
	if (text.length > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a text is too long for jsonb")));
	write_bytes(writer, text.data, text.length);
	return JENTRY_ISSTRING | text.length;
}

/* Write bytes as base64; returns the entry. */
static JEntry
write_base64(Writer *writer, const FmsOtlpNode *node)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = (const unsigned char *) node->value.bytes;
	uint32		length = (node->length + 2) / 3 * 4;
	char	   *out = reserve(writer, length);

	for (uint32 i = 0; i < node->length; i += 3, out += 4)
	{
		uint32		left = node->length - i;
		uint32		group = in[i] << 16 | (left > 1 ? in[i + 1] << 8 : 0) |
			(left > 2 ? in[i + 2] : 0);

		out[0] = digits[group >> 18];
		out[1] = digits[group >> 12 & 63];
		out[2] = left > 1 ? digits[group >> 6 & 63] : '=';
		out[3] = left > 2 ? digits[group & 63] : '=';
	}
	return JENTRY_ISSTRING | length;
}

/* Write a numeric; returns its entry. */
static JEntry
write_numeric(Writer *writer, Numeric numeric)
{
	uint32		padding = pad_jsonb(writer);
	uint32		bytes = VARSIZE_ANY(numeric);

	memcpy(reserve(writer, bytes), numeric, bytes);
	return JENTRY_ISNUMERIC | (padding + bytes);
}

/*
 * Give the digits of a finite double a fraction: "1" becomes "1.0", "1e+21" all
 * its digits and ".0".  What has one stays.
 */
static void
add_fraction(char *text)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];
	char	   *exponent_at = strchr(text, 'e');
	int			exponent = exponent_at == NULL ? 0 : atoi(exponent_at + 1);
	int			n = 0;
	int			fraction = 0;
	bool		after_point = false;
	char	   *out = text;

	if (exponent_at == NULL)
	{
		if (strchr(text, '.') == NULL)
			strcat(text, ".0");
		return;
	}
	for (char *at = text; at < exponent_at; at++)
	{
		if (*at == '.')
			after_point = true;
		else
		{
			digits[n++] = *at;
			fraction += after_point;
		}
	}
	if (exponent < fraction || exponent == 0)
		return;
	memcpy(out, digits, n);
	out += n;
	memset(out, '0', exponent - fraction);
	strcpy(out + exponent - fraction, ".0");
}

/*
 * Write a double; returns its entry.  Its shortest digits give the very double
 * back, and a fraction tells it from an integer.
 */
static JEntry
write_double(Writer *writer, double number)
{
	char		text[DOUBLE_BYTES];
	FmsPart		word;

	if (isnan(number) || isinf(number))
	{
		word.data = isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
		word.length = strlen(word.data);
		writer->exact = false;
		return write_string(writer, word);
	}
	if (number == 0 && signbit(number))
	{
		writer->exact = false;
		number = 0;
	}
	text[double_to_shortest_decimal_bufn(number, text)] = '\0';
	add_fraction(text);
	return write_numeric(writer,
						 DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
															 ObjectIdGetDatum(InvalidOid),
															 Int32GetDatum(-1))));
}

/* Write a container that is there; returns its entry. */
static JEntry
write_binary(Writer *writer, const FmsOtlpNode *node)
{
	uint32		padding = pad_jsonb(writer);

	write_bytes(writer, node->value.bytes, node->length);
	return JENTRY_ISCONTAINER | (padding + node->length);
}

static JEntry write_object(Writer *writer, FmsOtlpNode *nodes, uint32 first, uint32 end, bool mark);
static JEntry write_array(Writer *writer, FmsOtlpNode *nodes, uint32 n);

/* Write a value; returns its entry. */
static JEntry
write_built_value(Writer *writer, FmsOtlpNode *nodes, uint32 n)
{
	FmsOtlpNode *node = &nodes[n];
	FmsPart		text;

	if (node->type == BINARY)
		return write_binary(writer, node);
	switch ((FmsOtlpType) node->type)
	{
		case FMS_OTLP_STRING:
			text.data = node->value.bytes;
			text.length = node->length;
			return write_string(writer, text);
		case FMS_OTLP_BOOL:
			return node->value.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
		case FMS_OTLP_INT:
			return write_numeric(writer, int64_to_numeric(node->value.integer));
		case FMS_OTLP_DOUBLE:
			return write_double(writer, node->value.number);
		case FMS_OTLP_ARRAY:
			return write_array(writer, nodes, n);
		case FMS_OTLP_MAP:
			return write_object(writer, nodes, n + 1, node->next, false);
		case FMS_OTLP_BYTES:
			writer->exact = false;
			return write_base64(writer, node);
		case FMS_OTLP_EMPTY:
			break;
	}
	return JENTRY_ISNULL;
}

/*
 * Put entry number i of the container whose entries begin at "entries".  *total
 * is what the elements so far take; every JB_OFFSET_STRIDE-th entry has that
 * instead of its own length.
 */
static void
put_built_entry(Writer *writer, size_t entries, uint32 i, JEntry entry, uint32 *total)
{
	*total += JBE_OFFLENFLD(entry);
	if (*total > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("an attribute is too large for jsonb")));
	if (i % JB_OFFSET_STRIDE == 0)
		entry = (entry & JENTRY_TYPEMASK) | *total | JENTRY_HAS_OFF;
	memcpy(writer->data + entries + sizeof(JEntry) * i, &entry, sizeof(JEntry));
}

/* Write the head of a container with room for entries; returns where they begin. */
static size_t
write_head(Writer *writer, uint32 head, uint32 entries)
{
	size_t		place;

	(void) pad_jsonb(writer);
	memcpy(reserve(writer, sizeof(uint32)), &head, sizeof(uint32));
	place = writer->used;
	(void) reserve(writer, sizeof(JEntry) * entries);
	return place;
}

/*
 * Write an array; returns its entry.  Nested as deep as a decoder allows.  The
 * head is padded as part of the array, as the server does it.
 */
static JEntry
write_array(Writer *writer, FmsOtlpNode *nodes, uint32 n)
{
	size_t		begin = writer->used;
	uint32		count = nodes[n].length;
	size_t		entries;
	uint32		total = 0;
	uint32		child = n + 1;

	check_stack_depth();
	entries = write_head(writer, JB_FARRAY | count, count);
	for (uint32 i = 0; i < count; i++)
	{
		JEntry		entry = write_built_value(writer, nodes, child);

		put_built_entry(writer, entries, i, entry, &total);
		child = nodes[child].next;
	}
	return JENTRY_ISCONTAINER | (writer->used - begin);
}

/* Order pairs by length, then bytes of the key, then by node. */
static int
compare_pairs(const void *a, const void *b)
{
	const Pair *left = a;
	const Pair *right = b;
	int			order;

	if (left->key.length != right->key.length)
		return left->key.length < right->key.length ? -1 : 1;
	order = memcmp(left->key.data, right->key.data, left->key.length);
	if (order != 0)
		return order;
	return left->node < right->node ? -1 : 1;
}

/* Sort pairs; an object rarely has many, and qsort is slow for few. */
static void
sort_pairs(Pair *pairs, uint32 count)
{
	if (count > PAIRS_ON_STACK)
	{
		qsort(pairs, count, sizeof(Pair), compare_pairs);
		return;
	}
	for (uint32 i = 1; i < count; i++)
	{
		Pair		pair = pairs[i];
		uint32		j = i;

		while (j > 0 && compare_pairs(&pair, &pairs[j - 1]) < 0)
		{
			pairs[j] = pairs[j - 1];
			j--;
		}
		pairs[j] = pair;
	}
}

/*
 * Keep the last of pairs with the same key; returns how many are left.  Who has
 * the key of another is marked, or with "mark" unset the whole is inexact.
 */
static uint32
drop_doubles(Writer *writer, FmsOtlpNode *nodes, Pair *pairs, uint32 count, bool mark)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < count; i++)
	{
		bool		same = kept > 0 && pairs[kept - 1].key.length == pairs[i].key.length &&
			memcmp(pairs[kept - 1].key.data, pairs[i].key.data, pairs[i].key.length) == 0;

		if (same && mark)
			nodes[pairs[kept - 1].node].inexact = nodes[pairs[i].node].inexact = true;
		if (same && !mark)
			writer->exact = false;
		if (same)
			kept--;
		pairs[kept++] = pairs[i];
	}
	return kept;
}

/*
 * Collect the pairs of an object, sorted, each key once; returns how many.  Keys
 * are compared clean: two that differ only in bad bytes are one in jsonb.
 */
static uint32
collect_pairs(Writer *writer, FmsOtlpNode *nodes, uint32 first, uint32 end, Pair *pairs, bool mark)
{
	uint32		count = 0;

	for (uint32 i = first; i < end; i = nodes[i].next)
	{
		bool		exact = true;

		pairs[count].key.data = nodes[i].key;
		pairs[count].key.length = nodes[i].key_length;
		pairs[count].key = fms_build_clean(pairs[count].key, &exact);
		pairs[count++].node = i;
		if (mark)
			nodes[i].inexact = !exact;
		else if (!exact)
			writer->exact = false;
	}
	sort_pairs(pairs, count);
	return drop_doubles(writer, nodes, pairs, count, mark);
}

/*
 * Write an object of the nodes from "first" up to "end"; returns its entry.
 * With "mark" these are attributes: each one that is inexact is marked.
 */
static JEntry
write_object(Writer *writer, FmsOtlpNode *nodes, uint32 first, uint32 end, bool mark)
{
	size_t		begin = writer->used;
	Pair		few[PAIRS_ON_STACK];
	Pair	   *pairs = end - first > PAIRS_ON_STACK ? palloc(sizeof(Pair) * (end - first)) : few;
	size_t		entries;
	uint32		count;
	uint32		total = 0;

	check_stack_depth();
	count = collect_pairs(writer, nodes, first, end, pairs, mark);
	entries = write_head(writer, JB_FOBJECT | count, count * 2);
	for (uint32 i = 0; i < count; i++)
	{
		write_bytes(writer, pairs[i].key.data, pairs[i].key.length);
		put_built_entry(writer, entries, i, JENTRY_ISSTRING | pairs[i].key.length, &total);
	}
	for (uint32 i = 0; i < count; i++)
	{
		JEntry		entry;

		if (mark)
			writer->exact = true;
		entry = write_built_value(writer, nodes, pairs[i].node);
		if (mark && !writer->exact)
			nodes[pairs[i].node].inexact = true;
		put_built_entry(writer, entries, count + i, entry, &total);
	}
	if (pairs != few)
		pfree(pairs);
	return JENTRY_ISCONTAINER | (writer->used - begin);
}

/* Begin a jsonb. */
static void
begin_jsonb(Writer *writer)
{
	writer->room = FIRST_BYTES;
	writer->data = palloc(writer->room);
	writer->used = VARHDRSZ;
	writer->exact = true;
}

/* The jsonb that is complete. */
static Jsonb *
finish_jsonb(Writer *writer)
{
	SET_VARSIZE(writer->data, writer->used);
	return (Jsonb *) writer->data;
}

/*
 * The object of attributes, in the current memory context.  Each attribute that
 * it does not hold as it came is marked, and *exact is false if there is one.
 */
Jsonb *
fms_build_object(FmsOtlpNode *nodes, FmsOtlpList list, bool *exact)
{
	Writer		writer;

	begin_jsonb(&writer);
	(void) write_object(&writer, nodes, list.first, list.end, true);
	*exact = true;
	for (uint32 i = list.first; i < list.end; i = nodes[i].next)
		*exact = *exact && !nodes[i].inexact;
	return finish_jsonb(&writer);
}

/* Begin with no value, with room for a few. */
void
fms_build_init(FmsBuild *build)
{
	build->room = 64;
	build->count = 0;
	build->nodes = palloc(sizeof(FmsOtlpNode) * build->room);
}

/* Add a value that is still empty; in an array it has no key. */
FmsOtlpNode *
fms_build_add(FmsBuild *build, const char *key, int type)
{
	FmsOtlpNode *node;

	if (build->count == build->room)
	{
		build->room *= 2;
		build->nodes = repalloc_huge(build->nodes, sizeof(FmsOtlpNode) * build->room);
	}
	node = &build->nodes[build->count++];
	memset(node, 0, sizeof(*node));
	node->key = key;
	node->key_length = key == NULL ? 0 : strlen(key);
	node->next = build->count;
	node->type = type;
	return node;
}

/* Open a map or an array: what is added until it is closed is in it. */
uint32
fms_build_open(FmsBuild *build, const char *key, FmsOtlpType type)
{
	(void) fms_build_add(build, key, type);
	return build->count - 1;
}

/* Close a map or an array: all that was added since it was opened is in it. */
void
fms_build_close(FmsBuild *build, uint32 opened)
{
	uint32		children = 0;

	for (uint32 i = opened + 1; i < build->count; i = build->nodes[i].next)
		children++;
	build->nodes[opened].length = children;
	build->nodes[opened].next = build->count;
}

/* Add a string. */
void
fms_build_text(FmsBuild *build, const char *key, FmsPart text)
{
	FmsOtlpNode *node = fms_build_add(build, key, FMS_OTLP_STRING);

	node->value.bytes = text.data;
	node->length = text.length;
}

/* Add bytes, which become base64. */
void
fms_build_bytes(FmsBuild *build, const char *key, FmsPart bytes)
{
	FmsOtlpNode *node = fms_build_add(build, key, FMS_OTLP_BYTES);

	node->value.bytes = bytes.data;
	node->length = bytes.length;
}

/* Add a whole number. */
void
fms_build_int(FmsBuild *build, const char *key, int64 number)
{
	fms_build_add(build, key, FMS_OTLP_INT)->value.integer = number;
}

/* Add a jsonb, an object or an array, as it is. */
void
fms_build_add_jsonb(FmsBuild *build, const char *key, const Jsonb *jsonb)
{
	FmsOtlpNode *node = fms_build_add(build, key, BINARY);

	node->value.bytes = (const char *) &jsonb->root;
	node->length = VARSIZE(jsonb) - VARHDRSZ;
}

/* The jsonb of the first value, a map or an array, in the current memory context. */
Jsonb *
fms_build_jsonb(FmsBuild *build)
{
	Writer		writer;

	begin_jsonb(&writer);
	(void) write_built_value(&writer, build->nodes, 0);
	return finish_jsonb(&writer);
}
