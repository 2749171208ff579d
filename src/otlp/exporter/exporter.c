/*-------------------------------------------------------------------------
 *
 * exporter.c
 *	  The background worker that sends one database's finished spans.
 *
 * The launcher starts it when there are spans in the outbox and an endpoint is
 * set; it leaves when there have been none for a while, when another database
 * waits for a worker's place, when a session wants the database for itself
 * (database.c), when export is turned off, or when it is told to.  It never
 * restarts by itself: it exits, and the launcher decides.
 *
 * In turns: read a parcel, send it, take it out of the outbox.  While the peer
 * does not want it now, the same spans are sent again later and later.  What
 * the peer refuses is sent again in halves until the span to blame is alone;
 * that one is set aside in otlp_refused, and the others get through.  After
 * PATIENCE such spans in a row it is more likely that the peer refuses
 * everything, and the next ones are tried only after a pause.
 *
 * The size of a parcel is also halved when a request fails on its way, since it
 * may have been too much for the time there is, and doubled by each success.
 *
 * Signals and settings are as in writer.c; nothing is drained at the end: what
 * is in the outbox is in a table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "otlp/exporter/exporter.h"
#include "otlp/exporter/headers.h"
#include "otlp/exporter/outbox.h"
#include "otlp/exporter/parcel.h"
#include "otlp/exporter/verdict.h"
#include "worker/supervisor.h"
#include "worker/writer.h"

#define HTTP_LIBRARY "$libdir/flowmaestro_spans_otlp"
#define PARCEL_SPANS FMS_LIMIT(512, 2)
#define PATIENCE 8				/* spans refused in a row before it gets slow */
#define FIRST_BACKOFF_MS 1000
#define LAST_BACKOFF_MS 60000
#define LONGEST_RETRY_AFTER_S 3600
#define PAUSE_MS 50				/* for a lock to go */
#define POLL_MS 10000			/* a prepared transaction's commit is not told */
#define IDLE_EXIT_MS (5 * 60 * 1000)
#define WARN_EVERY_MS 60000

static FmsSlot *slot;			/* of this database */
static FmsPostFunction post_function;
static MemoryContext context;	/* of a parcel, and what is made for it */
static FmsPostAnswer answer;
static FmsPost post;			/* the request under way */

static int	limit = PARCEL_SPANS;	/* spans of the next parcel */
static int	backoff_ms = 0;
static int	refused_in_row = 0;
static bool reloaded = false;	/* the settings were read since the last look */
static bool at_peace = false;	/* it leaves because there is no work */

/* Whether the exporter has to go. */
static bool
must_leave(void)
{
	return ShutdownRequestPending || slot->suspended > 0 || !fms_outbox_is_on();
}

/* Read the settings again if the server says so. */
static void
reload_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	reloaded = true;
}

/*
 * Whether to give up the request: the exporter has to go, or would send it
 * otherwise now.  Called between two calls of libcurl; allocates in the current
 * memory context.
 */
static bool
give_up(void)
{
	reload_settings();
	return must_leave() || post.timeout_ms != fms_otlp_timeout ||
		strcmp(fms_headers_url(fms_otlp_endpoint), post.url) != 0;
}

/*
 * Sleep for "ms" milliseconds: until somebody sets the latch, or with
 * "through", whoever does.  New settings, and having to go, end it at once.
 */
static void
exporter_sleep(int ms, bool through)
{
	static uint32 wait_event = 0;
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	long		left;

	if (wait_event == 0)
		wait_event = fms_wait_event("FlowmaestroExporterMain");
	reloaded = false;
	while (!must_leave() && !reloaded &&
		   (left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until)) > 0)
	{
		int			events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
									   left, wait_event);

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		reload_settings();
		if ((events & WL_LATCH_SET) && !through)
			return;
	}
}

/*
 * The pause, in ms, before what failed is tried again: twice as long each time,
 * and shortened at random, so that not all clients of a peer come at once.
 */
static int
next_backoff(void)
{
	backoff_ms = Min(Max(backoff_ms * 2, FIRST_BACKOFF_MS), LAST_BACKOFF_MS);
	return (int) (backoff_ms * (0.5 + pg_prng_double(&pg_global_prng_state) / 2));
}

/* Tell the log, at most once a minute of each kind. */
static void
warn(TimestampTz *warned_at, const char *message)
{
	TimestampTz now = GetCurrentTimestamp();

	if (*warned_at != 0 && !TimestampDifferenceExceeds(*warned_at, now, WARN_EVERY_MS))
		return;
	*warned_at = now;
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("%s", message),
			 errdetail("Further ones of this kind are counted in flowmaestro.otlp_export_status, "
					   "and not warned about for a minute.")));
}

/* Note how a request ended; NULL: well. */
static void
report_outcome(const char *error)
{
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	strlcpy(slot->export.last_error, error == NULL ? "" : error, FMS_ERROR_BYTES);
	if (error == NULL)
		slot->export.succeeded_at = GetCurrentTimestamp();
	else
		slot->export.failed_at = GetCurrentTimestamp();
	LWLockRelease(slot->lock);
	if (error != NULL)
		fms_slot_count(slot, FMS_EXPORT_FAILURES, 1);
}

