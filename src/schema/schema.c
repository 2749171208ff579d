/*-------------------------------------------------------------------------
 *
 * schema.c
 *	  The SQL functions for JSON Schema.
 *
 * Those without "registry" in their name read nothing but their arguments, so
 * they are immutable and open to everybody; the others differ only in that they
 * may read flowmaestro.json_schemas.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "compat.h"
#include "schema/cache.h"
#include "span/jsonb.h"

#define MAX_DETAILS 20			/* errors that an exception tells */
#define MAX_VALIDATION_ERRORS 1000

/* arguments of the functions that have options */
#define SCHEMA_ARGUMENT 0
#define INSTANCE_ARGUMENT 1
#define DRAFT_ARGUMENT 2
#define FORMATS_ARGUMENT 3
#define LIMIT_ARGUMENT 4

/* A jsonb argument that is copied to where it is aligned. */
typedef union ShortJsonb
{
	Jsonb		jsonb;
	char		bytes[VARATT_SHORT_MAX + VARHDRSZ];
} ShortJsonb;

/* The draft of a name, or an error. */
static FmsDraft
draft_argument(text *name)
{
	FmsDraft	draft;

	if (!fms_schema_draft(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), &draft))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown draft of JSON Schema: \"%s\"", text_to_cstring(name)),
				 errhint("Known ones are 4, 6, 7, 2019-09 and 2020-12.")));
	return draft;
}

/* The options of a call. */
static void
read_options(FunctionCallInfo fcinfo, bool registry, FmsSchemaOptions *options)
{
	options->draft = draft_argument(PG_GETARG_TEXT_PP(DRAFT_ARGUMENT));
	options->formats = PG_GETARG_BOOL(FORMATS_ARGUMENT);
	options->old_formats = false;
	options->registry = registry;
}

/*
 * The program for a call with options; a constant schema is not looked at twice,
 * and constant options are read once.
 */
static const FmsProgram *
program_of(FunctionCallInfo fcinfo, bool registry)
{
	static const int arguments[] = {DRAFT_ARGUMENT, FORMATS_ARGUMENT};
	FmsCallSite *site = fcinfo->flinfo->fn_extra;
	const FmsProgram *program = fms_call_site_constant(site);
	FmsSchemaOptions options;

	if (program != NULL)
		return program;
	if (site == NULL || !site->same_options || site->cached == NULL)
	{
		site = fms_call_site(fcinfo->flinfo, SCHEMA_ARGUMENT, lengthof(arguments), arguments);
		read_options(fcinfo, registry, &options);
	}
	else
		options = site->options;
	return fms_call_site_program(site, fcinfo->flinfo, PG_GETARG_DATUM(SCHEMA_ARGUMENT), false,
								 &options);
}

/*
 * The program for a call of one of pg_jsonschema's functions, whose schema is
 * json and which assert formats up to draft 7.
 */
static const FmsProgram *
program_of_json(FunctionCallInfo fcinfo)
{
	static const FmsSchemaOptions options = {.draft = FMS_DRAFT_2020_12, .old_formats = true};
	FmsCallSite *site = fcinfo->flinfo->fn_extra;
	const FmsProgram *program = fms_call_site_constant(site);

	if (program != NULL)
		return program;
	site = fms_call_site(fcinfo->flinfo, SCHEMA_ARGUMENT, 0, NULL);
	return fms_call_site_program(site, fcinfo->flinfo, PG_GETARG_DATUM(SCHEMA_ARGUMENT), true,
								 &options);
}

/* A json argument as jsonb. */
static Jsonb *
json_argument(FunctionCallInfo fcinfo, int argument)
{
	char	   *value = text_to_cstring(PG_GETARG_TEXT_PP(argument));

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(value)));
}

/*
 * Whether a jsonb datum is valid.  One with a short header is not aligned; it
 * is copied to the stack rather than to the heap.
 */
static bool
is_valid(const FmsProgram *program, Datum instance)
{
	struct varlena *datum = (struct varlena *) DatumGetPointer(instance);
	Jsonb	   *jsonb;
	bool		valid;

	if (VARATT_IS_SHORT(datum) && !VARATT_IS_EXTERNAL(datum))
	{
		ShortJsonb	copy;
		Size		bytes = VARSIZE_SHORT(datum) - VARHDRSZ_SHORT;

		SET_VARSIZE(&copy, bytes + VARHDRSZ);
		memcpy(copy.bytes + VARHDRSZ, VARDATA_SHORT(datum), bytes);
		return fms_schema_is_valid(program, &copy.jsonb);
	}
	jsonb = DatumGetJsonbP(instance);
	valid = fms_schema_is_valid(program, jsonb);
	if ((struct varlena *) jsonb != datum)
		pfree(jsonb);
	return valid;
}

