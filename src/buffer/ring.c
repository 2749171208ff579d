/*-------------------------------------------------------------------------
 *
 * ring.c
 *	  A ring of records in a mapped file: the core, free of the server.
 *
 * The file is a header of 4096 bytes and a data area.  A position counts the
 * bytes ever appended; position % bytes is the place in the data area.  The
 * records between tail and head are those that are still needed.
 *
 * A record starts at a multiple of 16:
 *
 *		uint64	mark		a hash of its position and ring_id
 *		uint32	length		of the body in bytes, or PADDING
 *		uint32	checksum	CRC-32C of the body, xor a hash of mark and length
 *		...		body		filled up to a multiple of 16
 *
 * A record does not go round the end of the data area: what is left there is
 * filled with a record without a body and the length PADDING.
 *
 * Append writes the place after the record as no record (mark 0), then the
 * record but for its mark, then the mark.  So whoever dies at whatever
 * instruction leaves either the whole record or none.  The head is not
 * stored; tail alone is.
 *
 * Damage.  The marks of different positions have nothing in common, so a
 * mark of which up to SLIPS bits were changed is still told from everything
 * else: what an earlier lap left behind belongs to other positions, and what
 * a caller puts into a body cannot know ring_id.  A record whose checksum
 * does not fit is lost, and no other: the next one is where the next mark is.
 * So reading finds the end of the ring by looking for a mark as far as there
 * can be one, a lap after tail.  Each record with such a mark counts as one;
 * where whole marks are gone, nobody knows how many there were, and the gap
 * counts as one.
 *
 * The header has two copies of what identifies the ring, each with a
 * checksum, and of tail, each with a check word: one of the two is enough.
 * Of two sound tails the higher one is right, since tail only grows and both
 * are written each time.
 *
 * Lives.  A server that starts gives the ring a new life: a random id for the
 * records that are appended from then on.  The table notes how far each life
 * is written, and these notes are all that can make the writer skip a record.
 * A copy of the ring, wherever and whenever it was made, shares with its
 * original the records that both hold, under the same ids and at the same
 * positions; what each of them appends after its own next start has an id
 * that no table has heard of before.  So a note about an id is always about
 * the same records: none is skipped that is not in the table, and none that
 * is in the table is written again.  The id is on disk before the first
 * record that belongs to it (file.c).  A start that finds no room for one
 * more life joins its records to the last one's and gives both a new id: then
 * those of the last one may be written twice, but none is lost.
 *
 * Locking is the caller's: one append at a time, and a reader that learns of a
 * head after the append that made it.  Records between tail and head do not
 * change, so they are read without a lock.  Only the reader moves tail.
 *
 * The alternative, reserving room with an atomic add and copying in parallel,
 * gains less than a fifth with two writers and leaves holes when one dies.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "port/pg_crc32c.h"

#include "buffer/ring.h"

#define MAGIC "FMSRING\n"
#define VERSION 3
#define PADDING PG_UINT32_MAX
#define SLIPS 2
#define AHEAD_BYTES 768
#define LINE_BYTES 64
#define TOP_BIT (UINT64CONST(1) << 63)

typedef struct RecordHeader
{
	uint64		mark;
	uint32		length;
	uint32		checksum;
} RecordHeader;

/* one of the two copies of everything, in a half of the header's page */
typedef struct HeaderHalf
{
	FmsRingIdentity identity;
	uint64		tail;			/* position of the first record still needed */
	uint64		tail_check;
	char		unused[FMS_RING_HEADER_BYTES / 2 - sizeof(FmsRingIdentity) - 2 * sizeof(uint64)];
} HeaderHalf;

struct FmsRingHeader
{
	HeaderHalf	half[2];
};

StaticAssertDecl(sizeof(RecordHeader) == FMS_RING_RECORD_BYTES, "record header has no holes");
StaticAssertDecl(sizeof(FmsRingHeader) == FMS_RING_HEADER_BYTES, "ring header fills its page");

/* The record at a position. */
static inline RecordHeader *
record_at(const FmsRing *ring, uint64 position)
{
	return (RecordHeader *) (ring->data + position % ring->identity.bytes);
}

/* A hash of 64 bits that maps no two values to the same one, and only 0 to 0. */
static inline uint64
mix(uint64 value)
{
	value ^= value >> 33;
	value *= UINT64CONST(0xff51afd7ed558ccd);
	value ^= value >> 33;
	value *= UINT64CONST(0xc4ceb9fe1a85ec53);
	value ^= value >> 33;
	return value;
}

