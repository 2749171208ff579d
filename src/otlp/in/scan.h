/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  JSON text, token by token, for the decoder of OTLP.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_IN_SCAN_H
#define FMS_OTLP_IN_SCAN_H

#include "otlp/in/decode.h"

/* a place in a text */
typedef struct FmsScan
{
	const char *at;
	const char *end;
} FmsScan;

extern const char *fms_scan_check(const char *text, size_t length, size_t *error_at);
extern void fms_scan_space(FmsScan *scan);
extern void fms_scan_skip(FmsScan *scan);
extern bool fms_scan_begin(FmsScan *scan, char bracket);
extern bool fms_scan_more(FmsScan *scan, char bracket);
extern FmsPart fms_scan_string(FmsScan *scan, FmsOtlpDecoder *decoder);
extern FmsPart fms_scan_key(FmsScan *scan, FmsOtlpDecoder *decoder);
extern FmsPart fms_scan_number(FmsScan *scan);
extern bool fms_scan_unsigned(FmsPart text, uint64 *number);
extern bool fms_scan_signed(FmsPart text, int64 *number);
extern bool fms_scan_double(FmsPart text, double *number);
extern bool fms_scan_null(FmsScan *scan);

#endif							/* FMS_OTLP_IN_SCAN_H */
