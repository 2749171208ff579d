/*-------------------------------------------------------------------------
 *
 * ecma.h
 *	  From the syntax of ECMA-262 regular expressions to that of PCRE2.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_FORMAT_ECMA_H
#define FMS_SCHEMA_FORMAT_ECMA_H

#include "lib/stringinfo.h"

/* longest pattern, in bytes; PCRE2 has room for 64 kB of compiled code */
#define FMS_ECMA_MAX_BYTES (256 * 1024)

/*
 * Translate a pattern in UTF-8.  "out" gets what PCRE2 wants to see; NULL only
 * checks the syntax, and leaves nothing allocated.  Returns NULL, or a constant
 * message and the byte at which the trouble is.
 */
extern const char *fms_ecma_translate(const char *source, size_t bytes, StringInfo out, size_t *at);

/*
 * Translate what stands between the braces of \p{...}: append PCRE2's form of
 * it, braces included.  False: ECMA-262 knows no such property.
 */
extern bool fms_ecma_property(const char *text, size_t bytes, bool negated, StringInfo out);

#endif							/* FMS_SCHEMA_FORMAT_ECMA_H */
