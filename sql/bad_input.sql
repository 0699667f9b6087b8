--
-- Keys of all kinds, odd names and shapes, and things that must not be done:
-- each works or is refused, and nothing is lost.
--
SET client_min_messages=warning;
SET shoal.shard_count = 4;
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE SCHEMA bi; SET search_path=bi;
\echo keys
CREATE COLLATION bi.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN bi.posint AS int CHECK (VALUE > 0);
CREATE DOMAIN bi.txt AS text;
CREATE TYPE bi.comp AS (a int, b text);
CREATE TABLE k_uuid (k uuid PRIMARY KEY, v int);
CREATE TABLE k_nocase (k text COLLATE bi.nocase PRIMARY KEY, v int);
CREATE TABLE k_numeric (k numeric PRIMARY KEY, v int);
CREATE TABLE k_tstz (k timestamptz PRIMARY KEY, v int);
CREATE TABLE k_bytea (k bytea PRIMARY KEY, v int);
CREATE TABLE k_dom (k bi.posint PRIMARY KEY, v int);
CREATE TABLE k_domt (k bi.txt PRIMARY KEY, v int);
CREATE TABLE k_bool (k bool PRIMARY KEY, v int);
CREATE TABLE k_comp (k bi.comp PRIMARY KEY, v int);
CREATE TABLE k_arr (k int[] PRIMARY KEY, v int);
CREATE TABLE k_range (k int4range PRIMARY KEY, v int);
CREATE TABLE k_jsonb (k jsonb PRIMARY KEY, v int);
CREATE TABLE k_inet (k inet PRIMARY KEY, v int);
CREATE TABLE k_char (k char(5) PRIMARY KEY, v int);
CREATE TABLE k_name (k name PRIMARY KEY, v int);
CREATE TABLE k_int2 (k int2 PRIMARY KEY, v int);
CREATE TABLE k_date (k date PRIMARY KEY, v int);
CREATE TABLE k_float (k float8 PRIMARY KEY, v int);
CREATE TABLE k_interval (k interval PRIMARY KEY, v int);
INSERT INTO k_uuid SELECT md5(i::text)::uuid, i FROM generate_series(1,20) i;
INSERT INTO k_nocase SELECT 'Key'||i, i FROM generate_series(1,20) i;
INSERT INTO k_numeric SELECT i*1.50, i FROM generate_series(1,20) i;
INSERT INTO k_tstz SELECT '2024-01-01 00:00+00'::timestamptz + i * interval '1 day', i FROM generate_series(1,20) i;
INSERT INTO k_bytea SELECT decode(md5(i::text),'hex'), i FROM generate_series(1,20) i;
INSERT INTO k_dom SELECT i, i FROM generate_series(1,20) i;
INSERT INTO k_domt SELECT i, i FROM generate_series(1,20) i;
INSERT INTO k_bool VALUES (true,1),(false,2);
INSERT INTO k_comp SELECT ROW(i,'x')::bi.comp, i FROM generate_series(1,20) i;
INSERT INTO k_arr SELECT ARRAY[i,i+1], i FROM generate_series(1,20) i;
INSERT INTO k_range SELECT int4range(i,i+5), i FROM generate_series(1,20) i;
INSERT INTO k_jsonb SELECT jsonb_build_object('a',i), i FROM generate_series(1,20) i;
INSERT INTO k_inet SELECT '10.0.0.0'::inet+i, i FROM generate_series(1,20) i;
INSERT INTO k_char SELECT i, i FROM generate_series(1,20) i;
INSERT INTO k_name SELECT 'n'||i, i FROM generate_series(1,20) i;
INSERT INTO k_int2 SELECT i, i FROM generate_series(1,20) i;
INSERT INTO k_date SELECT '2024-01-01'::date+i, i FROM generate_series(1,20) i;
INSERT INTO k_float SELECT i/3.0, i FROM generate_series(1,20) i;
INSERT INTO k_float VALUES ('NaN', 21), ('-0', 22);
INSERT INTO k_interval SELECT i * interval '1 hour', i FROM generate_series(1,20) i;
DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relnamespace='bi'::regnamespace AND relkind='r' ORDER BY 1 LOOP
BEGIN PERFORM shoal.create_distributed_table('bi.'||t, 'k'); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% % %', t, SQLSTATE, SQLERRM; END; END LOOP; END $$;
SELECT count(*) FROM k_uuid; SELECT v FROM k_uuid WHERE k = md5('7')::uuid;
SELECT v FROM k_nocase WHERE k='KEY7'; INSERT INTO k_nocase VALUES ('kEY7', 1); UPDATE k_nocase SET v=70 WHERE k='keY7' RETURNING k;
SELECT v FROM k_numeric WHERE k=10.5; SELECT v FROM k_numeric WHERE k=10.5000; SELECT v FROM k_numeric WHERE k=3;
SELECT v FROM k_tstz WHERE k='2024-01-08 02:00+02'; SELECT v FROM k_tstz WHERE k=timestamp '2024-01-08 00:00';
SELECT v FROM k_tstz WHERE k=date '2024-01-08';
SELECT v FROM k_bytea WHERE k=decode(md5('7'),'hex');
SELECT v FROM k_dom WHERE k=7; INSERT INTO k_dom VALUES (-1, 1); INSERT INTO k_dom VALUES (NULL,1);
SELECT v FROM k_domt WHERE k='7';
SELECT v FROM k_bool WHERE k; SELECT v FROM k_bool WHERE NOT k; SELECT v FROM k_bool WHERE k = true; SELECT v FROM k_bool WHERE k IS TRUE;
SELECT v FROM k_comp WHERE k=ROW(7,'x')::bi.comp;
SELECT v FROM k_arr WHERE k=ARRAY[7,8];
SELECT v FROM k_range WHERE k=int4range(7,12); SELECT v FROM k_range WHERE k='[7,11]';
SELECT v FROM k_jsonb WHERE k='{"a":7}';
SELECT v FROM k_inet WHERE k='10.0.0.7';
SELECT v FROM k_char WHERE k='7'; SELECT v FROM k_char WHERE k='7  '; SELECT v FROM k_char WHERE k='7'::text;
SELECT v FROM k_name WHERE k='n7'; SELECT v FROM k_name WHERE k='n7'::text;
SELECT v FROM k_int2 WHERE k=7; SELECT v FROM k_int2 WHERE k=7::bigint; SELECT v FROM k_int2 WHERE k=7.0;
SELECT v FROM k_int2 WHERE k=70000;
SELECT v FROM k_date WHERE k='2024-01-08'; SELECT v FROM k_date WHERE k=timestamp '2024-01-08 00:00';
SELECT v FROM k_float WHERE k='NaN'; SELECT v FROM k_float WHERE k=0; SELECT v FROM k_float WHERE k=2; SELECT v FROM k_float WHERE k=2::int;
SELECT v FROM k_interval WHERE k='420 minutes'; SELECT v FROM k_interval WHERE k='7 hours';
\echo null keys
CREATE TABLE nk (k int, v int);
SELECT shoal.create_distributed_table('nk','k');
INSERT INTO nk VALUES (NULL,1),(NULL,2),(1,3);
INSERT INTO nk VALUES (NULL,9);
INSERT INTO nk(v) VALUES (10);
SELECT * FROM nk ORDER BY 1,2; SELECT * FROM nk WHERE k IS NULL ORDER BY 2; SELECT count(*) FROM nk WHERE k = NULL;
UPDATE nk SET v=v+1 WHERE k IS NULL; SELECT sum(v) FROM nk; DELETE FROM nk WHERE k IS NULL; SELECT count(*) FROM nk;
PREPARE n(int) AS SELECT count(*) FROM nk WHERE k=$1; EXECUTE n(NULL); EXECUTE n(1);
\echo names
CREATE SCHEMA "Sch ema.""x";
CREATE ROLE "Ro le""";
CREATE TABLE "Sch ema.""x"."select" ("Ke y""" int PRIMARY KEY, "order" text, "ünïcode€" int, "a.b" int);
INSERT INTO "Sch ema.""x"."select" SELECT i, 'x', i, i FROM generate_series(1,10) i;
SELECT shoal.create_distributed_table('"Sch ema.""x"."select"', '"Ke y"""');
SELECT count(*), sum("ünïcode€"), max("a.b") FROM "Sch ema.""x"."select"; SELECT "order" FROM "Sch ema.""x"."select" WHERE "Ke y"""=3;
INSERT INTO "Sch ema.""x"."select" VALUES (11,'y',1,1), (12,'y',2,2); UPDATE "Sch ema.""x"."select" SET "a.b"=0 WHERE "Ke y"""=3;
CREATE INDEX "in dex""" ON "Sch ema.""x"."select" ("order"); ALTER TABLE "Sch ema.""x"."select" OWNER TO "Ro le""";
ALTER TABLE "Sch ema.""x"."select" RENAME COLUMN "Ke y""" TO "group"; ALTER TABLE "Sch ema.""x"."select" RENAME TO "From";
SELECT count(*) FROM "Sch ema.""x"."From" WHERE "group"=4; ALTER SCHEMA "Sch ema.""x" RENAME TO "'";
SELECT count(*) FROM "'"."From" WHERE "group"=4; SELECT count(*) FROM "'"."From"; INSERT INTO "'"."From" SELECT i FROM generate_series(20,25) i;
ALTER ROLE "Ro le""" RENAME TO "r'"; SET ROLE "r'"; RESET ROLE; GRANT ALL ON SCHEMA "'" TO "r'"; SET ROLE "r'"; SELECT count(*) FROM "'"."From"; RESET ROLE;
\copy "'"."From" FROM PROGRAM 'printf "100\tx\t1\t1\n101\ty\t2\t2\n"'
SELECT count(*) FROM "'"."From"; DROP SCHEMA "'" CASCADE; DROP ROLE "r'";
CREATE TABLE a23456789012345678901234567890123456789012345678901234567890123 (k int PRIMARY KEY, b23456789012345678901234567890123456789012345678901234567890123 int);
CREATE SCHEMA bi2;
CREATE TABLE bi2.a23456789012345678901234567890123456789012345678901234567890123 (k int PRIMARY KEY, b23456789012345678901234567890123456789012345678901234567890123 int);
CREATE TABLE a2345678901234567890123456789012345678901234567890123456789012x (k int PRIMARY KEY, v int UNIQUE);
SELECT shoal.create_distributed_table('bi.a23456789012345678901234567890123456789012345678901234567890123','k');
SELECT shoal.create_distributed_table('bi2.a23456789012345678901234567890123456789012345678901234567890123','k');
ALTER TABLE a2345678901234567890123456789012345678901234567890123456789012x DROP CONSTRAINT a2345678901234567890123456789012345678901234567890123456_v_key;
SELECT shoal.create_distributed_table('a2345678901234567890123456789012345678901234567890123456789012x','k');
CREATE INDEX ON a23456789012345678901234567890123456789012345678901234567890123(b23456789012345678901234567890123456789012345678901234567890123);
CREATE INDEX ON a23456789012345678901234567890123456789012345678901234567890123(b23456789012345678901234567890123456789012345678901234567890123);
CREATE INDEX ON bi2.a23456789012345678901234567890123456789012345678901234567890123(b23456789012345678901234567890123456789012345678901234567890123);
CREATE INDEX i23456789012345678901234567890123456789012345678901234567890123 ON bi2.a23456789012345678901234567890123456789012345678901234567890123(k, b23456789012345678901234567890123456789012345678901234567890123);
INSERT INTO a23456789012345678901234567890123456789012345678901234567890123 SELECT i,i FROM generate_series(1,20) i; INSERT INTO bi2.a23456789012345678901234567890123456789012345678901234567890123 SELECT i,i FROM generate_series(1,30) i;
SELECT count(*) FROM a23456789012345678901234567890123456789012345678901234567890123; SELECT count(*) FROM bi2.a23456789012345678901234567890123456789012345678901234567890123;
DROP TABLE a23456789012345678901234567890123456789012345678901234567890123; SELECT count(*) FROM bi2.a23456789012345678901234567890123456789012345678901234567890123; DROP SCHEMA bi2 CASCADE;
\echo shapes
CREATE TABLE zero ();
SELECT shoal.create_distributed_table('zero', 'k');
SELECT shoal.create_reference_table('zero');
DO $$ BEGIN EXECUTE 'CREATE TABLE bi.wide (k int PRIMARY KEY, '||(SELECT string_agg('c'||i||' int',',') FROM generate_series(1,1599) i)||')'; END $$;
SELECT shoal.create_distributed_table('wide','k'); INSERT INTO wide (k,c1,c1599) VALUES (1,2,3),(2,3,4); INSERT INTO wide (k,c1,c1599) VALUES (3,4,5); SELECT count(*), sum(c1599) FROM wide; SELECT c1, c1599 FROM wide WHERE k=2;
SELECT count(w) FROM wide w; UPDATE wide SET c7=k; SELECT sum(c7) FROM wide;
CREATE TABLE s1 (k int PRIMARY KEY, v int); SELECT shoal.create_distributed_table('s1','k', shard_count=>1); INSERT INTO s1 SELECT i,i FROM generate_series(1,10) i; SELECT count(*) FROM s1; SELECT v FROM s1 WHERE k=4;
CREATE TABLE s1000 (k int PRIMARY KEY, v int); SELECT shoal.create_distributed_table('s1000','k', shard_count=>1000);
INSERT INTO s1000 SELECT i,i FROM generate_series(1,3000) i; SELECT count(*) FROM s1000; SELECT v FROM s1000 WHERE k=4; ALTER TABLE s1000 ADD c int; DROP TABLE s1000;

