/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Access to execution_spans, whoever the caller is.
 *
 * Recording functions are for roles that can't read or write the table, and
 * the writer is a superuser who must not run what others define.  So every
 * statement on a span table runs as that table's owner, in a
 * security-restricted context and with a fixed search_path.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "table/owner.h"

bool		fms_table_waits = true;

/* The text of a status, as in the column. */
const char *
fms_table_status(FmsStatus status)
{
	static const char *const names[] = {"started", "completed", "failed", "cancelled"};

	return names[status];
}

/* The status of a text of the column. */
FmsStatus
fms_table_parse_status(const char *name)
{
	for (int s = FMS_STATUS_COMPLETED; s <= FMS_STATUS_CANCELLED; s++)
	{
		if (strcmp(name, fms_table_status(s)) == 0)
			return (FmsStatus) s;
	}
	return FMS_STATUS_STARTED;
}

/* A part as a text datum; an absent part is the empty text. */
Datum
fms_table_text(const FmsPart *part)
{
	return PointerGetDatum(cstring_to_text_with_len(part->data == NULL ? "" : part->data,
													part->length));
}

/* A text column as a part, copied to the current memory context; data is never NULL. */
FmsPart
fms_table_part(Datum value, bool isnull)
{
	FmsPart		part = {"", 0};

	if (!isnull)
	{
		part.data = TextDatumGetCString(value);
		part.length = strlen(part.data);
	}
	return part;
}

/* The owner of a relation; raises an error if it is gone. */
static Oid
owner_of(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relation)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Set a parameter until the scope in which it is set is left. */
void
fms_table_set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * Have statements that look many keys up planned to do so in an index, whatever
 * the statistics say, until the scope is left: a plan is kept while its table
 * grows from nothing.
 */
void
fms_table_plan_by_key(void)
{
	static const char *const planning[][2] = {
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_material", "off"},
		{"enable_nestloop", "on"},
		{"enable_indexscan", "on"},
		{"jit", "off"},
	};

	for (int i = 0; i < lengthof(planning); i++)
		fms_table_set(planning[i][0], planning[i][1]);
}

/*
 * Become the owner of a relation and connect to SPI.  If an error ends the
 * scope, the end of the (sub)transaction undoes it.
 */
void
fms_table_enter(Oid relation, FmsOwnerScope *scope)
{
	Oid			owner = owner_of(relation);

	GetUserIdAndSecContext(&scope->user, &scope->security_context);
	SetUserIdAndSecContext(owner, scope->security_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = NewGUCNestLevel();
	fms_table_set("search_path", "pg_catalog, pg_temp");
	SPI_connect();
}

/* Undo fms_table_enter. */
void
fms_table_leave(FmsOwnerScope *scope)
{
	SPI_finish();
	AtEOXact_GUC(true, scope->guc_level);
	SetUserIdAndSecContext(scope->user, scope->security_context);
}

/*
 * Run a piece of work that throws in a subtransaction.  Returns NULL, or the
 * error, copied to the current memory context, that undid it.
 */
ErrorData *
fms_table_try(void (*work) (void *), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/* Whether an error has to reach the caller, whose transaction or session it ends. */
bool
fms_table_is_callers(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TRANSACTION_ROLLBACK || category == ERRCODE_OPERATOR_INTERVENTION;
}

/*
 * Run a look-up on what is committed now, whatever the caller's snapshot;
 * returns the number of rows.
 */
uint64
fms_table_select(SPIPlanPtr plan, Datum *values)
{
	int			rc = SPI_execute_snapshot(plan, values, NULL, GetLatestSnapshot(),
										  InvalidSnapshot, true, false, 0);

	if (rc != SPI_OK_SELECT)
		elog(ERROR, "look-up of spans failed: %s", SPI_result_code_string(rc));
	return SPI_processed;
}
