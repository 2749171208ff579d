/*-------------------------------------------------------------------------
 *
 * read.h
 *	  Statements that read the table, with the caller's privileges.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_READ_H
#define FMS_TRACE_READ_H

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/uuid.h"

extern int	fms_read_begin(void);
extern void fms_read_end(int level);
extern void fms_read_append_times(StringInfo sql, const pg_uuid_t *trace_id);
extern void fms_read_run(const char *sql, int nargs, Datum *values);
extern Portal fms_read_open(const char *sql, int nargs, Datum *values);
extern bool fms_read_trace_of(const pg_uuid_t *span_id, pg_uuid_t *trace_id, StringInfo times);

#endif							/* FMS_TRACE_READ_H */
