/*-------------------------------------------------------------------------
 *
 * exporter_settings.c
 *	  The settings of the exporter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "otlp/exporter/exporter.h"
#include "otlp/exporter/headers.h"

char	   *fms_otlp_endpoint = NULL;
char	   *fms_otlp_headers_file = NULL;
int			fms_otlp_compression = FMS_OTLP_GZIP;
int			fms_otlp_timeout = 10000;

static const struct config_enum_entry compressions[] = {
	{"gzip", FMS_OTLP_GZIP, false},
	{"none", FMS_OTLP_UNCOMPRESSED, false},
	{NULL, 0, false}
};

/* Define them; called once, when the library is loaded. */
void
fms_exporter_define_settings(void)
{
	DefineCustomStringVariable("flowmaestro.otlp_endpoint",
							   "Collector that finished spans are sent to by OTLP/HTTP.",
							   "A base URL, to which /v1/traces is added.  Empty sends nothing.",
							   &fms_otlp_endpoint, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   fms_headers_check_endpoint, NULL, NULL);
	DefineCustomStringVariable("flowmaestro.otlp_headers_file",
							   "File of headers for the collector, one \"name: value\" a line.",
							   "Only the server's user may be able to read it.",
							   &fms_otlp_headers_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
	DefineCustomEnumVariable("flowmaestro.otlp_compression",
							 "Compression of what is sent to the collector.",
							 "Some collectors for development read no gzip.",
							 &fms_otlp_compression, FMS_OTLP_GZIP, compressions, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.otlp_timeout",
							"Time that the collector has to answer a request.",
							NULL,
							&fms_otlp_timeout, 10000, 100, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
}
