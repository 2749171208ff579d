/*-------------------------------------------------------------------------
 *
 * attribute.h
 *	  Attributes on their way out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_OUT_ATTRIBUTE_H
#define FMS_OTLP_OUT_ATTRIBUTE_H

#include "utils/jsonb.h"

#include "otlp/out/wire.h"

extern void fms_write_text(FmsWire *wire, const FmsField *field, JsonbContainer *raw,
						   const char *raw_name, const char *data, int length);
extern void fms_write_attribute(FmsWire *wire, const FmsField *field, const char *key,
								int key_length, const JsonbValue *value);
extern void fms_write_attributes_open(FmsWire *wire, const FmsField *field,
									  JsonbContainer *attributes, JsonbContainer *raw);
extern void fms_write_attributes(FmsWire *wire, const FmsField *field, JsonbContainer *attributes,
								 JsonbContainer *raw);

extern void fms_write_member_count(FmsWire *wire, const FmsField *field, JsonbContainer *from,
								   const char *member);
extern void fms_write_member_text(FmsWire *wire, const FmsField *field, JsonbContainer *from,
								  const char *member);
extern void fms_write_member_texts(FmsWire *wire, const FmsField *field, JsonbContainer *from,
								   const char *member);
extern void fms_write_member_attributes(FmsWire *wire, const FmsField *field,
										JsonbContainer *from);

#endif							/* FMS_OTLP_OUT_ATTRIBUTE_H */
