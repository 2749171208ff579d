/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  JSON text, token by token, for the decoder of OTLP.
 *
 * A text is checked as a whole first; everything else here takes it for sound,
 * and only never leaves it.  So a request with an error at its end is none, and
 * what follows can pass over values by counting brackets.
 *
 * Texts are bytes: whether they are UTF-8 is not looked at here, and an escaped
 * surrogate without its other half becomes the three bytes that UTF-8 would
 * have for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "miscadmin.h"

#include "otlp/in/scan.h"

#define NUMBER_BYTES 400		/* of a number that is read as a double */
#define MAX_NESTING 512			/* of the text; an attribute's level takes
								 * three */
#define ONES UINT64CONST(0x0101010101010101)
#define TOPS UINT64CONST(0x8080808080808080)

/* Bytes of a word that are zero have their top bit set in the result. */
#define ZERO_BYTES(word) (((word) - ONES) & ~(word) & TOPS)

/* Pass over white space. */
void
fms_scan_space(FmsScan *scan)
{
	while (scan->at < scan->end &&
		   (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
		scan->at++;
}

/* Move to the next quote, backslash or control character of a string, or the end. */
static void
to_special(FmsScan *scan)
{
	while (scan->end - scan->at >= 8)
	{
		uint64		word;

		memcpy(&word, scan->at, 8);

		/*
		 * the last term finds control characters, and perhaps others after
		 * one
		 */
		if ((ZERO_BYTES(word ^ (ONES * '"')) | ZERO_BYTES(word ^ (ONES * '\\')) |
			 ((word - ONES * 0x20) & ~word & TOPS)) != 0)
			break;
		scan->at += 8;
	}
	while (scan->at < scan->end && *scan->at != '"' && *scan->at != '\\' &&
		   (unsigned char) *scan->at >= 0x20)
		scan->at++;
}

/* Check an escape after its backslash: one letter, or four digits after "u". */
static bool
check_escape(FmsScan *scan)
{
	char		letter = scan->at < scan->end ? *scan->at++ : '\0';

	if (letter == '\0')
		return false;
	if (letter != 'u')
		return strchr("\"\\/bfnrt", letter) != NULL;
	for (int i = 0; i < 4; i++)
	{
		if (scan->at >= scan->end || !isxdigit((unsigned char) *scan->at))
			return false;
		scan->at++;
	}
	return true;
}

/* Check a string, from its first quote on. */
static bool
check_string(FmsScan *scan)
{
	if (scan->at >= scan->end || *scan->at != '"')
		return false;
	scan->at++;
	for (;;)
	{
		to_special(scan);
		if (scan->at >= scan->end || (unsigned char) *scan->at < 0x20)
			return false;
		if (*scan->at++ == '"')
			return true;
		if (!check_escape(scan))
			return false;
	}
}

/* Check digits; false if there is none. */
static bool
check_digits(FmsScan *scan)
{
	const char *begin = scan->at;

	while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
		scan->at++;
	return scan->at > begin;
}

/* Pass over a character if it is the next. */
static bool
take_char(FmsScan *scan, char c)
{
	if (scan->at >= scan->end || *scan->at != c)
		return false;
	scan->at++;
	return true;
}

/* Check a number. */
static bool
check_number(FmsScan *scan)
{
	const char *begin;

	(void) take_char(scan, '-');
	begin = scan->at;
	if (!check_digits(scan) || (*begin == '0' && scan->at > begin + 1))
		return false;
	if (take_char(scan, '.') && !check_digits(scan))
		return false;
	if (take_char(scan, 'e') || take_char(scan, 'E'))
	{
		if (!take_char(scan, '+'))
			(void) take_char(scan, '-');
		return check_digits(scan);
	}
	return true;
}

/* Check one of JSON's words. */
static bool
check_word(FmsScan *scan, const char *word)
{
	size_t		length = strlen(word);

	if ((size_t) (scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
		return false;
	scan->at += length;
	return true;
}

static bool check_value(FmsScan *scan, int depth);

/* Check the inside of an object or an array, from its bracket on. */
static bool
check_inside(FmsScan *scan, char closing, int depth)
{
	if (depth >= MAX_NESTING)
		return false;
	scan->at++;
	fms_scan_space(scan);
	if (take_char(scan, closing))
		return true;
	do
	{
		CHECK_FOR_INTERRUPTS();
		fms_scan_space(scan);
		if (closing == '}')
		{
			if (!check_string(scan))
				return false;
			fms_scan_space(scan);
			if (!take_char(scan, ':'))
				return false;
			fms_scan_space(scan);
		}
		if (!check_value(scan, depth + 1))
			return false;
		fms_scan_space(scan);
	} while (take_char(scan, ','));
	return take_char(scan, closing);
}

/* Check a value.  Calls itself through check_inside, MAX_NESTING deep at most. */
static bool
check_value(FmsScan *scan, int depth)
{
	if (scan->at >= scan->end)
		return false;
	switch (*scan->at)
	{
		case '"':
			return check_string(scan);
		case '{':
			return check_inside(scan, '}', depth);
		case '[':
			return check_inside(scan, ']', depth);
		case 't':
			return check_word(scan, "true");
		case 'f':
			return check_word(scan, "false");
		case 'n':
			return check_word(scan, "null");
		default:
			return check_number(scan);
	}
}

/*
 * Check a whole text.  Returns NULL, or what is wrong with it, and *error_at
 * tells where.
 */
const char *
fms_scan_check(const char *text, size_t length, size_t *error_at)
{
	FmsScan		scan = {text, text + length};
	bool		sound;

	fms_scan_space(&scan);
	sound = check_value(&scan, 0);
	if (sound)
	{
		fms_scan_space(&scan);
		if (scan.at == scan.end)
			return NULL;
	}
	*error_at = scan.at - text;
	if (!sound && scan.at < scan.end && (*scan.at == '{' || *scan.at == '['))
		return "JSON is nested deeper than 512, or has a value where none can be";
	return "JSON is broken";
}

/* Pass over a string. */
static void
skip_string(FmsScan *scan)
{
	scan->at++;
	while (scan->at < scan->end)
	{
		to_special(scan);
		if (scan->at >= scan->end || *scan->at == '"')
			break;
		scan->at += *scan->at == '\\' && scan->end - scan->at > 1 ? 2 : 1;
	}
	(void) take_char(scan, '"');
}

/*
 * Pass over a value, by counting brackets; the text is known to be sound, so that
 * they match.
 */
void
fms_scan_skip(FmsScan *scan)
{
	int			depth = 0;

	do
	{
		CHECK_FOR_INTERRUPTS();
		fms_scan_space(scan);
		if (scan->at >= scan->end)
			return;
		switch (*scan->at)
		{
			case '"':
				skip_string(scan);
				break;
			case '{':
			case '[':
				depth++;
				scan->at++;
				break;
			case '}':
			case ']':
				depth--;
				scan->at++;
				break;
			case ',':
			case ':':
				scan->at++;
				break;
			default:
				while (scan->at < scan->end && strchr(",:]} \n\r\t", *scan->at) == NULL)
					scan->at++;
				break;
		}
	} while (depth > 0);
}

/* Enter an object or an array; false if the value is none, and then stay before it. */
bool
fms_scan_begin(FmsScan *scan, char bracket)
{
	fms_scan_space(scan);
	return take_char(scan, bracket);
}

/*
 * Move on to the next value in an object ('}') or array (']'), or out of it:
 * then false.
 */
bool
fms_scan_more(FmsScan *scan, char bracket)
{
	fms_scan_space(scan);
	if (scan->at >= scan->end || take_char(scan, bracket))
		return false;
	(void) take_char(scan, ',');
	fms_scan_space(scan);
	return true;
}

/* Read the four digits of an escape; the check has seen that they are digits. */
static unsigned int
read_hex4(FmsScan *scan)
{
	unsigned int code = 0;

	for (int i = 0; i < 4 && scan->at < scan->end; i++)
		code = code << 4 | (fms_hex_digit(*scan->at++) & 0x0f);
	return code;
}

/* Write a code point in UTF-8; returns the byte after it. */
static char *
put_utf8(char *out, unsigned int code)
{
	if (code < 0x80)
		*out++ = code;
	else if (code < 0x800)
	{
		*out++ = 0xc0 | code >> 6;
		*out++ = 0x80 | (code & 0x3f);
	}
	else if (code < 0x10000)
	{
		*out++ = 0xe0 | code >> 12;
		*out++ = 0x80 | (code >> 6 & 0x3f);
		*out++ = 0x80 | (code & 0x3f);
	}
	else
	{
		*out++ = 0xf0 | code >> 18;
		*out++ = 0x80 | (code >> 12 & 0x3f);
		*out++ = 0x80 | (code >> 6 & 0x3f);
		*out++ = 0x80 | (code & 0x3f);
	}
	return out;
}

/* Write what an escape stands for, after its backslash; never more bytes than it has. */
static char *
unescape(FmsScan *scan, char *out)
{
	static const char letters[] = "bfnrt";
	static const char meanings[] = "\b\f\n\r\t";
	char		letter = *scan->at++;
	const char *found;
	unsigned int code;

	if (letter != 'u')
	{
		found = strchr(letters, letter);
		*out++ = found == NULL ? letter : meanings[found - letters];
		return out;
	}
	code = read_hex4(scan);
	if (code >= 0xd800 && code < 0xdc00 && scan->end - scan->at >= 6 &&
		scan->at[0] == '\\' && scan->at[1] == 'u')
	{
		FmsScan		ahead = {scan->at + 2, scan->end};
		unsigned int low = read_hex4(&ahead);

		if (low >= 0xdc00 && low < 0xe000)
		{
			code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
			*scan = ahead;
		}
	}
	return put_utf8(out, code);
}

/*
 * Read a string, the value at hand.  Without escapes the result points into
 * the text, else into the decoder's memory.
 */
FmsPart
fms_scan_string(FmsScan *scan, FmsOtlpDecoder *decoder)
{
	FmsScan		inside = {scan->at + 1, scan->end};
	FmsPart		result;
	char	   *out;

	skip_string(scan);
	inside.end = scan->at - 1;
	result.data = inside.at;
	result.length = inside.end > inside.at ? inside.end - inside.at : 0;
	if (result.length == 0 || memchr(result.data, '\\', result.length) == NULL)
		return result;
	out = fms_otlp_take_bytes(decoder, result.length);
	result.data = out;
	while (inside.at < inside.end)
	{
		if (*inside.at != '\\' || inside.end - inside.at < 2)
			*out++ = *inside.at++;
		else
		{
			CHECK_FOR_INTERRUPTS();
			inside.at++;
			out = unescape(&inside, out);
		}
	}
	result.length = out - result.data;
	return result;
}

/* Read the key of a member and move on to its value. */
FmsPart
fms_scan_key(FmsScan *scan, FmsOtlpDecoder *decoder)
{
	FmsPart		key = {"", 0};

	if (scan->at < scan->end && *scan->at == '"')
		key = fms_scan_string(scan, decoder);
	fms_scan_space(scan);
	(void) take_char(scan, ':');
	fms_scan_space(scan);
	return key;
}

/*
 * Read a number, the value at hand; empty if it is none.  Its digits are told as
 * they are: what they mean depends on the field.
 */
FmsPart
fms_scan_number(FmsScan *scan)
{
	FmsPart		result = {scan->at, 0};

	while (scan->at < scan->end && *scan->at != '\0' &&
		   strchr("+-0123456789.eE", *scan->at) != NULL)
		scan->at++;
	result.length = scan->at - result.data;
	return result;
}

/* Pass over null; false if the value at hand is another. */
bool
fms_scan_null(FmsScan *scan)
{
	return check_word(scan, "null");
}

/*
 * Read a text of decimal digits; false if it is none or does not fit.  Exact for
 * all 64 bits, which a double in between would not be.
 */
bool
fms_scan_unsigned(FmsPart text, uint64 *number)
{
	uint64		result = 0;

	if (text.length == 0)
		return false;
	for (uint32 i = 0; i < text.length; i++)
	{
		unsigned int digit = (unsigned char) text.data[i] - '0';

		if (digit > 9 || result > (PG_UINT64_MAX - digit) / 10)
			return false;
		result = result * 10 + digit;
	}
	*number = result;
	return true;
}

/*
 * Read a text as a double; false if it is none.  What is too large for one is
 * infinite, as strtod has it.
 */
bool
fms_scan_double(FmsPart text, double *number)
{
	char		copy[NUMBER_BYTES];
	char	   *end;

	if (text.length == 0 || text.length >= sizeof(copy))
		return false;
	/* what else strtod takes: spaces, hexadecimal digits, names */
	for (uint32 i = 0; i < text.length; i++)
	{
		if (text.data[i] == '\0' || strchr("+-0123456789.eE", text.data[i]) == NULL)
			return false;
	}
	memcpy(copy, text.data, text.length);
	copy[text.length] = '\0';
	*number = strtod(copy, &end);
	return end == copy + text.length;
}

/* Read a text as a signed integer of 64 bits; false if it is none or does not fit. */
bool
fms_scan_signed(FmsPart text, int64 *number)
{
	bool		negative = text.length > 0 && text.data[0] == '-';
	uint64		value;

	if (negative)
	{
		text.data++;
		text.length--;
	}
	if (!fms_scan_unsigned(text, &value) || value > (uint64) PG_INT64_MAX + negative)
		return false;
	*number = negative ? (int64) (0 - value) : (int64) value;
	return true;
}
