/*
 * exec_source.c
 *		The rows of a plan node's child, read ahead or as they are wanted.
 *
 * Reading the child may send fragments over the same connections as the node
 * that writes its rows, and these must not see what has been written.  If the
 * child has fragments, or calls functions that might run some, all its rows are
 * to be read into a tuplestore before any is sent.
 *
 * Unless it calls volatile functions of users that may look at tables: on one server
 * such a function sees the rows that the statement has written so far ("the greatest
 * number, and one more").  Then each row is written before the next one is asked for.
 * The child's own fragments use snapshots from before the first row, be it because
 * there are several and these are held (exec_statement.c), or because a single one
 * that runs once has been started for that row.  The rows that an UPDATE or DELETE is
 * about are all locked before, as a function may change them.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"
#include "plan/plan_expr.h"
#include "plan/plan_quiet.h"

static bool
find_fragment(PlanState *ps, void *context)
{
	if (IsA(ps, CustomScanState))
	{
		const char *name = ((CustomScanState *) ps)->methods->CustomName;

		if (strcmp(name, SHOAL_SCAN) == 0 || strcmp(name, SHOAL_INSERT) == 0)
			return true;
	}
	return planstate_tree_walker(ps, find_fragment, context);
}

/* Does it call functions that are not built in?  The planner notes all of them. */
static bool
calls_functions(PlanState *child)
{
	ListCell   *lc;

	foreach(lc, child->state->es_plannedstmt->invalItems)
	{
		if (((PlanInvalItem *) lfirst(lc))->cacheId == PROCOID)
			return true;
	}
	return false;
}

/* ---- does computing a row look at those before it? ---- */

/* What a node works out row by row; functions in FROM are done before the first row. */
static bool
find_curious(PlanState *ps, void *context)
{
	Plan	   *plan = ps->plan;
	bool		found = shoal_expr_calls((Node *) plan->targetlist,
										 shoal_quiet_is_curious_function, context) ||
		shoal_expr_calls((Node *) plan->qual, shoal_quiet_is_curious_function, context);

	if (IsA(plan, ValuesScan))
		found |= shoal_expr_calls((Node *) ((ValuesScan *) plan)->values_lists,
								  shoal_quiet_is_curious_function, context);
	return found || planstate_tree_walker(ps, find_curious, context);
}

/* Fragments of the arms of a UNION are started one after the other. */
static bool
find_append(PlanState *ps, void *context)
{
	return IsA(ps, AppendState) || IsA(ps, MergeAppendState) ||
		planstate_tree_walker(ps, find_append, context);
}

/* Has the Shoal Scans read that are below nothing but what passes rows on. */
static bool
fill_scans(PlanState *ps)
{
	bool		filled = true;

	if (IsA(ps, SubqueryScanState))
		return fill_scans(((SubqueryScanState *) ps)->subplan);
	if (IsA(ps, ResultState) && outerPlanState(ps))
		return fill_scans(outerPlanState(ps));
	if (!IsA(ps, AppendState))
		return shoal_scan_fill(ps) || !find_fragment(ps, NULL);
	for (int i = 0; i < ((AppendState *) ps)->as_nplans; i++)
		filled &= fill_scans(((AppendState *) ps)->appendplans[i]);
	return filled;
}

/* May writing begin before the child has ended? */
static bool
may_go_on(PlanState *child, bool locked)
{
	if (!locked && !(find_fragment(child, NULL) && find_append(child, NULL)))
		return true;
	return fill_scans(child);
}

/* ---- reading ---- */

static TupleTableSlot *
child_row(ShoalSource *source)
{
	TupleTableSlot *slot;

	if (source->child_done)
		return NULL;
	slot = ExecProcNode(source->child);
	if (!TupIsNull(slot))
		return slot;
	source->child_done = true;
	return NULL;
}

bool
shoal_source_read(ShoalSource *source, int limit)
{
	TupleTableSlot *slot;
	int			n = 0;

	source->store = tuplestore_begin_heap(false, false, work_mem);
	source->store_slot = MakeSingleTupleTableSlot(ExecGetResultType(source->child),
												  &TTSOpsMinimalTuple);
	while ((limit == 0 || n < limit) && (slot = child_row(source)) != NULL)
	{
		tuplestore_puttupleslot(source->store, slot);
		n++;
	}
	return source->child_done;
}

void
shoal_source_begin(ShoalSource *source, PlanState *child, Oid relid, bool locked,
				   bool may_wait, bool curious)
{
	memset(source, 0, sizeof(ShoalSource));
	source->child = child;
	source->calls_functions = calls_functions(child);
	if (may_wait && source->calls_functions)
	{
		Relation	rel = table_open(relid, NoLock);

		relid = shoal_quiet_written_table(rel);
		table_close(rel, NoLock);
		source->one_by_one = (curious || find_curious(child, &relid)) &&
			may_go_on(child, locked);
	}
	if (!source->one_by_one && (source->calls_functions || find_fragment(child, NULL)))
		(void) shoal_source_read(source, 0);
}

TupleTableSlot *
shoal_source_next(ShoalSource *source)
{
	if (source->store &&
		shoal_task_stored(source->store, source->store_slot))
		return source->store_slot;
	return child_row(source);
}

void
shoal_source_end(ShoalSource *source)
{
	if (source->store == NULL)
		return;
	tuplestore_end(source->store);
	ExecDropSingleTupleTableSlot(source->store_slot);
	source->store = NULL;
}
