SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;

--
-- A thousand random traces, some of them odd in every way, against a second
-- computation that shares nothing with the first: closures instead of walks,
-- multiranges instead of sweeps, recursion instead of a stack
--
SELECT flowmaestro.make_partition('2021-01-01 00:00:00+00');

-- a number below n that depends on some words
CREATE FUNCTION pick(n int, VARIADIC words text[]) RETURNS int IMMUTABLE LANGUAGE sql AS
$$SELECT (('x' || substr(md5(array_to_string(words, '/')), 1, 7))::bit(28)::int) % n$$;
CREATE FUNCTION trace_of(t int) RETURNS uuid IMMUTABLE LANGUAGE sql AS
$$SELECT md5('trace ' || t)::uuid$$;
-- ids in another order than the starts
CREATE FUNCTION span_of(t int, k int) RETURNS uuid IMMUTABLE LANGUAGE sql AS
$$SELECT md5('span ' || t || ' ' || k)::uuid$$;

INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, started_at, ended_at, status, attributes)
SELECT trace_of(t), span_of(t, k),
    CASE WHEN p.kind < 5 THEN NULL                                        -- roots
         WHEN p.kind < 9 THEN md5('nobody ' || t || ' ' || k)::uuid       -- orphans
         WHEN p.kind < 11 THEN span_of(t, k)                              -- their own parents
         WHEN p.kind < 16 THEN span_of(t, 1 + pick(n.size, 'any', t::text, k::text)) -- anybody: circles
         WHEN k = 1 THEN NULL
         ELSE span_of(t, 1 + pick(k - 1, 'earlier', t::text, k::text)) END,
    'span ' || k,
    (ARRAY['agent_run', 'model_generation', 'tool_execution', 'embedding_generation'])[1 + pick(4, 'type', t::text, k::text)],
    s.at, CASE WHEN pick(20, 'running', t::text, k::text) > 0 THEN s.at + s.length END,
    CASE WHEN pick(20, 'running', t::text, k::text) = 0 THEN 'started' ELSE 'completed' END,
    CASE pick(3, 'tokens', t::text, k::text) WHEN 0 THEN '{}' ELSE
        jsonb_build_object('promptTokens', pick(100, 'prompt', t::text, k::text), 'completionTokens', pick(100, 'completion', t::text, k::text)) END
FROM generate_series(1, 1000) AS t,
LATERAL (SELECT 1 + pick(30, 'size', t::text) AS size) AS n,
LATERAL generate_series(1, n.size) AS k,
LATERAL (SELECT pick(CASE WHEN t % 2 = 0 THEN 16 ELSE 100 END, 'parent', t::text, k::text) AS kind) AS p,
-- few different times, so that many are equal; a length of zero is frequent, a negative one happens
LATERAL (SELECT '2021-01-01 00:00:00+00'::timestamptz + interval '1 ms' * pick(20, 'at', t::text, k::text) AS at,
                interval '1 ms' * (pick(22, 'length', t::text, k::text) - 2) AS length) AS s;
-- the ids do not tell their times
SELECT flowmaestro.note_span_ids(array_agg(trace_id), array_agg(span_id), array_agg(started_at)) FROM flowmaestro.execution_spans
WHERE started_at >= '2021-01-01 00:00:00+00' AND started_at < '2021-01-02 00:00:00+00';

-- the second computation
CREATE TABLE oracle AS
SELECT trace_id, span_id, parent_span_id, started_at AS "from", started_at AS "until", ended_at, span_type, attributes,
    parent_span_id AS parent, NULL::int AS number, NULL::int[] AS path, NULL::int AS position, NULL::int AS depth, NULL::int AS descendants,
    NULL::float8 AS self_ms, NULL::int8 AS tokens, NULL::int8 AS critical_us, NULL::text AS note
