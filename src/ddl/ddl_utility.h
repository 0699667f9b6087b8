/*
 * ddl_utility.h
 *		What the files of the utility hook share.
 */
#ifndef DDL_UTILITY_H
#define DDL_UTILITY_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "storage/lockdefs.h"
#include "tcop/utility.h"

#include "meta/meta.h"

/* A call of the utility hook. */
typedef struct ShoalUtility
{
	PlannedStmt *pstmt;
	Node	   *stmt;			/* pstmt->utilityStmt */
	const char *query_string;
	bool		read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *query_env;
	DestReceiver *dest;
	QueryCompletion *qc;
} ShoalUtility;

/* ---- ddl_hook.c ---- */

/* Hands the call to whoever would have got it without us. */
extern void shoal_ddl_core(ShoalUtility *call);

/* The same, as node-local work. */
extern void shoal_ddl_core_local(ShoalUtility *call);

/* The same, without the user's triggers; for a node that is told to. */
extern void shoal_ddl_core_as_replica(ShoalUtility *call);

/* In whichever of these ways a schema statement has to run in this session. */
extern void shoal_ddl_core_here(ShoalUtility *call);

/*
 * Nesting of schema statements that are being run on all nodes.  Statements
 * issued meanwhile, by event triggers, are forwarded as well, even if the
 * outer one is node-local work.
 */
extern int	shoal_ddl_forwarding;

/* The same for another statement in the call's place. */
extern void shoal_ddl_core_statement(ShoalUtility *call, Node *stmt);

/* Gives the call a copy of its statement that may be changed. */
extern void shoal_ddl_own_statement(ShoalUtility *call);

/* True if the session may send anything to other nodes. */
extern bool shoal_ddl_is_coordinator(void);

/* The statement's own text. */
extern char *shoal_ddl_text(ShoalUtility *call);

/* ---- ddl_target.c: what a statement is about ---- */

typedef struct ShoalTargets
{
	List	   *relids;			/* relations that it names, as far as they
								 * exist */
	int			named;			/* objects that it names */
	int			temporary;		/* of these, temporary ones */
	char	   *schema;			/* of the last one that is not a relation, if
								 * it is qualified */
} ShoalTargets;

extern void shoal_ddl_targets(Node *stmt, ShoalTargets *targets);

/* The relation that a CREATE statement makes; NULL for other statements. */
extern RangeVar *shoal_ddl_created_relation(Node *stmt);

/*
 * What such a statement has made, or finds with IF NOT EXISTS: not a temporary
 * namesake, as which the name is read otherwise.  InvalidOid if there is none.
 */
extern Oid	shoal_ddl_created_relid(Node *stmt);

/* OID of a relation by its name, without a lock; InvalidOid if missing. */
extern Oid	shoal_ddl_relid(RangeVar *relation);

extern bool shoal_ddl_is_temporary(Oid relid);

/* Raises an error if a user's statement touches a shard. */
extern void shoal_ddl_refuse_shards(Node *stmt, const ShoalTargets *targets);

/* ---- ddl_forward.c: sending statements to the other nodes ---- */

/* Where a schema statement has to run. */
typedef enum ShoalReach
{
	SHOAL_REACH_NODES,			/* every node */
	SHOAL_REACH_SERVERS,		/* once in each server */
	SHOAL_REACH_DATABASE,		/* every node, with its database's name in
								 * place of this one's */
	SHOAL_REACH_HERE			/* nowhere else */
} ShoalReach;

extern ShoalReach shoal_ddl_reach(Node *stmt);

/* A statement that changes the schema: here and where it has to. */
extern void shoal_ddl_run_schema(ShoalUtility *call);

/* Runs it here, with what Shoal has to do besides. */
extern void shoal_ddl_run_here(ShoalUtility *call, const ShoalTargets *targets);

/* TRUNCATE and LOCK TABLE. */
extern void shoal_ddl_run_truncate(ShoalUtility *call);

/*
 * Locks what a TRUNCATE empties and fires its BEFORE triggers if there are AFTER
 * triggers as well, and all are left to the caller: the tables.  Else NIL.
 */
extern List *shoal_truncate_fire_before(TruncateStmt *stmt);

/* Fires the AFTER triggers of those tables, once they are empty on all nodes. */
extern void shoal_truncate_fire_after(List *relids);

/*
 * The Shoal tables that a TRUNCATE ... CASCADE goes on to, as RangeVars to be named by it,
 * of which the user is told.  NIL, too, if core is going to refuse it.
 */
extern List *shoal_truncate_cascade(TruncateStmt *stmt);
extern void shoal_ddl_run_lock(ShoalUtility *call);
extern void shoal_ddl_run_explain(ShoalUtility *call);

/*
 * Keeps add_node and remove_node out until the end of the transaction, and
 * other sessions' schema changes if exclusive.  Returns false if this is the
 * only node.
 */
extern bool shoal_ddl_enter_cluster(bool exclusive);

/* sql with the local marker in front. */
extern char *shoal_ddl_marked(const char *sql);

/* ---- ddl_lock.c ---- */

/* Locks the Shoal tables that a schema statement names as core is going to. */
extern void shoal_ddl_lock_targets(Node *stmt, const ShoalTargets *targets);

/* "SHARE" and so on. */
extern const char *shoal_ddl_lock_mode_name(LOCKMODE mode);

/* ---- ddl_refuse.c: what may not be done to Shoal tables ---- */

/* Before and after the statement has run here. */
extern void shoal_ddl_check_before(Node *stmt, const ShoalTargets *targets);
extern void shoal_ddl_check_after(Node *stmt);

