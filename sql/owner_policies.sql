--
-- Views of other roles over tables with policies: those for the view's owner hold,
-- whatever the user may do with the table himself.
--
\set VERBOSITY terse
CREATE ROLE op_alice LOGIN;
CREATE ROLE op_bob LOGIN;
CREATE ROLE op_carol LOGIN;
CREATE FUNCTION public.op_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE SCHEMA %I AUTHORIZATION op_alice', name);
	EXECUTE format('GRANT ALL ON SCHEMA %I TO op_bob, op_carol', name);
	PERFORM set_config('search_path', name, true);
	SET LOCAL ROLE op_alice;
	CREATE TABLE t (k int, who text, s text);
	CREATE TABLE mine (k int, s text);
	CREATE TABLE own (k int, who text);
	IF name = 'op' THEN
		PERFORM shoal.create_distributed_table('t', 'k', shard_count => 6);
		PERFORM shoal.create_distributed_table('mine', 'k');
		PERFORM shoal.create_distributed_table('own', 'k');
	END IF;
	INSERT INTO t SELECT i, CASE WHEN i % 4 = 0 THEN 'op_carol' ELSE 'op_bob' END, 's' || i FROM generate_series(1, 60) i;
	INSERT INTO own SELECT k, who FROM t;
	ALTER TABLE t ENABLE ROW LEVEL SECURITY;
	ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
	ALTER TABLE own ENABLE ROW LEVEL SECURITY;
	CREATE POLICY even ON t TO op_bob USING (k % 2 = 0);
	CREATE POLICY third ON t TO op_carol USING (k % 3 = 0);
	CREATE POLICY few ON mine TO op_bob USING (k < 20);
	CREATE POLICY own ON own USING (who = current_user);
	GRANT ALL ON t, mine, own TO op_bob;
	SET LOCAL ROLE op_bob;
	CREATE FUNCTION leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RETURN $1 <> ''s6''; END';
	CREATE VIEW v AS SELECT * FROM t WHERE leak(s);
	CREATE VIEW w AS SELECT * FROM t WHERE k < 50 WITH CHECK OPTION;
	CREATE VIEW o AS SELECT * FROM own WHERE leak(who);
	CREATE VIEW x AS SELECT * FROM t WHERE k < 50;
	CREATE VIEW y AS SELECT * FROM t WHERE EXISTS (SELECT FROM own WHERE own.k = t.k);
	GRANT ALL ON v, w, o, x, y TO op_carol, op_alice;
	RESET ROLE;
	EXECUTE format('CREATE VIEW %I.super AS SELECT * FROM %I.t', name, name);
	EXECUTE format('GRANT ALL ON %I.super TO op_carol', name);
END $$;
SELECT op_make('op');
SELECT op_make('op_twin');
CREATE FUNCTION public.op_both(query text, as_role text DEFAULT 'op_carol') RETURNS TABLE (same bool, result text) LANGUAGE plpgsql AS $$
DECLARE
	name text;
	row record;
	rows text[];
	n bigint;
BEGIN
	FOREACH name IN ARRAY ARRAY['op', 'op_twin'] LOOP
		rows := '{}';
		PERFORM set_config('search_path', name, true);
		PERFORM set_config('role', as_role, true);
		BEGIN
			IF query ~ 'SELECT|RETURNING' THEN
				FOR row IN EXECUTE query LOOP
					rows := rows || row::text;
				END LOOP;
			ELSE
				EXECUTE query;
				GET DIAGNOSTICS n = ROW_COUNT;
				rows := ARRAY[n::text];
			END IF;
		EXCEPTION WHEN OTHERS THEN
			rows := ARRAY[sqlstate || ' ' || sqlerrm];
		END;
		PERFORM set_config('role', 'none', true);
		IF name = 'op' THEN
			SELECT string_agg(x, ' ' ORDER BY x) INTO result FROM unnest(rows) x;
		ELSE
			SELECT result IS NOT DISTINCT FROM string_agg(x, ' ' ORDER BY x) INTO same FROM unnest(rows) x;
		END IF;
	END LOOP;
	result := left(result, 60);
	RETURN NEXT;
