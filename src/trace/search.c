/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Spans that a filter lets through, newest first, a page at a time.
 *
 * A page has to cost about the same whatever the filter, wherever in the
 * table, and without statistics.  So the partitions are walked from the newest
 * to the oldest, each by statements that the planner has no choice about:
 *
 *	 - One condition drives.  If an index has its rows in the order of time (a
 *	   user, a status, a type, an entity with types, or just the time), they
 *	   are read in that order until the page is full.
 *	 - The indexes on traces, entities and attributes are not in that order:
 *	   their rows are gathered and sorted, up to GATHER_LIMIT of them.  If a
 *	   partition has more, they are so dense that going by time finds a page
 *	   of them soon.
 *	 - All other conditions are looked at row by row, and a page looks at no
 *	   more than a budget of rows.  A search that has spent it says where it
 *	   stopped.
 *
 * Each statement is on the parent table, because privileges and row security
 * are the parent's, and names a stretch of time that is one partition.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "limit.h"
#include "span/text.h"
#include "table/owner.h"
#include "trace/read.h"
#include "trace/search.h"

#define GATHER_LIMIT FMS_LIMIT(1000, 3) /* rows of a partition that are sorted
										 * at most */
#define BATCH FMS_LIMIT(256, 2) /* rows fetched at once where some may not
								 * match */
#define MOST_BRANCHES FMS_LIMIT(8, 1)	/* types that are read side by side */
#define MOST_ROWS 10000			/* of a page */
#define CURSOR_VERSION '1'
#define CURSOR_BYTES (8 + 2 * UUID_LEN) /* time, span, trace */

/* what came of looking at a partition */
typedef enum Outcome
{
	SEARCH_ON,					/* nothing is left in it */
	PAGE_FULL,
	BUDGET_SPENT,
	TOO_MANY					/* to be gathered; nothing was taken */
} Outcome;

/* the stretch of time of a partition, "until" not included */
typedef struct Window
{
	TimestampTz from;
	TimestampTz until;
} Window;

/*
 * Columns that follow the caller's: the position, and whether the rest matches.
 * The rest is no WHERE: rows that fail it have to come back too, to be counted.
 */
static void
append_columns(StringInfo sql, const FmsSearch *search, int driving)
{
	int			rest = search->filter.conditions & ~driving;

	appendStringInfo(sql, "SELECT %s, s.started_at AS key_time, s.span_id AS key_span, "
					 "s.trace_id AS key_trace, COALESCE(", search->columns);
	fms_filter_where(sql, rest);
	appendStringInfoString(sql, ", false) AS matches FROM flowmaestro.execution_spans AS s WHERE "
						   "s.started_at OPERATOR(pg_catalog.>=) $1 "
						   "AND s.started_at OPERATOR(pg_catalog.<) $2 ");
	if (search->has_after)
		appendStringInfoString(sql, "AND s.started_at OPERATOR(pg_catalog.<=) $3 "
							   "AND ROW(s.started_at, s.span_id, s.trace_id) "
							   "OPERATOR(pg_catalog.<) ROW($3, $4, $5) ");
}

/* Append the order of all pages. */
static void
append_order(StringInfo sql)
{
	appendStringInfoString(sql, " ORDER BY key_time DESC, key_span DESC, key_trace DESC");
}

/*
 * The statement that reads in the order of time.  The index on types has that
 * order within one type, so each type is a branch of its own, sorted in itself
 * for the planner to merge them.
 */
