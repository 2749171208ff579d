/*-------------------------------------------------------------------------
 *
 * issue.c
 *	  What the validator reports about a tool call, in the form and order in
 *	  which it is told.
 *
 * The validator reports every keyword that fails.  A model wants each mistake
 * once: a value of a wrong type is one issue, keys too many are one issue of
 * their object, and of a union either the one branch that was meant is told
 * about, or the union as a whole.
 *
 * Order: an object's members as its "required" lists them, then the others in
 * jsonb's order; what is wrong with a container itself comes before its members
 * (keys too many: after them), several issues of a value in the order of
 * FmsToolKind.  jsonb does not know the order in which a schema was written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "tool/tool.h"

#define MAX_FAILURES 10000		/* that are looked at; what is above is not
								 * told */
#define MAX_COPIED 500000		/* steps of paths of failures, in all */
#define MAX_HOPS 16				/* of references to references */
#define MAX_STEPS 64			/* of a reference's pointer that are followed */

/* keywords by how they go on in a schema and in the value */
static const struct
{
	const char *keyword;
	bool		named;			/* the next step is a name or a number */
	bool		descends;		/* into a member or element */
}			paths[] =
{
	{"properties", true, true},
	{"patternProperties", true, true},
	{"additionalProperties", false, true},
	{"unevaluatedProperties", false, true},
	{"prefixItems", true, true},
	{"items", false, true},		/* named in older drafts: see
								 * walk_to_keyword() */
	{"additionalItems", false, true},
	{"unevaluatedItems", false, true},
	{"dependentSchemas", true, false},
	{"dependencies", true, false},
	{"allOf", true, false},
	{"anyOf", true, false},
	{"oneOf", true, false},
};

/* The number in a text, or -1; no index of a jsonb has more than nine digits. */
static int64
index_of(const char *text, uint32 length)
{
	int64		index = 0;

	if (length == 0 || length > 9)
		return -1;
	for (uint32 i = 0; i < length; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return -1;
		index = index * 10 + (text[i] - '0');
	}
	return index;
}

/* A step down in a schema document. */
static bool
step_into(FmsValue *value, const char *key, uint32 length, int64 index)
{
	if (value->kind == FMS_KIND_OBJECT)
		return fms_member(*value, key, length, value, NULL);
	if (value->kind != FMS_KIND_ARRAY || index < 0 || index >= fms_count(*value))
		return false;
	*value = fms_element(*value, index);
	return true;
}

/* Follow a JSON pointer, without its first slash; "~0" and "~1" only. */
static bool
follow_schema_pointer(FmsValue *value, const char *pointer, uint32 length)
{
	const char *end = pointer + length;

	for (int steps = 0; steps < MAX_STEPS; steps++)
	{
		char	   *key = palloc(end - pointer + 1);
		uint32		bytes = 0;

		for (; pointer < end && *pointer != '/'; pointer++)
		{
			if (*pointer == '~' && end - pointer > 1)
				key[bytes++] = *++pointer == '0' ? '~' : '/';
			else
				key[bytes++] = *pointer;
		}
		if (!step_into(value, key, bytes, index_of(key, bytes)))
			return false;
		pfree(key);
		if (pointer == end)
			return true;
		pointer++;
	}
	return false;
}

/*
 * See tool.h: follow a schema's "$ref" while it is one into the same document.
 * False for others; they only matter for the order and for unions.
 */
bool
fms_tool_resolve(FmsValue root, FmsValue *schema)
{
	for (int hops = 0; hops < MAX_HOPS; hops++)
	{
		FmsValue	reference;

		if (schema->kind != FMS_KIND_OBJECT || !fms_member(*schema, "$ref", 4, &reference, NULL))
			return true;
		if (reference.kind != FMS_KIND_STRING || reference.length == 0 || reference.data[0] != '#')
			return false;
		*schema = root;
		if (reference.length > 1 &&
			(reference.data[1] != '/' ||
			 !follow_schema_pointer(schema, reference.data + 2, reference.length - 2)))
			return false;
	}
	return false;
}

