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

#include "otlp/in/decode.h"
#include "otlp/reader.h"

/* Say that a message is broken, if it is; else true. */
static bool
is_proto_sound(FmsOtlpDecoder *decoder, const FmsReader *reader)
{
	if (reader->broken)
		return fms_otlp_refuse(decoder, "a field is broken");
	return true;
}

static bool read_proto_any_value(FmsOtlpDecoder *decoder, uint32 node, FmsPart message, int depth);

/*
 * Read a KeyValue as a new node.  Without a value it has none, which is not the
 * same as an empty string.
 */
static bool
read_proto_key_value(FmsOtlpDecoder *decoder, FmsPart message, int depth)
{
	FmsReader	reader = fms_reader_of(message);
	FmsOtlpNode *node = fms_otlp_add_node(decoder);
	FmsPart		value = {NULL, 0};
	FmsReaderField field;

	if (node == NULL)
		return false;
	node->key = message.data;
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(1, FMS_WIRE_BYTES))
		{
			node->key = field.bytes.data;
			node->key_length = field.bytes.length;
		}
		else if (field.tag == FMS_TAG(2, FMS_WIRE_BYTES))
			value = field.bytes;
	}
	if (!is_proto_sound(decoder, &reader))
		return false;
	return value.data == NULL || read_proto_any_value(decoder, decoder->node_count - 1, value, depth);
}

/*
 * Read an ArrayValue or a KeyValueList into a node, the last one: its children are
 * the nodes that follow it.  Nodes may move meanwhile, so they go by number.
 */
static bool
read_proto_values(FmsOtlpDecoder *decoder, uint32 parent, FmsOtlpType type, FmsPart message,
				  int depth)
{
	FmsReader	reader = fms_reader_of(message);
	uint32		count = 0;
	FmsReaderField field;

	if (depth >= FMS_OTLP_MAX_DEPTH)
		return fms_otlp_refuse(decoder, "an attribute is nested deeper than 64");
	while (fms_reader_next(&reader, &field))
	{
		uint32		node = decoder->node_count;

		if (field.tag != FMS_TAG(1, FMS_WIRE_BYTES))
			continue;
		count++;
		if (type == FMS_OTLP_MAP)
		{
			if (!read_proto_key_value(decoder, field.bytes, depth + 1))
				return false;
		}
		else if (fms_otlp_add_node(decoder) == NULL ||
				 !read_proto_any_value(decoder, node, field.bytes, depth + 1))
			return false;
	}
	decoder->nodes[parent].type = type;
	decoder->nodes[parent].length = count;
	decoder->nodes[parent].next = decoder->node_count;
	return is_proto_sound(decoder, &reader);
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
set_value(FmsOtlpDecoder *decoder, uint32 n, const FmsReaderField *field, int depth)
{
	FmsOtlpNode *node = &decoder->nodes[n];

	switch (field->tag)
	{
		case FMS_TAG(1, FMS_WIRE_BYTES):
			set_bytes(node, FMS_OTLP_STRING, field->bytes);
			return true;
		case FMS_TAG(2, FMS_WIRE_VARINT):
			node->type = FMS_OTLP_BOOL;
			node->value.boolean = field->number != 0;
			return true;
		case FMS_TAG(3, FMS_WIRE_VARINT):
			node->type = FMS_OTLP_INT;
			node->value.integer = (int64) field->number;
			return true;
		case FMS_TAG(4, FMS_WIRE_64):
			node->type = FMS_OTLP_DOUBLE;
			memcpy(&node->value.number, &field->number, sizeof(double));
			return true;
		case FMS_TAG(5, FMS_WIRE_BYTES):
			return read_proto_values(decoder, n, FMS_OTLP_ARRAY, field->bytes, depth);
		case FMS_TAG(6, FMS_WIRE_BYTES):
			return read_proto_values(decoder, n, FMS_OTLP_MAP, field->bytes, depth);
		case FMS_TAG(7, FMS_WIRE_BYTES):
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
	return tag == FMS_TAG(1, FMS_WIRE_BYTES) || tag == FMS_TAG(2, FMS_WIRE_VARINT) ||
		tag == FMS_TAG(3, FMS_WIRE_VARINT) || tag == FMS_TAG(4, FMS_WIRE_64) ||
		tag == FMS_TAG(5, FMS_WIRE_BYTES) || tag == FMS_TAG(6, FMS_WIRE_BYTES) || tag == FMS_TAG(7, FMS_WIRE_BYTES);
}

/*
 * Read an AnyValue into node number n, the last one.  Calls itself through
 * read_proto_values, FMS_OTLP_MAX_DEPTH deep at most.
 */
static bool
read_proto_any_value(FmsOtlpDecoder *decoder, uint32 n, FmsPart message, int depth)
{
	FmsReader	reader = fms_reader_of(message);
	FmsReaderField value = {0};
	FmsReaderField field;

	while (fms_reader_next(&reader, &field))
	{
		if (is_value(field.tag))
			value = field;
	}
	return is_proto_sound(decoder, &reader) && set_value(decoder, n, &value, depth);
}

/*
 * Read the attributes of a message, which has them as one field.  They are read
 * in a pass of their own, so that they lie side by side.
 */
static bool
read_proto_attributes(FmsOtlpDecoder *decoder, FmsPart message, uint64 tag, FmsOtlpList *list)
{
	FmsReader	reader = fms_reader_of(message);
	FmsReaderField field;

	list->first = decoder->node_count;
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == tag && !read_proto_key_value(decoder, field.bytes, 0))
			return false;
	}
	list->end = decoder->node_count;
	return is_proto_sound(decoder, &reader);
}

