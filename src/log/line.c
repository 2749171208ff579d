/*-------------------------------------------------------------------------
 *
 * line.c
 *	  One JSON object on one line, written member by member into memory that
 *	  may be short.
 *
 * A line begins in memory that its caller has at hand and moves to malloc's
 * when it gets longer.  Where it cannot grow (no memory, or the limit), each
 * text takes at most half of the room that is left, so that what follows a long
 * message has its place too; members that still find none are left out.  Either
 * is marked by "flowmaestro.truncated", for which, and for the closing braces, room
 * is kept from the beginning.
 *
 * Whatever the bytes of a text are, the line is valid JSON in UTF-8.  Bytes of
 * an encoding that only the server's catalogs could convert are written as \xNN
 * rather than lost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "log/line.h"
#include "span/text.h"

#define TRUNCATED_MEMBER ",\"" FMS_LINE_TRUNCATED "\":true"
#define TAIL_BYTES 40			/* of that, two braces and the newline */
#define EXPANSION 6				/* bytes that one byte of a text takes at most */
#define MAX_DIGITS 20			/* of an int64, with its sign */
#define REPLACEMENT "\357\277\275"	/* U+FFFD */

/* what a byte of a text needs: nothing, an escape, or a look at the encoding */
enum
{
	BYTE_PLAIN,
	BYTE_ESCAPE,
	BYTE_HIGH
};

/* The class of a byte. */
static inline int
byte_class(unsigned char byte)
{
	if (byte >= 0x80)
		return BYTE_HIGH;
	return byte < 0x20 || byte == '"' || byte == '\\' ? BYTE_ESCAPE : BYTE_PLAIN;
}

/*
 * Begin a line in "size" bytes of the caller's memory, which outlives it; it
 * may grow to "limit" bytes.  Both have to be some hundred bytes at least.
 */
void
fms_line_begin(FmsLine *line, char *base, Size size, Size limit, FmsLineEncoding encoding)
{
	line->data = base;
	line->base = base;
	line->size = Min(size, limit);
	line->limit = limit;
	line->encoding = encoding;
	line->truncated = false;
	line->data[0] = '{';
	line->used = 1;
}

/* Bytes that can still be written, the tail aside. */
static inline Size
room(const FmsLine *line)
{
	Size		taken = line->used + TAIL_BYTES;

	return line->size > taken ? line->size - taken : 0;
}

/* Bytes that a text of "length" bytes takes at most; more than the limit if it is longer. */
static inline Size
worst_case(const FmsLine *line, Size length)
{
	return Min(length, line->limit) * EXPANSION;
}

/*
 * Make room for "wanted" more bytes, or for as many as the limit and malloc
 * allow.  Doubles, so that a long line does not move often.
 */
static void
grow_line(FmsLine *line, Size wanted)
{
	Size		size = Min(Max(line->used + wanted + TAIL_BYTES, line->size * 2), line->limit);
	char	   *data;

	if (size <= line->size)
		return;
	data = line->data == line->base ? malloc(size) : realloc(line->data, size);
	if (data == NULL)
		return;
	if (line->data == line->base)
		memcpy(data, line->base, line->used);
	line->data = data;
	line->size = size;
}

/* Whether there is room for "wanted" more bytes now. */
static bool
fits(FmsLine *line, Size wanted)
{
	if (likely(wanted <= room(line)))
		return true;
	grow_line(line, wanted);
	return wanted <= room(line);
}

/* Append bytes for which there is room. */
static inline void
put_bytes(FmsLine *line, const char *bytes, Size length)
{
	memcpy(line->data + line->used, bytes, length);
	line->used += length;
}

/*
 * Begin a member whose value takes at least "wanted" bytes.  False if there is
 * no room for it; the line is marked then.
 */
static bool
put_key(FmsLine *line, const char *key, Size wanted)
{
	Size		length = strlen(key);

	if (!fits(line, length + 4 + wanted))
	{
		line->truncated = true;
		return false;
	}
	if (line->data[line->used - 1] != '{')
		put_bytes(line, ",", 1);
	put_bytes(line, "\"", 1);
	put_bytes(line, key, length);
	put_bytes(line, "\":", 2);
	return true;
}

/* The escape of a control character, quote or backslash; its length. */
static int
escape_byte(unsigned char byte, char *out)
{
	static const char from[] = "\"\\\n\t\r\b\f";
	static const char to[] = "\"\\ntrbf";
	const char *found = byte == '\0' ? NULL : strchr(from, byte);

	out[0] = '\\';
	if (found != NULL)
	{
		out[1] = to[found - from];
		return 2;
	}
	memcpy(out + 1, "u00", 3);
	(void) fms_hex_write(out + 4, &byte, 1);
	return 6;
}

/*
 * A character above 127 in UTF-8: writes it to "out", moves *at behind it and
 * gives the bytes written.
 */
