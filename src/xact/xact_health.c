/*
 * xact_health.c
 *		Which nodes answer, and whether this one may act: shared memory.
 *
 * Where shards have replicas, a node that does not answer is given up, and
 * replicas are promoted (ops_failover.c).  So that the node itself, should it
 * be alive but cut off, does not go on as their primary, each node works under
 * a lease.  A monitor (ops_monitor.c) pings all other nodes; a node that
 * answers a ping promises not to give the pinging one up for shoal.failover_time.
 * A node that has answers, its own included, from a quorum of the nodes that
 * are not given up has a lease for two thirds of that time, counted from when
 * the pings were sent.  To give a node up takes a quorum, too, none of which has
 * made such a promise within the time.  Two quorums have a node in common, so
 * the lease has run out by then.
 *
 * Who votes for giving a node up answers it no more, and refuses its sessions.
 * That binds for as long as the transaction lasts that asked for the vote, so nothing
 * is left of it if the others do not agree, or whoever asks is lost himself.  Before
 * anything is done about what the node has left, the vote is sealed: if this node
 * has kept to it so far, it does from then on, until the node has been given up and
 * taken back.  Sealed votes are in a file (xact_sealed.c), as this node may be
 * killed and started again before its metadata tell what has come of them.
 *
 * A node that is taken back has metadata from then on in which its shards are
 * somewhere else.  A statement that began before must not go on under the
 * new lease: how often the node has been given up is noted when a statement is
 * planned, and compared when it asks for the lease.  Open transactions have been
 * ended by whoever takes the node back, so that is about those that began
 * meanwhile.
 *
 * A quorum is more than half of the nodes, or half of them with the lowest
 * node id among them.  Times are of the monotonic clock, in microseconds, each
 * compared on the machine that it was taken on.
 *
 * Nothing of this applies to databases without replicas.
 */
#include "postgres.h"

#include <time.h>

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/inval.h"
#include "utils/plancache.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "xact/xact_health.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

/* milliseconds without an answer after which a node is suspect */
#define SUSPECT_TIME 1200

/* milliseconds beyond shoal.failover_time after which nobody waits for a node */
#define GONE_MARGIN 500

/* milliseconds that a statement waits for a node's fate, or for a lease */
#define PATIENCE 15000

/* milliseconds until a node that was taken back can be used */
#define RETURN_TIME 3000

/* milliseconds between looks */
#define LOOK_PAUSE 20

/* one that goes on while the machine sleeps, if there is one */
#ifdef CLOCK_BOOTTIME
#define HEALTH_CLOCK CLOCK_BOOTTIME
#else
#define HEALTH_CLOCK CLOCK_MONOTONIC
#endif

typedef struct HealthPeer
{
	int			node_id;		/* 0: unused, and so are all that follow */
	bool		down;			/* given up */
	int			times_down;		/* how often, when it was not last; -1: unknown */
	int			bound_by;		/* the backend whose transaction has this node
								 * vote for it to be given up, 0: none ... */
	int64		bound_until;	/* ... but not longer than that */
	bool		sealed;			/* the vote holds until the node has been given
								 * up, and taken back, ... */
	int			sealed_down;	/* ... once more than so often */
	int64		acked;			/* when the latest ping was sent that it answered */
	int64		seen;			/* when its latest ping came */
} HealthPeer;

/* Of a gate's database. */
typedef struct Health
{
	bool		wanted;			/* it has replicas */
	uint64		wants;			/* how often that was found */
	bool		mirrored;		/* triggers repeat what is written to them
								 * (mirror_guard.c) */
	bool		fenced;			/* the others have given this node up */
	int64		since;			/* when the monitor started, 0: it does not run */
	bool		leased;			/* it has had a lease since then */
	bool		votes_read;		/* sealed votes are at least those of the file */
	uint64		votes_changes;	/* how often they have changed since, ... */
	uint64		votes_saved;	/* ... and of these, how often as the file knows */
	pg_atomic_uint64 lease_until;
	HealthPeer	peers[XACT_MAX_NODES];
} Health;

typedef struct HealthShared
{
	Health		health[XACT_MAX_GATES];
} HealthShared;

static HealthShared *shared = NULL;
static LWLock *votes_lock = NULL;	/* for the file; taken before the other lock */

/* how often this node was given up as its transaction began, -1: not noted */
static int	noted_times_down = -1;

/* what this backend takes back */
static List *restored = NIL;

/* this backend's transaction has asked for votes, which end with it */
static Health *bound = NULL;