static char *
ordered_sql(const FmsSearch *search, int driving)
{
	StringInfoData sql;
	int			branches = driving & FMS_BIT(FMS_BY_TYPE) ? search->filter.types : 1;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT * FROM (");
	for (int i = 0; i < branches; i++)
	{
		appendStringInfoString(&sql, i > 0 ? " UNION ALL (" : "(");
		append_columns(&sql, search, driving);
		appendStringInfoString(&sql, "AND ");
		fms_filter_where(&sql, driving & ~FMS_BIT(FMS_BY_TYPE));
		if (driving & FMS_BIT(FMS_BY_TYPE))
			appendStringInfo(&sql, " AND s.span_type OPERATOR(pg_catalog.=) ($%d)[%d]",
							 FMS_PARAM_CONDITIONS + FMS_BY_TYPE + 1, i + 1);
		append_order(&sql);
		appendStringInfoChar(&sql, ')');
	}
	appendStringInfoString(&sql, ") AS s");
	append_order(&sql);
	return sql.data;
}

/*
 * The statement that gathers rows, one more than are to be sorted, which tells
 * that there are too many.  The limit is inside of the sort, so that no more rows
 * than these are ever read.
 */
static char *
gather_sql(const FmsSearch *search, int driving)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT * FROM (");
	append_columns(&sql, search, driving);
	appendStringInfoString(&sql, "AND ");
	fms_filter_where(&sql, driving);
	appendStringInfo(&sql, " LIMIT %d) AS s", GATHER_LIMIT + 1);
	append_order(&sql);
	return sql.data;
}

/* The condition whose rows are gathered; 0 if there is none. */
static int
gathering(const FmsFilter *filter)
{
	int			given = filter->conditions;

	if (given & FMS_BIT(FMS_BY_TRACE))
		return FMS_BIT(FMS_BY_TRACE);
	/* a user's rows come in order, and so do an entity's of a few types */
	if (given & FMS_BIT(FMS_BY_USER))
		return 0;
	if (given & FMS_BIT(FMS_BY_ENTITY))
	{
		if ((given & FMS_BIT(FMS_BY_TYPE)) && filter->types <= MOST_BRANCHES)
			return 0;
		return FMS_BIT(FMS_BY_ENTITY);
	}
	if ((given & FMS_BIT(FMS_BY_STATUS)) && !filter->completed)
		return 0;
	return filter->any_attributes ? 0 : given & FMS_BIT(FMS_BY_ATTRIBUTES);
}

/* The conditions whose index is read in the order of time; 0 for time alone. */
static int
ordering(const FmsFilter *filter)
{
	int			given = filter->conditions;
	bool		few_types = (given & FMS_BIT(FMS_BY_TYPE)) && filter->types <= MOST_BRANCHES;

	if (given & FMS_BIT(FMS_BY_USER))
		return FMS_BIT(FMS_BY_USER);
	if ((given & FMS_BIT(FMS_BY_ENTITY)) && few_types)
		return FMS_BIT(FMS_BY_ENTITY) | FMS_BIT(FMS_BY_TYPE);
	if ((given & FMS_BIT(FMS_BY_STATUS)) && !filter->completed)
		return FMS_BIT(FMS_BY_STATUS);
	return few_types ? FMS_BIT(FMS_BY_TYPE) : 0;
}

/* The position of a row. */
static FmsPosition
position_of(const FmsSearch *search, HeapTuple row, TupleDesc desc)
{
	int			first = search->ncolumns + 1;
	bool		isnull;
	FmsPosition position;

	position.started_at = DatumGetTimestampTz(SPI_getbinval(row, desc, first, &isnull));
	position.span_id = *DatumGetUUIDP(SPI_getbinval(row, desc, first + 1, &isnull));
	position.trace_id = *DatumGetUUIDP(SPI_getbinval(row, desc, first + 2, &isnull));
	return position;
}

/*
 * Look at a row; the search is behind it then.  Only rows that match and that
 * "take" accepts count for the page; every one counts for the budget.
 */
static void
look_at(FmsSearch *search, HeapTuple row, TupleDesc desc)
{
	bool		isnull;

	search->after = position_of(search, row, desc);
	search->has_after = true;
	search->budget--;
	if (DatumGetBool(SPI_getbinval(row, desc, search->ncolumns + 4, &isnull)) &&
		search->take(search, row, desc))
		search->wanted--;
}

/* Look at the rows that SPI has, as far as page and budget allow, and free them. */
static Outcome
look_at_all(FmsSearch *search)
{
	/* who takes a row may run statements of its own */
	SPITupleTable *rows = SPI_tuptable;
	Outcome		outcome = SEARCH_ON;

	for (uint64 i = 0; i < rows->numvals && outcome == SEARCH_ON; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (search->budget <= 0)
			outcome = BUDGET_SPENT;
		else
			look_at(search, rows->vals[i], rows->tupdesc);
		if (search->wanted == 0)
			outcome = PAGE_FULL;
	}
	SPI_freetuptable(rows);
	return outcome;
}

/* Set the parameters for a window and a position. */
static void
set_window(FmsSearch *search, Window window)
{
	Datum	   *values = search->filter.values;
	char	   *nulls = search->filter.nulls;

	values[FMS_PARAM_FROM] = TimestampTzGetDatum(window.from);
	values[FMS_PARAM_UNTIL] = TimestampTzGetDatum(window.until);
	values[FMS_PARAM_AFTER_TIME] = TimestampTzGetDatum(search->after.started_at);
	values[FMS_PARAM_AFTER_SPAN] = UUIDPGetDatum(&search->after.span_id);
	values[FMS_PARAM_AFTER_TRACE] = UUIDPGetDatum(&search->after.trace_id);
	memset(nulls, ' ', FMS_PARAM_CONDITIONS);
}

/*
 * Gather a partition's rows of a condition, unless there are too many.  The
 * planner's settings hold for the one statement; after an error the end of the
 * transaction undoes them.
 */
static Outcome
gather_partition(FmsSearch *search, int driving)
{
	int			rc;
	int			level = NewGUCNestLevel();

	/* with nothing else left, the condition's own index is what remains */
	fms_table_set("enable_indexscan", "off");
	fms_table_set("enable_bitmapscan", "on");
	rc = SPI_execute_with_args(gather_sql(search, driving), FMS_PARAMS,
							   fms_filter_types, search->filter.values,
							   search->filter.nulls, true, 0);
	AtEOXact_GUC(true, level);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(rc));
	if (SPI_processed <= GATHER_LIMIT)
		return look_at_all(search);
	/* what is left of the budget has to bring the search on */
	search->budget = Max(search->budget - GATHER_LIMIT, 1);
	SPI_freetuptable(SPI_tuptable);
	return TOO_MANY;
}

