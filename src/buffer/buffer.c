/*-------------------------------------------------------------------------
 *
 * buffer.c
 *	  Records on their way from a session to the writer.
 *
 * An append encodes and checksums outside the slot's lock and copies under it.
 * The lock is not held by whoever waits for room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "buffer/attach.h"
#include "buffer/buffer.h"
#include "buffer/guard.h"
#include "buffer/seen.h"
#include "buffer/tracked.h"

#define MIN_BUFFER_KB 1024
#define MAX_BUFFER_KB (1024 * 1024)
#define MAX_ACTIVE_SPANS (4 * 1024 * 1024)
#define TRANCHE "flowmaestro_spans"
#define WARN_EVERY_MS 60000
#define URGENT_PART 4			/* of the ring: if more is used, the writer
								 * must hurry */
#define LAUNCHER_MS 5000		/* flush() waits without a launcher; a new one
								 * comes after 1 s */
#define NO_SPACE_MS 1000		/* from a full disk to the next try */
#define SCRATCH_KEEP FMS_LIMIT(64 * 1024, 64)	/* a larger scratch is not
												 * kept */
#define STANDSTILL_MS 1000		/* without a move: no call waits longer,
								 * unless it wants to */
#define FAVOUR_MS 20			/* that calls which waited have freed room for
								 * themselves */

int			fms_buffer_size = 64 * 1024;	/* kB, of a ring that is made */
int			fms_batch_size = 10;	/* records that are worth waking the
									 * writer */
int			fms_full_wait = 1000;	/* ms */

static FmsSlot *my_slot = NULL; /* of this database, once looked for */
static Oid	table = InvalidOid; /* execution_spans, while known */
static char *scratch = NULL;	/* where events are encoded */
static size_t scratch_bytes = 0;
static const char *refusal = NULL;	/* why the last append failed: one of
									 * these */
static const char full[] = "the span buffer is full";
static const char unmapped[] = "the span buffer can't be mapped";
static const char no_space[] = "no space for the span buffer on disk";

PG_FUNCTION_INFO_V1(fms_flush);

/*
 * Define the settings of the room; when the library is loaded.  What sizes shared
 * memory is there only if that is at the server's start.
 */
