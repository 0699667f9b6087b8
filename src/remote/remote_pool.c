/*
 * remote_pool.c
 *		The connections of this backend.
 *
 * There is one per node and user of the session, kept until the backend ends, or until its
 * server or user mapping changes, or it breaks, or another session waits for one
 * (remote_limit.c).  Statements that give a node several parts of their work
 * at once have further ones beside it, until their transaction ends.  Where rows are moved from node
 * to node there is another one for these.  Besides there are separate ones,
 * which end with an error of the transaction that opened them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

static dlist_head connections = DLIST_STATIC_INIT(connections);

/*
 * The options of a role's mapping, or else of the one for PUBLIC; NIL without
 * either.  Sets the hash value by which a change of the role's is announced.
 */
static List *
mapping_options(Oid userid, Oid serverid, uint32 *hash)
{
	HeapTuple	tuple;
	Datum		options;
	bool		isnull;
	List	   *result = NIL;

	*hash = GetSysCacheHashValue2(USERMAPPINGUSERSERVER,
								  ObjectIdGetDatum(userid),
								  ObjectIdGetDatum(serverid));
	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
							ObjectIdGetDatum(serverid));
	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
								ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(serverid));
	if (!HeapTupleIsValid(tuple))
		return NIL;
	options = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple,
							  Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		result = untransformRelOptions(options);
	ReleaseSysCache(tuple);
	return result;
}

/* Who to connect as, to a node. */
static void
fill_target(RemoteTarget *target, const ShoalNode *node, Oid userid,
			uint32 *server_hash, uint32 *mapping_hash)
{
	ForeignServer *server = GetForeignServerByName(node->server_name, false);
	ListCell   *lc;

	memset(target, 0, sizeof(RemoteTarget));
	target->node_id = node->is_local ? 0 : node->node_id;
	target->label = node->server_name;
	target->host = node->host;
	target->port = node->port;
	target->dbname = node->dbname;
	target->user = GetUserNameFromId(userid, false);

	foreach(lc, mapping_options(userid, server->serverid, mapping_hash))
	{
		DefElem    *option = lfirst(lc);

		if (strcmp(option->defname, "user") == 0)
		{
			char	   *user = defGetString(option);

			/* nobody gets another's rights for nothing */
			if (strcmp(user, target->user) != 0 && !superuser_arg(userid))
				target->need_password = true;
			target->user = user;
		}
		else if (strcmp(option->defname, "password") == 0)
			target->password = defGetString(option);
	}
	*server_hash = GetSysCacheHashValue1(FOREIGNSERVEROID,
										 ObjectIdGetDatum(server->serverid));
}

/* The backend ends, and with it its connections. */
static void
uncount_all(int code, Datum arg)
{
	dlist_iter	iter;

	dlist_foreach(iter, &connections)
	{
		ShoalConnPrivate *priv = dlist_container(ShoalConnPrivate, link,
												 iter.cur);

		remote_limit_give(priv->count);
		priv->count = NULL;
	}
}

/*
 * Opens a connection, when there is room for one at the node.  Who is not
 * patient gets NULL if there is none now.
 */
static ShoalConn *
open_counted(const RemoteTarget *target, RemoteCount *count, bool separate,
			 bool patient)
{
	static bool registered = false;
	MemoryContext context = CurrentMemoryContext;
	TimestampTz deadline = 0;

	if (!registered)
		before_shmem_exit(uncount_all, (Datum) 0);
	registered = true;
	for (;;)
	{
		ShoalConn  *volatile conn = NULL;
		ErrorData  *volatile error = NULL;

		PG_TRY();
		{
			conn = remote_open(target, separate);
		}
		PG_CATCH();
		{
			MemoryContextSwitchTo(context);
			error = CopyErrorData();
			FlushErrorState();
		}
		PG_END_TRY();
		if (error == NULL)
		{
			conn->priv->count = count;
			return conn;
		}
		if (error->sqlerrcode == ERRCODE_TOO_MANY_CONNECTIONS && !patient)
		{
			remote_limit_give(count);
			return NULL;
		}
		if (error->sqlerrcode != ERRCODE_TOO_MANY_CONNECTIONS ||
			!remote_limit_wait_full(count, &deadline))
		{
			remote_limit_give(count);
			ReThrowError(error);
		}
	}
}

