/*-------------------------------------------------------------------------
 *
 * compile.c
 *	  From a schema to a program.
 *
 * First the walk: every subschema that a keyword says is one becomes a node,
 * and ids and anchors are registered.  Then the references are resolved, which
 * may bring in further documents, and nodes at places that no keyword calls a
 * schema.  Then dynamic references get their table, and the graph is searched
 * for references that lead back to themselves without going into the value.
 *
 * Everything that the program keeps is in its own context, which is deleted if
 * the compilation fails.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "schema/compiler.h"
#include "schema/registry.h"
#include "schema/uri.h"
#include "span/jsonb.h"

#define MAX_NODES 2000000		/* subschemas, over all documents of a program */
#define MAX_ERRORS 1000			/* that a check gathers */

/* marks of the search for loops */
#define NOT_VISITED 0
#define VISITING 1
#define VISITED 2

/* nodes by place */
typedef struct PlaceEntry
{
	const void *place;
	FmsNode    *node;
	char		status;
} PlaceEntry;

#define SH_PREFIX places
#define SH_ELEMENT_TYPE PlaceEntry
#define SH_KEY_TYPE const void *
#define SH_KEY place
#define SH_HASH_KEY(table, key) (hash_bytes_uint32((uint32) ((uintptr_t) (key) >> 2)))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * Say that a schema is wrong, at a keyword of a node ("" for the node itself).
 * Raises the error (ERRCODE_INVALID_PARAMETER_VALUE), or notes it if the
 * compilation gathers errors: so callers must be able to go on after it.
 */
void
fms_compile_error(FmsCompiler *compiler, const FmsNode *node, const char *keyword,
				  const char *format,...)
{
	const FmsResource *resource = &compiler->program->resources[node->resource];
	StringInfoData location;
	StringInfoData message;
	FmsCompileError *error;
	MemoryContext old = MemoryContextSwitchTo(compiler->scratch);

	initStringInfo(&message);
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
	initStringInfo(&location);
	if (resource->document > 0)
		appendStringInfo(&location, "%s#", resource->uri);
	fms_place_pointer(&location, &compiler->program->documents[resource->document], node->place);
	if (*keyword != '\0')
		fms_pointer_append(&location, keyword, strlen(keyword));
	if (!compiler->collect)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid JSON Schema at \"%s\": %s", location.data, message.data)));
	if (list_length(compiler->errors) < MAX_ERRORS)
	{
		error = palloc(sizeof(FmsCompileError));
		error->location = location.data;
		error->keyword = keyword;
		error->message = message.data;
		compiler->errors = lappend(compiler->errors, error);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Make the index of nodes by place.  The walk through the schema meets each
 * place once, so only references need it.
 */
static void
index_places(FmsCompiler *compiler)
{
	compiler->places = places_create(compiler->scratch, compiler->nnodes * 2, NULL);
	for (uint32 i = 0; i < compiler->nnodes; i++)
	{
		bool		found;

		places_insert(compiler->places, compiler->nodes[i]->place, &found)->node =
			compiler->nodes[i];
	}
}

/* The node at a place, NULL if nothing was compiled there. */
static FmsNode *
find_node(FmsCompiler *compiler, const void *place)
{
	PlaceEntry *entry = compiler->places == NULL ? NULL : places_lookup(compiler->places, place);

	return entry == NULL ? NULL : entry->node;
}

/*
 * Make a node for the subschema at a place.  It is known by its place at once,
 * so that a schema which refers to itself finds it.  The node is in the program's
 * context, the list of nodes only as long as the compilation.
 */
static FmsNode *
make_node(FmsCompiler *compiler, FmsValue schema, const void *place, uint32 resource)
{
	FmsNode    *node = MemoryContextAllocZero(compiler->program->context, sizeof(FmsNode));
	PlaceEntry *entry;
	bool		found;

	node->schema = schema;
	node->place = place;
	node->resource = resource;
	node->declared = FMS_KINDS_ALL;
	if (compiler->nnodes == compiler->max_nodes)
	{
		if (compiler->nnodes >= MAX_NODES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("JSON Schema is too large"),
					 errdetail("It has more than %d subschemas.", MAX_NODES)));
		compiler->max_nodes *= 2;
		compiler->nodes = repalloc_huge(compiler->nodes, compiler->max_nodes * sizeof(FmsNode *));
	}
	compiler->nodes[compiler->nnodes++] = node;
	if (compiler->places != NULL)
	{
		entry = places_insert(compiler->places, place, &found);
		entry->node = node;
	}
	return node;
}

