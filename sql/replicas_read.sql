-- reading from replicas: the same rows, whichever copy they come from
CREATE SCHEMA replicas_read;
SET search_path = replicas_read;
CREATE TABLE t (a int PRIMARY KEY, b int, c text);
CREATE TABLE twin (LIKE t);
SELECT shoal.create_distributed_table('t', 'a', 'none', 6, replicas => 2);
CREATE TABLE s (a int PRIMARY KEY, b int);
SELECT shoal.create_distributed_table('s', NULL, 'none', replicas => 1);
INSERT INTO t SELECT i, i % 7, 'row ' || i FROM generate_series(1, 200) i;
INSERT INTO twin SELECT i, i % 7, 'row ' || i FROM generate_series(1, 200) i;
INSERT INTO s SELECT i, i FROM generate_series(1, 20) i;

CREATE FUNCTION check_reads() RETURNS TABLE (what text, n bigint) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT 'missing', count(*) FROM (SELECT * FROM twin EXCEPT SELECT * FROM t) x;
	RETURN QUERY SELECT 'extra', count(*) FROM (SELECT * FROM t EXCEPT SELECT * FROM twin) x;
	RETURN QUERY SELECT 'by key', count(*) FROM twin w WHERE EXISTS (SELECT FROM t WHERE t.a = w.a AND t.b = w.b);
END $$;

SET shoal.read_from = 'any';
SELECT * FROM check_reads();
SELECT count(*), sum(b) FROM t;
SELECT * FROM t WHERE a = 77;
SELECT b, count(*) FROM t GROUP BY b ORDER BY b;
SELECT count(*) FROM t x JOIN t y USING (a);
SELECT count(*) FROM t x JOIN t y ON x.b = y.a;
SELECT count(*), sum(b) FROM s;
SELECT count(*) FROM t WHERE a IN (SELECT a FROM s);
-- what the transaction has changed is there, before and after
BEGIN;
UPDATE t SET b = b + 1 WHERE a % 2 = 0;
UPDATE twin SET b = b + 1 WHERE a % 2 = 0;
SELECT * FROM check_reads();
SAVEPOINT p;
DELETE FROM t WHERE a > 100;
SELECT count(*) FROM t;
ROLLBACK TO p;
SELECT count(*) FROM t;
SELECT b FROM t WHERE a = 150;
COMMIT;
SELECT * FROM check_reads();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*), sum(b) FROM t;
SELECT b FROM t WHERE a = 150;
ROLLBACK;
-- a COPY is a statement under way like any other: what its triggers have
-- written they read, although the replicas lack it yet
CREATE TABLE log (a int, seen int);
CREATE FUNCTION write_and_read() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO t VALUES (NEW.a, 1000);
	NEW.seen := (SELECT count(*) FROM t WHERE b = 1000);
	RETURN NEW;
END $$;
CREATE TRIGGER log BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION write_and_read();
COPY log (a) FROM PROGRAM 'seq 1001 1020';
SELECT count(*), count(*) FILTER (WHERE seen = a - 1000) FROM log;
INSERT INTO log SELECT generate_series(1021, 1030);
SELECT count(*), count(*) FILTER (WHERE seen = a - 1000) FROM log;
DELETE FROM t WHERE b = 1000;
-- each copy is read sometimes
CREATE FUNCTION nodes_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF) ' || query LOOP
		IF line LIKE '%Nodes:%' THEN
			RETURN line;
		END IF;
	END LOOP;
END $$;
SET shoal.enable_local = off;
-- (a node that is slow to answer is left out for the time being)
DO $$
DECLARE
	seen text[];
BEGIN
	FOR i IN 1..600 LOOP
		seen := ARRAY(SELECT DISTINCT unnest(seen || nodes_of(format('SELECT * FROM t WHERE a = 5 AND b <> %s', i))));
		IF cardinality(seen) = 3 THEN
			RETURN;
		END IF;
		PERFORM pg_sleep(0.02);
	END LOOP;
	RAISE 'read from % only', seen;
END $$;
SET shoal.read_from = 'nearest';
SELECT * FROM check_reads();
-- two replicas of three nodes: all of it is here
SELECT count(DISTINCT nodes_of(format('SELECT * FROM t WHERE a = %s', i))) FROM generate_series(1, 30) i;
SET shoal.read_from = 'primary';
SELECT count(DISTINCT nodes_of(format('SELECT * FROM t WHERE a = %s', i))) FROM generate_series(1, 30) i;
SET shoal.read_from = 'elsewhere';
SELECT * FROM shoal.verify_table('t');
DROP SCHEMA replicas_read CASCADE;
