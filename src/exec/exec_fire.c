/*
 * exec_fire.c
 *		Shoal Insert with row triggers that are fired here.
 *
 * Each row that the child has made is given to the triggers that are BEFORE,
 * and what comes of it is kept.  When some are kept, nodes write them, one
 * statement for each shard, so that the shard's partition, without triggers,
 * takes the table's place. What nodes return, the rows as they have been
 * written, goes to the triggers that are AFTER in the order in which the rows
 * came, and to RETURNING.
 *
 * On one server a BEFORE trigger sees the rows that the statement has written
 * before its own.  So if there are such triggers, and they may look at tables
 * (plan_quiet.c), rows are written one by one; and if what makes the rows may
 * (exec_source.c).
 *
 * A row whose key has changed is deleted in its old shard and inserted into its
 * new one; that is an UPDATE for the triggers, as it is on one server.
 *
 * ON CONFLICT DO UPDATE: the INSERT does nothing if there is a conflict; then
 * the row that is in the way is looked for and updated (plan_conflict.c).
 *
 * The child of an UPDATE or DELETE has locked its rows, so they are as it has
 * seen them when they are written, unless a trigger changes them: then they are
 * not found again, which is an error, as in core.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "exec/exec_internal.h"
#include "xact/xact.h"

/* bytes of rows that are kept */
#define KEEP_BYTES		(8 * 1024 * 1024)

/* What nodes do, in this order, so that a key that is freed can be taken. */
typedef enum FireStep
{
	STEP_DELETE,
	STEP_UPDATE,
	STEP_INSERT
} FireStep;

#define NSTEPS			3

typedef struct FireRow
{
	int			shard;			/* where it is, or is to be inserted */
	int			new_shard;		/* where it moves; -1: nowhere */
	Datum	   *find;			/* values by which it is found */
	bool	   *find_nulls;
	HeapTuple	old;			/* NULL in an INSERT */
	HeapTuple	new;			/* NULL in a DELETE; once written: as it is then */
	Datum	   *others;			/* for RETURNING */
	bool	   *others_nulls;
	bool		done;
} FireRow;

/* A statement for a shard, under way. */
typedef struct FireTask
{
	ShoalCall	call;
	ShoalTask	task;
	int			first;			/* its rows: position in an order ... */
	int			nrows;			/* ... and how many */
} FireTask;

/* How a step is done. */
typedef struct FireStatement
{
	CmdType		command;
	ShoalValues values;
	TupleDesc	desc;			/* of what nodes return */
	ShoalDecoder *decoder;
	bool		numbered;		/* the first column is the row's number */
	bool		placed;			/* the last one is the row's place */
	bool		finds;			/* rows begin with values by which they are found */
	List	   *columns;		/* then come these columns of the new row */
} FireStatement;

typedef struct FireState
{
	ShoalKept	kept;			/* must be first; its rows are RETURNING's */
	ShoalInsert *insert;
	ShoalFire  *fire;
	const ShoalTable *table;
	Bitmapset  *held;			/* shards that don't move any more */
	Relation	rel;
	int			nlive;			/* columns that are not dropped */
	int		   *live;			/* their indexes */
	List	   *param_states;
	FireStatement statements[NSTEPS];
	int		   *child_column;	/* index into the child's slot */
	int			nchild;
	ShoalRowTriggers *triggers;
	ShoalActions *actions;		/* NULL: left to nodes */
	ShoalRowTriggers *conflict_triggers;	/* of ON CONFLICT DO UPDATE */
	ShoalValues conflict_values;	/* just what comes before the row */
	List	   *conflict_states;
	TupleDesc	conflict_desc;
	TupleTableSlot *new_slot;
	HTAB	   *seen;			/* rows that have come, or have been written;
								 * NULL: not needed */
	int			maxrows;		/* 0: not known yet */
	int			nrows;
	FireRow    *rows;
	MemoryContext rows_cxt;		/* of what they point to */
	bool		last;			/* no more will come */
	bool		flushed;		/* something has been sent */
	uint64		affected;
} FireState;

/* What tells a row from others. */
typedef struct SeenKey
{
	int			shard;
	ItemPointerData tid;
} SeenKey;

/* ---- the statements ---- */

static TupleDesc
make_desc(FireState *state, bool numbered, bool whole, bool placed)
{
	TupleDesc	rel = RelationGetDescr(state->rel);
	TupleDesc	desc = CreateTemplateTupleDesc(numbered + placed +
											   (whole ? state->nlive : 0));

	if (numbered)
		TupleDescInitEntry(desc, 1, "number", INT4OID, -1, 0);
	for (int i = 0; whole && i < state->nlive; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rel, state->live[i]);

		TupleDescInitEntry(desc, numbered + i + 1, NameStr(att->attname),
						   att->atttypid, att->atttypmod, 0);
		TupleDescInitEntryCollation(desc, numbered + i + 1, att->attcollation);
	}
	if (placed)
		TupleDescInitEntry(desc, desc->natts, "ctid", TIDOID, -1, 0);
	return desc;
}

