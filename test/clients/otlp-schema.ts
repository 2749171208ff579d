/**
 * The messages of OTLP's traces for protobufjs: names, numbers and types of all fields, as
 * opentelemetry/proto/{collector/trace,trace,resource,common}/v1 define them.
 */
import protobuf from 'protobufjs';

const { root } = protobuf.parse(`
	syntax = "proto3";

	message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
	message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3; }
	message ScopeSpans { InstrumentationScope scope = 1; repeated Span spans = 2; string schema_url = 3; }
	message Resource {
		repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; repeated EntityRef entity_refs = 3;
	}
	message EntityRef {
		string schema_url = 1; string type = 2; repeated string id_keys = 3; repeated string description_keys = 4;
	}
	message InstrumentationScope {
		string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4;
	}
	message Span {
		bytes trace_id = 1;
		bytes span_id = 2;
		string trace_state = 3;
		bytes parent_span_id = 4;
		string name = 5;
		int32 kind = 6;
		fixed64 start_time_unix_nano = 7;
		fixed64 end_time_unix_nano = 8;
		repeated KeyValue attributes = 9;
		uint32 dropped_attributes_count = 10;
		repeated Event events = 11;
		uint32 dropped_events_count = 12;
		repeated Link links = 13;
		uint32 dropped_links_count = 14;
		Status status = 15;
		fixed32 flags = 16;
	}
	message Event {
		fixed64 time_unix_nano = 1; string name = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4;
	}
	message Link {
		bytes trace_id = 1;
		bytes span_id = 2;
		string trace_state = 3;
		repeated KeyValue attributes = 4;
		uint32 dropped_attributes_count = 5;
		fixed32 flags = 6;
	}
	message Status { string message = 2; int32 code = 3; }
	message KeyValue { string key = 1; AnyValue value = 2; }
	message AnyValue {
		oneof value {
			string string_value = 1;
			bool bool_value = 2;
			int64 int_value = 3;
			double double_value = 4;
			ArrayValue array_value = 5;
			KeyValueList kvlist_value = 6;
			bytes bytes_value = 7;
		}
	}
	message ArrayValue { repeated AnyValue values = 1; }
	message KeyValueList { repeated KeyValue values = 1; }
`);

export const Request = root.lookupType('ExportTraceServiceRequest');

// Messages as plain objects: ids and bytes in hexadecimal and base64 as OTLP's JSON has them, 64-bit numbers as strings.

export interface AnyValue {
	stringValue?: string;
	boolValue?: boolean;
	intValue?: string;
	doubleValue?: number;
	arrayValue?: { values?: AnyValue[] };
	kvlistValue?: { values?: KeyValue[] };
	bytesValue?: string;
}
export interface KeyValue { key?: string; value?: AnyValue }
export interface SpanEvent { timeUnixNano?: string; name?: string; attributes?: KeyValue[]; droppedAttributesCount?: number }
export interface SpanLink {
	traceId?: string; spanId?: string; traceState?: string; attributes?: KeyValue[];
	droppedAttributesCount?: number; flags?: number;
}
export interface Span {
	traceId: string; spanId: string; traceState?: string; parentSpanId?: string; name?: string; kind?: number;
	startTimeUnixNano?: string; endTimeUnixNano?: string; attributes?: KeyValue[]; droppedAttributesCount?: number;
	events?: SpanEvent[]; droppedEventsCount?: number; links?: SpanLink[]; droppedLinksCount?: number;
	status?: { message?: string; code?: number }; flags?: number;
}
export interface EntityRef { schemaUrl?: string; type?: string; idKeys?: string[]; descriptionKeys?: string[] }
export interface Resource { attributes?: KeyValue[]; droppedAttributesCount?: number; entityRefs?: EntityRef[] }
export interface Scope { name?: string; version?: string; attributes?: KeyValue[]; droppedAttributesCount?: number }
export interface ScopeSpans { scope?: Scope; spans?: Span[]; schemaUrl?: string }
export interface ResourceSpans { resource?: Resource; scopeSpans?: ScopeSpans[]; schemaUrl?: string }
export interface TraceRequest { resourceSpans?: ResourceSpans[] }

const ids = new Set(['traceId', 'spanId', 'parentSpanId']);

/** Replaces the ids of all messages. */
function mapIds(value: unknown, change: (id: string) => string): unknown {
	if (Array.isArray(value)) {
		return value.map((element) => mapIds(element, change));
	}
	if (value === null || typeof value !== 'object') {
		return value;
	}
	return Object.fromEntries(Object.entries(value).map(([name, member]) =>
		[name, ids.has(name) && typeof member === 'string' ? change(member) : mapIds(member, change)]));
}

export function toProtobuf(request: TraceRequest): Buffer {
	const message = Request.fromObject(mapIds(request, (id) => Buffer.from(id, 'hex').toString('base64')) as object);
	return Buffer.from(Request.encode(message).finish());
}

export function fromProtobuf(bytes: Uint8Array): TraceRequest {
	const object = Request.toObject(Request.decode(bytes), { longs: String, bytes: String });
	return mapIds(object, (id) => Buffer.from(id, 'base64').toString('hex')) as TraceRequest;
}

/** OTLP's JSON, where a double can be none that JSON knows. */
export function toJson(request: TraceRequest): string {
	return JSON.stringify(request, (name, value) =>
		name !== 'doubleValue' || (Number.isFinite(value) && !Object.is(value, -0)) ? value :
			Object.is(value, -0) ? '\u0001-0.0' : String(value)).replaceAll('"\\u0001-0.0"', '-0.0');
}

export function fromJson(text: string): TraceRequest {
	return JSON.parse(text, (name, value) =>
		name === 'doubleValue' && typeof value === 'string' ? Number(value) : value) as TraceRequest;
}
