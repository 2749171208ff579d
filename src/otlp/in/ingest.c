/*-------------------------------------------------------------------------
 *
 * ingest.c
 *	  Requests of OpenTelemetry's protocol into the buffer.
 *
 * The decoder hands over one span at a time; each goes into the buffer at
 * once.  So memory does not grow with a request, and a span that can't be used
 * costs only itself.  When the buffer is full the rest is not taken: the client
 * sends the whole request again, and what was taken changes nothing then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "otlp/in/ingest.h"
#include "otlp/in/intake.h"

#define SCRATCH_BYTES (64 * 1024)	/* kept between spans */

/* a request that is being taken */
typedef struct Ingest
{
	FmsIntake	intake;
	FmsOtlpResult *result;
	MemoryContext decoding;		/* of the decoder's memory */
	MemoryContext scratch;		/* of one span */
} Ingest;

PG_FUNCTION_INFO_V1(fms_ingest_otlp);
PG_FUNCTION_INFO_V1(fms_ingest_otlp_json);

/* Count a span that can't be taken, and keep the first reason. */
static bool
sink_reject(void *arg, const char *reason)
{
	FmsOtlpResult *result = ((Ingest *) arg)->result;

	CHECK_FOR_INTERRUPTS();
	result->rejected++;
	if (result->message[0] == '\0')
		snprintf(result->message, sizeof(result->message), "span rejected: %s", reason);
	return true;
}

/* Go on after a part was stored, unless there was no room for it. */
static bool
go_on(Ingest *ingest, FmsTaken taken)
{
	if (taken != FMS_TAKEN_FULL)
		return true;
	ingest->result->full = true;
	strlcpy(ingest->result->message, ingest->intake.reason, FMS_OTLP_MESSAGE);
	return false;
}

/* Take a resource. */
static bool
sink_resource(void *arg, const FmsOtlpResource *resource, FmsOtlpNode *nodes)
{
	Ingest	   *ingest = arg;
	MemoryContext old = MemoryContextSwitchTo(ingest->scratch);
	FmsTaken	taken = fms_intake_resource(&ingest->intake, resource, nodes);

	MemoryContextSwitchTo(old);
	MemoryContextReset(ingest->scratch);
	return go_on(ingest, taken);
}

/* Take a scope. */
static bool
sink_scope(void *arg, const FmsOtlpScope *scope, FmsOtlpNode *nodes)
{
	Ingest	   *ingest = arg;
	MemoryContext old = MemoryContextSwitchTo(ingest->scratch);
	FmsTaken	taken = fms_intake_scope(&ingest->intake, scope, nodes);

	MemoryContextSwitchTo(old);
	MemoryContextReset(ingest->scratch);
	return go_on(ingest, taken);
}

/* Take a span. */
static bool
sink_span(void *arg, const FmsOtlpSpan *span, FmsOtlpNode *nodes)
{
	Ingest	   *ingest = arg;
	MemoryContext old = MemoryContextSwitchTo(ingest->scratch);
	FmsTaken	taken;

	CHECK_FOR_INTERRUPTS();
	taken = fms_intake_span(&ingest->intake, span, nodes);
	MemoryContextSwitchTo(old);
	MemoryContextReset(ingest->scratch);
	if (taken == FMS_TAKEN || taken == FMS_TAKEN_BEFORE)
		ingest->result->accepted++;
	else if (taken == FMS_TAKEN_REFUSED)
		return sink_reject(arg, ingest->intake.reason);
	return go_on(ingest, taken);
}

/* Memory for the decoder; 0 bytes give it back. */
static void *
sink_resize(void *arg, void *memory, size_t bytes)
{
	if (bytes == 0)
	{
		pfree(memory);
		return NULL;
	}
	if (memory == NULL)
		return MemoryContextAllocHuge(((Ingest *) arg)->decoding, bytes);
	return repalloc_huge(memory, bytes);
}

