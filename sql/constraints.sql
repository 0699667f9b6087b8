--
-- Constraints whose check is deferred, here and on the nodes.
--
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE SCHEMA later;
SET search_path = later;
CREATE TABLE parent (k int, n int, PRIMARY KEY (k, n));
CREATE TABLE child (k int, n int, p int);
SELECT shoal.create_distributed_table('parent', 'k', shard_count => 6), shoal.create_distributed_table('child', 'k', colocate_with => 'parent');
ALTER TABLE child ADD CONSTRAINT child_parent FOREIGN KEY (k, p) REFERENCES parent DEFERRABLE;
ALTER TABLE child ADD CONSTRAINT child_unique UNIQUE (k, n) DEFERRABLE INITIALLY DEFERRED;

-- at once unless told otherwise
INSERT INTO child VALUES (1, 1, 1);
-- nodes that join later hear of it
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO child SELECT i, 1, 1 FROM generate_series(1, 10) i;
INSERT INTO parent SELECT i, 1 FROM generate_series(1, 10) i;
COMMIT;
SELECT count(*) FROM child;
-- so do those that are there; making it immediate checks
BEGIN;
INSERT INTO parent VALUES (20, 1), (21, 1), (22, 1);
SET CONSTRAINTS child_parent DEFERRED;
INSERT INTO child VALUES (20, 2, 2), (21, 2, 2), (22, 2, 2);
SAVEPOINT s;
SET CONSTRAINTS child_parent IMMEDIATE;
ROLLBACK TO s;
INSERT INTO parent VALUES (20, 2), (21, 2), (22, 2);
SET CONSTRAINTS later.child_parent, child_unique IMMEDIATE;
INSERT INTO child VALUES (20, 2, 2);
ROLLBACK;
-- fails in the end
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO child VALUES (30, 2, 2);
INSERT INTO child VALUES (31, 2, 2);
COMMIT;
SELECT count(*) FROM child WHERE k >= 20;
-- what a savepoint takes back does not count
BEGIN;
SAVEPOINT s;
SET CONSTRAINTS ALL DEFERRED;
ROLLBACK TO s;
INSERT INTO child VALUES (40, 2, 2);
ROLLBACK;
BEGIN;
SAVEPOINT s;
SET CONSTRAINTS ALL DEFERRED;
RELEASE s;
INSERT INTO child VALUES (40, 2, 2);
INSERT INTO parent VALUES (40, 2);
COMMIT;
SELECT * FROM child WHERE k = 40;
-- outside of a transaction, and of what is not there
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO child VALUES (50, 2, 2);
BEGIN;
SET CONSTRAINTS nothing DEFERRED;
ROLLBACK;
DROP SCHEMA later CASCADE;

-- an action of a foreign key that moves rows to other nodes; one that violates a constraint
SET client_min_messages = warning;
SET search_path = public;
CREATE TABLE acted (id int PRIMARY KEY, v int);
CREATE TABLE acting (id int, v int CONSTRAINT small CHECK (v < 100), n int, PRIMARY KEY (id, n));
CREATE TABLE acted_by_v (v int PRIMARY KEY);
SELECT shoal.create_reference_table('acted'), shoal.create_reference_table('acted_by_v'), shoal.create_distributed_table('acting', 'id');
ALTER TABLE acting ADD FOREIGN KEY (id) REFERENCES acted ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE acting ADD FOREIGN KEY (v) REFERENCES acted_by_v ON UPDATE CASCADE;
INSERT INTO acted SELECT i FROM generate_series(1, 50) i;
INSERT INTO acted_by_v VALUES (1), (2);
INSERT INTO acting SELECT i, 1, 0 FROM generate_series(1, 50) i;
\set VERBOSITY terse
UPDATE acted SET id = id + 1000;
UPDATE acted_by_v SET v = 200 WHERE v = 1;
UPDATE acted_by_v SET v = 99 WHERE v = 1;
DELETE FROM acted WHERE id > 1010;
\set VERBOSITY default
SELECT count(*), sum(v), max(id) FROM acting;
DROP TABLE acting, acted, acted_by_v;
RESET client_min_messages;
RESET search_path;

-- core makes a foreign key for each shard that is referred to; the user knows one
CREATE TABLE referred (k int PRIMARY KEY);
CREATE TABLE referring (k int, n int, PRIMARY KEY (k, n));
SELECT shoal.create_distributed_table('referred', 'k'), shoal.create_distributed_table('referring', 'k');
ALTER TABLE referring ADD CONSTRAINT "to referred" FOREIGN KEY (k) REFERENCES referred DEFERRABLE;
INSERT INTO referred SELECT generate_series(1, 20);
INSERT INTO referring SELECT i, i FROM generate_series(1, 20) i;
\set VERBOSITY terse
DELETE FROM referred WHERE k = 3;
DELETE FROM referred WHERE k = 4;
BEGIN;
SET CONSTRAINTS "to referred" DEFERRED;
DELETE FROM referred WHERE k = 9;
COMMIT;
\set VERBOSITY default
DROP TABLE referring, referred;

-- constraint triggers by their names
CREATE SCHEMA watched;
CREATE SCHEMA watched_twin;
CREATE FUNCTION public.watched_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', name, true);
	CREATE TABLE t (k int, v int);
	CREATE TABLE p (k int, v int) PARTITION BY LIST (v);
	CREATE TABLE p1 PARTITION OF p DEFAULT;
	CREATE TABLE seen (k int, what text);
	IF name = 'watched' THEN
		PERFORM shoal.create_distributed_table('t', 'k', shard_count => 5);
		PERFORM shoal.create_distributed_table('p', 'k', colocate_with => 't');
		PERFORM shoal.create_distributed_table('seen', 'k', colocate_with => 't');
	END IF;
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $f$
	BEGIN
		INSERT INTO seen VALUES (new.k, tg_table_name || ' ' || new.v);
		RETURN NULL;
	END $f$;
	CREATE CONSTRAINT TRIGGER see AFTER INSERT OR UPDATE ON t
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.v > 2) EXECUTE FUNCTION see();
	CREATE CONSTRAINT TRIGGER see_p AFTER INSERT OR UPDATE ON p
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
END $$;
CREATE FUNCTION public.watched_run(name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('search_path', name || ',public', true);
	INSERT INTO t SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO p SELECT i, i FROM generate_series(1, 3) i;
	result := (SELECT count(*) FROM seen);
	SET CONSTRAINTS see IMMEDIATE;
	result := result || ' ' || (SELECT count(*) FROM seen);
	UPDATE t SET v = v + 1 WHERE k IN (1, 2);
	result := result || ' ' || (SELECT count(*) FROM seen);
	SET CONSTRAINTS see DEFERRED;
	UPDATE t SET v = v + 1;
	result := result || ' ' || (SELECT count(*) FROM seen);
	EXECUTE format('SET CONSTRAINTS %I.see, see_p IMMEDIATE', name);
	result := result || ' ' || (SELECT count(*) FROM seen);
	INSERT INTO p VALUES (4, 4);
	RETURN result || ' ' || (SELECT string_agg(k || ' ' || what, ', ' ORDER BY k, what) FROM seen);
END $$;
SELECT watched_make('watched'), watched_make('watched_twin');
SELECT d, d = p AS same FROM (SELECT watched_run('watched') AS d, watched_run('watched_twin') AS p) x;
SET CONSTRAINTS watched.see, watched.nothing IMMEDIATE;
SET client_min_messages = warning;
DROP SCHEMA watched, watched_twin CASCADE;
DROP FUNCTION public.watched_make, public.watched_run;
