SET client_min_messages = warning;
DROP EXTENSION IF EXISTS flowmaestro_spans;
\set SHOW_CONTEXT never
-- what lies in wait before the extension is there: a schema that is first in
-- the path and has everything that a careless script would look up
DROP ROLE IF EXISTS regress_flowmaestro_writer, regress_flowmaestro_reader, regress_flowmaestro_nobody;
CREATE SCHEMA hostile;
CREATE TABLE hostile.trap (what text);
CREATE FUNCTION hostile.spring(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hostile.trap VALUES (what);
    RAISE EXCEPTION 'trapped: %', what;
END $$;
CREATE FUNCTION hostile.text_eq(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('text ='); RETURN true; END $$;
CREATE FUNCTION hostile.text_ne(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('text <>'); RETURN true; END $$;
CREATE FUNCTION hostile.uuid_eq(uuid, uuid) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('uuid ='); RETURN true; END $$;
CREATE FUNCTION hostile.uuid_ge(uuid, uuid) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('uuid >='); RETURN true; END $$;
CREATE FUNCTION hostile.time_ge(timestamptz, timestamptz) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('timestamptz >='); RETURN true; END $$;
CREATE FUNCTION hostile.time_minus(timestamptz, timestamptz) RETURNS interval LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('timestamptz -'); RETURN NULL; END $$;
CREATE FUNCTION hostile.jsonb_eq(jsonb, jsonb) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('jsonb ='); RETURN true; END $$;
CREATE FUNCTION hostile.jsonb_ne(jsonb, jsonb) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('jsonb <>'); RETURN true; END $$;
CREATE FUNCTION hostile.jsonb_cat(jsonb, jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('jsonb ||'); RETURN NULL; END $$;
CREATE FUNCTION hostile.jsonb_get(jsonb, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('jsonb ->>'); RETURN NULL; END $$;
CREATE FUNCTION hostile.text_cat(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('text ||'); RETURN NULL; END $$;
CREATE FUNCTION hostile.oid_eq(oid, oid) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('oid ='); RETURN true; END $$;
CREATE FUNCTION hostile.name_eq(name, name) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('name ='); RETURN true; END $$;
CREATE FUNCTION hostile.name_text_eq(name, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('name = text'); RETURN true; END $$;
CREATE FUNCTION hostile.char_eq("char", "char") RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('char ='); RETURN true; END $$;
CREATE FUNCTION hostile.int8_eq(int8, int8) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('int8 ='); RETURN true; END $$;
CREATE FUNCTION hostile.float8_mul(float8, int4) RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('float8 *'); RETURN 0; END $$;
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.text_eq);
CREATE OPERATOR hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.text_ne);
CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.uuid_eq);
CREATE OPERATOR hostile.>= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.uuid_ge);
CREATE OPERATOR hostile.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.time_ge);
CREATE OPERATOR hostile.- (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.time_minus);
CREATE OPERATOR hostile.= (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = hostile.jsonb_eq);
CREATE OPERATOR hostile.<> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = hostile.jsonb_ne);
CREATE OPERATOR hostile.|| (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = hostile.jsonb_cat);
CREATE OPERATOR hostile.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = hostile.jsonb_get);
CREATE OPERATOR hostile.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.text_cat);
CREATE OPERATOR hostile.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = hostile.oid_eq);
CREATE OPERATOR hostile.= (LEFTARG = name, RIGHTARG = name, FUNCTION = hostile.name_eq);
CREATE OPERATOR hostile.= (LEFTARG = name, RIGHTARG = text, FUNCTION = hostile.name_text_eq);
CREATE OPERATOR hostile.= (LEFTARG = "char", RIGHTARG = "char", FUNCTION = hostile.char_eq);
CREATE OPERATOR hostile.= (LEFTARG = int8, RIGHTARG = int8, FUNCTION = hostile.int8_eq);
CREATE OPERATOR hostile.* (LEFTARG = float8, RIGHTARG = int4, FUNCTION = hostile.float8_mul);
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('now'); RETURN NULL; END $$;
CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('clock_timestamp'); RETURN NULL; END $$;
CREATE FUNCTION hostile.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
CREATE FUNCTION hostile.format(text, regrole) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('format'); RETURN ''; END $$;
CREATE FUNCTION hostile.format(text, regclass) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('format'); RETURN ''; END $$;
CREATE FUNCTION hostile.uuid_send(uuid) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('uuid_send'); RETURN NULL; END $$;
CREATE FUNCTION hostile.substr(bytea, int, int) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('substr'); RETURN NULL; END $$;
CREATE FUNCTION hostile.pg_extension_config_dump(regclass, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('config_dump'); END $$;
CREATE FUNCTION hostile.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('current_setting'); RETURN NULL; END $$;
CREATE FUNCTION hostile.generate_series(int, int) RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('generate_series'); END $$;
CREATE FUNCTION hostile.date_trunc(text, timestamptz, text) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.spring('date_trunc'); RETURN NULL; END $$;
CREATE DOMAIN hostile.uuid AS pg_catalog.text;
CREATE DOMAIN hostile.jsonb AS pg_catalog.text;
CREATE DOMAIN hostile.text AS pg_catalog.int4;
CREATE DOMAIN hostile.timestamptz AS pg_catalog.text;
CREATE TABLE hostile.pg_extension (oid oid, extname name);
CREATE TABLE hostile.pg_depend (objid oid);
CREATE TABLE hostile.execution_spans (span_id uuid);
CREATE TABLE hostile.rejected_spans (span_id uuid);
CREATE TABLE hostile.writer_progress (life_id int8);
SET search_path = hostile, pg_catalog;
-- the trap works
SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;

--
-- Recording with that path: nothing of it is looked at
--
SELECT trace_id, span_id FROM flowmaestro.create_span('"; DROP TABLE x; --', 'agent_run', 'e', '{"userId": "u"}', '1') \gset
SELECT span_id AS child FROM flowmaestro.create_child_span(:'span_id', 'child', 'agent_run') \gset
SELECT flowmaestro.set_span_attributes(:'span_id', '{"a": 1}');
SELECT flowmaestro.add_span_event(:'span_id', 'e');
SELECT flowmaestro.end_span(:'span_id');
SELECT flowmaestro.flush();
SELECT flowmaestro.end_span(:'span_id');
SELECT flowmaestro.cancel_trace(:'trace_id');
SELECT flowmaestro.create_span('own id', 'agent_run', span_id => '77777777-7777-4777-8777-000000000001', trace_id => '77777777-7777-4777-8777-000000000002');
SELECT flowmaestro.flush();
SELECT flowmaestro.create_span('own id', 'agent_run', attributes => '{"b": 1}', span_id => '77777777-7777-4777-8777-000000000001');
SET flowmaestro.write_mode = transactional;
SELECT flowmaestro.create_span('own id 2', 'agent_run', span_id => '77777777-7777-4777-8777-000000000003', trace_id => '77777777-7777-4777-8777-000000000002');
SELECT flowmaestro.set_span_attributes('77777777-7777-4777-8777-000000000003', '{"a": 1}');
SELECT flowmaestro.end_span('77777777-7777-4777-8777-000000000003');
SELECT flowmaestro.end_span('77777777-7777-4777-8777-000000000004');
SELECT flowmaestro.retry_rejected_spans();
RESET flowmaestro.write_mode;
SELECT flowmaestro.make_partition('2001-01-01 00:00:00+00');
SET flowmaestro.retention = '1d';
SELECT flowmaestro.apply_retention();
RESET flowmaestro.retention;
SELECT flowmaestro.flush();
SELECT count(*) FROM flowmaestro.active_spans;
SELECT pending FROM flowmaestro.stats;
SELECT count(*) FROM flowmaestro.active_traces;
SELECT count(*) FROM flowmaestro.get_trace_tree(:'trace_id');
SELECT pg_catalog.jsonb_array_length(flowmaestro.get_trace(:'trace_id') OPERATOR(pg_catalog.->) 'spans');
SELECT flowmaestro.get_span(:'child') IS NULL AS missing;
SELECT count(*) FROM flowmaestro.span_ancestors(:'child');
SELECT count(*) FROM flowmaestro.span_descendants(:'span_id');
SELECT count(*) OPERATOR(pg_catalog.>) 0 AS found FROM flowmaestro.critical_path(:'trace_id');
SELECT spans FROM flowmaestro.trace_summary(:'trace_id');
SELECT count(*) FROM flowmaestro.trace_diff(:'trace_id', :'trace_id');
SELECT count(*) FROM flowmaestro.trace_tree_text(:'trace_id');
SELECT flowmaestro.trace_html(:'trace_id') IS NULL AS missing;
SELECT count(*) FROM flowmaestro.query_spans(span_type => 'agent_run', entity_id => 'e', user_id => 'u', status => 'completed', started_from => '-infinity', started_until => 'infinity',
    attributes => '{"a": 1}', name_pattern => '%', min_duration_ms => 0, trace_id => :'trace_id');
SELECT count(*) FROM flowmaestro.query_spans(span_types => '{agent_run,x}', error_text => 'e');
SELECT flowmaestro.query_spans_page(trace_id => :'trace_id') OPERATOR(pg_catalog.->) 'total';
SELECT count(*) OPERATOR(pg_catalog.>) 0 AS found FROM flowmaestro.list_traces();
SELECT flowmaestro.load_model_prices('[{"provider": "openai", "model": "gpt-4o", "valid_from": "2001-01-01", "input": 1}]');
SELECT flowmaestro.create_span('call', 'model_generation', 'e', '{"userId": "u", "provider": "openai", "model": "gpt-4o", "promptTokens": "10"}', span_id => '77777777-7777-4777-8777-000000000005', parent_span_id => '77777777-7777-4777-8777-000000000006',
    trace_id => '77777777-7777-4777-8777-000000000002', started_at => '2001-01-02 00:00:00+00');
SELECT flowmaestro.flush();
SET flowmaestro.write_mode = transactional;
SELECT flowmaestro.end_span('77777777-7777-4777-8777-000000000005', ended_at => '2001-01-02 00:00:01+00');
RESET flowmaestro.write_mode;
SELECT total_tokens, cost FROM flowmaestro.token_usage('{entity,user,session,day}', '-infinity', '2001-01-02 00:30:00+00', '{"user": "u"}');
SELECT flowmaestro.rebuild_token_usage('[2001-01-01,2001-02-01)');
SELECT flowmaestro.reprice('[2001-01-01,2001-02-01)') IS NULL AS missing;
SELECT count(*) FROM flowmaestro.check_token_usage('[2001-01-01,2001-02-01)');
SELECT total_tokens FROM flowmaestro.get_token_usage('e');
SELECT total_tokens FROM flowmaestro.trace_token_usage('77777777-7777-4777-8777-000000000002');
SELECT flowmaestro.set_budget('entity:e', 1);
SELECT spent FROM flowmaestro.check_budget('entity:e');
CREATE TABLE hostile.source AS SELECT * FROM flowmaestro.execution_spans;
SELECT flowmaestro.import_spans('hostile.source');
RESET search_path;
SELECT name, status, attributes FROM flowmaestro.execution_spans ORDER BY name, span_id;
SELECT * FROM hostile.trap;
SELECT count(*) FROM hostile.execution_spans;
SELECT count(*) FROM flowmaestro.rejected_spans;

--
-- Three roles
--
CREATE ROLE regress_flowmaestro_writer;
CREATE ROLE regress_flowmaestro_reader;
CREATE ROLE regress_flowmaestro_nobody;
SET search_path = hostile, pg_catalog;
SELECT flowmaestro.grant_writer('regress_flowmaestro_writer');
SELECT flowmaestro.grant_reader('regress_flowmaestro_reader');
RESET search_path;
SELECT * FROM hostile.trap;

-- what a statement says to a role: 'ok', or the SQLSTATE
CREATE FUNCTION say(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text := 'ok';
BEGIN
    PERFORM set_config('role', role, true);
    BEGIN
        EXECUTE statement;
        -- nothing stays
        RAISE EXCEPTION USING ERRCODE = 'P0999';
    EXCEPTION WHEN SQLSTATE 'P0999' THEN
        said := 'ok';
    WHEN OTHERS THEN
        said := SQLSTATE;
    END;
    PERFORM set_config('role', 'none', true);
    RETURN said;
END
$$;
CREATE TABLE attempts (n serial, what text);
INSERT INTO attempts (what) VALUES
    ('SELECT flowmaestro.create_span(''n'', ''t'', span_id => ''77777777-7777-4777-8777-000000000010'')'),
    ('SELECT flowmaestro.create_child_span(''77777777-7777-4777-8777-000000000010'', ''n'', ''t'', span_id => ''77777777-7777-4777-8777-000000000011'')'),
    ('SELECT flowmaestro.set_span_attributes(''77777777-7777-4777-8777-000000000010'', ''{}'')'),
    ('SELECT flowmaestro.add_span_event(''77777777-7777-4777-8777-000000000010'', ''e'')'),
    ('SELECT flowmaestro.end_span(''77777777-7777-4777-8777-000000000010'')'),
    ('SELECT flowmaestro.end_span_with_error(''77777777-7777-4777-8777-000000000010'', ''e''::text)'),
    ('SELECT flowmaestro.end_span_with_error(''77777777-7777-4777-8777-000000000010'', ''"e"''::jsonb)'),
    ('SELECT flowmaestro.cancel_trace(''77777777-7777-4777-8777-000000000012'')'),
    ('SELECT flowmaestro.deterministic_span_id(''77777777-7777-4777-8777-000000000012'', ''k'')'),
    ('SELECT flowmaestro.flush()'),
    ('SELECT * FROM flowmaestro.execution_spans'),
    ('SELECT * FROM flowmaestro.active_spans'),
    ('SELECT * FROM flowmaestro.stats'),
    ('SELECT * FROM flowmaestro.rejected_spans'),
    ('SELECT * FROM flowmaestro.writer_progress'),
    ('SELECT * FROM flowmaestro.tracked_spans()'),
    ('SELECT * FROM flowmaestro.buffer_stats()'),
    ('SELECT * FROM flowmaestro.pending_rows()'),
    ('SELECT * FROM flowmaestro.active_traces'),
    ('SELECT flowmaestro.get_trace(''77777777-7777-4777-8777-000000000012'')'),
    ('SELECT flowmaestro.get_span(''77777777-7777-4777-8777-000000000010'')'),
    ('SELECT * FROM flowmaestro.get_trace_tree(''77777777-7777-4777-8777-000000000012'')'),
    ('SELECT * FROM flowmaestro.span_ancestors(''77777777-7777-4777-8777-000000000010'')'),
    ('SELECT * FROM flowmaestro.span_descendants(''77777777-7777-4777-8777-000000000010'')'),
    ('SELECT * FROM flowmaestro.critical_path(''77777777-7777-4777-8777-000000000012'')'),
    ('SELECT * FROM flowmaestro.trace_summary(''77777777-7777-4777-8777-000000000012'')'),
    ('SELECT * FROM flowmaestro.trace_diff(''77777777-7777-4777-8777-000000000012'', ''77777777-7777-4777-8777-000000000012'')'),
    ('SELECT * FROM flowmaestro.trace_tree_text(''77777777-7777-4777-8777-000000000012'')'),
    ('SELECT flowmaestro.trace_html(''77777777-7777-4777-8777-000000000012'')'),
    ('SELECT * FROM flowmaestro.query_spans()'),
    ('SELECT flowmaestro.query_spans_page()'),
    ('SELECT * FROM flowmaestro.list_traces()'),
    ('SELECT * FROM flowmaestro.token_usage(''{agent,day}'')'),
    ('SELECT * FROM flowmaestro.get_token_usage(''e'')'),
    ('SELECT * FROM flowmaestro.trace_token_usage(''77777777-7777-4777-8777-000000000012'')'),
    ('SELECT flowmaestro.token_usage_agg(attributes) FROM flowmaestro.execution_spans'),
    ('SELECT * FROM flowmaestro.check_token_usage()'),
    ('SELECT * FROM flowmaestro.check_budget(''entity:e'', 0.1)'),
    ('SELECT flowmaestro.release_budget(''x'')'),
    ('SELECT flowmaestro.set_budget(''entity:e'', 1000)'),
    ('SELECT flowmaestro.load_model_prices(''[]'')'),
    ('SELECT flowmaestro.reprice()'),
    ('SELECT flowmaestro.rebuild_token_usage()'),
    ('SELECT flowmaestro.lock_token_usage()'),
    ('SELECT * FROM flowmaestro.pending_usage()'),
    ('SELECT * FROM flowmaestro.pending_sums()'),
    ('SELECT FROM flowmaestro.span_usage, flowmaestro.token_usage_hourly, flowmaestro.token_usage_daily, flowmaestro.model_prices, flowmaestro.repricings, flowmaestro.budgets, flowmaestro.budget_reservations'),
    ('DELETE FROM flowmaestro.span_usage'),
    ('DELETE FROM flowmaestro.token_usage_hourly'),
    ('DELETE FROM flowmaestro.token_usage_daily'),
    ('UPDATE flowmaestro.model_prices SET input_price = 0'),
    ('DELETE FROM flowmaestro.repricings'),
    ('UPDATE flowmaestro.budgets SET amount = 1000'),
    ('DELETE FROM flowmaestro.budget_reservations'),
    ('CREATE TRIGGER t BEFORE INSERT ON flowmaestro.span_usage FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()'),
    ('SELECT flowmaestro.make_partition(''2001-01-01'')'),
    ('SELECT flowmaestro.apply_retention()'),
    ('CALL flowmaestro.drop_partitions()'),
    ('SELECT flowmaestro.import_partition(''2001-01-01'', ''day'')'),
    ('SELECT flowmaestro.retry_rejected_spans()'),
    ('SELECT flowmaestro.import_spans(''hostile.source'')'),
    ('SELECT flowmaestro.grant_writer(''regress_flowmaestro_nobody'')'),
    ('SELECT flowmaestro.grant_reader(''regress_flowmaestro_nobody'')'),
    ('INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, started_at, status) VALUES (gen_random_uuid(), gen_random_uuid(), ''n'', ''t'', now(), ''started'')'),
    ('UPDATE flowmaestro.execution_spans SET name = name'),
    ('DELETE FROM flowmaestro.execution_spans'),
    ('TRUNCATE flowmaestro.execution_spans'),
    ('INSERT INTO flowmaestro.rejected_spans (sqlstate, message, span_id, name, span_type, status) VALUES (''x'', ''x'', gen_random_uuid(), ''x'', ''x'', ''x'')'),
    ('DELETE FROM flowmaestro.rejected_spans'),
    ('DELETE FROM flowmaestro.writer_progress'),
    ('SELECT * FROM flowmaestro.%s'),
    ('DELETE FROM flowmaestro.%s'),
    ('DROP TABLE flowmaestro.%s'),
    ('LOCK TABLE flowmaestro.execution_spans IN ACCESS EXCLUSIVE MODE'),
    ('CREATE TABLE flowmaestro.mine (i int)'),
    ('CREATE FUNCTION flowmaestro.now() RETURNS timestamptz LANGUAGE sql RETURN NULL'),
    ('CREATE TRIGGER t BEFORE INSERT ON flowmaestro.execution_spans FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()'),
    ('CREATE TRIGGER t BEFORE INSERT ON flowmaestro.%s FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()'),
    ('CREATE TRIGGER t BEFORE INSERT ON flowmaestro.rejected_spans FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()'),
    ('CREATE TRIGGER t BEFORE INSERT ON flowmaestro.writer_progress FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()'),
    ('CREATE RULE r AS ON INSERT TO flowmaestro.execution_spans DO INSTEAD NOTHING'),
    ('CREATE RULE r AS ON INSERT TO flowmaestro.%s DO INSTEAD NOTHING'),
    ('CREATE POLICY p ON flowmaestro.execution_spans USING (false)'),
    ('CREATE POLICY p ON flowmaestro.%s USING (false)'),
    ('ALTER TABLE flowmaestro.execution_spans ENABLE ROW LEVEL SECURITY'),
    ('ALTER TABLE flowmaestro.execution_spans ADD COLUMN c int'),
    ('ALTER TABLE flowmaestro.execution_spans OWNER TO regress_flowmaestro_nobody'),
    ('ALTER TABLE flowmaestro.%s ALTER name SET DEFAULT ''x'''),
    ('ALTER TABLE flowmaestro.%s ADD CHECK (name <> '''')'),
    ('CREATE INDEX i ON flowmaestro.%s (lower(name))'),
    ('CREATE STATISTICS flowmaestro.s ON name, status FROM flowmaestro.execution_spans'),
    ('CREATE OR REPLACE VIEW flowmaestro.stats AS SELECT 1'),
    ('ALTER FUNCTION flowmaestro.flush() OWNER TO regress_flowmaestro_nobody'),
    ('COMMENT ON TABLE flowmaestro.execution_spans IS ''mine'''),
    ('DROP EXTENSION flowmaestro_spans'),
    ('ALTER EXTENSION flowmaestro_spans ADD TABLE hostile.trap');
SELECT flowmaestro.make_partition('2001-01-01 00:00:00+00') AS oid \gset
SELECT relname AS partition FROM pg_class WHERE oid = :'oid'::regclass \gset
SELECT a.n, say('regress_flowmaestro_writer', replace(what, '%s', :'partition')) AS writer,
       say('regress_flowmaestro_reader', replace(what, '%s', :'partition')) AS reader,
       say('regress_flowmaestro_nobody', replace(what, '%s', :'partition')) AS nobody,
       left(what, 100) AS what
FROM attempts AS a ORDER BY n;

--
-- A writer's functions work, in both modes, although it cannot touch the table;
-- a span that another role created can be ended
--
SELECT flowmaestro.flush();
DELETE FROM flowmaestro.execution_spans;
SELECT span_id FROM flowmaestro.create_span('of the owner', 'agent_run', trace_id => '77777777-7777-4777-8777-000000000020') \gset owner_
SET ROLE regress_flowmaestro_writer;
SELECT span_id FROM flowmaestro.create_span('"; DROP TABLE flowmaestro.execution_spans; --', $$'); DELETE FROM flowmaestro.execution_spans; --$$,
                                            trace_id => '77777777-7777-4777-8777-000000000020') \gset
SELECT flowmaestro.set_span_attributes(:'span_id', '{"''; DROP ROLE x; --": 1}');
SELECT flowmaestro.end_span(:'owner_span_id');
SELECT flowmaestro.flush();
SELECT flowmaestro.end_span(:'span_id');
SELECT flowmaestro.end_span(:'span_id');
SET flowmaestro.write_mode = transactional;
SELECT span_id FROM flowmaestro.create_span('by the writer, transactional', 'agent_run', started_at => '2002-02-02 00:00:00+00',
                                            trace_id => '77777777-7777-4777-8777-000000000020') \gset
SELECT flowmaestro.end_span(:'span_id', ended_at => '2002-02-02 00:00:01+00');
SELECT flowmaestro.end_span('77777777-7777-4777-8777-000000000021');
SELECT span_id FROM flowmaestro.create_child_span(:'span_id', 'child', 'agent_run') \gset
SELECT flowmaestro.cancel_trace('77777777-7777-4777-8777-000000000020', 'stop');
-- a poison row too
SELECT span_id IS NOT NULL AS recorded FROM flowmaestro.create_span('poison', 'agent_run', attributes =>
    jsonb_build_object('userId', (SELECT string_agg(md5(i::text), '' ORDER BY i) FROM generate_series(1, 188) AS i)));
RESET flowmaestro.write_mode;
SELECT flowmaestro.flush();
SELECT current_user, session_user = current_user AS super;
SELECT count(*) FROM flowmaestro.execution_spans;
RESET ROLE;
SELECT name, span_type, status, attributes FROM flowmaestro.execution_spans ORDER BY name COLLATE "C";
SELECT name, sqlstate FROM flowmaestro.rejected_spans;
-- partitions belong to the table's owner, not to who caused them
SELECT count(*) FROM pg_class WHERE relname LIKE 'execution_spans_p%' AND pg_get_userbyid(relowner) LIKE 'regress%';
-- a reader reads all of it
SET ROLE regress_flowmaestro_reader;
SELECT count(*) FROM flowmaestro.execution_spans;
SELECT count(*) FROM flowmaestro.rejected_spans;
SELECT recorded = flushed + pending AS balanced FROM flowmaestro.stats;
SELECT name FROM flowmaestro.active_spans ORDER BY name;
RESET ROLE;

-- schemas: everybody may check with what is at hand, readers and writers with
-- the registry too, and nobody but the owner may change that
SELECT r.role, say(r.role, 'SELECT flowmaestro.jsonschema_is_valid(''true'', ''1'')') AS pure,
       say(r.role, 'SELECT flowmaestro.jsonschema_validation_errors(''true'', ''1'')') AS peer,
       say(r.role, 'SELECT flowmaestro.jsonschema_registry_is_valid(''true'', ''1'')') AS registry,
       say(r.role, 'SELECT * FROM flowmaestro.json_schemas') AS look,
       say(r.role, 'INSERT INTO flowmaestro.json_schemas VALUES (''a'', ''true'')') AS change,
       say(r.role, 'CREATE TRIGGER t AFTER INSERT ON flowmaestro.json_schemas EXECUTE FUNCTION flowmaestro.json_schemas_changed()') AS trap
FROM unnest('{regress_flowmaestro_writer, regress_flowmaestro_reader, regress_flowmaestro_nobody}'::text[]) AS r (role);
-- the function is no way around the table's own rights
GRANT EXECUTE ON FUNCTION flowmaestro.jsonschema_registry_is_valid(jsonb, jsonb, text, bool) TO regress_flowmaestro_nobody;
SELECT say('regress_flowmaestro_nobody', 'SELECT flowmaestro.jsonschema_registry_is_valid(''{"$ref": "x:y"}'', ''1'')');

-- a role whose name needs quotes
CREATE ROLE "regress_flowmaestro ""; DROP TABLE";
SELECT flowmaestro.grant_writer('"regress_flowmaestro ""; DROP TABLE"'), flowmaestro.grant_reader('"regress_flowmaestro ""; DROP TABLE"');
SELECT say('regress_flowmaestro "; DROP TABLE', 'SELECT flowmaestro.flush()');
SELECT flowmaestro.grant_writer('regress_flowmaestro_missing');

DROP EXTENSION flowmaestro_spans;
-- the schema is not the extension's, and keeps what was granted on it
DROP SCHEMA flowmaestro;
DROP FUNCTION say;
DROP TABLE attempts;
DROP SCHEMA hostile CASCADE;
DROP ROLE "regress_flowmaestro ""; DROP TABLE";
DROP ROLE regress_flowmaestro_writer, regress_flowmaestro_reader, regress_flowmaestro_nobody;
