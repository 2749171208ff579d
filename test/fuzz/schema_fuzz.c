/*-------------------------------------------------------------------------
 *
 * schema_fuzz.c
 *	  libFuzzer inside a backend: any schema against any instance.
 *
 * An input is either two JSON texts with a line break between, or, if its first
 * byte is no brace or letter, choices from which both are made: keywords with
 * values of the right kind, most of the time.  For each input:
 *
 *	- a schema is refused with a clear error, and then jsonschema_check finds
 *	  something as well, or it compiles;
 *	- the evaluator and the reporter agree about the instance;
 *	- arguments that were coerced stay as they are when coerced again, and
 *	  those that a tool's check lets pass are valid;
 *	- no error is an internal one, and there is no warning.
 *
 * A contradiction aborts the backend, and libFuzzer keeps the input.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdlib.h>
#include <unistd.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "schema/program.h"
#include "tool/tool.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(schema_fuzz);
PG_FUNCTION_INFO_V1(schema_fuzz_text);

#define MAX_ARGUMENTS 32

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv, int (*run) (const uint8 *, size_t));

/* Bytes that decide. */
typedef struct Choices
{
	const uint8 *at;
	const uint8 *end;
} Choices;

static const char *const names[] = {"a", "b", "", "é", "__proto__", "a/b~c", "kind", "123"};
static const char *const types[] = {
	"string", "number", "integer", "boolean", "null", "array", "object", "strin"
};
static const char *const patterns[] = {
	"^a+$", "(a+)+$", "[0-9-_]", "\\p{L}", "(?<n>a)\\k<n>", "(?<!a)b", "^\\d{2,}", "x{1,256+}",
	"[^\\s]", "(", "\\ud83d\\ude00", "^(?:a|b)*c", ".", "[]"
};
static const char *const formats[] = {
	"date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname",
	"ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid",
	"json-pointer", "relative-json-pointer", "regex", "none"
};
static const char *const references[] = {
	"#", "#/$defs/a", "#/$defs/b", "#a", "#/properties/a", "b.json", "http://x/a", "#/allOf/0",
	"http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema", "%"
};
static const char *const drafts[] = {
	"http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#",
	"http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema",
	"https://json-schema.org/draft/2020-12/schema", "http://x/a"
};
static const char *const numbers[] = {
	"0", "1", "-1", "1.0", "1.5", "9007199254740993", "1e400", "0.01", "-0", "1e-300",
	"123456789012345678901234567890", "2", "3", "10"
};

/* keywords by the kind of their value */
static const struct
{
	const char *name;
	char		kind;
}			keywords[] =
{
	{"type", 't'}, {"type", 'T'}, {"enum", 'V'}, {"const", 'v'}, {"minimum", 'n'}, {"maximum", 'n'},
	{"exclusiveMinimum", 'n'}, {"exclusiveMaximum", 'n'}, {"exclusiveMaximum", 'b'},
	{"multipleOf", 'n'}, {"minLength", 'c'}, {"maxLength", 'c'}, {"pattern", 'p'}, {"format", 'f'},
	{"items", 's'}, {"items", 'S'}, {"prefixItems", 'S'}, {"additionalItems", 's'},
	{"contains", 's'}, {"minContains", 'c'}, {"maxContains", 'c'}, {"minItems", 'c'},
	{"maxItems", 'c'}, {"uniqueItems", 'b'}, {"unevaluatedItems", 's'}, {"properties", 'm'},
	{"patternProperties", 'q'}, {"additionalProperties", 's'}, {"propertyNames", 's'},
	{"unevaluatedProperties", 's'}, {"required", 'N'}, {"dependentRequired", 'd'},
	{"dependentSchemas", 'm'}, {"dependencies", 'm'}, {"dependencies", 'd'},
	{"minProperties", 'c'}, {"maxProperties", 'c'}, {"allOf", 'S'}, {"anyOf", 'S'}, {"oneOf", 'S'},
	{"not", 's'}, {"if", 's'}, {"then", 's'}, {"else", 's'}, {"$ref", 'r'}, {"$dynamicRef", 'r'},
	{"$recursiveRef", 'r'}, {"$recursiveAnchor", 'b'}, {"$id", 'r'}, {"id", 'r'}, {"$anchor", 'a'},
	{"$dynamicAnchor", 'a'}, {"$defs", 'm'}, {"definitions", 'm'}, {"$schema", 'D'},
	{"$vocabulary", 'd'}, {"title", 'v'},
};