int64
shoal_health_now(void)
{
	struct timespec ts;

	(void) clock_gettime(HEALTH_CLOCK, &ts);
	return (int64) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* With the lock held.  NULL if there are too many. */
static HealthPeer *
find_peer(Health *health, int node_id)
{
	for (int i = 0; i < XACT_MAX_NODES; i++)
	{
		if (health->peers[i].node_id == node_id)
			return &health->peers[i];
		if (health->peers[i].node_id == 0)
		{
			health->peers[i].node_id = node_id;
			health->peers[i].down = false;
			health->peers[i].times_down = -1;
			health->peers[i].acked = health->peers[i].seen = 0;
			health->peers[i].bound_by = 0;
			health->peers[i].sealed = false;
			return &health->peers[i];
		}
	}
	return NULL;
}

/* ---- sealed votes ---- */

static void
read_votes(Health *health)
{
	XactSealed	votes[XACT_MAX_NODES];

	LWLockAcquire(votes_lock, LW_EXCLUSIVE);
	if (!health->votes_read)
	{
		int			n = xact_sealed_read(MyDatabaseId, votes, XACT_MAX_NODES);

		LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
		for (int i = 0; i < n; i++)
		{
			HealthPeer *peer = find_peer(health, votes[i].node_id);

			if (peer == NULL)
				continue;
			peer->sealed = true;
			peer->sealed_down = votes[i].times_down;
		}
		health->votes_read = true;
		LWLockRelease(xact_shared_lock);
	}
	LWLockRelease(votes_lock);
}

/*
 * Writes them, if they have changed; when it returns they are on disk, whoever has
 * written them.
 */
static void
save_votes(Health *health)
{
	XactSealed	votes[XACT_MAX_NODES];
	int			n = 0;
	uint64		changes;

	LWLockAcquire(votes_lock, LW_EXCLUSIVE);
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	changes = health->votes_changes;
	for (int i = 0; i < XACT_MAX_NODES && health->peers[i].node_id != 0; i++)
	{
		if (!health->peers[i].sealed)
			continue;
		votes[n].node_id = health->peers[i].node_id;
		votes[n++].times_down = health->peers[i].sealed_down;
	}
	LWLockRelease(xact_shared_lock);
	if (changes != health->votes_saved)
	{
		if (!xact_sealed_write(MyDatabaseId, votes, n))
			ereport(ERROR,
					(errcode(ERRCODE_IO_ERROR),
					 errmsg("could not keep votes for giving nodes up")));
		health->votes_saved = changes;
	}
	LWLockRelease(votes_lock);
}

static Health *
my_health(void)
{
	Health	   *health = &shared->health[xact_gate() - xact_shared->gates];

	if (!health->votes_read)
		read_votes(health);
	return health;
}

void
xact_health_save(void)
{
	Health	   *health = my_health();

	if (health->votes_changes != health->votes_saved)
		save_votes(health);
}

/* ---- looking ---- */

/*
 * What is known of a node, NULL: nothing.  Without the lock: who asks can do
 * with what was so a moment ago.
 */
static const HealthPeer *
look_at_peer(int node_id)
{
	Health	   *health = my_health();

	for (int i = 0; i < XACT_MAX_NODES && health->peers[i].node_id != 0; i++)
		if (health->peers[i].node_id == node_id)
			return &health->peers[i];
	return NULL;
}

/* ---- whether there is anything to watch ---- */

/* A group with replicas has been met, or a node that was given up. */
static void
want(void)
{
	Health	   *health;

	if (!OidIsValid(MyDatabaseId) || IsBinaryUpgrade || shared == NULL ||
		proc_exit_inprogress)
		return;
	health = my_health();
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	health->wants++;
	health->wanted = true;
	if (health->since == 0 && xact_shared->launcher_latch)
		SetLatch(xact_shared->launcher_latch);
	LWLockRelease(xact_shared_lock);
}

bool
xact_health_is_wanted(int gate)
{
	return shared->health[gate].wanted && shoal_failover_time > 0;
}

bool
shoal_health_is_watched(void)
{
	static bool known = false;
	bool		watched;

	/* a database without Shoal is to have no gate */
	watched = shared != NULL && shoal_failover_time > 0 &&
		shoal_meta_enabled() && my_health()->wanted;
	/* what is planned may depend on it */
	if (watched != known)
		ResetPlanCache();
	known = watched;
	return watched;
}

bool
shoal_health_is_mirrored(void)
{
	return my_health()->mirrored;
}

void
shoal_health_set_mirrored(void)
{
	my_health()->mirrored = true;
}

void
xact_health_forget(int gate)
{
	Health	   *health = &shared->health[gate];

	health->wanted = health->fenced = health->leased = health->mirrored = false;
	health->votes_read = false;
	health->votes_changes = health->votes_saved = 0;
	health->since = 0;
	pg_atomic_write_u64(&health->lease_until, 0);
	memset(health->peers, 0, sizeof(health->peers));
}

/* ---- the monitor's part ---- */

void
shoal_health_begin(void)
{
	Health	   *health = my_health();

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	health->since = shoal_health_now();
	health->leased = false;
	LWLockRelease(xact_shared_lock);
}

uint64
shoal_health_wants(void)
{
	return my_health()->wants;
}

bool
shoal_health_stop(uint64 wants)
{
	Health	   *health = my_health();
	bool		stop;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	stop = health->wants == wants;
	if (stop)
	{
		health->since = 0;
		health->wanted = health->leased = false;
	}
	LWLockRelease(xact_shared_lock);
	return stop;
}

void
shoal_health_set_peer(int node_id, int64 acked, bool down, int times_down)
{
	Health	   *health = my_health();
	HealthPeer *peer;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	peer = find_peer(health, node_id);
	if (peer)
	{
		peer->acked = Max(peer->acked, acked);

		/*
		 * It has been taken back, so the vote has served.  The file need not
		 * know at once, as what is in it will be seen to be old, too.
		 */
		if (!down && peer->sealed && times_down > peer->sealed_down)
		{
			peer->sealed = false;
			health->votes_changes++;
		}
		peer->down = down;
		if (!down)
			peer->times_down = times_down;
	}
	LWLockRelease(xact_shared_lock);
}

void
shoal_health_set_lease(int64 until, bool fenced)
{
	Health	   *health = my_health();

	health->fenced = fenced;
	health->leased |= until > shoal_health_now() && !fenced;
	pg_atomic_write_u64(&health->lease_until, fenced ? 0 : (uint64) until);
}

/* ---- the other side's ---- */

static bool
has_voted(const HealthPeer *peer, int64 now)
{
	return peer->sealed || (peer->bound_by != 0 && peer->bound_until > now);
}

bool
shoal_health_note_ping(int node_id)
{
	Health	   *health = my_health();
	HealthPeer *peer;
	int64		now = shoal_health_now();
	bool		noted = false;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	peer = find_peer(health, node_id);
	if (peer && !has_voted(peer, now))
	{
		peer->seen = now;
		noted = true;
	}
	LWLockRelease(xact_shared_lock);
	return noted;
}

/*
 * Whether this node has not heard of that one for long enough.  What it heard
 * before it was started, or became a node with replicas, it does not know.  If
 * it has voted, that the node answers does not count any more.
 */
static bool
is_vanished(const Health *health, const HealthPeer *peer, int64 now)
{
	int64		heard = Max(peer->seen, health->since);

	if (!has_voted(peer, now))
		heard = Max(heard, peer->acked);
	return health->since != 0 &&
		now - heard > (int64) shoal_failover_time * 1000;
}

bool
shoal_health_has_vanished(int node_id)
{
	Health	   *health = my_health();
	HealthPeer *peer;
	bool		vanished;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	peer = find_peer(health, node_id);
	vanished = peer && is_vanished(health, peer, shoal_health_now());
	LWLockRelease(xact_shared_lock);
	return vanished;
}

bool
shoal_health_vote(int node_id, int times_down, ShoalVote vote)
{
	Health	   *health = my_health();
	HealthPeer *peer;
	int64		now = shoal_health_now();
	bool		vanished;
	bool		seals;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	peer = find_peer(health, node_id);
	vanished = peer && is_vanished(health, peer, now);
	seals = peer && (vote == SHOAL_VOTE_FORCE ||
					 (vote == SHOAL_VOTE_SEAL && vanished));
	if (seals && !peer->sealed)
	{
		peer->sealed = true;
		peer->sealed_down = times_down;
		health->votes_changes++;
		vanished = is_vanished(health, peer, now);
	}
	if (vanished && vote == SHOAL_VOTE_BIND)
	{
		peer->bound_by = MyProcPid;
		peer->bound_until = now + (int64) shoal_failover_time * 1000;
		bound = health;
	}
	LWLockRelease(xact_shared_lock);
	if (seals)
		save_votes(health);
	return vanished;
}

/* What the transaction has asked for does not bind any more. */
static void
unbind(void)
{
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	for (int i = 0; i < XACT_MAX_NODES && bound->peers[i].node_id != 0; i++)
		if (bound->peers[i].bound_by == MyProcPid)
			bound->peers[i].bound_by = 0;
	LWLockRelease(xact_shared_lock);
	bound = NULL;
}

bool
shoal_health_is_sealed(int node_id)
{
	const HealthPeer *peer = look_at_peer(node_id);

	return peer && peer->sealed;
}

/* If this node was given up itself, what it knows of others is old. */
bool
shoal_health_is_refused(int node_id)
{
	const HealthPeer *peer = look_at_peer(node_id);

	return peer && ((peer->down && !my_health()->fenced) ||
					has_voted(peer, shoal_health_now()));
}

void
shoal_health_check_origin(void)
{
	if (shoal_health_is_refused(shoal_origin))
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("node %d is given up by the other nodes", shoal_origin),
				 errhint("Connect to another node until it takes part again.")));
}

