/*-------------------------------------------------------------------------
 *
 * attach.c
 *	  A process's mapping of its database's ring.
 *
 * A session maps the ring when it records for the first time and keeps it
 * mapped.  The first to attach after the server's start finds the head of the
 * ring, begins a new life of it (ring.c says what for) and gives the records
 * that wait in it their entries in tracked.c, so that what ends then is known to
 * have started.
 *
 * When the file is deleted while the server runs, whoever notices and has it
 * mapped makes a new one with all that the map holds: the writer before each
 * batch, and a session that wakes the launcher because no writer is up.  Others
 * map the new one when they come by: they compare the number of the file.  Only
 * if nobody has the file mapped any more are the records lost that waited.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/attach.h"
#include "buffer/buffer.h"
#include "buffer/file.h"
#include "buffer/guard.h"
#include "buffer/tracked.h"
#include "span/identity.h"

#define RETRY_MS 60000			/* until the next try after a failed one */

static FmsRing my_ring;
static bool attached = false;	/* my_ring is mapped */
static uint32 my_generation;	/* of the file that it is mapped from */

/* Give the records that wait in the ring their entries; slot lock held. */
static void
track_pending(FmsSlot *slot)
{
	uint64		position = pg_atomic_read_u64(&slot->tail);
	FmsRingItem item;
	const char *body;
	uint32		length;

	while ((item = fms_guard_read(&my_ring, &position, slot->head, &body, &length)) != FMS_RING_END)
	{
		FmsEvent	event;
		FmsSpanRef	ref;

		if (item == FMS_RING_RECORD && fms_event_decode(body, length, &event) &&
			event.kind < FMS_EVENT_RESOURCE)
			(void) fms_tracked_claim(&event, event.kind != FMS_EVENT_SPAN, &ref);
	}
}

/*
 * Find out what is in the ring just mapped; slot lock held exclusively, so that
 * nobody appends before the head is known.  Takes as long as reading the ring.
 * False, after a log line, if the disk has no room for the new life's identity.
 */
static bool
recover(FmsSlot *slot)
{
	uint64		tail = fms_ring_tail(&my_ring);
	uint64		records;

	slot->head = fms_ring_find_head(&my_ring, fms_guard_read, &records);
	if (!fms_guard_begin_life(&my_ring, tail, slot->head, fms_identity_random()))
	{
		ereport(LOG,
				(errcode(ERRCODE_DISK_FULL),
				 errmsg("could not begin to record spans: no space for the span buffer on disk")));
		return false;
	}
	fms_file_sync_header(&my_ring);
	slot->recorded = records;
	slot->bytes = my_ring.identity.bytes;
	pg_atomic_write_u64(&slot->tail, tail);
	pg_atomic_write_u64(&slot->file_tail, tail);
	pg_atomic_write_u64(&slot->flushed, 0);
	track_pending(slot);
	slot->ready = true;
	return true;
}

/* Work with another mapping from now on; slot lock held. */
static void
use_ring(FmsSlot *slot, const FmsRing *ring)
{
	/* a batch of the writer may still point into the old one */
	if (attached && slot->seat[FMS_SEAT_WRITER].pid != MyProcPid)
		fms_file_unmap(&my_ring);
	my_ring = *ring;
	my_generation = slot->generation;
	attached = true;
}

/* Whether the slot's file is still there, and whole; slot lock held. */
static bool
has_file(const FmsSlot *slot)
{
	return fms_file_is_there(MyDatabaseId, &slot->file, FMS_RING_HEADER_BYTES + slot->bytes);
}

/*
 * This process's mapping if it is the one of the slot's file, else NULL; slot lock
 * held, so that it stays so.
 */
FmsRing *
fms_attach_current(FmsSlot *slot)
{
	return attached && my_generation == slot->generation ? &my_ring : NULL;
}

/*
 * The same, after mapping the slot's file if need be; NULL if it is gone, or after
 * a log line if it can't be mapped.  Slot lock held.
 */
FmsRing *
fms_attach_follow(FmsSlot *slot)
{
	FmsRing		ring;
	FmsFileId	id;

	if (fms_attach_current(slot) != NULL)
		return &my_ring;
	if (!fms_file_map(MyDatabaseId, 0, &ring, &id))
		return NULL;
	if (memcmp(&id, &slot->file, sizeof(id)) != 0)
	{
		fms_file_unmap(&ring);
		return NULL;
	}
	use_ring(slot, &ring);
	return &my_ring;
}

/*
 * The records that waited are gone with their file: count them, and have the new
 * one, which is empty, begin a life.  Slot lock held exclusively.
 */
static bool
begin_anew(FmsSlot *slot, FmsRing *ring)
{
	uint64		lost = slot->recorded - pg_atomic_read_u64(&slot->flushed);

	if (!fms_guard_begin_life(ring, slot->head, slot->head, fms_identity_random()))
		return false;
	fms_slot_count(slot, FMS_DROPPED, lost);
	fms_slot_count(slot, FMS_DAMAGED, lost);
	pg_atomic_fetch_add_u64(&slot->flushed, lost);
	pg_atomic_write_u64(&slot->tail, slot->head);
	pg_atomic_write_u64(&slot->file_tail, slot->head);
	ereport(LOG,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("span buffer file of database %u was deleted: %llu records are lost",
					MyDatabaseId, (unsigned long long) lost)));
	return true;
}

