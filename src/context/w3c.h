/*-------------------------------------------------------------------------
 *
 * w3c.h
 *	  Trace Context and Baggage of the W3C, and SQL comments that carry them.
 *
 * Plain C over (pointer, length): no allocation, no server function, no global,
 * so that these can run in a check hook or a log hook, and be fuzzed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_CONTEXT_W3C_H
#define FMS_CONTEXT_W3C_H

#define FMS_TRACEPARENT_BYTES 55	/* of one of version 00 */
#define FMS_MAX_TRACESTATE 16896	/* 32 members of the longest key and value */
#define FMS_MAX_BAGGAGE 8192

/* flags of a trace that W3C gives a meaning */
#define FMS_FLAG_SAMPLED 0x01
#define FMS_FLAG_RANDOM 0x02

typedef struct FmsTraceparent
{
	unsigned char trace_id[16];
	unsigned char span_id[8];
	unsigned char flags;		/* those that version 00 knows */
} FmsTraceparent;

/* each returns NULL for a good text, else what is wrong with it */
extern const char *fms_w3c_traceparent(const char *text, size_t length,
									   FmsTraceparent *traceparent);
extern const char *fms_w3c_tracestate(const char *text, size_t length);
extern const char *fms_w3c_baggage(const char *text, size_t length);

extern void fms_w3c_format(const FmsTraceparent *traceparent, char *out);
extern bool fms_w3c_comment(const char *sql, size_t length, FmsTraceparent *traceparent,
							char *tracestate, size_t size);

#endif							/* FMS_CONTEXT_W3C_H */
