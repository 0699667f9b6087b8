--
-- INSERT, UPDATE, DELETE, compared with plain tables.
--
CREATE TEMP TABLE statements (n serial, statement text);
INSERT INTO statements (statement) VALUES
('INSERT INTO customers VALUES (1001, ''new'', 1)'),
('INSERT INTO customers (customer_id, name) VALUES (1002, ''x''), (1003, ''y''), (1004, ''z'') RETURNING customer_id, name, feels'),
('INSERT INTO customers (name, customer_id) SELECT ''s'' || i, i FROM generate_series(1005, 1100) i'),
('INSERT INTO customers (customer_id, name) VALUES (1001, ''again'')'),
('INSERT INTO customers (customer_id, name) VALUES (1001, ''again'') ON CONFLICT DO NOTHING RETURNING *'),
('INSERT INTO customers (customer_id, name) VALUES (1001, ''again'') ON CONFLICT (customer_id) DO UPDATE SET name = excluded.name || customers.name RETURNING *'),
('INSERT INTO customers (customer_id, name) VALUES (1001, ''b''), (1200, ''c'') ON CONFLICT ON CONSTRAINT customers_pkey DO UPDATE SET name = excluded.name RETURNING customer_id, name'),
('INSERT INTO customers (customer_id, name) VALUES (1300, ''b''), (1300, ''c'') ON CONFLICT (customer_id) DO UPDATE SET name = excluded.name'),
('INSERT INTO customers (customer_id, name) VALUES (1400, NULL)'),
('INSERT INTO customers (name) VALUES (''no key'')'),
('INSERT INTO orders (customer_id, order_id, amount) VALUES (1001, 1, -1)'),
('INSERT INTO orders (customer_id, order_id, amount, placed) SELECT customer_id, 5000, 1, ''2024-05-05'' FROM customers WHERE customer_id > 1000 RETURNING customer_id, order_id, status'),
('INSERT INTO orders (customer_id, order_id, amount) SELECT customer_id, order_id + 10000, amount FROM orders WHERE amount > 90'),
('INSERT INTO orders (customer_id, order_id, amount) SELECT region, 20000 + customer_id, 3 FROM customers WHERE region IS NOT NULL'),
('INSERT INTO items VALUES (1001, 999, 1, 1, 1)'),
('INSERT INTO events SELECT ''agg'', count(*), NULL FROM orders'),
('INSERT INTO events (n) VALUES (4711)'),
('INSERT INTO events SELECT k, n + 1000, payload FROM events WHERE k IS NULL RETURNING n'),
('INSERT INTO products VALUES (100, ''hundred'', 1.0) RETURNING *'),
('INSERT INTO products SELECT product + 200, title, price FROM products WHERE product < 5 RETURNING product'),
('INSERT INTO products SELECT 300 + customer_id, name, 0 FROM customers WHERE customer_id < 3'),
('INSERT INTO products VALUES (100, ''again'', 2) ON CONFLICT (product) DO UPDATE SET price = excluded.price RETURNING *'),
('INSERT INTO options VALUES (''new'', ''{}'') RETURNING *'),
('INSERT INTO options SELECT name, to_jsonb(customer_id) FROM customers WHERE customer_id < 4'),
('INSERT INTO customers DEFAULT VALUES'),
('UPDATE customers SET region = 9 WHERE customer_id = 1001 RETURNING *'),
('UPDATE customers SET region = region + 1 WHERE region = 3'),
('UPDATE orders SET amount = amount + 1, status = upper(status) WHERE status = ''new'' RETURNING order_id, amount, status'),
('UPDATE orders o SET status = c.name FROM customers c WHERE c.customer_id = o.customer_id AND c.region = 2 RETURNING o.order_id, c.name'),
('UPDATE orders SET amount = -5 WHERE customer_id = 9'),
('UPDATE orders SET status = r.title FROM customers c, regions r WHERE c.customer_id = orders.customer_id AND r.region = c.region AND c.customer_id < 10'),
('UPDATE customers SET (name, region) = (SELECT max(status), count(*)::int FROM orders o WHERE o.customer_id = customers.customer_id) WHERE customer_id < 5'),
('UPDATE orders SET placed = placed WHERE customer_id = ANY (ARRAY[1, 2])'),
('UPDATE products SET price = price * 2 WHERE product < 10 RETURNING product, price'),
('UPDATE options SET value = ''5'' WHERE name = ''a'' RETURNING *'),
('DELETE FROM orders WHERE customer_id = 1001 RETURNING order_id'),
('DELETE FROM orders WHERE amount > 99'),
('DELETE FROM items i USING orders o WHERE o.customer_id = i.customer_id AND o.order_id = i.order_id AND o.status = ''paid'''),
('DELETE FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.customer_id) RETURNING customer_id'),
('DELETE FROM products WHERE product > 30 RETURNING product'),
('DELETE FROM events WHERE k IS NULL'),
('DELETE FROM options'),
('WITH x AS (DELETE FROM orders WHERE customer_id = 7 RETURNING *) SELECT count(*) FROM x'),
('WITH x AS (SELECT customer_id FROM customers WHERE region = 5) UPDATE orders SET status = ''five'' FROM x WHERE x.customer_id = orders.customer_id');

