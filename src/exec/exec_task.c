/*
 * exec_task.c
 *		One statement on one node: start it, read its rows, end it.
 *
 * A task for another node is a request on this session's connection to it; one
 * for this node runs in this backend (exec_local.c).  Both look the same to
 * the caller.
 *
 * If the connection is needed for something else while rows are unread, they
 * are absorbed into a tuplestore.  That may happen deep inside another query,
 * so the tuplestore is made under the resource owner of the query that the
 * task belongs to.
 *
 * A read that is not wanted any more is discarded; a write never is, it runs
 * to its end.  On error nothing is done here: the transaction's abort cleans
 * the connections.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "exec/exec_internal.h"
#include "scope/scope.h"
#include "xact/xact.h"

char *
shoal_task_sql(const ShoalCall *call, const Bitmapset *shards, bool local)
{
	ShoalScope	scope = {
		.group_id = call->group_id,
		.shards = unconstify(Bitmapset *, shards),
		.partial = call->partial,
		.policies = call->policies,
		.rights = call->rights,
		.any_copy = call->any_copy,
		.fired = call->fired,
		.acted = call->acted,
		.packed = !local && call->desc && call->desc->natts > 0,
		.text = !local && call->decoder &&
		!shoal_wire_decoder_is_binary(call->decoder)
	};
	char	   *marker;
	size_t		marker_len;
	size_t		text_len = strlen(call->text);
	char	   *sql;

	if (call->group_id == SHOAL_GROUP_HERE)
		return pstrdup(call->text);
	marker = shoal_scope_full_marker(&scope,
									 call->calm ? SHOAL_SNAPSHOT_CALM :
									 call->taking || call->reading.moment != 0 ?
									 SHOAL_SNAPSHOT_HELD :
									 call->reading.late ? SHOAL_SNAPSHOT_LATE :
									 SHOAL_SNAPSHOT_OWN);
	marker_len = strlen(marker);
	sql = palloc(marker_len + text_len + 1);
	memcpy(sql, marker, marker_len);
	memcpy(sql + marker_len, call->text, text_len + 1);
	pfree(marker);
	return sql;
}

static void
absorb_callback(ShoalRequest *req, void *arg)
{
	shoal_task_absorb((ShoalTask *) arg);
}

void
shoal_task_check_inside(void)
{
	if (shoal_origin > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a function that runs on a node cannot use rows of another node"),
				 errhint("Let triggers use rows with the same value of the distribution column as theirs, or reference tables.")));
}

static void
start_remote(ShoalTask *task, const char *sql, bool many)
{
	ShoalCall  *call = task->call;
	ShoalConn  *conn;
	int			join = 0;
	int			flags = 0;

	shoal_task_check_inside();
	if (call->writes)
	{
		join = SHOAL_JOIN_WRITE | SHOAL_JOIN_TOLD;
		if (many || !call->alone)
			join |= SHOAL_JOIN_BLOCK;
	}
	if (call->cache)
		flags |= SHOAL_SEND_CACHE;
	if (call->forward == SHOAL_WIRE_BINARY ||
		(call->decoder && shoal_wire_decoder_is_binary(call->decoder)))
		flags |= SHOAL_SEND_BINARY;

	if (call->timed || call->reading.moment != 0)
		join |= SHOAL_JOIN_BLOCK;
	if (call->taking || call->reading.moment != 0)
		flags |= SHOAL_SEND_HELD;

	conn = task->conn ? task->conn : shoal_xact_conn(task->node_id, join);
	if (call->taking)
		shoal_moment_take(conn);
	else if (call->reading.moment != 0)
		shoal_moment_use(conn, call->reading.moment);
	task->req = shoal_remote_send(conn, sql, call->wire, flags);
	shoal_remote_on_absorb(task->req, absorb_callback, task);
}

void
shoal_task_become(const ShoalCall *call, ShoalRole *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->context);
	if (OidIsValid(call->run_as))
		SetUserIdAndSecContext(call->run_as,
							   saved->context | SECURITY_LOCAL_USERID_CHANGE);
}

void
shoal_task_return(const ShoalRole *saved)
{
	SetUserIdAndSecContext(saved->userid, saved->context);
}

void
shoal_task_settle(ShoalTask *task)
{
	ShoalRole	saved;

	if (task->local)
		return;
	shoal_task_become(task->call, &saved);
	shoal_remote_settle(shoal_xact_conn_outside(task->node_id));
	shoal_task_return(&saved);
}

typedef struct RemoteStart
{
	ShoalTask  *task;
	const char *sql;
	bool		many;
} RemoteStart;

static void
do_start_remote(void *arg)
{
	RemoteStart *start = arg;

	start_remote(start->task, start->sql, start->many);
}

/* Whether this node, of whose shards another one may tell, still has them. */
static void
do_check_here(void *arg)
{
	ShoalTask  *task = arg;
	const ShoalGroup *group;
	int			shard = -1;

	AcceptInvalidationMessages();
	group = shoal_meta_group(task->call->group_id);
	while ((shard = bms_next_member(task->shards, shard)) >= 0)
		if (group->primary[shard] != task->node_id)
			shoal_scope_raise_not_here(group->group_id, shard);
}

