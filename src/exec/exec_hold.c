/*
 * exec_hold.c
 *		Keeping shards where they are while a statement is sent.
 *
 * Where a shard is, a statement finds out before it is sent.  If the shard has moved
 * when it arrives, its node refuses.  Then a statement that stands for itself is
 * sent anew (exec_again.c); any other one, of which a part may have been done
 * already, would fail.  So as long as a copy is about to take the place of another,
 * which metadata tell long before, such a statement first asks the nodes to hold
 * its shards: each takes a lock on them, for the transaction, that whoever moves
 * a shard waits for, and says whether they are there.  If not, that is waited for
 * which this node has not heard of yet, and others are asked.
 *
 * Readers are waited for but a moment: who has begun to read a shard can go on when it
 * moves, and who reads for long need not be about to begin with another one.
 *
 * The lock is one of its own kind, as the statement's tables may be none that
 * the user could lock.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "exec/exec_internal.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

extern PGDLLEXPORT Datum shoal_internal_hold_shards(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(shoal_internal_hold_shards);

/* ---- on the node ---- */

void
shoal_hold_lock(int group_id, int shard, LOCKMODE mode)
{
	LOCKTAG		tag;

	SHOAL_SET_LOCKTAG(tag, SHOAL_LOCK_SHARD, group_id, shard);
	(void) LockAcquire(&tag, mode, false, false);
}

static bool
is_primary_here(int group_id, int shard)
{
	const ShoalGroup *group = shoal_meta_find_group(group_id);

	return group != NULL && shard < group->shard_count &&
		group->primary[shard] == shoal_meta_local_node_id();
}

/* Whether this node has the shard, which it then keeps until the end. */
static bool
hold_here(int group_id, int shard, bool writes)
{
	LOCKMODE	mode = writes ? RowExclusiveLock : AccessShareLock;
	LOCKTAG		tag;

	/* who has locked the one and waits for this may be waited for with this in hand */
	if (shoal_scope_is_kept(group_id, shard))
		return is_primary_here(group_id, shard);
	shoal_hold_lock(group_id, shard, mode);
	AcceptInvalidationMessages();
	if (is_primary_here(group_id, shard))
		return true;
	SHOAL_SET_LOCKTAG(tag, SHOAL_LOCK_SHARD, group_id, shard);
	(void) LockRelease(&tag, mode, false);
	return false;
}

/* shoal.internal_hold_shards(group, shards, writes): whether all of them are here */
Datum
shoal_internal_hold_shards(PG_FUNCTION_ARGS)
{
	ArrayType  *shards = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *values;
	int			n;

	shoal_xact_check_internal();
	deconstruct_array(shards, INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &values, NULL, &n);
	for (int i = 0; i < n; i++)
		if (!hold_here(PG_GETARG_INT32(0), DatumGetInt32(values[i]),
					   PG_GETARG_BOOL(2)))
			PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(true);
}

/* ---- on the coordinator ---- */

/* Its shards on a node, as an array; NULL if there are none. */
static char *
shards_on(const ShoalGroup *group, const Bitmapset *shards, int node_id)
{
	StringInfoData buf;
	int			shard = -1;

	initStringInfo(&buf);
	while ((shard = bms_next_member(shards, shard)) >= 0)
		if (group->primary[shard] == node_id)
			appendStringInfo(&buf, "%s%d", buf.len > 0 ? "," : "", shard);
	return buf.len > 0 ? buf.data : NULL;
}

typedef struct Question
{
	int			node_id;
	int			group_id;
	const char *shards;
	bool		writes;
	ShoalRequest *req;
} Question;

static void
do_ask(void *arg)
{
	Question   *question = arg;

	question->req = shoal_remote_send(shoal_xact_conn(question->node_id, SHOAL_JOIN_BLOCK),
									  psprintf("%shold_shards(%d, '{%s}', %s)",
											   XACT_INTERNAL_CALL, question->group_id,
											   question->shards,
											   question->writes ? "true" : "false"),
									  NULL, 0);
}

/* May return NULL, if not all shards are needed: the node can't be reached. */
static ShoalRequest *
ask(int node_id, int group_id, const char *shards, bool writes, bool all)
{
	Question	question = {node_id, group_id, shards, writes, NULL};
	ShoalAgain	again = {.cxt = CurrentMemoryContext};
	ShoalCall	call = {.again = all ? &again : NULL};

	if (!shoal_again_try(&call, node_id, do_ask, &question))
		FreeErrorData(again.error);
	return question.req;
}

