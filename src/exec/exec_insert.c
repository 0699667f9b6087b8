/*
 * exec_insert.c
 *		Shoal Insert: the plan node that sends the rows of its child to shards.
 *
 * Few rows, and rows that need ON CONFLICT or RETURNING, go by INSERT: one
 * statement per node and batch (exec_values.c); a single row has the marker of
 * its shard.  Many rows that need neither go by COPY (exec_sink.c).
 *
 * ON CONFLICT DO UPDATE must notice when one command touches a row twice, so
 * all rows of a node are then put into one statement, up to a limit.
 *
 * If reading the child may send fragments, all its rows are read before any is
 * sent; if it may look at the table, each row is written before the next one is
 * read (exec_source.c).
 *
 * Rows of RETURNING are collected in a tuplestore and handed out at the end, in
 * the order of the rows that they come of.  If what is returned may look at the table,
 * it is worked out for each row before the next one is written.
 * A statement that is just one message may commit by itself on its node.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type_d.h"
#include "commands/explain.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_settings.h"
#include "exec/exec_internal.h"
#include "plan/plan_quiet.h"
#include "scope/scope.h"
#include "xact/xact.h"

/* up to so many rows, INSERT is cheaper than a COPY */
#define FEW_ROWS		20

/* parameters that a statement may have */
#define MAX_PARAMS		65535

/* bytes of rows in one statement */
#define BATCH_BYTES		(8 * 1024 * 1024)

/* the same where a node's rows have to be in one statement */
#define SINGLE_BYTES	(256 * 1024 * 1024)

/* Rows on their way to a node. */
typedef struct InsertBatch
{
	int			node_id;		/* 0: every node (reference table) */
	int			shard;			/* the only one, if each has a batch */
	MemoryContext cxt;			/* of the rows, and of the task once sent */
	int			nrows;
	int			maxrows;
	Datum	   *values;			/* row by row */
	bool	   *nulls;
	int64	   *numbers;		/* of the rows, if they return in order */
	int			nreturned;		/* rows that have come back */
	Size		bytes;
	Bitmapset  *shards;			/* of the rows */
	ShoalCall	call;			/* once sent */
	ShoalTask	task;
	bool		in_flight;
	struct InsertBatch *next;	/* the node's batch that is under way, while
								 * this one is filled */
} InsertBatch;

typedef struct ShoalInsertState
{
	ShoalKept	kept;			/* must be first; its rows are RETURNING's */
	ShoalInsert *insert;
	List	   *param_states;	/* of tail_params */
	const ShoalTable *table;
	const ShoalGroup *group;	/* as it was when a row was last added */
	Bitmapset  *held;			/* shards that don't move any more */
	int			ncolumns;
	int		   *child_column;	/* index into the child's slot */
	Oid		   *types;
	ShoalValues values;			/* how rows are sent */
	int			key_index[PARTITION_MAX_KEYS];	/* -1: column not given */
	bool		one_statement;	/* per node, for ON CONFLICT DO UPDATE */
	bool		gather;			/* the same as far as possible, for triggers */
	InsertBatch **batches;
	int			nbatches;
	int			nsent;			/* batches sent so far */
	uint64		stored;			/* rows that nodes have been or will be sent */
	uint64		affected;
	bool		returns_now;	/* what RETURNING gives for a row may depend on
								 * those after it not having been written */
	bool		in_order;		/* rows return in the order of those that come */
	ShoalOrder *order;			/* puts them in order; NULL: they come so */
	int64		nrows;			/* rows that have come, if in_order */
	MemoryContext cxt;
	HTAB	   *sent;			/* ctids or contents of rows that have been sent, if
								 * they count once */
	bool		by_content;
	ShoalReading reading;		/* if the statement is a part of another */
} ShoalInsertState;

/* ---- one batch ---- */

