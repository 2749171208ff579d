/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  A span's row by its id alone, in as few partitions as can be.
 *
 * An id that begins like a UUIDv7 trace id tells about when its span started:
 * its row is looked for in the partitions around that time.  Two forms of ids
 * do not tell: those of a span that started far from the time in its trace id,
 * or whose trace id has no time (far), and those that do not begin like their
 * trace's (foreign).  They have to be looked for in every partition, whose
 * planning alone takes milliseconds when there are hundreds.  So the first
 * row of such a form is noted in span_id_forms, in the transaction that
 * writes it, and a look-up searches only for the forms that are there.
 *
 * A form that is noted stays: what it costs is time, not truth.  The table has
 * no key, so that two transactions that note the same form do not wait for
 * each other; a form can be in it twice.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "span/identity.h"
#include "writer/lookup.h"
#include "writer/table.h"

/* a span usually starts within these of the time in its trace id */
#define BEFORE_TRACE_US USECS_PER_DAY
#define AFTER_TRACE_US (2 * USECS_PER_DAY)

/* the forms of ids that do not tell where their row is, as bits */
#define FORM_FAR 0x01
#define FORM_FOREIGN 0x02
#define FORMS 2

#define SPAN_COLUMNS \
	"SELECT s.trace_id, s.parent_span_id, s.started_at, " \
	"s.status OPERATOR(pg_catalog.<>) 'started', s.name OPERATOR(pg_catalog.=) '' " \
	"FROM flowmaestro.execution_spans AS s " \
	"WHERE s.span_id OPERATOR(pg_catalog.=) $1 "

#define IN_TRACE_RANGE \
	"AND s.trace_id OPERATOR(pg_catalog.>=) $2 AND s.trace_id OPERATOR(pg_catalog.<=) $3 "

/* as in the index for ids that do not begin like their trace's */
#define IS_FOREIGN \
	"AND pg_catalog.substr(pg_catalog.uuid_send(s.span_id), 1, 8) OPERATOR(pg_catalog.<>) " \
	"pg_catalog.substr(pg_catalog.uuid_send(s.trace_id), 1, 8) "

/* a row with a start comes before a stub */
#define BEST_FIRST "ORDER BY 5 LIMIT 1"

/* near the time in the id: planning and locking touch few partitions */
static const char *const find_near =
	SPAN_COLUMNS IN_TRACE_RANGE
	"AND s.started_at OPERATOR(pg_catalog.>=) $4 AND s.started_at OPERATOR(pg_catalog.<) $5 "
	BEST_FIRST;

/* everywhere, by the forms that are there */
static const char *const find_everywhere[1 << FORMS] = {
	[FORM_FAR] = SPAN_COLUMNS IN_TRACE_RANGE BEST_FIRST,
	[FORM_FOREIGN] = SPAN_COLUMNS IS_FOREIGN BEST_FIRST,
	[FORM_FAR | FORM_FOREIGN] = SPAN_COLUMNS IN_TRACE_RANGE "UNION ALL " SPAN_COLUMNS IS_FOREIGN
	BEST_FIRST
};

static const char *const form_names[FORMS] = {"far", "foreign"};

static const char *const read_forms = "SELECT f.form FROM flowmaestro.span_id_forms AS f";

static const char *const note_form =
	"INSERT INTO flowmaestro.span_id_forms (form) VALUES ($1)";

static Oid	look_up_types[] = {UUIDOID, UUIDOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID};

/* The forms that the table has, as bits.  The caller has entered a table of ours. */
static int
forms_there(void)
{
	static SPIPlanPtr plan = NULL;
	uint64		count = fms_table_select(fms_table_prepared(&plan, read_forms, 0, NULL), NULL);
	int			forms = 0;

	for (uint64 i = 0; i < count; i++)
	{
		char	   *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		for (int f = 0; f < FORMS; f++)
		{
			if (name != NULL && strcmp(name, form_names[f]) == 0)
				forms |= 1 << f;
		}
	}
	return forms;
}

