-- Tables with replicas: DDL.  After replicas.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET search_path = repl, public;

-- in one transaction with writes
SELECT public.make('dd (k int PRIMARY KEY, v text, n int, gone int)', 'k');
SELECT public.make('dd2 (k int PRIMARY KEY, v text)', 'k');
BEGIN;
INSERT INTO dd SELECT i, 'v' || i, i FROM generate_series(1, 40) i;
ALTER TABLE dd ADD COLUMN c text DEFAULT 'const';
UPDATE dd SET c = 'u' WHERE k < 5;
ALTER TABLE dd DROP COLUMN gone;
INSERT INTO dd VALUES (41, 'v', 1, 'c');
ALTER TABLE dd ALTER COLUMN n TYPE text USING 'n' || n;
UPDATE dd SET n = n || 'x' WHERE k % 2 = 0;
CREATE INDEX ON dd (v);
ALTER TABLE dd RENAME COLUMN v TO vv;
UPDATE dd SET vv = vv || '.' WHERE k % 3 = 0;
ALTER TABLE dd RENAME TO dd_renamed;
DELETE FROM dd_renamed WHERE k = 10;
CREATE SCHEMA repl2;
ALTER TABLE dd_renamed SET SCHEMA repl2;
DELETE FROM repl2.dd_renamed WHERE k = 11;
INSERT INTO repl2.dd_renamed VALUES (100, 'x', 'y', 'z');
ALTER TABLE repl2.dd_renamed SET SCHEMA repl;
ALTER TABLE dd_renamed RENAME TO dd;
INSERT INTO dd2 SELECT i, 'x' FROM generate_series(1, 200) i;
ALTER TABLE dd ADD FOREIGN KEY (k) REFERENCES dd2 ON DELETE CASCADE;
DELETE FROM dd2 WHERE k BETWEEN 20 AND 30;
SELECT count(*), count(*) FILTER (WHERE c = 'const'), string_agg(n, ' ' ORDER BY k) FROM dd;
SAVEPOINT a;
ALTER TABLE dd ADD COLUMN lost int DEFAULT 3;
UPDATE dd SET lost = 4, vv = 'lost';
ROLLBACK TO a;
UPDATE dd SET vv = 'kept' WHERE k = 1;
COMMIT;
SELECT * FROM shoal.verify_table('dd');
SELECT * FROM shoal.verify_table('dd2');
ALTER TABLE dd ADD COLUMN r float8 DEFAULT random();
ALTER TABLE dd ADD COLUMN w timestamptz DEFAULT now();
CREATE DOMAIN public.drandom AS float8 DEFAULT random();
ALTER TABLE dd ADD COLUMN r2 public.drandom;
DROP DOMAIN public.drandom;
ALTER TABLE dd ALTER COLUMN vv TYPE text USING vv || random();
ALTER TABLE dd ALTER COLUMN vv TYPE text USING vv || now();
ALTER TABLE dd ADD COLUMN d date DEFAULT '2024-01-01';
ALTER TABLE dd ALTER COLUMN d TYPE timestamptz;
ALTER TABLE dd ALTER COLUMN d TYPE timestamptz USING d + interval '1 day';
ALTER TABLE dd ALTER COLUMN d TYPE text USING to_char(d, 'YYYY');
SELECT * FROM shoal.verify_table('dd');
ALTER TABLE dd DISABLE TRIGGER ALL;
INSERT INTO dd (k) VALUES (150); UPDATE dd SET vv = 'a' WHERE k = 150;
ALTER TABLE dd ENABLE TRIGGER ALL;
SELECT public.make('s1 (k int PRIMARY KEY, v text)', NULL);
ALTER TABLE s1 DISABLE TRIGGER ALL;
SELECT result FROM shoal.run_on_nodes($$SELECT string_agg(left(tgname, 14) || tgenabled::text, ' ') FROM pg_trigger WHERE tgrelid = 'repl.s1'::regclass$$);
INSERT INTO s1 VALUES (1, 'a');
ALTER TABLE s1 ENABLE TRIGGER ALL;
SELECT result FROM shoal.run_on_nodes($$SELECT string_agg(left(tgname, 14) || tgenabled::text, ' ') FROM pg_trigger WHERE tgrelid = 'repl.s1'::regclass$$);
SELECT * FROM shoal.verify_table('s1');
SELECT * FROM shoal.verify_table('dd');
-- the triggers that serve replicas can't be got at
CREATE TABLE m (k int PRIMARY KEY, v text);
SELECT shoal.create_distributed_table('m', 'k', 'none', 3, replicas => 2);
INSERT INTO m SELECT i, 'v' FROM generate_series(1, 60) i;
SELECT tgname FROM pg_trigger WHERE tgrelid = 's1'::regclass \gset
\set VERBOSITY sqlstate
ALTER TABLE s1 DISABLE TRIGGER :"tgname";
ALTER TABLE s1 ENABLE REPLICA TRIGGER :"tgname";
ALTER TRIGGER :"tgname" ON s1 RENAME TO other;
DROP TRIGGER :"tgname" ON s1;
\set VERBOSITY default
SET session_replication_role = replica;
UPDATE m SET v = v || '!';
INSERT INTO m VALUES (101, 'r'), (102, 'r');
DELETE FROM m WHERE k > 100;
RESET session_replication_role;
SELECT * FROM shoal.verify_table('m');
-- nor can a replica be written
SELECT format('shoal_%s_%s.m', group_id, shard) AS replica FROM shoal.shards
	WHERE table_name = 'm'::regclass AND role = 'replica' AND node_id = 1 ORDER BY 1 LIMIT 1 \gset
