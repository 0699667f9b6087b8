/*
 * exec_fragment.c
 *		Running a fragment: parameters and pins to shards, shards to nodes, one
 *		task per node.
 *
 * A plan knows no placement; everything is worked out each time the fragment
 * starts.  Parameters are evaluated once, then both pick the shards and travel
 * with the text.  All remote tasks are under way before the local one runs.
 *
 * Values that have to be worked out first are so when the fragment is prepared,
 * by statements of their own on this node.
 *
 * Rows that a fragment needs on its nodes and other nodes have are moved there
 * when the fragment starts, by fragments of their own.
 *
 * A write to a reference table runs on every node, on the lowest first and
 * then, once that has succeeded, on the others: two sessions that write the
 * same row meet on the first node and cannot lock each other out.  If it looks for
 * rows, all nodes do with snapshots of one moment.  Else those who come later would see
 * what has been committed meanwhile, by somebody whom the first one may have
 * waited for, and change other rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_settings.h"
#include "exec/exec_internal.h"
#include "exec/exec_rowfile.h"
#include "exec/exec_scatter.h"
#include "plan/plan_expr.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

static bool
collect_exec_params(Node *node, Bitmapset **params)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		*params = bms_add_member(*params, ((Param *) node)->paramid);
	return expression_tree_walker(node, collect_exec_params, params);
}

/*
 * The expression's value if it is a constant or a parameter that the client
 * has given, which is nearly always so; these need no expression state.
 */
static bool
known_value(const Expr *expr, const EState *estate, Datum *value, bool *isnull)
{
	const ParamListInfo info = estate->es_param_list_info;

	if (IsA(expr, Const))
	{
		*value = ((const Const *) expr)->constvalue;
		*isnull = ((const Const *) expr)->constisnull;
		return true;
	}
	if (IsA(expr, Param) && info && info->paramFetch == NULL)
	{
		const Param *param = (const Param *) expr;
		const ParamExternData *data;

		if (param->paramkind != PARAM_EXTERN || param->paramid < 1 ||
			param->paramid > info->numParams)
			return false;
		data = &info->params[param->paramid - 1];
		*value = data->value;
		*isnull = data->isnull;
		return data->ptype == param->paramtype;
	}
	return false;
}

/* Runs of the fragments that move rows for this one. */
static void
init_moves(ShoalRun *run)
{
	TupleDesc	desc = CreateTemplateTupleDesc(1);
	ListCell   *lc;

	TupleDescInitEntry(desc, 1, "moved", TEXTOID, -1, 0);
	run->moves = palloc(sizeof(ShoalRun *) * list_length(run->frag->moves));
	foreach(lc, run->frag->moves)
	{
		ShoalFragmentMove *move = (ShoalFragmentMove *) lfirst(lc);

		run->moves[foreach_current_index(lc)] =
			shoal_run_init(move->source, run->parent, desc);
		run->moves[foreach_current_index(lc)]->outer = run;
	}

	/* what the node expects of the rows is in a parameter: plan each time */
	run->call.cache = false;
}

/* The same of what is worked out before. */
static void
init_steps(ShoalRun *run)
{
	ListCell   *lc;

	run->steps = palloc(sizeof(ShoalRun *) * list_length(run->frag->steps));
	foreach(lc, run->frag->steps)
	{
		ShoalFragmentStep *step = (ShoalFragmentStep *) lfirst(lc);
		Node	   *param = list_nth(run->frag->params, step->param);
		TupleDesc	desc = CreateTemplateTupleDesc(1);

		TupleDescInitEntry(desc, 1, "step", exprType(param), exprTypmod(param), 0);
		TupleDescInitEntryCollation(desc, 1, exprCollation(param));
		run->steps[foreach_current_index(lc)] =
			shoal_run_init(step->source, run->parent, desc);
		run->steps[foreach_current_index(lc)]->outer = run;
	}
}

