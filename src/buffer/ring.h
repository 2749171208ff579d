/*-------------------------------------------------------------------------
 *
 * ring.h
 *	  A ring of records in a mapped file: the core, free of the server.
 *
 * The format and the rules are at the top of ring.c.  Nothing here locks,
 * allocates or raises errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_BUFFER_RING_H
#define FMS_BUFFER_RING_H

#define FMS_RING_HEADER_BYTES 4096	/* of the file, before the records */
#define FMS_RING_RECORD_BYTES 16	/* of a record, before its body */
#define FMS_RING_ALIGN 16

typedef struct FmsRingHeader
{
	char		magic[8];
	uint32		version;
	uint32		database;		/* oid of the database that it belongs to */
	uint64		system_identifier;	/* of the cluster that it belongs to */
	uint64		bytes;			/* for records, a multiple of FMS_RING_ALIGN */
	uint64		ring_id;		/* random, highest bit set; salts the marks */
	uint64		tail;			/* position of the first record still needed */
	uint32		checksum;		/* of what precedes tail */
} FmsRingHeader;

typedef struct FmsRing
{
	FmsRingHeader *header;
	char	   *data;			/* header->bytes of records */
} FmsRing;

extern void fms_ring_map(FmsRing *ring, void *file);
extern void fms_ring_format(FmsRing *ring, uint64 bytes, uint32 database,
							uint64 system_identifier, uint64 random);
extern bool fms_ring_is_sound(const FmsRing *ring, uint64 file_bytes, uint32 database,
							  uint64 system_identifier);
extern uint32 fms_ring_checksum(const void *body, uint32 length);
extern uint64 fms_ring_append(FmsRing *ring, uint64 tail, uint64 head, const void *body,
							  uint32 length, uint32 checksum);
extern uint64 fms_ring_read(const FmsRing *ring, uint64 position, const char **body,
							uint32 *length);
extern void fms_ring_acknowledge(FmsRing *ring, uint64 position);
extern uint64 fms_ring_find_head(const FmsRing *ring, uint64 *records);

#endif							/* FMS_BUFFER_RING_H */
