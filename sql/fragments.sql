--
-- Running fragments: EXPLAIN, cursors, rescans, rows and parameters of all
-- kinds of types, rows sent in batches.
--
\set SHOW_CONTEXT never
CREATE SCHEMA frag;
SET search_path = frag;
CREATE TYPE color AS ENUM ('red', 'green', 'blue');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE t (k int PRIMARY KEY, v text);
CREATE TABLE u (k int PRIMARY KEY, n positive, c color, a int[]);
CREATE TABLE r (id int PRIMARY KEY, name text);
SELECT shoal.create_distributed_table('t', 'k', shard_count => 6);
SELECT shoal.create_distributed_table('u', 'k', colocate_with => 't');
SELECT shoal.create_reference_table('r');
INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 3000) i;
INSERT INTO r VALUES (1, 'one'), (2, 'two');

-- rows that had to be put aside, on disk
SET work_mem = '64kB';
SET enable_mergejoin = off;
SELECT count(*), min(length(a.v)) FROM t a, t b WHERE a.k % 300 = b.k % 1000 AND (b.k % 7) < 10;
RESET work_mem;
RESET enable_mergejoin;

-- rows come many at a time: short and long ones, NULLs, none, many columns, errors between them
CREATE TABLE wide (k int PRIMARY KEY, v text, b bytea, n numeric);
CREATE TABLE wide_here AS SELECT i AS k, CASE WHEN i % 7 > 0 THEN repeat(chr(33 + i % 90), i * i % 30011) END AS v,
	CASE WHEN i % 5 > 0 THEN decode(repeat('00ff27', i % 50 * (i % 11)), 'hex') END AS b, i / 7.0 AS n FROM generate_series(1, 700) i;
SELECT shoal.create_distributed_table('wide', 'k', colocate_with => 't');
INSERT INTO wide SELECT * FROM wide_here;
SELECT count(*) FROM (SELECT * FROM wide EXCEPT ALL SELECT * FROM wide_here) x;
\pset format unaligned
SELECT * FROM wide ORDER BY k \g |md5sum
SELECT * FROM wide_here ORDER BY k \g |md5sum
SELECT *, v, b, n, k, v IS NULL, n::float8, now() > '2020-01-01', v || k FROM wide WHERE k = 317 \g |md5sum
SELECT *, v, b, n, k, v IS NULL, n::float8, now() > '2020-01-01', v || k FROM wide_here WHERE k = 317 \g |md5sum
WITH gone AS (DELETE FROM wide WHERE k % 3 = 0 RETURNING *) SELECT * FROM gone ORDER BY k \g |md5sum
WITH gone AS (DELETE FROM wide_here WHERE k % 3 = 0 RETURNING *) SELECT * FROM gone ORDER BY k \g |md5sum
\pset format aligned
SELECT FROM wide WHERE k < 4;
SELECT k, 1 / (k - 400) FROM wide ORDER BY k;
SELECT count(*), sum(length(v)) FROM wide;

-- Where shards are depends on what other tests have made.
CREATE FUNCTION plan(query text, options text = '') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (COSTS OFF%s) %s', options, query) LOOP
		line = regexp_replace(line, 'shoal_node_\d+', 'shoal_node_N', 'g');
		-- news of later versions
		line = regexp_replace(line, '\n[^\n]*Disabled[^\n]*', '', 'g');
		line = regexp_replace(line, '(rows=\d+)\.00', '\1', 'g');
		RETURN NEXT regexp_replace(line, 'shoal_\d+_\d+\.', 'shoal_G_S.', 'g');
	END LOOP;
END $$;

