/*-------------------------------------------------------------------------
 *
 * supervisor.c
 *	  Background workers that the launcher keeps running.
 *
 * The library adds its services when it is preloaded, of two kinds.  Of the one
 * every database that records has a worker, while its slot wants one: its main
 * argument is the database, and it takes its seat in the slot.  Of the other the
 * cluster has one, while the settings want it: its main argument is for
 * fms_supervisor_enter, and its process id is in shared memory.  A worker leaves
 * by itself when it is not wanted, and takes a worker's place only while it runs;
 * it never restarts by itself.
 *
 * A launcher can be another than the one that started a worker, so one that runs
 * is known by what shared memory says.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "worker/supervisor.h"

#define QUIET_MS 60000			/* between looks when nothing is to be started */
#define HEALTHY_MS 10000		/* a worker that lives this long forgives all */
#define FIRST_BACKOFF_MS 1000
#define LAST_BACKOFF_MS 60000
#define WARN_EVERY_MS 60000

/* what the launcher knows of a worker */
typedef struct Worker
{
	Oid			database;		/* of the slot when it was started */
	BackgroundWorkerHandle *handle; /* NULL: none was started, or it is gone */
	TimestampTz started_at;
	TimestampTz retry_at;		/* not before */
	int			backoff_ms;
} Worker;

/* what a slot says, read under its lock */
typedef struct Wish
{
	Oid			database;
	bool		wanted;
	bool		suspended;
} Wish;

static const FmsService *services[FMS_MAX_SERVICES];
static int	service_count = 0;
static Worker workers[FMS_MAX_SERVICES][FMS_MAX_DATABASES]; /* the first of each, if
															 * there is one in all */

/* Add a service; from _PG_init when preloaded.  It has to live for ever. */
void
fms_supervisor_add(const FmsService *service)
{
	Assert(service_count < FMS_MAX_SERVICES);
	services[service_count++] = service;
}

/*
 * The settings have changed: what failed before and stands in them can be tried
 * now.
 */
void
fms_supervisor_forgive(void)
{
	for (int n = 0; n < service_count; n++)
	{
		if (services[n]->each_database)
			continue;
		workers[n][0].backoff_ms = 0;
		workers[n][0].retry_at = 0;
	}
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

/* Whether a worker has ended since it was last looked at. */
static bool
worker_has_ended(Worker *worker)
{
	pid_t		pid;

	if (worker->handle == NULL || GetBackgroundWorkerPid(worker->handle, &pid) != BGWH_STOPPED)
		return false;
	pfree(worker->handle);
	worker->handle = NULL;
	return true;
}

/* Ask the postmaster for a worker; false if there is no free one. */
static bool
start_worker(const FmsService *service, Worker *worker, Datum argument)
{
	BackgroundWorker registered = {0};

	registered.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	registered.bgw_start_time = BgWorkerStart_RecoveryFinished;
	registered.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(registered.bgw_library_name, service->library, BGW_MAXLEN);
	strlcpy(registered.bgw_function_name, service->function, BGW_MAXLEN);
	strlcpy(registered.bgw_name, service->name, BGW_MAXLEN);
	if (service->each_database)
		snprintf(registered.bgw_name, BGW_MAXLEN, "%s for database %u", service->name,
				 worker->database);
	strlcpy(registered.bgw_type, service->name, BGW_MAXLEN);
	registered.bgw_main_arg = argument;
	registered.bgw_notify_pid = MyProcPid;
	worker->started_at = GetCurrentTimestamp();
	return RegisterDynamicBackgroundWorker(&registered, &worker->handle);
}

/* Tell the log that there is no free worker, once in a while. */
static void
report_starvation(const FmsService *service)
{
	static TimestampTz warned_at[FMS_MAX_SERVICES] = {0};
	TimestampTz now = GetCurrentTimestamp();
	int			n = 0;

	while (services[n] != service)
		n++;
	if (warned_at[n] != 0 && !TimestampDifferenceExceeds(warned_at[n], now, WARN_EVERY_MS))
		return;
	warned_at[n] = now;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("could not start a %s: no free background worker", service->name),
			 service->each_database ? errdetail("Spans wait until one is free.") : 0,
			 errhint("You might need to increase max_worker_processes.")));
}

/* Tell who waits for a flush that no writer can be started. */
static void
count_start_failure(FmsSlot *slot)
{
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	slot->start_failures++;
	LWLockRelease(slot->lock);
	ConditionVariableBroadcast(&slot->changed);
}

/* Read whether a slot wants a worker of a service. */
static Wish
wish_of(const FmsService *service, FmsSlot *slot)
{
	Wish		wish;

	LWLockAcquire(fms_control->lock, LW_SHARED);
	wish.database = slot->database;
	LWLockRelease(fms_control->lock);
	LWLockAcquire(slot->lock, LW_SHARED);
	wish.wanted = slot->seat[service->seat].wanted;
	wish.suspended = slot->suspended > 0;
	LWLockRelease(slot->lock);
	wish.wanted = wish.wanted && (service->wanted == NULL || service->wanted());
	return wish;
}

