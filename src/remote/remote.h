/*
 * remote.h
 *		Connections to nodes, and statements on them.
 *
 * A backend keeps one libpq connection per node and user of the session.  Statements
 * are sent in pipeline mode and answered in order.  All waits are
 * interruptible.  Errors of a node are raised here with their SQLSTATE,
 * message, detail, hint, schema, table, column and constraint names; the node
 * is named in the context.  A lost connection raises 08006 and marks the
 * connection dead.
 *
 * This layer knows nothing of transactions; callers come through xact.h,
 * which puts BEGIN and SAVEPOINT ahead of the first statement.
 */
#ifndef REMOTE_H
#define REMOTE_H

#include "libpq-fe.h"
#include "nodes/pg_list.h"

typedef struct ShoalRequest ShoalRequest;

/* the parameter status by which a node tells of its transaction's id */
#define SHOAL_XID_STATUS	"shoal_xid"

/* the one by which it tells that it has taken a snapshot (xact_snapshot.c) */
#define SHOAL_MOMENT_STATUS	"shoal_moment"

/* the one by which it tells whether its snapshot was calm (xact_calm.c) */
#define SHOAL_CALM_STATUS	"shoal_calm"

typedef struct ShoalConn
{
	int			node_id;
	Oid			userid;
	int			share;			/* 0: the usual one; else one of several to the
								 * node that a statement uses at once */
	PGconn	   *pg;				/* NULL or bad once the connection is dead */

	/* owned by xact: */
	int			xact_level;		/* 0: no transaction open there, else nesting
								 * level reached (1: BEGIN, 2: one savepoint) */
	bool		xact_wrote;		/* may have written in the current transaction */
	bool		xact_untold;	/* so by a statement of which the node would not
								 * tell whether it did */
	uint32		xact_xid;		/* shoal_remote_told_xid when it began */
	bool		xact_commits;	/* the statement under way writes and commits
								 * there by itself */
	bool		xact_prepared;	/* the node has answered PREPARE TRANSACTION
								 * (set by remote, reset by xact) */
	uint64		xact_moment;	/* moment whose snapshot the next held fragment
								 * is executed with there */
	bool		xact_held;		/* snapshots are kept there that are needed */
	bool		xact_broken;	/* must not be reused after this transaction */
	bool		quiet;			/* drop the node's notices: the statement runs
								 * here, too, and gives the same ones */

	/* owned by remote: */
	int			sent_level;		/* nesting level here at which the statement under
								 * way was sent */
	struct ShoalConnPrivate *priv;
} ShoalConn;

/* Parameters of a statement, in libpq's form. */
typedef struct ShoalParams
{
	int			n;
	Oid		   *types;
	char	  **values;			/* NULL: SQL NULL */
	int		   *lengths;
	int		   *formats;		/* 0 text, 1 binary */
} ShoalParams;

/* flags of shoal_remote_send */
#define SHOAL_SEND_BINARY	0x01	/* rows come in binary */
#define SHOAL_SEND_CACHE	0x02	/* prepare once per connection and reuse */
#define SHOAL_SEND_HELD		0x04	/* what went ahead of it must have been run just
									 * before; nothing is waited for */

/*
 * The connection to a node for the session's user, opened if need be.  Its statements
 * are done as the current user, whoever that is when they are sent.  Error 08001 if the
 * node can't be reached, 42704 if there is no such node.  Not for the local node.
 */
extern ShoalConn *shoal_remote_conn(int node_id);

/*
 * True if there is no connection to the node yet, and its address refuses one
 * at once: no server runs there.  False if that is not certain.
 */
extern bool shoal_remote_is_down(int node_id);

/*
 * A further connection to a node, besides the usual one, for the current user;
 * its number (share) is 1 or more.  NULL if there is no room for one right
 * now: nobody waits for it.
 */
extern ShoalConn *shoal_remote_conn_beside(int node_id, int share);

/* All connections open in this backend (List of ShoalConn *, caller's list). */
extern List *shoal_remote_all(void);

/*
 * Queues a command whose rows nobody wants (BEGIN, SAVEPOINT, SET) ahead of
 * the next statement; its error, if any, is raised when results are read.
 */
extern void shoal_remote_queue(ShoalConn *conn, const char *sql);

/*
 * Queues one call of a function with two bigint parameters, $1 and $2, behind
 * those commands; it is prepared once per connection.  sql must be a constant.
 */
extern void shoal_remote_queue_call(ShoalConn *conn, const char *sql,
									uint64 a, uint64 b);

/*
 * The same with one parameter of type bytea, which must live until it is sent;
 * also ahead of a command that ends the transaction.
 */
extern void shoal_remote_queue_bytes(ShoalConn *conn, const char *sql,
									 const char *data, int len);

