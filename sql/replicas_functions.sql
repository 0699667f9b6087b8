--
-- Functions that tables with replicas call for each row, in checks, indexes and
-- generated columns: a replica is made and kept by superusers and by Shoal itself.
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE ROLE rf_owner LOGIN;
CREATE SCHEMA rf AUTHORIZATION rf_owner;
SET ROLE rf_owner;
CREATE FUNCTION rf.careful(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
		RAISE EXCEPTION 'the function runs as a superuser';
	END IF;
	RETURN i;
END $$;
-- an error that is caught, also where changes are applied
CREATE FUNCTION rf.spy(i int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	RETURN shoal.internal_token();
EXCEPTION WHEN insufficient_privilege THEN
	RETURN 'refused';
END $$;
CREATE TABLE rf.t (k int PRIMARY KEY, v int CHECK (rf.careful(v) > 0), s text GENERATED ALWAYS AS (rf.spy(v)) STORED);
CREATE INDEX ON rf.t (rf.careful(v));
SELECT shoal.create_distributed_table('rf.t', 'k', shard_count => 6);
INSERT INTO rf.t SELECT i, i FROM generate_series(1, 20) i;
RESET ROLE;
SELECT shoal.set_replicas('rf.t', 1);
SET ROLE rf_owner;
INSERT INTO rf.t SELECT i, i FROM generate_series(21, 40) i;
UPDATE rf.t SET v = v + 1 WHERE k % 3 = 0;
INSERT INTO rf.t VALUES (100, 0);
SELECT s, count(*), sum(v) FROM rf.t GROUP BY s;
RESET ROLE;
SELECT * FROM shoal.verify_table('rf.t');
DROP SCHEMA rf CASCADE;
DROP ROLE rf_owner;