ShoalRun *
shoal_run_init(const ShoalFragment *frag, PlanState *parent, TupleDesc desc)
{
	ShoalRun   *run = palloc0(sizeof(ShoalRun));
	ShoalCall  *call = &run->call;
	int			n = list_length(frag->params);
	ListCell   *lc;

	run->frag = frag;
	run->parent = parent;
	run->call.reading = shoal_statement_reading();
	run->param_states = palloc0(sizeof(ExprState *) * Max(n, 1));
	(void) collect_exec_params((Node *) frag->params, &run->exec_params);
	run->param_cxt = AllocSetContextCreate(CurrentMemoryContext,
										   "Shoal parameters",
										   ALLOCSET_SMALL_SIZES);
	run->cxt = AllocSetContextCreate(CurrentMemoryContext, "Shoal fragment",
									 ALLOCSET_SMALL_SIZES);

	call->text = frag->text;
	call->group_id = frag->group_id;
	call->command = frag->command;
	call->writes = frag->command != CMD_SELECT || frag->locks_rows;
	call->partial = frag->partial;
	call->policies = frag->policies;
	call->rights = frag->rights;
	call->run_as = frag->run_as;
	call->timed = frag->is_timed;
	call->cache = true;
	call->nparams = frag->nsent;
	call->forward = SHOAL_WIRE_BEST;
	call->cxt = run->cxt;
	call->types = palloc(sizeof(Oid) * Max(n, 1));
	call->values = palloc0(sizeof(Datum) * Max(n, 1));
	call->nulls = palloc0(sizeof(bool) * Max(n, 1));
	foreach(lc, frag->params)
	{
		int			i = foreach_current_index(lc);

		call->types[i] = exprType(lfirst(lc));
		if (shoal_expr_is_slot(lfirst(lc)))
			call->nulls[i] = true;	/* until rows are moved */
		else if (!known_value(lfirst(lc), parent->state, &call->values[i],
							  &call->nulls[i]))
			run->param_states[i] = ExecInitExpr(lfirst(lc), parent);
	}
	call->owner = CurrentResourceOwner;
	if (frag->returns_rows)
		call->desc = desc;
	if (frag->moves)
		init_moves(run);
	if (frag->steps)
		init_steps(run);
	return run;
}

/* ---- which shards ---- */

int
shoal_run_shard_node(const ShoalGroup *group, int shard)
{
	int			node_id = group->primary[shard];

	/*
	 * If its node does not answer, another one may be made the primary.  The
	 * caller's view may be from before that.
	 */
	if (node_id != 0 &&
		(shoal_health_await_node(node_id) || shoal_health_is_down(node_id)))
	{
		group = shoal_meta_group(group->group_id);
		node_id = group->primary[shard];
	}
	if (node_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shard %d of colocation group %d has no active placement",
						shard, group->group_id),
				 errhint("Look at the view shoal.shards.")));
	if (shoal_meta_node(node_id) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shard %d of colocation group %d is on node %d, which is not known here",
						shard, group->group_id, node_id),
				 errhint("Look at the views shoal.shards and shoal.nodes.")));
	if (!shoal_meta_node(node_id)->is_active)
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("shard %d of colocation group %d is on node \"%s\", which is down",
						shard, group->group_id,
						shoal_meta_node(node_id)->server_name),
				 errhint("It has no replica that could take its place; start the node.")));
	return node_id;
}

static Bitmapset *
shards_of_array(const ShoalTable *table, Datum array, Bitmapset *shards)
{
	ArrayType  *arr = DatumGetArrayTypeP(array);
	Oid			type = ARR_ELEMTYPE(arr);
	int16		len;
	bool		byval;
	char		align;
	Datum	   *values;
	bool	   *nulls;
	int			n;

	get_typlenbyvalalign(type, &len, &byval, &align);
	deconstruct_array(arr, type, len, byval, align, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			shards = bms_add_member(shards,
									shoal_meta_shard_of(table, &values[i],
														&nulls[i], &type));
	}
	return shards;
}

/* The shards that the pins select. */
static Bitmapset *
shards_of_pins(ShoalRun *run)
{
	const ShoalFragment *frag = run->frag;
	const ShoalTable *table = shoal_meta_table(frag->pin_relid);
	Bitmapset  *shards = NULL;
	ListCell   *pin_cell;
	ListCell   *array_cell;

	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table with OID %u is not distributed any more",
						frag->pin_relid),
				 errhint("Run the transaction again.")));

	forboth(pin_cell, frag->pins, array_cell, frag->pin_is_array)
	{
		List	   *pin = (List *) lfirst(pin_cell);
		Datum		values[PARTITION_MAX_KEYS];
		bool		nulls[PARTITION_MAX_KEYS];
		Oid			types[PARTITION_MAX_KEYS];
		bool		any_null = false;
		ListCell   *lc;

		foreach(lc, pin)
		{
			int			key = foreach_current_index(lc);
			int			param = lfirst_int(lc);

			values[key] = run->call.values[param];
			nulls[key] = run->call.nulls[param];
			types[key] = run->call.types[param];
			any_null |= nulls[key];
		}
		if (any_null && (frag->command != CMD_INSERT || lfirst_int(array_cell)))
			continue;
		if (lfirst_int(array_cell))
			shards = shards_of_array(table, values[0], shards);
		else
			shards = bms_add_member(shards,
									shoal_meta_shard_of(table, values, nulls,
														types));
	}
	return shards;
}

