--
-- MERGE on tables whose statement triggers have transition tables: these have the
-- rows of all shards.  The same on a plain twin.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA merge_transition;
SET search_path = merge_transition;
CREATE TABLE twin (a int PRIMARY KEY, b text, n int);
CREATE TABLE dist (LIKE twin INCLUDING ALL);
CREATE TABLE s (a int PRIMARY KEY, b text);
SELECT shoal.create_distributed_table('dist', 'a', shard_count => 6), shoal.create_distributed_table('s', 'a', colocate_with => 'dist');
INSERT INTO twin SELECT i, 't' || i, i FROM generate_series(1, 6) i;
INSERT INTO dist TABLE twin;
INSERT INTO s SELECT i, 's' || i FROM generate_series(4, 12) i;
CREATE TABLE log (id serial, which text, line text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	l text;
	t text;
BEGIN
	IF TG_WHEN = 'BEFORE' THEN
		l = 'before';
	ELSIF TG_OP = 'INSERT' THEN
		l = (SELECT string_agg(x::text, ',' ORDER BY a) FROM new_t x);
	ELSIF TG_OP = 'UPDATE' THEN
		l = (SELECT string_agg(x::text, ',' ORDER BY a) FROM old_t x) || ' > ' || (SELECT string_agg(x::text, ',' ORDER BY a) FROM new_t x);
	ELSE
		l = (SELECT string_agg(x::text, ',' ORDER BY a) FROM old_t x);
	END IF;
	EXECUTE format('SELECT count(*) || '' rows, '' || sum(n) FROM %I', TG_TABLE_NAME) INTO t;
	INSERT INTO log (which, line) VALUES (TG_TABLE_NAME, concat_ws(' ', TG_OP, l, t));
	RETURN NULL;
END $$;
CREATE FUNCTION twins(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	p text = public.run(replace(statement, '@', 'twin'));
	d text = public.run(replace(statement, '@', 'dist'));
BEGIN
	RETURN NEXT CASE WHEN p IS DISTINCT FROM d THEN 'DIFFERENT: ' || p || ' / ' || d ELSE p END;
	IF EXISTS ((TABLE twin EXCEPT TABLE dist) UNION ALL (TABLE dist EXCEPT TABLE twin)) THEN
		RETURN NEXT 'rows differ';
	END IF;
	RETURN QUERY SELECT coalesce(p.line, '-') || CASE WHEN p.line IS DISTINCT FROM d.line THEN ' DIFFERENT: ' || coalesce(d.line, '-') ELSE '' END
		FROM (SELECT line, row_number() OVER (ORDER BY id) FROM log WHERE which = 'twin') p
		FULL JOIN (SELECT line, row_number() OVER (ORDER BY id) FROM log WHERE which = 'dist') d USING (row_number) ORDER BY row_number;
	DELETE FROM log;
END $$;
SELECT twins('CREATE TRIGGER i AFTER INSERT ON @ REFERENCING NEW TABLE AS new_t FOR EACH STATEMENT EXECUTE FUNCTION note()'),
	twins('CREATE TRIGGER u AFTER UPDATE ON @ REFERENCING OLD TABLE AS old_t NEW TABLE AS new_t FOR EACH STATEMENT EXECUTE FUNCTION note()'),
	twins('CREATE TRIGGER d AFTER DELETE ON @ REFERENCING OLD TABLE AS old_t FOR EACH STATEMENT EXECUTE FUNCTION note()'),
	twins('CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON @ FOR EACH STATEMENT EXECUTE FUNCTION note()');
SELECT twins('MERGE INTO @ t USING s ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a, s.b, 1)');
SELECT twins('MERGE INTO @ t USING s ON t.a = s.a WHEN MATCHED AND s.a <= 5 THEN UPDATE SET b = t.b || ''!'', n = 100
	WHEN MATCHED AND s.a > 10 THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.a, s.b)');
SELECT twins('MERGE INTO @ t USING s ON t.a = s.a + 1 WHEN MATCHED AND s.a <= 5 THEN UPDATE SET b = t.b || ''!'', n = 100
	WHEN MATCHED AND s.a > 6 THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.a + 100, s.b)');
SELECT twins('MERGE INTO @ t USING s ON t.a = s.a AND t.a > 1000 WHEN MATCHED THEN DELETE');
SELECT twins('MERGE INTO @ t USING s ON t.a = s.a WHEN MATCHED AND s.a = 5 THEN UPDATE SET a = 555 WHEN MATCHED AND s.a = 4 THEN DELETE');
SELECT twins('WITH x AS (INSERT INTO @ VALUES (77, ''x'', 77)) MERGE INTO @ t USING (VALUES (1046), (2)) v(a) ON t.a = v.a WHEN NOT MATCHED THEN INSERT VALUES (v.a, ''w'')');
-- for one shard
SELECT twins('MERGE INTO @ t USING (VALUES (6)) v(a) ON t.a = v.a AND t.a = 6 WHEN MATCHED THEN UPDATE SET n = 3');
-- two actions of a kind
SELECT twins('MERGE INTO @ t USING s ON t.a = s.a WHEN MATCHED AND s.a = 6 THEN UPDATE SET n = 1 WHEN MATCHED THEN UPDATE SET n = 2
	WHEN NOT MATCHED AND s.a = 8 THEN INSERT VALUES (s.a, ''one'', 1) WHEN NOT MATCHED THEN INSERT VALUES (s.a, ''two'', 2)');
SELECT twins('CREATE TRIGGER c BEFORE UPDATE OF n ON @ FOR EACH STATEMENT EXECUTE FUNCTION note()'),
	twins('CREATE TRIGGER e BEFORE UPDATE OF a ON @ FOR EACH STATEMENT EXECUTE FUNCTION note()');
SELECT twins('MERGE INTO @ t USING s ON t.a = s.a WHEN MATCHED AND s.a = 6 THEN UPDATE SET n = 10 WHEN MATCHED AND s.a < 10 THEN UPDATE SET b = ''z'' WHEN MATCHED THEN DELETE');
DROP SCHEMA merge_transition CASCADE;
