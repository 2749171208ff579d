-- Room trace: reading what was recorded.

CREATE TYPE @extschema@.tree_span AS (
    position int4,
    depth int4,
    path int4[],
    span_id uuid,
    parent_span_id uuid,
    name text,
    span_type text,
    entity_id text,
    status text,
    started_at timestamptz,
    ended_at timestamptz,
    duration_ms float8,
    self_ms float8,
    share float8,
    critical bool,
    critical_ms float8,
    children int4,
    descendants int4,
    prompt_tokens int8,
    completion_tokens int8,
    total_tokens int8,
    cost numeric,
    error text,
    note text
);
COMMENT ON TYPE @extschema@.tree_span IS 'a span and its place in the tree of its trace';
COMMENT ON COLUMN @extschema@.tree_span.position IS 'number in the order of the tree: parents before children, siblings by start; from 1';
COMMENT ON COLUMN @extschema@.tree_span.depth IS 'spans above it; 0 for a root';
COMMENT ON COLUMN @extschema@.tree_span.path IS 'numbers among its siblings from the root down to the span, at most 100 of them';
COMMENT ON COLUMN @extschema@.tree_span.span_id IS 'the span';
COMMENT ON COLUMN @extschema@.tree_span.parent_span_id IS 'its parent as recorded, also if that one is missing';
COMMENT ON COLUMN @extschema@.tree_span.name IS 'name of the span; empty while only its end or attributes have been seen';
COMMENT ON COLUMN @extschema@.tree_span.span_type IS 'kind of work';
COMMENT ON COLUMN @extschema@.tree_span.entity_id IS 'thing that the span belongs to';
COMMENT ON COLUMN @extschema@.tree_span.status IS 'started, completed, failed or cancelled';
COMMENT ON COLUMN @extschema@.tree_span.started_at IS 'start of the work';
COMMENT ON COLUMN @extschema@.tree_span.ended_at IS 'end of the work; NULL while it runs';
COMMENT ON COLUMN @extschema@.tree_span.duration_ms IS 'milliseconds from start to end; of a running span until now';
COMMENT ON COLUMN @extschema@.tree_span.self_ms IS 'the part of duration_ms that no child covers';
COMMENT ON COLUMN @extschema@.tree_span.share IS 'duration_ms as a part of that of the root; NULL if the root has none';
COMMENT ON COLUMN @extschema@.tree_span.critical IS 'whether the critical path of the trace leads through the span';
COMMENT ON COLUMN @extschema@.tree_span.critical_ms IS 'milliseconds of the critical path that are the span''s own';
COMMENT ON COLUMN @extschema@.tree_span.children IS 'spans directly below';
COMMENT ON COLUMN @extschema@.tree_span.descendants IS 'all spans below';
COMMENT ON COLUMN @extschema@.tree_span.prompt_tokens IS 'prompt tokens of the model calls here and below; NULL if none tells any';
COMMENT ON COLUMN @extschema@.tree_span.completion_tokens IS 'completion tokens of the same calls';
COMMENT ON COLUMN @extschema@.tree_span.total_tokens IS 'all tokens of the same calls';
COMMENT ON COLUMN @extschema@.tree_span.cost IS 'cost that the same calls tell; NULL if none does';
COMMENT ON COLUMN @extschema@.tree_span.error IS 'message of the error; NULL if there is none';
COMMENT ON COLUMN @extschema@.tree_span.note IS 'what is odd about the span; NULL if nothing is';

CREATE FUNCTION @extschema@.get_trace_tree(trace_id uuid)
RETURNS SETOF @extschema@.tree_span
AS 'MODULE_PATHNAME', 'fms_get_trace_tree'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000 ROWS 100;
COMMENT ON FUNCTION @extschema@.get_trace_tree IS
    'every span of a trace exactly once, in the order of the tree, with its own and the whole subtree''s figures';

CREATE FUNCTION @extschema@.span_ancestors(span_id uuid)
RETURNS SETOF @extschema@.tree_span
AS 'MODULE_PATHNAME', 'fms_span_ancestors'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000 ROWS 10;
COMMENT ON FUNCTION @extschema@.span_ancestors IS 'the spans above a span, from the root down to its parent';

CREATE FUNCTION @extschema@.span_descendants(span_id uuid)
RETURNS SETOF @extschema@.tree_span
AS 'MODULE_PATHNAME', 'fms_span_descendants'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000 ROWS 100;
COMMENT ON FUNCTION @extschema@.span_descendants IS 'the spans below a span, in the order of the tree';

CREATE FUNCTION @extschema@.critical_path(trace_id uuid)
RETURNS TABLE (
    step int4,
    span_id uuid,
    name text,
    span_type text,
    depth int4,
    from_time timestamptz,
    until_time timestamptz,
    ms float8,
    share float8
)
AS 'MODULE_PATHNAME', 'fms_get_critical_path'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000 ROWS 20;
COMMENT ON FUNCTION @extschema@.critical_path IS
    'the stretches of time that the duration of a trace consists of, each with the span that it was spent in';

