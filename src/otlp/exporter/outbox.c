/*-------------------------------------------------------------------------
 *
 * outbox.c
 *	  Which spans are still to be sent to a collector.
 *
 * The transaction that makes a span a finished one, with its start and its
 * end, also puts its key into otlp_outbox: so a span is in there exactly once,
 * whatever fails when.  What comes later for the span, a repeated end, the same
 * span by OTLP once more, an attribute, puts nothing in.  This also ends the
 * circle of an exporter that sends to a receiver of its own database.
 *
 * The exporter takes the key out when the collector has acknowledged the span.
 * It is told at commit.  Nothing is put in while export is off, or where no
 * exporter can run because the library is not preloaded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "otlp/exporter/exporter.h"
#include "otlp/exporter/outbox.h"
#include "table/owner.h"

static const char *const insert_keys =
	"INSERT INTO flowmaestro.otlp_outbox (trace_id, span_id, started_at) "
	"SELECT k.t, k.s, k.at FROM ROWS FROM (unnest($1), unnest($2), unnest($3)) AS k (t, s, at)";

static const char *const retry_refused =
	"WITH taken AS (DELETE FROM flowmaestro.otlp_refused AS r "
	"RETURNING r.trace_id, r.span_id, r.started_at) "
	"INSERT INTO flowmaestro.otlp_outbox (trace_id, span_id, started_at) "
	"SELECT t.trace_id, t.span_id, t.started_at FROM taken AS t";

/* the current transaction put something in */
static bool added = false;

PG_FUNCTION_INFO_V1(fms_retry_refused_spans);

/* Whether finished spans are to be exported. */
bool
fms_outbox_is_on(void)
{
	return fms_control != NULL && fms_otlp_endpoint != NULL && fms_otlp_endpoint[0] != '\0';
}

/*
 * Take the outbox for a transaction.  The writer does not wait for it: the
 * error makes it try the batch again later.
 */
static void
lock_outbox(void)
{
	Oid			outbox = get_relname_relid("otlp_outbox", get_rel_namespace(fms_buffer_table()));

	if (fms_table_waits)
		LockRelationOid(outbox, RowExclusiveLock);
	else if (!ConditionalLockRelationOid(outbox, RowExclusiveLock))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("table \"otlp_outbox\" is locked by another session")));
}

/* Write keys; the arrays are of n trace ids, span ids and starts. */
static void
write_keys(Datum *traces, Datum *spans, Datum *starts, int n)
{
	static SPIPlanPtr plan = NULL;
	FmsOwnerScope scope;
	Oid			types[3] = {UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID};
	Datum		arrays[3];

	arrays[0] = fms_plan_array(traces, n, UUIDOID);
	arrays[1] = fms_plan_array(spans, n, UUIDOID);
	arrays[2] = fms_plan_array(starts, n, TIMESTAMPTZOID);
	lock_outbox();
	fms_table_enter(fms_buffer_table(), &scope);
	(void) fms_plan_run(&plan, insert_keys, 3, types, arrays, NULL);
	fms_table_leave(&scope);
}

/*
 * Put the spans that have just finished into the outbox, in the current
 * (sub)transaction.  Having a ring makes sure that the launcher finds the
 * database after a restart of the server.
 */
void
fms_outbox_add(const FmsSpanState *spans, int count)
{
	Datum	   *keys;
	int			n = 0;

	if (!fms_outbox_is_on() || count == 0)
		return;
	keys = palloc(sizeof(Datum) * 3 * count);
	for (int i = 0; i < count; i++)
	{
		if (!spans[i].finishes)
			continue;
		keys[n] = UUIDPGetDatum(&spans[i].trace_id);
		keys[count + n] = UUIDPGetDatum(&spans[i].span_id);
		keys[2 * count + n] = TimestampTzGetDatum(spans[i].started_at);
		n++;
	}
	if (n > 0)
	{
		write_keys(keys, keys + count, keys + 2 * count, n);
		(void) fms_buffer_attach();
		added = true;
	}
	pfree(keys);
}

/* retry_refused_spans() returns bigint */
Datum
fms_retry_refused_spans(PG_FUNCTION_ARGS)
{
	FmsOwnerScope scope;
	int64		count;

	fms_table_enter(fms_buffer_table(), &scope);
	if (SPI_execute(retry_refused, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not put refused spans into otlp_outbox");
	count = SPI_processed;
	added = added || count > 0;
	fms_table_leave(&scope);
	PG_RETURN_INT64(count);
}

/* A transaction has ended: have sent what it put in, if it committed.  Must not fail. */
void
fms_outbox_at_end(bool committed)
{
	if (added && committed && fms_buffer_slot() != NULL)
		fms_slot_want_exporter(fms_buffer_slot());
	added = false;
}