static bool
answer(ShoalRequest *req)
{
	PGresult   *res;
	bool		held = false;

	while ((res = shoal_remote_next(req)) != NULL)
		if (PQresultStatus(res) == PGRES_SINGLE_TUPLE)
			held = PQgetvalue(res, 0, 0)[0] == 't';
	return held;
}

/* The nodes that have these shards; if all are looked at, those that are up. */
static Bitmapset *
nodes_of(const ShoalGroup *group, const Bitmapset *shards, bool all)
{
	Bitmapset  *nodes = NULL;
	int			shard = -1;

	while ((shard = bms_next_member(shards, shard)) >= 0)
	{
		const ShoalNode *node = all ? shoal_meta_node(group->primary[shard]) : NULL;

		if (!all)
			nodes = bms_add_member(nodes, shoal_run_shard_node(group, shard));
		else if (node && node->is_active && !shoal_health_is_suspect(node->node_id))
			nodes = bms_add_member(nodes, node->node_id);
	}
	return nodes;
}

/* Whether all nodes have what they are said to have.  Others work while this one waits. */
static bool
hold_once(const ShoalGroup *group, const Bitmapset *shards, bool writes, bool all)
{
	Bitmapset  *nodes = nodes_of(group, shards, all);
	List	   *requests = NIL;
	bool		held = true;
	int			shard = -1;
	int			node_id = -1;
	ListCell   *lc;

	while ((node_id = bms_next_member(nodes, node_id)) >= 0)
	{
		char	   *list = shards_on(group, shards, node_id);
		ShoalRequest *req;

		/* a node was lost a moment ago, and another one has its shards now */
		if (list == NULL)
			held = false;
		else if (node_id != shoal_meta_local_node_id() &&
				 (req = ask(node_id, group->group_id, list, writes, all)) != NULL)
			requests = lappend(requests, req);
	}
	while (held && (shard = bms_next_member(shards, shard)) >= 0)
		if (group->primary[shard] == shoal_meta_local_node_id())
			held = hold_here(group->group_id, shard, writes);
	foreach(lc, requests)
		held &= answer(lfirst(lc));
	return held;
}

static void
hold(int group_id, const Bitmapset *shards, bool writes)
{
	TimestampTz began = GetCurrentTimestamp();

	for (int attempt = 0;; attempt++)
	{
		const ShoalGroup *group = shoal_meta_group(group_id);

		if (shards ? hold_once(group, shards, writes, false) :
			hold_once(group, bms_add_range(NULL, 0, group->shard_count - 1), writes, true))
			return;
		/* the statement says what is wrong, if this is not over soon */
		if (TimestampDifferenceExceeds(began, GetCurrentTimestamp(), SHOAL_AGAIN_TIME))
			return;
		shoal_server_pause(SHOAL_AGAIN_WAIT(attempt));
		AcceptInvalidationMessages();
	}
}

void
shoal_hold_shards(int group_id, const Bitmapset *shards, bool writes)
{
	const ShoalGroup *group = shoal_meta_group(group_id);
	MemoryContext cxt;
	MemoryContext old;

	if (!group->moving || shoal_origin != 0 ||
		group->kind == SHOAL_KIND_REFERENCE)
		return;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "Shoal hold",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	hold(group_id, shards, writes);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

const ShoalGroup *
shoal_hold_further(int group_id, int shard, Bitmapset **held, MemoryContext cxt)
{
	MemoryContext old;
	Bitmapset  *one;

	if (bms_is_member(shard, *held))
		return shoal_meta_group(group_id);
	one = bms_make_singleton(shard);
	shoal_hold_shards(group_id, one, true);
	bms_free(one);
	old = MemoryContextSwitchTo(cxt);
	*held = bms_add_member(*held, shard);
	MemoryContextSwitchTo(old);
	return shoal_meta_group(group_id);
}

void
shoal_hold_tables(List *relids, bool writes)
{
	ListCell   *lc;

	foreach(lc, relids)
	{
		const ShoalTable *table = shoal_meta_table(lfirst_oid(lc));

		if (table != NULL)
			shoal_hold_shards(table->group_id, NULL, writes);
	}
}
