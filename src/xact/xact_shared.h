/*
 * xact_shared.h
 *		What the backends of a server share about distributed transactions.
 *
 * A server may have several databases that are nodes; each has a gate.  Each
 * backend has a slot.  Everything is protected by shoal_shared_lock, held for
 * a look or a few assignments only; whoever changes something that others may
 * wait for broadcasts on the gate's condition variable.
 */
#ifndef XACT_SHARED_H
#define XACT_SHARED_H

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* databases of a server that are nodes, and nodes of a cluster */
#define XACT_MAX_GATES	256
#define XACT_MAX_NODES	256

/* what a gate knows of the moments of another coordinator */
typedef struct XactMoments
{
	int			node_id;		/* 0: unused, and so are all that follow */
	uint64		held;			/* the latest that held this gate */
	uint64		ended;			/* all up to this one are over */
} XactMoments;

/* what is known of a database (xact_identity.c) */
typedef enum XactIdentity
{
	XACT_IDENTITY_UNKNOWN,
	XACT_IDENTITY_OWN,			/* it is the node */
	XACT_IDENTITY_COPY			/* it is a copy of the node */
} XactIdentity;

typedef struct XactGate
{
	Oid			dbid;			/* InvalidOid: free */
	int			attached;		/* backends whose slot refers to it */
	uint64		token;			/* tells it from copies of it, 0: none yet */
	XactIdentity identity;
	TimestampTz asked;			/* when that was last found, 0: never */
	uint64		last_wave;		/* number of the latest wave */
	uint64		last_moment;	/* number of the latest moment */
	uint64		doubts;			/* counts what may have left something prepared */
	uint64		settled;		/* as far as recovery has settled it; a new
								 * gate begins with one doubt */
	TimestampTz doubted;		/* when doubts was last raised */
	TimestampTz visited;		/* when recovery last began */
	bool		visiting;		/* recovery is under way */
	bool		coordinated;	/* other nodes have had sessions here */
	bool		waits;			/* somebody has waited long for a lock */
	TimestampTz checked;		/* when deadlocks were last looked for */
	XactMoments moments[XACT_MAX_NODES];
	ConditionVariable changed;
} XactGate;

typedef struct XactSlot
{
	int			pid;			/* 0: unused */
	int			gate;			/* index */
	uint64		moment;			/* the one that this backend reads at, 0: none */
	uint64		wave;			/* its commit wave, 0: none */
	uint64		wave_fxid;		/* its transaction */
	uint64		wave_after;		/* moments up to this one go before it */
	bool		wave_runs;		/* it is through the gate */

	/* for deadlocks: */
	int			origin_node;	/* the coordinator whose session this is ... */
	int			origin_pid;		/* ... and its backend there; 0: a client's */
	int64		xact_began;		/* of a transaction that uses other nodes, in
								 * microseconds of Unix; 0: none */
	volatile bool is_victim;	/* its transaction has to end */
	char		detail[1024];	/* of the error */
} XactSlot;

/* snapshots that a transaction has exported on all nodes (xact_export.c) */
#define XACT_MAX_EXPORTS	16
#define XACT_EXPORT_NODES	64
#define XACT_EXPORT_NAME	32

typedef struct XactExport
{
	char		name[XACT_EXPORT_NAME]; /* how its name here begins; empty: unused */
	int			nnodes;
	int			node_ids[XACT_EXPORT_NODES];
	char		snapshots[XACT_EXPORT_NODES][XACT_EXPORT_NAME]; /* names on these */
} XactExport;

typedef struct XactShared
{
	struct Latch *launcher_latch;	/* of xact_worker.c, NULL: it does not run */
	pg_atomic_uint64 commits;	/* of parts of transactions of several nodes, in
								 * all databases (xact_calm.c) */
	XactExport	exports[XACT_MAX_EXPORTS];
	XactGate	gates[XACT_MAX_GATES];
	XactSlot	slots[FLEXIBLE_ARRAY_MEMBER];	/* one per backend */
} XactShared;

extern XactShared *xact_shared;
extern LWLock *xact_shared_lock;

/* This database's gate and this backend's slot; attaches at the first call. */
extern XactGate *xact_gate(void);
extern XactSlot *xact_slot(void);

/* NULL if this backend has not attached, or not any more as it ends. */
extern XactSlot *xact_slot_if_any(void);

/*
 * Waits until somebody changes something at the gate; between
 * ConditionVariablePrepareToSleep and CancelSleep.  Error 55P03 after the
 * deadline; pid is the process waited for.
 */
extern void xact_gate_sleep(XactGate *gate, TimestampTz deadline, int pid);
extern TimestampTz xact_gate_deadline(void);

/* Makes a gate of a database, if it has none. */
extern void xact_gate_add(Oid dbid);

/* Forgets a gate, unless backends use it. */
extern void xact_gate_remove(XactGate *gate);

/*
 * Something may be left prepared on a node: recovery has to look at it soon.
 * Returns the number of the doubt.
 */
extern uint64 xact_gate_doubt(void);
extern bool xact_gate_is_in_doubt(XactGate *gate);

/* Whether recovery has settled all that was in doubt up to that number. */
extern bool xact_gate_is_settled(uint64 doubt);

extern void xact_shared_init(void);

#endif							/* XACT_SHARED_H */
