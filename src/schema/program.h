/*-------------------------------------------------------------------------
 *
 * program.h
 *	  A compiled schema, as compiler, evaluator, reporter and cache share it.
 *
 * A program is a graph of nodes in a memory context of its own, one node for
 * each (sub)schema; a $ref is an edge to the node it means, so loops in the
 * schema are loops in the graph.  What a node demands is kept by kind of value:
 * a number never meets the rules for objects.  The schema's jsonb is part of
 * the program: keys, limits and constants point into it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_PROGRAM_H
#define FMS_SCHEMA_PROGRAM_H

#include "limit.h"
#include "schema/format/format.h"
#include "schema/format/pattern.h"
#include "schema/schema.h"
#include "schema/value.h"

#define FMS_NO_LIMIT PG_UINT64_MAX	/* of a maximum */

/* levels that a schema or a validation may nest, whatever the stack allows */
#define FMS_MAX_DEPTH 20000

#define FMS_STATIC PG_UINT32_MAX	/* a dynamic reference that only means one
									 * node */

typedef struct FmsNode FmsNode;

typedef struct FmsPrecheck FmsPrecheck;

/* A list of nodes, in the order of the schema. */
typedef struct FmsNodeList
{
	const FmsNode **nodes;
	const FmsPrecheck *precheck;	/* of anyOf and oneOf; NULL: none */
	uint32		count;
} FmsNodeList;

/* A bound of a number. */
typedef struct FmsBound
{
	bool		present;
	FmsDecimal	decimal;
} FmsBound;

/* What a number has to be. */
typedef struct FmsNumberRules
{
	bool		integer;		/* no fraction */
	bool		no_point;		/* draft 4: not even ".0" */
	bool		low_exclusive;	/* draft 4: minimum is exclusive */
	bool		high_exclusive;
	FmsBound	minimum;
	FmsBound	maximum;
	FmsBound	exclusive_minimum;
	FmsBound	exclusive_maximum;
	FmsValue	divisor;		/* multipleOf; data NULL: none */
} FmsNumberRules;

/* What a string has to be. */
typedef struct FmsStringRules
{
	uint64		min_length;		/* code points */
	uint64		max_length;
	const FmsPattern *pattern;	/* NULL: none */
	FmsFormat	format;
} FmsStringRules;

/* What an array has to be. */
typedef struct FmsArrayRules
{
	uint64		min_items;
	uint64		max_items;
	FmsNodeList prefix;			/* prefixItems, or an array under "items" */
	const FmsNode *rest;		/* items after the prefix, NULL: any */
	const FmsNode *contains;
	uint64		min_contains;
	uint64		max_contains;
	const FmsNode *unevaluated;
	bool		contains_marks; /* what "contains" matches counts as evaluated */
	bool		unique;
	bool		rest_is_additional; /* its keyword is additionalItems */
	bool		prefix_is_items;	/* its keyword is items */
} FmsArrayRules;

/* A member that the schema names. */
typedef struct FmsProperty
{
	FmsNameWords words;			/* of the name */
	const char *key;
	uint32		length;
	bool		required;
	const FmsNode *node;		/* NULL: only required */
} FmsProperty;

/* Members in jsonb's order of keys: by length, then by bytes. */
typedef struct FmsProperties
{
	FmsProperty *list;
	uint32		count;
	uint32		longest;		/* length of a name */
	uint32	   *first;			/* index of the first of a length, up to
								 * longest + 1 */
} FmsProperties;

/* A member of patternProperties. */
typedef struct FmsPatternProperty
{
	const FmsPattern *pattern;
	const FmsNode *node;
	const char *source;
	uint32		length;
} FmsPatternProperty;

/* What the presence of a member demands. */
typedef struct FmsDependency
{
	const char *key;
	uint32		length;
	bool		combined;		/* its keyword is "dependencies" */
	const FmsNode *node;		/* NULL: none */
	FmsValue	required;		/* array of names, if node is NULL */
} FmsDependency;

/* What an object has to be. */
typedef struct FmsObjectRules
{
	uint64		min_properties;
	uint64		max_properties;
	FmsProperties properties;
	uint32		nrequired;		/* of the properties */
	FmsPatternProperty *patterns;
	uint32		npatterns;
	uint32		ndependencies;
	FmsDependency *dependencies;
	const FmsNode *additional;	/* of this and the next two, NULL: none */
	const FmsNode *names;		/* propertyNames */
	const FmsNode *unevaluated;
} FmsObjectRules;

