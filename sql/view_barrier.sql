--
-- Writing through security_barrier views of other roles: conditions of the user's do not
-- meet rows that a view hides, and joins and subqueries may be with tables that its
-- owner can't read.  Each statement is done to a local twin as well.
--
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE ROLE vb_owner NOLOGIN;
CREATE ROLE vb_middle NOLOGIN;
CREATE ROLE vb_user LOGIN;
CREATE FUNCTION public.vb_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE SCHEMA %I AUTHORIZATION vb_owner', name);
	EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO vb_middle', name);
	EXECUTE format('GRANT USAGE ON SCHEMA %I TO vb_user', name);
	PERFORM set_config('search_path', name, true);
	SET LOCAL ROLE vb_owner;
	CREATE TABLE t (k int PRIMARY KEY, n int, s text);
	CREATE TABLE r (k int PRIMARY KEY, n int, s text);
	IF name = 'vb' THEN
		PERFORM shoal.create_distributed_table('t', 'k', shard_count => 6);
		PERFORM shoal.create_reference_table('r');
	END IF;
	INSERT INTO t SELECT i, i % 5, i::text FROM generate_series(1, 40) i;
	INSERT INTO r SELECT i, i % 5, i::text FROM generate_series(1, 40) i;
	CREATE VIEW v WITH (security_barrier) AS SELECT * FROM t WHERE n <> 3;
	CREATE VIEW rv WITH (security_barrier) AS SELECT * FROM r WHERE n <> 3;
	CREATE VIEW w WITH (security_barrier) AS SELECT * FROM t WHERE s LIKE '%1%';
	GRANT ALL ON v, rv, w TO vb_user, vb_middle;
	SET LOCAL ROLE vb_middle;
	CREATE VIEW vv WITH (security_barrier) AS SELECT * FROM v WHERE 10 / (n - 3) <> 5;
	GRANT ALL ON vv TO vb_user;
	RESET ROLE;
END $$;
SELECT vb_make('vb');
SELECT vb_make('vb_twin');
CREATE TABLE public.vb_mine (k int PRIMARY KEY, n int);
SELECT shoal.create_distributed_table('public.vb_mine', 'k');
INSERT INTO public.vb_mine SELECT i, i FROM generate_series(1, 20) i;
GRANT ALL ON public.vb_mine TO vb_user;
CREATE FUNCTION public.vb_both(query text) RETURNS TABLE (same bool, result text) LANGUAGE plpgsql AS $$
DECLARE
	name text;
	row record;
	rows text[];
	n bigint;
BEGIN
	FOREACH name IN ARRAY ARRAY['vb', 'vb_twin'] LOOP
		rows := '{}';
		PERFORM set_config('search_path', name || ', public', true);
		PERFORM set_config('role', 'vb_user', true);
		BEGIN
			IF query ~ '^SELECT|^[UD].*RETURNING' THEN
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
		IF name = 'vb' THEN
			SELECT string_agg(x, ' ' ORDER BY x) INTO result FROM unnest(rows) x;
		ELSE
			SELECT result IS NOT DISTINCT FROM string_agg(x, ' ' ORDER BY x) INTO same FROM unnest(rows) x;
		END IF;
	END LOOP;
	result := left(result, 70);
	RETURN NEXT;
END $$;
CREATE FUNCTION public.vb_differ() RETURNS bigint LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM ((TABLE vb.t EXCEPT ALL TABLE vb_twin.t) UNION ALL (TABLE vb_twin.t EXCEPT ALL TABLE vb.t)) d) +
		(SELECT count(*) FROM ((TABLE vb.r EXCEPT ALL TABLE vb_twin.r) UNION ALL (TABLE vb_twin.r EXCEPT ALL TABLE vb.r)) d) $$;

