/*-------------------------------------------------------------------------
 *
 * record.h
 *	  Where an event goes: the recorder of span.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WRITER_RECORD_H
#define FMS_WRITER_RECORD_H

#include "buffer/tracked.h"
#include "span/span.h"

typedef enum FmsWriteMode
{
	FMS_MODE_BUFFERED,
	FMS_MODE_TRANSACTIONAL
} FmsWriteMode;

extern bool fms_enabled;		/* GUC */
extern int	fms_write_mode;		/* GUC, FmsWriteMode */

extern const FmsSpanRecorder fms_record_recorder;

extern FmsClaim fms_record_claim(FmsEvent *event);
extern bool fms_record_find(const pg_uuid_t *span_id, FmsSpanRef *ref);

#endif							/* FMS_WRITER_RECORD_H */