PG_FUNCTION_INFO_V1(fms_jsonschema_is_valid);

/* jsonschema_is_valid(schema, instance, draft, formats) */
Datum
fms_jsonschema_is_valid(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_valid(program_of(fcinfo, false), PG_GETARG_DATUM(INSTANCE_ARGUMENT)));
}

PG_FUNCTION_INFO_V1(fms_jsonschema_registry_is_valid);

/* jsonschema_registry_is_valid(schema, instance, draft, formats) */
Datum
fms_jsonschema_registry_is_valid(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_valid(program_of(fcinfo, true), PG_GETARG_DATUM(INSTANCE_ARGUMENT)));
}

/* Push a key and a path as JSON pointer. */
static void
push_path(FmsJsonbState *state, const char *key, const FmsStep *path)
{
	StringInfoData pointer;

	initStringInfo(&pointer);
	fms_schema_pointer(&pointer, path);
	fms_jsonb_bytes(state, key, pointer.data, pointer.len);
}

/* What gathers errors into a jsonb. */
typedef struct Output
{
	FmsJsonbState state;
	MemoryContext context;
} Output;

/* Add an error to the output. */
static void
add_to_output(const FmsSchemaError *error, void *argument)
{
	Output	   *output = argument;
	MemoryContext old = MemoryContextSwitchTo(output->context);
	FmsJsonbState *state = &output->state;

	fms_jsonb_push(state, WJB_BEGIN_OBJECT, NULL);
	push_path(state, "instanceLocation", error->instance_path);
	push_path(state, "keywordLocation", error->keyword_path);
	fms_jsonb_string(state, "absoluteKeywordLocation", pstrdup(error->absolute_location));
	fms_jsonb_string(state, "keyword", error->keyword);
	fms_jsonb_string(state, "error", pstrdup(error->message));
	fms_jsonb_push(state, WJB_END_OBJECT, NULL);
	MemoryContextSwitchTo(old);
}

/* The head of {"valid": ..., "errors": ...}. */
static void
begin_output(FmsJsonbState *state, bool valid)
{
	fms_jsonb_push(state, WJB_BEGIN_OBJECT, NULL);
	fms_jsonb_bool(state, "valid", valid);
	fms_jsonb_key(state, "errors");
}

/*
 * The result of a validation in the standard's "basic" form.  jsonb sorts members
 * by length, so "valid" comes before "errors".
 */
static Jsonb *
validate(FunctionCallInfo fcinfo, bool registry)
{
	const FmsProgram *program = program_of(fcinfo, registry);
	Jsonb	   *instance = PG_GETARG_JSONB_P(INSTANCE_ARGUMENT);
	int			limit = PG_GETARG_INT32(LIMIT_ARGUMENT);
	Output		output = {.context = CurrentMemoryContext};

	if (limit < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_errors must be at least 1")));
	begin_output(&output.state, fms_schema_is_valid(program, instance));
	fms_jsonb_push(&output.state, WJB_BEGIN_ARRAY, NULL);
	(void) fms_schema_report(program, instance, limit, add_to_output, &output);
	fms_jsonb_push(&output.state, WJB_END_ARRAY, NULL);
	return fms_jsonb_end(&output.state, WJB_END_OBJECT);
}

PG_FUNCTION_INFO_V1(fms_jsonschema_validate);

/* jsonschema_validate(schema, instance, draft, formats, max_errors) */
Datum
fms_jsonschema_validate(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(validate(fcinfo, false));
}

PG_FUNCTION_INFO_V1(fms_jsonschema_registry_validate);

/* jsonschema_registry_validate(schema, instance, draft, formats, max_errors) */
Datum
fms_jsonschema_registry_validate(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(validate(fcinfo, true));
}

/* An error in one line: where, and what. */
static void
append_line(StringInfo out, const FmsSchemaError *error)
{
	int			start = out->len;

	fms_schema_pointer(out, error->instance_path);
	if (out->len > start)
		appendStringInfoString(out, ": ");
	appendStringInfoString(out, error->message);
}

/* What gathers errors into a text. */
typedef struct Detail
{
	StringInfoData text;
	int			count;
} Detail;

/* Add an error to the detail of an exception. */
static void
add_to_detail(const FmsSchemaError *error, void *argument)
{
	Detail	   *detail = argument;

	if (detail->count++ > 0)
		appendStringInfoChar(&detail->text, '\n');
	append_line(&detail->text, error);
}

PG_FUNCTION_INFO_V1(fms_jsonschema_assert);

/* jsonschema_assert(schema, instance, draft, formats): true, or an exception */
Datum
fms_jsonschema_assert(PG_FUNCTION_ARGS)
{
	const FmsProgram *program = program_of(fcinfo, false);
	Detail		detail = {.count = 0};

	if (is_valid(program, PG_GETARG_DATUM(INSTANCE_ARGUMENT)))
		PG_RETURN_BOOL(true);
	initStringInfo(&detail.text);
	(void) fms_schema_report(program, PG_GETARG_JSONB_P(INSTANCE_ARGUMENT), MAX_DETAILS,
							 add_to_detail, &detail);
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("value does not match its JSON Schema"),
			 errdetail("%s", detail.text.data)));
}

