--
-- Distributed transactions and errors of nodes, seen from SQL.
--
SET client_min_messages = warning;
SELECT DISTINCT result FROM shoal.run_on_nodes($$
	CREATE TABLE xact_t (a int PRIMARY KEY, b text,
		c int CONSTRAINT xact_c UNIQUE DEFERRABLE INITIALLY DEFERRED)$$);

-- what each node has, and what is left behind there
CREATE FUNCTION xact_rows() RETURNS TABLE (node int, rows text) LANGUAGE sql AS $$
	SELECT * FROM shoal.run_on_nodes('SELECT string_agg(a::text, '','' ORDER BY a) FROM xact_t')
$$;
CREATE FUNCTION xact_put(node int, a int, c int DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT result FROM shoal.run_on_nodes(
		format('INSERT INTO xact_t VALUES (%s, current_database(), %L)', a, c), ARRAY[node])
$$;
CREATE VIEW xact_left AS SELECT result AS prepared, (SELECT count(*) FROM pg_stat_activity
		WHERE application_name = 'shoal' AND state <> 'idle' AND datname LIKE 'shoal_n_') AS busy
	FROM shoal.run_on_nodes('SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE ''shoal_%''', '{1}');

-- commit: one writer, two, three with this node; rollback
SELECT xact_put(2, 1);
BEGIN; SELECT xact_put(2, 2), xact_put(3, 2); COMMIT;
BEGIN; SELECT xact_put(1, 3), xact_put(2, 3), xact_put(3, 3); COMMIT;
BEGIN; SELECT xact_put(1, 4), xact_put(2, 4), xact_put(3, 4); ROLLBACK;
SELECT * FROM xact_rows();
TABLE xact_left;

-- savepoints, also on nodes that join late
BEGIN;
SELECT xact_put(2, 10);
SAVEPOINT a;
SELECT xact_put(2, 11), xact_put(3, 11);
SAVEPOINT b;
SELECT xact_put(2, 12), xact_put(3, 12);
ROLLBACK TO b;
SELECT * FROM xact_rows();
RELEASE a;
SAVEPOINT c;
SELECT xact_put(3, 13);
SELECT xact_put(3, 13);
ROLLBACK TO c;
SELECT xact_put(3, 14);
COMMIT;
SELECT * FROM xact_rows();

-- a savepoint that was never sent
BEGIN; SAVEPOINT a; SELECT xact_put(9, 1); ROLLBACK TO a; SELECT xact_put(2, 15); COMMIT;

-- exception blocks
DO $$
BEGIN
	FOR i IN 20..23 LOOP
		BEGIN
			PERFORM xact_put(2, i), xact_put(3, i % 2 + 20);
		EXCEPTION WHEN unique_violation THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT * FROM xact_rows();

-- a procedure that commits
CREATE PROCEDURE xact_steps() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM xact_put(2, 30), xact_put(3, 30);
	COMMIT;
	PERFORM xact_put(2, 31), xact_put(3, 31);
	ROLLBACK;
	PERFORM xact_put(2, 32);
END $$;
CALL xact_steps();
SELECT * FROM xact_rows();

-- an error on one node undoes all
SELECT xact_put(1, 40), xact_put(3, 40), xact_put(2, 1);
BEGIN; SELECT xact_put(1, 40), xact_put(3, 40); SELECT xact_put(2, 1); COMMIT;
-- one that comes with the commit: one writer, several
SELECT xact_put(2, 50, 1);
SELECT xact_put(2, 51, 1);
BEGIN; SELECT xact_put(1, 51), xact_put(3, 51), xact_put(2, 51, 1); COMMIT;
-- one that comes with PREPARE
BEGIN;
SELECT xact_put(3, 60);
SELECT result FROM shoal.run_on_nodes('CREATE TEMP TABLE xact_temp (a int)', '{2}');
COMMIT;
SELECT * FROM xact_rows() WHERE rows ~ '40|51|60';
TABLE xact_left;

-- fields of an error
DO $$
DECLARE
	f text[];
	state text; message text; detail text; hint text; context text;
	sch text; tab text; col text; con text; typ text;
BEGIN
	PERFORM xact_put(2, 1);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, sch = SCHEMA_NAME, tab = TABLE_NAME, con = CONSTRAINT_NAME;
	RAISE WARNING '% | % | % | % | % | %', state, message, detail, sch, tab, con;
END $$;
SELECT * FROM shoal.run_on_nodes($$DO 'BEGIN RAISE EXCEPTION SQLSTATE ''12345''
	USING MESSAGE = ''m'', DETAIL = ''d'', HINT = ''h''; END'$$, '{3}');
SELECT * FROM shoal.run_on_nodes($$DO 'BEGIN RAISE WARNING ''w'' USING HINT = ''h''; END'$$, '{3}');

-- isolation and access mode follow; what can't be kept is refused
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT * FROM shoal.run_on_nodes('SELECT current_setting(''transaction_isolation'') || current_setting(''transaction_read_only'')');
SELECT xact_put(2, 70);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT xact_put(2, 70);
SELECT xact_put(3, 70);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM xact_t;
SELECT xact_put(2, 70);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT xact_put(2, 70);
SELECT count(*) FROM xact_t;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT xact_put(2, 71);
COMMIT;
BEGIN; SELECT xact_put(2, 72); PREPARE TRANSACTION 'mine';
ROLLBACK PREPARED 'mine';
SELECT rows FROM xact_rows() WHERE rows ~ '7';

-- settings and role follow, and are restored
CREATE ROLE shoal_xact_role LOGIN;
BEGIN;
SET TimeZone = 'Asia/Tokyo'; SET LOCAL DateStyle = 'German'; SET LOCAL xact.tenant = '5';
SET LOCAL search_path = public, information_schema; SET LOCAL ROLE shoal_xact_role;
RESET ROLE;
SELECT DISTINCT result FROM shoal.run_on_nodes(
	'SELECT concat_ws(''|'', timestamptz ''2024-01-02 03:04:05+00'', current_setting(''xact.tenant''), current_schemas(false))');
COMMIT;
SELECT DISTINCT result FROM shoal.run_on_nodes(
	'SELECT concat_ws(''|'', timestamptz ''2024-01-02 03:04:05+00'', current_setting(''xact.tenant''), current_schemas(false))');
BEGIN; SET LOCAL TimeZone = 'UTC';
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT current_setting(''TimeZone'')');
ROLLBACK;
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT current_setting(''TimeZone'')');
RESET TimeZone;
GRANT EXECUTE ON FUNCTION shoal.run_on_nodes TO shoal_xact_role;
SET ROLE shoal_xact_role;
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT session_user || '' '' || current_user');
SELECT * FROM shoal.run_on_nodes('SELECT count(*) FROM xact_t', '{2}');
SELECT shoal.recover_prepared_transactions();
RESET ROLE;
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT session_user || '' '' || current_user');

-- cancelling reaches the nodes
SET statement_timeout = '200ms';
SELECT * FROM shoal.run_on_nodes('SELECT pg_sleep(60)', '{2,3}');
RESET statement_timeout;
TABLE xact_left;
BEGIN;
SELECT xact_put(2, 80);
SAVEPOINT a;
SET LOCAL statement_timeout = '200ms';
SELECT * FROM shoal.run_on_nodes('SELECT pg_sleep(60)', '{2,3}');
ROLLBACK TO a;
SELECT xact_put(3, 80);
COMMIT;
-- and so does lock_timeout
\c shoal_n2
BEGIN; LOCK TABLE xact_t; PREPARE TRANSACTION 'xact_lock';
\c shoal_n1
SET client_min_messages = warning;
SET lock_timeout = '100ms';
SELECT result FROM shoal.run_on_nodes('LOCK TABLE xact_t', '{2}');
RESET lock_timeout;
\c shoal_n2
ROLLBACK PREPARED 'xact_lock';
\c shoal_n1
SET client_min_messages = warning;

-- connections that are lost: idle, in a transaction, in a subtransaction
CREATE VIEW xact_kill AS SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
	WHERE application_name = 'shoal' AND datname = 'shoal_n2';
SELECT xact_put(2, 90);
TABLE xact_kill;
-- a connection that has just answered is not looked at
SELECT FROM pg_sleep(0.2);
SELECT xact_put(2, 91);
BEGIN; SELECT xact_put(3, 92), xact_put(2, 92); TABLE xact_kill; SELECT xact_put(2, 93); COMMIT;
BEGIN; SELECT xact_put(3, 92), xact_put(2, 92); TABLE xact_kill; COMMIT;
BEGIN; SELECT xact_put(3, 92), xact_put(2, 92); TABLE xact_kill; ROLLBACK;
BEGIN; SELECT xact_put(3, 92); SAVEPOINT a; SELECT xact_put(2, 92); TABLE xact_kill; ROLLBACK TO a;
SELECT xact_put(2, 92);
COMMIT;
SELECT rows FROM xact_rows() WHERE node > 1;

-- connections of this session
SELECT count(*) FROM shoal.connections;
SELECT state, wrote FROM shoal.connections WHERE node_id = 2;

-- in doubt: with a record committed, without rolled back
\c shoal_n2
BEGIN; INSERT INTO xact_t VALUES (100); PREPARE TRANSACTION 'shoal_1_3_1_1_2';
BEGIN; INSERT INTO xact_t VALUES (101); PREPARE TRANSACTION 'shoal_1_4_1_1_2';
BEGIN; INSERT INTO xact_t VALUES (102); PREPARE TRANSACTION 'shoal_2_4_1_1_2';
\c shoal_n1
INSERT INTO shoal.commit_record VALUES ('shoal_1_3_1_1_2');
SELECT shoal.recover_prepared_transactions();
SELECT count(*) FROM shoal.commit_record;
SELECT result FROM shoal.run_on_nodes('SELECT string_agg(a::text, '','' ORDER BY a) FROM xact_t WHERE a >= 100', '{2}');
\c shoal_n2
ROLLBACK PREPARED 'shoal_2_4_1_1_2';
-- what looks so is not made by users
CREATE ROLE xact_user;
SET ROLE xact_user;
BEGIN; PREPARE TRANSACTION 'shoal_1_3_1_1_2';
ROLLBACK;
BEGIN; PREPARE TRANSACTION 'shoal';
ROLLBACK PREPARED 'shoal';
RESET ROLE;
DROP ROLE xact_user;
\c shoal_n1

-- a session leaves no records behind
SET client_min_messages = warning;
BEGIN; SELECT xact_put(2, 103), xact_put(3, 103); COMMIT;
SELECT count(*) > 0 AS recorded FROM shoal.commit_record;
\c shoal_n1
DO $$
BEGIN
	FOR i IN 1..100 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM shoal.commit_record);
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
SELECT count(*) FROM shoal.commit_record;

-- security-definer functions use the same connection
SET client_min_messages = warning;
SELECT DISTINCT result FROM shoal.run_on_nodes('GRANT ALL ON xact_t TO shoal_xact_role', '{1,2,3}');
CREATE FUNCTION xact_put_as(node int, a int) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	SELECT result FROM shoal.run_on_nodes(
		format('INSERT INTO public.xact_t VALUES (%s, current_user) RETURNING b', a), ARRAY[node])
$$;
ALTER FUNCTION xact_put_as OWNER TO shoal_xact_role;
SELECT xact_put_as(2, 110);
BEGIN; SELECT xact_put_as(2, 111); SELECT xact_put(3, 111); COMMIT;
BEGIN; SELECT xact_put(2, 112); SELECT xact_put_as(2, 113); COMMIT;

-- a sequence for the whole cluster
SELECT DISTINCT result FROM shoal.run_on_nodes('CREATE SEQUENCE xact_s');
SELECT result FROM shoal.run_on_nodes('SELECT shoal.cluster_nextval(''xact_s'')') ORDER BY 1;
BEGIN; SELECT shoal.cluster_nextval('xact_s'); ROLLBACK;
SELECT shoal.cluster_nextval('xact_s');

-- READ ONLY ends with the savepoint that it was set in, on nodes as well
BEGIN;
SAVEPOINT a;
SET TRANSACTION READ ONLY;
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT count(*) FROM xact_t WHERE false');
SAVEPOINT b;
SELECT result FROM shoal.run_on_nodes('DELETE FROM xact_t WHERE false', '{2}');
ROLLBACK TO b;
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT count(*) FROM xact_t WHERE false');
ROLLBACK TO a;
SELECT DISTINCT result FROM shoal.run_on_nodes('DELETE FROM xact_t WHERE false');
COMMIT;
BEGIN;
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT count(*) FROM xact_t WHERE false');
SET TRANSACTION READ ONLY;
SELECT result FROM shoal.run_on_nodes('DELETE FROM xact_t WHERE false', '{2}');
COMMIT;

-- bad input
SELECT * FROM shoal.run_on_nodes(NULL);
SELECT * FROM shoal.run_on_nodes('SELECT 1', '{4}');
SELECT * FROM shoal.run_on_nodes('SELECT 1', '{}');
SELECT * FROM shoal.run_on_nodes('BEGIN', '{2}');
SELECT * FROM shoal.run_on_nodes('COPY xact_t TO STDOUT', '{2}');
SELECT * FROM shoal.run_on_nodes('SELECT 1; SELECT 2', '{2}');
SELECT xact_put(2, 120);

DROP VIEW xact_left, xact_kill;
DROP FUNCTION xact_rows, xact_put, xact_put_as;
DROP PROCEDURE xact_steps;
SELECT DISTINCT result FROM shoal.run_on_nodes('DROP TABLE xact_t');
SELECT DISTINCT result FROM shoal.run_on_nodes('DROP SEQUENCE xact_s');
REVOKE EXECUTE ON FUNCTION shoal.run_on_nodes FROM shoal_xact_role;
DROP ROLE shoal_xact_role;
