/*-------------------------------------------------------------------------
 *
 * request.c
 *	  A request, from its header to its answer.
 *
 * The library calls fms_request_handle when the header is complete, for each
 * part of the body, and once more for the answer.  What can be told from the
 * header is decided then, but the answer waits until the body has been read
 * and thrown away, for a client that is cut off while it sends does not hear
 * why, and tries again.  Only where the length of the body can't be believed,
 * or would be too much to read, the answer comes at once and the connection
 * is closed.
 *
 * While a part of a body is inflated the connection is suspended, and each gets
 * its turn.  A good request is handed to the receiver, and its connection suspended until
 * the reply comes.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "otlp/receiver/http/answer.h"
#include "otlp/receiver/http/channel.h"
#include "otlp/receiver/http/connection.h"

#define DRAIN_BODIES 2			/* as much of a refused request is read, in
								 * max_body */
#define PROTOBUF "application/x-protobuf"
#define JSON "application/json"
#define BEARER "Bearer "
#define NO_MEMORY "there is no memory for this request now"
#define TRACES_ONLY \
	"only traces are stored here; set OTEL_LOGS_EXPORTER and OTEL_METRICS_EXPORTER to none"

static const FmsHttpConfig *config;
static FmsRequest *at_work = NULL;	/* whose turn is next */
static FmsRequest **last_at_work = &at_work;

/* where a request can go */
static const struct
{
	const char *path;
	FmsTarget	target;
	const char *methods;		/* each followed by a comma or the end */
}			targets[] = {
	{"/v1/traces", FMS_TARGET_TRACES, MHD_HTTP_METHOD_POST},
	{"/v1/logs", FMS_TARGET_OTHER, MHD_HTTP_METHOD_POST},
	{"/v1/metrics", FMS_TARGET_OTHER, MHD_HTTP_METHOD_POST},
	{"/healthz", FMS_TARGET_HEALTH, "GET, HEAD"},
};

/* Set the limits and the token. */
void
fms_request_set_config(const FmsHttpConfig *new_config)
{
	config = new_config;
}

/* Refuse a request; its body is not kept.  The first refusal counts. */
static void
refuse_request(FmsRequest *request, unsigned int status, const char *message)
{
	if (request->status != 0)
		return;
	request->status = status;
	snprintf(request->message, sizeof(request->message), "%s", message);
	fms_body_free(&request->body);
}

/* Refuse a request for what became of its body. */
static void
refuse_body(FmsRequest *request, FmsBodyState state)
{
	switch (state)
	{
		case FMS_BODY_GOOD:
			break;
		case FMS_BODY_TOO_LARGE:
			refuse_request(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
			break;
		case FMS_BODY_NO_ROOM:
		case FMS_BODY_NO_MEMORY:
			refuse_request(request, MHD_HTTP_SERVICE_UNAVAILABLE, NO_MEMORY);
			break;
		case FMS_BODY_DAMAGED:
			refuse_request(request, MHD_HTTP_BAD_REQUEST, "the body is not what gzip makes");
			break;
	}
}

/*
 * All bodies together have what they may: refuse the request whose body is the
 * largest of those being read, if it is larger than that of the asking one.  So
 * one client that sends much can't keep out those that send little.  Returns
 * false if there is none.
 */
static bool
make_body_room(const FmsRequest *asking)
{
	FmsRequest *largest = NULL;

	for (FmsConnection *c = fms_connection_oldest(); c != NULL; c = c->next)
	{
		if (c->request != NULL && c->phase == FMS_PHASE_READING && c->request != asking &&
			c->request->body.size > (largest == NULL ? asking->body.size : largest->body.size))
			largest = c->request;
	}
	if (largest == NULL)
		return false;
	refuse_body(largest, FMS_BODY_NO_ROOM);
	return true;
}

/* Have a request's body inflated. */
static void
begin_inflating(FmsRequest *request)
{
	FmsBodyState state;

	do
		state = fms_body_inflate(&request->body);
	while (state == FMS_BODY_NO_ROOM && make_body_room(request));
	refuse_body(request, state);
}

/* Add bytes to a request's body. */
static void
add_to_body(FmsRequest *request, const char *data, size_t bytes)
{
	FmsBodyState state;

	do
		state = fms_body_add(&request->body, data, bytes);
	while (state == FMS_BODY_NO_ROOM && make_body_room(request));
	refuse_body(request, state);
}

/* Do a part of the work on a request's body. */
static void
work_on_body(FmsRequest *request)
{
	FmsBodyState state;

	do
		state = fms_body_work(&request->body);
	while (state == FMS_BODY_NO_ROOM && make_body_room(request));
	refuse_body(request, state);
}

/* The value of a header, or NULL. */
static const char *
header(struct MHD_Connection *mhd, const char *name)
{
	return MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, name);
}

