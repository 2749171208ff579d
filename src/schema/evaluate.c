/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *	  Whether a value is valid: yes or no, as fast as can be.
 *
 * One call for each node and value; members of an object and the schema's
 * properties are both sorted by length and bytes, so they are merged in one
 * pass.  Nothing is allocated, with three exceptions: the bits that
 * unevaluatedItems and unevaluatedProperties need in containers above
 * SMALL_CONTAINER, the hashes of uniqueItems above SMALL_ARRAY, and strings of
 * a server whose encoding is not UTF-8.
 *
 * Recursion is bounded by the stack and by FMS_MAX_DEPTH.  What is allocated goes
 * back before the call that did it returns; after an error it goes with the
 * caller's memory context.
 *
 * "seen" is where a node notes what it evaluated of its value, and NULL where
 * nobody asks: unevaluated* reach through everything that is applied to the same
 * value, but not into its elements and members, which start with NULL again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "compat.h"
#include "limit.h"
#include "schema/evaluate.h"

#define SMALL_CONTAINER FMS_LIMIT(256, 1)	/* bits on the stack */
#define SMALL_ARRAY FMS_LIMIT(16, 2)	/* compared pair by pair */
#define SMALL_CHOICE FMS_LIMIT(8, 1)	/* searched from the front */
#define LEVELS_UNCHECKED FMS_LIMIT(8, 1)	/* of recursion, some kilobytes of
											 * stack each */
#define SMALL_BUCKET FMS_LIMIT(16, 1)	/* names of one length */
#define MAX_DEFERRED FMS_LIMIT(12, 1)	/* members of one object */
#define WORD_BITS 64
#define WORDS(count) (((count) + WORD_BITS - 1) / WORD_BITS)
#define MAX_CHAR_BYTES 4

static bool evaluate_rules(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value,
						   FmsSeen *seen);

/* Evaluate a node; what the kind alone decides needs no call. */
static inline bool
evaluate(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value, FmsSeen *seen)
{
	uint32		kind = FMS_KIND_BIT(value.kind);

	if ((node->kinds & kind) == 0)
		return false;
	return (node->more & kind) == 0 ||
		evaluate_rules(evaluation, node->jump != NULL ? node->jump : node, value, seen);
}

/* Note that an element or member was evaluated; seen may be NULL. */
static inline void
mark(FmsSeen *seen, uint32 index)
{
	if (seen != NULL)
		seen->bits[index / WORD_BITS] |= UINT64CONST(1) << (index % WORD_BITS);
}

/* Note that all were. */
static void
mark_all(FmsSeen *seen)
{
	if (seen != NULL)
		memset(seen->bits, 0xff, WORDS(seen->count) * sizeof(uint64));
}

/* Whether an element or member was evaluated. */
bool
fms_seen_get(const FmsSeen *seen, uint32 index)
{
	return (seen->bits[index / WORD_BITS] >> (index % WORD_BITS)) & 1;
}

/* An empty set for a container, palloc'd; one word more, so that it is never empty. */
FmsSeen *
fms_seen_make(FmsValue container)
{
	FmsSeen    *seen = palloc(sizeof(FmsSeen));

	seen->count = fms_count(container);
	seen->bits = palloc0((WORDS(seen->count) + 1) * sizeof(uint64));
	return seen;
}

/*
 * Enter a level of recursion: an ERROR if there are too many, and the place
 * where a query cancel is seen.
 */
static inline void
enter_level(FmsEvaluation *evaluation)
{
	/* a few levels fit into the reserve that the server keeps */
	if (evaluation->depth % LEVELS_UNCHECKED == 0)
		check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (++evaluation->depth > FMS_MAX_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("JSON Schema validation is nested too deeply"),
				 errdetail("More than %d levels of schemas and values.", FMS_MAX_DEPTH)));
}

