/*-------------------------------------------------------------------------
 *
 * verdict.h
 *	  What a collector's answer means.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_EXPORTER_VERDICT_H
#define FMS_OTLP_EXPORTER_VERDICT_H

#include "otlp/exporter/post.h"

typedef enum FmsVerdict
{
	FMS_VERDICT_DONE,			/* the collector has the spans */
	FMS_VERDICT_LATER,			/* send the same again later */
	FMS_VERDICT_REFUSED			/* it does not want these, or not so many */
} FmsVerdict;

extern FmsVerdict fms_verdict_of(const FmsPostAnswer *answer);
extern int64 fms_verdict_rejected(const FmsPostAnswer *answer);
extern char *fms_verdict_text(const FmsPostAnswer *answer);

#endif							/* FMS_OTLP_EXPORTER_VERDICT_H */
