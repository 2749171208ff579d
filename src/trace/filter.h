/*-------------------------------------------------------------------------
 *
 * filter.h
 *	  Which spans a caller asks for.
 *
 * Conditions are fixed SQL texts on the alias s; what the caller gives is
 * always a parameter of the statement, never a part of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TRACE_FILTER_H
#define FMS_TRACE_FILTER_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/uuid.h"

typedef enum FmsCondition
{
	FMS_BY_TYPE,
	FMS_BY_ENTITY,
	FMS_BY_USER,
	FMS_BY_STATUS,
	FMS_BY_ATTRIBUTES,
	FMS_BY_NAME,
	FMS_BY_DURATION,
	FMS_BY_ERROR,
	FMS_BY_TRACE,
	FMS_CONDITIONS
} FmsCondition;

/* a set of conditions, a bit each */
#define FMS_BIT(condition) (1 << (condition))

/* parameters of a statement, from $1: a stretch of time, a position, conditions */
enum
{
	FMS_PARAM_FROM,
	FMS_PARAM_UNTIL,
	FMS_PARAM_AFTER_TIME,
	FMS_PARAM_AFTER_SPAN,
	FMS_PARAM_AFTER_TRACE,
	FMS_PARAM_NOW,
	FMS_PARAM_CONDITIONS,
	FMS_PARAMS = FMS_PARAM_CONDITIONS + FMS_CONDITIONS
};

typedef struct FmsFilter
{
	int			conditions;		/* FMS_BIT of those that the caller gives */
	int			types;			/* span types asked for */
	bool		completed;		/* the status asked for is the one without an
								 * index */
	bool		any_attributes; /* the attributes asked for have nothing to
								 * look up */
	TimestampTz from;			/* both inclusive */
	TimestampTz until;
	Datum		values[FMS_PARAMS];
	char		nulls[FMS_PARAMS];
} FmsFilter;

/* arguments that all functions with a filter begin with */
#define FMS_FILTER_ARGS 10
/* those that functions on spans have, too */
#define FMS_SPAN_FILTER_ARGS 12

extern Oid	fms_filter_types[FMS_PARAMS];

extern void fms_filter_read(FmsFilter *filter, FunctionCallInfo fcinfo, int nargs);
extern void fms_filter_where(StringInfo sql, int conditions);

#endif							/* FMS_TRACE_FILTER_H */
