-- shoal.verify_table: are all copies of a table equal, is each row in its shard?
CREATE SCHEMA verify;
SET search_path = verify;
\set SHOW_CONTEXT never
SET client_min_messages = warning;

-- something done by hand on one node
CREATE FUNCTION on_node(node int, command text) RETURNS text LANGUAGE sql
AS 'SELECT result FROM shoal.run_on_nodes(command, ARRAY[node])';
-- the same, with @@ for the shard's partition
CREATE FUNCTION on_shard(node int, name regclass, shard int, command text) RETURNS text LANGUAGE sql
AS $$SELECT verify.on_node(node, replace(command, '@@', format('shoal_%s_%s.%I', group_id, shard, relname)))
	FROM shoal.distributed_table JOIN pg_class ON oid = name WHERE table_name = name$$;
-- a copy of a shard, with the rows of the primary
CREATE FUNCTION add_copy(name regclass, shard int, node int, key text, placement bool DEFAULT true, state text DEFAULT 'active')
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	g shoal.colocation_group;
	content text;
BEGIN
	SELECT c.* INTO g FROM shoal.colocation_group c JOIN shoal.distributed_table USING (group_id)
		WHERE table_name = name;
	PERFORM verify.on_node(node, format('CREATE SCHEMA IF NOT EXISTS shoal_%s_%s', g.group_id, shard));
	PERFORM verify.on_shard(node, name, shard, format('CREATE TABLE @@ PARTITION OF %s FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
		name, g.shard_count, shard));
	EXECUTE format('SELECT json_agg(t) FROM %s t WHERE shoal.shard_of(%L, %s) = %s', name, name, key, shard) INTO content;
	PERFORM verify.on_shard(node, name, shard, format('INSERT INTO @@ SELECT * FROM json_populate_recordset(NULL::%s, %L)',
		name, content));
	IF placement THEN
		PERFORM shoal.run_on_nodes(format('INSERT INTO shoal.placement VALUES (%s, %s, %s, ''replica'', %L)',
			g.group_id, shard, node, state));
	END IF;
END $$;-- all nodes have as many shards, so that those that are made next begin with node 1
CREATE FUNCTION level() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	i int := (SELECT count(*) FROM pg_class WHERE relnamespace = 'verify'::regnamespace);
BEGIN
	WHILE (SELECT max(load) <> min(load) FROM (
		SELECT (SELECT count(*) FROM shoal.placement p WHERE p.node_id = n.node_id AND role = 'primary' AND
			group_id IN (SELECT group_id FROM shoal.distributed_table WHERE kind <> 'r')) AS load
		FROM shoal.node n) l) LOOP
		EXECUTE format('CREATE TABLE verify.level_%s (a int)', i);
		PERFORM shoal.create_distributed_table(format('verify.level_%s', i), 'a', 'none', 1);
		i := i + 1;
	END LOOP;
END $$;

SELECT level();
CREATE TABLE t (k int PRIMARY KEY, junk text, v numeric, w timestamptz);
ALTER TABLE t DROP COLUMN junk;
SELECT shoal.create_distributed_table('t', 'k', 'none', 3);
INSERT INTO t SELECT i, i / 3.0, '2024-01-01'::timestamptz + i * interval '1 day' FROM generate_series(1, 60) i;
SELECT shard, node_id, role, state FROM shoal.shards WHERE table_name = 't'::regclass ORDER BY 1, 2;
SELECT * FROM shoal.verify_table('t');


