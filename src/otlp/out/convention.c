/*-------------------------------------------------------------------------
 *
 * convention.c
 *	  Attributes of the conventions for generative AI, for spans made in SQL.
 *
 * Whoever receives what is exported looks for gen_ai.*, and callers of SQL use
 * names of their own ("model", "promptTokens").  So a span goes out with the
 * operation that its type is, and a model call with its provider, models and
 * counts of tokens as the ledger reads them.  What the caller recorded itself
 * is never replaced, nor told twice.  When such a span comes back, the ledger
 * reads the same counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/numeric.h"

#include "compat.h"
#include "otlp/jfield.h"
#include "otlp/out/attribute.h"
#include "otlp/out/convention.h"
#include "span/jsonb.h"
#include "span/names.h"
#include "usage/tokens.h"

/* operations that types of spans are */
static const struct
{
	const char *span_type;
	const char *operation;
}			operations[] = {
	{"model_generation", "chat"},
	{"embedding_generation", "embeddings"},
	{"vector_search", "retrieval"},
	{"agent_run", "invoke_agent"},
	{"workflow_run", "invoke_workflow"},
	{"tool_execution", "execute_tool"},
};

/* names of texts */
static const struct
{
	FmsUsageText text;
	const char *name;
}			texts[] = {
	{FMS_USAGE_PROVIDER, "gen_ai.provider.name"},
	{FMS_USAGE_RESPONSE_MODEL, "gen_ai.response.model"},
	{FMS_USAGE_REQUEST_MODEL, "gen_ai.request.model"},
};

/* names of counts; there is none for the total */
static const struct
{
	FmsTokenKind kind;
	const char *name;
}			counts[] = {
	{FMS_TOKENS_INPUT, "gen_ai.usage.input_tokens"},
	{FMS_TOKENS_OUTPUT, "gen_ai.usage.output_tokens"},
	{FMS_TOKENS_CACHE_READ, "gen_ai.usage.cache_read.input_tokens"},
	{FMS_TOKENS_CACHE_WRITE, "gen_ai.usage.cache_write.input_tokens"},
	{FMS_TOKENS_REASONING, "gen_ai.usage.reasoning.output_tokens"},
	{FMS_TOKENS_AUDIO_INPUT, "gen_ai.usage.audio.input_tokens"},
	{FMS_TOKENS_AUDIO_OUTPUT, "gen_ai.usage.audio.output_tokens"},
};

/* Write an attribute that the span does not have yet. */
static void
add_attribute(FmsWire *wire, const FmsField *field, Jsonb *attributes, const char *name,
			  const JsonbValue *value)
{
	JsonbValue	there;

	if (!fms_jfield(&attributes->root, name, &there))
		fms_write_attribute(wire, field, name, strlen(name), value);
}

/* Write a text that the span does not have yet. */
static void
add_text(FmsWire *wire, const FmsField *field, Jsonb *attributes, const char *name,
		 const char *data, int length)
{
	JsonbValue	value;

	fms_jsonb_set_string(&value, data, length);
	add_attribute(wire, field, attributes, name, &value);
}

/* Write what a model call used. */
static void
add_token_counts(FmsWire *wire, const FmsField *field, Jsonb *attributes)
{
	FmsTokens	tokens;
	JsonbValue	value = {.type = jbvNumeric};

	fms_tokens_read(attributes, &tokens);
	for (int i = 0; i < lengthof(texts); i++)
	{
		const FmsPart *text = &tokens.text[texts[i].text];

		if (text->data != NULL)
			add_text(wire, field, attributes, texts[i].name, text->data, text->length);
	}
	for (int i = 0; i < lengthof(counts); i++)
	{
		if (tokens.count[counts[i].kind] == 0)
			continue;
		value.val.numeric = int64_to_numeric(tokens.count[counts[i].kind]);
		add_attribute(wire, field, attributes, counts[i].name, &value);
	}
}

/* Write what the conventions want of a span of a type, as elements of its attributes. */
void
fms_convention_write(FmsWire *wire, const FmsField *field, Jsonb *attributes,
					 const FmsPart *span_type)
{
	for (int i = 0; i < lengthof(operations); i++)
	{
		if (strlen(operations[i].span_type) == span_type->length &&
			memcmp(operations[i].span_type, span_type->data, span_type->length) == 0)
			add_text(wire, field, attributes, "gen_ai.operation.name", operations[i].operation,
					 strlen(operations[i].operation));
	}
	if (fms_names_is_model_call(span_type->data, span_type->length))
		add_token_counts(wire, field, attributes);
}
