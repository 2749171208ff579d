/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  The table flowmaestro.json_schemas: documents that schemas refer to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_REGISTRY_H
#define FMS_SCHEMA_REGISTRY_H

#include "utils/jsonb.h"

/* counts the changes of the registry that this backend has heard of */
extern uint64 fms_registry_generation;

extern void fms_registry_relation_changed(Oid relation);
extern Jsonb *fms_registry_read(const char *uri);

#endif							/* FMS_SCHEMA_REGISTRY_H */
