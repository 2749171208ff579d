/*-------------------------------------------------------------------------
 *
 * emit.c
 *	  The hook through which every line of the server's log goes.
 *
 * As "json" a line is one object, written here to where the server would have
 * written its own, which is then left out.  As "correlate" the server writes
 * its line, with the ids of the request behind the message; the client gets the
 * message as it was.
 *
 * The hook runs in every process: in the postmaster, before any database is
 * known, in aborted transactions, and under locks.  A message logged from inside
 * it would come back to it and end in a panic, and an error would fail the
 * statement of somebody who only logs.  So writing JSON calls nothing that
 * throws, allocates from memory contexts, reads a catalog or waits for a lock:
 * the line is made in static memory, and in malloc's where that is too short.
 *
 * Lines do not mix: to the logging collector they go in its chunks, to a file
 * in one write, and to a pipe without collector in one write that is small
 * enough for the system to keep whole.
 *
 * JSON can stand in for the lines of stderr and of PostgreSQL's own JSON file.
 * CSV and syslog cannot hold it: with them among the destinations the server
 * writes all lines itself, as with "correlate".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

/*
 * A Port looks the same without GSSAPI, whose headers come with no package that
 * an extension is built with.
 */
#undef ENABLE_GSS

#include <limits.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "access/xact.h"
#include "libpq/libpq-be.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/syslogger.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"

#include "compat.h"
#include "limit.h"
#include "context/context.h"
#include "log/emit.h"
#include "log/line.h"
#include "log/log.h"
#include "span/text.h"

#define BASE_BYTES FMS_LIMIT(16 * 1024, 64) /* of the memory that most lines
											 * fit in */
#define MAX_LINE (64 * 1024 * 1024) /* longest line; the collector copies it */
#define NUMBER_TEXT 48
#define IDS_TEXT (3 * FMS_CONTEXT_ID_BYTES + 2 * FMS_UUID_TEXT + 64)
#define JSON_DESTINATIONS (LOG_DESTINATION_STDERR | LOG_DESTINATION_JSONLOG)

/* a line of flowmaestro.log() on its way */
typedef struct ApplicationLine
{
	int			level;
	const char *members;		/* its fields, what is between the braces */
} ApplicationLine;

int			fms_log_format = FMS_LOG_OFF;

static emit_log_hook_type previous_hook = NULL;
static const ApplicationLine *current_entry = NULL;

/* the message id by which the hook knows a line of flowmaestro.log() */
static const char entry_format[] = "%s";

/* Whether lines are written as JSON, for which all destinations have to do. */
static bool
writes_json(void)
{
	return fms_log_format == FMS_LOG_JSON && (Log_destination & ~JSON_DESTINATIONS) == 0;
}

/* pino's level of a severity. */
static int
level_of(int elevel)
{
	if (elevel < DEBUG2)
		return FMS_LEVEL_TRACE;
	if (elevel < LOG)
		return FMS_LEVEL_DEBUG;
	if (elevel < WARNING)
		return FMS_LEVEL_INFO;
	if (elevel < ERROR)
		return FMS_LEVEL_WARN;
	return elevel == ERROR ? FMS_LEVEL_ERROR : FMS_LEVEL_FATAL;
}

/* What the server's bytes are.  Before a database is known they are ASCII, or anything. */
static FmsLineEncoding
line_encoding(void)
{
	switch (GetDatabaseEncoding())
	{
		case PG_UTF8:
		case PG_SQL_ASCII:
			return FMS_LINE_UTF8;
		case PG_LATIN1:
			return FMS_LINE_LATIN1;
		default:
			return FMS_LINE_BYTES;
	}
}

