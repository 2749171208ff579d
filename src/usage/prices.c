/*-------------------------------------------------------------------------
 *
 * prices.c
 *	  What tokens of a model cost at a time.
 *
 * A process keeps all of model_prices in memory, by model.  A statement that
 * changes the table has the table's cached definition invalidated, which
 * every process hears of when it next locks the table; then the prices are
 * read again.
 *
 * A model is found under its whole name, else under the longest beginning of
 * it that ends at a border: before one of - . : @ /.  A point between two
 * digits is none, since the next version of a model is another model.  The
 * longest beginning that the provider has at all decides: if no price of it is
 * valid yet, there is no price, where a shorter name's would be another
 * model's.
 *
 * All arithmetic is numeric, and so exact: prices are per million tokens, and
 * the only division is by a power of ten, at the end.
 *
 * The cache holds what the table holds, some hundred rows as a rule, in one
 * context that is emptied before each reading.  Prices that are handed out stay
 * valid until the next fms_prices_refresh; who keeps anything copies it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "table/owner.h"
#include "usage/prices.h"

#define LONGEST_MODEL 256		/* bytes with the final zero; a longer name
								 * has no price */
#define PRICED_TOKENS -6		/* power of ten: prices are per million */

/* the newest price that has a model */
typedef struct PricedModel
{
	char		name[LONGEST_MODEL];	/* hash key, in lower case */
	FmsPrice   *newest;
} PricedModel;

/* what a price is for, and where the price is if it has none of its own */
typedef struct Priced
{
	FmsTokenKind tokens;
	FmsPriceKind whole;
} Priced;

#define PRICED(kind, whole, column) {FMS_TOKENS_##kind, FMS_PRICE_##whole},
#define NAME(kind, whole, column) ", p." column

static const Priced priced[FMS_PRICE_KINDS] = {FMS_PRICE_KINDS_LIST(PRICED)};

static const char *const read_prices =
	"SELECT p.price_id, p.valid_from, p.provider, p.model, p.currency" FMS_PRICE_KINDS_LIST(NAME)
	" FROM flowmaestro.model_prices AS p ORDER BY p.valid_from, p.price_id";

static MemoryContext context = NULL;	/* of all of the following */
static HTAB *models = NULL;		/* NULL: not read, or no longer valid */
static Numeric millionth = NULL;
static Oid	prices_table = InvalidOid;

PG_FUNCTION_INFO_V1(fms_prices_changed);
PG_FUNCTION_INFO_V1(fms_span_cost);

/*
 * A text in lower case, with a final zero; false if it is too long.  Names of
 * models and providers are ASCII; other bytes are compared as they are, so no
 * locale has a say in what a call costs.
 */
static bool
lower_case(const FmsPart *text, char *copy)
{
	if (text->length >= LONGEST_MODEL)
		return false;
	for (int i = 0; i < text->length; i++)
		copy[i] = pg_ascii_tolower((unsigned char) text->data[i]);
	copy[text->length] = '\0';
	return true;
}

/*
 * The table's prices, or its definition, changed; without a relation, anything
 * may have.  Called wherever invalidations are taken in, so it does no more
 * than mark: the memory may be in use further up, and is freed by the reader.
 */
void
fms_prices_relation_changed(Oid relation)
{
	if (relation == prices_table || !OidIsValid(relation))
		models = NULL;
}

/* A text column in lower case, in the context of the prices; NULL if it is too long. */
static char *
lower_column(int row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
	FmsPart		part = {value, strlen(value)};
	char		copy[LONGEST_MODEL];

	return lower_case(&part, copy) ? MemoryContextStrdup(context, copy) : NULL;
}

/*
 * Add the price of one row of read_prices.  Rows come in the order of their
 * validity, so each new one goes to the head of its model's list: a search
 * comes to the latest first.
 */
static void
add_price(int row)
{
	HeapTuple	tuple = SPI_tuptable->vals[row];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	char	   *model = lower_column(row, 4);
	FmsPrice   *price;
	PricedModel *entry;
	bool		found;
	bool		isnull;

	if (model == NULL)
		return;
	price = MemoryContextAllocZero(context, sizeof(FmsPrice));
	price->id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	price->valid_from = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull));
	price->provider = lower_column(row, 3);
	price->currency.data = MemoryContextStrdup(context, SPI_getvalue(tuple, desc, 5));
	price->currency.length = strlen(price->currency.data);
	for (int kind = 0; kind < FMS_PRICE_KINDS; kind++)
	{
		Datum		value = SPI_getbinval(tuple, desc, 6 + kind, &isnull);
		MemoryContext old = MemoryContextSwitchTo(context);

		if (!isnull)
			price->price[kind] = DatumGetNumericCopy(value);
		MemoryContextSwitchTo(old);
	}
	if (price->provider == NULL)
		return;
	entry = hash_search(models, model, HASH_ENTER, &found);
	price->older = found ? entry->newest : NULL;
	entry->newest = price;
}

