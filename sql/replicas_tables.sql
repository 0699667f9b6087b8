-- Tables with replicas: keys, foreign keys, types.  After replicas.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET search_path = repl, public;
CREATE TYPE public.pair AS (f float8, w timestamptz);
CREATE TYPE public.frange AS RANGE (subtype = float8);

-- without a primary key
SELECT public.make('nokey (k int, v text, j json, x xml, p point, f float8)', 'k');
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO nokey SELECT i % 10, ''v'' || i % 4, ''{"a": 1}'', ''<a/>'', point(i % 3, 1), i / 3.0 FROM generate_series(1, 60) i',
	'INSERT INTO nokey SELECT * FROM nokey',
	'INSERT INTO nokey VALUES (1, NULL), (1, NULL), (NULL, NULL), (NULL, ''x'')',
	'UPDATE nokey SET v = ''u'' WHERE k = 3 AND v = ''v1''',
	'UPDATE nokey SET j = ''{"a":  1}'' WHERE k = 4',
	'UPDATE nokey SET v = CASE v WHEN ''v1'' THEN ''v2'' WHEN ''v2'' THEN ''v1'' ELSE v END',
	'UPDATE nokey SET k = k + 1 WHERE k < 5',
	'UPDATE nokey SET k = 5 WHERE k IS NULL',
	'DELETE FROM nokey WHERE v = ''v3'' AND k % 2 = 1',
	'UPDATE nokey SET f = ''NaN'' WHERE k = 2',
	'UPDATE nokey SET f = ''-0'' WHERE k = 3',
	'UPDATE nokey SET f = 0 WHERE k = 3',
	'DELETE FROM nokey WHERE k = 2']) q;
SELECT public.wrong();
-- one of several equal rows
BEGIN;
INSERT INTO nokey VALUES (100, 'dup'), (100, 'dup'), (100, 'dup');
DELETE FROM nokey WHERE ctid = (SELECT min(ctid) FROM nokey WHERE k = 100) AND k = 100;
UPDATE nokey SET v = 'other' WHERE k = 100 AND ctid = (SELECT max(ctid) FROM nokey WHERE k = 100);
COMMIT;
SELECT k, v FROM nokey WHERE k = 100;
SELECT * FROM shoal.verify_table('nokey');
DELETE FROM nokey WHERE k = 100;

-- settings that change how values are written
SELECT public.make('styles (k int PRIMARY KEY, c public.pair, a public.pair[], r public.frange)', 'k');
SELECT public.both('INSERT INTO styles SELECT i, ROW(i / 3.0::float8, now())::public.pair, ARRAY[ROW((1e-7 * i)::float8, ''2024-02-03 04:05:06.7891'')]::public.pair[], public.frange(1.0::float8 / i, i) FROM generate_series(1, 20) i');
SET extra_float_digits = -10; SET datestyle = 'German'; SET intervalstyle = 'sql_standard'; SET timezone = 'Asia/Kolkata';
SELECT public.both('UPDATE styles SET c.f = (c).f * 1.1');
INSERT INTO styles SELECT i, ROW(i / 3.0::float8, now())::public.pair, ARRAY[ROW((1e-7 * i)::float8, '2024-02-03 04:05:06.7891')]::public.pair[], public.frange(1.0::float8 / i, i) FROM generate_series(21, 40) i;
INSERT INTO styles VALUES (50, ROW(1.0/3, now())::public.pair, NULL, NULL);
UPDATE styles SET c.f = (c).f / 3, r = public.frange(lower(r) / 7, NULL) WHERE k = 50 OR k = 5;
RESET extra_float_digits; RESET datestyle; RESET intervalstyle; RESET timezone;
DELETE FROM styles WHERE k > 20 OR k = 5; DELETE FROM twin.styles WHERE k = 5;
SELECT * FROM shoal.verify_table('styles');
SELECT public.make('nokey_styles (k int, c public.pair, w timestamptz)', 'k');
SET extra_float_digits = -10; SET datestyle = 'German';
INSERT INTO nokey_styles SELECT i, ROW(i / 3.0::float8, now())::public.pair, now() FROM generate_series(1, 20) i;
UPDATE nokey_styles SET c.f = (c).f / 3 WHERE k > 10;
RESET extra_float_digits; RESET datestyle;
UPDATE nokey_styles SET c.f = (c).f / 3 WHERE k > 15;
DELETE FROM nokey_styles WHERE k < 7;
SELECT * FROM shoal.verify_table('nokey_styles');
TRUNCATE nokey_styles;

