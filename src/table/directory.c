/*-------------------------------------------------------------------------
 *
 * directory.c
 *	  When the spans of an id started, where the id does not tell it.
 *
 * An id that begins like a UUIDv7 trace id tells about when its spans started:
 * their rows lie near that time.  Of every other row span_id_directory has an
 * entry, made in the transaction that writes the row: the first 8 bytes of the
 * id, those of the row's trace id, and the day.  Entries are needed
 *
 *		for the trace id, if the row does not lie near the time in it, or if
 *		it has none;
 *		for the span id, if it does not begin like its trace id.
 *
 * So a look-up by either id needs the partitions near the time in the id and
 * those of the days in the directory, and no others.  A span id made here, or
 * by OTLP, begins like its trace's: all spans of such a trace on a day share
 * one entry.
 *
 * A filter in shared memory (buffer/seen.c) knows the ids that have entries.  A
 * trigger adds to it whoever inserts: this file, COPY of a restore, an apply
 * worker of logical replication.  What was there before is added by the writer.
 *
 * The index has every column, and a look reads the index alone: an entry whose
 * row is not committed, or gone, costs a look at one more place, and nothing
 * else.  The table has no key: two transactions that note the same do not wait
 * for each other, and both entries stay.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "buffer/seen.h"
#include "span/identity.h"
#include "table/directory.h"
#include "table/owner.h"

/* a span usually starts within these of the time in its trace id */
#define BEFORE_TRACE_US USECS_PER_DAY
#define AFTER_TRACE_US (2 * USECS_PER_DAY)

#define FORGOTTEN_ROWS FMS_LIMIT(100000, 2) /* in a transaction */
#define KEYS 3					/* of the index, in the order of an entry's
								 * fields */

/* an entry of the directory, as in its index */
typedef struct DirectoryEntry
{
	int64		id_prefix;
	DateADT		day;
	int64		trace_prefix;
} DirectoryEntry;

static const char *const insert_entries =
	"INSERT INTO flowmaestro.span_id_directory (id_prefix, started_on, trace_prefix) "
	"SELECT k.id_prefix, k.started_on, k.trace_prefix "
	"FROM ROWS FROM (unnest($1), unnest($2), unnest($3)) "
	"AS k (id_prefix, started_on, trace_prefix)";

static const char *const forget_entries =
	"DELETE FROM flowmaestro.span_id_directory AS d WHERE d.ctid = ANY (ARRAY("
	"SELECT c.ctid FROM flowmaestro.span_id_directory AS c "
	"WHERE c.started_on < $1 LIMIT $2))";

PG_FUNCTION_INFO_V1(fms_note_span_ids);
PG_FUNCTION_INFO_V1(fms_span_id_seen);

/* The first 8 bytes of an id, in the order of the bytes. */
int64
fms_directory_prefix(const pg_uuid_t *id)
{
	uint64		bytes;

	memcpy(&bytes, id->data, sizeof(bytes));
	return (int64) pg_ntoh64(bytes);
}

/* The lowest and the highest id that begins with 8 bytes. */
void
fms_directory_range(int64 prefix, pg_uuid_t *low, pg_uuid_t *high)
{
	uint64		bytes = pg_hton64((uint64) prefix);

	memset(low->data, 0, UUID_LEN);
	memset(high->data, 0xff, UUID_LEN);
	memcpy(low->data, &bytes, sizeof(bytes));
	memcpy(high->data, &bytes, sizeof(bytes));
}

/* The day of a time in UTC. */
static DateADT
day_of(TimestampTz at)
{
	int64		day = at / USECS_PER_DAY;

	return (DateADT) (at % USECS_PER_DAY < 0 ? day - 1 : day);
}

/* Add a place to a list. */
static List *
add_place(List *places, int64 trace_prefix, TimestampTz from, TimestampTz until)
{
	FmsSpot    *place = palloc(sizeof(FmsSpot));

	place->trace_prefix = trace_prefix;
	place->from = from;
	place->until = until;
	return lappend(places, place);
}

/*
 * The places around the time in an id, the likeliest first; none if it has no
 * time that a span can have.
 */
