/*-------------------------------------------------------------------------
 *
 * token_names.h
 *	  The names under which instrumentations tell what a model call used.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_USAGE_TOKEN_NAMES_H
#define FMS_USAGE_TOKEN_NAMES_H

#include "utils/jsonb.h"

#include "usage/tokens.h"

/* what a name can stand for: the kinds of tokens, texts, and these */
enum
{
	FMS_NAME_CACHE_WRITE_5M = FMS_TOKEN_KINDS,
	FMS_NAME_CACHE_WRITE_1H,
	FMS_NAME_BARE_INPUT,		/* input without cached tokens, as the
								 * provider told it */
	FMS_NAME_COUNTS,			/* fields below this are counts, */
	FMS_NAME_COST_TOTAL = FMS_NAME_COUNTS,
	FMS_NAME_COST_INPUT,
	FMS_NAME_COST_OUTPUT,
	FMS_NAME_TEXTS,				/* below this costs, and after it texts */
	FMS_NAME_FIELDS = FMS_NAME_TEXTS + FMS_USAGE_TEXTS,
	FMS_NAME_OBJECT = FMS_NAME_FIELDS	/* no field, but an object with names
										 * in it */
};

#define FMS_NAME_TEXT(which) (FMS_NAME_TEXTS + (which))
#define FMS_NAME_ROOT 0			/* the object that attributes are */
#define FMS_NAME_OBJECTS 13		/* places where names are looked for */
#define FMS_MAX_KEY_USES 255

/* what a key of an object means */
typedef struct FmsKeyUse
{
	uint32		index;			/* of the key in its object */
	uint8		field;
	uint8		rank;			/* the lowest wins; of an object, which one */
} FmsKeyUse;

extern bool fms_usage_name(int object, const char *key, int length, FmsKeyUse *use);
extern const FmsKeyUse *fms_usage_names(int object, const JsonbContainer *container,
										FmsKeyUse *room, int *uses, uint32 *values);

#endif							/* FMS_USAGE_TOKEN_NAMES_H */
