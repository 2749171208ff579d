/*-------------------------------------------------------------------------
 *
 * protobuf.c
 *	  A reader of ExportTraceServiceRequest in protobuf.
 *
 * A message is a row of fields, each a tag and a value that tells its own
 * length; a message in a message is one such value.  So reading needs no
 * schema and no memory: fields that we do not know are passed over, and a
 * message is read again for fields that have to come first, which costs little,
 * because what is passed over is not looked at.  That is how the resource, the
 * scope and the schema URLs are known before the spans, in whatever order they
 * come, and how the attributes of a span lie side by side.
 *
 * The frame of a request, down to where its spans begin and end, is checked
 * before the first span is handed over: a request with a broken frame is none.
 * A span that is broken inside costs only itself.  Groups, which OTLP never
 * had, are an error.  A known field of another wire type is passed over, as an
 * unknown one.  Of a field that comes twice the last one counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "otlp/in/decode.h"

typedef enum WireType
{
	WIRE_VARINT = 0,
	WIRE_64 = 1,
	WIRE_BYTES = 2,
	WIRE_32 = 5
} WireType;

/* a number of a field and how it is written, as one */
#define FIELD(number, wire) ((number) << 3 | (wire))

/* where a message is read */
typedef struct Reader
{
	const unsigned char *at;
	const unsigned char *end;
	bool		broken;			/* what comes next is no field */
} Reader;

typedef struct Field
{
	uint64		tag;			/* FIELD() */
	uint64		number;			/* of WIRE_VARINT, WIRE_64, WIRE_32 */
	FmsPart		bytes;			/* of WIRE_BYTES */
} Field;

/* Begin to read a message. */
static Reader
reader_of(FmsPart message)
{
	Reader		reader = {(const unsigned char *) message.data,
	(const unsigned char *) message.data + message.length, false};

	return reader;
}

/* Read a number of 7 bits a byte; false if it does not end or has more than 64 bits. */
static bool
read_varint(Reader *reader, uint64 *number)
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
static bool
read_fixed(Reader *reader, int bytes, uint64 *number)
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

/* Read bytes with their length. */
static bool
read_bytes(Reader *reader, FmsPart *bytes)
{
	uint64		length;

	if (!read_varint(reader, &length) || length > (uint64) (reader->end - reader->at))
		return false;
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
static bool
read_value(Reader *reader, Field *field)
{
	switch ((WireType) (field->tag & 7))
	{
		case WIRE_VARINT:
			return read_varint(reader, &field->number);
		case WIRE_64:
			return read_fixed(reader, 8, &field->number);
		case WIRE_BYTES:
			return read_bytes(reader, &field->bytes);
		case WIRE_32:
			return read_fixed(reader, 4, &field->number);
		default:
			return false;
	}
}

/*
 * Read the next field; false at the end of the message, or if it is broken there:
 * then the reader stays before the field, so that its place can be told.
 */
static bool
next_field(Reader *reader, Field *field)
{
	const unsigned char *begin = reader->at;

	CHECK_FOR_INTERRUPTS();
	if (reader->at >= reader->end)
		return false;
	if (read_varint(reader, &field->tag) && field->tag >> 3 != 0 && field->tag <= PG_UINT32_MAX &&
		read_value(reader, field))
		return true;
	reader->at = begin;
	reader->broken = true;
	return false;
}

/* Say that a message is broken, if it is; else true. */
static bool
is_sound(FmsOtlpDecoder *decoder, const Reader *reader)
{
	if (reader->broken)
		return fms_otlp_refuse(decoder, "a field is broken");
	return true;
}

/*
 * Find the last field of a tag; false if there is none.  Everything else is
 * passed over by its length, which is why looking twice is cheap.
 */
static bool
find_field(FmsPart message, uint64 tag, Field *found)
{
	Reader		reader = reader_of(message);
	Field		field;
	bool		there = false;

	while (next_field(&reader, &field))
	{
		if (field.tag != tag)
			continue;
		*found = field;
		there = true;
	}
	return there;
}

static bool read_any_value(FmsOtlpDecoder *decoder, uint32 node, FmsPart message, int depth);

/*
 * Read a KeyValue as a new node.  Without a value it has none, which is not the
 * same as an empty string.
 */
static bool
read_key_value(FmsOtlpDecoder *decoder, FmsPart message, int depth)
{
	Reader		reader = reader_of(message);
	FmsOtlpNode *node = fms_otlp_add_node(decoder);
	FmsPart		value = {NULL, 0};
	Field		field;

	if (node == NULL)
		return false;
	node->key = message.data;
	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(1, WIRE_BYTES))
		{
			node->key = field.bytes.data;
			node->key_length = field.bytes.length;
		}
		else if (field.tag == FIELD(2, WIRE_BYTES))
			value = field.bytes;
	}
	if (!is_sound(decoder, &reader))
		return false;
	return value.data == NULL || read_any_value(decoder, decoder->node_count - 1, value, depth);
}

