-- Room buffer: what is in memory and not yet in the table.

CREATE FUNCTION @extschema@.tracked_spans(
    OUT trace_id uuid,
    OUT span_id uuid,
    OUT parent_span_id uuid,
    OUT name text,
    OUT span_type text,
    OUT entity_id text,
    OUT started_at timestamptz,
    OUT pid int4,
    OUT running bool
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'fms_tracked_spans'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1000;
COMMENT ON FUNCTION @extschema@.tracked_spans IS
    'spans of this database in shared memory: running ones, and ended ones that are not yet in the table';

CREATE VIEW @extschema@.active_spans AS
WITH tracked AS MATERIALIZED (SELECT * FROM @extschema@.tracked_spans())
SELECT t.trace_id, t.span_id, t.parent_span_id, t.name, t.span_type, t.entity_id,
       t.started_at, clock_timestamp() - t.started_at AS age, t.pid
FROM tracked AS t
WHERE t.running
UNION ALL
SELECT s.trace_id, s.span_id, s.parent_span_id, s.name, s.span_type, s.entity_id,
       s.started_at, clock_timestamp() - s.started_at, NULL::int4
FROM @extschema@.execution_spans AS s
WHERE s.status = 'started'
  AND s.name <> ''
  AND NOT EXISTS (SELECT FROM tracked AS t
                  WHERE t.span_id = s.span_id);
COMMENT ON VIEW @extschema@.active_spans IS
    'spans that run right now: from shared memory, and from the table those that memory does not hold';
COMMENT ON COLUMN @extschema@.active_spans.trace_id IS 'trace of the span';
COMMENT ON COLUMN @extschema@.active_spans.span_id IS 'the span';
COMMENT ON COLUMN @extschema@.active_spans.parent_span_id IS 'span that this one is part of';
COMMENT ON COLUMN @extschema@.active_spans.name IS 'name of the span, at most 63 bytes of it';
COMMENT ON COLUMN @extschema@.active_spans.span_type IS 'kind of work, at most 31 bytes of it';
COMMENT ON COLUMN @extschema@.active_spans.entity_id IS 'thing that the span belongs to, at most 63 bytes of it';
COMMENT ON COLUMN @extschema@.active_spans.started_at IS 'start of the work';
COMMENT ON COLUMN @extschema@.active_spans.age IS 'time since the start';
COMMENT ON COLUMN @extschema@.active_spans.pid IS 'backend that started the span; NULL if memory does not hold it';

CREATE FUNCTION @extschema@.flush()
RETURNS void
AS 'MODULE_PATHNAME', 'fms_flush'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.flush IS
    'wait until everything that any session of this database recorded before the call is in the table';

CREATE FUNCTION @extschema@.buffer_stats(
    OUT recorded int8,
    OUT flushed int8,
    OUT pending int8,
    OUT written int8,
    OUT updated int8,
    OUT coalesced int8,
    OUT waited int8,
    OUT dropped int8,
    OUT damaged int8,
    OUT truncated int8,
    OUT rejected int8,
    OUT duplicate_ends int8,
    OUT orphan_ends int8,
    OUT clamped_ends int8,
    OUT untracked int8,
    OUT evicted int8,
    OUT flushes int8,
    OUT flush_errors int8,
    OUT flush_time_ms float8,
    OUT last_error text,
    OUT active_spans int8,
    OUT buffer_bytes_used int8,
    OUT buffer_bytes int8,
    OUT writer_pid int4
) RETURNS record
AS 'MODULE_PATHNAME', 'fms_buffer_stats'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.buffer_stats IS
    'counters of this database since the server''s shared memory was set up';

CREATE VIEW @extschema@.stats AS
SELECT b.recorded, b.flushed, b.pending, b.written, b.updated, b.coalesced, b.waited, b.dropped,
       b.damaged, b.truncated, b.rejected, b.duplicate_ends, b.orphan_ends, b.clamped_ends, b.untracked,
       b.evicted, b.flushes, b.flush_errors, b.flush_time_ms, b.last_error, b.active_spans,
       b.buffer_bytes_used, b.buffer_bytes, b.writer_pid
FROM @extschema@.buffer_stats() AS b;
COMMENT ON VIEW @extschema@.stats IS
    'counters of this database since the server''s shared memory was set up; recorded = flushed + pending';
COMMENT ON COLUMN @extschema@.stats.recorded IS 'records taken into the buffer: a start, an end, attributes and an event are one each';
COMMENT ON COLUMN @extschema@.stats.flushed IS 'records that left the buffer, their transaction committed';
COMMENT ON COLUMN @extschema@.stats.pending IS 'records in the buffer';
COMMENT ON COLUMN @extschema@.stats.written IS 'rows written for spans whose start was in the batch';
COMMENT ON COLUMN @extschema@.stats.updated IS 'rows written for spans whose start was in an earlier batch, or unknown';
COMMENT ON COLUMN @extschema@.stats.coalesced IS 'records that shared a row with an earlier record of their batch';
COMMENT ON COLUMN @extschema@.stats.waited IS 'calls that waited for the writer: for room in a full buffer, or in transactional mode until what the buffer held of their span was written';
COMMENT ON COLUMN @extschema@.stats.dropped IS 'records lost: no room in the buffer in time, damaged there, or no place to write them';
COMMENT ON COLUMN @extschema@.stats.damaged IS 'of the dropped records, those that could not be read in the buffer''s file';
COMMENT ON COLUMN @extschema@.stats.truncated IS 'records with a payload or text above its limit';
COMMENT ON COLUMN @extschema@.stats.rejected IS 'spans set aside in rejected_spans';
COMMENT ON COLUMN @extschema@.stats.duplicate_ends IS 'ends of spans that had ended already';
COMMENT ON COLUMN @extschema@.stats.orphan_ends IS 'ends of spans whose start had not been seen';
COMMENT ON COLUMN @extschema@.stats.clamped_ends IS 'ends before their start, set to the start';
COMMENT ON COLUMN @extschema@.stats.untracked IS 'spans for which the table of open spans had no place';
COMMENT ON COLUMN @extschema@.stats.evicted IS 'open spans that gave up their place in memory; their rows are in the table';
COMMENT ON COLUMN @extschema@.stats.flushes IS 'batches committed';
COMMENT ON COLUMN @extschema@.stats.flush_errors IS 'batches that failed and were tried again';
COMMENT ON COLUMN @extschema@.stats.flush_time_ms IS 'time spent in committed batches, in milliseconds';
COMMENT ON COLUMN @extschema@.stats.last_error IS 'message of the last failed batch; NULL after a good one';
COMMENT ON COLUMN @extschema@.stats.active_spans IS 'running spans of this database in memory';
COMMENT ON COLUMN @extschema@.stats.buffer_bytes_used IS 'bytes of the buffer in use';
COMMENT ON COLUMN @extschema@.stats.buffer_bytes IS 'size of the buffer in bytes';
COMMENT ON COLUMN @extschema@.stats.writer_pid IS 'process that writes this database''s spans; NULL if none runs';
