/*-------------------------------------------------------------------------
 *
 * keyword.c
 *	  What each keyword of a schema means.
 *
 * One table has every keyword of every draft: where it belongs, the form its
 * value must have, and what it does to the node under construction.  A value of
 * the wrong form is an error that names the place; a keyword that is not in the
 * table, or not in the dialect, is ignored, as the specification says.
 *
 * When errors are gathered, apply functions go on after one: what they leave in
 * the node is never evaluated then.
 *
 * Keywords are applied in jsonb's order, by length and bytes; none may rely on
 * another one having been seen.  Ids and anchors are rows without a function:
 * document.c has read them before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "schema/compiler.h"
#include "schema/evaluate.h"

/* The form of a keyword's value. */
typedef enum Shape
{
	ANY,
	STRING,
	BOOLEAN,
	NUMBER,
	POSITIVE,					/* number above zero */
	COUNT,						/* whole number from zero on */
	ARRAY,
	OBJECT,
	STRINGS,					/* array of different strings */
	SCHEMA,
	SCHEMAS,					/* array of schemas, not empty */
	SCHEMA_MAP					/* object of schemas */
} Shape;

/* Rooms of a node. */
typedef enum Room
{
	NO_ROOM,
	NUMBER_ROOM,
	STRING_ROOM,
	ARRAY_ROOM,
	OBJECT_ROOM,
	GENERAL_ROOM
} Room;

typedef struct Keyword Keyword;

/* A keyword where it is used. */
typedef struct Use
{
	FmsBuilder *builder;
	const Keyword *keyword;
	FmsValue	value;
	const void *place;			/* of the value */
} Use;

struct Keyword
{
	const char *name;
	FmsDraft	first;			/* drafts that have it */
	FmsDraft	last;
	uint32		vocabulary;
	Shape		shape;
	void		(*apply) (Use *use);	/* NULL: only its form matters */
	Room		room;			/* where apply puts it */
	size_t		offset;			/* in that room */
};

/* drafts, short for the table */
#define D4 FMS_DRAFT_4
#define D6 FMS_DRAFT_6
#define D7 FMS_DRAFT_7
#define D19 FMS_DRAFT_2019_09
#define D20 FMS_DRAFT_2020_12

/* Say what is wrong with a keyword. */
#define complain(use, ...) \
	fms_compile_error((use)->builder->compiler, (use)->builder->node, (use)->keyword->name, \
					  __VA_ARGS__)

/*
 * The rules of a room, made when first wanted, with the limits that mean "no
 * limit".  They are in the program's context: they are what the program is made
 * of.
 */
static void *
room_of(FmsBuilder *builder, Room room)
{
	MemoryContext context = builder->compiler->program->context;

	switch (room)
	{
		case NUMBER_ROOM:
			if (builder->number == NULL)
				builder->number = MemoryContextAllocZero(context, sizeof(FmsNumberRules));
			return builder->number;
		case STRING_ROOM:
			if (builder->string == NULL)
			{
				builder->string = MemoryContextAllocZero(context, sizeof(FmsStringRules));
				builder->string->max_length = FMS_NO_LIMIT;
			}
			return builder->string;
		case ARRAY_ROOM:
			if (builder->array == NULL)
			{
				builder->array = MemoryContextAllocZero(context, sizeof(FmsArrayRules));
				builder->array->max_items = FMS_NO_LIMIT;
				builder->array->min_contains = 1;
				builder->array->max_contains = FMS_NO_LIMIT;
			}
			return builder->array;
		case OBJECT_ROOM:
			if (builder->object == NULL)
			{
				builder->object = MemoryContextAllocZero(context, sizeof(FmsObjectRules));
				builder->object->max_properties = FMS_NO_LIMIT;
			}
			return builder->object;
		default:
			if (builder->general == NULL)
				builder->general = MemoryContextAllocZero(context, sizeof(FmsGeneralRules));
			return builder->general;
	}
}

/* Where the table says that a keyword's value goes: a field of a room. */
static void *
slot_of(Use *use)
{
	return (char *) room_of(use->builder, use->keyword->room) + use->keyword->offset;
}

