/*-------------------------------------------------------------------------
 *
 * log.h
 *	  The server's log with the ids of the request that each line is about.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_LOG_LOG_H
#define FMS_LOG_LOG_H

/* called once each, when the library is loaded */
extern void fms_log_define_settings(void);
extern void fms_log_install_hook(void);

#endif							/* FMS_LOG_LOG_H */
