SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;

-- every setting: type, unit, default, range, who can set it and when
SELECT name, vartype, unit, left(boot_val, 32) AS boot_val, min_val, max_val, enumvals, context
FROM pg_settings WHERE name LIKE 'flowmaestro.%' ORDER BY name COLLATE "C";
-- each is documented
SELECT name FROM pg_settings WHERE name LIKE 'flowmaestro.%' AND coalesce(short_desc, '') = '' ORDER BY name;
-- what a session sees
SHOW flowmaestro.buffer_size;
SHOW flowmaestro.max_active_spans;
SHOW flowmaestro.batch_size;
SHOW flowmaestro.enabled;
SHOW flowmaestro.flush_interval;
SHOW flowmaestro.full_wait;
SHOW flowmaestro.log_format;
SHOW flowmaestro.log_level;
SHOW flowmaestro.max_payload;
SHOW flowmaestro.partition_interval;
SHOW flowmaestro.retention;
SHOW flowmaestro.schema_cache_size;
SHOW flowmaestro.write_mode;

-- set one: what it is then, or the SQLSTATE of the refusal (the texts of the
-- server differ from version to version)
CREATE FUNCTION try_set(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('flowmaestro.' || setting, value, false);
    RETURN rpad(value, 16) || current_setting('flowmaestro.' || setting);
EXCEPTION WHEN OTHERS THEN
    RETURN rpad(value, 16) || 'refused: ' || SQLSTATE;
END
$$;
CREATE FUNCTION try_all(setting text, VARIADIC list text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    value text;
BEGIN
    FOREACH value IN ARRAY list LOOP
        RETURN NEXT try_set(setting, value);
    END LOOP;
END
$$;

--
-- Units, bounds, and what is no value
--
SELECT try_all('full_wait', '2min', '1500', '3d', '0', '2147483647', '1us', '-1', '2147483648', '5MB', '3 fortnights', '', 'x');
SELECT try_all('retention', '30d', '90min', '1h', '0', '2147483647', '30s', '-1', '2147483648', '1GB');
SELECT try_all('max_payload', '512kB', '1MB', '1', '1024B', '0', '-1', '65537', '65MB', '5s');
SELECT try_all('schema_cache_size', '0', '64kB', '1GB', '-1', '1s', '');
SELECT try_all('enabled', 'off', 'on', 'false', 'yes', '0', 'maybe', '');
SELECT try_all('write_mode', 'transactional', 'buffered', 'Transactional', 'BUFFERED', 'async', '', 'trans');
SELECT try_all('read_traceparent', 'off', 'application_name', 'any', 'comment', 'on', '');
SELECT try_all('log_format', 'json', 'Correlate', 'off', 'on', 'text', '');
SELECT try_all('log_level', 'trace', 'FATAL', 'info', '30', 'warning', '');
SELECT try_all('partition_interval', 'hour', 'week', 'month', 'day', 'year', '1 day', '');
SELECT try_all('late_partitions', '0', '366', '-1', '367', '1d', '');
-- what no session can set
SELECT try_all('buffer_size', '2MB'), try_all('max_active_spans', '100'), try_all('batch_size', '20'), try_all('flush_interval', '1s');
RESET ALL;

-- a payload takes at most 1/16 of the buffer
SELECT least(setting::int / 16, 65536) AS limit_kb, setting::int / 16 + 1 AS above_kb FROM pg_settings WHERE name = 'flowmaestro.buffer_size' \gset
SET flowmaestro.max_payload = :limit_kb;
SELECT substr(try_set('max_payload', :'above_kb'), 17) AS above;
SELECT setting = :'limit_kb' AS still_the_limit FROM pg_settings WHERE name = 'flowmaestro.max_payload';
RESET flowmaestro.max_payload;

--
-- Who can set what
--
CREATE ROLE regress_flowmaestro_guc;
SET ROLE regress_flowmaestro_guc;
SELECT try_all('enabled', 'off'), try_all('write_mode', 'transactional'), try_all('full_wait', '10');
SELECT try_all('max_payload', '1MB'), try_all('retention', '1d'), try_all('partition_interval', 'hour'), try_all('late_partitions', '1');
RESET ROLE;
RESET flowmaestro.enabled;
RESET flowmaestro.write_mode;
RESET flowmaestro.full_wait;
DROP ROLE regress_flowmaestro_guc;

-- the prefix is taken: a name that is not there is an error, not a placeholder
SET flowmaestro.nonsense = 1;
SELECT try_all('nonsense', '1'), try_all('write_mod', 'buffered');
SHOW flowmaestro.nonsense;
-- a setting is a setting of the transaction too
BEGIN;
SET LOCAL flowmaestro.write_mode = transactional;
SHOW flowmaestro.write_mode;
ROLLBACK;
SHOW flowmaestro.write_mode;

--
-- Off: ids are given, nothing is recorded
--
SELECT flowmaestro.flush();
SET flowmaestro.enabled = off;
SELECT recorded AS recorded_before, truncated AS truncated_before, duplicate_ends AS duplicates_before, orphan_ends AS orphans_before, dropped AS dropped_before FROM flowmaestro.stats \gset
SELECT trace_id, span_id FROM flowmaestro.create_span('off', 'agent_run', attributes => jsonb_build_object('a', repeat('a', 2000000))) \gset
SELECT substr(:'trace_id', 15, 1) = '7' AS version, left(:'span_id', 18) = left(:'trace_id', 18) AS prefix;
SELECT c.parent_span_id = :'span_id' AS parent, c.span_id IS NOT NULL AS span
FROM flowmaestro.create_child_span(:'span_id', 'off', 'agent_run') AS c;
SELECT * FROM flowmaestro.create_span('off', 'agent_run', span_id => '44444444-4444-4444-8444-000000000001',
                                      trace_id => '44444444-4444-4444-8444-000000000002', parent_span_id => '44444444-4444-4444-8444-000000000003');
SELECT flowmaestro.set_span_attributes(:'span_id', '{"a": 1}');
SELECT flowmaestro.add_span_event(:'span_id', 'e');
SELECT flowmaestro.end_span(:'span_id');
SELECT flowmaestro.end_span_with_error(:'span_id', 'e'::text);
SELECT flowmaestro.cancel_trace(:'trace_id');
-- arguments are still checked
SELECT flowmaestro.create_span('', 'agent_run');
SET flowmaestro.write_mode = transactional;
SELECT flowmaestro.create_span('off', 'agent_run', span_id => '44444444-4444-4444-8444-000000000001',
                               trace_id => '44444444-4444-4444-8444-000000000002');
SELECT flowmaestro.end_span('44444444-4444-4444-8444-000000000001');
RESET flowmaestro.write_mode;
SELECT flowmaestro.flush();
SELECT count(*) FROM flowmaestro.execution_spans;
SELECT count(*) FROM flowmaestro.tracked_spans();
SELECT recorded - :recorded_before AS recorded, truncated - :truncated_before AS truncated, duplicate_ends - :duplicates_before AS duplicate_ends,
       orphan_ends - :orphans_before AS orphan_ends, dropped - :dropped_before AS dropped
FROM flowmaestro.stats;
-- on again: what was started before goes on
RESET flowmaestro.enabled;
SELECT span_id FROM flowmaestro.create_span('on', 'agent_run') \gset
SET flowmaestro.enabled = off;
SELECT flowmaestro.end_span(:'span_id');
SET flowmaestro.enabled = on;
SELECT flowmaestro.end_span(:'span_id');
SELECT flowmaestro.flush();
SELECT name, status FROM flowmaestro.execution_spans ORDER BY name;

DROP FUNCTION try_all;
DROP FUNCTION try_set;
DROP EXTENSION flowmaestro_spans;