/* What is wrong with a schema, as {"valid": ..., "errors": ...}. */
static Jsonb *
check(FunctionCallInfo fcinfo, bool registry)
{
	FmsSchemaOptions options = {0};
	FmsJsonbState state = {0};
	Jsonb	   *errors;
	JsonbValue	value;

	options.draft = draft_argument(PG_GETARG_TEXT_PP(1));
	options.registry = registry;
	errors = fms_compile_check(PG_GETARG_JSONB_P(SCHEMA_ARGUMENT), &options);
	begin_output(&state, JB_ROOT_COUNT(errors) == 0);
	fms_jsonb_set(&value, errors);
	fms_jsonb_push(&state, WJB_VALUE, &value);
	return fms_jsonb_end(&state, WJB_END_OBJECT);
}

PG_FUNCTION_INFO_V1(fms_jsonschema_check);

/* jsonschema_check(schema, draft) */
Datum
fms_jsonschema_check(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(check(fcinfo, false));
}

PG_FUNCTION_INFO_V1(fms_jsonschema_registry_check);

/* jsonschema_registry_check(schema, draft) */
Datum
fms_jsonschema_registry_check(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(check(fcinfo, true));
}

PG_FUNCTION_INFO_V1(fms_json_matches_schema);

/* json_matches_schema(schema json, instance json) */
Datum
fms_json_matches_schema(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(fms_schema_is_valid(program_of_json(fcinfo),
									   json_argument(fcinfo, INSTANCE_ARGUMENT)));
}

PG_FUNCTION_INFO_V1(fms_jsonb_matches_schema);

/* jsonb_matches_schema(schema json, instance jsonb) */
Datum
fms_jsonb_matches_schema(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_valid(program_of_json(fcinfo), PG_GETARG_DATUM(INSTANCE_ARGUMENT)));
}

PG_FUNCTION_INFO_V1(fms_jsonschema_is_valid_schema);

/* jsonschema_is_valid(schema json): the reason of a no comes as a notice */
Datum
fms_jsonschema_is_valid_schema(PG_FUNCTION_ARGS)
{
	FmsSchemaOptions options = {.draft = FMS_DRAFT_2020_12};
	Jsonb	   *errors = fms_compile_check(json_argument(fcinfo, SCHEMA_ARGUMENT), &options);
	FmsValue	first;
	FmsValue	location;
	FmsValue	message;

	if (JB_ROOT_COUNT(errors) == 0)
		PG_RETURN_BOOL(true);
	first = fms_element(fms_value_of(errors), 0);
	(void) fms_member(first, "location", strlen("location"), &location, NULL);
	(void) fms_member(first, "error", strlen("error"), &message, NULL);
	ereport(NOTICE,
			(errmsg("invalid JSON Schema at \"%.*s\": %.*s", (int) location.length, location.data,
					(int) message.length, message.data)));
	PG_RETURN_BOOL(false);
}

/* Add an error to an array of texts. */
static void
add_to_array(const FmsSchemaError *error, void *argument)
{
	ArrayBuildState *array = argument;
	StringInfoData line;

	initStringInfo(&line);
	append_line(&line, error);
	(void) accumArrayResult(array, CStringGetTextDatum(line.data), false, TEXTOID, array->mcontext);
}

PG_FUNCTION_INFO_V1(fms_jsonschema_validation_errors);

/* jsonschema_validation_errors(schema json, instance json) */
Datum
fms_jsonschema_validation_errors(PG_FUNCTION_ARGS)
{
	const FmsProgram *program = program_of_json(fcinfo);
	ArrayBuildState *array = initArrayResult(TEXTOID, CurrentMemoryContext, true);

	(void) fms_schema_report(program, json_argument(fcinfo, INSTANCE_ARGUMENT),
							 MAX_VALIDATION_ERRORS, add_to_array, array);
	PG_RETURN_DATUM(makeArrayResult(array, CurrentMemoryContext));
}
