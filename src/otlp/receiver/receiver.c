/*-------------------------------------------------------------------------
 *
 * receiver.c
 *	  The background worker that takes spans by OTLP/HTTP.
 *
 * It is two processes.  The worker opens the listening socket and forks one
 * that talks HTTP (http/), which hands it whole, inflated, size-checked bodies
 * over a socket, one after the other.  The worker decodes each into records
 * for its database's buffer and replies how that went.
 *
 * Why two: a worker that dies takes the whole cluster through a restart, for
 * it has shared memory, and the server has no workers without.  The other
 * process has none.  If it dies, the worker forks it again; the listening
 * socket stays open, so that clients only wait for a moment.
 *
 * A request may take the worker TAKE_MS, for the others wait.  That is some
 * hundred thousand spans; only a request made to be slow takes longer.
 *
 * A change of the settings ends the HTTP process and forks another; requests
 * that it was reading are cut off, and their clients send them again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_bswap.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "otlp/in/ingest.h"
#include "otlp/receiver/http/http.h"
#include "otlp/receiver/receiver.h"
#include "otlp/secret.h"
#include "worker/supervisor.h"

#define LOOK_MS 1000			/* between looks whether all is as it should
								 * be */
#define TAKE_MS 500				/* of work that a request may take, */
#define TAKE_LOOK_MS 50			/* and between looks at how much it took */
#define REPORT_MS 1000			/* between errors that are logged */
#define PAUSE_MS 1000			/* after an HTTP process that did not live for
								 * that long */

/* a reply with its message */
typedef struct Answer
{
	FmsReply	reply;
	char		message[FMS_HTTP_MESSAGE_BYTES];
} Answer;

static FmsHttpConfig config;	/* of the HTTP process */
static char listen_address[INET6_ADDRSTRLEN];
static int	listen_port;
static bool listen_loopback;	/* only this machine reaches it */
static pgsocket listener = PGINVALID_SOCKET;
static pgsocket channel = PGINVALID_SOCKET;
static pid_t http_process = 0;	/* 0: none runs */
static TimestampTz forked_at = 0;
static TimeoutId take_timeout;
static volatile sig_atomic_t took_too_long = false;
static int64 began_ms;			/* CPU time of this process when the request
								 * began */
static char problem[256] = "";	/* why nothing is served, as it was logged
								 * last */

/* What the receiver runs with, whatever ALTER DATABASE says. */
static const char *const pinned[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"default_transaction_read_only", "off"},
	{"lock_timeout", "1s"},
	{"flowmaestro.write_mode", "buffered"},
};

/* Log why nothing is served, unless that is known. */
static void
log_reason(const char *reason)
{
	if (strcmp(problem, reason) != 0 && reason[0] != '\0')
		ereport(LOG,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("the OTLP receiver does not listen: %s", reason)));
	strlcpy(problem, reason, sizeof(problem));
}

/*
 * Read the token from its file into "token", of FMS_HTTP_TOKEN_BYTES; "" if
 * there is no such setting.  Returns what is wrong, or NULL.
 */
static const char *
read_token(char *token)
{
	const char *wrong;
	size_t		bytes;

	memset(token, 0, FMS_HTTP_TOKEN_BYTES);
	if (fms_receiver_token_file[0] == '\0')
		return NULL;
	wrong = fms_secret_read(fms_receiver_token_file, token, FMS_HTTP_TOKEN_BYTES);
	if (wrong != NULL)
		return psprintf("the file of flowmaestro.otlp_token_file %s", wrong);
	bytes = strlen(token);
	while (bytes > 0 && isspace((unsigned char) token[bytes - 1]))
		bytes--;
	/* configs are compared as bytes */
	memset(token + bytes, 0, FMS_HTTP_TOKEN_BYTES - bytes);
	for (size_t i = 0; i < bytes; i++)
	{
		if (token[i] <= ' ' || token[i] >= 0x7f)
			return "the token in the file of flowmaestro.otlp_token_file is not one word of ASCII";
	}
	return bytes == 0 ? "the file of flowmaestro.otlp_token_file is empty" : NULL;
}

