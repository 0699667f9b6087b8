--
-- ON CONFLICT DO UPDATE with functions of users, subqueries over several shards, or
-- a new key; several columns that are set by one subquery; subqueries in RETURNING.
-- Each statement is done to local twins as well.
--
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE SCHEMA ups;
CREATE SCHEMA twin;
CREATE FUNCTION public.ups_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', name, true);
	CREATE TABLE t (id int PRIMARY KEY, x int, v text DEFAULT 'none', g int GENERATED ALWAYS AS (x * 2) STORED, arr int[]);
	CREATE TABLE two (a int, b text, n serial, v text, CONSTRAINT two_key UNIQUE (a, b));
	CREATE TABLE s (k text, id int, y int, w text);
	CREATE TABLE ref (id int PRIMARY KEY, x int, v text);
	CREATE TABLE loc (id int, y int, w text);
	CREATE TABLE log (what text);
	CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1 + $2; END';
	EXECUTE format('CREATE FUNCTION rows_of_s(int) RETURNS bigint LANGUAGE plpgsql STABLE AS ''BEGIN RETURN (SELECT count(*) FROM %I.s WHERE s.id < $1); END''', name);
	INSERT INTO t SELECT i, i, 't' || i FROM generate_series(1, 40) i;
	INSERT INTO two (a, b, v) SELECT i % 7, nullif('b' || i % 5, 'b1'), 'two' || i FROM generate_series(1, 30) i;
	INSERT INTO s SELECT 'k' || i, i, 60 - i, 's' || i FROM generate_series(21, 60) i;
	INSERT INTO ref SELECT i, i, 'r' || i FROM generate_series(1, 30) i;
	INSERT INTO loc SELECT i, 50 - i, 'l' || i FROM generate_series(10, 50, 3) i;
END $$;
SELECT ups_make('ups'), ups_make('twin');
SET search_path = ups;
SELECT shoal.create_distributed_table('t', 'id', shard_count => 6, colocate_with => 'none'), shoal.create_distributed_table('two', 'a', colocate_with => 'none'),
	shoal.create_distributed_table('s', 'k', colocate_with => 'none', shard_count => 5),
	shoal.create_reference_table('ref'), shoal.create_distributed_table('log', 'what', colocate_with => 'none');
CREATE FUNCTION twice(statement text) RETURNS TABLE (same bool, result text) LANGUAGE plpgsql AS $$
DECLARE
	name text;
	got text[];
	rows text[];
	row record;
	done bigint;
BEGIN
	FOREACH name IN ARRAY ARRAY['ups', 'twin'] LOOP
		PERFORM set_config('search_path', name, true);
		rows := '{}';
		BEGIN
			IF statement ~ 'RETURNING' THEN
				FOR row IN EXECUTE statement LOOP
					rows := rows || row::text;
				END LOOP;
				done := cardinality(rows);
			ELSE
				EXECUTE statement;
				GET DIAGNOSTICS done = ROW_COUNT;
			END IF;
			SELECT done || ' rows, md5 ' || md5(string_agg(z, ',' ORDER BY z)) || (SELECT coalesce(string_agg(x, '|' ORDER BY x), '') FROM unnest(rows) x) FROM (
				SELECT 't' || t::text z FROM t UNION ALL SELECT '2' || two::text FROM two UNION ALL SELECT 'r' || ref::text FROM ref
				UNION ALL SELECT 'l' || log::text FROM log) u INTO result;
			got := got || result;
			RAISE EXCEPTION USING ERRCODE = 'UPS00';
		EXCEPTION
			WHEN SQLSTATE 'UPS00' THEN NULL;
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

