/*-------------------------------------------------------------------------
 *
 * json.c
 *	  A reader of ExportTraceServiceRequest in JSON.
 *
 * The text is checked as a whole, then read in place.  Members can come in any
 * order; those that have to be known first (a resource, a scope, the schema
 * URLs) are looked for before the spans are read.  Members that we do not know,
 * and those that are null, are passed over.  Of a member that comes twice the
 * last one counts.
 *
 * As protobuf's JSON form wants it: 64-bit numbers are strings or numbers, a
 * double may be a string or one of "NaN", "Infinity" and "-Infinity", bytes are
 * base64 of either alphabet.  As OTLP wants it: ids are hexadecimal digits,
 * enums are numbers, keys are in lowerCamelCase.  An intValue that is not a
 * 64-bit integer, which JavaScript makes of a large number, is a double.
 *
 * A member of a wrong type costs its span.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "otlp/in/scan.h"

typedef FmsOtlpDecoder Decoder;

/*
 * Move on to the next member of an object whose value is not null; false at
 * the end of the object.
 */
static bool
next_member(Decoder *decoder, FmsScan *scan, FmsPart *key)
{
	while (fms_scan_more(scan, '}'))
	{
		*key = fms_scan_key(scan, decoder);
		if (!fms_scan_null(scan))
			return true;
	}
	return false;
}

/*
 * Enter an object or an array, or say that the value at hand is none: "reason"
 * then becomes why the span is rejected.
 */
static bool
enter_bracket(Decoder *decoder, FmsScan *scan, char bracket, const char *reason)
{
	return fms_scan_begin(scan, bracket) || fms_otlp_refuse(decoder, reason);
}

/*
 * Read a text.  It points into the request or, if it had escapes, into the
 * decoder's memory; both live until the span is handed over.
 */
static bool
read_text(Decoder *decoder, FmsScan *scan, FmsPart *text)
{
	if (scan->at >= scan->end || *scan->at != '"')
		return fms_otlp_refuse(decoder, "a text is not a JSON string");
	*text = fms_scan_string(scan, decoder);
	return true;
}

/*
 * The digits of a number, which may be in a string; empty if it is none.  That
 * they are a number is for the caller to find out: a string can hold anything.
 */
static FmsPart
read_digits(Decoder *decoder, FmsScan *scan)
{
	if (scan->at < scan->end && *scan->at == '"')
		return fms_scan_string(scan, decoder);
	return fms_scan_number(scan);
}

/*
 * Read an unsigned number of at most "limit": times and counts.  A number with a
 * fraction, a sign or an infinite one is refused rather than guessed at.
 */
static bool
read_unsigned(Decoder *decoder, FmsScan *scan, uint64 limit, uint64 *number)
{
	FmsPart		digits = read_digits(decoder, scan);
	double		value;

	if (!fms_scan_unsigned(digits, number))
	{
		/* JavaScript writes large numbers with an exponent */
		if (!fms_scan_double(digits, &value) || value < 0 || value >= 18446744073709551616.0 ||
			value != floor(value))
			return fms_otlp_refuse(decoder, "a number is not an unsigned integer");
		*number = (uint64) value;
	}
	if (*number > limit)
		return fms_otlp_refuse(decoder, "a number is too large for its field");
	return true;
}

/* Read an unsigned number of 32 bits. */
static bool
read_uint32(Decoder *decoder, FmsScan *scan, uint32 *number)
{
	uint64		value;

	if (!read_unsigned(decoder, scan, PG_UINT32_MAX, &value))
		return false;
	*number = (uint32) value;
	return true;
}

/*
 * Read a number of an enum.  Numbers that OTLP has no name for are kept, as a
 * newer version may know them; names are not numbers and are refused.
 */
static bool
read_enum(Decoder *decoder, FmsScan *scan, int32 *number)
{
	int64		value;

	if (!fms_scan_signed(fms_scan_number(scan), &value) ||
		value < PG_INT32_MIN || value > PG_INT32_MAX)
		return fms_otlp_refuse(decoder, "kind or status code is not a number");
	*number = (int32) value;
	return true;
}

/*
 * Read an id of hexadecimal digits of either case.  Its length is checked when
 * the span is complete; an id in base64, as protobuf's own JSON form would have
 * it, fails here or there.
 */
