SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

-- what a statement says: 'ok', or SQLSTATE, message, detail and hint
CREATE FUNCTION say(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                            detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', state, message, nullif(detail, ''), nullif(hint, ''));
END
$$;
-- the same for a function and each of the values of one argument; the other
-- arguments are good ones
CREATE FUNCTION try(call text, type text, arguments text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    a text;
BEGIN
    FOREACH a IN ARRAY arguments LOOP
        RETURN NEXT rpad(a, 50) || ' ' || say(format('SELECT flowmaestro.' || call, a || '::' || type));
    END LOOP;
END
$$;

--
-- Texts: name and type must be there and not empty, entity and key need not;
-- 100 MB of text are cut, not refused
--
SELECT try('create_span(%s, ''t'')', 'text', ARRAY['NULL', '''''', ''' ''', 'repeat(''x'', 100000000)', 'E''a\nb''', '''"; DROP TABLE x; --''']);
SELECT try('create_span(''n'', %s)', 'text', ARRAY['NULL', '''''', ''' ''', 'repeat(''x'', 3000000)']);
SELECT try('create_span(''n'', ''t'', %s)', 'text', ARRAY['NULL', '''''', 'repeat(''x'', 100000000)']);
SELECT try('create_child_span(''33333333-3333-4333-8333-333333333333'', %s, ''t'')', 'text', ARRAY['NULL', '''''', 'repeat(''x'', 3000000)']);
SELECT try('create_child_span(''33333333-3333-4333-8333-333333333333'', ''n'', %s)', 'text', ARRAY['NULL', '''''', 'repeat(''x'', 3000000)']);
SELECT try('create_child_span(''33333333-3333-4333-8333-333333333333'', ''n'', ''t'', %s)', 'text', ARRAY['NULL', '''''', 'repeat(''x'', 3000000)']);
SELECT try('add_span_event(''33333333-3333-4333-8333-333333333333'', %s)', 'text', ARRAY['NULL', '''''', 'repeat(''x'', 100000000)']);
SELECT try('end_span_with_error(gen_random_uuid(), %s)', 'text', ARRAY['NULL', '''''', 'repeat(''x'', 100000000)']);
SELECT try('cancel_trace(gen_random_uuid(), %s)', 'text', ARRAY['NULL', '''''', 'repeat(''x'', 3000000)']);
SELECT try('deterministic_span_id(''33333333-3333-4333-8333-333333333333'', %s)', 'text', ARRAY['NULL', '''''', 'repeat(''x'', 100000000)']);
-- the status of an end
SELECT try('end_span(gen_random_uuid(), status => %s)', 'text',
           ARRAY['NULL', '''completed''', '''failed''', '''cancelled''', '''started''', '''''', '''Completed''', '''error''',
                 '''skipped''', 'repeat(''x'', 100000000)', 'repeat(''ä'', 100)']);

--
-- Ids
--
SELECT try('create_span(''n'', ''t'', trace_id => %s)', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('create_span(''n'', ''t'', parent_span_id => %s)', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('create_span(''n'', ''t'', span_id => %s)', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('create_child_span(%s, ''n'', ''t'')', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('create_child_span(''33333333-3333-4333-8333-333333333333'', ''n'', ''t'', span_id => %s)', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('end_span(%s)', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''', 'gen_random_uuid()', '''not a uuid''']);
SELECT try('end_span_with_error(%s, ''e''::text)', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('end_span_with_error(%s, ''"e"''::jsonb)', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('set_span_attributes(%s, ''{}'')', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('add_span_event(%s, ''e'')', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('cancel_trace(%s)', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);
SELECT try('deterministic_span_id(%s, ''k'')', 'uuid', ARRAY['NULL', '''00000000-0000-0000-0000-000000000000''']);

--
-- Attributes: an object, JSON null, or nothing
--
CREATE TABLE calls (n int, call text);
INSERT INTO calls VALUES
    (1, 'create_span(''n'', ''t'', attributes => %s)'),
    (2, 'create_child_span(''33333333-3333-4333-8333-333333333333'', ''n'', ''t'', attributes => %s)'),
    (3, 'end_span(gen_random_uuid(), attributes => %s)'),
    (4, 'end_span_with_error(gen_random_uuid(), ''e''::text, %s)'),
    (5, 'end_span_with_error(gen_random_uuid(), ''"e"''::jsonb, %s)'),
    (6, 'set_span_attributes(''33333333-3333-4333-8333-333333333333'', %s)'),
    (7, 'add_span_event(''33333333-3333-4333-8333-333333333333'', ''e'', %s)');
SELECT n || ' ' || t FROM calls, try(call, 'jsonb', ARRAY['NULL', '''null''', '''{}''', '''[]''', '''[{}]''', '''1''', '''"x"''', '''true''',
    '''{"a": [1, {"b": null}]}''', 'to_jsonb(repeat(''x'', 3000000))', 'jsonb_build_object(''a'', repeat(''x'', 3000000), ''b'', 1)']) WITH ORDINALITY AS v(t, i)
ORDER BY n, i;

--
-- Input, output and error: any JSON
--
TRUNCATE calls;
INSERT INTO calls VALUES
    (1, 'create_span(''n'', ''t'', input => %s)'),
    (2, 'create_child_span(''33333333-3333-4333-8333-333333333333'', ''n'', ''t'', input => %s)'),
    (3, 'end_span(gen_random_uuid(), %s)'),
    (4, 'end_span(gen_random_uuid(), error => %s)'),
    (5, 'end_span_with_error(gen_random_uuid(), %s)');
SELECT n || ' ' || t FROM calls, try(call, 'jsonb', ARRAY['NULL', '''null''', '''{}''', '''[]''', '''1''', '''"x"''', '''true''',
    'to_jsonb(repeat(''x'', 3000000))', 'jsonb_build_object(''message'', repeat(''x'', 3000000))',
    'jsonb_build_array(repeat(''x'', 3000000), repeat(''y'', 3000000))', '''1e400''',
    '''' || repeat('[', 1000) || repeat(']', 1000) || '''']) WITH ORDINALITY AS v(t, i)
ORDER BY n, i;
-- 100 MB of each
SELECT v.t FROM unnest(ARRAY['create_span(''n'', ''t'', attributes => jsonb_build_object(''a'', %s))', 'create_span(''n'', ''t'', input => to_jsonb(%s))',
    'end_span(gen_random_uuid(), jsonb_build_array(%s, 1))', 'end_span_with_error(gen_random_uuid(), to_jsonb(%s))',
    'end_span_with_error(gen_random_uuid(), jsonb_build_object(''message'', %s))',
    'set_span_attributes(''33333333-3333-4333-8333-333333333333'', jsonb_build_object(''a'', %s))']) WITH ORDINALITY AS c(call, i),
    try(c.call, 'text', ARRAY['repeat(''x'', 100000000)']) AS v(t) ORDER BY c.i;
-- nesting: written, or refused because of the stack's depth; no other way
SELECT d, bool_and(left(say(format('SELECT flowmaestro.' || call, quote_literal(repeat(b, d) || m || repeat(e, d)) || '::jsonb')), 5)
                   IN ('ok', '54001')) AS as_told
FROM calls, (VALUES (10), (5000), (100000)) AS v(d), (VALUES ('[', '', ']'), ('{"a":', '1', '}')) AS w(b, m, e)
GROUP BY d ORDER BY d;
SELECT d, bool_and(left(say(format('SELECT flowmaestro.create_span(''n'', ''t'', attributes => %s)',
                                   quote_literal(repeat('{"a":', d) || '1' || repeat('}', d)) || '::jsonb')), 5) IN ('ok', '54001')) AS as_told
FROM (VALUES (10), (5000), (100000)) AS v(d) GROUP BY d ORDER BY d;
DROP TABLE calls;

--
-- Times: what nanoseconds since 1970 can tell
--
SELECT try('create_span(''n'', ''t'', started_at => %s)', 'timestamptz', ARRAY['NULL', '''infinity''', '''-infinity''',
    '''1969-12-31 23:59:59.999999+00''', '''1970-01-01 00:00:00+00''', '''2262-04-11 23:47:16.854775+00''', '''2262-04-11 23:47:16.854776+00''',
    '''294276-12-31 23:59:59.999999+00''', '''4714-11-24 00:00:00+00 BC''']);
SELECT try('create_child_span(''33333333-3333-4333-8333-333333333333'', ''n'', ''t'', started_at => %s)', 'timestamptz', ARRAY['NULL', '''infinity''', '''-infinity''', '''1969-12-31 00:00:00+00''']);
SELECT try('end_span(gen_random_uuid(), ended_at => %s)', 'timestamptz', ARRAY['NULL', '''infinity''', '''-infinity''', '''1969-12-31 00:00:00+00''', '''1970-01-01 00:00:00+00''']);
SELECT try('end_span_with_error(gen_random_uuid(), ''e''::text, ended_at => %s)', 'timestamptz', ARRAY['NULL', '''infinity''', '''-infinity''', '''1969-12-31 00:00:00+00''']);
SELECT try('end_span_with_error(gen_random_uuid(), ''"e"''::jsonb, ended_at => %s)', 'timestamptz', ARRAY['NULL', '''infinity''', '''-infinity''', '''1969-12-31 00:00:00+00''']);
SELECT try('add_span_event(''33333333-3333-4333-8333-333333333333'', ''e'', at => %s)', 'timestamptz', ARRAY['NULL', '''infinity''', '''-infinity''', '''1969-12-31 00:00:00+00''']);
SELECT try('make_partition(%s)', 'timestamptz', ARRAY['NULL', '''infinity''', '''-infinity''']);
SELECT try('import_partition(%s, ''day'')', 'timestamptz', ARRAY['NULL', '''infinity''', '''-infinity''']);
SELECT try('import_partition(''2001-01-01'', %s)', 'text', ARRAY['NULL', '''''', '''days''']);

--
-- What is not for calling, or called in the wrong way
--
SELECT say('SELECT * FROM flowmaestro.pending_rows()');
SELECT say('SELECT flowmaestro.create_span(''only a name'')') LIKE '42883 |%';
SELECT say('SELECT flowmaestro.end_span_with_error(''33333333-3333-4333-8333-333333333333'', NULL)');
SELECT say('SELECT flowmaestro.import_spans(''flowmaestro.execution_spans'')');
SELECT say('SELECT flowmaestro.import_spans(NULL)'), say('SELECT flowmaestro.grant_writer(NULL)'), say('SELECT flowmaestro.grant_reader(NULL)');

--
-- Text in SQL is text, whatever it says
--
SELECT span_id FROM flowmaestro.create_span('"; DROP TABLE x; --', $q$'; SELECT 1/0; --$q$, E'\\' || chr(39) || chr(1) || '$$', '{"\"'';--": "''\\"}',
                                            '"$1 %s %1$s \\u00e4"') \gset
SELECT flowmaestro.end_span_with_error(:'span_id', $q$'"; %n\$q$);
SELECT flowmaestro.flush();
SELECT name, span_type, entity_id = E'\\' || chr(39) || chr(1) || '$$' AS entity, attributes, input, error FROM flowmaestro.execution_spans WHERE span_id = :'span_id';

--
-- Truncation: names to 1024 bytes, at a character
--
SELECT span_id FROM flowmaestro.create_span(repeat('n', 2000), repeat('t', 1024), repeat('e', 1025)) \gset
SELECT flowmaestro.add_span_event(:'span_id', repeat('v', 3000));
SELECT flowmaestro.flush();
SELECT name = repeat('n', 1024) AS name, span_type = repeat('t', 1024) AS type, entity_id = repeat('e', 1024) AS entity,
       events->0->>'name' = repeat('v', 1024) AS event
FROM flowmaestro.execution_spans WHERE span_id = :'span_id';
-- a character of two bytes over the limit goes as a whole (here 1023 and 1024)
SELECT span_id FROM flowmaestro.create_span('n' || repeat(U&'\00e4', 600), repeat(U&'\00e4', 600)) \gset
SELECT flowmaestro.flush();
SELECT octet_length(name), name = 'n' || repeat(U&'\00e4', 511) AS name, octet_length(span_type), span_type = repeat(U&'\00e4', 512) AS type
FROM flowmaestro.execution_spans WHERE span_id = :'span_id';

--
-- Truncation: payloads above max_payload, small members are kept
--
SET flowmaestro.max_payload = '4kB';
SELECT truncated AS truncated_before FROM flowmaestro.stats \gset
SELECT span_id FROM flowmaestro.create_span('big', 'model_generation',
    attributes => jsonb_build_object('promptTokens', 100, 'model', 'gpt-4o', 'ok', true, 'none', NULL, 'prompt', repeat('p', 5000),
                                     'list', (SELECT jsonb_agg(i) FROM generate_series(1, 500) AS i), repeat('k', 300), 1),
    input => to_jsonb(repeat('i', 5000))) \gset
SELECT truncated - :truncated_before AS truncated FROM flowmaestro.stats;
SELECT flowmaestro.end_span(:'span_id', (SELECT jsonb_agg(repeat('o', 100)) FROM generate_series(1, 100)),
                            error => jsonb_build_object('message', 'short', 'type', 'T', 'stack', repeat('s', 5000)));
SELECT truncated - :truncated_before AS truncated FROM flowmaestro.stats;
SELECT flowmaestro.flush();
SELECT jsonb_object_agg(key, value) FROM flowmaestro.execution_spans, jsonb_each(attributes)
WHERE span_id = :'span_id' AND key NOT IN ('flowmaestro.truncated');
SELECT (attributes->'flowmaestro.truncated')::int > 5000 AS attributes, (input->'flowmaestro.truncated')::int > 5000 AS input,
       (output->'flowmaestro.truncated')::int > 10000 AS output, (error->'flowmaestro.truncated')::int > 5000 AS error,
       input->>'preview' = repeat('i', 200) AS preview
FROM flowmaestro.execution_spans WHERE span_id = :'span_id';
SELECT input - 'flowmaestro.truncated' - 'preview', output - 'flowmaestro.truncated', error - 'flowmaestro.truncated', status
FROM flowmaestro.execution_spans WHERE span_id = :'span_id';
-- the error's message is cut, the type stays
SELECT span_id FROM flowmaestro.create_span('big error', 'agent_run') \gset
SELECT flowmaestro.end_span_with_error(:'span_id', repeat('m', 10000));
SELECT flowmaestro.flush();
SELECT error->>'type', length(error->>'message') BETWEEN 200 AND 4096 AS message, error ? 'flowmaestro.truncated' AS mark
FROM flowmaestro.execution_spans WHERE span_id = :'span_id';
-- an event's attributes
SELECT span_id FROM flowmaestro.create_span('big event', 'agent_run') \gset
SELECT flowmaestro.add_span_event(:'span_id', 'e', jsonb_build_object('small', 1, 'big', repeat('b', 5000)));
SELECT flowmaestro.flush();
SELECT events->0->'attributes'->'small', events->0->'attributes' ? 'flowmaestro.truncated' AS mark, left(events->0->'attributes'->>'big', 2)
FROM flowmaestro.execution_spans WHERE span_id = :'span_id';
-- what just fits is left alone, one byte more is not
SELECT span_id FROM flowmaestro.create_span('fits', 'agent_run', input => to_jsonb(repeat('i', 4096 - 12))) \gset
SELECT flowmaestro.flush();
SELECT pg_column_size(to_jsonb(repeat('i', 4096 - 12))), jsonb_typeof(input), length(input #>> '{}') FROM flowmaestro.execution_spans WHERE span_id = :'span_id';
SELECT span_id FROM flowmaestro.create_span('does not fit', 'agent_run', input => to_jsonb(repeat('i', 4096 - 11))) \gset
SELECT flowmaestro.flush();
SELECT input->'flowmaestro.truncated' FROM flowmaestro.execution_spans WHERE span_id = :'span_id';
-- attributes that are truncated again and again stay an object
SELECT span_id FROM flowmaestro.create_span('grows', 'agent_run', attributes => '{"first": 1}') \gset
SELECT flowmaestro.set_span_attributes(:'span_id', jsonb_build_object('a', repeat('a', 5000)));
SELECT flowmaestro.set_span_attributes(:'span_id', jsonb_build_object('b', repeat('b', 6000)));
SELECT flowmaestro.flush();
SELECT jsonb_object_keys(attributes) FROM flowmaestro.execution_spans WHERE span_id = :'span_id' ORDER BY 1;

-- nothing of all this was set aside or lost
SELECT name, sqlstate, message FROM flowmaestro.rejected_spans ORDER BY name;
SELECT pending, last_error FROM flowmaestro.stats;

DROP FUNCTION try;
DROP FUNCTION say;
DROP EXTENSION flowmaestro_spans;
