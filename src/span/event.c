/*-------------------------------------------------------------------------
 *
 * event.c
 *	  The form of an event in a record.
 *
 * A fixed part, then the lengths of the parts that are there, then those
 * parts in the order of FmsPartIndex, each at a multiple of 8 bytes, so that a
 * jsonb can be used where it lies.  A part that is absent takes no room.
 * Numbers are in the machine's own byte order: a record never leaves the
 * machine that made it.
 *
 * Nothing here calls the server or allocates.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "span/event.h"

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
	int64		other_at;		/* ended_at of a whole span, else started_at */
	int64		recorded_at;
	int32		pid;
	uint32		parts;			/* a bit for each part that is there */
	uint32		length[FLEXIBLE_ARRAY_MEMBER];
} EncodedEvent;

StaticAssertDecl(offsetof(EncodedEvent, length) % 8 == 0, "parts of an event must be aligned");
StaticAssertDecl(FMS_PARTS <= 32, "a part of an event must have a bit");

/* Bytes before the first of "count" parts. */
static size_t
head_bytes(int count)
{
	return PART_ALIGN(offsetof(EncodedEvent, length) + sizeof(uint32) * count);
}

/* Bytes that fms_event_encode will write: a multiple of 8. */
size_t
fms_event_encoded_size(const FmsEvent *event)
{
	size_t		size = 0;
	int			count = 0;

	for (int i = 0; i < FMS_PARTS; i++)
	{
		if (event->part[i].data == NULL)
			continue;
		size += PART_ALIGN(event->part[i].length);
		count++;
	}
	return head_bytes(count) + size;
}

/* Write an event to "out", which has room for its encoded size. */
void
fms_event_encode(const FmsEvent *event, char *out)
{
	EncodedEvent *head = (EncodedEvent *) out;
	int			count = 0;

	head->kind = event->kind;
	head->status = event->status;
	head->flags = event->flags;
	head->table = event->table;
	head->span_id = event->span_id;
	head->trace_id = event->trace_id;
	head->parent_span_id = event->parent_span_id;
	head->at = event->at;
	head->other_at = event->kind == FMS_EVENT_SPAN ? event->ended_at : event->started_at;
	head->recorded_at = event->recorded_at;
	head->pid = event->pid;
	head->parts = 0;
	for (int i = 0; i < FMS_PARTS; i++)
	{
		if (event->part[i].data == NULL)
			continue;
		head->parts |= (uint32) 1 << i;
		head->length[count++] = event->part[i].length;
	}
	if (count % 2 != 0)
		head->length[count] = 0;
	out += head_bytes(count);
	for (int i = 0; i < FMS_PARTS; i++)
	{
		const FmsPart *part = &event->part[i];
		size_t		padded = PART_ALIGN(part->length);

		if (part->data == NULL)
			continue;
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

/* Number of parts of an encoded event. */
static int
count_parts(const EncodedEvent *head)
{
	int			count = 0;

	for (int i = 0; i < FMS_PARTS; i++)
		count += (head->parts >> i) & 1;
	return count;
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
	const uint32 *part_length = head->length;
	size_t		used;

	if (length < offsetof(EncodedEvent, length) ||
		head->kind < FMS_EVENT_START || head->kind > FMS_EVENT_SCOPE ||
		head->status > FMS_STATUS_CANCELLED || head->parts >> FMS_PARTS != 0)
		return false;
	used = head_bytes(count_parts(head));
	if (length < used)
		return false;
	event->kind = head->kind;
	event->status = head->status;
	event->flags = head->flags;
	event->table = head->table;
	event->span_id = head->span_id;
	event->trace_id = head->trace_id;
	event->parent_span_id = head->parent_span_id;
	event->at = head->at;
	event->started_at = head->kind == FMS_EVENT_SPAN ? head->at : head->other_at;
	event->ended_at = head->other_at;
	event->recorded_at = head->recorded_at;
	event->pid = head->pid;
	for (int i = 0; i < FMS_PARTS; i++)
	{
		FmsPart    *part = &event->part[i];

		part->data = NULL;
		part->length = 0;
		if ((head->parts >> i & 1) == 0)
			continue;
		if (PART_ALIGN(*part_length) > length - used)
			return false;
		part->data = in + used;
		part->length = *part_length++;
		if (i >= FMS_PART_ATTRIBUTES && !is_whole_jsonb(part))
			return false;
		used += PART_ALIGN(part->length);
	}
	return used == length;
}
