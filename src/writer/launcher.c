/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The background worker that starts writers.
 *
 * One in a cluster, connected to no database.  It starts a writer for each
 * database whose slot wants one, and what it has to survive is: CREATE and
 * DROP EXTENSION, committed or not; DROP DATABASE, failed or not; CREATE
 * DATABASE with a template that records; ALTER DATABASE RENAME; databases
 * that allow no connections; no free worker; and all of them at once.
 *
 * It can't see which databases have the extension.  A database whose writer
 * finds none is asked again when somebody records there, and once an hour.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "buffer/file.h"
#include "writer/launcher.h"

#define LIBRARY "flowmaestro_spans"
#define RESTART_S 1				/* of the launcher itself */
#define ROUND_MS 60000
#define SWEEP_MS (60 * 60 * 1000)
#define HEALTHY_MS 10000		/* a writer that lives this long forgives all */
#define FIRST_BACKOFF_MS 1000
#define LAST_BACKOFF_MS 60000
#define WARN_EVERY_MS 60000

/* what the launcher knows of the writer of a slot */
typedef struct Writer
{
	Oid			database;		/* of the slot when it was started */
	BackgroundWorkerHandle *handle; /* NULL: none was started, or it is gone */
	TimestampTz started_at;
	TimestampTz retry_at;		/* not before */
	int			backoff_ms;
} Writer;

static Writer writers[FMS_MAX_DATABASES];

/* Register the launcher with the postmaster; from _PG_init. */
void
fms_launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_S;
	strlcpy(worker.bgw_library_name, LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "fms_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "flowmaestro_spans launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "flowmaestro_spans launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* Ask the postmaster for a writer; false if there is no free worker. */
static bool
start_writer(Writer *writer, Oid database)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "fms_writer_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "flowmaestro_spans writer for database %u", database);
	strlcpy(worker.bgw_type, "flowmaestro_spans writer", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	writer->database = database;
	writer->started_at = GetCurrentTimestamp();
	return RegisterDynamicBackgroundWorker(&worker, &writer->handle);
}

/* Tell that there is no free worker: the log, idle writers, and who flushes. */
static void
report_starvation(FmsSlot *slot)
{
	static TimestampTz warned_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	slot->start_failures++;
	LWLockRelease(slot->lock);
	ConditionVariableBroadcast(&slot->changed);
	if (warned_at != 0 && !TimestampDifferenceExceeds(warned_at, now, WARN_EVERY_MS))
		return;
	warned_at = now;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("could not start a span writer: no free background worker"),
			 errdetail("Spans wait in the buffer until one is free."),
			 errhint("You might need to increase max_worker_processes.")));
}

/*
 * Decide how long after the last writer the next one can start: as long as the
 * last one said, or, if that failed too early, longer each time.
 */
static void
set_backoff(Writer *writer, int pause_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	if (pause_ms != FMS_PAUSE_AS_FAILED)
		writer->backoff_ms = pause_ms;
	else if (TimestampDifferenceExceeds(writer->started_at, now, HEALTHY_MS))
		writer->backoff_ms = 0;
	else
		writer->backoff_ms = Min(Max(writer->backoff_ms * 2, FIRST_BACKOFF_MS), LAST_BACKOFF_MS);
	writer->retry_at = TimestampTzPlusMilliseconds(now, writer->backoff_ms);
}

/* Whether a slot has a writer, or one on its way. */
static bool
has_writer(Writer *writer, FmsSlot *slot)
{
	pid_t		pid;

	if (writer->handle != NULL &&
		GetBackgroundWorkerPid(writer->handle, &pid) == BGWH_STOPPED)
	{
		pfree(writer->handle);
		writer->handle = NULL;
		set_backoff(writer, slot->pause_ms);
	}
	/* one that a launcher before this one has started counts as well */
	return writer->handle != NULL || slot->writer_pid != 0;
}

/* What a slot says, read under its lock. */
typedef struct Wish
{
	Oid			database;
	bool		wanted;
	bool		suspended;
} Wish;