-- EXPLAIN: every format, every way; parameters only where that does no harm
SET shoal.enable_local = off;
SELECT plan($$SELECT * FROM t WHERE k = 3$$);
SELECT plan($$SELECT k FROM t WHERE v = 'x' ORDER BY v, k$$);
SELECT plan($$SELECT v FROM t WHERE k IN (1, 2)$$, ', VERBOSE');
SELECT plan($$SELECT * FROM t WHERE k = 3$$, ', FORMAT json');
SELECT plan($$SELECT * FROM t WHERE k = 3$$, ', FORMAT yaml');
SELECT plan($$SELECT * FROM t WHERE k = 3$$, ', FORMAT xml');
SELECT plan($$SELECT * FROM t WHERE k = 3$$, ', ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF');
SELECT plan($$UPDATE t SET v = 'explained' WHERE k = 3$$, ', ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF');
SELECT v FROM t WHERE k = 3;
SELECT plan($$INSERT INTO r VALUES (3, 'three')$$);
SELECT plan($$INSERT INTO t SELECT k + 10000, v FROM t WHERE v = 'x'$$);
SELECT plan($$SELECT * FROM t WHERE k = (random() * 0)::int + 3$$);
PREPARE by_key(int) AS SELECT * FROM t WHERE k = $1;
SET plan_cache_mode = force_generic_plan;
SELECT plan($$EXECUTE by_key(5)$$);
EXECUTE by_key(5);
EXECUTE by_key(6);
EXECUTE by_key(NULL);
PREPARE by_keys(int[]) AS SELECT k FROM t WHERE k = ANY ($1) ORDER BY k;
EXECUTE by_keys('{1,2,NULL,3}');
EXECUTE by_keys('{}');
EXECUTE by_keys(NULL);
PREPARE how_many(int) AS SELECT count(*), max(k) FROM t WHERE k = $1;
EXECUTE how_many(5);
EXECUTE how_many(NULL);
RESET plan_cache_mode;
DEALLOCATE ALL;
RESET shoal.enable_local;

-- several streams over one connection; only a part is read
BEGIN;
DECLARE c1 CURSOR FOR SELECT k FROM t ORDER BY k;
DECLARE c2 CURSOR FOR SELECT k FROM t ORDER BY k DESC;
FETCH 2 FROM c1;
FETCH 2 FROM c2;
SELECT count(*) FROM t;
FETCH 2 FROM c1;
UPDATE t SET v = 'changed' WHERE k IN (5, 2996);
FETCH 1 FROM c1;
FETCH 1 FROM c2;
MOVE ALL FROM c1;
SAVEPOINT s;
FETCH 1 FROM c2;
SELECT 1 / 0;
ROLLBACK TO s;
FETCH 1 FROM c2;
COMMIT;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT k FROM t ORDER BY k;
FETCH 3 FROM c;
FETCH PRIOR FROM c;
FETCH FIRST FROM c;
FETCH LAST FROM c;
FETCH RELATIVE -2 FROM c;
COMMIT;
DECLARE held CURSOR WITH HOLD FOR SELECT k FROM t ORDER BY k;
FETCH 2 FROM held;
CLOSE held;
DO $$
DECLARE
	row record;
	n int = 0;
	other text;
BEGIN
	FOR row IN SELECT k, v FROM t LOOP
		IF row.k % 100 = 0 THEN
			SELECT v INTO STRICT other FROM t WHERE k = 3001 - row.k;
			UPDATE t SET v = 'loop' WHERE k = row.k;
		END IF;
		n = n + 1;
	END LOOP;
	RAISE NOTICE '% rows', n;
END $$;
SELECT count(*) FROM t WHERE v = 'loop';
SELECT count(*) FROM (SELECT * FROM t LIMIT 7) x;
SELECT count(*) FROM (SELECT k FROM t LIMIT 7) x, (SELECT k FROM t LIMIT 3) y;

-- rescans
SELECT i, (SELECT max(v) FROM t WHERE k = i) FROM generate_series(1, 4) i;
SELECT i, x.v FROM generate_series(1, 3) i, LATERAL (SELECT v FROM t WHERE k = i * 7 OFFSET 0) x;
SELECT i, (SELECT count(*) FROM t WHERE v < i::text) FROM generate_series(1, 3) i;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT count(*) FROM t a JOIN t b ON a.k = b.k + 1 WHERE a.k < 20;
SELECT count(*) FROM t a WHERE a.k < 20 AND EXISTS (SELECT 1 FROM t b WHERE a.v > b.v AND b.k < 10);
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;