static List *
places_near(const pg_uuid_t *id)
{
	int64		prefix = fms_directory_prefix(id);
	TimestampTz made_at;
	List	   *places;

	if (!fms_identity_trace_time(id, &made_at) ||
		made_at < FMS_FIRST_TIME || made_at > FMS_LAST_TIME)
		return NIL;
	places = add_place(NIL, prefix, made_at, made_at + 1);
	return add_place(places, prefix, made_at - BEFORE_TRACE_US, made_at + AFTER_TRACE_US);
}

/* Whether a trace id tells when a span of it started. */
static bool
tells_time(const pg_uuid_t *trace_id, TimestampTz started_at)
{
	TimestampTz made_at;

	return fms_identity_trace_time(trace_id, &made_at) &&
		made_at >= FMS_FIRST_TIME && made_at <= FMS_LAST_TIME &&
		started_at >= made_at - BEFORE_TRACE_US && started_at < made_at + AFTER_TRACE_US;
}

/* The directory, beside the table of spans; InvalidOid if it is not there. */
static Oid
directory(void)
{
	Oid			table = fms_buffer_table();

	return OidIsValid(table) ?
		get_relname_relid("span_id_directory", get_rel_namespace(table)) : InvalidOid;
}

/* Open the directory for scans with a number of keys, as fms_peek_open. */
static FmsLook
open_directory(int nkeys, bool wait, FmsPeek *peek)
{
	Oid			table = directory();

	if (!OidIsValid(table))
		return FMS_LOOK_NONE;
	return fms_peek_open(table, get_relname_relid("span_id_directory_idx", get_rel_namespace(table)),
						 nkeys, wait, peek);
}

/*
 * Where rows of a span or a trace may lie, by its id: a list of FmsSpot in the
 * current memory context, the likeliest first.  FMS_LOOK_NONE: there are none,
 * unless somebody wrote rows by a statement of their own; FMS_LOOK_BUSY: the
 * directory cannot be read now, and the list is incomplete.  With "wait", locks
 * are waited for.
 */
FmsLook
fms_directory_places(const pg_uuid_t *id, bool wait, List **places)
{
	ScanKeyData key;
	FmsPeek		peek;
	FmsLook		look;

	*places = places_near(id);
	/* the writer looks in any case: what it decides is in the table */
	if (MyBackendType == B_BACKEND &&
		!fms_seen_possible(fms_buffer_table(), fms_directory_prefix(id)))
		return *places == NIL ? FMS_LOOK_NONE : FMS_LOOK_FOUND;
	look = open_directory(1, wait, &peek);
	if (look != FMS_LOOK_FOUND)
		return look == FMS_LOOK_NONE && *places != NIL ? FMS_LOOK_FOUND : look;
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(fms_directory_prefix(id)));
	fms_peek_scan(&peek, &key);
	while (fms_peek_next_entry(&peek))
	{
		TimestampTz day = DatumGetDateADT(fms_peek_key(&peek, 2)) * USECS_PER_DAY;

		*places = add_place(*places, DatumGetInt64(fms_peek_key(&peek, 3)),
							day, day + USECS_PER_DAY);
	}
	fms_peek_close(&peek);
	return *places == NIL ? FMS_LOOK_NONE : FMS_LOOK_FOUND;
}

/* Order entries as the index does. */
static int
compare_entries(const void *a, const void *b)
{
	const DirectoryEntry *left = a;
	const DirectoryEntry *right = b;

	if (left->id_prefix != right->id_prefix)
		return left->id_prefix < right->id_prefix ? -1 : 1;
	if (left->day != right->day)
		return left->day < right->day ? -1 : 1;
	if (left->trace_prefix != right->trace_prefix)
		return left->trace_prefix < right->trace_prefix ? -1 : 1;
	return 0;
}

/* Add the entries that a row needs, at most two, to *count that are there. */
static void
add_entries(DirectoryEntry *entries, int *count, const pg_uuid_t *trace_id, const pg_uuid_t *span_id,
			TimestampTz started_at)
{
	int64		of_trace = fms_directory_prefix(trace_id);
	int64		of_span = fms_directory_prefix(span_id);
	DateADT		day = day_of(started_at);

	if (!tells_time(trace_id, started_at))
		entries[(*count)++] = (DirectoryEntry) {of_trace, day, of_trace};
	if (of_span != of_trace)
		entries[(*count)++] = (DirectoryEntry) {of_span, day, of_trace};
}

