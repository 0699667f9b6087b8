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
 * Rows of RETURNING count as written when they are handed out, as core's do: who
 * wants just the first ones (INTO in PL/pgSQL) is told of no more.
 */
#include "postgres.h"

#include "executor/executor.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"

static TupleTableSlot *
kept_next(ScanState *ss)
{
	ShoalKept  *kept = (ShoalKept *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;

	if (!kept->done)
	{
		kept->run(kept);
		kept->done = true;
	}
	if (kept->rows == NULL)
		return ExecClearTuple(slot);
	if (kept->row == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(ss->ps.state->es_query_cxt);

		kept->row = MakeSingleTupleTableSlot(slot->tts_tupleDescriptor,
											 &TTSOpsMinimalTuple);
		MemoryContextSwitchTo(old);
	}
	if (!shoal_task_stored(kept->rows, kept->row))
		return ExecClearTuple(slot);
	if (kept->counts)
		ss->ps.state->es_processed++;
	shoal_task_borrow(slot, kept->row);
	return slot;
}

static bool
kept_recheck(ScanState *ss, TupleTableSlot *slot)
{
	return true;
}

TupleTableSlot *
shoal_kept_exec(CustomScanState *node)
{
	return ExecScan(&node->ss, kept_next, kept_recheck);
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
}

void
shoal_kept_end(ShoalKept *kept)
{
	if (kept->row)
		ExecDropSingleTupleTableSlot(kept->row);
	if (kept->rows)
		tuplestore_end(kept->rows);
}
