/*
 * remote_private.h
 *		What the files of this folder share.
 *
 * On a connection at most one group is under way: some queued commands, one
 * statement and a Sync.  Its answers are read by remote_step(), which never
 * waits; everything that waits is built on it.
 */
#ifndef REMOTE_PRIVATE_H
#define REMOTE_PRIVATE_H

#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "storage/latch.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "remote/remote.h"

/* internal flag of remote_launch: nothing but the queue goes ahead */
#define REMOTE_SEND_BARE	0x100

/* ... but for the session's settings */
#define REMOTE_SEND_SETTINGS	0x200

/* what a connection is opened to */
typedef struct RemoteTarget
{
	int			node_id;		/* 0: not a node (yet), or this one */
	const char *label;			/* names the node in messages */
	const char *host;
	int			port;
	const char *dbname;
	const char *user;
	const char *password;		/* may be NULL */
	bool		need_password;	/* refuse a server that did not ask for it */
	bool		keep;			/* the node does not end it when it is idle */
} RemoteTarget;

/* milliseconds between looks whether a node was given up */
#define REMOTE_GONE_TIME 250

typedef struct RemoteOptions RemoteOptions;
typedef struct RemoteCount RemoteCount;

/* a prepared statement of a connection */
typedef struct RemoteStatement
{
	uint64		hash;			/* hash key: of text and parameter types */
	int			number;			/* its name is shoal_<number> */
	bool		prepared;		/* the node confirmed it */
	char	   *sql;
	int			nparams;
	Oid		   *types;
	dlist_node	lru;
} RemoteStatement;

/* where a COPY stands */
typedef enum RemoteCopy
{
	REMOTE_COPY_NONE,
	REMOTE_COPY_SENT,			/* the command was sent, no answer yet */
	REMOTE_COPY_IN,				/* data may be sent */
	REMOTE_COPY_FINISHED		/* all was sent, no answer yet */
} RemoteCopy;

/* the values of settings that a connection was last told */
typedef struct RemoteSettings RemoteSettings;

/* whom a node acts as */
typedef struct RemoteRole
{
	Oid			userid;			/* InvalidOid: the connection's user */
	bool		restricted;		/* in a security-restricted operation */
} RemoteRole;

typedef struct ShoalConnPrivate
{
	ShoalConn	pub;
	dlist_node	link;
	char	   *label;
	bool		separate;		/* not in the pool */
	bool		kept;			/* separate: an error does not close it */
	bool		for_rows;		/* carries moved rows, outside transactions */
	SubTransactionId opened_in; /* for separate ones; of one for rows: in which
								 * it was used last */
	bool		unread;			/* for rows: nobody may have read some of them */
	bool		lost;			/* the socket is of no use any more */
	bool		stale;			/* server or mapping changed: close when idle */
	uint32		server_hash;	/* syscache hash values, for that */
	uint32		mapping_hash;
	int			backend_pid;

	MemoryContext context;		/* of this struct and everything below */
	RemoteCount *count;			/* where it is counted, or NULL */
	RemoteOptions *options;		/* for a second connection, to cancel */
	StringInfoData pending;		/* queued commands, each with its NUL */
	const char *call;			/* queued call, or NULL; with its parameters */
	char		call_values[2][24];
	const char *call_data;		/* its only parameter instead, or NULL */
	int			call_len;
	StringInfoData deallocate;	/* likewise; these outlive a rollback */

	/* the group under way */
	bool		busy;			/* its Sync has not been answered */
	bool		posted;			/* ... and nobody waits for that */
	TimestampTz answered;		/* start of the statement here that was
								 * answered last */
	bool		unflushed;		/* libpq holds output back */
	int			ahead;			/* commands whose answers precede the
								 * statement's */
	int			before_cancel;	/* those of them that have to be there before
								 * the group may be cancelled */
	RemoteStatement *preparing; /* its Parse is the last of them */
	List	   *preparing_ahead;	/* those further ahead */
	ShoalRequest *active;		/* who wants the answers, NULL: nobody */
	PGresult   *row;			/* next row, not handed out yet */
	PGresult   *end;			/* end of the statement */
	PGresult   *error;			/* first error of the group */

	RemoteCopy	copy;

	HTAB	   *statements;
	dlist_head	lru;			/* most recently used first */
	int			last_number;

	RemoteSettings *settings;
	bool		settings_known; /* false: all have to be sent */
	bool		settings_unsure;	/* some were sent in a transaction that
									 * may roll back */
	RemoteRole	role;			/* as it was told last ... */
	bool		role_unsure;	/* ... if that still holds */

	WaitEventSet *wait_set;		/* to wait for this connection alone */
	uint32		wait_events;
	int			many_pos;		/* in the set for several, -1: not there */
	uint32		many_events;
} ShoalConnPrivate;