/*
 * Read an ArrayValue or a KeyValueList into a node, the last one: its children are
 * the nodes that follow it.  Nodes may move meanwhile, so they go by number.
 */
static bool
read_values(FmsOtlpDecoder *decoder, uint32 parent, FmsOtlpType type, FmsPart message,
			int depth)
{
	Reader		reader = reader_of(message);
	uint32		count = 0;
	Field		field;

	if (depth >= FMS_OTLP_MAX_DEPTH)
		return fms_otlp_refuse(decoder, "an attribute is nested deeper than 64");
	while (next_field(&reader, &field))
	{
		uint32		node = decoder->node_count;

		if (field.tag != FIELD(1, WIRE_BYTES))
			continue;
		count++;
		if (type == FMS_OTLP_MAP)
		{
			if (!read_key_value(decoder, field.bytes, depth + 1))
				return false;
		}
		else if (fms_otlp_add_node(decoder) == NULL ||
				 !read_any_value(decoder, node, field.bytes, depth + 1))
			return false;
	}
	decoder->nodes[parent].type = type;
	decoder->nodes[parent].length = count;
	decoder->nodes[parent].next = decoder->node_count;
	return is_sound(decoder, &reader);
}

/* Put bytes into a node. */
static void
set_bytes(FmsOtlpNode *node, FmsOtlpType type, FmsPart bytes)
{
	node->type = type;
	node->value.bytes = bytes.data;
	node->length = bytes.length;
}

/*
 * Put the value of a field of an AnyValue into a node.  A field 0 is no value.
 * The index of a string (8) means something in profiles only.
 */
static bool
set_value(FmsOtlpDecoder *decoder, uint32 n, const Field *field, int depth)
{
	FmsOtlpNode *node = &decoder->nodes[n];

	switch (field->tag)
	{
		case FIELD(1, WIRE_BYTES):
			set_bytes(node, FMS_OTLP_STRING, field->bytes);
			return true;
		case FIELD(2, WIRE_VARINT):
			node->type = FMS_OTLP_BOOL;
			node->value.boolean = field->number != 0;
			return true;
		case FIELD(3, WIRE_VARINT):
			node->type = FMS_OTLP_INT;
			node->value.integer = (int64) field->number;
			return true;
		case FIELD(4, WIRE_64):
			node->type = FMS_OTLP_DOUBLE;
			memcpy(&node->value.number, &field->number, sizeof(double));
			return true;
		case FIELD(5, WIRE_BYTES):
			return read_values(decoder, n, FMS_OTLP_ARRAY, field->bytes, depth);
		case FIELD(6, WIRE_BYTES):
			return read_values(decoder, n, FMS_OTLP_MAP, field->bytes, depth);
		case FIELD(7, WIRE_BYTES):
			set_bytes(node, FMS_OTLP_BYTES, field->bytes);
			return true;
		default:
			return true;		/* unknown, or the index of a string of
								 * profiles */
	}
}

/* Whether a tag is of a value that an AnyValue can have. */
static bool
is_value(uint64 tag)
{
	return tag == FIELD(1, WIRE_BYTES) || tag == FIELD(2, WIRE_VARINT) ||
		tag == FIELD(3, WIRE_VARINT) || tag == FIELD(4, WIRE_64) ||
		tag == FIELD(5, WIRE_BYTES) || tag == FIELD(6, WIRE_BYTES) || tag == FIELD(7, WIRE_BYTES);
}

/*
 * Read an AnyValue into node number n, the last one.  Calls itself through
 * read_values, FMS_OTLP_MAX_DEPTH deep at most.
 */
