--
-- Queries that once went wrong, compared with plain tables, by all ways.
--
\set SHOW_CONTEXT never
CREATE TEMP TABLE queries (n serial, query text);
INSERT INTO queries (query) VALUES
-- what one shard returns is not to be returned by the others too
('SELECT count(*) FROM orders WHERE customer_id = 5 UNION ALL SELECT order_id FROM orders'),
('SELECT count(*) FROM orders WHERE customer_id = 1 UNION ALL SELECT count(*) FROM orders WHERE customer_id = 2'),
('SELECT count(*) FROM orders WHERE customer_id = 1 UNION ALL SELECT count(*) FROM orders WHERE customer_id = 1'),
('SELECT x.customer_id, n, name FROM (SELECT customer_id, count(*) n FROM orders WHERE customer_id = 5 GROUP BY ROLLUP (customer_id)) x FULL JOIN customers c ON x.customer_id = c.customer_id'),
('SELECT * FROM (SELECT r.title, o.customer_id FROM regions r LEFT JOIN orders o ON o.customer_id = 5) x FULL JOIN customers c ON x.customer_id = c.customer_id'),
('SELECT * FROM (SELECT r.title, o.customer_id FROM regions r LEFT JOIN orders o ON o.customer_id = 5) x LEFT JOIN customers c ON x.customer_id = c.customer_id'),
('SELECT * FROM regions WHERE region NOT IN (SELECT order_id FROM orders WHERE customer_id = 5) UNION ALL SELECT customer_id, name FROM customers'),
('WITH w AS (SELECT count(*) n FROM orders WHERE customer_id = 1) SELECT n, name FROM customers LEFT JOIN w ON true'),
-- groups that an equality other than the key''s makes
('SELECT count(*) FROM events GROUP BY k::bpchar'),
('SELECT count(*) FROM (SELECT DISTINCT k::bpchar FROM (SELECT k || CASE WHEN n % 2 = 0 THEN '' '' ELSE '''' END AS k FROM events) x) y'),
('SELECT count(*) FROM (SELECT k::bpchar FROM events UNION SELECT k::bpchar FROM events) x'),
('SELECT k COLLATE "C", count(*) FROM events GROUP BY 1'),
-- set operations of parts, and their column names
('SELECT max(u.order_id) OVER (ORDER BY u.customer_id), r.title FROM (SELECT customer_id, order_id FROM orders UNION ALL SELECT customer_id, 0 FROM customers) u LEFT JOIN here h ON h.a = u.customer_id LEFT JOIN regions r ON r.region = h.a'),
('SELECT k FROM events WHERE k = ''k1'' UNION SELECT k FROM events WHERE k = ''k1'' LIMIT (SELECT count(*) FROM orders)'),
-- parts that refer to what is left of them
('SELECT min(q.x) FROM events e LEFT JOIN LATERAL (SELECT e.n AS x FROM customers c JOIN here h ON true FULL JOIN orders o ON o.order_id = c.customer_id) q ON q.x = e.n WHERE e.k = ''k9'''),
('SELECT c.name, q.* FROM customers c LEFT JOIN LATERAL (SELECT c.region + e.n AS s, h.b FROM events e JOIN here h ON h.a = e.n) q ON q.s = c.customer_id'),
-- columns of a join that has a name, by a part of it
('SELECT * FROM (customers CROSS JOIN events) j WHERE j.k = ''k1'' ORDER BY 1, j.n LIMIT 1'),
('SELECT j.a, count(*) FROM (orders JOIN events ON order_id = n) j (a) WHERE j.a < 50 AND j.n > 3 GROUP BY 1 ORDER BY 1 LIMIT 3'),
-- order
('SELECT array_agg(amount) FROM (SELECT amount FROM orders ORDER BY amount) x'),
('SELECT string_agg(name, '','') FROM (SELECT name FROM customers ORDER BY name) x'),
('WITH w AS (SELECT order_id FROM orders ORDER BY order_id DESC) SELECT array_agg(order_id) FROM w'),
('SELECT status, array_agg(order_id) FROM (SELECT status, order_id FROM orders ORDER BY order_id) x GROUP BY status'),
('SELECT count(*), max(amount) FROM (SELECT amount FROM orders ORDER BY amount) x'),
('SELECT order_id FROM orders ORDER BY order_id LIMIT 9223372036854775807 OFFSET 1990'),
-- tableoid
('SELECT tableoid = ''orders''::regclass, count(*) FROM orders GROUP BY 1'),
('SELECT tableoid::regclass::text FROM customers WHERE customer_id = 3'),
('SELECT o.tableoid::regclass::text, c.customer_id FROM customers c LEFT JOIN orders o USING (customer_id)'),
('SELECT e.tableoid::regclass::text, c.customer_id FROM customers c LEFT JOIN events e ON e.n = c.region + 490'),
-- subqueries in the conditions of joins
('SELECT count(*) FROM orders o JOIN customers c ON c.customer_id = o.customer_id AND o.amount > (SELECT avg(amount) FROM orders)'),
('SELECT count(*), count(c.name) FROM orders o LEFT JOIN customers c ON c.customer_id = o.customer_id AND o.order_id IN (SELECT max(order_id) FROM items)'),
('SELECT count(*), count(r.title) FROM orders o LEFT JOIN regions r ON o.amount < (SELECT max(n) FROM events)'),
('SELECT count(*) FROM customers c JOIN (orders o JOIN items i ON i.customer_id = o.customer_id AND EXISTS (SELECT FROM events e WHERE e.n = i.product)) ON c.customer_id = o.customer_id'),
-- WITH queries that nobody reads
('WITH w AS (SELECT * FROM events) SELECT count(*) FROM orders'),
('WITH w AS (SELECT * FROM events), v AS (SELECT * FROM w) SELECT name FROM customers WHERE customer_id = 3'),
('WITH RECURSIVE w AS (SELECT 1 AS n UNION ALL SELECT w.n + 1 FROM w, events WHERE w.n < 3) SELECT name FROM customers WHERE customer_id = 3');

