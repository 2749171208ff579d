/*-------------------------------------------------------------------------
 *
 * otlp_fuzz.c
 *	  libFuzzer target: whatever bytes a request has, both decoders of OTLP stay
 *	  inside of them, end, and hand over parts that are sound.
 *
 * A request in JSON is no request in protobuf, nor the other way round, so each
 * input goes to both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdlib.h>

#include "miscadmin.h"

#include "otlp/in/decode.h"

extern int	LLVMFuzzerTestOneInput(const uint8 *input, size_t size);

/* what the decoders ask of the server */
volatile sig_atomic_t InterruptPending = false;

void
ProcessInterrupts(void)
{
	abort();
}

/* what was handed over */
typedef struct Seen
{
	uint64		parts;
	uint64		sum;			/* of all bytes: they can be read */
	uint64		limit;			/* parts that are wanted */
} Seen;

/* Die unless something holds. */
static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* Read a text. */
static void
read_text(Seen *seen, FmsPart text)
{
	for (uint32 i = 0; i < text.length; i++)
		seen->sum += (unsigned char) text.data[i];
}

/* Read the nodes from "first" up to "end"; returns how many of them lie side by side. */
static uint32
read_nodes(Seen *seen, const FmsOtlpNode *nodes, uint32 first, uint32 end, bool keys, int depth)
{
	uint32		count = 0;

	must(depth <= FMS_OTLP_MAX_DEPTH + 1);
	for (uint32 i = first; i < end; i = nodes[i].next)
	{
		const FmsOtlpNode *node = &nodes[i];
		FmsPart		key = {node->key, node->key_length};
		FmsPart		bytes = {node->value.bytes, node->length};
		bool		container = node->type == FMS_OTLP_ARRAY || node->type == FMS_OTLP_MAP;

		count++;
		must(node->type <= FMS_OTLP_BYTES && node->next > i && node->next <= end);
		must(keys || node->key_length == 0);
		must(container || node->next == i + 1);
		read_text(seen, key);
		if (node->type == FMS_OTLP_STRING || node->type == FMS_OTLP_BYTES)
			read_text(seen, bytes);
		if (container)
			must(read_nodes(seen, nodes, i + 1, node->next, node->type == FMS_OTLP_MAP,
							depth + 1) == node->length);
	}
	return count;
}

/* Read attributes. */
static void
read_list(Seen *seen, const FmsOtlpNode *nodes, FmsOtlpList list)
{
	must(list.first <= list.end && list.end <= FMS_OTLP_MAX_NODES);
	(void) read_nodes(seen, nodes, list.first, list.end, true, 0);
}

/* Count a part; false if no more are wanted. */
static bool
count_part(Seen *seen)
{
	must(seen->parts < seen->limit);
	return ++seen->parts < seen->limit;
}

/* Read a resource. */
static bool
sink_resource(void *arg, const FmsOtlpResource *resource, FmsOtlpNode *nodes)
{
	Seen	   *seen = arg;

	read_list(seen, nodes, resource->attributes);
	read_text(seen, resource->schema_url);
	for (uint32 i = 0; i < resource->entity_count; i++)
	{
		const FmsOtlpEntity *entity = &resource->entities[i];

		read_text(seen, entity->schema_url);
		read_text(seen, entity->type);
		for (uint32 k = 0; k < entity->id_keys + entity->description_keys; k++)
			read_text(seen, entity->keys[k]);
	}
	return count_part(seen);
}

/* Read a scope. */
static bool
sink_scope(void *arg, const FmsOtlpScope *scope, FmsOtlpNode *nodes)
{
	Seen	   *seen = arg;

	read_list(seen, nodes, scope->attributes);
	read_text(seen, scope->name);
	read_text(seen, scope->version);
	read_text(seen, scope->schema_url);
	return count_part(seen);
}

/* Read a span. */
static bool
sink_span(void *arg, const FmsOtlpSpan *span, FmsOtlpNode *nodes)
{
	Seen	   *seen = arg;

	must(span->trace_id.length == 16 && span->span_id.length == 8 && span->start != 0);
	read_text(seen, span->trace_id);
	read_text(seen, span->span_id);
	read_text(seen, span->parent_id);
	read_text(seen, span->trace_state);
	read_text(seen, span->name);
	read_text(seen, span->message);
	read_list(seen, nodes, span->attributes);
	must(span->event_count <= FMS_OTLP_MAX_PARTS && span->link_count <= FMS_OTLP_MAX_PARTS);
	for (uint32 i = 0; i < span->event_count; i++)
	{
		read_text(seen, span->events[i].name);
		read_list(seen, nodes, span->events[i].attributes);
	}
	for (uint32 i = 0; i < span->link_count; i++)
	{
		read_text(seen, span->links[i].trace_id);
		read_text(seen, span->links[i].span_id);
		read_text(seen, span->links[i].trace_state);
		read_list(seen, nodes, span->links[i].attributes);
	}
	return count_part(seen);
}

/* Count a span that is none. */
static bool
sink_reject(void *arg, const char *reason)
{
	must(reason != NULL && reason[0] != '\0');
	return count_part(arg);
}

/* Memory for a decoder. */
static void *
sink_resize(void *arg, void *memory, size_t bytes)
{
	if (bytes == 0)
	{
		free(memory);
		return NULL;
	}
	memory = realloc(memory, bytes);
	must(memory != NULL);
	return memory;
}

/* Decode the input both ways, from memory that ends where it ends. */
int
LLVMFuzzerTestOneInput(const uint8 *input, size_t size)
{
	char	   *body = malloc(size);

	if (size > 0)
		memcpy(body, input, size);
	for (int json = 0; json < 2; json++)
	{
		Seen		seen = {0};
		FmsOtlpSink sink = {.arg = &seen, .resource = sink_resource, .scope = sink_scope,
		.span = sink_span, .reject = sink_reject, .resize = sink_resize};
		const char *error = NULL;
		size_t		error_at = 0;
		bool		decoded;

		/* now and then the sink has had enough before the end */
		seen.limit = size % 16 == 0 ? 3 : PG_UINT64_MAX;
		decoded = json ? fms_otlp_decode_json(body, size, &sink, &error, &error_at) :
			fms_otlp_decode_protobuf(body, size, &sink, &error, &error_at);
		must(decoded || (seen.parts == 0 && error != NULL && error_at <= size));
	}
	free(body);
	return 0;
}
