-- UPDATE and DELETE joined on other columns than the key: what they are joined
-- with is moved to the nodes.  Each statement is done to local twins as well.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE SCHEMA jw;
SET search_path = jw;
CREATE TYPE level AS ENUM ('low', 'high');
CREATE TABLE stock (id int PRIMARY KEY, product int, n int, note text, lv level DEFAULT 'low');
CREATE TABLE changes (cid bigint PRIMARY KEY, product int, delta int, lv level, why text);
CREATE TABLE banned (name text, product int);
CREATE TABLE one (product int);
CREATE TABLE audit (id int, what text);
CREATE SCHEMA twin;
CREATE TABLE twin.stock (LIKE stock INCLUDING ALL);
CREATE TABLE twin.changes (LIKE changes INCLUDING ALL);
CREATE TABLE twin.banned (LIKE banned);
CREATE TABLE twin.one (LIKE one);
INSERT INTO twin.stock SELECT i, nullif(i % 50, 0), i, 'n' || i FROM generate_series(1, 400) i;
INSERT INTO twin.changes SELECT i, i, i * 10, (ARRAY['low', 'high'])[1 + i % 2]::level, repeat('why ', i) FROM generate_series(1, 30) i;
INSERT INTO twin.banned SELECT 'b' || i, i * 3 FROM generate_series(1, 10) i;
INSERT INTO twin.one VALUES (7), (8);
SELECT shoal.create_distributed_table('stock', 'id', shard_count => 6, colocate_with => 'none');
SELECT shoal.create_distributed_table('changes', 'cid', shard_count => 5, colocate_with => 'none');
SELECT shoal.create_distributed_table('banned', 'name');
SELECT shoal.create_distributed_table('one', NULL);
INSERT INTO stock SELECT * FROM twin.stock;
INSERT INTO changes SELECT * FROM twin.changes;
INSERT INTO banned SELECT * FROM twin.banned;
INSERT INTO one SELECT * FROM twin.one;

-- does a statement to both; rows affected or returned, and rows that differ afterwards
CREATE FUNCTION twice(statement text) RETURNS TABLE (affected bigint, in_twin bigint, differ bigint)
LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL search_path = jw;
	EXECUTE statement;
	GET DIAGNOSTICS affected = ROW_COUNT;
	SET LOCAL search_path = twin, jw;
	EXECUTE statement;
	GET DIAGNOSTICS in_twin = ROW_COUNT;
	SELECT count(*) INTO differ FROM (
		(SELECT * FROM jw.stock EXCEPT ALL SELECT * FROM twin.stock) UNION ALL
		(SELECT * FROM twin.stock EXCEPT ALL SELECT * FROM jw.stock)) d;
	RETURN NEXT;
END $$;
SELECT * FROM twice('UPDATE stock s SET n = n + delta, lv = c.lv, note = why FROM changes c WHERE s.product = c.product');
SELECT * FROM twice('UPDATE stock s SET note = b.name || why FROM changes c JOIN banned b USING (product) WHERE s.product = c.product AND c.delta > 50');
SELECT * FROM twice('UPDATE stock s SET note = ''left'' || coalesce(b.name, ''none'') FROM changes c LEFT JOIN banned b USING (product) WHERE s.product = c.product');
SELECT * FROM twice('DELETE FROM stock s USING banned b WHERE s.product = b.product AND s.id > 300');
SELECT * FROM twice('DELETE FROM stock WHERE product IN (SELECT product FROM banned WHERE name LIKE ''b1%'')');
SELECT * FROM twice('UPDATE stock SET n = -1 WHERE product NOT IN (SELECT product FROM changes) AND id < 100');
SELECT * FROM twice('UPDATE stock s SET n = (SELECT sum(delta) FROM changes c WHERE c.product = s.product) WHERE id < 60');
SELECT * FROM twice('UPDATE stock s SET (n, note) = (SELECT delta, why FROM changes c WHERE c.product = s.product) WHERE EXISTS (SELECT 1 FROM changes c WHERE c.product = s.product AND lv = ''high'')');
SELECT * FROM twice('UPDATE stock s SET note = o.note || ''!'' FROM stock o WHERE o.id = s.product AND s.id > 200');
SELECT * FROM twice('WITH c AS (SELECT product, max(delta) AS delta FROM changes GROUP BY product) UPDATE stock s SET n = c.delta FROM c WHERE c.product = s.product');
SELECT * FROM twice('UPDATE stock s SET note = ''single'' FROM one WHERE one.product = s.product');
SELECT * FROM twice('UPDATE stock s SET note = ''nothing'' FROM changes c WHERE s.product = c.product AND c.delta > 1000000');
SELECT * FROM twice('UPDATE stock s SET note = v.x FROM (VALUES (3, ''three''), (4, ''four'')) v(p, x), changes c WHERE v.p = s.product AND c.product = v.p');

