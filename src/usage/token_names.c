/*-------------------------------------------------------------------------
 *
 * token_names.c
 *	  The names under which instrumentations tell what a model call used.
 *
 * Every instrumentation has names of its own for the same thing.  They are
 * all in one list here; of the names of one field the first in the list wins.
 * The keys of a jsonb object are ordered by length, and so is the list once it
 * is in use: a key whose length no name has costs one comparison.
 *
 * Spans come from few places in a program, so most objects have just the keys
 * of one that was seen before.  A jsonb object begins with the lengths of its
 * keys and then the keys themselves: where both are equal, byte by byte, to
 * those of an object that is remembered, so is what they mean, and no key is
 * looked up at all.  A process remembers LAYOUTS objects, each at a place that
 * follows from its keys; another one with the same place takes it over.
 *
 * The memory is static, hence bounded (75 KB, of which a process that reads no
 * usage touches nothing), and holds nothing that could become stale: what a key
 * means never changes while a process runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limit.h"
#include "span/names.h"
#include "usage/token_names.h"

#define LAYOUTS FMS_LIMIT(32, 1)	/* objects that are remembered, a power of
									 * two */
#define LAYOUT_KEYS FMS_LIMIT(64, 2)	/* an object with more keys is not
										 * remembered, */
#define LAYOUT_BYTES FMS_LIMIT(1536, 16)	/* nor one whose keys are longer
											 * than this */

/* the keys of an object that was seen, and what they mean */
typedef struct Layout
{
	int			object;			/* where the object was */
	int			keys;			/* 0: the place is free */
	uint32		key_bytes;
	int			uses;
	JEntry		entries[LAYOUT_KEYS];	/* of the keys, with their lengths */
	char		bytes[LAYOUT_BYTES];	/* the keys, one after the other */
	FmsKeyUse	use[LAYOUT_KEYS];
} Layout;

/*
 * In the order of precedence: a standard's present name, its former ones, what
 * is specific to a framework, what is our own, and at last what is derived by a
 * tool in between.  Sorted by length when first used; names of equal length
 * must not be equal.
 */
