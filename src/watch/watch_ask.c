/*
 * watch_ask.c
 *		Asking all nodes the same question, for views.
 *
 * All are asked at once.  Some questions belong to the session's transaction,
 * so that tables it has just made are seen and its own locks are no obstacle;
 * others are about what goes on there and don't make a node join it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "scope/scope.h"
#include "watch/watch_ask.h"
#include "xact/xact.h"

static void
ask_here(ReturnSetInfo *rsinfo, const char *query, int ncolumns,
		 ShoalPutRow put)
{
	SPI_connect();
	shoal_scope_enter_local();
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run a view's query");
	shoal_scope_leave_local();
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *row[SHOAL_MAX_ASKED];

		for (int j = 0; j < ncolumns; j++)
			row[j] = SPI_getvalue(SPI_tuptable->vals[i],
								  SPI_tuptable->tupdesc, j + 1);
		put(rsinfo, shoal_meta_local_node_id(), row);
	}
	SPI_finish();
}

static void
read_answer(ReturnSetInfo *rsinfo, ShoalRequest *req, int ncolumns,
			ShoalPutRow put)
{
	int			node_id = shoal_remote_request_conn(req)->node_id;
	PGresult   *res;

	while ((res = shoal_remote_next(req)) != NULL)
	{
		char	   *row[SHOAL_MAX_ASKED];

		if (PQresultStatus(res) != PGRES_SINGLE_TUPLE)
			continue;
		for (int j = 0; j < ncolumns; j++)
			row[j] = PQgetisnull(res, 0, j) ? NULL : PQgetvalue(res, 0, j);
		put(rsinfo, node_id, row);
	}
}

/* Just the connection: the statement is not part of the subtransaction. */
static void
connect_node(void *node_id)
{
	shoal_xact_conn_outside(*(int *) node_id);
}

/* Sends the query to a node; NULL, with a warning, if it can't be reached. */
static ShoalRequest *
ask_node(int node_id, const char *query, int join)
{
	ErrorData  *error = shoal_server_try(connect_node, &node_id);

	if (error && error->sqlerrcode != ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION)
		ReThrowError(error);
	if (error)
	{
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg_internal("%s", error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0));
		return NULL;
	}
	return shoal_remote_send(join < 0 ? shoal_xact_conn_outside(node_id) :
							 shoal_xact_conn(node_id, join),
							 query, NULL, SHOAL_SEND_CACHE);
}

void
shoal_watch_ask(ReturnSetInfo *rsinfo, const char *query, int ncolumns,
				int join, ShoalPutRow put)
{
	List	   *requests = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);
		ShoalRequest *req;

		if (!node->is_local &&
			(req = ask_node(node->node_id, query, join)) != NULL)
			requests = lappend(requests, req);
	}
	ask_here(rsinfo, query, ncolumns, put);
	foreach(lc, requests)
		read_answer(rsinfo, lfirst(lc), ncolumns, put);
}

void
shoal_watch_put_row(ReturnSetInfo *rsinfo, int node_id, char *const *row)
{
	AttInMetadata *meta = TupleDescGetAttInMetadata(rsinfo->setDesc);
	char	  **values = palloc(sizeof(char *) * rsinfo->setDesc->natts);

	values[0] = psprintf("%d", node_id);
	for (int i = 1; i < rsinfo->setDesc->natts; i++)
		values[i] = row[i - 1];
	tuplestore_puttuple(rsinfo->setResult, BuildTupleFromCStrings(meta, values));
}
