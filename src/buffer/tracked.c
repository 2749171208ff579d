/*-------------------------------------------------------------------------
 *
 * tracked.c
 *	  Spans that run, and spans that ended but are not yet in the table.
 *
 * A fixed hash table in shared memory, in FMS_TRACKED_PARTITIONS parts by the
 * hash of the span id, each with one LWLock over all that it holds: buckets
 * (heads of chains), entries, the list of free entries and a clock hand.
 *
 * An entry leaves when its span has ended and the row is in the table; one
 * that still has no start stays, so that its start finds the stub.  One that was
 * made while the table could not be looked at leaves as soon as the writer,
 * which does look, has written what came: the row knows better.  When a part
 * is full, an open span or a stub whose row is in the table gives up its place
 * (it is found there from then on); if there is none, the new span goes
 * without.  So what workers abandon never fills the table for good.
 *
 * Under a lock there is only memcpy and arithmetic: no allocation, no error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "buffer/slot.h"
#include "buffer/tracked.h"

#define NAME_BYTES 63			/* of a name or entity id that are kept */
#define TYPE_BYTES 31			/* of a span type */
#define TEXT_BYTES (NAME_BYTES + TYPE_BYTES + NAME_BYTES)
#define SWEEP FMS_LIMIT(64, 2)	/* entries that an eviction looks at */
#define NONE (-1)

/*
 * Short texts make an entry of two cache lines: a call waits for every line
 * that it writes to.
 */
typedef struct Entry
{
	pg_uuid_t	span_id;		/* key: these three */
	Oid			database;
	Oid			table;
	int32		next;			/* in its chain, or among the free */
	int32		pid;			/* of the backend that started it */
	TransactionId prepared;		/* the transaction that wrote the row waits
								 * for its second phase */
	pg_uuid_t	trace_id;
	pg_uuid_t	parent_span_id;
	TimestampTz started_at;
	bool		used;
	bool		has_parent;
	bool		stub;			/* its start has not been seen */
	bool		ended;
	bool		flushed;		/* a row is in the table */
	bool		end_flushed;	/* and so is the end */
	bool		in_transaction; /* its start can still be undone */
	bool		unsure;			/* made without a look at the table */
	uint8		name_bytes;
	uint8		type_bytes;
	uint8		entity_bytes;	/* 0: none */
	char		text[TEXT_BYTES];	/* name, type and entity id, one after the
									 * other */
} Entry;

typedef struct Part
{
	LWLock	   *lock;
	int32		free;			/* first free entry */
	int32		hand;			/* where the next eviction begins to look */
} Part;

typedef struct Tracked
{
	pg_atomic_uint32 prepared;	/* entries of transactions that wait for their
								 * second phase */
	int32		entries;		/* of each part */
	int32		buckets;		/* of each part, a power of 2 */
	Part		part[FMS_TRACKED_PARTITIONS];
} Tracked;

int			fms_max_active_spans = 32768;

static Tracked *tracked = NULL; /* NULL: not preloaded */
static int32 *all_buckets;
static Entry *all_entries;

PG_FUNCTION_INFO_V1(fms_tracked_spans);

/*
 * Entries of each part.  Span ids are hashed, so the parts fill evenly: when
 * one is full, nearly all are.
 */
static int32
entries_per_part(void)
{
	return Max(fms_max_active_spans / FMS_TRACKED_PARTITIONS, 1);
}

/* Buckets of each part. */
static int32
buckets_per_part(void)
{
	return pg_nextpower2_32(entries_per_part());
}

/* Bytes of the buckets of all parts. */
static Size
bucket_bytes(void)
{
	return MAXALIGN(mul_size(mul_size(buckets_per_part(), FMS_TRACKED_PARTITIONS), sizeof(int32)));
}

/* Bytes of shared memory that fms_tracked_shmem_init takes. */
Size
fms_tracked_shmem_size(void)
{
	Size		size = add_size(MAXALIGN(sizeof(Tracked)), bucket_bytes());

	return add_size(size, mul_size(mul_size(entries_per_part(), FMS_TRACKED_PARTITIONS),
								   sizeof(Entry)));
}

