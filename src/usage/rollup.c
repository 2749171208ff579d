/*-------------------------------------------------------------------------
 *
 * rollup.c
 *	  The sums of the ledger, by hour and by day.
 *
 * token_usage_hourly has a row for each hour and each combination of entity,
 * user, provider, model, type and currency; token_usage_daily the same by day
 * (UTC) without users, for questions about long times.  Both are changed by
 * differences: postings that belong to one row are added up in memory, and the
 * sums are added to the rows in the order of the rows' keys, so that sessions
 * that commit at the same time wait for each other instead of for ever.  A row
 * that nothing counts for any more is deleted.
 *
 * Durations are kept as a histogram that can be added and subtracted: bucket
 * b > 0 counts durations from GROWTH^(b-1) to GROWTH^b milliseconds, bucket 0
 * those below one.  It is an int4[] with the used stretch of buckets only,
 * its lower bound the number of the first one.  A percentile read from it is
 * at most an eighth off.
 *
 * Sums go to the statement through pending_sums() instead of as parameters: a
 * batch has any number of rows, and one statement for all of them is planned
 * once in a session.  Sorting and adding up in memory first means that a row
 * that a thousand calls of a batch belong to is updated once, not a thousand
 * times; that is what makes upkeep affordable.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "table/feed.h"
#include "table/owner.h"
#include "usage/ledger.h"

#define BUCKETS 80				/* the last one begins after ten hours */
#define GROWTH 1.25				/* of bounds from one bucket to the next */

#define KEY_COLUMNS 7
#define GROUP_COLUMNS (KEY_COLUMNS + FMS_TOKEN_KINDS + 6)

#define NAME(kind, column) column ", "
#define SUMS \
	"calls, failures, " FMS_TOKEN_KINDS_LIST(NAME) "ignored, cost, duration_us, durations"
#define ADD(column) column " = r." column " + excluded." column ", "
#define ADD_COUNT(kind, column) ADD(column)
#define ADD_SUMS \
	ADD("calls") ADD("failures") FMS_TOKEN_KINDS_LIST(ADD_COUNT) ADD("ignored") ADD("cost") \
	ADD("duration_us") "durations = flowmaestro.usage_durations_add(r.durations, excluded.durations)"
#define EQUAL(column) "r." column " = g." column

/*
 * The two rollups, and what differs between them.  A row that is there is added
 * to, one that is not is inserted; the row that is locked is the one that other
 * sessions' sums go to, and its own value is read under the lock.
 */
typedef struct Rollup
{
	TimestampTz interval;
	bool		by_user;
	const char *upsert;
	const char *prune;
	SPIPlanPtr	upsert_plan;
	SPIPlanPtr	prune_plan;
} Rollup;

static Rollup rollups[] = {
	{
		USECS_PER_HOUR, true,
		"INSERT INTO flowmaestro.token_usage_hourly AS r (entity_id, hour, user_id, provider, model, "
		"span_type, currency, " SUMS ") SELECT entity_id, at, user_id, provider, model, span_type, currency, "
		SUMS " FROM flowmaestro.pending_sums() "
		"ON CONFLICT (entity_id, hour, user_id, provider, model, span_type, currency) DO UPDATE SET " ADD_SUMS,
		"DELETE FROM flowmaestro.token_usage_hourly AS r USING flowmaestro.pending_sums() AS g WHERE "
		"g.calls < 0 AND r.calls = 0 AND " EQUAL("entity_id") " AND r.hour = g.at AND " EQUAL("user_id") " AND "
		EQUAL("provider") " AND " EQUAL("model") " AND " EQUAL("span_type") " AND " EQUAL("currency")
	},
	{
		USECS_PER_DAY, false,
		"INSERT INTO flowmaestro.token_usage_daily AS r (entity_id, day, provider, model, "
		"span_type, currency, " SUMS ") SELECT entity_id, at, provider, model, span_type, currency, "
		SUMS " FROM flowmaestro.pending_sums() "
		"ON CONFLICT (entity_id, day, provider, model, span_type, currency) DO UPDATE SET " ADD_SUMS,
		"DELETE FROM flowmaestro.token_usage_daily AS r USING flowmaestro.pending_sums() AS g WHERE "
		"g.calls < 0 AND r.calls = 0 AND " EQUAL("entity_id") " AND r.day = g.at AND "
		EQUAL("provider") " AND " EQUAL("model") " AND " EQUAL("span_type") " AND " EQUAL("currency")
	},
};

