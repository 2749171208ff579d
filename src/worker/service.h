/*-------------------------------------------------------------------------
 *
 * service.h
 *	  Background workers of which the cluster has one of a kind.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WORKER_SERVICE_H
#define FMS_WORKER_SERVICE_H

typedef struct FmsService
{
	const char *name;			/* of the worker, as pg_stat_activity shows it */
	const char *library;		/* loaded by the worker only */
	const char *function;		/* its entry point; the argument is for fms_service_enter */
	bool		(*wanted) (void);	/* whether the settings want it now */
} FmsService;

extern void fms_service_add(const FmsService *service);
extern void fms_service_forgive(void);
extern long fms_service_look_round(void);
extern PGDLLEXPORT void fms_service_enter(Datum number);

#endif							/* FMS_WORKER_SERVICE_H */