SELECT n, query, public.same(query) FROM queries ORDER BY n;
SET shoal.enable_local = off;
SELECT n, query, public.same(query) FROM queries WHERE public.same(query) !~ '^\d+ rows$' ORDER BY n;
SET shoal.enable_push = off;
SELECT n, query, public.same(query) FROM queries WHERE public.same(query) !~ '^\d+ rows$' ORDER BY n;
RESET shoal.enable_local;
RESET shoal.enable_push;

-- a locking clause on a view that has a set operation
CREATE VIEW dist.both_kinds AS SELECT customer_id FROM dist.customers UNION ALL SELECT customer_id FROM dist.orders;
SELECT count(*) FROM (SELECT * FROM dist.both_kinds WHERE customer_id = 3 FOR UPDATE) x;
-- what stands for many rows cannot be locked, in a view neither
CREATE VIEW dist.grouped AS SELECT region, count(*) FROM dist.customers GROUP BY region;
CREATE VIEW plain.grouped AS SELECT region, count(*) FROM plain.customers GROUP BY region;
CREATE VIEW dist.numbered AS SELECT customer_id, row_number() OVER (ORDER BY customer_id) FROM dist.customers;
CREATE VIEW plain.numbered AS SELECT customer_id, row_number() OVER (ORDER BY customer_id) FROM plain.customers;
SELECT * FROM dist.grouped FOR UPDATE;
SELECT * FROM plain.grouped FOR UPDATE;
SELECT * FROM dist.grouped JOIN dist.customers USING (region) FOR SHARE;
SELECT * FROM plain.grouped JOIN plain.customers USING (region) FOR SHARE;
SELECT * FROM dist.numbered WHERE customer_id = 5 FOR UPDATE;
SELECT * FROM plain.numbered WHERE customer_id = 5 FOR UPDATE;
SELECT customer_id, count FROM dist.grouped JOIN dist.customers USING (region) WHERE customer_id < 4 ORDER BY 1 FOR UPDATE OF customers;
SELECT customer_id, count FROM plain.grouped JOIN plain.customers USING (region) WHERE customer_id < 4 ORDER BY 1 FOR UPDATE OF customers;
DROP VIEW dist.grouped, plain.grouped, dist.numbered, plain.numbered;
DROP VIEW dist.both_kinds;

