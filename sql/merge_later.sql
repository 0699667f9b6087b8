--
-- What MERGE can from PostgreSQL 17 on: RETURNING, WHEN NOT MATCHED BY SOURCE.
--
\set SHOW_CONTEXT never
SELECT current_setting('server_version_num')::int >= 170000 AS has_17 \gset
\if :has_17
\else
\quit
\endif
CREATE SCHEMA merge_later;
SET search_path = merge_later;
CREATE TABLE d (k int PRIMARY KEY, v text, n int);
CREATE TABLE twin (LIKE d INCLUDING ALL);
CREATE TABLE ref (LIKE d INCLUDING ALL);
CREATE TABLE ref_twin (LIKE d INCLUDING ALL);
CREATE TABLE s (k int PRIMARY KEY, v text, n int);
SELECT shoal.create_distributed_table('d', 'k', shard_count => 6), shoal.create_distributed_table('s', 'k', colocate_with => 'd'),
	shoal.create_reference_table('ref');
INSERT INTO d SELECT i, 't' || i, i % 5 FROM generate_series(1, 20) i;
INSERT INTO s SELECT i, 's' || i, i % 5 FROM generate_series(15, 25) i;
INSERT INTO twin TABLE d;
INSERT INTO ref SELECT * FROM d WHERE k < 10;
INSERT INTO ref_twin TABLE ref;
CREATE FUNCTION twice(a text, OUT answer text) LANGUAGE plpgsql VOLATILE AS 'BEGIN answer = a || a; END';
-- on both, with the table's name put in
CREATE TABLE statements (n serial, statement text);
INSERT INTO statements (statement) VALUES
	('MERGE INTO @ t USING s ON t.k = s.k WHEN MATCHED AND s.n = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v
		WHEN NOT MATCHED THEN INSERT VALUES (s.k, s.v, 0) RETURNING merge_action(), t.*'),
	('MERGE INTO @ t USING s ON t.k = s.k WHEN NOT MATCHED BY SOURCE AND t.k < 3 THEN DELETE
		WHEN NOT MATCHED BY SOURCE THEN UPDATE SET v = ''orphan'' || t.k WHEN MATCHED THEN UPDATE SET n = t.n + 1'),
	('MERGE INTO @ t USING s ON t.k = s.k WHEN NOT MATCHED BY SOURCE AND t.k < 5 THEN DELETE WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, ''ins'')
		WHEN MATCHED AND s.n = 3 THEN UPDATE SET v = ''m'' || s.v RETURNING merge_action(), t.k, t.v'),
	('MERGE INTO @ t USING s ON t.k = s.k + 1 WHEN MATCHED THEN UPDATE SET n = s.n RETURNING merge_action(), s.k, t.k, s.*'),
	('WITH m AS (MERGE INTO @ t USING s ON t.k = s.k + 1 WHEN MATCHED AND t.k < 22 THEN UPDATE SET v = twice(s.v) WHEN MATCHED THEN DELETE
		RETURNING merge_action() a, s.k sk, t.k tk, t.v tv) SELECT a, count(*), sum(sk), max(tv) FROM m GROUP BY a -- RETURNING'),
	('MERGE INTO @ t USING (VALUES (100, ''x''), (20, ''y'')) s(k, v) ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v
		WHEN NOT MATCHED BY TARGET THEN INSERT (k, v) VALUES (s.k, s.v) WHEN NOT MATCHED BY SOURCE AND t.k = 10 THEN DELETE RETURNING merge_action(), t.k, t.v'),
	('MERGE INTO @ t USING s a JOIN s b ON a.k = b.k + 1 LEFT JOIN s c ON c.k = a.k + 5 ON t.k = a.k WHEN MATCHED AND c.k IS NULL THEN UPDATE SET n = a.n + b.n + 100
		WHEN NOT MATCHED BY SOURCE AND EXISTS (SELECT FROM s WHERE s.k = t.k + 5) THEN UPDATE SET n = (SELECT max(n) FROM s) + 1000'),
	('MERGE INTO @ t USING s ON t.k = 5 AND s.k = 16 WHEN NOT MATCHED BY SOURCE AND t.k > 90 THEN DELETE'),
	('WITH src AS (SELECT k, v FROM s WHERE n < 3) MERGE INTO @ t USING src ON t.k = src.k WHEN MATCHED THEN UPDATE SET v = src.v || ''!''
		WHEN NOT MATCHED BY SOURCE AND t.k IN (SELECT k + 1 FROM src) THEN UPDATE SET v = ''bs'''),
	('MERGE INTO @ t USING s ON t.n = s.n AND s.k < 20 WHEN NOT MATCHED BY SOURCE THEN DO NOTHING WHEN MATCHED AND t.k = 1000 THEN DELETE'),
	('MERGE INTO @ t USING s ON t.k = s.k WHEN NOT MATCHED BY SOURCE THEN UPDATE SET v = twice(t.v), n = t.k RETURNING t.*, s.k, merge_action()'),
	('MERGE INTO @ t USING s ON t.k = s.k WHEN NOT MATCHED BY SOURCE AND t.k = 6 THEN UPDATE SET k = 600 RETURNING t.k'),
	('MERGE INTO @ t USING s ON t.k < s.k WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED THEN DO NOTHING');
SELECT n, CASE WHEN p = d THEN left(p, 100) ELSE 'DIFFERENT: ' || p || ' / ' || d END AS result
FROM (SELECT *, public.run(replace(statement, '@', 'twin')) AS p, public.run(replace(statement, '@', 'd')) AS d FROM statements ORDER BY n) x ORDER BY n;
SELECT n, CASE WHEN p = d THEN left(p, 100) ELSE 'DIFFERENT: ' || p || ' / ' || d END AS result
FROM (SELECT *, public.run(replace(statement, '@', 'ref_twin')) AS p, public.run(replace(statement, '@', 'ref')) AS d FROM statements ORDER BY n) x ORDER BY n;
(TABLE d EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE d);
(TABLE ref EXCEPT TABLE ref_twin) UNION ALL (TABLE ref_twin EXCEPT TABLE ref);
SELECT count(DISTINCT result) FROM shoal.run_on_nodes('SELECT md5(string_agg(r::text, '' '' ORDER BY k)) FROM merge_later.ref r');
-- what is inserted comes without the source's row
MERGE INTO d USING s ON d.k = s.k + 1000 WHEN NOT MATCHED AND twice(s.v) <> '' THEN INSERT VALUES (s.k + 1000) RETURNING s.k;
-- views WITH CHECK OPTION
CREATE VIEW d_small AS SELECT * FROM d WHERE n < 2000 WITH CHECK OPTION;
CREATE VIEW twin_small AS SELECT * FROM twin WHERE n < 2000 WITH CHECK OPTION;
CREATE VIEW ref_small AS SELECT * FROM ref WHERE n < 2000 WITH CHECK OPTION;
CREATE VIEW ref_twin_small AS SELECT * FROM ref_twin WHERE n < 2000 WITH CHECK OPTION;
TRUNCATE statements RESTART IDENTITY;
INSERT INTO statements (statement) VALUES
	('MERGE INTO @_small t USING s ON t.k = s.k WHEN MATCHED AND s.k > 20 THEN DELETE WHEN MATCHED THEN UPDATE SET n = s.n, v = twice(s.v)
		WHEN NOT MATCHED THEN INSERT VALUES (s.k, s.v, s.n) RETURNING merge_action(), t.*'),
	('MERGE INTO @_small t USING s ON t.k = s.k WHEN MATCHED AND s.n = 2 THEN UPDATE SET n = 5000 WHEN NOT MATCHED THEN DO NOTHING'),
	('MERGE INTO @_small t USING (VALUES (7000, 1999), (7001, 2000)) x(k, n) ON t.k = x.k WHEN NOT MATCHED THEN INSERT (k, n) VALUES (x.k, x.n)'),
	('MERGE INTO @_small t USING (VALUES (7000, 1999), (7001, 2)) x(k, n) ON t.k = x.k WHEN NOT MATCHED THEN INSERT (k, n) VALUES (x.k, x.n)'),
	('MERGE INTO @_small t USING s ON t.k = s.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED BY SOURCE AND t.k > 6000 THEN UPDATE SET n = t.n - 1');
SELECT n, CASE WHEN p = d THEN left(p, 100) ELSE 'DIFFERENT: ' || p || ' / ' || d END AS result
FROM (SELECT *, replace(split_part(public.run(replace(statement, '@', 'twin')), ';', 1), 'twin', 'd') AS p, split_part(public.run(replace(statement, '@', 'd')), ';', 1) AS d
	FROM statements ORDER BY n) x ORDER BY n;
SELECT n, CASE WHEN p = d THEN left(p, 100) ELSE 'DIFFERENT: ' || p || ' / ' || d END AS result
FROM (SELECT *, replace(split_part(public.run(replace(statement, '@', 'ref_twin')), ';', 1), '_twin', '') AS p, split_part(public.run(replace(statement, '@', 'ref')), ';', 1) AS d
	FROM statements ORDER BY n) x ORDER BY n;
(TABLE d EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE d);
(TABLE ref EXCEPT TABLE ref_twin) UNION ALL (TABLE ref_twin EXCEPT TABLE ref);
SET client_min_messages = warning;
DROP SCHEMA merge_later CASCADE;