/* A parcel to be read, or to be taken out of the outbox. */
typedef struct ExportWork
{
	FmsParcel	parcel;
	const char *refusal;
	FmsFlush	outcome;
} ExportWork;

/* Read a parcel; arg is an ExportWork. */
static void
read_work(void *arg)
{
	ExportWork *work = arg;

	work->outcome = fms_parcel_read(&work->parcel, limit);
}

/* Take a parcel out of the outbox; arg is an ExportWork. */
static void
settle_work(void *arg)
{
	ExportWork *work = arg;

	work->outcome = fms_parcel_settle(&work->parcel, work->refusal);
}

/*
 * Take a parcel out of the outbox, however long that takes: what is not taken
 * out is sent again.
 */
static void
settle_parcel(ExportWork *work)
{
	ErrorData  *error;

	for (;;)
	{
		work->outcome = FMS_FLUSH_BUSY;
		error = fms_writer_attempt(settle_work, work);
		if (work->outcome != FMS_FLUSH_BUSY || must_leave())
			break;
		exporter_sleep(error == NULL ? PAUSE_MS : next_backoff(), true);
	}
	if (work->outcome == FMS_FLUSH_DONE)
	{
		fms_slot_count(slot, work->refusal == NULL ? FMS_EXPORT_SENT : FMS_EXPORT_REFUSED,
					   work->parcel.count);
		fms_slot_count(slot, FMS_EXPORT_GONE, work->parcel.gone_count);
	}
}

/* Send a parcel; the answer is in "answer".  arg is an ExportWork. */
static void
send_work(void *arg)
{
	ExportWork *work = arg;
	char		activity[64];

	memset(&answer, 0, offsetof(FmsPostAnswer, body));
	post.url = fms_headers_url(fms_otlp_endpoint);
	post.headers = fms_headers_read(fms_otlp_headers_file);
	post.body = work->parcel.body->data;
	post.bytes = work->parcel.body->len;
	post.gzip = fms_otlp_compression == FMS_OTLP_GZIP;
	post.timeout_ms = fms_otlp_timeout;
	post.give_up = give_up;
	snprintf(activity, sizeof(activity), "sending %d spans", work->parcel.count);
	pgstat_report_activity(STATE_RUNNING, activity);
	fms_slot_count(slot, FMS_EXPORT_REQUESTS, 1);
	post_function(&post, &answer);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* The collector has a parcel: note it.  It may say that it left some spans out. */
static void
accept_parcel(ExportWork *work)
{
	static TimestampTz warned_at = 0;
	int64		rejected = Min(fms_verdict_rejected(&answer), work->parcel.count);

	backoff_ms = 0;
	refused_in_row = 0;
	limit = Min(limit * 2, PARCEL_SPANS);
	report_outcome(NULL);
	if (rejected > 0)
	{
		fms_slot_count(slot, FMS_EXPORT_REJECTED, rejected);
		warn(&warned_at, psprintf("the collector rejected " INT64_FORMAT " of %d spans: %s",
								  rejected, work->parcel.count, fms_verdict_text(&answer)));
	}
	settle_parcel(work);
}

/*
 * Set the one span of a parcel aside.  Returns how long to wait then, in ms: a
 * peer that refuses one span after the other may not be well itself.
 */
static int
set_aside(ExportWork *work, const char *message)
{
	static TimestampTz warned_at = 0;

	warn(&warned_at, psprintf("set a span aside in otlp_refused: %s", message));
	work->refusal = message;
	settle_parcel(work);
	return ++refused_in_row > PATIENCE ? next_backoff() : 0;
}

/*
 * A parcel was refused: send half of it, or set its only span aside.  Returns
 * how long to wait then, in ms.
 */
static int
refuse_parcel(ExportWork *work, const char *message)
{
	if (work->parcel.count == 1)
		return set_aside(work, message);
	limit = work->parcel.count / 2;
	return 0;
}

/* The spans of a parcel could not be sent: they wait.  Returns how long, in ms. */
static int
postpone(const char *message)
{
	static TimestampTz warned_at = 0;
	int			ms = next_backoff();

	warn(&warned_at, psprintf("could not export spans: %s", message));
	if (answer.retry_after_s > 0)
		ms = Min(answer.retry_after_s, LONGEST_RETRY_AFTER_S) * 1000;
	return ms;
}

/* Send a parcel and do what the answer asks for.  Returns how long to wait then, in ms. */
static int
export_parcel(ExportWork *work)
{
	ErrorData  *error = fms_writer_attempt(send_work, work);
	FmsVerdict	verdict = error == NULL ? fms_verdict_of(&answer) : FMS_VERDICT_LATER;
	const char *message;

	if (answer.given_up)
		return 0;
	if (verdict == FMS_VERDICT_DONE)
	{
		accept_parcel(work);
		return 0;
	}
	message = error != NULL ? error->message : fms_verdict_text(&answer);
	report_outcome(message);
	/* what found no answer may have been too much for the time */
	if (error == NULL && answer.status == 0)
		limit = Max(work->parcel.count / 2, 1);
	return verdict == FMS_VERDICT_REFUSED ? refuse_parcel(work, message) : postpone(message);
}

/*
 * A parcel could not be read.  If a span is to blame, because of what it holds,
 * it is set aside; otherwise the server has a problem.  Returns how long to
 * wait then, in ms.
 */
static int
fail_read(ExportWork *work, const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	report_outcome(error->message);
	if (work->parcel.count == 0 ||
		(category != ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) &&
		 category != ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED) &&
		 category != ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR)))
		return next_backoff();
	work->parcel.id[0] = work->parcel.id[work->parcel.count - 1];
	work->parcel.count = 1;
	work->parcel.gone_count = 0;
	return set_aside(work, error->message);
}