/* The first bucket of a part. */
static int32 *
buckets_of(int part)
{
	return all_buckets + (Size) part * tracked->buckets;
}

/* The first entry of a part. */
static Entry *
entries_of(int part)
{
	return all_entries + (Size) part * tracked->entries;
}

/* Set up or find the table; called with AddinShmemInitLock. */
void
fms_tracked_shmem_init(LWLockPadded *locks)
{
	bool		found;

	tracked = ShmemInitStruct("flowmaestro_spans tracked", fms_tracked_shmem_size(), &found);
	all_buckets = (int32 *) ((char *) tracked + MAXALIGN(sizeof(Tracked)));
	all_entries = (Entry *) ((char *) all_buckets + bucket_bytes());
	if (found)
		return;
	memset(tracked, 0, fms_tracked_shmem_size());
	pg_atomic_init_u32(&tracked->prepared, 0);
	tracked->entries = entries_per_part();
	tracked->buckets = buckets_per_part();
	for (int p = 0; p < FMS_TRACKED_PARTITIONS; p++)
	{
		Entry	   *entries = entries_of(p);

		tracked->part[p].lock = &locks[p].lock;
		for (int32 b = 0; b < tracked->buckets; b++)
			buckets_of(p)[b] = NONE;
		for (int32 i = 0; i < tracked->entries; i++)
			entries[i].next = i + 1 < tracked->entries ? i + 1 : NONE;
	}
}

/* The hash of a span id: its low bits choose the part, the others the bucket. */
static uint32
hash_of(const pg_uuid_t *span_id)
{
	return hash_bytes(span_id->data, UUID_LEN);
}

/* The part of a hash. */
static int
part_of(uint32 hash)
{
	return hash % FMS_TRACKED_PARTITIONS;
}

/* The link to the first entry of a hash's chain. */
static int32 *
chain_of(uint32 hash)
{
	return &buckets_of(part_of(hash))[(hash / FMS_TRACKED_PARTITIONS) & (tracked->buckets - 1)];
}

/* The link to the entry of a span of this database, or NULL; lock held. */
static int32 *
find_link(uint32 hash, Oid table, const pg_uuid_t *span_id)
{
	Entry	   *entries = entries_of(part_of(hash));

	for (int32 *link = chain_of(hash); *link != NONE; link = &entries[*link].next)
	{
		Entry	   *entry = &entries[*link];

		if (memcmp(&entry->span_id, span_id, UUID_LEN) == 0 &&
			entry->database == MyDatabaseId && entry->table == table)
			return link;
	}
	return NULL;
}

/* The entry of a span of this database, or NULL; lock held. */
static Entry *
find_entry(uint32 hash, Oid table, const pg_uuid_t *span_id)
{
	int32	   *link = find_link(hash, table, span_id);

	return link == NULL ? NULL : &entries_of(part_of(hash))[*link];
}

/* Set or take away the prepared transaction of an entry; exclusive lock held. */
static void
set_prepared(Entry *entry, TransactionId xid)
{
	if (TransactionIdIsValid(entry->prepared))
		pg_atomic_fetch_sub_u32(&tracked->prepared, 1);
	if (TransactionIdIsValid(xid))
		pg_atomic_fetch_add_u32(&tracked->prepared, 1);
	entry->prepared = xid;
}

/* Free the entry that a link leads to; exclusive lock held. */
static void
remove_link(int part, int32 *link)
{
	int32		i = *link;
	Entry	   *entry = &entries_of(part)[i];

	set_prepared(entry, InvalidTransactionId);
	*link = entry->next;
	entry->used = false;
	entry->next = tracked->part[part].free;
	tracked->part[part].free = i;
}

/*
 * Free entry number i of a part; exclusive lock held.  The chains are linked in
 * one direction only, so the one of its hash is walked; it is short, as there
 * are as many buckets as entries.
 */
