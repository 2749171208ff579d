/*-------------------------------------------------------------------------
 *
 * names.h
 *	  Names under which attributes tell the same thing.
 *
 * Every instrumentation has names of its own.  A table lists them in the order
 * of precedence, each with the field that it stands for.  The keys of a jsonb
 * object are ordered by length, and so is the table once it is sorted: one pass
 * over the keys finds all, and a key whose length no name has costs one
 * comparison.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_NAMES_H
#define FMS_SPAN_NAMES_H

#define FMS_LONGEST_NAME 95
#define FMS_NO_NAME 255			/* rank above that of every name */

typedef struct FmsName
{
	const char *name;
	uint8		field;
	uint8		length;			/* this and what follows are set by
								 * fms_names_sort */
	uint8		rank;			/* place in the table as written; the lowest
								 * wins */
} FmsName;

typedef struct FmsNames
{
	FmsName    *names;
	int			count;			/* less than FMS_NO_NAME */
	bool		sorted;
	uint8		first_of_length[FMS_LONGEST_NAME + 2];	/* and after the last
														 * one */
} FmsNames;

extern void fms_names_sort(FmsNames *table);
extern bool fms_names_is_model_call(const char *span_type, int length);

/* The name that a key with a prefix is, or NULL; the table is sorted. */
static inline const FmsName *
fms_names_find(const FmsNames *table, const char *prefix, int prefix_length, const char *key,
			   int length)
{
	int			whole = prefix_length + length;

	if (whole > FMS_LONGEST_NAME)
		return NULL;
	for (int n = table->first_of_length[whole]; n < table->first_of_length[whole + 1]; n++)
	{
		if (memcmp(table->names[n].name + prefix_length, key, length) == 0 &&
			memcmp(table->names[n].name, prefix, prefix_length) == 0)
			return &table->names[n];
	}
	return NULL;
}

#endif							/* FMS_SPAN_NAMES_H */
