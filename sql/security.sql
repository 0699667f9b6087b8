--
-- Nobody sees or changes through Shoal what he could not on one server.
--
SET client_min_messages = warning;
SET shoal.shard_count = 6;
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE SCHEMA sec;
CREATE ROLE sec_owner LOGIN;
CREATE ROLE sec_viewer LOGIN;
CREATE ROLE sec_joe LOGIN;
GRANT ALL ON SCHEMA sec TO sec_owner, sec_viewer;
GRANT USAGE ON SCHEMA sec TO PUBLIC;
SET ROLE sec_owner;
CREATE TABLE sec.doc (id int PRIMARY KEY, who text, body text);
CREATE TABLE sec.plain (id int PRIMARY KEY, pub text, secret text);
SELECT shoal.create_distributed_table('sec.doc', 'id');
SELECT shoal.create_distributed_table('sec.plain', 'id');
INSERT INTO sec.plain SELECT i, 'p' || i, 's' || i FROM generate_series(1, 30) i;
INSERT INTO sec.doc SELECT i, (ARRAY['sec_joe', 'sec_viewer', 'sec_owner'])[1 + i % 3], 'b' || i % 5 FROM generate_series(1, 30) i;
GRANT ALL ON sec.doc TO sec_joe, sec_viewer;
GRANT SELECT (id, pub), INSERT (id, pub), UPDATE (pub) ON sec.plain TO sec_joe;
GRANT SELECT ON sec.plain TO sec_viewer;
ALTER TABLE sec.doc ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON sec.doc USING (who = current_user);
RESET ROLE;
CREATE FUNCTION sec.leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS
$$ BEGIN IF $1 <> 'sec_joe' AND $1 NOT IN ('s1', 's2') THEN RAISE EXCEPTION 'leaks %', $1; END IF; RETURN true; END $$;

-- column privileges
SET ROLE sec_joe;
SELECT secret FROM sec.plain WHERE id = 1;
SELECT count(secret) FROM sec.plain;
SELECT secret, row_number() OVER (ORDER BY pub) FROM sec.plain;
SELECT p FROM sec.plain p;
EXPLAIN SELECT secret FROM sec.plain WHERE id = 1;
EXPLAIN SELECT secret FROM sec.plain;
EXPLAIN DELETE FROM sec.plain;
SELECT count(*), max(pub) FROM sec.plain;
UPDATE sec.plain SET secret = 'x';
UPDATE sec.plain SET pub = secret WHERE id = 1;
UPDATE sec.plain SET pub = pub WHERE id = 1 RETURNING secret;
UPDATE sec.plain SET pub = pub || '!' WHERE id = 1 RETURNING pub;
INSERT INTO sec.plain (id, secret) VALUES (100, 'q');
INSERT INTO sec.plain (id, pub) VALUES (101, 'q') RETURNING secret;
INSERT INTO sec.plain (id, pub) VALUES (100, 'q'), (101, 'r');
INSERT INTO sec.plain SELECT i, 'a', 'b' FROM generate_series(200, 202) i;
INSERT INTO sec.plain (id, pub) VALUES (100, 'z') ON CONFLICT (id) DO UPDATE SET secret = 'h';
DELETE FROM sec.plain;
TRUNCATE sec.plain;
LOCK TABLE sec.plain;
COPY sec.plain TO STDOUT;
COPY sec.plain (id, secret) TO STDOUT;
\copy sec.plain FROM '/dev/null'
RESET ROLE;

-- row-level security; a function in WHERE sees only what the policy lets through
SET ROLE sec_joe;
SELECT count(*), min(who), max(who) FROM sec.doc;
SELECT count(*) FROM sec.doc WHERE sec.leak(who);
SELECT count(*) FROM sec.doc WHERE id = 1 AND sec.leak(who);
SELECT count(*) FROM (SELECT rank() OVER (ORDER BY body) FROM sec.doc WHERE sec.leak(who)) x;
INSERT INTO sec.doc VALUES (100, 'sec_owner', 'x');
INSERT INTO sec.doc SELECT i, 'sec_owner', 'x' FROM generate_series(100, 103) i;
UPDATE sec.doc SET who = 'sec_owner';
UPDATE sec.doc SET body = 'mine';
\copy sec.doc FROM '/dev/null'
RESET ROLE;
SELECT who, count(*) FILTER (WHERE body = 'mine') FROM sec.doc GROUP BY 1 ORDER BY 1;

