/*
 * xact_functions.c
 *		SQL functions that use nodes directly.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

PG_FUNCTION_INFO_V1(shoal_run_on_nodes);

/* ---- shoal.run_on_nodes(command, node_ids) ---- */

typedef struct NodeRun
{
	int			node_id;
	ShoalRequest *req;			/* NULL: this node */
	char	   *result;
} NodeRun;

static bool
is_wanted(ArrayType *node_ids, int node_id)
{
	int		   *ids;
	int			n;

	if (node_ids == NULL)
		return true;
	if (ARR_NDIM(node_ids) == 0)
		return false;
	if (ARR_NDIM(node_ids) > 1 || ARR_HASNULL(node_ids))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("node ids must be a one-dimensional array without nulls")));
	ids = (int *) ARR_DATA_PTR(node_ids);
	n = ARR_DIMS(node_ids)[0];
	for (int i = 0; i < n; i++)
	{
		if (ids[i] == node_id)
			return true;
	}
	return false;
}

static void
check_nodes_exist(ArrayType *node_ids)
{
	int		   *ids = (int *) ARR_DATA_PTR(node_ids);
	int			n = ArrayGetNItems(ARR_NDIM(node_ids), ARR_DIMS(node_ids));

	for (int i = 0; i < n; i++)
	{
		if (shoal_meta_node(ids[i]) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("node %d does not exist", ids[i])));
	}
}

/* One statement, which leaves the transaction and the protocol alone. */
static void
check_command(const char *command)
{
	List	   *trees = pg_parse_query(command);
	Node	   *stmt;

	if (list_length(trees) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("command must be one statement")));
	stmt = linitial_node(RawStmt, trees)->stmt;
	if (IsA(stmt, TransactionStmt) ||
		(IsA(stmt, CopyStmt) && ((CopyStmt *) stmt)->filename == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("transaction commands and COPY can't be run by this function"),
				 errhint("The command is part of the current transaction; end that instead.")));
}

/* Here, through SPI: first value of the first row, or the number of rows. */
static char *
run_here(const char *command)
{
	char	   *result;
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	shoal_scope_enter_local();
	if (SPI_execute(command, XactReadOnly, 0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("command can't be run by this function")));
	shoal_scope_leave_local();
	if (SPI_tuptable && SPI_tuptable->tupdesc->natts > 0)
		result = SPI_processed > 0 ?
			SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
	else
		result = psprintf(UINT64_FORMAT, (uint64) SPI_processed);
	if (result)
		result = MemoryContextStrdup(context, result);
	SPI_finish();
	return result;
}

static char *
read_result(ShoalRequest *req)
{
	char	   *result = NULL;
	bool		first = true;
	PGresult   *res;

	while ((res = shoal_remote_next(req)) != NULL)
	{
		if (!first)
			continue;
		first = false;
		if (PQresultStatus(res) == PGRES_SINGLE_TUPLE && PQnfields(res) > 0)
			result = PQgetisnull(res, 0, 0) ? NULL : pstrdup(PQgetvalue(res, 0, 0));
		else if (PQresultStatus(res) == PGRES_COMMAND_OK)
			result = pstrdup(PQcmdTuples(res)[0] ? PQcmdTuples(res) : "0");
	}
	return result;
}

/* A node's transaction does not know that this one is READ ONLY, or is so for now. */
static void
set_read_only(ShoalConn *conn)
{
	shoal_remote_queue(conn, "SAVEPOINT shoal_read_only");
	shoal_remote_queue(conn, "SET TRANSACTION READ ONLY");
}

static void
run_everywhere(NodeRun *runs, int n, const char *command)
{
	char	   *marked = psprintf("/*shoal local*/ %s", command);
	bool		read_only = XactReadOnly;
	int			flags = SHOAL_JOIN_BLOCK | (read_only ? 0 : SHOAL_JOIN_WRITE);

	for (int i = 0; i < n; i++)
	{
		ShoalConn  *conn;

		if (runs[i].node_id == shoal_meta_local_node_id())
			continue;
		conn = shoal_xact_conn(runs[i].node_id, flags);
		if (read_only)
			set_read_only(conn);
		runs[i].req = shoal_remote_send(conn, marked, NULL, 0);
	}
	for (int i = 0; i < n; i++)
	{
		if (runs[i].req == NULL)
			runs[i].result = run_here(command);
	}
	for (int i = 0; i < n; i++)
	{
		if (runs[i].req != NULL)
			runs[i].result = read_result(runs[i].req);
		if (runs[i].req != NULL && read_only)
			shoal_remote_queue(shoal_xact_conn(runs[i].node_id, flags),
							   "RELEASE SAVEPOINT shoal_read_only");
	}
}

Datum
shoal_run_on_nodes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *command;
	ArrayType  *node_ids = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);
	NodeRun    *runs;
	List	   *nodes = shoal_meta_nodes();
	ListCell   *lc;
	int			n = 0;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("command must not be null")));
	command = text_to_cstring(PG_GETARG_TEXT_PP(0));
	check_command(command);
	if (node_ids)
		check_nodes_exist(node_ids);
	InitMaterializedSRF(fcinfo, 0);

	runs = palloc0((list_length(nodes) + 1) * sizeof(NodeRun));
	foreach(lc, nodes)
	{
		const ShoalNode *node = lfirst(lc);

		if (is_wanted(node_ids, node->node_id))
			runs[n++].node_id = node->node_id;
	}
	run_everywhere(runs, n, command);

	for (int i = 0; i < n; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, runs[i].result == NULL};

		values[0] = Int32GetDatum(runs[i].node_id);
		values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(runs[i].result);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
