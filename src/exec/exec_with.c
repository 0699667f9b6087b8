/*
 * exec_with.c
 *		Shoal With: the plan node that runs statements one after the other.
 *
 * They are the parts of one statement of the user's with WITH queries that write
 * (plan_with.c).  All are started, so that rights are checked, before the first
 * one runs, and each runs to its end, whether its rows are wanted or not, when
 * the first row is asked for.  They share the snapshots of the whole statement
 * (exec_statement.c), and what they write here has its command id, so that a row
 * which two of them change is changed by the first one only.  AFTER triggers
 * of tables that are only here fire at the end of the statement; those of
 * other tables, and checks of their foreign keys, at the end of each part.
 *
 * For a MERGE (plan_merge_apart.c) the parts that are its actions are counted:
 * each has to change just the rows that it was chosen for.
 *
 * Rows are kept in tuplestores, from which shoal.written_rows() reads while the
 * node runs.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type_d.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"
#include "plan/plan_with.h"
#include "scope/scope.h"

PG_FUNCTION_INFO_V1(shoal_written_rows);

typedef struct WithPart
{
	int			number;			/* 0: its rows and count are the statement's */
	const char *name;
	QueryDesc  *desc;
	Tuplestorestate *rows;		/* NULL: it returns none */
	bool		finished;
	int			action;			/* of a MERGE; 0: none */
	uint64		chosen;			/* rows that it was chosen for ... */
	uint64		left_alone;		/* ... and triggers did not let it change */
} WithPart;

typedef struct ShoalWithState
{
	ShoalKept	kept;			/* must be first; its rows are those of the
								 * part whose rows are the statement's */
	WithPart   *parts;
	int			nparts;
	bool		merges;
	bool		upserts;		/* ... for an INSERT with ON CONFLICT DO UPDATE */
	Oid			target;			/* of a MERGE */
	List	   *errors;			/* String, of policies of a MERGE, by -1 - number */
	bool		own_rows;		/* no part's, but copies of several parts' */
	Oid			userid;			/* who runs it */
	struct ShoalWithState *outer;	/* one in whose statement this one runs */
} ShoalWithState;

/* those that are running, the innermost one */
static ShoalWithState *running = NULL;

/* ---- rows of parts ---- */

static WithPart *
running_part(int number)
{
	/* a part of one may be taken apart itself, under other numbers */
	for (ShoalWithState *state = running;
		 state != NULL && state->userid == GetUserId(); state = state->outer)
	{
		for (int i = 0; i < state->nparts; i++)
		{
			WithPart   *part = &state->parts[i];

			if (part->number == number && part->finished && part->rows)
				return part;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rows of WITH query %d are not there", number),
			 errhint("shoal.written_rows() is for Shoal's own use.")));
	return NULL;				/* not reached */
}

static void
check_columns(TupleDesc wanted, TupleDesc got)
{
	bool		same = wanted->natts == got->natts;

	for (int i = 0; same && i < got->natts; i++)
		same = TupleDescAttr(wanted, i)->atttypid == TupleDescAttr(got, i)->atttypid;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a WITH query returns other columns than were planned")));
}

/* shoal.written_rows(part) */
Datum
shoal_written_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	WithPart   *part = running_part(PG_GETARG_INT32(0));
	TupleTableSlot *slot;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		!(rsinfo->allowedModes & SFRM_Materialize) || rsinfo->expectedDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("shoal.written_rows() can only be called in FROM with a column definition list")));
	check_columns(rsinfo->expectedDesc, part->desc->tupDesc);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	slot = MakeSingleTupleTableSlot(rsinfo->setDesc, &TTSOpsMinimalTuple);
	tuplestore_rescan(part->rows);
	while (shoal_task_stored(part->rows, slot))
	{
		tuplestore_puttupleslot(rsinfo->setResult, slot);
		CHECK_FOR_INTERRUPTS();
	}
	ExecDropSingleTupleTableSlot(slot);
	return (Datum) 0;
}

/* ---- running ---- */

static void
start_part(ShoalWithState *state, WithPart *part, PlannedStmt *stmt, int eflags)
{
	EState	   *estate = state->kept.css.ss.ps.state;
	bool		returns = stmt->commandType == CMD_SELECT || stmt->hasReturning;
	DestReceiver *dest = None_Receiver;
	ShoalReading saved = shoal_statement_reading();
	ShoalReading inner = saved;

	if (returns && !(eflags & EXEC_FLAG_EXPLAIN_ONLY))
	{
		part->rows = tuplestore_begin_heap(true, false, work_mem);
		dest = CreateTuplestoreDestReceiver();
		SetTuplestoreDestReceiverParams(dest, part->rows, CurrentMemoryContext,
										false, NULL, NULL);
	}
	part->desc = CreateQueryDesc(stmt, estate->es_sourceText,
								 estate->es_snapshot, InvalidSnapshot, dest,
								 estate->es_param_list_info, estate->es_queryEnv,
								 estate->es_instrument);
	inner.inside = true;
	shoal_statement_set_reading(inner);
	ExecutorStart(part->desc, (eflags & EXEC_FLAG_EXPLAIN_ONLY) |
				  EXEC_FLAG_SKIP_TRIGGERS);
	shoal_statement_set_reading(saved);
	part->desc->estate->es_output_cid = estate->es_output_cid;
}

