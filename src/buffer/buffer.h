/*-------------------------------------------------------------------------
 *
 * buffer.h
 *	  Records on their way from a session to the writer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_BUFFER_BUFFER_H
#define FMS_BUFFER_BUFFER_H

#include "buffer/ring.h"
#include "buffer/slot.h"
#include "span/event.h"

extern int	fms_buffer_size;	/* GUC, kilobytes */
extern int	fms_batch_size;		/* GUC, records */
extern int	fms_full_wait;		/* GUC, milliseconds */

extern void fms_buffer_define_settings(bool preloading);
extern void fms_buffer_shmem_request(void);
extern void fms_buffer_shmem_startup(void);
extern void fms_buffer_relation_changed(Oid relation);
extern PGDLLEXPORT Oid fms_buffer_table(void);
extern PGDLLEXPORT FmsSlot *fms_buffer_slot(void);
extern bool fms_buffer_attach(void);
extern bool fms_buffer_try_append(const FmsEvent *event, bool wait);
extern void fms_buffer_append_encoded(const char *body, size_t bytes);
extern void fms_buffer_settle(void);
extern void fms_buffer_dropped(const char *reason);
extern void fms_buffer_refused(void);
extern bool fms_buffer_lacks_writer(void);
extern uint64 fms_buffer_moves(void);
extern bool fms_buffer_wait(uint64 moves, TimestampTz *until);

/* for the writer */
extern const FmsRing *fms_buffer_ring(void);
extern uint64 fms_buffer_tail(void);
extern uint64 fms_buffer_head(void);
extern uint64 fms_buffer_waiting(uint64 *head);
extern uint64 fms_buffer_pending(FmsSlot *slot);
extern void fms_buffer_moved(void);
extern void fms_buffer_keep(void);
extern void fms_buffer_keep_tail(void);
extern void fms_buffer_acknowledge(uint64 position, uint64 records);

#endif							/* FMS_BUFFER_BUFFER_H */