/* The mark of a record at a position: never 0, for ring_id has the highest bit. */
static inline uint64
mark_of(const FmsRing *ring, uint64 position)
{
	return mix(position ^ ring->identity.ring_id);
}

/* What a record's checksum is sealed with, so that it covers place and length. */
static inline uint32
seal_of(const FmsRing *ring, uint64 position, uint32 length)
{
	return (uint32) mix(mark_of(ring, position) + length);
}

/* What guards a copy of the tail. */
static inline uint64
tail_check(const FmsRing *ring, uint64 tail)
{
	return ~mark_of(ring, tail);
}

/* Bytes of a record with a body of "length" bytes. */
static inline uint64
record_bytes(uint32 length)
{
	return TYPEALIGN64(FMS_RING_ALIGN, (uint64) FMS_RING_RECORD_BYTES + length);
}

/* Bytes from a position to the end of the data area. */
static inline uint64
bytes_to_end(const FmsRing *ring, uint64 position)
{
	return ring->identity.bytes - position % ring->identity.bytes;
}

/* CRC-32C of an identity. */
static uint32
identity_checksum(const FmsRingIdentity *identity)
{
	FmsRingIdentity copy = *identity;

	copy.checksum = 0;
	return fms_ring_checksum(&copy, sizeof(copy));
}

/* Look at a mapped file of "file_bytes" as a ring.  It must be opened, or formatted. */
void
fms_ring_map(FmsRing *ring, void *file, uint64 file_bytes)
{
	ring->header = (FmsRingHeader *) file;
	ring->data = (char *) file + FMS_RING_HEADER_BYTES;
	ring->file_bytes = file_bytes;
}

/*
 * Write a changed identity into both halves of the header, one after the
 * other: whoever dies in between leaves a whole one.
 */
static void
put_identity(FmsRing *ring)
{
	ring->identity.edition++;
	ring->identity.checksum = identity_checksum(&ring->identity);
	for (int i = 0; i < lengthof(ring->header->half); i++)
	{
		ring->header->half[i].identity = ring->identity;
		pg_write_barrier();
	}
}

/*
 * Make an empty ring of a mapped file of FMS_RING_HEADER_BYTES + "bytes".  Its
 * positions begin with "start".  It has no life yet.
 */
void
fms_ring_format(FmsRing *ring, uint64 bytes, uint32 database, uint64 system_identifier,
				uint64 start, uint64 random)
{
	FmsRingIdentity *identity = &ring->identity;

	memset(identity, 0, sizeof(*identity));
	memcpy(identity->magic, MAGIC, sizeof(identity->magic));
	identity->version = VERSION;
	identity->database = database;
	identity->system_identifier = system_identifier;
	identity->bytes = TYPEALIGN_DOWN(FMS_RING_ALIGN, bytes);
	identity->ring_id = random | TOP_BIT;
	record_at(ring, start)->mark = 0;
	fms_ring_acknowledge(ring, start);
	put_identity(ring);
}

/* Whether an identity is one of this database and cluster, in a file that is long enough. */
static bool
is_sound_identity(const FmsRingIdentity *identity, uint64 file_bytes, uint32 database,
				  uint64 system_identifier)
{
	return memcmp(identity->magic, MAGIC, sizeof(identity->magic)) == 0 &&
		identity->version == VERSION &&
		identity->checksum == identity_checksum(identity) &&
		identity->database == database &&
		identity->system_identifier == system_identifier &&
		identity->bytes >= FMS_RING_RECORD_BYTES &&
		identity->bytes <= file_bytes - FMS_RING_HEADER_BYTES &&
		identity->bytes % FMS_RING_ALIGN == 0 &&
		(identity->ring_id & TOP_BIT) != 0 &&
		identity->lives <= FMS_RING_LIVES;
}

/* Whether a copy of the tail is what was written. */
static bool
is_sound_tail(const FmsRing *ring, const HeaderHalf *half)
{
	return half->tail_check == tail_check(ring, half->tail) &&
		half->tail % FMS_RING_ALIGN == 0 && half->tail < TOP_BIT;
}

/*
 * Open a mapped file as the ring of this database and cluster.
 * Returns false if it is none, or if both copies of its header are damaged.
 */
