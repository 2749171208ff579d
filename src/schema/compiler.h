/*-------------------------------------------------------------------------
 *
 * compiler.h
 *	  The state of a compilation, as the compiler's files share it.
 *
 * dialect.c knows the drafts and vocabularies, document.c the documents,
 * resources and anchors, keyword.c what each keyword means, compile.c the walk
 * through the schema and the references.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_COMPILER_H
#define FMS_SCHEMA_COMPILER_H

#include "nodes/pg_list.h"

#include "schema/program.h"

/* vocabularies, the same for all drafts */
#define FMS_VOCABULARY_CORE (1 << 0)
#define FMS_VOCABULARY_APPLICATOR (1 << 1)
#define FMS_VOCABULARY_UNEVALUATED (1 << 2)
#define FMS_VOCABULARY_VALIDATION (1 << 3)
#define FMS_VOCABULARY_METADATA (1 << 4)
#define FMS_VOCABULARY_FORMAT (1 << 5)
#define FMS_VOCABULARY_CONTENT (1 << 6)
#define FMS_VOCABULARIES_ALL 0x7f

/* How a schema is to be read. */
typedef struct FmsDialect
{
	char	   *uri;			/* of the metaschema; "" for the default */
	FmsDraft	draft;
	uint32		vocabularies;
	bool		formats;		/* "format" is an assertion */
} FmsDialect;

/* A name for a place in a resource. */
typedef struct FmsAnchor
{
	uint32		resource;
	const char *name;			/* terminated */
	bool		dynamic;
	FmsValue	schema;
	const void *place;
} FmsAnchor;

/* A reference that is not resolved yet. */
typedef struct FmsReference
{
	FmsNode    *node;			/* that has the keyword */
	FmsGeneralRules *rules;		/* of node: where the target goes */
	char	   *uri;			/* as written */
	const char *keyword;
} FmsReference;

typedef struct FmsCompiler
{
	FmsProgram *program;
	MemoryContext scratch;		/* gone when the compilation is over */
	FmsSchemaOptions options;
	List	   *dialects;		/* FmsDialect */
	List	   *aliases;		/* FmsAlias: further URIs of resources */
	List	   *anchors;		/* FmsAnchor */
	List	   *references;		/* FmsReference, unresolved */
	List	   *dynamic_names;	/* terminated strings, columns of
								 * program->dynamic */
	FmsNode   **nodes;			/* all, in the order in which they were made */
	uint32		nnodes;
	uint32		max_nodes;		/* that "nodes" has room for */
	struct places_hash *places; /* nodes by place; made for the first
								 * reference */
	int			depth;			/* of nested schema objects */
	bool		collect;		/* gather errors instead of raising the first */
	List	   *errors;			/* FmsCompileError */
} FmsCompiler;

/* What is wrong with a schema. */
typedef struct FmsCompileError
{
	char	   *location;		/* JSON pointer, after the URI if it is
								 * another document */
	const char *keyword;		/* "": the schema as a whole */
	char	   *message;
} FmsCompileError;

/*
 * A node under construction.  What a keyword leaves here depends on another
 * keyword of the same schema, which jsonb's order may bring later.
 */
typedef struct FmsBuilder
{
	FmsCompiler *compiler;
	FmsNode    *node;
	const FmsDialect *dialect;
	FmsNumberRules *number;
	FmsStringRules *string;
	FmsArrayRules *array;
	FmsObjectRules *object;
	FmsGeneralRules *general;
	FmsValue	properties;		/* data NULL: none */
	FmsValue	required;
	const FmsNode *additional_items;
	FmsNode   **property_nodes; /* of the members of "properties", in their
								 * order */
	bool		low_exclusive;	/* draft 4 */
	bool		high_exclusive;
} FmsBuilder;

/* compile.c */
extern FmsNode *fms_compile_node(FmsCompiler *compiler, FmsValue schema, const void *place,
								 uint32 resource);
extern void fms_compile_error(FmsCompiler *compiler, const FmsNode *node, const char *keyword,
							  const char *format,...) pg_attribute_printf(4, 5);

/* keyword.c */
extern void fms_keywords_apply(FmsBuilder *builder);

/* dialect.c */
extern bool fms_dialect_find(FmsCompiler *compiler, const char *uri, uint32 *dialect);
extern uint32 fms_dialect_default(FmsCompiler *compiler, FmsDraft draft);
extern const char *fms_dialect_metaschema(const char *uri);

/* document.c */
extern uint32 fms_document_add(FmsCompiler *compiler, Jsonb *schema, const char *uri,
							   uint32 dialect);
extern bool fms_document_fetch(FmsCompiler *compiler, const char *uri, Jsonb **schema);
extern uint32 fms_resource_of(FmsCompiler *compiler, FmsNode *node);
extern bool fms_resource_find(FmsCompiler *compiler, const char *uri, uint32 dialect,
							  uint32 *resource);
extern FmsAnchor *fms_anchor_find(FmsCompiler *compiler, uint32 resource, const char *name,
								  bool dynamic);

/* precheck.c */
extern void fms_precheck_make(FmsCompiler *compiler, FmsNode *node);

/* A dialect by its number. */
static inline const FmsDialect *
fms_dialect(const FmsCompiler *compiler, uint32 dialect)
{
	return list_nth(compiler->dialects, dialect);
}

/* Copy a string value out of a jsonb, terminated. */
static inline char *
fms_value_string(FmsValue value)
{
	return pnstrdup(value.data, value.length);
}

/* A member of a schema object if it is of a kind. */
static inline bool
fms_member_of_kind(FmsValue object, const char *key, uint32 kind, FmsValue *value)
{
	return object.kind == FMS_KIND_OBJECT &&
		fms_member(object, key, strlen(key), value, NULL) && value->kind == kind;
}

#endif							/* FMS_SCHEMA_COMPILER_H */
