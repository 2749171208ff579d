-- Room table: how spans come into execution_spans, and what keeps it.

CREATE TABLE @extschema@.writer_progress (
    life_id int8 PRIMARY KEY,
    position int8 NOT NULL,
    written_at timestamptz NOT NULL
);
COMMENT ON TABLE @extschema@.writer_progress IS
    'how far a buffer file has been written, kept in the transaction that writes the spans; rows of 90 days or beyond the last 1,000 are removed';
COMMENT ON COLUMN @extschema@.writer_progress.life_id IS 'identity of the records that one life of a server put into its buffer file';
COMMENT ON COLUMN @extschema@.writer_progress.position IS 'position in the buffer file up to which all of these records are in the table';
COMMENT ON COLUMN @extschema@.writer_progress.written_at IS 'when the last of them were written';

CREATE TABLE @extschema@.rejected_spans (
    rejected_at timestamptz NOT NULL DEFAULT now(),
    sqlstate text NOT NULL,
    message text NOT NULL,
    trace_id uuid,
    span_id uuid NOT NULL,
    parent_span_id uuid,
    name text NOT NULL,
    span_type text NOT NULL,
    entity_id text,
    started_at timestamptz,
    ended_at timestamptz,
    status text NOT NULL,
    input jsonb,
    output jsonb,
    error jsonb,
    attributes jsonb,
    created_at timestamptz,
    events jsonb,
    links jsonb,
    otlp jsonb
);
COMMENT ON TABLE @extschema@.rejected_spans IS
    'spans that execution_spans refused, with the error; retry_rejected_spans() puts them back';
COMMENT ON COLUMN @extschema@.rejected_spans.rejected_at IS 'when the row was set aside';
COMMENT ON COLUMN @extschema@.rejected_spans.sqlstate IS 'SQLSTATE of the error';
COMMENT ON COLUMN @extschema@.rejected_spans.message IS 'message of the error';
COMMENT ON COLUMN @extschema@.rejected_spans.trace_id IS 'trace of the span; NULL if it was not known';
COMMENT ON COLUMN @extschema@.rejected_spans.span_id IS 'the span';
COMMENT ON COLUMN @extschema@.rejected_spans.parent_span_id IS 'span that this one is part of';
COMMENT ON COLUMN @extschema@.rejected_spans.name IS 'name of the span; empty without its start';
COMMENT ON COLUMN @extschema@.rejected_spans.span_type IS 'kind of work';
COMMENT ON COLUMN @extschema@.rejected_spans.entity_id IS 'thing that the span belongs to';
COMMENT ON COLUMN @extschema@.rejected_spans.started_at IS 'start of the work; NULL if it was not known';
COMMENT ON COLUMN @extschema@.rejected_spans.ended_at IS 'end of the work; NULL without its end';
COMMENT ON COLUMN @extschema@.rejected_spans.status IS 'started, completed, failed or cancelled';
COMMENT ON COLUMN @extschema@.rejected_spans.input IS 'what the work was given';
COMMENT ON COLUMN @extschema@.rejected_spans.output IS 'what the work gave back';
COMMENT ON COLUMN @extschema@.rejected_spans.error IS 'why the work failed';
COMMENT ON COLUMN @extschema@.rejected_spans.attributes IS 'named values of the span';
COMMENT ON COLUMN @extschema@.rejected_spans.created_at IS 'when the first record of the span was taken';
COMMENT ON COLUMN @extschema@.rejected_spans.events IS 'events of the span';
COMMENT ON COLUMN @extschema@.rejected_spans.links IS 'links to spans of other traces';
COMMENT ON COLUMN @extschema@.rejected_spans.otlp IS 'fields of an OTLP span that have no column of their own';
SELECT pg_extension_config_dump('@extschema@.rejected_spans', '');

CREATE TABLE @extschema@.span_id_directory (
    id_prefix int8 NOT NULL,
    started_on date NOT NULL,
    trace_prefix int8 NOT NULL
);
CREATE INDEX span_id_directory_idx ON @extschema@.span_id_directory (id_prefix, started_on, trace_prefix);
COMMENT ON TABLE @extschema@.span_id_directory IS
    'days on which spans of an id started, where the id does not tell it';
COMMENT ON COLUMN @extschema@.span_id_directory.id_prefix IS 'the first 8 bytes of a span id or a trace id';
COMMENT ON COLUMN @extschema@.span_id_directory.started_on IS 'day in UTC on which such a span, or a span of such a trace, started';
COMMENT ON COLUMN @extschema@.span_id_directory.trace_prefix IS 'the first 8 bytes of the trace id of that span';
SELECT pg_extension_config_dump('@extschema@.span_id_directory', '');

CREATE FUNCTION @extschema@.span_id_seen()
RETURNS trigger
AS 'MODULE_PATHNAME', 'fms_span_id_seen'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.span_id_seen IS
    'internal: tells the filter in shared memory of an id that comes into span_id_directory';

CREATE TRIGGER span_id_seen BEFORE INSERT ON @extschema@.span_id_directory
    FOR EACH ROW EXECUTE FUNCTION @extschema@.span_id_seen();
ALTER TABLE @extschema@.span_id_directory ENABLE ALWAYS TRIGGER span_id_seen;
COMMENT ON TRIGGER span_id_seen ON @extschema@.span_id_directory IS
    'tells the filter in shared memory of each id';

CREATE FUNCTION @extschema@.note_span_ids(
    trace_ids uuid[],
    span_ids uuid[],
    started_at timestamptz[]
) RETURNS void
AS 'MODULE_PATHNAME', 'fms_note_span_ids'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.note_span_ids IS
    'note in span_id_directory when spans started that a statement of yours put into execution_spans, so that they are found by their ids';