static FmsName names[] = {
	/* input, cached tokens included; of an embedding all tokens */
	{"gen_ai.usage.input_tokens", FMS_TOKENS_INPUT},
	{"gen_ai.usage.prompt_tokens", FMS_TOKENS_INPUT},
	{"llm.token_count.prompt", FMS_TOKENS_INPUT},
	{"ai.usage.inputTokens", FMS_TOKENS_INPUT},
	{"ai.usage.promptTokens", FMS_TOKENS_INPUT},
	{"ai.usage.tokens", FMS_TOKENS_INPUT},
	{"usage.inputTokens", FMS_TOKENS_INPUT},
	{"promptTokens", FMS_TOKENS_INPUT},
	{"langfuse.observation.usage_details.input", FMS_TOKENS_INPUT},

	/* output, reasoning included */
	{"gen_ai.usage.output_tokens", FMS_TOKENS_OUTPUT},
	{"gen_ai.usage.completion_tokens", FMS_TOKENS_OUTPUT},
	{"llm.token_count.completion", FMS_TOKENS_OUTPUT},
	{"ai.usage.outputTokens", FMS_TOKENS_OUTPUT},
	{"ai.usage.completionTokens", FMS_TOKENS_OUTPUT},
	{"usage.outputTokens", FMS_TOKENS_OUTPUT},
	{"completionTokens", FMS_TOKENS_OUTPUT},
	{"langfuse.observation.usage_details.output", FMS_TOKENS_OUTPUT},

	/* total, where it is told; else it is computed */
	{"gen_ai.usage.total_tokens", FMS_TOKENS_TOTAL},
	{"llm.token_count.total", FMS_TOKENS_TOTAL},
	{"ai.usage.totalTokens", FMS_TOKENS_TOTAL},
	{"llm.usage.total_tokens", FMS_TOKENS_TOTAL},
	{"totalTokens", FMS_TOKENS_TOTAL},
	{"langfuse.observation.usage_details.total", FMS_TOKENS_TOTAL},

	/*
	 * Tokens read from a cache.  What the AI SDK passes on from the provider
	 * is the last resort: its own names follow the rule that parts lie
	 * inside.
	 */
	{"gen_ai.usage.cache_read.input_tokens", FMS_TOKENS_CACHE_READ},
	{"gen_ai.usage.cache_read_input_tokens", FMS_TOKENS_CACHE_READ},
	{"llm.token_count.prompt_details.cache_read", FMS_TOKENS_CACHE_READ},
	{"ai.usage.inputTokenDetails.cacheReadTokens", FMS_TOKENS_CACHE_READ},
	{"ai.usage.cachedInputTokens", FMS_TOKENS_CACHE_READ},
	{"usage.inputDetails.cacheRead", FMS_TOKENS_CACHE_READ},
	{"langfuse.observation.usage_details.cache_read_tokens", FMS_TOKENS_CACHE_READ},
	{"langfuse.observation.usage_details.input_cached_tokens", FMS_TOKENS_CACHE_READ},
	{"ai.response.providerMetadata.openai.cachedPromptTokens", FMS_TOKENS_CACHE_READ},
	{"ai.response.providerMetadata.anthropic.usage.cache_read_input_tokens", FMS_TOKENS_CACHE_READ},
	{"ai.response.providerMetadata.anthropic.cacheReadInputTokens", FMS_TOKENS_CACHE_READ},
	{"ai.response.providerMetadata.bedrock.usage.cacheReadInputTokens", FMS_TOKENS_CACHE_READ},

	/* tokens written to a cache */
	{"gen_ai.usage.cache_write.input_tokens", FMS_TOKENS_CACHE_WRITE},
	{"gen_ai.usage.cache_creation.input_tokens", FMS_TOKENS_CACHE_WRITE},
	{"llm.token_count.prompt_details.cache_write", FMS_TOKENS_CACHE_WRITE},
	{"ai.usage.inputTokenDetails.cacheWriteTokens", FMS_TOKENS_CACHE_WRITE},
	{"gen_ai.usage.cache_creation_input_tokens", FMS_TOKENS_CACHE_WRITE},
	{"usage.inputDetails.cacheWrite", FMS_TOKENS_CACHE_WRITE},
	{"langfuse.observation.usage_details.cache_write_tokens", FMS_TOKENS_CACHE_WRITE},
	{"langfuse.observation.usage_details.input_cache_creation", FMS_TOKENS_CACHE_WRITE},
	{"ai.response.providerMetadata.anthropic.usage.cache_creation_input_tokens",
	FMS_TOKENS_CACHE_WRITE},
	{"ai.response.providerMetadata.anthropic.cacheCreationInputTokens", FMS_TOKENS_CACHE_WRITE},
	{"ai.response.providerMetadata.bedrock.usage.cacheWriteInputTokens", FMS_TOKENS_CACHE_WRITE},

	/*
	 * the same by how long the cache keeps them: summed up if the sum is not
	 * told
	 */
	{"gen_ai.usage.cache_creation.5m_input_tokens", FMS_NAME_CACHE_WRITE_5M},
	{"langfuse.observation.usage_details.input_cache_creation_5m", FMS_NAME_CACHE_WRITE_5M},
	{"ai.response.providerMetadata.anthropic.usage.cache_creation.ephemeral_5m_input_tokens",
	FMS_NAME_CACHE_WRITE_5M},
	{"gen_ai.usage.cache_creation.1h_input_tokens", FMS_NAME_CACHE_WRITE_1H},
	{"langfuse.observation.usage_details.input_cache_creation_1h", FMS_NAME_CACHE_WRITE_1H},
	{"ai.response.providerMetadata.anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
	FMS_NAME_CACHE_WRITE_1H},

	/* Anthropic itself tells the input without cached tokens */
	{"ai.response.providerMetadata.anthropic.usage.input_tokens", FMS_NAME_BARE_INPUT},

	/* reasoning, a part of the output */
	{"gen_ai.usage.reasoning.output_tokens", FMS_TOKENS_REASONING},
	{"llm.token_count.completion_details.reasoning", FMS_TOKENS_REASONING},
	{"ai.usage.outputTokenDetails.reasoningTokens", FMS_TOKENS_REASONING},
	{"ai.usage.reasoningTokens", FMS_TOKENS_REASONING},
	{"gen_ai.usage.reasoning_tokens", FMS_TOKENS_REASONING},
	{"llm.usage.reasoning_tokens", FMS_TOKENS_REASONING},
	{"usage.outputDetails.reasoning", FMS_TOKENS_REASONING},
	{"langfuse.observation.usage_details.output_reasoning_tokens", FMS_TOKENS_REASONING},
	{"ai.response.providerMetadata.openai.reasoningTokens", FMS_TOKENS_REASONING},

	/* audio, parts of input and output */
	{"gen_ai.usage.audio.input_tokens", FMS_TOKENS_AUDIO_INPUT},
	{"llm.token_count.prompt_details.audio", FMS_TOKENS_AUDIO_INPUT},
	{"gen_ai.usage.audio_input_tokens", FMS_TOKENS_AUDIO_INPUT},

	{"gen_ai.usage.audio.output_tokens", FMS_TOKENS_AUDIO_OUTPUT},
	{"llm.token_count.completion_details.audio", FMS_TOKENS_AUDIO_OUTPUT},
	{"gen_ai.usage.audio_output_tokens", FMS_TOKENS_AUDIO_OUTPUT},

	/* a cost, in dollars: as one sum, or for input and output */
	{"gen_ai.usage.cost.amount", FMS_NAME_COST_TOTAL},
	{"gen_ai.usage.cost", FMS_NAME_COST_TOTAL},
	{"llm.cost.total", FMS_NAME_COST_TOTAL},
	{"totalCost", FMS_NAME_COST_TOTAL},
	{"flowmaestro.cost.total", FMS_NAME_COST_TOTAL},
	{"langfuse.observation.cost_details.total", FMS_NAME_COST_TOTAL},
	{"llm.cost.prompt", FMS_NAME_COST_INPUT},
	{"inputCost", FMS_NAME_COST_INPUT},
	{"flowmaestro.cost.input", FMS_NAME_COST_INPUT},
	{"langfuse.observation.cost_details.input", FMS_NAME_COST_INPUT},
	{"llm.cost.completion", FMS_NAME_COST_OUTPUT},
	{"outputCost", FMS_NAME_COST_OUTPUT},
	{"flowmaestro.cost.output", FMS_NAME_COST_OUTPUT},
	{"langfuse.observation.cost_details.output", FMS_NAME_COST_OUTPUT},

	/* who sells the model */
	{"gen_ai.provider.name", FMS_NAME_TEXT(FMS_USAGE_PROVIDER)},
	{"gen_ai.system", FMS_NAME_TEXT(FMS_USAGE_PROVIDER)},
	{"llm.provider", FMS_NAME_TEXT(FMS_USAGE_PROVIDER)},
	{"llm.system", FMS_NAME_TEXT(FMS_USAGE_PROVIDER)},
	{"ai.model.provider", FMS_NAME_TEXT(FMS_USAGE_PROVIDER)},
	{"provider", FMS_NAME_TEXT(FMS_USAGE_PROVIDER)},

	/* the model that answered */
	{"gen_ai.response.model", FMS_NAME_TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"llm.response.model_name", FMS_NAME_TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"llm.model_name", FMS_NAME_TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"ai.response.model", FMS_NAME_TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"responseModel", FMS_NAME_TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"langfuse.observation.model.name", FMS_NAME_TEXT(FMS_USAGE_RESPONSE_MODEL)},

	/* the model that was asked for */
	{"gen_ai.request.model", FMS_NAME_TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"llm.request.model_name", FMS_NAME_TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"embedding.model_name", FMS_NAME_TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"ai.model.id", FMS_NAME_TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"model", FMS_NAME_TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"modelId", FMS_NAME_TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"llm.response.model", FMS_NAME_TEXT(FMS_USAGE_REQUEST_MODEL)},

	/* the agent, where the span has no entity_id */
	{"gen_ai.agent.id", FMS_NAME_TEXT(FMS_USAGE_ENTITY)},
	{"gen_ai.agent.name", FMS_NAME_TEXT(FMS_USAGE_ENTITY)},
	{"agent.name", FMS_NAME_TEXT(FMS_USAGE_ENTITY)},
	{"ai.telemetry.functionId", FMS_NAME_TEXT(FMS_USAGE_ENTITY)},
	{"entityId", FMS_NAME_TEXT(FMS_USAGE_ENTITY)},
	{"agentId", FMS_NAME_TEXT(FMS_USAGE_ENTITY)},
	{"flowmaestro.entity_id", FMS_NAME_TEXT(FMS_USAGE_ENTITY)},

	{"user.id", FMS_NAME_TEXT(FMS_USAGE_USER)},
	{"enduser.id", FMS_NAME_TEXT(FMS_USAGE_USER)},
	{"ai.telemetry.metadata.userId", FMS_NAME_TEXT(FMS_USAGE_USER)},
	{"traceloop.association.properties.user_id", FMS_NAME_TEXT(FMS_USAGE_USER)},
	{"gen_ai.user", FMS_NAME_TEXT(FMS_USAGE_USER)},
	{"llm.user", FMS_NAME_TEXT(FMS_USAGE_USER)},
	{"userId", FMS_NAME_TEXT(FMS_USAGE_USER)},
	{"langfuse.user.id", FMS_NAME_TEXT(FMS_USAGE_USER)},

	/* the conversation */
	{"gen_ai.conversation.id", FMS_NAME_TEXT(FMS_USAGE_SESSION)},
	{"session.id", FMS_NAME_TEXT(FMS_USAGE_SESSION)},
	{"ai.telemetry.metadata.sessionId", FMS_NAME_TEXT(FMS_USAGE_SESSION)},
	{"traceloop.association.properties.session_id", FMS_NAME_TEXT(FMS_USAGE_SESSION)},
	{"threadId", FMS_NAME_TEXT(FMS_USAGE_SESSION)},
	{"sessionId", FMS_NAME_TEXT(FMS_USAGE_SESSION)},
	{"langfuse.session.id", FMS_NAME_TEXT(FMS_USAGE_SESSION)},

	{"gen_ai.workflow.name", FMS_NAME_TEXT(FMS_USAGE_WORKFLOW)},
	{"traceloop.workflow.name", FMS_NAME_TEXT(FMS_USAGE_WORKFLOW)},
	{"workflowId", FMS_NAME_TEXT(FMS_USAGE_WORKFLOW)},

	/* what check_budget() reserved for the call */
	{"flowmaestro.reservation", FMS_NAME_TEXT(FMS_USAGE_RESERVATION)},
};

