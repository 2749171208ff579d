/*-------------------------------------------------------------------------
 *
 * database.h
 *	  Statements that want a database for themselves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WORKER_DATABASE_H
#define FMS_WORKER_DATABASE_H

extern void fms_database_install_hook(void);

#endif							/* FMS_WORKER_DATABASE_H */
