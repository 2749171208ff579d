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
	fms_ring_map(&ring, file);
	fms_ring_format(&ring, DATA_BYTES, 1, 1, SALT);
	ring.header->tail = (*(const uint16 *) input & 0xfff) * FMS_RING_ALIGN;
	memcpy(ring.data, input + 8, Min(size - 8, DATA_BYTES));
	/* marks are hard to guess: give every place the one that it needs */
	for (uint64 i = 0; i < DATA_BYTES / FMS_RING_ALIGN && (input[2] & 1); i++)
	{
		uint64		at = ring.header->tail + i * FMS_RING_ALIGN;

		if (input[8 + i % (size - 8)] & 2)
			*(uint64 *) (ring.data + at % DATA_BYTES) = at ^ SALT;
	}
	head = fms_ring_find_head(&ring, &records);
	position = ring.header->tail;
	while (position < head)
	{
		const char *body;
		uint32		length;
		FmsEvent	event;

		position = fms_ring_read(&ring, position, &body, &length);
		if (position == 0)
			abort();
		if (body != NULL)
			(void) fms_event_decode(body, length, &event);
	}
	/* an event of the bytes themselves, at an aligned address of their own size */
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
