/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  A span's row by its id alone, in as few partitions as can be.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_WRITER_LOOKUP_H
#define FMS_WRITER_LOOKUP_H

#include "writer/fold.h"

extern bool fms_lookup_span(const pg_uuid_t *span_id, FmsSpanRef *ref);
extern void fms_lookup_note_forms(FmsRow **rows, int count);

#endif							/* FMS_WRITER_LOOKUP_H */
