-- Who may do what. Open to PUBLIC are the functions that check JSON against a
-- schema and see nothing but their arguments: a table's CHECK calls them as
-- whoever writes to it; and those of the request context, which see nothing but
-- settings of their own session: policies of tables ask them. Nothing is open
-- that writes or reads data of others; two functions hand out what an application
-- or a reader needs, no more.

CREATE FUNCTION @extschema@.grant_writer(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA flowmaestro TO %s', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION
        flowmaestro.create_span(text, text, text, jsonb, jsonb, uuid, uuid, uuid, timestamptz),
        flowmaestro.create_child_span(uuid, text, text, text, jsonb, jsonb, uuid, timestamptz),
        flowmaestro.end_span(uuid, jsonb, jsonb, jsonb, text, timestamptz),
        flowmaestro.enter_span(text, text, text, jsonb, jsonb, uuid, uuid, uuid, timestamptz),
        flowmaestro.leave_span(jsonb, jsonb, jsonb, text, timestamptz),
        flowmaestro.traceparent(uuid),
        flowmaestro.end_span_with_error(uuid, text, jsonb, timestamptz),
        flowmaestro.end_span_with_error(uuid, jsonb, jsonb, timestamptz),
        flowmaestro.set_span_attributes(uuid, jsonb),
        flowmaestro.add_span_event(uuid, text, jsonb, timestamptz),
        flowmaestro.cancel_trace(uuid, text),
        flowmaestro.deterministic_span_id(uuid, text),
        flowmaestro.ingest_otlp(bytea),
        flowmaestro.ingest_otlp_json(text),
        flowmaestro.flush(),
        flowmaestro.validate_tool_input(text, jsonb),
        flowmaestro.validate_tool_output(text, jsonb),
        flowmaestro.coerce_tool_arguments(text, jsonb),
        flowmaestro.validate_tool_call(text, jsonb, bool, uuid, uuid),
        flowmaestro.check_budget(text, numeric, interval),
        flowmaestro.release_budget(text),
        flowmaestro.log(text, text, jsonb), flowmaestro.log(int4, text, jsonb), flowmaestro.redact(jsonb),
        flowmaestro.format_error(jsonb), flowmaestro.format_error(text, text, text, text)
        TO %s', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION
        flowmaestro.jsonschema_registry_is_valid(jsonb, jsonb, text, bool),
        flowmaestro.jsonschema_registry_validate(jsonb, jsonb, text, bool, int4),
        flowmaestro.jsonschema_registry_check(jsonb, text)
        TO %s', role);
    EXECUTE format('GRANT SELECT ON flowmaestro.tools, flowmaestro.json_schemas TO %s', role);
END
$$;
COMMENT ON FUNCTION @extschema@.grant_writer IS
    'let a role record spans of its own, end any span, validate tool calls and spend budgets; it can read tools and schemas, but no span';

CREATE FUNCTION @extschema@.grant_reader(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA flowmaestro TO %s', role);
    EXECUTE format('GRANT SELECT ON flowmaestro.execution_spans, flowmaestro.active_spans, flowmaestro.active_traces,
        flowmaestro.stats, flowmaestro.rejected_spans, flowmaestro.tools, flowmaestro.json_schemas,
        flowmaestro.otlp_resources, flowmaestro.otlp_scopes, flowmaestro.otlp_spans,
        flowmaestro.otlp_export_status TO %s', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION flowmaestro.tracked_spans(), flowmaestro.buffer_stats(),
        flowmaestro.otlp_export_stats(),
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
            int, text, int8),
        flowmaestro.jsonschema_registry_is_valid(jsonb, jsonb, text, bool),
        flowmaestro.jsonschema_registry_validate(jsonb, jsonb, text, bool, int4),
        flowmaestro.jsonschema_registry_check(jsonb, text),
        flowmaestro.map_otlp_attributes(jsonb, int, int, text, jsonb),
        flowmaestro.export_otlp(uuid), flowmaestro.export_otlp_protobuf(uuid)
        TO %s', role);
    EXECUTE format('GRANT SELECT ON flowmaestro.span_usage, flowmaestro.token_usage_hourly, flowmaestro.token_usage_daily,
        flowmaestro.model_prices, flowmaestro.repricings, flowmaestro.budgets, flowmaestro.budget_reservations TO %s', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION
        flowmaestro.usage_of(jsonb), flowmaestro.span_cost(text, text, text, timestamptz, int8[]),
        flowmaestro.token_usage_step(int8[], jsonb), flowmaestro.token_usage_combine(int8[], int8[]),
        flowmaestro.token_usage_final(int8[]), flowmaestro.token_usage_agg(jsonb),
        flowmaestro.usage_durations_of(int8), flowmaestro.usage_durations_add(int4[], int4[]),
        flowmaestro.usage_durations_sum(int4[]), flowmaestro.usage_percentile(int4[], float8),
        flowmaestro.token_usage_filter(jsonb),
        flowmaestro.token_usage_sources(bool, bool, bool, timestamptz, timestamptz, text),
        flowmaestro.token_usage(text[], timestamptz, timestamptz, jsonb),
        flowmaestro.get_token_usage(text, timestamptz, timestamptz), flowmaestro.trace_token_usage(uuid),
        flowmaestro.recount_usage(tstzrange), flowmaestro.kept_spans(), flowmaestro.check_token_usage(tstzrange)
        TO %s', role);
END
$$;
COMMENT ON FUNCTION @extschema@.grant_reader IS
    'let a role read all spans, the running ones, the counters, and what tokens were used';

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
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', f);
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA @extschema@ TO PUBLIC;
GRANT EXECUTE ON FUNCTION
    @extschema@.jsonschema_is_valid(jsonb, jsonb, text, bool),
    @extschema@.jsonschema_assert(jsonb, jsonb, text, bool),
    @extschema@.jsonschema_validate(jsonb, jsonb, text, bool, int4),
    @extschema@.jsonschema_check(jsonb, text),
    @extschema@.json_matches_schema(json, json),
    @extschema@.jsonb_matches_schema(json, jsonb),
    @extschema@.jsonschema_is_valid(json),
    @extschema@.jsonschema_validation_errors(json, json),
    @extschema@.validate_tool_input(jsonb, jsonb),
    @extschema@.validate_tool_output(jsonb, jsonb),
    @extschema@.coerce_tool_arguments(jsonb, jsonb)
    TO PUBLIC;

GRANT EXECUTE ON FUNCTION
    @extschema@.create_request_context(text, text, text, text, text, text, jsonb),
    @extschema@.request_context_from_headers(jsonb),
    @extschema@.use_request_context(jsonb, bool),
    @extschema@.current_request_context(),
    @extschema@.serialize_request_context(),
    @extschema@.deserialize_request_context(jsonb),
    @extschema@.child_request_context(jsonb),
    @extschema@.response_headers(),
    @extschema@.request_context_get(text),
    @extschema@.request_context_has(text),
    @extschema@.request_context_keys(),
    @extschema@.request_context_set(text, jsonb, bool),
    @extschema@.request_context_delete(text, bool),
    @extschema@.request_context_clear(bool)
    TO PUBLIC;
