/*-------------------------------------------------------------------------
 *
 * encode_span.c
 *	  A row of execution_spans as a span of OTLP.
 *
 * A span that came by OTLP goes out as it came: column "otlp" and the raw copies
 * have what the other columns do not tell (see intake.c).  What SQL did to it
 * since is in the columns, and goes out with it; only an attribute that SQL
 * changes and that has a raw copy keeps its old value.
 *
 * A span that was made in SQL carries what OTLP has no place for in attributes
 * flowmaestro.*, with input, output and error as JSON in a string: so it comes
 * back as it was (see mapping.c).
 *
 * The OTLP id of a span is the low half of its uuid.  A uuid that does not begin
 * like its trace's travels in an attribute.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "otlp/jfield.h"
#include "otlp/mapping.h"
#include "otlp/out/attribute.h"
#include "otlp/out/convention.h"
#include "otlp/out/encode.h"
#include "otlp/out/encode_span.h"
#include "span/identity.h"
#include "span/jsonb.h"
#include "span/text.h"

#define OTLP_ID_BYTES 8

/* columns of FMS_OTLP_COLUMNS */
enum
{
	TRACE_ID, SPAN_ID, PARENT_SPAN_ID, NAME, SPAN_TYPE, ENTITY_ID, STARTED_AT, ENDED_AT, STATUS,
	INPUT, OUTPUT, ERROR_COLUMN, ATTRIBUTES, EVENTS, LINKS, OTLP
};

StaticAssertDecl(OTLP + 1 == FMS_OTLP_COLUMN_COUNT, "columns must match");

/* fields of the messages */
static const FmsField scope_spans_spans = {2, "spans"};
static const FmsField span_trace_id = {1, "traceId"};
static const FmsField span_span_id = {2, "spanId"};
static const FmsField span_trace_state = {3, "traceState"};
static const FmsField span_parent_span_id = {4, "parentSpanId"};
static const FmsField span_name = {5, "name"};
static const FmsField span_kind = {6, "kind"};
static const FmsField span_start = {7, "startTimeUnixNano"};
static const FmsField span_end = {8, "endTimeUnixNano"};
static const FmsField span_attributes = {9, "attributes"};
static const FmsField span_dropped_attributes = {10, "droppedAttributesCount"};
static const FmsField span_events = {11, "events"};
static const FmsField span_dropped_events = {12, "droppedEventsCount"};
static const FmsField span_links = {13, "links"};
static const FmsField span_dropped_links = {14, "droppedLinksCount"};
static const FmsField span_status = {15, "status"};
static const FmsField span_flags = {16, "flags"};
static const FmsField status_message = {2, "message"};
static const FmsField status_code = {3, "code"};
static const FmsField event_time = {1, "timeUnixNano"};
static const FmsField event_name = {2, "name"};
static const FmsField event_attributes = {3, "attributes"};
static const FmsField event_dropped = {4, "droppedAttributesCount"};
static const FmsField link_trace_id = {1, "traceId"};
static const FmsField link_span_id = {2, "spanId"};
static const FmsField link_trace_state = {3, "traceState"};
static const FmsField link_attributes = {4, "attributes"};
static const FmsField link_dropped = {5, "droppedAttributesCount"};
static const FmsField link_flags = {6, "flags"};

/* a span being written */
typedef struct SpanRow
{
	const Datum *values;
	const bool *nulls;
	JsonbContainer *attributes;
	JsonbContainer *otlp;		/* NULL for a span made in SQL */
	JsonbContainer *raw;		/* member of "otlp", or NULL */
	JsonbContainer *error;
} SpanRow;

/* A column of jsonb, fetched and decompressed if it has to be; or NULL. */
static JsonbContainer *
span_jsonb(const Datum *values, const bool *nulls, int column)
{
	return nulls[column] ? NULL : &DatumGetJsonbP(values[column])->root;
}