/*
 * Read a partition in the order of time.  Where every row matches no more are
 * fetched than the page takes; else batches spare a call for each row.
 */
static Outcome
read_in_order(FmsSearch *search, int driving)
{
	Portal		portal;
	Outcome		outcome;
	uint64		fetched;
	bool		all_match = (search->filter.conditions & ~driving) == 0;

	portal = SPI_cursor_open_with_args(NULL, ordered_sql(search, driving), FMS_PARAMS,
									   fms_filter_types, search->filter.values,
									   search->filter.nulls, true, 0);
	do
	{
		SPI_cursor_fetch(portal, true, all_match ? Max(search->wanted, 1) : BATCH);
		fetched = SPI_processed;
		outcome = look_at_all(search);
	} while (outcome == SEARCH_ON && fetched > 0);
	SPI_cursor_close(portal);
	return outcome;
}

/* Search a partition. */
static Outcome
search_window(FmsSearch *search, Window window)
{
	int			driving = gathering(&search->filter);
	Outcome		outcome = TOO_MANY;

	set_window(search, window);
	if (driving != 0)
		outcome = gather_partition(search, driving);
	if (outcome == TOO_MANY)
		outcome = read_in_order(search, ordering(&search->filter));
	return outcome;
}

/*
 * Bound number i of the partitions, or what lies beyond the last.  The key is one
 * column, and the bounds are in its order.
 */
static TimestampTz
bound_time(PartitionBoundInfo bounds, int i)
{
	if (i < 0 || (i < bounds->ndatums &&
				  bounds->kind[i][0] == PARTITION_RANGE_DATUM_MINVALUE))
		return DT_NOBEGIN;
	if (i >= bounds->ndatums || bounds->kind[i][0] == PARTITION_RANGE_DATUM_MAXVALUE)
		return DT_NOEND;
	return DatumGetTimestampTz(bounds->datums[i][0]);
}

/*
 * The stretches of time that have a partition, the latest first, in the current
 * context.  bounds->indexes[i] is the partition that ends at bound i, -1 if none
 * does; the default partition has what lies in such gaps.  The AccessShareLock is
 * kept to the end of the transaction, so that what was listed stays attached.
 */
static Window *
windows(int *count)
{
	RangeVar   *name = makeRangeVar(pstrdup("flowmaestro"), pstrdup("execution_spans"), -1);
	Relation	parent = table_openrv(name, AccessShareLock);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	Window	   *result = palloc(sizeof(Window) * (2 * desc->nparts + 1));

	*count = 0;
	for (int i = desc->nparts > 0 ? desc->boundinfo->ndatums : -1; i >= 0; i--)
	{
		PartitionBoundInfo bounds = desc->boundinfo;

		if (bounds->indexes[i] < 0 && bounds->default_index < 0)
			continue;
		result[*count].from = bound_time(bounds, i - 1);
		result[*count].until = bound_time(bounds, i);
		++*count;
	}
	table_close(parent, NoLock);
	return result;
}

