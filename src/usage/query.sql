-- Room usage: questions about tokens and cost, and budgets.

CREATE FUNCTION @extschema@.token_usage_filter(filters jsonb)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    columns CONSTANT jsonb := '{"entity": "entity_id", "agent": "entity_id", "user": "user_id", "session": "session_id",
        "workflow": "workflow", "provider": "provider", "model": "model", "span_type": "span_type"}';
    condition text := '';
    field text;
    value jsonb;
BEGIN
    IF filters IS NULL THEN
        RETURN '';
    END IF;
    IF jsonb_typeof(filters) <> 'object' THEN
        RAISE EXCEPTION 'filters must be an object' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR field, value IN SELECT * FROM jsonb_each(filters) LOOP
        IF columns -> field IS NULL THEN
            RAISE EXCEPTION 'cannot filter token usage by "%"', field
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Filters are entity, agent, user, session, workflow, provider, model and span_type.';
        END IF;
        IF jsonb_typeof(value) <> 'array' THEN
            value := jsonb_build_array(value);
        END IF;
        condition := condition || format(' AND %I = ANY (%L::text[])', columns ->> field,
            ARRAY(SELECT v FROM jsonb_array_elements_text(value) AS v WHERE v IS NOT NULL));
    END LOOP;
    RETURN condition;
END
$$;
COMMENT ON FUNCTION @extschema@.token_usage_filter IS 'internal: the condition that filters of token_usage() make';

CREATE FUNCTION @extschema@.token_usage_sources(
    by_user bool,
    by_span bool,
    by_time bool,
    "start" timestamptz,
    "end" timestamptz,
    condition text
) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- the largest whole hours and days in the range
    h0 timestamptz := date_trunc('hour', "start" + interval '3599.999999 seconds', 'UTC');
    h1 timestamptz := date_trunc('hour', "end", 'UTC');
    d0 timestamptz := date_trunc('day', h0 + interval '86399.999999 seconds', 'UTC');
    d1 timestamptz := date_trunc('day', h1, 'UTC');
    sums CONSTANT text := 'calls, failures, input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens,
        reasoning_tokens, audio_input_tokens, audio_output_tokens, cost, duration_us, durations';
    spans CONSTANT text := 'SELECT started_at AS at, entity_id, user_id, session_id, workflow, provider, model, currency,
        1::int8 AS calls, failed::int4::int8 AS failures, input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens,
        reasoning_tokens, audio_input_tokens, audio_output_tokens, coalesce(cost, 0) AS cost, duration_us,
        CASE WHEN ended THEN flowmaestro.usage_durations_of(duration_us) ELSE ''{}'' END AS durations
        FROM flowmaestro.span_usage WHERE counted AND started_at >= %L AND started_at < %L' || replace(condition, '%', '%%');
    hours CONSTANT text := 'SELECT hour AS at, entity_id, user_id, NULL::text AS session_id, NULL::text AS workflow, provider, model, currency, ' || sums ||
        ' FROM flowmaestro.token_usage_hourly WHERE hour >= %L AND hour < %L' || replace(condition, '%', '%%');
    days CONSTANT text := 'SELECT day AS at, entity_id, NULL::text AS user_id, NULL::text AS session_id, NULL::text AS workflow, provider, model, currency, ' || sums ||
        ' FROM flowmaestro.token_usage_daily WHERE day >= %L AND day < %L' || replace(condition, '%', '%%');
BEGIN
    -- a day or hour of the caller's can begin within an hour of UTC
    IF by_time AND EXISTS (SELECT FROM generate_series(date_trunc('day', greatest("start", '2000-01-01 UTC'), 'UTC'),
                                                       least("end", '2040-01-01 UTC'), interval '7 days') AS t
                           WHERE extract(minute FROM t) <> 0) THEN
        by_span := true;
    END IF;
    IF by_span OR h0 >= h1 THEN
        RETURN format(spans, "start", "end");
    END IF;
    IF by_user OR by_time OR d0 >= d1 THEN
        d0 := h1;
        d1 := h1;
    END IF;
    -- an empty part still costs its planning
    RETURN concat_ws(' UNION ALL ',
        CASE WHEN "start" < h0 THEN format(spans, "start", h0) END, CASE WHEN h1 < "end" THEN format(spans, h1, "end") END,
        CASE WHEN h0 < d0 THEN format(hours, h0, d0) END, CASE WHEN d1 < h1 THEN format(hours, d1, h1) END,
        CASE WHEN d0 < d1 THEN format(days, d0, d1) END);
