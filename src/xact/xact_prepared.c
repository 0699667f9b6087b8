/*
 * xact_prepared.c
 *		COMMIT PREPARED and ROLLBACK PREPARED of what users have prepared.
 *
 * PREPARE TRANSACTION prepares the parts of the transaction on other nodes, under
 * names of ours, and then itself, with the records of their commit (xact_commit.c).  From
 * then on all is as after any other local commit or abort: the transaction counts as running
 * as long as it is prepared, so recovery leaves its parts alone (xact_recover.c); when it
 * has been committed there are records, when it was rolled back there are none.
 *
 * So what is left to be done here is that nodes are told at once, and that nobody sees
 * a half meanwhile: the commit is in a wave.  A node that can't be told now is told by
 * recovery.  After the decision nothing here raises an error.
 *
 * If the node is given up, the others leave the parts as they are until it is back: what they
 * were told of it is that only their coordinator can decide (SHOAL_GID_SOLE, SHOAL_GID_USERS).
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_health.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

/* The id of what is prepared here under that name, in this database; or 0. */
static TransactionId
find_here(const char *gid)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(gid);
	TransactionId xid = InvalidTransactionId;
	bool		isnull;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute_with_args("SELECT transaction FROM pg_catalog.pg_prepared_xacts"
							  " WHERE gid = $1 AND database = pg_catalog.current_database()",
							  1, &type, &value, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read prepared transactions");
	if (SPI_processed == 1)
		xid = DatumGetTransactionId(SPI_getbinval(SPI_tuptable->vals[0],
												  SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PopActiveSnapshot();
	return xid;
}

uint64
xact_prepared_begin(const TransactionStmt *stmt)
{
	FullTransactionId next;
	TransactionId xid;
	uint32		epoch;
	uint64		fxid;

	/* in a transaction block core refuses it; on a node it is a part */
	if (shoal_claimed_origin > 0 || !shoal_meta_enabled() || shoal_meta_is_alone() ||
		IsTransactionBlock() || IsAbortedTransactionBlockState() ||
		strncmp(stmt->gid, "shoal_", strlen("shoal_")) == 0)
		return 0;
	xid = find_here(stmt->gid);
	if (!TransactionIdIsValid(xid))
		return 0;
	next = ReadNextFullTransactionId();
	epoch = EpochFromFullTransactionId(next);
	if (xid > XidFromFullTransactionId(next))
		epoch--;
	fxid = U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));

	/* the wave also keeps recovery from being faster */
	xact_used_nodes = true;
	xact_gate_enter_for(fxid);
	if (stmt->kind == TRANS_STMT_COMMIT_PREPARED)
		shoal_health_require_lease(true);
	return fxid;
}

typedef struct Visit
{
	int			node_id;
	uint64		fxid;
	const char *verb;
} Visit;

static void
end_on(void *arg)
{
	Visit	   *visit = arg;
	ShoalConn  *conn = shoal_xact_conn_outside(visit->node_id);
	PGresult   *res;

	res = shoal_remote_query(conn,
							 psprintf("SELECT gid FROM pg_catalog.pg_prepared_xacts"
									  " WHERE database = pg_catalog.current_database()"
									  " AND gid LIKE 'shoal\\_%d\\_" UINT64_FORMAT "\\_%%'",
									  shoal_meta_local_node_id(), visit->fxid), NULL);
	for (int i = 0; i < PQntuples(res); i++)
		shoal_remote_exec(conn, psprintf("%s PREPARED %s", visit->verb,
										 quote_literal_cstr(PQgetvalue(res, i, 0))));
	PQclear(res);
}

/* Deletes records of the transaction's commit. */
static void
delete_records(void *arg)
{
	List	   *gids = NIL;
	ListCell   *lc;
	uint64		fxid;

	foreach(lc, xact_record_list())
	{
		if (xact_is_my_gid(lfirst(lc), &fxid) && fxid == ((Visit *) arg)->fxid)
			gids = lappend(gids, lfirst(lc));
	}
	xact_record_delete(gids);
}

void
xact_prepared_end(const TransactionStmt *stmt, uint64 fxid)
{
	bool		commits = stmt->kind == TRANS_STMT_COMMIT_PREPARED;
	Visit		visit = {0, fxid, commits ? "COMMIT" : "ROLLBACK"};
	List	   *untold = NIL;
	bool		all = true;
	ListCell   *lc;

	foreach(lc, shoal_meta_all_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);
		ErrorData  *error = NULL;

		if (node->is_local)
			continue;
		visit.node_id = node->node_id;
		all &= node->is_active;
		if (node->is_active)
			error = shoal_server_try(end_on, &visit);
		if (error == NULL)
			continue;
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not settle prepared transactions on node %d", node->node_id),
				 errdetail_internal("%s", error->message)));
		untold = lappend_int(untold, node->node_id);
	}
	/* one that is down, or was given up, has need of its record */
	if (commits && all && untold == NIL)
		(void) shoal_server_try(delete_records, &visit);
	/* recovery has to begin after the wave, and readers have to know before its end */
	if (untold != NIL)
		(void) xact_gate_doubt();
	xact_gate_leave();
	if (untold != NIL)
		xact_await_nodes(untold);
}
