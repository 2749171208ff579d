/*-------------------------------------------------------------------------
 *
 * intake.h
 *	  A decoded span, resource or scope as an event for the buffer.
 *
 * The stored form is told at the top of intake.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_IN_INTAKE_H
#define FMS_OTLP_IN_INTAKE_H

#include "otlp/in/decode.h"
#include "record/record.h"

/* what the spans of a request have in common */
typedef struct FmsIntake
{
	bool		wait;			/* for room in the buffer */
	FmsGroup   *group;			/* that is taken together, or NULL */
	TimestampTz now;
	const char *reason;			/* why something was not taken */
	pg_uuid_t	resource_id;	/* of the spans that come next */
	pg_uuid_t	scope_id;
} FmsIntake;

extern FmsTaken fms_intake_resource(FmsIntake *intake, const FmsOtlpResource *resource,
									FmsOtlpNode *nodes);
extern FmsTaken fms_intake_scope(FmsIntake *intake, const FmsOtlpScope *scope,
								 FmsOtlpNode *nodes);
extern FmsTaken fms_intake_span(FmsIntake *intake, const FmsOtlpSpan *span,
								FmsOtlpNode *nodes);

#endif							/* FMS_OTLP_IN_INTAKE_H */