END
$$;
COMMENT ON FUNCTION @extschema@.token_usage_sources IS
    'internal: the query that has the usage of a range: days and hours from the rollups, what is left from the ledger';

CREATE FUNCTION @extschema@.token_usage(
    group_by text[],
    "start" timestamptz DEFAULT '-infinity',
    "end" timestamptz DEFAULT 'infinity',
    filters jsonb DEFAULT NULL,
    OUT entity_id text,
    OUT workflow text,
    OUT model text,
    OUT provider text,
    OUT user_id text,
    OUT session_id text,
    OUT "day" date,
    OUT "hour" timestamptz,
    OUT calls numeric,
    OUT failures numeric,
    OUT prompt_tokens numeric,
    OUT completion_tokens numeric,
    OUT total_tokens numeric,
    OUT cache_read_tokens numeric,
    OUT cache_write_tokens numeric,
    OUT reasoning_tokens numeric,
    OUT audio_input_tokens numeric,
    OUT audio_output_tokens numeric,
    OUT cost jsonb,
    OUT avg_ms float8,
    OUT p50_ms float8,
    OUT p95_ms float8,
    OUT p99_ms float8
) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    odd text;
    fields CONSTANT text[] := '{entity,workflow,model,provider,user,session,day,hour}';
    columns CONSTANT text[] := '{entity_id,workflow,model,provider,user_id,session_id,"(at AT TIME ZONE current_setting(''TimeZone''))::date","date_trunc(''hour'', at, current_setting(''TimeZone''))"}';
    types CONSTANT text[] := '{text,text,text,text,text,text,date,timestamptz}';
    wanted text[] := coalesce(array_replace(group_by, 'agent', 'entity'), '{}');
    filter text := flowmaestro.token_usage_filter(filters);
    named text[] := ARRAY(SELECT f FROM jsonb_object_keys(coalesce(filters, '{}')) AS f);
    by_time bool;
    source text;
    keys text;
BEGIN
    SELECT g INTO odd FROM unnest(wanted) AS g WHERE g <> ALL (fields) OR g IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'cannot group token usage by "%"', odd
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Groups are entity, agent, workflow, model, provider, user, session, day and hour.';
    END IF;
    IF "start" IS NULL OR "end" IS NULL THEN
        RAISE EXCEPTION 'a range of time must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    by_time := wanted && '{day,hour}';
    source := flowmaestro.token_usage_sources(wanted || named && '{user}', wanted || named && '{session,workflow}',
        by_time, "start", "end", filter);
    SELECT string_agg(format('%s AS k%s', CASE WHEN f = ANY (wanted) THEN columns[n] ELSE 'NULL::' || types[n] END, n), ', ' ORDER BY n)
    INTO keys FROM unnest(fields) WITH ORDINALITY AS u (f, n);
    RETURN QUERY EXECUTE format($q$
        WITH by_currency AS (
            SELECT %s, currency, sum(calls) AS calls, sum(failures) AS failures, sum(input_tokens) AS input_tokens,
                sum(output_tokens) AS output_tokens, sum(total_tokens) AS total_tokens, sum(cache_read_tokens) AS cache_read_tokens,
                sum(cache_write_tokens) AS cache_write_tokens, sum(reasoning_tokens) AS reasoning_tokens,
                sum(audio_input_tokens) AS audio_input_tokens, sum(audio_output_tokens) AS audio_output_tokens,
                sum(cost) AS cost, sum(duration_us) AS duration_us, flowmaestro.usage_durations_sum(durations) AS durations
            FROM (%s) AS usage GROUP BY k1, k2, k3, k4, k5, k6, k7, k8, currency
        ), grouped AS (
            SELECT k1, k2, k3, k4, k5, k6, k7, k8, sum(calls) AS calls, sum(failures) AS failures, sum(input_tokens) AS input,
                sum(output_tokens) AS output, sum(total_tokens) AS total, sum(cache_read_tokens) AS cache_read,
                sum(cache_write_tokens) AS cache_write, sum(reasoning_tokens) AS reasoning, sum(audio_input_tokens) AS audio_input,
                sum(audio_output_tokens) AS audio_output,
                coalesce(jsonb_object_agg(currency, trim_scale(cost)) FILTER (WHERE currency <> ''), '{}') AS cost,
                sum(duration_us) AS duration_us, flowmaestro.usage_durations_sum(durations) AS durations
            FROM by_currency GROUP BY k1, k2, k3, k4, k5, k6, k7, k8
        )
        SELECT k1, k2, k3, k4, k5, k6, k7, k8, calls, failures, input, output, total, cache_read, cache_write, reasoning,
            audio_input, audio_output, cost,
            (duration_us / nullif((SELECT sum(d) FROM unnest(durations) AS d), 0) / 1000)::float8,
            flowmaestro.usage_percentile(durations, 0.5), flowmaestro.usage_percentile(durations, 0.95),
            flowmaestro.usage_percentile(durations, 0.99)
        FROM grouped WHERE calls <> 0 ORDER BY k7, k8, k1, k2, k3, k4, k5, k6
    $q$, keys, source);
