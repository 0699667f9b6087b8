/*
 * exec_kept.c
 *		Custom scans that do all their work at once, and then hand out rows.
 *
 * Shoal Insert, with triggers or without, and Shoal With write when they are asked
 * for their first row, and keep what is returned until then: no row must be seen
 * by the client before all of it has been done.  They run once; who reads again
 * gets the same rows.  What is kept is released with the node, or on an error with
 * the query's memory and files.
 *
 * What RETURNING makes of a row is worked out when that is handed out, too, or as soon as it
 * has been written, if that makes a difference.
 *
 * Rows of RETURNING count as written when they are handed out, as core's do: who
 * wants just the first ones (INTO in PL/pgSQL) is told of no more.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"

/*
 * Gets the next stored row into the slot, by way of another one, which is made if need be;
 * false if there is none.
 */
static bool
next_stored(ShoalKept *kept, Tuplestorestate *rows, TupleTableSlot **row, TupleTableSlot *slot)
{
	if (*row == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(kept->css.ss.ps.state->es_query_cxt);

		*row = MakeSingleTupleTableSlot(slot->tts_tupleDescriptor, &TTSOpsMinimalTuple);
		MemoryContextSwitchTo(old);
	}
	if (!shoal_task_stored(rows, *row))
	{
		ExecClearTuple(slot);
		return false;
	}
	shoal_task_borrow(slot, *row);
	return true;
}

static TupleTableSlot *
kept_next(ScanState *ss)
{
	ShoalKept  *kept = (ShoalKept *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;

	if (kept->rows == NULL)
		return ExecClearTuple(slot);
	if (next_stored(kept, kept->rows, &kept->row, slot) && kept->counts)
		ss->ps.state->es_processed++;
	return slot;
}

void
shoal_kept_project(ShoalKept *kept)
{
	PlanState  *ps = &kept->css.ss.ps;
	TupleTableSlot *slot = kept->css.ss.ss_ScanTupleSlot;

	Assert(ps->ps_ProjInfo && ps->qual == NULL);
	if (kept->results == NULL)
		kept->results = tuplestore_begin_heap(false, false, work_mem);
	while (next_stored(kept, kept->rows, &kept->row, slot))
	{
		ResetExprContext(ps->ps_ExprContext);
		ps->ps_ExprContext->ecxt_scantuple = slot;
		tuplestore_puttupleslot(kept->results, ExecProject(ps->ps_ProjInfo));
	}
	tuplestore_clear(kept->rows);
}

static bool
kept_recheck(ScanState *ss, TupleTableSlot *slot)
{
	return true;
}

TupleTableSlot *
shoal_kept_exec(CustomScanState *node)
{
	ShoalKept  *kept = (ShoalKept *) node;
	TupleTableSlot *slot;

	if (!kept->done)
	{
		kept->run(kept);
		kept->done = true;
	}
	if (kept->results == NULL)
		return ExecScan(&node->ss, kept_next, kept_recheck);
	slot = node->ss.ps.ps_ResultTupleSlot;
	if (next_stored(kept, kept->results, &kept->result, slot) && kept->counts)
		node->ss.ps.state->es_processed++;
	return slot;
}

void
shoal_kept_count(ShoalKept *kept, uint64 affected)
{
	if (kept->rows)
		kept->counts = true;
	else
		kept->css.ss.ps.state->es_processed += affected;
}

void
shoal_kept_rescan(CustomScanState *node)
{
	ShoalKept  *kept = (ShoalKept *) node;

	if (kept->rows)
		tuplestore_rescan(kept->rows);
	if (kept->results)
		tuplestore_rescan(kept->results);
}

void
shoal_kept_end(ShoalKept *kept)
{
	if (kept->row)
		ExecDropSingleTupleTableSlot(kept->row);
	if (kept->rows)
		tuplestore_end(kept->rows);
	if (kept->result)
		ExecDropSingleTupleTableSlot(kept->result);
	if (kept->results)
		tuplestore_end(kept->results);
}
