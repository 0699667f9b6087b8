--
-- MERGE through views that don't show all rows, and merge_action() (from PostgreSQL 17 on).
--
\set SHOW_CONTEXT never
SELECT current_setting('server_version_num')::int >= 170000 AS has_17 \gset
\if :has_17
\else
\quit
\endif
CREATE SCHEMA merge_views;
SET search_path = merge_views;
CREATE TABLE d (k int PRIMARY KEY, v text, n int);
CREATE TABLE twin (LIKE d INCLUDING ALL);
CREATE TABLE s (k int PRIMARY KEY, v text, n int);
CREATE TABLE names (action text, name text);
INSERT INTO names VALUES ('INSERT', 'new'), ('UPDATE', 'changed'), ('DELETE', 'gone');
SELECT shoal.create_distributed_table('d', 'k', shard_count => 6), shoal.create_distributed_table('s', 'k', colocate_with => 'd');
INSERT INTO d SELECT i, 't' || i, i % 5 FROM generate_series(1, 20) i;
INSERT INTO s SELECT i, 's' || i, i % 5 FROM generate_series(15, 25) i;
INSERT INTO twin TABLE d;
-- their rows are those with n > 1; the one over the other has a condition of its own
CREATE VIEW d_v AS SELECT k, n AS number, v, 'const' AS c, k || v AS kv FROM d WHERE n > 1;
CREATE VIEW twin_v AS SELECT k, n AS number, v, 'const' AS c, k || v AS kv FROM twin WHERE n > 1;
CREATE VIEW d_w AS SELECT * FROM d_v WHERE k < 18 AND EXISTS (SELECT FROM names WHERE action <> v);
CREATE VIEW twin_w AS SELECT * FROM twin_v WHERE k < 18 AND EXISTS (SELECT FROM names WHERE action <> v);
CREATE TABLE statements (n serial, statement text);
INSERT INTO statements (statement) VALUES
	('MERGE INTO @v t USING (VALUES (1), (2), (3), (6), (50)) x(a) ON t.k = x.a WHEN MATCHED THEN UPDATE SET v = ''m'' || a'),
	('MERGE INTO @v t USING (VALUES (1), (2), (7), (8)) x(a) ON t.k = x.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND a <> 1 THEN INSERT (k, number) VALUES (a, 4)
		RETURNING merge_action(), t.*'),
	('MERGE INTO @v t USING (VALUES (1), (3)) x(a) ON t.k = x.a WHEN NOT MATCHED THEN INSERT (k) VALUES (a)'),
	('MERGE INTO @v t USING s ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED AND s.n > 1 AND s.k > 20 THEN INSERT (k, v, number) VALUES (s.k, s.v, s.n)'),
	('MERGE INTO @v t USING s ON t.k = s.k WHEN NOT MATCHED BY SOURCE AND t.k > 4 THEN UPDATE SET v = ''orphan'' RETURNING merge_action(), t.k, t.v'),
	('MERGE INTO @w t USING s ON t.k = s.k - 3 WHEN NOT MATCHED BY SOURCE THEN UPDATE SET number = t.number + 100 WHEN MATCHED THEN UPDATE SET number = t.number + 1
		RETURNING merge_action(), t.k, t.number'),
	('MERGE INTO @w t USING s ON t.number = s.n + 100 AND s.k < 18 WHEN NOT MATCHED BY SOURCE AND t.k < 6 THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v'),
	('WITH m AS (MERGE INTO @v t USING s ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v || ''!'' RETURNING t.k) SELECT count(*), sum(k) FROM m -- RETURNING'),
	('MERGE INTO @v t USING s ON t.k = s.k WHEN MATCHED AND t.k = 18 THEN DELETE WHEN MATCHED THEN UPDATE SET number = 5
		RETURNING (SELECT name FROM names WHERE action = merge_action()), t.k, CASE merge_action() WHEN ''DELETE'' THEN t.v END'),
	('MERGE INTO @v t USING (VALUES (60), (17)) x(a) ON t.k = a WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (k, number) VALUES (a, 9)
		RETURNING (SELECT (SELECT name || t.k FROM names WHERE action = merge_action()))');
SELECT n, CASE WHEN p = d THEN left(p, 140) ELSE 'DIFFERENT: ' || p || ' / ' || d END AS result
FROM (SELECT *, public.run(replace(statement, '@', 'twin_')) AS p, replace(public.run(replace(statement, '@', 'd_')), '"d_', '"twin_') AS d FROM statements ORDER BY n) x ORDER BY n;
(TABLE d EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE d);
SET client_min_messages = warning;
DROP SCHEMA merge_views CASCADE;