void
fms_buffer_define_settings(bool preloading)
{
	if (preloading)
	{
		DefineCustomIntVariable("flowmaestro.buffer_size",
								"Size of the span buffer of each database.",
								"It is a file under the data directory, mapped into memory.",
								&fms_buffer_size, 64 * 1024, MIN_BUFFER_KB, MAX_BUFFER_KB,
								PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
		DefineCustomIntVariable("flowmaestro.max_active_spans",
								"Running spans that shared memory has a place for.",
								"More can run; those beyond are found in the table.",
								&fms_max_active_spans, 32768, 16, MAX_ACTIVE_SPANS,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);
	}
	DefineCustomIntVariable("flowmaestro.full_wait",
							"Time that a call waits for room in a full buffer before its record is dropped.",
							NULL,
							&fms_full_wait, 1000, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.batch_size",
							"Records in the buffer that wake the writer.",
							"The writer takes all there are.",
							&fms_batch_size, 10, 1, INT_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Ask for shared memory and locks; from the hook, at the server's start. */
void
fms_buffer_shmem_request(void)
{
	RequestAddinShmemSpace(fms_slot_shmem_size());
	RequestAddinShmemSpace(fms_tracked_shmem_size());
	RequestAddinShmemSpace(fms_seen_shmem_size());
	RequestNamedLWLockTranche(TRANCHE, 1 + FMS_MAX_DATABASES + FMS_TRACKED_PARTITIONS);
}

/*
 * Set up shared memory; from the hook, at the server's start and after a
 * crash of a backend.  What was in memory is gone then; what is in the rings
 * is found again by whoever attaches.
 */
void
fms_buffer_shmem_startup(void)
{
	LWLockPadded *locks;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	locks = GetNamedLWLockTranche(TRANCHE);
	fms_slot_shmem_init(locks);
	fms_tracked_shmem_init(locks + 1 + FMS_MAX_DATABASES);
	fms_seen_shmem_init();
	LWLockRelease(AddinShmemInitLock);
}

/* Forget the table's oid when the table, or everything, changed; called by the front door. */
void
fms_buffer_relation_changed(Oid relation)
{
	if (relation == table || relation == InvalidOid)
		table = InvalidOid;
}

/*
 * The oid of execution_spans, or InvalidOid: what a record is stamped with, so
 * that it never ends up in the table of another life of the extension.
 */
Oid
fms_buffer_table(void)
{
	if (!OidIsValid(table))
		table = get_relname_relid("execution_spans", get_namespace_oid("flowmaestro", true));
	return table;
}

/*
 * The slot of this database, taken if it has none.  NULL if the library is not
 * preloaded, or all slots are taken.
 */
FmsSlot *
fms_buffer_slot(void)
{
	if (my_slot == NULL && fms_control != NULL)
		my_slot = fms_slot_find(MyDatabaseId, true);
	return my_slot;
}

/* Count a record that is lost, and say so, at most once a minute. */
void
fms_buffer_dropped(const char *reason)
{
	static TimestampTz warned_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	fms_slot_count(fms_buffer_slot(), FMS_DROPPED, 1);
	if (warned_at != 0 && !TimestampDifferenceExceeds(warned_at, now, WARN_EVERY_MS))
		return;
	warned_at = now;
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("span record dropped: %s", reason),
			 errdetail("Further drops of this session are counted in flowmaestro.stats and not warned about for a minute.")));
}

/*
 * The encoded event, valid until the next call.  The scratch is in
 * TopMemoryContext and forgotten before it is allocated anew, so that an
 * out-of-memory error leaves no pointer to what is freed.
 */
static const char *
encode(const FmsEvent *event, size_t bytes)
{
	if (bytes > scratch_bytes)
	{
		if (scratch != NULL)
			pfree(scratch);
		scratch = NULL;
		scratch_bytes = 0;
		scratch = MemoryContextAlloc(TopMemoryContext, Max(bytes, 8192));
		scratch_bytes = Max(bytes, 8192);
	}
	fms_event_encode(event, scratch);
	return scratch;
}

/* Do not keep a big scratch for the rest of the session. */
static void
trim_scratch(void)
{
	if (scratch_bytes <= SCRATCH_KEEP)
		return;
	pfree(scratch);
	scratch = NULL;
	scratch_bytes = 0;
}

/*
 * Whether a store to the file failed a moment ago: some file systems look for a
 * block for 20 ms before they say that there is none, and the lock is held.
 */
static bool
disk_was_full(void)
{
	uint64		until = pg_atomic_read_u64(&my_slot->disk_full_until);

	return unlikely(until != 0) && GetCurrentTimestamp() < (TimestampTz) until;
}

/* Note how a store to the file ended. */
static void
note_store(bool done)
{
	TimestampTz until = 0;

	if (!done)
		until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), NO_SPACE_MS);
	if (!done || unlikely(pg_atomic_read_u64(&my_slot->disk_full_until) != 0))
		pg_atomic_write_u64(&my_slot->disk_full_until, (uint64) until);
}

/*
 * Append bytes if there is room now, and have the writer woken if it is time.
 * Sets refusal if there is none.
 */
static bool
try_append(const char *body, uint32 length, uint32 checksum)
{
	uint64		tail;
	uint64		pending;
	bool		done = false;
	bool		room = false;
	bool		wake;
	bool		urgent;
	bool		alone;
	FmsRing    *ring;

	LWLockAcquire(my_slot->lock, LW_EXCLUSIVE);
	tail = pg_atomic_read_u64(&my_slot->file_tail);
	ring = fms_attach_follow(my_slot);
	if (ring != NULL && !disk_was_full())
	{
		done = fms_guard_append(ring, tail, &my_slot->head, body, length, checksum, &room);
		note_store(done);
	}
	if (room)
		my_slot->recorded++;
	pending = my_slot->recorded - pg_atomic_read_u64(&my_slot->flushed);
	alone = my_slot->seat[FMS_SEAT_WRITER].latch == NULL;
	wake = !my_slot->seat[FMS_SEAT_WRITER].wanted && (pending >= (uint64) fms_batch_size || alone);
	urgent = !my_slot->urgent && (my_slot->head - tail > my_slot->bytes / URGENT_PART ||
								  pending > (uint64) fms_max_active_spans / 2);
	LWLockRelease(my_slot->lock);
	if (wake && alone)
		fms_buffer_keep();
	if (wake || urgent)
		fms_slot_want_writer(my_slot, urgent);
	refusal = ring == NULL ? unmapped : done ? full : no_space;
	return room;
}

/* How often the writer moved on: what fms_buffer_wait waits for. */
uint64
fms_buffer_moves(void)
{
	return pg_atomic_read_u64(&my_slot->moves);
}

/*
 * The writer moved on: places in memory or room in the ring are free.  Calls
 * that slept go first.  The count is raised before blocked_since is cleared, as
 * blocked_since() wants it.
 */
