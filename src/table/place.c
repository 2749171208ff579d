/*-------------------------------------------------------------------------
 *
 * place.c
 *	  Which partition of execution_spans a time belongs into.
 *
 * The start of a span is whatever its sender says.  So the number of partitions
 * must not depend on how many times are said:
 *
 *	- near times, the last flowmaestro.late_partitions intervals and two ahead,
 *	  have a partition of flowmaestro.partition_interval each;
 *	- older times share one partition for each gap between those that are there;
 *	- later times share the default partition.  It is made when it is needed,
 *	  and when the time comes its rows move to the partition of their interval.
 *
 * A partition that covers a time is taken, whoever made it and whatever its
 * bounds are.  So is a default partition of the user's: it is known by its name
 * that it is not ours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "table/place.h"

#define INTERVALS_AHEAD 2

int			fms_partition_interval = FMS_INTERVAL_DAY;
int			fms_late_partitions = 31;

static const struct config_enum_entry intervals[] = {
	{"hour", FMS_INTERVAL_HOUR, false},
	{"day", FMS_INTERVAL_DAY, false},
	{"week", FMS_INTERVAL_WEEK, false},
	{"month", FMS_INTERVAL_MONTH, false},
	{NULL, 0, false}
};

/* Define the settings of partitions; when the library is loaded. */
void
fms_place_define_settings(void)
{
	DefineCustomEnumVariable("flowmaestro.partition_interval",
							 "Time that a new partition of execution_spans covers.",
							 NULL,
							 &fms_partition_interval, FMS_INTERVAL_DAY, intervals,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.late_partitions",
							"Past intervals that have a partition each.",
							"Older spans share one for each gap, later ones the default partition.",
							&fms_late_partitions, 31, 0, 366, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* The multiple of an interval at or before a time, counted from "origin". */
static TimestampTz
floor_to(TimestampTz at, int64 interval, TimestampTz origin)
{
	int64		past = (at - origin) % interval;

	return at - (past < 0 ? past + interval : past);
}

/*
 * The first moment of the month of a time, moved by some months, in UTC.  With
 * "whole_years" the first moment of that month's year.
 */
static TimestampTz
month_of(TimestampTz at, int months, bool whole_years)
{
	struct pg_tm tm;
	fsec_t		fsec;
	Timestamp	first;
	int			month;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	month = tm.tm_year * MONTHS_PER_YEAR + tm.tm_mon - 1 + months;
	tm.tm_year = month / MONTHS_PER_YEAR;
	tm.tm_mon = whole_years ? 1 : month % MONTHS_PER_YEAR + 1;
	tm.tm_mday = 1;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	if (tm2timestamp(&tm, 0, NULL, &first) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return first;
}

/* The stretch of an interval that a time lies in, in UTC. */
FmsStretch
fms_place_stretch(TimestampTz at, FmsInterval interval)
{
	/* 2000-01-03, the first Monday of PostgreSQL's time */
	const TimestampTz monday = 2 * USECS_PER_DAY;
	FmsStretch	result = {DT_NOBEGIN, DT_NOEND};

	switch (interval)
	{
		case FMS_INTERVAL_HOUR:
			result.from = floor_to(at, USECS_PER_HOUR, 0);
			result.until = result.from + USECS_PER_HOUR;
			break;
		case FMS_INTERVAL_DAY:
			result.from = floor_to(at, USECS_PER_DAY, 0);
			result.until = result.from + USECS_PER_DAY;
			break;
		case FMS_INTERVAL_WEEK:
			result.from = floor_to(at, 7 * USECS_PER_DAY, monday);
			result.until = result.from + 7 * USECS_PER_DAY;
			break;
		case FMS_INTERVAL_MONTH:
			result.from = month_of(at, 0, false);
			result.until = month_of(at, 1, false);
			break;
		case FMS_INTERVAL_YEAR:
			result.from = month_of(at, 0, true);
			result.until = month_of(at, MONTHS_PER_YEAR, true);
			break;
		case FMS_INTERVAL_EVER:
			break;
	}
	return result;
}

/* The near times, which have a partition for each interval, as of now. */
static FmsStretch
near_times(void)
{
	FmsInterval interval = (FmsInterval) fms_partition_interval;
	FmsStretch	result = fms_place_stretch(GetCurrentTimestamp(), interval);
	int64		length = result.until - result.from;

	for (int i = 0; i < INTERVALS_AHEAD; i++)
		result.until = fms_place_stretch(result.until, interval).until;
	if (interval == FMS_INTERVAL_MONTH)
		result.from = month_of(result.from, -fms_late_partitions, false);
	else
		result.from -= fms_late_partitions * length;
	return result;
}

/* Bound number i of the parent's partitions; false if it is not a time. */
static bool
bound(PartitionBoundInfo bounds, int i, TimestampTz *at)
{
	if (i < 0 || i >= bounds->ndatums ||
		bounds->kind[i][0] != PARTITION_RANGE_DATUM_VALUE)
		return false;
	*at = DatumGetTimestampTz(bounds->datums[i][0]);
	return true;
}

/* A copy of a partition for a list. */
static FmsPartition *
copy_partition(Oid oid, TimestampTz from, TimestampTz until)
{
	FmsPartition *copy = palloc(sizeof(FmsPartition));

	copy->oid = oid;
	copy->from = from;
	copy->until = until;
	return copy;
}

/*
 * The partitions of the open parent that can hold a time from "from" on and
 * before "until", as FmsPartition in the order of their times; the default
 * partition, which can hold any time, is the last one.  Locks nothing.
 */
List *
fms_place_between(Relation parent, TimestampTz from, TimestampTz until)
{
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	List	   *found = NIL;
	bool		gap = false;

	if (desc->nparts == 0)
		return NIL;
	for (int i = 0; i <= bounds->ndatums; i++)
	{
		TimestampTz begin = DT_NOBEGIN;
		TimestampTz end = DT_NOEND;

		(void) bound(bounds, i - 1, &begin);
		(void) bound(bounds, i, &end);
		if (end <= from || begin >= until)
			continue;
		if (bounds->indexes[i] < 0)
			gap = true;
		else
			found = lappend(found, copy_partition(desc->oids[bounds->indexes[i]], begin, end));
	}
	if (gap && bounds->default_index >= 0)
		found = lappend(found, copy_partition(desc->oids[bounds->default_index],
											  DT_NOBEGIN, DT_NOEND));
	return found;
}

/* Whether a default partition is ours, by its name. */
bool
fms_place_is_later(Oid partition)
{
	char	   *name = get_rel_name(partition);

	return name != NULL && strncmp(name, FMS_LATER_NAME, strlen(FMS_LATER_NAME)) == 0;
}

/*
 * Look a time up in the parent's bounds.  Fills in the partition that covers it,
 * or the user's default one, our default one, and the stretch that is covered or
 * free around the time.
 */
static void
find_in(Relation parent, TimestampTz at, FmsPlace *place)
{
	PartitionKey key = RelationGetPartitionKey(parent);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	Datum		value = TimestampTzGetDatum(at);
	bool		equal = false;
	int			offset;
	Oid			rest;

	if (desc->nparts == 0)
		return;
	offset = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds, 1,
										   &value, &equal);
	(void) bound(bounds, offset, &place->stretch.from);
	(void) bound(bounds, offset + 1, &place->stretch.until);
	if (bounds->indexes[offset + 1] >= 0)
		place->partition = desc->oids[bounds->indexes[offset + 1]];
	else if (bounds->default_index >= 0)
	{
		rest = desc->oids[bounds->default_index];
		if (fms_place_is_later(rest))
			place->later = rest;
		else
			place->partition = rest;
	}
}

/*
 * Look a time up; see find_in.  If no partition covers it, one is missing.
 * Keeps an AccessShareLock on the parent to the end of the transaction.
 */
static FmsPlace
find(TimestampTz at)
{
	FmsPlace	place = {InvalidOid, false, FMS_PLACE_INTERVAL, {DT_NOBEGIN, DT_NOEND}, InvalidOid};
	Relation	parent = table_open(fms_buffer_table(), AccessShareLock);

	find_in(parent, at, &place);
	table_close(parent, NoLock);
	place.missing = !OidIsValid(place.partition);
	return place;
}

/* What is in both stretches. */
static FmsStretch
common(FmsStretch a, FmsStretch b)
{
	FmsStretch	result = {Max(a.from, b.from), Min(a.until, b.until)};

	return result;
}

/*
 * Choose the partition to be made for a time that none covers; older times get
 * one of a unit.
 */
static void
choose(FmsPlace *place, TimestampTz at, FmsInterval unit)
{
	FmsStretch	near = near_times();
	FmsStretch	older = {DT_NOBEGIN, near.from};

	if (at >= near.until)
	{
		place->kind = FMS_PLACE_LATER;
		place->stretch.from = Max(place->stretch.from, near.until);
		place->partition = place->later;
		place->missing = !OidIsValid(place->later);
	}
	else if (at < near.from)
	{
		place->kind = unit == FMS_INTERVAL_EVER ? FMS_PLACE_OLDER : FMS_PLACE_INTERVAL;
		place->stretch = common(common(place->stretch, older), fms_place_stretch(at, unit));
	}
	else
		place->stretch = common(place->stretch,
								fms_place_stretch(at, (FmsInterval) fms_partition_interval));
}

/*
 * The place of a span that starts at a time.  While the partition of a near or
 * older time is missing, *later of the result, if there is one, can take it.
 */
FmsPlace
fms_place_of(TimestampTz at)
{
	FmsPlace	place = find(at);

	if (place.missing)
		choose(&place, at, FMS_INTERVAL_EVER);
	return place;
}

/* The partition of one interval for a time, near or not; for make_partition(). */
FmsPlace
fms_place_interval(TimestampTz at)
{
	FmsPlace	place = find(at);

	if (place.missing)
		place.stretch = common(place.stretch,
							   fms_place_stretch(at, (FmsInterval) fms_partition_interval));
	return place;
}

/* The place of an imported span; older times have partitions of a unit. */
FmsPlace
fms_place_imported(TimestampTz at, FmsInterval unit)
{
	FmsPlace	place = find(at);

	if (place.missing)
		choose(&place, at, unit);
	return place;
}
