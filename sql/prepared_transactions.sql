--
-- PREPARE TRANSACTION, COMMIT PREPARED and ROLLBACK PREPARED of transactions over several nodes.
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE TABLE prep_t (k int PRIMARY KEY, v int);
CREATE TABLE prep_local (k int);
CREATE TABLE prep_ref (k int PRIMARY KEY);
SELECT shoal.create_distributed_table('prep_t', 'k', shard_count => 6);
SELECT shoal.create_reference_table('prep_ref');
CREATE VIEW prep_gids AS SELECT gid FROM pg_prepared_xacts
	WHERE database = current_database() AND gid !~ '^shoal_' ORDER BY gid;

-- all nodes, a local table, a reference table
BEGIN;
INSERT INTO prep_t SELECT i, 0 FROM generate_series(1, 50) i;
INSERT INTO prep_local VALUES (1);
INSERT INTO prep_ref VALUES (1);
PREPARE TRANSACTION 'one';
SELECT count(*) FROM prep_t;
SELECT * FROM prep_gids;
COMMIT PREPARED 'one';
SELECT count(*), (SELECT count(*) FROM prep_local), (SELECT count(*) FROM prep_ref) FROM prep_t;
SELECT * FROM shoal.verify_table('prep_ref');

-- one node
BEGIN;
UPDATE prep_t SET v = 1 WHERE k = 7;
PREPARE TRANSACTION 'two';
SELECT v FROM prep_t WHERE k = 7;
ROLLBACK PREPARED 'two';
UPDATE prep_t SET v = 2 WHERE k = 7 RETURNING v;
BEGIN;
UPDATE prep_t SET v = 3 WHERE k = 7;
PREPARE TRANSACTION 'three';
COMMIT PREPARED 'three';
SELECT v FROM prep_t WHERE k = 7;

-- names, places where it is not allowed, locks
BEGIN;
UPDATE prep_t SET v = v + 1;
PREPARE TRANSACTION 'four';
BEGIN;
INSERT INTO prep_t VALUES (100, 0);
PREPARE TRANSACTION 'four';
BEGIN;
COMMIT PREPARED 'four';
ROLLBACK;
SET lock_timeout = '200ms';
UPDATE prep_t SET v = v + 1 WHERE k = 8;
RESET lock_timeout;
SELECT sum(v), count(*) FROM prep_t;
-- in another session
\c -
\set VERBOSITY terse
SET client_min_messages = warning;
COMMIT PREPARED 'four';
SELECT sum(v) FROM prep_t;
COMMIT PREPARED 'four';
ROLLBACK PREPARED 'none';

-- what core refuses leaves nothing behind on nodes
BEGIN;
CREATE TEMP TABLE prep_temp (i int);
INSERT INTO prep_t VALUES (101);
PREPARE TRANSACTION 'five';
SELECT count(*) FROM prep_t WHERE k > 100;
-- savepoints; two of a session at once; one that has only read
BEGIN;
SAVEPOINT a;
INSERT INTO prep_t VALUES (101);
ROLLBACK TO a;
INSERT INTO prep_t VALUES (102);
PREPARE TRANSACTION 'six';
BEGIN;
INSERT INTO prep_t VALUES (103);
UPDATE prep_t SET v = 0 WHERE k < 10;
PREPARE TRANSACTION 'seven';
BEGIN;
SELECT count(*) FROM prep_t;
PREPARE TRANSACTION 'eight';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM prep_t;
COMMIT PREPARED 'six';
ROLLBACK;
COMMIT PREPARED 'six';
ROLLBACK PREPARED 'seven';
COMMIT PREPARED 'eight';
SELECT k FROM prep_t WHERE k > 100;
SELECT sum(v) FROM prep_t;

-- schema
BEGIN;
CREATE TABLE prep_made (k int PRIMARY KEY);
SELECT shoal.create_distributed_table('prep_made', 'k', shard_count => 6);
PREPARE TRANSACTION 'ddl';
COMMIT PREPARED 'ddl';
INSERT INTO prep_made VALUES (1), (2), (3);
BEGIN;
DROP TABLE prep_made;
PREPARE TRANSACTION 'ddl';
ROLLBACK PREPARED 'ddl';
SELECT count(*) FROM prep_made;

-- replicas
SELECT shoal.set_replicas('prep_t', 1);
BEGIN;
UPDATE prep_t SET v = k;
DELETE FROM prep_t WHERE k = 102;
PREPARE TRANSACTION 'copies';
COMMIT PREPARED 'copies';
BEGIN;
UPDATE prep_t SET v = -k;
PREPARE TRANSACTION 'copies';
ROLLBACK PREPARED 'copies';
SELECT * FROM shoal.verify_table('prep_t');
SELECT count(*), sum(v - k) FROM prep_t;

SELECT * FROM prep_gids;
SELECT count(*) FROM pg_prepared_xacts;
DROP VIEW prep_gids;
DROP TABLE prep_t, prep_local, prep_ref, prep_made;
