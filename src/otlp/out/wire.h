/*-------------------------------------------------------------------------
 *
 * wire.h
 *	  Writes messages of protobuf, or the same as JSON.
 *
 * A caller names fields and values once; both forms come of it.  A field that
 * has its default is left out by not writing it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_OUT_WIRE_H
#define FMS_OTLP_OUT_WIRE_H

#include "lib/stringinfo.h"

typedef struct FmsWire
{
	StringInfoData out;
	bool		json;
	int			depth;			/* of the value being written; for callers */
} FmsWire;

/* a field of a message; in a list of JSON its elements have no name */
typedef struct FmsField
{
	int			number;
	const char *name;
} FmsField;

extern void fms_wire_init(FmsWire *wire, bool json);
extern void fms_wire_begin_document(FmsWire *wire);
extern void fms_wire_end_document(FmsWire *wire);
extern int	fms_wire_begin(FmsWire *wire, const FmsField *field);
extern int	fms_wire_begin_element(FmsWire *wire, const FmsField *field);
extern void fms_wire_end(FmsWire *wire, int begun);
extern void fms_wire_begin_list(FmsWire *wire, const FmsField *field);
extern void fms_wire_end_list(FmsWire *wire);
extern void fms_wire_string(FmsWire *wire, const FmsField *field, const char *data, int length);
extern bool fms_wire_raw_string(FmsWire *wire, const FmsField *field, const char *data,
								int length);
extern void fms_wire_bytes(FmsWire *wire, const FmsField *field, const char *data, int length);
extern void fms_wire_id(FmsWire *wire, const FmsField *field, const uint8 *data, int length);
extern void fms_wire_uint32(FmsWire *wire, const FmsField *field, uint32 value);
extern void fms_wire_enum(FmsWire *wire, const FmsField *field, int32 value);
extern void fms_wire_bool(FmsWire *wire, const FmsField *field, bool value);
extern void fms_wire_int64(FmsWire *wire, const FmsField *field, int64 value);
extern void fms_wire_fixed32(FmsWire *wire, const FmsField *field, uint32 value);
extern void fms_wire_fixed64(FmsWire *wire, const FmsField *field, uint64 value);
extern void fms_wire_double(FmsWire *wire, const FmsField *field, double value);
extern void fms_wire_append(FmsWire *wire, const FmsWire *part);

#endif							/* FMS_OTLP_OUT_WIRE_H */
