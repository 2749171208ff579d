/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The background worker that starts writers, exporters and the services
 *	  (service.c).
 *
 * One in a cluster, connected to no database.  It starts a writer for each
 * database whose slot wants one, and an exporter if spans are to be exported.
 * What it has to survive is: CREATE and
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
#include "otlp/outbox.h"
#include "worker/launcher.h"
#include "worker/service.h"

#define LIBRARY "flowmaestro_spans"
#define RESTART_S 1				/* of the launcher itself */
#define ROUND_MS 60000
#define SWEEP_MS (60 * 60 * 1000)
#define HEALTHY_MS 10000		/* a worker that lives this long forgives all */
#define FIRST_BACKOFF_MS 1000
#define LAST_BACKOFF_MS 60000
#define WARN_EVERY_MS 60000

/* the workers that a slot can have */
typedef enum Kind
{
	WRITER,
	EXPORTER,
	KINDS
} Kind;

static const struct
{
	const char *function;
	const char *name;
}			kinds[] = {
	{"fms_writer_main", "flowmaestro_spans writer"},
	{"fms_exporter_main", "flowmaestro_spans otlp exporter"},
};

/* what the launcher knows of a worker of a slot */
typedef struct Worker
{
	Oid			database;		/* of the slot when it was started */
	BackgroundWorkerHandle *handle; /* NULL: none was started, or it is gone */
	TimestampTz started_at;
	TimestampTz retry_at;		/* not before */
	int			backoff_ms;
} Worker;

static Worker workers[KINDS][FMS_MAX_DATABASES];

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

/*
 * Ask the postmaster for a worker of a slot; false if there is no free one.
 * Until it says something else, a writer has died: it can do so before it gets
 * to the slot.
 */
static bool
start_worker(Kind kind, Worker *mine, FmsSlot *slot, Oid database)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, kinds[kind].function, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s for database %u", kinds[kind].name, database);
	strlcpy(worker.bgw_type, kinds[kind].name, BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	mine->database = database;
	mine->started_at = GetCurrentTimestamp();
	if (kind == WRITER)
		slot->pause_ms = FMS_PAUSE_AS_FAILED;
	return RegisterDynamicBackgroundWorker(&worker, &mine->handle);
}

/* Tell that there is no free worker: the log, and who flushes. */
static void
report_starvation(Kind kind, FmsSlot *slot)
{
	static TimestampTz warned_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (kind == WRITER)
	{
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		slot->start_failures++;
		LWLockRelease(slot->lock);
		ConditionVariableBroadcast(&slot->changed);
	}
	if (warned_at != 0 && !TimestampDifferenceExceeds(warned_at, now, WARN_EVERY_MS))
		return;
	warned_at = now;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 kind == WRITER
			 ? errmsg("could not start a span writer: no free background worker")
			 : errmsg("could not start a span exporter: no free background worker"),
			 errdetail("Spans wait until one is free."),
			 errhint("You might need to increase max_worker_processes.")));
}

/*
 * Decide how long after the last worker the next one can start: as long as the
 * last one said, or, if that failed too early, longer each time.
 */
static void
set_backoff(Worker *worker, int pause_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	if (pause_ms >= 0)
		worker->backoff_ms = pause_ms;
	else if (TimestampDifferenceExceeds(worker->started_at, now, HEALTHY_MS))
		worker->backoff_ms = 0;
	else
		worker->backoff_ms = Min(Max(worker->backoff_ms * 2, FIRST_BACKOFF_MS), LAST_BACKOFF_MS);
	worker->retry_at = TimestampTzPlusMilliseconds(now, worker->backoff_ms);
}

/* Whether a slot has a worker of a kind, or one on its way. */
static bool
has_worker(Kind kind, Worker *worker, FmsSlot *slot)
{
	pid_t		pid;

	if (worker->handle != NULL &&
		GetBackgroundWorkerPid(worker->handle, &pid) == BGWH_STOPPED)
	{
		pfree(worker->handle);
		worker->handle = NULL;
		set_backoff(worker, kind == WRITER ? slot->pause_ms : slot->export.pause_ms);
		/* one that cannot even start has told nobody why */
		if (kind == WRITER && slot->pause_ms == FMS_PAUSE_AS_FAILED)
			fms_slot_flush_failed(slot, "the span writer died, see the server's log");
	}
	/* one that a launcher before this one has started counts as well */
	return worker->handle != NULL || (kind == WRITER ? slot->writer_pid : slot->export.pid) != 0;
}

/* What a slot says, read under its lock. */
typedef struct Wish
{
	Oid			database;
	bool		wanted;
	bool		suspended;
} Wish;

/* Read whether a slot wants a worker of a kind. */
static Wish
wish_of(Kind kind, FmsSlot *slot)
{
	Wish		wish;

	LWLockAcquire(fms_control->lock, LW_SHARED);
	wish.database = slot->database;
	LWLockRelease(fms_control->lock);
	LWLockAcquire(slot->lock, LW_SHARED);
	wish.wanted = kind == WRITER ? slot->wanted : slot->export.wanted && fms_outbox_is_on();
	wish.suspended = slot->suspended > 0;
	LWLockRelease(slot->lock);
	return wish;
}

/* Have every worker see whether it can make place. */
static void
wake_workers(void)
{
	for (int i = 0; i < FMS_MAX_DATABASES; i++)
	{
		FmsSlot    *slot = &fms_control->slot[i];

		LWLockAcquire(slot->lock, LW_SHARED);
		if (slot->writer_latch != NULL)
			SetLatch(slot->writer_latch);
		if (slot->export.latch != NULL)
			SetLatch(slot->export.latch);
		LWLockRelease(slot->lock);
	}
}

/*
 * Start a worker of a kind for a slot if it is wanted and its time has come.
 * Lowers *next to the time, in ms, after which to look again.  Returns false
 * if there is no free worker.
 */
static bool
look_at_slot(Kind kind, int i, long *next)
{
	FmsSlot    *slot = &fms_control->slot[i];
	Worker	   *worker = &workers[kind][i];
	Wish		wish = wish_of(kind, slot);
	TimestampTz now = GetCurrentTimestamp();

	if (!OidIsValid(wish.database) || has_worker(kind, worker, slot))
		return true;
	if (worker->database != wish.database)
		memset(worker, 0, sizeof(*worker)); /* another life of the slot */
	if (!wish.wanted || wish.suspended)
		return true;
	if (worker->retry_at > now)
		*next = Min(*next, TimestampDifferenceMilliseconds(now, worker->retry_at));
	else if (!start_worker(kind, worker, slot, wish.database))
	{
		report_starvation(kind, slot);
		*next = Min(*next, FIRST_BACKOFF_MS);
		return false;
	}
	return true;
}

/* Start what is wanted.  Returns how long nothing needs to be looked at, in ms. */
static long
look_round(void)
{
	long		next = ROUND_MS;
	bool		starving = false;

	for (Kind kind = WRITER; kind < KINDS; kind++)
	{
		for (int i = 0; i < FMS_MAX_DATABASES; i++)
		{
			CHECK_FOR_INTERRUPTS();
			starving |= !look_at_slot(kind, i, &next);
		}
	}
	pg_atomic_write_u32(&fms_control->starving, starving ? 1 : 0);
	if (starving)
		wake_workers();
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
 * earlier life of the server left, and an exporter, which sends what it left.
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
		slot->export.wanted = true;
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
		ms = Min(look_round(), fms_service_look_round());
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			fms_service_forgive();
		}
	}
	proc_exit(1);				/* 1: start it again, if the server goes on */
}
