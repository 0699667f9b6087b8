-- Rows that are moved from node to node: joins on other columns than the key.
-- Each query is compared with the same one over local twins of the tables.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE SCHEMA moved;
CREATE SCHEMA twin;
SET search_path = moved;
SET shoal.move_threshold = 0;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN code AS text CHECK (length(value) < 20);
CREATE TABLE orders (id int, customer int, item text, amount numeric(10, 2), feeling mood, tags text[]);
CREATE TABLE customers (cid bigint, name text, region int, info pair, label code);
CREATE TABLE items (item text, price float8, made date, long text);
CREATE TABLE places (place int, region int);
CREATE TABLE twin.orders (LIKE orders);
CREATE TABLE twin.customers (LIKE customers);
CREATE TABLE twin.items (LIKE items);
CREATE TABLE twin.places (LIKE places);
INSERT INTO twin.orders SELECT i, CASE WHEN i % 11 > 0 THEN i % 40 END, 'item ' || i % 25, i * 1.25,
	(ARRAY['sad', 'ok', 'happy', NULL])[1 + i % 4]::mood, ARRAY['t' || i % 3, NULL] FROM generate_series(1, 300) i;
INSERT INTO twin.customers SELECT i, 'customer ' || i, nullif(i % 6, 0), (i, 'pair ' || i)::pair, 'l' || i % 7 FROM generate_series(1, 35) i;
INSERT INTO twin.items SELECT 'item ' || i, i / 3.0, date '2026-01-01' + i, repeat(md5(i::text), 400) FROM generate_series(5, 30) i;
INSERT INTO twin.places SELECT i, i % 5 FROM generate_series(1, 12) i;
SELECT shoal.create_distributed_table('orders', 'id', colocate_with => 'none', shard_count => 7);
SELECT shoal.create_distributed_table('customers', 'cid', colocate_with => 'none', shard_count => 5);
SELECT shoal.create_distributed_table('items', 'item');
SELECT shoal.create_distributed_table('places', NULL);
INSERT INTO orders SELECT * FROM twin.orders;
INSERT INTO customers SELECT * FROM twin.customers;
INSERT INTO items SELECT * FROM twin.items;
INSERT INTO places SELECT * FROM twin.places;
ANALYZE orders, customers, items, places;

-- runs a query over both schemas; shows how it was run, and rows that differ
CREATE FUNCTION compare(query text) RETURNS TABLE (moves bigint, pulls bigint, missing bigint, unexpected bigint, rows bigint)
LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	moves := 0;
	pulls := 0;
	SET LOCAL search_path = moved;
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		moves := moves + (line ~ '^ *Move: ')::int;
		pulls := pulls + (line ~ '^ *Way: pull')::int;
	END LOOP;
	EXECUTE format('CREATE TEMP TABLE got AS SELECT x::text AS x FROM (%s) x', query);
	SET LOCAL search_path = twin, moved;
	EXECUTE format('CREATE TEMP TABLE want AS SELECT x::text AS x FROM (%s) x', query);
	SELECT count(*) INTO missing FROM (TABLE pg_temp.want EXCEPT ALL TABLE pg_temp.got) d;
	SELECT count(*) INTO unexpected FROM (TABLE pg_temp.got EXCEPT ALL TABLE pg_temp.want) d;
	SELECT count(*) INTO rows FROM pg_temp.got;
	DROP TABLE pg_temp.got, pg_temp.want;
	RETURN NEXT;
END $$;