/*
 * Make the table of properties and required members.  A name that is both is in
 * the list twice, and one entry after fms_properties_index.
 */
static void
merge_properties(FmsBuilder *builder, FmsObjectRules *object)
{
	MemoryContext context = builder->compiler->program->context;
	uint32		declared = builder->properties.data ? fms_count(builder->properties) : 0;
	uint32		required = builder->required.data ? fms_count(builder->required) : 0;
	FmsProperty *list = MemoryContextAllocHuge(context,
											   (Size) (declared + required) *
											   sizeof(FmsProperty) + 1);
	FmsCursor	cursor = {0};

	if (declared > 0)
	{
		FmsCursor	unused;

		cursor = fms_members(builder->properties, &unused);
	}
	for (uint32 i = 0; i < declared + required; i++)
	{
		FmsValue	name;

		if (i == declared)
			cursor = fms_elements(builder->required);
		name = fms_next(&cursor);
		list[i].key = name.data;
		list[i].length = name.length;
		list[i].required = i >= declared;
		list[i].node = i < declared ? builder->property_nodes[i] : NULL;
	}
	object->properties.list = list;
	object->properties.count = declared + required;
	fms_properties_index(&object->properties, context);
	for (uint32 i = 0; i < object->properties.count; i++)
		object->nrequired += list[i].required;
}

/* Bring what the keywords left in the builder into the object's rules. */
static void
finish_object(FmsBuilder *builder)
{
	if (builder->object == NULL && builder->properties.data == NULL &&
		builder->required.data == NULL)
		return;
	if (builder->object == NULL)
	{
		builder->object = MemoryContextAllocZero(builder->compiler->program->context,
												 sizeof(FmsObjectRules));
		builder->object->max_properties = FMS_NO_LIMIT;
	}
	merge_properties(builder, builder->object);
	builder->node->object = builder->object;
	builder->node->more |= FMS_KIND_BIT(FMS_KIND_OBJECT);
	if (builder->object->unevaluated != NULL)
		builder->node->tracks = true;
}

/* The same for arrays. */
static void
finish_array(FmsBuilder *builder)
{
	FmsArrayRules *array = builder->array;

	if (builder->additional_items != NULL && array != NULL && array->prefix_is_items)
	{
		array->rest = builder->additional_items;
		array->rest_is_additional = true;
	}
	if (array == NULL)
		return;
	array->contains_marks = builder->dialect->draft >= FMS_DRAFT_2020_12;
	builder->node->array = array;
	builder->node->more |= FMS_KIND_BIT(FMS_KIND_ARRAY);
	if (array->unevaluated != NULL)
		builder->node->tracks = true;
}

/* Close a node: from the builder's rooms to what the evaluator reads. */
static void
finish_node(FmsBuilder *builder)
{
	FmsNode    *node = builder->node;

	node->kinds = node->declared;
	finish_object(builder);
	finish_array(builder);
	if (builder->number != NULL || builder->low_exclusive || builder->high_exclusive)
	{
		if (builder->number != NULL)
		{
			builder->number->low_exclusive = builder->low_exclusive;
			builder->number->high_exclusive = builder->high_exclusive;
		}
		node->number = builder->number;
		node->more |= FMS_KIND_BIT(FMS_KIND_NUMBER);
	}
	if (builder->string != NULL)
	{
		node->string = builder->string;
		node->more |= FMS_KIND_BIT(FMS_KIND_STRING);
	}
	if (builder->general != NULL)
	{
		node->general = builder->general;
		node->more = FMS_KINDS_ALL;
	}
	for (const FmsChoices *choices = node->choices; choices != NULL; choices = choices->also)
	{
		node->kinds &= choices->kinds;
		node->more |= choices->kinds & ~(FMS_KINDS_BOOLEAN | FMS_KIND_BIT(FMS_KIND_NULL));
	}
}

