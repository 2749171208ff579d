/*-------------------------------------------------------------------------
 *
 * cache.c
 *	  The programs that this backend has compiled.
 *
 * Programs are found by a hash of the schema's bytes and the options, then by
 * full comparison.  The cache is bounded in bytes; the least recently used
 * programs go first.  A user pins a program, so that it outlives its place in
 * the cache as long as it is needed; a pin belongs to a memory context and ends
 * with it, also after an error.
 *
 * A call in a plan keeps its program from row to row.  If the schema is a
 * constant it is not even looked at again; if not, its datum is compared as it
 * came, still compressed or a TOAST pointer, with that of the row before.
 *
 * A program that has looked into the registry is dropped when that changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "nodes/primnodes.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "schema/cache.h"

/* What two equal programs have in common. */
typedef struct CacheKey
{
	uint64		hash;
	uint32		length;
	uint32		options;
} CacheKey;

struct FmsCached
{
	CacheKey	key;
	FmsProgram *program;
	Size		size;
	int			pins;
	bool		cached;			/* in the table and the list */
	dlist_node	node;
};

/* A row of the table. */
typedef struct CacheEntry
{
	CacheKey	key;
	FmsCached  *cached;
} CacheEntry;

/* A pin that ends with a memory context. */
typedef struct Pin
{
	FmsCached  *cached;
	MemoryContextCallback callback;
} Pin;

static int	cache_size = 8 * 1024;	/* GUC, kilobytes */

static MemoryContext cache_context = NULL;
static HTAB *table = NULL;
static dlist_head recent = DLIST_STATIC_INIT(recent);	/* most recently used
														 * first */
static Size total = 0;