/* Compile a subschema.  In draft 4 only two keywords may have a boolean for it. */
static FmsNode *
child(Use *use, FmsValue schema, const void *place)
{
	if (use->builder->dialect->draft == D4 && FMS_IS_BOOLEAN(schema.kind) &&
		strncmp(use->keyword->name, "additional", strlen("additional")) != 0)
		complain(use, "must be an object in draft 4, not a boolean");
	return fms_compile_node(use->builder->compiler, schema, place, use->builder->node->resource);
}

/* Allocate in the program's context; counts come from the schema, hence huge. */
static void *
allocate_rules(Use *use, Size size)
{
	return MemoryContextAllocHuge(use->builder->compiler->program->context, size);
}

/*
 * The keywords whose value is a limit on a count.  One too large to be counted
 * becomes PG_UINT64_MAX: no maximum, or a minimum that nothing reaches.
 */
static void
apply_count(Use *use)
{
	FmsDecimal	decimal;

	fms_decimal_read(use->value, &decimal);
	*(uint64 *) slot_of(use) = fms_decimal_count(&decimal);
}

/* The bounds of numbers; their digits stay in the schema's jsonb. */
static void
apply_bound(Use *use)
{
	FmsBound   *bound = slot_of(use);

	bound->present = true;
	fms_decimal_read(use->value, &bound->decimal);
}

/* multipleOf. */
static void
apply_divisor(Use *use)
{
	*(FmsValue *) slot_of(use) = use->value;
}

/* Keywords that are on or off. */
static void
apply_flag(Use *use)
{
	*(bool *) slot_of(use) = use->value.kind == FMS_KIND_TRUE;
}

/* Keywords whose value is a schema. */
static void
apply_child(Use *use)
{
	FmsNode    *node = child(use, use->value, use->place);

	*(const FmsNode **) slot_of(use) = node;
}

/* Compile the elements of an array of schemas, for the list in the keyword's slot. */
static void
apply_children(Use *use)
{
	FmsNodeList *list = slot_of(use);
	FmsCursor	cursor = fms_elements(use->value);
	uint32		count = fms_count(use->value);

	list->nodes = allocate_rules(use, count * sizeof(FmsNode *));
	for (uint32 i = 0; i < count; i++)
	{
		const void *place = cursor.entry;

		list->nodes[i] = child(use, fms_next(&cursor), place);
	}
	list->count = count;
}

/* Subschemas that only matter if something refers to them. */
static void
apply_definitions(Use *use)
{
	FmsCursor	cursor;

	(void) fms_members(use->value, &cursor);
	for (uint32 i = 0; i < fms_count(use->value); i++)
	{
		const void *place = cursor.entry;

		(void) child(use, fms_next(&cursor), place);
	}
}

/* contentSchema: described, never applied; but it can be wrong, and have anchors. */
static void
apply_content(Use *use)
{
	(void) child(use, use->value, use->place);
}

/* items: for the elements after the prefix, or in old drafts the prefix itself. */
static void
apply_items(Use *use)
{
	FmsArrayRules *array = room_of(use->builder, ARRAY_ROOM);

	if (use->value.kind != FMS_KIND_ARRAY)
	{
		array->rest = child(use, use->value, use->place);
		return;
	}
	if (use->builder->dialect->draft > D19)
		complain(use, "must be a schema; a list of schemas is now \"prefixItems\"");
	array->prefix_is_items = true;
	apply_children(use);
}

/* additionalItems, which counts only beside a list under items. */
static void
apply_additional_items(Use *use)
{
	use->builder->additional_items = child(use, use->value, use->place);
}

/*
 * properties.  The nodes wait in the builder, because "required" of the same
 * schema goes into the same table.
 */
static void
apply_properties(Use *use)
{
	uint32		count = fms_count(use->value);
	FmsCursor	cursor;

	(void) fms_members(use->value, &cursor);
	use->builder->properties = use->value;
	use->builder->property_nodes = MemoryContextAllocHuge(use->builder->compiler->scratch,
														  count * sizeof(FmsNode *) + 1);
	for (uint32 i = 0; i < count; i++)
	{
		const void *place = cursor.entry;

		use->builder->property_nodes[i] = child(use, fms_next(&cursor), place);
	}
}

/* required. */
static void
apply_required(Use *use)
{
	if (use->builder->dialect->draft == D4 && fms_count(use->value) == 0)
		complain(use, "must not be empty");
	use->builder->required = use->value;
}

