/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The background worker that starts writers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WORKER_LAUNCHER_H
#define FMS_WORKER_LAUNCHER_H

extern void fms_launcher_register(void);
extern PGDLLEXPORT void fms_launcher_main(Datum arg);

#endif							/* FMS_WORKER_LAUNCHER_H */
