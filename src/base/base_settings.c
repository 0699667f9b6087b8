/*
 * base_settings.c
 *		The extension's settings (GUCs).
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "base/base_compat.h"
#include "base/base_settings.h"

int			shoal_shard_count = 32;
int			shoal_replicas = 0;
char	   *shoal_node_conninfo = NULL;
int			shoal_origin = 0;
int			shoal_claimed_origin = 0;
int			shoal_origin_pid = 0;
char	   *shoal_origin_proof = NULL;
int			shoal_max_cached_statements = 1000;
bool		shoal_forward_ddl = true;
bool		shoal_enable_local = true;
bool		shoal_enable_router = true;
bool		shoal_enable_push = true;
bool		shoal_enable_move = true;
int			shoal_move_threshold = 64;
bool		shoal_enable_partitionwise = true;
bool		shoal_enable_shard_scan = true;
int			shoal_batch_size = 500;
int			shoal_processors = 0;
int			shoal_max_statement_connections = 4;
bool		shoal_consistent_reads = true;
int			shoal_recovery_interval = 5;
int			shoal_failover_time = 3000;
bool		shoal_auto_repair = true;
int			shoal_read_from = SHOAL_READ_PRIMARY;
int			shoal_row_triggers = SHOAL_TRIGGERS_COORDINATOR;
char	   *shoal_debug_job_pause = NULL;

static const struct config_enum_entry row_triggers_values[] = {
	{"coordinator", SHOAL_TRIGGERS_COORDINATOR, false},
	{"node", SHOAL_TRIGGERS_NODE, false},
	{NULL, 0, false}
};

static const struct config_enum_entry read_from_values[] = {
	{"primary", SHOAL_READ_PRIMARY, false},
	{"any", SHOAL_READ_ANY, false},
	{"nearest", SHOAL_READ_NEAREST, false},
	{NULL, 0, false}
};
int			shoal_commit_wait = 10000;
int			shoal_max_node_connections = -1;
int			shoal_idle_timeout = 60;
int			shoal_connection_wait = 60000;

static void
define_switch(const char *name, const char *short_desc, bool *variable)
{
	DefineCustomBoolVariable(name, short_desc, NULL, variable, true,
							 PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
}

/* The proof is nobody's business, not even of those who may read all settings. */
static const char *
show_nothing(void)
{
	return "";
}

