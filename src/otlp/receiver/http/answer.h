/*-------------------------------------------------------------------------
 *
 * answer.h
 *	  What a client is told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_RECEIVER_HTTP_ANSWER_H
#define FMS_OTLP_RECEIVER_HTTP_ANSWER_H

#include "otlp/receiver/http/request.h"

extern enum MHD_Result fms_answer_queue(struct MHD_Connection *mhd, const FmsRequest *request);

#endif							/* FMS_OTLP_RECEIVER_HTTP_ANSWER_H */
