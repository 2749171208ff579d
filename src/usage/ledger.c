/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  Which model calls count, kept right whatever the order of arrival.
 *
 * span_usage has an entry for each model call that has ended or tells what it
 * used.  A call counts unless a model call below it in its trace carries
 * tokens or a cost: then its own numbers are the sum of those, told twice.
 * The rollups are the sums of the entries that count, changed by the
 * difference between an entry's old and new form in the same transaction.
 *
 * To cover: a call that begins to carry usage walks up through its parents and
 * covers every model call on the way, also one that carries nothing (yet),
 * which gets an entry for it.  The walk goes from row to row of the trace, of
 * any type.  Where the next one is not in the table, the call waits for it
 * (waits_for); when its row arrives, the walk goes on.  So these hold after
 * every transaction, by induction over its writes:
 *
 *	(1) if m carries usage and a chain of rows leads up from m to the model call
 *		a, then a is covered;
 *	(2) if the chain ends at a row that is not there, an entry below it waits
 *		for that row.
 *
 * A new row extends chains only at its own place, where (2) tells who waits.
 * A walk stops at a call that is covered already: by (1) and (2) all above it
 * is covered, or waited for by the entry that covered it.  For the same reason
 * a walk stops where another one of the same batch has passed; this also ends
 * a walk through parents that form a circle.  A row's parent never changes,
 * but for a stub that gets its start, which is then a row that arrives.
 *
 * Two transactions that write into one trace at a time do not see each other's
 * rows.  So the work is done under a lock on the trace, at the end of the
 * transaction, and sees all that was committed before: the second one finds
 * the entries that wait for its rows, and the rows that its entries lead to.
 * A session's lock lasts from there to its commit, never while an application
 * thinks.  The writer, whose transaction is its own, does the work with each
 * batch that it applies; it also counts what was left to it, by a transaction
 * that was prepared, or could not count (worker/left.c).
 *
 * A call that carried usage and no longer does (a later attribute replaced a
 * number by something else) may uncover others: all of its trace walk anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "table/owner.h"
#include "usage/prices.h"
#include "usage/store.h"

#define EXPECTED_SPANS FMS_LIMIT(256, 1)	/* of a batch, to begin with */
#define FIRST_ROOM FMS_LIMIT(64, 1) /* of spans that a transaction wrote, to
									 * begin with */
#define POST_SPANS FMS_LIMIT(10000, 2)	/* of a transaction, whose rows are in
										 * memory at a time */
#define NEAR (2 * USECS_PER_DAY)	/* of a batch: where parents are looked
									 * for first */

static const char default_currency[] = "USD";	/* of a cost that was given */

/* a span that the batch touches */
typedef struct CallNode
{
	FmsSpanKey	key;			/* hash key */
	bool		present;		/* it is in the table */
	bool		asked;			/* the table was asked for it */
	bool		model_call;
	bool		has_parent;
	bool		passed;			/* a walk of this batch went through it */
	bool		old_known;		/* the ledger was asked for its entry */
	bool		walking;		/* it walks in this batch */
	bool		changed;		/* "entry" has to be written */
	pg_uuid_t	parent_span_id;
	TimestampTz started_at;
	FmsEntry   *old;			/* its entry as it is in the ledger, or NULL */
	FmsEntry   *entry;			/* and as it shall be */
} CallNode;

/* a call on its way up */
typedef struct Walk
{
	CallNode   *from;
	pg_uuid_t	next;
} Walk;

typedef struct Batch
{
	HTAB	   *nodes;
	List	   *changed;		/* nodes whose entries have changed */
	List	   *walks;
	List	   *lost;			/* nodes that carry usage no longer */
	List	   *reservations;	/* text datums */
	TimestampTz from;			/* where the spans lie */
	TimestampTz until;
} Batch;

/* spans that the current transaction wrote; in its memory context */
static FmsSpanPlace *written = NULL;
static int	written_count = 0;
static int	written_room = 0;

/* they were left to the writer */
static bool left = false;