void
fms_buffer_moved(void)
{
	uint32		sleepers = pg_atomic_exchange_u32(&my_slot->sleepers, 0);

	pg_atomic_write_u64(&my_slot->favour_ends,
						(uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FAVOUR_MS));
	pg_atomic_write_u32(&my_slot->favoured, sleepers);
	pg_atomic_fetch_add_u64(&my_slot->moves, 1);
	pg_atomic_write_u64(&my_slot->blocked_since, 0);
	ConditionVariableBroadcast(&my_slot->changed);
}

/*
 * Since when calls have found no room while the writer did not move; "now" if
 * this call is the first.  A move between the caller's look at "moves" and here
 * may have cleared the time before this call set it: then it is taken back.
 */
static TimestampTz
blocked_since(uint64 moves, TimestampTz now)
{
	uint64		since = 0;
	uint64		mine = (uint64) now;

	if (!pg_atomic_compare_exchange_u64(&my_slot->blocked_since, &since, mine))
		return (TimestampTz) since;
	if (fms_buffer_moves() != moves)
		(void) pg_atomic_compare_exchange_u64(&my_slot->blocked_since, &mine, 0);
	return now;
}

/*
 * Whether the room that there may be is for calls that waited for it: a call
 * that comes now must not take it before they have woken up.
 */
static bool
others_first(void)
{
	if (likely(pg_atomic_read_u32(&my_slot->favoured) == 0))
		return false;
	if (GetCurrentTimestamp() < (TimestampTz) pg_atomic_read_u64(&my_slot->favour_ends))
		return true;
	pg_atomic_write_u32(&my_slot->favoured, 0);
	return false;
}

/* A call that had slept got its room: it is no longer one that goes first. */
static void
leave_favoured(void)
{
	uint32		favoured = pg_atomic_read_u32(&my_slot->favoured);

	while (favoured > 0 &&
		   !pg_atomic_compare_exchange_u32(&my_slot->favoured, &favoured, favoured - 1))
		;
}

/*
 * Have the writer work and wait until it moved on since fms_buffer_moves() was
 * "moves", at most until *until, which the first of a caller's waits sets to
 * flowmaestro.full_wait from now.  False: that time is over.  Interruptible.
 *
 * Nobody waits for a writer that stands still: one that did not move for
 * STANDSTILL_MS, or for full_wait of the session if that is longer, although
 * calls found no room.  It must not slow every call down.
 */
bool
fms_buffer_wait(uint64 moves, TimestampTz *until)
{
	static uint32 wait_event = 0;
	TimestampTz now = GetCurrentTimestamp();
	bool		behind = others_first();
	TimestampTz since = behind ? now : blocked_since(moves, now);
	TimestampTz standstill = TimestampTzPlusMilliseconds(since, Max(fms_full_wait, STANDSTILL_MS));
	bool		first = *until == 0;
	long		ms;

	if (wait_event == 0)
		wait_event = fms_wait_event("FlowmaestroBufferFull");
	if (first)
		*until = TimestampTzPlusMilliseconds(now, fms_full_wait);
	if (fms_buffer_moves() != moves)
		return true;
	ms = TimestampDifferenceMilliseconds(now, Min(*until, standstill));
	if (ms <= 0)
		return false;
	if (first)
		fms_slot_count(my_slot, FMS_WAITED, 1);
	if (behind)
		ms = Min(ms, FAVOUR_MS);
	fms_slot_want_writer(my_slot, true);
	ConditionVariablePrepareToSleep(&my_slot->changed);
	if (fms_buffer_moves() == moves)
		(void) ConditionVariableTimedSleep(&my_slot->changed, ms, wait_event);
	ConditionVariableCancelSleep();
	return true;
}

/* Append bytes, waiting for room if there is none and "wait" is set. */
static bool
append_patiently(const char *body, uint32 length, uint32 checksum, bool wait)
{
	TimestampTz until = 0;
	uint64		moves;

	do
	{
		refusal = full;
		moves = fms_buffer_moves();
		if ((until != 0 || !others_first()) && try_append(body, length, checksum))
		{
			if (until != 0)
				leave_favoured();
			return true;
		}
		if (refusal != full)
			return false;
		if (wait && fms_full_wait > 0)
			pg_atomic_fetch_add_u32(&my_slot->sleepers, 1);
	} while (wait && fms_buffer_wait(moves, &until));
	return false;
}

/*
 * Append an event to the ring, with "wait" waiting for room at most
 * flowmaestro.full_wait.  Returns false if there was none.  The caller must
 * have attached.  Can be interrupted while it waits.
 */
