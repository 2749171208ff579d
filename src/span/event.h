/*-------------------------------------------------------------------------
 *
 * event.h
 *	  One thing that happens to a span, and its form in a record.
 *
 * Every way of recording (SQL, the writer's retry, later OTLP) makes events;
 * buffer/ carries them as bytes, table/ folds them into rows.  Encoding and
 * decoding call no server function, so that they can be tested and fuzzed
 * outside a server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_EVENT_H
#define FMS_SPAN_EVENT_H

#include "datatype/timestamp.h"

#include "span/text.h"

typedef enum FmsEventKind
{
	FMS_EVENT_START = 1,
	FMS_EVENT_END,
	FMS_EVENT_ATTRIBUTES,
	FMS_EVENT_EVENT,			/* OpenTelemetry's span event */
	FMS_EVENT_SPAN,				/* a whole span: its start and, unless it
								 * runs, its end */
	FMS_EVENT_RESOURCE,			/* what produces spans; of OTLP */
	FMS_EVENT_SCOPE				/* a library of a resource; of OTLP */
} FmsEventKind;

typedef enum FmsStatus
{
	FMS_STATUS_STARTED = 0,
	FMS_STATUS_COMPLETED,
	FMS_STATUS_FAILED,
	FMS_STATUS_CANCELLED
} FmsStatus;

/* flags of an event */
#define FMS_HAS_PARENT		0x01	/* parent_span_id is set */
#define FMS_HAS_TRACE		0x02	/* trace_id and started_at are the span's */
#define FMS_CALLER_ID		0x04	/* a start whose span_id came from the
									 * caller */
#define FMS_ADOPT_STUB		0x08	/* of a span whose end or attributes came
									 * first */
#define FMS_STUB_ENDED		0x10	/* and whose end is in the table */
#define FMS_IN_TRANSACTION	0x20	/* a start that its transaction can undo */
#define FMS_IS_KNOWN		0x40	/* a whole span that memory knew */
#define FMS_LOOK_UP			0x80	/* the table could not be looked at: the
									 * writer has to */
#define FMS_IS_NEW			0x100	/* a start whose id neither memory nor the
									 * table knew */

/*
 * The variable parts of an event: three texts, then binary jsonb.  The context
 * of a start lies under its attributes, which win.  Links and OTLP's own fields
 * come with a whole span or a start, and so do the events that it brings, an
 * array.
 */
typedef enum FmsPartIndex
{
	FMS_PART_NAME,
	FMS_PART_TYPE,
	FMS_PART_ENTITY,
	FMS_PART_ATTRIBUTES,
	FMS_PART_INPUT,
	FMS_PART_OUTPUT,
	FMS_PART_ERROR,
	FMS_PART_CONTEXT,
	FMS_PART_EVENTS,
	FMS_PART_LINKS,
	FMS_PART_OTLP
} FmsPartIndex;

#define FMS_PARTS 11

/*
 * A resource has its id as span_id, its attributes and its other fields as
 * FMS_PART_OTLP.  A scope has its resource's id as parent_span_id as well, its
 * name and its version as FMS_PART_TYPE.
 */
typedef struct FmsEvent
{
	uint8		kind;			/* FmsEventKind */
	uint8		status;			/* FmsStatus; of an end or a whole span */
	uint16		flags;			/* FMS_HAS_PARENT and so on */
	uint32		table;			/* oid of the execution_spans it was made for */
	int32		pid;			/* of the process that recorded it */
	pg_uuid_t	span_id;
	pg_uuid_t	trace_id;
	pg_uuid_t	parent_span_id;
	TimestampTz at;				/* start, end, or time of the event */
	TimestampTz started_at;		/* start of the span; with FMS_HAS_TRACE */
	TimestampTz ended_at;		/* of a whole span, which starts "at" */
	TimestampTz recorded_at;
	FmsPart		part[FMS_PARTS];
} FmsEvent;

/* what is known of a span besides its row */
typedef struct FmsSpanRef
{
	pg_uuid_t	trace_id;
	pg_uuid_t	parent_span_id;
	bool		has_parent;
	bool		stub;			/* its start has not been seen */
	bool		ended;
	bool		in_ring;		/* something of it waits in the ring */
	bool		unsure;			/* the table, which could not be looked at,
								 * may say otherwise */
	TimestampTz started_at;
} FmsSpanRef;

extern size_t fms_event_encoded_size(const FmsEvent *event);
extern void fms_event_encode(const FmsEvent *event, char *out);
extern bool fms_event_decode(const char *in, size_t length, FmsEvent *event);

#endif							/* FMS_SPAN_EVENT_H */
