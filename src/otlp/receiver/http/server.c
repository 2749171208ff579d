/*-------------------------------------------------------------------------
 *
 * server.c
 *	  The process that talks HTTP.
 *
 * It is forked by the receiver, and lives with a listening socket, a socket to
 * the receiver, and memory of its own.  It has no thread, and one loop: the
 * library shows a file descriptor to wait for.  It never calls the server's
 * code, logs nothing but its last words, and ends with the receiver.
 *
 * The memory it takes is max_memory, 36 kB for each of max_connections, and
 * what it was forked with.
 *
 *-------------------------------------------------------------------------
 */
#include <malloc.h>
#include <microhttpd.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "otlp/receiver/http/channel.h"
#include "otlp/receiver/http/connection.h"

#define LOOK_MS 100				/* between looks for late connections */
#define WATCHDOG_S 10			/* a round takes no longer, or the process
								 * ends */
#define CONNECTION_BYTES (32 * 1024)	/* for a header, and to read a body
										 * into */
#define ACCEPT_AT_ONCE 16		/* more than the library accepts in a round */
#define OTHER_FILES 32
#define MMAP_BYTES (128 * 1024) /* a larger body is given back to the system */

/* The library finds itself broken: end this process, and only this. */
static void
panic(void *arg, const char *file, unsigned int line, const char *reason)
{
	static const char words[] = "flowmaestro_spans: libmicrohttpd found itself broken\n";
	ssize_t		ignored = write(STDERR_FILENO, words, sizeof(words) - 1);

	_exit(ignored > 0 ? 2 : 3);
}

/* How many connections there can be: as many as wanted, or as files are allowed. */
static int
connections_possible(int wanted)
{
	struct rlimit limit;
	rlim_t		files = (rlim_t) wanted + ACCEPT_AT_ONCE + OTHER_FILES;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= files)
		return wanted;
	limit.rlim_cur = limit.rlim_max < files ? limit.rlim_max : files;
	(void) setrlimit(RLIMIT_NOFILE, &limit);
	wanted = (int) limit.rlim_cur - ACCEPT_AT_ONCE - OTHER_FILES;
	return wanted > 1 ? wanted : 1;
}

/* Start the library; NULL if that fails. */
static struct MHD_Daemon *
start_daemon(const FmsHttpConfig *config, int listener)
{
	int			connections = connections_possible(config->max_connections);

	fms_request_set_config(config);
	fms_body_set_limits(config->max_body, config->max_memory);
	fms_connection_set_limits(connections, config->request_timeout_ms);
	MHD_set_panic_func(panic, NULL);
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
							fms_request_handle, NULL,
							MHD_OPTION_LISTEN_SOCKET, listener,
							MHD_OPTION_CONNECTION_LIMIT,
							(unsigned int) connections + ACCEPT_AT_ONCE,
							MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_BYTES,
							MHD_OPTION_STRICT_FOR_CLIENT, 1,
							MHD_OPTION_NOTIFY_CONNECTION, fms_connection_notify, NULL,
							MHD_OPTION_NOTIFY_COMPLETED, fms_request_completed, NULL,
							MHD_OPTION_END);
}

/* Wait until the library or the channel has something to do; unless "busy". */
static void
wait_for_work(struct MHD_Daemon *daemon, struct pollfd *files, bool busy)
{
	MHD_UNSIGNED_LONG_LONG ms;
	int			timeout = busy ? 0 : LOOK_MS;

	if (MHD_get_timeout(daemon, &ms) == MHD_YES && ms < (MHD_UNSIGNED_LONG_LONG) timeout)
		timeout = (int) ms;
	files[1].events = POLLIN | (fms_channel_wants_write() ? POLLOUT : 0);
	files[0].revents = files[1].revents = 0;
	(void) poll(files, 2, timeout);
}

/*
 * Serve until the receiver ends.  Called in a process of its own; listener and
 * channel are sockets, the second one does not block.
 */
void
fms_http_run(const FmsHttpConfig *config, int listener, int channel)
{
	struct pollfd files[2] = {{.events = POLLIN}, {.fd = channel}};
	struct MHD_Daemon *daemon;
	bool		busy = false;

	(void) mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
	daemon = start_daemon(config, listener);
	if (daemon == NULL)
		_exit(1);
	fms_channel_set_socket(channel);
	files[0].fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	for (;;)
	{
		(void) alarm(WATCHDOG_S);
		wait_for_work(daemon, files, busy);
		if (!fms_channel_read())
			_exit(0);
		(void) MHD_run(daemon);
		if (!fms_channel_write())
			_exit(0);
		busy = fms_request_work();
		fms_connection_close_late();
	}
}
