-- TABLESAMPLE of a number of rows
CREATE SCHEMA sample_rows;
SET search_path = sample_rows, public;
SET client_min_messages = warning;
CREATE EXTENSION tsm_system_rows SCHEMA sample_rows;
RESET client_min_messages;
CREATE TABLE d (dropped int, a int, b text);
ALTER TABLE d DROP COLUMN dropped;
SELECT shoal.create_distributed_table('d', 'a');
INSERT INTO d SELECT i, 'b' || i FROM generate_series(1, 200) i;
CREATE TABLE one (a int);
SELECT shoal.create_distributed_table('one', 'a', shard_count => 1);
INSERT INTO one SELECT generate_series(1, 50);
SELECT n, (SELECT count(*) FROM one TABLESAMPLE system_rows(7)),
	(SELECT count(DISTINCT a) FROM d TABLESAMPLE system_rows(0)), (SELECT count(DISTINCT a) FROM d TABLESAMPLE system_rows(1)),
	(SELECT count(DISTINCT a) FROM d TABLESAMPLE system_rows(20) WHERE b = 'b' || a),
	(SELECT count(DISTINCT a) FROM d TABLESAMPLE system_rows(1000)) FROM generate_series(1, 2) n;
-- all shards get a chance
SELECT count(DISTINCT a) > 60 AS spread FROM (SELECT a FROM generate_series(1, 100) n, LATERAL (SELECT a, n FROM d TABLESAMPLE system_rows(1)) s
	UNION ALL SELECT a FROM d TABLESAMPLE system_rows(100)) x;
PREPARE p(int) AS SELECT count(*), count(s), max(s.b) = max('b' || a) FROM d s TABLESAMPLE system_rows($1) JOIN d USING (a, b);
EXECUTE p(12);
EXECUTE p(13);
CREATE VIEW v AS SELECT * FROM d TABLESAMPLE system_rows(11);
SELECT count(*) FROM v;
SELECT count(*) FROM (SELECT * FROM d TABLESAMPLE system_rows(5) LIMIT 30) s;
WITH s AS (SELECT * FROM d TABLESAMPLE system_rows(9)) SELECT count(*) FROM s JOIN d USING (a) WHERE d.b = s.b;
BEGIN;
CREATE TABLE taken AS SELECT * FROM d TABLESAMPLE system_rows(8);
SELECT count(*) FROM taken;
INSERT INTO d SELECT -a, b FROM d TABLESAMPLE system_rows(6);
DELETE FROM d WHERE a IN (SELECT s.a FROM d s TABLESAMPLE system_rows(15));
SELECT count(*) FROM d;
ROLLBACK;
\set VERBOSITY terse
SELECT * FROM d TABLESAMPLE system_rows(-1);
\set VERBOSITY default
SELECT tableoid FROM d TABLESAMPLE system_rows(3);
SELECT * FROM d TABLESAMPLE system_rows(3) FOR UPDATE;
SELECT * FROM (VALUES (1), (2)) v(n), LATERAL (SELECT count(*) FROM d TABLESAMPLE system_rows(n)) s;
-- with rights and policies of its own
CREATE ROLE sample_rows_user;
GRANT USAGE ON SCHEMA sample_rows TO sample_rows_user;
GRANT SELECT (a) ON d TO sample_rows_user;
ALTER TABLE d ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON d USING (a <= 4);
SET ROLE sample_rows_user;
SELECT count(a), max(a) FROM d TABLESAMPLE system_rows(1000);
SELECT count(b) FROM d TABLESAMPLE system_rows(1000);
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA sample_rows CASCADE;
DROP ROLE sample_rows_user;