/* Drops what is queued and has not been sent. */
extern void shoal_remote_unqueue(ShoalConn *conn);

/* The same of a call only; true if there was one. */
extern bool shoal_remote_unqueue_call(ShoalConn *conn);

/*
 * Sends a statement (sql includes its marker) and returns at once.  params
 * may be NULL; they must stay valid until the first row or the end has been
 * read.  The session's settings and its current user are made
 * the node's first if they differ.  If an earlier request of the connection still has unread
 * rows, its absorb callback is run first.  The request lives in the current
 * memory context.
 */
extern ShoalRequest *shoal_remote_send(ShoalConn *conn, const char *sql,
									   const ShoalParams *params, int flags);

/*
 * The next row of a request (PGRES_SINGLE_TUPLE), then its end
 * (PGRES_TUPLES_OK or PGRES_COMMAND_OK, without rows), then NULL.  Waits.
 * The result belongs to the request and lives until the next call.
 */
extern PGresult *shoal_remote_next(ShoalRequest *req);

/*
 * Before an error is raised that something is missing which another node's
 * transaction had here: raises the error with which that has failed, if one of
 * this backend's requests has.  Waits a moment for it.
 */
extern void shoal_remote_raise_cause(void);

/* True if shoal_remote_next would not wait. */
extern bool shoal_remote_ready(ShoalRequest *req);

/* If it is ready: true if shoal_remote_next would raise an error. */
extern bool shoal_remote_has_failed(ShoalRequest *req);

/*
 * Waits until shoal_remote_next would not wait for one of the requests
 * (entries may be NULL) and returns its index.
 */
extern int	shoal_remote_wait_any(ShoalRequest **reqs, int n);

/*
 * Called when the connection is needed for something else while the request
 * has unread rows: must read them all (shoal_remote_next until NULL).
 * Without one, such a send raises 55000.
 */
typedef void (*ShoalAbsorb) (ShoalRequest *req, void *arg);
extern void shoal_remote_on_absorb(ShoalRequest *req, ShoalAbsorb absorb,
								   void *arg);

/*
 * Does that on all connections whose transaction there is nested more deeply: it is
 * about to be rolled back in part, and rows may be read from a cursor that lives on.
 */
extern void shoal_remote_absorb_above(int level);

/*
 * Ends a statement whose owner is gone, if one still runs there; may end a
 * transaction that has only read, too (xact_level is 0 then).
 */
extern void shoal_remote_tidy(ShoalConn *conn);

/*
 * Drops what is unread.  A statement that still runs is cancelled, if may_cancel:
 * nothing but the statement is lost by that, as the transaction there has only
 * read, if there is one.  Else it is waited for.
 */
extern void shoal_remote_discard(ShoalRequest *req);
extern bool shoal_remote_may_cancel(ShoalConn *conn);

extern ShoalConn *shoal_remote_request_conn(ShoalRequest *req);

/* Sends a command, waits, returns rows affected (0 if it has none). */
extern uint64 shoal_remote_exec(ShoalConn *conn, const char *sql);

/* Same command on several connections at once (List of ShoalConn *). */
extern void shoal_remote_exec_all(List *conns, const char *sql);

/*
 * Commands that end a transaction, one per connection (lists of ShoalConn *
 * and char *), at once; session settings don't go ahead of them.
 */
extern void shoal_remote_exec_each(List *conns, List *sqls);

/*
 * Sends such a command, and leaves it at that: what it says is taken in when the
 * connection is next used.  If that has been lost meanwhile another one is opened.
 */
extern void shoal_remote_post(ShoalConn *conn, const char *sql);

/* Sends a query, waits, returns all rows as text; caller PQclear()s. */
extern PGresult *shoal_remote_query(ShoalConn *conn, const char *sql,
									const ShoalParams *params);

/*
 * COPY ... FROM STDIN: several connections may be in it at the same time.
 * Data is sent as it is handed over, one message each: collect some first.
 */
extern void shoal_remote_copy_begin(ShoalConn *conn, const char *sql);
extern void shoal_remote_copy_data(ShoalConn *conn, const char *data, int len);
extern void shoal_remote_copy_finish(ShoalConn *conn);	/* no more data; does
														 * not wait */
extern uint64 shoal_remote_copy_end(ShoalConn *conn);	/* rows copied */

/* Whether one is under way. */
extern bool shoal_remote_in_copy(const ShoalConn *conn);

/*
 * For transaction callbacks: like shoal_remote_exec_all, but never raise an
 * error.  Each failure is reported as a WARNING and marks its connection
 * xact_broken.  Returns false if any failed.  recover first cancels what runs
 * on the connections and drains them; then a command may be NULL.
 */
extern bool shoal_remote_try_all(List *conns, char **sqls, bool recover);

