SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
-- whatever the server's is
SET flowmaestro.log_format = off;

--
-- Redaction: whole names without regard to case and punctuation, at any depth
--
SELECT flowmaestro.redact(jsonb_object_agg(key, 1)) FROM unnest('{password,token,accesstoken,access_token,refreshtoken,refresh_token,
    apikey,api_key,secret,clientsecret,client_secret,authorization,cookie,sessionid,session_id,creditcard,credit_card,ssn,socialsecurity,
    privatekey,private_key,encryptionkey,encryption_key,key,auth,bearer,jwt,credential,refresh}'::text[]) AS key;
SELECT flowmaestro.redact('{"Password": 1, "API-Key": 2, "api.key": 3, "  Access Token ": 4, "__secret__": 5, "ÀuthÖ": 6, "密码token": 7, "AUTHORIZATION": 8}');
-- numbers of tokens are no tokens, and parts of names are no names
SELECT flowmaestro.redact('{"promptTokens": 1, "totalTokens": 2, "tokens": 3, "token_count": 4, "gen_ai.usage.input_tokens": 5, "gen_ai.token.type": 6,
    "passwords": 7, "keys": 8, "author": 9, "tokenizer": 10, "": 11, "密码": 12, "k": 13, "messaging.kafka.message.key": 14}');
SELECT flowmaestro.redact('{"a": [1, {"b": {"token": {"deep": [1, 2]}, "c": [[{"jwt": null}]]}}, "token"], "cookie": ["x"], "d": true}');
SELECT flowmaestro.redact(v) FROM unnest('{"\"token\"", "[\"token\"]", null, 1, "{}", "[]", "[{\"secret\": {}}]"}'::jsonb[]) AS v;
-- the values are nowhere
SELECT flowmaestro.redact('{"a": {"Secret": "hush"}, "b": [{"jwt": ["hush", {"c": "hush"}]}]}')::text LIKE '%hush%' AS told;
-- what is deep is found; below 200 levels nothing is shown of a value that holds a listed key
CREATE FUNCTION nested(n int, inner_value text) RETURNS jsonb LANGUAGE sql AS $$ SELECT (repeat('{"a":', n) || inner_value || repeat('}', n))::jsonb $$;
SELECT flowmaestro.redact(nested(150, '{"token": "hush"}')) #> array_fill('a'::text, ARRAY[150]) AS at_150;
SELECT flowmaestro.redact(nested(250, '{"token": "hush"}')) #> array_fill('a'::text, ARRAY[200]) AS at_200;
SELECT flowmaestro.redact((repeat('[', 250) || '{"token": "hush"}' || repeat(']', 250))::jsonb)::text = repeat('[', 200) || '"[REDACTED]"' || repeat(']', 200) AS arrays;
SELECT flowmaestro.redact(nested(1000, '"hush"')) = nested(1000, '"hush"') AS without_listed_key;

