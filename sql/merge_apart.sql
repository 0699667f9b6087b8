--
-- MERGE that is taken apart into one statement for each of its actions.  Each is done
-- to local twins as well.
--
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE SCHEMA mrg;
CREATE SCHEMA twin;
CREATE FUNCTION public.mrg_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', name, true);
	CREATE TYPE pair AS (a int, b text);
	CREATE TABLE t (id int PRIMARY KEY, x int, v text DEFAULT 'none', p pair, arr int[], g int GENERATED ALWAYS AS (x * 2) STORED);
	CREATE TABLE n (id int, x int, v text);
	CREATE TABLE s (k text, id int, y int, w text);
	CREATE TABLE ref (id int PRIMARY KEY, x int, v text);
	CREATE TABLE loc (id int, y int, w text);
	CREATE TABLE log (what text);
	CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1 + $2; END';
	EXECUTE format('CREATE FUNCTION rows_of_s(int) RETURNS bigint LANGUAGE plpgsql STABLE AS ''BEGIN RETURN (SELECT count(*) FROM %I.s WHERE s.id < $1); END''', name);
	INSERT INTO t SELECT i, i, 't' || i, (i, 'p')::pair, ARRAY[i, 1] FROM generate_series(1, 40) i;
	INSERT INTO n SELECT nullif(i, 5), i, 'n' || i FROM generate_series(1, 20) i;
	INSERT INTO s SELECT 'k' || i, i, 60 - i, 's' || i FROM generate_series(21, 60) i;
	INSERT INTO ref SELECT i, i, 'r' || i FROM generate_series(1, 30) i;
	INSERT INTO loc SELECT i, 50 - i, 'l' || i FROM generate_series(10, 50, 3) i;
END $$;
SELECT mrg_make('mrg'), mrg_make('twin');
SET search_path = mrg;
SELECT shoal.create_distributed_table('t', 'id', shard_count => 6, colocate_with => 'none'), shoal.create_distributed_table('n', 'id', colocate_with => 'none'),
	shoal.create_distributed_table('s', 'k', colocate_with => 'none', shard_count => 5),
	shoal.create_reference_table('ref'), shoal.create_distributed_table('log', 'what', colocate_with => 'none');

-- does a statement to both, in a transaction that is rolled back; what came of it, and whether all rows are the same
CREATE FUNCTION twice(statement text) RETURNS TABLE (same bool, result text) LANGUAGE plpgsql AS $$
DECLARE
	name text;
	got text[];
	done bigint;
BEGIN
	FOREACH name IN ARRAY ARRAY['mrg', 'twin'] LOOP
		PERFORM set_config('search_path', name, true);
		BEGIN
			EXECUTE statement;
			GET DIAGNOSTICS done = ROW_COUNT;
			SELECT done || ' rows, md5 ' || md5(string_agg(z, ',' ORDER BY z)) FROM (
				SELECT 't' || t::text z FROM t UNION ALL SELECT 'n' || n::text FROM n UNION ALL SELECT 'r' || ref::text FROM ref
				UNION ALL SELECT 'l' || log::text FROM log) u INTO result;
			got := got || result;
			RAISE EXCEPTION USING ERRCODE = 'MRG00';
		EXCEPTION
			WHEN SQLSTATE 'MRG00' THEN NULL;
			WHEN OTHERS THEN
				got := got || (sqlstate || ' ' || sqlerrm);
		END;
	END LOOP;
	same := got[1] = got[2];
	result := regexp_replace(got[1], ', md5.*', '');
	IF NOT same THEN
		result := result || ' / ' || regexp_replace(got[2], ', md5.*', '');
	END IF;
	RETURN NEXT;
END $$;

