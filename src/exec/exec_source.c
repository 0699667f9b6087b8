/*
 * exec_source.c
 *		The rows of a plan node's child, read ahead or as they are wanted.
 *
 * Reading the child may send fragments over the same connections as the node
 * that writes its rows, and these must not see what has been written.  If the
 * child has fragments, or calls functions that might run some, all its rows are
 * to be read into a tuplestore before any is sent.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"

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

bool
shoal_source_is_busy(PlanState *child)
{
	ListCell   *lc;

	/* the planner notes all functions that are not built in */
	foreach(lc, child->state->es_plannedstmt->invalItems)
	{
		if (((PlanInvalItem *) lfirst(lc))->cacheId == PROCOID)
			return true;
	}
	return find_fragment(child, NULL);
}

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
