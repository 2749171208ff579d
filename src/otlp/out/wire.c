/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  Writes messages of protobuf, or the same as JSON.
 *
 * A message of protobuf begins with its length.  One byte is left for it, which
 * is enough for most; a longer message is moved by the bytes that its length
 * takes when it ends.  So there is one pass, and lengths are in their shortest
 * form.
 *
 * JSON follows the mapping of protobuf as OTLP restricts it: ids in hexadecimal,
 * bytes in base64, numbers of 64 bits in strings, kinds and codes as numbers.
 * It is in the encoding of the database, protobuf in UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/base64.h"
#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "otlp/out/wire.h"
#include "otlp/reader.h"

#define LONGEST_VARINT 10

/* An empty message, in the current memory context. */
void
fms_wire_init(FmsWire *wire, bool json)
{
	initStringInfo(&wire->out);
	wire->json = json;
	wire->depth = 0;
}

/*
 * Make room.  A value of PostgreSQL ends at 1 GB, and so does a request; the
 * limit is checked here because the server's own message would not say of what.
 */
static void
need(FmsWire *wire, Size bytes)
{
	if (bytes >= MaxAllocSize - wire->out.len)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("spans are too large to be exported at once"),
				 errdetail("A request of OTLP would take more than 1 GB.")));
	enlargeStringInfo(&wire->out, bytes);
}

/* Put a number in the varint form to "out"; returns its length. */
static int
put_varint(uint8 *out, uint64 value)
{
	int			length = 0;

	while (value >= 0x80)
	{
		out[length++] = (uint8) (value | 0x80);
		value >>= 7;
	}
	out[length++] = (uint8) value;
	return length;
}

/* Append bytes. */
static void
append_bytes(FmsWire *wire, const void *data, Size length)
{
	need(wire, length);
	appendBinaryStringInfo(&wire->out, data, length);
}

/* Append a number in the varint form. */
static void
append_varint(FmsWire *wire, uint64 value)
{
	uint8		bytes[LONGEST_VARINT];

	append_bytes(wire, bytes, put_varint(bytes, value));
}

/* Append the number of a field and its wire type. */
static void
append_tag(FmsWire *wire, const FmsField *field, FmsWireType type)
{
	append_varint(wire, FMS_TAG((uint64) field->number, type));
}

/* Append a constant of JSON. */
static void
append_json(FmsWire *wire, const char *constant)
{
	append_bytes(wire, constant, strlen(constant));
}

/* Append the comma between members or elements; what stands before tells if there is one. */
static void
append_comma(FmsWire *wire)
{
	char		last = wire->out.len > 0 ? wire->out.data[wire->out.len - 1] : '{';

	if (last != '{' && last != '[')
		append_json(wire, ",");
}

/* Append the name of a member. */
static void
append_name(FmsWire *wire, const FmsField *field)
{
	append_comma(wire);
	append_json(wire, "\"");
	append_json(wire, field->name);
	append_json(wire, "\":");
}

/* Append little-endian bytes of a number. */
static void
append_fixed(FmsWire *wire, uint64 value, int bytes)
{
	need(wire, bytes);
	for (int i = 0; i < bytes; i++)
		wire->out.data[wire->out.len++] = (char) (value >> (8 * i));
	wire->out.data[wire->out.len] = '\0';
}

/* Begin a message of protobuf; returns where it begins. */
static int
begin_delimited(FmsWire *wire, const FmsField *field)
{
	append_tag(wire, field, FMS_WIRE_BYTES);
	append_varint(wire, 0);
	return wire->out.len;
}

/* Begin the outermost message, which has no length. */
void
fms_wire_begin_document(FmsWire *wire)
{
	if (wire->json)
		append_json(wire, "{");
}

/* End it. */
void
fms_wire_end_document(FmsWire *wire)
{
	if (wire->json)
		append_json(wire, "}");
}

/* Begin a message that is a field; returns what fms_wire_end wants. */
int
fms_wire_begin(FmsWire *wire, const FmsField *field)
{
	if (!wire->json)
		return begin_delimited(wire, field);
	append_name(wire, field);
	append_json(wire, "{");
	return 0;
}

