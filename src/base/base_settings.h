/*
 * base_settings.h
 *		The extension's settings (GUCs), one C variable each.
 */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

/* shoal.shard_count: shards of a new colocation group */
extern int	shoal_shard_count;

/* shoal.replicas: replicas of each shard of a new colocation group */
extern int	shoal_replicas;

/* shoal.node_conninfo: libpq options added to every node connection */
extern char *shoal_node_conninfo;

/*
 * Node id of the coordinator that opened this session; 0 in a user's own
 * session.  shoal.origin, set in the startup packet, is just a claim; it counts
 * from when it is checked (meta_origin.c), which shoal_meta_enabled does.
 */
extern int	shoal_origin;
extern int	shoal_claimed_origin;
extern int	shoal_origin_pid;	/* the coordinator's process, likewise */
extern char *shoal_origin_proof;

/* shoal.max_cached_statements: prepared statements kept per node connection */
extern int	shoal_max_cached_statements;

/* shoal.forward_ddl: off keeps a session's DDL on this node */
extern bool shoal_forward_ddl;

/*
 * shoal.enable_router, shoal.enable_push, shoal.enable_local: planner
 * switches like core's enable_*; off makes the planner take the next way.
 */
extern bool shoal_enable_local;
extern bool shoal_enable_router;
extern bool shoal_enable_push;

/*
 * shoal.enable_move, shoal.move_threshold (kB of the tables' rows): moving rows
 * from node to node
 */
extern bool shoal_enable_move;
extern int	shoal_move_threshold;

/*
 * shoal.enable_partitionwise: fragments over several shards are planned with
 * core's partitionwise joins and aggregates
 */
extern bool shoal_enable_partitionwise;

/*
 * shoal.enable_shard_scan: fragments over several shards read small tables by
 * a Shard Scan
 */
extern bool shoal_enable_shard_scan;

/* shoal.batch_size: rows per statement when rows are sent by INSERT */
extern int	shoal_batch_size;

/*
 * shoal.processors: processors of this machine, for the parallel workers of
 * fragments where several nodes share it; 0: as many as there are
 */
extern int	shoal_processors;

/*
 * shoal.max_statement_connections: to one node that a statement uses at once
 */
extern int	shoal_max_statement_connections;

/*
 * shoal.consistent_reads: off saves a round trip of queries over several
 * nodes, which may then see a transaction on some of them only
 */
extern bool shoal_consistent_reads;

/* shoal.recovery_interval (seconds): for what faults have left prepared */
extern int	shoal_recovery_interval;
extern int	shoal_failover_time;

/* values of shoal_row_triggers */
#define SHOAL_TRIGGERS_COORDINATOR	0
#define SHOAL_TRIGGERS_NODE			1

/* where row triggers run (plan_fire.c) */
extern int	shoal_row_triggers;

/* values of shoal_read_from */
#define SHOAL_READ_PRIMARY	0
#define SHOAL_READ_ANY		1	/* spread over all copies */
#define SHOAL_READ_NEAREST	2	/* this node's, or one of this machine's */
extern int	shoal_read_from;
extern bool shoal_auto_repair;

/* shoal.debug_job_pause: the step at which this session's jobs wait, for tests */
extern char *shoal_debug_job_pause;

/*
 * shoal.commit_wait (milliseconds): for a node that has prepared a transaction
 * and can't be told that it is committed
 */
extern int	shoal_commit_wait;

/*
 * shoal.max_node_connections: from this server to each node, -1: what the
 * node takes, 0: any number;
 * shoal.idle_timeout (seconds): unused ones are closed, 0: never
 */
extern int	shoal_max_node_connections;
extern int	shoal_idle_timeout;

/* shoal.connection_wait (milliseconds): for one of a node that has no more */
extern int	shoal_connection_wait;

/* Defines all of them.  Called once, from _PG_init. */
extern void shoal_settings_init(void);

#endif							/* BASE_SETTINGS_H */
