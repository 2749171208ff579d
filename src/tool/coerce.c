/*-------------------------------------------------------------------------
 *
 * coerce.c
 *	  Arguments of a tool call, turned into what the schema wants.
 *
 * Models send "10" for 10, "true" for true, arrays and objects as strings, null
 * for what they leave out.  That is mended where the validator says that a
 * value is of a wrong type, and nowhere else: what is valid stays as it is.
 *
 * Nothing is guessed.  A string becomes a number if it is one in JSON, to its
 * last character, and a whole one where an integer is wanted; a boolean if it
 * is true or false in any case; an array or object if it is one in JSON.  A
 * null is left out where its member is not required.  Each change makes the
 * arguments smaller and may show new failures inside, so it is repeated until
 * there is nothing left to do; doing it again changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "span/jsonb.h"
#include "tool/tool.h"

#define MAX_NUMBER 400			/* characters of a string that is taken for a
								 * number */

/* One change. */
typedef struct ArgumentChange
{
	const FmsToolStep *path;
	int			depth;
	uint32		wanted;			/* kinds */
	const FmsToolIssue *issue;
	Jsonb	   *value;			/* the new one; NULL: leave it out */
} ArgumentChange;

/* All changes of one round, in jsonb's order of paths. */
typedef struct ArgumentChanges
{
	ArgumentChange *items;
	int			count;
} ArgumentChanges;

/* Order of two changes. */
static int
compare_changes(const void *left, const void *right)
{
	const ArgumentChange *a = left;
	const ArgumentChange *b = right;

	for (int i = 0; i < Min(a->depth, b->depth); i++)
	{
		int			order = fms_tool_compare_steps(&a->path[i], &b->path[i], false);

		if (order != 0)
			return order;
	}
	return a->depth - b->depth;
}

/*
 * Read a text as JSON; NULL if it is none, or none that jsonb can hold.  The
 * errors caught are those of a parser, which holds nothing but memory, so no
 * subtransaction is needed.  Others, a cancel or too deep a stack, go on.
 */
static Jsonb *
parse(const char *text, int length)
{
	char	   *terminated = pnstrdup(text, length);
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *volatile result = NULL;

	PG_TRY();
	{
		result = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(terminated)));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED &&
			ERRCODE_TO_CATEGORY(error->sqlerrcode) !=
			ERRCODE_TO_CATEGORY(ERRCODE_UNTRANSLATABLE_CHARACTER))
			PG_RE_THROW();
		FlushErrorState();
		FreeErrorData(error);
	}
	PG_END_TRY();
	return result;
}

/* A boolean as a jsonb. */
static Jsonb *
boolean_jsonb(bool value)
{
	JsonbValue	scalar;

	scalar.type = jbvBool;
	scalar.val.boolean = value;
	return JsonbValueToJsonb(&scalar);
}

/* Whether a jsonb is a number without a fraction. */
static bool
is_whole(const Jsonb *jsonb)
{
	FmsDecimal	decimal;

	fms_decimal_read(fms_value_of(jsonb), &decimal);
	return fms_decimal_integral(&decimal);
}

/* What a string becomes where these kinds are wanted; NULL: it stays. */
static Jsonb *
convert_string(const char *text, int length, uint32 wanted, bool integer)
{
	if ((wanted & FMS_KIND_BIT(FMS_KIND_NUMBER)) && length <= MAX_NUMBER &&
		IsValidJsonNumber(text, length))
	{
		Jsonb	   *number = parse(text, length);

		return number == NULL || (integer && !is_whole(number)) ? NULL : number;
	}
	if ((wanted & FMS_KINDS_BOOLEAN) && length == 4 && pg_strncasecmp(text, "true", 4) == 0)
		return boolean_jsonb(true);
	if ((wanted & FMS_KINDS_BOOLEAN) && length == 5 && pg_strncasecmp(text, "false", 5) == 0)
		return boolean_jsonb(false);
	if (((wanted & FMS_KIND_BIT(FMS_KIND_ARRAY)) && length > 1 && *text == '[' &&
		 text[length - 1] == ']') ||
		((wanted & FMS_KIND_BIT(FMS_KIND_OBJECT)) && length > 1 && *text == '{' &&
		 text[length - 1] == '}'))
		return parse(text, length);
	return NULL;
}

