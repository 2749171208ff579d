/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  Rows of execution_spans by an id alone, in as few partitions as can be.
 *
 * Where the rows of an id may lie is told by the time in the id and by the
 * directory (directory.c).  The partitions of these places are looked at one
 * after the other by their primary keys (peek.c), each for some microseconds,
 * with no lock held before or after.
 *
 * The key begins with the trace id, of which a span id tells the first 8 bytes.
 * So a look goes from one trace with these bytes to the next, mostly there is
 * just one, and asks for the span in each: it does not read the other spans of
 * the trace.
 *
 * The functions that read traces run statements, with the privileges and the
 * snapshot of their caller, and bound started_at by the partitions in which a
 * look found entries.  An unbounded statement locks every partition and each of
 * its indexes, and is planned for milliseconds when there are hundreds.
 *
 * A look that does not wait says FMS_LOOK_BUSY if something that it needs is
 * locked, or if it would take too long.  Its caller records all the same, with
 * FMS_LOOK_UP, and the writer looks again before it writes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/stratnum.h"
#include "executor/tuptable.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "span/identity.h"
#include "span/text.h"
#include "table/directory.h"
#include "table/lookup.h"
#include "table/place.h"

#define MOST_LOOKS 128			/* at partitions, of a look that does not wait */
#define MOST_TRACES 64			/* with the same first bytes, of such a look */
#define WRITER_LOOKS 10000		/* of both beyond these, for a batch of the
								 * writer */
#define KEYS 2					/* of a partition: trace_id, span_id */

typedef struct Search Search;

/* Look at a partition that is open; true: the search is over. */
typedef bool (*Visit) (Search *search, FmsPeek *peek, int64 trace_prefix);

/* a partition that has been looked at */
typedef struct Visited
{
	Oid			partition;
	int64		trace_prefix;
} Visited;

struct Search
{
	const pg_uuid_t *id;
	bool		wait;			/* for locks */
	Visit		visit;
	Snapshot	snapshot;		/* what rows are seen with */
	bool		busy;			/* something could not be looked at */
	bool		gave_up;		/* it would have taken too long */
	List	   *visited;		/* of Visited */
	Oid			stub_in;		/* partition with the stub of the span */
	const pg_uuid_t *trace_id;	/* for visit_row: of the span, */
	TimestampTz from;			/* which started from here on */
	TimestampTz until;			/* and before */
	FmsSpanRef *ref;			/* what a row says */
	bool		collects;		/* stretches, for a statement that reads the
								 * rows */
	bool		live;			/* the snapshot sees a row in one of them */
	FmsExtent	stretch;		/* times that the partition being looked at
								 * can add */
	List	   *stretches;		/* of FmsExtent */
	pg_uuid_t  *spans;			/* that run, of a trace */
	int			count;
	int			room;
};

/* looks beyond the usual that are left for the writer's batch */
static int	spare_looks = 0;

/*
 * The writer begins a batch: its looks, which do not wait either, may take longer
 * than a call's, but not those of a whole batch together.
 */
void
fms_lookup_begin_batch(void)
{
	spare_looks = WRITER_LOOKS;
}

/* Whether a look that does not wait has to stop after so many looks. */
static bool
is_enough(const Search *search, int looks, int most)
{
	if (search->wait || looks <= most)
		return false;
	if (spare_looks == 0)
		return true;
	spare_looks--;
	return false;
}

/* Whether a text of a row is a given short one. */
static bool
is_text(Datum value, const char *what)
{
	struct varlena *text = (struct varlena *) DatumGetPointer(value);

	/* compressed or stored elsewhere it is longer */
	if (VARATT_IS_EXTERNAL(text) || VARATT_IS_COMPRESSED(text))
		return false;
	return fms_part_is(FMS_TEXT_PART(text), what);
}

/* A column of the row in a slot, by its name; the column is there (has_columns). */
static Datum
peek_column(FmsPeek *peek, const char *name, bool *isnull)
{
	return slot_getattr(peek->slot, get_attnum(RelationGetRelid(peek->table), name), isnull);
}

