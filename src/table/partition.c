/*-------------------------------------------------------------------------
 *
 * partition.c
 *	  Making partitions of execution_spans.
 *
 * Primary key and indexes are made on each partition, not on the parent: an
 * extension-member parent with indexes of its own makes pg_restore fail on
 * partitions made at run time.  A partition is made as a table of its own and
 * then attached, which locks the parent against other changes of its
 * partitions only; and our default partition, if there is one, against
 * everybody, for its rows of the new partition's time move there first.
 *
 * What a user has added to the parent comes along: columns and their defaults,
 * generated ones, NOT NULL, CHECK constraints with the copy of the parent;
 * indexes, triggers and foreign keys with the attachment.
 *
 * Which partition a time belongs into is told in place.c, who makes it and when
 * in wanted.c.  Which index serves what, and what it costs, is told in
 * doc/operations.md.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/twophase.h"
#include "catalog/partition.h"
#include "commands/tablespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "span/identity.h"
#include "table/owner.h"
#include "table/partition.h"

#define LOCKS_OF_PARTITION 8	/* that a read takes: the table and its
								 * indexes */
#define MOVED_ROWS 100000		/* out of the default partition by the writer */

PG_FUNCTION_INFO_V1(fms_make_partition);
PG_FUNCTION_INFO_V1(fms_import_partition);

/* statements of ours that change partitions are running */
static int	changing = 0;

/*
 * What makes a table a partition of ours; %1$s is its quoted name.  Texts are
 * indexed with text_pattern_ops: it compares bytes, where the database's
 * collation would cost half of an index's upkeep, and serves = and LIKE 'x%'.
 */
static const char *const make_steps[] = {
	"CREATE TABLE flowmaestro.%1$s (LIKE flowmaestro.execution_spans INCLUDING DEFAULTS "
	"INCLUDING CONSTRAINTS INCLUDING GENERATED) "
	"WITH (toast_tuple_target = 8160)",
#ifdef USE_LZ4
	"ALTER TABLE flowmaestro.%1$s ALTER input SET COMPRESSION lz4, ALTER output SET COMPRESSION lz4, "
	"ALTER error SET COMPRESSION lz4, ALTER attributes SET COMPRESSION lz4, "
	"ALTER events SET COMPRESSION lz4",
#endif
	"ALTER TABLE flowmaestro.%1$s ADD PRIMARY KEY (trace_id, span_id)",
	"CREATE INDEX ON flowmaestro.%1$s (started_at)",
	"CREATE INDEX ON flowmaestro.%1$s (span_type text_pattern_ops, started_at)",
	"CREATE INDEX ON flowmaestro.%1$s (entity_id text_pattern_ops, span_type text_pattern_ops, started_at) "
	"WHERE entity_id IS NOT NULL",
	"CREATE INDEX ON flowmaestro.%1$s ((attributes ->> 'userId') text_pattern_ops, started_at) "
	"WHERE (attributes ->> 'userId') IS NOT NULL",
	"CREATE INDEX ON flowmaestro.%1$s (status text_pattern_ops, started_at) "
	"WHERE status <> 'completed'",
	"CREATE INDEX ON flowmaestro.%1$s USING gin (attributes jsonb_path_ops)",
};

/* what a caller may have set and a table would keep */
static const char *const pinned[][2] = {
	{"default_table_access_method", "heap"},
	{"default_toast_compression", "pglz"},
};

/*
 * Whether this process is making, moving or dropping partitions: then nothing
 * is recorded.  A user's event trigger that records would make it go on for ever.
 */
bool
fms_partition_is_changing(void)
{
	return changing > 0;
}

/*
 * Run a statement that changes partitions; the caller is connected to SPI.
 * Returns the number of rows.
 */
uint64
fms_partition_run(const char *sql)
{
	int			rc;

	changing++;
	PG_TRY();
	{
		rc = SPI_execute(sql, false, 0);
	}
	PG_FINALLY();
	{
		changing--;
	}
	PG_END_TRY();
	if (rc < 0)
		elog(ERROR, "SPI_execute failed: %s: %s", SPI_result_code_string(rc), sql);
	return SPI_processed;
}

