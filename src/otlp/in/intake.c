/*-------------------------------------------------------------------------
 *
 * intake.c
 *	  A decoded span, resource or scope as an event for the buffer.
 *
 * What has a column goes into it in a form that reads well in SQL; what has
 * none, and what that form can't tell, goes into the column "otlp" of the same
 * row, so that the span can be given back as it came.  A field at its default
 * is left out everywhere.
 *
 * Attributes (of spans, events, links, resources, scopes) are an object:
 *
 *		string			string
 *		bool			true, false
 *		int				number without a fraction
 *		double			number with a fraction, "1.0", however large
 *		array, kvlist	array, object
 *		no value		null
 *		bytes			string, base64				)
 *		NaN, Infinity	string "NaN", "Infinity", "-Infinity"	) and a raw copy
 *		-0.0			0.0							)
 *		a string with U+0000 or invalid UTF-8: each bad byte is U+FFFD	)
 *		a key that comes twice: the last value		)
 *
 * The order of attributes is not kept: they are a set in OTLP.  The raw copy of
 * an attribute is an element of "raw"."attributes" beside the object:
 *
 *		{"key": KEY, "keyBytes": BASE64, "value": VALUE}
 *
 * where KEY is the key in the object, keyBytes are the key's own bytes if they
 * are others, and VALUE is OTLP's JSON form of a value: {"stringValue": ...},
 * "boolValue", "intValue" (a string), "doubleValue" (a number or one of the
 * strings "NaN", "Infinity", "-Infinity", "-0.0"), "bytesValue" (base64),
 * "arrayValue": {"values": [...]}, "kvlistValue": {"values": [{key, value}]},
 * {} for no value; and in addition {"stringBytes": BASE64} for a string that
 * jsonb can't hold.  The raw copies stand for all attributes of their keys, in
 * the order in which they came.
 *
 * execution_spans:
 *		trace_id, span_id, parent_span_id	the ids; OTLP's own are the low 8 bytes
 *		name			cut to 1024 bytes; "unknown" if it is empty
 *		started_at, ended_at	to the microsecond; ended_at is null for end time 0
 *		attributes		all attributes as they came
 *		events			[{"name", "time", "attributes",
 *						  "ns": 0-999, below "time"'s microseconds,
 *						  "dropped_attributes": n,
 *						  "raw": {"name": BASE64, "attributes": [...]}}]
 *		links			[{"trace_id": uuid, "span_id": uuid (of execution_spans),
 *						  "attributes", "trace_state", "flags": n,
 *						  "dropped_attributes": n,
 *						  "raw": {"trace_id": BASE64, "span_id": BASE64 (if they do
 *						  not have 16 and 8 bytes), "trace_state": BASE64,
 *						  "attributes": [...]}}]
 *		otlp			{"scope": uuid of the row of otlp_scopes, always there,
 *						 "kind": n, "flags": n, "trace_state": "...",
 *						 "status": code, "message": "...",
 *						 "start_ns": 0-999, "end_ns": 0-999, below the microseconds,
 *						 "end": n, end time in nanoseconds if it is before the start,
 *						 "dropped_attributes": n, "dropped_events": n, "dropped_links": n,
 *						 "raw": {"name": BASE64, "trace_state": BASE64,
 *						 "message": BASE64, "attributes": [...]}}
 *
 * otlp_resources: attributes; otlp has "schema_url" (of ResourceSpans),
 * "dropped_attributes", "entity_refs": [{"schema_url", "type", "id_keys": [],
 * "description_keys": []}] and "raw".
 *
 * otlp_scopes: name, version, attributes; otlp has "schema_url" (of ScopeSpans),
 * "dropped_attributes" and "raw", which can have "name" and "version".
 *
 * Members "raw"."name" and so on are the bytes of a text that its column or
 * member does not hold as it is: with U+0000 or invalid UTF-8, too long, or an
 * empty name of a span.  The texts of entity_refs and schema_urls have none.
 *
 * Limits: attributes above flowmaestro.max_payload are cut as for SQL callers;
 * events and links above it are left out and counted as dropped; raw copies
 * above it are left out, and "raw" is then true.  With attributes in
 * flowmaestro.redact_spans there are no raw copies of attributes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/json.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "limit.h"
#include "buffer/buffer.h"
#include "otlp/in/build.h"
#include "otlp/in/intake.h"
#include "otlp/mapping.h"
#include "record/mode.h"
#include "span/identity.h"
#include "span/payload.h"
#include "span/redact.h"

#define NS_PER_US 1000
#define MAX_MEMBER (32 * 1024)	/* bytes of a text in the otlp column */
#define SENT_PLACES FMS_LIMIT(512, 1)	/* resources and scopes that are known
										 * to be sent */
