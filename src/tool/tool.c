/*-------------------------------------------------------------------------
 *
 * tool.c
 *	  Tools that models call: their registry, and the check of what a model
 *	  sends and a tool returns.
 *
 * The answer to a call that is wrong is made for the model: it says what is
 * wrong and where, and how to go on, so that the next try is right.  The answer
 * to one that is right has the arguments, with what was coerced on the way.
 *
 * A tool is the name of a registered one, or its definition as jsonb in one of
 * the forms in use: {name, schema}, with input_schema (Anthropic), inputSchema
 * (MCP) or parameters (OpenAI) in its place, or {type: "function", function}.
 *
 * Formats are always checked: models read them as rules.  A registered tool's
 * schema may refer to documents in flowmaestro.json_schemas.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "span/jsonb.h"
#include "span/plan.h"
#include "tool/tool.h"

#define MAX_TOLD 100			/* issues in an answer; more are counted */
#define MAX_NAME 200			/* bytes of a tool's name */
#define HINT "Please retry with correct arguments"

#define FIND_TOOL "SELECT input_schema, output_schema FROM flowmaestro.tools" \
	" WHERE name OPERATOR(pg_catalog.=) $1"
#define REGISTER_TOOL "INSERT INTO flowmaestro.tools AS t" \
	" (name, input_schema, output_schema, description, version)" \
	" VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET" \
	" input_schema = excluded.input_schema, output_schema = excluded.output_schema," \
	" description = excluded.description, version = excluded.version," \
	" registered_at = pg_catalog.now()"

/* A tool, in the current memory context. */
typedef struct Tool
{
	char	   *name;
	Jsonb	   *input;			/* schema of the arguments */
	Jsonb	   *output;			/* schema of the result, or NULL */
	bool		registered;
} Tool;

PG_FUNCTION_INFO_V1(fms_register_tool);
PG_FUNCTION_INFO_V1(fms_tool_definition);
PG_FUNCTION_INFO_V1(fms_validate_tool_input);
PG_FUNCTION_INFO_V1(fms_validate_tool_input_name);
PG_FUNCTION_INFO_V1(fms_validate_tool_output);
PG_FUNCTION_INFO_V1(fms_validate_tool_output_name);
PG_FUNCTION_INFO_V1(fms_coerce_tool_arguments);
PG_FUNCTION_INFO_V1(fms_coerce_tool_arguments_name);

/* Complain about the definition of a tool. */
static void
bad_definition(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid tool definition: %s", problem),
			 errhint("A tool is {\"name\": ..., \"schema\": {...}}; input_schema, inputSchema or parameters can stand for schema.")));
}

/* The first of several members that an object has. */
static bool
first_member(FmsValue object, const char *const *keys, int count, FmsValue *value)
{
	for (int i = 0; i < count; i++)
		if (fms_member(object, keys[i], strlen(keys[i]), value, NULL) &&
			value->kind != FMS_KIND_NULL)
			return true;
	return false;
}

/* A value inside of a jsonb as one of its own. */
static Jsonb *
value_jsonb(FmsValue value)
{
	JsonbValue	copy;

	fms_value_to_jsonb(value, &copy);
	return JsonbValueToJsonb(&copy);
}

/*
 * A tool from its definition, which need not be registered: copies of its parts
 * in the current memory context.  Raises an error if it is no definition.
 */
static void
read_definition(Jsonb *definition, Tool *tool)
{
	static const char *const inputs[] = {"schema", "input_schema", "inputSchema", "parameters"};
	static const char *const outputs[] = {"output_schema", "outputSchema"};
	FmsValue	object = fms_value_of(definition);
	FmsValue	value;

	memset(tool, 0, sizeof(Tool));
	if (object.kind != FMS_KIND_OBJECT)
		bad_definition("it is not an object");
	if (fms_member(object, "function", 8, &value, NULL) && value.kind == FMS_KIND_OBJECT)
		object = value;
	if (!fms_member(object, "name", 4, &value, NULL) || value.kind != FMS_KIND_STRING ||
		value.length == 0)
		bad_definition("it has no name");
	if (value.length > MAX_NAME)
		bad_definition("its name is too long");
	tool->name = pnstrdup(value.data, value.length);
	if (!first_member(object, inputs, lengthof(inputs), &value))
		bad_definition("it has no schema");
	tool->input = value_jsonb(value);
	if (first_member(object, outputs, lengthof(outputs), &value))
		tool->output = value_jsonb(value);
}