-- changes the metadata of its group, on all nodes
CREATE FUNCTION on_placement(name regclass, command text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM shoal.run_on_nodes(command || format(' AND group_id = %s',
		(SELECT group_id FROM shoal.distributed_table WHERE table_name = name)))
$$;

-- copies of which the primary, the replica or neither is on this node
SELECT add_copy('t', 0, 2, 'k'), add_copy('t', 1, 3, 'k'), add_copy('t', 2, 1, 'k');
SELECT shard, node_id, role, state FROM shoal.placements JOIN shoal.tables USING (group_id)
	WHERE table_name = 't'::regclass ORDER BY 1, 2;
SELECT * FROM shoal.verify_table('t');
SET client_encoding = 'LATIN1';
SET DateStyle = 'German';
SET extra_float_digits = -3;
SET quote_all_identifiers = on;
SELECT * FROM shoal.verify_table('t');
RESET client_encoding;
RESET DateStyle;
RESET extra_float_digits;
RESET quote_all_identifiers;

-- each kind of difference, on each copy
CREATE FUNCTION damage(node int, shard int) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', verify.on_shard(node, 'verify.t', shard, 'DELETE FROM @@ WHERE k = (SELECT min(k) FROM @@)'),
		verify.on_shard(node, 'verify.t', shard, 'UPDATE @@ SET v = v + 1 WHERE k = (SELECT max(k) FROM @@)'),
		verify.on_shard(node, 'verify.t', shard, format('INSERT INTO @@ SELECT i FROM generate_series(100, 200) i
			WHERE satisfies_hash_partition(''verify.t''::regclass, 3, %s, i) LIMIT 2', shard)))
$$;
SELECT damage(2, 0), damage(3, 1), damage(1, 2);
SELECT * FROM shoal.verify_table('t') ORDER BY 1, 2, key::int;
SELECT shard, node_id, count(*) FROM shoal.verify_table('t', 2) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM shoal.verify_table('t', max_rows => 1);

-- those that are not active are not looked at
SELECT on_placement('t', $$UPDATE shoal.placement SET state = 'stale' WHERE role = 'replica' AND shard = 0$$);
SELECT on_placement('t', $$UPDATE shoal.placement SET state = 'copying' WHERE role = 'replica' AND shard = 1$$);
SELECT shard, node_id, count(*) FROM shoal.verify_table('t') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT on_placement('t', $$UPDATE shoal.placement SET state = 'active' WHERE role = 'replica'$$);

-- repaired again; what is written and not committed counts
CREATE FUNCTION repair(node int, shard int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	content text;
BEGIN
	SELECT json_agg(t) INTO content FROM verify.t WHERE shoal.shard_of('verify.t', k) = shard;
	PERFORM verify.on_shard(node, 'verify.t', shard, 'DELETE FROM @@');
	RETURN verify.on_shard(node, 'verify.t', shard,
		format('INSERT INTO @@ SELECT * FROM json_populate_recordset(NULL::verify.t, %L)', content));
END $$;
SELECT count(repair(node_id, shard)) FROM (VALUES (2, 0), (3, 1), (1, 2)) d(node_id, shard);
SELECT * FROM shoal.verify_table('t');
BEGIN;
UPDATE t SET v = -1 WHERE k = 3;
SELECT problem, key FROM shoal.verify_table('t');
SAVEPOINT a;
DELETE FROM t;
SELECT problem, count(*) FROM shoal.verify_table('t') GROUP BY 1;
ROLLBACK TO a;
SELECT problem, key FROM shoal.verify_table('t');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM shoal.verify_table('t');
SELECT count(*) FROM t;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM shoal.verify_table('t');
ROLLBACK;
SET shoal.consistent_reads = off;
SELECT * FROM shoal.verify_table('t');
RESET shoal.consistent_reads;
SELECT count(*), (SELECT count(*) FROM shoal.verify_table('t')) FROM t;

-- a row in a wrong shard, of a primary and of both copies; a partition that is gone
CREATE FUNCTION misplace(node int, name regclass, shard int, list text, condition text DEFAULT 'true')
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	modulus int := (SELECT shard_count FROM shoal.tables WHERE table_name = name);
BEGIN
	PERFORM verify.on_shard(node, name, shard, format('ALTER TABLE %s DETACH PARTITION @@', name));
	PERFORM verify.on_shard(node, name, shard, format('INSERT INTO @@ SELECT %s', list));
	PERFORM verify.on_shard(node, name, shard, format('ALTER TABLE @@ ADD CONSTRAINT c
		CHECK (satisfies_hash_partition(%L::regclass::oid, %s, %s, k) AND %s) NOT VALID', name, modulus, shard, condition));
	PERFORM verify.on_node(node, 'SELECT pg_catalog.set_config(''allow_system_table_mods'', ''on'', false)');
	PERFORM verify.on_shard(node, name, shard,
		'UPDATE pg_catalog.pg_constraint SET convalidated = true WHERE conrelid = ''@@''::regclass AND conname = ''c''');
	PERFORM verify.on_node(node, 'SELECT pg_catalog.set_config(''allow_system_table_mods'', ''off'', false)');
	PERFORM verify.on_shard(node, name, shard, format('ALTER TABLE %s ATTACH PARTITION @@ FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
		name, modulus, shard));
END $$;
SELECT i AS key FROM generate_series(1000, 2000) i WHERE shoal.shard_of('t', i) = 2 LIMIT 1 \gset
SELECT misplace(2, 't', 1, :'key');
SELECT * FROM shoal.verify_table('t') ORDER BY 1, 2, 3;
SELECT misplace(3, 't', 1, :'key');
SELECT * FROM shoal.verify_table('t') ORDER BY 1, 2, 3;
SELECT on_shard(2, 't', 1, 'ALTER TABLE verify.t DETACH PARTITION @@');
SELECT on_shard(1, 't', 2, 'ALTER TABLE verify.t DETACH PARTITION @@');
SELECT * FROM shoal.verify_table('t') ORDER BY 1, 2, 3;
SELECT on_placement('t', $$DELETE FROM shoal.placement WHERE role = 'primary' AND shard = 1$$);
SELECT * FROM shoal.verify_table('t') ORDER BY 1, 2, 3;
SELECT on_placement('t', $$DELETE FROM shoal.placement WHERE shard = 1$$);
SELECT * FROM shoal.verify_table('t') ORDER BY 1, 2, 3;
SELECT on_shard(2, 't', 1, 'DROP TABLE @@'), on_shard(1, 't', 2, 'DROP TABLE @@');

-- no primary key: the whole row is the key, and one may be there several times
SELECT level();
CREATE TABLE n (k int, a text);
SELECT shoal.create_distributed_table('n', 'k', 'none', 2);
INSERT INTO n SELECT i % 5, 'a' FROM generate_series(0, 19) i;
INSERT INTO n VALUES (1, NULL), (2, 'x, "y"'), (NULL, 'null');
SELECT add_copy('n', 0, 3, 'k'), add_copy('n', 1, 3, 'k');
SELECT * FROM shoal.verify_table('n');
SELECT on_shard(3, 'n', shoal.shard_of('n', 1), 'DELETE FROM @@ WHERE ctid = (SELECT min(ctid) FROM @@ WHERE k = 1)');
SELECT on_shard(3, 'n', shoal.shard_of('n', 1), 'INSERT INTO @@ VALUES (1, ''b'')');
SELECT on_shard(3, 'n', shoal.shard_of('n', 2), 'DELETE FROM @@ WHERE a LIKE ''x%''');
SELECT on_shard(3, 'n', shoal.shard_of('n', 2), 'INSERT INTO @@ SELECT 2, ''a'' FROM generate_series(1, 3)');
SELECT on_shard(3, 'n', shoal.shard_of('n', NULL::int), 'DELETE FROM @@ WHERE k IS NULL');
SELECT problem, key, count(*) FROM shoal.verify_table('n') GROUP BY 1, 2 ORDER BY 1, 2;

-- a replica that has nothing, and one that has everything twice
SELECT on_shard(3, 'n', 0, 'TRUNCATE @@'), on_shard(3, 'n', 1, 'INSERT INTO @@ SELECT * FROM @@') IS NOT NULL AS twice;
SELECT problem, count(*) > 5 AS many FROM shoal.verify_table('n') GROUP BY 1 ORDER BY 1;

-- types with other OIDs on other nodes, and columns in another order there
SELECT on_node(3, 'CREATE TABLE verify.one_oid_more ()'), on_node(3, 'DROP TABLE verify.one_oid_more');
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE pair AS (x mood, at timestamptz);
CREATE DOMAIN short AS varchar(10);
SELECT level();
CREATE TABLE types (a int, "B c" mood, d pair, e regclass, f mood[], g float8, h bytea, i jsonb, j short,
	l text, m numeric[], o int4range, p name, q interval, PRIMARY KEY ("B c", a));
SELECT shoal.create_distributed_table('types', 'a', 'none', 1);
INSERT INTO types VALUES (1, 'good', ('bad', '2024-01-01'), 'verify.types', '{bad,good}', 1.0 / 3, '\x00ff', '{"a": 1}',
	'ä', repeat('long ', 10000), '{1.0,1.00}', '[1,2)', 'ö', '1 mon');
INSERT INTO types (a, "B c", i) SELECT i, 'bad', to_jsonb(i) FROM generate_series(2, 20) i;
SELECT on_node(3, format('CREATE SCHEMA IF NOT EXISTS shoal_%s_0', group_id)),
	on_node(3, format('CREATE TABLE shoal_%s_0.types (q interval, x int, p name, o int4range, m numeric[], l text, j verify.short, i jsonb,
	h bytea, g float8, f verify.mood[], e regclass, d verify.pair, "B c" verify.mood NOT NULL, a int NOT NULL)', group_id))
	FROM shoal.tables WHERE table_name = 'types'::regclass;
SELECT on_shard(3, 'types', 0, 'ALTER TABLE @@ DROP COLUMN x');
SELECT on_shard(3, 'types', 0, 'ALTER TABLE verify.types ATTACH PARTITION @@ FOR VALUES WITH (MODULUS 1, REMAINDER 0)');
SELECT json_agg(t) AS rows FROM types t \gset
SELECT on_shard(3, 'types', 0, format('INSERT INTO @@ SELECT q, p, o, m, l, j, i, h, g, f, e, d, "B c", a
	FROM json_populate_recordset(NULL::verify.types, %L)', :'rows'));
SELECT count(*) FROM shoal.run_on_nodes((SELECT format('INSERT INTO shoal.placement VALUES (%s, 0, 3, ''replica'')', group_id)
	FROM shoal.tables WHERE table_name = 'types'::regclass));
SELECT * FROM shoal.verify_table('types');
SET client_encoding = 'LATIN1';
SELECT * FROM shoal.verify_table('types');
RESET client_encoding;
SELECT on_shard(3, 'types', 0, 'UPDATE @@ SET m = ''{1.0,1.0}'' WHERE a = 1');
SELECT on_shard(3, 'types', 0, 'UPDATE @@ SET g = 0 WHERE a = 2');
SELECT on_shard(3, 'types', 0, 'UPDATE @@ SET f = ''{}'' WHERE a = 3');
SELECT on_shard(3, 'types', 0, 'UPDATE @@ SET a = 30 WHERE a = 4');
SELECT * FROM shoal.verify_table('types') ORDER BY 4;

-- partitioned by range: all leaves
SELECT level();
CREATE TABLE days (day date, k int, v text, PRIMARY KEY (day, k)) PARTITION BY RANGE (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE "days 2" PARTITION OF days FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
SELECT shoal.create_distributed_table('days', 'k', 'none', 2);
CREATE TABLE days_3 PARTITION OF days FOR VALUES FROM ('2020-03-01') TO ('2020-04-01');
INSERT INTO days SELECT date '2020-01-01' + i, i, 'v' || i FROM generate_series(0, 80) i;
SELECT add_copy('days_1', 0, 2, 'k', false), add_copy('"days 2"', 0, 2, 'k', false), add_copy('days_3', 0, 2, 'k');
SELECT * FROM shoal.verify_table('days');
SELECT misplace(1, 'days_1', 0, $$'2020-01-20', i, '' FROM generate_series(200, 300) i
	WHERE NOT satisfies_hash_partition('verify.days_1'::regclass, 2, 0, i) LIMIT 1$$,
	$$day IS NOT NULL AND day >= '2020-01-01' AND day < '2020-02-01'$$);
SELECT on_shard(2, 'days_3', 0, 'UPDATE @@ SET v = NULL WHERE k = (SELECT min(k) FROM @@)');
SELECT on_shard(2, '"days 2"', 0, 'ALTER TABLE verify."days 2" DETACH PARTITION @@');
SELECT * FROM shoal.verify_table('days') ORDER BY 1, 2, 3, 4;
SELECT * FROM shoal.verify_table('days_3') ORDER BY 1, 2, 3, 4;
SELECT on_shard(2, '"days 2"', 0, 'DROP TABLE @@');

-- reference tables: every node has a copy
CREATE TABLE ref (id int PRIMARY KEY, v text);
INSERT INTO ref SELECT i, 'v' || i FROM generate_series(1, 10) i;
SELECT shoal.create_reference_table('ref');
SELECT * FROM shoal.verify_table('ref');
SELECT on_node(3, 'DELETE FROM verify.ref WHERE id = 3'), on_node(2, 'UPDATE verify.ref SET v = '''' WHERE id = 4'),
	on_node(2, 'INSERT INTO verify.ref VALUES (11)');
SELECT * FROM shoal.verify_table('ref') ORDER BY 1, 2, 4;
SELECT on_node(1, 'DELETE FROM verify.ref WHERE id = 5');
SELECT * FROM shoal.verify_table('ref') ORDER BY 1, 2, 4;

-- single-shard tables
CREATE TABLE single (id int, v text);
SELECT shoal.create_distributed_table('single', NULL);
INSERT INTO single SELECT i, 'v' FROM generate_series(1, 3) i;
SELECT * FROM shoal.verify_table('single');
SELECT node_id AS primary, CASE node_id WHEN 1 THEN 2 ELSE 1 END AS replica FROM shoal.shards
	WHERE table_name = 'single'::regclass \gset
SELECT count(*) FROM shoal.run_on_nodes((SELECT format('INSERT INTO shoal.placement VALUES (%s, 0, %s, ''replica'')', group_id, :replica)
	FROM shoal.tables WHERE table_name = 'single'::regclass));
SELECT shard, node_id = :replica AS replica, problem, key FROM shoal.verify_table('single') ORDER BY 4;
SELECT on_node(:replica, 'INSERT INTO verify.single SELECT i, ''v'' FROM generate_series(1, 3) i');
SELECT * FROM shoal.verify_table('single');

-- rights: to read all of it
CREATE ROLE verify_reader;
GRANT USAGE ON SCHEMA verify TO verify_reader;
SET ROLE verify_reader;
SELECT count(*) FROM shoal.verify_table('ref');
RESET ROLE;
GRANT SELECT (id) ON ref TO verify_reader;
SET ROLE verify_reader;
SELECT count(*) FROM shoal.verify_table('ref');
RESET ROLE;
GRANT SELECT (v) ON ref TO verify_reader;
GRANT SELECT ON t, days TO verify_reader;
SET ROLE verify_reader;
SELECT count(*) FROM shoal.verify_table('ref');
SELECT problem, count(*) FROM shoal.verify_table('days') GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM shoal.verify_table('days_1');
RESET ROLE;
ALTER TABLE ref ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON ref USING (true);
SET ROLE verify_reader;
SELECT count(*) FROM shoal.verify_table('ref');
SET row_security = off;
SELECT count(*) FROM shoal.verify_table('ref');
RESET row_security;
RESET ROLE;
SELECT count(*) FROM shoal.verify_table('ref');
CREATE FUNCTION verify_for_all(name regclass) RETURNS bigint LANGUAGE sql SECURITY DEFINER
AS 'SELECT count(*) FROM shoal.verify_table(name)';
SET ROLE verify_reader;
SELECT verify_for_all('ref');
RESET ROLE;

-- mistakes
CREATE TABLE plain (a int);
SELECT * FROM shoal.verify_table('plain');
SELECT * FROM shoal.verify_table('pg_class');
SELECT * FROM shoal.verify_table(1);
SELECT * FROM shoal.verify_table(NULL);
SELECT * FROM shoal.verify_table('ref', 0);
SELECT * FROM shoal.verify_table('ref', NULL);
SELECT (SELECT count(*) FROM shoal.verify_table('ref')) FROM t WHERE k = 1;
SELECT * FROM shoal.internal_verify_sums('ref', '{}', '{0}', 1);
SELECT * FROM shoal.internal_verify_buckets('ref', '{}', 'verify.ref', 0, 1);
SELECT * FROM shoal.internal_verify_rows('ref', '{}', 'verify.ref', 0, 1, '{0}');
SELECT on_node(2, 'SELECT * FROM shoal.verify_table(''verify.ref'')');
SELECT on_node(2, 'SELECT count(*) FROM shoal.internal_verify_sums(''verify.ref'', ''{}'', ''{0}'', 1)');

DROP SCHEMA verify CASCADE;
DROP ROLE verify_reader;