/*
 * For the same places: sleeps for some milliseconds, or less.  False if waiting
 * is to end: the query was cancelled, or the session or the server ends.
 */
extern bool shoal_remote_pause(long ms);

/*
 * The last transaction id that the node has told of (see xact_told.c), 0 if
 * none.  Up to date when a statement's end has been read.
 */
extern uint32 shoal_remote_told_xid(ShoalConn *conn);

/*
 * Does what could make the next send wait (for rows that have to be absorbed,
 * for locks), but with SHOAL_SEND_HELD or without SHOAL_SEND_CACHE.
 */
extern void shoal_remote_settle(ShoalConn *conn);

/*
 * Waits until the node has sent a parameter status of that value, or the
 * statement under way is at its end.
 */
extern void shoal_remote_await_status(ShoalConn *conn, const char *name,
									  const char *value);

/* The same for a value other than that. */
extern void shoal_remote_await_change(ShoalConn *conn, const char *name,
									  const char *value);

/* Closes a connection and forgets it. */
extern void shoal_remote_close(ShoalConn *conn);

/*
 * Drops prepared statements of all connections (the schema changed); their
 * DEALLOCATE travels with the next statement.
 */
extern void shoal_remote_forget_statements(void);

/*
 * A connection for work outside any transaction (CREATE INDEX CONCURRENTLY,
 * VACUUM), apart from the session's own; the caller closes it, and an error
 * closes it too.
 */
extern ShoalConn *shoal_remote_conn_separate(int node_id);

/* From now on an error does not close it; the caller does in any case. */
extern void shoal_remote_keep(ShoalConn *conn);

/*
 * A second connection to a node for the session's user, kept like the first,
 * for rows that this backend moves to that node while the first one may be
 * busy.  Nothing on it belongs to the transaction; an abort closes it.
 */
extern ShoalConn *shoal_remote_conn_for_rows(int node_id);

/*
 * A connection to a server that is not (yet) a node, as the current user
 * with these options; closed like the one above.
 */
extern ShoalConn *shoal_remote_conn_to(const char *host, int port,
									   const char *dbname, const char *user,
									   const char *password);

/* The same to this node, which no other function connects to. */
extern ShoalConn *shoal_remote_conn_to_self(void);

/* Raises the error that a result carries, and clears it. */
extern void shoal_remote_raise(ShoalConn *conn, PGresult *res)
			__attribute__((noreturn));

/*
 * A node's changes of rows, as src/mirror sends them: called from inside libpq,
 * so it must not raise an error.  Or NULL.
 */
extern void (*shoal_remote_on_changes) (ShoalConn *conn, const char *text);

/*
 * Called in waits that may raise errors, when a node has sent something: what
 * on_changes has been given can be put away.  Uses no connection.  Or NULL.
 */
extern void (*shoal_remote_after_input) (void);

/* Notices with this severity are such changes; nothing but Shoal makes one. */
#define SHOAL_CHANGES_SEVERITY	"SHOAL"

/*
 * What a function on a node does to the session, as xact_session.c sends it: called from
 * inside libpq, so it must not raise an error.  Or NULL.
 */
extern void (*shoal_remote_on_session) (ShoalConn *conn, const PGresult *notice);

/* Something there has changed settings of the connection's session: tell it all again. */
extern void shoal_remote_forget_settings(ShoalConn *conn);

/* Notices with these severities tell such; all begin with the first one. */
#define SHOAL_SESSION_SEVERITY	"SHOAL SESSION "
#define SHOAL_NOTIFY_SEVERITY	SHOAL_SESSION_SEVERITY "NOTIFY"
#define SHOAL_SET_SEVERITY		SHOAL_SESSION_SEVERITY "SET"
#define SHOAL_SET_LOCAL_SEVERITY	SHOAL_SESSION_SEVERITY "SET LOCAL"

/*
 * Whether a node was given up, so that no answer of it is to be waited for.
 * Or NULL.
 */
extern bool (*shoal_remote_is_gone) (int node_id);

/* Whether that can be so at all.  Or NULL. */
extern bool (*shoal_remote_watches) (void);

/*
 * Begins to connect to a node as the current user, for a caller that drives the
 * connection itself and ends it with PQfinish.  NULL if there is no memory.
 */
extern PGconn *shoal_remote_start(int node_id);

/* Called when a wait for a node serves interrupts; may raise.  Or NULL. */
extern void (*shoal_remote_on_interrupt) (void);

/*
 * A cancel request has become an error.  The postmaster signals the process and
 * its group, so the same request may arrive once more, while the transaction
 * is being rolled back: within 100 ms one request is taken for that.
 */
extern void shoal_remote_note_cancel(void);

extern void shoal_remote_init(void);

#endif							/* REMOTE_H */
