/*-------------------------------------------------------------------------
 *
 * wording.c
 *	  The words for what is wrong with a tool call: those of zod 3.
 *
 * Models have seen zod's messages often and act on them, so texts and codes are
 * zod's, with one difference: the plural follows the number.  What zod has no
 * words for is told in its tone, with the code "custom".
 *
 * A message tells what is allowed, never the whole schema and never a value
 * longer than FMS_TOOL_SHOWN characters.  Numbers print as in JavaScript.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "span/jsonb.h"
#include "tool/tool.h"

#define MAX_DIGITS 21			/* of a number before it gets an exponent, as
								 * in JavaScript */

/* Append a text, clipped to FMS_TOOL_SHOWN characters. */
static void
append_clipped(StringInfo out, const char *text, int length)
{
	int			keep = pg_mbcharcliplen(text, length, FMS_TOOL_SHOWN);

	appendBinaryStringInfo(out, text, keep);
	if (keep < length)
		appendStringInfoString(out, "...");
}

/* See tool.h: the path of an issue with dots between its steps, "root" for none. */
char *
fms_tool_path(const FmsToolIssue *issue)
{
	StringInfoData out;

	if (issue->depth == 0)
		return "root";
	initStringInfo(&out);
	for (int i = 0; i < issue->depth; i++)
	{
		const FmsToolStep *step = &issue->path[i];

		if (i > 0)
			appendStringInfoChar(&out, '.');
		if (step->key == NULL)
			appendStringInfo(&out, "%u", step->index);
		else
			append_clipped(&out, step->key, step->length);
	}
	return out.data;
}

/*
 * Append a number as JavaScript prints it: from its digits, exactly, where a
 * double would round.
 */
static void
append_number(StringInfo out, Numeric number)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	StringInfoData digits;
	int			point = 0;		/* the value is 0.digits * 10 ^ point */
	bool		seen_point = false;

	initStringInfo(&digits);
	if (*text == '-')
		appendStringInfoChar(out, *text++);
	/* leading zeros are no digits; those behind the point move it to the left */
	for (; *text != '\0'; text++)
	{
		if (*text == '.')
			seen_point = true;
		else if (*text != '0' || digits.len > 0)
		{
			appendStringInfoChar(&digits, *text);
			point += !seen_point;
		}
		else if (seen_point)
			point--;
	}
	while (digits.len > 0 && digits.data[digits.len - 1] == '0')
		digits.data[--digits.len] = '\0';
	/* the cases of JavaScript's Number::toString */
	if (digits.len == 0)
		appendStringInfoChar(out, '0');
	else if (point > MAX_DIGITS || point <= -6)
	{
		appendStringInfoChar(out, digits.data[0]);
		if (digits.len > 1)
		{
			appendStringInfoChar(out, '.');
			append_clipped(out, digits.data + 1, digits.len - 1);
		}
		appendStringInfo(out, "e%+d", point - 1);
	}
	else if (point <= 0)
		appendStringInfo(out, "0.%.*s%.*s", -point, "00000", FMS_TOOL_SHOWN, digits.data);
	else if (digits.len <= point)
		appendStringInfo(out, "%s%.*s", digits.data, point - digits.len, "000000000000000000000");
	else
		appendStringInfo(out, "%.*s.%.*s", point, digits.data, FMS_TOOL_SHOWN, digits.data + point);
	pfree(digits.data);
}

/* Append a value; a string in single quotes, as zod lists it, or as JSON. */
static void
append_literal(StringInfo out, const JsonbValue *value, bool single_quotes)
{
	StringInfoData text;

	initStringInfo(&text);
	switch (value->type)
	{
		case jbvString:
			if (single_quotes)
			{
				appendStringInfoChar(out, '\'');
				append_clipped(out, value->val.string.val, value->val.string.len);
				appendStringInfoChar(out, '\'');
				break;
			}
			append_clipped(&text, value->val.string.val, value->val.string.len);
			escape_json(out, text.data);
			break;
		case jbvNumeric:
			append_number(out, value->val.numeric);
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvBinary:
			(void) JsonbToCString(&text, value->val.binary.data, value->val.binary.len);
			append_clipped(out, text.data, text.len);
			break;
		default:
			appendStringInfoString(out, "null");
	}
	pfree(text.data);
}

