-- Room usage: tokens and cost of model calls, as a ledger.

CREATE TABLE @extschema@.model_prices (
    price_id int8 GENERATED ALWAYS AS IDENTITY UNIQUE,
    provider text NOT NULL,
    model text NOT NULL CHECK (length(model) > 0),
    valid_from timestamptz NOT NULL,
    currency text NOT NULL DEFAULT 'USD' CHECK (length(currency) > 0),
    input_price numeric NOT NULL DEFAULT 0 CHECK (input_price >= 0 AND input_price <= 1e9),
    output_price numeric NOT NULL DEFAULT 0 CHECK (output_price >= 0 AND output_price <= 1e9),
    cache_read_price numeric CHECK (cache_read_price >= 0 AND cache_read_price <= 1e9),
    cache_write_price numeric CHECK (cache_write_price >= 0 AND cache_write_price <= 1e9),
    reasoning_price numeric CHECK (reasoning_price >= 0 AND reasoning_price <= 1e9),
    audio_input_price numeric CHECK (audio_input_price >= 0 AND audio_input_price <= 1e9),
    audio_output_price numeric CHECK (audio_output_price >= 0 AND audio_output_price <= 1e9),
    PRIMARY KEY (provider, model, valid_from)
);
COMMENT ON TABLE @extschema@.model_prices IS
    'prices of models per million tokens, each from a time on until the next one; yours to fill and change';
COMMENT ON COLUMN @extschema@.model_prices.price_id IS 'names the price in span_usage';
COMMENT ON COLUMN @extschema@.model_prices.provider IS 'who sells the model; matches a word of a span''s provider, empty matches any';
COMMENT ON COLUMN @extschema@.model_prices.model IS 'name of the model, or the beginning of names, up to one of - . : @ /';
COMMENT ON COLUMN @extschema@.model_prices.valid_from IS 'start of spans from which on the price holds';
COMMENT ON COLUMN @extschema@.model_prices.currency IS 'currency of the prices';
COMMENT ON COLUMN @extschema@.model_prices.input_price IS 'of input tokens that have no price of their own';
COMMENT ON COLUMN @extschema@.model_prices.output_price IS 'of output tokens that have no price of their own';
COMMENT ON COLUMN @extschema@.model_prices.cache_read_price IS 'of input tokens read from a cache; NULL: as input';
COMMENT ON COLUMN @extschema@.model_prices.cache_write_price IS 'of input tokens written to a cache; NULL: as input';
COMMENT ON COLUMN @extschema@.model_prices.reasoning_price IS 'of reasoning tokens; NULL: as output';
COMMENT ON COLUMN @extschema@.model_prices.audio_input_price IS 'of audio input tokens; NULL: as input';
COMMENT ON COLUMN @extschema@.model_prices.audio_output_price IS 'of audio output tokens; NULL: as output';
SELECT pg_extension_config_dump('@extschema@.model_prices', '');
SELECT pg_extension_config_dump('@extschema@.model_prices_price_id_seq', '');

CREATE FUNCTION @extschema@.prices_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'fms_prices_changed'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.prices_changed IS 'internal: tell every session that prices have changed';
CREATE TRIGGER prices_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.model_prices
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.prices_changed();
ALTER TABLE @extschema@.model_prices ENABLE ALWAYS TRIGGER prices_changed;
COMMENT ON TRIGGER prices_changed ON @extschema@.model_prices IS 'has every session read the prices again';

CREATE TABLE @extschema@.span_usage (
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    parent_span_id uuid,
    waits_for uuid,
    started_at timestamptz NOT NULL,
    span_type text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    workflow text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    request_model text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    ended bool NOT NULL,
    failed bool NOT NULL,
    carries bool NOT NULL,
    covered bool NOT NULL,
    counted bool NOT NULL,
    duration_us int8 NOT NULL,
    input_tokens int8 NOT NULL,
    output_tokens int8 NOT NULL,
    total_tokens int8 NOT NULL,
    cache_read_tokens int8 NOT NULL,
    cache_write_tokens int8 NOT NULL,
    reasoning_tokens int8 NOT NULL,
    audio_input_tokens int8 NOT NULL,
    audio_output_tokens int8 NOT NULL,
    ignored int4 NOT NULL,
    cost numeric,
    price_id int8,
    PRIMARY KEY (trace_id, span_id)
);
COMMENT ON TABLE @extschema@.span_usage IS
    'ledger: one row for each model call; it outlives the spans';
