/*-------------------------------------------------------------------------
 *
 * tokens.c
 *	  What a span's attributes say about a model call: tokens, models, cost.
 *
 * Every instrumentation has names of its own for the same thing.  They are
 * all in one list here; of the names of one field the first in the list wins.
 * The keys of a jsonb object are ordered by length, and so is the list: one
 * pass over the keys finds all, and a key whose length no name has costs one
 * comparison.
 *
 * Counts come as numbers or as numbers in strings.  What is neither, is
 * negative or above FMS_MAX_TOKENS, is ignored and counted, never an error,
 * and the next name of the field has its turn.
 *
 * Cached, reasoning and audio tokens lie inside input and output and are never
 * added to them.  One provider reports cached tokens beside the input instead:
 * where they exceed it, the input is completed with them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "compat.h"
#include "usage/tokens.h"

#define LONGEST_NUMBER 40		/* bytes of a number in a string */
#define COST_SCALE 18			/* digits of a given cost after the point */
#define LONGEST_NAME 63
#define LONGEST_TEXT 256		/* bytes of a text: the keys of the rollups have room for it */
#define MAX_COST 1e12

/* what a name can stand for: the kinds of tokens, texts, and these */
enum
{
	CACHE_WRITE_5M = FMS_TOKEN_KINDS,
	CACHE_WRITE_1H,
	COUNTS,
	COST_TOTAL = COUNTS,
	COST_INPUT,
	COST_OUTPUT,
	TEXTS,
	FIELDS = TEXTS + FMS_USAGE_TEXTS
};

#define TEXT(which) (TEXTS + (which))

typedef struct KnownName
{
	const char *name;
	uint8		field;
	uint8		length;
	uint8		rank;			/* place in the list; the lowest wins */
} KnownName;

