/*-------------------------------------------------------------------------
 *
 * utf8.h
 *	  Texts of the database as UTF-8, which patterns and formats work on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_FORMAT_UTF8_H
#define FMS_SCHEMA_FORMAT_UTF8_H

#include "mb/pg_wchar.h"

/*
 * A text of the database in UTF-8: itself where that is the encoding, else a
 * palloc'd copy.  Raises an error for bytes that have no form in UTF-8.
 */
static inline const char *
fms_utf8(const char *text, size_t *bytes)
{
	char	   *converted;

	if (likely(GetDatabaseEncoding() == PG_UTF8))
		return text;
	converted = pg_server_to_any(text, (int) *bytes, PG_UTF8);
	if (converted != text)
		*bytes = strlen(converted);
	return converted;
}

/*
 * Read the code point at *at and move behind it; -1 if it is not valid UTF-8
 * or does not end before "end".
 */
static inline int32
fms_utf8_next(const char **at, const char *end)
{
	const unsigned char *from = (const unsigned char *) *at;
	int			length = pg_utf_mblen(from);

	if (length > end - *at || !pg_utf8_islegal(from, length))
		return -1;
	*at += length;
	return (int32) utf8_to_unicode(from);
}

#endif							/* FMS_SCHEMA_FORMAT_UTF8_H */
