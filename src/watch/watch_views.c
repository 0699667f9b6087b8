/*
 * watch_views.c
 *		What the views of schema shoal need beyond the catalogs: sizes on all
 *		nodes, this session's connections, distribution columns.
 *
 * The size of what is on a node that can't be reached is null.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "scope/scope.h"
#include "watch/watch_ask.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

PG_FUNCTION_INFO_V1(shoal_placement_sizes);
PG_FUNCTION_INFO_V1(shoal_distribution_column);
PG_FUNCTION_INFO_V1(shoal_connections);
PG_FUNCTION_INFO_V1(shoal_node_health);
PG_FUNCTION_INFO_V1(shoal_prepared_transactions);
PG_FUNCTION_INFO_V1(shoal_cluster_lock_waits);

/*
 * One row for each leaf partition in a shard and each of its ancestors, and
 * one for each table without partitions.
 */
static const char *const sizes_query =
"/*shoal local*/ SELECT an.nspname, a.relname,"
" pg_catalog.split_part(s.nspname, '_', 2),"
" pg_catalog.split_part(s.nspname, '_', 3),"
" pg_catalog.format('%I.%I', s.nspname, c.relname),"
" pg_catalog.pg_total_relation_size(c.oid)::pg_catalog.text"
" FROM pg_catalog.pg_namespace s"
" JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid"
" CROSS JOIN LATERAL pg_catalog.pg_partition_ancestors(c.oid) p(relid)"
" JOIN pg_catalog.pg_class a ON a.oid = p.relid"
" JOIN pg_catalog.pg_namespace an ON an.oid = a.relnamespace"
" WHERE s.nspname ~ '^shoal_[0-9]+_[0-9]+$' AND c.relkind = 'r'"
" AND c.relispartition AND a.oid <> c.oid"
" UNION ALL"
" SELECT n.nspname, c.relname, d.group_id::pg_catalog.text, '0',"
" c.oid::pg_catalog.regclass::pg_catalog.text,"
" pg_catalog.pg_total_relation_size(c.oid)::pg_catalog.text"
" FROM shoal.distributed_table d"
" JOIN pg_catalog.pg_class c ON c.oid = d.table_name"
" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
" WHERE d.kind <> 'd'";

#define SIZES_COLUMNS	6

/* One row of that query becomes one of the function. */
static void
put_size(ReturnSetInfo *rsinfo, int node_id, char *const *row)
{
	Oid			relid = get_relname_relid(row[1],
										  get_namespace_oid(row[0], true));
	Datum		values[6];
	bool		nulls[6] = {false};

	/* dropped meanwhile */
	if (!OidIsValid(relid) || row[5] == NULL)
		return;
	values[0] = ObjectIdGetDatum(relid);
	values[1] = Int32GetDatum(atoi(row[2]));
	values[2] = Int32GetDatum(atoi(row[3]));
	values[3] = Int32GetDatum(node_id);
	values[4] = CStringGetTextDatum(row[4]);
	values[5] = Int64GetDatum(strtoi64(row[5], NULL, 10));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* shoal.placement_sizes() */
Datum
shoal_placement_sizes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	shoal_watch_ask(rsinfo, sizes_query, SIZES_COLUMNS, SHOAL_JOIN_BLOCK, put_size);
	return (Datum) 0;
}

/* what coordinators have prepared on a node */
static const char *const prepared_query =
"/*shoal local*/ SELECT pg_catalog.split_part(p.gid, '_', 2), p.gid,"
" p.prepared::pg_catalog.text, p.owner::pg_catalog.text"
" FROM pg_catalog.pg_prepared_xacts p"
" WHERE p.database = pg_catalog.current_database()"
" AND p.gid ~ '^shoal_[0-9]+_'";

#define PREPARED_COLUMNS	4

/* shoal.prepared_transactions() */
Datum
shoal_prepared_transactions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	shoal_watch_ask(rsinfo, prepared_query, PREPARED_COLUMNS, -1,
					shoal_watch_put_row);
	return (Datum) 0;
}

static const char *const waits_query =
"/*shoal local*/ SELECT coordinator, coordinator_pid, pid, lock, since,"
" blocker_coordinator, blocker_coordinator_pid, blocker_pid, blocker_since"
" FROM shoal.node_lock_waits";

#define WAITS_COLUMNS	9

/* shoal.cluster_lock_waits() */
Datum
shoal_cluster_lock_waits(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	shoal_watch_ask(rsinfo, waits_query, WAITS_COLUMNS, -1, shoal_watch_put_row);
	return (Datum) 0;
}

/* shoal.distribution_column(table): names, separated by commas */
Datum
shoal_distribution_column(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	const ShoalTable *table = shoal_meta_table(relid);
	StringInfoData buf;

	if (table == NULL || table->nkeys == 0)
		PG_RETURN_NULL();
	initStringInfo(&buf);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(get_attname(relid, table->keyattr[i],
													  false)));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

/* shoal.session_connections(): connections of this session */
Datum
shoal_connections(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, shoal_remote_all())
	{
		ShoalConn  *conn = lfirst(lc);
		char	   *user = GetUserNameFromId(conn->userid, true);
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = Int32GetDatum(conn->node_id);
		values[1] = CStringGetTextDatum(user ? user : "");
		values[2] = Int32GetDatum(PQbackendPID(conn->pg));
		values[3] = CStringGetTextDatum(PQstatus(conn->pg) != CONNECTION_OK ? "lost" :
										conn->xact_level > 0 ? "in transaction" : "idle");
		values[4] = BoolGetDatum(conn->xact_level > 0 && conn->xact_wrote);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Milliseconds, NULL if there are none. */
static void
put_time(int64 microseconds, Datum *value, bool *isnull)
{
	*isnull = microseconds < 0;
	*value = Int64GetDatum(microseconds / 1000);
}

/* shoal.node_health(): what this node's monitor knows */
Datum
shoal_node_health(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, shoal_meta_all_nodes())
	{
		const ShoalNode *node = lfirst(lc);
		ShoalHealthView view;
		Datum		values[6];
		bool		nulls[6] = {false};

		shoal_health_describe(node->node_id, node->is_local, &view);
		values[0] = Int32GetDatum(node->node_id);
		values[1] = CStringGetTextDatum(view.state);
		put_time(view.answered, &values[2], &nulls[2]);
		put_time(view.asked, &values[3], &nulls[3]);
		nulls[4] = view.vote == NULL;
		values[4] = CStringGetTextDatum(view.vote ? view.vote : "");
		put_time(view.lease, &values[5], &nulls[5]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