/* A time as a literal that every server setting reads the same way. */
char *
fms_partition_time(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return psprintf("'%04d-%02d-%02d %02d:%02d:%02d.%06d+00'", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}

/* The beginning of the name of a partition. */
static void
append_stem(StringInfo name, const FmsPlace *place)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (place->kind == FMS_PLACE_LATER)
		appendStringInfoString(name, FMS_LATER_NAME);
	else if (place->kind == FMS_PLACE_OLDER)
		appendStringInfoString(name, FMS_OLDER_NAME);
	else
	{
		if (timestamp2tm(place->stretch.from, NULL, &tm, &fsec, NULL, NULL) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("timestamp out of range")));
		appendStringInfo(name, "execution_spans_p%04d%02d%02d", tm.tm_year, tm.tm_mon, tm.tm_mday);
		if (place->stretch.from % USECS_PER_DAY != 0)
			appendStringInfo(name, "_%02d%02d%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
	}
}

/* A name for a partition: one that is free. */
static char *
free_name(const FmsPlace *place)
{
	Oid			schema = get_rel_namespace(fms_buffer_table());
	StringInfoData name;
	int			stem;

	initStringInfo(&name);
	append_stem(&name, place);
	stem = name.len;
	for (int i = 2; OidIsValid(get_relname_relid(name.data, schema)); i++)
	{
		name.len = stem;
		name.data[stem] = '\0';
		appendStringInfo(&name, "_%d", i);
	}
	return name.data;
}

/* Make new tables lie where the parent's partitions belong, whatever the caller has set. */
static void
pin_storage(Oid parent)
{
	Oid			tablespace = get_rel_tablespace(parent);
	char	   *name = OidIsValid(tablespace) ? get_tablespace_name(tablespace) : NULL;

	fms_table_set("default_tablespace", name == NULL ? "" : name);
	for (int i = 0; i < lengthof(pinned); i++)
		fms_table_set(pinned[i][0], pinned[i][1]);
}

/*
 * Warn when the first partition is made if a read of those to be expected, all
 * of one read at once, has no room in the server's table of locks.
 */
static void
check_lock_table(void)
{
	FmsStretch	one = fms_place_stretch(GetCurrentTimestamp(), (FmsInterval) fms_partition_interval);
	int64		kept = fms_retention > 0 ? (int64) fms_retention * USECS_PER_MINUTE :
		365 * USECS_PER_DAY;
	int64		partitions = kept / (one.until - one.from) + 3;
	int64		room = (int64) max_locks_per_xact * (MaxBackends + max_prepared_xacts);

	if (partitions * LOCKS_OF_PARTITION <= room)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("table of locks is too small for the partitions of execution_spans"),
			 errdetail("A read without a bound on started_at takes %d locks for each of some %lld partitions; there is room for about %lld locks.",
					   LOCKS_OF_PARTITION, (long long) partitions, (long long) room),
			 errhint("You might need to increase max_locks_per_transaction, or set flowmaestro.retention or a longer flowmaestro.partition_interval.")));
}

/* Whether the parent has no partition yet. */
static bool
is_first(Oid parent)
{
	Relation	relation = table_open(parent, AccessShareLock);
	bool		first = RelationGetPartitionDesc(relation, true)->nparts == 0;

	table_close(relation, NoLock);
	return first;
}

/* The columns of the parent that a row is moved with, as a list for SQL. */
static char *
moved_columns(Oid parent)
{
	Relation	relation = table_open(parent, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(relation);
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || column->attgenerated != '\0')
			continue;
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
						 quote_identifier(NameStr(column->attname)));
	}
	table_close(relation, NoLock);
	return list.data;
}

/* The condition for a stretch of time, on rows called "s". */
static char *
in_stretch(FmsStretch stretch)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "true");
	if (stretch.from != DT_NOBEGIN)
		appendStringInfo(&sql, " AND s.started_at >= %s",
						 fms_partition_time(stretch.from));
	if (stretch.until != DT_NOEND)
		appendStringInfo(&sql, " AND s.started_at < %s",
						 fms_partition_time(stretch.until));
	return sql.data;
}

/*
 * Take our default partition for this transaction, before a partition of a
 * stretch is made.  With "bounded", raise an error if too many rows would have
 * to move: they, and those that come, can stay.
 */
static void
take_later(Oid later, FmsStretch stretch, bool bounded)
{
	const char *name = quote_identifier(get_rel_name(later));

	LockRelationOid(later, AccessExclusiveLock);
	if (bounded &&
		fms_partition_run(psprintf("SELECT FROM flowmaestro.%s AS s WHERE %s OFFSET %d LIMIT 1",
								   name, in_stretch(stretch), MOVED_ROWS)) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("more than %d spans would have to move out of %s", MOVED_ROWS, name),
				 errdetail("Spans that start on %s stay there.",
						   fms_partition_time(stretch.from)),
				 errhint("flowmaestro.make_partition() moves them, however many they are.")));
}

