--
-- Row triggers that the coordinator fires: kinds of tables and columns, foreign keys,
-- replicas, rights.  Each statement is run on a plain twin as well.
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE SCHEMA rm_p;
CREATE SCHEMA rm_d;
CREATE FUNCTION rm_make(schema_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', schema_name, true);
    CREATE TYPE pair AS (x int, y text);
    CREATE DOMAIN small AS int CHECK (VALUE < 1000);
    -- columns of many kinds, some dropped later
    CREATE TABLE "Odd Names" (gone int, "the key" text COLLATE "C" PRIMARY KEY, id int GENERATED ALWAYS AS IDENTITY, arr int[], "Pair" pair, s small,
        j jsonb, ch "char", b bytea, n numeric(6,2) DEFAULT 1.5, at timestamptz);
    CREATE TABLE ref (k int PRIMARY KEY, v int);
    CREATE TABLE one (k int, v int);
    CREATE TABLE parent (k int PRIMARY KEY, children int DEFAULT 0);
    CREATE TABLE child (k int, n int, v int, PRIMARY KEY (k, n));
    -- partitions have other column numbers
    CREATE TABLE bulk (gone int, k int, gone2 int, v int, seen bigint, twice int GENERATED ALWAYS AS (v * 2) STORED);
    ALTER TABLE bulk DROP COLUMN gone, DROP COLUMN gone2;
    CREATE UNIQUE INDEX ON bulk (k);
    CREATE TABLE log (n int GENERATED ALWAYS AS IDENTITY, what text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        INSERT INTO log (what) VALUES (concat_ws(' ', TG_NAME, TG_WHEN, TG_OP, TG_RELNAME, OLD, NEW));
        RETURN coalesce(NEW, OLD);
    END $f$;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.at := now(); NEW.arr[1] := coalesce(NEW.arr[1], 0) + 1; RETURN NEW; END $f$;
    CREATE FUNCTION count_children() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        IF TG_OP <> 'INSERT' THEN UPDATE parent SET children = children - 1 WHERE k = OLD.k; END IF;
        IF TG_OP <> 'DELETE' THEN UPDATE parent SET children = children + 1 WHERE k = NEW.k; END IF;
        RETURN NULL;
    END $f$;
    CREATE FUNCTION how_many() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM bulk';
    -- looks quiet
    CREATE FUNCTION count_bulk() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN /* '*/ NEW.seen := /* -- " */ how_many(); RETURN NEW; END $f$;
    CREATE FUNCTION count_bulk_from() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.seen := count(*) FROM bulk; RETURN NEW; END $f$;
    CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN IF NEW.v IS DISTINCT FROM 5 THEN NEW.seen := abs(NEW.v) + length('from ''select'); END IF; RETURN NEW; END $f$;
    CREATE TRIGGER a_note BEFORE INSERT OR UPDATE OR DELETE ON "Odd Names" FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER b_note AFTER INSERT OR UPDATE OR DELETE ON "Odd Names" FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER r_note BEFORE INSERT OR UPDATE OR DELETE ON ref FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER r_after AFTER INSERT OR UPDATE OR DELETE ON ref FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER o_note AFTER INSERT OR UPDATE OR DELETE ON one FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER c_count AFTER INSERT OR UPDATE OR DELETE ON child FOR EACH ROW EXECUTE FUNCTION count_children();
    CREATE TRIGGER c_quiet BEFORE INSERT ON bulk FOR EACH ROW EXECUTE FUNCTION quiet();
END $$;
SELECT rm_make('rm_p'), rm_make('rm_d');
SELECT shoal.create_distributed_table('rm_d."Odd Names"', '"the key"', colocate_with => 'none', shard_count => 8);
ALTER TABLE rm_p."Odd Names" DROP COLUMN gone;
ALTER TABLE rm_d."Odd Names" DROP COLUMN gone;
SELECT shoal.create_reference_table('rm_d.ref');
SELECT shoal.create_distributed_table('rm_d.parent', 'k', colocate_with => 'none', shard_count => 8);
SELECT shoal.create_distributed_table('rm_d.child', 'k', colocate_with => 'rm_d.parent');
ALTER TABLE rm_p.child ADD FOREIGN KEY (k) REFERENCES rm_p.parent;
ALTER TABLE rm_d.child ADD FOREIGN KEY (k) REFERENCES rm_d.parent;
SELECT shoal.create_distributed_table('rm_d.bulk', 'k', colocate_with => 'rm_d.parent');
SELECT shoal.create_distributed_table('rm_d.one', NULL);
CREATE FUNCTION rm_run(schema_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint := 0;
    r record;
    rows text[];
BEGIN
    PERFORM set_config('search_path', schema_name, true);
    EXECUTE 'TRUNCATE log';
    IF statement ~ 'RETURNING' THEN
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
CREATE FUNCTION rm_try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plain text := public.rm_run('rm_p', statement);
    dist text := public.rm_run('rm_d', statement);
    t text;
    n bigint;
    result text := '';
BEGIN
    FOREACH t IN ARRAY ARRAY['SELECT "the key", id, arr, "Pair"::text, s, j, ch, b, n FROM #."Odd Names"', 'TABLE #.ref', 'TABLE #.one', 'TABLE #.parent', 'TABLE #.child',
            'TABLE #.bulk', 'SELECT what FROM #.log'] LOOP
        EXECUTE format('SELECT count(*) FROM ((%1$s EXCEPT ALL %2$s) UNION ALL (%2$s EXCEPT ALL %1$s)) x', replace(t, '#', 'rm_d'), replace(t, '#', 'rm_p')) INTO n;
        result := result || CASE WHEN n > 0 THEN format(' %s differs in %s rows', t, n) ELSE '' END;
    END LOOP;
    RETURN CASE WHEN plain = dist AND result = '' THEN 'same: ' || left(plain, 60) ELSE concat_ws(' | ', plain, dist, result) END;
END $$;
SELECT n, public.rm_try(statement) FROM (VALUES
    (1, 'INSERT INTO "Odd Names" ("the key", arr, "Pair", s, j, ch, b) VALUES (''a'', ''{1,2}'', ROW (1, ''x''), 5, ''{"a": 1}'', ''c'', ''\xff00''), (''b'', NULL, NULL, NULL, NULL, NULL, NULL)'),
    (2, 'INSERT INTO "Odd Names" ("the key", arr) SELECT ''k'' || i, ARRAY[i, i] FROM generate_series(1, 60) i RETURNING id, arr, "Pair"'),
    (3, 'INSERT INTO "Odd Names" ("the key", s) VALUES (''bad'', 1001)'),
    (4, 'INSERT INTO "Odd Names" ("the key", id) VALUES (''bad'', 1001)'),
    (5, 'INSERT INTO "Odd Names" ("the key", id) OVERRIDING SYSTEM VALUE VALUES (''id'', 1001) RETURNING "Odd Names"'),
    (6, 'UPDATE "Odd Names" SET arr[2] = 77, n = n + 1 WHERE "the key" < ''k3'' RETURNING "the key", arr, n'),
    (7, 'UPDATE "Odd Names" SET "Pair".y = ''part'' WHERE "the key" IN (''a'', ''b'') RETURNING *'),
    (8, 'UPDATE "Odd Names" SET arr[1] = 5, arr[3] = 6 WHERE "the key" = ''a'' RETURNING *'),
    (9, 'UPDATE "Odd Names" SET "the key" = upper("the key") WHERE "the key" LIKE ''k%'' RETURNING *'),
    (10, 'DELETE FROM "Odd Names" WHERE "the key" LIKE ''K1%'' RETURNING "Odd Names"."Pair", "the key"'),
    (11, 'INSERT INTO ref SELECT i, i FROM generate_series(1, 20) i RETURNING *'),
    (12, 'UPDATE ref SET v = v + 1 WHERE k < 10 RETURNING *'),
    (13, 'UPDATE ref SET k = k + 100 WHERE k > 15'),
    (14, 'UPDATE ref r SET v = x.v FROM (VALUES (1, 7), (1, 7)) x (k, v) WHERE x.k = r.k'),
    (15, 'DELETE FROM ref WHERE k IN (2, 3, 4) RETURNING v'),
    (16, 'INSERT INTO ref VALUES (1, 1), (400, 1), (401, 1) ON CONFLICT DO NOTHING'),
    (17, 'INSERT INTO one SELECT i, i FROM generate_series(1, 20) i RETURNING *'),
    (18, 'UPDATE one SET k = k + 1, v = 0 WHERE k < 10 RETURNING *'),
    (19, 'DELETE FROM one WHERE v = 0'),
    (20, 'INSERT INTO parent SELECT generate_series(1, 20)'),
    (21, 'INSERT INTO child SELECT i % 20 + 1, i, i FROM generate_series(1, 100) i'),
    (22, 'INSERT INTO child VALUES (1, 1000, 1), (21, 1, 1)'),
    (23, 'UPDATE child SET k = 20 - k WHERE n < 30 AND k < 20'),
    (24, 'UPDATE child SET k = 21 WHERE n = 31'),
    (25, 'DELETE FROM child WHERE v % 3 = 0'),
    (26, 'INSERT INTO bulk SELECT i, i - 50 FROM generate_series(1, 1200) i'),
    (27, 'DELETE FROM bulk WHERE k > 300'),
    (28, 'INSERT INTO bulk AS b (v, k) VALUES (7, 1), (8, 9000) ON CONFLICT (k) DO UPDATE SET v = b.v + excluded.v RETURNING *, b'),
    (29, 'INSERT INTO bulk (v, k) VALUES (7, 1), (8, 9001) ON CONFLICT DO NOTHING RETURNING bulk, k'),
    (30, 'UPDATE bulk SET k = k + 1, v = 5 WHERE k IN (300, 9001) RETURNING *'),
    (31, 'UPDATE "Odd Names" o SET "the key" = ''r'' || r.k, arr[2] = r.v FROM ref r WHERE o.id = r.k RETURNING o.*, r.v')) s (n, statement) ORDER BY n;
-- functions that look at tables, though their text does not say so plainly
DROP TRIGGER c_quiet ON rm_p.bulk;
DROP TRIGGER c_quiet ON rm_d.bulk;
CREATE TRIGGER c_loud BEFORE INSERT ON rm_p.bulk FOR EACH ROW EXECUTE FUNCTION rm_p.count_bulk();
CREATE TRIGGER c_loud BEFORE INSERT ON rm_d.bulk FOR EACH ROW EXECUTE FUNCTION rm_d.count_bulk();
SELECT public.rm_try('INSERT INTO bulk SELECT i, i FROM generate_series(1001, 1100) i');
DROP TRIGGER c_loud ON rm_p.bulk;
DROP TRIGGER c_loud ON rm_d.bulk;
CREATE TRIGGER c_loud BEFORE INSERT ON rm_p.bulk FOR EACH ROW EXECUTE FUNCTION rm_p.count_bulk_from();
CREATE TRIGGER c_loud BEFORE INSERT ON rm_d.bulk FOR EACH ROW EXECUTE FUNCTION rm_d.count_bulk_from();
SELECT public.rm_try('INSERT INTO bulk SELECT i, i FROM generate_series(1101, 1200) i');
-- one time for all rows of a transaction
CREATE TRIGGER z_touch BEFORE UPDATE ON rm_d."Odd Names" FOR EACH ROW EXECUTE FUNCTION rm_d.touch();
SET search_path = rm_d;
BEGIN;
UPDATE rm_d."Odd Names" SET n = 3 WHERE "the key" < 'K4';
UPDATE rm_d."Odd Names" SET n = 3 WHERE "the key" >= 'K4';
SELECT count(DISTINCT at), bool_and(at = now()) FROM rm_d."Odd Names";
ROLLBACK;
DROP TRIGGER z_touch ON rm_d."Odd Names";
-- a constraint trigger that can be deferred stays with its row
CREATE FUNCTION rm_d.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'late %', NEW.k; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON rm_d.bulk DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rm_d.late();
BEGIN;
INSERT INTO rm_d.bulk VALUES (5000, 1);
SELECT count(*) FROM rm_d.bulk WHERE k = 5000;
COMMIT;
DROP TRIGGER late ON rm_d.bulk;
SELECT count(*) FROM rm_d.bulk WHERE k = 5000;
RESET search_path;
-- with replicas
SELECT shoal.set_replicas('rm_d.parent', 1);
SELECT public.rm_try('INSERT INTO child SELECT i % 20 + 1, 200 + i, i FROM generate_series(1, 100) i');
SELECT public.rm_try('UPDATE child SET k = k % 20 + 1 WHERE n > 250');
SELECT public.rm_try('DELETE FROM child WHERE n BETWEEN 220 AND 230');
SELECT * FROM shoal.verify_table('rm_d.child');
SELECT * FROM shoal.verify_table('rm_d.parent');
SELECT * FROM shoal.verify_table('rm_d.ref');
-- rights: of the columns that the statement sets, not of those that triggers set
CREATE ROLE rm_user LOGIN;
GRANT USAGE ON SCHEMA rm_d TO rm_user;
GRANT SELECT, UPDATE (v), INSERT (k, n, v), DELETE ON rm_d.child TO rm_user;
CREATE FUNCTION rm_d.set_n() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.n := NEW.n + 5000; RETURN NEW; END $$;
CREATE TRIGGER d_set BEFORE INSERT OR UPDATE ON rm_d.child FOR EACH ROW EXECUTE FUNCTION rm_d.set_n();
ALTER FUNCTION rm_d.count_children() SECURITY DEFINER SET search_path = rm_d;
SET ROLE rm_user;
UPDATE rm_d.child SET v = 0 WHERE n < 20;
UPDATE rm_d.child SET n = 0 WHERE n < 20;
INSERT INTO rm_d.child VALUES (3, 900, 1) RETURNING *;
DELETE FROM rm_d.child WHERE n = 5900;
INSERT INTO rm_d.parent VALUES (1000);
-- who may not lock rows has his triggers fired where they are
RESET ROLE;
REVOKE UPDATE (v), SELECT ON rm_d.child FROM rm_user;
GRANT SELECT (n) ON rm_d.child TO rm_user;
SET ROLE rm_user;
DELETE FROM rm_d.child WHERE n = 5202;
INSERT INTO rm_d.child VALUES (3, 901, 1) RETURNING n;
DELETE FROM rm_d.child WHERE n = 5901;
RESET ROLE;
SELECT count(*), sum(v) FROM rm_d.child WHERE n > 5000;
-- statements in functions, and cursors
DO $$
DECLARE
    r record;
    c CURSOR FOR SELECT * FROM rm_d.child WHERE k = 4 FOR UPDATE;
    n int := 0;
BEGIN
    FOR r IN UPDATE rm_d.child SET v = 1 WHERE k = 3 RETURNING * LOOP
        n := n + r.v;
    END LOOP;
    OPEN c;
    FETCH c INTO r;
    UPDATE rm_d.child SET v = -1 WHERE CURRENT OF c;
    RAISE WARNING '% rows, %', n > 0, (SELECT count(*) FROM rm_d.child WHERE v = -1);
    BEGIN
        UPDATE rm_d.child SET v = 100;
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        RAISE WARNING '%', (SELECT count(*) FROM rm_d.child WHERE v = 100);
    END;
END $$;
-- a statement is not all there is of its transaction if its functions or triggers write
CREATE TABLE rm_d.writes (k int PRIMARY KEY, v int);
CREATE TABLE rm_d.others (k int PRIMARY KEY);
SELECT shoal.create_distributed_table('rm_d.writes', 'k', colocate_with => 'none', shard_count => 8);
SELECT shoal.create_distributed_table('rm_d.others', 'k', colocate_with => 'rm_d.writes');
CREATE FUNCTION rm_d.late_error() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'late error'; END $$;
CREATE CONSTRAINT TRIGGER late_error AFTER INSERT ON rm_d.others DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rm_d.late_error();
CREATE FUNCTION rm_d.write_other(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO rm_d.others VALUES (i + 1); RETURN 1; END $$;
CREATE FUNCTION rm_d.write_before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO rm_d.others VALUES (NEW.k + 1); RETURN NEW; END $$;
INSERT INTO rm_d.writes VALUES (1, rm_d.write_other(1));
INSERT INTO rm_d.writes VALUES (2, rm_d.write_other(2));
INSERT INTO rm_d.writes VALUES (3, rm_d.write_other(3));
INSERT INTO rm_d.writes VALUES (4, rm_d.write_other(4));
INSERT INTO rm_d.writes SELECT 5, rm_d.write_other(5);
INSERT INTO rm_d.writes SELECT 6, rm_d.write_other(6);
CREATE TRIGGER write_before BEFORE INSERT ON rm_d.writes FOR EACH ROW EXECUTE FUNCTION rm_d.write_before();
INSERT INTO rm_d.writes VALUES (1);
INSERT INTO rm_d.writes VALUES (2);
INSERT INTO rm_d.writes VALUES (3);
INSERT INTO rm_d.writes VALUES (4);
SELECT * FROM rm_d.writes;
DROP SCHEMA rm_p, rm_d CASCADE;
DROP FUNCTION rm_make, rm_run, rm_try;
DROP ROLE rm_user;
