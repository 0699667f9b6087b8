--
-- Functions that look at the table that a statement writes see the rows that it has
-- written so far.
--
\set SHOW_CONTEXT never
CREATE SCHEMA rbr;
CREATE SCHEMA rbr_twin;
CREATE FUNCTION public.rbr_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', name, true);
	CREATE TABLE t (k int, v int, s text);
	CREATE TABLE r (k int PRIMARY KEY, v int);
	CREATE TABLE src (k int PRIMARY KEY, v int);
	IF name = 'rbr' THEN
		PERFORM shoal.create_distributed_table('t', 'k', shard_count => 6);
		PERFORM shoal.create_distributed_table('src', 'k', colocate_with => 't');
		PERFORM shoal.create_reference_table('r');
	END IF;
	INSERT INTO src SELECT i, i FROM generate_series(1, 30) i;
	CREATE FUNCTION next_id() RETURNS int LANGUAGE plpgsql AS
		'BEGIN RETURN (SELECT coalesce(max(k), 0) + 1 FROM t); END';
	CREATE FUNCTION next_v() RETURNS int LANGUAGE plpgsql AS
		'BEGIN RETURN (SELECT coalesce(max(v), 0) + 1 FROM t); END';
	CREATE FUNCTION next_r() RETURNS int LANGUAGE sql AS 'SELECT coalesce(max(k), 0) + 1 FROM r';
	CREATE FUNCTION rows_now() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t';
	CREATE FUNCTION rows_before() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM t';
	CREATE VIEW seen AS SELECT max(k) AS m FROM t;
	CREATE FUNCTION by_view() RETURNS int LANGUAGE sql AS 'SELECT m + 1 FROM seen';
	CREATE FUNCTION by_call(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN next_id() + $1; END';
	CREATE FUNCTION by_text() RETURNS int LANGUAGE plpgsql AS $f$
	DECLARE
		n int;
	BEGIN
		EXECUTE 'SELECT max(k) + 1 FR' || 'OM t' INTO n;
		RETURN n;
	END $f$;
	CREATE FUNCTION by_name() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max("k") + 1 FROM "t"); END';
	CREATE FUNCTION elsewhere(int) RETURNS int LANGUAGE plpgsql AS
		'BEGIN RETURN (SELECT v FROM src WHERE k = $1); END';
	CREATE FUNCTION touch(int) RETURNS int LANGUAGE plpgsql AS $f$
	BEGIN
		UPDATE t SET s = 'touched' WHERE k IN ($1 - 1, $1 + 1);
		RETURN $1;
	END $f$;
	CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $f$
	BEGIN
		new.s := 'marked';
		RETURN new;
	END $f$;