static void
init_statement(FireState *state, FireStep step, const char *head,
			   const char *tail, List *columns)
{
	FireStatement *statement = &state->statements[step];
	ShoalValues *values = &statement->values;
	int			n = 0;
	ListCell   *lc;

	statement->command = step == STEP_DELETE ? CMD_DELETE :
		step == STEP_UPDATE ? CMD_UPDATE : CMD_INSERT;
	statement->finds = statement->numbered = (step != STEP_INSERT);
	statement->columns = columns;
	statement->placed = state->fire->conflict_text != NULL;
	statement->desc = make_desc(state, statement->numbered, step != STEP_DELETE,
								statement->placed);
	statement->decoder = shoal_wire_decoder(statement->desc, SHOAL_WIRE_BEST);
	values->head = head;
	values->tail = tail;
	values->typed = statement->finds;
	values->types = palloc(sizeof(Oid) * (state->fire->nfind + 1 +
										  list_length(columns)));
	if (statement->finds)
	{
		foreach(lc, state->fire->find_types)
			values->types[n++] = lfirst_oid(lc);
		values->types[n++] = INT4OID;
	}
	foreach(lc, columns)
		values->types[n++] = TupleDescAttr(RelationGetDescr(state->rel),
										   lfirst_int(lc) - 1)->atttypid;
	values->ncolumns = n;
	values->array_types = shoal_values_array_types(values->types, n);
}

/* What the query for a conflict returns. */
static void
init_conflict(FireState *state)
{
	TupleDesc	rel = RelationGetDescr(state->rel);
	List	   *set = state->fire->set;
	int			n = 1 + state->nlive;
	TupleDesc	desc = CreateTemplateTupleDesc(n + list_length(set) + 1);
	ListCell   *lc;

	TupleDescInitEntry(desc, 1, "ctid", TIDOID, -1, 0);
	for (int i = 0; i < state->nlive; i++)
		TupleDescCopyEntry(desc, i + 2, rel, state->live[i] + 1);
	foreach(lc, set)
		TupleDescCopyEntry(desc, ++n, rel, lfirst_int(lc));
	TupleDescInitEntry(desc, n + 1, "updates", BOOLOID, -1, 0);
	state->conflict_desc = desc;
	state->conflict_values.tail_params = state->fire->conflict_params;
}

static void
init_statements(FireState *state)
{
	ShoalFire  *fire = state->fire;

	if (fire->insert_head)
	{
		init_statement(state, STEP_INSERT, fire->insert_head, fire->insert_tail,
					   fire->written);
		state->statements[STEP_INSERT].values.tail_params = state->insert->tail_params;
	}
	if (fire->update_head)
		init_statement(state, STEP_UPDATE, fire->update_head, fire->update_tail,
					   fire->updated);
	if (fire->delete_head)
		init_statement(state, STEP_DELETE, fire->delete_head, fire->delete_tail,
					   NIL);
	if (fire->conflict_text)
		init_conflict(state);
}

/* ---- sending rows ---- */

/* Has the row a part in the step?  If so, in which shard. */
static bool
takes_part(FireRow *row, FireStep step, int *shard)
{
	bool		moves = row->new_shard >= 0;

	*shard = step == STEP_INSERT && moves ? row->new_shard : row->shard;
	switch (step)
	{
		case STEP_DELETE:
			return row->new == NULL || moves;
		case STEP_UPDATE:
			return row->old != NULL && row->new != NULL && !moves;
		default:
			/* one that moves has been found where it was */
			return moves ? row->done : row->old == NULL;
	}
}

/* The values that a step needs of a row. */
static void
fill_row(FireState *state, FireStatement *statement, FireRow *row,
		 Datum *values, bool *nulls)
{
	int			n = 0;
	ListCell   *lc;

	if (statement->finds)
	{
		for (; n < state->fire->nfind; n++)
		{
			values[n] = row->find[n];
			nulls[n] = row->find_nulls[n];
		}
		values[n] = Int32GetDatum(row - state->rows);
		nulls[n++] = false;
	}
	foreach(lc, statement->columns)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(state->rel),
											  lfirst_int(lc) - 1);

		values[n] = heap_getattr(row->new, lfirst_int(lc),
								 RelationGetDescr(state->rel), &nulls[n]);
		/* what is stored out of line here means nothing elsewhere */
		if (!nulls[n] && att->attlen == -1)
			values[n] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[n]));
		n++;
	}
}

