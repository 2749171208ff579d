/*-------------------------------------------------------------------------
 *
 * seen.h
 *	  Which ids the directory may have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_BUFFER_SEEN_H
#define FMS_BUFFER_SEEN_H

extern Size fms_seen_shmem_size(void);
extern void fms_seen_shmem_init(void);
extern void fms_seen_add(Oid table, int64 id_prefix);
extern bool fms_seen_possible(Oid table, int64 id_prefix);
extern bool fms_seen_has_all(Oid table);
extern void fms_seen_all(Oid table);

#endif							/* FMS_BUFFER_SEEN_H */