END $$;
SELECT * FROM op_both('SELECT * FROM v');
SELECT * FROM op_both('SELECT * FROM v', 'op_alice');
SELECT * FROM op_both('SELECT * FROM v', 'op_bob');
SELECT * FROM op_both('SELECT count(*), min(a.s) FROM v a JOIN v b ON a.k = b.k + 2 WHERE a.s LIKE ''s1%''');
SELECT * FROM op_both('SELECT * FROM w WHERE k < 10');
SELECT * FROM op_both('INSERT INTO w VALUES (8, ''x'', ''new'')');
SELECT * FROM op_both('INSERT INTO w VALUES (9, ''x'', ''new'')');
SELECT * FROM op_both('INSERT INTO w VALUES (88, ''x'', ''new'')');
SELECT * FROM op_both('INSERT INTO w (k, who, s) (SELECT k, who, ''again'' FROM w WHERE k < 10) RETURNING k');
SELECT * FROM op_both('UPDATE w SET s = s || ''!'' WHERE k < 7 RETURNING *');
SELECT * FROM op_both('UPDATE w SET s = s || ''!'' WHERE k = 3');
SELECT * FROM op_both('DELETE FROM w WHERE k > 40 RETURNING k');
SELECT * FROM op_both('UPDATE w SET s = ''alice'' WHERE k < 30', 'op_alice');
SELECT * FROM op_both('SELECT * FROM t', 'op_alice');
-- her functions run as she, while rows are found and written for the owner
CREATE FUNCTION public.op_me(int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN current_user || $1; END';
SELECT * FROM op_both('UPDATE x SET s = public.op_me(k) WHERE k < 12');
SELECT * FROM op_both('UPDATE x SET s = public.op_me(k) WHERE public.op_me(k) = ''op_carol14'' RETURNING k, s, public.op_me(1)');
SELECT * FROM op_both('DELETE FROM x WHERE public.op_me(k) IN (''op_carol16'', ''op_carol17'')');
-- nor do functions that are built in do for her what only the view's owner may
SELECT * FROM op_both('UPDATE super SET s = s || ''!'' WHERE k = 60');
SELECT result FROM op_both('UPDATE super SET s = pg_read_file(''PG_VERSION'' || left(s, 0))');
SELECT result FROM op_both('UPDATE super SET s = ''x'' WHERE k = 5 RETURNING pg_read_file(''PG_VERSION'' || left(s, 0))');
SELECT result FROM op_both('DELETE FROM super WHERE pg_read_file(''PG_VERSION'' || left(s, 0)) > ''''');
SELECT result FROM op_both('INSERT INTO super VALUES (7, ''x'') RETURNING pg_read_file(''PG_VERSION'')');
SELECT result FROM op_both('UPDATE super SET s = pg_cancel_backend(k) WHERE k = 500');
SELECT * FROM op_both('SELECT * FROM t', 'op_alice');
GRANT ALL ON op.t, op_twin.t TO op_carol;
SELECT * FROM op_both('SELECT k, s FROM v');
SELECT * FROM op_both('SELECT k, s FROM t');
SELECT * FROM op_both('UPDATE w SET s = ''carol''');
SELECT * FROM op_both('INSERT INTO w VALUES (3, ''x'', ''new'')');
SELECT * FROM op_both('SELECT * FROM t', 'op_alice');
-- another table that she reads herself has other policies for her
GRANT ALL ON op.mine, op_twin.mine TO op_carol;
SELECT * FROM op_both('UPDATE w SET s = mine.s FROM mine WHERE mine.k = w.k');
SELECT * FROM op_both('INSERT INTO mine VALUES (4, ''for bob''), (34, ''too'')', 'op_alice');
SELECT * FROM op_both('UPDATE x SET s = public.op_me(mine.k) FROM mine WHERE mine.k = x.k');
-- a policy about the user would be one about the owner
SELECT result FROM op_both('SELECT * FROM o');
SELECT result FROM op_both('UPDATE y SET s = ''y''');
SET client_min_messages = warning;
DROP SCHEMA op CASCADE;
DROP SCHEMA op_twin CASCADE;
DROP FUNCTION op_make, op_both, op_me;
DROP ROLE op_alice, op_bob, op_carol;