static void
remove_entry(int part, int32 i)
{
	Entry	   *entries = entries_of(part);
	int32	   *link = chain_of(hash_of(&entries[i].span_id));

	while (*link != i)
		link = &entries[*link].next;
	remove_link(part, link);
}

/*
 * Make room in a full part if an entry can go; exclusive lock held.  The sweep
 * is bounded, because every session that starts a span may wait for this lock:
 * when it finds nothing, an entry further on may well be free to go, and the
 * next caller continues there.  An entry whose span has ended is left alone: the
 * writer removes it with its next commit.
 */
static bool
evict(int part)
{
	Part	   *p = &tracked->part[part];
	Entry	   *entries = entries_of(part);

	for (int n = 0; n < Min(SWEEP, tracked->entries); n++)
	{
		int32		i = p->hand;

		p->hand = (p->hand + 1) % tracked->entries;
		if (entries[i].used && entries[i].flushed && (!entries[i].ended || entries[i].stub))
		{
			remove_entry(part, i);
			return true;
		}
	}
	return false;
}

/*
 * Copy a text part, cut at a character; returns how many bytes.  "bytes" is 63
 * at most, so the length fits a uint8.  pg_mbcliplen, called under the lock,
 * allocates nothing and raises nothing.
 */
static uint8
copy_text(char *to, int bytes, const FmsPart *part)
{
	int			length = part->length;

	if (part->data == NULL)
		return 0;
	if (length > bytes)
		length = pg_mbcliplen(part->data, length, bytes);
	memcpy(to, part->data, length);
	return (uint8) length;
}

/* Set what the start of a span tells; exclusive lock held. */
static void
set_start(Entry *entry, const FmsEvent *event)
{
	char	   *to = entry->text;

	entry->stub = false;
	entry->trace_id = event->trace_id;
	entry->has_parent = (event->flags & FMS_HAS_PARENT) != 0;
	entry->parent_span_id = event->parent_span_id;
	entry->started_at = event->at;
	entry->pid = event->pid;
	entry->name_bytes = copy_text(to, NAME_BYTES, &event->part[FMS_PART_NAME]);
	to += entry->name_bytes;
	entry->type_bytes = copy_text(to, TYPE_BYTES, &event->part[FMS_PART_TYPE]);
	to += entry->type_bytes;
	entry->entity_bytes = copy_text(to, NAME_BYTES, &event->part[FMS_PART_ENTITY]);
}

/*
 * Make the entry of an event; exclusive lock held.  False: there is no place.
 * *evicted tells if another one had to go.
 */
static bool
insert_entry(uint32 hash, const FmsEvent *event, bool *evicted)
{
	int			part = part_of(hash);
	Entry	   *entry;
	int32	   *chain;
	int32		i;

	if (tracked->part[part].free == NONE)
	{
		*evicted = evict(part);
		if (!*evicted)
			return false;
	}
	i = tracked->part[part].free;
	entry = &entries_of(part)[i];
	tracked->part[part].free = entry->next;
	if (entry->next != NONE)
		__builtin_prefetch(&entries_of(part)[entry->next], 1);
	/* the text needs no clearing: its lengths are 0 */
	memset(entry, 0, offsetof(Entry, text));
	entry->used = true;
	entry->span_id = event->span_id;
	entry->database = MyDatabaseId;
	entry->table = event->table;
	entry->unsure = (event->flags & FMS_LOOK_UP) != 0;
	if (event->kind == FMS_EVENT_START)
	{
		set_start(entry, event);
		entry->ended = entry->end_flushed = (event->flags & FMS_STUB_ENDED) != 0;
		entry->in_transaction = (event->flags & FMS_IN_TRANSACTION) != 0;
	}
	else
	{
		/*
		 * an end or update that knows its trace was told by the table: the
		 * start is there
		 */
		entry->stub = !(event->flags & FMS_HAS_TRACE);
		entry->in_transaction = (event->flags & FMS_IN_TRANSACTION) != 0;
		entry->trace_id = event->trace_id;
		entry->started_at = event->started_at;
		entry->ended = event->kind == FMS_EVENT_END;
	}
	chain = chain_of(hash);
	entry->next = *chain;
	*chain = i;
	return true;
}

