/*-------------------------------------------------------------------------
 *
 * prices.h
 *	  What tokens of a model cost at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_USAGE_PRICES_H
#define FMS_USAGE_PRICES_H

#include "usage/tokens.h"

/*
 * The kinds of tokens that have a price, each with the kind that it is part of
 * and its column, in their order, a whole before its parts.  Prices are per
 * million tokens; where one is NULL, that of the whole holds.
 */
#define FMS_PRICE_KINDS_LIST(PRICE) \
	PRICE(INPUT, INPUT, "input_price") \
	PRICE(OUTPUT, OUTPUT, "output_price") \
	PRICE(CACHE_READ, INPUT, "cache_read_price") \
	PRICE(CACHE_WRITE, INPUT, "cache_write_price") \
	PRICE(REASONING, OUTPUT, "reasoning_price") \
	PRICE(AUDIO_INPUT, INPUT, "audio_input_price") \
	PRICE(AUDIO_OUTPUT, OUTPUT, "audio_output_price")

#define FMS_PRICE_ENUM(kind, whole, column) FMS_PRICE_##kind,

typedef enum FmsPriceKind
{
	FMS_PRICE_KINDS_LIST(FMS_PRICE_ENUM)
	FMS_PRICE_KINDS				/* how many there are */
} FmsPriceKind;

/* A row of model_prices; valid until the next fms_prices_refresh. */
typedef struct FmsPrice
{
	int64		id;
	TimestampTz valid_from;
	char	   *provider;		/* in lower case; empty: any */
	FmsPart		currency;
	Numeric		price[FMS_PRICE_KINDS];
	struct FmsPrice *older;		/* the price of the same model before */
} FmsPrice;

extern void fms_prices_refresh(void);
extern void fms_prices_relation_changed(Oid relation);
extern const FmsPrice *fms_prices_find(const FmsPart *provider, const FmsPart *response_model,
									   const FmsPart *request_model, TimestampTz at);
extern Numeric fms_prices_cost(const FmsPrice *price, const int64 *count);

#endif							/* FMS_USAGE_PRICES_H */