END
$$;
COMMENT ON FUNCTION @extschema@.token_usage IS
    'calls, tokens, cost and durations of the model calls that started in a range, its end not included, by any of entity (or agent), workflow, model, provider, user, session, day and hour in the session''s time zone';

CREATE FUNCTION @extschema@.get_token_usage(
    entity_id text,
    "start" timestamptz DEFAULT '-infinity',
    "end" timestamptz DEFAULT 'infinity',
    OUT prompt_tokens numeric,
    OUT completion_tokens numeric,
    OUT total_tokens numeric,
    OUT cost jsonb
) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT coalesce(sum(u.prompt_tokens), 0), coalesce(sum(u.completion_tokens), 0), coalesce(sum(u.total_tokens), 0),
        coalesce((array_agg(u.cost))[1], '{}')
    INTO prompt_tokens, completion_tokens, total_tokens, cost
    FROM flowmaestro.token_usage('{}', "start", "end", jsonb_build_object('entity', entity_id)) AS u;
END
$$;
COMMENT ON FUNCTION @extschema@.get_token_usage IS
    'tokens and cost by currency of an entity''s model calls that started in a range, its end not included';

CREATE FUNCTION @extschema@.trace_token_usage(
    trace_id uuid,
    OUT calls int8,
    OUT failures int8,
    OUT prompt_tokens numeric,
    OUT completion_tokens numeric,
    OUT total_tokens numeric,
    OUT cache_read_tokens numeric,
    OUT cache_write_tokens numeric,
    OUT reasoning_tokens numeric,
    OUT cost jsonb
) RETURNS record
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    SELECT coalesce(sum(c.calls), 0), coalesce(sum(c.failures), 0), coalesce(sum(c.input), 0), coalesce(sum(c.output), 0),
        coalesce(sum(c.total), 0), coalesce(sum(c.cache_read), 0), coalesce(sum(c.cache_write), 0), coalesce(sum(c.reasoning), 0),
        coalesce(jsonb_object_agg(c.currency, trim_scale(c.cost)) FILTER (WHERE c.currency <> ''), '{}')
    INTO calls, failures, prompt_tokens, completion_tokens, total_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost
    FROM (SELECT u.currency, count(*) AS calls, count(*) FILTER (WHERE u.failed) AS failures, sum(u.input_tokens) AS input,
              sum(u.output_tokens) AS output, sum(u.total_tokens) AS total, sum(u.cache_read_tokens) AS cache_read,
              sum(u.cache_write_tokens) AS cache_write, sum(u.reasoning_tokens) AS reasoning, sum(u.cost) AS cost
          FROM flowmaestro.span_usage AS u
          WHERE u.trace_id = trace_token_usage.trace_id AND u.counted GROUP BY u.currency) AS c;
END
$$;
COMMENT ON FUNCTION @extschema@.trace_token_usage IS
    'tokens and cost by currency of the model calls of a trace, each counted once';

