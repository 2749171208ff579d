/*-------------------------------------------------------------------------
 *
 * uri.c
 *	  URI references and JSON pointers, as far as $id and $ref need them.
 *
 * Resolution is RFC 3986, section 5.2; pointers are RFC 6901.  URIs are
 * compared as strings: nothing is normalised but dot segments.  Results are
 * palloc'd in the current context.  No text is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schema/uri.h"
#include "span/text.h"

/* The five parts of a URI reference, as slices of it; length -1: absent. */
typedef struct UriParts
{
	const char *scheme;
	int			scheme_length;
	const char *authority;
	int			authority_length;
	const char *path;
	int			path_length;
	const char *query;
	int			query_length;
	const char *fragment;
	int			fragment_length;
} UriParts;

/*
 * Take a URI reference apart, as the regular expression of RFC 3986, appendix B
 * does; nothing is refused, for every text is some reference.
 */
static void
split(const char *uri, UriParts *parts)
{
	const char *end;

	parts->scheme_length = parts->authority_length = -1;
	parts->query_length = parts->fragment_length = -1;
	end = uri + strcspn(uri, ":/?#");
	if (*end == ':' && end > uri)
	{
		parts->scheme = uri;
		parts->scheme_length = end - uri;
		uri = end + 1;
	}
	if (uri[0] == '/' && uri[1] == '/')
	{
		parts->authority = uri + 2;
		parts->authority_length = strcspn(uri + 2, "/?#");
		uri = parts->authority + parts->authority_length;
	}
	parts->path = uri;
	parts->path_length = strcspn(uri, "?#");
	uri += parts->path_length;
	if (*uri == '?')
	{
		parts->query = uri + 1;
		parts->query_length = strcspn(uri + 1, "#");
		uri = parts->query + parts->query_length;
	}
	if (*uri == '#')
	{
		parts->fragment = uri + 1;
		parts->fragment_length = strlen(uri + 1);
	}
}

/*
 * Drop the last segment that was written after position "floor", with the slash
 * in front of it: the meaning of "..".
 */
static void
drop_segment(StringInfo out, int floor)
{
	while (out->len > floor && out->data[--out->len] != '/')
		;
	out->data[out->len] = '\0';
}

/*
 * Append a path without its "." and ".." segments (RFC 3986, 5.2.4).  A path
 * that ends in one of them names a folder, so it ends in a slash.
 */
static void
append_without_dots(StringInfo out, const char *path, int length)
{
	const char *end = path + length;
	int			floor = out->len;

	while (path < end)
	{
		const char *slash = path + (*path == '/');
		const char *next = memchr(slash, '/', end - slash);
		int			segment;

		if (next == NULL)
			next = end;
		segment = next - slash;
		if (segment == 1 && slash[0] == '.')
		{
			if (next == end)
				appendStringInfoChar(out, '/');
		}
		else if (segment == 2 && slash[0] == '.' && slash[1] == '.')
		{
			drop_segment(out, floor);
			if (next == end)
				appendStringInfoChar(out, '/');
		}
		else
			appendBinaryStringInfo(out, path, next - path);
		path = next;
	}
}

/*
 * Append the path that a relative path means beside a base's: in place of what
 * comes behind its last slash.
 */
static void
append_merged(StringInfo out, const UriParts *base, const UriParts *reference)
{
	StringInfoData merged;
	int			keep = base->path_length;

	initStringInfo(&merged);
	while (keep > 0 && base->path[keep - 1] != '/')
		keep--;
	if (keep > 0)
		appendBinaryStringInfo(&merged, base->path, keep);
	else if (base->authority_length >= 0)
		appendStringInfoChar(&merged, '/');
	appendBinaryStringInfo(&merged, reference->path, reference->path_length);
	append_without_dots(out, merged.data, merged.len);
	pfree(merged.data);
}

/* Append a part with its mark in front, if there is one. */
static void
append_part(StringInfo out, const char *mark, const char *part, int length)
{
	if (length < 0)
		return;
	appendStringInfoString(out, mark);
	appendBinaryStringInfo(out, part, length);
}

/*
 * The URI that a reference means where "base" is the base URI, which may itself
 * be relative or empty: then so is the result.  The fragment is the reference's.
 */
char *
fms_uri_resolve(const char *base, const char *reference)
{
	UriParts	from;
	UriParts	to;
	StringInfoData out;
	bool		own_authority;

	split(base, &from);
	split(reference, &to);
	initStringInfo(&out);
	own_authority = to.scheme_length >= 0 || to.authority_length >= 0;
	if (to.scheme_length >= 0)
		from.scheme = to.scheme, from.scheme_length = to.scheme_length;
	if (from.scheme_length >= 0)
	{
		appendBinaryStringInfo(&out, from.scheme, from.scheme_length);
		appendStringInfoChar(&out, ':');
	}
	if (own_authority)
		append_part(&out, "//", to.authority, to.authority_length);
	else
		append_part(&out, "//", from.authority, from.authority_length);
	if (own_authority || (to.path_length > 0 && to.path[0] == '/'))
		append_without_dots(&out, to.path, to.path_length);
	else if (to.path_length > 0)
		append_merged(&out, &from, &to);
	else
	{
		appendBinaryStringInfo(&out, from.path, from.path_length);
		if (to.query_length < 0)
			append_part(&out, "?", from.query, from.query_length);
	}
	append_part(&out, "?", to.query, to.query_length);
	append_part(&out, "#", to.fragment, to.fragment_length);
	return out.data;
}

/* Cut a URI, in place, at its fragment; the fragment, or NULL if it has none. */
char *
fms_uri_cut_fragment(char *uri)
{
	char	   *mark = strchr(uri, '#');

	if (mark == NULL)
		return NULL;
	*mark = '\0';
	return mark + 1;
}

/*
 * A copy with every %XX decoded; what is no such code stays as it is.  The result
 * may be ill-formed text, and ends early at a %00: it only serves look-ups, which
 * find nothing then.
 */
char *
fms_uri_decode(const char *text)
{
	char	   *copy = palloc(strlen(text) + 1);
	char	   *out = copy;

	while (*text != '\0')
	{
		if (text[0] == '%' && fms_hex_digit(text[1]) >= 0 && fms_hex_digit(text[2]) >= 0)
		{
			*out++ = (char) (fms_hex_digit(text[1]) * 16 + fms_hex_digit(text[2]));
			text += 3;
		}
		else
			*out++ = *text++;
	}
	*out = '\0';
	return copy;
}

/* Append a step to a JSON pointer: "~" and "/" of a name have codes there. */
void
fms_pointer_append(StringInfo out, const char *token, size_t bytes)
{
	appendStringInfoChar(out, '/');
	for (size_t i = 0; i < bytes; i++)
	{
		if (token[i] == '~')
			appendStringInfoString(out, "~0");
		else if (token[i] == '/')
			appendStringInfoString(out, "~1");
		else
			appendStringInfoChar(out, token[i]);
	}
}

/*
 * Read the next step of a JSON pointer, which starts with a slash, and move
 * behind it.  The step is allocated and terminated.
 */
char *
fms_pointer_next(const char **pointer, uint32 *length)
{
	const char *in = *pointer + 1;
	char	   *token = palloc(strlen(in) + 1);
	char	   *out = token;

	while (*in != '\0' && *in != '/')
	{
		if (in[0] == '~' && (in[1] == '0' || in[1] == '1'))
		{
			*out++ = in[1] == '0' ? '~' : '/';
			in += 2;
		}
		else
			*out++ = *in++;
	}
	*out = '\0';
	*length = out - token;
	*pointer = in;
	return token;
}
