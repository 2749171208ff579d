/*-------------------------------------------------------------------------
 *
 * time.c
 *	  The formats date-time, date, time and duration: RFC 3339.
 *
 * Years are those of the Gregorian calendar, also before its reform.  A second
 * 60 is a leap second, and those end the last minute of a day in UTC: the
 * offset tells whether this one does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schema/format/part.h"

#define MINUTES_A_DAY (24 * 60)

/* Take exactly two digits with a value from low to high. */
static bool
take_two(const char **at, const char *end, int low, int high, int *value)
{
	const char *p = *at;

	if (end - p < 2 || !fms_is_digit(p[0]) || !fms_is_digit(p[1]))
		return false;
	*value = (p[0] - '0') * 10 + (p[1] - '0');
	*at = p + 2;
	return *value >= low && *value <= high;
}

/* Take this very byte. */
static inline bool
take_one(const char **at, const char *end, char c)
{
	if (*at >= end || **at != c)
		return false;
	(*at)++;
	return true;
}

/* Days of a month. */
static int
month_days(int year, int month)
{
	static const char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* Take full-date. */
static bool
take_date(const char **at, const char *end)
{
	int			century;
	int			year;
	int			month;
	int			day;

	return take_two(at, end, 0, 99, &century) && take_two(at, end, 0, 99, &year) &&
		take_one(at, end, '-') && take_two(at, end, 1, 12, &month) &&
		take_one(at, end, '-') && take_two(at, end, 1, month_days(century * 100 + year, month), &day);
}

/* Take time-offset, in minutes east of UTC. */
static bool
take_offset(const char **at, const char *end, int *offset)
{
	int			sign;
	int			hour;
	int			minute;

	*offset = 0;
	if (take_one(at, end, 'Z') || take_one(at, end, 'z'))
		return true;
	sign = take_one(at, end, '-') ? -1 : 1;
	if ((sign > 0 && !take_one(at, end, '+')) ||
		!take_two(at, end, 0, 23, &hour) || !take_one(at, end, ':') ||
		!take_two(at, end, 0, 59, &minute))
		return false;
	*offset = sign * (hour * 60 + minute);
	return true;
}

/* Take full-time. */
static bool
take_time(const char **at, const char *end)
{
	int			hour;
	int			minute;
	int			second;
	int			offset;

	if (!take_two(at, end, 0, 23, &hour) || !take_one(at, end, ':') ||
		!take_two(at, end, 0, 59, &minute) || !take_one(at, end, ':') ||
		!take_two(at, end, 0, 60, &second))
		return false;
	if (take_one(at, end, '.'))
	{
		if (*at >= end || !fms_is_digit(**at))
			return false;
		while (*at < end && fms_is_digit(**at))
			(*at)++;
	}
	if (!take_offset(at, end, &offset))
		return false;
	return second < 60 ||
		(hour * 60 + minute - offset + MINUTES_A_DAY) % MINUTES_A_DAY == MINUTES_A_DAY - 1;
}

/* Format "date-time". */
bool
fms_format_date_time(const char *at, const char *end)
{
	return take_date(&at, end) && (take_one(&at, end, 'T') || take_one(&at, end, 't')) &&
		take_time(&at, end) && at == end;
}

/* Format "date". */
bool
fms_format_date(const char *at, const char *end)
{
	return take_date(&at, end) && at == end;
}

/* Format "time". */
bool
fms_format_time(const char *at, const char *end)
{
	return take_time(&at, end) && at == end;
}

/*
 * Take numbers with units in their order, without a gap: "1Y2M3D", "2M3D",
 * but not "1Y3D".  False if there is none, or one that is not in its place.
 */
static bool
take_units(const char **at, const char *end, const char *units)
{
	const char *last = NULL;

	while (*at < end && fms_is_digit(**at))
	{
		const char *unit;

		while (*at < end && fms_is_digit(**at))
			(*at)++;
		if (*at >= end || **at == '\0' || (unit = strchr(units, **at)) == NULL ||
			(last != NULL && unit != last + 1))
			return false;
		last = unit;
		(*at)++;
	}
	return last != NULL;
}

/* Format "duration", by the grammar of RFC 3339's appendix A. */
bool
fms_format_duration(const char *at, const char *end)
{
	const char *after;

	if (!take_one(&at, end, 'P'))
		return false;
	after = at;
	if (take_units(&after, end, "W"))
		return after == end;
	if (at < end && *at != 'T' && !take_units(&at, end, "YMD"))
		return false;
	if (at == end)
		return end[-1] != 'P';
	return take_one(&at, end, 'T') && take_units(&at, end, "HMS") && at == end;
}
