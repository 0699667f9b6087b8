/*
 * xact.h
 *		Distributed transactions.
 *
 * A node joins the backend's transaction with the first statement sent to it;
 * BEGIN (with the isolation level) and SAVEPOINTs travel ahead of that
 * statement.  At commit: no writer or one (counting this node if it wrote):
 * COMMIT.  More: PREPARE TRANSACTION everywhere in parallel, a row in
 * shoal.commit_record in the local transaction, COMMIT PREPARED in parallel
 * after it.
 */
#ifndef SHOAL_XACT_H
#define SHOAL_XACT_H

#include "executor/execdesc.h"
#include "utils/resowner.h"

#include "meta/meta.h"
#include "remote/remote.h"

#define SHOAL_JOIN_WRITE	0x01	/* the statement may change data there */
#define SHOAL_JOIN_BLOCK	0x02	/* always open a transaction, even if the
									 * statement could commit by itself */
#define SHOAL_JOIN_TOLD		0x04	/* with WRITE: the node tells whether the
									 * statement has written (xact_told.c) */

/*
 * The connection to a node, part of the current transaction and ready for the
 * next statement.  Without SHOAL_JOIN_BLOCK no BEGIN is sent when the
 * statement is the only one of its transaction (shoal_xact_is_single) and no
 * transaction is open there yet.  Error 25006 for a write in a read-only
 * transaction.  Not for the local node.
 */
extern ShoalConn *shoal_xact_conn(int node_id, int flags);

/*
 * A further connection to a node, beside that one; its number (share) is 1 or
 * more.  It is always in a transaction block, and does not see what has been
 * written over another one: for statements that are the whole transaction, or that
 * read before anything is written.  NULL if there is no room for one.
 */
extern ShoalConn *shoal_xact_conn_beside(int node_id, int share, int flags);

/* Whether other nodes are part of the current transaction. */
extern bool shoal_xact_has_joined(void);

/* Whether the transaction may have changed something on another node. */
extern bool shoal_xact_has_written(int node_id);

/*
 * A connection for something that no transaction governs (a sequence): part
 * of the current one if the node has joined it, else by itself.
 */
extern ShoalConn *shoal_xact_conn_outside(int node_id);

/*
 * True if the statement being executed is the whole transaction: top level,
 * no transaction block, no function, nothing more from the client before the
 * next Sync.  Then a read needs no BEGIN, and a write to one node commits
 * there by itself.  For writes the caller must have nothing left to do that
 * could fail once the node has answered.  Meant for plan nodes, while the
 * executor runs (not while it starts); an SQL function can't tell by it
 * whether it is the only one in its statement, and passes SHOAL_JOIN_BLOCK.
 */
extern bool shoal_xact_is_single(void);

/*
 * Runs a command on all other active nodes (node_ids NIL) or on some, in
 * the current transaction, on the lowest node first and on the rest in
 * parallel.  Prefixed with the local marker by the caller.
 */
extern void shoal_xact_run(const char *sql, List *node_ids);

/*
 * Runs a SET CONSTRAINTS command on all nodes of this transaction, also those
 * that join it later.
 */
extern void shoal_xact_set_constraints(const char *sql);

/* ---- snapshots of several nodes, taken at one moment ---- */

/*
 * Transactions are about to become visible on one node after the other: no moment
 * is opened until that is over.  An abort ends it.
 */
extern void shoal_xact_enter_wave(void);
extern void shoal_xact_leave_wave(void);

/*
 * Reading several nodes without a moment.  begin: before a statement is sent to
 * these nodes, marked as calm; NULL if it had better be a moment, also as it could
 * not be thrown away on one of them.  holds: when it has been sent, and the own
 * snapshot was taken (NULL: nothing is read here); waits until all nodes have begun
 * with it.  False if their snapshots may disagree: then what was sent has to be
 * thrown away.  In the current memory context.
 */
typedef struct ShoalCalm ShoalCalm;
extern ShoalCalm *shoal_calm_begin(List *node_ids);
extern bool shoal_calm_holds(ShoalCalm *calm, Snapshot own);

/*
 * Whether a snapshot of this node shows of each transaction all that it has written
 * here, over several connections maybe, or nothing.
 */
extern bool shoal_calm_is(Snapshot snapshot);

