/*-------------------------------------------------------------------------
 *
 * pattern.c
 *	  Regular expressions of ECMA-262, matched by PCRE2.
 *
 * A pattern is matched in one of two ways.  The quick one runs PCRE2 with a
 * limit on its steps: a step may cost as much as one pass over the subject, and
 * PCRE2 counts anew at each place where a match can begin, so the limit is such
 * that the product of the three stays below WORK.  A pattern that is done by
 * then, as almost every one is, never leaves this way.  While it runs it cannot
 * be interrupted, and need not be.
 *
 * What the quick way cannot do, a long subject or an evil pattern, is done once
 * more by a second program of the same pattern that calls us between all of its
 * items: there steps are counted for the whole match and a query cancel is
 * seen.  It is several times slower, and is compiled when first needed.
 *
 * A pattern that is a text at the start of the subject, "^x-" or "^\\$ref$", is
 * compared: names of members are mostly matched against such ones.
 *
 * The first searches of a pattern are interpreted; machine code is made for
 * one that is used more often, for it takes as long as many searches.
 *
 * Memory: all of PCRE2's comes from the pattern's context, except machine code,
 * which a callback frees when the context goes.  The allocator never raises an
 * ERROR inside of PCRE2.  A callout does, for a query cancel: a match keeps
 * nothing but memory, which goes with its context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "limit.h"
#include "schema/format/ecma.h"
#include "schema/format/pattern.h"
#include "schema/format/utf8.h"

#define WORK FMS_LIMIT(20000000.0, 1000.0)	/* bytes looked at by a quick
											 * match, at most */
#define MIN_STEPS 100			/* a quick match worth trying has as many */
#define MAX_STEPS 100000000		/* of a match that can be interrupted; about
								 * half a second */
#define QUICK_HEAP_KB 1024		/* memory of a match */
#define STEPPING_HEAP_KB (64 * 1024)
#define JIT_STACK_START (32 * 1024)
#define JIT_STACK_MAX (64 * 1024 * 1024)
#define JIT_AFTER FMS_LIMIT(8, 1)	/* searches */
#define SHOWN 200				/* bytes of a pattern in a message */

#define OPTIONS (PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF | \
				 PCRE2_NEVER_BACKSLASH_C)

struct FmsPattern
{
	pcre2_code *quick;
	pcre2_code *stepping;		/* NULL until first needed */
	pcre2_compile_context *compiling;	/* of this pattern's memory */
	char	   *translated;
	size_t		translated_bytes;
	char	   *shown;			/* the source, clipped, for messages */
	size_t		code_bytes;		/* of quick */
	char	   *literal;		/* the pattern is this text, at the start;
								 * NULL: it is not */
	size_t		literal_bytes;
	bool		literal_ends;	/* and nothing behind it */
	bool		anchored;
	bool		jit;			/* quick has machine code */
	uint32		searches;		/* so far, up to JIT_AFTER */
	MemoryContextCallback callback;
};

/* for quick matches of all patterns; live as long as the process */
static pcre2_match_context *quick_context = NULL;
static pcre2_match_data *quick_data = NULL;

/* PCRE2's allocator: no ERROR may cross it. */
static void *
pcre_allocate(size_t size, void *context)
{
	if (!AllocSizeIsValid(size))
		return NULL;
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_NO_OOM);
}

/* The counterpart. */
static void
release(void *memory, void *context)
{
	if (memory != NULL)
		pfree(memory);
}

/* Report lack of memory in PCRE2. */
static void
out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory"),
			 errdetail("Failed while preparing a pattern.")));
}

/* Free machine code, which is in no memory context. */
static void
free_codes(void *arg)
{
	FmsPattern *pattern = arg;

	pcre2_code_free(pattern->quick);
	pcre2_code_free(pattern->stepping);
}

/* PCRE2's message for a code, palloc'd. */
static char *
message_of(int code)
{
	char	   *message = palloc(256);

	if (pcre2_get_error_message(code, (PCRE2_UCHAR *) message, 256) < 0)
		snprintf(message, 256, "error %d", code);
	return message;
}

/* Compile a translated pattern; NULL: *error is PCRE2's message. */
static pcre2_code *
compile_pattern(FmsPattern *pattern, uint32 options, const char **error)
{
	int			code;
	PCRE2_SIZE	at;
	pcre2_code *compiled = pcre2_compile((PCRE2_SPTR) pattern->translated,
										 pattern->translated_bytes, OPTIONS | options, &code,
										 &at, pattern->compiling);

	if (compiled == NULL)
	{
		if (code == PCRE2_ERROR_HEAP_FAILED)
			out_of_memory();
		*error = message_of(code);
	}
	return compiled;
}

