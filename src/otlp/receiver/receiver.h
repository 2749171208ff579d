/*-------------------------------------------------------------------------
 *
 * receiver.h
 *	  The background worker that takes spans by OTLP/HTTP.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_RECEIVER_RECEIVER_H
#define FMS_OTLP_RECEIVER_RECEIVER_H

/* settings; in the first library */
extern PGDLLEXPORT int fms_receiver_port;	/* 0: there is no receiver */
extern PGDLLEXPORT char *fms_receiver_address;
extern PGDLLEXPORT char *fms_receiver_database;
extern PGDLLEXPORT char *fms_receiver_token_file;
extern PGDLLEXPORT int fms_receiver_max_body;	/* kilobytes */
extern PGDLLEXPORT int fms_receiver_memory; /* kilobytes */
extern PGDLLEXPORT int fms_receiver_connections;
extern PGDLLEXPORT int fms_receiver_request_timeout;	/* milliseconds */

extern void fms_receiver_define_settings(void);
extern void fms_receiver_add(void);

/* in the second library */
extern PGDLLEXPORT void fms_receiver_main(Datum number);

#endif							/* FMS_OTLP_RECEIVER_RECEIVER_H */
