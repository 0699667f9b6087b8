/*
 * ops_rejoin.c
 *		Taking back nodes that were given up.
 *
 * A node that was given up has missed changes of the schema, of reference tables
 * and of shards.  In one distributed transaction, under the cluster lock, it
 * is told the statements that it has missed (shoal.missed_statement), gets the
 * rows of the reference tables, and all metadata.  From the commit on it takes
 * part again; its copies of shards are stale replicas, which are repaired after
 * that like any others.
 *
 * A node on which one of the statements fails stays given up; the log says why.
 *
 * Before that the nodes are asked what has become of transactions that the others
 * have kept prepared for them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_settings.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"
#include "meta/meta.h"
#include "ops/ops.h"
#include "ops/ops_job.h"
#include "ops/ops_rejoin.h"
#include "remote/remote.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

/*
 * Ends the transactions that are open there: they can't be committed any more,
 * and their locks would be in the way.
 */
static void
end_transactions(ShoalConn *conn)
{
	shoal_ops_run_on(conn, "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
					 " WHERE datname = pg_catalog.current_database() AND backend_type = 'client backend'"
					 " AND pid <> pg_catalog.pg_backend_pid() AND xact_start IS NOT NULL");
}

/*
 * The statements that the node has missed, in their order.  What it has noted
 * itself it has done, or has undone along with the notes.
 */
static void
replay(ShoalConn *conn, int node_id)
{
	char	   *last = shoal_ops_call(node_id,
									  psprintf("(SELECT coalesce(pg_catalog.max(seq), 0) FROM shoal.missed_statement WHERE node_id = %d)",
											   node_id));
	ListCell   *lc;

	foreach(lc, shoal_ops_texts(psprintf("SELECT pg_catalog.json_build_array(role_name, search_path, statement)::text"
										 " FROM shoal.missed_statement WHERE node_id = %d AND seq > %s ORDER BY seq",
										 node_id, last)))
	{
		char	   *row = quote_literal_cstr(lfirst(lc));
		char	   *role = shoal_ops_text(psprintf("SELECT %s::pg_catalog.json ->> 0", row));
		char	   *path = shoal_ops_text(psprintf("SELECT %s::pg_catalog.json ->> 1", row));
		char	   *statement = shoal_ops_text(psprintf("SELECT %s::pg_catalog.json ->> 2", row));

		shoal_ops_run_on(conn, psprintf("SET LOCAL ROLE %s", quote_identifier(role)));
		shoal_ops_run_on(conn, psprintf("SELECT pg_catalog.set_config('search_path', %s, true)",
										quote_literal_cstr(path)));
		(void) shoal_remote_exec(conn, statement);
		shoal_ops_run_on(conn, "SET LOCAL ROLE NONE");
	}
	shoal_ops_run_on(conn, "SET LOCAL search_path = pg_catalog, pg_temp");
}

/* All rows of all reference tables, locked against writers. */
static void
copy_reference_tables(ShoalConn *conn)
{
	ListCell   *lc;

	foreach(lc, shoal_meta_table_oids(0))
	{
		Oid			relid = lfirst_oid(lc);
		const ShoalTable *table = shoal_meta_table(relid);
		char	   *name;

		if (table == NULL || table->kind != SHOAL_KIND_REFERENCE)
			continue;
		name = shoal_objects_relation_name(relid);
		shoal_ops_run_everywhere(psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE",
										  name));
		shoal_ops_run_on(conn, "SET LOCAL session_replication_role = replica");
		shoal_ops_run_on(conn, psprintf("DELETE FROM %s", name));
		shoal_ops_copy_rows(conn, relid);
		shoal_ops_run_on(conn, "SET LOCAL session_replication_role = origin");
	}
}

/* So that it gives no value again that was given in its absence. */
static void
move_sequences(ShoalConn *conn)
{
	const ShoalNode *first = linitial(shoal_meta_nodes());
	char	   *calls = shoal_ops_call(first->node_id,
									   "shoal.internal_sequences()");

	if (calls)
		shoal_ops_run_on(conn, psprintf("SELECT %s", calls));
}

/*
 * Settles what these nodes have prepared, or have been left with: they know what has
 * become of what they have coordinated, and what they have committed.  What others
 * have kept prepared until now may have the cluster lock.
 */
static void
settle_prepared(List *back)
{
	List	   *there = NIL;
	List	   *down = NIL;
	ListCell   *lc;

	ops_job_begin();
	foreach(lc, shoal_meta_all_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (node->is_active || list_member_int(back, node->node_id))
			there = lappend_int(there, node->node_id);
		else
			down = lappend_int(down, node->node_id);
	}
	/* nobody is to see a transaction on some nodes only */
	shoal_xact_enter_wave();
	ops_settle_others(there, back);
	ops_settle_others(back, list_difference_int(there, back));
	ops_settle_lost(there, down);
	shoal_xact_leave_wave();
	ops_job_commit();
}

static void
rejoin(int node_id)
{
	ShoalConn  *conn;

	ops_job_begin();
	(void) shoal_ddl_enter_cluster(true);
	conn = shoal_xact_conn(node_id, SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK);
	end_transactions(conn);
	replay(conn, node_id);
	copy_reference_tables(conn);
	/* before the node is the lowest again, perhaps */
	move_sequences(conn);
	shoal_ops_run_everywhere(psprintf("DELETE FROM shoal.missed_statement WHERE node_id = %d",
									  node_id));
	shoal_ops_run_everywhere(psprintf("UPDATE shoal.node SET state = 'active' WHERE node_id = %d",
									  node_id));
	shoal_ops_copy_metadata(conn, node_id);
	ereport(LOG,
			(errmsg("node %d takes part again", node_id)));
	ops_job_commit();
}

void
ops_rejoin_nodes(void)
{
	List	   *back = NIL;
	ListCell   *lc;

	/* what is sent to all nodes is no news to those */
	shoal_xact_on_missed = NULL;

	ops_job_begin();
	foreach(lc, shoal_meta_all_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (!node->is_local && !node->is_active &&
			shoal_health_answers(node->node_id))
		{
			MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

			back = lappend_int(back, node->node_id);
			MemoryContextSwitchTo(old);
		}
	}
	ops_job_commit();
	if (back == NIL)
		return;
	shoal_health_restore(back);
	settle_prepared(back);
	foreach(lc, back)
		rejoin(lfirst_int(lc));
	shoal_health_restore(NIL);
	/* for the repairs that follow */
	foreach(lc, back)
		shoal_health_await_return(lfirst_int(lc), shoal_health_now());
	list_free(back);
}
