/*-------------------------------------------------------------------------
 *
 * process.c
 *	  How a forked child of the receiver becomes the HTTP process.
 *
 * What it was forked from is a process of the server.  It gives up all of that
 * before the first byte from a client: shared memory is unmapped, files are
 * closed, signal handlers are the system's.  So nothing that a client makes of
 * it reaches a backend: the postmaster does not know it, and it can't write
 * where others read.
 *
 * Linux only, as the library's epoll is.
 *
 *-------------------------------------------------------------------------
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "otlp/receiver/http/http.h"

#define FIRST_FILE 3			/* after standard error, which is the server's
								 * log */

/* Close all files but two. */
static void
close_others(int a, int b)
{
	int			low = a < b ? a : b;
	int			high = a < b ? b : a;

	/* an empty range is an error, which is none */
	(void) close_range(FIRST_FILE, low - 1, 0);
	(void) close_range(low + 1, high - 1, 0);
	(void) close_range(high + 1, ~0U, 0);
}

/*
 * Have signals do what they do in an ordinary process; those that the server
 * sends to all of a worker's group for the worker's sake do nothing.
 */
static void
reset_signals(void)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
	sigset_t	none;

	for (int i = 1; i < NSIG; i++)
		(void) signal(i, SIG_DFL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void) signal(ignored[i], SIG_IGN);
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Unmap whatever is shared with other processes; false if that can't be done. */
static bool
unmap_shared(void)
{
	FILE	   *maps = fopen("/proc/self/maps", "re");
	char		line[8192];
	unsigned long from;
	unsigned long to;
	char		access[5];
	bool		good = maps != NULL;

	while (good && fgets(line, sizeof(line), maps) != NULL)
	{
		if (sscanf(line, "%lx-%lx %4s", &from, &to, access) == 3 && access[3] == 's')
			good = munmap((void *) from, to - from) == 0;
	}
	if (maps != NULL)
		fclose(maps);
	return good;
}

/* Become the HTTP process; in the child, which the receiver of this id forked. */
void
fms_http_become(const FmsHttpConfig *config, int listener, int channel, int receiver)
{
	reset_signals();
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != receiver)
		_exit(0);
	close_others(listener, channel);
	if (!unmap_shared())
		_exit(1);
	fms_http_run(config, listener, channel);
}
