--
-- RETURNING old and new rows, from PostgreSQL 18 on: of MERGEs that are taken apart, and of
-- views whose columns are expressions.
--
\set SHOW_CONTEXT never
SELECT current_setting('server_version_num')::int >= 180000 AS has_18 \gset
\if :has_18
\else
\quit
\endif
CREATE SCHEMA old_and_new;
SET search_path = old_and_new;
CREATE TABLE d (k int PRIMARY KEY, n int, v text);
CREATE TABLE twin (LIKE d INCLUDING ALL);
CREATE TABLE s (k int PRIMARY KEY, n int);
SELECT shoal.create_distributed_table('d', 'k', shard_count => 6), shoal.create_distributed_table('s', 'k', colocate_with => 'd');
INSERT INTO d SELECT i, i * 10, 'v' || i FROM generate_series(1, 10) i;
INSERT INTO twin TABLE d;
INSERT INTO s SELECT i, i FROM generate_series(8, 14) i;
CREATE VIEW d_v AS SELECT k, 'c'::varchar(3) AS c, n, 1 + coalesce(n, 0) AS e FROM d WHERE k > 1;
CREATE VIEW twin_v AS SELECT k, 'c'::varchar(3) AS c, n, 1 + coalesce(n, 0) AS e FROM twin WHERE k > 1;
CREATE TABLE statements (n serial, statement text);
INSERT INTO statements (statement) VALUES
	('MERGE INTO @ t USING s ON t.k = s.k WHEN NOT MATCHED BY SOURCE AND t.k < 3 THEN DELETE WHEN MATCHED AND s.k < 10 THEN UPDATE SET n = s.n
		WHEN NOT MATCHED AND s.k > 13 THEN INSERT (k, n) VALUES (s.k, s.n) RETURNING merge_action(), old.k, new.k, old.n, new.n, t.n'),
	('MERGE INTO @ t USING s ON t.k = s.k WHEN NOT MATCHED BY SOURCE AND t.k = 4 THEN DELETE WHEN MATCHED AND s.k < 10 THEN UPDATE SET n = 3
		WHEN NOT MATCHED AND s.k = 13 THEN INSERT (k, n) VALUES (s.k, s.n) RETURNING WITH (OLD AS o, NEW AS "the new") merge_action(), o, "the new", o.n, "the new".n, o IS NULL'),
	('MERGE INTO @ t USING s ON t.k = s.k WHEN MATCHED THEN UPDATE SET n = s.n + 1 RETURNING old.n, new.n, new.n - old.n, s.n'),
	('INSERT INTO @ VALUES (3, 0), (30, 0), (31, 0) ON CONFLICT (k) DO UPDATE SET n = excluded.n RETURNING old.n, new.n, old IS NULL, new.k'),
	('INSERT INTO @ SELECT k + 2, n FROM s ON CONFLICT (k) DO UPDATE SET n = excluded.n + 1 RETURNING old.n, new.n, old.k, new.k'),
	('INSERT INTO @ SELECT 3, 4 ON CONFLICT (k) DO UPDATE SET n = (SELECT max(n) FROM s) RETURNING old.n, new.n, old.k, new.k'),
	('INSERT INTO @_v (k, n) VALUES (40, 1) RETURNING old.*, new.*, old.c, new.c'),
	('INSERT INTO @_v (k, n) SELECT k + 33, 1 FROM s RETURNING old.*, new.*, old.c, new.c'),
	('INSERT INTO @_v (k, n) VALUES (40, 1), (51, 1) ON CONFLICT (k) DO UPDATE SET n = 2 RETURNING old.*, new.*, (SELECT old.c), (SELECT (SELECT new.e))'),
	('INSERT INTO @_v (k, n) VALUES (40, 1), (52, 1) ON CONFLICT (k) DO NOTHING RETURNING old.*, new.*'),
	('UPDATE @_v SET n = n + 1 WHERE k BETWEEN 5 AND 7 RETURNING old.*, new.*, @_v.*'),
	('UPDATE @_v SET n = n + 1 WHERE k = 5 RETURNING old.c, new.c, new.e'),
	('DELETE FROM @_v WHERE k > 40 RETURNING old.*, new.*, new.c IS NULL, new.c, @_v.*'),
	('DELETE FROM @_v WHERE k = 40 RETURNING old.*, new.*, new.c IS NULL, new.c'),
	('MERGE INTO @_v t USING s ON t.k = s.k WHEN MATCHED AND s.k = 9 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 7
		WHEN NOT MATCHED AND s.k > 12 THEN INSERT (k, n) VALUES (s.k, s.n) RETURNING merge_action(), old.*, new.*, old.c, new.c, t.*'),
	('MERGE INTO @_v t USING s ON t.k = s.k WHEN NOT MATCHED BY SOURCE AND t.k < 7 THEN DELETE WHEN NOT MATCHED THEN INSERT (k, n) VALUES (s.k, s.n)
		WHEN MATCHED AND s.k = 8 THEN UPDATE SET n = 8 RETURNING merge_action(), old.*, new.*, old.c, new.c'),
	('WITH m AS (DELETE FROM @_v WHERE k = 12 RETURNING old.c AS o, new.c AS n, new.e) SELECT * FROM m -- RETURNING');
SELECT n, CASE WHEN p = d THEN left(p, 160) ELSE 'DIFFERENT: ' || p || ' / ' || d END AS result
FROM (SELECT *, public.run(replace(statement, '@', 'twin')) AS p, public.run(replace(statement, '@', 'd')) AS d FROM statements ORDER BY n) x ORDER BY n;
(TABLE d EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE d);
DELETE FROM d_v WHERE k = 10 RETURNING old, new;
INSERT INTO d_v (k, n) VALUES (10, 1) RETURNING old, new;
-- rows beyond a limit
CREATE TABLE c (n int, k int);
SELECT shoal.create_distributed_table('c', 'n');
COPY c FROM STDIN (ON_ERROR ignore, REJECT_LIMIT 1, LOG_VERBOSITY silent);
1	1
a	2
3	3
\.
COPY c FROM STDIN (ON_ERROR ignore, REJECT_LIMIT 1);
1	1
a	2
3	b
\.
TABLE c ORDER BY n;
SET client_min_messages = warning;
DROP SCHEMA old_and_new CASCADE;