static void make_schema(Choices *choices, StringInfo out, int depth);
static void make_value(Choices *choices, StringInfo out, int depth);

/* A number below a limit. */
static int
choose(Choices *choices, int limit)
{
	return choices->at < choices->end ? *choices->at++ % limit : 0;
}

#define PICK(choices, list) ((list)[choose(choices, lengthof(list))])

/* Append a string of JSON; sometimes one of the input's own bytes. */
static void
make_string(Choices *choices, StringInfo out, const char *usual)
{
	int			bytes;
	char	   *own;

	if (usual != NULL && choose(choices, 8) != 0)
	{
		escape_json(out, usual);
		return;
	}
	bytes = choose(choices, 24);
	bytes = Min(bytes, choices->end - choices->at);
	own = pnstrdup((const char *) choices->at, bytes);
	choices->at += bytes;
	bytes = strlen(own);
	if (pg_encoding_verifymbstr(PG_UTF8, own, bytes) != bytes)
		own = "";
	escape_json(out, own);
}

/* Append a list of up to three things, each made by "make". */
static void
make_list(Choices *choices, StringInfo out, int depth, void (*make) (Choices *, StringInfo, int))
{
	int			count = choose(choices, 4);

	appendStringInfoChar(out, '[');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		make(choices, out, depth);
	}
	appendStringInfoChar(out, ']');
}

/* Append an object of up to three members. */
static void
make_map(Choices *choices, StringInfo out, int depth, bool of_patterns,
		 void (*make) (Choices *, StringInfo, int))
{
	int			count = choose(choices, 4);

	appendStringInfoChar(out, '{');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		make_string(choices, out, of_patterns ? PICK(choices, patterns) : PICK(choices, names));
		appendStringInfoChar(out, ':');
		make(choices, out, depth);
	}
	appendStringInfoChar(out, '}');
}

/* Append a name. */
static void
make_name(Choices *choices, StringInfo out, int depth)
{
	make_string(choices, out, PICK(choices, names));
}

/* Append a type. */
static void
make_type(Choices *choices, StringInfo out, int depth)
{
	make_string(choices, out, PICK(choices, types));
}

/* Append a list of names. */
static void
make_names(Choices *choices, StringInfo out, int depth)
{
	make_list(choices, out, depth, make_name);
}

/* Append a value of the kind that a keyword wants. */
static void
make_operand(Choices *choices, StringInfo out, int depth, char kind)
{
	switch (kind)
	{
		case 't':
			make_type(choices, out, depth);
			break;
		case 'T':
			make_list(choices, out, depth, make_type);
			break;
		case 'v':
			make_value(choices, out, depth);
			break;
		case 'V':
			make_list(choices, out, depth, make_value);
			break;
		case 'n':
			appendStringInfoString(out, PICK(choices, numbers));
			break;
		case 'c':
			appendStringInfo(out, "%d", choose(choices, 6) - (choose(choices, 64) == 1));
			break;
		case 'b':
			appendStringInfoString(out, choose(choices, 2) ? "true" : "false");
			break;
		case 'p':
			make_string(choices, out, PICK(choices, patterns));
			break;
		case 'f':
			make_string(choices, out, PICK(choices, formats));
			break;
		case 'r':
			make_string(choices, out, PICK(choices, references));
			break;
		case 'a':
			make_string(choices, out, PICK(choices, names));
			break;
		case 'D':
			make_string(choices, out, PICK(choices, drafts));
			break;
		case 'N':
			make_names(choices, out, depth);
			break;
		case 'd':
			make_map(choices, out, depth, false, make_names);
			break;
		case 's':
			make_schema(choices, out, depth);
			break;
		case 'S':
			make_list(choices, out, depth, make_schema);
			break;
		default:
			make_map(choices, out, depth, kind == 'q', make_schema);
	}
}

