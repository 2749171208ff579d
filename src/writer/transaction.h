/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  Recording in the caller's own transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WRITER_TRANSACTION_H
#define FMS_WRITER_TRANSACTION_H

#include "span/event.h"

extern void fms_transaction_watch(void);
extern bool fms_transaction_record(FmsEvent *event);

#endif							/* FMS_WRITER_TRANSACTION_H */
