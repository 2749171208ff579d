/*-------------------------------------------------------------------------
 *
 * file.h
 *	  The files that hold the rings.
 *
 * One file a database, in the directory flowmaestro_spans of the data
 * directory, mode 0600.  The names begin like the server's own temporary
 * files, so that pg_basebackup and pg_rewind leave them out: what is in a ring
 * belongs to this node alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_BUFFER_FILE_H
#define FMS_BUFFER_FILE_H

#include "buffer/ring.h"

extern bool fms_file_map(Oid database, uint64 bytes, FmsRing *ring);
extern void fms_file_sync_header(const FmsRing *ring);
extern void fms_file_unmap(FmsRing *ring);
extern void fms_file_remove(Oid database);
extern List *fms_file_databases(void);

#endif							/* FMS_BUFFER_FILE_H */
