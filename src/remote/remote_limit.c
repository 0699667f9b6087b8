/*
 * remote_limit.c
 *		How many connections this server's sessions have to each node.
 *
 * Shared memory counts them by database and node.  Who wants one more than the
 * limit waits until another session gives one back; so does who finds the node
 * itself full.  As long as somebody waits, sessions give back what they have
 * when their transaction ends instead of keeping it for the next.  Sessions
 * that have connections to other nodes already may wait for each other's: a
 * fifth of the connections is left for them, and nobody waits longer than
 * shoal.connection_wait.  Without a limit in the settings it is what the node takes,
 * which it is asked when the first connection is made.
 *
 * Connections that nobody uses are closed by the node (idle_session_timeout),
 * and replaced when they are needed again.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

/* databases of this server times nodes of their clusters */
#define MAX_TARGETS		2048

/* milliseconds between attempts when the node is full */
#define RETRY_TIME		50

struct RemoteCount
{
	Oid			dbid;			/* InvalidOid: unused, and so are those after */
	int			node_id;
	int			open;
	int			waiting;
	int			capacity;		/* connections that the node takes, 0: unknown */
	bool		is_old;			/* to be asked for again */
	ConditionVariable freed;
};

typedef struct RemoteCounts
{
	RemoteCount targets[MAX_TARGETS];
} RemoteCounts;

static RemoteCounts *counts = NULL;
static LWLock *counts_lock = NULL;

static void
init_counts(void)
{
	for (int i = 0; i < MAX_TARGETS; i++)
		ConditionVariableInit(&counts->targets[i].freed);
}

/* The count of a node; NULL if there is no room, then nothing is limited. */
static pg_noinline RemoteCount *
find_count(int node_id)
{
	RemoteCount *unused = NULL;

	for (int i = 0; i < MAX_TARGETS; i++)
	{
		RemoteCount *count = &counts->targets[i];

		if (count->dbid == MyDatabaseId && count->node_id == node_id)
			return count;
		if (unused == NULL && count->open == 0 && count->waiting == 0)
			unused = count;
		if (!OidIsValid(count->dbid))
			break;
	}
	if (unused)
	{
		unused->dbid = MyDatabaseId;
		unused->node_id = node_id;
		unused->capacity = 0;
		unused->is_old = false;
	}
	return unused;
}

static bool
try_take(RemoteCount *count, bool urgent)
{
	int			limit = shoal_max_node_connections;
	bool		taken;

	LWLockAcquire(counts_lock, LW_EXCLUSIVE);
	/* the first one finds out */
	if (limit < 0)
		limit = Max(count->capacity, 1);
	/* some are left for those who must not wait */
	taken = limit == 0 || count->open < (urgent ? limit : limit - limit / 5);
	if (taken)
		count->open++;
	LWLockRelease(counts_lock);
	return taken;
}

static void
add_waiting(RemoteCount *count, int n)
{
	LWLockAcquire(counts_lock, LW_EXCLUSIVE);
	count->waiting += n;
	LWLockRelease(counts_lock);
}

static RemoteCount *
count_of(int node_id)
{
	RemoteCount *count;

	if (counts == NULL)
		return NULL;
	LWLockAcquire(counts_lock, LW_EXCLUSIVE);
	count = find_count(node_id);
	LWLockRelease(counts_lock);
	return count;
}

/* Counts one more connection if there is room for it; else false. */
bool
remote_limit_try(int node_id, RemoteCount **count)
{
	*count = count_of(node_id);
	return *count == NULL || try_take(*count, false);
}

static void
wait_for_room(RemoteCount *count, const char *label, bool urgent)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   shoal_connection_wait);

	add_waiting(count, 1);
	PG_TRY();
	{
		ConditionVariablePrepareToSleep(&count->freed);
		while (!try_take(count, urgent))
		{
			if (GetCurrentTimestamp() > deadline)
				ereport(ERROR,
						(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
						 errmsg("too many connections to node \"%s\"", label),
						 errhint("Raise \"%s\", or let transactions end sooner.",
								 "shoal.max_node_connections")));
			(void) ConditionVariableTimedSleep(&count->freed, RETRY_TIME,
											   PG_WAIT_EXTENSION);
		}
		ConditionVariableCancelSleep();
	}
	PG_FINALLY();
	{
		add_waiting(count, -1);
	}
	PG_END_TRY();
}

/*
 * Waits until there is room for one more connection, and counts it.  urgent:
 * the session has others already.  Error 53300 if it takes too long.
 */
RemoteCount *
remote_limit_take(int node_id, const char *label, bool urgent)
{
	RemoteCount *count = count_of(node_id);

	if (count && !try_take(count, urgent))
		wait_for_room(count, label, urgent);
	return count;
}

/*
 * The node has no room: waits a little.  False if that has taken too long.  An
 * error gives the count back.
 */
bool
remote_limit_wait_full(RemoteCount *count, TimestampTz *deadline)
{
	TimestampTz now = GetCurrentTimestamp();

	if (count == NULL)
		return false;
	if (*deadline == 0)
		*deadline = TimestampTzPlusMilliseconds(now, shoal_connection_wait);
	if (now > *deadline)
		return false;
	count->is_old = true;
	add_waiting(count, 1);
	PG_TRY();
	{
		(void) ConditionVariableTimedSleep(&count->freed, RETRY_TIME,
										   PG_WAIT_EXTENSION);
		ConditionVariableCancelSleep();
	}
	PG_CATCH();
	{
		add_waiting(count, -1);
		remote_limit_give(count);
		PG_RE_THROW();
	}
	PG_END_TRY();
	add_waiting(count, -1);
	return true;
}

/* A connection is closed, or could not be opened. */
void
remote_limit_give(RemoteCount *count)
{
	if (count == NULL)
		return;
	LWLockAcquire(counts_lock, LW_EXCLUSIVE);
	count->open--;
	LWLockRelease(counts_lock);
	ConditionVariableSignal(&count->freed);
}

bool
remote_limit_is_known(const RemoteCount *count)
{
	return count == NULL || (count->capacity > 0 && !count->is_old);
}

void
remote_limit_set(RemoteCount *count, int capacity)
{
	LWLockAcquire(counts_lock, LW_EXCLUSIVE);
	/* users connect there, too, and so do Shoal's workers */
	count->capacity = Max(capacity - Max(capacity / 8, 5), 1);
	count->is_old = false;
	LWLockRelease(counts_lock);
	ConditionVariableBroadcast(&count->freed);
}

/* Whether somebody waits for a connection like this one. */
bool
remote_limit_is_wanted(const RemoteCount *count)
{
	return count && ((const volatile RemoteCount *) count)->waiting > 0;
}

void
remote_limit_init(void)
{
	static const ShoalShared shared = {
		.name = "shoal_remote",
		.size = sizeof(RemoteCounts),
		.memory = (void **) &counts,
		.lock = &counts_lock,
		.init = init_counts
	};

	shoal_server_share(&shared);
}
