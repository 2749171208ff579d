/*-------------------------------------------------------------------------
 *
 * html.c
 *	  A trace as one HTML page.
 *
 * The page carries all that it needs and may load nothing: its policy allows
 * the one style and the one script that are in it, by their hashes.  What
 * comes from spans is data in a block that no browser runs.  It is JSON in
 * which every character that HTML gives a meaning, and every one outside
 * ASCII, is escaped; the script puts it into the document as text.
 *
 * Inputs, outputs and the like are cut so that all of them together stay
 * within PAYLOAD_BUDGET characters.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/base64.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "span/text.h"
#include "trace/page.inc"
#include "trace/read.h"
#include "trace/trace.h"

#define PAYLOAD_BUDGET (32 * 1024 * 1024)
#define LONGEST_PAYLOAD 4000	/* characters of one, however few there are */
#define LEAST_PAYLOAD 80
#define PAYLOADS 5
#define HASH_BYTES 64			/* of a hash in base64 */

PG_FUNCTION_INFO_V1(fms_trace_html);

/* in the order of the page's script; $2 is one character more than is shown */
static const char *const select_payloads =
	"SELECT s.span_id, pg_catalog.left(s.input::pg_catalog.text, $2), "
	"pg_catalog.left(s.output::pg_catalog.text, $2), "
	"pg_catalog.left(s.attributes::pg_catalog.text, $2), "
	"pg_catalog.left(s.error::pg_catalog.text, $2), "
	"pg_catalog.left(s.events::pg_catalog.text, $2) "
	"FROM flowmaestro.execution_spans AS s WHERE s.trace_id OPERATOR(pg_catalog.=) $1 AND ";

/* what a span shows besides its place in the tree */
typedef struct Payload
{
	text	   *parts[PAYLOADS];
} Payload;

/* Append a code point as JSON escapes: two of them beyond the basic plane. */
static void
put_code(StringInfo out, pg_wchar code)
{
	if (code > 0xffff)
	{
		code -= 0x10000;
		appendStringInfo(out, "\\u%04x", 0xd800 + (code >> 10));
		code = 0xdc00 + (code & 0x3ff);
	}
	appendStringInfo(out, "\\u%04x", code);
}

/*
 * Append the next character of a text in UTF-8 to a JSON string; returns its
 * bytes.  What HTML, JSON or a script could take for something else than a
 * letter is escaped, and so is all that is not ASCII: the page is the same
 * bytes whatever encoding it is stored or sent in.
 */
static int
put_character(StringInfo out, const unsigned char *data, int length)
{
	int			bytes = Min(pg_utf_mblen(data), length);

	if (*data >= 0x80)
		put_code(out, bytes > 1 ? utf8_to_unicode(data) : 0xfffd);
	else if (*data < 0x20 || *data == 0x7f || strchr("<>&'\"\\", *data) != NULL)
		put_code(out, *data);
	else
		appendStringInfoChar(out, *data);
	return bytes;
}

/*
 * Append a text of the server's encoding as a JSON string.  The page is for
 * browsers, so it is converted to Unicode where the server has another one.
 */
static void
put_string(StringInfo out, const char *data, int length)
{
	char	   *utf8 = (char *) data;

	/* in SQL_ASCII nobody knows what the other bytes are */
	if (GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII)
		utf8 = (char *) pg_do_encoding_conversion((unsigned char *) data, length,
												  GetDatabaseEncoding(), PG_UTF8);
	if (utf8 != data)
		length = strlen(utf8);
	appendStringInfoChar(out, '"');
	for (int at = 0; at < length;)
	{
		if (GetDatabaseEncoding() == PG_SQL_ASCII && (unsigned char) utf8[at] >= 0x80)
			put_code(out, 0xfffd), at++;
		else
			at += put_character(out, (unsigned char *) utf8 + at, length - at);
	}
	appendStringInfoChar(out, '"');
	if (utf8 != data)
		pfree(utf8);
}