/* Whether stderr is a pipe or socket, where only short writes stay whole. */
static bool
stderr_is_pipe(void)
{
	static int	known = -1;
	struct stat status;

	if (known < 0)
		known = fstat(STDERR_FILENO, &status) == 0 &&
			(S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
	return known;
}

/* A member with a uuid. */
static void
add_uuid(FmsLine *line, const char *key, const pg_uuid_t *id)
{
	char		text[FMS_UUID_TEXT];

	fms_uuid_write(text, id);
	fms_line_text(line, key, text, FMS_UUID_TEXT);
}

/*
 * Whether a member's name is one that the functions below write, besides "err".
 * An application's field of such a name could pass for what the server says.
 */
bool
fms_log_is_own_member(const char *name, int length)
{
	static const char *const own[] = {
		"level", "time", "msg", "traceId", "spanId", "requestId", "sessionId", "userId",
		"severity", "sqlstate", "detail", "hint", "context", "internalQuery",
		"internalPosition", "backtrace", "statement", "cursorPosition", "funcName",
		"fileName", "fileLineNum", "database", "user", "remoteHost", "remotePort", "ps",
		"pid", "backendType", "application", "session", "lineNum", "sessionStart", "vxid",
		"txid", "leaderPid", "queryId", FMS_LINE_TRUNCATED, FMS_LOG_FIELDS
	};

	for (int i = 0; i < lengthof(own); i++)
	{
		if (strlen(own[i]) == length && memcmp(own[i], name, length) == 0)
			return true;
	}
	return false;
}

/* The members that every line has, and the ids of the request. */
static void
add_head(FmsLine *line, const ErrorData *edata, int level)
{
	const FmsContext *context = fms_context_current();
	struct timeval now;

	gettimeofday(&now, NULL);
	fms_line_integer(line, "level", level);
	fms_line_integer(line, "time", (int64) now.tv_sec * 1000 + now.tv_usec / 1000);
	/* early, so that a line that has to be cut keeps the most of its message */
	fms_line_string(line, "msg", edata->message != NULL ? edata->message : "missing error text");
	if (context->has_trace)
		add_uuid(line, "traceId", &context->trace_id);
	if (context->has_span)
		add_uuid(line, "spanId", &context->span_id);
	fms_line_string(line, "requestId", context->request_id);
	fms_line_string(line, "sessionId", context->session_id);
	fms_line_string(line, "userId", context->user_id);
}

/* The error of a line, as pino and the clients of PostgreSQL know errors. */
static void
add_error(FmsLine *line, const ErrorData *edata)
{
	if (!fms_line_open(line, "err"))
		return;
	fms_line_string(line, "type", "DatabaseError");
	fms_line_string(line, "message", edata->message);
	fms_line_string(line, "code", unpack_sql_state(edata->sqlerrcode));
	if (!edata->hide_ctx)
		fms_line_string(line, "stack", edata->context);
	fms_line_string(line, "schema", edata->schema_name);
	fms_line_string(line, "table", edata->table_name);
	fms_line_string(line, "column", edata->column_name);
	fms_line_string(line, "dataType", edata->datatype_name);
	fms_line_string(line, "constraint", edata->constraint_name);
	fms_line_close(line);
}

/* What else the server reports. */
static void
add_report(FmsLine *line, ErrorData *edata)
{
	fms_line_string(line, "severity", error_severity(edata->elevel));
	if (edata->sqlerrcode != 0)
		fms_line_string(line, "sqlstate", unpack_sql_state(edata->sqlerrcode));
	fms_line_string(line, "detail", edata->detail_log != NULL ? edata->detail_log : edata->detail);
	fms_line_string(line, "hint", edata->hint);
	fms_line_string(line, "internalQuery", edata->internalquery);
	if (edata->internalquery != NULL && edata->internalpos > 0)
		fms_line_integer(line, "internalPosition", edata->internalpos);
	if (!edata->hide_ctx)
		fms_line_string(line, "context", edata->context);
	fms_line_string(line, "backtrace", edata->backtrace);
	/* log_min_error_statement, errhidestmt() */
	if (check_log_of_query(edata))
	{
		fms_line_string(line, "statement", debug_query_string);
		if (edata->cursorpos > 0)
			fms_line_integer(line, "cursorPosition", edata->cursorpos);
	}
	if (Log_error_verbosity >= PGERROR_VERBOSE)
	{
		fms_line_string(line, "funcName", edata->funcname);
		fms_line_string(line, "fileName", edata->filename);
		if (edata->filename != NULL)
			fms_line_integer(line, "fileLineNum", edata->lineno);
	}
}

/* What an application's line has of the server: who wrote it; and its fields. */
static void
add_application(FmsLine *line, const ApplicationLine *entry)
{
	fms_line_integer(line, "pid", MyProcPid);
	if (MyProcPort != NULL)
		fms_line_string(line, "user", MyProcPort->user_name);
	fms_line_members(line, entry->members, strlen(entry->members));
}

/* Who is connected; what is not known yet is left out. */
static void
add_port(FmsLine *line)
{
	const char *ps;
	int			ps_length;

	if (MyProcPort == NULL)
		return;
	fms_line_string(line, "database", MyProcPort->database_name);
	fms_line_string(line, "user", MyProcPort->user_name);
	fms_line_string(line, "remoteHost", MyProcPort->remote_host);
	if (MyProcPort->remote_port != NULL && MyProcPort->remote_port[0] != '\0')
		fms_line_string(line, "remotePort", MyProcPort->remote_port);
	/* not NUL-terminated: the system's own memory */
	ps = get_ps_display(&ps_length);
	fms_line_text(line, "ps", ps, ps_length);
}

/* The number of this line in its process, from 1. */
static long
line_number(void)
{
	static long number = 0;
	static int	pid = 0;

	/* a process inherits its parent's */
	if (pid != MyProcPid)
	{
		pid = MyProcPid;
		number = 0;
	}
	return ++number;
}

/* The process that the line is from, and what it does; its line "number". */
static void
add_process(FmsLine *line, long number)
{
	char		text[NUMBER_TEXT];
	uint64		query_id = (uint64) pgstat_get_my_query_id();
	const PGPROC *leader = MyProc != NULL ? MyProc->lockGroupLeader : NULL;

	fms_line_integer(line, "pid", MyProcPid);
	fms_line_string(line, "backendType", get_backend_type_for_log());
	add_port(line);
	if (application_name != NULL && application_name[0] != '\0')
		fms_line_string(line, "application", application_name);
	snprintf(text, sizeof(text), "%llx.%x", (long long) MyStartTime, MyProcPid);
	fms_line_string(line, "session", text);
	fms_line_integer(line, "lineNum", number);
	fms_line_integer(line, "sessionStart", (int64) MyStartTime * 1000);
	if (fms_has_virtual_transaction())
	{
		snprintf(text, sizeof(text), "%d/%u", fms_backend_number(), fms_local_transaction());
		fms_line_string(line, "vxid", text);
	}
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		fms_line_integer(line, "txid", GetTopTransactionIdIfAny());
	/* the leader of a group is no worker */
	if (leader != NULL && leader->pid != MyProcPid)
		fms_line_integer(line, "leaderPid", leader->pid);
	/* a string: JavaScript's numbers end at 2^53 */
	if (query_id != 0)
	{
		snprintf(text, sizeof(text), INT64_FORMAT, (int64) query_id);
		fms_line_string(line, "queryId", text);
	}
}

/* Send a line to where the server would send its own. */
static void
send_line(const FmsLine *line)
{
	bool		is_collector = MyBackendType == B_LOGGER;
	bool		to_stderr = (Log_destination & LOG_DESTINATION_STDERR) != 0 ||
		whereToSendOutput == DestDebug;
	ssize_t		written;

	if (Log_destination & LOG_DESTINATION_JSONLOG)
	{
		if (is_collector)
			write_syslogger_file(line->data, line->used, LOG_DESTINATION_JSONLOG);
		else if (redirection_done)
			write_pipe_chunks(line->data, line->used, LOG_DESTINATION_JSONLOG);
		else
			to_stderr = true;
	}
	if (to_stderr && redirection_done && !is_collector)
		write_pipe_chunks(line->data, line->used, LOG_DESTINATION_STDERR);
	else if (to_stderr)
	{
		/* a failure cannot be reported anywhere */
		written = write(STDERR_FILENO, line->data, line->used);
		(void) written;
	}
	if (is_collector)
		write_syslogger_file(line->data, line->used, LOG_DESTINATION_STDERR);
}

/* Write a line as JSON.  Throws nothing. */
static void
write_json(ErrorData *edata)
{
	static char base[BASE_BYTES];
	FmsLine		line;
	Size		limit = !redirection_done && stderr_is_pipe() ? PIPE_BUF : MAX_LINE;
	const ApplicationLine *entry = edata->message_id == entry_format ? current_entry : NULL;
	long		number = line_number();

	fms_line_begin(&line, base, sizeof(base), limit, line_encoding());
	add_head(&line, edata, entry != NULL ? entry->level : level_of(edata->elevel));
	if (entry != NULL)
		add_application(&line, entry);
	else
	{
		if (edata->elevel >= ERROR)
			add_error(&line, edata);
		add_report(&line, edata);
		add_process(&line, number);
	}
	fms_line_end(&line);
	send_line(&line);
	fms_line_free(&line);
}

/*
 * The ids of the request as they stand behind a message, into IDS_TEXT bytes;
 * their length, 0 if there are none.
 */
static int
ids_text(char *out)
{
	const FmsContext *context = fms_context_current();
	char		trace[FMS_UUID_TEXT + 1];
	char		span[FMS_UUID_TEXT + 1];
	const struct
	{
		const char *name;
		const char *value;
	}			ids[] = {
		{"traceId", context->has_trace ? trace : NULL},
		{"spanId", context->has_span ? span : NULL},
		{"requestId", context->request_id},
		{"sessionId", context->session_id},
		{"userId", context->user_id}
	};
	int			length = 0;

	*fms_uuid_write(trace, &context->trace_id) = '\0';
	*fms_uuid_write(span, &context->span_id) = '\0';
	for (int i = 0; i < lengthof(ids); i++)
	{
		if (ids[i].value != NULL)
			length += snprintf(out + length, IDS_TEXT - length, "%s%s=%s",
							   length == 0 ? " [" : " ", ids[i].name, ids[i].value);
		length = Min(length, IDS_TEXT - 2);
	}
	if (length > 0)
	{
		out[length++] = ']';
		out[length] = '\0';
	}
	return length;
}

/*
 * The message of a report with the ids behind it, in the current memory
 * context; NULL if there are none, or no memory.
 */
static char *
correlated_message(const ErrorData *edata)
{
	char		ids[IDS_TEXT];
	int			ids_length = ids_text(ids);
	Size		length;
	char	   *message;

	if (ids_length == 0 || edata->message == NULL)
		return NULL;
	length = strlen(edata->message);
	message = palloc_extended(length + ids_length + 1, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
	if (message == NULL)
		return NULL;
	memcpy(message, edata->message, length);
	memcpy(message + length, ids, ids_length + 1);
	return message;
}

/*
 * Have the server write a report with another message now, and to the log
 * alone: what the client gets later is not changed.  The other hooks have seen
 * it already.  Throws what the server throws when it cannot write a line.
 */
static void
report_to_log(ErrorData *edata, char *message)
{
	emit_log_hook_type hook = emit_log_hook;
	char	   *original = edata->message;

	PG_TRY();
	{
		emit_log_hook = NULL;
		edata->message = message;
		edata->output_to_client = false;
		EmitErrorReport();
	}
	PG_FINALLY();
	{
		emit_log_hook = hook;
		edata->message = original;
		edata->output_to_client = true;
	}
	PG_END_TRY();
	edata->output_to_server = false;
}

/* Add the ids to a line that the server writes. */
static void
correlate(ErrorData *edata)
{
	char	   *message = correlated_message(edata);

	if (message == NULL)
		return;
	if (edata->output_to_client)
	{
		report_to_log(edata, message);
		pfree(message);
	}
	else
	{
		/* the server frees what it finds when the report is done */
		pfree(edata->message);
		edata->message = message;
	}
}

/*
 * The hook.  The previous one comes first, whatever ours is set to; a line that
 * it took from the server is not ours either.  Our code cannot come back to
 * itself; should it ever, the inner line is the server's.
 */
static void
emit_line(ErrorData *edata)
{
	static bool busy = false;
	int			saved_errno = errno;

	if (previous_hook != NULL)
		previous_hook(edata);
	if (fms_log_format == FMS_LOG_OFF || !edata->output_to_server || busy)
		return;
	if (writes_json())
	{
		busy = true;
		write_json(edata);
		busy = false;
		edata->output_to_server = false;
	}
	else
		correlate(edata);
	errno = saved_errno;
}

/* Put ourselves in front of the hook that is there. */
void
fms_log_install_hook(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = emit_line;
}

/*
 * Write a line of an application, of a level of pino's, with members of a JSON
 * object or "".  To the server its severity is LOG.
 */
void
fms_log_application(int level, const char *message, const char *members)
{
	ApplicationLine entry = {level, members};

	/* neither statement nor context: they would be those of the call */
	if (!writes_json() && members[0] != '\0')
		ereport(LOG,
				(errmsg_internal("%s {%s}", message, members),
				 errhidestmt(true), errhidecontext(true)));
	else
	{
		current_entry = &entry;
		ereport(LOG,
				(errmsg_internal(entry_format, message),
				 errhidestmt(true), errhidecontext(true)));
		current_entry = NULL;
	}
}
