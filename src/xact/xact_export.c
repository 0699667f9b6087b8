/*
 * xact_export.c
 *		pg_export_snapshot() and SET TRANSACTION SNAPSHOT, on all nodes.
 *
 * In REPEATABLE READ a transaction has one snapshot on each node, all of one moment.
 * When it exports its own, the nodes export theirs, and their names are kept in shared
 * memory until it ends, under the name that it has here.  Whoever imports the one here
 * imports the others as nodes join his transaction.
 *
 * A snapshot of which the nodes' are not known (exported in READ COMMITTED, or for
 * a replication slot) can be imported, but no other node be read with it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

static object_access_hook_type next_object_access = NULL;

/* the one in shared memory that this transaction has made, or NULL */
static XactExport *mine = NULL;

/* what this transaction has imported */
static bool is_imported = false;
static XactExport imported;		/* without nodes: none are known */

/* ---- exporting ---- */

/* How the names of all snapshots begin that the transaction exports here. */
static void
set_name(char *name)
{
	VirtualTransactionId vxid;

	GET_VXID_FROM_PGPROC(vxid, *MyProc);
	snprintf(name, XACT_EXPORT_NAME, "%08X-%08X-", SHOAL_VXID_PROC(vxid),
			 vxid.localTransactionId);
}

static void
add_node(XactExport *export, int node_id)
{
	PGresult   *res = shoal_remote_query(shoal_xact_conn(node_id, SHOAL_JOIN_BLOCK),
										 "SELECT pg_catalog.pg_export_snapshot()", NULL);

	export->node_ids[export->nnodes] = node_id;
	strlcpy(export->snapshots[export->nnodes++], PQgetvalue(res, 0, 0),
			sizeof(export->snapshots[0]));
	PQclear(res);
}

static void
publish(const XactExport *export)
{
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	for (int i = 0; i < XACT_MAX_EXPORTS && mine == NULL; i++)
		if (xact_shared->exports[i].name[0] == '\0')
			mine = &xact_shared->exports[i];
	if (mine)
		*mine = *export;
	LWLockRelease(xact_shared_lock);
	if (mine == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many transactions have exported snapshots"),
				 errdetail("%d can at a time.", XACT_MAX_EXPORTS)));
}

static void
export_on_nodes(void)
{
	XactExport *export;
	List	   *nodes;
	ListCell   *lc;

	if (mine != NULL || !shoal_meta_enabled() || shoal_origin != 0 ||
		XactIsoLevel != XACT_REPEATABLE_READ || GetCurrentTransactionNestLevel() > 1)
		return;
	nodes = shoal_meta_nodes();
	if (list_length(nodes) > XACT_EXPORT_NODES)
		return;
	export = palloc0(sizeof(XactExport));
	set_name(export->name);
	foreach(lc, nodes)
	{
		const ShoalNode *node = lfirst(lc);

		if (!node->is_local)
			add_node(export, node->node_id);
	}
	if (export->nnodes > 0)
		publish(export);
	pfree(export);
}

/* Core tells of each function that a plan is going to call. */
static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
				 int sub_id, void *arg)
{
	if (next_object_access)
		next_object_access(access, class_id, object_id, sub_id, arg);
	if (access == OAT_FUNCTION_EXECUTE && object_id == F_PG_EXPORT_SNAPSHOT &&
		class_id == ProcedureRelationId)
		export_on_nodes();
}

/* ---- importing ---- */

void
xact_export_import(const VariableSetStmt *stmt)
{
	const char *name = strVal(&linitial_node(A_Const, stmt->args)->val);

	is_imported = true;
	memset(&imported, 0, sizeof(imported));
	LWLockAcquire(xact_shared_lock, LW_SHARED);
	for (int i = 0; i < XACT_MAX_EXPORTS; i++)
	{
		const XactExport *export = &xact_shared->exports[i];

		if (export->name[0] != '\0' &&
			strncmp(export->name, name, strlen(export->name)) == 0)
			imported = *export;
	}
	LWLockRelease(xact_shared_lock);
}

bool
xact_export_is_imported(void)
{
	return is_imported;
}

char *
xact_export_snapshot_of(int node_id)
{
	for (int i = 0; i < imported.nnodes; i++)
		if (imported.node_ids[i] == node_id)
			return pstrdup(imported.snapshots[i]);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot read other nodes with this imported snapshot"),
			 errhint("Export it by pg_export_snapshot() in a REPEATABLE READ transaction.")));
}

void
xact_export_reset(void)
{
	is_imported = false;
	if (mine == NULL)
		return;
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	mine->name[0] = '\0';
	LWLockRelease(xact_shared_lock);
	mine = NULL;
}

void
xact_export_init(void)
{
	next_object_access = object_access_hook;
	object_access_hook = on_object_access;
}
