/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  The table flowmaestro.json_schemas: documents that schemas refer to.
 *
 * It is read as catalogs are: what is committed now counts, not what the
 * query's snapshot shows, because a compiled program outlives the query.  A
 * trigger on the table invalidates its relcache entry in every backend when a
 * transaction that changed it commits.  The backend counts these, and the cache
 * of programs drops what was made at another count.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "schema/registry.h"

#define ID_COLUMN 1
#define SCHEMA_COLUMN 2

uint64		fms_registry_generation = 0;

static Oid	registry = InvalidOid;

/*
 * The registry, or everything, has changed; called by the front door while
 * invalidation messages are processed.
 */
void
fms_registry_relation_changed(Oid relation)
{
	if (relation == registry || !OidIsValid(relation))
	{
		registry = InvalidOid;
		fms_registry_generation++;
	}
}

/* Check that the caller may read the registry. */
static void
check_privilege(void)
{
	AclResult	result = pg_class_aclcheck(registry, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, "json_schemas");
}

/*
 * The document of an id, NULL if there is none; allocated in the current
 * memory context.  An id may be stored with an empty fragment behind.
 */
static Jsonb *
read_document_id(Relation relation, const char *id)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Jsonb	   *schema = NULL;

	ScanKeyInit(&key, ID_COLUMN, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(id));
	key.sk_collation = C_COLLATION_OID;
	scan = systable_beginscan(relation, fms_primary_key(relation), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		is_null;
		Datum		datum = heap_getattr(tuple, SCHEMA_COLUMN, RelationGetDescr(relation),
										 &is_null);

		if (!is_null)
			schema = DatumGetJsonbPCopy(datum);
	}
	systable_endscan(scan);
	return schema;
}

/* The document of a URI, NULL if the registry has none. */
Jsonb *
fms_registry_read(const char *uri)
{
	Relation	relation;
	Jsonb	   *schema;

	if (!OidIsValid(registry))
		registry = get_relname_relid("json_schemas", get_namespace_oid("flowmaestro", false));
	if (!OidIsValid(registry))
		return NULL;
	relation = table_open(registry, AccessShareLock);
	check_privilege();
	schema = read_document_id(relation, uri);
	if (schema == NULL)
		schema = read_document_id(relation, psprintf("%s#", uri));
	table_close(relation, AccessShareLock);
	return schema;
}

PG_FUNCTION_INFO_V1(fms_json_schemas_changed);

/* Trigger of the registry: let every backend know when this commits. */
Datum
fms_json_schemas_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"json_schemas_changed\" was not called as a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
