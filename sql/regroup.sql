-- Groups that are put together on the nodes after their parts have been moved,
-- compared with plain tables.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET shoal.move_threshold = 0;
CREATE FUNCTION check_groups(query text) RETURNS TABLE (moves bigint, result text) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	moves := 0;
	PERFORM set_config('search_path', 'dist, public', true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		moves := moves + (line ~ '^ *Move: by the key .* parts$')::int;
	END LOOP;
	result := public.same(query);
	RETURN NEXT;
END $$;
-- each kind of aggregate
SELECT * FROM check_groups('SELECT product, count(*), count(nullif(qty, 3)), sum(qty), avg(qty), min(qty), max(line) FROM items GROUP BY product');
SELECT * FROM check_groups('SELECT order_id % 9, sum(amount), avg(amount), avg(order_id), sum(order_id), min(placed), max(status), sum(amount::money) FROM orders GROUP BY 1');
SELECT * FROM check_groups('SELECT region, bool_and(customer_id > 5), bool_or(customer_id > 295), every(region > 2), bit_and(customer_id), bit_or(region), min(feels), max(since), sum(since - ''2020-01-01'') FROM customers GROUP BY region');
SELECT * FROM check_groups('SELECT product, sum(qty) FILTER (WHERE line = 1), avg(qty) FILTER (WHERE line > 5), count(*) FILTER (WHERE qty > 2) FROM items GROUP BY product');
SELECT * FROM check_groups('SELECT region, sum(null::int), avg(null::numeric), min(null::text), count(null) FROM customers GROUP BY region');
-- expressions over them, HAVING, ORDER BY, LIMIT, DISTINCT, windows; NULL groups; several columns; columns of other tables
SELECT * FROM check_groups('SELECT 1 + sum(qty) / count(*), product * 2 FROM items GROUP BY product HAVING avg(qty) > 2.4 AND max(line) = 2');
SELECT * FROM check_groups('SELECT product, sum(qty) FROM items GROUP BY product ORDER BY sum(qty) DESC, product LIMIT 7 OFFSET 2');
SELECT * FROM check_groups('SELECT DISTINCT count(*) FROM items GROUP BY product, line');
SELECT * FROM check_groups('SELECT product, rank() OVER (ORDER BY sum(qty), product), sum(sum(qty)) OVER () FROM items GROUP BY product');
SELECT * FROM check_groups('SELECT k, n % 3, count(*), sum(n) FROM events GROUP BY n % 3, k');
SELECT * FROM check_groups('SELECT n % 4, count(*), sum(n) FROM events GROUP BY 1 ORDER BY 1');
SELECT * FROM check_groups('SELECT title, region, count(*), sum(amount) FROM orders JOIN customers USING (customer_id) JOIN regions USING (region) GROUP BY title, region');
SELECT * FROM check_groups('SELECT status FROM orders GROUP BY status');
SELECT * FROM check_groups('SELECT product FROM items WHERE qty > 100 GROUP BY product');
-- DISTINCT values
SELECT * FROM check_groups('SELECT product, count(DISTINCT qty), count(*), sum(line) FROM items GROUP BY product');
SELECT * FROM check_groups('SELECT product, array_agg(DISTINCT qty), sum(DISTINCT qty), max(line) FROM items GROUP BY product');
SELECT * FROM check_groups('SELECT count(DISTINCT product) FROM items');
SELECT * FROM check_groups('SELECT count(DISTINCT region), count(*), count(region), sum(customer_id), avg(customer_id), min(name) FROM customers');
SELECT * FROM check_groups('SELECT sum(DISTINCT region), avg(DISTINCT region), max(DISTINCT region), count(*) FILTER (WHERE region = 1) FROM customers HAVING count(*) > 5');
SELECT * FROM check_groups('SELECT count(DISTINCT region), count(*), sum(customer_id), avg(customer_id), min(name) FROM customers WHERE name = ''nobody''');
SELECT * FROM check_groups('SELECT count(DISTINCT region) + count(*) AS x FROM customers ORDER BY x');
-- one small column: nodes leave out what they see twice, if they remember it
SELECT * FROM check_groups('SELECT count(DISTINCT nullif(product % 3, 1)) FROM (SELECT product FROM items UNION ALL SELECT product FROM items) u');
SELECT * FROM check_groups('SELECT nullif(product % 3, 1) AS g, count(*) FROM (SELECT nullif(product % 3, 1) AS product FROM items GROUP BY 1) i GROUP BY g');
SET work_mem = 64;
SELECT * FROM check_groups('SELECT count(*), sum(g), max(g) FROM (SELECT (product * 1000 + i) % 30001 AS g FROM items, generate_series(0, 900) i GROUP BY 1) x');
SELECT * FROM check_groups('SELECT count(DISTINCT (product * 1000 + i) % 30001) FROM items, generate_series(0, 900) i');
RESET work_mem;
-- a query over groups, groups of groups
SELECT * FROM check_groups('SELECT count(*), max(c), sum(s) FROM (SELECT product, count(*) AS c, sum(qty) AS s FROM items GROUP BY product) g');
SELECT * FROM check_groups('SELECT c, count(*) FROM (SELECT product, count(*) AS c FROM items GROUP BY product) g GROUP BY c');
SELECT * FROM check_groups('SELECT count(DISTINCT c) FROM (SELECT product, qty, count(*) AS c FROM items GROUP BY product, qty) g');
SELECT * FROM check_groups('SELECT e.n, g.c FROM events e JOIN (SELECT product, count(*) AS c FROM items GROUP BY product) g ON g.product = e.n');
SELECT * FROM check_groups('WITH g AS (SELECT product, count(*) AS c FROM items GROUP BY product) SELECT a.product FROM g a JOIN g b ON a.c = b.product');
-- not so: parts don't make the whole, types that can't be a key, sublinks, keys
SELECT * FROM check_groups('SELECT product, string_agg(qty::text, '','' ORDER BY qty, order_id, line) FROM items GROUP BY product');
SELECT * FROM check_groups('SELECT product, count(DISTINCT qty), count(DISTINCT line) FROM items GROUP BY product');
SELECT * FROM check_groups('SELECT feels, count(*) FROM customers GROUP BY feels');
SELECT * FROM check_groups('SELECT region, count(*), (SELECT max(n) FROM events) FROM customers GROUP BY region');
SELECT * FROM check_groups('SELECT region, count(*) FROM customers GROUP BY ROLLUP (region)');
SELECT * FROM check_groups('SELECT customer_id, count(*) FROM orders GROUP BY customer_id');
SELECT * FROM check_groups('SELECT region, random() < 2, count(*) FROM customers GROUP BY region');
-- texts that are equal though they differ
CREATE COLLATION public.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT * FROM check_groups('SELECT count(*) FROM (SELECT (CASE WHEN n % 2 = 0 THEN upper(k) ELSE k END) COLLATE any_case AS g, count(*) FROM events GROUP BY 1) x');
-- few groups stay as they are
RESET shoal.move_threshold;
SELECT * FROM check_groups('SELECT product, sum(qty) FROM items GROUP BY product');
SET client_min_messages = warning;
DROP FUNCTION check_groups;
DROP COLLATION public.any_case;
