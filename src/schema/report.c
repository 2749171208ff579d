/*-------------------------------------------------------------------------
 *
 * report.c
 *	  Why a value is not valid.
 *
 * Goes through the same program as the evaluator, with the same tests, but
 * stops at nothing: every keyword that fails is handed to the caller, with the
 * paths to the value and to the keyword.  Which branch of an anyOf, oneOf or if
 * holds is asked of the evaluator, so the two always agree.
 *
 * Order: for one value its type, then the keywords of its kind, then those for
 * any kind; in an object first what is missing, in the order of "required",
 * then the members in jsonb's order.  What unevaluatedItems and
 * unevaluatedProperties say about a value counts only if nothing else is wrong
 * with it.
 *
 * Steps of paths are on the stack, linked upwards; messages are in a scratch
 * context that is reset after each error, so a callback has to copy what it keeps.
 * The values that a message quotes are clipped in the caller's context first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "schema/evaluate.h"
#include "schema/uri.h"

#define MAX_VALUE_BYTES 200		/* of a value quoted in a message */

typedef struct Reporter
{
	FmsEvaluation evaluation;
	FmsSchemaErrorCallback callback;
	void	   *argument;
	int			limit;			/* errors that the caller wants at most */
	int			count;			/* errors handed over */
	uint32		branch;			/* nested anyOf, oneOf that we are in */
	FmsValue	member;			/* name that propertyNames looks at; data
								 * NULL: none */
	MemoryContext scratch;		/* reset after each error */
} Reporter;

/* A node that meets a value. */
typedef struct Spot
{
	const FmsNode *node;
	FmsValue	value;
	const FmsStep *instance;
	const FmsStep *path;		/* of keywords, to the node */
	const FmsNode *holder;		/* node that applied this one; NULL for the
								 * root */
	const char *keyword;		/* by which */
} Spot;

static void report_spot(Reporter *reporter, const Spot *spot);

/* The JSON text of a value, in full and palloc'd. */
static char *
value_text(FmsValue value)
{
	StringInfoData text;
	char	   *copy;

	if (value.kind == FMS_KIND_NUMBER)
		return DatumGetCString(DirectFunctionCall1(numeric_out, PointerGetDatum(value.data)));
	initStringInfo(&text);
	if (value.kind == FMS_KIND_STRING)
	{
		copy = pnstrdup(value.data, value.length);
		escape_json(&text, copy);
		pfree(copy);
	}
	else if (value.kind >= FMS_KIND_ARRAY)
		(void) JsonbToCString(&text, (JsonbContainer *) unconstify(char *, value.data),
							  value.length);
	else
		appendStringInfoString(&text, value.kind == FMS_KIND_NULL ? "null" :
							   value.kind == FMS_KIND_TRUE ? "true" : "false");
	return text.data;
}

/*
 * Append a value as JSON text, cut at a character if it is long.  The full text
 * goes back at once: a schema may quote a large constant in every error.
 */
static void
append_value(StringInfo out, FmsValue value)
{
	char	   *text = value_text(value);
	int			length = strlen(text);
	int			keep = pg_mbcliplen(text, length, MAX_VALUE_BYTES);

	appendBinaryStringInfo(out, text, keep);
	if (keep < length)
		appendStringInfoString(out, "...");
	pfree(text);
}

/* Append a string in quotes, as it would be in JSON. */
static void
append_string(StringInfo out, const char *data, uint32 length)
{
	FmsValue	value = {.data = data, .length = length, .kind = FMS_KIND_STRING};

	append_value(out, value);
}

/* The value of a keyword in a node's schema; false if it is not there. */
static bool
keyword_value(const FmsNode *node, const char *keyword, FmsValue *value)
{
	return node != NULL && node->schema.kind == FMS_KIND_OBJECT &&
		fms_member(node->schema, keyword, strlen(keyword), value, NULL);
}

/*
 * The URI of a keyword, or of a whole subschema if the keyword is NULL: that of
 * its resource, and a JSON pointer from there.  Found by searching the resource
 * for the place, which takes long but is only done for errors.
 */
static char *
absolute_location(const FmsProgram *program, const FmsNode *node, const char *keyword)
{
	const FmsResource *resource = &program->resources[node->resource];
	FmsDocument part = {.root = resource->schema, .place = resource->place};
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "%s#", resource->uri);
	fms_place_pointer(&out, &part, node->place);
	if (keyword != NULL)
		fms_pointer_append(&out, keyword, strlen(keyword));
	return out.data;
}

