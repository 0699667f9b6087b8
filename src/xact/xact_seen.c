/*
 * xact_seen.c
 *		What has been committed here, for when its coordinator is lost.
 *
 * When a coordinator is given up, the others commit what it has prepared if a
 * part of it has been committed anywhere (ops_failover.c).  So each node knows
 * what it has committed, even if it was restarted: before a part is prepared,
 * its name is written to shoal.last_commit in the part's own transaction, and
 * can be seen from the moment when that is committed, not earlier.
 *
 * A session of a coordinator's begins a transaction when the one before is over
 * on all nodes; so one row is enough for each of its connections, and is
 * overwritten (xact_rows.c).  Where that is not so the coordinator changes the
 * session's number in the names.
 *
 * Rows of sessions that have ended are deleted along with recovery
 * (xact_recover.c), when no node has a part of the transaction prepared.  While
 * nodes are given up, nobody knows that, and they stay.
 *
 * Only for coordinators that are watched; they say so in the names.  And not for
 * a transaction that has no part anywhere else.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

static XactRow last = {0};		/* committed */
static XactRow next = {0};		/* prepared */

static bool
is_same_session(const char *a, const char *b)
{
	int			node_a;
	int			node_b;
	int			pid_a;
	int			pid_b;
	uint64		session_a;
	uint64		session_b;

	return xact_gid_session(a, &node_a, &pid_a, &session_a) &&
		xact_gid_session(b, &node_b, &pid_b, &session_b) &&
		node_a == node_b && pid_a == pid_b && session_a == session_b;
}

void
xact_seen_prepare(const char *gid)
{
	Relation	rel;

	if (!shoal_xact_gid_has(gid, SHOAL_GID_WATCHED) || strlen(gid) >= GIDSIZE ||
		shoal_xact_gid_parts(gid) == 1)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	rel = xact_rows_open("last_commit", RowExclusiveLock);
	xact_row_put(rel, is_same_session(gid, last.gid) ? &last : NULL, gid, &next);
	table_close(rel, NoLock);
	PopActiveSnapshot();
}

void
xact_seen_commit(const char *gid)
{
	if (strcmp(gid, next.gid) == 0)
		last = next;
}

bool
xact_seen_has(const char *gid)
{
	ListCell   *lc;

	foreach(lc, xact_rows_list("last_commit"))
	{
		if (shoal_xact_gid_is_same(gid, lfirst(lc)))
			return true;
	}
	return false;
}

/* Names of the rows that no session will overwrite. */
List *
xact_seen_list_left(void)
{
	List	   *gids = xact_rows_list("last_commit");
	ListCell   *lc;

	foreach(lc, gids)
	{
		int			node_id;
		int			pid;
		uint64		session;

		if (xact_gid_session(lfirst(lc), &node_id, &pid, &session) &&
			xact_has_session(node_id, pid))
			gids = foreach_delete_current(gids, lc);
	}
	return gids;
}

void
xact_seen_delete(List *gids)
{
	xact_rows_delete("last_commit", gids);
}
