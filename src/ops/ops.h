/*
 * ops.h
 *		Nodes of the cluster: adding, altering, removing.
 *
 * What follows is shared by the files of this folder, but for shoal_ops_init.
 */
#ifndef OPS_H
#define OPS_H

#include "remote/remote.h"

/* ---- ops_schema.c: what a new node is given ---- */

/*
 * The SQL script that makes this database's schema, as committed: without
 * Shoal's own objects and without shard partitions.  The caller holds off
 * other sessions' DDL, and no lock that stops a reader.
 */
extern char *shoal_ops_dump_schema(bool with_tablespaces);

/* Roles that the node's server lacks, with passwords and memberships. */
extern void shoal_ops_copy_roles(ShoalConn *conn);

/* Runs such a script there; its settings are undone afterwards. */
extern void shoal_ops_run_script(ShoalConn *conn, const char *script);

/* Owner, privileges and settings of this database, for that one. */
extern void shoal_ops_copy_database(ShoalConn *conn, const char *dbname);

/* Servers and user mappings of all nodes. */
extern void shoal_ops_copy_servers(ShoalConn *conn);

/* All metadata; the node becomes node_id. */
extern void shoal_ops_copy_metadata(ShoalConn *conn, int node_id);

/* The rows of one table, read here. */
extern void shoal_ops_copy_rows(ShoalConn *conn, Oid relid);

/* ---- ops_sql.c: SQL run here and there (inside SPI_connect) ---- */

/* Runs a query here that returns one text (NULL: no row or a null). */
extern char *shoal_ops_text(const char *sql);

/* The first column of all rows, a List of char *. */
extern List *shoal_ops_texts(const char *sql);

/* Runs a command here. */
extern void shoal_ops_run(const char *sql);

/* Runs a command here and, in the same transaction, on all other nodes. */
extern void shoal_ops_run_everywhere(const char *sql);

/* Runs a command there. */
extern void shoal_ops_run_on(ShoalConn *conn, const char *sql);

/*
 * Calls an internal function, given with its arguments, on any node, and
 * returns its result as text, or NULL.
 */
extern char *shoal_ops_call(int node_id, const char *call);

/*
 * Calls functions that take locks, all of them or none at any moment: whoever
 * is to be waited for on one node may himself wait on another, for what has
 * been locked there, and no server sees such a deadlock.
 */
extern void shoal_ops_call_together(int n, const int *nodes, char *const *calls);

/* ops_missed.c */
extern void ops_missed_init(void);

/* Asks for shared memory, installs hooks.  Called from _PG_init. */
extern void shoal_ops_init(void);

#endif							/* OPS_H */
