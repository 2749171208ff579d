/*-------------------------------------------------------------------------
 *
 * writer.h
 *	  The background worker that writes one database's spans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WORKER_WRITER_H
#define FMS_WORKER_WRITER_H

extern int	fms_flush_interval; /* GUC, milliseconds */

extern void fms_writer_pin_settings(void);
extern ErrorData *fms_writer_attempt(void (*work) (void *), void *arg);
extern void fms_writer_define_settings(void);
extern void fms_writer_add(void);
extern PGDLLEXPORT void fms_writer_main(Datum database);

#endif							/* FMS_WORKER_WRITER_H */
