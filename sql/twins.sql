--
-- Tables that later tests use, twice: in schema dist as Shoal tables, in
-- schema plain as they are.  same() runs a query on both and compares.
--

-- on one node small tables are planned as large ones are: both ways are tested
SET shoal.forward_ddl = off;
ALTER DATABASE shoal_n3 SET shoal.enable_shard_scan = off;
RESET shoal.forward_ddl;
CREATE SCHEMA plain;
CREATE SCHEMA dist;

CREATE FUNCTION public.make_tables(schema_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', schema_name, true);
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
	CREATE TABLE customers (
		customer_id int PRIMARY KEY,
		name text NOT NULL,
		region int,
		feels mood DEFAULT 'ok',
		tags text[],
		since timestamptz DEFAULT '2020-01-01 00:00+00');
	CREATE TABLE orders (
		customer_id int,
		order_id bigint,
		amount numeric(10,2),
		status text DEFAULT 'new',
		placed date,
		PRIMARY KEY (customer_id, order_id),
		CHECK (amount >= 0));
	CREATE TABLE items (
		customer_id int,
		order_id bigint,
		line int,
		product int,
		qty int,
		PRIMARY KEY (customer_id, order_id, line));
	CREATE TABLE products (product int PRIMARY KEY, title text, price numeric);
	CREATE TABLE regions (region int PRIMARY KEY, title text);
	CREATE TABLE options (name text, value jsonb);
	CREATE TABLE events (k text, n bigint, payload jsonb);
END $$;

CREATE FUNCTION public.fill_tables(schema_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', schema_name, true);
	INSERT INTO regions SELECT i, 'region ' || i FROM generate_series(1, 6) i;
	INSERT INTO products SELECT i, 'product ' || i, i * 1.5 FROM generate_series(1, 40) i;
	INSERT INTO customers
		SELECT i, 'customer ' || i, nullif(i % 7, 0),
			(ARRAY['sad', 'ok', 'happy'])[i % 3 + 1]::mood,
			ARRAY['t' || i % 2, 't' || i % 3], '2020-01-01 00:00+00'::timestamptz + i * interval '1 hour'
		FROM generate_series(1, 300) i;
	INSERT INTO orders
		SELECT i % 280 + 1, i, (i * 37 % 1000) / 10.0,
			CASE i % 4 WHEN 0 THEN 'new' WHEN 1 THEN 'paid' WHEN 2 THEN 'sent' END,
			'2024-01-01'::date + i % 100
		FROM generate_series(1, 2000) i;
	INSERT INTO items
		SELECT i % 280 + 1, i, l, (i * l) % 45 + 1, l + i % 3
		FROM generate_series(1, 2000) i, generate_series(1, 2) l;
	INSERT INTO options VALUES ('a', '1'), ('b', '{"x": 2}'), ('c', NULL);
	INSERT INTO events SELECT CASE WHEN i % 50 = 0 THEN NULL ELSE 'k' || i % 30 END, i, jsonb_build_object('i', i)
		FROM generate_series(1, 500) i;
END $$;

SELECT public.make_tables('plain');
SELECT public.make_tables('dist');

SET search_path = dist;
SELECT shoal.create_distributed_table('customers', 'customer_id', shard_count => 8);
SELECT shoal.create_distributed_table('orders', 'customer_id', colocate_with => 'customers');
SELECT shoal.create_distributed_table('items', 'customer_id', colocate_with => 'customers');
SELECT shoal.create_distributed_table('events', 'k', shard_count => 5);
SELECT shoal.create_reference_table('products');
SELECT shoal.create_reference_table('regions');
SELECT shoal.create_distributed_table('options', NULL);
RESET search_path;

-- a foreign key between tables that are distributed alike
ALTER TABLE plain.items ADD FOREIGN KEY (customer_id, order_id) REFERENCES plain.orders ON DELETE CASCADE;
ALTER TABLE dist.items ADD FOREIGN KEY (customer_id, order_id) REFERENCES dist.orders ON DELETE CASCADE;

SELECT public.fill_tables('plain');
SELECT public.fill_tables('dist');
CREATE TABLE public.here (a int, b text);
INSERT INTO public.here SELECT i, 'here ' || i FROM generate_series(1, 20) i;

-- Rows of a query in one schema, as text.
CREATE FUNCTION public.rows_of(schema_name text, query text, sorted bool) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n bigint;
	result text[] = '{}';
BEGIN
	PERFORM set_config('search_path', schema_name || ', public', true);
	BEGIN
		IF query ~* '^(insert|update|delete|merge|truncate|with .*\) *(insert|update|delete))' AND query !~* 'returning' THEN
			EXECUTE query;
			GET DIAGNOSTICS n = ROW_COUNT;
			RETURN ARRAY['count ' || n];
		END IF;
		FOR r IN EXECUTE query LOOP
			result = result || r::text;
		END LOOP;
	EXCEPTION
		-- it returns no rows
		WHEN invalid_cursor_definition THEN
			BEGIN
				EXECUTE query;
				GET DIAGNOSTICS n = ROW_COUNT;
				RETURN ARRAY['count ' || n];
			EXCEPTION WHEN OTHERS THEN
				RETURN ARRAY[SQLSTATE || ': ' || SQLERRM];
			END;
		WHEN OTHERS THEN
			RETURN ARRAY[SQLSTATE || ': ' || SQLERRM];
	END;
	IF NOT sorted THEN
		SELECT coalesce(array_agg(x ORDER BY x), '{}') INTO result FROM unnest(result) x;
	END IF;
	RETURN result;
END $$;

-- Is the result of a query the same with both?  If it has ORDER BY at its
-- end, in order.
CREATE FUNCTION public.same(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	sorted bool = query ~* 'order by [^()]*$';
	want text[] = public.rows_of('plain', query, sorted);
	got text[] = public.rows_of('dist', query, sorted);
BEGIN
	IF want = got THEN
		RETURN CASE WHEN want[1] ~ '^([0-9A-Z]{5}:|count) ' THEN want[1] ELSE cardinality(want) || ' rows' END;
	END IF;
	RETURN format(E'DIFFERENT\n plain %s: %s\n dist %s: %s', cardinality(want),
		left((SELECT string_agg(x, ' ') FROM (SELECT unnest(want) EXCEPT ALL SELECT unnest(got)) s(x)), 300), cardinality(got),
		left((SELECT string_agg(x, ' ') FROM (SELECT unnest(got) EXCEPT ALL SELECT unnest(want)) s(x)), 300));
END $$;

-- Do all tables have the same rows?
CREATE FUNCTION public.same_tables() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT t || ': ' || public.same('SELECT * FROM ' || t)
	FROM unnest(ARRAY['customers', 'orders', 'items', 'events', 'products', 'regions', 'options']) t;
$$;

SELECT * FROM public.same_tables();