/* Whether a statement that reads several nodes has to take one now. */
extern bool shoal_moment_wanted(void);

/* Whether one that must see the same on all nodes has to, whatever the settings. */
extern bool shoal_moment_needed(void);

/*
 * Opens the moment: from now until it is closed no transaction becomes visible
 * on one node before another.  node_ids: the nodes that will be read.  Returns
 * its number.  Waits for commits under way.  An error closes it.
 */
extern uint64 shoal_moment_open(List *node_ids);

/*
 * Makes the connection's next statement, and those of its transaction that are
 * marked as held, use a snapshot of the open moment.
 */
extern void shoal_moment_take(ShoalConn *conn);

/* Waits until all snapshots are taken, then closes the moment, if one is open. */
extern void shoal_moment_close(void);

/* The same without waiting, after an error; also if none is open. */
extern void shoal_moment_abandon(void);

/*
 * Takes snapshots on all nodes, in their transactions, for several statements, at a
 * moment if need be: shoal_moment_use makes a connection's next one use them, until
 * shoal_moment_drop.  own takes the caller's own snapshot; it is called again, to
 * take another one, if the first ones may disagree.
 */
typedef Snapshot (*ShoalOwnSnapshot) (void *arg);
extern uint64 shoal_moment_hold(ShoalOwnSnapshot own, void *arg);

/*
 * The same without waiting: the nodes' snapshots travel ahead of what is held by the
 * moment and sent first; when that has been sent shoal_hope_send_rest sends them to
 * the other nodes.  When its rows have been read, shoal_hope_holds says whether the
 * snapshots agree.  If not, these rows are wrong, and the moment has to be dropped.
 * NULL if that is not to be tried.  Lives in the current memory context.
 */
typedef struct ShoalHope ShoalHope;
extern ShoalHope *shoal_hope_begin(ShoalOwnSnapshot own, void *arg);
extern uint64 shoal_hope_moment(const ShoalHope *hope);
extern void shoal_hope_send_rest(uint64 moment);
extern bool shoal_hope_holds(ShoalHope *hope);

/* The same without a moment: the snapshots are taken one after the other. */
extern uint64 shoal_moment_hold_apart(void);
extern void shoal_moment_use(ShoalConn *conn, uint64 moment);

/* Gives one a snapshot of the other's (of the same node): a round trip. */
extern void shoal_moment_share(ShoalConn *from, ShoalConn *to, uint64 moment);
extern void shoal_moment_drop(uint64 moment);

/*
 * In REPEATABLE READ, before the first statement that reads anything: takes
 * the snapshots of all nodes and the transaction's own at one moment.  True if
 * that has just been done; then the statement's snapshot is to be renewed.
 */
extern bool shoal_moment_of_transaction(void);

/* Makes a statement that is about to start use a snapshot of now. */
extern void shoal_snapshot_renew(QueryDesc *desc);

/*
 * A snapshot of now, registered with the owner.  Unlike core's own of a whole transaction
 * it does not go on to later commands.
 */
extern Snapshot shoal_snapshot_now(ResourceOwner owner);

/*
 * On a node: makes a held fragment that is about to start use the snapshot
 * that its coordinator has asked for.  False if it is none.  Error 40001 if the
 * snapshot is gone.
 */
extern bool shoal_snapshot_for_fragment(QueryDesc *desc);

/* How many executors are running, one within the other. */
extern int	shoal_xact_depth(void);

/* Whether a statement writes. */
extern bool shoal_xact_writes(const QueryDesc *desc);

/*
 * How many statements that write are under way, one within the other.  Whoever
 * runs a COPY FROM says so.
 */
extern int	shoal_xact_writers(void);
extern void shoal_xact_enter_copy(void);
extern void shoal_xact_leave_copy(void);

/*
 * Serialises schema and metadata changes of the whole cluster until the end
 * of the transaction (on the lowest node).  Nothing to do in
 * a one-node cluster.
 */
extern void shoal_xact_lock_cluster(void);

/* DISCARD SEQUENCES: what currval() and lastval() would return is forgotten. */
extern void shoal_currval_discard(void);

/*
 * On a node: whether a statement is a function's there, and what it does to the session is
 * to be done to the client's (NULL: a function that is built in asks).
 */
