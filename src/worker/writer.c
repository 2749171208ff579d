/*-------------------------------------------------------------------------
 *
 * writer.c
 *	  The background worker that writes one database's spans.
 *
 * The launcher starts it when there is work; it leaves when there has been
 * none for a while, when another database waits for a worker's place, when a
 * session wants the database for itself (database.c), or when it is told to.
 * It never restarts by itself: it exits, and the launcher decides.
 *
 * It is connected as superuser, so it pins every setting that a database or a
 * role could use to change what it does, and works as the tables' owner.
 *
 * SIGTERM only sets a flag: the batch in flight is finished, what waits is
 * written for DRAIN_MS at most, the rest stays in the ring.  Locks are waited
 * for FMS_LOCK_TIMEOUT at most, so that a shutdown is never held up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "table/directory.h"
#include "table/owner.h"
#include "table/pace.h"
#include "table/partition.h"
#include "table/reject.h"
#include "table/wanted.h"
#include "worker/flush.h"
#include "worker/left.h"
#include "worker/supervisor.h"
#include "worker/writer.h"

#define DRAIN_MS 1000
#define PAUSE_MS 50				/* for a batch to grow, or for a lock to go */
#define FIRST_BACKOFF_MS 100
#define LAST_BACKOFF_MS 10000
#define CANCELLED_MS 20			/* after a cancel, which is no failure */
#define IDLE_EXIT_MS (5 * 60 * 1000)
#define MAINTENANCE_MS (60 * 60 * 1000)
#define DROPS_OF_TRANSACTION FMS_LIMIT(8, 1)	/* partitions that retention
												 * drops at once */
#define HOMELESS_MS 1000		/* before the extension is looked for again */
#define MAINTENANCE_RETRY_MS (60 * 1000)
#define RETRY_BLOCKED_MS 5000
#define WATCH_SEEN_MS 1000
#define REPORT_BUSY_MS 5000		/* of a table that is locked */

int			fms_flush_interval = 5000;

static int	backoff_ms = 0;		/* 0: the last batch was good */

/* What a writer runs with, whatever ALTER DATABASE or ALTER ROLE say. */
static const char *const pinned[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"role", "none"},
	{"session_replication_role", "replica"},
	{"row_security", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"default_table_access_method", "heap"},
	{"lock_timeout", FMS_LOCK_TIMEOUT},
	{"statement_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"transaction_timeout", "0"},
	{"synchronous_commit", "off"},	/* fms_flush_settle waits for the disk */
	{"work_mem", "64MB"},
	{"timezone", "UTC"},
	{"datestyle", "ISO, YMD"},
	{"intervalstyle", "postgres"},
	{"bytea_output", "hex"},
	{"jit", "off"},
	{"enable_indexscan", "on"},
	{"enable_bitmapscan", "on"},
	{"plan_cache_mode", "auto"},
	{"max_parallel_workers_per_gather", "0"},
	{"client_min_messages", "warning"},
	{"default_statistics_target", "100"},
	{"flowmaestro.enabled", "on"},
};

