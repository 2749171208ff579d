/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  Shared memory: one slot for each database that records spans.
 *
 * The number of slots is fixed, so looking one up is a scan of all of them; a
 * session does that once and keeps the pointer, which stays good because a slot
 * is only given back when nobody can be connected to its database.
 *
 * Once shared memory is set up nothing here allocates or raises errors, so all of
 * it can be called while a transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/shmem.h"

#include "compat.h"
#include "buffer/slot.h"

FmsControl *fms_control = NULL;

/* Bytes of shared memory that fms_slot_shmem_init takes. */
Size
fms_slot_shmem_size(void)
{
	return MAXALIGN(sizeof(FmsControl));
}

/*
 * Set up or find the slots; called with AddinShmemInitLock.  "locks" are ours:
 * one for the control, then one for each slot.
 */
void
fms_slot_shmem_init(LWLockPadded *locks)
{
	bool		found;

	fms_control = ShmemInitStruct("flowmaestro_spans slots", fms_slot_shmem_size(), &found);
	if (found)
		return;
	memset(fms_control, 0, fms_slot_shmem_size());
	fms_control->lock = &locks[0].lock;
	pg_atomic_init_u32(&fms_control->starving, 0);
	for (int i = 0; i < FMS_MAX_DATABASES; i++)
		fms_control->slot[i].lock = &locks[1 + i].lock;
}

/*
 * Make a free slot the one of a database; control lock held exclusively.  Its
 * LWLock was set when shared memory was, and is the only field that stays.
 */
static void
take_slot(FmsSlot *slot, Oid database)
{
	LWLock	   *lock = slot->lock;

	memset(slot, 0, sizeof(*slot));
	slot->lock = lock;
	slot->database = database;
	pg_atomic_init_u64(&slot->tail, 0);
	pg_atomic_init_u64(&slot->file_tail, 0);
	pg_atomic_init_u64(&slot->flushed, 0);
	pg_atomic_init_u32(&slot->seen_table, InvalidOid);
	pg_atomic_init_u64(&slot->moves, 0);
	pg_atomic_init_u64(&slot->disk_full_until, 0);
	pg_atomic_init_u64(&slot->blocked_since, 0);
	pg_atomic_init_u32(&slot->sleepers, 0);
	pg_atomic_init_u32(&slot->favoured, 0);
	pg_atomic_init_u64(&slot->favour_ends, 0);
	pg_atomic_init_u64(&slot->left, 0);
	pg_atomic_init_u64(&slot->left_done, 0);
	ConditionVariableInit(&slot->changed);
	for (int i = 0; i < FMS_COUNTERS; i++)
		pg_atomic_init_u64(&slot->counter[i], 0);
}

/*
 * The slot of a database, taken if there is none and "create" is true.
 * Returns NULL if there is none, or all are taken.
 */
FmsSlot *
fms_slot_find(Oid database, bool create)
{
	FmsSlot    *found = NULL;
	FmsSlot    *unused = NULL;

	LWLockAcquire(fms_control->lock, create ? LW_EXCLUSIVE : LW_SHARED);
	for (int i = 0; i < FMS_MAX_DATABASES && found == NULL; i++)
	{
		FmsSlot    *slot = &fms_control->slot[i];

		if (slot->database == database)
			found = slot;
		else if (slot->database == InvalidOid && unused == NULL)
			unused = slot;
	}
	if (found == NULL && create && unused != NULL)
	{
		take_slot(unused, database);
		found = unused;
	}
	LWLockRelease(fms_control->lock);
	return found;
}

/*
 * Give back the slot of a database that is gone.  The rest of the slot stays as
 * it is until somebody takes it.
 */
void
fms_slot_free(Oid database)
{
	LWLockAcquire(fms_control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < FMS_MAX_DATABASES; i++)
	{
		if (fms_control->slot[i].database == database)
			fms_control->slot[i].database = InvalidOid;
	}
	LWLockRelease(fms_control->lock);
}

/* Add to a counter; a slot of NULL, when there is no shared memory, counts nothing. */
void
fms_slot_count(FmsSlot *slot, FmsCounter counter, uint64 n)
{
	if (slot != NULL && n > 0)
		pg_atomic_fetch_add_u64(&slot->counter[counter], n);
}