static Bitmapset *
find_shards(ShoalRun *run, const ShoalGroup *group)
{
	Bitmapset  *shards;
	int			local_node = shoal_meta_local_node_id();

	if (run->frag->pins == NIL)
		return bms_add_range(NULL, 0, group->shard_count - 1);
	shards = shards_of_pins(run);
	if (!bms_is_empty(shards))
		return shards;

	/*
	 * A NULL key, which matches nothing.  Any one shard will find that out,
	 * and return what the fragment makes of no rows.
	 */
	for (int i = 0; i < group->shard_count; i++)
	{
		if (group->primary[i] == local_node)
			return bms_make_singleton(i);
	}
	return bms_make_singleton(0);
}

/* ---- tasks ---- */

static ShoalTask *
task_of_node(ShoalRun *run, int node_id)
{
	ShoalTask  *task;

	for (int i = 0; i < run->ntasks; i++)
	{
		if (run->tasks[i].node_id == node_id)
			return &run->tasks[i];
	}
	task = &run->tasks[run->ntasks++];
	task->call = &run->call;
	task->node_id = node_id;
	task->local = (node_id == shoal_meta_local_node_id());
	return task;
}

/*
 * Whether the run may read replicas: if it is all there is to be done, in so far
 * as a statement that is under way may have changes that replicas lack, and
 * rows that are moved go to where the primaries are.
 */
static bool
reads_replicas(ShoalRun *run, const ShoalGroup *group)
{
	return shoal_read_from != SHOAL_READ_PRIMARY && shoal_origin == 0 &&
		group->mirrored &&
		!run->call.writes && !run->frag->only_primary && run->frag->moves == NIL && shoal_xact_writers() == 0;
}

/* A copy's node, or the primary's if no other one is better. */
static int
pick_copy(const ShoalGroup *group, int shard, unsigned int seed)
{
	const ShoalNode *local = shoal_meta_node(shoal_meta_local_node_id());
	int			primary = group->primary[shard];
	int			nodes[16];
	int			n = 0;

	for (int i = 0; i < group->ncopies && n < lengthof(nodes); i++)
	{
		const ShoalCopy *copy = &group->copies[i];
		const ShoalNode *node;

		if (copy->shard != shard || copy->state != SHOAL_COPY_ACTIVE ||
			(node = shoal_meta_node(copy->node_id)) == NULL ||
			!node->is_active ||
			shoal_health_is_suspect(copy->node_id))
			continue;
		if (shoal_read_from == SHOAL_READ_NEAREST)
		{
			if (node->is_local)
				return copy->node_id;
			if (local && strcmp(node->host, local->host) != 0)
				continue;
		}
		nodes[n++] = copy->node_id;
	}
	if (n == 0)
		return shoal_run_shard_node(group, shard);
	for (int i = 0; i < n && shoal_read_from == SHOAL_READ_NEAREST; i++)
		if (nodes[i] == primary)
			return primary;
	return nodes[(seed + shard) % n];
}

/*
 * The node of the only shard that is written.  If that is this node the shard is locked
 * now, as a task that has been started here could not be sent elsewhere.
 */
static int
settle_shard(const ShoalFragment *frag, int group_id, int shard)
{
	int			local = shoal_meta_local_node_id();
	int			node_id;

	do
		node_id = shoal_run_shard_node(shoal_meta_group(group_id), shard);
	while (node_id == local &&
		   !shoal_scope_settle(frag->pin_relid, shard,
							   frag->command == CMD_SELECT ? RowShareLock :
							   RowExclusiveLock));
	return node_id;
}