static bool
read_id(Decoder *decoder, FmsScan *scan, FmsPart *id)
{
	FmsPart		digits;
	char	   *bytes;

	if (!read_text(decoder, scan, &digits))
		return false;
	bytes = fms_otlp_take_bytes(decoder, digits.length / 2);
	for (uint32 i = 0; i + 1 < digits.length; i += 2)
	{
		int			high = fms_hex_digit(digits.data[i]);
		int			low = fms_hex_digit(digits.data[i + 1]);

		if (high < 0 || low < 0)
			return fms_otlp_refuse(decoder, "an id is not of hexadecimal digits");
		bytes[i / 2] = high << 4 | low;
	}
	if (digits.length % 2 != 0)
		return fms_otlp_refuse(decoder, "an id is not of hexadecimal digits");
	id->data = bytes;
	id->length = digits.length / 2;
	return true;
}

/* The value of a digit of base64 in either alphabet, or 64. */
static unsigned int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : 64;
}

/*
 * Read bytes in base64, with or without padding.  Both alphabets are taken, as
 * protobuf's JSON form says; bits that are left over at the end are not looked
 * at.
 */
static bool
read_base64(Decoder *decoder, FmsScan *scan, FmsPart *bytes)
{
	FmsPart		text = {NULL, 0};
	uint32		group = 0;
	char	   *out;

	if (!read_text(decoder, scan, &text))
		return false;
	while (text.length > 0 && text.data[text.length - 1] == '=')
		text.length--;
	if (text.length % 4 == 1)
		return fms_otlp_refuse(decoder, "bytesValue is not base64");
	out = fms_otlp_take_bytes(decoder, text.length / 4 * 3 + 3);
	bytes->data = out;
	for (uint32 i = 0; i < text.length; i++)
	{
		unsigned int digit = base64_digit(text.data[i]);

		if (digit > 63)
			return fms_otlp_refuse(decoder, "bytesValue is not base64");
		group = group << 6 | digit;
		/* of four digits the second, third and fourth complete a byte */
		if (i % 4 != 0)
			*out++ = group >> (6 - i % 4 * 2);
	}
	bytes->length = out - bytes->data;
	return true;
}

/* Read a double, as a number or in a string, or by one of its three names. */
static bool
read_double(Decoder *decoder, FmsScan *scan, double *number)
{
	FmsPart		text = read_digits(decoder, scan);

	if (fms_part_is(text, "NaN"))
		*number = NAN;
	else if (fms_part_is(text, "Infinity"))
		*number = HUGE_VAL;
	else if (fms_part_is(text, "-Infinity"))
		*number = -HUGE_VAL;
	else if (!fms_scan_double(text, number))
		return fms_otlp_refuse(decoder, "doubleValue is not a number");
	return true;
}

/*
 * Read an intValue into a node.  JavaScript has no integers: its SDK tells 1e+300
 * as one.  The value is kept as the double that it is.
 */
static bool
read_int(Decoder *decoder, FmsScan *scan, FmsOtlpNode *node)
{
	FmsPart		digits = read_digits(decoder, scan);

	node->type = FMS_OTLP_INT;
	if (fms_scan_signed(digits, &node->value.integer))
		return true;
	node->type = FMS_OTLP_DOUBLE;
	return fms_scan_double(digits, &node->value.number) ||
		fms_otlp_refuse(decoder, "intValue is not a number");
}

/* Read true or false into a node. */
static bool
read_bool(Decoder *decoder, FmsScan *scan, FmsOtlpNode *node)
{
	node->type = FMS_OTLP_BOOL;
	node->value.boolean = scan->at < scan->end && *scan->at == 't';
	if (!node->value.boolean && (scan->at >= scan->end || *scan->at != 'f'))
		return fms_otlp_refuse(decoder, "boolValue is not true or false");
	fms_scan_skip(scan);
	return true;
}

static bool read_any_value(Decoder *decoder, FmsScan *scan, uint32 n, int depth);

/*
 * Read a KeyValue as a new node.  The nodes may move while its value is read, so
 * the key is put in at the end, by number.
 */
static bool
read_key_value(Decoder *decoder, FmsScan *scan, int depth)
{
	uint32		n = decoder->node_count;
	FmsOtlpNode *node = fms_otlp_add_node(decoder);
	FmsPart		name;
	FmsPart		key = {"", 0};

	if (node == NULL)
		return false;
	if (!enter_bracket(decoder, scan, '{', "an attribute is not an object"))
		return false;
	while (next_member(decoder, scan, &name))
	{
		if (fms_part_is(name, "key"))
		{
			if (!read_text(decoder, scan, &key))
				return false;
		}
		else if (fms_part_is(name, "value"))
		{
			if (!read_any_value(decoder, scan, n, depth))
				return false;
		}
		else
			fms_scan_skip(scan);
	}
	decoder->nodes[n].key = key.data;
	decoder->nodes[n].key_length = key.length;
	return true;
}

