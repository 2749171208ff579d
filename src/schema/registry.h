/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  The table flowmaestro.json_schemas: documents that schemas refer to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_REGISTRY_H
#define FMS_SCHEMA_REGISTRY_H

extern void fms_registry_relation_changed(Oid relation);

#endif							/* FMS_SCHEMA_REGISTRY_H */