/* The node of a span, made if it is new; it stays where it is as long as the batch. */
static CallNode *
node_of(Batch *batch, const pg_uuid_t *trace_id, const pg_uuid_t *span_id)
{
	FmsSpanKey	key = {*trace_id, *span_id};
	bool		found;
	CallNode   *node = hash_search(batch->nodes, &key, HASH_ENTER, &found);

	if (!found)
		memset((char *) node + sizeof(FmsSpanKey), 0, sizeof(CallNode) - sizeof(FmsSpanKey));
	return node;
}

/* Take over what a span's row says; the table need not be asked for it. */
static void
note_span(CallNode *node, const FmsSpanState *span)
{
	node->present = true;
	node->asked = true;
	node->model_call = span->model_call;
	node->has_parent = span->has_parent;
	node->parent_span_id = span->parent_span_id;
	node->started_at = span->started_at;
}

/* A text that is never NULL: absent becomes empty. */
static FmsPart
or_empty(FmsPart text)
{
	return text.data == NULL ? (FmsPart) {"", 0} : text;
}

/*
 * Give an entry its cost: the one that was given, in dollars since no
 * vocabulary has a currency, else by the price list as of the call's start.
 * An entry without either has none, which is not the same as a cost of 0.
 */
static void
set_cost(FmsEntry *entry, const FmsTokens *tokens)
{
	const FmsPrice *price;

	entry->text[FMS_LEDGER_CURRENCY] = (FmsPart) {"", 0};
	if (tokens->cost != NULL)
	{
		entry->cost = tokens->cost;
		entry->text[FMS_LEDGER_CURRENCY] = (FmsPart) {default_currency, strlen(default_currency)};
		return;
	}
	if (!tokens->has_tokens)
		return;
	price = fms_prices_find(&entry->text[FMS_LEDGER_PROVIDER], &entry->text[FMS_LEDGER_MODEL],
							&entry->text[FMS_LEDGER_REQUEST_MODEL], entry->started_at);
	if (price == NULL)
		return;
	entry->cost = fms_prices_cost(price, tokens->count);
	entry->text[FMS_LEDGER_CURRENCY] = price->currency;
	entry->has_price = true;
	entry->price_id = price->id;
}

/*
 * Set the texts that a call's usage is counted under.  They point into the
 * span; the column entity_id comes before an agent that attributes name.
 */
static void
set_texts(FmsEntry *entry, const FmsSpanState *span, const FmsTokens *tokens)
{
	FmsPart		response = tokens->text[FMS_USAGE_RESPONSE_MODEL];
	FmsPart		request = tokens->text[FMS_USAGE_REQUEST_MODEL];
	FmsPart		entity = span->entity;

	entry->text[FMS_LEDGER_TYPE] = span->type;
	if (entity.data == NULL || entity.length == 0)
		entity = or_empty(tokens->text[FMS_USAGE_ENTITY]);
	entry->text[FMS_LEDGER_ENTITY] = entity;
	entry->text[FMS_LEDGER_USER] = or_empty(tokens->text[FMS_USAGE_USER]);
	entry->text[FMS_LEDGER_SESSION] = or_empty(tokens->text[FMS_USAGE_SESSION]);
	entry->text[FMS_LEDGER_WORKFLOW] = or_empty(tokens->text[FMS_USAGE_WORKFLOW]);
	entry->text[FMS_LEDGER_PROVIDER] = or_empty(tokens->text[FMS_USAGE_PROVIDER]);
	entry->text[FMS_LEDGER_MODEL] = or_empty(response.data != NULL ? response : request);
	entry->text[FMS_LEDGER_REQUEST_MODEL] = or_empty(request);
}

/*
 * The entry of a model call as its row is now, in the current memory context.
 * A clock that was set back between start and end makes no negative duration.
 */
static FmsEntry *
make_entry(const FmsSpanState *span, const FmsTokens *tokens)
{
	FmsEntry   *entry = palloc0(sizeof(FmsEntry));

	entry->trace_id = span->trace_id;
	entry->span_id = span->span_id;
	entry->has_parent = span->has_parent;
	entry->parent_span_id = span->parent_span_id;
	entry->started_at = span->started_at;
	entry->ended = span->status != FMS_STATUS_STARTED;
	entry->failed = span->status == FMS_STATUS_FAILED;
	entry->carries = fms_tokens_present(tokens);
	entry->ignored = tokens->ignored;
	memcpy(entry->count, tokens->count, sizeof(entry->count));
	if (entry->ended)
		entry->duration_us = Max(span->ended_at - span->started_at, 0);
	set_texts(entry, span, tokens);
	set_cost(entry, tokens);
	return entry;
}

