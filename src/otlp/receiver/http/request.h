/*-------------------------------------------------------------------------
 *
 * request.h
 *	  A request, from its header to its answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_RECEIVER_HTTP_REQUEST_H
#define FMS_OTLP_RECEIVER_HTTP_REQUEST_H

#include <microhttpd.h>

#include "otlp/receiver/http/body.h"
#include "otlp/receiver/http/http.h"

struct FmsConnection;
struct FmsJob;

typedef enum FmsTarget
{
	FMS_TARGET_NONE,
	FMS_TARGET_TRACES,
	FMS_TARGET_OTHER,			/* logs and metrics: taken, and not kept */
	FMS_TARGET_HEALTH
} FmsTarget;

typedef struct FmsRequest
{
	struct FmsConnection *connection;
	struct FmsJob *job;			/* while it is with the receiver */
	struct FmsRequest *next_at_work;
	bool		at_work;		/* its body is being inflated */
	FmsTarget	target;
	bool		json;			/* of the answer too */
	unsigned int status;		/* of the answer; 0: not known yet */
	const char *allow;			/* methods, when another was used */
	uint64_t	rejected;
	uint64_t	received;		/* bytes of the body, as sent */
	FmsBody		body;
	char		message[FMS_HTTP_MESSAGE_BYTES];
} FmsRequest;

extern void fms_request_set_config(const FmsHttpConfig *config);
extern enum MHD_Result fms_request_handle(void *arg, struct MHD_Connection *mhd, const char *url,
										  const char *method, const char *version,
										  const char *data, size_t *bytes, void **state);
extern void fms_request_completed(void *arg, struct MHD_Connection *mhd, void **state,
								  enum MHD_RequestTerminationCode code);
extern void fms_request_reply(FmsRequest *request, const FmsReply *reply, const char *message);
extern void fms_request_expire(FmsRequest *request);
extern bool fms_request_work(void);

#endif							/* FMS_OTLP_RECEIVER_HTTP_REQUEST_H */
