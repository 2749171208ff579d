/*-------------------------------------------------------------------------
 *
 * mapping.h
 *	  What a span of OpenTelemetry is in the terms of execution_spans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_MAPPING_H
#define FMS_OTLP_MAPPING_H

#include "utils/jsonb.h"

#include "span/event.h"

/* OTLP's kinds of spans and codes of status */
typedef enum FmsOtlpKind
{
	FMS_OTLP_UNSPECIFIED,
	FMS_OTLP_INTERNAL,
	FMS_OTLP_SERVER,
	FMS_OTLP_CLIENT,
	FMS_OTLP_PRODUCER,
	FMS_OTLP_CONSUMER
} FmsOtlpKind;

typedef enum FmsOtlpCode
{
	FMS_OTLP_UNSET,
	FMS_OTLP_OK,
	FMS_OTLP_ERROR
} FmsOtlpCode;

/* the event that tells of an error, and attributes that carry a span made in SQL */
#define FMS_OTLP_EXCEPTION "exception"
#define FMS_OTLP_SPAN_TYPE "flowmaestro.span_type"
#define FMS_OTLP_ENTITY_ID "flowmaestro.entity_id"
#define FMS_OTLP_INPUT "flowmaestro.input"
#define FMS_OTLP_OUTPUT "flowmaestro.output"
#define FMS_OTLP_STATUS "flowmaestro.status"
#define FMS_OTLP_ERROR_OBJECT "flowmaestro.error"
#define FMS_OTLP_SPAN_ID "flowmaestro.span_id"
#define FMS_OTLP_PARENT_SPAN_ID "flowmaestro.parent_span_id"

/* what the mapping looks at */
typedef struct FmsOtlpSource
{
	const Jsonb *attributes;	/* an object, or NULL */
	const Jsonb *exception;		/* attributes of the last event
								 * FMS_OTLP_EXCEPTION, or NULL */
	FmsPart		message;		/* of the status; data is NULL if it has none */
	int			kind;			/* FmsOtlpKind, or any other number */
	int			code;			/* FmsOtlpCode, or any other number */
} FmsOtlpSource;

/* Texts point into the attributes or at constants; ids are set if they were carried. */
typedef struct FmsOtlpMapped
{
	FmsPart		span_type;
	FmsPart		entity_id;		/* data is NULL if there is none */
	Jsonb	   *input;			/* or NULL, as the following */
	Jsonb	   *output;
	Jsonb	   *error;
	FmsStatus	status;			/* if the span has an end */
	bool		has_span_id;
	bool		has_parent;
	pg_uuid_t	span_id;
	pg_uuid_t	parent_span_id;
} FmsOtlpMapped;

/* What attributes tell by themselves; texts as in FmsOtlpMapped. */
typedef struct FmsOtlpTold
{
	FmsPart		span_type;
	FmsPart		entity_id;
	bool		input;
	bool		output;
	bool		status;
} FmsOtlpTold;

extern void fms_otlp_tell(const Jsonb *attributes, int kind, FmsOtlpTold *told);
extern void fms_otlp_map(const FmsOtlpSource *source, FmsOtlpMapped *mapped);

#endif							/* FMS_OTLP_MAPPING_H */
