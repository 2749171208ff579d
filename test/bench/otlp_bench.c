/*-------------------------------------------------------------------------
 *
 * otlp_bench.c
 *	  Requests of OTLP to measure with, and how fast they are decoded.
 *
 *		otlp_bench decode		spans a CPU second of the decoder, for a batch
 *		otlp_bench batches N	N batches with ids of their own, for COPY
 *
 * A batch has 512 spans of about 900 bytes: calls of a model as an SDK tells
 * them, each with 15 attributes, an event and a status.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "miscadmin.h"
#include "otlp/in/decode.h"

#define SPANS 512
#define ROUNDS 400
#define ROOM (1024 * 1024)
#define NS_PER_S INT64CONST(1000000000)

/* the server's, which asks for no interrupt here */
volatile sig_atomic_t InterruptPending = 0;

/* Never called here. */
void
ProcessInterrupts(void)
{
}

/* a message under construction */
typedef struct Message
{
	size_t		used;
	char		data[ROOM];
} Message;

/* Append bytes. */
static void
put(Message *message, const void *data, size_t bytes)
{
	memcpy(message->data + message->used, data, bytes);
	message->used += bytes;
}

/* Append a number of 7 bits a byte. */
static void
put_varint(Message *message, uint64 number)
{
	do
	{
		char		byte = (number & 0x7f) | (number > 0x7f ? 0x80 : 0);

		put(message, &byte, 1);
		number >>= 7;
	} while (number != 0);
}

/* Append a field of bytes. */
static void
put_bytes(Message *message, int field, const void *data, size_t bytes)
{
	put_varint(message, field << 3 | 2);
	put_varint(message, bytes);
	put(message, data, bytes);
}

/* Append a field of a text. */
static void
put_text(Message *message, int field, const char *text)
{
	put_bytes(message, field, text, strlen(text));
}

/* Append a field of 8 bytes. */
static void
put_fixed64(Message *message, int field, uint64 number)
{
	put_varint(message, field << 3 | 1);
	put(message, &number, sizeof(number));
}

/* Append an attribute whose value is a message. */
static void
put_attribute(Message *message, int field, const char *key, const Message *value)
{
	static Message pair;

	pair.used = 0;
	put_text(&pair, 1, key);
	put_bytes(&pair, 2, value->data, value->used);
	put_bytes(message, field, pair.data, pair.used);
}

/* Append an attribute that is a text. */
static void
put_string(Message *message, int field, const char *key, const char *text)
{
	static Message value;

	value.used = 0;
	put_text(&value, 1, text);
	put_attribute(message, field, key, &value);
}

/* Append an attribute that is an integer. */
static void
put_int(Message *message, const char *key, int64 number)
{
	static Message value;

	value.used = 0;
	put_varint(&value, 3 << 3);
	put_varint(&value, (uint64) number);
	put_attribute(message, 9, key, &value);
}

/* Append an attribute that is a double. */
static void
put_double(Message *message, const char *key, double number)
{
	static Message value;
	uint64		bits;

	memcpy(&bits, &number, sizeof(bits));
	value.used = 0;
	put_fixed64(&value, 4, bits);
	put_attribute(message, 9, key, &value);
}

/* Append span number "n" of a trace that begins at "start". */
static void
put_span(Message *message, uint64 start, uint32 n)
{
	static Message span;
	static Message part;
	uint32		trace_id[4] = {n / 8 * 2654435761u, 0x70123456, n / 8, 0x80000001};
	uint32		span_id[2] = {n, 0x5bd1e995};
	uint32		parent_id[2] = {n - 1, 0x5bd1e995};

	span.used = 0;
	put_bytes(&span, 1, trace_id, 16);
	put_bytes(&span, 2, span_id, 8);
	if (n % 8 != 0)
		put_bytes(&span, 4, parent_id, 8);
	put_text(&span, 5, "chat gpt-4o-mini");
	put_varint(&span, 6 << 3);
	put_varint(&span, 3);
	put_fixed64(&span, 7, start + n * UINT64CONST(1000));
	put_fixed64(&span, 8, start + n * UINT64CONST(1000) + 750123456);
	put_string(&span, 9, "gen_ai.operation.name", "chat");
	put_string(&span, 9, "gen_ai.provider.name", "openai");
	put_string(&span, 9, "gen_ai.request.model", "gpt-4o-mini");
	put_string(&span, 9, "gen_ai.response.model", "gpt-4o-mini-2024-07-18");
	put_int(&span, "gen_ai.usage.input_tokens", 1200 + n % 100);
	put_int(&span, "gen_ai.usage.output_tokens", 80 + n % 50);
	put_double(&span, "gen_ai.request.temperature", 0.7);
	put_string(&span, 9, "user.id", "user-4711");
	put_string(&span, 9, "gen_ai.conversation.id", "9f1c2d3e-1b2a-4c3d-8e4f-5a6b7c8d9e0f");
	put_string(&span, 9, "gen_ai.response.id", "chatcmpl-9x8Yz7Wv6Ut5Sr4Qp3On2Ml1Kj0Ih");
	put_string(&span, 9, "server.address", "api.openai.com");
	put_int(&span, "server.port", 443);
	put_string(&span, 9, "gen_ai.agent.name", "support-desk-summarizer");
	put_string(&span, 9, "gen_ai.output.type", "text");
	put_string(&span, 9, "http.request.body",
			   "Summarize the three tickets below for the support lead, name the customer, "
			   "the product and what was promised, and say which of them is late. Keep it to five lines, "
			   "do not greet.");
	part.used = 0;
	put_fixed64(&part, 1, start + n * UINT64CONST(1000) + 250000000);
	put_text(&part, 2, "gen_ai.choice");
	put_string(&part, 3, "finish_reason", "stop");
	put_bytes(&span, 11, part.data, part.used);
	part.used = 0;
	put_varint(&part, 3 << 3);
	put_varint(&part, 1);
	put_bytes(&span, 15, part.data, part.used);
	put_varint(&span, 16 << 3 | 5);
	put(&span, "\x01\x01\0\0", 4);
	put_bytes(message, 2, span.data, span.used);
}