/*
 * Tell what an entry says; lock held.  A record made in a transaction that has
 * not committed does not count as one in the ring, as it may never get there.
 */
static void
tell(const Entry *entry, FmsSpanRef *ref)
{
	ref->trace_id = entry->trace_id;
	ref->has_parent = entry->has_parent;
	ref->parent_span_id = entry->parent_span_id;
	ref->stub = entry->stub;
	ref->ended = entry->ended;
	ref->in_ring = !entry->flushed && !entry->in_transaction;
	ref->unsure = entry->unsure;
	ref->started_at = entry->started_at;
}

/* What the entry of an event's span says; false if it has none. */
bool
fms_tracked_find(const FmsEvent *event, FmsSpanRef *ref)
{
	uint32		hash = hash_of(&event->span_id);
	LWLock	   *lock = tracked->part[part_of(hash)].lock;
	Entry	   *entry;

	LWLockAcquire(lock, LW_SHARED);
	entry = find_entry(hash, event->table, &event->span_id);
	if (entry != NULL)
		tell(entry, ref);
	LWLockRelease(lock);
	return entry != NULL;
}

/* Whether an event ends its span. */
static bool
ends(const FmsEvent *event)
{
	return event->kind == FMS_EVENT_END ||
		(event->kind == FMS_EVENT_SPAN && event->status != FMS_STATUS_STARTED);
}

/*
 * Change an entry as an event wants it; exclusive lock held.  *ref is what the
 * entry says once it has the event's start, but before its end.  A complete span
 * may come for a stub that has ended: it has the start which the stub lacks.
 */
static FmsClaim
claim_entry(Entry *entry, const FmsEvent *event, FmsSpanRef *ref)
{
	FmsClaim	claim = FMS_CLAIM_FOUND;

	if (ends(event) && entry->ended && !(event->kind == FMS_EVENT_SPAN && entry->stub))
		return FMS_CLAIM_ENDED;
	if ((event->kind == FMS_EVENT_START || event->kind == FMS_EVENT_SPAN) && entry->stub)
	{
		set_start(entry, event);
		claim = FMS_CLAIM_STUB;
	}
	tell(entry, ref);
	if (ends(event))
		entry->ended = true;
	return claim;
}

/*
 * Make an event take hold of its span: a start makes the entry, an end ends
 * it.  *ref tells what was there before (FMS_CLAIM_FOUND, FMS_CLAIM_STUB).
 * Without "create" nothing is made where nothing is.
 */
FmsClaim
fms_tracked_claim(const FmsEvent *event, bool create, FmsSpanRef *ref)
{
	uint32		hash = hash_of(&event->span_id);
	LWLock	   *lock = tracked->part[part_of(hash)].lock;
	FmsClaim	claim = FMS_CLAIM_MISSING;
	bool		evicted = false;
	Entry	   *entry;

	/* nobody can have an entry for an id that was just made */
	bool		fresh = event->kind == FMS_EVENT_START && !(event->flags & FMS_CALLER_ID);

	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = fresh ? NULL : find_entry(hash, event->table, &event->span_id);
	if (entry != NULL)
		claim = claim_entry(entry, event, ref);
	else if (create)
		claim = insert_entry(hash, event, &evicted) ? FMS_CLAIM_NEW : FMS_CLAIM_UNTRACKED;
	LWLockRelease(lock);
	if (evicted)
		fms_slot_count(fms_buffer_slot(), FMS_EVICTED, 1);
	return claim;
}

/*
 * Take back what fms_tracked_claim did for an event that was not recorded.
 * "claim" is what it returned.  The lock was free in between, so the entry may be
 * gone, and one made for an end (FMS_CLAIM_NEW) may have got its start: then only
 * the claim's own part of it is undone.
 */
