/*-------------------------------------------------------------------------
 *
 * answer.c
 *	  What a client is told.
 *
 * In the encoding of its request: an Export...ServiceResponse, which is empty
 * unless there is something to tell, or a google.rpc.Status with a message.
 * The three services' responses are the same on the wire but for a name in
 * JSON, which only that of traces needs, since only spans are ever counted.
 *
 * An answer asks for a retry after one second: the OpenTelemetry SDKs give up
 * at once if they are asked to wait for long.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "otlp/receiver/http/answer.h"

#define RETRY_AFTER "1"
#define ESCAPED_BYTES (6 * FMS_HTTP_MESSAGE_BYTES)	/* \u0001 for each */
#define VARINT_BYTES 10
#define LENGTH_DELIMITED 2		/* protobuf's wire type */

/* an answer's body as it is put together */
typedef struct AnswerText
{
	size_t		used;
	char		data[ESCAPED_BYTES + 128];
} AnswerText;

/* Add bytes.  There is always room: a message has its limit, and nothing else varies. */
static void
add_bytes(AnswerText *text, const char *data, size_t bytes)
{
	memcpy(text->data + text->used, data, bytes);
	text->used += bytes;
}

/* Add a C string. */
static void
add_string(AnswerText *text, const char *string)
{
	add_bytes(text, string, strlen(string));
}

/* Add a string of JSON.  It is UTF-8 already; only what JSON reserves is escaped. */
static void
add_json(AnswerText *text, const char *string)
{
	add_string(text, "\"");
	for (const char *c = string; *c != '\0'; c++)
	{
		char		escaped[8];

		if (*c == '"' || *c == '\\')
			snprintf(escaped, sizeof(escaped), "\\%c", *c);
		else if ((unsigned char) *c < 0x20)
			snprintf(escaped, sizeof(escaped), "\\u%04x", *c);
		else
			snprintf(escaped, sizeof(escaped), "%c", *c);
		add_string(text, escaped);
	}
	add_string(text, "\"");
}

/* Add a variable-length integer of protobuf. */
static void
add_varint(AnswerText *text, uint64_t value)
{
	char		bytes[VARINT_BYTES];
	size_t		count = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[count++] = (char) (value | 0x80);
	bytes[count++] = (char) value;
	add_bytes(text, bytes, count);
}

/* Add a field of protobuf that holds bytes. */
static void
add_field(AnswerText *text, int number, const char *data, size_t bytes)
{
	add_varint(text, number << 3 | LENGTH_DELIMITED);
	add_varint(text, bytes);
	add_bytes(text, data, bytes);
}

/*
 * The response to an export: {} and no bytes at all, or partial_success with
 * rejected (1, where there are any) and a message (2), which is field 1.
 */
static void
add_response(AnswerText *text, const FmsRequest *request)
{
	bool		empty = request->rejected == 0 && request->message[0] == '\0';

	if (request->json)
	{
		char		count[64] = "";

		if (request->rejected > 0)
			snprintf(count, sizeof(count), "\"rejectedSpans\":\"%llu\",",
					 (unsigned long long) request->rejected);
		add_string(text, empty ? "{" : "{\"partialSuccess\":{");
		if (!empty)
		{
			add_string(text, count);
			add_string(text, "\"errorMessage\":");
			add_json(text, request->message);
			add_string(text, "}");
		}
		add_string(text, "}");
	}
	else if (!empty)
	{
		AnswerText	partial = {0};

		if (request->rejected > 0)
		{
			add_varint(&partial, 1 << 3);
			add_varint(&partial, request->rejected);
		}
		add_field(&partial, 2, request->message, strlen(request->message));
		add_field(text, 1, partial.data, partial.used);
	}
}

/* A google.rpc.Status with its message, field 2; the code tells nothing that HTTP's does not. */
static void
add_status(AnswerText *text, const FmsRequest *request)
{
	if (request->json)
	{
		add_string(text, "{\"message\":");
		add_json(text, request->message);
		add_string(text, "}");
	}
	else
		add_field(text, 2, request->message, strlen(request->message));
}

/* What a look at the health is told, always in JSON. */
static void
add_health(AnswerText *text, const FmsRequest *request)
{
	if (request->status == MHD_HTTP_OK)
	{
		add_string(text, "{\"status\":\"ok\"}");
		return;
	}
	add_string(text, "{\"status\":\"unavailable\",\"message\":");
	add_json(text, request->message);
	add_string(text, "}");
}

/* Add the headers that go with a status. */
static void
add_headers(struct MHD_Response *response, const FmsRequest *request)
{
	(void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
								   request->json ? "application/json" : "application/x-protobuf");
	switch (request->status)
	{
		case MHD_HTTP_UNAUTHORIZED:
			(void) MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
			break;
		case MHD_HTTP_METHOD_NOT_ALLOWED:
			(void) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, request->allow);
			break;
		case MHD_HTTP_UNSUPPORTED_MEDIA_TYPE:
			(void) MHD_add_response_header(response, MHD_HTTP_HEADER_ACCEPT_ENCODING, "gzip");
			break;
		case MHD_HTTP_TOO_MANY_REQUESTS:
		case MHD_HTTP_SERVICE_UNAVAILABLE:
			(void) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER);
			break;
		default:
			break;
	}
}

/* Queue the answer to a request, whose status is known. */
enum MHD_Result
fms_answer_queue(struct MHD_Connection *mhd, const FmsRequest *request)
{
	AnswerText	text;
	struct MHD_Response *response;
	enum MHD_Result queued;

	text.used = 0;
	if (request->target == FMS_TARGET_HEALTH)
		add_health(&text, request);
	else if (request->status == MHD_HTTP_OK)
		add_response(&text, request);
	else
		add_status(&text, request);
	response = MHD_create_response_from_buffer(text.used, text.data, MHD_RESPMEM_MUST_COPY);
	if (response == NULL)
		return MHD_NO;
	add_headers(response, request);
	queued = MHD_queue_response(mhd, request->status, response);
	MHD_destroy_response(response);
	return queued;
}