/* Append an array's values with bars between, as many as have room. */
static void
append_list(StringInfo out, FmsValue array)
{
	FmsCursor	cursor = fms_elements(array);
	uint32		count = fms_count(array);
	int			start = out->len;

	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue	value;

		CHECK_FOR_INTERRUPTS();
		fms_value_to_jsonb(fms_next(&cursor), &value);
		if (i > 0)
			appendStringInfoString(out, " | ");
		if (out->len - start > FMS_TOOL_LIST)
		{
			appendStringInfo(out, "... (%u more)", count - i);
			break;
		}
		append_literal(out, &value, true);
	}
}

/* See tool.h: JavaScript's name for the type of a value. */
const char *
fms_tool_type(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return "string";
		case jbvNumeric:
			return "number";
		case jbvBool:
			return "boolean";
		case jbvBinary:
			return JsonContainerIsObject(value->val.binary.data) ? "object" : "array";
		default:
			return "null";
	}
}

/* The bits of the kinds that a name in "type" allows. */
static uint32
kinds_of(FmsValue name)
{
	static const struct
	{
		const char *name;
		uint32		kinds;
	}			types[] =
	{
		{"string", FMS_KIND_BIT(FMS_KIND_STRING)},
		{"number", FMS_KIND_BIT(FMS_KIND_NUMBER)},
		{"integer", FMS_KIND_BIT(FMS_KIND_NUMBER)},
		{"boolean", FMS_KINDS_BOOLEAN},
		{"null", FMS_KIND_BIT(FMS_KIND_NULL)},
		{"array", FMS_KIND_BIT(FMS_KIND_ARRAY)},
		{"object", FMS_KIND_BIT(FMS_KIND_OBJECT)},
	};

	for (int i = 0; i < lengthof(types); i++)
		if (name.kind == FMS_KIND_STRING && strlen(types[i].name) == name.length &&
			memcmp(types[i].name, name.data, name.length) == 0)
			return types[i].kinds;
	return 0;
}

/* Add a name in "type" to what an issue wants. */
static void
add_type_word(FmsToolIssue *issue, FmsValue name)
{
	uint32		kinds = kinds_of(name);
	bool		integer = name.length == 7 && kinds == FMS_KIND_BIT(FMS_KIND_NUMBER);

	if (kinds == FMS_KIND_BIT(FMS_KIND_NUMBER))
		issue->integer = integer && (issue->integer || (issue->wanted & kinds) == 0);
	issue->wanted |= kinds;
}

/* A container or scalar of the validator's as one of value.h; false if it is none. */
static bool
container_value(const JsonbValue *value, FmsValue *out)
{
	if (value->type != jbvBinary)
		return false;
	out->data = (const char *) value->val.binary.data;
	out->length = value->val.binary.len;
	out->kind = JsonContainerIsObject(value->val.binary.data) ? FMS_KIND_OBJECT : FMS_KIND_ARRAY;
	return true;
}

/* A sibling of the failed keyword. */
static bool
sibling(const FmsSchemaError *error, const char *key, JsonbValue *value)
{
	return error->schema != NULL &&
		getKeyJsonValueFromContainer(unconstify(JsonbContainer *, error->schema),
									 key, strlen(key), value) != NULL;
}

/*
 * "type": what was expected.  null is left out where something else is allowed,
 * as zod's nullable() does.
 */
static void
describe_type(const FmsSchemaError *error, FmsToolIssue *issue, StringInfo text)
{
	/* by FMS_KIND_...; true and false are one */
	static const char *const names[] = {
		"string", "number", "boolean", NULL, "null", "array", "object"
	};
	FmsValue	list;
	uint32		shown;
	const char *separator = "";

	if (container_value(&error->keyword_value, &list))
	{
		FmsCursor	cursor = fms_elements(list);

		for (uint32 i = fms_count(list); i > 0; i--)
			add_type_word(issue, fms_next(&cursor));
	}
	else if (error->keyword_value.type == jbvString)
	{
		list.data = error->keyword_value.val.string.val;
		list.length = error->keyword_value.val.string.len;
		list.kind = FMS_KIND_STRING;
		add_type_word(issue, list);
	}
	if (error->instance.type == jbvNumeric && (issue->wanted & FMS_KIND_BIT(FMS_KIND_NUMBER)))
	{
		appendStringInfoString(text, "Expected integer, received float");
		return;
	}
	issue->mistyped = true;
	/* "Expected string | null" would invite a null where a text is meant */
	shown = issue->wanted;
	if (shown != FMS_KIND_BIT(FMS_KIND_NULL))
		shown &= ~FMS_KIND_BIT(FMS_KIND_NULL);
	appendStringInfoString(text, "Expected ");
	for (int kind = 0; kind < lengthof(names); kind++)
		if ((shown & FMS_KIND_BIT(kind)) && names[kind] != NULL)
		{
			appendStringInfo(text, "%s%s", separator, names[kind]);
			separator = " | ";
		}
	appendStringInfo(text, ", received %s", fms_tool_type(&error->instance));
}

