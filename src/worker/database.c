/*-------------------------------------------------------------------------
 *
 * database.c
 *	  Statements that want a database for themselves.
 *
 * DROP DATABASE, CREATE DATABASE with a template, ALTER DATABASE RENAME and
 * SET TABLESPACE fail while anybody is connected, and our writer and exporter
 * are.  So they are sent away first and wanted again afterwards; what waits in
 * the ring stays there.  A dropped database's ring and slot go with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "buffer/file.h"
#include "buffer/tracked.h"
#include "worker/database.h"

#define LEAVE_MS 5000			/* a worker is given to leave */

static ProcessUtility_hook_type previous_hook = NULL;

/* The database that a statement wants for itself, or InvalidOid. */
static Oid
database_of(Node *statement)
{
	const char *name = NULL;
	ListCell   *cell;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			name = ((DropdbStmt *) statement)->dbname;
			break;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				name = ((RenameStmt *) statement)->subname;
			break;
		case T_AlterDatabaseStmt:
			foreach(cell, ((AlterDatabaseStmt *) statement)->options)
			{
				if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
					name = ((AlterDatabaseStmt *) statement)->dbname;
			}
			break;
		case T_CreatedbStmt:
			name = "template1";
			foreach(cell, ((CreatedbStmt *) statement)->options)
			{
				DefElem    *option = lfirst(cell);

				if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
					name = defGetString(option);
			}
			break;
		default:
			break;
	}
	return name == NULL ? InvalidOid : get_database_oid(name, true);
}

/* Whether the current user may make databases. */
static bool
may_create_databases(void)
{
	HeapTuple	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool		may = superuser();

	if (HeapTupleIsValid(role))
	{
		may = may || ((Form_pg_authid) GETSTRUCT(role))->rolcreatedb;
		ReleaseSysCache(role);
	}
	return may;
}

/*
 * The slot to suspend for a statement, or NULL.  Who may not run the statement
 * must not disturb the writer either; a copy is allowed to more than the owner,
 * and costs the template's writer a moment only.
 */
static FmsSlot *
slot_to_suspend(Node *statement, Oid *database)
{
	*database = database_of(statement);
	if (!OidIsValid(*database))
		return NULL;
	if (!fms_owns_database(*database) && !(IsA(statement, CreatedbStmt) && may_create_databases()))
		return NULL;
	return fms_slot_find(*database, false);
}

/* Let workers start again. */
static void
resume(int code, Datum arg)
{
	FmsSlot    *slot = (FmsSlot *) DatumGetPointer(arg);

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	slot->suspended--;
	LWLockRelease(slot->lock);
	fms_slot_want_all(slot);
	fms_slot_wake_launcher();
}

/* Send the workers away and wait until they are gone, or did not go in time. */
static void
wait_until_left(FmsSlot *slot)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LEAVE_MS);
	uint32		wait_event = fms_wait_event("FlowmaestroWriterLeave");

	ConditionVariablePrepareToSleep(&slot->changed);
	while (fms_slot_wake(slot) && GetCurrentTimestamp() < until)
		(void) ConditionVariableTimedSleep(&slot->changed, 100, wait_event);
	ConditionVariableCancelSleep();
}

/* Suspend a slot's workers; resume() undoes it. */
static void
suspend(FmsSlot *slot)
{
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	slot->suspended++;
	LWLockRelease(slot->lock);
}

/* A database is gone: so are its ring and what memory knew of it. */
static void
forget_database(Oid database)
{
	fms_file_remove(database);
	fms_tracked_purge(database, InvalidOid);
	fms_slot_free(database);
}

/* Run a statement with the next hook. */
static void
run_next(PlannedStmt *pstmt, const char *query, bool read_only, ProcessUtilityContext context,
		 ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		 QueryCompletion *completion)
{
	if (previous_hook != NULL)
		previous_hook(pstmt, query, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params, environment, dest,
								completion);
}

/* The hook: suspend the workers around the statements above. */
static void
database_utility(PlannedStmt *pstmt, const char *query, bool read_only,
				 ProcessUtilityContext context, ParamListInfo params,
				 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	Oid			database;
	FmsSlot    *slot = slot_to_suspend(pstmt->utilityStmt, &database);
	bool		is_drop = IsA(pstmt->utilityStmt, DropdbStmt);

	if (slot == NULL)
	{
		run_next(pstmt, query, read_only, context, params, environment, dest, completion);
		if (is_drop && OidIsValid(database))
			fms_file_remove(database);
		return;
	}
	suspend(slot);
	PG_ENSURE_ERROR_CLEANUP(resume, PointerGetDatum(slot));
	{
		wait_until_left(slot);
		run_next(pstmt, query, read_only, context, params, environment, dest, completion);
	}
	PG_END_ENSURE_ERROR_CLEANUP(resume, PointerGetDatum(slot));
	if (is_drop)
		forget_database(database);
	else
		resume(0, PointerGetDatum(slot));
}

/* Install the hook; from _PG_init when preloaded. */
void
fms_database_install_hook(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = database_utility;
}
