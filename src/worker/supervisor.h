/*-------------------------------------------------------------------------
 *
 * supervisor.h
 *	  Background workers that the launcher keeps running.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WORKER_SUPERVISOR_H
#define FMS_WORKER_SUPERVISOR_H

#include "buffer/slot.h"

typedef struct FmsService
{
	const char *name;			/* of the worker, as pg_stat_activity shows it */
	const char *library;		/* loaded by the worker only */
	const char *function;		/* its entry point */
	bool		each_database;	/* one for each database that records, else
								 * one in all */
	FmsSeatKind seat;			/* of one in each database: where it sits in a
								 * slot */
	bool		(*wanted) (void);	/* whether the settings want it now; NULL:
									 * always */
} FmsService;

extern void fms_supervisor_add(const FmsService *service);
extern void fms_supervisor_forgive(void);
extern long fms_supervisor_look_round(void);
extern PGDLLEXPORT void fms_supervisor_enter(Datum number);

#endif							/* FMS_WORKER_SUPERVISOR_H */