/* Whether a keyword is a lower limit, not an upper one. */
static bool
is_minimum(const char *keyword)
{
	return strncmp(keyword, "min", 3) == 0;
}

/* A limit on a count: "String must contain at least 2 characters". */
static void
describe_count(const FmsSchemaError *error, FmsToolIssue *issue, StringInfo text,
			   const char *what, const char *unit, const char *units, const char *other)
{
	bool		low = is_minimum(error->keyword);
	JsonbValue	opposite;
	bool		exact;
	StringInfoData number;

	exact = error->keyword_value.type == jbvNumeric && sibling(error, other, &opposite) &&
		opposite.type == jbvNumeric &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(opposite.val.numeric),
										 NumericGetDatum(error->keyword_value.val.numeric)));
	initStringInfo(&number);
	append_literal(&number, &error->keyword_value, false);
	appendStringInfo(text, "%s must contain %s %s %s", what,
					 exact ? "exactly" : low ? "at least" : "at most", number.data,
					 strcmp(number.data, "1") == 0 ? unit : units);
	issue->code = low ? "too_small" : "too_big";
	pfree(number.data);
}

/* A limit on a number.  In draft 4 a keyword of its own says that it is exclusive. */
static void
describe_bound(const FmsSchemaError *error, FmsToolIssue *issue, StringInfo text)
{
	bool		exclusive = strncmp(error->keyword, "exclusive", 9) == 0;
	bool		low = strstr(error->keyword, exclusive ? "Minimum" : "minimum") != NULL;
	JsonbValue	bound = error->keyword_value;
	JsonbValue	flag;

	if (bound.type == jbvBool)
		(void) sibling(error, low ? "minimum" : "maximum", &bound);
	else if (sibling(error, low ? "exclusiveMinimum" : "exclusiveMaximum", &flag) &&
			 flag.type == jbvBool && flag.val.boolean)
		exclusive = true;
	appendStringInfo(text, "Number must be %s than %s",
					 low ? "greater" : "less", exclusive ? "" : "or equal to ");
	append_literal(text, &bound, false);
	issue->kind = low ? FMS_TOOL_LOW : FMS_TOOL_HIGH;
	issue->code = low ? "too_small" : "too_big";
}

/*
 * "pattern": where it is plain text that has to be included, or that the value
 * has to begin or end with, the message says so, as zod does for its checks of
 * these names.
 */
static void
describe_pattern(const FmsSchemaError *error, StringInfo text)
{
	const char *at = error->keyword_value.val.string.val;
	const char *end = at + error->keyword_value.val.string.len;
	bool		starts;
	bool		ends;
	StringInfoData literal;

	initStringInfo(&literal);

	/*
	 * an anchor at one end, and else nothing but characters that stand for
	 * themselves
	 */
	starts = at < end && *at == '^';
	at += starts;
	ends = at < end && end[-1] == '$' && (end - at < 2 || end[-2] != '\\');
	end -= ends;
	for (; at < end; at++)
	{
		if (*at == '\\' && end - at > 1 && !isalnum((unsigned char) at[1]))
			at++;
		else if (strchr("\\^$.*+?()[]{}|", *at) != NULL)
			break;
		appendStringInfoChar(&literal, *at);
	}

	/*
	 * both anchors around a text demand the text itself: zod has no words for
	 * that
	 */
	if (at < end || literal.len == 0 || (starts && ends))
		appendStringInfoString(text, "Invalid");
	else
	{
		JsonbValue	value;

		fms_jsonb_set_string(&value, literal.data, literal.len);
		appendStringInfo(text, "Invalid input: must %s ",
						 starts ? "start with" : ends ? "end with" : "include");
		append_literal(text, &value, false);
	}
	pfree(literal.data);
}

