/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  The ledger of model calls: which of them count, and for how much.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_USAGE_LEDGER_H
#define FMS_USAGE_LEDGER_H

#include "table/written.h"
#include "usage/tokens.h"

/* names a span */
typedef struct FmsSpanKey
{
	pg_uuid_t	trace_id;
	pg_uuid_t	span_id;
} FmsSpanKey;

/* where a span is; started_at is its start when the row was written */
typedef struct FmsSpanPlace
{
	FmsSpanKey	key;
	TimestampTz started_at;
} FmsSpanPlace;

/*
 * The texts of an entry that tell what its usage is counted under, with their
 * columns, in their order.  The model is that of the response, else of the
 * request.
 */
#define FMS_LEDGER_TEXTS_LIST(TEXT) \
	TEXT(TYPE, "span_type") \
	TEXT(ENTITY, "entity_id") \
	TEXT(USER, "user_id") \
	TEXT(SESSION, "session_id") \
	TEXT(WORKFLOW, "workflow") \
	TEXT(PROVIDER, "provider") \
	TEXT(MODEL, "model") \
	TEXT(REQUEST_MODEL, "request_model") \
	TEXT(CURRENCY, "currency")

#define FMS_LEDGER_ENUM(text, column) FMS_LEDGER_##text,

typedef enum FmsLedgerText
{
	FMS_LEDGER_TEXTS_LIST(FMS_LEDGER_ENUM)
	FMS_LEDGER_TEXTS			/* how many there are */
} FmsLedgerText;

/* A row of span_usage. */
typedef struct FmsEntry
{
	pg_uuid_t	trace_id;
	pg_uuid_t	span_id;
	pg_uuid_t	parent_span_id;
	pg_uuid_t	waits_for;		/* span above that is not in the table */
	bool		has_parent;
	bool		waits;
	TimestampTz started_at;
	FmsPart		text[FMS_LEDGER_TEXTS]; /* data is never NULL */
	bool		ended;
	bool		failed;
	bool		carries;		/* tokens or a cost were given */
	bool		covered;		/* a model call below carries them too */
	bool		has_price;
	int64		duration_us;
	int64		count[FMS_TOKEN_KINDS];
	int32		ignored;
	Numeric		cost;			/* or NULL */
	int64		price_id;
} FmsEntry;

/* Whether the usage of an entry, which can be NULL, counts. */
static inline bool
fms_entry_counts(const FmsEntry *entry)
{
	return entry != NULL && !entry->covered && (entry->ended || entry->carries);
}

/* usage that is added to the rollups, or taken out of them */
typedef struct FmsPosting
{
	const FmsEntry *entry;
	int			sign;
} FmsPosting;

extern void fms_ledger_written(const FmsSpanState *spans, int count);
extern void fms_ledger_count(FmsSpanPlace *places, int count);
extern void fms_ledger_leave(const FmsSpanPlace *place);
extern void fms_ledger_before_commit(void);
extern void fms_ledger_before_prepare(void);
extern void fms_ledger_at_end(bool committed);

/* rollup.c, for ledger.c: connected to SPI as the owner of the tables */
extern void fms_rollup_post(FmsPosting *postings, int count);

#endif							/* FMS_USAGE_LEDGER_H */