/* Sort entries and leave out those that come again; returns how many are left. */
static int
sort_entries(DirectoryEntry *entries, int count)
{
	int			last = 0;

	if (count == 0)
		return 0;
	qsort(entries, count, sizeof(DirectoryEntry), compare_entries);
	for (int i = 1; i < count; i++)
	{
		if (compare_entries(&entries[last], &entries[i]) != 0)
			entries[++last] = entries[i];
	}
	return last + 1;
}

/* Leave out the entries that the directory has; returns how many are left. */
static int
leave_out_known(FmsPeek *peek, DirectoryEntry *entries, int count)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData keys[KEYS];
	int			left = 0;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, 0);
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_DATE_EQ, 0);
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_INT8EQ, 0);
	for (int i = 0; i < count; i++)
	{
		bool		known = fms_seen_possible(fms_buffer_table(), entries[i].id_prefix);

		keys[0].sk_argument = Int64GetDatum(entries[i].id_prefix);
		keys[1].sk_argument = DateADTGetDatum(entries[i].day);
		keys[2].sk_argument = Int64GetDatum(entries[i].trace_prefix);
		if (known)
		{
			fms_peek_scan(peek, keys);
			known = fms_peek_next_row(peek, snapshot);
		}
		if (!known)
			entries[left++] = entries[i];
	}
	UnregisterSnapshot(snapshot);
	return left;
}

/* Write entries, as the owner of the directory. */
static void
insert(const DirectoryEntry *entries, int count)
{
	static SPIPlanPtr plan = NULL;
	FmsOwnerScope scope;
	Oid			types[KEYS] = {INT8ARRAYOID, DATEARRAYOID, INT8ARRAYOID};
	Datum		values[KEYS];
	Datum	   *column[KEYS];

	fms_table_enter(directory(), &scope);
	for (int k = 0; k < KEYS; k++)
		column[k] = palloc(sizeof(Datum) * count);
	for (int i = 0; i < count; i++)
	{
		column[0][i] = Int64GetDatum(entries[i].id_prefix);
		column[1][i] = DateADTGetDatum(entries[i].day);
		column[2][i] = Int64GetDatum(entries[i].trace_prefix);
	}
	values[0] = fms_plan_array(column[0], count, INT8OID);
	values[1] = fms_plan_array(column[1], count, DATEOID);
	values[2] = fms_plan_array(column[2], count, INT8OID);
	(void) fms_plan_run(&plan, insert_entries, KEYS, types, values, NULL);
	fms_table_leave(&scope);
}

/* Room for the entries of a number of rows, in the current memory context. */
static DirectoryEntry *
room_for(int rows)
{
	return palloc_extended(sizeof(DirectoryEntry) * 2 * rows, MCXT_ALLOC_HUGE);
}

/*
 * See to it that the directory has some entries when the current transaction
 * commits.  The writer does not wait for a directory that is locked: the error
 * makes it try the batch again later.
 */
static void
note(DirectoryEntry *entries, int count)
{
	FmsPeek		peek;

	count = sort_entries(entries, count);
	if (count == 0)
		return;
	if (open_directory(KEYS, fms_table_waits, &peek) != FMS_LOOK_FOUND)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("span_id_directory is locked by another session, or has lost its index")));
	count = leave_out_known(&peek, entries, count);
	fms_peek_close(&peek);
	if (count > 0)
		insert(entries, count);
}

/*
 * Note, in the current transaction, when rows that are about to be written
 * start, as far as their ids do not tell.
 */
void
fms_directory_note(FmsRow **rows, int count)
{
	DirectoryEntry *entries = room_for(count);
	int			n = 0;

	for (int i = 0; i < count; i++)
		add_entries(entries, &n, &rows[i]->trace_id, &rows[i]->span_id, rows[i]->started_at);
	note(entries, n);
	pfree(entries);
}

/*
 * Delete the entries of days that are over before a time, at most
 * FORGOTTEN_ROWS in the current transaction; returns whether there may be more.
 * The filter keeps their ids until the server's next start: each costs a look.
 */
