/*-------------------------------------------------------------------------
 *
 * service.c
 *	  Background workers of which the cluster has one of a kind.
 *
 * The library adds its services when it is preloaded.  The launcher starts
 * one whenever the settings want it and it does not run: at the server's
 * start, after a reload, and when it has ended.  So a service is turned on and
 * off by a reload, and takes a worker's place only while it is on.  It looks
 * at the settings itself and leaves when it is no longer wanted; it never
 * restarts by itself.
 *
 * A launcher can be another than the one that started a service, so a running
 * service is known by its process id in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "buffer/slot.h"
#include "worker/service.h"

#define QUIET_MS 60000			/* between looks when nothing is to be started */
#define HEALTHY_MS 10000		/* a service that lives this long forgives all */
#define FIRST_BACKOFF_MS 1000
#define LAST_BACKOFF_MS 60000

/* what the launcher knows of a service */
typedef struct Running
{
	BackgroundWorkerHandle *handle; /* NULL: none was started, or it is gone */
	TimestampTz started_at;
	TimestampTz retry_at;		/* not before */
	int			backoff_ms;
} Running;

static const FmsService *services[FMS_MAX_SERVICES];
static int	service_count = 0;
static Running running[FMS_MAX_SERVICES];

/* Add a service; from _PG_init when preloaded.  It has to live for ever. */
void
fms_service_add(const FmsService *service)
{
	Assert(service_count < FMS_MAX_SERVICES);
	services[service_count++] = service;
}

/* The settings have changed: whatever failed before can be tried now. */
void
fms_service_forgive(void)
{
	for (int i = 0; i < service_count; i++)
	{
		running[i].backoff_ms = 0;
		running[i].retry_at = 0;
	}
}

/* Whether a service runs, or is on its way. */
static bool
is_running(int number)
{
	Running    *mine = &running[number];
	TimestampTz now = GetCurrentTimestamp();
	bool		entered;
	pid_t		pid;

	if (mine->handle != NULL && GetBackgroundWorkerPid(mine->handle, &pid) == BGWH_STOPPED)
	{
		pfree(mine->handle);
		mine->handle = NULL;
		if (TimestampDifferenceExceeds(mine->started_at, now, HEALTHY_MS))
			mine->backoff_ms = 0;
		mine->backoff_ms = Min(Max(mine->backoff_ms * 2, FIRST_BACKOFF_MS), LAST_BACKOFF_MS);
		mine->retry_at = TimestampTzPlusMilliseconds(now, mine->backoff_ms);
	}
	LWLockAcquire(fms_control->lock, LW_SHARED);
	entered = fms_control->service_pid[number] != 0;
	LWLockRelease(fms_control->lock);
	return mine->handle != NULL || entered;
}

/* Ask the postmaster for a service; false if there is no free worker. */
static bool
start(int number)
{
	const FmsService *service = services[number];
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, service->library, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, service->function, BGW_MAXLEN);
	strlcpy(worker.bgw_name, service->name, BGW_MAXLEN);
	strlcpy(worker.bgw_type, service->name, BGW_MAXLEN);
	worker.bgw_main_arg = Int32GetDatum(number);
	worker.bgw_notify_pid = MyProcPid;
	running[number].started_at = GetCurrentTimestamp();
	return RegisterDynamicBackgroundWorker(&worker, &running[number].handle);
}

/*
 * Start what is wanted; from the launcher.  Returns how long nothing needs to
 * be looked at, in ms.
 */
long
fms_service_look_round(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		next = QUIET_MS;

	for (int i = 0; i < service_count; i++)
	{
		if (is_running(i) || !services[i]->wanted())
			continue;
		if (running[i].retry_at > now)
			next = Min(next, TimestampDifferenceMilliseconds(now, running[i].retry_at));
		else if (!start(i))
		{
			running[i].retry_at = TimestampTzPlusMilliseconds(now, LAST_BACKOFF_MS);
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("could not start the %s: no free background worker", services[i]->name),
					 errhint("You might need to increase max_worker_processes.")));
		}
	}
	return next;
}

/* This process is no longer the service. */
static void
leave(int code, Datum number)
{
	LWLockAcquire(fms_control->lock, LW_EXCLUSIVE);
	fms_control->service_pid[DatumGetInt32(number)] = 0;
	LWLockRelease(fms_control->lock);
	fms_slot_wake_launcher();
}

/*
 * Become the service, before anything else is done; from the worker's entry
 * point with its argument.  If the service runs already, the process ends.
 */
void
fms_service_enter(Datum number)
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