FROM flowmaestro.execution_spans WHERE false;
CREATE INDEX ON oracle (trace_id, parent);
CREATE INDEX ON oracle (trace_id, span_id);

-- the critical path, from the end back; "until" of the caller's frame limits it
CREATE FUNCTION walk(t uuid, s uuid, from_time timestamptz, until_time timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    bound timestamptz := until_time;
    own int8 := 0;
    used uuid[] := '{}';
    c record;
BEGIN
    LOOP
        SELECT o.span_id, greatest(o."from", from_time) AS f, least(o."until", until_time) AS u INTO c
        FROM oracle AS o
        WHERE o.trace_id = t AND o.parent = s AND o.span_id <> ALL (used)
          AND least(o."until", until_time) <= bound
          AND CASE WHEN o."from" = o."until" THEN o."from" BETWEEN from_time AND until_time
                   ELSE greatest(o."from", from_time) < least(o."until", until_time) END
        ORDER BY least(o."until", until_time) DESC, greatest(o."from", from_time), o."from", o.span_id LIMIT 1;
        EXIT WHEN NOT FOUND;
        own := own + extract(epoch FROM bound - c.u) * 1000000;
        used := used || c.span_id;
        PERFORM walk(t, c.span_id, c.f, c.u);
        bound := c.f;
    END LOOP;
    own := own + extract(epoch FROM bound - from_time) * 1000000;
    UPDATE oracle SET critical_us = own WHERE trace_id = t AND span_id = s;
END
$$;

-- one statement for the server: running spans end at the same moment in both
CREATE TABLE ours AS SELECT trace_id, t.* FROM (SELECT NULL::uuid AS trace_id) AS x, flowmaestro.get_trace_tree(trace_of(0)) AS t;
DO $$
BEGIN
    INSERT INTO oracle
    SELECT trace_id, span_id, parent_span_id, started_at, greatest(started_at, coalesce(ended_at, statement_timestamp())), ended_at,
        span_type, attributes, parent_span_id
    FROM flowmaestro.execution_spans AS s WHERE s.trace_id IN (SELECT trace_of(t) FROM generate_series(1, 1000) AS t);
    ANALYZE oracle;
    -- a parent that is not there is none
    UPDATE oracle AS o SET parent = NULL, note = 'orphan'
    WHERE parent IS NOT NULL AND NOT EXISTS (SELECT FROM oracle AS p WHERE p.trace_id = o.trace_id AND p.span_id = o.parent);
    -- who reaches itself lies on a circle, which is cut above its earliest span
    CREATE TEMP TABLE reach AS
    WITH RECURSIVE r AS (
        SELECT trace_id, span_id, parent AS above FROM oracle WHERE parent IS NOT NULL
        UNION
        SELECT r.trace_id, r.span_id, o.parent FROM r JOIN oracle AS o ON o.trace_id = r.trace_id AND o.span_id = r.above WHERE o.parent IS NOT NULL)
    SELECT * FROM r;
    UPDATE oracle AS o SET parent = NULL, note = 'cycle'
    WHERE EXISTS (SELECT FROM reach AS r WHERE r.trace_id = o.trace_id AND r.span_id = o.span_id AND r.above = o.span_id)
      AND NOT EXISTS (SELECT FROM reach AS r JOIN oracle AS p ON p.trace_id = r.trace_id AND p.span_id = r.above
                      WHERE r.trace_id = o.trace_id AND r.span_id = o.span_id
                        AND EXISTS (SELECT FROM reach AS b WHERE b.trace_id = r.trace_id AND b.span_id = p.span_id AND b.above = o.span_id)
                        AND (p."from", p.span_id) < (o."from", o.span_id));
    UPDATE oracle AS o SET number = n.number
    FROM (SELECT trace_id, span_id, row_number() OVER (PARTITION BY trace_id, parent ORDER BY "from", span_id) AS number FROM oracle) AS n
    WHERE n.trace_id = o.trace_id AND n.span_id = o.span_id;
    UPDATE oracle AS o SET path = p.path
    FROM (WITH RECURSIVE p AS (
              SELECT trace_id, span_id, ARRAY[number] AS path FROM oracle WHERE parent IS NULL
              UNION ALL
              SELECT o.trace_id, o.span_id, p.path || o.number FROM p JOIN oracle AS o ON o.trace_id = p.trace_id AND o.parent = p.span_id)
          SELECT * FROM p) AS p
    WHERE p.trace_id = o.trace_id AND p.span_id = o.span_id;
    UPDATE oracle AS o SET position = n.position, depth = cardinality(path) - 1,
        descendants = (SELECT count(*) FROM oracle AS d WHERE d.trace_id = o.trace_id AND d.path[:cardinality(o.path)] = o.path) - 1
    FROM (SELECT trace_id, span_id, row_number() OVER (PARTITION BY trace_id ORDER BY path) AS position FROM oracle) AS n
    WHERE n.trace_id = o.trace_id AND n.span_id = o.span_id;
    -- the time that is left when the children's times are taken away
    UPDATE oracle AS o SET self_ms = coalesce((
        SELECT extract(epoch FROM sum(upper(r) - lower(r))) * 1000
        FROM unnest(tstzmultirange(tstzrange(o."from", o."until")) - coalesce(
            (SELECT range_agg(tstzrange(c."from", c."until")) FROM oracle AS c WHERE c.trace_id = o.trace_id AND c.parent = o.span_id),
            '{}'::tstzmultirange)) AS r), 0);
    -- model calls that no model call below repeats
    UPDATE oracle AS o SET tokens = (
        SELECT sum((c.attributes ->> 'promptTokens')::int8 + (c.attributes ->> 'completionTokens')::int8)
        FROM oracle AS c
        WHERE c.trace_id = o.trace_id AND c.path[:cardinality(o.path)] = o.path AND c.attributes ? 'promptTokens'
          AND c.span_type IN ('model_generation', 'embedding_generation')
          AND NOT EXISTS (SELECT FROM oracle AS d
                          WHERE d.trace_id = c.trace_id AND d.path[:cardinality(c.path)] = c.path AND d.span_id <> c.span_id
                            AND d.attributes ? 'promptTokens' AND d.span_type IN ('model_generation', 'embedding_generation')));
    UPDATE oracle AS o SET note = nullif(concat_ws(', ', o.note,
        CASE WHEN o.ended_at < o."from" THEN 'ends before its start' END,
        CASE WHEN o."from" < p."from" THEN 'starts before its parent' END,
        CASE WHEN o."until" > p."until" OR o."from" > p."until" THEN 'outlasts its parent' END), '')
    FROM oracle AS c LEFT JOIN oracle AS p ON p.trace_id = c.trace_id AND p.span_id = c.parent
    WHERE c.trace_id = o.trace_id AND c.span_id = o.span_id;
    PERFORM walk(r.trace_id, r.span_id, r."from", r."until")
    FROM (SELECT DISTINCT ON (trace_id) * FROM oracle WHERE parent IS NULL
          ORDER BY trace_id, parent_span_id IS NOT NULL, "from", span_id) AS r;
    INSERT INTO ours SELECT trace_of(k), t.* FROM generate_series(1, 1000) AS k, flowmaestro.get_trace_tree(trace_of(k)) AS t;
END
$$;

-- every span once
SELECT count(*) AS spans, count(DISTINCT span_id) AS different, count(DISTINCT trace_id) AS traces FROM ours;
SELECT count(*) FROM (SELECT trace_id, span_id FROM oracle EXCEPT SELECT trace_id, span_id FROM ours) AS missing;
-- what the traces have: a test of nothing would pass as well
SELECT count(*) FILTER (WHERE note LIKE '%orphan%') > 100 AS orphans, count(*) FILTER (WHERE note LIKE '%cycle%') > 100 AS cycles,
    count(*) FILTER (WHERE note LIKE '%starts before%') > 100 AS skewed, count(*) FILTER (WHERE note LIKE '%outlasts%') > 100 AS outside,
    count(*) FILTER (WHERE note LIKE '%ends before%') > 100 AS early, count(*) FILTER (WHERE ended_at IS NULL) > 100 AS running,
    count(*) FILTER (WHERE depth > 5) > 100 AS deep, count(*) FILTER (WHERE critical_us > 0) > 1000 AS critical,
    count(*) FILTER (WHERE self_ms > 0 AND descendants > 0) > 1000 AS self, count(tokens) > 1000 AS tokens FROM oracle;
-- no difference
SELECT count(*) FILTER (WHERE u.position IS DISTINCT FROM o.position) AS position,
    count(*) FILTER (WHERE u.path IS DISTINCT FROM o.path) AS path,
    count(*) FILTER (WHERE u.depth IS DISTINCT FROM o.depth) AS depth,
    count(*) FILTER (WHERE u.descendants IS DISTINCT FROM o.descendants) AS descendants,
    count(*) FILTER (WHERE u.children IS DISTINCT FROM (SELECT count(*) FROM oracle AS c WHERE c.trace_id = o.trace_id AND c.parent = o.span_id)) AS children,
    count(*) FILTER (WHERE round(u.duration_ms::numeric, 3) IS DISTINCT FROM round(extract(epoch FROM o."until" - o."from") * 1000, 3)) AS duration,
    count(*) FILTER (WHERE round(u.self_ms::numeric, 3) IS DISTINCT FROM round(o.self_ms::numeric, 3)) AS self,
    count(*) FILTER (WHERE u.total_tokens IS DISTINCT FROM o.tokens) AS tokens,
    count(*) FILTER (WHERE u.critical IS DISTINCT FROM (o.critical_us IS NOT NULL)) AS critical,
    count(*) FILTER (WHERE round(u.critical_ms::numeric * 1000) IS DISTINCT FROM o.critical_us) AS critical_ms,
    count(*) FILTER (WHERE u.note IS DISTINCT FROM o.note) AS note
FROM ours AS u JOIN oracle AS o ON o.trace_id = u.trace_id AND o.span_id = u.span_id;
-- the path's stretches follow each other from the start of the root to its end
SELECT count(*) AS traces, bool_and(c.sum = r.duration_ms) AS whole, bool_and(c.gaps = 0) AS no_gap
FROM generate_series(1, 1000) AS t,
LATERAL (SELECT ended_at, duration_ms FROM flowmaestro.trace_summary(trace_of(t))) AS r,
LATERAL (SELECT round(coalesce(sum(ms), 0)::numeric, 3)::float8 AS sum, count(*) FILTER (WHERE from_time <> before) AS gaps
         FROM (SELECT *, lag(until_time) OVER (ORDER BY step) AS before FROM flowmaestro.critical_path(trace_of(t))) AS p) AS c
WHERE r.ended_at IS NOT NULL AND r.duration_ms > 0;
-- ancestors and descendants are the rows of the tree
SELECT count(*) AS spans, bool_and(a.n = o.depth) AS ancestors, bool_and(d.n = o.descendants) AS descendants
FROM oracle AS o, LATERAL (SELECT count(*) AS n FROM flowmaestro.span_ancestors(o.span_id)) AS a,
LATERAL (SELECT count(*) AS n FROM flowmaestro.span_descendants(o.span_id)) AS d
WHERE o.trace_id IN (SELECT trace_of(t) FROM generate_series(1, 50) AS t);

DROP TABLE oracle, ours;
DROP FUNCTION walk, trace_of, span_of, pick;
DELETE FROM flowmaestro.execution_spans WHERE started_at >= '2021-01-01 00:00:00+00' AND started_at < '2021-01-02 00:00:00+00';
