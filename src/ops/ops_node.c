/*
 * ops_node.c
 *		shoal.add_node, shoal.remove_node, shoal.alter_node.
 *
 * All three run under the cluster lock and write the metadata of every node in
 * one distributed transaction.  They also lock shoal.local_node on all nodes:
 * statements that are sent to all nodes hold a weak lock on it where they
 * were issued (ddl_forward.c), so that none of them works on an old list of
 * nodes.  In a one-node cluster, which has no cluster lock, this is the only
 * one.
 *
 * add_node reads everything that it needs to know about the new node, and
 * the schema of this one, before it writes anything: pg_dump works in another
 * session and must not meet our locks.  Then the new node's row and server are
 * made here, which makes it a node that a distributed transaction can reach, and
 * all that is done there is part of this transaction.  Reference tables are
 * locked against writers on all nodes before they are copied, until the
 * commit: a writer that had to wait sees the new node when it goes on.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "ddl/ddl.h"
#include "ops/ops.h"

PG_FUNCTION_INFO_V1(shoal_add_node);
PG_FUNCTION_INFO_V1(shoal_remove_node);
PG_FUNCTION_INFO_V1(shoal_alter_node);

/* What has to agree between nodes, or tells them apart; columns of a row. */
typedef enum
{
	FACT_ENCODING,
	FACT_PROVIDER,
	FACT_COLLATE,
	FACT_CTYPE,
	FACT_LOCALE,
	FACT_DATABASE,
	FACT_SYSTEM_ID,
	FACT_RECOVERY,
	FACT_PREPARED,
	FACT_LOADED,
	FACT_AVAILABLE,
	FACT_SUPERUSER,
	FACT_CREATED,
	N_FACTS
} Fact;

typedef struct NodeFacts
{
	char	   *value[N_FACTS];
} NodeFacts;

static const char *const facts_query =
"SELECT pg_catalog.pg_encoding_to_char(d.encoding), d.datlocprovider::text,"
" d.datcollate::text, d.datctype::text,"
" coalesce(to_jsonb(d)->>'daticulocale', to_jsonb(d)->>'datlocale', ''),"
" d.oid::text, c.system_identifier::text, pg_catalog.pg_is_in_recovery()::text,"
" (pg_catalog.current_setting('max_prepared_transactions')::int > 0)::text,"
" EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = 'shoal.shard_count')::text,"
" coalesce((SELECT default_version FROM pg_catalog.pg_available_extensions WHERE name = 'shoal'), ''),"
" (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)::text,"
" EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'shoal')::text"
" FROM pg_catalog.pg_database d, pg_catalog.pg_control_system() c"
" WHERE d.datname = pg_catalog.current_database()";

/* Something that a user made in a database that is to become a node. */
static const char *const user_object_query =
"SELECT what FROM ("
" SELECT oid, 'pg_class'::pg_catalog.regclass AS cat, 'relation ' || oid::pg_catalog.regclass AS what"
" FROM pg_catalog.pg_class WHERE relkind NOT IN ('t', 'i', 'I') AND relpersistence <> 't'"
" AND relnamespace <> 'pg_toast'::pg_catalog.regnamespace"
" UNION ALL SELECT oid, 'pg_proc'::pg_catalog.regclass, 'function ' || oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc"
" UNION ALL SELECT oid, 'pg_type'::pg_catalog.regclass, 'type ' || oid::pg_catalog.regtype FROM pg_catalog.pg_type"
" WHERE typrelid = 0 AND typelem = 0"
" UNION ALL SELECT oid, 'pg_namespace'::pg_catalog.regclass, 'schema ' || oid::pg_catalog.regnamespace FROM pg_catalog.pg_namespace"
" WHERE nspname !~ '^pg_(toast_)?temp_') o"
" WHERE oid >= 16384 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d"
" WHERE d.classid = cat AND d.objid = o.oid AND d.deptype = 'e')"
" AND what <> 'schema shoal' ORDER BY o.oid LIMIT 1";

/* ---- asking a candidate ---- */

