/*-------------------------------------------------------------------------
 *
 * wanted.h
 *	  Partitions that are missing, and who makes them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_WANTED_H
#define FMS_TABLE_WANTED_H

#include "table/fold.h"
#include "table/place.h"

extern Oid	fms_wanted_partition(TimestampTz at);
extern void fms_wanted_refuse(TimestampTz at) __attribute__((noreturn));
extern bool fms_wanted_lacks(FmsRow **rows, int count);
extern void fms_wanted_ahead(void);
extern bool fms_wanted_next(TimestampTz *at);
extern void fms_wanted_made(TimestampTz at);
extern void fms_wanted_refused(TimestampTz at, const ErrorData *error);
extern void fms_wanted_take_requests(void);

#endif							/* FMS_TABLE_WANTED_H */