/*
 * Read the "values" of an array or a map into node n, the last one.  Its children
 * are the nodes that follow it; what an earlier "values" brought is replaced.
 */
static bool
read_values(Decoder *decoder, FmsScan *scan, uint32 n, FmsOtlpType type, int depth)
{
	uint32		count = 0;

	if (!enter_bracket(decoder, scan, '[', "values are not an array"))
		return false;
	decoder->node_count = n + 1;
	while (fms_scan_more(scan, ']'))
	{
		uint32		child = decoder->node_count;

		count++;
		if (type == FMS_OTLP_MAP)
		{
			if (!read_key_value(decoder, scan, depth + 1))
				return false;
		}
		else if (fms_otlp_add_node(decoder) == NULL ||
				 !read_any_value(decoder, scan, child, depth + 1))
			return false;
	}
	decoder->nodes[n].length = count;
	decoder->nodes[n].next = decoder->node_count;
	return true;
}

/* Read an arrayValue or a kvlistValue into node n, the last one. */
static bool
read_container(Decoder *decoder, FmsScan *scan, uint32 n, FmsOtlpType type, int depth)
{
	FmsPart		name;

	decoder->nodes[n].type = type;
	decoder->nodes[n].length = 0;
	if (depth >= FMS_OTLP_MAX_DEPTH)
		return fms_otlp_refuse(decoder, "an attribute is nested deeper than 64");
	if (!enter_bracket(decoder, scan, '{', "arrayValue or kvlistValue is not an object"))
		return false;
	while (next_member(decoder, scan, &name))
	{
		if (!fms_part_is(name, "values"))
			fms_scan_skip(scan);
		else if (!read_values(decoder, scan, n, type, depth))
			return false;
	}
	return true;
}

/* Read a string or bytes into node n. */
static bool
read_node_bytes(Decoder *decoder, FmsScan *scan, uint32 n, FmsOtlpType type)
{
	FmsPart		bytes = {NULL, 0};
	bool		good = type == FMS_OTLP_STRING ?
		read_text(decoder, scan, &bytes) : read_base64(decoder, scan, &bytes);

	if (!good)
		return false;
	decoder->nodes[n].type = type;
	decoder->nodes[n].value.bytes = bytes.data;
	decoder->nodes[n].length = bytes.length;
	return true;
}

/* The type that a member of an AnyValue stands for; none for one that is not known. */
static FmsOtlpType
type_of_member(FmsPart name)
{
	static const struct
	{
		const char *name;
		FmsOtlpType type;
	}			members[] = {
		{"stringValue", FMS_OTLP_STRING},
		{"intValue", FMS_OTLP_INT},
		{"boolValue", FMS_OTLP_BOOL},
		{"doubleValue", FMS_OTLP_DOUBLE},
		{"arrayValue", FMS_OTLP_ARRAY},
		{"kvlistValue", FMS_OTLP_MAP},
		{"bytesValue", FMS_OTLP_BYTES},
	};

	for (int i = 0; i < (int) lengthof(members); i++)
	{
		if (fms_part_is(name, members[i].name))
			return members[i].type;
	}
	return FMS_OTLP_EMPTY;
}

/* Read the member of an AnyValue into node n, whose value before is replaced. */
static bool
read_value_member(Decoder *decoder, FmsScan *scan, uint32 n, FmsPart name, int depth)
{
	FmsOtlpType type = type_of_member(name);
	FmsOtlpNode *node = &decoder->nodes[n];

	if (type == FMS_OTLP_EMPTY)
	{
		fms_scan_skip(scan);
		return true;
	}
	decoder->node_count = node->next = n + 1;
	switch (type)
	{
		case FMS_OTLP_INT:
			return read_int(decoder, scan, node);
		case FMS_OTLP_BOOL:
			return read_bool(decoder, scan, node);
		case FMS_OTLP_DOUBLE:
			node->type = FMS_OTLP_DOUBLE;
			return read_double(decoder, scan, &node->value.number);
		case FMS_OTLP_ARRAY:
		case FMS_OTLP_MAP:
			return read_container(decoder, scan, n, type, depth);
		default:
			return read_node_bytes(decoder, scan, n, type);
	}
}

