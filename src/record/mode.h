/*-------------------------------------------------------------------------
 *
 * mode.h
 *	  Whether spans are recorded, and by which way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_RECORD_MODE_H
#define FMS_RECORD_MODE_H

extern bool fms_mode_enabled;	/* GUC */

extern void fms_mode_define_settings(void);
extern bool fms_mode_is_buffered(void);

#endif							/* FMS_RECORD_MODE_H */
