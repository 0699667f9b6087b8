--
-- Connections to nodes: who they are for, how long they live, what they cache.
--
SET client_min_messages = warning;
CREATE TABLE conn_t (a int PRIMARY KEY, b int);
SELECT shoal.create_distributed_table('conn_t', 'a', 'none', 4);
INSERT INTO conn_t SELECT i, i FROM generate_series(1, 1000) i;
CREATE VIEW conn_pids AS SELECT array_agg(backend_pid ORDER BY node_id) AS pids FROM shoal.connections;

-- one connection per node, reused
SELECT count(*) FROM conn_t;
SELECT pids AS before FROM conn_pids \gset
SELECT count(*) FROM conn_t;
SELECT pids = :'before' AS same, cardinality(pids) FROM conn_pids;

-- statements are prepared once, and not without limit
SET shoal.max_cached_statements = 5;
DO $$
DECLARE n int;
BEGIN
	FOR i IN 1..20 LOOP
		EXECUTE format('SELECT count(*) + %s FROM conn_t WHERE a > $1', i) INTO n USING i;
		IF n <> 1000 THEN RAISE EXCEPTION 'wrong: %', n; END IF;
	END LOOP;
END $$;
SELECT result::int BETWEEN 1 AND 5 AS kept FROM shoal.run_on_nodes(
	'SELECT count(*) FROM pg_prepared_statements', '{2,3}');
SET shoal.max_cached_statements = 0;
SELECT count(*) FROM conn_t WHERE a > 1;
RESET shoal.max_cached_statements;

-- a statement whose table changes: by this session, by another coordinator
PREPARE sums AS SELECT sum(b)::int, max(b)::int FROM conn_t WHERE b > $1::int;
EXECUTE sums(0);
EXECUTE sums(0);
ALTER TABLE conn_t ALTER b TYPE bigint;
EXECUTE sums(0);
SET shoal.forward_ddl = off;
CREATE EXTENSION dblink;
RESET shoal.forward_ddl;
SELECT dblink_connect('other', format('host=127.0.0.1 port=%s dbname=shoal_n2 user=%s options=''-c client_min_messages=warning''',
	current_setting('port'), current_user));
SELECT dblink_exec('other', 'ALTER TABLE conn_t ALTER b TYPE numeric(20, 1)');
EXECUTE sums(0);
BEGIN; EXECUTE sums(0); COMMIT;
SELECT dblink_exec('other', 'ALTER TABLE conn_t ALTER b TYPE int');
BEGIN; EXECUTE sums(0); COMMIT;
SELECT b FROM conn_t WHERE a = 5;
SELECT dblink_disconnect('other');

-- rows that nobody reads any more: in a transaction that only read, and in one that wrote
BEGIN;
DECLARE c CURSOR FOR SELECT t.a, repeat('x', 1000) FROM conn_t t, generate_series(1, 300) ORDER BY 1;
MOVE 1 FROM c;
SELECT count(*) FROM conn_t;
CLOSE c;
DECLARE c CURSOR FOR SELECT a FROM conn_t, generate_series(1, 300);
MOVE 1 FROM c;
CLOSE c;
SELECT count(*) FROM conn_t;
UPDATE conn_t SET b = -1 WHERE a <= 10;
DECLARE c CURSOR FOR SELECT a FROM conn_t, generate_series(1, 300);
MOVE 1 FROM c;
CLOSE c;
SELECT count(*) FROM conn_t WHERE b = -1;
COMMIT;
SELECT count(*) FROM conn_t WHERE b = -1;
SELECT a FROM conn_t, generate_series(1, 3000) WHERE a = 7 LIMIT 1;

-- COPY that ends early leaves the connection usable
\set SHOW_CONTEXT never
COPY conn_t FROM STDIN;
2001	1
2002	x
\.
COPY conn_t FROM PROGRAM 'seq 3001 60000 | sed "s/$/\t1/"; printf "1\t1\n"';
BEGIN;
SAVEPOINT a;
COPY conn_t FROM PROGRAM 'seq 3001 60000 | sed "s/$/\t1/"; printf "60001\tx\n"';
ROLLBACK TO a;
COPY conn_t FROM PROGRAM 'seq 3001 3100 | sed "s/$/\t1/"';
COMMIT;
SELECT count(*) FROM conn_t;

\set SHOW_CONTEXT errors