SELECT * FROM compare('SELECT count(*), sum(amount), max(name) FROM orders JOIN customers ON customer = cid');
SELECT * FROM compare('SELECT id, cid, name, info, label, feeling, tags FROM orders JOIN customers ON customer = cid');
SELECT * FROM compare('SELECT id, cid, name, info FROM orders LEFT JOIN customers ON customer = cid AND region > 2');
SELECT * FROM compare('SELECT id, cid, feeling, tags FROM customers LEFT JOIN orders ON customer = cid AND amount > 50');
SELECT * FROM compare('SELECT id, cid, feeling FROM orders FULL JOIN customers ON customer = cid');
SELECT * FROM compare('SELECT o.item, count(*), sum(price) FROM orders o JOIN items i ON i.item = o.item GROUP BY o.item');
SELECT * FROM compare('SELECT o.id, made, length(long) FROM orders o JOIN items USING (item) JOIN customers ON cid = customer');
SELECT * FROM compare('SELECT item, region, count(*) FROM orders JOIN items USING (item) JOIN customers ON cid = customer LEFT JOIN places USING (region) GROUP BY 1, 2');
SELECT * FROM compare('SELECT a.id, b.id FROM orders a JOIN orders b ON a.customer = b.id AND b.amount > 10');
SELECT * FROM compare('SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM customers WHERE cid = o.customer AND region = 3)');
SELECT * FROM compare('SELECT id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM customers WHERE cid = o.customer)');
SELECT * FROM compare('SELECT id FROM orders WHERE customer NOT IN (SELECT cid FROM customers)');
SELECT * FROM compare('SELECT cid, (SELECT count(*) FROM orders WHERE customer = cid) FROM customers');
SELECT * FROM compare('WITH c AS (SELECT cid, name FROM customers WHERE region < 4) SELECT id, name FROM orders JOIN c ON cid = customer');
SELECT * FROM compare('SELECT region, n FROM places JOIN (SELECT region, count(*) AS n FROM customers GROUP BY region) s USING (region)');
SELECT * FROM compare('SELECT c.cid, o.* FROM customers c, LATERAL (SELECT id, amount FROM orders WHERE customer = c.cid ORDER BY amount DESC LIMIT 2) o');
SELECT * FROM compare('SELECT DISTINCT name, rank() OVER (PARTITION BY region ORDER BY name) FROM customers JOIN orders ON cid = customer');
-- both sides by a column that is no key: full joins, and tables that are too large to go to every node
SELECT * FROM compare('SELECT id, cid, feeling, tags FROM orders FULL JOIN customers ON customer = region');
SELECT * FROM compare('SELECT o.id, c.cid, p.id AS pid FROM orders o FULL JOIN customers c ON o.customer = c.region FULL JOIN orders p ON p.customer = c.region AND p.amount < 20 WHERE o.id < 50 OR o.id IS NULL');
SELECT * FROM compare('SELECT c.name, d.name AS other FROM customers c FULL JOIN customers d ON c.name = d.label::text AND c.region = d.region');
-- several, all by the columns that they are joined by, merged ones among these
SELECT * FROM compare('SELECT region, c.cid, d.cid AS did, p.place FROM customers c FULL JOIN customers d USING (region) FULL JOIN places p USING (region)');
SELECT * FROM compare('SELECT customer, count(*), count(o.id), count(p.id), count(q.id), sum(q.amount) FROM orders o FULL JOIN (SELECT * FROM orders WHERE id % 5 = 1) p USING (customer) FULL JOIN orders q USING (customer) GROUP BY 1');
SELECT * FROM compare('SELECT customer, o.id, p.id AS pid, q.id AS qid FROM (SELECT * FROM orders WHERE id % 3 = 1) o FULL JOIN (SELECT * FROM orders WHERE id % 5 = 1) p USING (customer) FULL JOIN (SELECT * FROM orders WHERE id % 7 = 1) q USING (customer)');
SELECT * FROM compare('SELECT c.cid, d.cid AS did, e.cid AS eid FROM customers c FULL JOIN customers d ON c.region = d.region FULL JOIN customers e ON e.region = coalesce(d.region, c.region)');
SELECT * FROM compare('SELECT c.cid, d.cid AS did, e.cid AS eid FROM customers c FULL JOIN customers d ON c.region = d.region FULL JOIN customers e ON e.region = d.region');
SELECT * FROM compare('SELECT region, count(*), count(c.cid), count(d.cid), count(e.cid), count(f.cid) FROM customers c FULL JOIN customers d USING (region) FULL JOIN customers e USING (region) FULL JOIN customers f USING (region) GROUP BY 1');
SELECT * FROM compare('SELECT item, o.id, p.id AS pid, price FROM (SELECT * FROM orders WHERE id % 7 = 3) o FULL JOIN items USING (item) FULL JOIN (SELECT * FROM orders WHERE id % 5 = 3) p USING (item)');
SELECT * FROM compare('SELECT c.cid, d.cid AS did, e.cid AS eid FROM customers c LEFT JOIN customers d ON c.region = d.region AND d.cid < 9 FULL JOIN customers e ON e.region = coalesce(d.region, c.region)');
SELECT * FROM compare('SELECT c.cid, d.cid AS did, e.cid AS eid FROM customers c FULL JOIN customers d ON c.region = d.region AND d.cid < 9 JOIN customers e ON e.region = coalesce(d.region, c.region)');
-- these tell no shard
SELECT * FROM compare('SELECT c.cid, d.cid AS did, e.cid AS eid FROM customers c FULL JOIN customers d ON c.region = d.region FULL JOIN customers e ON e.region = coalesce(d.region, 3)');
SELECT * FROM compare('SELECT o.id, p.id AS pid, c.cid FROM orders o FULL JOIN orders p ON o.customer = p.customer AND p.id < 20 FULL JOIN customers c ON c.region = coalesce(o.customer, p.id)');
SELECT * FROM compare('SELECT c.cid, d.cid AS did, e.cid AS eid FROM customers c FULL JOIN customers d ON c.region = d.region FULL JOIN customers e ON e.region = greatest(d.region, c.region)');
SELECT * FROM compare('SELECT c.cid, d.cid AS did, e.cid AS eid FROM customers c FULL JOIN customers d ON c.region = d.region FULL JOIN customers e ON e.region = coalesce(d.cid, c.cid)');
SELECT * FROM compare('SELECT x.c, y.r, x.n, y.n AS m FROM (SELECT customer AS c, count(*) AS n FROM orders GROUP BY 1) x FULL JOIN (SELECT region AS r, count(*) AS n FROM customers GROUP BY 1) y ON x.c = y.r');
SELECT * FROM compare('SELECT a.id, b.id AS other FROM orders a JOIN orders b ON a.customer = b.customer AND a.amount < b.amount');
SELECT * FROM compare('SELECT a.id, c.cid FROM orders a LEFT JOIN (orders b JOIN customers c ON b.customer = c.region) ON a.customer = b.customer');
-- what an OR of conditions on both says of one of them alone
SELECT * FROM compare('SELECT id, name FROM orders, customers WHERE (customer = cid AND region = 2 AND amount > 50) OR (customer = cid AND region = 3 AND amount < 90)');
SELECT * FROM compare('SELECT id, name FROM orders JOIN customers ON customer = cid AND (region = 2 AND amount > 50 OR region IS NULL AND (amount < 90 OR item = ''item 3'') OR amount = 200)');
SELECT * FROM compare('SELECT id, name FROM orders LEFT JOIN customers ON customer = cid AND (region = 2 AND amount > 50 OR region = 3 AND amount < 90)');
SELECT * FROM compare('SELECT id, name FROM orders LEFT JOIN customers ON customer = cid WHERE region = 2 AND amount > 50 OR name IS NULL AND amount < 90');
DO $$
DECLARE
	line text;