/*
 * Compile a pattern into the program's context; NULL after an error.  PCRE2's
 * memory counts for the size that the cache knows of the program.
 */
static const FmsPattern *
pattern_of(Use *use, FmsValue source)
{
	MemoryContext old = MemoryContextSwitchTo(use->builder->compiler->program->context);
	const char *error = NULL;
	const FmsPattern *pattern = fms_pattern_compile(source.data, source.length, &error);

	MemoryContextSwitchTo(old);
	if (pattern == NULL)
		complain(use, "is not a regular expression: %s", error);
	else
		use->builder->compiler->program->pattern_bytes += fms_pattern_size(pattern);
	return pattern;
}

/* pattern. */
static void
apply_pattern(Use *use)
{
	FmsStringRules *string = room_of(use->builder, STRING_ROOM);

	string->pattern = pattern_of(use, use->value);
}

/* patternProperties. */
static void
apply_pattern_properties(Use *use)
{
	FmsObjectRules *object = room_of(use->builder, OBJECT_ROOM);
	uint32		count = fms_count(use->value);
	FmsCursor	values;
	FmsCursor	names = fms_members(use->value, &values);

	object->patterns = allocate_rules(use, count * sizeof(FmsPatternProperty) + 1);
	for (uint32 i = 0; i < count; i++)
	{
		FmsValue	name = fms_next(&names);
		const void *place = values.entry;
		FmsPatternProperty *pattern = &object->patterns[i];

		pattern->source = name.data;
		pattern->length = name.length;
		pattern->pattern = pattern_of(use, name);
		pattern->node = child(use, fms_next(&values), place);
	}
	object->npatterns = count;
}

/* format, where it is an assertion; formats that we do not know always hold. */
static void
apply_format(Use *use)
{
	FmsFormat	format;

	if (!use->builder->dialect->formats)
		return;
	format = fms_format_lookup(use->value.data, use->value.length);
	if (format != FMS_FORMAT_NONE)
		((FmsStringRules *) room_of(use->builder, STRING_ROOM))->format = format;
}

/* Whether an array consists of different strings. */
static bool
are_strings(FmsValue value)
{
	uint32		count = value.kind == FMS_KIND_ARRAY ? fms_count(value) : 0;
	FmsCursor	cursor;
	uint32		first;
	uint32		second;

	if (value.kind != FMS_KIND_ARRAY)
		return false;
	cursor = fms_elements(value);
	while (count-- > 0)
	{
		if (fms_next(&cursor).kind != FMS_KIND_STRING)
			return false;
	}
	return fms_all_different(value, &first, &second);
}

/*
 * Add what dependencies, dependentRequired or dependentSchemas say.  A list of
 * names means members that have to be there too, anything else is a schema.
 */
static void
apply_dependencies(Use *use)
{
	FmsObjectRules *object = room_of(use->builder, OBJECT_ROOM);
	bool		combined = strcmp(use->keyword->name, "dependencies") == 0;
	bool		names_only = strcmp(use->keyword->name, "dependentRequired") == 0;
	uint32		count = fms_count(use->value);
	FmsDependency *dependencies = allocate_rules(use, (object->ndependencies + count) *
												 sizeof(FmsDependency) + 1);
	FmsCursor	values;
	FmsCursor	names = fms_members(use->value, &values);

	for (uint32 i = 0; i < object->ndependencies; i++)
		dependencies[i] = object->dependencies[i];
	for (uint32 i = 0; i < count; i++)
	{
		FmsDependency *dependency = &dependencies[object->ndependencies + i];
		const void *place = values.entry;
		FmsValue	name = fms_next(&names);
		FmsValue	value = fms_next(&values);

		memset(dependency, 0, sizeof(FmsDependency));
		dependency->key = name.data;
		dependency->length = name.length;
		dependency->combined = combined;
		if (names_only || (combined && value.kind == FMS_KIND_ARRAY))
		{
			if (!are_strings(value))
				complain(use, "member \"%s\" must be an array of different strings",
						 fms_value_string(name));
			else
				dependency->required = value;
		}
		else
			dependency->node = child(use, value, place);
	}
	object->dependencies = dependencies;
	object->ndependencies += count;
}

