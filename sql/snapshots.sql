-- What a statement over several nodes reads with: one snapshot, as on one server.
CREATE SCHEMA snapshots;
SET search_path = snapshots;
\set SHOW_CONTEXT never
CREATE TABLE t (k int PRIMARY KEY, v int);
SELECT shoal.create_distributed_table('t', 'k', shard_count => 6);
CREATE TABLE u (k int PRIMARY KEY, w int);
SELECT shoal.create_distributed_table('u', 'k', shard_count => 6);
CREATE TABLE here (k int, v int);
INSERT INTO t SELECT i, i FROM generate_series(1, 60) i;
INSERT INTO u SELECT i, i % 7 FROM generate_series(1, 60) i;
INSERT INTO here SELECT i, i FROM generate_series(1, 60) i;

-- a transaction sees what it has done itself, in every kind of plan
BEGIN;
UPDATE t SET v = v + 100;
SELECT count(*), sum(v), (SELECT sum(v) FROM t WHERE k % 2 = 0) AS even FROM t;
SELECT count(*), sum(a.v) FROM t a JOIN t b ON a.v = b.v + 1;
SELECT count(*) FROM t JOIN here ON t.v = here.v + 100;
INSERT INTO t VALUES (61, 0);
SELECT count(*), sum(v) FROM t WHERE v >= (SELECT min(v) FROM t);
SAVEPOINT s;
DELETE FROM t WHERE k > 30;
SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM u) AS n;
ROLLBACK TO s;
SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM u) AS n;
ROLLBACK;
SELECT count(*), sum(v) FROM t;

-- a statement does not see what it does
BEGIN;
UPDATE t SET v = v + (SELECT count(*) FROM t);
SELECT min(v), max(v) FROM t;
INSERT INTO t SELECT k + 1000, v FROM t;
SELECT count(*) FROM t;
UPDATE t SET v = 0 WHERE v IN (SELECT max(v) FROM t);
SELECT count(*) FROM t WHERE v = 0;
ROLLBACK;

-- cursors keep what they began with, several at a time, whatever is read meanwhile
BEGIN;
DECLARE a CURSOR FOR SELECT x.k, x.v, y.v AS yv FROM t x JOIN t y ON x.v = y.v ORDER BY x.k;
FETCH 2 FROM a;
UPDATE t SET v = -v;
DECLARE b CURSOR FOR SELECT x.k, x.v, y.v AS yv FROM t x JOIN t y ON x.v = y.v ORDER BY x.k;
FETCH 2 FROM a;
FETCH 2 FROM b;
DELETE FROM t WHERE k < 6;
SELECT count(*), (SELECT min(k) FROM t) FROM u;
FETCH 2 FROM a;
FETCH 2 FROM b;
DECLARE c CURSOR FOR SELECT k, v FROM t UNION ALL SELECT k, w FROM u;
MOVE ALL FROM c;
CLOSE a;
FETCH 2 FROM b;
COMMIT;
SELECT count(*), min(v), max(v) FROM t;

-- functions: a volatile one sees what happens meanwhile, a query around it does not
CREATE FUNCTION put(key int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO snapshots.t VALUES (key, 0);
	RETURN (SELECT count(*) FROM snapshots.t) + (SELECT count(*) FROM snapshots.u);
END $$;
SELECT i, put(i), (SELECT count(*) FROM here) FROM generate_series(201, 203) i;
SELECT put(here.k + 300), t.k FROM here JOIN t ON t.k = here.k WHERE here.k IN (10, 11) ORDER BY 2;
DO $$
DECLARE
	n bigint;
BEGIN
	FOR i IN 401..403 LOOP
		BEGIN
			INSERT INTO snapshots.t VALUES (i, 0);
			SELECT (SELECT count(*) FROM snapshots.t) + (SELECT count(*) FROM snapshots.u) INTO n;
			RAISE NOTICE '%', n;
			PERFORM 1 / (402 - i);
		EXCEPTION WHEN division_by_zero THEN
			SELECT (SELECT count(*) FROM snapshots.t) + (SELECT count(*) FROM snapshots.u) INTO n;
			RAISE NOTICE 'after an error: %', n;
		END;
	END LOOP;
END $$;

-- REPEATABLE READ: from the first statement that reads anything
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM t;
SELECT (SELECT count(*) FROM t) AS t, (SELECT count(*) FROM u) AS u, (SELECT count(*) FROM here) AS here;
DELETE FROM t WHERE k > 200;
SELECT (SELECT count(*) FROM t) AS t, (SELECT count(*) FROM u) AS u, (SELECT count(*) FROM here) AS here;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 AS catalogs FROM pg_class;
SAVEPOINT a;
SELECT v FROM t WHERE k = 7;
ROLLBACK TO a;
SELECT sum(v) < 0 AS negative FROM t;
COMMIT;

-- without
SET shoal.consistent_reads = off;
SELECT count(*), (SELECT count(*) FROM u) FROM t;
RESET shoal.consistent_reads;

-- nothing of this is for users
SELECT shoal.internal_gate_hold(1, 1);
SELECT shoal.internal_gate_wait(1);
SELECT shoal.internal_gate_prepared('1');
SELECT shoal.internal_gate_left('x');
SELECT shoal.internal_snapshot(1, 1);
SELECT shoal.internal_snapshot_use(1);
SELECT shoal.internal_victim(1, 1, '');
SELECT count(*) FROM shoal.transactions_in_doubt;
SELECT count(*) FROM shoal.lock_waits;

-- a cursor that is first read in a subtransaction which is rolled back has all its rows, or says so
CREATE TABLE wide (k int, pad text);
SELECT shoal.create_distributed_table('wide', 'k', shard_count => 6);
INSERT INTO wide SELECT i, repeat('x', 200) FROM generate_series(1, 60000) i;
BEGIN;
DECLARE c CURSOR FOR SELECT k, pad FROM wide;
DECLARE d CURSOR FOR SELECT k, pad FROM wide;
SAVEPOINT s;
MOVE 1 IN c;
ROLLBACK TO s;
MOVE ALL IN c;
SAVEPOINT s;
MOVE 1 IN d;
SELECT 1 / 0;
ROLLBACK TO s;
MOVE ALL IN d;
ROLLBACK;

SET client_min_messages = warning;
DROP SCHEMA snapshots CASCADE;
