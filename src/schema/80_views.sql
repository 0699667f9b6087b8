/* ---- looking at the cluster ---- */

CREATE VIEW shoal.nodes AS
SELECT n.node_id, n.server_name AS node_name, o.host, o.port, o.dbname,
	n.holds_shards, n.state
FROM shoal.node n
JOIN pg_catalog.pg_foreign_server s ON s.srvname = n.server_name
CROSS JOIN LATERAL (
	SELECT pg_catalog.max(option_value) FILTER (WHERE option_name = 'host') AS host,
		pg_catalog.max(option_value) FILTER (WHERE option_name = 'port')::int AS port,
		pg_catalog.max(option_value) FILTER (WHERE option_name = 'dbname') AS dbname
	FROM pg_catalog.pg_options_to_table(s.srvoptions)) o;
COMMENT ON VIEW shoal.nodes IS 'nodes of the cluster';

CREATE FUNCTION shoal.distribution_column(table_name regclass) RETURNS text
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'shoal_distribution_column';
COMMENT ON FUNCTION shoal.distribution_column(regclass) IS
'columns by which a table is distributed';

CREATE FUNCTION shoal.placement_sizes()
RETURNS TABLE (table_name regclass, group_id int, shard int, node_id int,
	partition_name text, size bigint)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'shoal_placement_sizes';
COMMENT ON FUNCTION shoal.placement_sizes() IS
'size of each placement of each table with its indexes, asked from all nodes';

/*
 * Sizes are in subqueries of the target list: nobody is asked for them unless
 * the column is.
 */
CREATE VIEW shoal.tables AS
SELECT t.table_name,
	CASE t.kind WHEN 'd' THEN 'distributed' WHEN 'r' THEN 'reference'
		ELSE 'single-shard' END AS kind,
	shoal.distribution_column(t.table_name) AS distribution_column,
	t.group_id, g.shard_count, g.replicas,
	(SELECT pg_catalog.sum(s.size)::bigint FROM shoal.placement_sizes() s
		JOIN shoal.placement p USING (group_id, shard, node_id)
		WHERE s.table_name = t.table_name) AS size
FROM shoal.distributed_table t
JOIN shoal.colocation_group g USING (group_id);
COMMENT ON VIEW shoal.tables IS
'tables that Shoal knows; size is in bytes, of all copies with their indexes';

CREATE VIEW shoal.shards AS
SELECT t.table_name, t.group_id, p.shard,
	CASE WHEN t.kind <> 'd' THEN t.table_name::text
		WHEN pg_catalog.count(*) OVER (PARTITION BY t.group_id, p.shard, p.node_id, c.relname) = 1
		THEN pg_catalog.format('shoal_%s_%s.%I', t.group_id, p.shard, c.relname)
		/* of two tables of one name in a group, one has another in the shard */
		ELSE (SELECT s.partition_name FROM shoal.placement_sizes() s
			WHERE s.table_name = t.table_name AND s.group_id = t.group_id
			AND s.shard = p.shard AND s.node_id = p.node_id)
		END AS partition_name,
	p.node_id, p.role, p.state,
	(SELECT s.size FROM shoal.placement_sizes() s
		WHERE s.table_name = t.table_name AND s.group_id = t.group_id
		AND s.shard = p.shard AND s.node_id = p.node_id) AS size
FROM shoal.distributed_table t
JOIN pg_catalog.pg_class c ON c.oid = t.table_name
JOIN shoal.placement p USING (group_id)
WHERE NOT EXISTS (
	SELECT FROM pg_catalog.pg_partitioned_table pt
	WHERE pt.partrelid = t.table_name AND pt.partstrat <> 'h');
COMMENT ON VIEW shoal.shards IS
'shards of each table and where they are; size is in bytes, with indexes';

CREATE VIEW shoal.placements AS
SELECT p.group_id, p.shard, p.node_id, n.server_name AS node_name, p.role, p.state
FROM shoal.placement p
LEFT JOIN shoal.node n USING (node_id);
COMMENT ON VIEW shoal.placements IS 'which node has which shard of which group';

CREATE FUNCTION shoal.session_connections()
RETURNS TABLE (node_id int, user_name text, backend_pid int, state text, wrote bool)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'shoal_connections';
COMMENT ON FUNCTION shoal.session_connections() IS
'connections of this session to other nodes';

CREATE VIEW shoal.connections AS
SELECT c.node_id, n.server_name AS node_name, c.user_name, c.backend_pid, c.state, c.wrote
FROM shoal.session_connections() c
LEFT JOIN shoal.node n USING (node_id);
COMMENT ON VIEW shoal.connections IS
'connections of this session to other nodes; backend_pid is the process there';

GRANT SELECT ON shoal.nodes, shoal.tables, shoal.shards, shoal.placements,
	shoal.connections TO PUBLIC;

CREATE FUNCTION shoal.prepared_transactions()
RETURNS TABLE (node_id int, coordinator int, gid text, prepared timestamptz, owner name)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'shoal_prepared_transactions';
COMMENT ON FUNCTION shoal.prepared_transactions() IS
'what coordinators have prepared on nodes, asked from all nodes';

CREATE VIEW shoal.transactions_in_doubt AS
SELECT p.node_id, p.coordinator, p.gid, p.prepared AS since, p.owner,
	CASE WHEN r.gid IS NOT NULL THEN 'committed'
		WHEN p.coordinator = (SELECT l.node_id FROM shoal.local_node l) THEN 'not committed'
		END AS decision
FROM shoal.prepared_transactions() p
LEFT JOIN shoal.commit_record r USING (gid);
COMMENT ON VIEW shoal.transactions_in_doubt IS
'transactions that are prepared on nodes and not ended yet; decision is known on their coordinator';

GRANT SELECT ON shoal.transactions_in_doubt TO PUBLIC;

CREATE FUNCTION shoal.cluster_lock_waits()
RETURNS TABLE (node_id int, coordinator int, coordinator_pid int, pid int, lock text,
	since timestamptz, blocker_coordinator int, blocker_coordinator_pid int, blocker_pid int,
	blocker_since timestamptz)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'shoal_cluster_lock_waits';
COMMENT ON FUNCTION shoal.cluster_lock_waits() IS
'the rows of shoal.node_lock_waits, asked from all nodes';

CREATE VIEW shoal.lock_waits AS
SELECT w.*, pg_catalog.clock_timestamp() - w.since AS waiting
FROM shoal.cluster_lock_waits() w;
COMMENT ON VIEW shoal.lock_waits IS
'who waits for whose lock on which node; coordinator and coordinator_pid tell whose session a process is';
GRANT SELECT ON shoal.lock_waits TO PUBLIC;

CREATE FUNCTION shoal.node_health()
RETURNS TABLE (node_id int, state text, answered_ms bigint, asked_ms bigint, vote text,
	lease_ms bigint)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'shoal_node_health';
COMMENT ON FUNCTION shoal.node_health() IS
'what this node''s monitor knows of the nodes';

CREATE VIEW shoal.health AS
SELECT h.node_id, n.server_name AS node_name, h.state, h.answered_ms, h.asked_ms, h.vote, h.lease_ms
FROM shoal.node_health() h
JOIN shoal.node n USING (node_id);
COMMENT ON VIEW shoal.health IS
'how this node sees the others: how long ago the last ping was sent that was answered, and the last one came; and whether it has a lease itself';
GRANT SELECT ON shoal.health TO PUBLIC;
