/*-------------------------------------------------------------------------
 *
 * identity.h
 *	  Ids of traces and spans.
 *
 * A trace id is a uuid, ours are UUIDv7.  A span id is the first 8 bytes of
 * its trace id followed by 8 bytes of its own, which are the OpenTelemetry
 * span id.  A span id that a caller brings is kept as it is; if it does not
 * begin like its trace id it is called foreign.  Ids of 16 zero bytes, or with
 * a zero OpenTelemetry half, are refused by the callers of this room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_IDENTITY_H
#define FMS_SPAN_IDENTITY_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/*
 * Times that a span may have: what OTLP's nanoseconds since 1970 in 64 bits
 * with a sign can tell.
 */
#define FMS_FIRST_TIME ((int64) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define FMS_LAST_TIME (FMS_FIRST_TIME + PG_INT64_MAX / 1000)

extern void fms_identity_new_trace(pg_uuid_t *trace_id, TimestampTz now);
extern void fms_identity_new_span(pg_uuid_t *span_id, const pg_uuid_t *trace_id);
extern uint64 fms_identity_random(void);
extern bool fms_identity_is_nil(const pg_uuid_t *id);
extern bool fms_identity_trace_time(const pg_uuid_t *trace_id, TimestampTz *made_at);

#endif							/* FMS_SPAN_IDENTITY_H */
