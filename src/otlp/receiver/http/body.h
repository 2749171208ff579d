/*-------------------------------------------------------------------------
 *
 * body.h
 *	  The body of a request, inflated as it comes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_RECEIVER_HTTP_BODY_H
#define FMS_OTLP_RECEIVER_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>

typedef enum FmsBodyState
{
	FMS_BODY_GOOD,
	FMS_BODY_TOO_LARGE,
	FMS_BODY_NO_ROOM,			/* all bodies together have what they may;
								 * nothing was done */
	FMS_BODY_NO_MEMORY,
	FMS_BODY_DAMAGED			/* what was sent is no gzip */
} FmsBodyState;

/* all zero: an empty body, nothing to free */
typedef struct FmsBody
{
	char	   *data;
	size_t		used;
	size_t		size;
	struct FmsInflater *inflater;	/* NULL: comes as it is */
} FmsBody;

extern void fms_body_set_limits(size_t max_body, size_t max_memory);
extern FmsBodyState fms_body_inflate(FmsBody *body);
extern FmsBodyState fms_body_add(FmsBody *body, const char *data, size_t bytes);
extern FmsBodyState fms_body_work(FmsBody *body);
extern bool fms_body_has_work(const FmsBody *body);
extern FmsBodyState fms_body_finish(FmsBody *body);
extern void fms_body_free(FmsBody *body);

#endif							/* FMS_OTLP_RECEIVER_HTTP_BODY_H */