/* The call of a statement for some rows. */
static void
fill_call(FireState *state, FireStatement *statement, FireRow **rows,
		  int nrows, ShoalCall *call)
{
	int			ncolumns = statement->values.ncolumns;
	Datum	   *values = palloc(sizeof(Datum) * ncolumns * nrows);
	bool	   *nulls = palloc(sizeof(bool) * ncolumns * nrows);

	for (int i = 0; i < nrows; i++)
		fill_row(state, statement, rows[i], values + i * ncolumns,
				 nulls + i * ncolumns);
	shoal_values_fill(call, &statement->values, nrows, values, nulls);
	call->group_id = state->table->kind == SHOAL_KIND_REFERENCE ? 0 :
		state->table->group_id;
	call->command = statement->command;
	call->run_as = state->insert->run_as;
	call->rights = state->insert->rights;
	call->timed = state->insert->is_timed;
	call->writes = true;
	call->fired = true;
	call->acted = state->fire->acts;
	call->snapshot = GetTransactionSnapshot();
	call->owner = CurrentResourceOwner;
	call->cxt = CurrentMemoryContext;
	call->forward = SHOAL_WIRE_BEST;
	call->desc = statement->desc;
	call->decoder = statement->decoder;
}

static void
make_call(FireState *state, FireStatement *statement, const int *numbers,
		  FireTask *task)
{
	FireRow   **rows = palloc(sizeof(FireRow *) * task->nrows);

	for (int i = 0; i < task->nrows; i++)
		rows[i] = &state->rows[numbers[task->first + i]];
	fill_call(state, statement, rows, task->nrows, &task->call);
}

/* Has a row been noted?  If not, notes it with HASH_ENTER. */
static bool
is_noted(FireState *state, int shard, Datum place, HASHACTION action)
{
	SeenKey		key;
	bool		found;

	memset(&key, 0, sizeof(key));
	key.shard = shard;
	key.tid = *(ItemPointer) DatumGetPointer(place);
	(void) hash_search(state->seen, &key, action, &found);
	return found;
}

