--
-- Views that show the cluster.
--
CREATE SCHEMA views_a;
CREATE SCHEMA views_b;
CREATE TABLE views_a.orders (customer int, id bigint, note text, PRIMARY KEY (customer, id));
CREATE TABLE views_b.orders (customer int PRIMARY KEY, note text);
CREATE TABLE views_a.country (code text PRIMARY KEY, name text);
CREATE TABLE views_a.visits (day date, customer int) PARTITION BY RANGE (day);
CREATE TABLE views_a.visits_old PARTITION OF views_a.visits FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
SELECT shoal.create_distributed_table('views_a.orders', 'customer', 'none', 4);
SELECT shoal.create_distributed_table('views_b.orders', 'customer', 'views_a.orders');
SELECT shoal.create_distributed_table('views_a.visits', 'customer', 'views_a.orders');
SELECT shoal.create_reference_table('views_a.country');

-- nodes
SELECT node_id, node_name, host, dbname, port = current_setting('port')::int AS port, holds_shards, state
FROM shoal.nodes ORDER BY node_id;

-- tables
SELECT table_name, kind, distribution_column, group_id = max(group_id) FILTER (WHERE table_name = 'views_a.orders'::regclass) OVER () AS grp, shard_count, replicas
FROM shoal.tables WHERE table_name::text ~ '^views_' ORDER BY table_name::text;
-- sizes are of all nodes
INSERT INTO views_a.orders SELECT i % 100, i, repeat('x', 1000) FROM generate_series(1, 4000) i;
INSERT INTO views_a.visits SELECT '2020-05-05', i FROM generate_series(1, 4000) i;
SELECT table_name, size > 4000000 AS large, size > 0 AS some FROM shoal.tables
WHERE table_name::text ~ '^views_' ORDER BY table_name::text;
SELECT (SELECT size FROM shoal.tables WHERE table_name = 'views_a.visits'::regclass) =
	(SELECT size FROM shoal.tables WHERE table_name = 'views_a.visits_old'::regclass) AS same;

-- shards
SELECT table_name, shard, regexp_replace(partition_name, 'shoal_\d+_', 'shoal_N_') AS partition_name,
	role, state, size > 0 AS sized
FROM shoal.shards WHERE table_name::text ~ '^views_' ORDER BY table_name::text, shard, node_id;
-- the names are right on every node
SELECT count(*) AS wrong FROM shoal.shards s
WHERE table_name::text ~ '^views_' AND NOT EXISTS (
	SELECT FROM shoal.run_on_nodes('SELECT string_agg(n.nspname || ''.'' || c.relname, '','') FROM pg_class c
		JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN (''r'', ''p'')') r
	WHERE r.node_id = s.node_id AND replace(s.partition_name, '"', '') = ANY (string_to_array(r.result, ',')));
SELECT count(DISTINCT node_id) AS nodes, count(*) AS placements
FROM shoal.placements JOIN shoal.tables USING (group_id) WHERE table_name = 'views_a.orders'::regclass;

-- seen from another node, and by somebody without rights
\c shoal_n2
SELECT table_name, kind, size > 0 AS sized FROM shoal.tables WHERE table_name::text ~ '^views_' ORDER BY table_name::text;
SELECT count(*), bool_and(size > 0) AS sized FROM shoal.shards WHERE table_name = 'views_a.orders'::regclass;
\c shoal_n1
CREATE ROLE shoal_views_role LOGIN;
SET SESSION AUTHORIZATION shoal_views_role;
SELECT count(*) > 0 AS seen FROM shoal.tables WHERE size > 0;
SELECT count(*) > 0 AS seen FROM shoal.shards WHERE size > 0;
SELECT count(*) > 0 AS seen FROM shoal.nodes;
SELECT user_name, state FROM shoal.connections ORDER BY node_id;
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM shoal.connections WHERE user_name = current_user AND state = 'in transaction';
BEGIN;
SELECT count(*) FROM views_a.orders;
SELECT count(*) FROM shoal.connections WHERE user_name = current_user AND state = 'in transaction' AND NOT wrote;
-- what this transaction has made is seen, and its own locks are no obstacle
TRUNCATE views_a.orders;
SELECT size > 0 AS sized FROM shoal.tables WHERE table_name = 'views_a.orders'::regclass;
ROLLBACK;

-- not asked for, not read: no node is connected to
\c shoal_n1
SELECT count(*) FROM shoal.shards WHERE table_name = 'views_a.orders'::regclass;
SELECT count(*) FROM shoal.connections;

DROP ROLE shoal_views_role;
SET client_min_messages = warning;
DROP SCHEMA views_a, views_b CASCADE;
SELECT count(*) FROM shoal.tables WHERE table_name::text ~ 'views_|^[0-9]';
