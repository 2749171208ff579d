/*-------------------------------------------------------------------------
 *
 * attach.h
 *	  A process's mapping of its database's ring; for buffer.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_BUFFER_ATTACH_H
#define FMS_BUFFER_ATTACH_H

#include "buffer/ring.h"
#include "buffer/slot.h"

extern FmsRing *fms_attach_current(FmsSlot *slot);
extern FmsRing *fms_attach_follow(FmsSlot *slot);

#endif							/* FMS_BUFFER_ATTACH_H */
