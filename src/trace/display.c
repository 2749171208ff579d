/*-------------------------------------------------------------------------
 *
 * display.c
 *	  Text that is safe to show and keeps its columns.
 *
 * Names and messages come from anybody.  A terminal obeys control characters,
 * and characters that turn the direction of writing make one line read as
 * another; none of them gets through.  How many columns a character takes is
 * what the server's own encoding routines say, which psql uses, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "compat.h"
#include "trace/display.h"

#define MOST_MARKS 3			/* without width, on one letter */

/* a range of code points, both ends included */
typedef struct Range
{
	pg_wchar	first;
	pg_wchar	last;
} Range;

/* what does something else than being seen */
static const Range unsafe[] = {
	{0x0000, 0x001f},			/* controls, among them ESC */
	{0x007f, 0x009f},			/* DEL and the controls of 8-bit terminals */
	{0x00ad, 0x00ad},			/* soft hyphen */
	{0x061c, 0x061c},			/* direction marks, embeddings, overrides,
								 * isolates */
	{0x180e, 0x180e},
	{0x200b, 0x200f},			/* without width, and marks of direction */
	{0x2028, 0x202e},			/* line and paragraph separators, embeddings,
								 * overrides */
	{0x2060, 0x206f},			/* invisible operators, isolates */
	{0xfeff, 0xfeff},			/* byte order mark */
	{0xfff9, 0xfffb},			/* annotations */
	{0xe0000, 0xe007f},			/* tags */
};

/* Whether box drawing can be shown at all. */
bool
fms_display_unicode(void)
{
	return GetDatabaseEncoding() == PG_UTF8;
}

/* Whether a character parts words: it is shown as a blank. */
static inline bool
is_spacing(char c)
{
	return c == '\n' || c == '\r' || c == '\t';
}

/* Whether a character must not be shown. */
static bool
is_unsafe(const char *data)
{
	unsigned char first = (unsigned char) *data;
	pg_wchar	code;

	if (GetDatabaseEncoding() != PG_UTF8)
		return first < 0x20 || first == 0x7f ||
			(GetDatabaseEncoding() == PG_SQL_ASCII && first >= 0x80) ||
			(pg_database_encoding_max_length() == 1 && first >= 0x80 && first < 0xa0);
	code = utf8_to_unicode((const unsigned char *) data);
	for (int i = 0; i < lengthof(unsafe); i++)
	{
		if (code >= unsafe[i].first && code <= unsafe[i].last)
			return true;
	}
	return false;
}

/* The bytes of the next character, and the columns that it takes. */
static int
next_character(const char *data, int length, int *columns)
{
	int			bytes = Min(pg_mblen(data), length);

	*columns = is_unsafe(data) ? 1 : Max(pg_dsplen(data), 0);
	return bytes;
}

/*
 * Append as much of a text as fits into some columns, or only measure it if
 * "out" is NULL.  Returns the bytes done; *used is the columns taken.
 */
static int
append_fitting(StringInfo out, const char *data, int length, int columns, const char *instead,
			   int *used)
{
	int			at = 0;
	int			marks = 0;

	*used = 0;
	while (at < length)
	{
		int			wide;
		int			bytes = next_character(data + at, length - at, &wide);

		if (*used + wide > columns)
			break;
		/* towers of accents would reach into other lines */
		marks = wide == 0 ? marks + 1 : 0;
		if (out != NULL && is_spacing(data[at]))
			appendStringInfoChar(out, ' ');
		else if (out != NULL && is_unsafe(data + at))
			appendStringInfoString(out, instead);
		else if (out != NULL && marks <= MOST_MARKS)
			appendBinaryStringInfo(out, data + at, bytes);
		at += bytes;
		*used += wide;
	}
	return at;
}

/*
 * Append a text in at most some columns; one that is longer is cut and ends in
 * a mark.  Returns the columns used.
 */
int
fms_display_append(StringInfo out, const char *data, int length, int columns, bool unicode)
{
	const char *ellipsis = unicode ? "\xe2\x80\xa6" : "~";
	const char *replacement = unicode ? "\xef\xbf\xbd" : "?";
	int			used;

	if (columns <= 0)
		return 0;
	if (append_fitting(NULL, data, length, columns, NULL, &used) == length)
	{
		(void) append_fitting(out, data, length, columns, replacement, &used);
		return used;
	}
	(void) append_fitting(out, data, length, columns - 1, replacement, &used);
	appendStringInfoString(out, ellipsis);
	return used + 1;
}

/* Write a duration for a person: three digits, from microseconds to days. */
void
fms_display_duration(char *buffer, int64 us)
{
	int64		s = us / USECS_PER_SEC;

	if (us < 1000)
		snprintf(buffer, FMS_DISPLAY_BYTES, "%d us", (int) us);
	else if (us < 100 * 1000)
		snprintf(buffer, FMS_DISPLAY_BYTES, "%.*f ms", us < 10 * 1000 ? 2 : 1, us / 1000.0);
	else if (us < USECS_PER_SEC)
		snprintf(buffer, FMS_DISPLAY_BYTES, "%d ms", (int) (us / 1000));
	else if (us < 60 * USECS_PER_SEC)
		snprintf(buffer, FMS_DISPLAY_BYTES, "%.*f s", us < 10 * USECS_PER_SEC ? 2 : 1,
				 us / (double) USECS_PER_SEC);
	else if (s < SECS_PER_HOUR)
		snprintf(buffer, FMS_DISPLAY_BYTES, "%dm %02ds", (int) (s / 60), (int) (s % 60));
	else if (s < SECS_PER_DAY)
		snprintf(buffer, FMS_DISPLAY_BYTES, "%dh %02dm", (int) (s / SECS_PER_HOUR),
				 (int) (s % SECS_PER_HOUR / 60));
	else
		snprintf(buffer, FMS_DISPLAY_BYTES, "%dd %02dh", (int) (s / SECS_PER_DAY),
				 (int) (s % SECS_PER_DAY / SECS_PER_HOUR));
}

/* Write a count for a person: 812, 1.2k, 34k, 5.6M. */
void
fms_display_count(char *buffer, int64 count)
{
	static const char units[] = {'k', 'M', 'G', 'T', 'P', 'E'};
	double		value = (double) count;
	int			unit = -1;

	while (value >= 999.5 && unit < (int) lengthof(units) - 1)
	{
		value /= 1000;
		unit++;
	}
	if (unit < 0)
		snprintf(buffer, FMS_DISPLAY_BYTES, "%d", (int) count);
	else
		snprintf(buffer, FMS_DISPLAY_BYTES, "%.*f%c", value < 9.95 ? 1 : 0, value, units[unit]);
}
