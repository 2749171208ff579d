/*-------------------------------------------------------------------------
 *
 * format.h
 *	  The formats that JSON Schema defines, drafts 4 to 2020-12.
 *
 * Values are bytes in the encoding of the database.  A check reads a value
 * once, allocates nothing where it is plain ASCII, and raises no error for
 * whatever it reads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SCHEMA_FORMAT_FORMAT_H
#define FMS_SCHEMA_FORMAT_FORMAT_H

typedef enum FmsFormat
{
	FMS_FORMAT_NONE = 0,		/* no format of ours: everything is valid */
	FMS_FORMAT_DATE_TIME,
	FMS_FORMAT_DATE,
	FMS_FORMAT_TIME,
	FMS_FORMAT_DURATION,
	FMS_FORMAT_EMAIL,
	FMS_FORMAT_IDN_EMAIL,
	FMS_FORMAT_HOSTNAME,
	FMS_FORMAT_IDN_HOSTNAME,
	FMS_FORMAT_IPV4,
	FMS_FORMAT_IPV6,
	FMS_FORMAT_URI,
	FMS_FORMAT_URI_REFERENCE,
	FMS_FORMAT_IRI,
	FMS_FORMAT_IRI_REFERENCE,
	FMS_FORMAT_URI_TEMPLATE,
	FMS_FORMAT_UUID,
	FMS_FORMAT_JSON_POINTER,
	FMS_FORMAT_RELATIVE_JSON_POINTER,
	FMS_FORMAT_REGEX
} FmsFormat;

/* The format of a name, as the keyword "format" gives it. */
extern FmsFormat fms_format_lookup(const char *name, size_t bytes);

/* Whether a value has a format. */
extern bool fms_format_check(FmsFormat format, const char *value, size_t bytes);

#endif							/* FMS_SCHEMA_FORMAT_FORMAT_H */