/* ---- ddl_partitioned.c ---- */

/*
 * Does to the shard partitions what core refuses to do to a partitioned
 * table.  Returns true if nothing is left to do for core; may take parts out
 * of the statement (the call has its own copy).
 */
extern bool shoal_ddl_partitioned(ShoalUtility *call, const ShoalTargets *targets);

/*
 * Core takes no word of the database's own tablespace for a partitioned table.
 * Leaves it out of a statement about a distributed one, for as long as a nest level
 * of settings, which is returned, lasts; 0 if that is not needed.
 */
extern int	shoal_ddl_forget_tablespace(ShoalUtility *call);

/* Lets the statement include the shards of tables of which it says ONLY. */
extern void shoal_ddl_forget_only(ShoalUtility *call);

/* Partitions of a distributed table that are on this node. */
extern List *shoal_ddl_local_partitions(Oid relid);

extern bool shoal_ddl_is_distributed(Oid relid);

/* True if it is hash-partitioned into shards itself (not by way of ranges). */
extern bool shoal_ddl_has_shards(Oid relid);

/* ---- ddl_keytype.c: other types for distribution columns ---- */

/*
 * On each node, if the statement is an ALTER TABLE of a distributed table that
 * does that: has core do it, and returns true.  Rows stay in their shards.
 */
extern bool shoal_keytype_alter(ShoalUtility *call, Oid relid);

/*
 * On the coordinator, before and after all nodes run the statement, where rows
 * don't stay: makes the table a local one, and distributes it again.  It is locked.  begin
 * returns NULL if that isn't so.
 */
typedef struct ShoalKeyMove ShoalKeyMove;
extern ShoalKeyMove *shoal_keytype_begin_move(const AlterTableStmt *stmt);
extern void shoal_keytype_end_move(const ShoalKeyMove *move);

/* ---- ddl_columns.c: new columns whose values the coordinator works out ---- */

/* What a node is told to do of an ALTER TABLE that is done in steps. */
enum
{
	SHOAL_COLUMNS_MAKE = 1,
	SHOAL_COLUMNS_FINISH,
	SHOAL_COLUMNS_ALL			/* both, with values that don't matter */
};

/*
 * Whether an ALTER TABLE has to be done in steps, as it adds columns with values
 * that nodes must not work out.  The table is locked on all nodes.  Error 0A000 if
 * that can't be.
 */
extern bool shoal_columns_need_steps(const AlterTableStmt *stmt,
									 const char *query_string,
									 bool event_triggers);

/* A step of it, on this node. */
extern void shoal_columns_run_step(ShoalUtility *call,
								   const ShoalTargets *targets, int step);

/* On the coordinator, between them: fills the new columns, on all nodes. */
extern void shoal_columns_fill(const AlterTableStmt *stmt);

/* Would nodes work out different values?  A tree walker. */
extern bool shoal_columns_differ_by_node(Node *node, void *context);

/* Whether rows of the table are on several nodes. */
extern bool shoal_columns_have_copies(const ShoalTable *table);

/* Whether the table has rows, or may have some that the user must not see. */
extern bool shoal_columns_has_rows(Oid relid);

/* ---- ddl_owned.c ---- */

/*
 * DROP OWNED of this database's objects only, if another node of this server
 * does it for shared objects; else returns false.
 */
extern bool shoal_ddl_drop_owned(DropOwnedStmt *stmt);

/* ---- ddl_maintain.c ---- */

/* True if the statement has to run outside transactions on every node. */
extern bool shoal_ddl_is_concurrent(Node *stmt);

extern void shoal_ddl_run_concurrent(ShoalUtility *call,
									 const ShoalTargets *targets);
/* CREATE INDEX CONCURRENTLY on a distributed table, on this node. */
extern void shoal_ddl_index_concurrently(ShoalUtility *call, Oid relid);

extern void shoal_ddl_run_vacuum(ShoalUtility *call);

/*
 * ddl_statistics.c: after ANALYZE was run on all nodes, makes statistics of the
 * distributed tables that it names (all, if none), for all nodes.  Inside the
 * current transaction if that is a block.
 */
extern void shoal_ddl_gather_statistics(VacuumStmt *stmt, bool in_block);
extern void shoal_ddl_run_cluster(ShoalUtility *call);
extern void shoal_ddl_run_reindex(ShoalUtility *call);

/* ---- ddl_like.c ---- */

/* The clauses of a CREATE TABLE that copy from temporary tables. */
extern List *shoal_like_temporary(CreateStmt *stmt);

/*
 * Once that has run here: statements (char *) that do the same on nodes
 * without these tables.  stmt is the statement as it was.
 */
extern List *shoal_like_statements(ShoalUtility *call, CreateStmt *stmt,
								   List *likes);

/* ---- ddl_copy.c ---- */

extern void shoal_ddl_run_copy(ShoalUtility *call);

/* A statement that makes what CREATE TABLE AS or the like made, without rows. */
extern char *shoal_ddl_table_definition(Oid relid);

/*
 * The same before a CREATE TABLE AS has made anything.  NULL if that would be
 * temporary.
 */
extern char *shoal_ddl_definition_ahead(ShoalUtility *call, CreateTableAsStmt *stmt);

/* ---- ddl_session.c ---- */

/* NOTIFY, LISTEN, UNLISTEN and SET, on nodes. */
extern void shoal_ddl_run_session(ShoalUtility *call);

/* ---- ddl_constraints.c ---- */

extern void shoal_ddl_run_set_constraints(ShoalUtility *call);

#endif							/* DDL_UTILITY_H */
