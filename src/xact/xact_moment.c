/*
 * xact_moment.c
 *		Coordinator side: taking the snapshots of several nodes at one moment.
 *
 * That is what a statement does that may not be run twice, or was run in vain
 * without (xact_calm.c).  Opening a moment holds the gates of all nodes
 * (xact_gate.c), which takes one round trip.  Then each node that will be read is
 * sent a command that takes a snapshot (xact_snapshot.c), mostly together with
 * the statement's fragment.
 * The moment is closed when all have said that they have it.
 *
 * A moment is over at the latest when the transaction or subtransaction that
 * opened it ends.  While something that may be half committed lies around,
 * since a coordinator crashed or lost a node, each node is asked whether it has
 * such a thing; then the moment is tried again until recovery has settled it.
 *
 * Snapshots that are needed beyond one group of messages are kept by the nodes
 * for the rest of their transaction, or until no statement here needs one as
 * old (shoal_moment_drop).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

PG_FUNCTION_INFO_V1(shoal_internal_gate_prepared);

/* milliseconds between looks at a transaction in doubt */
#define DOUBT_SLEEP		50

/* of a moment; the oldest one that is needed */
#define SNAPSHOT_CALL	XACT_INTERNAL_CALL "snapshot($1, $2)"

/* the moment under way */
static uint64 open_moment = 0;
static int	open_level = 0;		/* nesting level of its (sub)transaction */
static List *awaited = NIL;		/* ShoalConn *, which will say that they have
								 * their snapshot; TopTransactionContext */

/* moments whose snapshots are still needed */
typedef struct HeldMoment
{
	uint64		moment;
	int			level;
} HeldMoment;

static List *held = NIL;		/* HeldMoment *, TopTransactionContext */

/* the transaction's one moment, in REPEATABLE READ */
static bool transaction_moment = false;

/* ---- transactions in doubt ---- */

/*
 * The names, with commas between them, of what those coordinators (ids, likewise)
 * have prepared here; NULL if there is none.
 */
static char *
prepared_here(const char *ids)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *gids;
	char	   *sql = psprintf("SELECT pg_catalog.string_agg(gid, ',')"
							   " FROM pg_catalog.pg_prepared_xacts"
							   " WHERE database = pg_catalog.current_database()"
							   " AND gid ~ '^shoal_[0-9]+_'"
							   " AND pg_catalog.split_part(gid, '_', 2) = ANY ("
							   "pg_catalog.string_to_array(%s, ','))",
							   quote_literal_cstr(ids));

	SPI_connect();
	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read prepared transactions");
	gids = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (gids)
		gids = MemoryContextStrdup(context, gids);
	SPI_finish();
	return gids;
}

/* shoal.internal_gate_prepared(coordinators) */
Datum
shoal_internal_gate_prepared(PG_FUNCTION_ARGS)
{
	char	   *gids;

	shoal_xact_check_internal();
	gids = prepared_here(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (gids == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(gids));
}

/* Calls a function of that kind on another node: its value, NULL if null. */
static char *
call_there(int node_id, const char *function, const char *argument)
{
	char	   *sql = psprintf(XACT_INTERNAL_CALL "%s(%s)", function,
							   quote_literal_cstr(argument));
	PGresult   *res = shoal_remote_query(shoal_xact_conn_outside(node_id), sql,
										 NULL);
	char	   *value = PQgetisnull(res, 0, 0) ? NULL : pstrdup(PQgetvalue(res, 0, 0));

	PQclear(res);
	return value;
}

/* Whether one of the coordinators has left one of those behind. */
static bool
any_left(const char *ids, const char *gids)
{
	char	   *rest = pstrdup(ids);
	char	   *id;

	while ((id = strsep(&rest, ",")) != NULL)
	{
		int			node_id = atoi(id);

		if (node_id == shoal_meta_local_node_id() ? xact_any_left(gids) :
			shoal_remote_is_down(node_id) ? xact_any_of(node_id, gids) :
			call_there(node_id, "gate_left", gids)[0] == 't')
			return true;
	}
	return false;
}

/* The node where something is in doubt, 0 if there is none. */
static int
node_in_doubt(List *node_ids, const char *ids)
{
	ListCell   *lc;

	foreach(lc, node_ids)
	{
		int			node_id = lfirst_int(lc);
		char	   *gids;

		if (node_id == shoal_meta_local_node_id())
			gids = prepared_here(ids);
		else
			gids = call_there(node_id, "gate_prepared", ids);
		if (gids && any_left(ids, gids))
			return node_id;
	}
	return 0;
}

static void
sleep_in_doubt(int node_id, TimestampTz deadline)
{
	if (GetCurrentTimestamp() > deadline)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a transaction is in doubt on node %d", node_id),
				 errdetail("It is prepared there, and whether it is committed elsewhere is not known."),
				 errhint("It is settled when its coordinator runs and reaches that node; look at the view shoal.transactions_in_doubt.")));
	shoal_server_pause(DOUBT_SLEEP);
}

