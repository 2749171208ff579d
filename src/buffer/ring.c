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
 *		uint64	mark		its position, xor ring_id
 *		uint32	length		of the body in bytes, or PADDING
 *		uint32	checksum	CRC-32C of the body
 *		...		body		filled up to a multiple of 16
 *
 * A record does not go round the end of the data area: what is left there is
 * filled with a record without a body and the length PADDING.
 *
 * Append writes the place after the record as no record (mark 0), then the
 * record but for its mark, then the mark.  So whoever dies at whatever
 * instruction leaves either the whole record or none, and find_head finds the
 * end by walking from tail until a mark is not the one that it must be.  What
 * an earlier lap left behind has other positions; what a caller puts into a
 * body cannot know ring_id, so it cannot look like a record; a page that
 * never reached the disk before power was lost fails its checksum.  The head
 * is therefore not stored, and tail alone, one aligned 64-bit store, is.
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
#include "port/pg_crc32c.h"

#include "buffer/ring.h"

#define MAGIC "FMSRING\n"
#define VERSION 2
#define PADDING PG_UINT32_MAX
#define AHEAD_BYTES 768
#define LINE_BYTES 64
#define TOP_BIT (UINT64CONST(1) << 63)

typedef struct RecordHeader
{
	uint64		mark;
	uint32		length;
	uint32		checksum;
} RecordHeader;

StaticAssertDecl(sizeof(RecordHeader) == FMS_RING_RECORD_BYTES, "record header has no holes");
StaticAssertDecl(sizeof(FmsRingHeader) <= FMS_RING_HEADER_BYTES, "ring header fits");

/* The record at a position. */
static inline RecordHeader *
record_at(const FmsRing *ring, uint64 position)
{
	return (RecordHeader *) (ring->data + position % ring->header->bytes);
}

/* The mark of a record at a position. */
static inline uint64
mark_of(const FmsRing *ring, uint64 position)
{
	return position ^ ring->header->ring_id;
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
	return ring->header->bytes - position % ring->header->bytes;
}

/* CRC-32C of the part of the header that does not change. */
static uint32
header_checksum(const FmsRingHeader *header)
{
	return fms_ring_checksum(header, offsetof(FmsRingHeader, tail));
}

/* Look at a mapped file as a ring. */
void
fms_ring_map(FmsRing *ring, void *file)
{
	ring->header = (FmsRingHeader *) file;
	ring->data = (char *) file + FMS_RING_HEADER_BYTES;
}

/* Make an empty ring of a mapped file of FMS_RING_HEADER_BYTES + "bytes". */
void
fms_ring_format(FmsRing *ring, uint64 bytes, uint32 database, uint64 system_identifier,
				uint64 random)
{
	FmsRingHeader *header = ring->header;

	memset(header, 0, sizeof(*header));
	memcpy(header->magic, MAGIC, sizeof(header->magic));
	header->version = VERSION;
	header->database = database;
	header->system_identifier = system_identifier;
	header->bytes = TYPEALIGN_DOWN(FMS_RING_ALIGN, bytes);
	header->ring_id = random | TOP_BIT;
	header->tail = 0;
	header->checksum = header_checksum(header);
	record_at(ring, 0)->mark = 0;
}

/* Whether a mapped file of "file_bytes" is a ring of this database and cluster. */
bool
fms_ring_is_sound(const FmsRing *ring, uint64 file_bytes, uint32 database,
				  uint64 system_identifier)
{
	const FmsRingHeader *header = ring->header;

	return file_bytes >= FMS_RING_HEADER_BYTES + FMS_RING_RECORD_BYTES &&
		memcmp(header->magic, MAGIC, sizeof(header->magic)) == 0 &&
		header->version == VERSION &&
		header->checksum == header_checksum(header) &&
		header->database == database &&
		header->system_identifier == system_identifier &&
		header->bytes >= FMS_RING_RECORD_BYTES &&
		header->bytes <= file_bytes - FMS_RING_HEADER_BYTES &&
		header->bytes % FMS_RING_ALIGN == 0 &&
		(header->ring_id & TOP_BIT) != 0 &&
		header->tail % FMS_RING_ALIGN == 0 &&
		header->tail < TOP_BIT;
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

/* Write a record but for its mark, and no record after it; then the mark. */
static void
put_record(FmsRing *ring, uint64 position, uint32 length, uint32 checksum,
		   const void *body, uint64 next)
{
	RecordHeader *record = record_at(ring, position);

	record_at(ring, next)->mark = 0;
	record->length = length;
	record->checksum = checksum;
	if (body != NULL)
		memcpy(record + 1, body, length);
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
	if (padding + need + FMS_RING_RECORD_BYTES > ring->header->bytes - used)
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

/*
 * Look at the record at a position: sets *body and *length, NULL for padding,
 * and returns the position after it.  Returns 0 if there is no sound record.
 */
uint64
fms_ring_read(const FmsRing *ring, uint64 position, const char **body, uint32 *length)
{
	const RecordHeader *record = record_at(ring, position);
	uint64		rest = bytes_to_end(ring, position);

	if (record->mark != mark_of(ring, position))
		return 0;
	if (record->length == PADDING)
	{
		*body = NULL;
		*length = 0;
		return position + rest;
	}
	if (record_bytes(record->length) > rest)
		return 0;
	if (fms_ring_checksum(record + 1, record->length) != record->checksum)
		return 0;
	*body = (const char *) (record + 1);
	*length = record->length;
	return position + record_bytes(record->length);
}

/* Let go of the records before a position. */
void
fms_ring_acknowledge(FmsRing *ring, uint64 position)
{
	*(volatile uint64 *) &ring->header->tail = position;
}

/*
 * Find the head of a ring that nobody appends to, and count its records.  A
 * ring from a file that was tampered with cannot lead this out of the data
 * area or round it twice.
 */
uint64
fms_ring_find_head(const FmsRing *ring, uint64 *records)
{
	uint64		position = ring->header->tail;
	uint64		limit = position + ring->header->bytes;

	*records = 0;
	for (;;)
	{
		const char *body;
		uint32		length;
		uint64		next = fms_ring_read(ring, position, &body, &length);

		if (next == 0 || next > limit)
			return position;
		if (body != NULL)
			(*records)++;
		position = next;
	}
}