-- values: what goes out comes back, whatever the session's settings
CREATE TYPE pair AS (a date, b float8, c text);
CREATE TABLE plain (k int PRIMARY KEY, b bool, i2 int2, i8 int8, f4 float4, f8 float8, num numeric, t text, ch char(5),
	vc varchar(5), by bytea, d date, ti time, tz timetz, ts timestamp, tstz timestamptz, iv interval, ip inet, ma macaddr,
	u uuid, js json, jb jsonb, ar int[], ta text[], r int4range, mr int4multirange, bi bit(3), mo money, x xml, pt point,
	rc regclass, rt regtype, c color, ca color[], dm positive, p pair, pa pair[], tsv tsvector, o oid, nm name);
CREATE TABLE dist (LIKE plain INCLUDING ALL);
SELECT shoal.create_distributed_table('dist', 'k', shard_count => 6);
INSERT INTO plain SELECT i, i % 2 = 0, i, i * 5000000000, i / 3::float4, i / 3::float8, i / 7.0, E'tab\t"quote''\\' || i, i, i,
	decode(lpad(i::text, 4, '0'), 'hex'), '2020-01-31'::date + i, '12:00'::time + i * '1 s'::interval, '12:00+05',
	'2020-01-31 01:02:03.456', '2020-01-31 01:02:03.456+03', (i || ' months -1 day 01:02:03')::interval, '10.0.0.1', '08:00:2b:01:02:03',
	'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, 2]}', '{"b": null}', ARRAY[[1, NULL], [i, 3]], ARRAY['a,b', NULL, '"', '{}'],
	int4range(1, i + 1), '{[1,2),[5,6)}', B'101', i, '<a>b</a>', point(i, 0.1), 'frag.t', 'frag.color', 'green', '{red,blue}', i,
	ROW('2020-01-31', 0.1, 'x"y,)')::pair, ARRAY[ROW('2020-01-31', 1e-300, NULL)]::pair[], 'a:1 b', i, 'name'
FROM generate_series(1, 60) i;
INSERT INTO plain (k) VALUES (100);
CREATE FUNCTION differ() RETURNS TABLE (only_plain bigint, only_dist bigint, n bigint) LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM (SELECT row1::text FROM frag.plain row1 EXCEPT ALL SELECT row2::text FROM frag.dist row2) x),
		(SELECT count(*) FROM (SELECT row2::text FROM frag.dist row2 EXCEPT ALL SELECT row1::text FROM frag.plain row1) x),
		(SELECT count(*) FROM frag.dist) $$;
INSERT INTO dist SELECT * FROM plain;
SELECT * FROM differ();
TRUNCATE dist;
INSERT INTO dist SELECT * FROM plain WHERE k <= 4 RETURNING k > 0, p;
INSERT INTO dist SELECT * FROM plain WHERE k > 4 ON CONFLICT DO NOTHING;
SELECT * FROM differ();
TRUNCATE dist;
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = -3;
SET bytea_output = 'escape';
SET TimeZone = 'America/New_York';
INSERT INTO dist SELECT * FROM plain;
SELECT * FROM differ();
TRUNCATE dist;
INSERT INTO dist SELECT * FROM plain ON CONFLICT DO NOTHING;
SELECT * FROM differ();
SELECT d, tstz, iv, p FROM dist WHERE k = 1;
DO $$
DECLARE
	row frag.plain;
BEGIN
	DELETE FROM frag.dist;
	FOR row IN SELECT * FROM frag.plain LOOP
		INSERT INTO frag.dist SELECT row.*;
	END LOOP;
END $$;
SELECT * FROM differ();
DO $$
DECLARE
	row frag.plain;
	n int;
	total int = 0;
BEGIN
	FOR row IN SELECT * FROM frag.plain WHERE k < 100 LOOP
		SELECT count(*) INTO n FROM frag.dist WHERE k = row.k AND d = row.d AND tstz = row.tstz AND iv = row.iv AND f8 = row.f8
			AND c = row.c AND ca = row.ca AND p = row.p AND pa = row.pa AND rc = row.rc AND rt = row.rt AND jb = row.jb AND dm = row.dm;
		total = total + n;
	END LOOP;
	RAISE NOTICE '% found again', total;
END $$;
RESET DateStyle;
RESET IntervalStyle;
RESET extra_float_digits;
RESET bytea_output;
RESET TimeZone;