struct ShoalRequest
{
	ShoalConn  *conn;			/* NULL once the connection is closed */
	bool		finished;
	bool		lost;			/* its rows were thrown away, and conn is NULL */
	PGresult   *res;			/* handed out last */
	const char *sql;
	const ShoalParams *params;
	int			flags;
	bool		got_row;
	ShoalAbsorb absorb;
	void	   *absorb_arg;
	MemoryContextCallback callback;
};

/* remote_connection.c */
extern PGconn *remote_start(const RemoteTarget *target);
extern ShoalConn *remote_open(const RemoteTarget *target, bool separate);
extern bool remote_cancel(ShoalConn *conn);
extern bool remote_is_dead(ShoalConn *conn);
extern bool remote_is_refused(const char *host, int port);

/* remote_limit.c */
extern RemoteCount *remote_limit_take(int node_id, const char *label,
									  bool urgent);
extern bool remote_limit_try(int node_id, RemoteCount **count);
extern bool remote_limit_wait_full(RemoteCount *count, TimestampTz *deadline);
extern void remote_limit_give(RemoteCount *count);
extern bool remote_limit_is_known(const RemoteCount *count);
extern void remote_limit_set(RemoteCount *count, int capacity);
extern bool remote_limit_is_wanted(const RemoteCount *count);
extern void remote_limit_init(void);

/* remote_wait.c */
extern bool remote_wait(ShoalConn *conn, bool interruptible,
						TimestampTz deadline);
extern bool remote_flush(ShoalConn *conn, bool interruptible,
						 TimestampTz deadline);
extern void remote_wait_forget(ShoalConn *conn);

/* remote_group.c */
extern bool remote_is_savepoint(const char *sql);
extern bool remote_launch(ShoalConn *conn, const char *sql,
						  const ShoalParams *params, int flags);
extern bool remote_send_ahead(ShoalConn *conn, const char *sql,
							  const ShoalParams *params);
extern bool remote_step(ShoalConn *conn);
extern void remote_complete(ShoalConn *conn);
extern void remote_finish_group(ShoalConn *conn);
extern void remote_make_idle(ShoalConn *conn);
extern void remote_throw_away(ShoalConn *conn);
extern void remote_take_posted(ShoalConn *conn);
extern void remote_forget_group(ShoalConn *conn);
extern bool remote_drain(ShoalConn *conn, TimestampTz deadline);
extern void remote_send_ahead_as_text(ShoalConn *conn, StringInfo buf);
extern void remote_note_result(ShoalConn *conn, PGresult *res);

/* remote_statement.c */
extern RemoteStatement *remote_statement_get(ShoalConn *conn, const char *sql,
											 const ShoalParams *params);
extern void remote_statement_look(void);
extern bool remote_statement_is_preparing(ShoalConn *conn, RemoteStatement *stmt);
extern void remote_statement_drop(ShoalConn *conn, RemoteStatement *stmt);
extern void remote_statement_drop_all(ShoalConn *conn);
extern void remote_statement_init(void);

/* remote_role.c */
extern bool remote_role_differs(const ShoalConn *conn);
extern bool remote_role_tell(ShoalConn *conn);
extern bool remote_role_leave(ShoalConn *conn);
extern void remote_role_forget(ShoalConn *conn);

/* remote_settings.c */
extern RemoteSettings *remote_settings_begin(MemoryContext context,
											 StringInfo options, bool *known);
extern const char *remote_settings_changes(ShoalConn *conn);

/* remote_copy.c */
extern void remote_copy_abort(ShoalConn *conn);

/* remote_error.c */
extern void remote_lost(ShoalConn *conn);
extern void remote_raise_lost(ShoalConn *conn) __attribute__((noreturn));
extern void remote_warn(ShoalConn *conn, PGresult *res, const char *sql);
extern void remote_receive_notice(void *arg, const PGresult *res);
extern void remote_error_init(void);

#endif							/* REMOTE_PRIVATE_H */