-- a server that can't be reached; its options are followed, once idle
SET shoal.forward_ddl = off;
SELECT pids AS before FROM conn_pids \gset
ALTER SERVER shoal_node_2 OPTIONS (SET port '1');
\set VERBOSITY terse
SELECT count(*) FROM conn_t;
SELECT table_name, size FROM shoal.shards JOIN shoal.nodes USING (node_id)
WHERE table_name = 'conn_t'::regclass AND dbname = 'shoal_n2' AND size IS NOT NULL;
DO $$ BEGIN EXECUTE format('ALTER SERVER shoal_node_2 OPTIONS (SET port %L)', current_setting('port')); END $$;
SELECT count(*) FROM conn_t;
SELECT pids[1] = (:'before'::int[])[1] AS same_2, pids[2] = (:'before'::int[])[2] AS same_3 FROM conn_pids;

-- users: their own, by a mapping, with rights they do not have by themselves
CREATE ROLE shoal_conn_a LOGIN;
CREATE ROLE shoal_conn_b LOGIN;
GRANT EXECUTE ON FUNCTION shoal.run_on_nodes TO shoal_conn_a;
\c - shoal_conn_a
SELECT result FROM shoal.run_on_nodes('SELECT session_user', '{2}');
\c - postgres
SET shoal.forward_ddl = off;
CREATE USER MAPPING FOR shoal_conn_a SERVER shoal_node_2 OPTIONS (user 'shoal_conn_b', password 'secret');
\c - shoal_conn_a
\set VERBOSITY terse
SELECT result FROM shoal.run_on_nodes('SELECT session_user', '{2}');
\c - postgres
SET shoal.forward_ddl = off;
ALTER USER MAPPING FOR shoal_conn_a SERVER shoal_node_2 OPTIONS (SET user 'shoal_conn_a');
\c - shoal_conn_a
SELECT result FROM shoal.run_on_nodes('SELECT session_user', '{2}');
\c - postgres
SET shoal.forward_ddl = off;
DROP USER MAPPING FOR shoal_conn_a SERVER shoal_node_2;
-- a security-definer function's owner needs none
CREATE FUNCTION conn_owner() RETURNS text SECURITY DEFINER LANGUAGE sql AS
	$$ SELECT result FROM shoal.run_on_nodes('SELECT session_user || '' as '' || current_user', '{2}') $$;
ALTER FUNCTION conn_owner() OWNER TO shoal_conn_a;
SELECT conn_owner();
SELECT user_name FROM shoal.connections;
ALTER ROLE shoal_conn_a NOLOGIN;
\c - postgres
\set VERBOSITY terse
SELECT conn_owner();
\set VERBOSITY default

-- options of all connections
SET shoal.node_conninfo = 'connect_timeout=2 nonsense=1 password=secret';
SELECT count(*) FROM conn_t;
SET shoal.node_conninfo = 'connect_timeout=2 sslmode=disable';
SELECT count(*) FROM conn_t;
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()', '{2,3}');

-- users who may not call the function that cancels
CREATE ROLE shoal_conn_role LOGIN;
GRANT SELECT ON conn_t, conn_pids TO shoal_conn_role;
REVOKE EXECUTE ON FUNCTION pg_cancel_backend(int) FROM PUBLIC;
SET SESSION AUTHORIZATION shoal_conn_role;
SELECT count(*) FROM conn_t;
SELECT pids AS kept FROM conn_pids \gset
BEGIN;
DECLARE c CURSOR FOR SELECT a, repeat('x', 1000) FROM conn_t, generate_series(1, 1000);
MOVE 1 FROM c;
CLOSE c;
SELECT count(*) FROM conn_t;
COMMIT;
SELECT pids = :'kept' AS same FROM conn_pids;
RESET SESSION AUTHORIZATION;
GRANT EXECUTE ON FUNCTION pg_cancel_backend(int) TO PUBLIC;
DROP OWNED BY shoal_conn_role;
DROP ROLE shoal_conn_role;

SET shoal.forward_ddl = off;
SET client_min_messages = warning;
DROP FUNCTION conn_owner;
DROP EXTENSION dblink;
RESET shoal.forward_ddl;
DROP VIEW conn_pids;
DROP TABLE conn_t;
REVOKE EXECUTE ON FUNCTION shoal.run_on_nodes FROM shoal_conn_a;
DROP ROLE shoal_conn_a, shoal_conn_b;