static NodeFacts
local_facts(void)
{
	NodeFacts	facts;

	if (SPI_execute(facts_query, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the properties of this database");
	for (int i = 0; i < N_FACTS; i++)
		facts.value[i] = SPI_getvalue(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, i + 1);
	return facts;
}

static NodeFacts
remote_facts(ShoalConn *conn)
{
	NodeFacts	facts;
	PGresult   *res = shoal_remote_query(conn, facts_query, NULL);

	if (PQntuples(res) != 1)
		elog(ERROR, "could not read the properties of the database");
	for (int i = 0; i < N_FACTS; i++)
		facts.value[i] = pstrdup(PQgetvalue(res, 0, i));
	PQclear(res);
	return facts;
}

static bool
fact_is_true(const NodeFacts *facts, Fact fact)
{
	return strcmp(facts->value[fact], "true") == 0;
}

static bool
facts_agree(const NodeFacts *a, const NodeFacts *b, Fact fact)
{
	return strcmp(a->value[fact], b->value[fact]) == 0;
}

/* First column of the first row there; NULL if there is none. */
static char *
remote_text(ShoalConn *conn, const char *sql)
{
	PGresult   *res = shoal_remote_query(conn, sql, NULL);
	char	   *text = NULL;

	if (PQntuples(res) > 0 && !PQgetisnull(res, 0, 0))
		text = pstrdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	return text;
}

/* ---- can it be a node? ---- */

static void
check_server(ShoalConn *conn)
{
	int			theirs = PQserverVersion(conn->pg) / 10000;
	int			ours = SHOAL_PG_MAJOR;

	if (theirs != ours)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("node runs PostgreSQL %d, this one runs %d", theirs, ours),
				 errhint("All nodes of a cluster need the same major version.")));
}

static void
check_settings(const NodeFacts *theirs)
{
	if (!fact_is_true(theirs, FACT_SUPERUSER))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" is not a superuser on the node",
						GetUserNameFromId(GetUserId(), false))));
	if (fact_is_true(theirs, FACT_RECOVERY))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node is in recovery"),
				 errhint("Add its primary server.")));
	if (theirs->value[FACT_AVAILABLE][0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" is not installed on the node", "shoal"),
				 errhint("Install it there, set \"shared_preload_libraries\" and restart the node.")));
	if (!fact_is_true(theirs, FACT_LOADED))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shoal is not in \"shared_preload_libraries\" of the node"),
				 errhint("Add it and restart the node.")));
	if (!fact_is_true(theirs, FACT_PREPARED))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"max_prepared_transactions\" is zero on the node"),
				 errhint("Set it to at least \"max_connections\" and restart the node.")));
}

static void
check_agreement(const NodeFacts *ours, const NodeFacts *theirs)
{
	static const struct
	{
		Fact		fact;
		const char *name;
	}			must_agree[] = {
		{FACT_ENCODING, "encoding"},
		{FACT_PROVIDER, "locale provider"},
		{FACT_COLLATE, "collation (LC_COLLATE)"},
		{FACT_CTYPE, "character classification (LC_CTYPE)"},
		{FACT_LOCALE, "locale"},
		{FACT_AVAILABLE, "version of Shoal"},
	};

	for (int i = 0; i < lengthof(must_agree); i++)
	{
		Fact		fact = must_agree[i].fact;

		if (!facts_agree(ours, theirs, fact))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("node differs in %s", must_agree[i].name),
					 errdetail("It is \"%s\" here and \"%s\" there.",
							   ours->value[fact], theirs->value[fact]),
					 fact == FACT_AVAILABLE ?
					 errhint("Install the same version of Shoal on all nodes.") :
					 errhint("Create the node's database with the same encoding and locale as this one, from template0.")));
	}
}