#define RESEND_US (60 * USECS_PER_SEC)
#define TIME_BYTES 64			/* of a timestamp as text */

/* an object under construction, and what goes under its "raw" */
typedef struct Object
{
	FmsBuild	members;
	FmsBuild	raw;
	bool		has_raw;
	bool		truncated;
} Object;

/*
 * A resource or scope that this process has put into the buffer.  It is put
 * there again after a while, so that a row that somebody deleted comes back.
 */
typedef struct Sent
{
	pg_uuid_t	id;
	Oid			table;			/* as FmsEvent.table: not of another life of
								 * the extension */
	TimestampTz at;
} Sent;

static Sent sent[SENT_PLACES];

/* Begin an object. */
static void
begin_object(Object *object)
{
	memset(object, 0, sizeof(*object));
	fms_build_init(&object->members);
	(void) fms_build_open(&object->members, NULL, FMS_OTLP_MAP);
}

/* The builder of what goes under "raw", begun if it is not. */
static FmsBuild *
raw_of(Object *object)
{
	if (!object->has_raw)
	{
		fms_build_init(&object->raw);
		(void) fms_build_open(&object->raw, NULL, FMS_OTLP_MAP);
		object->has_raw = true;
	}
	return &object->raw;
}

/* Complete an object. */
static Jsonb *
end_object(Object *object)
{
	Jsonb	   *raw;

	if (object->has_raw)
	{
		fms_build_close(&object->raw, 0);
		raw = fms_build_jsonb(&object->raw);
		if (VARSIZE(raw) <= (Size) fms_max_payload * 1024)
			fms_build_add_jsonb(&object->members, "raw", raw);
		else
		{
			fms_build_add(&object->members, "raw", FMS_OTLP_BOOL)->value.boolean = true;
			object->truncated = true;
		}
	}
	fms_build_close(&object->members, 0);
	return fms_build_jsonb(&object->members);
}

/*
 * Put a text into an object, unless it is empty, and its bytes into "raw" if the
 * database can't hold it as it is.  A text that is too long is cut.
 */
static void
put_member_text(Object *object, const char *key, FmsPart text)
{
	bool		exact = true;

	if (text.length > MAX_MEMBER)
	{
		text.length = pg_encoding_mbcliplen(PG_UTF8, text.data, text.length, MAX_MEMBER);
		object->truncated = true;
	}
	(void) fms_build_clean(text, &exact);
	if (!exact)
		fms_build_bytes(raw_of(object), key, text);
	if (text.length > 0)
		fms_build_text(&object->members, key, text);
}

/* Put a number into an object unless it is 0. */
static void
put_number(Object *object, const char *key, int64 number)
{
	if (number != 0)
		fms_build_int(&object->members, key, number);
}

/* Put the text of a uuid into an object. */
static void
put_uuid(Object *object, const char *key, const pg_uuid_t *id)
{
	FmsPart		text = {fms_uuid_text(id), FMS_UUID_TEXT};

	fms_build_text(&object->members, key, text);
}

/* Put a key of an attribute, and its own bytes if they are others. */
static void
put_raw_key(FmsBuild *build, const FmsOtlpNode *node)
{
	bool		exact = true;
	FmsPart		key = {node->key, node->key_length};

	(void) fms_build_clean(key, &exact);
	fms_build_text(build, "key", key);
	if (!exact)
		fms_build_bytes(build, "keyBytes", key);
}

/* Put a string in OTLP's JSON form. */
static void
put_raw_string(FmsBuild *build, const FmsOtlpNode *node)
{
	bool		exact = true;
	FmsPart		text = {node->value.bytes, node->length};

	(void) fms_build_clean(text, &exact);
	if (exact)
		fms_build_text(build, "stringValue", text);
	else
		fms_build_bytes(build, "stringBytes", text);
}