END $$;
SELECT rbr_make('rbr'), rbr_make('rbr_twin');
CREATE FUNCTION public.rbr_both(q text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN p IS NOT DISTINCT FROM d THEN left(p, 90) ELSE 'DIFFERENT: ' || concat_ws(' / ', p, d) END
	FROM (SELECT split_part(public.run(q, 'rbr_twin'), '; ', 1) AS p, split_part(public.run(q, 'rbr'), '; ', 1) AS d) x
$$;
SET search_path = rbr, public;

SELECT rbr_both('INSERT INTO t VALUES (next_id(), 1), (next_id(), 2), (next_id(), 3) RETURNING *');
SELECT rbr_both('INSERT INTO t SELECT next_id(), i FROM generate_series(1, 25) i');
SELECT rbr_both('INSERT INTO t SELECT next_id(), v FROM src ORDER BY k');
SELECT rbr_both('INSERT INTO t SELECT next_id(), v FROM t');
SELECT rbr_both('INSERT INTO t SELECT next_id(), 1 UNION ALL SELECT next_id(), v FROM src WHERE k < 5');
SELECT rbr_both('INSERT INTO t SELECT next_id(), count(*) FROM t JOIN src USING (k) GROUP BY src.v % 3 RETURNING k');
SELECT rbr_both('WITH a AS (INSERT INTO t SELECT next_id(), 0 FROM generate_series(1, 3) RETURNING k) SELECT * FROM a');
SELECT rbr_both('INSERT INTO t SELECT k + 1000, rows_now() FROM src WHERE k < 4 ORDER BY k RETURNING v');
SELECT rbr_both('INSERT INTO t SELECT k + 1000, rows_before() FROM src WHERE k < 4 ORDER BY k');
SELECT rbr_both('SELECT count(*), count(DISTINCT k), max(k) FROM t');
SELECT rbr_both('INSERT INTO t SELECT ' || f || ', 1 FROM generate_series(1, 4) RETURNING k')
FROM unnest('{by_view(),by_call(2),by_text(),by_name(),elsewhere(7)}'::text[]) f;
SELECT rbr_both('INSERT INTO r SELECT next_r(), v FROM src');
SELECT rbr_both('INSERT INTO r VALUES (next_r(), 1), (next_r(), 2) ON CONFLICT DO NOTHING RETURNING k');
SELECT rbr_both('SELECT count(*), max(k) FROM r');

-- defaults
ALTER TABLE t ALTER k SET DEFAULT next_id();
ALTER TABLE rbr_twin.t ALTER k SET DEFAULT rbr_twin.next_id();
ALTER TABLE r ALTER k SET DEFAULT next_r();
TRUNCATE t, rbr_twin.t;
COPY t (v) FROM stdin;
1
2
3
\.
COPY r (v) FROM stdin;
1
2
\.
SELECT * FROM t ORDER BY k, v;
SELECT * FROM r WHERE k > 32 ORDER BY k;
COPY t (v) FROM stdin WHERE v > 0;
4
\.
SELECT count(*), max(k) FROM t;

-- conditions of COPY
CREATE FUNCTION is_new(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN NOT EXISTS (SELECT FROM t WHERE v = $1); END';
CREATE TABLE "two words" (k int, "a b" text DEFAULT 'x', i int GENERATED ALWAYS AS IDENTITY, g int GENERATED ALWAYS AS (k + 1) STORED);
SELECT shoal.create_distributed_table('"two words"', 'k');
CREATE FUNCTION many() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM "two words"';
COPY t (k, v) FROM stdin WHERE is_new(v) AND k > 0;
101	101
102	102
103	101
104	104
105	102
\.
COPY "two words" (k) FROM stdin WHERE many() < 2 AND ("a b" = 'x' OR "two words".k > 5);
1
2
3
\.
SELECT k, v FROM t WHERE v > 100 ORDER BY k;
SELECT * FROM "two words" ORDER BY k;
TRUNCATE t;
SELECT rbr_both('INSERT INTO t (v) SELECT v FROM src');
SELECT rbr_both('INSERT INTO t (v) VALUES (1), (2) RETURNING k');

-- new values, and conditions
SELECT rbr_both('UPDATE t SET v = 0'), rbr_both('UPDATE t SET v = next_v()');
SELECT rbr_both('SELECT count(*), count(DISTINCT v), max(v) FROM t');
SELECT rbr_both('UPDATE t SET v = 0'), rbr_both('UPDATE t SET v = next_v() WHERE k < 7 RETURNING 1');
SELECT rbr_both('SELECT count(*), count(DISTINCT v), max(v) FROM t');
SELECT rbr_both('DELETE FROM t WHERE rows_now() > 20');
TRUNCATE t, rbr_twin.t;
SELECT rbr_both('INSERT INTO t SELECT v, v FROM src');
-- what a function has changed meanwhile is not left out in silence
SELECT rbr_both('UPDATE t SET v = touch(k) WHERE k > 0');
SELECT rbr_both('UPDATE t SET v = touch(k + 1000) WHERE k > 0');
SELECT rbr_both('SELECT count(*) FROM t WHERE s IS NOT NULL');
SELECT rbr_both('UPDATE t SET v = touch(1000) FROM src a, src b WHERE a.k = t.k AND b.k < 4');

-- what RETURNING looks at
TRUNCATE t, rbr_twin.t;
CREATE FUNCTION rbr.rows_r() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM r); END';
CREATE FUNCTION rbr_twin.rows_r() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM r); END';
CREATE FUNCTION rbr.sum_v() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT sum(v) FROM t); END';
CREATE FUNCTION rbr_twin.sum_v() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT sum(v) FROM t); END';
SELECT rbr_both('INSERT INTO t SELECT i, 1 FROM generate_series(1, 4) i RETURNING k, rows_now()');
SELECT rbr_both('INSERT INTO t SELECT k, v FROM src ORDER BY k RETURNING rows_now() + 1, s, v || ''v''');
SELECT rbr_both('INSERT INTO t VALUES (1, 1), (2, 2), (3, 3) RETURNING (t).v, rows_now(), elsewhere(k)');
SELECT rbr_both('INSERT INTO t VALUES (1, 1) RETURNING rows_now()');
SELECT rbr_both('WITH a AS (INSERT INTO t SELECT i, i FROM generate_series(1, 3) i RETURNING rows_now() AS n) SELECT min(n), max(n) FROM a');
SELECT rbr_both('DELETE FROM t'), rbr_both('INSERT INTO t SELECT i, 1 FROM generate_series(1, 9) i');
SELECT rbr_both('UPDATE t SET v = v + 1 RETURNING sum_v()');
SELECT rbr_both('UPDATE t SET v = v + 1 WHERE k < 4 RETURNING sum_v()');
SELECT rbr_both('UPDATE t SET v = v + 1 WHERE k = 4 RETURNING sum_v()');
SELECT rbr_both('UPDATE t SET k = k + 1 WHERE k = 4 RETURNING k, sum_v()');
SELECT rbr_both('DELETE FROM t WHERE k > 6 RETURNING rows_now()');
DELETE FROM r;
DELETE FROM rbr_twin.r;
SELECT rbr_both('INSERT INTO r SELECT i, 1 FROM generate_series(1, 6) i RETURNING rows_r()');
SELECT rbr_both('INSERT INTO r SELECT i, 1 FROM generate_series(4, 8) i ON CONFLICT DO NOTHING RETURNING k, rows_r()');
SELECT rbr_both('DELETE FROM r WHERE k < 4 RETURNING rows_r()');
PREPARE returning_rows AS INSERT INTO t SELECT i, i FROM generate_series(1, 3) i RETURNING rows_now();
EXECUTE returning_rows;
EXECUTE returning_rows;