-- several columns by one subquery, not in the order that the table has them
SELECT * FROM twice('UPDATE stock s SET (note, n) = (SELECT why, delta FROM changes c WHERE c.product = s.product) WHERE id < 30');
SELECT * FROM twice('UPDATE stock s SET (lv, note) = (SELECT c.lv, c.why FROM changes c WHERE c.cid = 3), product = product + 1, (n) = (SELECT count(*) FROM changes) WHERE id = 31');
SELECT * FROM twice('UPDATE stock SET (note, n, product) = (SELECT o.note || ''o'', o.product, o.n FROM stock o WHERE o.id = stock.id) WHERE id BETWEEN 32 AND 50');
SELECT * FROM twice('INSERT INTO stock VALUES (33, 1, 2, ''c''), (34, 3, 4, ''d'') ON CONFLICT (id) DO UPDATE SET (note, product) = (SELECT excluded.note || stock.id, excluded.n), n = 9');
SELECT * FROM twice('MERGE INTO stock s USING (VALUES (35), (36)) v(i) ON s.id = v.i WHEN MATCHED THEN UPDATE SET (note, n) = (SELECT ''m'' || v.i, v.i + 5)');

-- what the transaction has done before is seen, and what is rolled back is not
BEGIN;
INSERT INTO changes VALUES (100, 49, 5, 'low', 'late');
SAVEPOINT s;
UPDATE stock s SET note = 'late' FROM changes c WHERE s.product = c.product AND c.cid = 100;
SELECT count(*) FROM stock WHERE note = 'late';
ROLLBACK TO s;
SELECT count(*) FROM stock WHERE note = 'late';
COMMIT;
DELETE FROM changes WHERE cid = 100;

-- RETURNING shows both sides
UPDATE stock s SET n = 0 FROM changes c WHERE s.product = c.product AND s.id = 5 RETURNING s.*, c.*;

-- again and again, with parameters
PREPARE change(int, text) AS UPDATE stock s SET note = $2 || why FROM changes c WHERE s.product = c.product AND delta = $1;
EXECUTE change(10, 'a');
EXECUTE change(20, 'b');
EXECUTE change(30, 'c');
EXECUTE change(40, 'd');
EXECUTE change(50, 'e');
EXECUTE change(60, 'f');
EXECUTE change(70, 'g');
EXECUTE change(NULL, 'h');

-- triggers of the rows fire where they are
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := upper(NEW.note); RETURN NEW; END';
CREATE TRIGGER shout BEFORE UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION shout();
UPDATE stock s SET note = 'loud' FROM changes c WHERE s.product = c.product AND c.delta = 20;
SELECT DISTINCT note FROM stock WHERE product = 2;

-- tables that only this node has
DROP TRIGGER shout ON stock;
CREATE TABLE loc AS SELECT i AS product, 'loc' || i AS name FROM generate_series(1, 20) i;
CREATE TABLE twin.loc AS TABLE loc;
CREATE TEMP TABLE tmp AS SELECT i AS product, 'tmp' || i AS name FROM generate_series(5, 25) i;
UPDATE stock s SET n = t.n, note = t.note FROM twin.stock t WHERE t.id = s.id;
SELECT * FROM twice('UPDATE stock s SET note = name FROM loc WHERE loc.product = s.product');
SELECT * FROM twice('UPDATE stock s SET note = tmp.name || loc.name FROM loc JOIN tmp USING (product) WHERE loc.product = s.product');
SELECT * FROM twice('DELETE FROM stock WHERE product IN (SELECT product FROM tmp) AND id % 10 = 7');
-- a local table is written; what it is joined with has subqueries of its own
SELECT * FROM twice('DELETE FROM loc WHERE EXISTS (SELECT 1 FROM one CROSS JOIN (SELECT c.product, ARRAY(SELECT name FROM banned) AS names FROM changes c WHERE delta < 60) s WHERE s.product = loc.product)');
SELECT * FROM twice('UPDATE loc SET name = s.most || s.why FROM (SELECT c.product, why, (SELECT max(name) FROM banned) AS most FROM changes c WHERE delta BETWEEN 70 AND 90) s WHERE s.product = loc.product');
SELECT * FROM twice('UPDATE loc SET name = name || s.n FROM (SELECT DISTINCT product, (SELECT count(*) FROM banned) AS n FROM changes) s WHERE s.product = loc.product AND loc.product > 15');
SELECT count(*) AS left, string_agg(name, ' ' ORDER BY product) AS names, string_agg(l::text, ' ' ORDER BY product) = (SELECT string_agg(t::text, ' ' ORDER BY product) FROM twin.loc t) AS same FROM loc l;
SET shoal.move_threshold = 0;
SELECT count(*), max(name) FROM stock JOIN tmp USING (product);
SELECT count(*), max(name) FROM twin.stock JOIN tmp USING (product);
SELECT count(*), max(name), max(note) FROM tmp LEFT JOIN stock USING (product) LEFT JOIN changes USING (product);
SELECT count(*), max(name), max(note) FROM tmp LEFT JOIN twin.stock USING (product) LEFT JOIN twin.changes USING (product);
-- a temporary table that another one of its name hides
CREATE TABLE jw.tmp AS SELECT 1 AS product, 'other' AS name;
SET search_path = jw, pg_temp;
SELECT count(*), max(t.name) FROM stock JOIN pg_temp.tmp t USING (product) LEFT JOIN tmp USING (product);
SELECT count(*), max(t.name) FROM twin.stock JOIN pg_temp.tmp t USING (product) LEFT JOIN tmp USING (product);