bool
fms_ring_open(FmsRing *ring, uint32 database, uint64 system_identifier)
{
	const HeaderHalf *half = ring->header->half;
	bool		found = false;

	if (ring->file_bytes < FMS_RING_HEADER_BYTES + FMS_RING_RECORD_BYTES)
		return false;
	for (int i = 0; i < lengthof(ring->header->half); i++)
	{
		FmsRingIdentity identity = half[i].identity;

		if (is_sound_identity(&identity, ring->file_bytes, database, system_identifier) &&
			(!found || identity.edition > ring->identity.edition))
		{
			ring->identity = identity;
			found = true;
		}
	}
	return found && (is_sound_tail(ring, &half[0]) || is_sound_tail(ring, &half[1]));
}

/*
 * Begin a life: the records that are appended at "head" and after it get an
 * identity of their own.  Lives all of whose records lie before "tail" are
 * forgotten, and one without records gives its place to the new one.
 */
void
fms_ring_begin_life(FmsRing *ring, uint64 tail, uint64 head, uint64 random)
{
	FmsRingIdentity *identity = &ring->identity;
	FmsRingLife life = {head, random};

	while (identity->lives > 0 && identity->life[identity->lives - 1].start >= head)
		identity->lives--;
	if (identity->lives == FMS_RING_LIVES)
		life.start = identity->life[--identity->lives].start;
	identity->life[identity->lives++] = life;
	while (identity->lives > 1 && identity->life[1].start <= tail)
	{
		identity->lives--;
		memmove(identity->life, identity->life + 1, identity->lives * sizeof(FmsRingLife));
	}
	put_identity(ring);
	/* so that both copies are sound again */
	fms_ring_acknowledge(ring, tail);
}

/* The life of the record at a position, and in *end where the next life begins. */
FmsRingLife
fms_ring_life(const FmsRing *ring, uint64 position, uint64 *end)
{
	const FmsRingIdentity *identity = &ring->identity;
	int			i = identity->lives - 1;

	*end = PG_UINT64_MAX;
	for (; i > 0 && identity->life[i].start > position; i--)
		*end = identity->life[i].start;
	return identity->life[Max(i, 0)];
}

/* The tail as the file has it. */
uint64
fms_ring_tail(const FmsRing *ring)
{
	uint64		tail = 0;

	for (int i = 0; i < lengthof(ring->header->half); i++)
	{
		if (is_sound_tail(ring, &ring->header->half[i]))
			tail = Max(tail, ring->header->half[i].tail);
	}
	return tail;
}

/* The checksum of a body. */
uint32
fms_ring_checksum(const void *body, uint32 length)
{
	pg_crc32c	checksum;

	INIT_CRC32C(checksum);
	COMP_CRC32C(checksum, body, length);
	FIN_CRC32C(checksum);
	return checksum;
}

/*
 * Copy into the file, with no store that reaches from one page into the next.
 * While the kernel finds a block for the second page of such a store, it may
 * write out the first one, which then needs a block again: on btrfs with a full
 * disk the two take turns for ever.
 */
static void
copy_in(char *to, const char *from, uint32 length)
{
	while (length > 0)
	{
		uint32		piece = Min(length, FMS_RING_PAGE - (uintptr_t) to % FMS_RING_PAGE);

		memcpy(to, from, piece);
		to += piece;
		from += piece;
		length -= piece;
	}
}

/*
 * Write a record but for its mark, and no record after it; then the mark.  The
 * place can have the mark already, if an append ended half way and what came
 * to the place was padding.
 */
static void
put_record(FmsRing *ring, uint64 position, uint32 length, uint32 checksum,
		   const void *body, uint64 next)
{
	RecordHeader *record = record_at(ring, position);

	*(volatile uint64 *) &record_at(ring, next)->mark = 0;
	*(volatile uint64 *) &record->mark = 0;
	record->length = length;
	record->checksum = checksum ^ seal_of(ring, position, length);
	copy_in((char *) (record + 1), body, body == NULL ? 0 : length);
	pg_write_barrier();
	*(volatile uint64 *) &record->mark = mark_of(ring, position);
}

/*
 * Have the processor fetch the lines that the next append will write: a lap of
 * the ring is longer than its caches, and who waits for them holds the lock.
 */
static void
fetch_ahead(const FmsRing *ring, uint64 position)
{
	char	   *from = (char *) record_at(ring, position);
	uint64		bytes = Min(bytes_to_end(ring, position), AHEAD_BYTES);

	for (uint64 i = 0; i < bytes; i += LINE_BYTES)
		__builtin_prefetch(from + i, 1);
}

/*
 * Append a record to the ring whose records lie between tail and head.
 * Returns the new head, or 0 if there is no room.
 */
