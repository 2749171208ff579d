-- ten spans in one statement, each as it is stored when it comes by OTLP: with
-- its input and output among the attributes, as well
\set k random(0, 99990)
SELECT count(flowmaestro.end_span(c.span_id, s.output))
FROM original.stage AS s, LATERAL flowmaestro.create_span(s.name, s.span_type, s.entity_id, s.sent, s.input) AS c
WHERE s.k > :k AND s.k <= :k + 10;
