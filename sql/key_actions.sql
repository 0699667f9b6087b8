--
-- Foreign keys where the distribution column changes: of rows that others refer
-- to, and of those that refer.  The same statements on plain twins.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA acts_p;
CREATE SCHEMA acts_d;
CREATE SCHEMA acts;
SET search_path = acts;
CREATE FUNCTION twice(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	p text = public.run(query, 'acts_p, acts');
	d text = public.run(query, 'acts_d, acts');
BEGIN
	RETURN CASE WHEN p IS NOT DISTINCT FROM d THEN left(p, 200) ELSE 'DIFFERENT: ' || p || ' / ' || d END;
END $$;
SELECT twice('CREATE TABLE parent (k int PRIMARY KEY, v text)'), twice('CREATE TABLE ref (id int PRIMARY KEY, v text)'),
	twice('CREATE TABLE noact (k int, n int)'), twice('CREATE TABLE restricted (k int, n int)'), twice('CREATE TABLE cascading (k int, n int, PRIMARY KEY (k, n))'),
	twice('CREATE TABLE grandchild (k int, n int, m int)'), twice('CREATE TABLE nulled (k int, n int)'), twice('CREATE TABLE defaulted (k int DEFAULT 0, n int)'),
	twice('CREATE TABLE of_ref (id int, n int)'), twice('CREATE TABLE of_ref_null (id int, n int)'), twice('CREATE TABLE of_ref_default (id int DEFAULT 0, n int)'),
	twice('CREATE TABLE of_ref_other (k int, id int)'), twice('CREATE TABLE tree (k int, n int, up int, PRIMARY KEY (k, n))');
SELECT shoal.create_distributed_table('acts_d.parent', 'k', shard_count => 6), shoal.create_reference_table('acts_d.ref');
SELECT shoal.create_distributed_table('acts_d.' || t, k, colocate_with => 'acts_d.parent')
	FROM (VALUES ('noact', 'k'), ('restricted', 'k'), ('cascading', 'k'), ('grandchild', 'k'), ('nulled', 'k'), ('defaulted', 'k'),
		('of_ref', 'id'), ('of_ref_null', 'id'), ('of_ref_default', 'id'), ('of_ref_other', 'k'), ('tree', 'k')) t(t, k);
SELECT twice('ALTER TABLE noact ADD FOREIGN KEY (k) REFERENCES parent'),
	twice('ALTER TABLE restricted ADD CONSTRAINT "Restricted" FOREIGN KEY (k) REFERENCES parent ON UPDATE RESTRICT ON DELETE CASCADE'),
	twice('ALTER TABLE cascading ADD FOREIGN KEY (k) REFERENCES parent ON UPDATE CASCADE ON DELETE CASCADE'),
	twice('ALTER TABLE grandchild ADD FOREIGN KEY (k, n) REFERENCES cascading ON UPDATE CASCADE'),
	twice('ALTER TABLE nulled ADD FOREIGN KEY (k) REFERENCES parent ON UPDATE SET NULL ON DELETE SET NULL'),
	twice('ALTER TABLE defaulted ADD FOREIGN KEY (k) REFERENCES parent ON UPDATE SET DEFAULT ON DELETE SET DEFAULT'),
	twice('ALTER TABLE of_ref ADD FOREIGN KEY (id) REFERENCES ref ON UPDATE CASCADE ON DELETE CASCADE'),
	twice('ALTER TABLE of_ref_null ADD FOREIGN KEY (id) REFERENCES ref ON UPDATE SET NULL ON DELETE SET NULL'),
	twice('ALTER TABLE of_ref_default ADD FOREIGN KEY (id) REFERENCES ref ON UPDATE SET DEFAULT ON DELETE SET DEFAULT'),
	twice('ALTER TABLE of_ref_other ADD FOREIGN KEY (id) REFERENCES ref ON UPDATE CASCADE ON DELETE SET NULL'),
	twice('ALTER TABLE tree ADD FOREIGN KEY (k, up) REFERENCES tree ON UPDATE CASCADE');
CREATE FUNCTION everything(schema text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t text;
	sum text = '';
BEGIN
	PERFORM set_config('search_path', schema, true);
	FOREACH t IN ARRAY '{parent,ref,noact,restricted,cascading,grandchild,nulled,defaulted,of_ref,of_ref_null,of_ref_default,of_ref_other,tree}'::text[] LOOP
		EXECUTE format('SELECT $1 || $2 || count(*) || coalesce(md5(string_agg(x::text, '' '' ORDER BY x::text)), '''') FROM %I x', t)
			INTO sum USING sum, ' ' || t || ' ';
	END LOOP;
	PERFORM set_config('search_path', 'acts', true);
	RETURN sum;
END $$;
CREATE FUNCTION same() RETURNS text LANGUAGE sql AS $$
SELECT CASE WHEN everything('acts_p') = everything('acts_d') THEN 'same' ELSE everything('acts_p') || ' / ' || everything('acts_d') END
$$;
SELECT twice('INSERT INTO parent SELECT i, ''v'' || i FROM generate_series(0, 100) i'), twice('INSERT INTO ref SELECT i, ''v'' || i FROM generate_series(0, 40) i'),
	twice('INSERT INTO noact SELECT i, i FROM generate_series(1, 10) i'), twice('INSERT INTO restricted SELECT i, i FROM generate_series(11, 20) i'),
	twice('INSERT INTO cascading SELECT i, j FROM generate_series(21, 40) i, generate_series(1, 3) j'),
	twice('INSERT INTO grandchild SELECT i, 2, i FROM generate_series(21, 30) i'),
	twice('INSERT INTO nulled SELECT i, i FROM generate_series(31, 50) i'), twice('INSERT INTO defaulted SELECT i, i FROM generate_series(41, 60) i'),
	twice('INSERT INTO of_ref SELECT i, j FROM generate_series(1, 10) i, generate_series(1, 2) j'),
	twice('INSERT INTO of_ref_null SELECT i, j FROM generate_series(6, 15) i, generate_series(1, 2) j'),
	twice('INSERT INTO of_ref_default SELECT i, 1 FROM generate_series(12, 20) i'), twice('INSERT INTO of_ref_other SELECT i, i % 20 FROM generate_series(1, 60) i'),
	twice('INSERT INTO tree SELECT k, n, nullif(n / 2, 0) FROM generate_series(1, 20) k, generate_series(1, 15) n');

-- moving rows that others refer to
SELECT twice('UPDATE parent SET k = k + 1000 WHERE k > 60');
SELECT twice('UPDATE parent SET k = k + 1000 WHERE k = 5');
-- 23001 from 18 on
SELECT twice('UPDATE parent SET k = k + 1000 WHERE k = 15') ~ '^23(503|001) .*"Restricted"' AS refused;
SELECT twice('UPDATE parent SET k = k + 1000 WHERE k BETWEEN 21 AND 30 RETURNING *'), same();
SELECT twice('UPDATE parent SET k = k + 1000, v = v || ''x'' WHERE k BETWEEN 31 AND 50'), same();
SELECT twice('UPDATE parent SET k = -k WHERE k IN (51, 52)'), same();
-- a key that another row has by then
SELECT twice('UPDATE parent SET k = CASE k WHEN 1 THEN 999 ELSE 1 END WHERE k IN (1, 1070)');
SELECT twice('DELETE FROM noact WHERE n = 1'), twice('UPDATE parent SET k = 1 WHERE k = 1'), twice('UPDATE parent SET k = 900 WHERE k = 1'), same();
SELECT twice('UPDATE parent SET k = 0 WHERE k = 60'), left(public.run('UPDATE parent SET k = 5000 WHERE k = 0', 'acts_p, acts'), 5), left(public.run('UPDATE parent SET k = 5000 WHERE k = 0', 'acts_d, acts'), 5);
SELECT twice('DELETE FROM parent WHERE k IN (-51, 53, 1044, 1045, 1035)'), left(public.run('DELETE FROM parent WHERE k = 1025', 'acts_p, acts'), 5), left(public.run('DELETE FROM parent WHERE k = 1025', 'acts_d, acts'), 5), same();
-- rows that refer to others of their table
SELECT twice('UPDATE tree SET k = k + 100 WHERE k <= 10'), same();
SELECT twice('UPDATE tree SET k = 50 WHERE k = 11 AND n = 8'), same();
SELECT twice('UPDATE tree SET n = n + 100 WHERE k = 12 AND n IN (6, 7)'), same();

-- rows of a reference table that distributed ones refer to by their key
SELECT twice('UPDATE ref SET id = id + 100 WHERE id BETWEEN 1 AND 8 RETURNING id, v'), same();
SELECT twice('UPDATE ref SET id = -id, v = ''neg'' WHERE id BETWEEN 9 AND 14'), same();
SELECT twice('DELETE FROM ref WHERE id IN (101, 102, -9, -10, 15, 16, 17)'), same();
SELECT twice('UPDATE ref SET v = ''same''; UPDATE ref SET id = 0 WHERE id = 20'), left(public.run('DELETE FROM ref WHERE id = 0', 'acts_p, acts'), 5), left(public.run('DELETE FROM ref WHERE id = 0', 'acts_d, acts'), 5);
SELECT count(DISTINCT result) FROM shoal.run_on_nodes('SELECT md5(string_agg(r::text, '' '' ORDER BY id)) FROM acts_d.ref r');

-- with triggers, in transactions, by others
CREATE TABLE log (line text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SET search_path = acts AS $$
BEGIN
	INSERT INTO log VALUES (concat_ws(' ', tg_table_schema, tg_table_name, tg_op, tg_level, old, new));
	RETURN NULL;
END $$;
SELECT twice('CREATE TRIGGER a AFTER UPDATE OR DELETE OR INSERT ON parent FOR EACH ROW EXECUTE FUNCTION acts.note()'),
	twice('CREATE TRIGGER a AFTER UPDATE OR DELETE OR INSERT ON cascading FOR EACH ROW EXECUTE FUNCTION acts.note()'),
	twice('CREATE TRIGGER b AFTER UPDATE OR DELETE OR INSERT ON cascading EXECUTE FUNCTION acts.note()');
SELECT twice('UPDATE parent SET k = k - 1000 WHERE k BETWEEN 1021 AND 1023'), same();
SELECT replace(replace(line, 'acts_p ', ''), 'acts_d ', ''), count(*) FROM log GROUP BY 1 ORDER BY 1;
BEGIN;
SELECT twice('UPDATE parent SET k = k + 2000 WHERE k BETWEEN 21 AND 23'), same();
SAVEPOINT a;
SELECT twice('UPDATE parent SET k = k + 2000 WHERE k BETWEEN 2021 AND 2023'), same();
ROLLBACK TO a;
SELECT same();
COMMIT;
SELECT same();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT twice('UPDATE parent SET k = k + 5000 WHERE k BETWEEN 2022 AND 2023'), same();
SELECT twice('UPDATE parent SET k = k - 5000 WHERE k BETWEEN 7022 AND 7023'), same();
SELECT twice('UPDATE parent SET k = 1 WHERE k = 2021');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT twice('UPDATE ref SET id = id + 300 WHERE id > 100'), same();
SELECT twice('UPDATE tree SET k = k + 200 WHERE k > 15'), same();
SELECT twice('DELETE FROM ref WHERE id BETWEEN 401 AND 407'), twice('UPDATE ref SET id = id - 300 WHERE id > 400'), same();
COMMIT;
SELECT same();
CREATE ROLE acts_user;
GRANT USAGE ON SCHEMA acts, acts_p, acts_d TO acts_user;
GRANT ALL ON acts_p.parent, acts_d.parent, log TO acts_user;
SET ROLE acts_user;
SELECT twice('UPDATE parent SET k = 3021 WHERE k = 2021'), twice('UPDATE parent SET k = 3001 WHERE k = 2'), twice('UPDATE parent SET k = 3000 WHERE k = 59');
RESET ROLE;
SELECT same();
-- one whose check can be put off
CREATE TABLE acts_d.later (k int, n int);
SELECT shoal.create_distributed_table('acts_d.later', 'k', colocate_with => 'acts_d.parent');
INSERT INTO acts_d.later VALUES (3000, 1);
ALTER TABLE acts_d.later ADD FOREIGN KEY (k) REFERENCES acts_d.parent DEFERRABLE INITIALLY DEFERRED;
UPDATE acts_d.parent SET k = 3001 WHERE k = 3000;
DELETE FROM acts_d.later;
UPDATE acts_d.parent SET k = 3001 WHERE k = 3000;
UPDATE acts_p.parent SET k = 3001 WHERE k = 3000;
-- an owner whom policies hold for, too, would leave rows as they are
CREATE ROLE acts_owner LOGIN;
GRANT ALL ON SCHEMA acts_d TO acts_owner;
SET ROLE acts_owner;
CREATE TABLE acts_d.own (k int PRIMARY KEY);
CREATE TABLE acts_d.forced (k int, n int);
SELECT shoal.create_distributed_table('acts_d.own', 'k'), shoal.create_distributed_table('acts_d.forced', 'k', colocate_with => 'acts_d.own');
ALTER TABLE acts_d.forced ADD FOREIGN KEY (k) REFERENCES acts_d.own ON UPDATE CASCADE;
ALTER TABLE acts_d.forced ENABLE ROW LEVEL SECURITY;
ALTER TABLE acts_d.forced FORCE ROW LEVEL SECURITY;
CREATE POLICY few ON acts_d.forced USING (n > 1) WITH CHECK (true);
INSERT INTO acts_d.own SELECT generate_series(1, 10);
INSERT INTO acts_d.forced SELECT i, i FROM generate_series(1, 10) i;
UPDATE acts_d.own SET k = k + 10 WHERE k < 3;
ALTER TABLE acts_d.forced NO FORCE ROW LEVEL SECURITY;
UPDATE acts_d.own SET k = k + 10 WHERE k < 3;
SELECT * FROM acts_d.forced WHERE n < 4 ORDER BY n;
-- whose triggers do not run as somebody else
CREATE FUNCTION acts_d.who() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.n = CASE WHEN current_user = ''acts_owner'' THEN new.n ELSE 0 END; RETURN new; END';
CREATE TRIGGER who BEFORE UPDATE ON acts_d.forced FOR EACH ROW EXECUTE FUNCTION acts_d.who();
UPDATE acts_d.own SET k = k + 10 WHERE k = 3;
RESET ROLE;
-- (it can't be done where the user has written on the same node)
DO $$
BEGIN
	FOR i IN 4..10 LOOP
		BEGIN
			UPDATE acts_d.own SET k = k + 10 WHERE k = i;
		EXCEPTION WHEN feature_not_supported THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT count(*) FROM acts_d.forced WHERE n = 0;
-- copies
SELECT shoal.set_replicas('acts_d.parent', 1);
SELECT twice('DROP TRIGGER a ON parent'), twice('UPDATE parent SET k = -k WHERE k BETWEEN 1030 AND 1043'), twice('UPDATE ref SET id = 500 WHERE id = 108'), same();
SELECT table_name, v.* FROM shoal.tables, shoal.verify_table(table_name) v WHERE table_name::text LIKE 'acts_d.%';
DROP SCHEMA acts_p, acts_d, acts CASCADE;
DROP ROLE acts_user, acts_owner;