static void
make_tasks(ShoalRun *run)
{
	static unsigned int seed = 0;
	const ShoalFragment *frag = run->frag;
	const ShoalGroup *group = NULL;
	List	   *nodes = shoal_meta_nodes();
	ListCell   *lc;

	run->tasks = palloc0(sizeof(ShoalTask) * (list_length(nodes) + 1));
	run->ntasks = 0;
	run->nshards = 0;
	if (frag->every_node)
	{
		foreach(lc, nodes)
			(void) task_of_node(run, ((const ShoalNode *) lfirst(lc))->node_id);
		return;
	}
	if (frag->group_id > 0)
		group = shoal_meta_group(frag->group_id);
	if (group == NULL || group->kind == SHOAL_KIND_REFERENCE)
		(void) task_of_node(run, shoal_meta_local_node_id());
	else
	{
		Bitmapset  *shards = find_shards(run, group);
		int			shard = -1;

		bool		avoids = run->call.again && run->call.again->avoid;

		run->call.any_copy = avoids || reads_replicas(run, group);
		if (seed++ == 0)
			seed = MyProcPid;
		while ((shard = bms_next_member(shards, shard)) >= 0)
		{
			ShoalTask  *task;

			task = task_of_node(run, avoids ?
								shoal_again_pick(run->again, group, shard) :
								run->call.any_copy ?
								pick_copy(group, shard, seed) :
								run->call.writes && frag->single_shard ?
								settle_shard(frag, group->group_id, shard) :
								shoal_run_shard_node(group, shard));
			task->shards = bms_add_member(task->shards, shard);
			run->nshards++;
		}
	}
}

static void
evaluate_params(ShoalRun *run)
{
	ExprContext *econtext = run->parent->ps_ExprContext;
	MemoryContext old = MemoryContextSwitchTo(run->param_cxt);

	for (int i = 0; i < list_length(run->frag->params); i++)
	{
		if (run->param_states[i])
			run->call.values[i] = ExecEvalExpr(run->param_states[i], econtext,
											   &run->call.nulls[i]);
	}
	run->evaluated = true;
	MemoryContextSwitchTo(old);
}

/* Whether some of it is done on other nodes. */
static bool
has_remote(const ShoalRun *run)
{
	for (int i = 0; i < run->ntasks; i++)
		if (!run->tasks[i].local)
			return true;
	return false;
}

/* The parameters as they travel, if they have to. */
static void
encode_params(ShoalRun *run)
{
	ShoalCall  *call = &run->call;

	call->wire = NULL;
	if (has_remote(run) && call->nparams > 0)
		call->wire = shoal_wire_params(shoal_wire_encoder(call->nparams,
														  call->types, false),
									   call->values, call->nulls);
}

/* ---- snapshots of a run with steps or moves ---- */

static Snapshot
take_own_snapshot(void *arg)
{
	ShoalRun   *run = arg;

	if (run->own_snapshot)
		UnregisterSnapshotFromOwner(run->own_snapshot, run->call.owner);
	run->own_snapshot = shoal_snapshot_now(run->call.owner);
	return run->own_snapshot;
}

static void
set_reading(ShoalRun *run, ShoalReading reading)
{
	run->call.reading = reading;
	for (int i = 0; i < list_length(run->frag->moves); i++)
		set_reading(run->moves[i], reading);
	for (int i = 0; i < list_length(run->frag->steps); i++)
		set_reading(run->steps[i], reading);
}

/* One moment for the run and for what is worked out or moved before it. */
static void
hold_moment(ShoalRun *run, ShoalHope *hope)
{
	ShoalReading reading = {0};

	reading.moment = hope ? shoal_hope_moment(hope) :
		shoal_moment_hold(take_own_snapshot, run);
	reading.snapshot = run->own_snapshot;
	run->hope = hope;
	run->holds = true;
	set_reading(run, reading);
}

/* Whether the first thing that a run does can as well be done twice. */
static bool
begins_harmlessly(const ShoalRun *run)
{
	const ShoalFragment *first = run->frag->steps ? run->steps[0]->frag : NULL;

	return first && !run->stepped && first->command == CMD_SELECT &&
		!first->is_volatile && !first->locks_rows &&
		shoal_xact_writers() == 0;
}

/*
 * The same, before steps are worked out; the snapshots are taken along with the first
 * one if possible.
 */
static void
hold_ahead(ShoalRun *run)
{
	hold_moment(run, begins_harmlessly(run) ?
				shoal_hope_begin(take_own_snapshot, run) : NULL);
}

static void
drop_snapshots(ShoalRun *run)
{
	ShoalReading none = {0};

	if (run->holds)
	{
		shoal_moment_drop(run->call.reading.moment);
		set_reading(run, none);
	}
	run->holds = false;
	if (run->own_snapshot)
		UnregisterSnapshotFromOwner(run->own_snapshot, run->call.owner);
	run->own_snapshot = NULL;
}

