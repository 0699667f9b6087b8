/*
 * xact_recover.c
 *		Settling prepared transactions that nobody has finished.
 *
 * A prepared transaction of this coordinator's is committed if there is a
 * record of its commit; it is rolled back if there is none and the transaction
 * is not running any more.  The order matters: a transaction that is found not
 * to run has its record by then, or never will.
 *
 * Each node is visited over a connection of its own.  A node that can't be
 * reached is left for the next time, and so are its records.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_health.h"
#include "xact/xact_private.h"

PG_FUNCTION_INFO_V1(shoal_recover_prepared_transactions);
PG_FUNCTION_INFO_V1(shoal_internal_gate_left);
PG_FUNCTION_INFO_V1(shoal_internal_outcome);
PG_FUNCTION_INFO_V1(shoal_internal_saw_commit);

static bool
is_running(uint64 fxid)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());

	/* a crash may have taken the id back; very old ones compare wrongly */
	if (fxid >= next || next - fxid > MaxTransactionId / 2)
		return false;
	return TransactionIdIsInProgress((TransactionId) fxid);
}

/*
 * Whether a transaction of this node's is over, and what it has prepared is left
 * behind.
 */
static bool
is_left(const char *gid, uint64 *fxid)
{
	return xact_is_my_gid(gid, fxid) && !is_running(*fxid) &&
		!xact_gate_has_wave(*fxid);
}

/* Whether one of them (names with commas between) is left behind. */
bool
xact_any_left(const char *gids)
{
	char	   *copy = pstrdup(gids);
	char	   *rest = copy;
	char	   *gid;
	uint64		fxid;

	while ((gid = strsep(&rest, ",")) != NULL)
	{
		if (is_left(gid, &fxid))
			return true;
	}
	return false;
}

/* Whether one of them is of a node's making. */
bool
xact_any_of(int node_id, const char *gids)
{
	char	   *start = psprintf("shoal_%d_", node_id);

	return strncmp(gids, start, strlen(start)) == 0 ||
		strstr(gids, psprintf(",%s", start)) != NULL;
}

/* shoal.internal_gate_left(gids): whether one of them, with commas between */
Datum
shoal_internal_gate_left(PG_FUNCTION_ARGS)
{
	char	   *gids = text_to_cstring(PG_GETARG_TEXT_PP(0));

	shoal_xact_check_internal();
	PG_RETURN_BOOL(xact_any_left(gids));
}

/*
 * shoal.internal_outcome(gid): whether this node has committed its transaction
 * with this name, null if that is not decided yet
 */
Datum
shoal_internal_outcome(PG_FUNCTION_ARGS)
{
	char	   *gid = text_to_cstring(PG_GETARG_TEXT_PP(0));
	uint64		fxid;

	shoal_xact_check_internal();
	if (!is_left(gid, &fxid))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(xact_record_exists(gid));
}

/*
 * shoal.internal_saw_commit(gid): whether a part of another node's transaction
 * has been committed here
 */