/* A jsonb column of the row that a query found, in another context; NULL for NULL. */
static Jsonb *
result_jsonb(int column, MemoryContext context)
{
	bool		is_null;
	Datum		datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column,
									  &is_null);
	MemoryContext old;
	Jsonb	   *jsonb;

	if (is_null)
		return NULL;
	old = MemoryContextSwitchTo(context);
	jsonb = DatumGetJsonbPCopy(datum);
	MemoryContextSwitchTo(old);
	return jsonb;
}

/*
 * A registered tool, read with the caller's privileges and snapshot.  Raises
 * ERRCODE_UNDEFINED_OBJECT if there is none of the name.
 */
static void
find_tool(text *name, Tool *tool)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID};
	Datum		values[] = {PointerGetDatum(name)};
	MemoryContext context = CurrentMemoryContext;

	tool->name = text_to_cstring(name);
	tool->registered = true;
	SPI_connect();
	if (SPI_execute_plan(fms_plan_kept(&plan, FIND_TOOL, 1, types), values, NULL, true,
						 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the table of tools");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("tool \"%s\" is not registered", tool->name),
				 errhint("Use flowmaestro.register_tool or flowmaestro.import_tools.")));
	tool->input = result_jsonb(1, context);
	tool->output = result_jsonb(2, context);
	SPI_finish();
}

/*
 * The tool of a call, whose first argument names or defines it.  A literal of no
 * type arrives as text even if it is a definition; no name begins with a brace.
 */
static void
tool_argument(FunctionCallInfo fcinfo, bool by_name, Tool *tool)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("tool must not be null")));
	if (!by_name)
		read_definition(PG_GETARG_JSONB_P(0), tool);
	else if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) > 0 &&
			 *VARDATA_ANY(PG_GETARG_TEXT_PP(0)) == '{')
		read_definition(DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
														   CStringGetDatum(text_to_cstring(PG_GETARG_TEXT_PP(0))))),
						tool);
	else
		find_tool(PG_GETARG_TEXT_PP(0), tool);
}

/* which schema of which tool */
typedef struct SchemaOf
{
	const char *name;
	const char *what;
} SchemaOf;

/* Add to an error which schema of which tool it is about. */
static void
schema_context(void *arg)
{
	const SchemaOf *of = arg;

	errcontext("%s schema of tool \"%s\"", of->what, of->name);
}

/*
 * The program of a tool's schema, from the backend's cache; pinned until the
 * current memory context goes.  An error says where the schema is wrong.  Only
 * registered schemas may read the registry: a definition that a caller sends must
 * not depend on what others have stored.
 */
static const FmsProgram *
compile_tool(const Tool *tool, Jsonb *schema, const char *what)
{
	FmsSchemaOptions options = {.draft = FMS_DRAFT_2020_12, .formats = true,
	.registry = tool->registered};
	SchemaOf	of = {tool->name, what};
	ErrorContextCallback callback = {.callback = schema_context, .arg = &of,
	.previous = error_context_stack};
	const FmsProgram *program;

	error_context_stack = &callback;
	program = fms_schema_acquire(schema, &options, CurrentMemoryContext);
	error_context_stack = callback.previous;
	return program;
}

/*
 * register_tool(name, input_schema, output_schema, description, version)
 *
 * A name that is there already gets the new definition.  Both schemas are compiled
 * first, so that no wrong one gets into the table.
 */
