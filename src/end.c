/*-------------------------------------------------------------------------
 *
 * end.c
 *	  What happens at the end of a transaction, in its order.
 *
 * Before the commit, while errors can be raised: the spans that were entered
 * and not left are ended, which writes rows; then the ledger counts the rows.
 * After it, when nothing may fail: memory is brought in line with the table;
 * then the processes are woken that have something to do with it.
 *
 * The server calls callbacks in the reverse order of their registration.  So
 * that no order depends on it, there is one for transactions and one for
 * subtransactions, and the owners of what is done here register none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "compat.h"
#include "end.h"
#include "otlp/exporter/outbox.h"
#include "record/enter.h"
#include "record/transaction.h"
#include "usage/ledger.h"

/* The end of a transaction.  A parallel worker records nothing. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			fms_enter_end_at_commit();
			fms_ledger_before_commit();
			return;
		case XACT_EVENT_PRE_PREPARE:
			fms_enter_end_at_commit();
			fms_transaction_before_prepare();
			fms_ledger_before_prepare();
			return;
		case XACT_EVENT_COMMIT:
			fms_transaction_committed();
			break;
		case XACT_EVENT_PREPARE:
			fms_transaction_prepared();
			break;
		case XACT_EVENT_ABORT:
			/* ends the spans that outlive the transaction; the others go then */
			fms_enter_end_at_abort(TopSubTransactionId);
			fms_transaction_rolled_back();
			break;
		default:
			return;
	}
	fms_ledger_at_end(event == XACT_EVENT_COMMIT);
	fms_outbox_at_end(event == XACT_EVENT_COMMIT);
}

/* The end of a subtransaction. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId sub, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_COMMIT_SUB)
		fms_transaction_sub_committed(level);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		fms_enter_end_at_abort(sub);
		fms_transaction_sub_rolled_back(level);
	}
}

/* Follow the ends of transactions; called once in a process. */
void
fms_end_watch(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
