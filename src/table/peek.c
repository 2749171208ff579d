/*-------------------------------------------------------------------------
 *
 * peek.c
 *	  Rows of a table by one of its indexes, without a statement.
 *
 * A call that records must not wait for a lock, nor leave one behind in the
 * caller's transaction, and a statement does both: it locks every relation
 * that it names, with all indexes, until the end of the transaction.  Here a
 * table and one index are locked only if that can be at once, and let go
 * again.  What cannot be had is told as FMS_LOOK_BUSY, never as "not there".
 *
 * Entries are read with SnapshotAny, and a row is then tested against an
 * MVCC snapshot by itself.  So a serializable transaction of the caller takes
 * no predicate lock on our tables, and cannot fail because it is traced, while
 * a row that is updated meanwhile is seen exactly once.
 *
 * Privileges are not looked at: what is told of a row is for the recording
 * functions, which any role with EXECUTE may call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "table/peek.h"

/* Lock a relation for reading; false if that cannot be without waiting. */
static bool
lock_relation(Oid relation, bool wait)
{
	if (!wait)
		return ConditionalLockRelationOid(relation, AccessShareLock);
	LockRelationOid(relation, AccessShareLock);
	return true;
}

/*
 * Lock and open a relation.  Returns NULL, with nothing locked, if it is
 * gone or, without "wait", locked by somebody else; *look tells which.  The
 * caller closes it with AccessShareLock.
 */
Relation
fms_peek_table(Oid relation, bool wait, FmsLook *look)
{
	Relation	opened;

	*look = FMS_LOOK_NONE;
	if (!OidIsValid(relation))
		return NULL;
	*look = FMS_LOOK_BUSY;
	if (!lock_relation(relation, wait))
		return NULL;
	opened = try_relation_open(relation, NoLock);
	*look = opened == NULL ? FMS_LOOK_NONE : FMS_LOOK_FOUND;
	if (opened == NULL)
		UnlockRelationOid(relation, AccessShareLock);
	return opened;
}

/* Whether an open relation is an index of a table by which rows can be found. */
static bool
is_usable(Relation index, Relation table)
{
	return index->rd_rel->relkind == RELKIND_INDEX && index->rd_index->indisvalid &&
		index->rd_index->indrelid == RelationGetRelid(table);
}

/*
 * Open a table and its index, by default its primary key, for scans with a
 * number of keys.  FMS_LOOK_FOUND: it is open, and fms_peek_close has to be
 * called; FMS_LOOK_NONE: there is no such table; otherwise FMS_LOOK_BUSY.
 */
FmsLook
fms_peek_open(Oid relation, Oid index, int nkeys, bool wait, FmsPeek *peek)
{
	FmsLook		look;

	peek->table = fms_peek_table(relation, wait, &look);
	if (peek->table == NULL)
		return look;
	peek->index = NULL;
	if (peek->table->rd_rel->relkind == RELKIND_RELATION)
	{
		if (!OidIsValid(index))
			index = fms_primary_key(peek->table);
		peek->index = fms_peek_table(index, wait, &look);
	}
	if (peek->index == NULL || !is_usable(peek->index, peek->table))
	{
		if (peek->index != NULL)
			relation_close(peek->index, AccessShareLock);
		relation_close(peek->table, AccessShareLock);
		return FMS_LOOK_BUSY;
	}
	peek->slot = table_slot_create(peek->table, NULL);
	peek->scan = fms_index_beginscan(peek->table, peek->index, SnapshotAny, nkeys);
	peek->scan->xs_want_itup = true;
	return FMS_LOOK_FOUND;
}

/* Close what fms_peek_open opened, and let go of its locks. */
void
fms_peek_close(FmsPeek *peek)
{
	index_endscan(peek->scan);
	ExecDropSingleTupleTableSlot(peek->slot);
	index_close(peek->index, AccessShareLock);
	relation_close(peek->table, AccessShareLock);
}

/* Begin a scan with as many keys as it was opened for. */
void
fms_peek_scan(FmsPeek *peek, ScanKey keys)
{
	index_rescan(peek->scan, keys, peek->scan->numberOfKeys, NULL, 0);
}

/*
 * Go to the next entry; false if there is none.  An entry tells that there is
 * or was a row, or will be one when a transaction commits: a look that finds
 * no entry has missed nothing.
 */
bool
fms_peek_next_entry(FmsPeek *peek)
{
	CHECK_FOR_INTERRUPTS();
	return index_getnext_tid(peek->scan, ForwardScanDirection) != NULL;
}

/* Key column n, from 1, of the entry that was read last; valid until the next one. */
Datum
fms_peek_key(const FmsPeek *peek, int n)
{
	bool		isnull;

	return index_getattr(peek->scan->xs_itup, n, peek->scan->xs_itupdesc, &isnull);
}

/*
 * Go to the next row that a snapshot sees; it is in peek->slot until the next
 * call.  False if there is none.
 */
bool
fms_peek_next_row(FmsPeek *peek, Snapshot snapshot)
{
	while (index_getnext_slot(peek->scan, ForwardScanDirection, peek->slot))
	{
		if (table_tuple_satisfies_snapshot(peek->table, peek->slot, snapshot))
			return true;
	}
	return false;
}