\echo transactions, servers, placements, the extension
CREATE TABLE t (k int PRIMARY KEY, v text);
BEGIN;
INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 50) i;
SAVEPOINT a;
SELECT shoal.create_distributed_table('t', 'k');
ROLLBACK TO a;
SELECT shoal.create_distributed_table('t', 'k');
COMMIT;
SELECT count(*) FROM t;
ALTER TABLE t DROP COLUMN k;
ALTER TABLE t DROP COLUMN k CASCADE;
DROP SERVER shoal_node_1;
DROP SERVER shoal_node_2;
ALTER SERVER shoal_node_2 OPTIONS (SET port '0');
ALTER SERVER shoal_node_2 OPTIONS (ADD foo 'x');
DROP SCHEMA shoal CASCADE;
DROP EXTENSION shoal CASCADE;
SELECT count(*) FROM t;
CREATE TABLE p (k int PRIMARY KEY, v int);
SELECT shoal.create_distributed_table('p', 'k', colocate_with => 'none');
INSERT INTO p SELECT i, i FROM generate_series(1, 100) i;
SELECT group_id AS g FROM shoal.distributed_table WHERE table_name = 'p'::regclass \gset
UPDATE shoal.placement SET node_id = CASE node_id WHEN 1 THEN 2 WHEN 2 THEN 3 ELSE 1 END WHERE group_id = :g;
\set VERBOSITY sqlstate
INSERT INTO p VALUES (101, 1);
INSERT INTO p SELECT i, i FROM generate_series(200, 220) i;
UPDATE p SET v = v + 1;
DELETE FROM p WHERE k = 1;
\set VERBOSITY terse
UPDATE shoal.placement SET node_id = CASE node_id WHEN 2 THEN 1 WHEN 3 THEN 2 ELSE 3 END WHERE group_id = :g;
SELECT count(*), sum(v) FROM p;
SELECT shoal.create_distributed_table('k_int2', 'k', colocate_with => '');
SELECT shoal.create_distributed_table('k_int2', '"');
SELECT shoal.shard_of('t', 1, 2);
SELECT shoal.shard_of('t');
DROP SCHEMA bi CASCADE;
