/*-------------------------------------------------------------------------
 *
 * w3c.c
 *	  Trace Context and Baggage of the W3C, and SQL comments that carry them.
 *
 * Trace Context level 2: a traceparent of a version above 00 is read by what it
 * shares with 00, and what is written is version 00.  Upper case is an error;
 * the specification wants such a header ignored, not repaired.  Baggage is
 * checked and carried, not interpreted.
 *
 * The comment is sqlcommenter's: key='value' pairs with commas between, values
 * URL-encoded.  It stands behind the statement, or in front of it.  Behind, it
 * is read backwards: a statement that ends in a comment ends in the two
 * characters that close it, and no literal can end like that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "context/w3c.h"
#include "span/text.h"

#define VERSION_AT 0			/* offsets in a traceparent */
#define TRACE_AT 3
#define SPAN_AT 36
#define FLAGS_AT 53
#define KNOWN_FLAGS (FMS_FLAG_SAMPLED | FMS_FLAG_RANDOM)

#define MAX_MEMBERS 32			/* of a tracestate */
#define MAX_KEY 256
#define MAX_VALUE 256
#define MAX_BAGGAGE_MEMBERS 180

#define MAX_COMMENT 8192		/* bytes of a comment that is looked at */
#define MAX_COMMENTS 8			/* at either end of a statement */
#define MAX_PARENT 256			/* bytes of a traceparent of a version to come */

/* What is left of a text to read. */
typedef struct Rest
{
	const char *at;
	const char *end;
} Rest;

