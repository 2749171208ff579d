/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Access to a mapped ring that outlives a page which cannot be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_BUFFER_GUARD_H
#define FMS_BUFFER_GUARD_H

#include "buffer/ring.h"

extern void fms_guard_install(void);
extern bool fms_guard_fill(FmsRing *ring, const FmsRing *from);
extern bool fms_guard_format(FmsRing *ring, uint32 database, uint64 system_identifier,
							 uint64 start, uint64 random);
extern bool fms_guard_open(FmsRing *ring, uint32 database, uint64 system_identifier);
extern bool fms_guard_begin_life(FmsRing *ring, uint64 tail, uint64 head, uint64 random);
extern bool fms_guard_append(FmsRing *ring, uint64 tail, uint64 *head, const void *body,
							 uint32 length, uint32 checksum, bool *room);
extern FmsRingItem fms_guard_read(const FmsRing *ring, uint64 *position, uint64 limit,
								  const char **body, uint32 *length);
extern bool fms_guard_acknowledge(FmsRing *ring, uint64 position);

#endif							/* FMS_BUFFER_GUARD_H */