COMMENT ON COLUMN @extschema@.span_usage.trace_id IS 'trace of the call';
COMMENT ON COLUMN @extschema@.span_usage.span_id IS 'span of the call';
COMMENT ON COLUMN @extschema@.span_usage.parent_span_id IS 'span that the call is part of';
COMMENT ON COLUMN @extschema@.span_usage.waits_for IS 'span above the call that is not in the table yet; NULL if none is missing';
COMMENT ON COLUMN @extschema@.span_usage.started_at IS 'start of the call';
COMMENT ON COLUMN @extschema@.span_usage.span_type IS 'model_generation or embedding_generation; empty for a call that has told nothing yet';
COMMENT ON COLUMN @extschema@.span_usage.entity_id IS 'agent, workflow or other thing that made the call; empty if not told';
COMMENT ON COLUMN @extschema@.span_usage.user_id IS 'user that the call was made for; empty if not told';
COMMENT ON COLUMN @extschema@.span_usage.session_id IS 'conversation or session; empty if not told';
COMMENT ON COLUMN @extschema@.span_usage.workflow IS 'workflow; empty if not told';
COMMENT ON COLUMN @extschema@.span_usage.provider IS 'provider of the model; empty if not told';
COMMENT ON COLUMN @extschema@.span_usage.model IS 'model that answered, else the one asked for; empty if not told';
COMMENT ON COLUMN @extschema@.span_usage.request_model IS 'model asked for; empty if not told';
COMMENT ON COLUMN @extschema@.span_usage.currency IS 'currency of the cost; empty if there is none';
COMMENT ON COLUMN @extschema@.span_usage.ended IS 'the call has ended';
COMMENT ON COLUMN @extschema@.span_usage.failed IS 'it ended with an error';
COMMENT ON COLUMN @extschema@.span_usage.carries IS 'the span tells tokens or a cost';
COMMENT ON COLUMN @extschema@.span_usage.covered IS 'a model call below it tells tokens or a cost: this one does not count';
COMMENT ON COLUMN @extschema@.span_usage.counted IS 'the call counts in the rollups';
COMMENT ON COLUMN @extschema@.span_usage.duration_us IS 'how long it took, in microseconds; 0 while it runs';
COMMENT ON COLUMN @extschema@.span_usage.input_tokens IS 'tokens given to models, cached and audio ones included';
COMMENT ON COLUMN @extschema@.span_usage.output_tokens IS 'tokens made by models, reasoning and audio ones included';
COMMENT ON COLUMN @extschema@.span_usage.total_tokens IS 'all tokens';
COMMENT ON COLUMN @extschema@.span_usage.cache_read_tokens IS 'input tokens read from a cache';
COMMENT ON COLUMN @extschema@.span_usage.cache_write_tokens IS 'input tokens written to a cache';
COMMENT ON COLUMN @extschema@.span_usage.reasoning_tokens IS 'output tokens spent on reasoning';
COMMENT ON COLUMN @extschema@.span_usage.audio_input_tokens IS 'input tokens of audio';
COMMENT ON COLUMN @extschema@.span_usage.audio_output_tokens IS 'output tokens of audio';
COMMENT ON COLUMN @extschema@.span_usage.ignored IS 'values under known names that are no count';
COMMENT ON COLUMN @extschema@.span_usage.cost IS 'cost of the call: given, or by a price; NULL if neither';
COMMENT ON COLUMN @extschema@.span_usage.price_id IS 'price in model_prices that the cost was made with; NULL if the cost was given';
CREATE INDEX span_usage_waits_for_idx ON @extschema@.span_usage (waits_for) WHERE waits_for IS NOT NULL;
COMMENT ON INDEX @extschema@.span_usage_waits_for_idx IS 'finds the calls that wait for a span that arrives';
CREATE INDEX span_usage_started_at_idx ON @extschema@.span_usage USING brin (started_at) WITH (pages_per_range = 16, autosummarize = on);
COMMENT ON INDEX @extschema@.span_usage_started_at_idx IS 'serves ranges of time';
SELECT pg_extension_config_dump('@extschema@.span_usage', '');