bool
fms_buffer_try_append(const FmsEvent *event, bool wait)
{
	size_t		bytes = fms_event_encoded_size(event);
	const char *body = encode(event, bytes);
	bool		appended;

	appended = append_patiently(body, bytes, fms_ring_checksum(body, bytes), wait);
	trim_scratch();
	return appended;
}

/* Count a record that was just refused, and say so with the reason. */
void
fms_buffer_refused(void)
{
	fms_buffer_dropped(refusal);
}

/*
 * Append an encoded event, if there is room, without waiting or an error, and
 * have it written at once: for the end of a transaction.  The caller has
 * attached before.
 */
void
fms_buffer_append_encoded(const char *body, size_t bytes)
{
	if (try_append(body, bytes, fms_ring_checksum(body, bytes)))
		fms_slot_want_writer(my_slot, true);
	else
		fms_buffer_refused();
}

/* Where the records begin that still wait. */
uint64
fms_buffer_tail(void)
{
	return pg_atomic_read_u64(&my_slot->tail);
}

/* Where the records end now: those before it can be read. */
uint64
fms_buffer_head(void)
{
	uint64		head;

	(void) fms_buffer_waiting(&head);
	return head;
}

/* How many records wait, and in *head where they end. */
uint64
fms_buffer_waiting(uint64 *head)
{
	uint64		waiting;

	LWLockAcquire(my_slot->lock, LW_SHARED);
	*head = my_slot->head;
	waiting = my_slot->recorded - pg_atomic_read_u64(&my_slot->flushed);
	LWLockRelease(my_slot->lock);
	return waiting;
}

/*
 * Records of a slot that wait.  Both counts are read under the lock: no record
 * can be appended and acknowledged between the two, which would make the
 * difference negative.
 */
uint64
fms_buffer_pending(FmsSlot *slot)
{
	uint64		pending;

	LWLockAcquire(slot->lock, LW_SHARED);
	pending = slot->recorded - pg_atomic_read_u64(&slot->flushed);
	LWLockRelease(slot->lock);
	return pending;
}

/*
 * Have the file know the tail; by the writer only.  If the disk has no room even
 * for that, the records before the tail are not overwritten until it has: this
 * is tried again with each batch.  The lock keeps the file from being replaced.
 */
void
fms_buffer_keep_tail(void)
{
	uint64		tail = pg_atomic_read_u64(&my_slot->tail);
	FmsRing    *ring;

	if (tail == pg_atomic_read_u64(&my_slot->file_tail) || disk_was_full())
		return;
	LWLockAcquire(my_slot->lock, LW_SHARED);
	ring = fms_attach_current(my_slot);
	if (ring != NULL && fms_guard_acknowledge(ring, tail))
		pg_atomic_write_u64(&my_slot->file_tail, tail);
	else if (ring != NULL)
		note_store(false);
	LWLockRelease(my_slot->lock);
}

/*
 * Let go of the records before a position, and tell who waits.  Only the writer
 * calls this, after its commit.  The counts are right before the tail moves:
 * who sees the new tail sees that these records no longer wait.
 */
void
fms_buffer_acknowledge(uint64 position, uint64 records)
{
	pg_atomic_fetch_add_u64(&my_slot->flushed, records);
	pg_write_barrier();
	pg_atomic_write_u64(&my_slot->tail, position);
	fms_buffer_keep_tail();
	fms_buffer_moved();
}

/* What flush() waits for, read under the slot's lock. */
typedef struct FlushState
{
	uint64		head;
	uint64		left;
	uint64		start_failures;
	char		last_error[FMS_ERROR_BYTES];
} FlushState;

/* Read what flush() waits for. */
static void
read_flush_state(FmsSlot *slot, FlushState *state)
{
	LWLockAcquire(slot->lock, LW_SHARED);
	state->head = slot->head;
	state->left = pg_atomic_read_u64(&slot->left);
	state->start_failures = slot->start_failures;
	strlcpy(state->last_error, slot->last_error, sizeof(state->last_error));
	LWLockRelease(slot->lock);
}

/* Raise the error that there is no worker for a writer, or for the launcher. */
static void
fail_to_start(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("could not start the span writer"),
			 errdetail("The spans stay in the buffer until it can be started."),
			 errhint("You might need to increase max_worker_processes.")));
}

/*
 * Raise an error if nobody is there to start a writer.  *seen is when a launcher
 * was up last, or when the wait began.
 */
