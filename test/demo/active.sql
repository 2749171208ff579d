SELECT name, span_type, date_trunc('milliseconds', age) AS age, pid
FROM flowmaestro.active_spans
ORDER BY started_at;
