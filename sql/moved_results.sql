-- Results of subqueries that are moved as wholes, and rows of INSERT ... SELECT
-- that nodes send to each other.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET shoal.move_threshold = 0;

CREATE FUNCTION moves_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	whole int := 0;
	tables int := 0;
	pulls int := 0;
BEGIN
	PERFORM set_config('search_path', 'dist, public', true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		whole := whole + (line ~ '^ *Move: .*scatter FROM \( SELECT')::int;
		tables := tables + (line ~ '^ *Move: ' AND line !~ 'scatter FROM \( SELECT')::int;
		pulls := pulls + (line ~ '^ *Way: pull')::int;
	END LOOP;
	RETURN format('%s subqueries, %s tables moved, %s pulled', whole, tables, pulls);
END $$;
CREATE FUNCTION check_query(query text) RETURNS TABLE (moved text, result text) LANGUAGE sql
BEGIN ATOMIC
	SELECT moves_of(query), public.same(query);
END;

-- grouped by another column, limited, distinct, of unions
SELECT * FROM check_query('SELECT count(*), sum(amount) FROM orders o JOIN (SELECT region, count(*) c, max(name) m FROM customers GROUP BY region) g ON o.order_id = g.c');
SELECT * FROM check_query('SELECT o.order_id, g.m FROM orders o JOIN (SELECT region, count(*) c, max(name) m FROM customers GROUP BY region ORDER BY 1 LIMIT 3) g ON o.order_id = g.region');
SELECT * FROM check_query('SELECT o.order_id, g.* FROM orders o LEFT JOIN (SELECT DISTINCT product, qty FROM items WHERE line = 1) g ON o.order_id = g.product WHERE g.qty > 2 OR o.amount < 9');
SELECT * FROM check_query('SELECT o.order_id, u.x FROM orders o JOIN (SELECT n AS x FROM events WHERE n < 50 UNION SELECT region FROM customers) u ON u.x = o.order_id');
SELECT * FROM check_query('SELECT k, x.rank FROM events e JOIN (SELECT order_id, rank() OVER (ORDER BY amount, order_id) AS rank FROM orders) x ON x.order_id = e.n WHERE x.rank < 100');
-- conditions from outside, whole rows, names used twice, columns nobody needs
SELECT * FROM check_query('SELECT g FROM events e JOIN (SELECT product, sum(qty) s, count(*) s2 FROM items GROUP BY product) g ON g.product = e.n WHERE g.s2 > 85');
SELECT * FROM check_query('SELECT e.n FROM events e JOIN (SELECT product AS n, sum(qty) n2 FROM items GROUP BY product ORDER BY max(line), product OFFSET 2) g ON g.n = e.n AND g.n2 > 100 WHERE g.n < 30');
-- WITH, used twice
SELECT * FROM check_query('WITH w AS (SELECT product, sum(qty) AS s FROM items GROUP BY product) SELECT count(*), sum(a.s), max(b.s) FROM events e JOIN w a ON a.product = e.n LEFT JOIN w b ON b.s = e.n');
SELECT * FROM check_query('WITH w AS MATERIALIZED (SELECT product, sum(qty) AS s FROM items GROUP BY product) SELECT e.k, w.s FROM events e JOIN w ON w.product = e.n AND w.s > (SELECT avg(s) FROM w)');
-- in expressions
SELECT * FROM check_query('SELECT count(*) FROM events WHERE n IN (SELECT product FROM items GROUP BY product HAVING count(*) > 88) OR n > (SELECT max(line) * 200 FROM items)');
SELECT * FROM check_query('SELECT count(*) FROM events WHERE n NOT IN (SELECT region FROM customers)');
SELECT * FROM check_query('SELECT count(*) FROM events WHERE n NOT IN (SELECT region FROM customers WHERE region IS NOT NULL)');
SELECT * FROM check_query('SELECT count(*) FROM events WHERE (n, n) IN (SELECT product, min(product) FROM items GROUP BY product)');
SELECT * FROM check_query('SELECT count(*) FROM events WHERE n > ALL (SELECT region FROM customers WHERE region < 5) AND EXISTS (SELECT 1 FROM orders HAVING count(*) > 5)');
SELECT * FROM check_query('SELECT n FROM events WHERE n = (SELECT region FROM customers WHERE customer_id < 4)');
SELECT * FROM check_query('SELECT k FROM events WHERE n = ANY (ARRAY(SELECT product FROM items WHERE qty > 4))');
-- one of them known before the sizes of others are asked for
SELECT * FROM check_query('SELECT min(x.region) FROM (SELECT DISTINCT (SELECT max(n) FROM events) AS m, c.region FROM customers c JOIN items i ON i.product = c.region) x WHERE x.region IN (SELECT product FROM items WHERE qty > 1) GROUP BY x.m');
-- a subquery whose own tables are joined on other columns, and one in one
SELECT * FROM check_query('SELECT count(*), max(name) FROM customers c JOIN (SELECT DISTINCT e.n, i.qty FROM events e JOIN items i ON i.product = e.n) x ON x.n = c.region');
SELECT * FROM check_query('SELECT count(*) FROM customers c WHERE region IN (SELECT qty FROM items i JOIN events e ON i.product = e.n WHERE e.n NOT IN (SELECT region FROM customers WHERE customer_id < 5))');
-- all together with tables of this node, and in a write
SELECT * FROM check_query('SELECT count(*), max(b) FROM events e JOIN (SELECT a, max(b) b FROM here GROUP BY a) h ON h.a = e.n');
SELECT * FROM check_query('SELECT count(*), max(b) FROM events e JOIN (SELECT h.a, max(b) b FROM here h JOIN items i ON i.product = h.a GROUP BY h.a) h ON h.a = e.n');
BEGIN;
SELECT * FROM check_query('UPDATE events e SET n = e.n + g.s FROM (SELECT product, sum(qty) s FROM items GROUP BY product LIMIT 1000) g WHERE g.product = e.n');
SELECT * FROM check_query('DELETE FROM events WHERE n IN (SELECT DISTINCT region FROM customers)');
SELECT same('SELECT * FROM events');
ROLLBACK;
-- what must not be computed once for all: volatile functions; rows of the outer query
SELECT moves_of('SELECT * FROM events e JOIN (SELECT product, random() FROM items LIMIT 5) g ON g.product = e.n');
SELECT * FROM check_query('SELECT n, (SELECT max(qty) FROM items i WHERE i.product = e.n LIMIT 1) FROM events e');
SELECT * FROM check_query('SELECT n, m FROM events e, LATERAL (SELECT max(qty) m FROM items i WHERE i.product < e.n) x');
-- rows that are looked up for each outer row: other types, texts, NULLs, none, twice
SELECT * FROM check_query('SELECT n, k FROM events e WHERE n < (SELECT sum(qty) FROM items i WHERE i.product = e.n)');
SELECT * FROM check_query('SELECT n, k FROM events e WHERE (SELECT count(*) FROM customers c WHERE c.name = ''customer '' || e.n AND c.region > 2) = 1');
SELECT * FROM check_query('SELECT n, k FROM events e WHERE (SELECT count(*) FROM customers c WHERE nullif(e.n, 3) = c.region) = 0');
SELECT * FROM check_query('SELECT n, k FROM events e WHERE (SELECT string_agg(repeat(c.name, 2000), '','' ORDER BY c.name) FROM customers c WHERE c.region = e.n) > (SELECT min(c.name) FROM customers c WHERE c.region = e.n + 1)');
SELECT * FROM check_query('SELECT n, k FROM events e WHERE (SELECT max(i.qty) FROM items i WHERE i.product = e.n AND i.line = (SELECT min(region) FROM customers c WHERE c.region = i.qty)) > 1');
-- rows that will not be joined are not moved: conditions of the other table, outer joins, rows around a subquery
SELECT * FROM check_query('SELECT e.n, i.line FROM events e JOIN items i ON i.product = e.n JOIN customers c ON c.region = i.qty WHERE e.k LIKE ''k1%'' AND c.name < ''customer 15''');
SELECT * FROM check_query('SELECT e.n, c.name FROM events e LEFT JOIN customers c ON c.region = e.n AND e.k = ''k3'' AND c.name > ''customer 2''');
SELECT * FROM check_query('SELECT e.n, c.name FROM events e LEFT JOIN customers c ON c.region = e.n WHERE e.k < ''k2'' OR e.k IS NULL');
SELECT * FROM check_query('SELECT e.n, c.name, i.qty FROM events e LEFT JOIN (customers c JOIN items i ON i.product = c.region AND i.line = 1 AND c.name LIKE ''%7'') ON c.region = e.n WHERE e.n < 20');
SELECT * FROM check_query('SELECT e.n FROM events e WHERE e.k = ''k5'' AND NOT EXISTS (SELECT 1 FROM items i WHERE i.product = e.n)');
SELECT * FROM check_query('SELECT e.n FROM events e WHERE e.n < 60 AND (e.n % 2 = 0 OR (SELECT count(*) FROM items i WHERE i.product = e.n AND i.qty > 2) > 5)');
SELECT * FROM check_query('SELECT e.n, c.m FROM events e LEFT JOIN LATERAL (SELECT max(i.qty) m FROM items i WHERE i.product = e.n) c ON e.k = ''k7'' WHERE e.n < 300');
-- duplicates are not moved where nobody counts them, but where equal is not the same, or counted, they are
CREATE FUNCTION distinct_moves(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	n int := 0;
BEGIN
	PERFORM set_config('search_path', 'dist, public', true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		n := n + (line ~ '^ *Move: .*scatter FROM \( SELECT.* GROUP BY')::int;
	END LOOP;
	RETURN format('%s without duplicates, %s', n, public.same(query));
END $$;
SELECT distinct_moves('SELECT n, k FROM events e WHERE EXISTS (SELECT 1 FROM items i WHERE i.product = e.n)');
SELECT distinct_moves('SELECT n, k FROM events e WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.product = e.n AND i.qty > e.n % 5)');
SELECT distinct_moves('SELECT n, k FROM events e WHERE (n + 1) IN (SELECT i.product FROM items i WHERE i.line <= e.n)');
SELECT distinct_moves('SELECT n, k FROM events e WHERE n NOT IN (SELECT i.product FROM items i LEFT JOIN customers c ON c.region = i.qty AND c.region = e.n % 4 WHERE i.line = 1)');
SELECT distinct_moves('SELECT n, k FROM events e WHERE n > ALL (SELECT i.product FROM items i WHERE i.qty < e.n)');
SELECT distinct_moves('SELECT n, k FROM events e WHERE EXISTS (SELECT 1 FROM orders o WHERE length(o.amount::text) = e.n)');
SELECT distinct_moves('SELECT n, k FROM events e WHERE (SELECT count(*) FROM items i WHERE i.product = e.n) > 85');
SELECT distinct_moves('SELECT n, k FROM events e WHERE n IN (SELECT i.product FROM items i WHERE i.line < e.n GROUP BY i.product HAVING count(*) > 85)');
SELECT distinct_moves('SELECT n, k FROM events e WHERE EXISTS (SELECT 1 FROM (SELECT i.product FROM items i WHERE i.line < e.n OFFSET 4000) x WHERE x.product = e.n)');
DROP FUNCTION distinct_moves;
-- a step that a move needs, too, is worked out once
CREATE FUNCTION public.told(int) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'told'; RETURN $1; END $$;
SELECT count(*) FROM dist.customers c WHERE c.customer_id > (SELECT told(min(n)::int) FROM dist.events) AND c.name LIKE 'customer 1%'
	AND NOT EXISTS (SELECT 1 FROM dist.items i WHERE i.product = c.customer_id);
DROP FUNCTION public.told;
-- parameters
PREPARE p(int) AS SELECT count(*) FROM dist.events WHERE n IN (SELECT product FROM dist.items GROUP BY product HAVING count(*) > $1);
EXECUTE p(80);
EXECUTE p(88);
SET plan_cache_mode = force_generic_plan;
EXECUTE p(80);
EXECUTE p(1000);
RESET plan_cache_mode;

--
-- INSERT ... SELECT
--
CREATE TABLE dist.made (x bigint DEFAULT 7, y text, z numeric, feels dist.mood, PRIMARY KEY (x, y));
CREATE TABLE plain.made (x bigint DEFAULT 7, y text, z numeric, feels plain.mood, PRIMARY KEY (x, y));
CREATE TABLE dist.loose (x text, y bigint);
CREATE TABLE plain.loose (x text, y bigint);
SELECT shoal.create_distributed_table('dist.made', 'x', colocate_with => 'none', shard_count => 6), shoal.create_distributed_table('dist.loose', 'x', colocate_with => 'none');
CREATE FUNCTION check_insert(query text, made text = 'made') RETURNS TABLE (moved text, result text, rows text) LANGUAGE plpgsql AS $$
BEGIN
	moved := moves_of(query);
	result := public.same(query);
	rows := public.same('SELECT * FROM ' || made);
	RETURN NEXT;
END $$;
SELECT * FROM check_insert('INSERT INTO made SELECT order_id, status, amount FROM orders WHERE status IS NOT NULL');
SELECT * FROM check_insert('INSERT INTO made (feels, y, x) SELECT feels, name, customer_id + 5000 FROM customers WHERE region > 1 ORDER BY 1');
SELECT * FROM check_insert('INSERT INTO made (y, z) SELECT ''default '' || n, n FROM events WHERE n < 40');
SELECT * FROM check_insert('INSERT INTO made SELECT n, k, 1 FROM events WHERE k IS NOT NULL ON CONFLICT DO NOTHING');
SELECT * FROM check_insert('INSERT INTO made SELECT order_id, ''paid'', amount FROM orders ON CONFLICT (x, y) DO UPDATE SET z = made.z + excluded.z WHERE made.x > 10');
SELECT * FROM check_insert('INSERT INTO made SELECT i.order_id * 10 + i.line + 500000, k || '' joined'', i.qty FROM events JOIN items i ON i.product = n AND order_id < 40 RETURNING x, y, z * 2');
SELECT * FROM check_insert('INSERT INTO made SELECT order_id, ''paid'', amount FROM orders');
SELECT * FROM check_insert('INSERT INTO made SELECT product, ''grouped'', sum(qty) FROM items GROUP BY product');
SELECT * FROM check_insert('INSERT INTO made SELECT x, y || '' again'', z FROM made WHERE z > 50');
SELECT * FROM check_insert('INSERT INTO made SELECT z * 10 + 100000, x || y || '' moved'', z FROM made WHERE z > 30');
-- NULL keys, and keys that have to be converted
SELECT * FROM check_insert('INSERT INTO loose SELECT nullif(n, 10), n FROM events', 'loose');
SELECT * FROM check_insert('INSERT INTO loose SELECT k, n FROM events', 'loose');
SELECT * FROM check_insert('INSERT INTO loose (y) SELECT n FROM events', 'loose');
SELECT count(*) > 0 AS null_keys FROM dist.loose WHERE x IS NULL;
-- in a transaction that has written the rows, and rolled back
BEGIN;
INSERT INTO dist.events VALUES ('new', 123456);
SAVEPOINT a;
INSERT INTO dist.loose SELECT payload::text, n FROM dist.events WHERE n > 1000;
INSERT INTO dist.loose SELECT n, n FROM dist.events WHERE n > 1000;
SELECT count(*), count(x) FROM dist.loose WHERE y > 1000;
ROLLBACK TO a;
SELECT count(*), count(x) FROM dist.loose WHERE y > 1000;
ROLLBACK;
-- errors on the way
-- (a node that sends rows to the one that has failed may be heard first)
DO $$
BEGIN
	INSERT INTO dist.loose SELECT 1 / (n - 400), n FROM dist.events;
EXCEPTION WHEN division_by_zero OR connection_failure THEN
	RAISE NOTICE 'failed';
END $$;
SELECT same('SELECT * FROM loose');

SET client_min_messages = warning;
DROP FUNCTION check_insert, check_query, moves_of;
DROP TABLE dist.made, plain.made, dist.loose, plain.loose;
SELECT * FROM public.same_tables();