/* what is added to a row of a rollup; anything can be negative */
typedef struct Sums
{
	const FmsEntry *example;	/* an entry of the row: it has the key */
	TimestampTz at;
	int64		calls;
	int64		failures;
	int64		count[FMS_TOKEN_KINDS];
	int64		ignored;
	int64		duration_us;
	Numeric		cost;
	int32		durations[BUCKETS];
} Sums;

static int	put_sums(const FmsFeed *feed, int i, ReturnSetInfo *result);

/* the postings that pending_sums() adds up, and the rollup that it does so for */
static FmsFeed sums_feed = {.function = "pending_sums", .put = put_sums};
static const Rollup *pending_for = NULL;

PG_FUNCTION_INFO_V1(fms_pending_sums);
PG_FUNCTION_INFO_V1(fms_usage_durations_add);
PG_FUNCTION_INFO_V1(fms_usage_durations_of);
PG_FUNCTION_INFO_V1(fms_usage_percentile);

/* The bucket of a duration, which is not negative; the last one takes all that is longer. */
static int
bucket_of(int64 duration_us)
{
	if (duration_us < 1000)
		return 0;
	return Min(BUCKETS - 1, 1 + (int) floor(log(duration_us / 1000.0) / log(GROWTH)));
}

/*
 * Buckets as an array of those in use, in the current memory context.  Most
 * rows have calls of similar length: a few elements instead of all.  Buckets
 * can be negative, in a difference that is still to be added.
 */
static ArrayType *
durations_array(const int32 *buckets)
{
	Datum		elements[BUCKETS];
	int			first = 0;
	int			last = BUCKETS - 1;
	int			length;

	while (first < BUCKETS && buckets[first] == 0)
		first++;
	if (first == BUCKETS)
		return construct_empty_array(INT4OID);
	while (buckets[last] == 0)
		last--;
	for (int b = first; b <= last; b++)
		elements[b - first] = Int32GetDatum(buckets[b]);
	length = last - first + 1;
	return construct_md_array(elements, NULL, 1, &length, &first, INT4OID, 4, true, TYPALIGN_INT);
}

/*
 * Add an array to buckets; what is no histogram of ours is an error, since the
 * functions can be called with anything.  Counts stop at the bounds of int4
 * instead of failing: a percentile can bear that, a writer's batch could not
 * bear the error.
 */
static void
add_durations(int32 *buckets, ArrayType *array)
{
	int			first;
	int			length;
	int32	   *elements = (int32 *) ARR_DATA_PTR(array);

	if (ARR_NDIM(array) == 0)
		return;
	first = ARR_LBOUND(array)[0];
	length = ARR_DIMS(array)[0];
	if (ARR_NDIM(array) != 1 || ARR_HASNULL(array) || ARR_ELEMTYPE(array) != INT4OID ||
		first < 0 || first >= BUCKETS || length > BUCKETS - first)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("array is not a histogram of durations")));
	for (int i = 0; i < length; i++)
		buckets[first + i] = (int32) Min(Max((int64) buckets[first + i] + elements[i], PG_INT32_MIN),
										 PG_INT32_MAX);
}

/*
 * usage_durations_add(int4[], int4[]) returns int4[]: two histograms as one.
 * The order does not matter, so sums of sums are what a recount gives.
 */
Datum
fms_usage_durations_add(PG_FUNCTION_ARGS)
{
	int32		buckets[BUCKETS] = {0};

	add_durations(buckets, PG_GETARG_ARRAYTYPE_P(0));
	add_durations(buckets, PG_GETARG_ARRAYTYPE_P(1));
	PG_RETURN_ARRAYTYPE_P(durations_array(buckets));
}

/* usage_durations_of(duration_us bigint) returns int4[]: the histogram of one. */
Datum
fms_usage_durations_of(PG_FUNCTION_ARGS)
{
	int32		buckets[BUCKETS] = {0};

	buckets[bucket_of(PG_GETARG_INT64(0))] = 1;
	PG_RETURN_ARRAYTYPE_P(durations_array(buckets));
}

