/*-------------------------------------------------------------------------
 *
 * pace.h
 *	  How many records the writer takes at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_PACE_H
#define FMS_TABLE_PACE_H

#include "limit.h"

#define FMS_BATCH_RECORDS FMS_LIMIT(20000, 10)

/* what can be done with a record that fails for want of resources */
typedef enum FmsResort
{
	FMS_RESORT_WAIT,			/* try again: it may be the server's state */
	FMS_RESORT_SET_ASIDE,		/* it failed again and again, alone */
	FMS_RESORT_DROP				/* it could not even be set aside */
} FmsResort;

extern uint64 fms_pace_records(void);
extern void fms_pace_begin(uint64 position, uint64 end, uint64 records);
extern void fms_pace_done(int64 us);
extern bool fms_pace_failed(int sqlerrcode);
extern FmsResort fms_pace_resort(void);
extern bool fms_pace_is_shortage(int sqlerrcode);

#endif							/* FMS_TABLE_PACE_H */
