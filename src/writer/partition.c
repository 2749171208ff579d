/*-------------------------------------------------------------------------
 *
 * partition.c
 *	  The partitions of execution_spans.
 *
 * Primary key and indexes are made on each partition, not on the parent: an
 * extension-member parent with indexes of its own makes pg_restore fail on
 * partitions made at run time.  A partition is made as a table of its own and
 * then attached, which locks the parent against other changes of its
 * partitions only.
 *
 * Which index serves what, and what it costs, is told in doc/operations.md.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "buffer/tracked.h"
#include "span/identity.h"
#include "writer/partition.h"
#include "writer/table.h"

int			fms_partition_interval = FMS_INTERVAL_DAY;
int			fms_retention = 0;

PG_FUNCTION_INFO_V1(fms_make_partition);
PG_FUNCTION_INFO_V1(fms_apply_retention);

/*
 * What makes a table a partition of ours; %1$s is its quoted name.  Texts are
 * indexed with text_pattern_ops: it compares bytes, where the database's
 * collation would cost half of an index's upkeep, and serves = and LIKE 'x%'.
 */
static const char *const make_steps[] = {
	"CREATE TABLE flowmaestro.%1$s (LIKE flowmaestro.execution_spans INCLUDING DEFAULTS) "
	"WITH (toast_tuple_target = 8160)",
#ifdef USE_LZ4
	"ALTER TABLE flowmaestro.%1$s ALTER input SET COMPRESSION lz4, ALTER output SET COMPRESSION lz4, "
	"ALTER error SET COMPRESSION lz4, ALTER attributes SET COMPRESSION lz4, "
	"ALTER events SET COMPRESSION lz4",
#endif
	"ALTER TABLE flowmaestro.%1$s ADD PRIMARY KEY (trace_id, span_id)",
	"CREATE INDEX ON flowmaestro.%1$s (started_at)",
	"CREATE INDEX ON flowmaestro.%1$s (span_type pg_catalog.text_pattern_ops, started_at)",
	"CREATE INDEX ON flowmaestro.%1$s (entity_id pg_catalog.text_pattern_ops, "
	"span_type pg_catalog.text_pattern_ops, started_at) WHERE entity_id IS NOT NULL",
	"CREATE INDEX ON flowmaestro.%1$s ((attributes OPERATOR(pg_catalog.->>) 'userId') "
	"pg_catalog.text_pattern_ops, started_at) "
	"WHERE (attributes OPERATOR(pg_catalog.->>) 'userId') IS NOT NULL",
	"CREATE INDEX ON flowmaestro.%1$s (status pg_catalog.text_pattern_ops, started_at) "
	"WHERE status OPERATOR(pg_catalog.<>) 'completed'",
	"CREATE INDEX ON flowmaestro.%1$s (span_id) "
	"WHERE pg_catalog.substr(pg_catalog.uuid_send(span_id), 1, 8) OPERATOR(pg_catalog.<>) "
	"pg_catalog.substr(pg_catalog.uuid_send(trace_id), 1, 8)",
	"CREATE INDEX ON flowmaestro.%1$s USING gin (attributes jsonb_path_ops)",
};

/* A stretch of time, "until" not included. */
typedef struct Stretch
{
	TimestampTz from;
	TimestampTz until;
} Stretch;

/* The multiple of a number of days at or before a time, counted from "origin". */
static TimestampTz
floor_to(TimestampTz at, int64 interval, TimestampTz origin)
{
	int64		past = (at - origin) % interval;

	return at - (past < 0 ? past + interval : past);
}

