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
 * overwritten.  Where that is not so the coordinator changes the session's number
 * in the names.
 * The table has no index and much room in its pages, so that the old versions
 * can be removed by the next look at the page.
 *
 * Rows of sessions that have ended are deleted along with recovery
 * (xact_recover.c), when no node has a part of the transaction prepared.  While
 * nodes are given up, nobody knows that, and they stay.
 *
 * Only for coordinators that are watched; they say so in the names.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

/* A row that this backend has written, and what is in it; empty: none. */
typedef struct SeenRow
{
	ItemPointerData tid;
	char		gid[GIDSIZE];
} SeenRow;

static SeenRow last = {0};		/* committed */
static SeenRow next = {0};		/* prepared */

static Relation
open_seen(LOCKMODE mode)
{
	return table_open(get_relname_relid("last_commit",
										get_namespace_oid("shoal", false)),
					  mode);
}

static char *
gid_of(Relation rel, HeapTuple tuple)
{
	bool		isnull;

	return TextDatumGetCString(heap_getattr(tuple, 1, RelationGetDescr(rel),
											&isnull));
}

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

/* Whether the session's row is where it was. */
static bool
is_there(Relation rel)
{
	HeapTupleData tuple;
	Buffer		buffer;
	bool		found;

	if (ItemPointerGetBlockNumber(&last.tid) >= RelationGetNumberOfBlocks(rel))
		return false;
	buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(&last.tid));
	heap_page_prune_opt(rel, buffer);
	ReleaseBuffer(buffer);
	tuple.t_self = last.tid;
	if (!heap_fetch(rel, SnapshotSelf, &tuple, &buffer, false))
		return false;
	found = strcmp(gid_of(rel, &tuple), last.gid) == 0;
	ReleaseBuffer(buffer);
	return found;
}

void
xact_seen_prepare(const char *gid)
{
	Relation	rel;
	Datum		value = CStringGetTextDatum(gid);
	bool		null = false;
	HeapTuple	tuple;
	TM_FailureData failure;

	if (!shoal_xact_gid_has(gid, SHOAL_GID_WATCHED) || strlen(gid) >= GIDSIZE)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	rel = open_seen(RowExclusiveLock);
	tuple = heap_form_tuple(RelationGetDescr(rel), &value, &null);
	if (!is_same_session(gid, last.gid) || !is_there(rel) ||
		shoal_heap_update(rel, &last.tid, tuple, &failure) != TM_Ok)
		simple_heap_insert(rel, tuple);
	next.tid = tuple->t_self;
	strlcpy(next.gid, gid, sizeof(next.gid));
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
	Relation	rel = open_seen(AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = xact_gid_is_same(gid, gid_of(rel, tuple));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* Names of the rows that no session will overwrite. */
List *
xact_seen_list_left(void)
{
	Relation	rel = open_seen(AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *result = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		char	   *gid = gid_of(rel, tuple);
		int			node_id;
		int			pid;
		uint64		session;

		if (!xact_gid_session(gid, &node_id, &pid, &session) ||
			!xact_has_session(node_id, pid))
			result = lappend(result, gid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Deletes rows; those that somebody else is deleting are left to him. */
void
xact_seen_delete(List *gids)
{
	int			n = list_length(gids);
	char	  **names = palloc(sizeof(char *) * (n + 1));
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;

	if (n == 0)
		return;
	foreach(lc, gids)
		names[foreach_current_index(lc)] = lfirst(lc);
	qsort(names, n, sizeof(char *), compare_names);
	rel = open_seen(RowExclusiveLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		char	   *gid = gid_of(rel, tuple);
		TM_FailureData failure;

		if (bsearch(&gid, names, n, sizeof(char *), compare_names))
			(void) heap_delete(rel, &tuple->t_self, GetCurrentCommandId(true),
							   InvalidSnapshot, false, &failure, false);
		pfree(gid);
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
}
