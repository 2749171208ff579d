/*-------------------------------------------------------------------------
 *
 * columns.h
 *	  The columns of execution_spans, and rows on their way to SQL and back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_COLUMNS_H
#define FMS_TABLE_COLUMNS_H

#include "executor/spi.h"

#include "table/fold.h"

/*
 * Every column, in the order of the table, with its number and its name: "key"
 * makes a row what it is, "once" is never changed, "derived" follows from others,
 * "last" is a value as well.  The functions of columns.c put and read them.
 */
#define FMS_COLUMNS(key, once, value, derived, last) \
	key(TRACE_ID, "trace_id") \
	key(SPAN_ID, "span_id") \
	value(PARENT_SPAN_ID, "parent_span_id") \
	value(NAME, "name") \
	value(SPAN_TYPE, "span_type") \
	value(ENTITY_ID, "entity_id") \
	value(STARTED_AT, "started_at") \
	value(ENDED_AT, "ended_at") \
	derived(DURATION_MS, "duration_ms") \
	value(STATUS, "status") \
	value(INPUT, "input") \
	value(OUTPUT, "output") \
	value(ERROR, "error") \
	value(ATTRIBUTES, "attributes") \
	once(CREATED_AT, "created_at") \
	value(EVENTS, "events") \
	value(LINKS, "links") \
	last(OTLP, "otlp")

/* lists of them for a statement: names, those of rows "s", those of pending_rows() AS b */
#define FMS_COLUMN_NAMED(number, name) name ", "
#define FMS_COLUMN_NAMED_LAST(number, name) name
#define FMS_COLUMN_OF_S(number, name) "s." name ", "
#define FMS_COLUMN_OF_S_LAST(number, name) "s." name
#define FMS_COLUMN_OF_B(number, name) "b." name ", "
#define FMS_COLUMN_OF_B_LAST(number, name) "b." name
#define FMS_COLUMN_NONE(number, name)

#define FMS_COLUMNS_NAMED \
	FMS_COLUMNS(FMS_COLUMN_NAMED, FMS_COLUMN_NAMED, FMS_COLUMN_NAMED, FMS_COLUMN_NAMED, FMS_COLUMN_NAMED_LAST)
#define FMS_COLUMNS_OF_S \
	FMS_COLUMNS(FMS_COLUMN_OF_S, FMS_COLUMN_OF_S, FMS_COLUMN_OF_S, FMS_COLUMN_OF_S, FMS_COLUMN_OF_S_LAST)
#define FMS_COLUMNS_OF_B \
	FMS_COLUMNS(FMS_COLUMN_OF_B, FMS_COLUMN_OF_B, FMS_COLUMN_OF_B, FMS_COLUMN_OF_B, FMS_COLUMN_OF_B_LAST)

#define FMS_COLUMN_COUNT 18

extern uint64 fms_columns_write(SPIPlanPtr plan, Datum *values, FmsRow **rows, int count);
extern FmsRow *fms_columns_read(HeapTuple tuple, TupleDesc desc, bool fetch);

#endif							/* FMS_TABLE_COLUMNS_H */
