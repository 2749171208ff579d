/*-------------------------------------------------------------------------
 *
 * flush.c
 *	  One batch from the ring into the table.
 *
 * A batch is all that waits, up to what pace.c says, a quarter of the ring, or
 * BATCH_BYTES, by which the memory that a batch takes is bounded.  It
 * is read where it lies, folded, and applied in one transaction, which also
 * sets writer_progress to the batch's end.  The commit does not wait for the
 * disk: the next batch is under way while the server's WAL writer works, and
 * the records are let go when the commit is on disk.  If this process or the
 * server dies in between, the next writer finds in writer_progress which
 * records are written: each takes effect once.
 *
 * writer_progress has a row for each life of the ring (ring.c), and those of
 * other rings too: of the node that this one took over from, and that may take
 * over again.  A batch has records of one life.
 *
 * Errors are thrown; the caller aborts the transaction and tries again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "buffer/guard.h"
#include "buffer/tracked.h"
#include "table/otlp_source.h"
#include "table/owner.h"
#include "table/pace.h"
#include "table/reject.h"
#include "table/wanted.h"
#include "worker/flush.h"

#define BATCH_PART 4			/* of the ring: two batches leave half to the
								 * callers */
#define BATCH_BYTES FMS_LIMIT(16 * 1024 * 1024, 4096)	/* of a ring that is
														 * larger than four
														 * times that */
#define EXPECTED_SPANS FMS_LIMIT(1024, 1)	/* of a batch, to begin with */
#define KEPT_LIVES "1000"		/* rows of writer_progress, and for how long */
#define KEPT_FOR "90 days"

/* a stretch of the ring, and what became of its records */
typedef struct RingBatch
{
	FmsRingLife life;
	uint64		end;
	uint64		records;
	uint64		damaged;
	uint64		strays;			/* made for a table that is gone, or damaged */
	FmsFold		fold;
} RingBatch;

/* the last batch, committed; its records are let go unless it ends after the tail */
typedef struct Unsettled
{
	uint64		end;
	uint64		records;
	XLogRecPtr	commit;			/* end of its commit record */
} Unsettled;

static Unsettled unsettled = {0};

static const char *const read_progress =
	"SELECT p.position FROM flowmaestro.writer_progress AS p WHERE p.life_id = $1";

static const char *const save_progress =
	"INSERT INTO flowmaestro.writer_progress AS p (life_id, position, written_at) "
	"VALUES ($1, $2, now()) ON CONFLICT (life_id) "
	"DO UPDATE SET position = excluded.position, written_at = excluded.written_at";

static const char *const forget_progress =
	"DELETE FROM flowmaestro.writer_progress AS p "
	"WHERE p.written_at < now() - interval '" KEPT_FOR "' "
	"OR p.life_id = ANY (ARRAY(SELECT q.life_id "
	"FROM flowmaestro.writer_progress AS q ORDER BY q.written_at DESC OFFSET " KEPT_LIVES "))";

/* the table whose writer_progress was looked at in this process */
static Oid	progress_read_for = InvalidOid;

/* Where the next batch begins: the records before it are committed. */
uint64
fms_flush_position(void)
{
	return Max(fms_buffer_tail(), unsettled.end);
}

/*
 * Wait until the last batch's commit is on disk and let its records go.  In a
 * row of batches the WAL writer has mostly been there before.
 */
void
fms_flush_settle(void)
{
	if (unsettled.end <= fms_buffer_tail())
		return;
	XLogFlush(unsettled.commit);
	fms_buffer_acknowledge(unsettled.end, unsettled.records);
	unsettled.records = 0;
}