-- row triggers that are fired here
CREATE TRIGGER mark BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION mark();
CREATE TRIGGER mark BEFORE INSERT OR UPDATE ON rbr_twin.t FOR EACH ROW EXECUTE FUNCTION rbr_twin.mark();
TRUNCATE t, rbr_twin.t;
SELECT rbr_both('INSERT INTO t VALUES (next_id(), 1), (next_id(), 2) RETURNING *');
SELECT rbr_both('INSERT INTO t SELECT next_id(), v FROM src');
SELECT rbr_both('UPDATE t SET v = 0'), rbr_both('UPDATE t SET v = next_v()');
SELECT rbr_both('SELECT count(*), count(DISTINCT k), count(DISTINCT v), min(s), max(s) FROM t');

-- the rows of a statement that fails, or is taken back
BEGIN;
INSERT INTO t SELECT next_id(), v FROM src WHERE k < 5;
SAVEPOINT a;
INSERT INTO t SELECT next_id(), 1 / (v - 4) FROM src WHERE k < 8 ORDER BY k;
ROLLBACK TO a;
INSERT INTO t SELECT next_id(), v FROM src WHERE k < 5;
COMMIT;
SELECT count(*), count(DISTINCT k), max(k) FROM t;

SET client_min_messages = warning;
DROP SCHEMA rbr, rbr_twin CASCADE;
DROP FUNCTION public.rbr_make, public.rbr_both;
