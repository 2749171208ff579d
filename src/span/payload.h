/*-------------------------------------------------------------------------
 *
 * payload.h
 *	  What callers hand in, brought to the form and size that a span stores.
 *
 * Everything is allocated in the current memory context; input that already
 * fits is returned as it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_PAYLOAD_H
#define FMS_SPAN_PAYLOAD_H

#include "utils/jsonb.h"

#include "span/event.h"

/* longest name, span type, entity id or event name, in bytes */
#define FMS_MAX_TEXT 1024

extern int	fms_max_payload;	/* GUC, kilobytes */

extern void fms_payload_text(FmsPart *part, text *value, bool *truncated);
extern void fms_payload_jsonb(FmsPart *part, Jsonb *value, bool *truncated);
extern void fms_payload_redact(FmsEvent *event);
extern Jsonb *fms_payload_error_from_text(text *message, const char *type_name);
extern Jsonb *fms_payload_error_from_jsonb(Jsonb *error);
extern Jsonb *fms_payload_event(const FmsEvent *event);

#endif							/* FMS_SPAN_PAYLOAD_H */
