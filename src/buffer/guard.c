/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Access to a mapped ring that outlives a page which cannot be had.
 *
 * A store to a mapped file fails when the file system has no block for the
 * page: a copy-on-write file system needs a new one for every page that it
 * has written out (btrfs), or that another file shares (XFS after a copy with
 * reflinks), whatever was allocated when the file was made.  A load fails
 * when the disk cannot be read, or when somebody has made the file shorter.
 * The kernel tells both by SIGBUS, which by itself would end the process, and
 * with it the whole server.
 *
 * So all of a ring's pages are touched here, in pieces of work that only
 * compute, copy and store: nothing in them allocates, locks, logs or raises an
 * error.  A SIGBUS for an address in the ring during such a piece ends the
 * piece, by a jump out of the handler, and the caller hears that it failed.
 * Any other SIGBUS goes where it went before.
 *
 * The order of the stores in ring.c, which makes every death of a process
 * harmless, makes every end of a piece harmless as well: there is no record,
 * or the old tail, or one half of the header that is whole.
 *
 * The writer uses what a record points to after it was read here.  Its pages
 * were all read a moment ago, for the checksum; a disk that fails just in
 * between is not survived.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <setjmp.h>
#include <signal.h>

#include "buffer/guard.h"


/* what the pieces of work take and give */
typedef struct Work
{
	FmsRing    *ring;
	const FmsRing *from;
	uint32		database;
	uint64		system_identifier;
	uint64		tail;
	uint64		head;
	uint64		position;
	uint64		limit;
	uint64		random;
	const void *source;
	const char *body;
	uint32		length;
	uint32		checksum;
	FmsRingItem item;
	bool		sound;
} Work;

static sigjmp_buf landing;
static const Work *volatile running = NULL; /* the piece of work that runs */
static const char *volatile failed_at = NULL;

static struct sigaction previous;	/* what SIGBUS did before */

/* Whether an address is in a ring's mapping. */
static bool
is_in(const FmsRing *ring, const char *address)
{
	const char *file = (const char *) ring->header;

	return address >= file && address < file + ring->file_bytes;
}

/*
 * The handler: end the piece of work, or do what would have been done without us.
 * Back in the default action, the instruction runs again and ends the process.
 */
static void
on_bus_error(int signal_number, siginfo_t *info, void *context)
{
	const char *address = (const char *) info->si_addr;
	const Work *work = running;

	if (work != NULL && info->si_code > 0 &&
		(is_in(work->ring, address) || (work->from != NULL && is_in(work->from, address))))
	{
		failed_at = address;
		running = NULL;
		siglongjmp(landing, 1);
	}
	if (previous.sa_flags & SA_SIGINFO)
		previous.sa_sigaction(signal_number, info, context);
	else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
		previous.sa_handler(signal_number);
	else
	{
		(void) sigaction(SIGBUS, &previous, NULL);
		if (info->si_code <= 0)
			raise(signal_number);
	}
}

/*
 * Have SIGBUS come here; once in a process, before it touches a ring.  The
 * handler is left by a jump that does not restore the signal mask, so the
 * signal is not blocked in it.
 */
void
fms_guard_install(void)
{
	static bool installed = false;
	struct sigaction action = {0};

	if (installed)
		return;
	action.sa_sigaction = on_bus_error;
	action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
	sigemptyset(&action.sa_mask);
	installed = sigaction(SIGBUS, &action, &previous) == 0;
}

/*
 * Do a piece of work; false if a page could not be had.  The mask of
 * signals is not saved, which keeps this at a few nanoseconds.
 */
static bool
run(void (*piece) (Work *), Work *work)
{
	if (sigsetjmp(landing, 0) != 0)
		return false;
	running = work;
	piece(work);
	running = NULL;
	return true;
}

/* Fill all pages of a file, with those of another one if there is one. */
static void
fill(Work *work)
{
	if (work->from == NULL)
		memset(work->ring->header, 0, work->ring->file_bytes);
	else
		memcpy(work->ring->header, work->from->header, work->ring->file_bytes);
}

/*
 * Fill all pages of a new file: with zeros, or with what a ring of the same
 * size holds.
 */
bool
fms_guard_fill(FmsRing *ring, const FmsRing *from)
{
	Work		work = {.ring = ring, .from = from};

	return run(fill, &work);
}

/* See fms_ring_format. */
static void
format(Work *work)
{
	fms_ring_format(work->ring, work->ring->file_bytes - FMS_RING_HEADER_BYTES, work->database,
					work->system_identifier, work->position, work->random);
}