/* Begin a message that is one of a list; returns what fms_wire_end wants. */
int
fms_wire_begin_element(FmsWire *wire, const FmsField *field)
{
	if (!wire->json)
		return begin_delimited(wire, field);
	append_comma(wire);
	append_json(wire, "{");
	return 0;
}

/* End a message: in protobuf, put its length before it. */
void
fms_wire_end(FmsWire *wire, int begun)
{
	uint8		bytes[LONGEST_VARINT];
	int			length = wire->out.len - begun;
	int			more;

	if (wire->json)
	{
		append_json(wire, "}");
		return;
	}
	more = put_varint(bytes, length) - 1;
	if (more > 0)
	{
		need(wire, more);
		memmove(wire->out.data + begun + more, wire->out.data + begun, length + 1);
		wire->out.len += more;
	}
	memcpy(wire->out.data + begun - 1, bytes, more + 1);
}

/* Begin a list of messages or strings; protobuf writes nothing for it. */
void
fms_wire_begin_list(FmsWire *wire, const FmsField *field)
{
	if (!wire->json)
		return;
	append_name(wire, field);
	append_json(wire, "[");
}

/* End a list. */
void
fms_wire_end_list(FmsWire *wire)
{
	if (wire->json)
		append_json(wire, "]");
}

/* Append a string of JSON; unlike the server's function this takes zero bytes. */
static void
append_escaped(FmsWire *wire, const char *data, int length)
{
	int			done = 0;

	append_json(wire, "\"");
	for (int i = 0; i < length; i++)
	{
		unsigned char c = data[i];

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		append_bytes(wire, data + done, i - done);
		if (c < ' ')
			append_json(wire, psprintf("\\u%04x", c));
		else
			append_json(wire, c == '"' ? "\\\"" : "\\\\");
		done = i + 1;
	}
	append_bytes(wire, data + done, length - done);
	append_json(wire, "\"");
}

/*
 * A string of another encoding in UTF-8.  A database of SQL_ASCII can hold
 * anything: what is not UTF-8 there loses its bytes above 127.
 */
static const char *
as_utf8(const char *data, int *length)
{
	char	   *copy;

	if (GetDatabaseEncoding() != PG_SQL_ASCII)
	{
		copy = pg_server_to_any(data, *length, PG_UTF8);
		if (copy != data)
			*length = strlen(copy);
		return copy;
	}
	if (pg_encoding_verifymbstr(PG_UTF8, data, *length) == *length)
		return data;
	copy = pnstrdup(data, *length);
	for (int i = 0; i < *length; i++)
	{
		if (IS_HIGHBIT_SET(copy[i]))
			copy[i] = '?';
	}
	return copy;
}

/* Write a string in the encoding of the database; without a name it is an element of a list. */
void
fms_wire_string(FmsWire *wire, const FmsField *field, const char *data, int length)
{
	if (wire->json)
	{
		if (field->name == NULL)
			append_comma(wire);
		else
			append_name(wire, field);
		append_escaped(wire, data, length);
		return;
	}
	if (GetDatabaseEncoding() != PG_UTF8)
		data = as_utf8(data, &length);
	append_tag(wire, field, FMS_WIRE_BYTES);
	append_varint(wire, length);
	append_bytes(wire, data, length);
}

/*
 * Write a string that is in the form of the wire already.  In JSON it has to be
 * UTF-8 in a database of that encoding, zero bytes allowed; else the return is
 * false, and nothing is written.
 */
bool
fms_wire_raw_string(FmsWire *wire, const FmsField *field, const char *data, int length)
{
	if (!wire->json)
	{
		fms_wire_bytes(wire, field, data, length);
		return true;
	}
	if (GetDatabaseEncoding() != PG_UTF8)
		return false;
	for (int done = 0; done < length; done++)
	{
		done += pg_encoding_verifymbstr(PG_UTF8, data + done, length - done);
		if (done < length && data[done] != '\0')
			return false;
	}
	fms_wire_string(wire, field, data, length);
	return true;
}