uint64
fms_ring_append(FmsRing *ring, uint64 tail, uint64 head, const void *body,
				uint32 length, uint32 checksum)
{
	uint64		need = record_bytes(length);
	uint64		rest = bytes_to_end(ring, head);
	uint64		padding = need > rest ? rest : 0;
	uint64		used = head - tail;

	/* the place after the record must not be the first record's */
	if (padding + need + FMS_RING_RECORD_BYTES > ring->identity.bytes - used)
		return 0;
	if (padding > 0)
	{
		put_record(ring, head, PADDING, 0, NULL, head + padding);
		head += padding;
	}
	put_record(ring, head, length, checksum, body, head + need);
	fetch_ahead(ring, head + need);
	return head + need;
}

/* Whether a record is at a position, sound or not. */
static inline bool
is_marked(const FmsRing *ring, uint64 position)
{
	uint64		difference = record_at(ring, position)->mark ^ mark_of(ring, position);

	return difference == 0 || pg_popcount64(difference) <= SLIPS;
}

/*
 * The position of the first record at or after a position, sound or not, or
 * "limit" if there is none before that.
 */
uint64
fms_ring_seek(const FmsRing *ring, uint64 position, uint64 limit)
{
	while (position < limit && !is_marked(ring, position))
		position += FMS_RING_ALIGN;
	return Min(position, limit);
}

/* Whether the record at a position can be read; sets *body and *length. */
static bool
is_sound(const FmsRing *ring, uint64 position, const char **body, uint32 *length)
{
	const RecordHeader *record = record_at(ring, position);

	*length = record->length;
	*body = (const char *) (record + 1);
	return *length != PADDING && record_bytes(*length) <= bytes_to_end(ring, position) &&
		(fms_ring_checksum(*body, *length) ^ seal_of(ring, position, *length)) == record->checksum;
}

/* Whether a record that can't be read is padding: one of two signs is enough. */
static bool
is_padding(const FmsRing *ring, uint64 position)
{
	const RecordHeader *record = record_at(ring, position);

	return record->length == PADDING || record->checksum == seal_of(ring, position, PADDING);
}

/*
 * Look at what is at *position: sets *body and *length of a record, and moves
 * *position to what comes after it, at most to "limit", before which all
 * records end.
 *
 * Where a record can't be read, that is the next place that has a mark; if
 * there is none, "limit".  The end is told, and *position stays, where neither
 * this place nor one after it has a mark.
 */
FmsRingItem
fms_ring_read(const FmsRing *ring, uint64 *position, uint64 limit, const char **body,
			  uint32 *length)
{
	uint64		at = *position;
	bool		marked = at < limit && is_marked(ring, at);
	uint64		next;

	if (marked && is_sound(ring, at, body, length) && at + record_bytes(*length) <= limit)
	{
		*position = at + record_bytes(*length);
		return FMS_RING_RECORD;
	}
	if (marked && is_padding(ring, at) && at + bytes_to_end(ring, at) <= limit)
	{
		*position = at + bytes_to_end(ring, at);
		return FMS_RING_PADDING;
	}
	next = fms_ring_seek(ring, at + FMS_RING_ALIGN, limit);
	if (!marked && next == limit)
		return FMS_RING_END;
	*position = next;
	return FMS_RING_DAMAGED;
}

/* Let go of the records before a position. */
void
fms_ring_acknowledge(FmsRing *ring, uint64 position)
{
	for (int i = 0; i < lengthof(ring->header->half); i++)
	{
		HeaderHalf *half = &ring->header->half[i];

		*(volatile uint64 *) &half->tail = position;
		*(volatile uint64 *) &half->tail_check = tail_check(ring, position);
		pg_write_barrier();
	}
}

/*
 * Find the head of a ring that nobody appends to, and count its records,
 * those included that can't be read.  Looks at the whole data area once.  "read"
 * is fms_ring_read, or what survives more than that.
 */
uint64
fms_ring_find_head(const FmsRing *ring, FmsRingReader read, uint64 *records)
{
	uint64		position = fms_ring_tail(ring);
	uint64		limit = position + ring->identity.bytes;

	*records = 0;
	for (;;)
	{
		uint64		at = position;
		const char *body;
		uint32		length;
		FmsRingItem item = read(ring, &position, limit, &body, &length);

		if (item == FMS_RING_END)
			return position;
		*records += item != FMS_RING_PADDING;
		/* nobody knows where the last record ends that can't be read */
		if (item == FMS_RING_DAMAGED && position == limit)
			return at + FMS_RING_ALIGN;
	}
}
