/*
 * ddl_maintain.c
 *		Statements that run outside transactions: VACUUM, ANALYZE, CLUSTER,
 *		REINDEX, CREATE and DROP INDEX CONCURRENTLY.
 *
 * For Shoal tables they run on all other nodes at once, each over a connection
 * of its own, and here (CONCURRENTLY: before, CLUSTER: after, else meanwhile).
 * There is no distributed transaction: as on one server, what is done when one of them fails stays done, and CREATE INDEX
 * CONCURRENTLY leaves an index behind that has to be dropped (on the other
 * nodes it may be missing, unfinished or complete; DROP INDEX IF EXISTS does for all).
 * Those that may be run in a transaction block are part of the distributed
 * transaction there.
 *
 * Core does not build an index on a partitioned table concurrently.  Each node
 * does that by itself: an index on the parent only, then one on each partition,
 * concurrently, which is attached to it.  The last one makes it valid.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/heap.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

static bool
is_top_level(ShoalUtility *call)
{
	return call->context == PROCESS_UTILITY_TOPLEVEL;
}

/* ---- other nodes, outside transactions ---- */

/*
 * What fails on one node is cancelled on the others: the user's next statement
 * must not meet it there.
 */
static void
run_or_cancel(List *conns, const char *sql)
{
	PG_TRY();
	{
		shoal_remote_exec_all(conns, sql);
	}
	PG_CATCH();
	{
		ListCell   *lc;

		foreach(lc, conns)
			shoal_remote_tidy((ShoalConn *) lfirst(lc));
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* A connection to each other node.  quiet: without notices of what is run. */
static List *
open_separately(bool quiet)
{
	List	   *conns = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);
		ShoalConn  *conn;

		if (node->is_local)
			continue;
		conn = shoal_remote_conn_separate(node->node_id);
		conn->quiet = quiet;
		conns = lappend(conns, conn);
	}
	return conns;
}

/*
 * One statement on each other node, all at once.  quiet: without the notices
 * that it gives here as well.
 */
static void
run_separately(const char *sql, bool quiet)
{
	List	   *conns = open_separately(quiet);
	ListCell   *lc;

	/* whoever builds an index here concurrently waits for old snapshots */
	InvalidateCatalogSnapshot();
	run_or_cancel(conns, shoal_ddl_marked(sql));
	foreach(lc, conns)
		shoal_remote_close((ShoalConn *) lfirst(lc));
}

/*
 * The same, with the call's statement here meanwhile, which may end transactions.
 * It waits for no other node while it holds locks, so nobody waits in a circle.
 */
static void
run_beside(ShoalUtility *call, const char *sql)
{
	MemoryContext old = MemoryContextSwitchTo(PortalContext);
	List	   *conns = open_separately(false);
	List	   *volatile reqs = NIL;
	ListCell   *lc;

	PG_TRY();
	{
		const char *marked = shoal_ddl_marked(sql);

		foreach(lc, conns)
			reqs = lappend(reqs, shoal_remote_send((ShoalConn *) lfirst(lc), marked, NULL, 0));
		MemoryContextSwitchTo(old);
		shoal_ddl_core_local(call);
		InvalidateCatalogSnapshot();
		foreach(lc, reqs)
			(void) shoal_remote_next((ShoalRequest *) lfirst(lc));
	}
	PG_CATCH();
	{
		foreach(lc, reqs)
			shoal_remote_discard((ShoalRequest *) lfirst(lc));
		PG_RE_THROW();
	}
	PG_END_TRY();
	foreach(lc, conns)
		shoal_remote_close((ShoalConn *) lfirst(lc));
}

/*
 * Runs sql on the other nodes and the call's statement here, in the current
 * transaction if it is in a block.
 */
static void
run_maintenance(ShoalUtility *call, const char *sql)
{
	if (!shoal_ddl_enter_cluster(false))
		shoal_ddl_core_local(call);
	else if (IsInTransactionBlock(is_top_level(call)))
	{
		/* core says no if the statement may not be here */
		shoal_ddl_core_local(call);
		shoal_xact_run(shoal_ddl_marked(sql), NIL);
	}
	else
		run_beside(call, sql);
}

