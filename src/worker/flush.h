/*-------------------------------------------------------------------------
 *
 * flush.h
 *	  One batch from the ring into the table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WORKER_FLUSH_H
#define FMS_WORKER_FLUSH_H

typedef enum FmsFlush
{
	FMS_FLUSH_DONE,				/* a batch is written; there may be more */
	FMS_FLUSH_EMPTY,			/* there was nothing to write */
	FMS_FLUSH_PARTITIONS,		/* partitions are to be made first; see
								 * wanted.c */
	FMS_FLUSH_BUSY,				/* somebody is changing the table */
	FMS_FLUSH_HOMELESS			/* the extension is not there */
} FmsFlush;

extern Oid	fms_flush_lock_table(FmsFlush *outcome);
extern FmsFlush fms_flush_batch(void);
extern void fms_flush_settle(void);
extern uint64 fms_flush_position(void);
extern void fms_flush_retry_blocked(void);

#endif							/* FMS_WORKER_FLUSH_H */
