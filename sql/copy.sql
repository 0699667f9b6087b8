--
-- COPY FROM into distributed and reference tables: lines that are forwarded,
-- rows that are decoded here, rights and errors.
--
\set SHOW_CONTEXT never
CREATE SCHEMA copying;
SET search_path = copying;
CREATE TYPE color AS ENUM ('red', 'green', 'blue');
CREATE TABLE plain (k int PRIMARY KEY, v text, n numeric(10,2) DEFAULT 7, c color, d date);
CREATE TABLE sliced (LIKE plain INCLUDING ALL);
CREATE TABLE pair (a text, b bigint, v text DEFAULT 'd', PRIMARY KEY (a, b));
CREATE TABLE counted (id serial, k int, twice int GENERATED ALWAYS AS (k * 2) STORED, at timestamptz DEFAULT now());
CREATE TABLE copied (id int PRIMARY KEY, name text);
SELECT shoal.create_distributed_table('sliced', 'k', shard_count => 6);
SELECT shoal.create_distributed_table('pair', 'a,b', shard_count => 5);
SELECT shoal.create_distributed_table('counted', 'k', shard_count => 4);
SELECT shoal.create_reference_table('copied');

-- text
COPY sliced FROM STDIN;
1	one	1.5	red	2020-01-01
2	t\tab	\N	\N	\N
3	back\\slash	-1	green	2021-12-31
4		0	blue	epoch
5	new\nline	12345678.99	\N	2000-02-29
\.
SELECT * FROM sliced ORDER BY k;
COPY sliced (n, k) FROM STDIN (DELIMITER '|', NULL 'none');
3.14|10
none|11
\.
-- CSV: quotes, lines inside fields, header, forced nulls
COPY sliced (v, k, c) FROM STDIN (FORMAT csv, HEADER, FORCE_NULL (v), FORCE_NOT_NULL (c));
v,k,c
"quoted ""text""",20,red
"two
lines",21,blue
"",22,green
\.
COPY sliced (k, v) FROM STDIN (FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\', NULL 'NIL', HEADER match);
k;v
30;'it\'s; fine'
31;NIL
32;'NIL'
\.
SELECT * FROM sliced WHERE k >= 10 ORDER BY k;
COPY sliced (k, v) FROM STDIN (FORMAT csv, HEADER match);
k,wrong
40,x
\.

-- many rows, through a file, compared with a plain table
\getenv dir PG_ABS_BUILDDIR
\set file :dir '/results/copy.data'
INSERT INTO plain SELECT i, 'row ' || i || E'\t\\', i / 8.0, (ARRAY['red', NULL, 'blue'])[i % 3 + 1]::color, '2000-01-01'::date + i
FROM generate_series(1000, 30999) i;
COPY plain TO :'file';
COPY sliced FROM :'file';
SELECT count(*) FROM sliced WHERE k >= 1000;
SELECT count(*) FROM (SELECT * FROM plain EXCEPT SELECT * FROM sliced) x;
DELETE FROM sliced WHERE k >= 1000;
COPY plain TO :'file' (FORMAT csv, FORCE_QUOTE *);
COPY sliced FROM :'file' (FORMAT csv);
SELECT count(*) FROM (SELECT * FROM plain EXCEPT SELECT * FROM sliced) x;
DELETE FROM sliced WHERE k >= 1000;
COPY plain TO :'file' (FORMAT binary);
COPY sliced FROM :'file' (FORMAT binary);
SELECT count(*) FROM (SELECT * FROM plain EXCEPT SELECT * FROM sliced) x;
DELETE FROM sliced WHERE k >= 1000;
COPY sliced FROM :'file' (FORMAT binary) WHERE k % 2 = 0 AND c IS NULL;
SELECT count(*), min(k), count(c) FROM sliced WHERE k >= 1000;
DELETE FROM sliced WHERE k >= 1000;
SET client_encoding = latin1;
COPY plain (k, v) FROM STDIN;
50	größe
\.
COPY sliced (k, v) FROM STDIN;
50	größe
\.
COPY sliced (k, v) FROM STDIN WHERE k = 51;
51	größe
\.
RESET client_encoding;
SELECT s.v = p.v AS same, length(s.v) FROM sliced s, plain p WHERE p.k = 50 AND s.k IN (50, 51);

-- several key columns, defaults, sequences, generated columns
COPY pair (b, a) FROM STDIN;
1	x
2	x
9000000000	y
\.
SELECT * FROM pair ORDER BY a, b;
BEGIN;
COPY counted (k) FROM STDIN;
1
2
3
\.
SELECT count(DISTINCT id), min(id), max(id), min(twice), max(twice), count(DISTINCT at), bool_and(at = now()) FROM counted;
COMMIT;

-- a default that asks the nodes while rows are read
CREATE FUNCTION largest() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT max(k) FROM copying.sliced';
ALTER TABLE counted ADD COLUMN largest int DEFAULT largest();
COPY counted (k) FROM STDIN WHERE largest() > 1;
4
5
6
7
\.
SELECT count(*), min(largest), max(largest) FROM counted WHERE k > 3;

-- reference tables: every node has the rows
COPY copied FROM STDIN;
1	one
2	two
\.
COPY copied FROM STDIN WHERE id > 3;
3	three
4	four
\.
SELECT * FROM copied ORDER BY id;
SELECT count(*) FROM sliced s JOIN copied c ON c.id = s.k;

-- triggers fire where the rows are; a statement's rows stay one statement
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v = 'skip' THEN RETURN NULL; END IF;
	NEW.v = upper(NEW.v);
	RETURN NEW;
END $$;
CREATE TRIGGER shout BEFORE INSERT ON pair FOR EACH ROW EXECUTE FUNCTION shout();
COPY pair FROM STDIN;
t	1	loud
t	2	skip
t	3	louder
\.
SELECT * FROM pair WHERE a = 't' ORDER BY b;
CREATE TABLE tree (k int, id int, parent int, PRIMARY KEY (k, id), FOREIGN KEY (k, parent) REFERENCES tree);
SELECT shoal.create_distributed_table('tree', 'k', shard_count => 4);
COPY tree FROM STDIN;
1	1	2
1	2	3
1	3	\N
2	1	2
2	2	\N
3	1	2
3	2	\N
4	1	2
4	2	\N
\.
SELECT count(*) FROM tree;
COPY tree FROM STDIN;
5	1	2
\.

-- errors: nothing stays
\set SHOW_CONTEXT errors
COPY sliced FROM STDIN;
60	x
\.
COPY sliced FROM STDIN;
60	x	1	red	2020-01-01	extra
\.
COPY sliced FROM STDIN;
60	x	1	red	2020-01-01
nokey	x	1	red	2020-01-01
\.
\set SHOW_CONTEXT never
COPY sliced FROM STDIN;
60	x	1	red	2020-01-01
61	x	1	red	2020-01-01
62	x	1	mauve	2020-01-01
\.
COPY sliced FROM STDIN;
60	x	1	red	2020-01-01
1	again	1	red	2020-01-01
\.
COPY sliced (v) FROM STDIN;
no key
\.
\copy sliced (k, nothing) FROM '/dev/null'
\copy sliced FROM '/dev/null' (FREEZE)
\copy sliced FROM '/dev/null' WHERE nothing > 1
\copy counted (k) FROM '/dev/null' WHERE twice > 1
COPY sliced FROM '/nonexistent/file';
SELECT count(*) FROM sliced WHERE k >= 60;

-- FREEZE is for tables that are made or emptied in the same transaction
BEGIN;
TRUNCATE sliced;
COPY sliced (k, v) FROM STDIN (FREEZE);
1	frozen
2	frozen
\.
SELECT k, v FROM sliced ORDER BY k;
SAVEPOINT s;
\copy sliced FROM '/dev/null' (FREEZE)
ROLLBACK TO s;
DECLARE c CURSOR FOR SELECT 1;
\copy sliced FROM '/dev/null' (FREEZE)
ROLLBACK;

-- in a transaction, and rolled back
BEGIN;
COPY sliced (k) FROM STDIN;
70
71
72
73
\.
SELECT count(*) FROM sliced WHERE k >= 70;
SAVEPOINT a;
COPY sliced (k) FROM STDIN;
74
70
\.
ROLLBACK TO a;
SELECT count(*) FROM sliced WHERE k >= 70;
ROLLBACK;
SELECT count(*) FROM sliced WHERE k >= 70;
BEGIN READ ONLY;
\copy sliced (k) FROM '/dev/null'
ROLLBACK;

-- rights
CREATE ROLE copier;
GRANT USAGE ON SCHEMA copying TO copier;
GRANT SELECT, INSERT (k) ON sliced TO copier;
SET ROLE copier;
\copy sliced (k, v) FROM '/dev/null'
COPY sliced FROM '/etc/passwd';
COPY sliced FROM PROGRAM 'true';
RESET ROLE;
ALTER TABLE pair ENABLE ROW LEVEL SECURITY;
GRANT ALL ON pair TO copier;
SET ROLE copier;
\copy pair FROM '/dev/null'
RESET ROLE;

-- columns that COPY does not write
CREATE TABLE generating (k int, g int GENERATED ALWAYS AS (k + 1) STORED);
SELECT shoal.create_distributed_table('generating', 'k');
INSERT INTO generating VALUES (1);
COPY generating TO STDOUT;
COPY generating (k, g) TO STDOUT;
COPY generating (k, k) TO STDOUT;
COPY generating (other) TO STDOUT;

SET client_min_messages = warning;
DROP SCHEMA copying CASCADE;
DROP ROLE copier;
