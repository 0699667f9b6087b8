-- Tables with replicas: DDL and writes in one transaction, through several
-- coordinators, and statements that are prepared on nodes.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA sess;
SET search_path = sess, public;
CREATE TABLE t (k int PRIMARY KEY, v text, n int DEFAULT 0);
CREATE TABLE nk (k int, v text);
CREATE TABLE one (k int PRIMARY KEY, v text);
SELECT shoal.create_distributed_table('t', 'k', 'none', 6, 1);
SELECT shoal.create_distributed_table('nk', 'k', 't');
SELECT shoal.create_distributed_table('one', NULL, replicas => 1);
CREATE FUNCTION sess.wrong() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s: shard %s, key %s: %s', t, shard, key, problem)
	FROM unnest('{t,nk,one}'::regclass[]) t, shoal.verify_table(t) $$;

-- what is prepared for repeating changes is not forgotten with the rest
SELECT format('INSERT INTO t VALUES (%s, %L)', i, 'first') FROM generate_series(1, 12) i \gexec
ALTER TABLE t ALTER COLUMN v SET STATISTICS 50;
SELECT format('INSERT INTO t VALUES (%s, %L)', i, 'second') FROM generate_series(13, 24) i \gexec
SELECT format('SELECT count(*) FROM t WHERE k = %s AND v IS NULL', i) FROM generate_series(1, 2) i \gexec
SELECT format('DO $_$ BEGIN PERFORM 1 FROM t WHERE k = %s; END $_$', i) FROM generate_series(1, 24) i \gexec
SELECT format('INSERT INTO t VALUES (%s, %L)', i, 'third') FROM generate_series(25, 48) i \gexec
SELECT count(*), sess.wrong() FROM t GROUP BY 2;

-- DDL after writes, and writes after DDL
BEGIN;
INSERT INTO t SELECT i, 'a' FROM generate_series(101, 120) i;
UPDATE t SET v = 'b' WHERE k = 101;
ALTER TABLE t ADD COLUMN x int DEFAULT 5;
UPDATE t SET x = k WHERE k > 110;
DELETE FROM t WHERE k = 102;
INSERT INTO t (k, v, x) VALUES (121, 'c', 1) ON CONFLICT (k) DO UPDATE SET x = 2;
COMMIT;
SELECT count(*), sum(x) FROM t;
SELECT sess.wrong();
BEGIN;
INSERT INTO nk SELECT i, 'a' FROM generate_series(1, 20) i;
DELETE FROM nk WHERE k = 3;
ALTER TABLE nk ADD PRIMARY KEY (k);
UPDATE nk SET v = 'with a key' WHERE k < 10;
ALTER TABLE nk DROP CONSTRAINT nk_pkey;
UPDATE nk SET v = v || ', without' WHERE k < 5;
COMMIT;
SELECT v, count(*) FROM nk GROUP BY 1 ORDER BY 1;
SELECT sess.wrong();
BEGIN;
INSERT INTO one VALUES (1, 'a'), (2, 'b');
SAVEPOINT a;
ALTER TABLE one ADD COLUMN y int;
UPDATE one SET y = 1;
ROLLBACK TO a;
UPDATE one SET v = 'c' WHERE k = 1;
ALTER TABLE one RENAME v TO w;
INSERT INTO one (k, w) VALUES (3, 'd');
ALTER TABLE one RENAME w TO v;
COMMIT;
SELECT * FROM one ORDER BY k;
SELECT sess.wrong();
BEGIN;
UPDATE t SET n = 1;
TRUNCATE t;
INSERT INTO t (k) SELECT generate_series(1, 30);
ALTER TABLE t DROP COLUMN x;
UPDATE t SET n = 2 WHERE k < 4;
ROLLBACK;
SELECT count(*), sum(n) FROM t;
BEGIN;
UPDATE t SET n = 1;
TRUNCATE t;
INSERT INTO t (k) SELECT generate_series(1, 30);
ALTER TABLE t DROP COLUMN x;
UPDATE t SET n = 2 WHERE k < 4;
ALTER TABLE t ALTER COLUMN n TYPE bigint;
UPDATE t SET n = 30000000000 WHERE k = 4;
DELETE FROM t WHERE k = 5;
COMMIT;
SELECT count(*), sum(n) FROM t;
SELECT sess.wrong();
-- a type of column that is copied; a trigger; a rename
BEGIN;
UPDATE t SET v = 'e' WHERE k = 6;
ALTER TABLE t RENAME TO t2;
UPDATE t2 SET v = v || 'f' WHERE k = 6;
ALTER TABLE t2 SET SCHEMA public;
UPDATE public.t2 SET v = v || 'g' WHERE k = 6;
ALTER TABLE public.t2 SET SCHEMA sess;
ALTER TABLE t2 RENAME TO t;
UPDATE t SET v = v || 'h' WHERE k = 6;
COMMIT;
SELECT v FROM t WHERE k = 6;
SELECT sess.wrong();
-- placements that change in a transaction that writes, or not
BEGIN;
UPDATE t SET v = 'p' WHERE k < 10;
SELECT shoal.promote(group_id, shard, node_id) FROM shoal.placement p WHERE role = 'replica' AND group_id = (
	SELECT group_id FROM shoal.distributed_table WHERE table_name = 't'::regclass);
UPDATE t SET v = v || 'q' WHERE k < 10;
COMMIT;
SELECT v, count(*) FROM t WHERE k < 10 GROUP BY 1;
SELECT sess.wrong();

-- the same through another node, and both in turn
\c shoal_n2
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET search_path = sess, public;
BEGIN;
INSERT INTO t SELECT i, 'a' FROM generate_series(201, 220) i;
ALTER TABLE t ADD COLUMN z int;
UPDATE t SET z = k WHERE k > 210;
COMMIT;
\c shoal_n3
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET search_path = sess, public;
UPDATE t SET z = 0 WHERE k <= 210;
BEGIN;
DELETE FROM t WHERE k = 201;
ALTER TABLE t ADD COLUMN w text DEFAULT 'w', DROP COLUMN z;
INSERT INTO t (k, w) VALUES (301, 'x');
COMMIT;
\c shoal_n1
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET search_path = sess, public;
UPDATE t SET w = w || '!' WHERE k > 200;
SELECT w, count(*) FROM t GROUP BY 1 ORDER BY 1;
SELECT sess.wrong();
DROP SCHEMA sess CASCADE;
