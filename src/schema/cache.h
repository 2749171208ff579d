/*-------------------------------------------------------------------------
 *
 * cache.h
 *	  The programs that this backend has compiled.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_CACHE_H
#define FMS_SCHEMA_CACHE_H

#include "schema/program.h"
#include "schema/registry.h"

typedef struct FmsCached FmsCached;

/* What a call in a query plan remembers from one row to the next. */
typedef struct FmsCallSite
{
	bool		constant;		/* schema and options are the same in every
								 * row */
	bool		same_options;	/* the options are, and known */
	FmsCached  *cached;			/* pinned */
	const FmsProgram *program;
	FmsSchemaOptions options;
	char	   *datum;			/* schema's datum as it came, for comparison */
	Size		length;
	Size		room;
	LocalTransactionId transaction; /* in which a TOAST pointer means the same */
	MemoryContextCallback callback;
} FmsCallSite;

extern void fms_schema_define_settings(void);

extern FmsCallSite *fms_call_site(FmgrInfo *flinfo, int schema, int noptions, const int *options);
extern const FmsProgram *fms_call_site_program(FmsCallSite *site, FmgrInfo *flinfo, Datum schema,
											   bool is_text, const FmsSchemaOptions *options);

/* Whether the registry has changed since a program was made from it. */
static inline bool
fms_program_is_stale(const FmsProgram *program)
{
	return program->from_registry && program->generation != fms_registry_generation;
}

/* The program of a call whose schema never changes; NULL: ask for it. */
static inline const FmsProgram *
fms_call_site_constant(const FmsCallSite *site)
{
	return site != NULL && site->constant && site->cached != NULL &&
		!fms_program_is_stale(site->program) ?
		site->program : NULL;
}

#endif							/* FMS_SCHEMA_CACHE_H */
