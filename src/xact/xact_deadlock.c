/*
 * xact_deadlock.c
 *		Deadlocks over several nodes.
 *
 * When somebody has waited for a lock on this node for longer than
 * deadlock_timeout, and coordinators have sessions here, the launcher starts a
 * worker, which joins the wait graphs of all nodes.  The sessions that a
 * coordinator's backend has on nodes are that backend.  Nodes are asked one
 * after the other, so waits may seem to be there at the same time that were not;
 * therefore they are asked again, and a cycle counts only if each of its waits
 * was there both times, with the same start.  Waits shorter than
 * deadlock_timeout do not count: as on one server, who gives up earlier by
 * itself (ddl_lock.c) is part of no deadlock.  (Prepared transactions wait for
 * nobody.)
 *
 * The transaction of the cycle that began last is the victim.  Its backend is
 * told in its slot, woken, and gives the error itself: where it waits for
 * nodes (xact_victim_check), or, where it waits for a lock here, instead of
 * that of a cancelled statement.  Several nodes may find the same deadlock;
 * they choose the same victim.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/acl.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

/* milliseconds between the two looks */
#define SECOND_LOOK		100

/* a backend of a client, on its coordinator */
typedef struct Waiter
{
	int			node_id;
	int			pid;
} Waiter;

/* one waits for the other, on a node */
typedef struct WaitEdge
{
	Waiter		from;
	Waiter		to;
	int			node_id;		/* where */
	int			from_pid;		/* the sessions there */
	int			to_pid;
	char	   *since;			/* start of the wait and of the blocker's
								 * transaction */
	char	   *what;			/* for the message */
} WaitEdge;

#define WAIT_COLUMNS	8

static const char waits_query[] =
"/*shoal local*/ SELECT coordinator, coordinator_pid, blocker_coordinator,"
" blocker_coordinator_pid,"
" pg_catalog.concat(since, ' ', blocker_since), lock, pid, blocker_pid"
" FROM shoal.node_lock_waits"
" WHERE since <= pg_catalog.clock_timestamp()"
" - pg_catalog.current_setting('deadlock_timeout')::pg_catalog.interval";

/* ---- the graph ---- */

static WaitEdge *
make_edge(int node_id, char *const *row)
{
	WaitEdge   *edge = palloc(sizeof(WaitEdge));

	edge->from.node_id = atoi(row[0]);
	edge->from.pid = atoi(row[1]);
	edge->to.node_id = atoi(row[2]);
	edge->to.pid = atoi(row[3]);
	edge->node_id = node_id;
	edge->since = pstrdup(row[4]);
	edge->what = pstrdup(row[5]);
	edge->from_pid = atoi(row[6]);
	edge->to_pid = atoi(row[7]);
	return edge;
}

static List *
waits_here(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *edges = NIL;

	SPI_connect();
	if (SPI_execute(waits_query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read lock waits");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *row[WAIT_COLUMNS];
		MemoryContext spi;

		for (int j = 0; j < WAIT_COLUMNS; j++)
			row[j] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
								  j + 1);
		spi = MemoryContextSwitchTo(context);
		edges = lappend(edges, make_edge(shoal_meta_local_node_id(), row));
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return edges;
}

static List *
waits_there(int node_id, List *edges)
{
	PGresult   *res = shoal_remote_query(shoal_remote_conn(node_id),
										 waits_query, NULL);

	for (int i = 0; i < PQntuples(res); i++)
	{
		char	   *row[WAIT_COLUMNS];

		for (int j = 0; j < WAIT_COLUMNS; j++)
			row[j] = PQgetvalue(res, i, j);
		edges = lappend(edges, make_edge(node_id, row));
	}
	PQclear(res);
	return edges;
}

/* All waits of the cluster (List of WaitEdge *). */
static List *
collect_waits(void)
{
	List	   *edges = waits_here();
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (!node->is_local)
			edges = waits_there(node->node_id, edges);
	}
	return edges;
}

static bool
same_waiter(Waiter a, Waiter b)
{
	return a.node_id == b.node_id && a.pid == b.pid;
}