static WithPart *
part_of_action(ShoalWithState *state, int action)
{
	for (int i = 0; i < state->nparts; i++)
	{
		if (action != 0 && state->parts[i].action == action)
			return &state->parts[i];
	}
	return NULL;
}

/* Raises an error if one of the sorted places is there twice. */
static void
check_places(Tuplesortstate *places, bool upserts)
{
	Datum		value;
	bool		isnull;
	char	   *last = NULL;

	tuplesort_performsort(places);
	while (shoal_tuplesort_getdatum(places, &value, &isnull) && !isnull)
	{
		char	   *place = TextDatumGetCString(value);

		if (last && strcmp(place, last) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_CARDINALITY_VIOLATION),
					 errmsg("%s command cannot affect row a second time",
							upserts ? "ON CONFLICT DO UPDATE" : "MERGE"),
					 upserts ?
					 errhint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.") :
					 errhint("Ensure that not more than one source row matches any one target row.")));
		if (last)
			pfree(last);
		last = place;
		CHECK_FOR_INTERRUPTS();
	}
}

/* The rows that are merged: which action each is for, and which row it changes. */
static void
count_actions(ShoalWithState *state, WithPart *rows)
{
	Tuplesortstate *places = tuplesort_begin_datum(TEXTOID, TextLessOperator,
												   C_COLLATION_OID, false,
												   work_mem, NULL, 0);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(rows->desc->tupDesc,
													&TTSOpsMinimalTuple);

	tuplestore_rescan(rows->rows);
	while (shoal_task_stored(rows->rows, slot))
	{
		bool		isnull;
		int			action = DatumGetInt32(slot_getattr(slot, 1, &isnull));
		WithPart   *part = part_of_action(state, action);
		Datum		place;

		CHECK_FOR_INTERRUPTS();
		if (action < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg_internal("%s", strVal(list_nth(state->errors, -action - 1)))));
		if (part == NULL)
			continue;
		part->chosen++;
		if (part->desc->operation == CMD_INSERT && !state->upserts)
			continue;
		place = slot_getattr(slot, 2, &isnull);
		tuplesort_putdatum(places, place, isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	check_places(places, state->upserts);
	tuplesort_end(places);
}

/* The statement returns what all of its actions return. */
static void
add_rows(ShoalWithState *state, WithPart *part)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(part->desc->tupDesc,
													&TTSOpsMinimalTuple);

	if (state->kept.rows == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(state->kept.css.ss.ps.state->es_query_cxt);

		state->kept.rows = tuplestore_begin_heap(true, false, work_mem);
		state->own_rows = true;
		MemoryContextSwitchTo(old);
	}
	tuplestore_rescan(part->rows);
	while (shoal_task_stored(part->rows, slot))
		tuplestore_puttupleslot(state->kept.rows, slot);
	ExecDropSingleTupleTableSlot(slot);
}

static void
finish_action(ShoalWithState *state, WithPart *part)
{
	uint64		done = part->desc->estate->es_processed;

	if ((part->desc->operation != CMD_INSERT || state->upserts) &&
		done + part->left_alone != part->chosen)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not merge rows that are being changed by others"),
				 errdetail("An action was chosen for %llu rows, but %llu of them were found as they had been.",
						   (unsigned long long) part->chosen,
						   (unsigned long long) done),
				 errhint("Run the transaction again.  It may also be that a trigger or policy leaves rows alone.")));
	if (part->rows)
		add_rows(state, part);
	shoal_kept_count(&state->kept, done);
}

void
shoal_with_leave_alone(EState *estate, uint64 rows)
{
	for (int i = 0; running && i < running->nparts; i++)
	{
		if (running->parts[i].desc->estate == estate)
			running->parts[i].left_alone += rows;
	}
}

static void
run_part(ShoalWithState *state, WithPart *part)
{
	shoal_executor_run(part->desc, ForwardScanDirection, 0, true);
	ExecutorFinish(part->desc);
	part->finished = true;
	if (part->action > 0)
		finish_action(state, part);
	else if (state->merges && strcmp(part->name, SHOAL_MERGE_ROWS) == 0)
		count_actions(state, part);
	if (part->number != 0 || state->merges)
		return;
	state->kept.rows = part->rows;
	/* of a write whose RETURNING is worked out by a SELECT, its rows */
	if (state->kept.css.ss.ps.state->es_plannedstmt->commandType != CMD_SELECT)
		shoal_kept_count(&state->kept, part->desc->estate->es_processed);
}

EState *
shoal_with_whole(EState *estate)
{
	for (ShoalWithState *state = running;
		 state && (estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS);
		 state = state->outer)
		estate = state->kept.css.ss.ps.state;
	return estate;
}

