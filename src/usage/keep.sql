-- Room usage: prices that are loaded, history that is priced again, and sums
-- that are made again and checked.

CREATE FUNCTION @extschema@.load_model_prices(prices jsonb)
RETURNS int8
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    odd text;
    n int8;
BEGIN
    IF jsonb_typeof(prices) <> 'array' OR EXISTS (SELECT FROM jsonb_array_elements(prices) AS p WHERE jsonb_typeof(p) <> 'object') THEN
        RAISE EXCEPTION 'prices must be an array of objects'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT k INTO odd FROM jsonb_array_elements(prices) AS p, jsonb_object_keys(p) AS k
    WHERE k <> ALL ('{provider,model,valid_from,currency,input,output,cache_read,cache_write,reasoning,audio_input,audio_output}') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a price has no field "%"', odd
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Fields are provider, model, valid_from, currency, input, output, cache_read, cache_write, reasoning, audio_input and audio_output.';
    END IF;
    INSERT INTO flowmaestro.model_prices AS m (provider, model, valid_from, currency, input_price, output_price,
        cache_read_price, cache_write_price, reasoning_price, audio_input_price, audio_output_price)
    SELECT p.provider, p.model, p.valid_from, coalesce(p.currency, 'USD'), coalesce(p.input, 0), coalesce(p.output, 0),
        p.cache_read, p.cache_write, p.reasoning, p.audio_input, p.audio_output
    FROM jsonb_to_recordset(prices) AS p (provider text, model text, valid_from timestamptz, currency text,
        input numeric, output numeric, cache_read numeric, cache_write numeric, reasoning numeric, audio_input numeric, audio_output numeric)
    ON CONFLICT (provider, model, valid_from) DO UPDATE SET currency = excluded.currency,
        input_price = excluded.input_price, output_price = excluded.output_price,
        cache_read_price = excluded.cache_read_price, cache_write_price = excluded.cache_write_price,
        reasoning_price = excluded.reasoning_price, audio_input_price = excluded.audio_input_price,
        audio_output_price = excluded.audio_output_price;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END
$$;
COMMENT ON FUNCTION @extschema@.load_model_prices IS
    'add prices, or replace those with the same provider, model and valid_from; returns how many; history stays as it is until reprice()';