/* "(name value, ...) ", or nothing. */
static void
append_options(StringInfo sql, List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		appendStringInfo(sql, "%s%s", lc == list_head(options) ? "(" : ", ",
						 quote_identifier(option->defname));
		if (option->arg && IsA(option->arg, Integer))
			appendStringInfo(sql, " %d", intVal(option->arg));
		else if (option->arg)
			appendStringInfo(sql, " %s", quote_literal_cstr(defGetString(option)));
	}
	if (options != NIL)
		appendStringInfoString(sql, ") ");
}

/* The table of a relation that may be an index. */
static Oid
table_of(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
		return IndexGetRelation(relid, true);
	return relid;
}

static bool
is_shoal_relation(RangeVar *relation)
{
	Oid			relid = shoal_ddl_relid(relation);

	if (OidIsValid(relid))
		relid = table_of(relid);
	return OidIsValid(relid) && shoal_meta_table(relid) != NULL;
}

/* ---- VACUUM and ANALYZE ---- */

/* The statement for the Shoal tables that it names; NULL if there is none. */
static char *
vacuum_text(VacuumStmt *stmt)
{
	StringInfoData sql;
	bool		any = stmt->rels == NIL;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, stmt->is_vacuumcmd ? "VACUUM " : "ANALYZE ");
	append_options(&sql, stmt->options);
	foreach(lc, stmt->rels)
	{
		VacuumRelation *rel = lfirst_node(VacuumRelation, lc);
		ListCell   *lc2;

		if (rel->relation == NULL || !is_shoal_relation(rel->relation))
			continue;
		appendStringInfo(&sql, "%s%s", any ? ", " : "",
						 shoal_objects_relation_name(shoal_ddl_relid(rel->relation)));
		any = true;
		foreach(lc2, rel->va_cols)
			appendStringInfo(&sql, "%s%s", lc2 == list_head(rel->va_cols) ? " (" : ", ",
							 quote_identifier(strVal(lfirst(lc2))));
		if (rel->va_cols != NIL)
			appendStringInfoChar(&sql, ')');
	}
	return any ? sql.data : NULL;
}

void
shoal_ddl_run_vacuum(ShoalUtility *call)
{
	VacuumStmt *stmt = (VacuumStmt *) call->stmt;
	char	   *sql = shoal_ddl_is_coordinator() ? vacuum_text(stmt) : NULL;
	bool		in_block;

	if (sql == NULL)
	{
		shoal_ddl_core(call);
		return;
	}
	if (stmt->is_vacuumcmd)
		PreventInTransactionBlock(is_top_level(call), "VACUUM");
	in_block = IsInTransactionBlock(is_top_level(call));
	run_maintenance(call, sql);
	if (!shoal_meta_is_alone())
		shoal_ddl_gather_statistics(stmt, in_block);
}

/* ---- CLUSTER ---- */

static Oid
clustered_index(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	Oid			result = InvalidOid;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		if (get_index_isclustered(lfirst_oid(lc)))
			result = lfirst_oid(lc);
	}
	relation_close(rel, NoLock);
	return result;
}

/*
 * Here only.  A distributed table has no index to cluster on by itself, its
 * partitions do.
 */
static void
cluster_here(ShoalUtility *call)
{
	ClusterStmt *stmt = (ClusterStmt *) call->stmt;
	Oid			relid = stmt->relation ? shoal_ddl_relid(stmt->relation) : InvalidOid;
	int			done = 0;
	ListCell   *lc;

	if (!OidIsValid(relid) || stmt->indexname || !shoal_ddl_is_distributed(relid))
	{
		shoal_ddl_core_local(call);
		return;
	}
	foreach(lc, shoal_ddl_local_partitions(relid))
	{
		Oid			partition = lfirst_oid(lc);
		ClusterStmt *part;

		if (!OidIsValid(clustered_index(partition)))
			continue;
		part = copyObject(stmt);
		part->relation = makeRangeVar(get_namespace_name(get_rel_namespace(partition)),
									  get_rel_name(partition), -1);
		shoal_ddl_core_statement(call, (Node *) part);
		done++;
	}
	if (done == 0 && shoal_ddl_local_partitions(relid) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no previously clustered index for table \"%s\"",
						stmt->relation->relname)));
}