-- views run with their owners' rights, and functions in them see the user
SET ROLE sec_viewer;
CREATE VIEW sec.v AS SELECT id, pub, secret FROM sec.plain;
CREATE VIEW sec.vb WITH (security_barrier) AS SELECT id, pub, secret FROM sec.plain WHERE id < 3;
CREATE VIEW sec.vi WITH (security_invoker) AS SELECT id, pub, secret FROM sec.plain;
CREATE VIEW sec.vd AS SELECT * FROM sec.doc;
CREATE VIEW sec.vj AS SELECT a.who FROM sec.doc a JOIN sec.doc b ON a.body = b.body;
CREATE VIEW sec.vm AS SELECT pub, count(*) FROM sec.plain WHERE pg_has_role('sec_' || left(pub, 1), 'member') GROUP BY 1;
CREATE FUNCTION sec.definer() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(secret) FROM sec.plain';
CREATE FUNCTION sec.definer_docs() RETURNS SETOF text SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT DISTINCT who FROM sec.doc; END $$;
GRANT ALL ON sec.v, sec.vb, sec.vi, sec.vd, sec.vj, sec.vm TO sec_joe;
SET ROLE sec_joe;
SELECT count(secret) FROM sec.v;
SELECT count(*) FROM sec.v a JOIN sec.v b ON a.pub = b.secret;
SELECT id FROM sec.vb WHERE sec.leak(secret) ORDER BY id;
SELECT count(*) FROM sec.vb a JOIN sec.plain p ON a.id = p.id - 1 WHERE sec.leak(a.secret);
SELECT count(secret) FROM sec.vi;
SELECT count(pub) FROM sec.vi;
SELECT DISTINCT who FROM sec.vd;
SELECT DISTINCT a.who FROM sec.vd a JOIN sec.vd b ON a.body = b.body;
SELECT * FROM sec.vj;
SELECT * FROM sec.vm;
UPDATE sec.vd SET body = 'x';
SELECT sec.definer() > 0 AS definer;
SELECT sec.definer_docs();
RESET ROLE;

-- rights taken back count at once, for prepared statements, too
PREPARE one(int) AS SELECT count(secret) FROM sec.plain WHERE id = $1;
EXECUTE one(3);
SET ROLE sec_joe;
EXECUTE one(3);
RESET ROLE;

-- administration
SET ROLE sec_joe;
SELECT * FROM shoal.secret;
\set VERBOSITY sqlstate
SHOW shoal.origin_proof;
\set VERBOSITY default
SELECT shoal.run_script('SELECT 1');
SELECT shoal.run_on_nodes('SELECT 1');
SELECT shoal.recover_prepared_transactions();
SELECT shoal.internal_lock_cluster();
DELETE FROM shoal.placement;
CREATE USER MAPPING FOR sec_joe SERVER shoal_node_2 OPTIONS (password 'x');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER shoal_node_2 TO sec_joe;
SET ROLE sec_joe;
CREATE USER MAPPING FOR sec_joe SERVER shoal_node_2 OPTIONS (user 'postgres');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER shoal_node_2 FROM sec_joe;

-- shards' schemas
SELECT min(nspname) AS shard FROM pg_namespace WHERE nspname ~ '^shoal_\d+_\d+$' \gset
\set VERBOSITY sqlstate
SET ROLE sec_joe;
SET shoal.forward_ddl = off;
SET search_path = :shard;
CREATE TABLE mine (a int);
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE e AS ENUM ('a');
CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq);
RESET search_path;
RESET shoal.forward_ddl;
RESET ROLE;
DROP SCHEMA :shard CASCADE;
\set VERBOSITY terse

-- a session that only says it is a coordinator's
\c -reuse-previous=on "user=sec_joe options='-c shoal.origin=1'"
SELECT 1;
/*shoal local*/ SELECT count(*) FROM sec.doc;
\c -reuse-previous=on "user=sec_joe options='-c shoal.origin=1 -c shoal.origin_proof=00'"
SELECT shoal.internal_undistribute('sec.doc');
-- nor does a function on a node see what would prove it
\c -reuse-previous=on "user=postgres options=''"
CREATE FUNCTION sec.proof(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN current_setting('shoal.origin_proof'); END $$;
GRANT pg_read_all_settings TO sec_joe;
\c -reuse-previous=on "user=sec_joe"
SELECT DISTINCT sec.proof(id) FROM sec.plain;
\c -reuse-previous=on "user=postgres options=''"
SET client_min_messages = warning;
DROP SCHEMA sec CASCADE;
DROP ROLE sec_owner, sec_viewer, sec_joe;
