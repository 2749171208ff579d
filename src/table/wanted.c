/*-------------------------------------------------------------------------
 *
 * wanted.c
 *	  Partitions that are missing, and who makes them.
 *
 * The writer makes partitions: each in a transaction of its own and before the
 * batch that needs it, so that a batch neither takes many locks nor fails as a
 * whole.  One that can't be made, for somebody holds the table or an event
 * trigger refuses it, is tried again later.  Its rows go into our default
 * partition if there is one; else they alone are refused as blocked, set aside,
 * and put back when the partition is there.
 *
 * A session that records in its own transaction asks the writer by its slot, and
 * waits: a partition that it made itself would be nobody else's before its
 * commit, and block all other makers until then.  It makes one only where there
 * is no writer to ask, or where its own locks keep the writer out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "table/owner.h"
#include "table/partition.h"
#include "table/wanted.h"

#define MOST_WANTED FMS_LIMIT(64, 1)	/* partitions that wait at the same
										 * time */
#define FIRST_PAUSE_MS 5000		/* before a partition is tried again */
#define LAST_PAUSE_MS 60000
#define ASK_AGAIN_MS 5000		/* after the writer was asked in vain */

/* a partition that the writer is to make */
typedef struct Wanted
{
	TimestampTz at;				/* a time of it */
	TimestampTz from;			/* where it begins: tells one from another */
	TimestampTz retry_at;		/* not before */
	int			pause_ms;		/* 0: it was not tried */
	char		reason[FMS_ERROR_BYTES];	/* why it could not be made */
} Wanted;

static Wanted wanted[MOST_WANTED];
static int	wanted_count = 0;

/* What the writer wants to make already for a place, or NULL. */
static Wanted *
find_wanted(const FmsPlace *place)
{
	for (int i = 0; i < wanted_count; i++)
	{
		if (wanted[i].from == place->stretch.from)
			return &wanted[i];
	}
	return NULL;
}

/* Want a missing partition; NULL if too many are wanted. */
static Wanted *
want_partition(TimestampTz at, const FmsPlace *place)
{
	Wanted	   *entry = find_wanted(place);

	if (entry != NULL || wanted_count == MOST_WANTED)
		return entry;
	entry = &wanted[wanted_count++];
	memset(entry, 0, sizeof(*entry));
	entry->at = at;
	entry->from = place->stretch.from;
	return entry;
}

/*
 * In the writer: whether the partition for a time is missing and can be made
 * now; wants it then.
 */
static bool
is_due(TimestampTz at)
{
	FmsPlace	place = fms_place_of(at);
	Wanted	   *entry;

	if (!place.missing)
		return false;
	entry = want_partition(at, &place);
	return entry != NULL && entry->retry_at <= GetCurrentTimestamp();
}

/* The time that a row is expected to have in the table. */
static TimestampTz
time_of(const FmsRow *row)
{
	if (row->has_trace)
		return row->started_at;
	return row->status == FMS_STATUS_STARTED ? row->created_at : row->ended_at;
}

/*
 * In the writer: whether rows that are about to be written lack partitions that
 * can be made now; wants them then.
 */
bool
fms_wanted_lacks(FmsRow **rows, int count)
{
	FmsStretch	known = {0, 0}; /* has a partition of its own */
	bool		lacks = false;

	for (int i = 0; i < count; i++)
	{
		TimestampTz at = time_of(rows[i]);
		FmsPlace	place;

		CHECK_FOR_INTERRUPTS();
		if (at >= known.from && at < known.until)
			continue;
		if (is_due(at))
			lacks = true;
		else
		{
			place = fms_place_of(at);
			if (!place.missing && !OidIsValid(place.later))
				known = place.stretch;
		}
	}
	return lacks;
}

/*
 * Want the partition after the current one, if there is a current one: a
 * database that records gets its partitions before they are needed.
 */
void
fms_wanted_ahead(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (OidIsValid(fms_place_of(now).partition))
		(void) is_due(fms_place_stretch(now, (FmsInterval) fms_partition_interval).until);
}

/* A time of a wanted partition that can be tried now; false if there is none. */
bool
fms_wanted_next(TimestampTz *at)
{
	TimestampTz now = wanted_count > 0 ? GetCurrentTimestamp() : 0;

	for (int i = 0; i < wanted_count; i++)
	{
		if (wanted[i].retry_at > now)
			continue;
		*at = wanted[i].at;
		return true;
	}
	return false;
}

/* What is wanted for a time that fms_wanted_next told. */
static Wanted *
wanted_at(TimestampTz at)
{
	for (int i = 0; i < wanted_count; i++)
	{
		if (wanted[i].at == at)
			return &wanted[i];
	}
	return NULL;
}

/* The partition of a time is there. */
void
fms_wanted_made(TimestampTz at)
{
	Wanted	   *entry = wanted_at(at);

	if (entry != NULL)
		*entry = wanted[--wanted_count];
}

