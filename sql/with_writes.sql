--
-- WITH queries that write, over several nodes, compared with plain tables.
--
TRUNCATE plain.customers, plain.orders, plain.items, plain.products, plain.regions, plain.options, plain.events;
TRUNCATE dist.customers, dist.orders, dist.items, dist.products, dist.regions, dist.options, dist.events;
SELECT public.fill_tables('plain');
SELECT public.fill_tables('dist');
CREATE TABLE plain.archive (customer_id int, order_id bigint, what text);
CREATE TABLE dist.archive (customer_id int, order_id bigint, what text);
SELECT shoal.create_distributed_table('dist.archive', 'order_id', colocate_with => 'none', shard_count => 5);
CREATE TABLE plain.notes (n int, what text);
CREATE TABLE dist.notes (n int, what text);

CREATE FUNCTION public.with_tag(t text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN '<tag ' || t || '>'; END $$;

CREATE TEMP TABLE statements (n serial, statement text);
INSERT INTO statements (statement) VALUES
-- rows that are deleted here are inserted there
('WITH gone AS (DELETE FROM orders WHERE order_id % 50 = 7 RETURNING *) INSERT INTO archive SELECT customer_id, order_id, status FROM gone'),
('WITH gone AS (DELETE FROM orders WHERE order_id % 50 = 8 RETURNING customer_id, order_id) INSERT INTO archive SELECT *, ''gone'' FROM gone RETURNING order_id'),
('WITH gone AS (DELETE FROM archive WHERE order_id % 100 = 7 RETURNING order_id) SELECT count(*), max(order_id) FROM gone'),
('WITH gone AS (DELETE FROM archive WHERE order_id % 3 = 1) SELECT count(*) FROM archive'),
-- several, that read each other
('WITH c AS (INSERT INTO customers SELECT 1000 + i, ''new '' || i, i FROM generate_series(1, 6) i RETURNING customer_id, region), o AS (INSERT INTO orders SELECT customer_id, region, 10 * region FROM c WHERE region > 2 RETURNING *), i AS (INSERT INTO items SELECT customer_id, order_id, 1, 2, 3 FROM o RETURNING *) SELECT (SELECT count(*) FROM c), (SELECT sum(amount) FROM o), (SELECT count(*) FROM i), (SELECT count(*) FROM customers WHERE customer_id > 1000)'),
('SELECT count(*) FROM items JOIN orders USING (customer_id, order_id) WHERE customer_id > 1000'),
-- joined with what was returned
('WITH o AS (UPDATE orders SET status = ''joined'' WHERE order_id < 40 RETURNING customer_id, order_id) UPDATE customers SET name = ''joined '' || o.order_id FROM o WHERE o.customer_id = customers.customer_id AND o.order_id % 2 = 0 RETURNING customers.customer_id, name'),
('WITH e AS (UPDATE events SET n = -n WHERE n < 20 RETURNING n, k) DELETE FROM orders USING e WHERE orders.order_id = 1000 - e.n RETURNING orders.*, e.k'),
('WITH e AS (UPDATE events SET n = -n WHERE n < 0 RETURNING n) UPDATE orders SET amount = (SELECT max(n) FROM e) WHERE order_id IN (SELECT n + 100 FROM e)'),
('WITH e AS (UPDATE events SET payload = ''{}'' WHERE n < 10 RETURNING n) UPDATE orders SET status = ''c'' WHERE EXISTS (SELECT FROM e WHERE e.n = orders.order_id - 200) OR order_id = (SELECT max(n) FROM e)'),
('WITH e AS (UPDATE events SET payload = NULL WHERE n < 10 RETURNING n, k) SELECT o.order_id, e.k FROM orders o LEFT JOIN e ON e.n = o.order_id WHERE o.order_id < 20 ORDER BY 1'),
('WITH e AS (UPDATE events SET payload = ''[]'' WHERE n < 10 RETURNING n, k) SELECT customer_id, count(*), min(e.k) FROM orders o JOIN e ON o.order_id = 300 + e.n GROUP BY customer_id ORDER BY 1'),
('WITH p AS (UPDATE customers SET region = 3 WHERE customer_id = 5 RETURNING customer_id) MERGE INTO orders o USING p ON o.customer_id = p.customer_id WHEN MATCHED THEN UPDATE SET status = ''merged'''),
-- no part sees what another one writes
('WITH a AS (UPDATE orders SET amount = amount + 1 WHERE order_id = 60), b AS (SELECT amount FROM orders WHERE order_id = 60) UPDATE archive SET what = (SELECT amount FROM b) WHERE order_id = 57'),
('WITH a AS (INSERT INTO archive VALUES (1, 5000, ''x''), (2, 5001, ''y'') RETURNING order_id) SELECT (SELECT count(*) FROM a), count(*) FROM archive WHERE order_id IN (SELECT order_id FROM a)'),
('WITH a AS (DELETE FROM archive WHERE order_id >= 5000 RETURNING order_id) INSERT INTO archive SELECT 9, a.order_id + 10, count(*) FROM a, archive GROUP BY a.order_id'),
('WITH a AS (UPDATE archive SET what = ''first'' WHERE order_id = 5010 RETURNING 1), b AS (UPDATE archive SET what = ''second'' WHERE order_id = 5010 RETURNING 2), c AS (DELETE FROM archive WHERE order_id = 5010 RETURNING 3) SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM c)'),
('SELECT what FROM archive WHERE order_id = 5010'),
('WITH a AS (DELETE FROM archive WHERE order_id = 5010 RETURNING *) UPDATE archive SET what = a.what || ''!'' FROM a WHERE archive.order_id = 5010'),
('WITH a AS (INSERT INTO customers VALUES (2000, ''a'') ON CONFLICT (customer_id) DO UPDATE SET name = ''b'' RETURNING customer_id) INSERT INTO customers SELECT customer_id, ''c'' FROM a ON CONFLICT (customer_id) DO UPDATE SET name = ''d'''),
('WITH a AS (INSERT INTO customers VALUES (2000, ''a'') RETURNING customer_id) INSERT INTO customers SELECT customer_id, ''c'' FROM a ON CONFLICT (customer_id) DO NOTHING'),
('WITH a AS (INSERT INTO customers VALUES (2000, ''again'')) SELECT 1'),
-- local tables, reference tables, single-shard tables
('WITH n AS (INSERT INTO notes SELECT i, ''note '' || i FROM generate_series(1, 5) i RETURNING *) INSERT INTO archive SELECT n, 6000 + n, what FROM n'),
('WITH n AS (DELETE FROM notes WHERE n > 3 RETURNING *) DELETE FROM archive USING n WHERE order_id = 6000 + n.n RETURNING order_id'),
('WITH a AS (DELETE FROM archive WHERE order_id > 6000 RETURNING order_id, what) INSERT INTO notes SELECT order_id, what FROM a RETURNING *'),
('WITH p AS (UPDATE products SET price = 0 WHERE product < 4 RETURNING *) INSERT INTO options SELECT title, to_jsonb(product) FROM p RETURNING name'),
('WITH o AS (DELETE FROM options WHERE name LIKE ''product%'' RETURNING name) INSERT INTO regions SELECT 100 + count(*), max(name) FROM o RETURNING *'),
('WITH o AS (UPDATE options SET value = ''0'' RETURNING name) UPDATE products SET title = ''options: '' || (SELECT string_agg(name, '','' ORDER BY name) FROM o) WHERE product = 1'),
('WITH n AS (UPDATE notes SET what = ''of '' || customer_id FROM orders WHERE order_id = n + 10 RETURNING n, order_id) SELECT count(*), sum(order_id) FROM n'),
('WITH n AS (DELETE FROM notes USING orders WHERE order_id = n + 10 AND status || what <> ''x'' AND n = 2 RETURNING n, order_id) SELECT count(*), sum(order_id) FROM n'),
('WITH a AS (INSERT INTO notes VALUES (77, ''a'')), b AS (UPDATE notes SET what = ''b'' WHERE n = 77 RETURNING 1) SELECT count(*) FROM orders, b'),
-- WITH queries that do not write
('WITH s AS (SELECT order_id FROM orders WHERE order_id BETWEEN 100 AND 110), d AS (DELETE FROM orders WHERE order_id IN (SELECT order_id FROM s WHERE order_id > 105) RETURNING order_id) INSERT INTO archive SELECT 1, order_id, (SELECT count(*) FROM d)::text FROM s'),
('WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x < 5), a AS (INSERT INTO archive SELECT x, 7000 + x, ''r'' FROM t RETURNING *), u AS (SELECT 0 AS y UNION ALL SELECT y + 1 FROM u JOIN a ON a.order_id = 7001 + y) SELECT (SELECT count(*) FROM t), (SELECT max(y) FROM u), (SELECT sum(order_id) FROM a)'),
('WITH s AS (SELECT 8000 AS base), a AS (WITH s AS (SELECT base + 1 AS base FROM s) INSERT INTO archive SELECT 1, base, ''inner'' FROM s RETURNING order_id) SELECT a.*, s.* FROM a, s, (WITH a AS (SELECT 3 AS three) SELECT * FROM a) x'),
('WITH r AS (SELECT generate_series(1, 3) AS i, random() AS v), a AS (INSERT INTO archive SELECT i, 8100 + i, v::text FROM r RETURNING order_id, what), b AS (INSERT INTO notes SELECT i, v::text FROM r RETURNING n, what) SELECT count(*), bool_and(a.what = b.what AND a.what = r.v::text) FROM r JOIN a ON a.order_id = 8100 + i JOIN b ON b.n = i'),
('WITH x(c, d) AS (DELETE FROM archive WHERE order_id > 8000 RETURNING order_id, customer_id), y AS MATERIALIZED (SELECT x, c FROM x) SELECT count(y.x), count(DISTINCT y), count(*) FROM y'),
-- with functions of users, whose rows are worked out here
('WITH a AS (UPDATE archive SET what = public.with_tag(what) WHERE order_id < 200 RETURNING order_id, what) INSERT INTO notes SELECT order_id, public.with_tag(what) FROM a'),
('WITH a AS (UPDATE archive SET what = ''first'' WHERE order_id = 57 RETURNING 1), b AS (UPDATE archive SET what = public.with_tag(what) WHERE order_id = 57 RETURNING 2) SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)'),
('WITH n AS (SELECT n FROM notes WHERE n < 10), d AS (DELETE FROM archive WHERE public.with_tag(what) ~ ''^.tag'' AND order_id % 2 = 0 RETURNING *) SELECT count(*) FROM n, d'),
-- an error in one part undoes the others
('WITH a AS (DELETE FROM archive RETURNING *) INSERT INTO customers SELECT 1, ''there is one'' FROM a'),
-- the key of a row
('WITH a AS (UPDATE archive SET order_id = order_id + 10000 WHERE order_id % 100 = 58 RETURNING order_id) SELECT count(*), min(order_id) FROM a'),
('WITH a AS (SELECT order_id FROM archive WHERE order_id > 10000), n AS (INSERT INTO notes VALUES (5, ''key'')) UPDATE archive SET order_id = order_id - 10000 WHERE order_id IN (SELECT * FROM a)');

SELECT n, statement, public.same(statement) FROM statements WHERE statement NOT LIKE '%random()%' ORDER BY n;
SELECT * FROM public.same_tables();
SELECT public.same('TABLE archive'), public.same('TABLE notes');

-- by themselves, not within a function; what each isolation level reads
SET search_path = dist;
WITH r AS (SELECT generate_series(1, 3) AS i, random() AS v),
    a AS (INSERT INTO archive SELECT i, 8100 + i, v::text FROM r RETURNING order_id, what),
    b AS (INSERT INTO notes SELECT i, v::text FROM r RETURNING n, what)
    SELECT count(*), bool_and(a.what = b.what AND a.what = r.v::text) FROM r JOIN a ON a.order_id = 8100 + i JOIN b ON b.n = i;
CREATE FUNCTION move_and_count() RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
    WITH a AS (UPDATE archive SET what = 'moved' WHERE order_id = 8101 RETURNING *),
        b AS (UPDATE archive SET what = 'again' WHERE order_id = 8101 RETURNING *)
        SELECT format('%s %s %s', (SELECT count(*) FROM a), (SELECT count(*) FROM b),
            (SELECT count(*) FROM archive WHERE what = 'moved')) INTO r;
    UPDATE archive SET what = 'back' WHERE order_id = 8101 AND what = 'moved';
    RETURN r;
END $$;
SELECT move_and_count();
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE archive SET what = 'before' WHERE order_id = 8102;
WITH a AS (UPDATE archive SET what = 'after' WHERE order_id IN (8101, 8102) RETURNING order_id),
    b AS (DELETE FROM archive WHERE what = 'after' RETURNING *)
    SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), count(*) FROM archive WHERE what = 'before';
