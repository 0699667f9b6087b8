/*
 * exec_scan.c
 *		Shoal Scan: the plan node that delivers the rows of a fragment.
 *
 * Nothing is evaluated or sent before the first row is asked for, so EXPLAIN
 * runs nothing.  Where the node may be rescanned its rows are kept in a
 * tuplestore: from the start if the executor asks for cheap rescans, else from
 * the second execution on.  A rescan runs the fragment again only if a
 * parameter of it has changed.
 *
 * A fragment that writes and returns no rows does all its work in the first
 * call and reports its count through es_processed, if the statement is about
 * it.
 */
#include "postgres.h"

#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"

typedef struct ShoalScanState
{
	CustomScanState css;		/* must be first */
	ShoalRun   *run;
	bool		started;		/* the fragment runs or has run */
	bool		finished;		/* all its rows are read */
	bool		counts;			/* the rows that it writes are the statement's */
	ShoalTriggers *triggers;	/* to be fired at its end, or NULL */
	int			executions;
	bool		keep;			/* keep rows for rescans */
	Tuplestorestate *store;		/* rows kept */
	TupleTableSlot *store_slot;
} ShoalScanState;

bool
shoal_scan_is_top(PlanState *ps)
{
	PlannedStmt *stmt = ps->state->es_plannedstmt;

	if (stmt->commandType == CMD_SELECT)
		return false;
	for (Plan *plan = stmt->planTree; plan; plan = plan->lefttree)
	{
		if (plan == ps->plan)
			return true;
		/* what is below another write makes its rows */
		if (IsA(plan, CustomScan) &&
			((CustomScan *) plan)->methods == &shoal_insert_methods)
			return false;
	}
	return false;
}

static void
open_store(ShoalScanState *state)
{
	ScanState  *ss = &state->css.ss;
	MemoryContext old = MemoryContextSwitchTo(ss->ps.state->es_query_cxt);

	state->store = tuplestore_begin_heap(false, false, work_mem);
	state->store_slot = MakeSingleTupleTableSlot(ss->ss_ScanTupleSlot->tts_tupleDescriptor,
												 &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(old);
}

static void
scan_start(ShoalScanState *state)
{
	ScanState  *ss = &state->css.ss;
	ShoalRun   *run = state->run;

	if (state->executions++ > 0)
		state->keep = true;
	if (state->keep)
		open_store(state);

	/* the transaction may end with this statement if nothing is done after */
	run->call.alone = ss->ps.plan == ss->ps.state->es_plannedstmt->planTree &&
		ss->ps.ps_ProjInfo == NULL && ss->ps.qual == NULL &&
		run->frag->triggers == NIL;
	state->counts = run->frag->command != CMD_SELECT && shoal_scan_is_top(&ss->ps);
	state->triggers = shoal_triggers_begin(ss->ps.state, run->frag->triggers);
	shoal_again_allow(run);
	shoal_run_start(run);
	state->started = true;
	state->finished = false;
}

static void
scan_finish(ShoalScanState *state)
{
	PlanState  *ps = &state->css.ss.ps;

	state->finished = true;
	shoal_triggers_end(state->triggers, true);
	state->triggers = NULL;
	if (state->counts && !state->run->frag->returns_rows)
		ps->state->es_processed += state->run->affected;
}

/* The next row of the fragment in the scan slot; also kept if need be. */
static bool
fetch_row(ShoalScanState *state, TupleTableSlot *slot)
{
	if (state->finished)
		return false;
	if (!shoal_run_next(state->run, slot))
	{
		scan_finish(state);
		return false;
	}
	/* as in exec_kept.c */
	if (state->counts && state->run->frag->returns_rows)
		state->css.ss.ps.state->es_processed++;
	if (state->store)
		tuplestore_puttupleslot(state->store, slot);
	return true;
}

static TupleTableSlot *
scan_next(ScanState *ss)
{
	ShoalScanState *state = (ShoalScanState *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	MemoryContext old;
	bool		found;

	if (!state->started)
		scan_start(state);

	if (state->store &&
		shoal_task_stored(state->store, state->store_slot))
	{
		shoal_task_borrow(slot, state->store_slot);
		return slot;
	}

	old = MemoryContextSwitchTo(ss->ps.ps_ExprContext->ecxt_per_tuple_memory);
	found = fetch_row(state, slot);
	MemoryContextSwitchTo(old);
	return found ? slot : ExecClearTuple(slot);
}

/*
 * Asked for when a row that a local UPDATE or DELETE joined with ours was
 * changed meanwhile: our row would have to be read again as of now.
 */
static bool
scan_recheck(ScanState *ss, TupleTableSlot *slot)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errdetail("A row that was joined with rows of other nodes has been changed."),
			 errhint("Run the transaction again.")));
	return false;
}

/* ---- the node's methods ---- */

