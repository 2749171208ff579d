/*-------------------------------------------------------------------------
 *
 * log_fuzz.c
 *	  libFuzzer target: whatever bytes the members of a log line have, and
 *	  however little memory it gets, it is one line of valid JSON in UTF-8 that
 *	  keeps to its limit.
 *
 * The first bytes choose the encoding, the memory and the limit; the rest is cut
 * into members.  A reader of its own, written from RFC 8259, checks the line.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdlib.h>

#include "log/line.h"
#include "mb/pg_wchar.h"

#define BASE_BYTES 1024
#define MIN_BYTES 200

extern int	LLVMFuzzerTestOneInput(const uint8 *input, size_t size);

typedef struct Reader
{
	const unsigned char *at;
	const unsigned char *end;
} Reader;

/* Break off: the line is wrong at this place. */
static void
require(bool truth)
{
	if (!truth)
		abort();
}

/* The next byte, which there has to be. */
static int
next(Reader *reader)
{
	require(reader->at < reader->end);
	return *reader->at++;
}

/* The four digits of an escape. */
static void
read_digits(Reader *reader)
{
	for (int i = 0; i < 4; i++)
		require(strchr("0123456789abcdefABCDEF", next(reader)) != NULL);
}

/* A string behind its first quote. */
static void
read_string(Reader *reader)
{
	int			byte;

	while ((byte = next(reader)) != '"')
	{
		require(byte >= 0x20);
		if (byte >= 0x80)
		{
			int			length = pg_utf_mblen(--reader->at);

			require(length <= reader->end - reader->at && pg_utf8_islegal(reader->at, length));
			reader->at += length;
		}
		else if (byte == '\\')
		{
			byte = next(reader);
			require(byte != '\0' && strchr("\"\\/bfnrtu", byte) != NULL);
			if (byte == 'u')
				read_digits(reader);
		}
	}
}

/* A number of which the first byte is read; the lines have only whole ones. */
static void
read_number(Reader *reader, int byte)
{
	if (byte == '-')
		byte = next(reader);
	require(byte >= '0' && byte <= '9');
	while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
	{
		require(byte != '0');
		reader->at++;
	}
}

/* An object behind its first brace, to a depth. */
static void
read_object(Reader *reader, int depth)
{
	int			byte = next(reader);

	if (byte == '}')
		return;
	for (;;)
	{
		require(byte == '"');
		read_string(reader);
		require(next(reader) == ':');
		byte = next(reader);
		if (byte == '"')
			read_string(reader);
		else if (byte == '{' && depth > 0)
			read_object(reader, depth - 1);
		else if (byte == 't')
			require(next(reader) == 'r' && next(reader) == 'u' && next(reader) == 'e');
		else
			read_number(reader, byte);
		byte = next(reader);
		if (byte == '}')
			return;
		require(byte == ',');
		byte = next(reader);
	}
}

/* A member whose kind and length the input tells; gives the bytes it used. */
static size_t
add_member(FmsLine *line, const uint8 *input, size_t size)
{
	size_t		length = Min(size - 2, ((size_t) input[0] << 2) * (input[1] & 0x80 ? 16 : 1));
	const char *bytes = (const char *) input + 2;
	char		copy[64];
	int64		number = 0;

	switch (input[1] & 7)
	{
		case 0:
			memcpy(&number, bytes, Min(length, sizeof(number)));
			fms_line_integer(line, "number", number);
			break;
		case 1:
			/* members that are JSON: a string of printable or high bytes */
			length = Min(length, sizeof(copy) - 6);
			memcpy(copy, "\"m\":\"", 5);
			for (size_t i = 0; i < length; i++)
				copy[5 + i] = bytes[i] < ' ' && bytes[i] >= 0 ? ' ' :
					bytes[i] == '"' || bytes[i] == '\\' ? '_' : bytes[i];
			copy[5 + length] = '"';
			fms_line_members(line, copy, length + 6);
			break;
		case 2:
			if (fms_line_open(line, "object"))
			{
				fms_line_text(line, "text", bytes, length);
				fms_line_integer(line, "number", size);
				fms_line_close(line);
			}
			break;
		default:
			fms_line_text(line, "text", bytes, length);
	}
	return length + 2;
}

/* Write a line of the input and read it. */
int
LLVMFuzzerTestOneInput(const uint8 *input, size_t size)
{
	FmsLine		line;
	Reader		reader;
	char	   *base;
	size_t		base_bytes;
	size_t		limit;

	if (size < 5)
		return 0;
	base_bytes = MIN_BYTES + input[1] * (BASE_BYTES - MIN_BYTES) / 255;
	limit = base_bytes + ((size_t) input[2] << (input[3] % 12));
	base = malloc(base_bytes);
	fms_line_begin(&line, base, base_bytes, limit, input[0] % 3);
	fms_line_integer(&line, "level", 30);
	for (size_t at = 4; at + 2 < size;)
		at += add_member(&line, input + at, size - at);
	fms_line_end(&line);
	require(line.used <= limit && line.used <= line.size);
	require(line.data[line.used - 1] == '\n' && memchr(line.data, '\n', line.used - 1) == NULL);
	reader.at = (unsigned char *) line.data + 1;
	reader.end = (unsigned char *) line.data + line.used - 1;
	require(line.data[0] == '{');
	read_object(&reader, 1);
	require(reader.at == reader.end);
	fms_line_free(&line);
	free(base);
	return 0;
}