SELECT format('shoal_%s_%s.m', group_id, shard) AS primary FROM shoal.shards
	WHERE table_name = 'm'::regclass AND role = 'primary' AND node_id = 1 ORDER BY 1 LIMIT 1 \gset
SELECT count(*) > 0 FROM :replica;
\set VERBOSITY sqlstate
UPDATE :replica SET v = 'direct';
DELETE FROM :replica;
WITH gone AS (DELETE FROM :replica RETURNING *) INSERT INTO :replica SELECT * FROM gone;
TRUNCATE :replica;
ALTER TABLE :replica DISABLE TRIGGER ALL;
ALTER TABLE :replica ADD COLUMN z int;
DROP TABLE :replica;
\set VERBOSITY default
UPDATE :primary SET v = 'direct';
DELETE FROM :primary WHERE k % 2 = 0;
SELECT * FROM shoal.verify_table('m');
SELECT v, count(*) > 0 FROM m GROUP BY v ORDER BY v;
-- a table with rows and triggers
CREATE TABLE old (k int, v text, x int, w timestamptz DEFAULT now());
ALTER TABLE old DROP COLUMN x;
INSERT INTO old SELECT i % 20, 'v' || i FROM generate_series(1, 2000) i;
CREATE FUNCTION public.change_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := NEW.v || random(); RETURN NEW; END';
CREATE TRIGGER r BEFORE INSERT OR UPDATE ON old FOR EACH ROW EXECUTE FUNCTION public.change_row();
SELECT shoal.create_distributed_table('old', 'k', replicas => 1);
SELECT count(*) FROM old;
SELECT * FROM shoal.verify_table('old');
DELETE FROM old WHERE k = 3;
UPDATE old SET v = 'x' WHERE k = 4;
SELECT * FROM shoal.verify_table('old');
SELECT shoal.undistribute_table('old');
SELECT count(*) FROM old;
SELECT count(*) FROM shoal.shards WHERE table_name::text LIKE '%old';
SELECT shoal.create_distributed_table('old', NULL, replicas => 2);
SELECT count(*) FROM shoal.shards WHERE table_name::text LIKE '%old';
SELECT * FROM shoal.verify_table('old');
DROP TABLE old;
-- partitioned by range first
CREATE TABLE rp (k int, day date, v text, PRIMARY KEY (k, day)) PARTITION BY RANGE (day);
CREATE TABLE rp1 PARTITION OF rp FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
SELECT shoal.create_distributed_table('rp', 'k', replicas => 1);
CREATE TABLE rp2 PARTITION OF rp FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
INSERT INTO rp SELECT i, '2024-01-01'::date + i % 50, 'v' || i FROM generate_series(1, 200) i;
COPY rp FROM stdin;
1001	2024-01-05	c
1002	2024-02-05	c
1003	2024-02-05	c
\.
UPDATE rp SET v = v || '.' WHERE k % 3 = 0;
UPDATE rp SET day = day + 20 WHERE day < '2024-01-20';
UPDATE rp SET day = '2024-01-02' WHERE k = 7;
DELETE FROM rp WHERE day > '2024-02-10';
SELECT * FROM shoal.verify_table('rp');
ALTER TABLE rp DETACH PARTITION rp1;
UPDATE rp1 SET v = 'detached';
SELECT * FROM shoal.verify_table('rp');
SELECT * FROM shoal.verify_table('rp1');
ALTER TABLE rp ATTACH PARTITION rp1 FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
INSERT INTO rp VALUES (5000, '2024-01-03', 'x');
SELECT * FROM shoal.verify_table('rp');
TRUNCATE rp1;
SELECT * FROM shoal.verify_table('rp');
DROP TABLE rp;
DROP TABLE m, dd, twin.dd, dd2, twin.dd2, s1, twin.s1;
DROP SCHEMA repl2;
DROP FUNCTION public.change_row;

-- sequences that are used where they were made or altered, not by the node that gives their values
\c shoal_n2
\set SHOW_CONTEXT never
SET search_path = repl, public;
SET client_min_messages = warning;
BEGIN;
CREATE TABLE sq (k int, v serial, w int GENERATED ALWAYS AS IDENTITY);
INSERT INTO sq VALUES (1), (2);
SELECT setval('sq_v_seq', 50);
SELECT shoal.create_distributed_table('sq', 'k', shard_count => 2, replicas => 1);
INSERT INTO sq VALUES (3);
ALTER TABLE sq ADD COLUMN x bigserial;
SELECT count(DISTINCT x) FROM sq;
COMMIT;
INSERT INTO sq VALUES (4);
BEGIN;
ALTER SEQUENCE sq_v_seq RESTART 10;
INSERT INTO sq VALUES (5);
SAVEPOINT a;
TRUNCATE sq RESTART IDENTITY;
INSERT INTO sq VALUES (6);
SELECT k, v, w FROM sq;
ROLLBACK TO a;
INSERT INTO sq VALUES (7);
COMMIT;
INSERT INTO sq VALUES (8);
SELECT k, v, w FROM sq ORDER BY k;
-- no other node would give any of them again
SELECT every(result::bigint >= 12) FROM shoal.run_on_nodes('SELECT last_value FROM repl.sq_v_seq');
DROP TABLE sq;
\c shoal_n1
