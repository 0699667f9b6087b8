/*
 * xact_told.c
 *		A node tells its coordinator that the transaction writes.
 *
 * Whatever changes or locks rows gets the transaction an id first, be it the
 * statement itself, a trigger or a function.  So a transaction without an id
 * has not written, and needs no prepare.  The id goes to the coordinator as a
 * parameter status message, which the protocol allows at any time, before the
 * end of the statement that caused it.  Ids differ from one transaction of a
 * session to the next, so nothing has to be told when one ends; what a
 * savepoint takes back has made a writer all the same.
 *
 * Statements that core does not run by its executor (COPY, DDL) are not
 * covered; the coordinator takes them for writes.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "libpq/pqformat.h"
#include "tcop/tcopprot.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

static TransactionId told = InvalidTransactionId;

/* Called whenever an executor has run. */
void
xact_tell_xid(void)
{
	TransactionId xid;
	StringInfoData buf;
	char		number[16];

	if (shoal_origin == 0 || whereToSendOutput != DestRemote ||
		IsParallelWorker())
		return;
	xid = GetTopTransactionIdIfAny();
	if (!TransactionIdIsValid(xid) || xid == told)
		return;
	told = xid;
	snprintf(number, sizeof(number), "%u", xid);
	pq_beginmessage(&buf, 'S');
	pq_sendstring(&buf, SHOAL_XID_STATUS);
	pq_sendstring(&buf, number);
	pq_endmessage(&buf);
}
