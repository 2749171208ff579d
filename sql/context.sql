SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
SET timezone = 'UTC';

-- the W3C's own example
\set trace 0af7651916cd43dd8448eb211c80319c
\set trace_id 0af76519-16cd-43dd-8448-eb211c80319c
\set span b7ad6b7169203331
\set span_id 0af76519-16cd-43dd-b7ad-6b7169203331

-- set a setting: what the context is then, or why not
CREATE FUNCTION try_set(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM set_config('flowmaestro.' || setting, value, true);
    RETURN (SELECT concat_ws(' ', c.trace_id, c.span_id, c.parent_span_id, c.user_id, c.request_id, c.session_id)
            FROM flowmaestro.current_request_context() AS c);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || detail;
END
$$;
-- only take: 'good', or why not
CREATE FUNCTION check_set(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM set_config('flowmaestro.' || setting, value, true);
    RETURN 'good';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || detail;
END
$$;

--
-- traceparent, to the letter
--
SELECT label, try_set('traceparent', value) FROM (VALUES
    ('good',                    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    ('not sampled',             '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'),
    ('unknown flags',           '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff'),
    ('blanks around',           E' \t00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\t '),
    ('nothing',                 ''),
    ('blanks',                  '  '),
    ('newline',                 E'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n'),
    ('blank inside',            '00-0af7651916cd43dd8448eb211c80319c- 7ad6b7169203331-01'),
    ('upper trace',             '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01'),
    ('upper span',              '00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01'),
    ('upper flags',             '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A'),
    ('zero trace',              '00-00000000000000000000000000000000-b7ad6b7169203331-01'),
    ('zero span',               '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01'),
    ('version ff',              'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    ('version FF',              'FF-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    ('version 01',              '01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    ('version cc, more',        'cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-will-be'),
    ('version cc, glued',       'cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what-will-be'),
    ('version cc, hyphen',      'cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-'),
    ('version 00, more',        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x'),
    ('version 00, hyphen',      '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-'),
    ('short flags',             '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1'),
    ('no flags',                '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331'),
    ('short span',              '00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-011'),
    ('long version',            '000-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    ('underscores',             '00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01'),
    ('no hexadecimal',          '00-0gf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    ('multibyte',               '00-é0f7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')
) AS t(label, value);
SET flowmaestro.traceparent = 'x';
-- what goes out is version 00 and the flags that it knows
BEGIN;
SET LOCAL flowmaestro.traceparent = 'cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more';
SELECT flowmaestro.traceparent();
COMMIT;

--
-- tracestate
--
SELECT label, check_set('tracestate', value) FROM (VALUES
    ('one',                     'rojo=00f067aa0ba902b7'),
    ('blanks and empty ones',   E' rojo=1 ,\t, congo=t61rcWkgMzE,'),
    ('tenant',                  'fw529a3039@dt=FfAqp.k'),
    ('digit first',             '1a=1'),
    ('blank in a value',        'a=1 2'),
    ('32 members',              (SELECT string_agg('k' || i || '=1', ',') FROM generate_series(1, 32) AS i)),
    ('512 characters',          'a=' || repeat('x', 252) || ',b=' || repeat('y', 252)),
    ('longest',                 repeat('k', 256) || '=' || repeat('v', 256)),
    ('33 members',              (SELECT string_agg('k' || i || '=1', ',') FROM generate_series(1, 33) AS i)),
    ('long key',                repeat('k', 257) || '=1'),
    ('long value',              'k=' || repeat('v', 257)),
    ('no value',                'k='),
    ('no equals',               'k'),
    ('two equals',              'k=a=b'),
    ('upper key',               'K=1'),
    ('no key',                  '=1'),
    ('twice',                   'k=1,j=2,k=3'),
    ('control',                 E'k=a\x01'),
    ('multibyte',               'k=é'),
    ('too long',                repeat(',', 20000))
) AS t(label, value);
SET flowmaestro.tracestate = 'K=1';

--
-- baggage
--
SELECT label, check_set('baggage', value) FROM (VALUES
    ('members, properties',     'userId=alice,serverNode=DF%2028 , isProduction=false;p1;p2=v ; p3 = w'),
    ('no value',                'k='),
    ('blanks around',           '  k = v  '),
    ('nothing',                 ''),
    ('180 members',             (SELECT string_agg('k' || i || '=1', ',') FROM generate_series(1, 180) AS i)),
    ('181 members',             (SELECT string_agg('k' || i || '=1', ',') FROM generate_series(1, 181) AS i)),
    ('8193 bytes',              'k=' || repeat('v', 8191)),
    ('no equals',               'k'),
    ('no key',                  '=v'),
    ('comma at the end',        'k=v,'),
    ('blank in a value',        'k=a b'),
    ('quote',                   'k="v"'),
    ('multibyte',               'k=é'),
    ('key',                     'k(=v')
) AS t(label, value);
SET flowmaestro.baggage = 'k';

--
-- request_context
--
SELECT label, try_set('request_context', value) FROM (VALUES
    ('ids',                     '{"tracingContext": {"traceId": "0af76519-16cd-43dd-8448-eb211c80319c", "spanId": "11111111-1111-4111-8111-111111111111", "parentSpanId": "22222222222242228222222222222222", "userId": "u", "requestId": "r", "sessionId": "s"}, "contextMap": {"a": {"spanId": "x"}}}'),
    ('other order, others',     '{"x": [1, {"userId": "no"}], "contextMap": {"userId": "no"}, "tracingContext": {"y": {"userId": "no"}, "userId": 42, "spanId": "11111111-1111-4111-8111-111111111111", "traceId": "0AF7651916CD43DD8448EB211C80319C"}}'),
    ('nulls',                   '{"tracingContext": {"traceId": null, "userId": null}, "contextMap": null}'),
    ('span without trace',      '{"tracingContext": {"spanId": "11111111-1111-4111-8111-111111111111", "userId": "u"}}'),
    ('escapes',                 '{"tracingContext": {"userId": "\u00e4\n\"", "requestId": "日本"}}'),
    ('empty object',            '{}'),
    ('empty',                   ''),
    ('long id',                 '{"tracingContext": {"userId": "' || repeat('ä', 200) || '"}}'),
    ('trace no uuid',           '{"tracingContext": {"traceId": "abc"}}'),
    ('nil trace',               '{"tracingContext": {"traceId": "00000000-0000-0000-0000-000000000000"}}'),
    ('span of zeros',           '{"tracingContext": {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "0af76519-16cd-43dd-0000-000000000000"}}'),
    ('misplaced hyphen',        '{"tracingContext": {"traceId": "0af765191-6cd-43dd-8448-eb211c80319c"}}'),
    ('array',                   '[]'),
    ('scalar',                  '1'),
    ('tracing no object',       '{"tracingContext": []}'),
    ('map no object',           '{"contextMap": 1}'),
    ('NUL',                     '{"tracingContext": {"userId": "\u0000"}}'),
    ('no JSON',                 '{"tracingContext": '),
    ('deep, in strings',        '{"contextMap": {"a": "' || repeat('[', 1000) || '\""}}'),
    ('too deep',                repeat('{"a":', 65) || '1' || repeat('}', 65)),
    ('far too deep',            repeat('[', 60000)),
    ('too long',                '{"contextMap": {"a": "' || repeat('x', 65536) || '"}}')
) AS t(label, value);
SET flowmaestro.request_context = '[]';

--
-- A setting like any other
--
CREATE VIEW now AS SELECT trace_id, span_id, user_id FROM flowmaestro.current_request_context();
SELECT * FROM now;
SET flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-1111111111111111-01';
SELECT * FROM now;
BEGIN;
SET LOCAL flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-2222222222222222-01';
SET LOCAL flowmaestro.request_context = '{"tracingContext": {"userId": "u"}}';
SELECT * FROM now;
SAVEPOINT s;
SET LOCAL flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-3333333333333333-01';
SET LOCAL flowmaestro.request_context = '';
SELECT * FROM now;
ROLLBACK TO s;
SELECT * FROM now;
RELEASE s;
COMMIT;
SELECT * FROM now;
BEGIN;
SET flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-4444444444444444-01';
SELECT 1 / 0;
ROLLBACK;
SELECT * FROM now;
RESET ALL;
SELECT * FROM now;
SET flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-1111111111111111-01';
SET flowmaestro.request_context = '{"tracingContext": {"userId": "u"}}';
DISCARD ALL;
SELECT * FROM now;
-- of a role, of a function, of a connection
CREATE ROLE regress_flowmaestro_context LOGIN;
ALTER ROLE regress_flowmaestro_context SET flowmaestro.request_context = '{"tracingContext": {"userId": "of the role"}}';
GRANT SELECT ON now TO regress_flowmaestro_context;
CREATE FUNCTION of_function() RETURNS text LANGUAGE sql
    SET flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-5555555555555555-01'
    AS 'SELECT span_id::text FROM now';
SELECT of_function();
SELECT * FROM now;
SELECT current_user AS me \gset
\c - regress_flowmaestro_context
SELECT * FROM now;
\c - :me
\c -reuse-previous=on "options='-c flowmaestro.traceparent=00-0af7651916cd43dd8448eb211c80319c-6666666666666666-01'"
SELECT * FROM now;
\c -reuse-previous=on "options=''"
-- in a parallel worker
CREATE FUNCTION key_in_worker(text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT flowmaestro.request_context_get($1) ->> 0';
CREATE TABLE many AS SELECT i, repeat('x', 100) AS t FROM generate_series(1, 20000) AS i;
ANALYZE many;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
BEGIN;
SELECT flowmaestro.request_context_set('k', '"v"');
CREATE FUNCTION plan_has(query text, node text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
        IF strpos(line, node) > 0 THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;
SELECT plan_has('SELECT key_in_worker(left(''k'', i)), count(*) FROM many GROUP BY 1', 'Parallel Seq Scan');
SELECT key_in_worker(left('k', i)), count(*) FROM many GROUP BY 1;
COMMIT;
RESET ALL;
DROP TABLE many;
DROP FUNCTION key_in_worker, plan_has;

--
-- A context and its ids
--
SELECT jsonb_set(c, '{tracingContext,traceId}', to_jsonb(c #>> '{tracingContext,traceId}' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7')) #- '{tracingContext,requestId}' AS context,
    length(c #>> '{tracingContext,requestId}') AS request
FROM flowmaestro.create_request_context() AS c;
SELECT flowmaestro.create_request_context('user-1', :'trace_id', 'req-1', 'ses-1', '10.0.0.1', 'curl/8', '{"plan": "pro", "ipAddress": "of the data"}');
-- 32 digits are a uuid as well; any other text is kept, and a trace made
SELECT flowmaestro.create_request_context(trace_id => upper(:'trace'), request_id => 'r') #>> '{tracingContext,traceId}';
SELECT given, c -> 'contextMap' AS map, length(c #>> '{tracingContext,traceId}') AS made
FROM unnest(ARRAY['abc', '00000000-0000-0000-0000-000000000000', '', '0af76519-16cd-43dd-8448-eb211c80319cc', 'ünïcode']) AS given,
    flowmaestro.create_request_context(trace_id => given) AS c;
SELECT flowmaestro.create_request_context(data => '[]');
-- in use, for the transaction or the session
BEGIN;
SELECT flowmaestro.use_request_context(flowmaestro.create_request_context('user-1', :'trace_id', 'req-1', 'ses-1'));
SELECT * FROM flowmaestro.current_request_context();
SHOW flowmaestro.traceparent;
COMMIT;
SELECT * FROM flowmaestro.current_request_context();
SELECT flowmaestro.serialize_request_context();
SELECT flowmaestro.use_request_context(flowmaestro.create_request_context('user-2', :'trace_id', 'req-2'), local => false);
SELECT flowmaestro.serialize_request_context();
-- all of a context gives way to all of the next one
SET flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-1111111111111111-01';
SET flowmaestro.tracestate = 'a=1';
SET flowmaestro.baggage = 'b=2';
SELECT flowmaestro.serialize_request_context();
SELECT flowmaestro.use_request_context('{"tracingContext": {"traceId": "99999999-9999-4999-8999-999999999999", "requestId": "r"}}', local => false);
SELECT flowmaestro.serialize_request_context();
SELECT flowmaestro.use_request_context(NULL, local => false);
SELECT flowmaestro.serialize_request_context();
SELECT flowmaestro.use_request_context('[]');
SELECT flowmaestro.use_request_context(jsonb_build_object('contextMap', jsonb_build_object('big', repeat('x', 70000))));
-- the original's shape in, its shape out; a full span id stays whole
BEGIN;
SELECT flowmaestro.use_request_context('{"tracingContext": {"traceId": "0af76519-16cd-43dd-8448-eb211c80319c", "spanId": "11111111-1111-4111-8111-111111111111", "parentSpanId": "2222222222222222", "userId": 7, "requestId": "r", "sessionId": "s", "traceFlags": 0, "traceState": "a=1", "baggage": "b=2", "other": 1}, "contextMap": {"k": [1, 2.50]}}');
SELECT flowmaestro.serialize_request_context();
SHOW flowmaestro.traceparent;
SELECT * FROM flowmaestro.deserialize_request_context(flowmaestro.serialize_request_context());
SELECT flowmaestro.child_request_context();
SELECT flowmaestro.child_request_context() = flowmaestro.child_request_context(flowmaestro.child_request_context()) AS of_a_child;
SELECT flowmaestro.response_headers();
COMMIT;
SELECT flowmaestro.response_headers();
-- what can't be one of ours is left out
SELECT flowmaestro.child_request_context('{"tracingContext": {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "nonsense", "requestId": {"a": 1}, "traceState": "A", "baggage": "="}, "contextMap": []}') #- '{tracingContext,requestId}';
SELECT trace_id IS NOT NULL AS trace, span_id, request_id, data FROM flowmaestro.deserialize_request_context('{"tracingContext": {"traceId": "abc", "spanId": "11111111-1111-4111-8111-111111111111", "requestId": "r"}, "contextMap": {"k": 1}}');

--
-- The key map
--
BEGIN;
SELECT flowmaestro.request_context_keys(), flowmaestro.request_context_get('k'), flowmaestro.request_context_has('k'), flowmaestro.request_context_delete('k');
SELECT flowmaestro.request_context_clear();
SELECT flowmaestro.use_request_context(flowmaestro.create_request_context('u', :'trace_id', 'r', data => '{"k": 1}'));
SELECT flowmaestro.request_context_set('k', '2'), flowmaestro.request_context_set('o', '{"a": [1]}'), flowmaestro.request_context_set('n', NULL), flowmaestro.request_context_set('', '"empty"');
SELECT flowmaestro.request_context_get('k') AS k, flowmaestro.request_context_get('o') AS o, flowmaestro.request_context_get('n') AS n, flowmaestro.request_context_get('') AS empty, flowmaestro.request_context_get('no') AS no;
SELECT flowmaestro.request_context_keys(), flowmaestro.request_context_has('n'), flowmaestro.request_context_has('no');
SAVEPOINT s;
SELECT flowmaestro.request_context_delete('k'), flowmaestro.request_context_delete('k');
SELECT flowmaestro.request_context_keys();
ROLLBACK TO s;
SELECT flowmaestro.request_context_keys();
-- a child has a map of its own
SELECT flowmaestro.child_request_context() -> 'contextMap';
SELECT flowmaestro.request_context_clear();
SELECT flowmaestro.serialize_request_context();
COMMIT;
SELECT flowmaestro.request_context_keys();
SELECT flowmaestro.request_context_set(NULL, '1');
SELECT flowmaestro.request_context_set('k', '"session"', local => false);
SELECT flowmaestro.request_context_get('k');
SELECT flowmaestro.request_context_clear(local => false);
SELECT flowmaestro.request_context_keys();
RESET ALL;

--
-- Headers in and out
--
SELECT flowmaestro.request_context_from_headers('{"X-Trace-Id": "0af76519-16cd-43dd-8448-eb211c80319c", "X-REQUEST-ID": "r", "x-session-id": "s", "Accept": "*/*"}');
SELECT label, (c -> 'tracingContext') - 'requestId' AS tracing, c -> 'contextMap' AS map FROM (VALUES
    ('w3c',             '{"TraceParent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "TraceState": "a=1", "Baggage": "k=v"}'),
    ('w3c wins',        '{"x-trace-id": "99999999-9999-4999-8999-999999999999", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'),
    ('the same',        '{"x-trace-id": "0af76519-16cd-43dd-8448-eb211c80319c", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'),
    ('a bad one',       '{"x-trace-id": "0af76519-16cd-43dd-8448-eb211c80319c", "traceparent": "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "tracestate": "a=1"}'),
    ('a bad state',     '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "A=1", "baggage": "k"}')
) AS t(label, headers), flowmaestro.request_context_from_headers(headers::jsonb) AS c;
SELECT c -> 'contextMap' AS map, c #>> '{tracingContext,traceId}' <> '' AS trace, c #>> '{tracingContext,requestId}' <> '' AS request
FROM unnest(ARRAY['{}', '{"x-trace-id": "abc", "x-request-id": ""}', '{"x-trace-id": ["a"], "traceparent": null}']::jsonb[]) AS h, flowmaestro.request_context_from_headers(h) AS c;
SELECT flowmaestro.request_context_from_headers('[]');
-- as PostgREST hands them over
BEGIN;
SELECT set_config('request.headers', '{"x-trace-id": "0af76519-16cd-43dd-8448-eb211c80319c", "x-request-id": "r"}', true);
SELECT flowmaestro.use_request_context(flowmaestro.request_context_from_headers(current_setting('request.headers')::jsonb));
SELECT flowmaestro.response_headers();
COMMIT;

--
-- Spans take the context
--
BEGIN;
SELECT flowmaestro.use_request_context(jsonb_set(flowmaestro.create_request_context('user-1', :'trace_id', 'req-1', 'ses-1'), '{tracingContext,spanId}', to_jsonb(:'span_id'::text)));
SELECT trace_id = :'trace_id' AS trace, parent_span_id = :'span_id' AS parent FROM flowmaestro.create_span('all', 'agent_run');
SELECT trace_id = :'trace_id' AS trace, parent_span_id = :'span_id' AS parent FROM flowmaestro.create_span('own attributes', 'agent_run', attributes => '{"userId": "mine", "sessionId": null, "a": 1}');
-- unless told otherwise
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('other trace', 'agent_run', trace_id => '99999999-9999-4999-8999-999999999999');
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('this trace', 'agent_run', trace_id => :'trace_id');
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('unknown parent', 'agent_run', parent_span_id => '77777777-7777-4777-8777-777777777777');
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('other', 'agent_run', trace_id => '99999999-9999-4999-8999-999999999999', span_id => '99999999-9999-4999-8999-000000000001');
SELECT trace_id, parent_span_id FROM flowmaestro.create_child_span('99999999-9999-4999-8999-000000000001', 'known parent', 'agent_run');
-- the span that the traceparent is about is not its own child
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('the parent', 'agent_run', span_id => :'span_id');
-- of a child context, the parent
SELECT flowmaestro.use_request_context(flowmaestro.child_request_context());
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('of a child context', 'agent_run');
COMMIT;
SELECT flowmaestro.flush();
SELECT name, attributes FROM flowmaestro.execution_spans ORDER BY created_at, name COLLATE "C";
TRUNCATE flowmaestro.execution_spans;
-- the same in the caller's transaction
SET flowmaestro.write_mode = transactional;
BEGIN;
SELECT flowmaestro.use_request_context(flowmaestro.create_request_context('user-1', :'trace_id', 'req-1', 'ses-1'));
SELECT trace_id, parent_span_id FROM flowmaestro.create_span('transactional', 'agent_run', attributes => '{"userId": "mine"}');
SELECT name, attributes FROM flowmaestro.execution_spans;
ROLLBACK;
RESET flowmaestro.write_mode;

--
-- A statement's own traceparent
--
CREATE FUNCTION seen() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c flowmaestro.request_context := flowmaestro.current_request_context();
BEGIN
    RETURN concat_ws(' ', c.trace_id, c.span_id, c.user_id, flowmaestro.serialize_request_context() #>> '{tracingContext,traceState}');
END
$$;
SHOW flowmaestro.read_traceparent;
SELECT seen();
SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/ SELECT seen();
SELECT seen() AS "all of sqlcommenter" /*action='%2Fparam*d',controller='it\'s',traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'*/;
-- the whole string as it came: a comment behind the semicolon, and blanks
DO $$ BEGIN RAISE NOTICE '%', seen(); END $$ /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT seen() /* a hint */ /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/ /* more */;
SELECT seen()\;SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT seen() /* not ours: traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT seen() /*traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01*/;
SELECT seen() /*traceparent='00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01',tracestate='a%3D1'*/;
SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'junk*/;
SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01%00'*/;
SELECT seen(), '/*traceparent=''00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01''*/';
-- the next statement has none
SELECT seen();
-- it comes before the settings, except those that the statement makes; the ids stay
BEGIN;
SET LOCAL flowmaestro.traceparent = '00-99999999999949998999999999999999-1111111111111111-01';
SET LOCAL flowmaestro.request_context = '{"tracingContext": {"userId": "u"}}';
SELECT seen();
SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT set_config('flowmaestro.traceparent', '00-99999999999949998999999999999999-2222222222222222-01', true), seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
COMMIT;
SET flowmaestro.read_traceparent = off;
SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SET flowmaestro.read_traceparent = application_name;
SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SET application_name = '00-0af7651916cd43dd8448eb211c80319c-3333333333333333-01';
SELECT seen();
SET flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
SELECT seen();
RESET flowmaestro.traceparent;
SET flowmaestro.read_traceparent = 'any';
SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT seen();
SET application_name = 'not one';
SELECT seen();
RESET ALL;

--
-- enter_span, leave_span
--
CREATE FUNCTION step(depth int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flowmaestro.enter_span('step ' || depth, 'node_execution');
    IF depth < 3 THEN
        PERFORM step(depth + 1);
    END IF;
    PERFORM flowmaestro.create_span('leaf ' || depth, 'http_request');
    PERFORM flowmaestro.leave_span(jsonb_build_object('depth', depth));
END
$$;
SELECT step(1);
SELECT flowmaestro.flush();
WITH RECURSIVE tree AS (
    SELECT span_id, name, status, output, 0 AS level FROM flowmaestro.execution_spans WHERE parent_span_id IS NULL
    UNION ALL
    SELECT s.span_id, s.name, s.status, s.output, level + 1 FROM flowmaestro.execution_spans AS s JOIN tree AS t ON s.parent_span_id = t.span_id)
SELECT level, name, status, output FROM tree ORDER BY level, name COLLATE "C";
SELECT count(DISTINCT trace_id) FROM flowmaestro.execution_spans;
TRUNCATE flowmaestro.execution_spans;
-- an id given, a parent given, a trace given
BEGIN;
SET LOCAL flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02';
SET LOCAL flowmaestro.tracestate = 'a=1';
SELECT * FROM flowmaestro.enter_span('a', 'agent_run', span_id => '11111111-1111-4111-8111-111111111111');
SELECT flowmaestro.traceparent();
SELECT flowmaestro.serialize_request_context();
SELECT * FROM flowmaestro.enter_span('b', 'agent_run', span_id => '22222222-2222-4222-8222-222222222222', parent_span_id => '33333333-3333-4333-8333-333333333333');
SELECT * FROM flowmaestro.enter_span('c', 'agent_run', span_id => '44444444-4444-4444-8444-444444444444', trace_id => '99999999-9999-4999-8999-999999999999');
SELECT flowmaestro.traceparent(), flowmaestro.serialize_request_context();
-- it comes before a comment
SELECT seen() /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT flowmaestro.leave_span(error => '{"message": "no"}');
SELECT seen();
SELECT flowmaestro.leave_span(status => 'cancelled', attributes => '{"x": 1}');
SELECT seen();
-- ended by its id, and left
SELECT flowmaestro.end_span('11111111-1111-4111-8111-111111111111');
SELECT flowmaestro.leave_span();
SELECT seen();
SELECT flowmaestro.leave_span();
ROLLBACK;
SELECT flowmaestro.flush();
SELECT name, status, error, attributes FROM flowmaestro.execution_spans ORDER BY name;
-- rollback brings back what was current
BEGIN;
SELECT span_id AS outer_id FROM flowmaestro.enter_span('outer', 'agent_run') \gset
SAVEPOINT s;
SELECT flowmaestro.leave_span();
SELECT span_id AS inner_id FROM flowmaestro.enter_span('inner', 'agent_run') \gset
SELECT (flowmaestro.current_request_context()).span_id = :'inner_id' AS inner;
ROLLBACK TO s;
SELECT (flowmaestro.current_request_context()).span_id = :'outer_id' AS outer;
SAVEPOINT s2;
SELECT span_id AS inner_id FROM flowmaestro.enter_span('inner', 'agent_run') \gset
RELEASE s2;
SELECT (flowmaestro.current_request_context()).span_id = :'inner_id' AS inner;
DO $$
BEGIN
    PERFORM flowmaestro.enter_span('fails', 'agent_run');
    PERFORM 1 / 0;
EXCEPTION WHEN division_by_zero THEN
    NULL;
END
$$;
SELECT (flowmaestro.current_request_context()).span_id = :'inner_id' AS inner;
COMMIT;
SELECT seen();
SELECT flowmaestro.leave_span();
-- what is not left ends with what it was entered in
SELECT flowmaestro.flush();
TRUNCATE flowmaestro.execution_spans;
BEGIN;
SELECT FROM flowmaestro.enter_span('of the transaction', 'agent_run');
SAVEPOINT s;
SELECT FROM flowmaestro.enter_span('of a savepoint', 'agent_run');
SAVEPOINT s2;
SELECT FROM flowmaestro.enter_span('of an inner savepoint', 'agent_run');
RELEASE s2;
ROLLBACK TO s;
SAVEPOINT s3;
SELECT FROM flowmaestro.enter_span('of a released savepoint', 'agent_run');
RELEASE s3;
SAVEPOINT s4;
SELECT 1 / 0;
ROLLBACK TO s4;
SELECT FROM flowmaestro.enter_span('ended by its id', 'agent_run') \;SELECT flowmaestro.end_span((flowmaestro.current_request_context()).span_id, error => '"mine"');
COMMIT;
BEGIN;
SELECT FROM flowmaestro.enter_span('of a failed transaction', 'agent_run');
SELECT FROM flowmaestro.enter_span('left', 'agent_run');
SELECT flowmaestro.leave_span();
SELECT FROM flowmaestro.create_span('created', 'agent_run');
SELECT 1 / 0;
COMMIT;
DO $$
BEGIN
    PERFORM flowmaestro.enter_span('of a block', 'agent_run');
    PERFORM 1 / 0;
EXCEPTION WHEN division_by_zero THEN
    PERFORM flowmaestro.enter_span('of its handler', 'agent_run');
END
$$;
-- in the caller's transaction, the row goes with the rollback
SET flowmaestro.write_mode = transactional;
BEGIN;
SELECT FROM flowmaestro.enter_span('transactional, committed', 'agent_run');
SAVEPOINT s;
SELECT FROM flowmaestro.enter_span('transactional, rolled back', 'agent_run');
ROLLBACK TO s;
COMMIT;
BEGIN;
SELECT FROM flowmaestro.enter_span('transactional, rolled back', 'agent_run');
ROLLBACK;
RESET flowmaestro.write_mode;
SELECT flowmaestro.flush();
SELECT name, status, error FROM flowmaestro.execution_spans ORDER BY created_at;
SELECT count(*) FROM flowmaestro.active_spans WHERE name LIKE 'of %';
-- a thousand deep, and beyond
DO $$
BEGIN
    FOR i IN 1..1003 LOOP
        PERFORM flowmaestro.enter_span('deep', 'node_execution');
    END LOOP;
    FOR i IN 1..1000 LOOP
        PERFORM flowmaestro.leave_span();
    END LOOP;
    PERFORM flowmaestro.leave_span();
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RAISE NOTICE '%', SQLERRM;
END
$$;
SET flowmaestro.entered_spans = 'x';
SET ROLE regress_flowmaestro_context;
SET flowmaestro.entered_spans = '';
RESET ROLE;

--
-- traceparent on the way out
--
SELECT flowmaestro.traceparent();
SELECT flowmaestro.traceparent('99999999-9999-4999-8999-00000000abcd') AS unknown;
SELECT span_id, trace_id FROM flowmaestro.create_span('out', 'agent_run') \gset out_
SELECT flowmaestro.traceparent(:'out_span_id') = '00-' || replace(:'out_trace_id', '-', '') || '-' || right(replace(:'out_span_id', '-', ''), 16) || '-01' AS in_memory;
SELECT flowmaestro.end_span(:'out_span_id'), flowmaestro.flush();
SELECT flowmaestro.traceparent(:'out_span_id') = '00-' || replace(:'out_trace_id', '-', '') || '-' || right(replace(:'out_span_id', '-', ''), 16) || '-01' AS in_the_table;
SELECT flowmaestro.traceparent(span_id) AS foreign_id FROM flowmaestro.create_span('v4', 'agent_run', trace_id => :'trace_id', span_id => '55555555-5555-4555-8555-5555555555ab');
-- there and back
SELECT flowmaestro.traceparent(:'out_span_id') AS sent \gset
BEGIN;
SELECT set_config('flowmaestro.traceparent', :'sent', true) = :'sent' AS set;
SELECT trace_id = :'out_trace_id' AS trace, parent_span_id = :'out_span_id' AS parent FROM flowmaestro.create_span('came back', 'agent_run');
COMMIT;

--
-- Who may
--
SET ROLE regress_flowmaestro_context;
BEGIN;
SELECT flowmaestro.use_request_context(flowmaestro.create_request_context('anybody', :'trace_id', 'r'));
SELECT flowmaestro.request_context_set('k', '1'), flowmaestro.request_context_get('k'), flowmaestro.response_headers();
SELECT flowmaestro.enter_span('not', 'agent_run');
ROLLBACK;
SELECT flowmaestro.traceparent();
SELECT flowmaestro.leave_span();
RESET ROLE;
SELECT flowmaestro.grant_writer('regress_flowmaestro_context');
SET ROLE regress_flowmaestro_context;
BEGIN;
SELECT trace_id IS NOT NULL AS entered FROM flowmaestro.enter_span('writer', 'agent_run');
SELECT length(flowmaestro.traceparent()), flowmaestro.leave_span();
COMMIT;
RESET ROLE;
DROP VIEW now CASCADE;
DROP FUNCTION seen, step, try_set, check_set;
DROP OWNED BY regress_flowmaestro_context;
DROP ROLE regress_flowmaestro_context;
DROP EXTENSION flowmaestro_spans;