/* Take what a compiled pattern tells of itself. */
static void
inspect(FmsPattern *pattern)
{
	uint32		options = 0;
	PCRE2_SIZE	bytes = 0;

	(void) pcre2_pattern_info(pattern->quick, PCRE2_INFO_ALLOPTIONS, &options);
	(void) pcre2_pattern_info(pattern->quick, PCRE2_INFO_SIZE, &bytes);
	pattern->anchored = (options & PCRE2_ANCHORED) != 0;
	pattern->code_bytes = bytes;
}

/* Characters in so many bytes of UTF-8. */
static int
count_characters(const char *utf8, size_t bytes)
{
	int			count = 0;

	for (size_t i = 0; i < bytes; i++)
		count += (utf8[i] & 0xc0) != 0x80;
	return count;
}

/*
 * Find out whether a pattern, which is a valid one, is just a text after "^".
 */
static void
find_literal(FmsPattern *pattern, const char *utf8, size_t bytes)
{
	char	   *literal;
	size_t		length = 0;

	if (bytes == 0 || utf8[0] != '^')
		return;
	literal = palloc(bytes);
	for (size_t i = 1; i < bytes; i++)
	{
		char		c = utf8[i];

		if (c == '$' && i == bytes - 1)
		{
			pattern->literal_ends = true;
			break;
		}
		/* what escapes anything but punctuation is a class or a code */
		if (c == '\\' && i + 1 < bytes && ispunct((unsigned char) utf8[i + 1]))
			c = utf8[++i];
		else if (strchr("^$\\.*+?()[]{}|", c) != NULL)
		{
			pfree(literal);
			return;
		}
		literal[length++] = c;
	}
	pattern->literal = literal;
	pattern->literal_bytes = length;
}

/* See pattern.h. */
FmsPattern *
fms_pattern_compile(const char *source, size_t bytes, const char **error)
{
	size_t		utf8_bytes = bytes;
	const char *utf8 = fms_utf8(source, &utf8_bytes);
	FmsPattern *pattern;
	pcre2_general_context *memory;
	StringInfoData translated;
	const char *wrong;
	size_t		at;

	initStringInfo(&translated);
	wrong = fms_ecma_translate(utf8, utf8_bytes, &translated, &at);
	if (wrong != NULL)
	{
		*error = psprintf("%s (at character %d)", wrong, count_characters(utf8, at) + 1);
		pfree(translated.data);
		return NULL;
	}
	pattern = palloc0(sizeof(FmsPattern));
	pattern->translated = translated.data;
	pattern->translated_bytes = translated.len;
	pattern->shown = pnstrdup(source, pg_mbcliplen(source, Min(bytes, SHOWN * 2), SHOWN));
	memory = pcre2_general_context_create(pcre_allocate, release, CurrentMemoryContext);
	if (memory == NULL || (pattern->compiling = pcre2_compile_context_create(memory)) == NULL)
		out_of_memory();
	pattern->quick = compile_pattern(pattern, 0, error);
	if (pattern->quick == NULL)
		return NULL;
	inspect(pattern);
	find_literal(pattern, utf8, utf8_bytes);
	pattern->callback.func = free_codes;
	pattern->callback.arg = pattern;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &pattern->callback);
	return pattern;
}

/* See pattern.h. */
size_t
fms_pattern_size(const FmsPattern *pattern)
{
	/*
	 * both programs, with machine code of about four and eight times their
	 * size
	 */
	return sizeof(FmsPattern) + pattern->translated_bytes + SHOWN + 16 * pattern->code_bytes;
}

/* Make what all quick matches share. */
static void
prepare_quick(void)
{
	pcre2_general_context *memory = pcre2_general_context_create(pcre_allocate, release,
																 TopMemoryContext);

	if (memory == NULL)
		out_of_memory();
	quick_context = pcre2_match_context_create(memory);
	if (quick_context == NULL)
		out_of_memory();
	(void) pcre2_set_heap_limit(quick_context, QUICK_HEAP_KB);
	quick_data = pcre2_match_data_create(1, memory);
	if (quick_data == NULL)
		out_of_memory();
}

/* Make machine code of a pattern that is worth it; without it all works too. */
static void
count_search(FmsPattern *pattern)
{
	if (++pattern->searches == JIT_AFTER)
		pattern->jit = pcre2_jit_compile(pattern->quick, PCRE2_JIT_COMPLETE) == 0;
}