/*
 * Hand an error to the caller.  "node" holds the keyword, NULL if none does; "path"
 * leads to it.  Called in the scratch context, which is reset afterwards.
 */
static void
emit_at(Reporter *reporter, const Spot *spot, const FmsNode *node, const char *keyword,
		const FmsStep *path, const char *location, StringInfo message, FmsValue member)
{
	FmsSchemaError error = {0};
	FmsValue	value;

	error.instance_path = spot->instance;
	error.keyword_path = path;
	error.keyword = keyword;
	error.absolute_location = location;
	error.keyword_value.type = jbvNull;
	if (keyword_value(node, keyword, &value))
	{
		error.schema = (const JsonbContainer *) node->schema.data;
		fms_value_to_jsonb(value, &error.keyword_value);
	}
	fms_value_to_jsonb(spot->value, &error.instance);
	error.message = message->data;
	if (member.data == NULL)
		member = reporter->member;
	error.member = member.data;
	error.member_length = member.length;
	error.branch = reporter->branch;
	reporter->count++;
	reporter->callback(&error, reporter->argument);
}

static void fail(Reporter *reporter, const Spot *spot, const char *keyword, FmsValue member,
				 const char *format,...) pg_attribute_printf(5, 6);

/* Report that a keyword of the spot's node failed, with a message's format. */
static void
fail(Reporter *reporter, const Spot *spot, const char *keyword, FmsValue member,
	 const char *format,...)
{
	MemoryContext old;
	StringInfoData message;
	FmsStep		step = {.parent = spot->path, .key = keyword, .length = strlen(keyword)};

	if (reporter->count >= reporter->limit)
		return;
	old = MemoryContextSwitchTo(reporter->scratch);
	initStringInfo(&message);
	if (reporter->member.data != NULL)
	{
		appendStringInfoString(&message, "property name ");
		append_string(&message, reporter->member.data, reporter->member.length);
		appendStringInfoChar(&message, ' ');
	}
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&message, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}
	emit_at(reporter, spot, spot->node, keyword, &step,
			absolute_location(reporter->evaluation.program, spot->node, keyword), &message, member);
	MemoryContextSwitchTo(old);
	MemoryContextReset(reporter->scratch);
}

/* No member. */
static const FmsValue no_member = {0};

/* A value as text for a message; allocated. */
static char *
quoted(FmsValue value)
{
	StringInfoData out;

	initStringInfo(&out);
	append_value(&out, value);
	return out.data;
}

/* The ending of a count's noun. */
static const char *
plural(uint64 count)
{
	return count == 1 ? "" : "s";
}

/* Report a node against the same value, one keyword deeper. */
static void
descend(Reporter *reporter, const Spot *spot, const FmsNode *node, const FmsStep *path,
		const char *keyword)
{
	Spot		next = {.node = node, .value = spot->value, .instance = spot->instance,
	.path = path, .holder = spot->node, .keyword = keyword};

	report_spot(reporter, &next);
}

/* The same for a keyword whose value is one schema. */
static void
descend_keyword(Reporter *reporter, const Spot *spot, const FmsNode *node, const char *keyword)
{
	FmsStep		step = {.parent = spot->path, .key = keyword, .length = strlen(keyword)};

	descend(reporter, spot, node, &step, keyword);
}

/* The same for a keyword whose value is a list of schemas. */
static void
descend_list(Reporter *reporter, const Spot *spot, const FmsNodeList *list, const char *keyword)
{
	FmsStep		outer = {.parent = spot->path, .key = keyword, .length = strlen(keyword)};

	for (uint32 i = 0; i < list->count && reporter->count < reporter->limit; i++)
	{
		FmsStep		inner = {.parent = &outer, .index = i};

		descend(reporter, spot, list->nodes[i], &inner, keyword);
	}
}

/* Report a node against a child of the value. */
static void
descend_child(Reporter *reporter, const Spot *spot, const FmsNode *node, FmsValue child,
			  const FmsStep *instance, const FmsStep *path, const char *keyword)
{
	Spot		next = {.node = node, .value = child, .instance = instance, .path = path,
	.holder = spot->node, .keyword = keyword};

	report_spot(reporter, &next);
}

/*
 * A node that holds for nothing ("additionalProperties": false): the keyword that
 * applied it is what failed, so the error is told in terms of its holder.
 */
