--
-- Scope: a marked statement sees just its shards.  Everything here stays on
-- this node; tables, partitions and metadata are made by hand.
--
SET shoal.forward_ddl = off;
SET client_min_messages = warning;

CREATE SCHEMA scope;
SET search_path = scope;
INSERT INTO shoal.colocation_group VALUES (910, 'd', 4, 0);
INSERT INTO shoal.placement SELECT 910, i, node_id FROM generate_series(0, 3) i, shoal.local_node;

CREATE FUNCTION make_partitions(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 0..3 LOOP
		EXECUTE format('CREATE SCHEMA IF NOT EXISTS shoal_910_%s', i);
		EXECUTE format('CREATE TABLE shoal_910_%s.%I PARTITION OF scope.%2$I FOR VALUES WITH (MODULUS 4, REMAINDER %1$s)',
					   i, name);
	END LOOP;
	EXECUTE format('INSERT INTO shoal.distributed_table VALUES (%L, ''d'', 910)', 'scope.' || name);
END $$;

CREATE TABLE item (a int PRIMARY KEY, b text, c int DEFAULT 3) PARTITION BY HASH (a);
CREATE TABLE part (a int REFERENCES item ON DELETE CASCADE, n int, v numeric, PRIMARY KEY (a, n)) PARTITION BY HASH (a);
CREATE TABLE tight (x int, a int, b text) PARTITION BY HASH (a);
ALTER TABLE tight DROP COLUMN x;	-- numbers differ from here on
CREATE TABLE noted (a int, b text) PARTITION BY HASH (a);
CREATE TABLE days (day date, a int, b text) PARTITION BY RANGE (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2020-01-01') TO ('2020-02-01') PARTITION BY HASH (a);
CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM ('2020-02-01') TO ('2020-03-01') PARTITION BY HASH (a);
INSERT INTO shoal.distributed_table VALUES ('days', 'd', 910);
SELECT make_partitions(t) FROM unnest('{item,part,tight,noted,days_1,days_2}'::text[]) t;
INSERT INTO item SELECT i, 'b' || i FROM generate_series(1, 100) i;
INSERT INTO part SELECT i, j, i * j FROM generate_series(1, 100) i, generate_series(1, 3) j;
INSERT INTO tight SELECT i, 'b' || i FROM generate_series(1, 100) i;
INSERT INTO noted SELECT i, 'b' || i FROM generate_series(1, 100) i;
INSERT INTO days SELECT date '2020-01-01' + i % 60, i, 'b' || i FROM generate_series(1, 100) i;
ANALYZE item, part, tight, noted, days;
CREATE TABLE twin AS SELECT * FROM item;
CREATE TABLE log (what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO scope.log VALUES (TG_TABLE_NAME || ' ' || TG_OP);
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON noted FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT shoal.shard_of('item', a), count(*) FROM twin GROUP BY 1 ORDER BY 1;

-- a user's session: a comment is a comment
/*shoal 910:1*/ SELECT count(*) FROM item;
/*shoal nonsense*/ SELECT count(*) FROM item;

-- a coordinator's session; small tables are planned as large ones are
\c -reuse-previous=on "options=-cshoal.origin=1"
SET shoal.forward_ddl = off;
SET shoal.enable_shard_scan = off;
SET search_path = scope;
/*shoal 910:1*/ SELECT count(*), count(*) FILTER (WHERE shoal.shard_of('item', a) <> 1) AS wrong FROM item;
/*shoal 910:1-2*/ SELECT count(*), count(*) FILTER (WHERE shoal.shard_of('item', a) NOT IN (1, 2)) AS wrong FROM item;
/*shoal 910:0,2-3*/ SELECT count(*), count(*) FILTER (WHERE shoal.shard_of('item', a) = 1) AS wrong FROM item;
/*shoal 910:*/ SELECT count(*) FROM item;
/*shoal local*/ SELECT count(*) FROM item;

-- markers that are none
/*shoal 910:1-*/ SELECT 1;
/*shoal 910:2-1*/ SELECT 1;
/*shoal 910:99999999999999999999*/ SELECT 1;
/*shoal 910:1 partly*/ SELECT 1;
/*shoal 0:1*/ SELECT 1;
/*shoal 910*/ SELECT 1;

-- shards and groups that are not here
/*shoal 910:4*/ SELECT count(*) FROM item;
/*shoal 910:1,4*/ SELECT count(*) FROM item;
/*shoal 910:4*/ SELECT count(*) FROM days;
/*shoal 919:1*/ SELECT count(*) FROM item;

-- one shard: the partition takes the parent's place at all levels
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_bitmapscan = off;
SET enable_indexscan = off;
/*shoal 910:1*/ EXPLAIN (VERBOSE, COSTS OFF)
	WITH p AS MATERIALIZED (SELECT * FROM part WHERE n < 3)
	SELECT i FROM item i WHERE EXISTS (SELECT FROM p WHERE p.a = i.a)
		AND c < (SELECT max(v) FROM part WHERE part.a = i.a) FOR UPDATE;
/*shoal 910:1*/ SELECT count(*) FROM item i JOIN part p USING (a) LEFT JOIN tight t ON t.a = i.a
	WHERE t.b = i.b AND shoal.shard_of('item', i.a) = 1;
/*shoal 910:1*/ SELECT i, i.tableoid::regclass, row_to_json(i) FROM item i ORDER BY a LIMIT 1;
/*shoal 910:1*/ SELECT count(*) FROM ONLY item;
/*shoal 910:1*/ SELECT count(*) > 0 FROM item TABLESAMPLE BERNOULLI (100) REPEATABLE (1);
-- several: the others are hidden
RESET enable_indexscan;
/*shoal 910:1,3*/ EXPLAIN (COSTS OFF) SELECT * FROM item i JOIN part p USING (a);
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_bitmapscan;
/*shoal 910:1,3*/ SELECT count(*), count(*) FILTER (WHERE shoal.shard_of('item', a) NOT IN (1, 3)) AS wrong
	FROM item i JOIN part p USING (a);
-- columns with other numbers, and range partitions above the shards
/*shoal 910:2*/ SELECT count(*), count(*) FILTER (WHERE shoal.shard_of('item', a) <> 2) AS wrong FROM tight;
/*shoal 910:2*/ SELECT count(*), count(*) FILTER (WHERE shoal.shard_of('item', a) <> 2) AS wrong FROM days;
/*shoal 910:2*/ SELECT count(*), count(*) FILTER (WHERE shoal.shard_of('item', a) <> 2) AS wrong FROM days_1;
/*shoal 910:0-1,3*/ SELECT count(*), count(*) FILTER (WHERE shoal.shard_of('item', a) = 2) AS wrong FROM days;

-- writes
BEGIN;
/*shoal 910:1*/ INSERT INTO item SELECT a + 1000 FROM twin WHERE shoal.shard_of('item', a + 1000) = 1;
/*shoal local*/ SELECT count(*), bool_and(shoal.shard_of('item', a) = 1 AND c = 3) FROM item WHERE a > 1000;
/*shoal 910:1*/ INSERT INTO item VALUES (3, 'x') ON CONFLICT (a) DO UPDATE SET b = excluded.b || item.b, c = 5 RETURNING *;
/*shoal 910:1*/ INSERT INTO item VALUES (3, 'y') ON CONFLICT ON CONSTRAINT item_pkey DO UPDATE SET b = excluded.b RETURNING *;
/*shoal 910:1*/ INSERT INTO item VALUES (3, 'y') ON CONFLICT DO NOTHING RETURNING *;
/*shoal 910:1*/ UPDATE item SET b = 'u' WHERE a < 50;
/*shoal local*/ SELECT shoal.shard_of('item', a), count(*) FROM item WHERE b = 'u' GROUP BY 1;
/*shoal 910:2-3*/ UPDATE item i SET b = 'v' || p.v FROM part p WHERE p.a = i.a AND p.n = 1 AND i.a < 50;
/*shoal local*/ SELECT DISTINCT shoal.shard_of('item', a) FROM item WHERE b ^@ 'v' ORDER BY 1;
/*shoal 910:0*/ WITH d AS (DELETE FROM item WHERE a < 50 RETURNING *)
	SELECT count(*) > 0, bool_and(shoal.shard_of('item', a) = 0) FROM d;
/*shoal local*/ SELECT count(*) FROM part WHERE a < 50 AND shoal.shard_of('item', a) = 0;
/*shoal 910:*/ DELETE FROM item;
/*shoal local*/ SELECT count(*) > 0 FROM item;
/*shoal 910:1*/ UPDATE item SET a = -a WHERE a = 3 AND shoal.shard_of('item', -3) = 1;
/*shoal 910:1*/ MERGE INTO item i USING twin t ON t.a = i.a AND t.a IN (3, 5)
	WHEN MATCHED THEN UPDATE SET b = 'merged';
ROLLBACK;
-- a row of another shard is refused
/*shoal 910:1*/ INSERT INTO item VALUES (1);
-- statement triggers are the coordinator's business
/*shoal 910:2*/ EXPLAIN (COSTS OFF) UPDATE noted SET b = b;
/*shoal 910:2*/ UPDATE noted SET b = b;
/*shoal 910:2*/ DELETE FROM noted WHERE false;
SELECT * FROM log;

-- a cached plan follows the partitions
SET plan_cache_mode = force_generic_plan;
/*shoal 910:3*/ PREPARE counts AS SELECT count(*) FROM noted WHERE a > $1;
EXECUTE counts (0);
BEGIN;
/*shoal local*/ ALTER TABLE noted ADD COLUMN d int DEFAULT 1;
EXECUTE counts (0);
/*shoal local*/ ALTER TABLE noted DETACH PARTITION shoal_910_3.noted;
EXECUTE counts (0);
ROLLBACK;
EXECUTE counts (0);

-- rights and row security are the parent's
/*shoal local*/ CREATE ROLE scope_user;
/*shoal local*/ GRANT USAGE ON SCHEMA scope TO scope_user;
SET ROLE scope_user;
/*shoal 910:1*/ SELECT count(*) FROM item;
/*shoal 910:1-2*/ SELECT count(*) FROM item;
RESET ROLE;
/*shoal local*/ GRANT SELECT (a), UPDATE (b) ON item TO scope_user;
SET ROLE scope_user;
/*shoal 910:1*/ SELECT count(a) FROM item;
/*shoal 910:1*/ SELECT count(b) FROM item;
/*shoal 910:1*/ UPDATE item SET b = 'mine' WHERE a = 3 RETURNING a;
/*shoal 910:1*/ UPDATE item SET c = 1 WHERE a = 3;
/*shoal 910:1*/ DELETE FROM item WHERE a = 3;
/*shoal 910:1*/ INSERT INTO item VALUES (103);
RESET ROLE;
/*shoal local*/ GRANT ALL ON item TO scope_user;
/*shoal local*/ ALTER TABLE item ENABLE ROW LEVEL SECURITY;
/*shoal local*/ CREATE POLICY odd ON item USING (a % 2 = 1) WITH CHECK (b <> 'bad');
SET ROLE scope_user;
/*shoal 910:1*/ SELECT count(*), bool_and(a % 2 = 1 AND shoal.shard_of('item', a) = 1) FROM item;
/*shoal 910:1-2*/ SELECT count(*), bool_and(a % 2 = 1 AND shoal.shard_of('item', a) IN (1, 2)) FROM item;
/*shoal 910:1*/ UPDATE item SET b = 'bad' WHERE a = 3;
/*shoal 910:1*/ DELETE FROM item WHERE a = 8 RETURNING *;
RESET ROLE;
/*shoal local*/ REVOKE ALL ON item FROM scope_user;
/*shoal local*/ ALTER TABLE item DISABLE ROW LEVEL SECURITY;

-- aggregates up to their transition states
/*shoal 910:1 partial*/ SELECT n, count(*), avg(a), sum(v) FROM part GROUP BY n ORDER BY n;
/*shoal 910:1 partial*/ SELECT min(a), max(a) FROM item;
/*shoal 910:1-2 partial*/ SELECT avg(a), bool_and(a > 0) FROM item WHERE false;
SET enable_partitionwise_aggregate = on;
/*shoal 910:1-2 partial*/ EXPLAIN (VERBOSE, COSTS OFF) SELECT n % 2, avg(v) FROM part GROUP BY 1 ORDER BY 1;
RESET enable_partitionwise_aggregate;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET enable_hashagg = off;
/*shoal 910:1 partial*/ EXPLAIN (VERBOSE, COSTS OFF) SELECT n, avg(a) FROM part GROUP BY n ORDER BY n;
RESET enable_hashagg;
/*shoal 910:1 partial*/ SELECT n, count(*), avg(a), sum(v) FROM part GROUP BY n ORDER BY n;
SET enable_partitionwise_aggregate = on;
/*shoal 910:1-2 partial*/ SELECT count(*), avg(a) FROM part;
/*shoal 910:1-2 partial*/ SELECT a, avg(n) FROM part GROUP BY a ORDER BY a LIMIT 1;
/*shoal 910:1-2 partial*/ SELECT count(DISTINCT a) FROM part;
/*shoal 910:1-2 partial*/ SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY a) FROM part;

-- unmarked, it would see all that is here by chance
SELECT count(*) FROM item;
/*shoal local*/ CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% items', (SELECT count(*) FROM scope.item);
	RETURN OLD;
END $$;
/*shoal local*/ CREATE TRIGGER look BEFORE DELETE ON part FOR EACH ROW EXECUTE FUNCTION look();
\set SHOW_CONTEXT never
/*shoal 910:1*/ DELETE FROM item WHERE a = 3;

\c -reuse-previous=on "options="
SET shoal.forward_ddl = off;
SET client_min_messages = warning;
DELETE FROM shoal.distributed_table WHERE group_id = 910;
DELETE FROM shoal.placement WHERE group_id = 910;
DELETE FROM shoal.colocation_group WHERE group_id = 910;
DROP SCHEMA shoal_910_0, shoal_910_1, shoal_910_2, shoal_910_3, scope CASCADE;
DROP ROLE scope_user;
