/*-------------------------------------------------------------------------
 *
 * names.c
 *	  Names under which attributes tell the same thing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "span/names.h"

/* Order names by length. */
static int
compare_names(const void *a, const void *b)
{
	return (int) ((const FmsName *) a)->length - (int) ((const FmsName *) b)->length;
}

/* Sort the names and find where each length begins; once in a process. */
void
fms_names_sort(FmsNames *table)
{
	int			n = 0;

	if (table->sorted)
		return;
	Assert(table->count < FMS_NO_NAME);
	for (int i = 0; i < table->count; i++)
	{
		table->names[i].length = strlen(table->names[i].name);
		table->names[i].rank = i;
		Assert(strlen(table->names[i].name) <= FMS_LONGEST_NAME);
	}
	qsort(table->names, table->count, sizeof(FmsName), compare_names);
	for (int length = 0; length < lengthof(table->first_of_length); length++)
	{
		while (n < table->count && table->names[n].length < length)
			n++;
		table->first_of_length[length] = n;
	}
	table->sorted = true;
}

/*
 * Whether spans of a type are calls of a model.  Asked of every span that is
 * written: two comparisons of lengths for nearly all that are not.
 */
bool
fms_names_is_model_call(const char *span_type, int length)
{
	static const char *const types[] = {"model_generation", "embedding_generation"};

	for (int i = 0; i < lengthof(types); i++)
	{
		if (length == strlen(types[i]) && memcmp(span_type, types[i], length) == 0)
			return true;
	}
	return false;
}
