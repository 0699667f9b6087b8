--
-- The system column ctid, by which rows are told apart: what is done by it is done on
-- plain twins as well.
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA cd;
CREATE SCHEMA twin_cd;
CREATE FUNCTION cd_both(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	outcome text[] := '{}';
	ns text;
	n bigint;
	got text;
BEGIN
	FOREACH ns IN ARRAY '{twin_cd,cd}'::text[] LOOP
		PERFORM set_config('search_path', ns || ',public', true);
		BEGIN
			IF command ~* '^(select|with)' THEN
				EXECUTE 'SELECT string_agg(x::text, '' '' ORDER BY x) FROM (' || command || ') x' INTO got;
				outcome := outcome || coalesce(got, 'nothing');
			ELSE
				EXECUTE command;
				GET DIAGNOSTICS n = ROW_COUNT;
				outcome := outcome || (n || ' rows')::text;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			outcome := outcome || (SQLSTATE || ' ' || SQLERRM);
		END;
	END LOOP;
	RETURN CASE WHEN outcome[1] IS NOT DISTINCT FROM outcome[2] THEN outcome[1] ELSE outcome::text END;
END $$;
SELECT cd_both('CREATE TABLE t (k int, email text, n int)'), cd_both('CREATE TABLE other (id int PRIMARY KEY, email text)');
SELECT shoal.create_distributed_table('cd.t', 'k', 'none', 6), shoal.create_distributed_table('cd.other', 'id', 'none', 5);
CREATE FUNCTION cd_look() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT 'more ' || x FROM (TABLE cd.t EXCEPT ALL TABLE twin_cd.t) x
	UNION ALL SELECT 'less ' || x FROM (TABLE twin_cd.t EXCEPT ALL TABLE cd.t) x
$$;
CREATE TABLE cd.ref (k int PRIMARY KEY, n int);
SELECT shoal.create_reference_table('cd.ref');
SELECT cd_both('INSERT INTO t SELECT i % 20, ''mail '' || i % 30, i FROM generate_series(1, 300) i');
SELECT cd_both('INSERT INTO t SELECT 7, ''mail 7'', 7 FROM generate_series(1, 10) i');
SELECT cd_both('INSERT INTO other SELECT i, ''mail '' || i FROM generate_series(1, 20) i');
CREATE FUNCTION fill() RETURNS text LANGUAGE sql AS $$
	SELECT cd_both('DELETE FROM t');
	SELECT cd_both('INSERT INTO t SELECT i % 20, ''mail '' || i % 30, i FROM generate_series(1, 300) i');
	SELECT cd_both('INSERT INTO t SELECT 7, ''mail 7'', 7 FROM generate_series(1, 10) i')
$$;

-- no two rows have the same
SELECT cd_both('SELECT count(*), count(DISTINCT ctid) FROM t');
SELECT cd_both('SELECT count(*) FROM t a JOIN t b ON a.ctid = b.ctid AND a.tableoid = b.tableoid AND a.k = b.k');
SELECT cd_both('SELECT count(*) FROM t a JOIN t b ON a.email = b.email AND a.ctid < b.ctid');
SELECT cd_both('SELECT count(*) FROM t WHERE ctid IN (SELECT min(ctid) FROM t GROUP BY email)');
SELECT cd_both('SELECT count(*) FROM (SELECT ctid AS c, * FROM t) x FULL JOIN t ON x.c = t.ctid AND x.n = 5');
SELECT cd_both('SELECT a.ctid = (SELECT b.ctid FROM other b WHERE b.id = a.id) AS same, count(*) FROM other a GROUP BY 1');
SELECT cd_both('SELECT o.id, t.ctid IS NULL AS none, count(DISTINCT t.ctid) FROM other o LEFT JOIN t ON t.email = o.email AND t.k < 10 WHERE o.id < 12 GROUP BY 1, 2');
SELECT cd_both('SELECT max(n) - min(n) FROM (SELECT count(*) AS n, sum(n) AS s FROM t GROUP BY ctid) x');
SELECT cd_both('WITH d AS MATERIALIZED (SELECT ctid AS c FROM t WHERE n < 50 FOR UPDATE SKIP LOCKED) SELECT count(*) FROM t, d WHERE t.ctid = d.c');
-- in ranges: each row is in one
SELECT count(*) FILTER (WHERE ctid >= '(0,0)' AND ctid < '(4,0)') + count(*) FILTER (WHERE ctid >= '(4,0)') = count(*) FROM cd.t;
-- one row by it, in each statement anew
DO $$
DECLARE
	row record;
BEGIN
	FOR row IN SELECT ctid, k, n FROM cd.t WHERE n > 290 LOOP
		PERFORM FROM cd.t WHERE ctid = row.ctid AND n = row.n AND k = row.k;
		IF NOT FOUND THEN
			RAISE 'no row has ctid %', row.ctid;
		END IF;
		UPDATE cd.t SET n = -n WHERE ctid = row.ctid;
		UPDATE twin_cd.t SET n = -n WHERE n = row.n;
	END LOOP;
END $$;
SELECT cd_look();
PREPARE p (tid, tid[]) AS SELECT count(*) FROM cd.t WHERE ctid = $1 OR ctid = ANY ($2);
SELECT min(ctid) AS lowest, array_agg(ctid) AS some FROM cd.t WHERE n BETWEEN 30 AND 39 \gset
EXECUTE p (:'lowest', :'some');
EXECUTE p (NULL, :'some');
EXECUTE p (NULL, NULL);
SELECT count(*) FROM cd.t WHERE NOT ctid = ANY (:'some');
SELECT count(*) FROM cd.t WHERE NOT (ctid = ANY (:'some') AND n > 35);

-- duplicates are removed
BEGIN;
SELECT cd_both('DELETE FROM t WHERE ctid NOT IN (SELECT min(ctid) FROM t GROUP BY email)');
SELECT cd_both('SELECT count(*), count(DISTINCT email) FROM t');
ROLLBACK;
BEGIN;
SELECT cd_both('DELETE FROM t a USING t b WHERE a.email = b.email AND a.ctid < b.ctid');
SELECT cd_both('SELECT count(*), count(DISTINCT email) FROM t');
ROLLBACK;
BEGIN;
SELECT cd_both('DELETE FROM t a WHERE EXISTS (SELECT FROM t b WHERE a.email = b.email AND b.ctid > a.ctid)');
SELECT cd_both('SELECT count(*), count(DISTINCT email) FROM t');
ROLLBACK;
BEGIN;
SELECT cd_both('DELETE FROM t a WHERE a.ctid <> (SELECT min(b.ctid) FROM t b WHERE b.email = a.email)');
SELECT cd_both('SELECT count(*), count(DISTINCT email) FROM t');
ROLLBACK;
SELECT cd_both('DELETE FROM t WHERE ctid IN (SELECT c FROM (SELECT ctid AS c, row_number() OVER (PARTITION BY k, email, n) AS nth FROM t) x WHERE nth > 1)');
SELECT cd_look();

-- in portions
SELECT fill();
SELECT cd_both('DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE n > 10 ORDER BY n LIMIT 100)');
SELECT cd_look();
SELECT cd_both('DELETE FROM t WHERE ctid = ANY (ARRAY(SELECT ctid FROM t WHERE n > 10 ORDER BY n DESC LIMIT 50 FOR UPDATE SKIP LOCKED))');
SELECT cd_look();
SELECT cd_both('UPDATE t SET n = n + 1000 WHERE (ctid, tableoid) IN (SELECT ctid, tableoid FROM t WHERE n % 2 = 0)');
SELECT cd_look();
SELECT cd_both('UPDATE t SET k = k + 100 WHERE ctid = (SELECT ctid FROM t ORDER BY n DESC, k LIMIT 1)');
SELECT cd_look();
SELECT cd_both('UPDATE t SET n = o.id FROM other o WHERE o.email = t.email AND t.ctid IN (SELECT ctid FROM t WHERE k = 3)');
SELECT cd_look();
SELECT cd_both('DELETE FROM t WHERE k = 5 AND ctid IN (SELECT ctid FROM t WHERE k = 5 ORDER BY n LIMIT 2)');
SELECT cd_look();
SELECT cd_both('MERGE INTO t USING (SELECT ctid AS c, k FROM t WHERE n < 20) s ON t.ctid = s.c AND t.k = s.k WHEN MATCHED THEN UPDATE SET n = -1');
SELECT cd_look();
WITH gone AS (DELETE FROM cd.t WHERE ctid IN (SELECT ctid FROM cd.t WHERE k = 9 LIMIT 2) RETURNING ctid, k) SELECT count(DISTINCT ctid), min(k) FROM gone;
UPDATE cd.t SET n = 0 WHERE k = 8 AND ctid = (SELECT max(ctid) FROM cd.t WHERE k = 8) RETURNING ctid > '(0,0)' AS at, k;
-- a reference table's are those of a node's copy
INSERT INTO cd.ref SELECT i, i FROM generate_series(1, 10) i;
DELETE FROM cd.ref WHERE ctid = (SELECT min(ctid) FROM cd.ref);
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT count(*) FROM cd.ref');

-- rows are looked for by it
EXPLAIN (COSTS OFF) SELECT * FROM cd.other WHERE ctid = '(7,1)' AND id = 3;
EXPLAIN (COSTS OFF) DELETE FROM cd.t WHERE k = 5 AND ctid IN (SELECT ctid FROM cd.t WHERE k = 5 ORDER BY n LIMIT 2);
DROP SCHEMA cd CASCADE;
DROP SCHEMA twin_cd CASCADE;
DROP FUNCTION cd_both, cd_look, fill;
