/* ---- distributed transactions ---- */

CREATE FUNCTION shoal.recover_prepared_transactions() RETURNS int
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_recover_prepared_transactions';
COMMENT ON FUNCTION shoal.recover_prepared_transactions() IS
'commits or rolls back what transactions of this coordinator have left prepared on nodes; returns how many';
REVOKE ALL ON FUNCTION shoal.recover_prepared_transactions() FROM PUBLIC;

CREATE FUNCTION shoal.internal_lock_cluster() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_internal_lock_cluster';
COMMENT ON FUNCTION shoal.internal_lock_cluster() IS
'internal: the lock that serialises schema changes of the cluster';

CREATE FUNCTION shoal.internal_act_as(role text, restricted bool, proof text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_act_as';
COMMENT ON FUNCTION shoal.internal_act_as(text, bool, text) IS
'internal: what the coordinator sends next is done as that role';

CREATE FUNCTION shoal.internal_transaction_time(usec bigint) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_internal_transaction_time';
COMMENT ON FUNCTION shoal.internal_transaction_time(bigint) IS
'internal: what now() is in this transaction, which is part of one of a coordinator''s';

CREATE FUNCTION shoal.run_on_nodes(command text, node_ids int[] DEFAULT NULL)
RETURNS TABLE (node_id int, result text)
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_run_on_nodes';
COMMENT ON FUNCTION shoal.run_on_nodes(text, int[]) IS
'runs a command on nodes as it stands, in the current transaction; gives each one''s first value, or the number of rows';
REVOKE ALL ON FUNCTION shoal.run_on_nodes(text, int[]) FROM PUBLIC;

CREATE FUNCTION shoal.cluster_nextval(sequence regclass) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_cluster_nextval';
COMMENT ON FUNCTION shoal.cluster_nextval(regclass) IS
'next value of a sequence, the same sequence for all nodes';

CREATE FUNCTION shoal.cluster_setval(sequence regclass, value bigint, is_called bool) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_cluster_setval';
COMMENT ON FUNCTION shoal.cluster_setval(regclass, bigint, bool) IS
'sets a sequence, the same sequence for all nodes';

CREATE FUNCTION shoal.cluster_currval(sequence regclass) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_cluster_currval';
COMMENT ON FUNCTION shoal.cluster_currval(regclass) IS
'the value that this session has got last of a sequence, from whichever node';

CREATE FUNCTION shoal.cluster_lastval() RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_cluster_lastval';
COMMENT ON FUNCTION shoal.cluster_lastval() IS
'the value that this session has got last of any sequence, from whichever node';

CREATE FUNCTION shoal.session_notify(channel text, payload text) RETURNS void
LANGUAGE c PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'shoal_session_notify';
COMMENT ON FUNCTION shoal.session_notify(text, text) IS
'pg_notify() of functions that run on nodes, to those who listen on the client''s';

CREATE FUNCTION shoal.session_set_config(name text, value text, is_local bool) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_session_set_config';
COMMENT ON FUNCTION shoal.session_set_config(text, text, bool) IS
'set_config() of functions that run on nodes, for the client''s session, too';

CREATE FUNCTION shoal.internal_identity_value(schema_name text, sequence_name text) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_identity_value';
COMMENT ON FUNCTION shoal.internal_identity_value(text, text) IS
'internal: next value of an identity column''s sequence, which needs no right on that';

CREATE FUNCTION shoal.internal_sequence_ahead(sequence regclass, value bigint) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_sequence_ahead';
COMMENT ON FUNCTION shoal.internal_sequence_ahead(regclass, bigint) IS
'internal: makes this node''s sequence begin behind a value, should it have to give some';

CREATE FUNCTION shoal.internal_sequences() RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_internal_sequences';
COMMENT ON FUNCTION shoal.internal_sequences() IS
'internal: what to call on another node so that its sequences begin behind this one''s';

CREATE FUNCTION shoal.internal_gate_hold(coordinator int, moment bigint) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_gate_hold';
COMMENT ON FUNCTION shoal.internal_gate_hold(int, bigint) IS
'internal: no commit of this coordinator''s on several nodes starts while the moment lasts';

CREATE FUNCTION shoal.internal_gate_wait(moment bigint) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_gate_wait';
COMMENT ON FUNCTION shoal.internal_gate_wait(bigint) IS
'internal: waits until the moments of this coordinator are over';

CREATE FUNCTION shoal.internal_gate_prepared(coordinators text) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_gate_prepared';
COMMENT ON FUNCTION shoal.internal_gate_prepared(text) IS
'internal: what these coordinators have prepared here';

CREATE FUNCTION shoal.internal_token() RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_token';
COMMENT ON FUNCTION shoal.internal_token() IS
'internal: a number that tells this database from copies of it';

CREATE FUNCTION shoal.internal_gate_left(gids text) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_gate_left';
COMMENT ON FUNCTION shoal.internal_gate_left(text) IS
'internal: whether transactions of this coordinator that are over have left one of these prepared';

CREATE FUNCTION shoal.internal_snapshot(moment bigint, oldest bigint) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_snapshot';
COMMENT ON FUNCTION shoal.internal_snapshot(bigint, bigint) IS
'internal: takes the snapshot of a moment for the fragments that follow';

CREATE FUNCTION shoal.internal_snapshot_use(moment bigint) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_snapshot_use';
COMMENT ON FUNCTION shoal.internal_snapshot_use(bigint) IS
'internal: the fragments that follow read with the snapshot of a moment';

CREATE FUNCTION shoal.internal_snapshot_export(moment bigint) RETURNS bytea
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_snapshot_export';
COMMENT ON FUNCTION shoal.internal_snapshot_export(bigint) IS
'internal: the snapshot of a moment, for another session of this node';

CREATE FUNCTION shoal.internal_snapshot_import(moment bigint, oldest bigint, snapshot bytea) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_snapshot_import';
COMMENT ON FUNCTION shoal.internal_snapshot_import(bigint, bigint, bytea) IS
'internal: the fragments that follow read with another session''s snapshot';

CREATE FUNCTION shoal.internal_victim(pid int, began bigint, detail text) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_victim';
COMMENT ON FUNCTION shoal.internal_victim(int, bigint, text) IS
'internal: ends a transaction that is part of a deadlock over several nodes';

CREATE FUNCTION shoal.session_origins()
RETURNS TABLE (pid int, coordinator int, coordinator_pid int)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'shoal_session_origins';
COMMENT ON FUNCTION shoal.session_origins() IS
'sessions of this node that coordinators have opened, and whose process there each belongs to';

CREATE VIEW shoal.node_lock_waits AS
SELECT coalesce(wo.coordinator, n.node_id) AS coordinator,
	coalesce(wo.coordinator_pid, w.pid) AS coordinator_pid, w.pid,
	pg_catalog.format('%s on %s', l.mode, CASE l.locktype
		WHEN 'relation' THEN pg_catalog.format('relation %s', l.relation::regclass)
		WHEN 'tuple' THEN pg_catalog.format('a row of %s', l.relation::regclass)
		WHEN 'transactionid' THEN pg_catalog.format('transaction %s', l.transactionid)
		ELSE l.locktype END) AS lock,
	l.waitstart AS since,
	coalesce(bo.coordinator, n.node_id) AS blocker_coordinator,
	coalesce(bo.coordinator_pid, b.pid) AS blocker_coordinator_pid,
	b.pid AS blocker_pid, ba.xact_start AS blocker_since
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
	AND a.datname = pg_catalog.current_database()
CROSS JOIN shoal.local_node n
-- a parallel worker is its leader
CROSS JOIN LATERAL (SELECT coalesce(a.leader_pid, l.pid)) w(pid)
CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(l.pid)) b(pid)
LEFT JOIN pg_catalog.pg_stat_activity ba ON ba.pid = b.pid
LEFT JOIN shoal.session_origins() wo ON wo.pid = w.pid
LEFT JOIN shoal.session_origins() bo ON bo.pid = b.pid
WHERE NOT l.granted;
COMMENT ON VIEW shoal.node_lock_waits IS
'who waits for whose lock on this node; blocker_pid is 0 if a prepared transaction has it';
GRANT SELECT ON shoal.node_lock_waits TO PUBLIC;