/* Fills in the statement and its parameters. */
static void
make_call(ShoalInsertState *state, InsertBatch *batch)
{
	ShoalCall  *call = &batch->call;

	memset(call, 0, sizeof(ShoalCall));
	call->group_id = state->table->group_id;
	call->command = CMD_INSERT;
	call->run_as = state->insert->run_as;
	call->rights = state->insert->rights;
	call->timed = state->insert->is_timed;
	call->writes = true;
	shoal_values_fill(call, &state->values, batch->nrows, batch->values,
					  batch->nulls);
	/* rows that are locked may be newer than the statement's snapshot */
	if (!state->insert->locked)
		call->reading = state->reading;
	call->snapshot = call->reading.snapshot ? call->reading.snapshot :
		state->kept.css.ss.ps.state->es_snapshot;
	if (state->insert->locked ||
		(call->reading.snapshot == NULL &&
		 shoal_scope_is_older(call->snapshot,
							  shoal_meta_group(call->group_id), NULL)))
		call->snapshot = GetTransactionSnapshot();
	call->owner = CurrentResourceOwner;
	call->cxt = CurrentMemoryContext;
	call->forward = SHOAL_WIRE_BEST;
	if (state->insert->returns_rows)
	{
		call->desc = state->kept.css.ss.ss_ScanTupleSlot->tts_tupleDescriptor;
		call->decoder = shoal_wire_decoder(call->desc, SHOAL_WIRE_BEST);
	}
}

/* All shards that the group has on a node. */
static Bitmapset *
shards_of_node(const ShoalGroup *group, int node_id)
{
	Bitmapset  *shards = NULL;

	for (int i = 0; i < group->shard_count; i++)
	{
		if (group->primary[i] == node_id)
			shards = bms_add_member(shards, i);
	}
	return shards;
}

/* A batch's statement returns its rows in their order, but it may leave some out. */
static void
keep_returned(ShoalInsertState *state, InsertBatch *batch, TupleTableSlot *slot)
{
	if (state->order == NULL)
		tuplestore_puttupleslot(state->kept.rows, slot);
	else
		shoal_order_put(state->order, slot,
						batch->numbers[Min(batch->nreturned, batch->nrows - 1)]);
	batch->nreturned++;
}

