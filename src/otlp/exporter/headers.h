/*-------------------------------------------------------------------------
 *
 * headers.h
 *	  Where spans are sent, and with which headers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_EXPORTER_HEADERS_H
#define FMS_OTLP_EXPORTER_HEADERS_H

#include "utils/guc.h"

extern bool fms_headers_check_endpoint(char **value, void **extra, GucSource source);
extern char *fms_headers_url(const char *endpoint);
extern char **fms_headers_read(const char *path);

#endif							/* FMS_OTLP_EXPORTER_HEADERS_H */