/* A statement that is under way here can't be started anew. */
static bool
is_still_here(ShoalTask *task)
{
	const ShoalCall *call = task->call;

	return call->again == NULL || call->any_copy || call->group_id <= 0 ||
		!shoal_meta_group(call->group_id)->moving ||
		shoal_again_try(task->call, 0, do_check_here, task);
}

void
shoal_task_start(ShoalTask *task, bool many)
{
	ShoalCall  *call = task->call;
	char	   *sql = shoal_task_sql(call, task->shards, task->local);
	ShoalRole	saved;

	shoal_task_become(call, &saved);
	if (!task->local)
	{
		RemoteStart start = {task, sql, many};

		task->done = !shoal_again_try(call, task->node_id, do_start_remote,
									  &start);
	}
	else if (!is_still_here(task))
		task->done = true;
	else
	{
		ShoalReading outer = shoal_statement_reading();
		ShoalReading inner = call->reading;

		inner.inside = call->group_id == SHOAL_GROUP_HERE;
		shoal_statement_set_reading(inner);
		task->run = shoal_local_start(sql, call->nparams, call->types,
									  call->values, call->nulls,
									  call->snapshot, call->desc);
		shoal_statement_set_reading(outer);
		task->affected = shoal_local_affected(task->run);
	}
	shoal_task_return(&saved);
}

void
shoal_task_start_some(ShoalTask *tasks, int n, bool many, bool local)
{
	for (int i = 0; i < n; i++)
	{
		if (tasks[i].local == local)
			shoal_task_start(&tasks[i], many);
	}
}

void
shoal_task_start_all(ShoalTask *tasks, int n, bool many)
{
	shoal_task_start_some(tasks, n, many, false);
	shoal_task_start_some(tasks, n, many, true);
}

void
shoal_task_borrow(TupleTableSlot *dst, TupleTableSlot *src)
{
	int			natts = dst->tts_tupleDescriptor->natts;

	slot_getallattrs(src);
	ExecClearTuple(dst);
	memcpy(dst->tts_values, src->tts_values, natts * sizeof(Datum));
	memcpy(dst->tts_isnull, src->tts_isnull, natts * sizeof(bool));
	ExecStoreVirtualTuple(dst);
}

static void
open_pack(ShoalTask *task, PGresult *res)
{
	ShoalCall  *call = task->call;
	int			format = call->forward;

	if (call->decoder)
		format = shoal_wire_decoder_is_binary(call->decoder) ?
			SHOAL_WIRE_BINARY : SHOAL_WIRE_TEXT;
	shoal_wire_open(&task->pack, call->desc, format == SHOAL_WIRE_BINARY, res);
}

/* The next of the rows that are here: in the slot, or as it is. */
static bool
next_of_pack(ShoalTask *task, TupleTableSlot *slot)
{
	ShoalCall  *call = task->call;
	ShoalWireRow row;

	if (!shoal_wire_next(&task->pack, &row))
		return false;
	if (call->decoder)
		shoal_wire_decode(call->decoder, &row, slot);
	else
	{
		call->raw = row;
		ExecStoreAllNullTuple(slot);
	}
	return true;
}

static void
forget_pack(ShoalTask *task)
{
	task->pack.next = task->pack.end = NULL;
}

/*
 * The next row that came over the connection, in the slot.  At the end (false)
 * the request is gone.
 */
static bool
next_remote(ShoalTask *task, TupleTableSlot *slot)
{
	PGresult   *res;

	if (slot && next_of_pack(task, slot))
		return true;
	forget_pack(task);
	while ((res = shoal_remote_next(task->req)) != NULL)
	{
		if (PQresultStatus(res) == PGRES_SINGLE_TUPLE)
		{
			if (slot == NULL)
				continue;
			open_pack(task, res);
			if (next_of_pack(task, slot))
				return true;
		}
		else
			task->affected = strtou64(PQcmdTuples(res), NULL, 10);
	}
	task->req = NULL;
	return false;
}

/* Whether a row or the end of a task on another node is at hand. */
static bool
is_at_hand(ShoalTask *task)
{
	return task->req == NULL || task->pack.next != task->pack.end ||
		shoal_remote_ready(task->req);
}

typedef struct RemoteRow
{
	ShoalTask  *task;
	TupleTableSlot *slot;
	bool		found;
} RemoteRow;

static void
do_next_remote(void *arg)
{
	RemoteRow  *row = arg;

	row->found = next_remote(row->task, row->slot);
}

