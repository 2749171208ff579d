/*-------------------------------------------------------------------------
 *
 * file.c
 *	  The files that hold the rings.
 *
 * The whole file is allocated and written when it is made, so that a full disk
 * shows then.  On most file systems that is all it takes.  One that writes
 * copies needs room later as well: btrfs for a page that it has written out,
 * unless the file is told to be written in place, which can only be done while
 * it is empty; XFS for a page that is shared with another file, as after "cp"
 * of the data directory with reflinks, unless the sharing is undone, which is
 * tried when the file is first mapped.  Where neither is possible a store can
 * still fail, and guard.c sees to it that this costs records, not the server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#ifdef __linux__
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#endif
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/fd.h"

#include "compat.h"
#include "buffer/file.h"
#include "buffer/guard.h"
#include "span/identity.h"

#define DIRECTORY "flowmaestro_spans"
#define SUFFIX ".ring"

/* The path of a database's file, from the data directory. */
static void
file_path(char *path, Oid database)
{
	snprintf(path, MAXPGPATH, "%s/%s.%u%s", DIRECTORY, PG_TEMP_FILE_PREFIX, database, SUFFIX);
}

/* Log why a file can't be used, and say false. */
static bool
complain(const char *path, const char *problem)
{
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not %s span buffer file \"%s\": %m", problem, path)));
	return false;
}

/* Which file it is that has this status. */
static FmsFileId
id_of(const struct stat *st)
{
	return (FmsFileId) {st->st_dev, st->st_ino};
}

/*
 * Map an open file of "bytes" bytes, and tell which one it is; false, after a log
 * line, if that fails.
 */
static bool
map_file(int fd, const char *path, uint64 bytes, FmsRing *ring, FmsFileId *id)
{
	void	   *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct stat st;

	if (address == MAP_FAILED || fstat(fd, &st) < 0)
		return complain(path, "map");
	*id = id_of(&st);
	fms_guard_install();
	fms_ring_map(ring, address, bytes);
	return true;
}

/* Have an empty file written in place, where the file system would not. */
static void
write_in_place(int fd)
{
#ifdef FS_NOCOW_FL
	int			flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0)
	{
		flags |= FS_NOCOW_FL;
		(void) ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
#endif
}

/* Undo the sharing of a file's blocks with a copy, where there is such a thing. */
static void
unshare(int fd, uint64 bytes)
{
#ifdef FALLOC_FL_UNSHARE_RANGE
	(void) fallocate(fd, FALLOC_FL_UNSHARE_RANGE, 0, bytes);
#endif
}

/*
 * Allocate every byte of a new file; sets errno.  With the slot's lock held
 * interrupts wait, so a cancel is seen only after a signal's EINTR was retried.
 */
static bool
allocate(int fd, uint64 bytes)
{
	int			rc;

	do
	{
		CHECK_FOR_INTERRUPTS();
		rc = posix_fallocate(fd, 0, bytes);
	} while (rc == EINTR);
	errno = rc;
	return rc == 0;
}

/*
 * Fill a new file, so that its pages are made now, not by the first callers that
 * come by them.  It becomes what "old" is, if that is not NULL and can still be
 * read, which sets *kept; or an empty ring whose positions begin with "start".
 */
static bool
fill_file(Oid database, const char *path, const FmsRing *old, uint64 start, FmsRing *ring,
		  bool *kept)
{
	uint64		random = fms_identity_random();

	*kept = old != NULL && fms_guard_fill(ring, old) &&
		fms_guard_open(ring, database, GetSystemIdentifier());
	if (*kept)
		return true;
	if (fms_guard_fill(ring, NULL) &&
		fms_guard_format(ring, database, GetSystemIdentifier(), start, random))
		return true;
	fms_file_unmap(ring);
	errno = ENOSPC;
	return complain(path, "write");
}

/*
 * Make a database's file and map it, with what fill_file puts into it; false,
 * after a log line, if that fails, and then no file is left.
 */
static bool
create_file(Oid database, const char *path, const FmsRing *old, uint64 bytes, uint64 start,
			FmsRing *ring, FmsFileId *id, bool *kept)
{
	uint64		file_bytes = FMS_RING_HEADER_BYTES + bytes;
	bool		made;
	int			fd;

	if (MakePGDirectory(DIRECTORY) < 0 && errno != EEXIST)
		return complain(path, "create the directory of");
	fd = OpenTransientFilePerm(path, O_RDWR | O_CREAT | O_EXCL | PG_BINARY, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return complain(path, "create");
	write_in_place(fd);
	made = (allocate(fd, file_bytes) || complain(path, "allocate")) &&
		map_file(fd, path, file_bytes, ring, id) &&
		fill_file(database, path, old, start, ring, kept);
	CloseTransientFile(fd);
	if (!made)
		unlink(path);
	return made;
}

/* Rename a file that can't be used, and say so; "problem" is what it is. */
static void
move_aside(const char *path, const char *problem)
{
	char		aside[MAXPGPATH + 16];

	snprintf(aside, sizeof(aside), "%s.damaged", path);
	if (rename(path, aside) < 0)
		return;
	ereport(LOG,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("span buffer file \"%s\" is %s", path, problem),
			 errdetail("It was renamed to \"%s\".", aside)));
}

