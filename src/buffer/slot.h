/*-------------------------------------------------------------------------
 *
 * slot.h
 *	  Shared memory: one slot for each database that records spans.
 *
 * A slot is taken when a session of the database records for the first time,
 * or when the launcher finds the database's file, and is given back when the
 * database is dropped.  Its fields are guarded as told beside them; "lock"
 * also admits one append at a time to the ring.
 *
 * Order of locks: control lock, a slot's lock, a lock of tracked.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_BUFFER_SLOT_H
#define FMS_BUFFER_SLOT_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "limit.h"
#include "buffer/file.h"

#define FMS_MAX_DATABASES FMS_LIMIT(256, 2) /* that can record: an LWLock and
											 * a slot each */
#define FMS_MAX_SERVICES 4
#define FMS_PARTITIONS_WANTED FMS_LIMIT(16, 1)	/* that sessions can ask for
												 * at the same time */
#define FMS_ERROR_BYTES 256		/* of a message kept, with its end; longer
								 * ones are cut */

/* what is left in pause_ms by a process that died, or was told to go */
#define FMS_PAUSE_AS_FAILED (-1)
#define FMS_PAUSE_AS_TOLD (-2)

/* since the slot was taken, so at most since the server's start; not in any file */
typedef enum FmsCounter
{
	FMS_WRITTEN,
	FMS_UPDATED,
	FMS_COALESCED,
	FMS_WAITED,
	FMS_DROPPED,
	FMS_DAMAGED,
	FMS_TRUNCATED,
	FMS_REJECTED,
	FMS_DUPLICATE_ENDS,
	FMS_ORPHAN_ENDS,
	FMS_CLAMPED_ENDS,
	FMS_UNTRACKED,
	FMS_EVICTED,
	FMS_FLUSHES,
	FMS_FLUSH_ERRORS,
	FMS_FLUSH_TIME_US,			/* microseconds, of all flushes */
	FMS_EXPORT_SENT,
	FMS_EXPORT_REJECTED,
	FMS_EXPORT_REFUSED,
	FMS_EXPORT_GONE,
	FMS_EXPORT_REQUESTS,
	FMS_EXPORT_FAILURES,
	FMS_COUNTERS
} FmsCounter;

/* the processes that a database has, at most one of each */
typedef enum FmsSeatKind
{
	FMS_SEAT_WRITER,
	FMS_SEAT_EXPORTER,
	FMS_SEATS
} FmsSeatKind;

/* between the launcher, a process and who needs one; the slot's lock */
typedef struct FmsSeat
{
	Latch	   *latch;			/* NULL: the process is not up */
	int			pid;
	bool		wanted;			/* there may be work for it */
	int			pause_ms;		/* before the next one, as the last one left
								 * it */
} FmsSeat;

/* how the export goes; the slot's lock */
typedef struct FmsExport
{
	TimestampTz succeeded_at;	/* 0: never */
	TimestampTz failed_at;		/* 0: never */
	char		last_error[FMS_ERROR_BYTES];	/* of the last request; ""
												 * after a good one */
} FmsExport;

typedef struct FmsSlot
{
	LWLock	   *lock;			/* set once */
	Oid			database;		/* InvalidOid: free; control lock */
	bool		ready;			/* the ring was found or made; lock */
	uint64		head;			/* of the ring; lock */
	uint64		recorded;		/* records ever appended; lock */
	uint64		bytes;			/* of the ring; lock */
	FmsFileId	file;			/* that holds the ring; lock */
	uint32		generation;		/* counts the files; lock */
	pg_atomic_uint64 tail;		/* what comes before it is committed; moved by
								 * the writer */
	pg_atomic_uint64 file_tail; /* as in the file; what comes before it can be
								 * overwritten */
	pg_atomic_uint64 flushed;	/* records ever acknowledged */
	pg_atomic_uint32 seen_table;	/* whose directory seen.c has all entries
									 * of */
	pg_atomic_uint64 moves;		/* batches committed and acknowledgements */
	pg_atomic_uint64 blocked_since; /* a call found no room, and no move
									 * since; 0: none */
	pg_atomic_uint32 sleepers;	/* calls that went to sleep for room since the
								 * last move */
	pg_atomic_uint32 favoured;	/* calls that had slept at the last move and
								 * go first */
	pg_atomic_uint64 favour_ends;	/* when they no longer do */
	pg_atomic_uint64 left;		/* transactions that left work to the writer */
	pg_atomic_uint64 left_done; /* of these, what the writer has done */
	pg_atomic_uint64 disk_full_until;	/* no store to the file is tried
										 * before; 0: all go well */
	ConditionVariable changed;	/* moves, or the outcome of a flush, changed */
	pg_atomic_uint64 counter[FMS_COUNTERS];

	/* between the launcher, the processes and who needs one; lock */
	FmsSeat		seat[FMS_SEATS];
	bool		urgent;			/* somebody waits for the writer, or will soon
								 * have to */
	int			suspended;		/* sessions that want no process here now */
	uint64		start_failures; /* writers that could not be started */
	int			partitions_wanted;	/* that sessions asked the writer for */
	TimestampTz partition_wanted[FMS_PARTITIONS_WANTED];	/* a time of each */
	char		last_error[FMS_ERROR_BYTES];	/* of a flush; "" after a good
												 * one */
	FmsExport	export;
} FmsSlot;

typedef struct FmsControl
{
	LWLock	   *lock;
	Latch	   *launcher_latch; /* NULL: no launcher is up; lock */
	pg_atomic_uint32 starving;	/* a writer waits for a worker's place */
	int			service_pid[FMS_MAX_SERVICES];	/* 0: it does not run; lock */
	FmsSlot		slot[FMS_MAX_DATABASES];
} FmsControl;

extern FmsControl *fms_control; /* NULL: not preloaded */

extern Size fms_slot_shmem_size(void);
extern void fms_slot_shmem_init(LWLockPadded *locks);
extern FmsSlot *fms_slot_find(Oid database, bool create);
extern void fms_slot_free(Oid database);
extern void fms_slot_flush_failed(FmsSlot *slot, const char *error);
extern void fms_slot_count(FmsSlot *slot, FmsCounter counter, uint64 n);
extern void fms_slot_want_writer(FmsSlot *slot, bool urgent);
extern void fms_slot_leave_work(FmsSlot *slot);
extern void fms_slot_want_exporter(FmsSlot *slot);
extern void fms_slot_want_all(FmsSlot *slot);
extern bool fms_slot_wake(FmsSlot *slot);
extern bool fms_slot_take_seat(FmsSlot *slot, FmsSeatKind kind);
extern void fms_slot_leave_seat(FmsSlot *slot, FmsSeatKind kind, bool wanted);
extern void fms_slot_wake_launcher(void);
extern bool fms_slot_has_launcher(void);

#endif							/* FMS_BUFFER_SLOT_H */
