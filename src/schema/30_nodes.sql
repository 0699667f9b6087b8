/* ---- nodes: adding, removing, altering ---- */

CREATE FUNCTION shoal.add_node(host text, port int DEFAULT 5432,
	dbname text DEFAULT pg_catalog.current_database(), password text DEFAULT NULL) RETURNS int
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_add_node'
SET search_path = pg_catalog, pg_temp SET client_min_messages = warning SET lock_timeout = '1min'
SET datestyle = 'ISO, YMD' SET intervalstyle = postgres
SET extra_float_digits = 1;
COMMENT ON FUNCTION shoal.add_node(text, int, text, text) IS
'makes an empty database a node of the cluster, with the schema of this one; returns its node id';
REVOKE ALL ON FUNCTION shoal.add_node(text, int, text, text) FROM PUBLIC;

CREATE FUNCTION shoal.remove_node(node_id int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_remove_node'
SET search_path = pg_catalog, pg_temp SET client_min_messages = warning SET lock_timeout = '1min';
COMMENT ON FUNCTION shoal.remove_node(int) IS
'takes a node that holds no shards out of the cluster';
REVOKE ALL ON FUNCTION shoal.remove_node(int) FROM PUBLIC;

CREATE FUNCTION shoal.alter_node(node_id int, holds_shards bool DEFAULT NULL,
	host text DEFAULT NULL, port int DEFAULT NULL, dbname text DEFAULT NULL) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_alter_node'
SET search_path = pg_catalog, pg_temp SET client_min_messages = warning SET lock_timeout = '1min';
COMMENT ON FUNCTION shoal.alter_node(int, bool, text, int, text) IS
'changes the address of a node, or whether new shards are placed on it';
REVOKE ALL ON FUNCTION shoal.alter_node(int, bool, text, int, text) FROM PUBLIC;

CREATE FUNCTION shoal.run_script(script text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_run_script';
COMMENT ON FUNCTION shoal.run_script(text) IS
'runs the statements of a script (used by shoal.add_node on the new node)';
REVOKE ALL ON FUNCTION shoal.run_script(text) FROM PUBLIC;
