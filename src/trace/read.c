/*-------------------------------------------------------------------------
 *
 * read.c
 *	  The rows of a trace.
 *
 * One statement reads the trace through the primary keys of the partitions.
 * It does not bound started_at: nothing proves that a trace lies near the time
 * in its id, a run that waits for a person goes on days later, and a span that
 * is missing from a tree is worse than a slow one.  What makes it cheap is
 * that the plan, the costly part with many partitions, is made once a session.
 *
 * The rows go from the executor straight into the array of spans, never into
 * a result set, and inputs and outputs are not touched.
 *
 * The statement runs with the privileges of the caller, in the caller's
 * snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "span/identity.h"
#include "span/payload.h"
#include "trace/read.h"
#include "trace/tree.h"
#include "usage/tokens.h"

#define FIRST_CAPACITY 64
#define MOST_SPANS 5000000		/* of a tree; each takes about 600 bytes */

/* where spans are looked for first: around the time in their trace id */
#define BEFORE_TRACE_US USECS_PER_DAY
#define AFTER_TRACE_US (2 * USECS_PER_DAY)

/* columns of read_trace */
enum
{
	SPAN_ID, PARENT_SPAN_ID, NAME, SPAN_TYPE, ENTITY_ID, STATUS, STARTED_AT, ENDED_AT,
	ERROR_MESSAGE, ATTRIBUTES, COLUMNS
};

static const char *const read_trace =
	"SELECT s.span_id, s.parent_span_id, s.name, s.span_type, s.entity_id, s.status, "
	"s.started_at, s.ended_at, s.error OPERATOR(pg_catalog.->>) 'message', s.attributes "
	"FROM flowmaestro.execution_spans AS s WHERE s.trace_id OPERATOR(pg_catalog.=) $1";

/* a row with a start comes before a stub, the only row before any other */
#define TRACE_OF_SPAN \
	"SELECT s.trace_id, s.name OPERATOR(pg_catalog.=) '' FROM flowmaestro.execution_spans AS s " \
	"WHERE s.span_id OPERATOR(pg_catalog.=) $1 "
#define IN_TRACE_RANGE \
	"AND s.trace_id OPERATOR(pg_catalog.>=) $2 AND s.trace_id OPERATOR(pg_catalog.<=) $3 "
#define BEST_FIRST "ORDER BY 2 LIMIT 1"

static const char *const find_near =
	TRACE_OF_SPAN IN_TRACE_RANGE
	"AND s.started_at OPERATOR(pg_catalog.>=) $4 AND s.started_at OPERATOR(pg_catalog.<) $5 "
	BEST_FIRST;

/* the second half is for ids that do not begin like their trace's, by their own index */
static const char *const find_anywhere =
	TRACE_OF_SPAN IN_TRACE_RANGE
	"UNION ALL "
	TRACE_OF_SPAN
	"AND pg_catalog.substr(pg_catalog.uuid_send(s.span_id), 1, 8) OPERATOR(pg_catalog.<>) "
	"pg_catalog.substr(pg_catalog.uuid_send(s.trace_id), 1, 8) "
	BEST_FIRST;

/* takes each row into a tree */
typedef struct Receiver
{
	DestReceiver pub;
	FmsTree    *tree;
} Receiver;

/*
 * Copy a text.  The recording functions keep texts within FMS_MAX_TEXT; of one
 * that came another way no more than that is taken.
 */
static text *
keep_text(Datum value, bool isnull)
{
	text	   *start;

	if (isnull)
		return NULL;
	if (toast_raw_datum_size(value) <= FMS_MAX_TEXT + VARHDRSZ)
		return DatumGetTextPCopy(value);
	start = DatumGetTextPSlice(value, 0, FMS_MAX_TEXT + MAX_MULTIBYTE_CHAR_LEN);
	return cstring_to_text_with_len(VARDATA_ANY(start),
									pg_mbcliplen(VARDATA_ANY(start), VARSIZE_ANY_EXHDR(start),
												 FMS_MAX_TEXT));
}

/* A time within what spans can have, so that differences do not overflow. */
static TimestampTz
within_range(TimestampTz at)
{
	return Max(FMS_FIRST_TIME, Min(at, FMS_LAST_TIME));
}