/* "enum": a value of a kind that is not among the allowed ones has a wrong type. */
static void
describe_enum(const FmsSchemaError *error, FmsToolIssue *issue, StringInfo text)
{
	FmsValue	list;
	FmsCursor	cursor;
	bool		alike = false;

	if (!container_value(&error->keyword_value, &list))
		return;
	cursor = fms_elements(list);
	/* is any allowed value of the type that was given? */
	for (uint32 i = fms_count(list); i > 0 && !alike; i--)
	{
		JsonbValue	value;

		fms_value_to_jsonb(fms_next(&cursor), &value);
		alike = strcmp(fms_tool_type(&value), fms_tool_type(&error->instance)) == 0;
	}
	issue->mistyped = !alike;
	issue->code = alike ? "invalid_enum_value" : "invalid_type";
	appendStringInfoString(text, alike ? "Invalid enum value. Expected " : "Expected ");
	append_list(text, list);
	appendStringInfoString(text, ", received ");
	if (alike)
		append_literal(text, &error->instance, true);
	else
		appendStringInfoString(text, fms_tool_type(&error->instance));
}

/* "format": under zod's name for it. */
static void
describe_format(const FmsSchemaError *error, StringInfo text)
{
	static const char *const names[][2] = {
		{"idn-email", "email"}, {"uri", "url"}, {"iri", "url"}, {"uri-reference", "url"},
		{"iri-reference", "url"}, {"date-time", "datetime"}, {"ipv4", "ip"}, {"ipv6", "ip"},
	};
	char	   *name = pnstrdup(error->keyword_value.val.string.val,
								Min(error->keyword_value.val.string.len, FMS_TOOL_SHOWN));

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(name, names[i][0]) == 0)
		{
			appendStringInfo(text, "Invalid %s", names[i][1]);
			return;
		}
	appendStringInfo(text, "Invalid %s", name);
}

/* The subschema of a branch, through references inside of the document; false: none. */
static bool
branch_of(FmsValue root, FmsValue branches, uint32 i, FmsValue *branch)
{
	*branch = fms_element(branches, i);
	return fms_tool_resolve(root, branch) && branch->kind == FMS_KIND_OBJECT;
}

/*
 * The constant that a branch of a union demands of a member; false if none.  An
 * enum of one value is one.
 */
static bool
branch_constant(FmsValue branch, const char *key, uint32 length, FmsValue *constant)
{
	FmsValue	properties;
	FmsValue	member;
	FmsValue	list;

	if (!fms_member(branch, "properties", 10, &properties, NULL) ||
		properties.kind != FMS_KIND_OBJECT ||
		!fms_member(properties, key, length, &member, NULL) || member.kind != FMS_KIND_OBJECT)
		return false;
	if (fms_member(member, "const", 5, constant, NULL))
		return true;
	if (!fms_member(member, "enum", 4, &list, NULL) || list.kind != FMS_KIND_ARRAY ||
		fms_count(list) != 1)
		return false;
	*constant = fms_element(list, 0);
	return true;
}

/*
 * The member that tells the branches of a union apart: each demands a constant of
 * it.  False if there is none.  Takes members of the first branch times branches.
 */
static bool
find_discriminator(FmsValue root, FmsValue branches, FmsValue *key)
{
	FmsValue	first;
	FmsValue	properties;
	FmsCursor	keys;
	FmsCursor	values;

	if (fms_count(branches) < 2 || !branch_of(root, branches, 0, &first) ||
		!fms_member(first, "properties", 10, &properties, NULL) ||
		properties.kind != FMS_KIND_OBJECT)
		return false;
	/* only what the first branch has can be in all of them */
	keys = fms_members(properties, &values);
	for (uint32 i = fms_count(properties); i > 0; i--)
	{
		FmsValue	branch;
		FmsValue	constant;
		uint32		found = 0;

		CHECK_FOR_INTERRUPTS();
		*key = fms_next(&keys);
		while (found < fms_count(branches) && branch_of(root, branches, found, &branch) &&
			   branch_constant(branch, key->data, key->length, &constant))
			found++;
		if (found == fms_count(branches))
			return true;
	}
	return false;
}

