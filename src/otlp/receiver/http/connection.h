/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  The connections of the HTTP process: how many, and for how long.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_RECEIVER_HTTP_CONNECTION_H
#define FMS_OTLP_RECEIVER_HTTP_CONNECTION_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct FmsRequest;

typedef enum FmsPhase
{
	FMS_PHASE_WAITING,			/* for the header of a request */
	FMS_PHASE_READING,			/* its body */
	FMS_PHASE_HANDED,			/* it is with the receiver */
	FMS_PHASE_ANSWERING
} FmsPhase;

typedef struct FmsConnection
{
	struct FmsConnection *previous; /* the list is in the order of "since" */
	struct FmsConnection *next;
	struct MHD_Connection *mhd;
	struct FmsRequest *request; /* NULL: waiting */
	int			socket;
	unsigned int home;			/* where it comes from, as a number */
	FmsPhase	phase;
	int64_t		since;			/* when the phase began, ms */
	bool		served;			/* has had an answer */
	bool		closing;
} FmsConnection;

extern void fms_connection_set_limits(int max_connections, int timeout_ms);
extern void fms_connection_notify(void *arg, struct MHD_Connection *mhd, void **state,
								  enum MHD_ConnectionNotificationCode code);
extern void fms_connection_enter(FmsConnection *connection, FmsPhase phase);
extern FmsConnection *fms_connection_oldest(void);
extern void fms_connection_close_late(void);

#endif							/* FMS_OTLP_RECEIVER_HTTP_CONNECTION_H */