static void
check_identity(ShoalConn *conn, const NodeFacts *ours, const NodeFacts *theirs)
{
	int			members = 0;
	char	   *object;

	if (facts_agree(ours, theirs, FACT_SYSTEM_ID) &&
		facts_agree(ours, theirs, FACT_DATABASE))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("this is the database that you are connected to"),
				 errhint("It is a node already: it became one with CREATE EXTENSION.")));

	if (fact_is_true(theirs, FACT_CREATED))
	{
		char	   *their_id = remote_text(conn, "SELECT node_id::text FROM shoal.local_node");
		char	   *count = remote_text(conn, "SELECT pg_catalog.count(*)::text FROM shoal.node");
		const ShoalNode *known = their_id ? shoal_meta_node(atoi(their_id)) : NULL;

		members = count ? atoi(count) : 0;
		if (members > 1 && known != NULL && !known->is_local &&
			known->system_id == strtou64(theirs->value[FACT_SYSTEM_ID], NULL, 10) &&
			strcmp(known->dbname, PQdb(conn->pg)) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("this database is node %d already", known->node_id)));
		if (members > 1)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("node is a member of another cluster"),
					 errdetail("Its metadata lists %d nodes.", members),
					 errhint("Call shoal.remove_node() in that cluster first.")));
	}

	object = remote_text(conn, user_object_query);
	if (object != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("database of the node is not empty"),
				 errdetail("It holds %s.", object),
				 errhint("Add an empty database; the schema of this one is brought over.")));
}

/* ---- common to the three functions ---- */

static void
require_superuser(void)
{
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to change the nodes of the cluster")));
	if (shoal_origin > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot change the nodes of the cluster inside a fragment")));
	PreventCommandIfReadOnly("changing the nodes of the cluster");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot change the nodes of the cluster in a transaction with isolation level REPEATABLE READ or SERIALIZABLE"),
				 errhint("Use READ COMMITTED.")));
}

/* The ids of the nodes but this one and one more (0: no other). */
static List *
nodes_except(int node_id)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);

		if (!node->is_local && node->node_id != node_id)
			result = lappend_int(result, node->node_id);
	}
	return result;
}

/* Runs a command here and on these nodes. */
static void
run_on_all(const char *sql, List *others)
{
	shoal_ops_run(sql);
	if (others != NIL)
		shoal_xact_run(psprintf("/*shoal local*/ %s", sql), others);
}

/*
 * See the head of this file.  A node that is to be removed may be gone for
 * good, so it is left out, and the cluster lock, too, if that is there.
 */
static void
lock_cluster(int except)
{
	const ShoalNode *first;

	AcceptInvalidationMessages();
	first = (const ShoalNode *) linitial(shoal_meta_nodes());
	if (first->node_id != except)
		shoal_xact_lock_cluster();
	run_on_all("LOCK TABLE shoal.local_node IN SHARE ROW EXCLUSIVE MODE",
			   nodes_except(except));
	AcceptInvalidationMessages();
}

static const ShoalNode *
get_node(int node_id)
{
	const ShoalNode *node = shoal_meta_node(node_id);

	if (node == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("node %d does not exist", node_id),
				 errhint("The view shoal.nodes lists the nodes.")));
	return node;
}

static bool
is_loopback(const char *host)
{
	return host[0] == '\0' || host[0] == '/' || strcmp(host, "localhost") == 0 ||
		strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static void
check_port(int port)
{
	if (port < 1 || port > 65535)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("port %d is out of range", port)));
}

/*
 * Password of the current user for other nodes, as in the user mapping of this
 * node's own server; NULL if there is none.
 */
static char *
own_password(void)
{
	return shoal_ops_text(psprintf("SELECT o.option_value FROM pg_catalog.pg_user_mapping m"
								   " JOIN pg_catalog.pg_foreign_server s ON s.oid = m.umserver,"
								   " pg_catalog.pg_options_to_table(m.umoptions) o"
								   " WHERE s.srvname = %s AND m.umuser IN (0, %u) AND o.option_name = 'password'"
								   " ORDER BY m.umuser DESC",
								   quote_literal_cstr(shoal_meta_node(shoal_meta_local_node_id())->server_name),
								   GetUserId()));
}

/* ---- add_node ---- */

/*
 * The commands that follow contain passwords and the cluster's secret, so in
 * this transaction these nodes neither log nor show them.
 */
