/*-------------------------------------------------------------------------
 *
 * parse.c
 *	  The texts that the settings of the context hold, taken apart.
 *
 * These run in check hooks, so what is wrong comes back as a text, and no
 * error is thrown.  The JSON parser throws one for nesting that endangers the
 * stack, which the limit here comes before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "compat.h"
#include "context/parse.h"
#include "context/w3c.h"
#include "span/identity.h"
#include "span/text.h"

#define MAX_NESTING 64
#define OTEL_SPAN 8				/* bytes of a span id that OpenTelemetry knows */

/* where the parser is */
typedef struct RequestReading
{
	FmsContextRequest *request;
	int			depth;			/* objects and arrays around */
	bool		in_tracing;		/* at depth 1 and below: in tracingContext */
	bool		wants_object;	/* the value of tracingContext or contextMap
								 * is next */
	char	   *field;			/* of tracingContext */
	const char *fault;
} RequestReading;

/*
 * Read a uuid: 32 hexadecimal digits of either case, with hyphens at the usual
 * places or with none.  False for anything else and for the nil uuid.
 */
bool
fms_parse_uuid(const char *text, size_t length, pg_uuid_t *id)
{
	return fms_uuid_read(text, length, id) && !fms_identity_is_nil(id);
}

/* Read the id of a span, which OpenTelemetry has to be able to tell. */
static bool
read_setting_span(const char *text, pg_uuid_t *id)
{
	return fms_parse_uuid(text, strlen(text), id) &&
		!fms_all_zero(id->data + UUID_LEN - OTEL_SPAN, OTEL_SPAN);
}

/* Keep an id that is any text, cut at a character if it is too long. */
static void
keep_text(char *out, const char *text)
{
	size_t		length = strlen(text);

	if (length > FMS_CONTEXT_ID_BYTES)
		length = pg_mbcliplen(text, length, FMS_CONTEXT_ID_BYTES);
	memcpy(out, text, length);
	out[length] = '\0';
}

/* Take a value of tracingContext; members that are not ours are left alone. */
static void
take_field(RequestReading *reading, const char *value)
{
	FmsContextRequest *request = reading->request;

	if (strcmp(reading->field, "userId") == 0)
		keep_text(request->user_id, value);
	else if (strcmp(reading->field, "requestId") == 0)
		keep_text(request->request_id, value);
	else if (strcmp(reading->field, "sessionId") == 0)
		keep_text(request->session_id, value);
	else if (strcmp(reading->field, "traceFlags") == 0)
		request->trace_flags = (uint8) (atoi(value) & (FMS_FLAG_SAMPLED | FMS_FLAG_RANDOM));
	else if (strcmp(reading->field, "traceId") == 0)
	{
		request->has_trace = fms_parse_uuid(value, strlen(value), &request->trace_id);
		if (!request->has_trace)
			reading->fault = "\"traceId\" is not a UUID.";
	}
	else if (strcmp(reading->field, "spanId") == 0)
	{
		request->has_span = read_setting_span(value, &request->span_id);
		if (!request->has_span)
			reading->fault = "\"spanId\" is not a UUID that a span can have.";
	}
	else if (strcmp(reading->field, "parentSpanId") == 0)
	{
		request->has_parent = read_setting_span(value, &request->parent_span_id);
		if (!request->has_parent)
			reading->fault = "\"parentSpanId\" is not a UUID that a span can have.";
	}
}

/* The parser's action at the beginning of an object. */
static FmsJsonResult
request_object_start(void *state)
{
	RequestReading *reading = state;

	reading->wants_object = false;
	reading->depth++;
	return FMS_JSON_GO_ON;
}

/* The parser's action at the beginning of an array. */
static FmsJsonResult
request_array_start(void *state)
{
	RequestReading *reading = state;

	if (reading->depth == 0)
		reading->fault = "It is not a JSON object.";
	else if (reading->wants_object)
		reading->fault = "\"tracingContext\" and \"contextMap\" must be JSON objects.";
	reading->wants_object = false;
	reading->depth++;
	return FMS_JSON_GO_ON;
}

/* The parser's action at the end of an object or an array. */
static FmsJsonResult
level_end(void *state)
{
	RequestReading *reading = state;

	reading->depth--;
	return FMS_JSON_GO_ON;
}

