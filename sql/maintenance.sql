--
-- VACUUM, ANALYZE, REINDEX, CLUSTER: on all nodes.
--
CREATE SCHEMA maintenance;
\set SHOW_CONTEXT never
SET search_path = maintenance, public;
CREATE TABLE d (a int PRIMARY KEY, b text);
CREATE TABLE r (a int PRIMARY KEY, b text);
CREATE TABLE l (a int PRIMARY KEY, b text);
SELECT shoal.create_distributed_table('d', 'a', shard_count => 6);
SELECT shoal.create_reference_table('r');
INSERT INTO d SELECT i, 'b' || i FROM generate_series(1, 600) i;
INSERT INTO r SELECT i, 'b' || i FROM generate_series(1, 50) i;
INSERT INTO l SELECT i, 'b' || i FROM generate_series(1, 50) i;
CREATE INDEX d_b ON d (b);

-- relfilenodes of what a table consists of tell what was rewritten
CREATE FUNCTION files(name text) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(result, ' ' ORDER BY node_id) FROM shoal.run_on_nodes(format(
	'SELECT md5(string_agg(relfilenode::text, '','' ORDER BY oid)) FROM pg_class WHERE relname = %L AND relkind IN (''r'', ''i'')', name)) $$;
CREATE FUNCTION rewritten(before text, after text) RETURNS text LANGUAGE sql AS $$
SELECT string_agg((b <> a)::text, ' ') FROM unnest(string_to_array(before, ' '), string_to_array(after, ' ')) AS u (b, a) $$;

ANALYZE d, r (a), l;
SELECT everywhere('SELECT sum(reltuples) FROM pg_class WHERE relname = ''r'' AND relkind = ''r''');
SELECT sum(result::int) FROM shoal.run_on_nodes('SELECT sum(reltuples) FROM pg_class WHERE relname = ''d'' AND relkind = ''r''');
SELECT everywhere('SELECT count(*) FROM pg_stats WHERE schemaname = ''maintenance'' AND tablename = ''r''');
VACUUM (ANALYZE, TRUNCATE off, PARALLEL 0) d, r;
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) r;
SELECT everywhere('SELECT relallvisible > 0 FROM pg_class WHERE oid = ''maintenance.r''::regclass');
SELECT files('d') AS d, files('r') AS r \gset
VACUUM FULL d;
SELECT rewritten(:'d', files('d')), rewritten(:'r', files('r'));
SELECT files('d_pkey') AS d, files('r_pkey') AS r, files('l_pkey') AS l \gset
REINDEX TABLE d;
REINDEX (VERBOSE off) INDEX r_pkey;
REINDEX TABLE CONCURRENTLY l;
SELECT rewritten(:'d', files('d_pkey')), rewritten(:'r', files('r_pkey')), rewritten(:'l', files('l_pkey'));
REINDEX INDEX CONCURRENTLY d_b;
REINDEX TABLE CONCURRENTLY r;
REINDEX SCHEMA maintenance;
REINDEX DATABASE shoal_n1;
REINDEX DATABASE no_such;
SELECT files('d') AS d, files('r') AS r, files('l') AS l \gset
CLUSTER d USING d_b;
CLUSTER r USING r_pkey;
CLUSTER l USING l_pkey;
SELECT rewritten(:'d', files('d')), rewritten(:'r', files('r')), rewritten(:'l', files('l'));
SELECT count(*), sum(a) FROM d;

-- in transaction blocks
BEGIN;
INSERT INTO d VALUES (1001, 'new');
ANALYZE d;
REINDEX TABLE r;
ROLLBACK;
BEGIN;
VACUUM d;
ROLLBACK;
BEGIN;
REINDEX TABLE d;
ROLLBACK;
DO $$ BEGIN EXECUTE 'VACUUM maintenance.d'; END $$;
DO $$ BEGIN EXECUTE 'ANALYZE maintenance.d'; END $$;
VACUUM no_such;
VACUUM (no_such) d;
ANALYZE;

-- what fails on one node goes on on no other
CREATE FUNCTION slow_or_failing(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF current_database() = 'shoal_n2' THEN RAISE 'fails'; END IF;
    IF current_database() = 'shoal_n3' THEN PERFORM pg_sleep(1); END IF;
    RETURN $1;
END $$;
CREATE TABLE failing (a int, b int);
SELECT shoal.create_distributed_table('failing', 'a');
INSERT INTO failing SELECT i, i FROM generate_series(1, 100) i;
\set VERBOSITY sqlstate
CREATE INDEX CONCURRENTLY failing_b ON failing (slow_or_failing(b));
\set VERBOSITY default
SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query ~ 'INDEX.*failing_b' AND pid <> pg_backend_pid();
DROP TABLE failing;

-- the schema of temporary tables is the session's
CREATE TEMP TABLE tmp (a int PRIMARY KEY);
SELECT nspname AS temp_schema FROM pg_namespace WHERE oid = pg_my_temp_schema() \gset
REINDEX SCHEMA :temp_schema;
REINDEX SCHEMA CONCURRENTLY :temp_schema;

-- functions of an index are called as the table's owner, concurrently too
CREATE ROLE maintenance_owner LOGIN;
GRANT USAGE ON SCHEMA maintenance TO maintenance_owner;
CREATE FUNCTION by_owner(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    ASSERT current_user = 'maintenance_owner', 'called by ' || current_user;
    RETURN $1;
END $$;
CREATE TABLE owned (a int, b int);
SELECT shoal.create_distributed_table('owned', 'a');
ALTER TABLE owned OWNER TO maintenance_owner;
INSERT INTO owned SELECT i, i FROM generate_series(1, 100) i;
CREATE INDEX CONCURRENTLY owned_b ON owned ((by_owner(b) + by_owner(0)))
    WHERE by_owner(b + 10) > by_owner(10);
SELECT count(*) = 3 AS everywhere, bool_and(result::bool) AS valid
    FROM shoal.run_on_nodes($$SELECT indisvalid FROM pg_index WHERE indexrelid = 'maintenance.owned_b'::regclass$$);
DROP TABLE owned;
\set VERBOSITY terse
DROP SCHEMA maintenance CASCADE;
DROP ROLE maintenance_owner;