void
shoal_ddl_run_cluster(ShoalUtility *call)
{
	ClusterStmt *stmt = (ClusterStmt *) call->stmt;
	StringInfoData sql;

	if (!shoal_ddl_is_coordinator() ||
		(stmt->relation && !is_shoal_relation(stmt->relation)))
	{
		cluster_here(call);
		return;
	}
	initStringInfo(&sql);
	appendStringInfoString(&sql, "CLUSTER ");
	append_options(&sql, stmt->params);
	if (stmt->relation)
		appendStringInfoString(&sql, shoal_objects_relation_name(shoal_ddl_relid(stmt->relation)));
	if (stmt->indexname)
		appendStringInfo(&sql, " USING %s", quote_identifier(stmt->indexname));

	if (!shoal_ddl_enter_cluster(false))
		cluster_here(call);
	else if (IsInTransactionBlock(is_top_level(call)))
	{
		cluster_here(call);
		shoal_xact_run(shoal_ddl_marked(sql.data), NIL);
	}
	else
	{
		run_separately(sql.data, false);
		cluster_here(call);
	}
}

/* ---- REINDEX ---- */

/* REINDEX DATABASE and SYSTEM name the database. */
static void
reindex_databases(ShoalUtility *call, const char *head)
{
	ListCell   *lc;

	if (shoal_ddl_enter_cluster(false) && !IsInTransactionBlock(is_top_level(call)))
	{
		foreach(lc, shoal_meta_nodes())
		{
			const ShoalNode *node = (const ShoalNode *) lfirst(lc);
			ShoalConn  *conn;

			if (node->is_local)
				continue;
			conn = shoal_remote_conn_separate(node->node_id);
			shoal_remote_exec(conn, shoal_ddl_marked(psprintf("%s %s", head,
															  quote_identifier(node->dbname))));
			shoal_remote_close(conn);
		}
	}
	shoal_ddl_core_local(call);
}

/*
 * An index that was not built on all partitions stays so: only the indexes that
 * partitions have are built again.
 */
static void
refuse_unfinished_index(RangeVar *relation)
{
	Oid			relid = shoal_ddl_relid(relation);

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_PARTITIONED_INDEX ||
		!is_shoal_relation(relation) || get_index_isvalid(relid))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("index \"%s\" has not been built on all shards",
					relation->relname),
			 errhint("Drop it and create it again.")));
}

/* Each session has its own schema of temporary tables. */
static bool
is_temporary_schema(const char *name)
{
	Oid			nspid = name ? get_namespace_oid(name, true) : InvalidOid;

	return OidIsValid(nspid) && isAnyTempNamespace(nspid);
}

void
shoal_ddl_run_reindex(ShoalUtility *call)
{
	ReindexStmt *stmt = (ReindexStmt *) call->stmt;
	StringInfoData sql;

	if (stmt->kind == REINDEX_OBJECT_INDEX)
		refuse_unfinished_index(stmt->relation);
	if (!shoal_ddl_is_coordinator() ||
		(stmt->relation && !is_shoal_relation(stmt->relation)) ||
		(stmt->kind == REINDEX_OBJECT_SCHEMA && is_temporary_schema(stmt->name)))
	{
		shoal_ddl_core_local(call);
		return;
	}
	initStringInfo(&sql);
	appendStringInfoString(&sql, "REINDEX ");
	append_options(&sql, stmt->params);
	switch (stmt->kind)
	{
		case REINDEX_OBJECT_INDEX:
		case REINDEX_OBJECT_TABLE:
			appendStringInfo(&sql, "%s %s",
							 stmt->kind == REINDEX_OBJECT_INDEX ? "INDEX" : "TABLE",
							 shoal_objects_relation_name(shoal_ddl_relid(stmt->relation)));
			run_maintenance(call, sql.data);
			break;
		case REINDEX_OBJECT_SCHEMA:
			appendStringInfo(&sql, "SCHEMA %s", quote_identifier(stmt->name));
			run_maintenance(call, sql.data);
			break;
		case REINDEX_OBJECT_SYSTEM:
			appendStringInfoString(&sql, "SYSTEM");
			reindex_databases(call, sql.data);
			break;
		case REINDEX_OBJECT_DATABASE:
			appendStringInfoString(&sql, "DATABASE");
			reindex_databases(call, sql.data);
			break;
	}
}