/* Read what a slot wants. */
static Wish
wish_of(FmsSlot *slot)
{
	Wish		wish;

	LWLockAcquire(fms_control->lock, LW_SHARED);
	wish.database = slot->database;
	LWLockRelease(fms_control->lock);
	LWLockAcquire(slot->lock, LW_SHARED);
	wish.wanted = slot->wanted;
	wish.suspended = slot->suspended > 0;
	LWLockRelease(slot->lock);
	return wish;
}

/* Have every writer see whether it can make place. */
static void
wake_writers(void)
{
	for (int i = 0; i < FMS_MAX_DATABASES; i++)
	{
		FmsSlot    *slot = &fms_control->slot[i];

		LWLockAcquire(slot->lock, LW_SHARED);
		if (slot->writer_latch != NULL)
			SetLatch(slot->writer_latch);
		LWLockRelease(slot->lock);
	}
}

/* Start what is wanted.  Returns how long nothing needs to be looked at, in ms. */
static long
look_round(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		next = ROUND_MS;
	bool		starving = false;

	for (int i = 0; i < FMS_MAX_DATABASES; i++)
	{
		FmsSlot    *slot = &fms_control->slot[i];
		Writer	   *writer = &writers[i];
		Wish		wish = wish_of(slot);

		CHECK_FOR_INTERRUPTS();
		if (!OidIsValid(wish.database) || has_writer(writer, slot))
			continue;
		if (writer->database != wish.database)
			memset(writer, 0, sizeof(*writer)); /* another life of the slot */
		if (!wish.wanted || wish.suspended)
			continue;
		if (writer->retry_at > now)
			next = Min(next, TimestampDifferenceMilliseconds(now, writer->retry_at));
		else if (!start_writer(writer, wish.database))
		{
			starving = true;
			report_starvation(slot);
			next = Min(next, FIRST_BACKOFF_MS);
		}
	}
	pg_atomic_write_u32(&fms_control->starving, starving ? 1 : 0);
	if (starving)
		wake_writers();
	return next;
}

/* The oids of all databases, in the current context. */
static List *
existing_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *databases = NIL;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		databases = lappend_oid(databases, ((Form_pg_database) GETSTRUCT(tuple))->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

/*
 * Go through the files: one of a database that is gone is removed; a database
 * with a file gets a writer, which looks after partitions and writes what an
 * earlier life of the server left.
 */
static void
sweep_files(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "flowmaestro_spans sweep",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *files = fms_file_databases();
	List	   *databases;
	ListCell   *cell;

	/* in this order: a file made meanwhile belongs to a database that is listed */
	databases = existing_databases();
	foreach(cell, files)
	{
		FmsSlot    *slot;

		if (!list_member_oid(databases, lfirst_oid(cell)))
		{
			fms_file_remove(lfirst_oid(cell));
			continue;
		}
		slot = fms_slot_find(lfirst_oid(cell), true);
		if (slot == NULL)
			continue;
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		slot->wanted = true;
		LWLockRelease(slot->lock);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* This process no longer launches. */
static void
leave_control(int code, Datum arg)
{
	LWLockAcquire(fms_control->lock, LW_EXCLUSIVE);
	fms_control->launcher_latch = NULL;
	LWLockRelease(fms_control->lock);
}

/* Entry point of the launcher. */
void
fms_launcher_main(Datum arg)
{
	TimestampTz swept = 0;
	uint32		wait_event;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(leave_control, (Datum) 0);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	LWLockAcquire(fms_control->lock, LW_EXCLUSIVE);
	fms_control->launcher_latch = MyLatch;
	LWLockRelease(fms_control->lock);
	wait_event = fms_wait_event("FlowmaestroLauncherMain");
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	while (!ShutdownRequestPending)
	{
		TimestampTz now = GetCurrentTimestamp();
		long		ms;

		if (swept == 0 || TimestampDifferenceExceeds(swept, now, SWEEP_MS))
		{
			sweep_files();
			swept = now;
		}
		ms = look_round();
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	proc_exit(1);				/* 1: start it again, if the server goes on */
}