/* Put a double in OTLP's JSON form. */
static void
put_raw_double(FmsBuild *build, double number)
{
	FmsPart		word = {"-0.0", 4};

	/* infinities and NaN get their names when the jsonb is written */
	if (number == 0 && signbit(number))
		fms_build_text(build, "doubleValue", word);
	else
		fms_build_add(build, "doubleValue", FMS_OTLP_DOUBLE)->value.number = number;
}

static void put_raw_value(FmsBuild *build, const char *key, const FmsOtlpNode *nodes, uint32 n);

/* Put the values in an array or a map in OTLP's JSON form. */
static void
put_raw_values(FmsBuild *build, const FmsOtlpNode *nodes, uint32 n)
{
	bool		map = nodes[n].type == FMS_OTLP_MAP;
	uint32		container = fms_build_open(build, map ? "kvlistValue" : "arrayValue", FMS_OTLP_MAP);
	uint32		values = fms_build_open(build, "values", FMS_OTLP_ARRAY);

	for (uint32 i = n + 1; i < nodes[n].next; i = nodes[i].next)
	{
		uint32		pair;

		if (!map)
		{
			put_raw_value(build, NULL, nodes, i);
			continue;
		}
		pair = fms_build_open(build, NULL, FMS_OTLP_MAP);
		put_raw_key(build, &nodes[i]);
		put_raw_value(build, "value", nodes, i);
		fms_build_close(build, pair);
	}
	fms_build_close(build, values);
	fms_build_close(build, container);
}

/* Put a value in OTLP's JSON form.  Nested as deep as a decoder allows. */
static void
put_raw_value(FmsBuild *build, const char *key, const FmsOtlpNode *nodes, uint32 n)
{
	const FmsOtlpNode *node = &nodes[n];
	uint32		value = fms_build_open(build, key, FMS_OTLP_MAP);
	FmsPart		bytes = {node->value.bytes, node->length};

	check_stack_depth();
	switch ((FmsOtlpType) node->type)
	{
		case FMS_OTLP_STRING:
			put_raw_string(build, node);
			break;
		case FMS_OTLP_BOOL:
			fms_build_add(build, "boolValue", FMS_OTLP_BOOL)->value.boolean = node->value.boolean;
			break;
		case FMS_OTLP_INT:
			bytes.data = psprintf(INT64_FORMAT, node->value.integer);
			bytes.length = strlen(bytes.data);
			fms_build_text(build, "intValue", bytes);
			break;
		case FMS_OTLP_DOUBLE:
			put_raw_double(build, node->value.number);
			break;
		case FMS_OTLP_ARRAY:
		case FMS_OTLP_MAP:
			put_raw_values(build, nodes, n);
			break;
		case FMS_OTLP_BYTES:
			fms_build_bytes(build, "bytesValue", bytes);
			break;
		case FMS_OTLP_EMPTY:
			break;
	}
	fms_build_close(build, value);
}

/* The object of attributes; raw copies of those that it can't hold go into "object". */
static Jsonb *
attributes_of(Object *object, FmsOtlpNode *nodes, FmsOtlpList list)
{
	bool		exact;
	Jsonb	   *attributes = fms_build_object(nodes, list, &exact);
	FmsBuild   *raw;
	uint32		array;

	/* a raw copy would show what flowmaestro.redact_spans hides */
	if (exact || (fms_redact_spans & FMS_REDACT_ATTRIBUTES) != 0)
		return attributes;
	raw = raw_of(object);
	array = fms_build_open(raw, "attributes", FMS_OTLP_ARRAY);
	for (uint32 i = list.first; i < list.end; i = nodes[i].next)
	{
		uint32		element;

		if (!nodes[i].inexact)
			continue;
		element = fms_build_open(raw, NULL, FMS_OTLP_MAP);
		put_raw_key(raw, &nodes[i]);
		put_raw_value(raw, "value", nodes, i);
		fms_build_close(raw, element);
	}
	fms_build_close(raw, array);
	return attributes;
}

/* Put the attributes of an event or a link into its object. */
static void
put_attributes(Object *object, FmsOtlpNode *nodes, FmsOtlpList list)
{
	if (list.first < list.end)
		fms_build_add_jsonb(&object->members, "attributes", attributes_of(object, nodes, list));
}

