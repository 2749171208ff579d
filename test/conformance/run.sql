-- Runs the suite that conformance.sh has loaded, and prints it as TAP.

INSERT INTO flowmaestro.json_schemas (id, schema)
SELECT 'http://localhost:1234/' || path, content::jsonb
FROM suite_document WHERE kind = 'remote';

INSERT INTO suite_result (draft, part, name, outcome)
SELECT d.draft, d.part, format('%s: %s', d.path, t.name),
       CASE WHEN t.whole THEN suite_outcome(t.schema, t.instance, d.draft, d.part = 'format', t.valid)
            ELSE 'unrepresentable: jsonb cannot hold U+0000' END
FROM (SELECT path, content,
             regexp_replace(split_part(path, '/', 1), '^draft', '') AS draft,
             CASE WHEN path LIKE '%/optional/format/%' THEN 'format'
                  WHEN path LIKE '%/optional/%' THEN 'optional'
                  ELSE 'required' END AS part
      FROM suite_document WHERE kind = 'test'
      ORDER BY path COLLATE "C") AS d,
     LATERAL suite_tests(d.content) AS t;

-- an optional test that is known not to pass, and why, is no failure
SELECT CASE
           WHEN r.outcome = 'passed' AND k.name IS NULL THEN format('ok %s - %s', n, r.name)
           WHEN r.outcome = 'passed' THEN format('not ok %s - %s passes, but is listed as known not to', n, r.name)
           WHEN r.outcome LIKE 'unrep%' THEN format('ok %s - %s # skip %s', n, r.name, r.outcome)
           WHEN k.name IS NOT NULL AND r.part <> 'required' THEN format('not ok %s - %s # TODO %s', n, r.name, k.reason)
           ELSE format('not ok %s - %s (%s)', n, r.name, r.outcome)
       END
FROM suite_result AS r LEFT JOIN suite_known AS k ON k.name = r.name
ORDER BY n;
SELECT format('1..%s', count(*)) FROM suite_result;

SELECT format('# draft %-8s %-9s %5s of %5s passed, %s cannot be represented', draft, part,
              count(*) FILTER (WHERE outcome = 'passed'),
              count(*) FILTER (WHERE outcome NOT LIKE 'unrep%'),
              count(*) FILTER (WHERE outcome LIKE 'unrep%'))
FROM suite_result
GROUP BY draft, part
ORDER BY length(draft), draft, part DESC;