/* Reads what a task returns: its rows have been written. */
static void
collect(FireState *state, FireStatement *statement, const int *numbers,
		FireTask *task)
{
	TupleDesc	desc = RelationGetDescr(state->rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(statement->desc,
													&TTSOpsVirtual);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	int			n = 0;

	while (shoal_task_next(&task->task, slot))
	{
		int			number = statement->numbered ? DatumGetInt32(slot->tts_values[0]) :
			numbers[task->first + n];
		FireRow    *row;

		if (n++ >= task->nrows || number < 0 || number >= state->nrows)
			elog(ERROR, "unexpected row of a node");
		row = &state->rows[number];
		row->done = true;
		if (statement->command == CMD_DELETE)
			continue;
		if (statement->placed)
			(void) is_noted(state, row->shard,
							slot->tts_values[statement->desc->natts - 1],
							HASH_ENTER);
		memset(nulls, true, sizeof(bool) * desc->natts);
		for (int i = 0; i < state->nlive; i++)
		{
			values[state->live[i]] = slot->tts_values[statement->numbered + i];
			nulls[state->live[i]] = slot->tts_isnull[statement->numbered + i];
		}
		row->new = heap_form_tuple(desc, values, nulls);
		row->new->t_tableOid = RelationGetRelid(state->rel);
	}
	shoal_task_end(&task->task);
	ExecDropSingleTupleTableSlot(slot);
}

/* To every node, the lowest first; what that returns counts. */
static void
send_everywhere(FireState *state, FireStatement *statement, const int *numbers,
				FireTask *task)
{
	List	   *nodes = shoal_meta_nodes();
	int			n = list_length(nodes);
	ShoalTask  *tasks = palloc0(sizeof(ShoalTask) * n);

	for (int i = 0; i < n; i++)
	{
		tasks[i].call = &task->call;
		tasks[i].node_id = ((const ShoalNode *) list_nth(nodes, i))->node_id;
		tasks[i].local = tasks[i].node_id == shoal_meta_local_node_id();
	}
	if (n > 1)
		shoal_values_encode(&task->call);
	shoal_task_start(&tasks[0], n > 1);
	task->task = tasks[0];
	collect(state, statement, numbers, task);
	shoal_task_start_all(tasks + 1, n - 1, true);
	for (int i = 1; i < n; i++)
	{
		shoal_task_drain(&tasks[i]);
		shoal_task_end(&tasks[i]);
	}
}

/*
 * Is a task all that there is of its statement?  Then it may commit by itself on
 * its node.
 */
static bool
is_alone(FireState *state, int ntasks)
{
	PlanState  *ps = &state->kept.css.ss.ps;

	return state->last && !state->flushed && ntasks == 1 &&
		state->fire->command == CMD_INSERT && ps->ps_ProjInfo == NULL &&
		ps->qual == NULL && state->insert->triggers == NIL &&
		!shoal_rowtriggers_follow(state->triggers) &&
		state->fire->conflict_text == NULL &&
		ps->plan == ps->state->es_plannedstmt->planTree;
}

static void
send_tasks(FireState *state, FireStatement *statement, const int *numbers,
		   FireTask *tasks, int ntasks)
{
	bool		alone = is_alone(state, ntasks);

	for (int i = 0; i < ntasks; i++)
	{
		make_call(state, statement, numbers, &tasks[i]);
		tasks[i].call.alone = alone;
		tasks[i].task.call = &tasks[i].call;
		if (!tasks[i].task.local)
			shoal_values_encode(&tasks[i].call);
	}
	/* other nodes first: they work while this one does */
	for (int pass = 0; pass < 2; pass++)
	{
		for (int i = 0; i < ntasks; i++)
		{
			if (tasks[i].task.local == (pass == 1))
				shoal_task_start(&tasks[i].task, !alone);
		}
	}
	for (int i = 0; i < ntasks; i++)
		collect(state, statement, numbers, &tasks[i]);
}

typedef struct PlacedRow
{
	int			shard;
	int			number;
} PlacedRow;

static int
compare_places(const void *a, const void *b)
{
	const PlacedRow *left = a;
	const PlacedRow *right = b;

	if (left->shard != right->shard)
		return left->shard < right->shard ? -1 : 1;
	return left->number < right->number ? -1 : left->number > right->number;
}

static int
node_of_shard(FireState *state, int shard)
{
	return shoal_run_shard_node(shoal_hold_further(state->table->group_id, shard, &state->held,
												   state->kept.css.ss.ps.state->es_query_cxt),
								shard);
}

static void
run_step(FireState *state, FireStep step)
{
	FireStatement *statement = &state->statements[step];
	PlacedRow  *places = palloc(sizeof(PlacedRow) * state->nrows);
	int		   *numbers = palloc(sizeof(int) * state->nrows);
	FireTask   *tasks;
	int			nplaces = 0;
	int			ntasks = 0;

	for (int i = 0; i < state->nrows; i++)
	{
		if (!takes_part(&state->rows[i], step, &places[nplaces].shard))
			continue;
		/* until it is written there */
		state->rows[i].done = false;
		places[nplaces++].number = i;
	}
	if (nplaces == 0)
		return;
	qsort(places, nplaces, sizeof(PlacedRow), compare_places);
	tasks = palloc0(sizeof(FireTask) * nplaces);
	for (int i = 0; i < nplaces; i++)
	{
		FireTask   *task = &tasks[Max(ntasks - 1, 0)];

		numbers[i] = places[i].number;
		if (i == 0 || places[i].shard != places[i - 1].shard)
		{
			task = &tasks[ntasks++];
			task->first = i;
			if (state->table->kind != SHOAL_KIND_REFERENCE)
			{
				task->task.node_id = node_of_shard(state, places[i].shard);
				task->task.shards = bms_make_singleton(places[i].shard);
				task->task.local = task->task.node_id == shoal_meta_local_node_id();
			}
		}
		task->nrows++;
	}
	if (state->table->kind == SHOAL_KIND_REFERENCE)
	{
		make_call(state, statement, numbers, &tasks[0]);
		send_everywhere(state, statement, numbers, &tasks[0]);
	}
	else
		send_tasks(state, statement, numbers, tasks, ntasks);
}

/* ---- conflicts ---- */

static bool
column_differs(TupleDesc desc, int attnum, HeapTuple old, TupleTableSlot *new)
{
	Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);
	bool		old_null;
	Datum		value = heap_getattr(old, attnum, desc, &old_null);

	if (old_null || new->tts_isnull[attnum - 1])
		return old_null != new->tts_isnull[attnum - 1];
	return !datum_image_eq(value, new->tts_values[attnum - 1], att->attbyval,
						   att->attlen);
}

/*
 * Is the row to be deleted and inserted?  If its key has changed, or an identity column
 * that nodes can't be told to set.  Checks what can't be changed.
 */
