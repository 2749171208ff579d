/*-------------------------------------------------------------------------
 *
 * exporter.h
 *	  The background worker that sends one database's finished spans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_EXPORTER_EXPORTER_H
#define FMS_OTLP_EXPORTER_EXPORTER_H

typedef enum FmsOtlpCompression
{
	FMS_OTLP_UNCOMPRESSED,
	FMS_OTLP_GZIP
} FmsOtlpCompression;

extern char *fms_otlp_endpoint; /* GUC, base URL; empty: nothing is exported */
extern char *fms_otlp_headers_file; /* GUC, path; may be empty */
extern int	fms_otlp_compression;	/* GUC, FmsOtlpCompression */
extern int	fms_otlp_timeout;	/* GUC, milliseconds */

extern void fms_exporter_define_settings(void);
extern void fms_exporter_add(void);

extern PGDLLEXPORT void fms_exporter_main(Datum database);

#endif							/* FMS_OTLP_EXPORTER_EXPORTER_H */