/* The place of a member in a schema's "required". */
static uint32
rank_of(FmsValue schema, const FmsToolStep *step)
{
	FmsValue	required;
	FmsCursor	names;
	uint32		count;

	if (step->key == NULL || schema.kind != FMS_KIND_OBJECT ||
		!fms_member(schema, "required", 8, &required, NULL) || required.kind != FMS_KIND_ARRAY)
		return FMS_TOOL_OPTIONAL;
	names = fms_elements(required);
	count = fms_count(required);
	for (uint32 i = 0; i < count; i++)
	{
		FmsValue	name = fms_next(&names);

		if (name.kind == FMS_KIND_STRING && name.length == step->length &&
			memcmp(name.data, step->key, name.length) == 0)
			return i;
	}
	return FMS_TOOL_OPTIONAL;
}

/*
 * Walk from the root of the schema to the keyword, and rank the members on the
 * way; from where that does not work, members count as optional.
 */
static void
walk_to_keyword(FmsValue root, FmsToolIssue *issue)
{
	FmsValue	schema = root;
	int			level = 0;

	for (int i = 0; i < issue->depth; i++)
		issue->path[i].rank = FMS_TOOL_OPTIONAL;
	for (int i = 0; i < issue->place_depth; i++)
	{
		const FmsToolStep *step = &issue->place[i];
		bool		named = false;

		if (step->key == NULL)
			return;

		/*
		 * a member that is missing is a step of its path, but not of the
		 * keyword's
		 */
		if (issue->kind == FMS_TOOL_REQUIRED && i == issue->place_depth - 1 && level < issue->depth)
			issue->path[level].rank = rank_of(schema, &issue->path[level]);
		for (int k = 0; k < lengthof(paths); k++)
			if (strlen(paths[k].keyword) == step->length &&
				memcmp(paths[k].keyword, step->key, step->length) == 0)
			{
				named = paths[k].named;
				if (paths[k].descends && level < issue->depth)
				{
					issue->path[level].rank = rank_of(schema, &issue->path[level]);
					level++;
				}
			}
		/* the path goes on in the schema that is referred to */
		if (step->length == 4 && memcmp(step->key, "$ref", 4) == 0)
		{
			if (!fms_tool_resolve(root, &schema))
				return;
			continue;
		}
		if (!step_into(&schema, step->key, step->length, -1))
			return;
		named |= schema.kind == FMS_KIND_ARRAY;
		if (named && ++i < issue->place_depth &&
			!step_into(&schema, issue->place[i].key, issue->place[i].length, issue->place[i].index))
			return;
	}
}

/* A validator's path as an array, with room for one step more. */
static FmsToolStep *
copy_path(const FmsStep *path, int *depth)
{
	FmsToolStep *steps;

	*depth = 0;
	for (const FmsStep *step = path; step != NULL; step = step->parent)
		(*depth)++;
	steps = palloc0((*depth + 1) * sizeof(FmsToolStep));
	for (int i = *depth; path != NULL; path = path->parent)
	{
		i--;
		steps[i].key = path->key == NULL ? NULL : pnstrdup(path->key, path->length);
		steps[i].length = path->length;
		steps[i].index = path->index;
		steps[i].rank = FMS_TOOL_OPTIONAL;
	}
	return steps;
}

/* What the callback needs. */
typedef struct Collector
{
	FmsToolIssues *issues;
	MemoryContext context;
} Collector;

/*
 * Take one failure; called by the validator, in a context that goes.  Paths and
 * texts are copied; values stay where they are, in the arguments and the schema.
 */
static void
take_failure(const FmsSchemaError *error, void *argument)
{
	Collector  *collector = argument;
	FmsToolIssues *issues = collector->issues;
	MemoryContext old = MemoryContextSwitchTo(collector->context);
	FmsToolIssue *issue;

	/*
	 * what is wrong ever deeper in a schema that applies itself says nothing
	 * new
	 */
	if (issues->copied > MAX_COPIED)
	{
		MemoryContextSwitchTo(old);
		return;
	}
	if (issues->count == issues->room)
	{
		issues->room *= 2;
		issues->items = repalloc(issues->items, issues->room * sizeof(FmsToolIssue));
	}
	issue = &issues->items[issues->count++];
	memset(issue, 0, sizeof(FmsToolIssue));
	issue->path = copy_path(error->instance_path, &issue->depth);
	issue->place = copy_path(error->keyword_path, &issue->place_depth);
	issues->copied += issue->depth + issue->place_depth;
	issue->instance = error->instance;
	if (error->member != NULL)
	{
		FmsToolStep *member = &issue->path[issue->depth++];

		member->key = pnstrdup(error->member, error->member_length);
		member->length = error->member_length;
		member->rank = FMS_TOOL_OPTIONAL;
	}
	fms_tool_describe(error, issues->schema, issue);
	walk_to_keyword(issues->schema, issue);
	MemoryContextSwitchTo(old);
}