/* How many connections the node takes, but those for superusers. */
static void
ask_capacity(ShoalConn *conn)
{
	PGresult   *res = shoal_remote_query(conn,
										 "SELECT pg_catalog.current_setting('max_connections')::int"
										 " - pg_catalog.current_setting('superuser_reserved_connections')::int",
										 NULL);

	remote_limit_set(conn->priv->count, atoi(PQgetvalue(res, 0, 0)));
	PQclear(res);
}

/* share > 0: NULL if there is no room. */
static ShoalConn *
open_to_node(int node_id, Oid userid, bool separate, bool for_rows, int share)
{
	const ShoalNode *node = shoal_meta_node(node_id);
	RemoteTarget target;
	uint32		server_hash;
	uint32		mapping_hash;
	RemoteCount *count = NULL;
	ShoalConn  *conn;

	if (node == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("node %d does not exist", node_id)));
	if (node->is_local)
		elog(ERROR, "connection to the local node was asked for");

	fill_target(&target, node, userid, &server_hash, &mapping_hash);
	target.keep = for_rows || separate;
	if (share > 0 && !remote_limit_try(node_id, &count))
		return NULL;
	if (share == 0 && !separate)
		count = remote_limit_take(node_id, target.label,
								  !dlist_is_empty(&connections));
	conn = open_counted(&target, count, separate, share == 0);
	if (conn == NULL)
		return NULL;
	conn->share = share;
	conn->priv->for_rows = for_rows;
	conn->node_id = node_id;
	conn->userid = userid;
	conn->priv->server_hash = server_hash;
	conn->priv->mapping_hash = mapping_hash;
	dlist_push_head(&connections, &conn->priv->link);
	if (!remote_limit_is_known(conn->priv->count))
		ask_capacity(conn);
	return conn;
}

PGconn *
shoal_remote_start(int node_id)
{
	const ShoalNode *node = shoal_meta_node(node_id);
	RemoteTarget target;
	uint32		server_hash;
	uint32		mapping_hash;

	if (node == NULL)
		return NULL;
	fill_target(&target, node, GetUserId(), &server_hash, &mapping_hash);
	target.keep = true;
	return remote_start(&target);
}

/*
 * The user that a connection belongs to: the session's.  What a worker does it does
 * as the extension's owner.
 */
static Oid
connection_user(void)
{
	return MyBackendType == B_BG_WORKER ? GetUserId() : GetSessionUserId();
}

/* Of one that is not part of the transaction, the current user in any case. */
static Oid
separate_user(void)
{
	return GetUserId() == GetOuterUserId() ? GetSessionUserId() : GetUserId();
}

/* That of the transaction if there is one, whoever the session has been then, or else the user's. */
static ShoalConn *
find_conn(int node_id, Oid userid, bool for_rows, int share)
{
	ShoalConn  *result = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &connections)
	{
		ShoalConnPrivate *priv = dlist_container(ShoalConnPrivate, link,
												 iter.cur);
		ShoalConn  *conn = &priv->pub;

		if (conn->node_id != node_id || priv->separate ||
			priv->for_rows != for_rows || conn->share != share)
			continue;
		if (conn->xact_level > 0)
			return conn;
		if (conn->userid == userid)
			result = conn;
	}
	return result;
}

static ShoalConn *
pooled_conn(int node_id, bool for_rows, int share)
{
	Oid			userid = connection_user();
	ShoalConn  *conn = find_conn(node_id, userid, for_rows, share);

	if (conn == NULL)
		return open_to_node(node_id, userid, false, for_rows, share);
	if (conn->xact_level > 0)
	{
		if (conn->priv->lost)
			remote_raise_lost(conn);
		return conn;
	}
	if (conn->priv->active)
		return conn;
	if (conn->priv->posted)
		remote_take_posted(conn);
	if (!conn->priv->stale && !conn->xact_broken && !remote_is_dead(conn))
		return conn;
	shoal_remote_close(conn);
	return open_to_node(node_id, userid, false, for_rows, share);
}

ShoalConn *
shoal_remote_conn(int node_id)
{
	return pooled_conn(node_id, false, 0);
}

ShoalConn *
shoal_remote_conn_beside(int node_id, int share)
{
	return pooled_conn(node_id, false, share);
}

bool
shoal_remote_is_down(int node_id)
{
	ShoalConn  *conn = find_conn(node_id, connection_user(), false, 0);
	const ShoalNode *node = shoal_meta_node(node_id);

	if (conn && (conn->xact_level > 0 || conn->priv->active || !remote_is_dead(conn)))
		return false;
	return node != NULL && remote_is_refused(node->host, node->port);
}

