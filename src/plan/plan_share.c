/*
 * plan_share.c
 *		Which fragments a node may run in several shares at once.
 *
 * Core has parallel plans for reading, but neither for writes nor for queries
 * with functions that are parallel-unsafe, as functions of users are if nobody
 * says otherwise.  Such a fragment can be sent over several connections, each
 * with some of the node's shards (exec_share.c).
 *
 * The shares are transactions of their own on their node, so they don't see
 * each other's changes, and if one had to wait for another's lock, it would for
 * ever.  Nothing that the text does by itself crosses shards; so fragments are
 * left alone that run code which may do anything: users' volatile functions,
 * triggers, policies.  What is changed and returned at once may be looked at
 * here before the statement ends, which is not for several transactions.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_share.h"

static bool
is_unknown_function(Oid funcid, void *context)
{
	return funcid >= FirstNormalObjectId &&
		func_volatile(funcid) == PROVOLATILE_VOLATILE;
}

/* Whether something besides the statement itself happens to the table. */
static bool
has_riders(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	TriggerDesc *triggers = rel->trigdesc;
	bool		result = rel->rd_rel->relrowsecurity;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		result |= !triggers->triggers[i].tgisinternal;
	table_close(rel, NoLock);
	return result;
}

/* True if there is something that forbids it; collects tables. */
static bool
forbids_walker(Node *node, List **relids)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_unknown_function, NULL))
		return true;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		const ShoalTable *table = rte->rtekind == RTE_RELATION ?
			shoal_meta_table(rte->relid) : NULL;

		if (table == NULL)
			return false;
		if (has_riders(rte->relid))
			return true;
		if (table->kind == SHOAL_KIND_DISTRIBUTED)
			*relids = list_append_unique_oid(*relids, rte->relid);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, forbids_walker,
								 (void *) relids, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, forbids_walker, (void *) relids);
}

List *
shoal_share_tables(Query *query, const ShoalShape *shape)
{
	List	   *relids = NIL;

	if (shape->kind != SHOAL_SHAPE_SHARDED || shape->single || shape->pin ||
		query->hasModifyingCTE || shoal_expr_locks_rows((Node *) query))
		return NIL;
	if (query->commandType == CMD_SELECT ?
		max_parallel_hazard(query) != PROPARALLEL_UNSAFE :
		query->returningList != NIL)
		return NIL;
	if (forbids_walker((Node *) query, &relids))
		return NIL;
	return relids;
}
