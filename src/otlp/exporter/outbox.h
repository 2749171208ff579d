/*-------------------------------------------------------------------------
 *
 * outbox.h
 *	  Which spans are still to be sent to a collector.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_EXPORTER_OUTBOX_H
#define FMS_OTLP_EXPORTER_OUTBOX_H

#include "table/written.h"

extern bool fms_outbox_is_on(void);
extern void fms_outbox_add(const FmsSpanState *spans, int count);
extern void fms_outbox_at_end(bool committed);

#endif							/* FMS_OTLP_EXPORTER_OUTBOX_H */
