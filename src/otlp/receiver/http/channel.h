/*-------------------------------------------------------------------------
 *
 * channel.h
 *	  The HTTP process's end of the socket to the receiver.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_RECEIVER_HTTP_CHANNEL_H
#define FMS_OTLP_RECEIVER_HTTP_CHANNEL_H

#include "otlp/receiver/http/request.h"

extern void fms_channel_set_socket(int socket);
extern bool fms_channel_submit(FmsRequest *request, FmsFrameKind kind);
extern void fms_channel_abandon(FmsRequest *request);
extern bool fms_channel_wants_write(void);
extern bool fms_channel_write(void);
extern bool fms_channel_read(void);

#endif							/* FMS_OTLP_RECEIVER_HTTP_CHANNEL_H */
