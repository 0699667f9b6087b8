/*
 * xact_private.h
 *		What the files of this folder share.
 */
#ifndef XACT_PRIVATE_H
#define XACT_PRIVATE_H

#include "access/xact.h"
#include "nodes/parsenodes.h"
#include "storage/itemptr.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

#include "xact/xact.h"

/* True once this transaction has used a connection, in whatever way. */
extern bool xact_used_nodes;

/* Connections with an open transaction (caller's list). */
extern List *xact_open_conns(void);

/* xact_gate.c */
extern void xact_gate_enter(void);
extern void xact_gate_enter_for(uint64 fxid);	/* a full transaction id of this node */
extern void xact_gate_leave(void);
extern bool xact_gate_has_wave(uint64 fxid);
extern void xact_gate_hold(int node_id, uint64 moment);
extern uint64 xact_gate_begin_moment(void);
extern void xact_gate_end_moment(void);

/* xact_calm.c */
extern void xact_calm_count_commit(void);
extern void xact_calm_tell(Snapshot snapshot);
extern ShoalCalm *xact_calm_begin(List *node_ids);

/* xact_identity.c */
extern void xact_check_identity(void);

/* xact_role.c */
extern void xact_role_leave(void);
extern void xact_role_reset(void);

/* xact_recover.c */
extern int	xact_recover(bool *all);
extern bool xact_any_left(const char *gids);
extern bool xact_any_of(int node_id, const char *gids);

/* xact_worker.c */
extern void xact_worker_init(void);

/* xact_deadlock.c */
extern void xact_deadlock_check(void);
extern void xact_deadlock_look(void);

/* xact_victim.c */
extern bool xact_victim_tell(int pid, int64 began, const char *detail);
extern void xact_victim_check(void);
extern void xact_victim_rethrow(MemoryContext context) __attribute__((noreturn));
extern void xact_victim_begin(void);
extern void xact_victim_end(void);
extern void xact_victim_note_origin(void);
extern bool xact_has_session(int origin_node, int origin_pid);
extern void xact_victim_init(void);

/* xact_moment.c */
extern void xact_moment_end_sub(int level, bool commit);
extern void xact_moment_reset(void);
extern void xact_moment_check_join(const ShoalConn *conn);

/* xact_export.c */

/* The command SET TRANSACTION SNAPSHOT has succeeded. */
extern void xact_export_import(const VariableSetStmt *stmt);
extern bool xact_export_is_imported(void);

/* The name of the node's snapshot that belongs to it; error 0A000 if there is none. */
extern char *xact_export_snapshot_of(int node_id);
extern void xact_export_reset(void);
extern void xact_export_init(void);

/* xact_snapshot.c */
extern void xact_snapshot_release(void);
extern void xact_snapshot_forget(void);
extern void xact_snapshot_renew_transaction(void);

/* xact_single.c */
extern void xact_single_init(void);
extern void xact_single_reset(void);
extern void xact_single_start_sub(void);
extern void xact_single_abort_sub(void);

/* xact_sequence.c */
extern void xact_sequence_init(void);

/* xact_serializable.c */
extern void xact_check_serializable(List *conns);

/* xact_constraints.c */
extern void xact_queue_constraints(ShoalConn *conn, int level);
extern void xact_constraints_end_sub(int level, bool commit);
extern void xact_constraints_reset(void);

/* xact_currval.c */
extern void xact_currval_reset(void);

/* xact_session.c */
extern void xact_session_before_end(void);
extern void xact_session_end_sub(int level, bool commit);
extern void xact_session_reset(void);
extern void xact_session_init(void);

/* xact_commit.c */
extern void xact_before_commit(void);
extern void xact_after_commit(void);
extern void xact_before_prepare(void);
extern void xact_after_prepare(void);

/* These do not know yet what has been decided: the client waits for recovery. */
extern void xact_await_nodes(const List *node_ids);
extern void xact_after_locks(void);
extern void xact_after_abort(void);
extern void xact_commit_sub(int level);
extern void xact_abort_sub(int level);

/* xact_record.c */
extern char *xact_make_gid(const ShoalConn *conn, const Bitmapset *nodes,
						   int parts, const char *letters);
extern void xact_begin_session(void);
extern bool xact_gid_session(const char *gid, int *node_id, int *pid,
							 uint64 *session);
extern int	xact_node_of_gid(const char *gid);
extern bool xact_is_my_gid(const char *gid, uint64 *fxid);
extern bool xact_record_exists(const char *gid);
extern List *xact_record_list(void);
extern void xact_record_delete(List *gids);

/* xact_rows.c */

/* A row that this backend has written, and what is in it; empty: none. */
typedef struct XactRow
{
	ItemPointerData tid;
	char		gid[GIDSIZE];
} XactRow;

extern Relation xact_rows_open(const char *table, LOCKMODE mode);

/* Puts a name in the place of an old one (NULL: none), or beside it if that is gone. */
extern void xact_row_put(Relation rel, const XactRow *old, const char *gid,
						 XactRow *row);

/* All names (List of char *). */
extern List *xact_rows_list(const char *table);

/* Deletes rows; those that somebody else is deleting are left to him. */
extern void xact_rows_delete(const char *table, List *gids);

/* xact_seen.c */
extern void xact_seen_prepare(const char *gid);
extern void xact_seen_commit(const char *gid);
extern bool xact_seen_has(const char *gid);
extern List *xact_seen_list_left(void);
extern void xact_seen_delete(List *gids);

/* xact_sealed.c */

/* A node, and how often it had been given up before. */
typedef struct XactSealed
{
	int			node_id;
	int			times_down;
} XactSealed;

/* Returns how many there are; error XX001 if the file is no such. */
extern int	xact_sealed_read(Oid dbid, XactSealed *votes, int max);

/* False, and a message in the log, if that is not possible. */
extern bool xact_sealed_write(Oid dbid, const XactSealed *votes, int n);

/*
 * xact_prepared.c: a user's COMMIT PREPARED or ROLLBACK PREPARED begins, which returns
 * a number, and has been done here.
 */
extern uint64 xact_prepared_begin(const TransactionStmt *stmt);
extern void xact_prepared_end(const TransactionStmt *stmt, uint64 fxid);

/* xact_join.c: what BEGIN tells a node of the transaction's time */
extern void xact_join_read_time(const char *begin);

/* xact_sole.c */
extern bool xact_wrote_sole(void);
extern void xact_sole_reset(void);

/*
 * xact_currval.c: a sequence has been advanced (is_next) or set, elsewhere or here, so
 * that core knows.
 */
extern void shoal_currval_keep(Oid relid, int64 value, bool is_next);
extern void shoal_currval_forget(Oid relid, bool is_next);

/* xact_told.c */
extern void xact_tell_xid(void);

#endif							/* XACT_PRIVATE_H */