/* Tell what the first row of a look-up says. */
static void
read_row(FmsSpanRef *ref)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	bool		isnull;
	Datum		parent;

	ref->trace_id = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	parent = SPI_getbinval(row, desc, 2, &isnull);
	ref->has_parent = !isnull;
	if (!isnull)
		ref->parent_span_id = *DatumGetUUIDP(parent);
	ref->started_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 3, &isnull));
	ref->ended = DatumGetBool(SPI_getbinval(row, desc, 4, &isnull));
	ref->stub = DatumGetBool(SPI_getbinval(row, desc, 5, &isnull));
	ref->in_ring = false;
}

/*
 * What the row of a span says; false if there is none.  The caller has
 * entered the table.
 */
static bool
find_row(const pg_uuid_t *span_id, FmsSpanRef *ref)
{
	static SPIPlanPtr near_plan = NULL;
	static SPIPlanPtr everywhere_plans[1 << FORMS];
	pg_uuid_t	low;
	pg_uuid_t	high;
	TimestampTz made_at;
	Datum		values[5];
	bool		found = false;
	int			forms;

	fms_identity_trace_range(span_id, &low, &high);
	values[0] = UUIDPGetDatum(span_id);
	values[1] = UUIDPGetDatum(&low);
	values[2] = UUIDPGetDatum(&high);
	if (fms_identity_trace_time(span_id, &made_at))
	{
		values[3] = TimestampTzGetDatum(made_at - BEFORE_TRACE_US);
		values[4] = TimestampTzGetDatum(made_at + AFTER_TRACE_US);
		found = fms_table_select(fms_table_prepared(&near_plan, find_near, 5, look_up_types),
								 values) > 0;
	}
	if (!found)
	{
		forms = forms_there();
		found = forms != 0 &&
			fms_table_select(fms_table_prepared(&everywhere_plans[forms], find_everywhere[forms],
												3, look_up_types), values) > 0;
	}
	if (found)
		read_row(ref);
	return found;
}

/* What the row of a span says; false if there is none. */
bool
fms_lookup_span(const pg_uuid_t *span_id, FmsSpanRef *ref)
{
	FmsOwnerScope scope;
	bool		found;

	fms_table_enter(fms_buffer_table(), &scope);
	found = find_row(span_id, ref);
	fms_table_leave(&scope);
	return found;
}

/* The form of a row's id, or 0 if it tells where the row is. */
static int
form_of(const FmsRow *row)
{
	pg_uuid_t	low;
	pg_uuid_t	high;
	TimestampTz made_at;

	fms_identity_trace_range(&row->span_id, &low, &high);
	if (memcmp(&row->trace_id, &low, UUID_LEN) < 0 || memcmp(&row->trace_id, &high, UUID_LEN) > 0)
		return FORM_FOREIGN;
	if (fms_identity_trace_time(&row->span_id, &made_at) &&
		row->started_at >= made_at - BEFORE_TRACE_US && row->started_at < made_at + AFTER_TRACE_US)
		return 0;
	return FORM_FAR;
}

/*
 * Note the forms of the ids of rows that are about to be written, in the
 * current transaction.
 */
void
fms_lookup_note_forms(FmsRow **rows, int count)
{
	FmsOwnerScope scope;
	Oid			types[1] = {TEXTOID};
	int			forms = 0;

	for (int i = 0; i < count; i++)
		forms |= form_of(rows[i]);
	if (forms == 0)
		return;
	fms_table_enter(get_relname_relid("span_id_forms", get_rel_namespace(fms_buffer_table())), &scope);
	forms &= ~forms_there();
	for (int f = 0; f < FORMS; f++)
	{
		Datum		value = CStringGetTextDatum(form_names[f]);

		if ((forms & (1 << f)) != 0 &&
			SPI_execute_with_args(note_form, 1, types, &value, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not note the form of a span id");
	}
	fms_table_leave(&scope);
}
