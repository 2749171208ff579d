/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The background worker that starts the others (supervisor.c).
 *
 * One in a cluster, connected to no database.  What it has to survive is: CREATE
 * and DROP EXTENSION, committed or not; DROP DATABASE, failed or not; CREATE
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
#include "access/htup_details.h"
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
#include "worker/launcher.h"
#include "worker/supervisor.h"

#define LIBRARY "flowmaestro_spans"
#define RESTART_S 1				/* of the launcher itself */
#define SWEEP_MS (60 * 60 * 1000)

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

	/*
	 * in this order: a file made meanwhile belongs to a database that is
	 * listed
	 */
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
		fms_slot_want_all(slot);
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
		ms = fms_supervisor_look_round();
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			fms_supervisor_forgive();
		}
	}
	proc_exit(1);				/* 1: start it again, if the server goes on */
}
