/*-------------------------------------------------------------------------
 *
 * seen.c
 *	  Which ids the directory may have.
 *
 * A Bloom filter in shared memory, one for all databases, over the first bytes
 * of ids that span_id_directory (table/directory.c) has entries of: "this id
 * is not in there" without a look, which makes a new id that does not tell its
 * time as cheap as one of ours.  "It may be" costs a look, and nothing else.
 *
 * An id is added before its entry can be seen by anybody.  What was there before
 * the server's start is added by the writer, and its slot tells for which table
 * that is done: from then on, and as long as that writer is there to watch over
 * it, an id that was not added has no entry.
 *
 * The bits of an id are in one cache line.  They are never taken back: with
 * millions of ids the filter says "may be" more and more often, until the next
 * start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "buffer/seen.h"

#define BLOCKS FMS_LIMIT(65536, 1)	/* 4 MB: 1 of 100 wrong at two million ids */
#define WORDS 16				/* of a block, which is a cache line */
#define BITS 5					/* of an id, 9 bits of the hash each */

typedef struct SeenBlock
{
	pg_atomic_uint32 word[WORDS];
} SeenBlock;

static SeenBlock *blocks = NULL;	/* NULL: not preloaded */

/* Bytes of shared memory that fms_seen_shmem_init takes. */
Size
fms_seen_shmem_size(void)
{
	return mul_size(BLOCKS, sizeof(SeenBlock));
}

/* Set up or find the filter; called with AddinShmemInitLock. */
void
fms_seen_shmem_init(void)
{
	bool		found;

	blocks = ShmemInitStruct("flowmaestro_spans seen", fms_seen_shmem_size(), &found);
	if (found)
		return;
	for (int b = 0; b < BLOCKS; b++)
	{
		for (int w = 0; w < WORDS; w++)
			pg_atomic_init_u32(&blocks[b].word[w], 0);
	}
}

/* The hash of an id of a table of this database. */
static uint64
seen_hash(Oid table, int64 id_prefix)
{
	struct
	{
		int64		id_prefix;
		Oid			database;
		Oid			table;
	}			key = {id_prefix, MyDatabaseId, table};

	return hash_bytes_extended((unsigned char *) &key, sizeof(key), 0);
}

/* The block of a hash; the rest of the hash gives the bits. */
static SeenBlock *
block_of(uint64 *hash)
{
	SeenBlock  *block = &blocks[*hash % BLOCKS];

	*hash /= BLOCKS;
	return block;
}

/* An id is about to get an entry. */
void
fms_seen_add(Oid table, int64 id_prefix)
{
	uint64		hash = seen_hash(table, id_prefix);
	SeenBlock  *block;

	if (blocks == NULL)
		return;
	block = block_of(&hash);
	for (int i = 0; i < BITS; i++, hash >>= 9)
		pg_atomic_fetch_or_u32(&block->word[hash / 32 % WORDS], (uint32) 1 << (hash % 32));
}

/* Whether all entries of a table's directory have been added. */
bool
fms_seen_has_all(Oid table)
{
	FmsSlot    *slot = blocks == NULL ? NULL : fms_buffer_slot();

	return slot != NULL && OidIsValid(table) && pg_atomic_read_u32(&slot->seen_table) == table;
}

/* Whether an id may have an entry. */
bool
fms_seen_possible(Oid table, int64 id_prefix)
{
	uint64		hash;
	SeenBlock  *block;

	if (!fms_seen_has_all(table))
		return true;
	pg_read_barrier();
	hash = seen_hash(table, id_prefix);
	block = block_of(&hash);
	for (int i = 0; i < BITS; i++, hash >>= 9)
	{
		if ((pg_atomic_read_u32(&block->word[hash / 32 % WORDS]) & ((uint32) 1 << (hash % 32))) == 0)
			return false;
	}
	return true;
}

/*
 * All entries of a table's directory have been added; with InvalidOid, nobody
 * knows that any more.  Called by the writer.
 */
void
fms_seen_all(Oid table)
{
	pg_write_barrier();
	pg_atomic_write_u32(&fms_buffer_slot()->seen_table, table);
}