/* Take one name under "type"; "integer" is the bit above those of all kinds. */
static void
add_type(Use *use, FmsValue name, uint16 *kinds)
{
	static const struct
	{
		const char *name;
		uint16		kinds;
	}			types[] =
	{
		{"null", FMS_KIND_BIT(FMS_KIND_NULL)},
		{"array", FMS_KIND_BIT(FMS_KIND_ARRAY)},
		{"number", FMS_KIND_BIT(FMS_KIND_NUMBER)},
		{"object", FMS_KIND_BIT(FMS_KIND_OBJECT)},
		{"string", FMS_KIND_BIT(FMS_KIND_STRING)},
		{"boolean", FMS_KINDS_BOOLEAN},
		{"integer", FMS_KINDS_ALL + 1}
	};

	for (int i = 0; name.kind == FMS_KIND_STRING && i < lengthof(types); i++)
	{
		if (name.length == strlen(types[i].name) &&
			memcmp(name.data, types[i].name, name.length) == 0)
		{
			*kinds |= types[i].kinds;
			return;
		}
	}
	if (name.kind == FMS_KIND_STRING)
		complain(use, "\"%s\" is not a type", fms_value_string(name));
	else
		complain(use, "must be a string or an array of strings");
}

/* type. */
static void
apply_type(Use *use)
{
	uint16		kinds = 0;
	uint32		first;
	uint32		second;
	FmsNumberRules *number;

	if (use->value.kind == FMS_KIND_ARRAY)
	{
		FmsCursor	cursor = fms_elements(use->value);

		if (fms_count(use->value) == 0)
			complain(use, "must not be empty");
		if (!fms_all_different(use->value, &first, &second))
			complain(use, "has the same type twice");
		for (uint32 i = 0; i < fms_count(use->value); i++)
			add_type(use, fms_next(&cursor), &kinds);
	}
	else
		add_type(use, use->value, &kinds);
	/* a bit of its own for integers, which are no kind */
	if ((kinds & (FMS_KINDS_ALL + 1)) != 0 && (kinds & FMS_KIND_BIT(FMS_KIND_NUMBER)) == 0)
	{
		number = room_of(use->builder, NUMBER_ROOM);
		number->integer = true;
		number->no_point = use->builder->dialect->draft == D4;
		kinds |= FMS_KIND_BIT(FMS_KIND_NUMBER);
	}
	use->builder->node->declared = kinds & FMS_KINDS_ALL;
}

/* Order strings as jsonb orders keys. */
static int
compare_strings(const void *a, const void *b)
{
	const FmsValue *left = a;
	const FmsValue *right = b;

	return fms_key_compare(left->data, left->length, right->data, right->length);
}

/*
 * Put a value into a set of choices that has room for it.  Of null, true and
 * false it is enough to know that they are in it.
 */
static void
add_choice(FmsChoices *choices, FmsValue value)
{
	choices->kinds |= FMS_KIND_BIT(value.kind);
	if (value.kind == FMS_KIND_STRING)
		choices->strings[choices->nstrings++] = value;
	else if (value.kind == FMS_KIND_NUMBER || value.kind >= FMS_KIND_ARRAY)
		choices->others[choices->nothers++] = value;
}

/*
 * Add a set of choices to the node: the values of an array, or one constant.  A
 * node with both enum and const has two sets, which both must allow a value.
 */
static void
add_choices(Use *use, uint32 count, FmsCursor cursor, bool constant)
{
	FmsChoices *choices = allocate_rules(use, sizeof(FmsChoices));

	memset(choices, 0, sizeof(FmsChoices));
	choices->strings = allocate_rules(use, count * sizeof(FmsValue) + 1);
	choices->others = allocate_rules(use, count * sizeof(FmsValue) + 1);
	choices->constant = constant;
	choices->also = unconstify(FmsChoices *, use->builder->node->choices);
	for (uint32 i = 0; i < count; i++)
		add_choice(choices, constant ? use->value : fms_next(&cursor));
	qsort(choices->strings, choices->nstrings, sizeof(FmsValue), compare_strings);
	use->builder->node->choices = choices;
}

/* enum. */
static void
apply_enum(Use *use)
{
	if (use->builder->dialect->draft == D4 && fms_count(use->value) == 0)
		complain(use, "must not be empty");
	add_choices(use, fms_count(use->value), fms_elements(use->value), false);
}

