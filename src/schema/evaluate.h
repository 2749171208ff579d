/*-------------------------------------------------------------------------
 *
 * evaluate.h
 *	  The state of a validation, and the tests of single keywords.
 *
 * The evaluator says yes or no; the reporter, which runs only after a no, goes
 * through the same program with the same tests and says why.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_EVALUATE_H
#define FMS_SCHEMA_EVALUATE_H

#include "schema/program.h"

/* A schema resource that the validation is in; the dynamic scope. */
typedef struct FmsScope
{
	const struct FmsScope *outer;
	uint32		resource;		/* index into program->resources */
} FmsScope;

/* A validation. */
typedef struct FmsEvaluation
{
	const FmsProgram *program;
	const FmsScope *scope;		/* kept only if the program has dynamic
								 * references */
	int			depth;			/* levels of recursion, up to FMS_MAX_DEPTH */
} FmsEvaluation;

/* Which elements or members of a container were evaluated, a bit each. */
typedef struct FmsSeen
{
	uint64	   *bits;
	uint32		count;			/* of the elements or members */
} FmsSeen;

extern bool fms_evaluate(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value);
extern bool fms_evaluate_seen(FmsEvaluation *evaluation, const FmsNode *node, FmsValue value,
							  FmsSeen *seen);
extern const FmsNode *fms_dynamic_target(const FmsEvaluation *evaluation,
										 const FmsGeneralRules *rules);
extern bool fms_choices_allow(const FmsChoices *choices, FmsValue value);
extern bool fms_bound_holds(const FmsBound *bound, const FmsDecimal *number, int sign,
							bool exclusive);
extern bool fms_length_within(FmsValue string, uint64 min, uint64 max);
extern bool fms_all_different(FmsValue array, uint32 *first, uint32 *second);
extern FmsSeen *fms_seen_make(FmsValue container);
extern bool fms_seen_get(const FmsSeen *seen, uint32 index);

#endif							/* FMS_SCHEMA_EVALUATE_H */