/*
 * Statement triggers that are BEFORE see no row of a MERGE: they are fired ahead of
 * all of its actions.  As for core it is one statement, it does not fire them again
 * with each action, and those that are AFTER once for each kind, at the end of all.
 */
static void
fire_before(ShoalWithState *state)
{
	static const CmdType order[] = {CMD_INSERT, CMD_UPDATE, CMD_DELETE};

	for (int i = 0; i < lengthof(order); i++)
	{
		WithPart   *first = NULL;

		for (int j = 0; j < state->nparts && first == NULL; j++)
		{
			if (state->parts[j].action > 0 && state->parts[j].desc->operation == order[i])
				first = &state->parts[j];
		}
		if (first)
			shoal_triggers_before(first->desc->estate, state->target,
								  shoal_scope_events(order[i], false, NIL));
	}
}

static void
run_all(ShoalKept *kept)
{
	ShoalWithState *state = (ShoalWithState *) kept;

	state->userid = GetUserId();
	state->outer = running;
	running = state;
	PG_TRY();
	{
		if (state->merges)
			fire_before(state);
		for (int i = 0; i < state->nparts; i++)
			run_part(state, &state->parts[i]);
	}
	PG_FINALLY();
	{
		running = state->outer;
	}
	PG_END_TRY();
	if (state->kept.rows)
		tuplestore_rescan(state->kept.rows);
}

/* ---- the node's methods ---- */

static void
begin_with(CustomScanState *node, EState *estate, int eflags)
{
	ShoalWithState *state = (ShoalWithState *) node;
	List	   *private = ((CustomScan *) node->ss.ps.plan)->custom_private;
	ListCell   *lc;

	state->nparts = list_length(linitial(private));
	state->merges = list_length(private) > 3;
	state->upserts = state->merges && linitial_int(lfourth(private));
	state->target = state->merges ? linitial_oid((List *) list_nth(private, 5)) : InvalidOid;
	state->errors = state->merges ? (List *) list_nth(private, 4) : NIL;
	state->parts = palloc0(sizeof(WithPart) * state->nparts);
	foreach(lc, (List *) linitial(private))
	{
		int			i = foreach_current_index(lc);

		state->parts[i].number = list_nth_int((List *) lsecond(private), i);
		state->parts[i].name = strVal(list_nth((List *) lthird(private), i));
		if (state->merges && strncmp(state->parts[i].name, SHOAL_MERGE_ACTION,
									 strlen(SHOAL_MERGE_ACTION)) == 0)
			state->parts[i].action = atoi(state->parts[i].name +
										  strlen(SHOAL_MERGE_ACTION));
		start_part(state, &state->parts[i], lfirst_node(PlannedStmt, lc), eflags);
	}
}

static void
end_with(CustomScanState *node)
{
	ShoalWithState *state = (ShoalWithState *) node;

	/* a part's are released with it */
	if (!state->own_rows)
		state->kept.rows = NULL;
	shoal_kept_end(&state->kept);
	for (int i = 0; i < state->nparts; i++)
	{
		WithPart   *part = &state->parts[i];

		if (!part->finished &&
			!(part->desc->estate->es_top_eflags & EXEC_FLAG_EXPLAIN_ONLY))
			ExecutorFinish(part->desc);
		ExecutorEnd(part->desc);
		FreeQueryDesc(part->desc);
		if (part->rows)
			tuplestore_end(part->rows);
	}
}

/* One plan for each part, as if it had been explained by itself. */
static void
explain_with(CustomScanState *node, List *ancestors, ExplainState *es)
{
	ShoalWithState *state = (ShoalWithState *) node;

	ExplainOpenGroup("Parts", "Parts", false, es);
	for (int i = 0; i < state->nparts; i++)
	{
		WithPart   *part = &state->parts[i];
		ExplainState inner = *es;

		ExplainOpenGroup("Part", NULL, true, &inner);
		ExplainPropertyText("Part", part->number == 0 ? "the query" :
							psprintf("WITH %s", part->name), &inner);
		inner.indent += es->format == EXPLAIN_FORMAT_TEXT ? 1 : 0;
		ExplainPrintPlan(&inner, part->desc);
		inner.indent = es->indent;
		ExplainCloseGroup("Part", NULL, true, &inner);
		es->grouping_stack = inner.grouping_stack;
	}
	ExplainCloseGroup("Parts", "Parts", false, es);
}

static const CustomExecMethods with_exec_methods = {
	.CustomName = SHOAL_WITH,
	.BeginCustomScan = begin_with,
	.ExecCustomScan = shoal_kept_exec,
	.EndCustomScan = end_with,
	.ReScanCustomScan = shoal_kept_rescan,
	.ExplainCustomScan = explain_with,
};

static Node *
create_with_state(CustomScan *cscan)
{
	ShoalWithState *state = palloc0(sizeof(ShoalWithState));

	NodeSetTag(state, T_CustomScanState);
	state->kept.css.methods = &with_exec_methods;
	state->kept.run = run_all;
	return (Node *) state;
}

const CustomScanMethods shoal_with_methods = {
	.CustomName = SHOAL_WITH,
	.CreateCustomScanState = create_with_state,
};
