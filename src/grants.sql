-- Who may do what. Nothing is open to PUBLIC that writes or reads spans; the
-- two functions hand out what an application or a reader needs, no more.

CREATE FUNCTION @extschema@.grant_writer(role pg_catalog.regrole)
RETURNS pg_catalog.void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA flowmaestro TO %s', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION
        flowmaestro.create_span(text, text, text, jsonb, jsonb, uuid, uuid, uuid, timestamptz),
        flowmaestro.create_child_span(uuid, text, text, text, jsonb, jsonb, uuid, timestamptz),
        flowmaestro.end_span(uuid, jsonb, jsonb, jsonb, text, timestamptz),
        flowmaestro.end_span_with_error(uuid, text, jsonb, timestamptz),
        flowmaestro.end_span_with_error(uuid, jsonb, jsonb, timestamptz),
        flowmaestro.set_span_attributes(uuid, jsonb),
        flowmaestro.add_span_event(uuid, text, jsonb, timestamptz),
        flowmaestro.cancel_trace(uuid, text),
        flowmaestro.deterministic_span_id(uuid, text),
        flowmaestro.flush()
        TO %s', role);
END
$$;
COMMENT ON FUNCTION @extschema@.grant_writer(pg_catalog.regrole) IS
    'let a role record spans of its own and end any span; it can read none';

CREATE FUNCTION @extschema@.grant_reader(role pg_catalog.regrole)
RETURNS pg_catalog.void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA flowmaestro TO %s', role);
    EXECUTE format('GRANT SELECT ON flowmaestro.execution_spans, flowmaestro.active_spans, flowmaestro.active_traces,
        flowmaestro.stats, flowmaestro.rejected_spans TO %s', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION flowmaestro.tracked_spans(), flowmaestro.buffer_stats(),
        flowmaestro.flush(), flowmaestro.deterministic_span_id(uuid, text),
        flowmaestro.get_trace(uuid), flowmaestro.get_span(uuid), flowmaestro.get_trace_tree(uuid),
        flowmaestro.span_ancestors(uuid), flowmaestro.span_descendants(uuid), flowmaestro.critical_path(uuid),
        flowmaestro.trace_summary(uuid), flowmaestro.trace_diff(uuid, uuid),
        flowmaestro.trace_tree_text(uuid, int, bool), flowmaestro.trace_html(uuid),
        flowmaestro.query_spans(text, text, text, text, timestamptz, timestamptz, jsonb, text, float8, text,
            uuid, text[], int, text, int8),
        flowmaestro.query_spans_page(text, text, text, text, timestamptz, timestamptz, jsonb, text, float8, text,
            uuid, text[], int, int),
        flowmaestro.list_traces(text, text, text, text, timestamptz, timestamptz, jsonb, text, float8, text,
            int, text, int8)
        TO %s', role);
END
$$;
COMMENT ON FUNCTION @extschema@.grant_reader(pg_catalog.regrole) IS
    'let a role read all spans, the running ones and the counters';

-- functions are open to PUBLIC when made: close every one of this extension
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN
        SELECT d.objid FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_proc'::regclass
          AND d.deptype = 'e' AND e.extname = 'flowmaestro_spans'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END
$$;
