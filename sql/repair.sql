-- shoal.repair_placements: what a stale copy has is kept, as far as it is right
CREATE SCHEMA repair;
SET search_path = repair;
\set SHOW_CONTEXT never
SET client_min_messages = warning;
ALTER SYSTEM SET shoal.auto_repair = off;
SELECT pg_reload_conf();

-- for each replica of a shard of a table, a command on its node; @@ is its partition
CREATE FUNCTION on_replicas(name regclass, command text)
RETURNS TABLE (shard int, result text) LANGUAGE sql AS $$
	SELECT s.shard, r.result FROM shoal.shards s, shoal.run_on_nodes(replace(command, '@@', s.partition_name::text),
		ARRAY[s.node_id]) r WHERE table_name = name AND role = 'replica' ORDER BY 1
$$;
-- the same for writes, which the mirror trigger would refuse
CREATE FUNCTION damage(name regclass, command text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	change text;
BEGIN
	FOREACH change IN ARRAY ARRAY['DISABLE', 'ENABLE ALWAYS'] LOOP
		PERFORM shoal.run_on_nodes(format('ALTER TABLE %s %s TRIGGER %I', s.partition_name, change, t.result), ARRAY[s.node_id])
			FROM shoal.shards s, shoal.run_on_nodes(format('SELECT tgname FROM pg_trigger
				WHERE tgrelid = %L::regclass AND tgname LIKE ''!shoal_mirror%%''', s.partition_name), ARRAY[s.node_id]) t
			WHERE table_name = name AND role = 'replica';
		IF change = 'DISABLE' THEN
			PERFORM repair.on_replicas(name, command);
		END IF;
	END LOOP;
END $$;
CREATE FUNCTION set_stale(name regclass, state text DEFAULT 'stale') RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM shoal.run_on_nodes(format('UPDATE shoal.placement SET state = %L
		WHERE role = ''replica'' AND group_id = %s', state, (SELECT group_id FROM shoal.tables WHERE table_name = name)))
$$;
-- tables of many kinds in one group
CREATE TABLE keyed (k int PRIMARY KEY, v text, w timestamptz, twice int GENERATED ALWAYS AS (k * 2) STORED);
ALTER TABLE keyed ALTER v SET STORAGE EXTERNAL;
SELECT shoal.create_distributed_table('keyed', 'k', 'none', 4, replicas => 1);
CREATE TABLE composite (k int, b numeric, c text, d timestamptz, v interval, PRIMARY KEY (d, b, k, c));
CREATE TABLE uniques (k int PRIMARY KEY, u int, v int, s int4range, UNIQUE (u, k));
CREATE TABLE keyless (k int, v text);
CREATE TABLE empty (k int PRIMARY KEY);
CREATE TABLE other_key (k int, i int NOT NULL, v text, PRIMARY KEY (i, k));
SELECT count(shoal.create_distributed_table(t::regclass, 'k', 'keyed'))
	FROM unnest('{composite,uniques,keyless,empty,other_key}'::text[]) t;
INSERT INTO keyed SELECT i, repeat(i::text, CASE WHEN i % 50 = 0 THEN 2000 ELSE 1 END), '2024-01-01'::timestamptz + i * interval '1 day'
	FROM generate_series(1, 2000) i;
INSERT INTO composite SELECT i, i / 3.0, 'c ' || i, '2024-01-01'::timestamptz + i * interval '1 day', i * interval '1 hour'
	FROM generate_series(1, 400) i;
INSERT INTO uniques SELECT i, i + 1000, i, int4range(i, i + 1) FROM generate_series(1, 400) i;
INSERT INTO keyless SELECT i % 50, 'v' || i FROM generate_series(1, 400) i;
INSERT INTO other_key SELECT i, i, 'v' FROM generate_series(1, 400) i;

CREATE FUNCTION verify_all() RETURNS TABLE (name text, shard int, node int, problem text, key text) LANGUAGE sql AS $$
	SELECT t, v.* FROM unnest('{keyed,composite,uniques,keyless,empty,other_key}'::text[]) t,
		shoal.verify_table(('repair.' || t)::regclass) v
$$;
SELECT * FROM verify_all();

-- nothing differs, nothing is written
SELECT set_stale('keyed');
SELECT shoal.repair_placements();
SELECT shoal.repair_placements();

-- all kinds of damage
SELECT set_stale('keyed');
SELECT damage('keyed', $$DELETE FROM @@ WHERE k % 7 = 0$$);
SELECT damage('keyed', $$UPDATE @@ SET v = v || 'x' WHERE k % 50 = 0$$);
SELECT damage('keyed', $$UPDATE @@ SET w = NULL WHERE k % 11 = 0$$);
SELECT damage('keyed', $$INSERT INTO @@ SELECT i, repeat('new', 3000) FROM generate_series(3000, 3100) i
	WHERE satisfies_hash_partition('repair.keyed'::regclass, 4, substring('@@' FROM '_(\d+)[.]')::int, i)$$);
SELECT damage('composite', $$UPDATE @@ SET b = b + 1 WHERE k % 20 = 0$$);
SELECT damage('composite', $$UPDATE @@ SET v = v * 24 WHERE k % 20 = 1$$);
SELECT damage('composite', $$UPDATE @@ SET b = (b::text || '00')::numeric WHERE k % 20 = 3$$);
SELECT damage('composite', $$DELETE FROM @@ WHERE k % 20 = 2$$);
SELECT damage('uniques', $$UPDATE @@ SET u = u + 5 WHERE k % 3 = 0$$);
SELECT damage('keyless', $$DELETE FROM @@ WHERE ctid IN (SELECT ctid FROM @@ LIMIT 5)$$);
SELECT damage('keyless', $$INSERT INTO @@ SELECT * FROM @@ LIMIT 3$$);
SELECT damage('empty', $$INSERT INTO @@ SELECT i FROM generate_series(1, 40) i
	WHERE satisfies_hash_partition('repair.empty'::regclass, 4, substring('@@' FROM '_(\d+)[.]')::int, i)$$);
SELECT damage('other_key', $$DELETE FROM @@$$);
SELECT set_stale('keyed', 'active');
SELECT name, problem, count(*) FROM verify_all() GROUP BY 1, 2 ORDER BY 1, 2;
SELECT set_stale('keyed');
SELECT shoal.repair_placements();
SELECT * FROM verify_all();
SELECT count(*), sum(twice) FROM keyed;

-- a few changes: as many rows are written
CREATE FUNCTION written(name regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(result, ' ' ORDER BY shard) FROM repair.on_replicas(name, 'SELECT count(*)::text FROM @@
		WHERE xmin::text::bigint > (SELECT max(xid) FROM repair.mark)')
$$;
SELECT count(*) FROM shoal.run_on_nodes('CREATE TABLE repair.mark (xid bigint)');
SELECT set_stale('keyed');
SELECT damage('keyed', $$UPDATE @@ SET v = v || 'x' WHERE k IN (SELECT k FROM @@ ORDER BY k LIMIT 3)$$);
SELECT damage('keyed', $$DELETE FROM @@ WHERE k = (SELECT max(k) FROM @@)$$);
SELECT damage('keyed', $$INSERT INTO @@ SELECT i FROM generate_series(4000, 4100) i
	WHERE satisfies_hash_partition('repair.keyed'::regclass, 4, substring('@@' FROM '_(\d+)[.]')::int, i) LIMIT 2$$);
SELECT count(*) FROM shoal.run_on_nodes('INSERT INTO repair.mark SELECT txid_current() & 4294967295');
SELECT shoal.repair_placements();
SELECT * FROM verify_all();
SELECT written('keyed'), written('composite'), written('uniques'), written('keyless'), written('other_key');

-- a copy that was never complete is made anew
SELECT set_stale('keyed', 'copying');
SELECT shoal.repair_placements();
SELECT written('keyed') = (SELECT string_agg(count, ' ' ORDER BY shard) FROM (
	SELECT shoal.shard_of('keyed', k) AS shard, count(*)::text FROM keyed GROUP BY 1) s) AS all_of_them;
SELECT * FROM verify_all();

-- unique and exclusion constraints: what is old gives way, also to a user's writes
CREATE TABLE one (k int PRIMARY KEY, u int UNIQUE, p int, d int, x int4range,
	EXCLUDE USING gist (x WITH &&), UNIQUE (d) DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX ON one (p) WHERE k < 1000;
SELECT shoal.create_distributed_table('one', NULL, 'none', replicas => 1);
INSERT INTO one SELECT i, i, i, i, int4range(i * 10, i * 10 + 10) FROM generate_series(1, 300) i;
SELECT set_stale('one');
-- each row has what another one should have
SELECT damage('one', $$DELETE FROM @@ WHERE k BETWEEN 100 AND 200$$);
SELECT damage('one', $$INSERT INTO @@ SELECT i, 300 - i, 300 - i, i, int4range(3000 - i * 10, 3010 - i * 10) FROM generate_series(101, 199) i$$);
SELECT damage('one', $$INSERT INTO @@ VALUES (500, 200, 200, 100, '[1000,1010)'), (501, 100, 100, 200, '[2000,2005)')$$);
SELECT damage('one', $$INSERT INTO @@ VALUES (502, 5000, 5000, 5000, '[5000,6000)')$$);
SELECT shoal.repair_placements();
SELECT * FROM shoal.verify_table('one');
SELECT set_stale('one');
SELECT damage('one', $$DELETE FROM @@ WHERE k BETWEEN 100 AND 200$$);
SELECT damage('one', $$INSERT INTO @@ SELECT i, 300 - i, 300 - i, i, int4range(3000 - i * 10, 3010 - i * 10) FROM generate_series(101, 199) i$$);
SELECT damage('one', $$INSERT INTO @@ VALUES (502, 602, NULL, 6000, '[6000,6010)'), (503, 5000, 5000, 5002, '[5000,6000)')$$);
SELECT set_stale('one', 'copying');
UPDATE one SET k = 502 WHERE k = 1;
UPDATE one SET x = '[6000,6010)' WHERE k = 2;
UPDATE one SET u = 602 WHERE k = 110;
UPDATE one SET u = -u, p = p + 1000 WHERE k BETWEEN 120 AND 130;
INSERT INTO one VALUES (503, 7000, 7000, 7000, '[5500,5600)'), (504, 5000, 5001, 5002, '[5600,5900)');
DELETE FROM one WHERE k IN (150, 199, 200);
BEGIN;
UPDATE one SET k = k + 2000 WHERE k % 10 = 0;
UPDATE one SET u = NULL WHERE k % 9 = 0;
SAVEPOINT a;
DELETE FROM one;
ROLLBACK TO a;
INSERT INTO one VALUES (150, 150, 150, 150, NULL);
COMMIT;
SELECT set_stale('one');
SELECT shoal.repair_placements();
SELECT * FROM shoal.verify_table('one');

-- not for users
SELECT shoal.internal_repair_key('one', 0);
SELECT shoal.internal_repair_rows('one', 0, 2, '{k}', '', false);
SELECT shoal.internal_empty_table('one', 0);
SELECT * FROM shoal.internal_verify_keys('one', '{k}', 'repair.one', 0, 1, '{0}');

ALTER SYSTEM RESET shoal.auto_repair;
SELECT pg_reload_conf();
DROP SCHEMA repair CASCADE;
