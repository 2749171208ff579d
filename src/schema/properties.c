/*-------------------------------------------------------------------------
 *
 * properties.c
 *	  Tables of members by name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "schema/program.h"

/* Order properties as jsonb orders keys. */
static int
compare_properties(const void *a, const void *b)
{
	const FmsProperty *left = a;
	const FmsProperty *right = b;

	return fms_key_compare(left->key, left->length, right->key, right->length);
}

/*
 * Sort a table, bring entries of the same name together, and make its index by
 * length.  Of entries with the same name at most one has a node.
 */
void
fms_properties_index(FmsProperties *properties, MemoryContext context)
{
	FmsProperty *list = properties->list;
	uint32		count = 0;
	uint32		next = 0;

	qsort(list, properties->count, sizeof(FmsProperty), compare_properties);
	for (uint32 i = 0; i < properties->count; i++)
	{
		if (count > 0 && compare_properties(&list[count - 1], &list[i]) == 0)
		{
			list[count - 1].required |= list[i].required;
			if (list[i].node != NULL)
				list[count - 1].node = list[i].node;
			continue;
		}
		list[count] = list[i];
		list[count].words = fms_name_words(list[i].key, list[i].length);
		count++;
	}
	properties->count = count;
	properties->longest = count == 0 ? 0 : list[count - 1].length;
	properties->first = MemoryContextAllocHuge(context,
											   ((Size) properties->longest + 2) * sizeof(uint32));
	for (uint32 length = 0; length <= properties->longest + 1; length++)
	{
		while (next < count && list[next].length < length)
			next++;
		properties->first[length] = next;
	}
}

/* The entry of a name, NULL if there is none. */
const FmsProperty *
fms_properties_find(const FmsProperties *properties, FmsValue name)
{
	uint32		low = 0;
	uint32		high = properties->count;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		const FmsProperty *property = &properties->list[middle];
		int			order = fms_key_compare(property->key, property->length, name.data,
											name.length);

		if (order == 0)
			return property;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
