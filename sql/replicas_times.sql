-- Words for the current time ("now", "today") mean the same in all copies of a row
-- and in all nodes' definitions.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
CREATE SCHEMA times;
SET search_path = times, public;
CREATE TYPE pair AS (i int, at timestamptz);
CREATE DOMAIN moment AS timestamptz CHECK (value > '2020-01-01');
CREATE TABLE r (k int PRIMARY KEY, v text, d timestamptz, m moment, a timestamp[], s tstzrange, p pair);
CREATE TABLE ref (LIKE r INCLUDING ALL);
CREATE TABLE plain (LIKE r INCLUDING ALL);
SELECT shoal.create_distributed_table('r', 'k', shard_count => 4, replicas => 1);
SELECT shoal.create_reference_table('ref');

-- in text, from the client, with lines that need nothing in between
\copy r FROM pstdin
1	plain	2024-01-01 00:00:00+00	\N	\N	\N	\N
2	now	now	now	{now,"NOW "}	[now,tomorrow)	(1,now)
3	tab\tback\\slash\nline now	yesterday	today	{"n\\ow"}	(,today]	(,"tom\\orrow")
4	hex	\x6eow	\156ow	\N	\N	\N
5	a	epoch	infinity	{2024-01-01}	empty	(1,)
6	\N	tomorrow	today 04:00	\N	\N	\N
\.
\copy ref FROM pstdin
1	plain	2024-01-01 00:00:00+00	2024-01-01 00:00:00+00	\N	\N	\N
2	now	now	now	{now,"NOW "}	[now,tomorrow)	(1,now)
3	tab\tback\\slash\nline now	yesterday	today	{"n\\ow"}	(,today]	(,"tom\\orrow")
4	hex	\x6eow	\156ow	\N	\N	\N
5	\N	tomorrow	today 04:00	\N	\N	\N
\.
\copy r FROM pstdin
7	error	now	now	{now	\N	\N
\.
\copy r FROM pstdin
7	few	now
\.
-- in other formats
\copy r (k, d, v, a) FROM pstdin CSV QUOTE '''' ESCAPE '\' NULL 'none'
11,now,'it\'s now','{now}'
12,n'o'w,'none',none
13,none,none,'{today,"now"}'
14,'now',' , ',none
\.
\copy ref (k, d, v) FROM pstdin (FORMAT csv, HEADER, FORCE_NULL (v))
k,d,v
11,now,"it's ""now"""
12,NOW,""
13,,
\.
\copy ref (k, d, v) FROM pstdin (DELIMITER '|', NULL 'NULL')
21|now|\NULL
22|now|NULL
23|today|a\|b
\.
\copy r (k, d, v) FROM pstdin WHERE k > 21
21	now	x
22	now	y
\.
SELECT * FROM shoal.verify_table('r');
SELECT * FROM shoal.verify_table('ref');
SELECT k, v, d <= now() AND d > date_trunc('day', d) AS now, d = date_trunc('day', d) AS day, cardinality(a), lower(s) <= now() AS s, (p).i FROM r ORDER BY k;
SELECT k, v, d <= now() AND d > date_trunc('day', d) AS now, d = date_trunc('day', d) AS day, cardinality(a), lower(s) <= now() AS s, (p).i FROM ref ORDER BY k;

-- functions of the time in writes
UPDATE ref SET d = now(), m = current_timestamp WHERE k < 10;
UPDATE r SET d = now(), m = localtimestamp WHERE k < 10;
INSERT INTO ref (k, d) VALUES (31, 'now'), (32, now()), (33, clock_timestamp());
INSERT INTO r (k, d) VALUES (31, 'now'), (32, now()), (33, clock_timestamp());
INSERT INTO ref (k, d) SELECT i, 'now' FROM generate_series(41, 43) i;
PREPARE p AS INSERT INTO ref (k, d) VALUES ($1, $2);
EXECUTE p (44, 'now');
UPDATE ref SET d = 'now' WHERE k = 44;
SELECT * FROM shoal.verify_table('r');
SELECT * FROM shoal.verify_table('ref');

-- defaults
BEGIN;
ALTER TABLE r ADD COLUMN x1 timestamptz DEFAULT 'now';
ALTER TABLE ref ADD COLUMN x2 timestamptz DEFAULT 'now'::timestamptz;
ALTER TABLE ref ADD COLUMN x3 date DEFAULT date 'today' + 1;
ALTER TABLE r ADD COLUMN x4 timestamptz DEFAULT now();
ALTER TABLE r ADD COLUMN x5 text DEFAULT 'now';
SELECT pg_sleep(0.01);
ALTER TABLE ref ADD COLUMN x6 text;
ALTER TABLE ref ALTER COLUMN x6 TYPE timestamptz USING current_timestamp;
SELECT bool_and(x1 = now() AND x4 = now()) AS same FROM r;
SELECT bool_and(x2 = now() AND x6 = now()) AS same FROM ref;
COMMIT;
SELECT * FROM shoal.verify_table('r');
SELECT * FROM shoal.verify_table('ref');
ALTER TABLE r ADD COLUMN y timestamptz;
ALTER TABLE r ALTER COLUMN y SET DEFAULT 'now';
CREATE TABLE e (k int PRIMARY KEY, v text DEFAULT 'now', d timestamptz DEFAULT 'now', t time NOT NULL DEFAULT 'now');
SELECT shoal.create_reference_table('e');
ALTER TABLE e ADD COLUMN d2 timestamptz DEFAULT 'now'::timestamp, ADD COLUMN d3 date DEFAULT 'tomorrow';
\copy e (k) FROM pstdin
1
2
\.
SELECT * FROM shoal.verify_table('e');
\c shoal_n2
SET search_path = times, public;
SET timezone = 'UTC';
\copy e (k) FROM pstdin
3
\.
INSERT INTO e (k) VALUES (4);
SELECT * FROM shoal.verify_table('e');
SELECT count(*), count(DISTINCT (v, d, t, d2, d3)) FROM e;
\c shoal_n1
SET client_min_messages = warning;
DROP SCHEMA times CASCADE;
