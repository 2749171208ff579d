/*-------------------------------------------------------------------------
 *
 * idn.c
 *	  The format idn-hostname: RFC 5890 to 5893.
 *
 * A name is a chain of labels of ASCII, of Unicode (U-labels), and of Unicode
 * encoded in ASCII (A-labels, "xn--...").  libidn2 knows for single labels what
 * a registry has to refuse: code points, contexts, hyphens, normal form, and
 * encodings that another one should have been chosen for.  What is left to us
 * is the rule for the whole name: if any label runs from right to left, all of
 * them have to be of one direction each (RFC 5893, section 2).  PCRE2 knows the
 * direction of every code point; before 10.40 it does not, and the rule is
 * checked by libidn2 within each label only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <idn2.h>
#include <pcre2.h>

#include "schema/format/part.h"
#include "schema/format/utf8.h"

#define MAX_NAME 253			/* bytes of a name, its labels encoded */
#define MAX_LABEL 63			/* bytes of a label, encoded */
#define MAX_UNICODE (MAX_LABEL * 4) /* bytes of a label of as many code points */

/* RFC 5893: characters that run right to left; a name with any of them is bidirectional */
#define RTL "\\p{bidi_class:R}\\p{bidi_class:AL}"
#define ARABIC "\\p{bidi_class:AN}"
#define DIGIT "\\p{bidi_class:EN}"
#define MARKS "\\p{bidi_class:NSM}*"

/* what each label of a bidirectional name has to be */
#define LEFT_LABEL "\\p{bidi_class:L}(?:[^." RTL ARABIC "]*[\\p{bidi_class:L}" DIGIT "])?" MARKS
#define RIGHT_LABEL "(?![^.]*" DIGIT "[^.]*" ARABIC ")(?![^.]*" ARABIC "[^.]*" DIGIT ")" \
	"[" RTL "](?:[^.\\p{bidi_class:L}]*[" RTL ARABIC DIGIT "])?" MARKS
#define BIDIRECTIONAL "^(?:[^" RTL ARABIC "]+|(?:(?:" LEFT_LABEL "|" RIGHT_LABEL ")(?:\\.|$))+)$"

/* the labels of a name, decoded, with dots between them */
typedef struct HostName
{
	char		text[MAX_NAME * 4]; /* an encoded byte stands for a code point
									 * at most */
	size_t		bytes;
	size_t		encoded;		/* bytes of the name encoded */
	bool		international;	/* some label is not plain ASCII */
} HostName;

/*
 * Whether a decoded name keeps the rule of directions.  The pattern is compiled
 * once and lives as long as the process.
 */
static bool
is_bidirectional(const HostName *name)
{
	static pcre2_code *code = NULL;
	static pcre2_match_data *data = NULL;
	static bool tried = false;
	int			error;
	PCRE2_SIZE	at;

	if (!tried)
	{
		tried = true;
		code = pcre2_compile((PCRE2_SPTR) BIDIRECTIONAL, PCRE2_ZERO_TERMINATED,
							 PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &error, &at, NULL);
		data = pcre2_match_data_create(1, NULL);
	}
	return code == NULL || data == NULL ||
		pcre2_match(code, (PCRE2_SPTR) name->text, name->bytes, 0, 0, data, NULL) >= 0;
}

/* Append a label in its decoded form, and count its encoded one. */
static bool
append_decoded(HostName *name, const char *label, size_t bytes, size_t encoded)
{
	name->encoded += encoded + (name->bytes > 0 ? 1 : 0);
	if (encoded > MAX_LABEL || name->encoded > MAX_NAME ||
		name->bytes + 1 + bytes > sizeof(name->text))
		return false;
	if (name->bytes > 0)
		name->text[name->bytes++] = '.';
	memcpy(name->text + name->bytes, label, bytes);
	name->bytes += bytes;
	return true;
}

/* Append an A-label, in lower case. */
static bool
append_encoded(HostName *name, const char *label)
{
	uint8_t    *again = NULL;
	char	   *decoded = NULL;
	bool		good;

	good = idn2_register_u8(NULL, (const uint8_t *) label, &again, 0) == IDN2_OK &&
		idn2_to_unicode_8z8z(label, &decoded, 0) == IDN2_OK &&
		append_decoded(name, decoded, strlen(decoded), strlen(label));
	idn2_free(again);
	idn2_free(decoded);
	name->international = true;
	return good;
}

/* Append a U-label. */
static bool
append_unicode(HostName *name, const char *label, bool compose)
{
	uint8_t    *encoded = NULL;
	bool		good;

	good = idn2_register_u8((const uint8_t *) label, NULL, &encoded,
							compose ? IDN2_NFC_INPUT : 0) == IDN2_OK &&
		append_decoded(name, label, strlen(label), strlen((char *) encoded));
	idn2_free(encoded);
	name->international = true;
	return good;
}

/* Append a label of any kind; it is not empty. */
static bool
append_label(HostName *name, const char *from, size_t bytes, bool compose)
{
	char		label[MAX_UNICODE + 1];
	bool		ascii = true;

	if (bytes > MAX_UNICODE || memchr(from, '\0', bytes) != NULL)
		return false;
	for (size_t i = 0; i < bytes; i++)
	{
		ascii &= !IS_HIGHBIT_SET(from[i]);
		label[i] = from[i];
	}
	label[bytes] = '\0';
	if (!ascii)
		return append_unicode(name, label, compose);
	for (size_t i = 0; i < bytes; i++)
	{
		label[i] = pg_ascii_tolower((unsigned char) label[i]);
		if (!fms_is_alpha(label[i]) && !fms_is_digit(label[i]) && label[i] != '-')
			return false;
	}
	if (label[0] == '-' || label[bytes - 1] == '-')
		return false;
	if (strncmp(label, "xn--", 4) == 0)
		return append_encoded(name, label);
	return append_decoded(name, label, bytes, bytes);
}

/* Whether a code point stands between labels. */
static bool
is_separator(int32 c)
{
	return c == '.' || c == 0x3002 || c == 0xff0e || c == 0xff61;
}

/* Format "idn-hostname". */
bool
fms_format_idn_hostname(const char *at, const char *end, bool compose)
{
	HostName	name;
	const char *label = at;

	/* a longer one cannot have an encoded form within the limit */
	if (end - at > MAX_NAME * 4)
		return false;
	name.bytes = 0;
	name.encoded = 0;
	name.international = false;
	for (;;)
	{
		const char *before = at;
		int32		c = at < end ? fms_utf8_next(&at, end) : '.';

		if (c < 0)
			return false;
		if (!is_separator(c))
			continue;
		if (before == label || !append_label(&name, label, before - label, compose))
			return false;
		if (before == end)
			return !name.international || is_bidirectional(&name);
		label = at;
	}
}