/* Tell everybody that a flush failed: stats, and who waits in flush(). */
void
fms_slot_flush_failed(FmsSlot *slot, const char *error)
{
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	strlcpy(slot->last_error, error, FMS_ERROR_BYTES);
	LWLockRelease(slot->lock);
	fms_slot_count(slot, FMS_FLUSH_ERRORS, 1);
	ConditionVariableBroadcast(&slot->changed);
}

/*
 * Have the launcher look for work now.  The latch is set without the lock:
 * latches of processes stay in shared memory when these are gone, and one set
 * for nothing does no harm.
 */
void
fms_slot_wake_launcher(void)
{
	Latch	   *latch;

	LWLockAcquire(fms_control->lock, LW_SHARED);
	latch = fms_control->launcher_latch;
	LWLockRelease(fms_control->lock);
	if (latch != NULL)
		SetLatch(latch);
}

/* Whether a launcher is up, which starts what is wanted. */
bool
fms_slot_has_launcher(void)
{
	bool		up;

	LWLockAcquire(fms_control->lock, LW_SHARED);
	up = fms_control->launcher_latch != NULL;
	LWLockRelease(fms_control->lock);
	return up;
}

/*
 * See to it that a process of a slot looks for work.  Where it is not up the
 * launcher is woken by the first who asks; it looks at "wanted" by itself too.
 */
static void
want(FmsSlot *slot, FmsSeatKind kind, bool urgent)
{
	FmsSeat    *seat = &slot->seat[kind];
	Latch	   *latch;
	bool		asked;

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	latch = seat->latch;
	asked = seat->wanted;
	seat->wanted = true;
	slot->urgent = slot->urgent || urgent;
	LWLockRelease(slot->lock);
	if (latch != NULL)
		SetLatch(latch);
	else if (!asked)
		fms_slot_wake_launcher();
}

/*
 * See to it that a writer looks at the slot's ring: soon, so that a batch is
 * worth its transaction, or at once if it is urgent.
 */
void
fms_slot_want_writer(FmsSlot *slot, bool urgent)
{
	want(slot, FMS_SEAT_WRITER, urgent);
}

/*
 * A transaction that committed left work to the writer, in the table
 * uncounted_spans: have it done at once.  Does not fail.
 */
void
fms_slot_leave_work(FmsSlot *slot)
{
	pg_atomic_fetch_add_u64(&slot->left, 1);
	fms_slot_want_writer(slot, true);
}

/* See to it that an exporter looks for spans to send.  Does not fail. */
void
fms_slot_want_exporter(FmsSlot *slot)
{
	want(slot, FMS_SEAT_EXPORTER, false);
}

/* Note that there may be work for every process of a slot.  Wakes nobody. */
void
fms_slot_want_all(FmsSlot *slot)
{
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	for (int kind = 0; kind < FMS_SEATS; kind++)
		slot->seat[kind].wanted = true;
	LWLockRelease(slot->lock);
}

/* Wake the processes of a slot; false if none is there. */
bool
fms_slot_wake(FmsSlot *slot)
{
	bool		there = false;

	LWLockAcquire(slot->lock, LW_SHARED);
	for (int kind = 0; kind < FMS_SEATS; kind++)
	{
		there |= slot->seat[kind].pid != 0;
		if (slot->seat[kind].latch != NULL)
			SetLatch(slot->seat[kind].latch);
	}
	LWLockRelease(slot->lock);
	return there;
}

/* Become a process of a slot; false if there is one, or none is to be there now. */
bool
fms_slot_take_seat(FmsSlot *slot, FmsSeatKind kind)
{
	FmsSeat    *seat = &slot->seat[kind];
	bool		taken;

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	taken = seat->pid == 0 && slot->suspended == 0;
	if (taken)
	{
		seat->pause_ms = FMS_PAUSE_AS_FAILED;
		seat->pid = MyProcPid;
		seat->latch = MyLatch;
	}
	LWLockRelease(slot->lock);
	return taken;
}

/*
 * This process is no longer one of a slot; "wanted" tells that it may leave work
 * behind.  Nothing happens if it is none.
 */
void
fms_slot_leave_seat(FmsSlot *slot, FmsSeatKind kind, bool wanted)
{
	FmsSeat    *seat = &slot->seat[kind];

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	if (seat->pid == MyProcPid)
	{
		seat->wanted |= wanted;
		seat->pid = 0;
		seat->latch = NULL;
	}
	LWLockRelease(slot->lock);
	ConditionVariableBroadcast(&slot->changed);
}
