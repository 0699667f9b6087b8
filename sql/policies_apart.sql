--
-- Writes that are taken apart, on tables with policies: rows that move, values and
-- conditions with users' functions, triggers.  The same statements on plain twins.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE shoal_apart_a;
CREATE ROLE shoal_apart_b;
CREATE SCHEMA apart;
CREATE SCHEMA apart_p;
CREATE SCHEMA apart_d;
GRANT USAGE ON SCHEMA apart, apart_p, apart_d TO shoal_apart_a, shoal_apart_b;
SET search_path = apart;
CREATE FUNCTION same(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION twice(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	p text = public.run(query, 'apart_p, apart');
	d text = public.run(query, 'apart_d, apart');
BEGIN
	RETURN CASE WHEN p IS NOT DISTINCT FROM d THEN left(p, 150) ELSE 'DIFFERENT: ' || p || ' / ' || d END;
END $$;
SELECT twice('CREATE TABLE t (k int PRIMARY KEY, v int, o text, g int GENERATED ALWAYS AS (k * 2) STORED)'),
	twice('CREATE TABLE child (k int, x int)'), twice('CREATE TABLE other (k int PRIMARY KEY, w int)'), twice('CREATE TABLE ref (k int PRIMARY KEY, o text)');
SELECT shoal.create_distributed_table('apart_d.t', 'k', shard_count => 6), shoal.create_distributed_table('apart_d.child', 'k', colocate_with => 'apart_d.t'),
	shoal.create_distributed_table('apart_d.other', 'k', colocate_with => 'apart_d.t'), shoal.create_reference_table('apart_d.ref');
SELECT twice('ALTER TABLE child ADD FOREIGN KEY (k) REFERENCES t ON UPDATE CASCADE ON DELETE CASCADE'),
	twice('INSERT INTO t SELECT i, i, CASE WHEN i % 2 = 0 THEN ''shoal_apart_a'' ELSE ''shoal_apart_b'' END FROM generate_series(1, 20) i'),
	twice('INSERT INTO child SELECT i, i FROM generate_series(1, 10) i'), twice('INSERT INTO other SELECT i, 21 - i FROM generate_series(1, 20) i'),
	twice('INSERT INTO ref SELECT i, CASE WHEN i % 4 = 0 THEN ''shoal_apart_a'' ELSE ''shoal_apart_b'' END FROM generate_series(1, 150) i'),
	twice('ALTER TABLE t ENABLE ROW LEVEL SECURITY'), twice('GRANT ALL ON t, child, other, ref TO shoal_apart_a, shoal_apart_b');

-- as both roles: the answer and what is in the tables then, which is undone
CREATE TABLE statements (n serial, statement text);
CREATE FUNCTION try(role text, query text, OUT answer text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('role', role, true);
	answer = twice(query);
	PERFORM set_config('role', 'none', true);
	answer = answer || CASE WHEN twice('TABLE t') || coalesce(twice('TABLE child'), '') ~ 'DIFFERENT' THEN '; rows differ' ELSE '' END;
	RAISE EXCEPTION SQLSTATE '22000' USING MESSAGE = answer;
EXCEPTION WHEN SQLSTATE '22000' THEN
	answer = sqlerrm;
END $$;
GRANT SELECT ON statements TO shoal_apart_a, shoal_apart_b;
SELECT twice('CREATE POLICY s ON t FOR SELECT USING (o = current_user OR v > 15)'), twice('CREATE POLICY u ON t FOR UPDATE USING (v < 10) WITH CHECK (v < 50 AND k < 1000)'),
	twice('CREATE POLICY d ON t FOR DELETE USING (v > 12)'), twice('CREATE POLICY i ON t FOR INSERT WITH CHECK (v > 3)'),
	twice('CREATE POLICY r ON t AS RESTRICTIVE FOR UPDATE USING (k <> 6) WITH CHECK (k NOT IN (SELECT ref.k FROM ref WHERE ref.o = ''shoal_apart_b'' AND ref.k > 105))');
INSERT INTO statements (statement) VALUES
	-- the row moves: it is the policies of UPDATE that count
	('UPDATE t SET k = k + 100 WHERE k < 6'), ('UPDATE t SET k = k + 100 WHERE k < 6 RETURNING *'), ('UPDATE t SET k = k + 100'),
	('UPDATE t SET k = 5000 WHERE k IN (3, 4)'), ('UPDATE t SET k = 500, v = 60 WHERE k IN (3, 4)'), ('UPDATE t SET k = 107 WHERE k IN (3, 4)'),
	('UPDATE t SET k = 108 WHERE k = 4 RETURNING t.*, t.k + 1'), ('UPDATE t SET k = 500 WHERE k IN (16, 6)'), ('UPDATE t SET k = 12 WHERE k IN (3, 4)'),
	('UPDATE t SET k = same(k) + 700'), ('UPDATE t SET k = 104, o = ''nobody'' WHERE k = 4'), ('UPDATE t SET k = 5'),
	('UPDATE t SET k = t.k + 104, v = ref.k FROM ref WHERE ref.k = t.k AND t.k > 1 AND t.k < 6 RETURNING ref.o, t.k'),
	('UPDATE t SET k = k + 200 FROM (SELECT k AS w FROM other) x WHERE x.w = t.v'),
	-- nothing of the row is read: those of SELECT do not count
	('UPDATE t SET v = same(3)'), ('UPDATE t SET v = same(v)'), ('UPDATE t SET o = same(3)::text'), ('UPDATE t SET o = same(v)::text'),
	('UPDATE t SET v = same(60)'), ('DELETE FROM t WHERE same(4) > 0'), ('DELETE FROM t WHERE same(k) > 0'), ('DELETE FROM t WHERE same(k) > 0 RETURNING k'),
	-- each action has its own; a row that may not be changed is an error
	('MERGE INTO t USING (VALUES (3), (4)) s(k) ON t.k = s.k WHEN MATCHED THEN UPDATE SET k = t.k + 500'),
	('MERGE INTO t USING (VALUES (3), (4)) s(k) ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = same(t.v) + 30'),
	('MERGE INTO t USING (VALUES (3), (4)) s(k) ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = same(t.v) + 60'),
	('MERGE INTO t USING (VALUES (6), (7)) s(k) ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = same(t.v)'),
	('MERGE INTO t USING (VALUES (11), (12)) s(k) ON t.k = s.k WHEN MATCHED AND same(1) = 1 THEN UPDATE SET v = 1'),
	('MERGE INTO t USING (VALUES (17), (12)) s(k) ON t.k = s.k WHEN MATCHED AND same(1) = 1 THEN DELETE'),
	('MERGE INTO t USING (VALUES (17), (3), (4)) s(k) ON t.k = s.k WHEN MATCHED AND t.v < 10 AND same(1) = 1 THEN UPDATE SET v = 8 WHEN MATCHED THEN DELETE'),
	('MERGE INTO t USING (SELECT k + 17 AS k, w FROM other WHERE w > 3) s ON t.k = s.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, same(w))'),
	('MERGE INTO t USING (SELECT k + 20 AS k, w FROM other WHERE w > 1) s ON t.k = s.k WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, same(w))');
SELECT n, statement, try('shoal_apart_a', statement), try('shoal_apart_b', statement) FROM statements ORDER BY n;

-- rows that others refer to, and of a table without policies for its owner
SELECT twice('UPDATE t SET k = k + 40 WHERE k < 5'), twice('SELECT * FROM child'), twice('UPDATE t SET k = k - 40 WHERE k > 40');
SELECT twice('ALTER TABLE child DROP CONSTRAINT child_k_fkey');

-- with triggers, which see and change what policies check
SELECT twice('CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN IF TG_OP = ''DELETE'' THEN RETURN OLD; END IF;
	IF new.v IN (7, 55) THEN new.v = new.v + 1; new.k = new.k + 20; END IF; RETURN new; END $f$'),
	twice('CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()');
TRUNCATE statements RESTART IDENTITY;
INSERT INTO statements (statement) VALUES
	('UPDATE t SET v = v'), ('UPDATE t SET v = 4'), ('UPDATE t SET o = ''nobody'' WHERE k = 8'), ('UPDATE t SET o = ''nobody'''), ('UPDATE t SET v = 55 WHERE k = 4'),
	('UPDATE t SET k = 1700 WHERE k = 4'), ('DELETE FROM t'), ('DELETE FROM t WHERE k IN (14, 15, 16) RETURNING k, o'), ('INSERT INTO t VALUES (30, 7, ''nobody'')'),
	('INSERT INTO t VALUES (30, 7, ''nobody'') RETURNING k'), ('INSERT INTO t VALUES (30, 7, current_user), (31, 8, current_user) RETURNING k, v'),
	('INSERT INTO t VALUES (30, 3, current_user)'), ('INSERT INTO t SELECT k + 30, w, current_user FROM other WHERE w > 3'),
	('INSERT INTO t VALUES (30, 8, current_user), (16, 8, current_user) ON CONFLICT DO NOTHING');
SELECT n, statement, try('shoal_apart_a', statement), try('shoal_apart_b', statement) FROM statements ORDER BY n;
SELECT twice('DROP TRIGGER note ON t');

-- conditions that read rows of other shards: for a row that is there, but not for a new one
SELECT twice('DROP POLICY u ON t'), twice('DROP POLICY r ON t'), twice('CREATE POLICY u ON t FOR UPDATE USING (EXISTS (SELECT FROM other WHERE other.w = t.v AND other.k > 10)) WITH CHECK (v < 50)');
TRUNCATE statements RESTART IDENTITY;
INSERT INTO statements (statement) VALUES
	('UPDATE t SET v = same(v) + 1'), ('UPDATE t SET o = same(3)::text'), ('UPDATE t SET k = k + 100'), ('UPDATE t SET v = same(60)');
SELECT n, statement, try('shoal_apart_a', statement), try('shoal_apart_b', statement) FROM statements ORDER BY n;
SELECT left(try('shoal_apart_a', 'MERGE INTO t USING other s ON t.k = s.w AND s.k > 10 WHEN MATCHED THEN UPDATE SET k = t.k + 20'), 66);
SELECT twice('ALTER POLICY u ON t USING (v < 10) WITH CHECK (EXISTS (SELECT FROM other WHERE other.k = t.k))');
INSERT INTO statements (statement) VALUES ('UPDATE t SET k = k WHERE k < 10'), ('UPDATE t SET k = v + 1 WHERE v % 2 = 1 AND k <> 17'), ('UPDATE t SET k = 21 - k'), ('UPDATE t SET k = 20 + k');
SELECT n, statement, try('shoal_apart_a', statement), try('shoal_apart_b', statement) FROM statements ORDER BY n;
ALTER POLICY u ON apart_d.t WITH CHECK (EXISTS (SELECT FROM apart_d.other WHERE other.w = t.v));
SET ROLE shoal_apart_a;
UPDATE apart_d.t SET v = same(v);
UPDATE apart_d.t SET k = k + 100;
MERGE INTO apart_d.t USING apart_d.other o ON t.k = o.k WHEN MATCHED THEN UPDATE SET v = same(t.v);
INSERT INTO apart_d.t VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET v = same(excluded.v);
RESET ROLE;
DROP SCHEMA apart, apart_p, apart_d CASCADE;
DROP ROLE shoal_apart_a, shoal_apart_b;
