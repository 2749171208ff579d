/*-------------------------------------------------------------------------
 *
 * pattern.h
 *	  Regular expressions of ECMA-262, as JSON Schema means them.
 *
 * Patterns and subjects are bytes in the encoding of the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_FORMAT_PATTERN_H
#define FMS_SCHEMA_FORMAT_PATTERN_H

typedef struct FmsPattern FmsPattern;

/*
 * Compile a pattern.  It lives in CurrentMemoryContext, PCRE2's memory
 * included, and goes with it.  NULL: *error tells why, palloc'd.
 */
extern FmsPattern *fms_pattern_compile(const char *source, size_t bytes, const char **error);

/*
 * Whether the pattern matches anywhere in the subject.  Raises
 * program_limit_exceeded when that takes more steps or memory than allowed.
 */
extern bool fms_pattern_search(const FmsPattern *pattern, const char *subject, size_t bytes);

/* Bytes that a pattern takes, what it may still allocate included. */
extern size_t fms_pattern_size(const FmsPattern *pattern);

#endif							/* FMS_SCHEMA_FORMAT_PATTERN_H */