CREATE FUNCTION @extschema@.budget_condition(scope text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    field text := split_part(scope, ':', 1);
BEGIN
    IF scope = 'all' THEN
        RETURN '';
    END IF;
    IF field <> ALL ('{entity,user,provider,model}') OR position(':' IN scope) = 0 THEN
        RAISE EXCEPTION 'invalid scope of a budget: "%"', scope
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'A scope is all, or entity:, user:, provider: or model: and a name.';
    END IF;
    RETURN flowmaestro.token_usage_filter(jsonb_build_object(field, substr(scope, length(field) + 2)));
END
$$;
COMMENT ON FUNCTION @extschema@.budget_condition IS 'internal: the condition that the scope of a budget makes';

CREATE FUNCTION @extschema@.set_budget(
    scope text,
    amount numeric,
    period text DEFAULT 'month',
    currency text DEFAULT 'USD'
) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF set_budget.scope IS NULL OR set_budget.period IS NULL OR set_budget.currency IS NULL THEN
        RAISE EXCEPTION 'scope, period and currency of a budget must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM flowmaestro.budget_condition(set_budget.scope);
    IF set_budget.period <> ALL ('{hour,day,week,month,year,total}') THEN
        RAISE EXCEPTION 'invalid period of a budget: "%"', set_budget.period
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Periods are hour, day, week, month, year and total.';
    END IF;
    IF set_budget.amount IS NULL THEN
        DELETE FROM flowmaestro.budgets AS b WHERE b.scope = set_budget.scope;
    ELSE
        INSERT INTO flowmaestro.budgets AS b (scope, amount, currency, period)
        VALUES (set_budget.scope, set_budget.amount, set_budget.currency, set_budget.period)
        ON CONFLICT (scope) DO UPDATE SET amount = excluded.amount, currency = excluded.currency, period = excluded.period;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.set_budget IS 'let a scope spend an amount in each period; NULL takes the budget away';

CREATE FUNCTION @extschema@.check_budget(
    scope text,
    reserve numeric DEFAULT 0,
    hold interval DEFAULT '15 minutes',
    OUT allowed bool,
    OUT amount numeric,
    OUT spent numeric,
    OUT reserved numeric,
    OUT remaining numeric,
    OUT reservation text
) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    b flowmaestro.budgets;
    since timestamptz;
    patience text := current_setting('lock_timeout');
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'a budget can only be checked in a read committed transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF check_budget.reserve IS NULL OR check_budget.reserve < 0 OR check_budget.reserve = 'NaN' OR check_budget.hold IS NULL THEN
        RAISE EXCEPTION 'invalid amount or time to reserve' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- what was recorded before now is in the ledger after this
    PERFORM flowmaestro.flush();
    -- one check of a budget at a time, until the end of the transaction
    IF patience = '0' OR patience::interval > '5 seconds' THEN
        PERFORM set_config('lock_timeout', '5s', true);
    END IF;
    BEGIN
        SELECT * INTO b FROM flowmaestro.budgets AS t WHERE t.scope = check_budget.scope FOR UPDATE;
    EXCEPTION WHEN lock_not_available THEN
        RAISE EXCEPTION 'budget for "%" is in use by another transaction', check_budget.scope
            USING ERRCODE = 'lock_not_available', HINT = 'Check a budget in a short transaction of its own.';
    END;
    PERFORM set_config('lock_timeout', patience, true);
    IF b.scope IS NULL THEN
        RAISE EXCEPTION 'there is no budget for "%"', check_budget.scope
            USING ERRCODE = 'undefined_object', HINT = 'Make one with flowmaestro.set_budget().';
    END IF;
    -- not those that have just lapsed: the writer would wait for this transaction to settle one
    DELETE FROM flowmaestro.budget_reservations AS r
    WHERE r.scope = b.scope AND r.expires_at < clock_timestamp() - interval '1 hour';
    since := CASE WHEN b.period = 'total' THEN '-infinity' ELSE date_trunc(b.period, clock_timestamp(), 'UTC') END;
    -- both in one statement: its snapshot has a reservation or its spending, never both or none
    EXECUTE format('SELECT coalesce((SELECT sum(h.cost) FROM flowmaestro.token_usage_hourly AS h
            WHERE h.hour >= $1 AND h.currency = $2 %s), 0),
        coalesce((SELECT sum(r.amount) FROM flowmaestro.budget_reservations AS r
            WHERE r.scope = $3 AND r.expires_at >= clock_timestamp()), 0)',
        flowmaestro.budget_condition(b.scope))
    INTO spent, reserved USING since, b.currency, b.scope;
    amount := b.amount;
    remaining := amount - spent - reserved;
    allowed := remaining > 0 AND check_budget.reserve <= remaining;
    IF allowed AND check_budget.reserve > 0 THEN
        reservation := gen_random_uuid()::text;
        INSERT INTO flowmaestro.budget_reservations (reservation_id, scope, amount, expires_at)
        VALUES (reservation, b.scope, check_budget.reserve, clock_timestamp() + check_budget.hold);
        reserved := reserved + check_budget.reserve;
        remaining := remaining - check_budget.reserve;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.check_budget IS
    'what is left of a budget, with all that was recorded before now; if there is enough, reserve an amount for a call whose span carries the reservation as flowmaestro.reservation';

CREATE FUNCTION @extschema@.release_budget(reservation text)
RETURNS bool
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM flowmaestro.budget_reservations AS r WHERE r.reservation_id = reservation;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.release_budget IS
    'give up what check_budget() reserved, for a call that was not made; false if there is no such reservation';