SELECT order_id, what FROM archive WHERE what = 'after' ORDER BY 1;
SELECT move_and_count();
ROLLBACK;
SET shoal.consistent_reads = off;
SELECT move_and_count();
WITH a AS (DELETE FROM archive WHERE order_id = 8103 RETURNING *), b AS (INSERT INTO archive SELECT * FROM a)
    SELECT count(*) FROM archive WHERE order_id = 8103;
RESET shoal.consistent_reads;
BEGIN;
SAVEPOINT s;
WITH a AS (INSERT INTO archive VALUES (1, 8105, 'saved') RETURNING *) UPDATE archive SET what = a.what FROM a WHERE archive.order_id = 8104;
ROLLBACK TO s;
WITH a AS (INSERT INTO archive VALUES (1, 8106, 'kept') RETURNING *) INSERT INTO notes SELECT 8106, what FROM a;
COMMIT;
SELECT order_id, what FROM archive WHERE order_id > 8103 ORDER BY 1;
SELECT count(*) FROM notes WHERE n = 8106;

-- planned once
SET plan_cache_mode = force_generic_plan;
PREPARE p(int) AS WITH a AS (INSERT INTO archive VALUES (1, $1, 'p') RETURNING *) INSERT INTO notes SELECT order_id, what || $1 FROM a RETURNING *;
EXECUTE p(8201);
EXECUTE p(8202);
ALTER TABLE archive ALTER COLUMN what SET DEFAULT 'new plan';
EXECUTE p(8203);
RESET plan_cache_mode;
DO $$
DECLARE r record;
BEGIN
    FOR r IN WITH a AS (DELETE FROM archive WHERE order_id BETWEEN 8201 AND 8203 RETURNING order_id) SELECT * FROM a ORDER BY 1 LOOP
        RAISE NOTICE '%', r;
        EXIT;
    END LOOP;