-- views whose owner's rights count where they cannot be sent as a whole
CREATE ROLE regress_viewer LOGIN;
GRANT USAGE ON SCHEMA dist TO regress_viewer;
CREATE VIEW dist.by_region AS SELECT c.customer_id, c.name, e.n FROM dist.customers c JOIN dist.events e ON e.n = c.region;
CREATE VIEW dist.names AS SELECT customer_id, name FROM dist.customers;
GRANT SELECT ON dist.by_region, dist.names TO regress_viewer;
GRANT SELECT ON public.here TO regress_viewer;
SET ROLE regress_viewer;
SELECT count(*) FROM dist.customers;
SELECT count(*), sum(n) FROM dist.by_region;
SELECT count(*) FROM dist.by_region WHERE customer_id = 8;
SELECT count(*) FROM dist.names;
SELECT count(*) FROM dist.names JOIN public.here ON a = customer_id;
RESET ROLE;
DROP VIEW dist.by_region, dist.names;

-- policies that read other tables
CREATE TABLE dist.notes (customer_id int, note text);
CREATE TABLE dist.readers (customer_id int, who text);
CREATE TABLE dist.bounds (who text, upto int);
SELECT shoal.create_distributed_table('dist.notes', 'customer_id', colocate_with => 'dist.customers');
SELECT shoal.create_distributed_table('dist.readers', 'customer_id', colocate_with => 'dist.customers');
SELECT shoal.create_distributed_table('dist.bounds', 'who', shard_count => 3);
INSERT INTO dist.notes SELECT i, 'note ' || i FROM generate_series(1, 20) i;
INSERT INTO dist.readers SELECT i, 'regress_viewer' FROM generate_series(1, 5) i;
INSERT INTO dist.bounds VALUES ('regress_viewer', 10);
GRANT ALL ON dist.notes, dist.readers, dist.bounds TO regress_viewer;
ALTER TABLE dist.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY tied ON dist.notes USING (customer_id IN (SELECT customer_id FROM dist.readers WHERE who = current_user));
SET ROLE regress_viewer;
SELECT count(*) FROM dist.notes;
SELECT count(*) FROM dist.notes WHERE customer_id = 7;
SELECT count(*) FROM dist.notes, public.here WHERE b = 'here 1';
UPDATE dist.notes SET note = note || '!';
INSERT INTO dist.notes VALUES (3, 'mine');
INSERT INTO dist.notes VALUES (30, 'not mine');
INSERT INTO dist.notes VALUES (4, 'mine'), (31, 'not mine');
RESET ROLE;
DROP POLICY tied ON dist.notes;
CREATE POLICY other ON dist.notes USING (customer_id < (SELECT max(upto) FROM dist.bounds WHERE who = current_user));
SET ROLE regress_viewer;
SELECT count(*) FROM dist.notes;
SELECT count(*) FROM dist.notes WHERE customer_id = 7;
DELETE FROM dist.notes;
RESET ROLE;
DROP POLICY other ON dist.notes;
CREATE POLICY untied ON dist.notes USING (length(note) > (SELECT count(*) FROM dist.readers));
SET ROLE regress_viewer;
SELECT count(*) FROM dist.notes;
RESET ROLE;

BEGIN;
INSERT INTO dist.orders (customer_id, order_id) VALUES (9001, 1), (9002, 2) RETURNING customer_id, (SELECT title FROM dist.regions WHERE region = 1);
ROLLBACK;

DROP TABLE dist.notes, dist.readers, dist.bounds;
REVOKE ALL ON SCHEMA dist FROM regress_viewer;
REVOKE ALL ON public.here FROM regress_viewer;
DROP ROLE regress_viewer;