/* The waits of the second list that are in the first one, too. */
static List *
lasting_waits(List *first, List *second)
{
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, second)
	{
		WaitEdge   *edge = lfirst(lc);

		foreach(lc2, first)
		{
			WaitEdge   *old = lfirst(lc2);

			if (old->node_id == edge->node_id &&
				same_waiter(old->from, edge->from) &&
				same_waiter(old->to, edge->to) &&
				strcmp(old->since, edge->since) == 0)
			{
				result = lappend(result, edge);
				break;
			}
		}
	}
	return result;
}

/*
 * Follows waits from the end of the path; the path is the cycle if that leads
 * back to its start.  seen: waits that lead nowhere.
 */
static bool
follow(List *edges, List **path, List **seen)
{
	WaitEdge   *first = linitial(*path);
	WaitEdge   *last = llast(*path);
	ListCell   *lc;

	if (same_waiter(last->to, first->from))
		return true;
	foreach(lc, edges)
	{
		WaitEdge   *edge = lfirst(lc);

		if (!same_waiter(edge->from, last->to) ||
			list_member_ptr(*seen, edge) || list_member_ptr(*path, edge))
			continue;
		*path = lappend(*path, edge);
		if (follow(edges, path, seen))
			return true;
		*path = list_delete_last(*path);
		*seen = lappend(*seen, edge);
	}
	return false;
}

/*
 * Whether core sees a cycle itself: it is one of sessions of one node.  A
 * backend may have several sessions there, of which one waits for another.
 */
static bool
is_seen_by_core(List *cycle)
{
	WaitEdge   *last = llast(cycle);
	ListCell   *lc;

	foreach(lc, cycle)
	{
		WaitEdge   *edge = lfirst(lc);

		if (edge->node_id != last->node_id || edge->from_pid != last->to_pid)
			return false;
		last = edge;
	}
	return true;
}

/* A cycle that core does not see (List of WaitEdge *), NIL if there is none. */
static List *
find_cycle(List *edges)
{
	ListCell   *lc;

	foreach(lc, edges)
	{
		List	   *path = list_make1(lfirst(lc));
		List	   *seen = NIL;

		if (follow(edges, &path, &seen) && !is_seen_by_core(path))
			return path;
	}
	return NIL;
}

/* ---- the victim ---- */

/* What a coordinator says of one of its backends; NULL: it has none. */
typedef struct WaiterState
{
	char	   *began;			/* microseconds */
	char	   *role;
	char	   *query;
} WaiterState;

static WaiterState *
state_of(Waiter waiter)
{
	char	   *sql = psprintf("/*shoal local*/ SELECT"
							   " (extract(epoch FROM xact_start) * 1000000)::bigint,"
							   " usename, query FROM pg_catalog.pg_stat_activity"
							   " WHERE pid = %d AND xact_start IS NOT NULL",
							   waiter.pid);
	MemoryContext context = CurrentMemoryContext;
	WaiterState *state = NULL;

	if (waiter.node_id != shoal_meta_local_node_id())
	{
		PGresult   *res = shoal_remote_query(shoal_remote_conn(waiter.node_id),
											 sql, NULL);

		if (PQntuples(res) == 1)
		{
			state = palloc(sizeof(WaiterState));
			state->began = pstrdup(PQgetvalue(res, 0, 0));
			state->role = pstrdup(PQgetvalue(res, 0, 1));
			state->query = pstrdup(PQgetvalue(res, 0, 2));
		}
		PQclear(res);
		return state;
	}
	SPI_connect();
	if (SPI_execute(sql, true, 1) == SPI_OK_SELECT && SPI_processed == 1)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		state = MemoryContextAlloc(context, sizeof(WaiterState));
		state->began = MemoryContextStrdup(context, SPI_getvalue(tuple, desc, 1));
		state->role = MemoryContextStrdup(context, SPI_getvalue(tuple, desc, 2));
		state->query = MemoryContextStrdup(context, SPI_getvalue(tuple, desc, 3));
	}
	SPI_finish();
	return state;
}

/*
 * The detail of the victim's error.  It names statements only of the victim's
 * own role: others' are not for its eyes, unless it is a superuser.
 */