/* what a look at all headers finds */
typedef struct Framing
{
	int			lengths;
	int			encodings;
	bool		odd;			/* a header that another server could take for
								 * one */
} Framing;

/* Look at a header for Framing. */
static enum MHD_Result
look_at_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Framing    *framing = arg;

	framing->lengths += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
	framing->encodings += strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
	/* a name is a token: no blank before the colon, no control character */
	for (const char *c = name; *c != '\0'; c++)
		framing->odd = framing->odd || *c <= ' ' || *c >= 0x7f;
	return MHD_YES;
}

/*
 * Whether the end of the body is where everybody on the way saw it.  The
 * library takes the first of several lengths, and reads until the end of the
 * connection when the encoding is not "chunked".
 */
static bool
is_framed(struct MHD_Connection *mhd)
{
	Framing		framing = {0};
	const char *encoding = header(mhd, MHD_HTTP_HEADER_TRANSFER_ENCODING);

	(void) MHD_get_connection_values(mhd, MHD_HEADER_KIND, look_at_header, &framing);
	return !framing.odd && framing.lengths + framing.encodings <= 1 &&
		(encoding == NULL || strcasecmp(encoding, "chunked") == 0);
}

/* Find out where a request goes; what goes nowhere keeps FMS_TARGET_NONE. */
static void
route(FmsRequest *request, const char *url, const char *method)
{
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
	{
		if (strcmp(url, targets[i].path) != 0)
			continue;
		request->target = targets[i].target;
		if (strcmp(method, MHD_HTTP_METHOD_POST) == 0 ? request->target != FMS_TARGET_HEALTH :
			request->target == FMS_TARGET_HEALTH &&
			(strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0))
			return;
		request->allow = targets[i].methods;
		request->target = FMS_TARGET_NONE;
		refuse_request(request, MHD_HTTP_METHOD_NOT_ALLOWED, "this method is not allowed here");
		return;
	}
	refuse_request(request, MHD_HTTP_NOT_FOUND, "nothing is here; traces are taken at /v1/traces");
}

/*
 * Whether a request has the token.  The time that this takes depends on what
 * was sent only, not on how much of it is right.
 */
static bool
is_authorized(struct MHD_Connection *mhd)
{
	const char *given = header(mhd, MHD_HTTP_HEADER_AUTHORIZATION);
	size_t		length = strlen(config->token);
	size_t		given_length;
	volatile unsigned char differs;

	if (length == 0)
		return true;
	if (given == NULL || strncasecmp(given, BEARER, strlen(BEARER)) != 0)
		return false;
	given += strlen(BEARER);
	given += strspn(given, " ");
	given_length = strlen(given);
	differs = given_length != length;
	for (size_t i = 0; i < given_length; i++)
		differs |= given[i] ^ config->token[i % length];
	return differs == 0;
}

/* Whether a header's value is this word, parameters left aside. */
static bool
is_word(const char *value, const char *word)
{
	size_t		length = strlen(word);

	return strncasecmp(value, word, length) == 0 && strchr("; \t", value[length]) != NULL;
}

