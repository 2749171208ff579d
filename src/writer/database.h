/*-------------------------------------------------------------------------
 *
 * database.h
 *	  Statements that want a database for themselves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WRITER_DATABASE_H
#define FMS_WRITER_DATABASE_H

extern void fms_database_install_hook(void);

#endif							/* FMS_WRITER_DATABASE_H */