void
fms_tracked_undo(const FmsEvent *event, FmsClaim claim)
{
	uint32		hash = hash_of(&event->span_id);
	int			part = part_of(hash);
	int32	   *link;

	LWLockAcquire(tracked->part[part].lock, LW_EXCLUSIVE);
	link = find_link(hash, event->table, &event->span_id);
	if (link != NULL && claim == FMS_CLAIM_NEW &&
		(event->kind == FMS_EVENT_START || event->flags & FMS_HAS_TRACE ||
		 entries_of(part)[*link].stub))
		remove_link(part, link);
	else if (link != NULL && (claim == FMS_CLAIM_FOUND || claim == FMS_CLAIM_STUB))
	{
		Entry	   *entry = &entries_of(part)[*link];

		entry->stub = entry->stub || claim == FMS_CLAIM_STUB;
		entry->ended = entry->ended && !ends(event);
	}
	LWLockRelease(tracked->part[part].lock);
}

/* Remove the entry of a span of this database, if there is one. */
void
fms_tracked_forget(Oid table, const pg_uuid_t *span_id)
{
	uint32		hash = hash_of(span_id);
	int			part = part_of(hash);
	int32	   *link;

	LWLockAcquire(tracked->part[part].lock, LW_EXCLUSIVE);
	link = find_link(hash, table, span_id);
	if (link != NULL)
		remove_link(part, link);
	LWLockRelease(tracked->part[part].lock);
}

/*
 * The row of a span is in the table, with its end if "ended".  Called by the
 * writer after its commit: whoever misses the entry finds the row.
 */
void
fms_tracked_flushed(Oid table, const pg_uuid_t *span_id, bool ended)
{
	uint32		hash = hash_of(span_id);
	int			part = part_of(hash);
	int32	   *link;

	LWLockAcquire(tracked->part[part].lock, LW_EXCLUSIVE);
	link = find_link(hash, table, span_id);
	if (link != NULL)
	{
		Entry	   *entry = &entries_of(part)[*link];

		entry->end_flushed = entry->ended && (ended || entry->end_flushed);
		/* nobody finds the row before its transaction's second phase */
		if (TransactionIdIsValid(entry->prepared))
			;
		else if (entry->unsure ? !entry->ended || entry->end_flushed : entry->end_flushed && !entry->stub)
			remove_link(part, link);
		else
		{
			entry->flushed = true;
			entry->in_transaction = false;
		}
	}
	LWLockRelease(tracked->part[part].lock);
}

/*
 * The row of a span was written by a transaction that has been prepared: the
 * entry stays until fms_tracked_resolve, so that others who end the span find
 * its trace here.
 */
void
fms_tracked_prepared(Oid table, const pg_uuid_t *span_id, TransactionId xid)
{
	uint32		hash = hash_of(span_id);
	LWLock	   *lock = tracked->part[part_of(hash)].lock;
	Entry	   *entry;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = find_entry(hash, table, span_id);
	if (entry != NULL)
		set_prepared(entry, xid);
	LWLockRelease(lock);
}

/*
 * The prepared transaction of an entry has ended: it is an entry like others
 * then, or goes; exclusive lock held.  After a rollback an end that somebody
 * recorded meanwhile is one without a start.
 */
static void
resolve_entry(int part, int32 i, bool committed)
{
	Entry	   *entry = &entries_of(part)[i];

	set_prepared(entry, InvalidTransactionId);
	entry->in_transaction = false;
	if (entry->end_flushed || (!committed && !entry->ended))
		remove_entry(part, i);
	else if (committed)
		entry->flushed = true;
}

/*
 * Whether a transaction has ended, and how.  Outside of any lock of ours: it
 * can read from disk.
 */
static bool
has_ended(TransactionId xid, bool *committed)
{
	if (TransactionIdIsInProgress(xid))
		return false;
	*committed = TransactionIdDidCommit(xid);
	return true;
}