extern bool shoal_session_is_elsewhere(const char *query_string);

/*
 * That it sends a notification (payload: or NULL), or has changed a setting, which it was
 * asked for before.
 */
extern void shoal_session_say_notification(const char *channel, const char *payload);
extern char *shoal_session_setting(const char *name);
extern void shoal_session_say_setting(const char *name, const char *before, bool is_local);

/* A statement is over: tells the coordinator, or does here what nodes have told of. */
extern void shoal_session_after(const char *query_string);

/* How coordinators call the functions that are for them only. */
#define XACT_INTERNAL_CALL "/*shoal local*/ SELECT shoal.internal_"

/*
 * Notes for nodes that are down when this transaction has begun, so that now() is the
 * same there in what is noted next.  Others are told with BEGIN.
 */
extern void shoal_xact_note_time(void);

/*
 * Error 42501 unless a coordinator has called the function, in a statement
 * that begins so (or, shoal_xact_check_internal, with XACT_INTERNAL_CALL).
 * The hint may be NULL.
 */
extern void shoal_xact_check_internal(void);
extern void shoal_xact_check_call(const char *start, const char *hint);

/*
 * Has "take" take several locks, each waiting for so long at most, in a
 * subtransaction.  False if one was not to be had (55P03), and then none is
 * held.  Other errors are raised as they come.
 */
extern bool shoal_xact_try_locks(void (*take) (void *arg), void *arg,
								 int milliseconds);

/*
 * Called with what shoal_xact_run sends to all nodes, for each node that was
 * given up, and for this one if it may be.  Or NULL.
 */
extern void (*shoal_xact_on_missed) (int node_id, const char *sql);

/* Whether that is to be done for a node. */
extern bool shoal_xact_may_miss(const ShoalNode *node);

/*
 * Letters in names of prepared transactions.  WATCHED: its coordinator may be
 * given up, so each node knows for sure whether it has committed a part.  SOLE: the
 * coordinator itself has written something that no other node can replace, or nobody else
 * can decide.  USERS: it has been prepared by a user, who decides some time.
 */
#define SHOAL_GID_WATCHED	'w'
#define SHOAL_GID_SOLE		's'
#define SHOAL_GID_USERS		'u'
extern bool shoal_xact_gid_has(const char *gid, char letter);

/* What else such a name tells: whether two are of parts of one transaction, ... */
extern bool shoal_xact_gid_is_same(const char *a, const char *b);

/* ... how many that has, and on which nodes, NULL if the name does not tell. */
extern int	shoal_xact_gid_parts(const char *gid);
extern Bitmapset *shoal_xact_gid_nodes(const char *gid);

/*
 * This node does something in the transaction that the others could not do again
 * in its place, besides writing to tables (xact_sole.c).
 */
extern void shoal_xact_note_sole(void);

/*
 * Whether this database is just a copy of the node that it says it is: then it must not
 * do anything on others.  For workers; connects to the node's address if that is not known.
 */
extern bool shoal_xact_is_copy(void);

/* Likewise, as far as somebody has found already; asks nobody. */
extern bool shoal_xact_is_known_copy(void);

/* milliseconds until a copy is to look whether it has become the node */
#define SHOAL_COPY_TIME	4000

/*
 * Called when the recovery worker visits the database, first as the server has started, in a
 * transaction, as the owner of the extension.  Or NULL.
 */
extern void (*shoal_xact_on_visit) (void);

/* Set while this backend calls such a function itself. */
extern bool shoal_xact_calls_itself;

/*
 * Called before nodes are prepared or commit, and when they are prepared; may
 * use nodes, and may raise errors.  Or NULL.
 */
extern void (*shoal_xact_before_end) (void);
extern void (*shoal_xact_when_prepared) (void);

extern void shoal_xact_init(void);

/*
 * In PG_CATCH: the error, copied to the context, which becomes the current one.  If it is
 * that of a deadlock's victim it says so.
 */
extern ErrorData *shoal_xact_catch(MemoryContext context);

/*
 * Of a background worker: a transaction with a snapshot, run as the owner of the
 * extension; false if it is not created in this database, where nobody owns it.
 */
extern bool shoal_xact_begin_work(void);
extern void shoal_xact_end_work(void);

#endif							/* SHOAL_XACT_H */