static void
report_false(Reporter *reporter, const Spot *spot)
{
	MemoryContext old;
	StringInfoData message;
	const FmsStep *last = spot->instance;
	const char *keyword = spot->keyword == NULL ? "" : spot->keyword;

	if (reporter->count >= reporter->limit)
		return;
	old = MemoryContextSwitchTo(reporter->scratch);
	initStringInfo(&message);
	if (reporter->member.data != NULL || (last != NULL && last->key != NULL))
	{
		appendStringInfoString(&message,
							   reporter->member.data != NULL ? "property name " : "property ");
		if (reporter->member.data != NULL)
			append_string(&message, reporter->member.data, reporter->member.length);
		else
			append_string(&message, last->key, last->length);
	}
	else
		appendStringInfoString(&message, last != NULL ? "item" : "value");
	appendStringInfoString(&message, " is not allowed");
	emit_at(reporter, spot, spot->holder, keyword, spot->path,
			absolute_location(reporter->evaluation.program, spot->node, NULL), &message, no_member);
	MemoryContextSwitchTo(old);
	MemoryContextReset(reporter->scratch);
}

/*
 * type.  The node may let fewer kinds pass than "type" does, because of what else
 * it applies; what "type" itself says is kept for this message.
 */
static void
report_type(Reporter *reporter, const Spot *spot)
{
	const FmsNode *node = spot->node;
	bool		integer = node->number != NULL && node->number->integer;
	FmsDecimal	number;
	FmsValue	names;
	StringInfoData expected;

	if ((node->declared & FMS_KIND_BIT(spot->value.kind)) != 0)
	{
		if (spot->value.kind != FMS_KIND_NUMBER || !integer)
			return;
		fms_decimal_read(spot->value, &number);
		if (fms_decimal_integral(&number) && (!node->number->no_point || number.scale == 0))
			return;
	}
	if (!keyword_value(node, "type", &names))
		return;
	initStringInfo(&expected);
	if (names.kind == FMS_KIND_STRING)
		appendBinaryStringInfo(&expected, names.data, names.length);
	else
	{
		FmsCursor	cursor = fms_elements(names);
		uint32		count = fms_count(names);

		for (uint32 i = 0; i < count; i++)
		{
			FmsValue	name = fms_next(&cursor);

			appendStringInfoString(&expected, i == 0 ? "" : i + 1 < count ? ", " : " or ");
			appendBinaryStringInfo(&expected, name.data, name.length);
		}
	}
	fail(reporter, spot, "type", no_member, "expected %s, got %s", expected.data,
		 integer && spot->value.kind == FMS_KIND_NUMBER ? "a number with a fraction" :
		 fms_value_type(spot->value));
	pfree(expected.data);
}

/* enum and const, each by itself; the list of values is cut if it is long. */
static void
report_choices(Reporter *reporter, const Spot *spot)
{
	for (const FmsChoices *choices = spot->node->choices; choices != NULL; choices = choices->also)
	{
		FmsChoices	alone = *choices;
		FmsValue	values = {0};
		StringInfoData list;
		FmsCursor	cursor;

		alone.also = NULL;
		if (fms_choices_allow(&alone, spot->value))
			continue;
		(void) keyword_value(spot->node, choices->constant ? "const" : "enum", &values);
		if (choices->constant)
		{
			fail(reporter, spot, "const", no_member, "must be %s", quoted(values));
			continue;
		}
		initStringInfo(&list);
		cursor = fms_elements(values);
		for (uint32 i = 0; i < fms_count(values); i++)
		{
			FmsValue	value = fms_next(&cursor);

			if (list.len > MAX_VALUE_BYTES)
			{
				appendStringInfoString(&list, ", ...");
				break;
			}
			appendStringInfoString(&list, i == 0 ? "" : ", ");
			append_value(&list, value);
		}
		fail(reporter, spot, "enum", no_member, "must be one of %s", list.data);
		pfree(list.data);
	}
}

