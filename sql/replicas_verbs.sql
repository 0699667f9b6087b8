-- Tables with replicas: who may do what; the functions that make, move and drop copies.  After replicas.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET search_path = repl, public;

CREATE ROLE rt_user; CREATE ROLE rt_other;
GRANT USAGE ON SCHEMA repl TO rt_user, rt_other;
CREATE TABLE rls (k int PRIMARY KEY, who name DEFAULT current_user, v text);
SELECT shoal.create_distributed_table('rls', 'k', shard_count => 4, replicas => 1);
GRANT ALL ON rls TO rt_user, rt_other;
ALTER TABLE rls ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON rls USING (who = current_user) WITH CHECK (who = current_user AND v IS DISTINCT FROM 'bad');
CREATE FUNCTION repl.definer(i int) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
	'UPDATE repl.rls SET v = v || ''!'' WHERE k < i; SELECT count(*) FROM repl.rls';
SET ROLE rt_user;
INSERT INTO rls (k, v) SELECT i, 'v' FROM generate_series(1, 20) i;
INSERT INTO rls VALUES (30, 'rt_other', 'x');
SET ROLE rt_other;
INSERT INTO rls (k, v) SELECT i, 'o' FROM generate_series(21, 40) i;
UPDATE rls SET v = 'mine';
UPDATE rls SET v = 'bad' WHERE k = 21;
DELETE FROM rls WHERE k > 35 OR k < 5;
INSERT INTO rls (k, v) VALUES (21, 'c'), (36, 'd') ON CONFLICT (k) DO UPDATE SET v = excluded.v;
INSERT INTO rls (k, v) VALUES (1, 'c') ON CONFLICT (k) DO UPDATE SET v = excluded.v;
COPY rls (k, v) FROM stdin;
51	x
\.
SELECT count(*) FROM rls;
SELECT repl.definer(30);
BEGIN;
UPDATE rls SET v = 'in transaction' WHERE k = 22;
SET LOCAL ROLE rt_user;
UPDATE rls SET v = 'in transaction' WHERE k = 2;
SELECT repl.definer(4);
COMMIT;
SELECT * FROM shoal.verify_table('rls');
SELECT shoal.promote(1, 1, 1);
SELECT shoal.move_shard(1, 1, 1, 2);
SELECT shoal.internal_mirror('');
SELECT count(*) > 0 FROM shoal.placements;
SELECT * FROM shoal.jobs;
RESET ROLE;
SELECT * FROM shoal.verify_table('rls');
SELECT count(*) FILTER (WHERE v = 'in transaction') AS t, count(*) FILTER (WHERE v LIKE '%!') AS d FROM rls;
DROP FUNCTION repl.definer;
-- a role's own table
CREATE SCHEMA AUTHORIZATION rt_user;
SET ROLE rt_user;
CREATE TABLE rt_user.own (k int, v text);
INSERT INTO rt_user.own SELECT i, 'v' FROM generate_series(1, 20) i;
SELECT shoal.create_distributed_table('rt_user.own', 'k', replicas => 1);
UPDATE rt_user.own SET v = 'u';
SELECT * FROM shoal.verify_table('rt_user.own');
ALTER TABLE rt_user.own ADD COLUMN x int DEFAULT 4;
DELETE FROM rt_user.own WHERE k < 5;
TRUNCATE rt_user.own;
SET session_replication_role = replica;
SELECT * FROM shoal.verify_table('rt_user.own');
DROP TABLE rt_user.own;
RESET ROLE;
-- verbs and errors
CREATE TABLE vb (k int PRIMARY KEY, v text);
SELECT shoal.create_distributed_table('vb', 'k', 'none', 2);
SELECT group_id AS g FROM shoal.distributed_table WHERE table_name = 'vb'::regclass \gset
INSERT INTO vb SELECT i, 'v' FROM generate_series(1, 100) i;
CREATE TABLE vc (k int, v text);
SELECT shoal.create_distributed_table('vc', 'k', 'vb');
ALTER TABLE vc ADD FOREIGN KEY (k) REFERENCES vb ON DELETE CASCADE;
INSERT INTO vc SELECT k, 'c' FROM vb WHERE k <= 100;
SELECT node_id AS n FROM shoal.placement WHERE group_id = :g AND shard = 0 \gset
SELECT node_id AS o FROM shoal.node WHERE node_id <> :n ORDER BY 1 LIMIT 1 \gset
SELECT node_id AS o2 FROM shoal.node WHERE node_id NOT IN (:n, :o) \gset
\set say 'SELECT regexp_replace(:''LAST_ERROR_MESSAGE'', ''(node|group) \\d+'', ''\\1 N'', ''g'') AS message;'
\set VERBOSITY sqlstate
SELECT shoal.add_replica(:g, 7, :o); :say
SELECT shoal.add_replica(:g, 0, 999); :say
SELECT shoal.add_replica(:g, 0, :n); :say
SELECT shoal.add_replica(99999, 0, :n); :say
SELECT shoal.promote(:g, 0, :n); :say
SELECT shoal.promote(:g, 0, :o); :say
SELECT shoal.promote(:g, 7, :o); :say
SELECT shoal.drop_placement(:g, 0, :n); :say
SELECT shoal.drop_placement(:g, 0, :o); :say
SELECT shoal.move_shard(:g, 0, :o, :n); :say
SELECT shoal.move_shard(:g, 0, :n, :n); :say
SELECT shoal.move_shard(:g, 0, :n, 999); :say
\set VERBOSITY default
SELECT shoal.set_replicas(:g, -1);
SELECT shoal.set_replicas(:g, 9);
SELECT role, count(*) FROM shoal.placement WHERE group_id = :g GROUP BY 1;
SELECT shoal.set_replicas('nothing', 0);
SELECT shoal.set_replicas('pg_class', 0);
SELECT shoal.set_replicas(NULL::regclass, 0);
CREATE TABLE many (a int); SELECT shoal.create_distributed_table('many', 'a', replicas => 9);
SELECT shoal.create_distributed_table('many', 'a', replicas => -1);
SELECT shoal.create_distributed_table('many', 'a', colocate_with => 'vb', replicas => 1);
BEGIN; SELECT shoal.add_replica(:g, 0, :o); ROLLBACK;
BEGIN; SELECT shoal.move_shard(:g, 0, :n, :o); ROLLBACK;
BEGIN; SELECT shoal.repair_placements(); ROLLBACK;
SELECT shoal.repair_placements();
SELECT role, state, count(*) FROM shoal.placement WHERE group_id = :g GROUP BY 1, 2;
SELECT shoal.add_replica(:g, 0, :o);
\set VERBOSITY sqlstate
SELECT shoal.add_replica(:g, 0, :o);
SELECT shoal.drop_placement(:g, 0, :n);
\set VERBOSITY default
BEGIN; SELECT shoal.promote(:g, 0, :o); UPDATE vb SET v = 'x'; ROLLBACK;
SELECT shoal.promote(:g, 0, :o);
UPDATE vb SET v = 'y';
SELECT shoal.move_shard(:g, 0, :n, :o2);
UPDATE vb SET v = v || k;
SELECT shoal.move_shard(:g, 0, :o, :n);
DELETE FROM vb WHERE k % 10 = 0;
SELECT shard, role, state, count(*) FROM shoal.placement WHERE group_id = :g GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT count(*), count(DISTINCT v) FROM vb;
SELECT * FROM shoal.verify_table('vb');
SELECT shoal.set_replicas('vb', 2);
UPDATE vb SET v = v || '.';
SELECT * FROM shoal.verify_table('vb');
SELECT * FROM shoal.verify_table('vc');
BEGIN; UPDATE vb SET v = 'lost'; SELECT shoal.promote(:g, 0, :o); INSERT INTO vb SELECT i, 'lost' FROM generate_series(1001, 1050) i; SELECT shoal.drop_placement(:g, 0, :n); ROLLBACK;
SELECT * FROM shoal.verify_table('vb');
BEGIN; UPDATE vb SET v = 'kept'; SELECT shoal.promote(:g, 0, :o); INSERT INTO vb SELECT i, 'kept' FROM generate_series(1001, 1050) i; SELECT shoal.drop_placement(:g, 0, :n); UPDATE vb SET v = v || 'x'; COMMIT;
SELECT * FROM shoal.verify_table('vb');
SELECT v, count(*) FROM vb GROUP BY 1 ORDER BY 1;
SELECT shoal.set_replicas('vb', 1);
SELECT shard, role, state, count(*) FROM shoal.placement WHERE group_id = :g GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT shoal.set_replicas(:g, 0);
SELECT shard, role, state, count(*) FROM shoal.placement WHERE group_id = :g GROUP BY 1, 2, 3 ORDER BY 1, 2;
UPDATE vb SET v = 'alone';
SELECT count(*) FROM vb;
SELECT count(*) FROM vc;
INSERT INTO vc VALUES (-1, 'x');
DROP TABLE vc, vb;
-- no key: filled as a whole; and a new colocated table after
CREATE TABLE nk (k int, v text);
SELECT shoal.create_distributed_table('nk', 'k', 'none', 2);
INSERT INTO nk SELECT i % 10, 'v' FROM generate_series(1, 1000) i;
SELECT shoal.set_replicas('nk', 1);
UPDATE nk SET v = 'u' WHERE k = 3;
DELETE FROM nk WHERE k = 4;
SELECT * FROM shoal.verify_table('nk');
CREATE TABLE nk2 (k int PRIMARY KEY, v text);
SELECT shoal.create_distributed_table('nk2', 'k', 'nk');
INSERT INTO nk2 SELECT i, 'v' FROM generate_series(1, 100) i;
SELECT count(*) FROM shoal.shards WHERE table_name = 'nk2'::regclass AND role = 'replica';
SELECT * FROM shoal.verify_table('nk2');
SELECT shoal.set_replicas('nk', 2);
UPDATE nk2 SET v = 'x' WHERE k < 50;
SELECT * FROM shoal.verify_table('nk2');
SELECT * FROM shoal.verify_table('nk');
SELECT shoal.undistribute_table('nk2');
DROP TABLE nk, nk2;
DROP TABLE many, rls;
DROP OWNED BY rt_user, rt_other;
-- a node that crashes would empty its copies of unlogged tables
CREATE UNLOGGED TABLE ul (k int PRIMARY KEY, v int);
SELECT shoal.create_reference_table('ul');
SELECT shoal.create_distributed_table('ul', 'k', shard_count => 4, colocate_with => 'none', replicas => 1);
SELECT shoal.create_distributed_table('ul', 'k', shard_count => 4, colocate_with => 'none');
SELECT shoal.set_replicas('ul', 1);
SELECT shoal.add_replica(group_id, shard, (SELECT min(n.node_id) FROM shoal.nodes n WHERE n.node_id <> s.node_id)) FROM shoal.shards s WHERE table_name = 'ul'::regclass AND shard = 0;
ALTER TABLE ul SET LOGGED;
SELECT shoal.set_replicas('ul', 1);
ALTER TABLE ul SET UNLOGGED;
DROP TABLE ul;
CREATE TABLE ul (k int, v int) PARTITION BY RANGE (v);
CREATE UNLOGGED TABLE ul_1 PARTITION OF ul FOR VALUES FROM (0) TO (10);
SELECT shoal.create_distributed_table('ul', 'k', shard_count => 4, colocate_with => 'none', replicas => 1);
ALTER TABLE ul_1 SET LOGGED;
SELECT shoal.create_distributed_table('ul', 'k', shard_count => 4, colocate_with => 'none', replicas => 1);
CREATE UNLOGGED TABLE ul_2 PARTITION OF ul FOR VALUES FROM (10) TO (20);
CREATE UNLOGGED TABLE ul_3 (k int, v int);
ALTER TABLE ul ATTACH PARTITION ul_3 FOR VALUES FROM (20) TO (30);
DROP TABLE ul, ul_3;
DROP SCHEMA IF EXISTS rt_user;
DROP ROLE rt_user, rt_other;
DROP SCHEMA twin;
DROP SCHEMA repl;
DROP FUNCTION public.both, public.wrong, public.make, public.both_ddl;