static bool
has_moved(FireState *state, HeapTuple old, TupleTableSlot *new)
{
	TupleDesc	desc = RelationGetDescr(state->rel);
	bool		moves = false;

	for (int i = 0; i < state->table->nkeys; i++)
		moves |= column_differs(desc, state->table->keyattr[i], old, new);
	for (int i = 0; i < desc->natts; i++)
		moves |= TupleDescAttr(desc, i)->attidentity == ATTRIBUTE_IDENTITY_ALWAYS &&
			column_differs(desc, i + 1, old, new);
	if (moves && state->fire->rooted && !state->fire->acts)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("updating the distribution column is not supported over several nodes"),
				 errdetail("It is done by moving rows: foreign keys refer to the table."),
				 errhint("Delete the rows and insert them again.")));
	return moves;
}

/* Looks for the row that is in the way, and what is to become of it. */
static HeapTuple
find_conflict(FireState *state, FireRow *row)
{
	ShoalCall	call = {0};
	ShoalTask	task = {0};
	TupleTableSlot *slot = MakeSingleTupleTableSlot(state->conflict_desc,
													&TTSOpsVirtual);
	HeapTuple	found = NULL;
	List	   *written = state->fire->written;
	FireStatement rest = {.columns = written};

	rest.values.ncolumns = list_length(written);
	rest.values.types = state->statements[STEP_INSERT].values.types;
	rest.values.tail_params = state->conflict_values.tail_params;
	rest.values.tail_values = state->conflict_values.tail_values;
	rest.values.tail_nulls = state->conflict_values.tail_nulls;
	rest.values.head = "";
	rest.desc = state->conflict_desc;
	rest.decoder = shoal_wire_decoder(rest.desc, SHOAL_WIRE_BEST);
	rest.command = CMD_SELECT;
	/* rows of this statement that are here are to be seen */
	CommandCounterIncrement();
	fill_call(state, &rest, &row, 1, &call);
	call.text = state->fire->conflict_text;
	task.call = &call;
	task.node_id = node_of_shard(state, row->shard);
	task.shards = bms_make_singleton(row->shard);
	task.local = task.node_id == shoal_meta_local_node_id();
	if (!task.local)
		shoal_values_encode(&call);
	shoal_task_start(&task, true);
	while (shoal_task_next(&task, slot))
		found = ExecCopySlotHeapTuple(slot);
	shoal_task_end(&task);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/* Makes the row that was to be inserted one that is updated, if it is to be. */
static void
update_instead(FireState *state, FireRow *row, HeapTuple found)
{
	TupleDesc	desc = RelationGetDescr(state->rel);
	TupleTableSlot *slot = state->new_slot;
	int			n = state->conflict_desc->natts;
	Datum	   *values = palloc(sizeof(Datum) * n);
	bool	   *nulls = palloc(sizeof(bool) * n);
	Datum	   *old_values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *old_nulls = palloc(sizeof(bool) * desc->natts);
	int			nkeys = state->fire->nfind - 1;
	HeapTuple	old;
	ListCell   *lc;

	heap_deform_tuple(found, state->conflict_desc, values, nulls);
	if (is_noted(state, row->shard, values[0], HASH_FIND))
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("ON CONFLICT DO UPDATE command cannot affect row a second time"),
				 errhint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")));
	if (nulls[n - 1] || !DatumGetBool(values[n - 1]))
		return;
	memset(old_nulls, true, sizeof(bool) * desc->natts);
	for (int i = 0; i < state->nlive; i++)
	{
		old_values[state->live[i]] = values[i + 1];
		old_nulls[state->live[i]] = nulls[i + 1];
	}
	old = heap_form_tuple(desc, old_values, old_nulls);
	old->t_tableOid = RelationGetRelid(state->rel);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, old_values, sizeof(Datum) * desc->natts);
	memcpy(slot->tts_isnull, old_nulls, sizeof(bool) * desc->natts);
	foreach(lc, state->fire->set)
	{
		slot->tts_values[lfirst_int(lc) - 1] = values[1 + state->nlive + foreach_current_index(lc)];
		slot->tts_isnull[lfirst_int(lc) - 1] = nulls[1 + state->nlive + foreach_current_index(lc)];
	}
	ExecStoreVirtualTuple(slot);
	if (!shoal_rowtriggers_before(state->conflict_triggers, old, slot))
		return;
	slot_getallattrs(slot);
	if (has_moved(state, old, slot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("updating the distribution column in ON CONFLICT is not supported over several nodes"),
				 errhint("Delete the row and insert it again.")));
	row->old = old;
	row->new = ExecCopySlotHeapTuple(slot);
	row->find = palloc(sizeof(Datum) * (nkeys + 1));
	row->find_nulls = palloc0(sizeof(bool) * (nkeys + 1));
	for (int i = 0; i < nkeys; i++)
	{
		row->find[i] = old_values[state->table->keyattr[i] - 1];
		row->find_nulls[i] = old_nulls[state->table->keyattr[i] - 1];
	}
	row->find[nkeys] = values[0];
}