static bool
read_any_value(FmsOtlpDecoder *decoder, uint32 n, FmsPart message, int depth)
{
	Reader		reader = reader_of(message);
	Field		value = {0};
	Field		field;

	while (next_field(&reader, &field))
	{
		if (is_value(field.tag))
			value = field;
	}
	return is_sound(decoder, &reader) && set_value(decoder, n, &value, depth);
}

/*
 * Read the attributes of a message, which has them as one field.  They are read
 * in a pass of their own, so that they lie side by side.
 */
static bool
read_attributes(FmsOtlpDecoder *decoder, FmsPart message, uint64 tag, FmsOtlpList *list)
{
	Reader		reader = reader_of(message);
	Field		field;

	list->first = decoder->node_count;
	while (next_field(&reader, &field))
	{
		if (field.tag == tag && !read_key_value(decoder, field.bytes, 0))
			return false;
	}
	list->end = decoder->node_count;
	return is_sound(decoder, &reader);
}

/* Read an Event as a new event of a span. */
static bool
read_event(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	Reader		reader = reader_of(message);
	FmsOtlpEvent *event = fms_otlp_add_event(decoder, span);
	Field		field;

	if (event == NULL)
		return false;
	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(1, WIRE_64))
			event->time = field.number;
		else if (field.tag == FIELD(2, WIRE_BYTES))
			event->name = field.bytes;
		else if (field.tag == FIELD(4, WIRE_VARINT))
			event->dropped_attributes = (uint32) field.number;
	}
	return is_sound(decoder, &reader) &&
		read_attributes(decoder, message, FIELD(3, WIRE_BYTES), &event->attributes);
}

/* Read a Link as a new link of a span. */
static bool
read_link(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	Reader		reader = reader_of(message);
	FmsOtlpLink *link = fms_otlp_add_link(decoder, span);
	Field		field;

	if (link == NULL)
		return false;
	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(1, WIRE_BYTES))
			link->trace_id = field.bytes;
		else if (field.tag == FIELD(2, WIRE_BYTES))
			link->span_id = field.bytes;
		else if (field.tag == FIELD(3, WIRE_BYTES))
			link->trace_state = field.bytes;
		else if (field.tag == FIELD(5, WIRE_VARINT))
			link->dropped_attributes = (uint32) field.number;
		else if (field.tag == FIELD(6, WIRE_32))
			link->flags = (uint32) field.number;
	}
	return is_sound(decoder, &reader) &&
		read_attributes(decoder, message, FIELD(4, WIRE_BYTES), &link->attributes);
}

/* Read a Status into a span. */
static bool
read_status(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	Reader		reader = reader_of(message);
	Field		field;

	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(2, WIRE_BYTES))
			span->message = field.bytes;
		else if (field.tag == FIELD(3, WIRE_VARINT))
			span->code = (int32) field.number;
	}
	return is_sound(decoder, &reader);
}

/* Read a field of a span that is a text; false if it is none. */
static bool
read_span_text(FmsOtlpSpan *span, const Field *field)
{
	switch (field->tag)
	{
		case FIELD(1, WIRE_BYTES):
			span->trace_id = field->bytes;
			return true;
		case FIELD(2, WIRE_BYTES):
			span->span_id = field->bytes;
			return true;
		case FIELD(3, WIRE_BYTES):
			span->trace_state = field->bytes;
			return true;
		case FIELD(4, WIRE_BYTES):
			span->parent_id = field->bytes;
			return true;
		case FIELD(5, WIRE_BYTES):
			span->name = field->bytes;
			return true;
		default:
			return false;
	}
}

/*
 * Read a field of a span that is a number, or else nothing.  Log records have the
 * same field numbers as spans with other forms: that gives them away.
 */
static void
read_span_number(FmsOtlpSpan *span, const Field *field)
{
	switch (field->tag)
	{
		case FIELD(6, WIRE_VARINT):
			span->kind = (int32) field->number;
			break;
		case FIELD(7, WIRE_64):
			span->start = field->number;
			break;
		case FIELD(8, WIRE_64):
			span->end = field->number;
			break;
		case FIELD(10, WIRE_VARINT):
			span->dropped_attributes = (uint32) field->number;
			break;
		case FIELD(12, WIRE_VARINT):
			span->dropped_events = (uint32) field->number;
			break;
		case FIELD(14, WIRE_VARINT):
			span->dropped_links = (uint32) field->number;
			break;
		case FIELD(16, WIRE_32):
			span->flags = (uint32) field->number;
			break;
		case FIELD(1, WIRE_64): /* time_unix_nano and */
		case FIELD(11, WIRE_64):	/* observed_time_unix_nano of a LogRecord */
			span->like_log = true;
			break;
	}
}