END $$;
SELECT count(*) FROM archive WHERE order_id BETWEEN 8201 AND 8203;

-- triggers of a local table fire at the end, with all rows that it got
CREATE FUNCTION note_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% % rows', TG_OP, (SELECT count(*) FROM new_rows);
    RETURN NULL;
END $$;
CREATE TRIGGER t AFTER INSERT ON notes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_rows();
WITH a AS (INSERT INTO notes VALUES (1, 'one') RETURNING n), b AS (INSERT INTO archive VALUES (1, 8301, 'b'))
    INSERT INTO notes SELECT n + 1, 'two' FROM a;

-- rights are checked before anything is written
CREATE ROLE shoal_with_reader;
GRANT USAGE ON SCHEMA dist TO shoal_with_reader;
GRANT SELECT, INSERT ON archive TO shoal_with_reader;
SET ROLE shoal_with_reader;
WITH a AS (INSERT INTO archive VALUES (1, 8302, 'a') RETURNING *) INSERT INTO notes SELECT 1, what FROM a;
WITH a AS (INSERT INTO archive VALUES (1, 8302, 'a') RETURNING *) DELETE FROM archive USING a WHERE archive.order_id = a.order_id;
WITH a AS (INSERT INTO archive VALUES (1, 8302, 'a') RETURNING *) INSERT INTO archive SELECT customer_id, order_id + 1, what FROM a;
RESET ROLE;
SELECT order_id FROM archive WHERE order_id >= 8302 ORDER BY 1;
-- nobody else can read the rows of a WITH query
SELECT * FROM shoal.written_rows(1) AS x(a int);
EXPLAIN (COSTS OFF) WITH a AS (INSERT INTO archive VALUES (1, 2, 'a') RETURNING *), b AS (INSERT INTO notes SELECT 1) INSERT INTO archive SELECT * FROM a;
-- versions print numbers in ways of their own
DO $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE $q$EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
		WITH a AS (INSERT INTO archive VALUES (1, 2, 'a') RETURNING *) INSERT INTO archive SELECT a.customer_id, a.order_id, a.what FROM a, generate_series(1, 3)$q$ LOOP
		IF line ~ 'Part:|->' THEN RAISE NOTICE '%', regexp_replace(line, '\.00', '', 'g'); END IF;
	END LOOP;
