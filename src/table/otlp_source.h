/*-------------------------------------------------------------------------
 *
 * otlp_source.h
 *	  Resources and scopes of OTLP, each stored once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TABLE_OTLP_SOURCE_H
#define FMS_TABLE_OTLP_SOURCE_H

#include "nodes/pg_list.h"

extern void fms_source_write(List *sources);

#endif							/* FMS_TABLE_OTLP_SOURCE_H */
