/*-------------------------------------------------------------------------
 *
 * redact.h
 *	  Values that no log and no span may show, by the names of their keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_REDACT_H
#define FMS_SPAN_REDACT_H

#include "utils/guc.h"
#include "utils/jsonb.h"

/* what flowmaestro.redact_spans lists */
#define FMS_REDACT_INPUT		0x01
#define FMS_REDACT_OUTPUT		0x02
#define FMS_REDACT_ATTRIBUTES	0x04
#define FMS_REDACT_ERROR		0x08

extern int	fms_redact_spans;	/* of these, from the GUC */

extern void fms_redact_define_settings(void);
extern Jsonb *fms_redact_jsonb(Jsonb *value);

#endif							/* FMS_SPAN_REDACT_H */
