/*
 * xact_health.h
 *		Which nodes answer, and whether this one may act: see xact_health.c.
 *
 * Times are microseconds of a clock that is never set, and only compared with
 * others of this machine.
 */
#ifndef XACT_HEALTH_H
#define XACT_HEALTH_H

#include "nodes/pg_list.h"

extern int64 shoal_health_now(void);

/* Whether this database has replicas, and nodes are watched. */
extern bool shoal_health_is_watched(void);

/* Whether triggers repeat writes on replicas here, once that has been found. */
extern bool shoal_health_is_mirrored(void);
extern void shoal_health_set_mirrored(void);

/* ---- for the monitor ---- */

/*
 * It starts; or ends, as it has seen no replicas: false if some have been found
 * since shoal_health_wants() was that.
 */
extern void shoal_health_begin(void);
extern uint64 shoal_health_wants(void);
extern bool shoal_health_stop(uint64 wants);

/*
 * A node has answered a ping that was sent then; whether it is given up, and how
 * often it has been.
 */
extern void shoal_health_set_peer(int node_id, int64 acked, bool down,
								  int times_down);

/* fenced: the others have given this node up. */
extern void shoal_health_set_lease(int64 until, bool fenced);

/* Whether the voters are a quorum of the nodes. */
extern bool shoal_health_is_quorum(const int *voters, int nvoters,
								   const int *nodes, int n);

/*
 * A node's ping has come: for a while this node will not give it up.  False if
 * it has just voted to do that, and the ping must not be answered.
 */
extern bool shoal_health_note_ping(int node_id);

/* Whether this node has not heard of that one for as long as it takes. */
extern bool shoal_health_has_vanished(int node_id);

/* What becomes of a vote for giving a node up. */
typedef enum ShoalVote
{
	SHOAL_VOTE_ASK,				/* nothing; it is only asked for */
	SHOAL_VOTE_BIND,			/* it binds this node until the transaction ends,
								 * but not for ever */
	SHOAL_VOTE_SEAL,			/* it binds until the node has been given up and
								 * taken back */
	SHOAL_VOTE_FORCE			/* the same, even if this node does not vote for
								 * it yet */
} ShoalVote;

/*
 * Whether this node votes for giving that one up, which has been that so often
 * before.  Bound to it, it answers no ping of its any more.  A sealed vote is on
 * disk on return; error 58030 if it can't be written.
 */
extern bool shoal_health_vote(int node_id, int times_down, ShoalVote vote);
extern bool shoal_health_is_sealed(int node_id);

/* Whether the node has answered this one just now, given up or not. */
extern bool shoal_health_answers(int node_id);

/*
 * Waits, some seconds at most, until a node that was taken back at that time can be
 * used: the monitors here and there know of it.
 */
extern void shoal_health_await_return(int node_id, int64 taken_back);

/*
 * Whether sessions of that node must not write any more, as it was given up or
 * this node votes for that.  Cheap.
 */
extern bool shoal_health_is_refused(int node_id);

/* Error 57P03 if this session is of such a node. */
extern void shoal_health_check_origin(void);

/*
 * This backend takes these nodes back, so they may be waited for; an int list that
 * the caller owns, until it is NIL again.
 */
extern void shoal_health_restore(List *nodes);

/* ---- for statements ---- */

/* Whether the node was given up.  Cheap. */
extern bool shoal_health_is_down(int node_id);

/* Whether the node has not answered for a while, and has not been given up. */
extern bool shoal_health_is_suspect(int node_id);

/*
 * Waits, if the node was just taken back, until the monitor knows; till then
 * it counts as given up.
 */
extern void shoal_health_await_monitor(int node_id);

/*
 * The same, and waits, if the node has not answered for a while, until it does or
 * has been given up.  True if it has waited; then the metadata may have changed.
 */
extern bool shoal_health_await_node(int node_id);

/*
 * Whether this node can be sure to be what the metadata say.  Error 57P03 if
 * not, after some seconds if wait, or if the monitor has just started; 40001 if
 * they have changed since shoal_health_note_metadata().
 */
extern bool shoal_health_has_lease(void);

/* The opposite, where the catalogs can't be read. */
extern bool shoal_health_lost_lease(void);
extern void shoal_health_require_lease(bool wait);

/*
 * A statement is about to be planned, or to be run by a plan that was found valid.
 * If the node is given up and taken back before its transaction ends, what it
 * takes to be here may be somewhere else: then it can't act any more.  Cheap.
 */
extern void shoal_health_note_metadata(void);

/*
 * Whether this node has a lease, and has had none of its statement's metadata
 * changed by being taken back.  Cheap.
 */
extern bool shoal_health_may_act(void);

/* ---- for whoever looks on ---- */

typedef struct ShoalHealthView
{
	const char *state;			/* in words */
	int64		answered;		/* microseconds since the latest ping to it was sent
								 * that it answered; -1: it has not */
	int64		asked;			/* since its latest ping came; -1: none has */
	const char *vote;			/* for giving it up: "bound", "sealed"; NULL: none */
	int64		lease;			/* that this node's lasts; -1: it has none */
} ShoalHealthView;

/* What this node knows of a node, or, if it is this one, of itself. */
extern void shoal_health_describe(int node_id, bool is_local,
								  ShoalHealthView *view);

/* ---- for this folder ---- */

extern bool xact_health_is_wanted(int gate);
extern void xact_health_forget(int gate);
extern void xact_health_reset(void);	/* the transaction has ended */
extern void xact_health_save(void); /* votes that have served, sooner or later */
extern void xact_health_init(void);

#endif							/* XACT_HEALTH_H */