static void
keep_from_logs(List *node_ids)
{
	static const char *const commands[] = {
		"SET LOCAL log_statement = none",
		"SET LOCAL log_min_duration_statement = -1",
		"SET LOCAL log_min_duration_sample = -1",
		"SET LOCAL log_transaction_sample_rate = 0",
		"SET LOCAL log_duration = off",
		"SET LOCAL log_min_error_statement = panic",
		"SET LOCAL track_activities = off"
	};

	if (node_ids == NIL)
		return;
	for (int i = 0; i < lengthof(commands); i++)
		shoal_xact_run(psprintf("/*shoal local*/ %s", commands[i]), node_ids);
}

/* Connects to a candidate and checks it; returns its system identifier. */
static char *
inspect_candidate(const char *host, int port, const char *dbname,
				  const char *password)
{
	NodeFacts	ours = local_facts();
	NodeFacts	theirs;
	ShoalConn  *conn;

	conn = shoal_remote_conn_to(host, port, dbname,
								GetUserNameFromId(GetUserId(), false), password);
	check_server(conn);
	theirs = remote_facts(conn);
	check_settings(&theirs);
	check_agreement(&ours, &theirs);
	check_identity(conn, &ours, &theirs);
	shoal_remote_close(conn);

	if (!fact_is_true(&ours, FACT_PREPARED))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"max_prepared_transactions\" is zero on this node"),
				 errhint("Set it to at least \"max_connections\" and restart the server.")));
	return theirs.value[FACT_SYSTEM_ID];
}

/* Makes the node known here and on the nodes that there are. */
static void
register_node(int node_id, const char *host, int port, const char *dbname,
			  const char *password, const char *system_id)
{
	char	   *server = psprintf("shoal_node_%d", node_id);
	List	   *others = nodes_except(0);
	List	   *commands = NIL;
	ListCell   *lc;

	commands = lappend(commands,
					   psprintf("CREATE SERVER %s FOREIGN DATA WRAPPER shoal OPTIONS (host %s, port '%d', dbname %s)",
								server, quote_literal_cstr(host), port,
								quote_literal_cstr(dbname)));
	if (password)
		commands = lappend(commands,
						   psprintf("CREATE USER MAPPING FOR CURRENT_USER SERVER %s OPTIONS (password %s)",
									server, quote_literal_cstr(password)));
	else
		commands = lappend(commands,
						   psprintf("CREATE USER MAPPING FOR CURRENT_USER SERVER %s", server));
	commands = lappend(commands,
					   psprintf("INSERT INTO shoal.node (node_id, server_name, system_identifier) VALUES (%d, '%s', %s)",
								node_id, server, system_id));
	foreach(lc, commands)
		run_on_all((char *) lfirst(lc), others);
}

/* Copies the reference tables, and says on all nodes that it has them. */
static void
add_reference_tables(ShoalConn *conn, int node_id)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, shoal_ops_texts("SELECT t.table_name::pg_catalog.oid::text FROM shoal.distributed_table t"
								" JOIN shoal.colocation_group g USING (group_id) WHERE g.kind = 'r' ORDER BY 1"))
		relids = lappend_oid(relids, atooid((char *) lfirst(lc)));
	shoal_ddl_lock_tables(relids, ShareRowExclusiveLock);
	foreach(lc, relids)
		shoal_ops_copy_rows(conn, lfirst_oid(lc));
	shoal_ops_run_everywhere(psprintf("INSERT INTO shoal.placement (group_id, shard, node_id)"
									  " SELECT group_id, 0, %d FROM shoal.colocation_group WHERE kind = 'r'",
									  node_id));
}