/* The parser's action at the name of a member. */
static FmsJsonResult
request_field_start(void *state, char *name, bool isnull)
{
	RequestReading *reading = state;

	if (reading->depth == 1)
	{
		reading->in_tracing = strcmp(name, "tracingContext") == 0;
		reading->wants_object = reading->in_tracing || strcmp(name, "contextMap") == 0;
	}
	reading->field = name;
	return FMS_JSON_GO_ON;
}

/* The parser's action at a scalar. */
static FmsJsonResult
request_scalar(void *state, char *token, JsonTokenType type)
{
	RequestReading *reading = state;

	if (reading->depth == 0)
		reading->fault = "It is not a JSON object.";
	else if (reading->wants_object && type != JSON_TOKEN_NULL)
		reading->fault = "\"tracingContext\" and \"contextMap\" must be JSON objects.";
	else if (reading->in_tracing && reading->depth == 2 && type != JSON_TOKEN_NULL)
		take_field(reading, token);
	reading->wants_object = false;
	return FMS_JSON_GO_ON;
}

/* Whether brackets outside of strings nest too deep. */
static bool
nests_too_deep(const char *json)
{
	int			depth = 0;
	bool		in_string = false;

	for (; *json != '\0'; json++)
	{
		if (in_string && *json == '\\' && json[1] != '\0')
			json++;
		else if (*json == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if (*json == '{' || *json == '[')
		{
			if (++depth > MAX_NESTING)
				return true;
		}
		else if (*json == '}' || *json == ']')
			depth--;
	}
	return false;
}

/*
 * Take flowmaestro.request_context apart.  Returns NULL, or what is wrong with
 * it.  Allocates in the current memory context.
 */
const char *
fms_parse_request(const char *json, FmsContextRequest *request)
{
	RequestReading reading = {.request = request};
	JsonSemAction actions = {
		.semstate = &reading,
		.object_start = request_object_start,
		.object_end = level_end,
		.array_start = request_array_start,
		.array_end = level_end,
		.object_field_start = request_field_start,
		.scalar = request_scalar,
	};
	size_t		length = strlen(json);
	JsonLexContext *lexer;
	JsonParseErrorType result;

	memset(request, 0, sizeof(*request));
	request->trace_flags = FMS_FLAG_SAMPLED;
	if (length > FMS_MAX_REQUEST)
		return "It is longer than 64 kB.";
	if (!pg_verifymbstr(json, length, true))
		return "It is not valid in the encoding of the database.";
	if (nests_too_deep(json))
		return "It nests more than 64 levels deep.";
	lexer = fms_json_lexer(json, length);
	result = pg_parse_json(lexer, &actions);
	if (result != JSON_SUCCESS)
		return json_errdetail(result, lexer);
	request->has_span = request->has_span && request->has_trace;
	request->has_parent = request->has_parent && request->has_trace;
	return reading.fault;
}

/*
 * Read the last frame of a list of entered spans, "length" bytes of one; false
 * if it is not one.
 */
bool
fms_entered_read(const char *frames, size_t length, FmsEntered *frame)
{
	const char *text = frames + length - FMS_ENTERED_BYTES;
	unsigned char mark[sizeof(uint32)];

	if (length == 0 || length % FMS_ENTERED_BYTES != 0 ||
		!fms_hex_read(text, frame->trace_id.data, UUID_LEN) ||
		!fms_hex_read(text + 2 * UUID_LEN, frame->span_id.data, UUID_LEN) ||
		!fms_hex_read(text + 4 * UUID_LEN, frame->parent_span_id.data, UUID_LEN) ||
		!fms_hex_read(text + 6 * UUID_LEN, mark, sizeof(mark)))
		return false;
	memcpy(&frame->mark, mark, sizeof(mark));
	frame->has_parent = !fms_all_zero(frame->parent_span_id.data, UUID_LEN);
	return true;
}

/* Write a frame: FMS_ENTERED_BYTES bytes. */
void
fms_entered_write(const FmsEntered *frame, char *out)
{
	static const pg_uuid_t none = {{0}};

	out = fms_hex_write(out, frame->trace_id.data, UUID_LEN);
	out = fms_hex_write(out, frame->span_id.data, UUID_LEN);
	out = fms_hex_write(out, frame->has_parent ? frame->parent_span_id.data : none.data, UUID_LEN);
	out = fms_hex_write(out, (const unsigned char *) &frame->mark, sizeof(frame->mark));
	*out = ' ';
}