/* Match without a break; PCRE2_ERROR_MATCHLIMIT if that might take too long. */
static int
match_quickly(FmsPattern *pattern, const char *subject, size_t bytes)
{
	double		steps = WORK / (bytes + 1) / (pattern->anchored ? 1 : bytes + 1);

	if (steps < MIN_STEPS)
		return PCRE2_ERROR_MATCHLIMIT;
	if (quick_data == NULL)
		prepare_quick();
	if (pattern->searches < JIT_AFTER)
		count_search(pattern);
	(void) pcre2_set_match_limit(quick_context, (uint32) Min(steps, MAX_STEPS));
	if (pattern->jit)
		return pcre2_jit_match(pattern->quick, (PCRE2_SPTR) subject, bytes, 0, PCRE2_NO_UTF_CHECK,
							   quick_data, quick_context);
	return pcre2_match(pattern->quick, (PCRE2_SPTR) subject, bytes, 0,
					   PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, quick_data, quick_context);
}

/* Called by PCRE2 between items: count, and see whether somebody wants us to stop. */
static int
count_step(pcre2_callout_block *block, void *arg)
{
	uint32	   *left = arg;

	CHECK_FOR_INTERRUPTS();
	return (*left)-- == 0 ? PCRE2_ERROR_MATCHLIMIT : 0;
}

/* Compile the program that calls count_step(). */
static void
prepare_stepping(FmsPattern *pattern)
{
	const char *error;

	pattern->stepping = compile_pattern(pattern, PCRE2_AUTO_CALLOUT, &error);
	/* the callouts take room, and the pattern may have had just enough */
	if (pattern->stepping == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("pattern is too complex for this value: %s", error),
				 errdetail("The pattern is \"%s\".", pattern->shown)));
	(void) pcre2_jit_compile(pattern->stepping, PCRE2_JIT_COMPLETE);
}

/* Free the stack of machine code, which is in no memory context. */
static void
free_stack(void *arg)
{
	pcre2_jit_stack_free(arg);
}

/*
 * Match with interrupts.  All that it takes besides the program goes with a
 * context of its own.
 */
static int
match_stepping(FmsPattern *pattern, const char *subject, size_t bytes)
{
	uint32		left = MAX_STEPS;
	MemoryContext own = AllocSetContextCreate(CurrentMemoryContext, "flowmaestro pattern match",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContextCallback *callback = MemoryContextAlloc(own, sizeof(MemoryContextCallback));
	pcre2_general_context *memory = pcre2_general_context_create(pcre_allocate, release, own);
	pcre2_match_context *context;
	pcre2_match_data *data;
	pcre2_jit_stack *stack;
	int			result;

	if (memory == NULL ||
		(context = pcre2_match_context_create(memory)) == NULL ||
		(data = pcre2_match_data_create(1, memory)) == NULL)
		out_of_memory();
	/* NULL where there is no machine code, or no room for it */
	stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, memory);
	callback->func = free_stack;
	callback->arg = stack;
	MemoryContextRegisterResetCallback(own, callback);
	(void) pcre2_set_heap_limit(context, STEPPING_HEAP_KB);
	(void) pcre2_set_match_limit(context, PG_UINT32_MAX);	/* count_step() counts */
	(void) pcre2_set_callout(context, count_step, &left);
	pcre2_jit_stack_assign(context, NULL, stack);
	result = pcre2_match(pattern->stepping, (PCRE2_SPTR) subject, bytes, 0,
						 PCRE2_NO_UTF_CHECK, data, context);
	MemoryContextDelete(own);
	return result;
}

/* Raise the error for a search that came to no result. */
static void
raise_failure(const FmsPattern *pattern, int result)
{
	ereport(ERROR,
			(errcode(result == PCRE2_ERROR_NOMEMORY ? ERRCODE_OUT_OF_MEMORY :
					 ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("could not match a pattern: %s", message_of(result)),
			 errdetail("The pattern is \"%s\".", pattern->shown),
			 errhint("A repeated group whose parts can match the same text in many ways, such as (a+)+, takes exponential time.")));
}

/* See pattern.h. */
bool
fms_pattern_search(const FmsPattern *pattern, const char *subject, size_t bytes)
{
	FmsPattern *own = unconstify(FmsPattern *, pattern);
	const char *utf8 = fms_utf8(bytes == 0 ? "" : subject, &bytes);
	int			result;

	if (pattern->literal != NULL)
		return bytes >= pattern->literal_bytes &&
			(bytes == pattern->literal_bytes || !pattern->literal_ends) &&
			memcmp(utf8, pattern->literal, pattern->literal_bytes) == 0;
	result = match_quickly(own, utf8, bytes);
	/* any limit of the quick way: time, memory, or the stack of machine code */
	if (result < PCRE2_ERROR_NOMATCH)
	{
		if (own->stepping == NULL)
			prepare_stepping(own);
		result = match_stepping(own, utf8, bytes);
	}
	if (result < PCRE2_ERROR_NOMATCH)
		raise_failure(pattern, result);
	return result >= 0;
}