/* Read the settings into a config.  Returns what is wrong with them, or NULL. */
static const char *
read_config(FmsHttpConfig *wanted)
{
	memset(wanted, 0, sizeof(*wanted));
	wanted->max_connections = fms_receiver_connections;
	wanted->request_timeout_ms = fms_receiver_request_timeout;
	wanted->max_memory = (size_t) fms_receiver_memory * 1024;
	wanted->max_body = Min((size_t) fms_receiver_max_body * 1024, wanted->max_memory);
	return read_token(wanted->token);
}

/* Fill in the address to listen at.  The setting is one, or it would not be set. */
static socklen_t
fill_address(struct sockaddr_storage *storage)
{
	struct sockaddr_in *in = (struct sockaddr_in *) storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) storage;

	memset(storage, 0, sizeof(*storage));
	if (inet_pton(AF_INET, fms_receiver_address, &in->sin_addr) == 1)
	{
		in->sin_family = AF_INET;
		in->sin_port = pg_hton16(fms_receiver_port);
		listen_loopback = pg_ntoh32(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
		return sizeof(*in);
	}
	(void) inet_pton(AF_INET6, fms_receiver_address, &in6->sin6_addr);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = pg_hton16(fms_receiver_port);
	listen_loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	return sizeof(*in6);
}

/* Open the listening socket.  Returns what is wrong, or NULL. */
static const char *
open_listener(void)
{
	struct sockaddr_storage address;
	socklen_t	length = fill_address(&address);
	int			on = 1;
	int			error;

	if (!listen_loopback && config.token[0] == '\0')
		return "flowmaestro.otlp_token_file must be set for other machines to reach it";
	listener = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener != PGINVALID_SOCKET &&
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		bind(listener, (struct sockaddr *) &address, length) == 0 &&
		listen(listener, SOMAXCONN) == 0)
	{
		strlcpy(listen_address, fms_receiver_address, sizeof(listen_address));
		listen_port = fms_receiver_port;
		ereport(LOG,
				(errmsg("the OTLP receiver listens at address %s, port %d",
						listen_address, listen_port)));
		return NULL;
	}
	error = errno;
	if (listener != PGINVALID_SOCKET)
		closesocket(listener);
	listener = PGINVALID_SOCKET;
	return psprintf("address %s, port %d: %s", fms_receiver_address, fms_receiver_port,
					strerror(error));
}

/* End the HTTP process, if one runs, and return what became of it. */
static const char *
end_http(void)
{
	int			status = 0;

	if (http_process == 0)
		return NULL;
	closesocket(channel);
	channel = PGINVALID_SOCKET;
	/* one that has ended by itself keeps its own status */
	(void) kill(http_process, SIGKILL);
	while (waitpid(http_process, &status, 0) < 0 && errno == EINTR)
		;
	http_process = 0;
	return wait_result_to_str(status);
}

/* The same at the end of the worker. */
static void
end_http_at_exit(int code, Datum arg)
{
	(void) end_http();
}

/* Fork the HTTP process.  Returns what is wrong, or NULL. */
static const char *
start_http(void)
{
	int			ends[2];
	pid_t		receiver = MyProcPid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
		return psprintf("could not create sockets: %m");
	forked_at = GetCurrentTimestamp();
	fflush(NULL);
	http_process = fork();
	if (http_process == 0)
	{
		set_ps_display("http");
		fms_http_become(&config, listener, ends[1], receiver);
	}
	closesocket(ends[1]);
	channel = ends[0];
	if (http_process > 0)
		return NULL;
	http_process = 0;
	closesocket(channel);
	channel = PGINVALID_SOCKET;
	return psprintf("could not fork: %m");
}

/* Do what the settings say, as far as that is not yet done. */
static void
serve_as_set(void)
{
	FmsHttpConfig wanted;
	const char *reason = read_config(&wanted);

	if (reason != NULL || memcmp(&wanted, &config, sizeof(wanted)) != 0)
		(void) end_http();
	config = wanted;
	if (listener != PGINVALID_SOCKET &&
		(reason != NULL || listen_port != fms_receiver_port ||
		 strcmp(listen_address, fms_receiver_address) != 0 ||
		 (!listen_loopback && config.token[0] == '\0')))
	{
		(void) end_http();
		closesocket(listener);
		listener = PGINVALID_SOCKET;
	}
	if (reason == NULL && listener == PGINVALID_SOCKET)
		reason = open_listener();
	if (reason == NULL && http_process == 0 &&
		(forked_at == 0 || TimestampDifferenceExceeds(forked_at, GetCurrentTimestamp(), PAUSE_MS)))
		reason = start_http();
	log_reason(reason == NULL ? "" : reason);
}

