--
-- UPDATE and DELETE with subqueries that are run first, compared with plain
-- tables.
--
TRUNCATE plain.customers, plain.orders, plain.items, plain.products, plain.regions, plain.options, plain.events;
TRUNCATE dist.customers, dist.orders, dist.items, dist.products, dist.regions, dist.options, dist.events;
SELECT public.fill_tables('plain');
SELECT public.fill_tables('dist');
CREATE TEMP TABLE statements (n serial, statement text);
INSERT INTO statements (statement) VALUES
('INSERT INTO customers SELECT 7000 + i, ''step '' || i, i % 7 FROM generate_series(1, 60) i'),
('INSERT INTO orders (customer_id, order_id, amount) SELECT 7000 + i, i, i FROM generate_series(1, 60) i'),
('DELETE FROM orders WHERE order_id IN (SELECT n FROM events WHERE n % 7 = 0)'),
('DELETE FROM orders WHERE order_id IN (SELECT a FROM here WHERE a > 17) RETURNING order_id'),
('UPDATE orders SET amount = (SELECT count(*) FROM events) WHERE customer_id = 7001 RETURNING *'),
('UPDATE orders SET amount = (SELECT max(region) FROM customers) WHERE order_id NOT IN (SELECT n FROM events WHERE n > 5)'),
('UPDATE orders SET status = ''x'' WHERE order_id NOT IN (SELECT nullif(n, 9) FROM events)'),
('UPDATE customers SET region = 8 WHERE customer_id = (SELECT max(n) + 6500 FROM events WHERE n < 510) RETURNING customer_id'),
('UPDATE customers SET region = 11 WHERE customer_id = (SELECT max(n) FROM events WHERE n < 510) + 6500 RETURNING customer_id'),
('UPDATE customers SET region = 12 WHERE customer_id = (SELECT max(n) FROM events WHERE n < 510) + (SELECT count(*) FROM here) + 6500 RETURNING *'),
('UPDATE customers SET region = 13 WHERE customer_id > 7000 AND pg_catalog.timestamp(since) <= pg_catalog.timestamp((SELECT min(since) FROM customers)) RETURNING customer_id'),
('SELECT customer_id FROM customers WHERE pg_catalog.timestamp(since) < pg_catalog.timestamp((SELECT max(c.since) FROM customers c, events e WHERE c.customer_id = e.n))'),
('UPDATE customers SET region = 9 WHERE customer_id IN (SELECT 7000 + a FROM here) AND EXISTS (SELECT FROM events)'),
('UPDATE customers SET region = 10 WHERE customer_id > 7050 AND EXISTS (SELECT FROM here WHERE a = 99)'),
('UPDATE customers SET tags = ARRAY(SELECT b FROM here WHERE a < 4 ORDER BY a) WHERE customer_id = 7005 RETURNING tags'),
('UPDATE customers SET feels = (SELECT min(feels) FROM customers) WHERE region = 9'),
('UPDATE products SET price = (SELECT count(*) FROM orders) WHERE product IN (SELECT a FROM here) RETURNING *'),
('DELETE FROM orders WHERE order_id = (SELECT a FROM here)'),
('DELETE FROM customers WHERE region < ANY (SELECT a FROM here WHERE a < 3)'),
('DELETE FROM customers WHERE (SELECT count(*) FROM here) = 20 AND customer_id > 7055');

SELECT n, statement, public.same(statement) FROM statements ORDER BY n;
SELECT * FROM public.same_tables();

-- with a parameter, planned once
SET plan_cache_mode = force_generic_plan;
PREPARE cut(int) AS DELETE FROM dist.orders WHERE order_id IN (SELECT a + $1 FROM public.here) AND customer_id > 7000 + $1;
SELECT count(*) FROM dist.orders WHERE order_id IN (SELECT a + 20 FROM public.here) AND customer_id > 7020;
EXECUTE cut(20);
EXECUTE cut(20);
SELECT count(*) FROM dist.orders WHERE order_id IN (SELECT a + 20 FROM public.here) AND customer_id > 7020;
