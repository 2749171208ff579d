/*-------------------------------------------------------------------------
 *
 * body.c
 *	  The body of a request, inflated as it comes.
 *
 * A body has a limit, and all bodies together have one, inflaters included.
 * Where that is reached nothing is done and FMS_BODY_NO_ROOM returned: the caller
 * can free another body and try the same again.
 *
 * A few bytes of gzip can be megabytes, so inflating is work that is done a
 * part at a time, between what others want.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "otlp/receiver/http/body.h"

#define FIRST_BYTES (16 * 1024)
#define GZIP_WINDOW_BITS (15 + 16)	/* as zlib's manual has it: gzip only */
#define ZLIB_BYTES (48 * 1024)	/* zlib's state and window, generously */
#define PENDING_BYTES (32 * 1024)	/* the library reads no more at a time */
#define WORK_BYTES (512 * 1024) /* inflated at a time */

typedef struct FmsInflater
{
	z_stream	stream;
	bool		ended;			/* a gzip has come to its end */
	bool		full;			/* the last part took all the room that it had */
	size_t		pending;		/* bytes of input[] that wait, at its
								 * beginning */
	Bytef		input[PENDING_BYTES];
} FmsInflater;

#define INFLATER_BYTES (sizeof(FmsInflater) + ZLIB_BYTES)

static size_t max_body;
static size_t max_memory;
static size_t memory = 0;		/* of all bodies */

/* Set the limits, in bytes. */
void
fms_body_set_limits(size_t body, size_t all)
{
	max_body = body;
	max_memory = all;
}

/* Take "bytes" more of what all bodies may have; false if they may not. */
static bool
take_memory(size_t bytes)
{
	if (memory + bytes > max_memory)
		return false;
	memory += bytes;
	return true;
}

/* Have the body inflated: it comes as gzip.  Before anything is added. */
FmsBodyState
fms_body_inflate(FmsBody *body)
{
	if (!take_memory(INFLATER_BYTES))
		return FMS_BODY_NO_ROOM;
	body->inflater = calloc(1, sizeof(FmsInflater));
	if (body->inflater == NULL || inflateInit2(&body->inflater->stream, GZIP_WINDOW_BITS) != Z_OK)
	{
		free(body->inflater);
		body->inflater = NULL;
		memory -= INFLATER_BYTES;
		return FMS_BODY_NO_MEMORY;
	}
	return FMS_BODY_GOOD;
}

/* Make room for more, up to one byte above the limit, so that it shows. */
static FmsBodyState
grow_body(FmsBody *body)
{
	size_t		size = body->size == 0 ? FIRST_BYTES : body->size * 2;
	char	   *data;

	if (body->size > max_body)
		return FMS_BODY_TOO_LARGE;
	if (size > max_body)
		size = max_body + 1;
	if (!take_memory(size - body->size))
		return FMS_BODY_NO_ROOM;
	data = realloc(body->data, size);
	if (data == NULL)
	{
		memory -= size - body->size;
		return FMS_BODY_NO_MEMORY;
	}
	body->data = data;
	body->size = size;
	return FMS_BODY_GOOD;
}

/* Add bytes that came as they are, all or none; the body grows by doubling. */
static FmsBodyState
add_plain(FmsBody *body, const char *data, size_t bytes)
{
	while (body->size - body->used < bytes)
	{
		FmsBodyState state = grow_body(body);

		if (state != FMS_BODY_GOOD)
			return state;
	}
	memcpy(body->data + body->used, data, bytes);
	body->used += bytes;
	return FMS_BODY_GOOD;
}

/* Add bytes that came as gzip: they are only kept for fms_body_work. */
static FmsBodyState
add_gzip(FmsInflater *inflater, const char *data, size_t bytes)
{
	if (bytes > PENDING_BYTES - inflater->pending)
		return FMS_BODY_NO_MEMORY;
	memcpy(inflater->input + inflater->pending, data, bytes);
	inflater->pending += bytes;
	return FMS_BODY_GOOD;
}

/* Add what was received; fms_body_work has to follow. */
FmsBodyState
fms_body_add(FmsBody *body, const char *data, size_t bytes)
{
	FmsBodyState state;

	if (body->inflater != NULL)
		return add_gzip(body->inflater, data, bytes);
	state = add_plain(body, data, bytes);
	if (state == FMS_BODY_GOOD && body->used > max_body)
		state = FMS_BODY_TOO_LARGE;
	return state;
}

/* Whether fms_body_work has anything to do. */
bool
fms_body_has_work(const FmsBody *body)
{
	return body->inflater != NULL && (body->inflater->pending > 0 || body->inflater->full);
}

/* Inflate once, into the room that there is, at most WORK_BYTES. */
static FmsBodyState
inflate_part(FmsBody *body)
{
	FmsInflater *inflater = body->inflater;
	z_stream   *stream = &inflater->stream;
	size_t		room = body->size - body->used;
	int			result;

	if (room > WORK_BYTES)
		room = WORK_BYTES;
	stream->next_in = inflater->input;
	stream->avail_in = inflater->pending;
	stream->next_out = (Bytef *) body->data + body->used;
	stream->avail_out = room;
	result = inflate(stream, Z_NO_FLUSH);
	body->used += room - stream->avail_out;
	memmove(inflater->input, stream->next_in, stream->avail_in);
	inflater->pending = stream->avail_in;
	inflater->ended = result == Z_STREAM_END;
	/* without input there can still be more in zlib than there was room for */
	inflater->full = stream->avail_out == 0 && !inflater->ended;
	if (result == Z_MEM_ERROR)
		return FMS_BODY_NO_MEMORY;
	return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR ?
		FMS_BODY_GOOD : FMS_BODY_DAMAGED;
}

/* Do a part of what there is to do; a body can be several gzips one after the other. */
FmsBodyState
fms_body_work(FmsBody *body)
{
	FmsBodyState state = FMS_BODY_GOOD;

	if (!fms_body_has_work(body))
		return state;
	if (body->used == body->size)
		state = grow_body(body);
	if (state != FMS_BODY_GOOD)
		return state;
	if (body->inflater->ended && inflateReset(&body->inflater->stream) != Z_OK)
		return FMS_BODY_DAMAGED;
	state = inflate_part(body);
	if (state == FMS_BODY_GOOD && body->used > max_body)
		state = FMS_BODY_TOO_LARGE;
	return state;
}

/* Give back the inflater, if the body has one. */
static void
free_inflater(FmsBody *body)
{
	if (body->inflater == NULL)
		return;
	(void) inflateEnd(&body->inflater->stream);
	free(body->inflater);
	body->inflater = NULL;
	memory -= INFLATER_BYTES;
}

/* Everything was received, and all work is done.  A gzip that is cut off is damaged. */
FmsBodyState
fms_body_finish(FmsBody *body)
{
	bool		whole = body->inflater == NULL || body->inflater->ended;

	free_inflater(body);
	return whole ? FMS_BODY_GOOD : FMS_BODY_DAMAGED;
}

/* Give back what the body has; it is empty then. */
void
fms_body_free(FmsBody *body)
{
	free_inflater(body);
	free(body->data);
	memory -= body->size;
	memset(body, 0, sizeof(*body));
}