/* Make an empty ring of a mapped file; see fms_ring_format. */
bool
fms_guard_format(FmsRing *ring, uint32 database, uint64 system_identifier, uint64 start,
				 uint64 random)
{
	Work		work = {
		.ring = ring, .database = database, .system_identifier = system_identifier,
		.position = start, .random = random
	};

	return run(format, &work);
}

/* See fms_ring_open. */
static void
open_ring(Work *work)
{
	work->sound = fms_ring_open(work->ring, work->database, work->system_identifier);
}

/* Look at a mapped file as a ring; see fms_ring_open.  False too if it can't be read. */
bool
fms_guard_open(FmsRing *ring, uint32 database, uint64 system_identifier)
{
	Work		work = {
		.ring = ring, .database = database, .system_identifier = system_identifier
	};

	return run(open_ring, &work) && work.sound;
}

/* See fms_ring_begin_life. */
static void
begin_life(Work *work)
{
	fms_ring_begin_life(work->ring, work->tail, work->head, work->random);
}

/* Begin a life of a ring; see fms_ring_begin_life. */
bool
fms_guard_begin_life(FmsRing *ring, uint64 tail, uint64 head, uint64 random)
{
	Work		work = {.ring = ring, .tail = tail, .head = head, .random = random};

	return run(begin_life, &work);
}

/* See fms_ring_append. */
static void
append(Work *work)
{
	work->head = fms_ring_append(work->ring, work->tail, work->head, work->source, work->length,
								 work->checksum);
}

/*
 * Append a record at *head, which moves on; see fms_ring_append.  *room is false
 * if the ring is full.
 */
bool
fms_guard_append(FmsRing *ring, uint64 tail, uint64 *head, const void *body, uint32 length,
				 uint32 checksum, bool *room)
{
	Work		work;			/* the rest stays unset: every call comes
								 * through here */
	bool		done;

	work.ring = ring;
	work.from = NULL;
	work.tail = tail;
	work.head = *head;
	work.source = body;
	work.length = length;
	work.checksum = checksum;
	done = run(append, &work);

	*room = done && work.head != 0;
	if (*room)
		*head = work.head;
	return done;
}

/* See fms_ring_read. */
static void
read_item(Work *work)
{
	work->item = fms_ring_read(work->ring, &work->position, work->limit, &work->body,
							   &work->length);
}

/* See fms_ring_seek. */
static void
seek(Work *work)
{
	work->position = fms_ring_seek(work->ring, work->position, work->limit);
}

/* The first position after "position" that is not in the page that failed. */
static uint64
after_failure(const FmsRing *ring, uint64 position)
{
	uint64		bytes = ring->identity.bytes;
	uint64		from = position % bytes;
	uint64		failed = failed_at < ring->data ? 0 : failed_at - ring->data;
	uint64		until = Min(TYPEALIGN_DOWN(FMS_RING_PAGE, failed) + FMS_RING_PAGE, bytes);

	return position + (until > from ? until - from : bytes - from + until);
}

/* Whether it is known that no record is at a position. */
static bool
is_free(const FmsRing *ring, uint64 position)
{
	Work		work = {
		.ring = unconstify(FmsRing *, ring), .position = position,
		.limit = position + FMS_RING_ALIGN
	};

	return run(seek, &work) && work.position != position;
}

/*
 * Look at what is at *position; see fms_ring_read.  A page that can't be read is
 * damage, up to the next record in a page that can.
 */
FmsRingItem
fms_guard_read(const FmsRing *ring, uint64 *position, uint64 limit, const char **body,
			   uint32 *length)
{
	Work		work = {.ring = unconstify(FmsRing *, ring), .position = *position, .limit = limit};

	if (run(read_item, &work))
	{
		*position = work.position;
		*body = work.body;
		*length = work.length;
		return work.item;
	}
	do
		work.position = after_failure(ring, work.position);
	while (work.position < limit && !run(seek, &work));
	if (work.position >= limit && is_free(ring, *position))
		return FMS_RING_END;
	*position = Min(work.position, limit);
	return FMS_RING_DAMAGED;
}

/* See fms_ring_acknowledge. */
static void
acknowledge(Work *work)
{
	fms_ring_acknowledge(work->ring, work->position);
}

/* Let go of the records before a position; see fms_ring_acknowledge. */
bool
fms_guard_acknowledge(FmsRing *ring, uint64 position)
{
	Work		work = {.ring = ring, .position = position};

	return run(acknowledge, &work);
}