/* Whether a slot has a worker of a service, or one on its way. */
static bool
slot_has_worker(const FmsService *service, Worker *worker, FmsSlot *slot)
{
	FmsSeat    *seat = &slot->seat[service->seat];

	if (worker_has_ended(worker))
	{
		set_backoff(worker, seat->pause_ms);
		/* a writer that cannot even start has told nobody why */
		if (service->seat == FMS_SEAT_WRITER && seat->pause_ms == FMS_PAUSE_AS_FAILED)
			fms_slot_flush_failed(slot, "the span writer died, see the server's log");
	}
	return worker->handle != NULL || seat->pid != 0;
}

/*
 * Start a worker of a service for a slot if it is wanted and its time has come.
 * Until the worker says something else it has died: it can do so before it gets
 * to its seat.  Lowers *next to the time, in ms, after which to look again.
 * Returns false if there is no free worker.
 */
static bool
look_at_slot(const FmsService *service, Worker *worker, FmsSlot *slot, long *next)
{
	Wish		wish = wish_of(service, slot);
	TimestampTz now = GetCurrentTimestamp();

	if (!OidIsValid(wish.database) || slot_has_worker(service, worker, slot))
		return true;
	if (worker->database != wish.database)
		memset(worker, 0, sizeof(*worker)); /* another life of the slot */
	if (!wish.wanted || wish.suspended)
		return true;
	if (worker->retry_at > now)
	{
		*next = Min(*next, TimestampDifferenceMilliseconds(now, worker->retry_at));
		return true;
	}
	worker->database = wish.database;
	slot->seat[service->seat].pause_ms = FMS_PAUSE_AS_FAILED;
	if (start_worker(service, worker, ObjectIdGetDatum(wish.database)))
		return true;
	if (service->seat == FMS_SEAT_WRITER)
		count_start_failure(slot);
	report_starvation(service);
	*next = Min(*next, FIRST_BACKOFF_MS);
	return false;
}

/* The same for the one worker of a service that the cluster has. */
static void
look_at_single(int number, long *next)
{
	const FmsService *service = services[number];
	Worker	   *worker = &workers[number][0];
	TimestampTz now = GetCurrentTimestamp();
	bool		entered;

	if (worker_has_ended(worker))
		set_backoff(worker, FMS_PAUSE_AS_FAILED);
	LWLockAcquire(fms_control->lock, LW_SHARED);
	entered = fms_control->service_pid[number] != 0;
	LWLockRelease(fms_control->lock);
	if (worker->handle != NULL || entered || !service->wanted())
		return;
	if (worker->retry_at > now)
		*next = Min(*next, TimestampDifferenceMilliseconds(now, worker->retry_at));
	else if (!start_worker(service, worker, Int32GetDatum(number)))
	{
		worker->retry_at = TimestampTzPlusMilliseconds(now, LAST_BACKOFF_MS);
		report_starvation(service);
	}
}

/*
 * Start what is wanted; from the launcher.  Where a database's worker finds no
 * place, all of them see whether they can make some.  Returns how long nothing
 * needs to be looked at, in ms.
 */
long
fms_supervisor_look_round(void)
{
	long		next = QUIET_MS;
	bool		starving = false;

	for (int n = 0; n < service_count; n++)
	{
		if (!services[n]->each_database)
			look_at_single(n, &next);
		for (int i = 0; services[n]->each_database && i < FMS_MAX_DATABASES; i++)
		{
			CHECK_FOR_INTERRUPTS();
			starving |= !look_at_slot(services[n], &workers[n][i], &fms_control->slot[i], &next);
		}
	}
	pg_atomic_write_u32(&fms_control->starving, starving ? 1 : 0);
	for (int i = 0; starving && i < FMS_MAX_DATABASES; i++)
		(void) fms_slot_wake(&fms_control->slot[i]);
	return next;
}

/* This process is no longer the one of its service. */
static void
leave(int code, Datum number)
{
	LWLockAcquire(fms_control->lock, LW_EXCLUSIVE);
	fms_control->service_pid[DatumGetInt32(number)] = 0;
	LWLockRelease(fms_control->lock);
	fms_slot_wake_launcher();
}

/*
 * Become the one worker of a service, before anything else is done; from its
 * entry point with its argument.  If there is one already, the process ends.
 */
void
fms_supervisor_enter(Datum number)
{
	int		   *pid = &fms_control->service_pid[DatumGetInt32(number)];
	bool		entered;

	LWLockAcquire(fms_control->lock, LW_EXCLUSIVE);
	entered = *pid == 0;
	if (entered)
		*pid = MyProcPid;
	LWLockRelease(fms_control->lock);
	if (!entered)
		proc_exit(0);
	before_shmem_exit(leave, number);
}