static void
check_launcher(TimestampTz *seen)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot flush the span buffer in single-user mode"),
				 errdetail("No writer can run there.  The spans stay in the buffer and are written when the server has been started."),
				 errhint("Set \"flowmaestro.write_mode\" to \"transactional\" to write spans at once.")));
	if (fms_slot_has_launcher())
		*seen = now;
	else if (TimestampDifferenceExceeds(*seen, now, LAUNCHER_MS))
		fail_to_start();
}

/*
 * Raise an error if what was recorded can't be written for now.  One failed
 * flush may have begun before the caller's records were there; a second one is
 * about them too.
 */
static void
check_flush(FmsSlot *slot, const FlushState *before, uint64 errors_before)
{
	FlushState	now;

	read_flush_state(slot, &now);
	if (now.start_failures != before->start_failures)
		fail_to_start();
	if (pg_atomic_read_u64(&slot->counter[FMS_FLUSH_ERRORS]) > errors_before + 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not flush the span buffer: %s", now.last_error),
				 errdetail("The spans stay in the buffer; the writer tries again.")));
}

/* Whether what was there before is in the table, and counted. */
static bool
is_flushed(FmsSlot *slot, const FlushState *before)
{
	return pg_atomic_read_u64(&slot->tail) >= before->head &&
		pg_atomic_read_u64(&slot->left_done) >= before->left;
}

/* Wait until everything that was recorded before now is in the table, and counted. */
static void
wait_for_flush(FmsSlot *slot)
{
	FlushState	before;
	TimestampTz launcher_seen = GetCurrentTimestamp();
	uint64		errors = pg_atomic_read_u64(&slot->counter[FMS_FLUSH_ERRORS]);
	uint32		wait_event = fms_wait_event("FlowmaestroFlush");

	read_flush_state(slot, &before);
	if (is_flushed(slot, &before))
		return;
	ConditionVariablePrepareToSleep(&slot->changed);
	while (!is_flushed(slot, &before))
	{
		check_launcher(&launcher_seen);
		check_flush(slot, &before, errors);
		fms_slot_want_writer(slot, true);
		(void) ConditionVariableTimedSleep(&slot->changed, 1000, wait_event);
	}
	ConditionVariableCancelSleep();
}

/* Whether there is no writer, and nobody who could start one. */
bool
fms_buffer_lacks_writer(void)
{
	bool		up;

	LWLockAcquire(my_slot->lock, LW_SHARED);
	up = my_slot->seat[FMS_SEAT_WRITER].latch != NULL;
	LWLockRelease(my_slot->lock);
	return !up && !fms_slot_has_launcher();
}

/* Wait until the records before a position are written, at most until a time. */
static void
wait_for_tail(uint64 head, TimestampTz until)
{
	uint32		wait_event = fms_wait_event("FlowmaestroFlush");
	long		ms;

	ConditionVariablePrepareToSleep(&my_slot->changed);
	while (pg_atomic_read_u64(&my_slot->tail) < head &&
		   (ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until)) > 0)
		(void) ConditionVariableTimedSleep(&my_slot->changed, ms, wait_event);
	ConditionVariableCancelSleep();
}

/*
 * Wait until what was recorded before now is written, at most as long as for
 * room in the buffer.  Interruptible.  The caller has attached.
 *
 * A session that waited in vain does not wait again before the writer has
 * moved, nor for a writer that cannot run.
 */
void
fms_buffer_settle(void)
{
	static bool in_vain = false;
	static uint64 in_vain_at = 0;
	uint64		head = fms_buffer_head();

	if (pg_atomic_read_u64(&my_slot->tail) >= head)
		return;
	if ((in_vain && fms_buffer_moves() == in_vain_at) || fms_full_wait == 0 || fms_buffer_lacks_writer())
		return;
	fms_slot_count(my_slot, FMS_WAITED, 1);
	fms_slot_want_writer(my_slot, true);
	wait_for_tail(head, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), fms_full_wait));
	in_vain = pg_atomic_read_u64(&my_slot->tail) < head;
	in_vain_at = fms_buffer_moves();
}

/*
 * flush() returns void
 *
 * Waits, interruptibly; raises an error if no writer can run, if it failed
 * twice meanwhile, or if records wait in a file that this process can't map.
 * Without a buffer there is nothing to wait for.
 */
Datum
fms_flush(PG_FUNCTION_ARGS)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot flush spans during recovery"),
				 errhint("Spans are recorded on the primary server.")));
	if (fms_buffer_attach())
		wait_for_flush(my_slot);
	else if (fms_buffer_slot() != NULL && fms_buffer_pending(my_slot) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not map the span buffer file"),
				 errhint("The server log tells why.")));
	PG_RETURN_VOID();
}