-- any value, against the same in SQL
CREATE FUNCTION any_value(depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    names text[] := '{token,Token,to_ken,tokens,promptTokens,api-key,apikeys,K e y,x,"",secret.,auth,author,密码,jwt\u0001}';
    kind float8 := random();
    n int := floor(random() * 5);
BEGIN
    IF depth = 0 OR kind < 0.2 THEN
        RETURN (ARRAY['1', 'null', '"token"', 'true', '"x"', '{}', '[]', '1.50']::jsonb[])[1 + floor(random() * 8)];
    ELSIF kind < 0.5 THEN
        RETURN (SELECT coalesce(jsonb_agg(any_value(depth - 1)), '[]') FROM generate_series(1, n));
    END IF;
    RETURN (SELECT coalesce(jsonb_object_agg(names[1 + floor(random() * 15)], any_value(depth - 1)), '{}') FROM generate_series(1, n));
END
$$;
CREATE FUNCTION redact_in_sql(v jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_typeof(v) = 'array' THEN
        RETURN (SELECT coalesce(jsonb_agg(redact_in_sql(e) ORDER BY n), '[]') FROM jsonb_array_elements(v) WITH ORDINALITY AS a (e, n));
    ELSIF jsonb_typeof(v) = 'object' THEN
        RETURN (SELECT coalesce(jsonb_object_agg(key, CASE WHEN regexp_replace(lower(key), '[^a-z0-9]', '', 'g') IN
                        (SELECT replace(l, '_', '') FROM regexp_split_to_table(current_setting('flowmaestro.redact_keys'), ', *') AS l)
                    THEN '"[REDACTED]"' ELSE redact_in_sql(value) END), '{}') FROM jsonb_each(v));
    END IF;
    RETURN v;
END
$$;
SELECT setseed(0.5) \g /dev/null
CREATE TEMP TABLE any_values AS SELECT any_value(6) AS v FROM generate_series(1, 300);
SELECT count(*) AS wrong FROM any_values WHERE flowmaestro.redact(v) <> redact_in_sql(v) OR flowmaestro.redact(flowmaestro.redact(v)) <> flowmaestro.redact(v);
SELECT count(*) FILTER (WHERE flowmaestro.redact(v) <> v) > 50 AS many_redacted, count(*) FILTER (WHERE flowmaestro.redact(v) = v) > 50 AS many_not FROM any_values;
DROP FUNCTION any_value(int), redact_in_sql(jsonb);

--
-- The list is a setting
--
SET flowmaestro.redact_keys = 'iban, X-Internal-Id,http.request.header.authorization';
SELECT flowmaestro.redact('{"IBAN": 1, "xInternalId": 2, "http.request.header.authorization": 3, "token": 4}');
SET flowmaestro.redact_keys = iban, "Bic";
SELECT flowmaestro.redact('{"iban": 1, "bic": 2, "token": 3}');
SET flowmaestro.redact_keys = '';
SELECT flowmaestro.redact('{"iban": 1, "token": 3}');
SET flowmaestro.redact_keys = 'iban, *';
SET flowmaestro.redact_keys = 'iban,,bic';
SELECT set_config('flowmaestro.redact_keys', repeat('x', 65), false);
SELECT set_config('flowmaestro.redact_keys', repeat('x', 64), false) IS NOT NULL AS ok, flowmaestro.redact(jsonb_build_object(repeat('X', 64), 1, repeat('X', 65), 2)) ->> repeat('X', 64) AS longest;
RESET flowmaestro.redact_keys;

--
-- Spans: the parts that flowmaestro.redact_spans lists, before they leave the session
--
CREATE FUNCTION record() RETURNS TABLE (input jsonb, output jsonb, attributes jsonb, error jsonb, events jsonb) LANGUAGE plpgsql AS $$
DECLARE
    c flowmaestro.span_context := flowmaestro.create_span('n', 'agent_run', attributes => '{"token": "hush", "totalTokens": 5}', input => '[{"apiKey": "hush"}]');
BEGIN
    PERFORM flowmaestro.set_span_attributes(c.span_id, '{"more": {"bearer": "hush"}}');
    PERFORM flowmaestro.add_span_event(c.span_id, 'e', '{"ssn": "hush"}');
    PERFORM flowmaestro.end_span(c.span_id, output => '{"cookie": "hush"}', error => '{"message": "m", "type": "t", "config": {"headers": {"Authorization": "hush"}}}');
    PERFORM flowmaestro.flush();
    RETURN QUERY SELECT s.input, s.output, s.attributes, s.error, jsonb_path_query_array(s.events, '$[*].attributes') FROM flowmaestro.execution_spans AS s WHERE s.span_id = c.span_id;
END
$$;
\x
SET flowmaestro.write_mode = transactional;
SELECT * FROM record();
SET flowmaestro.redact_spans = 'input, output,attributes,error';
SELECT * FROM record();
SET flowmaestro.redact_spans = Output, error;
SELECT * FROM record();
-- what comes by OTLP, with its events and links
SET flowmaestro.redact_spans = attributes;
SELECT * FROM flowmaestro.ingest_otlp_json('{"resourceSpans": [{"resource": {"attributes": [{"key": "apiKey", "value": {"stringValue": "hush"}}]}, "scopeSpans": [{
    "scope": {"name": "s", "attributes": [{"key": "bearer", "value": {"stringValue": "hush"}}]}, "spans": [{
    "traceId": "0123456789abcdef0123456789abcdef", "spanId": "0123456789abcdef", "name": "n", "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225601000000000",
    "attributes": [{"key": "token", "value": {"stringValue": "hush"}}, {"key": "config", "value": {"kvlistValue": {"values": [{"key": "Authorization", "value": {"stringValue": "hush"}}]}}}],
    "events": [{"name": "e", "timeUnixNano": "1767225600500000000", "attributes": [{"key": "ssn", "value": {"stringValue": "hush"}}]}],
    "links": [{"traceId": "0123456789abcdef0123456789abcdef", "spanId": "0123456789abcde0", "attributes": [{"key": "cookie", "value": {"stringValue": "hush"}}]}]}]}]}]}');
SELECT s.attributes, s.events, s.links FROM flowmaestro.execution_spans AS s WHERE s.trace_id = '01234567-89ab-cdef-0123-456789abcdef';
SELECT count(*) AS rows, count(*) FILTER (WHERE text LIKE '%hush%') AS tell FROM (SELECT r::text FROM flowmaestro.otlp_resources AS r UNION ALL SELECT r::text FROM flowmaestro.otlp_scopes AS r UNION ALL
    SELECT s::text FROM flowmaestro.execution_spans AS s WHERE s.trace_id = '01234567-89ab-cdef-0123-456789abcdef') AS r (text);