/*
 * The part for a text of a column, in the database's encoding and cut to what a
 * column takes; its bytes go into "raw" if that is not all of it.
 */
static FmsPart
text_part(Object *object, const char *key, FmsPart text)
{
	bool		exact = true;
	FmsPart		clean = fms_build_clean(text, &exact);
	FmsPart		part;

	if (clean.length > FMS_MAX_TEXT)
	{
		clean.length = pg_mbcliplen(clean.data, clean.length, FMS_MAX_TEXT);
		exact = false;
	}
	if (!exact)
		fms_build_bytes(raw_of(object), key, text);
	part.data = clean.length == 0 ? "" : clean.data;
	part.length = clean.length;
	return part;
}

/* The time of nanoseconds since 1970, cut to the microsecond. */
static TimestampTz
time_of_nanoseconds(uint64 ns)
{
	return (TimestampTz) (ns / NS_PER_US) + FMS_FIRST_TIME;
}

/* The element of the events column for an event. */
static Jsonb *
event_element(const FmsOtlpEvent *event, FmsOtlpNode *nodes, bool *truncated)
{
	Object		object;
	char		time[TIME_BYTES];
	FmsPart		text;
	int			utc = 0;
	Jsonb	   *element;

	begin_object(&object);
	put_member_text(&object, "name", event->name);
	if (event->name.length == 0)
		fms_build_text(&object.members, "name", event->name);
	JsonEncodeDateTime(time, TimestampTzGetDatum(time_of_nanoseconds(event->time)), TIMESTAMPTZOID, &utc);
	text.data = time;
	text.length = strlen(time);
	fms_build_text(&object.members, "time", text);
	put_attributes(&object, nodes, event->attributes);
	put_number(&object, "ns", event->time % NS_PER_US);
	put_number(&object, "dropped_attributes", event->dropped_attributes);
	element = end_object(&object);
	*truncated |= object.truncated;
	return element;
}

/* The uuid of a span from the ids of OTLP. */
static void
compose_id(const char *trace_id, const char *span_id, uint8 *id)
{
	memcpy(id, trace_id, UUID_LEN / 2);
	memcpy(id + UUID_LEN / 2, span_id, UUID_LEN / 2);
}

/* The element of the links column for a link. */
static Jsonb *
link_element(const FmsOtlpLink *link, FmsOtlpNode *nodes, bool *truncated)
{
	Object		object;
	pg_uuid_t	id;
	Jsonb	   *element;

	begin_object(&object);
	if (link->trace_id.length == UUID_LEN && link->span_id.length == UUID_LEN / 2)
	{
		put_uuid(&object, "trace_id", (const pg_uuid_t *) link->trace_id.data);
		compose_id(link->trace_id.data, link->span_id.data, id.data);
		put_uuid(&object, "span_id", &id);
	}
	else
	{
		fms_build_bytes(raw_of(&object), "trace_id", link->trace_id);
		fms_build_bytes(raw_of(&object), "span_id", link->span_id);
	}
	put_member_text(&object, "trace_state", link->trace_state);
	put_number(&object, "flags", link->flags);
	put_attributes(&object, nodes, link->attributes);
	put_number(&object, "dropped_attributes", link->dropped_attributes);
	element = end_object(&object);
	*truncated |= object.truncated;
	return element;
}

/*
 * Put the events or the links of a span into a part.  What does not fit into
 * flowmaestro.max_payload is left out from the end and counted as dropped, which
 * is what OTLP's counts are for.
 */
static void
events_part(const FmsOtlpSpan *span, FmsOtlpNode *nodes, bool links, FmsPart *part,
			uint32 *dropped, bool *truncated)
{
	uint32		count = links ? span->link_count : span->event_count;
	Size		room = (Size) fms_max_payload * 1024;
	FmsBuild	array;
	Jsonb	   *whole;

	if (count == 0)
		return;
	fms_build_init(&array);
	(void) fms_build_open(&array, NULL, FMS_OTLP_ARRAY);
	room -= sizeof(JEntry) * count + VARHDRSZ + sizeof(uint32);
	for (uint32 i = 0; i < count; i++)
	{
		Jsonb	   *element = links ? link_element(&span->links[i], nodes, truncated) :
			event_element(&span->events[i], nodes, truncated);

		if (VARSIZE(element) > room)
		{
			*dropped += count - i;
			*truncated = true;
			break;
		}
		room -= VARSIZE(element);
		fms_build_add_jsonb(&array, NULL, element);
	}
	fms_build_close(&array, 0);
	whole = fms_build_jsonb(&array);
	part->data = (const char *) whole;
	part->length = VARSIZE(whole);
}