/* The first moment of the month of a time, moved by some months, in UTC. */
static TimestampTz
month_of(TimestampTz at, int months)
{
	struct pg_tm tm;
	fsec_t		fsec;
	Timestamp	first;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	tm.tm_mon += months;
	if (tm.tm_mon > MONTHS_PER_YEAR)
	{
		tm.tm_mon = 1;
		tm.tm_year++;
	}
	tm.tm_mday = 1;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	if (tm2timestamp(&tm, 0, NULL, &first) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return first;
}

/* The stretch of flowmaestro.partition_interval that a time lies in, in UTC. */
static Stretch
stretch_of(TimestampTz at)
{
	/* 2000-01-03, the first Monday of PostgreSQL's time */
	const TimestampTz monday = 2 * USECS_PER_DAY;
	int64		length = USECS_PER_DAY;
	TimestampTz origin = 0;
	Stretch		result;

	switch ((FmsInterval) fms_partition_interval)
	{
		case FMS_INTERVAL_MONTH:
			result.from = month_of(at, 0);
			result.until = month_of(at, 1);
			return result;
		case FMS_INTERVAL_WEEK:
			length = 7 * USECS_PER_DAY;
			origin = monday;
			break;
		case FMS_INTERVAL_HOUR:
			length = USECS_PER_HOUR;
			break;
		case FMS_INTERVAL_DAY:
			break;
	}
	result.from = floor_to(at, length, origin);
	result.until = result.from + length;
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

/*
 * The partition of the parent that holds a time, else the default partition,
 * else InvalidOid; then *gap, if asked for, is where a new one can be.
 */
static Oid
find_partition(Relation parent, TimestampTz at, Stretch *gap)
{
	PartitionKey key = RelationGetPartitionKey(parent);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	Datum		value = TimestampTzGetDatum(at);
	bool		equal = false;
	int			offset;
	int			index;
	TimestampTz edge;

	if (desc->nparts == 0)
		return InvalidOid;
	offset = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds, 1,
										   &value, &equal);
	index = bounds->indexes[offset + 1];
	if (index < 0)
		index = bounds->default_index;
	if (index >= 0)
		return desc->oids[index];
	if (gap != NULL && bound(bounds, offset, &edge))
		gap->from = Max(gap->from, edge);
	if (gap != NULL && bound(bounds, offset + 1, &edge))
		gap->until = Min(gap->until, edge);
	return InvalidOid;
}

/* The partition that holds a time, or InvalidOid, with the gap for a new one. */
static Oid
look_up(TimestampTz at, Stretch *gap)
{
	Relation	parent = table_open(fms_buffer_table(), AccessShareLock);
	Oid			partition = find_partition(parent, at, gap);

	table_close(parent, NoLock);
	return partition;
}

/* A name for the partition that begins at a time: one that is free. */
static char *
free_name(TimestampTz from)
{
	struct pg_tm tm;
	fsec_t		fsec;
	Oid			schema = get_rel_namespace(fms_buffer_table());
	StringInfoData name;
	int			stem;

	if (timestamp2tm(from, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	initStringInfo(&name);
	appendStringInfo(&name, "execution_spans_p%04d%02d%02d", tm.tm_year, tm.tm_mon, tm.tm_mday);
	if (from % USECS_PER_DAY != 0)
		appendStringInfo(&name, "_%02d%02d%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
	stem = name.len;
	for (int i = 2; OidIsValid(get_relname_relid(name.data, schema)); i++)
	{
		name.len = stem;
		name.data[stem] = '\0';
		appendStringInfo(&name, "_%d", i);
	}
	return name.data;
}

/* Run a utility statement; the caller is connected to SPI. */
static void
run_utility(const char *sql)
{
	int			rc = SPI_execute(sql, false, 0);

	if (rc != SPI_OK_UTILITY)
		elog(ERROR, "SPI_execute failed: %s: %s", SPI_result_code_string(rc), sql);
}

/* A time as a literal that every server setting reads the same way. */
static char *
time_literal(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	(void) timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL);
	return psprintf("'%04d-%02d-%02d %02d:%02d:%02d.%06d+00'", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}

/* Make the partition of a stretch and attach it, as the parent's owner. */
static void
make_partition(Oid parent, Stretch stretch)
{
	FmsOwnerScope scope;
	const char *name;

	fms_table_enter(parent, &scope);
	name = quote_identifier(free_name(stretch.from));
	for (int i = 0; i < lengthof(make_steps); i++)
		run_utility(psprintf(make_steps[i], name));
	run_utility(psprintf("ALTER TABLE flowmaestro.execution_spans ATTACH PARTITION flowmaestro.%s "
						 "FOR VALUES FROM (%s) TO (%s)",
						 name, time_literal(stretch.from), time_literal(stretch.until)));
	fms_table_leave(&scope);
}

/*
 * The partition for a time, made if there is none.  Making one locks the
 * parent against other makers until the end of the transaction.
 */
Oid
fms_partition_for(TimestampTz at)
{
	Oid			parent = fms_buffer_table();
	Stretch		gap = stretch_of(at);
	Oid			partition = look_up(at, NULL);

	if (OidIsValid(partition))
		return partition;
	LockRelationOid(parent, ShareUpdateExclusiveLock);
	partition = look_up(at, &gap);
	if (OidIsValid(partition))
		return partition;
	make_partition(parent, gap);
	return look_up(at, NULL);
}

/*
 * Make the partition after the current one, if there is a current one: a
 * database that records gets its partitions before they are needed.
 */
void
fms_partition_make_ahead(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (OidIsValid(look_up(now, NULL)))
		(void) fms_partition_for(stretch_of(now).until);
}

/* make_partition(at timestamptz) returns regclass */
Datum
fms_make_partition(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);

	if (at < FMS_FIRST_TIME || at > FMS_LAST_TIME)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time of a partition is out of range"),
				 errdetail("Spans can lie between 1970-01-01 and 2262-04-11.")));
	PG_RETURN_OID(fms_partition_for(at));
}

/* Whether a partition's rows all have ended; the caller is connected to SPI. */
static bool
has_running_span(Oid partition)
{
	const char *sql = psprintf("SELECT FROM flowmaestro.%s AS s "
							   "WHERE s.status OPERATOR(pg_catalog.=) 'started' LIMIT 1",
							   quote_identifier(get_rel_name(partition)));

	if (SPI_execute(sql, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed: %s", sql);
	return SPI_processed > 0;
}

/* Drop one partition and tell the log, unless a span of it still runs. */
static bool
drop_partition(Oid parent, Oid partition, Stretch stretch)
{
	char	   *name = get_rel_name(partition);
	FmsOwnerScope scope;
	bool		drop;

	fms_table_enter(parent, &scope);
	drop = !fms_tracked_started_between(parent, stretch.from, stretch.until) &&
		!has_running_span(partition);
	if (drop)
		run_utility(psprintf("DROP TABLE flowmaestro.%s", quote_identifier(name)));
	fms_table_leave(&scope);
	if (drop)
		ereport(LOG,
				(errmsg("dropped partition \"%s\" of execution_spans, older than flowmaestro.retention",
						name)));
	return drop;
}

/* The names of the partitions between two oids lists that are old enough. */
static List *
drop_until(Relation parent, TimestampTz limit)
{
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	List	   *old = NIL;
	List	   *stretches = NIL;
	List	   *dropped = NIL;
	ListCell   *oid;
	ListCell   *stretch;

	/* dropping changes the descriptor: choose first */
	for (int i = 0; desc->nparts > 0 && i < desc->boundinfo->ndatums; i++)
	{
		Stretch    *s = palloc(sizeof(Stretch));
		int			index = desc->boundinfo->indexes[i];

		if (index < 0 || !bound(desc->boundinfo, i, &s->until) || s->until > limit)
			continue;
		if (!bound(desc->boundinfo, i - 1, &s->from))
			s->from = DT_NOBEGIN;
		old = lappend_oid(old, desc->oids[index]);
		stretches = lappend(stretches, s);
	}
	forboth(oid, old, stretch, stretches)
	{
		char	   *name = get_rel_name(lfirst_oid(oid));

		CHECK_FOR_INTERRUPTS();
		if (drop_partition(RelationGetRelid(parent), lfirst_oid(oid), *(Stretch *) lfirst(stretch)))
			dropped = lappend(dropped, name);
	}
	return dropped;
}

/*
 * Drop the partitions that flowmaestro.retention no longer keeps.  Returns
 * their names; NIL if retention is off.
 */
List *
fms_partition_drop_old(void)
{
	TimestampTz limit = GetCurrentTimestamp() - (int64) fms_retention * USECS_PER_MINUTE;
	Relation	parent;
	List	   *dropped;

	if (fms_retention == 0)
		return NIL;
	parent = table_open(fms_buffer_table(), AccessShareLock);
	dropped = drop_until(parent, limit);
	table_close(parent, NoLock);
	return dropped;
}

/* apply_retention() returns setof text */
Datum
fms_apply_retention(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *dropped;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	dropped = fms_partition_drop_old();
	foreach(cell, dropped)
	{
		Datum		value = CStringGetTextDatum(lfirst(cell));
		bool		isnull = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