-- writes whose rows would differ from shard to shard or node to node
CREATE VIEW dist.named AS SELECT customer_id, name FROM dist.customers;
BEGIN;
UPDATE dist.named SET name = 'y' WHERE customer_id = 3 RETURNING *;
DELETE FROM dist.named WHERE customer_id BETWEEN 290 AND 300 AND name LIKE '%9';
ROLLBACK;
DROP VIEW dist.named;
BEGIN;
UPDATE dist.regions SET title = 'x' WHERE region IN (SELECT region FROM dist.regions LIMIT 2);
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT count(*) FROM dist.regions WHERE title = ''x''');
ROLLBACK;

-- an alias of USING names the columns of its row
SET search_path = dist;
SELECT row_to_json(x.*) FROM orders JOIN customers USING (customer_id) AS x WHERE customer_id = 3 LIMIT 1;
SELECT count(DISTINCT to_json(x)::text) > 1 FROM orders JOIN customers USING (customer_id) AS x WHERE to_json(x)::text LIKE '{"customer_id":%';
-- cursors go backward unless told not to, as those over one server's tables do
BEGIN;
DECLARE c CURSOR FOR SELECT customer_id FROM customers WHERE customer_id < 20 ORDER BY 1;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
MOVE BACKWARD ALL FROM c;
FETCH 1 FROM c;
DECLARE grouped CURSOR FOR SELECT region, count(*) FROM customers GROUP BY region ORDER BY 1;
FETCH 2 FROM grouped;
FETCH PRIOR FROM grouped;
DECLARE n NO SCROLL CURSOR FOR SELECT customer_id FROM customers WHERE customer_id < 20 ORDER BY 1;
FETCH 2 FROM n;
FETCH PRIOR FROM n;
ROLLBACK;
RESET search_path;

-- whole rows of a table whose system columns are read as well
CREATE TABLE public.whole (k int PRIMARY KEY, gone int, v text);
ALTER TABLE public.whole DROP COLUMN gone;
SELECT shoal.create_distributed_table('public.whole', 'k');
INSERT INTO public.whole SELECT i, 'v' || i FROM generate_series(1, 6) i;
CREATE FUNCTION public.whole_text(public.whole) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.v || 1';
SELECT public.whole_text(w), w, w.ctid IS NOT NULL FROM public.whole w WHERE public.whole_text(w) > '' ORDER BY k LIMIT 2;
SELECT h.a, w, w IS NULL, public.whole_text(w), w.ctid IS NULL FROM public.here h LEFT JOIN public.whole w ON w.k = h.a WHERE h.a BETWEEN 5 AND 8 ORDER BY 1;
UPDATE public.whole w SET v = public.whole_text(w) WHERE public.whole_text(w) <> 'x' AND k = 2 RETURNING w, public.whole_text(w);
DROP FUNCTION public.whole_text;
DROP TABLE public.whole;
-- nodes that are asked for the size of a subquery do not plan functions that read tables
CREATE FUNCTION dist.highest() RETURNS int LANGUAGE sql STABLE AS 'SELECT max(region) FROM dist.customers';
CREATE FUNCTION plain.highest() RETURNS int LANGUAGE sql STABLE AS 'SELECT max(region) FROM plain.customers';
SELECT public.same('SELECT r.title, q.n FROM regions r JOIN (SELECT DISTINCT highest() AS h, count(*) AS n FROM customers GROUP BY region) q ON q.h = r.region JOIN items i ON i.qty = q.n');
SELECT public.same('SELECT o.order_id, q.h FROM orders o JOIN (SELECT highest() AS h, qty, line FROM items WHERE qty < highest()) q ON q.qty = o.order_id WHERE q.h > q.line');
DROP FUNCTION dist.highest, plain.highest;
-- a record can't be a parameter
SELECT public.same('SELECT count(*) FROM customers WHERE pg_catalog.pg_stat_get_wal() IS NOT NULL');
-- ordered by a column of the table whose name another one of the result has
SET search_path = dist, public;
SELECT -order_id AS order_id FROM orders WHERE customer_id = 5 ORDER BY orders.order_id LIMIT 3;
SELECT -o.order_id AS order_id FROM orders o ORDER BY o.order_id LIMIT 3;
SELECT -order_id AS order_id, order_id FROM orders ORDER BY orders.order_id DESC LIMIT 2;
SELECT -order_id AS order_id, count(*) FROM orders GROUP BY orders.order_id ORDER BY orders.order_id LIMIT 2;
SELECT DISTINCT ON (orders.order_id) -order_id AS order_id FROM orders WHERE customer_id = 5 ORDER BY orders.order_id LIMIT 2;
-- an error with which a node does not even begin, in a transaction block
\c -
SET search_path = dist, public;
SELECT count(*) FROM customers \g /dev/null
\g /dev/null
BEGIN;
SELECT customer_id + 1 / 0 FROM customers;
ROLLBACK;
RESET search_path;
-- more constants than a statement may have parameters
DO $$
DECLARE
	list text := (SELECT string_agg(i::text, ', ') FROM generate_series(3, 70000) i);
	n int;
BEGIN
	EXECUTE 'SELECT count(*) FROM dist.orders WHERE order_id IN (' || list || ')' INTO n;
	RAISE NOTICE 'in: %', n;
	EXECUTE 'SELECT count(*) FROM dist.orders WHERE amount IS NOT NULL AND order_id NOT IN (' || list || ')' INTO n;
	RAISE NOTICE 'not in: %', n;
END $$;