/* Whether a partition has the key and the columns that a look needs. */
static bool
has_columns(const FmsPeek *peek)
{
	static const char *const names[] = {"parent_span_id", "started_at", "status", "name"};
	Oid			table = RelationGetRelid(peek->table);
	Form_pg_index key = peek->index->rd_index;

	if (key->indnkeyatts != KEYS || key->indkey.values[0] != get_attnum(table, "trace_id") ||
		key->indkey.values[1] != get_attnum(table, "span_id"))
		return false;
	for (int i = 0; i < lengthof(names); i++)
	{
		if (get_attnum(table, names[i]) == InvalidAttrNumber)
			return false;
	}
	return true;
}

/* Note that a partition is looked at; false if it has been. */
static bool
visit_first(Search *search, Oid partition, int64 trace_prefix)
{
	Visited    *visited;
	ListCell   *cell;

	foreach(cell, search->visited)
	{
		visited = lfirst(cell);
		if (visited->partition == partition && visited->trace_prefix == trace_prefix)
			return false;
	}
	visited = palloc(sizeof(Visited));
	visited->partition = partition;
	visited->trace_prefix = trace_prefix;
	search->visited = lappend(search->visited, visited);
	return true;
}

/* Add the times of the partition being looked at to those that a statement reads. */
static void
add_stretch(Search *search)
{
	FmsExtent  *stretch = palloc(sizeof(FmsExtent));

	*stretch = search->stretch;
	search->stretches = lappend(search->stretches, stretch);
}

/*
 * Look at a partition; true: the search is over.  A statement can read what a
 * look cannot.
 */
static bool
visit_partition(Search *search, Oid partition, int64 trace_prefix)
{
	FmsPeek		peek;
	FmsLook		look;
	bool		over = false;

	/* what the default partition adds depends on the place as well */
	if (!search->collects && !visit_first(search, partition, trace_prefix))
		return false;
	look = fms_peek_open(partition, InvalidOid, KEYS, search->wait, &peek);
	if (look == FMS_LOOK_FOUND)
	{
		if (has_columns(&peek))
			over = search->visit(search, &peek, trace_prefix);
		else
			look = FMS_LOOK_BUSY;
		fms_peek_close(&peek);
	}
	if (look == FMS_LOOK_BUSY)
	{
		search->busy = true;
		if (search->collects)
			add_stretch(search);
	}
	return over;
}

/*
 * Set the times that a partition can add: all of its own, but for the default
 * partition, which holds what no other does.
 */
static void
set_stretch(Search *search, const FmsPartition *partition, const FmsSpot *place)
{
	bool		bounded = partition->from != DT_NOBEGIN || partition->until != DT_NOEND;

	search->stretch.from = bounded ? partition->from : place->from;
	search->stretch.until = bounded ? partition->until : place->until;
}

/* Look at the partitions of a place; true: the search is over. */
static bool
visit_place(Search *search, Relation parent, const FmsSpot *place)
{
	List	   *partitions = fms_place_between(parent, place->from, place->until);
	ListCell   *cell;
	bool		over = false;

	foreach(cell, partitions)
	{
		const FmsPartition *partition = lfirst(cell);

		set_stretch(search, partition, place);
		if (is_enough(search, list_length(search->visited) + 1, MOST_LOOKS))
		{
			search->gave_up = true;
			over = true;
		}
		if (over || visit_partition(search, partition->oid, place->trace_prefix))
		{
			over = true;
			break;
		}
	}
	list_free_deep(partitions);
	return over;
}

/*
 * Look at the partitions of places, until a visit says that the search is over,
 * which is FMS_LOOK_FOUND.  Frees the list.
 */
static FmsLook
visit_places(Search *search, List *places)
{
	FmsLook		look;
	Relation	parent = fms_peek_table(fms_buffer_table(), search->wait, &look);
	bool		over = false;
	ListCell   *cell;

	if (parent == NULL)
		return look;
	foreach(cell, places)
	{
		over = visit_place(search, parent, lfirst(cell));
		if (over)
			break;
	}
	relation_close(parent, AccessShareLock);
	list_free_deep(search->visited);
	list_free_deep(places);
	if (over && !search->gave_up)
		return FMS_LOOK_FOUND;
	return search->busy || search->gave_up ? FMS_LOOK_BUSY : FMS_LOOK_NONE;
}

/* Look at the partitions in which rows of an id may lie, as visit_places. */
static FmsLook
search_places(Search *search)
{
	FmsLook		look;
	List	   *places;

	search->busy = fms_directory_places(search->id, search->wait, &places) == FMS_LOOK_BUSY;
	if (places == NIL)
		return search->busy ? FMS_LOOK_BUSY : FMS_LOOK_NONE;
	search->snapshot = RegisterSnapshot(GetLatestSnapshot());
	look = visit_places(search, places);
	UnregisterSnapshot(search->snapshot);
	return look;
}

