/*-------------------------------------------------------------------------
 *
 * aside.h
 *	  The table of rows that execution_spans refused.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_ASIDE_H
#define FMS_TABLE_ASIDE_H

#include "storage/itemptr.h"

#include "table/upsert.h"

/* a row of rejected_spans */
typedef struct FmsAside
{
	FmsRow	   *row;
	ItemPointerData place;		/* in rejected_spans */
	const char *sqlstate;		/* of the error for which it is there */
	const char *message;
	int			turn;			/* of reject.c: before it come so many of its
								 * span */
	bool		tried;			/* of reject.c: it was its turn */
} FmsAside;

extern bool fms_aside_lock(bool wait);
extern void fms_aside_put(FmsRow **rows, int count, FmsApplied *applied);
extern void fms_aside_mark_overtaken(FmsRow **rows, int count);
extern FmsAside *fms_aside_read(bool blocked_only, TimestampTz *after, int *count);
extern void fms_aside_renew(const FmsAside *aside);
extern void fms_aside_remove(const FmsAside *asides, int count);

#endif							/* FMS_TABLE_ASIDE_H */
