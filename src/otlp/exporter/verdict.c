/*-------------------------------------------------------------------------
 *
 * verdict.c
 *	  What a collector's answer means.
 *
 * The protocol names four statuses that ask for the same request again: 429,
 * 502, 503 and 504.  An answer that is about the way there rather than about
 * the spans (a redirect, a wrong password, a path that is not there) is treated
 * like them: the spans wait until somebody has put it right.  Everything else
 * that is not a success refuses what was sent.
 *
 * An answer's body is a protobuf message: ExportTraceServiceResponse (1:
 * partial success, with 1: rejected spans, 2: message) or, of a failure,
 * google.rpc.Status (2: message).  It comes from a stranger, so it is read with
 * care and shown as printable ASCII.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "otlp/exporter/verdict.h"

#define TEXT_BYTES 160			/* of an answer that are shown */
#define VARINT_BITS 64

/* wire types of protobuf */
#define VARINT 0
#define FIXED64 1
#define BYTES 2
#define FIXED32 5

/* a stretch of a message that is still to be read */
typedef struct AnswerReader
{
	const uint8 *at;
	const uint8 *end;
} AnswerReader;

typedef struct AnswerField
{
	uint64		number;
	uint64		value;			/* of a number */
	AnswerReader bytes;			/* of everything else */
} AnswerField;

/* What to do after an answer, or after none. */
FmsVerdict
fms_verdict_of(const FmsPostAnswer *answer)
{
	if (answer->status >= 200 && answer->status < 300)
		return FMS_VERDICT_DONE;
	if (answer->status < 400)
		return FMS_VERDICT_LATER;
	switch (answer->status)
	{
		case 401:
		case 403:
		case 404:
		case 405:
		case 407:
		case 408:
		case 415:
		case 429:
		case 502:
		case 503:
		case 504:
			return FMS_VERDICT_LATER;
		default:
			return FMS_VERDICT_REFUSED;
	}
}

/* Read a varint, seven bits a byte, the lowest first; false if it does not end. */
static bool
read_varint(AnswerReader *reader, uint64 *value)
{
	*value = 0;
	for (int shift = 0; shift < VARINT_BITS && reader->at < reader->end; shift += 7)
	{
		uint8		byte = *reader->at++;

		*value |= (uint64) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

/*
 * Read a field.  One that goes beyond the end of what was kept of the answer is
 * cut there.  False at the end, and if this is no protobuf.
 */
static bool
read_field(AnswerReader *reader, AnswerField *field)
{
	uint64		key;
	uint64		length = 0;

	if (!read_varint(reader, &key))
		return false;
	field->number = key >> 3;
	field->value = 0;
	switch (key & 7)
	{
		case VARINT:
			if (!read_varint(reader, &field->value))
				return false;
			break;
		case FIXED64:
			length = 8;
			break;
		case FIXED32:
			length = 4;
			break;
		case BYTES:
			if (!read_varint(reader, &length))
				return false;
			break;
		default:
			return false;
	}
	field->bytes.at = reader->at;
	reader->at += Min(length, reader->end - reader->at);
	field->bytes.end = reader->at;
	return true;
}

/* The body of an answer. */
static AnswerReader
body_of(const FmsPostAnswer *answer)
{
	const uint8 *body = (const uint8 *) answer->body;

	return (AnswerReader) {body, body + (answer->is_protobuf ? answer->bytes : 0)};
}

/*
 * How many spans of a request that succeeded the collector did not take.  An
 * answer that is not protobuf, or damaged, tells of none.
 */
int64
fms_verdict_rejected(const FmsPostAnswer *answer)
{
	AnswerReader reader = body_of(answer);
	AnswerField partial;
	AnswerField field;
	int64		rejected = 0;

	while (read_field(&reader, &partial))
	{
		while (partial.number == 1 && read_field(&partial.bytes, &field))
		{
			if (field.number == 1)
				rejected = (int64) field.value;
		}
	}
	return Max(rejected, 0);
}

/*
 * The message in an answer: of a success, in its partial success, and of a
 * failure, in its status.  Of another kind of answer it is the text itself.
 */
static AnswerReader
message_of(const FmsPostAnswer *answer)
{
	const uint8 *body = (const uint8 *) answer->body;
	AnswerReader reader = body_of(answer);
	AnswerReader message = {NULL, NULL};
	AnswerField field;
	AnswerField inner;

	if (!answer->is_protobuf)
		return (AnswerReader) {body, body + answer->bytes};
	while (read_field(&reader, &field))
	{
		if (field.number == 2)
			message = field.bytes;
		while (field.number == 1 && read_field(&field.bytes, &inner))
		{
			if (inner.number == 2)
				message = inner.bytes;
		}
	}
	return message;
}

/* What an answer says, for people, in the current memory context. */
char *
fms_verdict_text(const FmsPostAnswer *answer)
{
	StringInfoData text;
	AnswerReader message = message_of(answer);

	if (answer->status == 0)
		return pstrdup(answer->error);
	initStringInfo(&text);
	appendStringInfo(&text, "HTTP status %d", answer->status);
	if (message.at < message.end)
		appendStringInfoString(&text, ": ");
	for (const uint8 *c = message.at; c < message.end && c < message.at + TEXT_BYTES; c++)
		appendStringInfoChar(&text, *c >= ' ' && *c < 0x7f ? *c : *c >= 0x80 ? '?' : ' ');
	return text.data;
}