/* The first entry of a part, from *i on, of this database and a prepared transaction. */
static TransactionId
next_prepared(int part, int32 *i)
{
	TransactionId xid = InvalidTransactionId;

	LWLockAcquire(tracked->part[part].lock, LW_SHARED);
	for (; *i < tracked->entries && !TransactionIdIsValid(xid); (*i)++)
	{
		Entry	   *entry = &entries_of(part)[*i];

		if (entry->used && entry->database == MyDatabaseId)
			xid = entry->prepared;
	}
	LWLockRelease(tracked->part[part].lock);
	return xid;
}

/*
 * Bring the entries of prepared transactions of this database in line with
 * those that have ended since.  It looks at all entries, if there is one of a
 * prepared transaction; after one is found, the rest of its part is resolved in
 * one go if it is the same transaction's.
 */
void
fms_tracked_resolve(void)
{
	if (tracked == NULL || pg_atomic_read_u32(&tracked->prepared) == 0)
		return;
	for (int p = 0; p < FMS_TRACKED_PARTITIONS; p++)
	{
		TransactionId xid;
		int32		i = 0;
		bool		committed;

		while (TransactionIdIsValid(xid = next_prepared(p, &i)))
		{
			if (!has_ended(xid, &committed))
				continue;
			LWLockAcquire(tracked->part[p].lock, LW_EXCLUSIVE);
			for (int32 n = i - 1; n < tracked->entries; n++)
			{
				Entry	   *entry = &entries_of(p)[n];

				if (entry->used && entry->database == MyDatabaseId && entry->prepared == xid)
					resolve_entry(p, n, committed);
			}
			LWLockRelease(tracked->part[p].lock);
		}
	}
}

/*
 * A transaction that wrote a stub has committed.  The table knows the stub from
 * now on.  Returns true if the start may have come without seeing it.
 */
bool
fms_tracked_stub_written(Oid table, const pg_uuid_t *span_id, bool ended)
{
	uint32		hash = hash_of(span_id);
	int			part = part_of(hash);
	bool		missed = true;
	int32	   *link;

	LWLockAcquire(tracked->part[part].lock, LW_EXCLUSIVE);
	link = find_link(hash, table, span_id);
	if (link != NULL)
	{
		Entry	   *entry = &entries_of(part)[*link];

		missed = !entry->stub;
		if (!missed)
			remove_link(part, link);
		else if (ended)
			entry->ended = entry->end_flushed = true;
	}
	LWLockRelease(tracked->part[part].lock);
	return missed;
}

/*
 * Remove the entries of a database but those of one table: what is left of
 * another life of the extension, or with InvalidOid everything, as no entry is
 * without a table.  Part by part, so that recording goes on meanwhile.
 */
void
fms_tracked_purge(Oid database, Oid table)
{
	for (int p = 0; p < FMS_TRACKED_PARTITIONS; p++)
	{
		Entry	   *entries = entries_of(p);

		LWLockAcquire(tracked->part[p].lock, LW_EXCLUSIVE);
		for (int32 i = 0; i < tracked->entries; i++)
		{
			if (entries[i].used && entries[i].database == database && entries[i].table != table)
				remove_entry(p, i);
		}
		LWLockRelease(tracked->part[p].lock);
	}
}

/* Whether an entry is a running span of this database. */
static inline bool
is_running(const Entry *entry, Oid table)
{
	return entry->used && entry->database == MyDatabaseId && entry->table == table &&
		!entry->ended && !entry->stub;
}

/*
 * Running spans of this database in memory.  Every part is looked at by itself:
 * with spans starting and ending meanwhile the sum is no snapshot.
 */
uint64
fms_tracked_running(Oid table)
{
	uint64		running = 0;

	for (int p = 0; p < FMS_TRACKED_PARTITIONS; p++)
	{
		LWLockAcquire(tracked->part[p].lock, LW_SHARED);
		for (int32 i = 0; i < tracked->entries; i++)
			running += is_running(&entries_of(p)[i], table);
		LWLockRelease(tracked->part[p].lock);
	}
	return running;
}

/*
 * Whether memory holds a span, running or not yet written, that started from
 * "from" on and before "until".  False if the library is not preloaded.
 */
