--
-- Values of all kinds of types reach their shard and come back as they were.
--
\set SHOW_CONTEXT never
CREATE SCHEMA types;
SET search_path = types;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN short AS char(3) CHECK (VALUE <> 'no');
CREATE TYPE pair AS (a int, b char(2));
CREATE TABLE plain (
	id int, c4 char(4), c char, cc bpchar, b3 bit(3), b bit, vb varbit(5), v3 varchar(3), n numeric(5,2), t0 time(0),
	ts timestamp(1), iv interval(0), iy interval year to month, q "char", nm name, r int4range, mr int4multirange, c2a char(2)[], ba bit(2)[],
	d short, m mood, p pair, pa pair[], j json, jb jsonb, by bytea, u uuid, i inet, mc macaddr, tv tsvector, pt point, mo money, f real, x xml);
CREATE TABLE dist (LIKE plain);
SELECT shoal.create_distributed_table('dist', 'id', shard_count => 6);

CREATE FUNCTION fill(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$INSERT INTO %I VALUES
	(1, 'ab', 'x', 'long text  ', B'101', B'1', B'10101', 'abc', 123.456, '12:34:56.7', '2020-02-03 04:05:06.78', '1 day 02:03:04.5', '3 years 2 mons',
		'z', 'name', '[1,5)', '{[1,3),[7,9)}', '{ab,"c ",NULL}', '{10,01}', 'yes', 'ok', '(1,zz)', '{"(1,a)","(2,bb)"}', '{"a": 1}', '{"b": [1,2]}',
		'\x00ff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1/8', '08:00:2b:01:02:03', 'a:1 b:2', '(1,2)', '12.50', 1.1, '<a>b</a>'),
	(2, 'a   ', ' ', '', B'000', B'0', B'1', '', -0.005, '00:00', 'infinity', '-1 mon', '0', '', '', 'empty', '{}', '{}', '{}', '   ', 'happy',
		'(,)', '{NULL}', '[]', 'null', '', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', '::1', '08:00:2b:01:02:04', '', '(0,0)', '-1', 'NaN', '<a/>')$q$, t);
	EXECUTE format('INSERT INTO %I VALUES (3, ''abcd    '', NULL), (4, NULL, ''y'')', t);
	EXECUTE format('INSERT INTO %1$I SELECT (a_row).* FROM (SELECT a_row FROM %1$I a_row WHERE id <= 2) s', t);
	EXECUTE format('INSERT INTO %1$I SELECT id + 10 * g, c4, c, cc, b3, b, vb, v3, n, t0, ts, iv, iy, q, nm, r, mr, c2a, ba, d, m, p, pa, j, jb, by, u, i, mc, tv, pt, mo, f, x
		FROM %1$I, generate_series(1, 20) g(g) ORDER BY random()', t);
	EXECUTE format('INSERT INTO %I (id, c4, c, b3, d, c2a) VALUES (500, ''wxyz'', ''w'', B''111'', ''d'', ''{xy}''), (501, ''wx'', ''w'', B''110'', ''dd'', ''{x}'') ON CONFLICT DO NOTHING', t);
	EXECUTE format('UPDATE %I SET c4 = v3, v3 = c4::varchar(2), b3 = b3 << 1, p.b = ''q'', n = n * 2 WHERE id %% 3 = 1', t);
END $$;
SELECT fill('plain'), fill('dist');
SELECT count(*) FROM dist;

-- the whole rows, as text: not all types can be compared
SELECT a_row::text FROM plain a_row EXCEPT ALL SELECT a_row::text FROM dist a_row;
SELECT a_row::text FROM dist a_row EXCEPT ALL SELECT a_row::text FROM plain a_row;
-- too long is an error on each way, unless it is blanks or a cast
INSERT INTO dist (id, c4) VALUES (600, 'abcde');
INSERT INTO dist (id, c4) VALUES (600, 'abcde'), (601, 'a');
INSERT INTO dist (id, b3) SELECT i, '1111' FROM generate_series(600, 610) i;
INSERT INTO dist (id, d) VALUES (600, 'no'), (601, 'yes');
INSERT INTO dist (id, v3) SELECT id, nm::varchar(3) || 'x' FROM plain WHERE id = 1;

-- keys of all these types: each row is found by its key
CREATE FUNCTION keys() RETURNS TABLE (key text, rows bigint, together bigint, routed bigint) LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
	col text;
	typ text;
	one text;
BEGIN
	FOR col, typ IN SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'plain'::regclass AND attnum > 0
		AND attname NOT IN ('j', 'pt', 'x', 'tv', 'p', 'pa', 'b3', 'b', 'vb', 'ba', 'mo', 'm') ORDER BY attnum
	LOOP
		EXECUTE format('DROP TABLE IF EXISTS keyed');
		EXECUTE format('CREATE TABLE keyed (k %s, n int)', typ);
		BEGIN
			PERFORM shoal.create_distributed_table('keyed', 'k', shard_count => 6);
		EXCEPTION WHEN OTHERS THEN
			key = col || ': ' || sqlerrm;
			RETURN NEXT;
			CONTINUE;
		END;
		-- in one statement, by rows and row by row
		EXECUTE format('INSERT INTO keyed SELECT DISTINCT ON (%1$I) %1$I, 1 FROM plain WHERE %1$I IS NOT NULL', col);
		FOR one IN EXECUTE format('SELECT DISTINCT %I::text FROM plain WHERE %1$I IS NOT NULL', col) LOOP
			EXECUTE format('INSERT INTO keyed VALUES (%L, 2)', one);
			EXECUTE format('INSERT INTO keyed VALUES (%L, 3), (%1$L, 4)', one);
		END LOOP;
		key = col;
		EXECUTE 'SELECT count(*), (SELECT count(*) FROM keyed a WHERE n = 1 AND 4 = (SELECT count(*) FROM keyed b WHERE b.k = a.k)) FROM keyed'
			INTO rows, together;
		routed = 0;
		FOR one IN EXECUTE 'SELECT k::text FROM keyed WHERE n = 1' LOOP
			EXECUTE format('SELECT $1 + count(*) FROM keyed WHERE k = %L', one) INTO routed USING routed;
		END LOOP;
		RETURN NEXT;
	END LOOP;
	DROP TABLE keyed;
END $$;
SELECT * FROM keys();

-- parts of columns, several of one column in one statement
CREATE DOMAIN pairs AS pair[] CHECK (array_length(VALUE, 1) < 4);
CREATE TABLE parts_plain (k int PRIMARY KEY, f int[], p pair, pp pair[], d pairs);
CREATE TABLE parts_dist (LIKE parts_plain INCLUDING ALL);
CREATE TABLE parts_more (LIKE parts_plain);
SELECT shoal.create_distributed_table('parts_dist', 'k', shard_count => 6), shoal.create_distributed_table('parts_more', 'k', colocate_with => 'parts_dist');
CREATE FUNCTION assign(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$
		INSERT INTO %1$I (k, f[1], f[2]) VALUES (1, 10, 20);
		INSERT INTO %1$I (p.b, k, p.a) VALUES ('x', 2, 10);
		INSERT INTO %1$I (k, pp[1].a, pp[1].b, d[1].a, d[2].b) VALUES (3, 10, 'x', 1, 'd'), (4, 11, 'y', 2, 'e');
		INSERT INTO %1$I (k, d[1].a, d[2].b, d[1].b) VALUES (5, 1, 'd', 'z');
		INSERT INTO %1$I (k, f[1:2], f[4]) SELECT i, ARRAY[i, i + 1], 4 FROM generate_series(6, 7) i;
		INSERT INTO %1$I (f[1], k, p.b, f[3], p.a) SELECT 1, k + 100, 'c', k, f[1] FROM %1$I;
		INSERT INTO %1$I (k, p.a) VALUES (7, 1) ON CONFLICT (k) DO UPDATE SET p.a = 2, p.b = 'q', f[2] = 7, f[3] = 8;
		UPDATE %1$I SET p.a = 5, p.b = 'z', f[1] = 100, f[2] = 200 WHERE k = 1;
		UPDATE %1$I SET (p.a, p.b) = (SELECT 77, 'w'), f[3] = 1, d[1].a = 5, d[1].b = 'u' WHERE k = 2;
		UPDATE %1$I SET (p.a, f[1]) = (k, 12), f[3] = 1 WHERE k IN (3, 4, 5)$q$, t);
END $$;
SELECT assign('parts_plain'), assign('parts_dist');
SELECT * FROM parts_plain EXCEPT ALL SELECT * FROM parts_dist;
SELECT count(*), count(f[3]), count(DISTINCT p), count((d[1]).b) FROM parts_dist;
INSERT INTO parts_more (k, f[2], f[1], p.b, p.a) SELECT k, 2, f[1], 'm', k FROM parts_dist;
SELECT k, 2, f[1], 'm', k FROM parts_plain EXCEPT ALL SELECT k, f[2], f[1], (p).b, (p).a FROM parts_more;
INSERT INTO parts_dist (k, d[1].a, d[4].b) VALUES (50, 1, 'x');
-- the columns of a whole row have names in conditions, too, however the rows come here
CREATE TABLE wholes (gone int, k int, n int);
SELECT shoal.create_distributed_table('wholes', 'k', 'none', 4);
ALTER TABLE wholes DROP COLUMN gone;
INSERT INTO wholes VALUES (1, 5), (2, 6), (3, 6);
SET shoal.enable_push = off;
SELECT k FROM wholes w WHERE to_jsonb(w)->>'n' = '6' AND w <> ROW(2, 6)::wholes;
SELECT k FROM (SELECT k, n AS m FROM wholes) w WHERE to_jsonb(w)->>'m' = '5';
RESET shoal.enable_push;
CREATE TYPE mood2 AS ENUM ('sad', 'ok');
CREATE DOMAIN counted AS int CHECK (value > 0);
CREATE TYPE pair2 AS (a int, m mood2);
-- what aggregates of any type have gathered on a node names types and objects as that node does
CREATE TABLE gathered (k int, m mood2, p counted, r regclass, c pair2, ms mood2[]);
SELECT shoal.create_distributed_table('gathered', 'k', 'none', 6);
INSERT INTO gathered SELECT i, (ARRAY['sad', 'ok'])[1 + i % 2]::mood2, i, 'types.gathered'::regclass, ROW(i, 'ok')::pair2, '{sad}' FROM generate_series(1, 6) i;
SELECT (SELECT array_agg(x ORDER BY x) FROM unnest(m) x) AS m, (SELECT array_agg(x ORDER BY x) FROM unnest(p) x) AS p,
	(SELECT array_agg(x ORDER BY x) FROM unnest(r) x) AS r, (SELECT array_agg(x ORDER BY x) FROM unnest(c) x) AS c,
	(SELECT array_agg(x ORDER BY x) FROM unnest(ms) x) AS ms, (SELECT array_agg(x ORDER BY x) FROM unnest(k) x) AS k
FROM (SELECT array_agg(m) AS m, array_agg(p) AS p, array_agg(r) AS r, array_agg(c) AS c, array_agg(ms) AS ms, array_agg(k) AS k FROM gathered) s;
SELECT cardinality(array_agg(s)) FROM (SELECT k, m FROM gathered) s;
SELECT cardinality(array_agg(gathered)) FROM gathered;
SELECT k % 2, cardinality(array_agg(m)), min(m) FROM gathered GROUP BY k % 2 ORDER BY 1;
DROP SCHEMA types CASCADE;