/*
 * Read an AnyValue into node n, the last one.  Calls itself through
 * read_container, FMS_OTLP_MAX_DEPTH deep at most.
 */
static bool
read_any_value(Decoder *decoder, FmsScan *scan, uint32 n, int depth)
{
	FmsPart		name;

	/* protobuf has no null in an array; JSON's is no value */
	if (fms_scan_null(scan))
		return true;
	if (!enter_bracket(decoder, scan, '{', "a value is not an object"))
		return false;
	while (next_member(decoder, scan, &name))
	{
		if (!read_value_member(decoder, scan, n, name, depth))
			return false;
	}
	return true;
}

/*
 * Read attributes.  They lie side by side, whatever is read before and after
 * them; if the member comes twice, the first list stays unused.
 */
static bool
read_attributes(Decoder *decoder, FmsScan *scan, FmsOtlpList *list)
{
	if (!enter_bracket(decoder, scan, '[', "attributes are not an array"))
		return false;
	list->first = decoder->node_count;
	while (fms_scan_more(scan, ']'))
	{
		if (!read_key_value(decoder, scan, 0))
			return false;
	}
	list->end = decoder->node_count;
	return true;
}

/* Read an event as a new event of a span. */
static bool
read_event(Decoder *decoder, FmsScan *scan, FmsOtlpSpan *span)
{
	FmsOtlpEvent *event = fms_otlp_add_event(decoder, span);
	FmsPart		name;
	bool		good = true;

	if (event == NULL || !enter_bracket(decoder, scan, '{', "an event is not an object"))
		return false;
	while (good && next_member(decoder, scan, &name))
	{
		if (fms_part_is(name, "timeUnixNano"))
			good = read_unsigned(decoder, scan, PG_UINT64_MAX, &event->time);
		else if (fms_part_is(name, "name"))
			good = read_text(decoder, scan, &event->name);
		else if (fms_part_is(name, "attributes"))
			good = read_attributes(decoder, scan, &event->attributes);
		else if (fms_part_is(name, "droppedAttributesCount"))
			good = read_uint32(decoder, scan, &event->dropped_attributes);
		else
			fms_scan_skip(scan);
	}
	return good;
}

/* Read a link as a new link of a span. */
static bool
read_link(Decoder *decoder, FmsScan *scan, FmsOtlpSpan *span)
{
	FmsOtlpLink *link = fms_otlp_add_link(decoder, span);
	FmsPart		name;
	bool		good = true;

	if (link == NULL || !enter_bracket(decoder, scan, '{', "a link is not an object"))
		return false;
	while (good && next_member(decoder, scan, &name))
	{
		if (fms_part_is(name, "traceId"))
			good = read_id(decoder, scan, &link->trace_id);
		else if (fms_part_is(name, "spanId"))
			good = read_id(decoder, scan, &link->span_id);
		else if (fms_part_is(name, "traceState"))
			good = read_text(decoder, scan, &link->trace_state);
		else if (fms_part_is(name, "attributes"))
			good = read_attributes(decoder, scan, &link->attributes);
		else if (fms_part_is(name, "droppedAttributesCount"))
			good = read_uint32(decoder, scan, &link->dropped_attributes);
		else if (fms_part_is(name, "flags"))
			good = read_uint32(decoder, scan, &link->flags);
		else
			fms_scan_skip(scan);
	}
	return good;
}

/* Read a status into a span; a newer code than we know is kept. */
static bool
read_status(Decoder *decoder, FmsScan *scan, FmsOtlpSpan *span)
{
	FmsPart		name;
	bool		good = true;

	if (!enter_bracket(decoder, scan, '{', "status is not an object"))
		return false;
	while (good && next_member(decoder, scan, &name))
	{
		if (fms_part_is(name, "message"))
			good = read_text(decoder, scan, &span->message);
		else if (fms_part_is(name, "code"))
			good = read_enum(decoder, scan, &span->code);
		else
			fms_scan_skip(scan);
	}
	return good;
}

/*
 * Read the events or the links of a span, each with "read_part".  One that is
 * broken costs the span: it would be another one without it.
 */