/* ---- opening and closing ---- */

/*
 * Connections to all other nodes, on which nothing has to be waited for.  Those
 * whose server is down coordinate nothing; their ids are appended to the text.
 */
static List *
settled_conns(StringInfo down)
{
	List	   *conns = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (node->is_local)
			continue;
		if (shoal_remote_is_down(node->node_id))
			appendStringInfo(down, "%s%d", down->len ? "," : "", node->node_id);
		else
			conns = lappend(conns, shoal_xact_conn_outside(node->node_id));
	}
	/* settling one may use another */
	foreach(lc, conns)
		shoal_remote_settle(lfirst(lc));
	return conns;
}

/* Holds all gates; appends the ids of nodes that are not sure of all theirs. */
static void
hold_gates(uint64 moment, List *conns, StringInfo doubtful)
{
	static const char sql[] = XACT_INTERNAL_CALL "gate_hold($1, $2)";
	int			here = shoal_meta_local_node_id();
	Oid			types[] = {INT4OID, INT8OID};
	char	   *values[2];
	int			formats[] = {0, 0};
	ShoalParams params = {2, types, values, NULL, formats};
	List	   *requests = NIL;
	ListCell   *lc;

	values[0] = psprintf("%d", here);
	values[1] = psprintf(UINT64_FORMAT, moment);
	foreach(lc, conns)
		requests = lappend(requests,
						   shoal_remote_send(lfirst(lc), sql, &params,
											 SHOAL_SEND_CACHE | SHOAL_SEND_HELD));
	xact_gate_hold(here, moment);
	if (xact_gate_is_in_doubt(xact_gate()))
		appendStringInfo(doubtful, "%s%d", doubtful->len ? "," : "", here);
	foreach(lc, requests)
	{
		ShoalRequest *req = lfirst(lc);
		int			node_id = shoal_remote_request_conn(req)->node_id;
		PGresult   *res;

		while ((res = shoal_remote_next(req)) != NULL)
		{
			if (PQresultStatus(res) == PGRES_SINGLE_TUPLE &&
				PQgetvalue(res, 0, 0)[0] == 't')
				appendStringInfo(doubtful, "%s%d", doubtful->len ? "," : "",
								 node_id);
		}
	}
}

static void
close_moment(void)
{
	if (open_moment == 0)
		return;
	open_moment = 0;
	list_free(awaited);
	awaited = NIL;
	xact_gate_end_moment();
}

uint64
shoal_moment_open(List *node_ids)
{
	TimestampTz deadline = xact_gate_deadline();

	Assert(open_moment == 0);
	for (;;)
	{
		StringInfoData doubtful;
		List	   *conns;
		int			node_id;

		/*
		 * From here to the end of the moment nothing may wait but for waves:
		 * they wait for the moment, and whoever commits has locks.
		 */
		initStringInfo(&doubtful);
		conns = settled_conns(&doubtful);

		open_level = GetCurrentTransactionNestLevel();
		open_moment = xact_gate_begin_moment();
		hold_gates(open_moment, conns, &doubtful);
		if (doubtful.len == 0 ||
			(node_id = node_in_doubt(node_ids, doubtful.data)) == 0)
			return open_moment;
		close_moment();
		sleep_in_doubt(node_id, deadline);
	}
}

/* The oldest moment whose snapshots nodes have to keep. */
static uint64
oldest_needed(uint64 newest)
{
	uint64		oldest = newest;
	ListCell   *lc;

	foreach(lc, held)
		oldest = Min(oldest, ((HeldMoment *) lfirst(lc))->moment);
	return oldest;
}

void
shoal_moment_take(ShoalConn *conn)
{
	MemoryContext old;

	shoal_remote_queue_call(conn, SNAPSHOT_CALL, open_moment,
							oldest_needed(open_moment));
	conn->xact_moment = open_moment;
	old = MemoryContextSwitchTo(TopTransactionContext);
	awaited = lappend(awaited, conn);
	MemoryContextSwitchTo(old);
}

void
shoal_moment_close(void)
{
	char		number[24];
	ListCell   *lc;

	if (open_moment == 0)
		return;
	snprintf(number, sizeof(number), UINT64_FORMAT, open_moment);
	foreach(lc, awaited)
		shoal_remote_await_status(lfirst(lc), SHOAL_MOMENT_STATUS, number);
	close_moment();
}

void
shoal_moment_abandon(void)
{
	close_moment();
}