/*
 * The entry of a call that carries nothing and has not ended, for that it is
 * covered: what it tells later must not count, and a walk that comes by again
 * must see that this one was here.
 */
static FmsEntry *
make_covered_entry(const CallNode *node)
{
	FmsEntry   *entry = palloc0(sizeof(FmsEntry));

	entry->trace_id = node->key.trace_id;
	entry->span_id = node->key.span_id;
	entry->has_parent = node->has_parent;
	entry->parent_span_id = node->parent_span_id;
	entry->started_at = node->started_at;
	for (int i = 0; i < FMS_LEDGER_TEXTS; i++)
		entry->text[i] = (FmsPart) {"", 0};
	return entry;
}

/* Say that a node's entry has to be written. */
static void
mark_changed(Batch *batch, CallNode *node)
{
	if (!node->changed)
		batch->changed = lappend(batch->changed, node);
	node->changed = true;
}

/*
 * Ask the ledger for the entries of nodes that may have one, all at once.  The
 * old form is kept beside a copy that can be changed: the difference between
 * the two is what is posted.
 */
static void
fetch_entries(Batch *batch, List *nodes)
{
	int			count = 0;
	int			found;
	FmsSpanKey *keys = palloc(sizeof(FmsSpanKey) * Max(list_length(nodes), 1));
	FmsEntry   *entries;
	ListCell   *cell;

	foreach(cell, nodes)
	{
		CallNode   *node = lfirst(cell);

		if (!node->old_known)
			keys[count++] = node->key;
		node->old_known = true;
	}
	if (count == 0)
		return;
	entries = fms_store_entries(keys, count, &found);
	for (int i = 0; i < found; i++)
	{
		CallNode   *node = node_of(batch, &entries[i].trace_id, &entries[i].span_id);

		node->old = &entries[i];
		if (node->entry == NULL)
		{
			node->entry = palloc(sizeof(FmsEntry));
			*node->entry = entries[i];
		}
	}
}

/* A call begins its walk, or goes on with it at the span that it waited for. */
static void
begin_walk(Batch *batch, CallNode *from, const pg_uuid_t *next)
{
	Walk	   *walk = palloc(sizeof(Walk));

	walk->from = from;
	walk->next = *next;
	from->entry->waits = false;
	from->walking = true;
	batch->walks = lappend(batch->walks, walk);
}

/* Whether two entries have the same parent; a stub that gets its start may not. */
static bool
same_parent(const FmsEntry *a, const FmsEntry *b)
{
	return a->has_parent == b->has_parent &&
		(!a->has_parent || memcmp(&a->parent_span_id, &b->parent_span_id, UUID_LEN) == 0);
}

/*
 * Bring a model call's entry in line with its row.  The old entry's cover and
 * walk stay; the call walks if it did not before.
 */
static void
renew_entry(Batch *batch, CallNode *node, FmsEntry *entry)
{
	FmsEntry   *old = node->old;
	bool		walked = false;

	node->entry = entry;
	if (old != NULL)
	{
		entry->covered = old->covered;
		entry->waits = old->waits;
		entry->waits_for = old->waits_for;
		walked = old->carries && same_parent(old, entry);
		if (old->carries && !entry->carries)
			batch->lost = lappend(batch->lost, node);
	}
	if (old == NULL && !entry->ended && !entry->carries)
	{
		node->entry = NULL;
		return;
	}
	mark_changed(batch, node);
	if (entry->carries && entry->has_parent && !walked)
		begin_walk(batch, node, &entry->parent_span_id);
}

/*
 * Take the spans of a batch in, and bring the entries of its model calls in
 * line.  First all nodes, so that the ledger is asked once; spans that are new
 * need no question at all, which most are.
 */