/* in the order of precedence; sorted by length when first used */
static KnownName names[] = {
	{"gen_ai.usage.input_tokens", FMS_TOKENS_INPUT},
	{"gen_ai.usage.prompt_tokens", FMS_TOKENS_INPUT},
	{"llm.token_count.prompt", FMS_TOKENS_INPUT},
	{"ai.usage.inputTokens", FMS_TOKENS_INPUT},
	{"ai.usage.promptTokens", FMS_TOKENS_INPUT},
	{"ai.usage.tokens", FMS_TOKENS_INPUT},
	{"usage.inputTokens", FMS_TOKENS_INPUT},
	{"promptTokens", FMS_TOKENS_INPUT},
	{"langfuse.observation.usage_details.input", FMS_TOKENS_INPUT},

	{"gen_ai.usage.output_tokens", FMS_TOKENS_OUTPUT},
	{"gen_ai.usage.completion_tokens", FMS_TOKENS_OUTPUT},
	{"llm.token_count.completion", FMS_TOKENS_OUTPUT},
	{"ai.usage.outputTokens", FMS_TOKENS_OUTPUT},
	{"ai.usage.completionTokens", FMS_TOKENS_OUTPUT},
	{"usage.outputTokens", FMS_TOKENS_OUTPUT},
	{"completionTokens", FMS_TOKENS_OUTPUT},
	{"langfuse.observation.usage_details.output", FMS_TOKENS_OUTPUT},

	{"gen_ai.usage.total_tokens", FMS_TOKENS_TOTAL},
	{"llm.token_count.total", FMS_TOKENS_TOTAL},
	{"ai.usage.totalTokens", FMS_TOKENS_TOTAL},
	{"llm.usage.total_tokens", FMS_TOKENS_TOTAL},
	{"totalTokens", FMS_TOKENS_TOTAL},
	{"langfuse.observation.usage_details.total", FMS_TOKENS_TOTAL},

	{"gen_ai.usage.cache_read.input_tokens", FMS_TOKENS_CACHE_READ},
	{"gen_ai.usage.cache_read_input_tokens", FMS_TOKENS_CACHE_READ},
	{"llm.token_count.prompt_details.cache_read", FMS_TOKENS_CACHE_READ},
	{"ai.usage.inputTokenDetails.cacheReadTokens", FMS_TOKENS_CACHE_READ},
	{"ai.usage.cachedInputTokens", FMS_TOKENS_CACHE_READ},
	{"usage.inputDetails.cacheRead", FMS_TOKENS_CACHE_READ},
	{"langfuse.observation.usage_details.cache_read_tokens", FMS_TOKENS_CACHE_READ},
	{"langfuse.observation.usage_details.input_cached_tokens", FMS_TOKENS_CACHE_READ},

	{"gen_ai.usage.cache_write.input_tokens", FMS_TOKENS_CACHE_WRITE},
	{"gen_ai.usage.cache_creation.input_tokens", FMS_TOKENS_CACHE_WRITE},
	{"llm.token_count.prompt_details.cache_write", FMS_TOKENS_CACHE_WRITE},
	{"ai.usage.inputTokenDetails.cacheWriteTokens", FMS_TOKENS_CACHE_WRITE},
	{"gen_ai.usage.cache_creation_input_tokens", FMS_TOKENS_CACHE_WRITE},
	{"usage.inputDetails.cacheWrite", FMS_TOKENS_CACHE_WRITE},
	{"langfuse.observation.usage_details.cache_write_tokens", FMS_TOKENS_CACHE_WRITE},
	{"langfuse.observation.usage_details.input_cache_creation", FMS_TOKENS_CACHE_WRITE},

	{"gen_ai.usage.cache_creation.5m_input_tokens", CACHE_WRITE_5M},
	{"langfuse.observation.usage_details.input_cache_creation_5m", CACHE_WRITE_5M},
	{"gen_ai.usage.cache_creation.1h_input_tokens", CACHE_WRITE_1H},
	{"langfuse.observation.usage_details.input_cache_creation_1h", CACHE_WRITE_1H},

	{"gen_ai.usage.reasoning.output_tokens", FMS_TOKENS_REASONING},
	{"llm.token_count.completion_details.reasoning", FMS_TOKENS_REASONING},
	{"ai.usage.outputTokenDetails.reasoningTokens", FMS_TOKENS_REASONING},
	{"ai.usage.reasoningTokens", FMS_TOKENS_REASONING},
	{"gen_ai.usage.reasoning_tokens", FMS_TOKENS_REASONING},
	{"llm.usage.reasoning_tokens", FMS_TOKENS_REASONING},
	{"usage.outputDetails.reasoning", FMS_TOKENS_REASONING},
	{"langfuse.observation.usage_details.output_reasoning_tokens", FMS_TOKENS_REASONING},

	{"gen_ai.usage.audio.input_tokens", FMS_TOKENS_AUDIO_INPUT},
	{"llm.token_count.prompt_details.audio", FMS_TOKENS_AUDIO_INPUT},
	{"gen_ai.usage.audio_input_tokens", FMS_TOKENS_AUDIO_INPUT},

	{"gen_ai.usage.audio.output_tokens", FMS_TOKENS_AUDIO_OUTPUT},
	{"llm.token_count.completion_details.audio", FMS_TOKENS_AUDIO_OUTPUT},
	{"gen_ai.usage.audio_output_tokens", FMS_TOKENS_AUDIO_OUTPUT},

	{"gen_ai.usage.cost.amount", COST_TOTAL},
	{"gen_ai.usage.cost", COST_TOTAL},
	{"llm.cost.total", COST_TOTAL},
	{"totalCost", COST_TOTAL},
	{"flowmaestro.cost.total", COST_TOTAL},
	{"langfuse.observation.cost_details.total", COST_TOTAL},
	{"llm.cost.prompt", COST_INPUT},
	{"inputCost", COST_INPUT},
	{"flowmaestro.cost.input", COST_INPUT},
	{"langfuse.observation.cost_details.input", COST_INPUT},
	{"llm.cost.completion", COST_OUTPUT},
	{"outputCost", COST_OUTPUT},
	{"flowmaestro.cost.output", COST_OUTPUT},
	{"langfuse.observation.cost_details.output", COST_OUTPUT},

	{"gen_ai.provider.name", TEXT(FMS_USAGE_PROVIDER)},
	{"gen_ai.system", TEXT(FMS_USAGE_PROVIDER)},
	{"llm.provider", TEXT(FMS_USAGE_PROVIDER)},
	{"llm.system", TEXT(FMS_USAGE_PROVIDER)},
	{"ai.model.provider", TEXT(FMS_USAGE_PROVIDER)},
	{"provider", TEXT(FMS_USAGE_PROVIDER)},

	{"gen_ai.response.model", TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"llm.response.model_name", TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"llm.model_name", TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"ai.response.model", TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"responseModel", TEXT(FMS_USAGE_RESPONSE_MODEL)},
	{"langfuse.observation.model.name", TEXT(FMS_USAGE_RESPONSE_MODEL)},

	{"gen_ai.request.model", TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"llm.request.model_name", TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"embedding.model_name", TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"ai.model.id", TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"model", TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"modelId", TEXT(FMS_USAGE_REQUEST_MODEL)},
	{"llm.response.model", TEXT(FMS_USAGE_REQUEST_MODEL)},

	{"gen_ai.agent.id", TEXT(FMS_USAGE_ENTITY)},
	{"gen_ai.agent.name", TEXT(FMS_USAGE_ENTITY)},
	{"agent.name", TEXT(FMS_USAGE_ENTITY)},
	{"ai.telemetry.functionId", TEXT(FMS_USAGE_ENTITY)},
	{"entityId", TEXT(FMS_USAGE_ENTITY)},
	{"agentId", TEXT(FMS_USAGE_ENTITY)},
	{"flowmaestro.entity_id", TEXT(FMS_USAGE_ENTITY)},

	{"user.id", TEXT(FMS_USAGE_USER)},
	{"enduser.id", TEXT(FMS_USAGE_USER)},
	{"ai.telemetry.metadata.userId", TEXT(FMS_USAGE_USER)},
	{"traceloop.association.properties.user_id", TEXT(FMS_USAGE_USER)},
	{"gen_ai.user", TEXT(FMS_USAGE_USER)},
	{"llm.user", TEXT(FMS_USAGE_USER)},
	{"userId", TEXT(FMS_USAGE_USER)},
	{"langfuse.user.id", TEXT(FMS_USAGE_USER)},

	{"gen_ai.conversation.id", TEXT(FMS_USAGE_SESSION)},
	{"session.id", TEXT(FMS_USAGE_SESSION)},
	{"ai.telemetry.metadata.sessionId", TEXT(FMS_USAGE_SESSION)},
	{"traceloop.association.properties.session_id", TEXT(FMS_USAGE_SESSION)},
	{"threadId", TEXT(FMS_USAGE_SESSION)},
	{"sessionId", TEXT(FMS_USAGE_SESSION)},
	{"langfuse.session.id", TEXT(FMS_USAGE_SESSION)},

	{"gen_ai.workflow.name", TEXT(FMS_USAGE_WORKFLOW)},
	{"traceloop.workflow.name", TEXT(FMS_USAGE_WORKFLOW)},
	{"workflowId", TEXT(FMS_USAGE_WORKFLOW)},

	{"flowmaestro.reservation", TEXT(FMS_USAGE_RESERVATION)},
};

