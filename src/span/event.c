/*-------------------------------------------------------------------------
 *
 * event.c
 *	  The form of an event in a record.
 *
 * A fixed part, then the variable parts in the order of FmsPartIndex, each
 * at a multiple of 8 bytes, so that a jsonb can be used where it lies.  A part
 * that is absent has the length ABSENT and takes no room.  Numbers are in the
 * machine's own byte order: a record never leaves the machine that made it.
 *
 * Nothing here calls the server or allocates.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "span/event.h"

#define ABSENT PG_UINT32_MAX
#define PART_ALIGN(length) TYPEALIGN64(8, (uint64) (length))

typedef struct EncodedEvent
{
	uint8		kind;
	uint8		status;
	uint16		flags;
	uint32		table;
	pg_uuid_t	span_id;
	pg_uuid_t	trace_id;
	pg_uuid_t	parent_span_id;
	int64		at;
	int64		started_at;
	int64		recorded_at;
	uint32		length[FMS_PARTS];
	int32		pid;
} EncodedEvent;

StaticAssertDecl(sizeof(EncodedEvent) % 8 == 0, "parts of an event must be aligned");

/* Bytes that fms_event_encode will write: a multiple of 8. */
size_t
fms_event_encoded_size(const FmsEvent *event)
{
	size_t		size = sizeof(EncodedEvent);

	for (int i = 0; i < FMS_PARTS; i++)
	{
		if (event->part[i].data != NULL)
			size += PART_ALIGN(event->part[i].length);
	}
	return size;
}

/* Write an event to "out", which has room for its encoded size. */
void
fms_event_encode(const FmsEvent *event, char *out)
{
	EncodedEvent *head = (EncodedEvent *) out;

	head->kind = event->kind;
	head->status = event->status;
	head->flags = event->flags;
	head->table = event->table;
	head->span_id = event->span_id;
	head->trace_id = event->trace_id;
	head->parent_span_id = event->parent_span_id;
	head->at = event->at;
	head->started_at = event->started_at;
	head->recorded_at = event->recorded_at;
	head->pid = event->pid;
	out += sizeof(EncodedEvent);
	for (int i = 0; i < FMS_PARTS; i++)
	{
		const FmsPart *part = &event->part[i];
		size_t		padded = PART_ALIGN(part->length);

		if (part->data == NULL)
		{
			head->length[i] = ABSENT;
			continue;
		}
		head->length[i] = part->length;
		/* the padding is part of the checksum: it must have a value */
		if (padded > part->length)
			memset(out + padded - 8, 0, 8);
		memcpy(out, part->data, part->length);
		out += padded;
	}
}

/* Whether a jsonb part has a plain varlena header that tells its own length. */
static bool
is_whole_jsonb(const FmsPart *part)
{
	return part->length >= VARHDRSZ + sizeof(uint32) &&
		VARATT_IS_4B_U(part->data) && VARSIZE(part->data) == part->length;
}

/*
 * Read an event from bytes at an address that is a multiple of 8.  The parts
 * of the result point into them.  Returns false, with nothing promised about
 * *event, unless every length fits.
 */
bool
fms_event_decode(const char *in, size_t length, FmsEvent *event)
{
	const EncodedEvent *head = (const EncodedEvent *) in;
	size_t		used = sizeof(EncodedEvent);

	if (length < used || head->kind < FMS_EVENT_START || head->kind > FMS_EVENT_EVENT ||
		head->status > FMS_STATUS_CANCELLED)
		return false;
	event->kind = head->kind;
	event->status = head->status;
	event->flags = head->flags;
	event->table = head->table;
	event->span_id = head->span_id;
	event->trace_id = head->trace_id;
	event->parent_span_id = head->parent_span_id;
	event->at = head->at;
	event->started_at = head->started_at;
	event->recorded_at = head->recorded_at;
	event->pid = head->pid;
	for (int i = 0; i < FMS_PARTS; i++)
	{
		FmsPart    *part = &event->part[i];

		part->data = NULL;
		part->length = 0;
		if (head->length[i] == ABSENT)
			continue;
		if (PART_ALIGN(head->length[i]) > length - used)
			return false;
		part->data = in + used;
		part->length = head->length[i];
		if (i >= FMS_PART_ATTRIBUTES && !is_whole_jsonb(part))
			return false;
		used += PART_ALIGN(part->length);
	}
	return used == length;
}