/* The only row that is kept has not been inserted. */
static void
resolve_conflict(FireState *state)
{
	FireRow    *row = &state->rows[0];
	HeapTuple	found;

	while ((found = find_conflict(state, row)) == NULL)
	{
		CHECK_FOR_INTERRUPTS();
		/* it is gone, or not to be seen */
		if (IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update")));
		run_step(state, STEP_INSERT);
		if (row->done)
			return;
	}
	update_instead(state, row, found);
	if (row->old)
		run_step(state, STEP_UPDATE);
}

/* ---- after rows have been written ---- */

static void
store_returned(FireState *state, FireRow *row)
{
	TupleTableSlot *slot = state->kept.css.ss.ss_ScanTupleSlot;
	int			natts = slot->tts_tupleDescriptor->natts;
	HeapTuple	tuple = row->new ? row->new : row->old;

	ExecClearTuple(slot);
	for (int i = 0; i < state->nlive; i++)
		slot->tts_values[i] = heap_getattr(tuple, state->live[i] + 1,
										   RelationGetDescr(state->rel),
										   &slot->tts_isnull[i]);
	for (int i = state->nlive; i < natts; i++)
	{
		slot->tts_values[i] = row->others[i - state->nlive];
		slot->tts_isnull[i] = row->others_nulls[i - state->nlive];
	}
	ExecStoreVirtualTuple(slot);
	tuplestore_puttupleslot(state->kept.rows, slot);
	ExecClearTuple(slot);
}

/* Has nodes write the rows that are kept. */
static void
flush(FireState *state)
{
	MemoryContext old = MemoryContextSwitchTo(state->rows_cxt);

	for (int step = 0; step < NSTEPS; step++)
	{
		/* but for updates that take the place of inserts */
		if (state->statements[step].values.head && state->nrows > 0 &&
			!(step == STEP_UPDATE && state->fire->conflict_text))
			run_step(state, step);
	}
	if (state->fire->conflict_text && state->nrows > 0 && !state->rows[0].done)
		resolve_conflict(state);
	for (int i = 0; i < state->nrows; i++)
	{
		FireRow    *row = &state->rows[i];

		/* an INSERT may leave a row out */
		if (!row->done && row->old == NULL)
			continue;
		if (!row->done)
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("tuple to be %s was already modified by an operation triggered by the current command",
							row->new ? "updated" : "deleted"),
					 errhint("Consider using an AFTER trigger instead of a BEFORE trigger to propagate changes to other rows.")));
		state->affected++;
		if (state->actions)
			shoal_actions_note(state->actions, row->old, row->new);
		if (row->new)
			ExecForceStoreHeapTuple(row->new, state->new_slot, false);
		shoal_rowtriggers_after(row->old && state->conflict_triggers ?
								state->conflict_triggers : state->triggers, row->old,
								row->new ? state->new_slot : NULL);
		if (state->kept.rows)
			store_returned(state, row);
	}
	ExecClearTuple(state->new_slot);
	state->flushed |= state->nrows > 0;
	state->nrows = 0;
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->rows_cxt);
}

/* ---- the child's rows ---- */

static int
shard_of(FireState *state, const Datum *values, const bool *nulls)
{
	Datum		key[PARTITION_MAX_KEYS];
	bool		isnull[PARTITION_MAX_KEYS];

	if (state->table->kind != SHOAL_KIND_DISTRIBUTED)
		return 0;
	for (int i = 0; i < state->table->nkeys; i++)
	{
		key[i] = values[state->table->keyattr[i] - 1];
		isnull[i] = nulls[state->table->keyattr[i] - 1];
	}
	return shoal_meta_shard_of(state->table, key, isnull, state->table->keytype);
}

/* Copies some values of the child's slot. */
static void
take_values(FireState *state, TupleTableSlot *child, int first, int n,
			Datum **values, bool **nulls)
{
	*values = palloc(sizeof(Datum) * Max(n, 1));
	*nulls = palloc(sizeof(bool) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		int			from = state->child_column[first + i];
		Form_pg_attribute att = TupleDescAttr(child->tts_tupleDescriptor, from);

		(*nulls)[i] = child->tts_isnull[from];
		(*values)[i] = (*nulls)[i] ? (Datum) 0 :
			datumCopy(child->tts_values[from], att->attbyval, att->attlen);
	}
}