CREATE TABLE @extschema@.uncounted_spans (
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    started_at timestamptz NOT NULL
);
COMMENT ON TABLE @extschema@.uncounted_spans IS
    'spans whose usage the writer counts when their transaction has committed: of prepared transactions, and of those that could not count them';
COMMENT ON COLUMN @extschema@.uncounted_spans.trace_id IS 'trace of the span';
COMMENT ON COLUMN @extschema@.uncounted_spans.span_id IS 'the span';
COMMENT ON COLUMN @extschema@.uncounted_spans.started_at IS 'start of the span';
SELECT pg_extension_config_dump('@extschema@.uncounted_spans', '');

CREATE TABLE @extschema@.token_usage_hourly (
    entity_id text COLLATE "C" NOT NULL,
    hour timestamptz NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    span_type text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    calls int8 NOT NULL,
    failures int8 NOT NULL,
    input_tokens int8 NOT NULL,
    output_tokens int8 NOT NULL,
    total_tokens int8 NOT NULL,
    cache_read_tokens int8 NOT NULL,
    cache_write_tokens int8 NOT NULL,
    reasoning_tokens int8 NOT NULL,
    audio_input_tokens int8 NOT NULL,
    audio_output_tokens int8 NOT NULL,
    ignored int8 NOT NULL,
    cost numeric NOT NULL,
    duration_us int8 NOT NULL,
    durations int4[] NOT NULL,
    PRIMARY KEY (entity_id, hour, user_id, provider, model, span_type, currency)
) WITH (fillfactor = 70);
COMMENT ON TABLE @extschema@.token_usage_hourly IS
    'sums of the calls of span_usage that count, by hour; kept in the transactions that write the spans';
COMMENT ON COLUMN @extschema@.token_usage_hourly.entity_id IS 'agent, workflow or other thing that made the calls';
COMMENT ON COLUMN @extschema@.token_usage_hourly.hour IS 'beginning of the hour, in UTC, that the calls started in';
COMMENT ON COLUMN @extschema@.token_usage_hourly.user_id IS 'user';
COMMENT ON COLUMN @extschema@.token_usage_hourly.provider IS 'provider of the model';
COMMENT ON COLUMN @extschema@.token_usage_hourly.model IS 'model that answered';
COMMENT ON COLUMN @extschema@.token_usage_hourly.span_type IS 'model_generation or embedding_generation';
COMMENT ON COLUMN @extschema@.token_usage_hourly.currency IS 'currency of the cost; empty if there is none';
COMMENT ON COLUMN @extschema@.token_usage_hourly.calls IS 'model calls';
COMMENT ON COLUMN @extschema@.token_usage_hourly.failures IS 'calls that ended with an error';
COMMENT ON COLUMN @extschema@.token_usage_hourly.input_tokens IS 'tokens given to models, cached and audio ones included';
COMMENT ON COLUMN @extschema@.token_usage_hourly.output_tokens IS 'tokens made by models, reasoning and audio ones included';
COMMENT ON COLUMN @extschema@.token_usage_hourly.total_tokens IS 'all tokens';
COMMENT ON COLUMN @extschema@.token_usage_hourly.cache_read_tokens IS 'input tokens read from a cache';
COMMENT ON COLUMN @extschema@.token_usage_hourly.cache_write_tokens IS 'input tokens written to a cache';
COMMENT ON COLUMN @extschema@.token_usage_hourly.reasoning_tokens IS 'output tokens spent on reasoning';
COMMENT ON COLUMN @extschema@.token_usage_hourly.audio_input_tokens IS 'input tokens of audio';
COMMENT ON COLUMN @extschema@.token_usage_hourly.audio_output_tokens IS 'output tokens of audio';
COMMENT ON COLUMN @extschema@.token_usage_hourly.ignored IS 'values under known names that are no count';
COMMENT ON COLUMN @extschema@.token_usage_hourly.cost IS 'cost in this currency';
COMMENT ON COLUMN @extschema@.token_usage_hourly.duration_us IS 'duration of the calls that have ended, in microseconds';
COMMENT ON COLUMN @extschema@.token_usage_hourly.durations IS 'histogram of these durations; usage_percentile() reads it';
CREATE INDEX token_usage_hourly_hour_idx ON @extschema@.token_usage_hourly USING brin (hour) WITH (pages_per_range = 16, autosummarize = on);
COMMENT ON INDEX @extschema@.token_usage_hourly_hour_idx IS 'serves ranges of time of all entities';
SELECT pg_extension_config_dump('@extschema@.token_usage_hourly', '');

