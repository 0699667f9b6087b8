/*
 * scope_snapshot.c
 *		Snapshots that are older than a copy of a shard.
 *
 * A copy that was made after a snapshot was taken has rows that the snapshot does
 * not show, as they were stored here later.  The same goes for one that has been
 * made the primary since: what somebody may have read from the primary before it is
 * shown here only when those who took over have settled it.  So nothing here is
 * read from a copy whose placement has changed since; whoever can takes a
 * new snapshot, the others fail.
 *
 * All that a copy has to have is there before the transaction that changes its
 * placement gets its id on this node.  So a snapshot taken after that is good
 * enough, even if it does not see the change yet.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "meta/meta.h"
#include "scope/scope.h"

static bool
began_before(TransactionId xid, Snapshot snapshot)
{
	return !TransactionIdIsNormal(xid) ||
		TransactionIdPrecedes(xid, snapshot->xmax);
}

bool
shoal_scope_is_older(Snapshot snapshot, const ShoalGroup *group,
					 const Bitmapset *shards)
{
	int			local;

	/* nearly always */
	if (began_before(group->newest, snapshot))
		return false;
	local = shoal_meta_local_node_id();
	for (int i = 0; i < group->ncopies; i++)
	{
		const ShoalCopy *copy = &group->copies[i];

		/* a copy that is being made has not been read before, and is not now */
		if (copy->node_id == local && copy->state != SHOAL_COPY_STALE &&
			copy->state != SHOAL_COPY_COPYING &&
			!began_before(copy->xmin, snapshot) &&
			(shards == NULL || bms_is_member(copy->shard, shards)) &&
			!TransactionIdIsCurrentTransactionId(copy->xmin))
			return true;
	}
	return false;
}

/* The shards of a group that a plan names; NULL if it does not. */
static Bitmapset *
shards_of_plan(const PlannedStmt *stmt, const char *text, int group_id)
{
	Bitmapset  *shards = NULL;
	ShoalScope	scope;
	ListCell   *lc;

	if (shoal_scope_parse(text, &scope) && scope.group_id == group_id)
		return scope.shards;
	foreach(lc, stmt->relationOids)
	{
		int			of_group;
		int			shard;

		if (shoal_meta_is_shard_schema(get_rel_namespace(lfirst_oid(lc)),
									   &of_group, &shard) &&
			of_group == group_id)
			shards = bms_add_member(shards, shard);
	}
	return shards;
}

void
shoal_scope_check_snapshot(const PlannedStmt *stmt, const char *text,
						   Snapshot snapshot)
{
	ListCell   *lc;

	/* constants that name a table are among the plan's OIDs, but read nothing */
	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);
		const ShoalTable *table = rte->rtekind == RTE_RELATION ?
			shoal_meta_table(rte->relid) : NULL;
		const ShoalGroup *group;

		if (table == NULL || table->kind == SHOAL_KIND_REFERENCE)
			continue;
		group = shoal_meta_group(table->group_id);
		if (began_before(group->newest, snapshot) ||
			!shoal_scope_is_older(snapshot, group,
								  shards_of_plan(stmt, text, group->group_id)))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
				 errmsg(IsolationUsesXactSnapshot() ?
						"placements of group %d have changed since the transaction began" :
						"placements of group %d have changed since the statement began",
						group->group_id),
				 errhint("Try the transaction again.")));
	}
}
