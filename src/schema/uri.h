/*-------------------------------------------------------------------------
 *
 * uri.h
 *	  URI references and JSON pointers, as far as $id and $ref need them.
 *
 * Results are allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_URI_H
#define FMS_SCHEMA_URI_H

#include "lib/stringinfo.h"

extern char *fms_uri_resolve(const char *base, const char *reference);
extern char *fms_uri_cut_fragment(char *uri);
extern char *fms_uri_decode(const char *text);
extern void fms_pointer_append(StringInfo out, const char *token, size_t bytes);
extern char *fms_pointer_next(const char **pointer, uint32 *length);

#endif							/* FMS_SCHEMA_URI_H */
