/*
 * xact_calm.c
 *		Snapshots of several nodes that agree without a moment.
 *
 * Most of the time no transaction is about to become visible on one node after
 * another, and a statement that reads several nodes need not hold their gates: it
 * is sent at once, each node takes its snapshot as it begins, and tells with its
 * rows whether all was calm.  If it was not, the rows are thrown away and the
 * statement is run again at a moment (xact_moment.c).
 *
 * A transaction that writes on several nodes is prepared on all of them, but for
 * its coordinator, before it is committed on any, on its coordinator first.  Each
 * server counts the commits of such parts, before they are visible.  It was calm on
 * a node if its snapshot sees no prepared transaction as still running, and if the
 * count is what the node had told before the statement was sent to any node.  If
 * it was calm on all of them, the snapshots show each transaction on all nodes
 * or on none.  For if one were visible on node A and not on B, it would have been
 * committed on A when A's snapshot was taken, so, A's count being the same, before
 * the statement was sent, thus before B's snapshot; on B it was prepared even before that,
 * or committed, if B is its coordinator.  B's snapshot would see it, or see it prepared.
 *
 * A node may have several parts of a transaction, written over several connections
 * (exec_share.c).  Its own snapshot shows all of them or none if it sees nothing
 * prepared as still running, since all are prepared before one is committed; no count
 * is needed for that.
 *
 * On the node: the fragment's marker says "calm".  Prepared transactions are looked
 * for where core has room for them, after the snapshot was taken.  One that has
 * ended meanwhile has left its id there, or another one has taken the place, which
 * the snapshot does not see either.  The count is looked at last.
 *
 * A count means nothing to another connection, since it begins anew when the server
 * does; so what was told before is what the connection knows.  Snapshots
 * of moments tell it, too.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "libpq/pqformat.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "xact/xact.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

/* after n attempts in vain the next 2^n statements don't try, up to this n */
#define MAX_FAILURES	6

struct ShoalCalm
{
	uint64		commits_here;
	int			n;
	ShoalConn **conns;
	char	  **told;			/* by each before */
};

static int	failures = 0;
static int	to_skip = 0;

/* ---- on a node ---- */

/*
 * A part of a transaction of several nodes is about to be committed here.  That
 * it then fails does not matter.
 */
void
xact_calm_count_commit(void)
{
	pg_atomic_fetch_add_u64(&xact_shared->commits, 1);
}

/* Whether the snapshot sees all that is prepared; and the count, read after that. */
static bool
look(Snapshot snapshot, uint64 *commits)
{
	bool		calm = true;

	/* whoever takes a place clears it first, with this lock held */
	LWLockAcquire(TwoPhaseStateLock, LW_SHARED);
	for (int i = 0; i < max_prepared_xacts && calm; i++)
	{
		TransactionId xid = PreparedXactProcs[i].xid;

		calm = !TransactionIdIsValid(xid) || !XidInMVCCSnapshot(xid, snapshot);
	}
	LWLockRelease(TwoPhaseStateLock);
	*commits = pg_atomic_read_u64(&xact_shared->commits);
	return calm;
}

bool
shoal_calm_is(Snapshot snapshot)
{
	uint64		commits;

	return look(snapshot, &commits);
}

void
xact_calm_tell(Snapshot snapshot)
{
	static uint32 times = 0;	/* so that no two messages are the same */
	StringInfoData buf;
	uint64		commits;
	bool		calm = look(snapshot, &commits);

	pq_beginmessage(&buf, 'S');
	pq_sendstring(&buf, SHOAL_CALM_STATUS);
	pq_sendstring(&buf, psprintf(UINT64_FORMAT " %s %u", commits,
								 calm ? "calm" : "doubt", ++times));
	pq_endmessage(&buf);
}

/* ---- on the coordinator ---- */

/* The same, for something that need not be thrown away. */
ShoalCalm *
xact_calm_begin(List *node_ids)
{
	ShoalCalm  *calm;
	ListCell   *lc;

	if (to_skip > 0)
	{
		to_skip--;
		return NULL;
	}
	calm = palloc(sizeof(ShoalCalm));
	calm->commits_here = pg_atomic_read_u64(&xact_shared->commits);
	calm->conns = palloc(sizeof(ShoalConn *) * list_length(node_ids));
	calm->told = palloc(sizeof(char *) * list_length(node_ids));
	calm->n = 0;
	foreach(lc, node_ids)
	{
		ShoalConn  *conn = shoal_xact_conn_outside(lfirst_int(lc));
		const char *told = PQparameterStatus(conn->pg, SHOAL_CALM_STATUS);

		if (told == NULL)
			return NULL;
		calm->conns[calm->n] = conn;
		calm->told[calm->n++] = pstrdup(told);
	}
	return calm;
}

ShoalCalm *
shoal_calm_begin(List *node_ids)
{
	ShoalCalm  *calm = xact_calm_begin(node_ids);

	for (int i = 0; calm && i < calm->n; i++)
		if (!shoal_remote_may_cancel(calm->conns[i]))
			return NULL;
	return calm;
}

/* Whether a node has said that it was calm, and nothing committed since before. */
static bool
was_calm(const char *before, const char *now)
{
	char	   *end;

	return now && strcmp(now, before) != 0 &&
		strtou64(now, &end, 10) == strtou64(before, NULL, 10) &&
		strncmp(end, " calm", 5) == 0;
}

bool
shoal_calm_holds(ShoalCalm *calm, Snapshot own)
{
	uint64		commits;
	bool		holds = own == NULL ||
		(look(own, &commits) && commits == calm->commits_here);

	for (int i = 0; i < calm->n && holds; i++)
	{
		ShoalConn  *conn = calm->conns[i];

		shoal_remote_await_change(conn, SHOAL_CALM_STATUS, calm->told[i]);
		holds = was_calm(calm->told[i],
						 PQparameterStatus(conn->pg, SHOAL_CALM_STATUS));
	}
	failures = holds ? 0 : Min(failures + 1, MAX_FAILURES);
	to_skip = holds ? 0 : 1 << failures;
	return holds;
}
