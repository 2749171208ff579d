SELECT attributes->>'provider' AS provider, attributes->>'model' AS model, count(*) AS calls,
       sum((attributes->>'promptTokens')::int) AS prompt,
       sum((attributes->>'completionTokens')::int) AS completion,
       sum((attributes->>'totalTokens')::int) AS total
FROM flowmaestro.execution_spans
WHERE span_type = 'model_generation'
GROUP BY 1, 2
ORDER BY total DESC;