/* Reads a task to its end; its rows are the statement's. */
static void
collect(ShoalInsertState *state, InsertBatch *batch, ShoalTask *task)
{
	TupleTableSlot *slot = state->kept.css.ss.ss_ScanTupleSlot;
	MemoryContext row_cxt;
	MemoryContext old;

	if (!state->insert->returns_rows)
	{
		shoal_task_drain(task);
		return;
	}
	row_cxt = AllocSetContextCreate(CurrentMemoryContext, "Shoal row",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(row_cxt);
	while (shoal_task_next(task, slot))
	{
		keep_returned(state, batch, slot);
		MemoryContextReset(row_cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_cxt);
	ExecClearTuple(slot);
}

static void
reset_batch(InsertBatch *batch)
{
	batch->nrows = 0;
	batch->maxrows = 0;
	batch->values = NULL;
	batch->nulls = NULL;
	batch->numbers = NULL;
	batch->nreturned = 0;
	batch->bytes = 0;
	batch->shards = NULL;
	batch->in_flight = false;
	MemoryContextReset(batch->cxt);
}

static void
finish_batch(ShoalInsertState *state, InsertBatch *batch)
{
	if (!batch->in_flight)
		return;
	collect(state, batch, &batch->task);
	shoal_task_end(&batch->task);
	state->affected += batch->task.affected;
	reset_batch(batch);
}

/*
 * A row for a reference table goes to every node, the lowest first; its rows
 * and count are the result.
 */
static void
send_everywhere(ShoalInsertState *state, InsertBatch *batch)
{
	List	   *nodes = shoal_meta_nodes();
	int			n = list_length(nodes);
	ShoalTask  *tasks = palloc0(sizeof(ShoalTask) * n);

	batch->call.group_id = 0;
	for (int i = 0; i < n; i++)
	{
		tasks[i].call = &batch->call;
		tasks[i].node_id = ((const ShoalNode *) list_nth(nodes, i))->node_id;
		tasks[i].local = tasks[i].node_id == shoal_meta_local_node_id();
	}
	if (n > 1)
		shoal_values_encode(&batch->call);
	shoal_task_start(&tasks[0], n > 1);
	collect(state, batch, &tasks[0]);
	state->affected += tasks[0].affected;
	shoal_task_start_all(tasks + 1, n - 1, true);
	for (int i = 0; i < n; i++)
	{
		shoal_task_drain(&tasks[i]);
		shoal_task_end(&tasks[i]);
	}
	reset_batch(batch);
}

/*
 * Sends a batch.  last: no rows follow, so if it is the first as well it is
 * the whole statement.
 */
static void
send_batch(ShoalInsertState *state, InsertBatch *batch, bool last)
{
	MemoryContext old;
	ScanState  *ss = &state->kept.css.ss;
	ShoalTask  *task = &batch->task;
	bool		alone = last && state->nsent == 0;

	if (batch->next)
		finish_batch(state, batch->next);
	if (state->in_order && state->nsent == 0 && !last)
	{
		old = MemoryContextSwitchTo(state->cxt);
		state->order = shoal_order_begin(ss->ss_ScanTupleSlot->tts_tupleDescriptor);
		MemoryContextSwitchTo(old);
	}
	old = MemoryContextSwitchTo(batch->cxt);
	make_call(state, batch);
	state->nsent++;
	if (batch->node_id == 0)
	{
		send_everywhere(state, batch);
		MemoryContextSwitchTo(old);
		return;
	}

	memset(task, 0, sizeof(ShoalTask));
	task->call = &batch->call;
	task->node_id = batch->node_id;
	task->local = batch->node_id == shoal_meta_local_node_id();

	/*
	 * One shard by its own marker, else one marker whatever the rows are.  Some may be of
	 * shards that have come to that node since the statement began.
	 */
	task->shards = batch->shards;
	if (bms_membership(batch->shards) != BMS_SINGLETON)
		task->shards = bms_add_members(shards_of_node(state->group, batch->node_id),
									   batch->shards);
	if (!task->local)
		shoal_values_encode(&batch->call);
	batch->call.alone = alone && ss->ps.ps_ProjInfo == NULL &&
		ss->ps.qual == NULL && state->insert->triggers == NIL &&
		ss->ps.plan == ss->ps.state->es_plannedstmt->planTree;
	shoal_task_start(task, !alone);
	batch->in_flight = true;
	MemoryContextSwitchTo(old);
}

/* ---- rows to batches ---- */

static InsertBatch *
new_batch(ShoalInsertState *state, int node_id, int shard)
{
	InsertBatch *batch = MemoryContextAllocZero(state->cxt,
												sizeof(InsertBatch));

	batch->node_id = node_id;
	batch->shard = shard;
	batch->cxt = AllocSetContextCreate(state->cxt, "Shoal batch",
									   ALLOCSET_DEFAULT_SIZES);
	return batch;
}

/* The batch that is being filled for a shard, or its node. */
static InsertBatch *
batch_for(ShoalInsertState *state, int node_id, int shard)
{
	InsertBatch *batch;

	for (int i = 0; i < state->nbatches; i++)
	{
		batch = state->batches[i];
		if (batch->node_id != node_id || (state->insert->by_shard && batch->shard != shard))
			continue;
		if (batch->in_flight)
		{
			/* fill the other one of the pair */
			if (batch->next == NULL)
			{
				batch->next = new_batch(state, node_id, shard);
				batch->next->next = batch;
			}
			finish_batch(state, batch->next);
			batch = batch->next;
			state->batches[i] = batch;
		}
		return batch;
	}
	batch = new_batch(state, node_id, shard);
	state->batches[state->nbatches++] = batch;
	return batch;
}

static int
shard_of_row(ShoalInsertState *state, TupleTableSlot *slot)
{
	Datum		values[PARTITION_MAX_KEYS];
	bool		nulls[PARTITION_MAX_KEYS];
	Oid			types[PARTITION_MAX_KEYS];

	if (state->table->kind != SHOAL_KIND_DISTRIBUTED)
		return 0;
	for (int key = 0; key < state->table->nkeys; key++)
	{
		int			col = state->key_index[key];

		types[key] = state->table->keytype[key];
		nulls[key] = true;
		values[key] = (Datum) 0;
		if (col < 0)
			continue;
		types[key] = state->types[col];
		nulls[key] = slot->tts_isnull[state->child_column[col]];
		values[key] = slot->tts_values[state->child_column[col]];
	}
	return shoal_meta_shard_of(state->table, values, nulls, types);
}

static void
store_row(ShoalInsertState *state, InsertBatch *batch, TupleTableSlot *slot)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;
	MemoryContext old = MemoryContextSwitchTo(batch->cxt);
	int			n = state->ncolumns;
	int			base = batch->nrows * n;

	if (batch->nrows == batch->maxrows)
	{
		int			max = batch->maxrows ? batch->maxrows * 2 : 8;
		Datum	   *values;
		bool	   *nulls;
		int64	   *numbers = NULL;

		values = MemoryContextAllocHuge(batch->cxt, sizeof(Datum) * max * n);
		nulls = MemoryContextAllocHuge(batch->cxt, sizeof(bool) * max * n);
		if (state->in_order)
			numbers = MemoryContextAllocHuge(batch->cxt, sizeof(int64) * max);
		if (base > 0)
		{
			memcpy(values, batch->values, sizeof(Datum) * base);
			memcpy(nulls, batch->nulls, sizeof(bool) * base);
			pfree(batch->values);
			pfree(batch->nulls);
		}
		if (numbers && batch->numbers)
		{
			memcpy(numbers, batch->numbers, sizeof(int64) * batch->nrows);
			pfree(batch->numbers);
		}
		batch->values = values;
		batch->nulls = nulls;
		batch->numbers = numbers;
		batch->maxrows = max;
	}
	for (int col = 0; col < n; col++)
	{
		int			from = state->child_column[col];
		Form_pg_attribute att = TupleDescAttr(desc, from);
		Datum		value = slot->tts_values[from];

		batch->nulls[base + col] = slot->tts_isnull[from];
		batch->bytes += sizeof(Datum);
		if (!slot->tts_isnull[from])
		{
			/* what is stored out of line here means nothing elsewhere */
			if (att->attlen == -1)
				value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
			batch->bytes += att->attbyval ? 0 :
				datumGetSize(value, false, att->attlen);
			value = datumCopy(value, att->attbyval, att->attlen);
		}
		batch->values[base + col] = value;
	}
	if (state->in_order)
		batch->numbers[batch->nrows] = state->nrows++;
	batch->nrows++;
	state->stored++;
	MemoryContextSwitchTo(old);
}

/* True if no further row fits into the batch's statement. */
static bool
batch_is_full(ShoalInsertState *state, InsertBatch *batch)
{
	int			max_values = (MAX_PARAMS - list_length(state->insert->tail_params)) /
		Max(state->ncolumns, 1);
	bool		arrays = state->values.array_types != NULL;

	if (state->one_statement || state->gather)
		return batch->bytes >= SINGLE_BYTES ||
			(!arrays && batch->nrows >= max_values);
	return batch->nrows >= shoal_batch_size || batch->bytes >= BATCH_BYTES ||
		(!arrays && batch->nrows >= max_values);
}

static uint32
hash_content(const void *key, Size size)
{
	const text *content = *(const text *const *) key;

	return DatumGetUInt32(hash_any((const unsigned char *) VARDATA_ANY(content),
								   VARSIZE_ANY_EXHDR(content)));
}

static int
compare_contents(const void *a, const void *b, Size size)
{
	const text *one = *(const text *const *) a;
	const text *other = *(const text *const *) b;

	return VARSIZE_ANY_EXHDR(one) != VARSIZE_ANY_EXHDR(other) ||
		memcmp(VARDATA_ANY(one), VARDATA_ANY(other), VARSIZE_ANY_EXHDR(one)) != 0;
}

static HTAB *
make_sent(ShoalInsertState *state)
{
	HASHCTL		ctl;
	int			flags = HASH_ELEM | HASH_CONTEXT;

	ctl.hcxt = state->cxt;
	ctl.hash = hash_content;
	ctl.match = compare_contents;
	ctl.keysize = ctl.entrysize = state->by_content ? sizeof(text *) :
		sizeof(ItemPointerData);
	flags |= state->by_content ? HASH_FUNCTION | HASH_COMPARE : HASH_BLOBS;
	return hash_create("Shoal rows written", 256, &ctl, flags);
}

/* Whether a row with the same ctid, or content, has been there already. */
static bool
is_repeated(ShoalInsertState *state, TupleTableSlot *slot)
{
	Datum		value = slot->tts_values[state->child_column[state->insert->row_column - 1]];
	text	   *content;
	text	  **entry;
	bool		found;

	if (state->sent == NULL)
		state->sent = make_sent(state);
	if (!state->by_content)
	{
		(void) hash_search(state->sent, DatumGetPointer(value), HASH_ENTER, &found);
		return found;
	}
	content = DatumGetTextPP(value);
	entry = hash_search(state->sent, &content, HASH_ENTER, &found);
	if (!found)
	{
		MemoryContext old = MemoryContextSwitchTo(state->cxt);

		*entry = (text *) pg_detoast_datum_copy((struct varlena *) content);
		MemoryContextSwitchTo(old);
	}
	return found;
}

static void
add_row(ShoalInsertState *state, TupleTableSlot *slot)
{
	InsertBatch *batch;
	int			node_id = 0;
	int			shard = 0;

	slot_getallattrs(slot);
	if (state->insert->row_column > 0 && is_repeated(state, slot))
		return;
	if (state->table->kind != SHOAL_KIND_REFERENCE)
	{
		shard = shard_of_row(state, slot);
		state->group = shoal_hold_further(state->table->group_id, shard,
										  &state->held, state->cxt);
		node_id = shoal_run_shard_node(state->group, shard);
	}
	batch = batch_for(state, node_id, shard);
	if (batch_is_full(state, batch))
	{
		if (state->one_statement)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 state->by_content ?
					 errmsg("too many rows of a reference table without a primary key for one UPDATE or DELETE") :
					 errmsg("too many rows for one INSERT ... ON CONFLICT DO UPDATE"),
					 errdetail("All rows for a node have to be in one statement, so that a row that is affected twice is found."),
					 errhint("Write the rows in several statements.")));
		send_batch(state, batch, false);
		batch = batch_for(state, node_id, shard);
	}
	if (node_id != 0)
	{
		MemoryContext old = MemoryContextSwitchTo(batch->cxt);

		batch->shards = bms_add_member(batch->shards, shard);
		MemoryContextSwitchTo(old);
	}
	store_row(state, batch, slot);
}