/*
 * Wait for the channel, and for whatever else a worker has to react to.
 * Returns false if the receiver has to stop what it does.
 */
static bool
wait_for(uint32 socket_event)
{
	static uint32 wait_event = 0;
	int			events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;

	if (wait_event == 0)
		wait_event = fms_wait_event("FlowmaestroReceiverMain");
	if (channel != PGINVALID_SOCKET)
		events |= socket_event;
	if (WaitLatchOrSocket(MyLatch, events, channel, LOOK_MS, wait_event) & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return !ShutdownRequestPending;
}

/* Read all of "bytes" from the channel; false if that will not come. */
static bool
read_all(void *data, size_t bytes)
{
	while (bytes > 0)
	{
		ssize_t		got = recv(channel, data, bytes, MSG_DONTWAIT);

		if (got > 0)
		{
			data = (char *) data + got;
			bytes -= got;
		}
		else if (got == 0 || (errno != EAGAIN && errno != EINTR))
			return false;
		else if (!wait_for(WL_SOCKET_READABLE))
			return false;
	}
	return true;
}

/* Write all of "bytes" to the channel; false if that does not go. */
static bool
write_all(const void *data, size_t bytes)
{
	while (bytes > 0)
	{
		ssize_t		written = send(channel, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (written >= 0)
		{
			data = (const char *) data + written;
			bytes -= written;
		}
		else if (errno != EAGAIN && errno != EINTR)
			return false;
		else if (!wait_for(WL_SOCKET_WRITEABLE))
			return false;
	}
	return true;
}

/* Set a reply's message, in UTF-8.  In a transaction. */
static void
set_message(Answer *answer, const char *message)
{
	int			length = strlen(message);
	const char *utf8 = pg_server_to_any(message, length, PG_UTF8);

	strlcpy(answer->message, utf8, sizeof(answer->message));
	length = strlen(answer->message);
	/* a message that shows what was sent may show what is no text */
	while (pg_encoding_verifymbstr(PG_UTF8, answer->message, length) != length)
		answer->message[pg_encoding_verifymbstr(PG_UTF8, answer->message, length)] = '?';
	answer->reply.bytes = length;
}

/* Take the spans of a body, or only find out whether that could be done. */
static FmsOutcome
take_request(FmsFrameKind kind, const char *body, size_t bytes, Answer *answer)
{
	FmsOtlpResult result = {0};

	if (!OidIsValid(fms_buffer_table()))
	{
		set_message(answer, psprintf("extension flowmaestro_spans is not in database %s",
									 fms_receiver_database));
		return FMS_OUTCOME_UNREADY;
	}
	if (kind == FMS_FRAME_HEALTH)
		return FMS_OUTCOME_DONE;
	if (!fms_otlp_ingest(body, bytes,
						 kind == FMS_FRAME_JSON ? FMS_OTLP_JSON : FMS_OTLP_PROTOBUF,
						 false, &result))
	{
		set_message(answer, result.message);
		return FMS_OUTCOME_BAD;
	}
	set_message(answer, result.message);
	answer->reply.rejected = result.rejected;
	return result.full ? FMS_OUTCOME_FULL : FMS_OUTCOME_DONE;
}

/* CPU time that this process has used, in milliseconds; safe in a signal handler. */
static int64
cpu_ms(void)
{
	struct timespec used;

	(void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (int64) used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/*
 * Handler of the timeout, which comes every TAKE_LOOK_MS: stop if the request at
 * hand has taken TAKE_MS of work.  One that waits for a busy machine goes on.
 */
static void
stop_taking(void)
{
	if (cpu_ms() - began_ms < TAKE_MS)
		return;
	took_too_long = true;
	QueryCancelPending = true;
	InterruptPending = true;
}

/* A request is no longer at hand. */
static void
end_timeout(void)
{
	disable_timeout(take_timeout, false);
	if (took_too_long)
		QueryCancelPending = false;
}

/* Set the answer to a request that could not be taken. */
static void
set_failure(Answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->reply.outcome = took_too_long ? FMS_OUTCOME_SLOW : FMS_OUTCOME_FAILED;
	answer->reply.bytes = strlcpy(answer->message, took_too_long ?
								  "the request takes too much work; send smaller ones" :
								  "the server's log tells what went wrong",
								  sizeof(answer->message));
}

/* After an error: log it, but not too often, and abort. */
static void
recover_receiver(MemoryContext context)
{
	static TimestampTz reported_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);
	if (!took_too_long && (reported_at == 0 || TimestampDifferenceExceeds(reported_at, now, REPORT_MS)))
	{
		EmitErrorReport();
		reported_at = now;
	}
	LWLockReleaseAll();
	AbortOutOfAnyTransaction();
	FlushErrorState();
	MemoryContextSwitchTo(context);
	pgstat_report_activity(STATE_IDLE, NULL);
	RESUME_INTERRUPTS();
}

/* Do what a frame asks for; never throws. */
static void
do_frame(const FmsFrame *frame, const char *body, Answer *answer)
{
	MemoryContext context = CurrentMemoryContext;

	memset(answer, 0, sizeof(*answer));
	took_too_long = false;
	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		pgstat_report_activity(STATE_RUNNING, "taking spans");
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		began_ms = cpu_ms();
		enable_timeout_every(take_timeout,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TAKE_LOOK_MS),
							 TAKE_LOOK_MS);
		answer->reply.outcome = take_request(frame->kind, body, frame->bytes, answer);
		end_timeout();
		PopActiveSnapshot();
		CommitTransactionCommand();
		pgstat_report_stat(true);
		pgstat_report_activity(STATE_IDLE, NULL);
	}
	PG_CATCH();
	{
		end_timeout();
		recover_receiver(context);
		set_failure(answer);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/*
 * Take a frame from the HTTP process and reply.  Returns false if the process
 * is gone, or sends what it never would.
 */
static bool
serve_frame(void)
{
	FmsFrame	frame;
	char	   *body;
	Answer		answer;

	if (!read_all(&frame, sizeof(frame)) || frame.kind < FMS_FRAME_HEALTH ||
		frame.kind > FMS_FRAME_JSON || frame.bytes > config.max_body)
		return false;
	body = palloc(frame.bytes + 1);
	if (!read_all(body, frame.bytes))
		return false;
	body[frame.bytes] = '\0';
	do_frame(&frame, body, &answer);
	return write_all(&answer, sizeof(answer.reply) + answer.reply.bytes);
}

/* Whether the settings, or another session, have the receiver leave this database. */
static bool
has_to_leave(const char *database)
{
	FmsSlot    *slot = fms_buffer_slot();

	return fms_receiver_port == 0 || strcmp(database, fms_receiver_database) != 0 ||
		(slot != NULL && slot->suspended > 0);
}

/* Whether the HTTP process has sent something, or is gone. */
static bool
is_called(void)
{
	char		byte;

	return http_process != 0 &&
		(recv(channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN);
}

/* Take a frame if there is one, else wait for whatever comes. */
static void
serve_or_wait(void)
{
	const char *end;

	if (!is_called())
		(void) wait_for(WL_SOCKET_READABLE);
	else if (!serve_frame() && !ShutdownRequestPending)
	{
		/* not among the arguments of a message, which may not be wanted */
		end = end_http();
		ereport(LOG, (errmsg("the HTTP process of the OTLP receiver is gone: %s", end)));
	}
}

/* Serve until the receiver has to leave. */
static void
receiver_loop(const char *database)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "flowmaestro_spans request",
												  ALLOCSET_DEFAULT_SIZES);
	bool		changed = true;

	while (!ShutdownRequestPending && !has_to_leave(database))
	{
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		if (changed || http_process == 0)
			serve_as_set();
		serve_or_wait();
		changed = ConfigReloadPending;
		if (changed)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

/* Entry point of the receiver. */
void
fms_receiver_main(Datum number)
{
	char	   *database;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	fms_supervisor_enter(number);
	database = MemoryContextStrdup(TopMemoryContext, fms_receiver_database);
	BackgroundWorkerInitializeConnection(database, NULL, 0);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	for (int i = 0; i < lengthof(pinned); i++)
		SetConfigOption(pinned[i][0], pinned[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	take_timeout = RegisterTimeout(USER_TIMEOUT, stop_taking);
	on_proc_exit(end_http_at_exit, (Datum) 0);
	receiver_loop(database);
	proc_exit(0);
}