/* const. */
static void
apply_const(Use *use)
{
	FmsCursor	none = {0};

	add_choices(use, 1, none, true);
}

/*
 * Draft 4: a bound is exclusive if a second keyword says so, which waits in the
 * builder because it may come before the bound.
 */
static void
apply_exclusive(Use *use)
{
	bool		value = use->value.kind == FMS_KIND_TRUE;

	if (use->builder->dialect->draft > D4)
		apply_bound(use);
	else if (strcmp(use->keyword->name, "exclusiveMinimum") == 0)
		use->builder->low_exclusive = value;
	else
		use->builder->high_exclusive = value;
}

/* $ref, $dynamicRef and $recursiveRef wait until the whole document is read. */
static void
apply_reference(Use *use)
{
	FmsCompiler *compiler = use->builder->compiler;
	MemoryContext old = MemoryContextSwitchTo(compiler->scratch);
	FmsReference *reference = palloc(sizeof(FmsReference));

	reference->node = use->builder->node;
	reference->rules = room_of(use->builder, GENERAL_ROOM);
	reference->uri = fms_value_string(use->value);
	reference->keyword = use->keyword->name;
	compiler->references = lappend(compiler->references, reference);
	MemoryContextSwitchTo(old);
}

#define IN_NUMBER(field) NUMBER_ROOM, offsetof(FmsNumberRules, field)
#define IN_STRING(field) STRING_ROOM, offsetof(FmsStringRules, field)
#define IN_ARRAY(field) ARRAY_ROOM, offsetof(FmsArrayRules, field)
#define IN_OBJECT(field) OBJECT_ROOM, offsetof(FmsObjectRules, field)
#define IN_GENERAL(field) GENERAL_ROOM, offsetof(FmsGeneralRules, field)
#define CORE FMS_VOCABULARY_CORE
#define APPLICATOR FMS_VOCABULARY_APPLICATOR
#define UNEVALUATED FMS_VOCABULARY_UNEVALUATED
#define VALIDATION FMS_VOCABULARY_VALIDATION
#define METADATA FMS_VOCABULARY_METADATA
#define CONTENT FMS_VOCABULARY_CONTENT

/*
 * All keywords, ordered by length and bytes as jsonb orders keys; find_keyword
 * relies on it.  A new one goes to its place in that order.
 */