/*
 * Map the ring of a file that exists, with "first" for the first time since the
 * server's start.  Returns false if it cannot be opened or
 * mapped, or is not a ring of this database; only the latter is moved out of
 * the way.  A sound file that this process has no memory to map stays: others
 * have it mapped, and after a restart its records would not be found.
 */
static bool
open_file(Oid database, const char *path, bool first, FmsRing *ring, FmsFileId *id)
{
	struct stat st;
	int			fd = OpenTransientFile(path, O_RDWR | PG_BINARY);
	bool		mapped;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size >= FMS_RING_HEADER_BYTES)
	{
		if (first)
			unshare(fd, st.st_size);
		mapped = map_file(fd, path, st.st_size, ring, id);
		CloseTransientFile(fd);
		if (!mapped)
			return false;
		if (fms_guard_open(ring, database, GetSystemIdentifier()))
			return true;
		fms_file_unmap(ring);
	}
	else
		CloseTransientFile(fd);
	move_aside(path, "damaged or not of this cluster");
	return false;
}

/* Whether a ring holds no record. */
static bool
is_empty(const FmsRing *ring)
{
	uint64		records;

	(void) fms_ring_find_head(ring, fms_guard_read, &records);
	return records == 0;
}

/*
 * Map a database's ring, made with room for "bytes" bytes of records if there
 * is none.  A ring of another size, from before a change of
 * flowmaestro.buffer_size, is replaced only when it is empty and "bytes" is
 * not 0; with 0, whatever is there is mapped and nothing is made.
 *
 * Returns false, after a log line, if there can't be a ring.  The caller has
 * to make sure that one process at a time calls this with "bytes".
 */
bool
fms_file_map(Oid database, uint64 bytes, FmsRing *ring, FmsFileId *id)
{
	char		path[MAXPGPATH];
	bool		kept;

	file_path(path, database);
	if (open_file(database, path, bytes != 0, ring, id))
	{
		if (bytes == 0 || ring->identity.bytes == bytes || !is_empty(ring))
			return true;
		fms_file_unmap(ring);
		fms_file_remove(database);
	}
	return bytes != 0 && create_file(database, path, NULL, bytes, 0, ring, id, &kept);
}

/* Whether a database's file is the one that it was, and no shorter. */
bool
fms_file_is_there(Oid database, const FmsFileId *id, uint64 file_bytes)
{
	char		path[MAXPGPATH];
	struct stat st;
	FmsFileId	now;

	file_path(path, database);
	if (stat(path, &st) < 0)
		return errno != ENOENT && errno != ENOTDIR;
	now = id_of(&st);
	return now.device == id->device && now.inode == id->inode && st.st_size >= file_bytes;
}

/*
 * Make a new file for a ring whose file is gone, and map it.  It gets what the
 * mapped ring "old" holds; if that is NULL, or can't be read any more, which
 * *kept tells, it is empty and its positions begin with "start".  False, after a
 * log line, if there can't be one.  The caller sees to it that "old" does not
 * change meanwhile.
 */
bool
fms_file_replace(Oid database, const FmsRing *old, uint64 bytes, uint64 start, FmsRing *ring,
				 FmsFileId *id, bool *kept)
{
	char		path[MAXPGPATH];

	file_path(path, database);
	move_aside(path, "not the one that the server made");
	return create_file(database, path, old, bytes, start, ring, id, kept);
}

/*
 * Have a ring's header on disk before anything that relies on it happens.  A
 * failure is logged.
 */
void
fms_file_sync_header(const FmsRing *ring)
{
	if (enableFsync && msync(ring->header, FMS_RING_HEADER_BYTES, MS_SYNC) < 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write the header of a span buffer file: %m")));
}

/* Undo fms_file_map.  The file stays. */
void
fms_file_unmap(FmsRing *ring)
{
	munmap(ring->header, ring->file_bytes);
	ring->header = NULL;
	ring->data = NULL;
}

/*
 * Remove a database's file, if there is one; a failure is logged.  Processes that
 * have it mapped keep it, nameless, until they unmap it.
 */
void
fms_file_remove(Oid database)
{
	char		path[MAXPGPATH];

	file_path(path, database);
	if (unlink(path) < 0 && errno != ENOENT)
		complain(path, "remove");
}

/* The databases that have a file: a list of oids in the current context. */
List *
fms_file_databases(void)
{
	List	   *databases = NIL;
	DIR		   *dir = AllocateDir(DIRECTORY);
	struct dirent *entry;

	if (dir == NULL)
		return NIL;				/* nothing was ever recorded */
	while ((entry = ReadDirExtended(dir, DIRECTORY, LOG)) != NULL)
	{
		Oid			database;
		int			end = 0;

		if (sscanf(entry->d_name, PG_TEMP_FILE_PREFIX ".%u" SUFFIX "%n", &database, &end) == 1 &&
			end > 0 && entry->d_name[end] == '\0')
			databases = lappend_oid(databases, database);
	}
	FreeDir(dir);
	return databases;
}