-- rows named by ctid
WITH gone AS (DELETE FROM stock s USING changes c WHERE s.ctid = (SELECT min(ctid) FROM stock WHERE product IN (SELECT product FROM changes)) AND c.product = s.product RETURNING s.product) SELECT count(*) FROM gone;

-- rows of no named type
CREATE TABLE twin.kept (LIKE stock INCLUDING ALL);
CREATE TABLE kept (LIKE stock INCLUDING ALL);
SELECT shoal.create_distributed_table('kept', 'id', colocate_with => 'stock');
CREATE FUNCTION returned(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plain text[];
	dist text[] := '{}';
	r record;
BEGIN
	SET LOCAL search_path = twin, jw;
	DELETE FROM kept;
	INSERT INTO kept SELECT i, i, i FROM generate_series(1, 9) i;
	FOR r IN EXECUTE statement LOOP
		plain := plain || r::text;
	END LOOP;
	SET LOCAL search_path = jw;
	DELETE FROM kept;
	INSERT INTO kept SELECT i, i, i FROM generate_series(1, 9) i;
	FOR r IN EXECUTE statement LOOP
		dist := dist || r::text;
	END LOOP;
	RETURN CASE WHEN (SELECT array_agg(p ORDER BY p) FROM unnest(plain) p) = (SELECT array_agg(d ORDER BY d) FROM unnest(dist) d)
		THEN (SELECT count(*) || ' rows, the last one ' || max(p) FROM unnest(plain) p)
		ELSE 'DIFFERENT: ' || plain::text || ' / ' || dist::text END;
END $$;
SELECT q, returned(q) FROM unnest(ARRAY[
	'UPDATE kept SET n = 1 FROM (SELECT product, delta FROM changes) x WHERE x.product = kept.id RETURNING x, kept.id',
	'UPDATE kept SET n = 1 FROM (SELECT lv, count(*) AS n FROM changes GROUP BY lv) x WHERE x.n > kept.id AND x.lv = ''low'' RETURNING x, x.*, kept',
	'UPDATE kept SET n = a FROM (VALUES (1, 5), (2, 6)) x (b, a) WHERE kept.id = b RETURNING x, n',
	'DELETE FROM kept USING unnest(ARRAY[1, 2], ARRAY[''x'', ''y'']) g (a, b) WHERE id = a RETURNING g',
	'WITH c AS (SELECT product, delta FROM changes) UPDATE kept SET n = c.delta FROM c WHERE c.product = kept.id RETURNING c, n',
	'UPDATE kept SET n = 1 FROM (changes c JOIN banned b USING (product)) j WHERE j.product = kept.id RETURNING j, (j).name',
	'DELETE FROM kept USING (changes c JOIN banned b USING (product)) j (x, y, z, u, v) WHERE x = kept.id RETURNING j, row_to_json(j)',
	'UPDATE kept SET n = 1 FROM changes c LEFT JOIN (SELECT name, product, NULL::int AS nothing FROM banned) x ON x.product = c.product WHERE c.product = kept.id RETURNING kept.id, x, x IS NULL, (x).name',
	'UPDATE kept SET n = 1 FROM changes c LEFT JOIN (SELECT NULL::int AS nothing, product FROM banned) x ON x.product = c.product WHERE c.product = kept.id RETURNING x::text, (SELECT max(name) FROM banned)',
	'UPDATE kept SET id = kept.id + 100 FROM (SELECT product, delta FROM changes) x WHERE x.product = kept.id RETURNING x, kept.id'
]) q;

-- by somebody who may not read the table that is written
CREATE ROLE jw_writer;
CREATE TABLE marked (id int, mark bool);
SELECT shoal.create_distributed_table('marked', 'id');
INSERT INTO marked VALUES (1, false), (2, false), (3, NULL);
GRANT USAGE ON SCHEMA jw TO jw_writer;
GRANT UPDATE, DELETE ON marked TO jw_writer;
GRANT SELECT ON changes TO jw_writer;
SET ROLE jw_writer;
UPDATE marked SET mark = true FROM changes;
SELECT * FROM marked;
RESET ROLE;
SELECT * FROM marked ORDER BY id;
SET ROLE jw_writer;
DELETE FROM marked USING changes WHERE delta > 30;
RESET ROLE;
SELECT count(*) FROM marked;
SET client_min_messages = warning;
DROP OWNED BY jw_writer;
DROP ROLE jw_writer;
DROP SCHEMA jw CASCADE;
DROP SCHEMA twin CASCADE;
