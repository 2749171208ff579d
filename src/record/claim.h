/*-------------------------------------------------------------------------
 *
 * claim.h
 *	  What is known of a span, and who may start or end it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_RECORD_CLAIM_H
#define FMS_RECORD_CLAIM_H

#include "buffer/tracked.h"

extern void fms_claim_take_ref(FmsEvent *event, const FmsSpanRef *ref);
extern FmsClaim fms_claim(FmsEvent *event);
extern bool fms_claim_find(const pg_uuid_t *span_id, FmsSpanRef *ref);
extern pg_uuid_t *fms_claim_running(const pg_uuid_t *trace_id, int *count);

#endif							/* FMS_RECORD_CLAIM_H */
