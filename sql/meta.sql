--
-- Metadata: its tables, its cache, and the way from a key to its shard.
-- Everything here stays on this node.
--
SET shoal.forward_ddl = off;
SET client_min_messages = warning;

SELECT count(*) FROM shoal.local_node JOIN shoal.node USING (node_id);

-- readable by everybody, writable by nobody but the owner
CREATE ROLE meta_user;
SET ROLE meta_user;
SELECT count(*) > 0 AS readable FROM shoal.node;
INSERT INTO shoal.node VALUES (99, 'x', true, 1, 'active');
DELETE FROM shoal.placement;
RESET ROLE;

-- options of servers and user mappings
CREATE SERVER meta_server FOREIGN DATA WRAPPER shoal OPTIONS (hostaddr 'x');
CREATE SERVER meta_server FOREIGN DATA WRAPPER shoal OPTIONS (host 'x', port '70000');
CREATE SERVER meta_server FOREIGN DATA WRAPPER shoal OPTIONS (host 'x', port '1', dbname 'y');
CREATE USER MAPPING FOR CURRENT_USER SERVER meta_server OPTIONS (user 'a', password 'b');
GRANT USAGE ON FOREIGN SERVER meta_server TO meta_user;
SET ROLE meta_user;
CREATE USER MAPPING FOR meta_user SERVER meta_server OPTIONS (user 'a');
CREATE USER MAPPING FOR meta_user SERVER meta_server OPTIONS (password 'b');
RESET ROLE;
DROP SERVER meta_server CASCADE;
DROP ROLE meta_user;

-- a group of seven shards, made by hand
CREATE SCHEMA meta;
SET search_path = meta;
INSERT INTO shoal.colocation_group VALUES (900, 'd', 7, 0);
INSERT INTO shoal.placement SELECT 900, i, node_id FROM generate_series(0, 6) i, shoal.local_node;

