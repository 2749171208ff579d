/*-------------------------------------------------------------------------
 *
 * convention.h
 *	  Attributes of the conventions for generative AI, for spans made in SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_OUT_CONVENTION_H
#define FMS_OTLP_OUT_CONVENTION_H

#include "utils/jsonb.h"

#include "otlp/out/wire.h"
#include "span/text.h"

extern void fms_convention_write(FmsWire *wire, const FmsField *field, Jsonb *attributes,
								 const FmsPart *span_type);

#endif							/* FMS_OTLP_OUT_CONVENTION_H */