/* Read an Event as a new event of a span. */
static bool
read_proto_event(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	FmsReader	reader = fms_reader_of(message);
	FmsOtlpEvent *event = fms_otlp_add_event(decoder, span);
	FmsReaderField field;

	if (event == NULL)
		return false;
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(1, FMS_WIRE_64))
			event->time = field.number;
		else if (field.tag == FMS_TAG(2, FMS_WIRE_BYTES))
			event->name = field.bytes;
		else if (field.tag == FMS_TAG(4, FMS_WIRE_VARINT))
			event->dropped_attributes = (uint32) field.number;
	}
	return is_proto_sound(decoder, &reader) &&
		read_proto_attributes(decoder, message, FMS_TAG(3, FMS_WIRE_BYTES), &event->attributes);
}

/* Read a Link as a new link of a span. */
static bool
read_proto_link(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	FmsReader	reader = fms_reader_of(message);
	FmsOtlpLink *link = fms_otlp_add_link(decoder, span);
	FmsReaderField field;

	if (link == NULL)
		return false;
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(1, FMS_WIRE_BYTES))
			link->trace_id = field.bytes;
		else if (field.tag == FMS_TAG(2, FMS_WIRE_BYTES))
			link->span_id = field.bytes;
		else if (field.tag == FMS_TAG(3, FMS_WIRE_BYTES))
			link->trace_state = field.bytes;
		else if (field.tag == FMS_TAG(5, FMS_WIRE_VARINT))
			link->dropped_attributes = (uint32) field.number;
		else if (field.tag == FMS_TAG(6, FMS_WIRE_32))
			link->flags = (uint32) field.number;
	}
	return is_proto_sound(decoder, &reader) &&
		read_proto_attributes(decoder, message, FMS_TAG(4, FMS_WIRE_BYTES), &link->attributes);
}

/* Read a Status into a span. */
static bool
read_proto_status(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	FmsReader	reader = fms_reader_of(message);
	FmsReaderField field;

	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(2, FMS_WIRE_BYTES))
			span->message = field.bytes;
		else if (field.tag == FMS_TAG(3, FMS_WIRE_VARINT))
			span->code = (int32) field.number;
	}
	return is_proto_sound(decoder, &reader);
}

