/*-------------------------------------------------------------------------
 *
 * draft.h
 *	  A request context on its way between jsonb and the settings.
 *
 * For the files of this room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_CONTEXT_DRAFT_H
#define FMS_CONTEXT_DRAFT_H

#include "context/context.h"

/* of the map: a trace id that is no uuid, or not the trace of the traceparent */
#define FMS_FOREIGN_TRACE_KEY "x-trace-id"

/* A request context, taken apart; all pointers into the current memory context. */
typedef struct FmsContextDraft
{
	bool		has_trace;
	bool		has_span;
	bool		has_parent;
	uint8		trace_flags;
	pg_uuid_t	trace_id;
	pg_uuid_t	span_id;
	pg_uuid_t	parent_span_id;
	const char *user_id;		/* NULL: there is none */
	const char *request_id;
	const char *session_id;
	const char *tracestate;
	const char *baggage;
	Jsonb	   *map;			/* an object; NULL: empty */
} FmsContextDraft;

extern bool fms_draft_from_current(FmsContextDraft *draft);
extern void fms_draft_from_jsonb(Jsonb *context, FmsContextDraft *draft);
extern Jsonb *fms_draft_to_jsonb(const FmsContextDraft *draft);
extern void fms_draft_take_trace(FmsContextDraft *draft, const char *text);
extern void fms_draft_take_w3c(FmsContextDraft *draft, const char *traceparent,
							   const char *tracestate, const char *baggage);
extern void fms_draft_complete(FmsContextDraft *draft);

/* flowmaestro.request_context as jsonb, and the map in it; NULL: there is none */
extern Jsonb *fms_draft_setting(void);
extern Jsonb *fms_draft_current_map(void);
extern void fms_draft_set(Jsonb *context, bool local);

extern char *fms_draft_scalar_text(const JsonbValue *value);
extern Jsonb *fms_draft_with_text(Jsonb *object, const char *key, const char *text);

#endif							/* FMS_CONTEXT_DRAFT_H */