bool
fms_directory_forget(TimestampTz before)
{
	FmsOwnerScope scope;
	Oid			types[2] = {DATEOID, INT8OID};
	Datum		values[2] = {DateADTGetDatum(day_of(before)), Int64GetDatum(FORGOTTEN_ROWS)};
	uint64		deleted;

	fms_table_enter(directory(), &scope);
	if (SPI_execute_with_args(forget_entries, 2, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not forget old span ids");
	deleted = SPI_processed;
	fms_table_leave(&scope);
	return deleted == FORGOTTEN_ROWS;
}

/* An array of one dimension without nulls as datums; raises an error for any other. */
static Datum *
elements(ArrayType *array, Oid type, int length, bool by_value, char align, int *count)
{
	Datum	   *values;

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ids and times must be arrays of one dimension without nulls")));
	deconstruct_array(array, type, length, by_value, align, &values, NULL, count);
	return values;
}

/*
 * note_span_ids(trace_ids uuid[], span_ids uuid[], started_at timestamptz[])
 * returns void
 *
 * For rows that come into the table by a statement.
 */
Datum
fms_note_span_ids(PG_FUNCTION_ARGS)
{
	int			count;
	int			spans;
	int			times;
	Datum	   *trace_ids = elements(PG_GETARG_ARRAYTYPE_P(0), UUIDOID, UUID_LEN, false,
									 TYPALIGN_CHAR, &count);
	Datum	   *span_ids = elements(PG_GETARG_ARRAYTYPE_P(1), UUIDOID, UUID_LEN, false,
									TYPALIGN_CHAR, &spans);
	Datum	   *started_at = elements(PG_GETARG_ARRAYTYPE_P(2), TIMESTAMPTZOID,
									  sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &times);
	DirectoryEntry *entries;
	int			n = 0;

	if (spans != count || times != count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("ids and times must be arrays of the same length")));
	entries = room_for(count);
	for (int i = 0; i < count; i++)
		add_entries(entries, &n, DatumGetUUIDP(trace_ids[i]), DatumGetUUIDP(span_ids[i]),
					DatumGetTimestampTz(started_at[i]));
	note(entries, n);
	PG_RETURN_VOID();
}

/*
 * span_id_seen() returns trigger: before a row comes into span_id_directory, its
 * id is one that the directory may have.
 */
Datum
fms_span_id_seen(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		isnull;
	Datum		id_prefix;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		RelationGetRelid(trigger->tg_relation) != directory())
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("span_id_seen() can only be called by the trigger of span_id_directory")));
	id_prefix = heap_getattr(trigger->tg_trigtuple, 1, RelationGetDescr(trigger->tg_relation), &isnull);
	if (!isnull)
		fms_seen_add(fms_buffer_table(), DatumGetInt64(id_prefix));
	return PointerGetDatum(trigger->tg_trigtuple);
}

/* Whether the directory has its trigger, for every kind of session. */
static bool
has_trigger(Relation table)
{
	TriggerDesc *triggers = table->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (strcmp(triggers->triggers[i].tgname, "span_id_seen") == 0)
			return triggers->triggers[i].tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	return false;
}

/*
 * Add the ids of all rows to the filter.  Every version of a row counts: one
 * that is not committed, or prepared, may be soon.
 */
static void
load(Relation table)
{
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = fms_table_beginscan(table, SnapshotAny);
	bool		isnull;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		fms_seen_add(fms_buffer_table(), DatumGetInt64(slot_getattr(slot, 1, &isnull)));
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * See to it that the filter can be relied on, if that can be; called by the
 * writer, in a transaction, again and again.  Without its trigger, which a restore
 * with --disable-triggers takes away, nobody tells what comes, and every id may
 * have entries.
 */
void
fms_directory_watch(void)
{
	FmsLook		look;
	Relation	table = fms_peek_table(directory(), false, &look);

	if (table == NULL)
		return;
	if (!has_trigger(table))
		fms_seen_all(InvalidOid);
	else if (!fms_seen_has_all(fms_buffer_table()))
	{
		load(table);
		fms_seen_all(fms_buffer_table());
	}
	table_close(table, AccessShareLock);
}