/* A column of text. */
static FmsPart
span_text(const Datum *values, const bool *nulls, int column)
{
	text	   *value;

	if (nulls[column])
		return (FmsPart) {"", 0};
	value = DatumGetTextPP(values[column]);
	return FMS_TEXT_PART(value);
}

/* Flags, if there are any.  All bits are kept: those without a meaning today may get one. */
static void
write_flags(FmsWire *wire, const FmsField *field, JsonbContainer *from)
{
	uint32		flags = (uint32) fms_jfield_integer(from, "flags");

	if (flags != 0)
		fms_wire_fixed32(wire, field, flags);
}

/*
 * A time in nanoseconds since 1970, from microseconds and what lies below one.
 * A time that spans can't have is none: OTLP's would overflow.
 */
static uint64
nanoseconds(TimestampTz at, int64 below)
{
	if (at < FMS_FIRST_TIME || at >= FMS_LAST_TIME)
		return 0;
	return (uint64) (at - FMS_FIRST_TIME) * 1000 + (below > 0 && below < 1000 ? below : 0);
}

/* A time, if it is not 0. */
static void
write_time(FmsWire *wire, const FmsField *field, uint64 time)
{
	if (time != 0)
		fms_wire_fixed64(wire, field, time);
}

/*
 * Read the time of an event, in the form that fms_payload_event and the
 * decoders give it: ISO 8601 in UTC, with up to six digits of a fraction.  False
 * for any other text.
 */
static bool
read_time(const FmsPart *text, TimestampTz *at)
{
	char		copy[40];
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int			used = 0;
	int64		fraction = 0;

	if (text->length >= sizeof(copy))
		return false;
	memcpy(copy, text->data, text->length);
	copy[text->length] = '\0';
	if (sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second,
			   &used) != 6 || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31)
		return false;
	if (copy[used] == '.')
	{
		used++;
		for (int64 unit = USECS_PER_SEC / 10; copy[used] >= '0' && copy[used] <= '9'; unit /= 10)
			fraction += unit * (copy[used++] - '0');
	}
	*at = (date2j(year, month, day) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY +
		hour * USECS_PER_HOUR + minute * USECS_PER_MINUTE + second * USECS_PER_SEC + fraction;
	return strcmp(copy + used, "+00:00") == 0;
}

/* An event of a span; without a readable time it is at the start of the span. */
static void
write_event(FmsWire *wire, JsonbContainer *event, TimestampTz started_at)
{
	FmsPart		time;
	TimestampTz at;

	if (!fms_jfield_text(event, "time", &time) || !read_time(&time, &at))
		at = started_at;
	write_time(wire, &event_time, nanoseconds(at, fms_jfield_integer(event, "ns")));
	fms_write_member_text(wire, &event_name, event, "name");
	fms_write_member_attributes(wire, &event_attributes, event);
	fms_write_member_count(wire, &event_dropped, event, "dropped_attributes");
}

/* An id that is a member, the last bytes of a uuid, or the bytes that came. */
static void
write_member_id(FmsWire *wire, const FmsField *field, JsonbContainer *from, const char *member,
				int bytes)
{
	FmsPart		text;
	pg_uuid_t	id;

	if (fms_jfield_bytes(fms_jfield_container(from, "raw"), member, &text))
	{
		if (text.length > 0)
			fms_wire_id(wire, field, (uint8 *) text.data, text.length);
	}
	else if (fms_jfield_text(from, member, &text) && fms_otlp_parse_uuid(&text, &id))
		fms_wire_id(wire, field, id.data + UUID_LEN - bytes, bytes);
}

/* A link of a span.  Its ids are uuids as everywhere, or bytes if they came with a wrong length. */
static void
write_link(FmsWire *wire, JsonbContainer *link)
{
	write_member_id(wire, &link_trace_id, link, "trace_id", UUID_LEN);
	write_member_id(wire, &link_span_id, link, "span_id", OTLP_ID_BYTES);
	fms_write_member_text(wire, &link_trace_state, link, "trace_state");
	fms_write_member_attributes(wire, &link_attributes, link);
	fms_write_member_count(wire, &link_dropped, link, "dropped_attributes");
	write_flags(wire, &link_flags, link);
}

