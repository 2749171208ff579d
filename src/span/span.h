/*-------------------------------------------------------------------------
 *
 * span.h
 *	  The recording functions of SQL, and what they need from the rooms above.
 *
 * This room makes events and knows nothing of where they go: the recorder is
 * installed by the front door.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_SPAN_H
#define FMS_SPAN_SPAN_H

#include "span/event.h"

/* what became of a whole span, a resource or a scope */
typedef enum FmsTaken
{
	FMS_TAKEN,
	FMS_TAKEN_BEFORE,			/* the span has ended: nothing to do */
	FMS_TAKEN_FULL,				/* no room in the buffer */
	FMS_TAKEN_REFUSED			/* recording is off, or can't be done here */
} FmsTaken;

/* events that are written together */
typedef struct FmsGroup FmsGroup;

typedef struct FmsSpanRecorder
{
	/*
	 * Take an event.  A start comes back with the trace, parent and start
	 * that the span really has.  False: an end of a span that had ended, or a
	 * record that was dropped.  Throws only what the caller has to see (a
	 * query cancel), or if the extension is not there.
	 */
	bool		(*record) (FmsEvent *event);

	/*
	 * Take a whole span, a resource or a scope.  Without "wait" it does not
	 * wait for room; nothing is counted as lost if there is none.  A span that
	 * is refused is counted.  *reason tells why something was not taken.
	 */
	FmsTaken	(*take) (FmsEvent *event, FmsGroup *group, bool wait, const char **reason);

	/*
	 * Begin to take whole spans, resources and scopes that belong together, in
	 * the current memory context.  NULL if each is taken by itself.  What is
	 * taken with a group can still be lost until finish, which tells how many
	 * spans were.
	 */
	FmsGroup   *(*begin) (void);
	int64		(*finish) (FmsGroup *group);

	/* The table that events are for, which is another in each life of the extension. */
	Oid			(*table) (void);

	/* Whether what is taken now lasts if the transaction rolls back. */
	bool		(*lasts) (void);

	/* What is known of a span, in memory or in the table; false: nothing. */
	bool		(*find) (const pg_uuid_t *span_id, FmsSpanRef *ref);

	/* The running spans of a trace, allocated in the current context. */
	pg_uuid_t  *(*running) (const pg_uuid_t *trace_id, int *count);

	/*
	 * End a span while a transaction is rolled back, if memory knows it as
	 * running and there is room for the record.  Throws nothing.  The event has
	 * its table.
	 */
	void		(*end_at_abort) (FmsEvent *event);

	/* Count a record with something cut off. */
	void		(*truncated) (void);
} FmsSpanRecorder;

extern const FmsSpanRecorder *fms_span_recorder(void);
extern void fms_span_install_recorder(const FmsSpanRecorder *recorder);

#endif							/* FMS_SPAN_SPAN_H */
