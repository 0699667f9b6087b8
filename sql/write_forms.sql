--
-- Writes in less usual forms, the same on distributed tables and on plain twins.
--
\set SHOW_CONTEXT never
CREATE SCHEMA wf;
CREATE SCHEMA wf_twin;
CREATE FUNCTION public.wf_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', name, true);
	CREATE TABLE t (k int PRIMARY KEY, a int, b text);
	CREATE TABLE log (k int, what text);
	IF name = 'wf' THEN
		PERFORM shoal.create_distributed_table('t', 'k', shard_count => 6);
		PERFORM shoal.create_distributed_table('log', 'k', colocate_with => 't');
	END IF;
	INSERT INTO t SELECT i, i % 7, 'b' || i FROM generate_series(1, 60) i;
	CREATE FUNCTION twice(a int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN a * 2; END';
	CREATE VIEW small AS SELECT * FROM t WHERE a < 20 WITH CHECK OPTION;
END $$;
SELECT wf_make('wf'), wf_make('wf_twin');
CREATE FUNCTION public.wf_both(q text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN p IS NOT DISTINCT FROM d THEN left(p, 90) ELSE 'DIFFERENT: ' || concat_ws(' / ', p, d) END
	FROM (SELECT split_part(public.run(q, 'wf_twin'), '; ', 1) AS p, split_part(public.run(q, 'wf'), '; ', 1) AS d) x
$$;
CREATE FUNCTION public.wf_differ() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM ((TABLE wf.t EXCEPT ALL TABLE wf_twin.t) UNION ALL (TABLE wf_twin.t EXCEPT ALL TABLE wf.t)) x
$$;

-- INTO takes the first rows of RETURNING only, and counts them
CREATE FUNCTION public.wf_into(q text, strict bool, path text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
	n bigint;
BEGIN
	PERFORM set_config('search_path', path, true);
	IF strict THEN
		EXECUTE q INTO STRICT r;
	ELSE
		EXECUTE q INTO r;
	END IF;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n || ' rows';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ' ' || sqlerrm;
END $$;
SELECT q, s, wf_into(q, s, 'wf') AS result, wf_into(q, s, 'wf') = wf_into(q, s, 'wf_twin') AS same FROM (VALUES
	('UPDATE t SET b = b WHERE a = 3 RETURNING b'), ('UPDATE t SET b = b WHERE k = 3 RETURNING b'), ('UPDATE t SET b = b WHERE k = 0 RETURNING b'),
	('UPDATE t SET a = twice(a) WHERE a = 0 RETURNING b'), ('DELETE FROM t WHERE twice(k) < 1 RETURNING b'),
	('INSERT INTO t VALUES (1, 1), (2, 2) ON CONFLICT (k) DO UPDATE SET a = t.a RETURNING k'),
	('INSERT INTO t VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET a = twice(t.a) - t.a RETURNING k'),
	('UPDATE t SET a = a WHERE k < 3 RETURNING (SELECT count(*) FROM log)'),
	('UPDATE t SET k = k WHERE a = 3 RETURNING k')) q(q), (VALUES (false), (true)) s(s);
CREATE FUNCTION public.wf_static() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
BEGIN
	UPDATE wf.t SET b = b WHERE a = 3 RETURNING b INTO r;
	RETURN r;
EXCEPTION WHEN too_many_rows THEN
	RETURN 'too many';
END $$;
SELECT wf_static(), wf_differ();

-- WITH CHECK OPTION where rows are worked out here, or move, or triggers are fired here
SELECT q, wf_both(q), wf_differ() FROM (VALUES
	('UPDATE small SET a = twice(a) WHERE k < 10'),
	('UPDATE small SET a = twice(a) + 15'),
	('UPDATE small SET a = twice(3) WHERE twice(k) = 8 RETURNING k, a, b'),
	('UPDATE small SET a = twice(30) WHERE k = 4 RETURNING k, a, b'),
	('DELETE FROM small WHERE twice(k) = 120 RETURNING *'),
	('UPDATE small SET k = twice(k) + 1000, a = twice(a) WHERE k IN (5, 6) RETURNING *'),
	('UPDATE small SET k = k + 2000, a = 99 WHERE k = 7')) q(q);
CREATE FUNCTION public.wf_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %I.log VALUES ($1, $2)', TG_TABLE_SCHEMA) USING coalesce(NEW.k, OLD.k), TG_WHEN || ' ' || TG_OP || ' ' || coalesce(NEW.a, OLD.a);
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER before BEFORE INSERT OR UPDATE OR DELETE ON wf.t FOR EACH ROW EXECUTE FUNCTION wf_note();
CREATE TRIGGER after AFTER INSERT OR UPDATE OR DELETE ON wf.t FOR EACH ROW EXECUTE FUNCTION wf_note();
CREATE TRIGGER before BEFORE INSERT OR UPDATE OR DELETE ON wf_twin.t FOR EACH ROW EXECUTE FUNCTION wf_note();
CREATE TRIGGER after AFTER INSERT OR UPDATE OR DELETE ON wf_twin.t FOR EACH ROW EXECUTE FUNCTION wf_note();
SELECT q, wf_both(q), wf_differ() FROM (VALUES
	('INSERT INTO small VALUES (100, 1, ''x''), (101, 2, ''y'')'),
	('INSERT INTO small VALUES (102, 1, ''x''), (103, 20, ''y'')'),
	('INSERT INTO small VALUES (102, 1, ''x''), (103, 19, ''y'') RETURNING b, k'),
	('INSERT INTO small VALUES (102, 5, ''x'') ON CONFLICT (k) DO UPDATE SET a = small.a + excluded.a RETURNING a'),
	('INSERT INTO small VALUES (102, 15, ''x'') ON CONFLICT (k) DO UPDATE SET a = small.a + excluded.a'),
	('UPDATE small SET a = a + 1 WHERE k > 99'),
	('UPDATE small SET a = a + 1 WHERE k > 99 RETURNING k, a, a < 20'),
	('UPDATE small SET k = k + 100, a = a + 1 WHERE k = 100'),
	('UPDATE small SET k = k + 100, a = a + 20 WHERE k = 101'),
	('WITH u AS (UPDATE small SET a = 5 WHERE k = 101 RETURNING k) SELECT * FROM u'),
	('DELETE FROM small WHERE k > 99 RETURNING k'),
	('SELECT what, count(*) FROM log GROUP BY what')) q(q);
-- MERGE with triggers that look at tables, one of which leaves rows alone
CREATE FUNCTION public.wf_spare() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' AND OLD.a = 3 OR TG_OP <> 'DELETE' AND NEW.k = 900 THEN RETURN NULL; END IF;
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER spare BEFORE INSERT OR UPDATE OR DELETE ON wf.t FOR EACH ROW EXECUTE FUNCTION wf_spare();
CREATE TRIGGER spare BEFORE INSERT OR UPDATE OR DELETE ON wf_twin.t FOR EACH ROW EXECUTE FUNCTION wf_spare();
TRUNCATE wf.log, wf_twin.log;
SELECT q, wf_both(q), wf_differ() FROM (VALUES
	('MERGE INTO t USING (VALUES (1, 7), (2, 8), (900, 9), (901, 9)) s(k, a) ON t.k = s.k WHEN MATCHED AND t.k = 1 THEN DELETE
		WHEN MATCHED THEN UPDATE SET a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.k, s.a, ''m'')'),
	('MERGE INTO t USING (SELECT k, a FROM t) s ON t.k = s.k AND s.k < 30 WHEN MATCHED AND s.k < 20 THEN UPDATE SET b = ''merged'' WHEN MATCHED THEN DELETE'),
	('INSERT INTO t VALUES (31, 1), (32, 2), (902, 3) ON CONFLICT (k) DO UPDATE SET a = t.a + excluded.a'),
	('SELECT what, count(*), sum(k) FROM log GROUP BY what')) q(q);
DROP TRIGGER spare ON wf.t;
DROP TRIGGER spare ON wf_twin.t;
DROP TRIGGER before ON wf.t;
DROP TRIGGER after ON wf.t;
DROP TRIGGER before ON wf_twin.t;
DROP TRIGGER after ON wf_twin.t;

-- functions that only this session has
CREATE FUNCTION pg_temp.plus(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN a + 1; END';
SELECT q, wf_both(q), wf_differ() FROM (VALUES
	('UPDATE t SET a = pg_temp.plus(a) WHERE k < 40 AND pg_temp.plus(k) > 37 RETURNING k, a'),
	('INSERT INTO t SELECT k + 3000, pg_temp.plus(a) FROM t WHERE k < 35 ON CONFLICT (k) DO NOTHING'),
	('SELECT sum(pg_temp.plus(a)), count(*) FROM t WHERE pg_temp.plus(k) > 20'),
	('DELETE FROM t WHERE pg_temp.plus(k) > 3000')) q(q);

-- an identity column that is always generated is set to DEFAULT
CREATE FUNCTION public.wf_identity(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', name, true);
	CREATE TABLE ident (k int PRIMARY KEY, id int GENERATED ALWAYS AS IDENTITY, v text);
	CREATE TABLE ident_fired (LIKE ident INCLUDING ALL);
	CREATE TABLE ident_ref (LIKE ident INCLUDING ALL);
	CREATE TABLE ident_child (k int);
	CREATE FUNCTION swap_id() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id := NEW.id + 1000; RETURN NEW; END';
	CREATE TRIGGER swap BEFORE UPDATE ON ident_fired FOR EACH ROW WHEN (OLD.k < 5) EXECUTE FUNCTION swap_id();
	CREATE TRIGGER swap BEFORE UPDATE ON ident_ref FOR EACH ROW WHEN (OLD.k < 5) EXECUTE FUNCTION swap_id();
	IF name = 'wf' THEN
		PERFORM shoal.create_distributed_table('ident', 'k', colocate_with => 't');
		PERFORM shoal.create_distributed_table('ident_fired', 'k', colocate_with => 't');
		PERFORM shoal.create_distributed_table('ident_child', 'k', colocate_with => 't');
		PERFORM shoal.create_reference_table('ident_ref');
	END IF;
	ALTER TABLE ident_child ADD FOREIGN KEY (k) REFERENCES ident ON UPDATE CASCADE ON DELETE CASCADE;
	INSERT INTO ident (k, v) SELECT i, 'v' || i FROM generate_series(1, 20) i;
	INSERT INTO ident_fired (k, v) SELECT i, 'v' || i FROM generate_series(1, 20) i;
	INSERT INTO ident_ref (k, v) SELECT i, 'v' || i FROM generate_series(1, 20) i;
	INSERT INTO ident_child SELECT k FROM ident;
END $$;
SELECT wf_identity('wf'), wf_identity('wf_twin');
SELECT q, wf_both(q) FROM (VALUES
	('UPDATE ident SET id = DEFAULT WHERE k = 1 RETURNING k, id, v'),
	('UPDATE ident SET id = DEFAULT, v = v || ''!'' WHERE k < 10'),
	('UPDATE ident i SET id = DEFAULT, v = t.b FROM t WHERE t.k = i.k AND t.k = 12 RETURNING t.k, i.v'),
	('UPDATE ident SET id = DEFAULT, k = k + 100 WHERE k = 2 RETURNING k, v'),
	('INSERT INTO ident (k, v) VALUES (3, ''c'') ON CONFLICT (k) DO UPDATE SET id = DEFAULT, v = excluded.v || ident.v RETURNING k, v'),
	('MERGE INTO ident USING t ON ident.k = t.k AND t.k < 5 WHEN MATCHED THEN UPDATE SET id = DEFAULT, v = t.b WHEN NOT MATCHED AND t.k > 50 THEN INSERT (k, v) VALUES (t.k, ''new'')'),
	('UPDATE ident SET id = 7'),
	('SELECT k, v FROM ident'),
	('SELECT count(DISTINCT id), count(*) FROM ident'),
	('UPDATE ident_fired SET v = v || ''.'' WHERE k < 8 RETURNING *'),
	('UPDATE ident_fired SET id = DEFAULT WHERE k = 7 RETURNING *'),
	('UPDATE ident_fired SET id = DEFAULT WHERE k > 8'),
	('UPDATE ident_ref SET v = v || ''.'' WHERE k < 8 RETURNING *'),
	('UPDATE ident_ref SET id = DEFAULT WHERE k = 7 RETURNING *'),
	('UPDATE ident_ref SET id = DEFAULT WHERE k > 8'),
	('SELECT count(DISTINCT id), count(*) FROM ident_fired'),
	('SELECT count(DISTINCT id), count(*) FROM ident_ref'),
	('SELECT count(*), sum(k) FROM ident_child')) q(q);
SELECT count(DISTINCT result) FROM shoal.run_on_nodes('SELECT md5(string_agg(r::text, '' '' ORDER BY k)) FROM wf.ident_ref r');

-- statements that set generated columns, and nothing else
CREATE FUNCTION public.wf_generated(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', name, true);
	CREATE TABLE gen (k int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a * 2) STORED,
					  h text GENERATED ALWAYS AS ('h' || a) STORED);
	CREATE TABLE gen_ref (k int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a * 2) STORED);
	IF name = 'wf' THEN
		PERFORM shoal.create_distributed_table('gen', 'k', colocate_with => 't');
		PERFORM shoal.create_reference_table('gen_ref');
	END IF;
	INSERT INTO gen (k, a) SELECT i, i FROM generate_series(1, 20) i;
	INSERT INTO gen_ref (k, a) SELECT i, i FROM generate_series(1, 3) i;
	CREATE FUNCTION one_more() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.a := new.a + 1; RETURN new; END';
END $$;
SELECT wf_generated('wf'), wf_generated('wf_twin');
CREATE TEMP TABLE wf_sets AS SELECT * FROM unnest(ARRAY[
	'UPDATE gen SET g = DEFAULT WHERE k = 2 RETURNING *',
	'UPDATE gen SET g = DEFAULT, h = DEFAULT',
	'UPDATE gen SET h = DEFAULT FROM t WHERE t.k = gen.k AND t.a < 4 AND gen.k < 10 RETURNING gen.*',
	'UPDATE gen SET g = DEFAULT WHERE a > (SELECT avg(a) FROM gen)',
	'UPDATE gen SET h = DEFAULT WHERE twice(k) < 7 RETURNING *',
	'INSERT INTO gen (k, a) VALUES (1, 7), (40, 8) ON CONFLICT (k) DO UPDATE SET g = DEFAULT RETURNING *',
	'MERGE INTO gen USING t ON gen.k = t.k AND t.k > 2 WHEN MATCHED THEN UPDATE SET g = DEFAULT WHEN NOT MATCHED AND t.k > 55 THEN INSERT (k, a, g) VALUES (t.k, t.a, DEFAULT)',
	'MERGE INTO gen USING t ON gen.a = t.a AND t.k = 3 WHEN MATCHED THEN UPDATE SET g = DEFAULT',
	'WITH x AS (UPDATE gen SET g = DEFAULT WHERE k = 3 RETURNING k) SELECT k FROM x',
	'UPDATE gen_ref SET g = DEFAULT WHERE k < 3 RETURNING *',
	'UPDATE gen_ref SET g = DEFAULT WHERE k = (SELECT min(k) FROM gen) RETURNING *',
	'SELECT * FROM gen']) WITH ORDINALITY u(q, n);
SELECT q, wf_both(q) FROM wf_sets ORDER BY n;
CREATE TRIGGER one_more BEFORE UPDATE OF g ON wf.gen FOR EACH ROW EXECUTE FUNCTION wf.one_more();
CREATE TRIGGER one_more BEFORE UPDATE OF g ON wf_twin.gen FOR EACH ROW EXECUTE FUNCTION wf_twin.one_more();
SELECT q, wf_both(q) FROM wf_sets ORDER BY n;

SET client_min_messages = warning;
DROP SCHEMA wf, wf_twin CASCADE;
DROP FUNCTION wf_make, wf_both, wf_differ, wf_into, wf_static, wf_note, wf_spare, wf_identity, wf_generated;