/*
 * Make a new file for the slot's ring, whose file is gone; slot lock held
 * exclusively.  All is kept if this process has the ring mapped.  False, after a
 * log line and without a try for RETRY_MS after that, if it can't be made.
 */
static bool
renew_file(FmsSlot *slot)
{
	static TimestampTz retry_at = 0;
	FmsRing		ring;
	FmsFileId	id;
	bool		kept;

	if (GetCurrentTimestamp() < retry_at)
		return false;
	if (!fms_file_replace(MyDatabaseId, fms_attach_current(slot), slot->bytes, slot->head,
						  &ring, &id, &kept) ||
		(!kept && !begin_anew(slot, &ring)))
	{
		retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
		return false;
	}
	if (kept)
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("span buffer file of database %u was deleted: a new one holds all records",
						MyDatabaseId)));
	fms_file_sync_header(&ring);
	pg_atomic_write_u64(&slot->disk_full_until, 0);
	slot->file = id;
	slot->generation++;
	use_ring(slot, &ring);
	return true;
}

/*
 * Map the slot's ring, the first one since the server's start also what it takes
 * to record; slot lock held exclusively.  *elsewhere: the file is gone, and the
 * writer, which has it mapped, will make a new one.
 */
static bool
map_ring(FmsSlot *slot, bool *elsewhere)
{
	FmsRing		ring;
	FmsFileId	id;

	*elsewhere = false;
	if (slot->ready)
	{
		if (fms_attach_follow(slot) != NULL)
			return true;
		if (has_file(slot))
			return false;
		*elsewhere = slot->seat[FMS_SEAT_WRITER].pid != 0 && slot->seat[FMS_SEAT_WRITER].pid != MyProcPid;
		return !*elsewhere && renew_file(slot);
	}
	if (!fms_file_map(MyDatabaseId, (uint64) fms_buffer_size * 1024, &ring, &id))
		return false;
	slot->file = id;
	my_ring = ring;
	my_generation = slot->generation;
	if (!recover(slot))
	{
		fms_file_unmap(&my_ring);
		return false;
	}
	attached = true;
	return true;
}

/*
 * The slot's file is gone: have the writer, which has it mapped, make a new one,
 * and wait for that, at most flowmaestro.full_wait.
 */
static void
wait_for_file(FmsSlot *slot)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), fms_full_wait);
	uint32		wait_event = fms_wait_event("FlowmaestroBufferFull");
	long		ms;

	fms_slot_want_writer(slot, true);
	ConditionVariablePrepareToSleep(&slot->changed);
	while (slot->seat[FMS_SEAT_WRITER].pid != 0 && !fms_file_is_there(MyDatabaseId, &slot->file, 0) &&
		   (ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until)) > 0)
		(void) ConditionVariableTimedSleep(&slot->changed, ms, wait_event);
	ConditionVariableCancelSleep();
}

/*
 * Map this database's ring, made if there is none.  Returns false, after a
 * log line from the one who tried, if that is not possible, and without a try
 * for RETRY_MS after that: a disk that is full should not cost every call
 * an attempt.  The mapping stays until the session ends.
 */
bool
fms_buffer_attach(void)
{
	static TimestampTz retry_at = 0;
	FmsSlot    *slot;
	bool		mapped;
	bool		elsewhere;

	if (attached)
		return true;
	if (fms_control == NULL)
		return false;
	if (GetCurrentTimestamp() < retry_at)
		return false;
	slot = fms_buffer_slot();
	if (slot == NULL)
	{
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("more than %d databases record spans", FMS_MAX_DATABASES)));
		retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
		return false;
	}
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	mapped = map_ring(slot, &elsewhere);
	LWLockRelease(slot->lock);
	if (elsewhere)
	{
		wait_for_file(slot);
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		mapped = map_ring(slot, &elsewhere);
		LWLockRelease(slot->lock);
	}
	if (!mapped && !elsewhere)
		retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	return mapped;
}

/*
 * See to it that the ring has a file and that this process has it mapped, as far
 * as that can be: the file may have been deleted.  Between two batches of the
 * writer, or after an append.
 */
void
fms_buffer_keep(void)
{
	FmsSlot    *slot = fms_buffer_slot();
	bool		good;

	LWLockAcquire(slot->lock, LW_SHARED);
	good = fms_attach_current(slot) != NULL && has_file(slot);
	LWLockRelease(slot->lock);
	if (good)
		return;
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	if (has_file(slot))
		(void) fms_attach_follow(slot);
	else
		(void) renew_file(slot);
	LWLockRelease(slot->lock);
	fms_buffer_moved();
}

/* The ring of this database; the caller has attached. */
const FmsRing *
fms_buffer_ring(void)
{
	return &my_ring;
}
