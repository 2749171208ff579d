SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;

-- every setting: type, unit, default, range, who can set it and when
SELECT name, vartype, unit, boot_val, min_val, max_val, enumvals, context
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
SHOW flowmaestro.max_payload;
SHOW flowmaestro.partition_interval;
SHOW flowmaestro.retention;
SHOW flowmaestro.write_mode;

--
-- Units
--
SET flowmaestro.full_wait = '2min';
SHOW flowmaestro.full_wait;
SET flowmaestro.full_wait = 1500;
SHOW flowmaestro.full_wait;
SET flowmaestro.full_wait = '3 days';
SHOW flowmaestro.full_wait;
SET flowmaestro.retention = '30d';
SHOW flowmaestro.retention;
SET flowmaestro.retention = '90min';
SHOW flowmaestro.retention;
SET flowmaestro.max_payload = '512kB';
SHOW flowmaestro.max_payload;
SET flowmaestro.max_payload = '1MB';
SHOW flowmaestro.max_payload;
SET flowmaestro.max_payload = '5 seconds';
SET flowmaestro.full_wait = '5MB';

--
-- Bounds
--
SET flowmaestro.full_wait = 0;
SET flowmaestro.full_wait = 2147483647;
SET flowmaestro.full_wait = -1;
SET flowmaestro.max_payload = 1;
SET flowmaestro.max_payload = 0;
SET flowmaestro.max_payload = 65536;
SET flowmaestro.max_payload = 65537;
SET flowmaestro.retention = 0;
SET flowmaestro.retention = -1;
SET flowmaestro.retention = 2147483647;
SET flowmaestro.enabled = maybe;
SET flowmaestro.write_mode = 'async';
SET flowmaestro.write_mode = 'Transactional';
SHOW flowmaestro.write_mode;
SET flowmaestro.partition_interval = 'year';
SET flowmaestro.partition_interval = '1 day';
RESET ALL;

-- a payload takes at most 1/16 of the buffer
SELECT setting::int / 16 AS limit_kb, setting::int / 16 + 1 AS above_kb FROM pg_settings WHERE name = 'flowmaestro.buffer_size' \gset
SET flowmaestro.max_payload = :limit_kb;
SET flowmaestro.max_payload = :above_kb;
SELECT setting = :'limit_kb' AS still_the_limit FROM pg_settings WHERE name = 'flowmaestro.max_payload';
RESET flowmaestro.max_payload;

--
-- Who can set what
--
SET flowmaestro.buffer_size = '2MB';
SET flowmaestro.max_active_spans = 100;
SET flowmaestro.batch_size = 20;
SET flowmaestro.flush_interval = '1s';
CREATE ROLE regress_flowmaestro_guc;
SET ROLE regress_flowmaestro_guc;
SET flowmaestro.enabled = off;
SET flowmaestro.write_mode = transactional;
SET flowmaestro.full_wait = 10;
SET flowmaestro.max_payload = '1MB';
SET flowmaestro.retention = '1d';
SET flowmaestro.partition_interval = hour;
RESET ALL;
RESET ROLE;
DROP ROLE regress_flowmaestro_guc;

-- the prefix is taken: a name that is not there is an error, not a placeholder
SET flowmaestro.nonsense = 1;
SET flowmaestro.write_mod = 'buffered';
SELECT set_config('flowmaestro.nonsense', '1', false);
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

DROP EXTENSION flowmaestro_spans;
