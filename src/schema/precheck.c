/*-------------------------------------------------------------------------
 *
 * precheck.c
 *	  What tells quickly that a branch of an anyOf or oneOf cannot hold.
 *
 * Unions of objects mostly differ in what they require, or in a tag: a member
 * whose value is a constant of the branch.  Both are gathered from each branch,
 * through references and allOf, so that one look at the names of an object
 * rules out most branches without evaluating them.  A precheck never says that a
 * branch holds.
 *
 * What is gathered is bounded, for a schema may be made to take long: keys of a
 * branch and of a list, nodes visited for a branch, branches of a list.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "limit.h"
#include "schema/compiler.h"

#define MAX_FACTS FMS_LIMIT(16, 1)	/* of each sort, of a branch */
#define MAX_VISITS FMS_LIMIT(64, 2) /* nodes, for a branch */
#define MAX_BRANCHES FMS_LIMIT(4096, 3)

/* What a branch demands of an object. */
typedef struct Facts
{
	int			visits;
	int			nrequired;
	int			ntags;
	const FmsProperty *required[MAX_FACTS];
	const FmsProperty *tags[MAX_FACTS];
	const FmsChoices *choices[MAX_FACTS];	/* of the tags */
} Facts;

/* Whether two entries have the same name. */
static bool
same_name(const FmsProperty *a, const FmsProperty *b)
{
	return fms_key_compare(a->key, a->length, b->key, b->length) == 0;
}

/* The index of a name in a list, -1 if it is not there. */
static int
find_name(const FmsProperty *const *list, int count, const FmsProperty *name)
{
	for (int i = 0; i < count; i++)
	{
		if (same_name(list[i], name))
			return i;
	}
	return -1;
}

/* The values that a node allows, NULL if it says nothing about them. */
static const FmsChoices *
choices_of(const FmsNode *node)
{
	for (int i = 0; node != NULL && i < MAX_VISITS; i++)
	{
		if (node->choices != NULL)
			return node->choices;
		node = node->general == NULL ? NULL : node->general->reference;
	}
	return NULL;
}

/*
 * Gather what the properties of an object's rules say: which are required, and
 * which may only have certain values.  Facts beyond the bound are forgotten, and
 * the precheck is just less strict.
 */
static void
gather_properties(const FmsProperties *properties, Facts *facts)
{
	for (uint32 i = 0; i < properties->count; i++)
	{
		const FmsProperty *property = &properties->list[i];
		const FmsChoices *choices = choices_of(property->node);

		if (property->required && facts->nrequired < MAX_FACTS &&
			find_name(facts->required, facts->nrequired, property) < 0)
			facts->required[facts->nrequired++] = property;
		if (choices != NULL && facts->ntags < MAX_FACTS &&
			find_name(facts->tags, facts->ntags, property) < 0)
		{
			facts->choices[facts->ntags] = choices;
			facts->tags[facts->ntags++] = property;
		}
	}
}

static void gather_facts(const FmsNode *node, Facts *facts);

/*
 * Gather what all branches of a list require alike: one of them has to hold, so
 * this much is demanded in any case.
 */
static void
gather_common(const FmsNodeList *list, Facts *facts)
{
	Facts		common = {0};

	if (list->count == 0 || facts->visits >= MAX_VISITS)
		return;
	for (uint32 i = 0; i < list->count; i++)
	{
		Facts		branch = {.visits = facts->visits};

		gather_facts(list->nodes[i], &branch);
		facts->visits = branch.visits;
		if (i == 0)
			common = branch;
		for (int k = common.nrequired; k-- > 0;)
		{
			if (find_name(branch.required, branch.nrequired, common.required[k]) < 0)
				common.required[k] = common.required[--common.nrequired];
		}
		if (common.nrequired == 0 || facts->visits >= MAX_VISITS)
			break;
	}
	if (facts->visits >= MAX_VISITS)
		return;
	for (int k = 0; k < common.nrequired && facts->nrequired < MAX_FACTS; k++)
	{
		if (find_name(facts->required, facts->nrequired, common.required[k]) < 0)
			facts->required[facts->nrequired++] = common.required[k];
	}
}

/* Gather what a node demands of an object. */
static void
gather_facts(const FmsNode *node, Facts *facts)
{
	check_stack_depth();
	if (++facts->visits > MAX_VISITS)
		return;
	if (node->object != NULL)
		gather_properties(&node->object->properties, facts);
	if (node->general == NULL)
		return;
	if (node->general->reference != NULL)
		gather_facts(node->general->reference, facts);
	for (uint32 i = 0; i < node->general->all.count && facts->visits < MAX_VISITS; i++)
		gather_facts(node->general->all.nodes[i], facts);
	gather_common(&node->general->any, facts);
	gather_common(&node->general->one, facts);
}