/* When the first step is done: whether all snapshots agree.  If not there are new ones. */
static bool
confirm_moment(ShoalRun *run)
{
	ShoalHope  *hope = run->hope;

	run->hope = NULL;
	if (hope == NULL || shoal_hope_holds(hope))
		return true;
	drop_snapshots(run);
	hold_moment(run, NULL);
	return false;
}

/* ---- rows that are moved before ---- */

/* Where rows go: a spec for those who send them. */
static char *
targets_of_move(ShoalRun *run, const ShoalFragmentMove *move, char *token)
{
	const ShoalGroup *group;
	Bitmapset  *nodes = NULL;
	int		   *targets;

	if (!OidIsValid(move->relid))
	{
		targets = palloc(sizeof(int) * run->ntasks);
		for (int i = 0; i < run->ntasks; i++)
			targets[i] = run->tasks[i].node_id;
		return shoal_scatter_spec(token, targets, run->ntasks, NULL, 0);
	}

	/* shards of nodes that the fragment does not run on need none */
	for (int i = 0; i < run->ntasks; i++)
		nodes = bms_add_member(nodes, run->tasks[i].node_id);
	group = shoal_meta_group(shoal_meta_table(move->relid)->group_id);
	targets = palloc(sizeof(int) * group->shard_count);
	for (int i = 0; i < group->shard_count; i++)
		targets[i] = bms_is_member(group->primary[i], nodes) ?
			group->primary[i] : 0;
	return shoal_scatter_spec(token, targets, group->shard_count,
							  shoal_objects_relation_name(move->relid),
							  1);
}

/* Tells the fragment of rows that were moved, or will be. */
static void
tell_rows(ShoalRun *run, const ShoalFragmentMove *move, const char *token,
		  double rows, const int *senders, int nsenders)
{
	/* rows are spread evenly, for all that is known */
	if (OidIsValid(move->relid))
		rows /= Max(run->ntasks, 1);
	run->call.values[move->spec_param] =
		CStringGetTextDatum(shoal_moved_spec(token, rows, senders, nsenders));
	run->call.nulls[move->spec_param] = false;
}

static void
run_move(ShoalRun *run, const ShoalFragmentMove *move, ShoalRun *source)
{
	char	   *token = shoal_rowfile_token();
	TupleTableSlot *slot = MakeSingleTupleTableSlot(source->call.desc,
													&TTSOpsVirtual);
	int		   *senders;
	int			nsenders = 0;
	double		rows = 0;

	source->call.values[move->source_param] =
		CStringGetTextDatum(targets_of_move(run, move, token));
	source->call.nulls[move->source_param] = false;
	shoal_run_start(source);
	senders = palloc(sizeof(int) * source->ntasks);
	while (shoal_run_next(source, slot))
	{
		double		sent;

		slot_getallattrs(slot);
		if (slot->tts_isnull[0])
			continue;
		if (sscanf(TextDatumGetCString(slot->tts_values[0]), "%d %lf",
				   &senders[nsenders++], &sent) != 2)
			elog(ERROR, "a node does not say what it has moved");
		rows += sent;
	}
	shoal_run_end(source, false);
	ExecDropSingleTupleTableSlot(slot);
	tell_rows(run, move, token, rows, senders, nsenders);
}

/* Before rows are moved, EXPLAIN is to see how many are expected. */
static void
expect_moves(ShoalRun *run)
{
	ListCell   *lc;

	foreach(lc, run->frag->moves)
	{
		ShoalFragmentMove *move = (ShoalFragmentMove *) lfirst(lc);

		tell_rows(run, move, "", move->rows, NULL, 0);
	}
}

/*
 * The value of a step that another run has worked out before, which needs this one.
 * The same parameter is the same step.
 */
static bool
find_step(const ShoalRun *run, Node *param, Datum *value, bool *isnull)
{
	for (run = run->outer; run != NULL; run = run->outer)
	{
		ListCell   *lc;

		foreach(lc, run->stepped ? run->frag->steps : NIL)
		{
			int			n = ((ShoalFragmentStep *) lfirst(lc))->param;

			if (equal(list_nth(run->frag->params, n), param))
			{
				*value = run->call.values[n];
				*isnull = run->call.nulls[n];
				return true;
			}
		}
	}
	return false;
}