/* Define the writer's setting; when the library is loaded. */
void
fms_writer_define_settings(void)
{
	DefineCustomIntVariable("flowmaestro.flush_interval",
							"Time after which the writer writes whatever is in the buffer.",
							NULL,
							&fms_flush_interval, 5000, 10, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
}

/*
 * Pin the settings of a worker that is connected to a database; one that this
 * server does not have is left alone.
 */
void
fms_writer_pin_settings(void)
{
	for (int i = 0; i < lengthof(pinned); i++)
	{
		if (GetConfigOption(pinned[i][0], true, false) != NULL)
			SetConfigOption(pinned[i][0], pinned[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
}

/* This process no longer writes. */
static void
leave_slot(int code, Datum arg)
{
	FmsSlot    *slot = (FmsSlot *) DatumGetPointer(arg);

	/* nobody watches over the filter of ids any more */
	pg_atomic_write_u32(&slot->seen_table, InvalidOid);
	fms_slot_leave_seat(slot, FMS_SEAT_WRITER, false);
}

/* Note that work is being looked at; false if the writer has to go. */
static bool
accept_work(FmsSlot *slot)
{
	bool		go_on;

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	slot->seat[FMS_SEAT_WRITER].wanted = false;
	slot->urgent = false;
	go_on = slot->suspended == 0;
	LWLockRelease(slot->lock);
	return go_on;
}

/* The last batch was good: there is no error to tell any more. */
static void
report_success(FmsSlot *slot)
{
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	slot->last_error[0] = '\0';
	LWLockRelease(slot->lock);
}

/*
 * Run a piece of work that throws.  Returns NULL, or after an error that error,
 * copied to the caller's memory context; it is logged and the transaction
 * aborted.
 */
ErrorData *
fms_writer_attempt(void (*work) (void *), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		work(arg);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		EmitErrorReport();
		LWLockReleaseAll();
		ConditionVariableCancelSleep();
		AbortOutOfAnyTransaction();
		FlushErrorState();
		pgstat_report_activity(STATE_IDLE, NULL);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return error;
}

/* One batch; *arg is its outcome. */
static void
flush_work(void *arg)
{
	*(FmsFlush *) arg = fms_flush_batch();
}

/*
 * Run a piece of work that throws; after an error, tell it and go on, a little
 * later each time unless it is tried another way.  A cancel is not told: nothing
 * is wrong with what was cancelled.  Returns false after an error.
 */
static bool
survive(FmsSlot *slot, void (*work) (void *), void *arg)
{
	ErrorData  *error = fms_writer_attempt(work, arg);
	bool		cancelled;
	bool		other_way;

	if (error == NULL)
	{
		backoff_ms = 0;
		return true;
	}
	cancelled = error->sqlerrcode == ERRCODE_QUERY_CANCELED;
	other_way = work == flush_work && fms_pace_failed(error->sqlerrcode);
	if (!cancelled)
		fms_slot_flush_failed(slot, error->message);
	FreeErrorData(error);
	if (cancelled)
		backoff_ms = CANCELLED_MS;
	else if (other_way)
		backoff_ms = FIRST_BACKOFF_MS;
	else
		backoff_ms = Min(Max(backoff_ms * 2, FIRST_BACKOFF_MS), LAST_BACKOFF_MS);
	return false;
}

/* Rows that were locked when their turn came. */
static void
retry_work(void *arg)
{
	fms_flush_retry_blocked();
}

/* Begin a transaction for a piece of work. */
static void
begin_work(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

/* Commit it. */
static void
end_work(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Keep the filter of ids right. */
static void
seen_work(void *arg)
{
	FmsFlush	outcome;

	begin_work("watching over ids");
	if (OidIsValid(fms_flush_lock_table(&outcome)))
		fms_directory_watch();
	end_work();
}

/*
 * What has to be done now and then: the next partition is wanted, and old ones
 * go, with what is known of their ids.  *arg tells whether there is more to drop.
 */
static void
maintenance_work(void *arg)
{
	FmsFlush	outcome;

	begin_work("keeping partitions");
	if (OidIsValid(fms_flush_lock_table(&outcome)))
	{
		fms_wanted_ahead();
		list_free_deep(fms_retention_apply(DROPS_OF_TRANSACTION, (bool *) arg));
		*(bool *) arg |= fms_retention_forget_ids();
	}
	end_work();
}

/* Learn which partitions sessions asked for. */
static void
requests_work(void *arg)
{
	FmsFlush	outcome;

	begin_work("keeping partitions");
	if (OidIsValid(fms_flush_lock_table(&outcome)))
		fms_wanted_take_requests();
	end_work();
}

/* a partition to be made, and what came of it */
typedef struct PartitionWork
{
	TimestampTz at;				/* a time of it */
	FmsFlush	outcome;
} PartitionWork;

/* Make a partition, unless somebody has the table. */
static void
partition_work(void *arg)
{
	PartitionWork *work = arg;

	begin_work("making a partition");
	if (OidIsValid(fms_flush_lock_table(&work->outcome)))
	{
		fms_partition_make(work->at, true);
		work->outcome = FMS_FLUSH_DONE;
	}
	end_work();
}

/* Whether the writer need not go: not yet, or not before "until", if that is set. */
static bool
may_go_on(FmsSlot *slot, TimestampTz until)
{
	if (slot->suspended > 0)
		return false;
	return until != 0 ? GetCurrentTimestamp() < until : !ShutdownRequestPending;
}

/*
 * Make the partitions that a batch lacks or that sessions asked for, each in a
 * transaction of its own.  Nothing is made while somebody has the table: the
 * batch that follows says so.
 */
static void
make_partitions(FmsSlot *slot, TimestampTz until)
{
	PartitionWork work;

	if (slot->partitions_wanted > 0)
	{
		ErrorData  *error = fms_writer_attempt(requests_work, NULL);

		if (error != NULL)
			FreeErrorData(error);
	}
	while (may_go_on(slot, until) && fms_wanted_next(&work.at))
	{
		ErrorData  *error = fms_writer_attempt(partition_work, &work);

		if (error == NULL && work.outcome != FMS_FLUSH_DONE)
			return;
		if (error == NULL)
			fms_wanted_made(work.at);
		else
		{
			fms_wanted_refused(work.at, error);
			FreeErrorData(error);
		}
		ConditionVariableBroadcast(&slot->changed);
	}
}

/*
 * Write what was recorded before now, in as many batches as it takes, unless
 * it does not go on; returns the outcome of the last one.  With "until", do
 * not begin a batch after that time.
 */
static FmsFlush
flush_all(FmsSlot *slot, TimestampTz until)
{
	uint64		head = fms_buffer_head();
	FmsFlush	outcome;

	do
	{
		make_partitions(slot, until);
		outcome = FMS_FLUSH_BUSY;
		if (!survive(slot, flush_work, &outcome))
			break;
		if (outcome == FMS_FLUSH_DONE && slot->last_error[0] != '\0')
			report_success(slot);
	} while ((outcome == FMS_FLUSH_DONE || outcome == FMS_FLUSH_PARTITIONS) &&
			 fms_flush_position() < head && may_go_on(slot, until));
	fms_flush_settle();
	return outcome;
}

/* Whether an interval that began at *since is over; begins a new one then. */
static bool
flush_is_due(TimestampTz *since, int ms)
{
	TimestampTz now = GetCurrentTimestamp();

	if (*since != 0 && !TimestampDifferenceExceeds(*since, now, ms))
		return false;
	*since = now;
	return true;
}

/* Sleep until there is work, at most "ms" milliseconds. */
static void
sleep_for(int ms)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = fms_wait_event("FlowmaestroWriterMain");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event);
	ResetLatch(MyLatch);
	/* there is no statement that could be cancelled */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * Sleep all of "ms", whoever sets the latch, unless the writer has to go or,
 * with "hurry", the work is urgent.
 */
static void
sleep_through(FmsSlot *slot, int ms, bool hurry)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	long		left;

	while (!ShutdownRequestPending && slot->suspended == 0 && !(hurry && slot->urgent) &&
		   (left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until)) > 0)
		sleep_for(left);
}

/* What is done besides writing batches, when it is time. */
static void
look_after_table(FmsSlot *slot)
{
	static TimestampTz maintained = 0;
	static TimestampTz retried = 0;
	static TimestampTz watched = 0;
	bool		more = false;

	if (flush_is_due(&watched, WATCH_SEEN_MS))
		(void) survive(slot, seen_work, NULL);
	/* what fails here comes again in its own time, and what is left at once */
	if (flush_is_due(&maintained, MAINTENANCE_MS))
	{
		while (survive(slot, maintenance_work, &more) && more && may_go_on(slot, 0) &&
			   fms_buffer_pending(slot) == 0)
			;
		if (backoff_ms > 0)
			maintained -= (int64) (MAINTENANCE_MS - MAINTENANCE_RETRY_MS) * 1000;
		else if (more)
			maintained = 0;
	}
	if (fms_left_waits(slot))
		(void) survive(slot, fms_left_work, NULL);
	if (fms_reject_has_blocked() && flush_is_due(&retried, RETRY_BLOCKED_MS))
		(void) survive(slot, retry_work, NULL);
	backoff_ms = 0;
}

/* Whether the writer has been without work for long enough to make place. */
static bool
is_idle(FmsSlot *slot)
{
	static TimestampTz active = 0;
	static uint64 last_flushed = 0;
	uint64		flushed = pg_atomic_read_u64(&slot->flushed);
	bool		pending = fms_buffer_pending(slot) > 0;

	if (active == 0 || pending || flushed != last_flushed)
		active = GetCurrentTimestamp();
	last_flushed = flushed;
	return !pending && (pg_atomic_read_u32(&fms_control->starving) != 0 ||
						TimestampDifferenceExceeds(active, GetCurrentTimestamp(), IDLE_EXIT_MS));
}

/* Tell whoever flushes that the table is not to be had, once in a while. */
static void
report_busy(FmsSlot *slot, bool busy)
{
	static TimestampTz since = 0;

	if (!busy)
		since = 0;
	else if (since == 0)
		since = GetCurrentTimestamp();
	else if (flush_is_due(&since, REPORT_BUSY_MS))
		fms_slot_flush_failed(slot, "execution_spans is locked by another session");
}

/* The writer's work until it has to go. */
static void
main_loop(FmsSlot *slot)
{
	while (!ShutdownRequestPending)
	{
		FmsFlush	outcome;

		if (!accept_work(slot))
		{
			slot->seat[FMS_SEAT_WRITER].pause_ms = 0;
			return;
		}
		outcome = flush_all(slot, 0);
		if (outcome == FMS_FLUSH_HOMELESS)
		{
			fms_slot_flush_failed(slot, "extension flowmaestro_spans is not there, or not yet committed");
			slot->seat[FMS_SEAT_WRITER].pause_ms = HOMELESS_MS;
			return;
		}
		if (backoff_ms > 0)
		{
			sleep_through(slot, backoff_ms, false);
			continue;
		}
		report_busy(slot, outcome == FMS_FLUSH_BUSY);
		if (outcome != FMS_FLUSH_BUSY)
		{
			look_after_table(slot);
			if (is_idle(slot))
			{
				slot->seat[FMS_SEAT_WRITER].pause_ms = 0;
				return;
			}
			sleep_for(fms_reject_has_blocked() ? Min(fms_flush_interval, RETRY_BLOCKED_MS) :
					  fms_flush_interval);
		}
		sleep_through(slot, PAUSE_MS, outcome != FMS_FLUSH_BUSY);
	}
}

/* Entry point of the writer of a database. */
void
fms_writer_main(Datum database)
{
	FmsSlot    *slot;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	slot = fms_slot_find(DatumGetObjectId(database), true);
	if (slot == NULL)
		proc_exit(0);
	if (!fms_slot_take_seat(slot, FMS_SEAT_WRITER))
	{
		slot->seat[FMS_SEAT_WRITER].pause_ms = FMS_PAUSE_AS_TOLD;
		proc_exit(0);
	}
	/* registered before the connection is made: it runs after its end */
	before_shmem_exit(leave_slot, PointerGetDatum(slot));
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	fms_writer_pin_settings();
	fms_table_waits = false;
	if (!fms_buffer_attach())
		proc_exit(0);
	main_loop(slot);
	if (ShutdownRequestPending)
	{
		slot->seat[FMS_SEAT_WRITER].pause_ms = FMS_PAUSE_AS_TOLD;
		(void) flush_all(slot, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), DRAIN_MS));
	}
	proc_exit(ShutdownRequestPending ? 1 : 0);
}

/* Have the launcher start a writer for each database that records; from _PG_init when preloaded. */
void
fms_writer_add(void)
{
	static const FmsService service = {
		.name = "flowmaestro_spans writer", .library = "flowmaestro_spans",
		.function = "fms_writer_main", .each_database = true, .seat = FMS_SEAT_WRITER
	};

	fms_supervisor_add(&service);
}
