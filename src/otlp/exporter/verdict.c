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
#include "otlp/reader.h"

#define TEXT_BYTES 160			/* of an answer that are shown */

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

/* Begin to read a message of an answer, of which not all may have been kept. */
static FmsReader
answer_reader(FmsPart message)
{
	FmsReader	reader = fms_reader_of(message);

	reader.cut = true;
	return reader;
}

/* The body of an answer. */
static FmsPart
body_of(const FmsPostAnswer *answer)
{
	FmsPart		body = {answer->body, answer->bytes};

	return body;
}

/*
 * How many spans of a request that succeeded the collector did not take.  An
 * answer that is not protobuf, or damaged, tells of none.
 */
int64
fms_verdict_rejected(const FmsPostAnswer *answer)
{
	FmsReaderField partial;
	FmsReaderField rejected;

	if (!answer->is_protobuf ||
		!fms_reader_find(answer_reader(body_of(answer)), FMS_TAG(1, FMS_WIRE_BYTES), &partial) ||
		!fms_reader_find(answer_reader(partial.bytes), FMS_TAG(1, FMS_WIRE_VARINT), &rejected))
		return 0;
	return Max((int64) rejected.number, 0);
}

/*
 * The message in an answer: of a success, in its partial success, and of a
 * failure, in its status.  Of another kind of answer it is the text itself.
 */
static FmsPart
answer_message(const FmsPostAnswer *answer)
{
	FmsReaderField partial;
	FmsReaderField message = {0};

	if (!answer->is_protobuf)
		return body_of(answer);
	if (!fms_reader_find(answer_reader(body_of(answer)), FMS_TAG(2, FMS_WIRE_BYTES), &message) &&
		fms_reader_find(answer_reader(body_of(answer)), FMS_TAG(1, FMS_WIRE_BYTES), &partial))
		(void) fms_reader_find(answer_reader(partial.bytes), FMS_TAG(2, FMS_WIRE_BYTES), &message);
	return message.bytes;
}

/* What an answer says, for people, in the current memory context. */
char *
fms_verdict_text(const FmsPostAnswer *answer)
{
	StringInfoData text;
	FmsPart		message = answer_message(answer);

	if (answer->status == 0)
		return pstrdup(answer->error);
	initStringInfo(&text);
	appendStringInfo(&text, "HTTP status %d", answer->status);
	if (message.length > 0)
		appendStringInfoString(&text, ": ");
	for (uint32 i = 0; i < Min(message.length, TEXT_BYTES); i++)
	{
		uint8		c = message.data[i];

		appendStringInfoChar(&text, c >= ' ' && c < 0x7f ? c : c >= 0x80 ? '?' : ' ');
	}
	return text.data;
}