CREATE FUNCTION hash_table(name text, columns text, key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE meta.%I (%s) PARTITION BY HASH (%s)', name, columns, key);
	FOR i IN 0..6 LOOP
		EXECUTE format('CREATE TABLE meta.%I PARTITION OF meta.%I FOR VALUES WITH (MODULUS 7, REMAINDER %s)',
					   name || i, name, i);
	END LOOP;
	EXECUTE format('INSERT INTO shoal.distributed_table VALUES (%L, ''d'', 900)', 'meta.' || name);
END $$;

-- rows whose partition is not the shard that shard_of() names
CREATE FUNCTION misplaced(name text, key text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	total bigint := 0;
BEGIN
	FOR i IN 0..6 LOOP
		EXECUTE format('SELECT count(*) FROM meta.%I WHERE shoal.shard_of(''meta.%I'', %s) <> %s',
					   name || i, name, key, i) INTO n;
		total := total + n;
	END LOOP;
	RETURN total;
END $$;

CREATE TYPE color AS ENUM ('red', 'green', 'blue');
CREATE DOMAIN posint AS int CHECK (value > 0);
SELECT hash_table('h_int', 'k int', 'k'), hash_table('h_bigint', 'k bigint', 'k'),
	hash_table('h_text', 'k text', 'k'), hash_table('h_varchar', 'k varchar(20)', 'k'),
	hash_table('h_char', 'k char(10)', 'k'), hash_table('h_uuid', 'k uuid', 'k'),
	hash_table('h_numeric', 'k numeric', 'k'), hash_table('h_time', 'k timestamptz', 'k'),
	hash_table('h_bytea', 'k bytea', 'k'), hash_table('h_array', 'k int[]', 'k'),
	hash_table('h_enum', 'k color', 'k'), hash_table('h_domain', 'k posint', 'k'),
	hash_table('h_two', 'v text, a int, b text', 'a, b');
INSERT INTO h_int SELECT g FROM generate_series(-50, 50) g UNION ALL SELECT NULL;
INSERT INTO h_bigint SELECT g * 10000000000 FROM generate_series(-50, 50) g UNION ALL SELECT NULL;
INSERT INTO h_text SELECT 'key ' || g FROM generate_series(1, 100) g UNION ALL SELECT NULL;
INSERT INTO h_varchar SELECT 'key ' || g FROM generate_series(1, 100) g;
INSERT INTO h_char SELECT 'key ' || g FROM generate_series(1, 100) g;
INSERT INTO h_uuid SELECT md5(g::text)::uuid FROM generate_series(1, 100) g UNION ALL SELECT NULL;
INSERT INTO h_numeric SELECT g / 10.0 FROM generate_series(1, 100) g;
INSERT INTO h_time SELECT timestamptz '2020-01-01 UTC' + g * interval '1 day' FROM generate_series(1, 100) g;
INSERT INTO h_bytea SELECT decode(md5(g::text), 'hex') FROM generate_series(1, 100) g;
INSERT INTO h_array SELECT ARRAY[g, g + 1] FROM generate_series(1, 100) g;
INSERT INTO h_enum VALUES ('red'), ('green'), ('blue'), (NULL);
INSERT INTO h_domain SELECT g FROM generate_series(1, 100) g;
INSERT INTO h_two SELECT 'x', a, 'b' || b FROM generate_series(1, 10) a, generate_series(1, 10) b
	UNION ALL VALUES ('x', 1, NULL), ('x', NULL, 'b'), ('x', NULL, NULL);

SELECT t, misplaced(t, 'k')
	FROM unnest('{h_int,h_bigint,h_text,h_varchar,h_char,h_uuid,h_numeric,h_time,h_bytea,h_array,h_enum,h_domain}'::text[]) t;
SELECT misplaced('h_two', 'a, b');

-- all shards were met, and core agrees
SELECT count(DISTINCT shoal.shard_of('h_int', k)),
	bool_and(satisfies_hash_partition('h_int'::regclass, 7, shoal.shard_of('h_int', k), k)) FROM h_int;

-- other types of the operator family hash alike
SELECT misplaced('h_int', 'k::bigint'), misplaced('h_int', 'k::smallint'),
	misplaced('h_varchar', 'k::text'), misplaced('h_text', 'k::varchar'), misplaced('h_domain', 'k::int');
-- values of yet others are converted as on assignment
SELECT misplaced('h_int', 'k::numeric'), misplaced('h_numeric', '(k * 10)::int / 10.0'),
	misplaced('h_char', 'k::text');
SELECT shoal.shard_of('h_int', '7') = shoal.shard_of('h_int', 7) AS literal,
	shoal.shard_of('h_int', VARIADIC ARRAY[7]) = shoal.shard_of('h_int', 7) AS variadic,
	shoal.shard_of(NULL, 7) IS NULL AS no_table;

-- bad input
SELECT shoal.shard_of('h_int', 'seven');
SELECT shoal.shard_of('h_int', true);
SELECT shoal.shard_of('h_domain', '-1');
SELECT shoal.shard_of('h_int', 1, 2);
SELECT shoal.shard_of('h_two', 1);
SELECT shoal.shard_of('h_int');
SELECT shoal.shard_of('pg_class', 1);
SELECT shoal.shard_of(1, 1);

-- a table above the hash partitions takes the key from below
CREATE TABLE h_range (day date, v text, k int) PARTITION BY RANGE (day);
INSERT INTO shoal.distributed_table VALUES ('h_range', 'd', 900);
SELECT shoal.shard_of('h_range', 1);
SELECT hash_table('h_range_1', 'k int, day date, v text', 'k');
ALTER TABLE h_range ATTACH PARTITION h_range_1 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
SELECT shoal.shard_of('h_range', 1) = shoal.shard_of('h_int', 1) AS same;

-- changes by hand are noticed, and those that are rolled back as well
BEGIN;
UPDATE shoal.colocation_group SET shard_count = 1 WHERE group_id = 900;
SELECT max(shoal.shard_of('h_int', k)) FROM h_int;
SAVEPOINT s;
DELETE FROM shoal.distributed_table WHERE table_name = 'h_int'::regclass;
SELECT shoal.shard_of('h_int', 1);
ROLLBACK TO s;
SELECT max(shoal.shard_of('h_int', k)) FROM h_int;
ROLLBACK;
SELECT max(shoal.shard_of('h_int', k)) FROM h_int;

-- reference and single-shard tables have one shard
CREATE TABLE h_ref (k int);
INSERT INTO shoal.colocation_group VALUES (901, 'r', 1, 0);
INSERT INTO shoal.distributed_table VALUES ('h_ref', 'r', 901);
SELECT shoal.shard_of('h_ref'), shoal.shard_of('h_ref', 5);

-- a table without its group
DELETE FROM shoal.colocation_group WHERE group_id = 900;
SELECT shoal.shard_of('h_int', 1);

DELETE FROM shoal.distributed_table WHERE group_id IN (900, 901);
DELETE FROM shoal.placement WHERE group_id = 900;
DELETE FROM shoal.colocation_group WHERE group_id = 901;
DROP SCHEMA meta CASCADE;
