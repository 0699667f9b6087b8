--
-- What one transaction does as several roles: the session's user, owners of
-- security-definer functions and of views, of tables whose foreign keys act.  On nodes
-- all of it is done in one session.  Everything is done with local twins as well.
--
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE ROLE ro_owner NOLOGIN;
CREATE ROLE ro_other NOLOGIN;
CREATE ROLE ro_user LOGIN;
CREATE ROLE ro_group NOLOGIN;
GRANT ro_group TO ro_user;
CREATE FUNCTION public.ro_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE SCHEMA %I', name);
	EXECUTE format('GRANT ALL ON SCHEMA %I TO ro_owner, ro_other', name);
	EXECUTE format('GRANT USAGE ON SCHEMA %I TO ro_user, ro_group', name);
	PERFORM set_config('search_path', name, true);
	CREATE TABLE mine (k int PRIMARY KEY, s text);
	SET LOCAL ROLE ro_other;
	CREATE TABLE audit (k int, who text, s text);
	CREATE TABLE r (id int PRIMARY KEY, s text);
	SET LOCAL ROLE ro_owner;
	CREATE TABLE t (k int PRIMARY KEY, n int DEFAULT 7, s text);
	IF name = 'ro' THEN
		RESET ROLE;
		PERFORM shoal.create_distributed_table('mine', 'k', shard_count => 6);
		PERFORM shoal.create_distributed_table('audit', 'k');
		PERFORM shoal.create_reference_table('r');
		PERFORM shoal.create_distributed_table('t', 'k');
		SET LOCAL ROLE ro_owner;
	END IF;
	INSERT INTO t SELECT i, i, 't' || i FROM generate_series(1, 30) i;
	CREATE VIEW v AS SELECT * FROM t WHERE n < 1000;
	GRANT ALL ON v TO ro_user;
	EXECUTE format('CREATE FUNCTION put(int, int, text) RETURNS bigint SECURITY DEFINER LANGUAGE sql SET search_path = %I AS '
		'$f$ WITH w AS (INSERT INTO t SELECT i, i, $3 FROM generate_series($1, $2) i RETURNING 1) SELECT count(*) FROM w $f$', name);
	EXECUTE format('CREATE FUNCTION total() RETURNS text SECURITY DEFINER LANGUAGE sql SET search_path = %I AS '
		'$f$ SELECT count(*) || '' '' || sum(n) || '' '' || current_user || '' '' || session_user FROM t $f$', name);
	EXECUTE format('CREATE FUNCTION fail_put(int) RETURNS text SECURITY DEFINER LANGUAGE plpgsql SET search_path = %I AS '
		'$f$ BEGIN INSERT INTO t VALUES ($1, 0, ''f''); INSERT INTO t VALUES ($1 + 1, 0, ''f''), (1, 0, ''twice''); RETURN ''put''; '
		'EXCEPTION WHEN unique_violation THEN INSERT INTO t VALUES ($1 + 2, 0, ''failed''); RETURN current_user; END $f$', name);
	SET LOCAL ROLE ro_other;
	CREATE VIEW rv AS SELECT * FROM r;
	CREATE VIEW av AS SELECT * FROM audit;
	GRANT ALL ON rv, av TO ro_user;
	EXECUTE format('CREATE FUNCTION note() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql SET search_path = %I AS '
		'$f$ BEGIN INSERT INTO audit VALUES (NEW.k, current_user || '' '' || session_user, NEW.s); RETURN NEW; END $f$', name);
	RESET ROLE;
	GRANT ALL ON mine TO ro_user, ro_group;
	CREATE TRIGGER note AFTER INSERT OR UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION note();
