/*-------------------------------------------------------------------------
 *
 * log_probe.c
 *	  Another extension's log hook, for tests: it sees lines, and misbehaves
 *	  where log_probe.mode says so; and a panic on demand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

enum
{
	MODE_WATCH,					/* count */
	MODE_LOG,					/* log a line from inside the hook */
	MODE_THROW,					/* raise an error from inside the hook */
	MODE_TAKE					/* take the line away from the server */
};

static const struct config_enum_entry modes[] = {
	{"watch", MODE_WATCH, false},
	{"log", MODE_LOG, false},
	{"throw", MODE_THROW, false},
	{"take", MODE_TAKE, false},
	{NULL, 0, false}
};

static emit_log_hook_type previous = NULL;
static int	mode = MODE_WATCH;
static int64 seen = 0;
static char last[100];

PG_FUNCTION_INFO_V1(log_probe_seen);
PG_FUNCTION_INFO_V1(log_probe_last);
PG_FUNCTION_INFO_V1(log_probe_panic);

/* The hook. */
static void
probe(ErrorData *edata)
{
	static bool inside = false;

	seen++;
	strlcpy(last, edata->message, sizeof(last));
	if (!inside && edata->elevel == LOG)
	{
		inside = true;
		if (mode == MODE_LOG)
			ereport(LOG, (errmsg("seen by log_probe: %s", edata->message)));
		inside = false;
		if (mode == MODE_THROW)
			ereport(ERROR, (errmsg("thrown by log_probe")));
		if (mode == MODE_TAKE)
			edata->output_to_server = false;
	}
	if (previous != NULL)
		previous(edata);
}

/* Entry point of the library. */
void
_PG_init(void)
{
	DefineCustomEnumVariable("log_probe.mode", "What the hook does.", NULL, &mode,
							 MODE_WATCH, modes, PGC_USERSET, 0, NULL, NULL, NULL);
	previous = emit_log_hook;
	emit_log_hook = probe;
}

/* log_probe_seen() returns bigint: lines that this process's hook has seen */
Datum
log_probe_seen(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(seen);
}

/* log_probe_last() returns text: the last of them */
Datum
log_probe_last(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(last));
}

/* log_probe_panic(message text) returns void */
Datum
log_probe_panic(PG_FUNCTION_ARGS)
{
	ereport(PANIC, (errmsg("%s", text_to_cstring(PG_GETARG_TEXT_PP(0)))));
	PG_RETURN_VOID();
}
