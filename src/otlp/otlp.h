/*-------------------------------------------------------------------------
 *
 * otlp.h
 *	  What both directions of OTLP have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_OTLP_H
#define FMS_OTLP_OTLP_H

/*
 * Arrays and maps in an attribute, at most: our decoders refuse what is deeper,
 * and what we send has to be good for others that do the same.
 */
#define FMS_OTLP_MAX_DEPTH 64

/* bytes of a message, or of a jsonb; not terminated */
typedef struct FmsOtlpText
{
	const char *data;
	uint32		length;
} FmsOtlpText;

#endif							/* FMS_OTLP_OTLP_H */
