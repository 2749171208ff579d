/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  Values that no log and no span may show, by the names of their keys.
 *
 * A key counts by its normalised name: ASCII letters and digits alone, in lower
 * case.  It is compared as a whole, so that "api_key" and "X-API-Key" differ
 * and "promptTokens" has nothing to do with "token".  The value of a listed key
 * becomes "[REDACTED]", at any depth.
 *
 * The list is parsed when it is set: a redaction must not fail later.  A value
 * without a listed key is returned as it is.  One with a listed key is built
 * anew, and building is recursive inside the server: below MAX_DEPTH whole
 * objects and arrays are redacted, because it is better to hide too much there
 * than nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "parser/scansup.h"

#include "compat.h"
#include "span/jsonb.h"
#include "span/redact.h"

#define MAX_NAME 64				/* longest normalised name, in bytes */
#define MAX_DEPTH 200
#define REDACTED "[REDACTED]"

/* normalised names in the order of strcmp */
typedef struct NameList
{
	int			count;
	char		name[FLEXIBLE_ARRAY_MEMBER][MAX_NAME + 1];
} NameList;

int			fms_redact_spans = 0;

static char *keys_setting;
static char *spans_setting;
static const NameList *names;

PG_FUNCTION_INFO_V1(fms_redact);

/* Normalise a name; false if it is empty or too long then. */
static bool
normalize(const char *key, int length, char *name)
{
	int			used = 0;

	for (int i = 0; i < length; i++)
	{
		char		c = key[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
			continue;
		if (used == MAX_NAME)
			return false;
		name[used++] = c;
	}
	name[used] = '\0';
	return used > 0;
}

/* qsort and bsearch comparator of names. */
static int
compare_listed(const void *a, const void *b)
{
	return strcmp(a, b);
}

/*
 * The next entry of a comma-separated list: *length bytes without the blanks
 * around them, and *at moves behind it.  NULL at the end.
 */
static const char *
next_entry(const char **at, int *length)
{
	const char *from = *at;
	const char *to;

	if (from == NULL)
		return NULL;
	to = from + strcspn(from, ",");
	*at = *to == ',' ? to + 1 : NULL;
	while (from < to && scanner_isspace(*from))
		from++;
	while (to > from && scanner_isspace(to[-1]))
		to--;
	*length = to - from;
	return from;
}

/* How many entries a list has; none if it is empty. */
static int
count_entries(const char *list)
{
	int			count = 1;

	if (list[strspn(list, " \t\n\r\f\v")] == '\0')
		return 0;
	for (const char *comma = list; (comma = strchr(comma, ',')) != NULL; comma++)
		count++;
	return count;
}

/* GUC check: parse flowmaestro.redact_keys into *extra. */
static bool
check_keys(char **value, void **extra, GucSource source)
{
	int			count = count_entries(*value);
	const char *at = *value;
	const char *entry;
	int			length;
	NameList   *list = fms_guc_malloc(offsetof(NameList, name) + count * sizeof(list->name[0]));

	if (list == NULL)
		return false;
	list->count = count;
	for (int i = 0; i < count && (entry = next_entry(&at, &length)) != NULL; i++)
	{
		if (normalize(entry, length, list->name[i]))
			continue;
		GUC_check_errdetail("\"%.*s\" is not the name of a key: it takes 1 to %d letters and digits.",
							Min(length, MAX_NAME), entry, MAX_NAME);
		fms_guc_free(list);
		return false;
	}
	qsort(list->name, count, sizeof(list->name[0]), compare_listed);
	*extra = list;
	return true;
}

/* GUC assign. */
static void
assign_keys(const char *value, void *extra)
{
	names = extra;
}

/* GUC check: parse flowmaestro.redact_spans into *extra. */
static bool
check_spans(char **value, void **extra, GucSource source)
{
	static const char *const parts[] = {"input", "output", "attributes", "error"};
	int			count = count_entries(*value);
	const char *at = *value;
	const char *entry;
	int			length;
	int			mask = 0;

	for (int i = 0; i < count && (entry = next_entry(&at, &length)) != NULL; i++)
	{
		int			part = 0;

		while (part < lengthof(parts) && (strlen(parts[part]) != length ||
										  pg_strncasecmp(parts[part], entry, length) != 0))
			part++;
		if (part == lengthof(parts))
		{
			GUC_check_errdetail("A span has no part \"%.*s\" to redact: list input, output, attributes, error.",
								Min(length, MAX_NAME), entry);
			return false;
		}
		mask |= 1 << part;
	}
	*extra = fms_guc_malloc(sizeof(int));
	if (*extra == NULL)
		return false;
	*(int *) *extra = mask;
	return true;
}

/* GUC assign. */
static void
assign_spans(const char *value, void *extra)
{
	fms_redact_spans = *(int *) extra;
}

/* Settings of redaction; called once, when the library is loaded. */
void
fms_redact_define_settings(void)
{
	DefineCustomStringVariable("flowmaestro.redact_keys",
							   "Keys whose values are redacted.",
							   "Case, and what is neither letter nor digit, does not matter.",
							   &keys_setting,
							   "password, token, access_token, refresh_token, api_key, secret, client_secret, "
							   "authorization, cookie, session_id, credit_card, ssn, social_security, "
							   "private_key, encryption_key, key, auth, bearer, jwt, credential, refresh",
							   PGC_SUSET, GUC_LIST_INPUT, check_keys, assign_keys, NULL);
	DefineCustomStringVariable("flowmaestro.redact_spans",
							   "Parts of a span in which keys are redacted.",
							   "A list of input, output, attributes, error; of log lines the fields always are.",
							   &spans_setting, "",
							   PGC_SUSET, GUC_LIST_INPUT, check_spans, assign_spans, NULL);
}

/* Whether the value of a key has to be redacted. */
static bool
is_listed(const JsonbValue *key)
{
	char		name[MAX_NAME + 1];

	return normalize(key->val.string.val, key->val.string.len, name) &&
		bsearch(name, names->name, names->count, sizeof(names->name[0]), compare_listed) != NULL;
}

/* Whether a listed key is anywhere in a value. */
static bool
holds_listed(Jsonb *value)
{
	JsonbIterator *iterator = JsonbIteratorInit(&value->root);
	JsonbIteratorToken token;
	JsonbValue	item;

	while ((token = JsonbIteratorNext(&iterator, &item, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY && is_listed(&item))
			return true;
	}
	return false;
}

/*
 * A value without what its listed keys hold: itself if there are none, else a
 * copy in the current memory context.
 */
Jsonb *
fms_redact_jsonb(Jsonb *value)
{
	JsonbIterator *iterator;
	FmsJsonbState state = {0};
	JsonbIteratorToken token;
	JsonbValue	item;
	JsonbValue	redacted;
	int			depth = 0;
	bool		secret = false; /* the value that comes next is a listed key's */

	if (names->count == 0 || !holds_listed(value))
		return value;
	fms_jsonb_set_string(&redacted, REDACTED, strlen(REDACTED));
	iterator = JsonbIteratorInit(&value->root);

	/*
	 * what is to be hidden comes in one piece, as a binary value if it is no
	 * scalar
	 */
	while ((token = JsonbIteratorNext(&iterator, &item, secret || depth >= MAX_DEPTH)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT)
			depth++;
		else if (token == WJB_END_ARRAY || token == WJB_END_OBJECT)
			depth--;
		else if (secret || item.type == jbvBinary)
			item = redacted;
		secret = token == WJB_KEY && is_listed(&item);
		fms_jsonb_push(&state, token, token < WJB_BEGIN_ARRAY ? &item : NULL);
	}
	return JsonbValueToJsonb(state.result);
}

/* redact(value jsonb) returns jsonb */
Datum
fms_redact(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(fms_redact_jsonb(PG_GETARG_JSONB_P(0)));
}