static char *
describe(List *cycle, WaiterState **states, int victim)
{
	StringInfoData buf;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&buf);
	foreach(lc, cycle)
	{
		WaitEdge   *edge = lfirst(lc);

		appendStringInfo(&buf, "%sProcess %d of node %d waits for %s on node %d; blocked by process %d of node %d.",
						 buf.len ? "\n" : "", edge->from.pid,
						 edge->from.node_id, edge->what, edge->node_id,
						 edge->to.pid, edge->to.node_id);
	}
	foreach(lc, cycle)
	{
		WaitEdge   *edge = lfirst(lc);
		WaiterState *state = states[i++];

		if (strcmp(state->role, states[victim]->role) == 0 ||
			superuser_arg(get_role_oid(states[victim]->role, false)))
			appendStringInfo(&buf, "\nProcess %d of node %d: %s", edge->from.pid,
							 edge->from.node_id, state->query);
	}
	return buf.data;
}

/* False if it can't be told: it uses no other node, or has gone. */
static bool
tell_victim(Waiter victim, WaiterState *state, const char *detail)
{
	PGresult   *res;
	bool		told;

	if (victim.node_id == shoal_meta_local_node_id())
		return xact_victim_tell(victim.pid, strtoi64(state->began, NULL, 10),
								detail);
	res = shoal_remote_query(shoal_remote_conn(victim.node_id),
							 psprintf(XACT_INTERNAL_CALL "victim(%d, %s, %s)",
									  victim.pid, state->began,
									  quote_literal_cstr(detail)), NULL);
	told = PQgetvalue(res, 0, 0)[0] == 't';
	PQclear(res);
	return told;
}

static void
break_cycle(List *cycle)
{
	int			n = list_length(cycle);
	WaiterState **states = palloc(sizeof(WaiterState *) * n);
	bool	   *tried = palloc0(sizeof(bool) * n);
	int			i = 0;
	ListCell   *lc;

	foreach(lc, cycle)
	{
		WaiterState *state = state_of(((WaitEdge *) lfirst(lc))->from);

		/* somebody has gone: it is broken */
		if (state == NULL)
			return;
		states[i++] = state;
	}
	for (;;)
	{
		int			victim = -1;

		for (i = 0; i < n; i++)
		{
			if (!tried[i] &&
				(victim < 0 || strtoi64(states[i]->began, NULL, 10) >
				 strtoi64(states[victim]->began, NULL, 10)))
				victim = i;
		}
		if (victim < 0 ||
			tell_victim(((WaitEdge *) list_nth(cycle, victim))->from,
						states[victim], describe(cycle, states, victim)))
			return;
		tried[victim] = true;
		/* perhaps another node has found the same victim, and it is over */
		if (list_length(lasting_waits(cycle, collect_waits())) < n)
			return;
	}
}

/* In the worker, in a transaction, as the extension's owner. */
void
xact_deadlock_check(void)
{
	List	   *first = collect_waits();

	if (find_cycle(first) == NIL)
		return;
	pg_usleep(SECOND_LOOK * 1000L);
	for (List *edges = lasting_waits(first, collect_waits());;)
	{
		List	   *cycle = find_cycle(edges);
		ListCell   *lc;

		if (cycle == NIL)
			break;
		break_cycle(cycle);
		/* one victim for each */
		foreach(lc, cycle)
			edges = list_delete_ptr(edges, lfirst(lc));
	}
}

/* ---- in the launcher ---- */

/*
 * Marks gates in whose databases somebody has waited for a lock too long, while
 * coordinators have sessions there.
 */
void
xact_deadlock_look(void)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < MaxBackends; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		TimestampTz since = (TimestampTz) pg_atomic_read_u64(&proc->waitStart);
		Oid			dbid = proc->databaseId;

		if (since == 0 || !OidIsValid(dbid) ||
			!TimestampDifferenceExceeds(since, now, DeadlockTimeout))
			continue;
		for (int j = 0; j < XACT_MAX_GATES; j++)
		{
			XactGate   *gate = &xact_shared->gates[j];

			if (gate->dbid == dbid && gate->coordinated)
				gate->waits = true;
		}
	}
}