/* The events or links of a span: an array of objects. */
static void
write_list(FmsWire *wire, const FmsField *field, const SpanRow *row, int column)
{
	JsonbContainer *list = span_jsonb(row->values, row->nulls, column);
	JsonbIterator *iterator;
	JsonbValue	element;
	int			begun;

	if (list == NULL || !JsonContainerIsArray(list) || JsonContainerSize(list) == 0)
		return;
	fms_wire_begin_list(wire, field);
	iterator = JsonbIteratorInit(list);
	(void) JsonbIteratorNext(&iterator, &element, true);
	while (JsonbIteratorNext(&iterator, &element, true) == WJB_ELEM)
	{
		CHECK_FOR_INTERRUPTS();
		if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data))
			continue;
		begun = fms_wire_begin_element(wire, field);
		if (column == EVENTS)
			write_event(wire, element.val.binary.data,
						DatumGetTimestampTz(row->values[STARTED_AT]));
		else
			write_link(wire, element.val.binary.data);
		fms_wire_end(wire, begun);
	}
	fms_wire_end_list(wire);
}

/* An attribute that is a text. */
static void
write_string_attribute(FmsWire *wire, const char *key, const char *data, int length)
{
	JsonbValue	value;

	fms_jsonb_set_string(&value, data, length);
	fms_write_attribute(wire, &span_attributes, key, strlen(key), &value);
}

/*
 * A column as an attribute, if it is not NULL: text as it is, jsonb as JSON in a
 * string.  A string of JSON keeps every number and every null, a value of OTLP
 * would not.
 */
static void
write_column(FmsWire *wire, const SpanRow *row, const char *key, int column)
{
	FmsPart		text;
	Jsonb	   *json;

	if (row->nulls[column])
		return;
	if (column < INPUT)
		text = span_text(row->values, row->nulls, column);
	else
	{
		json = DatumGetJsonbP(row->values[column]);
		text.data = JsonbToCString(NULL, &json->root, VARSIZE(json));
		text.length = strlen(text.data);
	}
	write_string_attribute(wire, key, text.data, text.length);
}

/* A uuid as an attribute, if it does not begin like the trace's: its half would not be enough. */
static void
write_foreign_id(FmsWire *wire, const SpanRow *row, const char *key, int column)
{
	char	   *text;

	if (row->nulls[column] ||
		memcmp(DatumGetUUIDP(row->values[column]), DatumGetUUIDP(row->values[TRACE_ID]),
			   UUID_LEN - OTLP_ID_BYTES) == 0)
		return;
	text = fms_uuid_text(DatumGetUUIDP(row->values[column]));
	write_string_attribute(wire, key, text, strlen(text));
}

/* Whether a column is a text that was told. */
static bool
column_told(const SpanRow *row, int column, const FmsPart *told)
{
	FmsPart		text = span_text(row->values, row->nulls, column);

	return told->data != NULL && text.length == told->length &&
		memcmp(text.data, told->data, text.length) == 0;
}

/*
 * Which columns go out as attributes: of a span made in SQL all, of one that
 * came by OTLP those that its attributes do not tell, because SQL set them.
 */
static bool
is_carried(const SpanRow *row, int column, const FmsOtlpTold *told)
{
	if (row->nulls[column] || row->otlp == NULL)
		return !row->nulls[column];
	switch (column)
	{
		case SPAN_TYPE:
			return !column_told(row, column, &told->span_type);
		case ENTITY_ID:
			return !column_told(row, column, &told->entity_id);
		case STATUS:
			return !told->status && fms_part_is(span_text(row->values, row->nulls, STATUS), "cancelled");
		case INPUT:
			return !told->input;
		case OUTPUT:
			return !told->output;
		default:
			return fms_jfield_integer(row->otlp, "status") == 0 && fms_part_is(span_text(row->values, row->nulls, STATUS), "failed");
	}
}

