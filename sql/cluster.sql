--
-- The cluster that all other tests use: databases of one server.
--
CREATE EXTENSION shoal;
SELECT shoal.add_node('localhost', current_setting('port')::int, 'shoal_n2') IS NOT NULL AS added;
SELECT shoal.add_node('localhost', current_setting('port')::int, 'shoal_n3') IS NOT NULL AS added;
SELECT node_id, dbname, state FROM shoal.nodes ORDER BY node_id;