BEGIN
	FOR line IN EXPLAIN (COSTS OFF) SELECT count(*) FROM orders, customers
		WHERE (customer = cid AND region = 2 AND amount > 50) OR (customer = cid AND region = 3 AND amount < 90) LOOP
		IF line ~ 'Move:' THEN RAISE NOTICE '%', trim(line); END IF;
	END LOOP;
END $$;
-- a table may stay only because a smaller one does
SELECT * FROM compare('SELECT o.id, p.amount FROM orders o, orders p, customers WHERE o.id = p.id AND o.item = ''item 3'' AND p.customer = cid AND p.amount = (SELECT min(q.amount) FROM orders q WHERE q.id = o.id)');
SELECT * FROM compare('SELECT id FROM orders JOIN customers ON customer = cid WHERE false');
SELECT * FROM compare('SELECT o FROM orders o JOIN customers ON customer = cid');

-- a branch that a condition proves empty
SELECT * FROM compare('SELECT place, n FROM places LEFT JOIN (SELECT ''B'' AS n, id FROM orders UNION ALL SELECT name, cid FROM customers) q ON n LIKE ''%c%''');
SET shoal.enable_move = off;
SELECT * FROM compare('SELECT place, n FROM places LEFT JOIN (SELECT ''B'' AS n, id FROM orders UNION ALL SELECT name, cid FROM customers) q ON n LIKE ''%c%''');
RESET shoal.enable_move;

-- aggregates of distinct values
SELECT * FROM compare('SELECT count(DISTINCT item), sum(DISTINCT length(item)) FROM orders');
SELECT * FROM compare('SELECT feeling, count(DISTINCT customer), sum(DISTINCT customer), array_agg(DISTINCT customer) FROM orders GROUP BY feeling HAVING count(DISTINCT customer) > 3');
SELECT * FROM compare('SELECT count(DISTINCT (item, customer)), count(DISTINCT 1) FROM orders');
SELECT * FROM compare('SELECT count(DISTINCT item) FILTER (WHERE id > 7), count(*), count(DISTINCT customer) FROM orders');
SELECT * FROM compare('SELECT region, count(DISTINCT item) FROM orders JOIN customers ON customer = cid GROUP BY region');

