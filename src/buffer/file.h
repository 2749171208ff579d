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

#include "nodes/pg_list.h"

#include "buffer/ring.h"

/* which file it is, whatever its name */
typedef struct FmsFileId
{
	uint64		device;
	uint64		inode;
} FmsFileId;

extern bool fms_file_map(Oid database, uint64 bytes, FmsRing *ring, FmsFileId *id);
extern bool fms_file_is_there(Oid database, const FmsFileId *id, uint64 file_bytes);
extern bool fms_file_replace(Oid database, const FmsRing *old, uint64 bytes, uint64 start,
							 FmsRing *ring, FmsFileId *id, bool *kept);
extern void fms_file_sync_header(const FmsRing *ring);
extern void fms_file_unmap(FmsRing *ring);
extern void fms_file_remove(Oid database);
extern List *fms_file_databases(void);

#endif							/* FMS_BUFFER_FILE_H */
