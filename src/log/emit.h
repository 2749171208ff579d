/*-------------------------------------------------------------------------
 *
 * emit.h
 *	  The hook through which every line of the server's log goes; for this
 *	  room alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_LOG_EMIT_H
#define FMS_LOG_EMIT_H

/* the member with those fields of an application that have the name of another member */
#define FMS_LOG_FIELDS "fields"

typedef enum FmsLogFormat
{
	FMS_LOG_OFF,
	FMS_LOG_JSON,
	FMS_LOG_CORRELATE
} FmsLogFormat;

/* levels as pino numbers them */
typedef enum FmsLogLevel
{
	FMS_LEVEL_TRACE = 10,
	FMS_LEVEL_DEBUG = 20,
	FMS_LEVEL_INFO = 30,
	FMS_LEVEL_WARN = 40,
	FMS_LEVEL_ERROR = 50,
	FMS_LEVEL_FATAL = 60
} FmsLogLevel;

extern int	fms_log_format;		/* GUC, FmsLogFormat */

extern bool fms_log_is_own_member(const char *name, int length);
extern void fms_log_application(int level, const char *message, const char *members);

#endif							/* FMS_LOG_EMIT_H */
