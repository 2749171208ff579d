/*-------------------------------------------------------------------------
 *
 * tracked.h
 *	  Spans that run, and spans that ended but are not yet in the table.
 *
 * The entry of a span decides who starts it and who ends it: whoever changes
 * the entry first.  What it says and the span's records in the ring agree;
 * the records are made after the change, and a caller whose record could not
 * be made undoes the change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_BUFFER_TRACKED_H
#define FMS_BUFFER_TRACKED_H

#include "storage/lwlock.h"

#include "limit.h"
#include "span/event.h"

#define FMS_TRACKED_PARTITIONS FMS_LIMIT(16, 2) /* each with an LWLock of its
												 * own */

typedef enum FmsClaim
{
	FMS_CLAIM_MISSING,			/* no entry, and none was asked for */
	FMS_CLAIM_NEW,				/* an entry was made */
	FMS_CLAIM_FOUND,			/* an entry was there; *ref tells what it says */
	FMS_CLAIM_STUB,				/* a start met an entry that had none */
	FMS_CLAIM_ENDED,			/* an end met an entry that had ended */
	FMS_CLAIM_UNTRACKED			/* no entry, and no place for one */
} FmsClaim;

extern int	fms_max_active_spans;	/* GUC, fixed at the server's start */

extern Size fms_tracked_shmem_size(void);
extern void fms_tracked_shmem_init(LWLockPadded *locks);
extern bool fms_tracked_find(const FmsEvent *event, FmsSpanRef *ref);
extern FmsClaim fms_tracked_claim(const FmsEvent *event, bool create, FmsSpanRef *ref);
extern void fms_tracked_undo(const FmsEvent *event, FmsClaim claim);
extern void fms_tracked_forget(Oid table, const pg_uuid_t *span_id);
extern void fms_tracked_flushed(Oid table, const pg_uuid_t *span_id, bool ended);
extern void fms_tracked_prepared(Oid table, const pg_uuid_t *span_id, TransactionId xid);
extern void fms_tracked_resolve(void);
extern bool fms_tracked_stub_written(Oid table, const pg_uuid_t *span_id, bool ended);
extern void fms_tracked_purge(Oid database, Oid table);
extern uint64 fms_tracked_running(Oid table);
extern bool fms_tracked_started_between(Oid table, TimestampTz from, TimestampTz until);
extern pg_uuid_t *fms_tracked_of_trace(Oid table, const pg_uuid_t *trace_id, int *count);

#endif							/* FMS_BUFFER_TRACKED_H */