void
shoal_moment_use(ShoalConn *conn, uint64 moment)
{
	if (conn->xact_moment == moment)
		return;
	shoal_remote_queue(conn,
					   psprintf(XACT_INTERNAL_CALL "snapshot_use(" UINT64_FORMAT ")",
								moment));
	conn->xact_moment = moment;
}

void
shoal_moment_share(ShoalConn *from, ShoalConn *to, uint64 moment)
{
	char	   *data;
	PGresult   *res;

	if (to->xact_moment == moment)
		return;
	res = shoal_remote_query(from,
							 psprintf(XACT_INTERNAL_CALL "snapshot_export(" UINT64_FORMAT ")",
									  moment), NULL);
	data = quote_literal_cstr(PQgetvalue(res, 0, 0));
	PQclear(res);
	shoal_remote_queue(to,
					   psprintf(XACT_INTERNAL_CALL "snapshot_import(" UINT64_FORMAT ", " UINT64_FORMAT ", %s)",
								moment, oldest_needed(moment), data));
	to->xact_moment = moment;
	to->xact_held = true;
}

/* The nodes that are not down. */
static List *
nodes_up(void)
{
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (node->is_local || !shoal_remote_is_down(node->node_id))
			ids = lappend_int(ids, node->node_id);
	}
	return ids;
}

/* Nodes that will have a snapshot called a moment's, in a transaction that is open there. */
static List *
join_nodes(List *ids, uint64 moment)
{
	List	   *conns = NIL;
	ListCell   *lc;

	foreach(lc, ids)
	{
		ShoalConn  *conn;

		if (lfirst_int(lc) == shoal_meta_local_node_id())
			continue;
		conn = shoal_xact_conn(lfirst_int(lc), SHOAL_JOIN_BLOCK);
		conn->xact_moment = moment;
		conns = lappend(conns, conn);
	}
	return conns;
}

/* Sends the call that takes a snapshot on a node; on its end nobody waits yet. */
static ShoalRequest *
send_snapshot(ShoalConn *conn, uint64 moment, int flags)
{
	Oid		   *types = palloc(sizeof(Oid) * 2);
	char	  **values = palloc(sizeof(char *) * 2);
	ShoalParams *params = palloc(sizeof(ShoalParams));

	*params = (ShoalParams) {2, types, values, NULL, palloc0(sizeof(int) * 2)};
	types[0] = types[1] = INT8OID;
	values[0] = psprintf(UINT64_FORMAT, moment);
	values[1] = psprintf(UINT64_FORMAT, oldest_needed(moment));
	return shoal_remote_send(conn, SNAPSHOT_CALL, params, SHOAL_SEND_CACHE | flags);
}

/* Waits for it; its one row says nothing. */
static void
await_snapshot(ShoalRequest *req, void *arg)
{
	while (shoal_remote_next(req) != NULL)
		continue;
}

/* Takes snapshots on nodes. */
static List *
take_on(List *ids, uint64 moment)
{
	List	   *conns = join_nodes(ids, moment);
	List	   *requests = NIL;
	ListCell   *lc;

	foreach(lc, conns)
		requests = lappend(requests,
						   send_snapshot(lfirst(lc), moment,
										 open_moment != 0 ? SHOAL_SEND_HELD : 0));
	foreach(lc, requests)
		await_snapshot(lfirst(lc), NULL);
	return conns;
}

static List *
take_everywhere(void)
{
	List	   *ids = nodes_up();

	return take_on(ids, shoal_moment_open(ids));
}

/* The snapshots of connections are needed for several statements. */
static uint64
keep(List *conns, uint64 moment)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	HeldMoment *entry = palloc(sizeof(HeldMoment));
	ListCell   *lc;

	entry->moment = moment;
	entry->level = GetCurrentTransactionNestLevel();
	held = lappend(held, entry);
	MemoryContextSwitchTo(old);
	foreach(lc, conns)
		((ShoalConn *) lfirst(lc))->xact_held = true;
	return moment;
}

/* A number for snapshots that are not taken at a moment. */
static uint64
next_number(void)
{
	uint64		number = xact_gate_begin_moment();

	xact_gate_end_moment();
	return number;
}

/* In the hope that no moment is needed: 0 if it was in vain. */
static uint64
hold_calmly(ShoalOwnSnapshot own, void *arg)
{
	List	   *ids = nodes_up();
	ShoalCalm  *calm = xact_calm_begin(list_delete_int(list_copy(ids),
													   shoal_meta_local_node_id()));
	uint64		number;
	List	   *conns;

	if (calm == NULL)
		return 0;
	number = next_number();
	conns = take_on(ids, number);
	return shoal_calm_holds(calm, own(arg)) ? keep(conns, number) : 0;
}

