/*-------------------------------------------------------------------------
 *
 * otlp_source.c
 *	  Resources and scopes of OTLP, each stored once.
 *
 * A span names its scope by an id that is a hash of the scope, and the scope
 * its resource.  Both come through the ring before the first span that names
 * them, and again now and then: who sends them need not know what the tables
 * hold, and a row that is there stays.  They are written in the transaction
 * that writes the spans.
 *
 * A row that the table refuses is lost and told in the log; its spans are not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "table/otlp_source.h"
#include "table/owner.h"
#include "table/reject.h"

#define MAX_ARGUMENTS 6

static const char *const insert_resource =
	"INSERT INTO flowmaestro.otlp_resources (id, attributes, otlp) VALUES ($1, $2, $3) "
	"ON CONFLICT (id) DO NOTHING";

static const char *const insert_scope =
	"INSERT INTO flowmaestro.otlp_scopes (id, attributes, otlp, resource_id, name, version) "
	"VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING";

/* A jsonb part as an argument, or null. */
static void
put_source_jsonb(Datum *values, char *nulls, int n, const FmsPart *part)
{
	values[n] = PointerGetDatum(part->data);
	nulls[n] = part->data == NULL ? 'n' : ' ';
}

/* Write one resource or scope, an FmsEvent, as the tables' owner. */
static void
insert_source(void *arg)
{
	const FmsEvent *source = arg;
	Oid			types[MAX_ARGUMENTS] = {UUIDOID, JSONBOID, JSONBOID, UUIDOID, TEXTOID, TEXTOID};
	Datum		values[MAX_ARGUMENTS];
	char		nulls[MAX_ARGUMENTS];
	bool		scope = source->kind == FMS_EVENT_SCOPE;
	FmsOwnerScope owner;

	fms_table_enter(get_relname_relid(scope ? "otlp_scopes" : "otlp_resources",
									  get_rel_namespace(fms_buffer_table())), &owner);
	memset(nulls, ' ', sizeof(nulls));
	values[0] = UUIDPGetDatum(&source->span_id);
	put_source_jsonb(values, nulls, 1, &source->part[FMS_PART_ATTRIBUTES]);
	put_source_jsonb(values, nulls, 2, &source->part[FMS_PART_OTLP]);
	values[3] = UUIDPGetDatum(&source->parent_span_id);
	values[4] = fms_table_text(&source->part[FMS_PART_NAME]);
	values[5] = fms_table_text(&source->part[FMS_PART_TYPE]);
	if (SPI_execute_with_args(scope ? insert_scope : insert_resource, scope ? 6 : 3, types,
							  values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write an OTLP resource or scope");
	fms_table_leave(&owner);
}

/* Write one resource or scope in a subtransaction; an error of its own is logged. */
static void
write_source(FmsEvent *source)
{
	ErrorData  *error = fms_table_try(insert_source, source);

	if (error == NULL)
		return;
	if (fms_reject_is_transient(error))
		ReThrowError(error);
	fms_slot_count(fms_buffer_slot(), FMS_DROPPED, 1);
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("could not store an OTLP resource or scope: %s", error->message)));
	FreeErrorData(error);
}

/* Write a list of FmsEvent, resources and scopes, in the current transaction. */
void
fms_source_write(List *sources)
{
	ListCell   *cell;

	foreach(cell, sources)
	{
		CHECK_FOR_INTERRUPTS();
		write_source(lfirst(cell));
	}
}
