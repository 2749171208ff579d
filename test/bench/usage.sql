-- Milliseconds of questions about a month: the original's query, ours from
-- the rollups, and the aggregate against three sums of raw rows.
SELECT set_config('bench.runs', :'runs', false);
DO $$
DECLARE
    month CONSTANT timestamptz := date_trunc('day', now(), 'UTC') - interval '30 days';
    questions CONSTANT text[] := ARRAY[
        'SELECT entity_id, sum((attributes->>''totalTokens'')::int) FROM flowmaestro.execution_spans WHERE span_type = ''model_generation'' AND started_at >= $1 GROUP BY entity_id',
        'SELECT entity_id, total_tokens, cost FROM flowmaestro.token_usage(''{entity}'', $1, date_trunc(''day'', now(), ''UTC''))',
        'SELECT sum((attributes->>''totalTokens'')::int) FROM flowmaestro.execution_spans WHERE span_type = ''model_generation'' AND entity_id = ''agent-7'' AND started_at >= $1',
        'SELECT total_tokens, cost FROM flowmaestro.get_token_usage(''agent-7'', $1, date_trunc(''day'', now(), ''UTC''))',
        'SELECT user_id, total_tokens FROM flowmaestro.token_usage(''{user}'', $1, date_trunc(''day'', now(), ''UTC''))',
        'SELECT sum((attributes->>''promptTokens'')::int), sum((attributes->>''completionTokens'')::int), sum((attributes->>''totalTokens'')::int) FROM original.calls',
        'SELECT flowmaestro.token_usage_agg(attributes) FROM original.calls',
        'SELECT count(attributes) FROM original.calls',
        'SELECT sum((attributes->>''promptTokens'')::int), sum((attributes->>''completionTokens'')::int), sum((attributes->>''totalTokens'')::int) FROM original.long_calls',
        'SELECT flowmaestro.token_usage_agg(attributes) FROM original.long_calls'];
    names CONSTANT text[] := ARRAY['month by entity, the seed''s SUM', 'month by entity, token_usage', 'month of one entity, the seed''s SUM', 'month of one entity, get_token_usage',
        'month by user, token_usage', '500,000 rows, three SUMs', '500,000 rows, token_usage_agg', '500,000 rows, count',
        '50,000 rows with messages, three SUMs', '50,000 rows with messages, token_usage_agg'];
    times float8[];
    medians float8[];
    begun timestamptz;
BEGIN
    FOR q IN 1 .. cardinality(questions) LOOP
        times := '{}';
        -- raw rows in one process, whose time is CPU time; the seed's query may have more
        PERFORM set_config('max_parallel_workers_per_gather', CASE WHEN names[q] LIKE '%rows%' THEN '0' ELSE '2' END, true);
        FOR run IN 0 .. current_setting('bench.runs')::int LOOP
            begun := clock_timestamp();
            EXECUTE questions[q] USING month;
            -- the first one warms up
            IF run > 0 THEN
                times := times || extract(epoch FROM clock_timestamp() - begun)::float8 * 1000;
            END IF;
        END LOOP;
        medians[q] := (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times) AS t);
        RAISE INFO '%', format('%s %s ms', rpad(names[q], 52), lpad(round(medians[q]::numeric, 2)::text, 10));
    END LOOP;
    RAISE INFO '%', format('SUM / token_usage, by entity = %s (goal >= 200)', round((medians[1] / medians[2])::numeric));
    RAISE INFO '%', format('three SUMs / token_usage_agg = %s (goal >= 3)', round((medians[6] / medians[7])::numeric, 2));
    RAISE INFO '%', format('three SUMs / token_usage_agg, with messages = %s', round((medians[9] / medians[10])::numeric, 2));
    RAISE INFO '%', format('three SUMs / token_usage_agg, without what reading the rows takes = %s', round(((medians[6] - medians[8]) / (medians[7] - medians[8]))::numeric, 2));
END
$$;
