/*-------------------------------------------------------------------------
 *
 * format.c
 *	  The formats that JSON Schema defines: their names, and the small ones.
 *
 * Each check is a hand-written parser of one pass: formats are checked for
 * every row of a table, and a regular expression takes several times as long.
 * The parts of one field each are in time.c, host.c, idn.c and
 * uri_grammar.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schema/format/ecma.h"
#include "schema/format/format.h"
#include "schema/format/part.h"
#include "schema/format/utf8.h"

static const struct
{
	const char *name;
	FmsFormat	format;
}			names[] =
{
	{"date-time", FMS_FORMAT_DATE_TIME},
	{"date", FMS_FORMAT_DATE},
	{"time", FMS_FORMAT_TIME},
	{"duration", FMS_FORMAT_DURATION},
	{"email", FMS_FORMAT_EMAIL},
	{"idn-email", FMS_FORMAT_IDN_EMAIL},
	{"hostname", FMS_FORMAT_HOSTNAME},
	{"idn-hostname", FMS_FORMAT_IDN_HOSTNAME},
	{"ipv4", FMS_FORMAT_IPV4},
	{"ipv6", FMS_FORMAT_IPV6},
	{"uri", FMS_FORMAT_URI},
	{"uri-reference", FMS_FORMAT_URI_REFERENCE},
	{"iri", FMS_FORMAT_IRI},
	{"iri-reference", FMS_FORMAT_IRI_REFERENCE},
	{"uri-template", FMS_FORMAT_URI_TEMPLATE},
	{"uuid", FMS_FORMAT_UUID},
	{"json-pointer", FMS_FORMAT_JSON_POINTER},
	{"relative-json-pointer", FMS_FORMAT_RELATIVE_JSON_POINTER},
	{"regex", FMS_FORMAT_REGEX},
};

/* See format.h. */
FmsFormat
fms_format_lookup(const char *name, size_t bytes)
{
	for (int i = 0; i < lengthof(names); i++)
		if (strlen(names[i].name) == bytes && memcmp(names[i].name, name, bytes) == 0)
			return names[i].format;
	return FMS_FORMAT_NONE;
}

/* Format "uuid": RFC 9562, of any version and variant. */
static bool
is_uuid(const char *at, const char *end)
{
	if (end - at != 36)
		return false;
	for (int i = 0; i < 36; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? at[i] != '-' : !fms_is_hex(at[i]))
			return false;
	return true;
}

/* Format "json-pointer": RFC 6901. */
static bool
is_json_pointer(const char *at, const char *end)
{
	if (at < end && *at != '/')
		return false;
	while ((at = memchr(at, '~', end - at)) != NULL)
	{
		if (++at == end || (*at != '0' && *at != '1'))
			return false;
	}
	return true;
}

/* Take a number without leading zeros. */
static bool
take_whole_number(const char **at, const char *end)
{
	const char *first = *at;

	while (*at < end && fms_is_digit(**at))
		(*at)++;
	return *at > first && (*at == first + 1 || *first != '0');
}

/*
 * Format "relative-json-pointer", with the move to a neighbour in an array that
 * the newest draft of it has ("0+1/name").
 */
static bool
is_relative_json_pointer(const char *at, const char *end)
{
	if (!take_whole_number(&at, end))
		return false;
	if (at < end && (*at == '+' || *at == '-'))
	{
		at++;
		if (at == end || *at == '0' || !take_whole_number(&at, end))
			return false;
	}
	return (end - at == 1 && *at == '#') || is_json_pointer(at, end);
}

/* Format "regex": the syntax; whether PCRE2 can compile it is not asked. */
static bool
is_regex(const char *source, size_t bytes)
{
	size_t		at;

	return fms_ecma_translate(source, bytes, NULL, &at) == NULL;
}

/* See format.h. */
bool
fms_format_check(FmsFormat format, const char *value, size_t bytes)
{
	const char *utf8 = bytes == 0 ? "" : fms_utf8(value, &bytes);
	const char *end = utf8 + bytes;

	switch (format)
	{
		case FMS_FORMAT_NONE:
			return true;
		case FMS_FORMAT_DATE_TIME:
			return fms_format_date_time(utf8, end);
		case FMS_FORMAT_DATE:
			return fms_format_date(utf8, end);
		case FMS_FORMAT_TIME:
			return fms_format_time(utf8, end);
		case FMS_FORMAT_DURATION:
			return fms_format_duration(utf8, end);
		case FMS_FORMAT_EMAIL:
			return fms_format_email(utf8, end);
		case FMS_FORMAT_IDN_EMAIL:
			return fms_format_idn_email(utf8, end);
		case FMS_FORMAT_HOSTNAME:
			return fms_format_hostname(utf8, end);
		case FMS_FORMAT_IDN_HOSTNAME:
			return fms_format_idn_hostname(utf8, end, false);
		case FMS_FORMAT_IPV4:
			return fms_format_ipv4(utf8, end);
		case FMS_FORMAT_IPV6:
			return fms_format_ipv6(utf8, end);
		case FMS_FORMAT_URI:
			return fms_format_uri(utf8, end);
		case FMS_FORMAT_URI_REFERENCE:
			return fms_format_uri_reference(utf8, end);
		case FMS_FORMAT_IRI:
			return fms_format_iri(utf8, end);
		case FMS_FORMAT_IRI_REFERENCE:
			return fms_format_iri_reference(utf8, end);
		case FMS_FORMAT_URI_TEMPLATE:
			return fms_format_uri_template(utf8, end);
		case FMS_FORMAT_UUID:
			return is_uuid(utf8, end);
		case FMS_FORMAT_JSON_POINTER:
			return is_json_pointer(utf8, end);
		case FMS_FORMAT_RELATIVE_JSON_POINTER:
			return is_relative_json_pointer(utf8, end);
		case FMS_FORMAT_REGEX:
			return is_regex(utf8, bytes);
	}
	pg_unreachable();
}