/* Set a key of a scan on one of the two uuids of the primary key. */
static void
set_key(ScanKey key, int column, StrategyNumber strategy, RegProcedure operator,
		const pg_uuid_t *value)
{
	ScanKeyInit(key, column, strategy, operator, UUIDPGetDatum(value));
}

/* Begin a scan for traces from "low" on, or with "after" behind it, up to "high". */
static void
scan_traces(FmsPeek *peek, bool after, const pg_uuid_t *low, const pg_uuid_t *high)
{
	ScanKeyData keys[KEYS];

	if (after)
		set_key(&keys[0], 1, BTGreaterStrategyNumber, F_UUID_GT, low);
	else
		set_key(&keys[0], 1, BTGreaterEqualStrategyNumber, F_UUID_GE, low);
	set_key(&keys[1], 1, BTLessEqualStrategyNumber, F_UUID_LE, high);
	fms_peek_scan(peek, keys);
}

/* The first trace of such a scan; false if there is none. */
static bool
next_trace(FmsPeek *peek, bool after, const pg_uuid_t *low, const pg_uuid_t *high,
		   pg_uuid_t *trace_id)
{
	scan_traces(peek, after, low, high);
	if (!fms_peek_next_entry(peek))
		return false;
	*trace_id = *DatumGetUUIDP(fms_peek_key(peek, 1));
	return true;
}

/* Begin a scan for the span of a trace. */
static void
scan_span(FmsPeek *peek, const pg_uuid_t *trace_id, const pg_uuid_t *span_id)
{
	ScanKeyData keys[KEYS];

	set_key(&keys[0], 1, BTEqualStrategyNumber, F_UUID_EQ, trace_id);
	set_key(&keys[1], 2, BTEqualStrategyNumber, F_UUID_EQ, span_id);
	fms_peek_scan(peek, keys);
}

/* Tell what the row in the slot says. */
static void
read_row(FmsPeek *peek, const pg_uuid_t *trace_id, FmsSpanRef *ref)
{
	bool		isnull;
	Datum		parent = peek_column(peek, "parent_span_id", &isnull);

	memset(ref, 0, sizeof(*ref));
	ref->trace_id = *trace_id;
	ref->has_parent = !isnull;
	if (ref->has_parent)
		ref->parent_span_id = *DatumGetUUIDP(parent);
	ref->started_at = DatumGetTimestampTz(peek_column(peek, "started_at", &isnull));
	ref->ended = !is_text(peek_column(peek, "status", &isnull), "started");
	ref->stub = is_text(peek_column(peek, "name", &isnull), "");
}

/*
 * Look for the row of a span in a partition.  The search is over when it has a
 * start; a stub is noted, as the row may lie elsewhere.
 */
static bool
visit_span(Search *search, FmsPeek *peek, int64 trace_prefix)
{
	pg_uuid_t	low;
	pg_uuid_t	high;
	pg_uuid_t	trace_id;
	bool		more;
	int			traces = 0;

	fms_directory_range(trace_prefix, &low, &high);
	for (more = next_trace(peek, false, &low, &high, &trace_id); more;
		 more = next_trace(peek, true, &trace_id, &high, &trace_id))
	{
		if (is_enough(search, ++traces, MOST_TRACES))
		{
			search->gave_up = true;
			return true;
		}
		scan_span(peek, &trace_id, search->id);
		if (!fms_peek_next_row(peek, search->snapshot))
			continue;
		read_row(peek, &trace_id, search->ref);
		if (!search->ref->stub)
			return true;
		search->stub_in = RelationGetRelid(peek->table);
	}
	return false;
}

/*
 * What the row of a span says.  A row with a start comes before a stub.  With
 * "wait" locks are waited for; nothing is locked afterwards in any case.
 */
FmsLook
fms_lookup_span(const pg_uuid_t *span_id, bool wait, FmsSpanRef *ref)
{
	Search		search = {.id = span_id, .wait = wait, .visit = visit_span, .ref = ref};
	FmsLook		look = search_places(&search);

	return look == FMS_LOOK_NONE && OidIsValid(search.stub_in) ? FMS_LOOK_FOUND : look;
}