-- batches: of one row, of several, of a column type that makes no array
SET shoal.batch_size = 4;
INSERT INTO u SELECT i, i, 'red', ARRAY[i, i + 1] FROM generate_series(1, 50) i ON CONFLICT DO NOTHING;
SELECT count(*), sum(n), sum(a[1]) FROM u;
INSERT INTO u (k, n, c) SELECT i, i, 'blue' FROM generate_series(45, 54) i ON CONFLICT (k) DO UPDATE SET c = excluded.c, n = u.n + 1000
RETURNING c, (a IS NOT NULL) = (n > 1000) AS good;
INSERT INTO u (k, n) SELECT i % 50 + 1, i FROM generate_series(1, 51) i ON CONFLICT (k) DO UPDATE SET n = excluded.n;
INSERT INTO u (k, n, a) SELECT i % 50 + 1, i, '{}' FROM generate_series(1, 51) i ON CONFLICT (k) DO UPDATE SET n = excluded.n;
INSERT INTO u (k, n) SELECT i, i - 150 FROM generate_series(101, 200) i ON CONFLICT DO NOTHING;
INSERT INTO u (k, n) SELECT i, i - 150 FROM generate_series(101, 200) i;
SELECT count(*), sum(n) FROM u;
INSERT INTO u (k, n) SELECT k + 500, n FROM u WHERE k < 8 RETURNING k > 500;
INSERT INTO u (k, n) SELECT k + 600, n FROM u;
SELECT count(*), sum(k), sum(n) FROM u;
PREPARE upsert(int, int, int) AS INSERT INTO u (k, n) VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET n = $3 RETURNING k, n;
EXECUTE upsert(900, 1, 2);
EXECUTE upsert(900, 1, 2);
RESET shoal.batch_size;
CREATE FUNCTION lookup(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT max(n) FROM frag.u WHERE k = i); END $$;
INSERT INTO u (k, n) SELECT 2000 + i, lookup(i) FROM generate_series(1, 40) i;
INSERT INTO u (k, n) SELECT 3000 + i, lookup(2000 + i) FROM generate_series(1, 40) i ON CONFLICT DO NOTHING;
SELECT count(*), sum(a.n - b.n), sum(a.n - c.n) FROM u a, u b, u c WHERE b.k = a.k + 2000 AND c.k = a.k + 3000;

-- reference tables: one count, the same rows everywhere
INSERT INTO r SELECT i, 'r' || i FROM generate_series(3, 60) i;
INSERT INTO r VALUES (61, 'x'), (62, 'y') RETURNING *;
UPDATE r SET name = upper(name) WHERE id < 5 RETURNING *;
DELETE FROM r WHERE id > 61;
SELECT count(*) FROM r;
SELECT count(*) FROM t JOIN r ON r.id = t.k;
INSERT INTO r SELECT i, 'again' FROM generate_series(60, 70) i;
SELECT count(*) FROM r;

-- a placement that only this node knows of: refused, nothing lost
CREATE TABLE lost (k int, v text);
SELECT shoal.create_distributed_table('lost', 'k', colocate_with => 'none', shard_count => 3);
INSERT INTO lost SELECT i, i FROM generate_series(1, 30) i;
CREATE FUNCTION outcome(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
BEGIN;
SET LOCAL shoal.forward_ddl = off;
UPDATE shoal.placement SET node_id = node_id % 3 + 1
	WHERE group_id = (SELECT group_id FROM shoal.distributed_table WHERE table_name = 'lost'::regclass);
SELECT outcome('SELECT * FROM lost'), outcome('INSERT INTO lost VALUES (1)'), outcome('UPDATE lost SET v = 1 WHERE k = 1'),
	outcome('INSERT INTO lost SELECT i FROM generate_series(1, 1000) i'), outcome('DELETE FROM lost');
\set VERBOSITY terse
COPY lost FROM STDIN;
1	a
2	b
3	c
4	d
\.
\set VERBOSITY default
ROLLBACK;
BEGIN;
DELETE FROM shoal.placement
	WHERE group_id = (SELECT group_id FROM shoal.distributed_table WHERE table_name = 'lost'::regclass);
SELECT outcome('SELECT * FROM lost'), outcome('INSERT INTO lost VALUES (1)');
ROLLBACK;
SELECT count(*) FROM lost;

SET client_min_messages = warning;
DROP SCHEMA frag CASCADE;
