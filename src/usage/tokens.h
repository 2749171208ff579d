/*-------------------------------------------------------------------------
 *
 * tokens.h
 *	  What a span's attributes say about a model call: tokens, models, cost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_USAGE_TOKENS_H
#define FMS_USAGE_TOKENS_H

#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "span/event.h"

/* a count above this is taken for garbage; sums of int8 have room for millions of it */
#define FMS_MAX_TOKENS INT64CONST(1000000000000)

/*
 * The kinds of tokens with their columns, in their order.  Input includes
 * cached and audio tokens, output those of reasoning and audio.
 */
#define FMS_TOKEN_KINDS_LIST(KIND) \
	KIND(INPUT, "input_tokens") \
	KIND(OUTPUT, "output_tokens") \
	KIND(TOTAL, "total_tokens") \
	KIND(CACHE_READ, "cache_read_tokens") \
	KIND(CACHE_WRITE, "cache_write_tokens") \
	KIND(REASONING, "reasoning_tokens") \
	KIND(AUDIO_INPUT, "audio_input_tokens") \
	KIND(AUDIO_OUTPUT, "audio_output_tokens")

#define FMS_TOKENS_ENUM(kind, column) FMS_TOKENS_##kind,

typedef enum FmsTokenKind
{
	FMS_TOKEN_KINDS_LIST(FMS_TOKENS_ENUM)
	FMS_TOKEN_KINDS				/* how many there are */
} FmsTokenKind;

typedef enum FmsUsageText
{
	FMS_USAGE_PROVIDER,
	FMS_USAGE_RESPONSE_MODEL,
	FMS_USAGE_REQUEST_MODEL,
	FMS_USAGE_ENTITY,			/* agent, for a span without an entity_id */
	FMS_USAGE_USER,
	FMS_USAGE_SESSION,
	FMS_USAGE_WORKFLOW,
	FMS_USAGE_RESERVATION		/* of a budget */
} FmsUsageText;

#define FMS_USAGE_TEXTS 8

/* Texts point into the attributes, cut where they are long, and are absent if not given. */
typedef struct FmsTokens
{
	bool		has_tokens;		/* some count was given */
	int			ignored;		/* values under a known name that are no count */
	int64		count[FMS_TOKEN_KINDS];
	Numeric		cost;			/* as given, or NULL; in the current memory
								 * context */
	FmsPart		text[FMS_USAGE_TEXTS];
} FmsTokens;

extern void fms_tokens_read(const Jsonb *attributes, FmsTokens *tokens);
extern bool fms_tokens_count(const Jsonb *attributes, int64 *count);

/* Whether a model call says what it used. */
static inline bool
fms_tokens_present(const FmsTokens *tokens)
{
	return tokens->has_tokens || tokens->cost != NULL;
}

#endif							/* FMS_USAGE_TOKENS_H */