/*
 * Make the empty set of prices.  The context lives as long as the process; what
 * was in it goes, so readings do not add up.
 */
static void
begin_prices(void)
{
	HASHCTL		ctl = {0};
	MemoryContext old;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "flowmaestro_spans prices",
										ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(context);
	ctl.keysize = LONGEST_MODEL;
	ctl.entrysize = sizeof(PricedModel);
	ctl.hcxt = context;
	models = hash_create("flowmaestro_spans prices", 64, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	old = MemoryContextSwitchTo(context);
	millionth = int64_div_fast_to_numeric(1, -PRICED_TOKENS);
	MemoryContextSwitchTo(old);
}

/*
 * Make sure that the prices in memory are the table's.  To be called in a
 * transaction, before prices are looked up: the lock on the table is what has
 * this process take in the invalidations that others sent.  The lock is held to
 * the end of the transaction and conflicts with nothing but changes of the
 * table's definition.
 */
void
fms_prices_refresh(void)
{
	FmsOwnerScope scope;
	HTAB	   *read;

	prices_table = get_relname_relid("model_prices", get_rel_namespace(fms_buffer_table()));
	LockRelationOid(prices_table, AccessShareLock);
	if (models != NULL)
		return;
	fms_table_enter(fms_buffer_table(), &scope);
	begin_prices();
	read = models;
	/* an error must not leave half of them */
	models = NULL;

	/*
	 * what is committed now, if we may look: others' prices are kept beyond
	 * this snapshot
	 */
	if (SPI_execute_snapshot(SPI_prepare(read_prices, 0, NULL), NULL, NULL,
							 IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot(),
							 InvalidSnapshot, true, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read model_prices");
	models = read;
	for (int i = 0; i < SPI_processed; i++)
		add_price(i);
	fms_table_leave(&scope);
}

/*
 * Whether a span's provider is that of a price.  Instrumentations decorate it
 * ("azure.ai.openai", "openai.chat"): the price's has to be one of its words.
 * A span that does not tell its provider takes any.
 */
static bool
provider_matches(const char *price, const char *span)
{
	int			length = strlen(price);

	if (length == 0 || *span == '\0')
		return true;
	if (strcmp(price, "google") == 0 && strncmp(span, "gcp.", 4) == 0)
		return true;
	for (const char *at = strstr(span, price); at != NULL; at = strstr(at + 1, price))
	{
		if ((at == span || !isalnum((unsigned char) at[-1])) &&
			!isalnum((unsigned char) at[length]))
			return true;
	}
	return false;
}

/*
 * The price of a name of exactly this form; NULL if there is none.  *decided:
 * the provider has such a model.
 */
static const FmsPrice *
find_exactly(const char *name, const char *provider, TimestampTz at, bool *decided)
{
	PricedModel *entry = hash_search(models, name, HASH_FIND, NULL);
	const FmsPrice *best = NULL;

	if (entry == NULL)
		return NULL;
	for (const FmsPrice *price = entry->newest; price != NULL; price = price->older)
	{
		if (!provider_matches(price->provider, provider))
			continue;
		*decided = true;
		if (price->valid_from > at)
			continue;
		if (best == NULL)
			best = price;

		/*
		 * who does not say from whom it comes gets no price that depends on
		 * it
		 */
		else if (*provider == '\0' && strcmp(price->provider, best->provider) != 0)
			return NULL;
	}
	return best;
}

/*
 * Whether a name can be cut before its byte number i, which is not its first.
 * "gpt-4.1" is not a kind of "gpt-4", but "claude-3-5-haiku.v2" can be one of
 * "claude-3-5-haiku".
 */
static bool
is_border(const char *name, int i)
{
	if (name[i] == '.')
		return !(isdigit((unsigned char) name[i - 1]) && isdigit((unsigned char) name[i + 1]));
	return strchr("-:@/", name[i]) != NULL;
}

/*
 * The price of the longest beginning of a name; the name is cut on the way.
 * Each beginning is one look-up in a hash table, where a search by pattern in
 * the table would have to read all of it.
 */
static const FmsPrice *
find_longest(char *name, const char *provider, TimestampTz at)
{
	bool		decided = false;

	for (int length = strlen(name); length > 0; length--)
	{
		const FmsPrice *price;

		if (name[length] != '\0' && !is_border(name, length))
			continue;
		name[length] = '\0';
		price = find_exactly(name, provider, at, &decided);
		if (price != NULL || decided)
			return price;
	}
	return NULL;
}

/*
 * The price of a model; NULL if there is none.  Gateways put a path before the
 * name ("openai/gpt-4o", "models/gemini-2.5-pro"): the whole is tried first,
 * since a path can be priced itself, then what follows the last slash.
 */
static const FmsPrice *
find_model(const FmsPart *model, const char *provider, TimestampTz at)
{
	char		name[LONGEST_MODEL];
	const FmsPrice *price;
	const char *slash;

	if (model->length == 0 || !lower_case(model, name))
		return NULL;
	slash = memrchr(model->data, '/', model->length);
	price = find_longest(name, provider, at);
	if (price == NULL && slash != NULL)
	{
		FmsPart		last = {slash + 1, model->data + model->length - slash - 1};

		(void) lower_case(&last, name);
		price = find_longest(name, provider, at);
	}
	return price;
}

/*
 * The price of a model call at a time, by the model that answered, else by the
 * one that was asked for; NULL if there is none.  After fms_prices_refresh.
 */
const FmsPrice *
fms_prices_find(const FmsPart *provider, const FmsPart *response_model,
				const FmsPart *request_model, TimestampTz at)
{
	char		name[LONGEST_MODEL];
	const FmsPrice *price;

	if (!lower_case(provider, name))
		return NULL;
	price = find_model(response_model, name, at);
	return price != NULL ? price : find_model(request_model, name, at);
}

/*
 * Add what some tokens cost to a sum, which can be NULL, in millionths of the
 * currency.  A part that is larger than its whole, which garbage can be, leaves
 * less than nothing of it: that costs nothing rather than giving money back.
 */
static Numeric
add_cost(Numeric sum, int64 tokens, Numeric price)
{
	Datum		cost;

	if (tokens <= 0 || price == NULL)
		return sum;
	cost = DirectFunctionCall2(numeric_mul, NumericGetDatum(int64_to_numeric(tokens)),
							   NumericGetDatum(price));
	if (sum == NULL)
		return DatumGetNumeric(cost);
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(sum), cost));
}

/* A price of a kind, else that of the kind that it is part of; the latter is never NULL. */
static Numeric
price_of(const FmsPrice *price, FmsPriceKind kind)
{
	return price->price[kind] != NULL ? price->price[kind] : price->price[priced[kind].whole];
}

/*
 * What tokens cost at a price, in the current memory context.  Parts of input
 * and output that have prices of their own are taken out of them.
 */
Numeric
fms_prices_cost(const FmsPrice *price, const int64 *count)
{
	int64		tokens[FMS_PRICE_KINDS];
	Numeric		sum = NULL;

	for (int kind = 0; kind < FMS_PRICE_KINDS; kind++)
	{
		tokens[kind] = count[priced[kind].tokens];
		if (priced[kind].whole != kind)
			tokens[priced[kind].whole] -= tokens[kind];
	}
	for (int kind = 0; kind < FMS_PRICE_KINDS; kind++)
		sum = add_cost(sum, tokens[kind], price_of(price, kind));
	if (sum == NULL)
		return int64_to_numeric(0);
	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale,
											   DirectFunctionCall2(numeric_mul, NumericGetDatum(sum),
																   NumericGetDatum(millionth))));
}

