/*-------------------------------------------------------------------------
 *
 * schema.h
 *	  JSON Schema over jsonb: what other rooms, and the tools, may call.
 *
 * A schema is compiled once into a program, which the backend's cache keeps.
 * Whoever uses a program holds a pin on it, bound to a memory context: when
 * that context is reset or deleted the pin is gone, so nothing is left behind
 * by an error.  Validation of a valid instance allocates nothing.
 *
 * A schema that is itself wrong raises an error that names the place
 * (ERRCODE_INVALID_PARAMETER_VALUE, "invalid JSON Schema").
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_SCHEMA_H
#define FMS_SCHEMA_SCHEMA_H

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef enum FmsDraft
{
	FMS_DRAFT_4,
	FMS_DRAFT_6,
	FMS_DRAFT_7,
	FMS_DRAFT_2019_09,
	FMS_DRAFT_2020_12
} FmsDraft;

/* What, besides its text, decides what a schema means. */
typedef struct FmsSchemaOptions
{
	FmsDraft	draft;			/* of a schema without $schema */
	bool		formats;		/* "format" is an assertion, whatever the
								 * draft says */
	bool		old_formats;	/* it is one up to draft 7 */
	bool		registry;		/* flowmaestro.json_schemas may be read */
} FmsSchemaOptions;

typedef struct FmsProgram FmsProgram;

/* A step of a path, linked from the last step to the first; NULL is the root. */
typedef struct FmsStep
{
	const struct FmsStep *parent;
	const char *key;			/* member's name, not terminated; NULL: an
								 * array's index */
	uint32		length;			/* bytes of key */
	uint32		index;
} FmsStep;

/* One failure.  All of it lives until the callback returns. */
typedef struct FmsSchemaError
{
	const FmsStep *instance_path;	/* to the value that failed */
	const FmsStep *keyword_path;	/* from the schema's root through every
									 * $ref */
	const char *keyword;		/* name of the keyword that failed, "" for a
								 * false root */
	const char *absolute_location;	/* URI of the keyword: base, #, JSON
									 * pointer */
	const JsonbContainer *schema;	/* object that holds the keyword, NULL if
									 * there is none */
	JsonbValue	keyword_value;	/* of the keyword in that object; jbvNull
								 * without one */
	JsonbValue	instance;		/* the value that failed */
	const char *message;		/* standard text */

	/*
	 * For "required" and the dependencies, a missing member's name; for
	 * "propertyNames", the member whose name is wrong; else NULL.
	 */
	const char *member;
	uint32		member_length;

	/*
	 * above 0: tells why a branch of that many nested anyOf, oneOf does not
	 * hold
	 */
	uint32		branch;
} FmsSchemaError;

typedef void (*FmsSchemaErrorCallback) (const FmsSchemaError *error, void *argument);

extern FmsProgram *fms_schema_acquire(Jsonb *schema, const FmsSchemaOptions *options,
									  MemoryContext owner);
extern bool fms_schema_is_valid(const FmsProgram *program, const Jsonb *instance);
extern int	fms_schema_report(const FmsProgram *program, const Jsonb *instance,
							  int limit, FmsSchemaErrorCallback callback, void *argument);
extern void fms_schema_pointer(StringInfo out, const FmsStep *path);
extern bool fms_schema_draft(const char *name, size_t bytes, FmsDraft *draft);

#endif							/* FMS_SCHEMA_SCHEMA_H */
