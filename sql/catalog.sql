SET client_min_messages = warning;
DROP EXTENSION IF EXISTS flowmaestro_spans;
DROP SCHEMA IF EXISTS flowmaestro;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;

CREATE VIEW members AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS member
FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'flowmaestro_spans'
  -- the row type of a table is a member of its own since PostgreSQL 17
  AND NOT EXISTS (SELECT FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid
                  WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND c.relkind <> 'c');

--
-- All that the extension consists of
--
SELECT member FROM members WHERE member NOT LIKE '%flowmaestro.\_%' AND member NOT LIKE 'type%[]' ORDER BY member COLLATE "C";
SELECT extversion, extrelocatable, n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE extname = 'flowmaestro_spans';
SELECT superuser, trusted, relocatable, schema, requires FROM pg_available_extension_versions WHERE name = 'flowmaestro_spans' ORDER BY version;
-- the rows that a dump takes along
SELECT unnest(extconfig)::regclass AS config FROM pg_extension WHERE extname = 'flowmaestro_spans' ORDER BY 1;

--
-- Functions
--
SELECT p.oid::regprocedure AS function, l.lanname AS language, p.provolatile AS volatile, p.proparallel AS parallel,
       p.proisstrict AS strict, p.proleakproof AS leakproof, p.prosecdef AS secdef, p.prokind AS kind, p.proconfig AS config
FROM members AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN pg_language AS l ON l.oid = p.prolang
ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT p.oid::regprocedure AS function, pg_get_function_result(p.oid) AS result
FROM members AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT p.proname, pg_get_function_arguments(p.oid) AS arguments
FROM members AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
WHERE p.proargmodes IS NULL
ORDER BY p.oid::regprocedure::text COLLATE "C";
-- neither C nor with a fixed path
SELECT p.oid::regprocedure AS unsafe
FROM members AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN pg_language AS l ON l.oid = p.prolang
WHERE l.lanname <> 'c' AND p.prokind <> 'a' AND p.proconfig IS DISTINCT FROM '{"search_path=pg_catalog, pg_temp"}'
ORDER BY 1;
-- open to PUBLIC, or to anybody but the owner
SELECT p.oid::regprocedure AS open, a.grantee::regrole
FROM members AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid,
     aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
WHERE a.grantee <> p.proowner
ORDER BY 1;
-- security definer
SELECT p.oid::regprocedure AS definer
FROM members AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid WHERE p.prosecdef ORDER BY 1;
-- C functions come from this library only
SELECT DISTINCT p.probin FROM members AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid WHERE p.probin IS NOT NULL;

--
-- Tables, views and the type
--
SELECT c.oid::regclass AS relation, c.relkind AS kind, c.relpersistence AS persistence, c.relrowsecurity AS rls, c.reloptions
FROM members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
ORDER BY c.oid::regclass::text COLLATE "C";
SELECT c.oid::regclass AS open, a.grantee, a.privilege_type
FROM members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid,
     aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
WHERE a.grantee <> c.relowner
ORDER BY 1, 2, 3;
SELECT nspname, a.grantee, a.privilege_type
FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
WHERE nspname = 'flowmaestro' AND a.grantee <> n.nspowner;
SELECT c.oid::regclass AS relation, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       pg_get_expr(d.adbin, d.adrelid) AS default
FROM members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
ORDER BY c.oid::regclass::text COLLATE "C", a.attnum;
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_type AS t JOIN pg_attribute AS a ON a.attrelid = t.typrelid
WHERE t.oid = 'flowmaestro.span_context'::regtype ORDER BY a.attnum;
SELECT pg_get_partkeydef('flowmaestro.execution_spans'::regclass);
SELECT tgname FROM pg_trigger AS t JOIN members AS m ON m.classid = 'pg_class'::regclass AND m.objid = t.tgrelid WHERE NOT t.tgisinternal ORDER BY 1;
-- the extension makes no partition
SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'flowmaestro.execution_spans'::regclass;

--
-- What has no comment
--
SELECT m.member FROM members AS m
WHERE m.member NOT LIKE 'type%[]' AND obj_description(m.objid, (SELECT relname FROM pg_class WHERE oid = m.classid)) IS NULL
  AND NOT (m.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid WHERE t.oid = m.objid AND c.relkind <> 'c'))
  AND m.member <> 'schema flowmaestro'
ORDER BY 1;
SELECT c.oid::regclass AS relation, a.attname
FROM members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE col_description(c.oid, a.attnum) IS NULL
ORDER BY c.oid::regclass::text COLLATE "C", a.attnum;

--
-- It goes without a trace, with what it made at run time, and comes back
--
SELECT flowmaestro.create_span('n', 'agent_run', span_id => '88888888-8888-4888-8888-000000000001', trace_id => '88888888-8888-4888-8888-000000000002');
SELECT flowmaestro.flush();
SELECT count(*) FROM flowmaestro.execution_spans;
DROP VIEW members;
DROP EXTENSION flowmaestro_spans;
SELECT count(*) FROM pg_class WHERE relname LIKE 'execution_spans%';
SELECT count(*) FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE nspname = 'flowmaestro';
CREATE EXTENSION flowmaestro_spans;
SELECT count(*) FROM flowmaestro.execution_spans;
-- a span of the first life is unknown now
SELECT flowmaestro.end_span('88888888-8888-4888-8888-000000000001');
SELECT flowmaestro.flush();
SELECT name, trace_id = span_id AS stub, status FROM flowmaestro.execution_spans;
-- its schema cannot be another one
DROP EXTENSION flowmaestro_spans;
\set VERBOSITY terse
CREATE EXTENSION flowmaestro_spans SCHEMA public;
\set VERBOSITY default
DROP SCHEMA IF EXISTS flowmaestro;