/* The keywords for strings. */
static void
report_string(Reporter *reporter, const Spot *spot, const FmsStringRules *rules)
{
	FmsValue	source;

	if (!fms_length_within(spot->value, rules->min_length, FMS_NO_LIMIT))
		fail(reporter, spot, "minLength", no_member,
			 "must have at least " UINT64_FORMAT " character%s", rules->min_length,
			 plural(rules->min_length));
	if (!fms_length_within(spot->value, 0, rules->max_length))
		fail(reporter, spot, "maxLength", no_member,
			 "must have at most " UINT64_FORMAT " character%s", rules->max_length,
			 plural(rules->max_length));
	if (rules->pattern != NULL &&
		!fms_pattern_search(rules->pattern, spot->value.data, spot->value.length) &&
		keyword_value(spot->node, "pattern", &source))
		fail(reporter, spot, "pattern", no_member, "must match the pattern %s", quoted(source));
	if (!fms_format_check(rules->format, spot->value.data, spot->value.length) &&
		keyword_value(spot->node, "format", &source))
		fail(reporter, spot, "format", no_member, "must have the format %s", quoted(source));
}

/* One bound of a number. */
static void
report_bound(Reporter *reporter, const Spot *spot, const char *keyword, const FmsBound *bound,
			 int sign, bool exclusive)
{
	FmsDecimal	number;
	FmsValue	limit;

	fms_decimal_read(spot->value, &number);
	if (fms_bound_holds(bound, &number, sign, exclusive) ||
		!keyword_value(spot->node, keyword, &limit))
		return;
	fail(reporter, spot, keyword, no_member, "must be %s%s%s", sign > 0 ? ">" : "<",
		 exclusive ? " " : "= ", quoted(limit));
}

/* The keywords for numbers. */
static void
report_number(Reporter *reporter, const Spot *spot, const FmsNumberRules *rules)
{
	report_bound(reporter, spot, "minimum", &rules->minimum, 1, rules->low_exclusive);
	report_bound(reporter, spot, "maximum", &rules->maximum, -1, rules->high_exclusive);
	report_bound(reporter, spot, "exclusiveMinimum", &rules->exclusive_minimum, 1, true);
	report_bound(reporter, spot, "exclusiveMaximum", &rules->exclusive_maximum, -1, true);
	if (rules->divisor.data != NULL && !fms_decimal_multiple(spot->value, rules->divisor))
		fail(reporter, spot, "multipleOf", no_member, "must be a multiple of %s",
			 quoted(rules->divisor));
}

/* A count that is out of its limits. */
static void
report_count(Reporter *reporter, const Spot *spot, const char *low, uint64 min, const char *high,
			 uint64 max, const char *one, const char *many)
{
	uint32		count = fms_count(spot->value);

	if (count < min)
		fail(reporter, spot, low, no_member, "must have at least " UINT64_FORMAT " %s, has %u",
			 min, min == 1 ? one : many, count);
	if (count > max)
		fail(reporter, spot, high, no_member, "must have at most " UINT64_FORMAT " %s, has %u",
			 max, max == 1 ? one : many, count);
}

/* The elements against their schemas. */
static void
report_items(Reporter *reporter, const Spot *spot, const FmsArrayRules *rules)
{
	const char *prefix = rules->prefix_is_items ? "items" : "prefixItems";
	const char *rest = rules->rest_is_additional ? "additionalItems" : "items";
	FmsCursor	cursor = fms_elements(spot->value);
	uint32		count = fms_count(spot->value);

	if (rules->rest == NULL)
		count = Min(count, rules->prefix.count);
	for (uint32 i = 0; i < count && reporter->count < reporter->limit; i++)
	{
		bool		listed = i < rules->prefix.count;
		FmsStep		instance = {.parent = spot->instance, .index = i};
		FmsStep		outer = {.parent = spot->path, .key = listed ? prefix : rest};
		FmsStep		inner = {.parent = &outer, .index = i};

		CHECK_FOR_INTERRUPTS();
		outer.length = strlen(outer.key);
		descend_child(reporter, spot, listed ? rules->prefix.nodes[i] : rules->rest,
					  fms_next(&cursor), &instance, listed ? &inner : &outer, outer.key);
	}
}

/* contains: without minContains the lower limit is 1, and the keyword its own. */
static void
report_contains(Reporter *reporter, const Spot *spot, const FmsArrayRules *rules)
{
	FmsCursor	cursor = fms_elements(spot->value);
	uint32		count = fms_count(spot->value);
	uint64		found = 0;

	for (uint32 i = 0; i < count; i++)
		found += fms_evaluate(&reporter->evaluation, rules->contains, fms_next(&cursor));
	if (found < rules->min_contains)
		fail(reporter, spot, rules->min_contains == 1 ? "contains" : "minContains", no_member,
			 "must contain at least " UINT64_FORMAT " item%s of the kind under \"contains\", has "
			 UINT64_FORMAT, rules->min_contains, plural(rules->min_contains), found);
	if (found > rules->max_contains)
		fail(reporter, spot, "maxContains", no_member,
			 "must contain at most " UINT64_FORMAT " item%s of the kind under \"contains\", has "
			 UINT64_FORMAT, rules->max_contains, plural(rules->max_contains), found);
}

