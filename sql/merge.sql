-- MERGE: each statement is done to local twins as well.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE SCHEMA mrg;
CREATE SCHEMA twin;
SET search_path = mrg;
CREATE TABLE t (id int PRIMARY KEY, x int, v text DEFAULT 'none');
CREATE TABLE s (id int, y int, w text);
CREATE TABLE far (id bigint, k int, w text);
CREATE TABLE ref (id int PRIMARY KEY, w text);
CREATE TABLE two (a int, b int, v text, PRIMARY KEY (a, b));
CREATE TABLE twin.t (LIKE t INCLUDING ALL);
CREATE TABLE twin.s (LIKE s);
CREATE TABLE twin.far (LIKE far);
CREATE TABLE twin.ref (LIKE ref INCLUDING ALL);
CREATE TABLE twin.two (LIKE two INCLUDING ALL);
CREATE TABLE loc (id int, w text);
CREATE TABLE twin.loc (LIKE loc);
INSERT INTO twin.t SELECT i, i, 't' || i FROM generate_series(1, 30) i;
INSERT INTO twin.s SELECT i, 45 - i, 's' || i FROM generate_series(20, 40) i;
INSERT INTO twin.far SELECT i * 100, i, 'far' || i FROM generate_series(15, 50) i;
INSERT INTO twin.ref SELECT i, 'r' || i FROM generate_series(25, 50) i;
INSERT INTO twin.loc SELECT i, 'l' || i FROM generate_series(35, 60) i;
INSERT INTO twin.two SELECT i, i, 'x' FROM generate_series(1, 10) i;
SELECT shoal.create_distributed_table('t', 'id'), shoal.create_distributed_table('s', 'id'),
	shoal.create_distributed_table('far', 'id', colocate_with => 'none', shard_count => 5),
	shoal.create_distributed_table('two', 'a, b', colocate_with => 'none', shard_count => 4),
	shoal.create_reference_table('ref');
INSERT INTO t TABLE twin.t;
INSERT INTO s TABLE twin.s;
INSERT INTO far TABLE twin.far;
INSERT INTO ref TABLE twin.ref;
INSERT INTO loc TABLE twin.loc;
INSERT INTO two TABLE twin.two;

-- does a statement to both; what came of it there and here, and rows that differ
CREATE FUNCTION twice(statement text) RETURNS TABLE (result text, in_twin text, differ bigint) LANGUAGE plpgsql AS $$
BEGIN
	result := (public.rows_of('mrg', statement, true))[1];
	in_twin := (public.rows_of('twin', statement, true))[1];
	SELECT count(*) INTO differ FROM (
		(SELECT * FROM mrg.t EXCEPT ALL SELECT * FROM twin.t) UNION ALL
		(SELECT * FROM twin.t EXCEPT ALL SELECT * FROM mrg.t)) d;
	RETURN NEXT;
END $$;

-- colocated
SELECT * FROM twice('MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = w WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.y, s.w)');
-- a reference table, values, a function, a local table: the same everywhere
SELECT * FROM twice('MERGE INTO t USING ref r ON t.id = r.id WHEN MATCHED AND r.id > 45 THEN DELETE WHEN MATCHED THEN UPDATE SET v = w || v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (r.id, w)');
SELECT * FROM twice('MERGE INTO t USING (VALUES (5, ''five''), (105, ''new''), (106, ''new2'')) n(k, z) ON t.id = n.k WHEN MATCHED THEN UPDATE SET v = z WHEN NOT MATCHED THEN INSERT (id) VALUES (k)');
SELECT * FROM twice('MERGE INTO t USING generate_series(1, 60, 7) g ON t.id = g WHEN NOT MATCHED AND g > 30 THEN DO NOTHING WHEN NOT MATCHED THEN INSERT VALUES (g, g) WHEN MATCHED THEN UPDATE SET x = x + g');
SELECT * FROM twice('MERGE INTO t USING loc ON t.id = loc.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND loc.w > ''l4'' THEN INSERT VALUES (loc.id, 1, ''loc'' || loc.w) WHEN NOT MATCHED THEN DO NOTHING');
SELECT * FROM twice('MERGE INTO t USING loc ON t.id = loc.id + 0 WHEN MATCHED THEN DELETE');
-- moved, by the key and to every node
SELECT * FROM twice('MERGE INTO t USING s ON t.id = s.y WHEN MATCHED AND w > ''s3'' THEN DELETE WHEN MATCHED THEN UPDATE SET x = 77, v = w WHEN NOT MATCHED THEN INSERT VALUES (s.y, 5, s.w)');
SELECT * FROM twice('MERGE INTO t USING far ON t.id = far.k WHEN MATCHED THEN UPDATE SET v = v || w WHEN NOT MATCHED AND k % 2 = 0 THEN INSERT VALUES (far.k, 6, far.w)');
SELECT * FROM twice('MERGE INTO t USING (SELECT DISTINCT y, w FROM s) q ON t.x = q.y WHEN MATCHED THEN UPDATE SET v = ''joined'' || w');
SELECT * FROM twice('MERGE INTO t USING s JOIN far ON far.k = s.id ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = far.w || s.w WHEN NOT MATCHED THEN INSERT VALUES (s.id, far.k, ''both'')');
-- errors are the same
SELECT * FROM twice('MERGE INTO t USING (VALUES (105), (105)) n(k) ON t.id = n.k WHEN MATCHED THEN UPDATE SET v = ''twice''');
SELECT * FROM twice('MERGE INTO t USING (VALUES (777), (777)) n(k) ON t.id = n.k WHEN NOT MATCHED THEN INSERT VALUES (k)');
SELECT * FROM twice('MERGE INTO t USING (VALUES (NULL::int)) n(k) ON t.id = n.k WHEN NOT MATCHED THEN INSERT VALUES (k)');
-- other targets
MERGE INTO ref USING (VALUES (50, 'x'), (99, 'new')) n(k, z) ON k = id WHEN MATCHED THEN UPDATE SET w = z WHEN NOT MATCHED THEN INSERT VALUES (k, z);
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT count(*) || min(w) || max(w) FROM mrg.ref');
MERGE INTO two USING s ON two.a = s.id AND two.b = s.id WHEN MATCHED THEN UPDATE SET v = w;
MERGE INTO loc USING s ON loc.id = s.id WHEN MATCHED THEN UPDATE SET w = s.w WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.w);
SELECT count(*), count(*) FILTER (WHERE w LIKE 's%') FROM loc;
-- parameters
PREPARE upsert(int, text) AS MERGE INTO t USING (SELECT $1 AS k, $2 AS z) n ON t.id = n.k WHEN MATCHED THEN UPDATE SET v = z WHEN NOT MATCHED THEN INSERT VALUES (k, 0, z);
EXECUTE upsert(2001, 'a');
EXECUTE upsert(2001, 'b');
EXECUTE upsert(2002, 'c');
EXECUTE upsert(2003, 'c');
EXECUTE upsert(2004, 'c');
EXECUTE upsert(2001, 'd');
EXECUTE upsert(2001, 'e');
SELECT * FROM t WHERE id > 2000 ORDER BY id;
BEGIN;
EXECUTE upsert(2005, 'gone');
ROLLBACK;
SELECT count(*) FROM t WHERE id = 2005;
SET client_min_messages = warning;
DROP SCHEMA mrg CASCADE;
DROP SCHEMA twin CASCADE;