/* Set the times of a span; one that runs is taken to run until now. */
static void
keep_times(FmsTree *tree, FmsTreeSpan *span, TupleTableSlot *slot)
{
	TimestampTz end = tree->now;

	span->started_at = DatumGetTimestampTz(slot->tts_values[STARTED_AT]);
	span->from = within_range(span->started_at);
	span->running = slot->tts_isnull[ENDED_AT];
	if (!span->running)
		end = span->ended_at = DatumGetTimestampTz(slot->tts_values[ENDED_AT]);
	if (!span->running && end < span->started_at)
		span->odd |= FMS_ENDS_EARLY;
	span->until = Max(span->from, within_range(end));
}

/* The next free place of the array, zeroed; an error if the trace is too big for a tree. */
static FmsTreeSpan *
new_span(FmsTree *tree)
{
	FmsTreeSpan *span;

	if (tree->count == MOST_SPANS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("trace has more than %d spans", MOST_SPANS),
				 errhint("Read its rows from flowmaestro.execution_spans.")));
	if (tree->count == tree->capacity)
	{
		tree->capacity *= 2;
		tree->spans = repalloc_huge(tree->spans, sizeof(FmsTreeSpan) * tree->capacity);
	}
	span = &tree->spans[tree->count++];
	memset(span, 0, sizeof(*span));
	return span;
}

/* Take a row; called by the executor for each. */
static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	FmsTree    *tree = ((Receiver *) self)->tree;
	MemoryContext old = MemoryContextSwitchTo(tree->context);
	FmsTreeSpan *span = new_span(tree);

	slot_getallattrs(slot);
	span->span_id = *DatumGetUUIDP(slot->tts_values[SPAN_ID]);
	span->has_parent = !slot->tts_isnull[PARENT_SPAN_ID];
	if (span->has_parent)
		span->parent_span_id = *DatumGetUUIDP(slot->tts_values[PARENT_SPAN_ID]);
	span->name = keep_text(slot->tts_values[NAME], false);
	span->span_type = keep_text(slot->tts_values[SPAN_TYPE], false);
	span->entity_id = keep_text(slot->tts_values[ENTITY_ID], slot->tts_isnull[ENTITY_ID]);
	span->status = keep_text(slot->tts_values[STATUS], false);
	span->failed = VARSIZE_ANY_EXHDR(span->status) == strlen("failed") &&
		memcmp(VARDATA_ANY(span->status), "failed", strlen("failed")) == 0;
	span->error = keep_text(slot->tts_values[ERROR_MESSAGE], slot->tts_isnull[ERROR_MESSAGE]);
	keep_times(tree, span, slot);
	if (VARSIZE_ANY_EXHDR(span->name) == 0)
		span->odd |= FMS_NO_START;
	if (fms_tokens_is_model_call(VARDATA_ANY(span->span_type), VARSIZE_ANY_EXHDR(span->span_type)))
		fms_usage_read(slot->tts_values[ATTRIBUTES], &span->own_usage);
	MemoryContextSwitchTo(old);
	return true;
}

/* Nothing to prepare. */
static void
start(DestReceiver *self, int operation, TupleDesc desc)
{
	Assert(desc->natts == COLUMNS);
}

/* Nothing to finish or to free. */
static void
finish(DestReceiver *self)
{
}

/* Set a parameter until fms_read_end. */
void
fms_read_set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * Connect to SPI and see to it that plans made here use the indexes.  Planned
 * for any trace, a partition with few traces would be read as a whole.
 * Returns what fms_read_end wants.
 */
int
fms_read_begin(void)
{
	int			level = NewGUCNestLevel();

	fms_read_set("enable_seqscan", "off");
	fms_read_set("jit", "off");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	return level;
}

/* Undo fms_read_begin. */
void
fms_read_end(int level)
{
	SPI_finish();
	AtEOXact_GUC(true, level);
}

/*
 * A plan that is made once a session.  It is generic: another plan for each
 * trace would cost more than the trace.
 */
