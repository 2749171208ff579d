/*-------------------------------------------------------------------------
 *
 * left.h
 *	  What transactions leave to the writer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WORKER_LEFT_H
#define FMS_WORKER_LEFT_H

#include "buffer/slot.h"

extern bool fms_left_waits(FmsSlot *slot);
extern void fms_left_work(void *arg);
extern void fms_left_install_hook(void);

#endif							/* FMS_WORKER_LEFT_H */