/*
 * Write what only spans made in SQL have.  error.type is what the conventions
 * want of a span that failed.
 */
static void
write_own_attributes(FmsWire *wire, const SpanRow *row)
{
	FmsPart		span_type = span_text(row->values, row->nulls, SPAN_TYPE);
	JsonbValue	value;
	FmsPart		text;

	write_foreign_id(wire, row, FMS_OTLP_SPAN_ID, SPAN_ID);
	write_foreign_id(wire, row, FMS_OTLP_PARENT_SPAN_ID, PARENT_SPAN_ID);
	if (fms_jfield_text(row->error, "type", &text) &&
		!fms_jfield(row->attributes, "error.type", &value))
		write_string_attribute(wire, "error.type", text.data, text.length);
	fms_convention_write(wire, &span_attributes, DatumGetJsonbP(row->values[ATTRIBUTES]),
						 &span_type);
}

/* The attributes of a span, and what OTLP has no place for. */
static void
write_span_attributes(FmsWire *wire, const SpanRow *row)
{
	static const struct
	{
		int			column;
		const char *key;
	}			columns[] = {
		{SPAN_TYPE, FMS_OTLP_SPAN_TYPE},
		{ENTITY_ID, FMS_OTLP_ENTITY_ID},
		{STATUS, FMS_OTLP_STATUS},
		{INPUT, FMS_OTLP_INPUT},
		{OUTPUT, FMS_OTLP_OUTPUT},
		{ERROR_COLUMN, FMS_OTLP_ERROR_OBJECT},
	};
	JsonbContainer *raw = fms_jfield_container(row->raw, "attributes");
	FmsOtlpTold told;
	bool		carried[lengthof(columns)];
	bool		any = JsonContainerSize(row->attributes) > 0 || raw != NULL;

	fms_otlp_tell(DatumGetJsonbP(row->values[ATTRIBUTES]),
				  (int) fms_jfield_integer(row->otlp, "kind"), &told);
	for (int i = 0; i < lengthof(columns); i++)
	{
		carried[i] = is_carried(row, columns[i].column, &told);
		any |= carried[i];
	}
	if (!any)
		return;
	fms_wire_begin_list(wire, &span_attributes);
	fms_write_attributes_open(wire, &span_attributes, row->attributes, raw);
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (carried[i])
			write_column(wire, row, columns[i].key, columns[i].column);
	}
	if (row->otlp == NULL)
		write_own_attributes(wire, row);
	fms_wire_end_list(wire);
}

/*
 * The status: as it came, else from the outcome.  A completed span is "unset",
 * for "ok" says that somebody has looked and found it good.
 */
static void
write_status(FmsWire *wire, const SpanRow *row)
{
	int64		code = fms_jfield_integer(row->otlp, "status");
	FmsPart		text = {"", 0};
	bool		told = fms_jfield_text(row->otlp, "message", &text) ||
		fms_jfield_text(row->raw, "message", &text);
	int			begun;

	if (code == 0 && !told && fms_part_is(span_text(row->values, row->nulls, STATUS), "failed"))
	{
		code = FMS_OTLP_ERROR;
		(void) fms_jfield_text(row->error, "message", &text);
	}
	if (code == 0 && !told)
		return;
	begun = fms_wire_begin(wire, &span_status);
	if (told)
		fms_write_member_text(wire, &status_message, row->otlp, "message");
	else if (text.length > 0)
		fms_wire_string(wire, &status_message, text.data, text.length);
	if (code != 0)
		fms_wire_enum(wire, &status_code, (int32) code);
	fms_wire_end(wire, begun);
}

/*
 * The kind: as it came, else by the conventions for the type.  Calls of something
 * outside are a client's, all else is internal.
 */
