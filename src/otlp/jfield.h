/*-------------------------------------------------------------------------
 *
 * jfield.h
 *	  Reading of jsonb that may be anything.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_JFIELD_H
#define FMS_OTLP_JFIELD_H

#include "utils/jsonb.h"

#include "span/text.h"

extern bool fms_jfield(JsonbContainer *object, const char *name, JsonbValue *value);
extern JsonbContainer *fms_jfield_container(JsonbContainer *object, const char *name);
extern bool fms_jfield_text(JsonbContainer *object, const char *name, FmsPart *text);
extern bool fms_jfield_bytes(JsonbContainer *object, const char *name, FmsPart *bytes);
extern int64 fms_jfield_integer(JsonbContainer *object, const char *name);
extern bool fms_jvalue_integer(const JsonbValue *value, int64 *integer);
extern bool fms_otlp_parse_uuid(const FmsPart *text, pg_uuid_t *id);

#endif							/* FMS_OTLP_JFIELD_H */