/* ---- who asks ---- */

bool
shoal_health_is_quorum(const int *voters, int nvoters, const int *nodes, int n)
{
	int			lowest = PG_INT32_MAX;

	for (int i = 0; i < n; i++)
		lowest = Min(lowest, nodes[i]);
	if (2 * nvoters != n)
		return 2 * nvoters > n;
	for (int i = 0; i < nvoters; i++)
		if (voters[i] == lowest)
			return true;
	return false;
}

bool
shoal_health_is_down(int node_id)
{
	const HealthPeer *peer = look_at_peer(node_id);

	return peer && peer->down;
}

bool
shoal_health_answers(int node_id)
{
	const HealthPeer *peer = look_at_peer(node_id);

	return peer && peer->acked != 0 &&
		shoal_health_now() - peer->acked < (int64) SUSPECT_TIME * 1000;
}

static bool
watches(void)
{
	return shoal_failover_time > 0 && my_health()->wanted;
}

/*
 * Whether nothing is to be waited for from a node: it was given up, or will be
 * as soon as those let go who wait for it.
 */
static bool
is_gone(int node_id)
{
	const HealthPeer *peer = watches() ? look_at_peer(node_id) : NULL;
	int64		limit = (int64) (shoal_failover_time + GONE_MARGIN) * 1000;
	int64		since;
	int64		now;

	if (peer == NULL)
		return false;
	now = shoal_health_now();
	if (!list_member_int(restored, node_id) && (peer->down || has_voted(peer, now)))
		return true;
	since = my_health()->since;
	return since != 0 && now - Max(peer->acked, since) > limit;
}

