/*-------------------------------------------------------------------------
 *
 * post.h
 *	  One POST of OTLP/HTTP.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_EXPORTER_POST_H
#define FMS_OTLP_EXPORTER_POST_H

#define FMS_POST_ANSWER_BYTES 16384
#define FMS_POST_ERROR_BYTES 256

typedef struct FmsPost
{
	const char *url;
	char	  **headers;		/* "name: value"; NULL ends them */
	const char *body;			/* protobuf */
	size_t		bytes;
	bool		gzip;			/* compress it on the way */
	int			timeout_ms;
	bool		(*give_up) (void);	/* asked whenever the latch is set */
} FmsPost;

typedef struct FmsPostAnswer
{
	int			status;			/* of HTTP; 0: there was no whole answer */
	bool		given_up;
	bool		is_protobuf;	/* what the body is */
	int			retry_after_s;	/* 0: not told */
	size_t		bytes;			/* of the body, as far as it is kept */
	char		body[FMS_POST_ANSWER_BYTES];
	char		error[FMS_POST_ERROR_BYTES];	/* why there was no whole
												 * answer */
} FmsPostAnswer;

/* fms_post, as the exporter finds it in the second library */
typedef void (*FmsPostFunction) (const FmsPost *post, FmsPostAnswer *answer);

extern PGDLLEXPORT void fms_post(const FmsPost *post, FmsPostAnswer *answer);

#endif							/* FMS_OTLP_EXPORTER_POST_H */
