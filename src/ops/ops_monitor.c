/*
 * ops_monitor.c
 *		The monitor: pings the other nodes, and has those given up that don't answer.
 *
 * There is one for each database whose shards have replicas; the launcher
 * (xact_worker.c) starts it.  It keeps a connection to each other node, driven
 * without ever waiting for one of them, and sends a ping on each every
 * fraction of shoal.failover_time.  From the answers it works out this node's
 * lease and which nodes are suspect (xact_health.c).  What takes longer, giving
 * a node up or bringing one back, is done by workers that it starts.
 *
 * The answer to a ping says whether the node that asked has been given up.
 * Then it fences itself, until the others have taken it back.  A ping says how
 * often its node was given up, as far as it knows: until it knows what the others
 * know, its metadata are of the time before, and it is as good as given up.
 *
 * The monitor reads the metadata in a short transaction of its own now and
 * then.  It must never wait: it opens no table that a user could have locked.
 */
#include "postgres.h"

#include <poll.h>

#include "access/xact.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "ops/ops.h"
#include "ops/ops_job.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

/* pings in a failover time */
#define PINGS 8

/* milliseconds between looks at the metadata, if nothing says that they have changed */
#define META_TIME 250

/* milliseconds after which a node is asked again that could not answer yet */
#define AGAIN_TIME 50

/* milliseconds before a worker is started again, for what it is for */
#define FAILOVER_PAUSE 150
#define REJOIN_PAUSE 500
#define REPAIR_PAUSE 5000

/* microseconds that a node leaves to each one before it */
#define RANK_TIME INT64CONST(1000000)

