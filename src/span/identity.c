/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  Ids of traces and spans.
 *
 * Random bits come from the strong source in blocks: one system call an id
 * would triple the cost of recording a span.  The block lives in the process;
 * it is never inherited used, because the postmaster makes no ids.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "span/identity.h"

#define RANDOM_BLOCK FMS_LIMIT(4096, 16)
#define UNIX_EPOCH_US ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)
#define SPAN_PREFIX 8			/* bytes of a span id that are its trace's */

static unsigned char random_block[RANDOM_BLOCK];
static size_t random_used = RANDOM_BLOCK;

PG_FUNCTION_INFO_V1(fms_deterministic_span_id);

/*
 * 64 strong random bits.  Raises an error only if the system has no random
 * source, which a running server does not survive anyway.
 */
uint64
fms_identity_random(void)
{
	uint64		bits;

	if (random_used + sizeof(bits) > RANDOM_BLOCK)
	{
		if (!pg_strong_random(random_block, RANDOM_BLOCK))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		random_used = 0;
	}
	memcpy(&bits, random_block + random_used, sizeof(bits));
	/* a used id must not be readable in a core file as the next one */
	memset(random_block + random_used, 0, sizeof(bits));
	random_used += sizeof(bits);
	return bits;
}

/* A new UUIDv7 for a trace that begins at "now". */
void
fms_identity_new_trace(pg_uuid_t *trace_id, TimestampTz now)
{
	uint64		ms = (uint64) ((now + UNIX_EPOCH_US) / 1000);
	uint64		low = fms_identity_random();
	uint16		high = (uint16) fms_identity_random();

	for (int i = 0; i < 6; i++)
		trace_id->data[i] = (unsigned char) (ms >> (40 - 8 * i));
	trace_id->data[6] = 0x70 | ((high >> 8) & 0x0f);
	trace_id->data[7] = high & 0xff;
	memcpy(trace_id->data + SPAN_PREFIX, &low, sizeof(low));
	trace_id->data[8] = 0x80 | (trace_id->data[8] & 0x3f);
}

/* A new span id in a trace. */
void
fms_identity_new_span(pg_uuid_t *span_id, const pg_uuid_t *trace_id)
{
	uint64		own;

	do
		own = fms_identity_random();
	while (own == 0);			/* OpenTelemetry's invalid id */
	memcpy(span_id->data, trace_id->data, SPAN_PREFIX);
	memcpy(span_id->data + SPAN_PREFIX, &own, sizeof(own));
}

/* Whether an id is the invalid one, all zero. */
bool
fms_identity_is_nil(const pg_uuid_t *id)
{
	static const pg_uuid_t nil = {{0}};

	return memcmp(id, &nil, sizeof(nil)) == 0;
}

/*
 * The time in a UUIDv7 trace id, or in a span id that begins like one.
 * Returns false for any other uuid.
 */
bool
fms_identity_trace_time(const pg_uuid_t *trace_id, TimestampTz *made_at)
{
	uint64		ms = 0;

	if ((trace_id->data[6] & 0xf0) != 0x70)
		return false;
	for (int i = 0; i < 6; i++)
		ms = (ms << 8) | trace_id->data[i];
	*made_at = (TimestampTz) (ms * 1000) - UNIX_EPOCH_US;
	return IS_VALID_TIMESTAMP(*made_at);
}

/*
 * deterministic_span_id(trace_id uuid, key text) returns uuid
 *
 * The trace id's prefix and the first 8 bytes of SHA-256 over the trace id and
 * the key in UTF-8: the same in every retry, on every machine, for ever.
 */
Datum
fms_deterministic_span_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *trace_id = PG_GETARG_UUID_P(0);
	text	   *key = PG_GETARG_TEXT_PP(1);
	pg_uuid_t  *span_id = palloc(sizeof(pg_uuid_t));
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char	   *utf8;
	pg_cryptohash_ctx *hash;

	if (fms_identity_is_nil(trace_id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trace_id must not be nil")));
	utf8 = pg_server_to_any(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), PG_UTF8);
	hash = pg_cryptohash_create(PG_SHA256);
	if (hash == NULL ||
		pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, trace_id->data, UUID_LEN) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) utf8,
							 utf8 == VARDATA_ANY(key) ? VARSIZE_ANY_EXHDR(key) : strlen(utf8)) < 0 ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256: %s", pg_cryptohash_error(hash))));
	pg_cryptohash_free(hash);

	memcpy(span_id->data, trace_id->data, SPAN_PREFIX);
	memcpy(span_id->data + SPAN_PREFIX, digest, UUID_LEN - SPAN_PREFIX);
	PG_RETURN_UUID_P(span_id);
}