/* Settings of JSON Schema; called once, when the library is loaded. */
void
fms_schema_define_settings(void)
{
	DefineCustomIntVariable("flowmaestro.schema_cache_size",
							"Memory for compiled JSON Schemas in each session.",
							"The least recently used ones make room.  A schema in use stays.",
							&cache_size, 8 * 1024, 0, MAX_KILOBYTES, PGC_USERSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
}

/* Make the cache, at the first schema of the session. */
static void
initialize(void)
{
	HASHCTL		control = {.keysize = sizeof(CacheKey), .entrysize = sizeof(CacheEntry)};

	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(TopMemoryContext, "JSON Schema cache",
											  ALLOCSET_DEFAULT_SIZES);
	control.hcxt = cache_context;
	table = hash_create("JSON Schema programs", 64, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Free a program that nobody can reach any more. */
static void
destroy(FmsCached *cached)
{
	MemoryContextDelete(cached->program->context);
}

/* Take a program out of the cache; whoever has a pin on it keeps it. */
static void
evict_program(FmsCached *cached)
{
	(void) hash_search(table, &cached->key, HASH_REMOVE, NULL);
	dlist_delete(&cached->node);
	total -= cached->size;
	cached->cached = false;
	if (cached->pins == 0)
		destroy(cached);
}

/* Evict from the far end until the cache is within its limit. */
static void
shrink(void)
{
	dlist_node *node = dlist_is_empty(&recent) ? NULL : dlist_tail_node(&recent);

	while (node != NULL && total > (Size) cache_size * 1024)
	{
		FmsCached  *cached = dlist_container(FmsCached, node, node);

		node = dlist_has_prev(&recent, node) ? dlist_prev_node(&recent, node) : NULL;
		if (cached->pins == 0)
			evict_program(cached);
	}
}

/* Give up a pin. */
static void
unpin(FmsCached *cached)
{
	if (--cached->pins == 0 && !cached->cached)
		destroy(cached);
}

/* Evict what was made from the registry, if that has changed since the last call. */
static void
evict_stale(void)
{
	static uint64 generation = 0;
	dlist_mutable_iter iter;

	if (generation == fms_registry_generation)
		return;
	generation = fms_registry_generation;
	dlist_foreach_modify(iter, &recent)
	{
		FmsCached  *cached = dlist_container(FmsCached, node, iter.cur);

		if (fms_program_is_stale(cached->program))
			evict_program(cached);
	}
}

/*
 * Compile a schema into a program that nobody has pinned and that is not in the
 * cache; still in the current memory context, so that an error takes it along.
 */
static FmsCached *
compile_cached(Jsonb *schema, const FmsSchemaOptions *options)
{
	FmsProgram *program = fms_compile(schema, options);
	FmsCached  *cached = MemoryContextAllocZero(program->context, sizeof(FmsCached));

	cached->program = program;
	cached->size = MemoryContextMemAllocated(program->context, true) + program->pattern_bytes;
	return cached;
}

/* Give a program a long life, and a place in the cache if it is fit for that. */
static void
keep_program(FmsCached *cached, const CacheKey *key)
{
	/* what the compiler read may have changed while it read on */
	bool		fit = !fms_program_is_stale(cached->program) &&
		cached->size <= (Size) cache_size * 1024;
	bool		taken = false;
	CacheEntry *entry = NULL;

	if (fit)
		entry = hash_search(table, key, HASH_ENTER, &taken);
	/* nothing can fail any more */
	MemoryContextSetParent(cached->program->context, cache_context);
	if (!fit || taken)
		return;
	entry->cached = cached;
	cached->key = *key;
	cached->cached = true;
	dlist_push_head(&recent, &cached->node);
	total += cached->size;
}

/* Whether a program was made from a schema. */
static bool
made_from(const FmsProgram *program, const Jsonb *schema)
{
	return memcmp(program->documents[0].place, &schema->root, VARSIZE(schema) - VARHDRSZ) == 0;
}

/*
 * Find or make the program of a schema, pinned by one.  Raises the errors of the
 * compiler; then nothing has changed.
 */
static FmsCached *
acquire(Jsonb *schema, const FmsSchemaOptions *options)
{
	CacheKey	key = {0};
	CacheEntry *entry;
	FmsCached  *cached;

	if (table == NULL)
		initialize();
	evict_stale();
	key.length = VARSIZE(schema);
	key.hash = hash_bytes_extended((unsigned char *) VARDATA(schema), key.length - VARHDRSZ, 0);
	key.options = (options->draft << 3) | (options->formats << 2) | (options->old_formats << 1) |
		options->registry;
	entry = hash_search(table, &key, HASH_FIND, NULL);
	if (entry != NULL && made_from(entry->cached->program, schema))
	{
		cached = entry->cached;
		dlist_move_head(&recent, &cached->node);
		cached->pins++;
		return cached;
	}
	cached = compile_cached(schema, options);
	keep_program(cached, &key);
	cached->pins++;
	shrink();
	return cached;
}

/* The end of a pin's memory context. */
static void
drop_pin(void *argument)
{
	unpin(((Pin *) argument)->cached);
}

/*
 * The program of a schema, compiled if it is not in the cache.  It stays until
 * "owner" is reset or deleted.
 */
FmsProgram *
fms_schema_acquire(Jsonb *schema, const FmsSchemaOptions *options, MemoryContext owner)
{
	Pin		   *pin = MemoryContextAlloc(owner, sizeof(Pin));

	pin->cached = acquire(schema, options);
	pin->callback.func = drop_pin;
	pin->callback.arg = pin;
	MemoryContextRegisterResetCallback(owner, &pin->callback);
	return pin->cached->program;
}

/* The end of a call site. */
static void
drop_site(void *argument)
{
	FmsCallSite *site = argument;

	if (site->cached != NULL)
		unpin(site->cached);
}

/*
 * Whether an argument of a call is a constant in the plan.  A parameter is not:
 * PL/pgSQL evaluates an expression many times with other values in the same
 * state.
 */
static bool
is_constant(const FmgrInfo *flinfo, int argument)
{
	const Node *call = flinfo->fn_expr;

	return call != NULL && IsA(call, FuncExpr) &&
		argument < list_length(((const FuncExpr *) call)->args) &&
		IsA(list_nth(((const FuncExpr *) call)->args, argument), Const);
}

/*
 * The call site of a function call, made at its first row: the argument that is
 * the schema, and those that are options.
 */
FmsCallSite *
fms_call_site(FmgrInfo *flinfo, int schema, int noptions, const int *options)
{
	FmsCallSite *site = flinfo->fn_extra;

	if (site != NULL)
		return site;
	site = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(FmsCallSite));
	site->same_options = true;
	for (int i = 0; i < noptions; i++)
		site->same_options = site->same_options && is_constant(flinfo, options[i]);
	site->constant = site->same_options && is_constant(flinfo, schema);
	site->callback.func = drop_site;
	site->callback.arg = site;
	MemoryContextRegisterResetCallback(flinfo->fn_mcxt, &site->callback);
	flinfo->fn_extra = site;
	return site;
}

/*
 * Whether a datum is, byte for byte as it came, that of the row before.  Equal
 * TOAST pointers mean equal values only as long as nothing can have been
 * vacuumed away between: within a transaction.
 */
static bool
same_datum(const FmsCallSite *site, struct varlena *datum, Size length)
{
	return site->cached != NULL && site->length == length &&
		memcmp(site->datum, datum, length) == 0 &&
		(!VARATT_IS_EXTERNAL(datum) || site->transaction == fms_local_transaction());
}

/* Keep a datum for the comparison with the next row's. */
static void
keep_datum(FmsCallSite *site, FmgrInfo *flinfo, struct varlena *datum, Size length)
{
	site->length = 0;
	/* what is expanded or elsewhere in memory says nothing by its pointer */
	if (VARATT_IS_EXTERNAL(datum) && !VARATT_IS_EXTERNAL_ONDISK(datum))
		return;
	if (length > site->room)
	{
		if (site->datum != NULL)
			pfree(site->datum);
		site->room = 0;
		site->datum = MemoryContextAlloc(flinfo->fn_mcxt, length);
		site->room = length;
	}
	memcpy(site->datum, datum, length);
	site->length = length;
	site->transaction = fms_local_transaction();
}

/* A schema handed in as jsonb, or as json, which is text. */
static Jsonb *
detoast_schema(Datum schema, bool is_text)
{
	if (is_text)
		return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
												  CStringGetDatum(TextDatumGetCString(schema))));
	return DatumGetJsonbP(schema);
}

/*
 * The program of a call's schema in this row.  It stays pinned until the next
 * row's takes its place, or the call's memory context ends.
 */
const FmsProgram *
fms_call_site_program(FmsCallSite *site, FmgrInfo *flinfo, Datum schema, bool is_text,
					  const FmsSchemaOptions *options)
{
	struct varlena *datum = (struct varlena *) DatumGetPointer(schema);
	Size		length = VARSIZE_ANY(datum);
	FmsCached  *cached;

	if (same_datum(site, datum, length) && !fms_program_is_stale(site->program) &&
		options->draft == site->options.draft && options->formats == site->options.formats)
		return site->program;
	cached = acquire(detoast_schema(schema, is_text), options);
	if (site->cached != NULL)
		unpin(site->cached);
	site->cached = cached;
	site->program = cached->program;
	site->options = *options;
	keep_datum(site, flinfo, datum, length);
	return site->program;
}