extern PGDLLEXPORT void shoal_ops_monitor_main(Datum arg);
extern PGDLLEXPORT Datum shoal_internal_ping(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(shoal_internal_ping);

typedef struct Peer
{
	int			node_id;
	bool		down;			/* as the metadata say */
	int			times_down;
	PGconn	   *pg;				/* NULL: none yet */
	PostgresPollingStatusType connecting;	/* PGRES_POLLING_OK: it is made */
	bool		asked;			/* a ping has no answer yet */
	bool		again;			/* the last one got none, from a node that is
								 * there */
	int64		sent;			/* when it, or the connection's first packet, was */
	int64		acked;			/* when the latest that was answered was sent */
	bool		fenced;			/* the node says that this one was given up */
	int64		sealed;			/* since when this node can't but give it up, 0:
								 * it can */
} Peer;

static List *peers = NIL;		/* of Peer *, in TopMemoryContext */
static int	local_id = 0;
static bool local_down = false;	/* as the metadata here say */
static int	local_times_down = 0;
static bool any_replicas = true;
static uint64 wants = 0;		/* when they were looked for */

/* A worker: for giving nodes up, and for taking them back. */
typedef struct Worker
{
	BackgroundWorkerHandle *handle; /* NULL: it does not run */
	int64		ended;
} Worker;

static Worker failover = {0};
static Worker restore = {0};
static int64 metadata_read = 0;
static bool any_broken = false;	/* a copy is not as it should be */

/* ---- the other side ---- */

/*
 * shoal.internal_ping(node_id, times_down): whether that node takes part, and knows
 * of itself what is known here; null is no answer, as for one that is new, and
 * known elsewhere already
 */
Datum
shoal_internal_ping(PG_FUNCTION_ARGS)
{
	int			node_id = PG_GETARG_INT32(0);
	const ShoalNode *node = shoal_meta_node(node_id);
	bool		active;

	shoal_xact_check_internal();
	active = node != NULL && node->is_active &&
		node->times_down == PG_GETARG_INT32(1);
	if (node == NULL || (active && !shoal_health_note_ping(node_id)))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(active);
}

/* ---- the nodes ---- */

static void
drop_connection(Peer *peer)
{
	if (peer->pg)
		PQfinish(peer->pg);
	peer->pg = NULL;
	peer->asked = false;
}

static Peer *
find_peer(int node_id)
{
	ListCell   *lc;

	foreach(lc, peers)
	{
		if (((Peer *) lfirst(lc))->node_id == node_id)
			return lfirst(lc);
	}
	return NULL;
}

/* This node was taken back: it can act as soon as the others have answered. */
static void
ping_at_once(void)
{
	ListCell   *lc;

	foreach(lc, peers)
	{
		Peer	   *peer = lfirst(lc);

		if (!peer->asked && peer->connecting == PGRES_POLLING_OK)
			peer->sent = 0;
	}
}

/*
 * The metadata: which nodes there are, and whether there is anything to watch:
 * a shard that has a replica, or a node that was given up.
 */
static void
read_metadata(void)
{
	List	   *seen = NIL;
	ListCell   *lc;
	bool		found = false;
	bool		broken = false;
	int			times_down = local_times_down;

	wants = shoal_health_wants();
	local_id = shoal_xact_begin_work() ? shoal_meta_local_node_id() : 0;
	local_down = false;
	foreach(lc, local_id ? shoal_meta_all_nodes() : NIL)
	{
		const ShoalNode *node = lfirst(lc);
		Peer	   *peer = find_peer(node->node_id);
		MemoryContext old;

		if (node->is_local)
		{
			local_down = !node->is_active;
			local_times_down = node->times_down;
			continue;
		}
		old = MemoryContextSwitchTo(TopMemoryContext);
		if (peer == NULL)
		{
			peer = palloc0(sizeof(Peer));
			peer->node_id = node->node_id;
			peers = lappend(peers, peer);
		}
		MemoryContextSwitchTo(old);
		peer->down = !node->is_active;
		peer->times_down = node->times_down;
		seen = lappend_int(seen, node->node_id);
		shoal_health_set_peer(node->node_id, 0, peer->down, peer->times_down);
	}
	foreach(lc, peers)
	{
		Peer	   *peer = lfirst(lc);

		if (list_member_int(seen, peer->node_id))
			continue;
		drop_connection(peer);
		peers = foreach_delete_current(peers, lc);
		pfree(peer);
	}
	found = local_down;
	foreach(lc, peers)
		found |= ((Peer *) lfirst(lc))->down;
	foreach(lc, local_id ? shoal_meta_group_ids() : NIL)
	{
		const ShoalGroup *group = shoal_meta_find_group(lfirst_int(lc));

		if (group == NULL || group->kind == SHOAL_KIND_REFERENCE)
			continue;
		found |= shoal_meta_has_replicas(group);
		for (int i = 0; i < group->ncopies; i++)
		{
			const ShoalNode *node = shoal_meta_node(group->copies[i].node_id);

			if (group->copies[i].state != SHOAL_COPY_ACTIVE && node &&
				node->is_active)
				broken = true;
		}
	}
	any_replicas = found;
	any_broken = broken;
	if (local_times_down != times_down)
		ping_at_once();
	shoal_xact_end_work();
}

/* Begins to connect; an error (no rights, say) is as good as no answer. */
static void
begin_connection(Peer *peer)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		if (shoal_xact_begin_work())
			peer->pg = shoal_remote_start(peer->node_id);
		shoal_xact_end_work();
		MemoryContextSwitchTo(context);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	peer->connecting = PGRES_POLLING_WRITING;
	peer->sent = shoal_health_now();
}

static int64
ping_interval(void)
{
	return (int64) shoal_failover_time * 1000 / PINGS;
}

static bool
is_ping_due(const Peer *peer, int64 now)
{
	int64		interval = ping_interval();

	if (peer->again)
		interval = Min(interval, AGAIN_TIME * 1000);
	return now - peer->sent >= interval;
}

/* Sends a ping if one is due, or begins anew what has had no answer. */
static void
send_ping(Peer *peer)
{
	int64		now = shoal_health_now();
	char		sql[100];

	/* what takes longer than that is of no use any more */
	if (peer->pg && (peer->asked || peer->connecting != PGRES_POLLING_OK) &&
		now - peer->sent > (int64) shoal_failover_time * 1000 / 2)
		drop_connection(peer);
	if (peer->pg == NULL)
	{
		if (now - peer->sent >= ping_interval())
			begin_connection(peer);
		return;
	}
	if (peer->connecting != PGRES_POLLING_OK || peer->asked ||
		!is_ping_due(peer, now))
		return;
	snprintf(sql, sizeof(sql), "/*shoal local*/ SELECT shoal.internal_ping(%d, %d)",
			 local_id, local_times_down);
	peer->sent = now;
	peer->asked = true;
	if (!PQsendQuery(peer->pg, sql) || PQflush(peer->pg) < 0)
		drop_connection(peer);
}

