/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  Recording in the caller's own transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WRITER_TRANSACTION_H
#define FMS_WRITER_TRANSACTION_H

#include "span/span.h"

extern void fms_transaction_committed(void);
extern void fms_transaction_before_prepare(void);
extern void fms_transaction_prepared(void);
extern void fms_transaction_rolled_back(void);
extern void fms_transaction_sub_committed(int level);
extern void fms_transaction_sub_rolled_back(int level);
extern bool fms_transaction_record(FmsEvent *event);
extern FmsGroup *fms_transaction_begin(void);
extern FmsTaken fms_transaction_take(FmsEvent *event, FmsGroup *group);
extern int64 fms_transaction_finish(FmsGroup *group);

#endif							/* FMS_WRITER_TRANSACTION_H */
