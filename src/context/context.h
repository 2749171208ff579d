/*-------------------------------------------------------------------------
 *
 * context.h
 *	  The request that this backend is working for: its trace and its ids.
 *
 * The context lives in settings (flowmaestro.traceparent, tracestate, baggage,
 * request_context), so SET, SET LOCAL, ALTER ROLE, connection options, rollback
 * and parallel workers do with it what they do with any setting.  A statement
 * can bring its own trace in a comment; see flowmaestro.read_traceparent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_CONTEXT_CONTEXT_H
#define FMS_CONTEXT_CONTEXT_H

#include "utils/jsonb.h"
#include "utils/uuid.h"

/* longest user, request or session id that is kept here, in bytes */
#define FMS_CONTEXT_ID_BYTES 256

typedef struct FmsContext
{
	bool		has_trace;
	bool		has_span;		/* never without a trace */
	bool		has_parent;		/* never without a trace */
	uint8		trace_flags;	/* FMS_FLAG_SAMPLED and so on; of the trace */
	pg_uuid_t	trace_id;
	pg_uuid_t	span_id;		/* the current span, in full */
	pg_uuid_t	parent_span_id; /* its parent; without a span, the parent of
								 * the next */
	/* NUL-terminated, in the server's encoding; NULL: there is none */
	const char *request_id;
	const char *session_id;
	const char *user_id;
	const char *tracestate;		/* of the trace */
} FmsContext;

/*
 * What is current now.  Throws nothing, allocates nothing, looks at no catalog
 * and takes no lock: the log hook may call it in any state of the backend.  The
 * result is never NULL and good until the next setting or statement.
 */
extern const FmsContext *fms_context_current(void);

/*
 * {"userId", "requestId", "sessionId"} of the current context, those that there
 * are, as a jsonb that belongs to this room; NULL if there are none.  Made once
 * for each change of the context; allocates then, in the current memory context.
 */
extern Jsonb *fms_context_attributes(void);

/*
 * Make a span the current one for the rest of the transaction, and the one that
 * was current before it current again.  Both raise the errors of a setting that
 * can't be set (there is no memory, or a parallel query runs).  The mark is the
 * caller's.
 */
extern void fms_context_enter(const pg_uuid_t *trace_id, const pg_uuid_t *span_id,
							  const pg_uuid_t *parent_span_id, uint32 mark);
extern void fms_context_leave(void);

/*
 * A span that is entered: number 0 is the one that was entered last.  False if
 * there are not so many.  Throws nothing and allocates nothing.
 */
extern bool fms_context_entered_span(int nth, pg_uuid_t *span_id, uint32 *mark);

extern void fms_context_define_settings(void);	/* from _PG_init */

#endif							/* FMS_CONTEXT_CONTEXT_H */