/* Have written what was taken as a group; spans that are lost were not accepted. */
static void
finish_group(Ingest *ingest)
{
	int64		lost = fms_record_finish(ingest->intake.group);

	if (lost == 0)
		return;
	ingest->result->accepted -= lost;
	ingest->result->rejected += lost;
	strlcpy(ingest->result->message, "an error, of which the server's log tells", FMS_OTLP_MESSAGE);
}

/* Take the spans of a request; see otlp.h. */
bool
fms_otlp_ingest(const char *body, size_t length, FmsOtlpEncoding encoding, bool wait,
				FmsOtlpResult *result)
{
	Ingest		ingest = {.result = result};
	FmsOtlpSink sink = {.arg = &ingest, .resource = sink_resource, .scope = sink_scope,
	.span = sink_span, .reject = sink_reject, .resize = sink_resize};
	const char *error = NULL;
	size_t		error_at = 0;
	bool		decoded = false;

	memset(result, 0, sizeof(*result));
	if (length > FMS_OTLP_MAX_BODY)
	{
		snprintf(result->message, sizeof(result->message), "request is larger than %d bytes",
				 FMS_OTLP_MAX_BODY);
		return false;
	}
	ingest.intake.wait = wait;
	ingest.intake.now = GetCurrentTimestamp();
	ingest.intake.group = fms_record_begin();
	ingest.decoding = AllocSetContextCreate(CurrentMemoryContext, "OTLP request",
											ALLOCSET_DEFAULT_SIZES);
	ingest.scratch = AllocSetContextCreate(ingest.decoding, "OTLP span", SCRATCH_BYTES,
										   SCRATCH_BYTES, ALLOCSET_DEFAULT_MAXSIZE);
	if (encoding == FMS_OTLP_PROTOBUF)
		decoded = fms_otlp_decode_protobuf(body, length, &sink, &error, &error_at);
	else
		decoded = fms_otlp_decode_json(body, length, &sink, &error, &error_at);
	finish_group(&ingest);
	MemoryContextDelete(ingest.decoding);
	if (!decoded)
		snprintf(result->message, sizeof(result->message), "%s at byte %zu", error, error_at);
	return decoded;
}

/* The row of a request that was taken; raises an error for what is none. */
static Datum
ingest(FunctionCallInfo fcinfo, const char *body, size_t length, FmsOtlpEncoding encoding)
{
	FmsOtlpResult result;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!fms_otlp_ingest(body, length, encoding, true, &result))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid OTLP request: %s", result.message)));
	if (result.full)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not record the spans: %s", result.message),
				 errdetail("%lld spans of the request were taken.", (long long) result.accepted),
				 errhint("Send the whole request again later; spans that were taken stay as they are.")));
	values[0] = Int64GetDatum(result.accepted);
	values[1] = Int64GetDatum(result.rejected);
	nulls[2] = result.message[0] == '\0';
	values[2] = CStringGetTextDatum(result.message);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* ingest_otlp(request bytea, out accepted bigint, out rejected bigint, out message text) */
Datum
fms_ingest_otlp(PG_FUNCTION_ARGS)
{
	bytea	   *request = PG_GETARG_BYTEA_PP(0);

	PG_RETURN_DATUM(ingest(fcinfo, VARDATA_ANY(request), VARSIZE_ANY_EXHDR(request),
						   FMS_OTLP_PROTOBUF));
}

/* ingest_otlp_json(request text, out accepted bigint, out rejected bigint, out message text) */
Datum
fms_ingest_otlp_json(PG_FUNCTION_ARGS)
{
	text	   *request = PG_GETARG_TEXT_PP(0);
	int			length = VARSIZE_ANY_EXHDR(request);
	char	   *utf8 = pg_server_to_any(VARDATA_ANY(request), length, PG_UTF8);

	if (utf8 != VARDATA_ANY(request))
		length = strlen(utf8);
	PG_RETURN_DATUM(ingest(fcinfo, utf8, length, FMS_OTLP_JSON));
}
