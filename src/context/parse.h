/*-------------------------------------------------------------------------
 *
 * parse.h
 *	  The texts that the settings of the context hold, taken apart.
 *
 * flowmaestro.request_context is JSON, {"tracingContext": {...}, "contextMap":
 * {...}}; flowmaestro.entered_spans is a list of frames, the innermost last.
 * For the files of this room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_CONTEXT_PARSE_H
#define FMS_CONTEXT_PARSE_H

#include "context/context.h"

#define FMS_MAX_REQUEST (64 * 1024) /* bytes of flowmaestro.request_context */
#define FMS_ENTERED_BYTES 105	/* of a frame in flowmaestro.entered_spans */

/* what flowmaestro.request_context says, without its map */
typedef struct FmsContextRequest
{
	bool		has_trace;
	bool		has_span;
	bool		has_parent;
	uint8		trace_flags;
	pg_uuid_t	trace_id;
	pg_uuid_t	span_id;
	pg_uuid_t	parent_span_id;
	char		user_id[FMS_CONTEXT_ID_BYTES + 1];	/* empty: there is none */
	char		request_id[FMS_CONTEXT_ID_BYTES + 1];
	char		session_id[FMS_CONTEXT_ID_BYTES + 1];
} FmsContextRequest;

/* a span that was entered */
typedef struct FmsEntered
{
	bool		has_parent;
	pg_uuid_t	trace_id;
	pg_uuid_t	span_id;
	pg_uuid_t	parent_span_id;
	uint32		mark;			/* what the caller keeps with it */
} FmsEntered;

/* values of the settings in force */
extern char *fms_context_baggage;
extern char *fms_context_request;

extern void fms_context_set(const char *name, const char *value, bool local);
extern const char *fms_parse_request(const char *json, FmsContextRequest *request);
extern bool fms_parse_uuid(const char *text, size_t length, pg_uuid_t *id);
extern bool fms_entered_read(const char *frames, size_t length, FmsEntered *frame);
extern void fms_entered_write(const FmsEntered *frame, char *out);

#endif							/* FMS_CONTEXT_PARSE_H */