static bool
read_span_parts(Decoder *decoder, FmsScan *scan, FmsOtlpSpan *span,
				bool (*read_part) (Decoder *, FmsScan *, FmsOtlpSpan *))
{
	if (!enter_bracket(decoder, scan, '[', "events or links are not an array"))
		return false;
	while (fms_scan_more(scan, ']'))
	{
		if (!read_part(decoder, scan, span))
			return false;
	}
	return true;
}

/*
 * Read a member of a span that a text or an id is; *known tells if it is one.
 * The three functions of this kind exist because one would be too long.
 */
static bool
read_span_text(Decoder *decoder, FmsScan *scan, FmsOtlpSpan *span, FmsPart name, bool *known)
{
	*known = true;
	if (fms_part_is(name, "traceId"))
		return read_id(decoder, scan, &span->trace_id);
	if (fms_part_is(name, "spanId"))
		return read_id(decoder, scan, &span->span_id);
	if (fms_part_is(name, "parentSpanId"))
		return read_id(decoder, scan, &span->parent_id);
	if (fms_part_is(name, "name"))
		return read_text(decoder, scan, &span->name);
	if (fms_part_is(name, "traceState"))
		return read_text(decoder, scan, &span->trace_state);
	*known = false;
	return true;
}

/* Read a member of a span that a number is; *known tells if it is one. */
static bool
read_span_number(Decoder *decoder, FmsScan *scan, FmsOtlpSpan *span, FmsPart name, bool *known)
{
	*known = true;
	if (fms_part_is(name, "kind"))
		return read_enum(decoder, scan, &span->kind);
	if (fms_part_is(name, "startTimeUnixNano"))
		return read_unsigned(decoder, scan, PG_UINT64_MAX, &span->start);
	if (fms_part_is(name, "endTimeUnixNano"))
		return read_unsigned(decoder, scan, PG_UINT64_MAX, &span->end);
	if (fms_part_is(name, "flags"))
		return read_uint32(decoder, scan, &span->flags);
	if (fms_part_is(name, "droppedAttributesCount"))
		return read_uint32(decoder, scan, &span->dropped_attributes);
	if (fms_part_is(name, "droppedEventsCount"))
		return read_uint32(decoder, scan, &span->dropped_events);
	if (fms_part_is(name, "droppedLinksCount"))
		return read_uint32(decoder, scan, &span->dropped_links);
	*known = false;
	return true;
}

/* Read a member of a span that has parts, or pass over one that is not known. */
static bool
read_span_other(Decoder *decoder, FmsScan *scan, FmsOtlpSpan *span, FmsPart name)
{
	if (fms_part_is(name, "attributes"))
		return read_attributes(decoder, scan, &span->attributes);
	if (fms_part_is(name, "status"))
		return read_status(decoder, scan, span);
	if (fms_part_is(name, "events"))
	{
		span->event_count = 0;
		return read_span_parts(decoder, scan, span, read_event);
	}
	if (fms_part_is(name, "links"))
	{
		span->link_count = 0;
		return read_span_parts(decoder, scan, span, read_link);
	}
	if (fms_part_is(name, "timeUnixNano") || fms_part_is(name, "observedTimeUnixNano"))
		span->like_log = true;
	fms_scan_skip(scan);
	return true;
}

/* Read a span; false, with a reason, if it can't be used. */
static bool
read_span(Decoder *decoder, FmsScan *scan, FmsOtlpSpan *span)
{
	FmsPart		name;
	bool		known;

	memset(span, 0, sizeof(*span));
	if (!enter_bracket(decoder, scan, '{', "it is not an object"))
		return false;
	while (next_member(decoder, scan, &name))
	{
		if (!read_span_text(decoder, scan, span, name, &known))
			return false;
		if (!known && !read_span_number(decoder, scan, span, name, &known))
			return false;
		if (!known && !read_span_other(decoder, scan, span, name))
			return false;
	}
	return true;
}

/* Read keys of an entity; returns their number. */
static uint32
read_entity_keys(Decoder *decoder, FmsScan *scan)
{
	uint32		count = 0;
	FmsPart		key;

	if (!enter_bracket(decoder, scan, '[', "keys of an entity are not an array"))
		return 0;
	while (fms_scan_more(scan, ']'))
	{
		if (!read_text(decoder, scan, &key) || !fms_otlp_add_text(decoder, key))
			return count;
		count++;
	}
	return count;
}

