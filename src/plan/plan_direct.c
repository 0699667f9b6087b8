/*
 * plan_direct.c
 *		Plans that are one fragment and nothing else.
 *
 * The plan holds neither shard nor node; both are worked out when it starts,
 * so it can be kept for any parameters.  Its range table has one entry that
 * names the fragment's columns, and the query's tables for locks, rights and
 * invalidation.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planmain.h"

#include "base/base_compat.h"
#include "plan/plan_direct.h"
#include "plan/plan_part.h"

PlannedStmt *
shoal_direct_plan(Query *query, const ShoalFragment *frag, int cursor_options)
{
	PlannedStmt *stmt = makeNode(PlannedStmt);
	RangeTblEntry *rte;
	CustomScan *cscan;
	List	   *names;
	List	   *types;
	List	   *typmods;
	List	   *collations;
	ShoalPart	part = {0};
	ShoalPlanning planning = {0};

	planning.outer = shoal_planning;
	shoal_planning = &planning;
	PG_TRY();
	{
		shoal_part_note_tables(query);
		shoal_part_columns(query->commandType == CMD_SELECT ?
						   query->targetList : query->returningList,
						   &names, &types, &typmods, &collations);
		rte = shoal_part_make_rte(&part, names, types, typmods, collations);
		cscan = shoal_part_make_scan(frag, 1, names, types, typmods, collations);

		/* of the same order as core's for one row by an index */
		cscan->scan.plan.total_cost = frag->single_shard ? 10 : 1000;
		cscan->scan.plan.plan_rows = frag->single_shard ? 1 : 1000;

		stmt->commandType = query->commandType;
		stmt->queryId = query->queryId;
		stmt->hasReturning = (query->returningList != NIL);
		stmt->hasModifyingCTE = query->hasModifyingCTE;
		stmt->canSetTag = query->canSetTag;
		stmt->planTree = (Plan *) cscan;
		stmt->rtable = list_make1(rte);
		stmt->stmt_location = query->stmt_location;
		stmt->stmt_len = query->stmt_len;
		if (query->commandType == CMD_SELECT &&
			(cursor_options & CURSOR_OPT_SCROLL))
			stmt->planTree = materialize_finished_plan(stmt->planTree);
		shoal_part_finish(stmt);
	}
	PG_FINALLY();
	{
		shoal_planning = planning.outer;
	}
	PG_END_TRY();
	return stmt;
}
