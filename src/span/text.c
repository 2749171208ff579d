/*-------------------------------------------------------------------------
 *
 * text.c
 *	  Hexadecimal digits, and uuids as text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "span/text.h"

/* The value of a hexadecimal digit in lower case, or -1. */
static int
lower_digit(char c)
{
	return c >= 'A' && c <= 'F' ? -1 : fms_hex_digit(c);
}

/* Read "count" bytes from twice as many lower-case hexadecimal digits. */
bool
fms_hex_read(const char *text, unsigned char *out, int count)
{
	for (int i = 0; i < count; i++)
	{
		int			high = lower_digit(text[2 * i]);
		int			low = lower_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char) (high << 4 | low);
	}
	return true;
}

/* Write bytes as lower-case hexadecimal digits; returns the end, with no NUL. */
char *
fms_hex_write(char *out, const unsigned char *bytes, int count)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < count; i++)
	{
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 0x0f];
	}
	return out;
}

/* Whether all of some bytes are zero. */
bool
fms_all_zero(const unsigned char *bytes, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

/* Whether a uuid has a hyphen before a byte, in its usual form. */
static bool
hyphen_before(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

/*
 * Read a uuid: 32 hexadecimal digits of either case, with hyphens at the usual
 * places or with none.  False for anything else; *id is undefined then.
 */
bool
fms_uuid_read(const char *text, size_t length, pg_uuid_t *id)
{
	if (length != FMS_UUID_TEXT && length != 2 * UUID_LEN)
		return false;
	for (int i = 0; i < UUID_LEN; i++)
	{
		int			high;
		int			low;

		if (length == FMS_UUID_TEXT && hyphen_before(i) && *text++ != '-')
			return false;
		high = fms_hex_digit(*text++);
		low = fms_hex_digit(*text++);
		if (high < 0 || low < 0)
			return false;
		id->data[i] = (unsigned char) (high << 4 | low);
	}
	return true;
}

/* Write a uuid in its usual form, FMS_UUID_TEXT bytes; returns the end, with no NUL. */
char *
fms_uuid_write(char *out, const pg_uuid_t *id)
{
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (hyphen_before(i))
			*out++ = '-';
		out = fms_hex_write(out, &id->data[i], 1);
	}
	return out;
}