/* How far a life of the ring is written; 0 if nothing is known of it. */
static uint64
progress_of(FmsRingLife life)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum((int64) life.id)};
	bool		isnull;

	if (SPI_execute_with_args(read_progress, 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the writer's progress");
	if (SPI_processed == 0)
		return 0;
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * Pass the records from *position on that end before "written".  Returns how
 * many.  What is damaged and not known to be written is left to read_batch.
 */
static uint64
pass_written(uint64 *position, uint64 written, uint64 head)
{
	uint64		records = 0;

	while (*position < Min(written, head))
	{
		uint64		next = *position;
		const char *body;
		uint32		length;
		FmsEvent	event;
		FmsRingItem item = fms_guard_read(fms_buffer_ring(), &next, head, &body, &length);

		if (item == FMS_RING_END || next > written)
			break;
		*position = next;
		records += item != FMS_RING_PADDING;
		if (item == FMS_RING_RECORD && fms_event_decode(body, length, &event))
			fms_tracked_flushed(event.table, &event.span_id, event.kind == FMS_EVENT_END ||
								(event.kind == FMS_EVENT_SPAN && event.status != FMS_STATUS_STARTED));
	}
	return records;
}

/*
 * Let records go that a process before this one has written: of each life of
 * the ring those of which the table says so.
 */
static void
skip_written(void)
{
	uint64		head = fms_buffer_head();
	uint64		position = fms_buffer_tail();
	uint64		records = 0;
	uint64		end;

	do
	{
		FmsRingLife life = fms_ring_life(fms_buffer_ring(), position, &end);

		records += pass_written(&position, Min(progress_of(life), end), head);
	} while (position == end);
	if (position > fms_buffer_tail())
		fms_buffer_acknowledge(position, records);
}

/*
 * Once in a process and life of the table, see what of the ring is written, and
 * forget what nobody will ask for any more.  In a transaction.
 */
static void
catch_up(Oid table)
{
	FmsOwnerScope scope;

	if (progress_read_for == table)
		return;
	fms_table_enter(table, &scope);
	skip_written();
	if (SPI_execute(forget_progress, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not forget old progress");
	fms_table_leave(&scope);
	progress_read_for = table;
	/* what memory knows of another life of the table is of no use */
	fms_tracked_purge(MyDatabaseId, table);
}

/* Save how far a batch goes, in its own transaction. */
static void
save_end(Oid table, const RingBatch *batch)
{
	FmsOwnerScope scope;
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		values[2] = {
		Int64GetDatum((int64) batch->life.id), Int64GetDatum((int64) batch->end)
	};

	fms_table_enter(table, &scope);
	(void) fms_plan_run(&plan, save_progress, 2, types, values, NULL);
	fms_table_leave(&scope);
}

/*
 * Take the table for a transaction, without waiting.  Returns its oid, or says
 * in *outcome why not.
 */
Oid
fms_flush_lock_table(FmsFlush *outcome)
{
	Oid			table = fms_buffer_table();

	*outcome = FMS_FLUSH_HOMELESS;
	if (!OidIsValid(table))
		return InvalidOid;
	*outcome = FMS_FLUSH_BUSY;
	if (!ConditionalLockRelationOid(table, RowExclusiveLock))
		return InvalidOid;
	AcceptInvalidationMessages();
	if (fms_buffer_table() != table)
		return InvalidOid;
	return table;
}

/*
 * Note the records of a batch that can't be read.  Gaps were counted as one
 * each; "waiting" is how many records waited before the head, which tells how
 * many there were once the head is reached.
 */
static void
note_damaged(RingBatch *batch, uint64 head, uint64 waiting)
{
	uint64		sound = batch->records - batch->damaged;

	if (batch->end == head || batch->records > waiting)
	{
		batch->records = Max(waiting, sound);
		batch->damaged = batch->records - sound;
	}
	batch->strays += batch->damaged;
}

/*
 * Read the records that come next and fold those of this table.  Records that
 * can't be read are lost, and told when the batch is committed.
 */
static void
read_batch(RingBatch *batch, Oid table)
{
	const FmsRing *ring = fms_buffer_ring();
	uint64		head;
	uint64		waiting = fms_buffer_waiting(&head);
	uint64		begin = fms_flush_position();
	uint64		limit;

	memset(batch, 0, sizeof(*batch));
	batch->end = begin;
	batch->life = fms_ring_life(ring, begin, &limit);
	limit = Min(Min(head, limit), begin + Min(ring->identity.bytes / BATCH_PART, BATCH_BYTES));
	fms_pace_begin(begin, limit, fms_pace_records());
	fms_fold_begin(&batch->fold, EXPECTED_SPANS);
	while (batch->end < limit && batch->records < fms_pace_records())
	{
		const char *body;
		uint32		length;
		FmsEvent	event;
		FmsRingItem item = fms_guard_read(ring, &batch->end, head, &body, &length);

		CHECK_FOR_INTERRUPTS();
		if (item == FMS_RING_PADDING)
			continue;
		batch->records++;
		if (item == FMS_RING_END)
			batch->end = head;
		if (item != FMS_RING_RECORD)
			batch->damaged++;
		else if (!fms_event_decode(body, length, &event) || event.table != table)
			batch->strays++;
		else
			fms_fold_add(&batch->fold, &event);
	}
	note_damaged(batch, head, waiting - unsettled.records);
	fms_fold_finish(&batch->fold);
	fms_pace_begin(begin, batch->end, batch->records);
}

/* Count a batch that is committed, and let the records of the one before go. */
static void
finish_batch(const RingBatch *batch, const FmsApplied *applied, Oid table, TimestampTz begun)
{
	FmsSlot    *slot = fms_buffer_slot();
	uint64		folded = batch->records - batch->strays - list_length(batch->fold.sources);
	int64		us = Max(GetCurrentTimestamp() - begun, 0);

	fms_slot_count(slot, FMS_WRITTEN, applied->written);
	fms_slot_count(slot, FMS_UPDATED, applied->updated);
	fms_slot_count(slot, FMS_REJECTED, applied->rejected);
	fms_slot_count(slot, FMS_COALESCED, folded - batch->fold.count);
	fms_slot_count(slot, FMS_CLAMPED_ENDS, batch->fold.clamped + applied->clamped);
	fms_slot_count(slot, FMS_DUPLICATE_ENDS, batch->fold.duplicates);
	fms_slot_count(slot, FMS_DROPPED, batch->strays);
	fms_slot_count(slot, FMS_DAMAGED, batch->damaged);
	fms_slot_count(slot, FMS_FLUSHES, 1);
	fms_slot_count(slot, FMS_FLUSH_TIME_US, us);
	fms_pace_done(us);
	if (batch->damaged > 0)
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("span buffer file is damaged: %llu records are lost",
						(unsigned long long) batch->damaged),
				 errdetail("They were before position %llu of the buffer; all others were read.",
						   (unsigned long long) batch->end)));
	for (int i = 0; i < batch->fold.count; i++)
		fms_tracked_flushed(table, &batch->fold.rows[i]->span_id,
							batch->fold.rows[i]->status != FMS_STATUS_STARTED);
	fms_buffer_moved();
	fms_flush_settle();
	unsettled.end = batch->end;
	unsettled.records = batch->records;
	unsettled.commit = XactLastCommitEnd;
}

/*
 * Write one batch, in a transaction of its own, unless partitions that can be
 * made now are missing for it.  An error leaves the transaction to the caller and
 * the records where they are.  After the last batch the caller calls
 * fms_flush_settle.
 */
FmsFlush
fms_flush_batch(void)
{
	TimestampTz begun = GetCurrentTimestamp();
	FmsApplied	applied = {0};
	FmsFlush	outcome;
	RingBatch	batch;
	MemoryContext context = NULL;
	Oid			table;

	fms_buffer_keep();
	fms_buffer_keep_tail();
	if (fms_flush_position() >= fms_buffer_head())
		return FMS_FLUSH_EMPTY;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "writing spans");
	table = fms_flush_lock_table(&outcome);
	if (OidIsValid(table))
	{
		/* the fold is needed after the commit */
		context = AllocSetContextCreate(TopMemoryContext, "flowmaestro_spans batch",
										ALLOCSET_DEFAULT_SIZES);
		MemoryContextSetParent(context, CurTransactionContext);
		catch_up(table);
		MemoryContextSwitchTo(context);
		read_batch(&batch, table);
		outcome = FMS_FLUSH_PARTITIONS;
		if (!fms_wanted_lacks(batch.fold.rows, batch.fold.count))
		{
			fms_source_write(batch.fold.sources);
			fms_reject_apply(batch.fold.rows, batch.fold.count, &applied);
			save_end(table, &batch);
			MemoryContextSetParent(context, TopMemoryContext);
			outcome = FMS_FLUSH_DONE;
		}
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (outcome == FMS_FLUSH_DONE)
	{
		finish_batch(&batch, &applied, table, begun);
		MemoryContextDelete(context);
	}
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	return outcome;
}

/* Put rows back that were set aside because they were locked. */
void
fms_flush_retry_blocked(void)
{
	FmsFlush	outcome;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "writing spans that were locked");
	if (OidIsValid(fms_flush_lock_table(&outcome)))
		(void) fms_reject_retry(true);
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}
