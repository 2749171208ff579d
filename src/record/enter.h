/*-------------------------------------------------------------------------
 *
 * enter.h
 *	  The current span of a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_RECORD_ENTER_H
#define FMS_RECORD_ENTER_H

extern void fms_enter_end_at_commit(void);
extern void fms_enter_end_at_abort(SubTransactionId from);

#endif							/* FMS_RECORD_ENTER_H */