/* Move the rows of a stretch from our default partition to a new table. */
static void
move_rows(Oid parent, Oid later, const char *name, FmsStretch stretch)
{
	char	   *columns = moved_columns(parent);

	(void) fms_partition_run(psprintf("WITH moved AS (DELETE FROM flowmaestro.%s AS s WHERE %s RETURNING %s) "
									  "INSERT INTO flowmaestro.%s (%s) OVERRIDING SYSTEM VALUE "
									  "SELECT %s FROM moved",
									  quote_identifier(get_rel_name(later)), in_stretch(stretch),
									  columns, name, columns, columns));
}

/* The bounds of a partition, for ATTACH PARTITION. */
static char *
bounds_of(const FmsPlace *place)
{
	if (place->kind == FMS_PLACE_LATER)
		return pstrdup("DEFAULT");
	return psprintf("FOR VALUES FROM (%s) TO (%s)",
					place->stretch.from == DT_NOBEGIN ? "MINVALUE" : fms_partition_time(place->stretch.from),
					place->stretch.until == DT_NOEND ? "MAXVALUE" : fms_partition_time(place->stretch.until));
}

/*
 * Make a missing partition and attach it, as the parent's owner; the parent is
 * locked.
 */
static void
make(Oid parent, const FmsPlace *place, bool bounded)
{
	FmsOwnerScope scope;
	const char *name;

	if (is_first(parent))
		check_lock_table();
	fms_table_enter(parent, &scope);
	pin_storage(parent);
	if (OidIsValid(place->later))
		take_later(place->later, place->stretch, bounded);
	name = quote_identifier(free_name(place));
	for (int i = 0; i < lengthof(make_steps); i++)
		(void) fms_partition_run(psprintf(make_steps[i], name));
	if (OidIsValid(place->later))
		move_rows(parent, place->later, name, place->stretch);
	(void) fms_partition_run(psprintf("ALTER TABLE flowmaestro.execution_spans ATTACH PARTITION flowmaestro.%s %s",
									  name, bounds_of(place)));
	fms_table_leave(&scope);
}

/* Take the parent for making partitions in this transaction. */
static Oid
take_parent(void)
{
	Oid			parent = fms_buffer_table();

	LockRelationOid(parent, ShareUpdateExclusiveLock);
	return parent;
}

/*
 * Make the partition that is missing for a span's time, if it still is.  The
 * parent is locked against other makers until the end of the transaction.  With
 * "bounded" not if too many rows would have to move.
 */
void
fms_partition_make(TimestampTz at, bool bounded)
{
	Oid			parent = take_parent();
	FmsPlace	place = fms_place_of(at);

	if (!place.missing)
		return;
	make(parent, &place, bounded);
	/* a user's event trigger can undo what was made */
	if (fms_place_of(at).missing)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("partition of execution_spans was made and is not there")));
}

/* Raise an error if no span can lie at a time. */
static void
check_time(TimestampTz at)
{
	if (at < FMS_FIRST_TIME || at > FMS_LAST_TIME)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time of a partition is out of range"),
				 errdetail("Spans can lie between 1970-01-01 and 2262-04-11.")));
}

/* make_partition(at timestamptz) returns regclass */
Datum
fms_make_partition(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	FmsPlace	place;
	Oid			parent;

	check_time(at);
	place = fms_place_interval(at);
	if (place.missing)
	{
		parent = take_parent();
		place = fms_place_interval(at);
		if (place.missing)
			make(parent, &place, false);
		place = fms_place_interval(at);
	}
	PG_RETURN_OID(place.partition);
}

/* The unit of partitions that a word of import_spans() names. */
static FmsInterval
parse_unit(const char *unit)
{
	static const char *const names[] = {"hour", "day", "week", "month", "year", "ever"};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(unit, names[i]) == 0)
			return (FmsInterval) i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown unit of partitions: \"%s\"", unit)));
}

/* import_partition(at timestamptz, unit text) returns timestamptz */
Datum
fms_import_partition(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	FmsInterval unit = parse_unit(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	FmsPlace	place;
	Oid			parent;

	check_time(at);
	place = fms_place_imported(at, unit);
	if (place.missing)
	{
		parent = take_parent();
		place = fms_place_imported(at, unit);
		if (place.missing)
			make(parent, &place, false);
	}
	PG_RETURN_TIMESTAMPTZ(place.stretch.until);
}