/* The row as it is, of an UPDATE or DELETE. */
static HeapTuple
take_old(FireState *state, TupleTableSlot *child)
{
	TupleDesc	desc = RelationGetDescr(state->rel);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	HeapTuple	tuple;

	memset(nulls, true, sizeof(bool) * desc->natts);
	for (int i = 0; i < state->nlive; i++)
	{
		int			from = state->child_column[state->fire->nfind + 1 + i];

		values[state->live[i]] = child->tts_values[from];
		nulls[state->live[i]] = child->tts_isnull[from];
	}
	tuple = heap_form_tuple(desc, values, nulls);
	tuple->t_tableOid = RelationGetRelid(state->rel);
	return tuple;
}

/* The row that the statement makes, in new_slot. */
static void
take_new(FireState *state, TupleTableSlot *child, HeapTuple old)
{
	TupleTableSlot *slot = state->new_slot;
	TupleDesc	desc = RelationGetDescr(state->rel);
	List	   *columns = old ? state->fire->set : state->insert->attnums;
	int			first = old ? state->fire->nfind + 1 + state->nlive : 0;
	ListCell   *lc;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * desc->natts);
	if (old)
		heap_deform_tuple(old, desc, slot->tts_values, slot->tts_isnull);
	foreach(lc, columns)
	{
		int			from = state->child_column[first + foreach_current_index(lc)];

		slot->tts_values[lfirst_int(lc) - 1] = child->tts_values[from];
		slot->tts_isnull[lfirst_int(lc) - 1] = child->tts_isnull[from];
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(state->rel);
}

static void
add_row(FireState *state, TupleTableSlot *child)
{
	ShoalFire  *fire = state->fire;
	TupleDesc	desc = RelationGetDescr(state->rel);
	TupleTableSlot *slot = fire->command == CMD_DELETE ? NULL : state->new_slot;
	FireRow		row = {.new_shard = -1};
	int			first = fire->nfind + 1 + state->nlive + list_length(fire->set);
	Datum	   *values;
	bool	   *nulls;

	slot_getallattrs(child);
	if (fire->command != CMD_INSERT)
	{
		row.old = take_old(state, child);
		values = palloc(sizeof(Datum) * desc->natts);
		nulls = palloc(sizeof(bool) * desc->natts);
		heap_deform_tuple(row.old, desc, values, nulls);
		row.shard = shard_of(state, values, nulls);
		if (state->seen &&
			is_noted(state, row.shard,
					 child->tts_values[state->child_column[fire->nfind]],
					 HASH_ENTER))
			return;
		take_values(state, child, 0, fire->nfind, &row.find, &row.find_nulls);
		take_values(state, child, first, state->nchild - first, &row.others,
					&row.others_nulls);
	}
	if (slot)
		take_new(state, child, row.old);
	if (!shoal_rowtriggers_before(state->triggers, row.old, slot))
	{
		shoal_with_leave_alone(state->kept.css.ss.ps.state, 1);
		return;
	}
	if (slot)
	{
		slot_getallattrs(slot);
		row.new = ExecCopySlotHeapTuple(slot);
		if (row.old == NULL)
			row.shard = shard_of(state, slot->tts_values, slot->tts_isnull);
		else if (has_moved(state, row.old, slot))
			row.new_shard = shard_of(state, slot->tts_values, slot->tts_isnull);
	}
	state->rows[state->nrows++] = row;
}

static void
run(FireState *state, ShoalSource *source)
{
	EState	   *estate = state->kept.css.ss.ps.state;
	TupleTableSlot *slot;

	while ((slot = shoal_source_next(source)) != NULL)
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		/* what is of no use for a single row */
		if (state->nrows == 1 && state->maxrows == 0)
			state->maxrows = state->fire->one_by_one ||
				shoal_rowtriggers_look(state->triggers) ? 1 : shoal_batch_size;
		if ((state->nrows > 0 && state->nrows == state->maxrows) ||
			MemoryContextMemAllocated(state->rows_cxt, false) >= KEEP_BYTES)
			flush(state);
		old = MemoryContextSwitchTo(state->rows_cxt);
		add_row(state, slot);
		ResetPerTupleExprContext(estate);
		MemoryContextSwitchTo(old);
		if (source->one_by_one)
			flush(state);
	}
	state->last = true;
	flush(state);
}