/*
 * See tool.h: gather the failures of a validation, in the validator's order, on
 * which tidy_union and lift_extra rely.
 */
void
fms_tool_collect(FmsToolIssues *issues, const FmsProgram *program, Jsonb *schema,
				 const Jsonb *instance)
{
	Collector	collector = {issues, CurrentMemoryContext};

	issues->room = 8;
	issues->count = 0;
	issues->copied = 0;
	issues->items = palloc(issues->room * sizeof(FmsToolIssue));
	issues->schema = fms_value_of(schema);
	(void) fms_schema_report(program, instance, MAX_FAILURES, take_failure, &collector);
}

/* See tool.h: order of two steps from the same container. */
int
fms_tool_compare_steps(const FmsToolStep *a, const FmsToolStep *b, bool ranked)
{
	if (a->key == NULL || b->key == NULL)
		return a->key != NULL ? 1 : b->key != NULL ? -1 :
			a->index < b->index ? -1 : a->index > b->index;
	if (ranked && a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return fms_key_compare(a->key, a->length, b->key, b->length);
}

/* Whether two issues have the same path. */
static bool
same_path(const FmsToolIssue *a, const FmsToolIssue *b)
{
	if (a->depth != b->depth)
		return false;
	for (int i = 0; i < a->depth; i++)
		if (fms_tool_compare_steps(&a->path[i], &b->path[i], false) != 0)
			return false;
	return true;
}

/* Order in which issues are told. */
static int
compare_issues(const void *left, const void *right)
{
	const FmsToolIssue *a = left;
	const FmsToolIssue *b = right;
	int			common = Min(a->depth, b->depth);

	for (int i = 0; i < common; i++)
	{
		int			order = fms_tool_compare_steps(&a->path[i], &b->path[i], true);

		if (order != 0)
			return order;
	}
	/* one is the container of the other */
	if (a->depth != b->depth)
	{
		bool		outer_last = (a->depth < b->depth ? a : b)->kind == FMS_TOOL_EXTRA;

		return (a->depth < b->depth) == outer_last ? 1 : -1;
	}
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->extra && b->extra)
		return fms_tool_compare_steps(&a->path[a->depth], &b->path[b->depth], false);
	return strcmp(a->message, b->message);
}

/* Whether an issue was found inside of a branch of a union; which one. */
static bool
is_inside(const FmsToolIssue *issue, const FmsToolIssue *outer, int32 *branch)
{
	if (issue->place_depth <= outer->place_depth)
		return false;
	for (int i = 0; i < outer->place_depth; i++)
		if (fms_tool_compare_steps(&issue->place[i], &outer->place[i], false) != 0)
			return false;
	*branch = issue->place[outer->place_depth].index;
	return true;
}

/*
 * Decide for a union whether it is told as one or by the branch that was meant,
 * if that branch has anything to tell.  The validator reports a union before
 * its branches, so those inside follow it.
 */
static void
tidy_union(FmsToolIssues *issues, int at)
{
	FmsToolIssue *outer = &issues->items[at];
	int32		branch;
	bool		told = false;

	for (int i = at + 1; i < issues->count; i++)
	{
		FmsToolIssue *issue = &issues->items[i];

		CHECK_FOR_INTERRUPTS();

		/*
		 * the same keyword can be met for many values: the path tells them
		 * apart
		 */
		if (!is_inside(issue, outer, &branch))
			break;
		if (outer->branch >= 0 && branch == outer->branch)
			told = true;
		else
			issue->dropped = true;
	}
	outer->dropped |= told;
}