static SPIPlanPtr
prepared(SPIPlanPtr *plan, const char *sql, int nargs)
{
	static Oid	types[] = {UUIDOID, UUIDOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID};

	if (*plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);

		if (made == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(made);
		*plan = made;
	}
	return *plan;
}

/*
 * Run a statement whose parameters are at most three uuids and two times, made
 * once a session.  The result is in SPI_tuptable.
 */
void
fms_read_run(SPIPlanPtr *plan, const char *sql, int nargs, Datum *values)
{
	int			rc = SPI_execute_plan(prepared(plan, sql, nargs), values, NULL, true, 0);

	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(rc));
}

/* A cursor over such a statement, to be closed before fms_read_end. */
Portal
fms_read_open(SPIPlanPtr *plan, const char *sql, int nargs, Datum *values)
{
	Portal		cursor = SPI_cursor_open(NULL, prepared(plan, sql, nargs), values, NULL, true);

	if (cursor == NULL)
		elog(ERROR, "SPI_cursor_open failed: %s", SPI_result_code_string(SPI_result));
	return cursor;
}

/* Run the statement, its rows going to a receiver. */
static void
read_rows(const pg_uuid_t *trace_id, DestReceiver *receiver)
{
	static SPIPlanPtr plan = NULL;
	SPIExecuteOptions options = {0};
	ParamListInfo params = makeParamList(1);
	int			rc;

	params->params[0].value = UUIDPGetDatum(trace_id);
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = UUIDOID;
	options.params = params;
	options.read_only = true;
	options.dest = receiver;
	/* a SELECT whose rows go elsewhere is a utility statement to SPI */
	rc = SPI_execute_plan_extended(prepared(&plan, read_trace, 1), &options);
	if (rc != SPI_OK_UTILITY)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(rc));
}

/*
 * The spans of a trace, not yet in order; none if there is no such trace.  All
 * of it lies in the current memory context.
 */
FmsTree *
fms_tree_read(const pg_uuid_t *trace_id)
{
	FmsTree    *tree = palloc0(sizeof(FmsTree));
	int			level;
	Receiver	receiver = {{receive, start, finish, finish, DestNone}, tree};

	tree->context = CurrentMemoryContext;
	tree->capacity = FIRST_CAPACITY;
	tree->spans = palloc(sizeof(FmsTreeSpan) * tree->capacity);
	tree->now = GetCurrentStatementStartTimestamp();
	level = fms_read_begin();
	read_rows(trace_id, &receiver.pub);
	fms_read_end(level);
	return tree;
}

/* Run a look-up of a span's trace; false if it finds none. */
static bool
look_up(SPIPlanPtr *plan, const char *sql, int nargs, Datum *values, pg_uuid_t *trace_id)
{
	bool		isnull;

	fms_read_run(plan, sql, nargs, values);
	if (SPI_processed == 0)
		return false;
	*trace_id = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
											 &isnull));
	return true;
}

/*
 * The trace of a span; false if there is no such span.  A span is one row, so
 * one that is found near the time in its id need not be looked for elsewhere.
 */
bool
fms_read_trace_of(const pg_uuid_t *span_id, pg_uuid_t *trace_id)
{
	static SPIPlanPtr near_plan = NULL;
	static SPIPlanPtr anywhere_plan = NULL;
	pg_uuid_t	low;
	pg_uuid_t	high;
	TimestampTz made_at;
	Datum		values[5];
	bool		found = false;
	int			level;

	fms_identity_trace_range(span_id, &low, &high);
	values[0] = UUIDPGetDatum(span_id);
	values[1] = UUIDPGetDatum(&low);
	values[2] = UUIDPGetDatum(&high);
	level = fms_read_begin();
	if (fms_identity_trace_time(span_id, &made_at))
	{
		values[3] = TimestampTzGetDatum(made_at - BEFORE_TRACE_US);
		values[4] = TimestampTzGetDatum(made_at + AFTER_TRACE_US);
		found = look_up(&near_plan, find_near, 5, values, trace_id);
	}
	if (!found)
		found = look_up(&anywhere_plan, find_anywhere, 3, values, trace_id);
	fms_read_end(level);
	return found;
}