-- conditions that would fail with a hidden row
SELECT * FROM vb_both('UPDATE v SET s = s || ''!'' WHERE 10 / (n - 3) < 0');
SELECT * FROM vb_both('UPDATE v SET s = s || ''?'' WHERE k = 3 AND 10 / (n - 3) < 0 RETURNING *');
SELECT * FROM vb_both('UPDATE v SET s = s || ''?'' WHERE k = 4 AND 10 / (n - 3) > 0 RETURNING *');
SELECT * FROM vb_both('DELETE FROM v WHERE 10 / (n - 3) = 10 AND k > 30');
SELECT * FROM vb_both('UPDATE v SET n = 3 WHERE k = 6');
SELECT * FROM vb_both('UPDATE v SET s = ''hidden'' WHERE k = 6');
SELECT * FROM vb_both('UPDATE v SET k = k + 1000 WHERE 10 / (n - 3) = -5 AND k < 10 RETURNING k');
SELECT * FROM vb_both('UPDATE rv SET s = s || ''!'' WHERE 10 / (n - 3) < 0');
SELECT * FROM vb_both('DELETE FROM rv WHERE 10 / (n - 3) = 10 AND k > 30 RETURNING k');
SELECT * FROM vb_both('UPDATE w SET s = s || ''w'' WHERE s > ''2'' RETURNING k');
SELECT * FROM vb_both('UPDATE v SET s = ''1'' WHERE k = 1 OR 1 / (n - 3) > 5');
SELECT * FROM vb_both('UPDATE vv SET s = s || ''v'' WHERE 5 / (n - 1) > 0');
SELECT * FROM vb_both('UPDATE vv SET s = s || ''v'' WHERE n <> 1 AND 5 / (n - 3) > 0');
SELECT vb_differ();
-- the same with functions, which are the user's
CREATE FUNCTION public.vb_spy(int) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
	IF $1 = 3 THEN RAISE 'hidden rows are shown to %', current_user; END IF;
	RETURN true;
END $$;
SELECT * FROM vb_both('UPDATE v SET s = s || ''f'' WHERE vb_spy(n) AND k > 20');
SELECT * FROM vb_both('DELETE FROM v WHERE vb_spy(n) AND k > 35');
SELECT * FROM vb_both('UPDATE rv SET s = s || ''f'' WHERE vb_spy(n) AND k > 20');
SELECT vb_differ();
-- joins and subqueries with what the owner may not read
SELECT * FROM vb_both('UPDATE v SET s = v.s || ''m'' FROM vb_mine WHERE vb_mine.k = v.k');
SELECT * FROM vb_both('UPDATE v SET s = v.s || m.n FROM vb_mine m WHERE m.n = v.n AND 10 / (v.n - 3) < 0');
SELECT * FROM vb_both('UPDATE v SET s = ''in'' WHERE k IN (SELECT k FROM vb_mine WHERE n > 15)');
SELECT * FROM vb_both('UPDATE v SET n = 4 WHERE k = (SELECT max(k) FROM vb_mine)');
SELECT * FROM vb_both('DELETE FROM v USING vb_mine m WHERE m.k = v.k - 1 AND m.n > 17 RETURNING v.k, m.k');
SELECT * FROM vb_both('DELETE FROM v WHERE EXISTS (SELECT FROM vb_mine m WHERE m.n = v.k AND m.n / (v.n - 3) = 0)');
SELECT * FROM vb_both('UPDATE rv SET s = rv.s || ''m'' FROM vb_mine m WHERE m.k = rv.k');
SELECT * FROM vb_both('WITH x AS (UPDATE v SET s = ''with'' WHERE 10 / (n - 3) < -9 RETURNING k) UPDATE rv SET s = ''with'' FROM x WHERE x.k = rv.k');
SELECT * FROM vb_both('SELECT count(*), min(s), max(s) FROM v');
SELECT vb_differ();
-- what writes rows of a reference table may have no right to lock it, on whichever node
GRANT SELECT, UPDATE (s) ON vb.r TO vb_user;
\c shoal_n3 vb_user
\set VERBOSITY terse
UPDATE vb.rv SET s = vb.rv.s || 'n3' FROM vb_mine m WHERE m.k = rv.k AND 10 / (rv.n - 3) < 0;
UPDATE vb.r SET s = r.s || 'n3' FROM vb_mine m WHERE m.k = r.k AND m.n > 18;
UPDATE vb.r SET n = m.n FROM vb_mine m WHERE m.k = r.k;
BEGIN;
LOCK TABLE vb.t IN SHARE ROW EXCLUSIVE MODE;
ROLLBACK;
\c shoal_n1 postgres
SELECT everywhere('SELECT md5(string_agg(r::text, '','' ORDER BY k)) || count(*) FILTER (WHERE s LIKE ''%n3'') FROM vb.r') ~ '^(\w+) \1 \1$' AS same, count(*) FILTER (WHERE s LIKE '%n3') FROM vb.r;
SET client_min_messages = warning;
DROP SCHEMA vb CASCADE;
DROP SCHEMA vb_twin CASCADE;
DROP TABLE public.vb_mine;
DROP FUNCTION vb_make, vb_both, vb_differ, vb_spy;
DROP ROLE vb_owner, vb_middle, vb_user;
