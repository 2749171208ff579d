/*-------------------------------------------------------------------------
 *
 * uri_grammar.c
 *	  The formats uri and uri-reference (RFC 3986), iri and iri-reference
 *	  (RFC 3987), uri-template (RFC 6570).
 *
 * The grammar only: whether a scheme has rules of its own for what follows, or
 * whether a host exists, is not asked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schema/format/part.h"
#include "schema/format/utf8.h"

/* what an ASCII character may be part of */
#define UNRESERVED	0x01		/* letters, digits, - . _ ~ */
#define SUB_DELIM	0x02		/* ! $ & ' ( ) * + , ; = */
#define COLON		0x04
#define AT			0x08
#define SLASH		0x10
#define QUESTION	0x20
#define TEMPLATE	0x40		/* the others that a URI template takes
								 * literally */

/* what stands in the parts of a URI */
#define IN_USERINFO	(UNRESERVED | SUB_DELIM | COLON)
#define IN_HOST		(UNRESERVED | SUB_DELIM)
#define IN_PATH		(UNRESERVED | SUB_DELIM | COLON | AT | SLASH)
#define IN_QUERY	(IN_PATH | QUESTION)
#define IN_TEMPLATE	(IN_QUERY | TEMPLATE)

/* which characters beyond ASCII may stand there */
typedef enum Beyond
{
	BEYOND_NONE,
	BEYOND_TEXT,				/* ucschar */
	BEYOND_PRIVATE				/* and iprivate */
} Beyond;

#define L UNRESERVED
#define S SUB_DELIM
static const uint8 classes[128] = {
	['!'] = S, ['#'] = TEMPLATE, ['$'] = S, ['&'] = S, ['\''] = S, ['('] = S, [')'] = S, ['*'] = S,
	['+'] = S, [','] = S, ['-'] = L, ['.'] = L, ['/'] = SLASH, [':'] = COLON, [';'] = S, ['='] = S,
	['?'] = QUESTION, ['@'] = AT, ['['] = TEMPLATE, [']'] = TEMPLATE, ['_'] = L, ['~'] = L,
	['0'] = L, L, L, L, L, L, L, L, L, L,
	['A'] = L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
	['a'] = L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
};
#undef L
#undef S

/* Whether a code point is RFC 3987's ucschar, or iprivate if that is allowed. */
static bool
is_beyond(int32 c, Beyond beyond)
{
	if (beyond == BEYOND_NONE || c < 0xa0)
		return false;
	if ((c >= 0xe000 && c <= 0xf8ff) || c >= 0xf0000)
		return beyond == BEYOND_PRIVATE && (c & 0xffff) <= 0xfffd;
	if (c >= 0xe0000 && c < 0xe1000)
		return false;
	return c < 0xfdd0 || (c > 0xfdef && c < 0xfff0) || (c >= 0x10000 && (c & 0xffff) <= 0xfffd);
}

/* Take characters of the classes, and "%" with two hexadecimal digits. */
static void
skip(const char **at, const char *end, uint8 allowed, Beyond beyond)
{
	const char *p = *at;

	while (p < end)
	{
		const char *next = p;

		if (!IS_HIGHBIT_SET(*p))
		{
			if (classes[(int) *p] & allowed)
				next = p + 1;
			else if (*p == '%' && end - p > 2 && fms_is_hex(p[1]) && fms_is_hex(p[2]))
				next = p + 3;
			else
				break;
		}
		else if (!is_beyond(fms_utf8_next(&next, end), beyond))
			break;
		p = next;
	}
	*at = p;
}

/* An address in brackets: IPv6, or one of a version to come. */
static bool
take_address(const char **at, const char *end)
{
	const char *close = memchr(*at, ']', end - *at);
	const char *p = *at + 1;

	if (close == NULL)
		return false;
	*at = close + 1;
	if (*p != 'v' && *p != 'V')
		return fms_format_ipv6(p, close);
	for (p++; p < close && fms_is_hex(*p); p++)
		;
	if (p[-1] == 'v' || p[-1] == 'V' || p == close || *p++ != '.' || p == close)
		return false;
	for (; p < close && !IS_HIGHBIT_SET(*p) && (classes[(int) *p] & IN_USERINFO); p++)
		;
	return p == close;
}

