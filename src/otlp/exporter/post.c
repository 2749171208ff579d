/*-------------------------------------------------------------------------
 *
 * post.c
 *	  One POST of OTLP/HTTP, with libcurl.
 *
 * libcurl tells which sockets it waits for and until when (its multi_socket
 * interface); they are put into an epoll set, and the process sleeps on that
 * set together with its latch.  So whatever a peer does or does not do, the
 * process answers to the server at once.  A request has one deadline for all
 * of it, and connections are kept for the next one.
 *
 * No error of the server's kind passes through libcurl: its callbacks throw
 * nothing, and interrupts are looked at between two calls only.  libcurl looks
 * host names up in a thread; every signal is blocked while it may start one,
 * since a thread that took the server's signals would run its handlers.
 *
 * The peer is where the URL says: no redirect is followed, no proxy of the
 * environment and no .netrc is used, and only http and https are spoken, https
 * with the system's certificates.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zlib.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "otlp/exporter/post.h"

#define USER_AGENT "User-Agent: flowmaestro_spans/1.0.0"
#define EVENTS 8				/* of one look at the epoll set */
#define LONGEST_WAIT_MS 60000
#define ANSWER_LIMIT (4 * 1024 * 1024)	/* bytes of a body that are waited for */
#define GZIP_WINDOW (15 + 16)	/* zlib: the largest window, with a gzip
								 * header */
#define GZIP_MEMORY 8			/* zlib's own default */
#define GZIP_SLACK 64			/* a gzip header and trailer are longer than
								 * zlib's */

static CURLM *multi = NULL;
static CURL *easy = NULL;
static int	epoll_fd = -1;
static TimestampTz wake_at = 0; /* when libcurl wants to be called; 0: it does
								 * not */

/* what the callbacks know of the request */
typedef struct Transfer
{
	FmsPostAnswer *answer;
	size_t		received;
	bool		too_long;
} Transfer;

/* Block every signal, for a call of libcurl that may start a thread. */
static void
block_signals(sigset_t *before)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
}

/* Undo block_signals. */
static void
unblock_signals(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/*
 * libcurl's callback: wait for a socket from now on, or no longer.  What it
 * keeps with the socket tells that the epoll set has it.
 */
static int
watch_socket(CURL *handle, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event event = {0};

	event.data.fd = fd;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		event.events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		event.events |= EPOLLOUT;
	if (what == CURL_POLL_REMOVE)
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
	else if (epoll_ctl(epoll_fd, known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0)
		return -1;
	(void) curl_multi_assign(multi, fd, what == CURL_POLL_REMOVE ? NULL : &epoll_fd);
	return 0;
}

/* libcurl's callback: call it after so many ms, or with -1, do not. */
static int
set_timer(CURLM *handle, long ms, void *arg)
{
	wake_at = ms < 0 ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	return 0;
}

/* libcurl's callback: a part of the answer's body.  Its beginning is kept. */
static size_t
take_body(char *data, size_t size, size_t count, void *arg)
{
	Transfer   *transfer = arg;
	FmsPostAnswer *answer = transfer->answer;
	size_t		bytes = size * count;
	size_t		kept = Min(bytes, sizeof(answer->body) - answer->bytes);

	memcpy(answer->body + answer->bytes, data, kept);
	answer->bytes += kept;
	transfer->received += bytes;
	transfer->too_long = transfer->received > ANSWER_LIMIT;
	return transfer->too_long ? 0 : bytes;
}

/*
 * Set libcurl up, once in a process; what is set up stays until its end.
 * Called again after an error, it goes on where it stopped.
 */
static void
start_libcurl(void)
{
	if (easy != NULL)
		return;
	if (multi == NULL && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		multi = curl_multi_init();
	if (epoll_fd < 0)
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (multi == NULL || epoll_fd < 0 ||
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer) != CURLM_OK ||
		(easy = curl_easy_init()) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not initialize libcurl")));
}

/* A body as gzip, in the current memory context. */
static char *
compress_body(const FmsPost *post, size_t *bytes)
{
	size_t		room = compressBound(post->bytes) + GZIP_SLACK;
	char	   *out = palloc_extended(room, MCXT_ALLOC_HUGE);
	z_stream	stream = {0};
	int			rc;

	/* the fastest level: half of the default's CPU for a few per cent of size */
	if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not initialize zlib")));
	stream.next_in = unconstify(Bytef *, (const Bytef *) post->body);
	stream.avail_in = post->bytes;
	stream.next_out = (Bytef *) out;
	stream.avail_out = room;
	rc = deflate(&stream, Z_FINISH);
	*bytes = stream.total_out;
	deflateEnd(&stream);
	if (rc != Z_STREAM_END)
		elog(ERROR, "could not compress %zu bytes", post->bytes);
	return out;
}

/*
 * The headers of a request as libcurl wants them, our own before the caller's;
 * NULL without memory.  They are malloc'ed.
 */
static struct curl_slist *
header_list(const FmsPost *post)
{
	const char *const own[] = {
		"Content-Type: application/x-protobuf",
		USER_AGENT,
		"Expect:",				/* do not wait for a 100 before a large body */
		post->gzip ? "Content-Encoding: gzip" : "Content-Encoding:" /* without a value: none */
	};
	struct curl_slist *list = NULL;
	struct curl_slist *longer = NULL;
	int			n = 0;

	for (int i = 0; i < lengthof(own) || post->headers[n] != NULL; i++)
	{
		longer = curl_slist_append(list, i < lengthof(own) ? own[i] : post->headers[n++]);
		if (longer == NULL)
		{
			curl_slist_free_all(list);
			return NULL;
		}
		list = longer;
	}
	return list;
}

/*
 * Make the handle that of a request and hand it to libcurl; false without
 * memory.  The URL is copied, body, headers and transfer are not.
 */
static bool
prepare_request(const FmsPost *post, const char *body, size_t bytes, struct curl_slist *headers,
				Transfer *transfer)
{
	int			rc = 0;

	curl_easy_reset(easy);
	rc |= curl_easy_setopt(easy, CURLOPT_URL, post->url);
	rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	rc |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	rc |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
	rc |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	rc |= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	rc |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* a look-up that hangs is left to its thread, not waited for */
	rc |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	rc |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) post->timeout_ms);
	rc |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) post->timeout_ms);
	rc |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) bytes);
	rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->answer->error);
	return rc == 0 && curl_multi_add_handle(multi, easy) == CURLM_OK;
}