-- rows that are chosen are chosen once, not by each node
SELECT count(DISTINCT cid) FROM orders, (SELECT cid FROM customers LIMIT 1) c;
SELECT count(DISTINCT cid) FROM orders, (SELECT DISTINCT ON (label) cid FROM customers WHERE label = 'l1') c;
SELECT count(DISTINCT cid) FROM orders, (SELECT cid, row_number() OVER () AS n FROM customers) c WHERE n = 1;
SELECT count(DISTINCT x) FROM (SELECT id, (SELECT name FROM customers OFFSET 3 LIMIT 1) AS x FROM orders) s;

-- by the key of another table, where all rows everywhere would be wrong
CREATE FUNCTION moves(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		RETURN QUERY SELECT line WHERE line ~ 'Move:';
	END LOOP;
END $$;
SELECT moves('SELECT count(*) FROM orders FULL JOIN customers ON customer = cid WHERE feeling IS NULL');
SELECT moves('SELECT name FROM customers LEFT JOIN orders ON customer = cid AND amount > 50');
SELECT * FROM compare('SELECT count(*) FROM orders JOIN customers ON customer = cid WHERE cid = 7');
SET shoal.enable_move = off;
SELECT * FROM compare('SELECT count(*) FROM orders JOIN customers ON customer = cid');
RESET shoal.enable_move;
SET shoal.move_threshold = '1GB';
SELECT * FROM compare('SELECT count(*) FROM orders JOIN customers ON customer = cid');
SET shoal.move_threshold = 0;

-- parameters, again and again
PREPARE by_region(int, text) AS
	SELECT count(*), sum(amount) FROM orders JOIN customers ON customer = cid WHERE region = $1 AND item > $2;
PREPARE by_region_twin(int, text) AS
	SELECT count(*), sum(amount) FROM twin.orders JOIN twin.customers ON customer = cid WHERE region = $1 AND item > $2;
EXECUTE by_region(1, 'item 1');
EXECUTE by_region(2, 'item 2');
EXECUTE by_region(3, 'item 3');
EXECUTE by_region(4, 'item 4');
EXECUTE by_region(5, 'item 15');
EXECUTE by_region(NULL, 'item 15');
EXECUTE by_region(2, 'item 2');
EXECUTE by_region_twin(2, 'item 2');

-- what the transaction has not committed
BEGIN;
UPDATE customers SET region = 99 WHERE cid < 10;
SAVEPOINT s;
DELETE FROM orders WHERE id > 150;
SELECT count(*), sum(region) FROM orders JOIN customers ON customer = cid;
ROLLBACK TO s;
SELECT count(*), sum(region) FROM orders JOIN customers ON customer = cid;
ROLLBACK;
SELECT count(*), sum(region) FROM orders JOIN customers ON customer = cid;

-- a cursor that is not read to its end; two at once
BEGIN;
DECLARE c CURSOR FOR SELECT id, cid FROM orders JOIN customers ON customer = cid;
DECLARE d CURSOR FOR SELECT id, cid FROM orders JOIN customers ON customer = cid;
MOVE 10 FROM c;
MOVE 20 FROM d;
MOVE ALL FROM c;
COMMIT;

-- errors while rows are moved, and while they are used
SELECT count(*) FROM orders JOIN customers ON customer = cid AND 1 / (region - 3) > 0;
SELECT count(1 / (region - 3 + id - id)) FROM orders JOIN customers ON customer = cid;
-- one node fails while the others have not come to their rows, which are gone with it
CREATE FUNCTION await(i int8) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	-- not where it is found out which rows are to be moved
	IF current_query() NOT LIKE '%SELECT count(o.id)%' THEN
		RETURN true;
	ELSIF current_database() = 'shoal_n3' THEN
		RAISE division_by_zero;
	END IF;
	PERFORM pg_sleep(0.05);
	RETURN true;
END $$;
BEGIN;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT count(o.id) FROM customers LEFT JOIN orders o ON customer = cid AND o.id > cid WHERE await(cid);
ROLLBACK;
SELECT * FROM compare('SELECT count(*) FROM orders JOIN customers ON customer = cid');
DO $$
BEGIN
	BEGIN
		PERFORM count(1 / (region - 3 + id - id)) FROM moved.orders JOIN moved.customers ON customer = cid;
	EXCEPTION WHEN division_by_zero THEN
		RAISE NOTICE 'caught';
	END;
	RAISE NOTICE '%', (SELECT count(*) FROM moved.orders JOIN moved.customers ON customer = cid);
END $$;

-- nothing is left behind, at the latest when the session ends
\c
DO $$
BEGIN
	FOR i IN 1..100 LOOP
		EXIT WHEN (SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp')) = 0;
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp');
SET search_path = moved;
SET shoal.move_threshold = 0;

-- nobody else's business
SELECT * FROM shoal.moved_rows('x') AS x(a int);
SELECT shoal.store_rows('00000000000000000000000000000000', 1, true, 'x');
SELECT shoal.scatter('1 x 0 1 1', 1);

-- policies, and views with rights of their own
CREATE ROLE regress_mover;
GRANT USAGE ON SCHEMA moved TO regress_mover;
GRANT SELECT ON customers, places TO regress_mover;
CREATE VIEW spent AS SELECT customer, sum(amount) AS amount FROM orders JOIN items USING (item) GROUP BY customer;
GRANT SELECT ON spent TO regress_mover;
SET ROLE regress_mover;
SELECT count(*) FROM orders JOIN customers ON customer = cid;
SELECT count(*) FROM customers JOIN places USING (region);
SELECT count(*), sum(amount) FROM spent JOIN customers ON customer = cid;
RESET ROLE;
GRANT SELECT ON orders, items TO regress_mover;
CREATE VIEW near AS SELECT a.cid, count(b.cid) AS n FROM customers a LEFT JOIN customers b ON b.cid = a.region GROUP BY a.cid;
GRANT SELECT ON near TO regress_mover;
SELECT count(*), sum(n) FROM near;
SET ROLE regress_mover;
SELECT count(*), sum(amount) FROM spent;
SELECT count(*), sum(amount) FROM spent JOIN customers ON customer = cid;
SELECT amount FROM spent WHERE customer = 7;
SELECT count(*), sum(n) FROM near;
RESET ROLE;
SELECT count(*), sum(amount) FROM spent JOIN customers ON customer = cid;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY first_region ON customers USING (region = 1);
SET ROLE regress_mover;
SELECT count(*) FROM customers JOIN places USING (region);
RESET ROLE;
-- columns that depend on a primary key: what is moved has none
DROP POLICY first_region ON customers;
ALTER TABLE customers DISABLE ROW LEVEL SECURITY, ADD PRIMARY KEY (cid), ADD extra json;
ALTER TABLE twin.customers ADD PRIMARY KEY (cid), ADD extra json;
ALTER TABLE orders ADD PRIMARY KEY (id);
ALTER TABLE twin.orders ADD PRIMARY KEY (id);
UPDATE customers SET extra = to_json(cid);
UPDATE twin.customers SET extra = to_json(cid);
SELECT * FROM compare('SELECT id, item, cid, upper(name), count(*) FROM orders JOIN customers ON customer = cid GROUP BY id, cid HAVING length(name) > 3');
SELECT * FROM compare('SELECT id, tags, name, sum(price) FROM orders LEFT JOIN customers ON customer = cid LEFT JOIN items USING (item)
	GROUP BY cid, id ORDER BY name, feeling, id');
SELECT * FROM compare('SELECT cid, name, count(id), (SELECT count(*) FROM places p WHERE p.region = c.region) FROM orders JOIN customers c ON customer = cid GROUP BY cid');
SELECT * FROM compare('SELECT * FROM items WHERE item IN (SELECT item FROM orders JOIN customers ON customer = cid GROUP BY id, cid HAVING max(amount) > region)');
SELECT * FROM compare('SELECT c, o, count(*) FROM orders o JOIN customers c ON customer = cid GROUP BY cid, id');
SELECT * FROM compare('SELECT cid, name, extra, count(*) FROM orders JOIN customers ON customer = cid GROUP BY cid');
SELECT * FROM compare('SELECT cid, name, item, count(*) FROM orders JOIN customers ON customer = cid GROUP BY GROUPING SETS ((cid, id), (id, cid, item))');

SET client_min_messages = warning;
DROP SCHEMA moved CASCADE;
DROP SCHEMA twin CASCADE;
DROP ROLE regress_mover;