/* The attributes of the last event that tells of an error, or NULL. */
static Jsonb *
exception_of(const FmsOtlpSpan *span, FmsOtlpNode *nodes)
{
	static const char name[] = FMS_OTLP_EXCEPTION;
	bool		exact;

	for (uint32 i = span->event_count; i > 0; i--)
	{
		const FmsOtlpEvent *event = &span->events[i - 1];

		if (event->name.length == sizeof(name) - 1 &&
			memcmp(event->name.data, name, sizeof(name) - 1) == 0)
			return fms_build_object(nodes, event->attributes, &exact);
	}
	return NULL;
}

/* Ask the mapping what the attributes of a span say. */
static void
map_span(const FmsOtlpSpan *span, FmsOtlpNode *nodes, Jsonb *attributes, FmsOtlpMapped *mapped)
{
	FmsOtlpSource source = {0};
	bool		exact = true;
	FmsPart		message = fms_build_clean(span->message, &exact);

	source.attributes = attributes;
	source.kind = span->kind;
	source.code = span->code;
	if (span->code == FMS_OTLP_ERROR)
		source.exception = exception_of(span, nodes);
	if (message.length > 0)
	{
		source.message.data = message.data;
		source.message.length = message.length;
	}
	fms_otlp_map(&source, mapped);
}

/*
 * Give an event its ids.  A uuid that the attributes carry is the span's own if
 * it ends like OTLP's id.
 */
static void
set_ids(FmsEvent *event, const FmsOtlpSpan *span, const FmsOtlpMapped *mapped)
{
	event->flags = FMS_CALLER_ID | FMS_HAS_TRACE;
	memcpy(event->trace_id.data, span->trace_id.data, UUID_LEN);
	compose_id(span->trace_id.data, span->span_id.data, event->span_id.data);
	if (mapped->has_span_id &&
		memcmp(mapped->span_id.data + UUID_LEN / 2, span->span_id.data, UUID_LEN / 2) == 0)
		event->span_id = mapped->span_id;
	if (span->parent_id.length == 0)
		return;
	event->flags |= FMS_HAS_PARENT;
	compose_id(span->trace_id.data, span->parent_id.data, event->parent_span_id.data);
	if (mapped->has_parent &&
		memcmp(mapped->parent_span_id.data + UUID_LEN / 2, span->parent_id.data, UUID_LEN / 2) == 0)
		event->parent_span_id = mapped->parent_span_id;
}

/* Give an event its times and its status. */
static void
set_times(FmsEvent *event, const FmsOtlpSpan *span, const FmsOtlpMapped *mapped)
{
	event->at = event->started_at = time_of_nanoseconds(span->start);
	event->ended_at = time_of_nanoseconds(span->end);
	event->status = span->end == 0 ? FMS_STATUS_STARTED : mapped->status;
}

/* Begin an event. */
static void
begin_event(FmsEvent *event, FmsEventKind kind, const FmsIntake *intake)
{
	memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->pid = MyProcPid;
	event->at = event->recorded_at = intake->now;
}

/*
 * Put what of a span has no column into its object.  An end before the start is
 * clamped in the table, and one of a span that says it still runs has no column:
 * both are told whole.
 */
static void
put_fields(Object *object, const FmsIntake *intake, const FmsOtlpSpan *span, FmsStatus status)
{
	put_uuid(object, "scope", &intake->scope_id);
	put_number(object, "kind", span->kind);
	put_number(object, "flags", span->flags);
	put_member_text(object, "trace_state", span->trace_state);
	put_number(object, "status", span->code);
	put_member_text(object, "message", span->message);
	put_number(object, "start_ns", span->start % NS_PER_US);
	if (span->end != 0 && (span->end < span->start || status == FMS_STATUS_STARTED))
		put_number(object, "end", span->end);
	else
		put_number(object, "end_ns", span->end % NS_PER_US);
	put_number(object, "dropped_attributes", span->dropped_attributes);
}

