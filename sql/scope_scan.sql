--
-- Shard Scan: fragments over several shards of small tables.  Everything here
-- stays on this node, as in the test "scope".
--
SET shoal.forward_ddl = off;
SET client_min_messages = warning;

CREATE SCHEMA scan;
SET search_path = scan;
INSERT INTO shoal.colocation_group VALUES (911, 'd', 4, 0);
INSERT INTO shoal.placement SELECT 911, i, node_id FROM generate_series(0, 3) i, shoal.local_node;

CREATE FUNCTION make_partitions(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 0..3 LOOP
		EXECUTE format('CREATE SCHEMA IF NOT EXISTS shoal_911_%s', i);
		EXECUTE format('CREATE TABLE shoal_911_%s.%I PARTITION OF scan.%2$I FOR VALUES WITH (MODULUS 4, REMAINDER %1$s)',
					   i, name);
	END LOOP;
	EXECUTE format('INSERT INTO shoal.distributed_table VALUES (%L, ''d'', 911)', 'scan.' || name);
END $$;

CREATE TABLE item (a int PRIMARY KEY, b text, c int DEFAULT 3) PARTITION BY HASH (a);
CREATE TABLE part (a int, n int, v numeric, PRIMARY KEY (a, n)) PARTITION BY HASH (a);
CREATE TABLE empty (a int PRIMARY KEY, b text) PARTITION BY HASH (a);
CREATE TABLE tight (x int, a int, b text) PARTITION BY HASH (a);
ALTER TABLE tight DROP COLUMN x;	-- numbers differ from here on
CREATE TABLE wide (a int, n int, pad text) PARTITION BY HASH (a);
ALTER TABLE wide ALTER pad SET STORAGE plain;
SELECT make_partitions(t) FROM unnest('{item,part,empty,tight,wide}'::text[]) t;
INSERT INTO item SELECT i, 'b' || i FROM generate_series(1, 100) i;
UPDATE item SET b = NULL WHERE a = 5;
INSERT INTO part SELECT i, j, i * j FROM generate_series(1, 100) i, generate_series(1, 3) j;
INSERT INTO tight SELECT i, 'b' || i FROM generate_series(1, 100) i;
INSERT INTO wide SELECT i, i % 7, repeat('x', 4000) FROM generate_series(1, 800) i;	-- one per page
CREATE TABLE big AS SELECT i AS a FROM generate_series(1, 10000) i;
ANALYZE item, part, tight, wide, big;

-- a coordinator's session
\c -reuse-previous=on "options=-cshoal.origin=1"
SET shoal.forward_ddl = off;
SET search_path = scan;

-- small tables are one relation each, in large ones and others partitions are hidden
/*shoal 911:0-3*/ EXPLAIN (COSTS OFF) SELECT count(*) FROM item JOIN part USING (a) WHERE c = 3;
/*shoal 911:1-2 partial*/ EXPLAIN (VERBOSE, COSTS OFF) SELECT n % 2, avg(v) FROM part GROUP BY 1;
/*shoal 911:1,3*/ EXPLAIN (COSTS OFF) SELECT * FROM empty;
/*shoal 911:1*/ EXPLAIN (COSTS OFF) SELECT * FROM empty;
/*shoal 911:1,3*/ EXPLAIN (COSTS OFF) SELECT * FROM tight;
/*shoal 911:1,3*/ EXPLAIN (COSTS OFF) SELECT count(*) FROM wide;
/*shoal 911:1,3*/ EXPLAIN (COSTS OFF) SELECT a, ctid IS NULL FROM item;
/*shoal 911:1,3*/ EXPLAIN (COSTS OFF) SELECT * FROM ONLY item;
/*shoal 911:1,3*/ EXPLAIN (COSTS OFF) SELECT * FROM item TABLESAMPLE system (10);
/*shoal 911:1,3*/ EXPLAIN (COSTS OFF) SELECT * FROM item FOR SHARE;
/*shoal 911:1,3*/ EXPLAIN (COSTS OFF) UPDATE item SET c = 4 FROM part p WHERE p.a = item.a AND n = 1;

-- joins and aggregates of large tables go partition by partition
/*shoal 911:1,3*/ EXPLAIN (COSTS OFF) SELECT a, count(*) FROM wide JOIN wide w USING (a) GROUP BY a;

-- the same rows as without it
\set query '/*shoal 911:0-1,3*/ SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM (SELECT * FROM item) t'
SET shoal.enable_shard_scan = on;
:query \gset on_
SET shoal.enable_shard_scan = off;
:query \gset off_
SELECT :on_n AS n, :'on_h' = :'off_h' AS same;
\set query '/*shoal 911:0-1,3*/ SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM (SELECT a, count(*), sum(v) FROM item JOIN part USING (a) GROUP BY a) t'
SET shoal.enable_shard_scan = on;
:query \gset on_
SET shoal.enable_shard_scan = off;
:query \gset off_
SELECT :on_n AS n, :'on_h' = :'off_h' AS same;
\set query '/*shoal 911:0-1,3*/ SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM (SELECT i.a, p.* FROM item i, LATERAL (SELECT max(n), count(*) FROM part WHERE part.a = i.a AND n > i.a % 3) p) t'
SET shoal.enable_shard_scan = on;
:query \gset on_
SET shoal.enable_shard_scan = off;
:query \gset off_
SELECT :on_n AS n, :'on_h' = :'off_h' AS same;
\set query '/*shoal 911:0-1,3*/ SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM (SELECT i, e FROM item i LEFT JOIN empty e USING (a)) t'
SET shoal.enable_shard_scan = on;
:query \gset on_
SET shoal.enable_shard_scan = off;
:query \gset off_
SELECT :on_n AS n, :'on_h' = :'off_h' AS same;
\set query '/*shoal 911:0-1,3*/ SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM (SELECT a FROM item WHERE b IS NULL OR EXISTS (SELECT FROM part p WHERE p.a = item.a AND v > 200)) t'
SET shoal.enable_shard_scan = on;
:query \gset on_
SET shoal.enable_shard_scan = off;
:query \gset off_
SELECT :on_n AS n, :'on_h' = :'off_h' AS same;
\set query '/*shoal 911:0-1,3*/ SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM (SELECT a FROM item UNION ALL SELECT a FROM tight UNION ALL SELECT n FROM part WHERE v > 20) t'
SET shoal.enable_shard_scan = on;
:query \gset on_
SET shoal.enable_shard_scan = off;
:query \gset off_
SELECT :on_n AS n, :'on_h' = :'off_h' AS same;
\set query '/*shoal 911:0-1,3*/ SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM (SELECT i.a, count(*) FROM item i JOIN part p ON i.a < p.a GROUP BY 1) t'
SET shoal.enable_shard_scan = on;
:query \gset on_
SET shoal.enable_shard_scan = off;
:query \gset off_
SELECT :on_n AS n, :'on_h' = :'off_h' AS same;
\set query '/*shoal 911:0-1,3*/ SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM (SELECT w.a, n.n FROM wide w JOIN part p USING (a) CROSS JOIN generate_series(1, p.n) n) t'
SET shoal.enable_shard_scan = on;
:query \gset on_
SET shoal.enable_shard_scan = off;
:query \gset off_
SELECT :on_n AS n, :'on_h' = :'off_h' AS same;
\set query '/*shoal 911:0-1,3*/ SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM (WITH x AS MATERIALIZED (SELECT * FROM item) SELECT * FROM x JOIN part USING (a) WHERE x.a IN (SELECT a FROM tight)) t'
SET shoal.enable_shard_scan = on;
:query \gset on_
SET shoal.enable_shard_scan = off;
:query \gset off_
SELECT :on_n AS n, :'on_h' = :'off_h' AS same;


-- backwards, and in parallel workers
SET shoal.enable_shard_scan = on;
BEGIN;
/*shoal 911:0-3*/ DECLARE c SCROLL CURSOR FOR SELECT a FROM item WHERE a < 4;
FETCH 2 FROM c;
FETCH BACKWARD 2 FROM c;
ROLLBACK;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
/*shoal 911:0-3*/ EXPLAIN (COSTS OFF) SELECT count(*), sum(item.a) FROM big JOIN item USING (a);
/*shoal 911:0-3*/ SELECT count(*), sum(item.a) FROM big JOIN item USING (a);
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- rights and policies are the table's
/*shoal local*/ CREATE ROLE scan_user;
/*shoal local*/ GRANT USAGE ON SCHEMA scan TO scan_user;
/*shoal local*/ GRANT SELECT (a, b) ON item TO scan_user;
/*shoal local*/ ALTER TABLE item ENABLE ROW LEVEL SECURITY;
/*shoal local*/ CREATE POLICY p ON item FOR SELECT TO scan_user USING (a <= 10);
SET ROLE scan_user;
/*shoal 911:0-3*/ SELECT count(*), max(b) FROM item;
/*shoal 911:0-3*/ SELECT count(*), max(c) FROM item;
/*shoal 911:0-3*/ SELECT count(*) FROM part;
RESET ROLE;
/*shoal local*/ DROP POLICY p ON item;
/*shoal local*/ ALTER TABLE item DISABLE ROW LEVEL SECURITY;

-- a plan for a table of unknown size ends when something was written, any plan when it meets many rows
/*shoal 911:0-3*/ PREPARE unknown AS SELECT count(*) FROM empty WHERE b = 'x';
/*shoal 911:0-3*/ EXPLAIN (COSTS OFF) EXECUTE unknown;
/*shoal local*/ ALTER TABLE shoal_911_0.item SET (autovacuum_enabled = off);
/*shoal local*/ ALTER TABLE shoal_911_1.item SET (autovacuum_enabled = off);
/*shoal local*/ ALTER TABLE shoal_911_2.item SET (autovacuum_enabled = off);
/*shoal local*/ ALTER TABLE shoal_911_3.item SET (autovacuum_enabled = off);
/*shoal 911:0-3*/ PREPARE known AS SELECT count(*) FROM item WHERE b = 'x';
/*shoal 911:0-3*/ EXPLAIN (COSTS OFF) EXECUTE known;
/*shoal local*/ INSERT INTO empty SELECT i, 'x' FROM generate_series(1, 10000) i;
/*shoal local*/ INSERT INTO item SELECT i, 'x' FROM generate_series(101, 10000) i;
/*shoal 911:0-3*/ EXPLAIN (COSTS OFF) EXECUTE unknown;
/*shoal 911:0-3*/ EXPLAIN (COSTS OFF) EXECUTE known;
/*shoal 911:0-3*/ EXECUTE known;
/*shoal 911:0-3*/ EXPLAIN (COSTS OFF) EXECUTE known;

\c -reuse-previous=on "options="
SET shoal.forward_ddl = off;
SET client_min_messages = warning;
DELETE FROM shoal.distributed_table WHERE group_id = 911;
DELETE FROM shoal.placement WHERE group_id = 911;
DELETE FROM shoal.colocation_group WHERE group_id = 911;
DROP SCHEMA shoal_911_0, shoal_911_1, shoal_911_2, shoal_911_3, scan CASCADE;
DROP ROLE scan_user;
