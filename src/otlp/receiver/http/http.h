/*-------------------------------------------------------------------------
 *
 * http.h
 *	  The process that talks HTTP, and how it talks to the receiver.
 *
 * Between the two is a stream socket.  The process sends frames, the receiver
 * answers each in order with a reply; both sides are of one build on one
 * machine, so they are plain structs.  The receiver does not trust what it
 * reads: it checks kind and length, and the bytes are its decoder's matter.
 *
 * Nothing in this folder includes postgres.h: the process is no backend.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_RECEIVER_HTTP_HTTP_H
#define FMS_OTLP_RECEIVER_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FMS_HTTP_TOKEN_BYTES 4096
#define FMS_HTTP_MESSAGE_BYTES 1024 /* of a reply; a longer one is cut */

/* the settings that the process lives with; a change makes a new process */
typedef struct FmsHttpConfig
{
	int			max_connections;
	int			request_timeout_ms;
	size_t		max_body;		/* bytes, as sent and inflated */
	size_t		max_memory;		/* bytes of all bodies together */
	char		token[FMS_HTTP_TOKEN_BYTES];	/* "": none is asked for */
} FmsHttpConfig;

typedef enum FmsFrameKind
{
	FMS_FRAME_HEALTH = 1,		/* can spans be recorded? */
	FMS_FRAME_PROTOBUF,			/* the body of an export request */
	FMS_FRAME_JSON
} FmsFrameKind;

typedef struct FmsFrame
{
	uint32_t	kind;
	uint32_t	bytes;			/* of the body, which follows */
} FmsFrame;

typedef enum FmsOutcome
{
	FMS_OUTCOME_DONE = 1,		/* recorded, but for those rejected */
	FMS_OUTCOME_FULL,			/* not all of it: the buffer is full */
	FMS_OUTCOME_BAD,			/* it can't be decoded */
	FMS_OUTCOME_UNREADY,		/* nothing can be recorded now */
	FMS_OUTCOME_SLOW,			/* it takes too long: not all of it */
	FMS_OUTCOME_FAILED			/* an error that the sender can't help */
} FmsOutcome;

typedef struct FmsReply
{
	uint32_t	outcome;
	uint32_t	bytes;			/* of the message in UTF-8, which follows */
	uint64_t	rejected;		/* spans */
} FmsReply;

extern void fms_http_become(const FmsHttpConfig *config, int listener, int channel, int receiver)
			__attribute__((noreturn));
extern void fms_http_run(const FmsHttpConfig *config, int listener, int channel)
			__attribute__((noreturn));

#endif							/* FMS_OTLP_RECEIVER_HTTP_HTTP_H */
