/*-------------------------------------------------------------------------
 *
 * encode.h
 *	  Spans as a request of OTLP (ExportTraceServiceRequest).
 *
 * Begin, add rows, finish.  All of it lies in the memory context that is
 * current at the beginning; deleting or resetting that frees it.  Who finishes
 * is connected to SPI and can read otlp_resources and otlp_scopes.  Protobuf is
 * in UTF-8, JSON in the encoding of the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_OUT_ENCODE_H
#define FMS_OTLP_OUT_ENCODE_H

#include "lib/stringinfo.h"

typedef struct FmsOtlpEncoder FmsOtlpEncoder;

/* what is read of a row "s" of execution_spans: a SELECT begins with these columns */
#define FMS_OTLP_COLUMNS \
	"s.trace_id, s.span_id, s.parent_span_id, s.name, s.span_type, s.entity_id, " \
	"s.started_at, s.ended_at, s.status, s.input, s.output, s.error, s.attributes, " \
	"s.events, s.links, s.otlp"

#define FMS_OTLP_COLUMN_COUNT 16

extern void fms_otlp_encode_define_settings(void);
extern PGDLLEXPORT FmsOtlpEncoder *fms_otlp_encode_begin(bool json);
extern PGDLLEXPORT void fms_otlp_encode_span(FmsOtlpEncoder *encoder, const Datum *values,
											 const bool *nulls);
extern PGDLLEXPORT Size fms_otlp_encode_size(const FmsOtlpEncoder *encoder);
extern PGDLLEXPORT StringInfo fms_otlp_encode_finish(FmsOtlpEncoder *encoder);

#endif							/* FMS_OTLP_OUT_ENCODE_H */