/* Cut a window to what the filter and the position leave of it; false if nothing. */
static bool
clip(const FmsSearch *search, Window *window)
{
	TimestampTz last = search->filter.until;

	if (search->has_after)
		last = Min(last, search->after.started_at);
	window->from = Max(window->from, search->filter.from);

	/*
	 * the last time is inclusive; at the end of time there is no next
	 * microsecond
	 */
	if (last < DT_NOEND)
		window->until = Min(window->until, last + 1);
	return window->from < window->until;
}

/*
 * Search for a page.  Returns true if the budget was spent before it was full;
 * "after" is then where to go on.  Rows are handed to search->take in order.
 * May raise the errors of the caller's lack of privileges.
 */
bool
fms_search_run(FmsSearch *search)
{
	int			level = fms_read_begin();
	int			count;
	Window	   *all = windows(&count);
	Outcome		outcome = SEARCH_ON;

	/* no type is the type of no span */
	if ((search->filter.conditions & FMS_BIT(FMS_BY_TYPE)) && search->filter.types == 0)
		outcome = PAGE_FULL;
	/* the order of an index, or none at all */
	fms_table_set("enable_bitmapscan", "off");
	fms_table_set("enable_sort", "off");
	fms_table_set("max_parallel_workers_per_gather", "0");
	for (int i = 0; i < count && outcome == SEARCH_ON; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!clip(search, &all[i]))
			continue;
		outcome = search->budget > 0 ? search_window(search, all[i]) : BUDGET_SPENT;
	}
	fms_read_end(level);
	return outcome == BUDGET_SPENT;
}

/*
 * A position as a text that a caller can bring back: a version, then time (big
 * endian), span and trace in hexadecimal.  It holds nothing secret and grants
 * nothing: what a caller makes up is only another place to start.
 */
Datum
fms_search_cursor(const FmsPosition *position)
{
	unsigned char bytes[CURSOR_BYTES];
	char		cursor[1 + 2 * CURSOR_BYTES + 1];
	uint64		time = (uint64) position->started_at;

	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char) (time >> (56 - 8 * i));
	memcpy(bytes + 8, position->span_id.data, UUID_LEN);
	memcpy(bytes + 8 + UUID_LEN, position->trace_id.data, UUID_LEN);
	cursor[0] = CURSOR_VERSION;
	(void) fms_hex_write(cursor + 1, bytes, CURSOR_BYTES);
	return PointerGetDatum(cstring_to_text_with_len(cursor, 1 + 2 * CURSOR_BYTES));
}

/* Read a position from a text; raises an error if it is none of ours. */
static void
read_cursor(FmsPosition *position, text *cursor)
{
	const char *data = VARDATA_ANY(cursor);
	unsigned char bytes[CURSOR_BYTES];
	uint64		time = 0;
	bool		good = VARSIZE_ANY_EXHDR(cursor) == 1 + 2 * CURSOR_BYTES &&
		data[0] == CURSOR_VERSION;

	if (!good || !fms_hex_read(data + 1, bytes, CURSOR_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid cursor"),
				 errhint("Pass the cursor of a row of the previous page.")));
	for (int i = 0; i < 8; i++)
		time = (time << 8) | bytes[i];
	position->started_at = (TimestampTz) time;
	memcpy(position->span_id.data, bytes + 8, UUID_LEN);
	memcpy(position->trace_id.data, bytes + 8 + UUID_LEN, UUID_LEN);
}

/*
 * Read the arguments page_size, after and scan_limit; "argument" is the first.
 * Raises ERRCODE_INVALID_PARAMETER_VALUE where one makes no sense; a NULL
 * page_size is wrong too, a NULL scan_limit is no limit.
 */
void
fms_search_read_page(FmsSearch *search, FunctionCallInfo fcinfo, int argument)
{
	int32		page_size = PG_ARGISNULL(argument) ? 0 : PG_GETARG_INT32(argument);
	int64		scan_limit = PG_INT64_MAX;

	if (!PG_ARGISNULL(argument + 2))
		scan_limit = PG_GETARG_INT64(argument + 2);
	if (page_size < 1 || page_size > MOST_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("page_size must be between 1 and %d", MOST_ROWS)));
	if (scan_limit < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scan_limit must be positive")));
	search->wanted = page_size;
	search->budget = scan_limit;
	search->has_after = !PG_ARGISNULL(argument + 1);
	if (search->has_after)
		read_cursor(&search->after, PG_GETARG_TEXT_PP(argument + 1));
}
