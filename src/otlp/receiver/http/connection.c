/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  The connections of the HTTP process: how many, and for how long.
 *
 * The library's own timeout begins anew with every byte, and at its limit the
 * next client waits.  Here a phase of a connection has a deadline whatever
 * trickles in, and at the limit somebody gives way: of the address with the
 * most connections the one whose phase began longest ago, unless it is with
 * the receiver.  So neither idle nor slow connections keep anybody out, and an
 * address can't crowd out another that has fewer.
 *
 * A connection is closed by shutting its socket down: the library sees that
 * and tidies up by itself.
 *
 *-------------------------------------------------------------------------
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "otlp/receiver/http/connection.h"
#include "otlp/receiver/http/request.h"

#define IDLE_MS (60 * 1000)		/* a client that was served may be silent */
#define HOMES 1024				/* addresses are told apart by a hash only */

static FmsConnection *oldest = NULL;
static FmsConnection *newest = NULL;
static int	max_connections;
static int	timeout_ms;
static int	open_connections = 0;	/* that are not closing */
static int	crowd[HOMES];		/* of them, by home */

/* Milliseconds since some time. */
static int64_t
now_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Set the limits. */
void
fms_connection_set_limits(int connections, int timeout)
{
	max_connections = connections;
	timeout_ms = timeout;
}

/*
 * The home of an address: a hash of an IPv4 address, or of the part of an IPv6
 * address that one customer gets.
 */
static unsigned int
home_of(const struct sockaddr *address)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) address;
	const unsigned char *bytes;
	int			count;
	uint32_t	hash = 2166136261u;

	if (address->sa_family != AF_INET6)
	{
		bytes = (const unsigned char *) &((const struct sockaddr_in *) address)->sin_addr;
		count = 4;
	}
	else
	{
		/*
		 * a socket for both families shows an IPv4 address at the end of an
		 * IPv6 one
		 */
		bool		is_v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		bytes = in6->sin6_addr.s6_addr + (is_v4 ? 12 : 0);
		count = is_v4 ? 4 : 8;
	}
	for (int i = 0; i < count; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return (hash ^ hash >> 16) % HOMES;
}

/* Take a connection out of the list. */
static void
take_out(FmsConnection *connection)
{
	if (connection->previous != NULL)
		connection->previous->next = connection->next;
	else
		oldest = connection->next;
	if (connection->next != NULL)
		connection->next->previous = connection->previous;
	else
		newest = connection->previous;
}

/* Put a connection at the end of the list. */
static void
put_last(FmsConnection *connection)
{
	connection->previous = newest;
	connection->next = NULL;
	if (newest != NULL)
		newest->next = connection;
	else
		oldest = connection;
	newest = connection;
}

/* A phase of a connection begins. */
void
fms_connection_enter(FmsConnection *connection, FmsPhase phase)
{
	connection->phase = phase;
	connection->since = now_ms();
	take_out(connection);
	put_last(connection);
}

/* The connection whose phase began longest ago, or NULL. */
FmsConnection *
fms_connection_oldest(void)
{
	return oldest;
}

/* A connection no longer counts. */
static void
discount(FmsConnection *connection)
{
	if (connection->closing)
		return;
	connection->closing = true;
	open_connections--;
	crowd[connection->home]--;
}

/* Close a connection. */
static void
close_connection(FmsConnection *connection)
{
	discount(connection);
	(void) shutdown(connection->socket, SHUT_RDWR);
}

/* Have one connection give way. */
static void
make_place(void)
{
	FmsConnection *victim = NULL;

	for (FmsConnection *c = oldest; c != NULL; c = c->next)
	{
		if (!c->closing && c->phase != FMS_PHASE_HANDED &&
			(victim == NULL || crowd[c->home] > crowd[victim->home]))
			victim = c;
	}
	if (victim != NULL)
		close_connection(victim);
}

/* A client has connected.  Without memory it is sent away. */
static void
open_connection(struct MHD_Connection *mhd, void **state)
{
	FmsConnection *connection = calloc(1, sizeof(*connection));
	const union MHD_ConnectionInfo *info;
	int			socket;

	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	socket = info->connect_fd;
	if (connection == NULL)
	{
		(void) shutdown(socket, SHUT_RDWR);
		return;
	}
	connection->mhd = mhd;
	connection->socket = socket;
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	connection->home = home_of(info->client_addr);
	connection->phase = FMS_PHASE_WAITING;
	connection->since = now_ms();
	put_last(connection);
	open_connections++;
	crowd[connection->home]++;
	*state = connection;
	if (open_connections > max_connections)
		make_place();
}

/* The library tells that a connection has begun or ended; *state is ours. */
void
fms_connection_notify(void *arg, struct MHD_Connection *mhd, void **state,
					  enum MHD_ConnectionNotificationCode code)
{
	FmsConnection *connection = *state;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		open_connection(mhd, state);
	else if (connection != NULL)
	{
		discount(connection);
		take_out(connection);
		free(connection);
		*state = NULL;
	}
}

/*
 * Close the connections that are late.  A request that has been with the
 * receiver for too long is answered instead.
 */
void
fms_connection_close_late(void)
{
	int64_t		now = now_ms();
	FmsConnection *next;

	for (FmsConnection *c = oldest; c != NULL; c = next)
	{
		bool		idle = c->phase == FMS_PHASE_WAITING && c->served;

		next = c->next;
		if (c->closing || now - c->since < (idle ? IDLE_MS : timeout_ms))
			continue;
		if (c->phase == FMS_PHASE_HANDED)
			fms_request_expire(c->request);
		else
			close_connection(c);
	}
}
