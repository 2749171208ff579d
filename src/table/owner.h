/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Access to execution_spans, whoever the caller is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_OWNER_H
#define FMS_TABLE_OWNER_H

#include "span/event.h"
#include "span/plan.h"

typedef struct FmsOwnerScope
{
	Oid			user;
	int			security_context;
	int			guc_level;
} FmsOwnerScope;

/* wait for what somebody has locked, as any statement does; false in the writer */
extern bool fms_table_waits;

extern void fms_table_enter(Oid relation, FmsOwnerScope *scope);
extern void fms_table_leave(FmsOwnerScope *scope);
extern void fms_table_set(const char *name, const char *value);
extern void fms_table_plan_by_key(void);
extern ErrorData *fms_table_try(void (*work) (void *), void *arg);
extern bool fms_table_is_callers(const ErrorData *error);
extern uint64 fms_table_select(SPIPlanPtr plan, Datum *values);
extern const char *fms_table_status(FmsStatus status);
extern FmsStatus fms_table_parse_status(const char *name);
extern Datum fms_table_text(const FmsPart *part);
extern FmsPart fms_table_part(Datum value, bool isnull);

#endif							/* FMS_TABLE_OWNER_H */