void
shoal_settings_init(void)
{
	DefineCustomIntVariable("shoal.shard_count",
							"Number of shards of a new colocation group.",
							NULL, &shoal_shard_count, 32, 1, 32000,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.replicas",
							"Number of replicas of each shard of a new colocation group.",
							NULL, &shoal_replicas, 0, 0, 8,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("shoal.node_conninfo",
							   "Connection options added to every connection to a node.",
							   "For example sslmode, connect_timeout or sslrootcert.",
							   &shoal_node_conninfo, "connect_timeout=5",
							   PGC_SUSET, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.origin",
							"Node that opened this session as coordinator; 0 in a user's session.",
							NULL, &shoal_claimed_origin, 0, 0, INT_MAX,
							PGC_BACKEND, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.origin_pid",
							"Process of the coordinator that opened this session.",
							NULL, &shoal_origin_pid, 0, 0, INT_MAX,
							PGC_BACKEND, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomStringVariable("shoal.origin_proof",
							   "Shows that a node of the cluster opened this session.",
							   NULL, &shoal_origin_proof, "", PGC_BACKEND,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_SUPERUSER_ONLY,
							   NULL, NULL, show_nothing);
	DefineCustomIntVariable("shoal.max_cached_statements",
							"Number of prepared statements kept on each connection to a node.",
							NULL, &shoal_max_cached_statements, 1000, 0, 100000,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.batch_size",
							"Number of rows sent to a node in one INSERT.",
							NULL, &shoal_batch_size, 500, 1, 10000,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.processors",
							"Number of processors that nodes on this machine share; 0 counts them.",
							"Nodes of one machine divide them when they work on a query in parallel.",
							&shoal_processors, 0, 0, INT_MAX,
							PGC_SUSET, GUC_EXPLAIN, NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.max_statement_connections",
							"Number of connections to one node that a statement may use at once.",
							"Several are used for large parts of queries that the node can't run in parallel.",
							&shoal_max_statement_connections, 4, 1, 64,
							PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	define_switch("shoal.forward_ddl",
				  "Runs this session's schema changes on all nodes.",
				  &shoal_forward_ddl);
	define_switch("shoal.enable_local",
				  "Lets the planner run queries on this node's own shards without fragments.",
				  &shoal_enable_local);
	define_switch("shoal.enable_router",
				  "Lets the planner send whole queries to the one shard they need.",
				  &shoal_enable_router);
	define_switch("shoal.enable_push",
				  "Lets the planner push joins and aggregates to the nodes.",
				  &shoal_enable_push);
	define_switch("shoal.enable_move",
				  "Moves rows from node to node where tables meet on other columns than their distribution columns.",
				  &shoal_enable_move);
	DefineCustomIntVariable("shoal.move_threshold",
							"Size of a query's tables from which on rows are moved from node to node.",
							"Smaller ones are read by the coordinator.",
							&shoal_move_threshold, 64, 0, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	define_switch("shoal.enable_partitionwise",
				  "Lets nodes join and aggregate shard by shard.",
				  &shoal_enable_partitionwise);
	define_switch("shoal.enable_shard_scan",
				  "Lets nodes plan a small table as one, whatever the number of its shards.",
				  &shoal_enable_shard_scan);

	DefineCustomEnumVariable("shoal.row_triggers",
							 "Where row triggers of distributed tables run.",
							 "With \"node\", on the node of the row, where they can use rows with its key only.",
							 &shoal_row_triggers, SHOAL_TRIGGERS_COORDINATOR,
							 row_triggers_values, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("shoal.consistent_reads",
							 "Takes the snapshots of a query's nodes at one moment.",
							 "If off, a query over several nodes may see a transaction on some of them only.",
							 &shoal_consistent_reads, true, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.max_node_connections",
							"Number of connections that sessions of this server may have to each node; -1: as many as it takes, 0: no limit.",
							"Sessions that need one more wait.",
							&shoal_max_node_connections, -1, -1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.connection_wait",
							"Time for which a session waits for a connection to a node that has no more.",
							NULL, &shoal_connection_wait, 60000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.idle_timeout",
							"Time after which an unused connection to a node is closed; 0 keeps it.",
							NULL, &shoal_idle_timeout, 60, 0, INT_MAX / 1000,
							PGC_USERSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomEnumVariable("shoal.read_from",
							 "Which copies of shards are read.",
							 "\"any\" spreads reads over all copies, \"nearest\" prefers this node's and this machine's.",
							 &shoal_read_from, SHOAL_READ_PRIMARY,
							 read_from_values, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("shoal.auto_repair",
							 "Repairs stale replicas in the background.",
							 NULL, &shoal_auto_repair, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("shoal.debug_job_pause",
							   "Step at which jobs that this session starts wait while advisory lock 0 is taken.",
							   "For tests of Shoal.",
							   &shoal_debug_job_pause, "", PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.failover_time",
							"Time without an answer after which a node is given up and its replicas are promoted.",
							"Only where shards have replicas; must be the same on all nodes.  0 turns it off.",
							&shoal_failover_time, 3000, 0, 600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.recovery_interval",
							"Time between attempts to settle what a fault has left prepared on nodes.",
							NULL, &shoal_recovery_interval, 5, 1, 3600,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("shoal.commit_wait",
							"Time for which COMMIT waits until a node that was lost in the middle of it has the transaction.",
							"After that it ends all the same, and the node gets the transaction later.",
							&shoal_commit_wait, 10000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);

	MarkGUCPrefixReserved("shoal");
}
