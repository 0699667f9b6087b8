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
