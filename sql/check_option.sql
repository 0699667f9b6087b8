-- Writing through views WITH CHECK OPTION; the same is done to local twins.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE SCHEMA chk;
CREATE SCHEMA twin;
SET search_path = chk;
CREATE TABLE base (id int PRIMARY KEY, n int DEFAULT 5, note text);
CREATE TABLE other (id int, m int);
CREATE TABLE twin.base (LIKE base INCLUDING ALL);
CREATE TABLE twin.other (LIKE other);
INSERT INTO twin.base SELECT i, i, 'b' || i FROM generate_series(1, 30) i;
INSERT INTO twin.other SELECT i, i FROM generate_series(1, 30, 2) i;
SELECT shoal.create_distributed_table('base', 'id'), shoal.create_distributed_table('other', 'id');
INSERT INTO base TABLE twin.base;
INSERT INTO other TABLE twin.other;
CREATE FUNCTION twice(statement text) RETURNS TABLE (result text, in_twin text, differ bigint) LANGUAGE plpgsql AS $$
BEGIN
	result := (public.rows_of('chk', statement, true))[1];
	in_twin := (public.rows_of('twin', statement, true))[1];
	SELECT count(*) INTO differ FROM (
		(SELECT * FROM chk.base EXCEPT ALL SELECT * FROM twin.base) UNION ALL
		(SELECT * FROM twin.base EXCEPT ALL SELECT * FROM chk.base)) d;
	RETURN NEXT;
END $$;
CREATE VIEW chk.small AS SELECT * FROM chk.base WHERE n < 20 WITH CHECK OPTION;
CREATE VIEW chk.positive AS SELECT id, n FROM chk.small WHERE n > 0 WITH LOCAL CHECK OPTION;
CREATE VIEW chk.odd AS SELECT * FROM chk.base b WHERE EXISTS (SELECT FROM chk.other o WHERE o.id = b.id) WITH CHECK OPTION;
CREATE VIEW twin.small AS SELECT * FROM twin.base WHERE n < 20 WITH CHECK OPTION;
CREATE VIEW twin.positive AS SELECT id, n FROM twin.small WHERE n > 0 WITH LOCAL CHECK OPTION;
CREATE VIEW twin.odd AS SELECT * FROM twin.base b WHERE EXISTS (SELECT FROM twin.other o WHERE o.id = b.id) WITH CHECK OPTION;

SELECT * FROM twice('INSERT INTO small VALUES (100, 19, ''fits'')');
SELECT * FROM twice('INSERT INTO small VALUES (101, 20, ''does not'')');
SELECT * FROM twice('INSERT INTO small (id, n) VALUES (102, NULL)');
SELECT * FROM twice('INSERT INTO small (id) VALUES (103), (104), (105)');
SELECT * FROM twice('INSERT INTO small SELECT i, i - 100 FROM generate_series(106, 119) i');
SELECT * FROM twice('INSERT INTO small SELECT i, i FROM generate_series(11, 40) i ON CONFLICT (id) DO NOTHING');
SELECT * FROM twice('INSERT INTO small SELECT id + 200, n FROM base WHERE n < 5');
SELECT * FROM twice('INSERT INTO small SELECT id + 300, n + 10 FROM base');
SELECT * FROM twice('INSERT INTO small VALUES (1, 3, ''x'') ON CONFLICT (id) DO UPDATE SET n = 25');
SELECT * FROM twice('INSERT INTO small VALUES (1, 3, ''x'') ON CONFLICT (id) DO UPDATE SET n = 15');
SELECT * FROM twice('UPDATE small SET n = n + 1 WHERE id = 7');
SELECT * FROM twice('UPDATE small SET n = n + 1');
SELECT * FROM twice('UPDATE small SET n = n + 10 WHERE id < 5');
SELECT * FROM twice('UPDATE small s SET n = m FROM other WHERE other.id = s.id AND m < 20');
SELECT * FROM twice('UPDATE small s SET n = m + 100 FROM other WHERE other.m = s.n');
SELECT * FROM twice('UPDATE positive SET n = -1 WHERE id = 8');
SELECT * FROM twice('UPDATE positive SET n = 40 WHERE id = 8');
SELECT * FROM twice('UPDATE positive SET n = 9 WHERE id = 8');
SELECT * FROM twice('INSERT INTO odd VALUES (51, 1)');
SELECT * FROM twice('UPDATE odd SET note = ''odd''');
SELECT * FROM twice('UPDATE small SET id = id + 1000 WHERE id < 5');
SELECT * FROM twice('UPDATE small SET id = id + 1000, n = n + 1');
SELECT * FROM twice('UPDATE small SET id = id + 1000, n = 25 WHERE id = 7');
SELECT * FROM twice('UPDATE positive SET id = -id, n = -1 WHERE id = 8');
SELECT * FROM twice('UPDATE odd SET id = 3 WHERE id = 8');
SELECT * FROM twice('UPDATE odd SET id = id + 500');
SELECT * FROM twice('DELETE FROM small WHERE id > 100');
INSERT INTO small VALUES (500, 1, 'r') RETURNING note, id;
INSERT INTO small VALUES (501, 1, 'r') RETURNING *;
UPDATE small SET n = 2 WHERE id = 500 RETURNING id + n AS sum, note;
UPDATE small SET n = 20 WHERE id >= 500 RETURNING id;
PREPARE add(int, int) AS INSERT INTO small VALUES ($1, $2);
EXECUTE add(601, 1);
EXECUTE add(602, 2);
EXECUTE add(603, 99);
EXECUTE add(604, 4);
-- a trigger changes the row before it is checked
CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := NEW.n % 10; RETURN NEW; END';
CREATE TRIGGER cut BEFORE INSERT OR UPDATE ON base FOR EACH ROW EXECUTE FUNCTION cut();
INSERT INTO small VALUES (700, 99, 'cut') RETURNING n;
DROP TRIGGER cut ON base;