-- key changes
SELECT public.make('pk (d int, k int, v text, PRIMARY KEY (d, k))', 'd');
SELECT public.make('dpk (d int, k int, v text, PRIMARY KEY (d, k) DEFERRABLE, UNIQUE (d, v) DEFERRABLE INITIALLY DEFERRED)', 'd');
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO pk SELECT i % 5, i, ''v'' || i FROM generate_series(1, 100) i',
	'INSERT INTO dpk SELECT i % 5, i, ''v'' || i FROM generate_series(1, 100) i',
	'UPDATE pk SET k = k + 1000',
	'UPDATE pk SET k = k - 1',
	'UPDATE pk SET k = -k WHERE d = 3',
	'UPDATE dpk SET k = k - 5',
	'UPDATE dpk SET k = k + 5',
	'UPDATE dpk SET k = 120 - k WHERE d = 0 AND k > 20',
	'UPDATE dpk SET v = CASE k WHEN 5 THEN ''v10'' WHEN 10 THEN ''v5'' END WHERE k IN (5, 10) AND d = 0',
	'UPDATE dpk SET k = CASE k WHEN 1 THEN 6 WHEN 6 THEN 1 END WHERE k IN (1, 6) AND d = 1',
	'UPDATE dpk SET k = 7 WHERE k = 2 AND d = 2',
	'UPDATE dpk SET d = d + 1',
	'DELETE FROM dpk WHERE k % 7 = 0']) q;
SELECT public.wrong();
BEGIN;
UPDATE dpk SET v = 'same' WHERE d = 1 AND k IN (5, 10);
UPDATE dpk SET v = 'v' || k WHERE d = 1 AND k IN (5, 10);
COMMIT;
BEGIN;
UPDATE dpk SET v = 'same' WHERE d = 1 AND k IN (5, 10);
COMMIT;
SET search_path = twin; UPDATE dpk SET v = 'v' || k WHERE d = 1 AND k IN (5, 10); SET search_path = repl, public;
SELECT public.wrong();
DROP TABLE repl.dpk, twin.dpk, repl.pk, twin.pk;

-- foreign keys
SELECT public.make('p (k int PRIMARY KEY, v text)', 'k');
SELECT public.make('c (k int, i int, r int, PRIMARY KEY (k, i))', 'k');
CREATE TABLE twin.ref (r int PRIMARY KEY, v text); CREATE TABLE repl.ref (r int PRIMARY KEY, v text);
SELECT shoal.create_reference_table('repl.ref');
ALTER TABLE repl.c ADD FOREIGN KEY (k) REFERENCES repl.p ON DELETE CASCADE ON UPDATE CASCADE, ADD FOREIGN KEY (r) REFERENCES repl.ref ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE twin.c ADD FOREIGN KEY (k) REFERENCES twin.p ON DELETE CASCADE ON UPDATE CASCADE, ADD FOREIGN KEY (r) REFERENCES twin.ref ON DELETE SET NULL ON UPDATE CASCADE;
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO ref SELECT i, ''r'' || i FROM generate_series(1, 10) i',
	'INSERT INTO p SELECT i, ''p'' || i FROM generate_series(1, 20) i',
	'INSERT INTO c SELECT i % 20 + 1, i, i % 10 + 1 FROM generate_series(1, 100) i',
	'INSERT INTO c VALUES (99, 1, 1)',
	'DELETE FROM p WHERE k = 3',
	'DELETE FROM p WHERE k IN (5, 6, 7)',
	'DELETE FROM ref WHERE r = 3',
	'DELETE FROM ref WHERE r > 8',
	'UPDATE ref SET r = 100 WHERE r = 4',
	'DELETE FROM p WHERE k IN (SELECT k FROM c WHERE i = 20)',
	'UPDATE c SET k = 99 WHERE k = 8']) q;
SELECT public.wrong();
BEGIN;
DELETE FROM ref WHERE r = 1;
DELETE FROM p WHERE k = 12;
SAVEPOINT a;
DELETE FROM ref;
DELETE FROM p;
ROLLBACK TO a;
COMMIT;
SELECT * FROM shoal.verify_table('c');
SELECT count(*) FROM shoal.verify_table('ref');
BEGIN; SET search_path = twin; DELETE FROM ref WHERE r = 1; DELETE FROM p WHERE k = 12; COMMIT; SET search_path = repl, public;
-- self-referencing
SELECT public.make('tree (d int, id int, parent int, PRIMARY KEY (d, id))', 'd');
ALTER TABLE twin.tree ADD FOREIGN KEY (d, parent) REFERENCES twin.tree ON DELETE CASCADE;
ALTER TABLE repl.tree ADD FOREIGN KEY (d, parent) REFERENCES repl.tree ON DELETE CASCADE;
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO tree SELECT d, i, nullif(i / 2, 0) FROM generate_series(1, 5) d, generate_series(1, 15) i',
	'DELETE FROM tree WHERE id = 2 AND d = 1',
	'DELETE FROM tree WHERE id = 3',
	'DELETE FROM tree WHERE id IN (4, 8)',
	'UPDATE tree SET parent = 1 WHERE id = 5']) q;
COPY tree FROM stdin;
9	3	1
9	2	1
9	1	\N
\.
SELECT count(*) FROM shoal.verify_table('tree');
DELETE FROM tree WHERE d = 9;
SELECT public.wrong();