/* Look for the stub of a span in a partition. */
static bool
visit_stub(Search *search, FmsPeek *peek, int64 trace_prefix)
{
	scan_span(peek, search->id, search->id);
	if (!fms_peek_next_row(peek, search->snapshot))
		return false;
	read_row(peek, search->id, search->ref);
	if (search->ref->stub)
		search->stub_in = RelationGetRelid(peek->table);
	return search->ref->stub;
}

/* The partition with the stub that waits for a start under the span's own id. */
FmsLook
fms_lookup_stub(const pg_uuid_t *span_id, bool wait, Oid *partition)
{
	FmsSpanRef	ref;
	Search		search = {.id = span_id, .wait = wait, .visit = visit_stub, .ref = &ref};
	FmsLook		look = search_places(&search);

	*partition = search.stub_in;
	return look;
}

/* Add a running span to what is found. */
static void
add_span(Search *search, Datum span_id)
{
	if (search->count == search->room)
	{
		search->room *= 2;
		search->spans = repalloc_huge(search->spans, search->room * sizeof(pg_uuid_t));
	}
	search->spans[search->count++] = *DatumGetUUIDP(span_id);
}

/* Add the running spans that a partition has of a trace. */
static bool
visit_running(Search *search, FmsPeek *peek, int64 trace_prefix)
{
	ScanKeyData keys[KEYS];
	bool		isnull;

	/* an entry of a span id that begins like this trace */
	if (trace_prefix != fms_directory_prefix(search->id))
		return false;
	set_key(&keys[0], 1, BTGreaterEqualStrategyNumber, F_UUID_GE, search->id);
	set_key(&keys[1], 1, BTLessEqualStrategyNumber, F_UUID_LE, search->id);
	fms_peek_scan(peek, keys);
	while (fms_peek_next_row(peek, search->snapshot))
	{
		if (is_text(peek_column(peek, "status", &isnull), "started") &&
			!is_text(peek_column(peek, "name", &isnull), ""))
			add_span(search, peek_column(peek, "span_id", &isnull));
	}
	return false;
}

/*
 * The running spans that the table has of a trace, allocated in the current
 * context.  FMS_LOOK_BUSY: there may be more.
 */
FmsLook
fms_lookup_running(const pg_uuid_t *trace_id, bool wait, pg_uuid_t **spans, int *count)
{
	Search		search = {.id = trace_id, .wait = wait, .visit = visit_running, .room = 16};
	FmsLook		look;

	search.spans = palloc(search.room * sizeof(pg_uuid_t));
	look = search_places(&search);
	*spans = search.spans;
	*count = search.count;
	return look == FMS_LOOK_NONE && search.count > 0 ? FMS_LOOK_FOUND : look;
}

/* A list of one place. */
static List *
one_place(const pg_uuid_t *trace_id, TimestampTz from, TimestampTz until)
{
	FmsSpot    *place = palloc(sizeof(FmsSpot));

	place->trace_prefix = fms_directory_prefix(trace_id);
	place->from = from;
	place->until = until;
	return list_make1(place);
}

/* Look for the row of a span of a known trace in a partition. */
static bool
visit_row(Search *search, FmsPeek *peek, int64 trace_prefix)
{
	scan_span(peek, search->trace_id, search->id);
	if (!fms_peek_next_row(peek, search->snapshot))
		return false;
	read_row(peek, search->trace_id, search->ref);
	return search->ref->started_at >= search->from && search->ref->started_at < search->until;
}

/*
 * Whether a snapshot sees the row of a span of a trace that started from "from"
 * on and before "until".  Waits for locks.  False also if a partition has lost
 * its primary key.
 */
bool
fms_lookup_row(const pg_uuid_t *trace_id, const pg_uuid_t *span_id, TimestampTz from,
			   TimestampTz until, Snapshot snapshot)
{
	FmsSpanRef	ref;
	Search		search = {.id = span_id, .trace_id = trace_id, .from = from, .until = until, .wait = true,
	.visit = visit_row, .snapshot = snapshot, .ref = &ref};

	return visit_places(&search, one_place(trace_id, from, until)) == FMS_LOOK_FOUND;
}

/*
 * Whether another transaction, still open, has put the row of a span into a
 * partition: an insert of the same row would wait for it.  Does not wait for
 * locks; false also if the partition cannot be looked at now.
 */
