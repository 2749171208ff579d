/*-------------------------------------------------------------------------
 *
 * decode.c
 *	  What the decoders of both encodings share: their memory, and which spans
 *	  are none.
 *
 * The memory of a part (a span, a resource, a scope) is used again for the
 * next one.  It grows to what the largest part needs, at most to the limits of
 * decode.h, and is given back at the end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limit.h"
#include "otlp/in/decode.h"

#define CHUNK_BYTES FMS_LIMIT(8192, 16) /* of unescaped text; a longer text
										 * has its own */

typedef struct FmsOtlpChunk
{
	struct FmsOtlpChunk *next;
	size_t		used;
	size_t		room;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} FmsOtlpChunk;

/* Begin, with nothing decoded and no memory taken. */
void
fms_otlp_begin(FmsOtlpDecoder *decoder, const FmsOtlpSink *sink)
{
	memset(decoder, 0, sizeof(*decoder));
	decoder->sink = sink;
}

/* Give memory back; NULL is none. */
static void
give_back(FmsOtlpDecoder *decoder, void *memory)
{
	if (memory != NULL)
		(void) decoder->sink->resize(decoder->sink->arg, memory, 0);
}

/* Give all memory back. */
void
fms_otlp_end(FmsOtlpDecoder *decoder)
{
	while (decoder->chunks != NULL)
	{
		FmsOtlpChunk *next = decoder->chunks->next;

		give_back(decoder, decoder->chunks);
		decoder->chunks = next;
	}
	give_back(decoder, decoder->nodes);
	give_back(decoder, decoder->events);
	give_back(decoder, decoder->links);
	give_back(decoder, decoder->entities);
	give_back(decoder, decoder->texts);
}

/* Forget the part at hand: the next one uses its memory. */
void
fms_otlp_forget(FmsOtlpDecoder *decoder)
{
	decoder->node_count = 0;
	decoder->text_count = 0;
	decoder->reason = NULL;
	while (decoder->chunks != NULL && decoder->chunks->next != NULL)
	{
		FmsOtlpChunk *next = decoder->chunks->next;

		give_back(decoder, decoder->chunks);
		decoder->chunks = next;
	}
	if (decoder->chunks != NULL)
		decoder->chunks->used = 0;
}

/* Say why the part at hand can't be used; the first reason counts.  Returns false. */
bool
fms_otlp_refuse(FmsOtlpDecoder *decoder, const char *reason)
{
	if (decoder->reason == NULL)
		decoder->reason = reason;
	return false;
}

/*
 * Make room for one more element of an array.  Returns false at the limit.
 */
static bool
grow_array(FmsOtlpDecoder *decoder, void **array, uint32 *room, uint32 count, uint32 limit,
		   size_t bytes)
{
	uint32		more;

	if (count < *room)
		return true;
	if (count >= limit)
		return false;
	more = Min(Max(*room * 2, 64), limit);
	*array = decoder->sink->resize(decoder->sink->arg, *array, bytes * more);
	*room = more;
	return true;
}

/*
 * A new node after the last, without a key or a value.  It stays where it is
 * only until the next one is added.  NULL at the limit.
 */
FmsOtlpNode *
fms_otlp_add_node(FmsOtlpDecoder *decoder)
{
	FmsOtlpNode *node;

	if (!grow_array(decoder, (void **) &decoder->nodes, &decoder->node_room, decoder->node_count,
					FMS_OTLP_MAX_NODES, sizeof(FmsOtlpNode)))
	{
		(void) fms_otlp_refuse(decoder, "more than 65536 values in its attributes");
		return NULL;
	}
	node = &decoder->nodes[decoder->node_count++];
	memset(node, 0, sizeof(*node));
	node->next = decoder->node_count;
	return node;
}

/* A new event of a span; NULL at the limit. */
FmsOtlpEvent *
fms_otlp_add_event(FmsOtlpDecoder *decoder, FmsOtlpSpan *span)
{
	FmsOtlpEvent *event;

	if (!grow_array(decoder, (void **) &decoder->events, &decoder->event_room, span->event_count,
					FMS_OTLP_MAX_PARTS, sizeof(FmsOtlpEvent)))
	{
		(void) fms_otlp_refuse(decoder, "more than 16384 events");
		return NULL;
	}
	span->events = decoder->events;
	event = &decoder->events[span->event_count++];
	memset(event, 0, sizeof(*event));
	return event;
}

/* A new link of a span; NULL at the limit. */
FmsOtlpLink *
fms_otlp_add_link(FmsOtlpDecoder *decoder, FmsOtlpSpan *span)
{
	FmsOtlpLink *link;

	if (!grow_array(decoder, (void **) &decoder->links, &decoder->link_room, span->link_count,
					FMS_OTLP_MAX_PARTS, sizeof(FmsOtlpLink)))
	{
		(void) fms_otlp_refuse(decoder, "more than 16384 links");
		return NULL;
	}
	span->links = decoder->links;
	link = &decoder->links[span->link_count++];
	memset(link, 0, sizeof(*link));
	return link;
}