/* Read a field of a span that is a text; false if it is none. */
static bool
read_proto_span_text(FmsOtlpSpan *span, const FmsReaderField *field)
{
	switch (field->tag)
	{
		case FMS_TAG(1, FMS_WIRE_BYTES):
			span->trace_id = field->bytes;
			return true;
		case FMS_TAG(2, FMS_WIRE_BYTES):
			span->span_id = field->bytes;
			return true;
		case FMS_TAG(3, FMS_WIRE_BYTES):
			span->trace_state = field->bytes;
			return true;
		case FMS_TAG(4, FMS_WIRE_BYTES):
			span->parent_id = field->bytes;
			return true;
		case FMS_TAG(5, FMS_WIRE_BYTES):
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
read_proto_span_number(FmsOtlpSpan *span, const FmsReaderField *field)
{
	switch (field->tag)
	{
		case FMS_TAG(6, FMS_WIRE_VARINT):
			span->kind = (int32) field->number;
			break;
		case FMS_TAG(7, FMS_WIRE_64):
			span->start = field->number;
			break;
		case FMS_TAG(8, FMS_WIRE_64):
			span->end = field->number;
			break;
		case FMS_TAG(10, FMS_WIRE_VARINT):
			span->dropped_attributes = (uint32) field->number;
			break;
		case FMS_TAG(12, FMS_WIRE_VARINT):
			span->dropped_events = (uint32) field->number;
			break;
		case FMS_TAG(14, FMS_WIRE_VARINT):
			span->dropped_links = (uint32) field->number;
			break;
		case FMS_TAG(16, FMS_WIRE_32):
			span->flags = (uint32) field->number;
			break;
		case FMS_TAG(1, FMS_WIRE_64):	/* time_unix_nano and */
		case FMS_TAG(11, FMS_WIRE_64):	/* observed_time_unix_nano of a
										 * LogRecord */
			span->like_log = true;
			break;
	}
}

/*
 * Read the events and links of a span, after its attributes: theirs would
 * otherwise come to lie between those.
 */
static bool
read_proto_span_parts(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	FmsReader	reader = fms_reader_of(message);
	FmsReaderField field;

	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(11, FMS_WIRE_BYTES) && !read_proto_event(decoder, span, field.bytes))
			return false;
		if (field.tag == FMS_TAG(13, FMS_WIRE_BYTES) && !read_proto_link(decoder, span, field.bytes))
			return false;
	}
	return true;
}

/* Read a Span; false, with a reason, if it is broken. */
static bool
read_proto_span(FmsOtlpDecoder *decoder, FmsOtlpSpan *span, FmsPart message)
{
	FmsReader	reader = fms_reader_of(message);
	bool		parts = false;
	FmsReaderField field;

	memset(span, 0, sizeof(*span));
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(9, FMS_WIRE_BYTES))
		{
			if (!read_proto_key_value(decoder, field.bytes, 0))
				return false;
		}
		else if (read_proto_span_text(span, &field))
			continue;
		else if (field.tag == FMS_TAG(11, FMS_WIRE_BYTES) || field.tag == FMS_TAG(13, FMS_WIRE_BYTES))
			parts = true;
		else if (field.tag == FMS_TAG(15, FMS_WIRE_BYTES))
		{
			if (!read_proto_status(decoder, span, field.bytes))
				return false;
		}
		else
			read_proto_span_number(span, &field);
	}
	span->attributes.end = decoder->node_count;
	return is_proto_sound(decoder, &reader) && (!parts || read_proto_span_parts(decoder, span, message));
}

/* Read the keys of an entity that one field has; returns their number. */
static uint32
read_proto_entity_keys(FmsOtlpDecoder *decoder, FmsPart message, uint64 tag)
{
	FmsReader	reader = fms_reader_of(message);
	uint32		count = 0;
	FmsReaderField field;

	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == tag && fms_otlp_add_text(decoder, field.bytes))
			count++;
	}
	(void) is_proto_sound(decoder, &reader);
	return count;
}

/* Read an EntityRef as a new entity of a resource. */
static void
read_proto_entity(FmsOtlpDecoder *decoder, FmsOtlpResource *resource, FmsPart message)
{
	FmsOtlpEntity *entity = fms_otlp_add_entity(decoder, resource);
	FmsReaderField field;

	if (entity == NULL)
		return;
	if (fms_reader_find(fms_reader_of(message), FMS_TAG(1, FMS_WIRE_BYTES), &field))
		entity->schema_url = field.bytes;
	if (fms_reader_find(fms_reader_of(message), FMS_TAG(2, FMS_WIRE_BYTES), &field))
		entity->type = field.bytes;
	entity->id_keys = read_proto_entity_keys(decoder, message, FMS_TAG(3, FMS_WIRE_BYTES));
	entity->description_keys = read_proto_entity_keys(decoder, message, FMS_TAG(4, FMS_WIRE_BYTES));
}

/* Read the Resource of a ResourceSpans; an absent one is an empty one. */
static void
read_proto_resource(FmsOtlpDecoder *decoder, FmsOtlpResource *resource, FmsPart resource_spans)
{
	FmsReaderField message;
	FmsReaderField field;
	FmsReader	reader;

	memset(resource, 0, sizeof(*resource));
	if (fms_reader_find(fms_reader_of(resource_spans), FMS_TAG(3, FMS_WIRE_BYTES), &field))
		resource->schema_url = field.bytes;
	if (!fms_reader_find(fms_reader_of(resource_spans), FMS_TAG(1, FMS_WIRE_BYTES), &message))
		return;
	reader = fms_reader_of(message.bytes);
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(2, FMS_WIRE_VARINT))
			resource->dropped_attributes = (uint32) field.number;
		else if (field.tag == FMS_TAG(3, FMS_WIRE_BYTES))
			read_proto_entity(decoder, resource, field.bytes);
	}
	fms_otlp_finish_entities(decoder, resource);
	(void) read_proto_attributes(decoder, message.bytes, FMS_TAG(1, FMS_WIRE_BYTES), &resource->attributes);
}