/*
 * Objects whose keys are read as if their names began with the object's; the
 * first is the attributes themselves.  The order is that of FmsKeyUse.rank.
 */
static const char *const objects[] = {
	"",
	"usage.",
	"usage.inputDetails.",
	"usage.outputDetails.",
	"langfuse.observation.usage_details.",
	"langfuse.observation.cost_details.",
	"ai.response.providerMetadata.",
	"ai.response.providerMetadata.openai.",
	"ai.response.providerMetadata.anthropic.",
	"ai.response.providerMetadata.anthropic.usage.",
	"ai.response.providerMetadata.anthropic.usage.cache_creation.",
	"ai.response.providerMetadata.bedrock.",
	"ai.response.providerMetadata.bedrock.usage.",
};

StaticAssertDecl(lengthof(objects) == FMS_NAME_OBJECTS, "every object has a place");
StaticAssertDecl(lengthof(names) < FMS_NO_NAME, "ranks are bytes");
StaticAssertDecl(lengthof(names) + lengthof(objects) <= FMS_MAX_KEY_USES,
				 "an object can have every name");

static FmsNames table = {names, lengthof(names)};
static uint8 object_length[lengthof(objects)];

/* zero at first: places that are free */
static Layout layouts[LAYOUTS];

/* Make the lists ready, once in a process. */
static void
prepare(void)
{
	for (int i = 0; i < lengthof(objects); i++)
		object_length[i] = strlen(objects[i]);
	fms_names_sort(&table);
}

