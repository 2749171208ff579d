-- ten spans of ours in one statement, as a client that batches would do
\set k random(0, 99990)
SELECT count(flowmaestro.end_span(c.span_id, s.output))
FROM original.stage AS s, LATERAL flowmaestro.create_span(s.name, s.span_type, s.entity_id, s.attributes, s.input) AS c
WHERE s.k > :k AND s.k <= :k + 10;
