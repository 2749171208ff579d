/*-------------------------------------------------------------------------
 *
 * retention.c
 *	  Dropping partitions of execution_spans.
 *
 * A dropped partition costs a dozen locks until the end of the transaction, and
 * the table of locks is everybody's.  So a transaction drops a few; who wants to
 * drop many does it in many transactions.  Whether a partition has a running
 * span is looked at in a subtransaction that is rolled back, which lets go of
 * the locks of those that stay.
 *
 * From our default partition, which is never old as a whole, old rows are
 * deleted.  And once the oldest partitions are gone, by whatever hand, what
 * span_id_directory says of their days is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/table.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "buffer/tracked.h"
#include "table/directory.h"
#include "table/owner.h"
#include "table/partition.h"

#define DROPS_OF_CALL 32		/* of apply_retention() */
#define DROPS_OF_TRANSACTION FMS_LIMIT(8, 1)	/* of drop_partitions() */
#define DELETED_ROWS FMS_LIMIT(10000, 2)	/* of the default partition in a
											 * transaction */

int			fms_retention = 0;

PG_FUNCTION_INFO_V1(fms_apply_retention);
PG_FUNCTION_INFO_V1(fms_drop_partitions);

/* a partition that is old enough */
typedef struct Old
{
	Oid			partition;
	FmsStretch	stretch;
} Old;

/* Define the setting; when the library is loaded. */
void
fms_retention_define_settings(void)
{
	DefineCustomIntVariable("flowmaestro.retention",
							"Age at which whole partitions of execution_spans are dropped.",
							"Zero keeps them for ever.  A partition with a running span stays.",
							&fms_retention, 0, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MIN,
							NULL, NULL, NULL);
}

/* The bound that is number i, or what lies beyond all. */
static TimestampTz
bound_of_partition(PartitionBoundInfo bounds, int i)
{
	if (i < 0 || (i < bounds->ndatums && bounds->kind[i][0] == PARTITION_RANGE_DATUM_MINVALUE))
		return DT_NOBEGIN;
	if (i >= bounds->ndatums || bounds->kind[i][0] == PARTITION_RANGE_DATUM_MAXVALUE)
		return DT_NOEND;
	return DatumGetTimestampTz(bounds->datums[i][0]);
}

/* Add a partition to a list. */
static List *
add_old(List *list, Oid partition, TimestampTz from, TimestampTz until)
{
	Old		   *old = palloc(sizeof(Old));

	old->partition = partition;
	old->stretch.from = from;
	old->stretch.until = until;
	return lappend(list, old);
}

/*
 * The partitions that end at a time or before, the oldest first; every one, the
 * default one included, for DT_NOEND.
 */
static List *
old_partitions(TimestampTz limit)
{
	Relation	parent = table_open(fms_buffer_table(), AccessShareLock);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	List	   *result = NIL;

	for (int i = 0; desc->nparts > 0 && i < bounds->ndatums; i++)
	{
		if (bounds->indexes[i] >= 0 && bound_of_partition(bounds, i) <= limit)
			result = add_old(result, desc->oids[bounds->indexes[i]], bound_of_partition(bounds, i - 1),
							 bound_of_partition(bounds, i));
	}
	if (limit == DT_NOEND && desc->nparts > 0 && bounds->default_index >= 0)
		result = add_old(result, desc->oids[bounds->default_index], DT_NOBEGIN, DT_NOEND);
	table_close(parent, NoLock);
	return result;
}

/* Whether a span of a partition runs, in the table or in memory; connected to SPI. */
static bool
has_running_span(const Old *old, const char *name)
{
	return fms_tracked_started_between(fms_buffer_table(), old->stretch.from, old->stretch.until) ||
		fms_partition_run(psprintf("SELECT FROM flowmaestro.%s AS s "
								   "WHERE s.status = 'started' LIMIT 1",
								   quote_identifier(name))) > 0;
}