/*
 * Compile a schema object into its node; recursive through its keywords.  The
 * depth is bounded by itself too: the stack of this session may be large, and the
 * evaluator's frames are not these.
 */
static void
compile_object(FmsCompiler *compiler, FmsNode *node)
{
	FmsBuilder	builder = {.compiler = compiler, .node = node};

	check_stack_depth();
	if (++compiler->depth > FMS_MAX_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("JSON Schema is nested too deeply"),
				 errdetail("It has more than %d levels.", FMS_MAX_DEPTH)));
	builder.dialect = fms_dialect(compiler, fms_resource_of(compiler, node));
	fms_keywords_apply(&builder);
	finish_node(&builder);
	compiler->depth--;
}

/*
 * The node for the subschema at a place, compiled if it is not yet; never NULL,
 * as after an error that was noted there is an empty node.  Its
 * resource is the one around it, from which its own id is resolved.
 */
FmsNode *
fms_compile_node(FmsCompiler *compiler, FmsValue schema, const void *place, uint32 resource)
{
	FmsNode    *node = find_node(compiler, place);

	if (node != NULL)
		return node;
	node = make_node(compiler, schema, place, resource);
	if (schema.kind == FMS_KIND_OBJECT)
		compile_object(compiler, node);
	else if (FMS_IS_BOOLEAN(schema.kind))
	{
		node->kinds = schema.kind == FMS_KIND_TRUE ? FMS_KINDS_ALL : 0;
		node->declared = node->kinds;
	}
	else
		fms_compile_error(compiler, node, "", "a schema must be an object or a boolean");
	return node;
}

/*
 * Follow one step of a JSON pointer; false if there is nothing.  An index has no
 * leading zeros (RFC 6901), and no array has more than nine digits of elements.
 */
static bool
follow_step(FmsValue *value, const void **place, const char *token, uint32 length)
{
	const JsonbContainer *container = (const JsonbContainer *) value->data;
	uint32		count;
	uint32		index;

	if (value->kind < FMS_KIND_ARRAY)
		return false;
	count = fms_count(*value);
	if (value->kind == FMS_KIND_OBJECT)
	{
		if (!fms_member(*value, token, length, NULL, &index))
			return false;
		index += count;
	}
	else
	{
		char	   *end;

		if (length == 0 || strspn(token, "0123456789") != length || length > 9 ||
			(length > 1 && token[0] == '0'))
			return false;
		index = strtoul(token, &end, 10);
		if (index >= count)
			return false;
	}
	*place = &container->children[index];
	*value = fms_element(*value, index);
	return true;
}

/*
 * The node that a JSON pointer means, from a resource's root; NULL if there is
 * nothing.  On the way the pointer may go into embedded resources.
 */
static FmsNode *
follow_pointer(FmsCompiler *compiler, uint32 resource, const char *pointer)
{
	FmsValue	value = compiler->program->resources[resource].schema;
	const void *place = compiler->program->resources[resource].place;
	FmsNode    *node;

	while (*pointer == '/')
	{
		uint32		length;
		char	   *token = fms_pointer_next(&pointer, &length);

		CHECK_FOR_INTERRUPTS();
		if (!follow_step(&value, &place, token, length))
			return NULL;
		node = find_node(compiler, place);
		if (node != NULL)
			resource = node->resource;
	}
	return fms_compile_node(compiler, value, place, resource);
}

/*
 * The node that a reference means; NULL after an error.  If it was named by an
 * anchor, *anchor_name is that, else NULL.
 */
