/*-------------------------------------------------------------------------
 *
 * end.h
 *	  What happens at the end of a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_END_H
#define FMS_END_H

extern void fms_end_watch(void);

#endif							/* FMS_END_H */
