/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The statements of the ledger, and locks on its traces.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_USAGE_STORE_H
#define FMS_USAGE_STORE_H

#include "table/owner.h"
#include "usage/ledger.h"

/* the statements of the ledger run between these two */
typedef struct FmsStoreScope
{
	FmsOwnerScope owner;
	int			isolation;
	MemoryContext context;		/* of results */
} FmsStoreScope;

extern void fms_store_enter(FmsStoreScope *scope);
extern void fms_store_leave(FmsStoreScope *scope);
extern void fms_store_lock_traces(const FmsSpanKey *keys, int count);
extern FmsEntry *fms_store_entries(const FmsSpanKey *keys, int count, int *found);
extern FmsEntry *fms_store_trace_entries(const FmsSpanKey *keys, int count, int *found);
extern FmsEntry *fms_store_waiting(const FmsSpanKey *keys, int count, int *found);
extern FmsSpanState *fms_store_spans(const FmsSpanKey *keys, int count, TimestampTz from,
									 TimestampTz until, bool whole, int *found);
extern void fms_store_write(FmsEntry **inserted, int n_inserted, FmsEntry **updated, int n_updated);
extern void fms_store_defer(const FmsSpanPlace *places, int count);
extern FmsSpanPlace *fms_store_take_deferred(int limit, int *count);
extern pg_uuid_t *fms_store_stubs(const FmsSpanPlace *places, int count, int *found);
extern void fms_store_settle_reservations(Datum *ids, int count);

#endif							/* FMS_USAGE_STORE_H */
