/*-------------------------------------------------------------------------
 *
 * receiver_settings.c
 *	  What the first library knows of the receiver: its settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <limits.h>

#include "utils/guc.h"

#include "otlp/in/ingest.h"
#include "otlp/receiver/receiver.h"
#include "worker/supervisor.h"

int			fms_receiver_port = 0;
char	   *fms_receiver_address = NULL;
char	   *fms_receiver_database = NULL;
char	   *fms_receiver_token_file = NULL;
int			fms_receiver_max_body = FMS_OTLP_MAX_BODY / 1024;
int			fms_receiver_memory = 256 * 1024;
int			fms_receiver_connections = 1000;
int			fms_receiver_request_timeout = 10 * 1000;

/* An address is a number: a name could take long to look up, and be another's. */
static bool
check_address(char **value, void **extra, GucSource source)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, *value, &address) == 1 || inet_pton(AF_INET6, *value, &address) == 1)
		return true;
	GUC_check_errdetail("It must be an IPv4 or IPv6 address.");
	return false;
}

/* Define them; from _PG_init when preloaded, for there can be no receiver without. */
void
fms_receiver_define_settings(void)
{
	DefineCustomIntVariable("flowmaestro.otlp_receiver_port",
							"Port at which spans are taken by OTLP/HTTP.",
							"Zero takes none.  OpenTelemetry's own is 4318.",
							&fms_receiver_port, 0, 0, 65535, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("flowmaestro.otlp_receiver_address",
							   "Address at which spans are taken by OTLP/HTTP.",
							   "0.0.0.0 is all of IPv4, :: is all.  An address that other machines reach needs a token.",
							   &fms_receiver_address, "127.0.0.1", PGC_SIGHUP, 0,
							   check_address, NULL, NULL);
	DefineCustomStringVariable("flowmaestro.otlp_receiver_database",
							   "Database whose spans are taken by OTLP/HTTP.",
							   NULL,
							   &fms_receiver_database, "postgres", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("flowmaestro.otlp_token_file",
							   "File with the bearer token that OTLP/HTTP requests need.",
							   "Read again at each reload.",
							   &fms_receiver_token_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.otlp_receiver_max_body",
							"Size above which the body of an OTLP/HTTP request is refused.",
							"As sent, and inflated.",
							&fms_receiver_max_body, FMS_OTLP_MAX_BODY / 1024, 1, FMS_OTLP_MAX_BODY / 1024,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.otlp_receiver_memory",
							"Memory for the bodies of all OTLP/HTTP requests together.",
							"A request beyond is refused, and can be sent again.",
							&fms_receiver_memory, 256 * 1024, 1024, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.otlp_receiver_max_connections",
							"Connections of OTLP/HTTP clients.",
							"Beyond, the one that has waited or sent for longest is closed.",
							&fms_receiver_connections, 1000, 1, 65535, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.otlp_receiver_request_timeout",
							"Time that an OTLP/HTTP client has to send a request.",
							"And that recording it may take.",
							&fms_receiver_request_timeout, 10 * 1000, 100, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* Whether there is to be a receiver. */
static bool
is_wanted(void)
{
	return fms_receiver_port != 0;
}

/* Have the launcher start the receiver when it is wanted; from _PG_init when preloaded. */
void
fms_receiver_add(void)
{
	static const FmsService service = {
		.name = "flowmaestro_spans receiver", .library = "flowmaestro_spans_otlp",
		.function = "fms_receiver_main", .wanted = is_wanted
	};

	fms_supervisor_add(&service);
}