static void
take_spans(Batch *batch, const FmsSpanState *spans, int count)
{
	List	   *nodes = NIL;
	ListCell   *cell;
	int			i = 0;

	for (int n = 0; n < count; n++)
	{
		CallNode   *node = node_of(batch, &spans[n].trace_id, &spans[n].span_id);

		note_span(node, &spans[n]);
		node->old_known |= spans[n].fresh;
		if (spans[n].model_call)
			nodes = lappend(nodes, node);
		batch->from = Min(batch->from, spans[n].started_at);
		batch->until = Max(batch->until, spans[n].started_at);
	}
	fetch_entries(batch, nodes);
	foreach(cell, nodes)
	{
		FmsTokens	tokens;
		FmsPart    *reservation;

		while (!spans[i].model_call)
			i++;
		CHECK_FOR_INTERRUPTS();
		fms_tokens_read(spans[i].attributes, &tokens);
		renew_entry(batch, lfirst(cell), make_entry(&spans[i], &tokens));
		reservation = &tokens.text[FMS_USAGE_RESERVATION];
		/* what is reserved stays so until the spending is known */
		if (reservation->data != NULL && (fms_tokens_present(&tokens) ||
										  spans[i].status != FMS_STATUS_STARTED))
			batch->reservations = lappend(batch->reservations,
										  DatumGetPointer(fms_table_text(reservation)));
		i++;
	}
}

/*
 * Have all calls of the traces walk anew in which one no longer carries usage.
 * Which others it had covered is not recorded, and may be covered by a second
 * call as well; so all cover of these traces goes and is made again.  This is
 * rare: a number has to be replaced by something that is none.
 */
static void
restart_traces(Batch *batch)
{
	FmsSpanKey *keys = palloc(sizeof(FmsSpanKey) * list_length(batch->lost));
	FmsEntry   *entries;
	int			found;

	for (int i = 0; i < list_length(batch->lost); i++)
		keys[i] = ((CallNode *) list_nth(batch->lost, i))->key;
	entries = fms_store_trace_entries(keys, list_length(batch->lost), &found);
	for (int i = 0; i < found; i++)
	{
		CallNode   *node = node_of(batch, &entries[i].trace_id, &entries[i].span_id);

		if (node->old == NULL)
		{
			node->old_known = true;
			node->old = &entries[i];
			node->entry = palloc(sizeof(FmsEntry));
			*node->entry = entries[i];
		}
		node->entry->covered = false;
		mark_changed(batch, node);
		if (node->entry->carries && node->entry->has_parent && !node->walking)
			begin_walk(batch, node, &node->entry->parent_span_id);
	}
}

/*
 * Let the walks go on that wait for spans that have arrived.  Only a start can
 * be waited for: what ends or changes a span leaves its parent as it is.
 */
static void
wake_waiting(Batch *batch, const FmsSpanState *spans, int count)
{
	FmsSpanKey *keys = palloc(sizeof(FmsSpanKey) * Max(count, 1));
	int			arrived = 0;
	int			found;
	FmsEntry   *entries;

	for (int i = 0; i < count; i++)
	{
		if (spans[i].arrived)
			keys[arrived++] = (FmsSpanKey) {spans[i].trace_id, spans[i].span_id};
	}
	if (arrived == 0)
		return;
	entries = fms_store_waiting(keys, arrived, &found);
	for (int i = 0; i < found; i++)
	{
		CallNode   *node = node_of(batch, &entries[i].trace_id, &entries[i].span_id);

		if (node->old == NULL)
		{
			node->old_known = true;
			node->old = &entries[i];
			node->entry = palloc(sizeof(FmsEntry));
			*node->entry = entries[i];
		}
		/* a call of the batch can have begun anew */
		if (node->walking || !node->entry->waits)
			continue;
		begin_walk(batch, node, &node->entry->waits_for);
		mark_changed(batch, node);
	}
}

/*
 * Ask the table for spans that started between two times, both included; the
 * narrower the times, the fewer partitions are looked into.
 */