Datum
fms_register_tool(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID, JSONBOID, JSONBOID, TEXTOID, TEXTOID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];
	Tool		tool = {.registered = true};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name and input_schema must not be null")));
	tool.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (tool.name[0] == '\0' || tool.name[0] == '{' || strlen(tool.name) > MAX_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("name of a tool must have 1 to %d bytes, of which the first is no brace", MAX_NAME)));
	(void) compile_tool(&tool, PG_GETARG_JSONB_P(1), "input");
	if (!PG_ARGISNULL(2))
		(void) compile_tool(&tool, PG_GETARG_JSONB_P(2), "output");
	for (int i = 0; i < lengthof(types); i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_GETARG_DATUM(i);
	}
	SPI_connect();
	(void) fms_plan_run(&plan, REGISTER_TOOL, lengthof(types), types, values, nulls);
	SPI_finish();
	PG_RETURN_VOID();
}

/* {"success": true, "data": ..., "coerced": [...]} */
static Jsonb *
success(Jsonb *data, List *coercions)
{
	FmsJsonbState state = {0};
	ListCell   *cell;

	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_bool(&state, "success", true);
	fms_jsonb_nested(&state, "data", data);
	if (coercions != NIL)
	{
		fms_jsonb_key(&state, "coerced");
		fms_jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
		foreach(cell, coercions)
		{
			const FmsToolCoercion *coercion = lfirst(cell);

			fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
			fms_jsonb_string(&state, "path", coercion->path);
			fms_jsonb_string(&state, "from", coercion->from);
			fms_jsonb_string(&state, "to", coercion->to);
			fms_jsonb_push(&state, WJB_END_OBJECT, NULL);
		}
		fms_jsonb_push(&state, WJB_END_ARRAY, NULL);
	}
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/* The message of an error response: a line for each issue. */
static char *
compose_message(const FmsToolIssues *issues)
{
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfoString(&message, "Validation errors:");
	for (int i = 0; i < Min(issues->count, MAX_TOLD); i++)
	{
		const FmsToolIssue *issue = &issues->items[i];

		appendStringInfoString(&message, "\n- ");
		if (issue->depth > 0)
			appendStringInfo(&message, "%s: ", fms_tool_path(issue));
		appendStringInfoString(&message, issue->message);
	}
	if (issues->count > MAX_TOLD)
		appendStringInfo(&message, "\n- ... and %d more", issues->count - MAX_TOLD);
	return message.data;
}

/*
 * {"error": true, "tool": ..., "message": ..., "validationErrors": [...],
 * "hint": ...}, for the model; at most MAX_TOLD issues, so that no answer fills a
 * model's context.  Puts the issues in order.
 */
static Jsonb *
failure(const Tool *tool, FmsToolIssues *issues)
{
	FmsJsonbState state = {0};

	fms_tool_tidy(issues);
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_bool(&state, "error", true);
	fms_jsonb_string(&state, "tool", tool->name);
	fms_jsonb_string(&state, "message", compose_message(issues));
	fms_jsonb_key(&state, "validationErrors");
	fms_jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < Min(issues->count, MAX_TOLD); i++)
	{
		const FmsToolIssue *issue = &issues->items[i];

		fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
		fms_jsonb_string(&state, "path", fms_tool_path(issue));
		fms_jsonb_string(&state, "message", issue->message);
		fms_jsonb_string(&state, "code", issue->code);
		fms_jsonb_push(&state, WJB_END_OBJECT, NULL);
	}
	fms_jsonb_push(&state, WJB_END_ARRAY, NULL);
	fms_jsonb_string(&state, "hint", HINT);
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

/* The failure of a value that is not there. */
static Jsonb *
failure_missing(const Tool *tool)
{
	FmsToolIssue issue = {.kind = FMS_TOOL_REQUIRED, .code = "invalid_type", .message = "Required"};
	FmsToolIssues issues = {.items = &issue, .count = 1};

	return failure(tool, &issues);
}

/*
 * Check arguments, coercing what is wrong where that is no guess.  Wrong arguments
 * are an answer, not an error; errors are for wrong schemas and unknown tools.
 */
static Jsonb *
validate_input(FunctionCallInfo fcinfo, bool by_name)
{
	Tool		tool;
	const FmsProgram *program;
	Jsonb	   *arguments;
	List	   *coercions = NIL;
	FmsToolIssues issues;

	tool_argument(fcinfo, by_name, &tool);
	program = compile_tool(&tool, tool.input, "input");
	arguments = PG_ARGISNULL(1) ? fms_tool_missing(tool.input) : PG_GETARG_JSONB_P(1);
	if (arguments == NULL)
		return failure_missing(&tool);
	arguments = fms_tool_coerce(&issues, program, tool.input, arguments, &coercions);
	return issues.count == 0 ? success(arguments, coercions) : failure(&tool, &issues);
}

/* validate_tool_input(tool jsonb, arguments jsonb) */
Datum
fms_validate_tool_input(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(validate_input(fcinfo, false));
}

/* validate_tool_input(tool text, arguments jsonb) */
Datum
fms_validate_tool_input_name(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(validate_input(fcinfo, true));
}

/*
 * Check what a tool returned.  It is data: nothing is coerced.  A tool without a
 * schema for its output may return anything but SQL NULL.
 */
static Jsonb *
validate_output(FunctionCallInfo fcinfo, bool by_name)
{
	Tool		tool;
	FmsToolIssues issues = {0};

	tool_argument(fcinfo, by_name, &tool);
	if (PG_ARGISNULL(1))
		return failure_missing(&tool);
	if (tool.output != NULL)
		fms_tool_collect(&issues, compile_tool(&tool, tool.output, "output"), tool.output,
						 PG_GETARG_JSONB_P(1));
	return issues.count == 0 ? success(PG_GETARG_JSONB_P(1), NIL) : failure(&tool, &issues);
}

/* validate_tool_output(tool jsonb, output jsonb) */
Datum
fms_validate_tool_output(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(validate_output(fcinfo, false));
}

/* validate_tool_output(tool text, output jsonb) */
Datum
fms_validate_tool_output_name(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(validate_output(fcinfo, true));
}

/* Arguments as the schema wants them, as far as that goes; NULL for none. */
static Datum
coerce_arguments(FunctionCallInfo fcinfo, bool by_name)
{
	Tool		tool;
	Jsonb	   *arguments;
	List	   *coercions = NIL;
	FmsToolIssues issues;

	tool_argument(fcinfo, by_name, &tool);
	arguments = PG_ARGISNULL(1) ? fms_tool_missing(tool.input) : PG_GETARG_JSONB_P(1);
	if (arguments == NULL)
		PG_RETURN_NULL();
	arguments = fms_tool_coerce(&issues, compile_tool(&tool, tool.input, "input"), tool.input,
								arguments, &coercions);
	PG_RETURN_JSONB_P(arguments);
}

/* coerce_tool_arguments(tool jsonb, arguments jsonb) */
Datum
fms_coerce_tool_arguments(PG_FUNCTION_ARGS)
{
	return coerce_arguments(fcinfo, false);
}

/* coerce_tool_arguments(tool text, arguments jsonb) */
Datum
fms_coerce_tool_arguments_name(PG_FUNCTION_ARGS)
{
	return coerce_arguments(fcinfo, true);
}

/* tool_definition(definition jsonb): {name, input_schema, output_schema} of any form */
Datum
fms_tool_definition(PG_FUNCTION_ARGS)
{
	Tool		tool;
	FmsJsonbState state = {0};

	read_definition(PG_GETARG_JSONB_P(0), &tool);
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_string(&state, "name", tool.name);
	fms_jsonb_nested(&state, "input_schema", tool.input);
	if (tool.output != NULL)
		fms_jsonb_nested(&state, "output_schema", tool.output);
	PG_RETURN_JSONB_P(fms_jsonb_end(&state, WJB_END_OBJECT));
}
