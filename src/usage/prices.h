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

/* kinds of prices, each per million tokens; NULL: as the kind it is part of */
typedef enum FmsPriceKind
{
	FMS_PRICE_INPUT,
	FMS_PRICE_OUTPUT,
	FMS_PRICE_CACHE_READ,
	FMS_PRICE_CACHE_WRITE,
	FMS_PRICE_REASONING,
	FMS_PRICE_AUDIO_INPUT,
	FMS_PRICE_AUDIO_OUTPUT
} FmsPriceKind;

#define FMS_PRICE_KINDS 7

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
