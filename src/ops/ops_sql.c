/*
 * ops_sql.c
 *		SQL that node operations run here and on other nodes.
 *
 * What runs here goes through SPI as node-local work, so that nothing of it is
 * forwarded by the utility hook; what runs there carries the local marker for
 * the same reason.  The caller has called SPI_connect.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "ops/ops.h"

/* milliseconds that an attempt to lock waits on a node: 100, 200, ... 800, 800 ... */
#define FIRST_WAIT		100
#define LONGEST_WAIT	800

/* milliseconds between attempts, and until there are no more if there is no lock_timeout */
#define PAUSE			20
#define PATIENCE		30000

static void
execute(const char *sql)
{
	int			ret;

	shoal_scope_enter_local();
	ret = SPI_execute(sql, false, 0);
	shoal_scope_leave_local();
	if (ret < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(ret));
}

void
shoal_ops_run(const char *sql)
{
	execute(sql);
	SPI_freetuptable(SPI_tuptable);
}

List *
shoal_ops_texts(const char *sql)
{
	List	   *result = NIL;

	execute(sql);
	for (uint64 i = 0; i < SPI_processed; i++)
		result = lappend(result, SPI_getvalue(SPI_tuptable->vals[i],
											  SPI_tuptable->tupdesc, 1));
	SPI_freetuptable(SPI_tuptable);
	return result;
}

char *
shoal_ops_text(const char *sql)
{
	List	   *rows = shoal_ops_texts(sql);

	return rows == NIL ? NULL : (char *) linitial(rows);
}

char *
shoal_ops_call(int node_id, const char *call)
{
	char	   *sql = psprintf("/*shoal local*/ SELECT %s::pg_catalog.text", call);
	char	   *result = NULL;
	PGresult   *res;

	if (node_id == shoal_meta_local_node_id())
	{
		shoal_xact_calls_itself = true;
		PG_TRY();
		{
			result = shoal_ops_text(psprintf("SELECT %s::pg_catalog.text", call));
		}
		PG_FINALLY();
		{
			shoal_xact_calls_itself = false;
		}
		PG_END_TRY();
		return result;
	}
	res = shoal_remote_query(shoal_xact_conn(node_id,
											 SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK),
							 sql, NULL);
	if (PQntuples(res) == 1 && !PQgetisnull(res, 0, 0))
		result = pstrdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	return result;
}

typedef struct Calls
{
	int			n;
	const int  *nodes;
	char	   *const *calls;
} Calls;

static void
call_all(void *arg)
{
	Calls	   *all = arg;

	for (int i = 0; i < all->n; i++)
		(void) shoal_ops_call(all->nodes[i], all->calls[i]);
}

void
shoal_ops_call_together(int n, const int *nodes, char *const *calls)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													LockTimeout > 0 ? LockTimeout : PATIENCE);
	Calls		all = {n, nodes, calls};
	int			milliseconds = FIRST_WAIT;

	while (!shoal_xact_try_locks(call_all, &all, milliseconds))
	{
		if (GetCurrentTimestamp() > until)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("could not lock the copies of a shard on all nodes in time"),
					 errhint("Other transactions use its tables; try again.")));
		shoal_server_pause(PAUSE);
		milliseconds = Min(milliseconds * 2, LONGEST_WAIT);
	}
}

void
shoal_ops_run_on(ShoalConn *conn, const char *sql)
{
	char	   *marker = shoal_scope_marker(0, NULL);

	shoal_remote_exec(conn, psprintf("%s %s", marker, sql));
}

void
shoal_ops_run_everywhere(const char *sql)
{
	char	   *marker = shoal_scope_marker(0, NULL);

	shoal_ops_run(sql);
	shoal_xact_run(psprintf("%s %s", marker, sql), NIL);
}