static void
fetch_spans(Batch *batch, const FmsSpanKey *keys, int count, TimestampTz from, TimestampTz until)
{
	int			found;
	FmsSpanState *spans = fms_store_spans(keys, count, from, until, false, &found);

	for (int i = 0; i < found; i++)
		note_span(node_of(batch, &spans[i].trace_id, &spans[i].span_id), &spans[i]);
}

/*
 * Find out about the spans that the walks come to next, all in one question:
 * near the batch first, where nearly all parents are, then anywhere.
 */
static void
look_ahead(Batch *batch)
{
	FmsSpanKey *keys = palloc(sizeof(FmsSpanKey) * list_length(batch->walks));
	int			count = 0;
	int			left = 0;
	ListCell   *cell;

	foreach(cell, batch->walks)
	{
		Walk	   *walk = lfirst(cell);
		CallNode   *node = node_of(batch, &walk->from->key.trace_id, &walk->next);

		if (!node->asked)
			keys[count++] = node->key;
		node->asked = true;
	}
	if (count > 0)
		fetch_spans(batch, keys, count, batch->from - NEAR, batch->until + NEAR);
	for (int i = 0; i < count; i++)
	{
		if (!node_of(batch, &keys[i].trace_id, &keys[i].span_id)->present)
			keys[left++] = keys[i];
	}
	if (left > 0)
		fetch_spans(batch, keys, left, DT_NOBEGIN, DT_NOEND);
}

/* Ask the ledger about the model calls that the walks come to next. */
static void
look_ahead_entries(Batch *batch)
{
	List	   *calls = NIL;
	ListCell   *cell;

	foreach(cell, batch->walks)
	{
		Walk	   *walk = lfirst(cell);
		CallNode   *node = node_of(batch, &walk->from->key.trace_id, &walk->next);

		if (node->present && node->model_call && !node->old_known)
			calls = lappend(calls, node);
	}
	fetch_entries(batch, calls);
}

/*
 * Do one step of a walk, to the span above; false at its end.  The batch knows
 * all about that span by now: look_ahead has asked.
 */
static bool
step(Batch *batch, Walk *walk)
{
	CallNode   *node = node_of(batch, &walk->from->key.trace_id, &walk->next);

	if (!node->present)
	{
		walk->from->entry->waits = true;
		walk->from->entry->waits_for = walk->next;
		return false;
	}
	if (node == walk->from || node->passed)
		return false;
	node->passed = true;
	if (node->model_call)
	{
		if (node->entry == NULL)
			node->entry = make_covered_entry(node);
		if (node->entry->covered)
			return false;
		node->entry->covered = true;
		mark_changed(batch, node);
	}
	walk->next = node->parent_span_id;
	return node->has_parent;
}

/*
 * Walk all walks to their ends, one step of each at a time: so there are as
 * many questions as the deepest chain has spans, not as there are walks.  It
 * ends, since each span is passed once (see step).
 */
static void
walk_up(Batch *batch)
{
	while (batch->walks != NIL)
	{
		ListCell   *cell;
		List	   *going = NIL;

		CHECK_FOR_INTERRUPTS();
		look_ahead(batch);
		look_ahead_entries(batch);
		foreach(cell, batch->walks)
		{
			if (step(batch, lfirst(cell)))
				going = lappend(going, lfirst(cell));
		}
		list_free(batch->walks);
		batch->walks = going;
	}
}

/*
 * Write the entries that changed, and post the differences to the rollups: the
 * old form is taken out, the new one put in, each if it counts.  Where both
 * are equal the rollup finds that nothing changes.
 */
static void
write_changes(Batch *batch)
{
	int			count = list_length(batch->changed);
	FmsEntry  **inserted = palloc(sizeof(FmsEntry *) * Max(count, 1));
	FmsEntry  **updated = palloc(sizeof(FmsEntry *) * Max(count, 1));
	FmsPosting *postings = palloc(sizeof(FmsPosting) * Max(2 * count, 1));
	int			n_inserted = 0;
	int			n_updated = 0;
	int			n_postings = 0;
	ListCell   *cell;

	foreach(cell, batch->changed)
	{
		CallNode   *node = lfirst(cell);

		if (node->old != NULL)
			updated[n_updated++] = node->entry;
		else
			inserted[n_inserted++] = node->entry;
		if (fms_entry_counts(node->old))
			postings[n_postings++] = (FmsPosting) {node->old, -1};
		if (fms_entry_counts(node->entry))
			postings[n_postings++] = (FmsPosting) {node->entry, 1};
	}
	fms_store_write(inserted, n_inserted, updated, n_updated);
	fms_rollup_post(postings, n_postings);
}

