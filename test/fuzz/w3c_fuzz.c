/*-------------------------------------------------------------------------
 *
 * w3c_fuzz.c
 *	  libFuzzer target: whatever a header or a statement says, reading it stays
 *	  inside of it, and what is taken as good is good.
 *
 * The first byte tells what the rest is read as.  The rest is copied, so that
 * there is nothing behind it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdlib.h>

#include "context/w3c.h"

extern int	LLVMFuzzerTestOneInput(const uint8 *input, size_t size);

/* A traceparent that was read has to come back from what is written of it. */
static void
check_traceparent(const FmsTraceparent *parent)
{
	char		formatted[FMS_TRACEPARENT_BYTES + 1];
	FmsTraceparent again;

	fms_w3c_format(parent, formatted);
	if (strlen(formatted) != FMS_TRACEPARENT_BYTES ||
		fms_w3c_traceparent(formatted, strlen(formatted), &again) != NULL ||
		memcmp(parent, &again, sizeof(again)) != 0)
		abort();
}

/* Read a statement; a tracestate that is taken is a good one, or none. */
static void
check_comment(const char *sql, size_t length, size_t size)
{
	char	   *tracestate = malloc(size);
	FmsTraceparent parent;

	if (fms_w3c_comment(sql, length, &parent, tracestate, size))
	{
		check_traceparent(&parent);
		if (strlen(tracestate) >= size ||
			fms_w3c_tracestate(tracestate, strlen(tracestate)) != NULL)
			abort();
	}
	free(tracestate);
}

/* Read the input as what its first byte says. */
int
LLVMFuzzerTestOneInput(const uint8 *input, size_t size)
{
	FmsTraceparent parent;
	char	   *text;

	if (size == 0)
		return 0;
	text = malloc(size - 1 > 0 ? size - 1 : 1);
	memcpy(text, input + 1, size - 1);
	switch (input[0] % 4)
	{
		case 0:
			if (fms_w3c_traceparent(text, size - 1, &parent) == NULL)
				check_traceparent(&parent);
			break;
		case 1:
			(void) fms_w3c_tracestate(text, size - 1);
			break;
		case 2:
			(void) fms_w3c_baggage(text, size - 1);
			break;
		default:
			check_comment(text, size - 1, 1 + input[0]);
	}
	free(text);
	return 0;
}
