--
-- Nodes that share a machine share its processors.
--
\set SHOW_CONTEXT never
CREATE SCHEMA par;
SET search_path = par;
CREATE TABLE t (k int PRIMARY KEY, v int, pad text);
SELECT shoal.create_distributed_table('t', 'k', shard_count => 6, colocate_with => 'none');
INSERT INTO t SELECT i, i % 10, repeat('x', 200) FROM generate_series(1, 3000) i;
ANALYZE t;

-- how many workers a node of three asks for
CREATE FUNCTION workers(query text) RETURNS TABLE (planned text) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (VERBOSE, COSTS OFF) %s', query) LOOP
		RETURN QUERY SELECT DISTINCT m[1] FROM regexp_matches(line, '(Workers Planned: \d+)', 'g') m;
	END LOOP;
END $$;

-- a setting of all nodes, in sessions that are opened from now on
CREATE FUNCTION set_on_nodes(setting text) RETURNS void LANGUAGE plpgsql SET shoal.forward_ddl = off AS $$
BEGIN
	FOR i IN 1..3 LOOP
		EXECUTE format('ALTER DATABASE shoal_n%s %s', i, setting);
	END LOOP;
END $$;
SELECT set_on_nodes(format('SET %s = 0', name))
FROM pg_settings WHERE name IN ('parallel_setup_cost', 'parallel_tuple_cost', 'min_parallel_table_scan_size');
SELECT set_on_nodes('SET max_parallel_workers_per_gather = 3');

SELECT set_on_nodes('SET enable_indexscan = off'), set_on_nodes('SET enable_bitmapscan = off');

SELECT set_on_nodes('SET shoal.processors = 5');
\c
SET search_path = par;
SELECT * FROM workers('SELECT count(*) FROM t WHERE v < 5');
-- one shard: no other node is busy with the query
SELECT * FROM workers('SELECT count(*) FROM t WHERE v < 5 AND k = 1');

SELECT set_on_nodes('SET shoal.processors = 6');
\c
SET search_path = par;
SELECT * FROM workers('SELECT count(*) FROM t WHERE v < 5');
SELECT count(*) FROM t WHERE v < 5;

SELECT set_on_nodes('SET shoal.processors = 1000');
\c
SET search_path = par;
SELECT * FROM workers('SELECT count(*) FROM t WHERE v < 5');

SELECT set_on_nodes(format('RESET %s', name))
FROM pg_settings WHERE name IN ('parallel_setup_cost', 'parallel_tuple_cost', 'min_parallel_table_scan_size',
	'max_parallel_workers_per_gather', 'enable_indexscan', 'enable_bitmapscan', 'shoal.processors');
\c
DROP SCHEMA par CASCADE;