/*
 * Drop a partition, unless it is gone or, with "ended", a span of it runs.  The
 * parent is locked first, as DROP TABLE does it.
 */
static bool
drop(Oid parent, const Old *old, bool ended)
{
	FmsOwnerScope scope;
	char	   *name;
	bool		dropped = false;

	fms_table_enter(parent, &scope);
	LockRelationOid(parent, AccessExclusiveLock);
	LockRelationOid(old->partition, AccessExclusiveLock);
	name = get_rel_name(old->partition);
	if (name != NULL && !(ended && has_running_span(old, name)))
	{
		(void) fms_partition_run(psprintf("DROP TABLE flowmaestro.%s", quote_identifier(name)));
		dropped = true;
	}
	fms_table_leave(&scope);
	return dropped;
}

/* Whether a span of a partition runs, without keeping a lock on it. */
static bool
partition_runs(Oid parent, const Old *old)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	FmsOwnerScope scope;
	char	   *name;
	bool		running;

	BeginInternalSubTransaction(NULL);
	fms_table_enter(parent, &scope);
	LockRelationOid(old->partition, AccessShareLock);
	name = get_rel_name(old->partition);
	running = name != NULL && has_running_span(old, name);
	fms_table_leave(&scope);
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return running;
}

/*
 * Drop partitions that end at a time or before, the oldest first, at most some;
 * with "ended" none with a running span.  Returns their names; *more tells
 * whether there may be more to drop.
 */
static List *
drop_until(TimestampTz limit, bool ended, int most, bool *more)
{
	Oid			parent = fms_buffer_table();
	List	   *old = old_partitions(limit);
	List	   *dropped = NIL;
	ListCell   *cell;

	*more = false;
	foreach(cell, old)
	{
		Old		   *candidate = lfirst(cell);
		char	   *name = get_rel_name(candidate->partition);

		CHECK_FOR_INTERRUPTS();
		if (list_length(dropped) == most)
		{
			*more = true;
			break;
		}
		if (ended && partition_runs(parent, candidate))
			continue;
		if (drop(parent, candidate, ended))
			dropped = lappend(dropped, name);
	}
	return dropped;
}

/* The default partition of ours, or InvalidOid. */
static Oid
later_partition(void)
{
	Relation	parent = table_open(fms_buffer_table(), AccessShareLock);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	Oid			later = InvalidOid;

	if (desc->nparts > 0 && desc->boundinfo->default_index >= 0)
		later = desc->oids[desc->boundinfo->default_index];
	table_close(parent, NoLock);
	return OidIsValid(later) && fms_place_is_later(later) ? later : InvalidOid;
}

/* Delete old rows from our default partition, not too many; tells how many. */
static uint64
delete_until(TimestampTz limit)
{
	Oid			later = later_partition();
	FmsOwnerScope scope;
	const char *name;
	uint64		deleted;

	if (!OidIsValid(later))
		return 0;
	fms_table_enter(later, &scope);
	name = quote_identifier(get_rel_name(later));
	deleted = fms_partition_run(psprintf("DELETE FROM flowmaestro.%s AS s WHERE s.ctid = ANY (ARRAY("
										 "SELECT c.ctid FROM flowmaestro.%s AS c "
										 "WHERE c.started_at < %s "
										 "AND c.status <> 'started' LIMIT %d))",
										 name, name, fms_partition_time(limit), DELETED_ROWS));
	fms_table_leave(&scope);
	return deleted;
}

/*
 * The time before which the table has no span: where the oldest partition
 * begins, or the oldest span of our default partition; DT_NOBEGIN if there is
 * no such time.
 */