static void
run_step(ShoalRun *run, const ShoalFragmentStep *step, ShoalRun *source)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(source->call.desc, &TTSOpsVirtual);
	Datum	   *value = &run->call.values[step->param];
	bool	   *isnull = &run->call.nulls[step->param];

	shoal_run_start(source);
	if (!shoal_run_next(source, slot))
		elog(ERROR, "a step returned no row");
	*value = slot_getattr(slot, 1, isnull);
	if (!*isnull)
	{
		Form_pg_attribute att = TupleDescAttr(source->call.desc, 0);
		MemoryContext old = MemoryContextSwitchTo(run->parent->state->es_query_cxt);

		*value = datumCopy(*value, att->attbyval, att->attlen);
		MemoryContextSwitchTo(old);
	}
	shoal_run_end(source, false);
	ExecDropSingleTupleTableSlot(slot);
}

/* Their values hold as long as the run, whatever other parameters become. */
static void
run_steps(ShoalRun *run)
{
	ListCell   *lc;

	foreach(lc, run->frag->steps)
	{
		ShoalFragmentStep *step = (ShoalFragmentStep *) lfirst(lc);
		ShoalRun   *source = run->steps[foreach_current_index(lc)];

		if (find_step(run, list_nth(run->frag->params, step->param),
					  &run->call.values[step->param], &run->call.nulls[step->param]))
			continue;
		run_step(run, step, source);
		if (!confirm_moment(run))
			run_step(run, step, source);
	}
	run->stepped = true;
}

/*
 * The snapshot for what is done here.  While it was waited for the fate of another
 * node, shards may have come to this one; if nothing else is read with the
 * statement's snapshot, there can be a new one.
 */
static Snapshot
pick_snapshot(ShoalRun *run)
{
	const ShoalFragment *frag = run->frag;
	Snapshot	snapshot = run->call.reading.snapshot ? run->call.reading.snapshot :
	run->parent->state->es_snapshot;

	if (frag->group_id <= 0 || frag->every_node || run->outer != NULL ||
		frag->moves != NIL || frag->steps != NIL ||
		run->call.reading.moment != 0 || IsolationUsesXactSnapshot())
		return snapshot;
	for (int i = 0; i < run->ntasks; i++)
	{
		if (run->tasks[i].local &&
			shoal_scope_is_older(snapshot, shoal_meta_group(frag->group_id),
								 run->tasks[i].shards))
			return take_own_snapshot(run);
	}
	return snapshot;
}

void
shoal_run_prepare(ShoalRun *run)
{
	ShoalCall  *call = &run->call;
	MemoryContext old;

	if (!run->stepped)
		run_steps(run);
	if (!run->evaluated)
		evaluate_params(run);
	MemoryContextReset(run->cxt);
	old = MemoryContextSwitchTo(run->cxt);
	make_tasks(run);
	call->snapshot = pick_snapshot(run);
	expect_moves(run);
	encode_params(run);
	call->decoder = NULL;
	if (call->desc && call->forward == SHOAL_WIRE_BEST)
		call->decoder = shoal_wire_decoder(call->desc, call->forward);
	run->affected = 0;
	run->current = 0;
	run->merge = NULL;
	MemoryContextSwitchTo(old);
}

/* ---- starting with snapshots that agree ---- */

/* Whether a node was lost and the run has to be started again. */
static bool
has_lost(const ShoalRun *run)
{
	return run->call.again != NULL && run->call.again->error != NULL;
}

/* The nodes of a run's tasks, or the other ones among them. */
static List *
nodes_of(const ShoalRun *run, bool others)
{
	List	   *ids = NIL;

	for (int i = 0; i < run->ntasks; i++)
		if (!others || !run->tasks[i].local)
			ids = lappend_int(ids, run->tasks[i].node_id);
	return ids;
}

/* Starts the tasks so that each reads with a snapshot of the same moment. */
static void
take_at_moment(void *arg)
{
	ShoalRun   *run = arg;
	List	   *ids = nodes_of(run, false);

	for (int i = 0; i < run->ntasks; i++)
		shoal_task_settle(&run->tasks[i]);
	(void) shoal_moment_open(ids);
	run->call.taking = true;
	shoal_task_start_some(run->tasks, run->ntasks, run->ntasks > 1, false);
	run->call.snapshot = take_own_snapshot(run);
	shoal_moment_close();
}

