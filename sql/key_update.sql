--
-- UPDATE of the distribution column: rows move.
--
\set SHOW_CONTEXT never
CREATE SCHEMA moving;
SET search_path = moving;
CREATE TABLE plain (k int PRIMARY KEY, v text, n int DEFAULT 7, g int GENERATED ALWAYS AS (k * 2) STORED,
	i int GENERATED ALWAYS AS IDENTITY, d int, CHECK (k <> 666));
ALTER TABLE plain DROP COLUMN d;
CREATE TABLE dist (LIKE plain INCLUDING ALL);
CREATE TABLE other (k int PRIMARY KEY, w int);
CREATE TABLE pair (a int, b text, v int, PRIMARY KEY (a, b));
CREATE TABLE pair_dist (LIKE pair INCLUDING ALL);
SELECT shoal.create_distributed_table('dist', 'k', shard_count => 6), shoal.create_distributed_table('other', 'k', colocate_with => 'dist'),
	shoal.create_distributed_table('pair_dist', 'a,b', shard_count => 5);
INSERT INTO other SELECT i, i + 5000 FROM generate_series(1, 40, 2) i;

INSERT INTO plain (k, v) SELECT i, 'v' || i FROM generate_series(1, 40) i;
INSERT INTO dist (k, v, i) OVERRIDING SYSTEM VALUE SELECT k, v, i FROM plain;
INSERT INTO pair SELECT i % 5, 'b' || i, i FROM generate_series(1, 30) i;
INSERT INTO pair_dist TABLE pair;

-- on both, with the table's name put in
CREATE TABLE statements (n serial, statement text);
INSERT INTO statements (statement) VALUES
	('UPDATE @ SET k = k + 100 WHERE k <= 5'),
	('UPDATE @ SET k = 1000, v = v || ''x'' WHERE k = 6 RETURNING *'),
	('UPDATE @ SET k = -k RETURNING k, v, n, g, i'),
	('UPDATE @ SET k = -k, n = n + k WHERE k < -20'),
	('UPDATE @ SET k = 31 WHERE k = 31 RETURNING v'),
	('UPDATE @ SET k = 32 WHERE k = 0'),
	('UPDATE @ SET k = @.k + 2000 FROM other WHERE other.k = @.k AND other.w > 5030'),
	('UPDATE @ SET k = other.w FROM other WHERE other.k = @.k RETURNING @.k, @.v'),
	('WITH x AS (SELECT 3 AS by) UPDATE @ SET k = @.k * by FROM x WHERE @.k > 1000'),
	('UPDATE @ SET k = k + 300 WHERE v IN (SELECT ''v'' || x FROM generate_series(1, 12) x)'),
	('UPDATE @ AS a SET k = length(a.v) * 100000 + a.k WHERE a.v LIKE ''v1%'' RETURNING a.v, a.k + 1, a.*'),
	('UPDATE @ SET (k, v) = (k + 10000, ''both'') WHERE k = 32'),
	('UPDATE @ SET (k, v) = ROW (DEFAULT, DEFAULT) WHERE k = 33');
SELECT n, statement, CASE WHEN p = d THEN left(p, 60) ELSE 'DIFFERENT: ' || p || ' / ' || d END AS result
FROM (SELECT *, public.run(replace(statement, '@', 'plain')) AS p, public.run(replace(statement, '@', 'dist')) AS d FROM statements ORDER BY n) x ORDER BY n;
-- errors, without a change
UPDATE dist SET k = 777;
UPDATE dist SET k = -20 WHERE k = 34;
UPDATE dist SET k = NULL WHERE k = 34;
UPDATE dist SET k = 666 WHERE k = 34;
SELECT * FROM plain EXCEPT ALL SELECT * FROM dist;
SELECT count(*), count(DISTINCT k) FROM dist;
-- each row is where its key says
SELECT count(*) FROM dist d WHERE EXISTS (SELECT FROM dist e WHERE e.k = d.k AND e.v = d.v);

UPDATE pair SET a = a + 1, b = b || 'x' WHERE v % 2 = 0;
UPDATE pair_dist SET a = a + 1, b = b || 'x' WHERE v % 2 = 0;
UPDATE pair SET b = 'one' WHERE a = 1 AND b = 'b1';
UPDATE pair_dist SET b = 'one' WHERE a = 1 AND b = 'b1' RETURNING *;
SELECT * FROM pair EXCEPT ALL SELECT * FROM pair_dist;
SELECT count(*) FROM pair_dist;

-- prepared, in transactions, with savepoints
PREPARE move (int, int) AS UPDATE dist SET k = $2 WHERE k = $1 RETURNING k, v;
EXECUTE move(34, 90034);
EXECUTE move(90034, 34);
BEGIN;
EXECUTE move(34, 90034);
SAVEPOINT s;
UPDATE dist SET k = k + 1000000;
SELECT count(*) FROM dist WHERE k > 500000;
ROLLBACK TO s;
SELECT count(*) FROM dist WHERE k > 500000;
COMMIT;
SELECT k, v FROM dist WHERE k IN (34, 90034);
EXPLAIN (COSTS OFF, VERBOSE OFF) EXECUTE move(90034, 34);

-- a foreign key holds
CREATE TABLE child (k int, x int);
SELECT shoal.create_distributed_table('child', 'k', colocate_with => 'dist');
INSERT INTO child VALUES (90034, 1);
ALTER TABLE child ADD CONSTRAINT child_k_fkey FOREIGN KEY (k) REFERENCES dist;
UPDATE child SET k = -20 WHERE k = 90034 RETURNING *;
UPDATE child SET k = 123456;

-- rows that refer to it are gone; refused
UPDATE dist SET k = 1 WHERE k = 34;
DROP TABLE child;
CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER quiet BEFORE UPDATE ON dist FOR EACH ROW EXECUTE FUNCTION quiet();
UPDATE dist SET k = 1 WHERE k = 34;
DROP TRIGGER quiet ON dist;
UPDATE dist SET k = other.w FROM other WHERE other.k = dist.k RETURNING other.w;
UPDATE dist SET k = (SELECT max(k) + 1 FROM other) WHERE k = 34;

-- rights
CREATE ROLE moving_user LOGIN;
GRANT USAGE ON SCHEMA moving TO moving_user;
GRANT SELECT ON dist TO moving_user;
SET ROLE moving_user;
UPDATE dist SET k = 1 WHERE k = 90034;
RESET ROLE;
GRANT UPDATE ON dist TO moving_user;
SET ROLE moving_user;
UPDATE dist SET k = 1 WHERE k = 90034;
RESET ROLE;
GRANT INSERT, DELETE ON dist TO moving_user;
SET ROLE moving_user;
UPDATE dist SET k = 1 WHERE k = 90034;
RESET ROLE;
DROP SCHEMA moving CASCADE;
DROP ROLE moving_user;