/* objects whose keys are read as if their names began with the object's */
static const char *const nested[] = {
	"usage.",
	"usage.inputDetails.",
	"usage.outputDetails.",
	"langfuse.observation.usage_details.",
	"langfuse.observation.cost_details.",
};

/* the first name of each length, and after the last one */
static uint8 first_of_length[LONGEST_NAME + 2];
static bool sorted = false;

StaticAssertDecl(lengthof(names) < 255, "ranks are bytes");

/* what a pass has found so far */
typedef struct Reading
{
	FmsTokens  *tokens;
	uint8		rank[FIELDS];	/* of the name that gave the value; 255: none */
	int64		count[COUNTS];
	Numeric		cost[TEXTS - COUNTS];
} Reading;

/* Order names by length. */
static int
compare_names(const void *a, const void *b)
{
	return (int) ((const KnownName *) a)->length - (int) ((const KnownName *) b)->length;
}

/* Sort the names and find where each length begins, once in a process. */
static void
sort_names(void)
{
	int			n = 0;

	for (int i = 0; i < lengthof(names); i++)
	{
		names[i].length = strlen(names[i].name);
		names[i].rank = i;
	}
	qsort(names, lengthof(names), sizeof(KnownName), compare_names);
	for (int length = 0; length < lengthof(first_of_length); length++)
	{
		while (n < lengthof(names) && names[n].length < length)
			n++;
		first_of_length[length] = n;
	}
	sorted = true;
}

/* Whether spans of a type are calls of a model. */
bool
fms_tokens_is_model_call(const char *span_type, int length)
{
	static const char *const types[] = {"model_generation", "embedding_generation"};

	for (int i = 0; i < lengthof(types); i++)
	{
		if (length == strlen(types[i]) && memcmp(span_type, types[i], length) == 0)
			return true;
	}
	return false;
}