static void
write_kind(FmsWire *wire, const SpanRow *row)
{
	static const char *const client_types[] = {
		"model_generation", "embedding_generation", "vector_search", "database_query",
		"http_request", "external_api"
	};
	int64		kind = fms_jfield_integer(row->otlp, "kind");

	if (row->otlp == NULL)
	{
		kind = FMS_OTLP_INTERNAL;
		for (int i = 0; i < lengthof(client_types); i++)
		{
			if (fms_part_is(span_text(row->values, row->nulls, SPAN_TYPE), client_types[i]))
				kind = FMS_OTLP_CLIENT;
		}
	}
	if (kind != 0)
		fms_wire_enum(wire, &span_kind, (int32) kind);
}

/*
 * The times.  The table has no span that ends before its start: of one that came
 * so, the end is in "otlp".
 */
static void
write_times(FmsWire *wire, const SpanRow *row)
{
	int64		end = fms_jfield_integer(row->otlp, "end");

	write_time(wire, &span_start, nanoseconds(DatumGetTimestampTz(row->values[STARTED_AT]),
											  fms_jfield_integer(row->otlp, "start_ns")));
	if (!row->nulls[ENDED_AT] && end <= 0)
		end = nanoseconds(DatumGetTimestampTz(row->values[ENDED_AT]),
						  fms_jfield_integer(row->otlp, "end_ns"));
	write_time(wire, &span_end, end);
}

/* The OTLP id of a span, if there is one. */
static void
write_span_id(FmsWire *wire, const FmsField *field, const SpanRow *row, int column)
{
	if (!row->nulls[column])
		fms_wire_id(wire, field,
					DatumGetUUIDP(row->values[column])->data + UUID_LEN - OTLP_ID_BYTES,
					OTLP_ID_BYTES);
}

/* Write a span as one of a list, its fields in the order of their numbers. */
static void
write_span(FmsWire *wire, const SpanRow *row)
{
	FmsPart		name = span_text(row->values, row->nulls, NAME);
	int			begun = fms_wire_begin_element(wire, &scope_spans_spans);

	fms_wire_id(wire, &span_trace_id, DatumGetUUIDP(row->values[TRACE_ID])->data, UUID_LEN);
	write_span_id(wire, &span_span_id, row, SPAN_ID);
	fms_write_member_text(wire, &span_trace_state, row->otlp, "trace_state");
	write_span_id(wire, &span_parent_span_id, row, PARENT_SPAN_ID);
	fms_write_text(wire, &span_name, row->raw, "name", name.data, name.length);
	write_kind(wire, row);
	write_times(wire, row);
	write_span_attributes(wire, row);
	fms_write_member_count(wire, &span_dropped_attributes, row->otlp, "dropped_attributes");
	write_list(wire, &span_events, row, EVENTS);
	fms_write_member_count(wire, &span_dropped_events, row->otlp, "dropped_events");
	write_list(wire, &span_links, row, LINKS);
	fms_write_member_count(wire, &span_dropped_links, row->otlp, "dropped_links");
	write_status(wire, row);
	write_flags(wire, &span_flags, row->otlp);
	fms_wire_end(wire, begun);
}

/* Read the jsonb of a row. */
static void
open_row(SpanRow *row, const Datum *values, const bool *nulls)
{
	row->values = values;
	row->nulls = nulls;
	row->attributes = span_jsonb(values, nulls, ATTRIBUTES);
	row->otlp = span_jsonb(values, nulls, OTLP);
	row->raw = fms_jfield_container(row->otlp, "raw");
	row->error = span_jsonb(values, nulls, ERROR_COLUMN);
}

/* The scope that the columns of a row tell; the nil id if the span was made in SQL. */
pg_uuid_t
fms_encode_scope(const Datum *values, const bool *nulls)
{
	pg_uuid_t	id;
	FmsPart		text;

	if (!fms_jfield_text(span_jsonb(values, nulls, OTLP), "scope", &text) ||
		!fms_otlp_parse_uuid(&text, &id))
		memset(&id, 0, sizeof(id));
	return id;
}

/* Write the span of a row, the columns of FMS_OTLP_COLUMNS. */
void
fms_encode_span(FmsWire *wire, const Datum *values, const bool *nulls)
{
	SpanRow		row;

	open_row(&row, values, nulls);
	write_span(wire, &row);
}