/*
 * Whether a key in an object is that of another object; tell which.  Each
 * object's name is longer than that of the one it lies in, so whoever follows
 * them comes to an end.
 */
static bool
find_object(int object, const char *key, int length, FmsKeyUse *use)
{
	int			prefix = object_length[object];

	for (int i = 1; i < lengthof(objects); i++)
	{
		/* the last byte is the point that follows the key */
		if (object_length[i] == prefix + length + 1 &&
			memcmp(objects[i] + prefix, key, length) == 0 &&
			memcmp(objects[i], objects[object], prefix) == 0)
		{
			use->field = FMS_NAME_OBJECT;
			use->rank = i;
			return true;
		}
	}
	return false;
}

/*
 * What a key means in an object: field and rank are set if it means something,
 * else the result is false.
 */
bool
fms_usage_name(int object, const char *key, int length, FmsKeyUse *use)
{
	const FmsName *name;

	if (!table.sorted)
		prepare();
	name = fms_names_find(&table, objects[object], object_length[object], key, length);
	if (name == NULL)
		return find_object(object, key, length, use);
	use->field = name->field;
	use->rank = name->rank;
	return true;
}

/*
 * Look up every key of a jsonb object.  Returns how many mean something, and
 * where the keys end, in bytes.
 */
static int
look_up_keys(int object, const JsonbContainer *container, FmsKeyUse *use, uint32 *end)
{
	int			keys = JsonContainerSize(container);
	const char *data = (const char *) &container->children[keys * 2];
	uint32		offset = 0;
	int			uses = 0;

	for (int i = 0; i < keys; i++)
	{
		uint32		start = offset;

		JBE_ADVANCE_OFFSET(offset, container->children[i]);
		use[uses].index = i;
		/* keys are unique, so no more of them than names are ever kept */
		if (fms_usage_name(object, data + start, offset - start, &use[uses]))
			uses++;
	}
	*end = offset;
	return uses;
}

