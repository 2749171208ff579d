/*-------------------------------------------------------------------------
 *
 * document.c
 *	  Schema documents, the resources in them, and their anchors.
 *
 * A document is one jsonb: the schema itself, a built-in metaschema, or one of
 * the registry.  Each $id in it makes a resource, which has a base URI of its
 * own; anchors name places within a resource.  All are found while the document
 * is compiled, which therefore comes before any reference into it is resolved.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "schema/compiler.h"
#include "schema/registry.h"
#include "schema/uri.h"

/* A further URI of a resource. */
typedef struct FmsAlias
{
	const char *uri;
	uint32		resource;
} FmsAlias;

/* Add a URI by which a resource can be found. */
static void
add_alias(FmsCompiler *compiler, const char *uri, uint32 resource)
{
	MemoryContext old = MemoryContextSwitchTo(compiler->scratch);
	FmsAlias   *alias = palloc(sizeof(FmsAlias));

	alias->uri = pstrdup(uri);
	alias->resource = resource;
	compiler->aliases = lappend(compiler->aliases, alias);
	MemoryContextSwitchTo(old);
}

/* Add a resource; its index, for the array moves when it grows. */
static uint32
add_resource(FmsCompiler *compiler, const char *uri, uint32 document, uint32 dialect,
			 FmsValue schema, const void *place)
{
	FmsProgram *program = compiler->program;
	MemoryContext old = MemoryContextSwitchTo(program->context);
	uint32		count = program->nresources;
	FmsResource *resource;

	/*
	 * grown by doubling: the array is full whenever the count is a power of
	 * two
	 */
	if (count == 0)
		program->resources = palloc(sizeof(FmsResource));
	else if ((count & (count - 1)) == 0)
		program->resources = repalloc(program->resources, 2 * count * sizeof(FmsResource));
	resource = &program->resources[program->nresources++];
	resource->uri = pstrdup(uri);
	resource->document = document;
	resource->dialect = dialect;
	resource->schema = schema;
	resource->place = place;
	MemoryContextSwitchTo(old);
	add_alias(compiler, uri, count);
	return count;
}

/* Add an anchor. */
static void
add_anchor(FmsCompiler *compiler, const FmsNode *node, char *name, bool dynamic)
{
	MemoryContext old = MemoryContextSwitchTo(compiler->scratch);
	FmsAnchor  *anchor = palloc(sizeof(FmsAnchor));

	anchor->resource = node->resource;
	anchor->name = pstrdup(name);
	anchor->dynamic = dynamic;
	anchor->schema = node->schema;
	anchor->place = node->place;
	compiler->anchors = lappend(compiler->anchors, anchor);
	MemoryContextSwitchTo(old);
}

/* The anchor of a name in a resource, NULL if there is none. */
FmsAnchor *
fms_anchor_find(FmsCompiler *compiler, uint32 resource, const char *name, bool dynamic)
{
	ListCell   *cell;

	foreach(cell, compiler->anchors)
	{
		FmsAnchor  *anchor = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (anchor->resource == resource && (anchor->dynamic || !dynamic) &&
			strcmp(anchor->name, name) == 0)
			return anchor;
	}
	return NULL;
}

/*
 * Add a document whose own URI is "uri"; the root resource of it.  Nothing in
 * it is compiled.
 */
uint32
fms_document_add(FmsCompiler *compiler, Jsonb *schema, const char *uri, uint32 dialect)
{
	FmsProgram *program = compiler->program;
	MemoryContext old = MemoryContextSwitchTo(program->context);
	uint32		count = program->ndocuments++;
	FmsDocument *document;
	FmsValue	value;
	Jsonb	   *copy = palloc(VARSIZE(schema));

	memcpy(copy, schema, VARSIZE(schema));
	if (count == 0)
		program->documents = palloc(sizeof(FmsDocument));
	else
		program->documents = repalloc(program->documents, (count + 1) * sizeof(FmsDocument));
	document = &program->documents[count];
	document->root = fms_value_of(copy);
	document->place = &copy->root;
	MemoryContextSwitchTo(old);
	if (fms_member_of_kind(document->root, "$schema", FMS_KIND_STRING, &value))
	{
		char	   *name = fms_value_string(value);

		if (!fms_dialect_find(compiler, name, &dialect))
		{
			FmsNode		node = {.resource = add_resource(compiler, uri, count, dialect,
														 document->root, document->place),
			.place = document->place};

			fms_compile_error(compiler, &node, "$schema", "no metaschema \"%s\" that can be used%s",
							  name, compiler->options.registry ? "" : " without the registry");
			return node.resource;
		}
	}
	return add_resource(compiler, uri, count, dialect, document->root, document->place);
}

/*
 * Get a document that is not part of the schema: a built-in one, or one of the
 * registry.  The result lives in the scratch context.
 */
bool
fms_document_fetch(FmsCompiler *compiler, const char *uri, Jsonb **schema)
{
	MemoryContext old = MemoryContextSwitchTo(compiler->scratch);
	const char *text = fms_dialect_metaschema(uri);

	*schema = NULL;
	if (text != NULL)
		*schema = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	else if (compiler->options.registry)
	{
		*schema = fms_registry_read(uri);
		compiler->program->from_registry = true;
	}
	MemoryContextSwitchTo(old);
	return *schema != NULL;
}

