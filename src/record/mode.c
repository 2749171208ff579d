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
}

/* Whether events go into the buffer; a read-only transaction can still be traced there. */
bool
fms_mode_is_buffered(void)
{
	return fms_control != NULL && (write_mode == MODE_BUFFERED || XactReadOnly);
}
