/*-------------------------------------------------------------------------
 *
 * peek.h
 *	  Rows of a table by one of its indexes, without a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_PEEK_H
#define FMS_TABLE_PEEK_H

#include "access/relscan.h"
#include "access/skey.h"
#include "utils/rel.h"

/* what became of a look */
typedef enum FmsLook
{
	FMS_LOOK_NONE,				/* it is not there */
	FMS_LOOK_FOUND,
	FMS_LOOK_BUSY				/* cannot be told now: something is locked, or
								 * an index is missing */
} FmsLook;

/* a table and an index of it, open for as long as a look takes */
typedef struct FmsPeek
{
	Relation	table;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} FmsPeek;

extern Relation fms_peek_table(Oid relation, bool wait, FmsLook *look);
extern FmsLook fms_peek_open(Oid relation, Oid index, int nkeys, bool wait, FmsPeek *peek);
extern void fms_peek_close(FmsPeek *peek);
extern void fms_peek_scan(FmsPeek *peek, ScanKey keys);
extern bool fms_peek_next_entry(FmsPeek *peek);
extern Datum fms_peek_key(const FmsPeek *peek, int n);
extern bool fms_peek_next_row(FmsPeek *peek, Snapshot snapshot);

#endif							/* FMS_TABLE_PEEK_H */
