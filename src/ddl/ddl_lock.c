/*
 * ddl_lock.c
 *		Locking a table on all nodes.
 *
 * A query locks a table first on its coordinator, then where its fragments run;
 * a statement that changes the table would meet it halfway: the one holds a
 * lock here and waits there, the other the reverse, and no server sees a
 * deadlock.  So the locks that a statement needs are taken before it starts, all
 * or none: nowhere does it wait for long while it holds one elsewhere.  When
 * time is up all are given back, and after a moment it tries again.  Most waits
 * are short, so as to hit a moment in which no query is on its way, and to
 * hold up few; some are longer.
 *
 * A transaction that has locked something else before may be waited for by those whom it
 * waits for.  Nobody finds a deadlock whose waits are short, so now and then, ever more
 * rarely, it waits long enough for that.
 *
 * The parent's lock is enough: whatever touches a partition locks the parent
 * first.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_server.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

/* milliseconds that an attempt waits for one lock: 15, 30, 60, ... 480, 15 ... */
#define FIRST_WAIT		15
#define LONGEST_WAIT	480

/* milliseconds in which a deadlock is found, after deadlock_timeout */
#define SEARCH_TIME		2000

/* milliseconds after which it is given the first time; each pause is twice as long */
#define FIRST_SEARCH	1000

/* milliseconds that a transaction which holds other locks goes on trying */
#define PATIENCE		30000

const char *
shoal_ddl_lock_mode_name(LOCKMODE mode)
{
	static const char *const names[] = {
		"", "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE",
		"SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"
	};

	return names[mode];
}

typedef struct WantedTables
{
	List	   *relids;
	LOCKMODE	mode;
	const char *sql;			/* what the other nodes are sent */
} WantedTables;

static void
lock_all(void *arg)
{
	const WantedTables *wanted = arg;
	List	   *conns = NIL;
	ListCell   *lc;

	foreach(lc, wanted->relids)
		LockRelationOid(lfirst_oid(lc), wanted->mode);
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);

		if (!node->is_local)
			conns = lappend(conns, shoal_xact_conn(node->node_id,
												   SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK));
	}
	shoal_remote_exec_all(conns, wanted->sql);
}

void
shoal_ddl_lock_tables(List *relids, LOCKMODE mode)
{
	TimestampTz start = GetCurrentTimestamp();
	int			patience = LockTimeout;
	int			milliseconds = FIRST_WAIT;
	int			search = FIRST_SEARCH;
	WantedTables wanted = {relids, mode};
	StringInfoData sql;
	ListCell   *lc;

	if (relids == NIL || shoal_meta_is_alone())
		return;
	initStringInfo(&sql);
	foreach(lc, relids)
		appendStringInfo(&sql, "%s%s", sql.len ? ", ONLY " : "LOCK TABLE ONLY ",
						 shoal_objects_relation_name(lfirst_oid(lc)));
	appendStringInfo(&sql, " IN %s MODE", shoal_ddl_lock_mode_name(mode));
	wanted.sql = shoal_ddl_marked(sql.data);

	/* another like us may wait for what this transaction has already */
	if (patience == 0 && IsTransactionBlock())
		patience = PATIENCE;
	while (!shoal_xact_try_locks(lock_all, &wanted,
								 patience > 0 ? Min(patience, milliseconds) : milliseconds))
	{
		TimestampTz now = GetCurrentTimestamp();

		if (patience > 0 &&
			TimestampDifferenceExceeds(start, now, patience))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("could not lock table \"%s\" on all nodes in time",
							get_rel_name(linitial_oid(relids))),
					 errhint("Other transactions use the table; try again.")));
		shoal_server_pause(pg_prng_uint64_range(&pg_global_prng_state, 2, 20));
		milliseconds = milliseconds < LONGEST_WAIT ? milliseconds * 2 : FIRST_WAIT;
		if (IsTransactionBlock() && TimestampDifferenceExceeds(start, now, search))
		{
			milliseconds = DeadlockTimeout + SEARCH_TIME;
			search = 2 * (search + milliseconds);
		}
	}
}

/* ---- schema statements ---- */

/* The lock that core will take on the tables that a statement names. */
static LOCKMODE
mode_of(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
			return AlterTableGetLockLevel(((AlterTableStmt *) stmt)->cmds);
		case T_AlterObjectSchemaStmt:
		case T_AlterPolicyStmt:
		case T_CreatePolicyStmt:
		case T_DropStmt:
		case T_RenameStmt:
		case T_RuleStmt:
			return AccessExclusiveLock;
		case T_CreateTrigStmt:
			return ShareRowExclusiveLock;
		case T_IndexStmt:
			return ShareLock;
		default:
			/* one that ordinary queries do not wait for */
			return NoLock;
	}
}

static List *
shoal_tables_in_schemas(List *names)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_table_oids(0))
	{
		Oid			relid = lfirst_oid(lc);
		char	   *schema = get_namespace_name(get_rel_namespace(relid));
		ListCell   *lc2;

		foreach(lc2, names)
		{
			if (schema && strcmp(schema, strVal(lfirst(lc2))) == 0)
				result = lappend_oid(result, relid);
		}
	}
	return result;
}

/*
 * Core makes a table's foreign keys anew, from both ends, when columns get other types.
 * What is referred to comes first, as it mostly does for those who write both.
 */
static List *
with_foreign_keys(const AlterTableStmt *stmt, List *relids)
{
	List	   *result = list_copy(relids);
	Oid			relid = relids ? linitial_oid(relids) : InvalidOid;
	List	   *keys = OidIsValid(relid) && shoal_meta_table(relid) ?
		shoal_ddl_foreign_keys(relid) : NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		foreach(lc2, cmd->subtype == AT_AlterColumnType ? keys : NIL)
		{
			const ShoalForeignKey *fk = lfirst(lc2);

			if (!shoal_ddl_foreign_key_has(fk, relid, get_attnum(relid, cmd->name)))
				continue;
			if (!list_member_oid(result, fk->to))
				result = lcons_oid(fk->to, result);
			result = list_append_unique_oid(result, fk->from);
		}
	}
	return result;
}

void
shoal_ddl_lock_targets(Node *stmt, const ShoalTargets *targets)
{
	LOCKMODE	mode = mode_of(stmt);
	List	   *named = targets->relids;
	List	   *relids = NIL;
	ListCell   *lc;

	if (mode == NoLock)
		return;
	if (IsA(stmt, DropStmt) && ((DropStmt *) stmt)->removeType == OBJECT_SCHEMA)
		named = shoal_tables_in_schemas(((DropStmt *) stmt)->objects);
	if (IsA(stmt, AlterTableStmt))
		named = with_foreign_keys((AlterTableStmt *) stmt, named);
	foreach(lc, named)
	{
		Oid			relid = lfirst_oid(lc);
		char		relkind = get_rel_relkind(relid);

		if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
			relid = IndexGetRelation(relid, true);
		if (OidIsValid(relid) && shoal_meta_table(relid) != NULL &&
			shoal_owns_table(relid, GetUserId()))
			relids = list_append_unique_oid(relids, relid);
	}
	shoal_ddl_lock_tables(relids, mode);
}
