/*-------------------------------------------------------------------------
 *
 * encode_span.h
 *	  A row of execution_spans as a span of OTLP; for encode.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_OUT_ENCODE_SPAN_H
#define FMS_OTLP_OUT_ENCODE_SPAN_H

#include "utils/uuid.h"

#include "otlp/out/wire.h"

extern pg_uuid_t fms_encode_scope(const Datum *values, const bool *nulls);
extern void fms_encode_span(FmsWire *wire, const Datum *values, const bool *nulls);

#endif							/* FMS_OTLP_OUT_ENCODE_SPAN_H */