/* A union with a discriminator: tell about the branch that was meant. */
static void
describe_discriminated(FmsToolIssue *issue, FmsValue root, FmsValue branches, FmsValue instance,
					   FmsValue key, StringInfo text)
{
	FmsValue	actual;
	bool		present = fms_member(instance, key.data, key.length, &actual, NULL);

	resetStringInfo(text);
	appendStringInfoString(text, "Invalid discriminator value. Expected ");
	for (uint32 i = 0; i < fms_count(branches); i++)
	{
		FmsValue	branch;
		FmsValue	constant;
		JsonbValue	value;

		if (!branch_of(root, branches, i, &branch) ||
			!branch_constant(branch, key.data, key.length, &constant))
			continue;
		if (present && fms_value_equal(constant, actual))
			issue->branch = i;
		if (i > 0)
			appendStringInfoString(text, " | ");
		fms_value_to_jsonb(constant, &value);
		append_literal(text, &value, true);
	}
	if (issue->branch >= 0)
	{
		/* told only if the branch has nothing to tell: two of them hold */
		resetStringInfo(text);
		appendStringInfoString(text, "Invalid input");
		return;
	}
	issue->kind = FMS_TOOL_DISCRIMINATOR;
	issue->code = "invalid_union_discriminator";
	/* a path has room for one step more */
	issue->path[issue->depth].key = pnstrdup(key.data, key.length);
	issue->path[issue->depth].length = key.length;
	issue->path[issue->depth].rank = FMS_TOOL_OPTIONAL;
	issue->depth++;
}

/*
 * "anyOf" and "oneOf".  Where it is clear which branch was meant, because there
 * is a discriminator or all others are null, its issues are the ones to tell.
 */
static void
describe_union(const FmsSchemaError *error, FmsValue root, FmsToolIssue *issue, StringInfo text)
{
	FmsValue	branches;
	FmsValue	instance;
	FmsValue	key;
	int			meant = -1;
	int			candidates = 0;

	appendStringInfoString(text, "Invalid input");
	if (!container_value(&error->keyword_value, &branches))
		return;
	for (uint32 i = 0; i < fms_count(branches); i++)
	{
		FmsValue	branch;
		FmsValue	type;

		/* {"type": "null"}: the union is another schema made nullable */
		if (branch_of(root, branches, i, &branch) && fms_count(branch) == 1 &&
			fms_member(branch, "type", 4, &type, NULL) &&
			kinds_of(type) == FMS_KIND_BIT(FMS_KIND_NULL))
			continue;
		meant = i;
		candidates++;
	}
	if (candidates == 1)
		issue->branch = meant;
	else if (find_discriminator(root, branches, &key))
	{
		if (container_value(&error->instance, &instance) && instance.kind == FMS_KIND_OBJECT)
			describe_discriminated(issue, root, branches, instance, key, text);
		else
		{
			resetStringInfo(text);
			appendStringInfo(text, "Expected object, received %s", fms_tool_type(&error->instance));
			issue->kind = FMS_TOOL_DISCRIMINATOR;
			issue->code = "invalid_type";
		}
	}
}

/* Keywords, and what their failure is. */
static const struct
{
	const char *keyword;
	FmsToolKind kind;
	const char *code;
	const char *text;			/* NULL: put together from the schema */
}			keywords[] =
{
	{"required", FMS_TOOL_REQUIRED, "invalid_type", "Required"},
	{"dependentRequired", FMS_TOOL_REQUIRED, "invalid_type", "Required"},
	{"dependencies", FMS_TOOL_REQUIRED, "invalid_type", "Required"},
	{"type", FMS_TOOL_TYPE, "invalid_type", NULL},
	{"minLength", FMS_TOOL_LENGTH_LOW, "too_small", NULL},
	{"maxLength", FMS_TOOL_LENGTH_HIGH, "too_big", NULL},
	{"pattern", FMS_TOOL_PATTERN, "invalid_string", NULL},
	{"enum", FMS_TOOL_ENUM, "invalid_enum_value", NULL},
	{"minimum", FMS_TOOL_LOW, "too_small", NULL},
	{"exclusiveMinimum", FMS_TOOL_LOW, "too_small", NULL},
	{"maximum", FMS_TOOL_HIGH, "too_big", NULL},
	{"exclusiveMaximum", FMS_TOOL_HIGH, "too_big", NULL},
	{"multipleOf", FMS_TOOL_MULTIPLE, "not_multiple_of", NULL},
	{"minItems", FMS_TOOL_SIZE_LOW, "too_small", NULL},
	{"maxItems", FMS_TOOL_SIZE_HIGH, "too_big", NULL},
	{"minProperties", FMS_TOOL_SIZE_LOW, "too_small", NULL},
	{"maxProperties", FMS_TOOL_SIZE_HIGH, "too_big", NULL},
	{"const", FMS_TOOL_CONST, "invalid_literal", NULL},
	{"anyOf", FMS_TOOL_UNION, "invalid_union", NULL},
	{"oneOf", FMS_TOOL_UNION, "invalid_union", NULL},
	{"format", FMS_TOOL_FORMAT, "invalid_string", NULL},
	{"additionalProperties", FMS_TOOL_EXTRA, "unrecognized_keys", ""},
	{"unevaluatedProperties", FMS_TOOL_EXTRA, "unrecognized_keys", ""},
	{"properties", FMS_TOOL_EXTRA, "unrecognized_keys", ""},
	{"patternProperties", FMS_TOOL_EXTRA, "unrecognized_keys", ""},
	{"items", FMS_TOOL_TOO_MANY, "too_big", NULL},
	{"prefixItems", FMS_TOOL_TOO_MANY, "too_big", NULL},
	{"additionalItems", FMS_TOOL_TOO_MANY, "too_big", NULL},
	{"unevaluatedItems", FMS_TOOL_TOO_MANY, "too_big", NULL},
	{"uniqueItems", FMS_TOOL_OTHER, "custom", "Array items must be unique"},
	{"not", FMS_TOOL_OTHER, "custom", "Invalid input"},
};