/* Has all rows written that have come so far. */
static void
write_now(ShoalInsertState *state)
{
	for (int i = 0; i < state->nbatches; i++)
	{
		if (state->batches[i]->nrows == 0)
			continue;
		send_batch(state, state->batches[i], false);
		finish_batch(state, state->batches[i]);
	}
}

static void
insert_by_batches(ShoalInsertState *state, ShoalSource *source)
{
	TupleTableSlot *slot;
	int			left = 0;

	while ((slot = shoal_source_next(source)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		add_row(state, slot);
		if (source->one_by_one)
			write_now(state);
		if (state->returns_now)
			shoal_kept_project(&state->kept);
	}

	/* other nodes first: they work while this one does */
	for (int i = 0; i < state->nbatches; i++)
		left += !state->batches[i]->in_flight && state->batches[i]->nrows > 0;
	for (int pass = 0; pass < 2; pass++)
	{
		for (int i = 0; i < state->nbatches; i++)
		{
			InsertBatch *batch = state->batches[i];
			bool		local = batch->node_id == shoal_meta_local_node_id();

			if (batch->in_flight || batch->nrows == 0 || local != (pass == 1))
				continue;
			send_batch(state, batch, left == 1);
		}
	}
	for (int i = 0; i < state->nbatches; i++)
	{
		if (state->batches[i]->next)
			finish_batch(state, state->batches[i]->next);
		finish_batch(state, state->batches[i]);
	}
}

static void
insert_by_copy(ShoalInsertState *state, ShoalSource *source)
{
	Relation	rel = table_open(state->insert->relid, RowExclusiveLock);
	ShoalSink  *sink = shoal_sink_open(rel, state->insert->attnums, NULL,
									   false);
	Datum	   *values = palloc(sizeof(Datum) * Max(state->ncolumns, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(state->ncolumns, 1));
	TupleTableSlot *slot;

	while ((slot = shoal_source_next(source)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		for (int col = 0; col < state->ncolumns; col++)
		{
			values[col] = slot->tts_values[state->child_column[col]];
			nulls[col] = slot->tts_isnull[state->child_column[col]];
		}
		shoal_sink_row(sink, values, nulls);
	}
	state->affected = shoal_sink_close(sink);
	table_close(rel, NoLock);
}

/* Who may write rows of a table may have no right to lock it. */
static void
lock_reference_on(int node_id, Oid relid)
{
	ShoalCall	call = {.run_as = shoal_meta_owner()};
	ShoalRole	saved;

	shoal_task_become(&call, &saved);
	shoal_remote_exec(shoal_xact_conn(node_id, SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK),
					  psprintf("%sLOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE",
							   shoal_scope_marker(0, NULL),
							   shoal_objects_relation_name(relid)));
	shoal_task_return(&saved);
}

void
shoal_insert_lock_reference(Oid relid)
{
	const ShoalNode *first = linitial(shoal_meta_nodes());

	if (first->is_local)
		LockRelationOid(relid, ShareRowExclusiveLock);
	else
		lock_reference_on(first->node_id, relid);
}

/*
 * The rows of an UPDATE or DELETE have been locked.  So who else has changed one that
 * is not found again?  Parts of a WITH query may, and triggers may leave rows out.
 */
static void
check_all_found(ShoalInsertState *state)
{
	bool		deletes = strncmp(state->insert->head, "DELETE", 6) == 0;

	if (state->affected < state->stored && !state->reading.parts && !state->gather)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("tuple to be %s was already modified by an operation triggered by the current command",
						deletes ? "deleted" : "updated"),
				 errdetail("A function that the statement calls has changed the row.")));
}

/* May RETURNING look at the rows that have been written so far? */
static bool
returns_curious(ShoalInsertState *state)
{
	Relation	rel;
	bool		result;

	if (!state->insert->returns_rows || state->kept.css.ss.ps.ps_ProjInfo == NULL)
		return false;
	rel = table_open(state->insert->relid, NoLock);
	result = shoal_quiet_is_curious((Node *) state->kept.css.ss.ps.plan->targetlist, rel);
	table_close(rel, NoLock);
	return result;
}

static void
insert_all(ShoalKept *kept)
{
	ShoalInsertState *state = (ShoalInsertState *) kept;
	PlanState  *ps = &state->kept.css.ss.ps;
	MemoryContext old = MemoryContextSwitchTo(state->cxt);
	ShoalSource source;
	ShoalTriggers *triggers;
	bool		complete = false;

	triggers = shoal_triggers_begin(ps->state, state->insert->triggers);
	shoal_values_evaluate(&state->values, state->param_states, ps->ps_ExprContext);
	if (state->table->kind == SHOAL_KIND_REFERENCE)
		shoal_same_note(state->insert->relid, CMD_INSERT);
	if (state->insert->locked && state->table->kind == SHOAL_KIND_REFERENCE)
		shoal_insert_lock_reference(state->insert->relid);
	state->returns_now = returns_curious(state);
	/* a row that is written twice is looked for in one statement */
	shoal_source_begin(&source, outerPlanState(ps), state->insert->relid,
					   state->insert->locked, !state->one_statement && !state->gather,
					   state->returns_now);
	if (state->insert->returns_rows)
		state->kept.rows = tuplestore_begin_heap(false, false, work_mem);
	state->returns_now &= source.one_by_one;
	state->in_order = state->insert->returns_rows && !state->insert->locked &&
		!source.one_by_one && state->table->kind == SHOAL_KIND_DISTRIBUTED;

	if (state->insert->use_copy)
	{
		if (source.one_by_one)
			complete = true;
		else if (source.store)
			complete = tuplestore_tuple_count(source.store) <= FEW_ROWS;
		else
			complete = shoal_source_read(&source, FEW_ROWS);
	}
	if (!state->insert->use_copy || complete)
		insert_by_batches(state, &source);
	else
		insert_by_copy(state, &source);

	if (state->insert->unjoined && source.calls_functions)
		check_all_found(state);
	shoal_source_end(&source);
	if (state->order)
		shoal_order_end(state->order, state->kept.css.ss.ss_ScanTupleSlot,
						state->kept.rows);
	shoal_triggers_end(triggers, true);
	if (shoal_scan_is_top(ps))
		shoal_kept_count(&state->kept, state->affected);
	MemoryContextSwitchTo(old);
}

/* ---- the node's methods ---- */

static void
find_columns(ShoalInsertState *state, Plan *child)
{
	int			n = list_length(state->insert->attnums);
	int			i = 0;
	ListCell   *lc;

	state->ncolumns = n;
	state->child_column = palloc(sizeof(int) * Max(n, 1));
	state->types = palloc(sizeof(Oid) * Max(n, 1));
	foreach(lc, child->targetlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk)
			continue;
		if (i >= n)
			elog(ERROR, "more values than columns for Shoal Insert");
		state->child_column[i] = foreach_current_index(lc);
		state->types[i++] = exprType((Node *) tle->expr);
	}
	if (i != n)
		elog(ERROR, "%d values for %d columns of Shoal Insert", i, n);
	state->values.ncolumns = n;
	state->values.types = state->types;
	state->values.array_types = shoal_values_array_types(state->types, n);
}