/* Append a schema. */
static void
make_schema(Choices *choices, StringInfo out, int depth)
{
	int			count = depth > 6 ? 0 : choose(choices, 5);

	if (choose(choices, 8) == 7 || choices->at == choices->end)
	{
		appendStringInfoString(out, choose(choices, 3) ? "true" : "false");
		return;
	}
	appendStringInfoChar(out, '{');
	for (int i = 0; i < count; i++)
	{
		int			keyword = choose(choices, lengthof(keywords));

		if (i > 0)
			appendStringInfoChar(out, ',');
		appendStringInfo(out, "\"%s\":", keywords[keyword].name);
		if (choose(choices, 64) == 63)
			make_value(choices, out, depth + 1);
		else
			make_operand(choices, out, depth + 1, keywords[keyword].kind);
	}
	appendStringInfoChar(out, '}');
}

/* Append any value. */
static void
make_value(Choices *choices, StringInfo out, int depth)
{
	switch (choose(choices, depth > 6 ? 6 : 10))
	{
		case 0:
			appendStringInfoString(out, "null");
			break;
		case 1:
			appendStringInfoString(out, choose(choices, 2) ? "true" : "false");
			break;
		case 2:
		case 3:
			appendStringInfoString(out, PICK(choices, numbers));
			break;
		case 4:
		case 5:
			make_string(choices, out, choose(choices, 2) ? PICK(choices, numbers) : NULL);
			break;
		case 6:
		case 7:
			make_list(choices, out, depth + 1, make_value);
			break;
		default:
			make_map(choices, out, depth + 1, false, make_value);
	}
}

