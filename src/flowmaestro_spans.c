/*-------------------------------------------------------------------------
 *
 * flowmaestro_spans.c
 *	  The front door: settings, hooks and workers; nothing else.
 *
 * With the library in shared_preload_libraries, spans go through shared memory
 * and a background writer.  Without it (or in binary upgrade, where no worker
 * may run), the functions record in the caller's own transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/inval.h"

#include "compat.h"
#include "end.h"
#include "buffer/buffer.h"
#include "buffer/tracked.h"
#include "context/context.h"
#include "log/log.h"
#include "otlp/exporter/exporter.h"
#include "otlp/exporter/outbox.h"
#include "otlp/out/encode.h"
#include "otlp/receiver/receiver.h"
#include "record/mode.h"
#include "schema/cache.h"
#include "schema/registry.h"
#include "span/payload.h"
#include "span/redact.h"
#include "table/partition.h"
#include "table/written.h"
#include "usage/ledger.h"
#include "usage/prices.h"
#include "worker/database.h"
#include "worker/launcher.h"
#include "worker/left.h"
#include "worker/writer.h"

#define MIN_BUFFER_KB 1024
#define MAX_BUFFER_KB (1024 * 1024)
#define MAX_PAYLOAD_KB (64 * 1024)
#define MAX_ACTIVE_SPANS (4 * 1024 * 1024)
#define PAYLOADS_IN_BUFFER 16	/* a payload takes at most this part of the buffer */

FMS_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static const struct config_enum_entry intervals[] = {
	{"hour", FMS_INTERVAL_HOUR, false},
	{"day", FMS_INTERVAL_DAY, false},
	{"week", FMS_INTERVAL_WEEK, false},
	{"month", FMS_INTERVAL_MONTH, false},
	{NULL, 0, false}
};

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

/* A payload has to leave room for others in the buffer; the default fits itself in. */
static bool
check_max_payload(int *value, void **extra, GucSource source)
{
	if (*value <= fms_buffer_size / PAYLOADS_IN_BUFFER)
		return true;
	if (source == PGC_S_DEFAULT)
	{
		*value = fms_buffer_size / PAYLOADS_IN_BUFFER;
		return true;
	}
	GUC_check_errdetail("\"flowmaestro.max_payload\" can be at most 1/%d of \"flowmaestro.buffer_size\".",
						PAYLOADS_IN_BUFFER);
	return false;
}

/* Settings that size shared memory: only there when preloaded. */
static void
define_server_settings(void)
{
	DefineCustomIntVariable("flowmaestro.buffer_size",
							"Size of the span buffer of each database.",
							"It is a file under the data directory, mapped into memory.",
							&fms_buffer_size, 64 * 1024, MIN_BUFFER_KB, MAX_BUFFER_KB,
							PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.max_active_spans",
							"Running spans that shared memory has a place for.",
							"More can run; those beyond are found in the table.",
							&fms_max_active_spans, 32768, 16, MAX_ACTIVE_SPANS,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

/* Settings of recording. */
static void
define_recording_settings(void)
{
	DefineCustomIntVariable("flowmaestro.full_wait",
							"Time that a call waits for room in a full buffer before its record is dropped.",
							NULL,
							&fms_full_wait, 1000, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.max_payload",
							"Size above which attributes, input, output or error are truncated.",
							NULL,
							&fms_max_payload, 1024, 1, MAX_PAYLOAD_KB, PGC_SUSET, GUC_UNIT_KB,
							check_max_payload, NULL, NULL);
}

/* Settings of the writer. */
static void
define_writer_settings(void)
{
	DefineCustomIntVariable("flowmaestro.batch_size",
							"Records in the buffer that wake the writer.",
							"The writer takes all there are.",
							&fms_batch_size, 10, 1, INT_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.flush_interval",
							"Time after which the writer writes whatever is in the buffer.",
							NULL,
							&fms_flush_interval, 5000, 10, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("flowmaestro.partition_interval",
							 "Time that a new partition of execution_spans covers.",
							 NULL,
							 &fms_partition_interval, FMS_INTERVAL_DAY, intervals,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.late_partitions",
							"Past intervals that have a partition each.",
							"Older spans share one for each gap, later ones the default partition.",
							&fms_late_partitions, 31, 0, 366, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.retention",
							"Age at which whole partitions of execution_spans are dropped.",
							"Zero keeps them for ever.  A partition with a running span stays.",
							&fms_retention, 0, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MIN,
							NULL, NULL, NULL);
}

/* Ask for shared memory. */
static void
shmem_request(void)
{
	if (previous_shmem_request != NULL)
		previous_shmem_request();
	fms_buffer_shmem_request();
}

/* Set up shared memory. */
static void
shmem_startup(void)
{
	if (previous_shmem_startup != NULL)
		previous_shmem_startup();
	fms_buffer_shmem_startup();
}

/* What only a preloaded library can have. */
static void
join_server(void)
{
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = shmem_request;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
	fms_database_install_hook();
	fms_left_install_hook();
	fms_writer_add();
	fms_exporter_add();
	fms_receiver_add();
	fms_launcher_register();
}

/*
 * A relation, or with InvalidOid each, has changed.  The rooms share one
 * callback: a process has places for ten, of all its libraries together.
 */
static void
relation_changed(Datum arg, Oid relation)
{
	fms_buffer_relation_changed(relation);
	fms_registry_relation_changed(relation);
	fms_prices_relation_changed(relation);
}

/* Entry point of the library. */
void
_PG_init(void)
{
	bool		preloading = process_shared_preload_libraries_in_progress;

	if (preloading)
	{
		define_server_settings();
		fms_receiver_define_settings();
	}
	fms_mode_define_settings();
	define_recording_settings();
	define_writer_settings();
	fms_context_define_settings();
	fms_log_define_settings();
	fms_redact_define_settings();
	fms_schema_define_settings();
	fms_otlp_encode_define_settings();
	fms_exporter_define_settings();
	MarkGUCPrefixReserved("flowmaestro");
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	fms_written_observe(fms_ledger_written);
	fms_written_observe(fms_outbox_add);
	fms_end_watch();
	fms_log_install_hook();
	if (preloading && !IsBinaryUpgrade)
		join_server();
}