static TimestampTz
oldest_time(void)
{
	Relation	parent = table_open(fms_buffer_table(), AccessShareLock);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	Oid			later = later_partition();
	TimestampTz oldest = DT_NOEND;
	FmsOwnerScope scope;
	bool		isnull;
	Datum		first;

	for (int i = 0; desc->nparts > 0 && i < bounds->ndatums; i++)
	{
		if (bounds->indexes[i] >= 0)
		{
			oldest = bound_of_partition(bounds, i - 1);
			break;
		}
	}
	table_close(parent, NoLock);
	if (!OidIsValid(later))
		return oldest == DT_NOEND ? DT_NOBEGIN : oldest;
	fms_table_enter(later, &scope);
	(void) fms_partition_run(psprintf("SELECT min(s.started_at) FROM flowmaestro.%s AS s",
									  quote_identifier(get_rel_name(later))));
	first = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		oldest = Min(oldest, DatumGetTimestampTz(first));
	fms_table_leave(&scope);
	return oldest == DT_NOEND ? DT_NOBEGIN : oldest;
}

/*
 * Forget what the directory says of days that the table no longer has room for,
 * some of it in this transaction; returns whether there is more.  A session
 * looks again only when the oldest partition is another one.
 */
bool
fms_retention_forget_ids(void)
{
	static TimestampTz forgotten = DT_NOBEGIN;
	TimestampTz oldest = oldest_time();

	if (oldest <= forgotten)
		return false;
	if (fms_directory_forget(oldest))
		return true;
	forgotten = oldest;
	return false;
}

/*
 * Drop the partitions that flowmaestro.retention no longer keeps, at most some.
 * Returns their names, NIL if retention is off; *more tells whether another
 * transaction may find more to do.
 */
List *
fms_retention_apply(int most, bool *more)
{
	TimestampTz limit = GetCurrentTimestamp() - (int64) fms_retention * USECS_PER_MINUTE;
	List	   *dropped;
	ListCell   *cell;
	uint64		deleted;

	*more = false;
	if (fms_retention == 0)
		return NIL;
	dropped = drop_until(limit, true, most, more);
	foreach(cell, dropped)
		ereport(LOG,
				(errmsg("dropped partition \"%s\" of execution_spans, older than flowmaestro.retention",
						(char *) lfirst(cell))));
	deleted = delete_until(limit);
	*more = *more || deleted == DELETED_ROWS;
	if (deleted > 0)
		ereport(LOG,
				(errmsg("deleted %llu spans of execution_spans, older than flowmaestro.retention",
						(unsigned long long) deleted)));
	return dropped;
}

/* apply_retention() returns setof text */
Datum
fms_apply_retention(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *dropped;
	ListCell   *cell;
	bool		more;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	dropped = fms_retention_apply(DROPS_OF_CALL, &more);
	(void) fms_retention_forget_ids();
	foreach(cell, dropped)
	{
		Datum		value = CStringGetTextDatum(lfirst(cell));
		bool		isnull = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	if (more)
		ereport(NOTICE,
				(errmsg("more spans are older than flowmaestro.retention"),
				 errdetail("One call drops at most %d partitions, for each takes locks until the end of the transaction.",
						   DROPS_OF_CALL),
				 errhint("Call the function again in another transaction.")));
	return (Datum) 0;
}

/*
 * drop_partitions(before timestamptz): each few partitions in a transaction of
 * their own.
 */
Datum
fms_drop_partitions(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	TimestampTz before = PG_ARGISNULL(0) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(0);
	int			count = 0;
	bool		more;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("time before which partitions are dropped must not be null")));
	if (call == NULL || !IsA(call, CallContext) || call->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("drop_partitions() cannot run inside a transaction block")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	do
	{
		CHECK_FOR_INTERRUPTS();
		count += list_length(drop_until(before, false, DROPS_OF_TRANSACTION, &more));
		SPI_commit();
	} while (more);
	SPI_finish();
	ereport(NOTICE,
			(errmsg_plural("dropped %d partition of execution_spans",
						   "dropped %d partitions of execution_spans",
						   count, count)));
	PG_RETURN_VOID();
}
