--
-- Row triggers that the coordinator fires: their functions see all rows, local tables
-- and the session.  Compared with plain tables that have the same triggers.
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE SCHEMA rt_p;
CREATE SCHEMA rt_d;
CREATE FUNCTION rt_make(schema_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', schema_name, true);
    CREATE TABLE items (k int PRIMARY KEY, grp int, v int, w text DEFAULT 'new', twice int GENERATED ALWAYS AS (v * 2) STORED);
    CREATE TABLE totals (grp int PRIMARY KEY, n int, total int);
    INSERT INTO totals SELECT i, 0, 0 FROM generate_series(0, 9) i;
    CREATE TABLE names (name text PRIMARY KEY, v int);
    CREATE TABLE pairs (a int, b int, c int);
    -- of the session's own node
    CREATE TABLE log (n int GENERATED ALWAYS AS IDENTITY, what text);
    -- sees rows of all shards, those that the statement has written before, too
    CREATE FUNCTION check_item() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        INSERT INTO log (what) VALUES (concat_ws(' ', TG_NAME, TG_WHEN, TG_LEVEL, TG_OP, TG_TABLE_NAME, TG_NARGS, TG_ARGV[0], pg_trigger_depth(), OLD, NEW));
        IF TG_OP = 'DELETE' THEN RETURN CASE WHEN OLD.v = 13 THEN NULL ELSE OLD END; END IF;
        IF NEW.v < 0 THEN RETURN NULL; END IF;
        IF NEW.v = 666 THEN RAISE EXCEPTION 'not %', NEW.v; END IF;
        -- to another shard
        IF NEW.v = 77 THEN NEW.k := NEW.k + 1000; END IF;
        IF TG_OP = 'INSERT' THEN NEW.w := concat(NEW.w, (SELECT count(*) FROM items)); END IF;
        IF NEW.v = 88 THEN UPDATE items SET w = 'from before' WHERE abs(k - NEW.k) = 1; END IF;
        RETURN NEW;
    END $f$;
    -- writes to another table's other shards
    CREATE FUNCTION sum_item() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        IF TG_OP <> 'INSERT' THEN UPDATE totals SET n = n - 1, total = total - OLD.v WHERE grp = OLD.grp; END IF;
        IF TG_OP <> 'DELETE' THEN UPDATE totals SET n = n + 1, total = total + NEW.v WHERE grp = NEW.grp; END IF;
        INSERT INTO log (what) VALUES (concat_ws(' ', TG_NAME, TG_WHEN, TG_OP, (SELECT count(*) FROM items), OLD, NEW));
        RETURN NULL;
    END $f$;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO log (what) VALUES (concat_ws(' ', TG_NAME, OLD.k, NEW.k)); RETURN NULL; END $f$;
    CREATE FUNCTION note_tables() RETURNS trigger LANGUAGE plpgsql AS $f$
    DECLARE
        olds text;
        news text;
    BEGIN
        IF TG_OP <> 'INSERT' THEN SELECT string_agg(o::text, ' ' ORDER BY k) INTO olds FROM old_rows o; END IF;
        IF TG_OP <> 'DELETE' THEN SELECT string_agg(n::text, ' ' ORDER BY k) INTO news FROM new_rows n JOIN totals USING (grp); END IF;
        INSERT INTO log (what) VALUES (concat_ws(' ', TG_NAME, TG_OP, olds, '->', news));
        RETURN NULL;
    END $f$;
    CREATE FUNCTION name_item() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO names VALUES ('item' || NEW.k, NEW.v); RETURN NEW; END $f$;
    CREATE TRIGGER b_check BEFORE INSERT OR UPDATE OR DELETE ON items FOR EACH ROW EXECUTE FUNCTION check_item('an argument');
    CREATE TRIGGER c_sum AFTER INSERT OR UPDATE OR DELETE ON items FOR EACH ROW EXECUTE FUNCTION sum_item();
    CREATE TRIGGER d_when AFTER UPDATE OF v ON items FOR EACH ROW WHEN (NEW.v > OLD.v + 1) EXECUTE FUNCTION note();
    CREATE TRIGGER e_of AFTER UPDATE OF grp, w ON items FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER f_ins AFTER INSERT ON items REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION note_tables();
    CREATE TRIGGER f_upd AFTER UPDATE ON items REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows EXECUTE FUNCTION note_tables();
    CREATE TRIGGER f_del AFTER DELETE ON items REFERENCING OLD TABLE AS old_rows EXECUTE FUNCTION note_tables();
    CREATE TRIGGER g_name AFTER INSERT ON items FOR EACH ROW WHEN (NEW.grp = 9) EXECUTE FUNCTION name_item();
    CREATE TRIGGER a_same BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
END $$;
SELECT rt_make('rt_p'), rt_make('rt_d');
SELECT shoal.create_distributed_table('rt_d.items', 'k', colocate_with => 'none', shard_count => 8);
SELECT shoal.create_distributed_table('rt_d.totals', 'grp');
SELECT shoal.create_distributed_table('rt_d.names', 'name');
SELECT shoal.create_distributed_table('rt_d.pairs', 'a');
-- what a statement has returned, or how it has failed
CREATE FUNCTION rt_run(schema_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint := 0;
    r record;
    rows text[];
BEGIN
    PERFORM set_config('search_path', schema_name, true);
    EXECUTE 'TRUNCATE log RESTART IDENTITY';
    IF statement ~ 'RETURNING|^SELECT' THEN
        FOR r IN EXECUTE statement LOOP
            rows := rows || r::text;
            n := n + 1;
        END LOOP;
        SELECT array_agg(x ORDER BY x COLLATE "C") INTO rows FROM unnest(rows) x;
    ELSE
        EXECUTE statement;
        GET DIAGNOSTICS n = ROW_COUNT;
    END IF;
    RETURN concat_ws(' ', n, rows);
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
-- the log, in the order in which rows came where that is told by the statement
CREATE FUNCTION rt_same(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t text;
    n bigint;
    result text := '';
BEGIN
    FOREACH t IN ARRAY ARRAY['TABLE #.items', 'TABLE #.totals', 'TABLE #.names',
            CASE WHEN statement ~ '^(INSERT|COPY)' THEN 'TABLE #.log' ELSE 'SELECT what FROM #.log' END] LOOP
        EXECUTE format('SELECT count(*) FROM ((%1$s EXCEPT ALL %2$s) UNION ALL (%2$s EXCEPT ALL %1$s)) x', replace(t, '#', 'rt_d'), replace(t, '#', 'rt_p')) INTO n;
        result := result || CASE WHEN n > 0 THEN format(' %s differs in %s rows', t, n) ELSE '' END;
    END LOOP;
    RETURN CASE result WHEN '' THEN 'same' ELSE result END;
END $$;
CREATE FUNCTION rt_try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plain text := public.rt_run('rt_p', statement);
    dist text := public.rt_run('rt_d', statement);
    tables text := public.rt_same(statement);
BEGIN
    RETURN CASE WHEN plain = dist AND tables = 'same' THEN 'same: ' || left(plain, 50) ELSE concat_ws(' | ', plain, dist, tables) END;
END $$;
SELECT n, public.rt_try(statement) FROM (VALUES
    (1, 'INSERT INTO items VALUES (1, 1, 10)'),
    (2, 'INSERT INTO items (k, grp, v) VALUES (2, 2, 20), (3, 3, -1), (4, 4, 77), (5, 9, 50)'),
    (3, 'INSERT INTO items (k, grp, v) SELECT i, i % 10, i FROM generate_series(10, 70) i'),
    (4, 'INSERT INTO items (k, grp, v) SELECT 100 + i, i % 10, i FROM generate_series(1, 9) i RETURNING *'),
    (5, 'INSERT INTO items (v, k) SELECT 5, 200 + k FROM items WHERE k < 20 ORDER BY k RETURNING items, k + 1 AS more, twice'),
    (6, 'INSERT INTO items (k, grp, v) VALUES (1, 1, 1), (300, 3, 3), (300, 4, 4), (301, 3, -1) ON CONFLICT DO NOTHING RETURNING k, grp'),
    (7, 'INSERT INTO items (k, grp, v) VALUES (302, 1, 1), (1, 1, 1)'),
    (8, 'INSERT INTO items (k, grp, v) VALUES (302, 1, 1), (303, 1, 666)'),
    (9, 'UPDATE items SET v = v + 2 WHERE k = 1 RETURNING *'),
    (10, 'UPDATE items SET v = v WHERE k < 20'),
    (11, 'UPDATE items SET v = v + 1, w = ''updated'' WHERE k BETWEEN 10 AND 40'),
    (12, 'UPDATE items SET grp = grp + 1 WHERE v % 3 = 0 AND grp < 9 RETURNING k, v, items.w || grp AS x'),
    (13, 'UPDATE items SET k = k + 500 WHERE k BETWEEN 10 AND 20 RETURNING *'),
    (14, 'UPDATE items SET k = k + 1 WHERE k = 521'),
    (15, 'UPDATE items SET v = 77 WHERE k IN (21, 22)'),
    (16, 'UPDATE items SET v = 88 WHERE k IN (31, 32)'),
    (17, 'UPDATE items SET v = 88 WHERE k = 30'),
    (18, 'UPDATE items SET v = -5'),
    (19, 'UPDATE items i SET v = t.total FROM totals t WHERE t.grp = i.grp AND i.k > 40 AND i.k <= 60'),
    (20, 'UPDATE items i SET v = x.b FROM (VALUES (41, 7), (41, 7), (42, 7), (42, 7)) x (a, b) WHERE x.a = i.k RETURNING i.k, i.v, x.b'),
    (21, 'UPDATE items SET v = v + (SELECT count(*) FROM totals) WHERE k < 40'),
    (22, 'DELETE FROM items WHERE k = 5 RETURNING *, items'),
    (23, 'DELETE FROM items WHERE k BETWEEN 50 AND 55 OR v = 13'),
    (24, 'DELETE FROM items i USING totals t WHERE t.grp = i.grp AND t.grp = 3 RETURNING i.k, t.grp'),
    (25, 'WITH d AS (DELETE FROM items WHERE k = 60 RETURNING *), i AS (INSERT INTO items SELECT k + 600, grp, v FROM d RETURNING k) SELECT * FROM i'),
    (26, 'INSERT INTO items (k, grp, v) VALUES (700, NULL, NULL)'),
    (27, 'UPDATE items SET (grp, v) = (1, 2) WHERE k = 700'),
    (28, 'UPDATE items SET k = DEFAULT WHERE k = 700'),
    (29, 'DELETE FROM items WHERE false'),
    (30, 'INSERT INTO items (k, grp, v) VALUES (1, 5, 5), (3000, 5, 6), (102, 9, 9) ON CONFLICT (k) DO UPDATE SET v = items.v + excluded.v, w = ''conflict'' RETURNING *'),
    (31, 'INSERT INTO items AS i (k, grp, v) VALUES (1, 5, 5), (1, 5, 4), (3001, 5, 6) ON CONFLICT (k) DO UPDATE SET v = 0 WHERE i.grp > excluded.v RETURNING *, i'),
    (32, 'INSERT INTO items (k, grp, v) VALUES (1, 5, 5), (2, 5, 5), (1, 5, 5) ON CONFLICT (k) DO UPDATE SET v = 0'),
    (33, 'INSERT INTO items (k, grp, v) VALUES (3002, 5, 5), (2, 5, 5), (3002, 5, 5) ON CONFLICT (k) DO UPDATE SET v = 0'),
    (34, 'INSERT INTO items (k, grp, v) VALUES (1, 5, -5), (102, 5, 5) ON CONFLICT (k) DO UPDATE SET v = excluded.v - 10 RETURNING *'),
    (35, 'INSERT INTO items (k, grp, v) VALUES (2100, 1, 77), (2100, 2, 77) ON CONFLICT (k) DO UPDATE SET v = excluded.v + 1'),
    (36, 'INSERT INTO items (k, grp, v) VALUES (2200, 1, 77) ON CONFLICT (k) DO UPDATE SET v = excluded.v + 1'),
    (37, 'INSERT INTO items (k, grp, v) VALUES (2200, 1, 77), (1, 1, 78) ON CONFLICT (k) DO UPDATE SET v = excluded.v + 1, grp = DEFAULT RETURNING *'),
    (38, 'INSERT INTO items (k, grp, v) SELECT i, i % 10, i FROM generate_series(1, 50) i ON CONFLICT (k) DO UPDATE SET (grp, v) = ROW (excluded.grp, excluded.v)')) s (n, statement) ORDER BY n;
-- COPY, and statements that are prepared
SET search_path = rt_p;
TRUNCATE log RESTART IDENTITY;
COPY items (k, grp, v) FROM stdin;
800	1	1
801	9	2
802	2	-3
803	3	77
\.
PREPARE u AS UPDATE items SET v = $2 WHERE k = $1;
EXECUTE u (800, 5);
EXECUTE u (801, 6);
SET search_path = rt_d;
TRUNCATE log RESTART IDENTITY;
COPY items (k, grp, v) FROM stdin;
800	1	1
801	9	2
802	2	-3
803	3	77
\.
DEALLOCATE u;
PREPARE u AS UPDATE items SET v = $2 WHERE k = $1;
EXECUTE u (800, 5);
EXECUTE u (801, 6);
SELECT public.rt_same('COPY');
EXPLAIN (COSTS OFF) UPDATE items SET v = 1 WHERE k = 1;
-- one transaction; triggers of a statement that has failed leave nothing
BEGIN;
SAVEPOINT s;
INSERT INTO items (k, grp, v) VALUES (900, 1, 1), (901, 2, 666);
ROLLBACK TO s;
INSERT INTO items (k, grp, v) VALUES (900, 1, 1);
ROLLBACK;
TRUNCATE log, rt_p.log;
SELECT public.rt_same('');
-- what fires which triggers
ALTER TABLE rt_p.items DISABLE TRIGGER c_sum, ENABLE ALWAYS TRIGGER e_of, ENABLE REPLICA TRIGGER b_check;
ALTER TABLE rt_d.items DISABLE TRIGGER c_sum, ENABLE ALWAYS TRIGGER e_of, ENABLE REPLICA TRIGGER b_check;
SELECT public.rt_try('UPDATE items SET w = ''role'', v = v + 9 WHERE k < 30');
SET session_replication_role = replica;
SELECT public.rt_try('UPDATE items SET w = ''replica'', v = v + 9 WHERE k < 30');
SELECT public.rt_try('INSERT INTO items (k, grp, v) VALUES (910, 1, 1), (911, 2, -1)');
RESET session_replication_role;
DROP TRIGGER b_check ON rt_p.items;
DROP TRIGGER b_check ON rt_d.items;
ALTER TABLE rt_p.items ENABLE TRIGGER c_sum;
ALTER TABLE rt_d.items ENABLE TRIGGER c_sum;
SELECT public.rt_try('INSERT INTO items (k, grp, v) SELECT i, i % 10, i FROM generate_series(5001, 6200) i');
SELECT public.rt_try('UPDATE items SET v = v + 1 WHERE k > 5000');
SELECT public.rt_try('UPDATE items SET k = k + 2000 WHERE k > 5000');
SELECT public.rt_try('DELETE FROM items WHERE k > 5000');
RESET search_path;
DROP SCHEMA rt_p, rt_d CASCADE;
DROP FUNCTION rt_make, rt_run, rt_same, rt_try;