Datum
shoal_internal_saw_commit(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	PG_RETURN_BOOL(xact_seen_has(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* Returns true if the transaction was settled. */
static bool
settle(ShoalConn *conn, const char *gid)
{
	uint64		fxid;
	const char *verb;

	/* in this order: it is seen to be over, so its record is there or never is */
	if (!is_left(gid, &fxid))
		return false;
	verb = xact_record_exists(gid) ? "COMMIT" : "ROLLBACK";
	shoal_remote_exec(conn, psprintf("%s PREPARED %s", verb,
									 quote_literal_cstr(gid)));
	return true;
}

/* Takes off a list the names of parts of a transaction that is prepared. */
static List *
without_part(List *names, const char *gid)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (shoal_xact_gid_is_same(lfirst(lc), gid))
			names = foreach_delete_current(names, lc);
	}
	return names;
}

/* The same for what is prepared here. */
static List *
without_parts_here(List *names)
{
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	if (SPI_execute("SELECT gid FROM pg_catalog.pg_prepared_xacts"
					" WHERE database = pg_catalog.current_database()"
					" AND gid LIKE 'shoal\\_%'", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read prepared transactions");
	for (uint64 i = 0; i < SPI_processed; i++)
		names = without_part(names, SPI_getvalue(SPI_tuptable->vals[i],
												 SPI_tuptable->tupdesc, 1));
	SPI_finish();
	MemoryContextSwitchTo(context);
	return names;
}

typedef struct Visit
{
	int			node_id;
	List	   *seen;			/* names that may not be prepared anywhere */
	int			settled;		/* -1: the node can't be asked */
} Visit;

/*
 * Settles what is on a node.  What is prepared there, by whomever, is taken off
 * the list.
 */
static void
settle_on(void *arg)
{
	Visit	   *visit = arg;
	ShoalConn  *conn = shoal_remote_conn_separate(visit->node_id);
	PGresult   *res;
	List	   *gids = NIL;
	ListCell   *lc;
	int			settled = 0;

	res = shoal_remote_query(conn, "SELECT gid FROM pg_catalog.pg_prepared_xacts"
							 " WHERE database = pg_catalog.current_database()"
							 " AND gid LIKE 'shoal\\_%'", NULL);
	for (int i = 0; i < PQntuples(res); i++)
		gids = lappend(gids, pstrdup(PQgetvalue(res, i, 0)));
	PQclear(res);
	foreach(lc, gids)
	{
		visit->seen = without_part(visit->seen, lfirst(lc));
		settled += settle(conn, lfirst(lc)) ? 1 : 0;
	}
	shoal_remote_close(conn);
	visit->settled = settled;
}

/* The same; a node that gives an error is left alone. */
static void
try_settle_on(Visit *visit)
{
	ErrorData  *error;

	visit->settled = -1;
	error = shoal_server_try(settle_on, visit);
	if (error && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	if (error)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not settle prepared transactions on node %d",
						visit->node_id),
				 errdetail_internal("%s", error->message)));
}

/*
 * Settles prepared transactions of this coordinator on all nodes; returns how
 * many.  *all is false if a node could not be reached.
 */
int
xact_recover(bool *all)
{
	List	   *records = NIL;
	Visit		visit;
	ListCell   *lc;
	int			settled = 0;

	*all = true;
	xact_health_save();

	/*
	 * If this node was given up, or is about to be, others settle what it has
	 * prepared.
	 */
	if (!shoal_health_has_lease())
	{
		*all = false;
		return 0;
	}

	/*
	 * What is recorded, and not under way any more, before the nodes are asked
	 * has no need of its record afterwards.
	 */
	foreach(lc, xact_record_list())
	{
		uint64		fxid;

		if (is_left(lfirst(lc), &fxid))
			records = lappend(records, lfirst(lc));
	}
	/* so it is with what was committed here, if all nodes can be asked */
	visit.seen = xact_seen_list_left();
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (node->is_local)
			continue;
		visit.node_id = node->node_id;
		try_settle_on(&visit);
		if (visit.settled < 0)
			*all = false;
		else
			settled += visit.settled;
	}
	foreach(lc, records)
	{
		const ShoalNode *node = shoal_meta_node(xact_node_of_gid(lfirst(lc)));

		/* one that was given up has to be told when it comes back */
		if (!*all || (node && !node->is_active))
			records = foreach_delete_current(records, lc);
	}
	xact_record_delete(records);
	if (visit.seen != NIL && *all &&
		list_length(shoal_meta_nodes()) == list_length(shoal_meta_all_nodes()))
		xact_seen_delete(without_parts_here(visit.seen));
	return settled;
}

/* shoal.recover_prepared_transactions() */
Datum
shoal_recover_prepared_transactions(PG_FUNCTION_ARGS)
{
	bool		all;

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to settle prepared transactions")));
	xact_check_identity();
	PG_RETURN_INT32(xact_recover(&all));
}