SELECT n, statement, public.same(statement) FROM statements ORDER BY n;
SELECT * FROM public.same_tables();

-- the same with every write through fragments
SELECT * FROM public.rows_of('plain', 'TRUNCATE customers, orders, items, products, regions, options, events', true);
SELECT * FROM public.rows_of('dist', 'TRUNCATE customers, orders, items, products, regions, options, events', true);
SELECT public.fill_tables('plain');
SELECT public.fill_tables('dist');
SET shoal.enable_local = off;
SELECT n, statement, public.same(statement) FROM statements WHERE public.same(statement) LIKE 'DIFFERENT%' ORDER BY n;
SELECT * FROM public.same_tables();
RESET shoal.enable_local;

-- refused, and said how to do it instead
SET search_path = dist;
UPDATE orders SET customer_id = 1 WHERE customer_id = 2;
UPDATE orders o SET amount = 1 FROM events e WHERE e.n = o.order_id;
UPDATE products SET price = random();

-- evaluated once, here
CREATE SEQUENCE numbers;
INSERT INTO orders (customer_id, order_id) VALUES (nextval('numbers'), nextval('numbers')) RETURNING customer_id + 1 = order_id OR customer_id = order_id + 1 AS once;
SELECT last_value FROM numbers;
SELECT count(DISTINCT since) FROM (SELECT now() since FROM customers) x;
INSERT INTO customers (customer_id, name, since) SELECT 5000 + i, 'n', now() FROM generate_series(1, 30) i;
SELECT count(DISTINCT since) FROM customers WHERE customer_id > 5000;

-- identity columns: OVERRIDING USER VALUE, also of the key
CREATE TABLE numbered (a int GENERATED ALWAYS AS IDENTITY, b text);
CREATE TABLE numbered_everywhere (a int GENERATED BY DEFAULT AS IDENTITY, b text);
SELECT shoal.create_distributed_table('numbered', 'a'), shoal.create_reference_table('numbered_everywhere');
INSERT INTO numbered OVERRIDING USER VALUE VALUES (30, 'one');
INSERT INTO numbered OVERRIDING USER VALUE VALUES (31, 'two'), (DEFAULT, 'three');
INSERT INTO numbered OVERRIDING SYSTEM VALUE VALUES (99, 'given');
INSERT INTO numbered_everywhere OVERRIDING USER VALUE VALUES (30, 'one');
INSERT INTO numbered_everywhere OVERRIDING USER VALUE SELECT a, b FROM numbered WHERE a < 50 ORDER BY a;
INSERT INTO numbered OVERRIDING USER VALUE SELECT 7, b FROM numbered_everywhere WHERE b = 'two';
SELECT * FROM numbered ORDER BY a;
SELECT * FROM numbered_everywhere ORDER BY a;

-- a function whose body only this node could check
CREATE TEMPORARY SEQUENCE here_only;
CREATE FUNCTION next_here() RETURNS bigint LANGUAGE sql AS 'SELECT nextval(''here_only'')';
SELECT next_here(), count(*) FROM numbered;
DROP FUNCTION next_here();
INSERT INTO numbered_everywhere DEFAULT VALUES;
CREATE TABLE nothing_given (a int, b int DEFAULT 3);
SELECT shoal.create_distributed_table('nothing_given', 'a');
INSERT INTO nothing_given DEFAULT VALUES;
ALTER TABLE nothing_given ALTER b DROP DEFAULT;
INSERT INTO nothing_given DEFAULT VALUES RETURNING *;
SELECT * FROM nothing_given ORDER BY b;
DROP TABLE numbered, numbered_everywhere, nothing_given;
