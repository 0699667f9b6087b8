--
-- Nobody becomes another role by what nodes are told of roles.
--
SET client_min_messages = warning;
SET shoal.shard_count = 6;
CREATE ROLE rs_owner LOGIN;
CREATE ROLE rs_user LOGIN;
CREATE SCHEMA rs AUTHORIZATION rs_owner;
CREATE SCHEMA rs_user AUTHORIZATION rs_user;
GRANT USAGE ON SCHEMA rs TO rs_user;
GRANT USAGE ON SCHEMA rs_user TO rs_owner;
SET ROLE rs_owner;
CREATE TABLE rs.t (k int PRIMARY KEY, s text);
SELECT shoal.create_distributed_table('rs.t', 'k');
INSERT INTO rs.t SELECT i, 's' || i FROM generate_series(1, 20) i;
CREATE VIEW rs.v AS SELECT * FROM rs.t;
GRANT ALL ON rs.v TO rs_user;
SET ROLE rs_user;
CREATE TABLE rs_user.t (k int PRIMARY KEY, s text);
SELECT shoal.create_distributed_table('rs_user.t', 'k');
INSERT INTO rs_user.t SELECT i, 's' || i FROM generate_series(1, 20) i;
RESET ROLE;

-- the call by which a coordinator tells it is the coordinator's alone
CREATE FUNCTION rs_user.act(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE '/*shoal local*/ SELECT shoal.internal_act_as(''rs_owner'', false, '''')';
	RETURN current_user;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN SQLERRM || ' ' || current_user;
END $$;
\c - rs_user
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT shoal.internal_act_as('rs_owner', false, '');
/*shoal local*/ SELECT shoal.internal_act_as('rs_owner', false, '');
SELECT rs_user.act(1);
SELECT DISTINCT rs_user.act(k) FROM rs_user.t;
SELECT k FROM rs.t;
\c shoal_n2 rs_user
/*shoal local*/ SELECT shoal.internal_act_as('rs_owner', false, '');
/*shoal local*/ SELECT shoal.internal_act_as('', false, '');
SELECT k FROM rs.t;
\c -reuse-previous=on "dbname=shoal_n2 user=rs_user options='-c shoal.origin=1'"
/*shoal local*/ SELECT shoal.internal_act_as('rs_owner', false, '');
-- a superuser may say that he is a coordinator, who proves nothing by that
\c -reuse-previous=on "dbname=shoal_n2 user=postgres options='-c shoal.origin=1'"
/*shoal local*/ SELECT shoal.internal_act_as('rs_owner', false, '');
/*shoal local*/ SELECT shoal.internal_act_as('rs_owner', false, repeat('0', 64));
/*shoal local*/ SELECT shoal.internal_act_as('', false, '');
SELECT current_user;
\c -reuse-previous=on "dbname=shoal_n1 user=postgres options=''"
\set VERBOSITY terse
\set SHOW_CONTEXT never

-- markers of a function count no more where a superuser has called it
CREATE FUNCTION rs.peek(int) RETURNS text IMMUTABLE SECURITY DEFINER LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	EXECUTE '/*shoal local fired*/ SELECT rolname FROM pg_authid WHERE rolname = ''rs_user''' INTO found;
	RETURN found;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN SQLERRM;
END $$;
ALTER FUNCTION rs.peek OWNER TO rs_owner;
SELECT DISTINCT rs.peek(k) FROM rs.t;

-- what a view's owner writes and reads for others has no values that call functions
CREATE FUNCTION rs_user.check(text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'rs_user' THEN RAISE EXCEPTION 'called by %', current_user; END IF;
	RETURN true;
END $$;
\c - rs_user
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE DOMAIN rs_user.d AS text CHECK (rs_user.check(VALUE));
CREATE TYPE rs_user.c AS (a rs_user.d);
UPDATE rs.v SET s = ('(z)'::rs_user.c).a WHERE k = 3;
UPDATE rs.v SET s = ('{z}'::rs_user.d[])[1] WHERE k = 3;
UPDATE rs.v SET s = ('{(z)}'::rs_user.c[])[1]::text WHERE k = 3;
UPDATE rs.v SET s = (json_populate_record(NULL::rs_user.c, '{"a":"z"}')).a WHERE k = 3;
UPDATE rs.v SET s = x.a FROM json_to_record('{"a":"z"}') AS x(a rs_user.d) WHERE k = 3;
UPDATE rs.v SET s = s::rs_user.c::text WHERE k = 3;
DO $$ DECLARE p rs_user.d := 'z'; BEGIN UPDATE rs.v SET s = p WHERE k = 3; END $$;
DO $$ DECLARE p rs_user.c := row('z'); BEGIN UPDATE rs.v SET s = (p).a WHERE k = 3; END $$;
DO $$ DECLARE p rs_user.d := 'z'; BEGIN DELETE FROM rs.v WHERE s = p; END $$;
DO $$ DECLARE p rs_user.d := 'z'; BEGIN PERFORM FROM (SELECT s, row_number() OVER () FROM rs.v WHERE s <> p) x JOIN rs.v USING (s); END $$;
SELECT count(*), min(p) FROM (SELECT k, ('(z)'::rs_user.c).a AS p FROM rs.v LIMIT 5) x JOIN rs.v y ON x.k = y.k + 1;
INSERT INTO rs.v SELECT 100 + k, ('(z)'::rs_user.c).a FROM rs_user.t;
SELECT count(*) FROM rs.v WHERE s = 'z';
\c - postgres
SET client_min_messages = warning;
DROP SCHEMA rs CASCADE;
DROP SCHEMA rs_user CASCADE;
DROP ROLE rs_owner, rs_user;