/*
 * prices_changed() returns trigger: have every process read the prices again,
 * once this transaction has committed; this one does after the statement.
 */
Datum
fms_prices_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("prices_changed() can only be called as a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	PG_RETURN_POINTER(NULL);
}

/* An argument as a part, which points into it; a null is empty. */
static FmsPart
part_argument(FunctionCallInfo fcinfo, int n)
{
	text	   *value;

	if (PG_ARGISNULL(n))
		return (FmsPart) {"", 0};
	value = PG_GETARG_TEXT_PP(n);
	return FMS_TEXT_PART(value);
}

/* Read the argument with the counts; null and absent elements are 0. */
static void
counts_argument(ArrayType *array, int64 *count)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	memset(count, 0, sizeof(int64) * FMS_TOKEN_KINDS);
	deconstruct_array(array, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, &nulls, &n);
	for (int i = 0; i < Min(n, FMS_TOKEN_KINDS); i++)
		count[i] = nulls[i] ? 0 : DatumGetInt64(elements[i]);
}

/*
 * span_cost(provider, response_model, request_model, at, tokens bigint[])
 * returns (cost, currency, price_id); tokens are in the order of FmsTokenKind.
 */
Datum
fms_span_cost(PG_FUNCTION_ARGS)
{
	FmsPart		provider = part_argument(fcinfo, 0);
	FmsPart		response_model = part_argument(fcinfo, 1);
	FmsPart		request_model = part_argument(fcinfo, 2);
	int64		count[FMS_TOKEN_KINDS];
	const FmsPrice *price;
	TupleDesc	desc;
	Datum		values[3] = {0};
	bool		nulls[3] = {true, true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (PG_ARGISNULL(3) || PG_ARGISNULL(4))
		PG_RETURN_NULL();
	counts_argument(PG_GETARG_ARRAYTYPE_P(4), count);
	fms_prices_refresh();
	price = fms_prices_find(&provider, &response_model, &request_model, PG_GETARG_TIMESTAMPTZ(3));
	if (price != NULL)
	{
		memset(nulls, 0, sizeof(nulls));
		values[0] = NumericGetDatum(fms_prices_cost(price, count));
		values[1] = fms_table_text(&price->currency);
		values[2] = Int64GetDatum(price->id);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
