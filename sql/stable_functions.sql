--
-- A stable function reads as of the beginning of the statement that calls it, whatever
-- this one, or other functions in it, have written meanwhile.
--
\set SHOW_CONTEXT never
CREATE SCHEMA stable;
CREATE SCHEMA stable_twin;
CREATE FUNCTION public.stable_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', name, true);
	CREATE TABLE t (k int, v int);
	CREATE TABLE r (k int PRIMARY KEY, v int);
	IF name = 'stable' THEN
		PERFORM shoal.create_distributed_table('t', 'k', shard_count => 6);
		PERFORM shoal.create_reference_table('r');
	END IF;
	CREATE FUNCTION before() RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT count(*) FROM t); END';
	CREATE FUNCTION before_sql() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM t';
	CREATE FUNCTION before_loop() RETURNS bigint LANGUAGE plpgsql STABLE AS $f$
	DECLARE
		n bigint := 0;
		row record;
	BEGIN
		FOR row IN SELECT * FROM t LOOP
			n := n + 1;
		END LOOP;
		RETURN n;
	END $f$;
	CREATE FUNCTION before_caught() RETURNS text LANGUAGE plpgsql STABLE AS $f$
	BEGIN
		RETURN (SELECT 1 / (count(*) - count(*)) FROM t);
	EXCEPTION WHEN division_by_zero THEN
		RETURN 'caught ' || before();
	END $f$;
	CREATE FUNCTION before_here() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT v FROM t WHERE k = 1 LIMIT 1); END';
	CREATE FUNCTION before_r() RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT count(*) FROM r); END';
	CREATE FUNCTION opened() RETURNS refcursor LANGUAGE plpgsql STABLE AS $f$
	DECLARE
		c refcursor := 'opened';
	BEGIN
		OPEN c FOR SELECT count(*) FROM t;
		RETURN c;
	END $f$;
	CREATE FUNCTION so_far() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM t); END';
	CREATE FUNCTION put(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO t VALUES ($1, $1); RETURN $1; END';
	CREATE FUNCTION within() RETURNS text LANGUAGE plpgsql AS $f$
	DECLARE
		result text;
	BEGIN
		WITH a AS (INSERT INTO t SELECT i, i FROM generate_series(1, 3) i RETURNING k, before(), before_loop(), so_far())
		SELECT string_agg(a::text, ' ' ORDER BY k) INTO result FROM a;
		RETURN result || ' ' || so_far();
	END $f$;
END $$;
SELECT stable_make('stable'), stable_make('stable_twin');
CREATE FUNCTION public.stable_both(q text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN p IS NOT DISTINCT FROM d THEN p ELSE 'DIFFERENT: ' || concat_ws(' / ', p, d) END
	FROM (SELECT public.run(q, 'stable_twin') AS p, public.run(q, 'stable') AS d) x
$$;
SET search_path = stable, public;

SELECT stable_both('INSERT INTO t SELECT i, i FROM generate_series(1, 4) i RETURNING k, before(), before_sql(), before_loop(), before_here()');
SELECT stable_both('INSERT INTO t SELECT i, i FROM generate_series(1, 4) i RETURNING k, before(), before_caught(), so_far()');
SELECT stable_both('INSERT INTO t VALUES (5, 5), (6, 6) RETURNING before()');
SELECT stable_both('INSERT INTO t VALUES (7, 7) RETURNING before()');
SELECT stable_both('INSERT INTO r SELECT i, i FROM generate_series(1, 3) i RETURNING before_r(), before()');
SELECT stable_both('UPDATE t SET v = 10 WHERE k = 1 RETURNING before(), before_here()');
SELECT stable_both('DELETE FROM t WHERE k = 5 RETURNING before(), before_loop(), so_far()');
SELECT stable_both('DELETE FROM t WHERE k = 6 OR k = 7 RETURNING before()');
SELECT stable_both('SELECT put(i), before(), before_sql(), before_loop(), so_far() FROM generate_series(1, 4) i');
SELECT stable_both('WITH a AS (INSERT INTO t SELECT i, i FROM generate_series(1, 2) i RETURNING *) SELECT k, before(), before_loop() FROM a');
SELECT stable_both('WITH a AS (DELETE FROM t WHERE k = 1 RETURNING *) SELECT k, before() FROM a');
SELECT stable_both('SELECT within()'), stable_both('SELECT within()');
SELECT stable_both('SELECT count(*), min(before()), max(before()) FROM t');
SELECT stable_both('SELECT (SELECT before() FROM t WHERE k = 2 LIMIT 1) || '' '' || (SELECT count(*) FROM t WHERE before_here() IS NOT NULL)');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT stable_both('INSERT INTO t SELECT i, i FROM generate_series(1, 3) i RETURNING k, before(), so_far()');
SELECT stable_both('SELECT put(i), before(), before_loop(), so_far() FROM generate_series(1, 3) i');
COMMIT;

-- cursors read as of when they were opened, and so do functions that they call
BEGIN;
DECLARE c CURSOR FOR SELECT k, before(), before_loop(), so_far() FROM t WHERE k < 4 GROUP BY k ORDER BY k;
DECLARE d CURSOR FOR SELECT k, stable_twin.before(), stable_twin.before_loop(), stable_twin.so_far()
	FROM stable_twin.t WHERE k < 4 GROUP BY k ORDER BY k;
FETCH c;
INSERT INTO t VALUES (100, 1);
FETCH 2 c;
SET LOCAL search_path = stable_twin, public;
FETCH d;
INSERT INTO t VALUES (100, 1);
FETCH 2 d;
ROLLBACK;

-- one that a stable function has opened outlives the statement
BEGIN;
INSERT INTO t SELECT i, i FROM generate_series(1, 3) i RETURNING CASE k WHEN 2 THEN opened() END;
INSERT INTO t SELECT i, i FROM generate_series(1, 3) i;
FETCH opened;
SELECT count(*) FROM t;
ROLLBACK;

SET client_min_messages = warning;
DROP SCHEMA stable, stable_twin CASCADE;
DROP FUNCTION public.stable_make, public.stable_both;