/* ---- CONCURRENTLY ---- */

/* Core drops an index of a partitioned table at once or not at all. */
static bool
drops_distributed_index(DropStmt *stmt)
{
	Oid			relid = shoal_ddl_relid(makeRangeVarFromNameList(linitial(stmt->objects)));

	return OidIsValid(relid) && shoal_ddl_is_distributed(table_of(relid));
}

bool
shoal_ddl_is_concurrent(Node *stmt)
{
	ListCell   *lc;

	switch (nodeTag(stmt))
	{
		case T_IndexStmt:
			return ((IndexStmt *) stmt)->concurrent;
		case T_DropStmt:
			return ((DropStmt *) stmt)->concurrent &&
				!drops_distributed_index((DropStmt *) stmt);
		case T_AlterTableStmt:
			foreach(lc, ((AlterTableStmt *) stmt)->cmds)
			{
				AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

				if (cmd->subtype == AT_DetachPartition &&
					((PartitionCmd *) cmd->def)->concurrent)
					return true;
			}
			return false;
		default:
			return false;
	}
}

static const char *
concurrent_name(Node *stmt)
{
	if (IsA(stmt, IndexStmt))
		return "CREATE INDEX CONCURRENTLY";
	if (IsA(stmt, DropStmt))
		return "DROP INDEX CONCURRENTLY";
	return "ALTER TABLE ... DETACH CONCURRENTLY";
}

/*
 * Here first: what is wrong with the statement shows here, and nothing has
 * been left behind elsewhere.  Core commits on its way, so the text for the
 * others is made before, in the portal's memory.
 *
 * Core does not commit in the end, nor keep the table locked: somebody else may have
 * locked it on all nodes by now, and wait for what is not committed, while the
 * other nodes wait for him.
 */
void
shoal_ddl_run_concurrent(ShoalUtility *call, const ShoalTargets *targets)
{
	bool		others = shoal_ddl_enter_cluster(false);
	char	   *sql;

	shoal_ddl_check_before(call->stmt, targets);
	if (others)
		PreventInTransactionBlock(is_top_level(call), concurrent_name(call->stmt));
	sql = MemoryContextStrdup(PortalContext, shoal_ddl_text(call));
	shoal_ddl_run_here(call, targets);
	/* the portal has forgotten its own when core committed */
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
	if (others)
	{
		CommitTransactionCommand();
		StartTransactionCommand();
		run_separately(sql, true);
		shoal_remote_forget_statements();
	}
}

static void
next_transaction(void)
{
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
	CommitTransactionCommand();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* A name as core would choose it, roughly. */
static char *
choose_index_name(IndexStmt *stmt, Oid relid)
{
	StringInfoData columns;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, list_concat_copy(stmt->indexParams, stmt->indexIncludingParams))
	{
		IndexElem  *elem = lfirst_node(IndexElem, lc);

		if (columns.len > 0)
			appendStringInfoChar(&columns, '_');
		appendStringInfoString(&columns, elem->name ? elem->name : "expr");
		if (columns.len >= NAMEDATALEN)
			break;
	}
	return ChooseRelationName(get_rel_name(relid), columns.data,
							  stmt->unique ? "key" : "idx",
							  get_rel_namespace(relid), stmt->unique);
}