CREATE FUNCTION @extschema@.rebuild_rollups(first timestamptz, last timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- whole days: an hour lies in one
    low timestamptz := date_trunc('day', first, 'UTC');
    high timestamptz := date_trunc('day', last, 'UTC') + interval '24 hours';
BEGIN
    DELETE FROM flowmaestro.token_usage_hourly AS h WHERE h.hour >= low AND h.hour < high;
    DELETE FROM flowmaestro.token_usage_daily AS d WHERE d.day >= low AND d.day < high;
    INSERT INTO flowmaestro.token_usage_hourly (entity_id, hour, user_id, provider, model, span_type, currency, calls, failures,
        input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
        audio_input_tokens, audio_output_tokens, ignored, cost, duration_us, durations)
    SELECT u.entity_id, date_trunc('hour', u.started_at, 'UTC'), u.user_id, u.provider, u.model, u.span_type, u.currency,
        count(*), count(*) FILTER (WHERE u.failed), sum(u.input_tokens), sum(u.output_tokens), sum(u.total_tokens),
        sum(u.cache_read_tokens), sum(u.cache_write_tokens), sum(u.reasoning_tokens), sum(u.audio_input_tokens),
        sum(u.audio_output_tokens), sum(u.ignored), coalesce(sum(u.cost), 0), sum(u.duration_us),
        flowmaestro.usage_durations_sum(CASE WHEN u.ended THEN flowmaestro.usage_durations_of(u.duration_us) ELSE '{}' END)
    FROM flowmaestro.span_usage AS u WHERE u.counted AND u.started_at >= low AND u.started_at < high
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
    INSERT INTO flowmaestro.token_usage_daily (entity_id, day, provider, model, span_type, currency, calls, failures,
        input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
        audio_input_tokens, audio_output_tokens, ignored, cost, duration_us, durations)
    SELECT h.entity_id, date_trunc('day', h.hour, 'UTC'), h.provider, h.model, h.span_type, h.currency,
        sum(h.calls), sum(h.failures), sum(h.input_tokens), sum(h.output_tokens), sum(h.total_tokens),
        sum(h.cache_read_tokens), sum(h.cache_write_tokens), sum(h.reasoning_tokens), sum(h.audio_input_tokens),
        sum(h.audio_output_tokens), sum(h.ignored), sum(h.cost), sum(h.duration_us), flowmaestro.usage_durations_sum(h.durations)
    FROM flowmaestro.token_usage_hourly AS h WHERE h.hour >= low AND h.hour < high
    GROUP BY 1, 2, 3, 4, 5, 6;
END
$$;
COMMENT ON FUNCTION @extschema@.rebuild_rollups IS
    'internal: make the sums of the days between two times again from span_usage; the caller has locked it';

CREATE FUNCTION @extschema@.recount_usage(during tstzrange)
RETURNS SETOF @extschema@.span_usage
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- what an index or a partition's bounds can be held against
    earliest CONSTANT timestamptz := coalesce(lower(during), '-infinity');
    latest CONSTANT timestamptz := coalesce(upper(during), 'infinity');
BEGIN
    RETURN QUERY
    WITH RECURSIVE calls AS MATERIALIZED (
        SELECT s.trace_id, s.span_id, s.parent_span_id, s.started_at, s.span_type, s.status, s.ended_at,
               coalesce(nullif(s.entity_id, ''), u.entity_id, '') AS entity_id, u.carries, u.user_id, u.session_id, u.workflow,
               u.provider, coalesce(u.response_model, u.request_model) AS model, u.request_model,
               u.input_tokens, u.output_tokens, u.total_tokens, u.cache_read_tokens, u.cache_write_tokens,
               u.reasoning_tokens, u.audio_input_tokens, u.audio_output_tokens, u.ignored, u.cost
        FROM flowmaestro.execution_spans AS s, flowmaestro.usage_of(s.attributes) AS u
        WHERE s.span_type IN ('model_generation', 'embedding_generation') AND s.name <> ''
          AND s.trace_id IN (
              SELECT c.trace_id FROM flowmaestro.execution_spans AS c
              WHERE c.span_type IN ('model_generation', 'embedding_generation') AND c.started_at BETWEEN earliest AND latest AND c.started_at <@ during
              UNION ALL SELECT l.trace_id FROM flowmaestro.span_usage AS l WHERE l.started_at BETWEEN earliest AND latest AND l.started_at <@ during)
    ),
    -- the spans above each call that carries usage
    above (trace_id, call_id, span_id) AS (
        SELECT c.trace_id, c.span_id, c.parent_span_id FROM calls AS c WHERE c.carries AND c.parent_span_id IS NOT NULL
        UNION
        SELECT a.trace_id, a.call_id, s.parent_span_id
        FROM above AS a JOIN flowmaestro.execution_spans AS s ON s.trace_id = a.trace_id AND s.span_id = a.span_id AND s.name <> ''
        WHERE s.parent_span_id IS NOT NULL
    ),
    covered AS MATERIALIZED (
        SELECT DISTINCT a.trace_id, a.span_id FROM above AS a WHERE a.call_id <> a.span_id
    ),
    missing AS MATERIALIZED (
        SELECT a.trace_id, a.call_id, min(a.span_id::text)::uuid AS span_id FROM above AS a
        WHERE NOT EXISTS (SELECT FROM flowmaestro.execution_spans AS s
                          WHERE s.trace_id = a.trace_id AND s.span_id = a.span_id AND s.name <> '')
        GROUP BY a.trace_id, a.call_id
    ),
    -- traces that lost spans with their partitions: what these covered stays covered
    torn AS MATERIALIZED (
        SELECT u.trace_id FROM flowmaestro.span_usage AS u
        WHERE u.trace_id IN (SELECT c.trace_id FROM calls AS c)
          AND NOT u.started_at <@ (SELECT flowmaestro.kept_spans())
        UNION
        SELECT m.trace_id FROM missing AS m JOIN flowmaestro.span_usage AS u ON u.trace_id = m.trace_id AND u.span_id = m.call_id
        WHERE u.carries AND u.waits_for IS DISTINCT FROM m.span_id
    )
    SELECT c.trace_id, c.span_id, c.parent_span_id, CASE WHEN t.trace_id IS NOT NULL THEN u.waits_for ELSE m.span_id END, c.started_at, c.span_type, c.entity_id,
           coalesce(c.user_id, ''), coalesce(c.session_id, ''), coalesce(c.workflow, ''), coalesce(c.provider, ''),
           coalesce(c.model, ''), coalesce(c.request_model, ''),
           CASE WHEN c.cost IS NOT NULL THEN 'USD' ELSE coalesce(p.currency, '') END,
           c.status <> 'started', c.status = 'failed', c.carries, v.covered,
           NOT v.covered AND (c.status <> 'started' OR c.carries),
           CASE WHEN c.status = 'started' THEN 0 ELSE greatest(0, (extract(epoch FROM c.ended_at - c.started_at) * 1000000)::int8) END,
           c.input_tokens, c.output_tokens, c.total_tokens, c.cache_read_tokens, c.cache_write_tokens,
           c.reasoning_tokens, c.audio_input_tokens, c.audio_output_tokens, c.ignored,
           coalesce(c.cost, p.cost), CASE WHEN c.cost IS NULL THEN p.price_id END
    FROM calls AS c
    LEFT JOIN covered AS x ON x.trace_id = c.trace_id AND x.span_id = c.span_id
    LEFT JOIN torn AS t ON t.trace_id = c.trace_id
    LEFT JOIN flowmaestro.span_usage AS u ON u.trace_id = t.trace_id AND u.span_id = c.span_id
    CROSS JOIN LATERAL (SELECT x.trace_id IS NOT NULL OR coalesce(u.covered, false) AS covered) AS v
    LEFT JOIN missing AS m ON m.trace_id = c.trace_id AND m.call_id = c.span_id
    LEFT JOIN LATERAL flowmaestro.span_cost(c.provider, c.model, c.request_model, c.started_at,
        ARRAY[c.input_tokens, c.output_tokens, c.total_tokens, c.cache_read_tokens, c.cache_write_tokens,
              c.reasoning_tokens, c.audio_input_tokens, c.audio_output_tokens]) AS p ON c.carries AND c.cost IS NULL
    WHERE c.status <> 'started' OR c.carries OR v.covered;
END
$$;
COMMENT ON FUNCTION @extschema@.recount_usage IS
    'what span_usage should have of the traces with calls in a range of time, counted anew from the spans and priced by today''s list';

CREATE FUNCTION @extschema@.kept_spans()
RETURNS tstzmultirange
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT range_agg(tstzrange(coalesce(m[1]::timestamptz, '-infinity'), coalesce(m[2]::timestamptz, 'infinity')))
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        LEFT JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), $r$FROM \((?:'([^']*)'|MINVALUE)\) TO \((?:'([^']*)'|MAXVALUE)\)$r$) AS m ON true
        -- what shares a partition with all that is older or later may be all that is left of its time
        WHERE i.inhparent = 'flowmaestro.execution_spans'::regclass AND c.relname !~ '^execution_spans_(older|later)'), '{}');
