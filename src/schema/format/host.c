/*-------------------------------------------------------------------------
 *
 * host.c
 *	  The formats of internet hosts, and of mailboxes on them: ipv4 and ipv6
 *	  (RFC 2673, RFC 4291), hostname (RFC 1123, RFC 5891), email (RFC 5321),
 *	  idn-email (RFC 6531).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schema/format/part.h"
#include "schema/format/utf8.h"

#define MAX_NAME 253			/* bytes of a host name */
#define MAX_LABEL 63			/* bytes of a part of it */
#define MAX_LOCAL 64			/* bytes of what stands before the @ */
#define IPV6_GROUPS 8

/* Format "ipv4": four decimal numbers, without leading zeros. */
bool
fms_format_ipv4(const char *at, const char *end)
{
	for (int part = 0; part < 4; part++)
	{
		const char *first;
		int			value = 0;

		if (part > 0 && (at >= end || *at++ != '.'))
			return false;
		for (first = at; at < end && at - first < 3 && fms_is_digit(*at); at++)
			value = value * 10 + (*at - '0');
		if (at == first || value > 255 || (at - first > 1 && *first == '0'))
			return false;
	}
	return at == end;
}

/*
 * Format "ipv6": eight groups of hexadecimal digits; "::" stands for one or
 * more of zero; the last two can be written as an IPv4 address.
 */
bool
fms_format_ipv6(const char *at, const char *end)
{
	int			groups = 0;
	bool		gap = false;

	if (end - at >= 2 && at[0] == ':' && at[1] == ':')
	{
		gap = true;
		at += 2;
	}
	while (at < end)
	{
		const char *first = at;

		while (at < end && at - first < 4 && fms_is_hex(*at))
			at++;
		/* the digits of this group are the first number of an IPv4 address */
		if (at < end && *at == '.' && groups <= IPV6_GROUPS - 2)
			return fms_format_ipv4(first, end) &&
				(gap ? groups < IPV6_GROUPS - 2 : groups == IPV6_GROUPS - 2);
		if (at == first || ++groups > IPV6_GROUPS)
			return false;
		if (at == end)
			break;
		if (*at++ != ':' || at == end)
			return false;
		if (*at == ':')
		{
			if (gap)
				return false;
			gap = true;
			at++;
		}
	}
	return gap ? groups < IPV6_GROUPS : groups == IPV6_GROUPS;
}

/*
 * Format "hostname".  Names with a label that is encoded Unicode, "xn--...",
 * are left to the check of those.
 */
bool
fms_format_hostname(const char *at, const char *end)
{
	const char *start = at;
	bool		encoded = false;

	if (end - at > MAX_NAME)
		return false;
	for (;;)
	{
		const char *label = at;

		while (at < end && (fms_is_alpha(*at) || fms_is_digit(*at) || *at == '-'))
			at++;
		if (at == label || at - label > MAX_LABEL || *label == '-' || at[-1] == '-')
			return false;
		encoded |= at - label > 4 && pg_strncasecmp(label, "xn--", 4) == 0;
		if (at == end)
			return !encoded || fms_format_idn_hostname(start, end, false);
		if (*at++ != '.')
			return false;
	}
}

/* Whether a byte may stand in an unquoted local part; beyond ASCII: on request. */
static inline bool
is_atom(char c, bool international)
{
	return fms_is_alpha(c) || fms_is_digit(c) || (IS_HIGHBIT_SET(c) && international) ||
		(c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Take a local part: atoms with dots between, or a quoted string. */
static bool
take_local(const char **at, const char *end, bool international)
{
	const char *p = *at;

	if (p < end && *p == '"')
	{
		for (p++; p < end && *p != '"'; p++)
		{
			if (*p == '\\' && ++p == end)
				return false;
			if ((IS_HIGHBIT_SET(*p) && !international) || (unsigned char) *p < ' ' || *p == 0x7f)
				return false;
		}
		if (p++ == end)
			return false;
	}
	else
		for (;; p++)
		{
			const char *atom = p;

			while (p < end && is_atom(*p, international))
				p++;
			if (p == atom)
				return false;
			if (p == end || *p != '.')
				break;
		}
	if (p - *at > MAX_LOCAL)
		return false;
	*at = p;
	return true;
}

/* An address instead of a host name, in brackets. */
static bool
is_address(const char *at, const char *end)
{
	if (end - at < 2 || *at != '[' || end[-1] != ']')
		return false;
	at++;
	end--;
	if (end - at > 5 && pg_strncasecmp(at, "IPv6:", 5) == 0)
		return fms_format_ipv6(at + 5, end);
	return fms_format_ipv4(at, end);
}

/* Format "email". */
bool
fms_format_email(const char *at, const char *end)
{
	if (!take_local(&at, end, false) || at == end || *at++ != '@')
		return false;
	return is_address(at, end) || fms_format_hostname(at, end);
}

/* Format "idn-email". */
bool
fms_format_idn_email(const char *at, const char *end)
{
	if (!take_local(&at, end, true) || at == end || *at++ != '@')
		return false;
	return is_address(at, end) || fms_format_idn_hostname(at, end, true);
}