CREATE FUNCTION @extschema@.pending_rows(
    OUT trace_id uuid,
    OUT span_id uuid,
    OUT parent_span_id uuid,
    OUT name text,
    OUT span_type text,
    OUT entity_id text,
    OUT started_at timestamptz,
    OUT ended_at timestamptz,
    OUT duration_ms float8,
    OUT status text,
    OUT input jsonb,
    OUT output jsonb,
    OUT error jsonb,
    OUT attributes jsonb,
    OUT created_at timestamptz,
    OUT events jsonb,
    OUT links jsonb,
    OUT otlp jsonb
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'fms_pending_rows'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION @extschema@.pending_rows IS
    'internal: the rows that the running flush writes; an error anywhere else';

CREATE FUNCTION @extschema@.make_partition(at timestamptz)
RETURNS regclass
AS 'MODULE_PATHNAME', 'fms_make_partition'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.make_partition IS
    'the partition of execution_spans for a time, made with its key and indexes if there is none';

CREATE FUNCTION @extschema@.apply_retention()
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'fms_apply_retention'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.apply_retention IS
    'drop the partitions that flowmaestro.retention no longer keeps and that hold no running span, at most 32 of them; returns their names';

CREATE PROCEDURE @extschema@.drop_partitions(before timestamptz DEFAULT 'infinity')
LANGUAGE C
AS 'MODULE_PATHNAME', 'fms_drop_partitions';
COMMENT ON PROCEDURE @extschema@.drop_partitions IS
    'drop the partitions that end before a time or at it, with running spans and all, a few in each transaction; by default every one';

CREATE FUNCTION @extschema@.retry_rejected_spans()
RETURNS int8
AS 'MODULE_PATHNAME', 'fms_retry_rejected_spans'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.retry_rejected_spans IS
    'write the rows of rejected_spans into execution_spans; returns how many were taken, the others stay';

CREATE FUNCTION @extschema@.import_partition(at timestamptz, unit text)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'fms_import_partition'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.import_partition IS
    'internal: see to it that a partition takes the imported spans of a time; returns the time up to which it does';

CREATE FUNCTION @extschema@.import_spans(source regclass)
RETURNS int8
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text;
    odd text;
    unit text;
    low timestamptz;
    high timestamptz := '-infinity';
    n int8;
    total int8 := 0;
BEGIN
    IF source = 'flowmaestro.execution_spans'::regclass THEN
        RAISE EXCEPTION 'cannot import execution_spans into itself'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT string_agg(u.c, ', ' ORDER BY u.n) INTO missing
    FROM unnest('{trace_id,span_id,parent_span_id,name,span_type,entity_id,started_at,ended_at,status,input,output,error,attributes,created_at}'::text[])
        WITH ORDINALITY AS u (c, n)
    WHERE NOT EXISTS (SELECT FROM pg_attribute AS a
                      WHERE a.attrelid = source AND a.attname = u.c AND NOT a.attisdropped);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'table % does not have the columns of execution_spans', source
            USING ERRCODE = 'undefined_column', DETAIL = format('Missing: %s.', missing);
    END IF;
    EXECUTE format('SELECT min(s.status) FROM %s AS s WHERE s.status <> ALL (''{started,completed,failed,cancelled,error}''::text[])', source) INTO odd;
    IF odd IS NOT NULL THEN
        RAISE EXCEPTION 'table % has spans with status "%"', source, odd
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Set the status of these rows to started, completed, failed or cancelled first.';
    END IF;
    -- partitions of the usual interval, or longer ones where these would be too many
    FOREACH unit IN ARRAY '{hour,day,week,month,year,ever}'::text[] LOOP
        CONTINUE WHEN array_position('{hour,day,week,month,year}', unit)
            < array_position('{hour,day,week,month,year}', current_setting('flowmaestro.partition_interval'));
        EXIT WHEN unit = 'ever';
        EXECUTE format('SELECT count(*) FROM (SELECT DISTINCT date_trunc($1, s.started_at, ''UTC'') FROM %s AS s LIMIT 65) AS d', source)
            INTO n USING unit;
        EXIT WHEN n <= 64;
    END LOOP;
    LOOP
        EXECUTE format('SELECT min(s.started_at) FROM %s AS s WHERE s.started_at >= $1', source) INTO low USING high;
        EXIT WHEN low IS NULL;
        high := flowmaestro.import_partition(low, unit);
        EXECUTE format($q$
            INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, entity_id,
                started_at, ended_at, duration_ms, status, input, output, error, attributes, created_at)
            SELECT s.trace_id, s.span_id, s.parent_span_id, s.name, s.span_type, s.entity_id,
                s.started_at, s.ended_at, extract(epoch FROM s.ended_at - s.started_at)::float8 * 1000,
                CASE s.status WHEN 'error' THEN 'failed' ELSE s.status END,
                nullif(s.input, 'null'), nullif(s.output, 'null'), nullif(s.error, 'null'),
                coalesce(s.attributes, '{}'), s.created_at
            FROM %s AS s
            WHERE s.started_at >= $1 AND s.started_at < $2
            ON CONFLICT DO NOTHING
        $q$, source) USING low, high;
        GET DIAGNOSTICS n = ROW_COUNT;
        total := total + n;
        EXECUTE format($q$
            SELECT flowmaestro.note_span_ids(array_agg(s.trace_id), array_agg(s.span_id), array_agg(s.started_at::timestamptz))
            FROM %s AS s WHERE s.started_at >= $1 AND s.started_at < $2
        $q$, source) USING low, high;
        PERFORM flowmaestro.rebuild_token_usage(tstzrange(low, high));
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION @extschema@.import_spans IS
    'copy the spans of a table with the original columns into execution_spans; rows that are there already stay; returns how many were copied';