/* Find members of an object by their names; the places of others stay NULL. */
static void
find_members(Decoder *decoder, FmsScan scan, const char *const *names, int count,
			 const char **places)
{
	FmsPart		name;

	for (int i = 0; i < count; i++)
		places[i] = NULL;
	if (!fms_scan_begin(&scan, '{'))
		return;
	while (next_member(decoder, &scan, &name))
	{
		for (int i = 0; i < count; i++)
		{
			if (fms_part_is(name, names[i]))
				places[i] = scan.at;
		}
		fms_scan_skip(&scan);
	}
}

/* Read an entity as a new one of a resource; the id keys come first. */
static bool
read_entity(Decoder *decoder, FmsScan *scan, FmsOtlpResource *resource)
{
	static const char *const names[] = {"schemaUrl", "type", "idKeys", "descriptionKeys"};
	FmsOtlpEntity *entity = fms_otlp_add_entity(decoder, resource);
	const char *places[4];
	FmsScan		part = {NULL, scan->end};

	if (entity == NULL)
		return false;
	find_members(decoder, *scan, names, 4, places);
	fms_scan_skip(scan);
	if ((part.at = places[0]) != NULL)
		(void) read_text(decoder, &part, &entity->schema_url);
	if ((part.at = places[1]) != NULL)
		(void) read_text(decoder, &part, &entity->type);
	if ((part.at = places[2]) != NULL)
		entity->id_keys = read_entity_keys(decoder, &part);
	if ((part.at = places[3]) != NULL)
		entity->description_keys = read_entity_keys(decoder, &part);
	return decoder->reason == NULL;
}

/* Read the entities of a resource. */
static bool
read_entities(Decoder *decoder, FmsScan *scan, FmsOtlpResource *resource)
{
	resource->entity_count = 0;
	decoder->text_count = 0;
	if (!enter_bracket(decoder, scan, '[', "entityRefs are not an array"))
		return false;
	while (fms_scan_more(scan, ']'))
	{
		if (!read_entity(decoder, scan, resource))
			return false;
	}
	fms_otlp_finish_entities(decoder, resource);
	return true;
}

/*
 * Read a resource.  If it is broken, so are the spans below it: they are
 * rejected, for they would be told under a resource that is not theirs.
 */
static bool
read_resource(Decoder *decoder, FmsScan *scan, FmsOtlpResource *resource)
{
	FmsPart		name;
	bool		good = true;

	if (!enter_bracket(decoder, scan, '{', "resource is not an object"))
		return false;
	while (good && next_member(decoder, scan, &name))
	{
		if (fms_part_is(name, "attributes"))
			good = read_attributes(decoder, scan, &resource->attributes);
		else if (fms_part_is(name, "droppedAttributesCount"))
			good = read_uint32(decoder, scan, &resource->dropped_attributes);
		else if (fms_part_is(name, "entityRefs"))
			good = read_entities(decoder, scan, resource);
		else
			fms_scan_skip(scan);
	}
	return good;
}

/* Read a scope; what is said of a resource holds for it and its spans. */
static bool
read_scope(Decoder *decoder, FmsScan *scan, FmsOtlpScope *scope)
{
	FmsPart		name;
	bool		good = true;

	if (!enter_bracket(decoder, scan, '{', "scope is not an object"))
		return false;
	while (good && next_member(decoder, scan, &name))
	{
		if (fms_part_is(name, "name"))
			good = read_text(decoder, scan, &scope->name);
		else if (fms_part_is(name, "version"))
			good = read_text(decoder, scan, &scope->version);
		else if (fms_part_is(name, "attributes"))
			good = read_attributes(decoder, scan, &scope->attributes);
		else if (fms_part_is(name, "droppedAttributesCount"))
			good = read_uint32(decoder, scan, &scope->dropped_attributes);
		else
			fms_scan_skip(scan);
	}
	return good;
}

/*
 * Hand over the spans of an array; false if the sink wants no more.  Each is
 * read from a copy of the place: after an error it is passed over from its
 * begin, where the brackets can be counted.
 */
static bool
hand_spans(Decoder *decoder, FmsScan *scan, const char *refused)
{
	FmsOtlpSpan span;

	if (!fms_scan_begin(scan, '['))
		return decoder->sink->reject(decoder->sink->arg, "spans are not an array");
	while (fms_scan_more(scan, ']'))
	{
		FmsScan		inside = *scan;

		fms_otlp_forget(decoder);
		decoder->reason = refused;
		if (refused != NULL || !read_span(decoder, &inside, &span))
		{
			inside = *scan;
			fms_scan_skip(&inside);
		}
		if (!fms_otlp_finish_span(decoder, &span, inside.at - scan->at))
			return false;
		*scan = inside;
	}
	return true;
}