/*
 * usage_percentile(durations int4[], fraction float8) returns float8: in
 * milliseconds, the middle of the bucket that the percentile lies in; NULL for
 * an empty histogram.  The rank is that of percentile_disc.  Buckets below zero,
 * which only hand-made histograms have, count as empty.
 */
Datum
fms_usage_percentile(PG_FUNCTION_ARGS)
{
	int32		buckets[BUCKETS] = {0};
	double		fraction = PG_GETARG_FLOAT8(1);
	int64		total = 0;
	int64		rank;
	int			b;

	if (!(fraction >= 0 && fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("percentile value %g is not between 0 and 1", fraction)));
	add_durations(buckets, PG_GETARG_ARRAYTYPE_P(0));
	for (b = 0; b < BUCKETS; b++)
		total += Max(buckets[b], 0);
	if (total == 0)
		PG_RETURN_NULL();
	rank = Max(1, (int64) ceil(fraction * total));
	for (b = 0; b < BUCKETS - 1 && rank > Max(buckets[b], 0); b++)
		rank -= Max(buckets[b], 0);
	if (b == 0)
		PG_RETURN_FLOAT8(0.5);
	PG_RETURN_FLOAT8((pow(GROWTH, b - 1) + pow(GROWTH, b)) / 2);
}

/*
 * The beginning of the interval of a rollup that an entry lies in, in UTC.
 * Times are microseconds since the beginning of a day, so hours and days are
 * whole multiples; before that day they are negative, and rounded down as well.
 */
static TimestampTz
interval_of(const Rollup *rollup, const FmsEntry *entry)
{
	TimestampTz past = entry->started_at % rollup->interval;

	return entry->started_at - (past < 0 ? past + rollup->interval : past);
}

/* Order texts as COLLATE "C" does, which the keys of the rollups have. */
static int
compare_parts(const FmsPart *a, const FmsPart *b)
{
	int			order = memcmp(a->data, b->data, Min(a->length, b->length));

	if (order != 0)
		return order;
	return a->length == b->length ? 0 : a->length < b->length ? -1 : 1;
}

/*
 * Order postings by the keys of the pending rollup, which is the order that
 * its rows are locked in.  All writers must have the same, and it must not
 * depend on anything that differs between sessions, such as a collation.
 */
static int
compare_postings(const void *a, const void *b)
{
	const FmsEntry *left = ((const FmsPosting *) a)->entry;
	const FmsEntry *right = ((const FmsPosting *) b)->entry;
	static const FmsLedgerText rest[] = {FMS_LEDGER_PROVIDER, FMS_LEDGER_MODEL, FMS_LEDGER_TYPE, FMS_LEDGER_CURRENCY};
	TimestampTz left_at = interval_of(pending_for, left);
	TimestampTz right_at = interval_of(pending_for, right);
	int			order = compare_parts(&left->text[FMS_LEDGER_ENTITY], &right->text[FMS_LEDGER_ENTITY]);

	if (order != 0)
		return order;
	if (left_at != right_at)
		return left_at < right_at ? -1 : 1;
	if (pending_for->by_user)
		order = compare_parts(&left->text[FMS_LEDGER_USER], &right->text[FMS_LEDGER_USER]);
	for (int i = 0; i < lengthof(rest) && order == 0; i++)
		order = compare_parts(&left->text[rest[i]], &right->text[rest[i]]);
	return order;
}

/*
 * Add a posting to the sums of its row.  No overflow: a count is at most
 * FMS_MAX_TOKENS, and a batch has room for 2^20 times as many.
 */
static void
add_posting(Sums *sums, const FmsPosting *posting)
{
	const FmsEntry *entry = posting->entry;
	int			sign = posting->sign;

	sums->calls += sign;
	sums->failures += entry->failed ? sign : 0;
	for (int i = 0; i < FMS_TOKEN_KINDS; i++)
		sums->count[i] += sign * entry->count[i];
	sums->ignored += sign * entry->ignored;
	sums->duration_us += sign * entry->duration_us;
	if (entry->ended)
		sums->durations[bucket_of(entry->duration_us)] += sign;
	if (entry->cost != NULL)
	{
		PGFunction	add = sign > 0 ? numeric_add : numeric_sub;
		Numeric		sum = sums->cost == NULL ? int64_to_numeric(0) : sums->cost;

		sums->cost = DatumGetNumeric(DirectFunctionCall2(add, NumericGetDatum(sum),
														 NumericGetDatum(entry->cost)));
	}
}