Datum
shoal_add_node(PG_FUNCTION_ARGS)
{
	char	   *host;
	int			port;
	char	   *dbname;
	char	   *password;
	char	   *system_id;
	char	   *script;
	bool		same_server;
	int			node_id;
	const ShoalNode *self;
	ShoalConn  *conn;

	require_superuser();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("host, port and dbname must not be null")));
	host = text_to_cstring(PG_GETARG_TEXT_PP(0));
	port = PG_GETARG_INT32(1);
	dbname = text_to_cstring(PG_GETARG_TEXT_PP(2));
	check_port(port);
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot add a node in a transaction that has made changes"),
				 errhint("Add each node in a transaction of its own.")));

	SPI_connect();
	lock_cluster(0);
	self = shoal_meta_node(shoal_meta_local_node_id());
	password = PG_ARGISNULL(3) ? own_password() : text_to_cstring(PG_GETARG_TEXT_PP(3));
	system_id = inspect_candidate(host, port, dbname, password);
	same_server = strtou64(system_id, NULL, 10) == self->system_id;
	if (is_loopback(self->host) && !is_loopback(host))
		ereport(WARNING,
				(errmsg("node %d is registered as host \"%s\", where other nodes may not find it",
						self->node_id, self->host),
				 errhint("Call shoal.alter_node(%d, host => ...) with an address that all nodes reach it by.",
						 self->node_id)));

	keep_from_logs(nodes_except(0));
	script = shoal_ops_dump_schema(same_server);
	node_id = atoi(shoal_ops_text("SELECT (pg_catalog.max(node_id) + 1)::text FROM shoal.node"));
	register_node(node_id, host, port, dbname, password, system_id);

	conn = shoal_xact_conn(node_id, SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK);
	keep_from_logs(list_make1_int(node_id));
	if (!same_server)
		shoal_ops_copy_roles(conn);
	shoal_ops_copy_database(conn, dbname);

	/* what is left of another life as a node goes */
	shoal_ops_run_on(conn, "DROP EXTENSION IF EXISTS shoal CASCADE");
	shoal_ops_run_on(conn, "CREATE EXTENSION shoal");
	shoal_ops_run_script(conn, script);
	shoal_ops_run_on(conn, "SET LOCAL client_min_messages = warning");
	shoal_ops_copy_servers(conn);
	shoal_ops_run_on(conn, "RESET client_min_messages");
	shoal_ops_copy_metadata(conn, node_id);
	add_reference_tables(conn, node_id);
	SPI_finish();

	PG_RETURN_INT32(node_id);
}

/* ---- remove_node ---- */

/* What makes the nodes forget one of them. */
static List *
forget_commands(const ShoalNode *node)
{
	List	   *commands = NIL;

	commands = lappend(commands,
					   psprintf("DELETE FROM shoal.placement WHERE node_id = %d", node->node_id));
	commands = lappend(commands,
					   psprintf("DELETE FROM shoal.node WHERE node_id = %d", node->node_id));

	/* the first node's server came with the extension */
	if (shoal_ops_text(psprintf("SELECT 'member' FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_foreign_server s ON s.oid = d.objid"
								" WHERE d.classid = 'pg_catalog.pg_foreign_server'::pg_catalog.regclass AND d.deptype = 'e' AND s.srvname = %s",
								quote_literal_cstr(node->server_name))) != NULL)
		commands = lappend(commands,
						   psprintf("ALTER EXTENSION shoal DROP SERVER %s",
									quote_identifier(node->server_name)));
	commands = lappend(commands,
					   psprintf("DROP SERVER %s CASCADE", quote_identifier(node->server_name)));
	return commands;
}

/*
 * Makes a removed node a cluster of its own.  Its tables stay, as tables that
 * Shoal does not know.
 */
static void
reset_node(ShoalConn *conn, const ShoalNode *removed)
{
	ListCell   *lc;

	foreach(lc, list_make4("DELETE FROM shoal.placement",
						   "DELETE FROM shoal.distributed_table",
						   "DELETE FROM shoal.colocation_group",
						   psprintf("DELETE FROM shoal.node WHERE node_id <> %d",
									removed->node_id)))
		shoal_ops_run_on(conn, (char *) lfirst(lc));
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);

		if (node->node_id == removed->node_id)
			continue;
		if (strcmp(node->server_name, "shoal_node_1") == 0)
			shoal_ops_run_on(conn, "ALTER EXTENSION shoal DROP SERVER shoal_node_1");
		shoal_ops_run_on(conn, psprintf("DROP SERVER IF EXISTS %s CASCADE",
										quote_identifier(node->server_name)));
	}
}