END $$;
SELECT ro_make('ro');
SELECT ro_make('ro_twin');
-- rows that differ from the twin's
CREATE FUNCTION public.ro_differ() RETURNS TABLE (name text, rows bigint, differ bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH name IN ARRAY ARRAY['mine', 'audit', 't', 'r'] LOOP
		EXECUTE format('SELECT (SELECT count(*) FROM ro.%1$I), count(*) FROM ((TABLE ro.%1$I EXCEPT ALL TABLE ro_twin.%1$I) '
			'UNION ALL (TABLE ro_twin.%1$I EXCEPT ALL TABLE ro.%1$I)) d', name) INTO rows, differ;
		RETURN NEXT;
	END LOOP;
END $$;
\c - ro_user
\set VERBOSITY terse
\set SHOW_CONTEXT never

-- a definer's changes are the transaction's, and it sees what others have done in it
\set script 'BEGIN; SELECT put(31, 60, ''p''); INSERT INTO mine SELECT i, ''m'' FROM generate_series(1, 30) i; SELECT put(61, 61, ''one''); SELECT total(); UPDATE mine SET s = ''again'' WHERE k < 5; SELECT count(*), max(who) FROM av; COMMIT;'
SET search_path = ro; :script
SET search_path = ro_twin; :script
-- and go with it, or with a part of it
\set script 'BEGIN; INSERT INTO mine VALUES (100, ''a''); SAVEPOINT a; SELECT put(70, 80, ''gone''); ROLLBACK TO a; SELECT total(); SELECT put(81, 90, ''kept''); SAVEPOINT b; SELECT put(91, 92, ''gone''); UPDATE mine SET s = ''gone'' WHERE k = 100; ROLLBACK TO b; UPDATE mine SET s = s || ''!'' WHERE k = 100; SELECT fail_put(200), fail_put(300), total(); COMMIT; BEGIN; SELECT put(93, 99, ''gone''); ROLLBACK; SELECT total();'
SET search_path = ro; :script
SET search_path = ro_twin; :script
-- the session's user may not do by himself what he has had done
\set script 'BEGIN; SELECT put(400, 401, ''p''); SELECT * FROM t; ROLLBACK; BEGIN; SELECT put(400, 401, ''p''); INSERT INTO t VALUES (402); COMMIT; BEGIN; UPDATE v SET s = ''v'' WHERE k = 1; UPDATE t SET s = ''no'' WHERE k = 2; ROLLBACK;'
SET search_path = ro; :script
SET search_path = ro_twin; :script
-- with SET ROLE around it
\set script 'BEGIN; SET LOCAL ROLE ro_group; INSERT INTO mine VALUES (101, ''as a group''); SELECT put(410, 411, ''g''); SELECT total(); SELECT count(*) FROM t; ROLLBACK; SET ROLE ro_group; INSERT INTO mine VALUES (102, ''as a group''); RESET ROLE; INSERT INTO mine VALUES (103, ''not''); SELECT total();'
SET search_path = ro; :script
SET search_path = ro_twin; :script
-- one snapshot for all of them
\set script 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM mine; SELECT total(); SELECT put(420, 430, ''rr''); UPDATE v SET n = n + 1 WHERE k > 420; SELECT total(); SELECT count(*), sum(n) FROM v; COMMIT;'
SET search_path = ro; :script
SET search_path = ro_twin; :script
-- views of two owners, and tables of one's own, in one transaction and in one statement
\set script 'BEGIN; UPDATE v SET s = ''v'' WHERE k < 10; UPDATE mine SET s = ''v'' WHERE k < 10; INSERT INTO v VALUES (440, 1, ''x''), (441, 2, ''y''); INSERT INTO rv SELECT k, s FROM v WHERE k > 25; DELETE FROM v WHERE k = 20; SELECT count(*) FROM v JOIN mine USING (k) JOIN rv ON id = k; COMMIT;'
SET search_path = ro; :script
SET search_path = ro_twin; :script
\set script 'WITH a AS (UPDATE v SET s = ''with'' WHERE k < 8 RETURNING k, n), b AS (INSERT INTO mine SELECT k + 1000, ''with'' FROM a RETURNING k), c AS (DELETE FROM av WHERE k > 28 RETURNING k), d AS (UPDATE rv SET s = s || ''!'' WHERE id < 29 RETURNING id) SELECT (SELECT sum(n) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM c), (SELECT count(*) FROM d), (SELECT count(*) FROM mine), (SELECT count(*) FROM v WHERE s = ''with'');'
SET search_path = ro; :script
SET search_path = ro_twin; :script
\set script 'WITH a AS (UPDATE v SET n = 0 WHERE k = 1 RETURNING k) DELETE FROM v USING a WHERE v.k = a.k + 1 RETURNING v.*; WITH a AS (DELETE FROM rv WHERE id = 30 RETURNING id) UPDATE v SET s = ''r'' FROM a WHERE k = id;'
SET search_path = ro; :script
SET search_path = ro_twin; :script
RESET search_path;
-- the same from another node
\set script 'BEGIN; SELECT put(600, 640, ''other''); UPDATE rv SET s = ''n'' WHERE id < 28; INSERT INTO mine SELECT i, ''n'' FROM generate_series(600, 620) i; SAVEPOINT a; SELECT fail_put(700); DELETE FROM v WHERE k > 635; ROLLBACK TO a; UPDATE v SET n = k WHERE k > 638; INSERT INTO rv VALUES (99, ''n''); SELECT total(); COMMIT; UPDATE v SET s = ''alone'' WHERE k = 600; INSERT INTO rv VALUES (98, ''alone''); SELECT count(*) FROM v JOIN rv ON k % 100 = id;'
SET search_path = ro_twin; :script
\c shoal_n3 ro_user
SET search_path = ro; :script
\c shoal_n1 postgres
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT * FROM ro_differ();
SELECT everywhere('SELECT md5(string_agg(r::text, '','' ORDER BY id)) FROM ro.r') ~ '^(\w+) \1 \1$' AS same;

-- a session that becomes another user's in the middle of a transaction
\set script 'BEGIN; INSERT INTO t SELECT i FROM generate_series(801, 810) i; SET LOCAL SESSION AUTHORIZATION ro_user; SELECT total(); SELECT count(*) FROM t; ROLLBACK; BEGIN; UPDATE mine SET s = current_user || k WHERE k < 4; SET LOCAL SESSION AUTHORIZATION ro_user; UPDATE mine SET s = s || current_user WHERE k < 3; RESET SESSION AUTHORIZATION; SELECT k, s FROM mine WHERE k < 4 ORDER BY k; COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM mine; SET LOCAL SESSION AUTHORIZATION ro_user; SELECT count(*) FROM mine; COMMIT;'
SET search_path = ro; :script
SET search_path = ro_twin; :script
RESET search_path;

-- who it is that functions on the nodes see
CREATE FUNCTION public.ro_who(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN current_user || '' '' || session_user; END';
CREATE FUNCTION public.ro_become(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('role', 'none', false);
	RETURN 'has become ' || current_user;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
CREATE FUNCTION public.ro_whose() RETURNS SETOF text SECURITY DEFINER LANGUAGE sql AS 'SELECT DISTINCT ro_who(k) || '', '' || ro_become(k) FROM ro.t';
ALTER FUNCTION public.ro_whose() OWNER TO ro_owner;
-- what is put off until the end is the session's user's; from 18 on, of who has caused it
CREATE FUNCTION public.ro_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'late: right user %, for %',
		current_user = CASE WHEN current_setting('server_version_num')::int < 180000 THEN 'ro_user' ELSE 'ro_owner' END, session_user;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON ro.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.ro_late();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON ro_twin.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.ro_late();
\c - ro_user
SELECT * FROM ro_whose();
BEGIN;
SELECT count(*) FROM ro.mine;
SELECT * FROM ro_whose();
SELECT DISTINCT ro_who(k) FROM ro.mine;
COMMIT;
SELECT ro.put(450, 450, 'late');
SELECT ro_twin.put(450, 450, 'late');
BEGIN; SELECT ro.put(451, 451, 'late'); UPDATE ro.mine SET s = 'late' WHERE k = 1; COMMIT;
BEGIN; SELECT ro_twin.put(451, 451, 'late'); UPDATE ro_twin.mine SET s = 'late' WHERE k = 1; COMMIT;
\c - postgres
\set VERBOSITY terse
\set SHOW_CONTEXT never
DROP TRIGGER late ON ro.t;
DROP TRIGGER late ON ro_twin.t;

-- foreign keys' actions are their table's owner's, in the user's transaction
CREATE FUNCTION public.ro_act(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', name, true);
	EXECUTE 'CREATE TABLE p (k int PRIMARY KEY, s text)';
	EXECUTE 'CREATE TABLE c (id int, k int, s text, PRIMARY KEY (k, id))';
	IF name = 'ro' THEN
		PERFORM shoal.create_distributed_table('p', 'k', shard_count => 6);
		PERFORM shoal.create_distributed_table('c', 'k', 'p');
	END IF;
	EXECUTE 'INSERT INTO p SELECT i, ''p'' FROM generate_series(1, 20) i';
	EXECUTE 'INSERT INTO c SELECT i, 1 + i % 20, ''c'' FROM generate_series(1, 100) i';
	EXECUTE 'ALTER TABLE c ADD FOREIGN KEY (k) REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE';
	EXECUTE 'ALTER TABLE c OWNER TO ro_other';
	EXECUTE 'ALTER TABLE p OWNER TO ro_owner';
	EXECUTE 'GRANT ALL ON p TO ro_user, ro_other; GRANT ALL ON c TO ro_owner';
END $$;
SELECT ro_act('ro');
SELECT ro_act('ro_twin');
\c - ro_user
\set VERBOSITY terse
\set SHOW_CONTEXT never
\set script 'BEGIN; INSERT INTO mine VALUES (500, ''x''); UPDATE p SET k = k + 100 WHERE k < 6; UPDATE mine SET s = ''y'' WHERE k = 500; INSERT INTO p VALUES (1, ''new''); DELETE FROM p WHERE k > 103; SELECT count(*) FROM p; COMMIT; UPDATE p SET k = k + 200; SELECT count(*) FROM c;'
SET search_path = ro; :script
SET search_path = ro_twin; :script
RESET search_path;
\c - postgres
SELECT count(*), sum(k) FROM ro.c;
SELECT count(*), sum(k) FROM ro_twin.c;
SELECT * FROM (TABLE ro.p EXCEPT TABLE ro_twin.p) d;

SET client_min_messages = warning;
DROP SCHEMA ro CASCADE;
DROP SCHEMA ro_twin CASCADE;
DROP FUNCTION ro_make, ro_differ, ro_who, ro_become, ro_whose, ro_late, ro_act;
DROP OWNED BY ro_owner, ro_other, ro_user, ro_group;
DROP ROLE ro_owner, ro_other, ro_user, ro_group;