/* Read the InstrumentationScope of a ScopeSpans; an absent one is an empty one. */
static void
read_proto_scope(FmsOtlpDecoder *decoder, FmsOtlpScope *scope, FmsPart scope_spans)
{
	FmsReaderField message;
	FmsReaderField field;
	FmsReader	reader;

	memset(scope, 0, sizeof(*scope));
	if (fms_reader_find(fms_reader_of(scope_spans), FMS_TAG(3, FMS_WIRE_BYTES), &field))
		scope->schema_url = field.bytes;
	if (!fms_reader_find(fms_reader_of(scope_spans), FMS_TAG(1, FMS_WIRE_BYTES), &message))
		return;
	reader = fms_reader_of(message.bytes);
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(1, FMS_WIRE_BYTES))
			scope->name = field.bytes;
		else if (field.tag == FMS_TAG(2, FMS_WIRE_BYTES))
			scope->version = field.bytes;
		else if (field.tag == FMS_TAG(4, FMS_WIRE_VARINT))
			scope->dropped_attributes = (uint32) field.number;
	}
	(void) read_proto_attributes(decoder, message.bytes, FMS_TAG(3, FMS_WIRE_BYTES), &scope->attributes);
}

/*
 * Hand over a ScopeSpans.  Returns false if the sink wants no more.  "refused"
 * is why its spans can't be used, if their resource can't.
 */
static bool
hand_proto_scope_spans(FmsOtlpDecoder *decoder, FmsPart message, const char *refused)
{
	const FmsOtlpSink *sink = decoder->sink;
	FmsReader	reader = fms_reader_of(message);
	FmsOtlpScope scope;
	FmsOtlpSpan span;
	FmsReaderField field;

	if (refused == NULL)
	{
		fms_otlp_forget(decoder);
		fms_otlp_count_group(decoder);
		read_proto_scope(decoder, &scope, message);
		refused = decoder->reason;
	}
	if (refused == NULL && !sink->scope(sink->arg, &scope, decoder->nodes))
		return false;
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag != FMS_TAG(2, FMS_WIRE_BYTES))
			continue;
		fms_otlp_forget(decoder);
		decoder->reason = refused;
		if (refused == NULL)
			(void) read_proto_span(decoder, &span, field.bytes);
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
hand_proto_resource_spans(FmsOtlpDecoder *decoder, FmsPart message)
{
	const FmsOtlpSink *sink = decoder->sink;
	FmsReader	reader = fms_reader_of(message);
	FmsOtlpResource resource;
	const char *refused;
	FmsReaderField field;

	fms_otlp_forget(decoder);
	fms_otlp_count_group(decoder);
	read_proto_resource(decoder, &resource, message);
	refused = decoder->reason;
	if (refused == NULL && !sink->resource(sink->arg, &resource, decoder->nodes))
		return false;
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(2, FMS_WIRE_BYTES) && !hand_proto_scope_spans(decoder, field.bytes, refused))
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
	FmsReader	reader = fms_reader_of(message);
	const unsigned char *broken;
	FmsReaderField field;

	while (fms_reader_next(&reader, &field))
	{
		if (level == 2 || field.tag != FMS_TAG(level == 0 ? 1 : 2, FMS_WIRE_BYTES))
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
	FmsReader	reader = fms_reader_of(message);
	const unsigned char *broken = check_frame(message, 0);
	FmsOtlpDecoder decoder;
	FmsReaderField field;

	if (broken != NULL)
	{
		*error = "protobuf field is broken";
		*error_at = broken - (const unsigned char *) body;
		return false;
	}
	fms_otlp_begin(&decoder, sink);
	while (fms_reader_next(&reader, &field))
	{
		if (field.tag == FMS_TAG(1, FMS_WIRE_BYTES) && !hand_proto_resource_spans(&decoder, field.bytes))
			break;
	}
	fms_otlp_end(&decoder);
	return true;
}
