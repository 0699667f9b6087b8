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
