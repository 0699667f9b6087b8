/*
 * exec_again.c
 *		Running a fragment again, when a node is lost or shards have moved.
 *
 * A statement that only reads need not fail because a node dies, as long as
 * none of its rows has been handed on and its shards have other copies: all its
 * tasks are ended and started anew, with snapshots of a new moment, and the
 * lost node is avoided.  That can be done only if the statement is all there is
 * of its transaction, and does nothing but read, on one fragment.
 *
 * The same is done when a node does not have the shard any more, as that has just moved.
 * Then nothing is avoided; this node gets to know.  A write for one shard can be
 * sent again, too, if it was to commit by itself on its node: it is not begun there.
 *
 * The error is caught without a subtransaction.  So only calls that do nothing but
 * talk to nodes are guarded; what they leave behind on an error belongs to
 * connections and requests, and is looked after here.  A task in this backend
 * is ended like one whose rows are not wanted.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "exec/exec_internal.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

/* A node is lost, or refuses to work as it is cut off or shuts down. */
static bool
is_lost_node(int sqlstate)
{
	return sqlstate == ERRCODE_CONNECTION_FAILURE ||
		sqlstate == ERRCODE_CONNECTION_DOES_NOT_EXIST ||
		sqlstate == ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION ||
		sqlstate == ERRCODE_ADMIN_SHUTDOWN ||
		sqlstate == ERRCODE_CRASH_SHUTDOWN ||
		sqlstate == ERRCODE_CANNOT_CONNECT_NOW;
}

bool
shoal_again_is_harmless(const ShoalRun *run)
{
	const ShoalFragment *frag = run->frag;

	return frag->command == CMD_SELECT && !frag->is_volatile &&
		!frag->only_primary && frag->group_id > 0 && !run->call.writes &&
		run->call.desc != NULL && frag->moves == NIL &&
		frag->steps == NIL && run->call.reading.moment == 0 && shoal_moment_wanted() &&
		shoal_xact_writers() == 0;
}

/* Whether it writes one shard, and its node ends the transaction as well. */
static bool
is_sent_alone(const ShoalRun *run)
{
	const ShoalFragment *frag = run->frag;

	return run->call.alone && frag->single_shard && frag->group_id > 0 &&
		frag->moves == NIL && frag->steps == NIL && run->call.reading.moment == 0;
}

/* Whether the error that is being handled need not be one; if so it is kept. */
static bool
can_do_without(const ShoalCall *call, ErrorData *error)
{
	ShoalAgain *again = call->again;

	if (!shoal_error_is_moved(error))
		return !again->only_moved && is_lost_node(error->sqlerrcode);
	if (call->writes && shoal_xact_has_joined())
		return false;
	again->moved = true;
	return true;
}

void
shoal_again_allow(ShoalRun *run)
{
	const ShoalGroup *group;

	run->call.again = NULL;
	if (!(shoal_again_is_harmless(run) || is_sent_alone(run)) ||
		!shoal_xact_is_single())
		return;
	group = shoal_meta_group(run->frag->group_id);
	if (run->again == NULL)
		run->again = MemoryContextAllocZero(run->parent->state->es_query_cxt,
											sizeof(ShoalAgain));
	run->again->cxt = run->parent->state->es_query_cxt;
	run->again->only_moved = run->call.writes || !shoal_meta_has_replicas(group);
	run->again->moves = 0;
	run->call.again = run->again;
}

bool
shoal_again_try(ShoalCall *call, int node_id, void (*what) (void *arg),
				void *arg)
{
	ShoalAgain *again = call->again;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	if (again == NULL)
	{
		what(arg);
		return true;
	}
	PG_TRY();
	{
		what(arg);
		done = true;
	}
	PG_CATCH();
	{
		MemoryContext old = MemoryContextSwitchTo(again->cxt);
		ErrorData  *error = CopyErrorData();

		if (!can_do_without(call, error))
		{
			MemoryContextSwitchTo(old);
			PG_RE_THROW();
		}
		if (again->error == NULL)
			again->error = error;
		if (node_id != 0 && !shoal_error_is_moved(error))
			again->failed = bms_add_member(again->failed, node_id);
		MemoryContextSwitchTo(old);
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

/*
 * Closes connections that are lost, and adds their nodes; false if it may not.  A
 * transaction that is open there for this statement's snapshot has only read.
 */
static bool
close_lost(ShoalAgain *again)
{
	ListCell   *lc;

	foreach(lc, shoal_remote_all())
	{
		ShoalConn  *conn = lfirst(lc);

		if (!conn->xact_broken)
			continue;
		if (conn->xact_wrote)
			return false;
		again->failed = bms_add_member(again->failed, conn->node_id);
		shoal_remote_close(conn);
	}
	return true;
}

/*
 * Lets this node hear of a move, if that is why.  False: it has been tried for long
 * enough.
 */
static bool
await_move(ShoalAgain *again)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!again->moved)
		return false;
	again->moved = false;
	if (again->moves == 0)
		again->began = now;
	if (TimestampDifferenceExceeds(again->began, now, SHOAL_AGAIN_TIME))
		return false;
	/* what has been prepared here comes a moment after it has on the other node */
	shoal_server_pause(SHOAL_AGAIN_WAIT(again->moves));
	again->moves++;
	AcceptInvalidationMessages();
	return true;
}

void
shoal_again_prepare(ShoalRun *run)
{
	ShoalAgain *again = run->again;
	ErrorData  *error = again->error;
	MemoryContext old;
	bool		other;

	shoal_moment_abandon();
	shoal_run_end(run, false);
	old = MemoryContextSwitchTo(again->cxt);
	if (!close_lost(again))
		ReThrowError(error);
	/* each time another node is avoided, or time goes by, so this ends */
	other = !bms_is_subset(again->failed, again->avoid);
	other |= await_move(again);
	again->avoid = bms_add_members(again->avoid, again->failed);
	bms_free(again->failed);
	again->failed = NULL;
	MemoryContextSwitchTo(old);
	again->error = NULL;
	again->stuck = false;
	if (other)
		shoal_run_prepare(run);
	if (!other || again->stuck)
		ReThrowError(error);
	FreeErrorData(error);
}

int
shoal_again_pick(ShoalAgain *again, const ShoalGroup *group, int shard)
{
	int			primary = group->primary[shard];

	if (!bms_is_member(primary, again->avoid))
		return shoal_run_shard_node(group, shard);
	for (int i = 0; i < group->ncopies; i++)
	{
		const ShoalCopy *copy = &group->copies[i];
		const ShoalNode *node;

		if (copy->shard == shard && copy->state == SHOAL_COPY_ACTIVE &&
			!bms_is_member(copy->node_id, again->avoid) &&
			(node = shoal_meta_node(copy->node_id)) != NULL &&
			node->is_active && !shoal_health_is_suspect(copy->node_id))
			return copy->node_id;
	}
	again->stuck = true;
	return primary;
}
