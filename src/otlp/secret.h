/*-------------------------------------------------------------------------
 *
 * secret.h
 *	  Files with a secret, which only the server may be able to read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_SECRET_H
#define FMS_OTLP_SECRET_H

/* the receiver, of the second library, reads its token with it */
extern PGDLLEXPORT const char *fms_secret_read(const char *path, char *text, size_t size);

#endif							/* FMS_OTLP_SECRET_H */
