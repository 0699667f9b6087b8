/*
 * xact_gate.c
 *		The gate between commits on several nodes and snapshots of several nodes.
 *
 * A commit wave is the time from before the local commit to the end of the
 * last COMMIT PREPARED; while it runs, some nodes show the transaction and
 * some don't.  A moment is the time in which a coordinator takes snapshots of
 * several nodes.  No wave may run during a moment.  Waves run at their
 * coordinator's gate, without a word to anybody; so a moment has to hold the
 * gates of all nodes, each of which may be a coordinator.  It is not let go
 * there: waves that find it ask its own coordinator whether it is over, which
 * costs nothing as long as nobody reads.
 *
 * Both are let through fairly and cannot wait in a circle.  Moments have
 * numbers, which grow with the clock over all nodes.  A wave that arrives at a
 * gate waits for the moments that hold it; the highest of their numbers is the
 * wave's.  A moment that arrives waits for the waves that run, and for those
 * waiting ones whose number is lower than its own; the others wait for it, too.  So
 * moments only ever wait for waves that wait for older moments; a wave waits
 * for no moment that came later, and a moment for no wave that did.
 *
 * A backend that dies leaves wave and moment, and a coordinator whose server is
 * down has none.  One that can't be asked for other reasons keeps waves from
 * starting, until they give up before the decision.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

PG_FUNCTION_INFO_V1(shoal_internal_gate_hold);
PG_FUNCTION_INFO_V1(shoal_internal_gate_wait);

/* What the gate knows of a coordinator's moments; with the lock held. */
static XactMoments *
moments_of(XactGate *gate, int node_id)
{
	for (int i = 0; i < XACT_MAX_NODES; i++)
	{
		XactMoments *moments = &gate->moments[i];

		if (moments->node_id == 0)
			moments->node_id = node_id;
		if (moments->node_id == node_id)
			return moments;
	}
	LWLockRelease(xact_shared_lock);
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("too many nodes")));
}

/* ---- moments ---- */

/* A wave that a moment has to wait for. */
typedef struct WaveSeen
{
	XactSlot   *slot;
	uint64		wave;
} WaveSeen;

/* The waves that go before a moment; with the lock held. */
static WaveSeen *
waves_before(XactGate *gate, uint64 moment, WaveSeen *waves, int *n)
{
	int			index = gate - xact_shared->gates;

	*n = 0;
	for (int i = 0; i < MaxBackends; i++)
	{
		XactSlot   *slot = &xact_shared->slots[i];

		if (slot->wave != 0 && slot->gate == index &&
			(slot->wave_runs || slot->wave_after < moment))
		{
			waves[*n].slot = slot;
			waves[(*n)++].wave = slot->wave;
		}
	}
	return waves;
}

/* The process of one that is not over, 0 if all are. */
static int
any_wave_left(WaveSeen *waves, int n)
{
	int			pid = 0;

	LWLockAcquire(xact_shared_lock, LW_SHARED);
	for (int i = 0; i < n && pid == 0; i++)
	{
		if (waves[i].slot->wave == waves[i].wave)
			pid = waves[i].slot->pid;
	}
	LWLockRelease(xact_shared_lock);
	return pid;
}

/*
 * Keeps waves that arrive from now on from starting, and waits for those that
 * were here before.
 */
void
xact_gate_hold(int node_id, uint64 moment)
{
	XactGate   *gate = xact_gate();
	XactMoments *moments;
	WaveSeen   *waves = palloc(sizeof(WaveSeen) * MaxBackends);
	int			n;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	gate->last_moment = Max(gate->last_moment, moment);
	moments = moments_of(gate, node_id);
	moments->held = Max(moments->held, moment);
	/* it comes late, or that node's clock was put back */
	if (moment <= moments->ended)
		moments->ended = moment - 1;
	waves = waves_before(gate, moment, waves, &n);
	LWLockRelease(xact_shared_lock);

	if (n > 0)
	{
		TimestampTz deadline = xact_gate_deadline();
		int			pid;

		ConditionVariablePrepareToSleep(&gate->changed);
		while ((pid = any_wave_left(waves, n)) != 0)
			xact_gate_sleep(gate, deadline, pid);
		ConditionVariableCancelSleep();
	}
	pfree(waves);
}

/* Gives this backend a moment; it is over with xact_gate_end_moment. */
uint64
xact_gate_begin_moment(void)
{
	XactGate   *gate = xact_gate();
	XactSlot   *slot = xact_slot();
	uint64		now = (uint64) GetCurrentTimestamp();

	Assert(slot->moment == 0);
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	gate->last_moment = Max(gate->last_moment + 1, now);
	slot->moment = gate->last_moment;
	LWLockRelease(xact_shared_lock);
	return slot->moment;
}

/* Never raises. */
void
xact_gate_end_moment(void)
{
	XactSlot   *slot = xact_slot_if_any();

	if (slot == NULL || slot->moment == 0)
		return;
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	slot->moment = 0;
	LWLockRelease(xact_shared_lock);
	ConditionVariableBroadcast(&xact_gate()->changed);
}

