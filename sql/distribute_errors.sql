--
-- What cannot be distributed is refused, with the reason and the way out, and
-- nothing is changed.
--
SET client_min_messages = warning;
SET shoal.shard_count = 4;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT count(*) AS tables FROM shoal.distributed_table \gset
SELECT count(*) AS schemas FROM pg_namespace WHERE nspname LIKE 'shoal\_%' \gset
CREATE SCHEMA bad;
SET search_path = bad, public;

-- arguments
SELECT shoal.create_distributed_table('nothing', 'k');
CREATE TABLE t (k int PRIMARY KEY, v text, "Mixed" int);
INSERT INTO t VALUES (1, 'one', 1);
SELECT shoal.create_distributed_table('t', 'no_such');
\echo :LAST_ERROR_SQLSTATE
SELECT shoal.create_distributed_table('t', 'mixed');
SELECT shoal.create_distributed_table('t', '');
SELECT shoal.create_distributed_table('t', 'k,,v');
SELECT shoal.create_distributed_table('t', 'k, k');
SELECT shoal.create_distributed_table('t', 'ctid');
SELECT shoal.create_distributed_table('t', 'k', shard_count => 0);
SELECT shoal.create_distributed_table('t', 'k', shard_count => 100000);
SELECT shoal.create_distributed_table('t', NULL, shard_count => 3);
SELECT shoal.create_distributed_table(NULL, 'k');
SELECT shoal.create_distributed_table('t', 'k', colocate_with => NULL);
SELECT shoal.create_distributed_table('t', 'k', colocate_with => 'no_such');
SELECT shoal.create_distributed_table('t', 'k', colocate_with => 'pg_class');
SELECT shoal.create_distributed_table(0::regclass, 'k');
SET shoal.replicas = 8;
SELECT shoal.create_distributed_table('t', 'k');
RESET shoal.replicas;
BEGIN READ ONLY;
SELECT shoal.create_distributed_table('t', 'k');
ROLLBACK;

-- not a table, or not an ordinary one
CREATE VIEW v AS SELECT 1 AS k;
SELECT shoal.create_distributed_table('v', 'k');
\echo :LAST_ERROR_SQLSTATE
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS k;
SELECT shoal.create_distributed_table('mv', 'k');
CREATE SEQUENCE s;
SELECT shoal.create_reference_table('s');
SELECT shoal.create_reference_table('t_pkey');
SELECT shoal.create_distributed_table('pg_class', 'oid');
SELECT shoal.create_distributed_table('shoal.node', 'node_id');
CREATE TEMP TABLE temporary (k int);
SELECT shoal.create_distributed_table('temporary', 'k');
CREATE TABLE mother (k int);
CREATE TABLE daughter () INHERITS (mother);
SELECT shoal.create_distributed_table('mother', 'k');
SELECT shoal.create_distributed_table('daughter', 'k');
CREATE TABLE ranged (k int, d int) PARTITION BY RANGE (d);
SELECT shoal.create_distributed_table('ranged', 'k');
CREATE TABLE ranged_1 PARTITION OF ranged FOR VALUES FROM (1) TO (2);
SELECT shoal.create_distributed_table('ranged_1', 'k');
SELECT shoal.create_reference_table('ranged');
CREATE TABLE hashed (k int, d int) PARTITION BY HASH (d);
SELECT shoal.create_distributed_table('hashed', 'k');
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (modulus 2, remainder 0);
SELECT shoal.create_distributed_table('hashed', 'd');

-- keys
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, b point);
CREATE TABLE keys (g int GENERATED ALWAYS AS (1) STORED, p point, m mood, a mood[], c regclass, x xml, pp point[], e pair);
SELECT shoal.create_distributed_table('keys', 'g');
SELECT shoal.create_distributed_table('keys', 'p');
SELECT shoal.create_distributed_table('keys', 'pp');
SELECT shoal.create_distributed_table('keys', 'e');
\echo :LAST_ERROR_SQLSTATE
SELECT shoal.create_distributed_table('keys', 'm');
\echo :LAST_ERROR_SQLSTATE
SELECT shoal.create_distributed_table('keys', 'a');
SELECT shoal.create_distributed_table('keys', 'c');
SELECT shoal.create_distributed_table('keys', 'x');

-- constraints
SELECT shoal.create_distributed_table('t', 'v');
\echo :LAST_ERROR_SQLSTATE
CREATE TABLE uniq (k int, v int UNIQUE, w int);
SELECT shoal.create_distributed_table('uniq', 'k');
ALTER TABLE uniq DROP CONSTRAINT uniq_v_key;
CREATE UNIQUE INDEX uniq_include ON uniq (v) INCLUDE (k);
SELECT shoal.create_distributed_table('uniq', 'k');
DROP INDEX uniq_include;
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE cases (k text);
CREATE UNIQUE INDEX cases_unique ON cases (k COLLATE any_case);
SELECT shoal.create_distributed_table('cases', 'k');
-- (from 17 on those that compare the column for equality are taken, see temporal.sql)
ALTER TABLE uniq ADD CONSTRAINT uniq_excl EXCLUDE USING btree ((k + 1) WITH =);
\set VERBOSITY sqlstate
SELECT shoal.create_distributed_table('uniq', 'k');
\set VERBOSITY default
CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TABLE transit (k int);
CREATE TRIGGER transit AFTER INSERT ON transit REFERENCING NEW TABLE AS news FOR EACH ROW EXECUTE FUNCTION trig();
SELECT shoal.create_distributed_table('transit', 'k');