static FmsNode *
find_target(FmsCompiler *compiler, FmsReference *reference, char **anchor_name)
{
	FmsProgram *program = compiler->program;
	uint32		from = reference->node->resource;
	uint32		dialect = program->resources[from].dialect;
	char	   *uri = fms_uri_resolve(program->resources[from].uri, reference->uri);
	char	   *fragment = fms_uri_cut_fragment(uri);
	FmsNode    *node = NULL;
	uint32		resource;

	*anchor_name = NULL;
	if (!fms_resource_find(compiler, uri, dialect, &resource))
	{
		fms_compile_error(compiler, reference->node, reference->keyword,
						  "there is no schema \"%s\"%s", uri,
						  compiler->options.registry ? " in the registry" : "");
		return NULL;
	}
	fragment = fragment == NULL ? "" : fms_uri_decode(fragment);
	if (*fragment == '\0' || *fragment == '/')
		node = follow_pointer(compiler, resource, fragment);
	else
	{
		FmsAnchor  *anchor = fms_anchor_find(compiler, resource, fragment, false);

		*anchor_name = fragment;
		if (anchor != NULL)
			node = fms_compile_node(compiler, anchor->schema, anchor->place, resource);
	}
	if (node == NULL)
		fms_compile_error(compiler, reference->node, reference->keyword,
						  "there is nothing at \"%s\"", reference->uri);
	return node;
}

/*
 * The column of a dynamic anchor's name in the table, given one if it has none.
 * Only names that a dynamic reference uses get one before the table is made.
 */
static uint32
dynamic_column(FmsCompiler *compiler, const char *name)
{
	MemoryContext old;
	ListCell   *cell;

	foreach(cell, compiler->dynamic_names)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return foreach_current_index(cell);
	}
	old = MemoryContextSwitchTo(compiler->scratch);
	compiler->dynamic_names = lappend(compiler->dynamic_names, pstrdup(name));
	MemoryContextSwitchTo(old);
	return list_length(compiler->dynamic_names) - 1;
}

/*
 * Resolve one reference.  $dynamicRef is dynamic only if what it means at first
 * sight is a dynamic anchor itself; $recursiveRef is the same with an anchor
 * that has no name.
 */
static void
resolve(FmsCompiler *compiler, FmsReference *reference)
{
	FmsGeneralRules *rules = reference->rules;
	char	   *name;
	FmsNode    *target = find_target(compiler, reference, &name);

	if (target == NULL)
		return;
	if (strcmp(reference->keyword, "$ref") == 0)
	{
		rules->reference = target;
		return;
	}
	rules->dynamic = target;
	rules->dynamic_keyword = reference->keyword;
	rules->dynamic_name = FMS_STATIC;
	if (strcmp(reference->keyword, "$recursiveRef") == 0)
		name = "";
	if (name != NULL && fms_anchor_find(compiler, target->resource, name, true) != NULL)
		rules->dynamic_name = dynamic_column(compiler, name);
}

/*
 * Resolve all references, those included that come up meanwhile: a target may be
 * at a place that is compiled only now, or in a document that is fetched for it.
 */
static void
resolve_all(FmsCompiler *compiler)
{
	while (compiler->references != NIL)
	{
		List	   *batch = compiler->references;
		ListCell   *cell;

		compiler->references = NIL;
		foreach(cell, batch)
		{
			CHECK_FOR_INTERRUPTS();
			resolve(compiler, lfirst(cell));
		}
		list_free(batch);
	}
}

/*
 * Compile every anchor that a dynamic reference may mean.  Documents that come in
 * on the way add to the list while it is walked, hence by number.
 */
static void
compile_dynamic_anchors(FmsCompiler *compiler)
{
	for (int i = 0; i < list_length(compiler->anchors); i++)
	{
		FmsAnchor  *anchor = list_nth(compiler->anchors, i);

		if (anchor->dynamic)
			(void) fms_compile_node(compiler, anchor->schema, anchor->place, anchor->resource);
		resolve_all(compiler);
	}
}

/*
 * Make the table of dynamic anchors, if any dynamic reference is left: for each
 * resource and name the node, so that the evaluator need not search.
 */
