-- Tables for the suite, and what runs it.

CREATE TABLE suite_document (kind text, path text, content text);
CREATE TABLE suite_known (name text PRIMARY KEY, reason text);
CREATE TABLE suite_result (
    n serial PRIMARY KEY,
    draft text,
    part text,              -- required, format, optional
    name text,
    outcome text            -- passed, failed, unrepresentable
);

-- The tests of a file, U+0000 (which neither jsonb nor text can hold) replaced
-- by a word that tells where it was.
CREATE FUNCTION suite_tests(content text)
RETURNS TABLE (name text, schema jsonb, instance jsonb, valid boolean, whole boolean)
LANGUAGE sql AS $$
    SELECT format('%s: %s', g->>'description', t->>'description'), g->'schema', t->'data', (t->>'valid')::boolean,
           concat(g->'schema', t->'data') NOT LIKE '%SUITE_NUL%'
    FROM jsonb_array_elements(regexp_replace(content, '(?<!\\)((\\\\)*)\\u0000', '\1SUITE_NUL', 'g')::jsonb)
             WITH ORDINALITY AS groups (g, gn),
         LATERAL jsonb_array_elements(g->'tests') WITH ORDINALITY AS tests (t, tn)
    ORDER BY gn, tn
$$;

-- The outcome of one test, and why if it did not pass.
CREATE FUNCTION suite_outcome(schema jsonb, instance jsonb, draft text, formats boolean, valid boolean)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    yes boolean;
    errors jsonb;
    own jsonb;
BEGIN
    yes := flowmaestro.jsonschema_registry_is_valid(schema, instance, draft, formats);
    errors := flowmaestro.jsonschema_registry_validate(schema, instance, draft, formats)->'errors';
    own := flowmaestro.jsonschema_registry_check(schema, draft);
    RETURN CASE WHEN yes <> valid THEN format('failed: says %s', yes)
                WHEN (errors = '[]') <> yes THEN format('failed: reports %s', errors)
                WHEN own->'valid' <> 'true' THEN format('failed: refuses the schema: %s', own->'errors')
                ELSE 'passed' END;
EXCEPTION WHEN OTHERS THEN
    RETURN format('failed: %s', SQLERRM);
END
$$;
