/*-------------------------------------------------------------------------
 *
 * directory.h
 *	  When the spans of an id started, where the id does not tell it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_DIRECTORY_H
#define FMS_TABLE_DIRECTORY_H

#include "table/fold.h"
#include "table/peek.h"

/*
 * Where rows of an id may lie: among the traces whose ids begin with 8 bytes,
 * from one time on and before another one.
 */
typedef struct FmsSpot
{
	int64		trace_prefix;
	TimestampTz from;
	TimestampTz until;
} FmsSpot;

extern int64 fms_directory_prefix(const pg_uuid_t *id);
extern void fms_directory_range(int64 prefix, pg_uuid_t *low, pg_uuid_t *high);
extern FmsLook fms_directory_places(const pg_uuid_t *id, bool wait, List **places);
extern void fms_directory_watch(void);
extern void fms_directory_note(FmsRow **rows, int count);
extern bool fms_directory_forget(TimestampTz before);

#endif							/* FMS_TABLE_DIRECTORY_H */
