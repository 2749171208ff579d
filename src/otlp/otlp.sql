-- Room otlp: the resources and scopes that spans came from.

CREATE TABLE @extschema@.otlp_resources (
    id uuid PRIMARY KEY,
    service_name text GENERATED ALWAYS AS (attributes ->> 'service.name') STORED,
    attributes jsonb NOT NULL DEFAULT '{}',
    otlp jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE @extschema@.otlp_resources IS
    'resources that spans came from by OTLP, each stored once';
COMMENT ON COLUMN @extschema@.otlp_resources.id IS 'hash of the resource; otlp_scopes.resource_id names it';
COMMENT ON COLUMN @extschema@.otlp_resources.service_name IS 'attribute service.name of the resource';
COMMENT ON COLUMN @extschema@.otlp_resources.attributes IS 'attributes of the resource, an object';
COMMENT ON COLUMN @extschema@.otlp_resources.otlp IS
    'fields of the resource that have no column of their own; NULL if there is none';
COMMENT ON COLUMN @extschema@.otlp_resources.created_at IS 'when the resource was stored';
SELECT pg_extension_config_dump('@extschema@.otlp_resources', '');

CREATE TABLE @extschema@.otlp_scopes (
    id uuid PRIMARY KEY,
    resource_id uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    attributes jsonb NOT NULL DEFAULT '{}',
    otlp jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE @extschema@.otlp_scopes IS
    'instrumentation scopes of resources that spans came from by OTLP, each stored once';
COMMENT ON COLUMN @extschema@.otlp_scopes.id IS
    'hash of the scope and its resource; member "scope" of execution_spans.otlp names it';
COMMENT ON COLUMN @extschema@.otlp_scopes.resource_id IS 'resource of the scope, in otlp_resources';
COMMENT ON COLUMN @extschema@.otlp_scopes.name IS 'name of the instrumentation library; may be empty';
COMMENT ON COLUMN @extschema@.otlp_scopes.version IS 'version of the library; may be empty';
COMMENT ON COLUMN @extschema@.otlp_scopes.attributes IS 'attributes of the scope, an object';
COMMENT ON COLUMN @extschema@.otlp_scopes.otlp IS
    'fields of the scope that have no column of their own; NULL if there is none';
COMMENT ON COLUMN @extschema@.otlp_scopes.created_at IS 'when the scope was stored';
SELECT pg_extension_config_dump('@extschema@.otlp_scopes', '');

CREATE VIEW @extschema@.otlp_spans AS
SELECT e.trace_id, e.span_id, e.started_at, r.service_name, r.attributes AS resource_attributes,
       s.name AS scope_name, s.version AS scope_version, s.id AS scope_id, r.id AS resource_id
FROM @extschema@.execution_spans AS e
JOIN @extschema@.otlp_scopes AS s
    ON s.id = (e.otlp ->> 'scope')::uuid
JOIN @extschema@.otlp_resources AS r ON r.id = s.resource_id;
COMMENT ON VIEW @extschema@.otlp_spans IS
    'which service and which library a span that came by OTLP is of';
COMMENT ON COLUMN @extschema@.otlp_spans.trace_id IS 'trace of the span';
COMMENT ON COLUMN @extschema@.otlp_spans.span_id IS 'the span';
COMMENT ON COLUMN @extschema@.otlp_spans.started_at IS 'start of the span';
COMMENT ON COLUMN @extschema@.otlp_spans.service_name IS 'attribute service.name of its resource';
COMMENT ON COLUMN @extschema@.otlp_spans.resource_attributes IS 'attributes of its resource';
COMMENT ON COLUMN @extschema@.otlp_spans.scope_name IS 'name of its instrumentation library';
COMMENT ON COLUMN @extschema@.otlp_spans.scope_version IS 'version of that library';
COMMENT ON COLUMN @extschema@.otlp_spans.scope_id IS 'its row of otlp_scopes';
COMMENT ON COLUMN @extschema@.otlp_spans.resource_id IS 'its row of otlp_resources';