CREATE TABLE @extschema@.token_usage_daily (
    entity_id text COLLATE "C" NOT NULL,
    day timestamptz NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    span_type text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    calls int8 NOT NULL,
    failures int8 NOT NULL,
    input_tokens int8 NOT NULL,
    output_tokens int8 NOT NULL,
    total_tokens int8 NOT NULL,
    cache_read_tokens int8 NOT NULL,
    cache_write_tokens int8 NOT NULL,
    reasoning_tokens int8 NOT NULL,
    audio_input_tokens int8 NOT NULL,
    audio_output_tokens int8 NOT NULL,
    ignored int8 NOT NULL,
    cost numeric NOT NULL,
    duration_us int8 NOT NULL,
    durations int4[] NOT NULL,
    PRIMARY KEY (entity_id, day, provider, model, span_type, currency)
) WITH (fillfactor = 70);
COMMENT ON TABLE @extschema@.token_usage_daily IS
    'the same sums by day and without users, for long times';
COMMENT ON COLUMN @extschema@.token_usage_daily.entity_id IS 'agent, workflow or other thing that made the calls';
COMMENT ON COLUMN @extschema@.token_usage_daily.day IS 'beginning of the day, in UTC, that the calls started in';
COMMENT ON COLUMN @extschema@.token_usage_daily.provider IS 'provider of the model';
COMMENT ON COLUMN @extschema@.token_usage_daily.model IS 'model that answered';
COMMENT ON COLUMN @extschema@.token_usage_daily.span_type IS 'model_generation or embedding_generation';
COMMENT ON COLUMN @extschema@.token_usage_daily.currency IS 'currency of the cost; empty if there is none';
COMMENT ON COLUMN @extschema@.token_usage_daily.calls IS 'model calls';
COMMENT ON COLUMN @extschema@.token_usage_daily.failures IS 'calls that ended with an error';
COMMENT ON COLUMN @extschema@.token_usage_daily.input_tokens IS 'tokens given to models, cached and audio ones included';
COMMENT ON COLUMN @extschema@.token_usage_daily.output_tokens IS 'tokens made by models, reasoning and audio ones included';
COMMENT ON COLUMN @extschema@.token_usage_daily.total_tokens IS 'all tokens';
COMMENT ON COLUMN @extschema@.token_usage_daily.cache_read_tokens IS 'input tokens read from a cache';
COMMENT ON COLUMN @extschema@.token_usage_daily.cache_write_tokens IS 'input tokens written to a cache';
COMMENT ON COLUMN @extschema@.token_usage_daily.reasoning_tokens IS 'output tokens spent on reasoning';
COMMENT ON COLUMN @extschema@.token_usage_daily.audio_input_tokens IS 'input tokens of audio';
COMMENT ON COLUMN @extschema@.token_usage_daily.audio_output_tokens IS 'output tokens of audio';
COMMENT ON COLUMN @extschema@.token_usage_daily.ignored IS 'values under known names that are no count';
COMMENT ON COLUMN @extschema@.token_usage_daily.cost IS 'cost in this currency';
COMMENT ON COLUMN @extschema@.token_usage_daily.duration_us IS 'duration of the calls that have ended, in microseconds';
COMMENT ON COLUMN @extschema@.token_usage_daily.durations IS 'histogram of these durations; usage_percentile() reads it';
CREATE INDEX token_usage_daily_day_idx ON @extschema@.token_usage_daily USING brin (day) WITH (pages_per_range = 16, autosummarize = on);
COMMENT ON INDEX @extschema@.token_usage_daily_day_idx IS 'serves ranges of time of all entities';
SELECT pg_extension_config_dump('@extschema@.token_usage_daily', '');

CREATE TABLE @extschema@.repricings (
    repriced_at timestamptz NOT NULL DEFAULT now(),
    repriced_by text NOT NULL DEFAULT CURRENT_USER,
    during tstzrange NOT NULL,
    calls int8 NOT NULL,
    old_cost jsonb NOT NULL,
    new_cost jsonb NOT NULL
);
COMMENT ON TABLE @extschema@.repricings IS
    'what reprice() changed';