/* The keywords for arrays. */
static void
report_array(Reporter *reporter, const Spot *spot, const FmsArrayRules *rules)
{
	uint32		first;
	uint32		second;

	report_count(reporter, spot, "minItems", rules->min_items, "maxItems", rules->max_items,
				 "item", "items");
	if (rules->unique && !fms_all_different(spot->value, &first, &second))
		fail(reporter, spot, "uniqueItems", no_member, "items %u and %u are equal", first, second);
	if (rules->contains != NULL)
		report_contains(reporter, spot, rules);
	report_items(reporter, spot, rules);
}

/* Names that a list demands and the object does not have. */
static void
report_missing(Reporter *reporter, const Spot *spot, const char *keyword, FmsValue names,
			   const FmsDependency *dependency)
{
	FmsCursor	cursor = fms_elements(names);
	uint32		count = fms_count(names);

	for (uint32 i = 0; i < count && reporter->count < reporter->limit; i++)
	{
		FmsValue	name = fms_next(&cursor);
		char	   *text;

		CHECK_FOR_INTERRUPTS();
		if (fms_member(spot->value, name.data, name.length, NULL, NULL))
			continue;
		text = quoted(name);
		if (dependency == NULL)
			fail(reporter, spot, keyword, name, "property %s is missing", text);
		else
		{
			FmsValue	key = {.data = dependency->key, .length = dependency->length,
			.kind = FMS_KIND_STRING};

			fail(reporter, spot, keyword, name, "property %s is missing, because %s is there", text,
				 quoted(key));
		}
		pfree(text);
	}
}

/* dependencies, dependentRequired and dependentSchemas. */
static void
report_dependencies(Reporter *reporter, const Spot *spot, const FmsObjectRules *rules)
{
	for (uint32 i = 0; i < rules->ndependencies; i++)
	{
		const FmsDependency *dependency = &rules->dependencies[i];
		const char *keyword = dependency->combined ? "dependencies" :
			dependency->node != NULL ? "dependentSchemas" : "dependentRequired";
		FmsStep		outer = {.parent = spot->path, .key = keyword, .length = strlen(keyword)};
		FmsStep		inner = {.parent = &outer, .key = dependency->key,
		.length = dependency->length};

		CHECK_FOR_INTERRUPTS();
		if (!fms_member(spot->value, dependency->key, dependency->length, NULL, NULL))
			continue;
		if (dependency->node != NULL)
			descend(reporter, spot, dependency->node, &inner, keyword);
		else
			report_missing(reporter, spot, keyword, dependency->required, dependency);
	}
}

/*
 * A member's name, against propertyNames.  It has no path of its own: errors are
 * told of the object, with the name as their member.
 */
static void
report_name(Reporter *reporter, const Spot *spot, const FmsNode *names, FmsValue name)
{
	FmsValue	outer = reporter->member;
	FmsStep		step = {.parent = spot->path, .key = "propertyNames",
	.length = strlen("propertyNames")};

	reporter->member = name;
	descend_child(reporter, spot, names, name, spot->instance, &step, "propertyNames");
	reporter->member = outer;
}

/*
 * A member against all its schemas: the one of its name, those of the patterns
 * that its name matches, or else the one for additional members.
 */