/* Append a comma and a text, or null. */
static void
put_page_text(StringInfo out, const text *value)
{
	appendStringInfoChar(out, ',');
	if (value == NULL)
		appendStringInfoString(out, "null");
	else
		put_string(out, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

/* Append an id. */
static void
put_id(StringInfo out, const pg_uuid_t *id)
{
	char	   *string = fms_uuid_text(id);

	appendStringInfo(out, "\"%s\"", string);
	pfree(string);
}

/*
 * Append the tokens and the cost of a subtree, a comma before each.  The cost
 * is a string, because a number of JavaScript would round it.
 */
static void
put_usage(StringInfo out, const FmsSpent *usage)
{
	if (usage->tokens)
		appendStringInfo(out, "," INT64_FORMAT "," INT64_FORMAT "," INT64_FORMAT, usage->prompt,
						 usage->completion, usage->total);
	else
		appendStringInfoString(out, ",null,null,null");
	if (usage->cost == NULL)
		appendStringInfoString(out, ",null");
	else
		appendStringInfo(out, ",\"%s\"",
						 DatumGetCString(DirectFunctionCall1(numeric_out,
															 NumericGetDatum(usage->cost))));
}

/* Append a span as an array; the page's script has the names of the elements. */
static void
put_page_span(StringInfo out, const FmsTreeSpan *span, TimestampTz begin, const Payload *payload)
{
	char	   *note = fms_tree_note(span);

	appendStringInfo(out, "[%d,", span->depth);
	put_id(out, &span->span_id);
	appendStringInfoChar(out, ',');
	if (span->has_parent)
		put_id(out, &span->parent_span_id);
	else
		appendStringInfoString(out, "null");
	put_page_text(out, span->name);
	put_page_text(out, span->span_type);
	put_page_text(out, span->entity_id);
	put_page_text(out, span->status);
	appendStringInfo(out, "," INT64_FORMAT "," INT64_FORMAT "," INT64_FORMAT, span->from - begin,
					 span->until - span->from, span->self_us);
	if (span->critical)
		appendStringInfo(out, "," INT64_FORMAT, span->critical_us);
	else
		appendStringInfoString(out, ",null");
	appendStringInfo(out, ",%d", span->descendants);
	put_usage(out, &span->usage);
	put_page_text(out, span->error);
	put_page_text(out, note == NULL ? NULL : cstring_to_text(note));
	for (int i = 0; i < PAYLOADS; i++)
		put_page_text(out, payload->parts[i]);
	appendStringInfoChar(out, ']');
}

/* A payload as it is shown: an ellipsis tells that it is not all. */
static text *
keep_part(Datum value, int limit)
{
	text	   *part = DatumGetTextPP(value);
	int			bytes = VARSIZE_ANY_EXHDR(part);
	int			kept = pg_mbcharcliplen(VARDATA_ANY(part), bytes, limit);
	StringInfoData cut;

	if (kept == bytes)
		return DatumGetTextPCopy(value);
	initStringInfo(&cut);
	appendBinaryStringInfo(&cut, VARDATA_ANY(part), kept);
	appendStringInfoString(&cut, " ...");
	return cstring_to_text_with_len(cut.data, cut.len);
}

/*
 * Read what the spans show besides their places, as an array by their places
 * in the tree.  How much of each is told by the number of spans, so that the
 * page stays within its budget whatever was recorded.
 */
static Payload *
read_payloads(const FmsTree *tree, const pg_uuid_t *trace_id)
{
	MemoryContext context = CurrentMemoryContext;
	int			limit = PAYLOAD_BUDGET / PAYLOADS / Max(tree->count, 1);
	Oid			types[] = {UUIDOID, INT4OID};
	Datum		values[] = {UUIDPGetDatum(trace_id), 0};
	Payload    *payloads = palloc_extended(sizeof(Payload) * Max(tree->count, 1),
										   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int			level = fms_read_begin();
	StringInfoData sql;

	limit = Max(LEAST_PAYLOAD, Min(limit, LONGEST_PAYLOAD));
	values[1] = Int32GetDatum(limit + 1);
	initStringInfo(&sql);
	appendStringInfoString(&sql, select_payloads);
	fms_read_append_times(&sql, trace_id);
	if (SPI_execute_with_args(sql.data, 2, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the payloads of a trace");
	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		isnull;
		Datum		id = SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull);
		int			place = fms_tree_find(tree, DatumGetUUIDP(id));

		CHECK_FOR_INTERRUPTS();
		for (int part = 0; place != NO_SPAN && part < PAYLOADS; part++)
		{
			Datum		value = SPI_getbinval(row, SPI_tuptable->tupdesc, part + 2, &isnull);

			if (!isnull)
				payloads[place].parts[part] = keep_part(value, limit);
		}
	}
	fms_read_end(level);
	return payloads;
}

/* Append the data of the page: what is told of the trace, and its spans in tree order. */
static void
put_data(StringInfo out, const FmsTree *tree, const pg_uuid_t *trace_id)
{
	const FmsTreeSpan *root = &tree->spans[tree->main_root];
	Payload    *payloads = read_payloads(tree, trace_id);
	TimestampTz begin = root->from;
	TimestampTz end = root->until;
	int			failed = 0;
	int			running = 0;

	for (int i = 0; i < tree->count; i++)
	{
		begin = Min(begin, tree->spans[i].from);
		end = Max(end, tree->spans[i].until);
		failed += tree->spans[i].failed;
		running += tree->spans[i].running;
	}
	appendStringInfo(out, "{\"length\":" INT64_FORMAT ",\"failed\":%d,\"running\":%d,"
					 "\"started\":\"%s\"", end - begin, failed, running, timestamptz_to_str(begin));
	appendStringInfoString(out, ",\"trace\":");
	put_id(out, trace_id);
	appendStringInfoString(out, ",\"name\":");
	put_string(out, VARDATA_ANY(root->name), VARSIZE_ANY_EXHDR(root->name));
	appendStringInfoString(out, ",\"spans\":[");
	for (int i = 0; i < tree->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		appendStringInfoString(out, i > 0 ? ",\n" : "\n");
		put_page_span(out, &tree->spans[tree->order[i]], begin, &payloads[tree->order[i]]);
	}
	appendStringInfoString(out, "]}");
}

/*
 * Append the source expression that allows a text of the page by its hash.
 * Raises an error if the server's cryptography fails.
 */
static void
put_hash(StringInfo out, const char *content)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char		encoded[HASH_BYTES];
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	int			length;

	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) content, strlen(content)) < 0 ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256: %s", pg_cryptohash_error(hash))));
	pg_cryptohash_free(hash);
	length = pg_b64_encode((void *) digest, sizeof(digest), encoded, sizeof(encoded));
	appendStringInfo(out, "'sha256-%.*s'", length, encoded);
}

