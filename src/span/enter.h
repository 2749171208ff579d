/*-------------------------------------------------------------------------
 *
 * enter.h
 *	  The current span of a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_ENTER_H
#define FMS_SPAN_ENTER_H

extern void fms_enter_watch(void);

#endif							/* FMS_SPAN_ENTER_H */