static void
report_member(Reporter *reporter, const Spot *spot, const FmsObjectRules *rules, FmsValue name,
			  FmsValue value)
{
	const FmsProperty *property = fms_properties_find(&rules->properties, name);
	FmsStep		instance = {.parent = spot->instance, .key = name.data, .length = name.length};
	FmsStep		outer = {.parent = spot->path, .key = "properties", .length = strlen("properties")};
	FmsStep		inner = {.parent = &outer, .key = name.data, .length = name.length};
	bool		known = property != NULL && property->node != NULL;

	if (rules->names != NULL)
		report_name(reporter, spot, rules->names, name);
	if (known)
		descend_child(reporter, spot, property->node, value, &instance, &inner, "properties");
	outer.key = "patternProperties";
	outer.length = strlen(outer.key);
	for (uint32 i = 0; i < rules->npatterns; i++)
	{
		const FmsPatternProperty *pattern = &rules->patterns[i];

		if (!fms_pattern_search(pattern->pattern, name.data, name.length))
			continue;
		known = true;
		inner.key = pattern->source;
		inner.length = pattern->length;
		descend_child(reporter, spot, pattern->node, value, &instance, &inner, "patternProperties");
	}
	if (known || rules->additional == NULL)
		return;
	outer.key = "additionalProperties";
	outer.length = strlen(outer.key);
	descend_child(reporter, spot, rules->additional, value, &instance, &outer, outer.key);
}

/* The keywords for objects. */
static void
report_object(Reporter *reporter, const Spot *spot, const FmsObjectRules *rules)
{
	uint32		count = fms_count(spot->value);
	FmsCursor	values;
	FmsCursor	names = fms_members(spot->value, &values);
	FmsValue	required;

	if (rules->nrequired > 0 && keyword_value(spot->node, "required", &required))
		report_missing(reporter, spot, "required", required, NULL);
	report_count(reporter, spot, "minProperties", rules->min_properties, "maxProperties",
				 rules->max_properties, "property", "properties");
	for (uint32 i = 0; i < count && reporter->count < reporter->limit; i++)
	{
		FmsValue	name = fms_next(&names);

		CHECK_FOR_INTERRUPTS();
		report_member(reporter, spot, rules, name, fms_next(&values));
	}
	report_dependencies(reporter, spot, rules);
}

/*
 * anyOf and oneOf: what they say, and why none of their branches holds.  The errors
 * of the branches follow the one of the keyword, with "branch" above 0.
 */
static void
report_branches(Reporter *reporter, const Spot *spot, const FmsNodeList *list, const char *keyword,
				bool exactly_one)
{
	uint32		found = 0;
	uint32		holds[2] = {0};

	for (uint32 i = 0; i < list->count && found < 2; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (fms_evaluate(&reporter->evaluation, list->nodes[i], spot->value))
			holds[found++] = i;
	}
	if (found == 1 || (found > 0 && !exactly_one))
		return;
	if (found > 1)
	{
		fail(reporter, spot, keyword, no_member, "must match exactly one schema, matches %u and %u",
			 holds[0], holds[1]);
		return;
	}
	fail(reporter, spot, keyword, no_member,
		 exactly_one ? "must match exactly one schema, matches none" :
		 "must match at least one schema, matches none");
	reporter->branch++;
	descend_list(reporter, spot, list, keyword);
	reporter->branch--;
}

/* The keywords for any kind. */
static void
report_general(Reporter *reporter, const Spot *spot, const FmsGeneralRules *rules)
{
	if (rules->reference != NULL)
		descend_keyword(reporter, spot, rules->reference, "$ref");
	if (rules->dynamic != NULL)
		descend_keyword(reporter, spot, fms_dynamic_target(&reporter->evaluation, rules),
						rules->dynamic_keyword);
	descend_list(reporter, spot, &rules->all, "allOf");
	if (rules->any.count > 0)
		report_branches(reporter, spot, &rules->any, "anyOf", false);
	if (rules->one.count > 0)
		report_branches(reporter, spot, &rules->one, "oneOf", true);
	if (rules->none != NULL && fms_evaluate(&reporter->evaluation, rules->none, spot->value))
		fail(reporter, spot, "not", no_member, "must not match the schema under \"not\"");
	if (rules->condition == NULL)
		return;
	if (fms_evaluate(&reporter->evaluation, rules->condition, spot->value))
	{
		if (rules->then != NULL)
			descend_keyword(reporter, spot, rules->then, "then");
	}
	else if (rules->otherwise != NULL)
		descend_keyword(reporter, spot, rules->otherwise, "else");
}

/*
 * unevaluatedItems and unevaluatedProperties.  The evaluator finds out what the
 * other keywords have evaluated; they all hold, or we would not be here.
 */
