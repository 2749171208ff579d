/*-------------------------------------------------------------------------
 *
 * part.h
 *	  The checks of single formats, for format.c and for one another.
 *
 * Each tells whether all of the bytes from "at" to "end" have the format.
 * Where a text may be other than ASCII it is UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_FORMAT_PART_H
#define FMS_SCHEMA_FORMAT_PART_H

/* time.c */
extern bool fms_format_date_time(const char *at, const char *end);
extern bool fms_format_date(const char *at, const char *end);
extern bool fms_format_time(const char *at, const char *end);
extern bool fms_format_duration(const char *at, const char *end);

/* host.c */
extern bool fms_format_ipv4(const char *at, const char *end);
extern bool fms_format_ipv6(const char *at, const char *end);
extern bool fms_format_hostname(const char *at, const char *end);
extern bool fms_format_email(const char *at, const char *end);
extern bool fms_format_idn_email(const char *at, const char *end);

/* idn.c; "compose" also takes labels that are not in Unicode's form NFC */
extern bool fms_format_idn_hostname(const char *at, const char *end, bool compose);

/* uri_grammar.c */
extern bool fms_format_uri(const char *at, const char *end);
extern bool fms_format_uri_reference(const char *at, const char *end);
extern bool fms_format_iri(const char *at, const char *end);
extern bool fms_format_iri_reference(const char *at, const char *end);
extern bool fms_format_uri_template(const char *at, const char *end);

static inline bool
fms_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
fms_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
fms_is_hex(char c)
{
	return fms_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

#endif							/* FMS_SCHEMA_FORMAT_PART_H */