-- other keys than the one that is compared
SELECT * FROM twice('MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id, x, v) VALUES (s.id + 1000, y, w) WHEN MATCHED THEN UPDATE SET v = w');
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.y + 100, w) WHEN MATCHED AND s.y > 30 THEN DELETE WHEN MATCHED THEN UPDATE SET x = x + y');
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y AND s.w LIKE ''s4%'' WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND s.id > 55 THEN INSERT (id, v) VALUES (s.id, w)');
SELECT * FROM twice('MERGE INTO t USING s ON false WHEN NOT MATCHED AND y > 20 THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id + 100, w)');
SELECT * FROM twice('MERGE INTO t USING s ON t.x < s.y AND s.id = 55 WHEN MATCHED THEN UPDATE SET v = w');
SELECT * FROM twice('MERGE INTO t USING loc ON t.x = loc.y WHEN MATCHED THEN UPDATE SET v = w, arr[2] = loc.id, p.b = w WHEN NOT MATCHED THEN INSERT (id, v) VALUES (1000 + loc.id, DEFAULT)');
SELECT * FROM twice('MERGE INTO n USING s ON n.id = s.y WHEN MATCHED THEN UPDATE SET v = w, x = DEFAULT WHEN NOT MATCHED THEN INSERT DEFAULT VALUES');
SELECT * FROM twice('MERGE INTO n USING s ON n.x = s.y WHEN MATCHED THEN UPDATE SET v = w WHEN NOT MATCHED AND s.y = 33 THEN INSERT (x) VALUES (s.y)');
SELECT * FROM twice('MERGE INTO n USING s ON n.x = s.y WHEN MATCHED AND n.id IS NULL THEN DELETE');
-- the key itself
SELECT * FROM twice('MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET id = t.id + 100, v = w WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, w)');
-- functions of users, subqueries, whole rows, system columns
SELECT * FROM twice('MERGE INTO t USING s ON t.id = s.id WHEN MATCHED AND plus(t.x, 1) > 30 THEN UPDATE SET x = plus(t.x, y), v = v || w WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, x) VALUES (plus(s.id, 0), plus(y, 1))');
SELECT * FROM twice('MERGE INTO t USING s ON t.id = plus(s.id, -20) WHEN MATCHED AND rows_of_s(t.id) > 5 THEN DELETE WHEN MATCHED THEN UPDATE SET x = rows_of_s(t.id + 20)');
SELECT * FROM twice('MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = (SELECT max(v) FROM n WHERE n.x < t.x - s.y) WHEN NOT MATCHED THEN INSERT (id, x) VALUES (s.id, (SELECT count(*) FROM n WHERE n.x > s.y))');
SELECT * FROM twice('MERGE INTO t USING s ON t.id = s.id WHEN MATCHED AND t.x IN (SELECT y FROM loc) THEN DELETE WHEN MATCHED AND EXISTS (SELECT FROM n WHERE n.x = t.x - 15) THEN UPDATE SET v = t::text');
SELECT * FROM twice('MERGE INTO t USING s ON t.id = s.id WHEN MATCHED AND t.tableoid::regclass::text ~ ''t'' AND s.id > 30 THEN UPDATE SET v = s::text');
SELECT * FROM twice('MERGE INTO t USING (SELECT s.*, n.v FROM s JOIN n ON n.x = s.y WHERE n.x > 10) q ON t.x = q.y WHEN MATCHED THEN UPDATE SET (x, v) = (q.y * 2, q.v) WHEN NOT MATCHED THEN DO NOTHING');
SELECT * FROM twice('WITH few AS (SELECT * FROM s WHERE y > 10) MERGE INTO t USING few ON t.x = few.y WHEN MATCHED THEN UPDATE SET v = w WHEN NOT MATCHED THEN INSERT (id, v) VALUES (few.id + 100, w)');
SELECT * FROM twice('WITH few AS (SELECT * FROM s WHERE y > 10), gone AS (DELETE FROM n WHERE x < 5 RETURNING *) MERGE INTO t USING gone ON t.x = gone.x WHEN MATCHED THEN UPDATE SET v = gone.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (gone.id + 100, gone.v)');
-- reference tables
SELECT * FROM twice('MERGE INTO ref USING s ON ref.id = s.y WHEN MATCHED AND s.y > 20 THEN DELETE WHEN MATCHED THEN UPDATE SET v = w WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.y + 100, w)');
SELECT * FROM twice('MERGE INTO ref USING loc ON ref.x = loc.y WHEN MATCHED THEN UPDATE SET x = plus(ref.x, loc.id)');
-- errors
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y / 2 AND s.y > 3 WHEN MATCHED THEN UPDATE SET v = w');
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y / 2 AND s.y > 3 WHEN MATCHED AND s.y % 2 = 0 THEN UPDATE SET v = w WHEN MATCHED THEN DELETE');
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y / 2 AND s.y > 3 WHEN MATCHED AND s.y % 2 = 0 THEN UPDATE SET v = w WHEN MATCHED THEN DO NOTHING');
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y WHEN NOT MATCHED THEN INSERT (id) VALUES (5)');
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y WHEN MATCHED THEN UPDATE SET v = 1 / (s.y - 21)');
-- statement triggers fire once
CREATE FUNCTION public.mrg_log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (TG_WHEN || TG_OP); RETURN NULL; END';
CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON mrg.t FOR EACH STATEMENT EXECUTE FUNCTION public.mrg_log();
CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON twin.t FOR EACH STATEMENT EXECUTE FUNCTION public.mrg_log();
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.y + 100, w) WHEN MATCHED AND s.y > 30 THEN DELETE WHEN MATCHED THEN UPDATE SET x = x + y');
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y AND false WHEN MATCHED AND s.y > 30 THEN DELETE WHEN MATCHED THEN UPDATE SET x = x + y');
SELECT * FROM twice('MERGE INTO t USING s ON t.x = s.y WHEN MATCHED AND s.y > 30 THEN UPDATE SET x = 1 WHEN MATCHED THEN UPDATE SET x = x + y');
SELECT result FROM twice('MERGE INTO t USING s ON t.x = s.y WHEN MATCHED AND plus(s.y, 1) > 30 THEN UPDATE SET x = 1 WHEN MATCHED THEN UPDATE SET x = x + y');
PREPARE m(int) AS MERGE INTO t USING s ON t.x = s.y AND t.x > $1 WHEN MATCHED THEN UPDATE SET v = w || $1;
BEGIN;
EXECUTE m(10);
EXECUTE m(30);
SELECT count(*) FROM t WHERE v LIKE '%30';
ROLLBACK;
SET client_min_messages = warning;
RESET search_path;
DROP FUNCTION public.mrg_make, public.mrg_log CASCADE;
DROP SCHEMA mrg CASCADE;
DROP SCHEMA twin CASCADE;
