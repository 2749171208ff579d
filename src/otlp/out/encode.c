/*-------------------------------------------------------------------------
 *
 * encode.c
 *	  Spans as a request of OTLP (ExportTraceServiceRequest).
 *
 * A request lists spans by resource and scope.  Each scope has a wire of its
 * own that spans are appended to as they come; at the end the wires are put
 * together, with the resources and scopes from their tables.  Spans that were
 * made in SQL have a resource and a scope of ours, and spans whose scope is not
 * in the table have empty ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "otlp/jfield.h"
#include "otlp/out/attribute.h"
#include "otlp/out/encode.h"
#include "otlp/out/encode_span.h"
#include "span/identity.h"
#include "span/jsonb.h"
#include "span/plan.h"

#define SCOPE_NAME "flowmaestro_spans"

/* fields of the messages */
static const FmsField request_resource_spans = {1, "resourceSpans"};
static const FmsField resource_spans_resource = {1, "resource"};
static const FmsField resource_spans_scope_spans = {2, "scopeSpans"};
static const FmsField any_spans_schema_url = {3, "schemaUrl"};
static const FmsField resource_attributes = {1, "attributes"};
static const FmsField resource_dropped = {2, "droppedAttributesCount"};
static const FmsField resource_entity_refs = {3, "entityRefs"};
static const FmsField entity_schema_url = {1, "schemaUrl"};
static const FmsField entity_type = {2, "type"};
static const FmsField entity_id_keys = {3, "idKeys"};
static const FmsField entity_description_keys = {4, "descriptionKeys"};
static const FmsField scope_spans_scope = {1, "scope"};
static const FmsField scope_spans_spans = {2, "spans"};
static const FmsField scope_name = {1, "name"};
static const FmsField scope_version = {2, "version"};
static const FmsField scope_attributes = {3, "attributes"};
static const FmsField scope_dropped = {4, "droppedAttributesCount"};

static const char *const find_scopes =
	"SELECT c.id, c.resource_id, c.name, c.version, c.attributes, c.otlp, r.attributes, r.otlp "
	"FROM flowmaestro.otlp_scopes AS c LEFT JOIN flowmaestro.otlp_resources AS r "
	"ON r.id OPERATOR(pg_catalog.=) c.resource_id "
	"WHERE c.id OPERATOR(pg_catalog.=) ANY ($1) ORDER BY c.resource_id, c.id";

/* the spans of a scope; the nil id is ours */
typedef struct Scope
{
	pg_uuid_t	id;
	bool		written;		/* into the request */
	FmsWire		spans;
} Scope;

struct FmsOtlpEncoder
{
	MemoryContext context;
	MemoryContext row_context;	/* of what a span needs while it is written */
	HTAB	   *scopes;
	Size		size;			/* of all spans */
	bool		json;
};

/* A setting: service.name of the spans made in SQL; empty: the database's name. */
static char *service_name = NULL;	/* GUC */

/* Settings of what goes out; called once, when the library is loaded. */
void
fms_otlp_encode_define_settings(void)
{
	DefineCustomStringVariable("flowmaestro.service_name",
							   "Attribute service.name of exported spans that were recorded from SQL.",
							   "Empty: the name of the database.",
							   &service_name, "", PGC_SUSET, 0, NULL, NULL, NULL);
}

/*
 * Begin a request.  The encoder lives in the current memory context, and so does
 * the request; a context below it holds what one span needs and is emptied after
 * each.
 */