/*
 * Whether adding sums would change nothing.  That is common: a call whose
 * attributes changed, but not its usage, is taken out and put in again.
 */
static bool
is_zero(const Sums *sums)
{
	static const int64 no_counts[FMS_TOKEN_KINDS] = {0};
	static const int32 no_durations[BUCKETS] = {0};

	return sums->calls == 0 && sums->failures == 0 && sums->ignored == 0 && sums->duration_us == 0 &&
		memcmp(sums->count, no_counts, sizeof(no_counts)) == 0 &&
		memcmp(sums->durations, no_durations, sizeof(no_durations)) == 0 &&
		(sums->cost == NULL ||
		 DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(sums->cost),
										  NumericGetDatum(int64_to_numeric(0)))));
}

/* Put the sums of a row into the result of pending_sums(), in the order of its columns. */
static void
put_sums_row(ReturnSetInfo *result, const Sums *sums)
{
	static const FmsLedgerText keys[] = {FMS_LEDGER_USER, FMS_LEDGER_PROVIDER, FMS_LEDGER_MODEL,
	FMS_LEDGER_TYPE, FMS_LEDGER_CURRENCY};
	Datum		values[GROUP_COLUMNS];
	bool		nulls[GROUP_COLUMNS] = {false};
	int			n = 0;

	values[n++] = fms_table_text(&sums->example->text[FMS_LEDGER_ENTITY]);
	values[n++] = TimestampTzGetDatum(sums->at);
	for (int i = 0; i < lengthof(keys); i++)
		values[n++] = fms_table_text(&sums->example->text[keys[i]]);
	values[n++] = Int64GetDatum(sums->calls);
	values[n++] = Int64GetDatum(sums->failures);
	for (int i = 0; i < FMS_TOKEN_KINDS; i++)
		values[n++] = Int64GetDatum(sums->count[i]);
	values[n++] = Int64GetDatum(sums->ignored);
	values[n++] = NumericGetDatum(sums->cost == NULL ? int64_to_numeric(0) : sums->cost);
	values[n++] = Int64GetDatum(sums->duration_us);
	values[n++] = PointerGetDatum(durations_array(sums->durations));
	Assert(n == GROUP_COLUMNS);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Put what a posting and those after it with the same key add to a row.  Sums of
 * costs are made and thrown away row by row.
 */
static int
put_sums(const FmsFeed *feed, int i, ReturnSetInfo *result)
{
	const FmsPosting *postings = feed->rows;
	int			next;
	Sums		sums;

	memset(&sums, 0, sizeof(sums));
	sums.example = postings[i].entry;
	sums.at = interval_of(pending_for, sums.example);
	for (next = i; next < feed->count && compare_postings(&postings[i], &postings[next]) == 0; next++)
		add_posting(&sums, &postings[next]);
	if (!is_zero(&sums))
		put_sums_row(result, &sums);
	return next;
}

/*
 * pending_sums() returns setof record: what is added to the rows of the rollup
 * that is being written, in the order of their keys
 */
Datum
fms_pending_sums(PG_FUNCTION_ARGS)
{
	return fms_feed_rows(&sums_feed, fcinfo);
}

/* Run a statement that reads pending_sums(). */
static void
run_rollup(SPIPlanPtr *plan, const char *sql, FmsPosting *postings, int count)
{
	(void) fms_feed_run(&sums_feed, postings, count, fms_plan_kept(plan, sql, 0, NULL), NULL);
}

/*
 * Add postings to both rollups; the array gets sorted.  The caller is
 * connected to SPI as the owner of the tables.
 *
 * Rows stay locked until the transaction ends, hourly ones taken before daily
 * ones by everybody.  Only if something was taken out can a row have become
 * empty; a second statement deletes such rows, and finds them by their keys.
 */
void
fms_rollup_post(FmsPosting *postings, int count)
{
	bool		taken_out = false;

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		taken_out |= postings[i].sign < 0;
	for (int i = 0; i < lengthof(rollups); i++)
	{
		pending_for = &rollups[i];
		qsort(postings, count, sizeof(FmsPosting), compare_postings);
		run_rollup(&rollups[i].upsert_plan, rollups[i].upsert, postings, count);
		if (taken_out)
			run_rollup(&rollups[i].prune_plan, rollups[i].prune, postings, count);
	}
}