/*
 * Hand over an element of scopeSpans; false if the sink wants no more.  Its
 * members are found first and read then, in the order that the sink wants.
 */
static bool
hand_scope_spans(Decoder *decoder, FmsScan *scan, const char *refused)
{
	static const char *const names[] = {"scope", "schemaUrl", "spans"};
	const FmsOtlpSink *sink = decoder->sink;
	const char *places[3];
	FmsScan		part = {NULL, scan->end};
	FmsOtlpScope scope;

	fms_otlp_forget(decoder);
	fms_otlp_count_group(decoder);
	memset(&scope, 0, sizeof(scope));
	find_members(decoder, *scan, names, 3, places);
	fms_scan_skip(scan);
	if ((part.at = places[0]) != NULL)
		(void) read_scope(decoder, &part, &scope);
	if ((part.at = places[1]) != NULL)
		(void) read_text(decoder, &part, &scope.schema_url);
	if (refused == NULL)
		refused = decoder->reason;
	if (refused == NULL && !sink->scope(sink->arg, &scope, decoder->nodes))
		return false;
	part.at = places[2];
	return part.at == NULL || hand_spans(decoder, &part, refused);
}

/* Hand over an element of resourceSpans; false if the sink wants no more. */
static bool
hand_resource_spans(Decoder *decoder, FmsScan *scan)
{
	static const char *const names[] = {"resource", "schemaUrl", "scopeSpans"};
	const FmsOtlpSink *sink = decoder->sink;
	const char *places[3];
	FmsScan		part = {NULL, scan->end};
	FmsOtlpResource resource;
	const char *refused;

	fms_otlp_forget(decoder);
	fms_otlp_count_group(decoder);
	memset(&resource, 0, sizeof(resource));
	find_members(decoder, *scan, names, 3, places);
	fms_scan_skip(scan);
	if ((part.at = places[0]) != NULL)
		(void) read_resource(decoder, &part, &resource);
	if ((part.at = places[1]) != NULL)
		(void) read_text(decoder, &part, &resource.schema_url);
	refused = decoder->reason;
	if (refused == NULL && !sink->resource(sink->arg, &resource, decoder->nodes))
		return false;
	if ((part.at = places[2]) == NULL)
		return true;
	if (!fms_scan_begin(&part, '['))
		return sink->reject(sink->arg, "scopeSpans are not an array");
	while (fms_scan_more(&part, ']'))
	{
		if (!hand_scope_spans(decoder, &part, refused))
			return false;
	}
	return true;
}

/*
 * Why an object is not a request of spans, or NULL if it is one.  Logs and
 * metrics would be requests without a span, whose client believes them stored.
 */
static const char *
check_json_request(Decoder *decoder, FmsScan *scan, const char **resource_spans)
{
	static const char *const names[] = {"resourceSpans", "resourceLogs", "resourceMetrics"};
	const char *places[3];

	fms_scan_space(scan);
	if (scan->at >= scan->end || *scan->at != '{')
		return "the request is not a JSON object";
	find_members(decoder, *scan, names, 3, places);
	*resource_spans = places[0];
	if (places[0] == NULL && places[1] != NULL)
		return "the request has logs, not spans";
	if (places[0] == NULL && places[2] != NULL)
		return "the request has metrics, not spans";
	if (places[0] != NULL && *places[0] != '[')
		return "resourceSpans are not an array";
	return NULL;
}

/*
 * Decode a request.  Returns false, with the error and its byte, and has handed
 * over nothing, if the text is no request.
 */
bool
fms_otlp_decode_json(const char *body, size_t length, const FmsOtlpSink *sink,
					 const char **error, size_t *error_at)
{
	FmsScan		scan = {body, body + length};
	const char *places = NULL;
	Decoder		decoder;

	*error = fms_scan_check(body, length, error_at);
	if (*error != NULL)
		return false;
	fms_otlp_begin(&decoder, sink);
	*error = check_json_request(&decoder, &scan, &places);
	*error_at = scan.at - body;
	if (*error == NULL && places != NULL)
	{
		scan.at = places + 1;
		while (fms_scan_more(&scan, ']') && hand_resource_spans(&decoder, &scan))
			;
	}
	fms_otlp_end(&decoder);
	return *error == NULL;
}
