/*-------------------------------------------------------------------------
 *
 * display.h
 *	  Text that is safe to show and keeps its columns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_DISPLAY_H
#define FMS_TRACE_DISPLAY_H

#include "lib/stringinfo.h"

/* longest text of a duration or a number, with its end */
#define FMS_DISPLAY_BYTES 32

extern bool fms_display_unicode(void);
extern int	fms_display_append(StringInfo out, const char *data, int length, int columns,
							   bool unicode);
extern void fms_display_duration(char *buffer, int64 us);
extern void fms_display_count(char *buffer, int64 count);

#endif							/* FMS_TRACE_DISPLAY_H */