/*
 * An element where the schema allows none: the array is too long.  The issue moves
 * from the element, whose index is the number allowed, to the array.
 */
static void
describe_too_many(FmsToolIssue *issue, StringInfo text)
{
	uint32		allowed = issue->path[--issue->depth].index;

	appendStringInfo(text, "Array must contain at most %u element%s", allowed,
					 allowed == 1 ? "" : "s");
}


/* Put the message of a keyword together. */
static void
compose(const FmsSchemaError *error, FmsValue root, FmsToolIssue *issue, StringInfo text)
{
	bool		low = is_minimum(error->keyword);

	switch (issue->kind)
	{
		case FMS_TOOL_TYPE:
			describe_type(error, issue, text);
			break;
		case FMS_TOOL_LENGTH_LOW:
		case FMS_TOOL_LENGTH_HIGH:
			describe_count(error, issue, text, "String", "character", "characters",
						   low ? "maxLength" : "minLength");
			break;
		case FMS_TOOL_SIZE_LOW:
		case FMS_TOOL_SIZE_HIGH:
			if (strcmp(error->keyword + 3, "Items") == 0)
				describe_count(error, issue, text, "Array", "element", "elements",
							   low ? "maxItems" : "minItems");
			else
				describe_count(error, issue, text, "Object", "key", "keys",
							   low ? "maxProperties" : "minProperties");
			break;
		case FMS_TOOL_LOW:
		case FMS_TOOL_HIGH:
			describe_bound(error, issue, text);
			break;
		case FMS_TOOL_MULTIPLE:
			appendStringInfoString(text, "Number must be a multiple of ");
			append_literal(text, &error->keyword_value, false);
			break;
		case FMS_TOOL_PATTERN:
			describe_pattern(error, text);
			break;
		case FMS_TOOL_ENUM:
			describe_enum(error, issue, text);
			break;
		case FMS_TOOL_CONST:
			issue->mistyped = error->keyword_value.type != error->instance.type;
			appendStringInfoString(text, "Invalid literal value, expected ");
			append_literal(text, &error->keyword_value, false);
			break;
		case FMS_TOOL_FORMAT:
			describe_format(error, text);
			break;
		case FMS_TOOL_UNION:
			describe_union(error, root, issue, text);
			break;
		case FMS_TOOL_TOO_MANY:
			describe_too_many(issue, text);
			break;
		default:
			append_clipped(text, error->message, strlen(error->message));
	}
}

/*
 * See tool.h: kind, code and message of a failure.  The message is palloc'd in the
 * current context, or a constant of the table; "" where tidying writes it.
 */
void
fms_tool_describe(const FmsSchemaError *error, FmsValue root, FmsToolIssue *issue)
{
	StringInfoData text;

	issue->kind = FMS_TOOL_OTHER;
	issue->code = "custom";
	issue->branch = -1;
	issue->name = fms_tool_is_name(error);
	for (int i = 0; i < lengthof(keywords); i++)
		if (strcmp(keywords[i].keyword, error->keyword) == 0)
		{
			issue->kind = keywords[i].kind;
			issue->code = keywords[i].code;
			issue->message = unconstify(char *, keywords[i].text);
		}
	/* where one text fits all failures of a keyword, the table has it */
	if (issue->message != NULL)
		return;
	initStringInfo(&text);
	if (issue->name)
		appendStringInfoString(&text, "Invalid key: ");
	compose(error, root, issue, &text);
	issue->message = text.data;
}
