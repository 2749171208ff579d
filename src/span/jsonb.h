/*-------------------------------------------------------------------------
 *
 * jsonb.h
 *	  Building of jsonb.
 *
 * An FmsJsonbState that is all zero is the beginning.  fms_jsonb_push of compat.h
 * adds the tokens of structure, the functions here add members, and
 * fms_jsonb_end gives the whole.  What is added is not copied: it has to live
 * until then.  All of them allocate in the current memory context, and raise
 * what the server raises for a jsonb that becomes too large.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_JSONB_H
#define FMS_SPAN_JSONB_H

#include "compat.h"

/* Set a value to a string, not copied. */
static inline void
fms_jsonb_set_string(JsonbValue *value, const char *data, int length)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, data);
	value->val.string.len = length;
}

/* Set a value to a jsonb of any kind, not copied. */
static inline void
fms_jsonb_set(JsonbValue *value, Jsonb *jsonb)
{
	value->type = jbvBinary;
	value->val.binary.data = &jsonb->root;
	value->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
}

extern void fms_jsonb_key(FmsJsonbState *state, const char *key);
extern void fms_jsonb_pair(FmsJsonbState *state, const char *key, JsonbValue *value);
extern void fms_jsonb_string(FmsJsonbState *state, const char *key, const char *text);
extern void fms_jsonb_bytes(FmsJsonbState *state, const char *key, const char *data, int length);
extern void fms_jsonb_integer(FmsJsonbState *state, const char *key, int64 number);
extern void fms_jsonb_bool(FmsJsonbState *state, const char *key, bool truth);
extern void fms_jsonb_nested(FmsJsonbState *state, const char *key, Jsonb *jsonb);
extern void fms_jsonb_contents(FmsJsonbState *state, Jsonb *container);
extern Jsonb *fms_jsonb_end(FmsJsonbState *state, JsonbIteratorToken token);
extern Jsonb *fms_jsonb_empty(void);
extern Jsonb *fms_jsonb_merge(Jsonb *first, Jsonb *second);

#endif							/* FMS_SPAN_JSONB_H */