/* Make batch number "batch". */
static void
make_batch(Message *request, uint64 start, uint32 batch)
{
	static Message scope_spans;
	static Message part;
	static Message resource_spans;

	scope_spans.used = resource_spans.used = request->used = part.used = 0;
	put_text(&part, 1, "bench");
	put_text(&part, 2, "1.0.0");
	put_bytes(&scope_spans, 1, part.data, part.used);
	for (uint32 n = 0; n < SPANS; n++)
		put_span(&scope_spans, start, batch * SPANS + n);
	part.used = 0;
	put_string(&part, 1, "service.name", "agents");
	put_string(&part, 1, "telemetry.sdk.language", "nodejs");
	put_bytes(&resource_spans, 1, part.data, part.used);
	put_bytes(&resource_spans, 2, scope_spans.data, scope_spans.used);
	put_bytes(request, 1, resource_spans.data, resource_spans.used);
}

/* Take a part. */
static bool
take_resource(void *arg, const FmsOtlpResource *resource, FmsOtlpNode *nodes)
{
	return true;
}

/* Take a part. */
static bool
take_scope(void *arg, const FmsOtlpScope *scope, FmsOtlpNode *nodes)
{
	return true;
}

/* Count a span. */
static bool
take_span(void *arg, const FmsOtlpSpan *span, FmsOtlpNode *nodes)
{
	*(uint64 *) arg += span->attributes.end > 0;
	return true;
}

/* There must be none. */
static bool
reject(void *arg, const char *reason)
{
	fprintf(stderr, "span rejected: %s\n", reason);
	exit(1);
}

/* Memory for the decoder. */
static void *
resize(void *arg, void *memory, size_t bytes)
{
	if (bytes > 0)
		return realloc(memory, bytes);
	free(memory);
	return NULL;
}

/* CPU time of this process in nanoseconds. */
static int64
cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Print spans a CPU second and bytes a span. */
static void
measure(const Message *request)
{
	uint64		spans = 0;
	FmsOtlpSink sink = {.arg = &spans, .resource = take_resource, .scope = take_scope,
	.span = take_span, .reject = reject, .resize = resize};
	const char *error;
	size_t		error_at;
	int64		begun = cpu_ns();

	for (int i = 0; i < ROUNDS; i++)
	{
		if (!fms_otlp_decode_protobuf(request->data, request->used, &sink, &error, &error_at))
			exit(1);
	}
	printf("%.0f %zu\n", (double) spans * NS_PER_S / (cpu_ns() - begun), request->used / SPANS);
}

int
main(int argc, char **argv)
{
	static Message request;
	uint64		start = (uint64) time(NULL) * NS_PER_S;

	if (argc == 2 && strcmp(argv[1], "decode") == 0)
	{
		make_batch(&request, start, 0);
		measure(&request);
		return 0;
	}
	for (int batch = 0; argc == 3 && batch < atoi(argv[2]); batch++)
	{
		make_batch(&request, start, batch);
		fputs("\\\\x", stdout);
		for (size_t i = 0; i < request.used; i++)
			fprintf(stdout, "%02x", (unsigned char) request.data[i]);
		fputc('\n', stdout);
	}
	return 0;
}
