--
-- RETURNING xmin, xmax and the like of an INSERT, by which is told whether ON CONFLICT
-- has updated a row: core does not know them of rows that go to partitions.
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA rv;
SET search_path = rv;
CREATE TABLE t (id int PRIMARY KEY, n int);
CREATE TABLE s (id int PRIMARY KEY, n int);
CREATE TABLE one (id int PRIMARY KEY, n int);
CREATE TABLE ref (id int PRIMARY KEY, n int);
SELECT shoal.create_distributed_table('t', 'id', 'none', 6), shoal.create_distributed_table('s', 'id', 't'),
	shoal.create_distributed_table('one', NULL, 'none'), shoal.create_reference_table('ref');
INSERT INTO t SELECT i, i FROM generate_series(1, 10) i RETURNING id, (xmax = 0) AS inserted, xmin::text > '0' AS made;
INSERT INTO t SELECT i, -i FROM generate_series(8, 13) i ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, (xmax = 0) AS inserted, n;
INSERT INTO t VALUES (13, 0), (14, 0), (15, 0), (1, 0), (2, 0) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, (xmax = 0) AS inserted, n;
INSERT INTO t VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, (xmax = 0) AS inserted, n;
INSERT INTO t VALUES (21, 0), (21, 1) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING xmax;
INSERT INTO s SELECT id, n FROM t WHERE id < 6 RETURNING (xmax = 0) AS inserted;
-- on the nodes, if nothing of that is returned; there, or by shard, if it is
WITH r AS (INSERT INTO s SELECT id, n FROM t ON CONFLICT (id) DO UPDATE SET n = 0 RETURNING (xmax = 0) AS inserted) SELECT inserted, count(*) FROM r GROUP BY 1 ORDER BY 1;
WITH r AS (INSERT INTO s SELECT n + 20, id FROM t ON CONFLICT (id) DO NOTHING RETURNING (xmax = 0) AS inserted, cmin) SELECT inserted, count(*) FROM r GROUP BY 1 ORDER BY 1;
INSERT INTO s SELECT id, 7 FROM t WHERE id = 3 ON CONFLICT (id) DO UPDATE SET n = 7 RETURNING id, (xmax = 0) AS inserted;
-- many of them, and with triggers
WITH r AS (INSERT INTO t SELECT i, i FROM generate_series(1, 5000) i ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, (xmax = 0) AS inserted) SELECT inserted, count(*), sum(id) FROM r GROUP BY 1 ORDER BY 1;
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER pass BEFORE INSERT OR UPDATE ON s FOR EACH ROW EXECUTE FUNCTION pass();
INSERT INTO s SELECT i, i FROM generate_series(100, 103) i RETURNING id, (xmax = 0) AS inserted;
INSERT INTO s SELECT i, i FROM generate_series(102, 105) i ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, (xmax = 0) AS inserted;
WITH u AS (UPDATE s SET n = 1 WHERE id IN (104, 105) RETURNING id, xmin::text > '0' AS made) SELECT * FROM u ORDER BY id;
-- other tables
INSERT INTO one VALUES (1, 1), (2, 2) RETURNING id, (xmax = 0) AS inserted;
INSERT INTO one VALUES (2, 1), (3, 2) ON CONFLICT (id) DO UPDATE SET n = 0 RETURNING id, (xmax = 0) AS inserted;
INSERT INTO ref VALUES (1, 1), (2, 2) RETURNING id, (xmax = 0) AS inserted;
INSERT INTO ref VALUES (2, 1), (3, 2) ON CONFLICT (id) DO UPDATE SET n = 0 RETURNING id, (xmax = 0) AS inserted;
-- by which a row is written that nobody has changed since
SELECT xmin AS version FROM t WHERE id = 5 \gset
UPDATE t SET n = 50 WHERE id = 5 AND xmin = :'version';
WITH u AS (UPDATE t SET n = 51 WHERE id = 5 AND xmin = :'version' RETURNING 1) SELECT count(*) FROM u;
-- all shards are here
CREATE TABLE here (id int PRIMARY KEY, n int);
SELECT shoal.create_distributed_table('here', 'id', 'none', 3);
SELECT count(shoal.move_shard(group_id, shard, node_id, 1)) FROM shoal.placements
	WHERE group_id = (SELECT group_id FROM shoal.tables WHERE table_name = 'here'::regclass) AND node_id <> 1;
EXPLAIN (COSTS OFF) SELECT count(*) FROM here;
INSERT INTO here SELECT i, i FROM generate_series(1, 4) i RETURNING id, (xmax = 0) AS inserted;
INSERT INTO here VALUES (1, 1), (5, 5) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, (xmax = 0) AS inserted, n;
WITH r AS (INSERT INTO here VALUES (1, 1), (6, 5) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, (xmax = 0) AS inserted, n) SELECT * FROM r ORDER BY id;
DROP SCHEMA rv CASCADE;
