/*-------------------------------------------------------------------------
 *
 * reader.h
 *	  Reads messages of protobuf field by field.
 *
 * A message is a row of fields, each a tag and a value that tells its own
 * length, so that fields that nobody knows can be passed over.  Nothing is
 * copied.  The functions are inline: a request has some ten thousand fields.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_READER_H
#define FMS_OTLP_READER_H

#include "miscadmin.h"

#include "span/text.h"

typedef enum FmsWireType
{
	FMS_WIRE_VARINT = 0,
	FMS_WIRE_64 = 1,
	FMS_WIRE_BYTES = 2,
	FMS_WIRE_32 = 5
} FmsWireType;

/* a number of a field and how it is written, as one */
#define FMS_TAG(number, wire) ((number) << 3 | (wire))

/* where a message is read */
typedef struct FmsReader
{
	const unsigned char *at;
	const unsigned char *end;
	bool		cut;			/* the message may go on behind the end */
	bool		broken;			/* what comes next is no field */
} FmsReader;

/* a field that was read */
typedef struct FmsReaderField
{
	uint64		tag;			/* FMS_TAG() */
	uint64		number;			/* of FMS_WIRE_VARINT, FMS_WIRE_64,
								 * FMS_WIRE_32 */
	FmsPart		bytes;			/* of FMS_WIRE_BYTES */
} FmsReaderField;

/* Begin to read a message. */
static inline FmsReader
fms_reader_of(FmsPart message)
{
	FmsReader	reader = {(const unsigned char *) message.data,
	(const unsigned char *) message.data + message.length, false, false};

	return reader;
}

/* Read a number of 7 bits a byte; false if it does not end or has more than 64 bits. */
static inline bool
fms_reader_varint(FmsReader *reader, uint64 *number)
{
	uint64		result = 0;

	if (reader->at < reader->end && *reader->at < 0x80)
	{
		*number = *reader->at++;
		return true;
	}
	for (int shift = 0; shift < 70 && reader->at < reader->end; shift += 7)
	{
		unsigned char byte = *reader->at++;

		if (shift == 63 && byte > 1)
			return false;
		result |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80)
		{
			*number = result;
			return true;
		}
	}
	return false;
}

/* Read a number of "bytes" bytes, the lowest first. */
static inline bool
fms_reader_fixed(FmsReader *reader, int bytes, uint64 *number)
{
	uint64		result = 0;

	if (reader->end - reader->at < bytes)
		return false;
	for (int i = 0; i < bytes; i++)
		result |= (uint64) reader->at[i] << (8 * i);
	reader->at += bytes;
	*number = result;
	return true;
}

/* Read bytes with their length; of a message that is cut those that are there. */
static inline bool
fms_reader_bytes(FmsReader *reader, FmsPart *bytes)
{
	uint64		left;
	uint64		length;

	if (!fms_reader_varint(reader, &length))
		return false;
	left = reader->end - reader->at;
	if (length > left && !reader->cut)
		return false;
	length = Min(length, left);
	bytes->data = (const char *) reader->at;
	bytes->length = (uint32) length;
	reader->at += length;
	return true;
}

/*
 * Read the value of a field whose tag is known.  The wire type alone tells how
 * long it is; 3 and 4, which bracket a group, and 6 and 7, which nobody uses, are
 * errors.
 */
static inline bool
fms_reader_value(FmsReader *reader, FmsReaderField *field)
{
	switch ((FmsWireType) (field->tag & 7))
	{
		case FMS_WIRE_VARINT:
			return fms_reader_varint(reader, &field->number);
		case FMS_WIRE_64:
			return fms_reader_fixed(reader, 8, &field->number);
		case FMS_WIRE_BYTES:
			return fms_reader_bytes(reader, &field->bytes);
		case FMS_WIRE_32:
			return fms_reader_fixed(reader, 4, &field->number);
		default:
			return false;
	}
}

/*
 * Read the next field; false at the end of the message, or if it is broken there:
 * then the reader stays before the field, so that its place can be told.
 */
static inline bool
fms_reader_next(FmsReader *reader, FmsReaderField *field)
{
	const unsigned char *begin = reader->at;

	CHECK_FOR_INTERRUPTS();
	if (reader->at >= reader->end)
		return false;
	if (fms_reader_varint(reader, &field->tag) && field->tag >> 3 != 0 && field->tag <= PG_UINT32_MAX &&
		fms_reader_value(reader, field))
		return true;
	reader->at = begin;
	reader->broken = true;
	return false;
}

/*
 * Find the last field of a tag in what is left to read; false if there is none,
 * and *found stays as it is.  Everything else is passed over by its length, which
 * is why looking twice is cheap.
 */
static inline bool
fms_reader_find(FmsReader reader, uint64 tag, FmsReaderField *found)
{
	FmsReaderField field;
	bool		there = false;

	while (fms_reader_next(&reader, &field))
	{
		if (field.tag != tag)
			continue;
		*found = field;
		there = true;
	}
	return there;
}

#endif							/* FMS_OTLP_READER_H */