static void
report_unevaluated(Reporter *reporter, const Spot *spot)
{
	bool		array = spot->value.kind == FMS_KIND_ARRAY;
	const char *keyword = array ? "unevaluatedItems" : "unevaluatedProperties";
	FmsStep		path = {.parent = spot->path, .key = keyword, .length = strlen(keyword)};
	const FmsNode *rest = NULL;
	FmsSeen    *seen;
	FmsCursor	names = {0};
	FmsCursor	values;

	if (array && spot->node->array != NULL)
		rest = spot->node->array->unevaluated;
	if (!array && spot->node->object != NULL)
		rest = spot->node->object->unevaluated;
	if (rest == NULL)
		return;
	seen = fms_seen_make(spot->value);
	(void) fms_evaluate_seen(&reporter->evaluation, spot->node, spot->value, seen);
	if (array)
		values = fms_elements(spot->value);
	else
		names = fms_members(spot->value, &values);
	for (uint32 i = 0; i < seen->count && reporter->count < reporter->limit; i++)
	{
		FmsStep		instance = {.parent = spot->instance, .index = i};
		FmsValue	value = fms_next(&values);

		CHECK_FOR_INTERRUPTS();
		if (!array)
		{
			FmsValue	name = fms_next(&names);

			instance.key = name.data;
			instance.length = name.length;
		}
		if (!fms_seen_get(seen, i))
			descend_child(reporter, spot, rest, value, &instance, &path, keyword);
	}
	pfree(seen->bits);
	pfree(seen);
}

/* Report everything about a node and a value, in the order that the file's head tells. */
static void
report_rules(Reporter *reporter, const Spot *spot)
{
	const FmsNode *node = spot->node;
	int			before = reporter->count;

	report_type(reporter, spot);
	if (spot->value.kind == FMS_KIND_STRING && node->string != NULL)
		report_string(reporter, spot, node->string);
	if (node->choices != NULL)
		report_choices(reporter, spot);
	if (spot->value.kind == FMS_KIND_NUMBER && node->number != NULL)
		report_number(reporter, spot, node->number);
	if (spot->value.kind == FMS_KIND_ARRAY && node->array != NULL)
		report_array(reporter, spot, node->array);
	if (spot->value.kind == FMS_KIND_OBJECT && node->object != NULL)
		report_object(reporter, spot, node->object);
	if (node->general != NULL)
		report_general(reporter, spot, node->general);
	if (node->tracks && spot->value.kind >= FMS_KIND_ARRAY && reporter->count == before)
		report_unevaluated(reporter, spot);
}

/* The same, in the dynamic scope of the node. */
static void
report_spot(Reporter *reporter, const Spot *spot)
{
	FmsScope	scope = {.outer = reporter->evaluation.scope, .resource = spot->node->resource};

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (reporter->count >= reporter->limit)
		return;
	if (spot->node->schema.kind == FMS_KIND_FALSE)
	{
		report_false(reporter, spot);
		return;
	}
	if (++reporter->evaluation.depth > FMS_MAX_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("JSON Schema validation is nested too deeply"),
				 errdetail("More than %d levels of schemas and values.", FMS_MAX_DEPTH)));
	reporter->evaluation.scope = &scope;
	report_rules(reporter, spot);
	reporter->evaluation.scope = scope.outer;
	reporter->evaluation.depth--;
}

/*
 * Hand every error of an instance to a callback, at most "limit" of them; how
 * many there were.  Zero means that the instance is valid.  What the callback is
 * given lives until it returns.  Raises ERRCODE_STATEMENT_TOO_COMPLEX as the
 * evaluator does.
 */
int
fms_schema_report(const FmsProgram *program, const Jsonb *instance, int limit,
				  FmsSchemaErrorCallback callback, void *argument)
{
	Reporter	reporter = {.evaluation = {.program = program}, .callback = callback,
	.argument = argument, .limit = limit};
	Spot		spot = {.node = program->root, .value = fms_value_of(instance)};

	if (fms_schema_is_valid(program, instance))
		return 0;
	reporter.scratch = AllocSetContextCreate(CurrentMemoryContext, "JSON Schema report",
											 ALLOCSET_DEFAULT_SIZES);
	report_spot(&reporter, &spot);
	MemoryContextDelete(reporter.scratch);
	return reporter.count;
}

/* Append a path as a JSON pointer; recursive, because it is linked from its end. */
void
fms_schema_pointer(StringInfo out, const FmsStep *path)
{
	if (path == NULL)
		return;
	check_stack_depth();
	fms_schema_pointer(out, path->parent);
	if (path->key != NULL)
		fms_pointer_append(out, path->key, path->length);
	else
		appendStringInfo(out, "/%u", path->index);
}
