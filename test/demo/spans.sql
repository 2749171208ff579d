SELECT flowmaestro.flush() \g /dev/null

SELECT t.line AS "the trace as a tree"
FROM flowmaestro.list_traces() AS l, flowmaestro.trace_tree_text(l.trace_id) AS t (line);