/*
 * Find the resource of a URI (without fragment), fetching and compiling its
 * document if need be.  A document that does not say what it is written in is
 * read in the dialect of whoever refers to it.
 */
bool
fms_resource_find(FmsCompiler *compiler, const char *uri, uint32 dialect, uint32 *resource)
{
	FmsProgram *program = compiler->program;
	FmsResource *added;
	ListCell   *cell;
	Jsonb	   *schema;

	foreach(cell, compiler->aliases)
	{
		FmsAlias   *alias = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (strcmp(alias->uri, uri) == 0)
		{
			*resource = alias->resource;
			return true;
		}
	}
	if (!fms_document_fetch(compiler, uri, &schema))
		return false;
	*resource = fms_document_add(compiler, schema, uri, dialect);
	pfree(schema);
	added = &program->resources[*resource];
	(void) fms_compile_node(compiler, added->schema, added->place, *resource);
	return true;
}

/* The dialect of a subschema that says it itself. */
static uint32
own_dialect(FmsCompiler *compiler, const FmsNode *node, uint32 dialect)
{
	FmsValue	value;
	char	   *uri;

	if (!fms_member_of_kind(node->schema, "$schema", FMS_KIND_STRING, &value))
		return dialect;
	uri = fms_value_string(value);
	if (!fms_dialect_find(compiler, uri, &dialect))
		fms_compile_error(compiler, node, "$schema", "no metaschema \"%s\" that can be used%s", uri,
						  compiler->options.registry ? "" : " without the registry");
	return dialect;
}

/*
 * Register the anchors of a subschema.  A name that is no string is left to the
 * check of the keyword's form.
 */
static void
register_anchors(FmsCompiler *compiler, const FmsNode *node, const FmsDialect *dialect)
{
	FmsValue	value;

	if (dialect->draft >= FMS_DRAFT_2019_09 &&
		fms_member_of_kind(node->schema, "$anchor", FMS_KIND_STRING, &value))
		add_anchor(compiler, node, fms_value_string(value), false);
	if (dialect->draft >= FMS_DRAFT_2020_12 &&
		fms_member_of_kind(node->schema, "$dynamicAnchor", FMS_KIND_STRING, &value))
		add_anchor(compiler, node, fms_value_string(value), true);
	/* the root of a resource can be a dynamic anchor without a name */
	if (dialect->draft == FMS_DRAFT_2019_09 &&
		node->place == compiler->program->resources[node->resource].place &&
		fms_member_of_kind(node->schema, "$recursiveAnchor", FMS_KIND_TRUE, &value))
		add_anchor(compiler, node, "", true);
}

/*
 * Give a subschema that has an id its URI: a new resource, if it is no root.
 * Drafts 6 and 7 (and 4, as "id") also use a bare fragment as an anchor.
 */
static void
register_id(FmsCompiler *compiler, FmsNode *node, const char *id, const FmsDialect *dialect,
			uint32 own)
{
	FmsProgram *program = compiler->program;
	FmsResource *resource = &program->resources[node->resource];
	char	   *uri = fms_uri_resolve(resource->uri, id);
	char	   *fragment = fms_uri_cut_fragment(uri);

	if (fragment != NULL && *fragment != '\0')
	{
		if (dialect->draft >= FMS_DRAFT_2019_09)
			fms_compile_error(compiler, node, "$id", "must not have a fragment");
		else if (*id == '#')
		{
			add_anchor(compiler, node, fragment, false);
			return;
		}
	}
	if (node->place == resource->place)
	{
		MemoryContext old = MemoryContextSwitchTo(program->context);

		resource->uri = pstrdup(uri);
		MemoryContextSwitchTo(old);
		add_alias(compiler, uri, node->resource);
	}
	else
		node->resource = add_resource(compiler, uri, resource->document, own, node->schema,
									  node->place);
	if (fragment != NULL && *fragment != '\0' && dialect->draft < FMS_DRAFT_2019_09)
		add_anchor(compiler, node, fragment, false);
}

/*
 * Find out which resource a subschema belongs to, register it if it starts
 * one, and its anchors.  The dialect to read it in.
 */
uint32
fms_resource_of(FmsCompiler *compiler, FmsNode *node)
{
	uint32		dialect = compiler->program->resources[node->resource].dialect;
	uint32		own = own_dialect(compiler, node, dialect);
	const FmsDialect *reader = fms_dialect(compiler, own);
	const char *keyword = reader->draft == FMS_DRAFT_4 ? "id" : "$id";
	FmsValue	value;
	FmsValue	reference;

	/* up to draft 7, whatever is beside a $ref does not exist */
	if (reader->draft > FMS_DRAFT_7 ||
		!fms_member_of_kind(node->schema, "$ref", FMS_KIND_STRING, &reference))
	{
		if (fms_member_of_kind(node->schema, keyword, FMS_KIND_STRING, &value))
			register_id(compiler, node, fms_value_string(value), reader, own);
		reader = fms_dialect(compiler, compiler->program->resources[node->resource].dialect);
		register_anchors(compiler, node, reader);
	}
	return compiler->program->resources[node->resource].dialect;
}
