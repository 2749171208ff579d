/*-------------------------------------------------------------------------
 *
 * parcel.h
 *	  Spans out of the outbox, as a message for a collector.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_EXPORTER_PARCEL_H
#define FMS_OTLP_EXPORTER_PARCEL_H

#include "lib/stringinfo.h"

#include "worker/flush.h"

typedef struct FmsParcel
{
	Oid			table;			/* execution_spans: ids are of its extension's
								 * life */
	int			count;			/* spans in the message */
	int64	   *id;				/* their rows of the outbox */
	int			gone_count;		/* spans that are not in the table any more */
	int64	   *gone;			/* their rows of the outbox */
	StringInfo	body;			/* the message, an ExportTraceServiceRequest;
								 * NULL without spans */
} FmsParcel;

extern FmsFlush fms_parcel_read(FmsParcel *parcel, int limit);
extern FmsFlush fms_parcel_settle(const FmsParcel *parcel, const char *refusal);

#endif							/* FMS_OTLP_EXPORTER_PARCEL_H */