/*
 * Read the events and links of a span, after its attributes: theirs would
 * otherwise come to lie between those.
 */
static bool
read_span_parts(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	Reader		reader = reader_of(message);
	Field		field;

	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(11, WIRE_BYTES) && !read_event(decoder, span, field.bytes))
			return false;
		if (field.tag == FIELD(13, WIRE_BYTES) && !read_link(decoder, span, field.bytes))
			return false;
	}
	return true;
}

/* Read a Span; false, with a reason, if it is broken. */
static bool
read_span(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	Reader		reader = reader_of(message);
	bool		parts = false;
	Field		field;

	memset(span, 0, sizeof(*span));
	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(9, WIRE_BYTES))
		{
			if (!read_key_value(decoder, field.bytes, 0))
				return false;
		}
		else if (read_span_text(span, &field))
			continue;
		else if (field.tag == FIELD(11, WIRE_BYTES) || field.tag == FIELD(13, WIRE_BYTES))
			parts = true;
		else if (field.tag == FIELD(15, WIRE_BYTES))
		{
			if (!read_status(decoder, span, field.bytes))
				return false;
		}
		else
			read_span_number(span, &field);
	}
	span->attributes.end = decoder->node_count;
	return is_sound(decoder, &reader) && (!parts || read_span_parts(decoder, span, message));
}

/* Read the keys of an entity that one field has; returns their number. */
static uint32
read_entity_keys(FmsOtlpDecoder *decoder, FmsPart message, uint64 tag)
{
	Reader		reader = reader_of(message);
	uint32		count = 0;
	Field		field;

	while (next_field(&reader, &field))
	{
		if (field.tag == tag && fms_otlp_add_text(decoder, field.bytes))
			count++;
	}
	(void) is_sound(decoder, &reader);
	return count;
}

/* Read an EntityRef as a new entity of a resource. */
static void
read_entity(FmsOtlpDecoder *decoder, FmsOtlpResource *resource, FmsPart message)
{
	FmsOtlpEntity *entity = fms_otlp_add_entity(decoder, resource);
	Field		field;

	if (entity == NULL)
		return;
	if (find_field(message, FIELD(1, WIRE_BYTES), &field))
		entity->schema_url = field.bytes;
	if (find_field(message, FIELD(2, WIRE_BYTES), &field))
		entity->type = field.bytes;
	entity->id_keys = read_entity_keys(decoder, message, FIELD(3, WIRE_BYTES));
	entity->description_keys = read_entity_keys(decoder, message, FIELD(4, WIRE_BYTES));
}

/* Read the Resource of a ResourceSpans; an absent one is an empty one. */
static void
read_resource(FmsOtlpDecoder *decoder, FmsOtlpResource *resource, FmsPart resource_spans)
{
	Field		message;
	Field		field;
	Reader		reader;

	memset(resource, 0, sizeof(*resource));
	if (find_field(resource_spans, FIELD(3, WIRE_BYTES), &field))
		resource->schema_url = field.bytes;
	if (!find_field(resource_spans, FIELD(1, WIRE_BYTES), &message))
		return;
	reader = reader_of(message.bytes);
	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(2, WIRE_VARINT))
			resource->dropped_attributes = (uint32) field.number;
		else if (field.tag == FIELD(3, WIRE_BYTES))
			read_entity(decoder, resource, field.bytes);
	}
	fms_otlp_finish_entities(decoder, resource);
	(void) read_attributes(decoder, message.bytes, FIELD(1, WIRE_BYTES), &resource->attributes);
}