END
$$;
COMMENT ON FUNCTION @extschema@.kept_spans IS
    'internal: the times whose partitions are there; what span_usage knows of other times may have no spans any more';

CREATE FUNCTION @extschema@.rebuild_token_usage(during tstzrange DEFAULT '(,)')
RETURNS int8
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- what an index or a partition's bounds can be held against
    earliest CONSTANT timestamptz := coalesce(lower(during), '-infinity');
    latest CONSTANT timestamptz := coalesce(upper(during), 'infinity');
    kept tstzmultirange;
    prices jsonb;
    low timestamptz;
    high timestamptz;
    n int8;
BEGIN
    PERFORM flowmaestro.lock_token_usage();
    kept := flowmaestro.kept_spans();
    CREATE TEMPORARY TABLE recounted ON COMMIT DROP AS SELECT * FROM flowmaestro.recount_usage(during);
    -- the price that was used, or that there was none, stays until reprice()
    UPDATE pg_temp.recounted AS r SET cost = u.cost, currency = u.currency, price_id = u.price_id
    FROM flowmaestro.span_usage AS u
    WHERE u.trace_id = r.trace_id AND u.span_id = r.span_id AND u.carries AND r.carries
      AND (u.provider, u.model, u.request_model, u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens, u.reasoning_tokens, u.audio_input_tokens, u.audio_output_tokens)
        = (r.provider, r.model, r.request_model, r.input_tokens, r.output_tokens, r.cache_read_tokens, r.cache_write_tokens, r.reasoning_tokens, r.audio_input_tokens, r.audio_output_tokens)
      AND (u.price_id IS NOT NULL OR u.cost IS NULL) AND (r.price_id IS NOT NULL OR r.cost IS NULL);
    SELECT min(x.started_at), max(x.started_at) INTO low, high
    FROM (SELECT r.started_at FROM pg_temp.recounted AS r
          UNION ALL
          SELECT u.started_at FROM flowmaestro.span_usage AS u
          WHERE (u.started_at BETWEEN earliest AND latest AND u.started_at <@ during) OR u.trace_id IN (SELECT r.trace_id FROM pg_temp.recounted AS r)) AS x;
    DELETE FROM flowmaestro.span_usage AS u
    WHERE ((u.started_at BETWEEN earliest AND latest AND u.started_at <@ during) OR u.trace_id IN (SELECT r.trace_id FROM pg_temp.recounted AS r))
      AND (u.started_at <@ kept OR EXISTS (SELECT FROM pg_temp.recounted AS r WHERE r.trace_id = u.trace_id AND r.span_id = u.span_id));
    INSERT INTO flowmaestro.span_usage SELECT r.* FROM pg_temp.recounted AS r;
    GET DIAGNOSTICS n = ROW_COUNT;
    DROP TABLE pg_temp.recounted;
    -- sums of calls that are gone from the ledger
    SELECT least(low, min(h.hour)), greatest(high, max(h.hour)) INTO low, high
    FROM flowmaestro.token_usage_hourly AS h WHERE h.hour BETWEEN earliest AND latest AND h.hour <@ during;
    IF low IS NOT NULL THEN
        PERFORM flowmaestro.rebuild_rollups(low, high);
    END IF;
    RETURN n;