/* Read the type of the body, and how it is encoded. */
static void
read_types(FmsRequest *request, struct MHD_Connection *mhd)
{
	const char *type = header(mhd, MHD_HTTP_HEADER_CONTENT_TYPE);
	const char *encoding = header(mhd, MHD_HTTP_HEADER_CONTENT_ENCODING);

	/* what has no type of ours is answered in JSON, which people can read */
	request->json = type == NULL || !is_word(type, PROTOBUF);
	if (request->status != 0)
		return;
	if (type == NULL || (request->json && !is_word(type, JSON)))
		refuse_request(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
					   "the content type must be " PROTOBUF " or " JSON);
	else if (encoding == NULL || encoding[0] == '\0' || strcasecmp(encoding, "identity") == 0)
		return;
	else if (strcasecmp(encoding, "gzip") != 0)
		refuse_request(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
					   "the content encoding must be gzip or identity");
	else if (request->target == FMS_TARGET_TRACES)
		begin_inflating(request);
}

/*
 * Refuse a length that is too large.  Returns whether that much can't even be
 * read and thrown away.  The library has checked that it is a number.
 */
static bool
refuse_length(FmsRequest *request, struct MHD_Connection *mhd)
{
	const char *length = header(mhd, MHD_HTTP_HEADER_CONTENT_LENGTH);
	unsigned long long bytes = length == NULL ? 0 : strtoull(length, NULL, 10);

	if (bytes > config->max_body)
		refuse_request(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
	return bytes > DRAIN_BODIES * config->max_body;
}

/* The header is complete. */
static enum MHD_Result
begin_request(struct MHD_Connection *mhd, const char *url, const char *method, void **state)
{
	FmsConnection *connection =
		*(void **) MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	FmsRequest *request = connection == NULL ? NULL : calloc(1, sizeof(*request));
	bool		at_once;

	if (request == NULL)
		return MHD_NO;
	*state = request;
	request->json = true;
	request->connection = connection;
	connection->request = request;
	fms_connection_enter(connection, FMS_PHASE_READING);
	/* the order decides what a request with several faults is told */
	at_once = !is_framed(mhd);
	if (at_once)
		refuse_request(request, MHD_HTTP_BAD_REQUEST, "the length of the body is not clear");
	route(request, url, method);
	if (request->target != FMS_TARGET_HEALTH && !is_authorized(mhd))
		refuse_request(request, MHD_HTTP_UNAUTHORIZED, "a bearer token is needed");
	if (request->target != FMS_TARGET_HEALTH)
		read_types(request, mhd);
	at_once = refuse_length(request, mhd) || at_once;
	/* who asks before it sends the body need not send it */
	at_once = at_once || (request->status != 0 && header(mhd, MHD_HTTP_HEADER_EXPECT) != NULL);
	if (!at_once)
		return MHD_YES;
	fms_connection_enter(connection, FMS_PHASE_ANSWERING);
	return fms_answer_queue(mhd, request);
}

/* Have a request's turn come after all others'. */
static void
queue_work(FmsRequest *request)
{
	request->next_at_work = NULL;
	*last_at_work = request;
	last_at_work = &request->next_at_work;
}

/* Do a part of the work on a body; whether there is more. */
static bool
work_on(FmsRequest *request)
{
	/*
	 * the library notices a closed connection only when it is no longer
	 * suspended
	 */
	if (request->connection->closing)
		refuse_request(request, MHD_HTTP_REQUEST_TIMEOUT, "the request takes too long");
	work_on_body(request);
	return fms_body_has_work(&request->body);
}

/*
 * Give the request whose turn it is a part of the time.  Returns whether there
 * is more to do.
 */
bool
fms_request_work(void)
{
	FmsRequest *request = at_work;

	if (request == NULL)
		return false;
	at_work = request->next_at_work;
	if (at_work == NULL)
		last_at_work = &at_work;
	if (work_on(request))
		queue_work(request);
	else
	{
		request->at_work = false;
		MHD_resume_connection(request->connection->mhd);
	}
	return at_work != NULL;
}

/*
 * A part of the body has come; MHD_NO closes the connection.  The library can
 * call with more chunks that it has read after the connection was suspended.
 */
static enum MHD_Result
receive_part(FmsRequest *request, struct MHD_Connection *mhd, const char *data, size_t bytes)
{
	request->received += bytes;
	/* in chunks it can go on for ever */
	if (request->received > DRAIN_BODIES * (uint64_t) config->max_body)
		return MHD_NO;
	if (request->received > config->max_body)
		refuse_body(request, FMS_BODY_TOO_LARGE);
	if (request->status == 0 && request->target == FMS_TARGET_TRACES)
		add_to_body(request, data, bytes);
	if (!request->at_work && work_on(request))
	{
		request->at_work = true;
		queue_work(request);
		MHD_suspend_connection(mhd);
	}
	return MHD_YES;
}

/* The body is complete: hand the request to the receiver, unless it is decided. */
static void
hand_to_worker(FmsRequest *request, struct MHD_Connection *mhd)
{
	FmsFrameKind kind = FMS_FRAME_HEALTH;

	if (request->target == FMS_TARGET_TRACES)
	{
		kind = request->json ? FMS_FRAME_JSON : FMS_FRAME_PROTOBUF;
		refuse_body(request, fms_body_finish(&request->body));
	}
	else if (request->target == FMS_TARGET_OTHER && request->status == 0)
	{
		request->status = MHD_HTTP_OK;
		snprintf(request->message, sizeof(request->message), "%s", TRACES_ONLY);
	}
	if (request->status != 0)
		return;
	if (!fms_channel_submit(request, kind))
	{
		refuse_body(request, FMS_BODY_NO_MEMORY);
		return;
	}
	fms_connection_enter(request->connection, FMS_PHASE_HANDED);
	MHD_suspend_connection(mhd);
}

/* The library's handler; *state is the request, NULL at its beginning. */
enum MHD_Result
fms_request_handle(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
				   const char *version, const char *data, size_t *bytes, void **state)
{
	FmsRequest *request = *state;

	if (request == NULL)
		return begin_request(mhd, url, method, state);
	if (*bytes > 0)
	{
		size_t		received = *bytes;

		*bytes = 0;
		return receive_part(request, mhd, data, received);
	}
	if (request->status == 0)
		hand_to_worker(request, mhd);
	if (request->status == 0)
		return MHD_YES;
	fms_connection_enter(request->connection, FMS_PHASE_ANSWERING);
	return fms_answer_queue(mhd, request);
}

/* The library is done with a request, answered or not. */
void
fms_request_completed(void *arg, struct MHD_Connection *mhd, void **state,
					  enum MHD_RequestTerminationCode code)
{
	FmsRequest *request = *state;

	if (request == NULL)
		return;
	fms_channel_abandon(request);
	fms_body_free(&request->body);
	request->connection->request = NULL;
	request->connection->served = true;
	fms_connection_enter(request->connection, FMS_PHASE_WAITING);
	free(request);
	*state = NULL;
}

/* Have the handler called for the answer, which is known now. */
static void
resume_request(FmsRequest *request)
{
	fms_connection_enter(request->connection, FMS_PHASE_ANSWERING);
	MHD_resume_connection(request->connection->mhd);
}

/* The receiver has replied. */
void
fms_request_reply(FmsRequest *request, const FmsReply *reply, const char *message)
{
	static const unsigned int statuses[] = {
		[FMS_OUTCOME_DONE] = MHD_HTTP_OK,
		[FMS_OUTCOME_FULL] = MHD_HTTP_TOO_MANY_REQUESTS,
		[FMS_OUTCOME_BAD] = MHD_HTTP_BAD_REQUEST,
		[FMS_OUTCOME_UNREADY] = MHD_HTTP_SERVICE_UNAVAILABLE,
		[FMS_OUTCOME_SLOW] = MHD_HTTP_CONTENT_TOO_LARGE,
		[FMS_OUTCOME_FAILED] = MHD_HTTP_SERVICE_UNAVAILABLE,
	};

	request->rejected = reply->rejected;
	request->status = statuses[reply->outcome];
	snprintf(request->message, sizeof(request->message), "%s", message);
	resume_request(request);
}

/* The receiver has not replied in time. */
void
fms_request_expire(FmsRequest *request)
{
	fms_channel_abandon(request);
	refuse_request(request, MHD_HTTP_SERVICE_UNAVAILABLE, "recording takes too long");
	resume_request(request);
}
