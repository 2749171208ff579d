/*-------------------------------------------------------------------------
 *
 * ingest.h
 *	  Requests of OpenTelemetry's protocol into the buffer.
 *
 * The receiver is a shared object of its own and calls this through the
 * library that is preloaded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_IN_INGEST_H
#define FMS_OTLP_IN_INGEST_H

/* a request is not larger than this after inflation, or it is not decoded */
#define FMS_OTLP_MAX_BODY (64 * 1024 * 1024)
#define FMS_OTLP_MESSAGE 256

typedef enum FmsOtlpEncoding
{
	FMS_OTLP_PROTOBUF,
	FMS_OTLP_JSON
} FmsOtlpEncoding;

typedef struct FmsOtlpResult
{
	int64		accepted;		/* spans taken, those that were there included */
	int64		rejected;		/* spans that can't be taken, ever */
	bool		full;			/* no room: the rest was not taken, send it
								 * all again */
	char		message[FMS_OTLP_MESSAGE];	/* why there is no room, else of
											 * the first rejected span, or "" */
} FmsOtlpResult;

/*
 * Take the spans of an ExportTraceServiceRequest.  Returns false, and has taken
 * nothing, if the bytes are not one: the message says why, and at which byte.
 * With "wait" it waits for room in the buffer, at most flowmaestro.full_wait;
 * without it never waits.
 *
 * The caller is in a transaction.  What was taken stays taken whatever becomes
 * of that, if the write mode is buffered; the result is then complete even if
 * the caller aborts.  Throws only what has to reach the caller: out of memory,
 * a cancel, or errors of the caller's own transaction in the transactional mode.
 */
extern PGDLLEXPORT bool fms_otlp_ingest(const char *body, size_t length, FmsOtlpEncoding encoding,
										bool wait, FmsOtlpResult *result);

#endif							/* FMS_OTLP_IN_INGEST_H */