static int
convert_high(FmsLineEncoding encoding, const unsigned char **at,
			 const unsigned char *end, char *out)
{
	const unsigned char *from = *at;
	int			length;

	switch (encoding)
	{
		case FMS_LINE_UTF8:
			length = pg_utf_mblen(from);
			if (length <= end - from && pg_utf8_islegal(from, length))
			{
				memcpy(out, from, length);
				*at += length;
				return length;
			}
			*at += 1;
			memcpy(out, REPLACEMENT, 3);
			return 3;
		case FMS_LINE_LATIN1:
			*at += 1;
			out[0] = 0xc0 | *from >> 6;
			out[1] = 0x80 | (*from & 0x3f);
			return 2;
		case FMS_LINE_BYTES:
			*at += 1;
			memcpy(out, "\\\\x", 3);
			(void) fms_hex_write(out + 3, from, 1);
			return 5;
	}
	return 0;					/* keep compiler quiet */
}

/*
 * Append a text up to the byte "stop" of the line; false if it had to be cut,
 * which is done between characters.  "json" tells that it is JSON already, so
 * that only its encoding needs care.
 */
static bool
put_text(FmsLine *line, const char *text, Size length, Size stop, bool json)
{
	const unsigned char *at = (const unsigned char *) text;
	const unsigned char *end = at + length;

	while (at < end)
	{
		const unsigned char *plain = at;
		char		out[8];
		int			bytes;

		while (at < end && (json ? *at < 0x80 : byte_class(*at) == BYTE_PLAIN))
			at++;
		if (at - plain > stop - line->used)
		{
			put_bytes(line, (const char *) plain, stop - line->used);
			return false;
		}
		put_bytes(line, (const char *) plain, at - plain);
		if (at == end)
			break;
		if (byte_class(*at) == BYTE_ESCAPE)
			bytes = escape_byte(*at++, out);
		else
			bytes = convert_high(line->encoding, &at, end, out);
		if (bytes > stop - line->used)
			return false;
		put_bytes(line, out, bytes);
	}
	return true;
}

/* A member with a text of "length" bytes of any kind. */
void
fms_line_text(FmsLine *line, const char *key, const char *text, Size length)
{
	Size		stop;

	if (!put_key(line, key, 2))
		return;
	put_bytes(line, "\"", 1);
	if (fits(line, worst_case(line, length) + 1))
		stop = line->used + worst_case(line, length);
	else
		stop = line->used + (room(line) - 1) / 2;
	if (!put_text(line, text, length, stop, false))
		line->truncated = true;
	put_bytes(line, "\"", 1);
}

/* A member with a string; none for NULL. */
void
fms_line_string(FmsLine *line, const char *key, const char *string)
{
	if (string != NULL)
		fms_line_text(line, key, string, strlen(string));
}

/* A member with a number. */
void
fms_line_integer(FmsLine *line, const char *key, int64 value)
{
	char		digits[MAX_DIGITS];
	int			first = MAX_DIGITS;
	uint64		rest = value < 0 ? -(uint64) value : (uint64) value;

	do
	{
		digits[--first] = '0' + rest % 10;
		rest /= 10;
	} while (rest != 0);
	if (value < 0)
		digits[--first] = '-';
	if (put_key(line, key, MAX_DIGITS))
		put_bytes(line, digits + first, MAX_DIGITS - first);
}

/*
 * Members that are JSON already: what stands between the braces of an object,
 * on one line.  They come all or not at all.
 */
void
fms_line_members(FmsLine *line, const char *json, Size length)
{
	Size		before = line->used;

	if (length == 0)
		return;
	if (fits(line, 1))
	{
		if (line->data[before - 1] != '{')
			put_bytes(line, ",", 1);
		(void) fits(line, worst_case(line, length));
		if (put_text(line, json, length, line->used + room(line), true))
			return;
	}
	line->used = before;
	line->truncated = true;
}

/*
 * Begin a member that is an object, which nests no further.  False if there is
 * no room for it; then its members are not written and it is not closed.
 */
bool
fms_line_open(FmsLine *line, const char *key)
{
	if (!put_key(line, key, 1))
		return false;
	put_bytes(line, "{", 1);
	return true;
}

/* End the object that fms_line_open began. */
void
fms_line_close(FmsLine *line)
{
	put_bytes(line, "}", 1);
}

/* End the line with its newline. */
void
fms_line_end(FmsLine *line)
{
	if (line->truncated)
		put_bytes(line, TRUNCATED_MEMBER, strlen(TRUNCATED_MEMBER));
	put_bytes(line, "}\n", 2);
}

/* Give back what the line took from malloc. */
void
fms_line_free(FmsLine *line)
{
	if (line->data != line->base)
		free(line->data);
	line->data = line->base;
}