\x
SET flowmaestro.redact_spans = 'input, events';
SET flowmaestro.redact_spans = ',';
SHOW flowmaestro.redact_spans;
RESET flowmaestro.redact_spans;
RESET flowmaestro.write_mode;

--
-- log(): to the server's log, and to the client as far as it wants to see that
--
SET client_min_messages = log;
SELECT flowmaestro.log('info', 'Agent execution started', '{"agentId": "agent-456", "model": "gpt-4o"}');
SELECT flowmaestro.log('WARN', 'no fields'), flowmaestro.log(60, 'fatal for the application alone'), flowmaestro.log(35, 'in between', NULL);
SELECT flowmaestro.log('error', NULL, 'null');
SELECT flowmaestro.log(level => 50, message => '100 %s', fields => '{"err": {"message": "m", "token": "hush"}}');
-- a field with the name of a member that the server writes is kept apart
SELECT flowmaestro.log('info', 'fields', '{"level": 60, "time": 1, "msg": "forged", "traceId": "t", "userId": "u", "pid": 1}');
-- below the level nothing is written
SELECT flowmaestro.log('debug', 'unseen');
SET flowmaestro.log_level = trace;
SELECT flowmaestro.log('trace', 'seen'), flowmaestro.log(10, 'seen');
SET flowmaestro.log_level = fatal;
SELECT flowmaestro.log('error', 'unseen'), flowmaestro.log(59, 'unseen'), flowmaestro.log('fatal', 'seen');
RESET flowmaestro.log_level;
-- the formats give the client the same
SET flowmaestro.log_format = correlate;
SET flowmaestro.traceparent = '00-550e8400e29b41d4a716446655440000-b7ad6b7169203331-01';
SELECT flowmaestro.log('info', 'correlate');
DO $$ BEGIN RAISE WARNING 'as it was'; RAISE LOG 'as it was'; RAISE NOTICE 'as it was'; RAISE EXCEPTION 'as it was' USING DETAIL = 'detail', HINT = 'hint'; END $$;
SELECT 1 / 0;
SET flowmaestro.log_format = json;
SELECT flowmaestro.log('info', 'json', '{"agentId": "agent-456"}');
DO $$ BEGIN RAISE WARNING 'as it was'; RAISE LOG 'as it was'; RAISE NOTICE 'as it was'; RAISE EXCEPTION 'as it was' USING DETAIL = 'detail', HINT = 'hint'; END $$;
SET flowmaestro.log_format = off;
RESET flowmaestro.traceparent;
RESET client_min_messages;
-- bad arguments
SELECT flowmaestro.log(NULL::text, 'm');
SELECT flowmaestro.log(NULL::int, 'm');
SELECT flowmaestro.log('loud', 'm');
SELECT flowmaestro.log('', 'm');
SELECT flowmaestro.log(9, 'm');
SELECT flowmaestro.log(61, 'm');
SELECT flowmaestro.log('info', 'm', '[1]');
SELECT flowmaestro.log('debug', 'm', '"unseen, but wrong"');

--
-- format_error(): whatever is caught, as the error of a span or of a line
--
SELECT flowmaestro.format_error('boom'), flowmaestro.format_error('boom', '22012'), flowmaestro.format_error('boom', type => 'TypeError', stack => 'at f'),
       flowmaestro.format_error(NULL::text);
SELECT flowmaestro.format_error(e) FROM unnest('{"\"boom\"", "{}", "null", "{\"message\": \"m\", \"type\": \"t\", \"code\": 5}", "{\"name\": \"TypeError\", \"message\": \"m\"}", "[1]", null}'::jsonb[]) AS e;
DO $$
DECLARE
    stack text;
BEGIN
    PERFORM 1 / 0;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS stack = PG_EXCEPTION_CONTEXT;
    RAISE NOTICE '%', jsonb_pretty(flowmaestro.format_error(SQLERRM, SQLSTATE, stack));
END
$$;

-- who may set what
CREATE ROLE fms_log_user;
SET ROLE fms_log_user;
SET flowmaestro.log_format = json;
SET flowmaestro.redact_keys = '';
SET flowmaestro.redact_spans = '';
SET flowmaestro.log_level = trace;
SELECT flowmaestro.log('info', 'm');
RESET ROLE;
SELECT flowmaestro.grant_writer('fms_log_user');
SET ROLE fms_log_user;
SELECT flowmaestro.log('info', 'm'), flowmaestro.redact('{"token": 1}'), flowmaestro.format_error('m');
RESET ROLE;
DROP OWNED BY fms_log_user;
DROP ROLE fms_log_user;
RESET flowmaestro.log_level;
DROP FUNCTION record(), nested(int, text);
DROP EXTENSION flowmaestro_spans;
