--
-- Statements that give a node several parts of their work at once.
--
\set SHOW_CONTEXT never
CREATE SCHEMA shares;
SET search_path = shares;
CREATE TABLE t (k int PRIMARY KEY, v int, pad text);
CREATE TABLE copied (k int PRIMARY KEY, v int);
CREATE TABLE twin (k int PRIMARY KEY, v int, pad text);
SELECT shoal.create_distributed_table('t', 'k', shard_count => 12, colocate_with => 'none');
SELECT shoal.create_distributed_table('copied', 'k', colocate_with => 't');
INSERT INTO twin SELECT i, i % 10, repeat('x', 20) FROM generate_series(1, 3000) i;
INSERT INTO t SELECT * FROM twin;
CREATE FUNCTION is_odd(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1 % 2 = 1; END';
-- how many sessions have written the rows
CREATE VIEW writers AS SELECT count(DISTINCT xmin::text) FROM t;
CREATE FUNCTION fragments(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ANALYZE ' || query LOOP
		IF line ~ 'Fragments' THEN RETURN trim(line); END IF;
	END LOOP;
END $$;
CREATE VIEW differences AS
	SELECT count(*) FROM ((SELECT * FROM t EXCEPT ALL SELECT * FROM twin)
		UNION ALL (SELECT * FROM twin EXCEPT ALL SELECT * FROM t)) d;

-- small tables, and nodes without processors for it: no
\c
SET search_path = shares;
UPDATE t SET v = v + 1;
UPDATE twin SET v = v + 1;
SET min_parallel_table_scan_size = 0;
SET shoal.processors = 3;
UPDATE t SET v = v + 1;
UPDATE twin SET v = v + 1;
SELECT * FROM writers;

SET shoal.processors = 12;
UPDATE t SET v = v + 1;
UPDATE twin SET v = v + 1;
SELECT * FROM writers;
DELETE FROM t WHERE v = 5;
DELETE FROM twin WHERE v = 5;
INSERT INTO copied SELECT k, v FROM t WHERE v > 3;
SELECT count(*) FROM (SELECT * FROM copied EXCEPT SELECT k, v FROM twin WHERE v > 3) d;
SELECT count(*) FROM copied;
MERGE INTO copied c USING t ON c.k = t.k WHEN MATCHED AND t.v > 8 THEN DELETE
	WHEN MATCHED THEN UPDATE SET v = t.v + 1 WHEN NOT MATCHED THEN INSERT VALUES (t.k, t.v + 1);
SELECT count(*) FROM (SELECT * FROM copied EXCEPT SELECT k, v + 1 FROM twin WHERE v <= 8) d;
SELECT * FROM differences;

-- functions that core does not run in parallel
SELECT fragments('SELECT sum(v) FROM t WHERE is_odd(k)');
SELECT sum(v), count(*) FROM t WHERE is_odd(k);
SELECT sum(v), count(*) FROM twin WHERE is_odd(k);
SELECT v, sum(k) FROM t WHERE is_odd(v) GROUP BY v ORDER BY v;
SELECT v, sum(k) FROM twin WHERE is_odd(v) GROUP BY v ORDER BY v;
SELECT k FROM t WHERE is_odd(k) ORDER BY k DESC LIMIT 3;
-- others: once per node
SELECT fragments('SELECT sum(v) FROM t');

-- in a transaction, what is written must be there for what follows
BEGIN;
SELECT sum(v) FROM t WHERE is_odd(k);
UPDATE t SET v = v + 1;
SELECT sum(v) FROM t WHERE is_odd(k);
UPDATE t SET v = v - 1;
SAVEPOINT a;
SELECT sum(v) FROM t WHERE is_odd(k);
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT sum(v) FROM t WHERE is_odd(k);
COMMIT;
SELECT * FROM differences;

-- a cursor that is not at its end
BEGIN;
DECLARE c CURSOR FOR SELECT k FROM t WHERE is_odd(k) ORDER BY k;
FETCH 2 FROM c;
SELECT count(*) FROM t WHERE is_odd(k);
FETCH 2 FROM c;
COMMIT;

-- an error in one part of it undoes all
UPDATE t SET v = v / (k - 7);
SELECT * FROM differences;
UPDATE t SET v = v * 2;
UPDATE twin SET v = v * 2;
SELECT * FROM differences;
SELECT count(*) FROM shoal.transactions_in_doubt;

-- never with a trigger, nor with a policy
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.pad := ''noted''; RETURN NEW; END';
CREATE TRIGGER note BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
\c
SET search_path = shares;
SET min_parallel_table_scan_size = 0;
SET shoal.processors = 12;
UPDATE t SET v = 0;
SELECT * FROM writers;
DROP TRIGGER note ON t;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
UPDATE t SET v = 1;
SELECT * FROM writers;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;
-- nor if what has been changed is returned
UPDATE t SET v = 2 RETURNING v \g (tuples_only=on) | sort -u
SELECT * FROM writers;
SET shoal.max_statement_connections = 1;
UPDATE t SET v = 3;
SELECT * FROM writers;
SET shoal.max_statement_connections = 2;
UPDATE t SET v = 4;
SELECT * FROM writers;
SELECT v, count(*) FROM t GROUP BY v;
DROP SCHEMA shares CASCADE;
