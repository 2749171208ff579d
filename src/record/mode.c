/*-------------------------------------------------------------------------
 *
 * mode.c
 *	  Whether spans are recorded, and by which way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"

#include "compat.h"
#include "buffer/buffer.h"
#include "record/mode.h"
#include "span/payload.h"

#define MAX_PAYLOAD_KB (64 * 1024)
#define PAYLOADS_IN_BUFFER 16	/* a payload takes at most this part of the
								 * buffer */

typedef enum WriteMode
{
	MODE_BUFFERED,
	MODE_TRANSACTIONAL
} WriteMode;

static const struct config_enum_entry write_modes[] = {
	{"buffered", MODE_BUFFERED, false},
	{"transactional", MODE_TRANSACTIONAL, false},
	{NULL, 0, false}
};

bool		fms_mode_enabled = true;
static int	write_mode = MODE_BUFFERED;

/* A payload has to leave room for others in the buffer; the default fits itself in. */
static bool
check_max_payload(int *value, void **extra, GucSource source)
{
	if (*value <= fms_buffer_size / PAYLOADS_IN_BUFFER)
		return true;
	if (source == PGC_S_DEFAULT)
	{
		*value = fms_buffer_size / PAYLOADS_IN_BUFFER;
		return true;
	}
	GUC_check_errdetail("\"flowmaestro.max_payload\" can be at most 1/%d of \"flowmaestro.buffer_size\".",
						PAYLOADS_IN_BUFFER);
	return false;
}

/* Define the settings; called once, when the library is loaded. */
void
fms_mode_define_settings(void)
{
	DefineCustomBoolVariable("flowmaestro.enabled",
							 "Records spans.",
							 "When off, the functions still give ids, and record nothing.",
							 &fms_mode_enabled, true, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("flowmaestro.write_mode",
							 "Records spans through the buffer, or in the caller's transaction.",
							 "Without the library in shared_preload_libraries it is always the transaction.",
							 &write_mode, MODE_BUFFERED, write_modes,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("flowmaestro.max_payload",
							"Size above which attributes, input, output or error are truncated.",
							NULL,
							&fms_max_payload, 1024, 1, MAX_PAYLOAD_KB, PGC_SUSET, GUC_UNIT_KB,
							check_max_payload, NULL, NULL);
}

/* Whether events go into the buffer; a read-only transaction can still be traced there. */
bool
fms_mode_is_buffered(void)
{
	return fms_control != NULL && (write_mode == MODE_BUFFERED || XactReadOnly);
}