/* Whether a null that failed can be left out. */
static bool
is_optional_null(const FmsToolIssue *issue)
{
	const FmsToolStep *last;

	if (issue->instance.type != jbvNull || issue->depth == 0)
		return false;
	last = &issue->path[issue->depth - 1];
	return last->key != NULL && last->rank == FMS_TOOL_OPTIONAL &&
		(issue->kind == FMS_TOOL_TYPE || issue->kind == FMS_TOOL_ENUM ||
		 issue->kind == FMS_TOOL_CONST || issue->kind == FMS_TOOL_UNION);
}

/* The change that mends a failure, if there is one. */
static bool
mend(const FmsToolIssue *issue, ArgumentChange *change)
{
	change->path = issue->path;
	change->depth = issue->depth;
	change->issue = issue;
	change->value = NULL;
	if (issue->name)
		return false;
	if (is_optional_null(issue))
		return true;
	if (issue->kind != FMS_TOOL_TYPE || issue->instance.type != jbvString)
		return false;
	change->value = convert_string(issue->instance.val.string.val, issue->instance.val.string.len,
								   issue->wanted, issue->integer);
	return change->value != NULL;
}

/*
 * Find what can be mended, each value once: several keywords may have failed for
 * it, and of changes with one path any will do.
 */
static void
find_changes(const FmsToolIssues *issues, ArgumentChanges *changes)
{
	int			kept = 0;

	changes->items = palloc((issues->count + 1) * sizeof(ArgumentChange));
	changes->count = 0;
	for (int i = 0; i < issues->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (mend(&issues->items[i], &changes->items[changes->count]))
			changes->count++;
	}
	qsort(changes->items, changes->count, sizeof(ArgumentChange), compare_changes);
	for (int i = 0; i < changes->count; i++)
		if (kept == 0 || compare_changes(&changes->items[i], &changes->items[kept - 1]) != 0)
			changes->items[kept++] = changes->items[i];
	changes->count = kept;
}

static void rebuild(FmsJsonbState *state, FmsValue container, const ArgumentChange *first,
					const ArgumentChange *after, int depth);

/*
 * Push a member or element with the changes from *first on that are for it or
 * for something inside of it; *first moves behind them.  A change of the value
 * itself comes first, and there is none inside then.
 */
static void
push_changed(FmsJsonbState *state, const FmsToolStep *step, FmsValue value,
			 const ArgumentChange **first, const ArgumentChange *after, int depth)
{
	JsonbIteratorToken token = step->key != NULL ? WJB_VALUE : WJB_ELEM;
	const ArgumentChange *own = *first;
	bool		changed;
	bool		replaced;
	JsonbValue	pushed;

	while (*first < after && fms_tool_compare_steps(&(*first)->path[depth], step, false) == 0)
		(*first)++;
	changed = own < *first;
	replaced = changed && own->depth == depth + 1;
	/* left out, key and all */
	if (replaced && own->value == NULL)
		return;
	if (step->key != NULL)
	{
		fms_jsonb_set_string(&pushed, step->key, step->length);
		fms_jsonb_push(state, WJB_KEY, &pushed);
	}
	if (changed && !replaced)
	{
		rebuild(state, value, own, *first, depth + 1);
		return;
	}
	fms_value_to_jsonb(replaced ? fms_value_of(own->value) : value, &pushed);
	fms_jsonb_push(state, token, &pushed);
}