FmsOtlpEncoder *
fms_otlp_encode_begin(bool json)
{
	FmsOtlpEncoder *encoder = palloc0(sizeof(FmsOtlpEncoder));
	HASHCTL		ctl = {0};

	encoder->context = CurrentMemoryContext;
	encoder->row_context = AllocSetContextCreate(CurrentMemoryContext, "OTLP span",
												 ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(Scope);
	ctl.hcxt = CurrentMemoryContext;
	encoder->scopes = hash_create("OTLP scopes", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	encoder->json = json;
	return encoder;
}

/* The scope of an id, made if it is new.  A pointer to it stays good: dynahash moves nothing. */
static Scope *
get_scope(FmsOtlpEncoder *encoder, const pg_uuid_t *id)
{
	bool		found;
	Scope	   *scope = hash_search(encoder->scopes, id, HASH_ENTER, &found);
	MemoryContext old;

	if (!found)
	{
		old = MemoryContextSwitchTo(encoder->context);
		fms_wire_init(&scope->spans, encoder->json);
		MemoryContextSwitchTo(old);
		scope->written = false;
	}
	return scope;
}

/*
 * Add a span: the columns of FMS_OTLP_COLUMNS.  Its values are not needed any
 * more then.  Raises an error above 1 GB, and none for whatever is in a row.
 */
void
fms_otlp_encode_span(FmsOtlpEncoder *encoder, const Datum *values, const bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(encoder->row_context);
	pg_uuid_t	id = fms_encode_scope(values, nulls);
	FmsWire    *wire = &get_scope(encoder, &id)->spans;
	int			before = wire->out.len;

	CHECK_FOR_INTERRUPTS();
	fms_encode_span(wire, values, nulls);
	encoder->size += wire->out.len - before;
	MemoryContextSwitchTo(old);
	MemoryContextReset(encoder->row_context);
}

/* Bytes of the spans so far; a request is a little larger. */
Size
fms_otlp_encode_size(const FmsOtlpEncoder *encoder)
{
	return encoder->size;
}

/* The entities of a resource: an array of objects.  Their texts never have raw copies. */
static void
write_entities(FmsWire *wire, JsonbContainer *list)
{
	JsonbIterator *iterator;
	JsonbValue	entity;

	if (list == NULL || !JsonContainerIsArray(list))
		return;
	fms_wire_begin_list(wire, &resource_entity_refs);
	iterator = JsonbIteratorInit(list);
	(void) JsonbIteratorNext(&iterator, &entity, true);
	while (JsonbIteratorNext(&iterator, &entity, true) == WJB_ELEM)
	{
		JsonbContainer *members = entity.type == jbvBinary ? entity.val.binary.data : NULL;
		int			begun = fms_wire_begin_element(wire, &resource_entity_refs);

		fms_write_member_text(wire, &entity_schema_url, members, "schema_url");
		fms_write_member_text(wire, &entity_type, members, "type");
		fms_write_member_texts(wire, &entity_id_keys, members, "id_keys");
		fms_write_member_texts(wire, &entity_description_keys, members, "description_keys");
		fms_wire_end(wire, begun);
	}
	fms_wire_end_list(wire);
}

/* The attributes of a resource or scope, from two columns that can be NULL. */
static void
write_attributes(FmsWire *wire, const FmsField *field, JsonbContainer *attributes,
				 JsonbContainer *otlp)
{
	fms_write_attributes(wire, field, attributes,
						 fms_jfield_container(fms_jfield_container(otlp, "raw"), "attributes"));
}

/*
 * Write a resource, if it says anything.  That OTLP tells a resource that is not
 * there from an empty one has no meaning, and is not kept.
 */
static void
write_resource(FmsWire *wire, JsonbContainer *attributes, JsonbContainer *otlp)
{
	int			begun;

	if (otlp == NULL && (attributes == NULL || JsonContainerSize(attributes) == 0))
		return;
	begun = fms_wire_begin(wire, &resource_spans_resource);
	write_attributes(wire, &resource_attributes, attributes, otlp);
	fms_write_member_count(wire, &resource_dropped, otlp, "dropped_attributes");
	write_entities(wire, fms_jfield_container(otlp, "entity_refs"));
	fms_wire_end(wire, begun);
}

/* a scope as a row of find_scopes has it */
typedef struct ScopeRow
{
	pg_uuid_t	id;
	pg_uuid_t	resource_id;
	FmsPart		name;
	FmsPart		version;
	JsonbContainer *attributes; /* this and what follows can be NULL */
	JsonbContainer *otlp;
	JsonbContainer *resource_attributes;
	JsonbContainer *resource_otlp;
} ScopeRow;

/* Write a scope, if it says anything. */
static void
write_scope(FmsWire *wire, const ScopeRow *scope)
{
	JsonbContainer *raw = fms_jfield_container(scope->otlp, "raw");
	int			begun;

	if (scope->name.length == 0 && scope->version.length == 0 && scope->otlp == NULL &&
		(scope->attributes == NULL || JsonContainerSize(scope->attributes) == 0))
		return;
	begun = fms_wire_begin(wire, &scope_spans_scope);
	fms_write_text(wire, &scope_name, raw, "name", scope->name.data, scope->name.length);
	fms_write_text(wire, &scope_version, raw, "version", scope->version.data,
				   scope->version.length);
	write_attributes(wire, &scope_attributes, scope->attributes, scope->otlp);
	fms_write_member_count(wire, &scope_dropped, scope->otlp, "dropped_attributes");
	fms_wire_end(wire, begun);
}

/* Write a scope with its spans. */
static void
write_scope_spans(FmsWire *wire, const ScopeRow *scope, Scope *spans)
{
	int			begun = fms_wire_begin_element(wire, &resource_spans_scope_spans);

	write_scope(wire, scope);
	fms_wire_begin_list(wire, &scope_spans_spans);
	fms_wire_append(wire, &spans->spans);
	fms_wire_end_list(wire);
	fms_write_member_text(wire, &any_spans_schema_url, scope->otlp, "schema_url");
	fms_wire_end(wire, begun);
	spans->written = true;
	/* of a large request one copy is enough */
	pfree(spans->spans.out.data);
}

/*
 * Write a resource with "count" scopes of it.  All of them have the same
 * resource: the first tells it.
 */
static void
write_resource_spans(FmsWire *wire, FmsOtlpEncoder *encoder, const ScopeRow *scopes, int count)
{
	int			begun = fms_wire_begin_element(wire, &request_resource_spans);

	write_resource(wire, scopes->resource_attributes, scopes->resource_otlp);
	fms_wire_begin_list(wire, &resource_spans_scope_spans);
	for (int i = 0; i < count; i++)
		write_scope_spans(wire, &scopes[i], get_scope(encoder, &scopes[i].id));
	fms_wire_end_list(wire);
	fms_write_member_text(wire, &any_spans_schema_url, scopes->resource_otlp, "schema_url");
	fms_wire_end(wire, begun);
}

/* A column of the row of a scope. */
static Datum
scope_column(int row, int n, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, n, isnull);
}

/* A text of the row of a scope. */
static FmsPart
text_of(int row, int n)
{
	bool		isnull;
	text	   *value = DatumGetTextPP(scope_column(row, n, &isnull));

	return FMS_TEXT_PART(value);
}

/* A jsonb of the row of a scope, or NULL. */
static JsonbContainer *
jsonb_of(int row, int n)
{
	bool		isnull;
	Datum		value = scope_column(row, n, &isnull);

	return isnull ? NULL : &DatumGetJsonbP(value)->root;
}

/* Read a row of find_scopes. */
static void
read_scope_row(int row, ScopeRow *scope)
{
	bool		isnull;

	scope->id = *DatumGetUUIDP(scope_column(row, 1, &isnull));
	scope->resource_id = *DatumGetUUIDP(scope_column(row, 2, &isnull));
	scope->name = text_of(row, 3);
	scope->version = text_of(row, 4);
	scope->attributes = jsonb_of(row, 5);
	scope->otlp = jsonb_of(row, 6);
	scope->resource_attributes = jsonb_of(row, 7);
	scope->resource_otlp = jsonb_of(row, 8);
}

/* The ids of all scopes that have spans, as an array. */
static Datum
scope_ids(FmsOtlpEncoder *encoder)
{
	HASH_SEQ_STATUS status;
	Scope	   *scope;
	int			count = 0;
	Datum	   *ids = palloc(sizeof(Datum) * (hash_get_num_entries(encoder->scopes) + 1));

	hash_seq_init(&status, encoder->scopes);
	while ((scope = hash_seq_search(&status)) != NULL)
		ids[count++] = UUIDPGetDatum(&scope->id);
	return fms_plan_array(ids, count, UUIDOID);
}

/*
 * The scopes that the tables have, those of a resource side by side.  It is one
 * look-up for the request: a join to each span would read a resource as often as
 * it has spans.  What the rows point at lies in SPI's memory.
 */
static ScopeRow *
find_scope_rows(FmsOtlpEncoder *encoder, int *count)
{
	Oid			types[1] = {UUIDARRAYOID};
	Datum		values[1] = {scope_ids(encoder)};
	ScopeRow   *rows;
	int			rc = SPI_execute_with_args(find_scopes, 1, types, values, NULL, true, 0);

	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	rows = palloc(sizeof(ScopeRow) * Max(SPI_processed, 1));
	*count = (int) SPI_processed;
	for (int i = 0; i < *count; i++)
		read_scope_row(i, &rows[i]);
	return rows;
}

/*
 * A scope and a resource of ours, for spans that were made in SQL.  A resource
 * has to have a service.name: backends sort by it.
 */
static void
own_scope(ScopeRow *scope)
{
	FmsJsonbState state = {0};
	const char *named = service_name != NULL && service_name[0] != '\0' ?
		service_name : get_database_name(MyDatabaseId);

	memset(scope, 0, sizeof(*scope));
	scope->name.data = SCOPE_NAME;
	scope->name.length = strlen(SCOPE_NAME);
	scope->version.data = FMS_VERSION;
	scope->version.length = strlen(FMS_VERSION);
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_string(&state, "service.name", named);
	scope->resource_attributes = &fms_jsonb_end(&state, WJB_END_OBJECT)->root;
}

/*
 * Write the spans of other scopes: ours, and those that have no row because
 * somebody deleted it or the table refused it.  Their spans are worth more than
 * an error.
 */
static void
write_other_scopes(FmsWire *wire, FmsOtlpEncoder *encoder)
{
	HASH_SEQ_STATUS status;
	Scope	   *scope;

	hash_seq_init(&status, encoder->scopes);
	while ((scope = hash_seq_search(&status)) != NULL)
	{
		ScopeRow	other = {0};

		if (scope->written)
			continue;
		if (fms_identity_is_nil(&scope->id))
			own_scope(&other);
		other.id = scope->id;
		write_resource_spans(wire, encoder, &other, 1);
	}
}

/*
 * The request, in the context of the encoder, which is of no use after it.  The
 * caller is connected to SPI and has a snapshot.
 */
StringInfo
fms_otlp_encode_finish(FmsOtlpEncoder *encoder)
{
	FmsWire    *wire = MemoryContextAlloc(encoder->context, sizeof(FmsWire));
	MemoryContext old = MemoryContextSwitchTo(encoder->context);
	ScopeRow   *rows;
	int			count;
	int			next;

	fms_wire_init(wire, encoder->json);
	MemoryContextSwitchTo(encoder->row_context);
	rows = find_scope_rows(encoder, &count);
	fms_wire_begin_document(wire);
	fms_wire_begin_list(wire, &request_resource_spans);
	for (int i = 0; i < count; i = next)
	{
		next = i + 1;
		while (next < count &&
			   memcmp(&rows[i].resource_id, &rows[next].resource_id, UUID_LEN) == 0)
			next++;
		write_resource_spans(wire, encoder, &rows[i], next - i);
	}
	write_other_scopes(wire, encoder);
	fms_wire_end_list(wire);
	fms_wire_end_document(wire);
	MemoryContextSwitchTo(old);
	MemoryContextReset(encoder->row_context);
	return &wire->out;
}