COMMENT ON COLUMN @extschema@.repricings.repriced_at IS 'when';
COMMENT ON COLUMN @extschema@.repricings.repriced_by IS 'by whom';
COMMENT ON COLUMN @extschema@.repricings.during IS 'starts of the calls that were looked at';
COMMENT ON COLUMN @extschema@.repricings.calls IS 'calls whose cost changed';
COMMENT ON COLUMN @extschema@.repricings.old_cost IS 'cost of all calls that count in this time before, by currency';
COMMENT ON COLUMN @extschema@.repricings.new_cost IS 'and after';
SELECT pg_extension_config_dump('@extschema@.repricings', '');

CREATE TABLE @extschema@.budgets (
    scope text PRIMARY KEY,
    amount numeric NOT NULL CHECK (amount >= 0),
    currency text NOT NULL DEFAULT 'USD',
    period text NOT NULL
);
COMMENT ON TABLE @extschema@.budgets IS
    'how much may be spent in a scope';
COMMENT ON COLUMN @extschema@.budgets.scope IS 'all, or entity:, user:, provider: or model: and a name';
COMMENT ON COLUMN @extschema@.budgets.amount IS 'what may be spent in a period';
COMMENT ON COLUMN @extschema@.budgets.currency IS 'currency of the amount; spending in others does not count';
COMMENT ON COLUMN @extschema@.budgets.period IS 'hour, day, week, month or year, in UTC, or total';
SELECT pg_extension_config_dump('@extschema@.budgets', '');

