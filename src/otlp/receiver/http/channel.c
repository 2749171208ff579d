/*-------------------------------------------------------------------------
 *
 * channel.c
 *	  The HTTP process's end of the socket to the receiver.
 *
 * The receiver does one thing after the other, so what is submitted waits
 * here, and the smallest goes first: a large batch holds up a small one for as
 * long as one large batch takes, however many there are.  The next one is
 * written while the receiver is at work on the last.
 *
 * A request can end before its reply comes.  Its job goes on without it.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "otlp/receiver/http/channel.h"

/* what is on its way to the receiver */
typedef struct FmsJob
{
	struct FmsJob *next;
	FmsRequest *request;		/* NULL: it has ended */
	FmsFrame	frame;
	FmsBody		body;
	size_t		sent;			/* bytes, the frame's own included */
} FmsJob;

static int	channel = -1;
static FmsJob *waiting = NULL;	/* nothing of it is sent */
static FmsJob *current = NULL;	/* part of it is sent */
static FmsJob *replies = NULL;	/* all of it is sent; in the order of the
								 * replies */
static FmsJob **last_reply = &replies;

/* the reply that is coming in */
static struct
{
	FmsReply	head;
	char		message[FMS_HTTP_MESSAGE_BYTES];
}			incoming;
static size_t incoming_bytes = 0;

/* Use a socket, which does not block. */
void
fms_channel_set_socket(int socket)
{
	channel = socket;
}

/*
 * Submit a request with its body, which the job takes over: the request can
 * end, and its body still has to be written to the end once that has begun.
 * Returns false without memory.
 */
bool
fms_channel_submit(FmsRequest *request, FmsFrameKind kind)
{
	FmsJob	   *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return false;
	job->request = request;
	job->frame.kind = kind;
	job->frame.bytes = request->body.used;
	job->body = request->body;
	job->next = waiting;
	memset(&request->body, 0, sizeof(request->body));
	request->job = job;
	waiting = job;
	return true;
}

/*
 * Nothing more is to be done for a request.  A job that has not begun goes with
 * it; of another the receiver will reply, to nobody.
 */
void
fms_channel_abandon(FmsRequest *request)
{
	FmsJob	   *job = request->job;

	if (job == NULL)
		return;
	request->job = NULL;
	job->request = NULL;
	for (FmsJob **link = &waiting; *link != NULL; link = &(*link)->next)
	{
		if (*link != job)
			continue;
		*link = job->next;
		fms_body_free(&job->body);
		free(job);
		return;
	}
}

/* Whether there is anything to write. */
bool
fms_channel_wants_write(void)
{
	return current != NULL || waiting != NULL;
}

/* Take the smallest job that waits; there is one. */
static FmsJob *
take_smallest(void)
{
	FmsJob	  **smallest = &waiting;
	FmsJob	   *job;

	/* the newest is first: among equals the oldest is taken */
	for (FmsJob **link = &waiting; *link != NULL; link = &(*link)->next)
	{
		if ((*link)->frame.bytes <= (*smallest)->frame.bytes)
			smallest = link;
	}
	job = *smallest;
	*smallest = job->next;
	job->next = NULL;
	return job;
}

/* Write a part of the current job; -1 as send(). */
static ssize_t
write_part(void)
{
	struct iovec parts[2];
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 0};
	size_t		head = current->sent < sizeof(FmsFrame) ? sizeof(FmsFrame) - current->sent : 0;
	size_t		body_sent = current->sent + head - sizeof(FmsFrame);
	size_t		body = current->frame.bytes - body_sent;

	/* the end of the frame itself, if it is not yet out, and of the body */
	if (head > 0)
		parts[message.msg_iovlen++] = (struct iovec) {(char *) &current->frame + current->sent, head};
	if (body > 0)
		parts[message.msg_iovlen++] = (struct iovec) {current->body.data + body_sent, body};
	return sendmsg(channel, &message, MSG_NOSIGNAL);
}

/* The current job has been sent; its body is no longer needed. */
static void
finish_current(void)
{
	fms_body_free(&current->body);
	*last_reply = current;
	last_reply = &current->next;
	current = NULL;
}

/* Write what the socket takes; false if the receiver is gone. */
bool
fms_channel_write(void)
{
	/* chosen as late as can be: what comes meanwhile can be smaller */
	while (current != NULL || waiting != NULL)
	{
		ssize_t		written;

		if (current == NULL)
			current = take_smallest();
		written = write_part();
		if (written < 0)
			return errno == EAGAIN || errno == EINTR;
		current->sent += written;
		if (current->sent == sizeof(FmsFrame) + current->frame.bytes)
			finish_current();
	}
	return true;
}

/* A reply is complete: it belongs to the first job that waits for one. */
static void
take_reply(void)
{
	FmsJob	   *job = replies;

	replies = job->next;
	if (replies == NULL)
		last_reply = &replies;
	if (job->request != NULL)
	{
		job->request->job = NULL;
		incoming.message[incoming.head.bytes] = '\0';
		fms_request_reply(job->request, &incoming.head, incoming.message);
	}
	free(job);
	incoming_bytes = 0;
}

/* Read the replies that have come; false if the receiver is gone. */
bool
fms_channel_read(void)
{
	for (;;)
	{
		size_t		wanted = sizeof(FmsReply);
		ssize_t		got;

		if (incoming_bytes >= sizeof(FmsReply))
			wanted += incoming.head.bytes;
		if (incoming_bytes == wanted)
		{
			/* the head can be all there is */
			take_reply();
			continue;
		}
		got = recv(channel, (char *) &incoming + incoming_bytes, wanted - incoming_bytes, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (got <= 0)
			return false;
		incoming_bytes += got;
		/* never, unless the two are not of one build */
		if (incoming_bytes == sizeof(FmsReply) &&
			(incoming.head.bytes >= FMS_HTTP_MESSAGE_BYTES || replies == NULL))
			return false;
	}
}
