--
-- Policies that read tables which are spread in another way, compared with plain
-- tables that have the same ones.
--
SET client_min_messages = warning;
CREATE ROLE shoal_pol_a;
CREATE ROLE shoal_pol_b;
CREATE ROLE shoal_pol_owner;
CREATE SCHEMA "Pol D";
CREATE SCHEMA "Pol P";
CREATE FUNCTION pol_make(schema_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', quote_ident(schema_name), true);
    CREATE TABLE users (pguser name, lvl int, gone text);
    ALTER TABLE users DROP COLUMN gone;
    CREATE TABLE docs (did int PRIMARY KEY, dlevel int, author name, title text);
    CREATE TABLE "Team Docs" (team text, did int, CHECK (did > 0));
    CREATE TABLE teams (member name, team text, since date);
    CREATE TABLE local_block (did int);
    INSERT INTO users VALUES ('shoal_pol_a', 2), ('shoal_pol_b', 4);
    INSERT INTO docs SELECT i, i % 6, CASE WHEN i % 2 = 0 THEN 'shoal_pol_a' ELSE 'shoal_pol_b' END, 'doc ' || i FROM generate_series(1, 120) i;
    INSERT INTO "Team Docs" SELECT 'team ' || i % 7, i FROM generate_series(1, 120) i;
    INSERT INTO teams SELECT CASE WHEN i % 2 = 0 THEN 'shoal_pol_a' ELSE 'shoal_pol_b' END, 'team ' || i, '2024-01-01' FROM generate_series(0, 5) i;
    INSERT INTO local_block SELECT i * 10 FROM generate_series(1, 5) i;
    GRANT USAGE ON SCHEMA "Pol D", "Pol P" TO shoal_pol_a, shoal_pol_b, shoal_pol_owner;
    GRANT ALL ON docs, users, "Team Docs", teams, local_block TO shoal_pol_a, shoal_pol_b, shoal_pol_owner;
    ALTER TABLE docs ENABLE ROW LEVEL SECURITY;
END $$;
SELECT pol_make('Pol P'), pol_make('Pol D');
SELECT shoal.create_distributed_table('"Pol D".users', 'pguser', colocate_with => 'none', shard_count => 4);
SELECT shoal.create_distributed_table('"Pol D".docs', 'did', colocate_with => 'none', shard_count => 8);
SELECT shoal.create_distributed_table('"Pol D"."Team Docs"', 'team', colocate_with => 'none', shard_count => 5);
SELECT shoal.create_distributed_table('"Pol D".teams', NULL);

-- the same query as the same role in both
CREATE FUNCTION pol_rows(schema_name text, query text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    r record;
    n bigint;
    result text[] := '{}';
BEGIN
    PERFORM set_config('search_path', quote_ident(schema_name), true);
    BEGIN
        FOR r IN EXECUTE query LOOP
            result := result || r::text;
        END LOOP;
        RETURN ARRAY(SELECT x FROM unnest(result) x ORDER BY 1);
    EXCEPTION
        WHEN invalid_cursor_definition THEN
            NULL;
        WHEN OTHERS THEN
            RETURN ARRAY[SQLSTATE || ': ' || SQLERRM];
    END;
    EXECUTE query;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN ARRAY['count ' || n];
EXCEPTION WHEN OTHERS THEN
    RETURN ARRAY[SQLSTATE || ': ' || SQLERRM];
END $$;
CREATE FUNCTION pol_same(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    p text[] := public.pol_rows('Pol P', query);
    d text[] := public.pol_rows('Pol D', query);
BEGIN
    RETURN CASE WHEN p = d THEN CASE WHEN cardinality(p) = 1 THEN left(p[1], 80) ELSE cardinality(p) || ' rows' END
        ELSE format('DIFFERENT: %s, %s', left(p::text, 200), left(d::text, 200)) END;
END $$;
CREATE FUNCTION pol_all() RETURNS TABLE (role name, query text, result text) LANGUAGE plpgsql AS $$
DECLARE
    who name;
    q text;
BEGIN
    FOREACH who IN ARRAY ARRAY['shoal_pol_a', 'shoal_pol_b']::name[] LOOP
        EXECUTE 'SET LOCAL ROLE ' || who;
        FOREACH q IN ARRAY ARRAY[
            'SELECT * FROM docs',
            'SELECT count(*), sum(did), max(dlevel) FROM docs',
            'SELECT * FROM docs WHERE did IN (4, 5, 7)',
            'SELECT * FROM docs WHERE did = 8',
            'SELECT author, count(*) FROM docs GROUP BY author',
            'SELECT a.did, b.did FROM docs a JOIN docs b ON b.did = a.dlevel + 1',
            'SELECT d.did, t.team FROM docs d JOIN "Team Docs" t USING (did) WHERE d.did < 30',
            'SELECT did FROM docs ORDER BY did DESC LIMIT 5',
            'SELECT (SELECT count(*) FROM docs), lvl FROM users',
            'SELECT * FROM users WHERE lvl IN (SELECT dlevel FROM docs)',
            'WITH d AS (SELECT did FROM docs) SELECT count(*) FROM d, "Team Docs" t WHERE t.did = d.did AND team = ''team 1''',
            'UPDATE docs SET title = title || ''.'' WHERE did % 5 = 0 RETURNING did, title',
            'UPDATE docs SET title = title || ''-'' WHERE did = 4',
            'UPDATE docs SET dlevel = 9 WHERE did = 12',
            'UPDATE "Team Docs" SET team = team WHERE did IN (SELECT did FROM docs)',
            'DELETE FROM docs WHERE did > 115 RETURNING did',
            'INSERT INTO "Team Docs" SELECT ''copied'', did FROM docs WHERE did < 4',
            'INSERT INTO docs VALUES (201, 1, current_user, ''x'') RETURNING did',
            'INSERT INTO docs VALUES (202, 4, current_user, ''x'')',
            'INSERT INTO docs VALUES (203, 0, current_user, ''x''), (204, 1, ''b'', ''x''), (205, 2, ''c'', NULL) RETURNING did, title',
            'INSERT INTO docs SELECT did + 300, dlevel, author, title FROM docs WHERE did < 60',
            'INSERT INTO docs SELECT i, i % 3, ''many'', ''m'' FROM generate_series(400, 420) i',
            'INSERT INTO docs VALUES (4, 1, ''a'', ''x'') ON CONFLICT (did) DO UPDATE SET title = excluded.title || ''!'' RETURNING title',
            'INSERT INTO docs VALUES (4, 1, ''a'', ''x'') ON CONFLICT (did) DO UPDATE SET dlevel = 9',
            'WITH i AS (INSERT INTO docs VALUES (206, 1, ''w'', ''with'') RETURNING did) SELECT * FROM i'] LOOP
            role := who;
            query := q;
            result := public.pol_same(q);
            RETURN NEXT;
        END LOOP;
    END LOOP;
    RESET ROLE;
END $$;
CREATE FUNCTION pol_ddl(command text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE replace(command, '#', '"Pol P"');
    EXECUTE replace(command, '#', '"Pol D"');
END $$;

SELECT pol_ddl('CREATE POLICY p ON #.docs USING (dlevel <= (SELECT lvl FROM #.users WHERE pguser = current_user))');
SELECT * FROM pol_all();
-- what else is read
SELECT pol_ddl('CREATE POLICY r ON #.docs AS RESTRICTIVE USING (did IN (SELECT t.did FROM #."Team Docs" t JOIN #.teams m USING (team) WHERE m.member = current_user) AND NOT EXISTS (SELECT FROM #.local_block l WHERE l.did = docs.did))');
SELECT * FROM pol_all();
-- tables that are read have policies themselves
SELECT pol_ddl('ALTER TABLE #.users ENABLE ROW LEVEL SECURITY');
SELECT * FROM pol_all() WHERE query LIKE 'SELECT count(*), sum%';
SELECT pol_ddl('CREATE POLICY u ON #.users USING (lvl < 4 AND EXISTS (SELECT FROM #."Team Docs" t WHERE t.did = lvl))');
SELECT * FROM pol_all() WHERE query ~ 'users|count';
-- rights on what they read
REVOKE SELECT ON "Pol D".users, "Pol P".users FROM shoal_pol_a;
SELECT * FROM pol_all() WHERE query LIKE 'SELECT count(*), sum%';
GRANT SELECT ON "Pol D".users, "Pol P".users TO shoal_pol_a;
-- another condition for new rows
SELECT pol_ddl('CREATE POLICY w ON #.docs AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK (title !~ ''x'' OR dlevel < (SELECT min(lvl) FROM #.users))');
SET ROLE shoal_pol_a;
SELECT q, pol_same(q) FROM unnest(ARRAY['UPDATE docs SET title = ''x'' WHERE did < 20', 'UPDATE docs SET title = ''y'' WHERE did < 20 RETURNING did',
    'UPDATE docs SET title = ''x'' WHERE dlevel = 1 RETURNING did']) q;
RESET ROLE;

-- a user's function and an operator that fails are not shown rows that policies hide, nor are others' WITH queries taken for Shoal's
CREATE FUNCTION pol_leak(t text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'sees %', t; RETURN true; END $$;
SET ROLE shoal_pol_a;
SET search_path = "Pol D", public;
SELECT did FROM docs WHERE did < 15 AND pol_leak(title) ORDER BY did;
SELECT count(*) FROM docs WHERE title = 'doc 11' AND 1 / (did - 11) > 0;
WITH "shoal policy 1" AS MATERIALIZED (SELECT 'shoal_pol_a'::name AS pguser, 100 AS lvl, '"Pol D".users'::text AS shoal)
    SELECT count(*) FROM docs, "shoal policy 1" WHERE lvl = 100;
WITH "shoal policy 1" AS MATERIALIZED (SELECT 'shoal_pol_a'::name AS pguser, 100 AS lvl, '"Pol D".users'::text AS shoal)
    SELECT did FROM docs WHERE did = 8 AND EXISTS (SELECT FROM "shoal policy 1");
SELECT pol_same('SELECT count(*) FROM docs');
PREPARE p(int) AS SELECT count(*) FROM docs WHERE did > $1;
EXECUTE p(0); EXECUTE p(0); EXECUTE p(0); EXECUTE p(0); EXECUTE p(0); EXECUTE p(0);
RESET ROLE;
SELECT pol_ddl('UPDATE #.users SET lvl = 1 WHERE pguser = ''shoal_pol_a''');
SET ROLE shoal_pol_a;
EXECUTE p(0);
SELECT pol_same('SELECT count(*) FROM docs');
BEGIN;
DECLARE c CURSOR FOR SELECT did FROM docs ORDER BY did FOR UPDATE;
FETCH 2 FROM c;
COMMIT;
DO $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT did FROM docs WHERE did = 8' LOOP
		IF line ~ '^ +(Way|Move|Query):' THEN RAISE NOTICE '%', trim(line); END IF;
	END LOOP;
END $$;

-- a view of another role's reads as that role, here and in its policies: refused
RESET ROLE;
CREATE VIEW owned AS SELECT * FROM docs;
ALTER VIEW owned OWNER TO shoal_pol_owner;
GRANT SELECT ON owned TO shoal_pol_a;
SET ROLE shoal_pol_a;
SELECT count(*) FROM owned;
SELECT count(*) FROM docs, owned;
RESET ROLE;
RESET search_path;
DROP SCHEMA "Pol D", "Pol P" CASCADE;
DROP FUNCTION pol_make, pol_rows, pol_same, pol_all, pol_ddl, pol_leak;
DROP ROLE shoal_pol_a, shoal_pol_b, shoal_pol_owner;
