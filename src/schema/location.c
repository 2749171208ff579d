/*-------------------------------------------------------------------------
 *
 * location.c
 *	  Where in a schema document a subschema is.
 *
 * A node knows its subschema by the address of its entry in the jsonb, which
 * costs a program nothing more than a pointer.  The JSON pointer to it is found
 * when an error wants it: contents nest, so at each level only one container
 * can enclose an address.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "schema/program.h"
#include "schema/uri.h"

/* Append the step to a container's child. */
static void
append_step(StringInfo out, FmsValue container, uint32 index)
{
	FmsValue	name;

	if (container.kind == FMS_KIND_ARRAY)
	{
		appendStringInfo(out, "/%u", index);
		return;
	}
	name = fms_element(container, index);
	fms_pointer_append(out, name.data, name.length);
}

/*
 * Append the JSON pointer from a document's root to a place in it; nothing if it
 * is the root, or not in this document.
 */
void
fms_place_pointer(StringInfo out, const FmsDocument *document, const void *place)
{
	FmsValue	container = document->root;
	const char *address = place;

	if (place == document->place)
		return;
	/* one level each time round: is it an entry of this container, or deeper? */
	for (;;)
	{
		uint32		count = fms_count(container);
		FmsCursor	cursor;
		FmsValue	child;
		uint32		i;

		if (container.kind == FMS_KIND_OBJECT)
			(void) fms_members(container, &cursor);
		else
			cursor = fms_elements(container);
		if (address >= (const char *) cursor.entry &&
			address < (const char *) (cursor.entry + count))
		{
			append_step(out, container, (const JEntry *) place - cursor.entry);
			return;
		}
		for (i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			child = fms_next(&cursor);
			if (child.kind >= FMS_KIND_ARRAY && address >= child.data &&
				address < child.data + child.length)
				break;
		}
		if (i == count)
			return;
		append_step(out, container, i);
		container = child;
	}
}