CREATE TABLE @extschema@.budget_reservations (
    reservation_id text PRIMARY KEY,
    scope text NOT NULL REFERENCES @extschema@.budgets ON DELETE CASCADE,
    amount numeric NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE @extschema@.budget_reservations IS
    'spending that check_budget() allowed and that is not in the ledger yet';
COMMENT ON COLUMN @extschema@.budget_reservations.reservation_id IS 'what the span of the call carries as its attribute flowmaestro.reservation';
COMMENT ON COLUMN @extschema@.budget_reservations.scope IS 'the budget';
COMMENT ON COLUMN @extschema@.budget_reservations.amount IS 'what is reserved';
COMMENT ON COLUMN @extschema@.budget_reservations.expires_at IS 'when the reservation lapses without a span';
CREATE INDEX budget_reservations_scope_idx ON @extschema@.budget_reservations (scope, expires_at);
COMMENT ON INDEX @extschema@.budget_reservations_scope_idx IS 'finds what is reserved of a budget';

CREATE FUNCTION @extschema@.pending_usage(
    OUT trace_id uuid,
    OUT span_id uuid,
    OUT parent_span_id uuid,
    OUT waits_for uuid,
    OUT started_at timestamptz,
    OUT span_type text,
    OUT entity_id text,
    OUT user_id text,
    OUT session_id text,
    OUT workflow text,
    OUT provider text,
    OUT model text,
    OUT request_model text,
    OUT currency text,
    OUT ended bool,
    OUT failed bool,
    OUT carries bool,
    OUT covered bool,
    OUT counted bool,
    OUT duration_us int8,
    OUT input_tokens int8,
    OUT output_tokens int8,
    OUT total_tokens int8,
    OUT cache_read_tokens int8,
    OUT cache_write_tokens int8,
    OUT reasoning_tokens int8,
    OUT audio_input_tokens int8,
    OUT audio_output_tokens int8,
    OUT ignored int4,
    OUT cost numeric,
    OUT price_id int8
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'fms_pending_usage'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION @extschema@.pending_usage IS
    'internal: the rows of span_usage that are being written; an error anywhere else';

CREATE FUNCTION @extschema@.pending_sums(
    OUT entity_id text,
    OUT at timestamptz,
    OUT user_id text,
    OUT provider text,
    OUT model text,
    OUT span_type text,
    OUT currency text,
    OUT calls int8,
    OUT failures int8,
    OUT input_tokens int8,
    OUT output_tokens int8,
    OUT total_tokens int8,
    OUT cache_read_tokens int8,
    OUT cache_write_tokens int8,
    OUT reasoning_tokens int8,
    OUT audio_input_tokens int8,
    OUT audio_output_tokens int8,
    OUT ignored int8,
    OUT cost numeric,
    OUT duration_us int8,
    OUT durations int4[]
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'fms_pending_sums'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION @extschema@.pending_sums IS 'internal: what is being added to the rollups; an error anywhere else';

CREATE FUNCTION @extschema@.usage_of(
    attributes jsonb,
    OUT carries bool,
    OUT provider text,
    OUT response_model text,
    OUT request_model text,
    OUT entity_id text,
    OUT user_id text,
    OUT session_id text,
    OUT workflow text,
    OUT reservation text,
    OUT input_tokens int8,
    OUT output_tokens int8,
    OUT total_tokens int8,
    OUT cache_read_tokens int8,
    OUT cache_write_tokens int8,
    OUT reasoning_tokens int8,
    OUT audio_input_tokens int8,
    OUT audio_output_tokens int8,
    OUT cost numeric,
    OUT ignored int4
) RETURNS record
AS 'MODULE_PATHNAME', 'fms_usage_of'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.usage_of IS
    'what attributes say of a model call, in any vocabulary; counts are 0 and texts NULL if not given';

CREATE FUNCTION @extschema@.span_cost(
    provider text,
    response_model text,
    request_model text,
    at timestamptz,
    tokens int8[],
    OUT cost numeric,
    OUT currency text,
    OUT price_id int8
) RETURNS record
AS 'MODULE_PATHNAME', 'fms_span_cost'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.span_cost IS
    'what tokens (input, output, total, cache read, cache write, reasoning, audio input, audio output) cost by model_prices; NULL if there is no price';

CREATE FUNCTION @extschema@.lock_token_usage()
RETURNS void
AS 'MODULE_PATHNAME', 'fms_lock_token_usage'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lock_token_usage IS
    'internal: keep all others from changing span_usage and the rollups until the end of the transaction';

CREATE TYPE @extschema@.token_counts AS (
    calls int8,
    input_tokens int8,
    output_tokens int8,
    total_tokens int8,
    cache_read_tokens int8,
    cache_write_tokens int8,
    reasoning_tokens int8,
    audio_input_tokens int8,
    audio_output_tokens int8
);
COMMENT ON TYPE @extschema@.token_counts IS 'calls and tokens by kind: what token_usage_agg returns';

CREATE FUNCTION @extschema@.token_usage_step(state int8[], attributes jsonb)
RETURNS int8[]
AS 'MODULE_PATHNAME', 'fms_token_usage_step'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.token_usage_step IS 'internal: adds attributes to the state of token_usage_agg';

CREATE FUNCTION @extschema@.token_usage_combine(state int8[], other int8[])
RETURNS int8[]
AS 'MODULE_PATHNAME', 'fms_token_usage_combine'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.token_usage_combine IS 'internal: adds up two states of token_usage_agg';

CREATE FUNCTION @extschema@.token_usage_final(state int8[])
RETURNS @extschema@.token_counts
AS 'MODULE_PATHNAME', 'fms_token_usage_final'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.token_usage_final IS 'internal: the result of token_usage_agg';

CREATE AGGREGATE @extschema@.token_usage_agg(attributes jsonb) (
    SFUNC = @extschema@.token_usage_step,
    STYPE = int8[],
    INITCOND = '{0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = @extschema@.token_usage_combine,
    FINALFUNC = @extschema@.token_usage_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE @extschema@.token_usage_agg(jsonb) IS
    'tokens by kind of the attributes of spans, in any vocabulary; it adds up every row that it is given';

CREATE FUNCTION @extschema@.usage_durations_of(duration_us int8)
RETURNS int4[]
AS 'MODULE_PATHNAME', 'fms_usage_durations_of'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.usage_durations_of IS 'the histogram of one duration in microseconds';

CREATE FUNCTION @extschema@.usage_durations_add(durations int4[], other int4[])
RETURNS int4[]
AS 'MODULE_PATHNAME', 'fms_usage_durations_add'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.usage_durations_add IS 'two histograms of durations as one';

CREATE AGGREGATE @extschema@.usage_durations_sum(durations int4[]) (
    SFUNC = @extschema@.usage_durations_add,
    STYPE = int4[],
    INITCOND = '{}',
    COMBINEFUNC = @extschema@.usage_durations_add,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE @extschema@.usage_durations_sum(int4[]) IS 'histograms of durations as one';

CREATE FUNCTION @extschema@.usage_percentile(durations int4[], fraction float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'fms_usage_percentile'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.usage_percentile IS
    'a percentile of a histogram of durations, in milliseconds, at most an eighth off; NULL if it is empty';