/* Push a container with the changes inside of it; all of them are deeper than "depth". */
static void
rebuild(FmsJsonbState *state, FmsValue container, const ArgumentChange *first,
		const ArgumentChange *after, int depth)
{
	bool		object = container.kind == FMS_KIND_OBJECT;
	uint32		count = fms_count(container);
	FmsCursor	keys = {0};
	FmsCursor	values;

	check_stack_depth();
	fms_jsonb_push(state, object ? WJB_BEGIN_OBJECT : WJB_BEGIN_ARRAY, NULL);
	if (object)
		keys = fms_members(container, &values);
	else
		values = fms_elements(container);
	for (uint32 i = 0; i < count; i++)
	{
		FmsToolStep step = {.index = i};

		CHECK_FOR_INTERRUPTS();
		if (object)
		{
			FmsValue	key = fms_next(&keys);

			step.key = key.data;
			step.length = key.length;
		}
		push_changed(state, &step, fms_next(&values), &first, after, depth);
	}
	fms_jsonb_push(state, object ? WJB_END_OBJECT : WJB_END_ARRAY, NULL);
}

/* The arguments with all changes of a round. */
static Jsonb *
apply_changes(Jsonb *arguments, const ArgumentChanges *changes)
{
	FmsJsonbState state = {0};

	if (changes->items[0].depth == 0)
		return changes->items[0].value;
	rebuild(&state, fms_value_of(arguments), changes->items, changes->items + changes->count, 0);
	return JsonbValueToJsonb(state.result);
}

/* Append what was changed to the list of changes. */
static void
list_coercions(const ArgumentChanges *changes, List **coercions)
{
	for (int i = 0; i < changes->count; i++)
	{
		const ArgumentChange *change = &changes->items[i];
		FmsToolCoercion *coercion = palloc(sizeof(FmsToolCoercion));
		JsonbValue	value;

		coercion->path = fms_tool_path(change->issue);
		coercion->from = fms_tool_type(&change->issue->instance);
		coercion->to = "undefined";
		if (change->value != NULL)
		{
			fms_value_to_jsonb(fms_value_of(change->value), &value);
			coercion->to = fms_tool_type(&value);
		}
		*coercions = lappend(*coercions, coercion);
	}
}

/*
 * See tool.h: the arguments as the schema wants them, as far as that goes.
 * Leaves in *issues what is still wrong.  Each round validates all anew.  The
 * rounds end: a change takes away a null, or a string whose own strings are
 * escaped once less afterwards.
 */
Jsonb *
fms_tool_coerce(FmsToolIssues *issues, const FmsProgram *program, Jsonb *schema, Jsonb *arguments,
				List **coercions)
{
	for (;;)
	{
		ArgumentChanges changes;

		fms_tool_collect(issues, program, schema, arguments);
		find_changes(issues, &changes);
		if (changes.count == 0)
			return arguments;
		arguments = apply_changes(arguments, &changes);
		list_coercions(&changes, coercions);
	}
}

/* Whether a schema's "type" is this one, or has it in its list. */
static bool
has_type(FmsValue type, const char *name)
{
	FmsCursor	names;

	if (type.kind == FMS_KIND_STRING)
		return type.length == strlen(name) && memcmp(type.data, name, type.length) == 0;
	if (type.kind != FMS_KIND_ARRAY)
		return false;
	names = fms_elements(type);
	for (uint32 i = fms_count(type); i > 0; i--)
	{
		FmsValue	element = fms_next(&names);

		if (element.kind == FMS_KIND_STRING && has_type(element, name))
			return true;
	}
	return false;
}

/* See tool.h: what arguments that are not there stand for; NULL: nothing. */
Jsonb *
fms_tool_missing(Jsonb *schema)
{
	FmsValue	root = fms_value_of(schema);
	FmsValue	type;
	FmsJsonbState state = {0};
	bool		object;

	if (root.kind != FMS_KIND_OBJECT || !fms_member(root, "type", 4, &type, NULL))
		return NULL;
	object = has_type(type, "object");
	if (!object && !has_type(type, "array"))
		return NULL;
	fms_jsonb_push(&state, object ? WJB_BEGIN_OBJECT : WJB_BEGIN_ARRAY, NULL);
	return fms_jsonb_end(&state, object ? WJB_END_OBJECT : WJB_END_ARRAY);
}
