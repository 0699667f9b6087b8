--
-- FOR UPDATE with outer joins: what core refuses, and what it takes since the
-- join turns out to be no outer one, or the rows are on the other side.
--
DO $$
DECLARE
	s text;
BEGIN
	FOREACH s IN ARRAY ARRAY['plain', 'dist'] LOOP
		PERFORM set_config('search_path', s, true);
		-- shard by shard, not shard by shard, and with something in the way
		CREATE VIEW near AS SELECT c.customer_id, name, amount
			FROM customers c LEFT JOIN orders o USING (customer_id);
		CREATE VIEW far AS SELECT c.customer_id, name, n
			FROM customers c LEFT JOIN events e ON e.n = c.customer_id;
		CREATE VIEW limited AS SELECT c.customer_id, name, amount
			FROM customers c LEFT JOIN orders o USING (customer_id) ORDER BY 1, 3 LIMIT 7;
		CREATE VIEW titled AS SELECT customer_id, title FROM customers c LEFT JOIN regions USING (region);
		CREATE VIEW inner_ones AS SELECT c.customer_id, amount FROM customers c JOIN orders o USING (customer_id);
		CREATE VIEW twofold AS SELECT customer_id FROM customers UNION ALL SELECT customer_id FROM near;
	END LOOP;
END $$;

SELECT public.same(q) || ' <- ' || q
FROM unnest(ARRAY[
	'SELECT * FROM near WHERE customer_id = 3 FOR UPDATE',
	'SELECT * FROM near FOR SHARE',
	'SELECT * FROM near WHERE amount > 90 FOR UPDATE',
	'SELECT * FROM far WHERE customer_id = 3 FOR UPDATE',
	'SELECT * FROM far FOR NO KEY UPDATE',
	'SELECT * FROM far WHERE n < 20 FOR UPDATE',
	'SELECT * FROM limited FOR UPDATE',
	'SELECT * FROM limited WHERE amount IS NOT NULL FOR KEY SHARE',
	'SELECT * FROM titled WHERE customer_id < 4 FOR UPDATE',
	'SELECT * FROM titled WHERE title > ''region 3'' FOR UPDATE',
	'SELECT * FROM twofold FOR UPDATE',
	'SELECT * FROM (SELECT * FROM near) x WHERE customer_id = 3 FOR UPDATE',
	'SELECT count(*) FROM (SELECT * FROM far FOR UPDATE) x',
	'SELECT count(*) FROM (SELECT * FROM far WHERE n > 3 FOR UPDATE) x',
	'SELECT * FROM events e JOIN near ON near.customer_id = n WHERE n < 9 FOR UPDATE',
	'SELECT * FROM events e JOIN near ON near.customer_id = n WHERE n < 9 FOR UPDATE OF e',
	'SELECT * FROM events e LEFT JOIN inner_ones i ON i.customer_id = n WHERE n < 9 FOR UPDATE OF e',
	'SELECT * FROM events e LEFT JOIN inner_ones i ON i.customer_id = n WHERE n < 9 FOR UPDATE OF i',
	'SELECT * FROM events e LEFT JOIN inner_ones i ON i.customer_id = n WHERE i.customer_id < 9 FOR UPDATE',
	'SELECT * FROM here LEFT JOIN customers c ON c.customer_id = a WHERE a < 5 FOR UPDATE',
	'SELECT * FROM here LEFT JOIN customers c ON c.customer_id = a WHERE a < 5 FOR UPDATE OF here',
	'SELECT * FROM here LEFT JOIN customers c ON c.customer_id = a WHERE name LIKE ''%1%'' FOR UPDATE',
	'SELECT * FROM customers c FULL JOIN events e ON e.n = c.customer_id FOR UPDATE OF c',
	'SELECT * FROM customers c FULL JOIN events e ON e.n = c.customer_id WHERE name < ''customer 2'' FOR UPDATE OF c'
]) q;
-- also if nobody asks a node
EXPLAIN SELECT * FROM dist.near WHERE customer_id = 3 FOR UPDATE;

SET client_min_messages = warning;
DROP VIEW plain.twofold, plain.near, plain.far, plain.limited, plain.titled, plain.inner_ones;
DROP VIEW dist.twofold, dist.near, dist.far, dist.limited, dist.titled, dist.inner_ones;