/* Settle the reservations of the batch's calls, in the transaction that counts them. */
static void
settle_reservations(Batch *batch)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(list_length(batch->reservations), 1));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, batch->reservations)
		ids[count++] = PointerGetDatum(lfirst(cell));
	fms_store_settle_reservations(ids, count);
}

/* Make an empty batch in the current memory context, which must outlive it. */
static void
begin_batch(Batch *batch, int count)
{
	HASHCTL		ctl = {0};

	memset(batch, 0, sizeof(*batch));
	ctl.keysize = sizeof(FmsSpanKey);
	ctl.entrysize = sizeof(CallNode);
	ctl.hcxt = CurrentMemoryContext;
	batch->nodes = hash_create("flowmaestro_spans ledger", Max(count, EXPECTED_SPANS), &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	batch->from = DT_NOEND;
	batch->until = DT_NOBEGIN;
}

/*
 * Bring ledger and rollups in line with spans that were written.  Their traces
 * stay locked until the end of the transaction.
 *
 * The caller has locked the traces before anything was read: what is decided
 * holds only if nobody else decides about the same trace.  All memory is the
 * batch's own and goes at the end; after an error it goes with the caller's
 * context.
 */
static void
post(const FmsSpanState *spans, int count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "flowmaestro_spans ledger",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FmsStoreScope scope;
	Batch		batch;

	fms_prices_refresh();
	begin_batch(&batch, count);
	fms_store_enter(&scope);
	MemoryContextSwitchTo(context);
	take_spans(&batch, spans, count);
	if (batch.lost != NIL)
		restart_traces(&batch);
	wake_waiting(&batch, spans, count);
	walk_up(&batch);
	write_changes(&batch);
	settle_reservations(&batch);
	fms_store_leave(&scope);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Room for one more span that the transaction wrote. */
static FmsSpanPlace *
next_place(void)
{
	if (written_count == written_room)
	{
		int			room = Max(2 * written_room, FIRST_ROOM);

		if (written == NULL)
			written = MemoryContextAllocHuge(TopTransactionContext, sizeof(FmsSpanPlace) * room);
		else
			written = repalloc_huge(written, sizeof(FmsSpanPlace) * room);
		written_room = room;
	}
	return &written[written_count++];
}

/*
 * Remember spans until the end of the transaction.  Only where they are: rows
 * are read anew then, since a subtransaction may have been rolled back by that
 * time.
 */
static void
remember(const FmsSpanState *spans, int count)
{
	for (int i = 0; i < count; i++)
	{
		FmsSpanPlace *place = next_place();

		place->key = (FmsSpanKey) {spans[i].trace_id, spans[i].span_id};
		place->started_at = spans[i].started_at;
	}
}

/* Count spans that the writer has just written. */
static void
post_at_once(const FmsSpanState *spans, int count)
{
	FmsSpanKey *keys = palloc(sizeof(FmsSpanKey) * count);

	for (int i = 0; i < count; i++)
		keys[i] = (FmsSpanKey) {spans[i].trace_id, spans[i].span_id};
	fms_store_lock_traces(keys, count);
	pfree(keys);
	post(spans, count);
}

/*
 * Rows of spans were written, in the current transaction: count their usage,
 * now if this is the writer, else before the transaction commits.
 */
void
fms_ledger_written(const FmsSpanState *spans, int count)
{
	if (count == 0)
		return;
	if (!fms_table_waits)
		post_at_once(spans, count);
	else
		remember(spans, count);
}

/* Order places by their keys. */
static int
compare_places(const void *a, const void *b)
{
	return memcmp(&((const FmsSpanPlace *) a)->key, &((const FmsSpanPlace *) b)->key,
				  sizeof(FmsSpanKey));
}

/*
 * Count some spans of locked traces, with the memory that this takes.  The
 * keys are those of the places.
 */
static void
post_part(const FmsSpanPlace *places, const FmsSpanKey *keys, int count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "flowmaestro_spans ledger part",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TimestampTz from = DT_NOEND;
	TimestampTz until = DT_NOBEGIN;
	FmsStoreScope scope;
	FmsSpanState *spans;
	int			found;

	for (int i = 0; i < count; i++)
	{
		from = Min(from, places[i].started_at);
		until = Max(until, places[i].started_at);
	}
	fms_store_enter(&scope);
	spans = fms_store_spans(keys, count, from, until, true, &found);
	fms_store_leave(&scope);
	if (found > 0)
		post(spans, found);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Count spans as their rows are now; what a subtransaction rolled back is not
 * among them.  All traces are locked first, in the order that everybody keeps;
 * then it goes part by part, which is as if the parts had been written by
 * transactions one after the other.  The array gets sorted.
 */
static void
post_as_now(FmsSpanPlace *places, int given)
{
	FmsSpanKey *keys = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(FmsSpanKey) * given);
	int			count = 0;

	qsort(places, given, sizeof(FmsSpanPlace), compare_places);
	for (int i = 0; i < given; i++)
	{
		if (i == 0 || compare_places(&places[i], &places[count - 1]) != 0)
			places[count++] = places[i];
	}
	for (int i = 0; i < count; i++)
		keys[i] = places[i].key;
	fms_store_lock_traces(keys, count);
	for (int i = 0; i < count; i += POST_SPANS)
		post_part(places + i, keys + i, Min(POST_SPANS, count - i));
	pfree(keys);
}

/* Count what the transaction wrote. */
static void
post_written(void *unused)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	post_as_now(written, written_count);
	PopActiveSnapshot();
}

/* Leave what the transaction wrote to the writer, if it commits. */
static void
defer_written(void *unused)
{
	FmsStoreScope scope;

	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < written_count; i += POST_SPANS)
	{
		fms_store_enter(&scope);
		fms_store_defer(written + i, Min(POST_SPANS, written_count - i));
		fms_store_leave(&scope);
	}
	PopActiveSnapshot();
}