/* A new entity of a resource; NULL at the limit. */
FmsOtlpEntity *
fms_otlp_add_entity(FmsOtlpDecoder *decoder, FmsOtlpResource *resource)
{
	FmsOtlpEntity *entity;

	if (!grow_array(decoder, (void **) &decoder->entities, &decoder->entity_room,
					resource->entity_count, FMS_OTLP_MAX_PARTS, sizeof(FmsOtlpEntity)))
	{
		(void) fms_otlp_refuse(decoder, "more than 16384 entities");
		return NULL;
	}
	resource->entities = decoder->entities;
	entity = &decoder->entities[resource->entity_count++];
	memset(entity, 0, sizeof(*entity));
	return entity;
}

/* Keep a key of the last entity, after its others. */
bool
fms_otlp_add_text(FmsOtlpDecoder *decoder, FmsPart text)
{
	if (!grow_array(decoder, (void **) &decoder->texts, &decoder->text_room, decoder->text_count,
					FMS_OTLP_MAX_NODES, sizeof(FmsPart)))
		return fms_otlp_refuse(decoder, "more than 65536 keys of entities");
	decoder->texts[decoder->text_count++] = text;
	return true;
}

/* Tell the entities where their keys are, when all are there. */
void
fms_otlp_finish_entities(FmsOtlpDecoder *decoder, FmsOtlpResource *resource)
{
	FmsPart    *keys = decoder->texts;

	for (uint32 i = 0; i < resource->entity_count; i++)
	{
		FmsOtlpEntity *entity = &resource->entities[i];

		entity->keys = keys;
		if (keys != NULL)
			keys += entity->id_keys + entity->description_keys;
	}
}

/* Room for text of the part at hand. */
char *
fms_otlp_take_bytes(FmsOtlpDecoder *decoder, size_t bytes)
{
	FmsOtlpChunk *chunk = decoder->chunks;

	if (chunk == NULL || chunk->room - chunk->used < bytes)
	{
		size_t		room = Max(bytes, CHUNK_BYTES);

		chunk = decoder->sink->resize(decoder->sink->arg, NULL,
									  offsetof(FmsOtlpChunk, bytes) + room);
		chunk->room = room;
		chunk->used = 0;
		chunk->next = decoder->chunks;
		decoder->chunks = chunk;
	}
	chunk->used += bytes;
	return chunk->bytes + chunk->used - bytes;
}

/* Whether an id has so many bytes, not all of them zero. */
static bool
is_id(FmsPart id, uint32 bytes)
{
	static const char zeros[16] = {0};

	return id.length == bytes && memcmp(id.data, zeros, bytes) != 0;
}

/* Say what makes a span none; false if there is something. */
static bool
check_span(FmsOtlpDecoder *decoder, const FmsOtlpSpan *span)
{
	if (decoder->reason != NULL)
		return false;
	if (span->like_log && !is_id(span->trace_id, 16))
		return fms_otlp_refuse(decoder,
							   "it is a log record: logs do not go to the place for traces");
	if (!is_id(span->trace_id, 16))
		return fms_otlp_refuse(decoder, "trace_id is not 16 bytes, or all zero");
	if (!is_id(span->span_id, 8))
		return fms_otlp_refuse(decoder, "span_id is not 8 bytes, or all zero");
	if (span->parent_id.length != 0 && span->parent_id.length != 8)
		return fms_otlp_refuse(decoder, "parent_span_id is not 8 bytes");
	if (span->start == 0)
		return fms_otlp_refuse(decoder, "start time is missing");
	if (span->start > PG_INT64_MAX || span->end > PG_INT64_MAX)
		return fms_otlp_refuse(decoder, "start or end time is after 2262-04-11");
	return true;
}

/*
 * Count a resource or a scope.  They cost more than they take in the request,
 * so those beyond the limit are refused, and their spans with them.
 */
void
fms_otlp_count_group(FmsOtlpDecoder *decoder)
{
	decoder->groups++;
	if (decoder->groups > FMS_OTLP_MAX_GROUPS)
		(void) fms_otlp_refuse(decoder, "more than 100000 resources and scopes in a request");
}

/*
 * Hand over a span of so many bytes, or the reason why it is none.  Returns
 * false if the sink wants no more.
 */
bool
fms_otlp_finish_span(FmsOtlpDecoder *decoder, const FmsOtlpSpan *span, size_t bytes)
{
	const FmsOtlpSink *sink = decoder->sink;

	decoder->spans++;
	if (decoder->spans > FMS_OTLP_MAX_SPANS)
		(void) fms_otlp_refuse(decoder, "more than 100000 spans in a request");
	if (bytes > FMS_OTLP_MAX_SPAN_BYTES)
		(void) fms_otlp_refuse(decoder, "larger than 16 MB");
	if (check_span(decoder, span))
		return sink->span(sink->arg, span, decoder->nodes);
	return sink->reject(sink->arg, decoder->reason);
}
