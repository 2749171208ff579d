/*-------------------------------------------------------------------------
 *
 * flowmaestro_spans.c
 *	  The front door: it has the rooms join the server; nothing else.
 *
 * With the library in shared_preload_libraries, spans go through shared memory
 * and a background writer.  Without it (or in binary upgrade, where no worker
 * may run), the functions record in the caller's own transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/inval.h"

#include "compat.h"
#include "end.h"
#include "buffer/buffer.h"
#include "context/context.h"
#include "log/log.h"
#include "otlp/exporter/exporter.h"
#include "otlp/exporter/outbox.h"
#include "otlp/out/encode.h"
#include "otlp/receiver/receiver.h"
#include "record/mode.h"
#include "schema/cache.h"
#include "schema/registry.h"
#include "span/redact.h"
#include "table/place.h"
#include "table/retention.h"
#include "table/written.h"
#include "usage/ledger.h"
#include "usage/prices.h"
#include "worker/database.h"
#include "worker/launcher.h"
#include "worker/left.h"
#include "worker/writer.h"

FMS_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

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

	fms_buffer_define_settings(preloading);
	fms_mode_define_settings();
	fms_place_define_settings();
	fms_retention_define_settings();
	fms_writer_define_settings();
	fms_context_define_settings();
	fms_log_define_settings();
	fms_redact_define_settings();
	fms_schema_define_settings();
	fms_otlp_encode_define_settings();
	fms_exporter_define_settings();
	if (preloading)
		fms_receiver_define_settings();
	MarkGUCPrefixReserved("flowmaestro");
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	fms_written_observe(fms_ledger_written);
	fms_written_observe(fms_outbox_add);
	fms_end_watch();
	fms_log_install_hook();
	if (preloading && !IsBinaryUpgrade)
		join_server();
}