/* The process of a moment up to that number, 0 if all are over. */
static int
any_moment_left(XactGate *gate, uint64 moment)
{
	int			index = gate - xact_shared->gates;
	int			pid = 0;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	/* those to come have higher numbers */
	gate->last_moment = Max(gate->last_moment, moment);
	for (int i = 0; i < MaxBackends && pid == 0; i++)
	{
		XactSlot   *slot = &xact_shared->slots[i];

		if (slot->moment != 0 && slot->moment <= moment && slot->gate == index)
			pid = slot->pid;
	}
	LWLockRelease(xact_shared_lock);
	return pid;
}

/* Waits until this node's moments up to a number are over. */
static void
wait_for_moments(uint64 moment)
{
	XactGate   *gate = xact_gate();
	TimestampTz deadline = xact_gate_deadline();
	int			pid;

	ConditionVariablePrepareToSleep(&gate->changed);
	while ((pid = any_moment_left(gate, moment)) != 0)
		xact_gate_sleep(gate, deadline, pid);
	ConditionVariableCancelSleep();
}

/* ---- waves ---- */

/*
 * A coordinator with moments that go before the wave, 0 if there is none; then
 * the wave runs.
 */
static int
moments_before(XactGate *gate, XactSlot *slot)
{
	int			node_id = 0;

	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	for (int i = 0; i < XACT_MAX_NODES && gate->moments[i].node_id != 0; i++)
	{
		XactMoments *moments = &gate->moments[i];

		if (Min(moments->held, slot->wave_after) > moments->ended)
		{
			node_id = moments->node_id;
			break;
		}
	}
	if (node_id == 0)
		slot->wave_runs = true;
	LWLockRelease(xact_shared_lock);
	return node_id;
}

static void
arrive(XactGate *gate, XactSlot *slot, uint64 fxid)
{
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	slot->wave = ++gate->last_wave;
	slot->wave_fxid = fxid;
	slot->wave_runs = false;
	slot->wave_after = 0;
	for (int i = 0; i < XACT_MAX_NODES && gate->moments[i].node_id != 0; i++)
	{
		XactMoments *moments = &gate->moments[i];

		if (moments->held > moments->ended)
			slot->wave_after = Max(slot->wave_after, moments->held);
	}
	LWLockRelease(xact_shared_lock);
}

/* Whether the node takes part: one that was given up has no moments. */
static bool
takes_part(int node_id)
{
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		if (((const ShoalNode *) lfirst(lc))->node_id == node_id)
			return !shoal_remote_is_down(node_id);
	}
	return false;
}

/* Asks a coordinator whether its moments are over. */
static void
ask_coordinator(XactGate *gate, int node_id, uint64 moment)
{
	if (node_id == shoal_meta_local_node_id())
		wait_for_moments(moment);
	else if (takes_part(node_id))
	{
		ShoalConn  *conn = shoal_xact_conn_outside(node_id);

		shoal_remote_exec(conn,
						  psprintf(XACT_INTERNAL_CALL "gate_wait(" UINT64_FORMAT ")",
								   moment));
	}
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	{
		XactMoments *moments = moments_of(gate, node_id);

		moments->ended = Max(moments->ended, moment);
	}
	LWLockRelease(xact_shared_lock);
}

/*
 * Before the decision about a transaction of several nodes, when all are
 * prepared.  Ends with xact_gate_leave, whatever happens.
 */
void
xact_gate_enter_for(uint64 fxid)
{
	XactGate   *gate = xact_gate();
	XactSlot   *slot = xact_slot();
	int			node_id;

	arrive(gate, slot, fxid);
	while ((node_id = moments_before(gate, slot)) != 0)
		ask_coordinator(gate, node_id, slot->wave_after);
}

void
xact_gate_enter(void)
{
	xact_gate_enter_for(U64FromFullTransactionId(GetTopFullTransactionIdIfAny()));
}

/* Never raises. */
void
xact_gate_leave(void)
{
	XactSlot   *slot = xact_slot_if_any();

	if (slot == NULL || slot->wave == 0)
		return;
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	slot->wave = 0;
	slot->wave_runs = false;
	LWLockRelease(xact_shared_lock);
	ConditionVariableBroadcast(&xact_gate()->changed);
}

void
shoal_xact_enter_wave(void)
{
	xact_used_nodes = true;
	xact_gate_enter();
}

void
shoal_xact_leave_wave(void)
{
	xact_gate_leave();
}

/* Whether a transaction of this node is in its wave. */
bool
xact_gate_has_wave(uint64 fxid)
{
	XactGate   *gate = xact_gate();
	int			index = gate - xact_shared->gates;
	bool		found = false;

	LWLockAcquire(xact_shared_lock, LW_SHARED);
	for (int i = 0; i < MaxBackends && !found; i++)
	{
		XactSlot   *slot = &xact_shared->slots[i];

		found = slot->wave != 0 && slot->gate == index &&
			slot->wave_fxid == fxid;
	}
	LWLockRelease(xact_shared_lock);
	return found;
}

/* ---- what other coordinators call ---- */

/*
 * shoal.internal_gate_hold(coordinator, moment): true if something that this
 * node has coordinated may still be prepared somewhere
 */
Datum
shoal_internal_gate_hold(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	xact_gate_hold(PG_GETARG_INT32(0), (uint64) PG_GETARG_INT64(1));
	PG_RETURN_BOOL(xact_gate_is_in_doubt(xact_gate()));
}

/* shoal.internal_gate_wait(moment) */
Datum
shoal_internal_gate_wait(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	wait_for_moments((uint64) PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}
