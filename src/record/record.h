/*-------------------------------------------------------------------------
 *
 * record.h
 *	  Where an event goes: into the buffer, or into the caller's transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_RECORD_RECORD_H
#define FMS_RECORD_RECORD_H

#include "record/transaction.h"

extern bool fms_record(FmsEvent *event);
extern FmsTaken fms_record_take(FmsEvent *event, FmsGroup *group, bool wait, const char **reason);
extern FmsGroup *fms_record_begin(void);
extern int64 fms_record_finish(FmsGroup *group);
extern void fms_record_end_at_abort(FmsEvent *event);
extern void fms_record_truncated(void);

#endif							/* FMS_RECORD_RECORD_H */