/* A number in a string, blanks around it allowed; NULL if it is none. */
static Numeric
number_in_string(const char *data, int length)
{
	char		copy[LONGEST_NUMBER + 1];
	const char *p = copy;
	int			digits;

	if (length == 0 || length > LONGEST_NUMBER)
		return NULL;
	memcpy(copy, data, length);
	copy[length] = '\0';
	p += strspn(p, " ");
	p += *p == '-' || *p == '+';
	digits = strspn(p, "0123456789");
	p += digits;
	if (*p == '.')
	{
		int			fraction = strspn(p + 1, "0123456789");

		digits += fraction;
		p += 1 + fraction;
	}
	if (digits > 0 && (*p == 'e' || *p == 'E'))
	{
		p += 1 + (p[1] == '-' || p[1] == '+');
		/* two digits keep it small */
		digits = strspn(p, "0123456789");
		p += digits;
		if (digits > 2)
			return NULL;
	}
	if (digits == 0 || p[strspn(p, " ")] != '\0')
		return NULL;
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(copy),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * A whole number below 10^8 that is not negative, from its stored form: a word
 * with the weight, and up to two digits of base 10000.  Nearly every count is
 * one, and this takes a tenth of what the server's conversion takes.  False for
 * any other number; the format is that of data files and does not change.
 */
static inline bool
small_count(Numeric number, int64 *count)
{
	int			words = (VARSIZE_ANY_EXHDR(number) / sizeof(int16)) - 1;
	uint16		header;
	int16		digits[2] = {0, 0};

	memcpy(&header, VARDATA_ANY(number), sizeof(header));
	/* short form, positive, nothing after the point, weight 0 or 1 */
	if ((header & 0xFFFE) != 0x8000 || words < 0 || words > (header & 1) + 1)
		return false;
	memcpy(digits, VARDATA_ANY(number) + sizeof(header), words * sizeof(int16));
	*count = (header & 1) ? digits[0] * INT64CONST(10000) + digits[1] : digits[0];
	return true;
}

/* A number as a count; false if it is none. */
static bool
as_count(Numeric number, int64 *count)
{
	bool		too_large = false;
	double		approximate;

	if (small_count(number, count))
		return true;
	*count = numeric_int4_opt_error(number, &too_large);
	if (!too_large)
		return *count >= 0;
	approximate = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
													 NumericGetDatum(number)));
	if (!(approximate >= 0 && approximate <= (double) FMS_MAX_TOKENS))
		return false;
	*count = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(number)));
	return true;
}

/* A number as a cost, in the current memory context; NULL if it is none. */
static Numeric
as_cost(Numeric number)
{
	double		approximate = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
																 NumericGetDatum(number)));

	if (!(approximate >= 0 && approximate <= MAX_COST))
		return NULL;
	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale,
											   DirectFunctionCall2(numeric_round,
																   NumericGetDatum(number),
																   Int32GetDatum(COST_SCALE))));
}

/* Value number i of an object; numbers and texts only, else false. */
static bool
get_value(JsonbContainer *object, int i, char *data, Numeric *number, FmsPart *text)
{
	int			index = JsonContainerSize(object) + i;
	JEntry		entry = object->children[index];
	uint32		offset = getJsonbOffset(object, index);

	*number = NULL;
	text->data = NULL;
	text->length = 0;
	if (JBE_ISNUMERIC(entry))
		*number = (Numeric) (data + INTALIGN(offset));
	else if (JBE_ISSTRING(entry))
	{
		text->data = data + offset;
		text->length = getJsonbLength(object, index);
	}
	else
		return false;
	return true;
}

/* Take a value for a field; false if it does not fit. */
static bool
take(Reading *reading, int field, Numeric number, const FmsPart *text)
{
	int64		count;
	Numeric		cost;

	if (field >= TEXTS)
	{
		if (text->data == NULL || text->length == 0)
			return false;
		reading->tokens->text[field - TEXTS].data = text->data;
		reading->tokens->text[field - TEXTS].length = text->length <= LONGEST_TEXT ? text->length :
			pg_mbcliplen(text->data, text->length, LONGEST_TEXT);
		return true;
	}
	if (number == NULL)
		number = number_in_string(text->data, text->length);
	if (number == NULL)
		return false;
	if (field < COUNTS)
	{
		if (!as_count(number, &count))
			return false;
		reading->count[field] = count;
		return true;
	}
	cost = as_cost(number);
	if (cost != NULL)
		reading->cost[field - COUNTS] = cost;
	return cost != NULL;
}

/* The name that a key with a prefix is, or NULL. */
static const KnownName *
find_name(const char *prefix, int prefix_length, const char *key, int length)
{
	int			whole = prefix_length + length;

	if (whole > LONGEST_NAME)
		return NULL;
	for (int n = first_of_length[whole]; n < first_of_length[whole + 1]; n++)
	{
		if (memcmp(names[n].name + prefix_length, key, length) == 0 &&
			memcmp(names[n].name, prefix, prefix_length) == 0)
			return &names[n];
	}
	return NULL;
}