static void
init_seen(FireState *state)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(SeenKey);
	ctl.entrysize = sizeof(SeenKey);
	ctl.hcxt = CurrentMemoryContext;
	state->seen = hash_create("Shoal rows of a write", 256, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
write_all(ShoalKept *kept)
{
	FireState  *state = (FireState *) kept;
	PlanState  *ps = &state->kept.css.ss.ps;
	ShoalInsert *insert = state->insert;
	MemoryContext old = MemoryContextSwitchTo(ps->state->es_query_cxt);
	ShoalSource source;
	ShoalTriggers *triggers;

	triggers = shoal_triggers_begin(ps->state, insert->triggers);
	state->triggers = shoal_rowtriggers_begin(ps->state, state->rel,
											  state->fire->command);
	shoal_values_evaluate(&state->statements[STEP_INSERT].values,
						  state->param_states, ps->ps_ExprContext);
	if (state->fire->conflict_text)
	{
		state->conflict_triggers = shoal_rowtriggers_begin(ps->state, state->rel,
														   CMD_UPDATE);
		shoal_triggers_capture(triggers, CMD_UPDATE,
							   shoal_rowtriggers_capture(state->conflict_triggers));
		shoal_values_evaluate(&state->conflict_values, state->conflict_states,
							  ps->ps_ExprContext);
	}
	if (state->fire->distinct || state->fire->conflict_text)
		init_seen(state);
	state->rows = palloc(sizeof(FireRow) * shoal_batch_size);
	if (insert->returns_rows)
		state->kept.rows = tuplestore_begin_heap(false, false, work_mem);
	if (insert->locked && state->table->kind == SHOAL_KIND_REFERENCE)
		shoal_insert_lock_reference(insert->relid);
	shoal_source_begin(&source, outerPlanState(ps), insert->relid, insert->locked, true,
					   false);
	if (insert->locked && !source.one_by_one && !source.store)
		(void) shoal_source_read(&source, 0);
	if (state->fire->acts)
		state->actions = shoal_actions_begin(state->rel, state->fire->command);
	run(state, &source);
	shoal_source_end(&source);
	if (state->actions)
		shoal_actions_take(state->actions);
	shoal_triggers_capture(triggers, state->fire->command,
						   shoal_rowtriggers_capture(state->triggers));
	shoal_triggers_end(triggers, true);
	if (shoal_scan_is_top(ps))
		shoal_kept_count(&state->kept, state->affected);
	MemoryContextSwitchTo(old);
}

/* ---- the node's methods ---- */

static void
find_columns(FireState *state, Plan *child)
{
	TupleDesc	desc = RelationGetDescr(state->rel);
	ListCell   *lc;

	state->child_column = palloc(sizeof(int) * Max(list_length(child->targetlist), 1));
	foreach(lc, child->targetlist)
	{
		if (!((TargetEntry *) lfirst(lc))->resjunk)
			state->child_column[state->nchild++] = foreach_current_index(lc);
	}
	state->live = palloc(sizeof(int) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			state->live[state->nlive++] = i;
	}
}

static void
begin_fire(CustomScanState *node, EState *estate, int eflags)
{
	FireState  *state = (FireState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	ShoalInsert *insert = shoal_insert_load(cscan);

	state->insert = insert;
	state->fire = insert->fire;
	outerPlanState(node) = ExecInitNode(outerPlan(cscan), estate, eflags);
	state->param_states = ExecInitExprList(insert->tail_params, &node->ss.ps);
	state->conflict_states = ExecInitExprList(insert->fire->conflict_params,
											  &node->ss.ps);
	state->table = shoal_meta_table(insert->relid);
	if (state->table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table with OID %u is not distributed any more",
						insert->relid),
				 errhint("Run the transaction again.")));
	state->rel = table_open(insert->relid, RowExclusiveLock);
	find_columns(state, outerPlan(cscan));
	init_statements(state);
	state->new_slot = MakeSingleTupleTableSlot(RelationGetDescr(state->rel),
											   &TTSOpsVirtual);
	state->rows_cxt = AllocSetContextCreate(estate->es_query_cxt, "Shoal rows",
											ALLOCSET_DEFAULT_SIZES);
}

static void
end_fire(CustomScanState *node)
{
	FireState  *state = (FireState *) node;

	shoal_kept_end(&state->kept);
	ExecDropSingleTupleTableSlot(state->new_slot);
	table_close(state->rel, NoLock);
	ExecEndNode(outerPlanState(node));
}

static void
explain_fire(CustomScanState *node, List *ancestors, ExplainState *es)
{
	shoal_explain_insert(((FireState *) node)->insert, es);
}

static const CustomExecMethods fire_exec_methods = {
	.CustomName = SHOAL_INSERT,
	.BeginCustomScan = begin_fire,
	.ExecCustomScan = shoal_kept_exec,
	.EndCustomScan = end_fire,
	.ReScanCustomScan = shoal_kept_rescan,
	.ExplainCustomScan = explain_fire,
};

Node *
shoal_fire_create_state(CustomScan *cscan)
{
	FireState  *state = palloc0(sizeof(FireState));

	NodeSetTag(state, T_CustomScanState);
	state->kept.css.methods = &fire_exec_methods;
	state->kept.run = write_all;
	return (Node *) state;
}
