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
#define FMS_RING_LIVES 64		/* that the header has room for */
#define FMS_RING_PAGE 4096		/* bytes of a page of memory, or a divisor of
								 * them */

/* the records that were appended between two starts of a server */
typedef struct FmsRingLife
{
	uint64		start;			/* position of the first one */
	uint64		id;				/* random */
} FmsRingLife;

/* what does not change while a server runs; the file has two copies */
typedef struct FmsRingIdentity
{
	char		magic[8];
	uint32		version;
	uint32		database;		/* oid of the database that it belongs to */
	uint64		system_identifier;	/* of the cluster that it belongs to */
	uint64		bytes;			/* for records, a multiple of FMS_RING_ALIGN */
	uint64		ring_id;		/* random, highest bit set; salts the marks */
	uint64		edition;		/* counts the changes of what is here */
	uint32		lives;
	uint32		checksum;		/* of all this, with 0 in this field */
	FmsRingLife life[FMS_RING_LIVES];	/* by their starts */
} FmsRingIdentity;

typedef struct FmsRingHeader FmsRingHeader;

typedef struct FmsRing
{
	FmsRingHeader *header;
	char	   *data;			/* identity.bytes of records */
	uint64		file_bytes;		/* that are mapped */
	FmsRingIdentity identity;	/* as it was when the ring was opened */
} FmsRing;

/* what fms_ring_read finds */
typedef enum FmsRingItem
{
	FMS_RING_END,				/* no record before the limit */
	FMS_RING_RECORD,
	FMS_RING_PADDING,			/* at the end of the data area */
	FMS_RING_DAMAGED			/* a record that can't be read, or where some
								 * were */
} FmsRingItem;

/* fms_ring_read, or what does the same and more */
typedef FmsRingItem (*FmsRingReader) (const FmsRing *ring, uint64 *position, uint64 limit,
									  const char **body, uint32 *length);

extern void fms_ring_map(FmsRing *ring, void *file, uint64 file_bytes);
extern void fms_ring_format(FmsRing *ring, uint64 bytes, uint32 database,
							uint64 system_identifier, uint64 start, uint64 random);
extern bool fms_ring_open(FmsRing *ring, uint32 database, uint64 system_identifier);
extern void fms_ring_begin_life(FmsRing *ring, uint64 tail, uint64 head, uint64 random);
extern FmsRingLife fms_ring_life(const FmsRing *ring, uint64 position, uint64 *end);
extern uint64 fms_ring_tail(const FmsRing *ring);
extern uint32 fms_ring_checksum(const void *body, uint32 length);
extern uint64 fms_ring_append(FmsRing *ring, uint64 tail, uint64 head, const void *body,
							  uint32 length, uint32 checksum);
extern FmsRingItem fms_ring_read(const FmsRing *ring, uint64 *position, uint64 limit,
								 const char **body, uint32 *length);
extern uint64 fms_ring_seek(const FmsRing *ring, uint64 position, uint64 limit);
extern void fms_ring_acknowledge(FmsRing *ring, uint64 position);
extern uint64 fms_ring_find_head(const FmsRing *ring, FmsRingReader read, uint64 *records);

#endif							/* FMS_BUFFER_RING_H */