/* Read JSON. */
static Jsonb *
parse(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/* Say what is wrong and end. */
static void
contradiction(const char *what)
{
	write_stderr("schema_fuzz: %s\n", what);
	abort();
}

/* Count the errors reported. */
static void
count_error(const FmsSchemaError *error, void *argument)
{
	StringInfoData path;

	initStringInfo(&path);
	fms_schema_pointer(&path, error->instance_path);
	fms_schema_pointer(&path, error->keyword_path);
	if (error->keyword == NULL || error->message == NULL || error->absolute_location == NULL)
		contradiction("an error without a text");
	pfree(path.data);
	(*(int *) argument)++;
}

/* Whether two jsonb are the same to the byte. */
static bool
identical(const Jsonb *a, const Jsonb *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* Coerce, and see that this is what it says. */
static void
check_coercion(const FmsProgram *program, Jsonb *schema, Jsonb *instance)
{
	FmsToolIssues issues;
	FmsToolIssues again_issues;
	List	   *coercions = NIL;
	List	   *again = NIL;
	Jsonb	   *coerced = fms_tool_coerce(&issues, program, schema, instance, &coercions);
	bool		valid = fms_schema_is_valid(program, coerced);

	if (valid != (issues.count == 0))
		contradiction("coerced arguments pass and are not valid, or the other way round");
	if ((coercions == NIL) != identical(coerced, instance))
		contradiction("a coercion that is not reported, or one that did nothing");
	if (!identical(fms_tool_coerce(&again_issues, program, schema, coerced, &again), coerced))
		contradiction("coercion of what was coerced");
	fms_tool_tidy(&issues);
	if (!valid && issues.count == 0)
		contradiction("invalid arguments without a message");
	for (int i = 0; i < issues.count; i++)
		if (issues.items[i].message == NULL || fms_tool_path(&issues.items[i]) == NULL)
			contradiction("an issue without a message");
}

/* Everything that an input goes through. */
static void
check(Jsonb *schema, Jsonb *instance, const FmsSchemaOptions *options, volatile bool *compiled)
{
	FmsProgram *program = fms_compile(schema, options);
	int			errors = 0;
	int			reported;
	bool		valid;

	*compiled = true;
	if (JB_ROOT_COUNT(fms_compile_check(schema, options)) != 0)
		contradiction("a schema that compiles and has errors");
	valid = fms_schema_is_valid(program, instance);
	reported = fms_schema_report(program, instance, 1000, count_error, &errors);
	if (valid != (errors == 0) || reported != errors)
		contradiction("evaluator and reporter do not agree");
	check_coercion(program, schema, instance);
}

/* Whether an error is one that a bad schema or a hard instance may raise. */
static bool
is_expected(int code)
{
	return code == ERRCODE_INVALID_PARAMETER_VALUE || code == ERRCODE_STATEMENT_TOO_COMPLEX ||
		ERRCODE_TO_CATEGORY(code) == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		ERRCODE_TO_CATEGORY(code) == ERRCODE_DATA_EXCEPTION;
}

/* The two texts of an input; false if it has only one. */
static bool
make_texts(const uint8 *input, size_t size, StringInfo schema, StringInfo instance)
{
	Choices		choices = {input + 1, input + size};
	const uint8 *line;

	if (input[0] >= ' ' && input[0] < 0x7f)
	{
		line = memchr(input, '\n', size);
		if (line == NULL)
			return false;
		appendBinaryStringInfo(schema, (const char *) input, line - input);
		appendBinaryStringInfo(instance, (const char *) line + 1, input + size - (line + 1));
		return pg_encoding_verifymbstr(PG_UTF8, schema->data, schema->len) == schema->len &&
			pg_encoding_verifymbstr(PG_UTF8, instance->data, instance->len) == instance->len;
	}
	make_schema(&choices, schema, 0);
	make_value(&choices, instance, 0);
	return true;
}

/* One input. */
static int
run(const uint8 *input, size_t size)
{
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(outer, "schema_fuzz", ALLOCSET_DEFAULT_SIZES);
	FmsSchemaOptions options = {.draft = size % 5, .formats = size % 2, .registry = false};
	volatile bool parsed = false;
	volatile bool compiled = false;
	Jsonb	   *volatile schema = NULL;
	StringInfoData schema_text;
	StringInfoData instance_text;

	if (size < 2)
		return 0;
	MemoryContextSwitchTo(context);
	initStringInfo(&schema_text);
	initStringInfo(&instance_text);
	PG_TRY();
	{
		if (make_texts(input, size, &schema_text, &instance_text))
		{
			Jsonb	   *instance;

			schema = parse(schema_text.data);
			instance = parse(instance_text.data);
			parsed = true;
			check(schema, instance, &options, &compiled);
		}
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (parsed && !is_expected(error->sqlerrcode))
			contradiction(error->message);
		if (parsed && !compiled && error->sqlerrcode == ERRCODE_INVALID_PARAMETER_VALUE &&
			JB_ROOT_COUNT(fms_compile_check(schema, &options)) == 0)
			contradiction("a schema that is refused and has no error");
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
	CHECK_FOR_INTERRUPTS();
	return 0;
}

/* A warning is a finding. */
static void
watch_log(ErrorData *error)
{
	if (error->elevel == WARNING)
		contradiction(error->message);
}

/* schema_fuzz(arguments text[]): run libFuzzer; ends the backend. */
Datum
schema_fuzz(PG_FUNCTION_ARGS)
{
	char	   *arguments[MAX_ARGUMENTS] = {"schema_fuzz"};
	char	  **argv = arguments;
	int			argc = 1;

	for (char *word = strtok(text_to_cstring(PG_GETARG_TEXT_PP(0)), " ");
		 word != NULL && argc < MAX_ARGUMENTS - 1; word = strtok(NULL, " "))
		arguments[argc++] = word;
	emit_log_hook = watch_log;
	PG_RETURN_INT32(LLVMFuzzerRunDriver(&argc, &argv, run));
}

/* schema_fuzz_text(input bytea) returns text: the two texts of an input */
Datum
schema_fuzz_text(PG_FUNCTION_ARGS)
{
	bytea	   *input = PG_GETARG_BYTEA_PP(0);
	StringInfoData schema;
	StringInfoData instance;

	initStringInfo(&schema);
	initStringInfo(&instance);
	if (VARSIZE_ANY_EXHDR(input) < 2 ||
		!make_texts((const uint8 *) VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input), &schema, &instance))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s\n%s", schema.data, instance.data)));
}
