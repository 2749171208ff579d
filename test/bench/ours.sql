-- one create and one end, each its own round trip
\set k random(1, 100000)
SELECT c.span_id FROM original.stage AS s, LATERAL flowmaestro.create_span(s.name, s.span_type, s.entity_id, s.attributes, s.input) AS c WHERE s.k = :k \gset
SELECT flowmaestro.end_span(:span_id, s.output) FROM original.stage AS s WHERE s.k = :k;