-- types
CREATE DOMAIN public.posint AS int DEFAULT 5 CHECK (VALUE > 0);
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');
SELECT public.make('ty (k int PRIMARY KEY, junk int, m public.mood, c public.pair, d public.posint, a int[], b bytea, u uuid, i interval, ts tsvector, j jsonb, r int4range, mr int4multirange, cidr inet, bits varbit, money money, g text GENERATED ALWAYS AS (''g'' || d::int) STORED, ma public.mood[])', 'k');
SELECT public.both_ddl('ALTER TABLE @@.ty DROP COLUMN junk');
SELECT public.both_ddl('ALTER TABLE @@.ty ADD COLUMN late text DEFAULT ''late''');
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO ty SELECT i, (ARRAY[''sad'', ''ok'', ''happy''])[i % 3 + 1]::public.mood, ROW(i, ''2024-01-01'')::public.pair, i, ARRAY[i, NULL], ''\x0001ff'', md5(i::text)::uuid, make_interval(hours => i), to_tsvector(''a b'' || i), jsonb_build_object(''a'', i), int4range(i, i + 5), int4multirange(int4range(i, i + 2)), ''10.0.0.1'', B''101'', ''$1.50'' FROM generate_series(1, 40) i',
	'INSERT INTO ty (k) VALUES (41), (42)',
	'INSERT INTO ty (k, d) VALUES (43, -1)',
	'UPDATE ty SET c.f = 7, a[3] = 9, j[''b''] = ''1'', ma = ARRAY[m, ''ok'']::public.mood[] WHERE k % 2 = 0',
	'UPDATE ty SET d = d + 1, m = NULL WHERE k % 5 = 0',
	'DELETE FROM ty WHERE m = ''happy''']) q;
SELECT public.wrong();
-- toast
SELECT public.make('big (k int PRIMARY KEY, v text, w text, n int)', 'k');
ALTER TABLE big ALTER COLUMN v SET STORAGE EXTERNAL;
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO big SELECT i, repeat(md5(i::text), 500), (SELECT string_agg(md5((j*i)::text), '''') FROM generate_series(1, 300) j), 0 FROM generate_series(1, 20) i',
	'UPDATE big SET n = 1',
	'UPDATE big SET w = ''short'' WHERE k = 3',
	'UPDATE big SET v = v || ''x'' WHERE k < 5',
	'INSERT INTO big SELECT k + 100, v, w, n FROM big',
	'DELETE FROM big WHERE k % 3 = 0']) q;
SELECT public.wrong();
SELECT public.make('bignokey (k int, v text, n int)', 'k');
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO bignokey SELECT i, repeat(md5(i::text), 500), 0 FROM generate_series(1, 20) i',
	'INSERT INTO bignokey SELECT k, v, n FROM bignokey',
	'UPDATE bignokey SET n = 1',
	'DELETE FROM bignokey WHERE k % 3 = 0']) q;
SELECT public.wrong();
-- replica identity, sequences, identity
SELECT public.make('ri (a int NOT NULL, b text NOT NULL, c serial, UNIQUE (a, b))', 'a');
SELECT public.both_ddl('ALTER TABLE @@.ri REPLICA IDENTITY USING INDEX ri_a_b_key');
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO ri (a, b) SELECT i % 5, i FROM generate_series(1, 50) i',
	'UPDATE ri SET b = b || ''x'' WHERE a = 2',
	'DELETE FROM ri WHERE a = 3 AND b > ''3''']) q;
SELECT * FROM shoal.verify_table('ri');
TRUNCATE ri, twin.ri;
SELECT public.both_ddl('ALTER TABLE @@.ri REPLICA IDENTITY FULL');
SELECT public.both('INSERT INTO ri SELECT i % 5, i FROM generate_series(1, 50) i'); SELECT public.both('UPDATE ri SET b = b || ''x'' WHERE a = 2');
SELECT public.both_ddl('ALTER TABLE @@.ri REPLICA IDENTITY NOTHING');
SELECT public.both('DELETE FROM ri WHERE a = 2 AND b < ''3''');
SELECT * FROM shoal.verify_table('ri');
CREATE TABLE ident (k int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, s bigserial, w timestamptz DEFAULT clock_timestamp(), r float8 DEFAULT random());
SELECT shoal.create_distributed_table('ident', 'k', replicas => 1);
INSERT INTO ident (v) SELECT 'x' FROM generate_series(1, 20);
INSERT INTO ident (v) VALUES ('y') RETURNING k, v;
COPY ident (v) FROM stdin;
a
b
c
\.
SELECT * FROM shoal.verify_table('ident');
TRUNCATE ident RESTART IDENTITY;
DROP TABLE ident;
DROP TABLE nokey, twin.nokey, styles, twin.styles, nokey_styles, twin.nokey_styles, c, twin.c, p, twin.p, ref, twin.ref,
	tree, twin.tree, ty, twin.ty, big, twin.big, bignokey, twin.bignokey, ri, twin.ri;
DROP TYPE public.pair, public.frange, public.mood;
DROP DOMAIN public.posint;
