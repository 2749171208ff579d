/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  Recording in the caller's own transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_RECORD_TRANSACTION_H
#define FMS_RECORD_TRANSACTION_H

#include "span/event.h"

/* what became of a whole span, a resource or a scope */
typedef enum FmsTaken
{
	FMS_TAKEN,
	FMS_TAKEN_BEFORE,			/* the span has ended: nothing to do */
	FMS_TAKEN_FULL,				/* no room in the buffer */
	FMS_TAKEN_REFUSED			/* recording is off, or can't be done here */
} FmsTaken;

/* events that are written together */
typedef struct FmsGroup FmsGroup;

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

#endif							/* FMS_RECORD_TRANSACTION_H */
