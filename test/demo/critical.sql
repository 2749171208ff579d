SELECT c.name, round(c.ms) AS ms, round(c.share::numeric, 2) AS share
FROM flowmaestro.list_traces() AS l, flowmaestro.critical_path(l.trace_id) AS c
ORDER BY c.ms DESC, c.step LIMIT 5;
