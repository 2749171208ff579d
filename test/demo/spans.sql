SELECT flowmaestro.flush() \g /dev/null

WITH RECURSIVE tree AS (
    SELECT s.*, 0 AS depth, ARRAY[s.started_at] AS path
    FROM flowmaestro.execution_spans AS s
    WHERE s.parent_span_id IS NULL
    UNION ALL
    SELECT s.*, t.depth + 1, t.path || s.started_at
    FROM flowmaestro.execution_spans AS s
    JOIN tree AS t ON s.trace_id = t.trace_id AND s.parent_span_id = t.span_id
)
SELECT repeat('  ', depth) || name AS name, span_type, status, round(duration_ms) AS ms,
       attributes->>'totalTokens' AS tokens, replace(error->>'message', E'\n', ' ') AS error
FROM tree
ORDER BY path;