/* Blank as HTTP knows it. */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Blank as SQL knows it. */
static bool
is_sql_space(char c)
{
	return is_blank(c) || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* Drop the blanks around a text, which are not part of a header's value. */
static void
trim(const char **text, size_t *length)
{
	while (*length > 0 && is_blank(**text))
	{
		(*text)++;
		(*length)--;
	}
	while (*length > 0 && is_blank((*text)[*length - 1]))
		(*length)--;
}

/*
 * Read a traceparent.  Returns NULL, or what is wrong with it; *traceparent is
 * undefined then.
 */
const char *
fms_w3c_traceparent(const char *text, size_t length, FmsTraceparent *traceparent)
{
	unsigned char version;

	trim(&text, &length);
	if (length < FMS_TRACEPARENT_BYTES)
		return "It is shorter than 55 characters.";
	if (!fms_hex_read(text + VERSION_AT, &version, 1))
		return "The version is not two lower-case hexadecimal digits.";
	if (version == 0xff)
		return "Version ff is invalid.";
	if (version == 0 && length != FMS_TRACEPARENT_BYTES)
		return "It is longer than the 55 characters of version 00.";
	if (text[TRACE_AT - 1] != '-' || text[SPAN_AT - 1] != '-' || text[FLAGS_AT - 1] != '-' ||
		(length > FMS_TRACEPARENT_BYTES && text[FMS_TRACEPARENT_BYTES] != '-'))
		return "Its fields are not separated by hyphens.";
	if (!fms_hex_read(text + TRACE_AT, traceparent->trace_id, 16))
		return "The trace id is not 32 lower-case hexadecimal digits.";
	if (!fms_hex_read(text + SPAN_AT, traceparent->span_id, 8))
		return "The parent id is not 16 lower-case hexadecimal digits.";
	if (!fms_hex_read(text + FLAGS_AT, &traceparent->flags, 1))
		return "The flags are not two lower-case hexadecimal digits.";
	if (fms_all_zero(traceparent->trace_id, 16))
		return "The trace id is all zeros.";
	if (fms_all_zero(traceparent->span_id, 8))
		return "The parent id is all zeros.";
	traceparent->flags &= KNOWN_FLAGS;
	return NULL;
}

/* Write a traceparent of version 00 and a NUL: FMS_TRACEPARENT_BYTES + 1 bytes. */
void
fms_w3c_format(const FmsTraceparent *traceparent, char *out)
{
	*out++ = '0';
	*out++ = '0';
	*out++ = '-';
	out = fms_hex_write(out, traceparent->trace_id, 16);
	*out++ = '-';
	out = fms_hex_write(out, traceparent->span_id, 8);
	*out++ = '-';
	out = fms_hex_write(out, &traceparent->flags, 1);
	*out = '\0';
}

/* Whether a character can begin the key of a tracestate. */
static bool
is_key_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Whether a character can be in the key of a tracestate. */
static bool
is_key_char(char c)
{
	return is_key_start(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
}

/* Check one member of a tracestate; *key_length is that of its key. */
static const char *
check_member(const char *member, size_t length, size_t *key_length)
{
	size_t		key = 0;

	while (key < length && is_key_char(member[key]))
		key++;
	if (key == 0 || !is_key_start(member[0]))
		return "A key does not begin with a lower-case letter or a digit.";
	if (key > MAX_KEY)
		return "A key is longer than 256 characters.";
	if (key == length || member[key] != '=')
		return "A member is not of the form key=value.";
	if (key + 1 == length)
		return "A value is empty.";
	if (length - key - 1 > MAX_VALUE)
		return "A value is longer than 256 characters.";
	for (size_t i = key + 1; i < length; i++)
	{
		if (member[i] < 0x20 || member[i] > 0x7e || member[i] == '=')
			return "A value has a character that is not allowed.";
	}
	*key_length = key;
	return NULL;
}

/*
 * Check a tracestate.  Empty members are allowed, a key may be there only once.
 * Returns NULL, or what is wrong with it.
 */
const char *
fms_w3c_tracestate(const char *text, size_t length)
{
	Rest		keys[MAX_MEMBERS];
	int			members = 0;
	const char *end = text + length;

	if (length > FMS_MAX_TRACESTATE)
		return "It is too long.";
	while (text < end)
	{
		const char *comma = memchr(text, ',', end - text);
		const char *member = text;
		size_t		size = (comma == NULL ? end : comma) - text;
		size_t		key;
		const char *fault;

		text = comma == NULL ? end : comma + 1;
		trim(&member, &size);
		if (size == 0)
			continue;
		if (members == MAX_MEMBERS)
			return "It has more than 32 members.";
		fault = check_member(member, size, &key);
		if (fault != NULL)
			return fault;
		for (int i = 0; i < members; i++)
		{
			if (keys[i].end - keys[i].at == key && memcmp(keys[i].at, member, key) == 0)
				return "A key is there more than once.";
		}
		keys[members].at = member;
		keys[members++].end = member + key;
	}
	return NULL;
}

/* Whether a character can be in a token of HTTP. */
static bool
is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Whether a character can be in a value of baggage. */
static bool
is_baggage_char(char c)
{
	return c > 0x20 && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\';
}

/* Skip blanks. */
static void
skip_blanks(Rest *rest)
{
	while (rest->at < rest->end && is_blank(*rest->at))
		rest->at++;
}

/* Skip a character if it is the next one. */
static bool
skip_char(Rest *rest, char c)
{
	if (rest->at == rest->end || *rest->at != c)
		return false;
	rest->at++;
	return true;
}

/* Check a key, and its value where there is one; "bare": there may be none. */
static const char *
check_baggage_pair(Rest *rest, bool bare)
{
	const char *key;

	skip_blanks(rest);
	key = rest->at;
	while (rest->at < rest->end && is_token_char(*rest->at))
		rest->at++;
	if (rest->at == key)
		return "A key is empty or has a character that is not allowed.";
	skip_blanks(rest);
	if (!skip_char(rest, '='))
		return bare ? NULL : "A member is not of the form key=value.";
	skip_blanks(rest);
	while (rest->at < rest->end && is_baggage_char(*rest->at))
		rest->at++;
	skip_blanks(rest);
	return NULL;
}

/*
 * Check baggage: members with their properties.  Returns NULL, or what is wrong
 * with it.
 */
const char *
fms_w3c_baggage(const char *text, size_t length)
{
	Rest		rest;
	int			members = 0;
	const char *fault;

	trim(&text, &length);
	if (length > FMS_MAX_BAGGAGE)
		return "It is longer than 8192 bytes.";
	if (length == 0)
		return NULL;
	rest.at = text;
	rest.end = text + length;
	do
	{
		if (members++ == MAX_BAGGAGE_MEMBERS)
			return "It has more than 180 members.";
		fault = check_baggage_pair(&rest, false);
		while (fault == NULL && skip_char(&rest, ';'))
			fault = check_baggage_pair(&rest, true);
		if (fault != NULL)
			return fault;
	} while (skip_char(&rest, ','));
	return rest.at == rest.end ? NULL : "A value has a character that is not allowed.";
}

/*
 * Read a quoted, URL-encoded value into "out", NUL-terminated.  Without "out",
 * or if it does not fit, the value is only skipped, and *out is empty.
 */
static bool
read_member_value(Rest *rest, char *out, size_t size)
{
	size_t		used = 0;

	if (!skip_char(rest, '\''))
		return false;
	while (rest->at < rest->end && *rest->at != '\'')
	{
		char		c = *rest->at++;

		if (c == '\\')
		{
			if (rest->at == rest->end)
				return false;
			c = *rest->at++;
		}
		else if (c == '%' && rest->end - rest->at >= 2 &&
				 fms_hex_digit(rest->at[0]) >= 0 && fms_hex_digit(rest->at[1]) >= 0)
		{
			c = (char) (fms_hex_digit(rest->at[0]) << 4 | fms_hex_digit(rest->at[1]));
			rest->at += 2;
		}
		if (c == '\0')
			return false;
		if (used + 1 < size)
			out[used] = c;
		used++;
	}
	if (size > 0)
		out[used < size ? used : 0] = '\0';
	return skip_char(rest, '\'');
}

/* Skip what is blank in SQL. */
static void
skip_sql_space(Rest *rest)
{
	while (rest->at < rest->end && is_sql_space(*rest->at))
		rest->at++;
}

/*
 * Read the inside of a comment.  False if it is not sqlcommenter's, or has no
 * good traceparent.  A bad tracestate is left out.
 */
static bool
read_comment(Rest rest, FmsTraceparent *traceparent, char *tracestate, size_t size)
{
	char		parent[MAX_PARENT];
	FmsPart		key;
	bool		ok;

	parent[0] = '\0';
	tracestate[0] = '\0';
	do
	{
		skip_sql_space(&rest);
		key.data = rest.at;
		while (rest.at < rest.end && is_token_char(*rest.at) && *rest.at != '\'')
			rest.at++;
		key.length = rest.at - key.data;
		if (key.length == 0 || !skip_char(&rest, '='))
			return false;
		if (fms_part_is(key, "traceparent"))
			ok = read_member_value(&rest, parent, sizeof(parent));
		else if (fms_part_is(key, "tracestate"))
			ok = read_member_value(&rest, tracestate, size);
		else
			ok = read_member_value(&rest, NULL, 0);
		if (!ok)
			return false;
		skip_sql_space(&rest);
	} while (skip_char(&rest, ','));
	if (rest.at != rest.end || fms_w3c_traceparent(parent, strlen(parent), traceparent) != NULL)
		return false;
	if (fms_w3c_tracestate(tracestate, strlen(tracestate)) != NULL)
		tracestate[0] = '\0';
	return true;
}

/* Take the comment off the end of a statement; false if there is none. */
static bool
last_comment(Rest *sql, Rest *comment)
{
	const char *start;

	while (sql->end > sql->at && (is_sql_space(sql->end[-1]) || sql->end[-1] == ';'))
		sql->end--;
	if (sql->end - sql->at < 4 || sql->end[-1] != '/' || sql->end[-2] != '*')
		return false;
	comment->end = sql->end - 2;
	for (start = comment->end - 2; start >= sql->at; start--)
	{
		if (comment->end - start > MAX_COMMENT)
			return false;
		if (start[0] == '/' && start[1] == '*')
		{
			comment->at = start + 2;
			sql->end = start;
			return true;
		}
	}
	return false;
}

/* Take the comment off the beginning of a statement; false if there is none. */
static bool
first_comment(Rest *sql, Rest *comment)
{
	const char *end;

	skip_sql_space(sql);
	if (sql->end - sql->at < 4 || sql->at[0] != '/' || sql->at[1] != '*')
		return false;
	comment->at = sql->at + 2;
	for (end = comment->at; end + 2 <= sql->end && end - comment->at <= MAX_COMMENT; end++)
	{
		if (end[0] == '*' && end[1] == '/')
		{
			comment->end = end;
			sql->at = end + 2;
			return true;
		}
	}
	return false;
}

/*
 * Find the traceparent in the comments around a statement, and the tracestate
 * that goes with it ("size" bytes at most, with its NUL; empty if there is
 * none).  What is not good is as if it were not there.
 */
bool
fms_w3c_comment(const char *sql, size_t length, FmsTraceparent *traceparent,
				char *tracestate, size_t size)
{
	Rest		rest = {sql, sql + length};
	Rest		comment;

	for (int i = 0; i < MAX_COMMENTS && last_comment(&rest, &comment); i++)
	{
		if (read_comment(comment, traceparent, tracestate, size))
			return true;
	}
	rest.end = sql + length;
	for (int i = 0; i < MAX_COMMENTS && first_comment(&rest, &comment); i++)
	{
		if (read_comment(comment, traceparent, tracestate, size))
			return true;
	}
	return false;
}