/*
 * Sleep until a socket is ready, libcurl's time has come or the latch is set.
 * Returns whether a socket is ready.
 */
static bool
wait_for_peer(void)
{
	static uint32 wait_event = 0;
	long		ms = LONGEST_WAIT_MS;
	int			events;

	if (wait_event == 0)
		wait_event = fms_wait_event("FlowmaestroExporterSend");
	if (wake_at != 0)
		ms = Min(ms, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wake_at));
	events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT |
							   WL_EXIT_ON_PM_DEATH, epoll_fd, ms, wait_event);
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return (events & WL_SOCKET_READABLE) != 0;
}

/*
 * Let libcurl do what can be done now, with the sockets that are ready and what
 * its time has come for.  Returns whether the request still runs.
 */
static bool
advance(bool ready)
{
	struct epoll_event events[EVENTS];
	int			count = ready ? epoll_wait(epoll_fd, events, EVENTS, 0) : 0;
	int			running = 1;
	sigset_t	before;

	block_signals(&before);
	for (int i = 0; i < count; i++)
	{
		int			mask = 0;

		if (events[i].events & (EPOLLIN | EPOLLHUP))
			mask |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (events[i].events & EPOLLERR)
			mask |= CURL_CSELECT_ERR;
		(void) curl_multi_socket_action(multi, events[i].data.fd, mask, &running);
	}
	if (wake_at != 0 && wake_at <= GetCurrentTimestamp())
	{
		wake_at = 0;
		(void) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	unblock_signals(&before);
	return running > 0;
}

/* Fill in the answer of a request that has ended. */
static void
read_answer(const Transfer *transfer)
{
	FmsPostAnswer *answer = transfer->answer;
	CURLMsg    *message;
	int			left;
	long		status = 0;
	curl_off_t	retry_after = 0;
	char	   *type = NULL;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		if (message->msg != CURLMSG_DONE)
			continue;
		if (message->data.result != CURLE_OK && !transfer->too_long)
		{
			if (answer->error[0] == '\0')
				strlcpy(answer->error, curl_easy_strerror(message->data.result),
						FMS_POST_ERROR_BYTES);
			continue;
		}
		(void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		(void) curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
		(void) curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
		answer->status = (int) status;
		answer->retry_after_s = (int) Min(retry_after, INT_MAX);
		answer->is_protobuf = type != NULL &&
			pg_strncasecmp(type, "application/x-protobuf", strlen("application/x-protobuf")) == 0;
	}
}

/*
 * Send a request and wait for its answer, at most post->timeout_ms.  Throws
 * only for lack of memory and on interrupts; what goes wrong on the way is in
 * *answer.  Allocates the compressed body in the current memory context.
 */
void
fms_post(const FmsPost *post, FmsPostAnswer *answer)
{
	Transfer	transfer = {answer, 0, false};
	struct curl_slist *headers;
	size_t		bytes = post->bytes;
	char	   *compressed = post->gzip ? compress_body(post, &bytes) : NULL;

	StaticAssertStmt(sizeof(answer->error) >= CURL_ERROR_SIZE, "libcurl's message needs room");
	memset(answer, 0, offsetof(FmsPostAnswer, body));
	answer->error[0] = '\0';
	start_libcurl();
	headers = header_list(post);
	PG_TRY();
	{
		if (headers == NULL ||
			!prepare_request(post, compressed != NULL ? compressed : post->body, bytes, headers,
							 &transfer))
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("could not prepare a request")));
		while (!answer->given_up && advance(wait_for_peer()))
			answer->given_up = post->give_up();
		if (!answer->given_up)
			read_answer(&transfer);
	}
	PG_FINALLY();
	{
		(void) curl_multi_remove_handle(multi, easy);
		curl_easy_reset(easy);
		curl_slist_free_all(headers);
	}
	PG_END_TRY();
	if (compressed != NULL)
		pfree(compressed);
}