/* Write bytes; in JSON, in base64. */
void
fms_wire_bytes(FmsWire *wire, const FmsField *field, const char *data, int length)
{
	Size		room = pg_b64_enc_len(length);

	if (!wire->json)
	{
		append_tag(wire, field, FMS_WIRE_BYTES);
		append_varint(wire, length);
		append_bytes(wire, data, length);
		return;
	}
	append_name(wire, field);
	append_json(wire, "\"");
	need(wire, room);
	wire->out.len += pg_b64_encode((const void *) data, length, wire->out.data + wire->out.len,
								   room);
	append_json(wire, "\"");
}

/* Write an id of a trace or span: OTLP's JSON has these in hexadecimal, unlike other bytes. */
void
fms_wire_id(FmsWire *wire, const FmsField *field, const uint8 *data, int length)
{
	if (!wire->json)
	{
		fms_wire_bytes(wire, field, (const char *) data, length);
		return;
	}
	append_name(wire, field);
	append_json(wire, "\"");
	need(wire, length * 2);
	wire->out.len += hex_encode((const char *) data, length, wire->out.data + wire->out.len);
	append_json(wire, "\"");
}

/* Write the number of an enumeration, which can be one that nobody knows. */
void
fms_wire_enum(FmsWire *wire, const FmsField *field, int32 value)
{
	if (wire->json)
	{
		append_name(wire, field);
		append_json(wire, psprintf("%d", value));
		return;
	}
	append_tag(wire, field, FMS_WIRE_VARINT);
	append_varint(wire, (uint64) (int64) value);
}

/* Write a number of 32 bits. */
void
fms_wire_uint32(FmsWire *wire, const FmsField *field, uint32 value)
{
	if (wire->json)
	{
		append_name(wire, field);
		append_json(wire, psprintf("%u", value));
		return;
	}
	append_tag(wire, field, FMS_WIRE_VARINT);
	append_varint(wire, value);
}

/* Write a boolean. */
void
fms_wire_bool(FmsWire *wire, const FmsField *field, bool value)
{
	if (wire->json)
	{
		append_name(wire, field);
		append_json(wire, value ? "true" : "false");
		return;
	}
	append_tag(wire, field, FMS_WIRE_VARINT);
	append_varint(wire, value);
}

/* Write a number of 64 bits with a sign; in JSON a string, for JavaScript has not so many bits. */
void
fms_wire_int64(FmsWire *wire, const FmsField *field, int64 value)
{
	if (wire->json)
	{
		append_name(wire, field);
		append_json(wire, psprintf("\"" INT64_FORMAT "\"", value));
		return;
	}
	append_tag(wire, field, FMS_WIRE_VARINT);
	append_varint(wire, (uint64) value);
}

/* Write a number of 32 bits that has 4 bytes. */
void
fms_wire_fixed32(FmsWire *wire, const FmsField *field, uint32 value)
{
	if (wire->json)
	{
		fms_wire_uint32(wire, field, value);
		return;
	}
	append_tag(wire, field, FMS_WIRE_32);
	append_fixed(wire, value, 4);
}

/* Write a number of 64 bits that has 8 bytes, such as a time. */
void
fms_wire_fixed64(FmsWire *wire, const FmsField *field, uint64 value)
{
	if (wire->json)
	{
		append_name(wire, field);
		append_json(wire, psprintf("\"" UINT64_FORMAT "\"", value));
		return;
	}
	append_tag(wire, field, FMS_WIRE_64);
	append_fixed(wire, value, 8);
}

/* Write a floating-point number, so that it comes back with every bit (of a NaN: as NaN). */
void
fms_wire_double(FmsWire *wire, const FmsField *field, double value)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];
	uint64		bits;

	if (!wire->json)
	{
		memcpy(&bits, &value, sizeof(bits));
		append_tag(wire, field, FMS_WIRE_64);
		append_fixed(wire, bits, 8);
		return;
	}
	append_name(wire, field);
	if (isnan(value) || isinf(value))
	{
		append_json(wire, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
		return;
	}
	double_to_shortest_decimal_buf(value, digits);
	append_json(wire, digits);
}

/* Append what another wire of the same form holds; between elements of JSON comes a comma. */
void
fms_wire_append(FmsWire *wire, const FmsWire *part)
{
	if (wire->json && part->out.len > 0)
		append_comma(wire);
	append_bytes(wire, part->out.data, part->out.len);
}