static void
make_dynamic_table(FmsCompiler *compiler)
{
	FmsProgram *program = compiler->program;
	ListCell   *cell;

	if (compiler->dynamic_names == NIL)
		return;
	compile_dynamic_anchors(compiler);
	program->ndynamic = list_length(compiler->dynamic_names);
	program->dynamic = MemoryContextAllocZero(program->context, (Size) program->ndynamic *
											  program->nresources * sizeof(FmsNode *));
	foreach(cell, compiler->anchors)
	{
		FmsAnchor  *anchor = lfirst(cell);

		if (anchor->dynamic)
		{
			uint32		column = dynamic_column(compiler, anchor->name);

			if (column < program->ndynamic)
				program->dynamic[anchor->resource * program->ndynamic + column] =
					find_node(compiler, anchor->place);
		}
	}
}

/* The kinds that any node of a list lets pass. */
static uint16
kinds_of_any(const FmsNodeList *list)
{
	uint16		kinds = list->count == 0 ? FMS_KINDS_ALL : 0;

	for (uint32 i = 0; i < list->count; i++)
		kinds |= list->nodes[i]->kinds;
	return kinds;
}

/*
 * Let a node refuse by kind what the nodes it applies to the same value would
 * refuse, so that the evaluator need not go there.  Those are done already.  Not,
 * if, then and else say nothing by themselves about the kinds that pass.
 */
static void
narrow_kinds(FmsNode *node)
{
	const FmsGeneralRules *rules = node->general;

	if (rules->reference != NULL)
		node->kinds &= rules->reference->kinds;
	if (rules->dynamic != NULL && rules->dynamic_name == FMS_STATIC)
		node->kinds &= rules->dynamic->kinds;
	for (uint32 i = 0; i < rules->all.count; i++)
		node->kinds &= rules->all.nodes[i]->kinds;
	node->kinds &= kinds_of_any(&rules->any);
	node->kinds &= kinds_of_any(&rules->one);
}

/*
 * Let a node that is nothing but a reference stand for what it means.  Not if
 * there are dynamic references, which depend on the way.
 */
static void
shorten(FmsCompiler *compiler, FmsNode *node)
{
	FmsGeneralRules alone = {.reference = node->general->reference};
	const FmsNode *target = alone.reference;

	if (target == NULL || compiler->program->ndynamic > 0 || node->tracks || node->array != NULL ||
		node->object != NULL || node->string != NULL || node->number != NULL ||
		node->choices != NULL || memcmp(&alone, node->general, sizeof(FmsGeneralRules)) != 0)
		return;
	node->more = target->more;
	node->jump = target->jump != NULL ? target->jump : target;
}

static void find_loop(FmsCompiler *compiler, FmsNode *node, const char *keyword);

/* Search the nodes of a list for loops. */
static void
find_loop_in_list(FmsCompiler *compiler, const FmsNodeList *list, const char *keyword)
{
	for (uint32 i = 0; i < list->count; i++)
		find_loop(compiler, unconstify(FmsNode *, list->nodes[i]), keyword);
}

/* Search everything that a node applies to the same value. */
static void
find_loop_below(FmsCompiler *compiler, FmsNode *node)
{
	const FmsGeneralRules *rules = node->general;

	if (rules != NULL)
	{
		find_loop(compiler, unconstify(FmsNode *, rules->reference), "$ref");
		if (rules->dynamic != NULL && rules->dynamic_name == FMS_STATIC)
			find_loop(compiler, unconstify(FmsNode *, rules->dynamic), rules->dynamic_keyword);
		find_loop_in_list(compiler, &rules->all, "allOf");
		find_loop_in_list(compiler, &rules->any, "anyOf");
		find_loop_in_list(compiler, &rules->one, "oneOf");
		find_loop(compiler, unconstify(FmsNode *, rules->none), "not");
		find_loop(compiler, unconstify(FmsNode *, rules->condition), "if");
		find_loop(compiler, unconstify(FmsNode *, rules->then), "then");
		find_loop(compiler, unconstify(FmsNode *, rules->otherwise), "else");
	}
	for (uint32 i = 0; node->object != NULL && i < node->object->ndependencies; i++)
		find_loop(compiler, unconstify(FmsNode *, node->object->dependencies[i].node),
				  "dependentSchemas");
}

/*
 * Search for a loop of schemas that apply each other to the same value, which
 * would never end; on the way back, bring together what nodes know of kinds.
 */
