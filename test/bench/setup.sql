-- What the bench compares with: no-op functions and the original's schema.
CREATE EXTENSION flowmaestro_spans;
CREATE SCHEMA original;

CREATE FUNCTION original.noop_create(name text, span_type text, entity_id text DEFAULT NULL,
    attributes jsonb DEFAULT NULL, input jsonb DEFAULT NULL, trace_id uuid DEFAULT NULL,
    parent_span_id uuid DEFAULT NULL, span_id uuid DEFAULT NULL, started_at timestamptz DEFAULT NULL)
RETURNS flowmaestro.span_context AS :'noop', 'noop_context' LANGUAGE C;
CREATE FUNCTION original.noop_cpu() RETURNS float8 AS :'noop' LANGUAGE C;
CREATE FUNCTION original.noop_unhook() RETURNS void AS :'noop' LANGUAGE C;
CREATE FUNCTION original.noop_end(span_id uuid, output jsonb DEFAULT NULL, attributes jsonb DEFAULT NULL,
    error jsonb DEFAULT NULL, status text DEFAULT NULL, ended_at timestamptz DEFAULT NULL)
RETURNS boolean AS :'noop', 'noop' LANGUAGE C;
CREATE FUNCTION original.noop_bare(text) RETURNS boolean AS :'noop', 'noop' LANGUAGE C;

CREATE TABLE original.execution_spans (
    trace_id uuid NOT NULL,
    span_id uuid PRIMARY KEY,
    parent_span_id uuid,
    name text NOT NULL,
    span_type text NOT NULL,
    entity_id text,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    duration_ms integer,
    status text NOT NULL,
    input jsonb,
    output jsonb,
    error jsonb,
    attributes jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON original.execution_spans (trace_id);
CREATE INDEX ON original.execution_spans (span_type);
CREATE INDEX ON original.execution_spans (entity_id);
CREATE INDEX ON original.execution_spans ((attributes ->> 'userId'));
CREATE INDEX ON original.execution_spans (status);
CREATE INDEX ON original.execution_spans (started_at);
CREATE INDEX ON original.execution_spans (entity_id, span_type, started_at);
CREATE INDEX ON original.execution_spans USING gin (attributes);

-- a payload: 300 bytes of attributes and input, or a span of about 1 KB
CREATE FUNCTION original.small_attributes() RETURNS jsonb IMMUTABLE LANGUAGE sql AS
$$SELECT jsonb_build_object('userId', 'user-123', 'model', 'gpt-4o', 'provider', 'openai', 'temperature', 0.7, 'note', repeat('a', 60))$$;
CREATE FUNCTION original.small_input() RETURNS jsonb IMMUTABLE LANGUAGE sql AS
$$SELECT jsonb_build_object('message', repeat('hello ', 20))$$;
CREATE FUNCTION original.attributes(k integer) RETURNS jsonb IMMUTABLE LANGUAGE sql AS
$$SELECT jsonb_build_object('userId', 'user-' || k % 1000, 'model', 'gpt-4o', 'provider', 'openai',
    'promptTokens', k % 5000, 'completionTokens', k % 700, 'temperature', 0.7)$$;
CREATE FUNCTION original.payload(k integer) RETURNS jsonb IMMUTABLE LANGUAGE sql AS
$$SELECT jsonb_build_object('message', md5(k::text) || md5((k + 1)::text) || md5((k + 2)::text) || repeat('hello ', 40))$$;

-- rows of 1 KB, as a flush finds them
CREATE TABLE original.stage WITH (toast_tuple_target = 8160) AS
SELECT k, t.trace_id, overlay(t.trace_id::text placing substr(gen_random_uuid()::text, 20) from 20)::uuid AS span_id,
    NULL::uuid AS parent_span_id, 'agent run' AS name, 'agent_run' AS span_type, 'agent-' || k % 100 AS entity_id,
    date_trunc('day', now(), 'UTC') + interval '1 hour' + k * interval '10 ms' AS started_at,
    date_trunc('day', now(), 'UTC') + interval '1 hour' + k * interval '10 ms' + interval '5 ms' AS ended_at,
    5.0::float8 AS duration_ms, 'completed' AS status,
    original.payload(k) AS input, original.payload(k + 3) AS output, NULL::jsonb AS error,
    original.attributes(k) AS attributes, now() AS created_at, NULL::jsonb AS events, NULL::jsonb AS links, NULL::jsonb AS otlp
FROM generate_series(1, 100000) AS k,
LATERAL (SELECT (lpad(to_hex(1700000000000 + k * 10), 12, '0') || '7' || substr(md5(k::text), 1, 3) || substr(gen_random_uuid()::text, 20, 4) || substr(md5(k::text), 4, 12))::uuid AS trace_id) AS t;
CREATE INDEX ON original.stage (k);
VACUUM ANALYZE original.stage;
