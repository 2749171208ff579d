/*-------------------------------------------------------------------------
 *
 * build.h
 *	  Binary jsonb of decoded values, and values made for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_IN_BUILD_H
#define FMS_OTLP_IN_BUILD_H

#include "utils/jsonb.h"

#include "otlp/in/decode.h"

/*
 * Values under construction, as a decoder's nodes are: a map or an array is
 * opened, gets its values, and is closed.  Texts are as they came, and become
 * what the database can hold when the jsonb is written.  In the current memory
 * context.
 */
typedef struct FmsBuild
{
	FmsOtlpNode *nodes;
	uint32		count;
	uint32		room;
} FmsBuild;

extern void fms_build_init(FmsBuild *build);
extern FmsOtlpNode *fms_build_add(FmsBuild *build, const char *key, int type);
extern uint32 fms_build_open(FmsBuild *build, const char *key, FmsOtlpType type);
extern void fms_build_close(FmsBuild *build, uint32 opened);
extern void fms_build_text(FmsBuild *build, const char *key, FmsPart text);
extern void fms_build_bytes(FmsBuild *build, const char *key, FmsPart bytes);
extern void fms_build_int(FmsBuild *build, const char *key, int64 number);
extern void fms_build_add_jsonb(FmsBuild *build, const char *key, const Jsonb *jsonb);
extern Jsonb *fms_build_jsonb(FmsBuild *build);

extern Jsonb *fms_build_object(FmsOtlpNode *nodes, FmsOtlpList list, bool *exact);
extern FmsPart fms_build_clean(FmsPart text, bool *exact);

#endif							/* FMS_OTLP_IN_BUILD_H */