static bool
has_local(const ShoalRun *run)
{
	for (int i = 0; i < run->ntasks; i++)
		if (run->tasks[i].local)
			return true;
	return false;
}

/*
 * Whether a transaction could be seen by half: on one node only, or, as a node may have
 * been written over several connections, in some of its shards.
 */
static bool
may_see_half(const ShoalRun *run)
{
	return run->ntasks > 1 || run->call.any_copy ||
		(run->ntasks == 1 &&
		 bms_membership(run->tasks[0].shards) == BMS_MULTIPLE);
}

typedef struct CalmStart
{
	ShoalRun   *run;
	bool		tried;
	bool		holds;
} CalmStart;

static void
take_calmly(void *arg)
{
	CalmStart  *start = arg;
	ShoalRun   *run = start->run;
	List	   *others = nodes_of(run, true);
	ShoalCalm  *calm;
	Snapshot	own = NULL;

	if (others == NIL)
	{
		start->tried = true;
		run->call.snapshot = take_own_snapshot(run);
		start->holds = shoal_calm_is(run->call.snapshot);
		return;
	}
	calm = shoal_calm_begin(others);
	if (calm == NULL)
		return;
	start->tried = true;
	run->call.calm = true;
	shoal_task_start_some(run->tasks, run->ntasks, run->ntasks > 1, false);
	if (has_local(run))
		run->call.snapshot = own = take_own_snapshot(run);
	start->holds = shoal_calm_holds(calm, own);
}

/*
 * Starts the tasks in the hope that their snapshots agree.  If they don't (false),
 * nothing has been started.
 */
static bool
start_calmly(ShoalRun *run)
{
	CalmStart	start = {run, false, false};

	/* copies of a node that may be cut off are read with all that is in doubt settled */
	if (run->call.any_copy)
		return false;
	/* nothing has to be thrown away if all of it is done here */
	if (has_remote(run) && !shoal_again_is_harmless(run))
		return false;
	(void) shoal_again_try(&run->call, 0, take_calmly, &start);
	run->call.calm = false;
	if (has_lost(run))
		return true;
	if (start.holds)
		shoal_task_start_some(run->tasks, run->ntasks, run->ntasks > 1, true);
	else if (start.tried)
	{
		shoal_run_end(run, false);
		shoal_run_prepare(run);
	}
	return start.holds;
}

static void
start_at_moment(ShoalRun *run)
{
	if (shoal_again_try(&run->call, 0, take_at_moment, run) && !has_lost(run))
		shoal_task_start_some(run->tasks, run->ntasks, run->ntasks > 1, true);
	run->call.taking = false;
}

/* The first node's rows and count are the result, the others' are not. */
static void
start_every_node(ShoalRun *run)
{
	ShoalTask  *first = &run->tasks[0];

	shoal_same_note(run->frag->pin_relid, run->frag->command);
	shoal_task_start(first, run->ntasks > 1);
	shoal_task_absorb(first);
	shoal_task_start_all(first + 1, run->ntasks - 1, true);
	for (int i = 1; i < run->ntasks; i++)
	{
		shoal_task_drain(&run->tasks[i]);
		shoal_task_end(&run->tasks[i]);
		run->tasks[i].affected = 0;
	}
}

/* Starts the tasks of a run that is prepared. */
static void
launch(ShoalRun *run)
{
	if (shoal_share_plan(run))
	{
		if (run->call.reading.moment == 0)
			hold_moment(run, NULL);
		run->call.snapshot = run->call.reading.snapshot;
		shoal_share_deal(run);
	}
	if (run->frag->sees_rows && run->call.reading.moment == 0 &&
		shoal_moment_needed())
	{
		hold_moment(run, NULL);
		run->call.snapshot = run->call.reading.snapshot;
	}
	if (run->frag->every_node)
		start_every_node(run);
	else if (may_see_half(run) && run->call.reading.moment == 0 &&
			 shoal_moment_wanted())
	{
		if (!start_calmly(run))
			start_at_moment(run);
	}
	else
		shoal_task_start_all(run->tasks, run->ntasks, run->ntasks > 1);
	if (run->call.reading.moment != 0 && has_remote(run))
		shoal_hope_send_rest(run->call.reading.moment);
	if (run->frag->sort != NIL && run->ntasks > 1)
		run->merge = shoal_merge_start(run->tasks, run->ntasks,
									   run->frag->sort, run->call.desc);
}