static void
begin_scan(CustomScanState *node, EState *estate, int eflags)
{
	ShoalScanState *state = (ShoalScanState *) node;
	ShoalFragment *frag = shoal_fragment_load((CustomScan *) node->ss.ps.plan);

	state->run = shoal_run_init(frag, &node->ss.ps,
								node->ss.ss_ScanTupleSlot->tts_tupleDescriptor);
	state->keep = (eflags & EXEC_FLAG_REWIND) != 0;
}

static TupleTableSlot *
exec_scan(CustomScanState *node)
{
	return ExecScan(&node->ss, scan_next, scan_recheck);
}

static void
drop_store(ShoalScanState *state)
{
	if (state->store == NULL)
		return;
	tuplestore_end(state->store);
	ExecDropSingleTupleTableSlot(state->store_slot);
	state->store = NULL;
}

static void
rescan_scan(CustomScanState *node)
{
	ShoalScanState *state = (ShoalScanState *) node;
	bool		changed;

	ExecScanReScan(&node->ss);
	if (!state->started)
		return;
	changed = bms_overlap(node->ss.ps.chgParam, state->run->exec_params);
	if (state->store && !changed)
	{
		tuplestore_rescan(state->store);
		return;
	}
	drop_store(state);
	shoal_run_end(state->run, changed);
	state->started = false;
}

static void
end_scan(CustomScanState *node)
{
	ShoalScanState *state = (ShoalScanState *) node;

	drop_store(state);
	shoal_triggers_end(state->triggers, false);
	shoal_run_end(state->run, true);
}

static void
explain_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
	shoal_explain_fragment(((ShoalScanState *) node)->run, es);
}

static const CustomExecMethods scan_exec_methods = {
	.CustomName = SHOAL_SCAN,
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = exec_scan,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = rescan_scan,
	.ExplainCustomScan = explain_scan,
};

static Node *
create_scan_state(CustomScan *cscan)
{
	ShoalScanState *state = palloc0(sizeof(ShoalScanState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &scan_exec_methods;
	return (Node *) state;
}

const CustomScanMethods shoal_scan_methods = {
	.CustomName = SHOAL_SCAN,
	.CreateCustomScanState = create_scan_state,
};

bool
shoal_scan_start(PlanState *ps, bool wait)
{
	ShoalScanState *state = (ShoalScanState *) ps;
	MemoryContext old;

	if (!IsA(ps, CustomScanState) || state->css.methods != &scan_exec_methods)
		return false;
	old = MemoryContextSwitchTo(ps->state->es_query_cxt);
	scan_start(state);
	/* several have their snapshots by now, as these have to agree */
	if (wait && state->run->ntasks == 1)
		shoal_task_await(&state->run->tasks[0]);
	MemoryContextSwitchTo(old);
	return true;
}

bool
shoal_scan_fill(PlanState *ps)
{
	ShoalScanState *state = (ShoalScanState *) ps;
	TupleTableSlot *slot;
	MemoryContext old;

	if (!IsA(ps, CustomScanState) || state->css.methods != &scan_exec_methods)
		return false;
	slot = state->css.ss.ss_ScanTupleSlot;
	old = MemoryContextSwitchTo(ps->ps_ExprContext->ecxt_per_tuple_memory);
	state->keep = true;
	/* a cursor's, or the first of several fragments, has been started */
	if (!state->started)
		scan_start(state);
	else if (state->store == NULL)
		open_store(state);
	while (fetch_row(state, slot))
	{
		CHECK_FOR_INTERRUPTS();
		ResetExprContext(ps->ps_ExprContext);
	}
	ExecClearTuple(slot);
	MemoryContextSwitchTo(old);
	return true;
}

ShoalRun *
shoal_scan_forward(PlanState *ps, int format)
{
	ShoalScanState *state = (ShoalScanState *) ps;
	ShoalCall  *call;

	if (!IsA(ps, CustomScanState) || state->css.methods != &scan_exec_methods ||
		ps->ps_ProjInfo || ps->qual || state->keep || state->store)
		return NULL;
	call = &state->run->call;
	if (!state->started && call->desc &&
		(state->run->frag->sort == NIL || state->run->frag->single_shard) &&
		(format == SHOAL_WIRE_TEXT || shoal_wire_can_binary(call->desc)))
		call->forward = format;
	return call->forward == format ? state->run : NULL;
}

void
shoal_exec_init(void)
{
	shoal_statement_init();
	shoal_forward_init();
	shoal_same_init();
	RegisterCustomScanMethods(&shoal_scan_methods);
	RegisterCustomScanMethods(&shoal_insert_methods);
	RegisterCustomScanMethods(&shoal_moved_methods);
	RegisterCustomScanMethods(&shoal_moved_files_methods);
	RegisterCustomScanMethods(&shoal_with_methods);
}