/* Hand an event over, counting what was cut. */
static FmsTaken
hand_over(FmsEvent *event, bool truncated, FmsIntake *intake)
{
	FmsTaken	taken = fms_record_take(event, intake->group, intake->wait, &intake->reason);

	if (taken == FMS_TAKEN && truncated)
		fms_record_truncated();
	return taken;
}

/*
 * Take a span; everything is allocated in the current memory context.  Nothing
 * here throws because of what the span holds.
 */
FmsTaken
fms_intake_span(FmsIntake *intake, const FmsOtlpSpan *span, FmsOtlpNode *nodes)
{
	static const FmsPart unknown = {"unknown", 7};
	FmsEvent	event;
	Object		object;
	FmsOtlpMapped mapped;
	Jsonb	   *attributes;
	bool		truncated = false;
	uint32		dropped_events = span->dropped_events;
	uint32		dropped_links = span->dropped_links;

	begin_event(&event, FMS_EVENT_SPAN, intake);
	begin_object(&object);
	attributes = attributes_of(&object, nodes, span->attributes);
	map_span(span, nodes, attributes, &mapped);
	set_ids(&event, span, &mapped);
	set_times(&event, span, &mapped);
	put_fields(&object, intake, span, event.status);
	event.part[FMS_PART_NAME] = text_part(&object, "name", span->name);
	if (event.part[FMS_PART_NAME].length == 0)
	{
		event.part[FMS_PART_NAME] = unknown;
		fms_build_bytes(raw_of(&object), "name", span->name);
	}
	event.part[FMS_PART_TYPE] = mapped.span_type;
	event.part[FMS_PART_ENTITY] = mapped.entity_id;
	fms_payload_jsonb(&event.part[FMS_PART_ATTRIBUTES], attributes, &truncated);
	fms_payload_jsonb(&event.part[FMS_PART_INPUT], mapped.input, &truncated);
	fms_payload_jsonb(&event.part[FMS_PART_OUTPUT], mapped.output, &truncated);
	fms_payload_jsonb(&event.part[FMS_PART_ERROR], mapped.error, &truncated);
	events_part(span, nodes, false, &event.part[FMS_PART_EVENTS], &dropped_events, &truncated);
	events_part(span, nodes, true, &event.part[FMS_PART_LINKS], &dropped_links, &truncated);
	put_number(&object, "dropped_events", dropped_events);
	put_number(&object, "dropped_links", dropped_links);
	fms_payload_jsonb(&event.part[FMS_PART_OTLP], end_object(&object), &truncated);
	return hand_over(&event, truncated || object.truncated, intake);
}

/* The id of what an event holds: a hash of its parts, as a UUIDv8. */
static void
hash_parts(FmsEvent *event)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	bool		good = hash != NULL && pg_cryptohash_init(hash) >= 0 &&
		pg_cryptohash_update(hash, event->parent_span_id.data, UUID_LEN) >= 0;

	for (int i = 0; good && i < FMS_PARTS; i++)
	{
		const FmsPart *part = &event->part[i];

		good = pg_cryptohash_update(hash, (const uint8 *) &part->length,
									sizeof(part->length)) >= 0 &&
			(part->length == 0 ||
			 pg_cryptohash_update(hash, (const uint8 *) part->data, part->length) >= 0);
	}
	if (!good || pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256: %s", pg_cryptohash_error(hash))));
	pg_cryptohash_free(hash);
	memcpy(event->span_id.data, digest, UUID_LEN);
	event->span_id.data[6] = 0x80 | (event->span_id.data[6] & 0x0f);
	event->span_id.data[8] = 0x80 | (event->span_id.data[8] & 0x3f);
}

/*
 * Hand a resource or a scope over, unless this process did so a short time ago
 * in a way that lasts.
 */