static void
find_loop(FmsCompiler *compiler, FmsNode *node, const char *keyword)
{
	if (node == NULL || node->visit == VISITED)
		return;
	if (node->visit == VISITING)
	{
		fms_compile_error(compiler, node, "",
						  "the schema applies itself to the same value, by \"%s\"", keyword);
		return;
	}
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	node->visit = VISITING;
	find_loop_below(compiler, node);
	if (node->general != NULL)
	{
		narrow_kinds(node);
		shorten(compiler, node);
	}
	node->visit = VISITED;
}

/*
 * Set up a compiler for a schema, with a program to be.  Its scratch is a child
 * of the program's context, so that an error takes both with their parent.
 */
static void
start_compiler(FmsCompiler *compiler, const FmsSchemaOptions *options)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "JSON Schema",
												  ALLOCSET_SMALL_SIZES);

	memset(compiler, 0, sizeof(FmsCompiler));
	compiler->options = *options;
	compiler->scratch = AllocSetContextCreate(context, "JSON Schema compiler",
											  ALLOCSET_DEFAULT_SIZES);
	compiler->program = MemoryContextAllocZero(context, sizeof(FmsProgram));
	compiler->program->context = context;
	compiler->program->generation = fms_registry_generation;
	compiler->max_nodes = 64;
	compiler->nodes = MemoryContextAlloc(compiler->scratch,
										 compiler->max_nodes * sizeof(FmsNode *));
}

/*
 * Compile everything.  Loops and prechecks want the whole graph; after an error,
 * which can only be when errors are gathered, parts of it are missing.
 */
static void
compile_all(FmsCompiler *compiler, Jsonb *schema)
{
	FmsProgram *program = compiler->program;
	uint32		root = fms_document_add(compiler, schema, "",
										fms_dialect_default(compiler, compiler->options.draft));

	program->root = fms_compile_node(compiler, program->resources[root].schema,
									 program->resources[root].place, root);
	if (compiler->references != NIL)
		index_places(compiler);
	resolve_all(compiler);
	make_dynamic_table(compiler);
	if (compiler->errors == NIL)
	{
		for (uint32 i = 0; i < compiler->nnodes; i++)
			find_loop(compiler, compiler->nodes[i], "$ref");
	}
	if (compiler->errors == NIL)
	{
		for (uint32 i = 0; i < compiler->nnodes; i++)
		{
			if (compiler->nodes[i]->general != NULL)
				fms_precheck_make(compiler, compiler->nodes[i]);
		}
	}
}

/*
 * Compile a schema; the program's memory context is a child of the current one;
 * the caller deletes it in the end.  The schema's jsonb is copied into it.
 * Raises an error if the schema is wrong or too large.
 */
FmsProgram *
fms_compile(Jsonb *schema, const FmsSchemaOptions *options)
{
	FmsCompiler compiler;
	MemoryContext old;

	start_compiler(&compiler, options);
	old = MemoryContextSwitchTo(compiler.scratch);
	compile_all(&compiler, schema);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(compiler.scratch);
	return compiler.program;
}

/*
 * Everything that is wrong with a schema: an array of {location, keyword,
 * error}, empty if it is right; MAX_ERRORS of them at most.  In the current
 * memory context.
 */
Jsonb *
fms_compile_check(Jsonb *schema, const FmsSchemaOptions *options)
{
	FmsJsonbState state = {0};
	FmsCompiler compiler;
	MemoryContext old;
	ListCell   *cell;
	Jsonb	   *result;

	start_compiler(&compiler, options);
	compiler.collect = true;
	old = MemoryContextSwitchTo(compiler.scratch);
	compile_all(&compiler, schema);
	MemoryContextSwitchTo(old);
	fms_jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, compiler.errors)
	{
		FmsCompileError *error = lfirst(cell);

		fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
		fms_jsonb_string(&state, "location", error->location);
		fms_jsonb_string(&state, "keyword", error->keyword);
		fms_jsonb_string(&state, "error", error->message);
		fms_jsonb_push(&state, WJB_END_OBJECT, NULL);
	}
	result = fms_jsonb_end(&state, WJB_END_ARRAY);
	MemoryContextDelete(compiler.program->context);
	return result;
}
