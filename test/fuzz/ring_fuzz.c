/*-------------------------------------------------------------------------
 *
 * ring_fuzz.c
 *	  libFuzzer target: whatever bytes a ring file holds, reading it stays
 *	  inside of it and ends.
 *
 * The first bytes become the header, which is then made sound where a checksum
 * would stop everything; the rest is the data area.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdlib.h>

#include "buffer/ring.h"
#include "span/event.h"

#define DATA_BYTES 4096
#define SALT UINT64CONST(0x8000000000000000)

extern int	LLVMFuzzerTestOneInput(const uint8 *input, size_t size);

/* Put the mark that belongs to a position: an append writes it, and what follows comes back. */
static void
put_mark(FmsRing *ring, uint64 at)
{
	char		saved[FMS_RING_RECORD_BYTES];
	char	   *place = ring->data + at % DATA_BYTES;
	char	   *after = ring->data + (at + FMS_RING_ALIGN) % DATA_BYTES;
	uint64		mark_after;

	memcpy(saved, place, sizeof(saved));
	memcpy(&mark_after, after, sizeof(mark_after));
	(void) fms_ring_append(ring, at, at, "", 0, 0);
	memcpy(place + sizeof(uint64), saved + sizeof(uint64), sizeof(saved) - sizeof(uint64));
	memcpy(after, &mark_after, sizeof(mark_after));
}

/* Walk the ring that the input makes. */
int
LLVMFuzzerTestOneInput(const uint8 *input, size_t size)
{
	char	   *file;
	FmsRing		ring;
	uint64		records;
	uint64		head;
	uint64		position;

	if (size < 9)
		return 0;
	file = calloc(1, FMS_RING_HEADER_BYTES + DATA_BYTES);
	fms_ring_map(&ring, file, FMS_RING_HEADER_BYTES + DATA_BYTES);
	fms_ring_format(&ring, DATA_BYTES, 1, 1, 0, SALT);
	fms_ring_acknowledge(&ring, (*(const uint16 *) input & 0xfff) * FMS_RING_ALIGN);
	memcpy(ring.data, input + 8, Min(size - 8, DATA_BYTES));
	/* marks are hard to guess: give every place the one that it needs */
	for (uint64 i = 0; i < DATA_BYTES / FMS_RING_ALIGN && (input[2] & 1); i++)
	{
		uint64		at = fms_ring_tail(&ring) + i * FMS_RING_ALIGN;

		if (input[8 + i % (size - 8)] & 2)
			put_mark(&ring, at);
	}
	head = fms_ring_find_head(&ring, fms_ring_read, &records);
	position = fms_ring_tail(&ring);
	while (position < head)
	{
		const char *body;
		uint32		length;
		FmsEvent	event;

		uint64		before = position;

		switch (fms_ring_read(&ring, &position, head, &body, &length))
		{
			case FMS_RING_RECORD:
				(void) fms_event_decode(body, length, &event);
				break;
			case FMS_RING_END:
				abort();
			default:
				break;
		}
		if (position <= before || position > head)
			abort();
	}

	/*
	 * an event of the bytes themselves, at an aligned address of their own
	 * size
	 */
	{
		char	   *copy = malloc(size);
		FmsEvent	event;

		memcpy(copy, input, size);
		if (fms_event_decode(copy, size, &event))
		{
			char	   *again = malloc(fms_event_encoded_size(&event));

			fms_event_encode(&event, again);
			if (!fms_event_decode(again, fms_event_encoded_size(&event), &event))
				abort();
			free(again);
		}
		free(copy);
	}
	free(file);
	return 0;
}