/* Note that work is being looked at. */
static void
accept_exporter_work(void)
{
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	slot->seat[FMS_SEAT_EXPORTER].wanted = false;
	LWLockRelease(slot->lock);
}

/*
 * Whether to go now that there is no work.  Who asks for an exporter after this
 * gets a new one.
 */
static bool
leave_in_peace(void)
{
	LWLockAcquire(slot->lock, LW_SHARED);
	at_peace = !slot->seat[FMS_SEAT_EXPORTER].wanted;
	LWLockRelease(slot->lock);
	return at_peace;
}

/*
 * One turn.  Returns how long to wait before the next one, in ms; *idle tells
 * that there was nothing to do.
 */
static int
take_turn(bool *idle)
{
	ExportWork	work = {0};
	ErrorData  *error;

	work.outcome = FMS_FLUSH_BUSY;
	error = fms_writer_attempt(read_work, &work);
	if (error != NULL)
		return fail_read(&work, error);
	if (work.outcome == FMS_FLUSH_BUSY)
		return PAUSE_MS;
	if (work.outcome == FMS_FLUSH_DONE)
	{
		if (work.parcel.count > 0)
			return export_parcel(&work);
		settle_parcel(&work);
		return 0;
	}
	*idle = true;
	return POLL_MS;
}

/*
 * The exporter's work until it has to go, or has nothing to do.  Returns how
 * long the next one is to be waited with, in ms, or FMS_PAUSE_AS_FAILED.
 */
static int
exporter_loop(void)
{
	TimestampTz active = GetCurrentTimestamp();

	while (!must_leave())
	{
		bool		idle = false;
		bool		starving;
		int			ms;

		CHECK_FOR_INTERRUPTS();
		reload_settings();
		MemoryContextReset(context);
		accept_exporter_work();
		ms = take_turn(&idle);
		starving = pg_atomic_read_u32(&fms_control->starving) != 0;
		if (!idle)
			active = GetCurrentTimestamp();
		else if ((starving || TimestampDifferenceExceeds(active, GetCurrentTimestamp(),
														 IDLE_EXIT_MS)) && leave_in_peace())
			return 0;
		/* who only waits for better times makes place as well */
		if (starving && !idle && ms > PAUSE_MS)
			return ms;
		exporter_sleep(ms, !idle);
	}
	return ShutdownRequestPending ? FMS_PAUSE_AS_FAILED : 0;
}

/* This process no longer exports.  Unless it left in peace, there may be work. */
static void
leave_seat(int code, Datum arg)
{
	fms_slot_leave_seat(slot, FMS_SEAT_EXPORTER, !at_peace);
}

/* Load the library that speaks HTTP. */
static void
load_work(void *arg)
{
	post_function = (FmsPostFunction) load_external_function(HTTP_LIBRARY, "fms_post", true, NULL);
}

/* Entry point of the exporter of a database. */
void
fms_exporter_main(Datum database)
{
	ErrorData  *error;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	slot = fms_slot_find(DatumGetObjectId(database), true);
	if (slot == NULL || !fms_slot_take_seat(slot, FMS_SEAT_EXPORTER))
		proc_exit(0);
	/* registered before the connection is made: it runs after its end */
	before_shmem_exit(leave_seat, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	fms_writer_pin_settings();
	/* what is sent must not be forgotten; a standby's disk is not waited for */
	SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
	/* a queue's statistics are of another moment */
	SetConfigOption("enable_seqscan", "off", PGC_SUSET, PGC_S_OVERRIDE);
	context = AllocSetContextCreate(TopMemoryContext, "flowmaestro_spans export",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	error = fms_writer_attempt(load_work, NULL);
	if (error != NULL)
		report_outcome(error->message);
	else
		slot->seat[FMS_SEAT_EXPORTER].pause_ms = exporter_loop();
	proc_exit(error != NULL || ShutdownRequestPending ? 1 : 0);
}

/* Have the launcher start an exporter for each database with spans to be sent; from _PG_init when preloaded. */
void
fms_exporter_add(void)
{
	static const FmsService service = {
		.name = "flowmaestro_spans otlp exporter", .library = "flowmaestro_spans",
		.function = "fms_exporter_main", .each_database = true, .seat = FMS_SEAT_EXPORTER,
		.wanted = fms_outbox_is_on
	};

	fms_supervisor_add(&service);
}
