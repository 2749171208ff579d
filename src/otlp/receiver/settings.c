/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  What the first library knows of the receiver: its settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>

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
bool
fms_receiver_check_address(char **value, void **extra, GucSource source)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, *value, &address) == 1 || inet_pton(AF_INET6, *value, &address) == 1)
		return true;
	GUC_check_errdetail("It must be an IPv4 or IPv6 address.");
	return false;
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
		.name = "flowmaestro_spans receiver",.library = "flowmaestro_spans_otlp",
		.function = "fms_receiver_main",.wanted = is_wanted
	};

	fms_supervisor_add(&service);
}
