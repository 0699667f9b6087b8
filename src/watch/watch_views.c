/*
 * watch_views.c
 *		What the views of schema shoal need beyond the catalogs: sizes on all
 *		nodes, this session's connections, distribution columns.
 *
 * Sizes are asked from all nodes at once, in the session's transaction, so
 * that tables it has just made are seen and its own locks are no obstacle.  A
 * node that can't be reached gets a warning, and its sizes are null.
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
#include "xact/xact.h"

PG_FUNCTION_INFO_V1(shoal_placement_sizes);
PG_FUNCTION_INFO_V1(shoal_distribution_column);
PG_FUNCTION_INFO_V1(shoal_connections);

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

static void
put_sizes_here(ReturnSetInfo *rsinfo)
{
	SPI_connect();
	shoal_scope_enter_local();
	if (SPI_execute(sizes_query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read sizes");
	shoal_scope_leave_local();
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *row[SIZES_COLUMNS];

		for (int j = 0; j < SIZES_COLUMNS; j++)
			row[j] = SPI_getvalue(SPI_tuptable->vals[i],
								  SPI_tuptable->tupdesc, j + 1);
		put_size(rsinfo, shoal_meta_local_node_id(), row);
	}
	SPI_finish();
}

static void
put_sizes_there(ReturnSetInfo *rsinfo, ShoalRequest *req)
{
	int			node_id = shoal_remote_request_conn(req)->node_id;
	PGresult   *res;

	while ((res = shoal_remote_next(req)) != NULL)
	{
		char	   *row[SIZES_COLUMNS];

		if (PQresultStatus(res) != PGRES_SINGLE_TUPLE)
			continue;
		for (int j = 0; j < SIZES_COLUMNS; j++)
			row[j] = PQgetisnull(res, 0, j) ? NULL : PQgetvalue(res, 0, j);
		put_size(rsinfo, node_id, row);
	}
}

/* Sends the query to a node; NULL, with a warning, if it can't be reached. */
static ShoalRequest *
ask_node(int node_id)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ShoalRequest *volatile req = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		/* just the connection: the statement is not part of the subtransaction */
		shoal_xact_conn_outside(node_id);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		CurrentResourceOwner = owner;
		MemoryContextSwitchTo(context);
		if (error->sqlerrcode != ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION)
			ReThrowError(error);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg_internal("%s", error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0));
		return NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	req = shoal_remote_send(shoal_xact_conn(node_id, SHOAL_JOIN_BLOCK),
							sizes_query, NULL, SHOAL_SEND_CACHE);
	return req;
}

/* shoal.placement_sizes() */
Datum
shoal_placement_sizes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *requests = NIL;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);
		ShoalRequest *req;

		if (!node->is_local && (req = ask_node(node->node_id)) != NULL)
			requests = lappend(requests, req);
	}
	put_sizes_here(rsinfo);
	foreach(lc, requests)
		put_sizes_there(rsinfo, lfirst(lc));
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