/* Whether a string is among sorted ones; a few are looked at one by one. */
static bool
find_string(const FmsValue *strings, uint32 count, FmsValue value)
{
	uint32		low = 0;
	uint32		high = count;

	if (count <= SMALL_CHOICE)
	{
		for (uint32 i = 0; i < count; i++)
			if (strings[i].length == value.length &&
				memcmp(strings[i].data, value.data, value.length) == 0)
				return true;
		return false;
	}
	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		int			order = fms_key_compare(strings[middle].data, strings[middle].length,
											value.data, value.length);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/*
 * enum and const.  Strings are searched for in O(log n); numbers, arrays and
 * objects are compared one by one, as schemas have few of them.
 */
bool
fms_choices_allow(const FmsChoices *choices, FmsValue value)
{
	bool		found = false;

	if ((choices->kinds & FMS_KIND_BIT(value.kind)) == 0)
		return false;
	if (value.kind == FMS_KIND_STRING)
		found = find_string(choices->strings, choices->nstrings, value);
	else if (value.kind == FMS_KIND_NUMBER || value.kind >= FMS_KIND_ARRAY)
	{
		for (uint32 i = 0; i < choices->nothers && !found; i++)
		{
			CHECK_FOR_INTERRUPTS();
			found = fms_value_equal(choices->others[i], value);
		}
	}
	else
		found = true;
	return found && (choices->also == NULL || fms_choices_allow(choices->also, value));
}

/* A bound; sign 1 for a lower one, -1 for an upper one. */
bool
fms_bound_holds(const FmsBound *bound, const FmsDecimal *number, int sign, bool exclusive)
{
	int			order;

	if (!bound->present)
		return true;
	order = fms_decimal_compare(number, &bound->decimal) * sign;
	return exclusive ? order > 0 : order >= 0;
}

/* All rules for numbers. */
static bool
number_ok(const FmsNumberRules *rules, FmsValue value)
{
	FmsDecimal	number;

	fms_decimal_read(value, &number);
	if (rules->integer && !fms_decimal_integral(&number))
		return false;
	if (rules->no_point && number.scale != 0)
		return false;
	if (rules->minimum.present &&
		!fms_bound_holds(&rules->minimum, &number, 1, rules->low_exclusive))
		return false;
	if (rules->maximum.present &&
		!fms_bound_holds(&rules->maximum, &number, -1, rules->high_exclusive))
		return false;
	if (rules->exclusive_minimum.present &&
		!fms_bound_holds(&rules->exclusive_minimum, &number, 1, true))
		return false;
	if (rules->exclusive_maximum.present &&
		!fms_bound_holds(&rules->exclusive_maximum, &number, -1, true))
		return false;
	return rules->divisor.data == NULL || fms_decimal_multiple(value, rules->divisor);
}

/* Code points of a string. */
static uint64
code_points(FmsValue string)
{
	uint64		count = 0;

	if (GetDatabaseEncoding() != PG_UTF8)
		return pg_mbstrlen_with_len(string.data, string.length);
	/* every byte but those that continue one; the compiler makes it wide */
	for (uint32 i = 0; i < string.length; i++)
		count += (string.data[i] & 0xC0) != 0x80;
	return count;
}

/* Whether a string's length in code points is between two limits. */
bool
fms_length_within(FmsValue string, uint64 min, uint64 max)
{
	uint64		length = string.length;

	/* bytes decide most cases: a code point has one to four */
	if (length < min || length / MAX_CHAR_BYTES > max)
		return false;
	if (length <= max && length >= min * MAX_CHAR_BYTES)
		return true;
	length = code_points(string);
	return length >= min && length <= max;
}

/* All rules for strings. */
static bool
string_ok(const FmsStringRules *rules, FmsValue value)
{
	return fms_length_within(value, rules->min_length, rules->max_length) &&
		(rules->format == FMS_FORMAT_NONE ||
		 fms_format_check(rules->format, value.data, value.length)) &&
		(rules->pattern == NULL ||
		 fms_pattern_search(rules->pattern, value.data, value.length));
}

/* Two elements of an array that are equal, by comparing every pair; false if any. */
static bool
different_by_pairs(FmsValue array, uint32 count, uint32 *first, uint32 *second)
{
	FmsValue	values[SMALL_ARRAY];
	FmsCursor	cursor = fms_elements(array);

	for (uint32 i = 0; i < count; i++)
	{
		values[i] = fms_next(&cursor);
		for (uint32 k = 0; k < i; k++)
		{
			if (fms_value_equal(values[k], values[i]))
			{
				*first = k;
				*second = i;
				return false;
			}
		}
	}
	return true;
}

/* An element and its hash. */
typedef struct HashedValue
{
	uint64		hash;
	FmsValue	value;
} HashedValue;

/*
 * The same by an open hash table, at most half full; in O(n) unless the hashes
 * collide, which a caller could provoke: hence the interrupts in both loops.
 */
static bool
different_by_hash(FmsValue array, uint32 count, uint32 *first, uint32 *second)
{
	uint64		size = pg_nextpower2_64((uint64) count * 2);
	uint32	   *slots = MemoryContextAllocExtended(CurrentMemoryContext, size * sizeof(uint32),
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	HashedValue *values = MemoryContextAllocHuge(CurrentMemoryContext,
												 (Size) count * sizeof(HashedValue));
	FmsCursor	cursor = fms_elements(array);
	bool		different = true;

	for (uint32 i = 0; i < count && different; i++)
	{
		uint64		slot;

		CHECK_FOR_INTERRUPTS();
		values[i].value = fms_next(&cursor);
		values[i].hash = fms_value_hash(values[i].value, 0);
		for (slot = values[i].hash & (size - 1); slots[slot] != 0; slot = (slot + 1) & (size - 1))
		{
			uint32		other = slots[slot] - 1;

			CHECK_FOR_INTERRUPTS();
			if (values[other].hash == values[i].hash &&
				fms_value_equal(values[other].value, values[i].value))
			{
				*first = other;
				*second = i;
				different = false;
				break;
			}
		}
		slots[slot] = i + 1;
	}
	pfree(slots);
	pfree(values);
	return different;
}

/* uniqueItems; if it does not hold, *first < *second are elements that are equal. */
bool
fms_all_different(FmsValue array, uint32 *first, uint32 *second)
{
	uint32		count = fms_count(array);

	if (count <= SMALL_ARRAY)
		return different_by_pairs(array, count, first, second);
	return different_by_hash(array, count, first, second);
}

/* Every element against its schema; those that have none are not looked at. */
static bool
items_ok(FmsEvaluation *evaluation, const FmsArrayRules *rules, FmsValue array, FmsSeen *seen)
{
	uint32		count = fms_count(array);
	uint32		limit = rules->rest != NULL ? count : Min(count, rules->prefix.count);
	FmsCursor	cursor = fms_elements(array);

	for (uint32 i = 0; i < limit; i++)
	{
		const FmsNode *node = i < rules->prefix.count ? rules->prefix.nodes[i] : rules->rest;

		CHECK_FOR_INTERRUPTS();
		if (!evaluate(evaluation, node, fms_next(&cursor), NULL))
			return false;
		mark(seen, i);
	}
	return true;
}

/*
 * contains, with its limits.  It may stop early, unless it has to mark all that
 * it matches.
 */
static bool
contains_ok(FmsEvaluation *evaluation, const FmsArrayRules *rules, FmsValue array, FmsSeen *seen)
{
	uint32		count = fms_count(array);
	FmsCursor	cursor = fms_elements(array);
	uint64		found = 0;

	if (!rules->contains_marks)
		seen = NULL;
	for (uint32 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!evaluate(evaluation, rules->contains, fms_next(&cursor), NULL))
			continue;
		mark(seen, i);
		found++;
		if (found > rules->max_contains)
			return false;
		if (seen == NULL && found >= rules->min_contains && rules->max_contains == FMS_NO_LIMIT)
			return true;
	}
	return found >= rules->min_contains;
}

/* All rules for arrays but unevaluatedItems. */
static bool
array_ok(FmsEvaluation *evaluation, const FmsArrayRules *rules, FmsValue array, FmsSeen *seen)
{
	uint32		count = fms_count(array);
	uint32		first;
	uint32		second;

	if (count < rules->min_items || count > rules->max_items)
		return false;
	if (!items_ok(evaluation, rules, array, seen))
		return false;
	if (rules->contains != NULL && !contains_ok(evaluation, rules, array, seen))
		return false;
	return !rules->unique || fms_all_different(array, &first, &second);
}

/*
 * The entry of a name, searched from *next on, as names come in jsonb's order.
 * Most lengths have few names, so words are compared one by one; where there
 * are many, the order of bytes tells when to stop.
 */
static pg_attribute_always_inline const FmsProperty *
find_property(const FmsProperties *properties, FmsValue name, uint32 *next)
{
	FmsNameWords words;
	uint32		start;
	uint32		end;

	if (name.length > properties->longest)
		return NULL;
	start = Max(*next, properties->first[name.length]);
	end = properties->first[name.length + 1];
	if (start >= end)
		return NULL;
	words = fms_name_words(name.data, name.length);
	for (uint32 i = start; i < end; i++)
	{
		const FmsProperty *property = &properties->list[i];

		if (property->words.head == words.head && property->words.tail == words.tail &&
			(name.length <= 2 * sizeof(uint64) ||
			 memcmp(property->key, name.data, name.length) == 0))
		{
			*next = i + 1;
			return property;
		}
		if (end - start > SMALL_BUCKET && memcmp(property->key, name.data, name.length) > 0)
		{
			*next = i;
			return NULL;
		}
	}
	return NULL;
}

/* Members that wait: arrays and objects, which may take long. */
typedef struct Deferred
{
	uint32		count;
	const FmsNode *nodes[MAX_DEFERRED];
	FmsValue	values[MAX_DEFERRED];
} Deferred;

/*
 * Evaluate a member now if that is quick, else note it for later: what makes an
 * object invalid is mostly a scalar, or something that is missing.
 */
static inline bool
evaluate_member(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value,
				Deferred *deferred)
{
	uint32		kind = FMS_KIND_BIT(value.kind);

	if ((node->kinds & kind) == 0)
		return false;
	if ((node->more & kind) == 0)
		return true;
	if (node->jump != NULL)
		node = node->jump;
	if (value.kind < FMS_KIND_ARRAY || deferred->count == MAX_DEFERRED)
		return evaluate_rules(evaluation, node, value, NULL);
	deferred->nodes[deferred->count] = node;
	deferred->values[deferred->count++] = value;
	return true;
}

/*
 * A member against the patterns and, if nothing knows it, the schema for
 * additional ones.
 */
static bool
member_ok(FmsEvaluation *evaluation, const FmsObjectRules *rules, FmsValue name, FmsValue value,
		  bool *known, Deferred *deferred)
{
	if (rules->names != NULL && !evaluate(evaluation, rules->names, name, NULL))
		return false;
	for (uint32 i = 0; i < rules->npatterns; i++)
	{
		if (!fms_pattern_search(rules->patterns[i].pattern, name.data, name.length))
			continue;
		*known = true;
		if (!evaluate_member(evaluation, rules->patterns[i].node, value, deferred))
			return false;
	}
	if (*known || rules->additional == NULL)
		return true;
	*known = true;
	return evaluate_member(evaluation, rules->additional, value, deferred);
}

/*
 * Every member against its schemas, and all required ones there.  Required names
 * are different ones, so it is enough to count those that were met.
 */
static bool
members_ok(FmsEvaluation *evaluation, const FmsObjectRules *rules, FmsValue object, FmsSeen *seen)
{
	uint32		count = fms_count(object);
	bool		others = rules->npatterns > 0 || rules->additional != NULL || rules->names != NULL;
	FmsCursor	values;
	FmsCursor	names = fms_members(object, &values);
	uint32		required = 0;
	uint32		next = 0;
	Deferred	deferred;

	deferred.count = 0;
	for (uint32 i = 0; i < count && (others || next < rules->properties.count); i++)
	{
		FmsValue	name = fms_next(&names);
		FmsValue	value = fms_next(&values);
		const FmsProperty *property = find_property(&rules->properties, name, &next);
		bool		known = false;

		CHECK_FOR_INTERRUPTS();
		if (property != NULL)
		{
			required += property->required;
			known = property->node != NULL;
			if (known && !evaluate_member(evaluation, property->node, value, &deferred))
				return false;
		}
		if (others && !member_ok(evaluation, rules, name, value, &known, &deferred))
			return false;
		if (known)
			mark(seen, i);
	}
	if (required != rules->nrequired)
		return false;
	for (uint32 i = 0; i < deferred.count; i++)
	{
		if (!evaluate_rules(evaluation, deferred.nodes[i], deferred.values[i], NULL))
			return false;
	}
	return true;
}

/* What the presence of members demands: other members, or a schema for the whole. */
static bool
dependencies_ok(FmsEvaluation *evaluation, const FmsObjectRules *rules, FmsValue object,
				FmsSeen *seen)
{
	for (uint32 i = 0; i < rules->ndependencies; i++)
	{
		const FmsDependency *dependency = &rules->dependencies[i];
		FmsCursor	cursor;
		uint32		count;

		CHECK_FOR_INTERRUPTS();
		if (!fms_member(object, dependency->key, dependency->length, NULL, NULL))
			continue;
		if (dependency->node != NULL)
		{
			if (!evaluate(evaluation, dependency->node, object, seen))
				return false;
			continue;
		}
		count = fms_count(dependency->required);
		cursor = fms_elements(dependency->required);
		while (count-- > 0)
		{
			FmsValue	name = fms_next(&cursor);

			if (!fms_member(object, name.data, name.length, NULL, NULL))
				return false;
		}
	}
	return true;
}

/* All rules for objects but unevaluatedProperties. */
static bool
object_ok(FmsEvaluation *evaluation, const FmsObjectRules *rules, FmsValue object, FmsSeen *seen)
{
	uint32		count = fms_count(object);

	if (count < rules->min_properties || count > rules->max_properties ||
		count < rules->nrequired)
		return false;
	return members_ok(evaluation, rules, object, seen) &&
		(rules->ndependencies == 0 || dependencies_ok(evaluation, rules, object, seen));
}

/*
 * Evaluate a branch that may fail without the whole failing: what it marks
 * counts only if it holds, so it marks a set of its own first.
 */
static bool
try_branch(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value, FmsSeen *seen)
{
	uint64		small[WORDS(SMALL_CONTAINER)];
	FmsSeen		own;
	uint32		words;
	bool		holds;

	if (seen == NULL)
		return evaluate(evaluation, node, value, NULL);
	words = WORDS(seen->count);
	own.count = seen->count;
	own.bits = seen->count <= SMALL_CONTAINER ? small : palloc(words * sizeof(uint64));
	memset(own.bits, 0, words * sizeof(uint64));
	holds = evaluate(evaluation, node, value, &own);
	for (uint32 i = 0; holds && i < words; i++)
		seen->bits[i] |= own.bits[i];
	if (own.bits != small)
		pfree(own.bits);
	return holds;
}

/* What a precheck sees of an object. */
typedef struct Sight
{
	uint64		present;		/* a bit for each key of the precheck */
	FmsValue	tag;			/* data NULL: not there */
} Sight;

/* Look at an object as a precheck does. */
static void
look(const FmsPrecheck *precheck, FmsValue object, Sight *sight)
{
	uint32		count = fms_count(object);
	FmsCursor	values;
	FmsCursor	names = fms_members(object, &values);
	uint32		next = 0;

	sight->present = 0;
	sight->tag.data = NULL;
	for (uint32 i = 0; i < count && next < precheck->keys.count; i++)
	{
		FmsValue	name = fms_next(&names);
		FmsValue	value = fms_next(&values);
		const FmsProperty *key = find_property(&precheck->keys, name, &next);

		if (key == NULL)
			continue;
		sight->present |= UINT64CONST(1) << (key - precheck->keys.list);
		if (key == precheck->tag)
			sight->tag = value;
	}
}

/* Whether a branch may hold for what a precheck has seen. */
static inline bool
may_hold(const FmsPrecheck *precheck, const Sight *sight, uint32 branch)
{
	return (precheck->required[branch] & ~sight->present) == 0 &&
		(sight->tag.data == NULL || precheck->allowed[branch] == NULL ||
		 fms_choices_allow(precheck->allowed[branch], sight->tag));
}

/* anyOf: one branch is enough, unless what the others mark is wanted. */
static bool
any_ok(FmsEvaluation *evaluation, const FmsNodeList *list, FmsValue value, FmsSeen *seen)
{
	const FmsPrecheck *precheck = value.kind == FMS_KIND_OBJECT ? list->precheck : NULL;
	bool		found = false;
	Sight		sight;

	if (precheck != NULL)
		look(precheck, value, &sight);
	for (uint32 i = 0; i < list->count && (!found || seen != NULL); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (precheck != NULL && !may_hold(precheck, &sight, i))
			continue;
		if (try_branch(evaluation, list->nodes[i], value, seen))
			found = true;
	}
	return found;
}

/* oneOf: exactly one branch. */
static bool
one_ok(FmsEvaluation *evaluation, const FmsNodeList *list, FmsValue value, FmsSeen *seen)
{
	const FmsPrecheck *precheck = value.kind == FMS_KIND_OBJECT ? list->precheck : NULL;
	bool		found = false;
	Sight		sight;

	if (precheck != NULL)
		look(precheck, value, &sight);
	for (uint32 i = 0; i < list->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (precheck != NULL && !may_hold(precheck, &sight, i))
			continue;
		if (!try_branch(evaluation, list->nodes[i], value, seen))
			continue;
		if (found)
			return false;
		found = true;
	}
	return found;
}

/* if, then and else; what "if" marks counts only if it holds. */
static bool
condition_ok(FmsEvaluation *evaluation, const FmsGeneralRules *rules, FmsValue value,
			 FmsSeen *seen)
{
	const FmsNode *next;

	/* without a then and an else, only what it marks could matter */
	if (rules->then == NULL && rules->otherwise == NULL && seen == NULL)
		return true;
	next = try_branch(evaluation, rules->condition, value, seen) ? rules->then : rules->otherwise;
	return next == NULL || evaluate(evaluation, next, value, seen);
}

/*
 * What a dynamic reference means here: the anchor in the outermost resource of the
 * dynamic scope that has one; costs a step for each resource entered.
 */
const FmsNode *
fms_dynamic_target(const FmsEvaluation *evaluation, const FmsGeneralRules *rules)
{
	const FmsProgram *program = evaluation->program;
	const FmsNode *target = rules->dynamic;

	if (rules->dynamic_name == FMS_STATIC)
		return target;
	for (const FmsScope *scope = evaluation->scope; scope != NULL; scope = scope->outer)
	{
		const FmsNode *node = program->dynamic[scope->resource * program->ndynamic +
											   rules->dynamic_name];

		if (node != NULL)
			target = node;
	}
	return target;
}

/*
 * The rules for any value, applicators that look at the same value again.  Those
 * that cannot fail the whole by themselves mark in a set of their own; "not" marks
 * nothing, because it holds only where its schema fails.
 */
static bool
general_ok(FmsEvaluation *evaluation, const FmsGeneralRules *rules, FmsValue value, FmsSeen *seen)
{
	if (rules->reference != NULL && !evaluate(evaluation, rules->reference, value, seen))
		return false;
	if (rules->dynamic != NULL &&
		!evaluate(evaluation, fms_dynamic_target(evaluation, rules), value, seen))
		return false;
	for (uint32 i = 0; i < rules->all.count; i++)
	{
		if (!evaluate(evaluation, rules->all.nodes[i], value, seen))
			return false;
	}
	if (rules->any.count > 0 && !any_ok(evaluation, &rules->any, value, seen))
		return false;
	if (rules->one.count > 0 && !one_ok(evaluation, &rules->one, value, seen))
		return false;
	if (rules->none != NULL && evaluate(evaluation, rules->none, value, NULL))
		return false;
	return rules->condition == NULL || condition_ok(evaluation, rules, value, seen);
}

/* The rules for a scalar. */
static inline bool
scalar_ok(const FmsNode *node, FmsValue value)
{
	if (node->choices != NULL && !fms_choices_allow(node->choices, value))
		return false;
	if (value.kind == FMS_KIND_STRING)
		return node->string == NULL || string_ok(node->string, value);
	return value.kind != FMS_KIND_NUMBER || node->number == NULL || number_ok(node->number, value);
}

/* All rules of a node but the two that look at what the others left. */
static inline bool
plain_rules_ok(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value, FmsSeen *seen)
{
	if (value.kind < FMS_KIND_ARRAY)
	{
		if (!scalar_ok(node, value))
			return false;
	}
	else if (node->choices != NULL && !fms_choices_allow(node->choices, value))
		return false;
	else if (value.kind == FMS_KIND_ARRAY)
	{
		if (node->array != NULL && !array_ok(evaluation, node->array, value, seen))
			return false;
	}
	else if (node->object != NULL && !object_ok(evaluation, node->object, value, seen))
		return false;
	return node->general == NULL || general_ok(evaluation, node->general, value, seen);
}

/* The elements or members that nothing evaluated, against the schema for those. */
static bool
unevaluated_ok(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value,
			   const FmsSeen *seen)
{
	const FmsNode *rest = NULL;
	FmsCursor	cursor;

	if (value.kind == FMS_KIND_ARRAY)
	{
		rest = node->array == NULL ? NULL : node->array->unevaluated;
		cursor = fms_elements(value);
	}
	else
	{
		rest = node->object == NULL ? NULL : node->object->unevaluated;
		(void) fms_members(value, &cursor);
	}
	for (uint32 i = 0; rest != NULL && i < seen->count; i++)
	{
		FmsValue	child = fms_next(&cursor);

		CHECK_FOR_INTERRUPTS();
		if (!fms_seen_get(seen, i) && !evaluate(evaluation, rest, child, NULL))
			return false;
	}
	return true;
}

/*
 * Evaluate a node whose rules include unevaluatedItems or
 * unevaluatedProperties; afterwards everything in the value counts as evaluated
 * if the rule for its kind is there.
 */
static pg_noinline bool
tracked_rules_ok(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value, FmsSeen *seen)
{
	uint64		small[WORDS(SMALL_CONTAINER)];
	FmsSeen		own;
	bool		holds;
	bool		all;

	own.count = fms_count(value);
	own.bits = small;
	if (own.count > SMALL_CONTAINER)
		own.bits = palloc(WORDS(own.count) * sizeof(uint64));
	memset(own.bits, 0, WORDS(own.count) * sizeof(uint64));
	holds = plain_rules_ok(evaluation, node, value, &own) &&
		unevaluated_ok(evaluation, node, value, &own);
	all = value.kind == FMS_KIND_ARRAY ? node->array != NULL && node->array->unevaluated != NULL :
		node->object != NULL && node->object->unevaluated != NULL;
	if (all)
		mark_all(seen);
	else if (seen != NULL)
	{
		for (uint32 i = 0; i < WORDS(own.count); i++)
			seen->bits[i] |= own.bits[i];
	}
	if (own.bits != small)
		pfree(own.bits);
	return holds;
}

/* Evaluate a node of another resource than the one before, for dynamic references. */
static pg_noinline bool
scoped_rules_ok(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value, FmsSeen *seen)
{
	FmsScope	scope;
	bool		holds;

	scope.outer = evaluation->scope;
	scope.resource = node->resource;
	evaluation->scope = &scope;
	holds = evaluate_rules(evaluation, node, value, seen);
	evaluation->scope = scope.outer;
	return holds;
}

/* Evaluate what the kind of the value did not decide. */
static bool
evaluate_rules(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value, FmsSeen *seen)
{
	bool		holds;

	/* what cannot go deeper needs no guard */
	if (value.kind < FMS_KIND_ARRAY && node->general == NULL)
		return scalar_ok(node, value);
	enter_level(evaluation);
	if (evaluation->program->ndynamic > 0 &&
		(evaluation->scope == NULL || evaluation->scope->resource != node->resource))
		holds = scoped_rules_ok(evaluation, node, value, seen);
	else if (node->tracks && value.kind >= FMS_KIND_ARRAY)
		holds = tracked_rules_ok(evaluation, node, value, seen);
	else
		holds = plain_rules_ok(evaluation, node, value, seen);
	evaluation->depth--;
	return holds;
}

/* Whether a value is valid under a node. */
bool
fms_evaluate(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value)
{
	return evaluate(evaluation, node, value, NULL);
}

/*
 * The same for all but unevaluated*; what the rules evaluated is in the set.  For
 * the reporter, which guards depth and scope itself.
 */
bool
fms_evaluate_seen(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value, FmsSeen *seen)
{
	return plain_rules_ok(evaluation, node, value, seen);
}

/*
 * Whether an instance is valid.  Raises ERRCODE_STATEMENT_TOO_COMPLEX if schemas
 * and values nest too deeply.
 */
bool
fms_schema_is_valid(const FmsProgram *program, const Jsonb *instance)
{
	FmsEvaluation evaluation = {.program = program};

	return evaluate(&evaluation, program->root, fms_value_of(instance), NULL);
}
