/*-------------------------------------------------------------------------
 *
 * log.c
 *	  Lines that an application writes to the server's log.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

#include "compat.h"
#include "log/emit.h"
#include "log/log.h"
#include "span/jsonb.h"
#include "span/redact.h"

static const struct config_enum_entry formats[] = {
	{"off", FMS_LOG_OFF, false},
	{"json", FMS_LOG_JSON, false},
	{"correlate", FMS_LOG_CORRELATE, false},
	{NULL, 0, false}
};

static const struct config_enum_entry levels[] = {
	{"trace", FMS_LEVEL_TRACE, false},
	{"debug", FMS_LEVEL_DEBUG, false},
	{"info", FMS_LEVEL_INFO, false},
	{"warn", FMS_LEVEL_WARN, false},
	{"error", FMS_LEVEL_ERROR, false},
	{"fatal", FMS_LEVEL_FATAL, false},
	{NULL, 0, false}
};

static int	log_level = FMS_LEVEL_INFO;

PG_FUNCTION_INFO_V1(fms_log_named);
PG_FUNCTION_INFO_V1(fms_log_numbered);

/* Settings of the log; called once, when the library is loaded. */
void
fms_log_define_settings(void)
{
	DefineCustomEnumVariable("flowmaestro.log_format",
							 "Writes the lines of the server's log as JSON, or with the ids of the request.",
							 NULL,
							 &fms_log_format, FMS_LOG_OFF, formats,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("flowmaestro.log_level",
							 "Level below which flowmaestro.log() writes nothing.",
							 NULL,
							 &log_level, FMS_LEVEL_INFO, levels,
							 PGC_USERSET, 0, NULL, NULL, NULL);
}

/* The number of a level's name.  Raises an error for any other text. */
static int
parse_level(const char *name)
{
	for (const struct config_enum_entry *level = levels; level->name != NULL; level++)
	{
		if (pg_strcasecmp(level->name, name) == 0)
			return level->val;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid log level: \"%.*s\"", pg_mbcliplen(name, strlen(name), 64), name),
			 errhint("Use \"trace\", \"debug\", \"info\", \"warn\", \"error\" or \"fatal\".")));
	return 0;					/* keep compiler quiet */
}

/*
 * Those members of an object whose names the line's own members have, or with
 * "own" false the others, as JSON without its braces; "" if there are none.
 */
static char *
members_of(Jsonb *fields, bool own)
{
	FmsJsonbState state = {0};
	JsonbIterator *iterator = JsonbIteratorInit(&fields->root);
	JsonbIteratorToken token;
	JsonbValue	item;
	bool		skip = false;
	Jsonb	   *kept;
	char	   *json;

	(void) JsonbIteratorNext(&iterator, &item, false);
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_END_OBJECT)
	{
		if (token == WJB_KEY)
			skip = fms_log_is_own_member(item.val.string.val, item.val.string.len) != own;
		if (!skip)
			fms_jsonb_push(&state, token, &item);
	}
	kept = fms_jsonb_end(&state, WJB_END_OBJECT);
	json = JsonbToCString(NULL, &kept->root, VARSIZE(kept));
	json[strlen(json) - 1] = '\0';
	return json + 1;
}

/* Tell the author of a line, once in a session, where reserved fields are. */
static void
tell_of_reserved(void)
{
	static bool told = false;

	if (told)
		return;
	told = true;
	ereport(NOTICE,
			(errmsg("fields of the log line have reserved names"),
			 errdetail("They are written as members of \"%s\".  This is told once in a session.",
					   FMS_LOG_FIELDS)));
}

/*
 * The fields of a line as JSON without its braces, redacted.  Those that have a
 * name of the line's own members become members of one member.
 */
static char *
fields_of_line(Jsonb *fields)
{
	char	   *others;
	char	   *reserved;

	fields = fms_redact_jsonb(fields);
	others = members_of(fields, false);
	reserved = members_of(fields, true);
	if (reserved[0] == '\0')
		return others;
	tell_of_reserved();
	return psprintf("%s%s\"%s\": {%s}", others, others[0] == '\0' ? "" : ", ",
					FMS_LOG_FIELDS, reserved);
}

/*
 * The fields of an argument: an object, or NULL.  JSON null, which drivers make
 * of a missing value, is none.  Raises an error for anything else.
 */
static Jsonb *
optional_fields(FunctionCallInfo fcinfo, int n)
{
	Jsonb	   *fields;
	JsonbValue	scalar;

	if (PG_ARGISNULL(n))
		return NULL;
	fields = PG_GETARG_JSONB_P(n);
	if (JB_ROOT_IS_OBJECT(fields))
		return fields;
	if (!JB_ROOT_IS_SCALAR(fields) || !JsonbExtractScalar(&fields->root, &scalar) ||
		scalar.type != jbvNull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fields must be a JSON object"),
				 errdetail("The value is a JSON %s.",
						   JB_ROOT_IS_SCALAR(fields) ? "scalar" : "array")));
	return NULL;
}

/* What both forms of log() do from their second argument on. */
static void
write_line(FunctionCallInfo fcinfo, int level)
{
	Jsonb	   *fields = optional_fields(fcinfo, 2);

	if (level >= log_level)
		fms_log_application(level,
							PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1)),
							fields == NULL ? "" : fields_of_line(fields));
}

/* log(level text, message text, fields jsonb) returns void */
Datum
fms_log_named(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("level must not be null")));
	write_line(fcinfo, parse_level(text_to_cstring(PG_GETARG_TEXT_PP(0))));
	PG_RETURN_VOID();
}

/* log(level integer, message text, fields jsonb) returns void */
Datum
fms_log_numbered(PG_FUNCTION_ARGS)
{
	int32		level;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("level must not be null")));
	level = PG_GETARG_INT32(0);
	if (level < FMS_LEVEL_TRACE || level > FMS_LEVEL_FATAL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid log level: %d", level),
				 errhint("Use a level between %d (trace) and %d (fatal).",
						 FMS_LEVEL_TRACE, FMS_LEVEL_FATAL)));
	write_line(fcinfo, level);
	PG_RETURN_VOID();
}