-- colocation
CREATE TABLE base (k int PRIMARY KEY, v text);
SELECT shoal.create_distributed_table('base', 'k');
SELECT shoal.create_distributed_table('base', 'k');
SELECT shoal.create_reference_table('base');
\echo :LAST_ERROR_SQLSTATE
SELECT shoal.create_distributed_table('t', 'k', colocate_with => 'base', shard_count => 5);
ALTER TABLE t DROP CONSTRAINT t_pkey;
SELECT shoal.create_distributed_table('t', 'v', colocate_with => 'base');
\echo :LAST_ERROR_SQLSTATE
SELECT shoal.create_distributed_table('t', 'k, v', colocate_with => 'base');
SELECT shoal.create_distributed_table('t', NULL, colocate_with => 'base');
SELECT shoal.create_distributed_table('t', 'k', colocate_with => 't');
CREATE TABLE collated (v text COLLATE "C");
CREATE TABLE collated2 (v text COLLATE "POSIX");
SELECT shoal.create_distributed_table('collated', 'v');
SELECT shoal.create_distributed_table('collated2', 'v', colocate_with => 'collated');

-- foreign keys
CREATE TABLE local (k int PRIMARY KEY, v int UNIQUE);
CREATE TABLE fk (k int PRIMARY KEY, v int);
ALTER TABLE fk ADD CONSTRAINT fk_local FOREIGN KEY (v) REFERENCES local;
SELECT shoal.create_distributed_table('fk', 'k');
SELECT shoal.create_reference_table('fk');
\echo :LAST_ERROR_SQLSTATE
SELECT shoal.create_distributed_table('local', 'k');
SELECT shoal.create_reference_table('local');
SELECT shoal.create_distributed_table('fk', 'k');
SELECT shoal.undistribute_table('local');
SELECT shoal.undistribute_table('fk');
SELECT shoal.undistribute_table('local');
ALTER TABLE fk DROP CONSTRAINT fk_local;
ALTER TABLE fk ADD CONSTRAINT fk_self FOREIGN KEY (v) REFERENCES fk;
SELECT shoal.create_distributed_table('fk', 'k');
ALTER TABLE fk DROP CONSTRAINT fk_self;
ALTER TABLE fk ADD CONSTRAINT fk_self FOREIGN KEY (k) REFERENCES fk NOT VALID;
SELECT shoal.create_distributed_table('fk', 'k');

-- not the owner; not by hand
CREATE ROLE bad_stranger;
GRANT USAGE ON SCHEMA bad TO bad_stranger;
GRANT ALL ON base TO bad_stranger;
SET ROLE bad_stranger;
SELECT shoal.create_distributed_table('t', 'k');
SELECT shoal.create_reference_table('t');
SELECT shoal.undistribute_table('base');
SELECT shoal.internal_distribute('t', 'd', '{k}', 1, false, 4, 0, false, '{}', false);
SELECT shoal.internal_distributed('t', '{}');
SELECT shoal.internal_undistribute('t');
RESET ROLE;
DROP OWNED BY bad_stranger;
DROP ROLE bad_stranger;

-- rows that another node has in a table of the same name
CREATE TABLE elsewhere (k int PRIMARY KEY);
\c shoal_n2
INSERT INTO bad.elsewhere VALUES (1);
\c shoal_n1
SET client_min_messages = warning;
SET shoal.shard_count = 4;
SET search_path = bad, public;
SELECT shoal.create_distributed_table('elsewhere', 'k');
\echo :LAST_ERROR_SQLSTATE
SELECT shoal.create_reference_table('elsewhere');

-- the session uses the table
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM t;
FETCH c;
SELECT shoal.create_distributed_table('t', 'k');
ROLLBACK;
BEGIN;
CREATE TABLE later (k int PRIMARY KEY, up int REFERENCES later DEFERRABLE INITIALLY DEFERRED);
INSERT INTO later VALUES (1, 2);
SELECT shoal.create_reference_table('later');
ROLLBACK;

-- what would see the shard
BEGIN;
CREATE TABLE oids (k int PRIMARY KEY, v int CONSTRAINT own CHECK (tableoid = 'bad.oids'::regclass));
SELECT shoal.create_distributed_table('oids', 'k');
ROLLBACK;
BEGIN;
CREATE TABLE oids (k int PRIMARY KEY, o regclass GENERATED ALWAYS AS (tableoid::regclass) STORED);
SELECT shoal.create_distributed_table('oids', 'k');
ROLLBACK;
BEGIN;
CREATE TABLE oids (k int PRIMARY KEY);
SELECT shoal.create_distributed_table('oids', 'k');
ALTER TABLE oids ADD CHECK (tableoid IS NOT NULL);
ROLLBACK;

-- undistribute
SELECT shoal.undistribute_table('t');
SELECT shoal.undistribute_table('v');

-- nothing has changed
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'bad'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1;
SELECT table_name FROM shoal.distributed_table JOIN pg_class ON oid = table_name
WHERE relnamespace = 'bad'::regnamespace ORDER BY table_name::text;
TABLE t;
DROP SCHEMA bad CASCADE;
SELECT count(*) - :tables AS left_over FROM shoal.distributed_table;
SELECT count(*) - :schemas AS left_over FROM pg_namespace WHERE nspname LIKE 'shoal\_%';