/*
 * AFTER triggers may look at the rows of the statement, so as many as can be are
 * to be there when they fire.  A trigger that changes a row which is still to be
 * updated or deleted would have it missed by a later statement, while core tells
 * of it within one.
 */
static bool
has_curious_triggers(Oid relid, bool locked)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TriggerDesc *triggers = rel->trigdesc;
	bool		result = false;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		result |= !triggers->triggers[i].tgisinternal &&
			TRIGGER_FOR_ROW(triggers->triggers[i].tgtype) &&
			(locked || (TRIGGER_FOR_INSERT(triggers->triggers[i].tgtype) &&
						TRIGGER_FOR_AFTER(triggers->triggers[i].tgtype)));
	table_close(rel, NoLock);
	return result;
}

static void
begin_insert(CustomScanState *node, EState *estate, int eflags)
{
	ShoalInsertState *state = (ShoalInsertState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	ShoalInsert *insert = shoal_insert_load(cscan);

	state->insert = insert;
	if (shoal_statement_reading().parts)
		state->reading = shoal_statement_reading();
	state->cxt = AllocSetContextCreate(CurrentMemoryContext, "Shoal insert",
									   ALLOCSET_DEFAULT_SIZES);
	outerPlanState(node) = ExecInitNode(outerPlan(cscan), estate, eflags);
	state->param_states = ExecInitExprList(insert->tail_params, &node->ss.ps);
	state->values.head = insert->head;
	state->values.tail = insert->tail;
	state->values.tail_params = insert->tail_params;
	state->values.typed = insert->locked;
	find_columns(state, outerPlan(cscan));
	/* what a statement has written another one would take for what it is to write */
	state->by_content = insert->row_column > 0 &&
		state->types[insert->row_column - 1] == TEXTOID;
	state->one_statement = state->by_content ||
		(insert->tail != NULL && strstr(insert->tail, " DO UPDATE") != NULL);
	state->gather = has_curious_triggers(insert->relid, insert->locked);

	state->table = shoal_meta_table(insert->relid);
	if (state->table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table with OID %u is not distributed any more",
						insert->relid),
				 errhint("Run the transaction again.")));
	state->batches = palloc0(sizeof(InsertBatch *) *
							 ((insert->by_shard ? shoal_meta_group(state->table->group_id)->shard_count :
							   list_length(shoal_meta_nodes())) + 1));
	for (int key = 0; key < state->table->nkeys; key++)
	{
		ListCell   *lc;

		state->key_index[key] = -1;
		foreach(lc, insert->attnums)
		{
			if (lfirst_int(lc) == state->table->keyattr[key])
				state->key_index[key] = foreach_current_index(lc);
		}
	}
}

static void
end_insert(CustomScanState *node)
{
	shoal_kept_end((ShoalKept *) node);
	ExecEndNode(outerPlanState(node));
}

static void
explain_insert(CustomScanState *node, List *ancestors, ExplainState *es)
{
	shoal_explain_insert(((ShoalInsertState *) node)->insert, es);
}

static const CustomExecMethods insert_exec_methods = {
	.CustomName = SHOAL_INSERT,
	.BeginCustomScan = begin_insert,
	.ExecCustomScan = shoal_kept_exec,
	.EndCustomScan = end_insert,
	.ReScanCustomScan = shoal_kept_rescan,
	.ExplainCustomScan = explain_insert,
};

static Node *
create_insert_state(CustomScan *cscan)
{
	ShoalInsertState *state;

	if (shoal_insert_load(cscan)->fire)
		return shoal_fire_create_state(cscan);
	state = palloc0(sizeof(ShoalInsertState));
	NodeSetTag(state, T_CustomScanState);
	state->kept.css.methods = &insert_exec_methods;
	state->kept.run = insert_all;
	return (Node *) state;
}

const CustomScanMethods shoal_insert_methods = {
	.CustomName = SHOAL_INSERT,
	.CreateCustomScanState = create_insert_state,
};