ShoalConn *
shoal_remote_conn_for_rows(int node_id)
{
	ShoalConn  *conn = pooled_conn(node_id, true, 0);

	conn->priv->opened_in = GetCurrentSubTransactionId();
	return conn;
}

ShoalConn *
shoal_remote_conn_separate(int node_id)
{
	return open_to_node(node_id, separate_user(), true, false, 0);
}

void
shoal_remote_keep(ShoalConn *conn)
{
	conn->priv->kept = true;
}

ShoalConn *
shoal_remote_conn_to(const char *host, int port, const char *dbname,
					 const char *user, const char *password)
{
	RemoteTarget target = {0};
	ShoalConn  *conn;

	target.label = psprintf("%s:%d/%s", host, port, dbname);
	target.host = host;
	target.port = port;
	target.dbname = dbname;
	target.user = user ? user : GetUserNameFromId(GetUserId(), false);
	target.password = password;
	target.need_password = !superuser() &&
		strcmp(target.user, GetUserNameFromId(GetUserId(), false)) != 0;

	conn = remote_open(&target, true);
	conn->userid = GetUserId();
	dlist_push_head(&connections, &conn->priv->link);
	return conn;
}

ShoalConn *
shoal_remote_conn_to_self(void)
{
	const ShoalNode *node = shoal_meta_node(shoal_meta_local_node_id());
	RemoteTarget target;
	uint32		server_hash;
	uint32		mapping_hash;
	ShoalConn  *conn;

	fill_target(&target, node, GetUserId(), &server_hash, &mapping_hash);
	conn = remote_open(&target, true);
	conn->userid = GetUserId();
	dlist_push_head(&connections, &conn->priv->link);
	return conn;
}

List *
shoal_remote_all(void)
{
	List	   *result = NIL;
	dlist_iter	iter;

	dlist_foreach(iter, &connections)
	{
		ShoalConnPrivate *priv = dlist_container(ShoalConnPrivate, link,
												 iter.cur);

		if (!priv->separate && !priv->for_rows)
			result = lappend(result, &priv->pub);
	}
	return result;
}

/* A server or user mapping changed (hash value 0: any). */
static void
mark_stale(Datum arg, int cacheid, uint32 hash)
{
	dlist_iter	iter;

	dlist_foreach(iter, &connections)
	{
		ShoalConnPrivate *priv = dlist_container(ShoalConnPrivate, link,
												 iter.cur);

		if (hash == 0 ||
			(cacheid == FOREIGNSERVEROID && priv->server_hash == hash) ||
			(cacheid == USERMAPPINGUSERSERVER && priv->mapping_hash == hash))
			priv->stale = true;
	}
}

/*
 * Ends the separate connections of a subtransaction and those within it, and
 * those for rows on which some are on their way.  What others have stored, nobody may
 * read any more; the node removes that when the connection ends, which has to wait
 * for the transaction's end, as a cursor may still read what came before.
 */
static void
close_after_abort(SubTransactionId subid)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &connections)
	{
		ShoalConnPrivate *priv = dlist_container(ShoalConnPrivate, link,
												 iter.cur);

		if ((priv->separate && !priv->kept && priv->opened_in >= subid) ||
			(priv->for_rows && (priv->busy || priv->active)))
			shoal_remote_close(&priv->pub);
		else if (priv->for_rows && priv->opened_in >= subid)
			priv->unread = true;
	}
}

/* Gives back connections that are of no more use, or that other sessions wait for. */
static void
give_back(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &connections)
	{
		ShoalConnPrivate *priv = dlist_container(ShoalConnPrivate, link,
												 iter.cur);

		if (!priv->separate && priv->pub.xact_level == 0 && !priv->busy &&
			priv->active == NULL &&
			(priv->pub.share > 0 || priv->unread ||
			 remote_limit_is_wanted(priv->count)))
			shoal_remote_close(&priv->pub);
		else if (priv->for_rows)
			priv->opened_in = InvalidSubTransactionId;
	}
}

/* The callbacks of xact have run before. */
static void
after_xact(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		close_after_abort(TopSubTransactionId);
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT)
		give_back();
}

static void
after_subxact(SubXactEvent event, SubTransactionId subid,
			  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		close_after_abort(subid);
}

void
shoal_remote_init(void)
{
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, mark_stale, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGUSERSERVER, mark_stale, (Datum) 0);
	remote_statement_init();
	remote_limit_init();
	remote_error_init();
	RegisterXactCallback(after_xact, NULL);
	RegisterSubXactCallback(after_subxact, NULL);
}