/* The same, but the loss of the node may be no error yet. */
static bool
try_next_remote(ShoalTask *task, TupleTableSlot *slot)
{
	RemoteRow	row = {task, slot, false};

	if (task->call->again == NULL)
		return next_remote(task, slot);
	if (!shoal_again_try(task->call, task->node_id, do_next_remote, &row) && task->req)
	{
		shoal_remote_discard(task->req);
		task->req = NULL;
	}
	return row.found;
}

static void
do_await(void *arg)
{
	(void) shoal_remote_wait_any(arg, 1);
}

/* Raises the error with which a task has failed. */
static void
do_fail(void *arg)
{
	ShoalTask  *task = arg;

	(void) next_remote(task, NULL);
	/* if there were rows after all, they are lost by that */
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("connection to node %d was lost", task->node_id)));
}

void
shoal_task_await(ShoalTask *task)
{
	ShoalRequest *req = task->req;

	if (task->done || req == NULL)
		return;
	if (!is_at_hand(task) &&
		!shoal_again_try(task->call, task->node_id, do_await, &req))
		return;
	if (shoal_remote_has_failed(req))
		(void) shoal_again_try(task->call, task->node_id, do_fail, task);
}

TupleTableSlot *
shoal_task_stored(Tuplestorestate *store, TupleTableSlot *slot)
{
	/* a tuple that was on disk is the slot's to free */
	MemoryContext old = MemoryContextSwitchTo(slot->tts_mcxt);
	bool		found = tuplestore_gettupleslot(store, true, false, slot);

	MemoryContextSwitchTo(old);
	return found ? slot : NULL;
}

bool
shoal_task_next(ShoalTask *task, TupleTableSlot *slot)
{
	TupleTableSlot *row = NULL;

	task->call->raw.body = NULL;
	if (task->done)
		return false;
	if (task->store)
		row = shoal_task_stored(task->store, task->store_slot);
	else if (task->run)
		row = shoal_local_next(task->run);
	else if (task->req && try_next_remote(task, slot))
		return true;

	if (row)
	{
		shoal_task_borrow(slot, row);
		return true;
	}
	task->done = true;
	return false;
}

void
shoal_task_absorb(ShoalTask *task)
{
	TupleTableSlot *slot;
	MemoryContext cxt;
	MemoryContext old;
	ResourceOwner owner = CurrentResourceOwner;

	if (task->req == NULL)
		return;
	if (task->call->desc == NULL)
	{
		(void) next_remote(task, NULL);
		return;
	}

	old = MemoryContextSwitchTo(task->call->cxt);
	/* from now on nothing can be forwarded any more */
	if (task->call->decoder == NULL)
		task->call->decoder = shoal_wire_decoder(task->call->desc,
												 task->call->forward);
	CurrentResourceOwner = task->call->owner;
	task->store = tuplestore_begin_heap(false, false, work_mem);
	task->store_slot = MakeSingleTupleTableSlot(task->call->desc,
												&TTSOpsMinimalTuple);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);

	slot = MakeSingleTupleTableSlot(task->call->desc, &TTSOpsVirtual);
	cxt = AllocSetContextCreate(CurrentMemoryContext, "Shoal absorb",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	while (next_remote(task, slot))
	{
		tuplestore_puttupleslot(task->store, slot);
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	ExecDropSingleTupleTableSlot(slot);
}

void
shoal_task_drain(ShoalTask *task)
{
	if (task->req)
		(void) try_next_remote(task, NULL);
	task->done = true;
}

int
shoal_task_pick(ShoalTask *tasks, int n, int last)
{
	ShoalRequest **reqs;
	int			waiting = 0;
	int			found;

	/* rows that are here already */
	for (int i = 0; i < n; i++)
	{
		int			which = (last + i) % n;
		ShoalTask  *task = &tasks[which];

		if (task->done)
			continue;
		if (is_at_hand(task))
			return which;
		waiting++;
	}
	if (waiting == 0)
		return -1;

	reqs = palloc(sizeof(ShoalRequest *) * n);
	for (int i = 0; i < n; i++)
		reqs[i] = tasks[i].done ? NULL : tasks[i].req;
	found = shoal_remote_wait_any(reqs, n);
	pfree(reqs);
	return found;
}

void
shoal_task_end(ShoalTask *task)
{
	if (task->req)
	{
		if (task->call->command == CMD_SELECT)
			shoal_remote_discard(task->req);
		else
			shoal_task_drain(task);
		task->req = NULL;
	}
	forget_pack(task);
	if (task->run)
		shoal_local_end(task->run);
	task->run = NULL;
	if (task->store)
	{
		tuplestore_end(task->store);
		ExecDropSingleTupleTableSlot(task->store_slot);
	}
	task->store = NULL;
	task->done = true;
}
