/*-------------------------------------------------------------------------
 *
 * secret.c
 *	  Files with a secret, which only the server may be able to read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "otlp/secret.h"

/*
 * Whether a file is closed to others, as the server asks of its own private key:
 * it belongs to the server's user, or to root and its group can read it.
 */
static bool
is_closed(const struct stat *status)
{
	if (status->st_uid == 0 && geteuid() != 0)
		return (status->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) == 0;
	return status->st_uid == geteuid() && (status->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* Read up to "size" bytes of a file; how many, or -1 with errno set. */
static ssize_t
read_up_to(int fd, char *text, size_t size)
{
	size_t		length = 0;
	ssize_t		got;

	do
	{
		got = read(fd, text + length, size - length);
		if (got > 0)
			length += got;
	} while (length < size && (got > 0 || (got < 0 && errno == EINTR)));
	return got < 0 ? -1 : (ssize_t) length;
}

/* What is wrong with an open file, or NULL when all of it is in "text". */
static const char *
read_open(int fd, char *text, size_t size)
{
	struct stat status;
	ssize_t		length;

	if (fstat(fd, &status) != 0)
		return psprintf("could not be read: %m");
	if (!S_ISREG(status.st_mode))
		return "is not a regular file";
	if (!is_closed(&status))
		return "must belong to the server's user with permissions u=rw (0600), "
			"or to root with u=rw,g=r (0640)";
	length = read_up_to(fd, text, size);
	if (length < 0)
		return psprintf("could not be read: %m");
	if (length == size)
		return psprintf("is larger than %zu bytes", size - 1);
	text[length] = '\0';
	return strlen(text) == length ? NULL : "holds a zero byte";
}

/*
 * Read a file with a secret into "text" of "size" bytes, NUL-terminated.
 * Returns NULL, or what is wrong as the predicate of a sentence about the file,
 * in the current memory context; "text" holds nothing of use then.  Opens
 * without waiting: a named pipe would hang.
 */
const char *
fms_secret_read(const char *path, char *text, size_t size)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	const char *wrong;

	if (fd < 0)
		return psprintf("could not be read: %m");
	wrong = read_open(fd, text, size);
	close(fd);
	return wrong;
}