/*
 * Do some of this in a subtransaction.  An error that is not the caller's must
 * not take the caller's work along: it is told, and false returned.
 */
static bool
attempt(void (*work) (void *))
{
	int			isolation = XactIsoLevel;
	ErrorData  *error = fms_table_try(work, NULL);

	if (error == NULL)
		return true;
	XactIsoLevel = isolation;
	if (fms_table_is_callers(error))
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("usage of tokens is not counted yet: %s", error->message)));
	return false;
}

/*
 * Count spans that transactions left to the writer, in its own transaction.
 * The array gets sorted.
 */
void
fms_ledger_count(FmsSpanPlace *places, int count)
{
	if (count > 0)
		post_as_now(places, count);
}

/*
 * Something else of a span that the transaction wrote has to be looked at after
 * its second phase: have the writer do it with what it counts.
 */
void
fms_ledger_leave(const FmsSpanPlace *place)
{
	*next_place() = *place;
}

/*
 * Count the usage of what the transaction wrote, which is about to commit.
 * Errors can still be raised; if usage cannot be counted, the application's own
 * work is not lost for it, and the writer counts it later.
 */
void
fms_ledger_before_commit(void)
{
	if (written_count > 0 && !attempt(post_written))
		left = attempt(defer_written);
}

/*
 * Leave what the transaction wrote to the writer.  It is about to be prepared
 * and may stay so for days: it must not hold locks on sums.
 */
void
fms_ledger_before_prepare(void)
{
	if (written_count > 0)
		(void) attempt(defer_written);
}

/*
 * The transaction has ended, and the memory goes with it: have the writer do
 * what was left to it.  Must not fail.
 */
void
fms_ledger_at_end(bool committed)
{
	if (left && committed && fms_buffer_slot() != NULL)
		fms_slot_leave_work(fms_buffer_slot());
	left = false;
	written = NULL;
	written_count = 0;
	written_room = 0;
}