/* The monitor runs, and the node has not answered for a while. */
bool
shoal_health_is_suspect(int node_id)
{
	Health	   *health = my_health();
	const HealthPeer *peer = look_at_peer(node_id);
	int64		now = shoal_health_now();

	return peer && health->wanted && health->since != 0 && !peer->down &&
		now - Max(peer->acked, health->since) > (int64) SUSPECT_TIME * 1000;
}

static void
pause_a_little(void)
{
	shoal_server_pause(LOOK_PAUSE);
}

/*
 * Whether this backend knows already that a node was taken back, and the monitor
 * does not.
 */
static bool
is_just_back(int node_id)
{
	const HealthPeer *peer = look_at_peer(node_id);
	const ShoalNode *node;

	if (peer == NULL || (!peer->down && !peer->sealed))
		return false;
	node = shoal_meta_node(node_id);
	return node != NULL && node->is_active &&
		(!peer->down || node->times_down > peer->times_down) &&
		(!peer->sealed || node->times_down > peer->sealed_down);
}

static void
await_monitor(int node_id)
{
	int64		until;

	if (list_member_int(restored, node_id) || !is_just_back(node_id))
		return;
	until = shoal_health_now() + (int64) RETURN_TIME * 1000;
	while (is_just_back(node_id) && shoal_health_now() < until)
	{
		pause_a_little();
		AcceptInvalidationMessages();
	}
}

void
shoal_health_await_monitor(int node_id)
{
	if (shoal_health_is_watched())
		await_monitor(node_id);
}

bool
shoal_health_await_node(int node_id)
{
	int64		until;

	if (!shoal_health_is_watched())
		return false;
	await_monitor(node_id);
	if (!shoal_health_is_suspect(node_id))
		return false;
	until = shoal_health_now() + (int64) PATIENCE * 1000;
	while (shoal_health_is_suspect(node_id) && shoal_health_now() < until)
		pause_a_little();
	AcceptInvalidationMessages();
	return true;
}

void
shoal_health_restore(List *nodes)
{
	restored = nodes;
}

