/*-------------------------------------------------------------------------
 *
 * soft_json.h
 *	  JSON in a text that may be none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_SOFT_JSON_H
#define FMS_OTLP_SOFT_JSON_H

#include "utils/jsonb.h"

extern Jsonb *fms_soft_json(const char *data, int length, bool scalars);

#endif							/* FMS_OTLP_SOFT_JSON_H */
