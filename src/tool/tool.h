/*-------------------------------------------------------------------------
 *
 * tool.h
 *	  What is wrong with a tool call, as the files of the tools share it.
 *
 * tool.c has the SQL functions and the registry, issue.c gathers what the
 * validator reports and puts it in order, wording.c finds the words for it,
 * coerce.c turns strings into what the schema wants.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_TOOL_TOOL_H
#define FMS_TOOL_TOOL_H

#include "nodes/pg_list.h"

#include "schema/schema.h"
#include "schema/value.h"

/* longest value that a message shows, in characters */
#define FMS_TOOL_SHOWN 200

/* length from which on a list of values or keys is cut, in bytes */
#define FMS_TOOL_LIST 1000

/* a member that its object does not require, in the order of members */
#define FMS_TOOL_OPTIONAL PG_UINT32_MAX

/* One step of a path, from the root on. */
typedef struct FmsToolStep
{
	const char *key;			/* not terminated; NULL: an array's index */
	uint32		length;			/* bytes of key */
	uint32		index;
	uint32		rank;			/* place in the object's "required" */
} FmsToolStep;

/* Kinds of issues: the order in which those of one value are told. */
typedef enum FmsToolKind
{
	FMS_TOOL_REQUIRED,
	FMS_TOOL_TYPE,
	FMS_TOOL_LENGTH_LOW,
	FMS_TOOL_LENGTH_HIGH,
	FMS_TOOL_PATTERN,
	FMS_TOOL_ENUM,
	FMS_TOOL_LOW,
	FMS_TOOL_HIGH,
	FMS_TOOL_MULTIPLE,
	FMS_TOOL_SIZE_LOW,
	FMS_TOOL_SIZE_HIGH,
	FMS_TOOL_TOO_MANY,			/* an element where none is allowed */
	FMS_TOOL_CONST,
	FMS_TOOL_UNION,
	FMS_TOOL_DISCRIMINATOR,
	FMS_TOOL_FORMAT,
	FMS_TOOL_OTHER,
	FMS_TOOL_EXTRA				/* a member too many: after those of the
								 * members */
} FmsToolKind;

/* A failure, and how it is told. */
typedef struct FmsToolIssue
{
	FmsToolStep *path;			/* to the value that failed */
	int			depth;			/* steps of path */
	FmsToolStep *place;			/* of the keyword, from the schema's root on */
	int			place_depth;
	FmsToolKind kind;
	const char *code;
	char	   *message;
	bool		mistyped;		/* the value is of a kind that cannot be right */
	uint32		wanted;			/* kinds that a keyword "type" allows, bits */
	bool		integer;		/* numbers only without a fraction */
	bool		name;			/* what failed is the name of a member */
	JsonbValue	instance;		/* the value that failed; points into the
								 * arguments */
	int32		branch;			/* of a union: the only one to tell about, or
								 * -1 */
	bool		extra;			/* a key too many: the step after the path */
	bool		dropped;		/* another issue tells it */
} FmsToolIssue;

/* All failures of one validation, in the current memory context. */
typedef struct FmsToolIssues
{
	FmsToolIssue *items;
	int			count;
	int			room;			/* that items has */
	int			copied;			/* steps of all paths */
	FmsValue	schema;			/* the root */
} FmsToolIssues;

/* A value that was coerced. */
typedef struct FmsToolCoercion
{
	const char *path;
	const char *from;			/* types */
	const char *to;
} FmsToolCoercion;

/* Whether what failed is the name of a member, not its value. */
static inline bool
fms_tool_is_name(const FmsSchemaError *error)
{
	return error->member != NULL && strcmp(error->keyword, "required") != 0 &&
		strncmp(error->keyword, "depend", 6) != 0;
}

/* issue.c */
extern void fms_tool_collect(FmsToolIssues *issues, const FmsProgram *program, Jsonb *schema,
							 const Jsonb *instance);
extern void fms_tool_tidy(FmsToolIssues *issues);
extern int	fms_tool_compare_steps(const FmsToolStep *a, const FmsToolStep *b, bool ranked);
extern bool fms_tool_resolve(FmsValue root, FmsValue *schema);

/* wording.c */
extern void fms_tool_describe(const FmsSchemaError *error, FmsValue root, FmsToolIssue *issue);
extern char *fms_tool_path(const FmsToolIssue *issue);
extern const char *fms_tool_type(const JsonbValue *value);

/* coerce.c */
extern Jsonb *fms_tool_coerce(FmsToolIssues *issues, const FmsProgram *program, Jsonb *schema,
							  Jsonb *arguments, List **coercions);
extern Jsonb *fms_tool_missing(Jsonb *schema);

#endif							/* FMS_TOOL_TOOL_H */