static void
take_answer(Peer *peer)
{
	PGresult   *res;

	if (!PQconsumeInput(peer->pg))
	{
		drop_connection(peer);
		return;
	}
	while (peer->asked && !PQisBusy(peer->pg))
	{
		res = PQgetResult(peer->pg);
		if (res == NULL)
		{
			peer->asked = false;
			break;
		}
		peer->again = PQresultStatus(res) == PGRES_TUPLES_OK &&
			PQntuples(res) == 1 && PQgetisnull(res, 0, 0);
		if (PQresultStatus(res) == PGRES_TUPLES_OK && !peer->again)
		{
			peer->fenced = PQgetvalue(res, 0, 0)[0] != 't';
			/* it may have been taken back */
			if (peer->fenced)
				metadata_read = 0;
			peer->acked = peer->sent;
			shoal_health_set_peer(peer->node_id, peer->acked, peer->down,
								  peer->times_down);
		}
		PQclear(res);
	}
}

/* What the socket is ready for. */
static void
serve(Peer *peer)
{
	if (peer->connecting != PGRES_POLLING_OK)
	{
		peer->connecting = PQconnectPoll(peer->pg);
		if (peer->connecting == PGRES_POLLING_FAILED)
			drop_connection(peer);
		else if (peer->connecting == PGRES_POLLING_OK)
		{
			(void) PQsetnonblocking(peer->pg, 1);
			/* so that the first ping goes out at once */
			peer->sent = 0;
			send_ping(peer);
		}
		return;
	}
	(void) PQflush(peer->pg);
	take_answer(peer);
}

