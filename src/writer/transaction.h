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

extern void fms_transaction_watch(void);
extern bool fms_transaction_record(FmsEvent *event);
extern FmsTaken fms_transaction_take(FmsEvent *event);

#endif							/* FMS_WRITER_TRANSACTION_H */