/*
 * Of the issues of one value that say that its type is wrong, keep the best: the
 * last kind of FmsToolKind, as a list of values tells more than a type.
 */
static void
tidy_types(FmsToolIssues *issues, int first, int after)
{
	FmsToolIssue *best = NULL;

	for (int i = first; i < after; i++)
	{
		FmsToolIssue *issue = &issues->items[i];

		if (!issue->mistyped || issue->dropped)
			continue;
		if (best != NULL)
			(issue->kind > best->kind ? best : issue)->dropped = true;
		if (best == NULL || issue->kind > best->kind)
			best = issue;
	}
}

/* Forget the issues that are dropped. */
static void
compact(FmsToolIssues *issues)
{
	int			kept = 0;

	for (int i = 0; i < issues->count; i++)
		if (!issues->items[i].dropped)
			issues->items[kept++] = issues->items[i];
	issues->count = kept;
}

/*
 * Make keys too many an issue of their object; each key is the step after its
 * path.  Of elements too many, which come in order, the first says it all.
 */
static void
lift_extra(FmsToolIssues *issues)
{
	for (int i = 0; i < issues->count; i++)
	{
		FmsToolIssue *issue = &issues->items[i];

		if (i > 0 && issue->kind == FMS_TOOL_TOO_MANY && issue[-1].kind == FMS_TOOL_TOO_MANY &&
			same_path(issue, &issue[-1]))
			issue->dropped = true;
		if (issue->kind != FMS_TOOL_EXTRA || issue->depth == 0)
			continue;
		issue->depth--;
		issue->extra = true;
	}
}

/* Tell the keys too many of one object in one issue; they are in order. */
static void
tidy_extra(FmsToolIssues *issues, int first, int after)
{
	StringInfoData keys;
	int			count = 0;
	int			unlisted = 0;
	FmsToolIssue *told = NULL;

	for (int i = first; i < after; i++)
	{
		FmsToolIssue *issue = &issues->items[i];
		const FmsToolStep *key = &issue->path[issue->depth];

		if (!issue->extra)
			continue;
		if (told == NULL)
			initStringInfo(&keys);
		else if (compare_issues(issue, &issues->items[i - 1]) == 0)
		{
			issue->dropped = true;
			continue;
		}
		if (keys.len < FMS_TOOL_LIST)
			appendStringInfo(&keys, "%s'%.*s'", told == NULL ? "" : ", ",
							 pg_mbcharcliplen(key->key, key->length, FMS_TOOL_SHOWN), key->key);
		else
			unlisted++;
		count++;
		issue->dropped = told != NULL;
		if (told == NULL)
			told = issue;
	}
	if (told == NULL)
		return;
	if (unlisted > 0)
		appendStringInfo(&keys, ", ... (%d more)", unlisted);
	told->message = psprintf("Unrecognized key%s in object: %s", count == 1 ? "" : "s", keys.data);
}

/*
 * See tool.h: leave out what is told otherwise, and sort.  Unions come first, while
 * the branches of each still follow it.
 */
void
fms_tool_tidy(FmsToolIssues *issues)
{
	int			first = 0;

	for (int i = 0; i < issues->count; i++)
		if (issues->items[i].kind == FMS_TOOL_UNION ||
			issues->items[i].kind == FMS_TOOL_DISCRIMINATOR)
			tidy_union(issues, i);
	compact(issues);
	lift_extra(issues);
	compact(issues);
	qsort(issues->items, issues->count, sizeof(FmsToolIssue), compare_issues);
	for (int i = 1; i <= issues->count; i++)
	{
		if (i < issues->count && same_path(&issues->items[i], &issues->items[first]))
			continue;
		tidy_types(issues, first, i);
		tidy_extra(issues, first, i);
		first = i;
	}
	compact(issues);
	for (int i = 1; i < issues->count; i++)
		if (!issues->items[i].extra && same_path(&issues->items[i], &issues->items[i - 1]) &&
			strcmp(issues->items[i].message, issues->items[i - 1].message) == 0)
			issues->items[i].dropped = true;
	compact(issues);
}