CREATE FUNCTION @extschema@.get_trace(trace_id uuid)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_get_trace'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.get_trace IS
    'a trace as {traceId, rootSpan, spans, startedAt, endedAt, durationMs, status}, spans by start; NULL if there is none';

CREATE FUNCTION @extschema@.get_span(span_id uuid)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_get_span'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.get_span IS 'a span as an object, as in get_trace; NULL if there is none';

CREATE FUNCTION @extschema@.query_spans(
    span_type text DEFAULT NULL,
    entity_id text DEFAULT NULL,
    user_id text DEFAULT NULL,
    status text DEFAULT NULL,
    started_from timestamptz DEFAULT NULL,
    started_until timestamptz DEFAULT NULL,
    attributes jsonb DEFAULT NULL,
    name_pattern text DEFAULT NULL,
    min_duration_ms float8 DEFAULT NULL,
    error_text text DEFAULT NULL,
    trace_id uuid DEFAULT NULL,
    span_types text[] DEFAULT NULL,
    page_size int4 DEFAULT 50,
    after text DEFAULT NULL,
    scan_limit int8 DEFAULT 20000,
    OUT trace_id uuid,
    OUT span_id uuid,
    OUT parent_span_id uuid,
    OUT name text,
    OUT span_type text,
    OUT entity_id text,
    OUT started_at timestamptz,
    OUT ended_at timestamptz,
    OUT duration_ms float8,
    OUT status text,
    OUT input jsonb,
    OUT output jsonb,
    OUT error jsonb,
    OUT attributes jsonb,
    OUT created_at timestamptz,
    OUT events jsonb,
    OUT links jsonb,
    OUT cursor text
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'fms_query_spans'
LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 50;
COMMENT ON FUNCTION @extschema@.query_spans IS
    'a page of the spans that all given conditions hold for, newest first; pass a row''s cursor as "after" to go on behind it';

CREATE FUNCTION @extschema@.query_spans_page(
    span_type text DEFAULT NULL,
    entity_id text DEFAULT NULL,
    user_id text DEFAULT NULL,
    status text DEFAULT NULL,
    started_from timestamptz DEFAULT NULL,
    started_until timestamptz DEFAULT NULL,
    attributes jsonb DEFAULT NULL,
    name_pattern text DEFAULT NULL,
    min_duration_ms float8 DEFAULT NULL,
    error_text text DEFAULT NULL,
    trace_id uuid DEFAULT NULL,
    span_types text[] DEFAULT NULL,
    page int4 DEFAULT 0,
    per_page int4 DEFAULT 50
) RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_query_spans_page'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION @extschema@.query_spans_page IS
    'a page, counted from 0, as {spans, total, page, perPage, totalPages}, newest first; it counts all that match, so query_spans is cheaper';

CREATE FUNCTION @extschema@.trace_summary(
    trace_id uuid,
    OUT trace_id uuid,
    OUT root_span_id uuid,
    OUT name text,
    OUT span_type text,
    OUT entity_id text,
    OUT status text,
    OUT started_at timestamptz,
    OUT ended_at timestamptz,
    OUT duration_ms float8,
    OUT last_activity timestamptz,
    OUT spans int4,
    OUT running int4,
    OUT failed int4,
    OUT cancelled int4,
    OUT odd int4,
    OUT roots int4,
    OUT depth int4,
    OUT prompt_tokens int8,
    OUT completion_tokens int8,
    OUT total_tokens int8,
    OUT cost numeric
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'fms_trace_summary'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000 ROWS 1;
COMMENT ON FUNCTION @extschema@.trace_summary IS
    'a trace in one row: its root, counts of its spans, tokens and cost; no row if there is no such trace';

CREATE FUNCTION @extschema@.list_traces(
    span_type text DEFAULT NULL,
    entity_id text DEFAULT NULL,
    user_id text DEFAULT NULL,
    status text DEFAULT NULL,
    started_from timestamptz DEFAULT NULL,
    started_until timestamptz DEFAULT NULL,
    attributes jsonb DEFAULT NULL,
    name_pattern text DEFAULT NULL,
    min_duration_ms float8 DEFAULT NULL,
    error_text text DEFAULT NULL,
    page_size int4 DEFAULT 50,
    after text DEFAULT NULL,
    scan_limit int8 DEFAULT 200000,
    OUT trace_id uuid,
    OUT root_span_id uuid,
    OUT name text,
    OUT span_type text,
    OUT entity_id text,
    OUT status text,
    OUT started_at timestamptz,
    OUT ended_at timestamptz,
    OUT duration_ms float8,
    OUT last_activity timestamptz,
    OUT spans int4,
    OUT running int4,
    OUT failed int4,
    OUT cancelled int4,
    OUT odd int4,
    OUT roots int4,
    OUT depth int4,
    OUT prompt_tokens int8,
    OUT completion_tokens int8,
    OUT total_tokens int8,
    OUT cost numeric,
    OUT cursor text
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'fms_list_traces'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 50;
COMMENT ON FUNCTION @extschema@.list_traces IS
    'traces whose root all given conditions hold for, one row each as in trace_summary, newest root first';

CREATE FUNCTION @extschema@.trace_tree_text(
    trace_id uuid,
    width int4 DEFAULT 98,
    ascii bool DEFAULT false
) RETURNS SETOF text
AS 'MODULE_PATHNAME', 'fms_trace_tree_text'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000 ROWS 100;
COMMENT ON FUNCTION @extschema@.trace_tree_text IS
    'a trace drawn for a person: a line a span in at most "width" columns, with duration, tokens and a bar in time';

CREATE FUNCTION @extschema@.trace_html(trace_id uuid)
RETURNS text
AS 'MODULE_PATHNAME', 'fms_trace_html'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.trace_html IS
    'a trace as an HTML page that needs nothing else: waterfall, tree, search, details; NULL if there is no such trace';

CREATE FUNCTION @extschema@.trace_diff(
    a uuid,
    b uuid,
    OUT step int4,
    OUT depth int4,
    OUT change text,
    OUT name text,
    OUT span_type text,
    OUT a_span_id uuid,
    OUT b_span_id uuid,
    OUT a_status text,
    OUT b_status text,
    OUT a_ms float8,
    OUT b_ms float8,
    OUT delta_ms float8,
    OUT a_tokens int8,
    OUT b_tokens int8
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'fms_trace_diff'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 2000 ROWS 100;
COMMENT ON FUNCTION @extschema@.trace_diff IS
    'two runs side by side; change is vanished, appeared, status, slower, faster or same';

-- what runs is in memory, what has ended is in the table; each with the rights of who asks
CREATE VIEW @extschema@.active_traces WITH (security_invoker = true) AS
WITH running AS (
    SELECT a.trace_id, count(*) AS spans,
           min(a.started_at) AS first_start, max(a.started_at) AS last_start,
           array_agg(a ORDER BY a.parent_span_id IS NOT NULL, a.started_at, a.span_id) AS from_top,
           (array_agg(a.name ORDER BY a.started_at DESC, a.span_id DESC))[1] AS latest_span
    FROM @extschema@.active_spans AS a GROUP BY a.trace_id
)
SELECT r.trace_id,
       CASE WHEN (r.from_top[1]).parent_span_id IS NULL OR s.name IS NULL THEN (r.from_top[1]).name ELSE s.name END AS name,
       CASE WHEN (r.from_top[1]).parent_span_id IS NULL OR s.name IS NULL THEN (r.from_top[1]).span_type ELSE s.span_type END AS span_type,
       CASE WHEN (r.from_top[1]).parent_span_id IS NULL OR s.name IS NULL THEN (r.from_top[1]).entity_id ELSE s.entity_id END AS entity_id,
       t.started_at,
       clock_timestamp() - t.started_at AS age,
       t.last_activity,
       clock_timestamp() - t.last_activity AS idle,
       r.spans AS running,
       r.latest_span,
       COALESCE(s.spans, 0) AS written,
       COALESCE(s.failed, 0) AS failed,
       s.total_tokens
FROM running AS r
LEFT JOIN LATERAL @extschema@.trace_summary(r.trace_id) AS s ON true
CROSS JOIN LATERAL (SELECT LEAST(r.first_start, s.started_at), GREATEST(r.last_start, s.last_activity)) AS t (started_at, last_activity);
COMMENT ON VIEW @extschema@.active_traces IS 'traces that have a running span, one row each';
COMMENT ON COLUMN @extschema@.active_traces.trace_id IS 'the trace';
COMMENT ON COLUMN @extschema@.active_traces.name IS 'name of its root';
COMMENT ON COLUMN @extschema@.active_traces.span_type IS 'kind of work of its root';
COMMENT ON COLUMN @extschema@.active_traces.entity_id IS 'thing that its root belongs to';
COMMENT ON COLUMN @extschema@.active_traces.started_at IS 'earliest start of the root or a running span';
COMMENT ON COLUMN @extschema@.active_traces.age IS 'time since then';
COMMENT ON COLUMN @extschema@.active_traces.last_activity IS 'latest start or end of a span';
COMMENT ON COLUMN @extschema@.active_traces.idle IS 'time since then';
COMMENT ON COLUMN @extschema@.active_traces.running IS 'spans that run';
COMMENT ON COLUMN @extschema@.active_traces.latest_span IS 'name of the running span that started last';
COMMENT ON COLUMN @extschema@.active_traces.written IS 'spans of the trace that are in the table';
COMMENT ON COLUMN @extschema@.active_traces.failed IS 'those of them that failed';
COMMENT ON COLUMN @extschema@.active_traces.total_tokens IS 'tokens of its model calls that are in the table';