bool
fms_lookup_is_uncommitted(Oid partition, const pg_uuid_t *trace_id, const pg_uuid_t *span_id)
{
	SnapshotData snapshot;
	FmsPeek		peek;
	bool		uncommitted = false;

	if (fms_peek_open(partition, InvalidOid, KEYS, false, &peek) != FMS_LOOK_FOUND)
		return false;
	if (has_columns(&peek))
	{
		InitDirtySnapshot(snapshot);
		scan_span(&peek, trace_id, span_id);

		/*
		 * a row that is seen has the transaction that is inserting it, if
		 * any, in xmin
		 */
		uncommitted = fms_peek_next_row(&peek, &snapshot) && TransactionIdIsValid(snapshot.xmin);
	}
	fms_peek_close(&peek);
	return uncommitted;
}

/* Note the times of a partition that has rows of a trace. */
static bool
visit_trace_stretch(Search *search, FmsPeek *peek, int64 trace_prefix)
{
	if (trace_prefix != fms_directory_prefix(search->id) ||
		!next_trace(peek, false, search->id, search->id, &search->stretch.trace_id))
		return false;
	add_stretch(search);
	if (!search->live)
	{
		scan_traces(peek, false, search->id, search->id);
		search->live = fms_peek_next_row(peek, search->snapshot);
	}
	return false;
}

/* Note the times of a partition for each trace that has a row of a span there. */
static bool
visit_span_stretch(Search *search, FmsPeek *peek, int64 trace_prefix)
{
	pg_uuid_t	low;
	pg_uuid_t	high;
	pg_uuid_t	trace_id;
	bool		more;

	fms_directory_range(trace_prefix, &low, &high);
	for (more = next_trace(peek, false, &low, &high, &trace_id); more;
		 more = next_trace(peek, true, &trace_id, &high, &trace_id))
	{
		search->stretch.trace_id = trace_id;
		scan_span(peek, &trace_id, search->id);
		if (!fms_peek_next_entry(peek))
			continue;
		add_stretch(search);
		scan_span(peek, &trace_id, search->id);
		search->live = search->live || fms_peek_next_row(peek, search->snapshot);
	}
	return false;
}

/* Order stretches by their traces, then by their beginning. */
static int
compare_stretches(const ListCell *a, const ListCell *b)
{
	const FmsExtent *left = lfirst(a);
	const FmsExtent *right = lfirst(b);
	int			order = memcmp(&left->trace_id, &right->trace_id, UUID_LEN);

	if (order != 0)
		return order;
	return left->from < right->from ? -1 : left->from > right->from;
}

/* Sort stretches, and make one of those of a trace that touch. */
static List *
join_stretches(List *stretches)
{
	List	   *joined = NIL;
	ListCell   *cell;

	list_sort(stretches, compare_stretches);
	foreach(cell, stretches)
	{
		FmsExtent  *stretch = lfirst(cell);
		FmsExtent  *last = joined == NIL ? NULL : llast(joined);

		if (last != NULL && memcmp(&last->trace_id, &stretch->trace_id, UUID_LEN) == 0 &&
			stretch->from <= last->until)
			last->until = Max(last->until, stretch->until);
		else
			joined = lappend(joined, stretch);
	}
	return joined;
}

/*
 * What a statement has to read for all rows of an id, as a list of FmsExtent in
 * the current memory context: the times of the partitions that have entries of
 * it.  If no row is seen where they should be, every partition is asked, one
 * after the other: somebody may have put the rows there by a statement.  Waits
 * for locks.  The caller has a snapshot.
 */
static List *
stretches_of(const pg_uuid_t *id, Visit visit)
{
	Search		search = {.id = id, .wait = true, .visit = visit, .collects = true,
	.snapshot = GetActiveSnapshot()};
	List	   *places;

	search.stretch.trace_id = *id;
	if (fms_directory_places(id, true, &places) != FMS_LOOK_BUSY)
		(void) visit_places(&search, places);
	if (!search.live)
		(void) visit_places(&search, one_place(id, DT_NOBEGIN, DT_NOEND));
	return join_stretches(search.stretches);
}

/* What to read for the rows of a trace; see stretches_of. */
List *
fms_lookup_trace_stretches(const pg_uuid_t *trace_id)
{
	return stretches_of(trace_id, visit_trace_stretch);
}

/* What to read for the row of a span, and perhaps its stub; see stretches_of. */
List *
fms_lookup_span_stretches(const pg_uuid_t *span_id)
{
	return stretches_of(span_id, visit_span_stretch);
}