static const Keyword keywords[] = {
	{"id", D4, D4, CORE, STRING},
	{"if", D7, D20, APPLICATOR, SCHEMA, apply_child, IN_GENERAL(condition)},
	{"$id", D6, D20, CORE, STRING},
	{"not", D4, D20, APPLICATOR, SCHEMA, apply_child, IN_GENERAL(none)},
	{"$ref", D4, D20, CORE, STRING, apply_reference},
	{"else", D7, D20, APPLICATOR, SCHEMA, apply_child, IN_GENERAL(otherwise)},
	{"enum", D4, D20, VALIDATION, ARRAY, apply_enum},
	{"then", D7, D20, APPLICATOR, SCHEMA, apply_child, IN_GENERAL(then)},
	{"type", D4, D20, VALIDATION, ANY, apply_type},
	{"$defs", D19, D20, CORE, SCHEMA_MAP, apply_definitions},
	{"allOf", D4, D20, APPLICATOR, SCHEMAS, apply_children, IN_GENERAL(all)},
	{"anyOf", D4, D20, APPLICATOR, SCHEMAS, apply_children, IN_GENERAL(any)},
	{"const", D6, D20, VALIDATION, ANY, apply_const},
	{"items", D4, D20, APPLICATOR, ANY, apply_items, IN_ARRAY(prefix)},
	{"oneOf", D4, D20, APPLICATOR, SCHEMAS, apply_children, IN_GENERAL(one)},
	{"title", D4, D20, METADATA, STRING},
	{"format", D4, D20, FMS_VOCABULARY_FORMAT, STRING, apply_format},
	{"$anchor", D19, D20, CORE, STRING},
	{"$schema", D4, D20, CORE, STRING},
	{"maximum", D4, D20, VALIDATION, NUMBER, apply_bound, IN_NUMBER(maximum)},
	{"minimum", D4, D20, VALIDATION, NUMBER, apply_bound, IN_NUMBER(minimum)},
	{"pattern", D4, D20, VALIDATION, STRING, apply_pattern},
	{"$comment", D7, D20, CORE, STRING},
	{"contains", D6, D20, APPLICATOR, SCHEMA, apply_child, IN_ARRAY(contains)},
	{"examples", D6, D20, METADATA, ARRAY},
	{"maxItems", D4, D20, VALIDATION, COUNT, apply_count, IN_ARRAY(max_items)},
	{"minItems", D4, D20, VALIDATION, COUNT, apply_count, IN_ARRAY(min_items)},
	{"readOnly", D7, D20, METADATA, BOOLEAN},
	{"required", D4, D20, VALIDATION, STRINGS, apply_required},
	{"maxLength", D4, D20, VALIDATION, COUNT, apply_count, IN_STRING(max_length)},
	{"minLength", D4, D20, VALIDATION, COUNT, apply_count, IN_STRING(min_length)},
	{"writeOnly", D7, D20, METADATA, BOOLEAN},
	{"deprecated", D19, D20, METADATA, BOOLEAN},
	{"multipleOf", D4, D20, VALIDATION, POSITIVE, apply_divisor, IN_NUMBER(divisor)},
	{"properties", D4, D20, APPLICATOR, SCHEMA_MAP, apply_properties},
	{"$dynamicRef", D20, D20, CORE, STRING, apply_reference},
	{"$vocabulary", D19, D20, CORE, OBJECT},
	{"definitions", D4, D20, CORE, SCHEMA_MAP, apply_definitions},
	{"description", D4, D20, METADATA, STRING},
	{"maxContains", D19, D20, VALIDATION, COUNT, apply_count, IN_ARRAY(max_contains)},
	{"minContains", D19, D20, VALIDATION, COUNT, apply_count, IN_ARRAY(min_contains)},
	{"prefixItems", D20, D20, APPLICATOR, SCHEMAS, apply_children, IN_ARRAY(prefix)},
	{"uniqueItems", D4, D20, VALIDATION, BOOLEAN, apply_flag, IN_ARRAY(unique)},
	{"dependencies", D4, D20, APPLICATOR, OBJECT, apply_dependencies},
	{"$recursiveRef", D19, D19, CORE, STRING, apply_reference},
	{"contentSchema", D19, D20, CONTENT, SCHEMA, apply_content},
	{"maxProperties", D4, D20, VALIDATION, COUNT, apply_count, IN_OBJECT(max_properties)},
	{"minProperties", D4, D20, VALIDATION, COUNT, apply_count, IN_OBJECT(min_properties)},
	{"propertyNames", D6, D20, APPLICATOR, SCHEMA, apply_child, IN_OBJECT(names)},
	{"$dynamicAnchor", D20, D20, CORE, STRING},
	{"additionalItems", D4, D19, APPLICATOR, SCHEMA, apply_additional_items},
	{"contentEncoding", D7, D20, CONTENT, STRING},
	{"$recursiveAnchor", D19, D19, CORE, BOOLEAN},
	{"contentMediaType", D7, D20, CONTENT, STRING},
	{"dependentSchemas", D19, D20, APPLICATOR, SCHEMA_MAP, apply_dependencies},
	{"exclusiveMaximum", D4, D20, VALIDATION, ANY, apply_exclusive, IN_NUMBER(exclusive_maximum)},
	{"exclusiveMinimum", D4, D20, VALIDATION, ANY, apply_exclusive, IN_NUMBER(exclusive_minimum)},
	{"unevaluatedItems", D19, D20, UNEVALUATED, SCHEMA, apply_child, IN_ARRAY(unevaluated)},
	{"dependentRequired", D19, D20, VALIDATION, OBJECT, apply_dependencies},
	{"patternProperties", D4, D20, APPLICATOR, SCHEMA_MAP, apply_pattern_properties},
	{"additionalProperties", D4, D20, APPLICATOR, SCHEMA, apply_child, IN_OBJECT(additional)},
	{"unevaluatedProperties", D19, D20, UNEVALUATED, SCHEMA, apply_child, IN_OBJECT(unevaluated)}
};