void
shoal_health_await_return(int node_id, int64 taken_back)
{
	const HealthPeer *peer;

	while (shoal_health_now() < taken_back + (int64) RETURN_TIME * 1000 &&
		   ((peer = look_at_peer(node_id)) == NULL || peer->down ||
			has_voted(peer, shoal_health_now()) || peer->seen < taken_back))
		pause_a_little();
}

bool
shoal_health_lost_lease(void)
{
	return watches() &&
		shoal_health_now() >= (int64) pg_atomic_read_u64(&my_health()->lease_until);
}

bool
shoal_health_has_lease(void)
{
	return !shoal_health_is_watched() ||
		shoal_health_now() < (int64) pg_atomic_read_u64(&my_health()->lease_until);
}

static int
times_down(void)
{
	const ShoalNode *node = shoal_meta_node(shoal_meta_local_node_id());

	return node ? node->times_down : 0;
}

void
shoal_health_note_metadata(void)
{
	if (noted_times_down < 0 && shoal_health_is_watched())
		noted_times_down = times_down();
}

void
xact_health_reset(void)
{
	noted_times_down = -1;
	if (bound)
		unbind();
}

/* The lease is looked at first: it is given when the metadata are there. */
static bool
is_as_noted(void)
{
	if (noted_times_down < 0)
		return true;
	AcceptInvalidationMessages();
	return times_down() == noted_times_down;
}

bool
shoal_health_may_act(void)
{
	return shoal_health_has_lease() && is_as_noted();
}

/*
 * Without a lease since the monitor started it is waited for in any case: the
 * transaction may have begun when there was nothing to watch.  If the node is
 * given up meanwhile it gets none, or, when it is taken back, the transaction is
 * ended first (ops_rejoin.c).
 */
void
shoal_health_require_lease(bool wait)
{
	int64		start = shoal_health_now();

	while (!shoal_health_has_lease())
	{
		wait |= !my_health()->leased;
		if (!wait || my_health()->fenced ||
			shoal_health_now() - start > (int64) PATIENCE * 1000)
			ereport(ERROR,
					(errcode(ERRCODE_CANNOT_CONNECT_NOW),
					 errmsg("node %d is cut off from the other nodes of the cluster",
							shoal_meta_local_node_id()),
					 errdetail(my_health()->fenced ?
							   "The others have given it up; it takes part again when it has been repaired." :
							   "It cannot know whether it still has the primaries of its shards."),
					 errhint("Connect to another node, or try again later.")));
		pause_a_little();
	}
	/* whoever has taken the node back may have ended this session */
	CHECK_FOR_INTERRUPTS();
	if (!is_as_noted())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("node %d was given up by the other nodes since the transaction began",
						shoal_meta_local_node_id()),
				 errdetail("It has been taken back, and its shards may be on other nodes."),
				 errhint("Run the transaction again.")));
}

/* ---- looking on ---- */

static int64
time_since(int64 then, int64 now)
{
	return then == 0 ? -1 : now - then;
}

static void
describe_peer(int node_id, ShoalHealthView *view)
{
	const HealthPeer *peer = look_at_peer(node_id);
	int64		now = shoal_health_now();

	if (peer == NULL)
		return;
	view->state = peer->down ? "given up" :
		shoal_health_is_suspect(node_id) ? "suspect" : "answers";
	view->answered = time_since(peer->acked, now);
	view->asked = time_since(peer->seen, now);
	view->vote = peer->sealed ? "sealed" : has_voted(peer, now) ? "bound" : NULL;
}

void
shoal_health_describe(int node_id, bool is_local, ShoalHealthView *view)
{
	Health	   *health = my_health();
	int64		left;

	view->state = "not watched";
	view->answered = view->asked = view->lease = -1;
	view->vote = NULL;
	if (!watches() || health->since == 0)
		return;
	if (!is_local)
	{
		describe_peer(node_id, view);
		return;
	}
	left = (int64) pg_atomic_read_u64(&health->lease_until) - shoal_health_now();
	view->state = health->fenced ? "given up" : left > 0 ? "has a lease" : "cut off";
	if (left > 0)
		view->lease = left;
}

/* ---- installing ---- */

static void
init_leases(void)
{
	for (int i = 0; i < XACT_MAX_GATES; i++)
		pg_atomic_init_u64(&shared->health[i].lease_until, 0);
}

void
xact_health_init(void)
{
	static const ShoalShared share = {
		.name = "shoal health",
		.size = sizeof(HealthShared),
		.memory = (void **) &shared,
		.lock = &votes_lock,
		.init = init_leases
	};

	shoal_server_share(&share);
	shoal_meta_on_replicas = want;
	shoal_remote_is_gone = is_gone;
	shoal_remote_watches = watches;
}