/*
 * The partition of a time could not be made.  Whoever holds the table holds up
 * all others as well, so these do not wait for the same lock now.
 */
void
fms_wanted_refused(TimestampTz at, const ErrorData *error)
{
	Wanted	   *entry = wanted_at(at);
	TimestampTz now = GetCurrentTimestamp();

	if (entry == NULL)
		return;
	entry->pause_ms = Min(Max(entry->pause_ms * 2, FIRST_PAUSE_MS), LAST_PAUSE_MS);
	strlcpy(entry->reason, error->message, sizeof(entry->reason));
	for (int i = 0; i < wanted_count; i++)
	{
		if (&wanted[i] == entry || error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
			wanted[i].retry_at = Max(wanted[i].retry_at,
									 TimestampTzPlusMilliseconds(now, Max(wanted[i].pause_ms, FIRST_PAUSE_MS)));
	}
}

/* Ask the writer for the partition of a time.  Does not wait. */
static void
request(FmsSlot *slot, TimestampTz at)
{
	bool		there = false;

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slot->partitions_wanted; i++)
		there = there || slot->partition_wanted[i] == at;
	if (!there && slot->partitions_wanted < FMS_PARTITIONS_WANTED)
		slot->partition_wanted[slot->partitions_wanted++] = at;
	LWLockRelease(slot->lock);
	fms_slot_want_writer(slot, true);
}

/* In the writer: want what sessions asked for.  In a transaction. */
void
fms_wanted_take_requests(void)
{
	FmsSlot    *slot = fms_buffer_slot();
	TimestampTz at[FMS_PARTITIONS_WANTED];
	int			count;

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	count = slot->partitions_wanted;
	memcpy(at, slot->partition_wanted, sizeof(at[0]) * count);
	slot->partitions_wanted = 0;
	LWLockRelease(slot->lock);
	for (int i = 0; i < count; i++)
		(void) is_due(at[i]);
}

/*
 * Ask the writer for the partition of a time and wait until it is there, at most
 * flowmaestro.full_wait.  Interruptible.  After it was asked in vain, do not wait
 * for a while.  Returns the place as it is then.
 */
static FmsPlace
ask_writer(TimestampTz at)
{
	static TimestampTz wait_again = 0;
	static uint32 wait_event = 0;
	FmsSlot    *slot = fms_buffer_slot();
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), fms_full_wait);
	FmsPlace	place;
	long		ms;

	if (wait_event == 0)
		wait_event = fms_wait_event("FlowmaestroPartition");
	request(slot, at);
	for (;;)
	{
		ConditionVariablePrepareToSleep(&slot->changed);
		AcceptInvalidationMessages();
		place = fms_place_of(at);
		ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
		if (!place.missing || ms <= 0 || GetCurrentTimestamp() < wait_again)
			break;
		(void) ConditionVariableTimedSleep(&slot->changed, Min(ms, 100), wait_event);
		request(slot, at);
	}
	ConditionVariableCancelSleep();
	if (place.missing && ms <= 0)
		wait_again = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ASK_AGAIN_MS);
	return place;
}

/*
 * Whether the writer can't make a partition for this transaction: there is none,
 * it does not see the table yet, or this transaction's own lock keeps it out.
 */
static bool
is_alone(void)
{
	Oid			parent = fms_buffer_table();
	Relation	relation;
	bool		alone;

	if (fms_buffer_slot() == NULL || fms_buffer_lacks_writer())
		return true;
	relation = table_open(parent, AccessShareLock);
	alone = relation->rd_createSubid != InvalidSubTransactionId ||
		CheckRelationLockedByMe(relation, ShareUpdateExclusiveLock, true);
	table_close(relation, NoLock);
	return alone;
}

/* Refuse rows whose partition for a time is not there, as blocked. */
void
fms_wanted_refuse(TimestampTz at)
{
	FmsPlace	place = fms_place_of(at);
	Wanted	   *entry = find_wanted(&place);

	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 entry == NULL || entry->reason[0] == '\0'
			 ? errmsg("partition for spans that start at %s is not yet there", timestamptz_to_str(at))
			 : errmsg("partition for spans that start at %s could not be made: %s",
					  timestamptz_to_str(at), entry->reason)));
}

/*
 * The partition that a row with a time goes into.  While its own is missing, our
 * default partition takes it, if there is one; else there is none, and the row
 * is to be refused.  A session may wait for the writer here, or make the
 * partition itself.
 */
Oid
fms_wanted_partition(TimestampTz at)
{
	FmsPlace	place = fms_place_of(at);

	if (!place.missing)
		return place.partition;
	if (!fms_table_waits)
		(void) want_partition(at, &place);
	else if (is_alone())
	{
		fms_partition_make(at, false);
		place = fms_place_of(at);
	}
	else
		place = ask_writer(at);
	return place.missing ? place.later : place.partition;
}
