/*
 * exec_moved.c
 *		Shoal Moved Rows: the plan node that reads rows moved to this node.
 *
 * It stands where a fragment says "FROM shoal.moved_rows(spec) AS x(columns)"
 * (plan_moved.c makes the path).  The spec, the value of a parameter, tells the
 * token of the rows and which nodes have sent some; each has left a file here.
 * The files are removed when the plan ends.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/builtins.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"
#include "exec/exec_rowfile.h"
#include "exec/exec_scatter.h"

typedef struct MovedState
{
	CustomScanState css;		/* must be first */
	ExprState  *spec;
	char	   *token;			/* NULL: spec not evaluated yet */
	int		   *senders;
	int			nsenders;
	int			current;		/* index of the sender being read */
	ShoalRowReader reader;
	TupleTableSlot *row;		/* as it is in the file */
} MovedState;

PG_FUNCTION_INFO_V1(shoal_moved_rows);

/*
 * shoal.moved_rows(spec).  A call that is planned becomes the scan below, so
 * this one comes from elsewhere.
 */
Datum
shoal_moved_rows(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("shoal.moved_rows can only be called by Shoal itself")));
	PG_RETURN_NULL();
}

char *
shoal_moved_spec(const char *token, double rows, const int *senders,
				 int nsenders)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%.0f %d %s", rows, shoal_scatter_layout(), token);
	for (int i = 0; i < nsenders; i++)
		appendStringInfo(&buf, " %d", senders[i]);
	return buf.data;
}

static void
bad_spec(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid specification of moved rows")));
}

static void
read_spec(MovedState *state)
{
	PlanState  *ps = &state->css.ss.ps;
	MemoryContext old = MemoryContextSwitchTo(ps->state->es_query_cxt);
	bool		isnull;
	Datum		value = ExecEvalExpr(state->spec, ps->ps_ExprContext, &isnull);
	char	   *spec = isnull ? NULL : text_to_cstring(DatumGetTextPP(value));
	char		token[SHOAL_TOKEN_LEN + 1];
	double		rows;
	int			layout;
	int			len;

	if (spec == NULL ||
		sscanf(spec, "%lf %d %32s%n", &rows, &layout, token, &len) != 3)
		bad_spec();
	shoal_scatter_check_layout(layout);
	spec += len;
	state->senders = palloc(sizeof(int) * (strlen(spec) / 2 + 1));
	while (*spec != '\0')
	{
		if (sscanf(spec, " %d%n", &state->senders[state->nsenders], &len) != 1)
			bad_spec();
		state->nsenders++;
		spec += len;
	}
	state->token = pstrdup(token);
	MemoryContextSwitchTo(old);
	/* removed in any case, even if this node has sent none */
	shoal_rowfile_guard(state->token, shoal_meta_local_node_id());
}

static TupleTableSlot *
moved_next(ScanState *ss)
{
	MovedState *state = (MovedState *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	MinimalTuple tuple;

	if (state->token == NULL)
		read_spec(state);
	while (state->current < state->nsenders)
	{
		if (state->reader.file == 0)
		{
			MemoryContext old = MemoryContextSwitchTo(ss->ps.state->es_query_cxt);

			shoal_rowfile_open(&state->reader, state->token,
							   shoal_meta_local_node_id(),
							   state->senders[state->current]);
			MemoryContextSwitchTo(old);
		}
		tuple = shoal_rowfile_next(&state->reader);
		if (tuple != NULL)
		{
			ExecStoreMinimalTuple(tuple, state->row, false);
			shoal_task_borrow(slot, state->row);
			return slot;
		}
		shoal_rowfile_close(&state->reader);
		state->current++;
	}
	return ExecClearTuple(slot);
}

static bool
moved_recheck(ScanState *ss, TupleTableSlot *slot)
{
	/* rows that were moved don't change */
	return true;
}

static void
begin_moved(CustomScanState *node, EState *estate, int eflags)
{
	MovedState *state = (MovedState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;

	state->spec = ExecInitExpr(linitial(cscan->custom_exprs), &node->ss.ps);
	state->row = MakeSingleTupleTableSlot(node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
										  &TTSOpsMinimalTuple);
}

static TupleTableSlot *
exec_moved(CustomScanState *node)
{
	return ExecScan(&node->ss, moved_next, moved_recheck);
}

static void
rescan_moved(CustomScanState *node)
{
	MovedState *state = (MovedState *) node;

	ExecScanReScan(&node->ss);
	shoal_rowfile_close(&state->reader);
	state->current = 0;
}

static void
end_moved(CustomScanState *node)
{
	MovedState *state = (MovedState *) node;

	shoal_rowfile_close(&state->reader);
	ExecDropSingleTupleTableSlot(state->row);
	if (state->token)
		shoal_rowfile_drop(state->token, shoal_meta_local_node_id());
}

static const CustomExecMethods moved_exec_methods = {
	.CustomName = SHOAL_MOVED,
	.BeginCustomScan = begin_moved,
	.ExecCustomScan = exec_moved,
	.EndCustomScan = end_moved,
	.ReScanCustomScan = rescan_moved,
};

static Node *
create_moved_state(CustomScan *cscan)
{
	MovedState *state = palloc0(sizeof(MovedState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &moved_exec_methods;
	return (Node *) state;
}

const CustomScanMethods shoal_moved_methods = {
	.CustomName = SHOAL_MOVED,
	.CreateCustomScanState = create_moved_state,
};