-- functions of users
SELECT * FROM twice('INSERT INTO t VALUES (5, 100, ''new'') ON CONFLICT (id) DO UPDATE SET x = plus(t.x, excluded.x), v = excluded.v || t.v');
SELECT * FROM twice('INSERT INTO t VALUES (105, 100, ''new'') ON CONFLICT (id) DO UPDATE SET x = plus(t.x, excluded.x)');
SELECT * FROM twice('INSERT INTO t (id, x) SELECT i, i FROM generate_series(30, 60) i ON CONFLICT (id) DO UPDATE SET x = plus(t.x, excluded.x), v = excluded.v WHERE plus(t.id, 1) > 35');
SELECT * FROM twice('INSERT INTO t (id, x) SELECT id, y FROM s ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET x = rows_of_s(excluded.x), arr[2] = t.x RETURNING *');
SELECT * FROM twice('INSERT INTO t AS old (id, x) VALUES (1, 2), (200, 3), (3, NULL) ON CONFLICT (id) DO UPDATE SET x = plus(old.x, excluded.x) RETURNING id, v, plus(x, 1), g');
-- subqueries
SELECT * FROM twice('INSERT INTO t (id, x) SELECT id, y FROM s ON CONFLICT (id) DO UPDATE SET v = (SELECT max(w) FROM s WHERE s.y < t.x) WHERE EXISTS (SELECT FROM s WHERE s.y = excluded.x)');
SELECT * FROM twice('WITH few AS (SELECT * FROM s WHERE id < 50), l AS (SELECT max(w) AS m FROM loc) INSERT INTO t (id, x) SELECT id, y FROM few ON CONFLICT (id) DO UPDATE SET v = (SELECT w || m FROM few, l WHERE few.id = t.id)');
SELECT * FROM twice('INSERT INTO t (id, x) SELECT id, y FROM s ON CONFLICT (id) DO UPDATE SET (v, x) = (SELECT w || excluded.x, s.y FROM s WHERE s.y = t.x) RETURNING *');
-- several columns, with NULLs, a default from a sequence
SELECT * FROM twice('INSERT INTO two (a, b, v) SELECT y % 9, nullif(''b'' || y % 4, ''b2''), min(w) FROM s WHERE y > 0 GROUP BY 1, 2 HAVING nullif(''b'' || y % 4, ''b2'') IS NOT NULL ON CONFLICT (a, b) DO UPDATE SET v = two.v || plus(excluded.a, 1)');
SELECT * FROM twice('INSERT INTO two (a, b, v, n) VALUES (1, NULL, ''n1'', 1000), (1, NULL, ''n2'', 1000), (3, ''b2'', ''n3'', 1000) ON CONFLICT ON CONSTRAINT two_key DO UPDATE SET v = excluded.v || plus(1, 1)');
-- the key itself
SELECT * FROM twice('INSERT INTO t VALUES (5, 100, ''new''), (300, 1, ''x'') ON CONFLICT (id) DO UPDATE SET id = excluded.id + 1000, v = excluded.v');
SELECT * FROM twice('INSERT INTO t VALUES (5, 100, ''new''), (300, 1, ''x'') ON CONFLICT (id) DO UPDATE SET id = excluded.id + 1000 RETURNING *');
SELECT * FROM twice('INSERT INTO t VALUES (5, 100, ''new'') ON CONFLICT (id) DO UPDATE SET id = 6');
-- reference tables
SELECT * FROM twice('INSERT INTO ref SELECT id, y, w FROM s ON CONFLICT (id) DO UPDATE SET x = plus(ref.x, excluded.x), v = (SELECT max(w) FROM s WHERE s.y = excluded.x)');
-- errors
SELECT * FROM twice('INSERT INTO t (id, x) VALUES (5, 1), (5, 2) ON CONFLICT (id) DO UPDATE SET x = plus(t.x, 1)');
SELECT * FROM twice('INSERT INTO t (id, x) VALUES (500, 1), (500, 2) ON CONFLICT (id) DO UPDATE SET x = plus(t.x, 1)');
SELECT * FROM twice('INSERT INTO t (id, x) VALUES (500, 1), (NULL, 2) ON CONFLICT (id) DO UPDATE SET x = plus(t.x, 1)');
SELECT result FROM twice('INSERT INTO t (id, x) VALUES (5, 1) ON CONFLICT (id) DO UPDATE SET x = plus(t.x, 1), v = excluded::text');
-- several columns by one subquery in UPDATE
SELECT * FROM twice('UPDATE t SET (x, v) = (SELECT y, w FROM s WHERE s.y = t.id + 5) WHERE plus(x, 1) > 10 RETURNING *');
SELECT result FROM twice('UPDATE t SET (v, x) = (SELECT w, plus(y, t.x) FROM s WHERE s.id = t.x), arr = ARRAY[1] WHERE id > 20');
SELECT * FROM twice('UPDATE t SET (x, v) = (SELECT y, w FROM s WHERE s.y > t.id) WHERE plus(x, 1) > 10');
SELECT * FROM twice('UPDATE t SET (id, v) = (SELECT y + 500, w FROM s WHERE s.y = t.id) WHERE id IN (SELECT y FROM s)');
-- subqueries in RETURNING, which see what was there before
SELECT * FROM twice('INSERT INTO t (id, x) VALUES (500, 1), (501, 2) RETURNING id, x, (SELECT count(*) FROM t), (SELECT max(w) FROM s WHERE s.y > t.x)');
SELECT * FROM twice('INSERT INTO t (id, x) SELECT y + 100, id FROM s RETURNING t, plus(x, 1), EXISTS (SELECT FROM s WHERE s.y = t.x), tableoid::regclass::text ~ ''t''');
SELECT * FROM twice('INSERT INTO t (id, x) SELECT id, y FROM s ON CONFLICT (id) DO UPDATE SET x = plus(t.x, excluded.x) RETURNING id, (SELECT sum(x) FROM t o WHERE o.x < t.x)');
SELECT * FROM twice('UPDATE t SET x = x + 1 FROM s WHERE s.y = t.x RETURNING t.id, s.w, (SELECT count(*) FROM t o WHERE o.x > t.x), (SELECT max(l.w || s.w) FROM loc l WHERE l.id < t.x)');
SELECT * FROM twice('UPDATE t SET id = id + 1000 WHERE x > 35 RETURNING id, (SELECT count(*) FROM s WHERE s.y < t.id)');
SELECT * FROM twice('WITH few AS (SELECT * FROM s WHERE id < 30) DELETE FROM t WHERE x IN (SELECT y - 20 FROM few) RETURNING id, (SELECT max(w) FROM few WHERE few.y - 20 = t.x), (SELECT count(*) FROM t)');
SELECT * FROM twice('INSERT INTO ref SELECT y + 100, id, w FROM s RETURNING id, (SELECT count(*) FROM s WHERE s.id < ref.x)');
-- triggers
CREATE FUNCTION public.ups_log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (TG_WHEN || TG_OP); RETURN NULL; END';
CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON ups.t FOR EACH STATEMENT EXECUTE FUNCTION public.ups_log();
CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON twin.t FOR EACH STATEMENT EXECUTE FUNCTION public.ups_log();
SELECT * FROM twice('INSERT INTO t (id, x) SELECT i, i FROM generate_series(30, 60) i ON CONFLICT (id) DO UPDATE SET x = plus(t.x, excluded.x)');
-- what core refuses
CREATE TABLE ups.ex (k int, EXCLUDE USING btree (k WITH =));
SELECT shoal.create_reference_table('ups.ex');
INSERT INTO ups.ex VALUES (1) ON CONFLICT ON CONSTRAINT ex_k_excl DO UPDATE SET k = random()::int;
SET client_min_messages = warning;
RESET search_path;
DROP FUNCTION public.ups_make, public.ups_log CASCADE;
DROP SCHEMA ups CASCADE;
DROP SCHEMA twin CASCADE;