-- EXCLUDED of a view, and rules that refer to what an UPDATE leaves alone
CREATE VIEW chk.named AS SELECT note AS called, id AS key FROM chk.base;
CREATE VIEW twin.named AS SELECT note AS called, id AS key FROM twin.base;
UPDATE base b SET n = t.n, note = t.note FROM twin.base t WHERE t.id = b.id;
DELETE FROM base WHERE id NOT IN (SELECT id FROM twin.base);
SELECT * FROM twice('INSERT INTO named VALUES (''new'', 3), (''newer'', 4) ON CONFLICT (key) DO UPDATE SET called = excluded.called || excluded.key WHERE excluded.key > 3');
CREATE VIEW chk.ruled AS SELECT * FROM chk.base;
CREATE VIEW twin.ruled AS SELECT * FROM twin.base;
CREATE RULE u AS ON UPDATE TO chk.ruled DO INSTEAD UPDATE chk.base SET n = NEW.n, note = NEW.note WHERE id = OLD.id;
CREATE RULE u AS ON UPDATE TO twin.ruled DO INSTEAD UPDATE twin.base SET n = NEW.n, note = NEW.note WHERE id = OLD.id;
SELECT * FROM twice('UPDATE ruled SET n = 12 WHERE id < 5');
SELECT * FROM twice('UPDATE ruled r SET note = ''m'' || m FROM other WHERE other.id = r.id');
CREATE OR REPLACE RULE u AS ON UPDATE TO chk.ruled DO INSTEAD UPDATE chk.base SET id = NEW.id, n = NEW.n WHERE id = OLD.id;
CREATE OR REPLACE RULE u AS ON UPDATE TO twin.ruled DO INSTEAD UPDATE twin.base SET id = NEW.id, n = NEW.n WHERE id = OLD.id;
SELECT * FROM twice('UPDATE ruled SET n = 13 WHERE id < 5');
SELECT * FROM twice('UPDATE ruled SET id = id + 1000 WHERE id < 5');
SET client_min_messages = warning;
DROP SCHEMA chk CASCADE;
DROP SCHEMA twin CASCADE;

-- the condition of a security_barrier view holds for writes, too
SET client_min_messages = warning;
CREATE TABLE public.barred_d (k int PRIMARY KEY, vis text, v int);
CREATE TABLE public.barred_p (LIKE public.barred_d INCLUDING ALL);
SELECT shoal.create_distributed_table('public.barred_d', 'k');
INSERT INTO public.barred_p SELECT i, CASE WHEN i % 2 = 0 THEN 'public' ELSE 'private' END, i % 5 FROM generate_series(1, 40) i;
INSERT INTO public.barred_d TABLE public.barred_p;
CREATE VIEW public.barrier_d WITH (security_barrier) AS SELECT * FROM public.barred_d WHERE vis = 'public';
CREATE VIEW public.barrier_p WITH (security_barrier) AS SELECT * FROM public.barred_p WHERE vis = 'public';
CREATE FUNCTION public.barrier_true(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE FUNCTION public.barrier_same(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n bigint[] := '{0,0}'; i bigint;
BEGIN
    EXECUTE replace(statement, '#', '_d');
    GET DIAGNOSTICS i = ROW_COUNT;
    n[1] := i;
    EXECUTE replace(statement, '#', '_p');
    GET DIAGNOSTICS i = ROW_COUNT;
    n[2] := i;
    SELECT count(*) INTO i FROM ((TABLE public.barred_d EXCEPT ALL TABLE public.barred_p) UNION ALL (TABLE public.barred_p EXCEPT ALL TABLE public.barred_d)) x;
    RETURN format('%s rows, %s differ', n, i);
END $$;
SELECT s, public.barrier_same(s) FROM unnest(ARRAY[
    'UPDATE public.barrier# SET v = v + 1',
    'UPDATE public.barrier# SET v = v + 1 WHERE k = 3',
    'UPDATE public.barrier# SET v = v + 1 WHERE k = 4 OR k = 5',
    'UPDATE public.barrier# b SET v = o.v FROM public.barred# o WHERE o.k = b.k + 1',
    'UPDATE public.barrier# SET v = 0 WHERE public.barrier_true(k)',
    'UPDATE public.barrier# SET k = k + 1000 WHERE k < 8',
    'UPDATE public.barrier# SET vis = ''private'' WHERE k IN (9, 10, 11)',
    'DELETE FROM public.barrier# WHERE k < 12',
    'WITH d AS (DELETE FROM public.barrier# WHERE k < 20 RETURNING k) UPDATE public.barrier# SET v = 7 WHERE k IN (SELECT k + 10 FROM d)',
    'DELETE FROM public.barrier# WHERE public.barrier_true(k)']) s;
-- and hides rows from who may not read them
CREATE ROLE shoal_barrier;
INSERT INTO public.barred_d VALUES (100, 'public', 1), (101, 'private', 1);
GRANT SELECT, UPDATE ON public.barrier_d TO shoal_barrier;
SET ROLE shoal_barrier;
UPDATE public.barrier_d SET v = 2 WHERE k >= 100 RETURNING k;
UPDATE public.barrier_d SET v = 2 WHERE k = 101;
UPDATE public.barrier_d SET v = 2 WHERE 1 / (k - 101) < 5;
RESET ROLE;
DROP TABLE public.barred_d, public.barred_p CASCADE;
DROP FUNCTION public.barrier_true, public.barrier_same;
DROP ROLE shoal_barrier;
RESET client_min_messages;