static void
reset_if_reached(void *node)
{
	reset_node(shoal_xact_conn(((const ShoalNode *) node)->node_id,
							   SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK), node);
}

/* A node that is gone for good must be removable. */
static void
try_reset_node(const ShoalNode *node)
{
	ErrorData  *error = shoal_server_try(reset_if_reached, (void *) node);

	if (error && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	if (error)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("removed node could not be reset: %s", error->message),
				 errhint("Drop its database before it is used again.")));
}

Datum
shoal_remove_node(PG_FUNCTION_ARGS)
{
	int			node_id = PG_GETARG_INT32(0);
	const ShoalNode *node;
	List	   *others;
	char	   *shards;
	ListCell   *lc;

	require_superuser();
	SPI_connect();
	lock_cluster(node_id);
	node = get_node(node_id);
	if (node->is_local)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot remove the node that you are connected to"),
				 errhint("Call shoal.remove_node() on another node.")));
	shards = shoal_ops_text(psprintf("SELECT pg_catalog.count(*)::text FROM shoal.placement p JOIN shoal.colocation_group g USING (group_id)"
									 " WHERE p.node_id = %d AND g.kind <> 'r' HAVING pg_catalog.count(*) > 0",
									 node_id));
	if (shards != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node %d holds shards", node_id),
				 errdetail("It has %s placements; see the view shoal.shards.", shards),
				 errhint("Move them to other nodes or undistribute their tables first.")));

	others = nodes_except(node_id);
	try_reset_node(node);

	/* from here on the node is not one any more, so name the others */
	foreach(lc, forget_commands(node))
		run_on_all((char *) lfirst(lc), others);
	SPI_finish();
	PG_RETURN_VOID();
}

/* ---- alter_node ---- */

/* The new address has to lead to the same node. */
static void
check_address(const ShoalNode *node, const char *host, int port, const char *dbname)
{
	ShoalConn  *conn;
	NodeFacts	theirs;
	char	   *id = NULL;

	conn = shoal_remote_conn_to(host, port, dbname,
								GetUserNameFromId(GetUserId(), false),
								own_password());
	theirs = remote_facts(conn);
	if (fact_is_true(&theirs, FACT_CREATED))
		id = remote_text(conn, "SELECT node_id::text FROM shoal.local_node");
	shoal_remote_close(conn);
	if (id == NULL || atoi(id) != node->node_id ||
		strtou64(theirs.value[FACT_SYSTEM_ID], NULL, 10) != node->system_id)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("that address does not lead to node %d", node->node_id)));
}

Datum
shoal_alter_node(PG_FUNCTION_ARGS)
{
	const ShoalNode *node;

	require_superuser();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("node_id must not be null")));
	SPI_connect();
	lock_cluster(0);
	node = get_node(PG_GETARG_INT32(0));

	if (!PG_ARGISNULL(2) || !PG_ARGISNULL(3) || !PG_ARGISNULL(4))
	{
		char	   *host = PG_ARGISNULL(2) ? node->host : text_to_cstring(PG_GETARG_TEXT_PP(2));
		int			port = PG_ARGISNULL(3) ? node->port : PG_GETARG_INT32(3);
		char	   *dbname = PG_ARGISNULL(4) ? node->dbname : text_to_cstring(PG_GETARG_TEXT_PP(4));

		check_port(port);
		check_address(node, host, port, dbname);
		shoal_ops_run_everywhere(psprintf("ALTER SERVER %s OPTIONS (SET host %s, SET port '%d', SET dbname %s)",
										  quote_identifier(node->server_name),
										  quote_literal_cstr(host), port,
										  quote_literal_cstr(dbname)));
	}
	if (!PG_ARGISNULL(1))
		shoal_ops_run_everywhere(psprintf("UPDATE shoal.node SET holds_shards = %s WHERE node_id = %d",
										  PG_GETARG_BOOL(1) ? "true" : "false",
										  PG_GETARG_INT32(0)));
	SPI_finish();
	PG_RETURN_VOID();
}
