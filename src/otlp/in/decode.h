/*-------------------------------------------------------------------------
 *
 * decode.h
 *	  Requests of OTLP, decoded: what both encodings have in common.
 *
 * A decoder reads a request and hands its parts to a sink, in this order: a
 * resource, a scope of it, the spans of that, the next scope, and so on.  Texts
 * point into the request or into the decoder's own memory and are good until
 * the sink returns.
 *
 * Nothing here calls the server, but to ask whether it is to stop: memory comes
 * from the caller, errors are values.  So a decoder can be fuzzed by itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_IN_DECODE_H
#define FMS_OTLP_IN_DECODE_H

#include "otlp/otlp.h"
#include "span/text.h"

/* limits; what is beyond them costs the span, not the request */
#define FMS_OTLP_MAX_NODES 65536	/* values of a span, in all its attributes */
#define FMS_OTLP_MAX_PARTS 16384	/* events, and links, of a span */
#define FMS_OTLP_MAX_SPAN_BYTES (16 * 1024 * 1024)
#define FMS_OTLP_MAX_SPANS 100000	/* of a request */
#define FMS_OTLP_MAX_GROUPS 100000	/* resources and scopes of a request */

typedef enum FmsOtlpType
{
	FMS_OTLP_EMPTY,				/* no value */
	FMS_OTLP_STRING,
	FMS_OTLP_BOOL,
	FMS_OTLP_INT,
	FMS_OTLP_DOUBLE,
	FMS_OTLP_ARRAY,
	FMS_OTLP_MAP,
	FMS_OTLP_BYTES
} FmsOtlpType;

/*
 * A value, followed by the values in it: "next" is the number of the first one
 * that is not.  A value in a map, and each attribute, has a key.
 */
typedef struct FmsOtlpNode
{
	const char *key;
	uint32		key_length;
	uint32		next;
	union
	{
		const char *bytes;		/* of a string or bytes */
		int64		integer;
		double		number;
		bool		boolean;
	}			value;
	uint32		length;			/* of a string or bytes; values in an array or
								 * a map */
	uint8		type;			/* FmsOtlpType */
	bool		inexact;		/* an attribute whose jsonb is not all; see
								 * build.h */
} FmsOtlpNode;

/* Attributes: nodes from "first" up to, not including, "end". */
typedef struct FmsOtlpList
{
	uint32		first;
	uint32		end;
} FmsOtlpList;

typedef struct FmsOtlpEntity
{
	FmsPart		schema_url;
	FmsPart		type;
	FmsPart    *keys;			/* the id keys, then the description keys */
	uint32		id_keys;
	uint32		description_keys;
} FmsOtlpEntity;

typedef struct FmsOtlpResource
{
	FmsOtlpList attributes;
	FmsPart		schema_url;
	uint32		dropped_attributes;
	FmsOtlpEntity *entities;
	uint32		entity_count;
} FmsOtlpResource;

typedef struct FmsOtlpScope
{
	FmsPart		name;
	FmsPart		version;
	FmsPart		schema_url;
	FmsOtlpList attributes;
	uint32		dropped_attributes;
} FmsOtlpScope;

typedef struct FmsOtlpEvent
{
	uint64		time;
	FmsPart		name;
	FmsOtlpList attributes;
	uint32		dropped_attributes;
} FmsOtlpEvent;

typedef struct FmsOtlpLink
{
	FmsPart		trace_id;
	FmsPart		span_id;
	FmsPart		trace_state;
	FmsOtlpList attributes;
	uint32		dropped_attributes;
	uint32		flags;
} FmsOtlpLink;

typedef struct FmsOtlpSpan
{
	FmsPart		trace_id;
	FmsPart		span_id;
	FmsPart		parent_id;
	FmsPart		trace_state;
	FmsPart		name;
	FmsPart		message;		/* of the status */
	int32		code;			/* of the status */
	int32		kind;
	uint32		flags;
	uint64		start;
	uint64		end;
	FmsOtlpList attributes;
	uint32		dropped_attributes;
	uint32		dropped_events;
	uint32		dropped_links;
	FmsOtlpEvent *events;
	uint32		event_count;
	FmsOtlpLink *links;
	uint32		link_count;
	bool		like_log;		/* its fields are those of a log record */
} FmsOtlpSpan;

/*
 * Where the parts of a request go; nodes are those that the lists name.
 * Whatever returns false ends the decoding.
 */
typedef struct FmsOtlpSink
{
	void	   *arg;
	bool		(*resource) (void *arg, const FmsOtlpResource *resource, FmsOtlpNode *nodes);
	bool		(*scope) (void *arg, const FmsOtlpScope *scope, FmsOtlpNode *nodes);
	bool		(*span) (void *arg, const FmsOtlpSpan *span, FmsOtlpNode *nodes);
	/* a span that is not one, and why */
	bool		(*reject) (void *arg, const char *reason);
	/* as realloc, but does not return without memory */
	void	   *(*resize) (void *arg, void *memory, size_t bytes);
} FmsOtlpSink;

extern bool fms_otlp_decode_protobuf(const char *body, size_t length, const FmsOtlpSink *sink,
									 const char **error, size_t *error_at);
extern bool fms_otlp_decode_json(const char *body, size_t length, const FmsOtlpSink *sink,
								 const char **error, size_t *error_at);

/* what the two decoders share */
typedef struct FmsOtlpDecoder
{
	const FmsOtlpSink *sink;
	FmsOtlpNode *nodes;
	uint32		node_count;
	uint32		node_room;
	FmsOtlpEvent *events;
	uint32		event_room;
	FmsOtlpLink *links;
	uint32		link_room;
	FmsOtlpEntity *entities;
	uint32		entity_room;
	FmsPart    *texts;			/* keys of entities */
	uint32		text_count;
	uint32		text_room;
	struct FmsOtlpChunk *chunks;	/* of unescaped text, the newest first */
	int64		spans;
	int64		groups;			/* resources and scopes */
	const char *reason;			/* why the part at hand can't be used */
} FmsOtlpDecoder;

extern void fms_otlp_begin(FmsOtlpDecoder *decoder, const FmsOtlpSink *sink);
extern void fms_otlp_end(FmsOtlpDecoder *decoder);
extern void fms_otlp_forget(FmsOtlpDecoder *decoder);
extern FmsOtlpNode *fms_otlp_add_node(FmsOtlpDecoder *decoder);
extern FmsOtlpEvent *fms_otlp_add_event(FmsOtlpDecoder *decoder, FmsOtlpSpan *span);
extern FmsOtlpLink *fms_otlp_add_link(FmsOtlpDecoder *decoder, FmsOtlpSpan *span);
extern FmsOtlpEntity *fms_otlp_add_entity(FmsOtlpDecoder *decoder, FmsOtlpResource *resource);
extern bool fms_otlp_add_text(FmsOtlpDecoder *decoder, FmsPart text);
extern void fms_otlp_finish_entities(FmsOtlpDecoder *decoder, FmsOtlpResource *resource);
extern char *fms_otlp_take_bytes(FmsOtlpDecoder *decoder, size_t bytes);
extern bool fms_otlp_refuse(FmsOtlpDecoder *decoder, const char *reason);
extern void fms_otlp_count_group(FmsOtlpDecoder *decoder);
extern bool fms_otlp_finish_span(FmsOtlpDecoder *decoder, const FmsOtlpSpan *span, size_t bytes);

#endif							/* FMS_OTLP_IN_DECODE_H */
