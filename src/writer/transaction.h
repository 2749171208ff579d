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
extern FmsTaken fms_transaction_take(FmsEvent *event);

#endif							/* FMS_WRITER_TRANSACTION_H */