/* As often as a node is lost. */
static void
launch_again(ShoalRun *run)
{
	while (has_lost(run))
	{
		MemoryContext old;

		shoal_again_prepare(run);
		old = MemoryContextSwitchTo(run->cxt);
		launch(run);
		MemoryContextSwitchTo(old);
	}
}

/*
 * Keeps the run's shards, and those of what is worked out or moved before it, where they
 * are.  If it can be started again that is not needed; where snapshots are held for the
 * whole statement it has been done.
 */
static void
hold_shards(ShoalRun *run)
{
	const ShoalFragment *frag = run->frag;
	Bitmapset  *shards = NULL;

	for (int i = 0; i < list_length(frag->moves); i++)
		hold_shards(run->moves[i]);
	for (int i = 0; i < list_length(frag->steps); i++)
		hold_shards(run->steps[i]);
	if (frag->group_id <= 0 || !shoal_meta_group(frag->group_id)->moving)
		return;
	/* which ones depends on steps, or on rows of another run */
	if (frag->steps == NIL && run->outer == NULL)
	{
		if (!run->evaluated)
			evaluate_params(run);
		shards = find_shards(run, shoal_meta_group(frag->group_id));
	}
	shoal_hold_shards(frag->group_id, shards, run->call.writes);
}

void
shoal_run_start(ShoalRun *run)
{
	MemoryContext old;
	ListCell   *lc;

	if (run->call.again == NULL && run->outer == NULL && run->call.reading.moment == 0)
		hold_shards(run);
	if ((run->frag->steps || run->frag->moves) &&
		run->call.reading.moment == 0 && shoal_moment_wanted())
		hold_ahead(run);
	shoal_run_prepare(run);
	old = MemoryContextSwitchTo(run->cxt);
	foreach(lc, run->frag->moves)
		run_move(run, (ShoalFragmentMove *) lfirst(lc),
				 run->moves[foreach_current_index(lc)]);
	if (run->frag->moves)
		encode_params(run);
	launch(run);
	MemoryContextSwitchTo(old);
	launch_again(run);
}

static bool
run_finished(ShoalRun *run)
{
	run->affected = 0;
	for (int i = 0; i < run->ntasks; i++)
		run->affected += run->tasks[i].affected;
	return false;
}

static bool
next_row(ShoalRun *run, TupleTableSlot *slot)
{
	if (run->call.desc == NULL)
	{
		for (int i = 0; i < run->ntasks; i++)
			shoal_task_drain(&run->tasks[i]);
		return run_finished(run);
	}
	if (run->merge)
	{
		if (shoal_merge_next(run->merge, slot))
			return true;
		return run_finished(run);
	}
	for (;;)
	{
		int			which = run->ntasks == 1 ? 0 :
			shoal_task_pick(run->tasks, run->ntasks, run->current);

		if (which < 0)
			return run_finished(run);
		run->current = which;
		if (shoal_task_next(&run->tasks[which], slot))
			return true;
		if (run->ntasks == 1)
			return run_finished(run);
	}
}

/*
 * The first row, if the run can still be started again.  Aggregates have all
 * their work behind them when there is one; then those of all nodes are waited
 * for, which they will be in any case.
 */
static bool
first_row(ShoalRun *run, TupleTableSlot *slot)
{
	for (;;)
	{
		bool		found = next_row(run, slot);

		for (int i = 0; run->frag->partial && i < run->ntasks; i++)
			shoal_task_await(&run->tasks[i]);
		if (!has_lost(run))
			return found;
		launch_again(run);
	}
}

bool
shoal_run_next(ShoalRun *run, TupleTableSlot *slot)
{
	bool		found;

	if (run->call.again == NULL)
		return next_row(run, slot);
	found = first_row(run, slot);
	/* from here on there is no way back */
	run->call.again = NULL;
	return found;
}

void
shoal_run_end(ShoalRun *run, bool reevaluate)
{
	for (int i = 0; i < run->ntasks; i++)
		shoal_task_end(&run->tasks[i]);
	drop_snapshots(run);
	run->ntasks = 0;
	run->merge = NULL;
	MemoryContextReset(run->cxt);
	if (reevaluate)
	{
		for (int i = 0; i < list_length(run->frag->moves); i++)
			shoal_run_end(run->moves[i], true);
		for (int i = 0; i < list_length(run->frag->steps); i++)
			shoal_run_end(run->steps[i], true);
		run->evaluated = false;
		MemoryContextReset(run->param_cxt);
	}
}