/* The table's row for a name, NULL if no draft has such a keyword. */
static const Keyword *
find_keyword(FmsValue name)
{
	int			low = 0;
	int			high = lengthof(keywords);

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		const Keyword *keyword = &keywords[middle];
		int			order = fms_key_compare(keyword->name, strlen(keyword->name),
											name.data, name.length);

		if (order == 0)
			return keyword;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Whether a value has no fraction, and no sign. */
static bool
is_count(FmsValue value)
{
	FmsDecimal	decimal;

	if (value.kind != FMS_KIND_NUMBER)
		return false;
	fms_decimal_read(value, &decimal);
	return !decimal.negative && fms_decimal_integral(&decimal);
}

/* Whether a value is a number above zero. */
static bool
is_positive(FmsValue value)
{
	FmsDecimal	decimal;

	if (value.kind != FMS_KIND_NUMBER)
		return false;
	fms_decimal_read(value, &decimal);
	return !decimal.negative && decimal.ndigits > 0;
}

/*
 * What a value must be, in words, NULL if it is.  Whether a value is a schema is
 * found out when it is compiled.
 */
static const char *
wrong_shape(Shape shape, FmsValue value)
{
	switch (shape)
	{
		case STRING:
			return value.kind == FMS_KIND_STRING ? NULL : "a string";
		case BOOLEAN:
			return FMS_IS_BOOLEAN(value.kind) ? NULL : "a boolean";
		case NUMBER:
			return value.kind == FMS_KIND_NUMBER ? NULL : "a number";
		case POSITIVE:
			return is_positive(value) ? NULL : "a number above 0";
		case COUNT:
			return is_count(value) ? NULL : "a whole number, not negative";
		case ARRAY:
			return value.kind == FMS_KIND_ARRAY ? NULL : "an array";
		case OBJECT:
		case SCHEMA_MAP:
			return value.kind == FMS_KIND_OBJECT ? NULL : "an object";
		case STRINGS:
			return are_strings(value) ? NULL : "an array of different strings";
		case SCHEMAS:
			return value.kind == FMS_KIND_ARRAY && fms_count(value) > 0 ? NULL :
				"an array of schemas, not empty";
		case SCHEMA:
		case ANY:
			break;
	}
	return NULL;
}

/* The shape of the two keywords that changed it after draft 4. */
static Shape
shape_of(const Keyword *keyword, FmsDraft draft)
{
	if (keyword->apply == apply_exclusive)
		return draft == D4 ? BOOLEAN : NUMBER;
	return keyword->shape;
}

/* Apply one keyword if the dialect has it. */
static void
apply_keyword(FmsBuilder *builder, FmsValue name, FmsValue value, const void *place)
{
	const Keyword *keyword = find_keyword(name);
	FmsDraft	draft = builder->dialect->draft;
	Use			use;
	const char *wrong;

	if (keyword == NULL || draft < keyword->first || draft > keyword->last ||
		(builder->dialect->vocabularies & keyword->vocabulary) == 0)
		return;
	use.builder = builder;
	use.keyword = keyword;
	use.value = value;
	use.place = place;
	wrong = wrong_shape(shape_of(keyword, draft), value);
	if (wrong != NULL)
		complain(&use, "must be %s", wrong);
	else if (keyword->apply != NULL)
		keyword->apply(&use);
}

/*
 * Apply the keywords of a schema object to its node.  Compiles the subschemas on
 * the way, so it is part of the compiler's recursion, which guards the stack.
 */
void
fms_keywords_apply(FmsBuilder *builder)
{
	FmsValue	schema = builder->node->schema;
	uint32		count = fms_count(schema);
	FmsCursor	values;
	FmsCursor	names = fms_members(schema, &values);
	FmsValue	reference;
	bool		alone;

	/*
	 * up to draft 7 a $ref stands alone, but others may refer to what is
	 * beside
	 */
	alone = builder->dialect->draft <= D7 &&
		fms_member_of_kind(schema, "$ref", FMS_KIND_STRING, &reference);
	for (uint32 i = 0; i < count; i++)
	{
		const void *place = values.entry;
		FmsValue	name = fms_next(&names);
		FmsValue	value = fms_next(&values);

		CHECK_FOR_INTERRUPTS();
		if (!alone || (name.length == 4 && memcmp(name.data, "$ref", 4) == 0) ||
			(name.length == 11 && memcmp(name.data, "definitions", 11) == 0))
			apply_keyword(builder, name, value, place);
	}
}