bool
fms_tracked_started_between(Oid table, TimestampTz from, TimestampTz until)
{
	bool		found = false;

	if (tracked == NULL)
		return false;
	for (int p = 0; p < FMS_TRACKED_PARTITIONS && !found; p++)
	{
		LWLockAcquire(tracked->part[p].lock, LW_SHARED);
		for (int32 i = 0; i < tracked->entries && !found; i++)
		{
			Entry	   *entry = &entries_of(p)[i];

			found = entry->used && entry->database == MyDatabaseId && entry->table == table &&
				entry->started_at >= from && entry->started_at < until;
		}
		LWLockRelease(tracked->part[p].lock);
	}
	return found;
}

/*
 * The running spans of a trace in memory, allocated in the current context.
 * A span that starts meanwhile may be left out.
 */
pg_uuid_t *
fms_tracked_of_trace(Oid table, const pg_uuid_t *trace_id, int *count)
{
	Size		room = (Size) tracked->entries * sizeof(pg_uuid_t);
	pg_uuid_t  *spans = palloc(room);

	*count = 0;
	for (int p = 0; p < FMS_TRACKED_PARTITIONS; p++)
	{
		/* room for all of this part, allocated before the lock is taken */
		spans = repalloc_huge(spans, room + *count * sizeof(pg_uuid_t));
		LWLockAcquire(tracked->part[p].lock, LW_SHARED);
		for (int32 i = 0; i < tracked->entries; i++)
		{
			Entry	   *entry = &entries_of(p)[i];

			if (is_running(entry, table) && memcmp(&entry->trace_id, trace_id, UUID_LEN) == 0)
				spans[(*count)++] = entry->span_id;
		}
		LWLockRelease(tracked->part[p].lock);
	}
	return spans;
}

/*
 * Put the row of tracked_spans() for an entry, a copy made under the lock.  The
 * texts become datums in the function's context: some 100 bytes for each row.
 */
static void
put_active_span(ReturnSetInfo *result, Entry *entry)
{
	Datum		values[9];
	bool		nulls[9] = {false};
	char	   *text = entry->text;

	values[0] = UUIDPGetDatum(&entry->trace_id);
	values[1] = UUIDPGetDatum(&entry->span_id);
	values[2] = UUIDPGetDatum(&entry->parent_span_id);
	nulls[2] = !entry->has_parent;
	values[3] = PointerGetDatum(cstring_to_text_with_len(text, entry->name_bytes));
	text += entry->name_bytes;
	values[4] = PointerGetDatum(cstring_to_text_with_len(text, entry->type_bytes));
	text += entry->type_bytes;
	nulls[5] = entry->entity_bytes == 0;
	values[5] = PointerGetDatum(cstring_to_text_with_len(text, entry->entity_bytes));
	values[6] = TimestampTzGetDatum(entry->started_at);
	values[7] = Int32GetDatum(entry->pid);
	values[8] = BoolGetDatum(!entry->ended);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * tracked_spans() returns setof record: the spans of this database in memory
 * whose start has been seen; none if the library is not preloaded.  Entries are
 * copied a part at a time, and rows made when its lock is free again.
 */
Datum
fms_tracked_spans(PG_FUNCTION_ARGS)
{
	Oid			table;
	Entry	   *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (tracked == NULL)
		return (Datum) 0;
	table = fms_buffer_table();
	copy = palloc((Size) tracked->entries * sizeof(Entry));
	for (int p = 0; p < FMS_TRACKED_PARTITIONS; p++)
	{
		int			n = 0;

		LWLockAcquire(tracked->part[p].lock, LW_SHARED);
		for (int32 i = 0; i < tracked->entries; i++)
		{
			Entry	   *entry = &entries_of(p)[i];

			if (entry->used && entry->database == MyDatabaseId && entry->table == table &&
				!entry->stub)
				copy[n++] = *entry;
		}
		LWLockRelease(tracked->part[p].lock);
		for (int i = 0; i < n; i++)
			put_active_span((ReturnSetInfo *) fcinfo->resultinfo, &copy[i]);
	}
	return (Datum) 0;
}
