-- Room otlp, the exporter: what is still to be sent to a collector, and how that goes.
-- None of it is in a dump: a restored copy must not send what its source sends.

CREATE TABLE @extschema@.otlp_outbox (
    id int8 GENERATED ALWAYS AS IDENTITY (CACHE 1000) PRIMARY KEY,
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    started_at timestamptz NOT NULL
) WITH (vacuum_truncate = off);
COMMENT ON TABLE @extschema@.otlp_outbox IS
    'finished spans that the collector has not acknowledged, put in by the transaction that finished them';
COMMENT ON COLUMN @extschema@.otlp_outbox.id IS 'about the order of finishing, and the order of sending';
COMMENT ON COLUMN @extschema@.otlp_outbox.trace_id IS 'trace of the span';
COMMENT ON COLUMN @extschema@.otlp_outbox.span_id IS 'the span';
COMMENT ON COLUMN @extschema@.otlp_outbox.started_at IS 'start of the work: tells the partition';

CREATE TABLE @extschema@.otlp_refused (
    refused_at timestamptz NOT NULL DEFAULT now(),
    message text NOT NULL,
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    started_at timestamptz NOT NULL
);
COMMENT ON TABLE @extschema@.otlp_refused IS
    'spans that the collector refused one by one; retry_refused_spans() sends them again';
COMMENT ON COLUMN @extschema@.otlp_refused.refused_at IS 'when the span was set aside';
COMMENT ON COLUMN @extschema@.otlp_refused.message IS 'what the collector answered';
COMMENT ON COLUMN @extschema@.otlp_refused.trace_id IS 'trace of the span';
COMMENT ON COLUMN @extschema@.otlp_refused.span_id IS 'the span';
COMMENT ON COLUMN @extschema@.otlp_refused.started_at IS 'start of the work';

CREATE FUNCTION @extschema@.retry_refused_spans()
RETURNS int8
AS 'MODULE_PATHNAME', 'fms_retry_refused_spans'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.retry_refused_spans IS 'have the spans in otlp_refused sent again; returns how many';

CREATE FUNCTION @extschema@.otlp_export_stats(
    OUT exported int8,
    OUT rejected int8,
    OUT refused int8,
    OUT gone int8,
    OUT requests int8,
    OUT failures int8,
    OUT last_success_at timestamptz,
    OUT last_failure_at timestamptz,
    OUT last_error text,
    OUT exporter_pid int4
) RETURNS record
AS 'MODULE_PATHNAME', 'fms_otlp_export_stats'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.otlp_export_stats IS
    'counters of this database''s export since the server''s shared memory was set up';

CREATE VIEW @extschema@.otlp_export_status AS
SELECT (SELECT count(*) FROM @extschema@.otlp_outbox) AS queued,
       x.exported, x.rejected, x.refused, x.gone, x.requests, x.failures,
       x.last_success_at, x.last_failure_at, x.last_error, x.exporter_pid
FROM @extschema@.otlp_export_stats() AS x;
COMMENT ON VIEW @extschema@.otlp_export_status IS
    'how the export of this database goes; counters since the server''s shared memory was set up';
COMMENT ON COLUMN @extschema@.otlp_export_status.queued IS 'spans that wait to be sent';
COMMENT ON COLUMN @extschema@.otlp_export_status.exported IS 'spans in requests that the collector acknowledged';
COMMENT ON COLUMN @extschema@.otlp_export_status.rejected IS 'of these, spans that it said it left out (partial success)';
COMMENT ON COLUMN @extschema@.otlp_export_status.refused IS 'spans set aside in otlp_refused';
COMMENT ON COLUMN @extschema@.otlp_export_status.gone IS 'spans whose row was dropped before they were sent';
COMMENT ON COLUMN @extschema@.otlp_export_status.requests IS 'requests begun';
COMMENT ON COLUMN @extschema@.otlp_export_status.failures IS 'batches that could not be read, sent, or were refused; their spans are sent again';
COMMENT ON COLUMN @extschema@.otlp_export_status.last_success_at IS 'when the collector last acknowledged spans';
COMMENT ON COLUMN @extschema@.otlp_export_status.last_failure_at IS 'when that last failed';
COMMENT ON COLUMN @extschema@.otlp_export_status.last_error IS 'why the last attempt failed; NULL after a good one';
COMMENT ON COLUMN @extschema@.otlp_export_status.exporter_pid IS 'process that exports; NULL if none runs';