/*
 * The place where an object of such keys is remembered.  How many keys there
 * are and how long the first and the last is tells vocabularies apart well
 * enough, and costs nothing; a bad guess costs one look-up of the keys.
 */
static Layout *
place_of(int object, const JsonbContainer *container)
{
	int			keys = JsonContainerSize(container);
	uint32		hash = object * 3 + keys * 5 + JBE_OFFLENFLD(container->children[0]) +
		JBE_OFFLENFLD(container->children[keys - 1]) * 7;

	return &layouts[hash & (LAYOUTS - 1)];
}

/*
 * What the keys of a jsonb object mean, in the order of the keys, and where
 * the values begin, in bytes after the last entry.  The result is valid until
 * the next call; "room" has FMS_MAX_KEY_USES + 1 places and may be used for it.
 */
const FmsKeyUse *
fms_usage_names(int object, const JsonbContainer *container, FmsKeyUse *room, int *uses,
				uint32 *values)
{
	int			keys = JsonContainerSize(container);
	const char *data = (const char *) &container->children[keys * 2];
	Layout	   *layout;

	*uses = 0;
	*values = 0;
	if (keys == 0)
		return room;
	layout = place_of(object, container);
	if (layout->keys == keys && layout->object == object &&
		memcmp(layout->entries, container->children, keys * sizeof(JEntry)) == 0 &&
		memcmp(layout->bytes, data, layout->key_bytes) == 0)
	{
		*uses = layout->uses;
		*values = layout->key_bytes;
		return layout->use;
	}
	*uses = look_up_keys(object, container, room, values);
	if (keys > LAYOUT_KEYS || *values > LAYOUT_BYTES)
		return room;
	layout->object = object;
	layout->keys = keys;
	layout->key_bytes = *values;
	layout->uses = *uses;
	memcpy(layout->entries, container->children, keys * sizeof(JEntry));
	memcpy(layout->bytes, data, *values);
	memcpy(layout->use, room, *uses * sizeof(FmsKeyUse));
	return layout->use;
}