static FmsTaken
hand_source(FmsEvent *event, bool truncated, FmsIntake *intake)
{
	Sent	   *place;
	FmsTaken	taken;
	uint32		number;

	hash_parts(event);
	memcpy(&number, event->span_id.data, sizeof(number));
	place = &sent[number % SENT_PLACES];
	event->table = fms_buffer_table();
	if (place->table == event->table &&
		intake->now - place->at < RESEND_US && intake->now >= place->at &&
		memcmp(&place->id, &event->span_id, UUID_LEN) == 0)
		return FMS_TAKEN;
	taken = hand_over(event, truncated, intake);
	if (taken == FMS_TAKEN && fms_mode_is_buffered())
	{
		place->id = event->span_id;
		place->table = event->table;
		place->at = intake->now;
	}
	return taken;
}

/* Put the entities of a resource into its object. */
static void
put_entities(Object *object, const FmsOtlpResource *resource)
{
	FmsBuild   *build = &object->members;
	uint32		array;

	if (resource->entity_count == 0)
		return;
	array = fms_build_open(build, "entity_refs", FMS_OTLP_ARRAY);
	for (uint32 i = 0; i < resource->entity_count; i++)
	{
		const FmsOtlpEntity *entity = &resource->entities[i];
		uint32		element = fms_build_open(build, NULL, FMS_OTLP_MAP);
		uint32		keys;

		if (entity->schema_url.length > 0)
			fms_build_text(build, "schema_url", entity->schema_url);
		if (entity->type.length > 0)
			fms_build_text(build, "type", entity->type);
		keys = fms_build_open(build, "id_keys", FMS_OTLP_ARRAY);
		for (uint32 k = 0; k < entity->id_keys; k++)
			fms_build_text(build, NULL, entity->keys[k]);
		fms_build_close(build, keys);
		keys = fms_build_open(build, "description_keys", FMS_OTLP_ARRAY);
		for (uint32 k = 0; k < entity->description_keys; k++)
			fms_build_text(build, NULL, entity->keys[entity->id_keys + k]);
		fms_build_close(build, keys);
		fms_build_close(build, element);
	}
	fms_build_close(build, array);
}

/* Complete an object as the part of a resource or scope, which has none if it is empty. */
static void
end_part(Object *object, FmsPart *part, bool *truncated)
{
	Jsonb	   *whole = end_object(object);

	*truncated |= object->truncated;
	if (JB_ROOT_COUNT(whole) > 0)
		fms_payload_jsonb(part, whole, truncated);
}

/* Take a resource, and note its id for the scopes that follow. */
FmsTaken
fms_intake_resource(FmsIntake *intake, const FmsOtlpResource *resource, FmsOtlpNode *nodes)
{
	FmsEvent	event;
	Object		object;
	FmsTaken	taken;
	bool		truncated = false;

	begin_event(&event, FMS_EVENT_RESOURCE, intake);
	begin_object(&object);
	fms_payload_jsonb(&event.part[FMS_PART_ATTRIBUTES],
					  attributes_of(&object, nodes, resource->attributes), &truncated);
	put_member_text(&object, "schema_url", resource->schema_url);
	put_number(&object, "dropped_attributes", resource->dropped_attributes);
	put_entities(&object, resource);
	end_part(&object, &event.part[FMS_PART_OTLP], &truncated);
	taken = hand_source(&event, truncated, intake);
	intake->resource_id = event.span_id;
	return taken;
}

/* Take a scope of the last resource, and note its id for the spans that follow. */
FmsTaken
fms_intake_scope(FmsIntake *intake, const FmsOtlpScope *scope, FmsOtlpNode *nodes)
{
	FmsEvent	event;
	Object		object;
	FmsTaken	taken;
	bool		truncated = false;

	begin_event(&event, FMS_EVENT_SCOPE, intake);
	begin_object(&object);
	event.flags = FMS_HAS_PARENT;
	event.parent_span_id = intake->resource_id;
	event.part[FMS_PART_NAME] = text_part(&object, "name", scope->name);
	event.part[FMS_PART_TYPE] = text_part(&object, "version", scope->version);
	fms_payload_jsonb(&event.part[FMS_PART_ATTRIBUTES],
					  attributes_of(&object, nodes, scope->attributes), &truncated);
	put_member_text(&object, "schema_url", scope->schema_url);
	put_number(&object, "dropped_attributes", scope->dropped_attributes);
	end_part(&object, &event.part[FMS_PART_OTLP], &truncated);
	taken = hand_source(&event, truncated, intake);
	intake->scope_id = event.span_id;
	return taken;
}