uint64
shoal_moment_hold(ShoalOwnSnapshot own, void *arg)
{
	uint64		moment = hold_calmly(own, arg);

	if (moment == 0)
	{
		List	   *conns = take_everywhere();

		moment = keep(conns, open_moment);
		(void) own(arg);
		shoal_moment_close();
	}
	return moment;
}

/* ---- snapshots that travel with what reads first ---- */

struct ShoalHope
{
	ShoalCalm  *calm;
	uint64		moment;
	Snapshot	own;
	List	   *conns;			/* ShoalConn * of all other nodes */
	MemoryContext cxt;			/* where this is */
};

/* the one whose snapshots have not been sent to all nodes, or NULL */
static ShoalHope *unsent = NULL;

ShoalHope *
shoal_hope_begin(ShoalOwnSnapshot own, void *arg)
{
	List	   *ids = nodes_up();
	ShoalCalm  *calm = xact_calm_begin(list_delete_int(list_copy(ids),
													   shoal_meta_local_node_id()));
	ShoalHope  *hope;
	ListCell   *lc;

	if (calm == NULL)
		return NULL;
	hope = palloc(sizeof(ShoalHope));
	hope->calm = calm;
	hope->cxt = CurrentMemoryContext;
	hope->moment = next_number();
	hope->conns = join_nodes(ids, hope->moment);
	foreach(lc, hope->conns)
		shoal_remote_queue_call(lfirst(lc), SNAPSHOT_CALL, hope->moment,
								oldest_needed(hope->moment));
	keep(hope->conns, hope->moment);
	hope->own = own(arg);
	unsent = hope;
	return hope;
}

uint64
shoal_hope_moment(const ShoalHope *hope)
{
	return hope->moment;
}

void
shoal_hope_send_rest(uint64 moment)
{
	ShoalHope  *hope = unsent;
	MemoryContext old;
	ListCell   *lc;

	if (hope == NULL || hope->moment != moment)
		return;
	unsent = NULL;
	old = MemoryContextSwitchTo(hope->cxt);
	foreach(lc, hope->conns)
	{
		if (shoal_remote_unqueue_call(lfirst(lc)))
			shoal_remote_on_absorb(send_snapshot(lfirst(lc), moment, 0),
								   await_snapshot, NULL);
	}
	MemoryContextSwitchTo(old);
}

bool
shoal_hope_holds(ShoalHope *hope)
{
	shoal_hope_send_rest(hope->moment);
	return shoal_calm_holds(hope->calm, hope->own);
}

uint64
shoal_moment_hold_apart(void)
{
	uint64		number = next_number();

	return keep(take_on(nodes_up(), number), number);
}

void
shoal_moment_drop(uint64 moment)
{
	ListCell   *lc;

	foreach(lc, held)
	{
		HeldMoment *entry = lfirst(lc);

		if (entry->moment == moment)
		{
			held = foreach_delete_current(held, lc);
			pfree(entry);
		}
	}
	if (held != NIL)
		return;
	foreach(lc, xact_open_conns())
		((ShoalConn *) lfirst(lc))->xact_held = false;
}

/* A node that joins later has none of the snapshots that the transaction has taken. */
void
xact_moment_check_join(const ShoalConn *conn)
{
	if (transaction_moment && open_moment == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("node %d was down when the transaction took its snapshots",
						conn->node_id),
				 errhint("Run the transaction again.")));
}

bool
shoal_moment_wanted(void)
{
	return shoal_consistent_reads && shoal_moment_needed();
}

bool
shoal_moment_needed(void)
{
	return XactIsoLevel <= XACT_READ_COMMITTED &&
		open_moment == 0 && shoal_origin == 0 && !shoal_meta_is_alone();
}

bool
shoal_moment_of_transaction(void)
{
	if (transaction_moment || xact_export_is_imported() || !shoal_consistent_reads ||
		XactIsoLevel != XACT_REPEATABLE_READ || open_moment != 0 ||
		shoal_origin != 0 || shoal_meta_is_alone())
		return false;
	transaction_moment = true;
	(void) take_everywhere();
	xact_snapshot_renew_transaction();
	shoal_moment_close();
	return true;
}

/* ---- transactions ---- */

void
xact_moment_end_sub(int level, bool commit)
{
	ListCell   *lc;

	if (!commit && open_moment != 0 && open_level >= level)
		close_moment();
	if (!commit)
		unsent = NULL;
	foreach(lc, held)
	{
		HeldMoment *entry = lfirst(lc);

		if (entry->level < level)
			continue;
		if (commit)
			entry->level = level - 1;
		else
			held = foreach_delete_current(held, lc);
	}
}

void
xact_moment_reset(void)
{
	close_moment();
	held = NIL;
	unsent = NULL;
	transaction_moment = false;
}
