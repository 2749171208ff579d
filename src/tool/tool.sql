-- Room tool: the tools that models call.

CREATE TABLE @extschema@.tools (
    name text COLLATE "C" NOT NULL,
    input_schema jsonb NOT NULL,
    output_schema jsonb,
    description text,
    version text,
    registered_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tools_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE @extschema@.tools IS 'tools that models call; register_tool and import_tools write it';
COMMENT ON COLUMN @extschema@.tools.name IS 'name by which a model calls the tool';
COMMENT ON COLUMN @extschema@.tools.input_schema IS 'JSON Schema of the arguments';
COMMENT ON COLUMN @extschema@.tools.output_schema IS 'JSON Schema of the result; NULL: anything';
COMMENT ON COLUMN @extschema@.tools.description IS 'what the tool does, for the model';
COMMENT ON COLUMN @extschema@.tools.version IS 'whatever the owner of the tool calls this definition';
COMMENT ON COLUMN @extschema@.tools.registered_at IS 'when this definition was registered';
SELECT pg_extension_config_dump('@extschema@.tools', '');

CREATE FUNCTION @extschema@.register_tool(
    name text,
    input_schema jsonb,
    output_schema jsonb DEFAULT NULL,
    description text DEFAULT NULL,
    version text DEFAULT NULL
) RETURNS void
AS 'MODULE_PATHNAME', 'fms_register_tool'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.register_tool IS
    'register a tool, or replace the definition of one; a schema that is wrong is an error';

CREATE FUNCTION @extschema@.tool_definition(definition jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_tool_definition'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.tool_definition IS
    'internal: {name, input_schema, output_schema} of a tool''s definition in any form';

CREATE FUNCTION @extschema@.import_tools(
    tools jsonb,
    version text DEFAULT NULL
) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    list jsonb := coalesce(tools -> 'result' -> 'tools', tools -> 'tools', tools);
    tool jsonb;
    definition jsonb;
    description text;
BEGIN
    IF jsonb_typeof(list) = 'object' THEN
        list := jsonb_build_array(list);
    ELSIF jsonb_typeof(list) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'tools are neither an array nor an object'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR tool IN SELECT e.value FROM jsonb_array_elements(list) AS e LOOP
        -- a function of OpenAI's without parameters has none
        IF jsonb_typeof(tool -> 'function') = 'object' AND NOT tool -> 'function' ? 'parameters' THEN
            tool := jsonb_set(tool, '{function,parameters}', '{"type": "object", "properties": {}}');
        END IF;
        definition := flowmaestro.tool_definition(tool);
        description := coalesce(tool -> 'function' ->> 'description', tool ->> 'description');
        PERFORM flowmaestro.register_tool(definition ->> 'name', definition -> 'input_schema',
            definition -> 'output_schema', description, version);
        RETURN NEXT definition ->> 'name';
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.import_tools IS
    'register the tools of an OpenAI "tools" array, of an MCP tools/list result, or one definition; returns their names';

CREATE FUNCTION @extschema@.validate_tool_input(tool jsonb, arguments jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_validate_tool_input'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.validate_tool_input(jsonb, jsonb) IS
    'check the arguments of a call of a tool given by its definition: {success, data, coerced} or an error response for the model';

CREATE FUNCTION @extschema@.validate_tool_input(tool text, arguments jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_validate_tool_input_name'
LANGUAGE C STABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.validate_tool_input(text, jsonb) IS
    'check the arguments of a call of a registered tool: {success, data, coerced} or an error response for the model';

CREATE FUNCTION @extschema@.validate_tool_output(tool jsonb, output jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_validate_tool_output'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.validate_tool_output(jsonb, jsonb) IS
    'check what a tool given by its definition returned: {success, data} or an error response; nothing is coerced';

CREATE FUNCTION @extschema@.validate_tool_output(tool text, output jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_validate_tool_output_name'
LANGUAGE C STABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.validate_tool_output(text, jsonb) IS
    'check what a registered tool returned: {success, data} or an error response; nothing is coerced';

CREATE FUNCTION @extschema@.coerce_tool_arguments(tool jsonb, arguments jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_coerce_tool_arguments'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.coerce_tool_arguments(jsonb, jsonb) IS
    'arguments with what fails for its type turned into what the schema wants, where that is no guess';

CREATE FUNCTION @extschema@.coerce_tool_arguments(tool text, arguments jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'fms_coerce_tool_arguments_name'
LANGUAGE C STABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.coerce_tool_arguments(text, jsonb) IS 'the same for a registered tool';

CREATE FUNCTION @extschema@.validate_tool_call(
    name text,
    arguments jsonb,
    record bool DEFAULT NULL,
    trace_id uuid DEFAULT NULL,
    parent_span_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    began timestamptz := clock_timestamp();
    result jsonb;
    span uuid;
BEGIN
    IF name IS NULL OR EXISTS (SELECT FROM flowmaestro.tools AS t WHERE t.name = validate_tool_call.name) THEN
        result := flowmaestro.validate_tool_input(name, arguments);
    ELSE
        result := jsonb_build_object('error', true, 'tool', name,
            'message', format('Unknown tool: %s', left(name, 200)), 'validationErrors', '[]'::jsonb,
            'hint', 'Please retry with one of the available tools');
    END IF;
    -- unless told, record what belongs to a trace, and start none for it
    IF coalesce(record, trace_id IS NOT NULL OR parent_span_id IS NOT NULL
            OR (flowmaestro.current_request_context()).trace_id IS NOT NULL) THEN
        SELECT s.span_id INTO span FROM flowmaestro.create_span(
            'tool validation: ' || name, 'tool_validation', name,
            jsonb_build_object('toolName', name, 'valid', NOT result ? 'error',
                'errorCount', coalesce(jsonb_array_length(result -> 'validationErrors'), 0),
                'coercedCount', coalesce(jsonb_array_length(result -> 'coerced'), 0)),
            arguments, trace_id, parent_span_id, NULL, began) AS s;
        IF result ? 'error' THEN
            PERFORM flowmaestro.end_span(span, result, NULL,
                jsonb_build_object('message', result ->> 'message', 'type', 'ToolValidationError'));
        ELSE
            PERFORM flowmaestro.end_span(span, result);
        END IF;
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.validate_tool_call IS
    'validate_tool_input for a model''s call, an unknown tool included; records a tool_validation span in a trace that is given or current, or if told to';