/* Waits for answers, some milliseconds at most. */
static void
wait_for_peers(int ms)
{
	struct pollfd *fds = palloc0(sizeof(struct pollfd) * (list_length(peers) + 1));
	Peer	  **owners = palloc0(sizeof(Peer *) * (list_length(peers) + 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, peers)
	{
		Peer	   *peer = lfirst(lc);

		if (peer->pg == NULL)
			continue;
		fds[n].fd = PQsocket(peer->pg);
		fds[n].events = peer->connecting == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
		owners[n++] = peer;
	}
	if (poll(fds, n, ms) > 0)
	{
		for (int i = 0; i < n; i++)
			if (fds[i].revents && owners[i]->pg)
				serve(owners[i]);
	}
	pfree(fds);
	pfree(owners);
}

/* ---- what follows from the answers ---- */

/*
 * The lease: from the latest moment at which a quorum had answered.  The lowest
 * node's answer counts for more if the others are half of all.
 */
static void
work_out_lease(void)
{
	int			n = 1;
	int64	   *times = palloc(sizeof(int64) * (list_length(peers) + 1));
	int		   *nodes = palloc(sizeof(int) * (list_length(peers) + 1));
	int64		now = shoal_health_now();
	int64		best = 0;
	bool		fenced = local_down;
	ListCell   *lc;

	times[0] = now;
	nodes[0] = local_id;
	foreach(lc, peers)
	{
		Peer	   *peer = lfirst(lc);

		if (peer->down)
			continue;
		fenced |= peer->fenced;
		times[n] = peer->acked;
		nodes[n++] = peer->node_id;
	}
	for (int i = 0; i < n; i++)
	{
		int		   *voters = palloc(sizeof(int) * n);
		int			nvoters = 0;

		for (int j = 0; j < n; j++)
			if (times[j] >= times[i] && times[j] > 0)
				voters[nvoters++] = nodes[j];
		if (times[i] > best &&
			shoal_health_is_quorum(voters, nvoters, nodes, n))
			best = times[i];
		pfree(voters);
	}
	shoal_health_set_lease(best == 0 ? 0 :
						   best + (int64) shoal_failover_time * 1000 * 2 / 3,
						   fenced);
	pfree(times);
	pfree(nodes);
}

static bool
is_busy(Worker *worker)
{
	pid_t		pid;

	if (worker->handle &&
		GetBackgroundWorkerPid(worker->handle, &pid) == BGWH_STOPPED)
	{
		pfree(worker->handle);
		worker->handle = NULL;
		worker->ended = shoal_health_now();
		metadata_read = 0;
	}
	return worker->handle != NULL;
}

/* How many nodes with a lower id answer: these are to act before this one. */
static int
my_rank(void)
{
	int64		now = shoal_health_now();
	int			before = 0;
	ListCell   *lc;

	foreach(lc, peers)
	{
		Peer	   *peer = lfirst(lc);

		if (!peer->down && peer->node_id < local_id &&
			now - peer->acked < (int64) shoal_failover_time * 1000)
			before++;
	}
	return before;
}

static bool
has_rested(const Worker *worker, int64 ms)
{
	return shoal_health_now() - worker->ended > ms * 1000;
}

/*
 * Whether it is on this node to have another one given up.  That is too
 * important to be left to one: if nothing happens, the next one does it.  Who
 * has sealed its vote can't go back, even if the node answers again.
 */
static bool
is_lost(Peer *peer, int64 started, int rank)
{
	int64		now = shoal_health_now();
	int64		limit = (int64) shoal_failover_time * 1000;

	if (peer->down || !shoal_health_is_sealed(peer->node_id))
		peer->sealed = 0;
	else if (peer->sealed == 0)
		peer->sealed = now;
	if (peer->down)
		return false;
	return now - Max(peer->acked, started) > limit + rank * RANK_TIME ||
		(peer->sealed != 0 && now - peer->sealed > rank * RANK_TIME);
}

/* Has nodes given up, or taken back, or copies repaired. */
static void
look_for_work(int64 started)
{
	int64		now = shoal_health_now();
	int			rank = my_rank();
	bool		lost = false;
	bool		back = false;
	ListCell   *lc;

	foreach(lc, peers)
	{
		Peer	   *peer = lfirst(lc);

		lost |= is_lost(peer, started, rank);
		back |= peer->down && peer->acked != 0 &&
			now - peer->acked < ping_interval() * 4;
	}
	if (!is_busy(&failover) && lost && shoal_health_has_lease() &&
		has_rested(&failover, FAILOVER_PAUSE))
		failover.handle = ops_failover_start(false);
	if (!is_busy(&restore) && rank == 0 && shoal_health_has_lease() &&
		((back && has_rested(&restore, REJOIN_PAUSE)) ||
		 (any_broken && shoal_auto_repair && has_rested(&restore, REPAIR_PAUSE))))
		restore.handle = ops_failover_start(true);
}

static bool
is_copy(void)
{
	bool		copy = shoal_xact_begin_work() && shoal_xact_is_copy();

	shoal_xact_end_work();
	return copy;
}

/* A copy of the node must not tell others that the node is there. */
static void
await_identity(void)
{
	while (is_copy())
	{
		shoal_server_pause(SHOAL_COPY_TIME);
	}
}

void
shoal_ops_monitor_main(Datum arg)
{
	MemoryContext context;
	int64		started;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	context = AllocSetContextCreate(TopMemoryContext, "Shoal monitor",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	await_identity();
	MemoryContextSwitchTo(context);
	started = shoal_health_now();
	shoal_health_begin();
	for (;;)
	{
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		if (shoal_xact_is_known_copy())
		{
			/* nobody had answered when that was asked; the next one waits at its start */
			shoal_health_set_lease(0, false);
			break;
		}
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		(void) is_busy(&failover);
		(void) is_busy(&restore);
		if (shoal_health_now() - metadata_read > (int64) META_TIME * 1000 ||
			shoal_meta_has_changed())
		{
			read_metadata();
			MemoryContextSwitchTo(context);
			metadata_read = shoal_health_now();
		}
		if ((local_id == 0 || !any_replicas || shoal_failover_time == 0) &&
			shoal_health_stop(wants))
			break;
		foreach(lc, peers)
			send_ping(lfirst(lc));
		wait_for_peers(20);
		work_out_lease();
		look_for_work(started);
		if (!PostmasterIsAlive())
			proc_exit(1);
		MemoryContextReset(context);
	}
	proc_exit(0);
}
