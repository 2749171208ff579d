/*-------------------------------------------------------------------------
 *
 * headers.c
 *	  Where spans are sent, and with which headers.
 *
 * Secrets are in the file of headers and nowhere else: an endpoint with a
 * password is refused, the file must be closed to others, as the server's
 * private key must be, and no message shows a value out of it.  The file is
 * read before each request, so a new token in it is used at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "otlp/exporter/headers.h"
#include "otlp/secret.h"

#define TRACES_PATH "/v1/traces"
#define FILE_BYTES (64 * 1024)	/* a file of headers is not larger */

/*
 * Whether all characters are visible ASCII: no others are in a URL or in a
 * header's name.
 */
static bool
is_visible(const char *s, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if (s[i] <= ' ' || s[i] >= 0x7f)
			return false;
	}
	return true;
}

/*
 * Check hook of flowmaestro.otlp_endpoint: empty, or the base URL of a collector.
 * What has a query or a fragment cannot be a base, and a backslash is one that
 * not everybody reads as the same host.
 */
bool
fms_headers_check_endpoint(char **value, void **extra, GucSource source)
{
	const char *url = *value;
	const char *host;
	size_t		length;

	if (url == NULL || url[0] == '\0')
		return true;
	if (pg_strncasecmp(url, "http://", 7) == 0)
		host = url + 7;
	else if (pg_strncasecmp(url, "https://", 8) == 0)
		host = url + 8;
	else
	{
		GUC_check_errdetail("The endpoint must begin with http:// or https://.");
		return false;
	}
	length = strcspn(host, "/");
	if (length == 0 || !is_visible(url, strlen(url)) || strpbrk(url, "?#\\") != NULL)
	{
		GUC_check_errdetail("The endpoint must be the base URL of a collector, "
							"such as http://localhost:4318.");
		return false;
	}
	if (memchr(host, '@', length) != NULL)
	{
		GUC_check_errdetail("The endpoint cannot hold a user name or a password.");
		GUC_check_errhint("Put a header into \"flowmaestro.otlp_headers_file\".");
		return false;
	}
	return true;
}

/*
 * The URL that spans of an endpoint are sent to, in the current memory context:
 * as for OTEL_EXPORTER_OTLP_ENDPOINT, but one that ends with the path keeps it.
 */
char *
fms_headers_url(const char *endpoint)
{
	size_t		length = strlen(endpoint);
	size_t		path = strlen(TRACES_PATH);

	while (length > 0 && endpoint[length - 1] == '/')
		length--;
	if (length > path && strncmp(endpoint + length - path, TRACES_PATH, path) == 0)
		length -= path;
	return psprintf("%.*s%s", (int) length, endpoint, TRACES_PATH);
}

/* Raise an error about a line of the file, without showing the line. */
static void
line_error(const char *path, int line, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("could not use file of headers \"%s\"", path),
			 errdetail("Line %d: %s.", line, detail)));
}

/* Whether a header is one of the exporter's own: what describes the body and the connection. */
static bool
is_own_header(const char *name, size_t length)
{
	static const char *const own[] = {
		"Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding",
		"Connection", "Expect"
	};

	for (int i = 0; i < lengthof(own); i++)
	{
		if (strlen(own[i]) == length && pg_strncasecmp(name, own[i], length) == 0)
			return true;
	}
	return false;
}

/*
 * Check a line, "name: value", and return it as libcurl takes it.  A name is a
 * token of HTTP; nothing in a value can end the header and begin another one.
 */
static char *
check_line(const char *path, int number, const char *line)
{
	size_t		name = strcspn(line, ":");
	const char *value = line + name + 1;

	if (line[name] == '\0' || name == 0)
		line_error(path, number, "\"name: value\" expected");
	if (!is_visible(line, name) || strcspn(line, "()<>@,;\\\"/[]?={}") < name)
		line_error(path, number, "a header's name cannot have this character");
	if (is_own_header(line, name))
		line_error(path, number, "this header is set by the exporter");
	value += strspn(value, " \t");
	for (const char *c = value; *c != '\0'; c++)
	{
		if (((unsigned char) *c < ' ' && *c != '\t') || *c == 0x7f)
			line_error(path, number, "a header's value cannot have a control character");
	}
	/* libcurl takes "name:" for the wish to leave a header out */
	return *value == '\0' ? psprintf("%.*s;", (int) name, line) :
		psprintf("%.*s: %s", (int) name, line, value);
}

/*
 * The headers in a file, one "name: value" a line; NULL ends them.  Empty lines
 * and lines that begin with # are left out.  No file, an empty path, has none.
 * Allocates in the current memory context; raises an error about a file that
 * cannot be used.
 */
char **
fms_headers_read(const char *path)
{
	const char *wrong;
	char	   *text;
	char	   *line;
	char	  **headers;
	int			number = 0;
	int			n = 0;

	if (path[0] == '\0')
		return palloc0(sizeof(char *));
	text = palloc(FILE_BYTES + 1);
	wrong = fms_secret_read(path, text, FILE_BYTES + 1);
	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not use file of headers \"%s\"", path),
				 errdetail("The file %s.", wrong)));
	/* a line has one byte at least */
	headers = palloc0(sizeof(char *) * (strlen(text) + 1));
	for (char *next = text; next != NULL;)
	{
		size_t		length;

		line = next;
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		number++;
		length = strlen(line);
		while (length > 0 && isspace((unsigned char) line[length - 1]))
			line[--length] = '\0';
		if (length > 0 && line[0] != '#')
			headers[n++] = check_line(path, number, line);
	}
	pfree(text);
	return headers;
}
