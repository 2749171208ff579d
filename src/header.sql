/* Concatenated by make from the rooms under src/; do not edit the result. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION flowmaestro_spans" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;

-- whoever owns the schema could put look-alike functions into it
DO $$
DECLARE
    owner regrole;
BEGIN
    SELECT n.nspowner INTO owner
    FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner
    WHERE n.nspname = 'flowmaestro' AND NOT r.rolsuper;
    IF FOUND THEN
        RAISE EXCEPTION 'schema flowmaestro belongs to %, who is not a superuser', owner
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'ALTER SCHEMA flowmaestro OWNER TO CURRENT_USER first.';
    END IF;
END
$$;
