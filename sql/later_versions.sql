--
-- What only later versions than the first supported one have.
--
\set SHOW_CONTEXT never
SELECT current_setting('server_version_num')::int >= 180000 AS has_18 \gset
\if :has_18
\else
\quit
\endif
CREATE SCHEMA later_versions;
SET search_path = later_versions;

-- generated columns that are not stored
CREATE TABLE d (k int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2), t text);
CREATE TABLE twin (LIKE d INCLUDING ALL);
CREATE TABLE r (k int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL);
INSERT INTO d (k, a, t) SELECT i, i % 5, 't' || i FROM generate_series(1, 50) i;
SELECT shoal.create_distributed_table('d', 'k', shard_count => 6);
SELECT shoal.create_reference_table('r');
INSERT INTO d (k, a, t) SELECT i, i % 5, 't' || i FROM generate_series(51, 99) i;
INSERT INTO d (k, a, t) VALUES (100, 0, 't100') RETURNING *;
COPY d (k, a) FROM STDIN;
101	1
102	2
\.
COPY d FROM STDIN;
103	3	t103
\.
COPY r FROM STDIN;
1	3
2	4
\.
INSERT INTO twin (k, a, t) SELECT k, a, t FROM d;
(TABLE d EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE d);
SELECT b, count(*) FROM d GROUP BY b ORDER BY b;
SELECT k FROM d WHERE b = 6 AND k < 20 ORDER BY k;
SELECT d.k, d.b, r.b FROM d LEFT JOIN r USING (k) WHERE d.k < 4 ORDER BY k;
UPDATE d SET a = a + 1 WHERE b = 6;
UPDATE twin SET a = a + 1 WHERE b = 6;
DELETE FROM d WHERE k = 7 AND b = 4;
DELETE FROM twin WHERE k = 7 AND b = 4;
ALTER TABLE d ADD COLUMN c int GENERATED ALWAYS AS (a + k) VIRTUAL;
ALTER TABLE twin ADD COLUMN c int GENERATED ALWAYS AS (a + k) VIRTUAL;
ALTER TABLE d ALTER b SET EXPRESSION AS (a * 3);
ALTER TABLE twin ALTER b SET EXPRESSION AS (a * 3);
(TABLE d EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE d);
CREATE TABLE by_generated (k int, kk int GENERATED ALWAYS AS (k + 1));
SELECT shoal.create_distributed_table('by_generated', 'kk');

-- a query with a scope sees just its shards, whatever core makes of it
SET shoal.enable_local = off;
SELECT count(*), count(DISTINCT k), sum(b) = (SELECT sum(b) FROM twin) AS same FROM d;
RESET shoal.enable_local;

-- what rows were
UPDATE d SET a = 50 WHERE k = 3 RETURNING old.a, new.a, old.b, new.b;
WITH u AS (UPDATE d SET a = 7 WHERE k = 3 RETURNING old.a AS o, new.a AS n) SELECT * FROM u;
INSERT INTO d (k, a) VALUES (3, 1) ON CONFLICT (k) DO UPDATE SET a = 99 RETURNING old.a, new.a;
INSERT INTO d (k, a) VALUES (200, 1) RETURNING old.a, new.a;
DELETE FROM d WHERE k = 200 RETURNING old.a, new.a;

-- groups
SELECT a + 1 AS x, count(*) FROM twin GROUP BY a + 1 HAVING a + 1 > 4 ORDER BY a + 1;
SELECT a % 2 AS x, b % 2 AS y, count(*), grouping(a % 2, b % 2) FROM d WHERE a < 5
GROUP BY ROLLUP (a % 2, b % 2) ORDER BY 1, 2;
SELECT a + 1 AS x, (SELECT max(r.a) FROM r WHERE r.a = d.a + 1) AS y FROM d WHERE a < 5 GROUP BY a + 1, a ORDER BY 1;

-- constraints
ALTER TABLE d ADD CONSTRAINT soft CHECK (a < 0) NOT ENFORCED;
ALTER TABLE d ADD CONSTRAINT named NOT NULL t NOT VALID;
INSERT INTO d (k, a) VALUES (300, 1);
UPDATE d SET t = 'x' WHERE t IS NULL;
ALTER TABLE d VALIDATE CONSTRAINT named;
SELECT result, count(*) FROM shoal.run_on_nodes($$SELECT string_agg(conname || convalidated || conenforced, ' ' ORDER BY conname)
FROM pg_constraint WHERE conrelid = 'later_versions.d'::regclass AND contype IN ('c', 'n')$$) GROUP BY result;

SELECT shoal.undistribute_table('d');
SELECT count(*), sum(b) FROM d;
SET client_min_messages = warning;
DROP SCHEMA later_versions CASCADE;