END
$$;
COMMENT ON FUNCTION @extschema@.rebuild_token_usage IS
    'make ledger and sums of a range of time again from the spans, after rows were changed by hand; returns how many calls were counted anew';

CREATE FUNCTION @extschema@.check_token_usage(
    during tstzrange DEFAULT '(,)',
    OUT relation text,
    OUT expected jsonb,
    OUT found jsonb
) RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- the ledger against the spans; the price that was used is not in question
    RETURN QUERY
    WITH kept AS (SELECT flowmaestro.kept_spans() AS times),
    e AS (SELECT r.trace_id, r.span_id, to_jsonb(r) - '{waits_for,cost,price_id,currency}'::text[] AS row
          FROM flowmaestro.recount_usage(during) AS r WHERE (r.counted OR r.carries) AND r.started_at <@ during),
    f AS (SELECT u.trace_id, u.span_id, to_jsonb(u) - '{waits_for,cost,price_id,currency}'::text[] AS row
          FROM flowmaestro.span_usage AS u, kept AS k
          WHERE (u.counted OR u.carries) AND u.started_at <@ during
            AND (u.started_at <@ k.times OR EXISTS (SELECT FROM e WHERE e.trace_id = u.trace_id AND e.span_id = u.span_id)))
    SELECT 'span_usage', e.row, f.row FROM e FULL JOIN f USING (trace_id, span_id) WHERE e.row IS DISTINCT FROM f.row;
    -- the sums against the ledger
    RETURN QUERY
    WITH e AS (
        SELECT u.entity_id, date_trunc('hour', u.started_at, 'UTC') AS hour, u.user_id, u.provider, u.model, u.span_type, u.currency,
            to_jsonb(ARRAY[count(*), count(*) FILTER (WHERE u.failed), sum(u.input_tokens), sum(u.output_tokens), sum(u.total_tokens),
            sum(u.cache_read_tokens), sum(u.cache_write_tokens), sum(u.reasoning_tokens), sum(u.audio_input_tokens),
            sum(u.audio_output_tokens), sum(u.ignored), coalesce(sum(u.cost), 0), sum(u.duration_us)])
            || to_jsonb(flowmaestro.usage_durations_sum(CASE WHEN u.ended THEN flowmaestro.usage_durations_of(u.duration_us) ELSE '{}' END)) AS sums
        FROM flowmaestro.span_usage AS u WHERE u.counted AND date_trunc('hour', u.started_at, 'UTC') <@ during
        GROUP BY 1, 2, 3, 4, 5, 6, 7),
    f AS (
        SELECT h.entity_id, h.hour, h.user_id, h.provider, h.model, h.span_type, h.currency,
            to_jsonb(ARRAY[h.calls, h.failures, h.input_tokens, h.output_tokens, h.total_tokens, h.cache_read_tokens,
            h.cache_write_tokens, h.reasoning_tokens, h.audio_input_tokens, h.audio_output_tokens, h.ignored, h.cost, h.duration_us])
            || to_jsonb(h.durations) AS sums
        FROM flowmaestro.token_usage_hourly AS h WHERE h.hour <@ during)
    SELECT 'token_usage_hourly', to_jsonb(e), to_jsonb(f) FROM e FULL JOIN f USING (entity_id, hour, user_id, provider, model, span_type, currency)
    WHERE e.sums IS DISTINCT FROM f.sums;
    RETURN QUERY
    WITH e AS (
        SELECT h.entity_id, date_trunc('day', h.hour, 'UTC') AS day, h.provider, h.model, h.span_type, h.currency,
            to_jsonb(ARRAY[sum(h.calls), sum(h.failures), sum(h.input_tokens), sum(h.output_tokens), sum(h.total_tokens),
            sum(h.cache_read_tokens), sum(h.cache_write_tokens), sum(h.reasoning_tokens), sum(h.audio_input_tokens),
            sum(h.audio_output_tokens), sum(h.ignored), sum(h.cost), sum(h.duration_us)])
            || to_jsonb(flowmaestro.usage_durations_sum(h.durations)) AS sums
        FROM flowmaestro.token_usage_hourly AS h WHERE date_trunc('day', h.hour, 'UTC') <@ during
        GROUP BY 1, 2, 3, 4, 5, 6),
    f AS (
        SELECT d.entity_id, d.day, d.provider, d.model, d.span_type, d.currency,
            to_jsonb(ARRAY[d.calls, d.failures, d.input_tokens, d.output_tokens, d.total_tokens, d.cache_read_tokens,
            d.cache_write_tokens, d.reasoning_tokens, d.audio_input_tokens, d.audio_output_tokens, d.ignored, d.cost, d.duration_us])
            || to_jsonb(d.durations) AS sums
        FROM flowmaestro.token_usage_daily AS d WHERE d.day <@ during)
    SELECT 'token_usage_daily', to_jsonb(e), to_jsonb(f) FROM e FULL JOIN f USING (entity_id, day, provider, model, span_type, currency)
    WHERE e.sums IS DISTINCT FROM f.sums;