static void
attach_index(ShoalUtility *call, RangeVar *parent, RangeVar *child)
{
	AlterTableStmt *stmt = makeNode(AlterTableStmt);
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	PartitionCmd *part = makeNode(PartitionCmd);
	Relation	index;
	Oid			user;
	int			context;

	part->name = child;
	cmd->subtype = AT_AttachPartition;
	cmd->def = (Node *) part;
	stmt->relation = parent;
	stmt->cmds = list_make1(cmd);
	stmt->objtype = OBJECT_INDEX;

	/*
	 * Core simplifies the indexes' expressions to compare them, which calls
	 * functions: as the owner, as when an index is built.
	 */
	index = relation_openrv(child, AccessShareLock);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(index->rd_rel->relowner,
						   context | SECURITY_RESTRICTED_OPERATION);
	relation_close(index, NoLock);
	shoal_ddl_core_statement(call, (Node *) stmt);
	SetUserIdAndSecContext(user, context);
}

static void build_concurrently(ShoalUtility *call, IndexStmt *stmt, Oid relid,
							   RangeVar *parent);

/* The index of one partition; it may be gone by now. */
static void
build_on_partition(ShoalUtility *call, IndexStmt *stmt, RangeVar *parent,
				   Oid partition)
{
	IndexStmt  *part = copyObject(stmt);
	Oid			nspid = get_rel_namespace(partition);
	char	   *schema = get_namespace_name(nspid);
	int			group_id;
	int			shard;

	if (schema == NULL)
		return;
	part->relation = makeRangeVar(schema, get_rel_name(partition), -1);
	part->if_not_exists = false;
	part->idxcomment = NULL;
	if (!shoal_meta_is_shard_schema(nspid, &group_id, &shard))
	{
		/* hash-partitioned itself */
		part->idxname = choose_index_name(part, partition);
		build_concurrently(call, part, partition, parent);
		return;
	}
	if (OidIsValid(get_relname_relid(part->idxname, nspid)))
		part->idxname = psprintf("%u_%.40s", partition, part->idxname);
	shoal_ddl_core_statement(call, (Node *) part);
	next_transaction();
	attach_index(call, copyObject(parent),
				 makeRangeVar(schema, part->idxname, -1));
	next_transaction();
}

/*
 * The index of a partitioned table and its partitions; the statement has a
 * name for it.  It becomes part of the parent's, if there is one.
 */
static void
build_concurrently(ShoalUtility *call, IndexStmt *stmt, Oid relid,
				   RangeVar *parent)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *partitions = list_copy(find_inheritance_children(relid, NoLock));
	RangeVar   *index = makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
									 stmt->idxname, -1);
	IndexStmt  *only = copyObject(stmt);
	ListCell   *lc;

	only->concurrent = false;
	only->relation->inh = false;
	shoal_ddl_core_statement(call, (Node *) only);
	next_transaction();
	foreach(lc, partitions)
	{
		MemoryContextSwitchTo(context);
		build_on_partition(call, stmt, index, lfirst_oid(lc));
	}
	MemoryContextSwitchTo(context);
	if (parent)
	{
		attach_index(call, copyObject(parent), index);
		next_transaction();
	}
}

void
shoal_ddl_index_concurrently(ShoalUtility *call, Oid relid)
{
	MemoryContext context;
	MemoryContext old;
	IndexStmt  *stmt;

	PreventInTransactionBlock(is_top_level(call), "CREATE INDEX CONCURRENTLY");

	/* what is needed across transactions */
	context = AllocSetContextCreate(PortalContext, "Shoal concurrent index",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	stmt = copyObject((IndexStmt *) call->stmt);
	if (stmt->idxname == NULL)
		stmt->idxname = choose_index_name(stmt, relid);
	if (stmt->if_not_exists &&
		OidIsValid(get_relname_relid(stmt->idxname, get_rel_namespace(relid))))
	{
		/* core says so and does nothing */
		stmt->concurrent = false;
		shoal_ddl_core_statement(call, (Node *) stmt);
	}
	else
		build_concurrently(call, stmt, relid, NULL);
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