/* Read the InstrumentationScope of a ScopeSpans; an absent one is an empty one. */
static void
read_scope(FmsOtlpDecoder *decoder, FmsOtlpScope *scope, FmsPart scope_spans)
{
	Field		message;
	Field		field;
	Reader		reader;

	memset(scope, 0, sizeof(*scope));
	if (find_field(scope_spans, FIELD(3, WIRE_BYTES), &field))
		scope->schema_url = field.bytes;
	if (!find_field(scope_spans, FIELD(1, WIRE_BYTES), &message))
		return;
	reader = reader_of(message.bytes);
	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(1, WIRE_BYTES))
			scope->name = field.bytes;
		else if (field.tag == FIELD(2, WIRE_BYTES))
			scope->version = field.bytes;
		else if (field.tag == FIELD(4, WIRE_VARINT))
			scope->dropped_attributes = (uint32) field.number;
	}
	(void) read_attributes(decoder, message.bytes, FIELD(3, WIRE_BYTES), &scope->attributes);
}

/*
 * Hand over a ScopeSpans.  Returns false if the sink wants no more.  "refused"
 * is why its spans can't be used, if their resource can't.
 */
static bool
hand_scope_spans(FmsOtlpDecoder *decoder, FmsPart message, const char *refused)
{
	const FmsOtlpSink *sink = decoder->sink;
	Reader		reader = reader_of(message);
	FmsOtlpScope scope;
	FmsOtlpSpan span;
	Field		field;

	if (refused == NULL)
	{
		fms_otlp_forget(decoder);
		fms_otlp_count_group(decoder);
		read_scope(decoder, &scope, message);
		refused = decoder->reason;
	}
	if (refused == NULL && !sink->scope(sink->arg, &scope, decoder->nodes))
		return false;
	while (next_field(&reader, &field))
	{
		if (field.tag != FIELD(2, WIRE_BYTES))
			continue;
		fms_otlp_forget(decoder);
		decoder->reason = refused;
		if (refused == NULL)
			(void) read_span(decoder, &span, field.bytes);
		if (!fms_otlp_finish_span(decoder, &span, field.bytes.length))
			return false;
	}
	return true;
}

/*
 * Hand over a ResourceSpans; false if the sink wants no more.  Spans of a resource
 * that can't be read are rejected one by one, so that they are counted.
 */
static bool
hand_resource_spans(FmsOtlpDecoder *decoder, FmsPart message)
{
	const FmsOtlpSink *sink = decoder->sink;
	Reader		reader = reader_of(message);
	FmsOtlpResource resource;
	const char *refused;
	Field		field;

	fms_otlp_forget(decoder);
	fms_otlp_count_group(decoder);
	read_resource(decoder, &resource, message);
	refused = decoder->reason;
	if (refused == NULL && !sink->resource(sink->arg, &resource, decoder->nodes))
		return false;
	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(2, WIRE_BYTES) && !hand_scope_spans(decoder, field.bytes, refused))
			return false;
	}
	return true;
}

/*
 * Where the frame of a message is broken, down to "levels" of messages in
 * field 1, then 2: resource spans, scope spans.  NULL if it is sound.
 */
static const unsigned char *
check_frame(FmsPart message, int level)
{
	Reader		reader = reader_of(message);
	const unsigned char *broken;
	Field		field;

	while (next_field(&reader, &field))
	{
		if (level == 2 || field.tag != FIELD(level == 0 ? 1 : 2, WIRE_BYTES))
			continue;
		broken = check_frame(field.bytes, level + 1);
		if (broken != NULL)
			return broken;
	}
	return reader.broken ? reader.at : NULL;
}

/*
 * Decode a request.  Returns false, with the error and its byte, and has handed
 * over nothing, if the frame of the request is broken.
 */
bool
fms_otlp_decode_protobuf(const char *body, size_t length, const FmsOtlpSink *sink,
						 const char **error, size_t *error_at)
{
	FmsPart		message = {body, (uint32) length};
	Reader		reader = reader_of(message);
	const unsigned char *broken = check_frame(message, 0);
	FmsOtlpDecoder decoder;
	Field		field;

	if (broken != NULL)
	{
		*error = "protobuf field is broken";
		*error_at = broken - (const unsigned char *) body;
		return false;
	}
	fms_otlp_begin(&decoder, sink);
	while (next_field(&reader, &field))
	{
		if (field.tag == FIELD(1, WIRE_BYTES) && !hand_resource_spans(&decoder, field.bytes))
			break;
	}
	fms_otlp_end(&decoder);
	return true;
}
