/*-------------------------------------------------------------------------
 *
 * reject.h
 *	  Rows that the table refuses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_REJECT_H
#define FMS_TABLE_REJECT_H

#include "table/upsert.h"

/* how long a writer waits for a lock */
#define FMS_LOCK_TIMEOUT "200ms"

extern void fms_reject_apply(FmsRow **rows, int count, FmsApplied *applied);
extern bool fms_reject_is_transient(const ErrorData *error);
extern bool fms_reject_has_blocked(void);
extern int64 fms_reject_retry(bool blocked_only);

#endif							/* FMS_TABLE_REJECT_H */