END $$;
-- rows that refer to others are deleted before them, in whatever order they are written
CREATE TABLE dist.fp (id int PRIMARY KEY);
CREATE TABLE dist.fc (id int, n int, PRIMARY KEY (id, n));
CREATE TABLE dist.fg (id int, n int);
SELECT shoal.create_distributed_table('dist.fp', 'id'), shoal.create_distributed_table('dist.fc', 'id'), shoal.create_distributed_table('dist.fg', 'id');
ALTER TABLE dist.fc ADD FOREIGN KEY (id) REFERENCES dist.fp;
ALTER TABLE dist.fg ADD FOREIGN KEY (id, n) REFERENCES dist.fc;
INSERT INTO dist.fp SELECT generate_series(1, 40);
INSERT INTO dist.fc SELECT i, j FROM generate_series(1, 40) i, generate_series(1, 2) j;
INSERT INTO dist.fg TABLE dist.fc;
WITH a AS (DELETE FROM dist.fg WHERE id < 5), b AS (DELETE FROM dist.fc WHERE id < 5) DELETE FROM dist.fp WHERE id < 5;
WITH b AS (DELETE FROM dist.fc WHERE id < 8), a AS (DELETE FROM dist.fg WHERE id < 8) DELETE FROM dist.fp WHERE id < 8;
WITH b AS (DELETE FROM dist.fp WHERE id < 10), a AS (DELETE FROM dist.fc WHERE id < 10) DELETE FROM dist.fg WHERE id < 10;
WITH a AS (DELETE FROM dist.fg WHERE id < 12 RETURNING id), b AS (DELETE FROM dist.fp WHERE id IN (SELECT id FROM a) RETURNING id),
	c AS (DELETE FROM dist.fc WHERE id < 12 RETURNING id) SELECT (SELECT count(*) FROM b) AS fp, (SELECT count(*) FROM c) AS fc;
-- those that read what is deleted first are not
\set VERBOSITY sqlstate
WITH a AS (DELETE FROM dist.fp WHERE id = 20 RETURNING id) DELETE FROM dist.fc USING a WHERE fc.id = a.id;
\set VERBOSITY default
SELECT (SELECT count(*) FROM dist.fp) AS fp, (SELECT count(*) FROM dist.fc) AS fc, (SELECT count(*) FROM dist.fg) AS fg;
DROP TABLE dist.fp, dist.fc, dist.fg;
RESET search_path;
DROP TABLE plain.archive, dist.archive, plain.notes, dist.notes;
DROP FUNCTION dist.move_and_count, dist.note_rows, public.with_tag;
REVOKE ALL ON SCHEMA dist FROM shoal_with_reader;
DROP ROLE shoal_with_reader;