/* The values of enum or const. */
typedef struct FmsChoices
{
	FmsValue   *strings;		/* in jsonb's order of keys */
	uint32		nstrings;
	uint32		nothers;
	FmsValue   *others;			/* numbers, arrays, objects */
	struct FmsChoices *also;	/* const beside enum */
	bool		constant;
	uint16		kinds;			/* of which there is any */
} FmsChoices;

/* What any value has to be. */
typedef struct FmsGeneralRules
{
	const FmsNode *reference;	/* $ref */
	const FmsNode *dynamic;		/* what $dynamicRef or $recursiveRef means by
								 * itself */
	uint32		dynamic_name;	/* column of program->dynamic, or FMS_STATIC */
	const char *dynamic_keyword;	/* which of the two it is */
	FmsNodeList all;
	FmsNodeList any;
	FmsNodeList one;
	const FmsNode *none;		/* not */
	const FmsNode *condition;	/* if; NULL: then and else mean nothing */
	const FmsNode *then;
	const FmsNode *otherwise;	/* else */
} FmsGeneralRules;

/*
 * What tells quickly that a branch of an anyOf or oneOf cannot hold for an
 * object: members that it requires, and the values that it allows one of them,
 * the tag.
 */
struct FmsPrecheck
{
	FmsProperties keys;			/* at most FMS_PRECHECK_KEYS; the tag is
								 * required in none */
	uint64	   *required;		/* for each branch a bit for each key */
	const FmsProperty *tag;		/* one of the keys, NULL: none */
	const FmsChoices **allowed; /* for each branch; NULL: any value of the tag */
};

#define FMS_PRECHECK_KEYS FMS_LIMIT(64, 2)

/*
 * A (sub)schema.  A value whose kind is not in "kinds" fails, one whose kind is
 * there but not in "more" holds, and only the others meet the rules; each of
 * those pointers is NULL if the schema has none of that sort.
 */
struct FmsNode
{
	uint16		kinds;			/* kinds of values that pass the test of kind */
	uint16		more;			/* kinds that have to pass further tests */
	uint16		declared;		/* what "type" allows, for the message */
	bool		tracks;			/* has unevaluatedItems or
								 * unevaluatedProperties */
	uint8		visit;			/* the compiler's mark while it looks for
								 * loops */
	uint32		resource;		/* index into program->resources */
	const FmsNode *jump;		/* the node to evaluate instead; NULL: this
								 * one */
	const FmsChoices *choices;
	const FmsNumberRules *number;
	const FmsStringRules *string;
	const FmsArrayRules *array;
	const FmsObjectRules *object;
	const FmsGeneralRules *general;
	FmsValue	schema;			/* object, true or false */
	const void *place;			/* its JEntry, or the container of a whole
								 * document */
};

/* A schema document. */
typedef struct FmsDocument
{
	FmsValue	root;
	const void *place;			/* of the root */
} FmsDocument;

/* A schema with a URI of its own. */
typedef struct FmsResource
{
	char	   *uri;			/* absolute if anything is, without fragment */
	uint32		document;		/* index into program->documents */
	uint32		dialect;		/* number in the compiler's list; no use later */
	FmsValue	schema;
	const void *place;
} FmsResource;

struct FmsProgram
{
	MemoryContext context;		/* everything below is in it */
	const FmsNode *root;
	FmsResource *resources;
	FmsDocument *documents;
	uint32		nresources;
	uint32		ndocuments;
	uint32		ndynamic;		/* names of dynamic anchors that matter at run
								 * time */
	const FmsNode **dynamic;	/* [resource][name], NULL: no such anchor
								 * there */
	Size		pattern_bytes;	/* that patterns may take */
	bool		from_registry;	/* documents of the registry are in it */
	uint64		generation;		/* of the registry, before any of it was read */
};

/* compile.c */
extern FmsProgram *fms_compile(Jsonb *schema, const FmsSchemaOptions *options);
extern Jsonb *fms_compile_check(Jsonb *schema, const FmsSchemaOptions *options);

/* properties.c */
extern void fms_properties_index(FmsProperties *properties, MemoryContext context);
extern const FmsProperty *fms_properties_find(const FmsProperties *properties, FmsValue name);

/* location.c */
extern void fms_place_pointer(StringInfo out, const FmsDocument *document, const void *place);

#endif							/* FMS_SCHEMA_PROGRAM_H */