END
$$;
COMMENT ON FUNCTION @extschema@.check_token_usage IS
    'compare ledger and sums of a range of time with a recount; returns what differs: nothing, unless rows were changed by hand';

CREATE FUNCTION @extschema@.reprice(during tstzrange DEFAULT '(,)')
RETURNS @extschema@.repricings
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- what an index or a partition's bounds can be held against
    earliest CONSTANT timestamptz := coalesce(lower(during), '-infinity');
    latest CONSTANT timestamptz := coalesce(upper(during), 'infinity');
    costs CONSTANT text := 'SELECT coalesce(jsonb_object_agg(c.currency, trim_scale(c.cost)), ''{}'') FROM (
        SELECT u.currency, sum(u.cost) AS cost FROM flowmaestro.span_usage AS u
        WHERE u.counted AND u.cost IS NOT NULL AND u.started_at <@ $1 GROUP BY u.currency) AS c';
    audit flowmaestro.repricings;
    low timestamptz;
    high timestamptz;
BEGIN
    PERFORM flowmaestro.lock_token_usage();
    audit.repriced_at := now();
    audit.repriced_by := session_user;
    audit.during := during;
    EXECUTE costs INTO audit.old_cost USING during;
    WITH priced AS (
        SELECT u.trace_id, u.span_id, p.cost, coalesce(p.currency, '') AS currency, p.price_id
        FROM flowmaestro.span_usage AS u
        LEFT JOIN LATERAL flowmaestro.span_cost(u.provider, u.model, u.request_model, u.started_at,
            ARRAY[u.input_tokens, u.output_tokens, u.total_tokens, u.cache_read_tokens, u.cache_write_tokens,
                  u.reasoning_tokens, u.audio_input_tokens, u.audio_output_tokens]) AS p ON true
        -- a cost that was given is not ours to change
        WHERE u.started_at BETWEEN earliest AND latest AND u.started_at <@ during AND u.carries AND (u.price_id IS NOT NULL OR u.cost IS NULL)
    ), changed AS (
        UPDATE flowmaestro.span_usage AS u SET cost = p.cost, currency = p.currency, price_id = p.price_id
        FROM priced AS p
        WHERE u.trace_id = p.trace_id AND u.span_id = p.span_id
          AND (u.cost, u.currency, u.price_id) IS DISTINCT FROM (p.cost, p.currency, p.price_id)
        RETURNING u.started_at
    )
    SELECT count(*), min(c.started_at), max(c.started_at) INTO audit.calls, low, high FROM changed AS c;
    IF low IS NOT NULL THEN
        PERFORM flowmaestro.rebuild_rollups(low, high);
    END IF;
    EXECUTE costs INTO audit.new_cost USING during;
    INSERT INTO flowmaestro.repricings SELECT audit.*;
    RETURN audit;
END
$$;
COMMENT ON FUNCTION @extschema@.reprice IS
    'price the calls of a range of time by today''s list, as of their start; returns, and keeps in repricings, the sums before and after';