/* Put a name into the keys of a precheck to be; false if there is no room. */
static bool
add_key(FmsProperties *keys, const FmsProperty *name)
{
	for (uint32 i = 0; i < keys->count; i++)
	{
		if (same_name(&keys->list[i], name))
			return true;
	}
	if (keys->count == FMS_PRECHECK_KEYS)
		return false;
	keys->list[keys->count] = *name;
	keys->list[keys->count].node = NULL;
	keys->count++;
	return true;
}

/* The tag that most branches have, NULL if less than two have one. */
static const FmsProperty *
choose_tag(const Facts *facts, uint32 count)
{
	const FmsProperty *best = NULL;
	uint32		most = 1;

	/* what most branches have, the first few have too */
	for (uint32 i = 0; i < Min(count, 2); i++)
	{
		for (int k = 0; k < facts[i].ntags; k++)
		{
			uint32		votes = 0;

			for (uint32 other = 0; other < count; other++)
				votes += find_name(facts[other].tags, facts[other].ntags, facts[i].tags[k]) >= 0;
			if (votes > most)
			{
				most = votes;
				best = facts[i].tags[k];
			}
		}
	}
	return best;
}

/* Fill in what a branch demands, in the terms of the precheck's keys. */
static void
fill_branch(FmsPrecheck *precheck, uint32 branch, const Facts *facts)
{
	int			tag = -1;

	for (int k = 0; k < facts->nrequired; k++)
	{
		FmsValue	name = {.data = facts->required[k]->key, .length = facts->required[k]->length};
		const FmsProperty *key = fms_properties_find(&precheck->keys, name);

		if (key != NULL)
			precheck->required[branch] |= UINT64CONST(1) << (key - precheck->keys.list);
	}
	if (precheck->tag != NULL)
		tag = find_name(facts->tags, facts->ntags, precheck->tag);
	if (tag >= 0)
		precheck->allowed[branch] = facts->choices[tag];
}

/*
 * Make the precheck of a list from the facts of its branches.  The tag comes first
 * into the keys, so that there is room for it.
 */
static FmsPrecheck *
make_precheck(MemoryContext context, const Facts *facts, uint32 count)
{
	FmsPrecheck *precheck = MemoryContextAllocZero(context, sizeof(FmsPrecheck));
	const FmsProperty *tag = choose_tag(facts, count);

	precheck->keys.list = MemoryContextAllocZero(context, FMS_PRECHECK_KEYS * sizeof(FmsProperty));
	precheck->required = MemoryContextAllocZero(context, count * sizeof(uint64));
	precheck->allowed = MemoryContextAllocZero(context, count * sizeof(FmsChoices *));
	if (tag != NULL)
		(void) add_key(&precheck->keys, tag);
	for (uint32 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < facts[i].nrequired; k++)
			(void) add_key(&precheck->keys, facts[i].required[k]);
	}
	fms_properties_index(&precheck->keys, context);
	if (tag != NULL)
	{
		FmsValue	name = {.data = tag->key, .length = tag->length};

		precheck->tag = fms_properties_find(&precheck->keys, name);
	}
	for (uint32 i = 0; i < count; i++)
		fill_branch(precheck, i, &facts[i]);
	return precheck;
}

/* Give a list of branches its precheck, if there is anything to tell them apart. */
static void
filter_list(FmsCompiler *compiler, FmsNodeList *list)
{
	bool		useful = false;
	Facts	   *facts;

	if (list->count < 2 || list->count > MAX_BRANCHES)
		return;
	facts = palloc0(list->count * sizeof(Facts));
	for (uint32 i = 0; i < list->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		gather_facts(list->nodes[i], &facts[i]);
		useful = useful || facts[i].nrequired > 0 || facts[i].ntags > 0;
	}
	if (useful)
		list->precheck = make_precheck(compiler->program->context, facts, list->count);
	pfree(facts);
}

/* Give a node's anyOf and oneOf their filters. */
void
fms_precheck_make(FmsCompiler *compiler, FmsNode *node)
{
	FmsGeneralRules *rules = unconstify(FmsGeneralRules *, node->general);

	filter_list(compiler, &rules->any);
	filter_list(compiler, &rules->one);
}
