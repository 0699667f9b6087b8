/*
 * xact_shared.c
 *		Shared memory of distributed transactions: its layout, attaching to it,
 *		leaving it.
 *
 * It is made anew when the server starts and after a crash of any backend, so
 * a slot never outlives its process.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "meta/meta.h"
#include "xact/xact_private.h"
#include "xact/xact_health.h"
#include "xact/xact_shared.h"

/* milliseconds that a gate may keep anybody waiting */
#define GATE_TIME	30000

XactShared *xact_shared = NULL;
LWLock	   *xact_shared_lock = NULL;

static XactGate *my_gate = NULL;
static XactSlot *my_slot = NULL;

static void
init_shared(void)
{
	pg_atomic_init_u64(&xact_shared->commits, 0);
	for (int i = 0; i < XACT_MAX_GATES; i++)
		ConditionVariableInit(&xact_shared->gates[i].changed);
}

/* The backend ends. */
static void
detach(int code, Datum arg)
{
	XactGate   *gate = my_gate;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	memset(my_slot, 0, sizeof(XactSlot));
	gate->attached--;
	LWLockRelease(xact_shared_lock);
	my_gate = NULL;
	my_slot = NULL;
	ConditionVariableBroadcast(&gate->changed);
}

/*
 * The gate of a database, or one to become it: a free one, or of a database
 * that is not there any more.
 */
static XactGate *
find_gate(Oid dbid)
{
	XactGate   *unused = NULL;

	for (int i = 0; i < XACT_MAX_GATES; i++)
	{
		XactGate   *gate = &xact_shared->gates[i];

		if (gate->dbid == dbid)
			return gate;
		if (unused == NULL && !OidIsValid(gate->dbid))
			unused = gate;
	}
	for (int i = 0; i < XACT_MAX_GATES && unused == NULL; i++)
	{
		XactGate   *gate = &xact_shared->gates[i];

		if (gate->attached == 0 && !gate->visiting)
			unused = gate;
	}
	return unused;
}

/* The same, made ready; NULL if there is no room.  With the lock held. */
static XactGate *
make_gate(Oid dbid)
{
	XactGate   *gate = find_gate(dbid);

	if (gate && gate->dbid != dbid)
	{
		gate->dbid = dbid;
		gate->token = 0;
		gate->identity = XACT_IDENTITY_UNKNOWN;
		gate->asked = 0;
		gate->last_wave = gate->last_moment = 0;
		gate->doubts = 1;
		gate->settled = 0;
		gate->doubted = GetCurrentTimestamp();
		gate->visited = 0;
		memset(gate->moments, 0, sizeof(gate->moments));
		xact_health_forget(gate - xact_shared->gates);
		if (xact_shared->launcher_latch)
			SetLatch(xact_shared->launcher_latch);
	}
	return gate;
}

void
xact_gate_add(Oid dbid)
{
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	(void) make_gate(dbid);
	LWLockRelease(xact_shared_lock);
}

void
xact_gate_remove(XactGate *gate)
{
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	if (gate->attached == 0)
		gate->dbid = InvalidOid;
	LWLockRelease(xact_shared_lock);
}

static void
attach(void)
{
	XactGate   *gate;

	Assert(OidIsValid(MyDatabaseId));
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	gate = make_gate(MyDatabaseId);
	if (gate == NULL)
	{
		LWLockRelease(xact_shared_lock);
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many databases of this server use Shoal at the same time")));
	}
	gate->attached++;
	my_slot = &xact_shared->slots[shoal_my_proc_number()];
	memset(my_slot, 0, sizeof(XactSlot));
	my_slot->pid = MyProcPid;
	my_slot->gate = gate - xact_shared->gates;
	LWLockRelease(xact_shared_lock);
	my_gate = gate;
	before_shmem_exit(detach, (Datum) 0);
}

XactGate *
xact_gate(void)
{
	if (my_gate == NULL)
		attach();
	return my_gate;
}

XactSlot *
xact_slot(void)
{
	if (my_gate == NULL)
		attach();
	return my_slot;
}

XactSlot *
xact_slot_if_any(void)
{
	return my_slot;
}

TimestampTz
xact_gate_deadline(void)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), GATE_TIME);
}

void
xact_gate_sleep(XactGate *gate, TimestampTz deadline, int pid)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													   deadline);

	if (left > 0)
	{
		(void) ConditionVariableTimedSleep(&gate->changed, left,
										   PG_WAIT_EXTENSION);
		return;
	}
	ConditionVariableCancelSleep();
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("commits and snapshots of this cluster wait for one that does not end"),
			 errdetail("It is process %d of node %d.", pid,
					   shoal_meta_local_node_id()),
			 errhint("Look for a node that does not answer; \"%s\" turns consistent snapshots off.",
					 "shoal.consistent_reads")));
}

uint64
xact_gate_doubt(void)
{
	XactGate   *gate = xact_gate();
	uint64		doubt;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	doubt = ++gate->doubts;
	gate->doubted = GetCurrentTimestamp();
	if (xact_shared->launcher_latch)
		SetLatch(xact_shared->launcher_latch);
	LWLockRelease(xact_shared_lock);
	return doubt;
}

bool
xact_gate_is_settled(uint64 doubt)
{
	XactGate   *gate = xact_gate();
	bool		result;

	LWLockAcquire(xact_shared_lock, LW_SHARED);
	result = gate->settled >= doubt;
	LWLockRelease(xact_shared_lock);
	return result;
}

bool
xact_gate_is_in_doubt(XactGate *gate)
{
	bool		result;

	LWLockAcquire(xact_shared_lock, LW_SHARED);
	result = gate->doubts != gate->settled;
	LWLockRelease(xact_shared_lock);
	return result;
}

void
xact_shared_init(void)
{
	static const ShoalShared shared = {
		.name = "shoal",
		.size = offsetof(XactShared, slots),
		.per_backend = sizeof(XactSlot),
		.memory = (void **) &xact_shared,
		.lock = &xact_shared_lock,
		.init = init_shared
	};

	shoal_server_share(&shared);
}