/* Append all up to the data: the policy comes before anything that it is about. */
static void
put_page_head(StringInfo out)
{
	appendStringInfoString(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
						   "<meta charset=\"utf-8\">\n"
						   "<meta http-equiv=\"Content-Security-Policy\" content=\""
						   "default-src 'none'; style-src ");
	put_hash(out, page_css);
	appendStringInfoString(out, "; script-src ");
	put_hash(out, page_js);
	appendStringInfoString(out, "; base-uri 'none'; form-action 'none'\">\n"
						   "<meta name=\"viewport\" "
						   "content=\"width=device-width, initial-scale=1\">\n"
						   "<meta name=\"referrer\" content=\"no-referrer\">\n"
						   "<title>Trace</title>\n<style>");
	appendStringInfoString(out, page_css);
	appendStringInfoString(out, "</style>\n</head>\n");
	appendStringInfoString(out, page_html);
}

/*
 * trace_html(trace_id uuid) returns text
 *
 * NULL if there is no such trace; an error if the page would be above the 1 GB
 * that a text can have.
 */
Datum
fms_trace_html(PG_FUNCTION_ARGS)
{
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext work = fms_trace_enter();
	FmsTree    *tree = fms_trace_tree(PG_GETARG_UUID_P(0));
	StringInfoData page;
	text	   *result = NULL;

	if (tree->count > 0)
	{
		initStringInfo(&page);
		put_page_head(&page);
		appendStringInfoString(&page, "<script type=\"application/json\" id=\"data\">");
		put_data(&page, tree, PG_GETARG_UUID_P(0));
		appendStringInfoString(&page, "</script>\n<script>");
		appendStringInfoString(&page, page_js);
		appendStringInfoString(&page, "</script>\n</body>\n</html>\n");
		MemoryContextSwitchTo(result_context);
		result = cstring_to_text_with_len(page.data, page.len);
	}
	fms_trace_leave(work);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}