static void scan(Reading *reading, JsonbContainer *object, const char *prefix);

/* Read the object under a key, if it is one whose keys are names. */
static void
scan_nested(Reading *reading, JsonbContainer *object, int i, char *data, const char *prefix,
			const char *key, int length)
{
	int			index = JsonContainerSize(object) + i;
	int			prefix_length = strlen(prefix);
	JsonbContainer *child;

	if (!JBE_ISCONTAINER(object->children[index]))
		return;
	child = (JsonbContainer *) (data + INTALIGN(getJsonbOffset(object, index)));
	if (!JsonContainerIsObject(child))
		return;
	for (int n = 0; n < lengthof(nested); n++)
	{
		if (strlen(nested[n]) == prefix_length + length + 1 &&
			memcmp(nested[n], prefix, prefix_length) == 0 &&
			memcmp(nested[n] + prefix_length, key, length) == 0)
			scan(reading, child, nested[n]);
	}
}

/*
 * Look at every key of an object.  It calls itself at most twice, for the
 * prefixes of "nested".
 */
static void
scan(Reading *reading, JsonbContainer *object, const char *prefix)
{
	int			keys = JsonContainerSize(object);
	int			prefix_length = strlen(prefix);
	char	   *data = (char *) &object->children[keys * 2];
	uint32		offset = 0;

	for (int i = 0; i < keys; i++)
	{
		const char *key = data + offset;
		int			length;
		const KnownName *name;
		Numeric		number;
		FmsPart		text;

		JBE_ADVANCE_OFFSET(offset, object->children[i]);
		length = data + offset - key;
		name = find_name(prefix, prefix_length, key, length);
		if (name == NULL)
			scan_nested(reading, object, i, data, prefix, key, length);
		else if (name->rank < reading->rank[name->field])
		{
			if (get_value(object, i, data, &number, &text) &&
				take(reading, name->field, number, &text))
				reading->rank[name->field] = name->rank;
			else if (name->field < TEXTS)
				reading->tokens->ignored++;
		}
	}
}

/* Whether a field was given. */
static bool
given(const Reading *reading, int field)
{
	return reading->rank[field] != 255;
}

/* Bring the counts into one form: totals that include their parts. */
static void
normalise(Reading *reading)
{
	FmsTokens  *tokens = reading->tokens;
	int64	   *count = tokens->count;

	for (int field = 0; field < COUNTS; field++)
		tokens->has_tokens |= given(reading, field);
	memcpy(count, reading->count, sizeof(tokens->count));
	if (!given(reading, FMS_TOKENS_CACHE_WRITE))
		count[FMS_TOKENS_CACHE_WRITE] = reading->count[CACHE_WRITE_5M] +
			reading->count[CACHE_WRITE_1H];
	if (count[FMS_TOKENS_CACHE_READ] + count[FMS_TOKENS_CACHE_WRITE] > count[FMS_TOKENS_INPUT])
		count[FMS_TOKENS_INPUT] += count[FMS_TOKENS_CACHE_READ] + count[FMS_TOKENS_CACHE_WRITE];
	count[FMS_TOKENS_TOTAL] = Max(count[FMS_TOKENS_TOTAL],
								  count[FMS_TOKENS_INPUT] + count[FMS_TOKENS_OUTPUT]);
}

/* The cost that was given: the total, else the sum of what there is. */
static Numeric
given_cost(const Reading *reading)
{
	Numeric		input = reading->cost[COST_INPUT - COUNTS];
	Numeric		output = reading->cost[COST_OUTPUT - COUNTS];

	if (given(reading, COST_TOTAL))
		return reading->cost[COST_TOTAL - COUNTS];
	if (input == NULL || output == NULL)
		return input == NULL ? output : input;
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(input),
											   NumericGetDatum(output)));
}

/*
 * Read what the attributes of a span say of its use of a model; attributes
 * that are no object, or NULL, say nothing.
 */
void
fms_tokens_read(const Jsonb *attributes, FmsTokens *tokens)
{
	Reading		reading;

	memset(tokens, 0, sizeof(*tokens));
	if (attributes == NULL || !JB_ROOT_IS_OBJECT(attributes))
		return;
	if (!sorted)
		sort_names();
	memset(&reading, 0, sizeof(reading));
	memset(reading.rank, 255, sizeof(reading.rank));
	reading.tokens = tokens;
	scan(&reading, unconstify(JsonbContainer *, &attributes->root), "");
	normalise(&reading);
	tokens->cost = given_cost(&reading);
}
