/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Differences between PostgreSQL 15 and 19.  The only place that looks at
 *	  PG_VERSION_NUM: everybody else uses the names defined here.
 *
 * Include after postgres.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_COMPAT_H
#define FMS_COMPAT_H

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "common/jsonapi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 160000
#include "common/file_utils.h"	/* PG_TEMP_FILE_PREFIX */
#include "varatt.h"
#else
#include "storage/fd.h"			/* PG_TEMP_FILE_PREFIX */
#endif
#if PG_VERSION_NUM >= 190000
#include "nodes/miscnodes.h"
#include "utils/lsyscache.h"	/* get_database_name */
#else
#include "commands/dbcommands.h"	/* get_database_name */
#endif

#define FMS_VERSION "1.0.0"

#if PG_VERSION_NUM >= 180000
#define FMS_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "flowmaestro_spans", .version = FMS_VERSION)
#else
#define FMS_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* whether the collector reads stderr; a header declares it since 18 */
#if PG_VERSION_NUM < 180000
extern PGDLLIMPORT bool redirection_done;
#endif

/* Whether the current user owns a database. */
static inline bool
fms_owns_database(Oid database)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, GetUserId());
#else
	return pg_database_ownercheck(database, GetUserId());
#endif
}

/*
 * The wait event of a name; servers before 17 know only "Extension".  The
 * caller keeps the result, because a lookup takes a lock.
 */
static inline uint32
fms_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* This backend's number of the running transaction. */
static inline LocalTransactionId
fms_local_transaction(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProc->vxid.lxid;
#else
	return MyProc->lxid;
#endif
}

/* Whether this process has a number by which its transactions are known. */
static inline bool
fms_has_virtual_transaction(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProc != NULL && MyProc->vxid.procNumber != INVALID_PROC_NUMBER;
#else
	return MyProc != NULL && MyProc->backendId != InvalidBackendId;
#endif
}

/* That number. */
static inline int
fms_backend_number(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProc->vxid.procNumber;
#else
	return MyProc->backendId;
#endif
}

/* The index of a table's primary key. */
static inline Oid
fms_primary_key(Relation relation)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(relation, false);
#else
	return RelationGetPrimaryKeyIndex(relation);
#endif
}

/* Begin a scan of an index with a number of keys. */
static inline IndexScanDesc
fms_index_beginscan(Relation table, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 190000
	return index_beginscan(table, index, snapshot, NULL, nkeys, 0, SO_NONE);
#elif PG_VERSION_NUM >= 180000
	return index_beginscan(table, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(table, index, snapshot, nkeys, 0);
#endif
}

/* Begin a scan of a whole table. */
static inline TableScanDesc
fms_table_beginscan(Relation table, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan(table, snapshot, 0, NULL, SO_NONE);
#else
	return table_beginscan(table, snapshot, 0, NULL);
#endif
}

/* The sum of two numbers, in the current memory context; NULL if it is too large. */
static inline Numeric
fms_numeric_add(Numeric a, Numeric b)
{
#if PG_VERSION_NUM >= 190000
	ErrorSaveContext context = {.type = T_ErrorSaveContext};

	return numeric_add_safe(a, b, (Node *) &context);
#else
	bool		too_large = false;
	Numeric		sum = numeric_add_opt_error(a, b, &too_large);

	return too_large ? NULL : sum;
#endif
}

/* A number rounded to an int32; false if it is none that has its range. */
static inline bool
fms_numeric_int32(Numeric number, int32 *rounded)
{
#if PG_VERSION_NUM >= 190000
	ErrorSaveContext context = {.type = T_ErrorSaveContext};

	*rounded = numeric_int4_safe(number, (Node *) &context);
	return !context.error_occurred;
#else
	bool		too_large = false;

	*rounded = numeric_int4_opt_error(number, &too_large);
	return !too_large;
#endif
}

/* Memory for the "extra" of a setting; NULL if there is none left. */
static inline void *
fms_guc_malloc(size_t size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

/* Give it back. */
static inline void
fms_guc_free(void *memory)
{
#if PG_VERSION_NUM >= 160000
	guc_free(memory);
#else
	free(memory);
#endif
}

/* What an action of the JSON parser returns. */
#if PG_VERSION_NUM >= 160000
typedef JsonParseErrorType FmsJsonResult;
#define FMS_JSON_GO_ON JSON_SUCCESS
#else
typedef void FmsJsonResult;
#define FMS_JSON_GO_ON
#endif

/* The lexer of a JSON text in the server's encoding, in the current memory context. */
static inline JsonLexContext *
fms_json_lexer(const char *json, size_t length)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, json, length, GetDatabaseEncoding(), true);
#else
	return makeJsonLexContextCstringLen(unconstify(char *, json), (int) length,
										GetDatabaseEncoding(), true);
#endif
}

/* A jsonb under construction; all zero at the beginning. */
#if PG_VERSION_NUM >= 190000
typedef JsonbInState FmsJsonbState;
#else
typedef struct FmsJsonbState
{
	JsonbValue *result;			/* the whole, once it is complete */
	JsonbParseState *parseState;
} FmsJsonbState;
#endif

/* Add a token to it, or a value that is not copied. */
static inline void
fms_jsonb_push(FmsJsonbState *state, JsonbIteratorToken token, JsonbValue *value)
{
#if PG_VERSION_NUM >= 190000
	pushJsonbValue(state, token, value);
#else
	state->result = pushJsonbValue(&state->parseState, token, value);
#endif
}

#endif							/* FMS_COMPAT_H */
