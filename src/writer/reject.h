/*-------------------------------------------------------------------------
 *
 * reject.h
 *	  Rows that the table refuses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WRITER_REJECT_H
#define FMS_WRITER_REJECT_H

#include "writer/apply.h"

extern void fms_reject_apply(FmsRow **rows, int count, FmsApplied *applied);
extern bool fms_reject_is_transient(const ErrorData *error);
extern int64 fms_reject_retry(bool blocked_only, int64 *left);

#endif							/* FMS_WRITER_REJECT_H */