/* Take [userinfo "@"] host [":" port] up to a slash, a query or a fragment. */
static bool
take_authority(const char **at, const char *end, Beyond beyond)
{
	const char *p = *at;

	/*
	 * what comes before an @ is the user; without one it is looked at again
	 * as a host
	 */
	skip(&p, end, IN_USERINFO, beyond);
	if (p < end && *p == '@')
		*at = ++p;
	p = *at;
	if (p < end && *p == '[')
	{
		if (!take_address(&p, end))
			return false;
	}
	else
		skip(&p, end, IN_HOST, beyond);
	if (p < end && *p == ':')
		for (p++; p < end && fms_is_digit(*p); p++)
			;
	*at = p;
	return p == end || *p == '/' || *p == '?' || *p == '#';
}

/* Take a scheme and its colon, if there is one. */
static bool
take_scheme(const char **at, const char *end)
{
	const char *p = *at;

	if (p == end || !fms_is_alpha(*p))
		return false;
	while (p < end && (fms_is_alpha(*p) || fms_is_digit(*p) || *p == '+' || *p == '-' || *p == '.'))
		p++;
	if (p == end || *p != ':')
		return false;
	*at = p + 1;
	return true;
}

/* A URI or IRI; a relative reference too, if there need be no scheme. */
static bool
is_reference(const char *at, const char *end, bool need_scheme, bool international)
{
	Beyond		beyond = international ? BEYOND_TEXT : BEYOND_NONE;

	if (!take_scheme(&at, end))
	{
		const char *first = at;

		if (need_scheme)
			return false;
		/* what a colon would turn into a scheme */
		skip(&first, end, IN_HOST | AT, beyond);
		if (first < end && *first == ':')
			return false;
	}
	if (end - at >= 2 && at[0] == '/' && at[1] == '/')
	{
		at += 2;
		if (!take_authority(&at, end, beyond))
			return false;
	}
	skip(&at, end, IN_PATH, beyond);
	if (at < end && *at == '?')
	{
		at++;
		skip(&at, end, IN_QUERY, international ? BEYOND_PRIVATE : BEYOND_NONE);
	}
	if (at < end && *at == '#')
	{
		at++;
		skip(&at, end, IN_QUERY, beyond);
	}
	return at == end;
}

/* Format "uri". */
bool
fms_format_uri(const char *at, const char *end)
{
	return is_reference(at, end, true, false);
}

/* Format "uri-reference". */
bool
fms_format_uri_reference(const char *at, const char *end)
{
	return is_reference(at, end, false, false);
}

/* Format "iri". */
bool
fms_format_iri(const char *at, const char *end)
{
	return is_reference(at, end, true, true);
}

/* Format "iri-reference". */
bool
fms_format_iri_reference(const char *at, const char *end)
{
	return is_reference(at, end, false, true);
}

/* Take the name of a variable: characters, escapes, and single dots between. */
static bool
take_variable_name(const char **at, const char *end)
{
	const char *p = *at;

	for (;;)
	{
		const char *first = p;

		for (;;)
		{
			if (p < end && (fms_is_alpha(*p) || fms_is_digit(*p) || *p == '_'))
				p++;
			else if (end - p > 2 && *p == '%' && fms_is_hex(p[1]) && fms_is_hex(p[2]))
				p += 3;
			else
				break;
		}
		if (p == first)
			return false;
		if (p == end || *p != '.')
			break;
		p++;
	}
	*at = p;
	return true;
}

/* Take ":length" (1 to 9999) or "*", if there is one. */
static bool
take_modifier(const char **at, const char *end)
{
	const char *p = *at;

	if (p < end && *p == '*')
		p++;
	else if (p < end && *p == ':')
	{
		const char *first = ++p;

		while (p < end && fms_is_digit(*p))
			p++;
		if (p == first || *first == '0' || p - first > 4)
			return false;
	}
	*at = p;
	return true;
}

/* Take what follows a "{", to its "}". */
static bool
take_expression(const char **at, const char *end)
{
	const char *p = *at;

	/*
	 * those after the first seven are reserved for the future, and
	 * grammatical
	 */
	if (p < end && *p != '\0' && strchr("+#./;?&=,!@|", *p) != NULL)
		p++;
	for (;;)
	{
		if (!take_variable_name(&p, end) || !take_modifier(&p, end) || p == end)
			return false;
		if (*p == '}')
			break;
		if (*p++ != ',')
			return false;
	}
	*at = p + 1;
	return true;
}

/* Format "uri-template". */
bool
fms_format_uri_template(const char *at, const char *end)
{
	for (;;)
	{
		skip(&at, end, IN_TEMPLATE, BEYOND_PRIVATE);
		if (at == end)
			return true;
		if (*at++ != '{' || !take_expression(&at, end))
			return false;
	}
}
