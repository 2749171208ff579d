/*-------------------------------------------------------------------------
 *
 * text.h
 *	  Texts without a terminator, hexadecimal digits, uuids as text.
 *
 * Nothing here calls the server, so that what uses it can be tested and fuzzed
 * outside of one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_SPAN_TEXT_H
#define FMS_SPAN_TEXT_H

#include "utils/uuid.h"

#define FMS_UUID_TEXT 36		/* bytes of a uuid with hyphens */

/* A part of an event or of a message: a text, or a jsonb with its varlena header. */
typedef struct FmsPart
{
	const char *data;			/* NULL if there is no such part */
	uint32		length;			/* bytes */
} FmsPart;

/* A detoasted text datum as a part, not copied. */
#define FMS_TEXT_PART(value) ((FmsPart) {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)})

/* Whether a part is a text. */
static inline bool
fms_part_is(FmsPart part, const char *text)
{
	return part.length == strlen(text) && memcmp(part.data, text, part.length) == 0;
}

/* The value of a hexadecimal digit of either case, or -1. */
static inline int
fms_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

extern bool fms_hex_read(const char *text, unsigned char *out, int count);
extern char *fms_hex_write(char *out, const unsigned char *bytes, int count);
extern bool fms_all_zero(const unsigned char *bytes, int count);
extern bool fms_uuid_read(const char *text, size_t length, pg_uuid_t *id);
extern char *fms_uuid_write(char *out, const pg_uuid_t *id);

/* The text of a uuid, in the current memory context. */
static inline char *
fms_uuid_text(const pg_uuid_t *id)
{
	char	   *text = (char *) palloc(FMS_UUID_TEXT + 1);

	*fms_uuid_write(text, id) = '\0';
	return text;
}

#endif							/* FMS_SPAN_TEXT_H */
